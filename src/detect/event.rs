//! What happened to a record, and the identity that the same change keeps for ever.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::known::{Details, Known};

/// A record above this many bytes is announced without its data, and says so.
pub const MAX_DATA: usize = 256 * 1024;

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is new.
    Created,
    /// It changed.
    Updated,
    /// It is gone.
    Deleted,
}

impl Kind {
    /// The word in a CloudEvents type, in metrics and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// One change, ready to be sent, and to be kept with its body while it waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Identity: a function of instance, resource, object, kind and version.
    pub id: EventId,
    /// What happened.
    pub kind: Kind,
    /// Name of the resource.
    pub resource: Arc<str>,
    /// Id of the object, as the provider wrote it.
    pub object_id: String,
    /// What the list was polled for; `None`: the resource has one list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Arc<str>>,
    /// When the record was last changed, as far as it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_date: Option<DateTime<Utc>>,
    /// Start of the poll that found it, on our clock.
    pub detected_at: DateTime<Utc>,
    /// Names of the fields that changed, separated by commas; `None`: they are not asked for or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<String>,
    /// The whole record could not be read, and `data` is what the list has of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The record is too large to be sent, and `data` has nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The record, byte for byte.
    pub data: Box<RawValue>,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.data.get() == other.data.get()
    }
}

impl Event {
    /// Bytes of the record.
    pub fn data_len(&self) -> usize {
        self.data.get().len()
    }

    /// Whether the record is too large to be sent.
    pub fn is_truncated(&self) -> bool {
        self.truncated || self.data_len() > MAX_DATA
    }

    /// The event as it is kept while it waits: without what is not sent.
    #[must_use]
    pub fn kept(self) -> Self {
        if self.is_truncated() { Self { truncated: true, data: Box::default(), ..self } } else { self }
    }
}

/// A change that is on its way, with what to remember once it was taken.
#[derive(Clone, Debug)]
pub struct Change {
    /// The event to send.
    pub event: Event,
    /// Hash of the object's id: one event of it is under way at a time.
    pub object: u64,
    /// Hash under which it is known once it was taken: that of the object's id, or of the id of a feed's event.
    pub record: u64,
    /// What the known set will say of it.
    pub known: Known,
    /// What it says in addition to that.
    pub details: Option<Details>,
    /// No sink was known to have the record, and its deletion can be found: that it was sent is remembered from the first try on.
    pub is_announcement: bool,
    /// The date that the cursor must not pass while the change is not taken; `None` when it has none.
    pub date: Option<DateTime<Utc>>,
}

/// Identity of an event: 32 letters and digits, without a dot, so that a Standard Webhooks signature can contain it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

/// What distinguishes two versions of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionToken<'a> {
    /// The updated date as it was sent.
    pub updated_text: Option<&'a str>,
    /// Hash of the record's bytes.
    pub content: u128,
}

impl EventId {
    /// The id of a change. The same five inputs give the same id on every replica and in every version of Pollinator.
    pub fn new(uid: &str, resource: &str, object_id: &str, kind: Kind, version: &VersionToken<'_>) -> Self {
        let mut hash = Sha256::new();
        let content = version.content.to_be_bytes();
        let updated = version.updated_text.unwrap_or_default().as_bytes();
        for part in [uid.as_bytes(), resource.as_bytes(), object_id.as_bytes(), kind.as_str().as_bytes(), updated, &content] {
            // The length before each part keeps ("ab", "c") and ("a", "bc") apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self::from_digest(&hash.finalize())
    }

    /// The id of a request that carries several events.
    pub fn of_batch<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for id in ids {
            hash.update(id.as_bytes());
        }
        Self::from_digest(&hash.finalize())
    }

    fn from_digest(digest: &[u8]) -> Self {
        Self(BASE32_NOPAD.encode(&digest[..20]).to_ascii_lowercase())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// These must never change: receivers recognise repeated events by them.
    #[test]
    fn ids_are_the_same_for_ever() {
        let id = |object, kind, updated, content| {
            EventId::new(
                "9d1c0c3e-6a57-4f5e-8a5e-2f2c4b1f7a10",
                "contacts",
                object,
                kind,
                &VersionToken { updated_text: updated, content },
            )
            .to_string()
        };
        insta::assert_snapshot!(
            [
                id("42", Kind::Created, Some("2026-11-24T10:22:45.032Z"), 7),
                id("42", Kind::Updated, Some("2026-11-24T10:22:45.032Z"), 7),
                id("42", Kind::Created, None, u128::MAX),
                id("43", Kind::Deleted, Some("1795515869886"), 0),
            ]
            .join("\n"),
            @"
        igsofogm4w5duq7mjgcq6exgem6qsqsi
        csds2vtobpw4m3yju4aytwdmaj2wu536
        qnbu4fxy5arc2l6bv45wx7fgvwscnj43
        apanrjdn3j55y37pftjxrrvo2vz4qmlu
        "
        );
    }
    #[test]
    fn the_id_of_a_batch_is_the_same_for_ever_and_knows_the_order() {
        let uid = "9d1c0c3e-6a57-4f5e-8a5e-2f2c4b1f7a10";
        let version = VersionToken { updated_text: Some("2026-11-24T10:22:45.032Z"), content: 7 };
        let [a, b] = [Kind::Created, Kind::Updated].map(|kind| EventId::new(uid, "contacts", "42", kind, &version));
        insta::assert_snapshot!(EventId::of_batch([a.as_str(), b.as_str()]), @"xvty4bgimynzvcl2shuv6ez2qjkb725m");
        assert_ne!(EventId::of_batch([a.as_str(), b.as_str()]), EventId::of_batch([b.as_str(), a.as_str()]));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let version = VersionToken { updated_text: None, content: 0 };
        let id = |uid, resource, object| EventId::new(uid, resource, object, Kind::Created, &version);
        assert_ne!(id("u", "ab", "c"), id("u", "a", "bc"));
        assert_ne!(id("ua", "b", "c"), id("u", "ab", "c"));
    }

    proptest! {
        #[test]
        fn each_of_the_five_inputs_matters(
            a in ("[a-z]{1,3}", "[a-z]{1,3}", "[a-z0-9]{1,3}", 0..3_usize, "[0-9]{0,3}", 0..3_u128),
            b in ("[a-z]{1,3}", "[a-z]{1,3}", "[a-z0-9]{1,3}", 0..3_usize, "[0-9]{0,3}", 0..3_u128),
        ) {
            let id = |(uid, resource, object, kind, updated, content): &(String, String, String, usize, String, u128)| {
                let kind = [Kind::Created, Kind::Updated, Kind::Deleted][*kind];
                EventId::new(uid, resource, object, kind, &VersionToken { updated_text: Some(updated), content: *content })
            };
            prop_assert_eq!(id(&a) == id(&b), a == b);
        }

        #[test]
        fn an_id_can_stand_in_a_signature(object in ".*") {
            let id = EventId::new("uid", "contacts", &object, Kind::Created, &VersionToken { updated_text: None, content: 0 });
            prop_assert_eq!(id.as_str().len(), 32);
            prop_assert!(id.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        }
    }
}
