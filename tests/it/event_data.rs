//! Events say more than the row of the list: which fields changed, and the whole record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::pollinator::{Site, binary};
use crate::rig::receiver::{Post, Receiver};

/// Subject and one attribute of each event that was accepted, in the order of the subjects.
fn told(receiver: &Receiver, attribute: &str) -> Vec<(String, Option<Value>)> {
    let accepted = receiver.posts("it").into_iter().filter(Post::accepted);
    let mut told: Vec<_> = accepted
        .map(|post| {
            let event: Value = serde_json::from_slice(&post.ask.body).expect("an event");
            (event["subject"].as_str().expect("a subject").to_owned(), event.get(attribute).cloned())
        })
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    told
}

/// One that is larger than an event may be, and than the queue of those that wait, holds up neither itself nor others.
#[test]
fn a_record_of_any_size_is_announced_and_waits_without_its_data() {
    let list: Arc<Mutex<BTreeMap<u32, String>>> = Arc::default();
    let shared = Arc::clone(&list);
    let server = Server::start(move |_| {
        let rows: Vec<_> = shared.lock().unwrap().values().cloned().collect();
        Answer::json(format!("[{}]", rows.join(",")))
    });
    let add = |id: u32, kibibytes: usize| {
        list.lock().unwrap().insert(id, format!(r#"{{"id":{id},"text":"{}"}}"#, "x".repeat(kibibytes << 10)))
    };
    add(1, 0);
    let receiver = Receiver::start();
    let resource = "url: /records\npagination: {none: {}}";
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(resource).yaml()]);
    assert_eq!(polls.poll().ready, "True");
    receiver.answer(|_| Answer::status(500));
    for (id, kibibytes) in [(2, 1), (3, 700), (4, 5_000), (5, 200)] {
        add(id, kibibytes);
    }
    polls.poll();
    assert_eq!(told(&receiver, "truncated"), []);
    receiver.answer(|_| Answer::status(204));
    polls.age();
    polls.poll();
    let whole = |id: &str| (id.to_owned(), None);
    let truncated = |id: &str| (id.to_owned(), Some(Value::Bool(true)));
    assert_eq!(told(&receiver, "truncated"), [whole("2"), truncated("3"), truncated("4"), whole("5")]);
    let data = told(&receiver, "data").into_iter().map(|(id, data)| (id, data.is_some()));
    assert_eq!(
        data.collect::<Vec<_>>(),
        [("2", true), ("3", false), ("4", false), ("5", true)].map(|(id, is)| (id.to_owned(), is))
    );
    let row = polls.poll();
    assert_eq!((row.ready.as_str(), told(&receiver, "truncated").len()), ("True", 4), "{row:?}");
}

#[test]
fn events_of_updates_name_the_fields_that_changed_and_no_value() {
    let list: Arc<Mutex<BTreeMap<u32, String>>> = Arc::default();
    let shared = Arc::clone(&list);
    let server = Server::start(move |_| {
        let rows: Vec<_> = shared.lock().unwrap().values().cloned().collect();
        Answer::json(format!("[{}]", rows.join(",")))
    });
    let record = |id: u32, rest: &str| (id, format!(r#"{{"id":{id},"views":{id}{rest}}}"#));
    list.lock().unwrap().extend((1..=4).map(|id| record(id, r#","name":"Ada","at":{"city":"Bern","zip":1}"#)));
    let receiver = Receiver::start();
    let resource = "url: /records\npagination: {none: {}}\nignoreFields: [views]\ndropFields: [secret]";
    let instance = |resource: &str| Instance::new("it", &server.url(), &receiver.url("it")).resource(resource).yaml();
    let named = format!("{resource}\nchanges: {{}}");
    let mut polls = Polls::new(&[instance(resource)]);
    polls.poll();
    // it is turned on: nothing is sent, and the next poll has something to compare with
    polls.rewrite(&[instance(&named)]);
    polls.poll();
    list.lock().unwrap().extend([
        record(1, r#","name":"Eva","at":{"city":"Bern","zip":1}"#),
        record(2, r#","at":{"zip":1,"city":"Basel"},"name":"Ada","tags":[]"#),
        record(3, r#","name":"Ada","at":{"city":"Bern","zip":1},"secret":7"#),
        record(5, ""),
    ]);
    list.lock().unwrap().insert(4, r#"{"id":4,"views":9,"name":"Ada","at":{"city":"Bern"}}"#.to_owned());
    // the callback refuses for a while, so that the next version is compared with the one before both
    receiver.answer(|_| Answer::status(500));
    polls.poll();
    assert_eq!(told(&receiver, "changes"), []);
    list.lock().unwrap().extend([record(1, r#","name":"Eva","at":{"city":"Bern","zip":2}"#)]);
    receiver.answer(|_| Answer::status(204));
    polls.age();
    polls.poll();
    let expected = [("1", Some("at.zip,name")), ("2", Some("at.city,tags")), ("3", Some("$")), ("4", Some("$")), ("5", None)];
    let expected = expected.map(|(id, changes)| (id.to_owned(), changes.map(Value::from)));
    assert_eq!(told(&receiver, "changes"), expected);
    polls.poll();
    assert_eq!(told(&receiver, "changes").len(), expected.len(), "once");

    let site = Site::new(&[instance(&named.replace("changes: {}", "changes: {maxFields: 2}"))]);
    let output = |command: &str| {
        let ran = binary().arg(command).arg(site.manifests()).output().expect("it runs");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let (tried, planned) = (output("try"), output("plan"));
    assert!(tried.contains("  changes:      2 of 4 fields of the first record are compared; those from id on"), "{tried}");
    assert!(planned.contains("changes: up to 2 fields of each record are compared"), "{planned}");
}

/// A list of rows, and a record at a path of its own for each.
#[derive(Clone, Default)]
struct Whole(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    /// Date of each.
    dates: BTreeMap<u32, DateTime<Utc>>,
    /// What is answered for a record in place of it.
    single: BTreeMap<u32, Single>,
    /// Ids of the records that were asked for.
    asked: Vec<u32>,
}

/// Status, a header, and body.
#[derive(Clone, Default)]
struct Single(u16, Option<(&'static str, String)>, &'static str);

impl Single {
    fn status(status: u16) -> Self {
        Self(status, None, "")
    }

    fn answer(&self) -> Answer {
        let Self(status, header, body) = self;
        let answer = Answer::json(*body).with_status(*status);
        header.iter().fold(answer, |answer, (name, value)| answer.header(name, value.clone()))
    }
}

impl Whole {
    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.0.lock().unwrap()
    }

    fn add(&self, ids: impl IntoIterator<Item = u32>, age: TimeDelta) {
        let at = Utc::now() - age;
        self.rows().dates.extend(ids.into_iter().map(|id| (id, at)));
    }

    /// The ids that were asked for since this was last called, in their order.
    fn asked(&self) -> Vec<u32> {
        let mut asked = std::mem::take(&mut self.rows().asked);
        asked.sort_unstable();
        asked
    }

    fn answer(&self, ask: &Ask) -> Answer {
        let mut own = self.rows();
        if let Some(id) = ask.path().strip_prefix("/records/") {
            let id: u32 = id.parse().expect("a number");
            own.asked.push(id);
            assert!(ask.header("authorization").is_some_and(|sent| sent.starts_with("Basic ")), "as the list is asked");
            let record = format!(r#"{{"record":{{"id":{id}, "price":1.10,"secret":7}}}}"#);
            return own.single.get(&id).map_or_else(|| Answer::json(record), Single::answer);
        }
        let rows = own
            .dates
            .iter()
            .map(|(id, at)| format!(r#"{{"id":{id},"at":"{}"}}"#, at.to_rfc3339_opts(SecondsFormat::Millis, true)));
        Answer::json(format!("[{}]", rows.collect::<Vec<_>>().join(",")))
            .header("Date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }
}

const DETAIL: &str = "url: /records\npagination: {none: {}}\ndatesConfiguration: {updatedDateField: at, createdDateField: at}\nlookback: 24h\n\
                      detail: {url: '/records/${id}', recordPath: record}\ndropFields: [secret]";

/// Object, data, and whether they are only those of the row, of each event that was accepted, in the order of the objects.
fn sent(receiver: &Receiver) -> Vec<(String, String, bool)> {
    let partial = told(receiver, "partial");
    let mut delivered = receiver.delivered("it");
    delivered.sort_by(|one, other| one.object.cmp(&other.object));
    let pairs = delivered.into_iter().zip(partial);
    pairs.map(|(event, (_, partial))| (event.object, event.data, partial == Some(Value::Bool(true)))).collect()
}

#[test]
fn the_whole_record_is_sent_and_one_that_cannot_be_read_holds_up_no_other() {
    let whole = Whole::default();
    whole.add(1..=9, TimeDelta::hours(3));
    let own = whole.clone();
    let server = Server::start(move |ask| own.answer(ask));
    let elsewhere = Server::start(|_| Answer::json(r#"{"record":{"id":14}}"#));
    let receiver = Receiver::start();
    let instance = Instance::new("it", &server.url(), &receiver.url("it")).basic_auth().resource(DETAIL).yaml();
    let polls = Polls::new(std::slice::from_ref(&instance));
    polls.poll();
    assert!(whole.asked().is_empty(), "what exists is not sent, and not asked for");
    let complete = |id: u32| (id.to_string(), format!(r#"{{"id":{id}, "price":1.10}}"#), false);

    // one is missing and new, one missing for an hour; one fails, one is another one, and one leads elsewhere
    whole.add([10, 11], TimeDelta::zero());
    whole.add([12, 13, 14, 15], TimeDelta::zero());
    let other = Single(200, None, r#"{"record":{"id":99}}"#);
    let moved = Single(302, Some(("Location", format!("{}/records/14", elsewhere.url()))), "");
    whole.rows().single.extend([(11, Single::status(404)), (12, Single::status(500)), (13, other), (14, moved)]);
    let row = polls.poll();
    assert_eq!(sent(&receiver), [complete(10), complete(15)]);
    assert_eq!(whole.asked(), [10, 11, 12, 13, 14, 15], "once each");
    assert!(row.ready == "True" && row.resources[0].conditions.iter().any(|one| one.kind == "Detailed"), "{row:?}");
    assert_eq!(elsewhere.connections(), 0, "credentials stay with the origin");

    // the callback is down: nothing is asked for but what probes it
    receiver.answer(|_| Answer::status(503));
    whole.rows().single.clear();
    whole.add(20..=60, TimeDelta::zero());
    for _ in 0..3 {
        polls.poll();
    }
    whole.asked();
    polls.poll();
    assert!(whole.asked().len() <= 1, "no more than a probe");
    receiver.answer(|_| Answer::status(204));
    // the provider asks for patience in the middle: what is not sent is sent later, each once
    whole.rows().single.insert(40, Single(429, Some(("Retry-After", "1".to_owned())), ""));
    polls.age();
    let row = polls.poll();
    assert!(row.told("RateLimited").is_some(), "{row:?}");
    whole.rows().single.clear();
    polls.age();
    polls.poll();
    let expected: Vec<_> = (10..=15).chain(20..=60).map(complete).collect();
    assert_eq!(sent(&receiver), expected);

    // one is missing for longer than a list is ahead, and one fails for longer than others wait for it
    whole.add([70, 71, 72], TimeDelta::hours(2));
    whole.rows().single.extend([(70, Single::status(410)), (71, Single::status(500))]);
    whole.add([73], TimeDelta::zero());
    polls.poll();
    polls.poll();
    let late: Vec<_> = sent(&receiver).into_iter().skip(expected.len()).collect();
    let is_row = |event: &(String, String, bool), id: &str| event.0 == id && event.2 && event.1.contains(r#""at":""#);
    assert!(late.len() == 4 && is_row(&late[0], "70") && is_row(&late[1], "71"), "{late:?}");
    assert_eq!(late[2..], [complete(72), complete(73)]);

    let site = Site::new(&[instance]);
    let output = |command: &str| {
        let ran = binary().arg(command).arg(site.manifests()).output().expect("it runs");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let (tried, planned) = (output("try"), output("plan"));
    assert!(tried.contains("  detail:       works: the record has 1 member more than in the list: id, price"), "{tried}");
    assert!(planned.contains("/records/${id}, record at record"), "{planned}");
    whole.rows().single.insert(1, Single::status(404));
    assert!(output("try").contains("detail:       does NOT work: a record that is listed answers 404"));
}
