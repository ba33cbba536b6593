//! When the provider is asked: after a restart, and where it demanded to be left alone.

use chrono::TimeDelta;

use crate::rig::control_plane::shared;
use crate::rig::http::Answer;
use crate::rig::manifest::Instance;
use crate::rig::operator::Cluster;
use crate::rig::pollinator::Site;
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;
use crate::rig::scene::Scene;

/// The answer to all that follows, until the provider behaves again.
fn demand_an_hour(provider: &Provider) {
    provider.misbehave(|_| Some(Answer::status(429).header("Retry-After", "3600")));
}

/// An instance that polls another provider every five seconds: two of its polls end after whatever else a start begins at once.
fn beside(cluster: &Cluster<'_>, provider: &Provider) -> Instance {
    Instance { name: "beside".to_owned(), base_url: provider.url(), ..cluster.instance() }
}

#[test]
fn a_wait_that_the_provider_demanded_holds_over_a_restart() {
    let scene = Scene::new();
    let mut pollinator = scene.start();
    demand_an_hour(&scene.provider);
    pollinator.wait_for("it", "the wait is noted", |row| row.tells("RateLimited"));
    pollinator.kill9();
    scene.provider.misbehave(|_| None);
    let asked = scene.provider.asked();
    let mut pollinator = scene.site.start();
    let row = pollinator.wait_for("it", "the wait is known", |row| row.tells("RateLimited"));
    assert_eq!(row.ready, "False", "this process has not polled it yet: {row:?}");
    assert!(pollinator.sigterm().success());
    assert_eq!(scene.provider.asked(), asked, "nothing is asked before the hour is over");
    scene.site.age(TimeDelta::hours(1));
    let pollinator = scene.site.start();
    pollinator.wait_ready("it");
    scene.provider.create("later");
    scene.assert_perfect(&pollinator);
}

/// Three instances share a credential; their connector says that the provider allows two requests a day.
#[test]
fn what_a_connector_says_is_allowed_is_shared_by_all_with_the_credential() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let connector = "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {name: limited, namespace: it}\n\
                     spec: {limits: {requests: [{count: 2, period: 24h}]}}\n";
    let names = ["a", "b", "c"];
    let instance = |name: &&str| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth();
    let instances = names.iter().map(|name| instance(name).earliest().spec("connector: limited").yaml());
    let site = Site::new(&instances.chain([connector.to_owned()]).collect::<Vec<_>>());
    let mut command = site.command();
    command.arg("--once");
    let mut process = site.spawn(command);
    assert_eq!(process.wait().code(), Some(1), "{}", process.stderr());
    let limited = names.iter().filter(|name| process.rows(name).last().is_some_and(|row| row.tells("RateLimited")));
    assert_eq!((limited.count(), provider.asked()), (1, 2), "the third request is not sent");
}

#[test]
fn a_wait_that_the_provider_demanded_holds_for_the_next_owner() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "demanded");
    let mut operator = cluster.begin();
    demand_an_hour(&cluster.provider);
    cluster.ns.wait_condition("it", "ProviderReachable", "False", "RateLimited");
    operator.kill9();
    cluster.provider.misbehave(|_| None);
    let (asked, neighbour) = (cluster.provider.asked(), Provider::start());
    cluster.apply(&beside(&cluster, &neighbour));
    let _operator = cluster.start();
    neighbour.wait_polled(2);
    cluster.ns.wait_condition("it", "Ready", "False", "RateLimited");
    assert_eq!(cluster.provider.asked(), asked);
}

#[test]
fn a_restart_polls_what_is_overdue_or_edited_and_nothing_else() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "overdue");
    // so long that its next due time is not during this test
    cluster.apply(&cluster.instance().and_resource("interval: 24h"));
    let mut operator = cluster.start();
    cluster.wait_ready("it");
    assert!(operator.sigterm().success());
    let (asked, neighbour) = (cluster.provider.asked(), Provider::start());
    cluster.apply(&beside(&cluster, &neighbour));
    let mut operator = cluster.start();
    neighbour.wait_polled(2);
    assert_eq!(cluster.provider.asked(), asked, "it was polled a moment ago");
    assert!(operator.sigterm().success());

    cluster.apply(&cluster.instance().and_resource("interval: 23h"));
    cluster.provider.create("meanwhile");
    let operator = cluster.start();
    cluster.assert_perfect(&operator);
}
