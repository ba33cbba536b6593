//! How long until a spent quota is renewed, by the headers in which servers report what is left of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;

use super::retry_after::{LONGEST, server_clock};
use super::written_wait::span;

/// Headers that say how large a quota is, what is left of it and when it is renewed: those of earlier IETF drafts, which GitLab still
/// sends; the custom that GitHub made common; and Okta's.
const TRIPLES: [[&str; 3]; 3] = [
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"],
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
    ["x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"],
];
/// How long until the quota of these headers is renewed, where the other one gives a moment (Discord).
const RENEWED_AFTER: &str = "x-ratelimit-reset-after";
/// Above this a number of seconds is a point in time (2001), below it a duration.
const POINT: i64 = 1_000_000_000;

/// What is left of the quotas that a response reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// The response reports none, or something is left of each.
    Left,
    /// One is spent, and is renewed after this time if the response says so: of several the last one. At most [`LONGEST`].
    Spent(Option<Duration>),
}

impl Quota {
    /// Reads `RateLimit` with `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, the list form of recent drafts and the dictionary
    /// of draft 7) and the headers that came before. What cannot be read says nothing, and a quota of nothing at all is none.
    pub fn of(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let now = server_clock(headers, now);
        let before = TRIPLES.iter().filter_map(|[limit, left, renewed]| {
            let is_none = text(headers, limit).and_then(whole) == Some(0);
            let spent = whole(text(headers, left)?) == Some(0) && !is_none;
            let after = || text(headers, RENEWED_AFTER).filter(|_| *renewed == "x-ratelimit-reset");
            let wait = || after().and_then(|after| span(after, LONGEST));
            spent.then(|| wait().or_else(|| text(headers, renewed).and_then(|renewed| renewed_in(renewed, now))))
        });
        standard(headers).into_iter().chain(before).max().map_or(Self::Left, Self::Spent)
    }

    /// Whether one is spent.
    pub fn is_spent(self) -> bool {
        matches!(self, Self::Spent(_))
    }

    /// How long until the spent one is renewed, if the response says so.
    pub fn wait(self) -> Option<Duration> {
        match self {
            Self::Left => None,
            Self::Spent(wait) => wait,
        }
    }
}

/// A quota of which little is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Low {
    /// The distance between requests with which the rest lasts until the quota is renewed; at most `LONGEST_GAP`.
    pub gap: Duration,
    /// Until it is renewed.
    pub lasts: Duration,
}

/// A poll is slowed down, not stopped.
const LONGEST_GAP: Duration = Duration::from_secs(10);

/// The quota of which at most a tenth is left, but something, in the same headers as [`Quota::of`] reads; of several the one with the
/// longest gap.
pub fn low(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Low> {
    let now = server_clock(headers, now);
    let low = |size: u64, left: u64, lasts: Duration| {
        let rest = u32::try_from(left).unwrap_or(u32::MAX).saturating_add(1);
        let is_low = left > 0 && left.saturating_mul(10) <= size && !lasts.is_zero();
        is_low.then(|| Low { gap: (lasts / rest).min(LONGEST_GAP), lasts })
    };
    let before = TRIPLES.iter().filter_map(|[size, left, renewed]| {
        let number = |name| text(headers, name).and_then(whole);
        low(number(size)?, number(left)?, renewed_in(text(headers, renewed)?, now)?)
    });
    let policies: Vec<_> = members(headers, "ratelimit-policy").collect();
    let standard = members(headers, "ratelimit").filter_map(|(name, of)| {
        let size = policies.iter().find(|(policy, _)| *policy == name).and_then(|(_, of)| number(of, "q"))?;
        low(size, number(&of, "r")?, seconds(number(&of, "t")?))
    });
    before.chain(standard).max()
}

/// The waits of the spent quotas that `RateLimit` names.
fn standard(headers: &HeaderMap) -> Vec<Option<Duration>> {
    let policies: Vec<_> = members(headers, "ratelimit-policy").collect();
    let mut spent = Vec::new();
    for (name, parameters) in members(headers, "ratelimit") {
        if number(&parameters, "r") == Some(0) {
            // Without a time the quota is renewed within its window.
            let window = || policies.iter().find(|(policy, _)| *policy == name).and_then(|(_, of)| number(of, "w"));
            spent.push(number(&parameters, "t").or_else(window).map(seconds));
        }
    }
    // Draft 7: `limit=100, remaining=0, reset=50`, each a member of its own.
    let dictionary: Vec<_> = members(headers, "ratelimit").filter_map(|(name, _)| name.split_once('=')).collect();
    if number(&dictionary, "remaining") == Some(0) {
        spent.push(number(&dictionary, "reset").map(seconds));
    }
    spent
}

/// The members of a list of structured fields (RFC 9651 §3.1): each with its parameters.
fn members<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = (&'h str, Vec<(&'h str, &'h str)>)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| outside_strings(value, ',')).map(|member| {
        let mut parts = outside_strings(member, ';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        (name, parts.filter_map(|part| part.split_once('=')).collect())
    })
}

/// The parts of a text between separators that are in no quoted string.
fn outside_strings(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        let is_separator = letter == separator && !quoted;
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && quoted && !escaped;
        is_separator
    })
}

fn number(of: &[(&str, &str)], key: &str) -> Option<u64> {
    of.iter().find(|(name, _)| *name == key).and_then(|(_, value)| whole(value))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn whole(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// How long until the time that a header gives, at most [`LONGEST`]: seconds, perhaps with a fraction or with units; Unix seconds or, with
/// three more digits, milliseconds; a date of RFC 3339 or HTTP.
pub fn renewed_in(renewed: &str, now: DateTime<Utc>) -> Option<Duration> {
    let renewed = renewed.trim();
    let point = match renewed.split('.').next().unwrap_or_default().parse::<i64>() {
        Ok(number) if number < POINT => return Some(seconds(u64::try_from(number).ok()?)),
        Ok(number) if number < POINT * 1000 => DateTime::from_timestamp(number, 0)?,
        Ok(number) => DateTime::from_timestamp_millis(number)?,
        Err(_) => {
            if let Some(span) = span(renewed, LONGEST) {
                return Some(span);
            }
            let date = DateTime::parse_from_rfc3339(renewed).map(|date| date.to_utc());
            date.or_else(|_| httpdate::parse_http_date(renewed).map(DateTime::from)).ok()?
        }
    };
    Some((point - now).to_std().unwrap_or(Duration::ZERO).min(LONGEST))
}

fn seconds(of: u64) -> Duration {
    Duration::from_secs(of).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-01-02T03:04:05Z".parse().expect("date")
    }

    fn quota(pairs: &[(&'static str, &str)]) -> Quota {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("value"));
        }
        Quota::of(&headers, now())
    }

    fn spent(seconds: u64) -> Quota {
        Quota::Spent(Some(Duration::from_secs(seconds)))
    }

    #[test]
    fn the_standard_header_is_read_in_the_forms_of_its_drafts() {
        for (value, quota_of_it) in [
            (r#""default";r=50;t=30"#, Quota::Left),
            (r#""default";r=0;t=30"#, spent(30)),
            ("default;r=0;t=30", spent(30)),
            (r#""burst";r=0;t=1, "day";r=0;t=4000, "month";r=7;t=90000"#, spent(4000)),
            (r#""a;r=0;t=5, b";r=1;t=9"#, Quota::Left),
            (r#""a\"";r=0;t=5"#, spent(5)),
            (r#""default";r=0"#, Quota::Spent(None)),
            ("limit=100, remaining=0, reset=50", spent(50)),
            ("limit=100,remaining=1,reset=50", Quota::Left),
            (r#""default";r=x;t=30"#, Quota::Left),
            ("", Quota::Left),
        ] {
            assert_eq!(quota(&[("ratelimit", value)]), quota_of_it, "{value}");
        }
    }

    #[test]
    fn a_quota_without_a_time_is_renewed_within_the_window_of_its_policy() {
        let policy = ("ratelimit-policy", r#""burst";q=10;w=5, "day";q=1000;w=86400"#);
        assert_eq!(quota(&[("ratelimit", r#""burst";r=0"#), policy]), spent(5));
        assert_eq!(quota(&[("ratelimit", r#""burst";r=0;t=2"#), policy]), spent(2));
        assert_eq!(quota(&[("ratelimit", r#""other";r=0"#), policy]), Quota::Spent(None));
        assert_eq!(quota(&[policy]), Quota::Left);
    }

    #[test]
    fn the_headers_of_before_are_read_whatever_the_reset_is_written_as() {
        for [limit, name, renewed] in TRIPLES {
            for reset in ["10", "1767323055", "1767323055000", "2026-01-02T03:04:15Z", "Fri, 02 Jan 2026 03:04:15 GMT", "10.5"]
            {
                assert_eq!(quota(&[(name, "0"), (renewed, reset)]), spent(10), "{name} {reset}");
            }
            assert_eq!(quota(&[(name, "1"), (renewed, "10")]), Quota::Left, "{name}");
            assert_eq!(quota(&[(limit, "60"), (name, "0"), (renewed, "10")]), spent(10), "{name}");
            assert_eq!(quota(&[(limit, "0"), (name, "0"), (renewed, "10")]), Quota::Left, "{name}: no quota");
            assert_eq!(quota(&[(renewed, "10")]), Quota::Left, "{name}");
            assert_eq!(quota(&[(name, "0"), (renewed, "1000000001")]), spent(0), "{name}: the past");
            assert_eq!(quota(&[(name, "0"), (renewed, "soon")]), Quota::Spent(None), "{name}");
            assert_eq!(quota(&[(name, "0"), (renewed, "1m30s")]), spent(90), "{name}");
            assert_eq!(quota(&[(name, "0")]), Quota::Spent(None), "{name}");
        }
    }

    #[test]
    fn a_span_counts_more_than_a_moment() {
        let pairs = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767323055"), ("x-ratelimit-reset-after", "7.5")];
        assert_eq!(quota(&pairs), Quota::Spent(Some(Duration::from_millis(7_500))));
    }

    #[test]
    fn a_reset_is_a_moment_of_the_clock_of_the_server() {
        let behind =
            [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767315905"), ("date", "Fri, 02 Jan 2026 01:04:05 GMT")];
        assert_eq!(quota(&behind), spent(60), "two hours behind");
    }

    #[test]
    fn of_a_quota_that_is_low_the_rest_is_spread() {
        let low = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("value"));
            }
            super::low(&headers, now()).map(|low| (low.gap.as_secs(), low.lasts.as_secs()))
        };
        for [limit, name, renewed] in TRIPLES {
            let of = |left: &str, reset: &str| low(&[(limit, "100"), (name, left), (renewed, reset)]);
            assert_eq!(of("9", "60"), Some((6, 60)), "{name}");
            assert_eq!(of("9", "86400"), Some((10, 86_400)), "{name}: slowed down, not stopped");
            assert_eq!((of("11", "60"), of("0", "60"), of("9", "0")), (None, None, None), "{name}");
            assert_eq!(low(&[(name, "1"), (renewed, "60")]), None, "{name}: the size of the quota is unknown");
        }
        let policy = ("ratelimit-policy", r#""burst";q=10;w=5, "day";q=1000;w=86400"#);
        assert_eq!(low(&[("ratelimit", r#""burst";r=1;t=4, "day";r=900;t=80000"#), policy]), Some((2, 4)));
        assert_eq!(low(&[("ratelimit", r#""burst";r=1;t=4"#)]), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_or_wait_longer_than_a_day(value in "[ -~]{0,40}", reset in "[ -~]{0,30}") {
            let quota = quota(&[("ratelimit", &value), ("ratelimit-policy", &reset), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)]);
            prop_assert!(quota.wait().is_none_or(|wait| wait <= LONGEST));
        }
    }
}
