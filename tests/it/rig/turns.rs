//! Tests take turns: how many run at once follows from what the machine has left.
//!
//! Most of what these tests do is wait, for polls that are seconds apart; so more of them than cores can run at once, and how many
//! more depends on what else the machine does. A fixed number of threads is either too few on a quiet machine, or too many on a busy
//! one, where whole clusters then wait for each other until somebody's patience ends. So the runner has threads to spare
//! (`.cargo/config.toml`), and a test that starts a server or a process waits here for its turn: a few always run, and another one
//! starts only while the processors have been idle for a part of the last second. A test with a cluster counts as several that only wait
//! for a local process ([`Weight`]). First come, first served, so that clusters and light tests mix. A test that starts nothing takes no
//! turn.
//!
//! A turn belongs to the thread of the test, which libtest names after it, and ends with that thread. Threads that a test starts
//! share its turn; they have no name, and taking is nothing for them. A test that waits for something that another test holds gives its
//! turn back meanwhile ([`without`]). So no one who has a turn waits for another.
//!
//! `POLLINATOR_TURNS` names a file to which each test, when its turn is over, appends a line: how long it waited for its turn, how long it
//! had it, both in seconds, how busy the machine was meanwhile, in percent, and its name.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::Write as _;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::control_plane;

/// While those that run weigh less than this for each core, another one starts however busy the machine is.
const ALWAYS_PER_CORE: usize = 6;
/// While those that run weigh this for each core, none starts however idle it is: memory, ports and the one control plane are shared, too.
const MOST_PER_CORE: usize = 10;
/// Beyond those that always run, one starts only when the last has shown what it costs.
const SETTLING: Duration = Duration::from_millis(500);
/// What was busy is counted over this time.
const WINDOW: Duration = Duration::from_secs(1);
/// Another test starts while less than this share of the processors' time was used, in percent.
const BUSY: u64 = 65;

/// What a test costs while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It waits for a local process most of the time.
    Light = 1,
    /// It makes an API server work, and often several processes.
    Cluster = 3,
    /// The same with hundreds of instances.
    Fleet = 9,
}

static TURNS: Turns = Turns { state: Mutex::new(State::new()), change: Condvar::new() };

struct Turns {
    state: Mutex<State>,
    change: Condvar,
}

thread_local! {
    static MINE: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Waits until the test of this thread may run. Once it may, it may until it ends.
pub fn take() {
    take_as(Weight::Light);
}

/// The same for a test with a cluster.
pub fn take_with_cluster() {
    take_as(Weight::Cluster);
}

/// The same for a test with a cluster of so many instances that it measures what runs beside it.
pub fn take_with_fleet() {
    take_as(Weight::Fleet);
}

fn take_as(weight: Weight) {
    let is_test = thread::current().name().is_some_and(|name| name.contains("::"));
    if !is_test {
        return;
    }
    if MINE.with_borrow(Option::is_none) {
        build_tools_first();
        let turn = TURNS.wait(weight, State::enter);
        MINE.set(Some(turn));
    } else {
        // one that runs and turns out to be heavier does not wait for others: they may wait for it
        MINE.with_borrow_mut(|mine| mine.iter_mut().for_each(|turn| turn.grow(weight)));
    }
}

/// Waits for something that another test holds. Meanwhile the turn of this thread is given back; then it is the next to get one, since
/// others may wait for what it holds now.
pub fn without<R>(wait: impl FnOnce() -> R) -> R {
    let had = MINE.take().map(|turn| turn.weight);
    let result = wait();
    if let Some(weight) = had {
        MINE.set(Some(TURNS.wait(weight, State::enter_first)));
    }
    result
}

/// Where all tests run, the control plane's tools are built before the first of them waits for anything: on a fresh machine that is some
/// minutes of every processor. Where some run, those that want the tools build them.
fn build_tools_first() {
    static TOOLS: Once = Once::new();
    let runs_all = env::args().skip(1).all(|argument| argument.starts_with('-'));
    if runs_all {
        // what is missing, each test that wants it says
        TOOLS.call_once(|| drop(control_plane::build_tools()));
    }
}

/// Given back when its thread ends.
struct Turn {
    weight: Weight,
    entered: Instant,
    started: Instant,
    /// What the processors had done when it started.
    before: Option<Sample>,
}

impl Turn {
    fn grow(&mut self, weight: Weight) {
        if weight > self.weight {
            TURNS.state.lock().running += weight as usize - self.weight as usize;
            self.weight = weight;
        }
    }

    /// A line of the file that `POLLINATOR_TURNS` names.
    fn line(&self) -> String {
        let (waited, had) = ((self.started - self.entered).as_secs_f64(), self.started.elapsed().as_secs_f64());
        let busy = self.before.and_then(|before| Some(Sample::read(cores())?.busy_since(before).to_string()));
        let thread = thread::current();
        format!("{waited:.1}\t{had:.1}\t{}\t{}\n", busy.unwrap_or_default(), thread.name().unwrap_or_default())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.state.lock().running -= self.weight as usize;
        TURNS.change.notify_all();
        if let Some(path) = env::var_os("POLLINATOR_TURNS") {
            let file = fs::File::options().create(true).append(true).open(path);
            if let Err(error) = file.and_then(|mut file| file.write_all(self.line().as_bytes())) {
                eprintln!("POLLINATOR_TURNS: {error}");
            }
        }
    }
}

impl Turns {
    fn wait(&self, weight: Weight, enter: impl FnOnce(&mut State) -> u64) -> Turn {
        let entered = Instant::now();
        let cores = cores();
        let mut state = self.state.lock();
        let ticket = enter(&mut state);
        while !state.may_start(ticket, weight, Instant::now(), cores, || Sample::read(cores)) {
            // whoever ends says so; that the machine became idle, nobody does
            self.change.wait_for(&mut state, SETTLING / 4);
        }
        drop(state);
        self.change.notify_all();
        Turn { weight, entered, started: Instant::now(), before: Sample::read(cores) }
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Who runs and who waits.
struct State {
    /// What those that run weigh.
    running: usize,
    next_ticket: u64,
    waiting: VecDeque<u64>,
    last_start: Option<Instant>,
    samples: VecDeque<(Instant, Sample)>,
}

impl State {
    const fn new() -> Self {
        Self { running: 0, next_ticket: 0, waiting: VecDeque::new(), last_start: None, samples: VecDeque::new() }
    }

    fn enter(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back(ticket);
        ticket
    }

    fn enter_first(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_front(ticket);
        ticket
    }

    /// Whether the holder of `ticket` starts now. `read` says what the processors did so far; `None`: nobody can tell.
    fn may_start(
        &mut self,
        ticket: u64,
        weight: Weight,
        now: Instant,
        cores: usize,
        read: impl FnOnce() -> Option<Sample>,
    ) -> bool {
        if self.samples.back().is_none_or(|(at, _)| now >= *at + SETTLING / 4) {
            self.samples.extend(read().map(|sample| (now, sample)));
            // the newest that is a window old, and all since
            while self.samples.get(1).is_some_and(|(at, _)| now >= *at + WINDOW) {
                self.samples.pop_front();
            }
        }
        if self.waiting.front() != Some(&ticket) {
            return false;
        }
        let starts = match self.running {
            few if few < ALWAYS_PER_CORE * cores => true,
            some if some < MOST_PER_CORE * cores => {
                self.last_start.is_none_or(|at| now >= at + SETTLING) && self.busy(now).is_some_and(|busy| busy < BUSY)
            }
            _ => false,
        };
        if starts {
            self.waiting.pop_front();
            self.running += weight as usize;
            self.last_start = Some(now);
        }
        starts
    }

    /// The share of the processors' time that was used in the last window, in percent; `None` until one was seen.
    fn busy(&self, now: Instant) -> Option<u64> {
        let ((first, from), (_, to)) = (self.samples.front()?, self.samples.back()?);
        (now >= *first + WINDOW).then(|| to.busy_since(*from))
    }
}

/// What the processors did since the machine started, in ticks.
#[derive(Clone, Copy)]
struct Sample {
    idle: u64,
    all: u64,
}

impl Sample {
    /// From `/proc/stat` (proc(5)). `None` where there is none, or where it counts processors that this process may not use.
    fn read(cores: usize) -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, cores)
    }

    fn parse(stat: &str, cores: usize) -> Option<Self> {
        let counted = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
        let ticks: Vec<u64> =
            stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|word| word.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of user and nice
        let (idle, all) = (ticks.get(3)? + ticks.get(4)?, ticks.iter().take(8).sum());
        (counted == cores).then_some(Self { idle, all })
    }

    fn busy_since(self, earlier: Self) -> u64 {
        let all = self.all.saturating_sub(earlier.all);
        let idle = self.idle.saturating_sub(earlier.idle);
        100 - (100 * idle).checked_div(all).unwrap_or(0).min(100)
    }
}

mod tests {
    use super::*;

    const STAT: &str = "cpu  10 0 10 70 10 0 0 0 5 5\ncpu0 5 0 5 35 5 0 0 0 0 0\ncpu1 5 0 5 35 5 0 0 0 5 5\nintr 1 2\n";

    #[test]
    fn the_first_line_counts_all_processors() {
        let read = Sample::parse(STAT, 2).unwrap();
        assert_eq!((read.idle, read.all), (80, 100));
        assert!(Sample::parse(STAT, 1).is_none(), "processors of others");
        assert!(Sample::parse("", 2).is_none());
    }

    #[test]
    fn a_few_always_run_and_more_where_the_machine_is_idle() {
        for (idle_of_ten, weight, expected) in
            [(1, Weight::Light, 12), (1, Weight::Cluster, 4), (5, Weight::Light, 20), (5, Weight::Cluster, 7)]
        {
            let (mut state, mut now) = (State::new(), Instant::now());
            let mut clock = 0;
            let tickets: Vec<_> = (0..40).map(|_| state.enter()).collect();
            assert!(!state.may_start(tickets[1], weight, now, 2, || None), "out of order");
            let mut next = tickets.into_iter().peekable();
            for _ in 0..400 {
                now += SETTLING / 4;
                clock += 10;
                let sample = || Some(Sample { idle: clock * idle_of_ten / 10, all: clock });
                if state.may_start(*next.peek().unwrap(), weight, now, 2, sample) {
                    next.next();
                }
            }
            assert_eq!(state.running, expected * weight as usize);
        }
    }

    #[test]
    fn where_nobody_can_tell_only_a_few_run() {
        let (mut state, now) = (State::new(), Instant::now());
        let tickets: Vec<_> = (0..9).map(|_| state.enter()).collect();
        let started = tickets.into_iter().filter(|ticket| state.may_start(*ticket, Weight::Cluster, now, 1, || None)).count();
        assert_eq!(started, 2);
        state.running -= 1;
        assert!(state.may_start(*state.waiting.front().unwrap(), Weight::Light, now, 1, || None));
    }

    #[test]
    fn who_waited_without_a_turn_is_the_next() {
        let mut state = State::new();
        let (later, first) = (state.enter(), state.enter_first());
        assert!(!state.may_start(later, Weight::Light, Instant::now(), 1, || None));
        assert!(state.may_start(first, Weight::Light, Instant::now(), 1, || None));
        assert!(state.may_start(later, Weight::Light, Instant::now(), 1, || None));
    }

    #[test]
    fn a_test_that_waits_for_another_gives_its_turn_back() {
        take();
        assert!(without(|| MINE.with_borrow(Option::is_none)));
        assert!(MINE.with_borrow(Option::is_some));
    }

    #[test]
    fn threads_of_a_test_share_its_turn() {
        take();
        assert!(MINE.with_borrow(Option::is_some));
        let has_its_own = thread::scope(|scope| {
            let lane = scope.spawn(|| {
                take();
                MINE.with_borrow(Option::is_some)
            });
            lane.join().unwrap()
        });
        assert!(!has_its_own);
    }
}
