//! How long ago each resource was last polled with success. It is looked up when metrics are asked for, because nothing happens in a
//! resource that a provider lets wait for hours.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

/// A resource is stale after this number of its intervals without a successful poll.
const STALE: u32 = 3;

/// All resources that are polled. A clone is of the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Freshness(Arc<Mutex<Resources>>);

#[derive(Debug, Default)]
struct Resources {
    next: u64,
    polled: HashMap<u64, Polled>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Polled {
    /// The last success; before the first one, when polling began.
    since: DateTime<Utc>,
    interval: Duration,
}

impl Polled {
    /// Time since the last success; none when the clock was set back.
    fn age(self, now: DateTime<Utc>) -> Duration {
        (now - self.since).to_std().unwrap_or_default()
    }

    fn is_stale(self, now: DateTime<Utc>) -> bool {
        self.age(now) > self.interval.saturating_mul(STALE)
    }
}

/// What a scrape reports.
#[derive(Debug, PartialEq)]
struct Summary {
    /// The oldest of the last successes; now if nothing is polled.
    oldest: DateTime<Utc>,
    stale: i64,
}

impl Freshness {
    pub(super) fn watch(&self, interval: Duration, now: DateTime<Utc>, ratio: Histogram) -> Watched {
        let mut resources = self.0.lock();
        let id = resources.next;
        resources.next += 1;
        resources.polled.insert(id, Polled { since: now, interval });
        Watched { id, resources: self.clone(), ratio }
    }

    fn summary(&self, now: DateTime<Utc>) -> Summary {
        let resources = self.0.lock();
        let oldest = resources.polled.values().map(|polled| polled.since).min().unwrap_or(now);
        let stale = resources.polled.values().filter(|polled| polled.is_stale(now)).count();
        Summary { oldest, stale: i64::try_from(stale).unwrap_or(i64::MAX) }
    }
}

impl Collector for Freshness {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Summary { oldest, stale } = self.summary(Utc::now());
        let help = "Oldest of the last successful polls of all resources; a resource counts from its start until its first";
        let name = "last_successful_poll_timestamp";
        let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        ConstGauge::new(oldest.timestamp()).encode(metric)?;
        let help = "Resources without a successful poll for three of their intervals, whatever the cause";
        let metric = encoder.encode_descriptor("stale_resources", help, None, MetricType::Gauge)?;
        ConstGauge::new(stale).encode(metric)
    }
}

/// A resource that is polled. It is no longer counted once this is dropped.
pub struct Watched {
    id: u64,
    resources: Freshness,
    ratio: Histogram,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Watched {
    /// A poll ended, with success or without.
    pub fn poll_ended(&self, succeeded: bool, now: DateTime<Utc>) {
        let mut resources = self.resources.0.lock();
        if let Some(polled) = resources.polled.get_mut(&self.id) {
            self.ratio.observe(polled.age(now).as_secs_f64() / polled.interval.as_secs_f64().max(f64::EPSILON));
            if succeeded {
                polled.since = now;
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.resources.0.lock().polled.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(100);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).expect("a time")
    }

    fn ratio() -> Histogram {
        Histogram::new([1.5, 3.0])
    }

    #[test]
    fn the_oldest_success_counts_and_only_of_what_is_polled() {
        let freshness = Freshness::default();
        assert_eq!(freshness.summary(at(7)), Summary { oldest: at(7), stale: 0 });
        let often = freshness.watch(INTERVAL, at(0), ratio());
        let seldom = freshness.watch(INTERVAL * 10, at(0), ratio());
        often.poll_ended(true, at(50));
        assert_eq!(freshness.summary(at(60)), Summary { oldest: at(0), stale: 0 });
        seldom.poll_ended(true, at(55));
        assert_eq!(freshness.summary(at(60)), Summary { oldest: at(50), stale: 0 });
        drop(often);
        assert_eq!(freshness.summary(at(60)), Summary { oldest: at(55), stale: 0 });
    }

    #[test]
    fn stale_is_what_had_no_success_for_three_intervals_whatever_else_happened() {
        let freshness = Freshness::default();
        let failing = freshness.watch(INTERVAL, at(0), ratio());
        let _seldom = freshness.watch(INTERVAL * 10, at(0), ratio());
        failing.poll_ended(false, at(250));
        assert_eq!(freshness.summary(at(300)).stale, 0);
        // nothing at all happens while a provider asks to wait
        assert_eq!(freshness.summary(at(301)), Summary { oldest: at(0), stale: 1 });
        failing.poll_ended(true, at(302));
        assert_eq!(freshness.summary(at(303)).stale, 0);
        assert_eq!(freshness.summary(at(-50)).stale, 0, "the clock was set back");
    }
}
