//! The HTTP sink: one signed `POST` a request.
//!
//! [`mod@format`] is how events are written, [`signature`] how the body is signed, [`request`] how it is sent, and [`interpret`]
//! what the answer means.

pub mod format;
pub mod interpret;
mod nulls;
pub mod request;
pub mod signature;

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tracing::Instrument as _;

use self::format::Envelope;
use self::request::{Post, PreparedCallback};
use super::{BatchLimit, CALLBACK, Delivery, Sink, SinkName};
use crate::api::conditions::{Problem, Reason, Remedy};
use crate::api::identity::InstanceRef;
use crate::auth::access::Access;
use crate::detect::event::Event;
use crate::egress::Egress;
use crate::observe::metrics::Metrics;
use crate::observe::span;

/// `spec.callback`, prepared for one job.
pub struct HttpSink<'a> {
    callback: PreparedCallback,
    instance: &'a InstanceRef,
    envelope: Envelope<'a>,
    egress: &'a Egress,
    metrics: &'a Metrics,
    /// One renewal at a time.
    access: Mutex<Access<'a>>,
}

impl<'a> HttpSink<'a> {
    /// The callback of an instance with its credentials; `envelope` is that of its events.
    pub fn new(
        callback: PreparedCallback,
        access: Access<'a>,
        instance: &'a InstanceRef,
        envelope: Envelope<'a>,
        egress: &'a Egress,
        metrics: &'a Metrics,
    ) -> Self {
        Self { callback, instance, envelope, egress, metrics, access: Mutex::new(access) }
    }

    /// Credentials that the callback does not accept are renewed, and then it is asked once more.
    async fn post(&self, events: &[&Event]) -> Delivery {
        let post = Post { egress: self.egress, metrics: self.metrics, envelope: &self.envelope };
        let auth = {
            let mut access = self.access.lock().await;
            if let Err(problem) = access.renew_in_time().await {
                return Delivery::Unusable(problem);
            }
            access.auth()
        };
        let posted = self.callback.post(&post, &auth, events).await;
        if matches!(posted.delivery, Delivery::Unusable(_)) {
            return posted.delivery;
        }
        let auth = {
            let mut access = self.access.lock().await;
            if !posted.is_unauthorized || !access.is_renewable() {
                access.note_accepted();
                return posted.delivery;
            }
            // Another request may have renewed them already.
            if Arc::ptr_eq(&auth, &access.auth()) {
                let refused =
                    Problem::human(Reason::Unauthorized, "spec.callback.auth: the callback answered 401 Unauthorized")
                        .ended_by(Remedy::RenewedCredentials);
                if access.renew_refused(refused).await.is_err() {
                    return posted.delivery;
                }
            }
            access.auth()
        };
        self.callback.post(&post, &auth, events).await.delivery
    }
}

impl Sink for HttpSink<'_> {
    fn name(&self) -> &SinkName {
        &CALLBACK
    }

    fn target(&self) -> u64 {
        self.callback.fingerprint()
    }

    fn batch_limit(&self) -> BatchLimit {
        format::batch_limit(self.callback.plan().format)
    }

    fn size(&self, event: &Event) -> usize {
        format::size(self.callback.plan().format, &self.envelope, event)
    }

    fn max_in_flight(&self) -> usize {
        self.callback.plan().max_in_flight.max(1) as usize
    }

    fn send<'s>(&'s self, events: &'s [&'s Event]) -> BoxFuture<'s, Delivery> {
        let resource = events.first().map_or("", |event| &*event.resource);
        let span = span::delivery(self.instance, resource);
        Box::pin(self.post(events).instrument(span))
    }
}
