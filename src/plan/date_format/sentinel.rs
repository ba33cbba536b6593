//! Dates that say "no date": the zeros and the ends of other systems' calendars.
//!
//! Servers without a null in their date type send the smallest or the greatest value that it has, often moved by an offset when it
//! was turned into local time. None of these can be the time of a change in a provider's database, and each would do harm as one:
//! a zero lies before every cursor, an end is never passed by any.

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::WrittenDate;
use super::epoch::{self, EpochUnit};
use super::iso;
use super::zone::Zone;

/// Midnights, in seconds since 1970: 1000-01-01 (`MySQL`), 1582-10-15 (UUID), 1601-01-01 (FILETIME, LDAP), 1753-01-01 (SQL Server),
/// 1858-11-17 (VMS), 1899-12-30 (OLE), 1899-12-31 and 1900-01-01 (Excel, SQL Server), 1904-01-01 (Macintosh), 1970-01-01 (Unix).
const ZEROS: [i64; 10] = [
    -30_610_224_000,
    -12_219_292_800,
    -11_644_473_600,
    -6_847_804_800,
    -3_506_716_800,
    -2_209_161_600,
    -2_209_075_200,
    -2_208_988_800,
    -2_082_844_800,
    0,
];

/// 2070-01-01: what 1970-01-01 is when its year is written with two digits.
const SHORT_ZERO: i64 = 3_155_760_000;

/// Seconds in which a counter starts or ends: signed and unsigned seconds of 32 bits, nanoseconds of 64 bits, nines in any unit.
const ENDS: [i64; 7] =
    [-2_147_483_648, 2_147_483_647, 4_294_967_295, -9_223_372_037, -9_223_372_036, 9_223_372_036, 9_999_999_999];

/// Numbers that mean nothing else, in whatever unit a resource counts: -1; the years 1, 1601 and 1753 and the last second and day of
/// 9999 in other units than the resource's; the ends of 64 bits and of JavaScript's dates; 1970 in ticks of .NET.
const NUMBERS: [i64; 18] = [
    -1,
    -62_135_596_800,
    -62_135_596_800_000,
    -62_135_596_800_000_000,
    -11_644_473_600,
    -11_644_473_600_000,
    -6_847_804_800,
    -6_847_804_800_000,
    -2_208_988_800_000,
    -2_209_161_600_000,
    253_402_214_400,
    253_402_300_799,
    253_402_300_799_999,
    621_355_968_000_000_000,
    8_640_000_000_000_000,
    -8_640_000_000_000_000,
    i64::MAX,
    i64::MIN,
];

/// Words for null in the languages that servers are written in, and `infinity` as `PostgreSQL` has it. `false` is Odoo's and PHP's.
const WORDS: [&str; 14] = [
    "null",
    "(null)",
    "<null>",
    "nil",
    "none",
    "undefined",
    "never",
    "n/a",
    "nat",
    "false",
    "infinity",
    "-infinity",
    "-",
    "--",
];

/// No database that is polled was changed before it, and no change is dated after it. Between lie 1582 and 2899; exact sentinels
/// there are listed above. 2999, 3000, 4501 (Outlook), 4712 (Oracle), 8888 and 9999 mean "for ever".
const YEARS: std::ops::Range<i32> = 2..2900;

/// Offsets that a zero was moved by, in seconds: those in use, in whole quarters of an hour.
const OFFSETS: std::ops::RangeInclusive<i64> = -12 * 3600..=14 * 3600;

/// Whether a text that was read as a date of its format means "no date". `short_year`: its year has two digits.
pub(super) fn is_never(text: &str, stamp: &WrittenDate, short_year: bool) -> bool {
    let at = stamp.at.timestamp();
    // nearly every date met; of the numbers only those of twelve digits are read as such a date and mean another
    if (86_400..2_147_483_647).contains(&at) && text.len() != 12 {
        return false;
    }
    !YEARS.contains(&stamp.written.year())
        || !YEARS.contains(&stamp.at.year())
        || ENDS.contains(&at)
        || ZEROS.iter().any(|zero| is_midnight(*zero, stamp))
        || (short_year && is_midnight(SHORT_ZERO, stamp))
        || is_number(text)
}

/// Whether a text that is no date of its format means "no date" in any.
pub(super) fn is_never_elsewhere(text: &str) -> bool {
    let zero = |at: DateTime<Utc>| is_never("", &WrittenDate::in_utc(at), false);
    text.is_empty()
        || WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
        || is_number(text)
        || epoch::read(text, EpochUnit::Seconds) == Some(DateTime::UNIX_EPOCH)
        || (text.starts_with('/') && epoch::read(text, EpochUnit::Milliseconds).is_some_and(zero))
        || has_no_year(text)
        || iso::read(text, Zone::GMT, iso::Rules { date_alone: true, literal_z: false })
            .is_some_and(|stamp| is_never("", &stamp, false))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        && text.parse().is_ok_and(|number: i64| NUMBERS.contains(&number))
}

/// Whether a date is this midnight as it is written, or as any zone has it.
fn is_midnight(zero: i64, stamp: &WrittenDate) -> bool {
    let zero = DateTime::from_timestamp(zero, 0).unwrap_or_default().naive_utc();
    if stamp.written == zero {
        return true;
    }
    let ahead = stamp.at.naive_utc() - zero;
    let seconds = ahead.num_seconds();
    ahead == TimeDelta::seconds(seconds) && seconds % 900 == 0 && OFFSETS.contains(&-seconds)
}

/// Whether the date in a text is nothing but zeros or nines (`0000-00-00 00:00:00`, `00/00/0000`, `99999999`), has the year 0001
/// or -0001 (which PHP makes of `MySQL`'s zeros), or a year of more digits with its sign (`+275760-09-13`, ISO 8601).
fn has_no_year(text: &str) -> bool {
    let mut groups = text.split(|character: char| !character.is_ascii_digit()).filter(|group| !group.is_empty());
    let Some(first) = groups.next() else { return false };
    let all = |group: &str, digit: u8| group.bytes().all(|byte| byte == digit);
    let sign_and_year = text.strip_prefix('-').map(|rest| (rest, 4)).or_else(|| text.strip_prefix('+').map(|rest| (rest, 5)));
    if let Some((year, least)) = sign_and_year
        && first.len() >= least
        && year.strip_prefix(first).is_some_and(|rest| rest.starts_with('-'))
    {
        return true;
    }
    if first.len() >= 8 {
        return all(&first[..8], b'0') || all(&first[..8], b'9');
    }
    let (Some(second), Some(third)) = (groups.next(), groups.next()) else { return false };
    let date = [first, second, third];
    let nines = || date.iter().all(|group| all(group, b'9')) && date.iter().any(|group| group.len() == 4);
    let year_one = || date.contains(&"0001") && date.iter().all(|group| matches!(*group, "0001" | "01" | "1"));
    date.iter().all(|group| all(group, b'0')) || nines() || year_one() || text.contains("-0001")
}

#[cfg(test)]
mod tests;
