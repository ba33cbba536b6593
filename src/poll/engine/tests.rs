//! When what is put runs first.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::*;
use crate::auth::SecretMap;
use crate::egress::{Egress, EgressPolicy};
use crate::observe::Metrics;
use crate::plan::{AuthPlan, Oauth2Plan, PollPlan, RefreshPlan, sample};
use crate::poll::claim::Claim;
use crate::state::directory::Directory;

fn engine(folder: &std::path::Path) -> Engine {
    let store = Arc::new(Directory::open(folder).unwrap());
    let egress = Egress::new(EgressPolicy::default()).unwrap();
    let secrets = Arc::new(SecretMap::default());
    let context = EngineContext::new(egress, Metrics::new(), secrets, Arc::clone(&store) as _, store);
    Engine::new(context, Run::Forever, mpsc::unbounded_channel().0)
}

/// When an instance's first resource runs next, and for what, after it was put at `now`.
fn put(engine: &mut Engine, plan: &Arc<PollPlan>, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Job)> {
    let plan = Arc::clone(plan);
    engine.apply_commands(vec![Command::Put { plan, annotations: BTreeMap::new(), claim: Claim::for_ever() }], now);
    let Kind::Running(running) = &engine.instances.values().next().unwrap().kind else { panic!("it runs") };
    running.schedules[0].due()
}

/// Otherwise processes that live for less than the time between two looks would let the provider forget the credentials.
#[tokio::test]
async fn a_suspended_instance_looks_after_its_credentials_as_soon_as_it_is_put() {
    let idle_ttl = Some(Duration::from_hours(2_160));
    let refresh = RefreshPlan { idle_ttl, ..sample::oauth2().refresh };
    let auth = AuthPlan::Oauth2(Arc::new(Oauth2Plan { refresh, ..sample::oauth2() }));
    let resource = ResourcePlan { auth: Arc::new(auth), ..sample::resource() };
    let plan = Arc::new(PollPlan { suspended: true, ..sample::instance(resource) });
    let now = Utc::now();
    let folder = tempfile::tempdir().unwrap();
    for restart in 0..3 {
        let at = now + TimeDelta::hours(restart);
        assert_eq!(put(&mut engine(folder.path()), &plan, at), Some((at, Job::KeepAlive)));
    }
    let polled = Arc::new(PollPlan { suspended: false, ..(*plan).clone() });
    let mut engine = engine(folder.path());
    assert_eq!(put(&mut engine, &polled, now).map(|(_, job)| job), Some(Job::Poll));
    let later = now + TimeDelta::seconds(1);
    assert_eq!(put(&mut engine, &plan, later), Some((later, Job::KeepAlive)), "a changed plan, too");
}
