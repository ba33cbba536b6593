//! Lists of which the provider shows no more than a number of records, as searches do: they are read in parts, and what no part shows is
//! said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::rig::PATIENCE;
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::pollinator::Site;
use crate::rig::receiver::Receiver;

/// Records of the search that has no more of one date than it lists.
const SPREAD: usize = 4_000;
/// Records of one second in the other one.
const CROWD: usize = 25_000;

/// A search: its rows in the order in which it lists them.
struct Search {
    rows: Vec<(String, DateTime<Utc>)>,
    cap: usize,
    /// Whether records at its bounds match.
    is_inclusive: bool,
}

/// What was asked for.
#[derive(Default)]
struct Asked {
    /// Lower bounds of first pages.
    since: Vec<DateTime<Utc>>,
    /// Requests beyond the cap.
    refused: usize,
}

impl Search {
    fn answer(&self, ask: &Ask, asked: &Mutex<Asked>) -> Answer {
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let bound = |name: &str| DateTime::parse_from_rfc3339(&query[name]).expect("a time").to_utc();
        let number = |name: &str| query.get(name).map_or(0, |text| text.parse::<usize>().expect("a number"));
        let (since, until, offset, limit) = (bound("since"), bound("until"), number("offset"), number("limit"));
        let mut asked = asked.lock().unwrap();
        if offset == 0 {
            asked.since.push(since);
        }
        if offset + limit > self.cap {
            asked.refused += 1;
            return Answer::json(r#"{"message":"Only the first search results are available"}"#).with_status(400);
        }
        let is_in = |at: DateTime<Utc>| {
            if self.is_inclusive { since <= at && at <= until } else { since < at && at < until }
        };
        let rows = self.rows.iter().filter(|(_, at)| is_in(*at)).skip(offset).take(limit);
        let rows: Vec<_> = rows
            .map(|(id, at)| format!(r#"{{"id":"{id}","at":"{}"}}"#, at.to_rfc3339_opts(SecondsFormat::Millis, true)))
            .collect();
        Answer::json(format!("[{}]", rows.join(","))).header("Date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }
}

fn instance(name: &str, server: &Server, receiver: &Receiver, members: &str) -> String {
    let resource = format!(
        "url: /{name}\nquery: {{since: \"${{since}}\", until: \"${{until}}\"}}\n\
         datesConfiguration: {{updatedDateField: at, createdDateField: at}}\n\
         pagination: {{offset: {{parameter: offset, sizeParameter: limit}}}}\n{members}"
    );
    Instance::new(name, &server.url(), &receiver.url(name))
        .earliest()
        .resource(&resource)
        .callback("batch: {maxEvents: 128}")
        .yaml()
}

#[test]
fn a_search_that_ends_at_a_cap_is_read_in_parts_over_a_kill_and_what_no_part_shows_is_said() {
    let first = Utc::now() - TimeDelta::days(2);
    let crowded_at = first + TimeDelta::hours(30);
    let row = |n: usize| (format!("r-{n:05}"), first + TimeDelta::seconds(i64::try_from(n).unwrap() * 40));
    // newest first, and a page would end behind the cap
    let spread = Search { rows: (0..SPREAD).rev().map(row).collect(), cap: 1_050, is_inclusive: true };
    let mut rows: Vec<_> = (0..CROWD).map(|n| (format!("c-{n:05}"), crowded_at)).collect();
    rows.extend((0..600).map(|n| (format!("o-{n:03}"), first + TimeDelta::seconds(n * 240 + 7))));
    let crowded = Search { rows, cap: 10_000, is_inclusive: false };
    let [asked, asked_crowded] = [0; 2].map(|_| Arc::new(Mutex::new(Asked::default())));
    let shared = (Arc::clone(&asked), Arc::clone(&asked_crowded));
    let server =
        Server::start(
            move |ask| {
                if ask.path() == "/spread" { spread.answer(ask, &shared.0) } else { crowded.answer(ask, &shared.1) }
            },
        );
    let receiver = Receiver::start();
    let site = Site::new(&[
        instance("spread", &server, &receiver, "order: Descending\npageSize: 100\nresultCap: 1050"),
        instance("crowded", &server, &receiver, "pageSize: 1000\nresultCap: 10000"),
    ]);
    let mut pollinator = site.start();
    let posts = receiver.try_wait_count("spread", PATIENCE, 20);
    assert!(posts.is_some(), "{}", pollinator.report("spread"));
    pollinator.kill9();
    let before = std::mem::take(&mut asked.lock().unwrap().since);
    assert!(before.len() > 2, "it was divided: {before:?}");
    let pollinator = site.start();
    let row = pollinator.wait_for("spread", "polled", |row| row.tells("Polling") && row.ready == "True");
    assert!(!row.tells("ResultCapReached"), "every part can be read: {row:?}");
    let said = pollinator.wait_reason("crowded", "ResultCapReached");
    assert!(said.starts_with("resultCap: "), "{said}");

    let ids = |name: &str| -> Vec<String> { receiver.delivered(name).into_iter().map(|event| event.object).collect() };
    let came = ids("spread");
    let distinct: BTreeSet<_> = came.iter().collect();
    assert_eq!(distinct.len(), SPREAD);
    assert!(came.len() < SPREAD + 1_200, "{} events: no more than a part is repeated", came.len());
    let again = asked.lock().unwrap().since.first().copied().expect("it was asked for again");
    assert!(again > first + TimeDelta::minutes(20), "it goes on at the part that was read last, not at {again}");
    let came: BTreeSet<_> = ids("crowded").into_iter().collect();
    let others = came.iter().filter(|id| id.starts_with("o-")).count();
    assert_eq!(others, 600, "what lies before and behind the second is delivered");
    assert!((10_000..CROWD).contains(&(came.len() - others)), "of the second what the provider shows");
    let row = pollinator.rows("crowded").pop().expect("a status");
    let cursor = DateTime::parse_from_rfc3339(row.resources[0].cursor.as_deref().expect("a cursor")).expect("a time");
    assert!(cursor <= crowded_at && cursor > crowded_at - TimeDelta::minutes(9), "the cursor waits before it, at {cursor}");
    let refused = |asked: &Mutex<Asked>| asked.lock().unwrap().refused;
    assert_eq!((refused(&asked), refused(&asked_crowded)), (0, 0), "nothing is requested beyond the cap");
}

/// A complete reading of a list that ends at its cap would show records as missing that are there.
#[test]
fn a_sweep_that_ends_at_the_cap_proves_nothing() {
    let first = Utc::now() - TimeDelta::days(2);
    let rows = (0..60).map(|n| (format!("r-{n:02}"), first + TimeDelta::minutes(n))).collect();
    let search = Search { rows, cap: 40, is_inclusive: true };
    let asked = Mutex::new(Asked::default());
    let server = Server::start(move |ask| search.answer(ask, &asked));
    let receiver = Receiver::start();
    let members = "pageSize: 20\nresultCap: 40\ndeletes: {snapshot: {maxCount: 0, maxPercent: 0}}";
    let site = Site::new(&[instance("it", &server, &receiver, members)]);
    let pollinator = site.start();
    pollinator.wait_reason("it", "ResultCapReached");
    let came = receiver.delivered("it");
    assert!(came.len() == 60 && came.iter().all(|event| event.kind == Kind::Created), "{came:?}");
}
