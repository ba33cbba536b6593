//! What the documentation says is done: every command of every page is typed, in its order, in what a reader has.
//!
//! - [`alone`]: the pages that need no cluster.
//! - [`cluster`]: those that do, against a real API server and the process kubelet.
//! - [`manifests`]: every manifest in a page is judged by the API server and planned.
//! - [`names`]: fields, values, variables and options that the text names exist.
//!
//! A page is played to its end by a test in [`PLAYED`]; a new block of commands is played with it. What cannot be done here stands in
//! [`NOT_HERE`], by its exact text.

mod alone;
mod cluster;
mod manifests;
mod names;

use std::collections::VecDeque;

use regex::Regex;

use crate::rig::markdown::{self, Fence};
use crate::rig::reader::Reader;

/// The pages with commands, and the test that types them.
const PLAYED: [(&str, &str); 12] = [
    ("README.md", "alone::the_readme_leads_to_a_first_instance"),
    ("charts/pollinator/README.md", "cluster::the_page_of_the_chart_says_what_the_page_of_installing_does"),
    ("docs/get-started/first-instance.md", "cluster::a_first_instance_from_nothing"),
    ("docs/get-started/install.md", "cluster::installing_upgrading_and_uninstalling"),
    ("docs/reference/instances-api.md", "alone::creating_an_instance_by_the_api"),
    ("docs/tasks/import.md", "alone::importing_from_open_connectors"),
    ("docs/tasks/migrate.md", "alone::migrating_with_the_request_of_open_connectors"),
    ("docs/tasks/local.md", "alone::running_without_a_cluster"),
    ("docs/operate/backup.md", "cluster::saving_and_moving_state"),
    ("docs/operate/operations.md", "cluster::operating_backing_up_and_restoring"),
    ("docs/operate/operator.md", "cluster::running_it_from_outside"),
    ("docs/contribute/release.md", "alone::making_a_release"),
];

/// Page, command, and why it is not typed.
const NOT_HERE: [(&str, &str, &str); 4] = [
    ("README.md", "cargo test", "it is what runs this"),
    (
        "docs/get-started/install.md",
        "docker build --tag registry.example.com/pollinator:0.1.0 .",
        "there is no container engine; the process kubelet takes the program that cargo built for this image",
    ),
    (
        "docs/get-started/install.md",
        "kubectl wait --for=condition=Ready coni/github-issues --timeout=2m",
        "the provider is on the Internet; the same is waited for in docs/operate/operator.md and docs/get-started/first-instance.md",
    ),
    (
        "docs/contribute/release.md",
        "release/build",
        "it takes minutes; release::a_release_is_made_the_same_twice does its steps one by one",
    ),
];

/// Commands that go on until they are told to end, and what they say once they are at work.
const SERVERS: [(&str, &str); 9] = [
    ("python3 -m http.server 8000 --bind 127.0.0.1", "Serving HTTP"),
    ("pollinator receive --port 9000 --secret-file signing-key", "listening on"),
    ("pollinator local contacts.yaml --state state", " Polling "),
    ("pollinator local manifests/ --state state/", " Polling "),
    ("pollinator local manifests/ --state state/ --api-listen 127.0.0.1:8082", "serving the instances API"),
    ("pollinator local manifests/ --state state/ --allow-egress 10.0.0.0/8 --allow-egress intranet.example", " Polling "),
    ("pollinator operator", "everything is listed"),
    ("pollinator operator --watch-namespace crm", "everything is listed"),
    ("pollinator operator --watch-namespace default --allow-egress 127.0.0.0/8", "everything is listed"),
];

/// A page and who reads it.
struct Page {
    name: &'static str,
    left: VecDeque<Fence>,
    reader: Reader,
    /// What the last command said that came to its end.
    said: String,
}

impl Page {
    fn open(name: &'static str, reader: Reader) -> Self {
        let text = std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        Self { name, left: markdown::fences(&text).into(), reader, said: String::new() }
    }

    /// Plays every block up to the one with this text, which is the last to be played.
    fn play_through(&mut self, part: &str) -> Fence {
        loop {
            let next = self.left.pop_front().unwrap_or_else(|| panic!("{}: no block with {part:?} is left", self.name));
            self.play(&next);
            if next.text.contains(part) {
                return next;
            }
        }
    }

    /// Takes the next block of text, in which nothing is typed.
    fn next_shown(&mut self) -> Fence {
        let next = self.left.pop_front().unwrap();
        assert!(next.commands().is_empty() && next.language == "text", "{}: {next:?}", self.name);
        next
    }

    /// Plays every block before the next one of this section.
    fn play_to_section(&mut self, section: &str) {
        while let Some(next) = self.left.pop_front() {
            if next.section == section {
                self.left.push_front(next);
                return;
            }
            self.play(&next);
        }
        panic!("{}: no section {section} with a block is left", self.name);
    }

    /// Plays what is left.
    fn play_to_end(self) {
        self.play_to_end_with(|| ());
    }

    /// The same, and something else before everything ends.
    fn play_to_end_with(mut self, last: impl FnOnce()) {
        while let Some(next) = self.left.pop_front() {
            self.play(&next);
        }
        last();
        self.reader.end_servers();
    }

    fn play(&mut self, fence: &Fence) {
        for command in fence.commands() {
            self.type_in(fence, &command);
        }
    }

    fn type_in(&mut self, fence: &Fence, command: &str) {
        let place = format!("{}:{}: {command}", self.name, fence.line);
        if NOT_HERE.iter().any(|(page, one, _)| (*page, *one) == (self.name, command)) {
            return;
        }
        if let Some((_, until)) = SERVERS.iter().find(|(one, _)| *one == command) {
            self.reader.serve(command, until);
            return;
        }
        let run = self.reader.run(command);
        self.said = format!("{}{}", run.stderr, run.stdout);
        let said = &self.said;
        // what a page shows beneath a command is judged; it may be a failure
        if fence.language == "text" {
            assert_shows(&place, &self.reader.adapt(&fence.shown()), said);
        } else {
            assert_eq!(run.code, Some(0), "{place}\n{said}");
        }
    }
}

/// The block of a page that shows this.
fn shown(page: &str, part: &str) -> String {
    let text = std::fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let found = markdown::fences(&text).into_iter().find(|fence| fence.text.contains(part));
    found.unwrap_or_else(|| panic!("{page} shows no {part:?}")).text
}

/// Without what differs each time: times, and the spaces that follow from their length.
fn masked(line: &str) -> String {
    let time = Regex::new(r"\d{4}-\d\d-\d\dT[\d:.]+Z").unwrap();
    let words: Vec<_> = line.split_whitespace().map(|word| time.replace_all(word, "TIME").into_owned()).collect();
    words.join(" ")
}

/// Every line that a page shows was said, in this order. `…` stands for any lines.
fn assert_shows(place: &str, shown: &str, said: &str) {
    let mut lines = said.lines().map(masked);
    for line in shown.lines().map(masked).filter(|line| !line.is_empty() && line != "…") {
        assert!(lines.any(|one| one == line), "{place}: {line:?} is shown, but what is said is\n{said}");
    }
}

#[test]
fn every_page_with_commands_is_played() {
    for (name, text) in markdown::pages() {
        let types = markdown::fences(&text).iter().any(|fence| !fence.commands().is_empty());
        let player = PLAYED.iter().find(|(page, _)| *page == name);
        assert_eq!(types, player.is_some(), "{name} has commands, or has none any more: mend PLAYED");
        if let Some((_, test)) = player {
            let (module, function) = test.split_once("::").unwrap();
            let source = std::fs::read_to_string(format!("{}/tests/it/documented/{module}.rs", env!("CARGO_MANIFEST_DIR")));
            assert!(source.unwrap().contains(&format!("fn {function}()")), "{test}");
        }
    }
}

#[test]
fn what_is_not_typed_still_stands_there() {
    let pages = markdown::pages();
    let typed = |name: &str| {
        let page = pages.iter().find(|(page, _)| page == name);
        let (_, text) = page.unwrap_or_else(|| panic!("there is no page {name}"));
        markdown::fences(text).iter().flat_map(Fence::commands).collect::<Vec<_>>()
    };
    for (page, command, why) in NOT_HERE {
        assert!(typed(page).iter().any(|one| one == command), "{page} has no {command:?} any more: take it off NOT_HERE");
        assert!(why.len() > 10, "{command}: {why}");
    }
    let all: Vec<_> = pages.iter().flat_map(|(name, _)| typed(name)).collect();
    for (command, _) in SERVERS {
        assert!(all.iter().any(|one| one == command), "no page has {command:?} any more: take it off SERVERS");
    }
}
