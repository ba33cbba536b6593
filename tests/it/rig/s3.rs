//! A server of the S3 protocol with a bucket, which can die and come back with what it acknowledged.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::real_server::VERSITYGW;
use super::{PATIENCE, canary, client, free_port, turns};

/// Running, with a bucket called `state`.
pub struct S3 {
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
}

impl S3 {
    /// Starts it, building it first if needed. `None`: it cannot be had here, as [`super::skip`] says.
    pub fn start() -> Option<Self> {
        turns::take();
        if !VERSITYGW.install() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder of the test's own");
        // A bucket is a folder there.
        std::fs::create_dir_all(folder.path().join("objects/state")).expect("a folder of the test's own");
        let mut server = Self { child: None, port: free_port(), folder };
        server.revive();
        Some(server)
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at its port, and waits until it answers.
    pub fn revive(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let log = VERSITYGW.log();
            let mut command = VERSITYGW.script();
            command.env("PORT", self.port.to_string()).env("BUCKETS", self.folder.path());
            let child = command
                .envs(Self::login())
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a file"))
                .stderr(log)
                .spawn()
                .expect("bash was there to build it");
            self.child = Some(child);
            // What it answers to a stranger is an answer.
            while client::send("GET", &format!("http://127.0.0.1:{}/state", self.port), None).is_err() {
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
        panic!("versitygw is built and does not start: see {}", VERSITYGW.log_path().display());
    }

    /// What its clients find in their environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = Self::login().to_vec();
        environment.push(("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)));
        environment.push(("AWS_ALLOW_HTTP", "true".to_owned()));
        environment
    }

    fn login() -> [(&'static str, String); 3] {
        [
            ("AWS_ACCESS_KEY_ID", "pollinator".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", canary::PASSWORD.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// Names of the objects below a prefix, in no order.
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        files(&self.folder.path().join("objects/state").join(prefix))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Paths of all files in a folder and its folders; none where there is no folder.
pub fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::from(folder)]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
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
