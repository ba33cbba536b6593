//! The URL of a single record, around the places of its id. Pure.

use percent_encoding::utf8_percent_encode;
use url::Url;

use super::placeholders::Placeholders;
use super::problems::invalid;
use super::request;
use crate::api::conditions::Problem;
use crate::api::resource::Resource;
use crate::api::uri::RESERVED;

/// Where the id goes in the URL of one record.
const ID: &str = "${id}";
/// Where the value of a list goes that is one of several.
const EACH: &str = "${each}";

/// The parts of an absolute URL of the origin of `base`, between which the id goes. `at` is the name of the field with `text`.
///
/// # Errors
/// There is no place for the id, a macro that means nothing there, or another origin.
pub(super) fn parts(
    base: &Url,
    (at, text): (&str, &str),
    resource: &Resource,
    placeholders: &mut Placeholders,
) -> Result<Vec<Box<str>>, Problem> {
    let url = request::absolute(base, at, text, placeholders)?;
    let parts: Vec<Box<str>> = url.split(ID).map(Into::into).collect();
    let has_several = resource.for_each.is_some();
    let others = |part: &str| if has_several { part.replace(EACH, "1") } else { part.to_owned() };
    if parts.len() < 2 || parts.iter().any(|part| others(part).contains("${")) {
        let allowed = if has_several { "and no other macro but ${each}" } else { "and no other macro" };
        return Err(invalid(format!("{at} must contain {ID}, {allowed}, as in /contacts/{ID}")));
    }
    let is_own = |text: &str| Url::parse(text).is_ok_and(|url| url.origin() == base.origin());
    let first = parts.first().map(|first| first.split(EACH).next().unwrap_or_default());
    if !is_own(&others(&parts.join("1"))) || !first.is_some_and(is_own) {
        return Err(invalid(format!("{at} must be a path under baseUrl with {ID} after the host, as in /contacts/{ID}")));
    }
    Ok(parts)
}

/// The parts for the list of one value.
pub(super) fn for_value(parts: &[Box<str>], value: &str) -> Vec<Box<str>> {
    let value = utf8_percent_encode(value, RESERVED).to_string();
    parts.iter().map(|part| part.replace(EACH, &value).into()).collect()
}
