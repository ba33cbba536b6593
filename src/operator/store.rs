//! State in the API server, as the engine sees it.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::session::Sessions;
use super::state_error::StateError;
use super::writer::Writer;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::state::{InstanceState, StateStore};

/// Loads what the reconciler has read before, and stores through the one writer.
pub struct ClusterStore {
    sessions: Arc<Sessions>,
    writer: Arc<Writer>,
}

impl ClusterStore {
    /// A store that writes through `writer`.
    pub fn new(writer: Arc<Writer>) -> Self {
        Self { sessions: Arc::clone(writer.sessions()), writer }
    }
}

impl StateStore for ClusterStore {
    fn load(&self, instance: &InstanceRef) -> Result<Option<InstanceState>, Problem> {
        let state = self.sessions.take_state(instance).ok_or_else(|| StateError::Unread.problem())?;
        Ok(Some(*state))
    }

    fn save<'a>(&'a self, instance: &'a InstanceRef, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            let session = self.sessions.get(instance);
            let session = session.filter(|session| *session.id.uid == *state.uid);
            let stored = match session {
                Some(session) => self.writer.commit(&session, Some(&state)).await,
                None => Err(StateError::Replaced),
            };
            stored.map_err(|error| error.problem())
        })
    }

    fn announce(&self, instance: &InstanceRef, reason: &'static str, text: String) {
        if let Some(session) = self.sessions.get(instance) {
            self.writer.announce(&session, reason, text);
        }
    }

    fn release(&self, instance: &InstanceRef) {
        self.sessions.release(instance);
    }
}
