//! The code that docs/reference/delivery.md offers to receivers verifies requests that Pollinator sent, and refuses all others.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::accepted;
use crate::rig::manifest::{self, Instance};
use crate::rig::markdown;
use crate::rig::pollinator::Site;
use crate::rig::provider::Provider;
use crate::rig::receiver::{Post, Receiver};
use crate::rig::{canary, is_installed, skip};

/// One request as it came or was changed, and how the code has to decide.
struct Case {
    name: String,
    headers: Value,
    body: Vec<u8>,
    secret: &'static str,
    /// Seconds between the request and its examination.
    later: i64,
    genuine: bool,
}

impl Case {
    fn input(&self) -> Value {
        json!({
            "headers": self.headers, "body": STANDARD.encode(&self.body), "secret": self.secret, "later": self.later,
        })
    }
}

/// What is sent with this key, and all that can be wrong with it.
fn cases(post: &Post, secret: &'static str, wrong: &'static str) -> Vec<Case> {
    let headers: Value = post.ask.headers.iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();
    let case = |name: &str, genuine: bool| {
        let name = format!("{name}, {}", &secret[..6]);
        Case { name, headers: headers.clone(), body: post.ask.body.clone(), secret, later: 0, genuine }
    };
    let with = |name: &str, header: &str, value: &str| {
        let mut case = case(name, false);
        case.headers[header] = json!(value);
        case
    };
    let without = |name: &str, header: &str| {
        let mut case = case(name, false);
        case.headers.as_object_mut().unwrap().remove(header).expect("it was sent");
        case
    };
    let mut tampered = case("one byte is another", false);
    *tampered.body.last_mut().unwrap() ^= 1;
    let mut shortened = case("the last byte is missing", false);
    shortened.body.pop();
    let signature = headers["webhook-signature"].as_str().unwrap();
    let (_, mac) = signature.split_once(',').unwrap();
    let sent_at: i64 = headers["webhook-timestamp"].as_str().unwrap().parse().unwrap();
    vec![
        case("as it came", true),
        Case { later: 200, ..case("after some minutes", true) },
        Case { later: 900, ..case("sent again after a quarter of an hour", false) },
        Case { later: -900, ..case("from the future", false) },
        Case { secret: wrong, ..case("signed with another key", false) },
        tampered,
        shortened,
        with("another id", "webhook-id", "msg_1"),
        with("made younger", "webhook-timestamp", &(sent_at + 1).to_string()),
        with("no time", "webhook-timestamp", "now"),
        with("another version of the signature", "webhook-signature", &format!("v2,{mac}")),
        with("half a signature", "webhook-signature", &signature[..signature.len() / 2]),
        with("an empty signature", "webhook-signature", ""),
        without("unsigned", "webhook-signature"),
        without("without a time", "webhook-timestamp"),
        without("without an id", "webhook-id"),
        Case { genuine: true, ..with("a second signature", "webhook-signature", &format!("v1,AAAA {signature}")) },
    ]
}

/// Requests that Pollinator sent: one signed with a key in Base64, one with a key that is plain text, and one while keys rotate.
fn all() -> Vec<Case> {
    let provider = Provider::start().extra(",\"text\":\"Zoë \\u20ac\",\"exact\":1.10");
    let receiver = Receiver::start();
    let instance = |name: &str| {
        let signed = format!("signature: {{secretRef: {{name: {name}, key: signing-key}}}}");
        Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().callback(&signed).yaml()
    };
    let site = Site::new(&[instance("encoded"), instance("plain"), instance("rotating")]);
    let (new, old) = (canary::SIGNING_KEY, canary::SIGNING_KEY_PREVIOUS);
    let secrets = [
        manifest::secret("encoded", &[("signing-key", new)]),
        manifest::secret("plain", &[("signing-key", canary::TOKEN)]),
        manifest::secret("rotating", &[("signing-key", new), ("signing-key-previous", old)]),
    ];
    manifest::write(&site.manifests(), "keys.yaml", &secrets);
    let pollinator = site.start();
    for name in ["encoded", "plain", "rotating"] {
        pollinator.wait_ready(name);
    }
    provider.create("r-1");
    let post = |name: &str| accepted(&receiver, name, 1, &pollinator).remove(0);
    let mut all = cases(&post("encoded"), new, old);
    all.extend(cases(&post("plain"), canary::TOKEN, new));
    let rotating = post("rotating");
    for (secret, wrong) in [(new, canary::TOKEN), (old, canary::TOKEN)] {
        all.extend(cases(&rotating, secret, wrong).into_iter().filter(|case| !case.name.contains("signature")));
    }
    all
}

/// The one block of the page in this language.
fn snippet(language: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/delivery.md")).unwrap();
    let mut blocks = markdown::fences(&page).into_iter().filter(|fence| fence.language == language);
    let block = blocks.next().unwrap_or_else(|| panic!("the page has no code in {language}"));
    assert!(blocks.next().is_none() && block.section == "Signatures", "the page has more code in {language}");
    block.text
}

/// Runs the code of the page in a file of its own, next to a few lines that call it, and compares each decision.
fn assert_decides(program: &str, language: &str, name: &str, caller: (&str, &str)) {
    if !is_installed(program) {
        return skip("code for receivers", &format!("{program} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), snippet(language)).unwrap();
    fs::write(folder.path().join(caller.0), caller.1).unwrap();
    let cases = all();
    let mut child = Command::new(program)
        .arg(caller.0)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input: Value = cases.iter().map(Case::input).collect();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let decided: Vec<bool> = serde_json::from_slice(&output.stdout).expect("a list of decisions");
    assert_eq!(decided.len(), cases.len());
    let wrong: Vec<_> = cases.iter().zip(decided).filter(|(case, decided)| case.genuine != *decided).collect();
    let wrong: Vec<_> = wrong.iter().map(|(case, decided)| format!("{}: {decided}", case.name)).collect();
    assert!(wrong.is_empty(), "the code in {language} decides otherwise:\n{}", wrong.join("\n"));
}

#[test]
fn the_code_in_python_accepts_what_was_sent_and_nothing_else() {
    let caller = "\
import base64, json, sys, time
from receiver import is_genuine

clock = time.time
decided = []
for case in json.load(sys.stdin):
    time.time = lambda: clock() + case['later']
    decided.append(is_genuine(case['headers'], base64.b64decode(case['body']), case['secret']))
print(json.dumps(decided))
";
    assert_decides("python3", "python", "receiver.py", ("caller.py", caller));
}

#[test]
fn the_code_in_javascript_accepts_what_was_sent_and_nothing_else() {
    let caller = "\
import { readFileSync } from 'node:fs';
import { isGenuine } from './receiver.mjs';

const clock = Date.now;
const decided = JSON.parse(readFileSync(0)).map(({ headers, body, secret, later }) => {
  Date.now = () => clock() + later * 1000;
  return isGenuine(headers, Buffer.from(body, 'base64'), secret);
});
console.log(JSON.stringify(decided));
";
    assert_decides("node", "javascript", "receiver.mjs", ("caller.mjs", caller));
}
