use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{DateFormat, DateFormatError, Duration};

fn format(pattern: &str, zone: &str) -> DateFormat {
    DateFormat::new(Some(pattern), Some(zone)).unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

#[track_caller]
fn reads(format: &DateFormat, text: &str, expected: &str) {
    assert_eq!(format.parse(text), Some(utc(expected)), "{text}");
}

/// The vectors say what Java does; see `tests/data/dates/DateVectors.java`.
#[test]
fn agrees_with_java() {
    let vectors = include_str!("../../../tests/data/dates/vectors.tsv");
    let instant = |text: &str| {
        let (seconds, nanos) = text.split_once('.')?;
        DateTime::from_timestamp(seconds.parse().ok()?, nanos.parse().ok()?)
    };
    let mut differences = Vec::new();
    let mut count = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let [_, pattern, zone, at, text, read] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        count += 1;
        let format = match DateFormat::new(Some(pattern), Some(zone)) {
            Ok(format) => format,
            Err(refused) => {
                differences.push(format!("{line}: {refused}"));
                continue;
            }
        };
        if let Some(at) = instant(at)
            && format.format(at) != text
        {
            differences.push(format!("{line}: written {}", format.format(at)));
        }
        if format.parse(text) != instant(read) {
            differences.push(format!("{line}: read {:?}", format.parse(text)));
        }
    }
    assert!(count > 3000, "{count} vectors");
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences[..differences.len().min(40)].join("\n"));
}

#[test]
fn rfc_3339_is_read_with_the_liberties_of_servers() {
    let gmt = DateFormat::default();
    for text in [
        "2020-01-31T10:20:30Z",
        "2020-01-31t10:20:30z",
        "2020-01-31 10:20:30Z",
        "2020-01-31T10:20:30.0Z",
        "2020-01-31T10:20:30,000000000000Z",
        "2020-01-31T10:20:30",
        "2020-01-31 10:20:30 UTC",
        "2020-01-31T10:20:30+00:00",
        "2020-01-31T10:20:30-00:00",
        "2020-01-31T16:20:30+6:00",
        "2020-01-31T16:20:30 +0600",
        "2020-01-31T15:50:30+0530",
        "2020-01-31T02:20:30-08",
        "  2020-01-31T10:20:30Z\n",
    ] {
        reads(&gmt, text, "2020-01-31T10:20:30Z");
    }
    reads(&gmt, "2020-01-31T10:20Z", "2020-01-31T10:20:00Z");
    reads(&gmt, "2020-01-31", "2020-01-31T00:00:00Z");
    reads(&gmt, "2020-01-31T24:00:00Z", "2020-02-01T00:00:00Z");
    reads(&gmt, "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
    reads(&gmt, "2020-01-31T10:20:30.1234567891Z", "2020-01-31T10:20:30.123456789Z");
    reads(&DateFormat::new(None, Some("PST")).unwrap(), "2020-01-31T10:20:30", "2020-01-31T18:20:30Z");
    reads(&DateFormat::new(Some(""), Some("PST")).unwrap(), "2020-01-31T10:20:30Z", "2020-01-31T10:20:30Z");
}

#[test]
fn what_is_no_date_is_not_read() {
    let gmt = DateFormat::default();
    for text in [
        "",
        "null",
        "2020",
        "2020-1-31T10:20:30Z",
        "2020-02-30T10:20:30Z",
        "2021-02-29T10:20:30Z",
        "2020-13-01T10:20:30Z",
        "2020-01-31T25:00:00Z",
        "2020-01-31T24:00:01Z",
        "2020-01-31T10:60:00Z",
        "2020-01-31T10:20:61Z",
        "2020-01-31T10:20:30.Z",
        "2020-01-31T10:20:30X",
        "2020-01-31T10:20:30+19:00",
        "2020-01-31T10:20:30+06:60",
        "2020-01-31T10:20:30Z+",
        "2020-01-31T10:20:3",
        "2020-01-31T",
        "2020-01-31x",
        "20200131102030",
        "1580466030",
        "２020-01-31T10:20:30Z",
    ] {
        assert_eq!(gmt.parse(text), None, "{text}");
    }
    for (pattern, text) in [
        ("yyyy-MM-dd", "2020-02-30"),
        ("yyyy-MM-dd", "20-02-03"),
        ("yyyy-MM-dd", "2020-02-03x"),
        ("yyyyMMdd", "2020023"),
        ("MM/dd/yyyy", "13/01/2020"),
        ("EEE, dd MMM yyyy", "Mon, 31 Jan 2020"),
        ("EEE, dd MMM yyyy", "Fri, 31 Foo 2020"),
        ("dd.MM.yyyy h:mm a", "31.01.2020 13:00 PM"),
        ("yyyy-MM-dd HH:mm z", "2020-01-31 10:20 XYZ"),
        ("yyyy-MM-dd HH:mm VV", "2020-01-31 10:20 Mars/Olympus"),
        ("yyyy-DDD", "2021-366"),
    ] {
        assert_eq!(format(pattern, "GMT").parse(text), None, "{pattern} {text}");
    }
}

#[test]
fn a_text_may_deviate_where_it_can_only_mean_one_thing() {
    let seconds = format("yyyy-MM-dd'T'HH:mm:ssXXX", "GMT");
    reads(&seconds, "2020-01-31T10:20:30.5Z", "2020-01-31T10:20:30.5Z");
    reads(&seconds, "2020-01-31 10:20:30", "2020-01-31T10:20:30Z");
    reads(&seconds, "2020-01-31T10:20:30 PST", "2020-01-31T18:20:30Z");
    let american = format("MM/dd/yyyy hh:mm:ss a", "America/Denver");
    reads(&american, "1/5/2020 9:07:03 pm", "2020-01-06T04:07:03Z");
    reads(&american, "2020-01-31T10:20:30Z", "2020-01-31T10:20:30Z");
    reads(&format("milliseconds", "GMT"), "2020-01-31T10:20:30Z", "2020-01-31T10:20:30Z");
    reads(&format("EEE, d MMM yyyy HH:mm:ss Z", "GMT"), "friday, 31 JANUARY 2020 10:20:30 GMT", "2020-01-31T10:20:30Z");
    reads(&format("EEE, d MMM yyyy HH:mm:ss Z", "GMT"), "Fri, 31 Jan 2020 10:20:30 EST", "2020-01-31T15:20:30Z");
    // day and month change places: it is unknown which is meant
    assert_eq!(format("yyyy-dd-MM HH:mm:ss", "GMT").parse("2020-01-31 10:20:30"), None);
}

#[test]
fn a_quoted_z_gives_way_to_the_zone() {
    let denver = format("yyyy-MM-dd'T'HH:mm:ss'Z'", "America/Denver");
    reads(&denver, "2020-01-31T10:20:30Z", "2020-01-31T17:20:30Z");
    reads(&denver, "2020-01-31T10:20:30.25Z", "2020-01-31T17:20:30.25Z");
    reads(&denver, "2020-01-31T10:20:30+01:00", "2020-01-31T09:20:30Z");
    assert_eq!(denver.format(utc("2020-01-31T17:20:30Z")), "2020-01-31T10:20:30Z");
    assert!(denver.contradicts_itself());
    assert!(!format("yyyy-MM-dd'T'HH:mm:ss'Z'", "Etc/UTC").contradicts_itself());
    assert!(!format("yyyy-MM-dd'T'HH:mm:ssX", "America/Denver").contradicts_itself());
}

#[test]
fn names_of_zones_mean_the_offset_they_name() {
    let named = format("yyyy-MM-dd HH:mm z", "America/Los_Angeles");
    reads(&named, "2024-11-03 01:30 PDT", "2024-11-03T08:30:00Z");
    reads(&named, "2024-11-03 01:30 PST", "2024-11-03T09:30:00Z");
    reads(&named, "2024-07-01 12:00 PST", "2024-07-01T20:00:00Z");
    reads(&format("yyyy-MM-dd HH:mm z", "Asia/Shanghai"), "2024-07-01 12:00 CST", "2024-07-01T04:00:00Z");
    reads(&format("yyyy-MM-dd HH:mm z", "Asia/Jerusalem"), "2024-01-01 12:00 IST", "2024-01-01T10:00:00Z");
    assert_eq!(format("yyyy-MM-dd HH:mm z", "GMT").parse("2024-01-01 12:00 IST"), None);
}

/// An offset names the instant; names and regions next to it may be missing, unknown or wrong.
#[test]
fn of_several_zones_the_offset_counts() {
    let expected = "2026-11-24T10:00:00Z";
    for text in [
        "2026-11-24T11:00:00+01:00[Europe/Paris]",
        "2026-11-24T11:00:00+01:00[!Europe/Paris]",
        "2026-11-24T11:00:00.000+01:00[Europe/Paris][u-ca=gregory]",
        "2026-11-24T11:00+01:00[Europe/Paris]",
        "2026-11-24T10:00:00Z[UTC]",
        "2026-11-24T10:00:00Z[Etc/UTC]",
        "2026-11-24T10:00:00Z[GMT]",
        "2026-11-24T10:00:00Z[Europe/London]",
        "2026-11-24T10:00:00Z[Europe/Paris]",
        "2026-11-24T10:00:00z [UTC]",
        "2026-11-24T05:00:00-05:00[America/New_York]",
        "2026-11-24T02:00:00-08:00[US/Pacific]",
        "2026-11-24T02:00:00-08:00[Etc/GMT+8]",
        "2026-11-24T02:00:00-08:00[GMT-08:00]",
        "2026-11-24T02:00:00-08:00[-08:00]",
        "2026-11-24T11:00:00+01:00[America/New_York]",
        "2026-11-24T13:00:00+03:00[Mars/Olympus]",
        "2026-11-24T15:30:00+05:30[IST]",
        "2026-11-24 11:00:00 +0100 CET",
        "2026-11-24 11:00:00 +0100 (CET)",
        "2026-11-24 11:00:00 +0100 (Central European Standard Time)",
        "2026-11-24 11:00:00 +0100 (Mitteleuropäische Zeit)",
        "2026-11-24 15:30:00 +0530 IST",
        "2026-11-24 07:00:00 -0300 -03",
        "2026-11-24 10:00:00 +0000 UTC",
        "2026-11-24 10:00:00 UTC",
        "2026-11-24 11:00:00 CET",
        "2026-11-24T11:00:00[Europe/Paris]",
        "2026-11-24 19:00:00 Asia/Tokyo",
        "2026-11-24 19:00:00 Japan",
        "2026-11-24 11:00:00 GMT+0100 (CET)",
        "2026-11-24 02:00:00 PST [America/Los_Angeles]",
    ] {
        for zone in ["GMT", "Asia/Kolkata", "America/New_York"] {
            reads(&DateFormat::new(None, Some(zone)).unwrap(), text, expected);
        }
    }
    for (pattern, text) in [
        ("yyyy-MM-dd'T'HH:mm:ssXXX'['VV']'", "2026-11-24T11:00:00+01:00[Europe/Paris]"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX'['VV']'", "2026-11-24T10:00:00Z[UTC]"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX'['VV']'", "2026-11-24T11:00:00+01:00[Mars/Olympus]"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX'['VV']'", "2026-11-24T10:00:00Z"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX['['VV']']", "2026-11-24T10:00:00Z"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX'['VV']'", "2026-11-24T10:00:00.000Z[UTC]"),
        ("yyyy-MM-dd'T'HH:mm:ss'['VV']'", "2026-11-24T11:00:00[Europe/Paris]"),
        ("yyyy-MM-dd'T'HH:mm:ss'['VV']'XXX", "2026-11-24T11:00:00[Europe/Paris]+01:00"),
        ("yyyy-MM-dd HH:mm:ss Z z", "2026-11-24 11:00:00 +0100 CET"),
        ("yyyy-MM-dd HH:mm:ss z Z", "2026-11-24 11:00:00 CET +0100"),
        ("yyyy-MM-dd HH:mm:ss Z '('z')'", "2026-11-24 11:00:00 +0100 (CET)"),
        ("yyyy-MM-dd HH:mm:ss Z '('z')'", "2026-11-24 11:00:00 +0100 (XYZ)"),
        ("EEE, dd MMM yyyy HH:mm:ss Z", "Tue, 24 Nov 2026 11:00:00 +0100 (CET)"),
        ("EEE, dd MMM yyyy HH:mm:ss Z", "Tue, 24 Nov 2026 11:00:00 +0100 [Europe/Paris]"),
        ("EEE MMM dd yyyy HH:mm:ss 'GMT'Z", "Tue Nov 24 2026 11:00:00 GMT+0100 (Central European Standard Time)"),
        ("EEE MMM dd yyyy HH:mm:ss 'GMT'Z (z)", "Tue Nov 24 2026 11:00:00 GMT+0100 (Central European Standard Time)"),
        ("EEE MMM dd yyyy HH:mm:ss 'GMT'Z (zzzz)", "Tue Nov 24 2026 11:00:00 GMT+0100 (Central European Standard Time)"),
        ("EEE MMM dd yyyy HH:mm:ss 'GMT'Z (zzzz)", "Tue Nov 24 2026 11:00:00 GMT+0100 (中欧标准时间)"),
        ("EEE MMM dd yyyy HH:mm:ss 'GMT'Z (zzzz)", "Tue Nov 24 2026 10:00:00 GMT+0000 (Coordinated Universal Time)"),
        ("EEE MMM dd yyyy HH:mm:ss z", "Tue Nov 24 2026 11:00:00 GMT+0100 (Central European Standard Time)"),
        ("EEE MMM dd yyyy HH:mm:ss z", "Tue Nov 24 2026 11:00:00 GMT+0100 (GMT+01:00)"),
        ("EEE MMM dd HH:mm:ss zzz yyyy", "Tue Nov 24 11:00:00 CET 2026"),
        ("dd/MM/yyyy HH:mm XXX", "24/11/2026 11:00 +01:00[Europe/Paris]"),
    ] {
        reads(&format(pattern, "Asia/Kolkata"), text, expected);
    }
}

/// The hour that comes twice: offset and name say which pass is meant, the region alone does not.
#[test]
fn offsets_and_names_tell_the_two_passes_of_an_hour_apart() {
    let regional = format("yyyy-MM-dd'T'HH:mm:ssXXX'['VV']'", "GMT");
    reads(&regional, "2026-11-01T01:30:00-04:00[America/New_York]", "2026-11-01T05:30:00Z");
    reads(&regional, "2026-11-01T01:30:00-05:00[America/New_York]", "2026-11-01T06:30:00Z");
    let plain = DateFormat::default();
    reads(&plain, "2026-11-01T01:30:00[America/New_York]", "2026-11-01T05:30:00Z");
    reads(&plain, "2026-11-01 01:30:00 EST [America/New_York]", "2026-11-01T06:30:00Z");
    reads(&plain, "2026-11-01 01:30:00 EDT [America/New_York]", "2026-11-01T05:30:00Z");
    reads(&plain, "2026-11-01 01:30:00 -0500 (Eastern Standard Time)", "2026-11-01T06:30:00Z");
    let named = format("yyyy-MM-dd HH:mm:ss Z (z)", "America/New_York");
    reads(&named, "2026-11-01 01:30:00 -0400 (EDT)", "2026-11-01T05:30:00Z");
    reads(&named, "2026-11-01 01:30:00 -0500 (EST)", "2026-11-01T06:30:00Z");
    reads(&named, "2026-07-01 01:30:00 -0400 (EST)", "2026-07-01T05:30:00Z");
    // what this summer time of Paris is, an old table may not know
    reads(&regional, "2026-07-24T11:00:00+01:00[Europe/Paris]", "2026-07-24T10:00:00Z");
}

#[test]
fn zones_that_contradict_each_other_or_say_nothing_are_refused() {
    let plain = DateFormat::default();
    for text in [
        "2026-11-24T11:00:00+01:00 +02:00",
        "2026-11-24 11:00:00 CET EST",
        "2026-11-24T11:00:00[Mars/Olympus]",
        "2026-11-24 10:00 PM",
        "2026-11-24 10:00 PM UTC",
        "2026-11-24 10:00 UTC PM",
        "2026-11-24T10:00:00Z[UTC",
        "2026-11-24T10:00:00ZUTC",
        "2026-11-24T10:00:00Z by bob",
        "2026-11-24 10:00:00 (x)",
    ] {
        assert_eq!(plain.parse(text), None, "{text}");
    }
    assert_eq!(format("dd.MM.yyyy H:mm", "GMT").parse("24.11.2026 10:20-11:00"), None);
    assert_eq!(format("yyyy-MM-dd", "GMT").parse("2026-11-24 (UTC)"), None);
}

/// Java skips blanks before fields, and its English data has changed the blank before AM to U+202F and back.
#[test]
fn any_run_of_blanks_is_one() {
    for blank in [" ", "  ", "\t", "\u{a0}", "\u{202f}", "\u{2009}", "\u{2003}", "\u{3000}", " \u{a0} ", "\u{205f}\t"] {
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss", "2026-11-04_05:06:07"),
            ("yyyy-MM-dd' 'HH:mm:ss", "_2026-11-04_05:06:07_"),
            ("yyyy-MM-dd\u{a0}HH:mm:ss", "2026-11-04_05:06:07"),
            ("yyyy-MM-dd  HH:mm:ss", "2026-11-04_05:06:07"),
            ("", "2026-11-04_05:06:07"),
            ("", "2026-11-04_5:06:07Z"),
            ("", "2026-11-04_05:06:07_Z"),
            ("", "2026-11-04_05:06:07_+00:00_[UTC]"),
            ("MM/dd/yyyy h:mm:ss a", "11/04/2026_5:06:07_AM"),
            ("MM/dd/yyyy h:mm:ss a", "_11/_4/2026__5:06:07_am"),
            ("MM/dd/yyyy, h:mm:ss a", "11/4/2026,_5:06:07_AM"),
            ("MM/dd/yyyy h:mm:ssa", "11/4/2026_5:06:07_AM"),
            ("EEE, dd MMM yyyy HH:mm:ss Z", "Wed,_04_Nov_2026_05:06:07_+0000"),
            ("EEE, d MMM yyyy HH:mm:ss Z", "Wed,__4_Nov_2026__5:06:07_GMT"),
            ("EEE MMM d HH:mm:ss z yyyy", "Wed_Nov__4_05:06:07_UTC_2026"),
            ("yyyy-MM-dd'T'HH:mm:ssXXX", "2026-11-04T05:06:07_Z"),
            ("yyyy-MM-dd'T'HH:mm:ssXXX", "2026-11-_4T_5:06:07Z"),
            ("d MMM yyyy HH:mm:ss", "_4_Nov_2026_05:06:07"),
            ("d MMM yyyy HH:mm:ss XXX '['VV']'", "4_Nov_2026_05:06:07_Z_[UTC]"),
        ] {
            let text = text.replace('_', blank);
            reads(&format(pattern, "GMT"), &text, "2026-11-04T05:06:07Z");
        }
    }
    // a blank of the pattern may be missing where nothing runs together
    reads(&format("MM/dd/yyyy h:mm:ss a", "GMT"), "11/4/2026 5:06:07AM", "2026-11-04T05:06:07Z");
    reads(&format("MM/dd/yyyy HH:mm:ss Z", "GMT"), "11/4/2026 05:06:07+0000", "2026-11-04T05:06:07Z");
    reads(&format("' 'yyyy-MM-dd HH:mm:ss' '", "GMT"), "2026-11-04 05:06:07", "2026-11-04T05:06:07Z");
    // marks of direction around the parts, as some browsers write them
    let marked = "\u{200e}11\u{200e}/\u{200e}4\u{200e}/\u{200e}2026\u{200e} \u{200e}5\u{200e}:\u{200e}06\u{200e}:\u{200e}07 AM";
    reads(&format("M/d/yyyy h:mm:ss a", "GMT"), marked, "2026-11-04T05:06:07Z");
    assert_eq!(format("yyyy-MM-dd HH:mm", "GMT").parse("2026-11-0405:06"), None);
    assert_eq!(format("yyyyMMdd HHmm", "GMT").parse("202611040506"), None);
    assert_eq!(format("yyyyMMdd", "GMT").parse("2026 11 04"), None);
    assert_eq!(format("H:mm:ss.SSS dd MMM yyyy", "GMT").parse("5:06:07. 5 04 Nov 2026"), None);
    // what is written keeps the blanks of the pattern
    let wide = format("yyyy-MM-dd  HH\u{a0}mm", "GMT");
    assert_eq!(wide.format(utc("2026-11-04T05:06:07Z")), "2026-11-04  05\u{a0}06");
}

#[test]
fn names_in_the_forms_that_locales_have() {
    for text in [
        "Mon, 7 Sep 2026 5:06:07 PM",
        "mon, 7 sept 2026 5:06:07 pm",
        "MONDAY, 7 SEPTEMBER 2026 5:06:07 PM",
        "Mon., 7 Sept. 2026 5:06:07 p.m.",
        "Mon., 7 Sep. 2026 5:06:07 P.M.",
        "Mon, 7 Sep 2026 5:06:07 p. m.",
        "Mon, 7 Sep 2026 5:06:07p.m",
    ] {
        for pattern in ["EEE, d MMM yyyy h:mm:ss a", "EEEE, d MMMM yyyy h:mm:ss a"] {
            reads(&format(pattern, "GMT"), text, "2026-09-07T17:06:07Z");
        }
    }
    for (text, expected) in [("Tues., 8 Sep 2026", "2026-09-08T00:00:00Z"), ("Thurs, 10 Sep. 2026", "2026-09-10T00:00:00Z")] {
        reads(&format("EEE, d MMM yyyy", "GMT"), text, expected);
    }
    for text in ["07.Sep.2026", "07.Sept.2026", "07.Sep..2026"] {
        reads(&format("dd.MMM.yyyy", "GMT"), text, "2026-09-07T00:00:00Z");
    }
    reads(&format("MMM'T'yyyy", "GMT"), "SepT2026", "2026-09-01T00:00:00Z");
    for text in ["7 Sepx 2026", "7 Se. 2026", "7 S.ep 2026", "7 Sep,. 2026"] {
        assert_eq!(format("d MMM yyyy", "GMT").parse(text), None, "{text}");
    }
    for text in ["5:06 xm", "5:06 a", "5:06 ..am", "5:06 a m"] {
        assert_eq!(format("d.M.yyyy h:mm a", "GMT").parse(&format!("7.9.2026 {text}")), None, "{text}");
    }
}

#[test]
fn words_of_a_zone_stand_beside_an_offset_alone() {
    let browser = format("EEE MMM dd yyyy HH:mm:ss 'GMT'Z (zzzz)", "Europe/Paris");
    let text = browser.format(utc("2026-11-24T10:00:00Z"));
    assert_eq!(text, "Tue Nov 24 2026 11:00:00 GMT+0100 (GMT+01:00)");
    reads(&browser, &text, "2026-11-24T10:00:00Z");
    assert_eq!(DateFormat::new(Some("yyyy-MM-dd HH:mm zzzz"), None), Err(DateFormatError::Repetition('z')));
}

#[test]
fn a_local_time_that_exists_twice_is_the_earlier_and_one_that_does_not_is_moved_forward() {
    let pacific = format("yyyy-MM-dd HH:mm:ss", "PST");
    reads(&pacific, "2024-11-03 01:30:00", "2024-11-03T08:30:00Z");
    reads(&pacific, "2024-03-10 02:30:00", "2024-03-10T10:30:00Z");
    reads(&format("yyyy-MM-dd HH:mm:ss", "EST"), "2024-07-10 02:30:00", "2024-07-10T07:30:00Z");
    reads(&format("yyyy-MM-dd", "Pacific/Apia"), "2011-12-30", "2011-12-30T10:00:00Z");
}

#[test]
fn the_earliest_reading_bounds_what_a_later_text_may_be_read_as() {
    let pacific = format("yyyy-MM-dd HH:mm:ss", "PST");
    let fold = utc("2024-11-03T08:00:00Z");
    for inside in ["2024-11-03T08:00:00Z", "2024-11-03T08:50:00Z", "2024-11-03T09:00:00Z", "2024-11-03T09:59:59.9Z"] {
        assert_eq!(pacific.earliest_reading(utc(inside)), fold, "{inside}");
    }
    assert_eq!(pacific.earliest_reading(utc("2024-11-03T07:59:59.5Z")), utc("2024-11-03T07:59:59Z"));
    assert_eq!(pacific.earliest_reading(utc("2024-11-03T10:00:00Z")), utc("2024-11-03T10:00:00Z"));
    assert_eq!(format("yyyy-MM-dd", "PST").earliest_reading(utc("2024-07-03T08:00:00Z")), utc("2024-07-03T07:00:00Z"));
    assert_eq!(
        format("yyyy-MM-dd HH:mm:ssX", "PST").earliest_reading(utc("2024-11-03T09:30:00Z")),
        utc("2024-11-03T09:30:00Z")
    );
    let exact = utc("2024-11-03T09:30:00.123Z");
    assert_eq!(DateFormat::default().earliest_reading(exact), exact);
    // a region does not say which pass is meant, nor does a name that both passes have
    let regional = format("yyyy-MM-dd HH:mm:ss VV", "PST");
    assert_eq!(regional.earliest_reading(utc("2024-11-03T09:30:00Z")), fold);
    let moscow = format("yyyy-MM-dd HH:mm:ss z", "Europe/Moscow");
    assert_eq!(moscow.earliest_reading(utc("2014-10-25T22:30:00Z")), utc("2014-10-25T21:00:00Z"));
    let named = format("yyyy-MM-dd HH:mm:ss z", "PST");
    assert_eq!(named.earliest_reading(utc("2024-11-03T09:30:00Z")), utc("2024-11-03T09:30:00Z"));
}

#[test]
fn a_bound_is_the_unit_before() {
    for (pattern, zone, since, bound) in [
        ("yyyy", "GMT", "2024-01-01T00:00:00Z", "2023"),
        ("yyyy-MM", "GMT", "2024-03-31T10:00:00Z", "2024-02"),
        ("yyyy-MM", "GMT", "2024-01-01T00:00:00Z", "2023-12"),
        ("yyyy-MM-dd", "GMT", "2024-03-01T00:00:00Z", "2024-02-29"),
        ("yyyy-DDD", "GMT", "2025-01-01T12:00:00Z", "2024-366"),
        // days of 23 and 25 hours
        ("yyyy-MM-dd", "PST", "2024-03-11T12:00:00Z", "2024-03-10"),
        ("yyyy-MM-dd", "PST", "2024-11-04T12:00:00Z", "2024-11-03"),
        ("yyyy-MM-dd", "America/Havana", "2024-11-03T05:30:00Z", "2024-11-02"),
        ("yyyy-MM-dd", "America/Sao_Paulo", "2018-11-05T12:00:00Z", "2018-11-04"),
        ("yyyy-MM-dd", "Pacific/Apia", "2011-12-31T12:00:00Z", "2011-12-31"),
        ("yyyy-MM-dd", "Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-29"),
        ("MM/dd/yyyy hh a", "GMT", "2024-06-01T12:30:00Z", "06/01/2024 11 AM"),
        ("MM/dd/yyyy hh a", "GMT", "2024-06-01T00:30:00Z", "05/31/2024 11 PM"),
        ("M/d/yyyy h:mm a", "GMT", "2024-06-01T13:00:59Z", "6/1/2024 12:59 PM"),
        ("yyyy-MM-dd kk:mm", "GMT", "2024-06-01T00:00:00Z", "2024-05-31 23:59"),
        ("yyyy-MM-dd kk:mm", "GMT", "2024-06-01T00:01:00Z", "2024-06-01 24:00"),
        ("yy/MM/dd HH:mm", "GMT", "2024-01-01T00:00:00Z", "23/12/31 23:59"),
        // two digits begin in 2000, for us as for Java: what lies before cannot be said
        ("yy/MM/dd HH:mm", "GMT", "2000-01-01T00:00:00Z", "00/01/01 00:00"),
        ("yy/MM/dd HH:mm", "PST", "1999-05-01T00:00:00Z", "00/01/01 00:00"),
        ("yyyy-MM-dd HH:mm:ss.S", "GMT", "2024-06-01T00:00:00.19Z", "2024-06-01 00:00:00.0"),
        ("yyyy-MM-dd HH:mm:ss.SSSSSSSSS", "GMT", "2024-06-01T00:00:00Z", "2024-05-31 23:59:59.999999999"),
        ("milliseconds", "GMT", "2024-06-01T00:00:00.000999Z", "1717199999999"),
        ("seconds", "GMT", "2024-06-01T00:00:00.999Z", "1717199999"),
        // ten digits of milliseconds look like seconds
        ("milliseconds", "GMT", "1970-01-20T00:00:00.0005Z", "1641599999"),
        ("seconds", "GMT", "1970-01-01T00:00:00Z", "0"),
        ("", "GMT", "2024-06-01T00:00:00.999Z", "2024-05-31T23:59:59Z"),
        // the last pass of an hour, and the first second behind it
        ("yyyy-MM-dd HH:mm:ss", "PST", "2024-11-03T09:10:00Z", "2024-11-03 00:59:59"),
        ("yyyy-MM-dd HH:mm:ss", "PST", "2024-11-03T10:00:00Z", "2024-11-03 01:59:59"),
        ("yyyy-MM-dd HH:mm VV", "PST", "2024-11-03T09:10:00Z", "2024-11-03 00:59 America/Los_Angeles"),
        ("yyyy-MM-dd HH:mm z", "PST", "2024-11-03T09:10:00Z", "2024-11-03 01:09 PST"),
        // 01:00 was skipped, from 00:01 on, and is read as 02:00
        ("yyyy-MM-dd HH", "America/St_Johns", "2006-04-02T04:30:00Z", "2006-04-01 23"),
        // behind the hour that is skipped
        ("yyyy-MM-dd HH:mm:ss", "PST", "2024-03-10T10:00:00Z", "2024-03-10 01:59:59"),
    ] {
        let format = DateFormat::new(Some(pattern), Some(zone)).unwrap();
        assert_eq!(format.format_bound(Some(utc(since))), bound, "{pattern} {zone} {since}");
    }
    assert_eq!(format("yy/MM/dd", "PST").format_bound(None), "00/01/01");
    assert_eq!(format("yyyy/MM/dd", "GMT").format_bound(None), "1970/01/01");
}

#[test]
fn granules() {
    let nanos = |pattern| format(pattern, "GMT").granule().as_nanos();
    let second = 1_000_000_000;
    for (pattern, expected) in [
        ("yyyy", 366 * 86400 * second),
        ("yyyy-MM", 31 * 86400 * second),
        ("yyyy-MM-dd", 86400 * second),
        ("yyyyDDD", 86400 * second),
        ("yyyy-MM-dd HH", 3600 * second),
        ("yyyy-MM-dd HH:mm", 60 * second),
        ("MM/dd/yyyy['T'HH:mm:ssXXX]", second),
        ("yyyy-MM-dd HH:mm:ss.S", second / 10),
        ("yyyy-MM-dd HH:mm:ss.SSS", 1_000_000),
        ("yyyy-MM-dd HH:mm:ss.SSSSSS", 1_000),
        ("yyyy-MM-dd HH:mm:ss.SSSSSSSSS", 1),
        ("milliseconds", 1_000_000),
        ("seconds", second),
        ("", second),
    ] {
        assert_eq!(nanos(pattern), expected, "{pattern}");
    }
}

#[test]
fn zones_as_java_reads_them() {
    let offset = |zone: &str, at: &str| {
        let shown = DateFormat::new(Some("yyyy-MM-dd HH:mm:ssxxx"), Some(zone)).map(|format| format.format(utc(at)));
        shown.map(|text| text[19..].to_owned()).map_err(|error| error.concerns_zone())
    };
    for (zone, winter, summer) in [
        ("", "+00:00", "+00:00"),
        ("PST", "-08:00", "-07:00"),
        ("CST", "-06:00", "-05:00"),
        ("EST", "-05:00", "-05:00"),
        ("MST", "-07:00", "-07:00"),
        ("HST", "-10:00", "-10:00"),
        ("EDT", "-04:00", "-04:00"),
        ("America/Denver", "-07:00", "-06:00"),
        ("US/Pacific", "-08:00", "-07:00"),
        ("EST5EDT", "-05:00", "-04:00"),
        ("+6:00", "+06:00", "+06:00"),
        ("-8:00", "-08:00", "-08:00"),
        ("+0530", "+05:30", "+05:30"),
        ("+6", "+06:00", "+06:00"),
        ("GMT+6", "+06:00", "+06:00"),
        ("UTC-03:30", "-03:30", "-03:30"),
        ("Etc/GMT+8", "-08:00", "-08:00"),
        (" PST ", "-08:00", "-07:00"),
    ] {
        assert_eq!(offset(zone, "2024-01-15T12:00:00Z").as_deref(), Ok(winter), "{zone}");
        assert_eq!(offset(zone, "2024-07-15T12:00:00Z").as_deref(), Ok(summer), "{zone}");
    }
    for zone in ["{TimeZone}", "Mars/Olympus", "+19:00", "+6:0", "GMT+", "8", "PDTX", "-08:00:00:00"] {
        assert_eq!(offset(zone, "2024-01-15T12:00:00Z"), Err(true), "{zone}");
    }
}

#[test]
fn patterns_that_would_lose_time_are_refused() {
    let refused = |pattern: &str| DateFormat::new(Some(pattern), None).unwrap_err();
    assert_eq!(refused("yyyy-MM-dd'T'HH:mm:ss'Z''"), DateFormatError::UnbalancedQuote);
    assert_eq!(refused("yyyy-MM-dd'"), DateFormatError::UnbalancedQuote);
    assert_eq!(refused("yyyy-MM-dd['T'HH:mm"), DateFormatError::UnbalancedBracket);
    assert_eq!(refused("yyyy-MM-dd]"), DateFormatError::UnbalancedBracket);
    assert_eq!(refused("10 digit integer Unix time"), DateFormatError::UnknownLetter('i'));
    assert_eq!(refused("yyyy-ww"), DateFormatError::UnknownLetter('w'));
    assert_eq!(refused("518862600"), DateFormatError::NoYear);
    assert_eq!(refused("HH:mm"), DateFormatError::NoYear);
    assert_eq!(refused("YYYY-MM-DD"), DateFormatError::DayOfYear);
    assert_eq!(refused("yyyy-MM-dd hh:mm"), DateFormatError::TwelveHours);
    assert_eq!(refused("yyyy-MM-ddd"), DateFormatError::Repetition('d'));
    assert_eq!(refused("yyyy-MMMMM-dd"), DateFormatError::Repetition('M'));
    assert_eq!(refused("yyyy-MM-dd HH:mm:ss.SSSSSSSSSS"), DateFormatError::Repetition('S'));
    assert_eq!(refused("yyyy-MM-dd V"), DateFormatError::Repetition('V'));
    assert_eq!(refused("yyyy-MM-dd HH:mm zzzz"), DateFormatError::Repetition('z'));
    assert_eq!(refused(&"y".repeat(201)), DateFormatError::TooLong);
    assert_eq!(
        refused("yyyy-mm-dd").to_string(),
        "has d (day of the month) but not M (month); small and capital letters differ"
    );
    assert_eq!(refused("yyyy-MM-dd HH:MM:ss"), DateFormatError::MonthAfterHour);
    // Both letters are there, so that only their places show it.
    for swapped in ["yyyy-mm-dd'T'HH:MM:ss'Z'", "dd/mm/yyyy hh:MM a", "yyyymmddHHMMss", "yyyy-mm-dd['T'HH:MM:ss]"] {
        assert_eq!(refused(swapped), DateFormatError::MonthAfterHour, "{swapped}");
    }
}

/// Patterns whose texts name one instant, down to their granule.
const WITH_ZONE: [&str; 14] = [
    "yyyy-MM-dd'T'HH:mm:ssXXX",
    "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    "EEE, dd MMM yyyy HH:mm:ss Z",
    "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "yyyy-MM-dd'T'HH:mmz",
    "MM/dd/yyyy['T'HH:mm:ssXXX]",
    "MM/dd/yyy'T'HH:mm:ssXXX",
    "yyyyMMddHHmmssSSSSSSSSSX",
    "EEEE, d. MMMM y, h:m:s.S a ZZZZ",
    "uuuu-DDD K 'o''clock' a m xxx",
    "kk:mm:ss O dd-MMM-yyyy G",
    "milliseconds",
    "seconds",
];

const ZONES: [&str; 10] = [
    "GMT",
    "PST",
    "EST",
    "America/St_Johns",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "+6:00",
    "-03:30",
    "Pacific/Apia",
];

/// Whole minutes of offset, four digits of year: 1972 to 2199.
fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    let edges = prop::sample::select(vec![1_710_064_800_i64, 1_730_624_400, 1_711_846_800, 1_729_990_800, 1_325_239_200]);
    let seconds =
        prop_oneof![3 => 63_072_000..7_258_118_400_i64, 1 => (edges, -7200..7200_i64).prop_map(|(edge, by)| edge + by)];
    (seconds, 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

fn truncated(at: DateTime<Utc>, granule: Duration) -> DateTime<Utc> {
    let granule = i64::try_from(granule.as_nanos()).unwrap();
    let nanos = at.timestamp_nanos_opt().unwrap();
    at - TimeDelta::nanoseconds(nanos.rem_euclid(granule))
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(at in instants(), pattern in prop::sample::select(&WITH_ZONE[..]), zone in prop::sample::select(&ZONES[..])) {
        let format = format(pattern, zone);
        let text = format.format(at);
        prop_assert_eq!(format.parse(&text), Some(truncated(at, format.granule())), "{}", text);
    }

    #[test]
    fn a_text_without_zone_is_never_read_late(at in instants(), zone in prop::sample::select(&ZONES[..]), later in 0..7200_i64) {
        for pattern in ["yyyy-MM-dd HH:mm:ss", "yyyyMMdd", "d/M/yyyy h:mm:ss.SSS a", ""] {
            let format = format(pattern, zone);
            prop_assert!(format.parse(&format.format(at)).unwrap() <= at);
            // the text of any later instant, too, is read at or behind the bound
            let bound = format.earliest_reading(at);
            let text = format.format(at + TimeDelta::seconds(later));
            let text = if pattern.is_empty() { text[..19].to_owned() } else { text };
            prop_assert!(bound <= at);
            prop_assert!(truncated(bound, format.granule().min(Duration::from_secs(1))) <= format.parse(&text).unwrap(), "{} {}", bound, text);
        }
    }

    #[test]
    fn a_bound_is_a_granule_early(at in instants(), pattern in prop::sample::select(&WITH_ZONE[..]), zone in prop::sample::select(&ZONES[..])) {
        let format = format(pattern, zone);
        let bound = format.parse(&format.format_bound(Some(at))).unwrap();
        prop_assert!(bound < truncated(at, format.granule()));
        prop_assert!(bound >= at - TimeDelta::from_std(format.granule() * 2).unwrap());
    }

    #[test]
    fn blanks_and_marks_change_no_reading(at in instants(), pattern in prop::sample::select(&WITH_ZONE[..]), zone in prop::sample::select(&ZONES[..]), blank in "[ \\t\u{a0}\u{202f}\u{2009}\u{3000}]{1,4}", mark in "[\u{200b}\u{200e}\u{feff}]?") {
        let format = format(pattern, zone);
        let text = format.format(at);
        let other = format!("{blank}{}{mark}{blank}", text.replace(' ', &format!("{mark}{blank}{mark}")));
        prop_assert_eq!(format.parse(&other), format.parse(&text), "{:?}", other);
    }

    /// A name next to an offset changes nothing, whatever it says.
    #[test]
    fn what_stands_beside_an_offset_is_not_heard(at in instants(), pattern in prop::sample::select(vec!["yyyy-MM-dd'T'HH:mm:ssXXX", "EEE, dd MMM yyyy HH:mm:ss Z", "dd/MM/yyyy HH:mm:ss.SSSxxx", ""]), zone in prop::sample::select(&ZONES[..]), other in "[A-Za-z]{1,9}(/[A-Za-z_]{1,9})?|[A-Z][a-z]{1,8} [A-Z][a-z]{1,8} Time", bracket in 0..2_usize) {
        let format = format(pattern, zone);
        let text = format.format(at);
        let other = if bracket == 0 { format!("{text}[{other}]") } else { format!("{text} ({other})") };
        prop_assert_eq!(format.parse(&other), format.parse(&text), "{:?}", other);
    }

    #[test]
    fn nothing_panics(pattern in "\\PC{0,20}|[yYuMLdDEaHkKhmsSzZXVGOx'\\[\\]:/ -]{0,24}", zone in "\\PC{0,8}|[+-]?[0-9:GMT]{0,8}", text in "\\PC{0,40}") {
        let _ = DateFormat::new(None, Some(&zone));
        if let Ok(format) = DateFormat::new(Some(&pattern), None) {
            let _ = format.parse(&text);
            for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, DateTime::UNIX_EPOCH] {
                let written = format.format(at);
                let _ = (format.parse(&written), format.format_bound(Some(at)));
            }
        }
    }

    #[test]
    fn reading_never_panics(pattern in prop::sample::select(&WITH_ZONE[..]), zone in prop::sample::select(&ZONES[..]), text in "\\PC{0,40}|[0-9TZ:+./ -]{0,40}") {
        let _ = format(pattern, zone).parse(&text);
        let _ = DateFormat::new(None, Some(zone)).unwrap().parse(&text);
        let _ = format("yyyy-MM-dd HH:mm:ss.SSS VV", zone).parse(&text);
    }

    #[test]
    fn mutated_dates_never_panic(at in instants(), pattern in prop::sample::select(&WITH_ZONE[..]), place in 0..40_usize, with in any::<char>()) {
        let format = format(pattern, "PST");
        let mut text: Vec<char> = format.format(at).chars().collect();
        let place = place % text.len();
        text[place] = with;
        let _ = format.parse(&text.into_iter().collect::<String>());
    }
}

#[test]
fn far_dates_are_refused_rather_than_wrapped() {
    let format = format("uuuu-MM-dd HH:mm:ss", "-8:00");
    assert_eq!(format.parse("+262142-12-31 23:59:59"), None);
    assert_eq!(format.parse("+999999-01-01 00:00:00"), None);
    assert_eq!(format.parse("-262143-01-01 00:00:00"), Some(DateTime::<Utc>::MIN_UTC + TimeDelta::hours(8)));
}
