//! Spec + connector → [`PollPlan`], or a reason that a person can act on. Pure.
//!
//! A plan is all that the later steps need; nothing behind this point reads a manifest.

mod authentication;
mod changes;
pub mod connector;
mod cursor;
pub mod date_format;
pub mod deleted_list;
pub mod delta;
mod detail;
mod digest;
pub mod error_rules;
pub mod expression;
mod extract;
pub mod feed;
pub mod field_path;
pub mod for_each;
mod full_sweep;
pub(crate) mod hub_path;
pub mod id;
pub mod json;
mod limits;
mod max_age;
mod oauth2;
pub(crate) mod overlay;
mod pagination;
mod parameter;
mod placeholders;
mod places;
pub mod print;
mod probe;
mod problems;
mod record_url;
mod request;
pub mod resolve;
mod result_cap;
#[cfg(test)]
pub(crate) mod sample;
pub mod shaping;
pub mod since;
mod snapshot;
pub mod start_from;
pub mod template;
mod tls;
mod until;

pub use changes::ChangesPlan;
pub use detail::DetailPlan;
pub use limits::{CalendarDay, LimitsPlan, RequestLimitPlan};
pub use oauth2::{JwtPlan, Oauth2Plan, RefreshPlan, TokenResponsePlan};
pub use pagination::{PaginationPlan, TokenPlace, ValueAt};
pub use print::print;
pub use resolve::resolve;
pub use snapshot::{ConfirmPlan, SnapshotPlan};
pub use tls::TlsPlan;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderName;
use url::{Position, Url};

use crate::api::auth::SecretKeyRef;
use crate::api::identity::InstanceRef;
use date_format::DateFormat;
use field_path::FieldPath;
use template::Template;

/// Everything needed to poll one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct PollPlan {
    /// Which instance it is of.
    pub instance: InstanceRef,
    /// The name that people gave it elsewhere, which OpenConnectors events carry instead of that of the manifest.
    pub title: Option<Arc<str>>,
    /// Generation of the manifest that the plan was made from; only an API server counts them.
    pub generation: Option<i64>,
    /// Catalogue key, if a connector was named.
    pub connector: Option<Arc<str>>,
    /// Copied into every OpenConnectors event.
    pub tags: Vec<String>,
    /// Neither polls nor delivers, keeps state.
    pub suspended: bool,
    /// Where events go.
    pub callback: Arc<CallbackPlan>,
    /// What shows whether the provider accepts the credentials; `None`: only its answers to the lists.
    pub probe: Option<Arc<RequestPlan>>,
    /// What is polled; names are unique.
    pub resources: Vec<Arc<ResourcePlan>>,
}

/// Everything needed to poll one list.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourcePlan {
    /// Name, unique in the instance; the object type of events.
    pub name: Arc<str>,
    /// What is asked.
    pub request: RequestPlan,
    /// How the request is authenticated.
    pub auth: Arc<AuthPlan>,
    /// What its connections have of their own in TLS, also those to the token endpoint.
    pub tls: Option<Arc<TlsPlan>>,
    /// How an answer is read; shared with all that read theirs in the same way.
    pub extract: Arc<ExtractPlan>,
    /// What makes a record a changed one.
    pub change_by: ChangeBy,
    /// Content that differs is a change though the date did not move; every record that is listed is remembered.
    pub compare_content: bool,
    /// updated − created within it ⇒ created.
    pub created_tolerance: Duration,
    /// How far behind the cursor each poll reads again.
    pub lookback: Duration,
    /// How long after its date a record may appear: until then each poll reads this far behind the cursor.
    pub lateness: Duration,
    /// How far ahead of the provider's clock dates may be before that is reported.
    pub max_future: Duration,
    /// How far back the provider lists changes; `None`: all of them.
    pub max_age: Option<Duration>,
    /// Time between two complete readings of the list in which records are compared by content; `None`: there are none.
    pub full_sweep: Option<Duration>,
    /// The order in which the provider lists records by their version date.
    pub order: Order,
    /// Deleted records are found by complete readings of the list, in this way.
    pub snapshot: Option<Arc<SnapshotPlan>>,
    /// Deleted records are found in this list, whose rows are their ids with the dates of their deletion.
    pub deleted_list: Option<Arc<ResourcePlan>>,
    /// How further pages are asked for.
    pub pagination: PaginationPlan,
    /// How each poll continues where the last one ended; `None`: by date, or the whole list is compared.
    pub delta: Option<delta::DeltaPlan>,
    /// What its records say about objects; `None`: they are the objects.
    pub feed: Option<feed::FeedPlan>,
    /// How events name the fields that changed; `None`: they do not.
    pub changes: Option<ChangesPlan>,
    /// The request for the whole record before an event is sent; `None`: the record of the list is sent.
    pub detail: Option<Arc<DetailPlan>>,
    /// What the list is polled for; `None`: it is polled once.
    pub for_each: Option<Arc<for_each::ForEachPlan>>,
    /// Which list of a resource it is; `None`: the only one.
    pub list_of: Option<for_each::ListOf>,
    /// Records that the provider lists at most for one request with all its pages; `None`: all.
    pub result_cap: Option<u32>,
    /// Records asked for per page, for paginations with a size parameter.
    pub page_size: Option<u32>,
    /// Time between two polls.
    pub interval: Duration,
    /// What the first poll does with records that already exist.
    pub start_from: StartFrom,
    /// What the provider allows; `None`: nothing is known.
    pub limits: Option<Arc<LimitsPlan>>,
    /// Changes exactly when a stored cursor loses its meaning (origin, connector, id field).
    pub meaning: u64,
}

/// One list request before its macros are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPlan {
    /// GET or POST.
    pub method: http::Method,
    /// Scheme, host and port that every page must stay on.
    pub origin: url::Origin,
    /// Absolute URL, optionally with a query and macros.
    pub url: Template,
    /// Added to the URL's query in this order; values are percent-encoded when rendered.
    pub query: Vec<(String, Template)>,
    /// Extra headers, never credentials.
    pub headers: Vec<(HeaderName, Template)>,
    /// JSON body of a POST: its strings may carry macros.
    pub body: Option<BodyPlan>,
}

/// A JSON body whose strings are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyPlan {
    /// null, booleans and numbers.
    Literal(serde_json::Value),
    /// A string, optionally with macros.
    Text(Template),
    /// An array.
    List(Vec<BodyPlan>),
    /// An object, in the order of its keys.
    Map(Vec<(String, BodyPlan)>),
}

/// How records, ids and dates are found in an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractPlan {
    /// Path to the records; `None` detects it.
    pub records_path: Option<FieldPath>,
    /// Array of records, or map id → record.
    pub records_as: RecordsAs,
    /// Where a record has its id.
    pub id: id::IdPlan,
    /// Where a record says when it was last changed.
    pub updated: Option<DateField>,
    /// Where a record says when it was created.
    pub created: Option<DateField>,
    /// Where a record says that it was deleted.
    pub deleted: Option<DeletedFlag>,
    /// Paths of members that content is compared without; a key that meets an array applies to each of its elements.
    pub ignored: Vec<FieldPath>,
    /// Which records are delivered; `None`: all.
    pub filter: Option<shaping::FilterPlan>,
    /// What of a record is delivered.
    pub shape: shaping::Shape,
    /// What responses mean by the manifest; the first that holds decides.
    pub error_rules: Vec<error_rules::ErrorRule>,
}

impl ResourcePlan {
    /// Identifies the rules under which content is compared, as hexadecimal; empty for those without any field of the spec. Content hashes
    /// are valid under one set of rules.
    pub fn content_digest(&self) -> String {
        let mut rules: Vec<_> = self.extract.ignored.iter().map(ToString::to_string).collect();
        // No path ends like this.
        rules.extend(self.compare_content.then(|| "compareContent.".to_owned()));
        if rules.is_empty() {
            return String::new();
        }
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(rules.join("\n").as_bytes()))
    }
}

/// Form of the record list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsAs {
    /// `[{…}, {…}]`
    List,
    /// `{"id": {…}}`
    Map,
}

/// A date in a record.
#[derive(Clone, Debug, PartialEq)]
pub struct DateField {
    /// Path in the record.
    pub path: FieldPath,
    /// Pattern and zone.
    pub format: DateFormat,
}

/// A mark on deleted records in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedFlag {
    /// Path in the record.
    pub path: FieldPath,
    /// Text that marks a deleted record; `None`: any value that is true or set, such as the time of the deletion.
    pub value: Option<String>,
}

/// What makes a record a changed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeBy {
    /// The version date (the greater of updated and created) is at or behind the cursor.
    Updated,
    /// The created date is at or behind the cursor: updates are not seen.
    Created,
    /// The content differs from what was seen before.
    Content,
}

/// The order in which the provider lists records by their version date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
    /// Nothing is promised.
    Unordered,
}

/// What the first poll does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// Existing records are a silent baseline.
    Now,
    /// All existing records are sent as created.
    Earliest,
    /// Records from this time on are sent.
    Time(DateTime<Utc>),
}

/// How requests are authenticated; names Secrets, never holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthPlan {
    /// Not at all.
    None,
    /// A key in a header.
    ApiKeyHeader {
        /// Header name.
        name: HeaderName,
        /// Text in front of the key.
        prefix: String,
        /// Where the key is.
        secret: SecretKey,
    },
    /// A key in a query parameter.
    ApiKeyQuery {
        /// Parameter name.
        name: String,
        /// Text in front of the key.
        prefix: String,
        /// Where the key is.
        secret: SecretKey,
    },
    /// RFC 7617; Secret keys `username` and `password`, a missing password is empty.
    Basic {
        /// Name of the Secret.
        secret: String,
    },
    /// RFC 6750 in the header.
    Bearer {
        /// Where the token is.
        secret: SecretKey,
    },
    /// RFC 6749: access tokens as bearer tokens.
    Oauth2(Arc<Oauth2Plan>),
}

/// One key of a Secret in the instance's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Key in its data.
    pub key: String,
}

impl From<&SecretKeyRef> for SecretKey {
    fn from(reference: &SecretKeyRef) -> Self {
        Self { name: reference.name.clone(), key: reference.key.clone() }
    }
}

/// Where and how events are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackPlan {
    /// Where events are `POSTed`.
    pub url: Url,
    /// Shape of the body.
    pub format: EventFormat,
    /// Secret that signs every request; its keys `<key>` and `<key>-previous`.
    pub signature: Option<SecretKey>,
    /// Secret whose every key is sent as a header.
    pub headers_secret: Option<String>,
    /// How requests are authenticated.
    pub auth: Arc<AuthPlan>,
    /// What its connections have of their own in TLS, also those to the token endpoint.
    pub tls: Option<Arc<TlsPlan>>,
    /// Requests under way at once, for all resources of the instance.
    pub max_in_flight: u32,
    /// Deadline of one request.
    pub timeout: Duration,
}

impl CallbackPlan {
    /// Identifies a callback: what is known of one (gone, down) says nothing about another.
    pub fn fingerprint(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.url.as_str().as_bytes())
    }

    /// Host of the URL, with its port where that is not the scheme's.
    pub fn host(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }
}

/// Shape of delivered events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// CloudEvents 1.0, structured JSON, one event a request.
    CloudEvents,
    /// CloudEvents 1.0, batched JSON: an array of events, even of one.
    CloudEventsBatch(Batch),
    /// The body that SAP Open Connectors sends, up to ten events a request.
    OpenConnectors,
}

/// How much one request carries at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Events.
    pub max_events: usize,
    /// Bytes of the body, except that one event always fits.
    pub max_bytes: usize,
}
