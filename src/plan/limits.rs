//! What the provider allows → [`LimitsPlan`].

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderName;
use xxhash_rust::xxh3::xxh3_64;

use super::date_format::Zone;
use super::problems::invalid;
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::duration;
use crate::api::limits::{LimitScope, RequestLimit};

const DAY: Duration = Duration::from_hours(24);

/// What the provider allows the requests of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsPlan {
    /// All hold at the same time.
    pub requests: Vec<RequestLimitPlan>,
    /// Requests under way at once with one credential, if that was said.
    pub concurrent: Option<usize>,
}

impl LimitsPlan {
    /// How long it is until the calendar day ends by which the provider counts; `None`: it counts by none.
    pub fn day_ends_in(&self, now: DateTime<Utc>) -> Option<Duration> {
        let ends = self.requests.iter().filter_map(|limit| limit.day?.ends(now)).max();
        ends.and_then(|end| (end - now).to_std().ok())
    }
}

/// A number of requests within any period of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimitPlan {
    /// The same for requests that count together, as far as the connector states it: number and period, and which resources.
    pub group: u64,
    /// At least 1.
    pub count: u32,
    /// At least a second.
    pub period: Duration,
    /// Whose requests count together.
    pub scope: LimitScope,
    /// Response header with what is left.
    pub remaining: Option<HeaderName>,
    /// Response header with the time at which more are allowed.
    pub reset: Option<HeaderName>,
    /// The period is a calendar day.
    pub day: Option<CalendarDay>,
}

/// The days of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalendarDay(Zone);

impl CalendarDay {
    /// Of a zone by its name; `None`: there is none of this name.
    pub fn of(zone: &str) -> Option<Self> {
        Zone::parse(zone).map(Self)
    }

    /// When the day ends that has this instant; at the far ends of time, never.
    pub fn ends(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.day_ends(now)
    }
}

/// The limits of a connector for one of its resources; none is no plan.
///
/// # Errors
/// A limit without meaning.
pub(super) fn plan(connector: &ConnectorSpec, resource: &str) -> Result<Option<Arc<LimitsPlan>>, Vec<Problem>> {
    let Some(limits) = &connector.limits else { return Ok(None) };
    let concerns = |limit: &&RequestLimit| limit.resources.is_empty() || limit.resources.iter().any(|name| name == resource);
    let (mut requests, mut problems) = (Vec::new(), Vec::new());
    for limit in limits.requests.iter().filter(concerns) {
        match request(limit) {
            Ok(planned) => requests.push(planned),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let concurrent = limits.concurrent.and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0);
    let is_none = requests.is_empty() && concurrent.is_none();
    Ok((!is_none).then(|| Arc::new(LimitsPlan { requests, concurrent })))
}

fn request(limit: &RequestLimit) -> Result<RequestLimitPlan, Problem> {
    let period = duration::parse(&limit.period).filter(|period| *period >= Duration::from_secs(1));
    let count = u32::try_from(limit.count).ok().filter(|count| *count > 0);
    let (Some(period), Some(count)) = (period, count) else {
        return Err(invalid(
            "the connector's limits.requests need a count of at least 1 and a period of at least 1s; correct the connector",
        ));
    };
    let header = |name: &Option<String>| {
        let read = |name: &String| HeaderName::try_from(name.as_str());
        name.as_ref()
            .map(read)
            .transpose()
            .map_err(|_| invalid("the connector's limits.requests name a header that cannot be one; correct the connector"))
    };
    let day = limit.reset_timezone.as_deref().map(|zone| CalendarDay::of(zone).filter(|_| period == DAY).ok_or(()));
    let day = day.transpose().map_err(|()| {
        invalid("the connector's limits.requests have a resetTimezone that is no zone, or whose period is not 24h; correct the connector")
    })?;
    let group = xxh3_64(format!("{count}/{}/{}", period.as_secs(), limit.resources.join(",")).as_bytes());
    Ok(RequestLimitPlan {
        group,
        count,
        period,
        scope: limit.per.unwrap_or(LimitScope::Credential),
        remaining: header(&limit.remaining_header)?,
        reset: header(&limit.reset_header)?,
        day,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(limits: &str, resource: &str) -> Result<Option<Arc<LimitsPlan>>, Vec<Problem>> {
        plan(&serde_saphyr::from_str(&format!("{{limits: {limits}}}")).unwrap(), resource)
    }

    #[test]
    fn a_resource_has_the_limits_that_concern_it() {
        let limits = "{requests: [{count: 60, period: 1m, remainingHeader: X-MinLimit-Remaining}, \
                      {count: 10, period: 1m, per: Client, resources: [tickets]}]}";
        let tickets = planned(limits, "tickets").unwrap().unwrap();
        let facts = |limit: &RequestLimitPlan| (limit.count, limit.scope, limit.remaining.clone().map(|name| name.to_string()));
        assert_eq!(
            tickets.requests.iter().map(facts).collect::<Vec<_>>(),
            [(60, LimitScope::Credential, Some("x-minlimit-remaining".to_owned())), (10, LimitScope::Client, None)]
        );
        assert_eq!(planned(limits, "users").unwrap().unwrap().requests.len(), 1);
        assert_ne!(tickets.requests[0].group, tickets.requests[1].group);
        assert_eq!(planned("{requests: [{count: 10, period: 1m, resources: [tickets]}]}", "users"), Ok(None));
        assert_eq!(planned("{concurrent: 2}", "users").unwrap().unwrap().concurrent, Some(2));
    }

    #[test]
    fn a_calendar_day_ends_at_midnight_of_its_zone() {
        let limits = planned("{requests: [{count: 9, period: 24h, resetTimezone: America/Los_Angeles}]}", "videos");
        let renewed =
            |now: &str| limits.as_ref().unwrap().as_ref().unwrap().requests[0].day.unwrap().ends(now.parse().unwrap());
        for (now, midnight) in [
            ("2026-11-30T07:59:59Z", "2026-11-30T08:00:00Z"),
            ("2026-11-30T08:00:00Z", "2026-12-01T08:00:00Z"),
            // the day has 25 hours
            ("2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
        ] {
            assert_eq!(renewed(now), Some(midnight.parse().unwrap()), "{now}");
        }
    }

    #[test]
    fn a_limit_without_meaning_is_a_problem() {
        for limit in [
            "count: 0, period: 1m",
            "count: 1, period: 0s",
            "count: 1, period: soon",
            "count: 1, period: 1m, resetHeader: 'a b'",
            "count: 1, period: 24h, resetTimezone: Nowhere/Land",
            "count: 1, period: 1h, resetTimezone: UTC",
        ] {
            let problems = planned(&format!("{{requests: [{{{limit}}}]}}"), "a").unwrap_err();
            assert!(problems[0].message.starts_with("the connector's limits.requests "), "{limit}: {}", problems[0].message);
        }
    }
}
