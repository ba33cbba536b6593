//! State that a released version left: read by this one, which repeats nothing and goes on where that one stopped.
//!
//! `fixtures/state-0.1.0` holds what 0.1.0 wrote, from the commands below: per case the manifest, the state folder, the provider as
//! it was then, and the events that were sent. With `POLLINATOR_RELEASED` naming a released binary, the tests called `make_…`
//! write such a folder anew (`cargo test --test it -- --ignored make_`). The providers have addresses of their own on loopback, since
//! the origin is a part of what a cursor means.

mod cluster;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::rig::http::{Answer, Ask};
use crate::rig::manifest::Instance;
use crate::rig::oracle::{self, Delivered, Kind, Verdict};
use crate::rig::pollinator::{Row, Site};
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::{Post, Receiver};
use crate::rig::scene::{BY_CONTENT, ids};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/state-0.1.0")
}

/// One case: its folder, and where its provider and receiver are.
struct Case {
    name: &'static str,
    /// The last part of its addresses.
    number: u8,
}

const DATED: Case = Case { name: "dated", number: 1 };
const CONTENT: Case = Case { name: "content", number: 2 };
const WAITING: Case = Case { name: "waiting", number: 3 };
const EARLIEST: Case = Case { name: "earliest", number: 4 };

impl Case {
    fn folder(&self) -> PathBuf {
        fixtures().join(self.name)
    }

    fn read(&self, file: &str) -> String {
        let path = self.folder().join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn provider(&self) -> Provider {
        Provider::start_at(SocketAddr::from(([127, 77, 1, self.number], 18_401)))
    }

    fn receiver(&self) -> Receiver {
        Receiver::start_at(SocketAddr::from(([127, 77, 2, self.number], 18_402)))
    }
}

/// The moment at which the providers of the fixtures begin.
fn beginning() -> DateTime<Utc> {
    "2026-11-24T10:00:00Z".parse().expect("RFC 3339")
}

/// One poll.
fn once(site: &Site, mut command: Command) -> Row {
    command.arg("--once");
    let mut process = site.spawn(command);
    process.wait();
    process.rows("it").pop().unwrap_or_else(|| panic!("no status\n{}", process.stderr()))
}

/// What a case finds when it starts again.
struct TakenOver {
    provider: Provider,
    receiver: Receiver,
    site: Site,
    sent: Vec<Delivered>,
    state: Value,
}

impl TakenOver {
    fn of(case: &Case) -> Self {
        let provider = case.provider().goes_on(&case.read("provider.json"));
        let (receiver, site) = (case.receiver(), Site::new(&[case.read("manifest.yaml")]));
        fs::create_dir(site.state()).expect("the test's own folder");
        fs::write(site.state().join("it.it.json"), case.read("state/it.it.json")).expect("the test's own folder");
        let sent = serde_json::from_str(&case.read("sent.json")).expect("what was sent");
        let state = serde_json::from_str(&case.read("state/it.it.json")).expect("a state");
        Self { provider, receiver, site, sent, state }
    }

    fn once(&self) -> Row {
        let row = once(&self.site, self.site.command());
        assert!(!row.failed(), "{row:?}");
        row
    }

    /// What is right of all that was ever sent.
    fn verdict(&self) -> Verdict {
        let all: Vec<_> = self.sent.iter().cloned().chain(self.receiver.delivered("it")).collect();
        oracle::judge(&self.provider.truth(), &all, provider::version)
    }

    fn assert_perfect(&self, when: &str) {
        let verdict = self.verdict();
        assert!(verdict.is_perfect(), "{when}:\n{verdict}");
    }

    /// Counters and cursor go on from what was stored.
    fn assert_goes_on(&self, row: &Row, new: u64) {
        let before = &self.state["resources"]["records"];
        let (after, delivered) = (&row.resources[0], before["delivered"].as_u64().expect("a counter"));
        assert_eq!((after.delivered, row.delivered), (delivered + new, delivered + new), "{row:?}");
        assert_eq!(after.reset_reason, None, "{row:?}");
        let date = |text: &str| text.parse::<DateTime<Utc>>().expect("RFC 3339");
        if let Some(before) = before["cursor"].as_str() {
            let after = after.cursor.as_deref().expect("the cursor is kept");
            assert!(date(after) >= date(before), "{after} is before {before}");
        }
    }

    /// Changes of every kind, long after the last poll and just after it.
    fn change(&self, known: &[&str]) {
        let [updated, later, deleted] = known else { panic!("three ids") };
        self.provider.update(updated);
        self.provider.create("taken-over");
        self.provider.delete(deleted);
        self.provider.pass(TimeDelta::hours(3));
        self.provider.update(later);
    }
}

#[test]
fn a_cursor_with_what_is_known_near_it_goes_on() {
    let case = TakenOver::of(&DATED);
    let row = case.once();
    assert_eq!(case.receiver.count(), 0, "nothing is sent again");
    case.assert_goes_on(&row, 0);
    case.change(&["edge-00003", "old-00007", "tied-00004"]);
    let row = case.once();
    case.assert_perfect("after changes");
    case.assert_goes_on(&row, 4);
    case.once();
    case.assert_perfect("a poll later");
}

#[test]
fn five_hundred_records_are_still_told_apart_by_content() {
    let case = TakenOver::of(&CONTENT);
    let row = case.once();
    assert_eq!(case.receiver.count(), 0, "nothing is sent again");
    case.assert_goes_on(&row, 0);
    case.change(&["old-00003", "new-00002", "old-00499"]);
    let row = case.once();
    case.assert_perfect("after changes");
    case.assert_goes_on(&row, 4);
    case.once();
    case.assert_perfect("a poll later");
}

#[test]
fn events_that_wait_are_sent_with_their_ids_and_parked_ones_on_request() {
    let case = TakenOver::of(&WAITING);
    let refused: Vec<Delivered> = serde_json::from_str(&WAITING.read("refused.json")).expect("what was refused");
    let refused_id =
        |object: &str| refused.iter().find(|event| event.object == object).expect("it was refused").event_id.clone();
    // every wait of the schedule is over by now: the event that was set aside and the change that failed are tried
    let mut command = case.site.command();
    command.arg("--once");
    let mut process = case.site.spawn(command);
    process.wait();
    let row = process.rows("it").pop().expect("a status");
    let sent: Vec<_> = case.receiver.delivered("it").into_iter().map(|event| (event.event_id, event.object)).collect();
    let waited = ["aside", "failing"].map(|object| (refused_id(object), object.to_owned()));
    assert_eq!(sent.len(), 2, "{sent:?}\n{}", process.report("it"));
    assert!(waited.iter().all(|event| sent.contains(event)), "{sent:?} {waited:?}");
    assert_eq!((row.parked, row.set_aside), (1, 0), "{row:?}");
    case.assert_goes_on(&row, 2);

    let manifest = WAITING.read("manifest.yaml").replace("annotations: {}", "annotations: {pollinator.dev/redeliver: records}");
    crate::rig::manifest::write(&case.site.manifests(), "instances.yaml", &[manifest]);
    let row = case.once();
    let last = case.receiver.delivered("it").pop().expect("the parked event");
    assert_eq!((last.event_id, last.object.as_str()), (refused_id("parked"), "parked"));
    assert_eq!(row.parked, 0, "{row:?}");
    case.change(&["good-00001", "aside", "good-00002"]);
    let row = case.once();
    case.assert_perfect("after changes");
    case.assert_goes_on(&row, 7);
}

#[test]
fn a_first_read_that_was_broken_off_goes_on() {
    let case = TakenOver::of(&EARLIEST);
    assert_eq!(case.state["resources"]["records"]["started"], false);
    let row = case.once();
    case.assert_perfect("after the first poll");
    case.assert_goes_on(&row, case.receiver.count() as u64);
    assert!(case.receiver.delivered("it").iter().all(|event| event.kind == Kind::Created), "the first read creates");
    case.provider.update("r-00003");
    case.once();
    case.assert_perfect("after a change");
}

/// Writes the fixture of one case with a released binary.
fn make(case: &Case, adjust: impl Fn(Instance) -> Instance, act: impl FnOnce(&Provider, &Receiver, &dyn Fn(), &Site)) {
    let released = env::var("POLLINATOR_RELEASED").expect("POLLINATOR_RELEASED names a released binary");
    let provider = case.provider().clock_at(beginning()).page_size(50);
    let receiver = case.receiver();
    let manifest = adjust(Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth()).yaml();
    let site = Site::new(std::slice::from_ref(&manifest));
    let poll = || {
        let mut command = Command::new(&released);
        command.arg("local").arg(site.manifests()).arg("--state").arg(site.state()).args(["--output", "json"]);
        once(&site, command);
        provider.pass(TimeDelta::minutes(1));
    };
    act(&provider, &receiver, &poll, &site);
    let folder = case.folder();
    let write = |file: &str, text: &str| fs::write(folder.join(file), text.trim_end().to_owned() + "\n").expect("the fixture");
    fs::create_dir_all(folder.join("state")).expect("the fixture");
    write("manifest.yaml", &manifest);
    write("provider.json", &provider.keep());
    write("sent.json", &serde_json::to_string_pretty(&receiver.delivered("it")).expect("events are JSON"));
    fs::copy(site.state().join("it.it.json"), folder.join("state/it.it.json")).expect("the fixture");
}

/// A receiver that answers by the object.
fn answer_by_object(receiver: &Receiver, status: impl Fn(&str) -> u16 + Send + 'static) {
    receiver.answer(move |ask: &Ask| {
        let event: Value = serde_json::from_slice(&ask.body).expect("an event");
        Answer::status(status(event["subject"].as_str().unwrap_or_default()))
    });
}

#[test]
#[ignore = "writes fixtures with a released binary"]
fn make_fixtures() {
    make(
        &DATED,
        |instance| instance,
        |provider, _, poll, _| {
            provider.baseline(ids("old", 20));
            poll();
            provider.create_all(ids("tied", 60));
            provider.create("alone");
            poll();
            provider.update("tied-00001");
            provider.update("old-00002");
            provider.delete("tied-00002");
            poll();
            provider.update("tied-00001");
            poll();
            provider.create_all(ids("edge", 30));
            poll();
        },
    );
    make(
        &CONTENT,
        |instance| instance.resource(BY_CONTENT),
        |provider, _, poll, _| {
            provider.baseline(ids("old", 500));
            poll();
            for id in ids("old", 5) {
                provider.update(&id);
            }
            provider.create_all(ids("new", 5));
            provider.delete("old-00006");
            poll();
        },
    );
    make(&EARLIEST, Instance::earliest, |provider, receiver, poll, site| {
        provider.create_all(ids("r", 200));
        // down from the third page on
        let mut taken = 0;
        receiver.answer(move |_| {
            taken += 1;
            Answer::status(if taken <= 120 { 204 } else { 500 })
        });
        poll();
        site.age(TimeDelta::hours(30));
    });
    make(
        &WAITING,
        |instance| instance,
        |provider, receiver, poll, site| {
            provider.baseline(ids("old", 5));
            poll();
            answer_by_object(receiver, |object| match object {
                "parked" => 400,
                "aside" | "failing" => 500,
                _ => 204,
            });
            provider.create("parked");
            provider.create("aside");
            for round in 0..5 {
                // others pass, so that the callback does not count as down
                for id in ids("good", 8) {
                    provider.create(&format!("{id}-{round}"));
                }
                for id in ids("good", 4).filter(|_| round == 0) {
                    provider.create(&id);
                }
                if round == 4 {
                    provider.create("failing");
                }
                poll();
                site.age(TimeDelta::hours(30));
            }
            let refused: Vec<Delivered> =
                receiver.posts("it").iter().filter(|post| !post.accepted()).map(Post::event).collect();
            fs::create_dir_all(WAITING.folder()).expect("the fixture");
            let text = serde_json::to_string_pretty(&refused).expect("events are JSON") + "\n";
            fs::write(WAITING.folder().join("refused.json"), text).expect("the fixture");
        },
    );
}
