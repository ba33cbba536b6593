//! Pages that need no cluster.

use std::fs;
use std::net::TcpListener;

use super::{Page, assert_shows};
use crate::rig::manifest::Instance;
use crate::rig::provider::Provider;
use crate::rig::reader::Reader;
use crate::rig::receiver::Receiver;
use crate::rig::{manifest, skip};

/// A port that nobody is given who asks for any.
pub fn fixed_port() -> String {
    let port = uuid::Uuid::new_v4().as_u128() % 20_000 + 10_000;
    let port = u16::try_from(port).unwrap();
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => port.to_string(),
        Err(_) => fixed_port(),
    }
}

/// What the reader of the tour has: Python, and ports of its own in place of 8000 and 9000. `None`: it has not, which one loud line
/// said.
pub fn tourist(mut reader: Reader) -> Option<Reader> {
    let python = std::process::Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        skip("the tour of the documentation", "it needs Python");
        return None;
    }
    reader.replace("8000", &fixed_port());
    reader.replace("9000", &fixed_port());
    reader.replace_in("examples/tour/contacts.yaml");
    Some(reader)
}

/// Edits the list of contacts, as the reader of the tour is asked to: this text becomes that, and all else stays.
pub fn edit_contacts(reader: &Reader, changes: &[(&str, &str)]) {
    let path = reader.place().join("contacts.json");
    let mut contacts = fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert_eq!(contacts.matches(from).count(), 1, "{from} in {contacts}");
        contacts = contacts.replace(from, to);
    }
    // as an editor does; half a list would be a poll that failed
    let beside = path.with_extension("new");
    fs::write(&beside, contacts).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Somebody is renamed, and somebody is added.
pub const EDITS: [(&str, &str); 2] =
    [("Ada Lovelace", "Ada King"), ("\n]", ",\n  {\"id\": 3, \"name\": \"Katherine Johnson\"}\n]")];

/// Of the text that a summary shows, what stays: all but its numbers.
fn without_numbers(text: &str) -> String {
    let numbers = regex::Regex::new(r"\d+").unwrap();
    let lines = text.lines().filter(|line| !line.contains(" after the change"));
    lines.map(|line| numbers.replace_all(line, "N").into_owned() + "\n").collect()
}

#[test]
fn the_readme_leads_to_a_first_instance() {
    let Some(reader) = tourist(Reader::new()) else { return };
    let receive = "pollinator receive --port 9000 --secret-file signing-key";
    let local = "pollinator local contacts.yaml --state state";
    let mut page = Page::open("README.md", reader);

    page.play_through("-- demo");
    let shown = page.next_shown();
    assert_shows("README.md, demo", &without_numbers(&shown.text), &without_numbers(&page.said));

    let table = page.play_through(local);
    edit_contacts(&page.reader, &EDITS);
    let said = page.reader.wait_said(local, "  2       0  ");
    assert_shows("README.md, local", &table.shown(), &said);
    let received = page.next_shown();
    page.reader.wait_said(receive, "Ada King");
    let said = page.reader.wait_said(receive, "Katherine");
    for line in received.text.lines() {
        let (what, record) = line.split_once(" {").unwrap();
        let head: Vec<_> = what.split_whitespace().take(3).collect();
        let record: serde_json::Value = serde_json::from_str(&format!("{{{record}")).unwrap();
        let found = said.lines().filter_map(|one| one.split_once(" {")).any(|(what, one)| {
            let one: serde_json::Value = serde_json::from_str(&format!("{{{one}")).unwrap();
            what.split_whitespace().take(3).eq(head.iter().copied()) && one == record
        });
        assert!(found, "{line} is shown, but what is said is\n{said}");
    }

    // stop it, change something, start it again
    let again = page.reader.stop(local);
    edit_contacts(&page.reader, &[("Grace Hopper", "Grace Brewster Hopper")]);
    page.reader.serve(&again, " Polling ");
    page.reader.wait_said(receive, "Grace Brewster Hopper");
    page.play_to_end();
}

/// The file to import is the one that the page shows.
#[test]
fn importing_from_open_connectors() {
    let reader = Reader::new();
    fs::write(reader.home().join("instance.json"), super::shown("docs/tasks/import.md", "event.poller.configuration")).unwrap();
    let page = Page::open("docs/tasks/import.md", reader);
    page.play_to_end();
}

/// A reader with a port of its own for the API, of whom nothing is sent to the provider of the page.
fn caller() -> Reader {
    let mut reader = Reader::new();
    reader.replace("8082", &fixed_port());
    let catalog = reader.home().join("catalog");
    let entry = "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {name: infusionsoftrest}\nspec:\n  baseUrl: \
                 http://127.0.0.1:9\n  auth: {oauth2: {grant: RefreshToken, tokenUrl: 'http://127.0.0.1:9/token'}}\n  resources: \
                 [{name: appointments, hubPaths: [/hubs/crm/appointments], url: /appointments}]\n";
    fs::create_dir_all(&catalog).unwrap();
    fs::write(catalog.join("infusionsoftrest.yaml"), entry).unwrap();
    reader.set("POLLINATOR_CATALOG", &catalog.to_string_lossy());
    reader
}

#[test]
fn creating_an_instance_by_the_api() {
    let reader = caller();
    fs::write(reader.home().join("instance.json"), super::shown("docs/tasks/import.md", "event.poller.configuration")).unwrap();
    let mut page = Page::open("docs/reference/instances-api.md", reader);
    page.play_through("curl");
    assert!(page.said.contains("\"name\":\"API Instance with Polling\""), "{}", page.said);
    assert!(page.reader.home().join("manifests/default.api-instance-with-polling.yaml").exists());
    page.play_to_end();
}

/// The request is typed as it is shown, quotes of a date format included, which the shell takes away.
#[test]
fn migrating_with_the_request_of_open_connectors() {
    let mut page = Page::open("docs/tasks/migrate.md", caller());
    page.play_through("export TOKEN=");
    let created: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(page.reader.place().join("created.json")).unwrap()).unwrap();
    let poller = created["configuration"]["event.poller.configuration"].as_str().unwrap();
    assert!(poller.contains("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"), "{poller}");
    page.play_to_section("6. Change it");
    assert!(page.said.trim_end().ends_with("[]"), "no event yet: {}", page.said);
    page.play_through("PATCH");
    assert!(page.said.contains("\"event.poller.refresh_interval\":\"5\""), "{}", page.said);
    page.play_to_end();
}

#[test]
fn running_without_a_cluster() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    provider.create("a");
    let reader = Reader::new();
    let instance = Instance::new("orders", &provider.url(), &receiver.url("orders")).basic_auth();
    manifest::write(&reader.home().join("manifests"), "orders.yaml", &[instance.yaml(), manifest::login()]);
    let bad = "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {name: bad}\nspec:\n  baseUrl: \
               https://api.example.com\n  polling: {interval: 5}\n  resources:\n  - {name: a, url: /a, idfield: id}\n  callback: \
               {url: https://receiver.example.com/events}\n";
    fs::write(reader.home().join("bad.yaml"), bad).unwrap();
    let mut page = Page::open("docs/tasks/local.md", reader);
    page.play_through("pollinator local manifests/ --state state/");
    provider.create("b");
    assert!(receiver.try_wait_count("orders", crate::rig::PATIENCE, 1).is_some());
    // what a folder says that cannot be read
    let local = "pollinator local manifests/ --state state/";
    let shown = super::shown("docs/tasks/local.md", "some manifests cannot be used");
    let (before, after) = shown.split_once("contacts.yaml").unwrap();
    let (_, fault) = before.split_once("ERROR ").unwrap();
    let (_, advice) = after.rsplit_once(": it ").unwrap();
    let orders = page.reader.home().join("manifests/orders.yaml");
    let declared = fs::read_to_string(&orders).unwrap();
    fs::write(&orders, format!("[{declared}")).unwrap();
    let said = page.reader.wait_said(local, fault);
    assert!(said.contains(advice.trim()), "{advice:?} is shown, but what is said is\n{said}");
    fs::write(&orders, declared).unwrap();
    page.reader.end_servers();

    // before and after an older copy was put back
    page.play_to_section("Backup");
    let shown = page.left.pop_front().unwrap();
    assert_eq!(shown.commands(), ["jq -c '[.webhookId,.kind,.objectId]' received.json"], "mend this test, too");
    let lines: Vec<_> = shown.text.lines().skip(1).collect();
    assert_eq!(lines[..2], lines[2..], "the same ids");
    page.reader.run("cp -r state copy").ok();
    page.reader.serve(local, " Polling ");
    provider.create_all(["c".to_owned(), "d".to_owned()]);
    let ids = |count: usize| {
        let posts = receiver.try_wait_count("orders", crate::rig::PATIENCE, count).expect("they come");
        posts.iter().map(|post| post.event().event_id).collect::<Vec<_>>()
    };
    ids(3);
    page.reader.end_servers();
    page.reader.run("rm -r state && mv copy state").ok();
    page.reader.serve(local, " Polling ");
    let ids = ids(5);
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    assert_eq!(sorted(&ids[1..3]), sorted(&ids[3..5]), "with the same ids");
    page.reader.end_servers();

    // a file that is damaged
    let state = page.reader.home().join("state/it.orders.json");
    let whole = fs::read(&state).unwrap();
    fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    page.reader.serve(local, "StateUnavailable");
    let damaged = super::shown("docs/tasks/local.md", "is damaged");
    let damaged = damaged.replace("default.tour", "it.orders").replace("tour ", "it/orders ");
    assert_shows("docs/tasks/local.md, damaged", &damaged, &page.reader.wait_said(local, "is damaged"));
    page.reader.end_servers();
    fs::write(&state, whole).unwrap();
    page.play_to_end();
}

#[test]
fn making_a_release() {
    Page::open("docs/contribute/release.md", Reader::new()).play_to_end();
}
