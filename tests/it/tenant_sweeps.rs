//! One list for each of several tenants, with what needs more than its pages: whole records before events, and complete readings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::receiver::Receiver;

/// The date and the name of each record, by id.
type Rows = BTreeMap<u32, (DateTime<Utc>, u32)>;

/// By tenant.
type Records = BTreeMap<String, Rows>;

/// `refusing` lets no one read its whole list.
fn answer(records: &Records, refusing: Option<&str>, ask: &Ask) -> Answer {
    let mut path = ask.path().trim_start_matches("/t/").split('/');
    let (tenant, id) = (path.next().unwrap(), path.nth(1));
    assert_eq!(ask.header("x-tenant"), Some(tenant), "headers are those of the list: {}", ask.target);
    let Some(own) = records.get(tenant) else { return Answer::status(404) };
    let json = |id: u32, (at, name): (DateTime<Utc>, u32), more: &str| {
        let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        format!(r#"{{"id":{id},"of":"{tenant}","at":"{at}","name":{name}{more}}}"#)
    };
    if let Some(id) = id {
        let id: u32 = id.parse().unwrap();
        return own.get(&id).map_or_else(|| Answer::status(404), |row| Answer::json(json(id, *row, r#","whole":true"#)));
    }
    let since = ask.query().into_iter().find(|(name, _)| name == "since").unwrap().1;
    let since = DateTime::parse_from_rfc3339(&since).unwrap();
    if refusing == Some(tenant) && since.timestamp() < 1_000 {
        return Answer::status(403);
    }
    let rows: Vec<_> = own.iter().filter(|(_, (at, _))| *at >= since).map(|(id, row)| json(*id, *row, "")).collect();
    Answer::json(format!("[{}]", rows.join(",")))
}

/// Kind, tenant and id of each event, and what of the whole record is in it, in any order.
fn told(receiver: &Receiver) -> Vec<String> {
    let mut told: Vec<_> = receiver
        .posts("it")
        .iter()
        .map(|post| {
            let event: Value = serde_json::from_slice(&post.ask.body).unwrap();
            let kind = event["type"].as_str().unwrap().rsplit('.').next().unwrap();
            let (tenant, subject) = (event["parent"].as_str().unwrap(), event["subject"].as_str().unwrap());
            let whole = if event["data"]["whole"] == true { " whole" } else { "" };
            assert!(kind == "deleted" || event["data"]["of"] == tenant, "{event}");
            format!("{kind} {tenant} {subject}{whole}")
        })
        .collect();
    told.sort();
    told
}

const LIST: &str = "\
url: /t/${each}/records
query: {since: \"${since}\"}
headers: {x-tenant: \"${each}\"}
pagination: {none: {}}
datesConfiguration: {updatedDateField: at}
forEach: {values: [acme, globex]}
";

#[test]
fn whole_records_deletions_and_contents_are_found_in_the_list_of_each_tenant() {
    let old = Utc::now() - TimeDelta::days(9);
    // The cursor is at the date of the last one, so that polls list no other.
    let list = || (1..=5).map(|id| (id, (old, 0))).chain([(9, (Utc::now() - TimeDelta::hours(1), 0))]).collect();
    let records = Arc::new(Mutex::new(Records::from(["acme", "globex"].map(|tenant| (tenant.to_owned(), list())))));
    let change = |tenant: &str, change: &dyn Fn(&mut Rows)| {
        change(records.lock().unwrap().get_mut(tenant).unwrap());
    };
    let shared = Arc::clone(&records);
    let refusing = Arc::new(Mutex::new(None));
    let refused = Arc::clone(&refusing);
    let server = Server::start(move |ask| answer(&shared.lock().unwrap(), *refused.lock().unwrap(), ask));
    let receiver = Receiver::start();
    let instance = |members: &str, annotations: &str| {
        let instance = Instance::new("it", &server.url(), &receiver.url("it")).resource(&format!("{LIST}{members}"));
        instance.annotated(annotations).yaml()
    };
    let swept = "detail: {url: \"/t/${each}/records/${id}\"}\ndeletes: {snapshot: {maxCount: 1, maxPercent: 20}}";
    let mut polls = Polls::new(&[instance(swept, "")]);
    assert_eq!(polls.poll().ready, "True");
    change("globex", &|list| {
        list.insert(6, (Utc::now(), 0));
    });
    polls.poll();
    assert_eq!(told(&receiver), ["created globex 6 whole"]);

    // the same id is in both lists; it leaves one of them
    change("acme", &|list| {
        list.remove(&1);
    });
    polls.poll();
    assert_eq!(told(&receiver).len(), 1, "what is missing once is not deleted");
    polls.poll();
    assert_eq!(told(&receiver), ["created globex 6 whole", "deleted acme 1"]);

    // too many leave the other one: they wait, and those of the first list do not
    change("globex", &|list| list.retain(|id, _| *id > 4));
    change("acme", &|list| {
        list.remove(&2);
    });
    polls.poll();
    let row = polls.poll();
    let said = row.told("DeletesHeld").unwrap_or_else(|| panic!("{row:?}"));
    assert!(said.starts_with("forEach: for globex: deletes.snapshot: at least 2 records, about "), "{said}");
    assert_eq!(told(&receiver), ["created globex 6 whole", "deleted acme 1", "deleted acme 2"]);
    polls.rewrite(&[instance(swept, "pollinator.dev/approve-deletes: records")]);
    let row = polls.poll();
    assert!(!row.tells("DeletesHeld"), "{row:?}");
    let deleted = (1..=4).map(|id| format!("deleted globex {id}"));
    let mut expected: Vec<_> = ["created globex 6 whole", "deleted acme 1", "deleted acme 2"].map(str::to_owned).into();
    expected.extend(deleted);
    assert_eq!(told(&receiver), expected);

    // what changes without a later date is found by its content
    polls.rewrite(&[instance("fullSweep: {interval: 720h}", "")]);
    polls.poll();
    polls.forget_sweep();
    polls.poll();
    change("acme", &|list| list.entry(3).or_insert((old, 0)).1 = 7);
    polls.poll();
    assert_eq!(told(&receiver), expected, "no sweep is due");
    polls.forget_sweep();
    let row = polls.poll();
    assert!(row.resources[0].conditions.iter().all(|one| one.kind != "Swept"), "{row:?}");
    expected.push("updated acme 3".to_owned());
    assert_eq!(told(&receiver), expected);

    // a list that cannot be read whole stops no other one, and is named
    change("globex", &|list| {
        list.insert(5, (old, 9));
    });
    change("acme", &|list| {
        list.insert(4, (old, 9));
    });
    *refusing.lock().unwrap() = Some("globex");
    polls.forget_sweep();
    let row = polls.poll();
    let said = row.told("Forbidden").unwrap_or_else(|| panic!("{row:?}"));
    assert!(said.starts_with("fullSweep: the whole list cannot be read: the list of globex: "), "{said}");
    expected.push("updated acme 4".to_owned());
    assert_eq!(told(&receiver), expected);
    *refusing.lock().unwrap() = None;
    let row = polls.poll();
    assert!(!row.tells("Forbidden"), "{row:?}");
    expected.push("updated globex 5".to_owned());
    assert_eq!(told(&receiver), expected);
}

/// A deletion is shown by what is remembered alone, in the list of a tenant as in any other.
#[test]
fn a_deletion_that_a_receiver_never_takes_goes_to_the_retry_queue_in_the_list_of_a_tenant() {
    let gone = Arc::new(Mutex::new(false));
    let shared = Arc::clone(&gone);
    let server = Server::start(move |_| {
        let rows = if *shared.lock().unwrap() { r#"[{"id":2},{"id":3}]"# } else { r#"[{"id":1},{"id":2},{"id":3}]"# };
        Answer::json(rows)
    });
    let receiver = Receiver::start();
    receiver.answer(|ask| Answer::status(if String::from_utf8_lossy(&ask.body).contains("deleted") { 500 } else { 204 }));
    let resource = "url: '/of/${each}'\npagination: {none: {}}\nforEach: {values: [a]}\ndeletes: {snapshot: {}}";
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).earliest().resource(resource).yaml()]);
    polls.poll();
    *gone.lock().unwrap() = true;
    let mut waiting = 0;
    for _ in 0..6 {
        waiting = polls.poll().set_aside;
        polls.age();
    }
    assert_eq!(waiting, 1, "after three tries, whatever polls show in between");
}
