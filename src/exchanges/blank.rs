//! The plan of an entry for an instance without an account: every parameter has its default or a word in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use crate::api::connector::ConnectorSpec;
use crate::api::manifest::{self, Manifest};
use crate::catalog::starter::{self, Wishes};
use crate::plan::template::Template;
use crate::plan::{PollPlan, ResourcePlan, resolve};

/// The plan of one resource of an entry, as `pollinator new` begins an instance of it.
///
/// # Errors
/// A sentence: there is no such resource, or what the entry says is no plan.
pub fn plan(key: &str, spec: &ConnectorSpec, resource: &str) -> Result<PollPlan, String> {
    let of = spec.resources.iter().find(|of| of.resource.name == resource);
    let of = of.ok_or_else(|| format!("the entry {key} has no resource {resource}"))?;
    let wishes =
        Wishes { name: "blank", namespace: None, callback: "https://example.com/events", parameters: &BTreeMap::new() };
    let declared = manifest::read(key, &starter::manifest(key, spec, &[&of.resource], &wishes));
    if let Some(error) = declared.errors.first() {
        return Err(error.to_string());
    }
    let instance = declared.manifests.into_iter().find_map(|(_, manifest)| match manifest {
        Manifest::ConnectorInstance(instance) => Some(instance),
        _ => None,
    });
    let instance = instance.ok_or_else(|| format!("the entry {key} makes no instance"))?;
    resolve(&instance, Some(spec)).map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// The same resource at another origin.
///
/// # Errors
/// A sentence: its URL begins with no origin, which a plan keeps from happening.
pub fn at(resource: &ResourcePlan, origin: &Url) -> Result<Arc<ResourcePlan>, String> {
    let text = resource.request.url.as_str();
    let moved = text.split_once("://").and_then(|(_, rest)| {
        let path = &rest[rest.find(['/', '?']).unwrap_or(rest.len())..];
        Template::parse(&format!("{}{path}", origin.origin().ascii_serialization())).ok()
    });
    let mut resource = resource.clone();
    resource.request.url = moved.ok_or("the URL of the resource has no origin")?;
    resource.request.origin = origin.origin();
    Ok(Arc::new(resource))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn each_resource_of_each_entry_plans_and_moves() {
        let origin = Url::parse("http://127.0.0.1:1").unwrap();
        for key in catalog::names() {
            let spec = catalog::built_in(key).unwrap();
            for of in &spec.resources {
                let plan = plan(key, spec, &of.resource.name).unwrap();
                let moved = at(&plan.resources[0], &origin).unwrap();
                assert!(moved.request.url.as_str().starts_with("http://127.0.0.1:1/"), "{key}");
                assert_eq!((plan.resources.len(), &moved.request.origin), (1, &origin.origin()), "{key}");
            }
        }
        assert_eq!(
            plan("github", catalog::built_in("github").unwrap(), "x").unwrap_err(),
            "the entry github has no resource x"
        );
    }
}
