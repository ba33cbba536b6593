//! Lists of deleted ids: each deletion is told once and in its place, and a list that fails keeps nothing else back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::deletes::{deleted, told};
use crate::rig::PATIENCE;
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::pollinator::{Site, binary};
use crate::rig::provider;
use crate::rig::provider::habits::Tombstone;
use crate::rig::receiver::{Post, Receiver};

/// A list of records, and one of the ids that were deleted from it, in pages of two.
struct Provider {
    server: Server,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// When each was last changed.
    records: BTreeMap<u32, DateTime<Utc>>,
    deleted: Vec<(u32, DateTime<Utc>)>,
    /// What is answered instead of the list of deleted ids.
    answer: Option<(u16, &'static str)>,
    /// Requests for the list of deleted ids.
    asks: Vec<String>,
}

impl Shared {
    fn answer(&mut self, ask: &Ask) -> Answer {
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let since = query.get("since").map(|since| DateTime::parse_from_rfc3339(since).expect("a time").to_utc());
        let is_asked_for = |at: &DateTime<Utc>| since.is_none_or(|since| *at >= since);
        let text = |at: &DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let body = if ask.path() == "/deleted" {
            self.asks.push(ask.target.clone());
            match self.answer {
                Some((200, body)) => return Answer::json(body),
                Some((status, _)) => return Answer::status(status),
                None => {}
            }
            let offset: usize = query.get("offset").map_or(0, |offset| offset.parse().expect("a number"));
            let rows: Vec<_> = self.deleted.iter().filter(|(_, at)| is_asked_for(at)).collect();
            let page = rows.iter().skip(offset).take(2);
            let page: Vec<_> = page.map(|(id, at)| format!(r#"{{"ref":"{id}","when":"{}"}}"#, text(at))).collect();
            let since = query.get("since").cloned().unwrap_or_default();
            let next = format!(r#""/deleted?since={since}&offset={}""#, offset + 2);
            let next = if offset + 2 < rows.len() { &next } else { "null" };
            format!(r#"{{"rows":[{}],"next":{next}}}"#, page.join(","))
        } else {
            let rows = self.records.iter().filter(|(_, at)| is_asked_for(at));
            let rows: Vec<_> = rows.map(|(id, at)| format!(r#"{{"id":{id},"at":"{}","born":"{0}"}}"#, text(at))).collect();
            format!(r#"{{"records":[{}]}}"#, rows.join(","))
        };
        Answer::json(body).header("Date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }
}

const FEED: &str = "deletes: {feed: {url: /deleted, query: {since: \"${since}\"}, recordsPath: rows, idField: ref, dateField: when, pagination: {nextLink: {field: next}}}}";

impl Provider {
    fn start(records: impl IntoIterator<Item = u32>) -> Self {
        let old = Utc::now() - TimeDelta::days(3);
        let records = records.into_iter().map(|id| (id, old)).collect();
        let shared = Arc::new(Mutex::new(Shared { records, ..Shared::default() }));
        let handled = Arc::clone(&shared);
        let server = Server::start(move |ask| handled.lock().unwrap_or_else(PoisonError::into_inner).answer(ask));
        Self { server, shared }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, ids: impl IntoIterator<Item = u32>) {
        let now = Utc::now();
        self.shared().records.extend(ids.into_iter().map(|id| (id, now)));
    }

    fn delete(&self, ids: impl IntoIterator<Item = u32>) {
        let mut shared = self.shared();
        for id in ids {
            shared.records.remove(&id);
            shared.deleted.push((id, Utc::now()));
        }
    }

    fn instance(&self, receiver: &Receiver, deletes: &str) -> Instance {
        let dates = "datesConfiguration: {updatedDateField: at, createdDateField: born}";
        let list = "url: /records\nrecordsPath: records\nquery: {since: \"${since}\"}\npagination: {none: {}}";
        Instance::new("it", &self.server.url(), &receiver.url("it")).resource(&format!("{list}\n{dates}\n{deletes}"))
    }
}

#[test]
fn each_deletion_is_told_once_and_what_comes_back_is_created() {
    let provider = Provider::start(1..=9);
    let receiver = Receiver::start();
    provider.delete([9]);
    let mut polls = Polls::new(&[provider.instance(&receiver, FEED).yaml()]);
    assert_eq!(polls.poll().ready, "True");
    assert_eq!(told(&receiver), [], "it was deleted before the first poll");
    // 77 was created and deleted in between
    provider.delete([1, 2, 3, 77]);
    polls.poll();
    assert_eq!(told(&receiver).into_iter().collect::<BTreeSet<_>>(), deleted([1, 2, 3, 77]));
    let event = &receiver.delivered("it")[0];
    assert!(["1", "2", "3", "77"].iter().any(|id| *event.data == format!(r#"{{"id":"{id}"}}"#)), "{}", event.data);
    assert!(provider.shared().asks.iter().any(|ask| ask.contains("offset=2")), "its pages are followed");
    polls.poll();
    assert_eq!(told(&receiver).len(), 4);
    // one comes back, and another one is deleted and comes back between two polls
    provider.delete([4]);
    // Dates have milliseconds, and within one the deletion would win.
    provider.shared().deleted.iter_mut().filter(|(id, _)| *id == 4).for_each(|(_, at)| *at -= TimeDelta::milliseconds(50));
    provider.write([1, 4]);
    polls.poll();
    let came = told(&receiver).split_off(4);
    let (back, created) = ((Kind::Deleted, "4".to_owned()), |id: &str| (Kind::Created, id.to_owned()));
    assert_eq!(came.iter().cloned().collect::<BTreeSet<_>>(), [back.clone(), created("1"), created("4")].into(), "{came:?}");
    assert_eq!(came[0], back, "in its order");
    polls.poll();
    assert_eq!(told(&receiver).len(), 7);
    // the callback takes nothing for a while
    provider.delete([1]);
    receiver.answer(|_| Answer::status(500));
    polls.poll();
    receiver.answer(|_| Answer::status(204));
    polls.age();
    polls.poll();
    polls.poll();
    assert_eq!(told(&receiver).split_off(7), [(Kind::Deleted, "1".to_owned())]);
    // the list of records is polled whatever becomes of the other one
    provider.shared().answer = Some((404, ""));
    provider.write([20]);
    let row = polls.poll();
    let said = row.told("NotFound").unwrap_or_default();
    assert!(row.ready == "True" && said.starts_with("deletes.feed: the list of deleted ids cannot be read: "), "{row:?}");
    assert_eq!(told(&receiver).split_off(8), [created("20")]);
    provider.shared().answer = Some((200, r#"{"rows":[{"ref":"5","when":"soon"}],"next":null}"#));
    assert!(polls.poll().told("InvalidDate").is_some_and(|said| said.starts_with("deletes.feed.dateField: ")));
    provider.shared().answer = Some((200, r#"{"rows":[{"when":"2026-01-01T00:00:00Z"}],"next":null}"#));
    assert!(polls.poll().told("MissingId").is_some_and(|said| said.starts_with("deletes.feed.idField: ")));
    provider.shared().answer = None;
    let row = polls.poll();
    assert!(!row.tells("MissingId") && !row.tells("InvalidDate") && !row.tells("NotFound"), "{row:?}");
    // it is turned off and on again: what was deleted meanwhile is not told
    polls.rewrite(&[provider.instance(&receiver, "").yaml()]);
    polls.poll();
    let before = told(&receiver).len();
    provider.delete([6]);
    polls.poll();
    polls.rewrite(&[provider.instance(&receiver, FEED).yaml()]);
    polls.poll();
    polls.poll();
    assert_eq!(told(&receiver).len(), before);
}

#[test]
fn no_deletion_is_lost_to_a_kill() {
    let provider = Provider::start(1..=600);
    let receiver = Receiver::start();
    let site = Site::new(&[provider.instance(&receiver, FEED).yaml()]);
    let tried = binary().arg("try").arg(site.manifests()).output().expect("it runs");
    let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(tried.contains("  deletes:      the list of deleted ids has 0 rows on its first page"), "{tried}");
    let mut pollinator = site.start();
    pollinator.wait_ready("it");
    provider.delete(1..=600);
    let tried = binary().arg("try").arg(site.manifests()).output().expect("it runs");
    let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(tried.contains("has 2 rows on its first page, and there are more\n  deleted:      id 1, "), "{tried}");
    assert!(receiver.try_wait_count("it", PATIENCE, 300).is_some(), "{}", pollinator.report("it"));
    pollinator.kill9();
    let pollinator = site.start();
    let all = |posts: &[&Post]| {
        let objects: BTreeSet<_> = posts.iter().flat_map(|post| post.events()).map(|event| event.object).collect();
        (objects.len() == 600).then_some(())
    };
    assert!(receiver.try_wait("it", PATIENCE, all).is_some(), "{}", pollinator.report("it"));
    let events = receiver.delivered("it");
    let ids: BTreeSet<_> = events.iter().map(|event| &event.event_id).collect();
    assert_eq!(ids.len(), 600, "what is repeated has the same id");
    assert!(events.len() <= 600 + 256, "{} of 600", events.len());
    assert!(events.iter().all(|event| event.kind == Kind::Deleted));
}

/// The same id under two tenants is two objects: each has a list of deleted ids of its own, with a cursor of its own.
#[test]
fn each_tenant_has_deleted_ids_of_its_own() {
    let provider = provider::Provider::start().tenants(&["a", "b/c"], false).tombstone(Tombstone::Elsewhere);
    provider.baseline(["a|1", "a|2", "b/c|1", "b/c|2"].map(str::to_owned));
    let receiver = Receiver::start();
    let instance = Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().resource(&provider.resource());
    let polls = Polls::new(&[instance.yaml()]);
    assert_eq!(polls.poll().ready, "True");
    let came = || -> BTreeSet<String> {
        let posts = receiver.posts("it").into_iter().filter(Post::accepted);
        let event = |post: Post| serde_json::from_slice::<serde_json::Value>(&post.ask.body).expect("an event");
        let told = |event: serde_json::Value| {
            let kind = event["type"].as_str().and_then(|kind| kind.rsplit('.').next()).unwrap_or_default().to_owned();
            assert_eq!(event["resource"], "records");
            format!("{kind} {}|{} {}", event["parent"].as_str().unwrap(), event["subject"].as_str().unwrap(), event["id"])
        };
        posts.map(event).map(told).collect()
    };
    let kinds = || came().iter().map(|told| told.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>();
    provider.delete("a|1");
    provider.update("b/c|1");
    polls.poll();
    assert_eq!(kinds(), ["deleted a|1", "updated b/c|1"]);
    polls.poll();
    assert_eq!(receiver.count(), 2, "each is told once");
    // the list of one cannot be read: everything else goes on
    provider.misbehave(|ask| (ask.path() == "/tenants/b%2Fc/deleted").then(|| Answer::status(404)));
    provider.delete("b/c|1");
    provider.update("b/c|2");
    provider.delete("a|2");
    let row = polls.poll();
    let said = row.told("NotFound").unwrap_or_default();
    assert!(row.ready == "True" && said.contains("the list of b/c: "), "{row:?}");
    assert_eq!(kinds(), ["deleted a|1", "deleted a|2", "updated b/c|1", "updated b/c|2"]);
    // what is not taken waits, and what waited is sent
    provider.misbehave(|_| None);
    receiver.answer(|_| Answer::status(500));
    polls.poll();
    assert_eq!(came().len(), 4);
    receiver.answer(|_| Answer::status(204));
    polls.age();
    let row = polls.poll();
    assert!(!row.tells("NotFound"), "{row:?}");
    polls.poll();
    assert_eq!(kinds(), ["deleted a|1", "deleted a|2", "deleted b/c|1", "updated b/c|1", "updated b/c|2"]);
    assert_eq!(came().iter().filter_map(|told| told.rsplit(' ').next()).collect::<BTreeSet<_>>().len(), 5, "ids of their own");
}
