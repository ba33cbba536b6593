//! The console in headless Chromium.

use std::env;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::Scene;
use super::edits::create_plain;
use crate::rig::PATIENCE;
use crate::rig::axe::Axe;
use crate::rig::browser::Browser;
use crate::rig::canary::{self, TOKEN};

/// The pictures that the page of the documentation shows. `UPDATE_SCREENSHOTS=1` writes them again.
const IN_DOCS: [&str; 4] = ["overview-light", "instance-broken-light", "preview-light", "edit-dark-360"];

/// Keeps a picture of what is shown, where the output of tests is.
fn picture(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    let mut folders = vec![folder];
    if IN_DOCS.contains(&name) && env::var("UPDATE_SCREENSHOTS").is_ok_and(|value| value == "1") {
        folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/console"));
    }
    let picture = browser.screenshot();
    for folder in folders {
        fs::create_dir_all(&folder).expect("a folder of ours");
        fs::write(folder.join(format!("{name}.png")), &picture).expect("a file");
    }
}

/// Pictures in both schemes, on a desk and in a hand. Each is a page that everyone can use.
pub fn pictures(browser: &Browser, axe: Option<&Axe>, name: &str) {
    assert_eq!(canary::find_in(&browser.source()), None, "a secret is shown at {}", browser.url());
    for (scheme, is_dark) in [("light", false), ("dark", true)] {
        browser.prefer(is_dark);
        browser.resize(1280, 900);
        if let Some(axe) = axe {
            axe.assert_clean(browser);
        }
        picture(browser, &format!("{name}-{scheme}"));
        browser.resize(360, 780);
        assert_fits(browser);
        if let Some(axe) = axe {
            axe.assert_clean(browser);
        }
        picture(browser, &format!("{name}-{scheme}-360"));
    }
    browser.prefer(false);
    browser.resize(1280, 900);
}

/// No line is wider than the window.
fn assert_fits(browser: &Browser) {
    let wide = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]");
    assert!(wide[0].as_u64() <= wide[1].as_u64(), "{wide} at {}", browser.url());
}

/// What a page owes every reader.
fn assert_accessible(browser: &Browser) {
    assert_eq!(browser.one("html").attribute("lang"), "en");
    let heading = browser.text("h1");
    assert_eq!(browser.title(), format!("{heading} - Pollinator"));
    assert_eq!(browser.one("main").role(), "main");
    for what in ["button", "a", "input:not([type=hidden])", "select", "summary"] {
        // what is hidden or folded has no name
        for element in browser.all(&format!("{what}:not(details:not([open]) > :not(summary) *)")) {
            assert!(
                element.label().len() > 1 || element.attribute("hidden") == "true",
                "{what} without a name at {}",
                browser.url()
            );
        }
    }
    for never in ["iframe", "object", "style", "script:not([src])", "[style]", "[onclick]"] {
        assert!(!browser.has(never), "{never} at {}", browser.url());
    }
    for loaded in browser.all("script, link, img") {
        let from = [loaded.attribute("src"), loaded.attribute("href")].concat();
        assert!(from.contains("127.0.0.1") || from.starts_with('/'), "{from}");
    }
}

#[test]
fn a_person_sees_what_is_wrong_and_polls_at_once() {
    let Some(browser) = Browser::start(true) else { return };
    let axe = Axe::load();
    let scene = Scene::start();
    scene.receiver.try_wait_count("it", PATIENCE, 1).expect("the first record is delivered");

    browser.visit(&scene.ticket(0));
    browser.wait_heading("Instances");
    assert_accessible(&browser);
    // times are in the zone of the viewer, and in UTC on hover
    let time = browser.all("time").into_iter().next().expect("a time");
    assert!(time.attribute("title").ends_with(" UTC") && !time.text().contains("UTC"), "{}", time.text());
    pictures(&browser, axe.as_ref(), "overview");

    browser.one("a[href='/instances/it/broken']").click();
    browser.wait_heading("broken");
    assert_accessible(&browser);
    // the folder of this run is of no interest to readers of the documentation
    browser.run("document.querySelector('.note code').textContent = 'manifests/instances.yaml'");
    pictures(&browser, axe.as_ref(), "instance-broken");
    browser.one(".crumbs a[href='/']").click();
    browser.wait_heading("Instances");

    // what changes is shown without a reload, and what a person does is answered
    browser.one("a[href='/instances/it/it']").click();
    browser.wait_heading("it");
    let wait = |count: &str| {
        let deadline = Instant::now() + PATIENCE;
        while browser.run("return document.querySelector('#facts dd').textContent").as_str() != Some(count) {
            assert!(Instant::now() < deadline, "{count} is not shown: {}", browser.source());
            thread::park_timeout(Duration::from_millis(50));
        }
    };
    wait("1");
    scene.provider.create("second");
    browser.one("form[action$='/poll-now'] button").click();
    assert_eq!(browser.text(".done"), "All resources are polled now.");
    wait("2");
    assert_accessible(&browser);
    browser.one("#manifest summary").click();
    assert!(browser.text("#yaml").contains("baseUrl"));
    pictures(&browser, axe.as_ref(), "instance");

    browser.visit(&format!("{}/instances/it/nobody", scene.base));
    browser.wait_heading("There is no such instance");
    assert_accessible(&browser);
    pictures(&browser, axe.as_ref(), "error");
}

#[test]
fn all_of_it_works_without_scripts() {
    let Some(browser) = Browser::start(false) else { return };
    let scene = Scene::start();
    scene.receiver.try_wait_count("it", PATIENCE, 1).expect("the first record is delivered");
    browser.visit(&scene.ticket(0));
    browser.wait_heading("Instances");
    browser.one("#q").type_in("nothing has this");
    browser.one(".filter button").click();
    assert!(browser.text(".empty").contains("No instance matches"));
    browser.one(".filter a").click();
    browser.one("a[href='/instances/it/it']").click();
    browser.wait_heading("it");
    scene.provider.create("second");
    browser.one("form[action$='/poll-now'] button").click();
    scene.receiver.try_wait_count("it", PATIENCE, 2).expect("the change is delivered");
    browser.one("form[action='/leave'] button").click();
    browser.wait_heading("This browser is not signed in");
    assert_accessible(&browser);
}

/// Signs a browser in, in front of one instance that polls a plain URL. Answers the session of another one, too, that made it.
fn with_plain(browser: &Browser) -> (Scene, String) {
    let scene = Scene::empty();
    scene.provider.create("first");
    let own = scene.sign_in(0);
    create_plain(&scene, &own);
    browser.visit(&scene.ticket(1));
    browser.wait_heading("Instances");
    (scene, own)
}

/// An instance without a connector has the fields of each of its lists, and those of one more.
#[test]
fn a_person_adds_and_removes_lists() {
    let Some(browser) = Browser::start(true) else { return };
    let axe = Axe::load();
    let (scene, _) = with_plain(&browser);
    browser.visit(&format!("{}/instances/default/plain/edit", scene.base));
    browser.wait_heading("Edit plain");
    assert_accessible(&browser);
    pictures(&browser, axe.as_ref(), "edit-plain");
    let fill = |id: &str, text: &str| {
        browser.run(&format!("document.getElementById('{id}').value = ''"));
        browser.all(&format!("[id='{id}']")).into_iter().next().expect("a field").type_in(text);
    };
    // a list without a path is none, and the page says so
    fill("add.name", "more");
    browser.one("button[value=save]").click();
    browser.wait_text("[role=alert]", "Path of the list");
    assert!(!browser.text("[role=alert]").contains("spec."), "{}", browser.text("[role=alert]"));
    assert_eq!(browser.run("return document.activeElement.id").as_str(), Some("problems"), "the summary has the focus");
    browser.one("[role=alert] a").click();
    assert_eq!(browser.run("return document.activeElement.id").as_str(), Some("add.url"), "its link leads to the field");
    assert_eq!(browser.one("[id='add.url']").attribute("aria-invalid"), "true");
    pictures(&browser, axe.as_ref(), "edit-plain-refused");
    fill("add.url", "/records");
    browser.one("input[name=remove][value=records]").click();
    browser.one("button[value=save]").click();
    browser.wait_heading("plain");
    // the new one is polled, from its beginning, and the old one is gone
    scene.receiver.try_wait_count("plain", PATIENCE, 2).expect("the record comes as one of the new list");
    browser.wait_text("#resources", "more");
}

/// From an empty folder to the first event: the walk of the page that this product replaces, in a browser.
#[test]
fn a_person_creates_an_instance_from_nothing() {
    let Some(browser) = Browser::start(true) else { return };
    let axe = Axe::load();
    let scene = Scene::empty();
    scene.provider.create("first");
    let mut clicks = 0;
    let mut click = |selector: &str| {
        browser.one(selector).click();
        clicks += 1;
    };
    browser.visit(&scene.ticket(0));
    browser.wait_heading("Instances");
    assert!(browser.text(".empty").contains("There is no instance yet"), "{}", browser.source());
    pictures(&browser, axe.as_ref(), "empty");
    click(".empty a[href='/new']");
    browser.wait_heading("New instance");
    assert_accessible(&browser);
    pictures(&browser, axe.as_ref(), "choose");
    browser.visit(&format!("{}/new/plain", scene.base));
    browser.wait_heading("Poll a plain URL");
    browser.one("input[name=auth][value=apiKey]").click();
    browser.one("button[value=refresh]").click();
    browser.wait_text("fieldset:nth-of-type(2)", "Header of the key");
    assert_accessible(&browser);
    pictures(&browser, axe.as_ref(), "plain");
    browser.one(".crumbs a[href='/new']").click();
    browser.wait_heading("New instance");
    browser.one("#q").type_in("mock keap");
    click("form[role=search] button");
    click("a[href='/new/from/mockkeap']");
    browser.wait_heading("Poll Mock Keap");
    assert_accessible(&browser);
    pictures(&browser, axe.as_ref(), "new");
    let fill = |id: &str, text: &str| {
        browser.run(&format!("document.getElementById('{id}').value = ''"));
        browser.all(&format!("[id='{id}']")).into_iter().next().expect("a field").type_in(text);
    };
    fill("name", "keap");
    fill("credential.token", "wrong-canary-token");
    fill("interval", "5s");
    fill("callback", &scene.receiver.url("keap"));
    click("input[name=startFrom][value=Earliest]");
    click("button[value=preview]");
    // what is wrong shows before anything is saved
    browser.wait_text("#preview", "Unauthorized");
    assert!(!browser.source().contains("wrong-canary-token"), "what was entered as a secret is not shown");
    fill("credential.token", TOKEN);
    click("button[value=preview]");
    // the page before it has a preview, too
    browser.wait_text("#preview", "would deliver");
    let shown = browser.text("#preview");
    assert!(shown.contains("record:       id first") && shown.contains("would deliver: 1 event"), "{shown}");
    assert!(scene.receiver.count() == 0 && !scene.site.manifests().join("default.keap.yaml").exists(), "nothing is saved");
    assert_accessible(&browser);
    pictures(&browser, axe.as_ref(), "preview");
    click("button[value=yaml]");
    browser.wait_text("#yaml", "connector: mockkeap");
    let yaml = browser.text("#yaml");
    assert!(yaml.contains("token: replace-me") && yaml.contains("connector: mockkeap") && !yaml.contains(TOKEN), "{yaml}");
    pictures(&browser, axe.as_ref(), "yaml");
    click("button[value=create]");
    browser.wait_heading("keap");
    scene.receiver.try_wait_count("keap", PATIENCE, 1).expect("the record is delivered");
    assert!(clicks <= 12, "{clicks}");

    // what was created here can be edited and suspended here
    browser.one("a[href$='/edit']").click();
    browser.wait_heading("Edit keap");
    assert_accessible(&browser);
    pictures(&browser, axe.as_ref(), "edit");
    assert_eq!(browser.one("[id='credential.token']").attribute("placeholder"), "Stored; leave it empty to keep it");
    fill("interval", "soon");
    browser.one("button[value=save]").click();
    browser.wait_text("[role=alert]", "a duration such as 90s");
    pictures(&browser, axe.as_ref(), "edit-refused");
    fill("interval", "1m");
    browser.one("button[value=save]").click();
    browser.wait_heading("keap");
    assert!(browser.text(".done").contains("The settings were saved"), "{}", browser.source());
    browser.wait_text("#facts", "1m");
    browser.one("form[action$='/suspend'] button").click();
    scene.local.wait_for("keap", "suspended", |row| row.reason == "Suspended");
    assert!(!browser.source().contains(TOKEN) && !scene.local.stderr().contains(TOKEN));
}

/// Addresses of documentation are long words.
#[test]
fn the_form_of_every_connector_fits_a_phone() {
    let Some(browser) = Browser::start(true) else { return };
    let scene = Scene::empty();
    browser.visit(&scene.ticket(0));
    browser.wait_heading("Instances");
    browser.resize(360, 780);
    for key in pollinator::catalog::names() {
        browser.visit(&format!("{}/new/from/{key}", scene.base));
        browser.wait_heading("Poll ");
        assert_fits(&browser);
    }
}

/// Who goes back and forth finds the form as it was, and is not asked to send it again.
#[test]
fn a_form_keeps_what_was_entered_when_a_person_goes_back() {
    let Some(browser) = Browser::start(true) else { return };
    let scene = Scene::empty();
    browser.visit(&scene.ticket(0));
    browser.wait_heading("Instances");
    browser.visit(&format!("{}/new", scene.base));
    browser.wait_heading("New instance");
    browser.one("a[href^='/new/plain']").click();
    browser.wait_heading("Poll a plain URL");
    let fill = |id: &str, text: &str| {
        browser.run(&format!("document.getElementById('{id}').value = ''"));
        browser.one(&format!("[id='{id}']")).type_in(text);
    };
    browser.one("input[name=auth][value=bearer]").click();
    browser.one("button[value=refresh]").click();
    browser.wait_text("fieldset:nth-of-type(2)", "Access token");
    for (id, text) in [
        ("name", "shop"),
        ("baseUrl", &scene.provider.url()),
        ("resource", "records"),
        ("url", "/records"),
        ("recordsPath", "records"),
        ("callback", "http://127.0.0.1:9/in"),
        ("credential.token", TOKEN),
    ] {
        fill(id, text);
    }
    browser.one("button[value=preview]").click();
    browser.wait_text("#preview", "startFrom: Now");
    browser.one("input[name=startFrom][value=Earliest]").click();
    browser.one("button[value=preview]").click();
    browser.wait_text("#preview", "startFrom: Earliest sends all records that exist");
    browser.run("history.back()");
    browser.wait_heading("New instance");
    browser.run("history.forward()");
    browser.wait_heading("Poll a plain URL");
    // the secret that was sent is kept with the form, encrypted
    let deadline = Instant::now() + PATIENCE;
    while !browser.has("[id='credential.token'][placeholder='Entered before and kept']") {
        assert!(Instant::now() < deadline, "{}", browser.source());
        thread::park_timeout(Duration::from_millis(50));
    }
    let value = |id: &str| browser.run(&format!("return document.getElementById('{id}').value"));
    assert_eq!((value("name").as_str(), value("callback").as_str()), (Some("shop"), Some("http://127.0.0.1:9/in")));
    assert!(browser.has("input[name=startFrom][value=Earliest]:checked") && !browser.source().contains(TOKEN));
    let state = browser.run("return JSON.stringify(history.state)");
    assert!(!state.as_str().unwrap_or_default().contains(TOKEN), "{state}");
}

/// Distances move without a request, the page stays in the zone of the viewer, and one whose instance is gone says so.
#[test]
fn a_page_moves_on_and_ends_with_its_instance() {
    let Some(browser) = Browser::start(true) else { return };
    let axe = Axe::load();
    let (scene, own) = with_plain(&browser);
    browser.visit(&format!("{}/instances/default/plain", scene.base));
    browser.wait_heading("plain");
    let text = |what: &str| browser.run(&format!("return document.querySelector(\"{what}\").textContent"));
    let until = |what: &str, is_done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !is_done() {
            assert!(Instant::now() < deadline, "{what}: {}", browser.source());
            thread::park_timeout(Duration::from_millis(50));
        }
    };
    // it is polled once an hour, so nothing is heard of
    browser.run("window.isSame = true");
    let first = text("#history .distance");
    until("the distance moves", &|| text("#history .distance") != first);
    // a refresh leaves the times in the zone of the viewer
    let as_of = || browser.run("return document.querySelector('#as-of').dateTime");
    let before = as_of();
    browser.run("document.dispatchEvent(new Event('visibilitychange'))");
    until("the page is refreshed", &|| as_of() != before);
    assert!(text("#as-of").as_str().is_some_and(|shown| !shown.contains("UTC")), "{}", text("#as-of"));
    assert_eq!(browser.run("return window.isSame").as_bool(), Some(true), "it was not loaded again");

    browser.one("#actions a[href$='/delete']").click();
    browser.wait_heading("Delete plain");
    assert_accessible(&browser);
    pictures(&browser, axe.as_ref(), "delete");
    browser.one(".actions a").click();
    browser.wait_heading("plain");
    // someone else deletes it
    let question = scene.ask("GET", "/instances/default/plain/delete", &[("Cookie", &own)], None);
    let csrf = super::token(&question);
    assert_eq!(scene.submit("/instances/default/plain/delete", &own, &format!("csrf={csrf}")).status, 303);
    browser.wait_heading("There is no such instance");
    assert!(!browser.has("#actions") && !browser.has("#head"));
}
