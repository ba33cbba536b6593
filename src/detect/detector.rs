//! Detection as a unit: pages in, changes out, and at the end of a listing what becomes of the cursor.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::unconfirmed::Unconfirmed;
use super::absent::{DateFields, MarkField};
use super::changes;
use super::classify::{ChangeClassifier, Class, Mode};
use super::clock::ProviderClock;
use super::day_times::DayTimes;
use super::event::{Change, Kind};
use super::event_types::EventTypes;
use super::filter;
use super::known::{AlreadyHashed, Known, KnownSet, MAX_KNOWN};
use super::life;
use super::named_fields::Sightings;
use super::order::Earlier;
use super::page_reading::Row;
pub use super::page_reading::{Ending, Moment, PageChanges, PageReading, TooManyRecords, View};
use super::pass::Pass;
use super::record::{Record, RecordReader};
use super::rows::{self, Later, Listed, Told};
use super::seen::Seen;
use super::selection::Selection;
use super::unidentified::Unidentified;
use super::unreadable_date::UnreadableDate;
use super::volatile::VolatileWatch;
use super::window::{self, CursorUpdate};
use crate::plan::{ChangeBy, Order, ResourcePlan, StartFrom};

/// Detects the changes of one poll of one resource. A poll may read the list several times; each time is a listing.
#[derive(Debug)]
pub struct Detector<'p> {
    plan: &'p ResourcePlan,
    /// Identity of the instance: part of every event's id.
    identity: &'p str,
    reader: RecordReader<'p>,
    selection: Selection<'p>,
    classifier: ChangeClassifier<'p>,
    view: View,
    order: Order,
    polled_at: DateTime<Utc>,
    /// The clock at the first answer of the poll: beyond it no cursor goes.
    poll_clock: Option<ProviderClock>,
    /// The clock at the first response of the listing: it distinguishes versions.
    clock: Option<ProviderClock>,
    lower: Option<DateTime<Utc>>,
    /// A provider that filters lists nothing dated before it.
    too_old: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    seen: Seen,
    date_fields: DateFields,
    mark_field: MarkField,
    /// The plan whose paths are looked for: that of `plan`, unless a trial shows records whole.
    named_by: &'p ResourcePlan,
    rows_have: Sightings,
    delivered_have: Sightings,
    event_types: EventTypes,
    /// Rows of this poll without an id.
    unidentified: Unidentified,
    /// Dates of this poll that could not be read.
    unreadable_date: Option<UnreadableDate>,
    /// Ids of the page that is being read.
    rows: HashMap<u64, Row, BuildHasherDefault<AlreadyHashed>>,
    /// The rows of earlier pages of the listing.
    earlier: Earlier,
    /// Ids of earlier pages of the listing whose date does not distinguish versions.
    listed: Listed,
    /// Versions that earlier pages of this poll had, where their date alone does not decide: only another poll is a later look at them.
    told: Told,
    /// Changes that are older than what is known, whose date is ahead of the clock: corrections, unless the known version is listed, too.
    /// By id, with the order in which they came.
    doubtful: HashMap<u64, (usize, Change), BuildHasherDefault<AlreadyHashed>>,
    /// How many of them there were.
    doubts: usize,
    /// Those of the dates of change.
    day_times: DayTimes,
    /// Listings begun.
    listings: u32,
    /// An id that the last poll saw.
    witness: Option<u64>,
    /// Records that are reported poll after poll.
    watch: VolatileWatch,
    /// The ids of the listing, while a sweep is due.
    pass: Option<Pass>,
    unconfirmed: Unconfirmed,
}

impl<'p> Detector<'p> {
    /// Begins a poll at `polled_at` on our clock.
    pub fn new(plan: &'p ResourcePlan, identity: &'p str, view: View, polled_at: DateTime<Utc>) -> Self {
        Self {
            plan,
            identity,
            reader: RecordReader::new(&plan.extract),
            selection: Selection::new(plan.extract.filter.as_ref()),
            classifier: ChangeClassifier::new(plan, view.mode, view.cursor, view.window),
            view,
            order: plan.order,
            polled_at,
            poll_clock: None,
            clock: None,
            lower: None,
            too_old: None,
            last: None,
            seen: Seen::default(),
            date_fields: DateFields::default(),
            mark_field: MarkField::default(),
            named_by: plan,
            rows_have: Sightings::default(),
            delivered_have: Sightings::default(),
            event_types: EventTypes::default(),
            unidentified: Unidentified::default(),
            unreadable_date: None,
            rows: HashMap::default(),
            earlier: Earlier::default(),
            listed: Listed::default(),
            told: Told::default(),
            doubtful: HashMap::default(),
            doubts: 0,
            day_times: DayTimes::default(),
            listings: 0,
            witness: None,
            watch: VolatileWatch::default(),
            pass: None,
            unconfirmed: Unconfirmed::default(),
        }
    }

    /// Looks for the paths that this plan names.
    #[must_use]
    pub fn with_fields_of(self, plan: &'p ResourcePlan) -> Self {
        Self { named_by: plan, ..self }
    }

    /// With what earlier polls showed of changes by content.
    #[must_use]
    pub fn with_watch(self, watch: VolatileWatch) -> Self {
        Self { watch, ..self }
    }

    /// With an id that the last poll saw, by its hash.
    pub fn expect_witness(&mut self, witness: Option<u64>) {
        self.witness = witness;
    }

    /// The ids of each listing are gathered from now on.
    pub fn gather_ids(&mut self) {
        self.pass = Some(Pass::default());
    }

    /// The ids of the listing under way, or that has just ended.
    pub fn pass(&self) -> Option<&Pass> {
        self.pass.as_ref()
    }

    /// The poll has read the list to its end.
    pub fn end_poll(&mut self) {
        self.watch.end_poll();
    }

    /// What this poll and earlier ones showed of changes by content. The detector goes on without.
    pub fn take_watch(&mut self) -> VolatileWatch {
        std::mem::take(&mut self.watch)
    }

    /// A listing begins, asked from `since`. `reversed`: a descending list whose records will be shown from its end.
    pub fn begin_listing(&mut self, since: Option<DateTime<Utc>>, reversed: bool) {
        self.order = if reversed { Order::Ascending } else { self.plan.order };
        self.lower = since.map(|since| window::earliest_reading(self.plan, since));
        self.too_old = filter::clearly_before(self.plan, since);
        (self.clock, self.last) = (None, None);
        self.listings += 1;
        self.day_times = DayTimes::default();
        self.listed = Listed::default();
        self.rows.clear();
        self.earlier = Earlier::default();
        self.doubtful.clear();
        self.seen.begin_listing();
        self.pass = self.pass.take().map(|_| Pass::default());
        self.begin_notes();
    }

    /// The provider's clock at the first answer of the poll.
    pub fn provider_date(&self) -> Option<DateTime<Utc>> {
        self.poll_clock.and_then(|clock| clock.date())
    }

    /// Detects the changes of one page. What is not sent but must be known goes into `known`; a change is remembered by the code that
    /// delivers it.
    ///
    /// # Errors
    /// [`TooManyRecords`]: nothing of the page may be taken as seen.
    pub fn page<'r>(
        &mut self,
        records: impl Iterator<Item = Record<'r>>,
        known: &mut KnownSet,
        at: Moment,
    ) -> Result<PageChanges, TooManyRecords> {
        let mut page = self.begin_page(at);
        self.read(&mut page, records, known)?;
        Ok(self.end_page(page))
    }

    /// The same in pieces, for a page that has many records: begins it.
    pub fn begin_page(&mut self, at: Moment) -> PageReading {
        let clock = *self.clock.get_or_insert(ProviderClock::new(at.date, self.polled_at).aged(at.age));
        self.poll_clock.get_or_insert(clock);
        self.earlier.extend(self.rows.drain().map(|(_, row)| row.sight));
        PageReading { clock, now: at.now, found: PageChanges::default(), changes: Vec::new() }
    }

    /// Reads the next records of a page.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub fn read<'r>(
        &mut self,
        page: &mut PageReading,
        records: impl Iterator<Item = Record<'r>>,
        known: &mut KnownSet,
    ) -> Result<(), TooManyRecords> {
        let PageReading { clock, now, found, changes } = page;
        let (clock, now) = (*clock, *now);
        for record in records {
            let Ok(mut view) = self.reader.read(record.json, record.key) else {
                self.unidentified.note(&self.plan.name, &self.plan.extract.id, record.json);
                self.pass.iter_mut().for_each(Pass::note_unidentified);
                continue;
            };
            view.selected = self.selection.of(record.json);
            let id = view.id_hash();
            let is_again = self.pass.as_mut().is_some_and(|pass| !pass.note(id));
            found.ids = found.ids.rotate_left(1) ^ id;
            let date = self.classifier.date(&view);
            let listed_date = self.classifier.listed_date(&view);
            self.note(&view, listed_date, record.json);
            let sight = self.note_sight(&view, (id, date));
            self.seen.whole_days = self.seen.whole_days || self.classifier.is_whole_day(&view);
            if let Some(listed) = listed_date {
                found.least = Some(found.least.map_or(listed, |least| least.min(listed)));
                found.greatest = found.greatest.max((!clock.is_ahead(listed)).then_some(listed));
            }
            found.has_news |= date.is_some_and(|_| self.lower.is_none_or(|lower| !self.classifier.is_before(&view, lower)));
            let twin = self.rows.get(&id).copied();
            self.seen.repeated_ids += u64::from(twin.is_some());
            // A pass has the ids of a list without dates already.
            let precedes = if is_again && self.is_gathered() { Some(false) } else { self.listed.precedes(id, date) };
            let later = match (twin, precedes) {
                // Changes are listed in the order in which they were made.
                _ if self.plan.delta.is_some() => Later::Second,
                (Some(twin), _) => rows::later(self.order, twin.date, date, &clock),
                // A row of an earlier page counts for this listing unless a later version follows: what changed in between is seen
                // by the next listing.
                (None, Some(false)) => Later::First,
                (None, Some(true) | None) => Later::Second,
            };
            if later == Later::First || (later == Later::Neither && twin.is_some_and(|twin| twin.is_known)) {
                continue;
            }
            let (before, sign) = life::listed(self.plan, &view, id, known);
            found.note(sign);
            let (sent_as, is_kept) = (before.and_then(Known::sent_as), before.is_some());
            // Whatever it was sent as, it is not known until a sink has confirmed it.
            let before = before.filter(|_| sent_as.is_none());
            self.note_life(&view, (id, date, sight), before);
            let class = self.class(&view, (id, date), (before, sent_as), &clock);
            let is_known = class == Class::Same;
            // The first of the two counts, as it does where the second is on another page.
            if later == Later::Neither && !is_known && self.order != Order::Ascending {
                continue;
            }
            if let Some(index) = twin.and_then(|twin| twin.change) {
                changes[index] = None;
            }
            let is_remembered = is_kept || matches!(class, Class::Same | Class::Older | Class::Left);
            if !is_remembered && known.len() + changes.len() >= MAX_KNOWN {
                return Err(TooManyRecords);
            }
            let mut row = Row { sight, date, is_settled: self.classifier.is_settled(&view, &clock), is_known, change: None };
            if is_known {
                self.doubtful.remove(&id);
            }
            match class {
                Class::Same => {
                    if let (Some(_), Some(before)) = (date, before)
                        && !before.age.is_settled()
                        && before.version == self.classifier.version(&view)
                        && !self.told.has(id, before.version)
                    {
                        known.set_age(id, self.classifier.age(&view, Some(before), &clock));
                    }
                    found.remembered |= self.note_fields(&view, (id, record.json), before, known);
                }
                Class::Older => self.seen.older += 1,
                Class::Left => {}
                Class::Remember => {
                    // Behind the token of the last page only what changes after it is listed.
                    if self.plan.delta.is_some() || !self.changed_meanwhile(date, &clock, now) {
                        let details = self.details(&view, record.json, before, known.details(id));
                        known.remember_with(id, self.classifier.known(&view, before, &clock), details);
                        found.remembered = true;
                    }
                }
                Class::Change(kind) => {
                    if kind == Kind::Updated && before.is_some_and(|before| self.classifier.is_by_content(&view, &before)) {
                        self.watch.note(id, record.json, &self.plan.extract.ignored);
                    }
                    let fields = changes::between(self.plan, kind, record.json, &known.fields(id));
                    let details = self.details(&view, record.json, before, known.details(id));
                    let known = self.classifier.known(&view, before, &clock);
                    let Some(change) = self.change(&view, kind, record.json, (before, known), (details, fields)) else {
                        continue;
                    };
                    self.seen.unknown += u64::from(before.is_none());
                    if twin.is_none() && self.classifier.is_doubtful(&view, before) {
                        // Those that were dropped leave gaps, and yet a later one has a greater number.
                        self.doubts += 1;
                        self.doubtful.insert(id, (self.doubts, change));
                    } else {
                        self.seen.newest_change = self.seen.newest_change.max(self.classifier.zoned_date(&view));
                        row.change = Some(changes.len());
                        changes.push(Some(change));
                    }
                }
            }
            self.rows.insert(id, row);
        }
        Ok(())
    }

    /// All records of the page were read.
    pub fn end_page(&mut self, page: PageReading) -> PageChanges {
        let PageReading { mut found, changes, .. } = page;
        if !self.is_gathered() {
            for (id, row) in self.rows.iter().filter(|(_, row)| !row.is_settled) {
                self.listed.insert(*id, row.date);
            }
        }
        let overlaps = self.seen.has_overlapping_pages();
        self.pass.iter_mut().for_each(|pass| pass.note_overlaps(overlaps));
        found.changes = changes.into_iter().flatten().collect();
        let by_bytes = |change: &&Change| self.plan.compare_content || !change.known.age.is_settled();
        let unsettled = found.changes.iter().filter(by_bytes);
        unsettled.for_each(|change| self.told.insert(change.record, change.known.version));
        found
    }

    /// No row of the listing has a date, and a [`Pass`] has the ids.
    fn is_gathered(&self) -> bool {
        self.pass.is_some() && self.plan.change_by == ChangeBy::Content
    }

    /// Whether there are changes that only the end of the list makes certain. Until then no cursor may pass them.
    pub fn has_doubts(&self) -> bool {
        !self.doubtful.is_empty()
    }

    /// The changes that only the end of the list makes certain.
    pub fn at_end(&mut self) -> Vec<Change> {
        let mut doubtful: Vec<_> = std::mem::take(&mut self.doubtful).into_values().collect();
        doubtful.sort_unstable_by_key(|(came, _)| *came);
        doubtful.into_iter().map(|(_, change)| change).collect()
    }

    /// What the end of a listing makes of the cursor.
    pub fn finish(&self, ending: Ending) -> CursorUpdate {
        let View { mode, cursor, window, .. } = self.view;
        let renewed = window::renewed(self.plan, cursor, self.provider_date());
        let next = window::next_cursor(cursor, self.seen.greatest.max(ending.baseline_from).max(renewed), ending.undelivered);
        let from = match (mode, self.plan.start_from) {
            (Mode::Usual, StartFrom::Time(from)) => cursor.or(Some(from)),
            (Mode::Usual, _) => cursor,
            (Mode::Baseline, _) => ending.baseline_from,
            (Mode::FirstRead, _) => None,
        };
        // What is dated before the time from which on records are sent must not be the beginning of a later poll.
        let next = next.filter(|next| mode != Mode::Usual || from.is_none_or(|from| *next >= from));
        let window = if mode == Mode::Usual { window } else { Duration::ZERO };
        CursorUpdate {
            cursor: next,
            window: window::next_window(self.plan, window, from, next),
            horizon: self.seen.horizon(window::horizon(self.plan, next)),
        }
    }
}

mod change;
mod class;
mod notes;
#[cfg(test)]
mod tests;
mod unconfirmed;
