//! One job of one resource: send what is due from the ledger, then fetch → detect → deliver → commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::access::Access;
use super::core::Core;
use super::dispatch::{Dispatched, Dispatcher};
use super::instance::Instance;
use super::report::{Facts, Job, Outcome, Report};
use super::settle::Change;
use crate::api::conditions::{Problem, Reason};
use crate::deliver::callback::Admission;
use crate::deliver::sender::PreparedCallback;
use crate::detect::event::{Event, EventId, VersionToken};
use crate::detect::judge::{self, Judge, Mode, Undelivered, Verdict};
use crate::detect::known::MAX_KNOWN;
use crate::detect::record::Reader;
use crate::fetch::page::{Page, Record};
use crate::fetch::pagination::MAX_PAGES;
use crate::fetch::walk::{Step, Validators, Walk};
use crate::plan::{ChangeBy, Order, ResourcePlan, StartFrom};

/// A list that spans pages is read again after changes, since rows that move while it is read hide others; so often at most.
const MAX_WALKS: usize = 8;
/// A descending list is read whole before its oldest record is sent first, up to so many bytes of pages.
const MAX_REVERSED: usize = 64 * 1024 * 1024;

/// Runs one job. `validators` are those of the last poll that was clean, and are replaced.
pub async fn run(
    core: &Core,
    instance: &Arc<Instance>,
    resource: &ResourcePlan,
    job: Job,
    validators: &mut Option<Validators>,
) -> Report {
    let mut facts = Facts::default();
    let outcome = match attempt(core, instance, resource, job, validators, &mut facts).await {
        Ok(outcome) => outcome,
        Err(problem) => Outcome::Failed(problem),
    };
    Report { wake: wake_time(instance, resource), outcome, facts }
}

async fn attempt(
    core: &Core,
    instance: &Arc<Instance>,
    resource: &ResourcePlan,
    job: Job,
    validators: &mut Option<Validators>,
    facts: &mut Facts,
) -> Result<Outcome, Problem> {
    if instance.is_unsaved() {
        instance.commit().await?;
    }
    match job {
        Job::Save => return Ok(Outcome::Stopped),
        Job::KeepAlive => {
            return Access::prepare(core, instance, "spec.auth", &resource.auth).await.map(|_| Outcome::Stopped);
        }
        Job::Poll | Job::Entries => {}
    }
    let plan = &instance.plan;
    let callback = match PreparedCallback::prepare(Arc::clone(&plan.callback), &plan.namespace, &*core.secrets) {
        Ok(callback) => callback,
        Err(problem) => return Ok(Outcome::CallbackUnusable(problem)),
    };
    match instance.state().callback.admission(callback.fingerprint(), Utc::now()) {
        Admission::Gone => return Ok(Outcome::CallbackGone),
        Admission::ClosedUntil(_) => return Ok(Outcome::CallbackClosed),
        Admission::Open | Admission::Probe => {}
    }
    let callback_access = match Access::prepare(core, instance, "spec.callback.auth", &plan.callback.auth).await {
        Ok(access) => access,
        Err(problem) => return Ok(Outcome::CallbackUnusable(problem)),
    };
    let certificate = resource.client_certificate.as_deref();
    let access = Access::prepare(core, instance, "spec.auth", &resource.auth).await?.with_certificate(certificate)?;
    let mut dispatcher = Dispatcher::new(core, instance, callback, callback_access);
    let polled = async {
        dispatcher.send_due_entries(&resource.name).await?;
        if job == Job::Entries {
            return Ok(Outcome::EntriesSent);
        }
        let mut poll = Poll::new(core, instance, resource, access);
        poll.run(&mut dispatcher, validators, facts).await
    }
    .await;
    facts.sums = dispatcher.sums;
    // What was accepted is saved however the poll ended.
    let saved = if dispatcher.sums.dirty { dispatcher.commit().await } else { Ok(()) };
    saved?;
    match dispatcher.refusal {
        Some(problem) => Ok(Outcome::CallbackUnusable(problem)),
        None => polled,
    }
}

/// The earliest of: a failing object's next try, a set-aside event's, and the callback's reopening. A failing object is met
/// again by polling; a set-aside event has its body.
pub fn wake_time(instance: &Instance, resource: &ResourcePlan) -> Option<(DateTime<Utc>, Job)> {
    let state = instance.state();
    let failing =
        state.resources.get(&*resource.name).and_then(|own| own.failing.iter().map(|f| (f.next_try, Job::Poll)).min());
    let entries = state.ledger.next_due(&resource.name).map(|due| (due, Job::Entries));
    let next = [failing, entries].into_iter().flatten().min();
    match state.callback.admission(instance.plan.callback.fingerprint(), Utc::now()) {
        Admission::ClosedUntil(until) => Some((next.map_or(until, |(next, _)| next.max(until)), Job::Poll)),
        Admission::Gone => None,
        Admission::Open | Admission::Probe => next,
    }
}

/// The next page, with credentials that are renewed in time, and once more when they were refused.
async fn next_page(access: &mut Access<'_>, walk: &mut Walk<'_>) -> Result<Step, Problem> {
    if let Some(auth) = access.renew_in_time().await? {
        walk.set_auth(auth);
    }
    let step = match walk.next_page().await {
        Err(problem) if problem.reason == Reason::Unauthorized => {
            walk.set_auth(access.renew_refused(problem).await?);
            walk.next_page().await.map_err(|problem| access.refused_again(problem))
        }
        step => step,
    }?;
    access.note_accepted();
    Ok(step)
}

fn too_many_records(resource: &str) -> Problem {
    Problem::human(
        Reason::ResponseTooLarge,
        format!(
            "resource {resource} lists more records than can be remembered ({MAX_KNOWN}); filter the list with ${{since}} or add datesConfiguration with a created date"
        ),
    )
}

/// One poll: walks over the list until nothing new turns up.
struct Poll<'a> {
    core: &'a Core,
    instance: &'a Arc<Instance>,
    resource: &'a ResourcePlan,
    access: Access<'a>,
    reader: Reader<'a>,
    judge: Judge<'a>,
    mode: Mode,
    cursor: Option<DateTime<Utc>>,
    start_cursor: Option<DateTime<Utc>>,
    polled_at: DateTime<Utc>,
    provider_start: Option<DateTime<Utc>>,
    undelivered: Undelivered,
    missing_ids: u64,
    /// Where earlier polls found the records.
    records_path: Option<String>,
    /// Asking again from a later cursor has not been seen to be in vain.
    filter_helps: bool,
}

/// How one walk ended.
struct Walked {
    end: WalkEnd,
    pages: u64,
    tried: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WalkEnd {
    Complete,
    NotModified,
    /// `startFrom: Now` needs no more than the provider's clock.
    ClockIsBaseline,
    /// An ascending list: what the page brought is behind the cursor now, and the list is asked for again from there.
    MovedOn,
    Closed,
    Stopped,
}

impl<'a> Poll<'a> {
    fn new(core: &'a Core, instance: &'a Arc<Instance>, resource: &'a ResourcePlan, access: Access<'a>) -> Self {
        let (started, cursor, reach, records_path) = {
            let state = instance.state();
            let own = state.resources.get(&*resource.name);
            own.map_or((false, None, 0, None), |own| (own.started, own.cursor, own.reach, own.records_path.clone()))
        };

        let mode = match (started, resource.start_from) {
            (true, _) | (false, StartFrom::Time(_)) => Mode::Usual,
            (false, StartFrom::Now) => Mode::Baseline,
            (false, StartFrom::Earliest) => Mode::FirstRead,
        };
        // The first read knows all that it saw.
        let judge = Judge::new(resource, mode, cursor);
        let judge = if mode == Mode::Usual { judge.reaching(Duration::from_secs(reach), cursor) } else { judge };
        Self {
            core,
            instance,
            resource,
            access,
            reader: Reader::new(&resource.extract),
            judge,
            mode,
            cursor,
            start_cursor: cursor,
            polled_at: Utc::now(),
            provider_start: None,
            undelivered: Undelivered::None,
            missing_ids: 0,
            records_path,
            filter_helps: true,
        }
    }

    async fn run(
        &mut self,
        dispatcher: &mut Dispatcher<'_>,
        validators: &mut Option<Validators>,
        facts: &mut Facts,
    ) -> Result<Outcome, Problem> {
        let known_validators = validators.take();
        let mut fresh_validators = None;
        let mut settled = false;
        let mut walk_pages = 0;
        let mut end = WalkEnd::Complete;
        let mut round = 0;
        while round < MAX_WALKS {
            self.judge.restart();
            self.missing_ids = 0;
            // Held and failed changes turn up again in each walk: the last one counts.
            self.undelivered = Undelivered::None;
            let auth = self.access.auth();
            let mut walk = Walk::new(
                &self.core.asker,
                self.resource,
                &auth,
                self.since(),
                self.polled_at,
                known_validators.as_ref().filter(|_| facts.pages == 0),
            )
            .with_records_path(self.records_path.as_deref());
            let walked = self.walk(&mut walk, dispatcher).await;
            facts.patience = facts.patience.max(walk.patience());
            facts.pagination = walk.detected().or(facts.pagination.take());
            let seen = self.judge.seen();
            (facts.records, facts.bad_dates, facts.disorder) = (seen.records, seen.bad_dates, seen.disorder);
            facts.missing_ids = self.missing_ids;
            let walked = walked?;
            self.keep_records_path(walk.records_path(), dispatcher);
            facts.pages += walked.pages;
            end = walked.end;
            if end == WalkEnd::ClockIsBaseline {
                // The clock has whole seconds: what is dated in this very second and exists already is baseline, too.
                self.set_cursor(self.provider_start, dispatcher);
                continue;
            }
            if end == WalkEnd::MovedOn {
                if facts.pages >= u64::from(MAX_PAGES) {
                    break;
                }
                continue;
            }
            round += 1;
            let clean = walked.tried == 0 && self.undelivered == Undelivered::None;
            fresh_validators = walk.validators().filter(|_| clean && end == WalkEnd::Complete);
            walk_pages = walked.pages;
            settled = walked.pages <= 1 || walked.tried == 0 || self.resource.change_by == ChangeBy::Content;
            if settled || end != WalkEnd::Complete {
                break;
            }
        }
        match end {
            WalkEnd::NotModified => {
                *validators = known_validators;
                return Ok(Outcome::Polled);
            }
            WalkEnd::Stopped => return Ok(Outcome::Stopped),
            WalkEnd::Closed | WalkEnd::MovedOn | WalkEnd::ClockIsBaseline => {}
            WalkEnd::Complete => {
                facts.unsettled = !settled;
                *validators = fresh_validators;
                self.move_cursor(settled, walk_pages, dispatcher);
            }
        }
        Ok(if self.instance.stop.is_cancelled() { Outcome::Stopped } else { Outcome::Polled })
    }

    /// The lower bound that `${since}` stands for.
    fn since(&self) -> Option<DateTime<Utc>> {
        match (self.cursor, self.resource.start_from) {
            (Some(cursor), _) => Some(judge::before(cursor, self.resource.lookback)),
            (None, StartFrom::Time(from)) => Some(from),
            (None, StartFrom::Now | StartFrom::Earliest) => None,
        }
    }

    async fn walk(&mut self, walk: &mut Walk<'_>, dispatcher: &mut Dispatcher<'_>) -> Result<Walked, Problem> {
        let mut walked = Walked { end: WalkEnd::Complete, pages: 0, tried: 0 };
        let reversed = self.mode == Mode::FirstRead && self.resource.order == Order::Descending;
        if reversed {
            self.judge.expect_reversed();
        }
        let mut gathered: Vec<Page> = Vec::new();
        loop {
            let step = tokio::select! {
                biased;
                () = self.instance.stop.cancelled() => { walked.end = WalkEnd::Stopped; return Ok(walked); }
                step = next_page(&mut self.access, walk) => step?,
            };
            let page = match step {
                Step::Page(page) => page,
                Step::NotModified => {
                    walked.end = WalkEnd::NotModified;
                    return Ok(walked);
                }
                Step::End => break,
            };
            walked.pages += 1;
            self.provider_start = self.provider_start.or(walk.server_date());
            if reversed {
                if gathered.iter().map(Page::body_len).sum::<usize>() + page.body_len() > MAX_REVERSED
                    && self.take_pages(&mut gathered, dispatcher, &mut walked).await?
                {
                    return Ok(walked);
                }
                gathered.push(page);
                continue;
            }
            if self.take_page(&page, false, dispatcher, &mut walked).await? {
                return Ok(walked);
            }
            if self.mode == Mode::Baseline && self.cursor.is_none() && self.clock_is_baseline() {
                walked.end = WalkEnd::ClockIsBaseline;
                return Ok(walked);
            }
            if self.moves_on(walk, &walked, dispatcher) {
                walked.end = WalkEnd::MovedOn;
                return Ok(walked);
            }
            let seen = self.judge.seen();
            if self.resource.order == Order::Descending && seen.reached_lower && !seen.disorder {
                break;
            }
        }
        self.take_pages(&mut gathered, dispatcher, &mut walked).await?;
        Ok(walked)
    }

    /// In an ascending list that is filtered by `${since}`, a page that was delivered lies behind the cursor: the list is asked for
    /// again from there, always for its first page, which nothing can shift. That commits page by page and needs no second
    /// walk. Answers whether the cursor moved, in either direction.
    fn moves_on(&mut self, walk: &Walk<'_>, walked: &Walked, dispatcher: &mut Dispatcher<'_>) -> bool {
        let seen = self.judge.seen();
        if seen.disorder && self.cursor != self.start_cursor {
            // The order was trusted too early: read all of it from where this poll began. What was delivered is known.
            self.filter_helps = false;
            self.set_cursor(self.start_cursor, dispatcher);
            return true;
        }
        let fits = self.resource.order == Order::Ascending
            && self.resource.change_by != ChangeBy::Content
            && self.mode != Mode::Baseline
            && self.resource.lookback.is_zero()
            && self.resource.request.uses_since()
            && !seen.disorder
            && self.undelivered == Undelivered::None;
        if !fits || !self.filter_helps || walked.pages > 1 || !walk.has_next() {
            return false;
        }
        // With all of one date, or a filter that is ignored, the first page brings nothing new and the others must be read.
        self.filter_helps = walked.tried > 0;
        let next = judge::next_cursor(self.cursor, seen.greatest, self.provider_start, Undelivered::None);
        if walked.tried == 0 || next == self.cursor {
            return false;
        }
        self.set_cursor(next, dispatcher);
        true
    }

    /// Where the records are is known from now on: other lists that turn up, such as one of errors, are none.
    fn keep_records_path(&mut self, found: Option<String>, dispatcher: &mut Dispatcher<'_>) {
        if found.is_some() && found != self.records_path {
            self.instance.state().resources.entry(self.resource.name.to_string()).or_default().records_path.clone_from(&found);
            self.records_path = found;
            dispatcher.sums.dirty = true;
        }
    }

    fn set_cursor(&mut self, cursor: Option<DateTime<Utc>>, dispatcher: &mut Dispatcher<'_>) {
        self.cursor = cursor;
        self.judge.set_cursor(cursor);
        self.instance.state().resources.entry(self.resource.name.to_string()).or_default().cursor = cursor;
        dispatcher.sums.dirty = true;
    }

    /// Takes gathered pages from the last one on. Answers whether the walk is over before its end.
    async fn take_pages(
        &mut self,
        gathered: &mut Vec<Page>,
        dispatcher: &mut Dispatcher<'_>,
        walked: &mut Walked,
    ) -> Result<bool, Problem> {
        while let Some(page) = gathered.pop() {
            if self.take_page(&page, true, dispatcher, walked).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Detects and delivers one page. Answers whether the walk is over before its end.
    async fn take_page(
        &mut self,
        page: &Page,
        reversed: bool,
        dispatcher: &mut Dispatcher<'_>,
        walked: &mut Walked,
    ) -> Result<bool, Problem> {
        let changes =
            if reversed { self.detect(page.records().rev(), dispatcher)? } else { self.detect(page.records(), dispatcher)? };
        let Dispatched { tried, undelivered, closed } = dispatcher.send_changes(changes).await?;
        walked.tried += tried;
        self.undelivered = match undelivered {
            Undelivered::None => self.undelivered,
            Undelivered::Since(date) => self.undelivered.and(Some(date)),
            Undelivered::Undated => self.undelivered.and(None),
        };
        if closed {
            walked.end = WalkEnd::Closed;
        }
        Ok(closed)
    }

    /// Did a record change while the baseline was being read? Dated after the second of the first answer, and not in the future,
    /// it is no part of the baseline. Not remembered, it is found by the next poll, whose lower bound is the first answer.
    fn changed_meanwhile(&self, date: Option<DateTime<Utc>>) -> bool {
        let (Mode::Baseline, Some(start), Some(date)) = (self.mode, self.provider_start, date) else { return false };
        let second = chrono::Duration::seconds(1);
        let next_second = start + second;
        // What has passed since on our clock is a span, so that the two clocks need not agree.
        date >= next_second && date <= next_second + (Utc::now() - self.polled_at) + second
    }

    /// The changes of one page, at most one an object: the latest.
    fn detect<'r>(
        &mut self,
        records: impl Iterator<Item = Record<'r>>,
        dispatcher: &mut Dispatcher<'_>,
    ) -> Result<Vec<Change>, Problem> {
        let mut changes: Vec<Change> = Vec::new();
        let mut by_object: HashMap<u64, usize> = HashMap::new();
        let mut state = self.instance.state();
        let uid = state.uid.clone();
        let own = state.resources.entry(self.resource.name.to_string()).or_default();
        for record in records {
            let Ok(sighting) = self.reader.read(record.json, record.key) else {
                self.missing_ids += 1;
                continue;
            };
            let verdict = self.judge.judge(&sighting, &own.known);
            if matches!(verdict, Verdict::Same | Verdict::Older) {
                continue;
            }
            if own.known.len() + changes.len() >= MAX_KNOWN {
                return Err(too_many_records(&self.resource.name));
            }
            let Verdict::Change(kind) = verdict else {
                let known = self.judge.known(&sighting);
                if !self.changed_meanwhile(known.date.and_then(DateTime::from_timestamp_millis)) {
                    own.known.remember(sighting.id_hash(), known);
                    dispatcher.sums.dirty = true;
                }
                continue;
            };
            // The page was checked to be JSON, so each of its records is.
            let Ok(data) = RawValue::from_string(record.json.to_owned()) else { continue };
            let known = self.judge.known(&sighting);
            let version = VersionToken { updated_text: sighting.updated_text.as_deref(), content: sighting.content };
            let change = Change {
                object: sighting.id_hash(),
                date: known.date.and_then(DateTime::from_timestamp_millis),
                known,
                event: Event {
                    id: EventId::new(&uid, &self.resource.name, &sighting.id, kind, &version),
                    kind,
                    resource: Arc::clone(&self.resource.name),
                    object_id: sighting.id.clone().into_owned(),
                    version_date: sighting.version_date,
                    detected_at: self.polled_at,
                    data,
                },
            };
            match by_object.get(&change.object) {
                Some(&index) if changes[index].known.date > change.known.date => {}
                Some(&index) => changes[index] = change,
                None => {
                    by_object.insert(change.object, changes.len());
                    changes.push(change);
                }
            }
        }
        Ok(changes)
    }

    /// With a created date and a fine-grained clock, the provider's `Date` is baseline enough, unless a record is there whose
    /// date cannot be read: it can only be told from a new one by having been remembered.
    fn clock_is_baseline(&self) -> bool {
        !judge::needs_baseline_read(self.resource) && self.provider_start.is_some() && self.judge.seen().bad_dates == 0
    }

    fn move_cursor(&mut self, settled: bool, pages: u64, dispatcher: &mut Dispatcher<'_>) {
        let mut state = self.instance.state();
        let own = state.resources.entry(self.resource.name.to_string()).or_default();
        let was_started = own.started;
        // While a record of the first read is not taken, it must come up as created again, not as its dates would have it.
        if !own.started && (self.mode == Mode::Baseline || (settled && self.undelivered == Undelivered::None)) {
            own.started = true;
            dispatcher.sums.dirty = true;
        }
        // A change that no longer turns up was superseded or taken back at the provider: nothing is failing any more.
        if self.undelivered == Undelivered::None && !own.failing.is_empty() {
            own.failing.clear();
            dispatcher.sums.dirty = true;
        }
        let confirmed = settled && (pages <= 1 || dispatcher.sums.dirty);
        if self.resource.change_by == ChangeBy::Content || !(confirmed || self.mode == Mode::Baseline) {
            return;
        }
        let greatest = match self.mode {
            // What the baseline read saw is known; what comes after it is dated at or after its first answer.
            Mode::Baseline => self.provider_start.or(self.judge.seen().greatest),
            Mode::FirstRead | Mode::Usual => self.judge.seen().greatest,
        };
        let next = judge::next_cursor(own.cursor, greatest, self.provider_start, self.undelivered);
        if next != own.cursor || next != self.start_cursor {
            // An advance alone is not worth a write: after a crash the older cursor costs one more read, no event.
            let from = match self.resource.start_from {
                _ if was_started => own.cursor,
                StartFrom::Time(from) => own.cursor.or(Some(from)),
                StartFrom::Now | StartFrom::Earliest => None,
            };
            own.reach = judge::next_reach(self.resource, Duration::from_secs(own.reach), from, next).as_secs();
            own.cursor = next;
            if let Some(horizon) = judge::horizon(self.resource, next) {
                own.known.forget_before(horizon);
            }
        }
    }
}
