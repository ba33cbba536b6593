//! What a Lease says, without Kubernetes around it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::scope::Scope;
use super::timing::MAX_LEASE;
use crate::moment::Moment;

/// The duration in a Lease that was given back, as in client-go.
pub const RELEASED_SECONDS: i32 = 1;

/// The fields of a Lease that elections read and write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who holds it.
    pub holder: Option<String>,
    /// When the holder got it, on the holder's clock. Only ever compared for equality.
    pub acquired: Option<DateTime<Utc>>,
    /// When the holder last renewed it, on the holder's clock. Only ever compared for equality.
    pub renewed: Option<DateTime<Utc>>,
    /// How long others must wait after they saw the last change.
    pub seconds: i32,
    /// How often it changed hands.
    pub transitions: i32,
}

/// Who may act on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim<'a> {
    /// No one; the last holder gave it back.
    Released,
    /// The holder's name was removed, but the holder may still believe in its claim.
    Cleared,
    /// This holder.
    Held(&'a str),
}

impl Record {
    /// Whose it is. A missing name next to a duration of more than a second was not written by the holder.
    pub fn claim(&self) -> Claim<'_> {
        match self.holder.as_deref().filter(|holder| !holder.is_empty()) {
            Some(holder) => Claim::Held(holder),
            None if self.seconds == RELEASED_SECONDS => Claim::Released,
            None => Claim::Cleared,
        }
    }
}

/// A Lease as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// `metadata.resourceVersion`: the compare-and-swap token, opaque.
    pub version: String,
    /// `metadata.uid`: a Lease that was deleted and made again has another.
    pub uid: String,
    /// What it says.
    pub record: Record,
    /// What the member watches whose Lease it is; `None`: the Lease of a range, or of a member of version 0.1.0.
    pub scope: Option<Scope>,
}

/// What was seen of a Lease, and for how long it has not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The Lease, or that there was none.
    pub lease: Option<Stored>,
    /// When this record, or its absence, was first seen, on this machine's clock.
    pub since: Moment,
}

impl Observation {
    /// Takes in what is seen now. A new version of the same record is no sign of life of its holder.
    pub fn update(previous: Option<Self>, lease: Option<Stored>, now: Moment) -> Self {
        let same = |old: &Self| match (&old.lease, &lease) {
            (Some(old), Some(new)) => old.uid == new.uid && old.record == new.record,
            (old, new) => old.is_none() && new.is_none(),
        };
        let since = previous.filter(same).map_or(now, |old| old.since);
        Self { lease, since }
    }

    /// Who holds it, if a name is on it.
    pub fn holder(&self) -> Option<&str> {
        match self.lease.as_ref().map(|lease| lease.record.claim()) {
            Some(Claim::Held(holder)) => Some(holder),
            _ => None,
        }
    }

    /// From when on no claim to it can be in force. A Lease that is gone, or lost its holder's name, may still have a holder. `own` is the
    /// duration configured here; others may be configured with a longer one, which the record has.
    pub fn lapses(&self, own: Duration) -> Moment {
        match self.lease.as_ref().map(|lease| (lease.record.claim(), lease.record.seconds)) {
            Some((Claim::Released, _)) => self.since,
            Some((Claim::Cleared | Claim::Held(_), seconds)) => {
                let said = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                self.since + own.max(said.min(MAX_LEASE))
            }
            None => self.since + own,
        }
    }
}
