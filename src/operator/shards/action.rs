//! What the session wants done.

use std::time::Duration;

use super::call::Request;
use super::election::Step;
use super::name::Name;
use super::range::Range;
use super::record::Stored;
use super::tenure::{Held, Loss};
use crate::moment::Moment;

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// List the group's Leases, within this time; answered by [`Session::listed`](super::session::Session::listed).
    List(Duration),
    /// Make a call; answered by [`Session::replied`](super::session::Session::replied).
    Call(Name, Request),
    /// Delete the Lease if it is still this one. Not answered.
    Forget(Name, Stored),
    /// A range is owned from now on.
    Own(Range, Held),
    /// It stays owned.
    Extend(Range, Held),
    /// Start nothing new in it, and say [`Session::drained`](super::session::Session::drained) once what is under way has ended. It is
    /// still owned.
    Drain(Range, Held),
    /// It is not owned any more: stop at once whatever is still under way.
    Lose(Range, Loss),
}

/// What is to be done now, and when to ask again.
#[derive(Debug)]
pub(super) struct Todo {
    pub actions: Vec<Action>,
    pub wake: Moment,
}

impl Todo {
    pub fn wake_at(&mut self, at: Moment) {
        self.wake = self.wake.min(at);
    }

    pub fn call(&mut self, name: &Name, step: Step) {
        let request = match step {
            Step::Acquire(write) | Step::Renew(write) | Step::Release(write) | Step::Make(write) => Request::Write(write),
            Step::Read(within) => Request::Read(within),
            Step::Wait(_) | Step::StepDown(_) => return,
        };
        self.actions.push(Action::Call(name.clone(), request));
    }
}
