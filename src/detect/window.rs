//! The cursor, the dedup window behind it, and what lies before both.
//!
//! ```text
//!       forgotten | dedup window: every record dated here is known |  new
//!   ──────────────┼──────────────┬──────────────────────────────────┼──────────> date
//!              horizon      lower bound                          cursor
//! ```
//!
//! A poll asks from the lower bound. What the list shows is compared with the known set; an id that is not known is new if its date
//! lies within the window, since all that was shown there before is known. Only before the window an unknown id says nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::plan::date_format::DateFormat;
use crate::plan::shaping::OnLeave;
use crate::plan::{ChangeBy, ResourcePlan, StartFrom};

/// How far each poll reads back at least. The clocks of a provider's servers differ by seconds, and a record may be listed some seconds
/// after the moment that its date names.
pub const MARGIN: Duration = Duration::from_mins(1);

/// A dedup window without end: every record that was ever shown is known.
pub const UNBOUNDED: Duration = Duration::from_hours(24 * 366 * 10_000);

/// No record is dated later: 2999-12-31. A complete reading of a list asks up to here, or records of the future would be missing.
pub const FAR_FUTURE: Option<DateTime<Utc>> = DateTime::from_timestamp(32_503_593_600, 0);

/// How far a record's date may be from the provider's clock because it has no time zone (UTC−12 to UTC+14), and a margin.
pub const ZONES: chrono::TimeDelta = chrono::TimeDelta::hours(15);

/// Whether every id of the list must be remembered to distinguish created from updated, or changed from unchanged.
/// By content it does; and without a created date an id never seen is `created`. So does finding out which ids are missing.
/// With a filter it does, too: whether a record was announced decides what is sent when it comes to match or no longer does.
pub fn needs_full_known_set(plan: &ResourcePlan) -> bool {
    plan.extract.filter.is_some() || needs_every_id(plan)
}

/// Whether a record that comes into the list with a date from before the last polls looks like one that was always there.
pub fn passes_old_newcomers(plan: &ResourcePlan) -> bool {
    !needs_full_known_set(plan) && plan.full_sweep.is_none() && plan.delta.is_none()
}

fn needs_every_id(plan: &ResourcePlan) -> bool {
    plan.compare_content
        || plan.snapshot.is_some()
        || plan.changes.is_some()
        || plan.change_by == ChangeBy::Content
        || (plan.change_by == ChangeBy::Updated && plan.extract.created.is_none())
}

/// Whether `startFrom: Now` must read the whole list. Otherwise it reads what a clock in any time zone may have stamped lately.
pub fn needs_whole_baseline(plan: &ResourcePlan) -> bool {
    let tells_of_leaving = plan.extract.filter.as_ref().is_some_and(|filter| filter.on_leave == OnLeave::Deleted);
    needs_every_id(plan) || tells_of_leaving || !plan.request.uses_since()
}

/// The smallest unit that the dates of a resource carry.
pub fn granule(plan: &ResourcePlan) -> Duration {
    formats(plan).map(DateFormat::granule).max().unwrap_or(Duration::from_secs(1))
}

/// The formats of the dates of which the version date is made: the updated one, and the created one in its stead.
fn formats(plan: &ResourcePlan) -> impl Iterator<Item = &DateFormat> {
    let extract = &*plan.extract;
    let updated = extract.updated.as_ref().filter(|_| plan.change_by != ChangeBy::Created);
    [updated, extract.created.as_ref()].into_iter().flatten().map(|field| &field.format)
}

/// `at` − `by`, as far as the calendar goes.
pub fn before(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    chrono::Duration::from_std(by).ok().and_then(|by| at.checked_sub_signed(by)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// How far behind the cursor a poll asks while records may appear late: the look-back and the lateness, but at least the margin.
pub fn lookback(plan: &ResourcePlan) -> Duration {
    plan.lookback.max(plan.lateness).max(MARGIN)
}

/// Whether every record up to the cursor has appeared. A list that was read to its end at `read_at`, on the provider's clock, had them all
/// if the lateness had passed by then.
pub fn is_quiet(plan: &ResourcePlan, cursor: Option<DateTime<Utc>>, read_at: Option<DateTime<Utc>>) -> bool {
    !plan.lateness.is_zero() && cursor.zip(read_at).is_some_and(|(cursor, read_at)| before(read_at, plan.lateness) >= cursor)
}

/// What `${since}` stands for in a poll of a quiet list: no record behind the cursor appears any more.
pub fn asked_when_quiet(plan: &ResourcePlan, cursor: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    cursor.map(|cursor| before(cursor, plan.lookback.max(MARGIN)))
}

/// What `${since}` stands for in a poll that starts at `cursor`; `None`: from the beginning.
pub fn asked_from(plan: &ResourcePlan, cursor: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (cursor, plan.start_from) {
        (Some(cursor), _) => Some(before(cursor, lookback(plan))),
        (None, StartFrom::Time(from)) => Some(from),
        (None, StartFrom::Now | StartFrom::Earliest) => None,
    }
}

/// Where the cursor moves to although no record was dated there, so that the provider can still be asked from there: the list was read to
/// its end at `read_at`, on the provider's clock, and everything before that, but for what is read again, was shown. `None` while the
/// cursor is young enough: it moves seldom, since each time is a write.
pub fn renewed(plan: &ResourcePlan, cursor: Option<DateTime<Utc>>, read_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let (age, cursor, read_at) = (plan.max_age?, cursor?, read_at?);
    (cursor < before(read_at, age / 2)).then(|| before(read_at, lookback(plan)))
}

/// The earliest date that a record changed at `at` may read as: days or minutes are cut off, and a local time may be read an hour early.
pub fn earliest_reading(plan: &ResourcePlan, at: DateTime<Utc>) -> DateTime<Utc> {
    formats(plan).map(|format| format.earliest_reading(at)).min().unwrap_or(at)
}

/// All records dated at or after this were seen: an id that is not known is new. `None`: so were all others.
pub fn known_since(plan: &ResourcePlan, cursor: Option<DateTime<Utc>>, window: Duration) -> Option<DateTime<Utc>> {
    match (cursor, plan.start_from) {
        _ if plan.change_by == ChangeBy::Content || (cursor.is_some() && window >= UNBOUNDED) => None,
        (Some(cursor), _) => Some(earliest_reading(plan, before(cursor, window))),
        (None, StartFrom::Time(from)) => Some(earliest_reading(plan, from)),
        (None, StartFrom::Now | StartFrom::Earliest) => None,
    }
}

/// The next cursor: not behind the old one, not beyond the greatest date seen that is not ahead of the provider's clock (a record dated
/// in the future is delivered but must not hide what comes before its date), and not beyond a change that is still to be delivered.
pub fn next_cursor(
    old: Option<DateTime<Utc>>,
    greatest: Option<DateTime<Utc>>,
    undelivered: Undelivered,
) -> Option<DateTime<Utc>> {
    let bound = match undelivered {
        Undelivered::None => DateTime::<Utc>::MAX_UTC,
        Undelivered::Since(date) => date,
        Undelivered::Undated => return old,
    };
    old.max(greatest.map(|greatest| greatest.min(bound)))
}

/// The dedup window once the cursor has moved from `old` to `next`: as far as before and as it moved, but no farther than it must, since
/// what lies before is forgotten. `old` is where the records seen begin; without it all were seen.
pub fn next_window(plan: &ResourcePlan, window: Duration, old: Option<DateTime<Utc>>, next: Option<DateTime<Utc>>) -> Duration {
    let whole = if needs_full_known_set(plan) { UNBOUNDED } else { lookback(plan).saturating_add(plan.created_tolerance) };
    match (old, next) {
        (Some(old), Some(next)) => whole.min(window.saturating_add((next - old).to_std().unwrap_or_default())),
        // Nothing was seen from there on.
        (Some(_), None) => whole.min(window),
        (None, _) => whole,
    }
}

/// The date before which nothing can come up again: records dated earlier need not be remembered. `None`: all must be.
pub fn horizon(plan: &ResourcePlan, cursor: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    if needs_full_known_set(plan) {
        return None;
    }
    let lower = earliest_reading(plan, before(cursor?, lookback(plan)));
    Some(before(lower, plan.created_tolerance + granule(plan)))
}

/// What the end of a poll makes of the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorUpdate {
    /// The next cursor.
    pub cursor: Option<DateTime<Utc>>,
    /// The next dedup window.
    pub window: Duration,
    /// Records dated before it need not be remembered.
    pub horizon: Option<DateTime<Utc>>,
}

/// What a poll could not deliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undelivered {
    /// Nothing.
    #[default]
    None,
    /// Changes, the earliest of which has this date.
    Since(DateTime<Utc>),
    /// A change without a date: the cursor must stay where it is.
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

    /// Adds what another batch could not deliver.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match other {
            Self::None => self,
            Self::Since(date) => self.and(Some(date)),
            Self::Undated => Self::Undated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    #[test]
    fn the_cursor_never_goes_back_nor_past_what_was_not_taken() {
        let (old, greatest) = (at("10:00:00"), at("12:00:00"));
        let next = |greatest, undelivered| next_cursor(Some(old), greatest, undelivered);
        assert_eq!(next(Some(greatest), Undelivered::None), Some(greatest));
        assert_eq!(next(None, Undelivered::None), Some(old));
        assert_eq!(next(Some(at("09:00:00")), Undelivered::None), Some(old));
        assert_eq!(next(Some(greatest), Undelivered::Since(at("10:30:00"))), Some(at("10:30:00")));
        assert_eq!(next(Some(greatest), Undelivered::Since(at("09:30:00"))), Some(old));
        assert_eq!(next(Some(greatest), Undelivered::None.and(Some(greatest)).and(None)), Some(old));
    }

    #[test]
    fn a_list_is_quiet_once_no_record_can_appear_late() {
        let plan = ResourcePlan { lateness: Duration::from_mins(5), ..sample::resource() };
        let cursor = Some(at("10:00:00"));
        let quiet = |plan, read_at: &str| is_quiet(plan, cursor, Some(at(read_at)));
        assert!(!quiet(&plan, "10:00:00") && !quiet(&plan, "10:04:59") && quiet(&plan, "10:05:00"));
        assert!(!is_quiet(&plan, cursor, None) && !is_quiet(&plan, None, Some(at("10:05:00"))));
        assert!(!quiet(&sample::resource(), "11:00:00"), "without lateness the look-back stays");
        assert_eq!(asked_from(&plan, cursor), Some(at("09:55:00")));
        assert_eq!(asked_when_quiet(&plan, cursor), Some(at("09:59:00")));
        let both = ResourcePlan { lookback: Duration::from_mins(2), ..plan };
        assert_eq!(asked_when_quiet(&both, cursor), Some(at("09:58:00")));
        assert!(horizon(&both, cursor) < Some(at("09:55:00")), "what may come up again is remembered");
    }

    #[test]
    fn a_cursor_is_moved_before_the_provider_can_no_longer_be_asked_from_it() {
        let plan = ResourcePlan { max_age: Some(Duration::from_hours(8)), ..sample::resource() };
        let moved = |cursor: &str, read_at: &str| renewed(&plan, Some(at(cursor)), Some(at(read_at)));
        assert_eq!(moved("10:00:00", "14:00:00"), None);
        assert_eq!(moved("10:00:00", "14:00:01"), Some(at("13:59:01")), "what is read again stays ahead of it");
        assert_eq!(renewed(&plan, None, Some(at("14:00:01"))), None);
        assert_eq!(renewed(&plan, Some(at("10:00:00")), None), None, "without the provider's clock nothing is known");
        assert_eq!(renewed(&sample::resource(), Some(at("10:00:00")), Some(at("23:00:00"))), None);
    }

    #[test]
    fn the_window_grows_with_the_cursor_up_to_what_is_needed() {
        let span = Duration::from_secs;
        let window = |lookback: u64, window, old| {
            let plan = ResourcePlan { lookback: span(lookback), created_tolerance: span(10), ..sample::resource() };
            next_window(&plan, span(window), old, Some(at("10:00:30"))).as_secs()
        };
        assert_eq!(window(300, 10, Some(at("10:00:00"))), 40, "it grows as the cursor goes on");
        assert_eq!(window(60, 50, Some(at("10:00:00"))), 70, "as far as it must");
        assert_eq!(window(60, 300, Some(at("10:00:00"))), 70, "a narrower one forgets at once");
        assert_eq!(window(0, 0, None), 70, "the first read knows all that it saw, and the margin is always read");
        assert_eq!(next_window(&sample::resource(), Duration::ZERO, Some(at("10:00:00")), None), Duration::ZERO);
        let mut plan = sample::resource();
        std::sync::Arc::make_mut(&mut plan.extract).created = None;
        assert_eq!(next_window(&plan, span(5), None, Some(at("10:00:00"))), UNBOUNDED);
        assert_eq!(known_since(&plan, Some(at("10:00:00")), UNBOUNDED), None);
        assert_eq!(horizon(&plan, Some(at("10:00:00"))), None);
    }
}
