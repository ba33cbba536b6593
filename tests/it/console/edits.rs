//! Editing by form: what a person changes is changed, and nothing else.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Scene, token};
use crate::rig::PATIENCE;
use crate::rig::canary::TOKEN;
use crate::rig::client::Reply;

/// Fields of a form and their values.
pub type Sent = Vec<(String, String)>;

/// What a browser sends of the form of a page whose submit buttons are named `do`: its fields as they are, but for `edits`.
pub fn filled_form(page: &Reply, edits: &[(&str, &str)]) -> Sent {
    let form = page.body.split("<form class=\"new\"").nth(1).and_then(|rest| rest.split("</form>").next());
    let form = form.unwrap_or_else(|| panic!("no form: {}", page.body));
    let mut sent = Sent::new();
    for input in form.split("<input ").skip(1).filter_map(|rest| rest.split('>').next()) {
        let attribute = |name: &str| {
            let value = input.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
            Some(
                ["&#38;&", "&#34;\"", "&#39;'", "&#60;<", "&#62;>"]
                    .iter()
                    .rev()
                    .fold(value.to_owned(), |text, pair| text.replace(&pair[..5], &pair[5..])),
            )
        };
        let is_box = ["radio", "checkbox"].contains(&attribute("type").unwrap_or_default().as_str());
        if !is_box || input.ends_with(" checked") {
            sent.push((attribute("name").expect("a name"), attribute("value").unwrap_or_default()));
        }
    }
    for select in form.split("<select ").skip(1).filter_map(|rest| rest.split("</select>").next()) {
        let name = select.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a name");
        let value = select.split("<option selected>").nth(1).and_then(|rest| rest.split('<').next()).expect("a chosen one");
        sent.push((name.to_owned(), value.to_owned()));
    }
    sent.retain(|(name, _)| !edits.iter().any(|(edited, _)| edited == name));
    sent.extend(edits.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    sent
}

/// As a body.
pub fn encoded(sent: &Sent) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(sent).finish()
}

/// The text of a file once it contains all of these.
fn wait_file(path: &Path, parts: &[&str]) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if parts.iter().all(|part| text.contains(part)) {
            return text;
        }
        assert!(Instant::now() < deadline, "{parts:?} are not in {}: {text}", path.display());
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Creates the instance `plain` of the list `records` of the provider, without a connector, and waits for its first event.
pub fn create_plain(scene: &Scene, own: &str) {
    let csrf = token(&scene.ask("GET", "/", &[("Cookie", own)], None));
    let new = [
        ("csrf", csrf.as_str()),
        ("do", "create"),
        ("name", "plain"),
        ("namespace", "default"),
        ("baseUrl", &scene.provider.url()),
        ("auth", "bearer"),
        ("credential.token", TOKEN),
        ("events", "on"),
        ("resource", "records"),
        ("url", "/records"),
        ("recordsPath", "records"),
        ("interval", "1h"),
        ("startFrom", "Earliest"),
        ("callback", &scene.receiver.url("plain")),
        ("format", "CloudEvents"),
    ];
    let new = new.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let created = scene.submit("/new/plain", own, &encoded(&new));
    assert_eq!(created.status, 303, "{}", created.body);
    scene.receiver.try_wait_count("plain", PATIENCE, 1).expect("the first record is delivered");
}

#[test]
fn lists_are_renamed_added_and_removed() {
    let scene = Scene::empty();
    scene.provider.create("first");
    let own = scene.sign_in(0);
    create_plain(&scene, &own);
    let (page, edit) = ("/instances/default/plain", "/instances/default/plain/edit");
    let get = |path: &str| scene.ask("GET", path, &[("Cookie", &own)], None);
    let afresh = format!("{edit}?afresh");
    let submit = |edits: &[(&str, &str)]| scene.submit(edit, &own, &encoded(&filled_form(&get(&afresh), edits)));
    let file = scene.site.manifests().join("default.plain.yaml");

    // the page has what was reported of the list
    let deadline = Instant::now() + PATIENCE;
    let of_list = || get(page).body.split("id=\"resources\"").nth(1).unwrap_or_default().to_owned();
    while !of_list().contains("<dt>Delivered</dt><dd>1</dd>") {
        assert!(Instant::now() < deadline, "{}", of_list());
        thread::park_timeout(Duration::from_millis(50));
    }
    // under another name it is another list, whose records come once more; one that is added begins in the same way
    let added =
        [("list.records.name", "renamed"), ("add.name", "more"), ("add.url", "/records"), ("add.recordsPath", "records")];
    let saved = submit(&[&added[..], &[("do", "save")]].concat());
    assert_eq!(saved.status, 303, "{}", saved.body);
    let text = wait_file(&file, &["name: renamed", "name: more", TOKEN]);
    assert!(!text.contains("name: records"), "{text}");
    scene.receiver.try_wait_count("plain", PATIENCE, 3).expect("the record of both lists");
    let line = scene.local.wait_stderr("action=\"edit\"");
    assert!(line.contains("spec.resources.records.name") && line.contains("spec.resources.url"), "{line}");

    // two of one name, a list without a path, and no list at all are refused, and the form keeps what was entered
    for (edits, problem) in [
        (&[("list.more.name", "renamed")][..], "id=\"list.more.name-problem\""),
        (&[("add.name", "third")][..], "id=\"add.url-problem\">Enter a value."),
        (&[("remove", "more"), ("remove", "renamed")][..], "At least one resource is required"),
    ] {
        let refused = submit(&[edits, &[("do", "save")]].concat());
        assert!(refused.status == 422 && refused.body.contains(problem), "{edits:?}: {}", refused.body);
    }
    let saved = submit(&[("remove", "more"), ("do", "save")]);
    assert_eq!(saved.status, 303, "{}", saved.body);
    wait_file(&file, &["name: renamed"]);
    assert!(!fs::read_to_string(&file).expect("the file of the instance").contains("name: more"));
}

#[test]
fn an_edit_changes_what_was_entered_and_keeps_everything_else() {
    let scene = Scene::empty();
    scene.provider.create("first");
    let own = scene.sign_in(0);
    let get = |path: &str| scene.ask("GET", path, &[("Cookie", &own)], None);
    let csrf = token(&get("/"));
    let new = [
        ("csrf", csrf.as_str()),
        ("do", "create"),
        ("name", "keap"),
        ("namespace", "default"),
        ("credential.token", TOKEN),
        ("resource", "records"),
        ("interval", "1h"),
        ("startFrom", "Earliest"),
        ("callback", &scene.receiver.url("keap")),
        ("format", "CloudEvents"),
    ];
    let new = new.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(scene.submit("/new/from/mockkeap", &own, &encoded(&new)).status, 303);
    // what no form knows is in the file, too
    let file = scene.site.manifests().join("default.keap.yaml");
    let text = fs::read_to_string(&file).expect("the file of the instance");
    fs::write(&file, text.replace("spec:\n", "spec:\n  displayName: Sales\n  tags: [Docs]\n")).expect("a file");
    let (page, edit) = ("/instances/default/keap", "/instances/default/keap/edit");
    let deadline = Instant::now() + PATIENCE;
    while !get(page).body.contains("displayName: Sales") {
        assert!(Instant::now() < deadline, "{}", get(page).body);
        thread::park_timeout(Duration::from_millis(50));
    }
    assert!(get(page).body.contains(&format!("href=\"{edit}\"")), "{}", get(page).body);

    // the form has what there is, and no credentials
    let form = get(edit);
    assert!(
        form.status == 200 && form.body.contains("<h1>Edit keap</h1>") && form.body.contains("value=\"1h\""),
        "{}",
        form.body
    );
    assert!(form.body.contains("Stored; leave it empty to keep it") && !form.body.contains(TOKEN), "{}", form.body);
    let submit = |form: &Reply, edits: &[(&str, &str)]| scene.submit(edit, &own, &encoded(&filled_form(form, edits)));

    // nothing is saved by looking, without the form of the session, or without a change
    let before = fs::read_to_string(&file).expect("the file of the instance");
    let yaml = submit(&form, &[("interval", "2h"), ("do", "yaml")]);
    assert!(yaml.status == 200 && yaml.body.contains("interval: 2h") && yaml.body.contains("displayName"), "{}", yaml.body);
    let preview = submit(&form, &[("interval", "2h"), ("do", "preview")]);
    assert!(preview.body.contains("id first") && preview.body.contains("would deliver: 1 event"), "{}", preview.body);
    assert!(!preview.body.contains(TOKEN) && preview.body.contains("value=\"2h\""), "{}", preview.body);
    let refused = submit(&form, &[("interval", "soon"), ("do", "save")]);
    assert!(refused.status == 422 && refused.body.contains("a duration such as 90s"), "{}", refused.body);
    let marked = "aria-invalid=\"true\" aria-describedby=\"interval-problem interval-hint\"";
    assert!(refused.body.contains(marked) && refused.body.contains("<a href=\"#interval\">Interval</a>"), "{}", refused.body);
    assert!(!refused.body.contains("spec.polling"), "{}", refused.body);
    assert_eq!(submit(&form, &[("csrf", "x"), ("interval", "2h"), ("do", "save")]).status, 403);
    assert_eq!(submit(&form, &[("interval", "2h"), ("do", "drop")]).status, 400);
    let same = submit(&form, &[("do", "save")]);
    assert!(same.status == 303 && same.headers["location"].to_str().is_ok_and(|to| to.ends_with("no-change")), "{}", same.body);
    assert_eq!(fs::read_to_string(&file).expect("the file of the instance"), before);

    // what was entered is changed, takes effect, and nothing else is touched
    let saved = submit(&form, &[("interval", "2h"), ("events", "on"), ("do", "save")]);
    assert_eq!((saved.status, &saved.headers["location"]), (303, &format!("{page}?done=edit").parse().expect("a header")));
    let after = wait_file(&file, &["interval: 2h", "suspend: false"]);
    let expected = before.replace("interval: 1h", "interval: 2h").replace("suspend: true", "suspend: false");
    let lines = |text: &str| text.lines().map(str::trim).filter(|line| !line.starts_with("tags") && *line != "- Docs").count();
    assert_eq!(lines(&after), lines(&expected), "{after}");
    for kept in [TOKEN, "displayName: Sales", "Docs", "# Managed by Pollinator", "connector: mockkeap"] {
        assert!(after.contains(kept), "{kept}: {after}");
    }
    scene.receiver.try_wait_count("keap", PATIENCE, 1).expect("the first record is delivered");
    let line = scene.local.wait_stderr("action=\"edit\"");
    assert!(line.contains("fields=\"spec.suspend, spec.polling.interval\"") && line.contains("session="), "{line}");

    // a form from before that says something else is kept, and what changed meanwhile is told
    let conflict = submit(&form, &[("callback", "http://127.0.0.1:9/mine"), ("do", "save")]);
    assert_eq!(conflict.status, 409, "{}", conflict.body);
    for told in ["spec.polling.interval: it was 1h and is now 2h", "value=\"2h\"", "value=\"http://127.0.0.1:9/mine\""] {
        assert!(conflict.body.contains(told), "{told}: {}", conflict.body);
    }
    assert_eq!(fs::read_to_string(&file).expect("the file of the instance"), after);
    // from there it is saved, with another credential, which is not shown
    let saved = submit(&conflict, &[("credential.token", "other-canary-token"), ("do", "save")]);
    assert_eq!(saved.status, 303, "{}", saved.body);
    let after = wait_file(&file, &["http://127.0.0.1:9/mine", "other-canary-token", "interval: 2h"]);
    assert!(!after.contains(TOKEN), "{after}");
    assert!(!get(page).body.contains("canary-token") && !scene.local.stderr().contains("canary-token"));

    // what a person declares in a file of its own is changed there
    let hand = before.lines().skip(1).map(|line| line.replace("name: keap", "name: hand")).collect::<Vec<_>>().join("\n");
    fs::write(scene.site.manifests().join("by-hand.yaml"), hand).expect("a file");
    let by_hand = "/instances/default/hand";
    let deadline = Instant::now() + PATIENCE;
    while get(by_hand).status != 200 {
        assert!(Instant::now() < deadline, "{}", scene.local.stderr());
        thread::park_timeout(Duration::from_millis(50));
    }
    assert!(!get(by_hand).body.contains("/edit"), "{}", get(by_hand).body);
    let edit = format!("{by_hand}/edit");
    let refused = get(&edit);
    assert!(refused.status == 409 && refused.body.contains("by-hand.yaml"), "{}", refused.body);
    let refused = scene.submit(&edit, &own, &encoded(&filled_form(&form, &[("interval", "3h"), ("do", "save")])));
    assert!(refused.status == 409 && refused.body.contains("by-hand.yaml"), "{}", refused.body);
}

/// What an idle poll does not report shows all the same, and what a person deletes is gone with its secrets.
#[test]
fn an_idle_instance_shows_its_polls_and_is_deleted() {
    let scene = Scene::empty();
    scene.provider.create("first");
    let own = scene.sign_in(0);
    create_plain(&scene, &own);
    let page = "/instances/default/plain";
    let get = |path: &str| scene.ask("GET", path, &[("Cookie", &own)], None);
    let submit = |path: &str, edits: &[(&str, &str)]| scene.submit(path, &own, &encoded(&filled_form(&get(path), edits)));
    let edit = format!("{page}/edit");
    assert_eq!(submit(&edit, &[("interval", "5s"), ("do", "save")]).status, 303);
    let file = scene.site.manifests().join("default.plain.yaml");
    wait_file(&file, &["interval: 5s"]);
    // polls that find nothing report nothing
    let after = |page: &Reply, what: &str| {
        let rest = page.body.split(what).nth(1)?.split("</dd>").next()?;
        Some(rest.split("datetime=\"").nth(1)?.split('"').next()?.to_owned())
    };
    let mut seen = std::collections::BTreeSet::new();
    let deadline = Instant::now() + PATIENCE;
    while seen.len() < 4 {
        let page = get(page);
        seen.extend(after(&page, "<dt>Last success</dt>"));
        if let (Some(last), Some(next)) = (after(&page, "<dt>Last success</dt>"), after(&page, "<dt>Next poll</dt>")) {
            assert!(next >= last, "{last} {next}");
        }
        assert!(!page.body.contains("<dt>Lag</dt>"));
        assert!(Instant::now() < deadline, "{seen:?} {}", page.body);
        thread::park_timeout(Duration::from_millis(200));
    }

    // without authentication the old credential is kept nowhere
    assert!(fs::read_to_string(&file).expect("a file").contains(TOKEN));
    let saved = submit(&edit, &[("auth", "none"), ("do", "save")]);
    assert_eq!(saved.status, 303, "{}", saved.body);
    let text = fs::read_to_string(&file).expect("a file");
    assert!(!text.contains(TOKEN) && !text.contains("kind: Secret"), "{text}");

    let question = get(&format!("{page}/delete"));
    assert!(question.status == 200 && question.body.contains("This cannot be undone"), "{}", question.body);
    let deletion = format!("{page}/delete");
    assert_eq!(scene.submit(&deletion, &own, "csrf=x").status, 403);
    assert!(file.exists(), "asking deletes nothing");
    let deleted = scene.submit(&deletion, &own, &format!("csrf={}", token(&question)));
    assert_eq!((deleted.status, deleted.headers["location"].to_str().ok()), (303, Some("/?done=delete")), "{}", deleted.body);
    assert!(!file.exists() && get(page).status == 404);
    assert!(get("/?done=delete").body.contains("The instance was deleted"));
    scene.local.wait_stderr("action=\"delete\"");
}

/// A browser without scripts asks for a form again when its person goes back: it shows what was entered, and no secret.
#[test]
fn a_form_that_is_asked_for_again_shows_what_was_entered() {
    const NOTE: &str = "The form shows what you entered before.";
    let scene = Scene::empty();
    scene.provider.create("first");
    let (own, other) = (scene.sign_in(0), scene.sign_in(1));
    let get = |path: &str, cookie: &str| scene.ask("GET", path, &[("Cookie", cookie)], None).body;
    let csrf = token(&scene.ask("GET", "/", &[("Cookie", &own)], None));
    let entered = |more: &[(&str, &str)]| {
        let all = [("csrf", csrf.as_str()), ("name", "mine"), ("namespace", "default"), ("auth", "bearer"), ("url", "/things")];
        let all: Sent = all.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        encoded(&all)
    };
    // a script keeps it itself
    let refused = scene.submit("/new/plain", &own, &entered(&[("do", "create"), ("script", "1")]));
    assert!(refused.body.contains("value=\"mine\""), "{}", refused.body);
    assert!(!get("/new/plain", &own).contains(NOTE));
    let refused = scene.submit("/new/plain", &own, &entered(&[("do", "create"), ("credential.token", TOKEN)]));
    assert!(refused.body.contains("value=\"mine\"") && !refused.body.contains(TOKEN), "{}", refused.body);
    let again = get("/new/plain", &own);
    assert!(again.contains(NOTE) && again.contains("value=\"mine\"") && again.contains("value=\"/things\""), "{again}");
    assert!(!again.contains(TOKEN) && again.contains("href=\"/new/plain?afresh\""), "{again}");
    for (path, cookie) in [("/new/plain?afresh", &own), ("/new/from/github", &own), ("/new/plain", &other)] {
        let blank = get(path, cookie);
        assert!(!blank.contains(NOTE) && !blank.contains("value=\"mine\""), "{path}: {blank}");
    }

    // what is saved is done with
    create_plain(&scene, &own);
    assert!(!get("/new/plain", &own).contains(NOTE));
    let edit = "/instances/default/plain/edit";
    let form = |path: &str| scene.ask("GET", path, &[("Cookie", &own)], None);
    let submit = |edits: &[(&str, &str)]| scene.submit(edit, &own, &encoded(&filled_form(&form(edit), edits)));
    assert_eq!(submit(&[("interval", "soon"), ("credential.token", TOKEN), ("do", "save")]).status, 422);
    let again = get(edit, &own);
    assert!(again.contains(NOTE) && again.contains("value=\"soon\"") && !again.contains(TOKEN), "{again}");
    assert!(!get(&format!("{edit}?afresh"), &own).contains("value=\"soon\""));
    let saved = submit(&[("interval", "2h"), ("do", "save")]);
    assert_eq!(saved.status, 303, "{}", saved.body);
    assert!(!get(edit, &own).contains(NOTE));
    // and what was entered ends with the session
    assert_eq!(submit(&[("interval", "soon"), ("do", "save")]).status, 422);
    assert!(get(edit, &own).contains(NOTE));
    scene.submit("/leave", &own, &encoded(&vec![("csrf".to_owned(), csrf.clone())]));
    let new = scene.sign_in(2);
    assert!(!get(edit, &new).contains(NOTE));
}

#[test]
fn a_callback_of_another_origin_loses_its_credentials_and_the_page_says_so() {
    let scene = Scene::empty();
    scene.provider.create("first");
    let own = scene.sign_in(0);
    create_plain(&scene, &own);
    let file = scene.site.manifests().join("default.plain.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let with = text.replace("  callback:\n", "  callback:\n    headersSecretRef: {name: hooks}\n");
    assert_ne!(with, text, "{text}");
    fs::write(&file, with).unwrap();
    let (page, edit) = ("/instances/default/plain", "/instances/default/plain/edit");
    let form = || scene.ask("GET", edit, &[("Cookie", &own)], None);
    let deadline = Instant::now() + PATIENCE;
    while !form().body.contains("Its secret headers are for this scheme, host and port only") {
        assert!(Instant::now() < deadline, "{}", form().body);
        thread::park_timeout(Duration::from_millis(50));
    }
    let submit = |edits: &[(&str, &str)]| scene.submit(edit, &own, &encoded(&filled_form(&form(), edits)));
    // another path is the same receiver
    let saved = submit(&[("callback", &scene.receiver.url("elsewhere")), ("do", "save")]);
    assert_eq!((saved.status, saved.headers["location"].to_str().unwrap()), (303, &*format!("{page}?done=edit")));
    wait_file(&file, &["headersSecretRef", "elsewhere"]);
    let warned = submit(&[("callback", "https://other.example/in"), ("do", "refresh")]);
    assert!(warned.body.contains("saving removes the secret headers of the old one"), "{}", warned.body);
    assert!(fs::read_to_string(&file).unwrap().contains("headersSecretRef"));
    let saved = submit(&[("callback", "https://other.example/in"), ("do", "save")]);
    let location = saved.headers["location"].to_str().unwrap().to_owned();
    assert_eq!((saved.status, &*location), (303, &*format!("{page}?done=edit-left")));
    let said = scene.ask("GET", &location, &[("Cookie", &own)], None).body;
    assert!(said.contains("the credentials of the old one were removed"), "{said}");
    assert!(!wait_file(&file, &["other.example"]).contains("headersSecretRef"));
}
