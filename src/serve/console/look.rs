//! The pages to look at: the overview, and one instance.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
use url::form_urlencoded;

use super::hour::chart;
use super::overview::{Asked, overview};
use super::page::{Access, InstanceTemplate, NamespaceTemplate, OverviewTemplate, Refused, shown};
use super::sign_in::SignIn;
use super::visit::Visit;
use super::waiting::{WaitingList, waiting};
use super::{Console, Refusal, done_text, history, instance, named};
use crate::api::identity::InstanceRef;
use crate::instances::glance::Glance;
use crate::instances::{Instances, InstancesError, Right};
use crate::operator::cluster::{CallError, Denial, Denied};

/// What a person may see of all instances.
enum Seen {
    /// These, and how many namespaces are left out.
    Instances(Vec<Glance>, usize),
    /// Not all namespaces, or not this one; the words of the API server.
    Denied(String),
}

/// All instances that the person may list, or those of one namespace.
async fn seen(instances: &dyn Instances, namespace: &str) -> Result<Seen, InstancesError> {
    let watched = instances.watched();
    let mut places: Vec<_> = watched.iter().map(|watched| Some(watched.as_str())).collect();
    if !namespace.is_empty() {
        places = vec![Some(namespace)];
    } else if places.is_empty() {
        places.push(None);
    }
    let (mut found, mut denials) = (Vec::new(), Vec::new());
    for place in &places {
        match instances.glances(*place).await {
            Ok(glances) => found.extend(glances),
            Err(InstancesError::Call(CallError::Forbidden(Denial { of: Denied::Call, words }))) => denials.push(words),
            Err(error) => return Err(error),
        }
    }
    let hidden = denials.len();
    Ok(match denials.pop() {
        Some(words) if hidden == places.len() => Seen::Denied(words),
        _ => Seen::Instances(found, hidden),
    })
}

/// The overview, or the question for a namespace.
pub async fn all(State(console): State<Arc<Console>>, visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let query = query.unwrap_or_default();
    let mut asked = Asked::parse(&query);
    // A folder is read as a whole, and its page names all namespaces.
    let namespace = match &console.sign_in {
        SignIn::Url { .. } => String::new(),
        SignIn::Token(_) => asked.namespace.clone(),
    };
    let seen = seen(&*visit.instances, &namespace).await?;
    let frame = console.frame(&visit, Some(&*namespace).filter(|name| !name.is_empty())).await?;
    match seen {
        Seen::Instances(glances, hidden) => {
            let now = Utc::now();
            // It counts all instances of the process, so it is for those who may see them all.
            let is_all = namespace.is_empty() && hidden == 0;
            let hour = is_all.then(|| chart(&console.journal.last_hour(now), console.replica.clone())).flatten();
            let mut view = overview(glances, asked, now);
            let rows: Vec<_> = view.rows.iter().map(|row| InstanceRef::new(&*row.namespace, &*row.name)).collect();
            view.lay(&console.current.of(rows).await, now);
            let (next_step, has_sample) = (console.next_step.clone(), console.sample.is_some());
            shown(&OverviewTemplate { frame, view, next_step, has_sample, hidden, hour, done: done(&query) })
        }
        Seen::Denied(words) => {
            let is_first = asked.namespace.is_empty();
            if is_first {
                asked.namespace = own_namespace(&visit).unwrap_or_default().to_owned();
            }
            let denial = (!is_first).then_some(words);
            let mut response = shown(&NamespaceTemplate { frame, denial, namespace: asked.namespace })?;
            if !is_first {
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
            Ok(response)
        }
    }
}

/// The namespace of a service account.
pub fn own_namespace(visit: &Visit) -> Option<&str> {
    visit.session.user.as_deref()?.strip_prefix("system:serviceaccount:")?.split(':').next()
}

/// One instance.
pub async fn one(
    State(console): State<Arc<Console>>,
    visit: Visit,
    place: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let Path((namespace, name)) = place.map_err(|_| Refusal::NotFound)?;
    let of = named(&namespace, &name)?;
    let instances = &visit.instances;
    let (instance, owner) = instances.get_declared(&of).await?;
    // What the caller may not read, it does not get here, either: the instance was read with its token.
    let current = console.current.of(vec![of.clone()]).await;
    let now = Utc::now();
    let mut view = instance::page(&instance, owner.as_deref(), current.first(), now);
    // Most have none, as the status says.
    let has_none = instance.status.is_some() && view.parked + view.waiting == 0;
    let queued = match if has_none { Ok(Vec::new()) } else { instances.waiting(&of).await } {
        Ok(queued) => Some(queued),
        // They are in a Secret, which most who may look may not read.
        Err(InstancesError::Call(CallError::Forbidden(Denial { of: Denied::Call, .. }))) => None,
        Err(error) => return Err(error.into()),
    };
    view.count_parked(queued.as_deref().unwrap_or_default());
    let may_delete = owner.is_none() && instances.may(Right::Delete, Some(&namespace)).await?;
    let access = match (instances.may(Right::Change, Some(&namespace)).await?, &owner) {
        (false, _) => Access::Look,
        (true, Some(_)) => Access::Ask,
        (true, None) => Access::Change,
    };
    let frame = console.frame(&visit, Some(&namespace)).await?;
    let history = console.journal.last(&of).unwrap_or_default();
    view.count_failures(&history);
    let hidden = || WaitingList { is_hidden: true, ..WaitingList::default() };
    shown(&InstanceTemplate {
        frame,
        view,
        waiting: queued.map_or_else(hidden, |queued| waiting(queued, now)),
        history: history::lines(&history, now),
        access,
        may_delete,
        replica: console.replica.clone(),
        done: done(&query.unwrap_or_default()),
    })
}

/// What was just done, as the address says.
fn done(query: &str) -> Option<&'static str> {
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "done").and_then(|(_, word)| done_text(&word))
}
