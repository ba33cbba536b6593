//! Decides what a sighting is: nothing new, something to remember, or a change.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::known::{Known, KnownSet};
use super::record::Sighting;
use crate::detect::event::Kind;
use crate::plan::{ChangeBy, Order, ResourcePlan, StartFrom};

/// What the current read of the list means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The first read of `startFrom: Now`: what exists is remembered and not sent.
    Baseline,
    /// The first read of `startFrom: Earliest`: everything is sent as created.
    FirstRead,
    /// Every other read.
    Usual,
}

/// What a sighting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This version was delivered before, or the list shows an older one than was delivered.
    Same,
    /// It lies before the lower bound.
    Older,
    /// It is not sent, but must be known from now on.
    Remember,
    /// It is to be delivered.
    Change(Kind),
}

/// Does telling created from updated, or changed from unchanged, need every id of the list to be remembered?
/// With content hashing it does; and without a created date an id never seen is `created`.
pub fn needs_full_known_set(plan: &ResourcePlan) -> bool {
    plan.change_by == ChangeBy::Content || (plan.change_by == ChangeBy::Updated && plan.extract.created.is_none())
}

/// Must `startFrom: Now` read the whole list? Otherwise the provider's clock is baseline enough. A date pattern coarser than
/// a second cannot tell what came before the first poll from what came after it on the same day or in the same minute; and a
/// list that cannot be filtered is read whole anyway.
pub fn needs_baseline_read(plan: &ResourcePlan) -> bool {
    let coarse = version_format(plan).is_some_and(|format| format.granule() > Duration::from_secs(1));
    needs_full_known_set(plan) || coarse || !plan.request.uses_since()
}

/// The format in which `${since}` is written and by which the cursor is rounded.
pub fn version_format(plan: &ResourcePlan) -> Option<&crate::plan::date_format::DateFormat> {
    plan.cursor_format()
}

/// Judges the sightings of one poll and keeps what the next cursor is made of.
#[derive(Debug)]
pub struct Judge<'p> {
    plan: &'p ResourcePlan,
    mode: Mode,
    reach: Option<Duration>,
    lower: Option<DateTime<Utc>>,
    /// Records dated before it were forgotten.
    forgotten: Option<DateTime<Utc>>,
    order: Order,
    seen: Seen,
}

/// What one poll saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Records looked at, repeats included.
    pub records: u64,
    /// Greatest date that moves the cursor.
    pub greatest: Option<DateTime<Utc>>,
    /// Records whose date could not be read.
    pub bad_dates: u64,
    /// A record broke the declared order.
    pub disorder: bool,
    /// A record lay before the lower bound: in a descending list nothing new follows.
    pub reached_lower: bool,
    last: Option<DateTime<Utc>>,
}

impl<'p> Judge<'p> {
    /// Starts a poll of `plan` whose lower bound is `cursor` − look-back.
    pub fn new(plan: &'p ResourcePlan, mode: Mode, cursor: Option<DateTime<Utc>>) -> Self {
        let lower = age_limit(plan, cursor);
        Self { plan, mode, reach: None, lower, forgotten: None, order: plan.order, seen: Seen::default() }
    }

    /// The known records reach no farther behind the cursor than this: what lies before cannot be told from news.
    #[must_use]
    pub fn reaching(mut self, reach: Duration, cursor: Option<DateTime<Utc>>) -> Self {
        self.reach = Some(reach);
        self.set_cursor(cursor);
        self
    }

    /// What the poll has seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// The cursor moved while the list is being read.
    pub fn set_cursor(&mut self, cursor: Option<DateTime<Utc>>) {
        self.forgotten = self.reach.zip(cursor).map(|(reach, cursor)| earliest_reading(self.plan, before(cursor, reach)));
        self.lower = age_limit(self.plan, cursor).map(|lower| self.forgotten.map_or(lower, |forgotten| lower.max(forgotten)));
    }

    /// A descending list will be shown from its end.
    pub fn expect_reversed(&mut self) {
        self.order = Order::Ascending;
    }

    /// A new walk over the same list begins: its order is judged afresh.
    pub fn restart(&mut self) {
        self.seen.last = None;
        self.seen.reached_lower = false;
    }

    /// Judges one sighting against what is known.
    pub fn judge(&mut self, sighting: &Sighting<'_>, known: &KnownSet) -> Verdict {
        self.seen.records += 1;
        let before = known.get(sighting.id_hash());
        let dated = self.plan.change_by != ChangeBy::Content;
        let date = if dated { self.date(sighting) } else { None };
        if dated {
            self.seen.bad_dates += u64::from(sighting.bad_date);
            if let Some(date) = date {
                self.note_order(date);
                self.seen.greatest = self.seen.greatest.max(Some(date));
                if self.lower.is_some_and(|lower| date < lower) {
                    self.seen.reached_lower = true;
                    return Verdict::Older;
                }
            }
        }
        match before {
            Some(known) if known.version == sighting.version_hash() => return Verdict::Same,
            Some(known) if is_stale(&known, date) => return Verdict::Same,
            _ => {}
        }
        match (self.mode, sighting.deleted, before) {
            (Mode::Baseline, _, _) | (Mode::FirstRead, true, None) | (_, true, Some(Known { deleted: true, .. })) => {
                Verdict::Remember
            }
            (_, true, _) => Verdict::Change(Kind::Deleted),
            (_, false, Some(Known { deleted: false, .. })) if self.plan.change_by == ChangeBy::Created => Verdict::Remember,
            (_, false, Some(Known { deleted: false, .. })) => Verdict::Change(Kind::Updated),
            (Mode::FirstRead, false, None) | (_, false, Some(Known { deleted: true, .. })) => Verdict::Change(Kind::Created),
            (Mode::Usual, false, None) => Verdict::Change(self.kind_by_dates(sighting)),
        }
    }

    /// What to remember of a sighting once it was delivered.
    pub fn known(&self, sighting: &Sighting<'_>) -> Known {
        Known {
            version: sighting.version_hash(),
            date: if self.plan.change_by == ChangeBy::Content {
                None
            } else {
                self.date(sighting).map(|d| d.timestamp_millis())
            },
            deleted: sighting.deleted,
        }
    }

    /// The date that counts; `None` sends a record to content hashing.
    fn date(&self, sighting: &Sighting<'_>) -> Option<DateTime<Utc>> {
        match self.plan.change_by {
            ChangeBy::Created => sighting.created_date,
            ChangeBy::Updated | ChangeBy::Content => sighting.version_date.filter(|_| !sighting.bad_date),
        }
    }

    fn note_order(&mut self, date: DateTime<Utc>) {
        self.seen.disorder |= match (self.order, self.seen.last) {
            (Order::Ascending, Some(last)) => date < last,
            (Order::Descending, Some(last)) => date > last,
            _ => false,
        };
        self.seen.last = Some(date);
    }

    fn kind_by_dates(&self, sighting: &Sighting<'_>) -> Kind {
        match (sighting.version_date, sighting.created_date) {
            (Some(version), Some(created)) if self.plan.change_by != ChangeBy::Created => {
                let tolerance = chrono::Duration::from_std(self.plan.created_tolerance).unwrap_or(chrono::Duration::MAX);
                // Had it been created before, it was announced then.
                let is_new = self.forgotten.is_none_or(|forgotten| created >= forgotten);
                if is_new && version - created <= tolerance { Kind::Created } else { Kind::Updated }
            }
            _ => Kind::Created,
        }
    }
}

/// Does the list show an older version than was delivered? A page that was read late may.
fn is_stale(known: &Known, date: Option<DateTime<Utc>>) -> bool {
    matches!((known.date, date), (Some(known), Some(date)) if date.timestamp_millis() < known)
}

/// Records dated before it are older than anything the poll looks for; `None`: there is no such date.
fn age_limit(plan: &ResourcePlan, cursor: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (plan.change_by, cursor, plan.start_from) {
        (ChangeBy::Updated | ChangeBy::Created, Some(cursor), _) => Some(lower_bound(plan, cursor)),
        (ChangeBy::Updated | ChangeBy::Created, None, StartFrom::Time(from)) => Some(earliest_reading(plan, from)),
        (ChangeBy::Content, ..) | (_, None, StartFrom::Now | StartFrom::Earliest) => None,
    }
}

/// The lower bound of a poll: the cursor less the look-back, in whole units of the dates in the records. A date that carries
/// days only, or no zone as summer time ends, may read as earlier than the change was.
fn lower_bound(plan: &ResourcePlan, cursor: DateTime<Utc>) -> DateTime<Utc> {
    earliest_reading(plan, before(cursor, plan.lookback))
}

fn earliest_reading(plan: &ResourcePlan, at: DateTime<Utc>) -> DateTime<Utc> {
    version_format(plan).map_or(at, |format| format.earliest_reading(at))
}

/// `at` − `by`, as far as the calendar goes.
pub fn before(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    chrono::Duration::from_std(by).ok().and_then(|by| at.checked_sub_signed(by)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// The next cursor: not behind the old one, not beyond the greatest date seen, not beyond the start of the poll on the
/// provider's clock (a record dated in the future is delivered but must not hide what comes before its date), and not beyond
/// a change that is still to be delivered.
pub fn next_cursor(
    old: Option<DateTime<Utc>>,
    greatest: Option<DateTime<Utc>>,
    provider_start: Option<DateTime<Utc>>,
    undelivered: Undelivered,
) -> Option<DateTime<Utc>> {
    let bound = match undelivered {
        Undelivered::None => DateTime::<Utc>::MAX_UTC,
        Undelivered::Since(date) => date,
        Undelivered::Undated => return old,
    };
    let candidate = greatest.map(|greatest| greatest.min(provider_start.unwrap_or(greatest)).min(bound));
    old.max(candidate)
}

/// How far the known records reach behind the cursor once it has moved from `old` to `next`: as far as before and as it moved,
/// but no farther than they must, since what lies before is forgotten. Without `old` everything seen is known.
pub fn next_reach(plan: &ResourcePlan, reach: Duration, old: Option<DateTime<Utc>>, next: Option<DateTime<Utc>>) -> Duration {
    let whole = plan.lookback.saturating_add(plan.created_tolerance);
    match (old, next) {
        (Some(old), Some(next)) => whole.min(reach.saturating_add((next - old).to_std().unwrap_or_default())),
        _ => whole,
    }
}

/// What a poll could not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// Nothing.
    None,
    /// Changes, the earliest of which bears this date.
    Since(DateTime<Utc>),
    /// A change without a date: no cursor can stand before it but the old one.
    Undated,
}

impl Undelivered {
    /// Adds one undelivered change.
    #[must_use]
    pub fn and(self, date: Option<DateTime<Utc>>) -> Self {
        match (self, date) {
            (Self::Undated, _) | (_, None) => Self::Undated,
            (Self::None, Some(date)) => Self::Since(date),
            (Self::Since(earliest), Some(date)) => Self::Since(earliest.min(date)),
        }
    }
}

/// The date before which nothing can come up again: records dated earlier need not be remembered. `None`: all must be.
pub fn horizon(plan: &ResourcePlan, cursor: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    if needs_full_known_set(plan) {
        return None;
    }
    let granule = version_format(plan).map_or(Duration::from_secs(1), crate::plan::date_format::DateFormat::granule);
    Some(before(lower_bound(plan, cursor?), plan.created_tolerance + granule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::record::Reader;
    use crate::plan::sample;
    use Verdict::{Change, Older, Remember, Same};
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    fn record(id: &str, updated: &str, created: &str, more: &str) -> String {
        format!(r#"{{"id":"{id}","updated":"2026-11-24T{updated}Z","created":"2026-11-24T{created}Z"{more}}}"#)
    }

    /// Judges records one after the other, remembering what was decided, as the poll does.
    fn judge_all(
        plan: &ResourcePlan,
        mode: Mode,
        cursor: Option<DateTime<Utc>>,
        known: &mut KnownSet,
        records: &[String],
    ) -> Vec<Verdict> {
        let reader = Reader::new(&plan.extract);
        let mut judge = Judge::new(plan, mode, cursor);
        records
            .iter()
            .map(|json| {
                let sighting = reader.read(json, None).unwrap();
                let verdict = judge.judge(&sighting, known);
                if matches!(verdict, Verdict::Remember | Verdict::Change(_)) {
                    known.remember(sighting.id_hash(), judge.known(&sighting));
                }
                verdict
            })
            .collect()
    }

    #[test]
    fn the_lower_bound_is_inclusive_and_ties_are_told_apart_by_version() {
        let plan = sample::resource();
        let mut known = KnownSet::default();
        let records = [
            record("1", "10:00:00", "10:00:00", ""),
            record("2", "10:00:00", "10:00:00", ""),
            record("1", "10:00:00", "10:00:00", ""),
            record("1", "10:00:00", "10:00:00", r#","x":1"#),
            record("3", "09:59:59", "09:00:00", ""),
        ];
        let verdicts = judge_all(&plan, Mode::Usual, Some(at("10:00:00")), &mut known, &records);
        assert_eq!(verdicts, [Change(Kind::Created), Change(Kind::Created), Same, Change(Kind::Updated), Older]);
    }

    #[test]
    fn a_widened_look_back_waits_until_the_known_records_reach_as_far() {
        let minute = Duration::from_mins(1);
        let plan = ResourcePlan { lookback: minute, created_tolerance: minute, ..sample::resource() };
        let records = [
            record("forgotten", "09:59:49", "09:00:00", ""),
            record("late", "09:59:50", "09:00:00", ""),
            record("announced", "10:00:05", "09:59:49", ""),
            record("new", "10:00:05", "09:59:50", ""),
        ];
        let mut judge = Judge::new(&plan, Mode::Usual, None).reaching(Duration::from_secs(10), Some(at("10:00:00")));
        let reader = Reader::new(&plan.extract);
        let verdicts = records.map(|json| judge.judge(&reader.read(&json, None).unwrap(), &KnownSet::default()));
        let [created, updated] = [Kind::Created, Kind::Updated].map(Change);
        assert_eq!(verdicts, [Older, updated, updated, created]);
        let reach = |lookback: u64, reach, old| {
            let span = Duration::from_secs;
            let plan = ResourcePlan { lookback: span(lookback - 10), created_tolerance: span(10), ..sample::resource() };
            next_reach(&plan, span(reach), old, Some(at("10:00:30"))).as_secs()
        };
        assert_eq!(reach(60, 10, Some(at("10:00:00"))), 40, "it grows as the cursor goes on");
        assert_eq!(reach(60, 50, Some(at("10:00:00"))), 60, "as far as it must");
        assert_eq!(reach(20, 60, Some(at("10:00:00"))), 20, "a narrower one forgets at once");
        assert_eq!(reach(60, 0, None), 60, "the first read knows all that it saw");
    }

    #[test]
    fn the_look_back_reaches_behind_the_cursor_without_repeating() {
        let plan = ResourcePlan { lookback: Duration::from_mins(1), ..sample::resource() };
        let mut known = KnownSet::default();
        let first = [record("1", "09:59:30", "09:00:00", "")];
        assert_eq!(judge_all(&plan, Mode::Usual, Some(at("10:00:00")), &mut known, &first), [Verdict::Change(Kind::Updated)]);
        let late = [
            record("1", "09:59:30", "09:00:00", ""),
            record("2", "09:59:20", "09:59:20", ""),
            record("3", "09:58:59", "09:58:59", ""),
        ];
        assert_eq!(
            judge_all(&plan, Mode::Usual, Some(at("10:00:00")), &mut known, &late),
            [Verdict::Same, Verdict::Change(Kind::Created), Verdict::Older]
        );
    }

    #[test]
    fn dates_tell_created_from_updated_within_the_tolerance() {
        let plan = sample::resource();
        let records = [record("1", "10:00:10", "10:00:00", ""), record("2", "10:00:10.001", "10:00:00", "")];
        assert_eq!(
            judge_all(&plan, Mode::Usual, None, &mut KnownSet::default(), &records),
            [Verdict::Change(Kind::Created), Verdict::Change(Kind::Updated)]
        );
    }

    #[test]
    fn a_null_updated_date_counts_as_its_created_date() {
        let plan = sample::resource();
        let json = [r#"{"id":1,"updated":null,"created":"2026-11-24T10:00:00Z"}"#.to_owned()];
        let mut known = KnownSet::default();
        assert_eq!(judge_all(&plan, Mode::Usual, Some(at("10:00:00")), &mut known, &json), [Verdict::Change(Kind::Created)]);
        assert_eq!(judge_all(&plan, Mode::Usual, Some(at("10:00:01")), &mut known, &json), [Verdict::Older]);
    }

    #[test]
    fn tombstones_are_delivered_once_and_a_return_is_a_creation() {
        let plan = sample::resource();
        let mut known = KnownSet::default();
        let gone = r#","deleted":true"#;
        let records = [
            record("1", "10:00:00", "09:00:00", ""),
            record("1", "10:00:01", "09:00:00", gone),
            record("1", "10:00:01", "09:00:00", gone),
            record("1", "10:00:02", "09:00:00", gone),
            record("1", "10:00:03", "09:00:00", ""),
            record("2", "10:00:03", "09:00:00", gone),
        ];
        assert_eq!(
            judge_all(&plan, Mode::Usual, None, &mut known, &records),
            [Change(Kind::Updated), Change(Kind::Deleted), Same, Remember, Change(Kind::Created), Change(Kind::Deleted)]
        );
    }

    #[test]
    fn the_first_read_of_earliest_creates_all_but_what_was_never_announced() {
        let plan = ResourcePlan { start_from: StartFrom::Earliest, ..sample::resource() };
        let records = [record("1", "10:00:00", "01:00:00", ""), record("2", "10:00:00", "01:00:00", r#","deleted":true"#)];
        assert_eq!(
            judge_all(&plan, Mode::FirstRead, None, &mut KnownSet::default(), &records),
            [Verdict::Change(Kind::Created), Verdict::Remember]
        );
    }

    #[test]
    fn without_dates_content_decides() {
        let mut plan = ResourcePlan { change_by: ChangeBy::Content, ..sample::resource() };
        let extract = std::sync::Arc::make_mut(&mut plan.extract);
        (extract.updated, extract.created) = (None, None);
        assert!(needs_full_known_set(&plan) && needs_baseline_read(&plan));
        let mut known = KnownSet::default();
        let one = |x: u32| format!(r#"{{"id":9007199254740993,"x":{x}}}"#);
        assert_eq!(judge_all(&plan, Mode::Baseline, None, &mut known, &[one(1)]), [Verdict::Remember]);
        assert_eq!(
            judge_all(&plan, Mode::Usual, None, &mut known, &[one(1), one(2), one(2), r#"{"id":9007199254740992}"#.into()]),
            [Verdict::Same, Verdict::Change(Kind::Updated), Verdict::Same, Verdict::Change(Kind::Created)]
        );
    }

    #[test]
    fn a_bad_date_falls_back_to_content_and_is_counted() {
        let plan = sample::resource();
        let reader = Reader::new(&plan.extract);
        let mut judge = Judge::new(&plan, Mode::Usual, Some(at("10:00:00")));
        let mut known = KnownSet::default();
        let json = r#"{"id":1,"updated":"yesterday","created":"2026-11-24T09:00:00Z"}"#;
        let sighting = reader.read(json, None).unwrap();
        assert!(matches!(judge.judge(&sighting, &known), Verdict::Change(_)));
        known.remember(sighting.id_hash(), judge.known(&sighting));
        assert_eq!(judge.judge(&sighting, &known), Verdict::Same);
        known.forget_before(at("23:00:00"));
        assert_eq!(judge.judge(&sighting, &known), Verdict::Same, "a record without a date is never forgotten");
        assert_eq!((judge.seen().bad_dates, judge.seen().greatest), (3, None));
    }

    #[test]
    fn a_missing_id_is_a_fault_of_the_record() {
        let plan = sample::resource();
        let reader = Reader::new(&plan.extract);
        for json in ["{}", r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":[1]}"#, r#"{"id":{}}"#, "1", "null", "[]", r#""x""#] {
            assert!(reader.read(json, None).is_err(), "{json}");
        }
        assert_eq!(reader.read(r#"{"id":1}"#, None).unwrap().id, reader.read(r#"{"id":"1"}"#, None).unwrap().id);
    }

    #[test]
    fn the_cursor_is_clamped_and_never_goes_back() {
        let (old, greatest, start) = (at("10:00:00"), at("12:00:00"), at("11:00:00"));
        let next = |greatest, start, undelivered| next_cursor(Some(old), greatest, start, undelivered);
        assert_eq!(next(Some(greatest), Some(start), Undelivered::None), Some(start));
        assert_eq!(next(Some(greatest), None, Undelivered::None), Some(greatest));
        assert_eq!(next(None, Some(start), Undelivered::None), Some(old));
        assert_eq!(next(Some(at("09:00:00")), Some(start), Undelivered::None), Some(old));
        assert_eq!(next(Some(greatest), Some(start), Undelivered::Since(at("10:30:00"))), Some(at("10:30:00")));
        assert_eq!(next(Some(greatest), Some(start), Undelivered::Since(at("09:30:00"))), Some(old));
        assert_eq!(next(Some(greatest), Some(start), Undelivered::None.and(Some(start)).and(None)), Some(old));
    }

    proptest! {
        /// Whatever the provider shows: a version that was delivered is not delivered again, and what changed is.
        #[test]
        fn each_version_is_delivered_once(steps in prop::collection::vec((0u8..5, 0u8..60), 1..80)) {
            let plan = sample::resource();
            let mut known = KnownSet::default();
            let mut latest = std::collections::HashMap::new();
            let mut delivered = std::collections::HashSet::new();
            for (clock, (id, extra)) in steps.iter().enumerate() {
                let version = record(&id.to_string(), &format!("10:{:02}:{:02}", clock / 60, clock % 60), "09:00:00", &format!(r#","x":{extra}"#));
                latest.insert(*id, version.clone());
                let list: Vec<_> = latest.values().cloned().collect();
                let verdicts = judge_all(&plan, Mode::Usual, Some(at("09:00:00")), &mut known, &list);
                for (json, verdict) in list.iter().zip(verdicts) {
                    prop_assert_eq!(matches!(verdict, Verdict::Change(_)), delivered.insert(json.clone()));
                }
            }
        }
    }
}
