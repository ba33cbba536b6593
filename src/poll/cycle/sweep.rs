//! Looks for what the list no longer shows, after a poll that went well: passes over the whole list, requests for single records, and the
//! deletions that follow. [`crate::detect::sweep`] decides.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::{ASKED_AT_ONCE, Poll, Reading};
use crate::api::conditions::Problem;
use crate::auth::RequestAuth;
use crate::deliver::outbox::Outbox;
use crate::detect::classify::Mode;
use crate::detect::known::{DetailsView, Known, KnownSet, Presence};
use crate::detect::life;
use crate::detect::record::object_hash;
use crate::detect::seen::Seen;
use crate::detect::sweep::{self, Absent, AfterPass, Answer, Conclusion, Sweep, Unproven};
use crate::detect::window::{self, Undelivered};
use crate::fetch::answer;
use crate::fetch::confirm;
use crate::fetch::listing::PageReader;
use crate::plan::json::scalar_text;
use crate::plan::{ChangeBy, ConfirmPlan, ResourcePlan, SnapshotPlan};
use crate::poll::pages::{Direction, Pages};
use crate::poll::report::{Facts, SweepOutcome};
use crate::poll::schedule;
use crate::poll::strategy::{PollEnd, PollMachine};
use crate::state::ResourceState;
use crate::state::live::LiveState;

/// Deletions that are made ready at a time.
const CHUNK: usize = 1_000;
/// No single record is waited for longer than this,
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// and all of them together no longer than this: the list is to be polled meanwhile, and the next sweep asks for what is left.
const ASKED_FOR: Duration = Duration::from_mins(1);

/// Whether a poll looks for what the list no longer shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sweeping {
    pub(super) is_due: bool,
    /// That the list is the same as the last one would not show what it lacks.
    pub(super) must_read: bool,
    /// Records that were known as living before the poll.
    living_before: u64,
    failures: u32,
    retry_at: Option<DateTime<Utc>>,
}

impl Poll<'_> {
    /// Finds out whether a sweep is due. `failures` are those of the last polls in this process.
    pub(super) async fn look_for_deletions(&mut self, failures: Option<(u32, DateTime<Utc>)>) {
        let interval = match (self.resource.snapshot.as_deref(), self.resource.full_sweep) {
            (Some(plan), _) => plan.interval,
            (None, Some(interval)) => Some(interval),
            (None, None) => return,
        };
        let state = self.own(|own| own.sweep);
        let retry_at = failures.map(|(_, retry_at)| retry_at);
        let is_due =
            state.is_due(interval, self.resource.interval, self.polled_at) && retry_at.is_none_or(|at| at <= self.polled_at);
        let living_before = match self.resource.snapshot {
            Some(_) if is_due => self.living().await,
            _ => 0,
        };
        self.sweep = Sweeping {
            is_due,
            living_before,
            // What was read in between was not compared; and what lacks the same again lacks it for the second time.
            must_read: is_due && self.resource.snapshot.is_some() && (state.missing > 0 || interval.is_some()),
            failures: failures.map_or(0, |(failures, _)| failures),
            retry_at,
        };
        if is_due && !self.resource.request.uses_since() {
            // The poll shows all of the list: its last pass is the sweep's first.
            self.machine.to_the_end();
            self.detector.gather_ids();
        }
    }

    async fn living(&self) -> u64 {
        let known = self.own(|own| own.known.clone());
        self.core.asker.cpu.work(&self.instance.plan.instance, known.len() * 16, || sweep::living(&known)).await
    }

    /// What is remembered of failed sweeps until the next poll.
    pub(super) fn sweep_failures(&self, outcome: &SweepOutcome) -> Option<(u32, DateTime<Utc>)> {
        if self.resource.deleted_list.is_some() && self.resource.full_sweep.is_none() {
            return None;
        }
        let Sweeping { failures, retry_at, .. } = self.sweep;
        match outcome {
            SweepOutcome::Failed(problem) => {
                let seed = schedule::seed(&self.instance.state().uid, &self.resource.name);
                let again = schedule::after_failure(problem, failures + 1, self.resource.interval, seed, Utc::now());
                Some((failures + 1, again))
            }
            SweepOutcome::None => retry_at.map(|retry_at| (failures, retry_at)),
            SweepOutcome::Ended | SweepOutcome::Unproven(_) | SweepOutcome::Unreadable(_) => None,
        }
    }

    /// The poll read the list: sweeps if that is due, and sends the deletions that are to be sent.
    pub(super) async fn find_deletions(
        &mut self,
        reading: Reading,
        outbox: &mut Outbox<'_, LiveState>,
        facts: &mut Facts,
    ) -> Result<(), Problem> {
        let Some(plan) = self.resource.snapshot.as_deref() else { return Ok(()) };
        if self.mode != Mode::Usual {
            // What is there now was just read. Nothing was known before that could be missing.
            if self.own(|own| own.started) {
                self.own(|own| (own.sweep.asked, own.sweep.at) = (plan.asked, plan.interval.map(|_| self.polled_at)));
                outbox.sums.dirty = true;
            }
            return Ok(());
        }
        let is_filtered = self.resource.request.uses_since();
        let is_read = reading != Reading::Ended(PollEnd::NotModified);
        if self.sweep.is_due && (is_filtered || is_read) {
            let seen = facts.seen;
            let swept = self.sweep(plan, !is_filtered, outbox, facts).await;
            // The conditions describe the list as it is asked for.
            facts.seen = Seen { records: facts.seen.records, ..seen };
            facts.sweep = match swept {
                // What is already read is not read in vain, but nothing more may be sent.
                Err(problem) if outbox.refusal().is_some() || self.instance.is_unsaved() => return Err(problem),
                Err(problem) => SweepOutcome::Failed(problem),
                Ok(swept) => swept,
            };
        }
        self.send_deletions(outbox).await
    }

    async fn sweep(
        &mut self,
        plan: &SnapshotPlan,
        mut is_read: bool,
        outbox: &mut Outbox<'_, LiveState>,
        facts: &mut Facts,
    ) -> Result<SweepOutcome, Problem> {
        let by_content = self.resource.change_by == ChangeBy::Content;
        let is_full = by_content || self.own(|own| own.reach) >= window::UNBOUNDED.as_secs();
        let mut sweep = Sweep::new(plan, is_full, self.own(|own| own.sweep.short), self.sweep.living_before);
        if !is_read {
            self.detector.gather_ids();
        }
        loop {
            if !std::mem::take(&mut is_read) && !self.read_whole(outbox, facts).await? {
                return Ok(SweepOutcome::None);
            }
            let pages = self.machine.listing_pages();
            let (cpu, instance) = (&self.core.asker.cpu, self.instance);
            let known = self.own(|own| own.known.clone());
            let weight = known.len() * 16;
            let Some(pass) = self.detector.pass() else { return Ok(SweepOutcome::None) };
            let (claim, copy) = (facts.claim, self.copy.filter(|_| plan.confirm.is_none()));
            let after = cpu.work(&instance.plan.instance, weight, || match copy {
                Some(copy) if is_from_before(copy, &known) => AfterPass::Unproven(Unproven::OldCopy),
                _ => sweep.pass_ended(pass, pages, claim, &known),
            });
            let after = after.await;
            drop(known);
            match after {
                AfterPass::Again => {}
                AfterPass::Proven(absent) => {
                    self.conclude(plan, &absent, outbox).await?;
                    return Ok(SweepOutcome::Ended);
                }
                AfterPass::Unproven(why) => {
                    // It cost what a sweep costs: the next one is due when it would be.
                    if plan.interval.is_some() {
                        self.own(|own| own.sweep.at = Some(self.polled_at));
                        outbox.sums.dirty = true;
                    }
                    return Ok(SweepOutcome::Unproven(why));
                }
            }
        }
    }

    /// One pass over the whole list. Answers whether it was read to its end.
    pub(super) async fn read_whole(&mut self, outbox: &mut Outbox<'_, LiveState>, facts: &mut Facts) -> Result<bool, Problem> {
        self.machine = PollMachine::sweep(self.resource, self.own(|own| own.cursor));
        self.detector.begin_listing(None, false);
        let (auth, known_path) = (self.access.auth(), self.records_path.clone());
        let instance = &self.instance.plan.instance;
        let listing = PageReader::new(&self.core.asker, instance, self.resource, &auth, None, self.polled_at, None)
            .with_until(window::FAR_FUTURE)
            .with_records_path(known_path.as_deref());
        let mut pages = Pages::new(listing, Direction::Forward, self.retries(facts.pages));
        let read = self.read(&mut pages, outbox, facts).await;
        self.note(&pages, facts);
        let is_whole = matches!(read?, Some(Reading::Ended(PollEnd::Complete { .. })));
        if is_whole && self.machine.ending().undelivered == Undelivered::None && self.has_told_deletions() {
            // All that is there was shown and taken.
            outbox.sums.dirty |= self.own(|own| own.forget_tries(&deletions(self.resource, own)));
        }
        Ok(is_whole)
    }

    async fn conclude(
        &mut self,
        plan: &SnapshotPlan,
        absent: &Absent,
        outbox: &mut Outbox<'_, LiveState>,
    ) -> Result<(), Problem> {
        let to_ask = self.own(|own| absent.to_ask(plan, &own.sweep));
        let answers = match &plan.confirm {
            Some(confirm) if !to_ask.is_empty() => self.ask(confirm, to_ask).await?,
            _ => HashMap::new(),
        };
        let by_content = self.resource.change_by == ChangeBy::Content;
        let at = self.polled_at;
        let is_delivered = self.machine.ending().undelivered == Undelivered::None;
        let conclusion = self.own(|own| {
            let mut conclusion = absent.conclude(plan, &answers, &mut own.sweep, &mut own.known, at);
            // What was added with an old date and not taken is shown by a sweep alone.
            if !is_delivered {
                own.sweep.at = None;
                conclusion = conclusion.max(Conclusion::News);
            }
            // All of the list was seen: what is not known from now on is new, however old it is.
            if !by_content && own.reach < window::UNBOUNDED.as_secs() {
                own.reach = window::UNBOUNDED.as_secs();
                conclusion = conclusion.max(Conclusion::News);
            }
            conclusion
        });
        outbox.sums.dirty |= conclusion > Conclusion::Same;
        if conclusion == Conclusion::Deletions { outbox.commit().await } else { Ok(()) }
    }

    /// Asks for single records. What has no answer is missing in the result; where the first requests have none, the others would have
    /// none, either.
    async fn ask(&mut self, plan: &ConfirmPlan, objects: Vec<u64>) -> Result<HashMap<u64, Answer>, Problem> {
        self.access.renew_in_time().await?;
        let auth = self.access.auth();
        let end = Instant::now() + ASKED_FOR;
        let mut asking = futures::stream::iter(objects)
            .map(|object| {
                let (this, auth) = (&*self, &auth);
                async move { (object, timeout(ANSWERED_WITHIN, this.ask_for(plan, object, auth)).await.ok().flatten()) }
            })
            .buffer_unordered(ASKED_AT_ONCE);
        let (mut answers, mut unanswered) = (HashMap::new(), 0);
        while let Ok(Some((object, answer))) = timeout_at(end, asking.next()).await {
            match answer {
                Some(answer) => drop(answers.insert(object, answer)),
                None => unanswered += 1,
            }
            if answers.is_empty() && unanswered >= ASKED_AT_ONCE {
                break;
            }
        }
        Ok(answers)
    }

    /// Asks for one record. `None` when there is no answer.
    async fn ask_for(&self, plan: &ConfirmPlan, object: u64, auth: &RequestAuth) -> Option<Answer> {
        if self.instance.stop.is_cancelled() {
            return None;
        }
        let json = self.own(|own| own.known.details(object)?.id.map(str::to_owned))?;
        let id = scalar_text(&json)?;
        let mut request = confirm::build(plan, &id, &self.resource.macros(self.polled_at)).ok()?;
        auth.apply(&mut request);
        let asker = &self.core.asker;
        let (response, _share) = asker.send(&self.instance.plan.instance, self.resource, auth, request, || {}).await.ok()?;
        match answer::interpret(response.status, &response.headers, &response.body, Utc::now()) {
            // The wait that it demands is kept.
            Err(problem) => {
                asker.explain(self.resource, auth, &response, problem);
            }
            Ok(_) => {
                asker.note_limits(self.resource, auth, &response);
            }
        }
        Some(confirm::read(plan, &self.resource.extract.id, &id, &response, Utc::now()))
    }

    /// Sends the deletions that are to be sent. What a sink does not take is sent again by the next poll, whether it sweeps or not.
    async fn send_deletions(&mut self, outbox: &mut Outbox<'_, LiveState>) -> Result<(), Problem> {
        let before = self.own(|own| own.sweep.gone);
        if before == 0 {
            return Ok(());
        }
        let identity = self.instance.state().identity().to_owned();
        let objects = self.own(gone);
        for objects in objects.chunks(CHUNK) {
            let changes = self.own(|own| {
                let one = |object: &u64| {
                    let (known, details) = (own.known.get(*object)?, own.known.details(*object)?);
                    life::deletion(self.resource, &identity, (*object, known, details), self.polled_at)
                };
                objects.iter().filter_map(one).collect()
            });
            if outbox.send_changes(changes).await?.closed {
                break;
            }
        }
        self.own(|own| {
            let left = gone(own).len() as u64;
            own.sweep.missing = own.sweep.missing.saturating_sub(own.sweep.gone.saturating_sub(left));
            own.sweep.gone = left;
        });
        outbox.sums.dirty = true;
        Ok(())
    }

    /// The state of the resource. Never held across an await.
    pub(super) fn own<T>(&self, of: impl FnOnce(&mut ResourceState) -> T) -> T {
        of(self.instance.state().resources.entry(self.resource.name.to_string()).or_default())
    }
}

/// Whether a copy in a cache cannot show all records: some are dated since it was made.
fn is_from_before((made, now): (DateTime<Utc>, DateTime<Utc>), known: &KnownSet) -> bool {
    let kept = made.timestamp_micros() + 1_000_000..=now.timestamp_micros();
    known.iter().any(|(_, known, _)| !known.deleted && known.date.is_some_and(|date| kept.contains(&date)))
}

/// Objects with tries whose deletion is to be sent: nothing shows them but what is remembered.
pub(super) fn deletions(resource: &ResourcePlan, own: &ResourceState) -> HashSet<u64> {
    if own.sweep.gone == 0 || (own.failing.is_empty() && own.taken.is_empty()) {
        return HashSet::new();
    }
    let list = resource.list_of.as_ref().map(|list| &*list.value);
    let is_gone = |known: &Known, details: &DetailsView<'_>| !known.deleted && details.presence == Presence::Gone;
    let gone = own.known.iter().filter_map(|(_, known, details)| details.filter(|details| is_gone(&known, details)));
    gone.filter_map(|details| Some(object_hash(list, &resource.extract.id.text(details.id?)?))).collect()
}

/// Hashes of the ids whose deletion is to be sent.
fn gone(own: &mut ResourceState) -> Vec<u64> {
    let is_gone = own
        .known
        .iter()
        .filter(|(_, known, details)| !known.deleted && details.is_some_and(|details| details.presence == Presence::Gone));
    is_gone.map(|(id, ..)| id).collect()
}
