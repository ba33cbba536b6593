//! What keeps the layers apart, checked in the source text: which module may do what, and how long a file may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Files that are longer than the rule, and why. A file that became short again must leave the list.
const LONG: [(&str, &str); 1] =
    [("egress/error.rs", "one closed set of failures with the sentence for each; half of it is text")];

/// Lines of a file without its tests.
const LONGEST: usize = 400;

/// Folders and files that decide and do nothing else: they are given the time, and reach neither network nor cluster.
const PURE: [&str; 68] = [
    "api/",
    "import/",
    "plan/",
    "auth/jwt.rs",
    "auth/oauth2/adoption.rs",
    "auth/oauth2/answer.rs",
    "auth/oauth2/assertion.rs",
    "auth/oauth2/memory.rs",
    "auth/oauth2/request.rs",
    "auth/oauth2/step.rs",
    "auth/oauth2/stored.rs",
    "connect/address.rs",
    "connect/budget.rs",
    "connect/candidate.rs",
    "connect/consent.rs",
    "connect/page.rs",
    "cpu/shares.rs",
    "detect/",
    "egress/allowance.rs",
    "egress/ledger.rs",
    "egress/pace.rs",
    "egress/quota.rs",
    "egress/turns.rs",
    "deliver/",
    "exchanges/links.rs",
    "exchanges/mask.rs",
    "exchanges/neutral.rs",
    "exchanges/pseudonyms.rs",
    "fetch/",
    "poll/health.rs",
    "poll/page_retries.rs",
    "poll/schedule.rs",
    "poll/status.rs",
    "poll/report.rs",
    "poll/round.rs",
    "poll/wall_clock.rs",
    "state/",
    "receive/read.rs",
    "observe/journal.rs",
    "observe/last_hour.rs",
    "observe/metrics/text.rs",
    "instances/brief.rs",
    "instances/glance.rs",
    "serve/console/advice.rs",
    "serve/console/change.rs",
    "serve/console/draft.rs",
    "serve/console/edit_form.rs",
    "serve/console/form.rs",
    "serve/console/history.rs",
    "serve/console/hour.rs",
    "serve/console/instance.rs",
    "serve/console/manifest.rs",
    "serve/console/mistakes.rs",
    "serve/console/overview.rs",
    "serve/console/pass.rs",
    "serve/console/session.rs",
    "serve/console/stamp.rs",
    "serve/console/waiting.rs",
    "operator/blobs.rs",
    "operator/connector_status.rs",
    "operator/event_queue.rs",
    "operator/queue_phase.rs",
    "operator/required_label.rs",
    "operator/session/",
    "operator/lists.rs",
    "operator/status.rs",
    "operator/stored.rs",
    "operator/shards/",
];

/// The shells in those folders: what asks, sends or writes.
const SHELLS: [&str; 17] = [
    "deliver/outbox.rs",
    "deliver/sink/http/mod.rs",
    "deliver/sink/http/request.rs",
    "fetch/asker.rs",
    "fetch/listing.rs",
    "fetch/listing/meaning.rs",
    "fetch/restraint.rs",
    "state/bucket.rs",
    "state/directory.rs",
    "state/external_store.rs",
    "state/folder.rs",
    "state/shared_folder.rs",
    "operator/shards/coordinator.rs",
    "operator/shards/lease.rs",
    "operator/shards/mod.rs",
    "operator/shards/ownership.rs",
    "operator/shards/presence.rs",
];

/// The folders in an order in which each uses only those before it: no circles, and the core does not know its shells.
const FLOW: [&str; 24] = [
    "api",
    "cpu",
    "moment",
    "catalog",
    "plan",
    "import",
    "egress",
    "detect",
    "observe",
    "auth",
    "connect",
    "fetch",
    "deliver",
    "state",
    "poll",
    "local",
    "operator",
    "instances",
    "serve",
    "exchanges",
    "receive",
    "demo",
    "cli",
    "main",
];

/// What a pure module may not say.
const IMPURE: [&str; 11] = [
    "reqwest",
    "kube::Client",
    "kube::client",
    "kube::Api",
    "kube::api",
    "kube::runtime",
    "kube_runtime",
    "tokio::time",
    "Utc::now",
    "Instant::now",
    "SystemTime::now",
];

/// Who may touch the values of Secrets beside `auth`, and why.
const SECRETS: [(&str, &str); 4] = [
    ("api/manifest.rs", "decodes Secrets that are declared in a file"),
    ("instances/folder/own_file.rs", "writes the Secrets that came with an instance next to its manifest"),
    ("local/definitions.rs", "hands them over to `auth`"),
    ("local/reload.rs", "hands a replaced set over to `auth`"),
];

/// One source file without its tests and comments.
struct Source {
    /// Path below `src`, with `/`.
    path: String,
    /// Lines before the tests, comments included.
    lines: usize,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !is_test(&name) {
                let text = fs::read_to_string(&path).unwrap();
                let text = without_tests(&text);
                let code = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
                found.push(Source { path: name, lines: text.lines().count(), code });
            }
        }
    }
    assert!(found.len() > 80, "{}", found.len());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_test(name: &str) -> bool {
    let stem = name.trim_end_matches(".rs");
    // the demo with each poll in an engine of its own, for tests alone
    let is_simulation = name == "demo/restarts.rs";
    let is_table = name == "api/file_cases.rs";
    stem.ends_with("tests") || stem.ends_with("sample") || name.contains("/tests/") || is_simulation || is_table
}

/// Tests stand last in a file.
fn without_tests(text: &str) -> &str {
    let start = regex::Regex::new(r"(?m)^#\[cfg\(test\)\]\n(?:#\[.*\]\n)*mod \w+ \{").unwrap();
    start.find(text).map_or(text, |found| &text[..found.start()])
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line }
}

fn is_pure(path: &str) -> bool {
    PURE.iter().any(|pure| path == *pure || (pure.ends_with('/') && path.starts_with(pure))) && !SHELLS.contains(&path)
}

#[test]
fn pure_modules_are_given_the_time_and_reach_nothing() {
    let mut checked = 0;
    for source in sources().iter().filter(|source| is_pure(&source.path)) {
        checked += 1;
        for word in IMPURE {
            assert!(!source.code.contains(word), "src/{} is pure and may not say {word}", source.path);
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn folders_use_only_those_before_them_in_the_flow() {
    let uses = regex::Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let place = |name: &str| FLOW.iter().position(|folder| *folder == name);
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let own = source.path.split(['/', '.']).next().unwrap_or_default();
        let Some(here) = place(own) else { panic!("src/{own} has no place in the flow of tests/it/tidy.rs") };
        for used in uses.captures_iter(&source.code) {
            let there = place(&used[1]).unwrap_or_else(|| panic!("src/{} uses {}, which has no place", source.path, &used[1]));
            assert!(there <= here, "src/{} uses {}, which comes after {own} in the flow", source.path, &used[1]);
        }
    }
}

#[test]
fn the_lists_of_this_file_name_files_that_exist() {
    let paths: BTreeSet<_> = sources().into_iter().map(|source| source.path).collect();
    let listed = SHELLS.iter().chain(LONG.iter().map(|(path, _)| path)).chain(SECRETS.iter().map(|(path, _)| path));
    for path in listed {
        assert!(paths.contains(*path), "src/{path} does not exist");
    }
    for folder in FLOW {
        assert!(paths.iter().any(|path| path.split(['/', '.']).next() == Some(folder)), "src/{folder} does not exist");
    }
    for pure in PURE {
        assert!(paths.iter().any(|path| path.starts_with(pure)), "src/{pure} does not exist");
    }
}

#[test]
fn only_egress_opens_sockets_to_others() {
    // The names of its log targets are no use of the crate.
    let uses = regex::Regex::new(r"reqwest::|use reqwest|TcpStream|UdpSocket|hyper::client|hyper_util::client").unwrap();
    for source in sources().iter().filter(|source| !source.path.starts_with("egress/")) {
        assert!(!uses.is_match(&source.code), "src/{} opens sockets; egress does that", source.path);
    }
}

#[test]
fn only_the_shell_of_serve_listens() {
    let listens = regex::Regex::new(r"TcpListener|UnixListener|axum::serve|hyper::server|hyper_util::server").unwrap();
    let elsewhere: Vec<_> = sources().into_iter().filter(|source| source.path != "serve/server.rs").collect();
    for source in &elsewhere {
        assert!(!listens.is_match(&source.code), "src/{} listens; serve/server.rs does that, with its bounds", source.path);
    }
}

#[test]
fn one_module_writes_to_standard_output_and_error() {
    let writes = regex::Regex::new(r"\b(e?print(ln)?|dbg)!|io::std(out|err)\b|\bstd(out|err)\(\)").unwrap();
    for source in sources().iter().filter(|source| source.path != "observe/output.rs") {
        let found = writes.find(&source.code);
        assert!(
            found.is_none(),
            "src/{} says {}; observe/output.rs survives a closed pipe",
            source.path,
            found.unwrap().as_str()
        );
    }
}

#[test]
fn only_auth_reads_secrets() {
    let reads = regex::Regex::new(r"(?i)secrets?\w*\.get\(|secret\w*\.data\b|SecretMap|DeclaredSecret\b").unwrap();
    for source in sources().iter().filter(|source| !source.path.starts_with("auth/")) {
        let allowed = SECRETS.iter().any(|(path, _)| *path == source.path);
        if let Some(found) = reads.find(&source.code) {
            assert!(allowed, "src/{} says {}; only auth sees the values of Secrets", source.path, found.as_str());
        }
    }
}

#[test]
fn no_file_is_longer_than_the_rule_without_a_reason() {
    for source in sources() {
        let reason = LONG.iter().find(|(path, _)| *path == source.path);
        match reason {
            None => {
                assert!(
                    source.lines <= LONGEST,
                    "src/{} has {} lines without its tests; split it by nouns",
                    source.path,
                    source.lines
                );
            }
            Some(_) => assert!(source.lines > LONGEST, "src/{} is short now: take it off the list", source.path),
        }
    }
}

#[test]
fn files_are_named_after_what_they_hold() {
    for source in sources() {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        for vague in ["util", "utils", "common", "helper", "helpers", "manager", "misc", "types"] {
            assert!(name != format!("{vague}.rs") && !source.path.contains(&format!("{vague}/")), "src/{}", source.path);
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for source in sources() {
        let text = fs::read_to_string(root.join(&source.path)).unwrap();
        assert!(text.starts_with("//! "), "src/{} begins with a sentence on its purpose", source.path);
    }
}
