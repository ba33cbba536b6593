//! What can be seen from outside: log lines, metrics, the scheduler's sign of life, and the last polls and deliveries.

pub mod journal;
pub mod last_hour;
pub mod metrics;
pub mod output;
pub mod pulse;
pub mod span;
pub mod telemetry;

pub use journal::Journal;
pub use metrics::Metrics;
pub use pulse::Pulse;
pub use telemetry::LogFormat;
