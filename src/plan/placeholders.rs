//! `{placeholders}` in the templates of a connector and the parameters that fill them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::utf8_percent_encode;

use super::parameter;
use super::problems::invalid;
use crate::api::conditions::Problem;
use crate::api::connector::Parameter;
use crate::api::nearest::nearest;
use crate::api::uri::RESERVED;

/// The part of a URL that a placeholder is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between `://` and the path.
    Host,
    /// In path or query.
    Data,
}

impl Place {
    /// The place of what follows `before` in a URL.
    fn after(before: &str) -> Self {
        match before.split_once("://") {
            Some((_, host)) if !host.contains(['/', '?', '#']) => Self::Host,
            _ => Self::Data,
        }
    }

    /// A value as it is written there.
    ///
    /// # Errors
    /// What it must be instead.
    fn write(self, value: &str) -> Result<Cow<'_, str>, &'static str> {
        match self {
            Self::Host => {
                let fits = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
                let value = (fits && !value.is_empty()).then_some(Cow::Borrowed(value));
                value.ok_or("is a part of a host name, so it must consist of letters, digits, dots and hyphens")
            }
            Self::Data if !value.is_empty() && value.bytes().all(|byte| byte == b'.') => {
                Err("is a part of a path, so it must not consist of dots")
            }
            Self::Data => Ok(utf8_percent_encode(value, RESERVED).into()),
        }
    }
}

/// Parameters by name, and which of them were asked for.
#[derive(Debug, Default)]
pub(super) struct Placeholders {
    values: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

impl Placeholders {
    /// The connector's defaults under the instance's values.
    ///
    /// # Errors
    /// One problem for each parameter without a value, or with one that its declaration does not allow.
    pub(super) fn new(given: &BTreeMap<String, String>, declared: &[Parameter]) -> Result<Self, Vec<Problem>> {
        let mut values = given.clone();
        let mut problems = Vec::new();
        for parameter in declared {
            match given.get(&parameter.name).or(parameter.default_value.as_ref()) {
                Some(value) => {
                    problems.extend(parameter::check(parameter, value).err());
                    values.insert(parameter.name.clone(), value.clone());
                }
                None => problems.push(parameter::missing(parameter)),
            }
        }
        let used = declared.iter().map(|parameter| parameter.name.clone()).collect();
        if problems.is_empty() { Ok(Self { values, used }) } else { Err(problems) }
    }

    /// Fills the placeholders whose parameter is known; other braces are text, as in a JSON filter.
    pub(super) fn fill(&mut self, text: &str) -> String {
        self.replace(text).0
    }

    /// Fills all placeholders of a text in which braces mean nothing else.
    ///
    /// # Errors
    /// A placeholder without a parameter.
    pub(super) fn fill_all(&mut self, field: &str, text: &str) -> Result<String, Problem> {
        match self.replace(text) {
            (filled, None) => Ok(filled),
            (_, Some(placeholder)) => Err(unfilled(field, &placeholder)),
        }
    }

    /// Fills all placeholders of a path with its query, or of a URL: in a host a value must be a part of a name, elsewhere it is
    /// percent-encoded, so that it leads to no other host, path or parameter.
    ///
    /// # Errors
    /// A placeholder without a parameter, or a value that cannot stand where it does.
    pub(super) fn fill_url(&mut self, field: &str, text: &str) -> Result<String, Problem> {
        let mut misplaced = None;
        let (filled, unknown) = self.replace_with(text, |name, before, value| {
            let written = Place::after(before).write(value);
            written.unwrap_or_else(|must| {
                misplaced.get_or_insert_with(|| invalid(format!("spec.parameters.{name} {must} (it fills {field})")));
                Cow::Borrowed("")
            })
        });
        match (misplaced, unknown) {
            (Some(problem), _) => Err(problem),
            (None, Some(placeholder)) => Err(unfilled(field, &placeholder)),
            (None, None) => Ok(filled),
        }
    }

    /// The parameters that fill no placeholder, most likely misspelt; to be asked when all texts were filled.
    pub(super) fn idle(&self) -> Vec<Problem> {
        let idle = self.values.keys().filter(|name| !self.used.contains(*name));
        idle.map(|name| match nearest(name, self.used.iter().map(String::as_str)) {
            Some(near) => invalid(format!("spec.parameters.{name} fills no placeholder, did you mean {near}?")),
            None => invalid(format!("spec.parameters.{name} fills no placeholder of any template; remove it")),
        })
        .collect()
    }

    /// The text with its placeholders filled, and the first placeholder that has no parameter. `${…}` is a macro, not a placeholder; a
    /// placeholder may stand inside of one.
    fn replace(&mut self, text: &str) -> (String, Option<String>) {
        self.replace_with(text, |_, _, value| Cow::Borrowed(value))
    }

    /// The same, with each value written by `write` out of name, filled text before it and value.
    fn replace_with(
        &mut self,
        text: &str,
        mut write: impl for<'v> FnMut(&str, &str, &'v str) -> Cow<'v, str>,
    ) -> (String, Option<String>) {
        let (mut filled, mut unknown, mut rest) = (String::with_capacity(text.len()), None, text);
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let name = if before.ends_with('$') { None } else { placeholder(from) };
            match name.map(|name| (name, self.values.get(name))) {
                Some((name, Some(value))) => {
                    let written = write(name, &filled, value);
                    filled.push_str(&written);
                    self.used.insert(name.to_owned());
                    rest = &from[name.len() + 2..];
                }
                other => {
                    unknown = unknown.or(other.map(|(name, _)| name.to_owned()));
                    filled.push('{');
                    rest = &from[1..];
                }
            }
        }
        filled.push_str(rest);
        (filled, unknown)
    }
}

fn unfilled(field: &str, placeholder: &str) -> Problem {
    invalid(format!("{field} has the placeholder {{{placeholder}}} that no parameter fills; set spec.parameters.{placeholder}"))
}

/// The name in a text that starts with `{name}`.
fn placeholder(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    well_formed.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders(given: &[(&str, &str)], declared: &[(&str, Option<&str>)]) -> Result<Placeholders, Vec<Problem>> {
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let declared: Vec<_> = declared
            .iter()
            .map(|(name, default)| Parameter {
                name: (*name).to_owned(),
                default_value: default.map(str::to_owned),
                ..Parameter::default()
            })
            .collect();
        Placeholders::new(&given, &declared)
    }

    #[test]
    fn fills_once_and_leaves_macros_and_json_alone() {
        let mut placeholders = placeholders(&[("sub", "acme"), ("zone", "{sub}")], &[]).unwrap();
        for (text, filled) in [
            ("https://{sub}.example.com", "https://acme.example.com"),
            ("${since}", "${since}"),
            ("${dateTimeZone:{zone}:yyyy}", "${dateTimeZone:{sub}:yyyy}"),
            (r#"{"a": {"b": "{sub}"}}"#, r#"{"a": {"b": "acme"}}"#),
            ("{other}{", "{other}{"),
            ("ä{sub}ü", "äacmeü"),
        ] {
            assert_eq!(placeholders.fill(text), filled, "{text}");
        }
    }

    #[test]
    fn no_value_leaves_its_place_in_a_url() {
        let filled = |template: &str, value: &str| {
            placeholders(&[("p", value)], &[]).unwrap().fill_url("spec.baseUrl", template).map_err(|problem| problem.message)
        };
        for (template, value, url) in [
            ("https://{p}.example.com/v1", "acme-1", "https://acme-1.example.com/v1"),
            ("https://api.example.com/{p}/x", "../../admin", "https://api.example.com/..%2F..%2Fadmin/x"),
            ("https://api.example.com/{p}", "a?b#c&d=é", "https://api.example.com/a%3Fb%23c%26d%3D%C3%A9"),
            ("https://api.example.com/{p}", "a-b_c.d~e", "https://api.example.com/a-b_c.d~e"),
            ("https://api.example.com/?site={p}", "a&admin=1", "https://api.example.com/?site=a%26admin%3D1"),
            ("/{p}", "//evil.example", "/%2F%2Fevil.example"),
            ("{p}", "https://evil.example", "https%3A%2F%2Fevil.example"),
        ] {
            assert_eq!(filled(template, value), Ok(url.to_owned()), "{template} {value}");
        }
        for value in ["evil.example/", "evil.example:1", "a@evil.example", "evil.example?", "evil.example#", "a b", "", "é"] {
            assert_eq!(
                filled("http://{p}.api.example", value).unwrap_err(),
                "spec.parameters.p is a part of a host name, so it must consist of letters, digits, dots and hyphens (it fills \
                 spec.baseUrl)",
                "{value}"
            );
        }
        for value in [".", "..", "..."] {
            assert!(
                filled("https://api.example.com/{p}/x", value).unwrap_err().contains("must not consist of dots"),
                "{value}"
            );
        }
    }

    #[test]
    fn names_what_is_missing_and_what_is_idle() {
        let message = |problems: Vec<Problem>| problems.into_iter().map(|p| p.message).collect::<Vec<_>>();
        assert_eq!(
            message(placeholders(&[], &[("sub", None), ("dc", Some("eu"))]).unwrap_err()),
            ["spec.parameters.sub is required by the connector"]
        );
        let mut placeholders =
            placeholders(&[("subdomian", "x"), ("sub", "y"), ("free", "z")], &[("subdomain", Some("d"))]).unwrap();
        assert_eq!(
            placeholders.fill_all("spec.baseUrl", "https://{host}/").unwrap_err().message,
            "spec.baseUrl has the placeholder {host} that no parameter fills; set spec.parameters.host"
        );
        placeholders.fill("{sub}");
        assert_eq!(
            message(placeholders.idle()),
            [
                "spec.parameters.free fills no placeholder of any template; remove it",
                "spec.parameters.subdomian fills no placeholder, did you mean subdomain?"
            ]
        );
    }
}
