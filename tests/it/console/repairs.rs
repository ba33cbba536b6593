//! What is wrong is found, fixed and sent again in a browser.

use serde_json::json;

use super::browser::pictures;
use super::{Scene, ticket};
use crate::rig::PATIENCE;
use crate::rig::axe::Axe;
use crate::rig::browser::Browser;
use crate::rig::http::Answer;

#[test]
fn a_callback_that_breaks_shows_its_cause_and_fix_until_it_works_again() {
    let Some(browser) = Browser::start(true) else { return };
    let scene = Scene::start();
    scene.receiver.try_wait_count("it", PATIENCE, 1).expect("the first record is delivered");
    browser.visit(&scene.ticket(0));
    browser.wait_heading("Instances");
    browser.visit(&format!("{}/instances/it/it", scene.base));
    browser.wait_heading("it");
    assert!(!browser.text("#troubles").contains("Fix"));

    scene.receiver.answer(|_| Answer::status(503));
    for number in 1..=6 {
        scene.provider.create(&format!("more-{number}"));
    }
    browser.one("form[action$='/poll-now'] button").click();
    browser.wait_text("#troubles", "CallbackDown");
    let trouble = browser.text("#troubles");
    assert!(trouble.contains("Cause") && trouble.contains("Fix") && trouble.contains("503"), "{trouble}");
    browser.wait_text("#history", "503");
    // the overview has it first
    browser.one(".crumbs a[href='/']").click();
    browser.wait_heading("Instances");
    browser.wait_text("#instances", "CallbackDown");
    browser.one("a[href='/instances/it/it']").click();
    browser.wait_heading("it");

    scene.receiver.answer(|_| Answer::status(204));
    browser.one("form[action$='/poll-now'] button").click();
    browser.wait_text("#facts dd", "7");
    browser.wait_text("#troubles", "the callback accepts events");
    assert!(!browser.text("#troubles").contains("Fix"));
}

#[test]
fn a_parked_event_is_sent_again_and_another_one_dropped() {
    let Some(browser) = Browser::start(true) else { return };
    let mut scene = Scene::start();
    scene.receiver.try_wait_count("it", PATIENCE, 1).expect("the first record is delivered");
    // two events that the callback refused before
    assert!(scene.local.sigterm().success());
    let parked = |object: u64, id: &str| {
        json!({
            "object": object, "attempts": 5, "refusals": 5,
            "event": {
                "id": format!("event-of-{id}"), "kind": "updated", "resource": "records", "objectId": id,
                "detectedAt": "2026-11-24T10:00:00Z", "data": {"id": id, "note": "a-record-that-is-not-shown"},
            },
        })
    };
    let ledger = json!([parked(1, "one"), parked(2, "two")]);
    scene.site.edit_state(r"^\{", &format!("{{\"ledger\":{ledger},"));
    let mut command = scene.site.command();
    command.arg("--console=127.0.0.1:0");
    scene.local = scene.site.spawn(command);
    let url = ticket(&scene.local, 0);
    let base = url.split("/open").next().expect("an origin");

    browser.visit(&url);
    browser.wait_heading("Instances");
    browser.visit(&format!("{base}/instances/it/it"));
    browser.wait_heading("it");
    browser.wait_text("#waiting", "parked");
    let listed = browser.text("#waiting");
    assert!(
        listed.contains("one") && listed.contains("two") && !browser.source().contains("a-record-that-is-not-shown"),
        "{listed}"
    );
    pictures(&browser, Axe::load().as_ref(), "waiting");
    let press = |action: &str, event: &str| {
        browser.one(&format!("#waiting form[action$='/{action}']:has(input[value='event-of-{event}']) button")).click();
    };
    press("redeliver", "one");
    let posts = scene.receiver.try_wait_count("it", PATIENCE, 2).expect("the event is sent again");
    assert_eq!(posts[1].event().event_id, "event-of-one");
    browser.visit(&format!("{base}/instances/it/it"));
    // what cannot be taken back is asked twice
    browser.one("#waiting details[id='discard-event-of-two'] summary").click();
    press("discard", "two");
    assert!(browser.text(".done").contains("never sent"));
    scene.local.wait_for("it", "nothing waits", |row| row.parked == 0);
    assert_eq!(scene.receiver.posts("it").len(), 2, "what was dropped is not sent");
}
