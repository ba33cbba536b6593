//! One range of a session: its election, its hand-over, and what was reported of it to the shell.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::action::{Action, Todo};
use super::election::{Election, Step, Wish};
use super::name::Name;
use super::range::Range;
use super::tenure::{Held, Loss};
use crate::moment::Moment;

/// A range with its election.
#[derive(Debug)]
pub(super) struct Slot {
    pub range: Range,
    pub election: Election,
    pub drain: Option<Drain>,
    /// Whether the shell found the claim at its end.
    pub abandoned: bool,
    /// What the shell believes.
    pub told: Option<Held>,
}

/// How far a range is on its way to another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// Decided, at this moment.
    Due(Moment),
    /// The shell was asked to let work end; decided at this moment.
    Asked(Moment),
    /// No work is under way.
    Ended,
}

impl Slot {
    pub fn new(range: Range, election: Election) -> Self {
        Self { range, election, drain: None, abandoned: false, told: None }
    }

    /// The member that let it lapse, and is probably dead.
    pub fn lapsed_holder(&self, now: Moment) -> Option<&str> {
        let seen = self.election.observation().filter(|_| self.election.held().is_none())?;
        seen.holder().filter(|_| self.election.free_from().is_some_and(|free| now >= free))
    }

    /// The member that may hold it, this process included.
    pub fn holder<'a>(&'a self, me: &'a str, now: Moment) -> Option<&'a str> {
        if self.election.is_involved() {
            return self.election.held().map(|_| me);
        }
        let seen = self.election.observation()?;
        // A claim of mine that was left to run out has no holder.
        seen.holder().filter(|holder| *holder != me).filter(|_| self.election.free_from().is_some_and(|free| now < free))
    }

    /// Takes all steps that can be taken now, and returns what they mean for the range to the shell.
    pub fn advance(&mut self, wish: Wish, drain_bound: Duration, now: Moment, wall: DateTime<Utc>, todo: &mut Todo) {
        self.tell(todo);
        if std::mem::take(&mut self.abandoned) {
            self.election.abandon();
            self.lose(Loss::Expired, todo);
        }
        if let Some(Drain::Asked(since)) = self.drain {
            if now >= since + drain_bound {
                // Work that ignores the loss may still be under way: the margin of the lease covers it, a release would not.
                self.election.abandon();
                self.lose(Loss::Abandoned, todo);
                return;
            }
            todo.wake_at(since + drain_bound);
        }
        loop {
            match self.election.step(wish, now, wall) {
                Step::StepDown(loss) => self.lose(loss, todo),
                Step::Wait(until) => {
                    todo.wake_at(until);
                    return;
                }
                step => {
                    todo.call(&Name::Range(self.range), step);
                    return;
                }
            }
        }
    }

    fn tell(&mut self, todo: &mut Todo) {
        let held = self.election.held();
        match (held, &self.told) {
            (Some(held), None) => todo.actions.push(Action::Own(self.range, held.clone())),
            (Some(held), Some(told)) if held != told => todo.actions.push(Action::Extend(self.range, held.clone())),
            _ => {}
        }
        self.told = held.cloned();
        if held.is_none() {
            self.drain = None;
        }
        if let (Some(Drain::Due(since)), Some(held)) = (self.drain, held) {
            self.drain = Some(Drain::Asked(since));
            todo.actions.push(Action::Drain(self.range, held.clone()));
        }
    }

    fn lose(&mut self, loss: Loss, todo: &mut Todo) {
        self.drain = None;
        if self.told.take().is_some() {
            todo.actions.push(Action::Lose(self.range, loss));
        }
    }
}
