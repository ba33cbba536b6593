use chrono::{DateTime, NaiveDate, Utc};
use proptest::prelude::*;

use super::super::{DateFormat, DateReading};
use super::*;

/// Layouts that records are met in: RFC 3339, numbers, with and without zone, American, whole days, two-digit years.
const FORMATS: [(&str, &str); 14] = [
    ("", "GMT"),
    ("", "America/Denver"),
    ("milliseconds", "GMT"),
    ("seconds", "GMT"),
    ("yyyy-MM-dd'T'HH:mm:ssXXX", "GMT"),
    ("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "GMT"),
    ("yyyy-MM-dd HH:mm:ss", "America/Denver"),
    ("yyyy-MM-dd HH:mm:ss", "Europe/Amsterdam"),
    ("MM/dd/yyyy hh:mm:ss a", "GMT"),
    ("dd/MM/yyyy", "Europe/Paris"),
    ("EEE, dd MMM yyyy HH:mm:ss Z", "GMT"),
    ("yyyyMMdd", "GMT"),
    ("M/d/yy", "GMT"),
    ("yyyy-MM-dd'T'HH:mm:ssXXX'['VV']'", "GMT"),
];

fn format((pattern, zone): (&str, &str)) -> DateFormat {
    DateFormat::new(Some(pattern), Some(zone)).unwrap()
}

fn at(text: &str) -> DateReading {
    DateReading::At(DateTime::parse_from_rfc3339(text).unwrap().to_utc())
}

#[test]
fn what_means_no_date_in_every_format() {
    for text in [
        "",
        " ",
        "\u{a0}",
        "null",
        "NULL",
        "None",
        "nil",
        "(null)",
        "undefined",
        "n/a",
        "N/A",
        "never",
        "NaT",
        "-",
        "--",
        "false",
        "infinity",
        "-infinity",
        // MySQL, and what PHP makes of it
        "0000-00-00",
        "0000-00-00 00:00:00",
        "0000-00-00T00:00:00Z",
        "0000-00-00T00:00:00.000000+00:00",
        "00/00/0000",
        "0000-00-00T00:00:00-08:00",
        "00/00/0000 00:00:00",
        "00.00.0000",
        "00000000",
        "00000000000000",
        "00/00/00",
        "00/00/0000 12:00:00 AM",
        "-0001-11-30T00:00:00+00:00",
        "-0001-11-30 00:00:00",
        "30/11/-0001",
        "0000-00-00 00:00:00 UTC",
        // year 1
        "0001-01-01",
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00.0000000",
        "0001-01-01 00:00:00 +0000 UTC",
        "0001-01-01T00:00:00+00:00",
        "0001-01-01T00:00:00-07:52",
        "1/1/0001 12:00:00 AM",
        "01/01/0001 00:00:00",
        "0001-01-01 BC",
        "0001-12-30T00:00:00Z",
        "0001-01-01T08:00:00Z",
        "0000-12-31T19:00:00Z",
        "0000-01-01T00:00:00Z",
        "-62135596800",
        "-62135596800000",
        "/Date(-62135596800000)/",
        "/Date(-62135596800000+0000)/",
        "-62135596800000000",
        // the start of Unix time
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00.000Z",
        "1970-01-01 00:00:00",
        "1970-01-01T01:00:00+01:00",
        "1969-12-31T17:00:00-07:00",
        "1969-12-31T16:00:00.000-0800",
        "1970-01-01T00:00:00+01:00",
        "1970-01-01T00:00:00Z[UTC]",
        "0",
        "0.0",
        "000",
        "-0",
        "/Date(0)/",
        "/Date(0+0100)/",
        "-1",
        // others' first dates
        "1900-01-01T00:00:00",
        "1900-01-01T00:00:00Z",
        "1899-12-30T00:00:00Z",
        "1899-12-31T00:00:00.000Z",
        "1753-01-01T00:00:00",
        "1601-01-01T00:00:00Z",
        "1899-12-31T23:00:00Z",
        "1000-01-01 00:00:00",
        "1904-01-01T00:00:00Z",
        "1858-11-17T00:00:00Z",
        "1899-12-30T00:00:00+00:53",
        "1582-10-15T00:00:00Z",
        // last dates
        "9999-12-31",
        "9999-12-31T00:00:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59.9999999",
        "9999-12-31T23:59:59-08:00",
        "9999-01-01T00:00:00+14:00",
        "9999-99-99",
        "99/99/9999",
        "253402300799",
        "253402300799999",
        "253402214400",
        "/Date(253402300799999)/",
        "4501-01-01T00:00:00Z",
        "2999-12-31T00:00:00Z",
        "3000-01-01T00:00:00Z",
        "4712-12-31T00:00:00Z",
        "+275760-09-13T00:00:00.000Z",
        "-271821-04-20T00:00:00Z",
        "+1000000000-12-31T23:59:59.999999999Z",
        "-999999999-01-01T00:00:00",
        "8640000000000000",
        "9223372036854775807",
        "-9223372036854775808",
        "2038-01-19T03:14:07Z",
        "2038-01-18T20:14:07-07:00",
        "2106-02-07T06:28:15Z",
        "2262-04-11T23:47:16.854775807Z",
        "1901-12-13T20:45:52Z",
        "1677-09-21T00:12:43.145224193Z",
    ] {
        for format_of in FORMATS {
            assert_eq!(format(format_of).read(text), DateReading::Never, "{text:?} {format_of:?}");
        }
    }
}

#[test]
fn what_means_no_date_in_a_format_of_its_own() {
    for ((pattern, zone), text) in [
        ("milliseconds", "GMT", "253402300799999"),
        ("milliseconds", "GMT", "-2208988800000"),
        ("milliseconds", "GMT", "-25200000"),
        ("milliseconds", "GMT", "0e0"),
        ("seconds", "GMT", "-2209161600"),
        ("seconds", "GMT", "-11644473600"),
        ("seconds", "GMT", "2147483647"),
        ("seconds", "GMT", "4294967295"),
        ("seconds", "GMT", "9999999999"),
        ("milliseconds", "GMT", "9999999999999"),
        ("milliseconds", "GMT", "-62135596800000.0"),
        ("yyyyMMdd", "GMT", "00010101"),
        ("yyyyMMdd", "GMT", "19700101"),
        ("yyyyMMdd", "Asia/Tokyo", "99991231"),
        ("yyyyMMdd", "GMT", "99999999"),
        ("", "GMT", "99999999"),
        ("yyyyMMddHHmmss", "GMT", "00010101000000"),
        ("yyyyMMddHHmmss", "Asia/Tokyo", "19700101090000"),
        ("yyyyMMddHHmmss", "GMT", "99991231235959"),
        ("yyyy-MM-dd HH:mm:ss", "America/Denver", "1969-12-31 17:00:00"),
        ("yyyy-MM-dd HH:mm:ss", "America/Denver", "1900-01-01 00:00:00"),
        ("yyyy-MM-dd HH:mm:ss", "Europe/London", "1970-01-01 01:00:00"),
        // the zone of the dates was left out, and they are not in GMT
        ("yyyy-MM-dd HH:mm:ss", "GMT", "1969-12-31 17:00:00"),
        ("MM/dd/yyyy hh:mm:ss a", "GMT", "01/01/0001 12:00:00 AM"),
        ("MM/dd/yyyy hh:mm:ss a", "GMT", "12/31/9999 11:59:59 PM"),
        ("M/d/yyyy h:mm a", "America/New_York", "1/1/1900 12:00 AM"),
        ("M/d/yyyy h:mm a", "America/New_York", "12/31/1969 7:00\u{202f}PM"),
        ("dd.MM.yyyy", "Europe/Berlin", "01.01.1970"),
        ("dd.MM.yyyy", "Europe/Berlin", "30.12.1899"),
        ("dd-MMM-yyyy", "GMT", "01-JAN-0001"),
        ("dd-MMM-yyyy", "GMT", "31-DEC-9999"),
        ("M/d/yy", "GMT", "1/1/70"),
        ("EEE, dd MMM yyyy HH:mm:ss Z", "GMT", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("EEE, dd MMM yyyy HH:mm:ss Z", "GMT", "Mon, 01 Jan 0001 00:00:00 GMT"),
        ("EEE MMM dd yyyy HH:mm:ss 'GMT'Z", "GMT", "Thu Jan 01 1970 01:00:00 GMT+0100 (Central European Standard Time)"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX'['VV']'", "GMT", "0001-01-01T00:00:00+00:09[Europe/Paris]"),
        ("yyyy", "GMT", "9999"),
        ("yyyy", "GMT", "0001"),
        ("yyyy-MM", "GMT", "1970-01"),
    ]
    .map(|(pattern, zone, text)| ((pattern, zone), text))
    {
        assert_eq!(format((pattern, zone)).read(text), DateReading::Never, "{text:?} {pattern:?} {zone}");
    }
}

#[test]
fn honest_dates_are_dates() {
    let rfc3339 = DateFormat::default();
    for text in [
        "1970-01-01T00:00:05Z",
        "1970-01-01T00:00:00.5Z",
        "1970-01-02T00:00:00Z",
        "1969-12-01T00:00:00Z",
        "1900-06-01T00:00:00Z",
        "1900-01-02T00:00:00Z",
        "1900-01-01T10:11:12Z",
        "1899-12-29T00:00:00Z",
        "1601-06-01T00:00:00Z",
        "1980-01-01T00:00:00Z",
        "1999-12-31T23:59:59Z",
        "2000-01-01T00:00:00Z",
        "2001-01-01T00:00:00Z",
        "2001-01-01T01:01:01Z",
        "2038-01-19T03:14:08Z",
        "2099-12-31T23:59:59Z",
        "2199-12-31T23:59:59Z",
    ] {
        assert_eq!(rfc3339.read(text), at(text), "{text}");
    }
    for (pattern, text, expected) in [
        ("seconds", "5", "1970-01-01T00:00:05Z"),
        ("milliseconds", "5", "1970-01-01T00:00:00.005Z"),
        ("milliseconds", "1520000000000", "2018-03-02T14:13:20Z"),
        ("milliseconds", "999999999999", "2001-09-09T01:46:39.999Z"),
        ("milliseconds", "253402300798", "1978-01-11T21:31:40.798Z"),
        ("milliseconds", "-62135596801", "1968-01-12T20:06:43.199Z"),
        ("seconds", "-86400", "1969-12-31T00:00:00Z"),
        ("M/d/yy", "1/1/01", "2001-01-01T00:00:00Z"),
        ("M/d/yy", "1/1/00", "2000-01-01T00:00:00Z"),
        ("M/d/yyyy", "1/1/2070", "2070-01-01T00:00:00Z"),
        ("dd/MM/yyyy", "01/06/1900", "1900-06-01T00:00:00Z"),
    ] {
        assert_eq!(format((pattern, "GMT")).read(text), at(expected), "{pattern} {text}");
    }
}

#[test]
fn what_is_neither_is_unreadable() {
    for text in [
        "yesterday",
        "unknown",
        "NaN",
        "Invalid date",
        "true",
        "2026-11-24T25:00:00Z",
        "2026-00-00",
        "2026-13-01T00:00:00Z",
        "2026",
        "1970",
        "00:00",
        "1/2/0001 x",
        "+05:30",
        "0001",
        "9999",
        "10:20:30",
    ] {
        assert_eq!(DateFormat::default().read(text), DateReading::Unreadable, "{text:?}");
    }
    assert_eq!(format(("yyyy-MM-dd", "GMT")).read("1580466030"), DateReading::Unreadable);
    assert_eq!(format(("seconds", "GMT")).read("x"), DateReading::Unreadable);
}

#[test]
fn the_seconds_are_those_of_the_days_named() {
    let days: Vec<i64> =
        [(1000, 1, 1), (1582, 10, 15), (1601, 1, 1), (1753, 1, 1), (1858, 11, 17), (1899, 12, 30), (1899, 12, 31)]
            .into_iter()
            .chain([(1900, 1, 1), (1904, 1, 1), (1970, 1, 1), (2070, 1, 1)])
            .map(|(year, month, day)| {
                NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp()
            })
            .collect();
    assert_eq!(days, [&ZEROS[..], &[SHORT_ZERO]].concat());
}

/// Zones of today, in whole quarters of an hour.
fn zones() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "GMT",
        "PST",
        "EST",
        "Europe/Paris",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Sydney",
        "Pacific/Auckland",
        "-12:00",
        "+14:00",
    ])
}

const PATTERNS: [&str; 7] = [
    "yyyy-MM-dd'T'HH:mm:ssXXX",
    "yyyy-MM-dd HH:mm:ss",
    "yyyy-MM-dd'T'HH:mm:ss.SSS",
    "M/d/yyyy h:mm:ss a",
    "EEE, dd MMM yyyy HH:mm:ss Z",
    "yyyyMMddHHmmss",
    "dd-MMM-yyyy HH:mm:ss",
];

proptest! {
    /// However a zero is written, in whatever zone, and read with whatever zone its text has or lacks.
    #[test]
    fn a_zero_is_none_in_every_form(pattern in prop::sample::select(&PATTERNS[..]), zone in zones(), zero in prop::sample::select(&ZEROS[..])) {
        let format = DateFormat::new(Some(pattern), Some(zone)).unwrap();
        let zero = DateTime::from_timestamp(zero, 0).unwrap();
        // the midnight of Greenwich, as the zone has it: only offsets of today are whole minutes
        if zero == DateTime::UNIX_EPOCH {
            prop_assert_eq!(format.read(&format.format(zero)), DateReading::Never);
        }
        // the midnight of the zone
        let midnight = DateFormat::new(Some(pattern), None).unwrap().format(zero);
        prop_assert_eq!(format.read(&midnight), DateReading::Never, "{}", midnight);
    }

    #[test]
    fn no_reading_lies_outside_the_years_of_databases(pattern in prop::sample::select(&PATTERNS[..]), zone in zones(), seconds in -62_200_000_000..253_500_000_000_i64) {
        let format = DateFormat::new(Some(pattern), Some(zone)).unwrap();
        let text = format.format(DateTime::from_timestamp(seconds, 0).unwrap());
        if let DateReading::At(at) = format.read(&text) {
            prop_assert!(YEARS.contains(&at.year()), "{} {}", text, at);
        }
    }

    /// Every date of the present is a date, and the one that `parse` says.
    #[test]
    fn the_present_is_read_as_it_is(pattern in prop::sample::select(&PATTERNS[..]), zone in zones(), seconds in 86_400..2_147_000_000_i64) {
        let format = DateFormat::new(Some(pattern), Some(zone)).unwrap();
        let text = format.format(DateTime::from_timestamp(seconds, 0).unwrap());
        let parsed: DateTime<Utc> = format.parse(&text).unwrap();
        prop_assert_eq!(format.read(&text), DateReading::At(parsed));
        prop_assert!(parsed.timestamp() <= seconds);
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,40}|[-+]?[0-9TZ:+./ -]{0,40}|[-+]?[0-9]{1,24}", kind in 0..FORMATS.len()) {
        let _ = format(FORMATS[kind]).read(&text);
    }
}
