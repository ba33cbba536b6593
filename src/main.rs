//! The `pollinator` binary: parse and dispatch, nothing else.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let command = pollinator::cli::Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command.run()),
        Err(error) => {
            eprintln!("pollinator: the run time cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}
