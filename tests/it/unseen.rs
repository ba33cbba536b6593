//! The provider hides, misdates or replaces records. What can be found is announced, and what cannot is said by a condition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::deletes::{deleted, told};
use crate::rig::PATIENCE;
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::pollinator::{Row, Site, binary};
use crate::rig::receiver::Receiver;

type Script = Box<dyn FnMut(&Ask) -> Answer + Send>;

/// A provider whose answer to each request a test sets.
#[derive(Clone)]
struct Stage {
    body: Arc<Mutex<Script>>,
    clock: Arc<Mutex<TimeDelta>>,
}

impl Stage {
    fn new() -> Self {
        Self { body: Arc::new(Mutex::new(Box::new(|_| Answer::json("[]")))), clock: Arc::default() }
    }

    fn start(&self) -> Server {
        let own = self.clone();
        Server::start(move |ask| {
            let answer = (own.body.lock().unwrap())(ask);
            let date = Utc::now() + *own.clock.lock().unwrap();
            answer.header("Date", date.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        })
    }

    fn answers(&self, body: impl FnMut(&Ask) -> Answer + Send + 'static) {
        *self.body.lock().unwrap() = Box::new(body);
    }

    fn shows(&self, body: impl Into<String>) {
        let body: String = body.into();
        self.answers(move |_| Answer::json(body.clone()));
    }

    /// The provider's clock differs from ours by this.
    fn is_ahead(&self, by: TimeDelta) {
        *self.clock.lock().unwrap() = by;
    }
}

fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The same whenever it is asked for, so that a record stays as it is.
fn ago(days: i64) -> DateTime<Utc> {
    static BEGUN: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);
    *BEGUN - TimeDelta::days(days)
}

fn row(id: u32, updated: DateTime<Utc>, more: &str) -> String {
    format!(r#"{{"id":{id},"updated":"{}","created":"{}"{more}}}"#, iso(updated), iso(updated))
}

fn rows(ids: impl IntoIterator<Item = u32>, updated: DateTime<Utc>) -> Vec<String> {
    ids.into_iter().map(|id| row(id, updated, "")).collect()
}

fn list(rows: &[String]) -> String {
    format!(r#"{{"data":[{}]}}"#, rows.join(","))
}

const DATES: &str = "datesConfiguration: {updatedDateField: updated, createdDateField: created}";

fn instance(server: &Server, receiver: &Receiver, resource: &str) -> String {
    Instance::new("it", &server.url(), &receiver.url("it")).resource(&format!("url: /c\n{resource}")).yaml()
}

/// `LIMIT` and `OFFSET` without a criterion that distinguishes rows: each page is sorted for itself.
#[test]
fn pages_that_overlap_are_read_again_and_said() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    let resource = format!("pagination: {{page: {{parameter: page}}}}\nquery: {{since: \"${{since}}\"}}\n{DATES}");
    let polls = Polls::new(&[instance(&server, &receiver, &resource)]);
    // Which rows each page has, pass by pass.
    let pages = Arc::new(Mutex::new(vec![[vec![1_u32], vec![]]]));
    let (shown, mut passes, at) = (Arc::clone(&pages), 0, Utc::now());
    stage.answers(move |ask| {
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let page: usize = query["page"].parse().unwrap();
        passes += usize::from(page == 1);
        let shown = shown.lock().unwrap();
        let ids = shown[passes % shown.len()].get(page - 1).cloned().unwrap_or_default();
        let date = |id: u32| if id == 1 { ago(9) } else { at };
        Answer::json(list(&ids.iter().map(|id| row(*id, date(*id), "")).collect::<Vec<_>>()))
    });
    assert!(!polls.poll().tells("PagesOverlap"));
    // the same at each look: two of twelve are on no page
    *pages.lock().unwrap() = vec![[(11..=20).collect(), vec![19, 20]]];
    let row = polls.poll();
    assert!(row.told("PagesOverlap").is_some_and(|told| told.contains("sort the list in query")), "{row:?}");
    assert_eq!((receiver.count(), row.ready.as_str()), (10, "True"));
    // another order at each look: what is hidden once is seen later
    let shuffled = |n: u32| {
        let ids: Vec<u32> = (0..10).map(|at| 11 + (at * 7 + n * 5) % 12).collect();
        [ids.clone(), vec![ids[0], ids[1]]]
    };
    *pages.lock().unwrap() = (0..5).map(shuffled).collect();
    polls.poll();
    assert_eq!(receiver.delivered("it").iter().map(|event| &event.object).collect::<BTreeSet<_>>().len(), 12);
    // a sort that distinguishes rows ends it
    *pages.lock().unwrap() = vec![[(11..=20).collect(), vec![21, 22]]];
    assert!(!polls.poll().tells("PagesOverlap"));
    assert_eq!(receiver.count(), 12, "each once");
}

#[test]
fn pages_that_overlap_prove_no_deletion() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    let polls = Polls::new(&[instance(&server, &receiver, "pagination: {page: {parameter: page}}\ndeletes: {snapshot: {}}")]);
    let pages = |first: Vec<u32>, second: Vec<u32>| {
        stage.answers(move |ask| {
            let page = &ask.query().into_iter().collect::<BTreeMap<_, _>>()["page"];
            let ids = match &**page {
                "1" => &first[..],
                "2" => &second[..],
                _ => &[],
            };
            Answer::json(list(&rows(ids.iter().copied(), ago(9))))
        });
    };
    pages((1..=10).collect(), vec![11, 12]);
    polls.poll();
    polls.poll();
    pages((1..=10).collect(), vec![9, 10]);
    for _ in 0..3 {
        let row = polls.poll();
        let found = row.resources[0].conditions.iter().find(|one| one.kind == "DeletesFound");
        assert!(found.is_some_and(|found| found.reason == "PagesOverlap"), "{row:?}");
    }
    assert!(told(&receiver).is_empty());
    pages((1..=10).collect(), vec![11]);
    polls.poll();
    assert!(!polls.poll().tells("PagesOverlap"));
    assert_eq!(told(&receiver).into_iter().collect::<BTreeSet<_>>(), deleted([12]));
}

#[test]
fn a_flag_that_no_record_can_have_is_said_and_announces_nothing() {
    for (field, before, after, reason) in [
        ("is_deleted", r#","isDeleted":false"#, r#","isDeleted":true"#, "DeletedFlagMissing"),
        ("meta.deleted", r#","metadata":{"deleted":false}"#, r#","metadata":{"deleted":true}"#, "DeletedFlagMissing"),
        ("status", r#","status":"active""#, r#","status":"closed""#, "DeletedFlagUnmatched"),
        ("deleted", r#","deleted":2"#, r#","deleted":3"#, "DeletedFlagUnmatched"),
    ] {
        let stage = Stage::new();
        let server = stage.start();
        let receiver = Receiver::start();
        let flag = format!("{DATES}\ndeletes: {{flag: {{field: {field}}}}}");
        let polls = Polls::new(&[instance(&server, &receiver, &flag)]);
        let living: Vec<_> = (1..=5).map(|id| row(id, ago(9), before)).collect();
        stage.shows(list(&living));
        assert!(polls.poll().tells(reason), "{field}: from the first poll on");
        stage.shows(list(&[living, vec![row(1, ago(8), after)]].concat()));
        assert!(polls.poll().tells(reason), "{field}");
        let tried = binary().arg("try").arg(Site::new(&[instance(&server, &receiver, &flag)]).manifests()).output().unwrap();
        let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
        let says_so = tried.lines().any(|line| line.contains("warning:") && (line.contains("deletes.flag")));
        assert!(says_so, "{field}: {tried}");
        assert!(told(&receiver).into_iter().all(|(kind, _)| kind != Kind::Deleted), "{field}");
    }
}

#[test]
fn a_record_in_the_place_of_the_one_that_was_asked_for_waits_for_a_person() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    let resource = "deletes: {snapshot: {confirm: {url: '/c/${id}'}}}";
    let mut polls = Polls::new(&[instance(&server, &receiver, resource)]);
    let shows = |ids: Vec<u32>, single: &'static str| {
        stage.answers(move |ask| match ask.path() {
            "/c" => Answer::json(list(&rows(ids.iter().copied(), ago(9)))),
            "/c/1" => Answer::json(r#"{"id":1,"name":"both"}"#),
            _ if single == "moved" => Answer::status(301).header("Location", "/c/1"),
            _ => Answer::json(single),
        });
    };
    shows((1..=9).collect(), "");
    polls.poll();
    polls.poll();
    // no answer that counts, and that is said
    shows(vec![1, 3, 4, 5, 6, 7, 8, 9], r#"{"error":"try later"}"#);
    polls.poll();
    assert!(polls.poll().tells("DeletesUnclear"));
    for single in ["moved", r#"{"id":1}"#, r#"{"data":{"id":2,"archived":true}}"#] {
        shows(vec![1, 3, 4, 5, 6, 7, 8, 9], single);
        let row = polls.poll();
        assert!(
            row.told("DeletesHeld").is_some_and(|told| told.starts_with("deletes.snapshot.confirm: ")),
            "{single}: {row:?}"
        );
        assert!(!row.tells("DeletesUnclear"), "{single}");
    }
    assert!(told(&receiver).is_empty());
    // it is there after all
    shows(vec![1, 3, 4, 5, 6, 7, 8, 9], r#"{"id":2}"#);
    assert!(!polls.poll().tells("DeletesHeld"));
    shows(vec![1, 3, 4, 5, 6, 7, 8, 9], r#"{"id":1}"#);
    polls.poll();
    polls.poll();
    let approved = Instance::new("it", &server.url(), &receiver.url("it")).resource(&format!("url: /c\n{resource}"));
    let name = "pollinator.dev/approve-deletes: records";
    polls.rewrite(&[approved.annotated(name).yaml()]);
    polls.poll();
    assert_eq!(told(&receiver), [(Kind::Deleted, "2".to_owned())]);
}

#[test]
fn a_list_of_the_latest_that_was_turned_over_between_two_polls_is_said() {
    for resource in [
        "order: Descending\ndatesConfiguration: {createdDateField: created}",
        "datesConfiguration: {createdDateField: created}",
        "url: /c",
    ] {
        let stage = Stage::new();
        let server = stage.start();
        let receiver = Receiver::start();
        let resource = if resource == "url: /c" { "pageSize: 20" } else { resource };
        let polls = Polls::new(&[instance(&server, &receiver, resource)]);
        let start = ago(9);
        let latest = |top: u32| {
            let one = |id: u32| row(id, start + TimeDelta::minutes(i64::from(id)), "");
            stage.shows(list(&(top - 19..=top).rev().map(one).collect::<Vec<_>>()));
        };
        latest(30);
        polls.poll();
        latest(49);
        assert!(!polls.poll().tells("ListTurnedOver"), "{resource}: one is left");
        latest(69);
        let row = polls.poll();
        assert!(
            row.told("ListTurnedOver").is_some_and(|told| told.contains("decrease polling.interval")),
            "{resource}: {row:?}"
        );
        assert_eq!(receiver.count(), 39, "{resource}");
        assert!(!polls.poll().tells("ListTurnedOver"), "{resource}");
    }
}

#[test]
fn a_first_response_without_a_list_is_no_empty_list() {
    for (name, hollow) in [("an object", "{}"), ("null", "null"), ("another object", r#"{"maintenance":true}"#), ("204", "")] {
        for dates in [DATES, "datesConfiguration: {updatedDateField: updated}", ""] {
            let stage = Stage::new();
            let server = stage.start();
            let receiver = Receiver::start();
            let polls = Polls::new(&[instance(&server, &receiver, &format!("recordsPath: data\n{dates}"))]);
            stage.answers(move |_| if hollow.is_empty() { Answer::status(204) } else { Answer::json(hollow) });
            let row = polls.poll();
            assert_eq!(
                row.failed(),
                dates.is_empty() || name == "another object",
                "{name}: where dates distinguish old from new, nothing is to be waited for, unless the response refuses in words"
            );
            stage.shows(list(&rows(1..=30, ago(9))));
            polls.poll();
            assert_eq!(receiver.count(), 0, "{name}, {dates}: they were there before");
            stage.shows(list(&[rows(1..=30, ago(9)), rows([31], Utc::now() + TimeDelta::seconds(1))].concat()));
            polls.poll();
            polls.poll();
            assert_eq!(told(&receiver), [(Kind::Created, "31".to_owned())], "{name}, {dates}");
        }
    }
}

/// Some providers leave an empty list out: then it is empty, once it is left out again and again.
#[test]
fn a_list_that_is_left_out_again_and_again_is_empty() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    stage.shows("{}");
    let site = Site::new(&[instance(&server, &receiver, "recordsPath: data\ninterval: 5s")]);
    let pollinator = site.start();
    pollinator.wait_reason("it", "RecordsNotFound");
    pollinator.wait_ready("it");
    stage.shows(list(&rows([1], ago(9))));
    let came = receiver.try_wait_count("it", crate::rig::PATIENCE, 1).unwrap_or_else(|| panic!("{}", pollinator.report("it")));
    assert_eq!(came[0].event().object, "1");
}

#[test]
fn a_cursor_that_a_fast_clock_moved_ahead_is_said() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    let polls = Polls::new(&[instance(&server, &receiver, &format!("query: {{since: \"${{since}}\"}}\n{DATES}"))]);
    stage.shows(list(&rows([1], ago(9))));
    polls.poll();
    let ahead = TimeDelta::hours(2);
    stage.is_ahead(ahead);
    stage.shows(list(&rows([2], Utc::now() + ahead)));
    assert!(!polls.poll().tells("CursorAhead"));
    stage.is_ahead(TimeDelta::zero());
    stage.shows(list(&[]));
    let row = polls.poll();
    assert!(row.told("CursorAhead").is_some_and(|told| told.contains("pollinator.dev/reset")), "{row:?}");
    stage.is_ahead(ahead);
    assert!(!polls.poll().tells("CursorAhead"), "it has come to there");
}

#[test]
fn a_list_that_comes_next_to_the_one_that_was_found_is_said() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    let mut polls = Polls::new(&[instance(&server, &receiver, "")]);
    stage.shows(r#"{"created":[{"id":1}],"has_more":false}"#);
    assert!(!polls.poll().tells("OtherLists"));
    stage.shows(r#"{"created":[{"id":1}],"included":[{"id":9}],"errors":[],"tags":["a"],"has_more":false}"#);
    assert!(!polls.poll().tells("OtherLists"), "none of them has records");
    stage.shows(r#"{"created":[{"id":1}],"updated":[{"id":2}],"has_more":false}"#);
    let row = polls.poll();
    assert!(row.told("OtherLists").is_some_and(|told| told.starts_with("recordsPath: ")) && row.ready == "True", "{row:?}");
    polls.rewrite(&[instance(&server, &receiver, "recordsPath: created")]);
    assert!(!polls.poll().tells("OtherLists"), "it was chosen");
}

#[test]
fn a_whole_record_from_a_server_that_lags_behind_is_asked_for_again() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    let resource = format!("{DATES}\ndetail: {{url: '/c/${{id}}'}}");
    let polls = Polls::new(&[instance(&server, &receiver, &resource)]);
    let begun = Utc::now() - TimeDelta::minutes(3);
    let version = move |n: i64| row(1, begun + TimeDelta::minutes(n), &format!(r#","n":{n}"#));
    // The single records are this number of requests behind.
    let lag = Arc::new(Mutex::new(0));
    let shows = |n: i64, requests: u32| {
        *lag.lock().unwrap() = requests;
        let lag = Arc::clone(&lag);
        stage.answers(move |ask| {
            if ask.path() == "/c" {
                return Answer::json(list(&[version(n)]));
            }
            let mut lag = lag.lock().unwrap();
            let is_behind = *lag > 0;
            *lag = lag.saturating_sub(1);
            Answer::json(version(if is_behind { n - 1 } else { n }))
        });
    };
    let sent = || receiver.delivered("it").into_iter().map(|event| event.data).collect::<Vec<_>>();
    shows(1, 0);
    polls.poll();
    shows(2, 1);
    assert!(!polls.poll().tells("InvalidResponse"));
    assert!(sent().len() == 1 && sent()[0].contains(r#""n":2"#), "another server had it: {:?}", sent());
    shows(3, 2);
    let row = polls.poll();
    assert!(row.told("InvalidResponse").is_some_and(|told| told.starts_with("detail: ")), "{row:?}");
    assert_eq!(sent().len(), 1, "its event waits");
    polls.poll();
    assert!(sent().len() == 2 && sent()[1].contains(r#""n":3"#), "{:?}", sent());
}

#[test]
fn records_that_come_with_old_dates_are_said_and_a_full_sweep_finds_them() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    stage.shows(list(&rows(1..=5, ago(9))));
    let site = Site::new(&[instance(&server, &receiver, &format!("{DATES}\ninterval: 5s"))]);
    let pollinator = site.start();
    pollinator.wait_ready("it");
    stage.shows(list(&[rows(1..=5, ago(9)), rows([77], ago(90))].concat()));
    let told_it = pollinator.wait_reason("it", "OldNewcomers");
    assert!(told_it.contains("fullSweep"), "{told_it}");
    assert!(told(&receiver).is_empty());
}

#[test]
fn a_list_and_a_list_of_parents_that_are_suddenly_empty_are_said_until_they_have_records_again() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    let shows = |parents: u32, many: u32| {
        stage.answers(move |ask| {
            let ids = match ask.path() {
                "/c" => 1..=many,
                "/parents" => 1..=parents,
                _ => 1..=1,
            };
            Answer::json(list(&rows(ids, ago(9))))
        });
    };
    shows(7, 30);
    let children = "url: '/parents/${each}'\nforEach: {resource: parents}\n";
    let parents = "  - name: parents\n    url: /parents\n  callback:";
    let of_all = instance(&server, &receiver, DATES);
    let of_each = Instance::new("each", &server.url(), &receiver.url("it")).resource(children).yaml();
    let site = Site::new(&[of_all, of_each.replace("  callback:", parents)]);
    let pollinator = site.start();
    let instances = ["it", "each"];
    for name in instances {
        pollinator.wait_ready(name);
    }
    shows(0, 1);
    let all = |row: &Row, start: &str| row.told("ListEmptied").is_some_and(|told| told.starts_with(start));
    let row = pollinator.wait_for("it", "told", |row| all(row, "the list had many records"));
    assert_eq!(row.ready, "True", "it may be so: {row:?}");
    pollinator.wait_for("each", "told", |row| all(row, "forEach.resource: the list of parents"));
    shows(7, 30);
    for name in instances {
        pollinator.wait_for(name, "told of nothing", |row| !row.tells("ListEmptied"));
    }
    assert!(told(&receiver).is_empty());
}

#[test]
fn dates_that_stand_for_days_and_dates_that_go_are_said() {
    let stage = Stage::new();
    let server = stage.start();
    let receiver = Receiver::start();
    let polls = Polls::new(&[instance(&server, &receiver, DATES)]);
    let midnight = |day: i64| ago(20 + day).date_naive().and_hms_opt(23, 0, 0).unwrap().and_utc();
    let days: Vec<_> = (0..12).map(|id| row(id, midnight(i64::from(id) % 4), "")).collect();
    stage.shows(list(&days));
    assert!(polls.poll().tells("DatesAreDays"));
    stage.shows(list(&[days, rows([20], Utc::now())].concat()));
    let row = polls.poll();
    assert!(!row.tells("DatesAreDays") && !row.tells("DatesLost"), "{row:?}");
    let gone = format!(r#"{{"id":20,"updated":null,"created":"{}"}}"#, iso(ago(9)));
    stage.shows(list(&[rows(0..5, ago(9)), vec![gone]].concat()));
    assert!(polls.poll().tells("DatesLost"));
}

#[test]
fn a_trial_looks_for_a_page_before_the_first() {
    for (first, zero, warns) in [("", 10, true), ("", 0, false), (", first: 0", 10, false)] {
        let stage = Stage::new();
        let server = stage.start();
        let receiver = Receiver::start();
        stage.answers(move |ask| {
            let page: u32 =
                ask.query().into_iter().find(|(name, _)| name == "page").map_or(0, |(_, page)| page.parse().unwrap());
            // With `zero`, page 0 is one of its own; else it is page 1.
            let page = if zero == 0 { page.max(1) } else { page };
            Answer::json(list(&rows((page * 10..30).take(10), ago(9))))
        });
        let site = Site::new(&[instance(&server, &receiver, &format!("pagination: {{page: {{parameter: page{first}}}}}"))]);
        let tried = binary().arg("try").arg(site.manifests()).output().unwrap();
        let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
        assert_eq!(tried.contains("set pagination.page.first to 0"), warns, "{first} {zero}: {tried}");
    }
}

#[test]
fn a_full_first_page_of_which_nothing_leads_on_is_said() {
    let stage = Stage::new();
    let (server, receiver) = (stage.start(), Receiver::start());
    let shows = |count: u32, members: &str| {
        stage.shows(format!(r#"{{"data":[{}]{members}}}"#, rows(1..=count, ago(9)).join(",")));
    };
    let look = |resource: &str| {
        let instance = instance(&server, &receiver, &format!("recordsPath: data\n{resource}"));
        let row = Polls::new(std::slice::from_ref(&instance)).poll();
        assert!(!row.failed(), "{resource}: {row:?}");
        let site = Site::new(&[instance]);
        let tried = binary().arg("try").arg(site.manifests()).output().unwrap();
        let is_said = row.tells("PaginationUnclear");
        assert_eq!(String::from_utf8_lossy(&tried.stdout).contains("warning:      pagination: "), is_said, "{resource}");
        is_said
    };
    let since = "query: {limit: '40', since: \"${since}\"}";
    shows(40, "");
    for query in ["limit", "per_page", "page[size]", "$top", "maxResults", "n", "first"] {
        assert!(look(&format!("query: {{'{query}': '40'}}")), "{query}");
    }
    assert!(look(&format!("{since}\n{DATES}")));
    for resource in [
        "query: {page: '40'}",
        "query: {version: '40'}",
        "query: {limit: '50'}",
        "query: {limit: '30'}",
        "query: {limit: '40'}\npagination: {none: {}}",
        &format!("{since}\norder: Ascending\n{DATES}"),
    ] {
        assert!(!look(resource), "{resource}");
    }
    for (count, members, is_said) in [
        (40, r#","take":40,"skip":0"#, true),
        (40, r#","size":40,"from":0"#, true),
        (40, r#","numberOfElements":40,"size":40,"number":0"#, true),
        (37, r#","top":37,"skip":0"#, true),
        (37, r#","size":37,"from":0"#, false),
        (40, r#","size":40"#, false),
        (40, r#","take":40,"skip":0,"total":40"#, false),
        (40, r#","take":40,"skip":0,"has_more":false"#, false),
    ] {
        shows(count, members);
        assert_eq!(look(""), is_said, "{count}{members}");
    }
    // while the process runs, until the page has another length
    shows(40, "");
    let polls = Polls::new(&[instance(&server, &receiver, "recordsPath: data\nquery: {limit: '40'}")]);
    assert!(polls.poll().tells("PaginationUnclear"));
    shows(39, "");
    assert!(!polls.poll().tells("PaginationUnclear"));
}

/// A cache in between answers with a copy from before the last change that was read.
#[test]
fn an_older_copy_of_a_cache_is_no_change() {
    let stage = Stage::new();
    let server = Server::start({
        let own = stage.clone();
        move |ask| (own.body.lock().unwrap())(ask)
    });
    let shows = |rows: &[String], age: i64| {
        let body = list(rows);
        stage.answers(move |_| {
            let date = (Utc::now() - TimeDelta::seconds(age)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            Answer::json(body.clone()).header("Date", date).header("Age", age.to_string())
        });
    };
    let old = rows(1..=5, ago(9));
    let now = Utc::now() - TimeDelta::seconds(100);
    let new: Vec<_> = old[..4].iter().cloned().chain([row(5, now, r#","x":1"#), row(6, now, "")]).collect();
    // Each poll is one of a process of its own: the dates alone say which version is older.
    for members in ["", "compareContent: true", "deletes: {snapshot: {}}"] {
        let receiver = Receiver::start();
        let polls = Polls::new(&[instance(&server, &receiver, &format!("{DATES}\n{members}"))]);
        shows(&old, 300);
        polls.poll();
        shows(&new, 0);
        polls.poll();
        let count = receiver.count();
        assert_eq!(count, 2, "{members}");
        for _ in 0..2 {
            shows(&old, 300);
            polls.poll();
            shows(&new, 0);
            polls.poll();
        }
        assert_eq!(receiver.count(), count, "{members}: no version came back");
    }
    // By content, a process knows when the answer was made that it read last.
    let receiver = Receiver::start();
    shows(&old, 0);
    let site = Site::new(&[instance(&server, &receiver, "recordsPath: data\nidField: id\ndeletes: {snapshot: {}}")]);
    let pollinator = site.start();
    pollinator.wait_ready("it");
    shows(&new, 0);
    assert!(receiver.try_wait_count("it", PATIENCE, 2).is_some());
    shows(&old, 300);
    let said = pollinator.wait_for("it", "the copy", |row| row.tells("InvalidResponse")).told("InvalidResponse").unwrap();
    assert!(said.contains("older than one that was read already"), "{said}");
    shows(&new, 0);
    pollinator.wait_for("it", "the list", |row| !row.tells("InvalidResponse"));
    assert_eq!(receiver.count(), 2, "nothing was deleted, and nothing changed");
}

/// A parent is deleted between the pages of the first reading, so that the one after it moves to a page that was read already. What it has
/// is no more new than what the others have. Two resources read the list, in any order: the deletion comes in each of their readings.
#[test]
fn a_parent_that_moves_while_parents_are_first_read_is_not_new() {
    for deleted_at in 1..=4 {
        let (parents, receiver) = (Arc::new(Mutex::new((vec!["gone", "a", "b", "c"], 0))), Receiver::start());
        let server = Server::start(move |ask: &Ask| {
            if ask.path() != "/parents" {
                return Answer::json(format!(r#"[{{"id":"{}"}}]"#, ask.path().replace('/', "-")));
            }
            let offset: usize =
                ask.query().into_iter().find(|(name, _)| name == "offset").map_or(0, |(_, text)| text.parse().unwrap());
            let mut parents = parents.lock().unwrap();
            let rows: Vec<_> = parents.0.iter().skip(offset).take(2).map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
            let answer = format!(r#"{{"data":[{}],"total":{}}}"#, rows.join(","), parents.0.len());
            parents.1 += usize::from(offset == 0);
            if offset == 0 && parents.1 == deleted_at {
                parents.0.retain(|id| *id != "gone");
            }
            Answer::json(answer)
        });
        let children = "url: \"/of/${each}\"\npagination: {none: {}}\nforEach: {resource: parents}";
        let yaml = Instance::new("it", &server.url(), &receiver.url("it")).resource(children).yaml();
        let parents =
            "\n  - {name: parents, url: /parents, recordsPath: data, pagination: {offset: {parameter: offset}}}\n  callback:";
        let polls = Polls::new(&[yaml.replace("\n  callback:", parents)]);
        for _ in 0..3 {
            assert!(!polls.poll().failed(), "{deleted_at}");
        }
        assert_eq!(told(&receiver), [], "deleted at request {deleted_at} for the first page");
    }
}
