//! State in the API server, as the engine sees it.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::session::Sessions;
use super::writer::Writer;
use crate::api::conditions::{Problem, Reason};
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
        let state = self.sessions.take_state(instance);
        match state {
            Some(state) => Ok(Some(*state)),
            None => Err(Problem::transient(Reason::StateUnavailable, "the state of this instance has not been read yet")),
        }
    }

    fn save<'a>(&'a self, instance: &'a InstanceRef, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            let session = self.sessions.get(instance);
            let Some(session) = session.filter(|session| *session.id.uid == *state.uid) else {
                return Err(Problem::transient(
                    Reason::StateUnavailable,
                    "this ConnectorInstance was deleted or is taken over",
                ));
            };
            self.writer.commit(&session, Some(&state)).await
        })
    }

    fn release(&self, instance: &InstanceRef) {
        self.sessions.release(instance);
    }
}
