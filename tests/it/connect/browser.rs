//! Consent in headless Chromium.

use std::thread;
use std::time::{Duration, Instant};

use super::Scene;
use crate::rig::PATIENCE;
use crate::rig::browser::Browser;

/// What a page owes every reader.
fn assert_accessible(browser: &Browser) {
    assert_eq!(browser.one("html").attribute("lang"), "en");
    let heading = browser.text("h1");
    assert!(!heading.is_empty());
    assert_eq!(browser.title(), format!("{heading} - Pollinator"));
    assert_eq!(browser.one("main").role(), "main");
    for button in browser.all("button") {
        assert_eq!(button.role(), "button");
        assert!(button.label().len() > 3, "a button says what it does");
    }
    for link in browser.all("a") {
        assert_eq!(link.role(), "link");
        assert!(link.label().len() > 3, "a link says where it leads");
    }
    // the style sheet is applied, so the policy lets it in
    assert_eq!(browser.one("main").style("max-width"), "576px", "36rem");
    for never in ["script", "link", "img", "iframe", "object"] {
        assert!(!browser.has(never), "{never} at {}", browser.url());
    }
}

/// Signs in at the OAuth server, up to its question.
fn sign_in(browser: &Browser) {
    browser.wait_heading("Sign-in");
    browser.one("input[name=login]").type_in("alice");
    browser.one("input[name=password]").type_in("any");
    browser.one("button[type=submit]").click();
    browser.wait_heading("Authorize");
}

#[test]
fn the_whole_walk() {
    let Some(browser) = Browser::start(true) else { return };
    walk(&browser);
}

#[test]
fn the_whole_walk_without_scripts() {
    let Some(browser) = Browser::start(false) else { return };
    walk(&browser);
}

fn walk(browser: &Browser) {
    let Some(scene) = Scene::new() else { return };
    let mut pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");

    browser.visit(&page);
    assert_accessible(browser);
    let button = browser.one("form button");
    assert_eq!(button.label(), "Continue to 127.0.0.1");
    button.click();
    sign_in(browser);
    // no, thank you
    browser.one("a[href$=abort]").click();
    browser.wait_heading("Consent was not given");
    assert_accessible(browser);
    browser.one("a").click();
    browser.wait_heading("Connect it");

    browser.one("form button").click();
    browser.wait_heading("Authorize");
    browser.one("button[type=submit]").click();
    browser.wait_heading("it is connected now");
    assert_accessible(browser);
    let answered = browser.url();
    pollinator.wait_ready("it");
    scene.receiver.try_wait_count("it", PATIENCE, 1).expect("the record is delivered");

    // the same answer again, as the back button brings it
    browser.visit(&answered);
    browser.wait_heading("This link is used up");
    assert_accessible(browser);
    browser.visit(&page);
    browser.wait_heading("it is connected<");
    assert_accessible(browser);
    assert_eq!((scene.oauth.issued("authorization_code"), scene.oauth.reuses().len()), (1, 0));
    assert!(pollinator.sigterm().success());
    let code = answered.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=")).expect("a code").to_owned();
    scene.assert_nothing_secret(&pollinator, &[code]);
}

#[test]
fn what_goes_wrong_is_said_in_the_browser() {
    let (Some(browser), Some(other)) = (Browser::start(true), Browser::start(true)) else { return };
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");

    browser.visit(&page);
    browser.one("form button").click();
    sign_in(&browser);
    // this browser goes as far as the answer, which is opened in the other one
    let waiting = scene.ingress.hold();
    browser.one("button[type=submit]").click();
    let answered = waiting.target();
    drop(waiting);
    other.visit(&format!("{}{answered}", scene.ingress.url()));
    other.wait_heading("Another browser began this");
    assert_accessible(&other);

    other.visit(&format!("{}/connect/it/nobody", scene.ingress.url()));
    other.wait_heading("There is nothing to connect here");
    assert_accessible(&other);

    // the provider refuses: nobody may be asked, and nobody is signed in
    scene.declare(&[scene.instance(&scene.oauth.auth("").replace("prompt=consent", "prompt=none"))]);
    let deadline = Instant::now() + PATIENCE;
    while !other.title().starts_with("The provider refused") {
        assert!(Instant::now() < deadline, "the new manifest is not read in time at {}: {}", other.url(), other.source());
        // until the manifest was read again, the provider asks; and a page that is asked for again and again is busy for a while
        thread::park_timeout(Duration::from_millis(500));
        other.visit(&page);
        if let Some(button) = other.all("form button").first() {
            button.click();
        }
    }
    assert_accessible(&other);
    assert!(other.text("main").contains("login_required"));
    assert_eq!(scene.oauth.issued("authorization_code"), 0);
}
