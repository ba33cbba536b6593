//! Which date of a record moves the cursor. Decided in one place: the request writes `${since}` by it, detection compares by it.

use chrono::{DateTime, Utc};

use super::date_format::{DateFormat, RFC_3339};
use super::template::MacroContext;
use super::{ChangeBy, DateField, ResourcePlan};

impl ResourcePlan {
    /// The date of a record that moves the cursor: `${since}` is written in its format, and the cursor is as coarse as it is. `None`
    /// without dates.
    ///
    /// With [`ChangeBy::Created`] it is the created date. Otherwise it is the updated one; where a created date is later, as before
    /// the first change, that counts in its stead, in the same terms.
    #[must_use]
    pub fn cursor_date(&self) -> Option<&DateField> {
        let (updated, created) = (self.extract.updated.as_ref(), self.extract.created.as_ref());
        match self.change_by {
            ChangeBy::Created => created.or(updated),
            ChangeBy::Updated | ChangeBy::Content => updated.or(created),
        }
    }

    /// The format of the [cursor's date](Self::cursor_date).
    #[must_use]
    pub fn cursor_format(&self) -> Option<&DateFormat> {
        self.cursor_date().map(|date| &date.format)
    }

    /// What macros are filled in from in a request that has neither a lower bound nor a token and asks for the rest of the list, as far back
    /// as the provider has it. `now` is the start of the poll.
    #[must_use]
    pub fn macros(&self, now: DateTime<Utc>) -> MacroContext<'_> {
        let until = self.end_of_list(now);
        MacroContext {
            since: self.oldest(now),
            now,
            until,
            since_format: self.cursor_format().unwrap_or(&RFC_3339),
            token: None,
        }
    }

    /// The zone of dates that have none, moved east by `minutes`: minutes east of Greenwich at that instant. `None` when dates name their
    /// zone.
    pub fn zone_moved_east(&self, at: DateTime<Utc>, minutes: i32) -> Option<i32> {
        Some(self.cursor_format()?.zone_minutes(at)? + minutes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::field_path::FieldPath;
    use crate::plan::{ExtractPlan, sample};

    fn plan(change_by: ChangeBy, updated: Option<&str>, created: Option<&str>) -> ResourcePlan {
        let date = |name: &str, pattern: Option<&str>| {
            let format = DateFormat::new(Some(pattern?), None).unwrap();
            Some(DateField { path: FieldPath::parse(name).unwrap(), format })
        };
        let extract = ExtractPlan {
            updated: date("updated", updated),
            created: date("created", created),
            ..ExtractPlan::clone(&sample::resource().extract)
        };
        ResourcePlan { change_by, extract: Arc::new(extract), ..sample::resource() }
    }

    #[test]
    fn the_date_that_moves_the_cursor() {
        let (millis, days) = (Some("milliseconds"), Some("yyyy-MM-dd"));
        for (change_by, updated, created, expected) in [
            (ChangeBy::Updated, millis, days, Some("updated")),
            (ChangeBy::Updated, millis, None, Some("updated")),
            (ChangeBy::Updated, None, days, Some("created")),
            (ChangeBy::Updated, None, None, None),
            (ChangeBy::Created, millis, days, Some("created")),
            (ChangeBy::Created, millis, None, Some("updated")),
            (ChangeBy::Created, None, days, Some("created")),
            (ChangeBy::Created, None, None, None),
            (ChangeBy::Content, millis, days, Some("updated")),
            (ChangeBy::Content, millis, None, Some("updated")),
            (ChangeBy::Content, None, days, Some("created")),
            (ChangeBy::Content, None, None, None),
        ] {
            let plan = plan(change_by, updated, created);
            let date = plan.cursor_date();
            assert_eq!(date.map(|date| date.path.to_string()).as_deref(), expected, "{change_by:?} {updated:?} {created:?}");
            let format = match expected {
                Some("updated") => plan.extract.updated.as_ref(),
                Some(_) => plan.extract.created.as_ref(),
                None => None,
            };
            assert_eq!(plan.cursor_format(), format.map(|field| &field.format));
        }
    }
}
