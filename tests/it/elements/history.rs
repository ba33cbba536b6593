//! What happened lately, and what is done about events that the callback did not take.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Scene;
use crate::rig::PATIENCE;
use crate::rig::receiver::Post;

const NAME: &str = "api-instance-with-polling";

/// An event of the state that waits for a person.
fn parked(object: u64, id: &str) -> Value {
    json!({
        "object": object, "attempts": 5, "refusals": 5,
        "event": {
            "id": format!("event-of-{id}"), "kind": "updated", "resource": "appointments", "objectId": id,
            "detectedAt": "2026-11-24T10:00:00Z", "data": {"id": id, "note": "a-record-that-is-not-shown"},
        },
    })
}

/// The id of the one event in a request. Without a signature it is in the body alone.
fn event_id(post: &Post) -> String {
    let sent: Value = serde_json::from_slice(&post.ask.body).expect("JSON");
    sent["message"]["raw"]["eventId"].as_str().expect("an id").to_owned()
}

/// Asks until the answer is as it should be.
fn wait(what: &str, mut look: impl FnMut() -> Result<(), Value>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(last) = look() {
        assert!(Instant::now() < deadline, "{what}: {last}");
        thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn polls_and_deliveries_are_shown_and_parked_events_sent_again_or_dropped() {
    let scene = Scene::new();
    let mut api = scene.start();
    let created = api.must("POST", "/instances", Some(&scene.page()));
    let path = format!("/instances/{}", created["id"]);
    api.local.wait_ready(NAME);
    scene.provider.create("first");
    let posts = scene.receiver.try_wait_count(NAME, PATIENCE, 1).unwrap_or_else(|| panic!("{}", api.local.report(NAME)));
    let id = event_id(&posts[0]);

    // the entry is written once the answer was read
    let events = || api.must("GET", &format!("{path}/events"), None);
    wait("the event is listed", || if events()[0]["id"] == *id { Ok(()) } else { Err(events()) });
    let listed = events();
    let event = &listed[0];
    assert_eq!((&event["status"], &event["notifiedData"][0]["attempt"]), (&json!("NOTIFIED"), &json!(1)), "{event}");
    let data: Value = serde_json::from_str(event["providerData"].as_str().expect("text")).expect("JSON");
    assert_eq!(data, json!({"objectType": "appointments", "objectId": "first", "eventType": "CREATED"}));
    assert_eq!(api.must("GET", &format!("{path}/events/{id}"), None), *event);
    api.refused(404, "GET", &format!("{path}/events/none"), None);
    api.refused(400, "GET", &format!("{path}/events?pageSize=none"), None);
    let own = format!("{}, Element {}", api.authorization, created["token"].as_str().expect("a token"));
    assert_eq!(api.ask_as(&own, "GET", "/instances/events?pageSize=1", None).status, 200);
    let records = api.must("GET", "/instances/event-poller-records", None);
    let record = &records[0];
    assert_eq!((&record["objectName"], &record["instanceId"]), (&json!("appointments"), &created["id"]), "{records}");
    assert!(record["lastPoll"]["pages"].is_u64() && record["lastPoll"]["reason"].is_null(), "{record}");
    let delivered = api.must("GET", "/notifications/subscriptions/deliveries?where=status%3D%27delivered%27", None);
    assert_eq!((&delivered[0]["notificationId"], &delivered[0]["status"]), (&json!(id), &json!("delivered")));

    // three events that the callback refused before
    assert!(api.local.sigterm().success());
    let ledger = [parked(1, "one"), parked(2, "two"), parked(3, "three")];
    scene.site.edit_state(r"^\{", &format!("{{\"ledger\":{},", json!(ledger)));
    let mut api = scene.start();
    let queued = || {
        let listed =
            api.must("GET", &format!("{path}/deliveries?where=channel%3D%27webhook%27+and+status%3D%27queued%27"), None);
        assert!(!listed.to_string().contains("a-record-that-is-not-shown"), "{listed}");
        let events = listed.as_array().expect("a list").iter().map(|one| one["notification"]["objectId"].clone());
        events.map(|id| id.as_str().expect("an id").to_owned()).collect::<BTreeSet<_>>()
    };
    let is_queued = |wanted: &[&str]| {
        let (left, wanted) = (queued(), wanted.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
        if left == wanted { Ok(()) } else { Err(json!(left)) }
    };
    is_queued(&["one", "two", "three"]).expect("all three wait");
    api.refused(404, "PUT", &format!("{path}/deliveries/event-of-none"), None);
    let again = api.must("PUT", &format!("{path}/deliveries/event-of-one"), None);
    assert_eq!((&again["status"], &again["notification"]["attempts"]), (&json!("queued"), &json!(5)), "{again}");
    wait("one is sent, and no other", || is_queued(&["two", "three"]));
    api.must("DELETE", &format!("{path}/deliveries/event-of-two"), None);
    wait("two is dropped", || is_queued(&["three"]));
    api.refused(400, "PUT", "/notifications/subscriptions/deliveries?where=status%3D%27retry%27", None);
    let all = api.must("PUT", "/notifications/subscriptions/deliveries?where=status%3D%27queued%27", None);
    assert_eq!((all.as_array().map(Vec::len), &all[0]["notificationId"]), (Some(1), &json!("event-of-three")), "{all}");
    wait("three is sent", || is_queued(&[]));
    let posts = scene.receiver.try_wait_count(NAME, PATIENCE, 3).expect("two more");
    let ids: Vec<_> = posts[1..].iter().map(event_id).collect();
    assert_eq!(ids, ["event-of-one", "event-of-three"], "each once, with the id that it had");
    assert_eq!(api.must("PUT", "/notifications/subscriptions/deliveries", None), json!([]));
    // dropped for good: what is stored has it no more
    assert!(api.local.sigterm().success());
    let api = scene.start();
    assert_eq!(api.must("GET", &format!("{path}/deliveries?where=status%3D%27queued%27"), None), json!([]));
}
