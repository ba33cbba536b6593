//! The proxy between the operator and the API server: each fault once, seen from the client's side.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::PATIENCE;
use crate::rig::api_proxy::{ApiProxy, Call, Fault, WatchFault};
use crate::rig::control_plane::api::Api;
use crate::rig::control_plane::{Namespace, Run, shared};

/// Short enough to wait for nothing, long enough for a request that is not held.
const A_MOMENT: Duration = Duration::from_millis(500);

struct Scene {
    ns: Namespace<'static>,
    proxy: ApiProxy<'static>,
    through: Api,
}

fn scene(test: &str) -> Option<Scene> {
    let plane = shared()?;
    let (ns, proxy) = (plane.namespace(test), ApiProxy::start(plane));
    let through = plane.api_at(&proxy.url());
    Some(Scene { ns, proxy, through })
}

impl Scene {
    fn make(&self, name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": self.ns.name()}})
    }

    fn create(&self, name: &str) -> u16 {
        self.through.create(&self.ns.core("configmaps"), &self.make(name)).status
    }

    /// Names in the events of a watch through the proxy, sent as they come.
    fn watch(&self) -> mpsc::Receiver<String> {
        let (sender, events) = mpsc::channel();
        // not those that controllers make
        let path = format!("{}?watch=1&labelSelector=app%3Dit", self.ns.core("configmaps"));
        let through = self.through.clone();
        thread::spawn(move || {
            through.watch(&path, Instant::now() + PATIENCE, |kind, object| {
                let event = format!("{kind} {}", object["metadata"]["name"].as_str().unwrap_or_default());
                sender.send(event).err()
            });
        });
        self.proxy
            .wait("a watch", |calls| calls.iter().any(|call| call.verb == "watch" && call.status.is_some()).then_some(()));
        events
    }

    /// Past the proxy.
    fn create_labelled(&self, name: &str) {
        let object = json!({"metadata": {"name": name, "labels": {"app": "it"}}});
        self.ns.api().create(&self.ns.core("configmaps"), &object).ok();
    }
}

fn is_create(call: &Call) -> bool {
    call.is("create", "configmaps")
}

#[test]
fn what_is_asked_is_counted() {
    let Some(scene) = scene("counts") else { return };
    assert_eq!(scene.create("one"), 201);
    scene.through.get(&scene.ns.core("configmaps/one")).ok();
    scene.through.get(&scene.ns.core("configmaps")).ok();
    assert_eq!(scene.through.get(&scene.ns.core("configmaps/two")).status, 404);
    let (proxy, name) = (&scene.proxy, scene.ns.name());
    assert_eq!(
        (proxy.count("create", "configmaps"), proxy.count("get", "configmaps"), proxy.count("*", "configmaps")),
        (1, 2, 4)
    );
    let calls = proxy.calls();
    assert_eq!((calls[0].namespace.as_str(), calls[0].json()["metadata"]["name"].as_str()), (name, Some("one")));
    assert_eq!((calls[3].name.as_str(), calls[3].status), ("two", Some(404)));
    assert_eq!(calls.iter().filter(|call| call.is_write()).count(), 1);
    assert_eq!(calls[0].content_type, "application/json");

    // other clients pass as well, with their own token
    let kubeconfig = proxy.kubeconfig(&scene.ns.token("nobody"), name);
    let refused = Run::of(scene.ns.plane().kubectl(&kubeconfig).args(["get", "configmaps"]), "");
    assert!(refused.stderr.contains("forbidden"), "{refused:?}");
    let asked = proxy.wait("by kubectl", |calls| calls.iter().find(|call| call.user_agent.contains("kubectl")).cloned());
    assert!(asked.status.is_some());
}

#[test]
fn it_answers_in_the_server_s_stead() {
    let Some(scene) = scene("answers") else { return };
    for status in [429, 500, 503, 504] {
        scene.proxy.script(move |call| is_create(call).then_some(Fault::Answer(status)));
        assert_eq!(scene.create("one"), status);
    }
    scene.proxy.script(|_| Some(Fault::AnswerRetryAfter(429, 7)));
    let reply = scene.through.get(&scene.ns.core("configmaps"));
    assert_eq!((reply.status, reply.reason()), (429, "TooManyRequests"));
    scene.proxy.behave();
    assert_eq!(scene.create("one"), 201, "the server had never heard of it");
}

#[test]
fn connections_end_without_an_answer() {
    let Some(scene) = scene("ends") else { return };
    let path = scene.ns.core("configmaps");
    let create = |name| scene.through.try_send("POST", &path, Some(("application/json", scene.make(name).to_string())));
    scene.proxy.script(|call| is_create(call).then_some(Fault::HangUp));
    assert!(create("unheard").is_err());
    scene.proxy.script(|call| is_create(call).then_some(Fault::LoseAnswer));
    assert!(create("heard").is_err());
    scene.proxy.behave();
    assert_eq!(scene.through.get(&scene.ns.core("configmaps/unheard")).status, 404);
    assert_eq!(scene.through.get(&scene.ns.core("configmaps/heard")).status, 200);
}

#[test]
fn what_is_held_goes_on_when_the_script_changes() {
    let Some(scene) = scene("holds") else { return };
    for (fault, exists) in [(Fault::Hold, false), (Fault::HoldAnswer, true)] {
        let name = if exists { "answer" } else { "request" };
        scene.proxy.script(move |call| is_create(call).then_some(fault));
        thread::scope(|threads| {
            let held = threads.spawn(|| scene.create(name));
            if exists {
                scene.ns.api().wait_for(&scene.ns.core("configmaps/answer"), "it", |map| map.is_object().then_some(()));
            } else {
                scene.proxy.wait("it", |calls| calls.iter().any(is_create).then_some(()));
                assert_eq!(scene.ns.api().get(&scene.ns.core("configmaps/request")).status, 404);
            }
            assert!(!held.is_finished());
            scene.proxy.behave();
            assert_eq!(held.join().unwrap(), 201);
        });
    }
}

#[test]
fn frozen_it_is_silent_and_thawed_it_goes_on() {
    let Some(scene) = scene("frozen") else { return };
    let events = scene.watch();
    scene.create_labelled("before");
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), "ADDED before");
    scene.proxy.freeze();
    thread::scope(|threads| {
        let frozen = threads.spawn(|| scene.create("during"));
        scene.create_labelled("unseen");
        assert!(events.recv_timeout(A_MOMENT).is_err());
        assert!(!frozen.is_finished());
        scene.proxy.thaw();
        assert_eq!(frozen.join().unwrap(), 201);
    });
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), "ADDED unseen");
}

#[test]
fn events_are_dropped_delayed_and_reordered() {
    let Some(scene) = scene("events") else { return };
    let events = scene.watch();
    let next = || events.recv_timeout(PATIENCE).unwrap();
    scene.proxy.watch_script(|_, event| match event.object["metadata"]["name"].as_str() {
        Some("lost") => Some(WatchFault::Drop),
        Some("late") => Some(WatchFault::Hold),
        _ => None,
    });
    for name in ["lost", "late", "early"] {
        scene.create_labelled(name);
    }
    assert_eq!(next(), "ADDED early");
    scene.proxy.behave();
    assert_eq!(next(), "ADDED late");
}

#[test]
fn watches_expire_and_are_cut() {
    let Some(scene) = scene("expire") else { return };
    let ended = |events: &mpsc::Receiver<String>| events.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Disconnected);
    for fault in [WatchFault::Expire, WatchFault::Cut] {
        let events = scene.watch();
        scene.proxy.watch_script(move |_, event| (event.kind == "ADDED").then_some(fault));
        scene.create_labelled(if fault == WatchFault::Cut { "cut" } else { "expired" });
        assert!(ended(&events), "{fault:?}");
        scene.proxy.behave();
    }
}

#[test]
fn a_cut_ends_every_connection_and_welcomes_new_ones() {
    let Some(scene) = scene("cuts") else { return };
    let events = scene.watch();
    scene.create_labelled("seen");
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), "ADDED seen");
    scene.proxy.cut();
    assert_eq!(events.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(scene.create("after"), 201);
}
