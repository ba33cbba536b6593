//! Two replicas show one instance: the one that polls it as it is now, the other one as it was last reported. Neither contradicts the other.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{Console, role};
use crate::rig::PATIENCE;
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::operator::Cluster;

const INSTANCES: usize = 8;
/// What the page of the replica that does not poll says.
const NOTE: &str = "another replica, which polls this instance, reported a change";

/// What one page says.
#[derive(Debug)]
struct Shown {
    /// `None`: this replica polls the instance. Else as of when the times are.
    as_of: Option<DateTime<Utc>>,
    cursor: Option<DateTime<Utc>>,
    last_success: Option<DateTime<Utc>>,
    next_poll: Option<DateTime<Utc>>,
    delivered: String,
    /// The state, the troubles and the conditions, without how long ago each was.
    said: String,
    history: String,
}

fn time_in(text: &str) -> Option<DateTime<Utc>> {
    let (_, rest) = text.split_once("datetime=\"")?;
    Some(rest.split_once('"')?.0.parse().expect("RFC 3339"))
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("{from}: {text}"));
    rest.split_once(to).unwrap_or_else(|| panic!("{to}: {text}")).0
}

impl Shown {
    fn of(page: &str) -> Self {
        let resources = between(page, "<section id=\"resources\"", "</section>");
        let fact = |name: &str| between(resources, &format!("<dt>{name}</dt><dd>"), "</dd>");
        let section = |id: &str| between(page, &format!("<section id=\"{id}\""), "</section>");
        let distance = regex::Regex::new("<span class=\"distance\">[^<]*</span>").unwrap();
        let said = [between(page, "<p class=\"state\">", "</p>"), section("troubles"), section("conditions")].concat();
        let as_of = resources.split_once("tries as of").map(|(_, rest)| rest.split_once("</p>").expect("a paragraph").0);
        assert_eq!(as_of.is_some(), resources.contains(NOTE), "{resources}");
        Self {
            as_of: as_of.map(|text| time_in(text).expect("a time")),
            cursor: time_in(fact("Cursor")),
            last_success: time_in(fact("Last success")),
            next_poll: time_in(fact("Next poll")),
            delivered: between(section("facts"), "<dt>Delivered</dt><dd>", "</dd>").to_owned(),
            said: distance.replace_all(&said, "").into_owned(),
            history: section("history").to_owned(),
        }
    }
}

#[test]
fn each_of_two_replicas_shows_what_it_polls_as_of_now_and_the_rest_as_of_the_last_report() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "console-replicas");
    let ns = &cluster.ns;
    let viewer = ns.token("viewer");
    ns.apply(&role(ns, "viewer", false));
    let key = cluster.folder().join("console-key");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let key = key.to_str().unwrap();
    let names: Vec<_> = (0..INSTANCES).map(|number| format!("it-{number}")).collect();
    for name in &names {
        let mut instance = cluster.instance().earliest();
        (instance.name, instance.callback_url) = (name.clone(), cluster.receiver.url(name));
        cluster.create(&instance);
    }
    for object in ["a", "b", "c"] {
        cluster.provider.create(object);
    }
    let with_key = ["--console-listen", "127.0.0.1:0", "--console-key-file", key];
    let first = cluster.start_with(&with_key);
    let one = Console::of(&first);
    let mut second = cluster.start_with(&[&with_key[..], &["--console-url", &one.base]].concat());
    let other = Console { base: one.base.clone(), ..Console::of(&second) };
    let cookie = one.cookie(&viewer);
    for name in &names {
        ns.wait_instance(name, "all delivered", |instance| (instance["status"]["delivered"] == 3).then_some(()));
    }
    // the one that may be older is read first
    let pair = |name: &str| {
        let path = format!("/instances/{}/{name}", ns.name());
        let read = |console: &Console| {
            let reply = console.page(&path, &cookie);
            assert_eq!(reply.status, 200, "{}", reply.body);
            Shown::of(&reply.body)
        };
        let (left, right) = (read(&one), read(&other));
        if left.as_of.is_none() { (read(&other), read(&one), 0) } else { (left, right, 1) }
    };
    // the replicas share the instances, which are idle: what is shown of now has moved on from what was reported
    let deadline = Instant::now() + PATIENCE;
    let pairs = loop {
        let pairs: Vec<_> = names.iter().map(|name| pair(name)).collect();
        let is_settled = |(old, now, _): &(Shown, Shown, usize)| {
            old.as_of.is_some() && now.as_of.is_none() && now.last_success > old.last_success
        };
        let own = pairs.iter().filter(|(.., by)| *by == 0).count();
        if pairs.iter().all(is_settled) && (1..INSTANCES).contains(&own) {
            break pairs;
        }
        assert!(Instant::now() < deadline, "{pairs:#?}\n{}\n{}", first.stderr(), second.stderr());
        thread::park_timeout(Duration::from_millis(200));
    };
    for (name, (old, now, _)) in names.iter().zip(&pairs) {
        let reported = &ns.get_instance(name)["status"]["resources"][0];
        let stored: DateTime<Utc> = reported["lastSuccessfulPollTime"].as_str().unwrap().parse().unwrap();
        assert_eq!(old.last_success, Some(stored), "{name}: what is not known is as it was reported");
        assert!(old.as_of.is_some_and(|as_of| as_of >= stored), "{name}: {old:?}");
        assert_eq!(old.next_poll, None, "{name}: when that will be is not known there: {old:?}");
        assert!(now.next_poll > now.last_success, "{name}: {now:?}");
        assert!(now.cursor >= old.cursor && old.cursor.is_some(), "{name}: {old:?} {now:?}");
        assert_eq!((&old.delivered, &old.said), (&now.delivered, &now.said), "{name}: the rest is the same everywhere");
        assert!(now.history.contains("What replica "), "{name}: {}", now.history);
        assert!(
            old.history.contains("What replica ") || old.history.contains("If another replica polls it"),
            "{name}: {}",
            old.history
        );
    }
    // an instance that nobody else polls any more is shown as of now
    assert!(second.sigterm().success());
    let deadline = Instant::now() + PATIENCE;
    for name in &names {
        loop {
            let shown = Shown::of(&one.page(&format!("/instances/{}/{name}", ns.name()), &cookie).body);
            if shown.as_of.is_none() && shown.next_poll.is_some() {
                break;
            }
            assert!(Instant::now() < deadline, "{name}: {shown:?}\n{}", first.stderr());
            thread::park_timeout(Duration::from_millis(200));
        }
    }
}
