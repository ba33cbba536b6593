//! Why a page is not shown or a change not made, and what to do. Pure.

use axum::http::StatusCode;

use super::session::NoSession;
use crate::instances::InstancesError;
use crate::operator::cluster::{CallError, Denial, Denied};

/// What went wrong.
#[derive(Debug)]
pub enum Refusal {
    /// Another name leads here (DNS rebinding), or a proxy changed `Host`.
    OtherAddress {
        /// The address of the console.
        address: String,
    },
    /// The browser has no session.
    NoSession(NoSession),
    /// There is no token of the cluster.
    NoToken(NoToken),
    /// The person may not add instances to a namespace.
    MayNotCreate {
        /// The namespace.
        namespace: String,
    },
    /// The person may not change instances of a namespace.
    MayNotChange {
        /// The namespace.
        namespace: String,
    },
    /// The person may not delete instances of a namespace.
    MayNotDelete {
        /// The namespace.
        namespace: String,
    },
    /// The URL that begins a session was used before, or is none of this process.
    UsedUp,
    /// Another site sent the form.
    OtherSite,
    /// Why a form was not even read.
    OfForm(Box<Refusal>),
    /// The form is of another session.
    OldForm,
    /// The form cannot be read.
    Malformed,
    /// The form is too long.
    TooLong,
    /// There is no such page.
    NotFound,
    /// The method is not for this address.
    WrongMethod,
    /// The sample instance cannot be started, and why.
    NoSample(String),
    /// Too many requests.
    Busy,
    /// What was asked for was not done.
    Instances(InstancesError),
    /// A defect.
    Broken(&'static str),
}

/// Why there is no token that calls can be made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoToken {
    /// The person has not signed in.
    Absent,
    /// The session has timed out.
    Over,
    /// The API server does not know it.
    Unknown,
    /// It fits no cookie.
    TooLong,
}

impl From<InstancesError> for Refusal {
    fn from(error: InstancesError) -> Self {
        Self::Instances(error)
    }
}

/// What the page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// HTTP status.
    pub status: StatusCode,
    /// The heading.
    pub title: &'static str,
    /// What happened and what to do.
    pub text: String,
    /// What the page leads to.
    pub way_on: WayOn,
}

/// What the page of a refusal leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOn {
    /// The overview.
    Overview,
    /// A form that takes a token.
    Token,
}

impl Refusal {
    /// What the page says.
    pub fn notice(&self) -> Notice {
        let way_on = WayOn::Overview;
        let notice = |status, title, text: &str| Notice { status, title, text: text.to_owned(), way_on };
        let not_permitted = |text: &str| notice(StatusCode::FORBIDDEN, "You are not permitted to do this", text);
        match self {
            Self::OtherAddress { address } => Notice {
                status: StatusCode::MISDIRECTED_REQUEST,
                title: "The console has another address",
                text: format!(
                    "It is served only at {address}. Open that address. If a proxy is in front of the console, it must keep the header \
                     Host."
                ),
                way_on,
            },
            Self::OfForm(why) => {
                let notice = why.notice();
                let text = if notice.text.starts_with("Nothing was ") {
                    notice.text
                } else {
                    format!("Nothing was saved. {}", notice.text)
                };
                Notice { text, ..notice }
            }
            Self::NoToken(why) => why.notice(),
            Self::Instances(InstancesError::Call(CallError::Forbidden(Denial { of: Denied::Caller, .. }))) => {
                NoToken::Unknown.notice()
            }
            Self::MayNotCreate { namespace } => not_permitted(&format!(
                "Your account may not create instances and Secrets in namespace {namespace}. Ask an administrator of the cluster for \
                     these permissions, or go to the overview and filter by a namespace in which you have them."
            )),
            Self::MayNotChange { namespace } => not_permitted(&format!(
                "Nothing was changed. Your account may not update instances in namespace {namespace}. Ask an administrator of the \
                     cluster for this permission."
            )),
            Self::MayNotDelete { namespace } => not_permitted(&format!(
                "Nothing was deleted. Your account may not delete instances in namespace {namespace}. Ask an administrator of the \
                     cluster for this permission."
            )),
            Self::NoSession(NoSession::Unknown) => notice(
                StatusCode::UNAUTHORIZED,
                "This browser is not signed in",
                "Pollinator printed a URL when it started, and another one each time one was used. Open the last one in this browser.",
            ),
            Self::NoSession(NoSession::Over) => notice(
                StatusCode::UNAUTHORIZED,
                "The session has timed out",
                "Sessions end after an hour without use, and after 12 hours in any case. Open the URL that Pollinator printed last.",
            ),
            Self::UsedUp => notice(
                StatusCode::FORBIDDEN,
                "This URL is used up",
                "Each URL signs in one browser, once. Open the URL that Pollinator printed last. If you did not use this one, someone \
                 else may have: stop the process and start it again.",
            ),
            Self::OtherSite => notice(
                StatusCode::FORBIDDEN,
                "Another site sent this form",
                "Nothing was changed. Open the page of the instance and press the button there.",
            ),
            Self::OldForm => notice(
                StatusCode::FORBIDDEN,
                "This form is out of date",
                "Nothing was changed. The form belongs to another session. Go back, reload the page, and try again.",
            ),
            Self::Malformed => notice(
                StatusCode::BAD_REQUEST,
                "The form cannot be read",
                "Nothing was changed. Go back, reload the page, and try again.",
            ),
            Self::TooLong => notice(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The form is too long",
                "Nothing was changed. A form of the console has at most 256 KiB; shorten what you entered.",
            ),
            Self::NotFound => notice(
                StatusCode::NOT_FOUND,
                "There is no such page",
                "Check the address, or go to the overview. The instance may have been deleted.",
            ),
            Self::WrongMethod => notice(
                StatusCode::METHOD_NOT_ALLOWED,
                "This address has no such page",
                "It takes forms only. Go to the overview.",
            ),
            Self::NoSample(why) => Notice {
                status: StatusCode::SERVICE_UNAVAILABLE,
                title: "The sample cannot be started",
                text: format!("{why}. Go back and try again, or run pollinator demo --console."),
                way_on,
            },
            Self::Busy => notice(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many requests",
                "Nothing was changed. Wait a few seconds, and reload the page.",
            ),
            Self::Instances(error) => Notice { status: status_of(error), title: title_of(error), text: text_of(error), way_on },
            Self::Broken(what) => Notice {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                title: "Something is wrong with Pollinator",
                text: format!("{what}; please report this with the log"),
                way_on,
            },
        }
    }
}

impl NoToken {
    fn notice(self) -> Notice {
        let (title, text) = match self {
            Self::Absent => (
                "Sign in",
                "The console does everything with your own permissions in the cluster. Paste a token of your account.",
            ),
            Self::Over => (
                "The session has timed out",
                "Sessions end after an hour without use, and after 12 hours in any case. Paste a token to sign in again.",
            ),
            Self::Unknown => (
                "The token is not accepted",
                "The API server does not know this token, or it has expired. Create another one and paste it. If a proxy signs you in, \
                 sign in there again.",
            ),
            Self::TooLong => (
                "The token is too long",
                "A browser keeps at most 4 KiB for a session. Paste a shorter token, such as one of a service account, or put a proxy in \
                 front of the console that passes the token in the header Authorization.",
            ),
        };
        Notice { status: StatusCode::UNAUTHORIZED, title, text: text.to_owned(), way_on: WayOn::Token }
    }
}

/// The words of the API server name the caller, who is the one that reads them.
fn text_of(error: &InstancesError) -> String {
    match error {
        InstancesError::Call(CallError::Forbidden(Denial { words, .. })) => {
            format!(
                "Nothing was changed. The API server says: {words}. Ask an administrator of the cluster for this permission."
            )
        }
        error => error.to_string(),
    }
}

fn status_of(error: &InstancesError) -> StatusCode {
    match error {
        InstancesError::NotFound(_) => StatusCode::NOT_FOUND,
        InstancesError::Exists(_)
        | InstancesError::Leaving(_)
        | InstancesError::SecretNotOurs(_)
        | InstancesError::Changed(_)
        | InstancesError::NotOurs(..)
        | InstancesError::Damaged(..)
        | InstancesError::SecretsNotSaved(..)
        | InstancesError::Last(_)
        | InstancesError::NotRun(_)
        | InstancesError::NoFolder => StatusCode::CONFLICT,
        InstancesError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        InstancesError::Call(CallError::Forbidden(_)) => StatusCode::FORBIDDEN,
        InstancesError::Call(_) | InstancesError::Pending(_) => StatusCode::SERVICE_UNAVAILABLE,
        InstancesError::NotUnderstood(..) | InstancesError::State(_) | InstancesError::File { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn title_of(error: &InstancesError) -> &'static str {
    match error {
        InstancesError::NotFound(_) => "There is no such instance",
        InstancesError::Call(CallError::Forbidden(_)) => "You are not permitted to do this",
        InstancesError::Call(_) | InstancesError::Pending(_) => "It did not work this time",
        InstancesError::NotUnderstood(..) | InstancesError::State(_) | InstancesError::File { .. } => {
            "The instance cannot be read or written"
        }
        _ => "Nothing was changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::identity::InstanceRef;

    #[test]
    fn a_form_that_comes_too_late_says_that_nothing_was_saved() {
        let said = |refusal: Refusal| Refusal::OfForm(Box::new(refusal)).notice().text;
        for late in
            [Refusal::NoSession(NoSession::Unknown), Refusal::NoSession(NoSession::Over), Refusal::NoToken(NoToken::Over)]
        {
            let text = said(late);
            assert!(text.starts_with("Nothing was saved. "), "{text}");
        }
        assert!(said(Refusal::Busy).starts_with("Nothing was changed. "));
    }

    #[test]
    fn every_page_of_an_error_says_what_to_do() {
        let of = || InstanceRef::new("crm", "keap");
        let all = [
            Refusal::OtherAddress { address: "http://127.0.0.1:8083".to_owned() },
            Refusal::NoSession(NoSession::Unknown),
            Refusal::NoSession(NoSession::Over),
            Refusal::NoToken(NoToken::Absent),
            Refusal::NoToken(NoToken::Over),
            Refusal::NoToken(NoToken::Unknown),
            Refusal::NoToken(NoToken::TooLong),
            Refusal::MayNotCreate { namespace: "crm".to_owned() },
            Refusal::MayNotChange { namespace: "crm".to_owned() },
            Refusal::MayNotDelete { namespace: "crm".to_owned() },
            Refusal::Instances(InstancesError::Call(CallError::Forbidden(Denial { of: Denied::Call, words: "no".to_owned() }))),
            Refusal::UsedUp,
            Refusal::OtherSite,
            Refusal::OldForm,
            Refusal::Malformed,
            Refusal::TooLong,
            Refusal::NotFound,
            Refusal::WrongMethod,
            Refusal::NoSample("port 1 of 127.0.0.1: in use".to_owned()),
            Refusal::Busy,
            Refusal::Instances(InstancesError::NotOurs(of(), "shop.yaml".to_owned())),
            Refusal::Instances(InstancesError::Changed(of())),
            Refusal::Broken("a task ended"),
        ];
        for refusal in all {
            let Notice { status, title, text, .. } = refusal.notice();
            assert!(status.is_client_error() || status.is_server_error(), "{title}");
            let verbs = ["paste", "ask ", "open", "go ", "check", "shorten", "wait", "change it", "read it again", "report"];
            assert!(verbs.iter().any(|verb| text.to_lowercase().contains(verb)), "{title}: {text}");
        }
    }
}
