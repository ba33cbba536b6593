//! The spans of work that is done for one instance. Every log line in one tells by namespace and name whose it is; where instances of
//! two namespaces have one name, nothing else tells them apart.
//!
//! They are of level error, so that no filter that lets a line through takes its span away. Each stands alone and has all fields: the
//! JSON lines show the innermost span only, and the text lines would repeat them.

use tracing::{Span, error_span};

/// A job of one resource: a poll, or a send of what waits.
pub fn poll(namespace: &str, instance: &str, resource: &str) -> Span {
    error_span!(parent: None, "poll", namespace, instance, resource)
}

/// One request to the callback.
pub fn delivery(namespace: &str, instance: &str, resource: &str) -> Span {
    error_span!(parent: None, "delivery", namespace, instance, resource)
}

/// An access token that is asked for, or stored, for this instance first; others that refer to the same Secret share it.
pub fn token(namespace: &str, instance: &str, secret: &str) -> Span {
    error_span!(parent: None, "token", namespace, instance, secret)
}

/// The manifest of an instance that is taken in, or state of it that is saved.
pub fn reconcile(namespace: &str, instance: &str) -> Span {
    error_span!(parent: None, "reconcile", namespace, instance)
}

/// The status of an instance that is written.
pub fn status(namespace: &str, instance: &str) -> Span {
    error_span!(parent: None, "status", namespace, instance)
}
