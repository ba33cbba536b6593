//! Servers that this project did not write: SAP CAP (OData V4) and Kinto.

use crate::rig::pollinator::Site;
use crate::rig::real_server::{Kind, RealServer};
use crate::rig::receiver::Receiver;
use crate::rig::traffic::{Dice, Traffic};
use crate::rig::{self, PATIENCE};

#[test]
fn every_change_at_cap_arrives_once_and_in_order() {
    every_change_arrives(Kind::Cap, 0);
}

#[test]
fn every_change_at_kinto_arrives_once_and_in_order() {
    every_change_arrives(Kind::Kinto, 0);
}

#[test]
fn no_change_at_kinto_is_lost_to_kills() {
    every_change_arrives(Kind::Kinto, 5);
}

/// A thousand changes in bursts, so that polls fall into the middle of them. Some bursts wait until all is delivered, some go on
/// as soon as the first event of the last one came.
fn every_change_arrives(kind: Kind, kills: usize) {
    let Some(server) = RealServer::start(kind) else { return };
    let mut records = &server;
    let mut traffic = Traffic::new(0x5EED);
    if kind == Kind::Cap {
        traffic = traffic.without_deletes(); // CAP's lists do not tell what was deleted
    }
    traffic.baseline(&mut records, 20);
    // older than a first poll's now; and at CAP, whose dates tell created from updated, older than createdTolerance
    server.wait_seconds(if kind == Kind::Cap { 12 } else { 2 });

    let receiver = Receiver::start();
    let site = Site::new(&[server.instance("real", &receiver.url("real")).yaml()]);
    rig::manifest::write(&site.manifests(), "login.yaml", &[RealServer::login()]);
    let mut pollinator = site.start();
    pollinator.wait_ready("real");

    let version = |data: &str| server.version(data);
    let mut dice = Dice::new(7);
    let mut killed = 0;
    for burst in 0..10 {
        let before = receiver.count();
        traffic.run(&mut records, 100);
        if killed < kills && burst % 2 == 1 {
            let more = usize::try_from(dice.below(60)).unwrap();
            receiver.try_wait("real", PATIENCE, |posts| (posts.len() > before + more).then_some(()));
            pollinator.kill9();
            killed += 1;
            pollinator = site.start();
        } else if burst % 3 == 2 {
            rig::settle(&receiver, "real", || traffic.truth.clone(), version);
        } else {
            receiver.try_wait("real", PATIENCE, |posts| (posts.len() > before).then_some(()));
        }
    }
    let verdict = rig::settle(&receiver, "real", || traffic.truth.clone(), version);
    assert!(verdict.missing.is_empty(), "{verdict}\n{}", pollinator.report("real"));
    // one more change is seen by a later poll: what that poll brings again would show, too
    traffic.run(&mut records, 1);
    let verdict = rig::settle(&receiver, "real", || traffic.truth.clone(), version);
    if kills == 0 {
        rig::assert_perfect(&verdict, &pollinator, "real");
    } else {
        assert!(verdict.is_sound(), "{verdict}\n{}", pollinator.report("real"));
        assert!(verdict.duplicates.len() <= 256 * kills, "{} duplicates", verdict.duplicates.len());
    }
    assert!(pollinator.sigterm().success(), "SIGTERM ends it cleanly");
}
