//! What can be seen from outside: log lines, metrics, and the endpoints of health.

pub mod metrics;
pub mod output;
pub mod pulse;
pub mod server;
pub mod span;
pub mod telemetry;

pub use metrics::Metrics;
pub use pulse::Pulse;
pub use telemetry::LogFormat;
