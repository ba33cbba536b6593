//! `pollinator schema`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::print;
use crate::api::editor::editor_schemas;

/// A kind that has a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// What is polled, how changes are detected, and where they are sent.
    #[value(name = "connectorinstance", alias = "ConnectorInstance")]
    ConnectorInstance,
    /// What all instances of one API have in common.
    #[value(name = "connector", alias = "Connector")]
    Connector,
}

/// Prints the JSON Schema of a kind, with which an editor completes and marks fields. A file that names it in its first comment,
/// `# yaml-language-server: $schema=FILE`, is checked while it is written.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The kind.
    kind: Kind,
}

/// 1 when standard output cannot be written.
pub fn run(args: &SchemaArgs) -> ExitCode {
    let name = format!("{:?}", args.kind);
    let made = editor_schemas().into_iter().find(|schema| schema.kind == name);
    print(made.map(|schema| schema.text).unwrap_or_default().as_bytes())
}
