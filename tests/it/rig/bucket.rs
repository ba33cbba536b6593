//! Servers of the protocols of Amazon S3, Google Cloud Storage and Azure Blob Storage with a bucket, which can go away and come back with
//! what they acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::real_server::{AZURITE, FAKE_GCS, Package, VERSITYGW};
use super::{PATIENCE, canary, client, free_port, turns};

/// Whose protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    S3,
    Google,
    Azure,
}

pub const PROTOCOLS: [Protocol; 3] = [Protocol::S3, Protocol::Google, Protocol::Azure];

/// The service account of Google, and a key that nobody uses for anything else.
const ACCOUNT: &str = "pollinator@it.iam.gserviceaccount.com";
const ACCOUNT_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys/rfc7515-a2-rsa-pkcs8.pem");

impl Protocol {
    fn package(self) -> &'static Package {
        match self {
            Self::S3 => &VERSITYGW,
            Self::Google => &FAKE_GCS,
            Self::Azure => &AZURITE,
        }
    }

    /// The value of `--state-store` for a folder of the bucket, or for all of it.
    pub fn store(self, prefix: &str) -> String {
        let scheme = match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        };
        format!("{scheme}://state/{prefix}").trim_end_matches('/').to_owned()
    }
}

/// Running, with a bucket called `state`.
pub struct BucketServer {
    protocol: Protocol,
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
}

impl BucketServer {
    /// Starts it, installing it first if needed. `None`: it cannot be had here, as [`super::skip`] says.
    pub fn start(protocol: Protocol) -> Option<Self> {
        turns::take();
        if !protocol.package().install() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder of the test's own");
        let mut server = Self { protocol, child: None, port: free_port(), folder };
        // A bucket is a folder there.
        fs::create_dir_all(server.objects_folder()).expect("a folder of the test's own");
        let key = fs::read_to_string(ACCOUNT_KEY).expect("a key of the tests");
        let account = serde_json::json!({
            "type": "service_account", "client_email": ACCOUNT, "private_key": key, "private_key_id": "1"
        });
        fs::write(server.account_file(), account.to_string()).expect("a folder of the test's own");
        server.revive();
        Some(server)
    }

    /// Ends it without a warning; one that keeps what it acknowledged only at its end is told.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if self.protocol == Protocol::Azure {
            let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            assert!(told.is_ok_and(|told| told.success()), "it has ended by itself");
        } else {
            let _ = child.kill();
        }
        let _ = child.wait();
    }

    /// Starts it again at its port, and waits until it answers.
    pub fn revive(&mut self) {
        let package = self.protocol.package();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let log = package.log();
            let mut command = package.script();
            command.env("PORT", self.port.to_string()).env("BUCKETS", self.folder.path().join("objects"));
            command
                .env("METADATA", self.folder.path().join("metadata"))
                .env("ACCOUNT", ACCOUNT)
                .env("ACCOUNT_KEY", ACCOUNT_KEY);
            let child = command
                .envs(self.environment())
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a file"))
                .stderr(log)
                .spawn()
                .expect("bash was there to install it");
            self.child = Some(child);
            while !self.answers() {
                let ended = self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some()));
                if ended || Instant::now() > deadline {
                    break;
                }
                thread::park_timeout(Duration::from_millis(50));
            }
            if self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none())) {
                return;
            }
        }
        panic!("{} is installed and does not start: see {}", package.folder, package.log_path().display());
    }

    fn answers(&self) -> bool {
        match (self.protocol, client::exchange("GET", &self.list(), &[], None)) {
            // What it answers to a stranger is an answer.
            (Protocol::S3 | Protocol::Google, answer) => answer.is_ok(),
            // Anyone may list the container once it is there.
            (Protocol::Azure, answer) => answer.is_ok_and(|answer| answer.status == 200),
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn list(&self) -> String {
        match self.protocol {
            Protocol::S3 | Protocol::Google => format!("{}/state", self.url()),
            Protocol::Azure => format!("{}/{}/state?restype=container&comp=list", self.url(), canary::USER),
        }
    }

    /// What its clients find in their environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        match self.protocol {
            Protocol::S3 => vec![
                ("AWS_ACCESS_KEY_ID", "pollinator".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", canary::PASSWORD.to_owned()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ENDPOINT_URL", self.url()),
                ("AWS_ALLOW_HTTP", "true".to_owned()),
            ],
            Protocol::Google => vec![
                ("GOOGLE_APPLICATION_CREDENTIALS", self.account_file().display().to_string()),
                ("GOOGLE_BASE_URL", self.url()),
            ],
            Protocol::Azure => vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", canary::USER.to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", STANDARD.encode(canary::PASSWORD)),
                ("AZURE_STORAGE_ENDPOINT", format!("{}/{}", self.url(), canary::USER)),
                ("AZURE_ALLOW_HTTP", "true".to_owned()),
            ],
        }
    }

    /// The same as a client that is not permitted anything finds it.
    pub fn environment_of_a_stranger(&self) -> Vec<(&'static str, String)> {
        let stranger = |(name, value): (&'static str, String)| match name {
            "AWS_SECRET_ACCESS_KEY" => (name, "wrong".to_owned()),
            "AZURE_STORAGE_ACCOUNT_KEY" => (name, "d3Jvbmc=".to_owned()),
            "GOOGLE_APPLICATION_CREDENTIALS" => {
                let text = fs::read_to_string(&value).expect("a file of the test's own").replace(ACCOUNT, "stranger@it");
                let file = self.folder.path().join("stranger.json");
                fs::write(&file, text).expect("a folder of the test's own");
                (name, file.display().to_string())
            }
            _ => (name, value),
        };
        self.environment().into_iter().map(stranger).collect()
    }

    fn account_file(&self) -> PathBuf {
        self.folder.path().join("account.json")
    }

    fn objects_folder(&self) -> PathBuf {
        self.folder.path().join("objects/state")
    }

    /// Names of the objects below a prefix, in no order.
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        match self.protocol {
            Protocol::S3 => files(&self.objects_folder().join(prefix)),
            Protocol::Google => {
                let mut found = files(&self.objects_folder().join(prefix));
                // what it keeps about them where a file system has no attributes
                found.retain(|name| !name.ends_with(".metadata"));
                found
            }
            Protocol::Azure => {
                let list = client::exchange("GET", &format!("{}&prefix={prefix}", self.list()), &[], None).expect("a list");
                assert_eq!(list.status, 200, "{}", list.body);
                let names = list.body.split("<Name>").skip(1).filter_map(|rest| Some(rest.split_once("</Name>")?.0.to_owned()));
                names.collect()
            }
        }
    }
}

impl Drop for BucketServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Paths of all files in a folder and its folders; none where there is no folder.
pub fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::from(folder)]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("it is in there").display().to_string());
            }
        }
    }
    found
}
