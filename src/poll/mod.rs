//! Polling: when each resource is due, and one poll from its first request to the committed cursor.
//!
//! The [`engine`] holds all instances of the process. It is told by [`command`]s what is declared, keeps an `entry` for each, and begins a
//! `job` when a resource is due ([`schedule`]; after a restart, [`start`]). At most one job of a resource runs at a time, and a changed
//! plan waits until the jobs of the old one have ended: no event of the old plan goes to the new callback. What a job met becomes the
//! [`health`] of its resource, and health and state become the [`status`] that people read.
//!
//! A poll is five steps ([`cycle`]): prepare sinks and credentials, send what is due in the retry queue, read the list page by page, hand
//! each page's changes to the outbox, and commit. It never reads a spec, it gets a plan; it never loops over records, the detector does.
//! Which page comes next is decided by one declared machine ([`strategy`]), a function of what was seen.
//!
//! Three rules hold for whatever is added here:
//!
//! - **Nothing is committed that was not accepted, deferred or parked.** A crash repeats at most what was accepted since the last commit.
//! - **An idle poll costs the poll and nothing else**: no write, no log line above debug, nothing kept in memory.
//! - **Whoever is no longer the owner does nothing more.** A [`claim`] is asked before each step that others can see; a process that slept
//!   finds out before its next request.

pub mod claim;
pub mod command;
pub mod context;
pub mod cycle;
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
pub mod schedule;
mod sinks;
pub mod start;
pub mod status;
pub mod strategy;
