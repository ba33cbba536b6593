use super::*;
use crate::operator::watch::Listing;

const NOW: i64 = 1_800_000_000;

fn key(name: &str) -> ConnectorRef {
    ConnectorRef::new("crm", name)
}

fn seen(name: &str, uid: &str, version: &str) -> News {
    News::Connector(Change::Seen(Seen {
        object: key(name),
        uid: uid.to_owned(),
        version: version.to_owned(),
        generation: None,
        fingerprint: 0,
    }))
}

/// Instances in one namespace that name these connectors, as the API server prints them.
fn counts(names: &[Option<&str>]) -> Counts {
    let rows: Vec<_> = names.iter().map(|name| json!({"cells": ["it", name, "True"]})).collect();
    let mut counts = Counts::default();
    counts.add(&json!({"columnDefinitions": [{"name": "Name"}, {"name": "Connector"}, {"name": "Ready"}], "rows": rows}));
    counts
}

/// Looks at what is due as the shell does, and writes; answers what was written.
fn look(statuses: &mut Statuses, counts: &Counts, now: Instant) -> Vec<String> {
    let mut written = Vec::new();
    for namespace in statuses.take_due(8, now) {
        for (key, count) in statuses.unsettled(&namespace, counts) {
            statuses.settle(&key, format!("{} with {count:?}", key.name), count);
            written.push(format!("{}/{}: {count:?}", key.namespace, key.name));
        }
        statuses.rest(&namespace, Ok(counts.instances), now);
    }
    written
}

#[test]
fn a_connector_is_written_once_and_again_when_its_spec_or_count_changes() {
    let (mut statuses, start) = (Statuses::default(), Instant::now());
    let ours = |_: &str| true;
    statuses.note(seen("shop", "u", "1"), ours, start);
    statuses.note(News::Instances("crm".into()), ours, start);
    statuses.note(News::Instances("other".into()), ours, start);
    assert_eq!(statuses.next(), Some(start + TOGETHER));
    assert_eq!(look(&mut statuses, &counts(&[]), start), Vec::<String>::new(), "not due yet");
    let mut now = start + TOGETHER;
    let one = counts(&[Some("shop"), None, Some("github")]);
    assert_eq!(look(&mut statuses, &one, now), ["crm/shop: Some(1)"]);
    assert_eq!(statuses.next(), None);

    // the watch reports the write, which is no news
    statuses.note(seen("shop", "u", "shop with Some(1)"), ours, now);
    assert_eq!(statuses.next(), None);
    // an instance that changed and still counts costs a list, and no write
    statuses.note(News::Instances("crm".into()), ours, now);
    assert!(statuses.next() >= Some(now + APART), "lists are apart");
    now += APART * 2;
    assert_eq!(look(&mut statuses, &one, now), Vec::<String>::new());
    statuses.note(News::Instances("crm".into()), ours, now);
    now += APART * 2;
    assert_eq!(look(&mut statuses, &counts(&[]), now), ["crm/shop: Some(0)"]);
    // someone else wrote the spec, or the status
    statuses.note(seen("shop", "u", "9"), ours, now);
    now += APART * 2;
    assert_eq!(look(&mut statuses, &counts(&[]), now), ["crm/shop: Some(0)"]);
    // another object of that name
    statuses.note(seen("shop", "v", "shop with Some(0)"), ours, now);
    now += APART * 2;
    assert_eq!(look(&mut statuses, &counts(&[]), now), ["crm/shop: Some(0)"]);
    statuses.note(News::Connector(Change::Listed(Listing { namespace: None, all: [key("shop")].into() })), ours, now);
    statuses.note(News::Instances("crm".into()), ours, now);
    assert!(statuses.next().is_some(), "it is still there");
    statuses.note(News::Connector(Change::Gone(key("shop"))), ours, now);
    statuses.note(News::Instances("crm".into()), ours, now);
    assert_eq!(statuses.next(), None);
}

#[test]
fn each_connector_is_written_by_its_owner_alone() {
    let (mut statuses, start) = (Statuses::default(), Instant::now());
    statuses.note(seen("ours", "a", "1"), |uid| uid == "a", start);
    statuses.note(seen("theirs", "b", "1"), |uid| uid == "a", start);
    let mut now = start + TOGETHER;
    assert_eq!(look(&mut statuses, &counts(&[]), now), ["crm/ours: Some(0)"]);
    statuses.share(|uid| uid == "a", now);
    assert_eq!(statuses.next(), None, "nothing came");
    statuses.share(|_| true, now);
    now += APART * 2;
    assert_eq!(look(&mut statuses, &counts(&[]), now), ["crm/theirs: Some(0)"]);
    // what was another's meanwhile is looked at
    statuses.share(|_| false, now);
    statuses.note(News::Instances("crm".into()), |_| false, now);
    assert_eq!(statuses.next(), None);
    statuses.share(|uid| uid == "a", now);
    now += APART * 2;
    assert_eq!(look(&mut statuses, &counts(&[]), now), ["crm/ours: Some(0)"]);
}

#[test]
fn failures_are_repeated_ever_more_slowly() {
    let (mut statuses, mut now) = (Statuses::default(), Instant::now());
    statuses.note(seen("shop", "u", "1"), |_| true, now);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        now = statuses.next().unwrap();
        assert_eq!(statuses.take_due(8, now), ["crm".into()]);
        statuses.rest("crm", Err(()), now);
        statuses.note(News::Instances("crm".into()), |_| true, now);
        pauses.push((statuses.next().unwrap() - now).as_secs());
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn a_definition_without_the_column_gives_no_count() {
    let mut counts = Counts::default();
    counts.add(&json!({"columnDefinitions": [{"name": "Name"}], "rows": [{"cells": ["it"]}]}));
    assert_eq!((counts.of("shop"), counts.instances), (None, 1));
}

#[test]
fn a_status_says_what_was_found_and_keeps_what_is_others() {
    let at = DateTime::from_timestamp(NOW, 0).unwrap();
    let mut status = Map::new();
    status.insert("conditions".to_owned(), json!([{"type": "example.com/Audited", "status": "True"}]));
    status.insert("observedGeneration".to_owned(), json!(-1));
    let bad = Problem::human(Reason::InvalidSpec, "spec.baseUrl is wrong; correct it");
    lay(&mut status, &[bad], Some(2), Some(3), at);
    let first = status.clone();
    assert_eq!(
        Value::Object(status.clone()),
        json!({"observedGeneration": 3, "instances": 2, "conditions": [
            {"type": "Accepted", "status": "False", "reason": "InvalidSpec", "message": "spec.baseUrl is wrong; correct it",
             "lastTransitionTime": "2027-01-15T08:00:00Z", "observedGeneration": 3},
            {"type": "example.com/Audited", "status": "True"},
        ]})
    );
    let bad = Problem::human(Reason::InvalidSpec, "spec.baseUrl is wrong; correct it");
    lay(&mut status, &[bad], Some(2), Some(3), at + chrono::TimeDelta::minutes(1));
    assert_eq!(status, first, "nothing to write");
    lay(&mut status, &[], None, Some(4), at + chrono::TimeDelta::minutes(1));
    assert_eq!(status["conditions"][0]["status"], "True");
    assert_eq!(status["conditions"][0]["lastTransitionTime"], "2027-01-15T08:01:00Z");
    assert!(!status.contains_key("instances"));
}
