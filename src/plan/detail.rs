//! The request for the whole record before an event is sent: `detail` → [`DetailPlan`]. Pure.

use std::sync::Arc;

use http::HeaderName;
use url::Url;

use super::field_path::FieldPath;
use super::for_each::named_for_value;
use super::placeholders::Placeholders;
use super::problems::{at, field};
use super::template::Template;
use super::{RequestPlan, record_url};
use crate::api::conditions::Problem;
use crate::api::resource::Resource;
use crate::api::secrecy::shown_url;

/// A request for one record, whose response becomes the data of its event.
#[derive(Clone, Debug, PartialEq)]
pub struct DetailPlan {
    /// Absolute URL of the origin of the list, around the places of the id.
    pub url: Vec<Box<str>>,
    /// Extra headers, those of the list.
    pub headers: Vec<(HeaderName, Template)>,
    /// Where the record is in the response; `None`: it is the response.
    pub record: Option<FieldPath>,
}

impl DetailPlan {
    /// The same for the list of one value.
    pub(super) fn for_value(&self, value: &Arc<str>) -> Self {
        let headers = named_for_value(&self.headers, value);
        Self { url: record_url::for_value(&self.url, value), headers, record: self.record.clone() }
    }
}

/// `None` where the record of the list is sent.
///
/// # Errors
/// A URL that cannot name a record, or a path that cannot be read.
pub(super) fn plan(
    base: &Url,
    resource: &Resource,
    list: &RequestPlan,
    placeholders: &mut Placeholders,
) -> Result<Option<DetailPlan>, Problem> {
    let Some(detail) = &resource.detail else { return Ok(None) };
    let name = |part: &str| field(&resource.name, &format!("detail.{part}"));
    let url = record_url::parts(base, (&name("url"), &detail.url), resource, placeholders)?;
    let record = detail.record_path.as_deref().map(FieldPath::parse).transpose().map_err(at(&name("recordPath")))?;
    Ok(Some(DetailPlan { url, headers: list.headers.clone(), record }))
}

/// As `pollinator plan` prints it.
pub(super) fn print(plan: &DetailPlan) -> String {
    let at = plan.record.as_ref().map(|path| format!(", record at {path}")).unwrap_or_default();
    format!("GET {}{at}", shown_url(&plan.url.join("${id}")))
}

#[cfg(test)]
mod tests {
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{print, resolve};

    fn planned(detail: &str) -> Result<String, String> {
        let spec = format!(
            "
baseUrl: https://api.example.com/v2
callback: {{url: 'https://h.example/in'}}
resources:
- {{name: contacts, url: /contacts, headers: {{x-version: '2'}}, detail: {{{detail}}}}}
"
        );
        let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
        let plan = plan.map_err(|problems| problems[0].message.clone())?;
        let detail = plan.resources[0].detail.as_ref().unwrap();
        assert_eq!(detail.headers.len(), 1, "those of the list");
        let printed: serde_json::Value = serde_saphyr::from_str(&print(&plan)).unwrap();
        Ok(printed["resources"][0]["detail"].as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_url_of_a_record_is_of_the_origin_of_the_list() {
        assert_eq!(planned("url: '/contacts/${id}?f=all'").unwrap(), "GET https://api.example.com/v2/contacts/${id}?f=all");
        assert_eq!(
            planned("url: 'https://api.example.com/c/${id}', recordPath: data.contact").unwrap(),
            "GET https://api.example.com/c/${id}, record at data.contact"
        );
        for (detail, says) in [
            ("url: /contacts", "detail.url must contain ${id}"),
            ("url: '/contacts/${id}/${since}'", "detail.url must contain ${id}, and no other macro"),
            ("url: 'https://other.example/${id}'", "detail.url must be a path or have the origin of baseUrl"),
            ("url: '/c/${id}', recordPath: 'a..b'", "detail.recordPath is not a path"),
        ] {
            let problem = planned(detail).unwrap_err();
            assert!(problem.starts_with("spec.resources[contacts].detail") && problem.contains(says), "{problem}");
        }
    }
}
