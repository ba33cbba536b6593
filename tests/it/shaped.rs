//! Which records are delivered and what of them, and what answers mean, as the manifest says.

use std::sync::{Arc, Mutex};

use crate::rig::http::Answer;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::pollinator::{Site, binary};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

/// A provider whose list the test writes.
fn listing(list: &Arc<Mutex<String>>) -> Provider {
    let provider = Provider::start();
    let list = Arc::clone(list);
    provider.misbehave(move |_| Some(Answer::json(list.lock().unwrap().clone())));
    provider
}

const LIST: &str = "url: /records\nrecordsPath: records\npagination: {none: {}}";

#[test]
fn a_filter_and_a_shape_decide_what_the_receiver_gets() {
    // a number beyond 2^53, an escape and blanks, which are lost by reading and writing JSON again
    let record = |id: u8, status: &str| {
        format!(r#"{{"id": {id},{status} "big":9007199254740993.10 ,"na\u006de":"\u00e9","owner":{{"mail":"a@b","age":7}}}}"#)
    };
    let records = |records: [String; 3]| format!("{{\"records\":[{}]}}", records.join(","));
    let [draft, open] = ["draft", "open"].map(|status| format!(r#""status":"{status}","#));
    let list = Arc::new(Mutex::new(records([record(1, &draft), record(2, &open), record(3, &draft)])));
    let provider = listing(&list);
    let receiver = Receiver::start();
    let instance = |name: &str, shape: &str| {
        let resource = format!("{LIST}\nfilter: record.status != 'draft'\n{shape}");
        Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().resource(&resource).yaml()
    };
    let site = Site::new(&[
        instance("dropping", "onLeave: Deleted\ndropFields: [id, owner.age]\nmaskFields: [{field: owner.mail}]"),
        instance("keeping", "keepFields: [big, name]"),
    ]);
    let tried = binary().arg("try").arg(site.manifests()).output().expect("it runs");
    let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert_eq!(tried.matches("  excluded:     2 of 3 records by filter").count(), 2, "{tried}");
    assert_eq!(tried.matches("delivered  status, big, name, owner {mail}").count(), 1, "{tried}");
    assert_eq!(tried.matches("delivered  big, name\n").count(), 1, "{tried}");
    let planned = binary().arg("plan").arg(site.manifests()).output().expect("it runs");
    let planned = String::from_utf8_lossy(&planned.stdout).into_owned();
    for part in ["filter: record.status != 'draft'", "onLeave: Deleted", "- owner.age", "- owner.mail as ***"] {
        assert!(planned.contains(part), "{part}: {planned}");
    }

    let pollinator = site.start();
    for name in ["dropping", "keeping"] {
        pollinator.wait_ready(name);
    }
    // one comes to match, one no longer does, and of one it cannot be said
    *list.lock().unwrap() = records([record(1, &open), record(2, &draft), record(3, "")]);
    let of = |name: &str, events: usize| {
        pollinator.wait_for(name, "delivered", |row| row.delivered >= events as u64 && row.tells("FilterFailed"));
        let mut delivered = receiver.delivered(name);
        delivered.sort_by(|a, b| a.object.cmp(&b.object));
        delivered.into_iter().map(|event| (event.kind, event.object, event.data)).collect::<Vec<_>>()
    };
    let dropped =
        |status: &str| format!(r#"{{{status} "big":9007199254740993.10 ,"na\u006de":"\u00e9","owner":{{"mail":"***"}}}}"#);
    assert_eq!(
        of("dropping", 3),
        [
            (Kind::Created, "1".to_owned(), dropped(r#""status":"open","#)),
            (Kind::Deleted, "2".to_owned(), r#"{"id":2}"#.to_owned()),
            (Kind::Created, "3".to_owned(), dropped("")),
        ]
    );
    let kept = r#"{ "big":9007199254740993.10 ,"na\u006de":"\u00e9"}"#;
    let created = |id: &str| (Kind::Created, id.to_owned(), kept.to_owned());
    assert_eq!(of("keeping", 2), [created("1"), created("3")]);
    let row = pollinator.wait_for("keeping", "told", |row| row.tells("FilterFailed"));
    assert_eq!(
        row.told("FilterFailed").as_deref(),
        Some(
            "filter: some records are delivered because the filter could not be evaluated for them: they have no status; test for it with has() first"
        )
    );
    assert_eq!(row.ready, "True");
    // nothing is told twice, and of a filter that is always decided nothing is said
    *list.lock().unwrap() = records([record(1, &open), record(2, &draft), record(3, &draft)]);
    let row = pollinator.wait_for("dropping", "the third left", |row| row.delivered == 4 && !row.tells("FilterFailed"));
    assert_eq!(row.ready, "True");
    provider.wait_polled(2);
    assert_eq!((receiver.delivered("dropping").len(), receiver.delivered("keeping").len()), (4, 2));
}

#[test]
fn rules_say_what_answers_mean_and_what_follows() {
    let session = r#"{"error":{"code":"SESSION_EXPIRED"}}"#;
    let cases = [
        ("auth", 200, session, "{bodyPath: error.code, match: ^SESSION, means: Auth}", "Unauthorized", "Stalled"),
        ("gone", 400, r#"{"code":"NoSuchList"}"#, "{status: 400, bodyPath: code, means: Gone}", "NotFound", "Stalled"),
        ("retry", 400, "locked", "{status: 400, match: locked, means: Retry}", "ProviderError", ""),
        ("limited", 400, "", "{status: 400, means: RateLimited}", "RateLimited", ""),
        ("fatal", 500, "", "{status: 500, means: Fatal}", "ErrorInResponse", "Stalled"),
        ("empty", 404, "", "{status: 404, means: Empty}", "", ""),
        ("other", 404, "", "{status: 400, means: Empty}", "NotFound", "Stalled"),
    ];
    let receiver = Receiver::start();
    let providers = cases.map(|(_, status, body, ..)| {
        let provider = Provider::start();
        provider.misbehave(move |_| {
            let answer = Answer::json(body).with_status(status);
            let asks_for_a_wait = body.is_empty() && status == 400;
            Some(if asks_for_a_wait { answer.header("Retry-After", "3600") } else { answer })
        });
        provider
    });
    let instances = cases.iter().zip(&providers).map(|((name, _, _, rule, ..), provider)| {
        let resource = format!("{LIST}\nerrorRules: [{rule}]");
        Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().resource(&resource).yaml()
    });
    let site = Site::new(&instances.collect::<Vec<_>>());
    let pollinator = site.start();
    for (name, _, _, _, reason, lasts) in cases.iter().filter(|case| !case.4.is_empty()) {
        let row = pollinator.wait_for(name, "told", |row| row.tells(reason));
        let stalled = row.conditions.iter().any(|condition| condition.kind == "Stalled");
        assert_eq!(stalled, *lasts == "Stalled", "{name}: {row:?}");
    }
    assert_eq!(providers[3].asked(), 1, "a wait that was asked for is kept");
    // an empty list is a baseline like any other
    pollinator.wait_ready("empty");
    providers[5].misbehave(|_| Some(Answer::json(r#"{"records":[{"id":1}]}"#)));
    pollinator.wait_for("empty", "created", |row| row.delivered == 1);
    assert_eq!(receiver.delivered("empty")[0].kind, Kind::Created);
}
