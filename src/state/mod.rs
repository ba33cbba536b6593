//! What outlives a process: positions, never a queue of events. The provider is the log.
//!
//! [`StateStore`] says where it is kept; [`directory`] keeps it in a folder, and the tokens of OAuth 2.0 beside it. A state is a small
//! [`head`] and, where much is known, [`partitions`] of it in a [`blob`] store: a commit writes the partitions that changed and then the
//! head.

pub mod adopt;
pub mod blob;
pub mod directory;
pub mod folder;
pub mod head;
pub mod partitions;
mod token_file;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::api::conditions::Problem;
use crate::deliver::callback::CallbackState;
use crate::deliver::ledger::Ledger;
use crate::detect::known::KnownSet;
use crate::detect::zone::ZoneEvidence;

/// Version of the state's form; a greater one is refused.
pub const FORMAT: u32 = 2;

/// Everything that is kept of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceState {
    /// Form of this state.
    pub format: u32,
    /// Uid of the instance: in a cluster that of the object at the moment, in a folder made once and kept.
    pub uid: String,
    /// What event ids hang on, where it is not `uid`: that under which the instance was first seen, before it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_uid: Option<Box<str>>,
    /// Per resource, by name. Boxed, since a map makes room for eleven values with the first one.
    #[serde(default)]
    pub resources: BTreeMap<String, Box<ResourceState>>,
    /// Events that wait for their next try or for a person.
    #[serde(default, skip_serializing_if = "Ledger::is_empty")]
    pub ledger: Ledger,
    /// How the callback fares.
    #[serde(default, skip_serializing_if = "CallbackState::is_fresh")]
    pub callback: CallbackState,
    /// Annotation values that were acted on, so that each is acted on once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub handled: BTreeMap<String, String>,
}

/// Everything that is kept of one resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceState {
    /// The plan's meaning for which the cursor holds, in hexadecimal.
    pub meaning: String,
    /// The first read is over.
    #[serde(default)]
    pub started: bool,
    /// Lower bound of the next poll, inclusive; exact to the nanosecond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<DateTime<Utc>>,
    /// Which version of which record was delivered.
    #[serde(default, skip_serializing_if = "KnownSet::is_empty")]
    pub known: KnownSet,
    /// So far behind the cursor the known records reach, in whole seconds: what lies before was forgotten. A look-back or a
    /// tolerance that is widened has to wait until they reach as far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reach: u64,
    /// Digest of the `ignoreFields` under which content was hashed; empty without any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hashed_without: String,
    /// How far the dates of new records were from the provider's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneEvidence>,
    /// Where the records were last found in an answer: a path, or `$` for the answer itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_path: Option<String>,
    /// Changes that failed once or twice and will be asked for again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<Failing>,
    /// Events accepted by the callback.
    #[serde(default)]
    pub delivered: u64,
    /// When a change was last accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_time: Option<DateTime<Utc>>,
    /// Why the cursor was last given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_reason: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_zero(seconds: &u64) -> bool {
    *seconds == 0
}

/// An object whose change was not accepted. Its body is not kept: the provider shows it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// Hash of the object's id.
    pub object: u64,
    /// Tries so far.
    pub attempts: u32,
    /// Of these, how many were answered with a 400-class refusal.
    #[serde(default)]
    pub refusals: u32,
    /// When it may be tried again.
    pub next_try: DateTime<Utc>,
}

impl InstanceState {
    /// The state of an instance never seen before.
    pub fn new(uid: String) -> Self {
        Self {
            format: FORMAT,
            uid,
            first_uid: None,
            resources: BTreeMap::new(),
            ledger: Ledger::default(),
            callback: CallbackState::default(),
            handled: BTreeMap::new(),
        }
    }

    /// Identity of the instance, part of every event id: minted at first sight and kept, wherever the state is taken.
    pub fn identity(&self) -> &str {
        self.first_uid.as_deref().unwrap_or(&self.uid)
    }

    /// Events accepted by the callback, all resources.
    pub fn delivered(&self) -> u64 {
        self.resources.values().map(|r| r.delivered).sum()
    }

    /// When a change was last accepted, any resource.
    pub fn last_change_time(&self) -> Option<DateTime<Utc>> {
        self.resources.values().filter_map(|r| r.last_change_time).max()
    }
}

/// Where state is kept. Each call is one instance; the caller never has two saves of one instance under way.
pub trait StateStore: Send + Sync {
    /// Reads an instance's state; `None` when there never was one.
    ///
    /// # Errors
    /// State that is there but cannot be read is never taken for a fresh start.
    fn load(&self, namespace: &str, name: &str) -> Result<Option<InstanceState>, Problem>;

    /// Replaces an instance's state, durably: after `Ok` it survives a crash; after `Err` the old state is intact.
    ///
    /// # Errors
    /// A full or read-only medium.
    fn save<'a>(&'a self, namespace: &'a str, name: &'a str, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>>;

    /// The engine let go of an instance: no save follows unless it is loaded again.
    fn release(&self, _namespace: &str, _name: &str) {}
}
