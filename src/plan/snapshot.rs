//! How deleted records are found by complete readings of the list: `deletes.snapshot` → [`SnapshotPlan`].

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use url::Url;

use super::for_each::named_for_value;
use super::placeholders::Placeholders;
use super::problems::{Problems, field, invalid, span};
use super::template::Template;
use super::{RequestPlan, digest, record_url};
use crate::api::conditions::Problem;
use crate::api::deletes::{Confirm, Deletes, Snapshot};
use crate::api::resource::Resource;

/// How deleted records are found by complete readings of the list, which are called sweeps.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotPlan {
    /// Time between two sweeps; `None`: every poll is one.
    pub interval: Option<Duration>,
    /// Deletions are held back when they are more than this and more than [`Self::max_percent`].
    pub max_count: u64,
    /// In percent of the known records.
    pub max_percent: u64,
    /// How the absence of one record is proven.
    pub confirm: Option<ConfirmPlan>,
    /// Identifies the request for the list, and is never 0: what another request listed may be missing from this list and live on.
    pub asked: u64,
}

/// A request for one record that proves whether it is deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfirmPlan {
    /// Absolute URL of the origin of the list, around the places of the id.
    pub url: Vec<Box<str>>,
    /// Extra headers, those of the list.
    pub headers: Vec<(HeaderName, Template)>,
    /// Statuses that say that the record is deleted.
    pub gone: Vec<u16>,
}

impl SnapshotPlan {
    /// The same for the list of one value.
    pub(super) fn for_value(&self, value: &Arc<str>) -> Self {
        let confirm = self.confirm.as_ref().map(|confirm| ConfirmPlan {
            url: record_url::for_value(&confirm.url, value),
            headers: named_for_value(&confirm.headers, value),
            gone: confirm.gone.clone(),
        });
        Self { confirm, ..self.clone() }
    }
}

/// Deletions that are never too many to be sent.
const MAX_COUNT: i32 = 10;
/// In percent of the known records.
const MAX_PERCENT: i32 = 20;
/// Statuses that say that a record is deleted.
const GONE: [i32; 2] = [404, 410];

/// `None` where deletions are found otherwise, or not at all.
///
/// # Errors
/// Bounds, durations and URLs that cannot be.
pub(super) fn plan(
    base: &Url,
    resource: &Resource,
    list: &RequestPlan,
    placeholders: &mut Placeholders,
) -> Result<Option<SnapshotPlan>, Vec<Problem>> {
    let Some(Deletes::Snapshot(Snapshot { interval, max_count, max_percent, confirm })) = &resource.deletes else {
        return Ok(None);
    };
    let at = |part: &str| field(&resource.name, &format!("deletes.snapshot.{part}"));
    let mut problems = Problems::default();
    let interval = interval.as_deref().and_then(|text| problems.keep(span(&at("interval"), Some(text), Duration::ZERO)));
    let max_count = problems.keep(bounded(&at("maxCount"), max_count.unwrap_or(MAX_COUNT), 1_000_000));
    let max_percent = problems.keep(bounded(&at("maxPercent"), max_percent.unwrap_or(MAX_PERCENT), 100));
    let confirm =
        confirm.as_ref().and_then(|confirm| problems.keep(self::confirm(base, resource, confirm, list, placeholders)));
    match (max_count, max_percent, problems.0.is_empty()) {
        (Some(max_count), Some(max_percent), true) => {
            let asked = digest::of(list, &[]).max(1);
            Ok(Some(SnapshotPlan { interval, max_count, max_percent, confirm, asked }))
        }
        _ => Err(problems.0),
    }
}

fn bounded(field: &str, value: i32, most: u32) -> Result<u64, Problem> {
    let value = u32::try_from(value).ok().filter(|value| *value <= most);
    value.map(u64::from).ok_or_else(|| invalid(format!("{field} must be between 0 and {most}")))
}

fn confirm(
    base: &Url,
    resource: &Resource,
    confirm: &Confirm,
    list: &RequestPlan,
    placeholders: &mut Placeholders,
) -> Result<ConfirmPlan, Problem> {
    let at = field(&resource.name, "deletes.snapshot.confirm.url");
    let url = record_url::parts(base, (&at, &confirm.url), resource, placeholders)?;
    let gone = if confirm.gone_status.is_empty() { &GONE[..] } else { &confirm.gone_status };
    let gone = gone.iter().map(|status| match status {
        403 => Ok(403),
        404 => Ok(404),
        410 => Ok(410),
        _ => Err(invalid(format!("{} must be 404, 410 or 403", field(&resource.name, "deletes.snapshot.confirm.goneStatus")))),
    });
    Ok(ConfirmPlan { url, headers: list.headers.clone(), gone: gone.collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{print, resolve};

    fn planned(snapshot: &str) -> Result<(SnapshotPlan, String), Vec<String>> {
        let spec = format!(
            "
baseUrl: https://api.example.com/v2
callback: {{url: 'https://h.example/in'}}
resources:
- {{name: contacts, url: /contacts, headers: {{x-version: '2'}}, deletes: {{snapshot: {{{snapshot}}}}}}}
"
        );
        let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
        let plan = plan.map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>())?;
        let printed: serde_json::Value = serde_saphyr::from_str(&print(&plan)).unwrap();
        let printed = printed["resources"][0]["deleted"].as_str().unwrap().to_owned();
        Ok(((**plan.resources[0].snapshot.as_ref().unwrap()).clone(), printed))
    }

    #[test]
    fn defaults_are_told_and_the_url_of_a_record_is_taken_apart() {
        let (plan, printed) = planned("").unwrap();
        assert_ne!(plan.asked, 0);
        assert_eq!(plan, SnapshotPlan { interval: None, max_count: 10, max_percent: 20, confirm: None, asked: plan.asked });
        assert!(
            printed.contains("when absent from two readings of the whole list in a row; read with every poll; held back when more than 10 and more than 20 % are absent"),
            "{printed}"
        );
        let (plan, printed) = planned("interval: 24h, maxCount: 0, confirm: {url: '/contacts/${id}?f=1'}").unwrap();
        let confirm = plan.confirm.unwrap();
        assert_eq!(confirm.url, ["https://api.example.com/v2/contacts/".into(), "?f=1".into()]);
        assert_eq!((confirm.gone, confirm.headers.len(), plan.max_count), (vec![404, 410], 1, 0));
        assert!(
            printed.contains("https://api.example.com/v2/contacts/${id}?f=1 answers 404 or 410; read every 24h"),
            "{printed}"
        );
    }

    #[test]
    fn a_url_that_cannot_name_a_record_is_refused() {
        for (url, says) in [
            ("/contacts", "must contain ${id}, and no other macro"),
            ("/contacts/${id}?s=${since}", "must contain ${id}, and no other macro"),
            ("https://other.example/${id}", "must be a path or have the origin of baseUrl"),
            ("//${id}", "must be a path under baseUrl"),
        ] {
            let problems = planned(&format!("confirm: {{url: '{url}'}}")).unwrap_err();
            assert!(problems[0].starts_with("spec.resources[contacts].deletes.snapshot.confirm.url "), "{problems:?}");
            assert!(problems[0].contains(says), "{problems:?}");
        }
    }
}
