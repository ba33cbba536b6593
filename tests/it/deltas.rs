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
    /// Requests for further pages whose token is no longer valid.
    gone_pages: u32,
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
        if query.contains_key("pageToken") && self.log().gone_pages > 0 {
            self.log().gone_pages -= 1;
            return Answer::status(410);
        }
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
    server: Server,
    receiver: Receiver,
    polls: Polls,
}

fn polled(resource: &str, adjust: impl FnOnce(Instance) -> Instance) -> Polled {
    let deltas = Deltas::default();
    let (server, receiver) = (deltas.serve(), Receiver::start());
    let instance = adjust(Instance::new("it", &server.url(), &receiver.url("it")).resource(resource));
    let polls = Polls::new(&[instance.yaml()]);
    Polled { deltas, server, receiver, polls }
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

/// What only a token would show is missed without one, and that is said: after an edit of the request, and while the first list is not all taken.
#[test]
fn a_list_that_is_read_without_a_token_says_what_it_cannot_show() {
    let mut edited = polled(TOKEN, Instance::earliest);
    for n in 0..4 {
        edited.deltas.set(&format!("r-{n}"), 1);
    }
    assert_eq!(edited.told().len(), 4);
    edited.deltas.set("r-1", 2);
    edited.deltas.delete("r-2");
    let resource = format!("{TOKEN}headers: {{x-fields: all}}\n");
    edited.polls.rewrite(&[Instance::new("it", &edited.server.url(), &edited.receiver.url("it"))
        .earliest()
        .resource(&resource)
        .yaml()]);
    let (told, row) = edited.poll();
    assert_eq!(told, ["Updated r-1"]);
    assert!(row.told("DeltaTokenMissing").is_some_and(|said| said.contains("request was edited")), "{row:?}");
    edited.deltas.delete("r-3");
    let (told, row) = edited.poll();
    assert!(told == ["Deleted r-3"] && !row.tells("DeltaTokenMissing"), "{told:?} {row:?}");

    let refused = polled(TOKEN, Instance::earliest);
    for n in 0..4 {
        refused.deltas.set(&format!("r-{n}"), 1);
    }
    refused.receiver.answer(|ask| Answer::status(if ask.body.windows(5).any(|text| text == b"\"r-3\"") { 500 } else { 204 }));
    let row = refused.polls.poll();
    assert!(!row.tells("DeltaTokenMissing"), "the first list is read without one: {row:?}");
    refused.deltas.delete("r-2");
    let row = refused.polls.poll();
    assert!(row.told("DeltaTokenMissing").is_some_and(|said| said.contains("once all events")), "{row:?}");
    assert_eq!(refused.receiver.delivered("it").len(), 3);
    refused.receiver.answer(|_| Answer::status(204));
    refused.polls.age();
    refused.polls.poll();
    assert_eq!(refused.receiver.delivered("it").len(), 4);
    refused.deltas.delete("r-1");
    let (told, row) = refused.poll();
    assert!(told == ["Deleted r-1"] && !row.tells("DeltaTokenMissing"), "{told:?} {row:?}");
}

/// The token of a page is no longer valid, while that of the last poll is: the whole list would not show the deletion.
#[test]
fn a_page_whose_token_expired_is_read_again_with_the_token_of_the_last_poll() {
    let polled = polled(TOKEN, |instance| instance);
    for n in 0..7 {
        polled.deltas.set(&format!("r-{n}"), 1);
    }
    polled.told();
    polled.deltas.delete("r-2");
    for n in 3..7 {
        polled.deltas.set(&format!("r-{n}"), 2);
    }
    polled.deltas.log().gone_pages = 1;
    let (told, row) = polled.poll();
    assert_eq!(told, ["Deleted r-2", "Updated r-3", "Updated r-4", "Updated r-5", "Updated r-6"]);
    assert!(!row.tells("DeltaTokenExpired"), "{row:?}");
    assert!(polled.deltas.asked("syncToken").iter().skip(3).all(Option::is_some), "the token was never given up");
    // once more is enough to fail, and the poll after it reads what is left
    polled.deltas.delete("r-3");
    for n in 4..7 {
        polled.deltas.set(&format!("r-{n}"), 3);
    }
    polled.deltas.log().gone_pages = 2;
    assert!(polled.polls.poll().failed());
    let told: Vec<_> =
        polled.receiver.delivered("it").iter().map(|event| format!("{:?} {}", event.kind, event.object)).collect();
    let (late, _) = polled.poll();
    assert!(told.iter().chain(&late).any(|told| told == "Deleted r-3"), "{told:?} {late:?}");
}

/// Without its token a list may begin anywhere: with what changes from now on, or where the history of a feed was cut.
#[test]
fn what_an_expired_token_cost_is_said_as_it_is() {
    /// Changes, which have numbers; tokens before one are forgotten, and so are changes before another.
    #[derive(Default)]
    struct Feed {
        changes: usize,
        forgotten: usize,
        first: usize,
    }
    let list = "url: /list\nquery: {pos: \"${cursor}\"}\nrecordsPath: entries\npagination: {none: {}}\n";
    let from_now = format!("{list}idField: id\ndelta: {{token: {{field: next, first: now}}}}");
    let feed = format!(
        "{list}idField: event\ndatesConfiguration: {{createdDateField: at}}\ndelta: {{token: {{field: next}}}}\n\
         feed: {{typeField: type, typeMap: {{\"*\": Updated}}, objectIdField: object.id, objectField: object}}"
    );
    for (resource, kept, missed) in [(&from_now, true, true), (&feed, false, true), (&feed, true, false)] {
        let changes = Arc::new(Mutex::new(Feed { changes: 3, ..Feed::default() }));
        let shown = Arc::clone(&changes);
        let server = Server::start(move |ask| {
            let feed = shown.lock().unwrap();
            let token = ask.query().into_iter().find(|(name, _)| name == "pos").map(|(_, token)| token);
            let from = match token.as_deref() {
                None => feed.first,
                Some("now") => feed.changes,
                Some(token) => token.strip_prefix("t-").unwrap().parse().unwrap(),
            };
            if token.is_some_and(|token| token != "now") && from < feed.forgotten {
                return Answer::status(410);
            }
            let rows: Vec<_> = (from..feed.changes)
                .map(|n| {
                    format!(
                        r#"{{"event":"e-{n}","id":"o-{n}","type":"changed","at":"2026-01-02T03:04:05Z","object":{{"id":"o-{n}"}}}}"#
                    )
                })
                .collect();
            Answer::json(format!(r#"{{"entries":[{}],"next":"t-{}"}}"#, rows.join(","), feed.changes))
        });
        let receiver = Receiver::start();
        let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(resource).yaml()]);
        let told = || receiver.delivered("it").into_iter().map(|event| event.object).collect::<Vec<_>>();
        polls.poll();
        changes.lock().unwrap().changes = 4;
        polls.poll();
        assert_eq!(told(), ["o-3"]);
        {
            let mut feed = changes.lock().unwrap();
            feed.changes = 6;
            feed.forgotten = 6;
            feed.first = if kept { 0 } else { 5 };
        }
        let row = polls.poll();
        let said = row.told("DeltaTokenExpired");
        assert_eq!(
            said.as_ref().is_some_and(|said| said.contains("what changed in between is missed")),
            missed,
            "{resource}: {row:?}"
        );
        assert!(missed || said.is_none(), "every event was read: {row:?}");
        assert_eq!(told().len(), if missed { told().len().min(2) } else { 3 }, "{resource}");
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
