//! How long a server asks us to wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::written_wait::span;

/// The longest wait that is believed.
pub const LONGEST: Duration = Duration::from_hours(24);

/// Stack Exchange's header, known to other APIs too: seconds to wait, sent with a success.
static BACKOFF: HeaderName = HeaderName::from_static("backoff");

/// The same in milliseconds, from services of Azure and others.
static MILLISECONDS: [HeaderName; 2] =
    [HeaderName::from_static("retry-after-ms"), HeaderName::from_static("x-ms-retry-after-ms")];

/// The wait that `Retry-After` asks for: seconds, or an HTTP date in any of its three forms (RFC 9110 §5.6.7 and §10.2.3). Servers also
/// write fractions, units and dates of RFC 3339. A past date is zero, more than [`LONGEST`] is [`LONGEST`], anything else that is not
/// understood is `None`. A number that is a moment near now, in seconds or milliseconds since 1970, is that moment: some servers send one.
/// Of several values the longest counts.
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let now = server_clock(headers, now);
    let read = |value: &HeaderValue| {
        let text = value.to_str().ok()?;
        moment(text, now).or_else(|| span(text, LONGEST)).or_else(|| until(text, now))
    };
    let milliseconds = |value: &HeaderValue| Some(Duration::from_millis(digits(value)?).min(LONGEST));
    let finer = MILLISECONDS.iter().flat_map(|name| headers.get_all(name)).filter_map(milliseconds);
    headers.get_all(header::RETRY_AFTER).iter().filter_map(read).chain(finer).max()
}

/// The time by the clock of the server that sent these headers, from its `Date` (RFC 9110 §6.6.1): a moment that it names is one of that
/// clock, which may be hours from ours. Ours without one, or where the two are more than [`LONGEST`] apart.
pub fn server_clock(headers: &HeaderMap, now: DateTime<Utc>) -> DateTime<Utc> {
    let date = headers.get(header::DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    date.map(DateTime::<Utc>::from)
        .filter(|date| (*date - now).abs().to_std().is_ok_and(|apart| apart <= LONGEST))
        .unwrap_or(now)
}

/// The wait that a `Backoff` header asks for, in seconds; clamped like [`retry_after`].
pub fn backoff(headers: &HeaderMap) -> Option<Duration> {
    headers.get_all(&BACKOFF).iter().filter_map(seconds).max()
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    Some(Duration::from_secs(digits(value)?).min(LONGEST))
}

/// A number without sign; digits that no u64 holds are more than any clamp.
fn digits(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// A number that is a moment near now. A fraction of a second is no reason to come earlier.
fn moment(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let number: i64 = whole.parse().ok().filter(|_| fraction.bytes().all(|byte| byte.is_ascii_digit()))?;
    let longest = i64::try_from(LONGEST.as_secs()).ok()?;
    let near = |milliseconds: i64| {
        let ahead = milliseconds.checked_sub(now.timestamp_millis())?;
        (-longest * 1_000..=longest * 1_000).contains(&ahead).then(|| Duration::from_millis(ahead.max(0).unsigned_abs()))
    };
    let up = i64::from(!fraction.is_empty());
    near(number.checked_add(up)?.checked_mul(1_000)?).or_else(|| near(number.checked_add(up)?))
}

fn until(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    let date = httpdate::parse_http_date(text).map(DateTime::<Utc>::from).ok();
    let date = date.or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|date| date.to_utc()))?;
    Some((date - now).to_std().unwrap_or(Duration::ZERO).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "1994-11-06T08:49:00Z".parse().expect("date")
    }

    fn asked(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).expect("value"));
        retry_after(&headers, now())
    }

    #[test]
    fn seconds_and_all_three_date_forms_are_read() {
        for value in
            ["37", " 37 ", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(asked(value), Some(Duration::from_secs(37)), "{value}");
        }
    }

    #[test]
    fn a_moment_is_one_of_the_clock_of_the_server() {
        let asked = |value: &str, date: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).expect("value"));
            headers.insert(header::DATE, HeaderValue::from_str(date).expect("value"));
            retry_after(&headers, now()).expect("a wait").as_secs()
        };
        let two_hours_ahead = "Sun, 06 Nov 1994 10:49:00 GMT";
        assert_eq!(asked("Sun, 06 Nov 1994 10:49:37 GMT", two_hours_ahead), 37);
        assert_eq!(asked(&(now().timestamp() + 7_237).to_string(), two_hours_ahead), 37);
        assert_eq!(asked("37", two_hours_ahead), 37);
        assert_eq!(asked("Sun, 06 Nov 1994 06:49:37 GMT", "Sun, 06 Nov 1994 06:49:00 GMT"), 37, "two hours behind");
        for useless in ["Thu, 01 Jan 1970 00:00:00 GMT", "soon"] {
            assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT", useless), 37, "{useless}");
        }
    }

    #[test]
    fn the_past_is_no_wait() {
        assert_eq!(asked("Sun, 06 Nov 1994 08:48:59 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("0"), Some(Duration::ZERO));
    }

    #[test]
    fn a_moment_in_seconds_since_1970_is_read_as_one() {
        let now = now().timestamp();
        assert_eq!(asked(&(now + 37).to_string()), Some(Duration::from_secs(37)));
        assert_eq!(asked(&(now - 37).to_string()), Some(Duration::ZERO));
        assert_eq!(asked(&(now + 90_000).to_string()), Some(LONGEST), "not near now");
        assert_eq!(asked(&format!("{}.25", now + 37)), Some(Duration::from_secs(38)));
        assert_eq!(asked(&(now * 1_000 + 37_500).to_string()), Some(Duration::from_millis(37_500)), "in milliseconds");
        assert_eq!(asked(&(now * 1_000 - 1).to_string()), Some(Duration::ZERO));
    }

    #[test]
    fn fractions_units_and_other_dates_are_read() {
        for (value, milliseconds) in [
            ("1.5", 1_500),
            ("12 s", 12_000),
            ("7, 7", 7_000),
            ("1994-11-06T08:49:37Z", 37_000),
            ("1994-11-06T09:49:37+01:00", 37_000),
            ("1994-11-06T08:48:37Z", 0),
        ] {
            assert_eq!(asked(value), Some(Duration::from_millis(milliseconds)), "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-retry-after-ms", HeaderValue::from_static("7500"));
        assert_eq!(retry_after(&headers, now()), Some(Duration::from_millis(7_500)));
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("8"));
        assert_eq!(retry_after(&headers, now()), Some(Duration::from_secs(8)), "rounded, and so the longer one");
    }

    #[test]
    fn long_waits_are_clamped() {
        for value in ["86401", "315360000", "99999999999999999999999999", "Sat, 06 Nov 2004 08:49:37 GMT"] {
            assert_eq!(asked(value), Some(LONGEST), "{value}");
        }
        assert_eq!(asked("86400"), Some(LONGEST));
        assert_eq!(asked("86399"), Some(Duration::from_secs(86_399)));
    }

    #[test]
    fn garbage_is_no_answer() {
        for value in
            ["", " ", "-1", "+5", "1e3", "0x10", "soon", "12 x", "1994-11-06", "1.2.3", "Sun, 32 Nov 1994 08:49:37 GMT"]
        {
            assert_eq!(asked(value), None, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn the_longest_of_several_counts() {
        let mut headers = HeaderMap::new();
        for value in ["5", "x", "60", "7"] {
            headers.append(header::RETRY_AFTER, HeaderValue::from_static(value));
        }
        assert_eq!(retry_after(&headers, now()), Some(Duration::from_mins(1)));
    }

    #[test]
    fn backoff_is_seconds_alone() {
        let mut headers = HeaderMap::new();
        assert_eq!(backoff(&headers), None);
        headers.insert(&BACKOFF, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(backoff(&headers), None);
        headers.insert(&BACKOFF, HeaderValue::from_static("10"));
        assert_eq!(backoff(&headers), Some(Duration::from_secs(10)));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_or_wait_longer_than_a_day(value in "[ -~]{0,40}") {
            prop_assert!(asked(&value).is_none_or(|wait| wait <= LONGEST));
        }
    }
}
