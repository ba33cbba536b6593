//! A state that cannot be read, as far as a person wants to do without it: the annotation `pollinator.dev/reset` names the resources that
//! start again, or all. Everything else is kept where it can be read. Pure.

use serde_json::{Map, Value};

use super::stored::{self, Found};
use crate::state::FORMAT;
use crate::state::wish::Restart;

/// Reads a damaged status without what is to start again. What is kept of the instance as a whole is given up only if all its resources
/// start again; its identity is kept as far as it can be read, so that repeated events keep their ids. `None`: what is damaged is not to
/// start again.
pub fn salvage(uid: &str, status: &Value, restart: &Restart<'_>) -> Option<Found> {
    let mut status: Map<String, Value> = status.as_object()?.clone();
    let mut left = false;
    match status.get_mut("resources") {
        Some(Value::Array(resources)) => {
            for entry in resources.iter_mut().filter_map(Value::as_object_mut) {
                if entry.get("name").and_then(Value::as_str).is_some_and(|name| restart.names(name)) {
                    entry.remove("cursor");
                    entry.remove("failing");
                } else {
                    left = true;
                }
            }
        }
        Some(_) => drop(status.remove("resources")),
        None => {}
    }
    if let Ok(found) = stored::read(uid, &Value::Object(status.clone())) {
        return Some(found);
    }
    if left {
        return None;
    }
    let bookkeeping = status.remove("bookkeeping");
    let text = bookkeeping.as_ref().and_then(Value::as_str).unwrap_or_default();
    if is_newer(text) {
        return None;
    }
    let mut found = stored::read(uid, &Value::Object(status)).ok()?;
    found.state.first_uid = stored::identity(text).filter(|identity| **identity != *uid);
    Some(found)
}

/// Whether a bookkeeping is of a version that is newer than this one, in whatever form.
fn is_newer(bookkeeping: &str) -> bool {
    let kept = serde_json::from_str::<Value>(bookkeeping).unwrap_or_default();
    kept["format"].as_u64().is_some_and(|format| format > u64::from(FORMAT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status() -> Value {
        let cursor = |since: &str| json!({"meaning": "m", "started": true, "since": since});
        json!({
            "conditions": [{"type": "Ready"}],
            "resources": [
                {"name": "contacts", "cursor": cursor("2026-01-01T00:00:00Z"), "delivered": 3},
                {"name": "orders", "cursor": cursor("2026-01-02T00:00:00Z")},
            ],
            "bookkeeping": r#"{"format": 2, "identity": "first", "handled": {"a": "1"}}"#,
        })
    }

    fn with(path: &str, value: Value) -> Value {
        let mut status = status();
        *status.pointer_mut(path).unwrap() = value;
        status
    }

    fn resources(found: &Found) -> Vec<&str> {
        found.state.resources.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_damaged_resource_starts_again_and_the_others_go_on() {
        let damaged = with("/resources/0/cursor/since", json!("yesterday"));
        assert!(stored::read("u", &damaged).is_err());
        let found = salvage("u", &damaged, &Restart::of("contacts 17")).unwrap();
        assert_eq!((resources(&found), found.state.identity()), (vec!["orders"], "first"));
        assert_eq!(found.state.handled["a"], "1");
        assert_eq!(salvage("u", &damaged, &Restart::of("orders")), None, "another one is damaged");
        assert_eq!(resources(&salvage("u", &damaged, &Restart::of("*")).unwrap()), [""; 0]);
    }

    #[test]
    fn what_is_kept_of_the_instance_is_given_up_with_all_its_resources() {
        for (text, identity) in [("garbage", "u"), (r#"{"format": "two", "identity": "first"}"#, "first")] {
            let damaged = with("/bookkeeping", json!(text));
            assert_eq!(salvage("u", &damaged, &Restart::of("contacts")), None, "{text}");
            for all in ["contacts,orders", "*"] {
                let found = salvage("u", &damaged, &Restart::of(all)).unwrap();
                assert_eq!((resources(&found), found.state.identity()), (vec![], identity), "{text}");
            }
        }
    }

    #[test]
    fn the_state_of_a_newer_version_is_not_damaged() {
        for text in [r#"{"format": 99}"#, r#"{"format": 99, "handled": 1}"#] {
            assert_eq!(salvage("u", &with("/bookkeeping", json!(text)), &Restart::All), None, "{text}");
        }
    }
}
