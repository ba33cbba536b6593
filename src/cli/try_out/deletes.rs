//! What a trial shows of deletions by complete lists, and of lists of deleted ids.

use chrono::{SecondsFormat, Utc};

use super::first_page;
use crate::api::conditions::Problem;
use crate::api::duration;
use crate::api::identity::InstanceRef;
use crate::api::visible::one_line;
use crate::auth::RequestAuth;
use crate::detect::detector::Detector;
use crate::detect::record::RecordReader;
use crate::detect::seen::Seen;
use crate::detect::sweep::Answer;
use crate::fetch::asker::Asker;
use crate::fetch::confirm;
use crate::fetch::listing::{PageReader, Step};
use crate::observe::output;
use crate::plan::{ConfirmPlan, ResourcePlan};

/// Says how deletions are found, and asks for one record that is listed: it must be found to be there.
pub(super) async fn prove(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
) -> Result<(), Problem> {
    if let Some(list) = resource.deleted_list.as_deref() {
        return show(asker, instance, list, auth).await;
    }
    let Some(snapshot) = resource.snapshot.as_deref() else { return Ok(()) };
    let often = snapshot
        .interval
        .map_or_else(|| "with every poll".to_owned(), |interval| format!("every {}", duration::print(interval)));
    output::line(format_args!(
        "  deletes:      the whole list is read {often}; it must have every record, or those that it leaves out look deleted"
    ));
    let Some(plan) = &snapshot.confirm else { return Ok(()) };
    let Some(page) = first_page(asker, instance, resource, auth, (None, Utc::now())).await? else { return Ok(()) };
    let reader = RecordReader::new(&resource.extract);
    let id = page.records().find_map(|record| Some(reader.read(record.json, record.key).ok()?.id.into_owned()));
    match id {
        Some(id) => output::line(format_args!("  confirm:      {}", ask(asker, instance, resource, auth, (plan, &id)).await?)),
        None => output::line(format_args!("  confirm:      cannot be tried: there is no record")),
    }
    Ok(())
}

/// Says what the flag of deleted records makes of the pages that were read.
pub(super) fn show_flag(seen: &Seen, detector: &Detector<'_>) {
    if seen.unread_marks > 0 && seen.tombstones == 0 {
        output::line(format_args!("  warning:      {} records have a mark that is not deletes.flag.value", seen.unread_marks));
    }
    if seen.status_words > 0 {
        output::line(format_args!(
            "  warning:      {} records have a word at deletes.flag.field and count as living; set deletes.flag.value to the word that means deleted",
            seen.status_words
        ));
    }
    if seen.tombstones > 0 && seen.tombstones == seen.listed {
        output::line(format_args!(
            "  warning:      all records count as deleted; check deletes.flag.field, or set deletes.flag.value"
        ));
    }
    if let Some(absent) = detector.absent_mark() {
        output::line(format_args!("  warning:      {absent}"));
    } else if detector.is_mark_unseen() {
        output::line(format_args!(
            "  note:         no record has deletes.flag.field, which is right if the provider sets it for deleted records alone"
        ));
    }
}

/// Reads the first page of a list of deleted ids, and says whether its rows can be read.
async fn show(asker: &Asker, instance: &InstanceRef, list: &ResourcePlan, auth: &RequestAuth) -> Result<(), Problem> {
    let mut walk = PageReader::new(asker, instance, list, auth, None, Utc::now(), None);
    let step = walk.next_page().await.map_err(|problem| {
        let message = format!("deletes.feed: the list of deleted ids cannot be read: {}", problem.message);
        Problem { message, ..problem }
    })?;
    let Step::Page(page) = step else { return Ok(()) };
    let reader = RecordReader::new(&list.extract);
    let mut first = None;
    let (mut rows, mut unidentified, mut undated) = (0_usize, 0_usize, 0_usize);
    for record in page.records() {
        rows += 1;
        match reader.read(record.json, record.key) {
            Ok(row) => {
                undated += usize::from(row.version_date().is_none());
                first = first.or_else(|| Some((one_line(&row.id).into_owned(), row.version_date())));
            }
            Err(_) => unidentified += 1,
        }
    }
    let more = if walk.has_next() { ", and there are more" } else { "" };
    output::line(format_args!("  deletes:      the list of deleted ids has {rows} rows on its first page{more}"));
    if let Some((id, date)) = first {
        let date = date.map_or_else(|| "no date".to_owned(), |date| date.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        output::line(format_args!("  deleted:      id {id}, {date}"));
    }
    if unidentified > 0 {
        output::line(format_args!("  warning:      {unidentified} of these rows have no value at deletes.feed.idField"));
    }
    if undated > 0 {
        output::line(format_args!(
            "  warning:      {undated} of these rows have no date at deletes.feed.dateField that matches dateFormat"
        ));
    }
    Ok(())
}

async fn ask(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    (plan, id): (&ConfirmPlan, &str),
) -> Result<String, Problem> {
    let mut request = confirm::build(plan, id, &resource.macros(Utc::now()))?;
    auth.apply(&mut request);
    let (response, _share) = asker.send(instance, resource, auth, request, || {}).await?;
    let code = response.status.as_u16();
    Ok(match confirm::read(plan, &resource.extract.id, id, &response, Utc::now()) {
        Answer::Lives => "works: a record that is listed answers 200".to_owned(),
        Answer::Gone => {
            format!(
                "does NOT work: a record that is listed answers {code}, as if it were deleted; check deletes.snapshot.confirm.url"
            )
        }
        Answer::Replaced => {
            "does NOT work: the request for a record that is listed answers another one, or one that is marked as deleted; check deletes.snapshot.confirm.url".to_owned()
        }
        Answer::Unclear if code == 200 => {
            "does NOT work: the request for a record that is listed answers 200 without that record, so no deletion would be found; check deletes.snapshot.confirm.url".to_owned()
        }
        Answer::Unclear => {
            format!(
                "does NOT work: a record that is listed answers {code} instead of 200, so no deletion would be found; check deletes.snapshot.confirm.url"
            )
        }
    })
}
