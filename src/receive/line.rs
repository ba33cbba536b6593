//! An event as one line of output. Pure.

use serde_json::value::RawValue;

use super::read::Received;
use crate::api::visible::one_line;

/// Characters of a record that a line for people shows.
const SHOWN: usize = 100;

/// For people: kind, resource, object id, time, and the beginning of the record.
pub fn text(event: &Received) -> String {
    let record = event.data.as_deref().map_or_else(|| "(too large to be sent)".to_owned(), beginning);
    let words = [event.kind.as_str(), &event.resource, &event.object_id, &event.time];
    format!("{} {record}", words.map(one_line).join(" "))
}

/// For programs: one JSON object.
pub fn json(event: &Received) -> String {
    // Strings, and a record that was read as JSON, can always be written. A line break in the record stands between tokens:
    // within strings JSON has it escaped (RFC 8259 §7).
    serde_json::to_string(event).unwrap_or_default().replace(['\n', '\r'], " ")
}

fn beginning(record: &RawValue) -> String {
    let mut text = record.get().split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    one_line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::visible::is_hidden;
    use crate::detect::event::Kind;

    fn received(object_id: &str, data: Option<&str>) -> Received {
        Received {
            webhook_id: "igso".into(),
            event_id: "igso".into(),
            kind: Kind::Created,
            resource: "contacts".into(),
            object_id: object_id.into(),
            time: "2026-11-24T10:22:45.032Z".into(),
            data: data.map(|data| RawValue::from_string(data.into()).unwrap()),
        }
    }

    #[test]
    fn a_line_tells_what_happened_to_what() {
        insta::assert_snapshot!(text(&received("42", Some("{\"id\":42,\n  \"name\":\"Ada\"}"))), @r#"created contacts 42 2026-11-24T10:22:45.032Z {"id":42, "name":"Ada"}"#);
        insta::assert_snapshot!(text(&received("42", None)), @"created contacts 42 2026-11-24T10:22:45.032Z (too large to be sent)");
    }

    #[test]
    fn a_long_record_is_cut_between_characters() {
        let line = text(&received("42", Some(&format!("\"{}\"", "é".repeat(500)))));
        assert!(line.ends_with("é…"), "{line}");
        assert_eq!(line.chars().filter(|c| *c == 'é').count(), 99);
    }

    #[test]
    fn an_id_cannot_play_with_the_terminal() {
        let line = text(&received("a\u{1b}[2J\nb", Some("\"\u{7f}\"")));
        assert!(!line.contains(is_hidden), "{line:?}");
    }

    #[test]
    fn a_json_line_is_one_line_and_keeps_every_digit() {
        let line = json(&received("a\nb", Some("{\"id\":\r\n 9007199254740993,\"note\":\"x\\ny\"}")));
        insta::assert_snapshot!(line, @r#"{"webhookId":"igso","eventId":"igso","kind":"created","resource":"contacts","objectId":"a\nb","time":"2026-11-24T10:22:45.032Z","data":{"id":   9007199254740993,"note":"x\ny"}}"#);
    }
}
