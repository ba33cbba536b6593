//! The pages, from the templates in `templates/console`, and what they load from this process.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::xxh3_64;

use super::form::FormView;
use super::history::Line;
use super::hour::HourChart;
use super::instance::{InstancePage, Times};
use super::mistakes::Mistake;
use super::overview::Overview;
use super::refusal::{Notice, Refusal, WayOn};
use super::session::Session;
use super::stamp::Stamp;
use super::waiting::WaitingList;
use crate::api::identity::InstanceRef;
use crate::instances::glance::InstanceHealth;

const STYLE: &str = include_str!("../../../templates/console/console.css");
const SCRIPT: &str = include_str!("../../../templates/console/console.js");
const ICON: &str = include_str!("../../../templates/console/icon.svg");

/// The policy of every page: nothing comes from elsewhere, no script but the one of this program, no frames.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; \
                          base-uri 'none'; frame-ancestors 'none'";

/// The names of what a page loads: they change with its content.
pub struct Assets {
    /// The style sheet.
    pub style: String,
    /// The script.
    pub script: String,
    /// The icon.
    pub icon: String,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let name = |text: &str, ending: &str| format!("{:016x}.{ending}", xxh3_64(text.as_bytes()));
    Assets { style: name(STYLE, "css"), script: name(SCRIPT, "js"), icon: name(ICON, "svg") }
});

/// What every page has around its content.
pub struct Frame {
    /// The token of the session; `None` without a session.
    csrf: Option<String>,
    /// Who is signed in, where that has a name.
    user: Option<String>,
    /// Where instances are added, if they can be.
    new: Option<String>,
    now: Stamp,
    version: &'static str,
    assets: &'static Assets,
}

impl Frame {
    /// Of a page for a session, or for no one in particular.
    pub fn new(session: Option<&Session>, now: DateTime<Utc>) -> Self {
        Self {
            csrf: session.map(|session| session.csrf.clone()),
            user: session.and_then(|session| session.user.clone()),
            new: None,
            now: Stamp::new(now, now),
            version: env!("CARGO_PKG_VERSION"),
            assets: &ASSETS,
        }
    }

    /// With a link to the form of a new instance at this address, if instances can be added.
    #[must_use]
    pub fn adding(self, new: Option<String>) -> Self {
        Self { new, ..self }
    }

    /// Where instances are added.
    fn new_href(&self) -> &str {
        self.new.as_deref().unwrap_or("/new")
    }

    /// The token for forms.
    fn token(&self) -> &str {
        self.csrf.as_deref().unwrap_or_default()
    }
}

/// How the badge of a health is drawn, in a square of 16: never by colour alone.
trait Badge {
    fn class(self) -> &'static str;
    fn shape(self) -> &'static str;
}

impl Badge for InstanceHealth {
    fn class(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Failing => "failing",
            Self::Degraded => "degraded",
            Self::Starting => "starting",
            Self::Suspended => "suspended",
            Self::Healthy => "healthy",
        }
    }

    fn shape(self) -> &'static str {
        match self {
            // a cross in an octagon
            Self::Stalled => "M5 1h6l4 4v6l-4 4H5l-4-4V5zM5.5 5.5l5 5M10.5 5.5l-5 5",
            // an arrow in a circle
            Self::Failing => "M13.5 8a5.5 5.5 0 1 1-1.8-4.1M12 1v3.2H8.8",
            // an exclamation mark in a triangle
            Self::Degraded => "M8 1.5 15 14H1zM8 6v4M8 11.8v.4",
            // the hands of a clock
            Self::Starting => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zM8 4.5V8l2.5 1.5",
            // two bars
            Self::Suspended => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zM6 5.5v5M10 5.5v5",
            // a check mark in a circle
            Self::Healthy => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zM4.8 8.2l2.3 2.3 4.3-4.6",
        }
    }
}

/// The overview.
#[derive(Template)]
#[template(path = "console/overview.html")]
pub struct OverviewTemplate {
    /// Around it.
    pub frame: Frame,
    /// What it shows.
    pub view: Overview,
    /// How a first instance is made, where there is none.
    pub next_step: String,
    /// Whether there is a sample to look at.
    pub has_sample: bool,
    /// How many namespaces the person may not look at.
    pub hidden: usize,
    /// What happened in the last hour.
    pub hour: Option<HourChart>,
    /// What was just done.
    pub done: Option<&'static str>,
}

/// One instance.
#[derive(Template)]
#[template(path = "console/instance.html")]
pub struct InstanceTemplate {
    /// Around it.
    pub frame: Frame,
    /// What it shows.
    pub view: InstancePage,
    /// Events that wait.
    pub waiting: WaitingList,
    /// What was done lately.
    pub history: Vec<Line>,
    /// What the person may do.
    pub access: Access,
    /// Whether the person may delete it.
    pub may_delete: bool,
    /// The replica that shows the page; `None`: there are no others.
    pub replica: Option<String>,
    /// What was just done.
    pub done: Option<&'static str>,
}

/// What a person may do to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look at it.
    Look,
    /// Ask for something; its settings are changed where it is declared.
    Ask,
    /// Change it.
    Change,
}

impl Access {
    /// Whether buttons do something.
    fn may_ask(self) -> bool {
        self != Self::Look
    }
}

/// The choice of what is polled.
#[derive(Template)]
#[template(path = "console/choose.html")]
pub struct ChooseTemplate {
    /// Around it.
    pub frame: Frame,
    /// What was searched for.
    pub text: String,
    /// Where the instance goes, if that is a choice.
    pub namespace: Option<String>,
    /// The end of addresses that says so.
    pub query: String,
    /// Connectors: name and title.
    pub found: Vec<(String, String)>,
}

/// The form of a new instance.
#[derive(Template)]
#[template(path = "console/new.html")]
pub struct NewTemplate {
    /// Around it.
    pub frame: Frame,
    /// The form.
    pub view: FormView,
    /// Where the form is as it was at first, if it shows what was entered before.
    pub afresh: Option<String>,
    /// Secrets that were entered before, encrypted.
    pub kept: Option<String>,
    /// What is wrong with what was entered.
    pub problems: Vec<Mistake>,
    /// What a trial showed.
    pub preview: Option<String>,
    /// The manifest.
    pub yaml: Option<String>,
}

/// The form of an instance that exists.
#[derive(Template)]
#[template(path = "console/edit.html")]
pub struct EditTemplate {
    /// Around it.
    pub frame: Frame,
    /// The form.
    pub view: FormView,
    /// The page of the instance.
    pub back: String,
    /// Where the form is as it was at first, if it shows what was entered before.
    pub afresh: Option<String>,
    /// The entries of the form for the instance as it was read.
    pub was: String,
    /// Secrets that were entered before, encrypted.
    pub kept: Option<String>,
    /// What others have changed since the form was shown.
    pub foreign: Vec<String>,
    /// What is wrong with what was entered.
    pub problems: Vec<Mistake>,
    /// What a trial showed.
    pub preview: Option<String>,
    /// The manifest.
    pub yaml: Option<String>,
}

/// The question whether an instance is to be deleted.
#[derive(Template)]
#[template(path = "console/delete.html")]
pub struct DeleteTemplate {
    /// Around it.
    pub frame: Frame,
    /// Which one.
    pub of: InstanceRef,
    /// What people call it.
    pub title: String,
    /// Its page.
    pub href: String,
    /// Whether it is an object of a cluster, or else a file.
    pub is_in_cluster: bool,
    /// Events that were not accepted yet.
    pub pending: u64,
}

impl NewTemplate {
    /// With what is wrong, which each field says of itself, too.
    #[must_use]
    pub fn refused(mut self, problems: Vec<Mistake>) -> Self {
        self.view.mark(&problems);
        Self { problems, ..self }
    }
}

impl EditTemplate {
    /// With what is wrong, which each field says of itself, too.
    #[must_use]
    pub fn refused(mut self, problems: Vec<Mistake>) -> Self {
        self.view.mark(&problems);
        Self { problems, ..self }
    }
}

/// The question for a namespace, where not all may be listed.
#[derive(Template)]
#[template(path = "console/namespace.html")]
pub struct NamespaceTemplate {
    /// Around it.
    pub frame: Frame,
    /// What the API server says to a namespace that was asked for.
    pub denial: Option<String>,
    /// The namespace that was asked for, or that is most likely meant.
    pub namespace: String,
}

/// The session has begun.
#[derive(Template)]
#[template(path = "console/opened.html")]
pub struct OpenedTemplate {
    /// Around it.
    pub frame: Frame,
}

#[derive(Template)]
#[template(path = "console/notice.html")]
struct NoticeTemplate {
    frame: Frame,
    title: &'static str,
    text: String,
    way_on: WayOn,
}

/// A page that is shown.
pub fn shown(template: &impl Template) -> Result<Response, Refused> {
    match template.render() {
        Ok(html) => Ok(html_response(html)),
        Err(_) => Err(Refusal::Broken("a page cannot be made").into()),
    }
}

fn html_response(html: String) -> Response {
    let mut response = Response::new(Body::from(html));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A file that pages load, by its name.
pub fn asset(name: &str) -> Option<Response> {
    let assets = &*ASSETS;
    let (kind, text) = match name {
        name if name == assets.style => ("text/css; charset=utf-8", STYLE),
        name if name == assets.script => ("text/javascript; charset=utf-8", SCRIPT),
        name if name == assets.icon => ("image/svg+xml", ICON),
        _ => return None,
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Some(response)
}

/// A refusal as the page of it.
pub struct Refused(Refusal);

impl Refused {
    /// Of a form: nothing of what was entered was saved.
    pub fn of_form(self) -> Self {
        Self(Refusal::OfForm(Box::new(self.0)))
    }
}

impl<T: Into<Refusal>> From<T> for Refused {
    fn from(refusal: T) -> Self {
        Self(refusal.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Notice { status, title, text, way_on } = self.0.notice();
        let template = NoticeTemplate { frame: Frame::new(None, Utc::now()), title, text, way_on };
        // A page of fixed parts can always be made.
        let mut response = html_response(template.render().unwrap_or_default());
        *response.status_mut() = status;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::connector::ConnectorSpec;
    use crate::api::instance::ConnectorInstance;
    use crate::instances::brief::ListedInstance;
    use crate::instances::glance::Glance;
    use crate::serve::console::change::{carried, filled, told};
    use crate::serve::console::draft::{Fields, Origin};
    use crate::serve::console::edit_form::edit_form;
    use crate::serve::console::form::form;
    use crate::serve::console::instance;
    use crate::serve::console::overview::{Asked, overview};
    use crate::serve::console::waiting::WaitingRow;

    /// What would be a tag, end an attribute, or begin an entity.
    const HOSTILE: &str = "</code></pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'><b & &lt;&#x202e;\u{202E}";

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    /// Tags of a page that our templates have not.
    fn assert_inert(html: &str) {
        for never in ["<script>", "<img src=x", "onerror=alert(2)>", "<b ", "\u{202E}", "</code></pre><"] {
            assert!(!html.contains(never), "{never} in {html}");
        }
        assert!(html.contains("&#60;script&#62;") || html.contains("&lt;script&gt;"), "{html}");
    }

    #[test]
    fn what_others_wrote_is_text_in_the_overview() {
        let glance = Glance {
            of: InstanceRef::new(HOSTILE, HOSTILE),
            display_name: Some(HOSTILE.into()),
            connector: Some(HOSTILE.to_owned()),
            health: InstanceHealth::Stalled,
            reason: HOSTILE.into(),
            message: HOSTILE.to_owned(),
            resources: 1,
            delivered: 0,
            parked: 1,
            waiting: 1,
            last_change: Some(at()),
            next_poll: None,
        };
        let asked = Asked { text: "script".to_owned(), ..Asked::parse("") };
        let frame = Frame::new(None, at());
        let view = overview(vec![glance], asked, at());
        let html = OverviewTemplate {
            frame,
            view,
            next_step: HOSTILE.to_owned(),
            has_sample: true,
            hidden: 0,
            hour: None,
            done: None,
        }
        .render()
        .unwrap();
        // a name cannot be like that, and the direction of a name is that of the page
        assert_inert(&html.replace('\u{202E}', ""));
        let view = overview(Vec::new(), Asked { text: HOSTILE.to_owned(), ..Asked::parse("") }, at());
        let html = OverviewTemplate {
            frame: Frame::new(None, at()),
            view,
            next_step: HOSTILE.to_owned(),
            has_sample: true,
            hidden: 0,
            hour: None,
            done: None,
        }
        .render()
        .unwrap();
        assert_inert(&html.replace('\u{202E}', ""));
    }

    /// What a cluster sends of ten thousand instances becomes one page of fifty.
    #[test]
    fn of_ten_thousand_instances_one_page_is_rendered() {
        let listed = |number: usize| {
            serde_json::json!({
                "metadata": {"namespace": format!("team-{}", number % 40), "name": format!("crm-{number}")},
                "spec": {"connector": "keap", "resources": [{"name": "contacts"}, {"name": "orders"}], "callback": {"url": "https://h.example/in"}},
                "status": {
                    "conditions": [
                        {"type": "Ready", "status": if number.is_multiple_of(100) { "False" } else { "True" }, "reason": "Polling",
                         "message": "all resources are polled", "lastTransitionTime": "2026-01-31T00:00:00Z"},
                    ],
                    "delivered": number, "lastChangeTime": "2026-01-30T00:00:00Z", "bookkeeping": "x".repeat(600),
                    "resources": [
                        {"name": "contacts", "nextPollTime": "2026-01-31T00:05:00Z", "cursor": {"since": "2026-01-31T00:00:00Z", "known": "k".repeat(900)}},
                        {"name": "orders", "nextPollTime": "2026-01-31T00:05:00Z", "cursor": {"since": "2026-01-31T00:00:00Z", "known": "k".repeat(900)}},
                    ],
                },
            })
        };
        let text = (0..10_000).map(listed).collect::<serde_json::Value>().to_string();
        let listed: Vec<ListedInstance> = serde_json::from_str(&text).unwrap();
        let glances: Vec<_> = listed.into_iter().map(Glance::of).collect();
        let view = overview(glances, Asked::parse("page=2"), at());
        assert_eq!((view.rows.len(), view.found, view.shown, view.all.count), (50, 10_000, (51, 100), 10_000));
        let template = OverviewTemplate {
            frame: Frame::new(None, at()),
            view,
            next_step: String::new(),
            has_sample: false,
            hidden: 0,
            hour: None,
            done: None,
        };
        let html = template.render().unwrap();
        assert_eq!(html.matches("<li class=\"row ").count(), 50);
        assert!(html.len() < 100 * 1024, "{}", html.len());
    }

    #[test]
    fn what_others_wrote_is_text_on_the_page_of_an_instance() {
        let condition = |kind: &str, status: &str| {
            serde_json::json!({
                "type": kind, "status": status, "reason": HOSTILE, "message": HOSTILE, "lastTransitionTime": "2026-01-31T00:00:00Z",
            })
        };
        let read = serde_json::from_value(serde_json::json!({
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance",
            "metadata": {"namespace": "crm", "name": "keap", "annotations": {"note": HOSTILE}, "labels": {"team": HOSTILE}},
            "spec": {
                "connector": "keap", "parameters": {"subdomain": HOSTILE}, "tags": [HOSTILE], "polling": {"interval": HOSTILE},
                "callback": {"url": HOSTILE},
            },
            "status": {
                "conditions": [condition("Ready", "False"), condition(HOSTILE, "True")],
                "connect": {"url": HOSTILE},
                "resources": [{
                    "name": HOSTILE, "parked": 1, "pagination": HOSTILE, "recordsPath": HOSTILE, "resetReason": HOSTILE,
                    "conditions": [condition("Polled", "False")], "cursor": {"meaning": HOSTILE, "since": HOSTILE},
                }],
            },
        }));
        let view = instance::page(&read.unwrap(), Some(HOSTILE), None, at());
        let stamp = || Stamp::new(at(), at());
        let hostile = || HOSTILE.replace('\u{202E}', "");
        let row = WaitingRow {
            event: hostile(),
            resource: hostile(),
            kind: "updated",
            object: hostile(),
            attempts: 3,
            found: stamp(),
            next_try: None,
        };
        let line = Line {
            at: stamp(),
            resource: hostile(),
            what: hostile(),
            object: hostile(),
            result: hostile(),
            is_well: false,
            took: hostile(),
        };
        let (waiting, history) = (WaitingList { rows: vec![row], more: 1, is_hidden: false }, vec![line]);
        let frame = Frame::new(None, at());
        let (access, replica) = (Access::Change, Some(hostile()));
        let html =
            InstanceTemplate { frame, view, waiting, history, access, may_delete: true, replica, done: None }.render().unwrap();
        assert_inert(&html);
        let (_, yaml) = html.split_once("<pre id=\"yaml\"").unwrap();
        assert!(yaml.split_once("</pre>").unwrap().0.contains("alert(2)"), "the manifest is shown");
    }

    #[test]
    fn what_others_wrote_is_text_in_the_forms() {
        let spec: ConnectorSpec = serde_json::from_value(serde_json::json!({
            "title": HOSTILE, "documentation": [HOSTILE, "javascript:alert(1)", "https://docs.example/?a=<script>"],
            "parameters": [{"name": HOSTILE, "description": HOSTILE, "defaultValue": HOSTILE, "oneOf": [HOSTILE]}],
            "resources": [{"name": HOSTILE, "url": HOSTILE}],
        }))
        .unwrap();
        let instance: ConnectorInstance = serde_json::from_value(serde_json::json!({
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"namespace": HOSTILE, "name": HOSTILE},
            "spec": {
                "connector": HOSTILE, "baseUrl": HOSTILE, "parameters": {HOSTILE: HOSTILE}, "callback": {"url": HOSTILE},
                "polling": {"interval": HOSTILE, "startFrom": HOSTILE}, "auth": {"basic": {"secretRef": {"name": HOSTILE}}},
                "resources": [{"name": HOSTILE, "url": HOSTILE, "recordsPath": HOSTILE}, {"name": "other", "url": HOSTILE}],
            },
        }))
        .unwrap();
        let hostile = || HOSTILE.replace('\u{202E}', "");
        // What a person enters comes back as it was; hidden characters are for the validation.
        let assert_inert = |html: &str| assert_inert(&html.replace('\u{202E}', ""));
        for origin in [Origin::Connector(HOSTILE, &spec), Origin::Plain] {
            let connector = if let Origin::Connector(_, spec) = origin { Some(spec) } else { None };
            let entered = filled(&instance, connector);
            let edit = EditTemplate {
                frame: Frame::new(None, at()),
                view: edit_form(&instance, origin, &entered, |_| false),
                back: hostile(),
                afresh: Some(hostile()),
                was: carried(&entered),
                kept: Some(hostile()),
                foreign: told(&entered, &Fields::default()),
                problems: vec![
                    Mistake { field: "name".to_owned(), label: hostile(), text: hostile() },
                    Mistake::of_all(&hostile()),
                ],
                preview: Some(hostile()),
                yaml: Some(hostile()),
            };
            assert_inert(&edit.render().unwrap());
            let new = NewTemplate {
                frame: Frame::new(None, at()),
                view: form(origin, HOSTILE, Some(&entered), |_| false),
                afresh: Some(hostile()),
                kept: Some(hostile()),
                problems: vec![
                    Mistake { field: "name".to_owned(), label: hostile(), text: hostile() },
                    Mistake::of_all(&hostile()),
                ],
                preview: Some(hostile()),
                yaml: Some(hostile()),
            };
            let html = new.render().unwrap();
            assert!(!html.contains("href=\"javascript:"), "{html}");
            assert_inert(&html);
        }
        let frame = Frame::new(None, at()).adding(Some(hostile()));
        let found = vec![(hostile(), hostile())];
        let choose = ChooseTemplate { frame, text: hostile(), namespace: Some(hostile()), query: hostile(), found };
        assert_inert(&choose.render().unwrap());
        let of = InstanceRef::new(HOSTILE, HOSTILE);
        let frame = Frame::new(None, at());
        let delete = DeleteTemplate { frame, of, title: hostile(), href: hostile(), is_in_cluster: true, pending: 2 };
        assert_inert(&delete.render().unwrap());
        let namespace = NamespaceTemplate { frame: Frame::new(None, at()), denial: Some(hostile()), namespace: hostile() };
        assert_inert(&namespace.render().unwrap());
    }

    #[test]
    fn assets_are_found_by_their_content_alone() {
        for name in [&ASSETS.style, &ASSETS.script, &ASSETS.icon] {
            assert!(asset(name).is_some(), "{name}");
        }
        for never in ["", "console.css", "../console.css"] {
            assert!(asset(never).is_none(), "{never}");
        }
    }

    #[test]
    fn nothing_that_a_page_loads_leads_elsewhere() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("://") && !text.contains("innerHTML") && !text.contains("eval("));
        }
        assert!(STYLE.len() + SCRIPT.len() + ICON.len() < 24 * 1024, "what a phone loads is small");
    }
}
