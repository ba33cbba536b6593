//! `pollinator try FILE`.

mod content;
mod deletes;
mod detail;
mod failure;
mod fields;
mod first_poll;
mod for_each;
mod page_zero;
mod probe;
pub mod wishes;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;

use super::{EgressArgs, ManifestArgs};
use crate::api::auth::Rotates;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceRef;
use crate::api::visible::one_line;
use crate::auth::RequestAuth;
use crate::auth::oauth2::credentials::Credentials;
use crate::auth::oauth2::parts::{Beginnings, Parts};
use crate::auth::oauth2::store::{MemoryTokens, TokenStore};
use crate::cpu::CpuBudget;
use crate::detect::detector::{Detector, TooManyRecords, View};
use crate::detect::event::Change;
use crate::detect::known::{KnownSet, MAX_KNOWN};
use crate::detect::seen::Seen as Counts;
use crate::detect::selection::Undecided;
use crate::detect::shape;
use crate::detect::unidentified::Unidentified;
use crate::detect::window;
use crate::egress::Egress;
use crate::egress::byte_budget::ByteBudget;
use crate::egress::hosts::HostBudget;
use crate::fetch::asker::Asker;
use crate::fetch::listing::{PageReader, Step};
use crate::fetch::page::Page;
use crate::fetch::pagination::FULL_PAGE;
use crate::fetch::request::masked;
use crate::fetch::transcript::Transcript;
use crate::local::definitions::Definitions;
use crate::observe::{Metrics, output};
use crate::plan::date_format::DateReading;
use crate::plan::json::scalar_text;
use crate::plan::shaping::Shape;
use crate::plan::{AuthPlan, ChangeBy, DateField, PaginationPlan, PollPlan, ResourcePlan};
use crate::state::directory::Directory;
use wishes::Wishes;

/// Records whose id and dates are shown.
const SHOWN: usize = 3;
/// Pages that are asked for at most: enough to prove the pagination.
const PAGES: u64 = 3;

/// Asks a provider once and shows what would be delivered; saves and delivers nothing.
#[derive(Debug, Args)]
pub struct TryArgs {
    #[command(flatten)]
    manifests: ManifestArgs,
    /// Lower bound to try the filter with, as an RFC 3339 time. Default: no bound, as the first poll.
    #[arg(long)]
    since: Option<DateTime<Utc>>,
    /// Also send POST requests, which create records on some servers.
    #[arg(long)]
    yes: bool,
    /// State folder of `pollinator local`, which must not run: OAuth 2.0 tokens are taken from there, and kept there when they are
    /// renewed. Default: none, and a refresh token or code that a trial could spend is not used.
    #[arg(long, env = "POLLINATOR_STATE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    egress: EgressArgs,
}

/// Tries every resource of every instance; 1 when one failed, 2 when nothing could be tried.
pub async fn run(args: TryArgs) -> ExitCode {
    let definitions = match Definitions::read(&args.manifests.sources()) {
        Ok(definitions) => definitions,
        Err(errors) => {
            output::error(errors);
            return ExitCode::from(2);
        }
    };
    let egress = match Egress::new(args.egress.policy()) {
        Ok(egress) => egress,
        Err(error) => {
            output::error(format_args!("pollinator: the HTTP client cannot be created: {error}"));
            return ExitCode::from(2);
        }
    };
    let tokens: Arc<dyn TokenStore> = match args.state.as_deref().map(Directory::open).transpose() {
        Ok(Some(folder)) => Arc::new(folder),
        Ok(None) => Arc::new(MemoryTokens::default()),
        Err(error) => {
            output::error(format_args!("pollinator: {error}"));
            return ExitCode::from(2);
        }
    };
    let wishes = Wishes { since: args.since, posts: args.yes, keeps_tokens: args.state.is_some(), ..Wishes::default() };
    let failed = trial(&definitions, egress, tokens, wishes).await;
    output::finish(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Tries every resource and prints what it sees. Answers whether one failed.
pub async fn trial(definitions: &Definitions, egress: Egress, tokens: Arc<dyn TokenStore>, wishes: Wishes) -> bool {
    let (hosts, bytes) = (HostBudget::default(), ByteBudget::default());
    let (cpu, transcript) = (CpuBudget::default(), Transcript::default());
    let asker = Asker { egress: egress.clone(), hosts, bytes, cpu, metrics: Metrics::new(), transcript };
    let secrets = Arc::new(definitions.secrets.clone());
    let (hosts, metrics) = (asker.hosts.clone(), asker.metrics.clone());
    let credentials =
        Credentials::new(Parts { egress, hosts, secrets, store: tokens, beginnings: Beginnings::default(), metrics });
    definitions.others.iter().for_each(output::error);
    let mut failed = false;
    for (instance, problems) in &definitions.refused {
        failed = true;
        for problem in problems {
            output::line(format_args!("{instance}: {problem}"));
        }
    }
    for planned in definitions.planned.values() {
        let plans = planned.plan.resources.iter().map(|resource| &*resource.auth);
        credentials.join(&planned.plan.instance, plans);
    }
    for planned in definitions.planned.values() {
        probe::prove(&asker, &credentials, &planned.plan, wishes).await;
        for resource in &planned.plan.resources {
            output::line(format_args!("{}, resource {}", planned.plan.instance, resource.name));
            if resource.request.method == http::Method::POST && !wishes.posts {
                failed = true;
                let way_on = wishes.asked_by.way_on_with_posts();
                output::line(format_args!(
                    "  not asked:    the request is a POST, which creates records on some servers; {way_on}"
                ));
                continue;
            }
            if !wishes.keeps_tokens && spends(&resource.auth) {
                failed = true;
                let way_on = wishes.asked_by.way_on_with_tokens();
                output::line(format_args!(
                    "  not asked:    a token request may spend the refresh token or code in the Secret, and a trial keeps nothing; {way_on}"
                ));
                continue;
            }
            if let Err(problem) = for_each::try_lists(&asker, &credentials, &planned.plan, resource, wishes.since).await {
                failed = true;
                failure::print(resource, &problem, wishes.since.is_some());
            }
        }
    }
    credentials.finish().await;
    failed
}

/// Whether a token request would take something from the user that cannot be given back.
pub(super) fn spends(plan: &AuthPlan) -> bool {
    matches!(plan, AuthPlan::Oauth2(plan) if plan.keeps_tokens() && plan.refresh.rotates != Some(Rotates::Never))
}

async fn try_list(
    asker: &Asker,
    plan: &PollPlan,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    since: Option<DateTime<Utc>>,
) -> Result<(), Problem> {
    let seen = ask(asker, &plan.instance, resource, auth, since, true).await?;
    if seen.records == 0 {
        output::line(format_args!(
            "  note:         no record came; if there should be some, check recordsPath and the filter in query"
        ));
    }
    page_zero::prove(asker, &plan.instance, resource, auth, since).await?;
    prove_filter(asker, &plan.instance, resource, auth, seen.records).await?;
    if !resource.request.uses_since() && window::passes_old_newcomers(resource) {
        output::line(format_args!(
            "  note:         a record that comes into the list with an old date is not announced; fullSweep finds it"
        ));
    }
    if resource.change_by == ChangeBy::Content || resource.compare_content {
        content::prove(asker, &plan.instance, resource, auth, since).await?;
    }
    content::show_fields(asker, &plan.instance, resource, auth, since).await?;
    if let Some(interval) = resource.full_sweep {
        let interval = crate::api::duration::print(interval);
        output::line(format_args!(
            "  full sweep:   the whole list is read every {interval}, and each record is compared by content"
        ));
    }
    detail::prove(asker, &plan.instance, resource, auth).await?;
    deletes::prove(asker, &plan.instance, resource, auth).await?;
    let a_day = 86_400.0 / resource.interval.as_secs_f64();
    output::line(format_args!(
        "  requests:     at least {:.0} a day at an interval of {}",
        a_day,
        crate::api::duration::print(resource.interval)
    ));
    Ok(())
}

/// The first page of a list, if there is one.
async fn first_page(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    (since, now): (Option<DateTime<Utc>>, DateTime<Utc>),
) -> Result<Option<Page>, Problem> {
    let step = PageReader::new(asker, instance, resource, auth, since, now, None).next_page().await?;
    Ok(if let Step::Page(page) = step { Some(page) } else { None })
}

/// What one listing showed.
struct Seen {
    records: u64,
}

async fn ask(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    since: Option<DateTime<Utc>>,
    show: bool,
) -> Result<Seen, Problem> {
    let mut walk = PageReader::new(asker, instance, resource, auth, since, Utc::now(), None);
    if show && let Some(request) = walk.next_request()? {
        for line in masked(&request, auth).lines() {
            output::line(format_args!("  {line}"));
        }
    }
    let as_first = first_poll::mode(resource, since);
    let view = View { mode: as_first, cursor: since, window: window::UNBOUNDED, rehash: false };
    // The ids and dates of records are shown, whatever of them is delivered.
    let mut whole = resource.clone();
    Arc::make_mut(&mut whole.extract).shape = Shape::default();
    let mut detector = Detector::new(&whole, "", view, Utc::now()).with_fields_of(resource);
    let mut types = BTreeSet::new();
    detector.begin_listing(since, false);
    let (mut pages, mut changes, mut shown, mut ended) = (0, 0u64, Vec::new(), false);
    while pages < PAGES {
        let step = walk.next_page().await.inspect_err(|problem| {
            if show && problem.reason == Reason::PaginationUnclear {
                output::line(format_args!("  pagination:   undecided"));
            }
        })?;
        let page = match step {
            Step::Page(page) => page,
            Step::NotModified | Step::TokenExpired | Step::BeginAgain | Step::End => {
                ended = true;
                break;
            }
        };
        pages += 1;
        if let Some(feed) = &resource.feed {
            types.extend(page.records().filter_map(|record| Some(feed.type_of(record.json)?.into_owned())));
        }
        let at = walk.moment();
        let found = detector.page(page.records(), &mut KnownSet::default(), at).map_err(|TooManyRecords| {
            let text = format!("resource {} has more than {MAX_KNOWN} records on one page; lower pageSize", resource.name);
            Problem::human(Reason::ResponseTooLarge, text)
        })?;
        for change in found.changes.iter().take(SHOWN - shown.len().min(SHOWN)) {
            shown.push(describe_record(resource, change.event.data.get(), &change.event.object_id));
        }
        // All records are shown; those before the bound would not be delivered.
        let is_asked_for = |date: Option<DateTime<Utc>>| since.zip(date).is_none_or(|(since, date)| date >= since);
        let dated = |change: &&Change| is_asked_for(change.known.date.and_then(DateTime::from_timestamp_micros));
        changes += found.changes.iter().filter(dated).count() as u64;
    }
    let seen = detector.seen();
    let records = seen.records + detector.unidentified().map_or(0, Unidentified::count);
    if show {
        let more = if ended || !walk.has_next() { "" } else { ", and more pages may follow" };
        let pagination = match (walk.detected(), &resource.pagination) {
            (Some(found), _) => format!("{found} (detected)"),
            (None, PaginationPlan::Detect) => "none detected: the answer names no further page".to_owned(),
            (None, _) => "as in the manifest".to_owned(),
        };
        if let (Some(found), None) = (walk.records_path(), &resource.extract.records_path) {
            output::line(format_args!("  recordsPath:  {found} (detected)"));
        }
        output::line(format_args!("  pagination:   {pagination}"));
        output::line(format_args!("  seen:         {} on {}{more}", count(records, "record"), count(pages, "page")));
        for line in shown.iter().flatten() {
            output::line(format_args!("  {line}"));
        }
        if walk.may_be_cut() {
            output::line(format_args!("  warning:      {FULL_PAGE}"));
        }
        show_selection(&seen, detector.undecided());
        if let Some(unidentified) = detector.unidentified() {
            let said = if seen.records == 0 { unidentified.of_all() } else { unidentified.of_some() };
            output::line(format_args!("  warning:      {said}"));
        }
        fields::show(&detector, &types);
        if let Some(absent) = detector.absent_date() {
            output::line(format_args!("  warning:      {absent}"));
        }
        if let Some(unreadable) = detector.unreadable_date() {
            output::line(format_args!("  warning:      {unreadable}"));
        }
        if seen.repeated_ids > 0 {
            output::line(format_args!(
                "  warning:      {} records have an id that another record of the same page has, and one of each is delivered; {}",
                seen.repeated_ids,
                resource.extract.id.how_to_distinguish()
            ));
        }
        deletes::show_flag(&seen, &detector);
        if seen.disorder {
            output::line(format_args!("  warning:      the list is not in the declared order"));
        }
        output::line(format_args!(
            "  would deliver: {} from this lower bound; {}",
            count(changes, "event"),
            first_poll::sends(resource)
        ));
        first_poll::show_warnings(resource);
    }
    Ok(Seen { records })
}

/// What the filter makes of the records of the pages that were read.
fn show_selection(seen: &Counts, undecided: Option<&Undecided>) {
    if seen.excluded > 0 {
        let (excluded, all) = (seen.excluded, count(seen.listed, "record"));
        output::line(format_args!("  excluded:     {excluded} of {all} by filter"));
    }
    if let Some(undecided) = undecided {
        output::line(format_args!("  warning:      {undecided}"));
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A filter that a server does not understand often answers 200 with no rows, or with all of them: a past date must show rows,
/// a future one none.
async fn prove_filter(
    asker: &Asker,
    instance: &InstanceRef,
    resource: &ResourcePlan,
    auth: &RequestAuth,
    all: u64,
) -> Result<(), Problem> {
    if !resource.request.uses_since() {
        return Ok(());
    }
    let now = Utc::now();
    let past = ask(asker, instance, resource, auth, DateTime::from_timestamp(946_684_800, 0), false).await?.records;
    // Some servers refuse a filter more than a day ahead.
    let future = ask(asker, instance, resource, auth, Some(now + chrono::Duration::hours(23)), false).await?.records;
    let verdict = match (past, future) {
        (0, _) if all > 0 => "does NOT work: a date in the past shows no record; check the date format of the filter",
        (0, _) => "cannot be proven: there is no record",
        (_, 0) => "works: a date in the past shows records, one in the future none",
        _ => {
            "is ignored by the provider: a date in the future still shows records; polling works, but reads everything each time"
        }
    };
    output::line(format_args!("  filter:       ${{since}} {verdict}"));
    Ok(())
}

fn describe_record(resource: &ResourcePlan, json: &str, id: &str) -> Vec<String> {
    let mut lines = vec![format!("record:       id {}", one_line(id))];
    let mut date = |label: &str, field: &Option<DateField>| {
        let Some(field) = field else { return };
        let sent = field.path.find(json);
        let text = sent.and_then(scalar_text);
        let shown = match text.as_deref().map(|text| (text, field.format.read(text))) {
            None => "absent or null".to_owned(),
            Some((text, DateReading::Never)) => format!("no date ({text})"),
            Some((text, DateReading::Unreadable)) => format!("{text:?} does not match the format"),
            Some((text, DateReading::At(at))) => format!("{text} = {}", at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        };
        lines.push(format!("    {label}   {} {shown}", field.path));
    };
    date("updated", &resource.extract.updated);
    date("created", &resource.extract.created);
    if !resource.extract.shape.is_whole() {
        lines.push(format!("    delivered  {}", one_line(&shape::outline(json, &resource.extract.shape))));
    }
    lines
}
