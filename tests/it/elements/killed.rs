//! `kill -9` between a request that creates or deletes an instance and its answer: after the next start the instance is there as a whole, or
//! nothing of it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Api, Scene};
use crate::rig::PATIENCE;
use crate::rig::client::exchange;
use crate::rig::traffic::Dice;

const NAME: &str = "api-instance-with-polling";
const KILLS: u64 = 20;
/// Within this a request has usually been answered, in microseconds.
const ANSWERED: u64 = 40_000;

/// Names of the files of a folder that end so, without the ending.
fn files(folder: &Path, ending: &str) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect()
}

/// A state belongs to a manifest, and nothing half-done is left.
fn assert_whole(scene: &Scene, api: &Api, when: &str) {
    let (manifests, state) = (files(&scene.site.manifests(), ".yaml"), scene.site.state());
    let states: BTreeSet<_> = files(&state, ".json").into_iter().filter(|name| name.starts_with("default.")).collect();
    assert!(states.is_subset(&manifests), "{when}: {states:?} of {manifests:?}\n{}", api.local.stderr());
    let left: Vec<_> = [".deleted", ".new"].iter().flat_map(|ending| files(&state, ending)).collect();
    assert!(left.is_empty(), "{when}: {left:?}\n{}", api.local.stderr());
}

/// Sends a request whose answer nobody waits for.
fn send(api: &Api, method: &'static str, path: &str, body: Option<String>) -> thread::JoinHandle<()> {
    let (url, authorization) = (format!("{}{path}", api.base), api.authorization.clone());
    thread::spawn(move || {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let _ = exchange(method, &url, &headers, body);
    })
}

/// A pipe that no one reads: who writes a file there stands still.
fn pipe(path: PathBuf) -> PathBuf {
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    path
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < deadline, "{}", path.display());
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_kill_between_a_state_and_its_manifest_leaves_no_state() {
    let scene = Scene::new();
    let mut api = scene.start();
    let stop = pipe(scene.site.manifests().join(format!("default.{NAME}.yaml.new")));
    let request = send(&api, "POST", "/instances", Some(scene.page().to_string()));
    wait_for(&scene.site.state().join(format!("default.{NAME}.json")));
    api.local.kill9();
    request.join().unwrap();
    std::fs::remove_file(stop).unwrap();

    let mut api = scene.start();
    assert_eq!(api.must("GET", "/instances", None), json!([]));
    assert_whole(&scene, &api, "after a creation");
    assert_eq!(files(&scene.site.state(), ".json"), BTreeSet::new());

    // and a deletion that was only noted is none
    let created = api.must("POST", "/instances", Some(&scene.page()));
    api.local.wait_ready(NAME);
    let stop = pipe(scene.site.state().join(format!("default.{NAME}.deleted.new")));
    let (polled, path) = (scene.provider.asked(), format!("/instances/{}", created["id"]));
    let request = send(&api, "DELETE", &path, None);
    // it does not hold up what is polled
    assert!(scene.provider.try_wait_asked(polled + 1, PATIENCE), "{}", api.local.report(NAME));
    api.local.kill9();
    request.join().unwrap();
    std::fs::remove_file(stop).unwrap();
    let api = scene.start();
    assert_eq!(api.must("GET", "/instances", None)[0]["id"], created["id"]);
    assert_whole(&scene, &api, "after a deletion");
}

#[test]
fn kills_at_random_moments_leave_instances_or_nothing() {
    let seed: u64 = std::env::var("POLLINATOR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let (scene, mut dice) = (Scene::new(), Dice::new(seed));
    for kill in 0..KILLS {
        let mut api = scene.start();
        assert_whole(&scene, &api, &format!("seed {seed}, kill {kill}"));
        let there = api.must("GET", "/instances", None);
        let first = there.as_array().and_then(|there| there.first()).map(|one| one["id"].clone());
        let request = match first {
            Some(id) if dice.below(2) == 0 => send(&api, "DELETE", &format!("/instances/{id}"), None),
            _ => {
                let mut body = scene.page();
                body["name"] = format!("one {}", dice.below(3)).into();
                send(&api, "POST", "/instances", Some(body.to_string()))
            }
        };
        thread::park_timeout(Duration::from_micros(dice.below(ANSWERED)));
        api.local.kill9();
        request.join().unwrap();
    }
    let api = scene.start();
    assert_whole(&scene, &api, &format!("seed {seed}, at last"));
}
