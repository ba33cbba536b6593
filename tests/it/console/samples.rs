//! The sample instance that a console without instances offers.

use super::{Scene, ticket, token};
use crate::rig::client;
use crate::rig::pollinator::{Pollinator, Site};

const PAGE: &str = "/instances/default/sample-crm";

/// The number of delivered events that a status says.
fn delivers_more(local: &Pollinator, than: u64) -> u64 {
    local.wait_for("sample-crm", "more events of the sample", |row| row.ready == "True" && row.delivered > than).delivered
}

/// Pressed, it creates an instance that is polled and delivers, and that goes on after the process was killed.
#[test]
fn a_sample_is_created_with_one_button_and_outlives_its_process() {
    let mut scene = Scene::empty();
    let cookie = scene.sign_in(0);
    let page = scene.ask("GET", "/", &[("Cookie", &cookie)], None);
    assert!(page.body.contains("Create a sample instance"), "{}", page.body);
    let stranger = scene.submit("/sample", &cookie, "csrf=guessed");
    assert_eq!(stranger.status, 403, "{}", stranger.body);
    assert!(!scene.site.manifests().join("default.sample-crm.yaml").exists());
    let form = format!("csrf={}", token(&page));
    for _ in 0..2 {
        let created = scene.submit("/sample", &cookie, &form);
        let location = created.headers.get("location").and_then(|value| value.to_str().ok());
        assert_eq!((created.status, location), (303, Some(&*format!("{PAGE}?done=sample"))), "{}", created.body);
    }
    let shown = scene.ask("GET", PAGE, &[("Cookie", &cookie)], None);
    assert!(shown.body.contains("sample-crm") && !shown.body.contains("whsec_"), "{}", shown.body);
    let before = delivers_more(&scene.local, 0);

    scene.local.kill9();
    let mut command = scene.site.command();
    command.arg("--console=127.0.0.1:0");
    let again = scene.site.spawn(command);
    delivers_more(&again, before);
}

/// It would need loopback addresses.
#[test]
fn a_sample_is_not_offered_where_it_could_not_be_polled() {
    let site = Site::new(&[]);
    let mut command = site.command();
    command.args(["--console=127.0.0.1:0", "--deny-loopback"]);
    let local = site.spawn(command);
    let url = ticket(&local, 0);
    let base = url.split("/open").next().expect("an origin");
    let opened = client::exchange("GET", &url, &[], None).expect("an answer");
    let cookie = super::cookie(&opened).split(';').next().expect("a cookie").to_owned();
    let page = client::exchange("GET", base, &[("Cookie", &cookie)], None).expect("an answer");
    assert!(page.body.contains("There is no instance yet") && !page.body.contains("sample"), "{}", page.body);
}
