//! One cycle: fetch → detect → deliver → commit; and when the next one is due.
//!
//! [`engine`] owns the running instances and their due times, [`cycle`] runs one poll, [`dispatch`] sends its changes,
//! [`settle`] books each answer into the state, [`status`] says what a user reads. A poll never reads a spec, it gets a plan.

pub mod access;
pub mod claim;
pub mod context;
pub mod cycle;
pub mod dispatch;
pub mod engine;
pub mod instance;
mod pages;
pub mod report;
pub mod schedule;
pub mod settle;
pub mod status;
pub mod strategy;
