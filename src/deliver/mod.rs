//! Delivery: the changes of a job → requests to every sink → accepted, tried again, or kept in the retry queue.
//!
//! The [`outbox`] of a job takes the changes of one page. [`rounds`] says what waits for an earlier event of its object, [`triage`] which
//! events may go to which sink now, [`batch`] which of them are sent in one request, and a [`sink`] encodes, sends and answers with a
//! [`Delivery`](sink::Delivery). [`outcome`] applies each answer to the state, in one step under its lock. Changes are sent in parallel, to
//! all sinks and several to each, but never two of one object to the same sink: a receiver gets the versions of an object in their order.
//! Before a job polls, the outbox sends the events of the retry queue that are due.
//!
//! What a failure leads to depends on whose it is:
//!
//! - **An object's.** A change that a sink refuses is held back until its next try ([`schedule`]), and the cursor waits for it. After three
//!   tries it moves to the [`retry_queue`] with its body, and the cursor goes on. An event whose tries are used up, or that was refused too
//!   often, is parked until a person asks for it.
//! - **A sink's.** When the last five distinct objects all failed, the sink is down ([`health`]): nothing moves to the retry queue, no try
//!   is counted, and one probe is sent for each step of the schedule. Otherwise an outage would fill the queue with events that are fine.
//! - **A person's.** A target that is gone gets nothing until the manifest changes, and without usable credentials nothing is sent. A
//!   condition says what to fix.
//!
//! What holds whatever happens:
//!
//! - **A change is known once every sink has accepted, deferred or parked it.** A sink that has it does not get it again because another
//!   one failed; what each of them has is noted until all do ([`delivery_state`]).
//! - **Nothing is dropped.** When the retry queue is full, the change stays at the provider and the cursor waits.
//! - **Never more than 256 accepted events are unsaved.** A crash repeats at most those, and each has the id that it had before.
//! - **Only a sink knows its protocol.** Retries, health and state depend on what a `Delivery` says and on nothing that HTTP says.
//!
//! [`sinks`] keeps health and retry queue by the name of the sink.

pub mod batch;
pub mod delivery_state;
pub mod health;
pub mod journaled;
#[cfg(test)]
mod model_tests;
pub mod outbox;
pub mod outcome;
pub mod retry_queue;
pub mod rounds;
#[cfg(test)]
pub(crate) mod sample;
pub mod schedule;
pub mod sink;
pub mod sinks;
pub mod triage;
