//! What strangers send, read by the functions of the program that read it. Each target takes any bytes, and panics when a promise is
//! broken. The fuzzer calls them with what it finds out, `tests/it/fuzzed.rs` with the corpus and mutations of it.
//!
//! Where a target needs several texts, they are separated by a line break.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use pollinator::deliver::sink::http::signature;
use pollinator::egress::quota::Quota;
use pollinator::egress::retry_after;
use pollinator::fetch;
use pollinator::import::report::About;
use pollinator::import::{self, Imported, Options, Source};
use pollinator::plan::RecordsAs;
use pollinator::plan::date_format::DateFormat;
use pollinator::plan::field_path::FieldPath;
use pollinator::plan::template::{MacroContext, Place, Template};
use pollinator::receive::{read, verify};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Paths that lead to records, by the first line of the input.
const PATHS: [&str; 4] = ["data", "data.items", "['a b'].c", "records"];
/// The key of genuine requests in the corpus.
pub const KEY: &[u8] = b"the key of the corpus";
/// The time of genuine requests in the corpus, Unix seconds.
pub const SIGNED_AT: i64 = 1_800_000_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(SIGNED_AT, 0).unwrap_or_default()
}

/// The first line, and the rest.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// A response body. First line: `map` for a map of records, or the number of a path, or anything for none.
pub fn split(data: &[u8]) {
    let (first, body) = line(data);
    let form = if first == b"map" { RecordsAs::Map } else { RecordsAs::List };
    let path = first.first().and_then(|digit| PATHS.get(usize::from(digit.wrapping_sub(b'0'))));
    let path = path.and_then(|path| FieldPath::parse(path).ok());
    let Ok(page) = fetch::split(Bytes::copy_from_slice(body), path.as_ref().map(FieldPath::segments), form) else { return };
    assert!(page.body_len() <= body.len(), "a body does not grow");
    let mut bytes = 0;
    for record in page.records() {
        bytes += record.json.len();
        assert!(serde_json::from_str::<&RawValue>(record.json).is_ok(), "a record is JSON: {:?}", record.json);
    }
    assert!(bytes <= page.body_len(), "records do not overlap");
    assert_eq!(page.records().len(), page.len());
    if !page.envelope().is_empty() {
        assert!(serde_json::from_str::<&RawValue>(page.envelope()).is_ok(), "what is left is JSON: {:?}", page.envelope());
    }
}

/// Values of the header `Link`, one a line.
pub fn link_header(data: &[u8]) {
    let text = text(data);
    if let Some(target) = fetch::link_header::next_target(text.lines()) {
        assert!(text.contains(target) && !target.contains(['>', '\n']), "{target:?}");
    }
}

/// A date pattern, a time zone and a text.
pub fn dates(input: &[u8]) {
    let (pattern, rest) = line(input);
    let (zone, written) = line(rest);
    let (pattern, zone, date) = (text(pattern), text(zone), text(written));
    let Ok(format) = DateFormat::new(Some(&pattern), Some(&zone)) else { return };
    let _ = format.read(&date);
    for at in [format.parse(&date), Some(now())].into_iter().flatten() {
        let written = format.format(at);
        assert!(written.len() < 64 * (1 + pattern.len()), "{written:?}");
        assert!(format.earliest_reading(at) <= at, "a bound is never too late: {pattern:?} {zone:?} {at}");
    }
    assert!(!format.granule().is_zero());
}

/// A text with macros, in the format of the first line.
pub fn template(data: &[u8]) {
    let (pattern, source) = line(data);
    let (pattern, source) = (text(pattern), text(source));
    let format = DateFormat::new(Some(&pattern), None).or_else(|_| DateFormat::new(None, None));
    let (Ok(format), Ok(template)) = (format, Template::parse(&source)) else { return };
    assert_eq!(template.as_str(), source);
    for since in [None, Some(now() - TimeDelta::days(1))] {
        let context = MacroContext { since, now: now(), until: now(), since_format: &format, token: Some("t/\u{e9}&?# \n") };
        for place in [Place::Url, Place::QueryValue, Place::Header, Place::Json] {
            let rendered = template.render(&context, place);
            match place {
                Place::Url => assert!(!rendered.contains([' ', '\n', '\r', '"', '<', '>']), "{rendered:?}"),
                Place::QueryValue => assert!(!rendered.contains(['&', '#', '?', '=', '+', ' ', '\n']), "{rendered:?}"),
                Place::Header | Place::Json => {}
            }
        }
    }
}

/// A file of manifests.
pub fn manifest(data: &[u8]) {
    let declared = pollinator::api::manifest::read("fuzz.yaml", &text(data));
    for error in &declared.errors {
        assert!(error.to_string().contains("fuzz.yaml"), "{error}");
    }
}

/// A signed request: lines `name: value`, an empty line, the body.
pub fn signature(data: &[u8]) {
    let (headers, body) = request(data);
    let Ok(key) = verify::Key::parse(KEY) else { return };
    let verdict = verify::verify(&headers, body, &[key], now());
    let _ = read::read(&headers, body);
    let Ok(proof) = verdict else { return };
    // Made again from what was received, and not by the way that verifies.
    if proof.standard_webhooks {
        let value = |name: &HeaderName| headers.get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
        let (id, timestamp) = (value(&signature::WEBHOOK_ID), value(&signature::WEBHOOK_TIMESTAMP));
        let own = format!("v1,{}", signature::mac(KEY, &[&id, b".", &timestamp, b".", body]));
        let sent = value(&signature::WEBHOOK_SIGNATURE);
        assert!(sent.split(|byte| *byte == b' ').any(|one| one == own.as_bytes()), "nobody else makes a signature");
    }
    if proof.elements {
        let own = format!("sha256={}", signature::mac(KEY, &[body]));
        let sent = headers.get(&signature::ELEMENTS_SIGNATURE).map(HeaderValue::as_bytes);
        assert_eq!(sent, Some(own.as_bytes()), "nobody else makes a signature");
    }
    assert!(proof.standard_webhooks || proof.elements);
}

/// Headers that say how long to wait: lines `name: value`.
pub fn headers(data: &[u8]) {
    let (headers, _) = request(data);
    for wait in [retry_after::retry_after(&headers, now()), retry_after::backoff(&headers), Quota::of(&headers, now()).wait()] {
        assert!(wait.is_none_or(|wait| wait <= retry_after::LONGEST), "{wait:?}");
    }
}

/// Header lines up to an empty one, and the body behind it. Lines that no HTTP library would hand on are left out.
pub fn request(data: &[u8]) -> (HeaderMap, &[u8]) {
    let (mut headers, mut rest) = (HeaderMap::new(), data);
    loop {
        let (head, behind) = line(rest);
        rest = behind;
        if head.is_empty() || headers.len() >= 100 {
            return (headers, rest);
        }
        let Some(colon) = head.iter().position(|byte| *byte == b':') else { continue };
        let value = head[colon + 1..].trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&head[..colon]), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
}

/// A path, and JSON in which it is followed.
pub fn path(data: &[u8]) {
    let (path, json) = line(data);
    let (Ok(path), json) = (FieldPath::parse(&text(path)), text(json)) else { return };
    let shown = path.to_string();
    assert!(!path.segments().is_empty() && !shown.is_empty());
    let Some(found) = path.find(&json) else { return };
    assert!(json.contains(found), "a value is what was sent: {found:?}");
    if serde_json::from_str::<&RawValue>(&json).is_ok() {
        assert!(serde_json::from_str::<&RawValue>(found).is_ok(), "a value is JSON: {found:?}");
    }
}

/// A word that is in no input but where a target puts it.
const CANARY: &str = "hunter2canary";

/// A configuration of Open Connectors, with the CEQL and the macros of its hub paths. Each field is in the report, and no value of a Secret
/// is outside of one.
pub fn import(data: &[u8]) {
    let text = text(data);
    let imported = imported(&text, true);
    let Ok(input) = serde_json::from_str::<Value>(&text) else { return };
    assert_every_field(&input, &imported);
    // The same with secrets in known places.
    let Some(Value::Object(settings)) = input.get("configuration").cloned() else { return };
    let (mut with_secrets, mut settings) = (input, settings);
    for name in ["oauth.api.secret", "password", "event.notification.signature.key"] {
        settings.insert(name.to_owned(), CANARY.into());
    }
    with_secrets["configuration"] = Value::Object(settings);
    let imported = self::imported(&with_secrets.to_string(), false);
    assert_every_field(&with_secrets, &imported);
    let shown = format!("{} {imported:?}", imported.report);
    assert!(text.contains(CANARY) || !shown.contains(CANARY), "{shown}");
    for file in imported.files.iter().filter(|file| !file.is_secret) {
        assert!(text.contains(CANARY) || !file.text.contains(CANARY), "{}", file.text);
    }
}

/// The `where` of a hub path, in CEQL. First line: the connector.
pub fn ceql(data: &[u8]) {
    let (key, filter) = line(data);
    let url = format!("/hubs/helpdesk/incidents?where={}", text(filter));
    let lists = json!({"issues": {"url": url, "idField": "id"}});
    let input = json!({"element": {"key": text(key)}, "configuration": {"event.poller.configuration": lists}, "name": "a"});
    let imported = imported(&input.to_string(), true);
    assert_every_field(&input, &imported);
    let again = self::imported(&input.to_string(), true);
    assert_eq!(imported.report, again.report, "the same again");
}

fn imported(text: &str, withhold_secrets: bool) -> Imported {
    let options = Options { namespace: Some("crm"), withhold_secrets, own: None };
    let imported = import::import(&[Source { name: "a.json", text }], options);
    assert!(imported.errors.len() <= 1, "{:?}", imported.errors);
    for file in &imported.files {
        let read = pollinator::api::manifest::read(&file.name, &file.text);
        assert!(read.errors.is_empty() || imported.report.needs_a_person(), "{}: {:?}", file.name, read.errors);
    }
    imported
}

/// Each field of the input is in the report: itself, as a part of what a line names, or by what is in its text.
fn assert_every_field(input: &Value, imported: &Imported) {
    if !imported.errors.is_empty() {
        return;
    }
    let lines = imported.report.sections.iter().flat_map(|section| &section.lines);
    let told: Vec<_> =
        lines.filter_map(|line| if let About::Field(place) = &line.about { Some(place) } else { None }).collect();
    let mut all = Vec::new();
    leaves(&import::Place::default(), input, &mut all);
    for leaf in all {
        let is_told = told.iter().any(|place| place.holds(&leaf) || leaf.holds(place));
        assert!(is_told, "{leaf} is not in the report\n{}", imported.report);
    }
}

fn leaves(place: &import::Place, value: &Value, found: &mut Vec<import::Place>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, member)| leaves(&place.member(name), member, found));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| leaves(&place.item(index), item, found));
        }
        _ => found.push(place.clone()),
    }
}
