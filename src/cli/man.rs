//! `pollinator man`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_mangen::Man;

use super::{command, print};
use crate::observe::output;

/// Prints the manual page of the program, or writes that and one for each command into a folder.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for pollinator.1 and a page for each command; it is created if it does not exist. Default: one page is printed.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// 1 when standard output or a file cannot be written.
pub fn run(args: &ManArgs) -> ExitCode {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        return match Man::new(command().disable_help_subcommand(true)).render(&mut page) {
            Ok(()) => print(&page),
            Err(_) => ExitCode::FAILURE,
        };
    };
    match write(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(format_args!("pollinator: {}: {error}", folder.display()));
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command(), folder)
}
