//! The token or URL with which the next poll continues: read from the answers of a listing, and asked for at its beginning. Pure.

use http::{HeaderMap, StatusCode};
use url::Url;

use super::pagination::Position;
use crate::api::conditions::{Problem, Reaction, Reason};
use crate::plan::delta::{DeltaForm, DeltaPlan};
use crate::plan::{ValueAt, json};

/// Bytes of a token or URL that is kept from poll to poll.
pub const MAX_TOKEN: usize = 4_000;

/// The token of one listing: what it began with, and what it found.
#[derive(Clone, Debug, Default)]
pub struct ListingToken {
    sent: Option<String>,
    found: Option<String>,
    fault: Option<Problem>,
    records: usize,
}

impl ListingToken {
    /// A listing that begins with this token, or with none.
    pub fn begun_with(sent: Option<&str>) -> Self {
        Self { sent: sent.map(str::to_owned), ..Self::default() }
    }

    /// Whether the listing began with the token of an earlier one.
    pub fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// The problem of a response to the first request of a listing, which may be one of the token: providers have more ways than 410 to say
    /// that one is no longer valid, and other statuses have other reasons, too.
    pub fn explained(&self, plan: Option<&DeltaPlan>, problem: Problem, status: StatusCode) -> Problem {
        let code = status.as_u16();
        let may_be_expired = matches!(code, 400 | 404 | 409 | 412 | 422) && problem.reaction == Reaction::Human;
        let Some(plan) = plan.filter(|_| self.sent.is_some() && may_be_expired) else {
            return problem;
        };
        let (field, what) = match plan.form {
            DeltaForm::Token { .. } => ("token", "a token"),
            DeltaForm::Link => ("link", "a link"),
        };
        let message = format!(
            "resources[].delta.{field}: the provider answered {code} to what the last poll ended with; if it answers so to {what} that is no \
             longer valid, set delta.{field}.expired to {{status: {code}}}, and the whole list is read; else check url, query and headers \
             against its documentation"
        );
        Problem { message, ..problem }
    }

    /// What `${cursor}` stands for.
    pub fn value<'a>(&'a self, plan: Option<&'a DeltaPlan>) -> Option<&'a str> {
        match &plan?.form {
            DeltaForm::Token { first } => self.sent.as_deref().or(first.as_deref()),
            DeltaForm::Link => None,
        }
    }

    /// The URL that a listing begins at instead of the plan's. One that can no longer be used is as none: the list is read whole.
    pub fn start(&self, plan: Option<&DeltaPlan>, origin: &url::Origin) -> Option<Position> {
        if plan?.form != DeltaForm::Link {
            return None;
        }
        let url = Url::parse(self.sent.as_deref()?).ok().filter(|url| url.origin() == *origin)?;
        Some(Position::Url(url))
    }

    /// Looks for the next token in an answer of `records` records. `secret` are the parameters that carry credentials: they are not kept.
    pub fn note(&mut self, plan: &DeltaPlan, answer: (&Url, &HeaderMap, &str), records: usize, secret: &[(String, String)]) {
        self.records += records;
        match read(plan, answer, secret) {
            Ok(None) => {}
            Ok(found) => (self.found, self.fault) = (found, None),
            Err(problem) => self.fault = Some(problem),
        }
    }

    /// The token for the next poll, once the listing was read to its end.
    ///
    /// # Errors
    /// There is none where the plan says, or one that cannot be kept. An answer that has neither a token nor a record says that nothing
    /// has changed: the token that was sent is still good.
    pub fn next(&self, plan: &DeltaPlan) -> Result<String, Problem> {
        if let Some(problem) = &self.fault {
            return Err(problem.clone());
        }
        match (&self.found, &self.sent) {
            (Some(found), _) => Ok(found.clone()),
            (None, Some(sent)) if self.records == 0 => Ok(sent.clone()),
            (None, _) => Err(Problem::human(
                Reason::InvalidResponse,
                format!(
                    "{}: no response of the list has a value there, so the next poll reads all of it again; correct field or header, and \
                     check that pagination reaches the last page",
                    plan.field()
                ),
            )),
        }
    }
}

fn read(
    plan: &DeltaPlan,
    (base, headers, envelope): (&Url, &HeaderMap, &str),
    secret: &[(String, String)],
) -> Result<Option<String>, Problem> {
    let text = match &plan.from {
        ValueAt::Header(name) => headers.get(name).and_then(|value| value.to_str().ok()).map(|text| text.trim().to_owned()),
        // `@odata.deltaLink` is one name, though it reads like two.
        ValueAt::Field(path) => {
            let value = path.find(envelope).or_else(|| json::member(envelope, &path.to_string()));
            value.and_then(json::scalar_text).map(std::borrow::Cow::into_owned).filter(|text| text != "null")
        }
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = if plan.form == DeltaForm::Link { link(plan, base, &text, secret)? } else { text };
    if text.len() > MAX_TOKEN {
        return Err(Problem::human(
            Reason::ResponseTooLarge,
            format!(
                "{}: the token for the next poll is longer than {MAX_TOKEN} bytes and is not kept, so each poll reads what the last token \
                 says again; remove delta to continue by date",
                plan.field()
            ),
        ));
    }
    Ok(Some(text))
}

fn link(plan: &DeltaPlan, base: &Url, target: &str, secret: &[(String, String)]) -> Result<String, Problem> {
    let field = plan.field();
    let mut url = base.join(target).map_err(|_| {
        Problem::human(Reason::InvalidResponse, format!("{field}: it leads to text that is not a URL; correct field or header"))
    })?;
    if url.origin() != base.origin() {
        return Err(Problem::human(
            Reason::CrossOriginNextLink,
            format!(
                "{field}: the provider's URL has another origin than baseUrl and was not followed, for credentials must not leave the \
                 origin; correct baseUrl"
            ),
        ));
    }
    url.set_fragment(None);
    // Same origin, so both calls succeed. A client would turn user info into credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if let Some(query) = url.query()
        && !secret.is_empty()
    {
        let is_secret = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            secret.iter().any(|(secret, _)| *secret == name)
        };
        let kept: Vec<_> = query.split('&').filter(|pair| !is_secret(pair)).collect();
        let kept = kept.join("&");
        url.set_query((!kept.is_empty()).then_some(&kept));
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::field_path::FieldPath;

    fn plan(form: DeltaForm, field: &str) -> DeltaPlan {
        DeltaPlan { from: ValueAt::Field(FieldPath::parse(field).unwrap()), form, expired: None, scope: 1 }
    }

    fn noted(plan: &DeltaPlan, sent: Option<&str>, answers: &[(&str, usize)]) -> Result<String, Problem> {
        let url = Url::parse("https://api.example.com/v1/list?page=2").unwrap();
        let mut token = ListingToken::begun_with(sent);
        for (envelope, records) in answers {
            token.note(plan, (&url, &HeaderMap::new(), envelope), *records, &[("key".to_owned(), "secret".to_owned())]);
        }
        token.next(plan)
    }

    #[test]
    fn a_refusal_of_what_begins_a_listing_names_the_way_out() {
        let refused = |code| Problem::human(Reason::UnexpectedStatus, format!("the provider answered {code}"));
        let said = |form: DeltaForm, sent: Option<&str>, code: u16| {
            let status = StatusCode::from_u16(code).unwrap();
            ListingToken::begun_with(sent).explained(Some(&plan(form, "t")), refused(code), status).message
        };
        let token = || DeltaForm::Token { first: None };
        assert!(said(token(), Some("a"), 400).contains("resources[].delta.token: the provider answered 400"));
        assert!(said(token(), Some("a"), 404).contains("set delta.token.expired to {status: 404}"));
        assert!(said(DeltaForm::Link, Some("https://a.example/x"), 422).contains("set delta.link.expired to {status: 422}"));
        for (sent, code) in [(None, 400), (Some("a"), 403), (Some("a"), 401)] {
            assert_eq!(said(token(), sent, code), format!("the provider answered {code}"));
        }
        let passing = Problem::transient(Reason::UnexpectedStatus, "x");
        let kept =
            ListingToken::begun_with(Some("a")).explained(Some(&plan(token(), "t")), passing.clone(), StatusCode::NOT_FOUND);
        assert_eq!(kept, passing);
    }

    #[test]
    fn the_last_page_that_has_a_token_says_where_the_next_poll_continues() {
        let token = plan(DeltaForm::Token { first: None }, "nextSyncToken");
        assert_eq!(noted(&token, None, &[(r#"{"nextSyncToken":"a"}"#, 1), (r#"{"nextSyncToken":"b"}"#, 1)]).unwrap(), "b");
        assert_eq!(noted(&token, None, &[(r#"{"nextSyncToken":17}"#, 0)]).unwrap(), "17", "a number is a token, too");
        assert_eq!(noted(&token, Some("a"), &[("{}", 0)]).unwrap(), "a", "nothing changed");
        assert_eq!(noted(&token, Some("a"), &[("{}", 3)]).unwrap_err().reason, Reason::InvalidResponse);
        assert_eq!(noted(&token, None, &[(r#"{"nextSyncToken":null}"#, 0)]).unwrap_err().reason, Reason::InvalidResponse);
        let long = format!(r#"{{"nextSyncToken":"{}"}}"#, "x".repeat(MAX_TOKEN + 1));
        assert_eq!(noted(&token, Some("a"), &[(&long, 1)]).unwrap_err().reason, Reason::ResponseTooLarge);
        assert_eq!(noted(&token, Some("a"), &[(&long, 1), (r#"{"nextSyncToken":"c"}"#, 1)]).unwrap(), "c");
    }

    #[test]
    fn a_link_stays_on_the_origin_and_carries_no_credential() {
        let link = plan(DeltaForm::Link, "@odata.deltaLink");
        let next = |target: &str| noted(&link, None, &[(&format!(r#"{{"@odata.deltaLink":"{target}"}}"#), 1)]);
        assert_eq!(next("/v1/list?token=7&key=secret&x=1#top").unwrap(), "https://api.example.com/v1/list?token=7&x=1");
        assert_eq!(next("?key=secret").unwrap(), "https://api.example.com/v1/list");
        assert_eq!(next("https://evil.example.org/v1/list").unwrap_err().reason, Reason::CrossOriginNextLink);
        let begun = ListingToken::begun_with(Some("https://api.example.com/v1/list?token=7"));
        let origin = |text: &str| Url::parse(text).unwrap().origin();
        assert!(begun.start(Some(&link), &origin("https://api.example.com")).is_some());
        assert_eq!(begun.start(Some(&link), &origin("https://other.example.com")), None);
        assert_eq!(begun.value(Some(&link)), None);
    }
}
