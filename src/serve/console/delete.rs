//! The end of an instance: a page that says what is deleted and what is not, and then it is.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;

use super::edit::of_path;
use super::page::{DeleteTemplate, Refused, shown};
use super::refusal::Refusal;
use super::sign_in::SignIn;
use super::visit::{Form, Visit};
use super::{Console, instance, to};
use crate::api::identity::InstanceRef;
use crate::api::visible::one_line;
use crate::instances::glance::Glance;
use crate::instances::{InstancesError, Right};

/// The page that asks.
pub async fn show(
    State(console): State<Arc<Console>>,
    visit: Visit,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Refused> {
    let of = of_path(place)?;
    let glance = permitted(&console, &visit, &of).await?;
    let title = glance.display_name.as_deref().map_or_else(|| of.name.to_string(), |name| one_line(name).into_owned());
    shown(&DeleteTemplate {
        frame: console.frame(&visit, Some(&of.namespace)).await?,
        title,
        href: instance::href(&of),
        is_in_cluster: matches!(console.sign_in, SignIn::Token(_)),
        pending: glance.parked + glance.waiting,
        of,
    })
}

/// A person has read the page and pressed its button.
pub async fn submit(
    State(console): State<Arc<Console>>,
    place: Result<Path<(String, String)>, PathRejection>,
    form: Form,
) -> Result<Response, Refused> {
    let (of, visit) = (of_path(place)?, &form.visit);
    permitted(&console, visit, &of).await?;
    let (session, user, client) = (&visit.session.label, &visit.session.user, visit.client);
    let (namespace, name) = (&*of.namespace, &*of.name);
    match visit.instances.delete(&of).await {
        Ok(()) => {
            tracing::info!(namespace, instance = name, action = "delete", session, user, %client, "console: a change was made");
            Ok(to("/?done=delete"))
        }
        Err(error) => {
            tracing::warn!(namespace, instance = name, action = "delete", session, user, %client, "console: no change: {error}");
            Err(error.into())
        }
    }
}

/// The instance, if the person may delete it: what a manifest of someone else declares is deleted there, or it would come back.
async fn permitted(console: &Console, visit: &Visit, of: &InstanceRef) -> Result<Glance, Refused> {
    let (instance, owner) = visit.instances.get_declared(of).await?;
    if !visit.instances.may(Right::Delete, Some(&of.namespace)).await? {
        return Err(Refusal::MayNotDelete { namespace: of.namespace.to_string() }.into());
    }
    match owner {
        None => Ok(Glance::of(&instance)),
        Some(owner) => Err(InstancesError::NotOurs(of.clone(), console.owner(&owner)).into()),
    }
}
