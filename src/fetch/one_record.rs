//! The request for one record, by its id. Pure.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::utf8_percent_encode;
use url::Url;

use super::request::header_value;
use crate::api::conditions::{Problem, Reason};
use crate::api::uri::RESERVED;
use crate::egress::{Limits, Redirects, Request};
use crate::plan::template::{MacroContext, Place, Template};

/// Redirects that are followed within the origin.
const MAX_REDIRECTS: u8 = 3;

/// The request at the URL with these parts, between which the id goes, without authentication. `field` is the name of the URL's.
///
/// # Errors
/// `InvalidSpec` when id or macros make a URL or header that cannot be sent.
pub(super) fn build(
    (field, url): (&str, &[Box<str>]),
    headers: &[(HeaderName, Template)],
    limits: Limits,
    id: &str,
    context: &MacroContext<'_>,
) -> Result<Request, Problem> {
    let unsendable =
        || Problem::human(Reason::InvalidSpec, format!("{field}: it is not a URL once an id is filled in; correct it"));
    // A URL resolves `.` and `..` as segments, and they would name another place.
    if matches!(id, "." | "..") {
        return Err(unsendable());
    }
    let id = utf8_percent_encode(id, RESERVED).to_string();
    let url = Url::parse(&url.join(&id)).map_err(|_| unsendable())?;
    let mut sent = HeaderMap::new();
    sent.insert(ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        sent.insert(name.clone(), header_value(name.as_str(), &value.render(context, Place::Header))?);
    }
    let redirects = Redirects::WithinOrigin(MAX_REDIRECTS);
    Ok(Request { method: Method::GET, url, headers: sent, body: None, credentials: Vec::new(), redirects, limits })
}
