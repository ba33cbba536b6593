//! The pages that people read: their lists are complete and their links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pollinator::api::conditions::{ConditionType, Reason};
use pollinator::operator::shards::ShardsConfig;
use pollinator::operator::shards::range::DEFAULT_RANGES;
use pollinator::operator::shards::timing::Timing;

use crate::rig::markdown;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Markdown files of the repository.
fn pages() -> Vec<PathBuf> {
    markdown::pages().into_iter().map(|(path, _)| root().join(path)).collect()
}

/// Whether a page has something that a link with this fragment leads to.
fn has_anchor(page: &str, fragment: &str) -> bool {
    let mut known = ["#", "##", "###", "####"].into_iter().flat_map(|level| headings(page, level));
    page.contains(&format!("<a id=\"{fragment}\"></a>")) || known.any(|heading| anchor(&heading) == fragment)
}

/// Headings of a level, without their marks and backticks.
fn headings(page: &str, level: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in page.lines() {
        fenced ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix(level).and_then(|rest| rest.strip_prefix(' ')).filter(|_| !fenced) {
            found.push(heading.replace('`', ""));
        }
    }
    found
}

/// The anchor that hosts of Markdown make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn every_reason_and_no_other_has_its_entry_on_the_page_of_conditions() {
    let reasons: BTreeSet<_> = Reason::ALL.iter().map(ToString::to_string).collect();
    assert!(reasons.len() > 30 && reasons.contains("Polling"), "{reasons:?}");
    let page = text("docs/reference/conditions.md");
    let explained: BTreeSet<_> = headings(&page, "####").into_iter().collect();
    assert_eq!(explained, reasons, "docs/reference/conditions.md has one #### heading for each Reason");
    for reason in reasons {
        let (_, entry) = page.split_once(&format!("#### `{reason}`\n")).expect("the entry");
        let entry = entry.split("\n#").next().unwrap_or_default();
        for part in ["Meaning", "Cause", "Fix"] {
            assert!(entry.contains(&format!("**{part}:** ")), "{reason} lacks {part}");
        }
    }
}

#[test]
fn every_condition_type_is_on_the_page_of_conditions() {
    let page = text("docs/reference/conditions.md");
    for kind in ConditionType::ALL {
        assert!(page.contains(&format!("| `{kind}` | ")), "{kind} is missing in the tables of docs/reference/conditions.md");
    }
}

#[test]
fn every_example_is_named_in_the_readme() {
    let readme = text("README.md");
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(readme.contains(&format!("(examples/{name}")), "{name}");
    }
}

/// The README names the pages outside of `docs/` and the index, which names those in it, each in the section of its folder.
#[test]
fn every_page_is_in_the_readme_or_in_the_index() {
    let (readme, index) = (text("README.md"), text("docs/README.md"));
    let mut section = String::new();
    let mut listed = BTreeSet::new();
    for line in index.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = anchor(heading);
        }
        if let Some((_, link)) = line.strip_prefix("- [").and_then(|entry| entry.split_once("](")) {
            listed.insert(format!("{section}: {}", link.split(')').next().unwrap_or_default()));
        }
    }
    for (path, _) in markdown::pages().into_iter().filter(|(path, _)| path != "README.md") {
        let Some(page) = path.strip_prefix("docs/").filter(|page| *page != "README.md") else {
            assert!(readme.contains(&format!("({path})")), "README.md does not name {path}");
            continue;
        };
        let folder = page.split_once('/').map_or("", |(folder, _)| folder);
        assert!(listed.contains(&format!("{folder}: {page}")), "docs/README.md does not list {page} in the section {folder}");
    }
}

/// Pages that messages, templates, manifests and sources name, and their anchors.
#[test]
fn pages_that_are_named_elsewhere_exist() {
    let named = regex::Regex::new(r"\bdocs/[a-z/-]+\.md(?:#([a-z0-9-]+))?").unwrap();
    let mut folders: Vec<_> = ["src", "tests/it", "charts", "deploy", "examples", "catalog", "benches", "release", ".github"]
        .map(|name| root().join(name))
        .into();
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // what is not text names no pages
            let Ok(source) = fs::read_to_string(&path) else { continue };
            for name in named.captures_iter(&source) {
                found += 1;
                let page = name[0].split('#').next().unwrap_or_default();
                let there = fs::read_to_string(root().join(page));
                let there = there.unwrap_or_else(|error| panic!("{} names {page}: {error}", path.display()));
                let is_there = name.get(1).is_none_or(|fragment| has_anchor(&there, fragment.as_str()));
                assert!(is_there, "{} names {}", path.display(), &name[0]);
            }
        }
    }
    assert!(found > 40, "{found}");
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let link = regex::Regex::new(r"\]\(([^)\s#]+\.md)[^)]*\)").unwrap();
    let (mut reached, mut next) = (BTreeSet::new(), vec![root().join("README.md")]);
    while let Some(page) = next.pop() {
        // where a link leads nowhere, another test says so
        if let Ok(page) = page.canonicalize()
            && reached.insert(page.clone())
        {
            let text = fs::read_to_string(&page).unwrap();
            let targets = link.captures_iter(&text).map(|found| found[1].to_owned()).filter(|target| !target.contains("://"));
            next.extend(targets.map(|target| page.parent().unwrap().join(target)));
        }
    }
    for (page, _) in markdown::pages() {
        assert!(reached.contains(&root().join(&page).canonicalize().unwrap()), "no link leads to {page}");
    }
}

#[test]
fn links_lead_somewhere() {
    let link = regex::Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let quoted = regex::Regex::new("`[^`]*`").unwrap();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            // a pattern in a code span may look like a link
            let prose = quoted.replace_all(line, "code");
            for found in link.captures_iter(&prose).filter(|_| !fenced) {
                let target = &found[1];
                if target.contains("://") {
                    continue;
                }
                let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
                let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
                assert!(path.exists(), "{}: {target}", page.display());
                if !fragment.is_empty() {
                    let there = fs::read_to_string(&path).unwrap();
                    assert!(has_anchor(&there, fragment), "{}: {target}", page.display());
                }
            }
        }
    }
}

#[test]
fn the_page_of_sharding_tells_the_default_spans() {
    let (timing, page) = (Timing::default(), text("docs/concepts/sharding.md"));
    let renewals = format!("{:.1}", timing.renew_every().as_secs_f64());
    for (span, default) in [
        ("lease duration, `--lease-duration`", timing.lease().as_secs().to_string()),
        ("renew deadline, two thirds of it", timing.renew_deadline().as_secs().to_string()),
        ("pace of renewals, a third of the deadline", renewals),
        ("pause after a failed try", timing.retry().as_secs().to_string()),
        ("deadline of one call", timing.call().as_secs().to_string()),
        ("grace, `--grace`", ShardsConfig::new("a", "b").drain_bound.as_secs().to_string()),
    ] {
        assert!(page.contains(&format!("| {span} | {default} s |")), "{span} is {default} s");
    }
    assert!(page.contains(&format!("({DEFAULT_RANGES} unless")), "{DEFAULT_RANGES} shares");
}

/// The functions that a page names exist; answers how many it names.
fn named_functions(page: &str) -> usize {
    let named = regex::Regex::new(r"`([a-z0-9_]+(?:/[a-z0-9_]+)*\.rs)::([a-z0-9_]+)`").unwrap();
    let content = text(page);
    let found = named.captures_iter(&content);
    found
        .map(|found| {
            let (file, function) = (&found[1], &found[2]);
            let holds = ["src", "tests"].iter().any(|top| {
                fs::read_to_string(root().join(top).join(file)).is_ok_and(|source| source.contains(&format!("fn {function}(")))
            });
            assert!(holds, "{page} names {file}::{function}");
        })
        .count()
}

/// Tests named as guards exist.
#[test]
fn the_tests_that_the_architecture_names_exist() {
    let count = named_functions("ARCHITECTURE.md");
    assert!(count > 20, "{count}");
}

/// Everyone who may attack has rows, and each row has tests that exist, or says that nothing prevents it.
#[test]
fn the_table_of_threats_names_tests_that_exist() {
    const PAGE: &str = "docs/operate/security.md";
    assert!(named_functions(PAGE) > 30);
    let content = text(PAGE);
    let (_, section) = content.split_once("\n## Threats\n").expect("the section");
    let rows = section.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| "));
    let mut attackers = BTreeSet::new();
    for row in rows.skip(1) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [who, what, cost, tests] = cells[..] else { panic!("{row}") };
        assert!(!what.is_empty() && !cost.is_empty() && (tests.contains("::") || tests == "–"), "{row}");
        attackers.insert(who);
    }
    assert_eq!(attackers, BTreeSet::from(["API server", "namespace editor", "passer-by", "provider", "receiver"]));
}

/// Each promise and each fault has its row, with a test that exists or with what is not tested.
#[test]
fn the_page_of_what_is_tested_is_complete() {
    const PAGE: &str = "docs/contribute/tested.md";
    assert!(named_functions(PAGE) > 200);
    let content = text(PAGE);
    let mut rows = Vec::new();
    for line in content.lines() {
        let cells: Vec<_> = line.split(" | ").collect();
        let Some(id) = cells[0].strip_prefix("| ").filter(|id| id.starts_with('F') || id.starts_with("I-")) else { continue };
        let [_, meaning, tests, left] = cells[..] else { panic!("{line}") };
        let is_empty = |cell: &str| cell.trim_end_matches(" |") == "–";
        assert!(!meaning.is_empty(), "{line}");
        assert!(!is_empty(tests) || !is_empty(left), "neither a test nor what is missing: {line}");
        rows.push(id.to_owned());
    }
    let all: Vec<_> = (1..=55).map(|n| format!("I-{n}")).chain((1..=70).map(|n| format!("F{n}"))).collect();
    assert_eq!(rows, all);
    let (_, section) = content.split_once("\n## Failures of other programs\n").expect("the section");
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    for row in &rows {
        let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
        let [_, what, tests, left] = cells[..] else { panic!("{row}") };
        assert!(!what.is_empty() && tests.contains("::") && !left.is_empty(), "{row}");
    }
    let reports = [
        "airbyte#21500",
        "airbyte#27146",
        "airbyte#80152",
        "airbyte#27226",
        "airbyte#79103",
        "PostHog#80186",
        "openlinker#2032",
        "devlake#5032",
        "atuin#3913",
        "faucet-stream#78, #146, #264, #321",
        "dlt, `lag`",
        "KEDA#7686",
        "KEDA#7685",
        "KEDA#5248",
        "sub2api#1382",
        "HQBase#41",
        "mcp-server-neon#233",
        "Without report: ties",
        "Without report: clocks set back",
        "Without report: hard deletes",
    ];
    let found: Vec<_> = rows.iter().filter_map(|row| row.strip_prefix("| ")?.split(" | ").next()).collect();
    assert_eq!(found, reports);
}
