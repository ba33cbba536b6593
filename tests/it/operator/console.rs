//! The console in front of a cluster: whatever is shown and done is read and written with the token of the person.

mod replicas;
mod walked;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::console::edits::filled_form;
use crate::console::{cookie, token};
use crate::rig::client::{Reply, exchange};
use crate::rig::control_plane::{Namespace, shared_with_controllers};
use crate::rig::manifest::PROVIDER_RESOURCE;
use crate::rig::operator::Cluster;
use crate::rig::pollinator::Pollinator;
use crate::rig::{PATIENCE, canary};

/// What an account may do in the namespace, as the page says it.
fn role(ns: &Namespace<'_>, account: &str, is_editor: bool) -> String {
    let (verbs, more) = if is_editor {
        (
            "get, list, create, update, delete",
            "- {apiGroups: [pollinator.dev], resources: [connectors], verbs: [get, list]}\n\
             - {apiGroups: [''], resources: [secrets], verbs: [get, create, update]}\n",
        )
    } else {
        ("get, list", "")
    };
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: console-{account}}}\nrules:\n\
         - {{apiGroups: [pollinator.dev], resources: [connectorinstances], verbs: [{verbs}]}}\n{more}---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: console-{account}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: console-{account}}}\n\
         subjects: [{{kind: ServiceAccount, name: {account}, namespace: {}}}]\n",
        ns.name()
    )
}

/// A connector `mock` whose provider is the double.
fn add_connector(cluster: &Cluster<'_>) {
    let resource = PROVIDER_RESOURCE.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    cluster.apply_yaml(&format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: mock, namespace: it}}\nspec:\n  title: Mock CRM\n  \
         baseUrl: \"{}\"\n  auth: {{basic: {{}}}}\n  resources:\n  - name: records\n{resource}",
        cluster.provider.url()
    ));
}

/// The console of an operator.
struct Console {
    /// Its origin.
    base: String,
    /// Where it listens.
    address: String,
}

impl Console {
    fn of(operator: &Pollinator) -> Self {
        let line = operator.wait_stderr("serving the console");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
        Self { base: format!("http://{address}"), address: address.to_owned() }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
        let host = self.base.split("://").nth(1).unwrap_or_default();
        let headers: Vec<_> = headers.iter().copied().chain([("Host", host)]).collect();
        let url = format!("http://{}{path}", self.address);
        let reply = exchange(method, &url, &headers, body.map(str::to_owned)).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(canary::find_in(&reply.body), None, "a secret is shown: {}", reply.body);
        reply
    }

    /// A page for a cookie.
    fn page(&self, path: &str, cookie: &str) -> Reply {
        self.ask("GET", path, &[("Cookie", cookie)], None)
    }

    /// A form as a page of the console sends it.
    fn submit(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [
            ("Cookie", cookie),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", self.base.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        self.ask("POST", path, &headers, Some(&body))
    }

    fn sign_in(&self, token: &str) -> Reply {
        self.submit("/sign-in", "a=b", &[("token", token)])
    }

    /// The cookie of a new session, as it is sent back.
    fn cookie(&self, token: &str) -> String {
        let signed_in = self.sign_in(token);
        assert_eq!(signed_in.status, 303, "{}", signed_in.body);
        cookie(&signed_in).split(';').next().expect("a cookie").to_owned()
    }
}

/// The buttons of a page that change something, by their addresses.
fn buttons(page: &Reply) -> Vec<&str> {
    let forms = page.body.split("method=\"post\" action=\"").skip(1).filter_map(|rest| rest.split('"').next());
    forms.filter(|action| *action != "/leave").collect()
}

#[test]
fn a_person_sees_and_does_what_its_own_token_allows_and_no_more() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "console");
    let ns = &cluster.ns;
    let [editor, viewer, nobody] = ["editor", "viewer", "nobody"].map(|account| ns.token(account));
    ns.apply(&role(ns, "editor", true));
    ns.apply(&role(ns, "viewer", false));
    add_connector(&cluster);
    cluster.create(&cluster.instance().earliest());
    cluster.provider.create("first");
    let key = cluster.folder().join("console-key");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").expect("a file");
    let with_key = ["--console-listen", "127.0.0.1:0", "--console-key-file", key.to_str().expect("text")];
    let operator = cluster.start_with(&with_key);
    let console = Console::of(&operator);

    // without a token there is a form that takes one, and nothing else
    for path in ["/", "/instances/x/it", "/new", "/live"] {
        let refused = console.page(path, "a=b");
        assert_eq!((refused.status, buttons(&refused)), (401, vec!["/sign-in"]), "{path}: {}", refused.body);
        assert_eq!(cookie(&refused), "", "{path}");
    }
    assert_eq!(console.page("/open?ticket=x", "a=b").status, 404);
    for wrong in ["", "wrong", "a\tb", &editor[..editor.len() - 4]] {
        let refused = console.sign_in(wrong);
        assert_eq!((refused.status, buttons(&refused)), (401, vec!["/sign-in"]), "{wrong}: {}", refused.body);
        assert_eq!(cookie(&refused), "", "{wrong}");
        let passed = console.ask("GET", "/", &[("Authorization", &format!("Bearer {wrong}"))], None);
        assert_eq!(passed.status, 401, "{wrong}: {}", passed.body);
    }
    let elsewhere = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "https://evil.example")];
    assert_eq!(console.ask("POST", "/sign-in", &elsewhere, Some(&format!("token={editor}"))).status, 403);

    // the token is in an encrypted cookie that no script reads and no other site sends
    let set = cookie(&console.sign_in(&editor));
    assert!(set.contains("; Path=/; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
    assert!(!set.contains(&editor) && set.len() < 4096, "{set}");
    let own = set.split(';').next().expect("a cookie").to_owned();
    let changed = format!("{}x", &own[..own.len() - 1]);
    assert_eq!(console.page("/", &changed).status, 401);

    // read-only: all is shown, and no button
    let look = console.cookie(&viewer);
    cluster.wait_ready("it");
    let path = format!("/instances/{}/it", ns.name());
    let page = console.page("/", &look);
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains(&path) && page.body.contains(":viewer") && !page.body.contains("/new"), "{}", page.body);
    let page = console.page(&path, &look);
    assert_eq!((page.status, buttons(&page)), (200, Vec::new()), "{}", page.body);
    assert!(page.body.contains("baseUrl") && page.body.contains("You may look at this instance"), "{}", page.body);
    assert_eq!(console.page("/new", &look).status, 403);
    let csrf = token(&page);
    let before = ns.get_instance("it")["metadata"]["generation"].clone();
    for action in ["poll-now", "suspend", "reset", "redeliver", "discard", "approve-deletes"] {
        let forged = console.submit(&format!("{path}/{action}"), &look, &[("csrf", &csrf), ("resource", "records")]);
        assert_eq!(forged.status, 403, "{action}: {}", forged.body);
        assert!(forged.body.contains(":viewer") && forged.body.contains("cannot update"), "{action}: {}", forged.body);
    }
    let (question, deletion) = (console.page(&format!("{path}/delete"), &look), format!("{path}/delete"));
    for reply in [question, console.submit(&deletion, &look, &[("csrf", &csrf)])] {
        assert!(reply.status == 403 && reply.body.contains("may not delete instances"), "{}", reply.body);
    }
    let new = |csrf: &str, what: &str, name: &str| {
        let callback = cluster.receiver.url(name);
        let fields = [
            ("csrf", csrf),
            ("do", what),
            ("namespace", ns.name()),
            ("name", name),
            ("credential.username", canary::USER),
            ("credential.password", canary::ODD_PASSWORD),
            ("events", "on"),
            ("resource", "records"),
            ("interval", "5s"),
            ("startFrom", "Earliest"),
            ("callback", &callback),
            ("format", "CloudEvents"),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let submit = |cookie: &str, fields: [(String, String); 12]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        console.submit("/new/from/mock", cookie, &fields)
    };
    for what in ["create", "preview"] {
        let forged = submit(&look, new(&csrf, what, "forged"));
        assert_eq!(forged.status, 403, "{what}: {}", forged.body);
    }
    assert_eq!(ns.get_instance("it")["metadata"]["generation"], before);
    assert_eq!(ns.api().get(&ns.instance("forged")).status, 404);

    // one who may list nothing is asked for a namespace, and told why not
    let none = console.cookie(&nobody);
    let asked = console.page("/", &none);
    assert!(asked.status == 200 && asked.body.contains("Choose a namespace"), "{}", asked.body);
    let denied = console.page(&format!("/?namespace={}", ns.name()), &none);
    assert!(denied.status == 403 && denied.body.contains(":nobody"), "{}", denied.body);
    assert_eq!(console.page(&path, &none).status, 403);

    // full permissions: what a button says is done, and what is created sends its events
    let page = console.page(&path, &own);
    let csrf = token(&page);
    assert!(buttons(&page).contains(&&*format!("{path}/suspend")), "{}", page.body);
    let done = console.submit(&format!("{path}/suspend"), &own, &[("csrf", &csrf)]);
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(ns.get_instance("it")["spec"]["suspend"], true);
    let line = operator.wait_stderr("console: a change was made");
    assert!(line.contains(":editor") && line.contains("action=\"suspend\""), "{line}");
    let preview = submit(&own, new(&csrf, "preview", "made"));
    assert!(preview.body.contains("would deliver: 1 event"), "{}", preview.body);
    assert_eq!(ns.api().get(&ns.instance("made")).status, 404, "nothing is saved");
    let made = submit(&own, new(&csrf, "create", "made"));
    assert_eq!(made.status, 303, "{}", made.body);
    let posts = cluster.receiver.try_wait_count("made", PATIENCE, 1);
    assert!(posts.is_some(), "the record is not delivered\n{}", operator.report("made"));
    let path_of_made = format!("/instances/{}/made", ns.name());
    let deadline = Instant::now() + PATIENCE;
    // the replica that polls is the one that is asked, and says who it is
    while !console.page(&path_of_made, &own).body.contains("accepted") {
        assert!(Instant::now() < deadline, "no delivery is shown: {}", console.page(&path_of_made, &own).body);
        thread::park_timeout(Duration::from_millis(50));
    }
    assert!(console.page(&path_of_made, &own).body.contains("What replica "));

    // it is edited with the person's own rights, and what the form does not know stays
    let edit = format!("{path_of_made}/edit");
    assert!(console.page(&path_of_made, &own).body.contains(&edit) && !console.page(&path_of_made, &look).body.contains(&edit));
    assert_eq!(console.page(&edit, &look).status, 403);
    let form = console.page(&edit, &own);
    assert_eq!(form.status, 200, "{}", form.body);
    let save = |form: &Reply, cookie: &str, edits: &[(&str, &str)]| {
        let filled = filled_form(form, edits);
        let filled: Vec<_> = filled.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        console.submit(&edit, cookie, &filled)
    };
    let forged = save(&form, &look, &[("csrf", &token(&console.page("/", &look))), ("interval", "7m"), ("do", "save")]);
    assert_eq!(forged.status, 403, "{}", forged.body);
    let tags = json!({"metadata": {"labels": {"team": "a"}}, "spec": {"tags": ["Docs"]}});
    ns.api().merge(&ns.instance("made"), &tags).ok();
    let preview = save(&form, &own, &[("interval", "7m"), ("do", "preview")]);
    assert!(preview.body.contains("would deliver: 1 event"), "with the stored credentials: {}", preview.body);
    let saved = save(&form, &own, &[("interval", "7m"), ("credential.username", canary::USER), ("do", "save")]);
    assert_eq!(saved.status, 303, "{}", saved.body);
    let made = ns.get_instance("made");
    assert_eq!(
        (&made["spec"]["polling"]["interval"], &made["spec"]["tags"][0], &made["metadata"]["labels"]["team"]),
        (&json!("7m"), &json!("Docs"), &json!("a"))
    );
    let secret = ns.api().get(&format!("/api/v1/namespaces/{}/secrets/made", ns.name())).ok();
    assert_eq!(secret["data"].as_object().map(serde_json::Map::len), Some(2), "what was not replaced stays");
    let late = save(&form, &own, &[("interval", "9m"), ("do", "save")]);
    assert!(late.status == 409 && late.body.contains("spec.polling.interval: it was 5s and is now 7m"), "{}", late.body);

    // a proxy passes the token with each request; its person's form is as good
    let header = format!("Bearer {editor}");
    let passed = console.ask("GET", &path, &[("Authorization", &header)], None);
    assert_eq!(passed.status, 200, "{}", passed.body);
    let kept = cookie(&passed).split(';').next().expect("a cookie").to_owned();
    assert_eq!(console.page(&path, &kept).status, 401, "the cookie alone has no token");
    let headers = [
        ("Cookie", kept.as_str()),
        ("Authorization", header.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let resumed = console.ask("POST", &format!("{path}/resume"), &headers, Some(&format!("csrf={}", token(&passed))));
    assert_eq!(resumed.status, 303, "{}", resumed.body);
    // of two people in one browser, the one whom the proxy names counts
    let other = format!("Bearer {viewer}");
    let page = console.ask("GET", &path, &[("Cookie", &own), ("Authorization", &other)], None);
    assert!(buttons(&page).is_empty() && page.body.contains(":viewer"), "{}", page.body);

    // what Git declares is changed in Git
    let spec = &ns.get_instance("it")["spec"];
    let applied = json!({"apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"name": "declared"}, "spec": spec});
    ns.api().apply(&ns.instance("declared"), "flux", &applied.to_string()).ok();
    let path = format!("/instances/{}/declared", ns.name());
    let page = console.page(&path, &own);
    assert!(page.body.contains("declared by <code>flux</code>"), "{}", page.body);
    assert!(!buttons(&page).contains(&&*format!("{path}/suspend")), "{}", page.body);
    let refused = console.submit(&format!("{path}/suspend"), &own, &[("csrf", &csrf)]);
    assert!(refused.status == 409 && refused.body.contains("flux"), "{}", refused.body);
    let refused = console.page(&format!("{path}/edit"), &own);
    assert!(refused.status == 409 && refused.body.contains("a manifest of flux"), "{}", refused.body);
    assert!(!page.body.contains("/edit") && !page.body.contains("/delete"), "{}", page.body);
    let refused = console.submit(&format!("{path}/delete"), &own, &[("csrf", &csrf)]);
    assert!(refused.status == 409 && refused.body.contains("a manifest of flux"), "{}", refused.body);

    // another replica with the same key knows the session
    let beside = cluster.start_with(&[&with_key[..], &["--console-url", &console.base]].concat());
    let replica = Console { base: console.base.clone(), ..Console::of(&beside) };
    let page = replica.page("/", &own);
    assert_eq!(page.status, 200, "{}", page.body);

    // once the account is gone, so is what its token allowed
    ns.kubectl(&["delete", "serviceaccount", "editor"]).ok();
    let deadline = Instant::now() + PATIENCE;
    let over = loop {
        let page = console.page("/", &own);
        if page.status != 200 {
            break page;
        }
        assert!(Instant::now() < deadline, "{}", page.body);
        thread::park_timeout(Duration::from_millis(200));
    };
    assert_eq!((over.status, buttons(&over)), (401, vec!["/sign-in"]), "{}", over.body);
    assert!(over.body.contains("has expired"), "{}", over.body);
    // whatever is asked for: it says to sign in again, and nothing is done
    for path in [path_of_made.clone(), edit.clone(), "/new".to_owned(), "/new/from/mock".to_owned()] {
        let page = console.page(&path, &own);
        assert_eq!((page.status, buttons(&page)), (401, vec!["/sign-in"]), "{path}: {}", page.body);
    }
    let late = save(&form, &own, &[("interval", "8m"), ("do", "save")]);
    assert_eq!((late.status, buttons(&late)), (401, vec!["/sign-in"]), "{}", late.body);
    for process in [&operator, &beside] {
        for token in [&editor, &viewer, &nobody, &own] {
            assert!(!process.stderr().contains(&**token) && !process.stdout().contains(&**token));
        }
    }
}

#[test]
fn the_console_of_an_operator_is_for_its_machine_unless_an_origin_is_named() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "console-args");
    let short = cluster.folder().join("short-key");
    fs::write(&short, "too short").expect("a file");
    for (arguments, said) in [
        (vec!["--console-listen", "0.0.0.0:0"], "--console-url"),
        (
            vec!["--console-listen", "127.0.0.1:0", "--console-key-file", short.to_str().expect("text")],
            "must have at least 32 bytes",
        ),
    ] {
        let mut refused = cluster.start_with(&arguments);
        assert_eq!(refused.wait().code(), Some(2));
        assert!(refused.stderr().contains(said), "{}", refused.stderr());
    }
    // behind TLS the cookie is of this host alone, and never travels without TLS
    let operator = cluster.start_with(&["--console-listen", "127.0.0.1:0", "--console-url", "https://console.example"]);
    let console = Console { base: "https://console.example".to_owned(), ..Console::of(&operator) };
    let set = cookie(&console.sign_in(&cluster.ns.token("anyone")));
    assert!(
        set.starts_with("__Host-") && set.contains("; Secure") && set.contains("; Path=/; HttpOnly; SameSite=Strict"),
        "{set}"
    );
    let other = Console { base: "http://localhost".to_owned(), ..Console::of(&operator) };
    assert_eq!(other.page("/", "a=b").status, 421);
}
