//! How a user reads that there is no access token. Pure.

use chrono::Duration;

use super::answer::Failure;
use super::material::Sends;
use crate::api::conditions::{Problem, Reason, Remedy};
use crate::plan::Oauth2Plan;

/// What to do about a consent that is gone.
fn anew(plan: &Oauth2Plan) -> String {
    format!("give consent again and store the new refresh_token or code in Secret {}", plan.secret)
}

/// A person has to give consent, for the first time or again.
pub fn consent_missing(message: String) -> Problem {
    Problem::human(Reason::ReauthorizationRequired, message).ended_by(Remedy::Approval)
}

/// The provider refused the refresh token or code.
pub fn refused(plan: &Oauth2Plan, sends: &Sends) -> Problem {
    let what = match sends {
        Sends::Code(_) => "the code was refused: it is invalid, expired or used before",
        Sends::RefreshToken(_) => "the refresh token was refused: it is invalid, expired, revoked or used before",
        Sends::ClientCredentials => "the grant was refused",
    };
    consent_missing(format!("{}: {what}; {}", plan.field, anew(plan)))
}

/// It may have been used, and the answer is lost.
pub fn ambiguous(plan: &Oauth2Plan, sends: &Sends) -> Problem {
    let what = match sends {
        Sends::Code(_) => "the exchange of the code was cut off, and a second one is not tried: a new code is needed",
        Sends::RefreshToken(_) | Sends::ClientCredentials => {
            "a refresh was cut off, so that the refresh token may be spent, and a second use would make the provider revoke it"
        }
    };
    consent_missing(format!("{}: {what}; {}", plan.field, anew(plan)))
}

/// What the Secret holds began an earlier chain of tokens.
pub fn used_before(plan: &Oauth2Plan) -> Problem {
    consent_missing(format!(
        "{}: Secret {} holds a refresh token or code that was used before; {}",
        plan.field,
        plan.secret,
        anew(plan)
    ))
}

/// Instances of the Secret name different token endpoints, and its tokens are those of another one. `other`: an instance of that one.
pub fn other_endpoint(plan: &Oauth2Plan, other: &str) -> Problem {
    let (field, secret) = (plan.field, &plan.secret);
    Problem::human(
        Reason::SecretInvalid,
        format!(
            "{field}.tokenUrl differs from that of instance {other}, which uses the same Secret {secret}, and a refresh token \
             serves one token endpoint: use the same tokenUrl and tokenResponse.refreshToken in every instance of this \
             Secret, or give this instance a Secret and a consent of its own"
        ),
    )
}

/// The refresh token or code in the Secret began the chain of another Secret.
pub fn used_elsewhere(plan: &Oauth2Plan, other: &str) -> Problem {
    let (field, secret) = (plan.field, &plan.secret);
    Problem::human(
        Reason::SecretInvalid,
        format!(
            "{field}: Secret {secret} holds the same refresh token or code as Secret {other}, whose tokens began with it, and \
             a second use would make the provider revoke them: name Secret {other} in {field}.secretRef, which instances may \
             share, or give consent again for Secret {secret}"
        ),
    )
}

/// Version 0.1.0 kept tokens for each instance, and those of this one may be another account's than those of its Secret. `place`:
/// where its own are kept.
pub fn other_consent(plan: &Oauth2Plan, place: &str) -> Problem {
    let (field, secret) = (plan.field, &plan.secret);
    Problem::human(
        Reason::SecretInvalid,
        format!(
            "{field}: tokens belong to Secret {secret} now, it has those of another instance, and this instance has other \
             ones of a consent of its own in {place}: to keep them, name a Secret of its own with the same client in \
             {field}.secretRef; to use those of Secret {secret}, remove {place}"
        ),
    )
}

/// What is added when more than one instance uses the Secret.
pub fn shared(plan: &Oauth2Plan, problem: Problem) -> Problem {
    if problem.remedy != Some(Remedy::Approval) {
        return problem;
    }
    let message =
        format!("{}; other instances share Secret {}, and one consent serves all of them", problem.message, plan.secret);
    Problem { message, ..problem }
}

/// The consent brought no refresh token.
pub fn no_refresh_token(plan: &Oauth2Plan) -> Problem {
    consent_missing(format!(
        "{}: the access token has ended and the provider gave no refresh token with it; ask for one with scopes (such as \
             offline_access) or extraParameters, then {}",
        plan.field,
        anew(plan)
    ))
}

/// A token that no header may carry was kept.
pub fn unusable(plan: &Oauth2Plan) -> Problem {
    failed(plan, &Failure::Unusable)
}

/// The API answers 401 to a token that was just renewed.
pub fn still_refused(plan: &Oauth2Plan) -> Problem {
    Problem::human(
        Reason::Unauthorized,
        format!(
            "{}: the provider answered 401 Unauthorized to a new access token; check scopes, audience and the rights of the account",
            plan.field
        ),
    )
}

/// The host is rate limiting requests, and its retry-after has not passed.
pub fn retry_after(plan: &Oauth2Plan, wait: std::time::Duration) -> Problem {
    failed(plan, &Failure::Throttled(Some(wait)))
}

/// The instance is another replica's by now.
pub fn not_ours(plan: &Oauth2Plan) -> Problem {
    Problem::transient(Reason::StateUnavailable, format!("{}: another replica is taking this instance over", plan.field))
}

/// Others change the kept tokens all the time.
pub fn contended(plan: &Oauth2Plan, place: &str) -> Problem {
    Problem::transient(Reason::StateUnavailable, format!("{}: the tokens in {place} keep changing; retrying", plan.field))
}

/// Another process is using the refresh token.
pub fn in_flight(plan: &Oauth2Plan, left: Duration) -> Problem {
    Problem {
        retry_after: left.to_std().ok(),
        ..Problem::transient(
            Reason::TokenEndpointUnreachable,
            format!("{}: another process is renewing the token; waiting for its result", plan.field),
        )
    }
}

/// An answer of the token endpoint that brought no token.
pub fn failed(plan: &Oauth2Plan, failure: &Failure) -> Problem {
    let (field, secret) = (plan.field, &plan.secret);
    let invalid = |text: String| Problem::human(Reason::TokenResponseInvalid, text);
    match failure {
        Failure::InvalidGrant => consent_missing(format!("{field}: the token endpoint refused the grant; {}", anew(plan))),
        Failure::InvalidClient => Problem::human(
            Reason::InvalidClient,
            format!(
                "{field}: the token endpoint refused the client; correct client_id and client_secret in Secret {secret}, or \
                 clientAuthentication"
            ),
        ),
        Failure::InvalidScope => Problem::human(
            Reason::InsufficientScope,
            format!("{field}.scopes: the token endpoint refused a scope; correct the list"),
        ),
        Failure::Refused(404 | 405 | 410, _) => {
            invalid(format!("{field}.tokenUrl: there is no token endpoint at this URL; correct it"))
        }
        Failure::Refused(_, Some("unsupported_grant_type")) => invalid(format!(
            "{field}.grant: the token endpoint does not support this grant (unsupported_grant_type); use another one"
        )),
        Failure::Refused(status, Some(code)) => invalid(format!(
            "{field}: the token endpoint answered {status} {code}; check extraParameters, audience, and redirect_uri in Secret \
             {secret} against its documentation"
        )),
        Failure::Refused(status, None) => invalid(format!(
            "{field}: the token endpoint answered {status}; check tokenUrl, clientAuthentication and extraParameters against its \
             documentation"
        )),
        Failure::Redirect(status) => Problem::human(
            Reason::RedirectRefused,
            format!(
                "{field}.tokenUrl: the token endpoint answered {status}, a redirect that is not followed; use the URL it leads to"
            ),
        ),
        Failure::NoAccessToken { .. } => invalid(format!(
            "{field}.tokenResponse.accessToken: the token endpoint's answer has no access token there; correct the path"
        )),
        Failure::Unusable => invalid(format!(
            "{field}: the token endpoint's answer has a token with characters that headers do not allow; check tokenResponse and tokenUrl"
        )),
        Failure::NotJson { html } => Problem::transient(
            Reason::TokenResponseInvalid,
            format!(
                "{field}.tokenUrl: the token endpoint answered {}, not JSON; check the URL. Retrying",
                if *html { "an HTML page" } else { "something else" }
            ),
        ),
        Failure::Throttled(wait) => Problem::throttled(
            Reason::RateLimited,
            format!("{field}: the token endpoint is rate limiting requests; retrying later"),
            *wait,
        ),
        Failure::Trouble(status) | Failure::Lost(status) => Problem::transient(
            Reason::TokenEndpointUnreachable,
            format!("{field}.tokenUrl: the token endpoint answered {status}; retrying; if this persists, contact the provider"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample::oauth2;

    #[test]
    fn what_cannot_be_shared_is_said_in_one_sentence_with_field_secret_and_fix() {
        let plan = oauth2();
        let told = [
            other_endpoint(&plan, "billing"),
            used_elsewhere(&plan, "copy"),
            other_consent(&plan, "Secret it-oauth-token"),
            shared(&plan, used_before(&plan)),
        ];
        for problem in told {
            let message = problem.message;
            assert!(message.starts_with("spec.auth.oauth2") && message.contains("Secret oauth"), "{message}");
            assert!(!message.contains("  ") && !message.ends_with('.'), "{message}");
        }
        let other = failed(&plan, &Failure::InvalidClient);
        assert_eq!(shared(&plan, other.clone()), other, "no consent is missing");
    }
}
