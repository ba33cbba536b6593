//! The engine without a cluster: definitions from a folder, state in a folder, statuses as lines.

pub mod api_credentials;
pub mod definitions;
pub mod files;
mod reading;
pub mod reload;
pub mod report;
