//! Which object: the names by which all parts of the program speak of an instance, a connector or a Secret.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

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
