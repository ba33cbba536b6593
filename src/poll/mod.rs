//! Polling: when each resource is due, and one poll from its first request to the committed cursor.
//!
//! The [`engine`] holds all instances of the process. [`command`]s say what is declared. It keeps an `entry` for each instance, and starts
//! a `job` when a resource is due ([`schedule`]; after a restart, [`start`]). At most one job of a resource runs at a time. A changed plan
//! waits until the jobs of the old one have ended: no event of the old plan goes to the new callback. What a job met becomes the [`health`]
//! of its resource, and health and state become the [`status`] that people read.
//!
//! A poll is five steps ([`cycle`]): prepare sinks and credentials, send what is due in the retry queue, read the list page by page, hand
//! each page's changes to the outbox, and commit. It never reads a spec, it gets a plan; it never loops over records, the detector does.
//! Which page comes next is decided by one declared machine ([`strategy`]), a function of what was seen.
//!
//! When a resource is polled next follows from how its last job ended:
//!
//! - After a success it is the next point of its rhythm. The rhythm hangs on a seed of its own, so that it is the same on every replica and
//!   after every restart, and the polls of many resources are spread over the interval.
//! - After a failure it is a back-off, by the problem's [`Reaction`](crate::api::conditions::Reaction): soon for what may pass by itself,
//!   no sooner than the interval for what a person must fix, and no sooner than demanded for a server that limits its rate.
//! - A problem may say what would end it ([`Remedy`](crate::api::conditions::Remedy)). When that comes, a command wakes what waits for it,
//!   and only that. The scheduler knows no protocol by which it comes.
//!
//! Rules for whatever is added here:
//!
//! - **Nothing is committed that was not accepted, deferred or parked.** A crash repeats at most what was accepted since the last commit.
//! - **An idle poll costs the poll and nothing else**: no write, no log line above debug, nothing kept in memory.
//! - **A process that no longer owns an instance does nothing more for it.** A [`claim`] is checked before each step that others can see; a
//!   process that slept finds out before its next request.
//! - **No decision depends on a reason or a message.** Those are for people; decisions look at outcomes, reactions and remedies.

mod callback_log;
pub mod claim;
pub mod command;
pub mod context;
pub mod cycle;
pub mod detail_tries;
mod due;
pub mod engine;
mod entry;
pub mod health;
pub mod instance;
mod job;
pub mod memory;
mod page_retries;
mod pages;
pub mod report;
mod reported;
pub mod round;
pub mod schedule;
mod sinks;
pub mod start;
pub mod status;
pub mod strategy;
mod wall_clock;
