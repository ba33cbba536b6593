//! Which change may go to which sink now, and which has to wait. Pure.

use chrono::{DateTime, Utc};

use super::delivery_state::DeliveryState;
use super::health::Admission;
use super::sink::SinkName;
use crate::detect::event::Change;

/// Changes of one resource that may be noted as taken by one sink and lacking at another. Above this number, a change goes to all sinks
/// that lack it at once, or to none: a sink that is down for long stops the others rather than have them get everything twice.
pub const MAX_TAKEN: usize = 1_000;

/// The sinks of a step.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// Their names.
    pub names: &'a [SinkName],
    /// The fingerprint of each one's target; `None`: it must not be asked any more.
    pub open: &'a [Option<u64>],
}

/// What one step does with a batch of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// For each sink, what is sent to it.
    pub sends: Vec<Vec<Ready>>,
    /// For each change, how many sinks are without it. What is sent is not counted off yet.
    pub lacking: Vec<usize>,
    /// For each change: it waits for a sink's probe, and may be sent in the same job.
    pub after_probe: Vec<bool>,
    /// Some sink may be asked.
    pub is_open: bool,
    /// A newer version took an older one's place in a retry queue, which must be saved.
    pub superseded: bool,
    /// A newer version found no room in a retry queue.
    pub queue_full: bool,
}

/// A change that is sent to a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its index in the batch.
    pub index: usize,
    /// The sink did not take this object before, so it travels alone: it must not take others with it.
    pub failed_before: bool,
}

impl Step {
    /// Changes that some sink is tried with.
    pub fn tried(&self) -> usize {
        let mut is_sent = vec![false; self.lacking.len()];
        self.sends.iter().flatten().for_each(|ready| is_sent[ready.index] = true);
        is_sent.into_iter().filter(|sent| *sent).count()
    }
}

/// Whether a change may be sent in this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Some sink takes it now, or it takes the place of an older one in a retry queue.
    Now,
    /// Its next try has not come, or no sink may be asked.
    Later,
    /// Every sink has it.
    No,
}

/// Whether a change may be sent in this job, as [`triage`] will decide.
pub fn wanted(state: &DeliveryState<'_>, change: &Change, targets: Targets<'_>, now: DateTime<Utc>) -> Wanted {
    let mut wanted = Wanted::No;
    for (sink, target) in targets.names.iter().zip(targets.open) {
        if state.has(sink, change) {
            continue;
        }
        let admission = target.map(|target| state.sinks.health(sink).admission(target, now));
        let is_open = matches!(admission, Some(Admission::Open | Admission::Probe));
        let waits = state.failing_at(sink, change.object).is_some_and(|failing| failing.next_try > now);
        if (is_open && !waits) || state.sinks.queue(sink).holds(&change.event.resource, change.object) {
            return Wanted::Now;
        }
        wanted = Wanted::Later;
    }
    wanted
}

/// Looks at changes of distinct objects of one resource. What a sink has is left out; an object of which it keeps an older version in
/// its retry queue is replaced there; one whose next try has not come waits.
pub fn triage(state: &mut DeliveryState<'_>, changes: &[Change], targets: Targets<'_>, now: DateTime<Utc>) -> Step {
    let mut step = Step { lacking: vec![0; changes.len()], after_probe: vec![false; changes.len()], ..Step::default() };
    let mut probing = Vec::with_capacity(targets.names.len());
    for (sink, target) in targets.names.iter().zip(targets.open) {
        let mut ready = Vec::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            if state.has(sink, change) {
                continue;
            }
            if state.sinks.queue(sink).holds(&change.event.resource, change.object) {
                if state.sinks.supersede(sink, change.object, change.event.clone(), state.room, now).is_ok() {
                    state.note_taken(sink, change, targets.names);
                    step.superseded = true;
                } else {
                    step.queue_full = true;
                    step.lacking[index] += 1;
                }
                continue;
            }
            step.lacking[index] += 1;
            let failing = state.failing_at(sink, change.object);
            if failing.is_none_or(|failing| failing.next_try <= now) {
                ready.push(Ready { index, failed_before: failing.is_some_and(|failing| failing.attempts > 0) });
            }
        }
        let admission = target.map(|target| state.sinks.health(sink).admission(target, now));
        step.is_open |= matches!(admission, Some(Admission::Open | Admission::Probe));
        probing.push(admission == Some(Admission::Probe));
        step.sends.push(match admission {
            Some(Admission::Open) => ready,
            Some(Admission::Probe) => {
                let probe = probe(state, sink, changes, &ready);
                for waits in ready.iter().filter(|ready| Some(**ready) != probe) {
                    step.after_probe[waits.index] = true;
                }
                probe.into_iter().collect()
            }
            Some(Admission::ClosedUntil(_) | Admission::Gone) | None => Vec::new(),
        });
    }
    if state.taken.len() >= MAX_TAKEN {
        hold_back(state, changes, &mut step, &probing);
    }
    step
}

/// The object that failed least is the best probe: one that fails by itself must not keep the sink closed.
fn probe(state: &DeliveryState<'_>, sink: &SinkName, changes: &[Change], ready: &[Ready]) -> Option<Ready> {
    let attempts = |ready: &&Ready| state.failing_at(sink, changes[ready.index].object).map_or(0, |failing| failing.attempts);
    ready.iter().min_by_key(attempts).copied()
}

/// Leaves out what would have to be noted as taken by one sink and lacking at another. A probe is always sent: only when its sink is open
/// again does the number go down.
fn hold_back(state: &DeliveryState<'_>, changes: &[Change], step: &mut Step, probing: &[bool]) {
    for (index, change) in changes.iter().enumerate() {
        let sends = step.sends.iter().flatten().filter(|ready| ready.index == index).count();
        if sends < step.lacking[index] && !state.taken.iter().any(|taken| taken.object == change.object) {
            let open = step.sends.iter_mut().zip(probing).filter(|(_, probing)| !**probing);
            open.for_each(|(sends, _)| sends.retain(|ready| ready.index != index));
        }
    }
}

#[cfg(test)]
mod tests;
