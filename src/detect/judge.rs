//! Decides what a sighting is: nothing new, something to remember, or a change.

use chrono::{DateTime, Utc};

use super::known::{Known, KnownSet};
use super::record::Sighting;
use crate::deliver::event::Kind;
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
/// a second cannot tell what came before the first poll from what came after it on the same day or in the same minute.
pub fn needs_baseline_read(plan: &ResourcePlan) -> bool {
    let coarse = version_format(plan).is_some_and(|format| format.granule() > std::time::Duration::from_secs(1));
    needs_full_known_set(plan) || coarse
}

/// The format in which `${since}` is written and by which the cursor is rounded.
pub fn version_format(plan: &ResourcePlan) -> Option<&crate::plan::date_format::DateFormat> {
    let field = match plan.change_by {
        ChangeBy::Created => plan.extract.created.as_ref().or(plan.extract.updated.as_ref()),
        ChangeBy::Updated | ChangeBy::Content => plan.extract.updated.as_ref().or(plan.extract.created.as_ref()),
    };
    field.map(|field| &field.format)
}

/// Judges the sightings of one poll and keeps what the next cursor is made of.
#[derive(Debug)]
pub struct Judge<'p> {
    plan: &'p ResourcePlan,
    mode: Mode,
    lower: Option<DateTime<Utc>>,
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
        let lower = match (plan.change_by, cursor, plan.start_from) {
            (ChangeBy::Content, _, _) => None,
            (_, Some(cursor), _) => Some(before(cursor, plan.lookback)),
            (_, None, StartFrom::Time(from)) => Some(from),
            (_, None, StartFrom::Now | StartFrom::Earliest) => None,
        };
        Self { plan, mode, lower, seen: Seen::default() }
    }

    /// What the poll has seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
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
            date: if self.plan.change_by == ChangeBy::Content { None } else { self.date(sighting).map(|d| d.timestamp_millis()) },
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
        self.seen.disorder |= match (self.plan.order, self.seen.last) {
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
                if version - created <= tolerance { Kind::Created } else { Kind::Updated }
            }
            _ => Kind::Created,
        }
    }
}

/// Does the list show an older version than was delivered? A page that was read late may.
fn is_stale(known: &Known, date: Option<DateTime<Utc>>) -> bool {
    matches!((known.date, date), (Some(known), Some(date)) if date.timestamp_millis() < known)
}

/// `at` − `by`, as far as the calendar goes.
pub fn before(at: DateTime<Utc>, by: std::time::Duration) -> DateTime<Utc> {
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
    let granule = version_format(plan).map_or(std::time::Duration::from_secs(1), crate::plan::date_format::DateFormat::granule);
    Some(before(cursor?, plan.lookback + plan.created_tolerance + granule))
}
