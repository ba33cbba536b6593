//! Speed and size of the engine. Figures are printed, never asserted; what a run must have done (events delivered, nothing
//! written) is. `docs/operate/performance.md` holds the figures that were reached.
//!
//! `cargo bench` runs all sections, `cargo bench -- idle` those whose name contains the word. Criterion's options work for
//! `detect`; name the section before them.
//!
//! `POLLINATOR_PROGRAM=PATH cargo bench -- program` measures another program, such as that of an earlier release.
//!
//! Provider and receiver are child processes (this program under another argument), so that their cost is not counted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench whose rig fails can only end")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures are printed")]
#![allow(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^52")]

mod bare;
mod commit;
mod console;
mod delivery;
mod detect;
mod idle;
mod instances;
mod list;
mod local;
mod once;
mod process;
mod program;
mod rig;
mod server;
mod sweep;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [server::ARGUMENT] => return server::serve(),
        [instances::ARGUMENT, count, provider, state] => return instances::serve(count, provider, state),
        _ => {}
    }
    let filter = words.iter().find(|word| !word.starts_with('-'));
    let wanted = |section: &str| filter.is_none_or(|filter| section.contains(filter) || filter.starts_with(section));
    if wanted(detect::NAME) {
        detect::run();
    }
    // `cargo test --benches` and `--list` want no measurement.
    if !words.contains(&"--bench") || words.contains(&"--list") || words.contains(&"--test") {
        return;
    }
    let sections = [
        (commit::NAME, commit::run as fn()),
        (idle::NAME, idle::run),
        (delivery::NAME, delivery::run),
        (instances::NAME, instances::run),
        (program::NAME, program::run),
        (sweep::NAME, sweep::run),
        (console::NAME, console::run),
    ];
    for (name, run) in sections {
        if wanted(name) {
            println!();
            run();
        }
    }
}
