//! Where a connector's settings come from: a `Connector` in the instance's namespace, the mounted folder, or what is built in.

#[cfg(test)]
mod described_tests;
#[cfg(test)]
mod description_tests;
mod index;
#[cfg(test)]
mod metadata_tests;
#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod published_tests;
pub mod starter;
pub mod words;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::api::connector::ConnectorSpec;
use crate::api::identity::ConnectorRef;
use crate::api::manifest::{self, Manifest};

/// What was read of the built-in entries; each is read when it is first looked up, so that one that is never asked for costs nothing.
/// An entry that cannot be read is left out; a test keeps that from happening.
static READ: [OnceLock<Option<Box<ConnectorSpec>>>; index::FILES.len()] = [const { OnceLock::new() }; index::FILES.len()];

/// Where a connector was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A `Connector` in the namespace of the instance.
    Namespace,
    /// The mounted catalogue folder.
    Mounted,
    /// The catalogue that is built in.
    BuiltIn,
}

/// The connector that an instance in `namespace` means by `name`: its own namespace wins over the mounted folder, which wins over
/// what is built in. `mounted` is by name.
pub fn look_up<'a>(
    namespace: &str,
    name: &str,
    declared: &'a BTreeMap<ConnectorRef, ConnectorSpec>,
    mounted: &'a BTreeMap<String, ConnectorSpec>,
) -> Option<(Origin, &'a ConnectorSpec)> {
    let in_namespace = declared.get(&ConnectorRef::new(namespace, name)).map(|spec| (Origin::Namespace, spec));
    in_namespace
        .or_else(|| mounted.get(name).map(|spec| (Origin::Mounted, spec)))
        .or_else(|| built_in(name).map(|spec| (Origin::BuiltIn, spec)))
}

/// The built-in entry of that name.
pub fn built_in(name: &str) -> Option<&'static ConnectorSpec> {
    let at = place(name)?;
    let read = || entry(&file(name), index::FILES[at].1).ok().map(|(_, spec)| Box::new(spec));
    READ[at].get_or_init(read).as_deref()
}

/// The names of all built-in entries, in order. None is read for it.
pub fn names() -> impl Iterator<Item = &'static str> {
    index::FILES.iter().map(|(key, _)| *key)
}

/// The built-in entry of that name as it was written, with its comments.
pub fn text(name: &str) -> Option<&'static str> {
    place(name).map(|at| index::FILES[at].1)
}

/// Where the built-in entry of that name is among all.
fn place(name: &str) -> Option<usize> {
    index::FILES.binary_search_by_key(&name, |(key, _)| key).ok()
}

/// The file of a built-in entry, for messages.
fn file(key: &str) -> String {
    format!("catalog/{key}/connector.yaml")
}

/// Reads one file of a catalogue: a single `Connector`, whose namespace means nothing here. Yields its name and settings.
///
/// # Errors
/// Lines that name file, document, path and fix.
pub fn entry(file: &str, text: &str) -> Result<(String, ConnectorSpec), Vec<String>> {
    let declared = manifest::read(file, text);
    if !declared.errors.is_empty() {
        return Err(declared.errors.iter().map(ToString::to_string).collect());
    }
    match <[_; 1]>::try_from(declared.manifests) {
        Ok([(_, Manifest::Connector(connector))]) => Ok((connector.metadata.name.unwrap_or_default(), connector.spec)),
        Ok([(place, other)]) => Err(vec![format!("{place}: is a {}; a catalog holds Connectors", other.kind())]),
        Err(found) => Err(vec![format!("{file}: holds {} documents; a catalog entry is one Connector", found.len())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::connector::ConnectorAuth;
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{ChangeBy, Order, PaginationPlan, PollPlan, resolve};

    fn plan(spec: &str, connector: &str) -> PollPlan {
        let instance = ConnectorInstance::new("a", serde_saphyr::from_str(spec).unwrap());
        resolve(&instance, built_in(connector)).unwrap()
    }

    /// `UPDATE_GENERATED=1 cargo test --lib catalog` writes the index; the next build embeds what it names.
    #[test]
    fn every_folder_is_in_the_index() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
        let folders = std::fs::read_dir(format!("{root}catalog")).unwrap();
        let mut keys: Vec<_> = folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
        keys.sort();
        let path = format!("{root}src/catalog/index.rs");
        let found = std::fs::read_to_string(&path).unwrap();
        let (head, _) = found.split_once("= &[\n").unwrap();
        let line = |key: &String| format!("    (\"{key}\", include_str!(\"../../{}\")),\n", file(key));
        let expected = format!("{head}= &[\n{}];\n", keys.iter().map(line).collect::<String>());
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        assert!(
            found == expected,
            "src/catalog/index.rs was stale: run UPDATE_GENERATED=1 cargo test --lib catalog, then build"
        );
        assert_eq!(names().collect::<Vec<_>>(), keys);
    }

    #[test]
    fn every_entry_is_read_under_its_key() {
        for key in names() {
            let (name, spec) = entry(&file(key), text(key).unwrap()).unwrap();
            assert_eq!((name.as_str(), Some(&spec)), (key, built_in(key)));
        }
        assert_eq!((built_in("nothing"), text("nothing")), (None, None));
    }

    /// With a value for every parameter, each entry plans with all of its resources.
    #[test]
    fn every_entry_plans_and_says_where_its_facts_are_from() {
        for key in names() {
            let spec = built_in(key).unwrap();
            let auth = match &spec.auth {
                Some(ConnectorAuth::ApiKey(_)) => "auth: {apiKey: {secretRef: {name: s, key: k}}}, ",
                Some(ConnectorAuth::Basic(_)) => "auth: {basic: {secretRef: {name: s}}}, ",
                Some(ConnectorAuth::Bearer(_)) => "auth: {bearer: {secretRef: {name: s, key: k}}}, ",
                Some(ConnectorAuth::Oauth2(_)) => "auth: {oauth2: {secretRef: {name: s}}}, ",
                None => "",
            };
            let base = if spec.base_url.is_some() { "" } else { "baseUrl: 'https://api.example.com', " };
            let needed = spec.parameters.iter().filter(|parameter| parameter.default_value.is_none());
            let parameters = needed.map(|parameter| format!("{}: x", parameter.name)).collect::<Vec<_>>().join(", ");
            let instance = format!(
                "{{connector: {key}, {base}parameters: {{{parameters}}}, {auth}callback: {{url: 'https://h.example/in'}}}}"
            );
            let instance = ConnectorInstance::new("a", serde_saphyr::from_str(&instance).unwrap());
            let plan = resolve(&instance, Some(spec)).unwrap_or_else(|problems| panic!("{key}: {problems:?}"));
            assert_eq!(plan.resources.len(), spec.resources.len(), "{key}");
            assert!(spec.title.is_some() && spec.verified.is_some() && !spec.sources.is_empty(), "{key}");
            assert!(!spec.documentation.is_empty(), "{key}");
            assert!(spec.parameters.iter().all(|parameter| parameter.description.is_some()), "{key}");
            let date = spec.verified.as_ref().map(|verified| verified.date.parse::<chrono::NaiveDate>());
            assert!(date.is_some_and(|date| date.is_ok()), "{key}");
            if let Some(limits) = &spec.limits {
                assert!(limits.source.is_some(), "{key}: limits without source");
                let known = |name: &String| spec.resources.iter().any(|of| of.resource.name == *name);
                assert!(limits.requests.iter().all(|limit| limit.resources.iter().all(known)), "{key}: limits of no resource");
            }
            for resource in &plan.resources {
                let filters = resource.request.uses_since();
                assert!(!filters || resource.change_by != ChangeBy::Content, "{key} {}: content with a filter", resource.name);
            }
        }
    }

    /// The others say what is left only in headers that count anyway, or no page of theirs could be had.
    #[test]
    fn the_most_used_entries_have_limits() {
        let with_limits = names().filter(|key| built_in(key).is_some_and(|spec| spec.limits.is_some()));
        assert!(with_limits.count() >= 20);
    }

    #[test]
    fn the_nearest_place_wins() {
        let spec = |title: &str| ConnectorSpec { title: Some(title.to_owned()), ..ConnectorSpec::default() };
        let none = (BTreeMap::new(), BTreeMap::new());
        let declared = BTreeMap::from([(ConnectorRef::new("crm", "github"), spec("declared"))]);
        let mounted = BTreeMap::from([("github".to_owned(), spec("mounted"))]);
        let origin =
            |found: Option<(Origin, &ConnectorSpec)>| found.map(|(origin, spec)| (origin, spec.title.clone().unwrap()));
        assert_eq!(origin(look_up("crm", "github", &declared, &mounted)), Some((Origin::Namespace, "declared".into())));
        assert_eq!(origin(look_up("other", "github", &declared, &mounted)), Some((Origin::Mounted, "mounted".into())));
        assert_eq!(origin(look_up("crm", "github", &none.0, &none.1)), Some((Origin::BuiltIn, "GitHub".into())));
        assert_eq!(look_up("crm", "nothing", &none.0, &none.1), None);
    }

    #[test]
    fn an_entry_is_one_connector() {
        let secret = "{apiVersion: v1, kind: Secret, metadata: {name: a}}";
        assert_eq!(
            entry("x.yaml", secret),
            Err(vec!["x.yaml, document 1: is a Secret; a catalog holds Connectors".to_owned()])
        );
        assert_eq!(entry("x.yaml", ""), Err(vec!["x.yaml: holds 0 documents; a catalog entry is one Connector".to_owned()]));
        assert!(entry("x.yaml", "{kind: Connector}").unwrap_err()[0].starts_with("x.yaml, document 1: "));
    }

    #[test]
    fn github_needs_a_repository_and_a_token() {
        let plan = plan(
            "{connector: github, parameters: {owner: rust-lang, repo: rust}, auth: {bearer: {secretRef: {name: s, key: t}}}, \
             callback: {url: 'https://h.example/in'}, resources: [{name: issues}]}",
            "github",
        );
        let issues = &plan.resources[0];
        assert_eq!(issues.request.url.as_str(), "https://api.github.com/repos/rust-lang/rust/issues");
        assert_eq!(
            (issues.change_by, issues.order, &issues.pagination),
            (ChangeBy::Updated, Order::Ascending, &PaginationPlan::LinkHeader)
        );
        assert!(issues.request.uses_since());
    }

    /// The poller entry of the Open Connectors page, with a token in place of its OAuth application.
    #[test]
    fn the_open_connectors_page_pastes_in() {
        let plan = plan(
            "
connector: infusionsoftrest
auth: {bearer: {secretRef: {name: keap, key: token}}}
callback: {url: 'https://mycoolapp.com/events', format: OpenConnectors}
resources:
- name: appointments
  url: /hubs/crm/appointments
  idField: id
  datesConfiguration:
    updatedDateField: modification_date
    updatedDateFormat: yyyy-MM-dd'T'HH:mm:ss.SSS'Z'
    updatedDateTimezone: GMT
    createdDateField: creation_date
    createdDateFormat: yyyy-MM-dd'T'HH:mm:ss.SSS'Z'
    createdDateTimezone: GMT
",
            "infusionsoftrest",
        );
        let appointments = &plan.resources[0];
        assert_eq!(appointments.request.url.as_str(), "https://api.infusionsoft.com/crm/rest/v1/appointments");
        assert_eq!((appointments.change_by, appointments.page_size), (ChangeBy::Updated, Some(200)));
    }
}
