//! What a trial shows of the request for a whole record.

use chrono::Utc;

use super::first_page;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::api::visible::one_line;
use crate::auth::RequestAuth;
use crate::detect::named_fields::{Part, Sightings};
use crate::detect::record::RecordReader;
use crate::detect::shape;
use crate::fetch::asker::Asker;
use crate::fetch::detail::{self, Detail};
use crate::observe::output;
use crate::plan::ResourcePlan;
use crate::plan::json::for_each_member;

/// Asks for one record that is listed, and says what it has in addition to the row of the list.
pub(super) async fn prove(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
) -> Result<(), Problem> {
    let Some(plan) = resource.detail.as_deref() else { return Ok(()) };
    let Some(page) = first_page(asker, instance, resource, auth, (None, Utc::now())).await? else { return Ok(()) };
    let reader = RecordReader::new(&resource.extract);
    let found = page.records().find_map(|record| {
        let id = match &resource.feed {
            Some(feed) => feed.object_id.find(record.json).and_then(crate::plan::json::scalar_text)?.into_owned(),
            None => reader.read(record.json, record.key).ok()?.id.into_owned(),
        };
        Some((id, record.json))
    });
    let Some((id, row)) = found else {
        output::line(format_args!("  detail:       cannot be tried: there is no record"));
        return Ok(());
    };
    let mut request = detail::build(plan, &id, &resource.macros(Utc::now()))?;
    auth.apply(&mut request);
    let (response, _share) = asker.send(instance, resource, auth, request, || {}).await?;
    let mut delivered = Sightings::default();
    let verdict = match detail::read(resource, plan, &id, &response, Utc::now()) {
        Ok(Detail::Record(json)) => {
            delivered.note(resource, Part::Delivered, json.get());
            let added = members(json.get()).saturating_sub(members(row)) as u64;
            let seen = shape::outline(json.get(), &resource.extract.shape);
            format!("works: the record has {} more than in the list: {}", super::count(added, "member"), one_line(&seen))
        }
        Ok(Detail::Missing) => format!(
            "does NOT work: a record that is listed answers {}, as if it were deleted; check detail.url",
            response.status.as_u16()
        ),
        Err(problem) => format!("does NOT work: {}", detail::explained(problem).message),
    };
    output::line(format_args!("  detail:       {verdict}"));
    if let Some(absent) = delivered.found(resource, Part::Delivered).absent() {
        output::line(format_args!("  warning:      {absent}"));
    }
    Ok(())
}

fn members(json: &str) -> usize {
    let mut count = 0;
    for_each_member(json, |_, _| count += 1);
    count
}
