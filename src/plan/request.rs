//! What is asked: base URL and resource → [`RequestPlan`].

use http::HeaderName;
use serde_json::Value;
use url::Url;

use super::placeholders::Placeholders;
use super::problems::{Problems, at, field, invalid};
use super::template::Template;
use super::{BodyPlan, RequestPlan};
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::instance::ConnectorInstanceSpec;
use crate::api::resource::{Method, Resource};

/// Bytes of a request body's JSON before its macros are filled in.
const MAX_BODY: usize = 64 * 1024;

/// Headers that the HTTP client or the credentials own.
const RESERVED: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "host", "content-length"];

/// Where the provider's API starts, its placeholders filled and a default port dropped.
pub(super) fn base_url(
    spec: &ConnectorInstanceSpec,
    connector: &ConnectorSpec,
    placeholders: &mut Placeholders,
) -> Result<Url, Problem> {
    const FIELD: &str = "spec.baseUrl";
    let Some(text) = spec.base_url.as_ref().or(connector.base_url.as_ref()) else {
        return Err(invalid(match spec.connector {
            Some(_) => "spec.baseUrl is required: the connector has none",
            None => "spec.baseUrl is required when no connector is named",
        }));
    };
    let text = placeholders.fill_url(FIELD, text)?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url.filter(|url| url.query().is_none() && url.fragment().is_none()) else {
        return Err(invalid(format!(
            "{FIELD} must be an http or https URL without query or fragment, such as https://api.example.com/v2"
        )));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(format!("{FIELD} carries credentials; they belong in a Secret that spec.auth names")));
    }
    Ok(url)
}

/// The request for the first page of a resource.
///
/// # Errors
/// Everything in url, query, headers and body that cannot be sent.
pub(super) fn plan(base: &Url, resource: &Resource, placeholders: &mut Placeholders) -> Result<RequestPlan, Vec<Problem>> {
    let name = resource.name.as_str();
    let mut problems = Problems::default();
    let url = problems.keep(url(base, resource, placeholders));

    let mut query = Vec::with_capacity(resource.query.len());
    for (key, value) in &resource.query {
        let filled = placeholders.fill(value);
        if let Some(value) = problems.keep(template(&field(name, &format!("query.{key}")), &filled)) {
            query.push((key.clone(), value));
        }
    }
    let mut headers = Vec::with_capacity(resource.headers.len());
    for (key, value) in &resource.headers {
        let filled = placeholders.fill(value);
        headers.extend(problems.keep(header(name, key, &filled)));
    }
    let body = resource.body.as_ref().and_then(|body| problems.keep(self::body(name, body, placeholders)));
    let method = match resource.method {
        Some(Method::Post) => http::Method::POST,
        Some(Method::Get) | None => http::Method::GET,
    };
    if resource.body.is_some() && method != http::Method::POST {
        problems.0.push(invalid(format!("{} must be POST: the resource has a body", field(name, "method"))));
    }
    match (url, problems.0.is_empty()) {
        (Some(url), true) => Ok(RequestPlan { method, origin: base.origin(), url, query, headers, body }),
        _ => Err(problems.0),
    }
}

/// Joins textually: macros and odd characters of the wild stay as written and are encoded when rendered.
fn url(base: &Url, resource: &Resource, placeholders: &mut Placeholders) -> Result<Template, Problem> {
    let at = field(&resource.name, "url");
    let Some(url) = &resource.url else {
        return Err(invalid(format!("{at} is required: no connector supplies it")));
    };
    template(&at, &absolute(base, &at, url, placeholders)?)
}

/// The absolute URL that a field means.
pub(super) fn absolute(base: &Url, at: &str, url: &str, placeholders: &mut Placeholders) -> Result<String, Problem> {
    let url = placeholders.fill_url(at, url.trim())?;
    if url.starts_with("//") || url.contains('\\') || url.contains('#') {
        return Err(invalid(format!("{at} must be a path under baseUrl, without backslash or fragment")));
    }
    Ok(if has_scheme(&url) {
        // Compared as parsed, so that an explicit :443 is no other origin and user@host is one.
        let same = Url::parse(&url).is_ok_and(|url| url.origin() == base.origin() && url.username().is_empty());
        if !same {
            return Err(invalid(format!(
                "{at} must be a path or have the origin of baseUrl, {}",
                base.origin().ascii_serialization()
            )));
        }
        url
    } else {
        let base = base.as_str().trim_end_matches('/');
        match url.trim_start_matches('/') {
            "" => base.to_owned(),
            query if query.starts_with('?') => format!("{base}{query}"),
            path => format!("{base}/{path}"),
        }
    })
}

fn template(field: &str, text: &str) -> Result<Template, Problem> {
    Template::parse(text).map_err(at(field))
}

/// RFC 3986 §3.1.
fn has_scheme(url: &str) -> bool {
    let Some((scheme, _)) = url.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'))
}

fn header(resource: &str, key: &str, value: &str) -> Result<(HeaderName, Template), Problem> {
    let field = field(resource, &format!("headers.{key}"));
    let name = HeaderName::try_from(key).map_err(|_| invalid(format!("{field} is not a valid header name")))?;
    if RESERVED.contains(&name.as_str()) {
        return Err(invalid(format!("{field} cannot be set here; credentials belong in spec.auth")));
    }
    if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        return Err(invalid(format!("{field} has a line break or another control character in its value")));
    }
    Ok((name, template(&field, value)?))
}

fn body(resource: &str, body: &Value, placeholders: &mut Placeholders) -> Result<BodyPlan, Problem> {
    let field = field(resource, "body");
    if body.to_string().len() > MAX_BODY {
        return Err(invalid(format!("{field} is larger than 64 KiB")));
    }
    // The depth is bounded by the parser that read the manifest.
    compile(&field, body, placeholders)
}

fn compile(field: &str, body: &Value, placeholders: &mut Placeholders) -> Result<BodyPlan, Problem> {
    Ok(match body {
        Value::Null | Value::Bool(_) | Value::Number(_) => BodyPlan::Literal(body.clone()),
        Value::String(text) => BodyPlan::Text(template(field, &placeholders.fill(text))?),
        Value::Array(items) => {
            BodyPlan::List(items.iter().map(|item| compile(field, item, placeholders)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => BodyPlan::Map(
            members
                .iter()
                .map(|(key, value)| Ok((key.clone(), compile(&format!("{field}.{key}"), value, placeholders)?)))
                .collect::<Result<_, _>>()?,
        ),
    })
}
