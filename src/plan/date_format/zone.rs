//! Time zones under the names that Java knows.

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{OffsetName, Tz};

/// Offsets are at most 18 hours (`java.time.ZoneOffset`).
const MAX_OFFSET: i32 = 18 * 3600;

/// A fixed offset, or a zone with its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Zone {
    /// Seconds east of Greenwich; the name is what a text for `z` shows.
    Fixed(i32, Option<&'static str>),
    /// An IANA zone.
    Named(Tz),
}

impl Default for Zone {
    fn default() -> Self {
        Self::GMT
    }
}

impl Zone {
    /// Greenwich.
    pub(in crate::plan) const GMT: Self = Self::Fixed(0, Some("GMT"));

    /// Reads a zone as a person writes it in a field.
    pub(in crate::plan) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Some(Self::GMT);
        }
        if text.starts_with(['+', '-']) {
            return whole_offset(text).map(|seconds| Self::Fixed(seconds, None));
        }
        if let Some(zone) = java_short_name(text) {
            return Some(zone);
        }
        for prefix in ["GMT", "UTC", "UT"] {
            if let Some(offset) = text.strip_prefix(prefix)
                && offset.starts_with(['+', '-'])
            {
                return whole_offset(offset).map(|seconds| Self::Fixed(seconds, None));
            }
        }
        text.parse().ok().map(Self::Named)
    }

    /// Seconds east of Greenwich at an instant.
    pub(super) fn offset_at(self, at: DateTime<Utc>) -> i32 {
        match self {
            Self::Fixed(seconds, _) => seconds,
            Self::Named(zone) => zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc(),
        }
    }

    /// The local time at an instant; at the far ends of time, UTC.
    pub(super) fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        let utc = at.naive_utc();
        FixedOffset::east_opt(self.offset_at(at)).and_then(|offset| utc.checked_add_offset(offset)).unwrap_or(utc)
    }

    /// When the local day ends that has this instant; at the far ends of time, never.
    pub(in crate::plan) fn day_ends(self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.instant(self.local(at).date().succ_opt()?.and_time(NaiveTime::MIN))
    }

    /// The instant of a local time: the earlier one of two, the shifted one for a time that does not exist.
    pub(super) fn instant(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self {
            Self::Fixed(0, _) => Some(local.and_utc()),
            Self::Fixed(seconds, _) => minus(local, seconds),
            Self::Named(zone) => minus(local, offset_of_local(zone, local)?),
        }
    }

    /// The later one of two instants of a local time; otherwise as [`Self::instant`].
    pub(super) fn last_instant(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        if let Self::Named(zone) = self
            && let LocalResult::Ambiguous(a, b) = zone.offset_from_local_datetime(&local)
        {
            return minus(local, a.fix().local_minus_utc().min(b.fix().local_minus_utc()));
        }
        self.instant(local)
    }

    /// The instant of a local time next to a zone name such as `PDT`: in this zone if it uses the name, otherwise what the name commonly
    /// means, or that of a region (`Japan`).
    pub(super) fn instant_by_name(self, local: NaiveDateTime, name: &str) -> Option<DateTime<Utc>> {
        if let Self::Named(zone) = self {
            let (first, second) = match zone.offset_from_local_datetime(&local) {
                LocalResult::Single(only) => (Some(only), None),
                LocalResult::Ambiguous(a, b) => (Some(a), Some(b)),
                LocalResult::None => (None, None),
            };
            for offset in [first, second].into_iter().flatten() {
                if offset.abbreviation().is_some_and(|known| known.eq_ignore_ascii_case(name)) {
                    return minus(local, offset.fix().local_minus_utc());
                }
            }
        }
        match offset_of_name(name) {
            Some(seconds) => minus(local, seconds),
            None => name.parse().ok().and_then(|zone| Self::Named(zone).instant(local)),
        }
    }

    /// The name of the offset in use at an instant, e.g. `PDT`; `GMT-03:00` for one that has no name.
    pub(super) fn short_name(self, at: DateTime<Utc>) -> Cow<'static, str> {
        match self {
            Self::Fixed(_, Some(name)) => Cow::Borrowed(name),
            Self::Fixed(seconds, None) => Cow::Owned(format!("GMT{}", colon_offset(seconds))),
            Self::Named(zone) => {
                let offset = zone.offset_from_utc_datetime(&at.naive_utc());
                match offset.abbreviation() {
                    Some(name) if name.bytes().all(|byte| byte.is_ascii_alphabetic()) => Cow::Owned(name.to_owned()),
                    _ => Cow::Owned(format!("GMT{}", colon_offset(offset.fix().local_minus_utc()))),
                }
            }
        }
    }

    /// The identifier: an IANA name or an offset.
    pub(super) fn id(self) -> Cow<'static, str> {
        match self {
            Self::Fixed(0, Some(name)) => Cow::Borrowed(name),
            Self::Fixed(seconds, _) => Cow::Owned(colon_offset(seconds)),
            Self::Named(zone) => Cow::Borrowed(zone.name()),
        }
    }

    /// Whether local time is always UTC.
    pub(super) fn is_gmt(self) -> bool {
        match self {
            Self::Fixed(seconds, _) => seconds == 0,
            Self::Named(zone) => matches!(zone, Tz::UTC | Tz::GMT | Tz::Etc__UTC | Tz::Etc__GMT | Tz::Zulu | Tz::Etc__UCT),
        }
    }

    /// When `at` lies in a stretch of local time that the zone has twice: where its two passes start.
    pub(super) fn fold(self, at: DateTime<Utc>) -> Option<Fold> {
        let Self::Named(zone) = self else { return None };
        let local = self.local(at);
        let LocalResult::Ambiguous(a, b) = zone.offset_from_local_datetime(&local) else { return None };
        let (a, b) = (a.fix().local_minus_utc(), b.fix().local_minus_utc());
        let (before, after) = (a.max(b), a.min(b));
        let (mut first, mut second) = (minus(local, before)?, minus(local, after)?);
        while second - first > TimeDelta::seconds(1) {
            let middle = first + TimeDelta::seconds((second - first).num_seconds() / 2);
            if self.offset_at(middle) == after { second = middle } else { first = middle }
        }
        // the change of offset happens on a whole second, and `second` is less than one behind it
        let change = DateTime::from_timestamp(second.timestamp(), 0)?;
        let start = change.checked_sub_signed(TimeDelta::seconds(i64::from(before - after)))?;
        Some(Fold { first: start, second: change })
    }
}

/// A stretch of local time that a zone has twice, since its clocks are set back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    /// Start of the first pass.
    pub(super) first: DateTime<Utc>,
    /// Start of the second pass: when the clocks are set back.
    pub(super) second: DateTime<Utc>,
}

/// `+05:30`, with seconds only where there are some.
pub(super) fn colon_offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes, rest) = (seconds.abs() / 3600, seconds.abs() / 60 % 60, seconds.abs() % 60);
    if rest == 0 { format!("{sign}{hours:02}:{minutes:02}") } else { format!("{sign}{hours:02}:{minutes:02}:{rest:02}") }
}

/// Reads an offset at the start of a text: `+6`, `+06`, `+6:00`, `+06:00`, `+0600`, `+600`, `+06:00:00`, `+060000`. Gives seconds and
/// the bytes read.
pub(super) fn read_offset(text: &[u8]) -> Option<(i32, usize)> {
    let negative = match text.first()? {
        b'+' => false,
        b'-' => true,
        _ => return None,
    };
    let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = |from: usize, to: usize| text[from..to].iter().fold(0, |sum, byte| sum * 10 + i32::from(byte - b'0'));
    let two_after_colon = |at: usize| {
        (text.get(at) == Some(&b':')
            && text.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_digit))
            && !text.get(at + 3).is_some_and(u8::is_ascii_digit))
        .then(|| number(at + 1, at + 3))
    };
    let mut end = 1 + digits;
    let (hours, minutes, seconds) = match digits {
        1 | 2 => {
            let hours = number(1, end);
            let (mut minutes, mut seconds) = (0, 0);
            if let Some(found) = two_after_colon(end) {
                (minutes, end) = (found, end + 3);
                if let Some(found) = two_after_colon(end) {
                    (seconds, end) = (found, end + 3);
                }
            }
            (hours, minutes, seconds)
        }
        3 => (number(1, 2), number(2, 4), 0),
        4 => (number(1, 3), number(3, 5), 0),
        6 => (number(1, 3), number(3, 5), number(5, 7)),
        _ => return None,
    };
    let total = hours * 3600 + minutes * 60 + seconds;
    if minutes > 59 || seconds > 59 || total > MAX_OFFSET {
        return None;
    }
    Some((if negative { -total } else { total }, end))
}

fn whole_offset(text: &str) -> Option<i32> {
    read_offset(text.as_bytes()).filter(|(_, end)| *end == text.len()).map(|(seconds, _)| seconds)
}

fn minus(local: NaiveDateTime, seconds: i32) -> Option<DateTime<Utc>> {
    local.checked_sub_offset(FixedOffset::east_opt(seconds)?).map(|utc| utc.and_utc())
}

fn offset_of_local(zone: Tz, local: NaiveDateTime) -> Option<i32> {
    match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(only) => Some(only.fix().local_minus_utc()),
        LocalResult::Ambiguous(a, b) => Some(a.fix().local_minus_utc().max(b.fix().local_minus_utc())),
        LocalResult::None => offset_before_gap(zone, local),
    }
}

/// The offset that was in use before a stretch of local time that the zone skips; the longest ever was a day (Samoa, 2011).
fn offset_before_gap(zone: Tz, local: NaiveDateTime) -> Option<i32> {
    (1..=100).find_map(|quarters| {
        let earlier = local.checked_sub_signed(TimeDelta::minutes(15 * quarters))?;
        zone.offset_from_local_datetime(&earlier).latest().map(|offset| offset.fix().local_minus_utc())
    })
}

/// `java.time.ZoneId.SHORT_IDS`, the names of Greenwich, and the summer names that can only mean one offset.
fn java_short_name(text: &str) -> Option<Zone> {
    let hours = |hours: i32, name| Zone::Fixed(hours * 3600, Some(name));
    Some(match text {
        "GMT" | "GMT0" => Zone::GMT,
        "UTC" | "UT" | "Z" | "z" => hours(0, "UTC"),
        "EST" => hours(-5, "EST"),
        "MST" => hours(-7, "MST"),
        "HST" => hours(-10, "HST"),
        "EDT" => hours(-4, "EDT"),
        "CDT" => hours(-5, "CDT"),
        "MDT" => hours(-6, "MDT"),
        "PDT" => hours(-7, "PDT"),
        "ACT" => Zone::Named(Tz::Australia__Darwin),
        "AET" => Zone::Named(Tz::Australia__Sydney),
        "AGT" => Zone::Named(Tz::America__Argentina__Buenos_Aires),
        "ART" => Zone::Named(Tz::Africa__Cairo),
        "AST" => Zone::Named(Tz::America__Anchorage),
        "BET" => Zone::Named(Tz::America__Sao_Paulo),
        "BST" => Zone::Named(Tz::Asia__Dhaka),
        "CAT" => Zone::Named(Tz::Africa__Harare),
        "CNT" => Zone::Named(Tz::America__St_Johns),
        "CST" => Zone::Named(Tz::America__Chicago),
        "CTT" => Zone::Named(Tz::Asia__Shanghai),
        "EAT" => Zone::Named(Tz::Africa__Addis_Ababa),
        "ECT" => Zone::Named(Tz::Europe__Paris),
        "IET" => Zone::Named(Tz::America__Indiana__Indianapolis),
        "IST" => Zone::Named(Tz::Asia__Kolkata),
        "JST" => Zone::Named(Tz::Asia__Tokyo),
        "MIT" => Zone::Named(Tz::Pacific__Apia),
        "NET" => Zone::Named(Tz::Asia__Yerevan),
        "NST" => Zone::Named(Tz::Pacific__Auckland),
        "PLT" => Zone::Named(Tz::Asia__Karachi),
        "PNT" => Zone::Named(Tz::America__Phoenix),
        "PRT" => Zone::Named(Tz::America__Puerto_Rico),
        "PST" => Zone::Named(Tz::America__Los_Angeles),
        "SST" => Zone::Named(Tz::Pacific__Guadalcanal),
        "VST" => Zone::Named(Tz::Asia__Ho_Chi_Minh),
        _ => return None,
    })
}

/// Whether a zone name in a text means an offset or a region, whatever the configured zone.
pub(super) fn is_known_name(name: &str) -> bool {
    offset_of_name(name).is_some() || name.parse::<Tz>().is_ok()
}

/// What a zone name in a text means: RFC 5322 §4.3 for North America, common use elsewhere. Names that several continents share
/// (IST, AST, …) are left out; they are read when the configured zone uses them.
fn offset_of_name(name: &str) -> Option<i32> {
    const MINUTES: [(&str, i32); 33] = [
        ("GMT", 0),
        ("UTC", 0),
        ("UT", 0),
        ("Z", 0),
        ("EST", -300),
        ("EDT", -240),
        ("CST", -360),
        ("CDT", -300),
        ("MST", -420),
        ("MDT", -360),
        ("PST", -480),
        ("PDT", -420),
        ("AKST", -540),
        ("AKDT", -480),
        ("HST", -600),
        ("WET", 0),
        ("WEST", 60),
        ("CET", 60),
        ("CEST", 120),
        ("MEZ", 60),
        ("MESZ", 120),
        ("EET", 120),
        ("EEST", 180),
        ("MSK", 180),
        ("JST", 540),
        ("KST", 540),
        ("AEST", 600),
        ("AEDT", 660),
        ("ACST", 570),
        ("ACDT", 630),
        ("AWST", 480),
        ("NZST", 720),
        ("NZDT", 780),
    ];
    MINUTES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, minutes)| minutes * 60)
}
