//! CPU time as a budget: what costs much takes turns, which leave an async worker free, what a job costs is metered, and an instance that
//! costs more than its fair share waits while others want the time.
//!
//! [`shares`] decides, [`CpuBudget`] hands out turns, [`metered`] measures jobs. Answers of everyday size pay for none of it: their
//! records are read where their job runs. What must go on whatever the instances cost has an [`own_thread`].

mod budget;
mod clock;
pub mod metered;
pub mod own_thread;
pub mod shares;

pub use budget::CpuBudget;
pub use shares::OverShare;
