//! Which Lease is which, by name: `pollinator-range-07-of-16`, `pollinator-member-of-16-<process>`.

use super::range::Range;

/// A Lease of the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// Who owns a range.
    Range(Range),
    /// Who is alive, and into how many ranges it believes the hashes to be cut.
    Member {
        /// Number of ranges.
        of: u16,
        /// The process.
        process: String,
    },
}

impl Name {
    /// The name in Kubernetes.
    pub fn in_group(&self, group: &str) -> String {
        match self {
            Self::Range(range) => format!("{group}-range-{range}"),
            Self::Member { of, process } => format!("{group}-member-of-{of:02}-{process}"),
        }
    }

    /// The reverse of [`Self::in_group`].
    pub fn read(group: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(group)?.strip_prefix('-')?;
        if let Some(range) = rest.strip_prefix("range-") {
            return range.parse().ok().map(Self::Range);
        }
        let (of, process) = rest.strip_prefix("member-of-")?.split_once('-')?;
        Some(Self::Member { of: of.parse().ok()?, process: process.to_owned() })
    }

    /// Number of ranges that it is about.
    pub const fn of(&self) -> u16 {
        match self {
            Self::Range(range) => range.of(),
            Self::Member { of, .. } => *of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_written() {
        for (name, text) in [
            (Name::Range(Range::new(7, 16).unwrap()), "pollinator-range-07-of-16"),
            (Name::Range(Range::new(107, 256).unwrap()), "pollinator-range-107-of-256"),
            (Name::Member { of: 16, process: "pod-0-1a2b".to_owned() }, "pollinator-member-of-16-pod-0-1a2b"),
        ] {
            assert_eq!(name.in_group("pollinator"), text);
            assert_eq!(Name::read("pollinator", text), Some(name));
        }
        for other in [
            "pollinator",
            "pollinator-range-16-of-16",
            "pollinator-range-x",
            "other-range-07-of-16",
            "pollinator-member-of-x-y",
        ] {
            assert_eq!(Name::read("pollinator", other), None, "{other}");
        }
    }
}
