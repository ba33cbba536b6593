//! The members of a poller that nothing has taken.

use serde_json::Value;

use super::Pollers;
use crate::import::fields::Field;
use crate::import::value::{self, Said};

/// Members that need nothing here, and why.
const NEEDLESS: [(&str, &str); 3] = [
    ("filterByCurrentDate", "a record with a date in the future is delivered once and does not move the cursor"),
    ("batchSize", "events are batched by the callback's format"),
    ("useLastPollDate", "the cursor is always the greatest date seen"),
];
/// Members that change what is read or delivered there and nothing here, and why.
const LOST: [(&str, &str); 6] = [
    ("postHooks", "hooks are code of the platform; do what they did in the receiver"),
    ("postHookPipelines", "hooks are code of the platform; do what they did in the receiver"),
    ("useHydrationBeforePostHooks", "hooks are code of the platform"),
    ("objectName", "events carry the name of the resource"),
    ("parameters", "describes the platform's own form"),
    ("xPath", "idField says where the id is"),
];

impl Pollers<'_> {
    /// Says what becomes of it.
    pub(super) fn left(&mut self, field: &Field) {
        let of = |table: &[(&'static str, &'static str)]| {
            table.iter().find(|(name, _)| name.eq_ignore_ascii_case(&field.name)).map(|(_, reason)| *reason)
        };
        let is_bare = Said::of(&field.value) == Said::Nothing || hollow(&field.value);
        match (of(&NEEDLESS), of(&LOST)) {
            (Some(reason), _) => self.section.dropped(&field.place, reason),
            (None, Some(reason)) if is_bare => self.section.dropped(&field.place, reason),
            (None, Some(reason)) => self.section.lost(&field.place, reason),
            (None, None) => self.section.lost(&field.place, "no field of a resource corresponds to it"),
        }
    }
}

/// Whether a list or an object is empty, or a switch is off.
fn hollow(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        other => value::switch(other) == Some(false),
    }
}
