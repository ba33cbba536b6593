//! The process dies between marker, answer, write and use.

use std::fs;
use std::time::Duration;

use super::{Scene, wait_refresh};
use crate::rig::http::Answer;
use crate::rig::oauth_server::OauthServer;
use crate::rig::pollinator::Pollinator;
use crate::rig::scene::ids;
use crate::rig::traffic::Dice;

const SHORT: Duration = Duration::from_secs(5);

/// A scene whose next refresh was processed and whose answer waits.
fn held(oauth: OauthServer, members: &str) -> (Scene, Pollinator) {
    let token = oauth.consent();
    let scene = Scene::new(oauth.life(SHORT), members, &[("refresh_token", &token)]);
    let pollinator = scene.start();
    scene.provider.create_all(ids("before", 3));
    scene.assert_perfect(&pollinator);
    scene.oauth.hold_next();
    scene.oauth.wait_held();
    scene.provider.create_all(ids("meanwhile", 3));
    (scene, pollinator)
}

/// A person gives consent anew: polling resumes from the cursor.
fn consent_anew(scene: &Scene, pollinator: &Pollinator) {
    let asked = scene.oauth.asked();
    scene.secret(&[("refresh_token", &scene.oauth.consent())]);
    scene.oauth.wait_granted(scene.oauth.granted() + 1);
    scene.provider.create("after");
    scene.assert_perfect(pollinator);
    assert!(scene.oauth.asked() > asked);
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
}

#[test]
fn a_kill_before_the_answer_asks_for_consent_and_not_for_a_token() {
    let (scene, mut pollinator) = held(OauthServer::start(), "grant: RefreshToken");
    pollinator.kill9();
    scene.oauth.release();
    let asked = scene.oauth.asked();
    for _ in 0..2 {
        let pollinator = scene.site.start();
        let message = pollinator.wait_reason("it", "ReauthorizationRequired");
        assert!(message.contains("a refresh was cut off") && message.contains("Secret oauth"), "{message}");
    }
    assert_eq!(scene.oauth.asked(), asked, "a refresh token that may be spent is not sent again");
    let pollinator = scene.site.start();
    pollinator.wait_reason("it", "ReauthorizationRequired");
    consent_anew(&scene, &pollinator);
}

#[test]
fn a_kill_before_the_write_asks_for_consent() {
    let (scene, mut pollinator) = held(OauthServer::start(), "grant: RefreshToken");
    // the answer comes, and there is no room for it
    fs::create_dir(scene.site.state().join("it.oauth.oauth-tokens.new")).unwrap();
    scene.oauth.release();
    let message = pollinator.wait_reason("it", "StateUnavailable");
    assert!(message.contains("token file"), "{message}");
    pollinator.kill9();
    fs::remove_dir(scene.site.state().join("it.oauth.oauth-tokens.new")).unwrap();
    let pollinator = scene.site.start();
    pollinator.wait_reason("it", "ReauthorizationRequired");
    consent_anew(&scene, &pollinator);
}

#[test]
fn what_could_not_be_written_is_written_as_soon_as_it_can() {
    for ends in [false, true] {
        let (scene, mut pollinator) = held(OauthServer::start(), "grant: RefreshToken");
        let blocked = scene.site.state().join("it.oauth.oauth-tokens.new");
        fs::create_dir(&blocked).unwrap();
        scene.oauth.release();
        pollinator.wait_reason("it", "StateUnavailable");
        let token = |one: &str| one.contains("access");
        let seen = scene.provider.asks().last().unwrap().header("authorization").unwrap_or_default().to_owned();
        assert!(token(&seen));
        if ends {
            // the end waits for the write
            pollinator.signal("TERM");
            pollinator.wait_stderr("tokens are not stored yet");
        }
        fs::remove_dir(&blocked).unwrap();
        if ends {
            assert!(pollinator.wait().success());
            pollinator = scene.site.start();
        }
        scene.assert_perfect(&pollinator);
        assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
    }
}

#[test]
fn an_end_in_order_waits_for_the_answer() {
    let (scene, mut pollinator) = held(OauthServer::start(), "grant: RefreshToken");
    pollinator.signal("TERM");
    scene.oauth.release();
    assert!(pollinator.wait().success());
    let pollinator = scene.site.start();
    scene.assert_perfect(&pollinator);
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
}

#[test]
fn a_kill_before_the_first_use_costs_nothing() {
    let oauth = OauthServer::start();
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
    // the API hears the new token first, and the process dies of it
    scene.provider.misbehave(|_| Some(Answer::status(503).after(Duration::from_mins(1))));
    let mut pollinator = scene.site.start();
    scene.provider.wait_polled(1);
    pollinator.kill9();
    scene.provider.misbehave(|_| None);
    let pollinator = scene.start();
    scene.provider.create("a");
    scene.assert_perfect(&pollinator);
    assert_eq!(scene.oauth.asked(), 1, "the token that was stored is used");
}

#[test]
fn a_code_whose_exchange_was_cut_off_is_not_tried_again() {
    let oauth = OauthServer::start();
    let code = oauth.code(None, None);
    let members = "grant: AuthorizationCode, authorizationUrl: \"https://login.example.com/\"";
    let scene = Scene::new(oauth, members, &[("code", &code)]);
    scene.oauth.hold_next();
    let mut pollinator = scene.site.start();
    scene.oauth.wait_held();
    pollinator.kill9();
    scene.oauth.release();
    let pollinator = scene.site.start();
    let message = pollinator.wait_reason("it", "ReauthorizationRequired");
    assert!(message.contains("a new code is needed"), "{message}");
    assert_eq!(scene.oauth.asked(), 1);
    scene.secret(&[("code", &scene.oauth.code(None, None))]);
    pollinator.wait_ready("it");
    scene.provider.create("a");
    scene.assert_perfect(&pollinator);
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
}

/// The answer is lost while the process lives: a code is not sent again by it either.
#[test]
fn a_code_whose_answer_was_lost_is_not_tried_again() {
    let oauth = OauthServer::start();
    let code = oauth.code(None, None);
    let members = "grant: AuthorizationCode, authorizationUrl: \"https://login.example.com/\"";
    let scene = Scene::new(oauth, members, &[("code", &code)]);
    scene.oauth.lose_next(1);
    let pollinator = scene.site.start();
    pollinator.wait_reason("it", "ReauthorizationRequired");
    assert_eq!(scene.oauth.asked(), 1);
}

#[test]
fn where_refresh_tokens_last_a_kill_costs_nothing() {
    for members in ["grant: RefreshToken, refresh: {rotates: Never}", "grant: RefreshToken"] {
        let oauth = OauthServer::start().lasting();
        let token = oauth.consent();
        let scene = Scene::new(oauth.life(SHORT), members, &[("refresh_token", &token)]);
        let mut pollinator = scene.start();
        // one refresh has shown it, where nobody says it
        scene.oauth.wait_granted(2);
        scene.oauth.hold_next();
        scene.oauth.wait_held();
        pollinator.kill9();
        scene.oauth.release();
        let pollinator = scene.start();
        scene.provider.create("a");
        scene.assert_perfect(&pollinator);
        assert!(pollinator.rows("it").iter().all(|row| !row.tells("ReauthorizationRequired")), "{members}");
    }
}

#[test]
fn within_the_grace_of_the_provider_a_kill_costs_nothing() {
    let oauth = OauthServer::start().grace(Duration::from_mins(10));
    let (scene, mut pollinator) = held(oauth, "grant: RefreshToken, refresh: {grace: 10m}");
    pollinator.kill9();
    scene.oauth.release();
    let pollinator = scene.start();
    scene.assert_perfect(&pollinator);
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()));
}

/// Once more is the only chance there is: it helps when the server never saw the first, and does no harm when it did.
#[test]
fn a_lost_answer_is_asked_for_once_more() {
    for seen_by_server in [false, true] {
        let oauth = OauthServer::start();
        let token = oauth.consent();
        let scene = Scene::new(oauth.life(SHORT), "grant: RefreshToken", &[("refresh_token", &token)]);
        let pollinator = scene.start();
        if seen_by_server {
            scene.oauth.lose_next(1);
            pollinator.wait_reason("it", "TokenEndpointUnreachable");
            pollinator.wait_reason("it", "ReauthorizationRequired");
            assert_eq!(scene.oauth.used_twice().len(), 1);
            let asked = scene.oauth.asked();
            consent_after_reuse(&scene, &pollinator);
            assert!(scene.oauth.asked() > asked);
        } else {
            let mut once = true;
            scene.oauth.misbehave(move |_| std::mem::take(&mut once).then(Answer::hang_up));
            pollinator.wait_reason("it", "TokenEndpointUnreachable");
            scene.provider.create("a");
            scene.assert_perfect(&pollinator);
            assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
        }
    }
}

fn consent_after_reuse(scene: &Scene, pollinator: &Pollinator) {
    scene.secret(&[("refresh_token", &scene.oauth.consent())]);
    scene.provider.create("after");
    scene.assert_perfect(pollinator);
}

/// Kills at any moment: never two uses of one refresh token, and nothing is lost, whatever a person has to do in between.
#[test]
fn kills_at_random_moments_never_use_a_refresh_token_twice() {
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || run_lane(8, seed));
        }
    });
}

fn run_lane(kills: usize, seed: u64) {
    let mut dice = Dice::new(seed);
    // a server that takes its time, so that many a kill falls into a request
    let oauth = OauthServer::start().life(SHORT);
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
    let consent = || scene.secret(&[("refresh_token", &scene.oauth.consent())]);
    let mut consents = 0;
    let mut pollinator = scene.start();
    for kill in 0..kills {
        scene.provider.create_all(ids(&format!("k{kill}"), 2));
        if dice.below(2) == 0 {
            scene.oauth.hold_next();
            consents += wait_refresh(&pollinator, |limit| scene.oauth.try_wait_held(limit), consent);
        } else {
            let granted = scene.oauth.granted() + 1;
            consents += wait_refresh(&pollinator, |limit| scene.oauth.try_wait_granted(granted, limit), consent);
        }
        std::thread::park_timeout(Duration::from_millis(dice.below(30)));
        if dice.below(2) == 0 {
            scene.oauth.release();
        }
        pollinator.kill9();
        scene.oauth.release();
        pollinator = scene.site.start();
        pollinator.wait_for("it", "an end of the first poll", |row| row.ready != "Unknown");
    }
    let granted = scene.oauth.granted() + 1;
    consents += wait_refresh(&pollinator, |limit| scene.oauth.try_wait_granted(granted, limit), consent);
    let verdict = scene.verdict();
    assert!(verdict.is_sound() && verdict.missing.is_empty(), "seed {seed}: {verdict}\n{}", pollinator.report("it"));
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new(), "seed {seed}");
    assert!(consents > 0 && consents <= kills, "seed {seed}: {consents} consents in {kills} kills");
}
