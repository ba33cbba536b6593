//! One list for each of several tenants: each has a cursor of its own, and one that fails stops no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::rig::PATIENCE;
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::pollinator::{Pollinator, Site, binary};
use crate::rig::receiver::{Post, Receiver};

/// A version and its dates: changed, created.
type Version = (u32, DateTime<Utc>, DateTime<Utc>);

/// Every tenant has records of its own, with the same ids. A tenant without records is unknown.
#[derive(Clone, Default)]
pub struct Tenants(Arc<Mutex<Shown>>);

#[derive(Default)]
pub struct Shown {
    /// By tenant and id.
    records: BTreeMap<String, BTreeMap<u32, Version>>,
    failing: BTreeMap<String, u16>,
    /// Tenants as records of their own, and whether each is deleted.
    pub parents: Vec<(String, bool)>,
    asked: Vec<String>,
}

impl Tenants {
    pub fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.0.lock().unwrap()
    }

    pub fn serve(&self) -> Server {
        let own = self.clone();
        Server::start(move |ask| own.answer(ask))
    }

    /// A record is created or changed now, or was created at another time.
    pub fn set(&self, tenant: &str, id: u32, at: DateTime<Utc>) {
        let mut shown = self.shown();
        let (version, changed, _) = shown.records.entry(tenant.to_owned()).or_default().entry(id).or_insert((0, at, at));
        (*version, *changed) = (*version + 1, at);
    }

    fn answer(&self, ask: &Ask) -> Answer {
        if ask.path() == "/parents" {
            return self.parents(ask);
        }
        let tenant = ask.path().strip_prefix("/t/").and_then(|path| path.strip_suffix("/records")).unwrap().to_owned();
        if ask.header("x-tenant") != Some(&*tenant) {
            return Answer::status(400);
        }
        let mut shown = self.shown();
        shown.asked.push(tenant.clone());
        if let Some(status) = shown.failing.get(&tenant) {
            return Answer::status(*status);
        }
        let Some(records) = shown.records.get(&tenant) else { return Answer::status(404) };
        let since = ask.query().into_iter().find(|(name, _)| name == "since").unwrap().1;
        let since = DateTime::parse_from_rfc3339(&since).unwrap();
        let text = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let rows = records.iter().filter(|(_, (_, changed, _))| *changed >= since).map(|(id, (version, changed, created))| {
            format!(
                r#"{{"id":{id},"of":"{tenant}","version":{version},"changed":"{}","created":"{}"}}"#,
                text(*changed),
                text(*created)
            )
        });
        Answer::json(format!("[{}]", rows.collect::<Vec<_>>().join(",")))
    }

    /// The tenants, in pages of a hundred.
    fn parents(&self, ask: &Ask) -> Answer {
        let shown = self.shown();
        if let Some(status) = shown.failing.get("/parents") {
            return Answer::status(*status);
        }
        let offset = ask.query().into_iter().find(|(name, _)| name == "offset").map_or(0, |(_, text)| text.parse().unwrap());
        let page = shown.parents.iter().enumerate().skip(offset).take(100);
        let rows = page.map(|(id, (key, deleted))| format!(r#"{{"id":{id},"key":"{key}","deleted":{deleted}}}"#));
        let next = (offset + 100 < shown.parents.len()).then(|| format!(r#""/parents?offset={}""#, offset + 100));
        let next = next.unwrap_or_else(|| "null".to_owned());
        Answer::json(format!(r#"{{"rows":[{}],"next":{next}}}"#, rows.collect::<Vec<_>>().join(",")))
    }

    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shown().asked)
    }
}

const LIST: &str = "\
url: /t/${each}/records
query: {since: \"${since}\"}
headers: {x-tenant: \"${each}\"}
pagination: {none: {}}
datesConfiguration: {updatedDateField: changed, createdDateField: created}
";

pub fn for_each(values: &[String]) -> String {
    format!("{LIST}forEach: {{values: [{}]}}\n", values.join(", "))
}

pub fn long_ago() -> DateTime<Utc> {
    Utc::now() - chrono::TimeDelta::days(30)
}

/// Kind, tenant, id and version of each event, in any order, and the ids of the events.
pub fn told(posts: &[Post]) -> (Vec<String>, BTreeSet<String>) {
    let events: Vec<Value> = posts.iter().map(|post| serde_json::from_slice(&post.ask.body).unwrap()).collect();
    let mut told: Vec<_> = events
        .iter()
        .map(|event| {
            let (kind, data) = (event["type"].as_str().unwrap().rsplit('.').next().unwrap(), &event["data"]);
            assert_eq!((&event["parent"], &event["resource"]), (&data["of"], &Value::from("records")), "{event}");
            assert_eq!(event["subject"], data["id"].to_string());
            format!("{kind} {} {} v{}", data["of"].as_str().unwrap(), data["id"], data["version"])
        })
        .collect();
    told.sort();
    (told, events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn tenants_have_cursors_of_their_own() {
    let (tenants, receiver) = (Tenants::default(), Receiver::start());
    let server = tenants.serve();
    let names: Vec<String> = ["acme", "globex", "initech"].map(str::to_owned).into();
    for name in &names {
        (1..=3).for_each(|id| tenants.set(name, id, long_ago()));
    }
    let instance =
        |values: &[String]| Instance::new("it", &server.url(), &receiver.url("it")).resource(&for_each(values)).yaml();
    let mut polls = Polls::new(&[instance(&names)]);
    assert_eq!(polls.poll().ready, "True");
    assert_eq!(told(&receiver.posts("it")).0, [""; 0], "what exists is not sent");

    // the same id changes in two tenants; one is new in the third
    tenants.set("acme", 2, Utc::now());
    tenants.set("globex", 2, Utc::now());
    tenants.set("initech", 4, Utc::now());
    let row = polls.poll();
    let mut expected = vec!["created initech 4 v1", "updated acme 2 v2", "updated globex 2 v2"];
    let (events, ids) = told(&receiver.posts("it"));
    assert_eq!(
        (events, ids.len(), row.delivered, row.resources[0].delivered),
        (expected.iter().map(ToString::to_string).collect(), 3, 3, 3)
    );
    polls.poll();
    assert_eq!(receiver.posts("it").len(), 3, "each change once");

    // one tenant cannot be polled, and the callback refuses an event of another one
    tenants.shown().failing.insert("acme".to_owned(), 403);
    tenants.set("acme", 3, Utc::now());
    tenants.set("globex", 3, Utc::now());
    tenants.set("initech", 3, Utc::now());
    receiver.answer(|ask| Answer::status(if String::from_utf8_lossy(&ask.body).contains("globex") { 500 } else { 204 }));
    let row = polls.poll();
    let condition =
        row.resources[0].conditions.iter().find(|one| one.kind == "ListsPolled").unwrap_or_else(|| panic!("{row:?}"));
    assert_eq!((&*condition.reason, row.ready.as_str()), ("Forbidden", "True"));
    assert!(condition.message.starts_with("forEach: the list of acme could not be polled: "), "{}", condition.message);
    expected.push("updated initech 3 v2");
    let accepted = || -> Vec<Post> { receiver.posts("it").into_iter().filter(Post::accepted).collect() };
    expected.sort_unstable();
    assert_eq!(told(&accepted()).0, expected);
    // both are well again, and nothing of them was lost
    tenants.shown().failing.clear();
    receiver.answer(|_| Answer::status(204));
    polls.age();
    let row = polls.poll();
    assert!(row.resources[0].conditions.iter().all(|one| one.kind != "ListsPolled"), "{row:?}");
    expected.extend(["updated acme 3 v2", "updated globex 3 v2"]);
    expected.sort_unstable();
    assert_eq!(told(&accepted()).0, expected);

    // a tenant leaves: no deletion is told, and when it comes back, it begins as it did at first
    polls.rewrite(&[instance(&names[..2])]);
    tenants.asked();
    polls.poll();
    assert_eq!(tenants.asked().into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["acme".to_owned(), "globex".to_owned()]));
    tenants.set("initech", 5, Utc::now());
    polls.rewrite(&[instance(&names)]);
    polls.poll();
    assert_eq!(told(&accepted()).0, expected, "a new value is read without events");
    tenants.set("initech", 6, Utc::now());
    polls.poll();
    expected.push("created initech 6 v1");
    expected.sort_unstable();
    assert_eq!(told(&accepted()).0, expected);

    // all of them fail: the poll does, and goes on with others the next time
    tenants.shown().failing.extend(names.iter().map(|name| (name.clone(), 403)));
    let row = polls.poll();
    assert!(row.failed() && row.told("Forbidden").is_some(), "{row:?}");

    tenants.shown().failing.clear();
    let site = Site::new(&[instance(&names)]);
    let output = |command: &str| {
        let ran = binary().arg(command).arg(site.manifests()).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let (tried, planned) = (output("try"), output("plan"));
    assert!(tried.contains("forEach:      3 of 3 lists are tried; a poll sends at least 3 requests"), "{tried}");
    assert!(tried.contains("list records[globex]") && tried.contains("/t/globex/records"), "{tried}");
    assert!(planned.contains("is one of 3 values"), "{planned}");
}

/// The same with a thousand tenants, and the process is killed while it sends.
#[test]
fn a_thousand_tenants_are_polled_and_a_kill_loses_nothing() {
    let (tenants, receiver) = (Tenants::default(), Receiver::start());
    let server = tenants.serve();
    let names: Vec<String> = (0..1_000).map(|n| format!("t-{n}")).collect();
    for name in &names {
        (1..=2).for_each(|id| tenants.set(name, id, long_ago()));
    }
    let site = Site::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(&for_each(&names)).yaml()]);
    let once = || {
        let mut command = site.command();
        command.arg("--once");
        let mut pollinator: Pollinator = site.spawn(command);
        assert!(pollinator.wait().success(), "{}", pollinator.stderr());
    };
    once();
    assert_eq!((tenants.asked().len(), receiver.count()), (1_000, 0), "each is polled once, and what exists is not sent");
    let mut expected = Vec::new();
    for name in names.iter().step_by(2) {
        tenants.set(name, 1, Utc::now());
        tenants.set(name, 9, Utc::now());
        expected.extend([format!("updated {name} 1 v2"), format!("created {name} 9 v1")]);
    }
    expected.sort();
    let mut pollinator = site.start();
    assert!(receiver.try_wait_count("it", PATIENCE, 300).is_some(), "{}", pollinator.report("it"));
    pollinator.kill9();
    once();
    let (events, ids) = told(&receiver.posts("it"));
    let distinct: BTreeSet<_> = events.iter().cloned().collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), expected, "nothing is lost, and nothing is invented");
    assert_eq!(ids.len(), expected.len(), "what comes twice says so");
    assert!(events.len() - expected.len() <= 256, "{} came twice", events.len() - expected.len());
    let count = receiver.count();
    once();
    assert_eq!(receiver.count(), count, "without a fault nothing comes twice");
}

/// The tenants are the records of a resource of the same instance.
fn of_parents(base: &str, receiver: &Receiver) -> String {
    let list = format!("{LIST}forEach: {{resource: parents, field: key}}\n");
    let yaml = Instance::new("it", base, &receiver.url("it")).resource(&list).yaml();
    let parents = "  - name: parents\n    url: /parents\n    recordsPath: rows\n    pagination: {nextLink: {field: next}}\n    deletes: {flag: {field: deleted}}\n    interval: 1h\n";
    assert!(yaml.contains("\n  callback:"));
    yaml.replace("\n  callback:", &format!("\n{parents}  callback:"))
}

fn children(receiver: &Receiver) -> Vec<String> {
    let of_children = |post: &Post| !String::from_utf8_lossy(&post.ask.body).contains("\"resource\":\"parents\"");
    told(&receiver.posts("it").into_iter().filter(of_children).collect::<Vec<_>>()).0
}

#[test]
fn the_children_of_parents_that_come_go_and_come_back() {
    let (tenants, receiver) = (Tenants::default(), Receiver::start());
    let server = tenants.serve();
    let add = |name: &str| {
        tenants.shown().parents.push((name.to_owned(), false));
        (1..=2).for_each(|id| tenants.set(name, id, long_ago()));
    };
    for name in ["a", "b", "c"] {
        add(name);
    }
    let manifest = of_parents(&server.url(), &receiver);
    let polls = Polls::new(std::slice::from_ref(&manifest));
    let records = |row: &crate::rig::pollinator::Row| row.resources[0].conditions.clone();
    assert_eq!(polls.poll().ready, "True");
    assert_eq!(children(&receiver), [""; 0]);
    // all that a new parent has is new, however old it is; one without a key is reported
    add("d");
    tenants.shown().parents.push(("..".to_owned(), false));
    tenants.set("b", 2, Utc::now());
    let row = polls.poll();
    let mut expected = vec!["created d 1 v1", "created d 2 v1", "updated b 2 v2"];
    assert_eq!(children(&receiver), expected);
    assert!(records(&row).iter().any(|one| one.kind == "ListsPolled" && one.reason == "MissingId"), "{row:?}");
    tenants.shown().parents.pop();
    // one is deleted, and one leaves the list: no deletion of their children is told, and they are not polled
    tenants.shown().parents[0].1 = true;
    let left = tenants.shown().parents.remove(1);
    tenants.asked();
    let row = polls.poll();
    assert_eq!(tenants.asked(), ["c", "d"], "{row:?}");
    assert!(records(&row).iter().all(|one| one.kind != "ListsPolled"), "{row:?}");
    // it comes back: what changed meanwhile is told, and nothing else
    tenants.set("b", 1, Utc::now());
    tenants.shown().parents.push(left);
    polls.poll();
    expected.push("updated b 1 v2");
    expected.sort_unstable();
    assert_eq!(children(&receiver), expected);
    // while the parents cannot be listed, the children wait
    tenants.shown().failing.insert("/parents".to_owned(), 403);
    tenants.set("c", 1, Utc::now());
    let row = polls.poll();
    let message = row.told("Forbidden").unwrap_or_else(|| panic!("{row:?}"));
    assert!(
        records(&row).iter().any(|one| one.message.starts_with("forEach.resource: the list of parents could not be read: ")),
        "{message} {row:?}"
    );
    tenants.shown().failing.clear();
    polls.poll();
    expected.push("updated c 1 v2");
    expected.sort_unstable();
    assert_eq!(children(&receiver), expected);
    let site = Site::new(&[manifest]);
    let output = |command: &str| {
        let ran = binary().arg(command).arg(site.manifests()).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let (tried, planned) = (output("try"), output("plan"));
    assert!(tried.contains("forEach:      3 of 3 lists of the first page of parents are tried"), "{tried}");
    assert!(planned.contains("is the value at key of each record of parents"), "{planned}");
}

/// The same of five hundred parents, and the process is killed while it sends.
#[test]
fn the_children_of_five_hundred_parents_survive_a_kill() {
    let (tenants, receiver) = (Tenants::default(), Receiver::start());
    let server = tenants.serve();
    let names: Vec<String> = (0..500).map(|n| format!("p-{n}")).collect();
    let add = |name: &str| {
        tenants.shown().parents.push((name.to_owned(), false));
        (1..=2).for_each(|id| tenants.set(name, id, long_ago()));
    };
    for name in &names {
        add(name);
    }
    let site = Site::new(&[of_parents(&server.url(), &receiver)]);
    let once = || {
        let mut command = site.command();
        command.arg("--once");
        let mut pollinator: Pollinator = site.spawn(command);
        assert!(pollinator.wait().success(), "{}", pollinator.stderr());
    };
    once();
    assert_eq!((tenants.asked().len(), receiver.count()), (500, 0));
    let mut expected = Vec::new();
    for name in &names {
        tenants.set(name, 2, Utc::now());
        expected.push(format!("updated {name} 2 v2"));
    }
    // and new ones, whose children are all new
    for name in (500..520).map(|n| format!("p-{n}")) {
        add(&name);
        expected.extend([format!("created {name} 1 v1"), format!("created {name} 2 v1")]);
    }
    expected.sort();
    let mut pollinator = site.start();
    let come = receiver.try_wait("it", PATIENCE, |posts| (posts.len() >= 300).then_some(()));
    assert!(come.is_some(), "{}", pollinator.report("it"));
    pollinator.kill9();
    once();
    let events = children(&receiver);
    let distinct: BTreeSet<_> = events.iter().cloned().collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), expected, "nothing is lost, and nothing is invented");
    assert!(events.len() - expected.len() <= 256, "{} came twice", events.len() - expected.len());
    let count = receiver.count();
    once();
    assert_eq!(receiver.count(), count, "without a fault nothing comes twice");
}

/// Many providers write an empty list in another form than an array, and a list that never had a record does not show its place.
#[test]
fn where_one_list_has_its_records_an_empty_one_has_none() {
    let (receiver, of_b) = (Receiver::start(), Arc::new(Mutex::new(r#""""#)));
    let shown = Arc::clone(&of_b);
    let server = Server::start(move |ask| {
        let rows = if ask.path() == "/t/a/records" { r#"[{"id":1,"of":"a","version":1}]"# } else { *shown.lock().unwrap() };
        Answer::json(format!(r#"{{"rows":{rows}}}"#))
    });
    let resource = "url: '/t/${each}/records'\nrecordsPath: rows\npagination: {none: {}}\nforEach: {values: [a, b]}\n";
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(resource).yaml()]);
    let row = polls.poll();
    assert!(row.ready == "True" && !row.tells("RecordsNotFound"), "{row:?}");
    *of_b.lock().unwrap() = r#"[{"id":1,"of":"b","version":1}]"#;
    polls.poll();
    assert_eq!(told(&receiver.posts("it")).0, ["created b 1 v1"]);
}
