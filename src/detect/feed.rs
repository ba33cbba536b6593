//! What one event of a feed says about an object. Pure.

use std::borrow::Cow;

use super::event::Kind;
use crate::plan::feed::{FeedKind, FeedPlan};
use crate::plan::json::scalar_text;

/// What one event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// What happened to the object; `None`: nothing that is to be sent.
    pub(super) kind: Option<Kind>,
    /// Id of the object.
    pub(super) object_id: Cow<'a, str>,
    /// The object as it is after that, byte for byte; the whole event if it has none.
    pub(super) object: &'a str,
}

/// What an event lacks, so that it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lacks {
    /// A type.
    Type,
    /// The id of its object.
    Object,
}

/// Reads an event.
pub(super) fn read<'a>(plan: &FeedPlan, json: &'a str) -> Result<Said<'a>, Lacks> {
    let of_type = plan.type_of(json).ok_or(Lacks::Type)?;
    let kind = match plan.kind(&of_type) {
        FeedKind::Created => Some(Kind::Created),
        FeedKind::Updated => Some(Kind::Updated),
        FeedKind::Deleted => Some(Kind::Deleted),
        FeedKind::Ignored => None,
    };
    let object_id = plan.object_id.find(json).and_then(scalar_text).filter(|id| !id.is_empty() && id != "null");
    let object = plan.object.as_ref().and_then(|path| path.find(json)).filter(|object| *object != "null");
    match (kind, object_id) {
        (None, object_id) => Ok(Said { kind, object_id: object_id.unwrap_or_default(), object: json }),
        (Some(_), object_id) => {
            let object_id = object_id.ok_or(Lacks::Object)?;
            Ok(Said { kind, object_id, object: object.unwrap_or(json) })
        }
    }
}
