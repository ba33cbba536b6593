//! The plans of instances in a folder, for the connect page.

use std::sync::Arc;

use super::FolderInstances;
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::instances::consents::ConsentPlans;
use crate::instances::name_of;
use crate::plan::Oauth2Plan;

impl ConsentPlans for FolderInstances {
    /// As the definitions were last planned, which is what the engine runs.
    fn consent_plan(&self, instance: &ConnectorInstance) -> Option<Arc<Oauth2Plan>> {
        let of = name_of(instance).ok()?;
        self.known.read().get(&of)?.consent.clone()
    }

    /// All instances that name the Secret share its tokens.
    fn sharing(&self, of: &InstanceRef) -> Vec<InstanceRef> {
        let known = self.known.read();
        let Some(own) = known.get(of).and_then(|known| known.consent.as_ref()) else { return Vec::new() };
        let plans = known.iter().filter_map(|(other, known)| Some((other, known.consent.as_ref()?)));
        let sharing = plans.filter(|(other, plan)| other.namespace == of.namespace && plan.secret == own.secret);
        sharing.map(|(other, _)| other.clone()).collect()
    }
}
