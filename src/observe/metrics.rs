//! Every metric with its labels and unit. All label sets are closed, and all their series exist from the start, so that a rate is
//! never missing and a scrape never grows.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

use super::pulse::Pulse;
use crate::detect::event::Kind;
use crate::egress::Peer;

/// A value of a label, of those that are known when the program is built.
trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn value(self) -> &'static str;
    fn index(self) -> usize;
}

/// The values of a label, as a scrape shows them. The derive of the metrics library shows the names of the variants as Rust has them.
macro_rules! values {
    ($name:ident { $($variant:ident = $value:literal,)+ }) => {
        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn value(self) -> &'static str {
                match self {
                    $(Self::$variant => $value,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                self.value().encode(encoder)
            }
        }
    };
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$value_doc])* $variant,)+
        }

        values! { $name { $($variant = $value,)+ } }
    };
}

label! {
    /// How a poll of one resource ended.
    PollOutcome {
        /// It found changes.
        Changed = "changed",
        /// It found none.
        Unchanged = "unchanged",
        /// The provider asked to wait.
        Throttled = "throttled",
        /// It failed in a way that may pass.
        Failed = "failed",
        /// It needs a person.
        Blocked = "blocked",
    }
}

label! {
    /// What happened to a record.
    EventKind {
        /// It is new.
        Created = "created",
        /// It is another version.
        Updated = "updated",
        /// It is gone.
        Deleted = "deleted",
    }
}

label! {
    /// What became of one attempt to deliver an event.
    EventOutcome {
        /// The callback answered 2xx.
        Accepted = "accepted",
        /// It is tried again.
        Failed = "failed",
        /// It was stored with its body and is tried again by the schedule.
        SetAside = "set_aside",
        /// It is kept until somebody asks for another try.
        Parked = "parked",
    }
}

label! {
    /// Class of an HTTP status.
    StatusClass {
        /// 100 to 199.
        Informational = "1xx",
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499.
        ClientError = "4xx",
        /// 500 and above.
        ServerError = "5xx",
        /// No answer.
        None = "none",
    }
}

label! {
    /// What a commit of state came to.
    CommitOutcome {
        /// It was stored.
        Stored = "stored",
        /// Another writer was faster; it is computed anew.
        Conflict = "conflict",
        /// It failed and is tried again.
        Failed = "failed",
    }
}

label! {
    /// What a request for an access token came to.
    TokenOutcome {
        /// A token came.
        Granted = "granted",
        /// The endpoint refused: a person must act.
        Refused = "refused",
        /// The endpoint has trouble or asked for patience; it is tried again.
        Failed = "failed",
        /// Nobody knows whether the endpoint acted on it.
        Lost = "lost",
        /// Nothing was sent: no connection, or an address that is not allowed.
        Unsent = "unsent",
    }
}

label! {
    /// How an instance is.
    InstanceState {
        /// All its resources are polled and delivered.
        Ready = "ready",
        /// At least one resource needs a person or does not succeed.
        NotReady = "not_ready",
        /// It is suspended.
        Suspended = "suspended",
    }
}

values! {
    Peer {
        Provider = "provider",
        Callback = "callback",
        TokenEndpoint = "token_endpoint",
    }
}

impl From<Kind> for EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Created => Self::Created,
            Kind::Updated => Self::Updated,
            Kind::Deleted => Self::Deleted,
        }
    }
}

impl From<Option<StatusCode>> for StatusClass {
    fn from(status: Option<StatusCode>) -> Self {
        match status.map_or(0, |status| status.as_u16()) {
            0 => Self::None,
            1..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PollLabels {
    outcome: PollOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    kind: EventKind,
    outcome: EventOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    peer: Peer,
    status: StatusClass,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommitLabels {
    outcome: CommitOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    outcome: TokenOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstanceLabels {
    state: InstanceState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// The series of a metric with one closed label, found without a look-up.
struct ByOne<L, M> {
    cells: Box<[M]>,
    label: PhantomData<L>,
}

impl<L: Label, M: Clone + Default> ByOne<L, M> {
    fn new<S: Clone + Eq + Hash>(family: &Family<S, M>, labels: impl Fn(L) -> S) -> Self {
        let cells = L::ALL.iter().map(|l| family.get_or_create_owned(&labels(*l))).collect();
        Self { cells, label: PhantomData }
    }

    fn get(&self, label: L) -> &M {
        &self.cells[label.index()]
    }
}

/// The series of a metric with two closed labels.
struct ByTwo<A, B> {
    cells: Box<[Counter]>,
    labels: PhantomData<(A, B)>,
}

impl<A: Label, B: Label> ByTwo<A, B> {
    fn new<S: Clone + Eq + Hash>(family: &Family<S, Counter>, labels: impl Fn(A, B) -> S) -> Self {
        let pairs = A::ALL.iter().flat_map(|a| B::ALL.iter().map(|b| (*a, *b)));
        Self { cells: pairs.map(|(a, b)| family.get_or_create_owned(&labels(a, b))).collect(), labels: PhantomData }
    }

    fn get(&self, a: A, b: B) -> &Counter {
        &self.cells[a.index() * B::ALL.len() + b.index()]
    }
}

/// All metrics of the process, and its sign of life. A clone counts into the same ones.
#[derive(Clone)]
pub struct Metrics {
    all: Arc<All>,
    pulse: Pulse,
}

struct All {
    registry: Registry,
    polls: ByOne<PollOutcome, Counter>,
    poll_duration: Histogram,
    poll_delay: Histogram,
    records_read: Counter,
    events: ByTwo<EventKind, EventOutcome>,
    event_lag: Histogram,
    delivery_duration: Histogram,
    parked: Gauge,
    set_aside: Gauge,
    requests: ByTwo<Peer, StatusClass>,
    commits: ByOne<CommitOutcome, Counter>,
    token_requests: ByOne<TokenOutcome, Counter>,
    instances: ByOne<InstanceState, Gauge>,
    panics: Counter,
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
            polls: ByOne::new(&counters(r, "polls", "Polls of a resource by how they ended"), |outcome| PollLabels { outcome }),
            poll_duration: seconds(r, "poll_duration", "Time from the start of a poll to its commit", WORK_SECONDS),
            poll_delay: seconds(r, "poll_delay", "Time from when a poll was due until its first request is sent", WAIT_SECONDS),
            records_read: counter(r, "records_read", "Records read from providers"),
            events: ByTwo::new(&counters(r, "events", "Attempts to deliver an event by what became of it"), |kind, outcome| {
                EventLabels { kind, outcome }
            }),
            event_lag: seconds(
                r,
                "event_lag",
                "Time from the version date of a record to the acceptance of its event",
                WAIT_SECONDS,
            ),
            delivery_duration: seconds(r, "delivery_duration", "Time of one request to a callback", WORK_SECONDS),
            parked: gauge(r, "parked_events", "Events that wait until somebody asks for another try"),
            set_aside: gauge(r, "set_aside_events", "Events stored with their body that are tried again by the schedule"),
            requests: ByTwo::new(
                &counters(r, "requests", "Requests sent by peer and class of the answer's status"),
                |peer, status| RequestLabels { peer, status },
            ),
            commits: ByOne::new(&counters(r, "commits", "Commits of a resource's state by what they came to"), |outcome| {
                CommitLabels { outcome }
            }),
            token_requests: ByOne::new(
                &counters(r, "token_requests", "Requests for an access token by what they came to"),
                |outcome| TokenLabels { outcome },
            ),
            instances: ByOne::new(&instances(r), |state| InstanceLabels { state }),
            panics: counter(r, "panics", "Defects that ended one task and no other"),
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

    /// The first request of a poll was sent so long after the poll was due.
    pub fn poll_delay(&self, by: Duration) {
        self.all.poll_delay.observe(by.as_secs_f64());
    }

    /// So many events met the same fate.
    pub fn events(&self, kind: EventKind, outcome: EventOutcome, count: u64) {
        self.all.events.get(kind, outcome).inc_by(count);
    }

    /// An event was accepted so long after its record had changed.
    pub fn event_lag(&self, lag: Duration) {
        self.all.event_lag.observe(lag.as_secs_f64());
    }

    /// One request to a callback took so long.
    pub fn delivery(&self, took: Duration) {
        self.all.delivery_duration.observe(took.as_secs_f64());
    }

    /// The number of parked events changed.
    pub fn parked(&self, by: i64) {
        self.all.parked.inc_by(by);
    }

    /// The number of events set aside changed.
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

    /// A task ended by a panic.
    pub fn panic(&self) {
        self.all.panics.inc();
    }

    /// The text exposition of `OpenMetrics` 1.0.
    pub fn encode(&self) -> String {
        let mut exposition = String::with_capacity(16 * 1024);
        // Writing into a String never fails.
        let _ = text::encode(&mut exposition, &self.all.registry);
        exposition
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
        let mut text = "# Metrics\n\n`/metrics` serves OpenMetrics 1.0. Every label has a fixed set of values, and every series exists from the \
                        start. No label\nnames an instance, so the number of series does not grow with what is polled. For one instance, \
                        read its status.\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n"
            .to_owned();
        for (name, metric) in describe(&Metrics::new().encode()) {
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
        let all = describe(&Metrics::new().encode());
        for (name, labels) in [
            ("pollinator_polls", PollOutcome::ALL.len()),
            ("pollinator_events", EventKind::ALL.len() * EventOutcome::ALL.len()),
            ("pollinator_requests", Peer::ALL.len() * StatusClass::ALL.len()),
            ("pollinator_commits", CommitOutcome::ALL.len()),
            ("pollinator_instances", InstanceState::ALL.len()),
        ] {
            assert_eq!(all[name].series, labels, "{name}");
        }
    }

    #[test]
    fn names_and_units_follow_openmetrics() {
        let exposition = Metrics::new().encode();
        assert!(exposition.ends_with("# EOF\n"));
        for (name, metric) in describe(&exposition) {
            assert!(name.starts_with("pollinator_") && !name.ends_with("_total"), "{name}");
            assert_eq!(metric.kind == "histogram", metric.unit == "seconds", "{name}");
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
        counted.events(EventKind::Deleted, EventOutcome::SetAside, 3);
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
        let exposition = metrics.encode();
        for line in [
            "pollinator_polls_total{outcome=\"unchanged\"} 1",
            "pollinator_polls_total{outcome=\"changed\"} 0",
            "pollinator_poll_duration_seconds_bucket{le=\"0.025\"} 1",
            "pollinator_poll_delay_seconds_count 1",
            "pollinator_records_read_total 7",
            "pollinator_events_total{kind=\"deleted\",outcome=\"set_aside\"} 3",
            "pollinator_events_total{kind=\"deleted\",outcome=\"parked\"} 0",
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
        ] {
            assert!(exposition.lines().any(|found| found == line), "{line} is missing in\n{exposition}");
        }
    }

    #[test]
    fn indexes_follow_the_lists() {
        fn check<L: Label>() {
            for (position, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), position, "{}", label.value());
            }
        }
        check::<PollOutcome>();
        check::<EventKind>();
        check::<EventOutcome>();
        check::<StatusClass>();
        check::<CommitOutcome>();
        check::<InstanceState>();
        check::<Peer>();
    }

    #[test]
    fn a_status_has_one_class() {
        for (status, class) in [(100, "1xx"), (204, "2xx"), (304, "3xx"), (429, "4xx"), (503, "5xx"), (999, "5xx")] {
            let status = StatusCode::from_u16(status).expect("status");
            assert_eq!(StatusClass::from(Some(status)).value(), class);
        }
        assert_eq!(StatusClass::from(None).value(), "none");
    }
}
