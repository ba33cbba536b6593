//! What a person asks of a running instance, through the API or in the console: it changes no manifest. Pure.
//!
//! In a cluster a wish is an annotation, which anyone may also set by hand and which the replica that runs the instance acts on once for
//! each value. Outside of a cluster the engine is asked directly.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::InstanceState;
use super::adopt::{ANNOTATIONS, APPROVE_DELETES, DISCARD, POLL_NOW, REDELIVER, RESET};
use crate::api::identity::{IMPORTED_ID, IMPORTED_NAME};
use crate::api::nearest::nearest;

/// Characters of an annotation that are compared and stored: a longer value is cut.
pub const LONGEST_VALUE: usize = 256;

/// Which parked events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Of this resource.
    pub resource: String,
    /// The one of this id; `None`: all of the resource.
    pub event: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Poll all resources at once.
    PollNow,
    /// Send parked events again, with a full schedule before them.
    Redeliver(Parked),
    /// Drop parked events: they are never sent.
    Discard(Parked),
    /// Forget the cursor and the known records of a resource: `startFrom` decides again what is sent.
    Reset(String),
    /// Send the deletions of a resource that wait for approval.
    ApproveDeletes(String),
}

impl Wish {
    /// The annotation that says it.
    pub fn annotation(&self) -> &'static str {
        match self {
            Self::PollNow => POLL_NOW,
            Self::Redeliver(_) => REDELIVER,
            Self::Discard(_) => DISCARD,
            Self::Reset(_) => RESET,
            Self::ApproveDeletes(_) => APPROVE_DELETES,
        }
    }

    /// The value of the annotation. `pending`: what is there and was not acted on yet, which is still to be done. Its time makes it another
    /// value than that of the same wish before. `None`: there is no more room until what is pending was acted on.
    pub fn value(&self, pending: Option<&str>, now: DateTime<Utc>) -> Option<String> {
        let own = match self {
            Self::PollNow => return Some(now.timestamp_millis().to_string()),
            Self::Redeliver(Parked { resource, event }) | Self::Discard(Parked { resource, event }) => {
                event.as_ref().map_or_else(|| resource.clone(), |event| format!("{resource}/{event}"))
            }
            Self::Reset(resource) | Self::ApproveDeletes(resource) => resource.clone(),
        };
        let before = pending.map(|pending| format!("{},", without_mark(pending))).unwrap_or_default();
        let value = format!("{before}{own} {}", now.timestamp_millis());
        (value.len() <= LONGEST_VALUE).then_some(value)
    }

    /// Does what the wish says of the state.
    pub fn grant(&self, state: &mut InstanceState, now: DateTime<Utc>) {
        match self {
            // A reset is done by the engine between two polls: one that is under way goes by the cursor.
            Self::PollNow | Self::Reset(_) => {}
            Self::Redeliver(Parked { resource, event }) => {
                state.sinks.redeliver(resource, event.as_deref(), now);
            }
            Self::Discard(Parked { resource, event }) => {
                state.sinks.discard(resource, event.as_deref());
            }
            Self::ApproveDeletes(resource) => {
                state.approve_deletes(resource);
            }
        }
        if !matches!(self, Self::Discard(_)) {
            // A person who asks for a poll wants its events to be tried, too, even where a sink had been given up.
            state.retry_deliveries(now);
        }
    }
}

/// The parked events that the value of an annotation names: `RESOURCE`, or `RESOURCE/EVENT` for one of them, and several of these with
/// commas between them. What follows a space says nothing: it makes the value another one than before.
pub fn parked(value: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    without_mark(value).split(',').map(str::trim).map(|item| match item.split_once('/') {
        Some((resource, event)) => (resource, Some(event)),
        None => (item, None),
    })
}

/// Names all resources, in [`RESET`] alone: no resource has this name.
pub const ALL: &str = "*";

/// What a person wants to start again.
#[derive(Debug, PartialEq, Eq)]
pub enum Restart<'a> {
    /// All resources, and what is kept of the instance as a whole.
    All,
    /// These resources.
    Named(BTreeSet<&'a str>),
}

impl<'a> Restart<'a> {
    /// What the value of the annotation says.
    pub fn of(value: &'a str) -> Self {
        let named: BTreeSet<&str> = parked(value).map(|(resource, _)| resource).collect();
        if named.contains(ALL) { Self::All } else { Self::Named(named) }
    }

    /// Whether it starts again.
    pub fn names(&self, resource: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(named) => named.contains(resource),
        }
    }
}

/// What the names of this program's annotations begin with.
const OWN: &str = "pollinator.dev/";

/// Whether an annotation has a name of this program's, and yet nothing follows from it.
pub fn is_misspelt(annotation: &str) -> bool {
    let says_origin = [IMPORTED_NAME, IMPORTED_ID].contains(&annotation);
    annotation.starts_with(OWN) && !ANNOTATIONS.contains(&annotation) && !says_origin
}

/// The sentence about an annotation that [`is_misspelt`].
pub fn misspelt(annotation: &str) -> String {
    let own = ANNOTATIONS.iter().copied().filter_map(|known| known.strip_prefix(OWN));
    let meant = annotation.strip_prefix(OWN).and_then(|name| nearest(name, own.clone()));
    let fix = meant.map_or_else(
        || format!("those that are known are {}", own.map(|name| format!("{OWN}{name}")).collect::<Vec<_>>().join(", ")),
        |meant| format!("did you mean {OWN}{meant}?"),
    );
    format!("annotation {annotation} is not known, so nothing follows from it; {fix}")
}

/// What the value of an annotation names that is not among the `known` resources: a sentence each.
pub fn unknown(annotation: &str, value: &str, known: &[&str]) -> Vec<String> {
    if ![RESET, REDELIVER, DISCARD, APPROVE_DELETES].contains(&annotation) {
        return Vec::new();
    }
    let is_unknown = |name: &&str| !(known.contains(name) || annotation == RESET && *name == ALL);
    let mut names: Vec<&str> = parked(value).map(|(resource, _)| resource).filter(is_unknown).collect();
    names.sort_unstable();
    names.dedup();
    let resources = known.join(", ");
    let tell = |name: &&str| {
        let what = if name.is_empty() {
            "no resource".to_owned()
        } else {
            format!("resource {name}, which this instance does not have")
        };
        format!("annotation {annotation} names {what}; its resources are {resources}")
    };
    names.iter().map(tell).collect()
}

/// What an annotation says of one event while `found` events that are parked have this name: a sentence, if there is none.
pub fn not_parked(annotation: &str, resource: &str, event: Option<&str>, found: usize) -> Option<String> {
    (event.is_some() && found == 0).then(|| {
        format!(
            "annotation {annotation} names an event of resource {resource} that is not parked: its id is misspelt, or it was accepted or \
             dropped meanwhile; the instances API and the console list the parked events"
        )
    })
}

fn without_mark(value: &str) -> &str {
    value.trim_start().split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(milliseconds).unwrap()
    }

    fn one(resource: &str, event: &str) -> Parked {
        Parked { resource: resource.into(), event: Some(event.into()) }
    }

    fn named(value: &str) -> Vec<(&str, Option<&str>)> {
        parked(value).collect()
    }

    #[test]
    fn a_value_names_a_resource_or_single_events() {
        assert_eq!(named("contacts"), [("contacts", None)]);
        assert_eq!(named(" contacts again"), [("contacts", None)]);
        assert_eq!(
            named("contacts/abc,orders,contacts/def 17"),
            [("contacts", Some("abc")), ("orders", None), ("contacts", Some("def")),]
        );
        assert_eq!(named(""), [("", None)]);
    }

    #[test]
    fn wishes_that_wait_are_joined_and_repeated_ones_differ() {
        let first = Wish::Redeliver(one("contacts", "abc"));
        let value = first.value(None, at(5)).unwrap();
        assert_eq!((first.annotation(), &*value), (REDELIVER, "contacts/abc 5"));
        assert_ne!(first.value(None, at(6)).unwrap(), value);
        let all = Wish::Redeliver(Parked { resource: "orders".into(), event: None });
        let both = all.value(Some(&value), at(7)).unwrap();
        assert_eq!(named(&both), [("contacts", Some("abc")), ("orders", None)]);
        // what does not fit would be cut
        let mut full = both;
        while let Some(more) = first.value(Some(&full), at(8)) {
            full = more;
        }
        assert!(full.len() > LONGEST_VALUE - 20 && full.len() <= LONGEST_VALUE, "{full}");
        assert_eq!(Wish::PollNow.value(Some("x"), at(9)).as_deref(), Some("9"));
    }
}
