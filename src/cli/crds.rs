//! `pollinator crds`.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints the custom resource definitions as YAML.
pub fn run() -> ExitCode {
    match std::io::stdout().write_all(crate::api::crds_yaml().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
