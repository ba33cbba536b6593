//! `pollinator crds`.

use std::process::ExitCode;

use super::print;

/// Prints the custom resource definitions as YAML.
pub fn run() -> ExitCode {
    print(crate::api::crds_yaml().as_bytes())
}
