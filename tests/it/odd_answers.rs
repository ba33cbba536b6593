//! Rows, lists and answers in the odd forms in which providers send them: what can be read is delivered, and what cannot is reported with the
//! field, the cause and the fix.

use std::sync::{Arc, Mutex};

use crate::rig::http::{Answer, Ask, Body, Server};
use crate::rig::in_process::{Lane, Polls};
use crate::rig::manifest::{Instance, secret};
use crate::rig::pollinator::{Row, Site, binary};
use crate::rig::receiver::Receiver;

/// A provider that answers what the test says at the moment.
struct Provider {
    server: Server,
    body: Arc<Mutex<String>>,
}

impl Provider {
    fn start() -> Self {
        let body = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&body);
        let server = Server::start(move |_: &Ask| Answer::json(said.lock().unwrap().clone()));
        Self { server, body }
    }

    fn say(&self, body: impl Into<String>) {
        *self.body.lock().unwrap() = body.into();
    }

    fn list(&self, rows: &[&str]) {
        self.say(format!(r#"{{"data":[{}]}}"#, rows.join(",")));
    }
}

fn polls(lane: &Arc<Lane>, provider: &Provider, receiver: &Receiver, members: &str) -> Polls {
    let instance = Instance::new("it", &provider.server.url(), &receiver.url("it"));
    Polls::new_in(Arc::clone(lane), &[instance.resource(&format!("url: /list\n{members}")).yaml()])
}

fn objects(receiver: &Receiver) -> Vec<String> {
    let mut objects: Vec<_> = receiver.delivered("it").into_iter().map(|event| event.object).collect();
    objects.sort();
    objects
}

fn said(row: &Row, reason: &str) -> String {
    row.told(reason).unwrap_or_else(|| panic!("nothing says {reason}: {row:?}"))
}

const UPDATED: &str = "datesConfiguration: {updatedDateField: at}";

/// A record that is older than everything else of a test, or a new one.
fn record(id: u32) -> String {
    format!(r#"{{"id":{id},"at":"2026-01-01T00:00:{id:02}Z"}}"#)
}

#[test]
fn what_is_named_like_an_error_is_data_where_a_rule_says_so() {
    let (lane, receiver) = (Lane::new(), Receiver::start());
    let mut count = 0;
    for (member, rule) in [
        (r#""faults":[{"code":"P0420"}]"#, "{bodyPath: faults, means: Success}"),
        (r#""exceptions":[{"date":"2026-12-24"}]"#, "{bodyPath: exceptions, means: Success}"),
        (r#""success":0"#, "{bodyPath: success, match: '^0$', means: Success}"),
        (r#""partial":true"#, "{status: 200, means: Success}"),
    ] {
        let provider = Provider::start();
        let list = |rows: &[&str]| provider.say(format!(r#"{{"data":[{}],{member}}}"#, rows.join(",")));
        list(&[&record(1)]);
        let row = polls(&lane, &provider, &receiver, "recordsPath: data").poll();
        let told = said(&row, "ErrorInResponse");
        assert!(told.contains("add a rule with means: Success to errorRules"), "{member}: {told}");
        let polls = polls(&lane, &provider, &receiver, &format!("recordsPath: data\nerrorRules: [{rule}]"));
        assert!(!polls.poll().failed(), "{member}");
        list(&[&record(1), &record(2)]);
        assert!(!polls.poll().failed(), "{member}");
        count += 1;
        assert_eq!(objects(&receiver), vec!["2"; count], "{member}");
    }
}

#[test]
fn one_bad_row_keeps_no_other_from_being_delivered_and_is_never_passed_over_silently() {
    let rows = [
        (r#"{"id":{"$oid":"5f"},"at":"2026-01-01T00:00:09Z"}"#, "have an object at id", "set idField to id.$oid"),
        (r#"{"id":[1],"at":"2026-01-01T00:00:09Z"}"#, "have a list at id", "set idField to the path of the id"),
        (r#"{"id":null,"at":"2026-01-01T00:00:09Z"}"#, "have null at id", "set idField to the path of the id"),
        (r#"{"id":"","at":"2026-01-01T00:00:09Z"}"#, "have an empty text at id", "set idField to the path of the id"),
        (r#"{"_id":"x","at":"2026-01-01T00:00:09Z"}"#, "have nothing at id", "set idField to _id"),
        (r#"{"contact":{"id":7}}"#, "have nothing at id", "set idField to contact.id"),
        ("null", "are null and are skipped", "extend their permissions"),
        ("7", "are no objects", "set recordsPath"),
        (r#""ERROR: canceling statement""#, "are no objects", "set recordsPath"),
    ];
    let modes =
        ["", UPDATED, "order: Ascending\nquery: {since: \"${since}\"}\n", "order: Descending\nquery: {since: \"${since}\"}\n"];
    let lane = Lane::new();
    for mode in modes {
        let members = if mode.starts_with("order") { format!("{mode}{UPDATED}") } else { mode.to_owned() };
        let newest_first = mode.contains("Descending");
        for (bad, cause, fix) in rows {
            let case = format!("{mode:?} {bad}");
            let (provider, receiver) = (Provider::start(), Receiver::start());
            let polls = polls(&lane, &provider, &receiver, &members);
            let list = |ids: &[u32], bad: &[&str]| {
                let mut records: Vec<_> = ids.iter().map(|id| record(*id)).collect();
                if newest_first {
                    records.reverse();
                }
                let mut all: Vec<&str> = records.iter().map(String::as_str).collect();
                for row in bad {
                    all.insert(1, row);
                }
                provider.list(&all);
            };
            list(&[1, 2], &[]);
            assert_eq!(polls.poll().ready, "True", "{case}");
            list(&[1, 2, 11, 12], &[bad, bad]);
            for _ in 0..2 {
                let row = polls.poll();
                assert_eq!(row.ready, "True", "{case}: {row:?}");
                assert!(!row.failed(), "{case}: {row:?}");
                let message = said(&row, "MissingId");
                for part in [cause, fix, "(up to 10 when rows were last listed)"] {
                    assert!(message.contains(part), "{case}: {message}");
                }
            }
            list(&[1, 2, 11, 12, 13], &[]);
            assert!(!polls.poll().tells("MissingId"), "{case}");
            assert_eq!(objects(&receiver), ["11", "12", "13"], "{case}");
        }
    }
}

#[test]
fn a_text_behind_the_last_record_says_that_the_list_ends_too_early() {
    let lane = Lane::new();
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let polls = polls(&lane, &provider, &receiver, UPDATED);
    provider.list(&[&record(1)]);
    polls.poll();
    let newest = record(9);
    provider.list(&[&newest, r#""ERROR: canceling statement""#]);
    assert!(polls.poll().tells("ErrorInResponse"));
    assert_eq!(receiver.count(), 0, "nothing of it is used");
    provider.list(&[&newest, &record(5), &record(1)]);
    assert!(!polls.poll().failed());
    assert_eq!(objects(&receiver), ["5", "9"], "what the list lacked is older than what it had");
}

#[test]
fn a_single_row_without_an_id_says_nothing_of_a_list_whose_records_are_known() {
    let lane = Lane::new();
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let filtered =
        polls(&lane, &provider, &receiver, &format!("query: {{since: \"${{since}}\"}}\nrecordsPath: data\n{UPDATED}"));
    provider.list(&[&record(1)]);
    filtered.poll();
    provider.list(&[r#"{"uuid":"x"}"#]);
    let row = filtered.poll();
    assert_eq!(row.ready, "True", "{row:?}");
    assert!(said(&row, "MissingId").contains("(1 when rows were last listed); set idField to uuid"), "{row:?}");

    let (provider, receiver) = (Provider::start(), Receiver::start());
    let nameless = polls(&lane, &provider, &receiver, "");
    provider.list(&[r#"{"contact":{"id":1}}"#, r#"{"contact":{"id":2}}"#]);
    let row = nameless.poll();
    assert_eq!((row.ready.as_str(), row.reason.as_str()), ("False", "MissingId"), "{row:?}");
    assert!(row.message.ends_with("nothing can be delivered; set idField to contact.id, which looks like the id"), "{row:?}");
    provider.list(&["null", "null", &record(3)]);
    let row = nameless.poll();
    assert_eq!(row.ready, "True", "null is no record: {row:?}");
}

#[test]
fn a_record_whose_date_is_no_date_is_delivered_and_moves_no_cursor() {
    let lane = Lane::new();
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let polls = polls(&lane, &provider, &receiver, UPDATED);
    provider.list(&[&record(1), &record(2)]);
    polls.poll();
    let bad = |id: u32, at: &str| format!(r#"{{"id":{id},"at":{at}}}"#);
    provider.list(&[&record(1), &bad(2, "1767225700000"), &record(3), &bad(4, r#""yesterday""#)]);
    let row = polls.poll();
    assert_eq!(row.resources[0].cursor.as_deref(), Some("2026-01-01T00:00:03Z"), "{row:?}");
    let message = said(&row, "InvalidDate");
    assert!(
        message.starts_with("datesConfiguration.updatedDateField: some records have a value at at that does not match"),
        "{message}"
    );
    assert!(message.ends_with("set updatedDateFormat to milliseconds"), "{message}");
    polls.poll();
    assert_eq!(objects(&receiver), ["2", "3", "4"], "each once");
}

#[test]
fn a_list_goes_on_behind_the_last_record_that_has_an_id() {
    let lane = Lane::new();
    let receiver = Receiver::start();
    let server = Server::start(|ask: &Ask| {
        let after = ask.query().into_iter().find(|(name, _)| name == "after").map(|(_, after)| after);
        Answer::json(match after.as_deref() {
            None => r#"{"data":[{"id":1},{"id":2},{"id":{}},null]}"#,
            Some("2") => r#"{"data":[{"id":3},{"uuid":"x"}]}"#,
            _ => r#"{"data":[]}"#,
        })
    });
    let resource = "url: /list\nrecordsPath: data\npagination: {lastId: {parameter: after}}";
    let polls =
        Polls::new_in(lane, &[Instance::new("it", &server.url(), &receiver.url("it")).earliest().resource(resource).yaml()]);
    let row = polls.poll();
    assert!(!row.failed() && row.tells("MissingId"), "{row:?}");
    assert_eq!(objects(&receiver), ["1", "2", "3"]);
}

#[test]
fn one_record_in_the_place_of_a_list_is_read_as_programs_mean_it_that_convert_xml() {
    let lane = Lane::new();
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let given = polls(&lane, &provider, &receiver, "recordsPath: contacts.contact");
    provider.say(r#"{"contacts":""}"#);
    let first = given.poll();
    assert!(
        said(&first, "RecordsNotFound").contains("the first response has no list at all"),
        "the path may be right: {first:?}"
    );
    provider.say(r#"{"contacts":{"contact":{"id":1}}}"#);
    assert_eq!(given.poll().ready, "True");
    for (ids, body) in [
        ("2", r#"{"contacts":{"contact":{"id":2}}}"#),
        ("2 3", r#"{"contacts":{"contact":[{"id":2},{"id":3}]}}"#),
        ("2 3", r#"{"contacts":""}"#),
        ("2 3 4", r#"{"contacts":{"contact":{"id":4}}}"#),
    ] {
        provider.say(body);
        let row = given.poll();
        assert!(!row.failed(), "{body}: {row:?}");
        assert_eq!(objects(&receiver).join(" "), ids, "{body}");
    }
    provider.say(r#"{"contacts":{"contact":{"error":"x"}}}"#);
    assert!(given.poll().failed(), "an object without an id is no record");
    // where the list was found, not given
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let polls = polls(&lane, &provider, &receiver, "");
    provider.list(&["null", &record(1)]);
    polls.poll();
    provider.say(format!(r#"{{"data":{}}}"#, record(2)));
    assert!(!polls.poll().failed());
    assert_eq!(objects(&receiver), ["2"]);
}

#[test]
fn a_refusal_in_words_next_to_an_empty_list_fails_the_poll() {
    let lane = Lane::new();
    for refusal in [
        r#""code":99991663,"msg":"token invalid""#,
        r#""reason":"unauthorized""#,
        r#""header":{"resultCode":"99","resultMsg":"UNKNOWN ERROR"}"#,
    ] {
        let (provider, receiver) = (Provider::start(), Receiver::start());
        let polls = polls(&lane, &provider, &receiver, "recordsPath: data");
        provider.list(&[&record(1)]);
        polls.poll();
        provider.say(format!(r#"{{"data":[],{refusal}}}"#));
        let row = polls.poll();
        assert!(row.tells("ErrorInResponse"), "{refusal}: {row:?}");
        provider.say(format!(r#"{{"data":[{},{}],{refusal}}}"#, record(1), record(2)));
        assert!(!polls.poll().failed(), "{refusal}: next to records it may be data");
        assert_eq!(objects(&receiver), ["2"]);
    }
}

#[test]
fn a_list_about_the_list_is_not_taken_for_the_records_in_silence() {
    let lane = Lane::new();
    let user = r#"{"id":"u1"}"#;
    // the first answers have no record
    for (first, later, path) in [
        (format!(r#"{{"items":[],"warnings":[{user}]}}"#), "items", Some("items")),
        (format!(r#"{{"included":[{user}],"data":[]}}"#), "data", Some("data")),
        (format!(r#"{{"records":null,"users":[{user}]}}"#), "records", None),
        (format!(r#"{{"warnings":[{user}]}}"#), "items", None),
    ] {
        let (provider, receiver) = (Provider::start(), Receiver::start());
        let polls = polls(&lane, &provider, &receiver, "");
        provider.say(&*first);
        let row = polls.poll();
        assert_eq!(row.tells("RecordsNotFound"), path.is_none(), "{first}: {row:?}");
        provider.say(format!(r#"{{"{later}":[{}]}}"#, record(1)));
        assert!(!polls.poll().failed(), "{first}");
        assert_eq!(objects(&receiver).join(" "), if path.is_some() { "1" } else { "" }, "{first}: else it is the baseline");
    }
    // nothing shows it before there are records
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let polls = polls(&lane, &provider, &receiver, "");
    provider.say(format!(r#"{{"users":[{user}]}}"#));
    assert!(!polls.poll().failed());
    provider.say(format!(r#"{{"users":[{user}],"records":[{}]}}"#, record(1)));
    assert!(polls.poll().tells("OtherLists"));
}

#[test]
fn a_list_that_is_renamed_is_reported_with_its_new_name() {
    let lane = Lane::new();
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let polls = polls(&lane, &provider, &receiver, &format!("recordsPath: data\n{UPDATED}"));
    provider.list(&[&record(1)]);
    polls.poll();
    for (body, name) in [(r#"{"items":[{"id":2}],"datas":[{"id":3}]}"#, "datas"), (r#"{"items":[{"id":2}]}"#, "items")] {
        provider.say(body);
        let row = polls.poll();
        assert!(!row.failed(), "{row:?}");
        assert!(said(&row, "RecordsNotFound").ends_with(&format!("perhaps to {name}")), "{row:?}");
    }
    for body in [r#"{"data":null,"items":[{"id":2}]}"#, "{}"] {
        provider.say(body);
        assert!(!polls.poll().tells("RecordsNotFound"), "{body}: it is empty");
    }
}

/// What providers answer with status 200 while there is no list, as far as no rule for errors knows it.
const INSTEAD: [&str; 5] = [
    r#"{"Note":"Thank you for using our API! Our standard rate limit is 25 requests per day."}"#,
    r#"{"login":true}"#,
    r#"{"status":"processing","retry_after":3}"#,
    r#"{"result":false}"#,
    r#"{"data":null,"ret":-100}"#,
];

#[test]
fn what_is_said_in_the_place_of_a_list_is_neither_a_baseline_nor_an_empty_list() {
    let lane = Lane::new();
    for body in INSTEAD {
        for members in ["recordsPath: data", &format!("recordsPath: data\n{UPDATED}")] {
            let (provider, receiver) = (Provider::start(), Receiver::start());
            let polls = polls(&lane, &provider, &receiver, members);
            for rows in [&[record(1), record(2)][..], &[record(1), record(2), record(3)]] {
                provider.say(body);
                let row = polls.poll();
                assert!(said(&row, "ErrorInResponse").contains("something else in its place"), "{body}: {row:?}");
                provider.list(&rows.iter().map(String::as_str).collect::<Vec<_>>());
                assert!(!polls.poll().failed(), "{body}");
            }
            assert_eq!(objects(&receiver), ["3"], "{body}: what was there before the first list is not new");
        }
    }
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let rule = "recordsPath: data\nerrorRules: [{bodyPath: Note, match: nothing to list, means: Empty}]";
    let polls = polls(&lane, &provider, &receiver, rule);
    provider.say(r#"{"Note":"There is really nothing to list today"}"#);
    assert!(!polls.poll().failed(), "a rule says what it is");
}

#[test]
fn a_first_answer_without_parents_makes_their_records_no_new_ones() {
    let lane = Lane::new();
    for (body, reason) in [(INSTEAD[0], "ErrorInResponse"), ("{}", "RecordsNotFound"), ("null", "RecordsNotFound")] {
        let (said_first, receiver) = (Arc::new(Mutex::new(body.to_owned())), Receiver::start());
        let parents = Arc::clone(&said_first);
        let server = Server::start(move |ask: &Ask| match ask.path() {
            "/parents" => Answer::json(parents.lock().unwrap().clone()),
            _ => Answer::json(format!(r#"{{"data":[{}]}}"#, record(1))),
        });
        let children = "url: \"/children/${each}\"\nrecordsPath: data\nforEach: {resource: parents}";
        let yaml = Instance::new("it", &server.url(), &receiver.url("it")).resource(children).yaml();
        let parents = "\n  - {name: parents, url: /parents, recordsPath: data}\n  callback:";
        let polls = Polls::new_in(Arc::clone(&lane), &[yaml.replace("\n  callback:", parents)]);
        let row = polls.poll();
        let condition =
            row.resources[0].conditions.iter().find(|one| one.kind == "Polled").unwrap_or_else(|| panic!("{row:?}"));
        assert_eq!(condition.reason, reason, "{body}: {row:?}");
        assert!(condition.message.starts_with("forEach.resource: the list of parents could not be read: "), "{condition:?}");
        *said_first.lock().unwrap() = r#"{"data":[{"id":"a"},{"id":"b"}]}"#.to_owned();
        for _ in 0..2 {
            assert!(!polls.poll().failed(), "{body}");
        }
        assert_eq!(receiver.count(), 0, "{body}");
    }
}

#[test]
fn credentials_of_the_query_go_with_redirects_and_replace_those_of_next_links() {
    let receiver = Receiver::start();
    let server = Server::start(|ask: &Ask| {
        let of = |wanted: &str| {
            ask.query().into_iter().filter(|(name, _)| name == wanted).map(|(_, value)| value).collect::<Vec<_>>()
        };
        if of("key") != ["s3cret"] {
            return Answer::status(401);
        }
        match (ask.path(), of("page").first().map(String::as_str)) {
            ("/list", _) => Answer::status(302).header("Location", "/moved"),
            (_, None) => Answer::json(r#"{"data":[{"id":1}],"next":"/moved?page=2&key=older"}"#),
            (_, Some("2")) => Answer::json(r#"{"data":[{"id":2}],"next":"?page=3&key=***"}"#),
            _ => Answer::json(r#"{"data":[{"id":3}],"next":null}"#),
        }
    });
    let instance = Instance::new("it", &server.url(), &receiver.url("it")).earliest().resource("url: /list");
    let instance = instance.spec("auth: {apiKey: {secretRef: {name: own, key: k}, in: Query, name: key}}").yaml();
    let polls = Polls::new(&[instance, secret("own", &[("k", "s3cret")])]);
    let row = polls.poll();
    assert!(!row.failed(), "{row:?}");
    assert_eq!(objects(&receiver), ["1", "2", "3"]);
}

#[test]
fn a_token_that_is_refused_in_another_way_is_reported_with_the_setting_for_it() {
    let lane = Lane::new();
    for status in [400, 404] {
        let receiver = Receiver::start();
        let server = Server::start(move |ask: &Ask| {
            if ask.query().is_empty() {
                Answer::json(r#"{"data":[{"id":1}],"sync":"a"}"#)
            } else {
                Answer::json(r#"{"message":"token not found"}"#).with_status(status)
            }
        });
        let members = |expired: &str| {
            let resource = format!(
                "url: /list\nrecordsPath: data\nquery: {{t: \"${{cursor}}\"}}\ndelta: {{token: {{field: sync{expired}}}}}"
            );
            [Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).yaml()]
        };
        let mut polls = Polls::new_in(Arc::clone(&lane), &members(""));
        polls.poll();
        let row = polls.poll();
        let fix = format!("set delta.token.expired to {{status: {status}}}");
        assert!(row.failed() && row.message.contains(&fix), "{row:?}");
        polls.rewrite(&members(&format!(", expired: {{status: {status}}}")));
        let row = polls.poll();
        assert!(!row.failed() && row.tells("DeltaTokenExpired"), "{row:?}");
    }
}

#[test]
fn a_receiver_behind_proxies_that_set_cookies_has_accepted_what_it_accepted() {
    let provider = Provider::start();
    let lane = Lane::new();
    let requests = Arc::new(Mutex::new(0));
    let count = Arc::clone(&requests);
    let receiver = Server::start(move |_: &Ask| {
        *count.lock().unwrap() += 1;
        (0..200).fold(Answer::status(204), |answer, cookie| answer.header("Set-Cookie", format!("c{cookie}=x")))
    });
    let instance = Instance::new("it", &provider.server.url(), &receiver.url()).resource("url: /list").yaml();
    let polls = Polls::new_in(lane, &[instance]);
    provider.list(&[&record(1)]);
    polls.poll();
    provider.list(&[&record(1), &record(2)]);
    for _ in 0..2 {
        let row = polls.poll();
        assert_eq!((row.ready.as_str(), row.delivered), ("True", 1), "{row:?}");
    }
    assert_eq!(*requests.lock().unwrap(), 1);
}

/// What a provider says, whatever it is asked.
type Says = Box<dyn Fn() -> Answer + Send + Sync>;

#[test]
fn a_trial_says_what_would_be_the_right_setting() {
    let typed = |kind: &'static str, body: &'static [u8]| {
        move || Answer::status(200).header("Content-Type", kind).body(Body::Whole(body.to_vec()))
    };
    let json = |body: &'static str| typed("application/json", body.as_bytes());
    let cases: Vec<(&str, Says, &str, &[&str])> = vec![
        ("_id", Box::new(json(r#"{"data":[{"_id":"a"}]}"#)), "", &["set idField to _id"]),
        ("Id", Box::new(json(r#"{"data":[{"Id":"a"}]}"#)), "", &["set idField to Id"]),
        ("key", Box::new(json(r#"{"data":[{"key":"a","name":"x"}]}"#)), "", &["set idField to key"]),
        ("uuid", Box::new(json(r#"{"data":[{"uuid":"a","name":"x"}]}"#)), "", &["set idField to uuid"]),
        ("wrapped", Box::new(json(r#"{"data":[{"contact":{"id":1}}]}"#)), "", &["set idField to contact.id"]),
        (
            "one-record",
            Box::new(json(r#"{"contacts":{"contact":{"id":1}}}"#)),
            "recordsPath: contacts.contact",
            &["1 record on 1 page"],
        ),
        (
            "html",
            Box::new(typed("application/json", b"<!doctype html><html>Sign in</html>")),
            "",
            &["is an HTML page", "check baseUrl, url and auth"],
        ),
        ("xml", Box::new(typed("text/plain", b"<contacts/>")), "", &["is XML, not JSON", "Accept"]),
        ("csv", Box::new(typed("text/csv", b"id,name\n1,a\n")), "", &["is CSV, not JSON", "Accept"]),
        ("lines", Box::new(typed("application/x-ndjson", b"{\"id\":1}\n{\"id\":2}\n")), "", &["one JSON text after another"]),
        ("nan", Box::new(json(r#"{"data":[{"id":1,"v":NaN}]}"#)), "", &["NaN or Infinity"]),
        (
            "latin1",
            Box::new(typed("application/json; charset=ISO-8859-1", b"[{\"id\":1,\"v\":\"\xe9\"}]")),
            "",
            &["is in iso-8859-1, not in UTF-8"],
        ),
        (
            "login",
            Box::new(|| Answer::status(302).header("Location", "https://login.example.com/?next=x")),
            "",
            &["leads to another origin;", "the redirect leads to https://login.example.com", "check auth"],
        ),
        (
            "next",
            Box::new(json(r#"{"data":[{"id":1}],"next":"https://other.example.com/x?page=2"}"#)),
            "",
            &["has another host than baseUrl", "the next link leads to https://other.example.com"],
        ),
        (
            "dates",
            Box::new(json(r#"{"data":[{"id":1,"at":1767225700000}]}"#)),
            UPDATED,
            &["set updatedDateFormat to milliseconds"],
        ),
        (
            "flag-of-words",
            Box::new(json(r#"{"data":[{"id":1,"status":"active"},{"id":2,"status":"active"}]}"#)),
            "deletes: {flag: {field: status}}",
            &["have a word at deletes.flag.field and count as living; set deletes.flag.value"],
        ),
        (
            "flag-missing",
            Box::new(json(r#"{"data":[{"id":1,"isDeleted":false}]}"#)),
            "deletes: {flag: {field: is_deleted}}",
            &["no record has is_deleted, so no deletion is recognized; did you mean isDeleted?"],
        ),
        ("twice", Box::new(|| Answer::status(404)), "url: /api/v1/api/v1/list", &["its path begins with /api/v1 twice"]),
    ];
    for (name, answer, members, parts) in cases {
        let server = Server::start(move |_: &Ask| answer());
        let resource = if members.starts_with("url") { members.to_owned() } else { format!("url: /list\n{members}") };
        let site = Site::new(&[Instance::new("it", &server.url(), "http://127.0.0.1:9/hook").resource(&resource).yaml()]);
        let tried = binary().arg("try").arg(site.manifests()).output().expect("it runs");
        let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
        for part in parts {
            assert!(tried.contains(part), "{name}: {part}: {tried}");
        }
    }
}

#[test]
fn a_key_of_a_map_without_a_value_has_no_record() {
    let lane = Lane::new();
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let polls = polls(&lane, &provider, &receiver, "recordsPath: data\nrecordsAs: Map\ndeletes: {snapshot: {}}");
    provider.say(r#"{"data":{"a":{"v":1},"b":{"v":1},"c":null}}"#);
    polls.poll();
    provider.say(r#"{"data":{"a":{"v":1},"b":null,"c":null}}"#);
    for _ in 0..3 {
        assert!(!polls.poll().failed());
    }
    let came: Vec<_> = receiver.delivered("it").into_iter().map(|event| (event.kind, event.object)).collect();
    assert_eq!(came, [(crate::rig::oracle::Kind::Deleted, "b".to_owned())]);
}

#[test]
fn a_request_to_log_in_is_no_empty_list() {
    let lane = Lane::new();
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let polls = polls(&lane, &provider, &receiver, "recordsPath: data");
    provider.say(r#"{"login":true,"message":"Please log in"}"#);
    let row = polls.poll();
    assert!(row.failed() && row.tells("ErrorInResponse"), "{row:?}");
}
