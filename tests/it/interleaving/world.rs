//! One random world: a provider with some habits, an instance, and what happens to them in turns.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DurationRound as _, TimeDelta, Timelike as _, Utc};
use serde::Deserialize;

use super::switches::Switch::{self, *};
use crate::rig::http::Answer;
use crate::rig::in_process::{Lane, Polls};
use crate::rig::manifest::Instance;
use crate::rig::oracle::{self, Delivered, Verdict};
use crate::rig::pollinator::Row;
use crate::rig::provider::habits::{EmptyForm, ErrorForm, Filter, Repeats, Rows, Tombstone};
use crate::rig::provider::paging::{End, Paging};
use crate::rig::provider::stamps::{DateHeader, Form, Sentinel, Unit};
use crate::rig::provider::{self, Change, Listed, Listing, Provider};
use crate::rig::receiver::{Post, Receiver};
use crate::rig::traffic::Dice;

/// Turns of one world: changes, time, a poll.
const TURNS: u64 = 9;
/// Clocks of the machines that stamp records, in seconds from the provider's.
const NODES: [i64; 3] = [0, 3, -2];
/// Rows of one query where there is a cap, and most records with one date there.
const CAP: u64 = 40;
const MOST_TIES: u64 = 16;
/// Rows of one query where the list is read in parts: more than those with one date.
const PART: u64 = 20;
/// Most rows that are cut out of pages, less than a page has.
const MOST_FORBIDDEN: u64 = 3;
/// Those that have a list of their own. A name need not be a segment of a URL as it is.
const TENANTS: [&str; 3] = ["acme", "a/b", "\u{f6}&c"];

/// When it is judged what need not have come yet.
const AFTER_A_POLL: &str = "after a poll";

/// The tenants as another resource of the instance, and what follows.
const TENANTS_RESOURCE: &str = "  - name: tenants
    url: /tenants
    recordsPath: records
    pagination: {none: {}}
  callback:
";

/// What an event is about.
#[derive(Deserialize)]
struct About {
    resource: String,
    parent: Option<String>,
}

pub struct World {
    seed: u64,
    on: Vec<Switch>,
    dice: Dice,
    provider: Provider,
    receiver: Receiver,
    polls: Polls,
    unit: Unit,
    zone: TimeDelta,
    skew: TimeDelta,
    /// What the date of a change since the last poll may stand for.
    coarsest: TimeDelta,
    page_size: u64,
    /// Records that may be changed.
    living: Vec<String>,
    /// Records that are not listed yet.
    hidden: Vec<String>,
    forbidden: u64,
    born: u64,
    /// A process died, or an answer was lost: what is repeated has the same id, unless its bytes differ.
    died: bool,
    /// The receiver misbehaves.
    misbehaves: Arc<AtomicBool>,
    /// Tenants who are not listed.
    absent: Vec<&'static str>,
    /// Those that were deleted.
    dead: Vec<String>,
    /// The token of the last poll that went well has expired.
    expired: bool,
    /// Whose deletion cannot be found.
    untraced: BTreeSet<String>,
    /// Records that a poll that went well could see.
    seen: BTreeSet<String>,
    /// What the receiver got of the records, and how many of its requests were read for that.
    delivered: Vec<Delivered>,
    read: usize,
    /// Keys that were given to records of tenants.
    used: BTreeSet<String>,
    /// What happened, for a person.
    story: String,
}

/// What a request said, and what was answered.
fn said(post: &Post) -> Vec<String> {
    let answer = post.status.map_or("no answer".to_owned(), |status| status.to_string());
    let events = post.events().into_iter();
    events.map(|event| format!("{:?} {} {}: {answer}", event.kind, event.object, event.event_id)).collect()
}

fn one_of<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    all[usize::try_from(dice.below(all.len() as u64)).expect("below a length")]
}

impl World {
    pub fn new(seed: u64, on: &[Switch], lane: &Arc<Lane>) -> Self {
        let mut dice = Dice::new(seed);
        let has = |switch| on.contains(&switch);
        let page_size = match () {
            () if has(Cap) || has(Parts) => 10,
            // what has one date fits into it
            () if has(Keyset) => 6 + dice.below(4),
            // two pages of a history with the same ids in the same order look like one that came twice
            () if has(Versions) => 6 + dice.below(5),
            // no page is cut empty: by an offset nothing follows it
            () if has(Short) => 4 + dice.below(3),
            () => 2 + dice.below(5),
        };
        let unit = match () {
            () if has(Seconds) => Unit::Second,
            () if has(Minutes) => Unit::Minute,
            () if has(Days) => Unit::Day,
            () => Unit::Millisecond,
        };
        let minutes = one_of(&mut dice, &[-300, -480, 120, 330, 600]);
        let zone = TimeDelta::minutes(if has(Zone) { minutes } else { 0 });
        let seconds = one_of(&mut dice, &[-90, -5, 5, 90]);
        let skew = TimeDelta::seconds(if has(SkewedDate) { seconds } else { 0 });
        let listing = match () {
            () if has(Ascending) || has(Cap) || has(Keyset) => Listing::Ascending,
            () if has(Descending) || has(Pinned) || has(Feed) => Listing::Descending,
            () if has(LastId) => Listing::ById,
            () => one_of(&mut dice, &[Listing::Ascending, Listing::Descending, Listing::ById]),
        };
        let mut provider = Provider::start().listing(listing).page_size(usize::try_from(page_size).expect("small"));
        provider = provider.unit(unit).wall_clock(zone);
        if has(NoDate) {
            provider = provider.date_header(DateHeader::Off);
        } else {
            // at some time of the day, so that midnight and the full minute come by
            let start = Utc::now().duration_trunc(TimeDelta::days(1)).expect("a day") - TimeDelta::days(60)
                + TimeDelta::seconds(dice.below(86_400).cast_signed());
            provider = provider.clock_at(start).date_header(DateHeader::Skewed(skew));
        }
        if has(Numbers) {
            provider = provider.form(Form::Number);
        }
        if has(Nodes) {
            provider = provider.nodes(&NODES.map(TimeDelta::seconds));
        }
        if has(Sentinel) {
            provider = provider.never_changed(one_of(&mut dice, &Sentinel::ALL));
        }
        if has(NoCreated) {
            provider = provider.without_created();
        }
        if has(Exclusive) {
            provider = provider.filter(Filter::Exclusive);
        }
        if has(Unfiltered) || has(Content) || has(Pinned) || has(Compared) {
            provider = provider.filter(Filter::None);
        }
        if has(Cap) {
            provider = provider.result_cap(usize::try_from(CAP).expect("small"));
        }
        if has(Parts) {
            provider = provider.result_cap(usize::try_from(PART).expect("small"));
        }
        if has(Signed) {
            provider = provider.signing_links();
        }
        for (switch, repeats) in
            [(Joined, Repeats::Identical), (JoinedBytes, Repeats::OtherBytes), (Versions, Repeats::Versions)]
        {
            if has(switch) {
                provider = provider.repeating(repeats);
            }
        }
        if has(Empty) {
            provider = provider.empty_list(one_of(&mut dice, &EmptyForm::ALL));
        }
        if has(Errors) {
            provider = provider.saying_no_error();
        }
        if has(Words) || has(Short) && !has(Ends) {
            let words =
                [Paging::LinkHeader, Paging::Total, Paging::IsLast, Paging::Pages, Paging::HasMore, Paging::Token(End::Null)];
            provider = provider.paging(one_of(&mut dice, &words));
        }
        if has(Ends) {
            provider = provider.paging(Paging::Token(one_of(&mut dice, &End::ALL)));
        }
        if has(DeletedAt) {
            provider = provider.tombstone(one_of(&mut dice, &[Tombstone::Date, Tombstone::Milliseconds]));
        }
        for (switch, tombstone) in [(DeletedList, Tombstone::Elsewhere), (Snapshot, Tombstone::Gone)] {
            if has(switch) {
                provider = provider.tombstone(tombstone);
            }
        }
        for (switch, paging) in [(Keyset, Paging::Keyset), (LastId, Paging::LastId)] {
            if has(switch) {
                provider = provider.paging(paging);
            }
        }
        for (switch, rows) in [
            (Feed, Rows::Events),
            (Expiry, Rows::Deltas { linked: false }),
            (Delta, Rows::Deltas { linked: false }),
            (DeltaLink, Rows::Deltas { linked: true }),
        ] {
            if has(switch) {
                provider = provider.rows(rows);
            }
        }
        if has(ForEach) || has(Parents) {
            provider = provider.tenants(&TENANTS, has(Parents));
        }

        let receiver = Receiver::start();
        let misbehaves = Arc::new(AtomicBool::new(false));
        if has(Refused) || has(Lost) {
            let (on, mut dice, is_lost) = (Arc::clone(&misbehaves), Dice::new(seed), has(Lost));
            receiver.answer(move |_| match dice.below(3) {
                0 if on.load(Ordering::SeqCst) => {
                    if is_lost {
                        Answer::hang_up()
                    } else {
                        Answer::status(503)
                    }
                }
                _ => Answer::status(204),
            });
        }
        let mut resource = provider.resource();
        if has(Content) {
            let is_kept = |line: &&str| !line.starts_with("datesConfiguration") && !line.starts_with("  ");
            resource = resource.lines().filter(is_kept).fold(String::new(), |all, line| all + line + "\n");
        }
        if has(Entry) {
            let dates = provider::habits::Habits::default().stamps;
            let java = provider::stamps::Stamps { unit, ..dates }.java();
            resource = resource.replace("${since}", &format!("${{gmtDate:{java}}}"));
        }
        if has(Parts) {
            resource = resource.replace("query: {since: ", "query: {until: \"${until}\", since: ");
            let _ = writeln!(resource, "resultCap: {PART}");
        }
        if has(Keyset) {
            let _ = writeln!(resource, "pageSize: {page_size}");
        }
        if has(Snapshot) {
            let confirm = if has(ForEach) || has(Parents) { "/tenants/${each}/records/${id}" } else { "/records/${id}" };
            let further = ["", ", interval: 24h", &format!(", confirm: {{url: \"{confirm}\"}}")];
            let with = format!("maxCount: 1000{}", one_of(&mut dice, &further));
            resource = resource.replace("maxCount: 1000", &with);
        }
        for (switch, line) in [
            (Keyset, "order: Ascending"),
            (Compared, "compareContent: true"),
            (FullSweep, "fullSweep: {interval: 720h}"),
            (Ascending, "order: Ascending"),
            (Cap, "order: Ascending"),
            (Descending, "order: Descending"),
            (Pinned, "order: Descending"),
            (Late, "lookback: 5m"),
            (Lateness, "lateness: 5m"),
            (Changes, "changes: {}"),
        ] {
            if has(switch) && !resource.contains(line) {
                resource = resource + line + "\n";
            }
        }
        if has(Feed) && !resource.contains("order: ") {
            resource += "order: Descending\n";
        }
        let mut instance = Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().resource(&resource);
        if has(Earliest) {
            instance = instance.earliest();
        }
        let mut yaml = instance.yaml();
        if has(Parents) {
            yaml = yaml.replace("  callback:\n", TENANTS_RESOURCE);
        }
        let polls = Polls::new_in(Arc::clone(lane), std::slice::from_ref(&yaml));
        let mut world = Self {
            seed,
            on: on.to_vec(),
            dice,
            provider,
            receiver,
            polls,
            unit,
            zone,
            skew,
            coarsest: TimeDelta::zero(),
            page_size,
            living: Vec::new(),
            hidden: Vec::new(),
            forbidden: 0,
            born: 0,
            died: false,
            misbehaves,
            absent: Vec::new(),
            dead: Vec::new(),
            expired: false,
            untraced: BTreeSet::new(),
            seen: BTreeSet::new(),
            delivered: Vec::new(),
            read: 0,
            used: BTreeSet::new(),
            story: yaml,
        };
        if world.has(Parents) && world.below(2) == 0 {
            world.turn_tenant();
        }
        world.fill();
        world
    }

    fn has(&self, switch: Switch) -> bool {
        self.on.contains(&switch)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice.below(bound)
    }

    fn tell(&mut self, what: &str) {
        let _ = writeln!(self.story, "{} {what}", self.provider.now().format("%m-%d %H:%M:%S%.3f"));
    }

    /// What is there before the first poll.
    fn fill(&mut self) {
        let most = if self.has(Pinned) || self.has(Empty) { 1 + self.below(12) } else { self.below(13) };
        for _ in 0..most {
            // where bytes count until a date is past, it is past in whatever zone
            let least = if self.has(Zone) && (self.has(Signed) || self.has(JoinedBytes)) { 12 } else { 1 };
            let (id, hours) = (self.next_id(), least + self.below(72).cast_signed());
            // no two have the same date
            self.provider.create_dated(&id, TimeDelta::hours(-hours) - TimeDelta::minutes(self.born.cast_signed()));
            self.tell(&format!("{id} is {hours} h old"));
            self.living.push(id);
        }
        if self.has(Short) {
            self.create_forbidden();
        }
        if self.has(Pinned) {
            let count = 1 + self.below(self.page_size.min(most));
            for id in self.living.iter().take(usize::try_from(count).expect("small")) {
                self.provider.pin(id);
            }
        }
    }

    /// Ids are in no order, so that listing by id mixes old and new.
    fn next_id(&mut self) -> String {
        self.born += 1;
        let id = format!("{:02x}-{}", self.below(256), self.born);
        if !self.has(ForEach) && !self.has(Parents) {
            return id;
        }
        let tenant = one_of(&mut self.dice, &TENANTS);
        // the same id with another tenant is another record
        let other = self.pick().map(|at| self.living[at].clone()).filter(|_| self.below(3) == 0);
        let again = other.as_deref().and_then(|other| other.split_once('|')).map(|(_, id)| format!("{tenant}|{id}"));
        again.filter(|key| self.used.insert(key.clone())).unwrap_or_else(|| {
            let key = format!("{tenant}|{id}");
            self.used.insert(key.clone());
            key
        })
    }

    /// A tenant comes or leaves.
    fn turn_tenant(&mut self) {
        let tenant = one_of(&mut self.dice, &TENANTS);
        match self.absent.iter().position(|absent| *absent == tenant) {
            Some(at) => drop(self.absent.swap_remove(at)),
            // someone is always there
            None if self.absent.len() + 1 == TENANTS.len() => return,
            None => self.absent.push(tenant),
        }
        self.tell(&format!("{tenant} comes or leaves"));
        self.provider.turn_tenant(tenant);
    }

    fn pick(&mut self) -> Option<usize> {
        let count = self.living.len() as u64;
        (count > 0).then(|| usize::try_from(self.below(count)).expect("below a length"))
    }

    /// Whether nothing else is in its list.
    fn is_alone(&self, at: usize) -> bool {
        let tenant = |id: &str| id.split_once('|').map(|(tenant, _)| tenant.to_owned());
        let own = tenant(&self.living[at]);
        let shown = self.living.iter().filter(|id| tenant(id) == own && !self.hidden.contains(id));
        shown.count() < 2
    }

    fn create(&mut self, future: TimeDelta) {
        let id = self.next_id();
        self.tell(&format!("{id} is created{}", if future.is_zero() { "" } else { " in the future" }));
        self.provider.create_dated(&id, future);
        self.living.push(id);
    }

    fn create_tied(&mut self) {
        let count = 2 + self.below(MOST_TIES - 1);
        let ids: Vec<_> = (0..count).map(|_| self.next_id()).collect();
        self.tell(&format!("{count} are created at once"));
        self.provider.create_all(ids.clone());
        self.living.extend(ids);
        if self.has(Cap) {
            self.pass(TimeDelta::minutes(10));
        }
    }

    fn create_forbidden(&mut self) {
        self.forbidden += 1;
        let id = self.next_id();
        self.tell(&format!("{id} is created for others"));
        self.provider.create_forbidden(&id);
    }

    fn change(&mut self) {
        let future = match (self.has(Future), self.below(4)) {
            (true, 0) => one_of(&mut self.dice, &[TimeDelta::seconds(90), TimeDelta::hours(1), TimeDelta::days(365 * 70)]),
            _ => TimeDelta::zero(),
        };
        if self.has(Parts) || self.has(Keyset) {
            // no more of them lie within some seconds than one query shows
            self.pass(TimeDelta::seconds(10));
        }
        match self.below(12) {
            0 | 1 if self.has(Returns) && !self.dead.is_empty() => {
                let at = usize::try_from(self.below(self.dead.len() as u64)).expect("below a length");
                let id = self.dead.swap_remove(at);
                self.pass(self.unit.length() + TimeDelta::seconds(1));
                self.tell(&format!("{id} comes back"));
                self.provider.restore(&id);
                self.living.push(id);
            }
            0 => {
                let Some(at) = self.pick() else { return };
                if self.has(Snapshot) && self.is_alone(at) {
                    // an empty list proves nothing
                    return;
                }
                let id = self.living.swap_remove(at);
                self.tell(&format!("{id} is deleted"));
                self.provider.delete(&id);
                self.dead.push(id);
            }
            2..=4 if self.has(Cap) || self.has(Parts) => self.create_tied(),
            5 if self.has(Compared) => {
                let Some(at) = self.pick() else { return };
                let id = self.living[at].clone();
                self.tell(&format!("{id} is updated without a date"));
                self.provider.update_undated(&id);
            }
            1..=5 => {
                let Some(at) = self.pick() else { return };
                let id = self.living[at].clone();
                self.tell(&format!("{id} is updated{}", if future.is_zero() { "" } else { " in the future" }));
                self.provider.update_dated(&id, future);
            }
            6 if self.has(Late) || self.has(Lateness) => {
                let id = self.next_id();
                self.tell(&format!("{id} is created and not listed yet"));
                self.provider.create_hidden(&id);
                self.hidden.push(id);
            }
            6..=7 if self.has(Ties) => self.create_tied(),
            6..=7 if self.has(Short) && self.forbidden < MOST_FORBIDDEN => self.create_forbidden(),
            _ => self.create(future),
        }
    }

    fn pass(&mut self, time: TimeDelta) {
        self.coarsest = self.coarsest.max(self.coarsest_unit());
        self.provider.pass(time);
    }

    fn show_hidden(&mut self) {
        for id in std::mem::take(&mut self.hidden) {
            self.tell(&format!("{id} is listed"));
            self.provider.show(&id);
        }
    }

    /// Time between a poll and the changes after it.
    fn rest_after_poll(&mut self) {
        if self.between_looks() > TimeDelta::seconds(30) {
            self.show_hidden();
        }
        self.pass(TimeDelta::milliseconds(7) + self.between_looks());
    }

    /// Least time between two looks at one object that see two versions.
    fn between_looks(&self) -> TimeDelta {
        let mut time = TimeDelta::zero();
        if self.has(Nodes) {
            // what one object's versions are dated rises, whichever machine stamps them
            time += TimeDelta::seconds(11);
        }
        if self.has(Zone) || self.has(SkewedDate) || self.has(Future) {
            // by a clock that is wrong a unit may seem over when it is not; and polls that follow in less than the interval do not
            // tell that the unit of a date in the future is over
            time += self.unit.length();
        }
        time
    }

    /// Time between changes and the poll after them.
    fn rest_before_poll(&mut self) {
        let unit = self.coarsest.max(self.coarsest_unit());
        let some = [0, 0, 1, 400, 3_000, 20_000, 60_000, 3_600_000, 86_400_000];
        // rows that are late are shown in time
        let reach = if self.has(Late) || self.has(Lateness) { 6 } else { some.len() };
        let time = TimeDelta::milliseconds(one_of(&mut self.dice, &some[..reach]));
        self.pass(time);
        // by a clock that is behind, too, dates are past
        if self.has(Cap) || self.has(Keyset) {
            self.pass(TimeDelta::minutes(10));
        }
        if self.has(Signed) || self.has(JoinedBytes) {
            self.show_hidden();
            // bytes count until the unit of the last date is over on the provider's clock
            let ahead = self.zone.max(TimeDelta::zero()) + (-self.skew).max(TimeDelta::zero());
            self.pass(unit + ahead + TimeDelta::seconds(5));
            self.coarsest = TimeDelta::zero();
        }
        if self.below(2) == 0 || time > TimeDelta::seconds(3) {
            self.show_hidden();
        }
    }

    /// What a date that is stamped now may stand for: one on a whole minute, hour or day may stand for that.
    fn coarsest_unit(&self) -> TimeDelta {
        let clocks: &[i64] = if self.has(Nodes) { &NODES } else { &[0] };
        let stands_for = |clock: &i64| {
            let stamp = self.provider.now() + TimeDelta::seconds(*clock);
            let below_second = if self.unit == Unit::Millisecond { stamp.timestamp_subsec_millis() } else { 0 };
            match (below_second, stamp.second(), stamp.minute(), stamp.hour()) {
                (1.., ..) => self.unit.length(),
                (0, 1.., ..) => TimeDelta::seconds(1),
                (0, 0, 1.., _) => TimeDelta::minutes(1),
                (0, 0, 0, 1..) => TimeDelta::hours(1),
                (0, 0, 0, 0) => TimeDelta::days(1),
            }
        };
        clocks.iter().map(stands_for).max().unwrap_or_default().max(self.unit.length())
    }

    /// Plays the world through. The error is all that there is to read.
    pub fn play(mut self) -> Result<(), String> {
        self.first_poll()?;
        for _ in 0..TURNS {
            for _ in 0..self.below(9) {
                self.change();
            }
            if self.has(Parents) && self.below(3) == 0 {
                self.turn_tenant();
            }
            if self.has(Expiry) && self.below(3) == 0 {
                self.tell("tokens expire");
                self.provider.forget_tokens();
                self.expired = true;
            }
            self.rest_before_poll();
            self.before_poll();
            if self.has(Kills) && self.below(3) == 0 {
                self.kill();
            } else {
                self.poll()?;
            }
            self.rest_after_poll();
        }
        self.show_hidden();
        while let Some(tenant) = self.absent.pop() {
            self.provider.turn_tenant(tenant);
        }
        self.pass(TimeDelta::seconds(1));
        for _ in 0..self.polls_at_end() {
            self.calm_poll()?;
        }
        self.judge("at the end")?;
        self.calm_poll()?;
        self.judge("one poll later")
    }

    /// Polls after which all that can be known is known.
    fn polls_at_end(&self) -> usize {
        match () {
            // what was refused is tried, and what follows it
            () if self.has(Refused) || self.has(Lost) => 6,
            // absent twice, and after a sweep that did not settle once more
            () if self.has(Snapshot) => 3,
            () => 1,
        }
    }

    fn first_poll(&mut self) -> Result<(), String> {
        if self.has(Errors) && self.below(2) == 0 {
            // an answer of errors alone is no baseline
            self.provider.err_after(0, one_of(&mut self.dice, &ErrorForm::ALL));
            self.one_poll(true)?;
        }
        let before = self.provider.listed();
        let row = self.one_poll(false)?;
        if self.has(Earliest) {
            self.saw(&before);
        } else {
            self.provider.found_at_first();
            self.seen.extend(before.into_keys());
        }
        if row.failed() { Err(self.failed("the first poll failed", Some(&row))) } else { Ok(()) }
    }

    /// A poll that went well saw what is listed and was listed before it.
    fn saw(&mut self, before: &Listed) {
        if self.has(Refused) || self.has(Lost) {
            // what was not taken may come later, or its next version instead
            return;
        }
        // one sweep that does not show a record proves nothing yet
        let mut proven = before.clone();
        if self.has(Snapshot) {
            proven.retain(|_, version| *version < i64::MAX);
        }
        self.provider.polled(&proven);
        let is_same = |(id, version): (String, i64)| (version < i64::MAX && before.get(&id) == Some(&version)).then_some(id);
        self.seen.extend(self.provider.listed().into_iter().filter_map(is_same));
        self.expired = false;
    }

    /// What is due is due now.
    fn before_poll(&mut self) {
        if self.has(Refused) || self.has(Lost) {
            self.polls.age();
        }
        if self.expired {
            // the whole list does not show them
            self.untraced.extend(self.dead.iter().cloned());
        }
    }

    /// A poll that may be disturbed.
    fn poll(&mut self) -> Result<(), String> {
        if (self.has(FullSweep) || self.has(Snapshot)) && self.below(3) == 0 {
            self.polls.forget_sweep();
        }
        let will_err = self.has(Errors) && self.below(3) == 0;
        if will_err {
            let pages = usize::try_from(self.below(2)).expect("small");
            let form = one_of(&mut self.dice, &ErrorForm::ALL);
            self.tell(&format!("an error after {pages} pages: {}", form.body()));
            self.provider.err_after(pages, form);
        }
        let mut changes = self.plan_churn();
        let churns = !changes.is_empty();
        self.provider.after_page(move |_| changes.pop().unwrap_or_default());
        if self.has(Refused) || self.has(Lost) {
            let misbehaves = self.below(2) == 0;
            self.misbehaves.store(misbehaves, Ordering::SeqCst);
            self.died |= misbehaves && self.has(Lost);
        }
        let (before, changes) = (self.provider.listed(), self.provider.changes());
        let row = self.one_poll(will_err || churns)?;
        self.misbehaves.store(false, Ordering::SeqCst);
        self.provider.after_page(|_| Vec::new());
        if row.failed() {
            return Ok(());
        }
        self.saw(&before);
        // in a retry queue a later event takes the place of an earlier one
        if self.has(Feed) && !self.has(Lost) {
            self.provider.polled_changes(changes);
        }
        if churns || self.has(Refused) || self.has(Lost) { Ok(()) } else { self.judge(AFTER_A_POLL) }
    }

    /// Updates between pages: what happens after each of the first ones.
    fn plan_churn(&mut self) -> Vec<Vec<Change>> {
        let mut changes = Vec::new();
        if self.has(Churn) && self.below(2) == 0 {
            for _ in 0..=self.below(3) {
                if let Some(at) = self.pick() {
                    let id = self.living[at].clone();
                    self.tell(&format!("{id} is updated between two pages"));
                    changes.push(vec![Change::Pass(self.between_looks()), Change::Update(id)]);
                }
            }
        }
        changes
    }

    /// A poll that nothing disturbs.
    fn calm_poll(&mut self) -> Result<(), String> {
        self.before_poll();
        if self.has(Snapshot) {
            self.polls.forget_sweep();
        }
        let (before, changes) = (self.provider.listed(), self.provider.changes());
        self.one_poll(false)?;
        self.saw(&before);
        if self.has(Feed) && !self.has(Lost) {
            self.provider.polled_changes(changes);
        }
        Ok(())
    }

    fn one_poll(&mut self, may_loop: bool) -> Result<Row, String> {
        let (asked, sent) = (self.provider.asked(), self.receiver.count());
        self.provider.take_errors();
        let row = self.polls.poll();
        let posts: Vec<_> = self.receiver.behind(sent).iter().flat_map(said).collect();
        let (asked, sent) = (self.provider.asked() - asked, posts.len());
        let errors = self.provider.take_errors();
        let told_error = errors.told > errors.repeated;
        let of_resources = row.resources.iter().flat_map(|resource| &resource.conditions);
        let reasons: Vec<_> = of_resources.map(|condition| condition.reason.as_str()).collect();
        self.tell(&format!("poll: {asked} requests, {sent} sent, {} {} {}", row.ready, row.reason, reasons.join(" ")));
        let targets =
            self.provider.look(|asks| asks[asks.len() - asked..].iter().map(|ask| ask.target.clone()).collect::<Vec<_>>());
        let _ = writeln!(self.story, "    {}\n    {}", targets.join("\n    "), posts.join("\n    "));
        // rows that move by a whole page show it again, which is told from a loop by the next poll
        let may_loop = may_loop && row.tells("PaginationLoop");
        // what is refused is told as the failure that it is
        let may_fail = may_loop || self.has(Refused) || self.has(Lost);
        match (told_error, row.failed()) {
            (true, false) => Err(self.failed("an error in a 200 was taken for a good answer", Some(&row))),
            (false, true) if !may_fail => Err(self.failed("a poll failed without a fault", Some(&row))),
            _ => Ok(row),
        }
    }

    fn kill(&mut self) {
        let posts = usize::try_from(1 + self.below(4)).expect("small");
        let sent = self.receiver.count();
        self.polls.poll_and_die(&self.provider, &self.receiver, posts);
        self.died = true;
        self.tell(&format!("poll that dies: {} sent", self.receiver.count() - sent));
    }

    fn judge(&mut self, when: &str) -> Result<(), String> {
        self.read_delivered();
        let mut verdict = oracle::judge(&self.provider.truth(), &self.delivered, provider::version);
        let is_deleted = |missing: &str| missing.strip_suffix(" deleted").map(str::to_owned);
        verdict.missing.retain(|missing| {
            let id = missing.split(' ').next().unwrap_or_default();
            let is_hidden = || self.hidden.iter().any(|hidden| hidden == id);
            let is_absent = || id.split_once('|').is_some_and(|(tenant, _)| self.absent.contains(&tenant));
            let is_untraced = |id: String| {
                // of what no poll saw there is no trace, and of the rest there is one after some sweeps
                let leaves_none = self.has(Snapshot) && (!self.seen.contains(&id) || when == AFTER_A_POLL);
                // the first reading of a list announces nothing that is deleted
                let was_never_listed = self.has(Parents) && !self.seen.contains(&id);
                leaves_none || was_never_listed || self.untraced.contains(&id)
            };
            !(is_hidden() || is_absent() || is_deleted(missing).is_some_and(is_untraced))
        });
        if [Cap, Parts, Keyset, Churn, Future, Errors, Refused, Parents].iter().any(|switch| self.has(*switch)) {
            // what was created long before it is seen, or is dated so, may be called updated: the dates decide
            verdict.wrong_kinds.retain(|wrong| wrong.starts_with("Created"));
        }
        if self.has(Returns) {
            // that it was deleted is forgotten with its date
            verdict.wrong_kinds.retain(|wrong| !wrong.starts_with("Updated"));
        }
        let is_right = if self.died { self.is_sound(&mut verdict) } else { verdict.is_perfect() };
        if is_right { Ok(()) } else { Err(self.failed(&format!("{when}:\n{verdict}"), None)) }
    }

    /// Reads what the receiver got of the records since this was last called.
    fn read_delivered(&mut self) {
        let posts = self.receiver.behind(self.read);
        self.read += posts.len();
        let is_lost = self.has(Lost);
        for post in posts.iter().filter(|post| post.accepted() || is_lost && post.status.is_none()) {
            let about: About = serde_json::from_slice(&post.ask.body).expect("an event is JSON");
            if about.resource != "records" {
                continue;
            }
            for mut event in post.events() {
                event.data = provider::stable(&event.data);
                if let Some(parent) = &about.parent {
                    event.object = format!("{parent}|{}", event.object);
                }
                self.delivered.push(event);
            }
        }
    }

    /// What a crash may cost: events that come again, by another id only where their bytes differ.
    fn is_sound(&self, verdict: &mut Verdict) -> bool {
        if self.has(Signed) || self.has(JoinedBytes) {
            verdict.conflicts.clear();
            verdict.wrong_kinds.retain(|wrong| !wrong.starts_with("Created"));
        }
        verdict.is_sound()
    }

    fn failed(&self, why: &str, row: Option<&Row>) -> String {
        let row = row.map_or(String::new(), |row| format!("\n{row:?}"));
        let names: Vec<_> = self.on.iter().map(|switch| switch.name()).collect();
        format!("seed {} with {}: {why}{row}\n{}", self.seed, names.join(", "), self.story)
    }
}
