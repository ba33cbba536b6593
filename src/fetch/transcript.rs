//! What was asked and what came back, kept for those who record it. Pure.

use std::sync::Arc;

use parking_lot::Mutex;
use url::Url;

use crate::egress::Response;

/// One request, of which only the URL is kept, and its response.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The URL that was asked, with what its credentials add to it.
    pub url: Url,
    /// What came back.
    pub response: Response,
}

/// Keeps what comes back, in its order; by default nothing. A clone keeps it in the same place.
#[derive(Clone, Debug, Default)]
pub struct Transcript(Option<Arc<Mutex<Vec<Heard>>>>);

impl Transcript {
    /// One that keeps everything. Bodies stay in memory until they are taken.
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// The URL, if it will be needed.
    pub(super) fn before(&self, url: &Url) -> Option<Url> {
        self.0.as_ref().map(|_| url.clone())
    }

    /// Keeps a response to the request that [`Self::before`] was called with.
    pub(super) fn after(&self, url: Option<Url>, response: &Response) {
        if let (Some(kept), Some(url)) = (&self.0, url) {
            kept.lock().push(Heard { url, response: response.clone() });
        }
    }

    /// What was kept since this was last called.
    pub fn take(&self) -> Vec<Heard> {
        self.0.as_ref().map(|kept| std::mem::take(&mut *kept.lock())).unwrap_or_default()
    }
}
