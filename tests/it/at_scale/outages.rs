//! The API server is restarted, frozen, or answers and tells wrongly, while many instances are polled and records change.

use std::time::{Duration, Instant};

use crate::rig::api_proxy::{Fault, WatchFault};
use crate::rig::control_plane::{ControlPlane, shared};
use crate::rig::fleet::{Fleet, SHARES};
use crate::rig::scene::ids;

const EVERY: Duration = Duration::from_millis(200);
/// Records of so many providers change; the instances of the others are quiet.
const CHANGING: usize = 3;
/// Lasts through an outage of some seconds, whatever the machine is busy with.
const LONG_LEASE: [&str; 2] = ["--lease-duration", "60s"];

/// Whatever happened: nothing is lost, invented or out of order, a crash's worth at most came twice, and no cursor moved back.
fn assert_converges(fleet: &Fleet<'_>, what: &str) {
    let verdicts = fleet.verdicts();
    fleet.wait_stored();
    let duplicates: Vec<_> = verdicts.values().map(|verdict| verdict.duplicates.len()).collect();
    let (all, most) = (duplicates.iter().sum::<usize>(), duplicates.iter().max().copied().unwrap_or_default());
    let versions = fleet.assert_cursors_rise();
    println!("{what}: {} delivered, {all} twice, {most} of one; {versions} versions", fleet.cluster.receiver.count());
    for (name, verdict) in &verdicts {
        assert!(verdict.is_sound() && verdict.duplicates.len() <= 256, "{what}: {name}: {verdict}");
    }
}

#[test]
fn errors_of_the_server_stop_no_poll_and_no_cursor_moves_back() {
    let Some(plane) = shared() else { return };
    let fleet = Fleet::new(plane, "errors", 60, 6, &["a"]);
    let replica = fleet.start("a", &LONG_LEASE);
    fleet.claims.wait_balance(SHARES, &["a"]);
    fleet.wait_ready();
    // it has no cursor to store until something was delivered
    fleet.providers.iter().for_each(|provider| provider.create("first"));
    assert_converges(&fleet, "first");
    fleet.while_some_change(CHANGING, EVERY, || {
        for fault in [Fault::Answer(500), Fault::AnswerRetryAfter(429, 1), Fault::Answer(504), Fault::HangUp, Fault::LoseAnswer]
        {
            replica.proxy.script(move |_| Some(fault));
            replica.proxy.cut();
            // what has nothing to store goes on
            fleet.wait_quiet_polled_since(CHANGING, Instant::now());
            replica.proxy.behave();
            fleet.wait_polled_since(Instant::now());
        }
    });
    assert_converges(&fleet, "errors");
}

#[test]
fn a_server_that_is_frozen_for_a_minute_is_waited_for() {
    let Some(plane) = shared() else { return };
    let fleet = Fleet::new(plane, "frozen", 50, 2, &["a"]);
    let [quiet, busy] = &*fleet.providers else { unreachable!() };
    let replica = fleet.start("a", &LONG_LEASE);
    fleet.claims.wait_balance(SHARES, &["a"]);
    fleet.wait_ready();
    fleet.providers.iter().for_each(|provider| provider.create("first"));
    assert_converges(&fleet, "first");

    replica.proxy.freeze();
    let frozen = Instant::now();
    busy.create_all(ids("frozen", 20));
    // a third of the lease may have been over, and another is the owner's margin
    let asked = quiet.asked();
    assert!(quiet.try_wait_asked(asked + 2 * 25, Duration::from_secs(20)), "polling stopped at once");
    let minute = Duration::from_mins(1);
    while let Some(left) = minute.checked_sub(frozen.elapsed()) {
        std::thread::park_timeout(left);
    }
    replica.proxy.thaw();
    quiet.create_all(ids("thawed", 3));
    fleet.wait_polled_since(Instant::now());
    assert_converges(&fleet, "frozen");
}

#[test]
fn events_that_are_lost_or_late_are_made_up_for() {
    let Some(plane) = shared() else { return };
    let fleet = Fleet::new(plane, "events", 40, 4, &["a"]);
    let ns = &fleet.cluster.ns;
    let replica = fleet.start("a", &["--relist-interval", "10s"]);
    fleet.claims.wait_balance(SHARES, &["a"]);
    fleet.wait_ready();
    let suspend = |value: bool, instances: std::ops::Range<usize>| {
        for index in instances {
            let patch = serde_json::json!({"spec": {"suspend": value}});
            ns.api().merge(&ns.instance(&format!("it-{index:03}")), &patch).ok();
        }
    };
    let tells = |index: usize, reason: &str| ns.wait_condition(&format!("it-{index:03}"), "Ready", "True", reason);
    fleet.while_records_change(EVERY, || {
        // a third of all events is never seen, a third comes late, after those that followed
        let mut count = 0;
        replica.proxy.watch_script(move |_, _| {
            count += 1;
            [None, Some(WatchFault::Drop), Some(WatchFault::Hold)][count % 3]
        });
        suspend(true, 0..20);
        (0..20).for_each(|index| drop(tells(index, "Suspended")));
        suspend(false, 0..10);
        (0..10).for_each(|index| drop(tells(index, "Polling")));
        replica.proxy.behave();
        // what was held is old news by now, and half of it is wrong
        (10..20).for_each(|index| drop(tells(index, "Suspended")));
        suspend(false, 10..20);
        (10..20).for_each(|index| drop(tells(index, "Polling")));
        fleet.wait_polled_since(Instant::now());
    });
    assert_converges(&fleet, "events");
}

#[test]
fn restarts_of_the_server_and_of_its_store_cost_nothing_but_time() {
    let Some(plane) = ControlPlane::start() else { return };
    let fleet = Fleet::new(&plane, "restarts", 60, 6, &["a"]);
    let _replica = fleet.start("a", &LONG_LEASE);
    fleet.claims.wait_balance(SHARES, &["a"]);
    fleet.wait_ready();
    fleet.providers.iter().for_each(|provider| provider.create("first"));
    assert_converges(&fleet, "first");
    fleet.while_some_change(CHANGING, EVERY, || {
        // while it is away, what has nothing to store goes on
        let meanwhile = || fleet.wait_quiet_polled_since(CHANGING, Instant::now());
        let restarts: [(&str, &dyn Fn()); 3] = [
            ("server", &|| plane.restart_server(meanwhile)),
            ("store", &|| plane.restart_etcd(meanwhile)),
            ("stopped store", &|| plane.stop_etcd(meanwhile)),
        ];
        for (what, restart) in restarts {
            let begun = Instant::now();
            restart();
            println!("{what}: back after {:?}", begun.elapsed());
            fleet.wait_polled_since(Instant::now());
        }
    });
    assert_converges(&fleet, "restarts");
}

#[test]
fn a_store_without_room_stops_no_delivery_and_what_was_delivered_is_stored_once_there_is_some() {
    let Some(plane) = ControlPlane::start_with_store_of(24 << 20) else { return };
    let fleet = Fleet::new(&plane, "full", 12, 2, &["a"]);
    // claims cannot be renewed meanwhile: they last longer than this takes
    let replica = fleet.start("a", &LONG_LEASE);
    fleet.claims.wait_balance(SHARES, &["a"]);
    fleet.wait_ready();
    fleet.providers.iter().for_each(|provider| provider.create("first"));
    assert_converges(&fleet, "first");
    plane.fill_store(&fleet.cluster.ns);
    fleet.providers.iter().for_each(|provider| provider.create_all(ids("full", 3)));
    for (name, verdict) in fleet.verdicts() {
        assert!(verdict.is_sound(), "{name}: {verdict}");
    }
    let told = replica.process.wait_stderr("the store of the API server (etcd) is out of space");
    assert!(told.contains("free space in etcd and clear its alarm NOSPACE"), "{told}");

    plane.empty_store(&fleet.cluster.ns);
    fleet.providers.iter().for_each(|provider| provider.create_all(ids("room", 3)));
    fleet.wait_polled_since(Instant::now());
    assert_converges(&fleet, "full");
}
