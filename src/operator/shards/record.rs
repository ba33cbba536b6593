//! What a Lease says, without Kubernetes around it.

use chrono::{DateTime, Utc};

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
    /// Nobody; the last holder gave it back.
    Released,
    /// Somebody took the holder's name away, but the holder may still believe in its claim.
    Cleared,
    /// This holder.
    Held(&'a str),
}

impl Record {
    /// Whose it is. As in client-go, a holder that gives a Lease back leaves a duration of one second; a missing name beside any
    /// other duration was not written by the holder.
    pub fn claim(&self) -> Claim<'_> {
        match self.holder.as_deref().filter(|holder| !holder.is_empty()) {
            Some(holder) => Claim::Held(holder),
            None if self.seconds == 1 => Claim::Released,
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
}
