//! What can be seen from outside: log lines, metrics, and the scheduler's sign of life.

pub mod metrics;
pub mod output;
pub mod pulse;
pub mod span;
pub mod telemetry;

pub use metrics::Metrics;
pub use pulse::Pulse;
pub use telemetry::LogFormat;
