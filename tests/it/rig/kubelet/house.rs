//! What the pods of a kubelet share, and what the test sees of them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kube::Client;

use super::image::Image;
use super::port_forward::Streaming;
use super::prober::Prober;
use super::sandbox::Process;

/// What all pods of a kubelet share.
pub struct House {
    pub client: Client,
    pub images: Vec<Image>,
    /// Each pod has a folder in it.
    pub folder: PathBuf,
    pub node: String,
    pub api_server: (String, String),
    pub prober: Prober,
    /// What port-forwards are handed on to, once the test has asked for it.
    pub streaming: OnceLock<Streaming>,
    /// Running containers and all logs, for the test.
    pub residents: Mutex<Vec<Resident>>,
}

/// A container as the test sees it.
#[derive(Clone)]
pub struct Resident {
    pub pod: String,
    pub container: String,
    pub run: u32,
    pub log: PathBuf,
    pub process: Option<Arc<Process>>,
}

impl House {
    /// In the order of their starts.
    pub fn residents(&self) -> MutexGuard<'_, Vec<Resident>> {
        self.residents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
