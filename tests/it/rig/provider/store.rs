//! The records, what happens to them, and how a list of them is answered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::super::http::{Answer, Ask};
use super::super::oracle::Truth;
use super::Change;
use super::changes::{Logged, Made, What};
use super::habits::{EmptyForm, ErrorForm, Filter, Habits, Listing, Repeats, Rows, Tombstone};
use super::paging::{Cut, Paging};
use super::stamps::{Clock, DateHeader};

/// One record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Version with which it was created.
    pub first: i64,
    pub version: i64,
    pub created: DateTime<Utc>,
    pub modified: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Not listed yet, as behind a replication lag.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Cut out after the page was made, since this user may not see it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forbidden: bool,
    /// Version and date before the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<(i64, DateTime<Utc>)>,
}

/// All that a provider remembers, for another process that goes on as the same one.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    pub now: DateTime<Utc>,
    pub records: BTreeMap<String, Record>,
    pub truth: Truth,
}

type Takes = dyn Fn(&Ask) -> bool + Send;
type Script = dyn FnMut(&Ask) -> Option<Answer> + Send;
type AfterPage = dyn FnMut(usize) -> Vec<Change> + Send;

/// Stands between the tenant and the id in the key of a record.
const OF_TENANT: char = '|';

/// The id of a record in the list of its tenant.
pub fn bare(key: &str) -> &str {
    key.split_once(OF_TENANT).map_or(key, |(_, id)| id)
}

/// Whether a record is in the list of a tenant; no name: there is one list.
pub fn is_of(key: &str, tenant: &str) -> bool {
    tenant.is_empty() || key.split_once(OF_TENANT).is_some_and(|(own, _)| own == tenant)
}

/// What a request is for, and of which tenant.
enum Place {
    Tenants,
    List(String),
    Deleted(String),
    One(String),
}

pub struct Store {
    pub records: BTreeMap<String, Record>,
    /// Every change, in the order in which they came.
    pub log: Vec<Logged>,
    /// How often all tokens were forgotten that it gave before.
    pub forgotten: usize,
    pub truth: Truth,
    pub habits: Habits,
    pub clock: Clock,
    pub delay: Duration,
    pub script: Box<Script>,
    pub takes: Box<Takes>,
    pub after_page: Option<Box<AfterPage>>,
    /// Pages that are still answered well before one error is told.
    pub error_after: Option<(usize, ErrorForm)>,
    /// Errors that were told in a 200 since they were last asked for.
    pub errors: Errors,
    /// Counts what must differ: links that are signed, and clocks that take turns.
    turn: usize,
}

/// Errors that were told in a 200.
#[derive(Debug, Default)]
pub struct Errors {
    pub told: usize,
    /// After so many of them the same page was asked for again.
    pub repeated: usize,
    /// What the last one answered.
    last: Option<String>,
}

/// A row of a list.
struct Row<'a> {
    id: &'a str,
    record: &'a Record,
    /// The version before.
    is_old: bool,
    /// Which one of several rows of a join.
    line: usize,
}

impl Store {
    pub fn new(takes: Box<Takes>) -> Self {
        Self {
            records: BTreeMap::new(),
            log: Vec::new(),
            forgotten: 0,
            truth: Truth::default(),
            habits: Habits::default(),
            clock: Clock::Machine(chrono::TimeDelta::zero()),
            delay: Duration::ZERO,
            script: Box::new(|_| None),
            takes,
            after_page: None,
            error_after: None,
            errors: Errors::default(),
            turn: 0,
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The time that the next record is stamped with.
    pub fn stamp(&mut self) -> DateTime<Utc> {
        self.turn += 1;
        self.now() + self.habits.stamps.nodes[self.turn % self.habits.stamps.nodes.len()]
    }

    pub fn create_at(&mut self, id: &str, stamp: DateTime<Utc>, hidden: bool) {
        self.truth.changed(id, 1);
        self.log.push(Logged { key: id.to_owned(), what: What::Created, version: 1, at: stamp });
        self.insert(id, Record { hidden, ..Record::new(1, stamp) });
    }

    pub(super) fn turn(&self) -> usize {
        self.turn
    }

    /// Whether the list has it now.
    pub fn is_shown(&self, key: &str, record: &Record) -> bool {
        let tenants = &self.habits.tenants;
        let has_list = || tenants.iter().any(|tenant| tenant.is_there && is_of(key, &tenant.name));
        !record.hidden && !record.forbidden && (tenants.is_empty() || has_list())
    }

    pub fn insert(&mut self, id: &str, record: Record) {
        self.records.insert(id.to_owned(), record);
    }

    pub fn update_at(&mut self, id: &str, stamp: DateTime<Utc>) {
        let record = self.records.get_mut(id).expect("only known records are updated");
        record.before = Some((record.version, record.modified));
        record.version += 1;
        record.modified = stamp;
        self.truth.changed(id, record.version);
        self.log.push(Logged { key: id.to_owned(), what: What::Updated, version: record.version, at: stamp });
    }

    /// A deleted record is there again, in a new version.
    pub fn restore(&mut self, id: &str) {
        let stamp = self.stamp();
        self.records.get_mut(id).expect("a record that was deleted").deleted = false;
        self.update_at(id, stamp);
    }

    /// Changes a record and leaves its date.
    pub fn update_undated(&mut self, id: &str) {
        let record = self.records.get_mut(id).expect("only known records are updated");
        record.version += 1;
        self.truth.changed(id, record.version);
    }

    pub fn pass(&mut self, time: TimeDelta) {
        if let Clock::Set(at) = &mut self.clock {
            *at += time;
        }
    }

    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Pass(time) => self.pass(*time),
            Change::Create(id) => {
                let stamp = self.stamp();
                self.create_at(id, stamp, false);
            }
            Change::Update(id) => {
                let stamp = self.stamp();
                self.update_at(id, stamp);
            }
            Change::Delete(id) => {
                let stamp = self.stamp();
                let record = self.records.get_mut(id).expect("only known records are deleted");
                record.before = Some((record.version, record.modified));
                record.deleted = true;
                record.modified = stamp;
                self.truth.deleted(id);
                let version = record.version;
                self.log.push(Logged { key: id.clone(), what: What::Deleted, version, at: stamp });
            }
        }
    }

    pub fn answer(&mut self, ask: &Ask) -> Answer {
        let answer = self.answer_undated(ask);
        match self.habits.date_header {
            DateHeader::Off => answer,
            DateHeader::Skewed(by) => answer.header("Date", httpdate::fmt_http_date(SystemTime::from(self.now() + by))),
        }
    }

    fn answer_undated(&mut self, ask: &Ask) -> Answer {
        if let Some(answer) = (self.script)(ask) {
            return answer;
        }
        if !(self.takes)(ask) {
            return Answer::status(401).header("WWW-Authenticate", "Basic realm=\"records\"");
        }
        self.list(ask).map_or_else(Answer::status, |answer| answer.after(self.delay))
    }

    /// What a path names; `None`: nothing.
    fn place(&self, path: &str) -> Option<Place> {
        let segments = path.strip_prefix('/')?.split('/');
        let segments: Vec<_> = segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect();
        let is_there = |name: &str| self.habits.tenants.iter().any(|tenant| tenant.is_there && tenant.name == name);
        let (tenant, rest) = match segments.as_slice() {
            [tenants] if tenants == "tenants" && self.habits.lists_tenants => return Some(Place::Tenants),
            [tenants, name, rest @ ..] if tenants == "tenants" && is_there(name) => (name.clone(), rest),
            all if self.habits.tenants.is_empty() => (String::new(), all),
            _ => return None,
        };
        match rest {
            [records] if records == "records" => Some(Place::List(tenant)),
            [deleted] if deleted == "deleted" && self.habits.tombstone == Tombstone::Elsewhere => Some(Place::Deleted(tenant)),
            [records, id] if records == "records" && tenant.is_empty() => Some(Place::One(id.clone())),
            [records, id] if records == "records" => Some(Place::One(format!("{tenant}{OF_TENANT}{id}"))),
            _ => None,
        }
    }

    fn list(&mut self, ask: &Ask) -> Result<Answer, u16> {
        let place = self.place(ask.path()).ok_or(404_u16)?;
        if ask.method != "GET" {
            return Err(405);
        }
        let (tenant, of_deleted) = match place {
            Place::Tenants => return Ok(self.list_tenants()),
            Place::One(key) => {
                let record = self.records.get(&key).filter(|record| !record.deleted && self.is_shown(&key, record));
                return record.map(|_| Answer::json(self.render_record(&key))).ok_or(404);
            }
            Place::List(tenant) if matches!(self.habits.rows, Rows::Deltas { .. }) => return self.list_deltas(ask, &tenant),
            Place::List(tenant) => (tenant, false),
            Place::Deleted(tenant) => (tenant, true),
        };
        let (habits, size) = (&self.habits, self.habits.page_size);
        let paging = if of_deleted { habits.paging.of_deleted() } else { habits.paging };
        let is_filtered = habits.filter != Filter::None || of_deleted;
        let (mut since, mut until, mut position, mut after) = (None, None, None, None);
        for (name, value) in ask.query() {
            match name.as_str() {
                "since" if since.is_none() && is_filtered => {
                    since = Some((habits.stamps.read(&value).ok_or(400_u16)?, value));
                }
                "until" if until.is_none() && is_filtered => {
                    until = Some((habits.stamps.read(&value).ok_or(400_u16)?, value));
                }
                "after" if paging == Paging::LastId && after.is_none() => after = Some(value),
                name if name == paging.parameter() && position.is_none() => {
                    position = Some(paging.position(&value, size).ok_or(400_u16)?);
                }
                _ => return Err(400),
            }
        }
        let position = position.unwrap_or_default();
        if habits.cap.is_some_and(|cap| position + size > cap) && !of_deleted {
            return Err(400);
        }
        if let Some(error) = if of_deleted { None } else { self.error_instead(ask) } {
            return Ok(error);
        }
        self.turn += 1;
        let [from, to] = [&since, &until].map(|bound| bound.as_ref().map(|(at, _)| *at));
        let again = |name: &str, bound: Option<(DateTime<Utc>, String)>| {
            bound.map_or(String::new(), |(_, text)| format!("{name}={}&", text.replace(':', "%3A")))
        };
        let asked = format!("{}?{}{}", ask.path(), again("since", since), again("until", until));
        let (page, cut) = match (of_deleted, self.habits.rows) {
            (true, _) => cut_out(self.deleted(from, &tenant), (after.as_deref(), position), size)?,
            (false, Rows::Events) => cut_out(self.events(from, &tenant), (after.as_deref(), position), size)?,
            (false, _) => {
                let rows = self.rows(from, to, &tenant);
                // Rows are in the order of their ids.
                let behind = |after: &str| rows.partition_point(|row| bare(row.id) <= after);
                let position = after.as_deref().map_or(position, behind);
                let cut = Cut { position, size, total: rows.len() };
                let page = rows.iter().skip(position).take(size).filter(|row| !row.record.forbidden);
                (page.map(|row| self.render(row)).collect(), cut)
            }
        };
        let answer = self.envelope(&page, cut, paging, &asked);
        if !of_deleted {
            self.page_was_made(cut.position);
        }
        Ok(answer)
    }

    /// Changes come between this page and the next.
    pub(super) fn page_was_made(&mut self, position: usize) {
        if let Some(mut change) = self.after_page.take() {
            for change in change(position) {
                self.apply(&change);
            }
            self.after_page = Some(change);
        }
    }

    /// The error that is told instead of a page.
    pub(super) fn error_instead(&mut self, ask: &Ask) -> Option<Answer> {
        if self.errors.last.take().is_some_and(|last| last == ask.target) {
            self.errors.repeated += 1;
        }
        let (left, form) = self.error_after?;
        self.error_after = left.checked_sub(1).map(|left| (left, form));
        if self.error_after.is_some() {
            return None;
        }
        self.errors.told += 1;
        self.errors.last = Some(ask.target.clone());
        Some(Answer::json(form.body()))
    }

    fn list_tenants(&self) -> Answer {
        let there = self.habits.tenants.iter().filter(|tenant| tenant.is_there);
        let rows: Vec<_> = there.map(|tenant| format!("{{\"id\":\"{}\"}}", tenant.name)).collect();
        Answer::json(format!("{{\"records\":[{}]}}", rows.join(",")))
    }

    /// A record as it is now.
    pub(super) fn render_record(&self, key: &str) -> String {
        self.render(&Row { id: key, record: &self.records[key], is_old: false, line: 0 })
    }

    /// What passes the filter, in the order of the list.
    fn rows(&self, since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>, tenant: &str) -> Vec<Row<'_>> {
        let Habits { stamps, filter, listing, repeats, pinned, tombstone, .. } = &self.habits;
        let passes = |at: DateTime<Utc>| {
            let at = stamps.shown(at);
            let (from, to) = (since.unwrap_or(at), until.unwrap_or(at));
            match filter {
                Filter::Inclusive => from <= at && at <= to,
                Filter::Exclusive => since.is_none_or(|from| from < at) && until.is_none_or(|to| at < to),
                Filter::ByDay => from.date_naive() <= at.date_naive() && at.date_naive() <= to.date_naive(),
                Filter::Ignored | Filter::None => true,
            }
        };
        let mut rows = Vec::new();
        let is_listed =
            |key: &str, record: &Record| !(record.hidden || record.deleted && tombstone.is_gone()) && is_of(key, tenant);
        for (id, record) in self.records.iter().filter(|(key, record)| is_listed(key, record)) {
            let row = Row { id, record, is_old: false, line: 0 };
            // a history has one row of a date: of two nobody could say which is the later
            let before = record.before.map(|(_, at)| at).filter(|at| stamps.shown(*at) < stamps.shown(record.modified));
            // which rows a join doubles does not change
            let is_joined = id.bytes().last().is_some_and(|last| last % 3 == 1);
            match repeats {
                Some(Repeats::Versions) if before.is_some() => {
                    rows.push((before.expect("just looked"), Row { is_old: true, ..row }));
                    rows.push((record.modified, Row { id, record, is_old: false, line: 0 }));
                }
                Some(Repeats::Identical | Repeats::OtherBytes) if is_joined => {
                    let second = usize::from(*repeats == Some(Repeats::OtherBytes));
                    rows.push((record.modified, row));
                    rows.push((record.modified, Row { id, record, is_old: false, line: second }));
                }
                _ => rows.push((record.modified, row)),
            }
        }
        rows.retain(|(at, _)| passes(*at));
        // by what the dates show: what is finer than their unit orders nothing
        match listing {
            Listing::Ascending => rows.sort_by_key(|(at, _)| stamps.shown(*at)),
            Listing::Descending => rows.sort_by_key(|(at, _)| std::cmp::Reverse(stamps.shown(*at))),
            Listing::ById => {}
        }
        rows.sort_by_key(|(_, row)| !pinned.contains(row.id));
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn render(&self, row: &Row<'_>) -> String {
        let Habits { stamps, tombstone, extra, signs_links, .. } = &self.habits;
        let Row { id, record, .. } = row;
        let (version, modified) = record.before.filter(|_| row.is_old).unwrap_or((record.version, record.modified));
        let was_changed = version > record.first || record.deleted;
        let modified = match stamps.never {
            Some(sentinel) if !was_changed => stamps.sentinel(sentinel),
            _ => Some(stamps.json(modified)),
        };
        let modified = modified.map_or(String::new(), |modified| format!(",\"modified\":{modified}"));
        let is_deleted = record.deleted && !row.is_old;
        if is_deleted && *tombstone == Tombstone::Flag {
            return format!("{{\"id\":\"{}\"{modified},\"deleted\":true}}", bare(id));
        }
        let mut json = format!("{{\"id\":\"{}\",\"version\":{version}", bare(id));
        if stamps.created {
            let _ = write!(json, ",\"created\":{}", stamps.json(record.created));
        }
        json.push_str(&modified);
        json.push_str(extra);
        match tombstone {
            Tombstone::Flag | Tombstone::Gone | Tombstone::Elsewhere => {}
            Tombstone::Date if is_deleted => {
                let _ = write!(json, ",\"deleted_at\":{}", stamps.json(record.modified));
            }
            Tombstone::Date => json.push_str(",\"deleted_at\":null"),
            Tombstone::Milliseconds => {
                let at = if is_deleted { record.modified.timestamp_millis() } else { 0 };
                let _ = write!(json, ",\"delete_at\":{at}");
            }
        }
        if row.line > 0 {
            let _ = write!(json, ",\"line\":{}", row.line);
        }
        if *signs_links {
            let _ = write!(json, ",\"signed\":\"https://files.invalid/{id}?signature={}\"", self.turn);
        }
        json.push('}');
        json
    }

    fn envelope(&self, page: &[String], cut: Cut, paging: Paging, asked: &str) -> Answer {
        let (words, link) = paging.words(cut, asked);
        let errors = if self.habits.says_no_error { ",\"errors\":[],\"error\":null" } else { "" };
        let records = match self.habits.empty {
            _ if !page.is_empty() => format!("\"records\":[{}]", page.join(",")),
            // rows follow: only the end of a list is told in another form
            _ if cut.next().is_some() => "\"records\":[]".to_owned(),
            EmptyForm::Bare => return Answer::json("{}"),
            EmptyForm::NoContent => return Answer::status(204),
            EmptyForm::Array => "\"records\":[]".to_owned(),
            EmptyForm::LeftOut => "\"kind\":\"list\"".to_owned(),
            EmptyForm::Null => "\"records\":null".to_owned(),
            EmptyForm::Object => "\"records\":{}".to_owned(),
            EmptyForm::Text => "\"records\":\"\"".to_owned(),
        };
        let answer = Answer::json(format!("{{{records}{words}{errors}}}"));
        link.into_iter().fold(answer, |answer, link| answer.header("Link", link))
    }
}

/// One page of rows.
fn cut_out(rows: Vec<Made>, (after, position): (Option<&str>, usize), size: usize) -> Result<(Vec<String>, Cut), u16> {
    let position = match after {
        Some(after) => rows.iter().position(|row| row.id == after).ok_or(400_u16)? + 1,
        None => position,
    };
    let cut = Cut { position, size, total: rows.len() };
    Ok((rows.into_iter().skip(position).take(size).map(|row| row.json).collect(), cut))
}

impl Record {
    /// Its version as the truth has it.
    pub fn known_as(&self) -> i64 {
        if self.deleted { i64::MAX } else { self.version }
    }

    /// Created and never changed.
    pub fn new(version: i64, stamp: DateTime<Utc>) -> Self {
        Self {
            first: version,
            version,
            created: stamp,
            modified: stamp,
            deleted: false,
            hidden: false,
            forbidden: false,
            before: None,
        }
    }
}
