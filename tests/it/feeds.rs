//! Lists of events about objects, and lists that are paged by the id of the last record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::rig::PATIENCE;
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::pollinator::Site;
use crate::rig::receiver::{Post, Receiver};

/// Events as Stripe lists them: newest first, in pages of three, further ones by `starting_after`, filtered by `created[gte]`; and one
/// member that differs at each look.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    /// Type, object, version and second.
    events: Vec<(&'static str, String, u32, i64)>,
    asks: Vec<Ask>,
    looks: u32,
}

impl Events {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.0.lock().unwrap()
    }

    fn serve(&self) -> Server {
        let own = self.clone();
        Server::start(move |ask| own.answer(ask))
    }

    fn add(&self, of_type: &'static str, object: &str, version: u32) {
        let now = chrono::Utc::now().timestamp();
        self.log().events.push((of_type, object.to_owned(), version, now));
    }

    fn answer(&self, ask: &Ask) -> Answer {
        let mut log = self.log();
        log.asks.push(ask.clone());
        log.looks += 1;
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let from: i64 = query.get("created[gte]").map_or(0, |text| text.parse().unwrap());
        let after = query.get("starting_after").map(|id| id.strip_prefix("evt_").unwrap().parse::<usize>().unwrap());
        let rows: Vec<_> = log.events.iter().enumerate().rev().filter(|(_, (.., at))| *at >= from).collect();
        let rows: Vec<_> = rows.into_iter().filter(|(n, _)| after.is_none_or(|after| *n < after)).collect();
        let page: Vec<_> = rows.iter().take(3).map(|(n, (of_type, object, version, at))| {
            format!(
                r#"{{"id":"evt_{n}","type":"{of_type}","created":{at},"pending":{},"data":{{"object":{{"id":"{object}","version":{version}}}}}}}"#,
                log.looks
            )
        }).collect();
        Answer::json(format!(r#"{{"object":"list","data":[{}],"has_more":{}}}"#, page.join(","), rows.len() > 3))
    }
}

const FEED: &str = "\
url: /v1/events
query: {\"created[gte]\": \"${epoch:s}\"}
recordsPath: data
order: Descending
datesConfiguration: {createdDateField: created, createdDateFormat: seconds}
pagination: {lastId: {parameter: starting_after}}
feed:
  typeField: type
  typeMap: {customer.created: Created, customer.deleted: Deleted, \"customer.source.*\": Ignored, \"customer.*\": Updated}
  objectIdField: data.object.id
  objectField: data.object
";

fn told(receiver: &Receiver) -> Vec<String> {
    receiver.delivered("it").iter().map(|event| format!("{:?} {}", event.kind, event.data)).collect()
}

#[test]
fn events_are_about_objects() {
    let (events, receiver) = (Events::default(), Receiver::start());
    let server = events.serve();
    events.add("customer.created", "old", 1);
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(FEED).yaml()]);
    assert_eq!(polls.poll().ready, "True");
    assert_eq!(told(&receiver), [""; 0]);
    for (of_type, version) in [
        ("customer.created", 1),
        ("customer.updated", 2),
        ("customer.source.created", 0),
        ("invoice.created", 0),
        ("customer.updated", 3),
        ("customer.deleted", 3),
    ] {
        events.add(of_type, "c-1", version);
    }
    let row = polls.poll();
    assert!(row.ready == "True" && !row.tells("MissingId") && !row.tells("UnorderedResource"), "{row:?}");
    let object = |kind: &str, version: u32| format!(r#"{kind} {{"id":"c-1","version":{version}}}"#);
    let expected = [object("Created", 1), object("Updated", 2), object("Updated", 3), object("Deleted", 3)];
    assert_eq!(told(&receiver), expected, "each event, in its order");
    assert!(events.log().asks.iter().any(|ask| ask.target.contains("starting_after=evt_")), "pages follow by id");
    polls.poll();
    assert_eq!(told(&receiver).len(), 4, "an event is sent once, though its bytes differ at each look");
    events.add("customer.created", "c-2", 1);
    polls.poll();
    assert_eq!(told(&receiver).len(), 5);
    let ids: std::collections::BTreeSet<_> = receiver.delivered("it").into_iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), 5, "each event has an id of its own");
}

#[test]
fn a_type_that_is_looked_for_at_the_wrong_path_is_reported() {
    let (events, receiver) = (Events::default(), Receiver::start());
    let server = events.serve();
    let feed = FEED.replace("typeField: type", "typeField: kind");
    assert_ne!(feed, FEED);
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(&feed).yaml()]);
    polls.poll();
    events.add("customer.created", "c-1", 1);
    let row = polls.poll();
    assert!(row.told("MissingId").is_some_and(|message| message.starts_with("feed.typeField: ")), "{row:?}");
    assert_eq!(told(&receiver), [""; 0]);
}

/// The receiver refuses some, the process dies, and events of one object stay in order.
#[test]
fn events_of_an_object_stay_in_order_through_refusals_and_kills() {
    let (events, receiver) = (Events::default(), Receiver::start());
    let server = events.serve();
    let site = Site::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(FEED).yaml()]);
    let mut pollinator = site.start();
    pollinator.wait_ready("it");
    let mut count = 0_u32;
    receiver.answer(move |_| {
        count += 1;
        // One failure only: a second one of the same object would be tried again after minutes.
        Answer::status(if count == 2 { 503 } else { 200 })
    });
    for version in 1..5 {
        for object in ["a", "b", "c"] {
            events.add(if version == 1 { "customer.created" } else { "customer.updated" }, object, version);
        }
    }
    assert!(receiver.try_wait_count("it", PATIENCE, 4).is_some(), "{}", pollinator.report("it"));
    pollinator.kill9();
    pollinator = site.start();
    let last = |posts: &[&Post]| {
        let accepted = posts.iter().filter(|post| post.accepted()).flat_map(|post| post.events());
        let last: BTreeMap<_, _> = accepted.map(|event| (event.object, event.data)).collect();
        (last.len() == 3 && last.values().all(|data| data.contains(r#""version":4"#))).then_some(())
    };
    assert!(receiver.try_wait("it", PATIENCE, last).is_some(), "{}", pollinator.report("it"));
    let mut greatest: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for event in receiver.posts("it").iter().filter(|post| post.accepted()).flat_map(Post::events) {
        assert_ne!(event.kind, Kind::Deleted);
        let version = serde_json::from_str::<serde_json::Value>(&event.data).unwrap()["version"].as_u64().unwrap();
        greatest.entry(event.object).or_default().push(u32::try_from(version).unwrap());
    }
    for (object, versions) in greatest {
        let mut first_seen = versions.clone();
        first_seen.retain({
            let mut seen = std::collections::BTreeSet::new();
            move |version| seen.insert(*version)
        });
        assert_eq!(first_seen, [1, 2, 3, 4], "{object}: {versions:?}");
    }
}

#[test]
fn of_events_about_one_object_the_object_is_requested_once() {
    let events = Events::default();
    let (own, asked) = (events.clone(), Arc::new(Mutex::new(Vec::new())));
    let requests = Arc::clone(&asked);
    let server = Server::start(move |ask| match ask.path().strip_prefix("/v1/customers/") {
        Some(id) => {
            requests.lock().unwrap().push(id.to_owned());
            Answer::json(format!(r#"{{"id":"{id}","now":true}}"#))
        }
        None => own.answer(ask),
    });
    let receiver = Receiver::start();
    let resource = format!("{FEED}detail: {{url: '/v1/customers/${{id}}'}}\n");
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).yaml()]);
    polls.poll();
    for (of_type, object) in
        [("customer.created", "a"), ("customer.updated", "a"), ("customer.updated", "b"), ("customer.deleted", "a")]
    {
        events.add(of_type, object, 1);
    }
    polls.poll();
    let (a, b) = (r#"{"id":"a","now":true}"#, r#"{"id":"b","now":true}"#);
    let mut came = told(&receiver);
    came.sort();
    let gone = r#"Deleted {"id":"a","version":1}"#.to_owned();
    assert_eq!(came, [format!("Created {a}"), gone, format!("Updated {a}"), format!("Updated {b}")]);
    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, ["a", "b"]);
}
