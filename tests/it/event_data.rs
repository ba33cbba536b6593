//! Events say more than the row of the list: which fields changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::rig::http::{Answer, Server};
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
