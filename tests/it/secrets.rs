//! Nothing secret in any output or state, however things fail. Every process of the whole suite is scanned when it ends
//! ([`crate::rig::canary`]); here are the situations that tempt most.

use crate::rig::canary::{self, HEADER, ODD_PASSWORD, SIGNING_KEY, TOKEN, USER};
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::{Site, binary};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

/// Everything a request carries, as a peer with a grudge would send it back.
fn echo(ask: &Ask) -> String {
    let headers: Vec<_> = ask.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{} {}\n{}\n{USER}:{ODD_PASSWORD} {TOKEN} {HEADER}", ask.method, ask.target, headers.join("\n"))
}

fn echoing(status: u16) -> Server {
    Server::start(move |ask| {
        let told = echo(ask);
        let flat = told.replace(['\n', '\r'], " ").chars().filter(char::is_ascii).collect::<String>();
        Answer::json(told).header("X-Echo", flat).with_status(status)
    })
}

#[test]
fn peers_that_send_secrets_back_do_not_get_them_logged() {
    let receiver = Receiver::start();
    receiver.answer(|ask| Answer::json(echo(ask)).with_status(500));
    let provider = Provider::start();
    let peers: Vec<_> = [200, 302, 400, 401, 403, 404, 429, 500].into_iter().map(|status| (status, echoing(status))).collect();
    let mut documents = Vec::new();
    for (status, peer) in &peers {
        for (kind, auth) in [
            ("basic", "basic: {secretRef: {name: login}}"),
            ("bearer", "bearer: {secretRef: {name: token, key: token}}"),
            ("header", "apiKey: {in: Header, name: X-Key, secretRef: {name: token, key: token}}"),
            ("query", "apiKey: {in: Query, name: key, secretRef: {name: token, key: token}}"),
        ] {
            let name = format!("{kind}-{status}");
            let instance = Instance::new(&name, &peer.url(), &receiver.url(&name));
            documents.push(Instance { auth: auth.to_owned(), ..instance }.yaml());
        }
    }
    // nobody listens there: errors of the HTTP client like to name the URL
    let nobody = Server::start(|_| Answer::status(204)).url();
    let refused = Instance::new("nobody", &nobody, &receiver.url("nobody"));
    documents.push(
        Instance { auth: "apiKey: {in: Query, name: key, secretRef: {name: token, key: token}}".into(), ..refused }.yaml(),
    );
    let extra = "signature: {secretRef: {name: signing, key: signing-key}}\nheadersSecretRef: {name: extra}";
    documents.push(Instance::new("callback", &provider.url(), &receiver.url("callback")).basic_auth().callback(extra).yaml());
    let site = Site::new(&documents);
    manifest::write(
        &site.manifests(),
        "secrets.yaml",
        &[
            manifest::secret("token", &[("token", TOKEN)]),
            manifest::secret("signing", &[("signing-key", SIGNING_KEY)]),
            manifest::secret("extra", &[("X-Extra", HEADER)]),
        ],
    );
    for format in ["text", "json"] {
        let mut command = site.command();
        command.args(["--log", "trace", "--log-format", format]);
        let mut pollinator = site.spawn(command);
        pollinator.wait_for("callback", "the first poll", |row| row.ready != "Unknown");
        provider.create_all((0..8).map(|n| format!("{format}-{n}")));
        for (status, reason) in
            [(302, "RedirectRefused"), (401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound"), (500, "ProviderError")]
        {
            for kind in ["basic", "bearer", "header", "query"] {
                pollinator.wait_reason(&format!("{kind}-{status}"), reason);
            }
        }
        pollinator.wait_reason("nobody", "ProviderUnreachable");
        pollinator.wait_reason("query-200", "InvalidResponse");
        pollinator.wait_for("callback", "the callback failed", |row| row.tells("CallbackDown"));
        assert!(pollinator.sigterm().success());
        assert!(pollinator.stderr().len() > 1000, "trace says something");
        assert_eq!(canary::find_in(&pollinator.stderr()), None);
    }
}

#[test]
fn secrets_that_cannot_be_used_are_named_not_shown() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let instance = |name: &str| Instance::new(name, &provider.url(), &receiver.url(name));
    let bearer = |name: &str, key: &str| Instance {
        auth: format!("bearer: {{secretRef: {{name: odd, key: {key}}}}}"),
        ..instance(name)
    };
    let site = Site::new(&[
        bearer("line-break", "line-break").yaml(),
        bearer("missing-key", "nothing").yaml(),
        Instance { auth: "bearer: {secretRef: {name: nobody, key: token}}".into(), ..instance("missing-secret") }.yaml(),
        instance("bad-key").basic_auth().callback("signature: {secretRef: {name: odd, key: bad-key}}").yaml(),
    ]);
    let bad_key = format!("whsec_!!{TOKEN}!!");
    let line_break = format!("{TOKEN}\n{HEADER}");
    manifest::write(
        &site.manifests(),
        "odd.yaml",
        &[manifest::secret("odd", &[("line-break", &line_break), ("bad-key", &bad_key)])],
    );
    let pollinator = site.start();
    for (name, reason, told) in [
        ("line-break", "SecretInvalid", "odd"),
        ("missing-key", "SecretKeyMissing", "nothing"),
        ("missing-secret", "SecretNotFound", "nobody"),
        ("bad-key", "SecretInvalid", "odd"),
    ] {
        let message = pollinator.wait_reason(name, reason);
        assert!(message.contains(told), "{name}: {message}");
    }
    assert_eq!(provider.asked(), 0, "without credentials nothing is asked");
    // mended, it goes on without a restart
    manifest::write(&site.manifests(), "nobody.yaml", &[manifest::secret("nobody", &[("token", TOKEN)])]);
    pollinator.wait_reason("missing-secret", "Unauthorized");
}

#[test]
fn commands_that_print_plans_and_trials_show_no_secret() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    provider.create("one");
    let query = Instance {
        auth: "apiKey: {in: Query, name: key, secretRef: {name: token, key: token}}".into(),
        ..Instance::new("query", &provider.url(), &receiver.url("query"))
    };
    // those that are where no secret should be
    let open = Instance::new("open", &provider.url(), &format!("{}?k={TOKEN}&v=2", receiver.url("open"))).resource(&format!(
        "url: /records?sig={TOKEN}\nquery: {{access_token: {TOKEN}}}\nheaders: {{x-api-key: {TOKEN}}}\nrecordsPath: records\n\
         detail: {{url: '/records/${{id}}?token={TOKEN}'}}"
    ));
    let search = Instance::new("search", &provider.url(), &receiver.url("search"))
        .resource(&format!("url: /records\nmethod: POST\nbody: {{auth: {{apiKey: {TOKEN}}}, name: a}}\nrecordsPath: records"));
    let basic = Instance::new("basic", &provider.url(), &receiver.url("basic")).basic_auth();
    let site = Site::new(&[basic.yaml(), query.yaml(), open.yaml(), search.yaml()]);
    manifest::write(&site.manifests(), "token.yaml", &[manifest::secret("token", &[("token", TOKEN)])]);
    for verb in ["plan", "try"] {
        let mut command = binary();
        command.arg(verb).arg(site.manifests()).args(["--log", "trace"]).args((verb == "try").then_some("--yes"));
        let mut run = site.spawn(command);
        run.wait();
        assert!(run.stdout().contains("records"), "{verb}: {}", run.stdout());
    }
    assert_eq!(receiver.count(), 0, "a trial delivers nothing");
}
