//! Consent by forms.

use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

use super::{Scene, heading};
use crate::rig::http::{Answer, Server};
use crate::rig::log::Log;
use crate::rig::person::Person;
use crate::rig::{PATIENCE, canary};

#[test]
fn after_consent_the_instance_is_polled_and_nothing_is_left_to_ask() {
    let Some(scene) = Scene::new() else { return };
    let mut pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    assert_eq!(page, format!("{}/connect/it/it", scene.ingress.url()));
    assert_eq!(scene.provider.asked(), 0, "without consent nothing is asked");

    let mut person = Person::new();
    let offered = person.visit(&page);
    assert_eq!(heading(&offered), "Connect it");
    assert!(offered.body().contains("127.0.0.1") && offered.body().contains("<form method=\"post\">"), "{}", offered.body());
    let asked = person.submit(&offered, &[]);
    let done = person.agree_from(asked, true);
    assert_eq!((done.status(), heading(&done).as_str()), (200, "it is connected now"));

    let row = pollinator.wait_ready("it");
    assert!(row.connect.is_none(), "{row:?}");
    scene.receiver.try_wait_count("it", PATIENCE, 1).expect("the record is delivered long before the hour is over");
    assert_eq!(heading(&person.visit(&page)), "it is connected");
    assert_eq!((scene.oauth.issued("authorization_code"), scene.oauth.reuses().len()), (1, 0));
    assert!(pollinator.sigterm().success());
    scene.assert_nothing_secret(&pollinator, &done.query("code").into_iter().collect::<Vec<_>>());

    // what was kept serves the next process
    let pollinator = scene.start();
    pollinator.wait_ready("it");
    assert_eq!(scene.oauth.issued("authorization_code"), 1);
}

#[test]
fn nothing_is_claimed_before_the_instance_was_polled() {
    let Some(scene) = Scene::new() else { return };
    let polled = scene.instance(&scene.oauth.auth(""));
    scene.declare(&[polled.clone().spec("suspend: true")]);
    let pollinator = scene.start();
    pollinator.wait_ready("it");
    // until its first state is stored, it has no uid that a consent could be bound to
    let (page, deadline) = (format!("{}/connect/it/it", scene.ingress.url()), Instant::now() + PATIENCE);
    let mut seen = Person::new().visit(&page);
    while seen.status() == 404 && Instant::now() < deadline {
        thread::park_timeout(Duration::from_millis(50));
        seen = Person::new().visit(&page);
    }
    assert_eq!((seen.status(), heading(&seen).as_str()), (200, "It is not known yet whether it needs a consent"));
    assert!(!seen.body().contains("<form"), "{}", seen.body());

    scene.declare(&[polled]);
    let page = Scene::wait_asking(&pollinator, "it");
    assert_eq!(heading(&Person::new().visit(&page)), "Connect it");
}

#[test]
fn who_declines_changes_nothing_and_may_begin_anew() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let mut person = Person::new();
    let offered = person.visit(&page);
    let asked = person.submit(&offered, &[]);
    let declined = person.refuse_from(&asked, true);
    assert_eq!((declined.status(), heading(&declined).as_str()), (200, "Consent was not given"));
    assert!(declined.body().contains("href=\"/connect/it/it\""), "{}", declined.body());
    let again = person.visit(declined.url.as_str());
    assert_eq!((again.status(), heading(&again).as_str()), (400, "This link is used up"));

    let back = Scene::agree(&mut person, &page);
    assert_eq!(person.visit(&back).status(), 200);
    pollinator.wait_ready("it");
}

#[test]
fn an_answer_serves_once() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let mut person = Person::new();
    let back = Scene::agree(&mut person, &page);
    assert_eq!(heading(&person.visit(&back)), "it is connected now");
    for _ in 0..2 {
        let replayed = person.visit(&back);
        assert_eq!((replayed.status(), heading(&replayed).as_str()), (400, "This link is used up"));
    }
    pollinator.wait_ready("it");
    assert_eq!((scene.oauth.issued("authorization_code"), scene.oauth.reuses().len()), (1, 0), "{:#?}", scene.oauth.told());
}

#[test]
fn an_answer_serves_the_browser_that_asked_and_no_other() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let (mut person, mut other) = (Person::new(), Person::new());
    let back = Scene::agree(&mut person, &page);
    let elsewhere = other.visit(&back);
    assert_eq!((elsewhere.status(), heading(&elsewhere).as_str()), (403, "Another browser began this"));
    assert_eq!(heading(&person.visit(&back)), "This link is used up", "a state that was seen elsewhere is worth nothing");
    assert_eq!(scene.oauth.issued("authorization_code"), 0);
    // a cookie of another consent is none of this one
    let _ = Scene::agree(&mut other, &page);
    let back = Scene::agree(&mut person, &page);
    assert_eq!(heading(&other.visit(&back)), "Another browser began this");
}

#[test]
fn an_answer_that_took_too_long_is_not_taken() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let mut person = Person::new();
    let back = Scene::agree(&mut person, &page);
    let file = scene.site.state().join("it.oauth.oauth-tokens");
    let mut kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(kept["consents"][0]["expiresAt"].is_string(), "{kept}");
    kept["consents"][0]["expiresAt"] = json!("2026-01-01T00:00:00Z");
    fs::write(&file, kept.to_string()).unwrap();
    let late = person.visit(&back);
    assert_eq!((late.status(), heading(&late).as_str()), (400, "It took too long"));
    assert_eq!(heading(&person.visit(&back)), "This link is used up");
    assert_eq!(scene.oauth.issued("authorization_code"), 0);
}

#[test]
fn an_answer_serves_the_instance_for_which_it_was_asked() {
    let Some(scene) = Scene::new() else { return };
    let mut other = scene.instance(&scene.oauth.auth(""));
    other.name = "other".to_owned();
    scene.declare(&[scene.instance(&scene.oauth.auth("")), other]);
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let other = Scene::wait_asking(&pollinator, "other");
    let mut person = Person::new();
    let unused = Scene::agree(&mut person, &other);
    let back = Scene::agree(&mut person, &page);
    let wrong = person.visit(&back.replace("state=it.it.", "state=it.other."));
    assert_eq!((wrong.status(), heading(&wrong).as_str()), (400, "This link is used up"));
    let nobody = person.visit(&back.replace("state=it.it.", "state=it.nobody."));
    assert_eq!((nobody.status(), heading(&nobody).as_str()), (400, "This link is used up"), "names are not told");
    // two consents in one browser do not disturb each other, and what was tried did not either
    assert_eq!(heading(&person.visit(&back)), "it is connected now");
    assert_eq!(heading(&person.visit(&unused)), "other is connected now");
    pollinator.wait_ready("it");
    pollinator.wait_ready("other");
}

#[test]
fn an_answer_of_another_issuer_is_refused() {
    let Some(scene) = Scene::new() else { return };
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let mut person = Person::new();
    let back = Scene::agree(&mut person, &page);
    assert!(back.contains("iss=http"), "the server names itself: {back}");
    let forged = person.visit(&back.replace("iss=http", "iss=https"));
    assert_eq!((forged.status(), heading(&forged).as_str()), (403, "Another provider answered"));
    assert_eq!(scene.oauth.issued("authorization_code"), 0);

    // the issuer that a person names is the one that counts
    scene.declare(&[scene.instance(&scene.oauth.auth(&format!("issuer: \"{}\"", scene.oauth.url(""))))]);
    let back = Scene::agree(&mut person, &page);
    assert_eq!(heading(&person.visit(&back)), "it is connected now");
    pollinator.wait_ready("it");
}

#[test]
fn what_the_provider_refuses_is_said() {
    let Some(scene) = Scene::new() else { return };
    let auth = scene.oauth.auth("").replace("prompt=consent", "prompt=none");
    scene.declare(&[scene.instance(&auth)]);
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let mut person = Person::new();
    let offered = person.visit(&page);
    let refused = person.submit(&offered, &[]);
    assert_eq!((refused.status(), heading(&refused).as_str()), (502, "The provider refused"), "{}", refused.body());
    assert!(refused.body().contains("The provider answered login_required."), "{}", refused.body());
}

#[test]
fn a_token_endpoint_that_fails_is_said_and_the_code_is_sent_once() {
    let Some(scene) = Scene::new() else { return };
    let asks = Log::default();
    let log = asks.clone();
    let endpoint = Server::start(move |ask| match log.push(ask.clone()) {
        0 => Answer::hang_up(),
        1 => Answer::status(503),
        _ => Answer::json(r#"{"error":"invalid_client"}"#).with_status(401),
    });
    let real = scene.oauth.auth("");
    let broken = real.replace(&scene.oauth.url("/token"), &endpoint.url());
    scene.declare(&[scene.instance(&broken)]);
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let mut person = Person::new();
    let mut codes = Vec::new();
    for (title, words) in [
        ("The provider did not answer in time", "A code is never sent twice"),
        ("It could not be connected", "answered 503"),
        ("It could not be connected", "client_secret in Secret oauth"),
    ] {
        let back = Scene::agree(&mut person, &page);
        let failed = person.visit(&back);
        assert_eq!((failed.status(), heading(&failed).as_str()), (502, title));
        assert!(failed.body().contains(words), "{}", failed.body());
        codes.extend(failed.query("code"));
        assert_eq!(heading(&person.visit(&back)), "This link is used up");
        assert_eq!(asks.len(), codes.len(), "once for each code");
    }
    // nobody listens there
    let address = endpoint.url();
    drop(endpoint);
    let back = Scene::agree(&mut person, &page);
    let failed = person.visit(&back);
    assert_eq!(heading(&failed), "It could not be connected", "nobody listens at {address}");
    codes.extend(failed.query("code"));
    Scene::wait_asking(&pollinator, "it");

    scene.declare(&[scene.instance(&real)]);
    pollinator.wait_stderr("no consent");
    loop {
        // until the manifest was read again, the old endpoint is asked
        let back = Scene::agree(&mut person, &page);
        if heading(&person.visit(&back)) == "it is connected now" {
            break;
        }
    }
    pollinator.wait_ready("it");
    scene.assert_nothing_secret(&pollinator, &codes);
    assert_eq!(canary::find_in(&pollinator.stderr()), None);
}

#[test]
fn a_public_client_needs_no_secret() {
    let Some(scene) = Scene::new() else { return };
    scene.declare(&[scene.instance(&scene.oauth.auth("clientAuthentication: {code: None}"))]);
    scene.secret("user-public");
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let mut person = Person::new();
    let back = Scene::agree(&mut person, &page);
    assert_eq!(heading(&person.visit(&back)), "it is connected now");
    pollinator.wait_ready("it");
}

#[test]
fn a_consent_that_was_withdrawn_is_asked_for_anew_and_polling_goes_on_from_the_cursor() {
    let Some(scene) = Scene::new() else { return };
    let everyday = scene.instance(&scene.oauth.auth("clientAuthentication: {code: Body}"));
    scene.secret("user-body");
    let manifests = scene.site.manifests();
    crate::rig::manifest::write(&manifests, "instances.yaml", &[everyday.yaml()]);
    let pollinator = scene.start();
    let page = Scene::wait_asking(&pollinator, "it");
    let mut person = Person::new();
    let back = Scene::agree(&mut person, &page);
    assert_eq!(heading(&person.visit(&back)), "it is connected now");
    pollinator.wait_ready("it");
    scene.oauth.revoke(&scene.oauth.newest_refresh_token());
    scene.provider.create("while it was gone");
    Scene::wait_asking(&pollinator, "it");

    let back = Scene::agree(&mut person, &page);
    assert_eq!(heading(&person.visit(&back)), "it is connected now");
    pollinator.wait_ready("it");
    let verdict = crate::rig::settle(&scene.receiver, "it", || scene.provider.truth(), crate::rig::provider::version);
    crate::rig::assert_perfect(&verdict, &pollinator, "it");
    assert_eq!(scene.oauth.reuses().len(), 0, "{:#?}", scene.oauth.told());

    // to connect another account, what was kept of this one is removed
    let connected = person.visit(&page);
    assert!(connected.body().contains("it.oauth.oauth-tokens"), "{}", connected.body());
    fs::remove_file(scene.site.state().join("it.oauth.oauth-tokens")).unwrap();
    Scene::wait_asking(&pollinator, "it");
    let back = Scene::agree(&mut Person::new(), &page);
    assert_eq!(heading(&person.visit(&back)), "Another browser began this");
    let back = Scene::agree(&mut person, &page);
    assert_eq!(heading(&person.visit(&back)), "it is connected now");
    pollinator.wait_ready("it");
}
