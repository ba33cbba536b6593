//! A reader of the documentation: types commands into a shell, in a folder with what the repository gives to its users.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::control_plane::guard::Guarded;
use super::control_plane::{ControlPlane, Run};
use super::{PATIENCE, turns};

/// What the repository gives to its users.
const GIVEN: [&str; 4] = ["charts", "deploy", "examples", "crds"];

/// No command takes longer.
const LONGEST: &str = "300";

/// Cargo has built the program that is under test; this hands it out.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
  "build --release") mkdir -p target/release && ln -sf "$POLLINATOR_UNDER_TEST" target/release/pollinator ;;
  "run --release -- "*) shift 3 && exec "$POLLINATOR_UNDER_TEST" "$@" ;;
  *) echo "cargo $*: not here" >&2 && exit 9 ;;
esac
"#;

/// A shell that keeps its folder and its variables from one command to the next. Dropped, all that it started is killed.
pub struct Reader {
    folder: TempDir,
    servers: Vec<(String, Guarded)>,
    started: usize,
    replaced: Vec<(String, String)>,
}

impl Reader {
    /// In a fresh copy of what the repository gives, with the program under test on the path.
    pub fn new() -> Self {
        turns::take();
        let folder = tempfile::Builder::new().prefix("reader-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let reader = Self { folder, servers: Vec::new(), started: 0, replaced: Vec::new() };
        for part in GIVEN {
            copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(part), &reader.home().join(part));
        }
        let program = env!("CARGO_BIN_EXE_pollinator");
        // under its own name, and as a plugin of kubectl
        for name in ["pollinator", "kubectl-pollinator"] {
            reader.install(name, &format!("#!/bin/sh\nexec '{program}' \"$@\"\n"));
        }
        reader.install("cargo", CARGO);
        fs::write(reader.path("folder"), reader.home().to_string_lossy().as_bytes()).expect("a folder of the test's own");
        let path = std::env::var("PATH").unwrap_or_default();
        let variables = format!(
            "unset RUST_LOG HTTP_PROXY http_proxy HTTPS_PROXY https_proxy POD_NAME POD_NAMESPACE KUBECONFIG\n\
             export NO_COLOR='1' PYTHONUNBUFFERED='1' POLLINATOR_UNDER_TEST='{program}' PATH='{}:{path}'\n",
            reader.path("bin").display()
        );
        fs::write(reader.path("variables"), variables).expect("a folder of the test's own");
        reader
    }

    /// Gives it a cluster, by the kubeconfig of somebody in a namespace. `None`: Helm cannot be had here, which one loud line said.
    pub fn with_cluster(mut self, plane: &ControlPlane, kubeconfig: &Path) -> Option<Self> {
        self.install("kubectl", &script(&plane.kubectl(kubeconfig)));
        self.install("helm", &script(&plane.helm(kubeconfig)?));
        self.set("KUBECONFIG", &kubeconfig.to_string_lossy());
        // every other test listens, too
        self.set("POLLINATOR_LISTEN", "127.0.0.1:0");
        Some(self)
    }

    /// Sets a variable of the shell.
    pub fn set(&mut self, name: &str, value: &str) {
        let file = self.path("variables");
        let before = fs::read_to_string(&file).expect("written");
        fs::write(file, format!("{before}export {name}='{value}'\n")).expect("a folder of the test's own");
    }

    /// Types another text for this one, such as a free port.
    pub fn replace(&mut self, text: &str, by: &str) {
        self.replaced.push((text.to_owned(), by.to_owned()));
    }

    /// The same in a file of the copy.
    pub fn replace_in(&self, file: &str) {
        let path = self.home().join(file);
        let text = fs::read_to_string(&path).expect("a file of the repository");
        fs::write(path, self.adapt(&text)).expect("a folder of the test's own");
    }

    /// A text with all that is typed differently here.
    pub fn adapt(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// The copy of the repository.
    pub fn home(&self) -> PathBuf {
        self.path("pollinator")
    }

    /// Where the shell is now.
    pub fn place(&self) -> PathBuf {
        PathBuf::from(fs::read_to_string(self.path("folder")).expect("written").trim())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn install(&self, name: &str, script: &str) {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).expect("a folder of the test's own");
        fs::write(bin.join(name), script).expect("a folder of the test's own");
        let made = Command::new("chmod").arg("+x").arg(bin.join(name)).status().expect("chmod");
        assert!(made.success());
    }

    /// Where the shell stood, with its variables.
    fn enter(&self) -> String {
        format!("cd \"$(cat '{0}/folder')\" && . '{0}/variables'\n", self.folder.path().display())
    }

    /// Types a command and waits for its end.
    pub fn run(&self, command: &str) -> Run {
        let leave =
            format!("code=$?\npwd >'{0}/folder'\nexport -p >'{0}/variables'\nexit $code\n", self.folder.path().display());
        let script = format!("{}{}\n{leave}", self.enter(), self.adapt(command));
        Run::of(Command::new("timeout").args([LONGEST, "sh", "-c", &script]), "")
    }

    /// Types a command that goes on, and waits until it has said this.
    pub fn serve(&mut self, command: &str, until: &str) {
        let folder = self.path(&format!("server-{}", self.started));
        self.started += 1;
        fs::create_dir_all(&folder).expect("a folder of the test's own");
        let script = format!("{}exec {}\n", self.enter(), self.adapt(command));
        let server = Guarded::spawn(Path::new("/bin/sh"), &["-c".to_owned(), script], &folder);
        self.servers.push((command.to_owned(), server));
        self.wait_said(command, until);
    }

    /// Waits until the last server of this command has said something, and returns all that it has said.
    pub fn wait_said(&self, command: &str, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let (_, server) =
            self.servers.iter().rfind(|(one, _)| one == command).unwrap_or_else(|| panic!("{command} was not typed"));
        loop {
            let said = server.log();
            if said.contains(text) {
                return said;
            }
            assert!(Instant::now() < deadline, "{command} does not say {text:?} in time but\n{said}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Ends the last server of this command, which is returned.
    pub fn stop(&mut self, command: &str) -> String {
        let last =
            self.servers.iter().rposition(|(one, _)| one == command).unwrap_or_else(|| panic!("{command} was not typed"));
        let (command, server) = self.servers.remove(last);
        end(&command, server);
        command
    }

    /// Ends all servers.
    pub fn end_servers(&mut self) {
        for (command, server) in std::mem::take(&mut self.servers) {
            end(&command, server);
        }
    }
}

/// Not by SIGINT, which a shell lets its background ignore.
fn end(command: &str, mut server: Guarded) {
    assert!(!server.has_ended(), "{command} ended by itself\n{}", server.last_words());
    server.signal("TERM");
    let deadline = Instant::now() + PATIENCE;
    while !server.has_ended() {
        assert!(Instant::now() < deadline, "{command} does not end\n{}", server.last_words());
        std::thread::park_timeout(Duration::from_millis(25));
    }
}

/// A script that does what a command does, with its variables and further arguments.
fn script(command: &Command) -> String {
    let (mut unset, mut set) = (String::new(), String::new());
    for (name, value) in command.get_envs() {
        let name = name.to_string_lossy();
        let _ = match value {
            Some(value) => write!(set, " '{name}={}'", value.to_string_lossy()),
            None => write!(unset, " -u '{name}'"),
        };
    }
    format!("#!/bin/sh\nexec env{unset}{set} '{}' \"$@\"\n", command.get_program().to_string_lossy())
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder of the test's own");
    for entry in fs::read_dir(from).expect("a folder of the repository") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file of the repository");
        }
    }
}
