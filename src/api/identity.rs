//! Which object: the names by which all parts of the program speak of an instance, a connector or a Secret.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// Defines the name of an object of one kind. Each kind has a type of its own, so that none is taken for another.
macro_rules! object_ref {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub struct $name {
            /// Its namespace.
            pub namespace: Arc<str>,
            /// Its name in the namespace.
            pub name: Arc<str>,
        }

        impl $name {
            /// The object `name` in `namespace`.
            pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
                Self { namespace: namespace.into(), name: name.into() }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.namespace, self.name)
            }
        }
    };
}

object_ref! {
    /// The instance of that name, whichever has it at the moment.
    InstanceRef
}

object_ref! {
    /// A `Connector` of that name.
    ConnectorRef
}

object_ref! {
    /// A Secret of that name.
    SecretRef
}

/// Label that holds the [`number`] of an instance.
pub const NUMBER_LABEL: &str = "pollinator.dev/instance-id";

/// Annotation with the name as Open Connectors has it.
pub const IMPORTED_NAME: &str = "pollinator.dev/imported-name";

/// Annotation: the id that an imported instance had.
pub const IMPORTED_ID: &str = "pollinator.dev/imported-id";

/// The number that stands for an identity where Open Connectors has one: `id` of an instance, `instanceId` in its events. It has at
/// most 53 bits, so that every JSON parser keeps it, and is never 0. Two of a million identities share one with a probability of
/// 1 to 18,000.
pub fn number(identity: &str) -> u64 {
    (xxh3_64(identity.as_bytes()) >> 11).max(1)
}

/// One instance from its creation to its deletion: another one that gets its name later has another uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceId {
    /// Its name.
    pub instance: InstanceRef,
    /// The uid that the API server gave it, or, outside of a cluster, that its state was given when it began.
    pub uid: Arc<str>,
}

impl InstanceId {
    /// The instance `instance` of that uid.
    pub fn new(instance: InstanceRef, uid: impl Into<Arc<str>>) -> Self {
        Self { instance, uid: uid.into() }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.instance.namespace
    }

    /// Its name in the namespace.
    pub fn name(&self) -> &str {
        &self.instance.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_for_ever_and_fit_every_parser() {
        assert_eq!(number("9d1c0c3e-6a57-4f5e-8a5e-2f2c4b1f7a10"), 7_522_386_230_768_514);
        for identity in 0..10_000 {
            let number = number(&identity.to_string());
            assert!(number > 0 && number < 1 << 53, "{identity}: {number}");
        }
    }
}
