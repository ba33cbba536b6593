//! The pages that people read: their lists are complete and their links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
    let in_root = fs::read_dir(root()).unwrap();
    let in_docs = fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<_> = in_root.chain(in_docs).map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    pages
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
    let source = text("src/api/conditions.rs");
    let (_, behind) = source.split_once("pub enum Reason {").expect("the enum");
    let (body, _) = behind.split_once("\n}").expect("its end");
    let reasons: BTreeSet<_> = body
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|name| name.chars().all(char::is_alphanumeric))
        .map(str::to_owned)
        .collect();
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
    let source = text("src/poll/status.rs");
    let (source, _) = source.split_once("\n#[cfg(test)]\nmod tests").unwrap_or((&source, ""));
    let literal = regex::Regex::new(r#""([A-Z][a-z]+(?:[A-Z][a-z]+)*)""#).unwrap();
    let used: BTreeSet<_> = literal.captures_iter(source).map(|found| found[1].to_owned()).collect();
    let types: BTreeSet<_> = used.into_iter().filter(|word| !matches!(word.as_str(), "True" | "False" | "Unknown")).collect();
    assert!(types.contains("Ready") && types.contains("Polled"), "{types:?}");
    let page = text("docs/reference/conditions.md");
    for kind in types {
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

#[test]
fn every_page_is_on_the_map_in_the_readme() {
    let readme = text("README.md");
    for page in pages() {
        let path = page.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        assert!(path == "README.md" || readme.contains(&format!("({path})")), "{path}");
    }
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
                    let known = ["#", "##", "###", "####"].into_iter().flat_map(|level| headings(&there, level));
                    let is_set = there.contains(&format!("<a id=\"{fragment}\"></a>"));
                    assert!(is_set || known.map(|h| anchor(&h)).any(|a| a == fragment), "{}: {target}", page.display());
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

/// Tests named as guards exist.
#[test]
fn the_tests_that_the_architecture_names_exist() {
    let page = text("ARCHITECTURE.md");
    let named = regex::Regex::new(r"`([a-z_]+(?:/[a-z_]+)*\.rs)::([a-z0-9_]+)`").unwrap();
    let mut count = 0;
    for found in named.captures_iter(&page) {
        count += 1;
        let (file, function) = (&found[1], &found[2]);
        let holds = ["src", "tests"].iter().any(|top| {
            fs::read_to_string(root().join(top).join(file)).is_ok_and(|source| source.contains(&format!("fn {function}(")))
        });
        assert!(holds, "ARCHITECTURE.md names {file}::{function}");
    }
    assert!(count > 20, "{count}");
}
