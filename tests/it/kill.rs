//! `kill -9` at bad moments: nothing is lost, and what comes twice says so.

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use crate::rig;
use crate::rig::manifest::Instance;
use crate::rig::pollinator::Site;
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::traffic::{Dice, Traffic};

/// Lanes run side by side, each with its own provider, receiver and process.
const LANES: u64 = 4;

#[test]
fn nothing_is_lost_to_kills_at_random_moments() {
    let kills: u64 = env::var("POLLINATOR_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(52);
    let seed: u64 = env::var("POLLINATOR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    thread::scope(|scope| {
        for lane in 0..LANES {
            scope.spawn(move || run_lane(kills.div_ceil(LANES), seed + lane));
        }
    });
}

fn run_lane(kills: u64, seed: u64) {
    let provider = Provider::start().page_size(50);
    provider.baseline((0..10).map(|n| format!("base-{n}")));
    let receiver = Receiver::start();
    // two of three lanes send batches
    let (format, batch) = match seed % 3 {
        0 => ("format: OpenConnectors", 10),
        1 => ("format: CloudEvents", 1),
        _ => ("batch: {maxEvents: 20}", 20),
    };
    // and every other pair of lanes trusts the order, so that the cursor moves page by page
    let order = if (seed / 2).is_multiple_of(2) { "order: Ascending" } else { "order: Unordered" };
    let instance =
        Instance::new("killed", &provider.url(), &receiver.url("killed")).basic_auth().callback(format).and_resource(order);
    let site = Site::new(&[instance.yaml()]);
    let mut dice = Dice::new(seed);
    let mut traffic = Traffic::new(seed);
    let mut records = &provider;

    let mut repeated = 0;
    let mut pollinator = site.start();
    pollinator.wait_ready("killed");
    for kill in 0..kills {
        // now and then more than may be repeated, so that a commit must fall into the middle of it
        let changes = if kill % 5 == 4 { 900 } else { 40 + dice.below(160) };
        traffic.run(&mut records, usize::try_from(changes).unwrap());
        let (posts, asks) = (receiver.count(), provider.asked());
        // a moment: the n-th event arrives, the n-th page is asked for, or just some time later
        let limit = Duration::from_secs(10);
        match dice.below(4) {
            0..=1 => {
                let more = usize::try_from(dice.below(changes) / batch).unwrap();
                receiver.try_wait("killed", limit, |seen| (seen.len() > posts + more).then_some(()));
            }
            2 => {
                let more = 1 + usize::try_from(dice.below(4)).unwrap();
                provider.try_wait_asked(asks + more, limit);
                thread::park_timeout(Duration::from_micros(dice.below(20_000)));
            }
            _ => pass(Duration::from_millis(dice.below(6_000))),
        }
        pollinator.kill9();
        let verdict = rig::oracle::judge(&provider.truth(), &receiver.delivered("killed"), provider::version);
        let more = verdict.duplicates.len() - repeated;
        assert!(more <= 256, "seed {seed}: kill {kill} cost {more} duplicates");
        repeated = verdict.duplicates.len();
        pollinator = site.start();
    }
    let verdict = rig::settle(&receiver, "killed", || provider.truth(), provider::version);
    assert!(verdict.is_sound(), "seed {seed}:\n{verdict}\n{}", pollinator.report("killed"));
    // and from here on, without a fault, nothing comes twice
    repeated = verdict.duplicates.len();
    provider.wait_polled(2);
    traffic.run(&mut records, 50);
    let verdict = rig::settle(&receiver, "killed", || provider.truth(), provider::version);
    assert!(verdict.is_sound(), "seed {seed}:\n{verdict}\n{}", pollinator.report("killed"));
    assert_eq!(verdict.duplicates.len(), repeated, "seed {seed}: duplicates without a fault");
    assert!(pollinator.sigterm().success(), "SIGTERM ends it cleanly");
}

/// Lets time pass: the moment of a kill, not a wait for something.
fn pass(time: Duration) {
    let deadline = Instant::now() + time;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}
