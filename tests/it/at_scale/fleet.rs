//! Three replicas with accounts of their own and two hundred instances; replicas come, go, die and sleep.

use std::thread;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};

use crate::rig::PATIENCE;
use crate::rig::api_proxy::{Call, Fault};
use crate::rig::control_plane::shared;
use crate::rig::counted::Together;
use crate::rig::fleet::{Fleet, INTERVAL, SHARES};
use crate::rig::http::{Answer, Gate};
use crate::rig::provider::Provider;
use crate::rig::scene::ids;
use crate::rig::strain::Strain;

/// Shorter than by default, long enough for a busy machine.
const LEASE: Duration = Duration::from_secs(6);
const SHORT_LEASE: [&str; 2] = ["--lease-duration", "6s"];

/// Nobody may be without an owner for longer.
const UNOWNED: Duration = Duration::from_secs(5);

#[test]
fn replicas_that_come_and_go_lose_and_repeat_nothing_of_two_hundred_instances() {
    let Some(plane) = shared() else { return };
    let fleet = Fleet::new(plane, "fleet", 200, 8, &["a", "b", "c", "d", "e"]);
    let stays = fleet.start("a", &[]);
    let mut leave = ["b", "c"].map(|name| fleet.start(name, &[]));
    fleet.claims.wait_balance(SHARES, &["a", "b", "c"]);
    fleet.wait_ready();
    let (begun, shared_out, strain) = (Instant::now(), Utc::now(), Strain::measure(plane.api()));
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
    let (gaps, vacancy) = (fleet.longest_gaps(begun), fleet.claims.longest_vacancy(shared_out));
    let delivered = fleet.cluster.receiver.count();
    println!(
        "{delivered} delivered, {} moves, {gaps:?}, longest vacancy {vacancy:?}, {:?} allowed",
        fleet.claims.moves(),
        strain.allowance()
    );
    for (name, verdict) in &verdicts {
        assert!(verdict.is_sound() && verdict.duplicates.is_empty(), "{name}: {verdict}");
    }
    // everything delivered was followed by a poll, so it is counted; what a replica that left has counted left with it
    let together = Together::begin([&stays].into_iter().chain(&joined).map(|replica| &replica.process));
    fleet.create_for_each("together");
    for (name, verdict) in &fleet.verdicts() {
        assert!(verdict.is_sound() && verdict.duplicates.is_empty(), "{name}: {verdict}");
    }
    assert!(fleet.cluster.receiver.count() > delivered, "nothing changed");
    together.assert(&fleet.cluster.receiver);
    // no longer than an instance that stays waits for its next poll on this machine
    let stayed = gaps.by_one.0.max(INTERVAL);
    // and where that is several times its interval, all that a new owner does first takes as many times as long
    let taken = UNOWNED.mul_f64(stayed.div_duration_f64(INTERVAL));
    assert!(gaps.by_two.0 < stayed + taken + strain.allowance(), "{gaps:?}");
    assert!(vacancy.0 < UNOWNED + strain.allowance(), "{vacancy:?}");
    for replica in leave.iter().chain(&joined).chain([&stays]) {
        replica.assert_allowed();
    }
}

#[test]
fn what_a_killed_replica_polled_is_polled_again_within_its_lease_and_two_seconds() {
    let Some(plane) = shared() else { return };
    let fleet = Fleet::new(plane, "killed", 60, 20, &["a", "b"]);
    let [_stays, mut dies] = ["a", "b"].map(|name| fleet.start(name, &SHORT_LEASE));
    fleet.claims.wait_balance(SHARES, &["a", "b"]);
    fleet.wait_ready();
    let strain = Strain::measure(plane.api());
    let (killed, dead) = fleet.while_records_change(Duration::from_millis(100), || {
        fleet.wait_polled_since(Instant::now());
        // so many that it dies between a delivery and its commit
        let posts = fleet.cluster.receiver.count();
        for provider in &fleet.providers[..4] {
            provider.create_all(ids("burst", 400));
        }
        assert!(fleet.cluster.receiver.try_wait_total(posts + 500, PATIENCE));
        let killed = Instant::now();
        dies.process.kill9();
        let dead = Instant::now();
        fleet.wait_polled_since(dead);
        (killed, dead)
    });
    let late: Vec<_> = fleet
        .polls()
        .iter()
        .filter(|(_, polls)| polls.iter().rfind(|poll| poll.at < dead).is_some_and(|last| last.by == "b"))
        .map(|(instance, polls)| {
            let next = polls.iter().find(|poll| poll.at > dead && poll.by == "a").expect("a poll by the other");
            (next.at - killed, instance.clone())
        })
        .collect();
    let (last, verdicts) = (late.iter().max(), fleet.verdicts());
    let duplicates: Vec<_> = verdicts.values().map(|verdict| verdict.duplicates.len()).collect();
    println!(
        "{} taken over, the last after {last:?}; {} came twice, at most {:?} of one instance; {:?} allowed",
        late.len(),
        duplicates.iter().sum::<usize>(),
        duplicates.iter().max(),
        strain.allowance()
    );
    for (name, verdict) in &verdicts {
        assert!(verdict.is_sound(), "{name}: {verdict}");
        assert!(verdict.duplicates.len() <= 256, "{name}: {verdict}");
    }
    let (last, _) = last.expect("it had instances");
    assert!(*last < LEASE + Duration::from_secs(2) + strain.allowance(), "{late:?}");
}

#[test]
fn a_replica_that_slept_sends_not_one_request_after_waking_and_its_commit_is_refused() {
    let Some(plane) = shared() else { return };
    let by_content = "url: /records\nrecordsPath: records\nidField: id\npagination: {nextLink: {field: next}}";
    let fleet =
        Fleet::with(
            plane,
            "slept",
            50,
            5,
            &["a", "b"],
            |provider, instance| {
                if provider == 4 { instance.resource(by_content) } else { instance }
            },
        );
    let cluster = &fleet.cluster;
    let [ghostly, another, stored, told, outside] = &*fleet.providers else { unreachable!() };
    // so many that they are kept in ConfigMaps
    outside.baseline(ids("old", 100));
    let sleeper = fleet.start("a", &SHORT_LEASE);
    fleet.wait_ready();
    let is_of = |call: &Call, provider: usize| {
        call.name
            .strip_prefix("it-")
            .and_then(|number| number.parse::<usize>().ok())
            .is_some_and(|number| number % 5 == provider)
    };
    let is_commit = move |call: &Call| call.is("update", "connectorinstances/status");

    // asleep, it will have in hand: commits that have not reached the server, and others that are about to be begun
    let asleep = Gate::default();
    let mark = sleeper.proxy.calls().len();
    sleeper.proxy.script(move |call| {
        let begins = call.is("get", "connectorinstances") && is_of(call, 4);
        if begins { Some(Fault::HoldAnswer) } else { is_commit(call).then_some(Fault::Hold) }
    });
    // answers of the callback
    let until_asleep = asleep.clone();
    cluster.receiver.answer(move |ask| {
        let number: usize = ask.path().trim_start_matches("/it-").parse().unwrap();
        let answer = Answer::status(204);
        if number % 5 == 3 { answer.behind(&until_asleep) } else { answer }
    });
    // and pages that nobody else will ever see
    for provider in [ghostly, another] {
        let until_asleep = asleep.clone();
        provider.misbehave(move |ask| {
            let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
            let ghost = format!("{{\"id\":\"ghost\",\"version\":1,\"created\":\"{now}\",\"modified\":\"{now}\"}}");
            let page = format!("{{\"records\":[{ghost}],\"next\":\"/records?offset=1\"}}");
            (ask.header("x-replica") == Some("a")).then(|| Answer::json(page).behind(&until_asleep))
        });
    }
    let ghosts = [ghostly, another].map(|provider| (provider, provider.asked()));
    stored.create("stored");
    outside.create("outside");
    told.create_all(ids("told", 3));
    sleeper.proxy.wait("commits", |calls| {
        let begun = calls[mark..].iter().any(|call| call.is("get", "connectorinstances") && is_of(call, 4));
        (begun && calls[mark..].iter().any(is_commit)).then_some(())
    });
    assert!(cluster.receiver.try_wait_count("it-003", PATIENCE, 1).is_some());
    assert!(ghosts.iter().all(|(provider, asked)| provider.try_wait_asked(asked + 2, PATIENCE)));
    // A request that was handed to a connection leaves it whenever the process runs again; so all of them must have left. An instance
    // that waits for nothing is due again within its interval.
    let sent = || cluster.receiver.count() + fleet.providers.iter().map(Provider::asked).sum::<usize>();
    let (mut seen, mut quiet, deadline) = (sent(), Instant::now(), Instant::now() + PATIENCE);
    while quiet.elapsed() < INTERVAL + Duration::from_secs(1) {
        thread::park_timeout(Duration::from_millis(100));
        if sent() > seen {
            (seen, quiet) = (sent(), Instant::now());
        }
        assert!(Instant::now() < deadline, "{}", sleeper.process.stderr());
    }
    sleeper.process.signal("STOP");
    asleep.open();
    let stopped = Instant::now();

    cluster.receiver.answer(|_| Answer::status(204));
    let wakeful = fleet.start("b", &SHORT_LEASE);
    fleet.claims.wait_balance(SHARES, &["b"]);
    fleet.providers.iter().for_each(|provider| provider.create_all(ids("meanwhile", 3)));
    drop(fleet.verdicts());
    // what the one accepted and did not store, the other repeats; that is over once it is stored
    fleet.wait_stored();
    let before = fleet.verdicts();
    for (name, verdict) in &before {
        assert!(verdict.is_sound(), "{name}: {verdict}\n{}", wakeful.process.stderr());
    }
    while let Some(left) = (3 * LEASE).checked_sub(stopped.elapsed()) {
        thread::park_timeout(left);
    }
    // what it had sent before it slept reaches the server only now, and it may not claim anything anew
    sleeper.proxy.script(|call| (call.is_write() && call.resource == "leases").then_some(Fault::Answer(503)));
    let answered = |calls: &[Call]| {
        let commits = calls[mark..].iter().filter(|call| is_commit(call));
        commits.filter_map(|commit| commit.status).collect::<Vec<_>>()
    };
    sleeper.proxy.wait("answers to its commits", |calls| (!answered(calls).is_empty()).then_some(()));

    let (posts, calls, woken) = (cluster.receiver.count(), sleeper.proxy.calls().len(), Instant::now());
    sleeper.process.signal("CONT");
    sleeper.process.wait_stderr("range lost");
    fleet.wait_polled_since(Instant::now() + INTERVAL);
    let asked: Vec<_> = fleet.polls().into_values().flatten().filter(|poll| poll.at > woken && poll.by == "a").collect();
    let wrote: Vec<_> = sleeper.proxy.calls().split_off(calls);
    let wrote: Vec<_> = wrote.into_iter().filter(|call| call.is_write() && call.resource != "leases").collect();
    let late = answered(&sleeper.proxy.calls()[..calls]);
    println!("{} commits refused; {} requests asked, {} written after waking", late.len(), asked.len(), wrote.len());
    assert!(!late.is_empty() && late.iter().all(|status| *status == 409), "{late:?}");
    let told: Vec<_> = cluster.receiver.all().split_off(posts).iter().map(|post| format!("{post:?}")).collect();
    assert!(asked.is_empty() && told.is_empty(), "{asked:?}\n{told:#?}\n{}", sleeper.process.stderr());
    assert!(wrote.is_empty(), "{wrote:?}");

    // it takes part again, and nobody repeats anything
    sleeper.proxy.behave();
    ghostly.misbehave(|_| None);
    another.misbehave(|_| None);
    fleet.claims.wait_balance(SHARES, &["a", "b"]);
    fleet.providers.iter().for_each(|provider| provider.create_all(ids("after", 3)));
    for ((name, verdict), before) in fleet.verdicts().iter().zip(before.values()) {
        assert!(verdict.is_sound(), "{name}: {verdict}\n{}", wakeful.process.stderr());
        assert_eq!(verdict.duplicates, before.duplicates, "{name}: {verdict}");
    }
}
