//! A provider whose truth is known, and the check of what was delivered of it: all that is needed to watch the engine work.

pub mod oracle;
pub mod provider;
pub mod sample;
pub mod session;

#[cfg(test)]
mod restarts;
