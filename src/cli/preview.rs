//! The preview of the console: what `try` prints, of an instance that is not saved.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::try_out::trial;
use super::try_out::wishes::{AskedBy, Wishes};
use crate::api::connector::ConnectorSpec;
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::auth::oauth2::store::MemoryTokens;
use crate::egress::Egress;
use crate::instances::secret_edits::SecretEdits;
use crate::local::definitions::Definitions;
use crate::observe::output;
use crate::serve::console::preview::Preview;

/// How long a trial may take.
const LONGEST: Duration = Duration::from_mins(1);
/// Trials at once.
const MOST: usize = 2;

/// Tries instances as `pollinator try` does.
pub struct Trials {
    egress: Egress,
    turns: Semaphore,
}

impl Trials {
    /// With these clients.
    pub fn new(egress: Egress) -> Self {
        Self { egress, turns: Semaphore::new(MOST) }
    }

    async fn try_out(&self, definitions: &Definitions) -> Vec<String> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let wishes = Wishes { asked_by: AskedBy::Console, ..Wishes::default() };
        let trying = trial(definitions, self.egress.clone(), Arc::new(MemoryTokens::default()), wishes);
        let (ended, mut lines) = Box::pin(output::kept(tokio::time::timeout(LONGEST, trying))).await;
        if ended.is_err() {
            lines.push(format!("the trial took more than {} s and was ended", LONGEST.as_secs()));
        }
        lines
    }
}

impl Preview for Trials {
    fn preview(
        &self,
        instance: ConnectorInstance,
        connector: Option<ConnectorSpec>,
        secrets: SecretEdits,
    ) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let text = |part: &Option<String>| part.as_deref().unwrap_or_default().into();
            let metadata = &instance.metadata;
            let of = InstanceRef { namespace: text(&metadata.namespace), name: text(&metadata.name) };
            let values = secrets.each().map(|(name, keys)| {
                let set = keys.iter().filter_map(|(key, value)| Some((key.clone(), value.as_ref()?.clone().into_bytes())));
                (name.to_owned(), set.collect())
            });
            Box::pin(self.try_out(&Definitions::of_one(of, instance, connector, values))).await
        })
    }
}
