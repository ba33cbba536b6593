//! Paths and types of the manifest that nothing in the list fits: what is not masked, left out or sent for that reason is said.

use std::sync::{Arc, Mutex};

use crate::rig::http::{Answer, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::pollinator::binary;
use crate::rig::receiver::Receiver;

/// A provider whose list the test writes.
fn listing(rows: &[String]) -> (Server, Arc<Mutex<String>>) {
    let list = Arc::new(Mutex::new(of(rows)));
    let own = Arc::clone(&list);
    let server = Server::start(move |ask| match ask.path().strip_prefix("/whole/") {
        Some(id) => Answer::json(format!(r#"{{"id":{id},"secret":{{"phone":"1"}}}}"#)),
        None => Answer::json(own.lock().unwrap().clone()),
    });
    (server, list)
}

fn of(rows: &[String]) -> String {
    format!(r#"{{"data":[{}]}}"#, rows.join(","))
}

fn contacts(ids: std::ops::Range<u32>) -> Vec<String> {
    ids.map(|id| format!(r#"{{"id":{id},"email":"a{id}@example.com","phones":[{{"number":"{id}"}}],"boss":null}}"#)).collect()
}

#[test]
fn paths_that_no_record_has_are_named_before_and_while_records_are_delivered() {
    let receiver = Receiver::start();
    for (shape, ready, said) in [
        (
            "maskFields: [{field: e_mail}]",
            "False",
            "maskFields: no record has e_mail, so nothing is masked there; did you mean email?",
        ),
        (
            "maskFields: [{field: phone.number, with: Hash}]",
            "False",
            "maskFields: no record has phone.number, so nothing is masked there; did you mean phones.number?",
        ),
        ("dropFields: [emial]", "False", "dropFields: no record has emial, so nothing is left out there; did you mean email?"),
        (
            "keepFields: [id, Email]",
            "True",
            "keepFields: no record has Email, so nothing is delivered for it; did you mean email?",
        ),
        (
            "ignoreFields: [emails]",
            "True",
            "ignoreFields: no record has emails, so nothing is ignored there; did you mean email?",
        ),
        (
            "maskFields: [{field: taxNumber}]",
            "True",
            "maskFields: no record has taxNumber, so nothing is masked there; correct the path, or remove it",
        ),
    ] {
        let (server, list) = listing(&contacts(0..30));
        let instance = |shape: &str| {
            let resource = format!("url: /c\nrecordsPath: data\n{shape}");
            Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).yaml()
        };
        let mut polls = Polls::new(&[instance(shape)]);
        let row = polls.poll();
        let told = row.told("FieldMissing");
        assert!(told.is_some_and(|told| told.trim_start_matches("resource records: ") == said), "{shape}: {row:?}");
        assert_eq!(row.ready, ready, "{shape}: {row:?}");
        let tried = binary().arg("try").arg(polls.manifests()).output().expect("it runs");
        let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
        assert!(tried.contains(&format!("  warning:      {said}")), "{shape}: {tried}");
        // a record that has the field, and a corrected manifest, end it; a short list says nothing of an optional one
        if shape.contains("taxNumber") {
            *list.lock().unwrap() = of(&contacts(0..19));
            assert!(!polls.poll().tells("FieldMissing"));
            *list.lock().unwrap() = of(&[contacts(0..30), vec![r#"{"id":99,"taxNumber":null}"#.to_owned()]].concat());
            assert!(!polls.poll().tells("FieldMissing"));
        }
        polls.rewrite(&[instance("maskFields: [{field: email}, {field: phones.number}, {field: boss.email}]")]);
        let row = polls.poll();
        assert!(!row.tells("FieldMissing") && row.ready == "True", "{row:?}");
    }
}

#[test]
fn of_whole_records_that_are_requested_the_paths_are_looked_for_there() {
    let (server, list) = listing(&[]);
    let receiver = Receiver::start();
    for (field, is_said) in [("secret.phone", false), ("phone", true)] {
        *list.lock().unwrap() = of(&[]);
        let resource =
            format!("url: /c\nrecordsPath: data\ndetail: {{url: '/whole/${{id}}'}}\nmaskFields: [{{field: {field}}}]");
        let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).yaml()]);
        polls.poll();
        *list.lock().unwrap() = of(&contacts(0..8));
        let row = polls.poll();
        let told = row.told("FieldMissing");
        assert_eq!(told.is_some_and(|told| told.ends_with("did you mean secret.phone?")), is_said, "{field}: {row:?}");
    }
}

#[test]
fn types_of_events_that_no_key_fits_are_said() {
    let receiver = Receiver::start();
    let now = chrono::Utc::now().timestamp();
    let event = |id: u32, of_type: &str| {
        format!(r#"{{"id":"e{id}","type":"{of_type}","created":{now},"data":{{"object":{{"id":{id}}}}}}}"#)
    };
    let feed = |keys: &str, object: &str| {
        format!(
            "url: /c\nrecordsPath: data\norder: Descending\ndatesConfiguration: {{createdDateField: created, createdDateFormat: seconds}}\n\
             feed: {{typeField: type, typeMap: {keys}, objectIdField: data.object.id, objectField: {object}}}"
        )
    };
    let keys = "{customer.created: Created, 'customer.*': Updated}";
    for (types, keys, object, reason, ready) in [
        (["customer.updated"; 25].as_slice(), keys, "data.object", None, "True"),
        (&["CUSTOMER.UPDATED"; 2], keys, "data.object", Some("EventTypesUnmatched"), "False"),
        (&["order.paid"; 25], keys, "data.object", Some("EventTypesUnmatched"), "True"),
        (&["order.paid"; 19], keys, "data.object", None, "True"),
        (&["order.paid"; 25], "{customer.created: Created, '*': Ignored}", "data.object", None, "True"),
        (&["customer.updated"; 25], keys, "data.objekt", Some("FieldMissing"), "True"),
    ] {
        let rows: Vec<_> = (0..).zip(types).map(|(id, of_type)| event(id, of_type)).collect();
        let (server, _list) = listing(&rows);
        let instance = Instance::new("it", &server.url(), &receiver.url("it")).resource(&feed(keys, object));
        let polls = Polls::new(&[instance.earliest().yaml()]);
        let row = polls.poll();
        for any in ["EventTypesUnmatched", "FieldMissing"] {
            assert_eq!(row.tells(any), reason == Some(any), "{types:?} {keys} {object}: {row:?}");
        }
        assert_eq!(row.ready, ready, "{types:?}: {row:?}");
        let tried = binary().arg("try").arg(polls.manifests()).output().expect("it runs");
        let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
        assert!(tried.contains(&format!("  types:        {}\n", types[0])), "{tried}");
        assert_eq!(tried.contains("warning:      feed."), reason.is_some(), "{tried}");
    }
}
