//! Random worlds: a provider with random habits, random changes, polls, errors and deaths, always with the same rule. Every version
//! that was an object's latest while a poll went well comes exactly once (at least once where a process died), in the order of the
//! object's versions, never `created` for what is known, and nothing else comes; a poll that was told of an error says so.
//!
//! `POLLINATOR_INTERLEAVINGS` is the number of worlds of each test, `POLLINATOR_SEED` the first one; `POLLINATOR_SWITCHES` names the
//! only habits there may be, `POLLINATOR_WITHOUT` those that there may not, by commas; of so many failures as `POLLINATOR_SHOWN` says all is told.

mod switches;
mod world;

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::rig::in_process::Lane;
use crate::rig::traffic::Dice;
use crate::rig::turns;
use switches::Switch;
use world::World;

/// Worlds that are played at the same time.
const LANES: usize = 3;
/// Failures of which all is told.
const SHOWN: u64 = 3;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// Plays worlds, and fails with what happened in those that went wrong.
fn play(worlds: u64, switches: impl Fn(u64) -> Vec<Switch> + Sync) {
    turns::take();
    let first = number("POLLINATOR_SEED").unwrap_or(1);
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let lane = Lane::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + worlds {
                        return;
                    }
                    let on = switches(seed);
                    if let Err(why) = World::new(seed, &on, &lane).play() {
                        failed.lock().unwrap().push((seed, on, why));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, ..)| *seed);
    let seeds: Vec<_> = failed.iter().map(|(seed, on, _)| format!("{seed} {on:?}")).collect();
    let shown = usize::try_from(number("POLLINATOR_SHOWN").unwrap_or(SHOWN)).unwrap();
    let told: Vec<_> = failed.iter().take(shown).map(|(.., why)| why.as_str()).collect();
    assert!(
        failed.is_empty(),
        "{} of {worlds} worlds from seed {first} on went wrong:\n{}\n\n{}",
        failed.len(),
        seeds.join("\n"),
        told.join("\n\n")
    );
}

#[test]
fn each_habit_alone_loses_and_repeats_nothing() {
    let switches = switches::admitted();
    let rounds = number("POLLINATOR_INTERLEAVINGS").unwrap_or(60).div_ceil(switches.len().max(1) as u64).max(1);
    let count = switches.len() as u64;
    play(rounds * count, |seed| vec![switches[usize::try_from(seed % count).unwrap()]]);
}

#[test]
fn habits_together_lose_and_repeat_nothing() {
    play(number("POLLINATOR_INTERLEAVINGS").unwrap_or(120), |seed| {
        switches::draw(&mut Dice::new(seed ^ 0x5EED), switches::admitted())
    });
}

#[test]
fn an_everyday_provider_loses_and_repeats_nothing() {
    play(number("POLLINATOR_INTERLEAVINGS").unwrap_or(20), |_| Vec::new());
}
