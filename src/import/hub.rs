//! The `url` of a poller: a hub path, or the provider's own, with a `where` in CEQL → a resource's `url` and `query`.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::ceql::{self, Term};
use super::draft::{Filter, Known};
use super::macros;
use super::report::Verdict;
use crate::api::connector::{ConnectorResource, ConnectorSpec};
use crate::api::secrecy::{is_secret, words};
use crate::plan::hub_path::{is_hub_path, stands_for};

/// Words of placeholders that stand for a time.
const TIMES: [&str; 9] = ["date", "datetime", "time", "timestamp", "unix", "epoch", "since", "seconds", "milliseconds"];

/// What became of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Translated {
    /// `None`: the connector's own.
    pub url: Option<String>,
    pub query: BTreeMap<String, String>,
    /// A hub path that only a connector of the user's own can stand for.
    pub lacking: Option<String>,
    /// Names of placeholders.
    pub wanted: Vec<String>,
    /// Literals of the query whose names say that they are secrets.
    pub secrets: Vec<(String, String)>,
    notes: Vec<String>,
    to_do: Vec<String>,
}

impl Translated {
    /// What the report says of it.
    pub fn verdict(&self) -> (Verdict, String) {
        let verdict = match (self.to_do.is_empty(), self.notes.is_empty()) {
            (false, _) => Verdict::ToDo,
            (true, false) => Verdict::Changed,
            (true, true) => Verdict::Kept,
        };
        let said: Vec<_> = self.notes.iter().chain(&self.to_do).map(String::as_str).collect();
        (verdict, if said.is_empty() { "url of the resource".to_owned() } else { said.join("; ") })
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn ask(&mut self, what: impl Into<String>) {
        self.to_do.push(what.into());
    }
}

/// How a `where` is read.
enum Reading<'a> {
    /// The entry asks for what is new in its own way.
    Own(&'a ConnectorResource),
    Defined(&'a Filter),
    /// Unknown: each comparison is taken for a query parameter.
    Guess,
}

/// The URL of resource `name`; `zone` is the instance's.
pub(super) fn translate(url: &str, name: &str, known: Known<'_>, zone: &str) -> Translated {
    let mut found = Translated::default();
    let (url, repairs) = macros::repair(url, zone);
    found.notes.extend(repairs.into_iter().map(str::to_owned));
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let path = self::path(path, &mut found);
    let entry = known.spec.and_then(|spec| {
        let by_name = || spec.resources.iter().find(|resource| resource.resource.name == name && is_of(&path, name));
        stands_for(&path, spec).or_else(by_name)
    });
    let filter = entry.and_then(|entry| known.filters?.get(&entry.resource.name));
    let reading = match (entry, filter) {
        (_, Some(filter)) => Reading::Defined(filter),
        (Some(entry), None) => Reading::Own(entry),
        (None, None) => Reading::Guess,
    };
    found.query_of(query, &reading);
    found.url_of(path, known, entry.is_some());
    found
}

/// Whether a path is one that the connector's resource of this name can take the place of: the provider's own, or a hub path that ends in
/// the name.
fn is_of(path: &str, name: &str) -> bool {
    !is_hub_path(path) || path.trim_matches('/').rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(name))
}

/// The hub path that ends in a name, and the resource that answers for it.
pub(super) fn of_name<'a>(spec: &'a ConnectorSpec, name: &str) -> Option<(&'a str, &'a str)> {
    let paths = |entry: &'a ConnectorResource| entry.hub_paths.iter().map(|path| (path.as_str(), entry.resource.name.as_str()));
    spec.resources.iter().flat_map(paths).find(|(path, _)| is_hub_path(path) && is_of(path, name))
}

/// The path with placeholders in braces.
fn path(path: &str, found: &mut Translated) -> String {
    let mut plain = path.trim().trim_end_matches(['\'', '"']).replace('<', "{").replace('>', "}");
    if plain.len() < path.trim().len() {
        found.note("an extra quote was removed");
    }
    if plain.contains('#') || plain.contains('\\') {
        plain = plain.replace(['#', '\\'], "");
        found.ask("# and \\ were removed from the path; check it");
    }
    let plain = with_dashes(&plain);
    found.wanted.extend(placeholders(&plain));
    plain
}

/// Placeholders are called after settings, whose names have dots, and parameters have none: `{company.name}` becomes `{company-name}`.
pub(super) fn with_dashes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        plain.push_str(before);
        plain.push('{');
        let inside = behind.split_once('}').map(|(inside, _)| inside);
        let is_name = |name: &&str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        rest = match inside.filter(|inside| !before.ends_with('$') && is_name(inside)) {
            Some(name) => {
                plain.push_str(&name.replace('.', "-"));
                &behind[name.len()..]
            }
            None => behind,
        };
    }
    plain.push_str(rest);
    plain
}

/// The names in braces that a parameter can fill; those of macros are none.
pub(super) fn placeholders(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices('{') {
        let is_macro = text[..at].ends_with('$');
        let name = text[at + 1..].split_once('}').map_or("", |(name, _)| name);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !is_macro && is_name && name.len() <= 63 {
            names.push(name.to_owned());
        }
    }
    names
}

impl Translated {
    fn url_of(&mut self, path: String, known: Known<'_>, has_entry: bool) {
        if !is_hub_path(&path) {
            if known.spec.is_none() || !has_entry {
                self.ask("it is not a hub path; check that it is the provider's own path under baseUrl");
            }
            self.url = Some(if path.is_empty() { "/".to_owned() } else { path });
            return;
        }
        let guess = guess(&path);
        match (known.spec, has_entry) {
            (Some(spec), true) if stands_for(&path, spec).is_none() => {
                self.note("the connector's resource of this name takes its place");
            }
            (Some(_), true) => self.url = Some(path),
            (Some(_), false) => {
                self.ask(format!(
                    "the connector has no resource for this hub path: url is {guess}, a guess; write the provider's own path, and \
                     recordsPath and pagination if they are not found"
                ));
                self.url = Some(guess);
            }
            (None, _) => {
                self.note("the hub path stays; the Connector that is written with it takes its place");
                self.lacking = Some(path.clone());
                self.url = Some(path);
            }
        }
    }

    fn query_of(&mut self, query: &str, reading: &Reading<'_>) {
        for part in parts(query) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match (name.trim(), reading) {
                ("" | "page" | "pageSize" | "nextPage" | "orderBy", _) if !name.trim().is_empty() => {
                    self.note(format!("{} is left out: paging and order follow from the connector", name.trim()));
                }
                ("", _) => {}
                ("where", _) => self.where_of(&value, reading),
                (other, Reading::Own(entry)) => self.beside_entry(other, "=", &value, entry),
                (other, Reading::Defined(_)) => {
                    let other = other.to_owned();
                    self.parameter(&other, &value);
                    self.note(format!("query.{other} is as in the hub URL"));
                }
                (other, Reading::Guess) => {
                    let other = other.to_owned();
                    self.parameter(&other, &value);
                    self.ask(format!("query.{other} is as in the hub URL; write the provider's own parameter"));
                }
            }
        }
    }

    fn where_of(&mut self, text: &str, reading: &Reading<'_>) {
        let Some(parsed) = ceql::parse(text) else {
            match reading {
                Reading::Own(_) => self.ask(
                    "the where is not a list of comparisons and was left out; write the provider's own parameters in query",
                ),
                Reading::Defined(Filter::Whole(parameter)) => self.whole(&parameter.clone(), text),
                Reading::Defined(_) | Reading::Guess => {
                    self.parameter("where", text);
                    self.ask(
                        "the where is not a list of comparisons: it was kept in query.where; write the provider's own parameters",
                    );
                }
            }
            return;
        };
        if parsed.is_unbalanced {
            self.note("an extra quote in the where was ignored");
        }
        match reading {
            Reading::Own(entry) => {
                let (time, rest): (Vec<_>, Vec<_>) = parsed.terms.iter().partition(|term| term.is_time());
                if !time.is_empty() {
                    self.note("the bound of time in the where is left out: the connector asks for what is new in its own way");
                }
                if parsed.has_or && !rest.is_empty() {
                    self.ask("an or in the where is not translated; write the provider's own parameters in query");
                    return;
                }
                for term in rest {
                    self.beside_entry(&term.field, &term.operator, &term.value, entry);
                }
            }
            Reading::Defined(Filter::Whole(parameter)) => self.whole(&parameter.clone(), text),
            Reading::Defined(Filter::Parameters) => {
                parsed.terms.iter().for_each(|term| self.term(term));
                self.note("each comparison of the where is a query parameter, as the definition says");
            }
            Reading::Defined(Filter::Rewritten(parameter)) => {
                self.parameter(parameter, text);
                self.ask(format!("query.{parameter} has the where as it was; write it in the provider's own language"));
            }
            Reading::Guess if parsed.has_or => {
                self.parameter("where", text);
                self.ask("the where has an or: it is in query.where; write the provider's own parameters");
            }
            Reading::Guess => {
                parsed.terms.iter().for_each(|term| self.term(term));
                self.ask("each comparison of the where became a query parameter, a guess; write the provider's own names");
            }
        }
    }

    /// A comparison next to an entry: the entry has a parameter of that name, or its meaning there is unknown.
    fn beside_entry(&mut self, field: &str, operator: &str, value: &str, entry: &ConnectorResource) {
        let own = entry.resource.query.keys().find(|own| own.eq_ignore_ascii_case(field));
        let term = Term { field: field.to_owned(), operator: operator.to_owned(), value: value.to_owned() };
        match own {
            Some(own) if term.is_equality() => {
                self.parameter(&own.clone(), value);
                self.note(format!("{own} is the connector's query parameter of that name"));
            }
            _ => self.ask(format!(
                "the comparison of {field} is left out, because the connector does not say what it means there; write the provider's own \
                 parameter in query"
            )),
        }
    }

    fn whole(&mut self, parameter: &str, text: &str) {
        self.parameter(parameter, text);
        self.note(format!("the where is query.{parameter}, as the definition says"));
    }

    fn term(&mut self, term: &Term) {
        self.parameter(&term.field, &term.value);
        if !term.is_equality() && !term.is_time() {
            self.ask(format!("the comparison of {} was not an equality; check it", term.field));
        }
    }

    fn parameter(&mut self, name: &str, value: &str) {
        let value = value.trim();
        let mut text = value.to_owned();
        let placeholder = value.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        if let Some(placeholder) = placeholder {
            text = filling(name, placeholder);
            self.ask(format!("query.{name} had a placeholder and is {text} now; check it"));
        } else if is_secret(name, value) && !value.contains("${") {
            self.secrets.push((name.to_owned(), value.to_owned()));
            self.ask(format!("{name} looks like a secret and is in the Secret now; name it in auth.apiKey with in: Query"));
            return;
        }
        let text = with_dashes(&text);
        self.wanted.extend(placeholders(&text));
        self.query.insert(name.to_owned(), text);
    }
}

/// What is written for a placeholder such as `<INSERT_UPDATE_KEY>`: the time, where it speaks of one, else a parameter called after the
/// member of the query.
fn filling(name: &str, placeholder: &str) -> String {
    let is_time = words(placeholder).iter().any(|word| TIMES.contains(&word.as_str()));
    let own: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    let own = own.trim_matches('-');
    if is_time || !own.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return "${since}".to_owned();
    }
    format!("{{{own}}}")
}

/// The parts of a query between `&`, those in macros apart.
fn parts(query: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(character) = query[at..].chars().next() {
        if query[at..].starts_with("${") {
            at += query[at..].find('}').map_or(query.len() - at, |end| end + 1);
            continue;
        }
        if character == '&' {
            parts.push(&query[start..at]);
            start = at + 1;
        }
        at += character.len_utf8();
    }
    parts.push(&query[start..]);
    parts
}

/// `/hubs/crm/contacts` is often `/contacts` at the provider.
pub(super) fn guess(hub_path: &str) -> String {
    let rest = hub_path.trim_matches('/').splitn(3, '/').nth(2).unwrap_or_default();
    format!("/{rest}")
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
