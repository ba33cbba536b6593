//! Which namespaces a member watches, so that members that watch others share no work: a shard whose owner does not see an instance in it
//! leaves that instance to no one. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// How all namespaces are written: no namespace has this name.
const ALL: &str = "*";

/// The namespaces that a member watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of the cluster.
    #[default]
    All,
    /// These.
    Only(BTreeSet<Arc<str>>),
}

/// How the scope of another member relates to the own one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both watch the same, as far as is known: members of version 0.1.0 do not say what they watch.
    Same,
    /// The other watches all that this one does, and more: it can do the work of this one.
    Wider,
    /// This one watches all that the other does, and more.
    Narrower,
    /// Each watches what the other does not: neither can do the work of the other.
    Apart,
}

impl Scope {
    /// These namespaces; none: all.
    pub fn of(namespaces: &[String]) -> Self {
        if namespaces.is_empty() {
            Self::All
        } else {
            Self::Only(namespaces.iter().map(|name| Arc::from(name.as_str())).collect())
        }
    }

    /// The reverse of its text; `None` for a text that no version writes.
    pub fn read(text: &str) -> Option<Self> {
        if text == ALL {
            return Some(Self::All);
        }
        let names: BTreeSet<Arc<str>> = text.split(',').filter(|name| !name.is_empty()).map(Arc::from).collect();
        (!names.is_empty()).then_some(Self::Only(names))
    }

    /// How `other` relates to this one.
    pub fn relation(&self, other: &Self) -> Relation {
        match (self, other) {
            (own, other) if own == other => Relation::Same,
            (_, Self::All) => Relation::Wider,
            (Self::All, _) => Relation::Narrower,
            (Self::Only(own), Self::Only(other)) if own.is_subset(other) => Relation::Wider,
            (Self::Only(own), Self::Only(other)) if own.is_superset(other) => Relation::Narrower,
            (Self::Only(_), Self::Only(_)) => Relation::Apart,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::Only(names) => f.write_str(&names.iter().map(|name| &**name).collect::<Vec<_>>().join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Scope {
        Scope::read(text).unwrap()
    }

    #[test]
    fn is_read_as_written() {
        for text in ["*", "crm", "crm,shop"] {
            assert_eq!(of(text).to_string(), text);
        }
        assert_eq!(of("shop,crm"), Scope::of(&["crm".to_owned(), "shop".to_owned()]));
        assert_eq!(Scope::of(&[]), Scope::All);
        assert_eq!((Scope::read(""), Scope::read(",")), (None, None));
    }

    #[test]
    fn members_are_compared_by_what_they_can_do_for_each_other() {
        for (own, other, expected) in [
            ("crm", "crm", Relation::Same),
            ("*", "*", Relation::Same),
            ("crm", "crm,shop", Relation::Wider),
            ("crm", "*", Relation::Wider),
            ("*", "crm", Relation::Narrower),
            ("crm,shop", "shop", Relation::Narrower),
            ("crm", "shop", Relation::Apart),
            ("crm,shop", "crm,sales", Relation::Apart),
        ] {
            assert_eq!(of(own).relation(&of(other)), expected, "{own} and {other}");
        }
    }
}
