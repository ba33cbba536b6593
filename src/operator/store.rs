//! State in the API server, as the engine sees it.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::session::Sessions;
use super::writer::Writer;
use crate::api::conditions::{Problem, Reason};
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
    fn load(&self, namespace: &str, name: &str) -> Result<Option<InstanceState>, Problem> {
        let state = self.sessions.take_state(&(namespace.to_owned(), name.to_owned()));
        match state {
            Some(state) => Ok(Some(*state)),
            None => Err(Problem::transient(Reason::StateUnavailable, "the state of this instance has not been read yet")),
        }
    }

    fn save<'a>(&'a self, namespace: &'a str, name: &'a str, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            let session = self.sessions.get(&(namespace.to_owned(), name.to_owned()));
            let Some(session) = session.filter(|session| session.uid == state.uid) else {
                return Err(Problem::transient(
                    Reason::StateUnavailable,
                    "this ConnectorInstance was deleted or is taken over",
                ));
            };
            self.writer.commit(&session, Some(&state)).await
        })
    }

    fn release(&self, namespace: &str, name: &str) {
        self.sessions.release(&(namespace.to_owned(), name.to_owned()));
    }
}
