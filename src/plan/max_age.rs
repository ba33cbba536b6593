//! Lists of changes that go back some time and no farther: checks `maxAge`. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::ResourcePlan;
use super::problems::{field, invalid, span};
use crate::api::conditions::Problem;
use crate::api::deletes::Deletes;
use crate::api::resource::Resource;

/// How far back the provider lists changes; `None`: all of them.
///
/// # Errors
/// Ages that leave no room for what each poll reads again, and readings of a whole list that is never shown whole.
pub(super) fn plan(resource: &Resource) -> Result<Option<Duration>, Problem> {
    let Some(text) = &resource.max_age else { return Ok(None) };
    let at = field(&resource.name, "maxAge");
    let age = span(&at, Some(text), Duration::ZERO)?;
    if !(Duration::from_hours(24)..=Duration::from_hours(24_000)).contains(&age) {
        return Err(invalid(format!("{at} must be between 24h and 24000h")));
    }
    for (name, text) in [("lookback", &resource.lookback), ("lateness", &resource.lateness)] {
        if span(&field(&resource.name, name), text.as_deref(), Duration::ZERO)? > age / 4 {
            return Err(invalid(format!("{at} must be at least four times {name}, which each poll reads again")));
        }
    }
    if matches!(resource.deletes, Some(Deletes::Snapshot(_))) {
        return Err(invalid(format!(
            "{at} has no meaning with deletes.snapshot, which would take older records for deleted; remove one of the two"
        )));
    }
    Ok(Some(age))
}

impl ResourcePlan {
    /// The oldest time that the provider may be asked for at `now`; `None`: any.
    pub fn oldest(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        now.checked_sub_signed(TimeDelta::from_std(self.max_age?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{print, resolve};

    fn planned(members: &str) -> Result<Option<Duration>, String> {
        let spec = format!(
            "
baseUrl: https://api.example.com
callback: {{url: 'https://h.example/in'}}
resources:
- {{name: contacts, url: /contacts, query: {{since: '${{since}}'}}, datesConfiguration: {{updatedDateField: at}}, {members}}}
"
        );
        let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
        let plan = plan.map_err(|problems| problems[0].message.clone())?;
        assert_eq!(print(&plan).contains("maxAge: 744h"), plan.resources[0].max_age.is_some());
        Ok(plan.resources[0].max_age)
    }

    #[test]
    fn an_age_is_longer_than_what_is_read_again_and_no_list_is_taken_for_whole() {
        assert_eq!(planned("interval: 1m"), Ok(None));
        assert_eq!(planned("maxAge: 744h, lookback: 3h"), Ok(Some(Duration::from_hours(744))));
        for (members, says) in [
            ("maxAge: 31d", "must be a duration"),
            ("maxAge: 1h", "between 24h and 24000h"),
            ("maxAge: 24h, lookback: 7h", "four times lookback"),
            ("maxAge: 24h, lateness: 7h", "four times lateness"),
            ("maxAge: 744h, deletes: {snapshot: {}}", "deletes.snapshot"),
        ] {
            let problem = planned(members).unwrap_err();
            assert!(problem.starts_with("spec.resources[contacts].maxAge ") && problem.contains(says), "{problem}");
        }
    }
}
