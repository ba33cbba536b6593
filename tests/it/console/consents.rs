//! Consent on the way from an empty console to the first event.

use std::fs;

use super::browser::pictures;
use super::ticket;
use crate::rig::PATIENCE;
use crate::rig::axe::Axe;
use crate::rig::browser::Browser;
use crate::rig::canary::CLIENT_SECRET;
use crate::rig::ingress::Ingress;
use crate::rig::manifest::PROVIDER_RESOURCE;
use crate::rig::oidc::OAuthServer;
use crate::rig::pollinator::Site;
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

/// The entry of the page's key as the catalog has it, with the hosts of doubles.
fn entry(provider: &Provider, oauth: &OAuthServer) -> String {
    let resource = PROVIDER_RESOURCE.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: infusionsoftrest}}\nspec:\n  title: Keap (Infusionsoft) REST \
         v1\n  baseUrl: \"{}\"\n  auth:\n    oauth2:\n      grant: RefreshToken\n      tokenUrl: \"{}\"\n      authorizationUrl: \
         \"{}?prompt=consent\"\n      scopes: [openid, offline_access, read]\n  resources:\n  - name: appointments\n{resource}\n",
        provider.url(),
        oauth.url("/token"),
        oauth.url("/auth")
    )
}

/// The refresh token is left out, as the form says that it may be.
#[test]
fn the_instance_of_the_page_gets_its_consent_from_the_console() {
    let Some(browser) = Browser::start(true) else { return };
    let Some(oauth) = OAuthServer::start() else { return };
    let (provider, receiver) = (Provider::start().taking(oauth.takes()), Receiver::start());
    provider.create("first");
    let (site, ingress) = (Site::new(&[]), Ingress::start());
    let catalog = site.path().join("catalog");
    fs::create_dir(&catalog).expect("a folder");
    fs::write(catalog.join("infusionsoftrest.yaml"), entry(&provider, &oauth)).expect("a file");
    let mut command = site.command();
    command.arg("--catalog").arg(&catalog).arg("--console=127.0.0.1:0");
    command.args(["--connect-url", &ingress.url(), "--connect-listen", "127.0.0.1:0"]);
    let local = site.spawn(command);
    ingress.route(&[&local]);

    let mut clicks = 0;
    let mut click = |selector: &str| {
        browser.one(selector).click();
        clicks += 1;
    };
    browser.visit(&ticket(&local, 0));
    browser.wait_heading("Instances");
    click(".empty a[href='/new']");
    browser.wait_heading("New instance");
    browser.one("#q").type_in("keap");
    click("form[role=search] button");
    click("a[href='/new/from/infusionsoftrest']");
    browser.wait_heading("Poll Keap");
    let fill = |id: &str, text: &str| {
        browser.run(&format!("document.getElementById('{id}').value = ''"));
        browser.one(&format!("[id='{id}']")).type_in(text);
    };
    fill("name", "keap");
    fill("credential.client_id", "user-basic");
    fill("credential.client_secret", CLIENT_SECRET);
    fill("interval", "5s");
    fill("callback", &receiver.url("keap"));
    click("input[name=startFrom][value=Earliest]");
    click("button[value=create]");
    browser.wait_heading("keap");
    browser.wait_text("#actions", "Give consent");
    pictures(&browser, Axe::load().as_ref(), "consent");
    click("#actions a[rel=noreferrer]");
    browser.wait_heading("Connect keap");
    click("form button");
    browser.wait_heading("Sign-in");
    browser.one("input[name=login]").type_in("alice");
    browser.one("input[name=password]").type_in("any");
    click("button[type=submit]");
    browser.wait_heading("Authorize");
    click("button[type=submit]");
    browser.wait_heading("keap is connected now");
    click("main a");
    browser.wait_heading("keap");
    browser.wait_url("/instances/default/keap");
    receiver.try_wait_count("keap", PATIENCE, 1).unwrap_or_else(|| panic!("no event\n{}", local.report("keap")));
    assert!(clicks <= 12, "{clicks}");
    local.wait_ready("keap");
    browser.wait_text("#head", "Healthy");
    assert!(!browser.has("#actions a[rel=noreferrer]"), "the consent is given: {}", browser.source());
    assert_eq!((oauth.issued("authorization_code"), oauth.reuses().len()), (1, 0));
}
