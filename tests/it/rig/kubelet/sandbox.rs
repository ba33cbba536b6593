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
use std::sync::LazyLock;
use std::thread::{self, JoinHandle};

/// Runs its arguments and ends as they end; kills them when stdin ends, which is when the test process does. Their stdout is the
/// log, their descriptor 4 the pipe to the test.
const GUARD: &str = r#"
exec 4>&1 1>&2 5<&0
"$@" </dev/null 5<&- & child=$!
exec 4>&-
(read -r _; kill -KILL "$child") <&5 2>/dev/null & reader=$!
exec 5<&-
wait "$child"
code=$?
kill "$reader" 2>/dev/null
exit "$code"
"#;

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
            let mut command = unshare(power, 65532, 65532);
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

fn unshare(power: Power, user: u32, group: u32) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
    if power == Power::User {
        command.args(["--user", "--keep-caps", &format!("--map-user={user}"), &format!("--map-group={group}")]);
    }
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
        let mut script = format!("root={}\n{ROOT}", quoted(&root.display().to_string()));
        let user = self.rights.user;
        let passwd = format!("root:x:0:0::/:/bin/sh\npod:x:{user}:{}::/:/bin/sh\n", self.rights.group);
        for (file, text) in [("passwd", passwd.as_str()), ("hosts", &self.hosts)] {
            script += &format!("printf %s {} >etc/{file}\n", quoted(text));
        }
        let program = Mount { source: self.program.clone(), target: self.entry_point(), read_only: true };
        // a folder before what is in it
        let mut mounts: Vec<_> = self.mounts.iter().chain([&program]).collect();
        mounts.sort_by_key(|mount| mount.target.len());
        for mount in &mounts {
            script += &format!("attach {} {}\n", quoted(&mount.source.display().to_string()), inside(&mount.target));
        }
        for mount in mounts.iter().filter(|mount| mount.read_only) {
            script += &format!("seal {}\n", inside(&mount.target));
        }
        script += &format!("mkdir -p {}\n", inside(&self.working_folder));
        if self.rights.read_only_root {
            script += "mount -o remount,ro \"$root\"\n";
        }
        let line = self.entry().into_iter().chain(self.line.iter().cloned());
        let line = line.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ");
        script + &format!("echo \"$pid\" >&4\nexec 4>&-\nexec chroot \"$root\" {line}\n")
    }

    /// Where the image's program appears.
    pub fn entry_point(&self) -> String {
        entry_point(&self.program)
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
        let unshare = unshare(power, launch.rights.user, launch.rights.group);
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(unshare.get_program())
            .args(unshare.get_args())
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
        let waiter = thread::spawn(move || {
            let status = guard.wait().ok();
            ended(status.map_or(255, |status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))));
        });
        Ok(Self { pid: told.trim().parse().ok(), guard: stdin, waiter: Some(waiter), entry: launch.entry() })
    }

    /// Whether it could be made.
    pub fn is_made(&self) -> bool {
        self.pid.is_some()
    }

    /// Sends a signal by the name that `kill` knows; one that has ended does not get it.
    pub fn signal(&self, name: &str) {
        if let Some(pid) = self.pid {
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
