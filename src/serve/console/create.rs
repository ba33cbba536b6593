//! A new instance: what is polled, the form, a trial, and then it is created or taken as YAML.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::Utc;
use url::form_urlencoded;

use super::draft::{Fields, Origin, credential_keys, draft};
use super::form::form;
use super::kept::{KEPT, Kept, split};
use super::look::own_namespace;
use super::manifest::{manifest, with_secrets};
use super::mistakes::{Mistake, sentence};
use super::page::{ChooseTemplate, Frame, NewTemplate, Refused, shown};
use super::refusal::Refusal;
use super::sign_in::SignIn;
use super::visit::{Form, Visit};
use super::{Console, instance, to};
use crate::api::connector::ConnectorSpec;
use crate::api::finding::Finding;
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::api::manifest::NAMESPACE;
use crate::api::names;
use crate::api::visible::one_line;
use crate::instances::{InstancesError, Right};
use crate::operator::cluster::CallError;
use crate::plan::resolve::resolve;

/// Credentials that need not be entered: those that a person's consent brings, and a password that is empty.
pub const OPTIONAL: [&str; 3] = ["password", "refresh_token", "code"];

/// The end of the address of a form as it is at first.
pub const AFRESH: &str = "afresh";

/// Whether an address says that the form is to be as it is at first.
pub fn is_afresh(query: Option<&str>) -> bool {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(name, _)| name == AFRESH)
}

/// The address of the choice of what is polled. `namespace`: where the instance goes, if that is known.
pub fn href(namespace: Option<&str>) -> String {
    format!("/new{}", namespace.map(in_namespace).unwrap_or_default())
}

/// The end of an address that names a namespace.
fn in_namespace(namespace: &str) -> String {
    format!("?{}", form_urlencoded::Serializer::new(String::new()).append_pair("namespace", namespace).finish())
}

/// Where a new instance goes unless the form says otherwise: as the address says, or where the person is at home.
///
/// # Errors
/// The person may not add instances there.
async fn place(console: &Console, visit: &Visit, query: Option<String>) -> Result<String, Refusal> {
    match &console.sign_in {
        SignIn::Url { new_in, .. } => new_in.clone().ok_or(Refusal::Instances(InstancesError::NoFolder)),
        SignIn::Token(_) => {
            let query = query.unwrap_or_default();
            let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "namespace");
            let asked = asked.map(|(_, namespace)| namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty());
            let watched = visit.instances.watched();
            let namespace = asked.as_deref().or(own_namespace(visit)).or(watched.first().map(String::as_str));
            permitted(visit, namespace.unwrap_or(NAMESPACE)).await
        }
    }
}

/// The namespace, if the person may add instances to it.
async fn permitted(visit: &Visit, namespace: &str) -> Result<String, Refusal> {
    let namespace = namespace.to_owned();
    if visit.instances.may(Right::Create, Some(&namespace)).await? {
        Ok(namespace)
    } else {
        Err(Refusal::MayNotCreate { namespace: one_line(&namespace).into_owned() })
    }
}

/// What is polled: a connector that is searched for, or an address.
pub async fn choose(State(console): State<Arc<Console>>, visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let namespace = place(&console, &visit, query.clone()).await?;
    let query = query.unwrap_or_default();
    let text = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "q").map(|(_, text)| text.trim().to_owned());
    let text = text.unwrap_or_default();
    let wanted = text.to_lowercase();
    let titles = visit.instances.titles(&namespace).await?;
    let is_wanted =
        |(name, title): &(String, String)| name.to_lowercase().contains(&wanted) || title.to_lowercase().contains(&wanted);
    let found = titles.into_iter().filter(is_wanted).map(|(name, title)| (name, one_line(&title).into_owned())).collect();
    let frame = frame(&console, &visit, &namespace);
    let namespace = matches!(console.sign_in, SignIn::Token(_)).then_some(namespace);
    let query = namespace.as_deref().map(in_namespace).unwrap_or_default();
    shown(&ChooseTemplate { frame, text, namespace, query, found })
}

fn frame(console: &Console, visit: &Visit, namespace: &str) -> Frame {
    let namespace = matches!(console.sign_in, SignIn::Token(_)).then_some(namespace);
    Frame::new(Some(&visit.session), Utc::now()).adding(Some(href(namespace)))
}

/// The empty form on top of a connector.
pub async fn form_of(
    State(console): State<Arc<Console>>,
    visit: Visit,
    key: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let Path(key) = key.map_err(|_| Refusal::NotFound)?;
    let namespace = place(&console, &visit, query.clone()).await?;
    begun(&console, &visit, &Base::of(&visit, namespace, Some(key)).await?, query.as_deref())
}

/// The empty form for an address.
pub async fn plain_form(
    State(console): State<Arc<Console>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let namespace = place(&console, &visit, query.clone()).await?;
    begun(&console, &visit, &Base::of(&visit, namespace, None).await?, query.as_deref())
}

/// What was entered on top of a connector.
pub async fn submit_of(
    State(console): State<Arc<Console>>,
    key: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, Refused> {
    let Path(key) = key.map_err(|_| Refusal::NotFound)?;
    submit(&console, Some(key), form).await
}

/// What was entered for an address.
pub async fn submit_plain(State(console): State<Arc<Console>>, form: Form) -> Result<Response, Refused> {
    submit(&console, None, form).await
}

/// What a form is for.
pub struct Base {
    connector: Option<(String, ConnectorSpec)>,
    /// Where the instance is, or goes.
    namespace: String,
}

impl Base {
    /// On top of a connector that exists, or of none.
    ///
    /// # Errors
    /// There is no such connector, or it cannot be read.
    pub async fn of(visit: &Visit, namespace: String, key: Option<String>) -> Result<Self, Refused> {
        let connector = match key {
            None => None,
            Some(key) => {
                let found = if names::is_label(&key) { visit.instances.connector(&namespace, &key).await? } else { None };
                Some((key, found.ok_or(Refusal::NotFound)?))
            }
        };
        Ok(Self { connector, namespace })
    }

    /// Of an instance. One whose connector is gone is shown as one without: saving it says what is missing.
    ///
    /// # Errors
    /// The connector cannot be read.
    pub async fn of_instance(visit: &Visit, of: &InstanceRef, key: Option<String>) -> Result<Self, Refused> {
        let mut connector = None;
        if let Some(key) = key {
            connector = visit.instances.connector(&of.namespace, &key).await?.map(|spec| (key, spec));
        }
        Ok(Self { connector, namespace: of.namespace.to_string() })
    }

    /// For the form.
    pub fn origin(&self) -> Origin<'_> {
        self.connector.as_ref().map_or(Origin::Plain, |(key, spec)| Origin::Connector(key, spec))
    }

    /// The settings of the connector.
    pub fn spec(&self) -> Option<&ConnectorSpec> {
        self.connector.as_ref().map(|(_, spec)| spec)
    }
}

/// The form with what was entered before, or as it is at first.
fn begun(console: &Console, visit: &Visit, base: &Base, query: Option<&str>) -> Result<Response, Refused> {
    let first = form(base.origin(), &base.namespace, None, |_| false);
    let is_afresh = is_afresh(query);
    let drafts = console.drafts.lock();
    let draft = drafts.over(&visit.session, &first.href, &Fields::default(), Utc::now()).filter(|_| !is_afresh);
    drop(drafts);
    let afresh = draft.is_some().then(|| {
        let query = matches!(console.sign_in, SignIn::Token(_)).then(|| in_namespace(&base.namespace));
        query.map_or_else(|| format!("{}?{AFRESH}", first.href), |query| format!("{}{query}&{AFRESH}", first.href))
    });
    let view = match &draft {
        Some(fields) => {
            let namespace = if fields.one("namespace").is_empty() { &base.namespace } else { fields.one("namespace") };
            form(base.origin(), namespace, Some(fields), |_| false)
        }
        None => first,
    };
    let frame = frame(console, visit, &base.namespace);
    shown(&NewTemplate { frame, view, afresh, kept: None, problems: Vec::new(), preview: None, yaml: None })
}

async fn submit(console: &Console, key: Option<String>, form: Form) -> Result<Response, Refused> {
    let (before, is_by_script) = (form.field(KEPT).to_owned(), form.is_by_script());
    let (visit, entered) = form.fields();
    let (secrets, fields) = split(entered);
    let kept = Kept::of(console, &visit, &before, secrets.into_iter());
    let fields = Fields::new(fields);
    let namespace = match &console.sign_in {
        SignIn::Token(_) if names::is_label(fields.one("namespace")) => fields.one("namespace").to_owned(),
        // A folder has one place, whatever namespace the form says.
        _ => place(console, &visit, None).await?,
    };
    let base = &Base::of(&visit, namespace, key).await?;
    let origin = base.origin();
    let namespace = if fields.one("namespace").is_empty() { &base.namespace } else { fields.one("namespace") };
    let drafted = draft(origin, namespace, &fields, |name| kept.value(name));
    let mut answer = NewTemplate {
        frame: frame(console, &visit, &base.namespace),
        view: super::form::form(origin, namespace, Some(&fields), |name| kept.has(name)),
        afresh: None,
        kept: kept.close(console, &visit),
        problems: Vec::new(),
        preview: None,
        yaml: None,
    };
    let href = answer.view.href.clone();
    if !is_by_script {
        console.drafts.lock().keep(&visit.session, &href, (&Fields::default(), &fields), Utc::now());
    }
    let (instance, secrets) = match drafted {
        Ok(drafted) => drafted,
        // What is missing says more than why nothing can be made of it.
        Err(problem) => {
            let missing = answer.view.missing();
            return shown(&answer.refused(if missing.is_empty() { vec![Mistake::of_all(&problem)] } else { missing }));
        }
    };
    let mut mistakes = answer.view.mistakes(&instance, problems(&instance, base.spec()));
    for (key, what) in credential_keys(origin, &fields) {
        if !OPTIONAL.contains(key) && !kept.has(&format!("credential.{key}")) {
            mistakes.push(answer.view.missing_credential(key, what));
        }
    }
    match fields.one("do") {
        // The form changes with it.
        "refresh" => {}
        _ if !mistakes.is_empty() => return shown(&answer.refused(mistakes)),
        "preview" => {
            // Pollinator asks the provider in the person's place, as it would for an instance.
            permitted(&visit, namespace).await?;
            let preview = console.preview.preview(instance, base.spec().cloned(), secrets).await;
            answer.preview = Some(preview.join("\n"));
        }
        "yaml" => answer.yaml = Some(with_secrets(&instance, &secrets)),
        "create" => {
            let of = InstanceRef::new(namespace, fields.one("name"));
            let (session, user, client) = (&visit.session.label, &visit.session.user, visit.client);
            match visit.instances.create(instance, secrets).await {
                Ok(_) => {
                    tracing::info!(
                        namespace = &*of.namespace, instance = &*of.name, action = "create", session, user, %client,
                        "console: a change was made"
                    );
                    console.drafts.lock().done(&visit.session, &href);
                    return Ok(to(&format!("{}?done=create", instance::href(&of))));
                }
                Err(error) => {
                    tracing::warn!(
                        namespace = &*of.namespace, instance = &*of.name, action = "create", session, user, %client,
                        "console: no change: {error}"
                    );
                    if matches!(error, InstancesError::Call(CallError::Forbidden(_))) {
                        return Err(error.into());
                    }
                    let mistakes = match &error {
                        InstancesError::Exists(_) => vec![answer.view.wrong_name(&error.to_string())],
                        error => error.to_string().lines().map(Mistake::of_all).collect(),
                    };
                    return shown(&answer.refused(mistakes));
                }
            }
        }
        _ => return Err(Refusal::Malformed.into()),
    }
    shown(&answer)
}

/// What an API server would refuse, and what cannot be planned.
pub fn problems(instance: &ConnectorInstance, spec: Option<&ConnectorSpec>) -> Vec<Finding> {
    let read = crate::api::manifest::read("", &manifest(instance));
    if !read.errors.is_empty() {
        return read.errors.into_iter().map(|error| error.finding).collect();
    }
    match resolve(instance, spec) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(sentence).collect(),
    }
}
