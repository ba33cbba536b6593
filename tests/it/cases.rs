//! What providers and files really do: scripts rebuilt from public reports, each with its own provider and receiver.
//!
//! They are in `../shared/cases`, next to the repository, or in the folder that `POLLINATOR_CASES` names. A script is told the
//! binary by `BIN`, prints one line that begins with `PASS` or `FAIL` last, and ends within a minute.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::rig::{is_installed, skip, turns};

/// Scripts that run at the same time. Some of them measure seconds, and most of them wait most of the time.
const AT_ONCE: usize = 4;

fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases");
    env::var_os("POLLINATOR_CASES").map_or_else(beside, PathBuf::from)
}

/// The scripts of a folder, by name. Modules that they import begin with a letter.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_script = |path: &PathBuf| {
        let begins_with_digit = name(path).starts_with(|first: char| first.is_ascii_digit());
        begins_with_digit && path.extension().is_some_and(|ending| ending == "py")
    };
    let mut found: Vec<_> = entries.filter(is_script).collect();
    found.sort();
    found
}

fn name(script: &Path) -> String {
    script.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Runs one script. The error is all that a reader needs of it.
fn run(script: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let mut command = Command::new("python3");
    command.arg(script).env("BIN", env!("CARGO_BIN_EXE_pollinator")).stdin(Stdio::null());
    // the folder belongs to others, and a child must not depend on the caller's environment
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1").env("NO_COLOR", "1");
    for inherited in ["RUST_LOG", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(inherited);
    }
    let output = command.output().map_err(|error| format!("{}: {error}", name(script)))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let figure = stdout.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if output.status.success() && figure.starts_with("PASS") {
        return Ok(());
    }
    let end = stderr.lines().rev().take(8).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n    ");
    let end = if end.is_empty() { end } else { format!("\n    {end}") };
    Err(format!("{} ({}, {:.0} s): {figure}{end}", name(script), output.status, begun.elapsed().as_secs_f32()))
}

#[test]
fn every_script_passes() {
    turns::take();
    let folder = folder();
    let scripts = scripts(&folder);
    if scripts.is_empty() {
        return skip("cases", &format!("no scripts in {}; POLLINATOR_CASES names another folder", folder.display()));
    }
    if !is_installed("python3") {
        return skip("cases", "python3 is not installed");
    }
    let (waiting, failed) = (Mutex::new(scripts.iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(script) = waiting.lock().unwrap().next() else { return };
                    if let Err(why) = run(script) {
                        failed.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    // The scripts wait by the clock, which a busy machine does not keep: what failed goes again, one at a time.
    let (late, mut failed): (Vec<String>, Vec<_>) = (failed.into_inner().unwrap(), Vec::new());
    for why in late {
        let script =
            scripts.iter().find(|script| script.file_stem().is_some_and(|name| why.starts_with(&*name.to_string_lossy())));
        failed.extend(script.map_or(Some(why), |script| run(script).err()));
    }
    failed.sort();
    assert!(failed.is_empty(), "{} of {} scripts failed:\n{}", failed.len(), scripts.len(), failed.join("\n"));
}
