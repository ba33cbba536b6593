//! A new instance: what is polled, the form, a trial, and then it is created or taken as YAML.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::Utc;
use url::form_urlencoded;

use super::draft::{Fields, Origin, credential_keys, draft};
use super::form::form;
use super::manifest::{manifest, with_secrets};
use super::page::{ChooseTemplate, Frame, NewTemplate, Refused, shown};
use super::refusal::Refusal;
use super::visit::{Form, Visit};
use super::{Console, instance, to};
use crate::api::connector::ConnectorSpec;
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::api::names;
use crate::api::visible::one_line;
use crate::instances::InstancesError;
use crate::plan::resolve::resolve;

/// Credentials that need not be entered: those that a person's consent brings, and a password that is empty.
const OPTIONAL: [&str; 3] = ["password", "refresh_token", "code"];

/// Where instances can be added.
fn place(console: &Console) -> Result<&str, Refusal> {
    console.new_in.as_deref().ok_or(Refusal::Instances(InstancesError::NoFolder))
}

/// What is polled: a connector that is searched for, or an address.
pub async fn choose(State(console): State<Arc<Console>>, visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let namespace = place(&console)?;
    let query = query.unwrap_or_default();
    let text = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "q").map(|(_, text)| text.trim().to_owned());
    let text = text.unwrap_or_default();
    let wanted = text.to_lowercase();
    let mut found = Vec::new();
    for name in console.instances.connectors(namespace).await? {
        let spec = console.instances.connector(namespace, &name).await?;
        let title = spec.and_then(|spec| spec.title).unwrap_or_else(|| name.clone());
        if name.to_lowercase().contains(&wanted) || title.to_lowercase().contains(&wanted) {
            found.push((name, one_line(&title).into_owned()));
        }
    }
    let frame = Frame::new(Some(&visit.session), Utc::now()).adding(true);
    shown(&ChooseTemplate { frame, text, found })
}

/// The empty form on top of a connector.
pub async fn form_of(
    State(console): State<Arc<Console>>,
    visit: Visit,
    key: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    let Path(key) = key.map_err(|_| Refusal::NotFound)?;
    let base = Base::of(&console, Some(key)).await?;
    blank(&console, &visit, &base)
}

/// The empty form for an address.
pub async fn plain_form(State(console): State<Arc<Console>>, visit: Visit) -> Result<Response, Refused> {
    blank(&console, &visit, &Base::of(&console, None).await?)
}

/// What was entered on top of a connector.
pub async fn submit_of(
    State(console): State<Arc<Console>>,
    key: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, Refused> {
    let Path(key) = key.map_err(|_| Refusal::NotFound)?;
    submit(&console, &Base::of(&console, Some(key)).await?, form).await
}

/// What was entered for an address.
pub async fn submit_plain(State(console): State<Arc<Console>>, form: Form) -> Result<Response, Refused> {
    submit(&console, &Base::of(&console, None).await?, form).await
}

/// What the form is for.
struct Base {
    connector: Option<(String, ConnectorSpec)>,
    /// Where the instance goes unless the form says otherwise.
    namespace: String,
}

impl Base {
    async fn of(console: &Console, key: Option<String>) -> Result<Self, Refused> {
        let namespace = place(console)?.to_owned();
        let connector = match key {
            None => None,
            Some(key) => {
                let found = if names::is_label(&key) { console.instances.connector(&namespace, &key).await? } else { None };
                Some((key, found.ok_or(Refusal::NotFound)?))
            }
        };
        Ok(Self { connector, namespace })
    }

    fn origin(&self) -> Origin<'_> {
        self.connector.as_ref().map_or(Origin::Plain, |(key, spec)| Origin::Connector(key, spec))
    }

    fn spec(&self) -> Option<&ConnectorSpec> {
        self.connector.as_ref().map(|(_, spec)| spec)
    }
}

fn blank(console: &Console, visit: &Visit, base: &Base) -> Result<Response, Refused> {
    // Another form has been given up.
    console.sessions.lock().drop_kept(&visit.id);
    let frame = Frame::new(Some(&visit.session), Utc::now()).adding(true);
    let view = form(base.origin(), &base.namespace, None, |_| false);
    shown(&NewTemplate { frame, view, problems: Vec::new(), preview: None, yaml: None })
}

async fn submit(console: &Console, base: &Base, form: Form) -> Result<Response, Refused> {
    let (visit, entered) = form.fields();
    let is_secret = |name: &str| name.starts_with("credential.") || name == "signing-key";
    let (secrets, fields): (Vec<_>, Vec<_>) = entered.into_iter().partition(|(name, _)| is_secret(name));
    let entered = secrets.into_iter().filter(|(_, value)| !value.is_empty());
    let kept = console.sessions.lock().keep(&visit.id, entered);
    let fields = Fields::new(fields);
    let origin = base.origin();
    let namespace = if fields.one("namespace").is_empty() { &base.namespace } else { fields.one("namespace") };
    let drafted = draft(origin, namespace, &fields, |name| kept.get(name).map(String::as_str));
    let mut answer = NewTemplate {
        frame: Frame::new(Some(&visit.session), Utc::now()).adding(true),
        view: super::form::form(origin, namespace, Some(&fields), |name| kept.contains_key(name)),
        problems: Vec::new(),
        preview: None,
        yaml: None,
    };
    let (instance, secrets) = match drafted {
        Ok(drafted) => drafted,
        Err(problem) => {
            answer.problems = vec![problem];
            return shown(&answer);
        }
    };
    answer.problems = problems(&instance, base.spec());
    for (key, what) in credential_keys(origin, &fields) {
        if !OPTIONAL.contains(key) && !kept.contains_key(&format!("credential.{key}")) {
            answer.problems.push(format!("{key}: Required value: enter {what}"));
        }
    }
    match fields.one("do") {
        // The form changes with it.
        "refresh" => answer.problems.clear(),
        _ if !answer.problems.is_empty() => {}
        "preview" => {
            let preview = console.preview.preview(instance, base.spec().cloned(), secrets).await;
            answer.preview = Some(preview.join("\n"));
        }
        "yaml" => answer.yaml = Some(with_secrets(&instance, &secrets)),
        "create" => {
            let of = InstanceRef::new(namespace, fields.one("name"));
            let (session, client) = (&visit.session.label, visit.client);
            match console.instances.create(instance, secrets).await {
                Ok(_) => {
                    console.sessions.lock().drop_kept(&visit.id);
                    tracing::info!(
                        namespace = &*of.namespace, instance = &*of.name, action = "create", session, %client,
                        "console: a change was made"
                    );
                    return Ok(to(&format!("{}?done=create", instance::href(&of))));
                }
                Err(error) => {
                    tracing::warn!(
                        namespace = &*of.namespace, instance = &*of.name, action = "create", session, %client,
                        "console: no change: {error}"
                    );
                    answer.problems = error.to_string().lines().map(str::to_owned).collect();
                }
            }
        }
        _ => return Err(Refusal::Malformed.into()),
    }
    shown(&answer)
}

/// What an API server would refuse, and what cannot be planned.
fn problems(instance: &ConnectorInstance, spec: Option<&ConnectorSpec>) -> Vec<String> {
    let read = crate::api::manifest::read("", &manifest(instance));
    if !read.errors.is_empty() {
        return read.errors.iter().map(|error| one_line(&error.finding.to_string()).into_owned()).collect();
    }
    match resolve(instance, spec) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| one_line(&problem.message).into_owned()).collect(),
    }
}
