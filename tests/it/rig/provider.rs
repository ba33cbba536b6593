//! The provider double: one list at `/records`, strict about what it is asked, under the test's control.
//!
//! It refuses unknown query parameters, other methods and missing credentials, filters by `since` (inclusive), lists tombstones,
//! pages by an offset into the current order (so pages shift when data change, as with many real servers) and sends a `Date`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, SubsecRound, TimeDelta, Utc};

use super::http::{Answer, Ask, Server};
use super::log::Log;
use super::oracle::Truth;
use super::{PATIENCE, canary};

const FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// In what order records are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Oldest change first.
    Ascending,
    /// Newest change first: each change shifts all pages.
    Descending,
    /// By id: changes shift pages only where tombstones go.
    ById,
}

/// One record.
#[derive(Clone, Debug)]
struct Record {
    version: i64,
    created: DateTime<Utc>,
    modified: DateTime<Utc>,
    deleted: bool,
    /// Not listed yet, as behind a replication lag.
    hidden: bool,
}

type Takes = dyn Fn(&Ask) -> bool + Send;
type Script = dyn FnMut(&Ask) -> Option<Answer> + Send;

struct Store {
    records: BTreeMap<String, Record>,
    truth: Truth,
    listing: Listing,
    page_size: usize,
    extra: String,
    skew: TimeDelta,
    delay: Duration,
    script: Box<Script>,
    takes: Box<Takes>,
    after_page: Option<Box<dyn FnMut(usize) -> Vec<Change> + Send>>,
}

/// A change that a test makes between two pages.
#[derive(Clone, Debug)]
pub enum Change {
    Create(String),
    Update(String),
    Delete(String),
}

/// A provider on a free loopback port.
pub struct Provider {
    server: Server,
    asks: Log<Ask>,
    store: Arc<Mutex<Store>>,
}

impl Provider {
    pub fn start() -> Self {
        let asks = Log::default();
        let store = Arc::new(Mutex::new(Store {
            records: BTreeMap::new(),
            truth: Truth::default(),
            listing: Listing::Ascending,
            page_size: 100,
            extra: String::new(),
            skew: TimeDelta::zero(),
            delay: Duration::ZERO,
            script: Box::new(|_| None),
            takes: Box::new(has_basic_auth),
            after_page: None,
        }));
        let (log, shared) = (asks.clone(), Arc::clone(&store));
        let server = Server::start(move |ask| {
            log.push(ask.clone());
            lock(&shared).answer(ask)
        });
        Self { server, asks, store }
    }

    pub fn listing(self, listing: Listing) -> Self {
        lock(&self.store).listing = listing;
        self
    }

    pub fn page_size(self, size: usize) -> Self {
        lock(&self.store).page_size = size;
        self
    }

    /// Its credentials are these instead of everyday basic authentication.
    pub fn taking(self, takes: impl Fn(&Ask) -> bool + Send + 'static) -> Self {
        lock(&self.store).takes = Box::new(takes);
        self
    }

    /// Its clock differs from this machine's.
    pub fn skew(self, skew: TimeDelta) -> Self {
        lock(&self.store).skew = skew;
        self
    }

    /// Every answer takes so long.
    pub fn slow(self, delay: Duration) -> Self {
        lock(&self.store).delay = delay;
        self
    }

    /// Further members of every record, JSON with a leading comma.
    pub fn extra(self, members: &str) -> Self {
        members.clone_into(&mut lock(&self.store).extra);
        self
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Closes all connections, so that the next request needs a new one.
    pub fn close_connections(&self) {
        self.server.close_connections();
    }

    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// All requests up to now.
    pub fn asks(&self) -> Vec<Ask> {
        self.asks.all()
    }

    /// Requests up to now.
    pub fn asked(&self) -> usize {
        self.asks.len()
    }

    /// Waits for so many further walks, which begin with a request without an offset.
    pub fn wait_polled(&self, more: usize) {
        let polls = |asks: &[Ask]| asks.iter().filter(|ask| !ask.target.contains("offset=")).count();
        let want = polls(&self.asks.all()) + more;
        let seen = self.asks.try_wait(PATIENCE, |asks| (polls(asks) >= want).then_some(()));
        assert!(seen.is_some(), "the provider was not polled in time");
    }

    /// Waits for a request to come, at most so long.
    pub fn try_wait_asked(&self, total: usize, limit: Duration) -> bool {
        self.asks.try_wait(limit, |asks| (asks.len() >= total).then_some(())).is_some()
    }

    /// Answers by this before anything else is looked at; `None` goes on as usual.
    pub fn misbehave(&self, script: impl FnMut(&Ask) -> Option<Answer> + Send + 'static) {
        lock(&self.store).script = Box::new(script);
    }

    /// Makes changes after a page (by its offset) was put together and before the next is asked for.
    pub fn after_page(&self, change: impl FnMut(usize) -> Vec<Change> + Send + 'static) {
        lock(&self.store).after_page = Some(Box::new(change));
    }

    /// Everything that happened.
    pub fn truth(&self) -> Truth {
        lock(&self.store).truth.clone()
    }

    /// Lists existing records from before the first poll, long ago.
    pub fn baseline(&self, ids: impl IntoIterator<Item = String>) {
        self.baseline_dated(ids, TimeDelta::hours(-1));
    }

    /// Lists existing records from before the first poll, dated so far from now.
    pub fn baseline_dated(&self, ids: impl IntoIterator<Item = String>, from_now: TimeDelta) {
        let mut store = lock(&self.store);
        let stamp = store.now() + from_now;
        for id in ids {
            store.truth.baseline(&id, 0);
            store.records.insert(id, Record { version: 0, created: stamp, modified: stamp, deleted: false, hidden: false });
        }
    }

    pub fn create(&self, id: &str) {
        lock(&self.store).apply(&Change::Create(id.to_owned()));
    }

    pub fn update(&self, id: &str) {
        lock(&self.store).apply(&Change::Update(id.to_owned()));
    }

    pub fn delete(&self, id: &str) {
        lock(&self.store).apply(&Change::Delete(id.to_owned()));
    }

    /// Creates many records at one moment, with one date.
    pub fn create_all(&self, ids: impl IntoIterator<Item = String>) {
        let mut store = lock(&self.store);
        let stamp = store.now();
        for id in ids {
            store.create_at(&id, stamp, false);
        }
    }

    /// Creates a record dated so far from now on the provider's clock.
    pub fn create_dated(&self, id: &str, from_now: TimeDelta) {
        let mut store = lock(&self.store);
        let stamp = store.now() + from_now;
        store.create_at(id, stamp, false);
    }

    /// Creates a record that is dated now and listed only once it is shown.
    pub fn create_hidden(&self, id: &str) {
        let mut store = lock(&self.store);
        let stamp = store.now();
        store.create_at(id, stamp, true);
    }

    /// Lists a hidden record.
    pub fn show(&self, id: &str) {
        lock(&self.store).records.get_mut(id).expect("a record that was created").hidden = false;
    }
}

fn has_basic_auth(ask: &Ask) -> bool {
    let login = STANDARD.encode(format!("{}:{}", canary::USER, canary::ODD_PASSWORD));
    ask.header("authorization") == Some(&format!("Basic {login}"))
}

/// The version in an event's data.
pub fn version(data: &str) -> Option<i64> {
    serde_json::from_str::<serde_json::Value>(data).ok()?.get("version")?.as_i64()
}

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    fn now(&self) -> DateTime<Utc> {
        (Utc::now() + self.skew).trunc_subsecs(3)
    }

    fn create_at(&mut self, id: &str, stamp: DateTime<Utc>, hidden: bool) {
        self.truth.changed(id, 1);
        self.records.insert(id.to_owned(), Record { version: 1, created: stamp, modified: stamp, deleted: false, hidden });
    }

    fn apply(&mut self, change: &Change) {
        let now = self.now();
        match change {
            Change::Create(id) => self.create_at(id, now, false),
            Change::Update(id) => {
                let record = self.records.get_mut(id).expect("only known records are updated");
                record.version += 1;
                record.modified = now;
                self.truth.changed(id, record.version);
            }
            Change::Delete(id) => {
                let record = self.records.get_mut(id).expect("only known records are deleted");
                record.deleted = true;
                record.modified = now;
                self.truth.deleted(id);
            }
        }
    }

    fn answer(&mut self, ask: &Ask) -> Answer {
        let date = httpdate::fmt_http_date(SystemTime::from(self.now()));
        if let Some(answer) = (self.script)(ask) {
            return answer.header("Date", date);
        }
        if !(self.takes)(ask) {
            return Answer::status(401).header("WWW-Authenticate", "Basic realm=\"records\"").header("Date", date);
        }
        match self.list(ask) {
            Ok(body) => Answer::json(body).header("Date", date).after(self.delay),
            Err(status) => Answer::status(status).header("Date", date),
        }
    }

    fn list(&mut self, ask: &Ask) -> Result<String, u16> {
        if ask.path() != "/records" {
            return Err(404);
        }
        if ask.method != "GET" {
            return Err(405);
        }
        let (mut since, mut offset) = (None, 0);
        for (name, value) in ask.query() {
            match name.as_str() {
                "since" if since.is_none() => {
                    since = Some(NaiveDateTime::parse_from_str(&value, FORMAT).map_err(|_| 400_u16)?.and_utc());
                }
                "offset" => offset = value.parse().map_err(|_| 400_u16)?,
                _ => return Err(400),
            }
        }
        let mut rows: Vec<_> = self
            .records
            .iter()
            .filter(|(_, record)| !record.hidden && since.is_none_or(|since| record.modified >= since))
            .collect();
        match self.listing {
            Listing::Ascending => rows.sort_by_key(|(_, record)| record.modified),
            Listing::Descending => rows.sort_by_key(|(_, record)| std::cmp::Reverse(record.modified)),
            Listing::ById => {}
        }
        let total = rows.len();
        let page: Vec<_> =
            rows.into_iter().skip(offset).take(self.page_size).map(|(id, record)| row(id, record, &self.extra)).collect();
        let next = (offset + page.len() < total && !page.is_empty()).then(|| {
            let since =
                since.map_or(String::new(), |since| format!("since={}&", since.format(FORMAT).to_string().replace(':', "%3A")));
            format!("/records?{since}offset={}", offset + page.len())
        });
        let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
        let body = format!("{{\"records\":[{}],\"next\":{next}}}", page.join(","));
        if let Some(mut change) = self.after_page.take() {
            for change in change(offset) {
                self.apply(&change);
            }
            self.after_page = Some(change);
        }
        Ok(body)
    }
}

fn row(id: &str, record: &Record, extra: &str) -> String {
    let (created, modified) = (record.created.format(FORMAT), record.modified.format(FORMAT));
    if record.deleted {
        return format!("{{\"id\":\"{id}\",\"modified\":\"{modified}\",\"deleted\":true}}");
    }
    format!("{{\"id\":\"{id}\",\"version\":{},\"created\":\"{created}\",\"modified\":\"{modified}\"{extra}}}", record.version)
}
