//! Requests to the API server as they are on the wire, so that status codes, warnings and pruned fields can be seen.

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Handle;

use super::super::PATIENCE;

/// One user's access to the API server.
#[derive(Clone)]
pub struct Api {
    server: String,
    token: String,
    client: Client,
    runtime: Handle,
}

/// What the server said.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// The object or list, or a `Status` with `reason` and `message`.
    pub body: Value,
    /// Text of the `Warning` headers, which kubectl prints.
    pub warnings: Vec<String>,
}

impl Reply {
    /// The object; anything but 2xx fails the test.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self.body
    }

    /// The object, or `None` for a refusal with this `reason`; any other one fails the test.
    pub fn ok_unless(self, reason: &str) -> Option<Value> {
        if self.reason() == reason { None } else { Some(self.ok()) }
    }

    /// The `reason` of a refusal, such as `Conflict`.
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    /// The `message` of a refusal.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Api {
    /// `server` as in a kubeconfig; the client knows whom to trust.
    pub fn new(server: &str, token: &str, client: Client, runtime: Handle) -> Self {
        Self { server: server.to_owned(), token: token.to_owned(), client, runtime }
    }

    /// The same server, asked by somebody else.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Asks with a body of this media type; an error if no complete answer came.
    pub fn try_send(&self, method: &str, path: &str, body: Option<(&str, String)>) -> Result<Reply, reqwest::Error> {
        let mut request = self.request(method, path);
        if let Some((media_type, body)) = body {
            request = request.header("Content-Type", media_type).body(body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            let warnings = answer.headers().get_all("warning").iter().map(|value| warning(value.to_str().unwrap_or_default()));
            let warnings = warnings.collect();
            let text = answer.text().await?;
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Ok(Reply { status, body, warnings })
        })
    }

    fn send(&self, method: &str, path: &str, body: Option<(&str, String)>) -> Reply {
        self.try_send(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    pub fn create(&self, collection: &str, object: &Value) -> Reply {
        self.send("POST", collection, Some(("application/json", object.to_string())))
    }

    pub fn replace(&self, path: &str, object: &Value) -> Reply {
        self.send("PUT", path, Some(("application/json", object.to_string())))
    }

    /// A merge patch (RFC 7386).
    pub fn merge(&self, path: &str, change: &Value) -> Reply {
        self.send("PATCH", path, Some(("application/merge-patch+json", change.to_string())))
    }

    /// Server-side apply of YAML or JSON with strict field validation; no force.
    pub fn apply(&self, path: &str, manager: &str, object: &str) -> Reply {
        let path = format!("{path}?fieldManager={manager}&fieldValidation=Strict");
        self.send("PATCH", &path, Some(("application/apply-patch+yaml", object.to_owned())))
    }

    /// The same whoever owned a field before.
    pub fn apply_by_force(&self, path: &str, manager: &str, object: &str) -> Reply {
        let path = format!("{path}?fieldManager={manager}&fieldValidation=Strict&force=true");
        self.send("PATCH", &path, Some(("application/apply-patch+yaml", object.to_owned())))
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    /// Waits until an object satisfies `look`, by a watch that begins with the present state. An absent object is `Null`.
    pub fn wait_for<R>(&self, path: &str, what: &str, look: impl FnMut(&Value) -> Option<R>) -> R {
        self.try_wait(path, PATIENCE, look).unwrap_or_else(|last| panic!("{path}: not seen in time: {what}\n{last:#}"))
    }

    /// The same with a limit of one's own; an error holds the last state.
    pub fn try_wait<R>(&self, path: &str, limit: Duration, mut look: impl FnMut(&Value) -> Option<R>) -> Result<R, Value> {
        let (collection, name) = path.rsplit_once('/').expect("a path to an object");
        let deadline = Instant::now() + limit;
        loop {
            let found = self.get(&format!("{collection}?fieldSelector=metadata.name%3D{name}")).ok();
            let mut last = found["items"].get(0).cloned().unwrap_or(Value::Null);
            if let Some(seen) = look(&last) {
                return Ok(seen);
            }
            let version = found["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let watch = format!(
                "{collection}?fieldSelector=metadata.name%3D{name}&watch=1&resourceVersion={version}&timeoutSeconds=30"
            );
            let seen = self.watch(&watch, deadline, |kind, object| {
                last = if kind == "DELETED" { Value::Null } else { object };
                look(&last)
            });
            if let Some(seen) = seen {
                return Ok(seen);
            }
            if Instant::now() >= deadline {
                return Err(last);
            }
        }
    }

    /// Looks at the events of a watch until `look` finds what it wants, the server ends the watch, or time is up.
    pub fn watch<R>(&self, path: &str, until: Instant, mut look: impl FnMut(&str, Value) -> Option<R>) -> Option<R> {
        let request = self.request("GET", path).timeout(until.saturating_duration_since(Instant::now()));
        self.runtime.block_on(async {
            let reading = async {
                let mut chunks = request.send().await.ok()?.bytes_stream();
                let mut line = Vec::new();
                while let Some(Ok(chunk)) = chunks.next().await {
                    let mut rest = &chunk[..];
                    while !rest.is_empty() {
                        rest.read_until(b'\n', &mut line).expect("memory can be read");
                        if !line.ends_with(b"\n") {
                            continue;
                        }
                        let mut event: Value = serde_json::from_slice(&line).expect("a watch sends a JSON object a line");
                        line.clear();
                        let kind = event["type"].as_str().unwrap_or_default().to_owned();
                        if kind == "ERROR" {
                            return None;
                        }
                        if let Some(found) = look(&kind, event["object"].take()) {
                            return Some(found);
                        }
                    }
                }
                None
            };
            tokio::time::timeout(until.saturating_duration_since(Instant::now()), reading).await.ok().flatten()
        })
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("{}{path}", self.server)).bearer_auth(&self.token).timeout(PATIENCE)
    }
}

/// The quoted text of `299 - "text"`.
fn warning(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, text)| text.trim_end_matches('"'));
    text.replace("\\\"", "\"")
}
