//! Changes → signed requests → accepted | tried again | kept in the retry queue.
//!
//! [`outbox`] decides what is sent when, and sends it: [`triage`] says which change may go to which sink now, [`rounds`] what
//! waits for an earlier event of its object, [`batch`] what travels in one request, [`sink`] encodes and sends, [`outcome`] applies what became of it to the state. [`health`] says how a sink fares as
//! a whole, [`retry_queue`] what it keeps with its body, [`schedule`] when a failure is tried again; [`sinks`] holds this of every
//! sink, [`delivery_state`] what delivery reads and changes of one resource.
//!
//! Only a sink knows its protocol. A change counts as known once every sink has accepted, deferred or parked it.

pub mod batch;
pub mod delivery_state;
pub mod health;
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
