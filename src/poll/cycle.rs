//! One job of one resource: send what is due from the retry queues, then fetch → detect → deliver → commit.

mod begin;
mod cursor;
mod deleted_list;
mod delta;
mod detail;
mod findings;
mod for_each;
mod full_sweep;
mod keyset;
mod limits;
mod list;
mod parents;
mod parts;
mod send;
mod sweep;
mod trail;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use self::begin::{is_order_broken, unconfirmed, view};
use self::findings::{is_too_much, too_many_records};
use self::list::Start;
use self::sweep::Sweeping;
use super::context::EngineContext;
use super::detail_tries::DetailTries;
use super::instance::Instance;
use super::memory::{Memory, Trail};
use super::page_retries::PageRetries;
use super::pages::{Direction, Pages};
use super::report::{Facts, Job, Outcome, Report};
use super::schedule;
use super::sinks::{open_outbox, wakes};
use super::strategy::{Input, Next, PageFacts, PollEnd, PollMachine, Strategy};
use crate::api::conditions::Problem;
use crate::auth::access::Access;
use crate::deliver::outbox::{Outbox, Sent};
use crate::detect::classify::Mode;
use crate::detect::detector::{Detector, Moment, PageChanges, TooManyRecords};
use crate::detect::window::Undelivered;
use crate::fetch::listing::{PageReader, Step};
use crate::fetch::page::Page;
use crate::fetch::validators::Validators;
use crate::plan::ResourcePlan;
use crate::state::live::LiveState;

/// Single records that are asked for at once.
const ASKED_AT_ONCE: usize = 4;
/// Records that are read at a time: enough to be worth a turn, and few enough to be read in some milliseconds.
const PIECE: usize = 4_096;

/// Runs one job, and `due` is when it was to begin. `memory` is that of the last poll, and is replaced.
pub async fn run(
    core: &EngineContext,
    instance: &Arc<Instance>,
    resource: &ResourcePlan,
    (job, due): (Job, DateTime<Utc>),
    memory: &mut Memory,
) -> Report {
    let mut facts = Facts::default();
    let outcome = match attempt(core, instance, resource, (job, due), memory, &mut facts).await {
        Ok(outcome) => outcome,
        Err(problem) => Outcome::Failed(problem),
    };
    Report { wakes: wakes(instance, resource), outcome, facts }
}

async fn attempt(
    core: &EngineContext,
    instance: &Arc<Instance>,
    resource: &ResourcePlan,
    (job, due): (Job, DateTime<Utc>),
    memory: &mut Memory,
    facts: &mut Facts,
) -> Result<Outcome, Problem> {
    if instance.is_unsaved() {
        instance.commit().await?;
    }
    let identity = instance.state().identity().to_owned();
    match job {
        Job::Save => return Ok(Outcome::Stopped),
        Job::KeepAlive => {
            let access = Access::prepare(instance.requester(core), "spec.auth", &resource.auth).await;
            return access.map(|_| Outcome::Stopped);
        }
        Job::Poll | Job::RetryQueue => {}
    }
    let mut outbox = match open_outbox(core, instance, resource, &identity).await {
        Ok(outbox) => outbox,
        Err(closed) => return Ok(closed),
    };
    let polled = async {
        // What is queued needs nothing of the provider, not even access.
        outbox.send_due().await?;
        if job == Job::RetryQueue {
            return Ok(Outcome::RetryQueueSent);
        }
        let access = match prepare_access(core, instance, resource).await {
            Ok(access) => access,
            // A wait that its token endpoint demands is none of the provider's.
            Err(problem) => return Ok(Outcome::Failed(problem)),
        };
        instance.restore_retry_after(&core.asker.hosts, resource, access.auth().fingerprint);
        if let Some(plan) = resource.for_each.as_deref() {
            // Apart, so that polls of one list hold no room for several.
            let (of, from) = ((resource, plan), (identity.as_str(), due));
            return Box::pin(for_each::poll((core, instance), of, from, &mut outbox, memory, facts)).await;
        }
        let (mut access, mut deletions_wait) = (access, false);
        if let Some(list) = resource.deleted_list.as_deref() {
            // Apart, so that polls without such a list hold no room for one.
            let reading =
                deleted_list::read((core, instance), (resource, list), (access, &identity), &mut outbox, memory, facts);
            let read = Box::pin(reading).await?;
            (access, deletions_wait) = (read.access, read.waits);
        }
        let start = Start { access, identity: &identity, due: Some(due), deletions_wait };
        // Apart, so that jobs that only send hold no room for a poll.
        Box::pin(list::poll((core, instance), resource, start, &mut outbox, memory, facts)).await.1
    }
    .await;
    outbox.sums.dirty |= limits::note(instance, resource, &polled, facts);
    facts.sums = outbox.sums;
    // What was accepted is saved however the poll ended.
    let saved = if outbox.sums.dirty { outbox.commit().await } else { Ok(()) };
    saved?;
    match outbox.refusal() {
        Some(problem) => Ok(Outcome::CallbackUnusable(problem.clone())),
        None => polled,
    }
}

/// Access to the provider, which may ask for a token.
async fn prepare_access<'a>(
    core: &'a EngineContext,
    instance: &'a Arc<Instance>,
    resource: &ResourcePlan,
) -> Result<Access<'a>, Problem> {
    let access = Access::prepare(instance.requester(core), "spec.auth", &resource.auth).await?;
    access.with_tls(resource.tls.as_deref())
}

/// One poll of one resource.
struct Poll<'a> {
    core: &'a EngineContext,
    instance: &'a Arc<Instance>,
    resource: &'a ResourcePlan,
    access: Access<'a>,
    machine: PollMachine<'a>,
    detector: Detector<'a>,
    mode: Mode,
    polled_at: DateTime<Utc>,
    /// When it was due; `None` once the first listing has begun.
    due: Option<DateTime<Utc>>,
    /// Where earlier listings found the records.
    records_path: Option<String>,
    /// A response had a list, even an empty one.
    has_list: bool,
    /// The listing under way is a copy of the first of these times, kept in a cache until the other.
    copy: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Whether it looks for what the list no longer shows.
    sweep: Sweeping,
    /// Objects of which an event of a feed was not taken: later ones wait for it.
    held: HashSet<u64>,
    trail: Trail,
    /// Single records that could not be read, and what was read of others.
    details: DetailTries,
    /// The list is one of deleted ids, of this resource.
    names_deleted_of: Option<&'a ResourcePlan>,
    /// The list of deleted ids had deletions that were not taken.
    deletions_wait: bool,
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// The machine says so.
    Ended(PollEnd),
    /// Nothing more may be sent: what is left is found by the next poll.
    Closed,
    /// The plan changed, or the process ends.
    Stopped,
}

impl<'a> Poll<'a> {
    fn new(
        core: &'a EngineContext,
        instance: &'a Arc<Instance>,
        resource: &'a ResourcePlan,
        access: Access<'a>,
        identity: &'a str,
        due: Option<DateTime<Utc>>,
    ) -> Self {
        let (view, records_path, token, order_broken, unconfirmed) = {
            let state = instance.state();
            let own = state.resources.get(&*resource.name).map(|own| &**own);
            let of_all = resource.list_of.as_ref().and_then(|list| state.resources.get(&*list.resource));
            let records_path = own.and_then(|own| own.records_path.clone()).or_else(|| of_all?.records_path.clone());
            (view(resource, own), records_path, begin::token(resource, own), is_order_broken(resource, own), unconfirmed(own))
        };
        let polled_at = Utc::now();
        let mut machine = PollMachine::new(resource, view.mode, view.cursor).with_token(token).read_at(polled_at);
        if order_broken {
            machine.distrust_order();
        }
        let mut detector = Detector::new(resource, identity, view, polled_at);
        detector.expect_undone(unconfirmed);
        Self {
            core,
            instance,
            resource,
            access,
            machine,
            detector,
            mode: view.mode,
            polled_at,
            due,
            records_path,
            has_list: false,
            copy: None,
            sweep: Sweeping::default(),
            held: HashSet::new(),
            trail: Trail::default(),
            details: DetailTries::default(),
            names_deleted_of: None,
            deletions_wait: false,
        }
    }

    async fn run(
        &mut self,
        outbox: &mut Outbox<'_, LiveState>,
        validators: &mut Option<Validators>,
        facts: &mut Facts,
    ) -> Result<Outcome, Problem> {
        let before = self.take_shown();
        let known_validators = validators.take().filter(|_| !self.sweep.must_read);
        let next_token;
        // Each listing is read page by page; the machine says when another one is to follow.
        let reading = loop {
            let (auth, known_path) = (self.access.auth(), self.records_path.clone());
            let first = known_validators.as_ref().filter(|_| facts.pages == 0);
            let since = self.machine.since();
            let instance = &self.instance.plan.instance;
            let listing = PageReader::new(&self.core.asker, instance, self.resource, &auth, since, self.polled_at, first)
                .with_until(self.machine.until())
                .with_due(self.due.take())
                .with_records_path(known_path.as_deref())
                .with_token(self.machine.token(), self.machine.attempt());
            let reversed = self.machine.strategy() == Strategy::OldestFirst;
            self.detector.begin_listing(since, reversed);
            let direction = if reversed { Direction::Reversed } else { Direction::Forward };
            let mut pages = Pages::new(listing, direction, self.retries(facts.pages));
            let read = self.read(&mut pages, outbox, facts).await;
            self.note(&pages, facts);
            let read = read?;
            self.keep_records_path(pages.listing.records_path(), outbox);
            if let Some(reading) = read {
                let clean = self.machine.is_clean();
                *validators = pages.listing.validators().filter(|_| clean);
                next_token = pages.listing.next_token();
                break reading;
            }
        };
        match reading {
            Reading::Stopped => return Ok(Outcome::Stopped),
            Reading::Ended(PollEnd::NotModified) => {
                *validators = known_validators;
                self.leave_unchanged(before, facts);
                self.detector.end_poll();
            }
            Reading::Ended(PollEnd::Complete { settled }) => {
                self.complete(settled, before, outbox, facts)?;
                self.commit_token(next_token?, outbox);
            }
            Reading::Closed | Reading::Ended(PollEnd::OutOfPages) => *validators = None,
        }
        let is_whole = matches!(reading, Reading::Ended(PollEnd::Complete { .. } | PollEnd::NotModified));
        if is_whole && self.resource.snapshot.is_some() {
            // Apart, so that polls without sweeps hold no room for one.
            Box::pin(self.find_deletions(reading, outbox, facts)).await?;
        }
        if is_whole && self.resource.full_sweep.is_some() {
            Box::pin(self.sweep_in_full(outbox, facts)).await?;
        }
        Ok(if self.instance.stop.is_cancelled() { Outcome::Stopped } else { Outcome::Polled })
    }

    fn retries(&self, pages: u64) -> PageRetries {
        let seed = schedule::seed(&self.instance.state().uid, &self.resource.name);
        PageRetries::new(self.resource.request.method.clone(), pages, seed)
    }

    /// Reads one listing; `None` when another one is to follow.
    async fn read(
        &mut self,
        pages: &mut Pages<'_>,
        outbox: &mut Outbox<'_, LiveState>,
        facts: &mut Facts,
    ) -> Result<Option<Reading>, Problem> {
        loop {
            // 1. Fetch.
            let step = tokio::select! {
                biased;
                () = self.instance.stop.cancelled() => return Ok(Some(Reading::Stopped)),
                step = pages.next(&mut self.access) => step,
            };
            let step = match step {
                Err(problem) if is_too_much(&problem) && self.machine.ask_for_less(Utc::now()) => return Ok(None),
                step => step?,
            };
            let input = match step {
                Step::NotModified => Input::NotModified,
                Step::TokenExpired => Input::TokenExpired,
                Step::BeginAgain => Input::BeginAgain,
                Step::End if pages.listing.is_cut_off() => self.cut_off()?,
                Step::End => Input::End,
                Step::Page(page) => {
                    let rows = page.len();
                    self.note_page(&pages.listing, facts)?;
                    // 2. Detect.
                    let found = self.detect(&page, pages.listing.moment(), outbox).await?;
                    let _held = page.into_memory().filter(|_| self.holds_pages());
                    // 3. Deliver.
                    let PageChanges { changes, remembered, returned, least, greatest, has_news, ids } = found;
                    if returned {
                        outbox.commit().await?;
                    }
                    let Sent { tried, undelivered, closed } = self.send(changes, outbox).await?;
                    if closed {
                        return Ok(Some(Reading::Closed));
                    }
                    let undelivered = if self.detector.has_doubts() { Undelivered::Undated } else { undelivered };
                    Input::Page(PageFacts {
                        tried,
                        undelivered,
                        has_next: pages.listing.has_next() || pages.listing.is_cut_off() || self.is_keyset(),
                        provider_date: self.detector.provider_date(),
                        seen: self.detector.seen(),
                        has_news,
                        remembered,
                        least,
                        greatest,
                        ids,
                        rows,
                    })
                }
            };
            // 4. What next?
            let next = self.machine.next(input);
            self.check_keyset(next)?;
            // 5. Keep the cursor that was reached on the way.
            self.keep_cursor(outbox);
            match next {
                Next::Page => {}
                Next::Listing => return Ok(None),
                Next::Part | Next::Done(_) => {
                    let late = self.detector.at_end();
                    let late = self.send(late, outbox).await?;
                    self.machine.note_at_end(late.undelivered);
                    return Ok(match next {
                        _ if late.closed => Some(Reading::Closed),
                        Next::Done(end) => Some(Reading::Ended(end)),
                        _ => None,
                    });
                }
            }
        }
    }

    /// The changes of a page. Of one with many records some are read at a time, so that neither a worker nor the state is taken for long.
    async fn detect(&mut self, page: &Page, at: Moment, outbox: &mut Outbox<'_, LiveState>) -> Result<PageChanges, Problem> {
        let reversed = self.machine.strategy() == Strategy::OldestFirst;
        let Self { core, instance, resource, detector, .. } = self;
        let cpu = &core.asker.cpu;
        let mut reading = detector.begin_page(at);
        for piece in page.pieces(PIECE, reversed) {
            let read = cpu.work(&instance.plan.instance, page.body_len(), || {
                let mut state = instance.state();
                let known = &mut state.resources.entry(resource.name.to_string()).or_default().known;
                if reversed {
                    detector.read(&mut reading, page.records_in(piece).rev(), known)
                } else {
                    detector.read(&mut reading, page.records_in(piece), known)
                }
            });
            read.await.map_err(|TooManyRecords| too_many_records(&resource.name))?;
        }
        let found = cpu.work(&instance.plan.instance, page.body_len(), || detector.end_page(reading)).await;
        outbox.sums.dirty |= found.remembered;
        Ok(found)
    }
}
