//! Records + state → changes + next state. Pure: `now` and the cursor come in as data, nothing here waits or asks.
//!
//! [`record`] reads identity and dates out of one record, [`known`] remembers what was delivered, [`judge`] decides, [`event`] is what
//! happened.

pub mod event;
pub mod judge;
pub mod known;
pub mod record;
