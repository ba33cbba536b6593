//! Every version of every object of a collection, as a watch saw it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::control_plane::api::Api;
use super::log::Log;

/// After a watch that could not be begun.
const PAUSE: Duration = Duration::from_millis(250);
/// How long one watch may last; the next goes on where it ended.
const WATCH: Duration = Duration::from_mins(1);

/// Looks on until it is dropped. Versions are left out only where the server has forgotten them, or was away and had to begin anew.
pub struct History {
    pub log: Log<Value>,
    over: Arc<AtomicBool>,
}

impl History {
    pub fn watch(api: &Api, collection: &str) -> Self {
        let history = Self { log: Log::default(), over: Arc::default() };
        let watcher = Watcher { log: history.log.clone(), over: Arc::clone(&history.over), collection: collection.to_owned() };
        let version = watcher.list(api).expect("a list");
        let api = api.clone();
        thread::spawn(move || watcher.run(&api, version));
        history
    }

    /// Waits until the latest versions of so many objects satisfy `look`. Patience begins anew with each that does.
    ///
    /// # Errors
    /// How many did when it was at its end.
    pub fn wait_each(&self, count: usize, patience: Duration, look: impl Fn(&Value) -> bool) -> Result<(), usize> {
        let (mut read, mut satisfying) = (0, BTreeSet::new());
        loop {
            let before = satisfying.len();
            let more = self.log.try_wait(patience, |versions| {
                for version in &versions[read..] {
                    let name = version["metadata"]["name"].as_str().unwrap_or_default();
                    if look(version) {
                        satisfying.insert(name.to_owned());
                    } else {
                        satisfying.remove(name);
                    }
                }
                read = versions.len();
                (satisfying.len() > before || satisfying.len() == count).then_some(())
            });
            match more {
                _ if satisfying.len() == count => return Ok(()),
                Some(()) => {}
                None => return Err(satisfying.len()),
            }
        }
    }
}

/// What versions say of instances.
impl History {
    /// No cursor ever moved backwards, nor did a count of what was delivered. Answers how many versions there were, and of which
    /// instances a cursor was seen.
    pub fn assert_cursors_rise(&self) -> (usize, BTreeSet<String>) {
        let mut last: BTreeMap<String, (DateTime<Utc>, u64)> = BTreeMap::new();
        let versions = self.log.all();
        for version in &versions {
            let (name, resource) =
                (version["metadata"]["name"].as_str().unwrap_or_default(), &version["status"]["resources"][0]);
            let Some(since) = resource["cursor"]["since"].as_str() else {
                assert!(!last.contains_key(name), "{name} lost its cursor: {version}");
                continue;
            };
            let now = (since.parse().expect("RFC 3339"), version["status"]["delivered"].as_u64().unwrap_or_default());
            if let Some(before) = last.insert(name.to_owned(), now) {
                assert!(now.0 >= before.0 && now.1 >= before.1, "{name} went back from {before:?} to {now:?}: {version}");
            }
        }
        (versions.len(), last.into_keys().collect())
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

struct Watcher {
    log: Log<Value>,
    over: Arc<AtomicBool>,
    collection: String,
}

impl Watcher {
    /// Notes what is there; answers with the version of the list.
    fn list(&self, api: &Api) -> Option<String> {
        let list = api.try_send("GET", &self.collection, None).ok().filter(|reply| reply.status == 200)?.body;
        for object in list["items"].as_array().cloned().unwrap_or_default() {
            self.log.push(object);
        }
        Some(version_of(&list))
    }

    fn run(&self, api: &Api, mut version: String) {
        while !self.over.load(Ordering::SeqCst) {
            let (begun, before) = (Instant::now(), version.clone());
            let path = format!("{}?watch=1&resourceVersion={version}&timeoutSeconds={}", self.collection, WATCH.as_secs());
            api.watch(&path, begun + WATCH, |_, object| {
                version = version_of(&object);
                self.log.push(object);
                self.over.load(Ordering::SeqCst).then_some(())
            });
            if version == before && begun.elapsed() < WATCH / 2 {
                // refused or cut: the server may be away, or have forgotten this version
                thread::park_timeout(PAUSE);
                version = self.list(api).unwrap_or(before);
            }
        }
    }
}

fn version_of(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}
