//! Deletions by complete readings of the list: each real one is told once, and none that is not real.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::rig::PATIENCE;
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::{Delivered, Kind};
use crate::rig::pollinator::{Site, binary};
use crate::rig::receiver::Receiver;

/// A list whose records leave it without a trace, and each record at a path of its own.
pub struct Provider {
    server: Server,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// When the records were last changed that a test does not change.
    old: DateTime<Utc>,
    /// When each was last changed.
    records: BTreeMap<u32, DateTime<Utc>>,
    page_size: usize,
    /// What is answered for a record, whether it is there or not.
    single: BTreeMap<u32, u16>,
    /// A request for a record gets no answer.
    hangs: bool,
    /// What is answered to a request without a lower bound.
    whole: Option<u16>,
    /// Members that it adds to each answer.
    said: &'static str,
    asks: Vec<String>,
}

impl Shared {
    fn answer(&mut self, ask: &Ask) -> Answer {
        self.asks.push(ask.target.clone());
        if let Some(id) = ask.path().strip_prefix("/records/") {
            let id: u32 = id.parse().expect("a number");
            if self.hangs {
                return Answer::status(200).after(Duration::from_mins(5));
            }
            let status = if self.records.contains_key(&id) { 200 } else { 404 };
            let status = self.single.get(&id).copied().unwrap_or(status);
            return Answer::json(format!(r#"{{"id":{id}}}"#)).with_status(status);
        }
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let since = query.get("since").map(|since| DateTime::parse_from_rfc3339(since).expect("a time").to_utc());
        if let Some(status) = self.whole.filter(|_| since.is_none_or(|since| since < DateTime::UNIX_EPOCH + TimeDelta::days(1)))
        {
            return Answer::status(status);
        }
        let offset: usize = query.get("offset").map_or(0, |offset| offset.parse().expect("a number"));
        let listed = self.records.iter().filter(|(_, at)| since.is_none_or(|since| **at >= since));
        let rows: Vec<_> = listed
            .map(|(id, at)| {
                format!(r#"{{"id":{id},"at":"{}","name":"n{id}"}}"#, at.to_rfc3339_opts(SecondsFormat::Millis, true))
            })
            .collect();
        let size = if self.page_size == 0 { rows.len() } else { self.page_size };
        let page = rows.iter().skip(offset).take(size).cloned().collect::<Vec<_>>().join(",");
        let next =
            if offset + size < rows.len() { format!(r#""/records?offset={}""#, offset + size) } else { "null".to_owned() };
        Answer::json(format!(r#"{{"records":[{page}],"next":{next}{}}}"#, self.said))
            .header("Date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }
}

impl Provider {
    pub fn start(records: impl IntoIterator<Item = u32>) -> Self {
        let old = Utc::now() - TimeDelta::days(3);
        let records = records.into_iter().map(|id| (id, old)).collect();
        let shared = Arc::new(Mutex::new(Shared { old, records, ..Shared::default() }));
        let handled = Arc::clone(&shared);
        let server = Server::start(move |ask| handled.lock().unwrap_or_else(PoisonError::into_inner).answer(ask));
        Self { server, shared }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn remove(&self, ids: impl IntoIterator<Item = u32>) {
        let ids: BTreeSet<u32> = ids.into_iter().collect();
        self.shared().records.retain(|id, _| !ids.contains(id));
    }

    /// Lists records as they were, with their old dates.
    fn restore(&self, ids: impl IntoIterator<Item = u32>) {
        let mut shared = self.shared();
        let old = shared.old;
        shared.records.extend(ids.into_iter().map(|id| (id, old)));
    }

    fn asked(&self) -> usize {
        self.shared().asks.len()
    }

    fn instance(&self, receiver: &Receiver, snapshot: &str) -> Instance {
        let resource = format!(
            "url: /records\nrecordsPath: records\npagination: {{nextLink: {{field: next}}}}\ndeletes: {{snapshot: {{{snapshot}}}}}"
        );
        Instance::new("it", &self.server.url(), &receiver.url("it")).resource(&resource)
    }

    /// The same list, of which polls read what changed.
    pub fn filtered(&self, receiver: &Receiver, snapshot: &str) -> Instance {
        self.instance(receiver, snapshot)
            .and_resource("query: {since: \"${since}\"}\ndatesConfiguration: {updatedDateField: at}")
    }
}

pub fn told(receiver: &Receiver) -> Vec<(Kind, String)> {
    receiver.delivered("it").into_iter().map(|event| (event.kind, event.object)).collect()
}

pub fn deleted(ids: impl IntoIterator<Item = u32>) -> BTreeSet<(Kind, String)> {
    ids.into_iter().map(|id| (Kind::Deleted, id.to_string())).collect()
}

#[test]
fn a_record_that_leaves_the_list_is_deleted_once_whatever_is_killed_between_the_sweeps() {
    let provider = Provider::start(1..=5);
    let receiver = Receiver::start();
    let site = Site::new(&[provider.filtered(&receiver, "").yaml()]);
    let mut pollinator = site.start();
    pollinator.wait_ready("it");
    provider.remove([3]);
    let deadline = Instant::now() + PATIENCE;
    let is_missed = || fs::read_to_string(site.state().join("it.it.json")).is_ok_and(|text| text.contains(r#""missing":1"#));
    while !is_missed() {
        assert!(Instant::now() < deadline, "{}", pollinator.report("it"));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(told(&receiver).is_empty(), "once is not enough");
    pollinator.kill9();
    let pollinator = site.start();
    let came = receiver.try_wait_count("it", PATIENCE, 1).unwrap_or_else(|| panic!("{}", pollinator.report("it")));
    let Delivered { kind, object, data, .. } = came[0].event();
    assert_eq!((kind, &*object, &*data), (Kind::Deleted, "3", r#"{"id":3}"#));
    // two more polls, each with a sweep
    let asked = provider.asked();
    while provider.asked() < asked + 4 {
        assert!(Instant::now() < deadline + PATIENCE, "{}", pollinator.report("it"));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(told(&receiver), [(Kind::Deleted, "3".to_owned())]);
}

#[test]
fn a_halved_list_waits_for_approval_and_what_comes_back_is_created() {
    let provider = Provider::start(1..=40);
    provider.shared().page_size = 15;
    let receiver = Receiver::start();
    let instance = provider.instance(&receiver, "").callback("format: OpenConnectors");
    let mut polls = Polls::new(&[instance.yaml()]);
    polls.poll();
    provider.remove(1..=20);
    assert!(!polls.poll().tells("DeletesHeld"), "one sweep proves nothing");
    let row = polls.poll();
    let held = row.told("DeletesHeld").expect("the second one does");
    assert!(held.contains("at least 20 records, about 50 % of the known ones"), "{held}");
    assert_eq!(row.ready, "True", "what changes is still sent");
    // another tenant's data, and an empty list
    provider.remove(21..=40);
    provider.restore(101..=103);
    polls.poll();
    provider.remove(101..=103);
    assert!(polls.poll().told("DeletesHeld").is_some_and(|held| held.contains("is empty")));
    provider.restore(1..=40);
    assert!(!polls.poll().tells("DeletesHeld"), "they are there");
    assert!(!told(&receiver).iter().any(|(kind, _)| *kind == Kind::Deleted), "an empty list is not one of two in a row");
    polls.poll();
    let created = (101..=103).map(|id| (Kind::Created, id.to_string()));
    assert_eq!(told(&receiver).into_iter().collect::<BTreeSet<_>>(), created.chain(deleted(101..=103)).collect());
    // this time it is real
    let before = told(&receiver).len();
    provider.remove(1..=20);
    for _ in 0..3 {
        polls.poll();
    }
    assert_eq!(told(&receiver).len(), before);
    polls.rewrite(&[instance.clone().annotated("pollinator.dev/approve-deletes: records").yaml()]);
    let row = polls.poll();
    assert!(!row.tells("DeletesHeld"));
    let gone: BTreeSet<_> = told(&receiver)[before..].iter().cloned().collect();
    assert_eq!(gone, deleted(1..=20));
    // it was for those alone
    provider.remove(21..=35);
    polls.poll();
    assert!(polls.poll().tells("DeletesHeld"));
    let told_so_far = told(&receiver).len();
    provider.restore(1..=40);
    for _ in 0..2 {
        assert!(!polls.poll().tells("DeletesHeld"));
    }
    let events = receiver.delivered("it");
    let created: BTreeSet<_> = events[told_so_far..].iter().map(|event| (event.kind, event.object.clone())).collect();
    assert_eq!(created, (1..=20).map(|id| (Kind::Created, id.to_string())).collect());
    let ids: BTreeSet<_> = events.iter().map(|event| &event.event_id).collect();
    assert_eq!(ids.len(), events.len(), "each has an id of its own");
}

/// The request for one record answers like the list, as with the token of another tenant. Nothing is sent without approval, however few
/// records are known.
#[test]
fn a_list_that_is_another_one_for_a_poll_deletes_nothing_though_each_record_is_asked_for() {
    for (known, shown) in [(8, 0..0), (8, 1..5), (8, 101..104), (12, 1..7), (40, 0..0), (40, 1..21), (40, 101..104)] {
        for confirm in ["", "confirm: {url: \"/records/${id}\"}"] {
            let provider = Provider::start(1..=known);
            let receiver = Receiver::start();
            let polls = Polls::new(&[provider.instance(&receiver, confirm).yaml()]);
            polls.poll();
            polls.poll();
            provider.remove(1..=known);
            provider.restore(shown.clone());
            polls.poll();
            provider.remove(shown.clone());
            provider.restore(1..=known);
            polls.poll();
            polls.poll();
            let gone: BTreeSet<_> = told(&receiver).into_iter().filter(|(kind, _)| *kind == Kind::Deleted).collect();
            let foreign = shown.clone().filter(|id| *id > known);
            assert_eq!(gone, deleted(foreign), "{known} known, {shown:?} shown for a poll, {confirm}");
        }
    }
}

#[test]
fn a_list_without_any_known_record_waits_for_approval_though_each_record_is_asked_for() {
    let provider = Provider::start(1..=8);
    let receiver = Receiver::start();
    let instance = provider.instance(&receiver, "confirm: {url: \"/records/${id}\"}");
    let mut polls = Polls::new(&[instance.yaml()]);
    polls.poll();
    provider.remove(1..=8);
    for _ in 0..3 {
        polls.poll();
    }
    assert!(polls.poll().told("DeletesHeld").is_some_and(|held| held.contains("none of the known records")));
    assert_eq!(provider.shared().asks.iter().filter(|ask| ask.contains("/records/")).count(), 0, "a person looks first");
    polls.rewrite(&[instance.annotated("pollinator.dev/approve-deletes: records").yaml()]);
    assert!(!polls.poll().tells("DeletesHeld"));
    assert_eq!(told(&receiver).into_iter().collect::<BTreeSet<_>>(), deleted(1..=8));
}

#[test]
fn nothing_is_deleted_while_the_provider_says_that_records_are_left_out() {
    let provider = Provider::start(1..=9);
    let receiver = Receiver::start();
    let polls = Polls::new(&[provider.instance(&receiver, "").yaml()]);
    polls.poll();
    polls.poll();
    provider.remove(7..=9);
    for (said, reason, failed) in [
        (r#","total":9"#, "SweepUnsettled", false),
        (r#","has_more":false,"total":9"#, "SweepUnsettled", false),
        (r#","timed_out":true"#, "ErrorInResponse", true),
    ] {
        provider.shared().said = said;
        for _ in 0..2 {
            let row = polls.poll();
            assert!(row.failed() == failed && row.tells(reason), "{said}: {row:?}");
        }
    }
    assert!(told(&receiver).is_empty());
    provider.shared().said = r#","total":6"#;
    polls.poll();
    polls.poll();
    assert_eq!(told(&receiver).into_iter().collect::<BTreeSet<_>>(), deleted(7..=9));
}

/// Requests for single records that get no answer must not keep the list from being polled.
#[test]
fn requests_for_single_records_that_hang_hold_up_no_poll() {
    let provider = Provider::start(1..=100);
    provider.shared().hangs = true;
    let receiver = Receiver::start();
    let site = Site::new(&[provider.filtered(&receiver, "confirm: {url: \"/records/${id}\"}").yaml()]);
    let pollinator = site.start();
    pollinator.wait_ready("it");
    provider.remove(1..=16);
    let deadline = Instant::now() + PATIENCE;
    let has_asked = || provider.shared().asks.iter().any(|ask| ask.contains("/records/"));
    while !has_asked() {
        assert!(Instant::now() < deadline, "{}", pollinator.report("it"));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    provider.shared().records.insert(99, Utc::now());
    let came = receiver.try_wait_count("it", PATIENCE, 1).unwrap_or_else(|| panic!("{}", pollinator.report("it")));
    assert_eq!(came[0].event().object, "99");
    let singles: BTreeSet<_> = provider.shared().asks.iter().filter(|ask| ask.contains("/records/")).cloned().collect();
    assert!(singles.len() <= 8, "{singles:?}: the first ones had no answer, so the others are not asked for");
    assert!(told(&receiver).iter().all(|(kind, _)| *kind != Kind::Deleted));
}

#[test]
fn a_request_for_one_record_proves_its_deletion_at_once() {
    let provider = Provider::start(1..=15);
    let receiver = Receiver::start();
    let confirm = "interval: 720h, confirm: {url: \"/records/${id}\"}";
    let instance = provider.filtered(&receiver, confirm);
    let polls = Polls::new(&[instance.yaml()]);
    polls.poll();
    // not due for a month, but for the state
    let again = || polls.forget_sweep();
    provider.remove([1, 2, 3]);
    provider.shared().single.extend([(2, 200), (3, 500)]);
    polls.poll();
    assert!(told(&receiver).is_empty(), "no sweep is due");
    again();
    polls.poll();
    assert_eq!(told(&receiver), [(Kind::Deleted, "1".to_owned())]);
    provider.shared().single.clear();
    // the callback takes nothing for a while, and the next polls read what changed alone
    receiver.answer(|_| Answer::status(500));
    again();
    polls.poll();
    receiver.answer(|_| Answer::status(204));
    polls.age();
    polls.poll();
    let came: BTreeSet<_> = receiver.delivered("it").into_iter().map(|event| (event.kind, event.object)).collect();
    assert_eq!(came, deleted([1, 2, 3]));
    let whole = provider.shared().asks.iter().filter(|ask| ask.contains("since=1970")).count();
    assert_eq!(whole, 3, "the first poll and two sweeps");
    provider.shared().whole = Some(400);
    again();
    let row = polls.poll();
    assert!(
        !row.failed() && row.told("UnexpectedStatus").is_some_and(|told| told.starts_with("deletes.snapshot: ")),
        "{row:?}"
    );
}

#[test]
fn a_trial_says_how_deletions_are_found_and_tries_the_request_for_one_record() {
    let provider = Provider::start(1..=2);
    let receiver = Receiver::start();
    let instance = provider.filtered(&receiver, "interval: 24h, confirm: {url: \"/records/${id}\"}");
    let site = Site::new(&[instance.yaml()]);
    for (status, says) in [
        (200, "works: a record that is listed answers 200"),
        (404, "does NOT work: a record that is listed answers 404, as if it were deleted; "),
        (500, "does NOT work: a record that is listed answers 500 instead of 200, "),
    ] {
        provider.shared().single = BTreeMap::from([(1, status)]);
        let tried = binary().arg("try").arg(site.manifests()).output().expect("it runs");
        let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
        assert!(tried.contains("  deletes:      the whole list is read every 24h; "), "{tried}");
        assert!(tried.contains(&format!("  confirm:      {says}")), "{tried}");
    }
}

#[test]
fn what_is_older_than_the_cursor_is_learnt_in_silence_when_sweeps_are_turned_on() {
    let provider = Provider::start(1..=7);
    provider.shared().page_size = 3;
    let receiver = Receiver::start();
    let both = "datesConfiguration: {updatedDateField: at, createdDateField: at}";
    let dated = |deletes: &str| {
        let resource = format!(
            "url: /records\nrecordsPath: records\nquery: {{since: \"${{since}}\"}}\npagination: {{nextLink: {{field: next}}}}\n{both}\n{deletes}"
        );
        provider.filtered(&receiver, "").resource(&resource).yaml()
    };
    let mut polls = Polls::new(&[dated("")]);
    polls.poll();
    polls.rewrite(&[dated("deletes: {snapshot: {}}")]);
    polls.poll();
    assert!(told(&receiver).is_empty(), "they were there before");
    provider.remove([2]);
    // one that was imported with its old date
    provider.restore([8]);
    polls.poll();
    polls.poll();
    assert_eq!(told(&receiver), [(Kind::Created, "8".to_owned()), (Kind::Deleted, "2".to_owned())]);
    polls.poll();
    assert_eq!(told(&receiver).len(), 2);
}

#[test]
fn tries_of_a_change_that_sweeps_alone_show_add_up() {
    let provider = Provider::start(1..=5);
    provider.shared().records.insert(9, Utc::now() - TimeDelta::hours(1));
    let receiver = Receiver::start();
    let polls = Polls::new(&[provider.filtered(&receiver, "interval: 720h").yaml()]);
    polls.poll();
    // one with an old date is refused, and all others pass
    receiver
        .answer(|ask| Answer::status(if String::from_utf8_lossy(&ask.body).contains(r#""subject":"77""#) { 500 } else { 204 }));
    provider.restore([77]);
    polls.forget_sweep();
    for id in 100..103 {
        provider.shared().records.insert(id, Utc::now());
        polls.poll();
        polls.age();
    }
    provider.shared().records.insert(103, Utc::now());
    assert_eq!(polls.poll().set_aside, 1, "after three tries, it waits in the retry queue");
    provider.shared().asks.clear();
    polls.poll();
    let asks = provider.shared().asks.clone();
    assert!(!asks.is_empty() && !asks.iter().any(|ask| ask.contains("since=1970")), "and no sweep repeats it: {asks:?}");
}
