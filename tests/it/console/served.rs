//! The console from outside.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::{Scene, Site, cookie, ticket, token};
use crate::rig::client::{self, Reply};
use crate::rig::http::Answer;
use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::binary;
use crate::rig::receiver::Post;
use crate::rig::{PATIENCE, raw};

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[test]
fn a_browser_signs_in_once_and_each_change_needs_the_form_of_its_session() {
    let scene = Scene::start();

    // no one is let in without a session, and whatever is asked for, the answer is guarded
    for (method, path, status) in [
        ("GET", "/", 401),
        ("GET", "/instances/it/it", 401),
        ("GET", "/live", 401),
        ("POST", "/instances/it/it/poll-now", 401),
        ("POST", "/leave", 401),
        ("GET", "/open", 403),
        ("GET", "/open?ticket=guess", 403),
        ("GET", "/no/such/page", 404),
        ("GET", "/assets/..%2f..%2fetc", 404),
        ("DELETE", "/instances/it/it", 405),
        ("PUT", "/", 405),
    ] {
        let reply = scene.ask(method, path, &[], None);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        assert!(header(&reply, "content-security-policy").contains("frame-ancestors 'none'"), "{method} {path}");
        assert!(!header(&reply, "content-security-policy").contains("unsafe"), "{method} {path}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(header(&reply, name), value, "{method} {path}");
        }
        assert_eq!(cookie(&reply), "", "{method} {path}");
        assert!(reply.body.contains("<h1>"), "every error is a page: {}", reply.body);
    }
    // a name that leads here without being its own
    let hosts = ["evil.example", "localhost", "127.0.0.1", "127.0.0.1:1", "", "evil.example\r\nhost: 127.0.0.1"];
    for host in hosts {
        let head = format!("GET /open?ticket=x HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = raw::exchange(scene.address(), 1, &head);
        assert!(answer.starts_with("HTTP/1.1 421"), "{host}: {answer}");
    }

    // what only asks whether there is something spends nothing
    let asked = scene.ask("HEAD", &scene.ticket(0), &[], None);
    assert_eq!((asked.status, cookie(&asked)), (405, String::new()));
    // a form that comes without a session was not saved, and its page says so
    let late = scene.submit("/instances/it/it/poll-now", "a=b", "csrf=x");
    assert!(late.status == 401 && late.body.contains("Nothing was saved."), "{}", late.body);

    // the URL begins a session of its own, whatever the browser brought along, and does so once
    let url = scene.ticket(0);
    let name = |cookie: &str| cookie.split('=').next().unwrap_or_default().to_owned();
    let opened = scene.ask("GET", &url, &[("Cookie", "pollinator-console=chosen-by-another")], None);
    let set = cookie(&opened);
    assert!(set.contains("; Path=/; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
    let own = set.split(';').next().expect("a cookie").to_owned();
    let fixed = format!("{}=chosen-by-another", name(&own));
    assert_eq!(scene.ask("GET", "/", &[("Cookie", &fixed)], None).status, 401);
    assert_eq!(scene.ask("GET", "/", &[("Cookie", &format!("{fixed}; {own}"))], None).status, 401, "of two none is believed");
    assert_eq!(scene.ask("GET", &url, &[], None).status, 403, "used up");

    // it shows what there is, worst first
    let page = scene.ask("GET", "/", &[("Cookie", &own)], None);
    assert_eq!(page.status, 200, "{}", page.body);
    let (broken, healthy) = (page.body.find("/instances/it/broken"), page.body.find("/instances/it/it"));
    assert!(broken.is_some() && broken < healthy, "{}", page.body);
    let page = scene.ask("GET", "/instances/it/it", &[("Cookie", &own)], None);
    assert!(page.body.contains("baseUrl") && page.body.contains("records"), "{}", page.body);
    assert_eq!(scene.ask("GET", "/instances/it/nobody", &[("Cookie", &own)], None).status, 404);

    // only the form of the session changes something
    let csrf = token(&page);
    let other = scene.sign_in(1);
    let others = token(&scene.ask("GET", "/instances/it/it", &[("Cookie", &other)], None));
    assert_ne!(csrf, others);
    let form = |token: &str| format!("csrf={token}&resource=records");
    let action = "/instances/it/it/poll-now";
    assert_eq!(scene.submit(action, &own, "").status, 403);
    assert_eq!(scene.submit(action, &own, &form(&others)).status, 403);
    for (origin, site) in [("http://evil.example", "cross-site"), ("null", "cross-site"), (scene.base.as_str(), "same-site")] {
        let headers = [
            ("Cookie", own.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", origin),
            ("Sec-Fetch-Site", site),
        ];
        assert_eq!(scene.ask("POST", action, &headers, Some(form(&csrf))).status, 403, "{origin} {site}");
    }
    let headers = [("Cookie", own.as_str()), ("Content-Type", "application/json"), ("Origin", scene.base.as_str())];
    assert_eq!(scene.ask("POST", action, &headers, Some(form(&csrf))).status, 400);
    assert_eq!(scene.submit("/instances/it/it/explode", &own, &form(&csrf)).status, 404);
    assert!(!scene.local.stderr().contains("a change was made"), "{}", scene.local.stderr());

    // it is polled once an hour, and now
    scene.provider.create("second");
    let done = scene.submit(action, &own, &form(&csrf));
    assert_eq!((done.status, header(&done, "location")), (303, "/instances/it/it?done=poll-now"), "{}", done.body);
    scene.receiver.try_wait_count("it", PATIENCE, 2).expect("the change is delivered");
    let line = scene.local.wait_stderr("console: a change was made");
    for part in ["namespace=\"it\"", "instance=\"it\"", "action=\"poll-now\"", "session=", "client=127.0.0.1"] {
        assert!(line.contains(part), "{part}: {line}");
    }

    // after a reset the list is read from its beginning
    let done = scene.submit("/instances/it/it/reset", &own, &form(&csrf));
    assert_eq!(done.status, 303, "{}", done.body);
    scene.local.wait_for("it", "a reset", |row| row.resources.iter().any(|own| own.reset_reason.is_some()));
    scene.receiver.try_wait_count("it", PATIENCE, 4).expect("both records again");

    // a person's own file is theirs to change
    let page = scene.ask("GET", "/instances/it/it", &[("Cookie", &own)], None);
    assert!(page.body.contains("instances.yaml") && !page.body.contains("/suspend"), "{}", page.body);
    let refused = scene.submit("/instances/it/it/suspend", &own, &form(&csrf));
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("instances.yaml"), "{}", refused.body);
    for reply in [
        scene.ask("GET", "/instances/it/it/delete", &[("Cookie", &own)], None),
        scene.submit("/instances/it/it/delete", &own, &form(&csrf)),
    ] {
        assert!(reply.status == 409 && reply.body.contains("instances.yaml"), "{}", reply.body);
    }
    assert!(!page.body.contains("/delete"), "{}", page.body);

    // who leaves has left
    assert_eq!(scene.submit("/leave", &own, &form(&csrf)).status, 303);
    assert_eq!(scene.ask("GET", "/", &[("Cookie", &own)], None).status, 401);
    assert_eq!(scene.ask("GET", "/", &[("Cookie", &other)], None).status, 200);
    for secret in [own.split('=').nth(1).expect("a value"), &csrf] {
        assert!(!scene.local.stderr().contains(secret) && !scene.local.stdout().contains(secret));
    }
}

/// What a server says to a request from 127.0.0.`from`, up to the end of its head; the connection stays open.
fn head_of(scene: &Scene, from: u8, cookie: &str) -> (TcpStream, String) {
    let mut stream = raw::connect(scene.address(), from);
    let host = scene.address();
    let request = format!("GET /live HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\r\n");
    let mut said = Vec::new();
    if stream.write_all(request.as_bytes()).is_ok() {
        let mut byte = [0];
        while !said.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
            said.push(byte[0]);
        }
    }
    (stream, String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_thousand_streams_and_a_form_without_end_leave_the_console_as_it_was() {
    let scene = Scene::start();
    let own = scene.sign_in(0);
    let page = || scene.ask("GET", "/", &[("Cookie", &own)], None).status;
    assert_eq!(page(), 200);
    let before = scene.local.memory("VmRSS");
    let mut streams = Vec::new();
    let (mut served, mut refused) = (0, 0);
    for number in 0..1_000_u32 {
        let from = 2 + u8::try_from(number % 100).expect("below 100");
        let (stream, said) = head_of(&scene, from, &own);
        served += usize::from(said.starts_with("HTTP/1.1 200"));
        refused += usize::from(said.starts_with("HTTP/1.1 503"));
        streams.push(stream);
    }
    assert!(served >= 32 && refused > 0, "{served} served, {refused} refused");
    let after = scene.local.memory("VmRSS");
    if let (Some(before), Some(after)) = (before, after) {
        println!("{before} KiB before, {after} KiB after");
        assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
    }
    drop(streams);
    // the places come back once it is seen that no one reads
    let deadline = std::time::Instant::now() + PATIENCE;
    while !head_of(&scene, 200, &own).1.starts_with("HTTP/1.1 200") {
        assert!(std::time::Instant::now() < deadline, "no place comes back");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    while page() != 200 {
        assert!(std::time::Instant::now() < deadline, "the console is not served");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }

    // ten MB are not read to their end
    let csrf = loop {
        let page = scene.ask("GET", "/instances/it/it", &[("Cookie", &own)], None);
        if page.status == 200 {
            break token(&page);
        }
        // the requests before have used up what is granted at once
        assert!(std::time::Instant::now() < deadline, "{}", page.body);
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    };
    let head = format!(
        "POST /instances/it/it/poll-now HTTP/1.1\r\nhost: {}\r\ncookie: {own}\r\norigin: {}\r\ncontent-type: \
         application/x-www-form-urlencoded\r\ncontent-length: 10000000\r\n\r\ncsrf={csrf}&x=",
        scene.address(),
        scene.base
    );
    let chunk = vec![b'x'; 64 * 1024];
    let answer = loop {
        let mut stream = raw::connect(scene.address(), 201);
        let mut sent = 0;
        let mut is_taken = stream.write_all(head.as_bytes()).is_ok();
        while is_taken && sent < 10_000_000 {
            is_taken = stream.write_all(&chunk).is_ok();
            sent += chunk.len();
        }
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if !["HTTP/1.1 503", "HTTP/1.1 429"].iter().any(|busy| answer.starts_with(busy)) {
            break answer;
        }
        // the streams' places are still coming back
        assert!(std::time::Instant::now() < deadline, "{answer}");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    };
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    // the place of the form comes back once its end is seen
    while page() != 200 {
        assert!(std::time::Instant::now() < deadline, "the console is not served");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    assert!(!scene.local.stderr().contains("a change was made"));
}

#[test]
fn the_console_is_for_this_machine_unless_a_proxy_with_tls_is_named() {
    let site = Site::new(&[]);
    let mut command = site.command();
    command.arg("--console=0.0.0.0:0");
    let mut refused = site.spawn(command);
    assert_eq!(refused.wait().code(), Some(2));
    assert!(refused.stderr().contains("--console-url"), "{}", refused.stderr());
}

#[test]
fn the_demo_is_seen_in_the_console_until_it_is_ended() {
    let site = Site::new(&[]);
    let mut command = binary();
    command.args(["demo", "--events", "5", "--console=127.0.0.1:0"]);
    let mut demo = site.spawn(command);
    let url = ticket(&demo, 0);
    let base = url.split("/open").next().expect("an origin");
    let ask = |url: &str, own: &str| client::exchange("GET", url, &[("Cookie", own)], None).expect("an answer");
    let own = cookie(&ask(&url, "a=b")).split(';').next().expect("a cookie").to_owned();
    demo.wait_stderr("the console stays open");
    let page = ask(&format!("{base}/instances/demo/sample-crm"), &own);
    assert!(page.status == 200 && page.body.contains("accepted"), "{}", page.body);
    let page = ask(base, &own);
    assert!(
        page.body.contains("sample-crm") && page.body.contains("Last hour") && !page.body.contains("/new"),
        "{}",
        page.body
    );
    assert!(demo.sigterm().success());
    assert!(demo.stdout().contains("Everything arrived once"), "{}", demo.stdout());
}

/// Whoever asks for a poll begins again what had been given up, and hears it where nothing can be done.
#[test]
fn what_a_person_asks_for_is_done_or_refused() {
    let scene = Scene::start();
    let cookie = scene.sign_in(0);
    let csrf = token(&scene.ask("GET", "/instances/it/it", &[("Cookie", &cookie)], None));
    let press = |path: &str| scene.submit(path, &cookie, &format!("csrf={csrf}"));
    scene.receiver.try_wait_count("it", PATIENCE, 1).expect("the first record is delivered");
    scene.receiver.answer(|_| Answer::status(410));
    scene.provider.create("second");
    assert_eq!(press("/instances/it/it/poll-now").status, 303);
    scene.local.wait_reason("it", "CallbackGone");
    scene.receiver.answer(|_| Answer::status(204));
    assert_eq!(press("/instances/it/it/poll-now").status, 303);
    let is_there = |posts: &[&Post]| posts.iter().any(|post| post.accepted() && post.event().object == "second").then_some(());
    assert!(scene.receiver.try_wait("it", PATIENCE, is_there).is_some(), "{}", scene.local.report("it"));

    let refused =
        Instance::new("refused", &scene.provider.url(), &scene.receiver.url("it")).spec("connector: no-such-connector");
    manifest::write(&scene.site.manifests(), "refused.yaml", &[refused.yaml()]);
    scene.local.wait_for("refused", "that it cannot be run", |row| row.ready == "False");
    let reply = press("/instances/it/refused/poll-now");
    assert_eq!(reply.status, 409, "{}", reply.body);
    assert!(reply.body.contains("is not run; its conditions say why"), "{}", reply.body);
}
