use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use url::Url;

use super::{MacroContext, Place, Template, TemplateError};
use crate::plan::date_format::{DateFormat, DateFormatError};

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn rendered(template: &str, place: Place) -> String {
    let format = DateFormat::new(Some("yyyy-MM-dd'T'HH:mm:ss.SSSXXX"), None).unwrap();
    let context = MacroContext {
        since: Some(utc("2020-01-31T10:20:30.123456Z")),
        now: utc("2020-02-01T00:00:00Z"),
        until: utc("2020-02-02T00:00:00.5Z"),
        since_format: &format,
        token: Some("a+b/c=d e"),
    };
    Template::parse(template).unwrap().render(&context, place)
}

#[track_caller]
fn fills(template: &str, expected: &str) {
    assert_eq!(rendered(template, Place::Json), expected, "{template}");
}

#[test]
fn macros() {
    fills("${since}", "2020-01-31T10:20:30.122Z");
    fills("${date}", "2020-01-31T10:20:30.122Z");
    fills("${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}", "2020-01-31T10:20:29Z");
    fills("${date:MM/dd/yyyy HH:mm:ss}", "01/31/2020 10:20:29");
    fills("${dateTimeZone:PST:yyyy-MM-dd HH:mm:ss -0800}", "2020-01-31 02:20:29 -0800");
    fills("${DateTimeZone:PST:yyyy-MM-dd'T'HH:mm:ss.SSS}", "2020-01-31T02:20:30.122");
    fills("${dateTimeZone:-8:00:yyyy-MM-dd'T'HH:mm:ssXXX}", "2020-01-31T02:20:29-08:00");
    fills("${dateTimeZone:+6:00:HH:mm dd/MM/yyyy}", "16:19 31/01/2020");
    fills("${dateTimeZone:GMT+6:yyyy-MM-dd HH:mm}", "2020-01-31 16:19");
    fills("${dateTimeZone:America/Denver:yyyy-MM-dd HH:mm}", "2020-01-31 03:19");
    fills("${dateTimeZone::yyyy-MM-dd HH:mm}", "2020-01-31 10:19");
    fills("${epoch}|${epoch:ms}|${epoch:0}|${milliseconds}", &["1580466030122"; 4].join("|"));
    fills("${epoch:s} ${epoch:us}", "1580466029 1580466030123455");
    fills("${date:seconds} ${gmtDate:milliseconds}", "1580466029 1580466030122");
    fills("${now}", "2020-02-01T00:00:00.000Z");
    fills("${now:yyyy-MM-dd HH:mm:ss}", "2020-02-01 00:00:00");
    fills("${nowTimeZone:GMT:yyyy-MM-dd'T'HH:mm:ss}", "2020-02-01T00:00:00");
    fills("${nowTimeZone:-8:00:yyyy-MM-dd}", "2020-01-31");
    fills("${until} ${until:seconds}", "2020-02-02T00:00:00.500Z 1580601600");
    fills("${untilTimeZone:-8:00:yyyy-MM-dd HH:mm}", "2020-02-01 16:00");
    fills("${cursor}", "a+b/c=d e");
    fills("a${epoch:s}b${epoch:s}", "a1580466029b1580466029");
    fills("?$top=10&$filter=x eq {y}", "?$top=10&$filter=x eq {y}");
    fills("", "");
    fills("$", "$");
}

#[test]
fn without_a_cursor_since_is_the_epoch() {
    let format = DateFormat::default();
    let context = MacroContext {
        since: None,
        now: utc("2020-02-01T00:00:00Z"),
        until: utc("2020-02-02T00:00:00Z"),
        since_format: &format,
        token: None,
    };
    let template = Template::parse("${since} ${date} ${epoch} ${epoch:s} ${gmtDate:yyyy-MM-dd} [${cursor}]").unwrap();
    assert_eq!(template.render(&context, Place::Header), "1970-01-01T00:00:00Z 1970-01-01T00:00:00Z 0 0 1970-01-01 []");
}

#[test]
fn since_is_never_late_even_when_summer_time_ends() {
    let format = DateFormat::new(Some("yyyy-MM-dd HH:mm:ss"), Some("America/Denver")).unwrap();
    let context = MacroContext {
        since: Some(utc("2024-11-03T08:30:00.9Z")),
        now: utc("2024-11-03T08:40:00Z"),
        until: utc("2024-11-03T08:40:00Z"),
        since_format: &format,
        token: None,
    };
    let render = |text: &str| Template::parse(text).unwrap().render(&context, Place::Json);
    // 01:30 is there twice; a change in the second pass may still come with an earlier clock time
    assert_eq!(render("${since}"), "2024-11-03 00:59:59");
    assert_eq!(render("${date}"), "2024-11-03 00:59:59");
    assert_eq!(render("${dateTimeZone:America/Denver:yyyy-MM-dd HH:mm}"), "2024-11-03 00:59");
    assert_eq!(render("${gmtDate:yyyy-MM-dd HH:mm}"), "2024-11-03 08:29");
}

#[test]
fn encoded_where_it_lands() {
    assert_eq!(rendered("q='${date:MM/dd/yyyy HH:mm:ss}'", Place::Url), "q=%2701%2F31%2F2020%2010:20:29%27");
    assert_eq!(rendered("a+b&c=${dateTimeZone:+6:00:HHXXX yyyyMMdd}", Place::Url), "a+b&c=15%2B06:00%2020200131");
    assert_eq!(rendered("${cursor}", Place::Url), "a%2Bb%2Fc%3Dd%20e");
    assert_eq!(rendered("a b+c&d=${cursor}", Place::QueryValue), "a%20b%2Bc%26d%3Da%2Bb%2Fc%3Dd%20e");
    assert_eq!(rendered("a b+c&d=${cursor}", Place::Header), "a b+c&d=a+b/c=d e");
    assert_eq!(rendered("a \"b\" ${cursor}", Place::Json), "a \"b\" a+b/c=d e");
}

#[test]
fn text_of_a_url_stays_as_written_where_a_url_allows() {
    let kept = "https://api.example.com:8443/a/(b)/c;d=1,2?x[from]=%20%C3%A9+&$top=1&y=*!@~-._#f";
    assert_eq!(rendered(kept, Place::Url), kept);
    assert_eq!(rendered("/a b'\"<>\\^`{|}%zz%4é\t", Place::Url), "/a%20b%27%22%3C%3E%5C%5E%60%7B%7C%7D%25zz%254%C3%A9%09");
}

#[test]
fn malformed_macros_are_refused_with_a_fix() {
    let refused = |text: &str| Template::parse(text).unwrap_err();
    assert_eq!(
        refused("x${foo}").to_string(),
        "has an unknown macro ${foo}; known are since, gmtDate, date, dateTimeZone, epoch, milliseconds, now, nowTimeZone, until, untilTimeZone, cursor, each"
    );
    for (text, near) in [("${sinse}", "since"), ("${gmtDat:yyyy}", "gmtDate"), ("${ since }", "since"), ("${untill}", "until")]
    {
        let told = refused(text).to_string();
        assert!(told.contains(&format!("(did you mean ${{{near}}}?); known are since")), "{told}");
    }
    for text in ["${yyyy-MM-dd'T'HH:mm:ss'Z'}", "${518862600}", "${}", "${ since }", "${F}"] {
        assert!(matches!(refused(text), TemplateError::Unknown(_)), "{text}");
    }
    assert_eq!(refused("'$yyyy-MM-dd}'"), TemplateError::Unopened("yyyy-MM-dd".to_owned()));
    assert_eq!(refused("a=${since"), TemplateError::Unclosed);
    assert_eq!(refused("${since:yyyy}"), TemplateError::NoArgument("since"));
    assert_eq!(refused("${epoch:h}"), TemplateError::EpochUnit);
    assert_eq!(refused("${gmtDate}"), TemplateError::NoFormat("gmtDate", ""));
    assert_eq!(refused("${date:}"), TemplateError::NoFormat("date", ""));
    for text in
        ["${dateTimeZone}", "${dateTimeZone:}", "${dateTimeZone:PST}", "${dateTimeZone:-8:00}", "${dateTimeZone:-8:00:}"]
    {
        assert_eq!(
            refused(text).to_string(),
            "has the macro dateTimeZone without a date format, as in ${dateTimeZone:America/Denver:yyyy-MM-dd'T'HH:mm:ssXXX}",
            "{text}"
        );
    }
    assert_eq!(
        refused("${nowTimeZone:Mars:yyyy-MM-dd}").to_string(),
        "has the macro nowTimeZone whose zone is not a time zone; write a name such as America/Denver, an offset such as -07:00, or GMT"
    );
    assert_eq!(refused("${date:HH:mm}"), TemplateError::Format { name: "date", cause: DateFormatError::NoYear });
    assert_eq!(
        refused("${dateTimeZone:{TimeZone}:yyyy}").to_string(),
        "has {TimeZone} inside a macro, which nothing fills in; set it under parameters, or write the value itself"
    );
}

#[test]
fn a_message_quotes_little() {
    let TemplateError::Unknown(shown) = Template::parse(&format!("${{{}\u{7}}}", "x".repeat(100))).unwrap_err() else {
        panic!()
    };
    assert_eq!(shown, format!("{}…", "x".repeat(40)));
}

#[test]
fn knows_what_it_uses() {
    let parsed = |text: &str| Template::parse(text).unwrap();
    for text in [
        "${since}",
        "${date}",
        "${gmtDate:yyyy}",
        "${epoch}",
        "${milliseconds}",
        "${dateTimeZone:PST:yyyy}",
        "${now}${epoch:us}",
    ] {
        assert!(parsed(text).uses_since(), "{text}");
    }
    for text in ["", "since", "${now}", "${now:yyyy}", "${nowTimeZone:PST:yyyy}", "${cursor}"] {
        assert!(!parsed(text).uses_since(), "{text}");
    }
    assert!(parsed("a${cursor}").uses_token());
    assert!(!parsed("${since}").uses_token());
    assert_eq!(parsed("a${cursor}").as_str(), "a${cursor}");
}

/// Java's pattern; the same for chrono, which reads it here on its own account; and what completes the text to a whole time.
const PATTERNS: [(&str, &str, &str, &str); 11] = [
    ("yyyy", "%Y", "-%m-%d %H:%M", "-01-01 00:00"),
    ("yyyy-MM", "%Y-%m", "-%d %H:%M", "-01 00:00"),
    ("yyyy-MM-dd", "%Y-%m-%d", " %H:%M", " 00:00"),
    ("yyyy-DDD", "%Y-%j", " %H:%M", " 00:00"),
    ("yyyy-MM-dd HH", "%Y-%m-%d %H", ":%M", ":00"),
    ("MM/dd/yyyy hh a", "%m/%d/%Y %I %p", " %M", " 00"),
    ("yyyy/MM/dd HH:mm", "%Y/%m/%d %H:%M", "", ""),
    ("dd.MM.yy h:mm:ss a", "%d.%m.%y %-I:%M:%S %p", "", ""),
    ("yyyy-MM-dd'T'HH:mm:ss", "%Y-%m-%dT%H:%M:%S", "", ""),
    ("MMM d, yyyy hh:mm:ss.SSS a", "%b %-d, %Y %I:%M:%S%.3f %p", "", ""),
    ("yyyyMMddHHmmss", "%Y%m%d%H%M%S", "", ""),
];

/// Zones with the oddest changes: half hours (Lord Howe), one minute past midnight (St John's), at midnight (Havana, São Paulo), a
/// whole day (Apia), two hours (Troll), a change that kept its name (Moscow).
const TICKING_ZONES: [Tz; 12] = [
    Tz::GMT,
    Tz::America__New_York,
    Tz::America__Denver,
    Tz::Europe__Berlin,
    Tz::Australia__Lord_Howe,
    Tz::America__St_Johns,
    Tz::America__Havana,
    Tz::America__Sao_Paulo,
    Tz::Pacific__Apia,
    Tz::Antarctica__Troll,
    Tz::Europe__Moscow,
    Tz::Asia__Kathmandu,
];

/// From 2001 to 2038, most near a change of some zone.
fn instants() -> impl Strategy<Value = (DateTime<Utc>, Tz)> {
    let change = prop::sample::select(vec![
        "2024-11-03T06:00:00Z",
        "2024-03-10T07:00:00Z",
        "2024-11-03T08:00:00Z",
        "2024-03-10T09:00:00Z",
        "2024-10-27T01:00:00Z",
        "2024-03-31T01:00:00Z",
        "2024-04-06T15:00:00Z",
        "2024-10-05T15:30:00Z",
        "2006-10-29T02:31:00Z",
        "2006-04-02T03:31:00Z",
        "2024-11-03T05:00:00Z",
        "2024-03-10T05:00:00Z",
        "2018-02-18T02:00:00Z",
        "2018-11-04T03:00:00Z",
        "2011-12-30T10:00:00Z",
        "2014-10-25T22:00:00Z",
    ]);
    let near = (change, -3 * 3600..3 * 3600_i64).prop_map(|(change, by)| utc(change).timestamp() + by);
    let whole = (978_400_000 / 900..2_145_000_000 / 900_i64).prop_map(|quarters| quarters * 900);
    let seconds = prop_oneof![6 => near, 1 => 978_400_000..2_145_000_000_i64, 1 => whole];
    let nanos = prop_oneof![0..1_000_000_000_u32, Just(0)];
    (seconds, nanos, prop::sample::select(&TICKING_ZONES[..]))
        .prop_map(|(seconds, nanos, zone)| (DateTime::from_timestamp(seconds, nanos).unwrap(), zone))
}

/// Every instant that a server may take a local time for.
fn readings(local: NaiveDateTime, zone: Tz) -> Vec<DateTime<Utc>> {
    match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(only) => vec![(local - only.fix()).and_utc()],
        LocalResult::Ambiguous(a, b) => [a, b].map(|offset| (local - offset.fix()).and_utc()).to_vec(),
        LocalResult::None => [-25, 25]
            .map(|hours| (local - zone.offset_from_utc_datetime(&(local + TimeDelta::hours(hours))).fix()).and_utc())
            .to_vec(),
    }
}

/// The macros that write a lower bound, with the zone that their texts are of.
fn bounds(pattern: &str, zone: Tz) -> [(String, Tz); 5] {
    let zoned = format!("${{dateTimeZone:{}:{pattern}}}", zone.name());
    [
        ("${since}".to_owned(), zone),
        ("${date}".to_owned(), zone),
        (zoned, zone),
        (format!("${{gmtDate:{pattern}}}"), Tz::GMT),
        (format!("${{date:{pattern}}}"), Tz::GMT),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A server that excludes the bound, reads it in its zone, in either way where it is ambiguous, and compares as coarsely as the
    /// text is, still shows each record dated at or after since: by instants, and by the local times alone.
    #[test]
    fn no_lower_bound_loses_a_tie((since, zone) in instants(), later in prop_oneof![Just(0), 0..3_i64, 0..10_000_i64, 0..300_000_000_i64], kind in 0..PATTERNS.len()) {
        let (pattern, written, completed, completion) = PATTERNS[kind];
        let date = since + TimeDelta::milliseconds(later);
        let format = DateFormat::new(Some(pattern), Some(zone.name())).unwrap();
        let context = MacroContext { since: Some(since), now: since, until: since, since_format: &format, token: None };
        for (template, zone) in bounds(pattern, zone) {
            let text = Template::parse(&template).unwrap().render(&context, Place::Json);
            let read = |text: &str| {
                NaiveDateTime::parse_from_str(&format!("{text}{completion}"), &format!("{written}{completed}")).unwrap()
            };
            let bound = read(&text);
            let local = zone.from_utc_datetime(&date.naive_utc()).naive_local();
            let unit = read(&local.format(written).to_string());
            prop_assert!(bound < unit, "{} by local time: {} for {}", template, text, date);
            let shown = readings(unit, zone).into_iter().filter(|unit| *unit <= date).max().unwrap_or(date);
            for reading in readings(bound, zone) {
                prop_assert!(reading < since, "{}: {} may be read as {}, behind {}", template, text, reading, since);
                prop_assert!(reading < shown, "{}: {} may be read as {}, {} as {}", template, text, reading, date, shown);
            }
        }
    }

    #[test]
    fn no_number_loses_a_tie((since, _) in instants(), later in 0..2_000_000_i64) {
        let date = since + TimeDelta::microseconds(later);
        let format = DateFormat::default();
        let context = MacroContext { since: Some(since), now: since, until: since, since_format: &format, token: None };
        let number = |text: &str| Template::parse(text).unwrap().render(&context, Place::Json).parse::<i64>().unwrap();
        for text in ["${epoch:s}", "${date:seconds}", "${gmtDate:seconds}", "${dateTimeZone:PST:seconds}"] {
            prop_assert_eq!(number(text), since.timestamp() - 1, "{}", text);
            prop_assert!(number(text) < date.timestamp());
        }
        for text in ["${epoch}", "${epoch:ms}", "${epoch:0}", "${milliseconds}", "${date:milliseconds}"] {
            prop_assert_eq!(number(text), since.timestamp_millis() - 1, "{}", text);
            prop_assert!(number(text) < date.timestamp_millis());
        }
        prop_assert_eq!(number("${epoch:us}"), since.timestamp_micros() - 1);
    }

    /// Upper bounds are not moved: the start of the poll, cut off.
    #[test]
    fn an_upper_bound_is_the_start_of_the_poll((now, zone) in instants(), kind in 0..PATTERNS.len()) {
        let (pattern, written, ..) = PATTERNS[kind];
        let format = DateFormat::new(Some(pattern), Some(zone.name())).unwrap();
        let context = MacroContext { since: None, now, until: now, since_format: &format, token: None };
        let zoned = format!("${{nowTimeZone:{}:{pattern}}}", zone.name());
        for (template, zone) in [("${now}".to_owned(), zone), (zoned, zone), (format!("${{now:{pattern}}}"), Tz::GMT)] {
            let expected = zone.from_utc_datetime(&now.naive_utc()).naive_local().format(written).to_string();
            prop_assert_eq!(Template::parse(&template).unwrap().render(&context, Place::Json), expected);
        }
    }
}

/// Text around macros, good and bad.
fn templates() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,8}",
        "[a-z$%{}'\"<> &=?/:#\\\\]{0,8}",
        prop::sample::select(vec![
            "${since}",
            "${date}",
            "${epoch:us}",
            "${cursor}",
            "${now:yyyy-MM-dd'T'HH:mm:ss \"é\" <Z>}",
            "${dateTimeZone:+6:00:EEE, dd MMM yyyy HH:mm:ss.SSS XXX}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_accepted_template_makes_a_url(text in templates(), token in "\\PC{0,12}", seconds in 0..4_000_000_000_i64) {
        let format = DateFormat::new(Some("EEE, dd MMM yyyy HH:mm:ss Z"), Some("PST")).unwrap();
        let since = DateTime::from_timestamp(seconds, 0);
        let context = MacroContext { since, now: DateTime::UNIX_EPOCH, until: DateTime::UNIX_EPOCH, since_format: &format, token: Some(&token) };
        if let Ok(template) = Template::parse(&text) {
            for base in ["https://api.example.com/v1/", "https://api.example.com/v1?where="] {
                let url = format!("{base}{}", template.render(&context, Place::Url));
                let clean = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&byte);
                prop_assert!(url.bytes().all(clean), "{}", url);
                let parsed = Url::parse(&url).unwrap();
                prop_assert_eq!(parsed.host_str(), Some("api.example.com"));
            }
            let value = template.render(&context, Place::QueryValue);
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:%".contains(&byte)), "{}", value);
            // what the server decodes is what was meant
            let raw = template.render(&context, Place::Json);
            prop_assert_eq!(percent_encoding::percent_decode_str(&value).decode_utf8().unwrap(), raw);
        }
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,40}|(\\$|\\{|\\}|:|date|dateTimeZone|PST|-8:00|yyyy|é){0,12}") {
        if let Err(refused) = Template::parse(&text) {
            prop_assert!(!refused.to_string().is_empty());
        }
    }
}
