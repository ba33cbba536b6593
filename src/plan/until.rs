//! Up to when a request asks: the end of the list, or of a part of it. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::date_format::{DateFormat, RFC_3339};
use super::{RequestPlan, ResourcePlan};

impl ResourcePlan {
    /// What `${until}` stands for where the rest of the list is requested in a poll that began at `now`: no record may be dated later
    /// (`maxFuture`).
    pub fn end_of_list(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        TimeDelta::from_std(self.max_future).ok().and_then(|ahead| now.checked_add_signed(ahead)).unwrap_or(now)
    }

    /// Up to where a request shows everything whose `${until}` stands for `end`: dates are cut off in its text, the provider may leave out
    /// the bound itself, and it may read a local time that comes twice as the earlier one.
    pub fn shown_until(&self, end: DateTime<Utc>) -> DateTime<Utc> {
        let own = self.cursor_format().unwrap_or(&RFC_3339);
        let formats = self.request.until_formats(own);
        let readings = formats.into_iter().map(|format| {
            let earliest = format.earliest_reading(end);
            format.parse(&format.format(earliest)).map_or(earliest, |read| read.min(earliest))
        });
        readings.min().unwrap_or(end)
    }

    /// The coarsest unit in which a request says which part of the list it asks for.
    pub fn unit_of_parts(&self) -> Duration {
        let own = self.cursor_format().unwrap_or(&RFC_3339);
        let until = self.request.until_formats(own).into_iter().map(DateFormat::granule).max();
        let since = self.request.since(own.granule()).map(|since| since.unit);
        until.max(since).unwrap_or_default().max(Duration::from_millis(1))
    }
}

impl RequestPlan {
    /// Whether the request says where the list ends.
    pub(super) fn uses_until(&self) -> bool {
        !self.until_formats(&RFC_3339).is_empty()
    }

    fn until_formats<'a>(&'a self, own: &'a DateFormat) -> Vec<&'a DateFormat> {
        let mut formats = Vec::new();
        self.each_template(|_, text| formats.extend(text.until_formats(own)));
        formats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;
    use crate::plan::template::Template;

    fn asked(until: &str) -> ResourcePlan {
        let mut plan = sample::resource();
        plan.request.query.push(("until".into(), Template::parse(until).unwrap()));
        plan
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_request_shows_ends_where_its_text_may_be_read() {
        let shown = |until: &str, end: &str| asked(until).shown_until(at(end));
        assert_eq!(shown("${until}", "2026-03-01T10:00:00.9Z"), at("2026-03-01T10:00:00Z"), "seconds are cut off");
        assert_eq!(shown("${until:yyyy-MM-dd}", "2026-03-01T10:00:00Z"), at("2026-03-01T00:00:00Z"));
        assert_eq!(shown("${until:milliseconds}", "2026-03-01T10:00:00.9Z"), at("2026-03-01T10:00:00.9Z"));
        let local = "${untilTimeZone:America/Denver:yyyy-MM-dd HH:mm}";
        // Clocks are set back at 08:00Z: 01:30 comes twice, and the provider may read the first one.
        assert_eq!(shown(local, "2026-11-01T08:30:00Z"), at("2026-11-01T07:00:00Z"));
        assert_eq!(asked("x").shown_until(at("2026-11-01T08:30:00Z")), at("2026-11-01T08:30:00Z"), "no macro bounds it");
    }

    #[test]
    fn parts_are_as_fine_as_the_coarsest_macro() {
        assert_eq!(asked("${until:milliseconds}").unit_of_parts(), Duration::from_secs(1), "that of ${{since}}");
        assert_eq!(asked("${until:yyyy-MM-dd}").unit_of_parts(), Duration::from_hours(24));
    }

    #[test]
    fn the_rest_of_the_list_ends_where_no_date_may_be() {
        let plan = ResourcePlan { max_future: Duration::from_hours(2), ..asked("${until}") };
        assert_eq!(plan.macros(at("2026-03-01T10:00:00Z")).until, at("2026-03-01T12:00:00Z"));
        assert!(plan.request.uses_until() && !sample::resource().request.uses_until());
    }
}
