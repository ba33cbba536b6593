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
    // day and month change places: nobody can tell which is meant
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
    assert!(matches!(refused("yyyy-MM-dd HH:MM:ss"), DateFormatError::Gap { .. }));
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
        let bound = format.parse(&format.format_bound(at)).unwrap();
        prop_assert!(bound < truncated(at, format.granule()));
        prop_assert!(bound >= at - TimeDelta::from_std(format.granule() * 2).unwrap());
    }

    #[test]
    fn nothing_panics(pattern in "\\PC{0,20}|[yYuMLdDEaHkKhmsSzZXVGOx'\\[\\]:/ -]{0,24}", zone in "\\PC{0,8}|[+-]?[0-9:GMT]{0,8}", text in "\\PC{0,40}") {
        let _ = DateFormat::new(None, Some(&zone));
        if let Ok(format) = DateFormat::new(Some(&pattern), None) {
            let _ = format.parse(&text);
            for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, DateTime::UNIX_EPOCH] {
                let written = format.format(at);
                let _ = (format.parse(&written), format.format_bound(at));
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
