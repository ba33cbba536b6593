//! Every manifest in `examples/` is judged as an API server would and planned, without network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, Schemas};
use pollinator::api::instance::ConnectorInstance;
use pollinator::api::manifest::{self, Manifest};
use pollinator::catalog;
use pollinator::plan::id::IdPlan;
use pollinator::plan::{AuthPlan, ChangeBy, EventFormat, PaginationPlan, PollPlan, TokenPlace, resolve};
use serde_json::Value;

/// The poller entry of the Open Connectors page for Infusionsoft: what people have and paste.
const POLLER_ENTRY: &str = r#"{
    "url": "/hubs/crm/appointments",
    "idField": "id",
    "datesConfiguration": {
        "updatedDateField": "modification_date",
        "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
        "updatedDateTimezone": "GMT",
        "createdDateField": "creation_date",
        "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
        "createdDateTimezone": "GMT"
    }
}"#;

struct Example {
    instance: ConnectorInstance,
    plan: PollPlan,
    secrets: BTreeMap<String, BTreeSet<String>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// All manifests below the folder, by their path in it.
fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                found.push(path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Reads one example: one instance, and the Secrets that it names.
fn read(file: &str) -> Example {
    let declared = manifest::read(file, &fs::read_to_string(folder().join(file)).unwrap());
    assert!(declared.errors.is_empty(), "{file}: {:?}", declared.errors);
    let (mut instances, mut secrets) = (Vec::new(), BTreeMap::new());
    for (place, manifest) in declared.manifests {
        match manifest {
            Manifest::ConnectorInstance(instance) => instances.push(*instance),
            Manifest::Secret(secret) => {
                secrets.insert(secret.name, secret.data.into_keys().collect());
            }
            Manifest::Connector(_) => panic!("{place}: an example stands on the catalogue or on itself"),
        }
    }
    let instance = instances.pop().unwrap_or_else(|| panic!("{file} has no instance"));
    assert!(instances.is_empty(), "{file}: one example, one instance");
    let connector = instance.spec.connector.as_deref().and_then(catalog::built_in);
    let plan = resolve(&instance, connector).unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
    Example { instance, plan, secrets }
}

/// Name and keys of every Secret that a plan needs; no key: any.
fn needed(plan: &PollPlan) -> BTreeMap<String, Vec<String>> {
    let mut needed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in &plan.resources {
        match &*resource.auth {
            AuthPlan::None => {}
            AuthPlan::ApiKeyHeader { secret, .. } | AuthPlan::ApiKeyQuery { secret, .. } | AuthPlan::Bearer { secret } => {
                needed.entry(secret.name.clone()).or_default().push(secret.key.clone());
            }
            AuthPlan::Basic { secret } => needed.entry(secret.clone()).or_default().push("username".to_owned()),
            AuthPlan::Oauth2(plan) => needed.entry(plan.secret.clone()).or_default().push("client_id".to_owned()),
        }
    }
    if let Some(key) = &plan.callback.signature {
        needed.entry(key.name.clone()).or_default().push(key.key.clone());
    }
    if let Some(secret) = &plan.callback.headers_secret {
        needed.entry(secret.clone()).or_default();
    }
    needed
}

#[test]
fn every_example_is_accepted_planned_and_complete() {
    let files = files();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let Example { plan, secrets, .. } = read(&file);
        assert!(!plan.resources.is_empty(), "{file}");
        let needed = needed(&plan);
        assert_eq!(secrets.keys().collect::<Vec<_>>(), needed.keys().collect::<Vec<_>>(), "{file}: Secrets named and declared");
        for (name, keys) in needed {
            assert!(keys.iter().all(|key| secrets[&name].contains(key)), "{file}: Secret {name} needs {keys:?}");
        }
        assert!(plan.callback.signature.is_some(), "{file}: an example signs its events");
        let text = fs::read_to_string(folder().join(&file)).unwrap();
        assert!(text.starts_with("# "), "{file}: an example says what it shows");
    }
}

/// Whether an editor marks an object by a schema; if so, where.
fn marked(schema: &Path, object: &Value) -> Option<String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let text = fs::read_to_string(schema).unwrap_or_else(|error| panic!("{}: {error}", schema.display()));
    compiler.add_resource("schema", serde_json::from_str(&text).unwrap()).unwrap();
    let index = compiler.compile("schema", &mut schemas).unwrap();
    schemas.validate(object, index).err().map(|error| format!("{error:#}"))
}

/// An editor reads the comment for the document in which it stands, and the path from the folder of the file.
#[test]
fn editors_find_the_schema_of_every_example_and_of_the_catalogue() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let catalogue = fs::read_dir(root.join("catalog")).unwrap().map(|entry| entry.unwrap().path().join("connector.yaml"));
    let examples = files().into_iter().map(|file| folder().join(file));
    for path in examples.chain(catalogue) {
        let shown = path.display();
        let text = fs::read_to_string(&path).unwrap();
        let document = text.split("\n---").next().unwrap();
        let comment = document.lines().next().unwrap();
        let named = comment.strip_prefix("# yaml-language-server: $schema=").unwrap_or_else(|| panic!("{shown}: {comment}"));
        let schema = path.parent().unwrap().join(named);
        let object: Value = serde_saphyr::from_str(document).unwrap();
        assert_eq!(marked(&schema, &object), None, "{shown}");
        let mut misspelt = object;
        misspelt["spec"]["resource"] = Value::Null;
        assert!(marked(&schema, &misspelt).is_some_and(|why| why.contains("resource")), "{shown}");
    }
}

#[test]
fn each_example_shows_what_it_is_there_for() {
    let only = |file: &str| read(file).plan.resources[0].clone();

    let github = only("github-issues.yaml");
    assert_eq!((github.change_by, &github.pagination), (ChangeBy::Updated, &PaginationPlan::LinkHeader));
    assert!(github.request.uses_since());

    let shop = only("next-link.yaml");
    assert!(matches!(shop.pagination, PaginationPlan::NextLink(_)) && shop.extract.deleted.is_some());

    let prices = only("no-dates.yaml");
    assert_eq!((prices.change_by, prices.extract.id == IdPlan::Key), (ChangeBy::Content, true));

    let contacts = only("search-post.yaml");
    assert_eq!(contacts.request.method, "POST");
    assert!(contacts.request.uses_since() && contacts.request.body.is_some());
    assert!(matches!(contacts.pagination, PaginationPlan::Token { place: TokenPlace::Body, .. }));
}

#[test]
fn the_poller_entry_of_the_open_connectors_page_stands_in_its_example_unchanged() {
    let Example { instance, plan, .. } = read("appointments.yaml");
    let [resource] = &*instance.spec.resources else { panic!("one resource") };
    let mut pasted = serde_json::to_value(resource).unwrap();
    assert_eq!(pasted.as_object_mut().unwrap().remove("name").unwrap(), "appointments");
    assert_eq!(pasted, serde_json::from_str::<Value>(POLLER_ENTRY).unwrap());
    assert_eq!(plan.callback.format, EventFormat::OpenConnectors);
    assert_eq!(plan.resources[0].request.url.as_str(), "https://api.infusionsoft.com/crm/rest/v1/appointments");
}
