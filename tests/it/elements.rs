//! The instances API of Open Connectors: what the page does with `curl`, and what scripts do after it.

mod described;
mod history;
mod killed;
mod neighbors;
mod verbatim;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::PATIENCE;
use crate::rig::client::{Reply, exchange};
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer, Proof};
use crate::rig::page_body;
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

/// `local` with the API, its doubles, and an empty folder.
struct Scene {
    oauth: OauthServer,
    provider: Provider,
    receiver: Receiver,
    site: Site,
}

/// The API of one process.
struct Api {
    local: Pollinator,
    base: String,
    authorization: String,
}

impl Scene {
    fn new() -> Self {
        let oauth = OauthServer::start().proofs(Proof::Body, Proof::Basic);
        let provider = Provider::start().taking(oauth.takes());
        let scene = Self { oauth, provider, receiver: Receiver::start(), site: Site::new(&[]) };
        // an entry of the page's key whose provider is the double
        let catalog = scene.site.path().join("catalog");
        fs::create_dir(&catalog).expect("a folder");
        let entry = format!(
            "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: infusionsoftrest}}\nspec:\n  baseUrl: \"{}\"\n  \
             auth: {{oauth2: {{grant: RefreshToken, tokenUrl: \"{}\", clientAuthentication: {{code: Body, refresh: Basic}}}}}}\n  \
             resources:\n  - name: appointments\n    hubPaths: [/hubs/crm/appointments]\n    url: /records\n    \
             recordsPath: records\n    query: {{since: \"${{since}}\"}}\n    pagination: {{nextLink: {{field: next}}}}\n",
            scene.provider.url(),
            scene.oauth.token_url()
        );
        fs::write(catalog.join("infusionsoftrest.yaml"), entry).expect("a file");
        scene
    }

    fn start(&self) -> Api {
        Api::start(&self.site)
    }

    /// The body of the page's cURL.
    fn page(&self) -> Value {
        let code = self.oauth.code(Some("https://mycoolapp.com"), None);
        let callback = self.receiver.url("api-instance-with-polling");
        let mut body = page_body::of("API Instance with Polling", &code, &callback);
        // between the single quotes of the page's cURL, a shell takes those of the pattern away
        body["configuration"]["event.poller.configuration"]["appointments"]["datesConfiguration"]["updatedDateFormat"] =
            json!("yyyy-MM-ddTHH:mm:ss.SSSZ");
        body
    }
}

impl Api {
    /// `local` with the connectors in the folder `catalog` of the site.
    fn start(site: &Site) -> Self {
        let mut command = site.command();
        command.arg("--catalog").arg(site.path().join("catalog")).args(["--api-listen", "127.0.0.1:0"]);
        let local = site.spawn(command);
        let line = local.wait_stderr("serving the instances API");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
        let file = site.state().join("api-credentials");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
        assert!(local.stderr().contains(&file.display().to_string()), "its path is printed");
        let text = fs::read_to_string(file).expect("a file");
        let secret = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("a line").to_owned();
        let authorization = format!("User {}, Organization {}", secret("user: "), secret("organization: "));
        Self { base: format!("http://{address}/elements/api-v2"), local, authorization }
    }

    fn ask_as(&self, authorization: &str, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let headers = [("authorization", authorization), ("content-type", "application/json")];
        exchange(method, &format!("{}{path}", self.base), &headers, body.map(ToString::to_string)).expect("an answer")
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.ask_as(&self.authorization, method, path, body)
    }

    /// The JSON of an answer that grants it.
    fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let reply = self.ask(method, path, body);
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.body);
        serde_json::from_str(&reply.body).unwrap_or(Value::Null)
    }

    /// The message of an answer that refuses it.
    fn refused(&self, status: u16, method: &str, path: &str, body: Option<&Value>) -> String {
        let reply = self.ask(method, path, body);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        message(&reply)
    }
}

fn message(reply: &Reply) -> String {
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("not JSON: {}", reply.body));
    assert!(body["requestId"].as_str().is_some_and(|id| id.len() == 24), "{body}");
    body["message"].as_str().expect("a message").to_owned()
}

#[test]
fn the_curl_of_the_page_ends_in_events_of_the_old_format() {
    let scene = Scene::new();
    let api = scene.start();
    assert_eq!(api.must("GET", "/instances", None), json!([]));
    let body = scene.page();
    let reply = api.ask("POST", "/instances", Some(&body));
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.headers["warning"].to_str().expect("text").contains("the callback is http"), "{:?}", reply.headers);
    let created: Value = serde_json::from_str(&reply.body).expect("JSON");
    let (id, token) = (created["id"].as_u64().expect("a number"), created["token"].as_str().expect("a token"));
    assert!(id > 0 && id < 1 << 53 && token.len() == 44, "{created}");
    assert_eq!(
        (&created["name"], &created["element"]["key"]),
        (&json!("API Instance with Polling"), &json!("infusionsoftrest"))
    );

    assert!(created["createdDate"].as_str().is_some_and(|date| date.ends_with('Z')), "{created}");
    assert_eq!(api.must("GET", "/instances?page=1&pageSize=1", None)[0]["id"], created["id"]);
    assert_eq!(api.must("GET", "/instances?page=2&pageSize=1", None), json!([]), "a client that asks for page after page ends");

    // again, as after an answer that was lost
    assert_eq!(api.must("POST", "/elements/infusionsoftrest/instances", Some(&body)), created);

    api.local.wait_ready("api-instance-with-polling");
    scene.provider.create("first");
    let posts = scene.receiver.try_wait_count("api-instance-with-polling", PATIENCE, 1);
    let posts = posts.unwrap_or_else(|| panic!("no event\n{}", api.local.report("api-instance-with-polling")));
    let sent: Value = serde_json::from_slice(&posts[0].ask.body).expect("JSON");
    let (message, event) = (&sent["message"], &sent["message"]["events"][0]);
    assert_eq!((message["instanceId"].as_u64(), &message["elementKey"]), (Some(id), &json!("infusionsoftrest")));
    assert_eq!(message["instanceName"], created["name"]);
    assert_eq!((&message["instanceTags"], &message["raw"]["instance_id"]), (&json!(["Docs"]), &json!(id.to_string())));
    assert_eq!([&event["objectType"], &event["objectId"], &event["eventType"]], ["appointments", "first", "CREATED"]);

    // nothing that is shown is a secret
    let shown = api.must("GET", &format!("/instances/{id}"), None);
    assert_eq!(shown["configuration"]["oauth.api.secret"], "********");
    assert_eq!(shown["configuration"]["event.poller.refresh_interval"], "0.1");
    let listed = api.must("GET", "/instances", None);
    assert_eq!(listed, json!([shown]));
    for secret in [CLIENT_SECRET, CLIENT_ID, body["providerData"]["code"].as_str().expect("a code")] {
        assert!(!listed.to_string().contains(secret), "{listed}");
    }
    assert_eq!(scene.oauth.granted(), 1, "the code was sent once");

    // the engine lets go, and nothing is left
    api.must("DELETE", &format!("/instances/{id}"), None);
    assert_eq!(api.must("GET", "/instances", None), json!([]));
    assert_eq!(fs::read_dir(scene.site.manifests()).expect("a folder").count(), 2, "instances.yaml and login.yaml");
    api.refused(404, "GET", &format!("/instances/{id}"), None);
    let place = "namespace=\"default\" instance=\"api-instance-with-polling\"";
    // what it writes may be read later than its answer
    api.local.wait_stderr(&format!("instances API: deleted {place}"));
    let log = api.local.stderr();
    for what in ["created", "created already", "deleted"] {
        assert_eq!(log.matches(&format!("instances API: {what} {place}")).count(), 1, "{what}: {log}");
    }
    let left = || -> Vec<_> {
        let entries = fs::read_dir(scene.site.state()).expect("a folder").flatten();
        entries.map(|entry| entry.file_name()).filter(|name| name != "lock" && name != "api-credentials").collect()
    };
    let deadline = Instant::now() + PATIENCE;
    while !left().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", left());
        thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn who_does_not_know_both_secrets_gets_nothing() {
    let scene = Scene::new();
    let mut api = scene.start();
    let (user, organization) = api.authorization.split_once(", ").expect("two parts");
    let swapped = format!("User {}, Organization {}", &organization["Organization ".len()..], &user["User ".len()..]);
    for authorization in [
        "",
        user,
        organization,
        "User a, Organization b",
        &format!("{user}, Organization b"),
        &format!("User a, {organization}"),
        &swapped,
    ] {
        for (method, path) in [("GET", "/instances"), ("POST", "/instances"), ("GET", "/elements"), ("DELETE", "/instances/1")]
        {
            let reply = api.ask_as(authorization, method, path, None);
            assert_eq!(
                (reply.status, reply.headers["www-authenticate"].as_bytes()),
                (401, &b"User"[..]),
                "{authorization}: {}",
                reply.body
            );
            message(&reply);
        }
    }
    // they are the same after a restart
    let known = api.authorization.clone();
    assert!(api.local.sigterm().success());
    assert_eq!(scene.start().authorization, known);
}

#[test]
fn one_who_asks_too_often_is_told_to_wait_and_is_answered_again() {
    let scene = Scene::new();
    let api = scene.start();
    // More at once than come again meanwhile.
    let ask_on = || (0..2_000).map(|_| api.ask("GET", "/elements/infusionsoftrest", None)).find(|reply| reply.status != 200);
    let refused = thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask_on)).collect();
        asking.into_iter().find_map(|one| one.join().expect("no panic")).expect("one is refused")
    });
    assert_eq!((refused.status, refused.headers["retry-after"].as_bytes()), (429, &b"1"[..]), "{}", refused.body);
    assert!(message(&refused).starts_with("too many requests"), "{}", refused.body);
    let deadline = Instant::now() + PATIENCE;
    while api.ask("GET", "/instances", None).status != 200 {
        assert!(Instant::now() < deadline, "the budget does not come again");
        thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn what_cannot_be_used_is_refused_as_a_whole_and_says_why() {
    let scene = Scene::new();
    let api = scene.start();
    let with = |pointer: &str, value: Value| {
        let mut body = scene.page();
        *body.pointer_mut(pointer).expect("a member") = value;
        body
    };
    let page = "https://api.openconnectors.us2.ext.hana.ondemand.com/elements/api-v2/events/";
    for (status, body, part) in [
        (400, with("/configuration/event.notification.callback.url", page.into()), "is an address of Open Connectors itself"),
        (
            400,
            with("/configuration/oauth.api.secret", "********".into()),
            "Secret api-instance-with-polling-oauth, key client_secret",
        ),
        (400, with("/providerData/code", "<AUTHORIZATION_GRANT_CODE>".into()), "providerData.code: it is no code"),
        (400, with("/element", json!({})), "element.key is missing"),
        (404, with("/element/key", "nothing".into()), "there is no connector of this key"),
        (404, with("/element/key", "../x".into()), "there is no connector of this key"),
        (400, with("/configuration/event.vendor.type", "webhooks".into()), "the provider sends webhooks"),
        (400, json!([]), "the body must be a JSON object"),
    ] {
        let told = api.refused(status, "POST", "/instances", Some(&body));
        assert!(told.contains(part) && !told.contains(CLIENT_SECRET), "{part}: {told}");
    }
    let url = format!("{}/instances", api.base);
    let send = |kind: &str, body: String| {
        let headers = [("authorization", api.authorization.as_str()), ("content-type", kind)];
        exchange("POST", &url, &headers, Some(body)).expect("an answer")
    };
    assert_eq!(send("application/x-www-form-urlencoded", scene.page().to_string()).status, 415);
    assert_eq!(send("application/json", "{".to_owned()).status, 400);
    let reply = send("application/json; charset=utf-8", format!("{{\"name\": \"{}\"}}", "x".repeat(1 << 20)));
    assert_eq!((reply.status, message(&reply).contains("1 MiB")), (413, true));
    // the description needs no secret, and what it describes is there
    let described = exchange("GET", &format!("{}/openapi.json", api.base), &[], None).expect("an answer");
    let described: Value = serde_json::from_str(&described.body).expect("JSON");
    for (path, methods) in described["paths"].as_object().expect("paths") {
        let path =
            path.replace("{id}", "1").replace("{key}", "infusionsoftrest").replace("{setting}", "1").replace("{event}", "x");
        for method in methods.as_object().expect("methods").keys().filter(|_| path != "/openapi.json") {
            assert_eq!(api.ask_as("", &method.to_uppercase(), &path, None).status, 401, "{method} {path}");
        }
    }
    for (method, path, status) in
        [("GET", "/instances/x", 404), ("GET", "/instances/1", 404), ("PUT", "/instances", 405), ("GET", "/nothing", 404)]
    {
        api.refused(status, method, path, None);
    }
    assert_eq!(api.must("GET", "/instances", None), json!([]));
    assert_eq!(fs::read_dir(scene.site.manifests()).expect("a folder").count(), 2, "nothing was written");
}

#[test]
fn changes_take_effect_and_leave_what_they_do_not_name() {
    let scene = Scene::new();
    let api = scene.start();
    let mut page = scene.page();
    // an hour: a change is seen in polls that come sooner
    page["configuration"]["event.poller.refresh_interval"] = 60.into();
    let created = api.must("POST", "/instances", Some(&page));
    let name = "api-instance-with-polling";
    let path = format!("/instances/{}", created["id"]);
    api.local.wait_ready(name);
    let polled = scene.provider.asked();
    let changed = api.must("PATCH", &path, Some(&json!({"configuration": {"event.poller.refresh_interval": "0.1"}})));
    assert_eq!(changed["configuration"]["event.poller.refresh_interval"], "0.1");
    assert!(scene.provider.try_wait_asked(polled + 2, PATIENCE), "{}", api.local.report(name));
    let mut expected = created.clone();
    expected["configuration"]["event.poller.refresh_interval"] = "0.1".into();
    assert_eq!(changed, expected, "nothing else changed");

    // a setting by its own path
    let settings = api.must("GET", &format!("{path}/configuration"), None);
    let interval = settings.as_array().expect("a list").iter().find(|one| one["key"] == "event.poller.refresh_interval");
    let setting = format!("{path}/configuration/{}", interval.expect("the setting")["id"]);
    let changed = api.must("PATCH", &setting, Some(&json!({"propertyValue": "60"})));
    assert_eq!((&changed["propertyValue"], &changed["key"]), (&json!("60"), &json!("event.poller.refresh_interval")));
    api.refused(404, "PATCH", &format!("{path}/configuration/nothing"), Some(&json!({"propertyValue": "60"})));
    // several at once, and with the token of the instance
    let value = |settings: &Value, key: &str| {
        let found = settings.as_array().expect("a list").iter().find(|one| one["key"] == key);
        found.map(|one| one["propertyValue"].clone()).unwrap_or_default()
    };
    let interval = |minutes: &str| json!({"event.poller.refresh_interval": minutes});
    let laid = api.must("PATCH", &format!("{path}/configuration"), Some(&interval("7")));
    assert_eq!(value(&laid, "event.poller.refresh_interval"), "7");
    assert_eq!(value(&laid, "event.notification.enabled"), "true", "the others stay");
    api.refused(400, "PATCH", &setting, Some(&json!({})));

    // by the token, which names the instance and allows nothing
    let token = created["token"].as_str().expect("a token");
    let own = format!("{}, Element {token}", api.authorization);
    let by_token = |method: &str, path: &str, body: Option<&Value>| {
        let reply = api.ask_as(&own, method, path, body);
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.body);
        serde_json::from_str::<Value>(&reply.body).unwrap_or_default()
    };
    let laid = by_token("PATCH", "/instances/configuration", Some(&interval("8")));
    assert_eq!(value(&laid, "event.poller.refresh_interval"), "8");
    let one = "/instances/configuration/event.poller.refresh_interval";
    assert_eq!(by_token("PATCH", one, Some(&json!({"propertyValue": "9"})))["propertyValue"], "9");
    assert_eq!(by_token("GET", one, None)["propertyValue"], "9");
    api.refused(400, "PATCH", "/instances/configuration", Some(&interval("8")));
    assert_eq!(by_token("GET", "/instances", None)["id"], created["id"]);
    assert_eq!(api.ask_as(&format!("Element {token}"), "GET", "/instances", None).status, 401);
    assert_eq!(api.ask_as(&format!("{own}x"), "DELETE", "/instances", None).status, 401);
    let changed = by_token("PATCH", "/instances", Some(&json!({"name": "Other", "tags": ["a"]})));
    assert_eq!((&changed["name"], &changed["tags"], &changed["id"]), (&json!("Other"), &json!(["a"]), &created["id"]));

    // off and on; its state is kept
    assert_eq!(by_token("DELETE", "/instances/enabled", None)["disabled"], true);
    api.local.wait_reason(name, "Suspended");
    assert_eq!(api.must("GET", "/instances/polling-disabled", None)[0]["id"], created["id"]);
    assert_eq!(by_token("PUT", "/instances/enabled", None)["eventsEnabled"], true);
    assert_eq!(api.must("GET", "/instances/polling-disabled", None), json!([]));
    api.local.wait_for(name, "running again", |row| row.ready == "True" && row.reason != "Suspended");
    scene.provider.create("later");
    let on = json!({"configuration": {"event.notification.enabled": "false"}});
    assert_eq!(api.must("PATCH", &path, Some(&on))["disabled"], true);
    let on = json!({"configuration": {"event.notification.enabled": true, "event.poller.refresh_interval": 0.1}});
    assert_eq!(api.must("PATCH", &path, Some(&on))["disabled"], false);
    scene.receiver.try_wait_count(name, PATIENCE, 1).unwrap_or_else(|| panic!("no event\n{}", api.local.report(name)));

    // what cannot be is refused as a whole
    for (status, body) in [
        (400, json!({"configuration": {"event.notification.callback.url": "ftp://x"}})),
        (400, json!({"configuration": 1})),
        (400, json!({"element": {"key": "other"}})),
    ] {
        api.refused(status, "PATCH", &path, Some(&body));
    }
    // a full body: what it does not say goes, what masks hide stays
    let mut body = api.must("GET", &path, None);
    body["configuration"]["event.poller.refresh_interval"] = "15".into();
    body.as_object_mut().expect("an object").remove("tags");
    let replaced = api.must("PUT", &path, Some(&body));
    assert_eq!((&replaced["tags"], &replaced["configuration"]["event.poller.refresh_interval"]), (&json!([]), &json!("15")));
    let manifest = fs::read_to_string(scene.site.manifests().join(format!("default.{name}.yaml"))).expect("a file");
    assert!(manifest.contains(CLIENT_SECRET) && manifest.contains("interval: 15m"), "{manifest}");

    // a new consent
    let code = scene.oauth.code(Some("https://mycoolapp.com"), None);
    let granted = scene.oauth.granted();
    let body = json!({"providerData": {"code": code}, "configuration": {"oauth.callback.url": "https://mycoolapp.com"}});
    api.must("PATCH", &path, Some(&body));
    assert!(scene.oauth.try_wait_granted(granted + 1, PATIENCE), "{}", api.local.report(name));

    by_token("DELETE", "/instances", None);
    assert_eq!(api.must("GET", "/instances", None), json!([]));
}
