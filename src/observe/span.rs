//! The spans of work that is done for one instance. Namespace and name in every log line of a span say whose it is; where instances of two
//! namespaces have one name, nothing else distinguishes them.
//!
//! They are of level error, so that no filter that lets a line through takes its span away. Each is complete by itself and has all fields:
//! the JSON lines show the innermost span only, and the text lines would repeat them.

use tracing::{Span, error_span};

use crate::api::identity::InstanceRef;

/// A job of one resource: a poll, or a send of what waits.
pub fn poll(instance: &InstanceRef, resource: &str) -> Span {
    error_span!(parent: None, "poll", namespace = &*instance.namespace, instance = &*instance.name, resource)
}

/// One request to the callback.
pub fn delivery(instance: &InstanceRef, resource: &str) -> Span {
    error_span!(parent: None, "delivery", namespace = &*instance.namespace, instance = &*instance.name, resource)
}

/// An access token that is asked for, or stored, for this instance first; others that refer to the same Secret share it.
pub fn token(instance: &InstanceRef, secret: &str) -> Span {
    error_span!(parent: None, "token", namespace = &*instance.namespace, instance = &*instance.name, secret)
}

/// The manifest of an instance that is taken in, or state of it that is saved.
pub fn reconcile(instance: &InstanceRef) -> Span {
    error_span!(parent: None, "reconcile", namespace = &*instance.namespace, instance = &*instance.name)
}

/// The status of an instance that is written.
pub fn status(instance: &InstanceRef) -> Span {
    error_span!(parent: None, "status", namespace = &*instance.namespace, instance = &*instance.name)
}
