//! What the operator may do in the cluster, compared with what it needs.

use std::fmt;

use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::api::{API_VERSION, GROUP};

/// Questions to the API server at a time.
const AT_A_TIME: usize = 8;
const WATCHED: Place = Place::Watched;

/// Where a permission is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In each namespace that is watched, else in all.
    Watched,
    /// In the namespace of the Leases.
    Leases,
}

/// What is needed of one kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Empty: the core group.
    pub group: &'static str,
    /// Plural, with its subresource.
    pub resource: &'static str,
    /// What is done with it, in the API server's words.
    pub verbs: &'static [&'static str],
    /// Where.
    pub place: Place,
    /// What does not work without it.
    pub purpose: &'static str,
}

/// All that is needed, and nothing more. The tables of docs/operate/operator.md, the chart and the kustomization say the same.
pub const NEEDED: [Needed; 8] = [
    needed(GROUP, "connectorinstances", &["get", "list", "watch"], WATCHED, "instances are not found"),
    needed(GROUP, "connectors", &["get", "list", "watch"], WATCHED, "connectors of a namespace are not used"),
    needed(GROUP, "connectorinstances/status", &["update"], WATCHED, "state and conditions are not stored"),
    needed(GROUP, "connectors/status", &["patch"], WATCHED, "connectors do not show whether they are accepted and used"),
    needed(
        "",
        "secrets",
        &["get", "list", "watch", "create", "update", "delete"],
        WATCHED,
        "credentials are not read, changes to them are missed, and the retry queue is not stored",
    ),
    needed("", "configmaps", &["get", "create", "update", "delete"], WATCHED, "large sets of known records are not stored"),
    needed("events.k8s.io", "events", &["create", "patch"], WATCHED, "transitions are not reported as Events"),
    needed(
        "coordination.k8s.io",
        "leases",
        &["get", "list", "watch", "create", "patch", "delete"],
        Place::Leases,
        "replicas cannot share the work, so nothing is polled",
    ),
];

const fn needed(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    place: Place,
    purpose: &'static str,
) -> Needed {
    Needed { group, resource, verbs, place, purpose }
}

/// A permission that the API server does not grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    needed: Needed,
    verb: &'static str,
    /// Empty: the whole cluster.
    namespace: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Needed { group, resource, purpose, .. } = self.needed;
        let (dot, kind) = if group.is_empty() { ("", "") } else { (".", group) };
        write!(f, "permission to {} {resource}{dot}{kind} is missing ", self.verb)?;
        let (place, role) = if self.namespace.is_empty() {
            ("in all namespaces".to_owned(), "ClusterRole")
        } else {
            (format!("in namespace {}", self.namespace), "Role")
        };
        write!(f, "{place}: {purpose}; add it to the {role} of the operator's service account")
    }
}

/// Asks the API server what this client may not do. `watched`: these namespaces; none: all.
///
/// # Errors
/// The API server does not answer, or does not answer this question.
pub async fn missing(client: &Client, watched: &[String], leases: &str) -> Result<Vec<Missing>, kube::Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answers = stream::iter(questions(watched, leases)).map(|question| {
        let reviews = reviews.clone();
        async move {
            let answer = reviews.create(&PostParams::default(), &review(&question)).await?;
            let allowed = answer.status.is_some_and(|status| status.allowed);
            Ok::<_, kube::Error>((!allowed).then_some(question))
        }
    });
    answers.buffered(AT_A_TIME).try_filter_map(|missing| async move { Ok(missing) }).try_collect().await
}

/// The plurals of our kinds that the API server does not serve in our version.
///
/// # Errors
/// The API server does not answer.
pub async fn unserved(client: &Client) -> Result<Vec<&'static str>, kube::Error> {
    let served = match client.list_api_group_resources(API_VERSION).await {
        Ok(list) => list.resources.into_iter().map(|resource| resource.name).collect(),
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(["connectorinstances", "connectors"].into_iter().filter(|kind| !served.iter().any(|name| name == kind)).collect())
}

fn questions(watched: &[String], leases: &str) -> Vec<Missing> {
    let (everywhere, leases) = ([String::new()], [leases.to_owned()]);
    let watched = if watched.is_empty() { &everywhere } else { watched };
    let mut questions = Vec::new();
    for needed in NEEDED {
        let namespaces = match needed.place {
            Place::Watched => watched,
            Place::Leases => &leases,
        };
        for namespace in namespaces {
            questions.extend(needed.verbs.iter().map(|verb| Missing { needed, verb, namespace: namespace.clone() }));
        }
    }
    questions
}

fn review(question: &Missing) -> SelfSubjectAccessReview {
    let (resource, subresource) = match question.needed.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (question.needed.resource, None),
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(question.needed.group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(question.verb.to_owned()),
                namespace: Some(question.namespace.clone()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_told_with_its_purpose_and_fix() {
        let missing = |needed: usize, verb, namespace: &str| {
            Missing { needed: NEEDED[needed], verb, namespace: namespace.to_owned() }.to_string()
        };
        assert_eq!(
            missing(2, "update", ""),
            "permission to update connectorinstances/status.pollinator.dev is missing in all namespaces: state and conditions \
             are not stored; add it to the ClusterRole of the operator's service account"
        );
        assert_eq!(
            missing(5, "create", "crm"),
            "permission to create configmaps is missing in namespace crm: large sets of known records are not stored; add it to \
             the Role of the operator's service account"
        );
    }

    #[test]
    fn permissions_are_asked_for_in_each_namespace_and_those_of_leases_in_theirs() {
        let places = |watched: &[&str]| {
            let watched: Vec<_> = watched.iter().map(|name| (*name).to_owned()).collect();
            let all = questions(&watched, "system");
            let of = |verb: &str, resource: &str| {
                let asked = all.iter().filter(|question| question.verb == verb && question.needed.resource == resource);
                asked.map(|question| question.namespace.clone()).collect::<Vec<_>>()
            };
            (of("watch", "secrets"), of("patch", "leases"))
        };
        assert_eq!(places(&[]), (vec![String::new()], vec!["system".to_owned()]));
        assert_eq!(places(&["crm", "shop"]), (vec!["crm".to_owned(), "shop".to_owned()], vec!["system".to_owned()]));
    }

    #[test]
    fn the_page_lists_what_is_needed() {
        let page = include_str!("../../docs/operate/operator.md");
        for Needed { group, resource, verbs, .. } in NEEDED {
            let group = if group.is_empty() { "core".to_owned() } else { format!("`{group}`") };
            let row =
                page.lines().find(|line| line.starts_with(&format!("| {group} |")) && line.contains(&format!("`{resource}`")));
            let row = row.unwrap_or_else(|| panic!("no row for {resource}"));
            for verb in verbs {
                assert!(row.contains(verb), "{resource}: {verb}");
            }
        }
    }
}
