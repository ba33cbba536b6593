//! Lists that continue by token: what has changed since a token that the last poll got, until the provider forgets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::rig::PATIENCE;
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::pollinator::{Row, Site};
use crate::rig::receiver::{Post, Receiver};

/// Records to a page.
const PAGE: usize = 3;

/// A provider that lists what has changed since a token, which is the number of a change; without one, all that lives. Like Google it
/// has `nextPageToken` on each page but the last, which has `nextSyncToken`; like Microsoft Graph it has links if asked at `/linked`.
#[derive(Default)]
struct Log {
    /// Id and version; `None`: deleted.
    changes: Vec<(String, Option<u32>)>,
    /// Tokens before this one are forgotten.
    forgotten: usize,
    asks: Vec<Ask>,
}

#[derive(Clone, Default)]
struct Deltas(Arc<Mutex<Log>>);

impl Deltas {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.0.lock().unwrap()
    }

    fn serve(&self) -> Server {
        let own = self.clone();
        Server::start(move |ask| own.answer(ask))
    }

    fn set(&self, id: &str, version: u32) {
        self.log().changes.push((id.to_owned(), Some(version)));
    }

    fn delete(&self, id: &str) {
        self.log().changes.push((id.to_owned(), None));
    }

    fn forget(&self) {
        let mut log = self.log();
        log.changes.push(("nobody".to_owned(), None));
        log.forgotten = log.changes.len();
    }

    /// What lives, by id, with its version.
    fn truth(&self) -> BTreeMap<String, u32> {
        let mut truth = BTreeMap::new();
        for (id, version) in &self.log().changes {
            match version {
                Some(version) => drop(truth.insert(id.clone(), *version)),
                None => drop(truth.remove(id)),
            }
        }
        truth
    }

    /// The parameter in the requests so far.
    fn asked(&self, name: &str) -> Vec<Option<String>> {
        let value = |ask: &Ask| ask.query().into_iter().find(|(key, _)| key == name).map(|(_, value)| value);
        self.log().asks.iter().map(value).collect()
    }

    fn answer(&self, ask: &Ask) -> Answer {
        self.log().asks.push(ask.clone());
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let number = |name: &str| query.get(name).and_then(|text| text.strip_prefix("n-")?.parse::<usize>().ok());
        if query.contains_key("syncToken") && number("syncToken").is_none() {
            return Answer::json(r#"{"error": "bad token"}"#).with_status(400);
        }
        let since = number("syncToken");
        if since.is_some_and(|since| since < self.log().forgotten) {
            let own_word = Answer::json(r#"{"error": {"details": [{"reason": "EXPIRED"}]}}"#).with_status(400);
            return if ask.path() == "/people" { own_word } else { Answer::status(410) };
        }
        let page = query.get("pageToken").and_then(|text| text.split_once('-'));
        let page = page.map(|(from, end)| (from.parse::<usize>().unwrap(), end.parse::<usize>().unwrap()));
        let (rows, next) = {
            let log = self.log();
            // The list as it was when its first page was asked for.
            let end = page.map_or(log.changes.len(), |(_, end)| end);
            let mut rows: Vec<(String, Option<u32>)> = Vec::new();
            for (id, version) in &log.changes[since.unwrap_or(0)..end] {
                rows.retain(|(other, _)| other != id);
                rows.push((id.clone(), *version));
            }
            rows.retain(|(_, version)| since.is_some() || version.is_some());
            (rows, end)
        };
        let from = page.map_or(0, |(from, _)| from);
        let page = rows.iter().skip(from).take(PAGE).map(|(id, version)| match version {
            Some(version) => format!(r#"{{"id":"{id}","version":{version}}}"#),
            None => format!(r#"{{"id":"{id}","@removed":{{"reason":"deleted"}}}}"#),
        });
        let page: Vec<_> = page.collect();
        let since = since.map(|since| format!("&syncToken=n-{since}")).unwrap_or_default();
        let more = from + PAGE < rows.len();
        let lead = match (ask.path(), more) {
            ("/linked", true) => format!(r#""@odata.nextLink":"/linked?pageToken={}-{next}{since}""#, from + PAGE),
            ("/linked", false) => format!(r#""@odata.deltaLink":"/linked?syncToken=n-{next}""#),
            (_, true) => format!(r#""nextPageToken":"{}-{next}""#, from + PAGE),
            (_, false) => format!(r#""nextSyncToken":"n-{next}""#),
        };
        Answer::json(format!(r#"{{"items":[{}],{lead}}}"#, page.join(",")))
    }
}

const TOKEN: &str = "\
url: /list
query: {syncToken: \"${cursor}\"}
recordsPath: items
deletes: {flag: {field: \"['@removed']\"}}
delta: {token: {field: nextSyncToken}}
";

const LINK: &str = "\
url: /linked
recordsPath: items
deletes: {flag: {field: \"['@removed']\"}}
delta: {link: {field: \"@odata.deltaLink\"}}
";

struct Polled {
    deltas: Deltas,
    _server: Server,
    receiver: Receiver,
    polls: Polls,
}

fn polled(resource: &str, adjust: impl FnOnce(Instance) -> Instance) -> Polled {
    let deltas = Deltas::default();
    let (server, receiver) = (deltas.serve(), Receiver::start());
    let instance = adjust(Instance::new("it", &server.url(), &receiver.url("it")).resource(resource));
    let polls = Polls::new(&[instance.yaml()]);
    Polled { deltas, _server: server, receiver, polls }
}

impl Polled {
    /// Polls, and gives what came since the last time, in any order of objects.
    fn told(&self) -> Vec<String> {
        self.poll().0
    }

    fn poll(&self) -> (Vec<String>, Row) {
        let before = self.receiver.delivered("it").len();
        let row = self.polls.poll();
        assert_eq!(row.ready, "True", "{}", row.message);
        let mut told: Vec<_> =
            self.receiver.delivered("it")[before..].iter().map(|event| format!("{:?} {}", event.kind, event.object)).collect();
        told.sort();
        (told, row)
    }
}

#[test]
fn a_list_continues_by_token() {
    for (resource, parameter) in [(TOKEN, "syncToken"), (LINK, "syncToken")] {
        let polled = polled(resource, |instance| instance);
        for n in 0..7 {
            polled.deltas.set(&format!("r-{n}"), 1);
        }
        assert_eq!(polled.told(), [""; 0], "the first read is a baseline");
        assert_eq!(polled.deltas.asked(parameter)[0], None, "the first request has no token");
        polled.deltas.set("r-1", 2);
        polled.deltas.set("new", 1);
        polled.deltas.delete("r-2");
        assert_eq!(polled.told(), ["Created new", "Deleted r-2", "Updated r-1"]);
        assert_eq!(polled.deltas.asked(parameter).last().unwrap().as_deref(), Some("n-7"));
        polled.deltas.set("r-1", 3);
        polled.deltas.set("r-2", 1);
        assert_eq!(polled.told(), ["Created r-2", "Updated r-1"], "what was deleted may come back");
        assert_eq!(polled.told(), [""; 0]);
    }
}

#[test]
fn a_token_that_expired_is_replaced_and_nothing_is_invented() {
    let people = TOKEN
        .replace("/list", "/people")
        .replace("nextSyncToken}", "nextSyncToken, expired: {status: 400, bodyContains: EXPIRED}}");
    for resource in [TOKEN, LINK, &people] {
        let polled = polled(resource, Instance::earliest);
        for n in 0..8 {
            polled.deltas.set(&format!("r-{n}"), 1);
        }
        assert_eq!(polled.told().len(), 8);
        polled.deltas.set("r-3", 2);
        polled.deltas.set("new", 1);
        polled.deltas.forget();
        let (told, row) = polled.poll();
        assert_eq!(told, ["Created new", "Updated r-3"], "no other record is new");
        assert!(row.tells("DeltaTokenExpired"), "{row:?}");
        let (told, row) = polled.poll();
        assert!(told.is_empty() && !row.tells("DeltaTokenExpired"), "it is over: {row:?}");
        polled.deltas.delete("r-4");
        assert_eq!(polled.told(), ["Deleted r-4"], "the new token is used");
    }
}

/// The process dies between the delivery of a change and the commit of the token, again and again.
#[test]
fn nothing_is_lost_to_kills_between_delivery_and_token() {
    let deltas = Deltas::default();
    let (server, receiver) = (deltas.serve(), Receiver::start());
    for n in 0..5 {
        deltas.set(&format!("r-{n}"), 1);
    }
    let instance = Instance::new("it", &server.url(), &receiver.url("it")).resource(TOKEN);
    let site = Site::new(&[instance.yaml()]);
    let mut pollinator = site.start();
    pollinator.wait_ready("it");
    for version in 2..5 {
        for n in 0..12 {
            deltas.set(&format!("r-{n}"), version);
        }
        let before = receiver.posts("it").len();
        assert!(receiver.try_wait_count("it", PATIENCE, before + 4).is_some(), "{}", pollinator.report("it"));
        pollinator.kill9();
        pollinator = site.start();
    }
    deltas.delete("r-3");
    let held = |posts: &[&Post]| {
        let mut held = BTreeMap::new();
        for event in posts.iter().filter(|post| post.accepted()).flat_map(|post| post.events()) {
            let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            match (event.kind, data["version"].as_u64()) {
                (Kind::Deleted, _) => drop(held.remove(&event.object)),
                (_, version) => drop(held.insert(event.object, version.unwrap())),
            }
        }
        let truth = deltas.truth().into_iter().map(|(id, version)| (id, u64::from(version))).collect::<BTreeMap<_, _>>();
        (held == truth).then_some(())
    };
    assert!(receiver.try_wait("it", PATIENCE, held).is_some(), "{}", pollinator.report("it"));
    // Each life sends again at most what the one before it had not committed.
    let posts = receiver.posts("it").len();
    assert!(posts <= 3 * 12 * 2 + 1, "{posts} requests");
}
