//! The request that shows whether the provider accepts the credentials: a connector's `probe` → [`RequestPlan`]. Pure.

use std::fmt::Write as _;

use url::Url;

use super::RequestPlan;
use super::placeholders::Placeholders;
use super::problems::invalid;
use super::request;
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::resource::Resource;
use crate::api::secrecy::{shown, shown_url};

/// The name of its fields in messages.
const FIELD: &str = "probe of the connector";

/// `None` where the connector has none.
///
/// # Errors
/// The first thing in it that cannot be sent.
pub(super) fn plan(
    base: &Url,
    connector: &ConnectorSpec,
    placeholders: &mut Placeholders,
) -> Result<Option<RequestPlan>, Problem> {
    let Some(probe) = &connector.probe else { return Ok(None) };
    if probe.query.values().chain([&probe.url]).any(|text| text.contains("${")) {
        return Err(invalid(format!("{FIELD} has a macro, and is asked before there is anything to fill in; remove it")));
    }
    let asked = Resource {
        name: FIELD.to_owned(),
        url: Some(probe.url.clone()),
        query: probe.query.clone(),
        headers: connector.headers.clone(),
        ..Resource::default()
    };
    let as_written = |problem: Problem| {
        let message = problem.message.replace(&format!("spec.resources[{FIELD}]"), FIELD);
        Problem { message, ..problem }
    };
    request::plan(base, &asked, placeholders)
        .map(Some)
        .map_err(|problems| problems.into_iter().next().map_or_else(|| invalid(format!("{FIELD} cannot be sent")), as_written))
}

/// As `pollinator plan` prints it.
pub(super) fn print(plan: &RequestPlan) -> String {
    let mut text = format!("{} {}", plan.method, shown_url(plan.url.as_str()));
    for (name, value) in &plan.query {
        // Writing into a text does not fail.
        let _ = write!(text, " {name}={}", shown(name, value.as_str()));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::api::connector::ConnectorSpec;
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{print, resolve};

    fn planned(probe: &str) -> Result<String, String> {
        let connector: ConnectorSpec = serde_saphyr::from_str(&format!(
            "{{baseUrl: 'https://{{site}}.example.com/v2', headers: {{x-version: '2'}}, parameters: [{{name: site}}, {{name: team}}], \
             probe: {probe}, resources: [{{name: contacts, url: /contacts}}]}}"
        ))
        .unwrap();
        let spec = "{connector: crm, parameters: {site: ada, team: t1}, callback: {url: 'https://h.example/in'}}";
        let instance = ConnectorInstance::new("shop", serde_saphyr::from_str(spec).unwrap());
        let plan = resolve(&instance, Some(&connector)).map_err(|problems| problems[0].message.clone())?;
        assert_eq!(plan.probe.as_ref().unwrap().headers.len(), 1, "those of the connector");
        let printed: serde_json::Value = serde_saphyr::from_str(&print(&plan)).unwrap();
        Ok(printed["probe"].as_str().unwrap().to_owned())
    }

    #[test]
    fn the_probe_is_below_the_base_url_and_says_what_it_asks() {
        for (probe, asked) in [
            ("{url: /me, query: {team: '{team}'}}", "GET https://ada.example.com/v2/me team=t1"),
            ("{url: '/teams/{team}'}", "GET https://ada.example.com/v2/teams/t1"),
            ("{url: /}", "GET https://ada.example.com/v2"),
        ] {
            assert_eq!(planned(probe).as_deref(), Ok(asked));
        }
    }

    #[test]
    fn what_cannot_be_asked_names_the_probe() {
        for (probe, says) in [
            ("{url: 'https://other.example/me'}", "url must be a path or have the origin of baseUrl"),
            ("{url: '/me?since=${since}'}", "has a macro"),
            ("{url: /me, query: {at: '${since}'}}", "has a macro"),
        ] {
            let problem = planned(probe).unwrap_err();
            assert!(problem.starts_with("probe of the connector") && problem.contains(says), "{problem}");
        }
    }
}
