//! The provider double: one list at `/records`, strict about what it is asked, under the test's control.
//!
//! It refuses unknown query parameters, dates in other forms than its own, other methods and missing credentials. Without a word it
//! filters by `since` (inclusive), lists tombstones, pages by an offset into the current order (so pages shift when data change, as
//! with many real servers) and sends a `Date`. What real providers do otherwise are its [`habits`], how they write dates its
//! [`stamps`], and in which words they tell of further pages its [`paging`].

mod changes;
pub mod habits;
pub mod paging;
pub mod stamps;
mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};

use super::http::{Answer, Ask, Server};
use super::log::Log;
use super::oracle::Truth;
use super::{PATIENCE, canary};
pub use habits::Listing;
use habits::{EmptyForm, ErrorForm, Filter, Habits, Repeats, Rows, Tenant, Tombstone};
use paging::Paging;
use stamps::{Clock, DateHeader, Form, Sentinel, Unit};
use store::{Errors, Kept, Record, Store};

/// A change that a test makes between two pages.
#[derive(Clone, Debug)]
pub enum Change {
    Create(String),
    Update(String),
    Delete(String),
    /// Time passes on a clock that a test has set.
    Pass(TimeDelta),
}

/// A provider on a free loopback port.
pub struct Provider {
    server: Server,
    asks: Log<Ask>,
    store: Arc<Mutex<Store>>,
}

impl Provider {
    /// On a free port.
    pub fn start() -> Self {
        Self::serve(None)
    }

    /// Where a manifest that was written before expects it; waits while another test has that address.
    pub fn start_at(address: SocketAddr) -> Self {
        Self::serve(Some(address))
    }

    fn serve(address: Option<SocketAddr>) -> Self {
        let asks = Log::default();
        let store = Arc::new(Mutex::new(Store::new(Box::new(has_basic_auth))));
        let (log, shared) = (asks.clone(), Arc::clone(&store));
        let handle = move |ask: &Ask| {
            // Noted once its answer is made: what a test does after it saw a request is no part of that answer.
            let answer = lock(&shared).answer(ask);
            log.push(ask.clone());
            answer
        };
        let server = match address {
            Some(address) => Server::wait_at(address, handle),
            None => Server::start(handle),
        };
        Self { server, asks, store }
    }

    fn with(self, change: impl FnOnce(&mut Store)) -> Self {
        change(&mut lock(&self.store));
        self
    }

    fn habit(self, change: impl FnOnce(&mut Habits)) -> Self {
        self.with(|store| change(&mut store.habits))
    }

    pub fn listing(self, listing: Listing) -> Self {
        self.habit(|habits| habits.listing = listing)
    }

    pub fn page_size(self, size: usize) -> Self {
        self.habit(|habits| habits.page_size = size)
    }

    /// Its credentials are these instead of everyday basic authentication.
    pub fn taking(self, takes: impl Fn(&Ask) -> bool + Send + 'static) -> Self {
        self.with(|store| store.takes = Box::new(takes))
    }

    /// Its clock differs from this machine's.
    pub fn skew(self, skew: TimeDelta) -> Self {
        self.with(|store| store.clock = Clock::Machine(skew))
    }

    /// Its clock stands at this moment until it is turned.
    pub fn clock_at(self, at: DateTime<Utc>) -> Self {
        self.with(|store| store.clock = Clock::Set(at))
    }

    /// Every answer takes so long.
    pub fn slow(self, delay: Duration) -> Self {
        self.with(|store| store.delay = delay)
    }

    /// Further members of every record, JSON with a leading comma.
    pub fn extra(self, members: &str) -> Self {
        self.habit(|habits| members.clone_into(&mut habits.extra))
    }

    /// Its dates show whole units alone.
    pub fn unit(self, unit: Unit) -> Self {
        self.habit(|habits| habits.stamps.unit = unit)
    }

    pub fn form(self, form: Form) -> Self {
        self.habit(|habits| habits.stamps.form = form)
    }

    /// It writes what its wall clock shows, which is so far from GMT, and does not say so.
    pub fn wall_clock(self, zone: TimeDelta) -> Self {
        self.habit(|habits| habits.stamps.zone = zone)
    }

    /// Several machines stamp its records; their clocks are so far from its own.
    pub fn nodes(self, clocks: &[TimeDelta]) -> Self {
        self.habit(|habits| habits.stamps.nodes = clocks.to_vec())
    }

    /// What a record that was never changed has for a date of change.
    pub fn never_changed(self, sentinel: Sentinel) -> Self {
        self.habit(|habits| habits.stamps.never = Some(sentinel))
    }

    /// Its records do not tell when they were created.
    pub fn without_created(self) -> Self {
        self.habit(|habits| habits.stamps.created = false)
    }

    pub fn date_header(self, header: DateHeader) -> Self {
        self.habit(|habits| habits.date_header = header)
    }

    pub fn filter(self, filter: Filter) -> Self {
        self.habit(|habits| habits.filter = filter)
    }

    pub fn paging(self, paging: Paging) -> Self {
        self.habit(|habits| habits.paging = paging)
    }

    /// Of one query no more rows than these can be read.
    pub fn result_cap(self, rows: usize) -> Self {
        self.habit(|habits| habits.cap = Some(rows))
    }

    /// Some of its answers hold an id more than once.
    pub fn repeating(self, repeats: Repeats) -> Self {
        self.habit(|habits| habits.repeats = Some(repeats))
    }

    pub fn empty_list(self, form: EmptyForm) -> Self {
        self.habit(|habits| habits.empty = form)
    }

    /// It signs the links in its records anew at each answer: bytes differ where nothing changed.
    pub fn signing_links(self) -> Self {
        self.habit(|habits| habits.signs_links = true)
    }

    /// Its answers have members for errors, empty ones.
    pub fn saying_no_error(self) -> Self {
        self.habit(|habits| habits.says_no_error = true)
    }

    pub fn tombstone(self, tombstone: Tombstone) -> Self {
        self.habit(|habits| habits.tombstone = tombstone)
    }

    /// Its list has other rows than the records.
    pub fn rows(self, rows: Rows) -> Self {
        self.habit(|habits| habits.rows = rows)
    }

    /// It has a list for each of these, which are listed, too, if a manifest is to find them there.
    pub fn tenants(self, names: &[&str], lists_tenants: bool) -> Self {
        let tenant = |name: &&str| Tenant { name: (*name).to_owned(), is_there: true };
        self.habit(|habits| (habits.tenants, habits.lists_tenants) = (names.iter().map(tenant).collect(), lists_tenants))
    }

    /// Members of a manifest's resource that fit it.
    pub fn resource(&self) -> String {
        lock(&self.store).habits.resource()
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Closes all connections when what came over them was answered.
    pub fn hear_out(&self) {
        self.server.hear_out();
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

    /// Looks at all requests up to now, without a copy of them.
    pub fn look<R>(&self, look: impl FnOnce(&[Ask]) -> R) -> R {
        self.asks.look(look)
    }

    /// Requests up to now.
    pub fn asked(&self) -> usize {
        self.asks.len()
    }

    /// Waits for so many further walks, which begin with a request for the first page.
    pub fn wait_polled(&self, more: usize) {
        let paging = lock(&self.store).habits.paging;
        let polls = |asks: &[Ask]| asks.iter().filter(|ask| paging.is_first(ask)).count();
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
            store.insert(&id, Record::new(0, stamp));
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
        let stamp = store.stamp();
        for id in ids {
            store.create_at(&id, stamp, false);
        }
    }

    /// Creates a record dated so far from now on the provider's clock.
    pub fn create_dated(&self, id: &str, from_now: TimeDelta) {
        let mut store = lock(&self.store);
        let stamp = store.stamp() + from_now;
        store.create_at(id, stamp, false);
    }

    /// Changes a record, dated so far from now on the provider's clock.
    pub fn update_dated(&self, id: &str, from_now: TimeDelta) {
        let mut store = lock(&self.store);
        let stamp = store.stamp() + from_now;
        store.update_at(id, stamp);
    }

    /// Changes a record, whose date does not say so.
    pub fn update_undated(&self, id: &str) {
        lock(&self.store).update_undated(id);
    }

    /// A deleted record comes back, changed.
    pub fn restore(&self, id: &str) {
        lock(&self.store).restore(id);
    }

    /// A tenant comes, with all that it has, or leaves.
    pub fn turn_tenant(&self, name: &str) {
        let mut store = lock(&self.store);
        for tenant in store.habits.tenants.iter_mut().filter(|tenant| tenant.name == name) {
            tenant.is_there = !tenant.is_there;
        }
    }

    /// No token that it gave is accepted any more.
    pub fn forget_tokens(&self) {
        lock(&self.store).forgotten += 1;
    }

    /// Creates a record that is dated now and listed only once it is shown.
    pub fn create_hidden(&self, id: &str) {
        let mut store = lock(&self.store);
        let stamp = store.stamp();
        store.create_at(id, stamp, true);
    }

    /// Creates a record that has its place in every page and is cut out before the page is sent, since the user may not see it.
    pub fn create_forbidden(&self, id: &str) {
        let mut store = lock(&self.store);
        let stamp = store.stamp();
        store.insert(id, Record { forbidden: true, ..Record::new(1, stamp) });
    }

    /// Lists a hidden record.
    pub fn show(&self, id: &str) {
        lock(&self.store).records.get_mut(id).expect("a record that was created").hidden = false;
    }

    /// From now on a record comes first, in whatever order the list is.
    pub fn pin(&self, id: &str) {
        lock(&self.store).habits.pinned.insert(id.to_owned());
    }

    /// Its time.
    pub fn now(&self) -> DateTime<Utc> {
        lock(&self.store).now()
    }

    /// Its records, its history and its time, as JSON.
    pub fn keep(&self) -> String {
        let store = lock(&self.store);
        let kept = Kept { now: store.now(), records: store.records.clone(), truth: store.truth.clone() };
        serde_json::to_string(&kept).expect("records are JSON")
    }

    /// Goes on as the provider that was kept.
    pub fn goes_on(self, kept: &str) -> Self {
        let Kept { now, records, truth } = serde_json::from_str(kept).expect("what was kept");
        self.with(|store| (store.clock, store.records, store.truth) = (Clock::Set(now), records, truth))
    }

    /// Turns its clock forward; one that shows the machine's time is not turned.
    pub fn pass(&self, time: TimeDelta) {
        lock(&self.store).pass(time);
    }

    /// After so many further pages tells of an error, once, in an answer 200.
    pub fn err_after(&self, pages: usize, form: ErrorForm) {
        lock(&self.store).error_after = Some((pages, form));
    }

    /// Errors told in an answer 200 since this was last asked.
    pub fn take_errors(&self) -> Errors {
        std::mem::take(&mut lock(&self.store).errors)
    }

    /// What stands in its list now: ids with their last versions.
    pub fn listed(&self) -> Listed {
        let store = lock(&self.store);
        let shown = store.records.iter().filter(|(key, record)| store.is_shown(key, record));
        shown.map(|(id, record)| (id.clone(), record.known_as())).collect()
    }

    /// Changes up to now.
    pub fn changes(&self) -> usize {
        lock(&self.store).log.len()
    }

    /// A poll that went well found all of the first changes in the list: each must have been sent.
    pub fn polled_changes(&self, count: usize) {
        let mut store = lock(&self.store);
        let Store { log, records, truth, .. } = &mut *store;
        for change in log.iter().take(count).filter(|change| !records[&change.key].hidden) {
            truth.must_come(&change.key, change.known_as());
        }
    }

    /// Everything that is listed existed before the first poll.
    pub fn found_at_first(&self) {
        let (listed, mut store) = (self.listed(), lock(&self.store));
        for (id, version) in listed {
            store.truth.found_at_first(&id, version);
        }
    }

    /// A poll that went well began and ended with these listed: they must have been sent, and what is listed now must be, too, if it
    /// was then.
    pub fn polled(&self, before: &Listed) {
        let (listed, mut store) = (self.listed(), lock(&self.store));
        for (id, version) in listed {
            if before.get(&id) == Some(&version) {
                store.truth.must_come(&id, version);
            }
        }
    }
}

/// Ids with their last versions.
pub type Listed = BTreeMap<String, i64>;

fn has_basic_auth(ask: &Ask) -> bool {
    let login = STANDARD.encode(format!("{}:{}", canary::USER, canary::ODD_PASSWORD));
    ask.header("authorization") == Some(&format!("Basic {login}"))
}

/// The data of an event without what differs at each answer.
pub fn stable(data: &str) -> String {
    data.split_once(",\"signed\":").map_or_else(|| data.to_owned(), |(before, _)| format!("{before}}}"))
}

/// The version in an event's data.
pub fn version(data: &str) -> Option<i64> {
    serde_json::from_str::<serde_json::Value>(data).ok()?.get("version")?.as_i64()
}

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
