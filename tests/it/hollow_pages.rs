//! Pages that were announced and have no list, lists that end in an error, and answers that are a part: none is the end of a list, and no
//! deletion follows from one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use chrono::{SecondsFormat, TimeDelta, Utc};

use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::receiver::Receiver;

const SIZE: usize = 10;

/// Rows of three pages, newest first, whose second page is something else while it is broken.
struct Provider {
    server: Server,
    rows: Arc<Mutex<Vec<(u32, i64)>>>,
    is_broken: Arc<AtomicBool>,
}

/// What a page says of the next one, and what the second page is while it is broken.
fn provider(says: fn(usize, usize) -> String, broken: fn(&[String]) -> Answer) -> Provider {
    let rows: Arc<Mutex<Vec<(u32, i64)>>> = Arc::new(Mutex::new((1..=30).map(|id| (id, i64::from(id) * -1_000)).collect()));
    let is_broken = Arc::new(AtomicBool::new(false));
    let (all, breaks) = (Arc::clone(&rows), Arc::clone(&is_broken));
    let server = Server::start(move |ask: &Ask| {
        let page =
            ask.query().into_iter().find(|(name, _)| name == "page").map_or(1, |(_, page)| page.parse().expect("a page"));
        let mut rows = all.lock().unwrap().clone();
        rows.sort_by_key(|(_, seconds)| -seconds);
        let text = |(id, seconds): &(u32, i64)| {
            let at = (Utc::now() + TimeDelta::seconds(*seconds)).to_rfc3339_opts(SecondsFormat::Secs, true);
            format!(r#"{{"id":{id},"version":{seconds},"at":"{at}"}}"#)
        };
        let listed: Vec<_> = rows.iter().skip((page - 1) * SIZE).take(SIZE).map(text).collect();
        if page == 2 && breaks.load(Ordering::Acquire) {
            return broken(&listed);
        }
        Answer::json(format!(r#"{{"data":[{}]{}}}"#, listed.join(","), says(page, rows.len())))
    });
    Provider { server, rows, is_broken }
}

fn next_link(page: usize, rows: usize) -> String {
    if page * SIZE < rows { format!(r#","next":"/list?page={}""#, page + 1) } else { r#","next":null"#.to_owned() }
}

fn has_more(page: usize, rows: usize) -> String {
    format!(r#","has_more":{},"next":"/list?page={}""#, page * SIZE < rows, page + 1)
}

fn nothing(_: usize, _: usize) -> String {
    String::new()
}

/// Content is compared, so each change is found by whatever poll reads its row.
fn polls(provider: &Provider, receiver: &Receiver, members: &str) -> Polls {
    let members = format!("url: /list\nrecordsPath: data\nignoreFields: [at]\n{members}");
    Polls::new(&[Instance::new("it", &provider.server.url(), &receiver.url("it")).resource(&members).yaml()])
}

#[test]
fn a_page_that_was_announced_and_has_no_list_fails_the_poll_and_proves_no_deletion() {
    let forms: [fn(&[String]) -> Answer; 4] =
        [|_| Answer::status(204), |_| Answer::json("null"), |_| Answer::json("{}"), |_| Answer::json(r#"{"data":null}"#)];
    let look = |index: usize, form: fn(&[String]) -> Answer| {
        // Where an empty list is left out, nothing but a flag says that this is not the end.
        let says = if index < 2 { next_link } else { has_more };
        let (provider, receiver) = (provider(says, form), Receiver::start());
        let polls = polls(&provider, &receiver, "pagination: {nextLink: {field: next}}\ndeletes: {snapshot: {}}");
        polls.poll();
        provider.is_broken.store(true, Ordering::Release);
        for _ in 0..2 {
            let row = polls.poll();
            let said = row.told("InvalidResponse").unwrap_or_else(|| panic!("{index}: {row:?}"));
            assert!(said.contains("page 2 was announced"), "{said}");
        }
        provider.is_broken.store(false, Ordering::Release);
        polls.poll();
        assert_eq!(receiver.count(), 0, "{index}: nothing was deleted, and nothing changed");
    };
    // Each page is asked for again several times before its poll fails.
    thread::scope(|scope| {
        for (index, form) in forms.into_iter().enumerate() {
            scope.spawn(move || look(index, form));
        }
    });
}

#[test]
fn a_page_that_a_link_leads_to_may_leave_its_list_out_and_proves_no_deletion() {
    let (provider, receiver) = (provider(next_link, |_| Answer::json("{}")), Receiver::start());
    let polls = polls(&provider, &receiver, "pagination: {nextLink: {field: next}}\ndeletes: {snapshot: {}}");
    polls.poll();
    provider.is_broken.store(true, Ordering::Release);
    for _ in 0..3 {
        assert!(polls.poll().tells("SweepUnsettled"));
    }
    assert_eq!(receiver.count(), 0);
}

#[test]
fn rows_that_are_hidden_in_the_middle_of_pages_that_are_not_counted_hide_no_page() {
    // one row of the second page is hidden
    let (provider, receiver) =
        (provider(nothing, |rows| Answer::json(format!(r#"{{"data":[{}]}}"#, rows[1..].join(",")))), Receiver::start());
    let polls = polls(&provider, &receiver, "pagination: {page: {parameter: page}}\ndeletes: {snapshot: {}}");
    polls.poll();
    provider.is_broken.store(true, Ordering::Release);
    provider.rows.lock().unwrap()[29].1 = -40_000;
    for _ in 0..3 {
        polls.poll();
    }
    let came: Vec<_> = receiver.delivered("it").into_iter().map(|event| (event.kind, event.object)).collect();
    let (updated, hidden) = ((Kind::Updated, "30".to_owned()), (Kind::Deleted, "11".to_owned()));
    assert!(came.contains(&updated) && came.iter().all(|event| *event == updated || *event == hidden), "{came:?}");
}

#[test]
fn a_list_that_ends_with_an_error_fails_the_poll() {
    let with_error = |rows: &[String]| Answer::json(format!(r#"{{"data":[{},{{"error":{{"code":500}}}}]}}"#, rows[0]));
    let (provider, receiver) = (provider(nothing, with_error), Receiver::start());
    let polls = polls(&provider, &receiver, "pagination: {page: {parameter: page}}");
    polls.poll();
    provider.is_broken.store(true, Ordering::Release);
    provider.rows.lock().unwrap()[29].1 = -40_000;
    assert!(polls.poll().tells("ErrorInResponse"));
    provider.is_broken.store(false, Ordering::Release);
    polls.poll();
    assert_eq!(receiver.delivered("it").len(), 1, "what was behind the error");
}

#[test]
fn an_answer_that_is_a_part_proves_no_deletion() {
    for status in [206, 207] {
        let is_part = Arc::new(AtomicBool::new(false));
        let breaks = Arc::clone(&is_part);
        let server = Server::start(move |_: &Ask| {
            let is_part = breaks.load(Ordering::Acquire);
            let rows: Vec<_> = (1..=30).filter(|id| !is_part || *id > 5).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
            Answer::json(format!("[{}]", rows.join(","))).with_status(if is_part { status } else { 200 })
        });
        let receiver = Receiver::start();
        let instance = Instance::new("it", &server.url(), &receiver.url("it")).resource("url: /list\ndeletes: {snapshot: {}}");
        let polls = Polls::new(&[instance.yaml()]);
        polls.poll();
        is_part.store(true, Ordering::Release);
        for _ in 0..3 {
            assert!(polls.poll().tells("SweepUnsettled"), "{status}");
        }
        assert_eq!(receiver.count(), 0, "{status}");
    }
}
