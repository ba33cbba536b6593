//! The `pollinator` binary: all of it is in the library, see [`pollinator::cli::main`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pollinator::cli::main()
}
