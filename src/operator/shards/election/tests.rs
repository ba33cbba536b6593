//! Single rules by hand; all of them against the model in [`model`].

mod model;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;

const HOUR: i64 = 3600;

fn at(seconds: f64) -> Moment {
    Moment::at(Duration::from_secs_f64(1000.0 + seconds))
}

fn wall() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn stored(version: &str, record: Record) -> Stored {
    Stored { version: version.to_owned(), uid: "uid".to_owned(), record, scope: None }
}

fn held_by(holder: &str, renewed: i64) -> Record {
    let date = DateTime::from_timestamp(renewed, 0);
    Record { holder: Some(holder.to_owned()), acquired: date, renewed: date, seconds: 15, transitions: 3 }
}

fn candidate() -> Election {
    Election::new("me".into(), Timing::default())
}

/// A holder since second 0, on version `1`.
fn holder() -> Election {
    let mut election = candidate();
    election.observe(Some(stored("0", Record { seconds: 1, transitions: 3, ..Record::default() })), None, at(-1.0));
    let Step::Acquire(write) = election.step(Wish::Take, at(0.0), wall()) else { panic!("not acquired") };
    assert_eq!((write.version.as_deref(), write.record.transitions), (Some("0"), 4));
    election.reply(Reply::Stored(stored("1", write.record)), at(0.1), 0.0);
    election
}

#[test]
fn a_claim_runs_from_when_it_was_sent() {
    let held = holder();
    assert_eq!(held.held().map(|held| held.until), Some(at(10.0)));
    assert_eq!(held.held().map(|held| held.epoch.number), Some(4));
}

#[test]
fn another_s_lease_is_free_after_a_whole_lease_without_a_change_whatever_its_times_say() {
    for skew in [-24 * HOUR, 0, 24 * HOUR] {
        let mut election = candidate();
        let renewed = wall().timestamp() + skew;
        election.observe(Some(stored("1", held_by("other", renewed))), None, at(0.0));
        assert_eq!(election.step(Wish::Take, at(14.9), wall()), Step::Wait(at(15.0)));
        // A change of anything but the record is not a renewal, and its version is the one to replace.
        election.observe(Some(stored("2", held_by("other", renewed))), None, at(14.9));
        let Step::Acquire(write) = election.step(Wish::Take, at(15.0), wall()) else { panic!("not acquired") };
        assert_eq!(write.version.as_deref(), Some("2"));
        assert_eq!(write.record.transitions, 4);
    }
    let mut election = candidate();
    election.observe(Some(stored("1", held_by("other", 1))), None, at(0.0));
    election.observe(Some(stored("2", held_by("other", 2))), None, at(14.0));
    assert_eq!(election.step(Wish::Take, at(15.0), wall()), Step::Wait(at(29.0)));
}

#[test]
fn the_longer_of_two_configured_leases_counts() {
    let mut election = candidate();
    let mut record = held_by("other", 1);
    record.seconds = 60;
    election.observe(Some(stored("1", record.clone())), None, at(0.0));
    assert_eq!(election.free_from(), Some(at(60.0)));
    record.seconds = i32::MAX;
    election.observe(Some(stored("2", record)), None, at(0.0));
    assert_eq!(election.free_from(), Some(at(120.0)));
}

#[test]
fn a_cleared_or_vanished_lease_may_still_have_a_holder() {
    let mut election = candidate();
    election.observe(Some(stored("1", held_by("other", 1))), None, at(0.0));
    election.observe(Some(stored("2", Record { holder: None, ..held_by("other", 1) })), None, at(5.0));
    assert_eq!(election.free_from(), Some(at(20.0)));
    election.observe(None, None, at(6.0));
    let Step::Make(write) = election.step(Wish::Take, at(6.1), wall()) else { panic!("not made") };
    assert_eq!((write.version.as_deref(), write.record.claim(), write.record.transitions), (None, Claim::Cleared, 3));
    election.reply(Reply::Stored(stored("3", write.record)), at(6.2), 0.0);
    assert_eq!(election.step(Wish::Take, at(6.3), wall()), Step::Wait(at(21.2)));
    let mut first = candidate();
    first.assume_never_made();
    first.observe(None, None, at(0.0));
    assert!(matches!(first.step(Wish::Take, at(0.0), wall()), Step::Acquire(Write { version: None, .. })));
}

#[test]
fn a_fresh_lease_may_be_made_for_others_but_never_a_vanished_one() {
    let mut election = candidate();
    election.observe(None, None, at(0.0));
    assert_eq!(election.step(Wish::Seed, at(1.0), wall()), Step::Wait(Moment::NEVER));
    let mut late = candidate();
    late.observe(None, None, at(0.0));
    late.assume_never_made();
    assert!(late.is_unmade(at(14.9)) && !late.is_unmade(at(15.0)));
    late.observe(Some(stored("1", held_by("other", 1))), None, at(1.0));
    late.assume_never_made();
    late.observe(None, None, at(2.0));
    assert!(!late.is_unmade(at(2.0)));
    let mut election = candidate();
    election.assume_never_made();
    election.observe(None, None, at(0.0));
    let Step::Make(write) = election.step(Wish::Seed, at(0.0), wall()) else { panic!("not made") };
    assert_eq!((write.record.claim(), write.version), (Claim::Released, None));
    election.reply(Reply::Stored(stored("1", write.record)), at(0.1), 0.0);
    assert!(matches!(election.step(Wish::Take, at(0.2), wall()), Step::Acquire(_)));
}

#[test]
fn a_holder_renews_in_time_and_within_its_deadline() {
    let mut election = holder();
    let due = at(0.0) + Timing::default().renew_every();
    assert_eq!(election.step(Wish::Take, at(1.0), wall()), Step::Wait(due));
    let Step::Renew(first) = election.step(Wish::Keep, due, wall()) else { panic!("not renewed") };
    assert_eq!((first.version.as_deref(), first.within), (Some("1"), Duration::from_secs(3)));
    election.reply(Reply::Failed, due + Duration::from_secs(3), 0.5);
    // It took its whole time, which was pause enough. Was it applied?
    let again = due + Duration::from_millis(3500);
    assert_eq!(election.step(Wish::Keep, due + Duration::from_secs(3), wall()), Step::Wait(again));
    assert_eq!(election.step(Wish::Keep, again, wall()), Step::Read(Duration::from_secs(3)));
    let later = at(8.5);
    election.reply(Reply::Found(election.seen().cloned()), later, 0.0);
    let Step::Renew(second) = election.step(Wish::Keep, later, wall()) else { panic!("not renewed") };
    assert!(second.within < Duration::from_secs(2), "never beyond the deadline");
    assert!(second.record.renewed > first.record.renewed, "rises though the time of day stands still");
    assert_eq!(election.step(Wish::Keep, at(10.0), wall()), Step::StepDown(Loss::Expired));
    // The renewal that arrives too late revives nothing.
    election.reply(Reply::Stored(stored("2", second.record)), at(10.1), 0.0);
    assert_eq!(election.held(), None);
    assert_eq!(election.step(Wish::Take, at(10.2), wall()), Step::Wait(at(25.1)));
}

#[test]
fn a_conflict_is_looked_into_at_once() {
    let mut election = holder();
    assert!(matches!(election.step(Wish::Keep, at(4.0), wall()), Step::Renew(_)));
    election.reply(Reply::Conflict, at(4.1), 0.0);
    assert!(matches!(election.step(Wish::Keep, at(4.1), wall()), Step::Read(_)));
    // Another writer touched the labels: still mine.
    let mine = election.seen().unwrap().record.clone();
    election.reply(Reply::Found(Some(stored("7", mine))), at(4.2), 0.0);
    let Step::Renew(write) = election.step(Wish::Keep, at(4.2), wall()) else { panic!("not renewed") };
    assert_eq!(write.version.as_deref(), Some("7"));
    election.reply(Reply::Conflict, at(4.3), 0.0);
    assert!(matches!(election.step(Wish::Keep, at(4.3), wall()), Step::Read(_)));
    election.reply(Reply::Found(Some(stored("8", held_by("other", 1)))), at(4.4), 0.0);
    assert_eq!(election.step(Wish::Keep, at(4.4), wall()), Step::StepDown(Loss::Taken));
    assert_eq!(election.step(Wish::Take, at(4.4), wall()), Step::Wait(at(19.4)));
}

#[test]
fn a_holder_makes_its_deleted_lease_again() {
    let mut election = holder();
    assert!(matches!(election.step(Wish::Keep, at(4.0), wall()), Step::Renew(_)));
    election.reply(Reply::Missing, at(4.1), 0.0);
    let Step::Renew(write) = election.step(Wish::Keep, at(4.1), wall()) else { panic!("not made") };
    assert_eq!((write.version, write.record.transitions), (None, 4));
    // Another candidate was faster: it still names no holder.
    election.reply(Reply::Conflict, at(4.2), 0.0);
    assert!(matches!(election.step(Wish::Keep, at(4.2), wall()), Step::Read(_)));
    election.reply(Reply::Found(Some(stored("9", Record { holder: None, ..held_by("", 1) }))), at(4.3), 0.0);
    let Step::Renew(write) = election.step(Wish::Keep, at(4.3), wall()) else { panic!("not renewed") };
    assert_eq!(write.version.as_deref(), Some("9"));
}

#[test]
fn an_acquisition_whose_answer_was_lost_is_found_again() {
    let mut election = candidate();
    election.observe(Some(stored("1", held_by("other", 1))), None, at(0.0));
    let Step::Acquire(lost) = election.step(Wish::Take, at(15.0), wall()) else { panic!("not acquired") };
    election.reply(Reply::Failed, at(19.0), 0.0);
    // A list shows that it was applied, which is as good as an answer.
    let mut told = election;
    let mut election = candidate();
    told.observe(Some(stored("2", lost.record.clone())), Some(at(20.0)), at(20.1));
    assert_eq!(told.held().map(|held| (held.until, held.epoch.number)), Some((at(25.0), 4)));
    // Or it shows it too late: the claim is over, but still not another member's.
    election.observe(Some(stored("1", held_by("other", 1))), None, at(0.0));
    let Step::Acquire(lost) = election.step(Wish::Take, at(15.0), wall()) else { panic!("not acquired") };
    election.reply(Reply::Failed, at(19.0), 0.0);
    election.observe(Some(stored("2", lost.record.clone())), Some(at(25.0)), at(25.1));
    assert_eq!(election.held(), None);
    assert!(matches!(election.step(Wish::Take, at(25.2), wall()), Step::Read(_)));
    election.reply(Reply::Found(election.seen().cloned()), at(25.3), 0.0);
    let Step::Acquire(again) = election.step(Wish::Take, at(25.4), wall()) else { panic!("not acquired") };
    assert_eq!(again.version.as_deref(), Some("2"));
    assert_eq!((again.record.acquired, again.record.transitions), (lost.record.acquired, 4));
    // Had another writer come in between, the record would say nothing about who acts.
    let mut election = candidate();
    election.observe(Some(stored("1", held_by("other", 1))), None, at(0.0));
    let Step::Acquire(lost) = election.step(Wish::Take, at(15.0), wall()) else { panic!("not acquired") };
    election.reply(Reply::Failed, at(19.0), 0.0);
    election.observe(Some(stored("2", held_by("third", 1))), Some(at(20.0)), at(20.1));
    election.observe(Some(stored("3", lost.record)), Some(at(20.2)), at(20.3));
    assert!(matches!(election.step(Wish::Take, at(21.0), wall()), Step::Read(_)));
    election.reply(Reply::Found(election.seen().cloned()), at(21.1), 0.0);
    assert_eq!(election.step(Wish::Take, at(21.2), wall()), Step::Wait(at(35.3)));
}

#[test]
fn a_release_ends_the_claim_first_and_leaves_the_mark_of_one() {
    let mut election = holder();
    assert_eq!(election.step(Wish::Release, at(2.0), wall()), Step::StepDown(Loss::Released));
    assert_eq!(election.held(), None);
    let Step::Release(write) = election.step(Wish::Release, at(2.0), wall()) else { panic!("not released") };
    assert_eq!((write.version.as_deref(), write.record.claim()), (Some("1"), Claim::Released));
    election.reply(Reply::Failed, at(3.0), 0.0);
    assert!(matches!(election.step(Wish::Release, at(5.1), wall()), Step::Read(_)));
    election.reply(Reply::Found(election.seen().cloned()), at(5.2), 0.0);
    let Step::Release(write) = election.step(Wish::Release, at(5.2), wall()) else { panic!("not released") };
    election.reply(Reply::Stored(stored("2", write.record)), at(5.3), 0.0);
    assert!(!election.is_involved());
    assert_eq!(election.free_from(), Some(at(5.3)));
}

#[test]
fn an_abandoned_claim_must_run_out_for_its_own_holder_too() {
    let mut election = holder();
    election.abandon();
    assert_eq!(election.held(), None);
    assert_eq!(election.step(Wish::Take, at(5.0), wall()), Step::Wait(at(15.1)));
}

#[test]
fn old_news_is_ignored() {
    let mut election = holder();
    // Listed before the acquisition was answered, or of unknown age: cannot speak against it.
    election.observe(Some(stored("0", held_by("other", 1))), Some(at(0.05)), at(0.2));
    election.observe(Some(stored("0", held_by("other", 1))), None, at(0.2));
    assert!(matches!(election.step(Wish::Keep, at(0.3), wall()), Step::Wait(_)));
    election.observe(Some(stored("9", held_by("other", 1))), Some(at(0.3)), at(0.4));
    assert_eq!(election.step(Wish::Keep, at(0.4), wall()), Step::StepDown(Loss::Taken));
}

#[test]
fn a_day_between_clocks_changes_nothing() {
    let mut election = holder();
    let Step::Renew(write) = election.step(Wish::Keep, at(4.0), wall() - TimeDelta::days(1)) else { panic!("not renewed") };
    assert!(write.record.renewed > write.record.acquired);
}
