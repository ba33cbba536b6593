//! What a container runtime does, with what Linux has anyway: a process in mount and PID namespaces of its own.
//!
//! The root is an empty memory file system. The programs of this machine are in it, read-only; the image's program, as
//! `/image/<name>`; `/dev`, `/proc`, `/tmp`; and the volumes where the pod wants them. So fixed paths such as that of the
//! `ServiceAccount` token are true, a read-only root is read-only, and nothing of this machine can be written. With the first process
//! all others end. There is no network namespace and no limit of memory or CPU.
//!
//! Root makes the namespaces as root, anybody else in a user namespace. It needs util-linux (unshare, setpriv, nsenter).

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};

/// Runs its arguments and ends as they end; kills them and itself, its group, when stdin ends, which is when the test process does. Their stdout is the
/// log, their descriptor 4 the pipe to the test.
const GUARD: &str = r#"
exec 4>&1 1>&2 5<&0
"$@" </dev/null 5<&- & child=$!
exec 4>&-
(read -r _; kill -KILL "$child"; kill -KILL 0) <&5 2>/dev/null & reader=$!
exec 5<&-
wait "$child"
code=$?
kill "$reader" 2>/dev/null
exit "$code"
"#;

/// Makes its arguments the first process of the new PID namespace, and ends as that ends. `unshare --fork` would not tell a SIGKILL.
const FIRST: &str = r#"setpriv --pdeathsig KILL "$@" & wait "$!""#;

/// Makes the root. What differs between containers follows it.
const ROOT: &str = r#"
set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
# as the machine knows it, to which /proc still belongs
read -r pid _ </proc/self/stat
# a user namespace may not lift what the machine forbids
seal() {
  mount -o remount,bind,ro "$1" 2>/dev/null || mount -o remount,bind,ro,nosuid,nodev "$1" 2>/dev/null ||
    mount -o remount,bind,ro,nosuid,nodev,noexec "$1"
}
attach() {
  if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "$(dirname "$2")"; [ -e "$2" ] || : >"$2"; fi
  mount --rbind "$1" "$2"
}
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir dev proc run tmp etc var image
chmod 1777 tmp
ln -s ../run var/run
for part in bin sbin lib lib32 lib64 libx32 usr; do
  if [ -L "/$part" ]; then ln -s "$(readlink "/$part")" "$part"
  elif [ -d "/$part" ]; then attach "/$part" "$root/$part"; seal "$root/$part"
  fi
done
for part in ssl ca-certificates resolv.conf alternatives ld.so.cache localtime nsswitch.conf; do
  if [ -e "/etc/$part" ]; then attach "/etc/$part" "$root/etc/$part"; seal "$root/etc/$part"; fi
done
mount --rbind /dev dev
mount -t proc proc proc 2>/dev/null || mount --rbind /proc proc
"#;

/// Who makes the namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    Root,
    /// Any user, in a namespace in which the container's user stands for this one.
    User,
}

/// What this machine allows; an error says why it allows nothing.
pub fn power() -> Result<Power, String> {
    static FOUND: LazyLock<Result<Power, String>> = LazyLock::new(|| {
        let mut why = String::new();
        for power in [Power::Root, Power::User] {
            let mut command = first(power, 65532, 65532);
            command.args(["sh", "-ec", "mount -t tmpfs probe /tmp; setpriv --no-new-privs true; nsenter --version"]);
            let output = command.stdin(Stdio::null()).output();
            match output {
                Ok(output) if output.status.success() => return Ok(power),
                Ok(output) => why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " / "),
                Err(error) => why = error.to_string(),
            }
        }
        Err(format!("pods need Linux with util-linux, and root or user namespaces (unshare: {why})"))
    });
    FOUND.clone()
}

/// A command that runs what is added to it as the first process of new namespaces.
fn first(power: Power, user: u32, group: u32) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--propagation", "private"]);
    if power == Power::User {
        command.args(["--user", "--keep-caps", &format!("--map-user={user}"), &format!("--map-group={group}")]);
    }
    command.args(["sh", "-c", FIRST, "first"]);
    command
}

/// A folder or file of this machine and where it appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// Whom a container runs as, and what it may do (`securityContext`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    pub user: u32,
    pub group: u32,
    pub groups: Vec<u32>,
    pub read_only_root: bool,
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    /// `capabilities: {drop: [ALL]}`.
    pub no_capabilities: bool,
}

/// A container that is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// A folder of its own, for its root and what makes it.
    pub folder: PathBuf,
    pub log: PathBuf,
    /// Path on this machine; appears as `/image/<name>`.
    pub program: PathBuf,
    pub line: Vec<String>,
    pub variables: Vec<(String, String)>,
    pub working_folder: String,
    pub mounts: Vec<Mount>,
    pub rights: Rights,
    /// Lines of `/etc/hosts`.
    pub hosts: String,
}

impl Launch {
    /// Drops rights, sets variables, and runs what follows.
    fn entry(&self) -> Vec<String> {
        let rights = &self.rights;
        let mut entry = vec!["/usr/bin/setpriv".to_owned()];
        if power() == Ok(Power::Root) {
            entry.extend([format!("--reuid={}", rights.user), format!("--regid={}", rights.group)]);
            let groups: Vec<_> = rights.groups.iter().map(u32::to_string).collect();
            entry.push(if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={}", groups.join(",")) });
        }
        if rights.no_new_privileges {
            entry.push("--no-new-privs".to_owned());
        }
        if rights.no_capabilities || rights.user != 0 {
            entry.extend(["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"].map(str::to_owned));
        }
        // a change of user cleared it
        entry.extend(["--pdeathsig", "KILL", "--", "/usr/bin/env", "-i"].map(str::to_owned));
        entry.push(format!("--chdir={}", self.working_folder));
        entry.extend(self.variables.iter().map(|(name, value)| format!("{name}={value}")));
        entry
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The shell text that makes the container and becomes it.
    fn script(&self) -> String {
        let root = self.root();
        let inside = |path: &str| quoted(&format!("{}/{}", root.display(), path.trim_start_matches('/')));
        let mut lines = vec![format!("root={}\n{ROOT}", quoted(&root.display().to_string()))];
        let user = self.rights.user;
        let passwd = format!("root:x:0:0::/:/bin/sh\npod:x:{user}:{}::/:/bin/sh\n", self.rights.group);
        for (file, text) in [("passwd", passwd.as_str()), ("hosts", &self.hosts)] {
            lines.push(format!("printf %s {} >etc/{file}", quoted(text)));
        }
        let program = Mount { source: self.program.clone(), target: entry_point(&self.program), read_only: true };
        // a folder before what is in it
        let mut mounts: Vec<_> = self.mounts.iter().chain([&program]).collect();
        mounts.sort_by_key(|mount| mount.target.len());
        let attach =
            |mount: &&Mount| format!("attach {} {}", quoted(&mount.source.display().to_string()), inside(&mount.target));
        lines.extend(mounts.iter().map(attach));
        lines.extend(mounts.iter().filter(|mount| mount.read_only).map(|mount| format!("seal {}", inside(&mount.target))));
        lines.push(format!("mkdir -p {}", inside(&self.working_folder)));
        if self.rights.read_only_root {
            lines.push("seal \"$root\"".to_owned());
        }
        lines.push("echo \"$pid\" >&4\nexec 4>&-".to_owned());
        let line: Vec<_> = self.entry().iter().chain(&self.line).map(|word| quoted(word)).collect();
        lines.push(format!("exec chroot \"$root\" {}\n", line.join(" ")));
        lines.join("\n")
    }
}

/// Where the program of an image appears.
pub fn entry_point(program: &Path) -> String {
    format!("/image/{}", program.file_name().unwrap_or_default().to_string_lossy())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A container's first process. Dropped, all of the container is killed.
pub struct Process {
    /// `None`: the container could not be made; the log says why.
    pid: Option<u32>,
    guard: Option<ChildStdin>,
    /// Its id may be another's by now.
    has_ended: Arc<AtomicBool>,
    waiter: Option<JoinHandle<()>>,
    entry: Vec<String>,
}

impl Process {
    /// Starts it and returns once its root is made. `ended` is told the exit code, 128 and more for a signal.
    pub fn start(launch: &Launch, ended: impl FnOnce(i32) + Send + 'static) -> io::Result<Self> {
        let power = power().map_err(io::Error::other)?;
        fs::create_dir_all(launch.root())?;
        let script = launch.folder.join("make");
        fs::write(&script, launch.script())?;
        let log = File::options().create(true).append(true).open(&launch.log)?;
        let first = first(power, launch.rights.user, launch.rights.group);
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(first.get_program())
            .args(first.get_args())
            .arg("sh")
            .arg(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C at the terminal ends the test process, and that ends the rest in order
            .process_group(0)
            .spawn()?;
        let mut told = String::new();
        if let Some(stdout) = guard.stdout.take() {
            BufReader::new(stdout).read_line(&mut told)?;
        }
        let stdin = guard.stdin.take();
        let has_ended = Arc::new(AtomicBool::new(false));
        let tells_end = Arc::clone(&has_ended);
        let waiter = thread::spawn(move || {
            let status = guard.wait().ok();
            tells_end.store(true, Ordering::SeqCst);
            ended(status.map_or(255, |status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))));
        });
        let pid = told.trim().parse().ok();
        Ok(Self { pid, guard: stdin, has_ended, waiter: Some(waiter), entry: launch.entry() })
    }

    /// Whether it could be made.
    pub fn is_made(&self) -> bool {
        self.pid.is_some()
    }

    /// Sends a signal by the name that `kill` knows; one that has ended does not get it.
    pub fn signal(&self, name: &str) {
        if let Some(pid) = self.pid.filter(|_| !self.has_ended.load(Ordering::SeqCst)) {
            let mut kill = Command::new("sh");
            kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
            let _ = kill.status();
        }
    }

    /// Runs a further command in the container, as `kubectl exec` does. `None`: there is none to run it in.
    pub fn exec(&self, line: &[String]) -> Option<Command> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid?.to_string(), "--mount", "--pid", "--root", "--wd"]);
        if power() == Ok(Power::User) {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").args(&self.entry).args(line).stdin(Stdio::null()).process_group(0);
        Some(command)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.guard.take());
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::Read;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::super::super::PATIENCE;
    use super::*;
    use crate::rig::run_again;

    /// Tells a process that it is the inner one.
    const INNER: &str = "POLLINATOR_TEST_CONTAINED";

    fn shell(folder: &Path, text: &str) -> Launch {
        Launch {
            folder: folder.join("it"),
            log: folder.join("log"),
            program: PathBuf::from("/bin/sh"),
            line: ["/image/sh", "-c", text].map(str::to_owned).into(),
            variables: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            working_folder: "/tmp".to_owned(),
            mounts: Vec::new(),
            rights: Rights {
                user: 65532,
                group: 65532,
                groups: Vec::new(),
                read_only_root: false,
                no_new_privileges: true,
                no_capabilities: true,
            },
            hosts: String::new(),
        }
    }

    /// Runs a shell text to its end; its exit code and output.
    fn run(launch: &Launch) -> (i32, String) {
        let (sender, ended) = mpsc::channel();
        let process = Process::start(launch, move |code| sender.send(code).unwrap()).unwrap();
        let code = ended.recv_timeout(PATIENCE).expect("it ends in time");
        drop(process);
        (code, fs::read_to_string(&launch.log).unwrap())
    }

    /// Whether a process of this machine takes signals.
    fn is_alive(pid: u32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    fn wait_for_end(pid: u32) {
        let deadline = Instant::now() + PATIENCE;
        while is_alive(pid) {
            assert!(Instant::now() < deadline, "{pid} lives on");
            thread::park_timeout(std::time::Duration::from_millis(25));
        }
    }

    fn wait_until_up(launch: &Launch) {
        let deadline = Instant::now() + PATIENCE;
        while fs::read_to_string(&launch.log).unwrap() != "up\n" {
            assert!(Instant::now() < deadline, "it does not come up");
            thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_container_has_a_root_a_user_and_a_first_process_of_its_own() {
        if power().is_err() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("file"), "hello").unwrap();
        let text = "echo \"$$ $(id -u) $(pwd) $(cat /config/deep/file) $A\"; echo x >/tmp/x && cat /tmp/x
            echo x 2>/dev/null >/config/deep/new || echo sealed; echo x 2>/dev/null >/usr/x || echo usr-sealed
            ls /home /root /srv 2>/dev/null; grep NoNewPrivs /proc/self/status; exit 7";
        let mut launch = shell(folder.path(), text);
        launch.mounts = vec![Mount { source: volume, target: "/config/deep".to_owned(), read_only: true }];
        launch.variables.push(("A".to_owned(), "it's".to_owned()));
        let (code, log) = run(&launch);
        assert_eq!(log, "1 65532 /tmp hello it's\nx\nsealed\nusr-sealed\nNoNewPrivs:\t1\n");
        assert_eq!(code, 7);

        let mut launch = shell(folder.path(), "echo x >/tmp/x");
        (launch.rights.read_only_root, launch.folder) = (true, folder.path().join("other"));
        let (code, log) = run(&launch);
        assert!(code != 0 && log.contains("Read-only file system"), "{code} {log}");
    }

    #[test]
    fn one_that_cannot_be_made_says_why() {
        if power().is_err() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut launch = shell(folder.path(), "true");
        launch.mounts = vec![Mount { source: PathBuf::from("/none"), target: "/x".to_owned(), read_only: false }];
        let (code, log) = run(&launch);
        assert!(code != 0 && log.contains("/none"), "{code} {log}");
    }

    #[test]
    fn dropped_it_is_killed_with_all_its_children() {
        if power().is_err() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let launch = shell(folder.path(), "setsid sleep 1000 & trap '' TERM; echo up; while :; do sleep 1; done");
        let (sender, ended) = mpsc::channel();
        let process = Process::start(&launch, move |code| sender.send(code).unwrap()).unwrap();
        let pid = process.pid.unwrap();
        wait_until_up(&launch);
        let mut listing = process.exec(&["/image/sh", "-c", "ps -eo args"].map(str::to_owned)).unwrap();
        assert!(String::from_utf8(listing.output().unwrap().stdout).unwrap().contains("sleep 1000"));
        process.signal("TERM");
        assert!(is_alive(pid));
        drop(process);
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(137));
        wait_for_end(pid);
        assert!(!listing.output().unwrap().status.success(), "nothing is left of its namespaces");
    }

    #[test]
    fn a_signal_that_ends_it_is_its_exit_code() {
        if power().is_err() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for (text, signal, code) in [(":", "KILL", 137), ("trap 'exit 9' TERM", "TERM", 9)] {
            let (sender, ended) = mpsc::channel();
            let mut launch = shell(folder.path(), &format!("{text}; echo up; while :; do sleep 0.1; done"));
            (launch.folder, launch.log) = (folder.path().join(signal), folder.path().join(format!("{signal}.log")));
            let process = Process::start(&launch, move |code| sender.send(code).unwrap()).unwrap();
            wait_until_up(&launch);
            process.signal(signal);
            assert_eq!(ended.recv_timeout(PATIENCE), Ok(code));
            // its id may be another's
            process.signal("KILL");
        }
    }

    /// The test runs itself again, in a process that can be killed, which holds a container.
    #[test]
    fn a_container_ends_with_a_killed_test_process() {
        if power().is_err() {
            return;
        }
        if env::var_os(INNER).is_some() {
            let folder = tempfile::tempdir().unwrap();
            let process = Process::start(&shell(folder.path(), "while :; do sleep 1; done"), |_| {}).unwrap();
            println!("holds {}", process.pid.unwrap());
            let _ = io::stdin().read(&mut [0; 1]);
            return;
        }
        let name = "rig::kubelet::sandbox::tests::a_container_ends_with_a_killed_test_process";
        let (mut inner, pid) = run_again(name, INNER, "holds ");
        let pid = pid.parse().unwrap();
        assert!(is_alive(pid));
        inner.kill().unwrap();
        inner.wait().unwrap();
        wait_for_end(pid);
    }
}
