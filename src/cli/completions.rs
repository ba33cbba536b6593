//! `pollinator completions`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::{command, print};

/// Prints a script that completes commands, options and their values in a shell. What it is made from does not change while the program
/// does not, so it may be kept in a file.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// 1 when standard output cannot be written.
pub fn run(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "pollinator", &mut script);
    print(&script)
}
