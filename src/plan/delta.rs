//! How each poll continues where the last one ended: where the token for the next poll stands, and when one is no longer valid. Pure.

use http::StatusCode;

use super::problems::{field, invalid};
use super::template::Template;
use super::{BodyPlan, RequestPlan, ValueAt, digest, extract, print};
use crate::api::conditions::Problem;
use crate::api::deletes::Deletes;
use crate::api::delta::{Delta, Expired};
use crate::api::resource::Resource;

/// How each poll continues where the last one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaPlan {
    /// Where a response has the token or URL for the next poll.
    pub from: ValueAt,
    /// What the value is.
    pub form: DeltaForm,
    /// How the provider says that it is no longer valid, other than with 410.
    pub expired: Option<ExpiredAnswer>,
    /// Identifies the request: a token is valid for one request only.
    pub scope: u64,
}

/// What the provider answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeltaForm {
    /// A token, which `${cursor}` stands for.
    Token {
        /// What it stands for without a token; `None`: what has the macro is left out.
        first: Option<String>,
    },
    /// The URL of the next poll.
    Link,
}

/// The answer to a token that is no longer valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredAnswer {
    status: StatusCode,
    body_contains: Option<String>,
}

impl DeltaPlan {
    /// Whether a response to a request with a token says that the token is no longer valid. 410 always does.
    pub fn is_expired(&self, status: StatusCode, body: &[u8]) -> bool {
        let means = |expired: &ExpiredAnswer| {
            let contains = |text: &str| String::from_utf8_lossy(body).contains(text);
            status == expired.status && expired.body_contains.as_deref().is_none_or(contains)
        };
        status == StatusCode::GONE || self.expired.as_ref().is_some_and(means)
    }

    /// Whether the first request says where the list is to begin, which may be anywhere.
    pub fn has_first(&self) -> bool {
        matches!(self.form, DeltaForm::Token { first: Some(_) })
    }

    /// Name of the field in messages.
    pub fn field(&self) -> &'static str {
        match self.form {
            DeltaForm::Token { .. } => "resources[].delta.token",
            DeltaForm::Link => "resources[].delta.link",
        }
    }
}

/// Reads `delta` and checks `${cursor}` against it. `request` is missing when it has a problem of its own.
pub(super) fn plan(resource: &Resource, request: Option<&RequestPlan>) -> Result<Option<DeltaPlan>, Problem> {
    let name = resource.name.as_str();
    let Some(delta) = &resource.delta else {
        return match request.and_then(token_place) {
            Some(place) => Err(invalid(format!(
                "{} has the macro ${{cursor}}, and nothing says where its token comes from; set delta.token to where the provider's \
                 response has it, or use ${{since}} for a date",
                field(name, place)
            ))),
            None => Ok(None),
        };
    };
    if matches!(resource.deletes, Some(Deletes::Snapshot(_))) {
        return Err(invalid(format!(
            "{} has no meaning with delta, since a poll shows what changed and not the whole list; name the mark of deleted records in \
             deletes.flag",
            field(name, "deletes.snapshot")
        )));
    }
    let (from, form, expired) = match delta {
        Delta::Token(token) => {
            let from = extract::value_at(name, "delta.token", token.field.as_deref(), token.header.as_deref())?;
            (from, DeltaForm::Token { first: token.first.clone() }, &token.expired)
        }
        Delta::Link(link) => {
            let from = extract::value_at(name, "delta.link", link.field.as_deref(), link.header.as_deref())?;
            (from, DeltaForm::Link, &link.expired)
        }
    };
    let expired = expired.as_ref().map(|expired| expired_answer(name, expired)).transpose()?;
    let Some(request) = request else { return Ok(None) };
    if let Some(since) = request.since(std::time::Duration::ZERO) {
        return Err(invalid(format!(
            "{} has a macro of the date cursor, and with delta polls continue by token; remove the macro",
            field(name, since.field)
        )));
    }
    match (&form, token_place(request)) {
        (DeltaForm::Token { .. }, None) => {
            return Err(invalid(format!(
                "{} needs the macro ${{cursor}} where the request takes the token, for example in query",
                field(name, "delta.token")
            )));
        }
        (DeltaForm::Token { first: None }, Some("url")) => {
            return Err(invalid(format!(
                "{} has the macro ${{cursor}}, and the first request has no token; write it in query, or set delta.token.first",
                field(name, "url")
            )));
        }
        (DeltaForm::Link, Some(place)) => {
            return Err(invalid(format!(
                "{} has the macro ${{cursor}}, and with delta.link the provider's URL has all that the request needs; remove the macro",
                field(name, place)
            )));
        }
        (DeltaForm::Token { .. }, Some(_)) | (DeltaForm::Link, None) => {}
    }
    let scope = scope(request, &from, &form);
    Ok(Some(DeltaPlan { from, form, expired, scope }))
}

fn expired_answer(name: &str, expired: &Expired) -> Result<ExpiredAnswer, Problem> {
    let refused = || {
        invalid(format!(
            "{} must be between 400 and 499 and neither 401 nor 429, which say something else",
            field(name, "delta.expired.status")
        ))
    };
    let status =
        u16::try_from(expired.status).ok().filter(|status| (400..500).contains(status) && ![401, 429].contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok()).ok_or_else(refused)?;
    Ok(ExpiredAnswer { status, body_contains: expired.body_contains.clone() })
}

/// The first field of a request that has `${cursor}`.
fn token_place(request: &RequestPlan) -> Option<&'static str> {
    request.field_with(Template::uses_token)
}

/// A token means something only for the request that it was made for.
fn scope(request: &RequestPlan, from: &ValueAt, form: &DeltaForm) -> u64 {
    digest::of(request, &[&print::value_at(from), if *form == DeltaForm::Link { "link" } else { "token" }])
}

impl BodyPlan {
    /// Whether it is a string that takes the provider's token: without one it is left out.
    pub fn is_token(&self) -> bool {
        matches!(self, Self::Text(text) if text.uses_token())
    }
}
