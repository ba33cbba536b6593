//! A small CRM with a REST interface, whose every change is written down.
//!
//! `GET /contacts?since=…&page=…` lists contacts by rising `updated_at`, fifty a page, with a `next` link in the body. Deleted
//! contacts stay in the list as tombstones. Stamps rise strictly and are never ahead of the clock, so that no two versions
//! share one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::oracle::TruthChange;
use crate::detect::event::Kind;
use crate::serve::{Limits, Server};

/// Contacts on a page.
const PAGE: usize = 50;
/// Contacts that exist before the first poll: more than two pages.
const OLD_CONTACTS: u64 = 120;
const NAMES: [&str; 10] = ["Ada", "Barbara", "Edsger", "Frances", "Grace", "Katherine", "Leslie", "Margaret", "Radia", "Tony"];

/// A provider that listens until it is dropped.
#[derive(Debug)]
pub struct SampleProvider {
    addr: SocketAddr,
    crm: Arc<Mutex<Crm>>,
    stop: CancellationToken,
}

impl SampleProvider {
    /// Listens on a free port of 127.0.0.1. The same seed gives the same sequence of changes.
    ///
    /// # Errors
    /// No port may be used.
    pub async fn start(seed: u64) -> io::Result<Self> {
        Self::start_at(0, seed).await
    }

    /// The same, on this port of 127.0.0.1; 0: a free one.
    ///
    /// # Errors
    /// The port is in use or may not be used.
    pub async fn start_at(port: u16, seed: u64) -> io::Result<Self> {
        let server = Server::bind((Ipv4Addr::LOCALHOST, port).into(), Limits::DEFAULT).await?;
        let addr = server.address();
        let crm = Arc::new(Mutex::new(Crm::new(seed, Utc::now())));
        let router = Router::new().route("/contacts", get(list)).with_state(Desk { crm: Arc::clone(&crm), addr });
        let stop = CancellationToken::new();
        tokio::spawn(server.run(router, stop.clone()));
        Ok(Self { addr, crm, stop })
    }

    /// For `spec.baseUrl`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Creates, updates or deletes one contact, and says what it did. Waits for the clock where two changes would share a
    /// millisecond.
    pub async fn change_one(&self) -> TruthChange {
        loop {
            if let Some(change) = self.crm.lock().change_one(Utc::now()) {
                return change;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// All changes so far, in their order.
    pub fn truth(&self) -> Vec<TruthChange> {
        self.crm.lock().truth.clone()
    }
}

impl Drop for SampleProvider {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Clone, Debug, Serialize)]
struct Contact {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_stamp")]
    created_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "serialize_time")]
    updated_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

#[derive(Debug)]
struct Crm {
    /// By rising `updated_at`.
    contacts: Vec<Contact>,
    next_id: u64,
    truth: Vec<TruthChange>,
    luck: StdRng,
}

impl Crm {
    fn new(seed: u64, now: DateTime<Utc>) -> Self {
        let mut crm = Self { contacts: Vec::new(), next_id: 1, truth: Vec::new(), luck: StdRng::seed_from_u64(seed) };
        for age in (1..=OLD_CONTACTS).rev() {
            let created = now - Duration::from_hours(24 + age);
            crm.create(created);
        }
        crm
    }

    /// `None` while the clock shows the millisecond of the last change.
    fn change_one(&mut self, now: DateTime<Utc>) -> Option<TruthChange> {
        let now = DateTime::from_timestamp_millis(now.timestamp_millis())?;
        if self.contacts.last().is_some_and(|last| last.updated_at >= now) {
            return None;
        }
        let live: Vec<usize> = (0..self.contacts.len()).filter(|index| !self.contacts[*index].deleted).collect();
        // Every second change concerns one of the latest contacts, so that short lives occur.
        let recent = &live[live.len().saturating_sub(5)..];
        let chosen = if self.luck.random_bool(0.5) { recent } else { &live }.choose(&mut self.luck).copied();
        let (kind, id) = match (self.luck.random_range(0..100), chosen) {
            (0..40, _) | (_, None) => (Kind::Created, self.create(now)),
            (40..85, Some(index)) => (Kind::Updated, self.update(index, now)),
            (_, Some(index)) => (Kind::Deleted, self.delete(index, now)),
        };
        let change = TruthChange { object_id: id.to_string(), kind, version: stamp(now), at: now };
        self.truth.push(change.clone());
        Some(change)
    }

    fn create(&mut self, now: DateTime<Utc>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let name = Some(self.name());
        self.contacts.push(Contact { id, name, created_at: Some(now), updated_at: now, deleted: false });
        id
    }

    fn update(&mut self, index: usize, now: DateTime<Utc>) -> u64 {
        let old = self.contacts.remove(index);
        let name = Some(self.name());
        let id = old.id;
        self.contacts.push(Contact { name, updated_at: now, ..old });
        id
    }

    fn delete(&mut self, index: usize, now: DateTime<Utc>) -> u64 {
        let id = self.contacts.remove(index).id;
        self.contacts.push(Contact { id, name: None, created_at: None, updated_at: now, deleted: true });
        id
    }

    fn name(&mut self) -> String {
        let name = NAMES.choose(&mut self.luck).copied().unwrap_or_default();
        format!("{name} {}", self.luck.random_range(100..1000))
    }

    /// One page of what changed at or after `since`, and whether another follows.
    fn page(&self, since: Option<DateTime<Utc>>, page: usize) -> (Vec<Contact>, bool) {
        let first = since.map_or(0, |since| self.contacts.partition_point(|contact| contact.updated_at < since));
        let behind = &self.contacts[first..];
        let start = page.saturating_sub(1).saturating_mul(PAGE).min(behind.len());
        let end = start.saturating_add(PAGE).min(behind.len());
        (behind[start..end].to_vec(), end < behind.len())
    }
}

#[derive(Clone)]
struct Desk {
    crm: Arc<Mutex<Crm>>,
    addr: SocketAddr,
}

#[derive(Deserialize)]
struct Asked {
    since: Option<DateTime<Utc>>,
    page: Option<usize>,
}

#[derive(Serialize)]
struct Listed {
    contacts: Vec<Contact>,
    next: Option<String>,
}

async fn list(State(desk): State<Desk>, Query(Asked { since, page }): Query<Asked>) -> Response {
    let page = page.unwrap_or(1);
    let (contacts, more) = desk.crm.lock().page(since, page);
    let next = if more { desk.next(since, page + 1) } else { None };
    // Numbers, strings and booleans under string keys can always be written.
    match serde_json::to_string(&Listed { contacts, next }) {
        Ok(body) => ([("content-type", "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Desk {
    fn next(&self, since: Option<DateTime<Utc>>, page: usize) -> Option<String> {
        let mut url = Url::parse(&format!("http://{}/contacts", self.addr)).ok()?;
        if let Some(since) = since {
            url.query_pairs_mut().append_pair("since", &stamp(since));
        }
        url.query_pairs_mut().append_pair("page", &page.to_string());
        Some(url.into())
    }
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn serialize_time<S: serde::Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&stamp(*time))
}

#[allow(clippy::ref_option)] // the form that serde asks for
fn serialize_stamp<S: serde::Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(stamp).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_123).unwrap()
    }

    fn after(changes: u32) -> Crm {
        let mut crm = Crm::new(7, now());
        for step in 1..=changes {
            crm.change_one(now() + Duration::from_millis(u64::from(step))).unwrap();
        }
        crm
    }

    #[test]
    fn the_same_seed_gives_the_same_truth() {
        assert_eq!(after(200).truth, after(200).truth);
        assert_ne!(after(200).truth[0..50], {
            let mut other = Crm::new(8, now());
            (1..=50).map(|step| other.change_one(now() + Duration::from_millis(step)).unwrap()).collect::<Vec<_>>()
        });
    }

    #[test]
    fn stamps_rise_strictly_and_wait_for_the_clock() {
        let mut crm = after(1);
        let at = now() + Duration::from_millis(1);
        assert_eq!(crm.change_one(at), None, "the same millisecond");
        assert_eq!(crm.change_one(at + Duration::from_micros(999)), None, "still the same");
        assert_eq!(crm.change_one(at - Duration::from_secs(5)), None, "the clock was set back");
        assert!(crm.change_one(at + Duration::from_millis(1)).is_some());
        let crm = after(300);
        assert!(crm.contacts.is_sorted_by(|a, b| a.updated_at < b.updated_at));
    }

    #[test]
    fn all_kinds_occur_and_the_list_agrees_with_the_truth() {
        let crm = after(300);
        let kinds: HashSet<_> = crm.truth.iter().map(|change| change.kind).collect();
        assert_eq!(kinds.len(), 3);
        let mut created = HashSet::new();
        let mut deleted = HashSet::new();
        for change in &crm.truth {
            assert!(!deleted.contains(&change.object_id), "an id is never used again");
            match change.kind {
                Kind::Created => assert!(created.insert(&change.object_id)),
                Kind::Deleted => assert!(deleted.insert(&change.object_id)),
                Kind::Updated => {}
            }
        }
        for contact in &crm.contacts {
            let id = contact.id.to_string();
            let last = crm.truth.iter().rev().find(|change| change.object_id == id);
            assert!(last.is_none_or(|last| last.version == stamp(contact.updated_at)));
            assert_eq!(deleted.contains(&id), contact.deleted);
        }
    }

    #[test]
    fn pages_hold_each_contact_once() {
        let crm = after(30);
        let mut seen = Vec::new();
        for page in 1.. {
            let (contacts, more) = crm.page(None, page);
            assert!(contacts.len() <= PAGE && (!more || contacts.len() == PAGE));
            seen.extend(contacts.iter().map(|contact| contact.id));
            if !more {
                break;
            }
        }
        assert_eq!(seen, crm.contacts.iter().map(|contact| contact.id).collect::<Vec<_>>());
        assert!(crm.page(None, 99).0.is_empty());
        assert!(crm.page(None, usize::MAX).0.is_empty());
    }

    #[test]
    fn since_is_inclusive() {
        let crm = after(30);
        let third_last = &crm.contacts[crm.contacts.len() - 3];
        let (contacts, _) = crm.page(Some(third_last.updated_at), 1);
        assert_eq!((contacts.len(), contacts[0].id), (3, third_last.id));
        let (contacts, _) = crm.page(Some(third_last.updated_at + Duration::from_millis(1)), 1);
        assert_eq!(contacts.len(), 2);
        assert!(crm.page(Some(now() + Duration::from_hours(1)), 1).0.is_empty());
    }

    #[test]
    fn records_look_like_this() {
        let contact =
            Contact { id: 7, name: Some("Ada 100".into()), created_at: Some(now()), updated_at: now(), deleted: false };
        let tombstone = Contact { id: 7, name: None, created_at: None, updated_at: now(), deleted: true };
        insta::assert_snapshot!(serde_json::to_string(&contact).unwrap(), @r#"{"id":7,"name":"Ada 100","created_at":"2027-01-15T08:00:00.123Z","updated_at":"2027-01-15T08:00:00.123Z"}"#);
        insta::assert_snapshot!(serde_json::to_string(&tombstone).unwrap(), @r#"{"id":7,"updated_at":"2027-01-15T08:00:00.123Z","deleted":true}"#);
    }

    async fn ask(url: &str) -> crate::egress::Response {
        use crate::egress::{Egress, EgressPolicy, Limits, Overflow, Redirects, Request};
        let deadline = Duration::from_secs(30);
        let limits = Limits { body: 1 << 20, overflow: Overflow::Refuse, first_byte: deadline, total: deadline };
        let egress = Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).unwrap();
        let request = Request {
            method: http::Method::GET,
            url: url.parse().unwrap(),
            headers: http::HeaderMap::new(),
            body: None,
            credentials: Vec::new(),
            redirects: Redirects::Never,
            limits,
        };
        egress.send(request).await.unwrap()
    }

    #[tokio::test]
    async fn its_list_is_followed_to_the_end_over_a_socket() {
        let provider = SampleProvider::start(7).await.unwrap();
        let changes: Vec<_> = [provider.change_one().await, provider.change_one().await].into();
        assert_eq!(provider.truth(), changes);
        let mut url = Some(format!("{}/contacts?since=2000-01-01T00%3A00%3A00.000Z", provider.base_url()));
        let (mut stamps, mut pages) = (Vec::new(), 0);
        while let Some(next) = url.take() {
            let answer = ask(&next).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.headers.contains_key(http::header::DATE));
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            stamps.extend(
                body["contacts"].as_array().unwrap().iter().map(|contact| contact["updated_at"].as_str().unwrap().to_owned()),
            );
            url = body["next"].as_str().map(ToOwned::to_owned);
            pages += 1;
        }
        assert!(pages > 2 && stamps.is_sorted() && stamps.len() > 2 * PAGE, "{pages} {}", stamps.len());
        assert_eq!(stamps.last(), changes.last().map(|change| &change.version));
        let refused = ask(&format!("{}/contacts?since=yesterday", provider.base_url())).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
}
