//! The button of a console without instances: it creates a sample instance, whose provider and receiver this process has.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures::future::BoxFuture;

use super::page::Refused;
use super::refusal::Refusal;
use super::visit::Form;
use super::{Console, instance, to};
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::instances::secret_edits::SecretEdits;

/// An instance for people who look around.
pub trait SampleInstance: Send + Sync {
    /// Starts what it polls and what it delivers to, once, and says how it is declared.
    ///
    /// # Errors
    /// What could not be started and why, in words for a user.
    fn start(&self) -> BoxFuture<'_, Result<(ConnectorInstance, SecretEdits), String>>;
}

/// Creates the sample instance. Anyone who asks twice is shown the one that is there.
pub async fn create(State(console): State<Arc<Console>>, form: Form) -> Result<Response, Refused> {
    let Some(sample) = &console.sample else { return Err(Refusal::NotFound.into()) };
    let (session, user, client) = (&form.visit.session.label, &form.visit.session.user, form.visit.client);
    let (declared, secrets) = sample.start().await.map_err(Refusal::NoSample)?;
    let name = declared.metadata.name.clone().unwrap_or_default();
    let created = form.visit.instances.create(declared, secrets).await;
    match created {
        Ok(created) => {
            let namespace = created.instance.metadata.namespace.unwrap_or_default();
            tracing::info!(namespace, instance = name, action = "create", session, user, %client, "console: a change was made");
            Ok(to(&format!("{}?done=sample", instance::href(&InstanceRef::new(namespace, name)))))
        }
        Err(error) => {
            tracing::warn!(instance = name, action = "create", session, user, %client, "console: no change: {error}");
            Err(error.into())
        }
    }
}
