//! What a trial shows of deletions by complete lists.

use chrono::Utc;

use crate::api::conditions::Problem;
use crate::api::duration;
use crate::api::identity::InstanceRef;
use crate::auth::RequestAuth;
use crate::detect::record::RecordReader;
use crate::detect::sweep::Answer;
use crate::egress::Peer;
use crate::fetch::listing::{Asker, PageReader, Step};
use crate::fetch::{confirm, request};
use crate::observe::output;
use crate::plan::date_format::DateFormat;
use crate::plan::template::MacroContext;
use crate::plan::{ConfirmPlan, ResourcePlan};

/// Says how deletions are found, and asks for one record that is listed: it must be found to be there.
pub(super) async fn prove(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
) -> Result<(), Problem> {
    let Some(snapshot) = resource.snapshot.as_deref() else { return Ok(()) };
    let often = snapshot
        .interval
        .map_or_else(|| "with every poll".to_owned(), |interval| format!("every {}", duration::print(interval)));
    output::line(format_args!(
        "  deletes:      the whole list is read {often}; it must have every record, or those that it leaves out look deleted"
    ));
    let Some(plan) = &snapshot.confirm else { return Ok(()) };
    let mut walk = PageReader::new(asker, instance, resource, auth, None, Utc::now(), None);
    let Step::Page(page) = walk.next_page().await? else { return Ok(()) };
    let reader = RecordReader::new(&resource.extract);
    let id = page.records().find_map(|record| Some(reader.read(record.json, record.key).ok()?.id.into_owned()));
    match id {
        Some(id) => output::line(format_args!("  confirm:      {}", ask(asker, resource, auth, (plan, &id)).await?)),
        None => output::line(format_args!("  confirm:      cannot be tried: there is no record")),
    }
    Ok(())
}

async fn ask(
    asker: &Asker,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    (plan, id): (&ConfirmPlan, &str),
) -> Result<String, Problem> {
    let rfc3339 = DateFormat::default();
    let since_format = resource.cursor_format().unwrap_or(&rfc3339);
    let context = MacroContext { since: None, now: Utc::now(), since_format, token: None };
    let mut request = confirm::build(plan, id, &context)?;
    request::authenticate(&mut request, auth);
    let response = asker.egress.send_sharing(request, auth.identity.as_deref(), None).await;
    let response = response.map_err(|error| error.into_problem(Peer::Provider))?;
    let code = response.status.as_u16();
    Ok(match confirm::read(plan, response.status, &response.headers, Utc::now()) {
        Answer::Lives => "works: a record that is listed answers 200".to_owned(),
        Answer::Gone => {
            format!(
                "does NOT work: a record that is listed answers {code}, as if it were deleted; check deletes.snapshot.confirm.url"
            )
        }
        Answer::Unclear => {
            format!(
                "does NOT work: a record that is listed answers {code} instead of 200, so no deletion would be found; check deletes.snapshot.confirm.url"
            )
        }
    })
}
