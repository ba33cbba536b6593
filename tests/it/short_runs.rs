//! Polls from a timer, each in a process of its own: what does not fit into one of them gets its turn in a later one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::rig::http::{Answer, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Delivered;
use crate::rig::receiver::{Post, Receiver};

fn events(receiver: &Receiver) -> Vec<Delivered> {
    receiver.posts("it").iter().flat_map(Post::events).collect()
}

/// A list for each of these values, of which `answer` decides by value and by the number of requests in this run.
fn run_lists(values: &[&str], runs: usize, answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Vec<Vec<String>> {
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let shared = Arc::clone(&asked);
    let server = Server::start(move |ask| {
        let value = ask.path().rsplit('/').next().unwrap_or_default().to_owned();
        let mut asked = shared.lock().unwrap();
        asked.push(value.clone());
        answer(&value, asked.len())
    });
    let receiver = Receiver::start();
    let resource = format!("url: '/of/${{each}}'\nforEach: {{values: {values:?}}}\npagination: {{none: {{}}}}");
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).yaml()]);
    (0..runs)
        .map(|_| {
            polls.poll();
            polls.age();
            std::mem::take(&mut *asked.lock().unwrap())
        })
        .collect()
}

#[test]
fn a_round_that_ended_early_goes_on_in_the_next_run() {
    let list = || Answer::json(r#"[{"id":1}]"#);
    // three that fail in a row end the round
    let runs = run_lists(&["f1", "f2", "f3", "g1", "f4", "f5", "f6", "g2"], 4, move |value, _| {
        if value.starts_with('f') { Answer::status(500) } else { list() }
    });
    let reached: BTreeSet<&str> = runs[..3].iter().flatten().map(String::as_str).collect();
    assert!(reached.contains("g1") && reached.contains("g2"), "{runs:?}");
    // the provider allows three requests
    let values: Vec<_> = (0..8).map(|n| format!("v{n}")).collect();
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    let runs = run_lists(
        &values,
        4,
        move |_, count| {
            if count > 3 { Answer::status(429).header("Retry-After", "3600") } else { list() }
        },
    );
    let first: Vec<_> = runs.iter().map(|run| &*run[0]).collect();
    assert_eq!(first, ["v0", "v3", "v6", "v1"], "{runs:?}");
}

#[test]
fn resources_that_limits_kept_from_being_polled_come_first_in_the_next_run() {
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let shared = Arc::clone(&asked);
    let server = Server::start(move |ask| {
        let mut asked = shared.lock().unwrap();
        if asked.len() >= 2 {
            return Answer::status(429).header("Retry-After", "3600");
        }
        asked.push(ask.path().to_owned());
        Answer::json("[]")
    });
    let receiver = Receiver::start();
    let others: Vec<_> = (1..7).map(|n| format!("- {{name: r{n}, url: /r{n}, pagination: {{none: {{}}}}}}\n")).collect();
    let others = others.concat();
    let yaml = Instance::new("it", &server.url(), &receiver.url("it")).resource("url: /r0\npagination: {none: {}}").yaml();
    let yaml = yaml.replacen("  callback:", &format!("{}  callback:", others.replace("- {", "  - {")), 1);
    let polls = Polls::new(&[yaml]);
    let mut reached = BTreeSet::new();
    for _ in 0..12 {
        polls.poll();
        polls.age();
        reached.extend(std::mem::take(&mut *asked.lock().unwrap()));
    }
    assert_eq!(reached.len(), 7, "{reached:?}");
}

#[test]
fn a_record_that_can_never_be_read_is_sent_as_its_row_after_three_runs() {
    let rows = Arc::new(Mutex::new(vec![1]));
    let (shared, broken) = (Arc::clone(&rows), 2..9);
    let server = Server::start(move |ask| {
        let Some(id) = ask.path().strip_prefix("/one/") else {
            let rows: Vec<_> = shared.lock().unwrap().iter().map(|id| json!({"id": id})).collect();
            return Answer::json(json!(rows).to_string());
        };
        let id: u32 = id.parse().expect("a number");
        if broken.contains(&id) { Answer::status(500) } else { Answer::json(json!({"id": id, "whole": true}).to_string()) }
    });
    let receiver = Receiver::start();
    let resource = "url: /rows\npagination: {none: {}}\ndetail: {url: '/one/${id}'}";
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(resource).yaml()]);
    polls.poll();
    // Those that cannot be read come first. A poll ends after four requests in vain, and up to three more are under way then: not all of the
    // seven are asked for by the first poll, and fewer than four are left to the second.
    rows.lock().unwrap().extend(2..13);
    polls.poll();
    assert!(events(&receiver).is_empty(), "the first four said nothing of the others");
    let mut runs = 0;
    let came = |receiver: &Receiver| -> BTreeSet<u32> {
        events(receiver).iter().map(|event| event.object.parse().expect("a number")).collect()
    };
    loop {
        polls.poll();
        runs += 1;
        let came = came(&receiver);
        let whole: BTreeSet<u32> = (9..12 + runs).collect();
        assert!(came.is_superset(&whole), "run {runs}: {came:?}");
        if came.len() == whole.len() + 7 {
            break;
        }
        assert!(runs < 12, "not all were given up: {came:?}");
        // another one that can be read
        rows.lock().unwrap().push(12 + runs);
    }
    assert!(runs >= 2, "each was tried in three runs");
    let partial =
        receiver.posts("it").iter().filter(|post| String::from_utf8_lossy(&post.ask.body).contains("\"partial\":true")).count();
    assert_eq!(partial, 7);
    let before = receiver.count();
    polls.poll();
    polls.poll();
    assert_eq!(receiver.count(), before, "nothing twice");
}
