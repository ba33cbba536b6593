//! One random world: a provider with some habits, an instance, and what happens to them in turns.

use std::fmt::Write as _;

use chrono::{DurationRound as _, TimeDelta, Timelike as _, Utc};

use super::switches::Switch::{self, *};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::{self, Delivered, Verdict};
use crate::rig::pollinator::Row;
use crate::rig::provider::habits::{EmptyForm, ErrorForm, Filter, Repeats, Tombstone};
use crate::rig::provider::paging::{End, Paging};
use crate::rig::provider::stamps::{DateHeader, Form, Sentinel, Unit};
use crate::rig::provider::{self, Change, Listing, Provider};
use crate::rig::receiver::Receiver;
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
    page_size: u64,
    /// Records that may be changed.
    living: Vec<String>,
    /// Records that are not listed yet.
    hidden: Vec<String>,
    forbidden: u64,
    born: u64,
    /// A process died: what is repeated has the same id, unless its bytes differ.
    died: bool,
    /// What happened, for a person.
    story: String,
}

fn one_of<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    all[usize::try_from(dice.below(all.len() as u64)).expect("below a length")]
}

impl World {
    pub fn new(seed: u64, on: &[Switch]) -> Self {
        let mut dice = Dice::new(seed);
        let has = |switch| on.contains(&switch);
        let page_size = match () {
            () if has(Cap) || has(Parts) => 10,
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
            () if has(Ascending) || has(Cap) => Listing::Ascending,
            () if has(Descending) || has(Pinned) => Listing::Descending,
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
        if has(Unfiltered) || has(Content) || has(Pinned) {
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

        let receiver = Receiver::start();
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
        for (switch, line) in [
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
        let mut instance = Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().resource(&resource);
        if has(Earliest) {
            instance = instance.earliest();
        }
        let yaml = instance.yaml();
        let polls = Polls::new(std::slice::from_ref(&yaml));
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
            page_size,
            living: Vec::new(),
            hidden: Vec::new(),
            forbidden: 0,
            born: 0,
            died: false,
            story: yaml,
        };
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
            self.provider.create_dated(&id, TimeDelta::hours(-hours));
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
        format!("{:02x}-{}", self.below(256), self.born)
    }

    fn pick(&mut self) -> Option<usize> {
        let count = self.living.len() as u64;
        (count > 0).then(|| usize::try_from(self.below(count)).expect("below a length"))
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
        if self.has(Parts) {
            // no more of them lie within some seconds than one query shows
            self.pass(TimeDelta::seconds(10));
        }
        match self.below(12) {
            0 => {
                let Some(at) = self.pick() else { return };
                let id = self.living.swap_remove(at);
                self.tell(&format!("{id} is deleted"));
                self.provider.delete(&id);
            }
            2..=4 if self.has(Cap) || self.has(Parts) => self.create_tied(),
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
        let unit = self.coarsest_unit();
        let some = [0, 0, 1, 400, 3_000, 20_000, 60_000, 3_600_000, 86_400_000];
        // rows that are late are shown in time
        let reach = if self.has(Late) || self.has(Lateness) { 6 } else { some.len() };
        let time = TimeDelta::milliseconds(one_of(&mut self.dice, &some[..reach]));
        self.pass(time);
        if self.has(Cap) {
            self.pass(TimeDelta::minutes(10));
        }
        if self.has(Signed) || self.has(JoinedBytes) {
            self.show_hidden();
            // bytes count until the unit of the last date is over on the provider's clock
            let ahead = self.zone.max(TimeDelta::zero()) + (-self.skew).max(TimeDelta::zero());
            self.pass(unit + ahead + TimeDelta::seconds(5));
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
            self.rest_before_poll();
            if self.has(Kills) && self.below(3) == 0 {
                self.kill();
            } else {
                self.poll()?;
            }
            self.rest_after_poll();
        }
        self.show_hidden();
        self.pass(TimeDelta::seconds(1));
        self.calm_poll()?;
        self.judge("at the end")?;
        self.calm_poll()?;
        self.judge("one poll later")
    }

    fn first_poll(&mut self) -> Result<(), String> {
        if self.has(Errors) && self.below(2) == 0 {
            // an answer of errors alone is no baseline
            self.provider.err_after(0, one_of(&mut self.dice, &ErrorForm::ALL));
            self.one_poll(true)?;
        }
        let row = self.one_poll(false)?;
        if self.has(Earliest) {
            self.provider.polled(&self.provider.listed());
        } else {
            self.provider.found_at_first();
        }
        if row.failed() { Err(self.failed("the first poll failed", Some(&row))) } else { Ok(()) }
    }

    /// A poll that may be disturbed.
    fn poll(&mut self) -> Result<(), String> {
        if self.has(FullSweep) && self.below(3) == 0 {
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
        let before = self.provider.listed();
        let row = self.one_poll(will_err || churns)?;
        self.provider.after_page(|_| Vec::new());
        if row.failed() {
            return Ok(());
        }
        self.provider.polled(&before);
        if churns { Ok(()) } else { self.judge("after a poll") }
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
        let before = self.provider.listed();
        self.one_poll(false)?;
        self.provider.polled(&before);
        Ok(())
    }

    fn one_poll(&mut self, may_fail: bool) -> Result<Row, String> {
        let (asked, sent) = (self.provider.asked(), self.receiver.count());
        self.provider.take_errors();
        let row = self.polls.poll();
        let (asked, sent) = (self.provider.asked() - asked, self.receiver.count() - sent);
        let errors = self.provider.take_errors();
        let told_error = errors.told > errors.repeated;
        self.tell(&format!("poll: {asked} requests, {sent} sent, {} {}", row.ready, row.reason));
        // rows that move by a whole page show it again, which is told from a loop by the next poll
        let may_loop = may_fail && row.tells("PaginationLoop");
        match (told_error, row.failed()) {
            (true, false) => Err(self.failed("an error in a 200 was taken for a good answer", Some(&row))),
            (false, true) if !may_loop => Err(self.failed("a poll failed without a fault", Some(&row))),
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
        let mut delivered: Vec<Delivered> = self.receiver.delivered("it");
        for event in &mut delivered {
            event.data = provider::stable(&event.data);
        }
        let mut verdict = oracle::judge(&self.provider.truth(), &delivered, provider::version);
        if !self.hidden.is_empty() {
            verdict.missing.retain(|missing| !self.hidden.iter().any(|id| missing.split(' ').next() == Some(id)));
        }
        if [Cap, Parts, Churn, Future, Errors].iter().any(|switch| self.has(*switch)) {
            // what was created long before it is seen, or is dated so, may be called updated: the dates decide
            verdict.wrong_kinds.retain(|wrong| wrong.starts_with("Created"));
        }
        let is_right = if self.died { self.is_sound(&mut verdict) } else { verdict.is_perfect() };
        if is_right { Ok(()) } else { Err(self.failed(&format!("{when}:\n{verdict}"), None)) }
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
