//! Awkward data at an honest provider: rows that appear late, ties, pages that shift while they are read, odd clocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta};

use crate::rig::http::{Answer, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::provider::habits::Filter;
use crate::rig::provider::{Change, Listing, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::scene::{Scene, ids};
use crate::rig::traffic::Dice;

/// Updates, deletes and creates between the pages of a walk, until so many were made.
fn churn(provider: &Provider, mut living: Vec<String>, mut left: u32) {
    let mut dice = Dice::new(11);
    provider.after_page(move |_| {
        let mut changes = Vec::new();
        for _ in 0..left.min(4) {
            left -= 1;
            let at = usize::try_from(dice.below(living.len() as u64)).unwrap();
            changes.push(match dice.below(4) {
                0 => Change::Delete(living.swap_remove(at)),
                1 => {
                    let id = format!("born-{left}");
                    living.push(id.clone());
                    Change::Create(id)
                }
                _ => Change::Update(living[at].clone()),
            });
        }
        changes
    });
}

fn nothing_is_lost_while_pages_shift(listing: Listing, order: &str) {
    let scene = Scene::with(Provider::start().page_size(20).listing(listing), |instance| instance.and_resource(order));
    let pollinator = scene.start();
    scene.provider.create_all(ids("r", 200));
    churn(&scene.provider, ids("r", 200).collect(), 60);
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn nothing_is_lost_while_ascending_pages_shift() {
    nothing_is_lost_while_pages_shift(Listing::Ascending, "order: Ascending");
}

#[test]
fn nothing_is_lost_while_descending_pages_shift() {
    nothing_is_lost_while_pages_shift(Listing::Descending, "order: Descending");
}

#[test]
fn nothing_is_lost_while_unordered_pages_shift() {
    nothing_is_lost_while_pages_shift(Listing::ById, "");
}

#[test]
fn a_list_that_breaks_its_declared_order_loses_nothing() {
    let scene =
        Scene::with(Provider::start().page_size(20).listing(Listing::Descending), |i| i.and_resource("order: Ascending"));
    let pollinator = scene.start();
    for (n, id) in (0..).zip(ids("r", 100)) {
        scene.provider.create_dated(&id, TimeDelta::milliseconds(n));
    }
    pollinator.wait_reason("it", "UnorderedResource");
    scene.assert_stays_perfect(&pollinator);
}

/// A server with the rows that a closure lists, two a page, `page` by `page`.
fn in_pages(list: impl Fn(&BTreeMap<String, String>) -> Vec<String> + Send + Sync + 'static) -> Server {
    Server::start(move |ask| {
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
        let rows = list(&query);
        let shown: Vec<_> = rows.iter().skip(2 * (page - 1)).take(2).map(String::as_str).collect();
        let (shown, more) = (shown.join(","), rows.len() > 2 * page);
        Answer::json(format!("{{\"items\":[{shown}],\"page\":{page},\"has_more\":{more}}}"))
    })
}

const DATED_PAGES: &str = "pagination: {page: {parameter: page}}\n\
    datesConfiguration: {updatedDateField: updated, updatedDateFormat: seconds, createdDateField: created, createdDateFormat: seconds}";

/// A poll that shows only what changed may show it in order by chance.
#[test]
fn an_order_that_was_broken_once_is_not_trusted_by_later_polls() {
    let now = chrono::Utc::now().timestamp();
    let updated = Arc::new(Mutex::new((1..9).map(|id| (id, now - 7_200 + id * 37 % 50)).collect::<BTreeMap<i64, i64>>()));
    let shown = Arc::clone(&updated);
    let provider = in_pages(move |query| {
        let since: i64 = query["since"].parse().unwrap();
        let rows = shown.lock().unwrap();
        // by id, whatever was asked for
        let rows = rows.iter().filter(|(_, at)| **at >= since);
        rows.map(|(id, at)| format!("{{\"id\":{id},\"created\":1000000000,\"updated\":{at}}}")).collect()
    });
    let receiver = Receiver::start();
    let resource = |order: &str| format!("url: /rows\nquery: {{since: \"${{epoch:s}}\"}}\norder: {order}\n{DATED_PAGES}");
    let instance = |order: &str| Instance::new("it", &provider.url(), &receiver.url("it")).resource(&resource(order)).yaml();
    let mut polls = Polls::new(&[instance("Ascending")]);
    assert!(polls.poll().tells("UnorderedResource"));
    assert!(polls.poll().tells("UnorderedResource"), "a poll that shows little proves nothing");
    for (id, ago) in [(1, 60), (2, 59), (3, 120), (4, 119)] {
        updated.lock().unwrap().insert(id, now - ago);
    }
    polls.poll();
    assert_eq!(receiver.count(), 4);
    polls.rewrite(&[instance("Unordered")]);
    assert!(!polls.poll().tells("UnorderedResource"));
    assert_eq!(receiver.count(), 4);
}

/// Many databases put what was never updated last.
#[test]
fn a_descending_list_with_its_undated_records_last_loses_none_of_them() {
    let now = chrono::Utc::now().timestamp();
    let rows: Vec<_> = (1..11).rev().map(|id| (id, now - 90_000 + id, Some(now - 9_000 + id))).collect();
    let rows = Arc::new(Mutex::new([rows, vec![(11, now - 90_000, None), (12, now - 89_000, None)]].concat()));
    let shown = Arc::clone(&rows);
    let provider = in_pages(move |_| {
        let rows = shown.lock().unwrap();
        let updated = |at: Option<i64>| at.map_or("null".to_owned(), |at| at.to_string());
        rows.iter().map(|(id, at, up)| format!("{{\"id\":{id},\"created\":{at},\"updated\":{}}}", updated(*up))).collect()
    });
    let receiver = Receiver::start();
    let resource = format!("url: /rows\norder: Descending\n{DATED_PAGES}");
    let polls = Polls::new(&[Instance::new("it", &provider.url(), &receiver.url("it")).resource(&resource).yaml()]);
    polls.poll();
    for (new, id) in (1..4).zip(101..) {
        rows.lock().unwrap().push((id, chrono::Utc::now().timestamp(), None));
        assert!(polls.poll().tells("UnorderedResource"));
        assert_eq!(receiver.count(), new);
    }
}

#[test]
fn ten_thousand_records_with_one_date_arrive_once() {
    let scene = Scene::with(Provider::start().page_size(500), |instance| instance);
    let pollinator = scene.start();
    scene.provider.create_all(ids("tie", 10_000));
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn rows_that_appear_late_are_found_within_the_lookback() {
    let scene = Scene::with(Provider::start(), |instance| instance.and_resource("lookback: 5m"));
    let pollinator = scene.start();
    scene.provider.create_hidden("late");
    // a poll later, so that the cursor goes well past the hidden one
    scene.provider.wait_polled(1);
    scene.provider.create("prompt");
    scene.wait_posts(1, &pollinator);
    scene.provider.wait_polled(2);
    scene.provider.show("late");
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn late_rows_are_found_until_none_can_appear_any_more() {
    let provider = Provider::start().clock_at(chrono::Utc::now());
    let scene = Scene::with(provider, |instance| instance.and_resource("lateness: 5m"));
    let pollinator = scene.start();
    scene.provider.pass(TimeDelta::seconds(10));
    scene.provider.create_hidden("late");
    scene.provider.wait_polled(1);
    scene.provider.pass(TimeDelta::seconds(10));
    scene.provider.create("prompt");
    scene.wait_posts(1, &pollinator);
    scene.provider.wait_polled(1);
    scene.provider.show("late");
    scene.assert_perfect(&pollinator);
    let since = || {
        let asks = scene.provider.asks();
        let (_, since) = asks.last()?.query().into_iter().find(|(name, _)| name == "since")?;
        DateTime::parse_from_rfc3339(&since).ok()
    };
    let while_it_may_change = since().unwrap();
    scene.provider.pass(TimeDelta::minutes(10));
    scene.provider.wait_polled(2);
    assert_eq!(since().unwrap() - while_it_may_change, TimeDelta::minutes(4), "a minute is always read again");
    scene.provider.create("after");
    scene.assert_perfect(&pollinator);
}

/// Ids and seconds; at most three rows at once, from a second on, oldest first.
#[test]
fn a_list_without_pages_is_read_by_its_dates() {
    let rows: Arc<Mutex<Vec<(String, i64)>>> = Arc::default();
    let served = Arc::clone(&rows);
    let provider = Server::start(move |ask| {
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let from: i64 = query["from"].parse().unwrap();
        let limit: usize = query["limit"].parse().unwrap();
        let mut rows = served.lock().unwrap().clone();
        rows.sort_by_key(|(_, at)| *at);
        let page = rows.iter().filter(|(_, at)| *at >= from).take(limit);
        let page: Vec<_> = page.map(|(id, at)| format!(r#"{{"id":"{id}","at":{at}}}"#)).collect();
        Answer::json(format!("[{}]", page.join(",")))
    });
    let receiver = Receiver::start();
    let resource = "url: /rows\nquery: {from: \"${epoch:s}\"}\norder: Ascending\npageSize: 3\n\
                    pagination: {keyset: {sizeParameter: limit}}\n\
                    datesConfiguration: {updatedDateField: at, updatedDateFormat: seconds, createdDateField: at, createdDateFormat: seconds}";
    let polls = Polls::new(&[Instance::new("it", &provider.url(), &receiver.url("it")).resource(resource).yaml()]);
    let now = chrono::Utc::now().timestamp();
    let add = |prefix: &str, range: std::ops::Range<i64>, at: &dyn Fn(i64) -> i64| {
        rows.lock().unwrap().extend(range.map(|n| (format!("{prefix}-{n}"), at(n))));
    };
    add("old", 0..10, &|n| now - 9_000 + n * 10);
    assert_eq!(polls.poll().ready, "True");
    assert_eq!(receiver.count(), 0, "all of it is the baseline");
    // two of each date
    add("new", 0..11, &|n| now - 5_000 + n / 2 * 10);
    assert_eq!(polls.poll().ready, "True");
    assert_eq!(receiver.count(), 11);
    assert_eq!(polls.poll().ready, "True");
    assert_eq!(receiver.count(), 11);
    // more of one date than are listed at once
    add("tie", 0..4, &|_| now - 1_000);
    let row = polls.poll();
    assert!(row.tells("PaginationUnclear"), "{row:?}");
}

/// The provider gives five records a page, whatever is asked for.
#[test]
fn pages_by_date_that_the_provider_shortens_are_read_to_the_end_or_reported() {
    let now = chrono::Utc::now().timestamp();
    let look = |ties: i64| {
        let provider = Server::start(move |ask| {
            let from: i64 = ask.query().into_iter().find(|(name, _)| name == "from").unwrap().1.parse().unwrap();
            let rows = (1..=23).map(|id| (id, now - 9_000 + id / ties * 60)).filter(|(_, at)| *at >= from).take(5);
            let rows: Vec<_> = rows.map(|(id, at)| format!(r#"{{"id":{id},"at":{at}}}"#)).collect();
            Answer::json(format!("[{}]", rows.join(",")))
        });
        let receiver = Receiver::start();
        let resource = "url: /rows\nquery: {from: \"${epoch:s}\"}\norder: Ascending\npageSize: 100\npagination: {keyset: {}}\n\
                        datesConfiguration: {updatedDateField: at, updatedDateFormat: seconds}";
        let instance = Instance::new("it", &provider.url(), &receiver.url("it")).earliest().resource(resource);
        let row = Polls::new(&[instance.yaml()]).poll();
        (receiver.count(), row)
    };
    for ties in [1, 4] {
        let (count, row) = look(ties);
        assert_eq!((count, row.ready.as_str()), (23, "True"), "{ties}: {row:?}");
    }
    // Five of one date fill a page, as more do.
    for ties in [5, 6] {
        let (_, row) = look(ties);
        let said = row.told("PaginationUnclear").unwrap_or_else(|| panic!("{ties}: {row:?}"));
        assert!(said.contains("fewer records a page than pageSize"), "{said}");
    }
}

#[test]
fn what_was_there_before_stays_silent_within_the_lookback() {
    let provider = Provider::start();
    provider.baseline_dated(ids("recent", 20), TimeDelta::seconds(-60));
    let scene = Scene::with(provider, |instance| instance.and_resource("lookback: 5m"));
    let pollinator = scene.start();
    scene.provider.wait_polled(1);
    scene.provider.create("new");
    scene.provider.update("recent-00003");
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn what_changes_while_the_baseline_is_read_is_sent() {
    let provider = Provider::start().page_size(5).slow(Duration::from_millis(1500));
    provider.baseline(ids("old", 20));
    // at the third of four pages of the first pass: seconds after the first answer, by the provider's own clock
    let mut changes = vec![Change::Create("new".to_owned()), Change::Update("old-00001".to_owned())];
    provider.after_page(move |offset| if offset == 10 { std::mem::take(&mut changes) } else { Vec::new() });
    // without a created date the whole list must be read before anything can be told from it
    let scene = Scene::with(provider, |instance| {
        let dateless = |line: &&str| !line.trim_start().starts_with("createdDate");
        let resource: Vec<_> = instance.resource.lines().filter(dateless).map(str::to_owned).collect();
        instance.resource(&resource.join("\n"))
    });
    let pollinator = scene.start();
    scene.provider.after_page(|_| Vec::new());
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn a_record_from_the_future_does_not_hide_the_present() {
    let scene = Scene::with(Provider::start(), |instance| instance);
    let pollinator = scene.start();
    scene.provider.create_dated("far", TimeDelta::days(365 * 70));
    scene.provider.create_dated("near", TimeDelta::hours(1));
    scene.provider.wait_polled(2);
    scene.provider.create("present");
    scene.provider.update("near");
    scene.assert_stays_perfect(&pollinator);
    let row = pollinator.wait_for("it", "it is reported", |row| row.tells("FutureDates"));
    assert_eq!(row.ready, "True");
}

#[test]
fn the_clock_that_counts_is_the_providers() {
    for skew in [TimeDelta::minutes(-5), TimeDelta::minutes(5)] {
        let provider = Provider::start().skew(skew);
        provider.baseline(ids("old", 10));
        let scene = Scene::with(provider, |instance| instance);
        let pollinator = scene.start();
        scene.provider.create("first");
        scene.provider.wait_polled(2);
        scene.provider.create("second");
        scene.provider.update("old-00003");
        scene.assert_stays_perfect(&pollinator);
    }
}

#[test]
fn the_first_read_from_earliest_sends_all_as_created() {
    let provider = Provider::start().page_size(50);
    provider.create_all(ids("r", 500));
    let scene = Scene::with(provider, Instance::earliest);
    let pollinator = scene.start();
    scene.provider.update("r-00007");
    scene.provider.delete("r-00008");
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn from_a_time_on_is_sent_what_is_dated_then_or_later() {
    let provider = Provider::start().page_size(10);
    let start = provider.now() - TimeDelta::hours(2);
    // the bound is inclusive
    for (id, from_now) in [("long-ago", -TimeDelta::days(9)), ("since", -TimeDelta::hours(1)), ("just", -TimeDelta::minutes(1))]
    {
        provider.create_dated(id, from_now);
    }
    let receiver = Receiver::start();
    let instance = Instance {
        start_from: format!("\"{}\"", start.to_rfc3339_opts(SecondsFormat::Millis, true)),
        ..Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth()
    };
    let polls = Polls::new(&[instance.yaml()]);
    // each object has its own order
    let told = || receiver.delivered("it").into_iter().map(|event| (event.object, event.kind)).collect::<BTreeSet<_>>();
    let created = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), Kind::Created)).collect::<BTreeSet<_>>();
    assert_eq!(polls.poll().ready, "True");
    assert_eq!(told(), created(&["since", "just"]));
    let asked = provider.asks()[0].query().into_iter().find(|(name, _)| name == "since").map(|(_, value)| value);
    let bound = (start - TimeDelta::milliseconds(1)).to_rfc3339_opts(SecondsFormat::Millis, true);
    assert_eq!(asked, Some(bound), "one unit early, for filters that exclude their bound");
    polls.poll();
    provider.create("new");
    polls.poll();
    assert_eq!(told(), created(&["since", "just", "new"]), "and then as ever");
    assert_eq!(receiver.count(), 3);
}

#[test]
fn a_descending_list_is_left_where_it_becomes_old() {
    let provider = Provider::start().page_size(10).listing(Listing::Descending).filter(Filter::None);
    provider.baseline_dated(ids("older", 195), -TimeDelta::days(2));
    provider.baseline_dated(ids("old", 5), -TimeDelta::days(1));
    let receiver = Receiver::start();
    let resource = format!("{}order: Descending\n", provider.resource());
    let instance = Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().resource(&resource);
    let polls = Polls::new(&[instance.yaml()]);
    polls.poll();
    assert!(provider.asked() >= 20, "the baseline is the whole list");
    let pages_of_poll = || {
        let before = provider.asked();
        polls.poll();
        provider.asked() - before
    };
    assert_eq!(pages_of_poll(), 2, "a page of old records behind the first one ends the list");
    provider.create("new");
    assert_eq!(pages_of_poll(), 4, "and what was found is made sure of");
    let delivered: Vec<_> = receiver.delivered("it").into_iter().map(|event| event.object).collect();
    assert_eq!(delivered, ["new"]);
}

/// Numbers beyond what floating point tells apart, forms of one letter, and ids that are long.
#[test]
fn ids_are_what_was_sent_to_the_last_digit_and_byte() {
    let long = "x".repeat(5 * 1024);
    let longer = format!("{long}y");
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    let texts = [composed, decomposed, &long, &longer].map(|id| serde_json::to_string(id).expect("text is JSON"));
    let numbers = ["9007199254740992", "9007199254740993", "18446744073709551617", "1.10"].map(str::to_owned);
    let mut sent = [numbers.to_vec(), texts.to_vec(), vec!["1".to_owned()]].concat();
    let page = |ids: &[String]| {
        let records: Vec<_> = ids.iter().map(|id| format!("{{\"id\":{id}}}")).collect();
        format!("[{}]", records.join(","))
    };
    let list = Arc::new(Mutex::new(page(&sent)));
    let shown = Arc::clone(&list);
    let provider = Server::start(move |_| Answer::json(shown.lock().unwrap().clone()));
    let receiver = Receiver::start();
    let instance = Instance::new("it", &provider.url(), &receiver.url("it")).resource("url: /records").earliest();
    let polls = Polls::new(&[instance.yaml()]);
    polls.poll();
    let mut expected = numbers.to_vec();
    expected.extend([composed, decomposed, &long, &longer, "1"].map(str::to_owned));
    expected.sort();
    let told = |from: usize| {
        let mut told: Vec<_> =
            receiver.delivered("it").split_off(from).into_iter().map(|event| (event.object, event.kind)).collect();
        told.sort();
        told
    };
    assert_eq!(told(0), expected.iter().map(|id| (id.clone(), Kind::Created)).collect::<Vec<_>>());
    polls.poll();
    assert_eq!(told(expected.len()), [], "nothing is taken for another one");
    // The provider writes the number as a text from now on: other bytes, the same record.
    *sent.last_mut().expect("there are some") = "\"1\"".to_owned();
    *list.lock().unwrap() = page(&sent);
    polls.poll();
    assert_eq!(told(expected.len()), [("1".to_owned(), Kind::Updated)]);
}

#[test]
fn changes_are_found_by_content_where_there_are_no_dates() {
    let provider = Provider::start().page_size(30);
    provider.baseline(ids("old", 100));
    let scene = Scene::with(provider, |instance| {
        instance.resource(
            "url: /records\nrecordsPath: records\nidField: id\npagination: {nextLink: {field: next}}\ndeletes: {flag: {field: deleted}}",
        )
    });
    let pollinator = scene.start();
    for id in ids("old", 40) {
        scene.provider.update(&id);
    }
    scene.provider.create_all(ids("new", 40));
    scene.provider.delete("old-00077");
    scene.assert_stays_perfect(&pollinator);
}
