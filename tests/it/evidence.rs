//! What a sceptical user reads: nothing is claimed that was not seen, and what does not work is told within seconds.

use chrono::{TimeDelta, Timelike as _, Utc};

use crate::rig::http::Answer;
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::pollinator::{Row, Site, binary};
use crate::rig::provider::Provider;
use crate::rig::provider::habits::Filter;
use crate::rig::receiver::Receiver;
use crate::rig::scene::{Scene, ids};

fn condition<'r>(row: &'r Row, kind: &str) -> (&'r str, &'r str) {
    let found = row.conditions.iter().find(|condition| condition.kind == kind);
    found.map_or(("", ""), |condition| (condition.status.as_str(), condition.reason.as_str()))
}

#[test]
fn a_provider_that_asks_for_patience_from_the_start_is_not_ready() {
    let provider = Provider::start();
    provider.misbehave(|_| Some(Answer::status(429).header("Retry-After", "3600")));
    let scene = Scene::with(provider, |instance| instance);
    let pollinator = scene.site.start();
    let row = pollinator.wait_for("it", "not ready", |row| row.ready == "False");
    assert_eq!((row.reason.as_str(), condition(&row, "ProviderReachable")), ("RateLimited", ("False", "RateLimited")));
    assert_eq!(condition(&row, "Authenticated"), ("Unknown", "Starting"), "a 429 does not look at credentials");
    assert_eq!(condition(&row, "CallbackReachable"), ("Unknown", "Starting"));
    assert!(pollinator.rows("it").iter().all(|row| row.ready != "True"), "{:?}", pollinator.rows("it"));
}

#[test]
fn a_callback_that_nobody_listens_at_is_told_at_the_first_event() {
    let mut scene = Scene::new();
    let pollinator = scene.start();
    let row = pollinator.wait_ready("it");
    assert_eq!(condition(&row, "CallbackReachable"), ("Unknown", "Starting"), "nothing was sent yet");
    let resource = &row.resources[0];
    assert!(resource.last_successful_poll_time.is_some() && resource.next_poll_time.is_some(), "{row:?}");
    let host = scene.receiver.url("it").trim_start_matches("http://").trim_end_matches("/it").to_owned();
    scene.receiver.go_down();
    scene.provider.create("one");
    let row = pollinator.wait_for("it", "told", |row| condition(row, "CallbackReachable").0 == "False");
    let message = row.told("CallbackUnreachable").expect("the reason");
    assert!(
        message.starts_with(&format!("spec.callback.url ({host}): the connection was refused; check host and port")),
        "{message}"
    );
    let waiting = row.waiting.as_ref().expect("what waits");
    assert!(waiting.events == 1 && waiting.oldest.is_some() && waiting.next_try.is_some(), "{waiting:?}");
    assert_eq!(condition(&row, "EventsWaiting"), ("True", "Retrying"));
    pollinator.wait_stderr(&format!("spec.callback.url ({host}): the connection was refused"));
    scene.receiver.come_back();
    let row = pollinator.wait_for("it", "delivered", |row| row.delivered == 1);
    pollinator.wait_stderr("the callback accepts events again");
    assert_eq!((row.ready.as_str(), condition(&row, "CallbackReachable")), ("True", ("True", "Delivering")));
    assert!(condition(&row, "EventsWaiting").0.is_empty() && row.waiting.is_none(), "{row:?}");
    scene.assert_perfect(&pollinator);
}

#[test]
fn a_callback_that_asks_for_a_day_makes_not_ready() {
    let scene = Scene::new();
    scene.receiver.answer(|_| Answer::status(429).header("Retry-After", "86400"));
    let pollinator = scene.start();
    scene.provider.create("one");
    let row = pollinator.wait_for("it", "told", |row| row.ready == "False");
    assert_eq!((row.reason.as_str(), condition(&row, "CallbackReachable")), ("CallbackFailing", ("False", "CallbackFailing")));
    assert!(row.message.contains(" answered 429: "), "{}", row.message);
}

/// Ready follows after three failures, or five minutes of them, over a restart, too.
#[test]
fn a_callback_that_fails_for_minutes_makes_not_ready() {
    let scene = Scene::new();
    scene.receiver.answer(|_| Answer::status(404));
    let mut pollinator = scene.start();
    scene.provider.create("one");
    let row = pollinator.wait_for("it", "told", |row| condition(row, "CallbackReachable").0 == "False");
    assert_eq!((row.ready.as_str(), row.told("CallbackFailing").is_some()), ("True", true), "{row:?}");
    assert!(pollinator.sigterm().success());
    scene.site.age(TimeDelta::minutes(6));
    pollinator = scene.site.start();
    let row = pollinator.wait_for("it", "not ready", |row| row.ready == "False");
    assert_eq!(row.reason, "CallbackFailing");
    scene.receiver.answer(|_| Answer::status(204));
    drop(pollinator);
    scene.site.age(TimeDelta::hours(1));
    let pollinator = scene.start();
    scene.assert_perfect(&pollinator);
}

#[test]
fn one_refused_object_is_not_the_callbacks_trouble() {
    let scene = Scene::new();
    let pollinator = scene.start();
    scene.provider.create("good");
    pollinator.wait_for("it", "delivered", |row| row.delivered == 1);
    scene.receiver.answer(|_| Answer::status(422));
    scene.provider.create("bad");
    let row = pollinator.wait_for("it", "it waits", |row| condition(row, "EventsWaiting").0 == "True");
    assert_eq!((row.ready.as_str(), condition(&row, "CallbackReachable")), ("True", ("True", "Delivering")));
}

#[test]
fn a_misspelt_date_field_is_told_with_the_name_that_is_there() {
    let provider = Provider::start();
    provider.baseline(["one".to_owned()]);
    let resource = provider.resource().replace("updatedDateField: modified", "updatedDateField: modfied");
    let scene = Scene::with(provider, |instance| instance.resource(&resource));
    let pollinator = scene.start();
    let row = pollinator.wait_for("it", "told", |row| row.tells("DateFieldMissing"));
    assert_eq!(
        row.told("DateFieldMissing").as_deref(),
        Some("datesConfiguration.updatedDateField: no record has modfied; did you mean modified?")
    );
    let tried = binary().arg("try").arg(scene.site.manifests()).output().expect("it runs");
    let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(
        tried.contains("warning:      datesConfiguration.updatedDateField: no record has modfied; did you mean modified?"),
        "{tried}"
    );
}

#[test]
fn a_filter_that_the_provider_ignores_is_told_after_three_polls_and_until_it_works() {
    let provider = Provider::start().filter(Filter::Ignored);
    provider.baseline_dated(ids("old", 30), -TimeDelta::days(30));
    let receiver = Receiver::start();
    let polls = Polls::new(&[Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().yaml()]);
    // the baseline, and two polls that may be chance
    for _ in 0..3 {
        provider.pass(TimeDelta::seconds(5));
        assert_eq!(polls.poll().told("FilterIgnored"), None);
    }
    provider.create("new");
    let row = polls.poll();
    let told = row.told("FilterIgnored").expect("the third one tells");
    assert!(told.starts_with("query: the provider ignores the filter: "), "{told}");
    assert_eq!(row.ready, "True", "it costs, and loses nothing");
    assert_eq!(polls.poll().told("FilterIgnored"), Some(told), "the same for as long as it holds");
    let delivered: Vec<_> = receiver.delivered("it").into_iter().map(|event| event.object).collect();
    assert_eq!(delivered, ["new"]);
    let _provider = provider.filter(Filter::Inclusive);
    assert_eq!(polls.poll().told("FilterIgnored"), None, "one poll shows that it works");
}

/// A provider whose records have no dates that count, and a counter that differs at every look.
fn counting() -> Provider {
    let mut n = 0;
    let provider = Provider::start();
    provider.misbehave(move |_| {
        n += 1;
        let record = |id: u8| format!(r#"{{"id":{id},"at":"2026-01-01T00:00:00Z","stats":{{"views":{n}}},"name":"n"}}"#);
        Some(Answer::json(format!("{{\"records\":[{},{}]}}", record(1), record(2))))
    });
    provider
}

#[test]
fn records_that_change_at_every_look_are_told_with_the_members_that_differ() {
    let provider = counting();
    let receiver = Receiver::start();
    let list = "url: /records\nrecordsPath: records\npagination: {none: {}}";
    let dated = format!("{list}\ndatesConfiguration: {{createdDateField: at}}");
    let instance = |name: &str, resource: &str| {
        Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().resource(resource).yaml()
    };
    let site = Site::new(&[
        instance("content", list),
        instance("compared", &format!("{dated}\ncompareContent: true")),
        instance("ignored", &format!("{list}\nignoreFields: [stats]")),
        instance("dated", &dated),
    ]);
    let tried = binary().arg("try").arg(site.manifests()).output().expect("it runs");
    let tried = String::from_utf8_lossy(&tried.stdout).into_owned();
    let says = |text: &str| tried.matches(&format!("  content:      {text}")).count();
    assert_eq!(
        (says("differs between two requests because of stats.views; add "), says("is the same in two requests")),
        (2, 1),
        "{tried}"
    );
    let pollinator = site.start();
    for name in ["content", "compared"] {
        let row = pollinator.wait_for(name, "told", |row| row.tells("VolatileRecords"));
        let told = row.told("VolatileRecords").expect("the reason");
        assert!(
            told.starts_with("ignoreFields: every poll reports the same records as changed because of stats.views; "),
            "{told}"
        );
        assert_eq!(row.ready, "True", "it costs, and loses nothing");
        let delivered = receiver.delivered(name);
        assert!(!delivered.is_empty() && delivered.iter().all(|event| event.kind == Kind::Updated), "{delivered:?}");
    }
    for name in ["ignored", "dated"] {
        assert!(receiver.delivered(name).is_empty() && !pollinator.rows(name).iter().any(|row| row.tells("VolatileRecords")));
    }
}

#[test]
fn a_filter_by_whole_days_is_no_filter_that_is_ignored() {
    let noon = (Utc::now() - TimeDelta::days(1)).with_hour(12).expect("every day has a noon");
    let provider = Provider::start().clock_at(noon).filter(Filter::ByDay);
    provider.baseline_dated(ids("morning", 30), -TimeDelta::hours(10));
    provider.baseline_dated(ids("before", 30), -TimeDelta::days(30));
    let receiver = Receiver::start();
    let polls = Polls::new(&[Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().yaml()]);
    polls.poll();
    // moves the cursor past the morning, which is shown all the same
    provider.pass(TimeDelta::seconds(5));
    provider.create("new");
    for _ in 0..6 {
        provider.pass(TimeDelta::seconds(5));
        let row = polls.poll();
        assert_eq!((row.told("FilterIgnored"), row.ready.as_str()), (None, "True"));
    }
}
