//! One listing, page by page: sends requests, interprets responses, splits pages, continues.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use http::Method;

use super::answer::{self, Verdict};
use super::asker::Asker;
use super::contact::Contact;
use super::copy::{self, Made};
use super::delta::ListingToken;
use super::lost_list::LostList;
use super::page::Page;
use super::pagination::{Answer, Ids, Pager, Position, Promise};
use super::place;
use super::request;
use super::result_cap::ResultCap;
use super::validators::{Condition, RequestDigest, Validators, make_conditional};
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceRef;
use crate::auth::RequestAuth;
use crate::cpu::OverShare;
use crate::detect::detector::Moment;
use crate::egress::byte_budget::Share;
use crate::egress::quota::Quota;
use crate::egress::retry_after;
use crate::egress::{Request, Response};
use crate::plan::ResourcePlan;
use crate::plan::field_path::Segment;
use crate::plan::template::MacroContext;

/// Bytes of all bodies of one listing.
pub const MAX_BYTES: u64 = 16 << 30;

/// One step of a listing.
#[derive(Clone, Debug)]
pub enum Step {
    /// A page, which may be empty.
    Page(Page),
    /// The first page, and there is no other, is the same as when the validators were made.
    NotModified,
    /// The provider no longer accepts the token that the listing began with.
    TokenExpired,
    /// It no longer accepts the token of the next page, while the one that the listing began with may be good.
    BeginAgain,
    /// There are no more pages.
    End,
}

/// Whether a list is read for the first time from a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// If a page token expires on the way, the list may be begun again.
    First,
    /// It was begun again already, and is not another time.
    Again,
}

/// One pass over the pages of a list, under one value of `${since}`.
#[derive(Debug)]
pub struct PageReader<'a> {
    asker: &'a Asker,
    /// For whom requests and bytes are counted.
    instance: &'a InstanceRef,
    /// When the poll was due, until its first request is sent.
    due: Option<DateTime<Utc>>,
    resource: &'a ResourcePlan,
    auth: Cow<'a, RequestAuth>,
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    /// Where the part of the list ends that is asked for; `None`: where the list does.
    until: Option<DateTime<Utc>>,
    token: ListingToken,
    attempt: Attempt,
    known: Option<&'a Validators>,
    pager: Pager,
    /// The next page to ask for; `None` when the listing is over.
    position: Option<Position>,
    /// Where an earlier listing found a list.
    known_path: Option<Vec<Segment>>,
    /// Where this listing found one.
    records_path: Option<Vec<Segment>>,
    pages: u32,
    cap: ResultCap,
    /// An answer was a part of what there is, or may have been.
    is_partial: bool,
    /// An answer has another list of objects next to the records.
    has_other_lists: bool,
    /// The list is no longer where the manifest says, as far as the answers show it.
    lost_list: Option<Box<LostList>>,
    /// A response had a list, even an empty one, or the manifest says that it means none.
    has_list: bool,
    bytes: u64,
    fresh: Option<Validators>,
    server_date: Option<DateTime<Utc>>,
    /// How long a cache has had the first answer.
    age: Duration,
    /// When the first answer was made.
    made: Option<Made>,
    retry_after: Option<Duration>,
    contact: Contact,
}

impl<'a> PageReader<'a> {
    /// Begins a listing for an instance. `since` is what `${since}` stands for, `now` the start of the poll; `known` are the validators of
    /// an earlier listing, used if the first request is the same again.
    pub fn new(
        asker: &'a Asker,
        instance: &'a InstanceRef,
        resource: &'a ResourcePlan,
        auth: &'a RequestAuth,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        known: Option<&'a Validators>,
    ) -> Self {
        let pager = Pager::new(&resource.request, &resource.pagination, resource.page_size).beside(resource.delta.as_ref());
        Self {
            asker,
            instance,
            due: None,
            resource,
            auth: Cow::Borrowed(auth),
            since,
            now,
            until: None,
            token: ListingToken::default(),
            attempt: Attempt::First,
            known,
            position: Some(pager.first()),
            pager,
            known_path: None,
            records_path: None,
            pages: 0,
            cap: ResultCap::of(resource),
            is_partial: false,
            has_other_lists: false,
            lost_list: None,
            has_list: false,
            bytes: 0,
            fresh: None,
            server_date: None,
            age: Duration::ZERO,
            made: None,
            retry_after: None,
            contact: Contact::None,
        }
    }

    /// Sets the token with which an earlier listing ended: this one begins there.
    #[must_use]
    pub fn with_token(mut self, token: Option<&str>, attempt: Attempt) -> Self {
        self.attempt = attempt;
        self.token = ListingToken::begun_with(token);
        let delta = self.resource.delta.as_ref();
        if let Some(start) = self.token.start(delta, &self.resource.request.origin) {
            self.position = Some(start);
        } else if let Some(token) = token {
            self.pager.continue_from(token);
        }
        self
    }

    /// The token for the next listing, once this one has ended; `None` without `delta`.
    ///
    /// # Errors
    /// As [`ListingToken::next`].
    pub fn next_token(&self) -> Result<Option<String>, Problem> {
        self.resource.delta.as_ref().map(|delta| self.token.next(delta)).transpose()
    }

    /// Says when the poll was due: how late its first request is sent is measured.
    #[must_use]
    pub fn with_due(mut self, due: Option<DateTime<Utc>>) -> Self {
        self.due = due;
        self
    }

    /// Asks for a part of the list, up to `until`; for the rest of it with `None`.
    #[must_use]
    pub fn with_until(mut self, until: Option<DateTime<Utc>>) -> Self {
        self.until = until;
        self
    }

    /// Whether the provider lists no more, although there may be more: its `resultCap` was reached.
    pub fn is_cut_off(&self) -> bool {
        self.cap.is_reached()
    }

    /// Sets the place at which an earlier listing found the records, as [`PageReader::records_path`] returned it. One that cannot be read
    /// is treated as none.
    #[must_use]
    pub fn with_records_path(mut self, path: Option<&str>) -> Self {
        self.known_path = path.and_then(place::read);
        self
    }

    /// Changes the authentication, as after a 401 whose credential was renewed.
    pub fn set_auth(&mut self, auth: RequestAuth) {
        self.auth = Cow::Owned(auth);
    }

    /// Asks for the next page. After a problem the same page may be asked for again.
    ///
    /// # Errors
    /// No response, a response that is no page, a listing that repeats itself or does not end.
    pub async fn next_page(&mut self) -> Result<Step, Problem> {
        let Some(position) = self.position.as_ref() else { return Ok(Step::End) };
        let mut request = self.build(position)?;
        let digest = RequestDigest::of(&request, &self.auth);
        let is_first = self.pages == 0;
        let condition = make_conditional(&mut request, digest, self.known.filter(|_| is_first));
        self.auth.apply(&mut request);
        let (response, share) = self.send(request).await?;
        self.contact = self.contact.max(Contact::Answered);
        if let Some(plan) = &self.resource.delta
            && (if is_first { self.token.is_sent() } else { self.attempt == Attempt::First })
            && plan.is_expired(response.status, &response.body)
        {
            return Ok(if is_first { Step::TokenExpired } else { Step::BeginAgain });
        }
        let verdict = self.interpret(&response).await?;
        if let Some(wait) = retry_after::backoff(&response.headers) {
            self.retry_after = self.retry_after.max(Some(wait));
        }
        let quota = Quota::of(&response.headers, Utc::now()).wait();
        let spent = self.asker.note_limits(self.resource, &self.auth, &response);
        let Response { status, headers, body, url } = response;
        if is_first {
            self.server_date = answer::server_date(&headers);
            self.age = copy::age(&headers);
            self.made = Made::of(&headers, Utc::now(), Instant::now());
        }
        self.bytes += body.len() as u64;
        let has_body = verdict != Verdict::NoBody && !matches!(body.trim_ascii(), b"" | b"null");
        let page = match verdict {
            Verdict::NotModified => match condition {
                Condition::Unchanged if self.known.is_some_and(|known| known.has_other_pages(&headers)) => {
                    self.known = None;
                    return Box::pin(self.next_page()).await;
                }
                Condition::Unchanged => {
                    self.contact = Contact::Accepted;
                    self.pages = 1;
                    self.finish();
                    return Ok(Step::NotModified);
                }
                Condition::NothingSince => Page::empty(),
                Condition::None => return Err(answer::unasked_304()),
            },
            Verdict::Empty | Verdict::NoBody => Page::empty(),
            Verdict::Body | Verdict::Success => {
                let (length, as_said) = (body.len(), (status, verdict == Verdict::Success));
                let read = || self.split(body, as_said, &headers, &url);
                let split = self.asker.cpu.work(self.instance, length, read).await;
                split?.with_share(share)
            }
        };
        self.contact = Contact::Accepted;
        let is_hollow = !is_first && verdict != Verdict::Empty && page.is_empty() && !page.has_list();
        match self.pager.promise() {
            // Where an empty list is left out, that of the last page is, too.
            Promise::Leads if has_body => self.is_partial |= is_hollow,
            Promise::Leads | Promise::Says if is_hollow => return Err(answer::hollow_page(self.pages + 1)),
            Promise::None | Promise::Leads | Promise::Says => {}
        }
        self.is_partial |= answer::is_partial(status);
        let id_at = &self.resource.extract.id;
        if meaning::ends_with_an_error(&page, id_at) {
            return Err(answer::error_in_response());
        }
        let ids = || if page.is_of_one_object(id_at) { page.digest() } else { page.ids_digest(id_at) };
        let answer = Answer {
            url: &url,
            headers: &headers,
            envelope: page.envelope(),
            path: page.path(),
            record_count: page.len(),
            digest: page.digest(),
            ids: Ids(&ids),
        };
        if let Some(delta) = &self.resource.delta {
            self.token.note(delta, (&url, &headers, page.envelope()), page.len(), &self.auth.query);
        }
        let cpu = &self.asker.cpu;
        self.pager.note_last(page.records().rev().map(|record| (record.json, record.key)), id_at);
        let next = cpu.work(self.instance, page.body_len(), || self.pager.next(&answer)).await?;
        if next.is_none() && self.pager.ends_again() {
            self.retry_after = self.retry_after.max(quota).max(spent);
            self.finish();
            return Ok(Step::End);
        }
        if next.is_some() && self.bytes > MAX_BYTES {
            return Err(Problem::human(
                Reason::ResponseTooLarge,
                "resources[].query: the list has more than 16 GiB; filter it with query so that a poll reads less",
            ));
        }
        self.has_list |= page.has_list() || verdict == Verdict::Empty;
        self.lost_list = self.lost_list.take().or_else(|| page.lost.clone()).filter(|_| !self.has_list);
        self.has_other_lists |= page.has_list() && place::has_lists_beside(page.envelope(), page.path());
        // PHP writes an empty object as `[]`: a response that is nothing else does not show where records will be.
        let is_proof = !page.is_empty() || !page.path().is_empty() || self.resource.extract.records_path.is_some();
        if page.has_list() && is_proof && self.records_path.is_none() {
            self.records_path = Some(page.path().to_vec());
        }
        // With several pages the first one's validators say nothing about the others.
        self.fresh = (is_first && next.is_none() && self.resource.request.method == Method::GET)
            .then(|| Validators::of(&headers, digest))
            .flatten();
        self.pages += 1;
        self.cap.note(page.len(), next.is_some());
        self.position = next.filter(|_| !self.cap.is_reached());
        if self.has_next() {
            // The next request would be refused; it waits instead.
            self.hold(quota);
        } else {
            self.retry_after = self.retry_after.max(quota).max(spent);
            self.finish();
        }
        Ok(Step::Page(page))
    }

    /// When the first answer was made, and the page that was read last came.
    pub fn moment(&self) -> Moment {
        Moment { date: self.server_date, age: self.age, now: Utc::now() }
    }

    /// Whether the next page is to be asked for later, because this instance used more than a fair amount of CPU time.
    pub fn over_share(&self) -> Option<OverShare> {
        self.asker.cpu.over_share(self.instance)
    }

    /// Whether there is memory for another page in addition to those that are held already.
    pub fn has_room(&self) -> bool {
        self.asker.bytes.has_room()
    }

    /// Whether there is another page.
    pub fn has_next(&self) -> bool {
        self.position.is_some()
    }

    /// The next request as it would be sent, for showing it; `None` when the listing is over.
    ///
    /// # Errors
    /// As [`request::build`].
    pub fn next_request(&self) -> Result<Option<Request>, Problem> {
        let Some(position) = &self.position else { return Ok(None) };
        let mut request = self.build(position)?;
        self.auth.apply(&mut request);
        Ok(Some(request))
    }

    fn build(&self, position: &Position) -> Result<Request, Problem> {
        let token = self.token.value(self.resource.delta.as_ref());
        let rest = self.resource.macros(self.now);
        // `None` is the smallest.
        let since = self.since.max(rest.since);
        let context = MacroContext { since, until: self.until.unwrap_or(rest.until), token, ..rest };
        request::build(&self.resource.request, &context, position)
    }

    async fn send(&mut self, request: Request) -> Result<(Response, Share), Problem> {
        let (due, metrics) = (&mut self.due, &self.asker.metrics);
        let begun = || {
            if let Some(due) = due.take() {
                metrics.poll_delay((Utc::now() - due).to_std().unwrap_or_default());
            }
        };
        self.asker.send(self.instance, self.resource, &self.auth, request, begun).await
    }

    /// A `Backoff` in a successful response counts from the end of the listing: a long list must not be cut off in the middle every time.
    fn finish(&mut self) {
        self.position = None;
        self.hold(self.retry_after);
    }

    fn hold(&self, wait: Option<Duration>) {
        if let Some(wait) = wait {
            let until = tokio::time::Instant::now() + wait;
            self.asker.hosts.hold(&self.resource.request.origin, self.auth.fingerprint, until);
        }
    }
}

mod meaning;
mod shown;
#[cfg(test)]
mod tests;
