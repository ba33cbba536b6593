//! Plan + macros + position + authentication → one request. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::pagination::Position;
use super::split::MAX_BODY;
use crate::api::conditions::{Problem, Reason};
use crate::api::secrecy::{self, MASK};
use crate::api::uri::RESERVED;
use crate::auth::RequestAuth;
use crate::egress::{Limits, Overflow, Redirects, Request};
use crate::plan::field_path::Segment;
use crate::plan::template::{MacroContext, Place, Template};
use crate::plan::{BodyPlan, RequestPlan};

/// Bounds of every list request.
const LIMITS: Limits =
    Limits { body: MAX_BODY, overflow: Overflow::Refuse, first_byte: Duration::from_secs(30), total: Duration::from_mins(1) };
/// Redirects of a GET that are followed within the origin.
const MAX_REDIRECTS: u8 = 3;

/// The request for the page at `position`, without authentication.
///
/// # Errors
/// `InvalidSpec` when the macros' values make a URL or header that cannot be sent, or a URL of another origin.
pub fn build(plan: &RequestPlan, context: &MacroContext<'_>, position: &Position) -> Result<Request, Problem> {
    let url = match position {
        Position::Url(url) => url.clone(),
        _ => list_url(plan, context, position)?,
    };
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let body = match position {
        Position::Body { field, json } => Some(body_text(plan.body.as_ref(), context, Some((field.segments(), json)))),
        _ => plan.body.as_ref().map(|body| body_text(Some(body), context, None)),
    };
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let is_sent = |value: &Template| context.token.is_some() || !value.uses_token();
    for (name, value) in plan.headers.iter().filter(|(_, value)| is_sent(value)) {
        headers.insert(name.clone(), header_value(name.as_str(), &value.render(context, Place::Header))?);
    }
    if let Position::Header { name, value } = position {
        let field = "resources[].pagination.token.parameter: it is not the name of a header; correct it";
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Problem::human(Reason::InvalidSpec, field))?;
        let value = header_value(name.as_str(), value)?;
        headers.insert(name, value);
    }
    let redirects = if plan.method == Method::GET { Redirects::WithinOrigin(MAX_REDIRECTS) } else { Redirects::Never };
    Ok(Request {
        method: plan.method.clone(),
        url,
        headers,
        body: body.map(Bytes::from),
        credentials: Vec::new(),
        redirects,
        limits: LIMITS,
    })
}

fn list_url(plan: &RequestPlan, context: &MacroContext<'_>, position: &Position) -> Result<Url, Problem> {
    let mut url = Url::parse(&plan.url.render(context, Place::Url)).map_err(|_| {
        Problem::human(
            Reason::InvalidSpec,
            "resources[].url: it is not an absolute URL once its macros are filled in; correct it",
        )
    })?;
    if url.origin() != plan.origin {
        return Err(Problem::human(
            Reason::InvalidSpec,
            "resources[].url: its macros lead to another origin than baseUrl; correct it",
        ));
    }
    url.set_fragment(None);
    let mut pairs: Vec<String> =
        url.query().filter(|q| !q.is_empty()).map(|q| q.split('&').map(str::to_owned).collect()).unwrap_or_default();
    // Without a token the parameter that takes one is left out, for an empty one is no token either.
    for (name, value) in plan.query.iter().filter(|(_, value)| context.token.is_some() || !value.uses_token()) {
        pairs.push(pair(name, &value.render(context, Place::QueryValue)));
    }
    if let Position::Query(added) = position {
        for (name, value) in added {
            let new = pair(name, &utf8_percent_encode(value, RESERVED).to_string());
            match pairs.iter_mut().find(|old| name_of(old) == *name) {
                Some(old) => *old = new,
                None => pairs.push(new),
            }
        }
    }
    if !pairs.is_empty() {
        url.set_query(Some(&pairs.join("&")));
    }
    Ok(url)
}

fn pair(name: &str, encoded_value: &str) -> String {
    // `$`, `[`, `]` and `,` are harmless in a name, and `$filter` is what OData servers document.
    const NAME: &AsciiSet = &RESERVED.remove(b'$').remove(b'[').remove(b']').remove(b',').remove(b':').remove(b'@');
    format!("{}={encoded_value}", utf8_percent_encode(name, NAME))
}

fn name_of(pair: &str) -> String {
    let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
    percent_decode_str(&name).decode_utf8_lossy().into_owned()
}

pub(super) fn header_value(name: &str, value: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(value).map_err(|_| {
        Problem::human(
            Reason::InvalidSpec,
            format!("resources[].headers: the value of {name} has a character that headers do not allow; correct it"),
        )
    })
}

/// Renders a body as JSON text; `patch` replaces or adds the value at a path of members.
fn body_text(body: Option<&BodyPlan>, context: &MacroContext<'_>, patch: Option<(&[Segment], &str)>) -> String {
    let mut text = String::new();
    write_body(&mut text, body, context, patch);
    text
}

fn write_body(text: &mut String, body: Option<&BodyPlan>, context: &MacroContext<'_>, patch: Option<(&[Segment], &str)>) {
    if let Some((path, json)) = patch {
        return match path.split_first() {
            Some((Segment::Key(key), rest)) => write_patched(text, body, context, key, (rest, json)),
            // An index has no place in what a request sends: the last member takes the value.
            Some((Segment::Index(_), _)) | None => text.push_str(json),
        };
    }
    match body {
        None => text.push_str("{}"),
        Some(BodyPlan::Literal(value)) => text.push_str(&value.to_string()),
        Some(BodyPlan::Text(template)) => push_string(text, &template.render(context, Place::Json)),
        Some(BodyPlan::List(items)) => {
            text.push('[');
            let sent = items.iter().filter(|item| context.token.is_some() || !item.is_token());
            for (index, item) in sent.enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_body(text, Some(item), context, None);
            }
            text.push(']');
        }
        Some(BodyPlan::Map(members)) => {
            text.push('{');
            let sent = members.iter().filter(|(_, value)| context.token.is_some() || !value.is_token());
            for (index, (name, value)) in sent.enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push_string(text, name);
                text.push(':');
                write_body(text, Some(value), context, None);
            }
            text.push('}');
        }
    }
}

/// Writes an object in which `key` leads to the patch; what is no object gives way to one.
fn write_patched(text: &mut String, body: Option<&BodyPlan>, context: &MacroContext<'_>, key: &str, patch: (&[Segment], &str)) {
    let members = if let Some(BodyPlan::Map(members)) = body { members.as_slice() } else { &[] };
    let at = |text: &mut String, name: &str| {
        text.push(if text.ends_with('{') { ' ' } else { ',' });
        push_string(text, name);
        text.push(':');
    };
    let mut met = false;
    text.push('{');
    for (name, value) in members {
        let patch = (name == key).then_some(patch);
        if patch.is_none() && context.token.is_none() && value.is_token() {
            continue;
        }
        at(text, name);
        met |= patch.is_some();
        write_body(text, Some(value), context, patch);
    }
    if !met {
        at(text, key);
        write_body(text, None, context, Some(patch));
    }
    text.push('}');
}

fn push_string(text: &mut String, value: &str) {
    text.push_str(&serde_json::Value::from(value).to_string());
}

/// A request as it is shown to a person: every credential is replaced by `***`.
pub fn masked(request: &Request, auth: &RequestAuth) -> String {
    let is_secret_header = |name: &HeaderName, value: &HeaderValue| {
        value.is_sensitive()
            || auth.headers.contains_key(name)
            || secrecy::is_secret(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))
    };
    let mut url = request.url.clone();
    if let Some(query) = request.url.query() {
        let shown: Vec<_> = query
            .split('&')
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let own = name_of(pair);
                if auth.query.iter().any(|(secret, _)| *secret == own) || secrecy::is_secret(&own, value) {
                    format!("{name}={MASK}")
                } else {
                    pair.to_owned()
                }
            })
            .collect();
        url.set_query(Some(&shown.join("&")));
    }
    let mut text = format!("{} {url}\n", request.method);
    for (name, value) in &request.headers {
        let shown = if is_secret_header(name, value) { MASK.into() } else { String::from_utf8_lossy(value.as_bytes()) };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {shown}");
    }
    if let Some(body) = &request.body {
        let shown = serde_json::from_slice(body).map(|own: serde_json::Value| (secrecy::shown_json("", own.clone()), own));
        let _ = match shown {
            Ok((shown, own)) if shown != own => writeln!(text, "\n{shown}"),
            Ok(_) | Err(_) => writeln!(text, "\n{}", String::from_utf8_lossy(body)),
        };
    }
    text
}

#[cfg(test)]
mod tests;
