//! Known sets in a store outside the cluster.

use std::env;
use std::process::Command;
use std::time::Instant;

use pollinator::state::blob::{BlobStore as _, PutError, Tag};
use pollinator::state::external_store::{ExternalStore, StoreError};
use serde_json::json;

use super::kept::by_content;
use crate::rig::PATIENCE;
use crate::rig::bucket::{BucketServer, PROTOCOLS, Protocol, files};
use crate::rig::control_plane::{shared, shared_with_controllers};
use crate::rig::operator::{Cluster, metric};
use crate::rig::pollinator::{Pollinator, binary};
use crate::rig::scene::ids;

/// How often a test's operator collects: as often as it may list.
const RELIST: [&str; 2] = ["--relist-interval", "10s"];

fn uid(cluster: &Cluster<'_>) -> String {
    cluster.ns.get_instance("it")["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// `pollinator state move` in the cluster: how it ended, and what it said.
fn relocate(cluster: &Cluster<'_>, environment: &[(&str, String)], from: &str, to: &str) -> (Option<i32>, String) {
    let mut command = binary();
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.args(["state", "move", "--from", from, "--to", to, "--namespace", cluster.ns.name()]);
    command.args(["--lease-namespace", cluster.ns.name(), "--kubeconfig"]).arg(cluster.ns.kubeconfig());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Where the status says that the known set is.
fn place(cluster: &Cluster<'_>) -> String {
    let instance = cluster.ns.get_instance("it");
    instance["status"]["resources"][0]["cursor"]["blobs"].as_str().unwrap_or_default().to_owned()
}

fn stop(mut operator: Pollinator) {
    assert!(operator.sigterm().success());
}

#[test]
fn sets_move_to_a_folder_and_back_and_go_with_their_instance() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "folder-store");
    let folder = cluster.folder().join("store");
    let url = format!("file://{}", folder.display());
    cluster.provider.baseline(ids("old", 3000));
    cluster.apply(&by_content(&cluster));
    let operator = cluster.start();
    cluster.wait_ready("it");
    assert!(cluster.owned("configmaps").len() > 1);

    // not while one runs
    let (code, said) = relocate(&cluster, &[], "configmaps", &url);
    assert!(code == Some(2) && said.contains("an operator is running"), "{said}");
    assert!(!place(&cluster).starts_with("store:") && files(&folder).is_empty());
    stop(operator);
    let (code, said) = relocate(&cluster, &[], "configmaps", &url);
    assert!(code == Some(0) && said.contains("/it: moved: 3000 known record(s)"), "{said}");
    let moved_to = place(&cluster);
    assert!(moved_to.starts_with("store:") && cluster.owned("configmaps").is_empty());
    let (code, said) = relocate(&cluster, &[], "configmaps", &url);
    assert!(code == Some(0) && said.contains("0 of 1 instance(s)"), "{said}");

    // without the store it is refused and nothing is asked; with it nothing is told again
    let asked = cluster.provider.asked();
    let operator = cluster.start();
    let message = cluster.ns.wait_condition("it", "Ready", "False", "StateUnavailable");
    assert!(message.contains("--state-store") && message.contains("pollinator state move"), "{message}");
    assert_eq!(cluster.provider.asked(), asked);
    stop(operator);
    let operator = cluster.start_with(&["--state-store", &url, RELIST[0], RELIST[1]]);
    cluster.provider.update("old-00007");
    cluster.assert_stays_perfect(&operator);
    cluster.wait_status("/delivered", &json!(1));
    assert_ne!(place(&cluster), moved_to);
    stop(operator);

    let (code, said) = relocate(&cluster, &[], &url, "configmaps");
    assert_eq!(code, Some(0), "{said}");
    assert!(cluster.owned("configmaps").len() > 1 && files(&folder.join("instances")).is_empty());
    // an operator with a store takes them there by itself
    let operator = cluster.start_with(&["--state-store", &url, RELIST[0], RELIST[1]]);
    cluster.provider.update("old-00008");
    cluster.assert_stays_perfect(&operator);
    cluster.wait_status("/delivered", &json!(2));
    assert!(place(&cluster).starts_with("store:") && cluster.owned("configmaps").is_empty());

    // what is kept of an instance goes once it is deleted, and nothing else
    let uid = uid(&cluster);
    let stranger = folder.join("clusters/another/crm");
    std::fs::create_dir_all(&stranger).unwrap();
    std::fs::write(stranger.join(&uid), "it").unwrap();
    assert!(!files(&folder.join("instances").join(&uid)).is_empty());
    cluster.ns.kubectl(&["delete", "coni", "it"]).ok();
    operator.wait_stderr("was removed from the state store");
    assert!(files(&folder.join("instances").join(&uid)).is_empty());
    assert!(stranger.join(&uid).exists());
}

/// Set in the process that [`assert_store`] starts: what it finds out, and the store.
const INNER: &str = "POLLINATOR_STORE_INNER";
const CONTRACT: &str = "operator::stores::buckets_of_every_cloud_keep_to_the_contract_of_a_store";

/// Looks at a store as a process with this environment finds it.
fn assert_store(environment: Vec<(&str, String)>, what: &str, store: &str) {
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", "--nocapture", CONTRACT]).envs(environment).env(INNER, format!("{what} {store}"));
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(&format!("{what} {store}: as it should be")), "{what} {store}: {said}");
}

async fn look_at(what: &str, url: &str) {
    let store = ExternalStore::open(&url.parse().unwrap(), "it").unwrap();
    let seen = |result: Result<Tag, PutError<StoreError>>| result.map(drop);
    match what {
        // What is read of a container of Azure that anyone may list is no secret.
        "stranger" => {
            assert!(matches!(seen(store.put("a", b"1", None).await), Err(PutError::Failed(StoreError::Denied))));
        }
        "absent" => {
            assert!(matches!(seen(store.put("a", b"1", None).await), Err(PutError::Failed(StoreError::NoBucket))));
        }
        _ => assert_contract(&store).await,
    }
    println!("{what} {url}: as it should be");
}

/// What the product relies on, of any cloud.
async fn assert_contract(store: &ExternalStore) {
    let conflicts = |result: Result<Tag, PutError<StoreError>>| matches!(result, Err(PutError::Conflict));
    let (name, large) = ("instances/u-1/s/0", vec![7; 300_000]);
    assert_eq!(store.get(name).await.unwrap(), None);
    let first = store.put(name, b"1", None).await.unwrap();
    assert!(conflicts(store.put(name, b"2", None).await), "created twice");
    let second = store.put(name, &large, Some(&first)).await.unwrap();
    assert!(conflicts(store.put(name, b"3", Some(&first)).await), "over another than was seen");
    let there = store.get(name).await.unwrap().unwrap();
    assert_eq!((there.bytes == large, &there.tag), (true, &second), "what was written is what is read");
    store.put(name, b"4", Some(&there.tag)).await.unwrap();
    let there = store.get(name).await.unwrap().unwrap();

    // of eight at once one wins
    let writers = (0..8_u8).map(|writer| {
        let (store, tag) = (store.clone(), there.tag.clone());
        async move { store.put(name, &[writer], Some(&tag)).await.map(|_| writer) }
    });
    let ended = futures::future::join_all(writers).await;
    let won: Vec<_> = ended.iter().filter_map(|one| one.as_ref().ok().copied()).collect();
    assert_eq!(won.len(), 1, "{ended:?}");
    assert!(ended.iter().all(|one| matches!(one, Ok(_) | Err(PutError::Conflict))), "{ended:?}");
    let last = store.get(name).await.unwrap().unwrap();
    assert_eq!(last.bytes, won);

    store.put("instances/u-1/s/1", b"1", None).await.unwrap();
    store.put("instances/u-10/s/0", b"1", None).await.unwrap();
    let mut names = store.names_under("instances/u-1/").await.unwrap();
    names.sort();
    assert_eq!(names, [name, "instances/u-1/s/1"]);
    store.delete(name).await.unwrap();
    store.delete(name).await.unwrap();
    assert!(conflicts(store.put(name, b"5", Some(&last.tag)).await), "over one that is gone");
    assert_eq!(store.get(name).await.unwrap(), None);
    store.put(name, b"6", None).await.unwrap();
}

#[test]
fn buckets_of_every_cloud_keep_to_the_contract_of_a_store() {
    if let Ok(inner) = env::var(INNER) {
        let (what, store) = inner.split_once(' ').unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(look_at(what, store));
    }
    for protocol in PROTOCOLS {
        let Some(server) = BucketServer::start(protocol) else { continue };
        assert_store(server.environment(), "contract", &protocol.store("a/folder"));
        assert_store(server.environment(), "contract", &protocol.store(""));
        assert_store(server.environment_of_a_stranger(), "stranger", &protocol.store(""));
        assert_store(server.environment(), "absent", &protocol.store("").replace("state", "absent"));
    }
}

#[test]
fn a_bucket_of_s3_whose_server_dies_in_the_middle_loses_nothing() {
    a_server_dies_in_the_middle(Protocol::S3);
}

#[test]
fn a_bucket_of_google_whose_server_dies_in_the_middle_loses_nothing() {
    a_server_dies_in_the_middle(Protocol::Google);
}

#[test]
fn a_container_of_azure_whose_server_restarts_in_the_middle_loses_nothing() {
    a_server_dies_in_the_middle(Protocol::Azure);
}

fn a_server_dies_in_the_middle(protocol: Protocol) {
    let Some(plane) = shared() else { return };
    let Some(mut server) = BucketServer::start(protocol) else { return };
    let cluster = Cluster::new(plane, "bucket");
    let environment = server.environment();
    let store = protocol.store("pollinator/test");
    let arguments = ["--state-store", &store, RELIST[0], RELIST[1]];
    cluster.provider.baseline(ids("old", 3000));
    cluster.apply(&by_content(&cluster));
    let mut operator = cluster.start_in(&environment, &arguments);
    cluster.wait_ready("it");
    let objects = format!("pollinator/test/instances/{}", uid(&cluster));
    assert!(server.objects(&objects).len() > 1 && cluster.owned("configmaps").is_empty());
    assert!(place(&cluster).starts_with("store:"));

    // The server dies and comes back while records change, and so does the operator.
    for round in 0..3 {
        for number in 0..10 {
            cluster.provider.update(&format!("old-{:05}", 100 * round + number));
        }
        cluster.provider.create(&format!("new-{round}"));
        server.kill();
        cluster.provider.update(&format!("old-{:05}", 100 * round + 50));
        if round == 1 {
            operator.kill9();
        }
        server.revive();
        if round == 1 {
            operator = cluster.start_in(&environment, &arguments);
        }
        // It is polled again once all before it is stored.
        let back = format!("back-{round}");
        cluster.provider.create(&back);
        let came = cluster.receiver.try_wait("it", PATIENCE, |posts| {
            posts.iter().flat_map(|post| post.events()).any(|event| event.object == back).then_some(())
        });
        assert!(came.is_some(), "{}", operator.report("it"));
    }
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict:?}\n{}", operator.report("it"));
    // what is kept of an instance goes once it is deleted
    cluster.ns.api().delete(&cluster.ns.instance("it")).ok();
    operator.wait_stderr("was removed from the state store");
    assert_eq!(server.objects(&objects), Vec::<String>::new());
}

#[test]
fn two_operators_that_write_one_set_in_a_bucket_of_s3_lose_nothing() {
    two_operators_write_one_set(Protocol::S3);
}

#[test]
fn two_operators_that_write_one_set_in_a_bucket_of_google_lose_nothing() {
    two_operators_write_one_set(Protocol::Google);
}

#[test]
fn two_operators_that_write_one_set_in_a_container_of_azure_lose_nothing() {
    two_operators_write_one_set(Protocol::Azure);
}

/// Two that do not know of each other, as no replicas of one operator are: what one stores, the other finds changed.
fn two_operators_write_one_set(protocol: Protocol) {
    let Some(plane) = shared() else { return };
    let Some(server) = BucketServer::start(protocol) else { return };
    let cluster = Cluster::new(plane, "bucket-race");
    let (environment, store) = (server.environment(), protocol.store(""));
    let start = |group| cluster.start_in(&environment, &["--state-store", &store, "--lease-group", group]);
    cluster.provider.baseline(ids("old", 3000));
    cluster.apply(&by_content(&cluster));
    let first = start("one");
    cluster.wait_ready("it");
    let second = start("two");
    second.wait_stderr("range owned");
    let conflicts = || {
        let of = |operator: &Pollinator| metric(operator, "pollinator_commits_total{outcome=\"conflict\"}");
        of(&first) + of(&second)
    };
    // until one of them has met what the other had stored
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    while number < 6 || conflicts() < 1.0 {
        assert!(Instant::now() < deadline, "no conflict in {number} rounds\n{}\n{}", first.report("it"), second.report("it"));
        cluster.provider.update(&format!("old-{number:05}"));
        cluster.provider.wait_polled(1);
        number += 1;
    }
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict:?}\n{}\n{}", first.report("it"), second.report("it"));
    // One that is alone afterwards reads what both have left.
    stop(second);
    stop(first);
    let last = start("three");
    cluster.provider.create("after");
    let verdict = cluster.verdict();
    assert!(verdict.is_sound(), "{verdict:?}\n{}", last.report("it"));
}
