//! From when on a request asks: where its macros of the cursor are, and how fine they are. Pure.

use std::time::Duration;

use super::RequestPlan;

impl RequestPlan {
    /// Whether the request asks only for what changed since the cursor. What it asks for begins one unit of the macro's pattern early.
    pub fn uses_since(&self) -> bool {
        self.since(Duration::ZERO).is_some()
    }

    /// Where the request says from when on it asks; `own` is the unit of the resource's own date format.
    pub fn since(&self, own: Duration) -> Option<Since> {
        let (mut first, mut coarsest) = (None, None);
        self.each_template(|field, text| {
            if let Some(unit) = text.since_unit(own) {
                first = first.or(Some(field));
                coarsest = coarsest.max(Some(unit));
            }
        });
        Some(Since { field: first?, unit: coarsest? })
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
