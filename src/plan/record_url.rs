//! The URL of a single record, around the places of its id. Pure.

use url::Url;

use super::placeholders::Placeholders;
use super::problems::invalid;
use super::request;
use crate::api::conditions::Problem;

/// Where the id goes in the URL of one record.
const ID: &str = "${id}";

/// The parts of an absolute URL of the origin of `base`, between which the id goes. `at` is the name of the field with `text`.
///
/// # Errors
/// There is no place for the id, another macro, or another origin.
pub(super) fn parts(base: &Url, at: &str, text: &str, placeholders: &mut Placeholders) -> Result<Vec<Box<str>>, Problem> {
    let url = request::absolute(base, at, text, placeholders)?;
    let parts: Vec<Box<str>> = url.split(ID).map(Into::into).collect();
    if parts.len() < 2 || parts.iter().any(|part| part.contains("${")) {
        return Err(invalid(format!("{at} must contain {ID}, and no other macro, as in /contacts/{ID}")));
    }
    let is_url = Url::parse(&parts.join("1")).is_ok_and(|url| url.origin() == base.origin());
    if !is_url || parts.first().is_some_and(|first| !Url::parse(first).is_ok_and(|url| url.origin() == base.origin())) {
        return Err(invalid(format!("{at} must be a path under baseUrl with {ID} after the host, as in /contacts/{ID}")));
    }
    Ok(parts)
}
