//! What providers do beyond listing records: each habit was met in public reports, and each is off unless a test asks for it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use chrono::TimeDelta;

use super::paging::Paging;
use super::stamps::{DateHeader, Stamps};

/// In what order records are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Oldest change first.
    Ascending,
    /// Newest change first: each change shifts all pages.
    Descending,
    /// By id: changes shift pages only where tombstones go.
    ById,
}

/// What the `since` parameter selects, in the unit of the dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Records dated at or after it.
    Inclusive,
    /// Records dated after it.
    Exclusive,
    /// Records dated on its day or later.
    ByDay,
    /// Everything, whatever it says.
    Ignored,
    /// Everything: the parameter is refused.
    None,
}

/// Which rows of one answer bear the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// A join lists some records twice.
    Identical,
    /// A join lists some records twice, with what it joined.
    OtherBytes,
    /// A history lists the version before each changed record's present one, too.
    Versions,
}

/// A list without records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyForm {
    Array,
    /// The member is left out, as proto3 JSON does.
    LeftOut,
    /// Go's nil slice.
    Null,
    /// PHP's empty associative array.
    Object,
    /// What XML makes of it.
    Text,
    /// `{}` is the whole answer.
    Bare,
    /// 204, without a body.
    NoContent,
}

impl EmptyForm {
    pub const ALL: [Self; 7] = [Self::Array, Self::LeftOut, Self::Null, Self::Object, Self::Text, Self::Bare, Self::NoContent];
}

/// What says in a 200 that something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// JSON:API: an array of objects with ids.
    Array,
    /// An object with code and message.
    Object,
    /// GraphQL: no records, and an array.
    BesideNull,
    /// An empty list, and a text.
    BesideEmpty,
}

impl ErrorForm {
    pub const ALL: [Self; 4] = [Self::Array, Self::Object, Self::BesideNull, Self::BesideEmpty];

    pub fn body(self) -> &'static str {
        match self {
            Self::Array => "{\"errors\":[{\"id\":\"3f1c\",\"status\":\"500\",\"title\":\"backend timeout\"}]}",
            Self::Object => "{\"error\":{\"code\":500,\"message\":\"backend timeout\"}}",
            Self::BesideNull => "{\"records\":null,\"errors\":[{\"message\":\"backend timeout\"}]}",
            Self::BesideEmpty => "{\"records\":[],\"error\":\"backend timeout\"}",
        }
    }
}

/// What the rows of the list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// The records.
    Records,
    /// An event for each change of a record, which no later change alters.
    Events,
    /// Records that changed since a token, those deleted, too; without one, all that live. What leads on are tokens, or links.
    Deltas { linked: bool },
}

/// What marks a deleted record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstone {
    /// `deleted: true`, and little else is left of the record.
    Flag,
    /// `deleted_at`: a date, or `null` while the record lives.
    Date,
    /// `delete_at`: milliseconds, or 0 while the record lives.
    Milliseconds,
    /// None: it leaves the list without a trace.
    Gone,
    /// It leaves the list, and another one at `/deleted` names it with the time.
    Elsewhere,
}

impl Tombstone {
    /// Whether a deleted record is no longer in the list.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Gone | Self::Elsewhere)
    }
}

/// One of those that have a list of their own.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub name: String,
    /// It is listed, and so is what it has.
    pub is_there: bool,
}

/// All habits of a provider.
#[derive(Clone, Debug)]
pub struct Habits {
    pub stamps: Stamps,
    pub date_header: DateHeader,
    pub listing: Listing,
    pub filter: Filter,
    pub page_size: usize,
    pub paging: Paging,
    /// Rows of one query that can be read; beyond them the answer is 400.
    pub cap: Option<usize>,
    pub repeats: Option<Repeats>,
    pub empty: EmptyForm,
    /// Links in records are signed at each answer.
    pub signs_links: bool,
    /// Answers without an error have empty error members.
    pub says_no_error: bool,
    pub tombstone: Tombstone,
    pub rows: Rows,
    /// There is a list for each of these, at `/tenants/…/records`, and the keys of records begin with one. Empty: there is one list.
    pub tenants: Vec<Tenant>,
    /// The tenants are themselves listed at `/tenants`, and the manifest names that list.
    pub lists_tenants: bool,
    /// Rows that come first in every listing, in whatever order the rest is.
    pub pinned: BTreeSet<String>,
    /// Further members of every record, JSON with a leading comma.
    pub extra: String,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            stamps: Stamps::default(),
            date_header: DateHeader::Skewed(TimeDelta::zero()),
            listing: Listing::Ascending,
            filter: Filter::Inclusive,
            page_size: 100,
            paging: Paging::NextLink,
            cap: None,
            repeats: None,
            empty: EmptyForm::Array,
            signs_links: false,
            says_no_error: false,
            tombstone: Tombstone::Flag,
            rows: Rows::Records,
            tenants: Vec::new(),
            lists_tenants: false,
            pinned: BTreeSet::new(),
            extra: String::new(),
        }
    }
}

impl Habits {
    /// Members of a manifest's resource that fit this provider, as its reader would write them.
    pub fn resource(&self) -> String {
        let each = if self.tenants.is_empty() { "" } else { "/tenants/${each}" };
        let mut yaml = format!("url: \"{each}/records\"\nrecordsPath: records\nidField: id\n");
        match self.rows {
            Rows::Records => self.records(each, &mut yaml),
            Rows::Events => self.events(&mut yaml),
            Rows::Deltas { linked } => yaml.push_str(if linked { DELTA_LINK } else { DELTA_TOKEN }),
        }
        match self.tenants.iter().map(|tenant| format!("\"{}\"", tenant.name)).collect::<Vec<_>>() {
            names if names.is_empty() => {}
            _ if self.lists_tenants => yaml.push_str("forEach: {resource: tenants}\n"),
            names => drop(writeln!(yaml, "forEach: {{values: [{}]}}", names.join(", "))),
        }
        yaml
    }

    fn records(&self, each: &str, yaml: &mut String) {
        let java = self.stamps.java();
        if self.filter != Filter::None {
            yaml.push_str("query: {since: \"${since}\"}\n");
        }
        let fields: &[_] =
            if self.stamps.created { &[("updated", "modified"), ("created", "created")] } else { &[("updated", "modified")] };
        self.dates(fields, yaml);
        let _ = writeln!(yaml, "pagination: {{{}}}", self.paging.manifest());
        let deletes = match self.tombstone {
            Tombstone::Flag => "flag: {field: deleted}".to_owned(),
            Tombstone::Date => "flag: {field: deleted_at}".to_owned(),
            Tombstone::Milliseconds => "flag: {field: delete_at}".to_owned(),
            Tombstone::Gone => "snapshot: {maxCount: 1000}".to_owned(),
            Tombstone::Elsewhere => format!(
                "feed: {{url: \"{each}/deleted\", query: {{since: \"${{since}}\"}}, recordsPath: records, idField: ref, dateField: when, \
                 dateFormat: \"{java}\", dateTimezone: GMT, pagination: {{{}}}}}",
                self.paging.of_deleted().manifest()
            ),
        };
        let _ = writeln!(yaml, "deletes: {{{deletes}}}");
    }

    fn events(&self, yaml: &mut String) {
        if self.filter != Filter::None {
            yaml.push_str("query: {since: \"${since}\"}\n");
        }
        self.dates(&[("created", "created")], yaml);
        let _ = writeln!(yaml, "pagination: {{{}}}", self.paging.manifest());
        yaml.push_str(FEED);
    }

    fn dates(&self, fields: &[(&str, &str)], yaml: &mut String) {
        let java = self.stamps.java();
        yaml.push_str("datesConfiguration:\n");
        for (word, field) in fields {
            let _ = writeln!(yaml, "  {word}DateField: {field}\n  {word}DateFormat: \"{java}\"\n  {word}DateTimezone: GMT");
        }
    }
}

const FEED: &str = "feed: {typeField: type, objectIdField: data.object.id, objectField: data.object, \
                    typeMap: {record.created: Created, record.deleted: Deleted, \"record.*\": Updated}}\n";

const DELTA_TOKEN: &str = "\
query: {syncToken: \"${cursor}\"}
pagination: {token: {field: nextPageToken, parameter: pageToken}}
delta: {token: {field: nextSyncToken}}
deletes: {flag: {field: deleted}}
";

const DELTA_LINK: &str = "\
pagination: {nextLink: {field: nextLink}}
delta: {link: {field: deltaLink}}
deletes: {flag: {field: deleted}}
";
