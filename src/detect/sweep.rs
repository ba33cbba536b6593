//! Deletions by complete readings of the list: which ids are missing, whether that proves anything, and what follows. Pure.
//!
//! A **sweep** reads the list without its lower bound, in one or several passes. What it does not show is missing, and what is missing
//! twice in a row is deleted. Four things make that safe:
//!
//! - A list of several pages moves while it is read, and a row that moves hides another one. So a pass that misses something counts only
//!   when the next pass shows the same: the same rows in the same order, or the same set of ids with none listed twice. A row that was
//!   hidden leaves one that was seen and is gone, or one that was seen twice.
//! - What is listed is there, whatever else a reading proves: being seen clears every suspicion ([`Presence::Listed`]).
//! - A list that shows none of the records that were known proves nothing, and many missing ids at once wait for a person
//!   ([`Presence::Held`]). So do all that are missing after the request for the list was edited: it may simply ask for others.
//! - Where the plan has a request for one record, its answer decides, and at once if few are missing. What takes many records out of the
//!   list for a moment, such as a token of another tenant, answers for each of them in the same way; so then a second sweep must agree.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::known::{Details, DetailsView, KnownSet, Presence};
use super::pass::{Digest, Pass};
use crate::plan::SnapshotPlan;

/// Passes of one sweep: a list that never shows the same twice proves nothing.
pub const MAX_PASSES: u32 = 4;
/// Records that one sweep asks for by themselves, unless a person approved more; the others are asked for by the next one.
pub const MAX_ASKED: usize = 1_000;
/// How long a deletion is remembered: a copy of the record that comes back within that time is announced under another event id.
pub const TOMBSTONES: TimeDelta = TimeDelta::days(30);

/// What is kept of the sweeps of a resource. The ids that are missing are marked in the known set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SweepState {
    /// When the last one was begun that read the list to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Ids that it did not show, but for those whose deletion every sink has.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// Of these, ids whose deletion waits for a person.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Of these, ids whose deletion is to be sent.
    #[serde(skip_serializing_if = "is_zero")]
    pub gone: u64,
    /// Ids that were known as living then, while deletions wait.
    #[serde(skip_serializing_if = "is_zero")]
    pub living: u64,
    /// It showed none of the records that were known, and deletions wait.
    #[serde(rename = "empty", skip_serializing_if = "std::ops::Not::not")]
    pub none_listed: bool,
    /// It missed too many records to count as evidence: the list may have had a fault.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspect: bool,
    /// A person approved the deletions that wait.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub approved: bool,
    /// Which request listed what may be missing ([`SnapshotPlan::asked`]); 0: that is not kept yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub asked: u64,
    /// Of those that wait for a person, ids for which the provider answers with another record, or with one that is marked.
    #[serde(skip_serializing_if = "is_zero")]
    pub replaced: u64,
    /// Ids of which the provider's answers did not say in two sweeps in a row whether they are deleted.
    #[serde(skip_serializing_if = "is_zero")]
    pub unclear: u64,
    /// Rows that the provider counted and did not list, as in a list of which the credentials do not show all.
    #[serde(skip_serializing_if = "is_zero")]
    pub short: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl SweepState {
    /// Whether another request than that of the plan listed what may be missing.
    pub fn is_edited(&self, plan: &SnapshotPlan) -> bool {
        self.asked != 0 && self.asked != plan.asked
    }

    /// Nothing is to be kept.
    pub fn is_fresh(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a sweep is due in a poll that begins `now`: half of the poll's interval early, so that jitter does not cost a whole one.
    pub fn is_due(&self, interval: Option<Duration>, poll_interval: Duration, now: DateTime<Utc>) -> bool {
        let (Some(at), Some(interval), false) = (self.at, interval, self.approved) else { return true };
        let wait = TimeDelta::from_std(interval.saturating_sub(poll_interval / 2)).unwrap_or(TimeDelta::MAX);
        at > now || at.checked_add_signed(wait).is_none_or(|due| now >= due)
    }
}

/// Why a sweep that read the list to its end proves no absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// No two passes in a row showed the same.
    Moved,
    /// Records have no id.
    Unidentified,
    /// The provider's answers say that there are more rows than they listed.
    Short,
    /// Two passes in a row showed the same, with rows on several pages.
    Overlaps,
    /// The answer is a copy from a cache, made before some of the records that are known.
    OldCopy,
}

/// What the last answer of a pass says of rows that it did not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Rows by which its total exceeds those that were listed.
    pub short: u64,
    /// It says that more follows.
    pub more: bool,
    /// Its total says that all rows were listed.
    pub counted: bool,
}

/// What follows a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterPass {
    /// Another one.
    Again,
    /// What is missing is missing.
    Proven(Absent),
    /// Nothing.
    Unproven(Unproven),
}

/// A sweep under way.
#[derive(Debug)]
pub struct Sweep<'p> {
    plan: &'p SnapshotPlan,
    /// Rows that the last sweep's answers counted and did not list.
    short: u64,
    /// Records that were known as living before the poll.
    living_before: u64,
    /// All that was ever listed is known.
    is_full: bool,
    passes: u32,
    before: Option<Digest>,
}

impl<'p> Sweep<'p> {
    /// Begins. `is_full`: all that was ever listed is known; else this sweep has to find it. `short` is what [`SweepState`] has,
    /// `living_before` what [`living`] counted before the poll.
    pub fn new(plan: &'p SnapshotPlan, is_full: bool, short: u64, living_before: u64) -> Self {
        Self { plan, short, living_before, is_full, passes: 0, before: None }
    }

    /// The list was read to its end, in this number of pages. A total may always count rows that are not listed, and then by the same
    /// number as before when others are deleted; when it counts more of them, those that are missing may be among them.
    pub fn pass_ended(&mut self, pass: &Pass, pages: u32, claim: Claim, known: &KnownSet) -> AfterPass {
        self.passes += 1;
        let agrees = self.before.replace(pass.digest).is_some_and(|before| pass.digest.agrees_with(before));
        if pass.unidentified {
            return AfterPass::Unproven(Unproven::Unidentified);
        }
        let absent = Absent { short: claim.short, ..Absent::of(known, pass, self.living_before) };
        let lacks_rows = claim.more || claim.short > self.short;
        if lacks_rows && !absent.ids.is_empty() && self.plan.confirm.is_none() {
            return AfterPass::Unproven(Unproven::Short);
        }
        // One answer holds still; and what is asked for by itself needs no other proof.
        let is_sure = self.is_full && (absent.ids.is_empty() || self.plan.confirm.is_some());
        if agrees && pass.digest.overlaps && pages > 1 && !is_sure && !absent.ids.is_empty() {
            return AfterPass::Unproven(Unproven::Overlaps);
        }
        let is_proven = pages <= 1 || agrees || is_sure;
        match is_proven {
            true => AfterPass::Proven(absent),
            false if self.passes >= MAX_PASSES => AfterPass::Unproven(Unproven::Moved),
            false => AfterPass::Again,
        }
    }
}

/// What the provider answered when it was asked for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is there.
    Lives,
    /// It is deleted.
    Gone,
    /// The answer is another record, as after a merge, or the record with a mark that says that it is deleted or archived.
    Replaced,
    /// Nothing of that is certain.
    Unclear,
}

/// What the conclusion of a sweep asks of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conclusion {
    /// Nothing: there is nothing new in it.
    Same,
    /// To be stored some time.
    News,
    /// To be stored before a deletion is sent: there are some that were not to be sent before. Should such a record come back, that must
    /// be known, whatever happens in between.
    Deletions,
}

/// The living records that a sweep did not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absent {
    /// Hashes of their ids, with what was known of their presence.
    pub ids: Vec<(u64, Presence)>,
    /// Records that were known as living, these included.
    pub living: u64,
    /// The list had none of the records that were known before the poll.
    pub none_listed: bool,
    /// Rows that the provider counted and did not list.
    pub short: u64,
}

/// The records whose deletion can be announced, which takes the text of the id.
fn named(known: &KnownSet) -> impl Iterator<Item = (u64, Presence)> {
    known.iter().filter_map(|(id, known, details)| {
        let details = details.filter(|details| details.id.is_some() && !known.deleted)?;
        Some((id, details.presence))
    })
}

/// Records that are known as living.
pub fn living(known: &KnownSet) -> u64 {
    named(known).count() as u64
}

impl Absent {
    fn of(known: &KnownSet, pass: &Pass, living_before: u64) -> Self {
        let mut absent = Self::default();
        for (id, presence) in named(known) {
            absent.living += 1;
            if !pass.has(id) {
                absent.ids.push((id, presence));
            }
        }
        // What the poll itself found is listed, and is no sign that the list is still the same.
        absent.none_listed = living_before > 0 && absent.ids.len() as u64 >= living_before;
        absent
    }

    /// The records whose deletion is not decided. A person may have approved those that wait.
    fn undecided(&self, approved: bool) -> impl Iterator<Item = u64> {
        let is_undecided = move |presence| match presence {
            Presence::Listed | Presence::Missed => true,
            Presence::Held => !approved,
            Presence::Gone => false,
        };
        self.ids.iter().filter(move |(_, presence)| is_undecided(*presence)).map(|(id, _)| *id)
    }

    fn approved(&self, approved: bool) -> impl Iterator<Item = u64> {
        self.ids.iter().filter(move |(_, presence)| approved && *presence == Presence::Held).map(|(id, _)| *id)
    }

    /// Whether enough are missing that a person must look first.
    fn is_held(&self, plan: &SnapshotPlan, state: &SweepState) -> bool {
        let count = self.undecided(state.approved).count() as u64;
        let is_many = count > plan.max_count && self.exceeds_percent(plan, count);
        is_many || self.none_listed || (count > 0 && state.is_edited(plan))
    }

    fn exceeds_percent(&self, plan: &SnapshotPlan, count: u64) -> bool {
        count * 100 > plan.max_percent.saturating_mul(self.living)
    }

    /// The records that are to be asked for by themselves.
    pub fn to_ask(&self, plan: &SnapshotPlan, state: &SweepState) -> Vec<u64> {
        if plan.confirm.is_none() {
            return Vec::new();
        }
        let most = if self.is_held(plan, state) { 0 } else { MAX_ASKED };
        self.approved(state.approved).chain(self.undecided(state.approved).take(most)).collect()
    }

    /// Draws the conclusion of a sweep that began at `at`: marks what is missing in the known set.
    pub fn conclude(
        &self,
        plan: &SnapshotPlan,
        answers: &HashMap<u64, Answer>,
        state: &mut SweepState,
        known: &mut KnownSet,
        at: DateTime<Utc>,
    ) -> Conclusion {
        let mut conclusion = Conclusion::Same;
        let is_held = self.is_held(plan, state);
        let takes_two = self.exceeds_percent(plan, self.undecided(state.approved).count() as u64);
        // Where each poll is a sweep nothing hangs on the time, and a poll that finds nothing stores nothing.
        let mut next = SweepState {
            at: plan.interval.map(|_| at),
            suspect: is_held,
            asked: plan.asked,
            short: self.short,
            ..SweepState::default()
        };
        for (id, before) in &self.ids {
            let answered = answers.get(id).copied();
            let answer = answered.or(plan.confirm.is_some().then_some(Answer::Unclear));
            let is_approved = state.approved && *before == Presence::Held;
            let presence = match (before, answer) {
                (Presence::Listed, Some(Answer::Gone)) if takes_two => Presence::Missed,
                (Presence::Missed | Presence::Held, Some(Answer::Gone)) if takes_two && state.suspect && !is_approved => {
                    Presence::Missed
                }
                (Presence::Gone, _) | (_, Some(Answer::Gone)) => Presence::Gone,
                (_, Some(Answer::Lives)) => Presence::Listed,
                (Presence::Held, None | Some(Answer::Replaced)) if is_approved => Presence::Gone,
                (Presence::Held, _) if is_approved || is_held => Presence::Held,
                (Presence::Missed, _) if is_held => Presence::Held,
                // One of the two sweeps in a row showed too little to count.
                (Presence::Missed | Presence::Held, None) if state.suspect => Presence::Missed,
                (Presence::Missed | Presence::Held, None) => Presence::Gone,
                // Whether it is deleted is for a person to say.
                (Presence::Missed | Presence::Held, Some(Answer::Replaced)) => Presence::Held,
                (Presence::Listed, _) | (Presence::Missed | Presence::Held, Some(Answer::Unclear)) => Presence::Missed,
            };
            next.missing += u64::from(presence != Presence::Listed);
            next.held += u64::from(presence == Presence::Held);
            next.gone += u64::from(presence == Presence::Gone);
            next.replaced += u64::from(presence == Presence::Held && answer == Some(Answer::Replaced));
            next.unclear += u64::from(*before == Presence::Missed && answered == Some(Answer::Unclear));
            if let Some((known_as, details)) = known.get(*id).zip(known.details(*id).map(DetailsView::to_details))
                && details.presence != presence
            {
                let news = if presence == Presence::Gone { Conclusion::Deletions } else { Conclusion::News };
                conclusion = conclusion.max(news);
                known.remember_with(*id, known_as, Some(Details { presence, ..details }));
            }
        }
        if let Some(horizon) = at.checked_sub_signed(TOMBSTONES) {
            known.forget_tombstones_before(horizon);
        }
        if state.is_edited(plan) && next.missing > next.gone {
            next.asked = state.asked;
        }
        if next.held > 0 {
            (next.living, next.none_listed) = (self.living, self.none_listed);
        }
        if *state != next {
            conclusion = conclusion.max(Conclusion::News);
        }
        *state = next;
        conclusion
    }
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
