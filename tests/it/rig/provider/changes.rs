//! What a provider lists of the changes of its records: events, what has changed since a token, and the ids of what was deleted.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::super::http::{Answer, Ask};
use super::habits::{Filter, Listing, Rows};
use super::store::{Store, bare, is_of};

/// One change, as it was when it happened.
#[derive(Clone, Debug)]
pub struct Logged {
    pub key: String,
    pub what: What,
    /// Of the record, after it.
    pub version: i64,
    pub at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Created,
    Updated,
    Deleted,
}

/// A row that is made before pages are cut.
pub struct Made {
    /// What the next page can be asked for behind.
    pub id: String,
    pub json: String,
}

impl Logged {
    /// The version as the truth has it.
    pub fn known_as(&self) -> i64 {
        if self.what == What::Deleted { i64::MAX } else { self.version }
    }
}

impl Store {
    /// All events that pass the filter, in the order of the list.
    pub(super) fn events(&self, since: Option<DateTime<Utc>>, tenant: &str) -> Vec<Made> {
        let rows = self.changes(since, tenant, |_| true);
        let made = |(number, change): (usize, &Logged)| {
            let Logged { key, what, version, at } = change;
            let what = match what {
                What::Created => "created",
                What::Updated => "updated",
                What::Deleted => "deleted",
            };
            let json = format!(
                "{{\"id\":\"evt_{number}\",\"type\":\"record.{what}\",\"created\":{},\"pending\":{},\"data\":{{\"object\":\
                 {{\"id\":\"{}\",\"version\":{version}}}}}}}",
                self.habits.stamps.json(*at),
                self.turn(),
                bare(key)
            );
            Made { id: format!("evt_{number}"), json }
        };
        rows.into_iter().map(made).collect()
    }

    /// The ids of what was deleted, in the order of the list.
    pub(super) fn deleted(&self, since: Option<DateTime<Utc>>, tenant: &str) -> Vec<Made> {
        let rows = self.changes(since, tenant, |change| change.what == What::Deleted);
        let made = |(_, change): (usize, &Logged)| {
            let id = bare(&change.key).to_owned();
            Made { json: format!("{{\"ref\":\"{id}\",\"when\":{}}}", self.habits.stamps.json(change.at)), id }
        };
        rows.into_iter().map(made).collect()
    }

    fn changes(
        &self,
        since: Option<DateTime<Utc>>,
        tenant: &str,
        is_listed: impl Fn(&Logged) -> bool,
    ) -> Vec<(usize, &Logged)> {
        let stamps = &self.habits.stamps;
        let passes = |change: &Logged| {
            let at = stamps.shown(change.at);
            match (self.habits.filter, since) {
                (_, None) => true,
                (Filter::Exclusive, Some(from)) => from < at,
                (Filter::ByDay, Some(from)) => from.date_naive() <= at.date_naive(),
                (_, Some(from)) => from <= at,
            }
        };
        let listed = self.log.iter().enumerate();
        let mut rows: Vec<_> =
            listed.filter(|(_, change)| is_of(&change.key, tenant) && is_listed(change) && passes(change)).collect();
        rows.sort_by_key(|(number, change)| (stamps.shown(change.at), *number));
        if self.habits.listing == Listing::Descending {
            rows.reverse();
        }
        rows
    }

    /// What has changed since the token that is asked with; without one, all that lives. What changes while pages are read comes behind
    /// the token of the last page, though rows show what is there when they are asked for.
    pub(super) fn list_deltas(&mut self, ask: &Ask, tenant: &str) -> Result<Answer, u16> {
        let (mut since, mut page) = (None, None);
        for (name, value) in ask.query() {
            match name.as_str() {
                "syncToken" if since.is_none() => {
                    let (time, number) = value.split_once('-').ok_or(400_u16)?;
                    if time.parse::<usize>().map_err(|_| 400_u16)? < self.forgotten {
                        return Err(410);
                    }
                    let number = number.parse::<usize>().ok().filter(|number| *number <= self.log.len());
                    since = Some(number.ok_or(400_u16)?);
                }
                "pageToken" if page.is_none() => {
                    let (from, end) = value.split_once('-').ok_or(400_u16)?;
                    page = Some((from.parse::<usize>().map_err(|_| 400_u16)?, end.parse::<usize>().map_err(|_| 400_u16)?));
                }
                _ => return Err(400),
            }
        }
        if let Some(error) = self.error_instead(ask) {
            return Ok(error);
        }
        let (from, end) = page.unwrap_or((0, self.log.len()));
        let mut keys: Vec<&str> = Vec::new();
        for change in self.log[since.unwrap_or(0)..end].iter().filter(|change| is_of(&change.key, tenant)) {
            keys.retain(|key| *key != change.key);
            keys.push(&change.key);
        }
        let size = self.habits.page_size;
        let shown = keys.iter().skip(from).take(size).filter(|key| since.is_some() || !self.records[**key].deleted);
        let rows: Vec<_> = shown.map(|key| self.render_record(key)).collect();
        let next = (from + size < keys.len()).then(|| format!("{}-{end}", from + size));
        let again = since.map(|since| format!("&syncToken={}-{since}", self.forgotten)).unwrap_or_default();
        let lead = match (self.habits.rows, next) {
            (Rows::Deltas { linked: true }, Some(next)) => format!("\"nextLink\":\"{}?pageToken={next}{again}\"", ask.path()),
            (Rows::Deltas { linked: true }, None) => {
                format!("\"deltaLink\":\"{}?syncToken={}-{end}\"", ask.path(), self.forgotten)
            }
            (_, Some(next)) => format!("\"nextPageToken\":\"{next}\""),
            (_, None) => format!("\"nextSyncToken\":\"{}-{end}\"", self.forgotten),
        };
        let mut body = format!("{{\"records\":[{}],{lead}", rows.join(","));
        if self.habits.says_no_error {
            body.push_str(",\"errors\":[],\"error\":null");
        }
        let _ = write!(body, "}}");
        self.page_was_made(from);
        Ok(Answer::json(body))
    }
}
