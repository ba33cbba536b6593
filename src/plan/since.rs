//! From when on a request asks: where its macros of the cursor are, and how fine they are. Pure.

use std::time::Duration;

use super::{BodyPlan, RequestPlan};

impl RequestPlan {
    /// Whether the request asks only for what changed since the cursor. What it asks for begins one unit of the macro's pattern early.
    pub fn uses_since(&self) -> bool {
        self.since(Duration::ZERO).is_some()
    }

    /// Where the request says from when on it asks; `own` is the unit of the resource's own date format.
    pub fn since(&self, own: Duration) -> Option<Since> {
        let query = self.query.iter().filter_map(|(_, value)| value.since_unit(own)).max();
        let headers = self.headers.iter().filter_map(|(_, value)| value.since_unit(own)).max();
        let body = self.body.as_ref().and_then(|body| body.since_unit(own));
        let places = [("url", self.url.since_unit(own)), ("query", query), ("headers", headers), ("body", body)];
        let (field, _) = places.iter().find(|(_, unit)| unit.is_some())?;
        Some(Since { field, unit: places.iter().filter_map(|(_, unit)| *unit).max()? })
    }
}

/// The lower bound of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The field of the resource that has the macro; the first one that has any.
    pub field: &'static str,
    /// The coarsest unit in which a macro is written: a bound lies up to two of them before the date.
    pub unit: Duration,
}

impl BodyPlan {
    fn since_unit(&self, own: Duration) -> Option<Duration> {
        match self {
            Self::Literal(_) => None,
            Self::Text(text) => text.since_unit(own),
            Self::List(items) => items.iter().filter_map(|item| item.since_unit(own)).max(),
            Self::Map(members) => members.iter().filter_map(|(_, value)| value.since_unit(own)).max(),
        }
    }
}
