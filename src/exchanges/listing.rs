//! Reads a list as a poll does, with the listing and the detector that polls use, and says what it saw.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::Seen;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceRef;
use crate::auth::RequestAuth;
use crate::cpu::CpuBudget;
use crate::detect::classify::Mode;
use crate::detect::detector::{Detector, Moment, TooManyRecords, View};
use crate::detect::known::KnownSet;
use crate::detect::record::RecordReader;
use crate::detect::seen::Seen as Counts;
use crate::detect::unidentified::Unidentified;
use crate::detect::window;
use crate::egress::Egress;
use crate::egress::byte_budget::ByteBudget;
use crate::egress::hosts::HostBudget;
use crate::fetch::asker::Asker;
use crate::fetch::listing::{Attempt, PageReader, Step};
use crate::fetch::page::Page;
use crate::fetch::transcript::Transcript;
use crate::observe::Metrics;
use crate::plan::json::scalar_text;
use crate::plan::{PaginationPlan, ResourcePlan};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What `${since}` stands for.
    pub since: Option<DateTime<Utc>>,
    /// The token at which an earlier listing ended.
    pub token: Option<String>,
    /// When the poll begins.
    pub now: DateTime<Utc>,
    /// Pages that are read at most.
    pub pages: u32,
}

/// What came.
#[derive(Clone, Debug)]
pub struct Read {
    /// What a recording keeps of it.
    pub seen: Seen,
    /// The list was read to its end.
    pub ended: bool,
    /// Ids in the order in which they came.
    pub ids: Vec<String>,
    /// What the detector counted.
    pub counts: Counts,
    /// Rows without an id.
    pub unidentified: u64,
    /// What is wrong with the date fields of the plan.
    pub absent_date: Option<String>,
    /// Where the next listing begins.
    pub token: Option<String>,
    /// What was detected of pages, where the plan leaves it open.
    pub pagination: Option<PaginationPlan>,
    /// Where the records were, as [`PageReader::records_path`] writes it.
    pub records_path: Option<String>,
}

/// One that asks by itself: nothing that others asked slows it down.
pub fn asker(egress: Egress, transcript: Transcript) -> Asker {
    Asker {
        egress,
        hosts: HostBudget::default(),
        bytes: ByteBudget::default(),
        cpu: CpuBudget::default(),
        metrics: Metrics::new(),
        transcript,
    }
}

/// Reads pages of a list.
///
/// # Errors
/// As [`PageReader::next_page`].
pub async fn read(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    ask: &Ask,
) -> Result<Read, Problem> {
    let reader = PageReader::new(asker, instance, resource, auth, ask.since, ask.now, None);
    let mut reader = reader.with_token(ask.token.as_deref(), Attempt::First);
    let view = View { mode: Mode::Usual, cursor: ask.since, window: window::UNBOUNDED, rehash: false };
    let mut detector = Detector::new(resource, "", view, ask.now);
    detector.begin_listing(ask.since, false);
    let mut known = KnownSet::default();
    let (mut ids, mut seen, mut ended) = (Vec::new(), Seen::default(), false);
    while seen.pages < ask.pages && !ended {
        let Step::Page(page) = reader.next_page().await? else {
            ended = true;
            break;
        };
        seen.pages += 1;
        let at = Moment::new(reader.server_date(), ask.now);
        let found = detector.page(page.records(), &mut known, at).map_err(|TooManyRecords| {
            let text = format!("resource {} has more records on one page than are read; lower pageSize", resource.name);
            Problem::human(Reason::ResponseTooLarge, text)
        })?;
        seen.earliest = [seen.earliest, found.least].into_iter().flatten().min();
        seen.latest = seen.latest.max(found.greatest);
        ids.extend(ids_of(resource, &page));
        ended = !reader.has_next();
    }
    let counts = detector.seen();
    let unidentified = detector.unidentified().map_or(0, Unidentified::rows);
    seen.records = counts.records + unidentified;
    seen.ids = ids.iter().collect::<HashSet<_>>().len() as u64;
    let token = if ended { reader.next_token()? } else { None };
    Ok(Read {
        seen,
        ended,
        ids,
        counts,
        unidentified,
        absent_date: detector.absent_date().map(|absent| absent.to_string()),
        token,
        pagination: reader.detected_pagination().cloned(),
        records_path: reader.records_path(),
    })
}

/// The ids of the records of a page, and of the objects that events are about.
fn ids_of(resource: &ResourcePlan, page: &Page) -> Vec<String> {
    let reader = RecordReader::new(&resource.extract);
    let own = page.records().filter_map(|record| Some(reader.read(record.json, record.key).ok()?.id.into_owned()));
    let objects = page.records().filter_map(|record| {
        let object = resource.feed.as_ref()?.object_id.find(record.json)?;
        scalar_text(object).map(std::borrow::Cow::into_owned)
    });
    own.chain(objects).collect()
}
