//! Records that change without a later date: complete readings find them by their content.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::deletes::told;
use crate::rig::http::{Answer, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::receiver::Receiver;

#[derive(Default)]
struct List {
    /// Date and name of each record.
    records: BTreeMap<u32, (DateTime<Utc>, u32)>,
    /// A request for the whole list is answered with this status.
    whole: Option<u16>,
    sweeps: usize,
}

#[test]
fn what_changes_or_comes_with_an_old_date_is_found_by_the_next_full_sweep() {
    let list = Arc::new(Mutex::new(List::default()));
    let old = Utc::now() - TimeDelta::days(9);
    list.lock().unwrap().records.extend((1..=5).map(|id| (id, (old, 0))));
    // The cursor is at the date of this one, so that polls list no other.
    list.lock().unwrap().records.insert(9, (Utc::now() - TimeDelta::hours(1), 0));
    let shared = Arc::clone(&list);
    let server = Server::start(move |ask| {
        let mut list = shared.lock().unwrap();
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let since = DateTime::parse_from_rfc3339(&query["since"]).expect("a time").to_utc();
        if since < old - TimeDelta::days(1) {
            list.sweeps += 1;
            if let Some(status) = list.whole {
                return Answer::status(status);
            }
        }
        let rows = list.records.iter().filter(|(_, (at, _))| *at >= since).map(|(id, (at, name))| {
            format!(r#"{{"id":{id},"at":"{}","name":{name}}}"#, at.to_rfc3339_opts(SecondsFormat::Millis, true))
        });
        Answer::json(format!("[{}]", rows.collect::<Vec<_>>().join(",")))
            .header("Date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    });
    let receiver = Receiver::start();
    let resource =
        "url: /records\nquery: {since: \"${since}\"}\ndatesConfiguration: {updatedDateField: at}\npagination: {none: {}}";
    let swept = format!("{resource}\nfullSweep: {{interval: 720h}}");
    let instance = |resource: &str| Instance::new("it", &server.url(), &receiver.url("it")).resource(resource).yaml();
    let mut polls = Polls::new(&[instance(resource)]);
    polls.poll();
    // it is turned on: the first sweep is silent
    polls.rewrite(&[instance(&swept)]);
    polls.poll();
    polls.poll();
    assert_eq!((told(&receiver), list.lock().unwrap().sweeps), (Vec::new(), 2), "the first poll and one sweep");
    list.lock().unwrap().records.extend([(2, (old, 7)), (6, (old, 0))]);
    polls.poll();
    assert_eq!(told(&receiver), [], "no sweep is due");
    // one fails, and its changes are not lost
    list.lock().unwrap().whole = Some(500);
    polls.forget_sweep();
    let row = polls.poll();
    assert!(row.ready == "True" && row.told("ProviderError").is_some_and(|said| said.starts_with("fullSweep: ")), "{row:?}");
    list.lock().unwrap().whole = None;
    // the callback refuses for a while
    receiver.answer(|_| Answer::status(500));
    polls.poll();
    receiver.answer(|_| Answer::status(204));
    polls.age();
    let row = polls.poll();
    assert!(!row.tells("ProviderError"), "{row:?}");
    let mut came = told(&receiver);
    came.sort();
    assert_eq!(came, [(Kind::Created, "6".to_owned()), (Kind::Updated, "2".to_owned())]);
    let sweeps = list.lock().unwrap().sweeps;
    polls.poll();
    assert_eq!((told(&receiver).len(), list.lock().unwrap().sweeps), (2, sweeps), "once");
}
