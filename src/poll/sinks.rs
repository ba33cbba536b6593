//! The sinks of a job: opened before anything is asked, and what they want afterwards.

use std::sync::Arc;

use chrono::Utc;

use super::context::EngineContext;
use super::instance::Instance;
use super::report::{Outcome, Wakes};
use crate::auth::access::Access;
use crate::deliver::health::Admission;
use crate::deliver::outbox::{Outbox, Outlet};
use crate::deliver::sink::CALLBACK;
use crate::deliver::sink::http::HttpSink;
use crate::deliver::sink::http::format::Envelope;
use crate::deliver::sink::http::request::PreparedCallback;
use crate::plan::ResourcePlan;
use crate::state::live::LiveState;

/// The outbox with the sinks of the plan, or how the job ends when nothing may be sent: then nothing is asked either.
pub(super) async fn open_outbox<'a>(
    core: &'a EngineContext,
    instance: &'a Arc<Instance>,
    resource: &'a ResourcePlan,
    identity: &'a str,
) -> Result<Outbox<'a, LiveState>, Outcome> {
    let plan = &instance.plan;
    let callback = PreparedCallback::prepare(Arc::clone(&plan.callback), &plan.instance.namespace, &*core.secrets);
    let callback = callback.map_err(Outcome::CallbackUnusable)?;
    match instance.state().sinks.health(&CALLBACK).admission(callback.fingerprint(), Utc::now()) {
        Admission::Gone => return Err(Outcome::CallbackGone),
        Admission::ClosedUntil(_) => return Err(Outcome::CallbackClosed),
        Admission::Open | Admission::Probe => {}
    }
    let access = Access::prepare(instance.requester(core), "spec.callback.auth", &plan.callback.auth).await;
    let access = access.and_then(|access| access.with_tls(plan.callback.tls.as_deref()));
    let access = access.map_err(Outcome::CallbackUnusable)?;
    let envelope = Envelope::of(plan, identity, core.cluster.as_deref());
    let sink = HttpSink::new(callback, access, &plan.instance, envelope, &core.egress, &core.metrics);
    let Instance { in_flight, probe, .. } = &**instance;
    let outlets = vec![Outlet { sink: Box::new(sink), in_flight, probe, turns: &core.deliveries }];
    let outbox = Outbox::new(&instance.live, &plan.instance, &resource.name, outlets, &core.metrics, &instance.stop);
    Ok(outbox.with_journal(&core.journal))
}

/// When the resource wants to run again, earlier than its interval says.
pub(super) fn wakes(instance: &Instance, resource: &ResourcePlan) -> Wakes {
    let (sinks, now) = ([(&CALLBACK, instance.plan.callback.fingerprint())], Utc::now());
    let mut state = instance.state();
    // What a list lacks waits with it, and what is queued with the resource.
    let failing = state.lists_of(&resource.name).filter(|(_, own)| !own.failing.is_empty());
    let lists: Vec<_> = failing.map(|(name, _)| name.clone()).collect();
    let names = lists.iter().map(String::as_str).chain([&*resource.name]);
    let poll = names.filter_map(|name| state.delivery(name).poll_wake(sinks, now)).min();
    Wakes { poll, queue: state.delivery(&resource.name).queue_wake(&resource.name, sinks, now) }
}
