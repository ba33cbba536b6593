//! Times as a page shows them: in UTC, with how far away they are. The script of the page adds the zone of the viewer. Pure.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// A time of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// For machines, RFC 3339 in UTC.
    pub iso: String,
    /// For people without the script, in UTC.
    pub shown: String,
    /// How far away it is, such as `3 min ago`.
    pub distance: String,
}

impl Stamp {
    /// A time as it is seen now.
    pub fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let format = if at.date_naive() == now.date_naive() { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M UTC" };
        Self {
            iso: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            shown: at.format(format).to_string(),
            distance: distance(at - now),
        }
    }
}

/// A length of time in its largest unit.
pub fn length(time: TimeDelta) -> String {
    let seconds = time.num_seconds().abs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn distance(difference: TimeDelta) -> String {
    match difference.num_seconds() {
        -1..=1 => "now".to_owned(),
        2.. => format!("in {}", length(difference)),
        _ => format!("{} ago", length(difference)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_by_its_day_and_distance() {
        let now: DateTime<Utc> = "2026-01-31T12:00:00Z".parse().unwrap();
        let seen = |seconds| {
            let Stamp { shown, distance, .. } = Stamp::new(now + TimeDelta::seconds(seconds), now);
            format!("{shown}, {distance}")
        };
        assert_eq!(seen(0), "12:00:00 UTC, now");
        assert_eq!(seen(-59), "11:59:01 UTC, 59 s ago");
        assert_eq!(seen(90), "12:01:30 UTC, in 1 min");
        assert_eq!(seen(-7_200), "10:00:00 UTC, 2 h ago");
        assert_eq!(seen(-86_400 * 3), "2026-01-28 12:00 UTC, 3 d ago");
        assert_eq!(Stamp::new(now, now).iso, "2026-01-31T12:00:00Z");
    }
}
