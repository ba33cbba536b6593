//! Every metric with its labels and unit. All label sets are closed, and all their series exist from the start, so that a rate is
//! never missing and a scrape never grows.

mod freshness;
mod labels;
mod process;
mod text;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text as open_metrics};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use freshness::Watched;
pub use labels::{CommitOutcome, EventKind, EventOutcome, InstanceState, PollOutcome, StatusClass, TokenOutcome};
pub use text::Format;

use super::pulse::Pulse;
use crate::egress::Peer;
use freshness::Freshness;
use labels::{
    AttemptLabels, BuildLabels, ByOne, ByTwo, CommitLabels, EventLabels, FinalOutcome, InstanceLabels, PollLabels,
    RequestLabels, TokenLabels,
};

/// All metrics of the process, and its sign of life. A clone counts into the same ones.
#[derive(Clone)]
pub struct Metrics {
    all: Arc<All>,
    pulse: Pulse,
}

struct All {
    registry: Registry,
    /// What every process has, under the names that every program uses for it.
    process: Registry,
    polls: ByOne<PollOutcome, Counter>,
    poll_duration: Histogram,
    poll_delay: Histogram,
    records_read: Counter,
    events: ByTwo<EventKind, FinalOutcome>,
    attempts: ByTwo<EventKind, EventOutcome>,
    event_lag: Histogram,
    delivery_duration: Histogram,
    parked: Gauge,
    set_aside: Gauge,
    requests: ByTwo<Peer, StatusClass>,
    commits: ByOne<CommitOutcome, Counter>,
    token_requests: ByOne<TokenOutcome, Counter>,
    instances: ByOne<InstanceState, Gauge>,
    panics: Counter,
    freshness: Freshness,
    freshness_ratio: Histogram,
    shards: Gauge,
    owned_shards: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Seconds of one request or poll: from a loopback answer to the longest deadline.
const WORK_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Intervals: from a poll that a user asked for to a day of a resource that is polled every few minutes.
const INTERVALS: [f64; 10] = [0.5, 0.9, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];
/// Seconds of waiting: from at once to a week of a callback that was down.
const WAIT_SECONDS: [f64; 12] = [0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 604_800.0];

impl Metrics {
    /// All metrics at zero, of a process that begins now.
    pub fn new() -> Self {
        Self::begun(Instant::now())
    }

    /// The same of one that began at some time.
    pub(super) fn begun(at: Instant) -> Self {
        let mut registry = Registry::with_prefix("pollinator");
        let r = &mut registry;
        r.register("build", "Version of the running program", Info::new(BuildLabels { version: env!("CARGO_PKG_VERSION") }));
        let all = All {
            polls: ByOne::new(&counters(r, "polls", "Polls of a resource by outcome"), |outcome| PollLabels { outcome }),
            poll_duration: seconds(r, "poll_duration", "Time from the start of a poll to its commit", WORK_SECONDS),
            poll_delay: seconds(r, "poll_delay", "Time from when a poll was due until its first request is sent", WAIT_SECONDS),
            records_read: counter(r, "records_read", "Records read from providers"),
            events: ByTwo::new(
                &counters(
                    r,
                    "events",
                    "Events by their final outcome, each once; one that is parked again after a redelivery counts again",
                ),
                |kind, outcome| EventLabels { kind, outcome },
            ),
            attempts: ByTwo::new(
                &counters(r, "delivery_attempts", "Attempts to deliver an event by outcome"),
                |kind, outcome| AttemptLabels { kind, outcome },
            ),
            event_lag: seconds(
                r,
                "event_lag",
                "Time from the version date of a record to the acceptance of its event",
                WAIT_SECONDS,
            ),
            delivery_duration: seconds(r, "delivery_duration", "Time of one request to a callback", WORK_SECONDS),
            parked: gauge(r, "parked_events", "Parked events, which wait until you redeliver them"),
            set_aside: gauge(
                r,
                "set_aside_events",
                "Events in the retry queue, which are stored with their body and retried on the schedule",
            ),
            requests: ByTwo::new(
                &counters(r, "requests", "Requests sent by peer and class of the answer's status"),
                |peer, status| RequestLabels { peer, status },
            ),
            commits: ByOne::new(&counters(r, "commits", "Attempts to store the state of a resource by outcome"), |outcome| {
                CommitLabels { outcome }
            }),
            token_requests: ByOne::new(&counters(r, "token_requests", "Requests for an access token by outcome"), |outcome| {
                TokenLabels { outcome }
            }),
            instances: ByOne::new(&instances(r), |state| InstanceLabels { state }),
            panics: counter(r, "panics", "Defects that ended one task and no other"),
            freshness: freshness(r),
            freshness_ratio: ratio(
                r,
                "poll_freshness_ratio",
                "Time since the last successful poll of a resource when a poll ends, in intervals of the resource",
            ),
            shards: gauge(r, "shards", "Shards that all replicas share; 0 without a cluster"),
            owned_shards: gauge(r, "owned_shards", "Shards that this replica holds; 0 without a cluster"),
            process: process::registry(),
            registry,
        };
        Self { all: Arc::new(all), pulse: Pulse::new(at) }
    }

    /// The scheduler's sign of life.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// A poll ended.
    pub fn poll(&self, outcome: PollOutcome, took: Duration, records: u64) {
        self.all.polls.get(outcome).inc();
        self.all.poll_duration.observe(took.as_secs_f64());
        self.all.records_read.inc_by(records);
    }

    /// The first request of a poll was sent this long after the poll was due.
    pub fn poll_delay(&self, by: Duration) {
        self.all.poll_delay.observe(by.as_secs_f64());
    }

    /// Attempts to deliver this number of events had the same outcome, which may be their final one.
    pub fn attempts(&self, kind: EventKind, outcome: EventOutcome, count: u64) {
        self.all.attempts.get(kind, outcome).inc_by(count);
        let last = match outcome {
            EventOutcome::Accepted => FinalOutcome::Accepted,
            EventOutcome::Parked => FinalOutcome::Parked,
            EventOutcome::Failed | EventOutcome::SetAside => return,
        };
        self.all.events.get(kind, last).inc_by(count);
    }

    /// An event was accepted this long after its record had changed.
    pub fn event_lag(&self, lag: Duration) {
        self.all.event_lag.observe(lag.as_secs_f64());
    }

    /// One request to a callback took this long.
    pub fn delivery(&self, took: Duration) {
        self.all.delivery_duration.observe(took.as_secs_f64());
    }

    /// The number of parked events changed.
    pub fn parked(&self, by: i64) {
        self.all.parked.inc_by(by);
    }

    /// The number of events in the retry queue changed.
    pub fn set_aside(&self, by: i64) {
        self.all.set_aside.inc_by(by);
    }

    /// A request was answered, or not (`None`).
    pub fn request(&self, peer: Peer, status: Option<StatusCode>) {
        self.all.requests.get(peer, status.into()).inc();
    }

    /// A request for an access token ended.
    pub fn token_request(&self, outcome: TokenOutcome) {
        self.all.token_requests.get(outcome).inc();
    }

    /// A commit ended.
    pub fn commit(&self, outcome: CommitOutcome) {
        self.all.commits.get(outcome).inc();
    }

    /// The number of instances in a state changed.
    pub fn instances(&self, state: InstanceState, by: i64) {
        self.all.instances.get(state).inc_by(by);
    }

    /// A resource is polled from now on, at this interval, until what is returned is dropped.
    pub fn watch(&self, interval: Duration, now: DateTime<Utc>) -> Watched {
        self.all.freshness.watch(interval, now, self.all.freshness_ratio.clone())
    }

    /// The number of shards that all replicas share.
    pub fn shards(&self, count: u16) {
        self.all.shards.set(i64::from(count));
    }

    /// The number of shards that are owned now.
    pub fn owned_shards(&self, count: usize) {
        self.all.owned_shards.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A task ended by a panic.
    pub fn panic(&self) {
        self.all.panics.inc();
    }

    /// The exposition in a format.
    pub fn encode(&self, format: Format) -> String {
        let mut exposition = String::with_capacity(16 * 1024);
        // Writing into a String never fails.
        let _ = open_metrics::encode_registry(&mut exposition, &self.all.registry);
        let _ = open_metrics::encode_registry(&mut exposition, &self.all.process);
        match format {
            Format::OpenMetrics => {
                let _ = open_metrics::encode_eof(&mut exposition);
                exposition
            }
            Format::Text => text::plain(&exposition),
        }
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn seconds(registry: &mut Registry, name: &str, help: &str, buckets: [f64; 12]) -> Histogram {
    let histogram = Histogram::new(buckets);
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

fn ratio(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = Histogram::new(INTERVALS);
    registry.register(name, help, histogram.clone());
    histogram
}

fn freshness(registry: &mut Registry) -> Freshness {
    let freshness = Freshness::default();
    registry.register_collector(Box::new(freshness.clone()));
    freshness
}

fn counters<S>(registry: &mut Registry, name: &str, help: &str) -> Family<S, Counter>
where
    S: EncodeLabelSet + Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn instances(registry: &mut Registry) -> Family<InstanceLabels, Gauge> {
    let family = Family::default();
    registry.register("instances", "Instances that this process is responsible for", family.clone());
    family
}

#[cfg(test)]
mod tests {
    use super::labels::Label as _;
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;
    use std::path::Path;

    /// What a scrape says about one metric.
    #[derive(Default)]
    struct Described {
        kind: String,
        unit: String,
        help: String,
        labels: BTreeMap<String, BTreeSet<String>>,
        series: usize,
    }

    fn describe(exposition: &str) -> BTreeMap<String, Described> {
        let mut all = BTreeMap::<String, Described>::new();
        let mut current = String::new();
        for line in exposition.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["#", "HELP", name, help] => {
                    current = (*name).to_owned();
                    all.entry(current.clone()).or_default().help = (*help).to_owned();
                }
                ["#", "TYPE", _, kind] => all.get_mut(&current).expect("HELP comes first").kind = (*kind).to_owned(),
                ["#", "UNIT", _, unit] => all.get_mut(&current).expect("HELP comes first").unit = (*unit).to_owned(),
                ["#", "EOF"] => {}
                _ => {
                    let metric = all.get_mut(&current).expect("HELP comes first");
                    metric.series += 1;
                    let labels =
                        line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
                    for (name, value) in labels.split(',').filter_map(|label| label.split_once('=')) {
                        if name != "le" {
                            metric.labels.entry(name.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
                        }
                    }
                }
            }
        }
        all
    }

    fn document() -> String {
        let mut text = "# Metrics\n\n`/metrics` serves OpenMetrics 1.0 to clients that accept it, and the text format of Prometheus (0.0.4) to all \
                        others. Every\nlabel has a fixed set of values, and every series exists from the start. No label names an \
                        instance, so the number of series\ndoes not grow with what is polled. For one instance, read its \
                        status. The metrics `process_…` are read from `/proc`.\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n"
            .to_owned();
        for (name, metric) in describe(&Metrics::new().encode(Format::OpenMetrics)) {
            let suffix = match metric.kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let unit = if metric.unit.is_empty() { String::new() } else { format!(", in {}", metric.unit) };
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|(label, values)| {
                    if label == "version" {
                        return format!("`{label}`");
                    }
                    let values: Vec<&str> = values.iter().map(String::as_str).collect();
                    format!("`{label}`: {}", values.join(", "))
                })
                .collect();
            let help = metric.help.trim_end_matches('.');
            writeln!(text, "| `{name}{suffix}` | {}{unit} | {} | {help} |", metric.kind, labels.join("; ")).expect("write");
        }
        text
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_page_of_metrics_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/metrics.md");
        let expected = document();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &expected).expect("write");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "docs/reference/metrics.md is stale: run UPDATE_GENERATED=1 cargo test --lib observe");
    }

    #[test]
    fn every_series_exists_from_the_start() {
        let all = describe(&Metrics::new().encode(Format::OpenMetrics));
        for (name, labels) in [
            ("pollinator_polls", PollOutcome::ALL.len()),
            ("pollinator_events", EventKind::ALL.len() * FinalOutcome::ALL.len()),
            ("pollinator_delivery_attempts", EventKind::ALL.len() * EventOutcome::ALL.len()),
            ("pollinator_requests", Peer::ALL.len() * StatusClass::ALL.len()),
            ("pollinator_commits", CommitOutcome::ALL.len()),
            ("pollinator_instances", InstanceState::ALL.len()),
        ] {
            assert_eq!(all[name].series, labels, "{name}");
        }
    }

    #[test]
    fn names_and_units_follow_openmetrics() {
        let exposition = Metrics::new().encode(Format::OpenMetrics);
        assert!(exposition.ends_with("# EOF\n"));
        for (name, metric) in describe(&exposition) {
            let is_ours = name.starts_with("pollinator_");
            assert!((is_ours || name.starts_with("process_")) && !name.ends_with("_total"), "{name}");
            let is_ratio = name.ends_with("_ratio") && metric.unit.is_empty();
            assert!(metric.kind != "histogram" || metric.unit == "seconds" || is_ratio, "{name}");
            assert!(metric.unit.is_empty() || name.ends_with(&metric.unit), "{name}");
            assert!(!metric.help.is_empty(), "{name}");
        }
    }

    #[test]
    fn counting_reaches_its_own_series() {
        let metrics = Metrics::new();
        let counted = metrics.clone();
        counted.poll(PollOutcome::Unchanged, Duration::from_millis(20), 7);
        counted.poll_delay(Duration::ZERO);
        counted.attempts(EventKind::Deleted, EventOutcome::SetAside, 3);
        counted.attempts(EventKind::Deleted, EventOutcome::Parked, 1);
        counted.event_lag(Duration::from_secs(20));
        counted.delivery(Duration::from_secs(100));
        counted.request(Peer::Callback, Some(StatusCode::GONE));
        counted.request(Peer::Provider, None);
        counted.commit(CommitOutcome::Conflict);
        counted.instances(InstanceState::Suspended, 2);
        counted.parked(5);
        counted.parked(-2);
        counted.set_aside(1);
        counted.panic();
        counted.shards(32);
        counted.owned_shards(6);
        let began = Utc::now() - chrono::Duration::hours(1);
        let watched = counted.watch(Duration::from_mins(1), began);
        watched.poll_ended(false, began + chrono::Duration::seconds(90));
        let exposition = metrics.encode(Format::OpenMetrics);
        for line in [
            "pollinator_polls_total{outcome=\"unchanged\"} 1",
            "pollinator_polls_total{outcome=\"changed\"} 0",
            "pollinator_poll_duration_seconds_bucket{le=\"0.025\"} 1",
            "pollinator_poll_delay_seconds_count 1",
            "pollinator_records_read_total 7",
            "pollinator_delivery_attempts_total{kind=\"deleted\",outcome=\"set_aside\"} 3",
            "pollinator_delivery_attempts_total{kind=\"deleted\",outcome=\"parked\"} 1",
            "pollinator_events_total{kind=\"deleted\",outcome=\"parked\"} 1",
            "pollinator_events_total{kind=\"deleted\",outcome=\"accepted\"} 0",
            "pollinator_event_lag_seconds_bucket{le=\"60.0\"} 1",
            "pollinator_delivery_duration_seconds_bucket{le=\"60.0\"} 0",
            "pollinator_delivery_duration_seconds_bucket{le=\"+Inf\"} 1",
            "pollinator_requests_total{peer=\"callback\",status=\"4xx\"} 1",
            "pollinator_requests_total{peer=\"provider\",status=\"none\"} 1",
            "pollinator_commits_total{outcome=\"conflict\"} 1",
            "pollinator_instances{state=\"suspended\"} 2",
            "pollinator_parked_events 3",
            "pollinator_set_aside_events 1",
            "pollinator_panics_total 1",
            "pollinator_shards 32",
            "pollinator_owned_shards 6",
            "pollinator_stale_resources 1",
            &format!("pollinator_last_successful_poll_timestamp_seconds {}", began.timestamp()),
            "pollinator_poll_freshness_ratio_bucket{le=\"1.1\"} 0",
            "pollinator_poll_freshness_ratio_bucket{le=\"1.5\"} 1",
        ] {
            assert!(exposition.lines().any(|found| found == line), "{line} is missing in\n{exposition}");
        }
    }
}
