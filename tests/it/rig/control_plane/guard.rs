//! Child processes that end with the test process, however that ends.
//!
//! libtest has no hook at its end, a `static` is never dropped, and SIGKILL runs no code. So a shell stands between: its stdin is a
//! pipe that only the test process holds open, and when the kernel closes that, the shell kills what it guards.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::super::PATIENCE;

/// Runs its arguments, tells their pid, and ends with them; kills them when stdin ends.
const SCRIPT: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- 4>&- & child=$!
echo "$child" >&4
exec 4>&-
(read -r _; kill -KILL "$child") <&3 2>/dev/null & reader=$!
exec 3<&-
wait "$child"
kill "$reader" 2>/dev/null
"#;

/// How much a program in Go may have allocated since it last collected what it no longer needs, in percent of what it needs. By default it
/// is 100, and a fifth of the CPU time of a kube-apiserver is spent on that.
pub const GARBAGE: &str = "300";

/// A guarded process. Dropped, it is killed.
pub struct Guarded {
    name: String,
    shell: Child,
    pid: String,
    log: PathBuf,
}

impl Guarded {
    /// Starts a program in a folder, its output in `<name>.log` there.
    pub fn spawn(program: &Path, arguments: &[String], folder: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).expect("the plane's own folder");
        let mut shell = Command::new("sh")
            // what the shell says on its own stdout is the pid; the program's output goes to the log
            .args(["-c", &format!("exec 4>&1 >>\"$0\" 2>&1\n{SCRIPT}")])
            .arg(&log)
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .env("GOGC", GARBAGE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            // Ctrl-C at the terminal ends the test process, and that ends the rest in order
            .process_group(0)
            .spawn()
            .expect("a POSIX shell");
        let mut pid = String::new();
        let stdout = shell.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut pid).expect("the shell tells the pid");
        Self { name, shell, pid: pid.trim().to_owned(), log }
    }

    /// Process id of the guarded program, not of the shell.
    pub fn pid(&self) -> &str {
        &self.pid
    }

    /// All output up to now.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of its output, for a failure's message.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        format!("{} (last lines):\n{}", self.name, lines[lines.len().saturating_sub(15)..].join("\n"))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.shell.try_wait(), Ok(None))
    }

    /// Waits until `ready`; an error if it ends or takes too long.
    pub fn wait(&mut self, mut ready: impl FnMut(&Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !ready(self) {
            if self.has_ended() || Instant::now() > deadline {
                return Err(self.last_words());
            }
            thread::park_timeout(Duration::from_millis(25));
        }
        Ok(())
    }

    /// Sends a signal by the name that `kill` knows.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid]).status().expect("a POSIX shell");
        assert!(sent.success(), "signal {name} to {} ({})", self.name, self.pid);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Removes a folder once the test process has ended, or when dropped.
pub struct Sweeper(Child);

impl Sweeper {
    pub fn of(folder: &Path) -> Self {
        // the processes that write there are ending at the same time
        let script = "read -r _; for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf \"$0\" && exit; sleep 1; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.process_group(0).spawn().expect("a POSIX shell"))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
