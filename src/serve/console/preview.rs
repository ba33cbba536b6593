//! A trial of an instance before it is saved.

use futures::future::BoxFuture;

use crate::api::connector::ConnectorSpec;
use crate::api::instance::ConnectorInstance;
use crate::instances::secret_edits::SecretEdits;

/// Asks a provider once, and delivers and saves nothing.
pub trait Preview: Send + Sync {
    /// What `pollinator try` would print of the instance, on top of the connector that it names.
    fn preview(
        &self,
        instance: ConnectorInstance,
        connector: Option<ConnectorSpec>,
        secrets: SecretEdits,
    ) -> BoxFuture<'_, Vec<String>>;
}
