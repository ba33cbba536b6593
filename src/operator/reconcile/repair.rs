//! Writes again what someone else removed: of a status, for which the engine reports what holds and the writer compares, and the Secret
//! with the events of a retry queue, which memory has.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::{CallError, Done, Kind, Publication, Reconciler};
use crate::api::identity::{InstanceRef, SecretRef};
use crate::observe::span;
use crate::operator::entry::Entry;
use crate::operator::overflow::{ledger_name, ledger_owner};
use crate::operator::session::{Session, version_hash};
use crate::operator::watch::Listing;
use crate::poll::command::Command;

impl Reconciler {
    /// An object was seen. A version that the writer does not know may lack what was written.
    pub(super) fn note_version(&mut self, key: &InstanceRef, version: &str) {
        let version = version_hash(version);
        if self.publication.sessions.version(key).is_some_and(|known| known != version) {
            self.repairs.note(key, version, Instant::now());
        }
    }

    /// A Secret was deleted. If it has the events of an instance that runs here, it is written again.
    pub(super) fn restore_events_of(&mut self, secret: &SecretRef) {
        let owner = ledger_owner(&secret.name).map(|name| InstanceRef::new(Arc::clone(&secret.namespace), name));
        if let Some(instance) = owner.filter(|key| self.instances.get(key).is_some_and(Entry::is_at_work)) {
            self.restore_events(vec![instance]);
        }
    }

    /// Secrets were listed, which shows what the watch missed.
    pub(super) fn restore_missing_events(&mut self, listing: &Listing<SecretRef>) {
        let is_missing = |key: &InstanceRef| {
            let secret = SecretRef::new(Arc::clone(&key.namespace), ledger_name(&key.name));
            listing.lacks(&key.namespace, &secret)
        };
        let at_work = self.instances.iter().filter(|(key, entry)| entry.is_at_work() && is_missing(key));
        let sessions = &self.publication.sessions;
        let kept = at_work.map(|(key, _)| key).filter(|key| sessions.get(key).is_some_and(|session| keeps_events(&session)));
        let keys = kept.cloned().collect();
        self.restore_events(keys);
    }

    fn restore_events(&mut self, keys: Vec<InstanceRef>) {
        let publication = Arc::clone(&self.publication);
        self.work.spawn(async move {
            for key in keys {
                publication.restore_events(&key).instrument(span::reconcile(&key)).await;
            }
            Done::Other
        });
    }

    /// Asks for the reports that are due.
    pub(super) fn repair(&mut self) {
        let sessions = Arc::clone(&self.publication.sessions);
        while let Some(key) = self.repairs.take_due(Instant::now(), |key| sessions.version(key)) {
            self.send(Command::Report(key));
        }
    }
}

/// Whether a Secret has events of the instance. One that is being written is looked at with the next list.
fn keeps_events(session: &Session) -> bool {
    let record = session.record.try_lock();
    record.is_ok_and(|record| record.stored.as_ref().is_some_and(|own| own.overflow.has_events()))
}

impl Publication {
    /// Stores the state of an instance again if the Secret with its events is gone, which someone else deleted.
    async fn restore_events(&self, key: &InstanceRef) {
        let Some(session) = self.sessions.get(key).filter(|session| session.is_running()) else { return };
        let is_gone = {
            // No write is under way while this is held.
            let mut record = session.record.lock().await;
            let Some(own) = record.stored.as_mut().filter(|own| own.overflow.has_events()) else { return };
            let found = self.cluster.get(Kind::Secret, &key.namespace, &ledger_name(&key.name)).await;
            matches!(found, Err(CallError::NotFound)) && own.overflow.forget_events()
        };
        if is_gone {
            tracing::warn!("the Secret with the retry queue was deleted by another writer; it is written again");
            self.send(Command::Restore(key.clone())).await;
        }
    }
}
