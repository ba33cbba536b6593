//! The form of an instance that exists: what a person changes in it is changed in the manifest or the object, and nothing else.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;

use super::change::{carried, changed, completed, differing, filled, merged, path, required, secret_names, told, uncarried};
use super::create::{AFRESH, Base, OPTIONAL, is_afresh, problems};
use super::draft::{Fields, Origin};
use super::edit_form::edit_form;
use super::kept::{KEPT, Kept, split};
use super::manifest::with_secrets;
use super::mistakes::Mistake;
use super::page::{EditTemplate, Refused, shown};
use super::refusal::Refusal;
use super::visit::{Form, Visit};
use super::{Console, instance, named, to};
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::instances::secret_edits::SecretEdits;
use crate::instances::{InstancesError, Right, receiver};
use crate::operator::cluster::CallError;

/// How often a change is made again when only the status has changed in between.
const AGAIN: usize = 5;

/// An instance that the person may change.
struct Subject {
    of: InstanceRef,
    instance: ConnectorInstance,
    base: Base,
}

impl Subject {
    /// # Errors
    /// The person may not change it, someone else declares it, or it cannot be read.
    async fn read(console: &Console, visit: &Visit, of: InstanceRef) -> Result<Self, Refused> {
        let (instance, owner) = visit.instances.get_declared(&of).await?;
        if !visit.instances.may(Right::Change, Some(&of.namespace)).await? {
            return Err(Refusal::MayNotChange { namespace: of.namespace.to_string() }.into());
        }
        if let Some(owner) = owner {
            return Err(InstancesError::NotOurs(of, console.owner(&owner)).into());
        }
        let base = Base::of_instance(visit, &of, instance.spec.connector.clone()).await?;
        Ok(Self { of, instance, base })
    }

    fn origin(&self) -> Origin<'_> {
        self.base.origin()
    }

    fn filled(&self) -> Fields {
        filled(&self.instance, self.base.spec())
    }

    /// The page with these entries.
    async fn page(&self, console: &Console, visit: &Visit, fields: &Fields, kept: &Kept) -> Result<EditTemplate, Refused> {
        Ok(EditTemplate {
            frame: console.frame(visit, Some(&self.of.namespace)).await?,
            view: edit_form(&self.instance, self.origin(), fields, |name| kept.has(name)),
            back: instance::href(&self.of),
            afresh: None,
            was: carried(&self.filled()),
            kept: kept.close(console, visit),
            foreign: Vec::new(),
            problems: Vec::new(),
            preview: None,
            yaml: None,
        })
    }
}

/// The instance that an address names.
pub fn of_path(place: Result<Path<(String, String)>, PathRejection>) -> Result<InstanceRef, Refusal> {
    let Path((namespace, name)) = place.map_err(|_| Refusal::NotFound)?;
    named(&namespace, &name)
}

/// The form, filled with what there is.
pub async fn show(
    State(console): State<Arc<Console>>,
    visit: Visit,
    place: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let subject = Subject::read(&console, &visit, of_path(place)?).await?;
    let now = subject.filled();
    let draft = console.drafts.lock().over(&visit.session, &form_of(&subject.of), &now, Utc::now());
    let draft = draft.filter(|draft| !is_afresh(query.as_deref()) && !differing(draft, &now).is_empty());
    let mut page = subject.page(&console, &visit, draft.as_ref().unwrap_or(&now), &Kept::default()).await?;
    page.afresh = draft.map(|_| format!("{}?{AFRESH}", form_of(&subject.of)));
    shown(&page)
}

/// The address of the form.
fn form_of(of: &InstanceRef) -> String {
    format!("{}/edit", instance::href(of))
}

/// What was entered.
pub async fn submit(
    State(console): State<Arc<Console>>,
    place: Result<Path<(String, String)>, PathRejection>,
    form: Form,
) -> Result<Response, Refused> {
    let of = of_path(place)?;
    let (was, kept, what) = (uncarried(form.field("was")), form.field(KEPT).to_owned(), form.field("do").to_owned());
    let is_by_script = form.is_by_script();
    let (visit, entered) = form.fields();
    let (secrets, entered) = split(entered);
    let kept = Kept::of(&console, &visit, &kept, secrets.into_iter());
    let entered = completed(&was, &Fields::new(entered));
    if !is_by_script {
        console.drafts.lock().keep(&visit.session, &form_of(&of), (&was, &entered), Utc::now());
    }
    for _ in 0..AGAIN {
        let subject = Subject::read(&console, &visit, of.clone()).await?;
        let now = subject.filled();
        let foreign = told(&was, &now);
        if !foreign.is_empty() {
            let mut page = subject.page(&console, &visit, &merged(&was, &entered, &now), &kept).await?;
            page.foreign = foreign;
            return shown_as(StatusCode::CONFLICT, &page);
        }
        let mut page = subject.page(&console, &visit, &entered, &kept).await?;
        let drafted = changed(&subject.instance, subject.origin(), (&now, &entered), |name| kept.value(name));
        let (instance, secrets) = match drafted {
            Ok(drafted) => drafted,
            Err(problem) => {
                let missing = page.view.missing();
                let mistakes = if missing.is_empty() { vec![Mistake::of_all(&problem)] } else { missing };
                return shown_as(StatusCode::UNPROCESSABLE_ENTITY, &page.refused(mistakes));
            }
        };
        if what == "refresh" {
            return shown(&page);
        }
        let mut mistakes = page.view.mistakes(&instance, problems(&instance, subject.base.spec()));
        for (key, what) in required(&subject.instance, subject.origin(), &entered) {
            if !OPTIONAL.contains(key) && !kept.has(&format!("credential.{key}")) {
                mistakes.push(page.view.missing_credential(key, what));
            }
        }
        if !mistakes.is_empty() {
            return shown_as(StatusCode::UNPROCESSABLE_ENTITY, &page.refused(mistakes));
        }
        match what.as_str() {
            "preview" => {
                page.preview = Some(preview(&console, &visit, &subject, instance, secrets).await?);
                return shown(&page);
            }
            "yaml" => {
                page.yaml = Some(with_secrets(&instance, &secrets));
                return shown(&page);
            }
            "save" => {}
            _ => return Err(Refusal::Malformed.into()),
        }
        let fields = said(&now, &entered, &secrets);
        if fields.is_empty() {
            console.drafts.lock().done(&visit.session, &form_of(&of));
            return Ok(to(&format!("{}?done=no-change", instance::href(&of))));
        }
        let had = receiver::credentials_of(&subject.instance.spec.callback);
        let done = if had == receiver::credentials_of(&instance.spec.callback) { "edit" } else { "edit-left" };
        let unused: Vec<_> = secret_names(&subject.instance).difference(&secret_names(&instance)).cloned().collect();
        let mut cleared = secrets.clone();
        for name in &unused {
            cleared.clear(name);
        }
        let saved = match save(&visit, &of, instance.clone(), cleared, &fields).await {
            // One that did not come with the instance stays, and so does one that the person may not change.
            Err(InstancesError::SecretNotOurs(_) | InstancesError::Call(CallError::Forbidden(_))) if !unused.is_empty() => {
                save(&visit, &of, instance, secrets, &fields).await
            }
            saved => saved,
        };
        match saved {
            Ok(()) => {
                console.drafts.lock().done(&visit.session, &form_of(&of));
                return Ok(to(&format!("{}?done={done}", super::instance::href(&of))));
            }
            Err(InstancesError::Changed(_)) => {}
            Err(error @ InstancesError::Call(CallError::Forbidden(_))) => return Err(error.into()),
            Err(error) => {
                let mistakes = error.to_string().lines().map(Mistake::of_all).collect();
                return shown_as(StatusCode::CONFLICT, &page.refused(mistakes));
            }
        }
    }
    Err(InstancesError::Changed(of).into())
}

fn shown_as(status: StatusCode, page: &EditTemplate) -> Result<Response, Refused> {
    let mut response = shown(page)?;
    *response.status_mut() = status;
    Ok(response)
}

/// Names of the fields that change, and those of Secrets with their keys. No values.
fn said(now: &Fields, entered: &Fields, secrets: &SecretEdits) -> String {
    let fields = differing(now, entered).into_iter().map(|name| path(&name));
    let keys = secrets.each().flat_map(|(name, keys)| keys.keys().map(move |key| format!("Secret {name} key {key}")));
    fields.chain(keys).collect::<Vec<_>>().join(", ")
}

async fn save(
    visit: &Visit,
    of: &InstanceRef,
    instance: ConnectorInstance,
    secrets: SecretEdits,
    fields: &str,
) -> Result<(), InstancesError> {
    let (session, user, client) = (&visit.session.label, &visit.session.user, visit.client);
    let (namespace, name) = (&*of.namespace, &*of.name);
    let saved = visit.instances.update(instance, secrets).await;
    match &saved {
        Ok(_) => tracing::info!(
            namespace, instance = name, action = "edit", fields, session, user, %client, "console: a change was made"
        ),
        Err(error) => tracing::warn!(
            namespace, instance = name, action = "edit", fields, session, user, %client, "console: no change: {error}"
        ),
    }
    saved.map(drop)
}

/// A trial of the instance as it would be saved. Credentials that were not entered are read as the person may read them.
async fn preview(
    console: &Console,
    visit: &Visit,
    subject: &Subject,
    instance: ConnectorInstance,
    entered: SecretEdits,
) -> Result<String, Refused> {
    let (mut secrets, mut lines) = (entered, Vec::new());
    for name in secret_names(&instance) {
        match visit.instances.stored_secret(&subject.of, &name).await? {
            Some(stored) => secrets.fill(stored),
            None if secrets.names().any(|entered| entered == name) => {}
            None => lines.push(format!(
                "note: Secret {name} cannot be read here; if the trial needs its credentials, enter them in the form"
            )),
        }
    }
    lines.extend(console.preview.preview(instance, subject.base.spec().cloned(), secrets).await);
    Ok(lines.join("\n"))
}
