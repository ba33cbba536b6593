//! Records one resource of an entry: asks for the account, then writes what is read without it.

use chrono::{DateTime, SubsecRound as _, Utc};

use super::links::Links;
use super::listing::{self, Ask, Read};
use super::mask::Mask;
use super::pseudonyms::Pseudonyms;
use super::replay::{Replayed, Script, replay};
use super::verify::doubts;
use super::{Answer, Exchange, Head, Listing, Recording, Seen, blank};
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::identity::InstanceRef;
use crate::auth::RequestAuth;
use crate::egress::Egress;
use crate::fetch::listing::PageReader;
use crate::fetch::transcript::{Heard, Transcript};
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::{PollPlan, ResourcePlan};

/// What was read of an account.
#[derive(Debug)]
pub struct Taken {
    /// The plan of the account.
    resource: ResourcePlan,
    listings: Vec<(Listing, Read, Vec<Heard>)>,
}

impl Taken {
    /// The ids that came.
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.listings.iter().flat_map(|(_, read, _)| &read.ids)
    }

    /// What each listing showed.
    pub fn seen(&self) -> impl Iterator<Item = &Listing> {
        self.listings.iter().map(|(listing, ..)| listing)
    }
}

/// Reads the first pages of a list, and then what changed since, if the plan asks for that.
///
/// # Errors
/// As [`listing::read`]. What the provider sent is in none of them.
pub async fn take(
    egress: &Egress,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    (since, pages): (Option<DateTime<Utc>>, u32),
) -> Result<Taken, Problem> {
    let transcript = Transcript::kept();
    let asker = listing::asker(egress.clone(), transcript.clone());
    let mut listings = Vec::new();
    let mut ask = Ask { since, token: None, now: Utc::now().trunc_subsecs(0), pages };
    loop {
        let read = listing::read(&asker, instance, resource, auth, &ask).await?;
        let (continues, token, latest) = (ask.token.is_some(), read.token.clone(), read.seen.latest);
        let listing = Listing { since: ask.since, continues, now: ask.now, ended: read.ended, seen: read.seen.clone() };
        listings.push((listing, read, transcript.take()));
        let next =
            Ask { since: latest.filter(|_| resource.request.uses_since()), token, now: Utc::now().trunc_subsecs(0), pages };
        if listings.len() > 1 || (next.since.is_none() && next.token.is_none()) {
            break;
        }
        ask = next;
    }
    Ok(Taken { resource: resource.clone(), listings })
}

/// Masks what was taken, and reads it again by the plan of an instance without an account. The requests are those of that reading.
///
/// # Errors
/// A sentence: the entry does not fit the records, or the masked responses are not read as the real ones were. Then nothing may be kept.
pub async fn masked(taken: &Taken, key: &str, spec: &ConnectorSpec, pseudonyms: &mut Pseudonyms) -> Result<Recording, String> {
    let name = &*taken.resource.name;
    let id_field = taken.resource.extract.id.field();
    let doubts: Vec<_> = taken.listings.iter().flat_map(|(_, read, _)| doubts(read, id_field)).collect();
    if !doubts.is_empty() {
        return Err(format!("{}; fix the entry", doubts.join("; ")));
    }
    let plan = blank::plan(key, spec, name)?;
    let answers = answers(taken, &plan, pseudonyms)?;
    let listings: Vec<_> = taken.listings.iter().map(|(listing, ..)| listing.clone()).collect();
    let in_order = answers.iter().flatten().cloned().collect();
    let replayed = replay(&plan, &listings, Script::InOrder(in_order)).await?;
    let asked_each: Vec<_> = answers.iter().map(Vec::len).collect();
    agree(&listings, &replayed, asked_each.iter().sum())?;
    let mut asked = replayed.asked.into_iter();
    let with_requests = |(listing, answers): (Listing, Vec<Answer>)| {
        let exchanges = answers.into_iter().zip(&mut asked).map(|(response, request)| Exchange { request, response });
        (listing, exchanges.collect())
    };
    let date = taken.listings.first().map(|(listing, ..)| listing.now.date_naive()).unwrap_or_default();
    let head = Head { connector: key.to_owned(), resource: name.to_owned(), date };
    Ok(Recording { head, listings: listings.into_iter().zip(answers).map(with_requests).collect() })
}

/// The masked responses of each listing.
fn answers(taken: &Taken, plan: &PollPlan, pseudonyms: &mut Pseudonyms) -> Result<Vec<Vec<Answer>>, String> {
    let Some((_, read, heard)) = taken.listings.first() else { return Ok(Vec::new()) };
    let blank = plan.resources.first().ok_or("the plan has no resource")?;
    let first = heard.first().ok_or("nothing was asked")?;
    let links = Links::new(&first.url, &first_url(plan, blank, &taken.listings)?);
    let records = records_path(&taken.resource, read);
    let pagination = read.pagination.as_ref().unwrap_or(&taken.resource.pagination);
    let mut mask = Mask::new(&taken.resource, pagination, records, links, pseudonyms);
    for heard in taken.listings.iter().flat_map(|(.., heard)| heard) {
        mask.note(&heard.response.body);
    }
    let mut answer = |heard: &Heard| {
        let body = match &*heard.response.body {
            [] => None,
            sent => Some(mask.body(sent).ok_or("a response is no JSON in UTF-8")?),
        };
        Ok(Answer { status: heard.response.status.as_u16(), headers: mask.headers(&heard.response.headers), body })
    };
    taken.listings.iter().map(|(.., heard)| heard.iter().map(&mut answer).collect()).collect()
}

/// The first request of an instance without an account.
fn first_url(plan: &PollPlan, blank: &ResourcePlan, listings: &[(Listing, Read, Vec<Heard>)]) -> Result<url::Url, String> {
    // It is only built, never sent.
    let egress = Egress::new(crate::egress::EgressPolicy::default());
    let asker = listing::asker(egress.map_err(|error| error.to_string())?, Transcript::default());
    let (since, now) = listings.first().map(|(listing, ..)| (listing.since, listing.now)).ok_or("nothing was asked")?;
    let auth = RequestAuth::default();
    let reader = PageReader::new(&asker, &plan.instance, blank, &auth, since, now, None);
    let request = reader.next_request().map_err(|problem| problem.to_string())?;
    Ok(request.ok_or("the list has no first page")?.url)
}

fn records_path(resource: &ResourcePlan, read: &Read) -> Vec<Segment> {
    let found = read.records_path.as_deref().filter(|path| *path != "$").and_then(|path| FieldPath::parse(path).ok());
    let path = found.or_else(|| resource.extract.records_path.clone().filter(|_| read.records_path.is_none()));
    path.map(|path| path.segments().to_vec()).unwrap_or_default()
}

/// What is read of the masked responses must be what was read of the real ones.
fn agree(listings: &[Listing], replayed: &Replayed, answers: usize) -> Result<(), String> {
    let otherwise = |what: String| Err(format!("the masked responses are not read as the real ones were: {what}"));
    for (listing, read) in listings.iter().zip(&replayed.listings) {
        match read {
            Err(problem) => return otherwise(problem.to_string()),
            Ok(read) if (&read.seen, read.ended) != (&listing.seen, listing.ended) => {
                return otherwise(format!("{} instead of {}", end(&read.seen, read.ended), end(&listing.seen, listing.ended)));
            }
            Ok(_) => {}
        }
    }
    if replayed.asked.len() != answers || replayed.listings.len() != listings.len() {
        return otherwise(format!("{} requests instead of {answers}", replayed.asked.len()));
    }
    Ok(())
}

/// What was seen, and whether more would follow.
pub fn end(seen: &Seen, ended: bool) -> String {
    format!("{seen}{}", if ended { "" } else { ", and more pages follow" })
}
