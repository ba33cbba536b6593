//! Requests that its description allows, and many that it does not, as Schemathesis makes them up.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Scene;
use crate::rig::canary;
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET};
use crate::rig::real_server::Package;

const PACKAGE: Package = Package { folder: "schemathesis", need: "Python 3.11 with venv" };

/// Not which bodies are taken: some rules cannot be said in a schema, and the dirt of exports is taken with a warning. Not that credentials
/// are asked for: other tests do that, and who tries too many wrong ones is told to wait.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

#[test]
fn no_request_breaks_the_api_and_no_answer_has_a_secret() {
    if !PACKAGE.install() {
        return;
    }
    let scene = Scene::new();
    let api = scene.start();
    let body = scene.page();
    let created = api.must("POST", "/instances", Some(&body));
    // Identities of what exists are not guessed.
    let folder = scene.site.path().join("described");
    fs::create_dir(&folder).expect("a folder");
    let settings = format!("[parameters]\n\"path.id\" = {}\n\"path.key\" = \"infusionsoftrest\"\n", created["id"]);
    fs::write(folder.join("schemathesis.toml"), settings).expect("a file");
    let mut command = PACKAGE.script();
    let answers = folder.join("answers.ndjson");
    command.current_dir(&folder).arg("run").arg(format!("{}/openapi.json", api.base));
    command.args(["--header", &format!("Authorization: {}", api.authorization)]);
    command.args(["--checks", CHECKS, "--exclude-method", "DELETE", "--max-examples", "8", "--seed", "7"]);
    command.args(["--workers", "1", "--no-color", "--warnings", "off", "--generation-database", "none"]);
    command.args(["--output-sanitize", "false", "--report-ndjson-path"]).arg(&answers);
    let ran = command.output().expect("bash was there to install it");
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}\n{}\n{}", String::from_utf8_lossy(&ran.stderr), api.local.stderr());
    let answers = bodies(&fs::read_to_string(answers).expect("a report"));
    assert!(answers.contains("\"oauth.api.secret\":\"********\""), "an instance was shown: {told}");
    let code = body["providerData"]["code"].as_str().expect("a code");
    for secret in [CLIENT_ID, CLIENT_SECRET, code, canary::PASSWORD] {
        assert!(!answers.contains(secret), "an answer has a secret");
    }
    api.must("GET", "/instances", None);
}

/// All bodies in a report, which has them as Base64.
fn bodies(report: &str) -> String {
    fn collect(value: &Value, into: &mut String) {
        match value {
            Value::Object(members) => {
                if let Some(text) = members.get("$base64").and_then(Value::as_str) {
                    let bytes = STANDARD.decode(text).expect("Base64");
                    into.push_str(&String::from_utf8_lossy(&bytes));
                }
                members.values().for_each(|member| collect(member, into));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let mut all = String::new();
    for line in report.lines().filter(|line| line.contains("\"response\"")) {
        collect(&serde_json::from_str(line).expect("JSON"), &mut all);
    }
    all
}
