//! Writes again what another writer removed of a status: the engine reports what holds, and the writer compares.

use std::sync::Arc;

use tokio::time::Instant;

use super::Reconciler;
use crate::api::identity::InstanceRef;
use crate::operator::session::version_hash;
use crate::poll::command::Command;

impl Reconciler {
    /// An object was seen. A version that the writer does not know may lack what was written.
    pub(super) fn note_version(&mut self, key: &InstanceRef, version: &str) {
        let version = version_hash(version);
        if self.publication.sessions.version(key).is_some_and(|known| known != version) {
            self.repairs.note(key, version, Instant::now());
        }
    }

    /// Asks for the reports that are due.
    pub(super) fn repair(&mut self) {
        let sessions = Arc::clone(&self.publication.sessions);
        while let Some(key) = self.repairs.take_due(Instant::now(), |key| sessions.version(key)) {
            self.send(Command::Report(key));
        }
    }
}
