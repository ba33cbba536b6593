//! One Lease as a state machine: what was seen, on this machine's clock → the next step. No I/O.
//!
//! The rules are client-go's. Only times captured here count, never those in the record. A holder's claim runs from the moment its
//! last successful write was *sent*; another's claim is over when its record was not *seen* to change for a whole lease. Every
//! write is a compare-and-swap on what was seen, so of several candidates one wins.
//!
//! Beyond client-go: a Lease that vanished, or from which the holder's name was removed, counts as held for a whole lease; and an answer
//! that was lost is made up for by reading, since the write may have been applied. A vanished Lease is made again without a holder and only
//! then waited for: absence has no version, so one absence cannot be distinguished from the next.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use super::call::{Reply, Write};
use super::record::{Claim, Observation, RELEASED_SECONDS, Record, Stored};
use super::tenure::{Epoch, Held, Loss};
use super::timing::Timing;
use crate::moment::Moment;

/// What is wanted of a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Hold it, as soon as it is free.
    Take,
    /// Hold on to it if it is held; do not reach for it otherwise.
    Keep,
    /// Make it if it was never there, free for others.
    Seed,
    /// Give it back. The guarded work must have ended.
    Release,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take a free Lease.
    Acquire(Write),
    /// Prolong the claim.
    Renew(Write),
    /// Give the Lease back.
    Release(Write),
    /// Make a Lease without a holder.
    Make(Write),
    /// Ask what the Lease says, within this time.
    Read(Duration),
    /// Nothing until then, unless something is heard before.
    Wait(Moment),
    /// The claim is over; nothing may be done under it from now on.
    StepDown(Loss),
}

/// One candidate's view of one Lease.
#[derive(Debug)]
pub struct Election {
    me: Arc<str>,
    timing: Timing,
    never_made: bool,
    seen: Option<Observation>,
    role: Role,
    attempt: Option<Attempt>,
    call: Option<Call>,
    /// A claiming write whose fate is unknown.
    unanswered: Option<Call>,
    /// When the last answer or event came: a list that was asked for before may be older.
    heard: Moment,
    next_try: Moment,
    must_read: bool,
    /// The greatest number seen.
    number: i32,
    written: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Candidate,
    Holder {
        held: Held,
        renewed: Moment,
    },
    /// Nothing is done under the claim any more; giving it back is tried until it has run out anyway.
    Releasing {
        until: Moment,
    },
}

/// A claim that was asked for or is in force. Its `acquired` marks the records that stem from it.
#[derive(Debug)]
struct Attempt {
    acquired: DateTime<Utc>,
    /// The claim's number, if it comes into force.
    number: i32,
    /// What it was to replace.
    base: Option<Record>,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    purpose: Purpose,
    sent: Moment,
    /// The mark of a write: `renewed` of the record.
    stamp: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Acquire,
    Renew,
    Release,
    /// For any member to take at once.
    Seed,
    /// In place of one that vanished, to be waited for.
    Mend,
    Read,
}

impl Election {
    /// A candidate that has seen nothing yet. `me` must be unique to this process, not to its pod.
    pub fn new(me: Arc<str>, timing: Timing) -> Self {
        Self {
            me,
            timing,
            never_made: false,
            seen: None,
            role: Role::Candidate,
            attempt: None,
            call: None,
            unanswered: None,
            heard: Moment::ORIGIN,
            next_try: Moment::ORIGIN,
            must_read: false,
            number: 0,
            written: DateTime::UNIX_EPOCH,
        }
    }

    /// Declares that no member can ever have held this Lease, so that it need not be waited for if it is absent. That is believed for the
    /// time of one lease, and not if it was seen.
    pub fn assume_never_made(&mut self) {
        self.never_made = self.seen().is_none();
    }

    /// The claim in force, as far as it is known.
    pub fn held(&self) -> Option<&Held> {
        if let Role::Holder { held, .. } = &self.role { Some(held) } else { None }
    }

    /// Whether a claim is in force or being given back.
    pub fn is_involved(&self) -> bool {
        self.role != Role::Candidate
    }

    /// Whether a call is under way.
    pub fn is_calling(&self) -> bool {
        self.call.is_some()
    }

    /// What is there, as last seen.
    pub fn seen(&self) -> Option<&Stored> {
        self.seen.as_ref().and_then(|seen| seen.lease.as_ref())
    }

    /// Whether it is known that there is no Lease and that there never was one.
    pub fn is_unmade(&self, now: Moment) -> bool {
        let absent = self.seen.as_ref().filter(|seen| seen.lease.is_none());
        self.never_made && absent.is_some_and(|seen| now < seen.since + self.timing.lease())
    }

    /// From when on the Lease is free for me; `None` before anything was seen.
    pub fn free_from(&self) -> Option<Moment> {
        let seen = self.seen.as_ref()?;
        let mine = seen.lease.as_ref().is_some_and(|lease| self.is_mine(&lease.record));
        Some(if mine { Moment::ORIGIN } else { seen.lapses(self.timing.lease()) })
    }

    /// What was seen last, for those who do not run for it.
    pub fn observation(&self) -> Option<&Observation> {
        self.seen.as_ref()
    }

    /// Takes in what a list or watch showed. `asked` is when the list was asked for; `None` for an event of a watch, which may be
    /// older than what is known already.
    pub fn observe(&mut self, lease: Option<Stored>, asked: Option<Moment>, now: Moment) {
        let outdated = self.call.is_some() || asked.is_some_and(|asked| asked < self.heard);
        let doubtful = asked.is_none() && self.is_involved();
        if !outdated && !doubtful {
            if asked.is_none() {
                self.heard = now;
            }
            self.see(lease, now);
        }
    }

    fn see(&mut self, lease: Option<Stored>, now: Moment) {
        if let Some(lease) = &lease {
            self.never_made = false;
            self.number = self.number.max(lease.record.transitions);
        }
        let record = lease.as_ref().map(|lease| &lease.record);
        let stray = |attempt: &Attempt| record != attempt.base.as_ref() && !record.is_some_and(|record| self.is_mine(record));
        // Another writer came in between. Should my write still show up, it says nothing about who acts by now.
        if record.is_some() && self.attempt.as_ref().is_some_and(stray) && !self.is_involved() {
            self.attempt = None;
        }
        self.seen = Some(Observation::update(self.seen.take(), lease, now));
        self.find_unanswered(now);
    }

    /// A record of mine with the mark of a write says as much as the answer to it would have.
    fn find_unanswered(&mut self, now: Moment) {
        let (Some(call), Some(lease)) = (self.unanswered, self.seen()) else { return };
        let applied = self.is_mine(&lease.record) && lease.record.renewed == Some(call.stamp);
        if applied && now < call.sent + self.timing.renew_deadline() {
            let lease = lease.clone();
            self.come_into_force(call, &lease);
        }
    }

    fn is_mine(&self, record: &Record) -> bool {
        record.holder.as_deref() == Some(&*self.me)
            && self.attempt.as_ref().is_some_and(|attempt| record.acquired == Some(attempt.acquired))
    }

    /// The next step, and the assumption that it is taken at once: a step that calls is answered by [`Self::reply`]. `wall` is
    /// the time of day, for those who read Leases.
    pub fn step(&mut self, wish: Wish, now: Moment, wall: DateTime<Utc>) -> Step {
        if let Some(loss) = self.lost(now) {
            (self.role, self.attempt) = (Role::Candidate, None);
            return Step::StepDown(loss);
        }
        if let (Wish::Release, Role::Holder { held, .. }) = (wish, &self.role) {
            self.role = Role::Releasing { until: held.until };
            return Step::StepDown(Loss::Released);
        }
        if self.call.is_some() {
            return Step::Wait(self.held().map_or(Moment::NEVER, |held| held.until));
        }
        if self.must_read {
            return if now >= self.next_try { self.read(now) } else { self.wait(self.next_try) };
        }
        match &self.role {
            Role::Holder { held, renewed } => {
                let (until, due) = (held.until, (*renewed + self.timing.renew_every()).max(self.next_try));
                if now < due {
                    return Step::Wait(due.min(until));
                }
                let within = self.timing.call().min(until.since(now));
                Step::Renew(self.write(Purpose::Renew, within, now, wall))
            }
            Role::Releasing { until } => {
                let mine = self.seen().is_some_and(|lease| self.is_mine(&lease.record));
                if !mine || now >= *until {
                    (self.role, self.attempt) = (Role::Candidate, None);
                    return self.step(wish, now, wall);
                }
                if now < self.next_try {
                    return Step::Wait(self.next_try.min(*until));
                }
                Step::Release(self.write(Purpose::Release, self.timing.call(), now, wall))
            }
            Role::Candidate => self.run_for_it(wish, now, wall),
        }
    }

    fn lost(&self, now: Moment) -> Option<Loss> {
        let Role::Holder { held, .. } = &self.role else { return None };
        if now >= held.until {
            return Some(Loss::Expired);
        }
        let record = &self.seen()?.record;
        // A name that was removed is put back by the next renewal, as a Lease that vanished is made again.
        let other = !self.is_mine(record) && record.claim() != Claim::Cleared;
        other.then_some(Loss::Taken)
    }

    fn run_for_it(&mut self, wish: Wish, now: Moment, wall: DateTime<Utc>) -> Step {
        let (Wish::Take | Wish::Seed, Some(free)) = (wish, self.free_from()) else { return Step::Wait(Moment::NEVER) };
        let (absent, unmade) = (self.seen().is_none(), self.is_unmade(now));
        if wish == Wish::Seed && !unmade {
            return Step::Wait(Moment::NEVER);
        }
        let at = if absent { self.next_try } else { free.max(self.next_try) };
        if now < at {
            return Step::Wait(at);
        }
        if absent && (wish == Wish::Seed || !unmade) {
            let purpose = if unmade { Purpose::Seed } else { Purpose::Mend };
            return Step::Make(self.write(purpose, self.timing.call(), now, wall));
        }
        let base = self.seen().map(|lease| lease.record.clone());
        if !base.as_ref().is_some_and(|record| self.is_mine(record)) {
            // A try whose fate is unknown goes on under its mark, by which its record will be known again.
            let attempt = self.attempt.take().filter(|attempt| attempt.base == base);
            self.attempt = Some(attempt.unwrap_or_else(|| Attempt {
                acquired: self.stamp(wall),
                number: self.number.saturating_add(1),
                base,
            }));
        }
        Step::Acquire(self.write(Purpose::Acquire, self.timing.call(), now, wall))
    }

    /// Rises with every write, so that no two of my records are equal even if the time of day stands still.
    fn stamp(&mut self, wall: DateTime<Utc>) -> DateTime<Utc> {
        // Leases keep microseconds.
        self.written = wall.trunc_subsecs(6).max(self.written + TimeDelta::microseconds(1));
        self.written
    }

    fn write(&mut self, purpose: Purpose, within: Duration, now: Moment, wall: DateTime<Utc>) -> Write {
        let stamp = self.stamp(wall);
        self.call = Some(Call { purpose, sent: now, stamp });
        let (acquired, number) =
            self.attempt.as_ref().map_or((stamp, self.number), |attempt| (attempt.acquired, attempt.number));
        let claims = matches!(purpose, Purpose::Acquire | Purpose::Renew);
        let free = matches!(purpose, Purpose::Release | Purpose::Seed);
        let record = Record {
            holder: claims.then(|| self.me.to_string()),
            acquired: Some(acquired),
            renewed: Some(stamp),
            seconds: if free { RELEASED_SECONDS } else { self.timing.lease_seconds() },
            transitions: number,
        };
        Write { version: self.seen().map(|lease| lease.version.clone()), record, within }
    }

    fn read(&mut self, now: Moment) -> Step {
        self.call = Some(Call { purpose: Purpose::Read, sent: now, stamp: self.written });
        Step::Read(self.timing.call())
    }

    fn wait(&self, until: Moment) -> Step {
        Step::Wait(self.held().map_or(until, |held| until.min(held.until)))
    }

    /// Takes in what came of the last call. `roll` is random in `0..1` and spreads the next try.
    pub fn reply(&mut self, reply: Reply, now: Moment, roll: f64) {
        let Some(call) = self.call.take() else { return };
        self.heard = now;
        match reply {
            Reply::Stored(lease) => {
                self.must_read = false;
                self.come_into_force(call, &lease);
                self.see(Some(lease), now);
            }
            Reply::Found(lease) => {
                self.must_read = false;
                self.see(lease, now);
            }
            Reply::Missing => self.see(None, now),
            Reply::Conflict => {
                self.must_read = true;
                // Read at once, but do not race a writer that writes all the time.
                self.next_try = now;
            }
            Reply::Failed => {
                self.next_try = if self.held().is_some() {
                    let pause = self.timing.holder_pause(roll);
                    // A call that took its whole time was pause enough.
                    (call.sent + pause).max(now + pause / 4)
                } else {
                    now + self.timing.candidate_pause(roll)
                };
                self.must_read = true;
                if matches!(call.purpose, Purpose::Acquire | Purpose::Renew) {
                    self.unanswered = Some(call);
                }
            }
        }
    }

    /// What it means that a write was applied.
    fn come_into_force(&mut self, call: Call, lease: &Stored) {
        self.unanswered = None;
        let until = call.sent + self.timing.renew_deadline();
        match (call.purpose, &mut self.role) {
            (Purpose::Acquire, Role::Candidate) => {
                let epoch = Epoch { lease: lease.uid.as_str().into(), number: lease.record.transitions };
                self.role = Role::Holder { held: Held { epoch, until }, renewed: call.sent };
            }
            (Purpose::Renew, Role::Holder { held, renewed }) => (held.until, *renewed) = (until, call.sent),
            // The claim was being given back while it was prolonged.
            (Purpose::Renew, Role::Releasing { until: end }) => *end = until,
            (Purpose::Release, role) => {
                *role = Role::Candidate;
                self.attempt = None;
            }
            _ => {}
        }
    }

    /// Leaves the claim to run out instead of giving it back: guarded work may still be going on.
    pub fn abandon(&mut self) {
        (self.role, self.attempt) = (Role::Candidate, None);
    }
}

#[cfg(test)]
mod tests;
