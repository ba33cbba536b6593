//! The last polls and deliveries of each instance that this process runs, for people who look. The engine never reads it. Pure.
//!
//! It is kept in memory alone and begins empty. Polls that bring nothing new and end in the same way are one entry with a count, so that
//! an idle instance has one entry a resource, and a busy one still shows what came before a quiet hour. Bodies, URLs and secrets are never
//! in it; ids are cut and cleaned, for they come from providers.
//!
//! Of each instance the last [`LAST`] entries are kept, as long as all of them together fit into `BUDGET` bytes. Beyond that the longest
//! rings are cut first, so that one busy instance pushes out its own past and no one else's.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::last_hour::{Counts, LastHour, MINUTES};
use super::metrics::EventOutcome;
use crate::api::conditions::Reason;
use crate::api::identity::InstanceRef;
use crate::api::visible;
use crate::detect::event::{EventId, Kind};

/// Entries kept of one instance at most.
pub const LAST: usize = 100;
/// Bytes of all entries of the process, counted without what the allocator adds.
const BUDGET: usize = 8 * 1024 * 1024;
/// Entries of an instance that are kept however many instances there are.
const FEW: usize = 4;
/// Entries that a page which waits for them may be behind before it learns that it lost some.
const BEHIND: usize = 256;
/// Characters of an object's id that are kept.
const LONGEST_ID: usize = 64;

/// The journal of the process. A clone is of the same one.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Mutex<Rings>>);

impl Default for Journal {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Rings::new(BUDGET))))
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it ended; of several polls, the last one.
    pub at: DateTime<Utc>,
    /// Name of the resource.
    pub resource: Arc<str>,
    /// What it was.
    pub what: What,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One poll, or several in a row that brought nothing and ended in the same way.
    Polls {
        /// The last one.
        last: Poll,
        /// How many.
        count: u32,
        /// When the first one ended.
        since: DateTime<Utc>,
    },
    /// One try to deliver one event.
    Delivery(Box<Delivery>),
}

/// How a poll went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// How it ended.
    pub end: PollEnd,
    /// Pages that were read.
    pub pages: u32,
    /// Records on them.
    pub records: u32,
    /// Events that the callback accepted.
    pub accepted: u32,
    /// Events that it did not accept this time.
    pub failed: u32,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
}

impl Poll {
    /// Counts beyond what fits are the most that fits.
    pub fn new(end: PollEnd, [pages, records, accepted, failed]: [u64; 4], took: Duration) -> Self {
        let [pages, records, accepted, failed] =
            [pages, records, accepted, failed].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        Self { end, pages, records, accepted, failed, took_ms: millis(took) }
    }

    /// Whether it found something to deliver.
    pub fn has_changes(&self) -> bool {
        self.accepted + self.failed > 0
    }
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollEnd {
    /// The list was read to its end.
    Read,
    /// The provider answered 304: the list is the same as before.
    NotModified,
    /// Nothing was asked, since nothing may be sent to the callback for now.
    CallbackClosed,
    /// It failed, with the reason that its condition has.
    Failed(Reason),
}

impl PollEnd {
    /// The word for it on screen and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::NotModified => "notModified",
            Self::CallbackClosed => "callbackClosed",
            Self::Failed(_) => "failed",
        }
    }
}

/// One try to deliver one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Name of the sink.
    pub sink: Cow<'static, str>,
    /// What happened to the object.
    pub kind: Kind,
    /// Its id as the provider has it, cut after 64 characters and without those that show nothing.
    pub object: Box<str>,
    /// The id of the event.
    pub event: EventId,
    /// The number of the try, from 1.
    pub attempt: u32,
    /// What the sink said.
    pub answer: Answer,
    /// What became of the event.
    pub outcome: EventOutcome,
    /// How long the request took, in milliseconds. Events of one request have the same.
    pub took_ms: u32,
}

impl Delivery {
    /// An id as it is kept.
    pub fn shown_id(id: &str) -> Box<str> {
        visible::beginning(id, LONGEST_ID).into()
    }
}

/// What a sink said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the event: 2xx.
    Accepted,
    /// Another HTTP status.
    Status(u16),
    /// 401 or 403.
    Unauthorized,
    /// There was no connection.
    Unreachable,
    /// A deadline passed.
    Timeout,
    /// What came is no answer.
    Broken,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("2xx"),
            Self::Status(status) => write!(f, "{status}"),
            Self::Unauthorized => f.write_str("401 or 403"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Timeout => f.write_str("timeout"),
            Self::Broken => f.write_str("invalid answer"),
        }
    }
}

/// Milliseconds, as far as they fit.
pub fn millis(took: Duration) -> u32 {
    u32::try_from(took.as_millis()).unwrap_or(u32::MAX)
}

impl Journal {
    /// A poll of a resource ended.
    pub fn polled(&self, of: &InstanceRef, resource: &Arc<str>, poll: Poll, now: DateTime<Utc>) {
        self.0.lock().polled(of, resource, poll, now);
    }

    /// Events were sent in one request, or one was sent again; each with the name of its resource.
    pub fn delivered(&self, of: &InstanceRef, now: DateTime<Utc>, deliveries: impl IntoIterator<Item = (Arc<str>, Delivery)>) {
        // Made before the lock is taken, which all instances share.
        let entries = deliveries.into_iter().map(|(resource, delivery)| Entry {
            at: now,
            resource,
            what: What::Delivery(Box::new(delivery)),
        });
        let entries: Vec<_> = entries.collect();
        let mut rings = self.0.lock();
        for entry in entries {
            if let What::Delivery(delivery) = &entry.what {
                let is_accepted = delivery.answer == Answer::Accepted;
                rings.hour.add(is_accepted.into(), (!is_accepted).into(), now);
            }
            rings.push(of, entry);
        }
    }

    /// What all instances of this process did in the last hour, by the minute, the current one last.
    pub fn last_hour(&self, now: DateTime<Utc>) -> [Counts; MINUTES] {
        self.0.lock().hour.minutes(now)
    }

    /// The instance is not this process's any more.
    pub fn forget(&self, of: &InstanceRef) {
        self.0.lock().forget(of);
    }

    /// Names each instance of which there is something new from now on, or nothing any more. Costs nothing while there is no subscriber.
    pub fn changes(&self) -> broadcast::Receiver<InstanceRef> {
        self.0.lock().changes.subscribe()
    }

    /// The last entries of an instance, the latest first. `None`: this process has polled and delivered nothing of it.
    pub fn last(&self, of: &InstanceRef) -> Option<Vec<Entry>> {
        let rings = self.0.lock();
        Some(rings.of.get(of)?.iter().rev().cloned().collect())
    }
}

/// The entries of each instance, the latest last.
#[derive(Debug)]
struct Rings {
    of: HashMap<InstanceRef, VecDeque<Entry>>,
    bytes: usize,
    budget: usize,
    /// Of all instances, those that were forgotten included.
    hour: LastHour,
    changes: broadcast::Sender<InstanceRef>,
}

impl Rings {
    fn new(budget: usize) -> Self {
        Self { of: HashMap::new(), bytes: 0, budget, hour: LastHour::default(), changes: broadcast::Sender::new(BEHIND) }
    }

    fn polled(&mut self, of: &InstanceRef, resource: &Arc<str>, poll: Poll, now: DateTime<Utc>) {
        if matches!(poll.end, PollEnd::Failed(_)) {
            self.hour.add(0, 1, now);
        }
        if let Some(ring) = self.of.get_mut(of)
            && let Some(index) = ring.iter().rposition(|entry| entry.resource == *resource)
            && let Some(what) = ring[index].what.with(poll)
        {
            // Moved to the end: the latest is last. Most often it is there.
            if let Some(entry) = ring.remove(index) {
                ring.push_back(Entry { at: now, what, ..entry });
            }
            self.announce(of);
            return;
        }
        let what = What::Polls { last: poll, count: 1, since: now };
        self.push(of, Entry { at: now, resource: Arc::clone(resource), what });
    }

    fn announce(&self, of: &InstanceRef) {
        if self.changes.receiver_count() > 0 {
            // The last one may leave in between.
            let _ = self.changes.send(of.clone());
        }
    }

    fn push(&mut self, of: &InstanceRef, entry: Entry) {
        self.announce(of);
        self.bytes += size(&entry);
        if let Some(ring) = self.of.get_mut(of) {
            if ring.len() >= LAST
                && let Some(first) = ring.pop_front()
            {
                self.bytes -= size(&first);
            }
            ring.push_back(entry);
        } else {
            // Room for one: an idle instance with one resource never needs more.
            let mut ring = VecDeque::with_capacity(1);
            ring.push_back(entry);
            self.of.insert(of.clone(), ring);
        }
        if self.bytes > self.budget {
            self.cut();
        }
    }

    /// Cuts the longest rings, until a quarter of the budget is free: so it happens seldom.
    fn cut(&mut self) {
        let enough = self.budget / 4 * 3;
        let mut longest = self.of.values().map(VecDeque::len).max().unwrap_or_default();
        while self.bytes > enough && longest > FEW {
            longest = (longest * 3 / 4).max(FEW);
            for ring in self.of.values_mut().filter(|ring| ring.len() > longest) {
                let surplus = ring.len() - longest;
                self.bytes -= ring.drain(..surplus).map(|entry| size(&entry)).sum::<usize>();
                ring.shrink_to_fit();
            }
        }
    }

    fn forget(&mut self, of: &InstanceRef) {
        self.announce(of);
        if let Some(ring) = self.of.remove(of) {
            self.bytes -= ring.iter().map(size).sum::<usize>();
        }
    }
}

impl What {
    /// The entry with one more poll, if it can be one entry with it.
    fn with(&self, poll: Poll) -> Option<Self> {
        match self {
            Self::Polls { last, count, since } if last.end == poll.end && !last.has_changes() && !poll.has_changes() => {
                Some(Self::Polls { last: poll, count: count.saturating_add(1), since: *since })
            }
            Self::Polls { .. } | Self::Delivery(_) => None,
        }
    }
}

/// What an entry takes in memory.
fn size(entry: &Entry) -> usize {
    let more = match &entry.what {
        What::Polls { .. } => 0,
        What::Delivery(delivery) => size_of::<Delivery>() + delivery.object.len() + delivery.event.as_str().len(),
    };
    size_of::<Entry>() + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::event::VersionToken;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn keap() -> InstanceRef {
        InstanceRef::new("crm", "keap")
    }

    fn poll(end: PollEnd, accepted: u64) -> Poll {
        Poll::new(end, [1, 20, accepted, 0], Duration::from_millis(7))
    }

    fn delivery(object: &str) -> Delivery {
        let event = EventId::new("u", "contacts", object, Kind::Updated, &VersionToken { updated_text: None, content: 1 });
        Delivery {
            sink: "callback".into(),
            kind: Kind::Updated,
            object: Delivery::shown_id(object),
            event,
            attempt: 1,
            answer: Answer::Status(503),
            outcome: EventOutcome::Failed,
            took_ms: 3,
        }
    }

    fn is_accounted(rings: &Rings) -> bool {
        rings.bytes == rings.of.values().flatten().map(size).sum::<usize>()
    }

    #[test]
    fn polls_that_bring_nothing_are_one_entry() {
        let journal = Journal::default();
        let [contacts, orders]: [Arc<str>; 2] = ["contacts".into(), "orders".into()];
        assert_eq!(journal.last(&keap()), None);
        for second in 0..10 {
            journal.polled(&keap(), &contacts, poll(PollEnd::Read, 0), at(second * 10));
            journal.polled(&keap(), &orders, poll(PollEnd::NotModified, 0), at(second * 10 + 1));
        }
        let entry = |resource: &Arc<str>, end, count, since, last| Entry {
            at: at(last),
            resource: Arc::clone(resource),
            what: What::Polls { last: poll(end, 0), count, since: at(since) },
        };
        let quiet = [entry(&orders, PollEnd::NotModified, 10, 1, 91), entry(&contacts, PollEnd::Read, 10, 0, 90)];
        assert_eq!(journal.last(&keap()).unwrap(), quiet, "the latest first");

        journal.polled(&keap(), &contacts, poll(PollEnd::Read, 2), at(100));
        journal.polled(&keap(), &contacts, poll(PollEnd::Read, 0), at(110));
        journal.polled(&keap(), &contacts, poll(PollEnd::Failed(Reason::RateLimited), 0), at(120));
        journal.polled(&keap(), &contacts, poll(PollEnd::Failed(Reason::RateLimited), 0), at(130));
        journal.polled(&keap(), &contacts, poll(PollEnd::Failed(Reason::Unauthorized), 0), at(140));
        let counts = journal.last(&keap()).unwrap().into_iter().map(|entry| match entry.what {
            What::Polls { last, count, .. } => (last.end, last.accepted, count),
            What::Delivery(_) => panic!("no delivery"),
        });
        assert_eq!(
            counts.collect::<Vec<_>>(),
            [
                (PollEnd::Failed(Reason::Unauthorized), 0, 1),
                (PollEnd::Failed(Reason::RateLimited), 0, 2),
                (PollEnd::Read, 0, 1),
                (PollEnd::Read, 2, 1),
                (PollEnd::NotModified, 0, 10),
                (PollEnd::Read, 0, 10),
            ]
        );
        journal.forget(&keap());
        assert_eq!(journal.last(&keap()), None);
    }

    #[test]
    fn the_last_hundred_are_kept_of_an_instance() {
        let (journal, contacts) = (Journal::default(), Arc::<str>::from("contacts"));
        let deliveries = (0..250).map(|object| (Arc::clone(&contacts), delivery(&object.to_string())));
        journal.delivered(&keap(), at(0), deliveries);
        let objects: Vec<_> = journal
            .last(&keap())
            .unwrap()
            .into_iter()
            .map(|entry| match entry.what {
                What::Delivery(delivery) => delivery.object,
                What::Polls { .. } => panic!("no poll"),
            })
            .collect();
        assert_eq!((objects.len(), &*objects[0], &*objects[99]), (LAST, "249", "150"));
        assert_eq!(journal.last_hour(at(0))[MINUTES - 1], Counts { delivered: 0, failed: 250 }, "what was cut is counted");
        assert!(is_accounted(&journal.0.lock()));
    }

    #[test]
    fn the_longest_rings_make_room_and_a_quiet_instance_keeps_its_few() {
        let contacts: Arc<str> = "contacts".into();
        let one = size(&Entry { at: at(0), resource: Arc::clone(&contacts), what: What::Delivery(Box::new(delivery("1"))) });
        let mut rings = Rings::new(one * 200);
        let push = |rings: &mut Rings, name: &str, second| {
            let what = What::Delivery(Box::new(delivery("1")));
            rings.push(&InstanceRef::new("crm", name), Entry { at: at(second), resource: Arc::clone(&contacts), what });
        };
        for second in 0..3 {
            push(&mut rings, "quiet", second);
        }
        for second in 0..500 {
            for busy in ["a", "b", "c", "d"] {
                push(&mut rings, busy, second);
                assert!(rings.bytes <= rings.budget && is_accounted(&rings));
            }
        }
        let len = |rings: &Rings, name: &str| rings.of[&InstanceRef::new("crm", name)].len();
        assert_eq!(len(&rings, "quiet"), 3);
        for busy in ["a", "b", "c", "d"] {
            assert!((20..=100).contains(&len(&rings, busy)), "{busy}: {}", len(&rings, busy));
        }
        // more instances than there is room for
        for instance in 0..200 {
            for second in 0..10 {
                push(&mut rings, &format!("many-{instance}"), second);
            }
        }
        assert!(rings.of.values().all(|ring| (1..=10).contains(&ring.len())) && is_accounted(&rings));
        assert!(rings.bytes <= rings.of.len() * (FEW + 1) * one, "{}", rings.bytes);
        rings.of.keys().cloned().collect::<Vec<_>>().iter().for_each(|of| rings.forget(of));
        assert_eq!((rings.bytes, rings.of.len()), (0, 0));
    }

    #[test]
    fn an_idle_instance_costs_less_than_three_hundred_bytes() {
        // a bucket of the map, at most eight sevenths twice over, and one entry
        let bucket = size_of::<(InstanceRef, VecDeque<Entry>)>() + 1;
        assert!(bucket * 16 / 7 + size_of::<Entry>() < 300, "{bucket} {}", size_of::<Entry>());
        let mut rings = Rings::new(BUDGET);
        let contacts = Arc::from("contacts");
        for second in 0..1_000 {
            rings.polled(&keap(), &contacts, poll(PollEnd::Read, 0), at(second));
        }
        assert_eq!((rings.of[&keap()].len(), rings.of[&keap()].capacity()), (1, 1));
    }

    #[test]
    fn people_who_wait_hear_of_polls_deliveries_and_the_end() {
        let (journal, contacts) = (Journal::default(), Arc::<str>::from("contacts"));
        journal.polled(&keap(), &contacts, poll(PollEnd::Read, 0), at(0));
        let mut changes = journal.changes();
        // the same again is one entry with the one before, and yet something new
        journal.polled(&keap(), &contacts, poll(PollEnd::Read, 0), at(1));
        journal.delivered(&keap(), at(2), [(Arc::clone(&contacts), delivery("1"))]);
        journal.forget(&keap());
        for _ in 0..3 {
            assert_eq!(changes.try_recv(), Ok(keap()));
        }
        assert!(changes.try_recv().is_err());
    }

    #[test]
    fn ids_are_cut_and_clean() {
        let id = Delivery::shown_id(&format!("a\u{1b}[2J\u{202e}{}", "é".repeat(100)));
        assert_eq!((id.chars().count(), id.starts_with("a[2Jé")), (64, true));
        let shown =
            [Answer::Accepted, Answer::Status(503), Answer::Unauthorized, Answer::Timeout].map(|answer| answer.to_string());
        assert_eq!(shown, ["2xx", "503", "401 or 403", "timeout"]);
    }
}
