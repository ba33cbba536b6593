//! The pages, from the templates in `templates/connect`. Pure. They need no script and load nothing.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::consent::Refusal;

/// The one style sheet. Colours keep a contrast of 7 to 1 in both schemes (WCAG 2.2, 1.4.6).
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1.125rem/1.5 system-ui,sans-serif;margin:0;background:#fff;color:#1a1a1a}\
main{max-width:36rem;margin:0 auto;padding:2rem 1rem}\
button{font:inherit;padding:.6rem 1.2rem;border:2px solid #0b3d91;border-radius:.4rem;background:#0b3d91;color:#fff;cursor:pointer}\
button:focus-visible,a:focus-visible{outline:3px solid #b35900;outline-offset:3px}\
a{color:#0b3d91}\
code{overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{background:#141414;color:#f0f0f0}a{color:#a9c7ff}\
button{background:#a9c7ff;border-color:#a9c7ff;color:#0a0a0a}}";

/// The policy under which the pages are shown: nothing is loaded, nothing is run, and no page may frame them.
///
/// It leaves form-action out: browsers apply that to the redirects that follow a form, too, and it is unknown to which hosts a provider's
/// sign-in leads.
pub fn content_security_policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
    });
    &POLICY
}

/// A page that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// The whole document.
    pub html: String,
}

#[derive(Template)]
#[template(path = "connect/offer.html")]
struct Offer<'a> {
    title: String,
    namespace: &'a str,
    name: &'a str,
    host: &'a str,
    secret: &'a str,
}

/// Asks whether to go to the provider. `host`: the host that will ask for consent; `secret`: the Secret to which the tokens will belong.
pub fn offer(namespace: &str, name: &str, host: &str, secret: &str) -> Page {
    page(200, &Offer { title: format!("Connect {name}"), namespace, name, host, secret })
}

#[derive(Template)]
#[template(path = "connect/connected.html")]
struct Connected<'a> {
    title: String,
    namespace: &'a str,
    name: &'a str,
    place: &'a str,
}

/// It is connected. `place`: what is removed to connect again.
pub fn connected(namespace: &str, name: &str, place: &str) -> Page {
    page(200, &Connected { title: format!("{name} is connected"), namespace, name, place })
}

#[derive(Template)]
#[template(path = "connect/unsettled.html")]
struct Unsettled<'a> {
    title: String,
    namespace: &'a str,
    name: &'a str,
    why: &'a str,
}

/// It is unknown whether a consent is needed.
pub fn unsettled(namespace: &str, name: &str) -> Page {
    let title = format!("It is not known yet whether {name} needs a consent");
    page(200, &Unsettled { title, namespace, name, why: UNSETTLED })
}

const UNSETTLED: &str = "that shows when it is polled, and it has not been polled since it was made or changed, or something else keeps \
     it from being polled, which its conditions name. Open this page again in a moment.";

#[derive(Template)]
#[template(path = "connect/success.html")]
struct Success<'a> {
    title: String,
    namespace: &'a str,
    name: &'a str,
    console: Option<&'a str>,
}

/// It worked. `console`: the page of the instance in the console, if there is one.
pub fn success(namespace: &str, name: &str, console: Option<&str>) -> Page {
    page(200, &Success { title: format!("{name} is connected now"), namespace, name, console })
}

#[derive(Template)]
#[template(path = "connect/refused.html")]
struct Refused<'a> {
    title: &'a str,
    what: &'a str,
    back: Option<&'a str>,
}

/// It did not. `back`: path of the page at which to start again.
pub fn refused(refusal: &Refusal, back: Option<&str>) -> Page {
    let (status, title, what) = told(refusal);
    page(status, &Refused { title, what: &what, back })
}

/// Status, title, and what happened and what to do.
fn told(refusal: &Refusal) -> (u16, &'static str, String) {
    let fixed = |status, title, text: &str| (status, title, text.to_owned());
    match refusal {
        Refusal::Malformed => fixed(
            400,
            "This link is not complete",
            "The address lacks something, or has it twice. No account was connected. Open the page of the instance and start again.",
        ),
        Refusal::UnknownInstance => fixed(
            404,
            "There is nothing to connect here",
            "There is no instance of this name, or it needs no consent. Check the address: status.connect.url of the instance has it.",
        ),
        Refusal::Connected => fixed(409, "It is connected", "The instance does not wait for a consent. There is nothing to do."),
        Refusal::Unsettled => (409, "It is not known yet whether a consent is needed", format!("As to the instance, {UNSETTLED}")),
        Refusal::UnknownState => fixed(
            400,
            "This link is used up",
            "The consent was taken before, replaced by a newer one, or belongs to an instance that is gone. If the instance still asks \
             for consent, start again.",
        ),
        Refusal::Expired => fixed(
            400,
            "It took too long",
            "More than ten minutes passed between the button and the answer. No account was connected. Start again.",
        ),
        Refusal::OtherBrowser => fixed(
            403,
            "Another browser began this",
            "The answer must come back to the browser in which the button was pressed, with cookies allowed. No account was connected. If \
             you did not press it, someone may be trying to connect your account: do not go on. Otherwise start again.",
        ),
        Refusal::OtherSite => fixed(
            403,
            "Another site sent you here",
            "The button can only be pressed on this page itself. Open the page and press it there.",
        ),
        Refusal::OtherAddress => fixed(
            421,
            "This page has another address",
            "It is served only under the address that status.connect.url of the instance has. Open that one. If a proxy is in front of \
             the page, it must keep the header Host.",
        ),
        Refusal::Denied => fixed(
            200,
            "Consent was not given",
            "The provider says that you declined. No account was connected, and nothing changed.",
        ),
        Refusal::Provider(code) => (
            502,
            "The provider refused",
            match code {
                Some("invalid_scope") => "The provider answered invalid_scope. No account was connected. Correct spec.auth.oauth2.scopes of the \
                                          instance, then start again."
                    .to_owned(),
                Some(code @ ("server_error" | "temporarily_unavailable")) => {
                    format!("The provider answered {code}. No account was connected. Try again later.")
                }
                Some(code) => format!(
                    "The provider answered {code}. No account was connected. Check client_id in the Secret, and that the provider knows the \
                     redirect URI of this page."
                ),
                None => "The provider answered with an error of its own. No account was connected. Try again; if this persists, contact \
                         the provider."
                    .to_owned(),
            },
        ),
        Refusal::OtherIssuer => fixed(
            403,
            "Another provider answered",
            "The answer names another issuer than the one that was asked. No account was connected. If the provider's issuer has another \
             host than its sign-in page, set spec.auth.oauth2.issuer of the instance.",
        ),
        Refusal::NoCode => fixed(
            502,
            "The provider's answer is not complete",
            "It has neither a code nor an error. No account was connected. Check authorizationUrl of the instance, then start again.",
        ),
        Refusal::Ambiguous => fixed(
            502,
            "The provider did not answer in time",
            "The code was sent, and no answer came. A code is never sent twice, so no account was connected. Start again.",
        ),
        Refusal::Failed(problem) => (502, "It could not be connected", format!("{}.", problem.message)),
        Refusal::Busy => fixed(503, "Too many requests came from your address", "Wait a moment, then try again."),
    }
}

fn page(status: u16, template: &impl Template) -> Page {
    // Writing text into a String never fails.
    Page { status, html: template.render().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{Problem, Reason};

    fn refusals() -> Vec<Refusal> {
        vec![
            Refusal::Malformed,
            Refusal::UnknownInstance,
            Refusal::Connected,
            Refusal::Unsettled,
            Refusal::UnknownState,
            Refusal::Expired,
            Refusal::OtherBrowser,
            Refusal::OtherSite,
            Refusal::OtherAddress,
            Refusal::Denied,
            Refusal::Provider(None),
            Refusal::Provider(Some("invalid_scope")),
            Refusal::Provider(Some("server_error")),
            Refusal::Provider(Some("unauthorized_client")),
            Refusal::OtherIssuer,
            Refusal::NoCode,
            Refusal::Ambiguous,
            Refusal::Failed(Problem::human(Reason::InvalidClient, "spec: <script>alert(1)</script>")),
            Refusal::Busy,
        ]
    }

    fn all() -> Vec<Page> {
        let mut pages = vec![
            offer("crm", "keap", "login.example", "oauth"),
            connected("crm", "keap", "Secret keap-oauth-token"),
            unsettled("crm", "keap"),
            success("crm", "keap", None),
            success("crm", "keap", Some("/instances/crm/keap")),
        ];
        pages.extend(refusals().iter().map(|refusal| refused(refusal, Some("/connect/crm/keap"))));
        pages
    }

    #[test]
    fn every_page_has_what_a_reader_needs_and_loads_nothing() {
        let mut titles = std::collections::BTreeSet::new();
        for page in all() {
            let html = &page.html;
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{html}");
            for once in ["<title>", "<h1>", "<main>", "</html>"] {
                assert_eq!(html.matches(once).count(), 1, "{once} in {html}");
            }
            for never in ["<script", "src=", "http:", "https:", "//", "onclick", "javascript", "style=", "@import", "url("] {
                assert!(!html.contains(never), "{never} in {html}");
            }
            let title = html.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap();
            let heading = html.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next()).unwrap();
            assert_eq!(title, format!("{heading} - Pollinator"));
            titles.insert(title.to_owned());
            assert!(html.matches("<p>").count() >= 1 && (200..600).contains(&page.status));
        }
        assert!(titles.len() >= 14, "{titles:?}");
    }

    #[test]
    fn what_others_wrote_is_text() {
        let hostile = "<b onclick=\"x\">'&";
        let escaped = "&#60;b onclick=&#34;x&#34;&#62;&#39;&#38;";
        let pages = [
            offer(hostile, hostile, hostile, hostile),
            connected(hostile, hostile, hostile),
            unsettled(hostile, hostile),
            success(hostile, hostile, Some(hostile)),
        ];
        for page in pages {
            assert!(!page.html.contains("<b ") && page.html.contains(escaped), "{}", page.html);
        }
        let page = refused(&Refusal::Failed(Problem::human(Reason::InvalidSpec, hostile)), Some(hostile));
        assert!(!page.html.contains("<b ") && page.html.matches(escaped).count() == 2, "{}", page.html);
    }

    #[test]
    fn the_policy_lets_in_the_one_style_and_nothing_else() {
        let policy = content_security_policy();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains("form-action"));
    }
}
