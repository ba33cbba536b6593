//! The `pollinator` binary: parse and dispatch, nothing else.

use std::process::ExitCode;

use clap::Parser as _;
use pollinator::observe::output;

fn main() -> ExitCode {
    let command = match pollinator::cli::Cli::try_parse() {
        Ok(command) => command,
        Err(told) => return output::usage(&told),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command.run()),
        Err(error) => {
            output::error(format_args!("pollinator: the run time cannot be started: {error}"));
            ExitCode::FAILURE
        }
    }
}
