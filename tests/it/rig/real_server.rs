//! Real servers as child processes, installed once by `tests/real-servers/*/run.sh`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::manifest::Instance;
use super::traffic::Records;
use super::{PATIENCE, canary, client, free_port, skip, turns};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SAP CAP: OData V4.
    Cap,
    /// Kinto.
    Kinto,
}

impl Kind {
    fn package(self) -> &'static Package {
        match self {
            Self::Cap => &Package { folder: "cap", need: "Node 20 and npm" },
            Self::Kinto => &Package { folder: "kinto", need: "Python 3.11 with venv" },
        }
    }
}

/// Keeps buckets in a folder by the protocol of Amazon S3, and writes conditionally.
pub const VERSITYGW: Package = Package { folder: "versitygw", need: "Go 1.26" };
/// The same by the protocol of Google Cloud Storage.
pub const FAKE_GCS: Package = Package { folder: "fake-gcs", need: "Go 1.26" };
/// The same by the protocol of Azure Blob Storage.
pub const AZURITE: Package = Package { folder: "azurite", need: "Node 20 and npm" };

/// A folder of `tests/real-servers`.
#[derive(Debug)]
pub struct Package {
    pub folder: &'static str,
    /// What must be on the machine to install it.
    pub need: &'static str,
}

/// A running server on a free loopback port. Dropped, it is ended.
pub struct RealServer {
    kind: Kind,
    child: Child,
    base: String,
}

impl RealServer {
    /// Starts it, installing it first if needed. `None`: it cannot be had here, which one loud line says; where CI or
    /// `POLLINATOR_REQUIRE_CONTROL_PLANE` ask for it, that is a failure instead.
    pub fn start(kind: Kind) -> Option<Self> {
        turns::take();
        if !kind.package().install() {
            return None;
        }
        for _ in 0..3 {
            if let Some(server) = Self::try_start(kind) {
                return Some(server);
            }
        }
        panic!("{kind:?} is installed and does not start: see {}", kind.package().log_path().display());
    }

    fn try_start(kind: Kind) -> Option<Self> {
        let port = free_port();
        let log = kind.package().log();
        let child = kind
            .package()
            .script()
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("bash was there to install it");
        let mut server = Self { kind, child, base: format!("http://127.0.0.1:{port}") };
        let ping = match kind {
            Kind::Cap => format!("{}/appointments/Appointments?$top=1", server.base),
            Kind::Kinto => format!("{}/v1/", server.base),
        };
        let deadline = Instant::now() + PATIENCE;
        while !matches!(client::send("GET", &ping, None), Ok((200, ..))) {
            // it ends at once when another process took the port
            if Instant::now() > deadline || server.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return None;
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        if kind == Kind::Kinto {
            client::must("PUT", &format!("{}/v1/buckets/crm", server.base), None);
            client::must("PUT", &format!("{}/v1/buckets/crm/collections/appointments", server.base), None);
        }
        Some(server)
    }

    /// A manifest as a user of this server would write it.
    pub fn instance(&self, name: &str, callback_url: &str) -> Instance {
        let (base, resource) = match self.kind {
            Kind::Cap => (format!("{}/appointments", self.base), CAP_RESOURCE),
            Kind::Kinto => (format!("{}/v1", self.base), KINTO_RESOURCE),
        };
        Instance::new(name, &base, callback_url).basic_auth().resource(resource)
    }

    /// The Secret that [`RealServer::instance`] names.
    pub fn login() -> String {
        super::manifest::secret("login", &[("username", canary::USER), ("password", canary::PASSWORD)])
    }

    /// The version in an event's data.
    pub fn version(&self, data: &str) -> Option<i64> {
        let field = if self.kind == Kind::Cap { "seats" } else { "version" };
        serde_json::from_str::<serde_json::Value>(data).ok()?.get(field)?.as_i64()
    }

    /// Waits until the server's clock, as its `Date` header tells it, has moved on by so many seconds.
    pub fn wait_seconds(&self, seconds: u32) {
        let deadline = Instant::now() + PATIENCE;
        let date = || client::send("GET", &self.list(), None).ok().and_then(|(_, date, _)| date);
        for _ in 0..seconds {
            let before = date();
            while date() == before {
                assert!(Instant::now() < deadline, "the server's clock stands still");
                thread::park_timeout(Duration::from_millis(100));
            }
        }
    }

    fn list(&self) -> String {
        match self.kind {
            Kind::Cap => format!("{}/appointments/Appointments", self.base),
            Kind::Kinto => format!("{}/v1/buckets/crm/collections/appointments/records", self.base),
        }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Records for &RealServer {
    fn create(&mut self, id: &str, version: i64) {
        let list = self.list();
        match self.kind {
            Kind::Cap => {
                client::must("POST", &list, Some(format!("{{\"ID\":\"{id}\",\"title\":\"Visit\",\"seats\":{version}}}")))
            }
            Kind::Kinto => {
                client::must("PUT", &format!("{list}/{id}"), Some(format!("{{\"data\":{{\"version\":{version}}}}}")))
            }
        };
    }

    fn update(&mut self, id: &str, version: i64) {
        let url = format!("{}/{id}", self.list());
        match self.kind {
            Kind::Cap => client::must("PATCH", &url, Some(format!("{{\"seats\":{version}}}"))),
            Kind::Kinto => client::must("PATCH", &url, Some(format!("{{\"data\":{{\"version\":{version}}}}}"))),
        };
    }

    fn delete(&mut self, id: &str) {
        client::must("DELETE", &format!("{}/{id}", self.list()), None);
    }
}

const CAP_RESOURCE: &str = "\
url: /Appointments
query:
  $filter: \"modifiedAt ge ${since}\"
  $orderby: modifiedAt,ID
recordsPath: value
idField: ID
datesConfiguration:
  updatedDateField: modifiedAt
  updatedDateFormat: yyyy-MM-dd'T'HH:mm:ss.SSS'Z'
  updatedDateTimezone: GMT
  createdDateField: createdAt
  createdDateFormat: yyyy-MM-dd'T'HH:mm:ss.SSS'Z'
  createdDateTimezone: GMT
pagination: {nextLink: {field: \"['@odata.nextLink']\"}}
";

const KINTO_RESOURCE: &str = "\
url: /buckets/crm/collections/appointments/records
query: {_since: \"${since}\", _sort: last_modified}
recordsPath: data
idField: id
datesConfiguration: {updatedDateField: last_modified, updatedDateFormat: milliseconds}
deletes: {flag: {field: deleted}}
pagination: {nextLink: {header: Next-Page}}
";

impl Package {
    /// Installs it, once. Where it cannot be had, one loud line says so, or the test fails as [`skip`] tells.
    pub fn install(&self) -> bool {
        let installed = self.try_install();
        if let Err(why) = &installed {
            skip(&format!("tests with the server in tests/real-servers/{}", self.folder), why);
        }
        installed.is_ok()
    }

    /// Under a lock, so that two test processes do not install at once.
    fn try_install(&self) -> Result<(), String> {
        let lock = File::create(self.log_path().with_extension("lock")).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let output = self.script().arg("install").stdin(Stdio::null()).output().map_err(|error| format!("bash: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let told = String::from_utf8_lossy(&output.stderr);
        let told = told.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output");
        Err(format!("they need {} and a package registry on first use ({told})", self.need))
    }

    /// Starts it, where it is installed.
    pub fn script(&self) -> Command {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "real-servers", self.folder, "run.sh"].iter().collect();
        let mut command = Command::new("bash");
        command.arg(path);
        command
    }

    /// What it prints is appended there.
    pub fn log(&self) -> File {
        File::options().create(true).append(true).open(self.log_path()).expect("the target folder")
    }

    pub fn log_path(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(folder).expect("the target folder");
        folder.join(format!("real-server-{}.log", self.folder))
    }
}
