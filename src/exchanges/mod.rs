//! Exchanges with live APIs, recorded without what is anyone's, and repeated: evidence for what an entry of the catalog says.
//!
//! 1. [`record`] reads a list as a poll does: its first pages, then what changed since. It keeps what came back.
//! 2. [`mask`](mod@mask) makes each response neutral: what the plan reads stays, or gets a pseudonym that is the same everywhere; of all else
//!    only the type and the form stay.
//! 3. [`replay`] lets the same code read the masked responses from a server on loopback, by the plan of an instance without an account
//!    ([`blank`]). The requests that it makes are those that are recorded: no part of a request of the account is ever written.
//! 4. A [`Recording`] is a file of JSON lines. [`verify`] repeats it: the server knows only the recorded requests.

pub mod blank;
pub mod links;
pub mod listing;
pub mod mask;
pub mod neutral;
pub mod pseudonyms;
pub mod record;
pub mod replay;
pub mod verify;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Name of the folder next to the file of an entry.
pub const FOLDER: &str = "exchanges";
/// Ending of a recording. Those of manifests are others: a folder of entries is read with all files of theirs.
pub const ENDING: &str = "jsonl";

/// What was recorded of one resource of an entry.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Of what, and when.
    pub head: Head,
    /// The listings in their order, each with its exchanges.
    pub listings: Vec<(Listing, Vec<Exchange>)>,
}

/// Of what a recording is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Key of the entry.
    pub connector: String,
    /// Name of the resource.
    pub resource: String,
    /// Day on which it was recorded.
    pub date: NaiveDate,
}

/// One pass over the pages of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// What `${since}` stood for; `None`: there was no cursor yet.
    pub since: Option<DateTime<Utc>>,
    /// It began with the token at which the listing before it ended.
    pub continues: bool,
    /// When it began.
    pub now: DateTime<Utc>,
    /// The list was read to its end; otherwise recording stopped after these pages.
    pub ended: bool,
    /// What was seen.
    pub seen: Seen,
}

/// What a listing showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Pages.
    pub pages: u32,
    /// Records.
    pub records: u64,
    /// Different ids.
    pub ids: u64,
    /// Earliest date by which records are compared.
    pub earliest: Option<DateTime<Utc>>,
    /// Latest date by which records are compared.
    pub latest: Option<DateTime<Utc>>,
}

/// A request and its response.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// What is asked.
    pub request: Asked,
    /// What comes back.
    pub response: Answer,
}

/// A request, without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Method.
    pub method: String,
    /// Path, percent-encoded.
    pub path: String,
    /// Parameters in their order, decoded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<(String, String)>,
    /// Names of the headers that the plan sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
}

/// A response.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers that say something of the list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Recording(Head),
    Listing(Listing),
    Exchange(Exchange),
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        for (at, (name, value)) in self.query.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl Recording {
    /// The text of the file.
    ///
    /// # Errors
    /// None for what [`Self::read`] or a recorder made.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        let mut text = String::new();
        let mut line = |line: &Line| -> Result<(), serde_json::Error> {
            text += &serde_json::to_string(line)?;
            text.push('\n');
            Ok(())
        };
        line(&Line::Recording(self.head.clone()))?;
        for (listing, exchanges) in &self.listings {
            line(&Line::Listing(listing.clone()))?;
            for exchange in exchanges {
                line(&Line::Exchange(exchange.clone()))?;
            }
        }
        Ok(text)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A sentence with the line that is none.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut read: Option<Self> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line =
                serde_json::from_str(line).map_err(|error| format!("line {number} is no line of a recording: {error}"))?;
            match (line, &mut read) {
                (Line::Recording(head), None) => read = Some(Self { head, listings: Vec::new() }),
                (Line::Listing(listing), Some(recording)) => recording.listings.push((listing, Vec::new())),
                (Line::Exchange(exchange), Some(Self { listings, .. })) if !listings.is_empty() => {
                    listings.iter_mut().next_back().into_iter().for_each(|(_, exchanges)| exchanges.push(exchange.clone()));
                }
                _ => {
                    return Err(format!(
                        "line {number} is out of place: a recording begins with its head, then each listing has its exchanges"
                    ));
                }
            }
        }
        read.ok_or_else(|| "it is empty; record it again".to_owned())
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let (pages, records) = (u64::from(self.pages), self.records);
        write!(f, "{pages} page{}, {records} record{}, {} id{}", plural(pages), plural(records), self.ids, plural(self.ids))?;
        match (self.earliest, self.latest) {
            (Some(earliest), Some(latest)) if earliest == latest => write!(f, ", dated {}", day(earliest)),
            (Some(earliest), Some(latest)) => write!(f, ", dated {} to {}", day(earliest), day(latest)),
            _ => Ok(()),
        }
    }
}

fn day(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_as_it_was_written() {
        let text = concat!(
            r#"{"recording":{"connector":"shop","resource":"orders","date":"2026-11-30"}}"#,
            "\n",
            r#"{"listing":{"since":null,"continues":false,"now":"2026-11-30T12:00:00Z","ended":true,"seen":{"pages":1,"records":1,"ids":1,"earliest":null,"latest":null}}}"#,
            "\n",
            r#"{"exchange":{"request":{"method":"GET","path":"/orders","query":[["a","b c"]],"headers":["accept"]},"response":{"status":200,"headers":{"content-type":"application/json"},"body":{"n":9007199254740993.10}}}}"#,
            "\n",
        );
        assert_eq!(Recording::read(text).unwrap().write().unwrap(), text);
        let lines: Vec<_> = text.lines().collect();
        for wrong in [vec![], vec![lines[1]], vec![lines[0], lines[2]], vec![lines[0], lines[0]], vec!["{}"], vec!["nothing"]] {
            assert!(Recording::read(&wrong.join("\n")).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_seen_is_said_in_a_line() {
        let seen = Seen { pages: 1, records: 2, ids: 1, earliest: Some(DateTime::UNIX_EPOCH), latest: None };
        assert_eq!(seen.to_string(), "1 page, 2 records, 1 id");
        let seen = Seen { latest: Some(DateTime::UNIX_EPOCH), ..seen };
        assert_eq!(seen.to_string(), "1 page, 2 records, 1 id, dated 1970-01-01T00:00:00Z");
    }
}
