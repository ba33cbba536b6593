//! Configurations of SAP Open Connectors → manifests, Secrets and a report. Pure.
//!
//! The flow: `read` recognises what each part of a file is by its shape. A definition of a connector becomes a `Connector` (`definition`,
//! `lists`). An `instance` is taken apart, its `settings` with it: pollers become resources (`poller`, with `hub`, `ceql`, `macros`,
//! `dates` and the older form in `legacy`), its credentials a Secret (`credentials`), its callback another (`callback`). For an unknown
//! connector there is a `stub`. Then all is planned as an operator would, and written (`write`); the `report` has a line for every field.

mod callback;
mod ceql;
mod credentials;
mod dates;
mod definition;
mod doubts;
mod draft;
mod fields;
pub(crate) mod host;
mod hub;
mod injected;
mod instance;
mod legacy;
mod lists;
mod macros;
mod poller;
pub mod posted;
mod read;
pub mod report;
mod settings;
mod stub;
#[cfg(test)]
mod tests;
mod value;
mod write;

use std::collections::BTreeMap;

use crate::api::connector::ConnectorSpec;
use crate::api::manifest::{self, Manifest};
use crate::catalog;
use crate::plan::resolve::resolve;
use definition::Defined;
use draft::{Draft, Known, Stub};
pub use fields::Place;
use instance::Names;
use read::{Kind, Part};
use report::{Report, Section, Verdict};
pub use write::Written;

/// A file to import.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Its name as the user knows it.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// How it is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Namespace of all manifests; none: that of the person who applies them.
    pub namespace: Option<&'a str>,
    /// Writes placeholders in the place of all values of Secrets.
    pub withhold_secrets: bool,
    /// The user's own entries of the catalog, by key: they take precedence over the built-in ones.
    pub own: Option<&'a BTreeMap<String, ConnectorSpec>>,
}

impl<'a> Options<'a> {
    /// The entry of the catalog that a key stands for.
    fn entry(self, key: &str) -> Option<&'a ConnectorSpec> {
        self.own.and_then(|own| own.get(key)).or_else(|| catalog::built_in(key))
    }

    /// The keys of all entries.
    fn keys(self) -> impl Iterator<Item = &'a str> {
        let own = self.own.into_iter().flat_map(|own| own.keys().map(String::as_str));
        own.chain(catalog::names().map(|key| -> &'a str { key }))
    }
}

/// What an import came to.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Files, connectors first.
    pub files: Vec<Written>,
    /// What became of each field.
    pub report: Report,
    /// Files that could not be read: a line for each.
    pub errors: Vec<String>,
}

/// Imports files together: a definition in one is known to the instances in all.
pub fn import(sources: &[Source<'_>], options: Options<'_>) -> Imported {
    let mut imported = Imported::default();
    let mut parts = Vec::new();
    for source in sources {
        match read::read(source.text) {
            Ok(found) => parts.extend(found.into_iter().map(|part| (source.name, part))),
            Err(error) => imported.errors.push(format!("{}: {error}", source.name)),
        }
    }
    let (definitions, instances): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(_, part)| part.kind == Kind::Definition);
    let mut defined: BTreeMap<String, Defined> = BTreeMap::new();
    for (file, part) in definitions {
        let mut section = Section::new(title(file, &part));
        if let Some(found) = definition(&part, &defined, options, &mut section) {
            defined.insert(found.key.clone(), found);
        }
        imported.report.sections.push(section);
    }
    let known = |key: &str| match (options.entry(key), defined.get(key)) {
        (Some(spec), _) => Known { spec: Some(spec), filters: None },
        (None, Some(found)) => Known { spec: Some(&found.spec), filters: Some(&found.filters) },
        (None, None) => Known::default(),
    };
    let mut names = Names::default();
    let mut drafts: Vec<(Draft, usize)> = Vec::new();
    for (file, part) in instances {
        let mut section = Section::new(title(file, &part));
        for place in &part.around {
            section.dropped(place, "describes the answer, and not the instance");
        }
        if let Some(draft) = instance::import(part, stem(file), &mut names, &known, &mut section) {
            drafts.push((draft, imported.report.sections.len()));
        }
        imported.report.sections.push(section);
    }
    let connectors = connectors(&drafts, defined, options, &mut imported.report);
    for (key, spec) in &connectors {
        let written = write::connector(key, spec, options.namespace);
        let mut section = Section::new(format!("{}: what an API server would refuse", written.name));
        for error in manifest::read(&written.name, &written.text).errors {
            section.result(Verdict::ToDo, &written.name, error.finding.to_string());
        }
        if section.needs_a_person() {
            imported.report.sections.push(section);
        }
        imported.files.push(written);
    }
    for (mut draft, section) in drafts {
        if let Some(section) = imported.report.sections.get_mut(section) {
            finish(&mut draft, &connectors, options, section);
        }
        imported.files.push(write::instance(&draft, options.namespace));
        imported.files.extend(write::secrets(&draft.name, &draft.secrets, options.namespace, options.withhold_secrets));
    }
    imported
}

fn definition(
    part: &Part,
    defined: &BTreeMap<String, Defined>,
    options: Options<'_>,
    section: &mut Section,
) -> Option<Defined> {
    let key = definition::key(&part.value);
    if options.entry(&key).is_some() {
        section.dropped(&part.place, format!("the catalog has an entry {key}, which is used"));
        return None;
    }
    if defined.contains_key(&key) {
        section.dropped(&part.place, format!("{key} is defined already; the first definition is used"));
        return None;
    }
    Some(definition::import(&part.place, &part.value, section))
}

/// All connectors to be written: those that are defined, and stubs for unknown ones.
fn connectors(
    drafts: &[(Draft, usize)],
    defined: BTreeMap<String, Defined>,
    options: Options<'_>,
    report: &mut Report,
) -> BTreeMap<String, ConnectorSpec> {
    let mut connectors: BTreeMap<_, _> = defined.into_iter().map(|(key, found)| (key, found.spec)).collect();
    let mut stubs: BTreeMap<&str, Vec<&Stub>> = BTreeMap::new();
    for (draft, _) in drafts {
        if let Some(key) = &draft.stub.key {
            stubs.entry(key).or_default().push(&draft.stub);
        }
    }
    for (key, stubs) in stubs {
        let mut section = Section::new(format!("connector {key}"));
        connectors.insert(key.to_owned(), stub::connector(key, &stubs, options.keys(), &mut section));
        report.sections.push(section);
    }
    connectors
}

/// Suspends an instance that a person must complete, and says so; plans it as an operator would.
fn finish(draft: &mut Draft, connectors: &BTreeMap<String, ConnectorSpec>, options: Options<'_>, section: &mut Section) {
    for problem in problems(draft, connectors, options) {
        section.result(Verdict::ToDo, format!("{}.yaml", draft.name), problem);
    }
    if section.needs_a_person() || draft.stub.key.is_some() {
        draft.spec.suspend = true;
        section.result(Verdict::ToDo, "spec.suspend", "it is true until all of this is done; then take it out");
    }
}

/// What keeps a draft from being polled; none, unless the importer has a gap.
fn problems(draft: &Draft, connectors: &BTreeMap<String, ConnectorSpec>, options: Options<'_>) -> Vec<String> {
    let written = write::instance(draft, None);
    let declared = manifest::read(&written.name, &written.text);
    if !declared.errors.is_empty() {
        return declared.errors.iter().map(|error| error.finding.to_string()).collect();
    }
    let Some((_, Manifest::ConnectorInstance(instance))) = declared.manifests.first() else { return Vec::new() };
    let named = instance.spec.connector.as_deref().unwrap_or_default();
    let connector = connectors.get(named).or_else(|| options.entry(named));
    resolve(instance, connector).err().unwrap_or_default().into_iter().map(|problem| problem.message).collect()
}

fn title(file: &str, part: &Part) -> String {
    if part.place == Place::default() {
        format!("{file}: {}", part.kind)
    } else {
        format!("{file}, {}: {}", part.place, part.kind)
    }
}

/// The file's name without folders and endings.
fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}
