//! Every entry of the catalog is polled against a mock that is made from what the provider published, by one process a round.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::rig::described::{Mock, is_possible};
use crate::rig::pollinator::Site;
use crate::rig::receiver::Receiver;
use crate::rig::skip;

/// Entries without a mock, and why.
const NOT_MOCKED: &[(&str, &str)] = &[
    ("azuread", "published as metadata (CSDL), which names types and no paths"),
    ("hal", "a form of answers, not one API"),
    ("json-api", "a form of answers, not one API"),
    ("odata-v2", "a form of answers, not one API"),
    ("odata-v4", "a form of answers, not one API"),
    ("onedrivebusiness", "published as metadata (CSDL), which names types and no paths"),
    ("outlookemail", "published as metadata (CSDL), which names types and no paths"),
    ("sharepoint", "published as metadata (CSDL), which names types and no paths"),
];

/// Ids by entry and resource.
type Ids = BTreeMap<(String, String), Vec<String>>;

/// What came since this was last asked, in the order of ids.
fn delivered(receiver: &Receiver, seen: &mut usize) -> Ids {
    let posts = receiver.all();
    let mut found = Ids::new();
    for post in &posts[*seen..] {
        let event: Value = serde_json::from_slice(&post.ask.body).expect("an event");
        let key = post.ask.path().trim_start_matches('/').to_owned();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        found.entry((key, text("resource"))).or_default().push(text("subject"));
    }
    *seen = posts.len();
    for ids in found.values_mut() {
        ids.sort();
    }
    found
}

/// Polls everything once; the exit code and what was printed.
fn poll(site: &Site) -> (Option<i32>, String) {
    let mut command = site.command();
    command.arg("--once");
    let mut process = site.spawn(command);
    (process.wait().code(), process.stderr())
}

/// First poll with several pages, a refused credential, a provider that slows down, then two rounds of changes, the second on the same
/// day as the first.
#[test]
fn every_resource_is_polled_as_its_description_allows() {
    if !is_possible() {
        return skip("described providers", "no published descriptions");
    }
    let (mock, not_mocked) = Mock::start(Utc::now());
    assert_eq!(not_mocked, NOT_MOCKED.iter().map(|(key, _)| *key).collect());
    let receiver = Receiver::start();
    let site = Site::new(&mock.manifests(|key| receiver.url(key)));
    let (mut seen, mut last_output) = (0, String::new());
    let mut check = |what: &str, expected: Ids, fails: bool, before: &Ids| {
        let (code, output) = poll(&site);
        let mut came = before.clone();
        for (resource, ids) in delivered(&receiver, &mut seen) {
            came.entry(resource).or_default().extend(ids);
        }
        let wrong: Vec<_> = expected.iter().filter(|(resource, ids)| came.get(resource) != Some(ids)).collect();
        let beyond: Vec<_> = came.keys().filter(|resource| !expected.contains_key(resource)).collect();
        let faults = mock.faults();
        assert!(faults.is_empty(), "{what}: requests that the descriptions forbid: {faults:#?}\n{output}");
        if !fails {
            let got: Vec<_> = wrong.iter().map(|(resource, ids)| (resource, ids, came.get(*resource))).collect();
            assert!(
                wrong.is_empty() && beyond.is_empty(),
                "{what}: resource, what changed, what came: {got:#?} {beyond:?}\n{output}"
            );
        }
        assert_eq!(code, Some(i32::from(fails)), "{what}\n{output}");
        last_output = output;
        came
    };
    let by_resource = |of: Vec<(&str, String, Vec<String>)>| -> Ids {
        of.into_iter().map(|(key, resource, ids)| ((key.to_owned(), resource), ids)).collect()
    };
    let none = Ids::new();
    let all = by_resource(mock.records());
    let first = check("the first poll, some of whose credentials are refused", all.clone(), true, &none);
    check("the poll after it", all, false, &first);
    let (refused, slowed) = mock.disturbed();
    let keys: BTreeSet<_> = mock.records().iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!((&refused, &slowed), (&keys, &keys), "each entry was refused and slowed down once");
    for round in ["a change", "another change"] {
        let now: DateTime<Utc> = Utc::now();
        let changed = mock.change(now).into_iter().map(|(key, resource, id)| (key, resource, vec![id])).collect();
        check(round, by_resource(changed), false, &none);
    }
    assert_eq!(mock.not_needed(), [], "requests that need no allowance");
}
