//! Three replicas with accounts of their own and two hundred instances; replicas come, go, die and sleep.

use std::time::{Duration, Instant};

use crate::rig::control_plane::shared;
use crate::rig::fleet::{Fleet, INTERVAL, SHARES};
use crate::rig::strain::Strain;

/// Nobody may be without an owner for longer.
const UNOWNED: Duration = Duration::from_secs(5);

#[test]
fn replicas_that_come_and_go_lose_and_repeat_nothing_of_two_hundred_instances() {
    let Some(plane) = shared() else { return };
    let fleet = Fleet::new(plane, "fleet", 200, 8, &["a", "b", "c", "d", "e"]);
    let stays = fleet.start("a", &[]);
    let mut leave = ["b", "c"].map(|name| fleet.start(name, &[]));
    fleet.claims.wait_balance(SHARES, &["a", "b", "c"]);
    fleet.wait_polled_since(Instant::now());
    let (begun, strain) = (Instant::now(), Strain::measure(plane.api()));
    let joined = fleet.while_records_change(Duration::from_millis(150), || {
        for replica in &mut leave {
            assert!(replica.process.sigterm().success(), "{}", replica.process.stderr());
        }
        fleet.claims.wait_balance(SHARES, &["a"]);
        fleet.wait_polled_since(Instant::now());
        let new = ["d", "e"].map(|name| fleet.start(name, &[]));
        fleet.claims.wait_balance(SHARES, &["a", "d", "e"]);
        fleet.wait_polled_since(Instant::now());
        new
    });
    let verdicts = fleet.verdicts();
    fleet.wait_polled_since(Instant::now());
    let (gap, vacancy) = (fleet.longest_gap(begun), fleet.claims.longest_vacancy());
    let delivered = fleet.cluster.receiver.count();
    println!(
        "{delivered} delivered, {} moves, longest {gap:?}, longest vacancy {vacancy:?}, {:?} allowed",
        fleet.claims.moves(),
        strain.allowance()
    );
    for (name, verdict) in &verdicts {
        assert!(verdict.is_perfect(), "{name}: {verdict}");
    }
    assert!(gap.lasted < INTERVAL + UNOWNED + strain.allowance(), "{gap:?}");
    assert!(vacancy.0 < UNOWNED + strain.allowance(), "{vacancy:?}");
    for replica in leave.iter().chain(&joined).chain([&stays]) {
        replica.assert_allowed();
    }
}
