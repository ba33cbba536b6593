//! The page of commands, made from what clap knows of them, so that it cannot say anything else than `--help`.

use std::fmt::Write as _;

use super::command;

/// Columns of the help texts.
const WIDTH: usize = 110;

const INTRODUCTION: &str = "\
# Commands

This page shows what `--help` prints. A test generates it (`UPDATE_GENERATED=1 cargo test --lib reference`). To learn what the commands are for,
see [Run without a cluster](../tasks/local.md) and [Run the operator](../operate/operator.md). You can also set an option by the environment variable
that it names; the command line takes precedence. `--log` and `--log-format` can follow every command.

Exit statuses: 0 if everything went well; 1 if an instance, a resource or the demo failed, or the output could not be written; 2 if the command
could not start, for example because an argument or a manifest cannot be read; 130 if a second SIGINT or SIGTERM ended the process at once.
A reader that closes the pipe, such as `head`, changes none of these.
";

/// The text of `docs/reference/cli.md`.
pub fn page() -> String {
    let mut cli = command().term_width(WIDTH).max_term_width(WIDTH);
    cli.build();
    let mut page = INTRODUCTION.to_owned();
    section(&mut page, "pollinator", &cli.render_long_help().to_string());
    for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        let name = format!("pollinator {}", command.get_name());
        // The options of every command are listed once, above.
        *command = std::mem::take(command).mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
        section(&mut page, &name, &command.render_long_help().to_string());
        for part in command.get_subcommands_mut().filter(|part| part.get_name() != "help") {
            *part = std::mem::take(part).mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
            let name = format!("{name} {}", part.get_name());
            section(&mut page, &name, &part.render_long_help().to_string());
        }
    }
    page
}

fn section(page: &mut String, name: &str, help: &str) {
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    // Writing to a String does not fail.
    let _ = write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_page_of_commands_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/cli.md");
        let expected = page();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "docs/reference/cli.md is stale: run UPDATE_GENERATED=1 cargo test --lib reference");
    }

    #[test]
    fn every_command_and_option_tells_what_it_does() {
        let mut cli = command();
        cli.build();
        for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
        }
    }
}
