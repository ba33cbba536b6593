//! Standard output and standard error: the one place that writes to them.
//!
//! `print!` and `eprintln!` panic when the other end of a pipe is closed, as `| head` does; a lint keeps them out. Here a closed pipe means
//! that the rest is not wanted: commands end as they would have, `local` and `operator` go on working. Anything else that keeps output from
//! being written (a full disk) is remembered, and a command whose output is its result ends with it ([`finish`]).

use std::fmt::Display;
use std::future::Future;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::api::visible::{self, Lines};

/// Why standard output takes nothing any more, once it does not.
static ENDED: OnceLock<Option<String>> = OnceLock::new();

/// Writes to standard output, at once.
pub fn bytes(bytes: &[u8]) {
    write_with(|out| out.write_all(bytes));
}

tokio::task_local! {
    /// What the work of this task prints, where a page shows it instead of the screen.
    static KEPT: Mutex<Vec<String>>;
}
/// Lines that are kept of one work.
const MOST_KEPT: usize = 1_000;

/// Does work whose lines are kept instead of written. They are yielded next to what it yields.
pub async fn kept<T>(work: impl Future<Output = T>) -> (T, Vec<String>) {
    let keeping = async {
        let done = work.await;
        (done, KEPT.with(|kept| std::mem::take(&mut *kept.lock())))
    };
    KEPT.scope(Mutex::default(), keeping).await
}

/// Keeps a line where lines are kept. Answers whether that is so.
fn keep(line: &impl Display) -> bool {
    let kept = KEPT.try_with(|kept| {
        let mut kept = kept.lock();
        if kept.len() < MOST_KEPT {
            kept.push(Lines(line).to_string());
        }
    });
    kept.is_ok()
}

/// Writes a line to standard output, at once; [hidden characters](Lines) are escaped.
pub fn line(line: impl Display) {
    if keep(&line) {
        return;
    }
    write_with(|out| writeln!(out, "{}", Lines(line)));
}

/// Writes text of several lines to standard output, at once; [hidden characters](Lines) are escaped.
pub fn text(text: impl Display) {
    write_with(|out| write!(out, "{}", Lines(text)));
}

/// Writes a line to standard error; [hidden characters](Lines) are escaped. A failure to do so cannot be reported.
pub fn error(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", Lines(line));
}

/// Why standard output cannot be written; nothing while it can, and when its reader has gone.
pub fn failure() -> Option<&'static str> {
    ENDED.get()?.as_deref()
}

/// Ends a command whose output is its result: 1 and why, if not all of it could be written.
pub fn finish(code: ExitCode) -> ExitCode {
    let Some(failure) = failure() else { return code };
    error(format_args!("pollinator: {failure}"));
    ExitCode::FAILURE
}

/// Prints what clap has to say: help and version to standard output, a wrong use to standard error.
pub fn usage(told: &clap::Error) -> ExitCode {
    let code = ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(2));
    let is_error = told.use_stderr();
    let printed = told.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(why) if !is_error => {
            ended(&why);
            finish(code)
        }
        _ => code,
    }
}

/// Whether a person reads standard error as it is written.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

fn write_with(write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) {
    if ENDED.get().is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(why) = write(&mut out).and_then(|()| out.flush()) {
        ended(&why);
    }
}

fn ended(why: &io::Error) {
    let failure = (why.kind() != ErrorKind::BrokenPipe)
        .then(|| format!("standard output cannot be written: {why}; free space there, or send it elsewhere"));
    // The first reason stays.
    let _ = ENDED.set(failure);
}

/// Standard error for log lines: never an error, or the logger would report it there, with a panic. What the logger lets through of
/// what messages quote, characters that set a direction, is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let quotes_direction = str::from_utf8(bytes).is_ok_and(|line| line.contains(visible::is_direction));
        let escaped = quotes_direction.then(|| visible::without_directions(&String::from_utf8_lossy(bytes)));
        let _ = io::stderr().lock().write_all(escaped.as_ref().map_or(bytes, String::as_bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_kept_for_the_work_that_prints_them_and_not_without_end() {
        let work = async |count: usize| {
            for number in 0..count {
                line(format_args!("{number}\u{202E}"));
                tokio::task::yield_now().await;
            }
            count
        };
        let (one, other) = tokio::join!(kept(work(2)), kept(work(3)));
        assert_eq!(one, (2, vec!["0\\u202e".to_owned(), "1\\u202e".to_owned()]));
        assert_eq!(other.1.len(), 3);
        assert_eq!(kept(work(MOST_KEPT + 5)).await.1.len(), MOST_KEPT);
    }
}
