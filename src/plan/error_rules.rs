//! What a provider's responses mean by the manifest: rules → [`ErrorRule`], and the first that holds for a response.

use std::fmt;

use http::StatusCode;
use regex::{Regex, RegexBuilder};

use super::field_path::FieldPath;
use super::json::scalar_text;
use super::problems::{Problems, at, field, invalid};
use crate::api::conditions::Problem;
use crate::api::error_rule::Meaning;
use crate::api::resource::Resource;

/// Most memory that a compiled pattern may take, in bytes.
const MAX_PATTERN: usize = 1 << 20;
/// Bytes of a body that are searched where no path leads into it.
const SEARCHED: usize = 64 << 10;

/// A response that is recognized, and what it means. All that is set must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRule {
    /// Its status; `None`: any.
    pub status: Option<StatusCode>,
    /// Where in the body; `None`: its text.
    pub path: Option<FieldPath>,
    /// What is to be found there; `None`: something that is true or set.
    pub pattern: Option<Pattern>,
    /// What it means.
    pub means: Meaning,
}

/// A regular expression; the same text is the same one.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// Compiles a regular expression of a manifest, whose size is bounded. `None` if it is none.
pub(super) fn regex(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).size_limit(MAX_PATTERN).build().ok()
}

impl ErrorRule {
    /// Could it hold for a response with this status? Its body need not be looked at otherwise.
    fn may_hold(&self, status: StatusCode) -> bool {
        let is_right = self.means != Meaning::Success || status.is_success();
        is_right && self.status.is_none_or(|own| own == status)
    }

    fn holds(&self, body: &str) -> bool {
        let text = match &self.path {
            None => body.get(..body.floor_char_boundary(SEARCHED)).unwrap_or_default().into(),
            Some(path) => match path.find(body) {
                // Objects and arrays are looked at as they were sent.
                Some(sent) => scalar_text(sent).unwrap_or(sent.into()),
                None => return false,
            },
        };
        match (&self.pattern, &self.path) {
            (Some(Pattern(regex)), _) => regex.is_match(&text),
            (None, Some(_)) => !["", "null", "false", "0", "[]", "{}"].contains(&text.trim()),
            (None, None) => true,
        }
    }
}

/// Whether the body of a response with this status is to be looked at.
pub fn concern(rules: &[ErrorRule], status: StatusCode) -> bool {
    rules.iter().any(|rule| rule.may_hold(status))
}

/// What the first rule that holds says of a response; `None`: the rules say nothing.
pub fn meaning(rules: &[ErrorRule], status: StatusCode, body: &[u8]) -> Option<Meaning> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    rules.iter().find(|rule| rule.may_hold(status) && rule.holds(text)).map(|rule| rule.means)
}

/// As `pollinator plan` prints it.
impl fmt::Display for ErrorRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map(|status| format!("status {}", status.as_u16()));
        let body = match (&self.path, &self.pattern) {
            (Some(path), Some(Pattern(regex))) => Some(format!("{path} matches {regex}")),
            (Some(path), None) => Some(format!("{path} is set")),
            (None, Some(Pattern(regex))) => Some(format!("the body matches {regex}")),
            (None, None) => None,
        };
        let when: Vec<_> = [status, body].into_iter().flatten().collect();
        write!(f, "{:?} when {}", self.means, when.join(" and "))
    }
}

/// Compiles the rules of a resource.
pub(super) fn plan(resource: &Resource) -> Result<Vec<ErrorRule>, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut rules = Vec::with_capacity(resource.error_rules.len());
    for (index, rule) in resource.error_rules.iter().enumerate() {
        let name = |part: &str| field(&resource.name, &format!("errorRules[{index}]{part}"));
        let status = problems.keep(
            rule.status
                .map(|status| code(status).ok_or(()))
                .transpose()
                .map_err(|()| invalid(format!("{} must be between 100 and 599", name(".status")))),
        );
        let path = problems.keep(rule.body_path.as_deref().map(FieldPath::parse).transpose().map_err(at(&name(".bodyPath"))));
        let pattern = problems.keep(
            rule.pattern
                .as_deref()
                .map(|text| regex(text).ok_or(()))
                .transpose()
                .map_err(|()| invalid(format!("{} is not a regular expression (RE2) of moderate size", name(".match")))),
        );
        if rule.status.is_none() && rule.body_path.is_none() {
            problems.0.push(invalid(format!("{} needs status or bodyPath", name(""))));
        }
        if rule.means == Meaning::Success && status.flatten().is_some_and(|status| !status.is_success()) {
            problems.0.push(invalid(format!("{} must be between 200 and 299 where means is Success", name(".status"))));
        }
        if let (Some(status), Some(path), Some(pattern)) = (status, path, pattern) {
            rules.push(ErrorRule { status, path, pattern: pattern.map(Pattern), means: rule.means });
        }
    }
    if problems.0.is_empty() { Ok(rules) } else { Err(problems.0) }
}

fn code(status: i32) -> Option<StatusCode> {
    StatusCode::from_u16(u16::try_from(status).ok()?).ok().filter(|status| status.as_u16() < 600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(yaml: &str) -> Result<Vec<ErrorRule>, Vec<Problem>> {
        let error_rules = serde_saphyr::from_str(yaml).unwrap();
        plan(&Resource { name: "orders".to_owned(), error_rules, ..Resource::default() })
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rules = rules(
            "
- {status: 404, means: Empty}
- {status: 403, bodyPath: error.code, match: '^QUOTA', means: RateLimited}
- {bodyPath: error.code, match: EXPIRED, means: Auth}
- {bodyPath: '[0].errorCode', means: Fatal}
- {status: 400, match: 'try again', means: Retry}
- {bodyPath: faults, means: Success}
",
        )
        .unwrap();
        let shown: Vec<_> = rules.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        Empty when status 404
        RateLimited when status 403 and error.code matches ^QUOTA
        Auth when error.code matches EXPIRED
        Fatal when [0].errorCode is set
        Retry when status 400 and the body matches try again
        Success when faults is set
        ");
        for (status, body, expected) in [
            (404, "", Some(Meaning::Empty)),
            (403, r#"{"error":{"code":"QUOTA_OVER"}}"#, Some(Meaning::RateLimited)),
            (403, r#"{"error":{"code":"OVER_QUOTA"}}"#, None),
            (200, r#"{"error":{"code":"QUOTA"}}"#, None),
            (200, "\u{feff} {\"error\":{\"code\":\"TOKEN_EXPIRED\"}}", Some(Meaning::Auth)),
            (403, r#"{"error":{"code":["EXPIRED"]}}"#, Some(Meaning::Auth)),
            (200, r#"[{"errorCode":"X"}]"#, Some(Meaning::Fatal)),
            (200, r#"[{"errorCode":null}]"#, None),
            (200, r#"[{"errorCode":0}]"#, None),
            (400, "please try again", Some(Meaning::Retry)),
            (400, "no", None),
            (200, r#"{"faults":[1]}"#, Some(Meaning::Success)),
            (400, r#"{"faults":[1]}"#, None),
            (500, "please try again", None),
            (200, "", None),
            (200, "<html>", None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(meaning(&rules, status, body.as_bytes()), expected, "{status} {body}");
        }
        assert!(concern(&rules, StatusCode::OK) && !concern(&rules[..2], StatusCode::OK));
        let long = format!("{}try again", "é".repeat(SEARCHED));
        assert_eq!(meaning(&rules, StatusCode::BAD_REQUEST, long.as_bytes()), None, "the search is bounded");
        assert_eq!(meaning(&rules, StatusCode::BAD_REQUEST, b"\xff try again"), Some(Meaning::Retry), "not only UTF-8");
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_told_with_its_place() {
        let problems =
            rules("[{means: Fatal}, {status: 99, bodyPath: 'a..b', match: '(', means: Auth}, {status: 404, means: Success}]")
                .unwrap_err();
        let told: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
        insta::assert_snapshot!(told.join("\n"), @"
        spec.resources[orders].errorRules[0] needs status or bodyPath
        spec.resources[orders].errorRules[1].status must be between 100 and 599
        spec.resources[orders].errorRules[1].bodyPath is not a path such as data.items or ['Modified Time']: a member between two dots is empty
        spec.resources[orders].errorRules[1].match is not a regular expression (RE2) of moderate size
        spec.resources[orders].errorRules[2].status must be between 200 and 299 where means is Success
        ");
    }
}
