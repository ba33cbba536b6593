//! The program as a process that runs until it is dropped, seen from the outside.

use std::process::{Child, Command};
use std::time::Duration;

use crate::process;

/// `pollinator local`, running.
pub struct Local(pub Child);

impl Local {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("it starts"))
    }

    /// User and system time of all its threads, in steps of 10 ms.
    pub fn cpu(&self) -> Duration {
        process::cpu_of(self.0.id())
    }

    /// What was added to [`Self::cpu`] since.
    pub fn cpu_since(&self, before: Duration) -> Duration {
        self.cpu().saturating_sub(before)
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> u64 {
        process::rss_of(self.0.id()).expect("it runs")
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
