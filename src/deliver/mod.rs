//! Changes → signed requests → accepted | try again | set aside.
//!
//! [`mod@format`] is how an event is written, [`signature`] how it is signed, [`sender`] how it is sent;
//! [`schedule`] says when a failure is tried again, [`callback`] how the callback fares as a whole, [`ledger`] what waits.

pub mod callback;
pub mod format;
pub mod ledger;
#[cfg(test)]
pub(crate) mod sample;
pub mod schedule;
pub mod sender;
pub mod signature;
