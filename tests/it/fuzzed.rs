//! The targets of `fuzz/`, with their corpus and some thousand mutations of it: so every run of the tests asks them, without a fuzzer.
//!
//! The mutations are the same in every run. Found inputs belong into the corpus, under a name that says what they are.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

#[path = "../../fuzz/src/targets.rs"]
mod targets;

/// Mutations of each target.
const MUTATIONS: usize = 4000;
/// A mutation is not longer.
const LONGEST: usize = 4096;
/// What parsers look for.
const TOKENS: [&[u8]; 20] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\0",
    b"${",
    b"\xff",
    b"\xc3\xa9",
    b"\\ud800",
    b"9999999999",
    b"-",
    b"'",
    b";",
    b"=",
    b"1e999",
];

struct Target {
    name: &'static str,
    run: fn(&[u8]),
}

/// All targets. Each has a file in `fuzz/fuzz_targets` and a corpus.
const TARGETS: [Target; 10] = [
    Target { name: "split", run: targets::split },
    Target { name: "link_header", run: targets::link_header },
    Target { name: "dates", run: targets::dates },
    Target { name: "template", run: targets::template },
    Target { name: "manifest", run: targets::manifest },
    Target { name: "signature", run: targets::signature },
    Target { name: "headers", run: targets::headers },
    Target { name: "path", run: targets::path },
    Target { name: "import", run: targets::import },
    Target { name: "ceql", run: targets::ceql },
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One of the corpus with some changes, or two of it in one.
fn mutated(corpus: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut input = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..=random.random_range(0..6) {
        let at = random.random_range(0..=input.len());
        let end = (at + random.random_range(0..32)).min(input.len());
        match random.random_range(0..6) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            1 if at < input.len() => input[at] = random.random(),
            2 => drop(input.drain(at..end)),
            3 => {
                let repeated = input[at..end].repeat(random.random_range(1..8));
                input.splice(at..at, repeated);
            }
            4 => {
                let other = &corpus[random.random_range(0..corpus.len())];
                let from = random.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let token = TOKENS[random.random_range(0..TOKENS.len())];
                input.splice(at..at, token.iter().copied());
            }
        }
    }
    input.truncate(LONGEST);
    input
}

fn run(target: &Target) {
    let corpus = corpus(target.name);
    assert!(corpus.len() > 3, "{} has a corpus", target.name);
    let mut random = StdRng::seed_from_u64(1);
    let mutations = (0..MUTATIONS).map(|_| mutated(&corpus, &mut random)).collect::<Vec<_>>();
    for input in corpus.iter().chain(&mutations) {
        let survived = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok();
        assert!(survived, "target {} breaks; the input is b\"{}\"", target.name, input.escape_ascii());
    }
}

#[test]
fn split_and_scan() {
    run(&TARGETS[0]);
}

#[test]
fn link_header() {
    run(&TARGETS[1]);
}

#[test]
fn dates() {
    run(&TARGETS[2]);
}

#[test]
fn template() {
    run(&TARGETS[3]);
}

#[test]
fn manifest() {
    run(&TARGETS[4]);
}

#[test]
fn signature() {
    run(&TARGETS[5]);
}

#[test]
fn headers() {
    run(&TARGETS[6]);
}

#[test]
fn path() {
    run(&TARGETS[7]);
}

#[test]
fn import() {
    run(&TARGETS[8]);
}

#[test]
fn ceql() {
    run(&TARGETS[9]);
}

/// What the corpus calls genuine is: otherwise mutations of it would show nothing.
#[test]
fn genuine_requests_of_the_corpus_are_accepted() {
    let now = chrono::DateTime::from_timestamp(targets::SIGNED_AT, 0).unwrap();
    let key = || pollinator::receive::verify::Key::parse(targets::KEY).unwrap();
    let requests = corpus("signature");
    let accepted = requests.iter().filter(|input| {
        let (headers, body) = targets::request(input);
        pollinator::receive::verify::verify(&headers, body, &[key()], now).is_ok()
    });
    assert_eq!(accepted.count(), 3);
}

#[test]
fn every_target_of_the_fuzzer_is_among_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut files: Vec<_> = fs::read_dir(root.join("fuzz_targets")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    let mut names: Vec<_> = TARGETS.iter().map(|target| format!("{}.rs", target.name)).collect();
    names.sort();
    assert_eq!(files, names.iter().map(Into::<std::ffi::OsString>::into).collect::<Vec<_>>());
    for target in &TARGETS {
        let file = fs::read_to_string(root.join(format!("fuzz_targets/{}.rs", target.name))).unwrap();
        assert!(file.contains(&format!("targets::{}(data)", target.name)), "{}", target.name);
        assert!(manifest.contains(&format!("name = \"{}\"\npath = \"fuzz_targets/{}.rs\"", target.name, target.name)));
    }
}
