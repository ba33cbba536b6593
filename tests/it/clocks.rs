//! The wall clock is set while a process runs, and a process sleeps: nothing is lost or repeated, and the rhythm is kept.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::rig::clock::Clock;
use crate::rig::control_plane::shared;
use crate::rig::counted::assert_counted;
use crate::rig::operator::Cluster;
use crate::rig::pollinator::Pollinator;
use crate::rig::provider::Provider;
use crate::rig::scene::Scene;

const INTERVAL: Duration = Duration::from_secs(5);

/// Waits for polls that find nothing, which must not come in a burst.
fn assert_keeps_rhythm(provider: &Provider, since: Instant, what: &str) {
    provider.wait_polled(3);
    let asks: Vec<_> = provider.asks().iter().map(|ask| ask.at).filter(|at| *at > since).collect();
    let gaps: Vec<_> = asks.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap > INTERVAL / 3), "{what}: {gaps:?}");
}

/// Waits until a process has noticed this many steps of its clock.
fn wait_noticed(process: &Pollinator, steps: usize) {
    let deadline = Instant::now() + crate::rig::PATIENCE;
    while process.stderr().matches("the wall clock was changed").count() < steps {
        assert!(Instant::now() < deadline, "step {steps} is not noticed\n{}", process.stderr());
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// How far ahead the clock is, one after the other: it is set forth and back by an hour and by days.
fn steps() -> [TimeDelta; 4] {
    [TimeDelta::hours(1), TimeDelta::zero(), TimeDelta::days(2), TimeDelta::days(-1)]
}

#[test]
fn a_clock_that_is_set_and_a_process_that_sleeps_lose_and_repeat_nothing() {
    let scene = Scene::new();
    let Some(clock) = Clock::new(scene.site.path()) else { return };
    let mut command = scene.site.command();
    command.args(["--listen", "127.0.0.1:0"]);
    let pollinator = scene.site.spawn(clock.rule(command));
    pollinator.wait_ready("it");
    scene.provider.create("before");
    scene.assert_perfect(&pollinator);
    for (number, ahead) in steps().into_iter().enumerate() {
        clock.set(ahead);
        wait_noticed(&pollinator, number + 1);
        assert_keeps_rhythm(&scene.provider, Instant::now(), &format!("{ahead} ahead"));
        scene.provider.create(&format!("at-{number}"));
        scene.assert_perfect(&pollinator);
    }
    // The cursor is a time of the provider, which nobody has set.
    let row = pollinator.wait_for("it", "all are delivered", |row| row.delivered == 1 + steps().len() as u64);
    let cursor: DateTime<Utc> = row.resources[0].cursor.as_deref().expect("a cursor").parse().expect("RFC 3339");
    assert!((scene.provider.now() - cursor).abs() < TimeDelta::hours(1), "{cursor}");

    // While it sleeps, several polls are missed, and are made up for by one.
    pollinator.signal("STOP");
    let asleep = Instant::now();
    while let Some(left) = (3 * INTERVAL).checked_sub(asleep.elapsed()) {
        std::thread::park_timeout(left);
    }
    let awake = Instant::now();
    pollinator.signal("CONT");
    assert_keeps_rhythm(&scene.provider, awake, "awake");
    scene.provider.create("after");
    scene.assert_perfect(&pollinator);
}

#[test]
fn a_clock_that_is_set_costs_an_operator_no_claim_and_no_event() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "clock");
    let Some(clock) = Clock::new(cluster.folder()) else { return };
    cluster.apply(&cluster.instance());
    let operator = cluster.start_by(&clock, &[]);
    cluster.wait_ready("it");
    for (number, ahead) in steps().into_iter().enumerate() {
        clock.set(ahead);
        wait_noticed(&operator, number + 1);
        cluster.provider.wait_polled(2);
        cluster.provider.create(&format!("at-{number}"));
        cluster.assert_perfect(&operator);
    }
    assert!(!operator.stderr().contains("range lost"), "{}", operator.stderr());
    assert_counted(&operator, &cluster.receiver);
}
