//! What the mark of deleted records says of one record. Pure.
//!
//! Without `deletes.flag.value` a mark counts as soon as it is true or set: providers have booleans, times, names of people there. A word
//! such as `active` is no mark, but the status of every living record: it announces nothing, and a condition asks for the value.

use serde_json::Value;

use crate::plan::DeletedFlag;
use crate::plan::date_format::{DateFormat, DateReading};
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::scalar_text;

/// What the mark of deleted records says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// There is none, so the record lives.
    Absent,
    /// The record lives: the mark says so.
    Living,
    /// The record is a tombstone.
    Deleted,
    /// The mark is set, but to something that `deletes.flag.value` does not name and seems to mean.
    Unread,
    /// There is no `deletes.flag.value`, and the mark is a word that may be the status of any record.
    Word,
}

/// What a word contains that means that a record is gone, or the name of a member that says so.
const GONE: [&str; 6] = ["delet", "remov", "trash", "destroy", "purg", "eras"];
/// The same for names of members alone: a status of this kind may be that of a living record.
const ENDED: [&str; 4] = ["archiv", "cancel", "void", "gone"];
/// What a word begins with that turns its meaning around.
const NOT: [&str; 4] = ["not", "non", "un", "never"];
/// Values that say no, or that there is none.
const UNSET: [&str; 28] = [
    "",
    "null",
    "false",
    "no",
    "n",
    "f",
    "0",
    "none",
    "0.0",
    "off",
    "never",
    "nan",
    "nat",
    "nil",
    "na",
    "n/a",
    "-",
    "undefined",
    "unset",
    "nein",
    "non",
    "não",
    "nee",
    "nej",
    "nie",
    "ei",
    "нет",
    "いいえ",
];
/// Words for a living record, whatever the name of the member.
const ALIVE: [&str; 12] = [
    "active",
    "alive",
    "available",
    "current",
    "enabled",
    "existing",
    "inactive",
    "live",
    "normal",
    "open",
    "present",
    "published",
];

/// What a mark means that was sent as this JSON text.
pub(super) fn read(flag: &DeletedFlag, sent: &str) -> Mark {
    let text = scalar_text(sent);
    let text = text.as_deref().unwrap_or(sent).trim();
    match flag.value.as_deref() {
        Some(value) if text == value => Mark::Deleted,
        None if is_text_set(text) => {
            if may_be_status(text, &flag.path) {
                Mark::Word
            } else {
                Mark::Deleted
            }
        }
        // `True` where `true` is meant, or a time where a boolean is
        Some(value) if text.eq_ignore_ascii_case(value) || (is_boolean(value) && is_text_set(text) && !is_boolean(text)) => {
            Mark::Unread
        }
        Some(_) | None => Mark::Living,
    }
}

/// Whether a mark that was sent as this JSON text is true or set.
pub fn is_set(sent: &str) -> bool {
    is_text_set(scalar_text(sent).as_deref().unwrap_or(sent).trim())
}

/// Whether a mark is true or set. Zero, dates that stand for none, and objects and arrays of nothing else are not.
fn is_text_set(text: &str) -> bool {
    if text.starts_with(['{', '[']) {
        return serde_json::from_str(text).map_or(true, |value| is_value_set(&value));
    }
    // `False.`, and the `.F.` of dBase
    let word = text.trim_matches('.').to_lowercase();
    !UNSET.contains(&&*word) && DateFormat::default().read(text) != DateReading::Never
}

fn is_value_set(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(is_value_set),
        Value::Array(items) => items.iter().any(is_value_set),
        Value::String(text) => is_text_set(text.trim()),
        other => is_text_set(&other.to_string()),
    }
}

fn is_boolean(text: &str) -> bool {
    ["true", "false", "yes", "no", "1", "0", "t", "f", "y", "n"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a mark that is set is a word that may as well be the status of a living record.
fn may_be_status(text: &str, path: &FieldPath) -> bool {
    let is_word = text.chars().all(|c| c.is_alphabetic() || " _-".contains(c));
    if !is_word || is_boolean(text) || text.eq_ignore_ascii_case("on") || text.eq_ignore_ascii_case("x") {
        return false;
    }
    let word = text.to_lowercase();
    let has = |stems: &[&str], text: &str| stems.iter().any(|stem| text.contains(stem));
    let is_turned = |stems: &[&str]| NOT.iter().any(|not| word.strip_prefix(not).is_some_and(|rest| has(stems, rest)));
    if is_turned(&GONE) || is_turned(&ENDED) {
        return true;
    }
    if has(&GONE, &word) {
        return false;
    }
    let name = match path.segments().last() {
        Some(Segment::Key(name)) => name.to_lowercase(),
        _ => String::new(),
    };
    let says_so = has(&GONE, &name) || has(&ENDED, &name);
    !says_so || ALIVE.contains(&&*word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_true_or_set_or_the_value_that_is_named() {
        use Mark::{Deleted, Living, Unread};
        let mark = |value: Option<&str>, sent: &str| {
            let flag = DeletedFlag { path: FieldPath::parse("d").unwrap(), value: value.map(str::to_owned) };
            read(&flag, sent)
        };
        for (sent, expected) in [
            ("true", Deleted),
            ("1", Deleted),
            (r#""2026-11-24T10:00:00Z""#, Deleted),
            ("1780000000000", Deleted),
            (r#""Y""#, Deleted),
            (r#""deleted""#, Deleted),
            (r#"{"by":"ann"}"#, Deleted),
            ("false", Living),
            ("null", Living),
            ("0", Living),
            (r#""""#, Living),
            (r#"" ""#, Living),
            (r#""False""#, Living),
            (r#""0""#, Living),
            ("[]", Living),
            ("{}", Living),
            (r#"{"at":null,"by":""}"#, Living),
            (r#"{"at":null,"by":["ann"]}"#, Deleted),
            ("[null, {}]", Living),
            (r#"".F.""#, Living),
            (r#""False.""#, Living),
            (r#""NaN""#, Living),
            (r#""Nein""#, Living),
            (r#""нет""#, Living),
            (r#""0001-01-01T00:00:00Z""#, Living),
            (r#""1970-01-01T00:00:00Z""#, Living),
            (r#""0000-00-00 00:00:00""#, Living),
        ] {
            assert_eq!(mark(None, sent), expected, "{sent}");
        }
        for (value, sent, expected) in [
            ("true", "true", Deleted),
            ("true", r#""true""#, Deleted),
            ("true", "false", Living),
            ("true", "null", Living),
            ("true", r#""2026-11-24T10:00:00Z""#, Unread),
            ("true", "1780000000", Unread),
            ("true", r#""True""#, Unread),
            ("1", "true", Living),
            ("deleted", r#""deleted""#, Deleted),
            ("deleted", r#""active""#, Living),
            ("deleted", r#""Deleted""#, Unread),
            ("D", r#""A""#, Living),
        ] {
            assert_eq!(mark(Some(value), sent), expected, "{value} {sent}");
        }
    }

    #[test]
    fn a_word_that_any_record_may_have_is_no_mark() {
        use Mark::{Deleted, Living, Word};
        for (field, sent, expected) in [
            ("status", r#""active""#, Word),
            ("status", r#""ARCHIVED""#, Word),
            ("status", r#""in progress""#, Word),
            ("data.state", r#""closed""#, Word),
            ("status", r#""deleted""#, Deleted),
            ("status", r#""Removed by owner""#, Deleted),
            ("status", "true", Deleted),
            ("status", r#""off""#, Living),
            ("is_deleted", r#""active""#, Word),
            ("deletedBy", r#""ann""#, Deleted),
            ("archived_reason", r#""duplicate""#, Deleted),
            ("hidden", r#""2026-11-24""#, Deleted),
            ("hidden", r#""x""#, Deleted),
            ("status", r#""NOT_DELETED""#, Word),
            ("status", r#""undeleted""#, Word),
            ("state", r#""not archived""#, Word),
            ("deleted", r#""notDeleted""#, Word),
            ("deletedBy", r#""Noor Undset""#, Deleted),
            ("status", r#""unpublished, deleted""#, Deleted),
        ] {
            let flag = DeletedFlag { path: FieldPath::parse(field).unwrap(), value: None };
            assert_eq!(read(&flag, sent), expected, "{field} {sent}");
        }
    }
}
