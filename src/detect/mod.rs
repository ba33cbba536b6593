//! Records + state → changes + next state. Pure: `now` and the cursor come in as data, nothing here waits or asks.
//!
//! [`detector`] is the unit that polls, trials, tests and benches call: a page and the known set in, changes out, and at the end of a
//! listing the next cursor. It reads each record once ([`record`]: id, dates, mark, hash) and classifies it against the known set
//! ([`classify`], [`known`]). Three rules carry it:
//!
//! - **The version of a record is its id with its date.** Bytes count only where there is no date, or while the unit of the date is not
//!   over on the provider's clock ([`clock`]), since until then a second change may have the same date.
//! - **What was seen decides, not what a clock says.** Behind the cursor lies the dedup window ([`window`]), within which all records
//!   are known; an unknown id there is new, however late it was listed. Only before the window an unknown id says nothing.
//! - **A date beyond the provider's clock orders nothing**: it moves no cursor and silences no later version.
//!
//! [`event`] is what happened, with an id that is the same for ever; [`zone`] suspects a wrong time zone, `day_times` instants that stand for days,
//! [`absent`] a misspelt field, [`named_fields`] other paths that no record has, [`event_types`] types of events that no key fits, [`unidentified`] rows without an id, [`unreadable_date`] dates of another format, [`turnover`] records that a list showed between two polls or with old dates, [`filter`] a filter that the provider ignores, [`volatile`] members that differ at every look.
//! [`sweep`] finds the records that a complete list no longer shows, and [`life`] says what is remembered of them for that.
//! [`deleted_list`] says what a row of a list of deleted ids means.
//! [`changes`] names the fields of a record that changed. [`selection`] says which records are delivered, and [`shape`] what of them; both look at nothing that detection has not seen.

pub mod absent;
mod canonical;
pub mod changes;
pub mod classify;
pub mod clock;
mod day_times;
pub mod deleted_list;
pub mod details;
pub mod detector;
pub mod event;
pub mod event_types;
mod feed;
pub mod filter;
mod id_set;
pub mod known;
pub mod life;
pub mod mark;
pub mod named_fields;
pub mod order;
pub mod packed;
mod page_reading;
pub mod parents;
pub mod partition;
pub mod pass;
pub mod record;
mod rows;
pub mod seen;
pub mod selection;
pub mod shape;
pub mod sweep;
mod table;
pub mod turnover;
pub mod unidentified;
pub mod unreadable_date;
pub mod volatile;
pub mod window;
pub mod zone;
