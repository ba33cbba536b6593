//! Failures of other programs that poll, as public reports describe them, each with the name of its report. The page of what is tested says
//! where the others are.

use std::sync::{Arc, Mutex};

use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::receiver::Receiver;

fn number(ask: &Ask, name: &str) -> Option<i64> {
    ask.query().into_iter().find(|(key, _)| key == name).map(|(_, value)| value.parse().expect("a number"))
}

fn objects(receiver: &Receiver) -> Vec<String> {
    let mut objects: Vec<_> = receiver.delivered("it").into_iter().map(|event| event.object).collect();
    objects.sort();
    objects
}

/// airbyte#80152: of two rows with the same millisecond at the start of the first sync, the second one was never read.
#[test]
fn rows_of_one_millisecond_at_the_start_arrive_all() {
    const START: i64 = 1_760_000_000_123;
    // the filter leaves out its bound, so ties are lost if that is the date of the last row
    for order in ["Ascending", "Descending", "Unordered"] {
        let rows = Arc::new(Mutex::new(vec![("a", START), ("b", START), ("c", START + 1)]));
        let listed = Arc::clone(&rows);
        let server = Server::start(move |ask| {
            let since = number(ask, "since").unwrap_or(i64::MIN);
            let mut rows: Vec<_> = listed.lock().unwrap().iter().copied().filter(|(_, at)| *at > since).collect();
            rows.sort_by_key(|(id, at)| (*at, *id));
            if order == "Descending" {
                rows.reverse();
            }
            let offset = usize::try_from(number(ask, "offset").unwrap_or(0)).expect("an offset");
            let page: Vec<_> =
                rows.iter().skip(offset).take(1).map(|(id, at)| format!(r#"{{"id":"{id}","at":{at}}}"#)).collect();
            Answer::json(format!(r#"{{"total":{},"rows":[{}]}}"#, rows.len(), page.join(",")))
        });
        let receiver = Receiver::start();
        let resource = format!(
            "url: /rows\nquery: {{since: \"${{since}}\"}}\nrecordsPath: rows\norder: {order}\npagination: {{offset: {{parameter: offset}}}}\n\
             datesConfiguration: {{updatedDateField: at, updatedDateFormat: milliseconds}}"
        );
        let polls =
            Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).earliest().yaml()]);
        polls.poll();
        assert_eq!(objects(&receiver), ["a", "b", "c"], "{order}");
        // and one more of that millisecond, and of the last one
        rows.lock().unwrap().extend([("d", START + 1), ("e", START + 1)]);
        polls.poll();
        polls.poll();
        assert_eq!(objects(&receiver), ["a", "b", "c", "d", "e"], "{order}");
    }
}

/// devlake#5032: the number of the page was sent as the offset, and most rows were passed by.
#[test]
fn pages_and_offsets_that_are_swapped_are_reported_with_the_fix() {
    const ROWS: i64 = 95;
    let list = |start: i64, size: i64| {
        let rows: Vec<_> = (start..(start + size).min(ROWS)).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
        Answer::json(format!(r#"{{"total":{ROWS},"rows":[{}]}}"#, rows.join(",")))
    };
    let polled = |server: &Server, pagination: &str| {
        let receiver = Receiver::start();
        let resource = format!("url: /rows\nrecordsPath: rows\npagination: {pagination}");
        let polls =
            Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).earliest().yaml()]);
        let row = polls.poll();
        (row, objects(&receiver).len())
    };
    for first in [0, 1] {
        let server = Server::start(move |ask| list((number(ask, "page").unwrap_or(first) - first).max(0) * 10, 10));
        let (row, _) = polled(&server, "{offset: {parameter: page}}");
        assert!(row.failed() && row.tells("PaginationUnclear"), "from {first}: {row:?}");
        assert!(row.message.contains("set pagination.page with this parameter"), "{row:?}");
        let (row, count) = polled(&server, &format!("{{page: {{parameter: page, first: {first}}}}}"));
        assert!(!row.failed() && count == 95, "from {first}: {count} {row:?}");
    }
    let server = Server::start(move |ask| list(number(ask, "offset").unwrap_or(0), 10));
    let (row, _) = polled(&server, "{page: {parameter: offset}}");
    assert!(row.told("PagesOverlap").is_some_and(|told| told.contains("set pagination.offset")), "{row:?}");
    let (row, count) = polled(&server, "{offset: {parameter: offset}}");
    assert!(!row.failed() && !row.tells("PagesOverlap") && count == 95, "{count} {row:?}");
}

/// atuin#3913: the number of rows is a multiple of the size of a page, and the last one was lost, or an empty page was taken for a fault.
#[test]
fn a_list_whose_last_page_is_full_or_empty_is_read_to_its_end() {
    for parameter in ["offset", "page"] {
        for says in ["nothing", "total", "pages", "more"] {
            for rows in [0, 1, 3, 6, 9] {
                let server = Server::start(move |ask| {
                    let start = match parameter {
                        "offset" => number(ask, "offset").unwrap_or(0),
                        _ => (number(ask, "page").unwrap_or(1) - 1) * 3,
                    };
                    let page: Vec<_> = (start..(start + 3).min(rows)).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
                    let said = match says {
                        "total" => format!(r#","total":{rows}"#),
                        "pages" => format!(r#","page":{},"total_pages":{}"#, start / 3 + 1, (rows + 2) / 3),
                        "more" => format!(r#","has_more":{}"#, start + 3 < rows),
                        _ => String::new(),
                    };
                    Answer::json(format!(r#"{{"rows":[{}]{said}}}"#, page.join(",")))
                });
                let receiver = Receiver::start();
                let resource =
                    format!("url: /rows\nrecordsPath: rows\npagination: {{{parameter}: {{parameter: {parameter}}}}}");
                let instance = Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).earliest();
                let row = Polls::new(&[instance.yaml()]).poll();
                let expected: Vec<_> = (0..rows).map(|id| id.to_string()).collect();
                assert!(!row.failed() && objects(&receiver) == expected, "{rows} by {parameter}, {says} is said: {row:?}");
            }
        }
    }
}

/// faucet-stream#321 and others: what may have had an effect is sent again after its answer was lost.
#[test]
fn a_search_by_post_whose_answer_was_lost_is_not_repeated_within_the_poll() {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let server = Server::start(move |_| {
        let mut asked = counted.lock().unwrap();
        *asked += 1;
        if *asked == 1 { Answer::hang_up() } else { Answer::json(r#"[{"id":1}]"#) }
    });
    let receiver = Receiver::start();
    let instance = |method: &str| {
        let resource = format!("url: /search\nmethod: {method}");
        Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).earliest().yaml()
    };
    let polls = Polls::new(&[instance("POST")]);
    assert!(polls.poll().failed() && *asked.lock().unwrap() == 1, "one request, whatever came of it");
    assert!(!polls.poll().failed());
    assert_eq!(objects(&receiver), ["1"]);
    // a request that has no effect is repeated at once
    *asked.lock().unwrap() = 0;
    let polls = Polls::new(&[instance("GET")]);
    assert!(!polls.poll().failed() && *asked.lock().unwrap() == 2);
}

/// KEDA#5248: each poll left a connection behind, until there were no more ports.
#[test]
fn polls_and_events_leave_no_connections_behind() {
    let version = Arc::new(Mutex::new(0));
    let shown = Arc::clone(&version);
    let server = Server::start(move |_| {
        let version = *shown.lock().unwrap();
        // every kind of end: a list, a refusal with a body, and nothing
        match version % 3 {
            1 => Answer::json(r#"{"error":"try later"}"#).with_status(404),
            2 => Answer::status(403),
            _ => Answer::json(format!(r#"[{{"id":1,"version":{version}}}]"#)),
        }
    });
    let receiver = Receiver::start();
    let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource("url: /rows").earliest().yaml()]);
    for poll in 0..60 {
        *version.lock().unwrap() = poll;
        polls.poll();
    }
    let versions = receiver.delivered("it").iter().filter(|event| event.kind == Kind::Updated).count();
    assert_eq!(versions, 19, "one event for each list after the first");
    assert!(server.connections() <= 4, "{} connections for 60 polls", server.connections());
}
