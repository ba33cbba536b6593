//! One word for each concept: what users and contributors read contains no retired words.
//!
//! [`CHECKED`] says which files are read, [`RETIRED`] which words are refused and what to write instead, [`EXCEPTIONS`] where a word of
//! them is the term of the field. Code is not prose: fenced blocks and text between backticks are left out, so that names in them
//! (`setAside`, `ListingUnsettled`) stay what they are. Of sources the comments are read, which become the descriptions of the CRDs and
//! the help of the commands, and the string literals that contain a space, which become messages and log lines. To check another folder,
//! add a line to [`CHECKED`].

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// A folder, the ending of its files, and what of a file is prose, with as many lines as the file. A folder that ends with `/` is read
/// with its subfolders.
type Checked = (&'static str, &'static str, fn(&str) -> String);

const CHECKED: &[Checked] = &[
    ("", "md", markdown),
    ("docs/", "md", markdown),
    ("charts/pollinator/", "md", markdown),
    ("charts/pollinator/", "yaml", yaml),
    ("charts/pollinator/", "tpl", yaml),
    ("charts/pollinator/templates/", "txt", str::to_owned),
    ("charts/pollinator/files/", "json", str::to_owned),
    ("deploy/", "yaml", yaml),
    ("deploy/", "lua", str::to_owned),
    ("examples/", "yaml", yaml),
    ("catalog/", "yaml", yaml),
    (".github/", "yaml", yaml),
    ("src/", "rs", |text| comments(text, "//[/!]?")),
    ("src/", "rs", literals),
];

/// A retired word that is allowed in files whose path begins like this, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/egress/turns.rs", "lane", "the permit queue has lanes: hosts for requests, a single one for jobs"),
    ("src/egress/turns.rs", "lanes", "as above"),
    ("src/poll/due.rs", "lane", "jobs use the same permit queue"),
    ("src/state/backup.rs", "ledger", "a member of the stored state"),
];

/// Patterns in any case, in which a space is any white space, and what to write instead. A word that is also needed as ordinary
/// English is refused only in the phrases in which it was used differently.
const RETIRED: &[(&str, &str)] = &[
    // one word for each concept
    (r"walk(s|ed|ing)?", "listing"),
    (r"sightings?", "record view"),
    (r"judg(e|es|ed|ing|ements?|ments?)", "classify a record, validate a manifest, interpret a response"),
    (r"patience", "retry-after, or: the provider is rate limiting requests"),
    (r"(its|the) reach|reach(es|ed)? (back|no farther)", "dedup window; reads back"),
    (r"(the )?meaning of (a|the|its) cursor|its meaning changed", "cursor scope"),
    (r"settle[sd]?|settling", "apply the outcome"),
    (r"ledgers?", "retry queue"),
    (r"set(s|ting)?[- ]aside", "in the retry queue, or parked"),
    (r"holes?", "placeholder"),
    (r"(a|an|its|their|each|every|one|per|\d+|these|those|into|such|of) shares?|shares? of (instances|the work)", "shard"),
    (r"hash ranges?", "shard"),
    (r"standings?", "membership"),
    (r"outside (of )?the status", "overflow"),
    (r"lanes?", "ResourceSchedule"),
    (r"slots?", "InstanceEntry"),
    // words that read like a translation
    (r"(no|some|any|every)body", "no one or anyone, or name the actor"),
    (r"anew|afresh", "again"),
    (r"mend(s|ed|ing)?", "fix"),
    (r"st(and|ands|ood|anding) (in|there|beside|beneath|behind|next to|as|last|first)", "is in, is there"),
    (r"as it stands", "leave it out"),
    (r"so (many|much|few|often|long)", "the number, or: up to N"),
    (r"who(m|se)?ever", "anyone who"),
    (r"for who|who works? on", "for contributors, for you if you"),
    (r"in other company", "batched with different events"),
    (r"obey(s|ed|ing)?|heed(s|ed|ing)?", "takes effect"),
    (r"if (this|it) stays", "if this persists"),
    (r"besides?", "in addition to, or: next to"),
    (r"parted by", "separated by"),
    (r"tells?|telling|told", "report, print, say; for two things: distinguish"),
    (r"bears?|bore|borne", "have"),
    // whole phrases
    (r"polling-events job", "replaces the event polling"),
    (r"without a word", "by default, or: silently"),
    (r"asked again", "retrying"),
    (r"the wait is not over", "increase polling.interval if this persists"),
    (r"the operator may not", "is not permitted"),
    (r"(networks|hosts|addresses) inside", "private networks, hosts or addresses"),
    (r"run(ning)? it for long", "operate in production"),
];

/// The same, ready to be searched for: whole words, in any case, over line ends. With the word boundaries of ASCII, which are much faster.
static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let whole = |pattern: &str| Regex::new(&format!(r"(?i-u)\b(?:{})\b", pattern.replace(' ', r"\s+"))).unwrap();
    RETIRED.iter().map(|(pattern, instead)| (whole(pattern), *instead)).collect()
});

/// Text between backticks, which is code, becomes one word.
fn without_spans(text: &str) -> String {
    Regex::new("`[^`\n]*`").unwrap().replace_all(text, "code").into_owned()
}

/// The text of a page: no fenced blocks, no code, and of links only what is shown.
fn markdown(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().map(|line| {
        let is_mark = line.trim_start().starts_with("```");
        fenced ^= is_mark;
        if fenced || is_mark { "" } else { line }
    });
    let text = without_spans(&lines.collect::<Vec<_>>().join("\n"));
    Regex::new(r"\]\([^)\n]*\)").unwrap().replace_all(&text, "]").into_owned()
}

/// What follows a mark of comments (a pattern) at the start of a line or behind white space.
fn comments(text: &str, mark: &str) -> String {
    let comment = Regex::new(&format!(r"(?:^|\s)(?:{mark})(?:\s|$)(.*)$")).unwrap();
    let of_line = |line: &str| comment.captures(line).map_or(String::new(), |found| found[1].to_owned());
    without_spans(&text.lines().map(of_line).collect::<Vec<_>>().join("\n"))
}

/// String literals that contain a space, without what is filled in; a line break in one stays one.
fn literals(text: &str) -> String {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
        let comment_or_char = r"//[^\n]*|'(?:[^'\\\n]|\\[^\n][^'\n]*)'";
        Regex::new(&format!(r##"(?s){comment_or_char}|\br#"(.*?)"#|\br"([^"]*)"|"((?:[^"\\]|\\.)*)""##)).unwrap()
    });
    static FILLED_OR_ESCAPED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{[^{}\n]*\}|\\.").unwrap());
    let (mut prose, mut end) = (String::new(), 0);
    for token in TOKEN.captures_iter(text) {
        let whole = token.get(0).unwrap();
        prose.extend(text[end..whole.start()].matches('\n'));
        end = whole.end();
        let literal = token.iter().skip(1).flatten().next().map_or("", |literal| literal.as_str());
        if literal.contains(' ') {
            prose.push_str(&FILLED_OR_ESCAPED.replace_all(&literal.replace("\\\n", "\n"), " ; "));
            prose.push(';');
        } else {
            prose.extend(literal.matches('\n'));
        }
    }
    without_spans(&prose)
}

/// Comments, those of templates too, and the sentences that are values.
fn yaml(text: &str) -> String {
    comments(text, r"#|\{\{-? ?/\*|summary:|description:|title:|message:")
}

/// Each retired word in a file, with its line and what to write instead.
fn retired(path: &str, prose: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (pattern, instead) in &*PATTERNS {
        for word in pattern.find_iter(prose) {
            let line = prose[..word.start()].matches('\n').count() + 1;
            let word = word.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
            if EXCEPTIONS.iter().any(|(at, allowed, _)| path.starts_with(at) && word.eq_ignore_ascii_case(allowed)) {
                continue;
            }
            found.push(format!("{path}:{line}: {word:?} is retired; write: {instead}"));
        }
    }
    found
}

/// The files of a folder with this ending, by their path in the repository.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.join(folder)]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend(folder.ends_with('/').then_some(path));
            } else if path.extension().is_some_and(|one| one == ending) {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    assert!(!found.is_empty(), "no file of {folder:?} ends with .{ending}: adapt CHECKED");
    found.sort();
    found
}

#[test]
fn prose_contains_no_retired_word() {
    let mut wrong = Vec::new();
    for (folder, ending, prose) in CHECKED {
        for path in files(folder, ending) {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
            wrong.extend(retired(&path, &prose(&text)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn retired_words_are_found_in_prose_and_not_in_code() {
    let page = "# Nobody\n\n```sh\nnobody # mend it\n```\n\nIt `stands in` the [ledger](ledger.md) so\nmany times.\n";
    let words: Vec<_> =
        retired("a.md", &markdown(page)).iter().map(|one| one.split(" is retired").next().unwrap().to_owned()).collect();
    assert_eq!(words, ["a.md:7: \"ledger\"", "a.md:1: \"Nobody\"", "a.md:7: \"so many\""]);
    let manifest = "# told `told`\nledger: a#ledger  # its share\n{{- /* mend */}}\nsummary: It stands there.\n#told: 1\n";
    let words: Vec<_> = retired("a.yaml", &yaml(manifest)).iter().map(|one| one[..9].to_owned()).collect();
    assert_eq!(words, ["a.yaml:2:", "a.yaml:3:", "a.yaml:4:", "a.yaml:1:"]);
    let source = "//! Judged.\nlet judge = \"https://judge\"; // walks\n/// Told.\n";
    assert_eq!(retired("a.rs", &comments(source, "//[/!]?")).len(), 3);
    let source = r##"// "nobody is here"
f("nobody", '"', "ask\nnobody {told}", 'a');
let b: &'a str = r#"
"anew" it is"#; "mend
 it""##;
    let words: Vec<_> = retired("a.rs", &literals(source)).iter().map(|one| one[..15].to_owned()).collect();
    assert_eq!(words, ["a.rs:2: \"nobody", "a.rs:4: \"anew\" ", "a.rs:4: \"mend\" "]);
}

/// An exception that is no longer needed goes.
#[test]
fn every_exception_is_needed() {
    for (path, word, reason) in EXCEPTIONS {
        assert!(!reason.is_empty());
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let found = retired("elsewhere", &format!("{}\n{}", comments(&text, "//[/!]?"), literals(&text)));
        assert!(found.iter().any(|one| one.contains(&format!("{word:?} is retired"))), "{path} no longer contains {word:?}");
    }
}

/// Words that are ordinary English next to those that are retired.
#[test]
fn ordinary_words_are_not_refused() {
    let text = "Replicas share the work. The operator cannot reach the API server. A bearer token. Understand. Instances share one chain. \
                It is outside the namespace. As long as it lasts. A range of ports. A deletion mark. Amend. Two cores.";
    assert_eq!(retired("a.md", text), [""; 0]);
}
