//! The console of a cluster in headless Chromium: from a token to an event.

use super::{Console, add_connector, role};
use crate::console::browser::pictures;
use crate::rig::axe::Axe;
use crate::rig::browser::Browser;
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::http::Answer;
use crate::rig::operator::Cluster;
use crate::rig::{PATIENCE, canary};

#[test]
fn a_person_signs_in_creates_an_instance_and_gets_an_event() {
    let Some(plane) = shared_with_controllers() else { return };
    let Some(browser) = Browser::start(true) else { return };
    let axe = Axe::load();
    let cluster = Cluster::new(plane, "console-walk");
    let ns = &cluster.ns;
    let (editor, nobody) = (ns.token("editor"), ns.token("nobody"));
    ns.apply(&role(ns, "editor", true));
    add_connector(&cluster);
    cluster.provider.create("first");
    let operator = cluster.start_with(&["--console-listen", "127.0.0.1:0"]);
    let console = Console::of(&operator);

    let mut clicks = 0;
    let mut click = |selector: &str| {
        browser.one(selector).click();
        clicks += 1;
    };
    let fill = |id: &str, text: &str| {
        browser.run(&format!("document.getElementById('{id}').value = ''"));
        browser.all(&format!("[id='{id}']")).into_iter().next().expect("a field").type_in(text);
    };
    browser.visit(&console.base);
    browser.wait_heading("Sign in");
    pictures(&browser, axe.as_ref(), "cluster-sign-in");
    fill("token", "wrong");
    browser.one("form[action='/sign-in'] button").click();
    browser.wait_heading("The token is not accepted");
    fill("token", &nobody);
    browser.one("form[action='/sign-in'] button").click();
    browser.wait_heading("Choose a namespace");
    pictures(&browser, axe.as_ref(), "cluster-namespace");
    browser.one("form[action='/leave'] button").click();
    browser.wait_heading("Sign in");

    fill("token", &editor);
    click("form[action='/sign-in'] button");
    browser.wait_heading("Instances");
    assert!(browser.text(".user").ends_with(":editor"));
    click(".empty a[href^='/new']");
    browser.wait_heading("New instance");
    browser.one("#q").type_in("mock crm");
    click("form[role=search] button");
    browser.wait_url("q=mock");
    click("a[href^='/new/from/mock']");
    browser.wait_heading("Poll Mock CRM");
    fill("name", "crm");
    fill("credential.username", canary::USER);
    fill("credential.password", canary::ODD_PASSWORD);
    fill("interval", "5s");
    fill("callback", &cluster.receiver.url("crm"));
    click("input[name=startFrom][value=Earliest]");
    click("button[value=preview]");
    browser.wait_text("#preview", "would deliver");
    let shown = browser.text("#preview");
    assert!(shown.contains("would deliver: 1 event"), "{shown}");
    assert_eq!(canary::find_in(&browser.source()), None, "what was entered travels encrypted");
    click("button[value=create]");
    browser.wait_heading("crm");
    cluster.receiver.try_wait_count("crm", PATIENCE, 1).expect("the record is delivered");
    assert!(clicks <= 12, "{clicks}");
    browser.wait_text("#history", "accepted");
    pictures(&browser, axe.as_ref(), "cluster-instance");

    // a callback that breaks shows its cause and fix until it works again
    cluster.receiver.answer(|_| Answer::status(503));
    for number in 1..=6 {
        cluster.provider.create(&format!("more-{number}"));
    }
    browser.wait_text("#troubles", "CallbackDown");
    let trouble = browser.text("#troubles");
    assert!(trouble.contains("Cause") && trouble.contains("Fix") && trouble.contains("503"), "{trouble}");
    pictures(&browser, axe.as_ref(), "cluster-trouble");
    cluster.receiver.answer(|_| Answer::status(204));
    browser.one("form[action$='/poll-now'] button").click();
    browser.wait_text("#troubles", "the callback accepts events");
}
