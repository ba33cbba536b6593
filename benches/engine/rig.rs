//! What is measured: records, manifests, and the engine that runs them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use pollinator::api::conditions::{ConditionStatus, Problem};
use pollinator::api::identity::InstanceRef;
use pollinator::api::instance::ConnectorInstance;
use pollinator::auth::oauth2::store::MemoryTokens;
use pollinator::auth::{Secret, SecretMap};
use pollinator::egress::{Egress, EgressPolicy};
use pollinator::observe::metrics::Metrics;
use pollinator::plan::{PollPlan, resolve};
use pollinator::poll::claim::Claim;
use pollinator::poll::command::Command;
use pollinator::poll::context::EngineContext;
use pollinator::poll::engine::{Engine, Run};
use pollinator::poll::status::InstanceStatus;
use pollinator::state::{InstanceState, StateStore};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Namespace of all instances.
pub const NAMESPACE: &str = "crm";
/// Name of the one resource of every instance.
pub const RESOURCE: &str = "appointments";

/// A page of so many records of 600 bytes.
pub fn page(records: usize) -> String {
    let mut page = String::with_capacity(records * 601 + 64);
    page.push_str(r#"{"appointments":["#);
    for number in 0..records {
        if number > 0 {
            page.push(',');
        }
        record(&mut page, number);
    }
    page.push_str(r#"],"count":1000,"next":null}"#);
    page
}

/// One record of 600 bytes.
pub fn record(page: &mut String, number: usize) {
    const LENGTH: usize = 600;
    let start = page.len();
    let (minute, second) = (number / 60 % 60, number % 60);
    let _ = write!(
        page,
        r#"{{"id":"apt-{number:07}","title":"Consultation with customer {number}","location":"4 Privet Drive, Little Whinging","creation_date":"2026-11-20T08:{minute:02}:{second:02}.123Z","modification_date":"2026-11-24T10:{minute:02}:{second:02}.456Z","start_date":"2026-12-01T09:00:00.000Z","end_date":"2026-12-01T09:30:00.000Z","user":17,"contacts":[{{"id":{number},"email":"customer.{number}@example.com"}}],"remind_time":30,"all_day":false,"description":""#
    );
    while page.len() < start + LENGTH - 2 {
        // the same wherever it stands in a page
        page.push(char::from(b'a' + u8::try_from((page.len() - start) % 26).unwrap_or(0)));
    }
    page.push_str("\"}");
}

/// What one manifest says.
pub struct Manifest<'a> {
    /// Base URL of the provider.
    pub provider: &'a str,
    /// Path of the list.
    pub path: &'a str,
    /// URL of the receiver.
    pub callback: &'a str,
    /// Format of the events.
    pub format: &'a str,
    /// Whether CloudEvents travel in batches.
    pub batched: bool,
    /// `startFrom`.
    pub start_from: &'a str,
    /// Whether records have dates; otherwise they are compared by content.
    pub dated: bool,
}

impl Manifest<'_> {
    /// The manifest of one instance as JSON, as the API server sends it.
    pub fn json(&self, name: &str) -> String {
        let pattern = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'";
        let mut resource = json!({
            "name": RESOURCE, "url": self.path, "query": {"since": "${since}"}, "recordsPath": "appointments", "idField": "id",
        });
        if self.dated {
            resource["datesConfiguration"] = json!({
                "updatedDateField": "modification_date", "updatedDateFormat": pattern, "updatedDateTimezone": "GMT",
                "createdDateField": "creation_date", "createdDateFormat": pattern, "createdDateTimezone": "GMT",
            });
        }
        let mut manifest = json!({
            "apiVersion": "pollinator.dev/v1alpha1",
            "kind": "ConnectorInstance",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "baseUrl": self.provider,
                "auth": {"apiKey": {"in": "Header", "name": "X-Api-Key", "secretRef": {"name": "account", "key": "key"}}},
                "polling": {"interval": "15m", "startFrom": self.start_from},
                "resources": [resource],
                "callback": {
                    "url": self.callback, "allowInsecureHttp": true, "format": self.format,
                    "signature": {"secretRef": {"name": "account", "key": "signing-key"}},
                },
            },
        });
        if self.batched {
            manifest["spec"]["callback"]["batch"] = json!({});
        }
        manifest.to_string()
    }

    /// The plan of one instance.
    pub fn plan(&self, name: &str) -> PollPlan {
        let instance: ConnectorInstance = serde_json::from_str(&self.json(name)).expect("the manifest is one");
        resolve(&instance, None).expect("it can be planned")
    }
}

/// A store that keeps nothing, or hands on to one that does; counts.
#[derive(Default)]
pub struct Counting {
    kept: Option<Arc<dyn StateStore>>,
    saves: AtomicU64,
}

impl Counting {
    /// Hands on to `kept`.
    pub fn over(kept: Arc<dyn StateStore>) -> Self {
        Self { kept: Some(kept), saves: AtomicU64::new(0) }
    }

    /// Saves so far.
    pub fn saves(&self) -> u64 {
        self.saves.load(Ordering::Relaxed)
    }
}

impl StateStore for Counting {
    fn load(&self, instance: &InstanceRef) -> Result<Option<InstanceState>, Problem> {
        self.kept.as_ref().map_or(Ok(None), |kept| kept.load(instance))
    }

    fn save<'a>(&'a self, instance: &'a InstanceRef, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
        self.saves.fetch_add(1, Ordering::Relaxed);
        match &self.kept {
            Some(kept) => kept.save(instance, state),
            None => Box::pin(async { Ok(()) }),
        }
    }
}

/// The engine at work, as `local` and the operator run it.
pub struct Running {
    runtime: Runtime,
    metrics: Metrics,
    commands: mpsc::Sender<Vec<Command>>,
    statuses: mpsc::UnboundedReceiver<InstanceStatus>,
    shutdown: CancellationToken,
}

impl Running {
    /// Starts an engine without instances.
    pub fn start(store: Arc<dyn StateStore>) -> Self {
        let runtime = Builder::new_multi_thread().enable_all().build().expect("the run time starts");
        let egress = Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).expect("a client is made");
        let mut secrets = SecretMap::default();
        let keys = [("key", "0123456789abcdef"), ("signing-key", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")];
        secrets.insert(NAMESPACE, "account", Secret::from_iter(keys));
        let metrics = Metrics::new();
        let core = EngineContext::new(egress, metrics.clone(), Arc::new(secrets), store, Arc::new(MemoryTokens::default()));
        let (reports, statuses) = mpsc::unbounded_channel();
        let (commands, received) = mpsc::channel(16);
        let shutdown = CancellationToken::new();
        runtime.spawn(Engine::new(core, Run::Forever, reports).run(received, shutdown.clone(), Duration::from_secs(5)));
        Self { runtime, metrics, commands, statuses, shutdown }
    }

    /// Declares instances.
    pub fn put(&self, plans: impl IntoIterator<Item = PollPlan>) {
        let put = |plan| Command::Put {
            plan: Arc::new(plan),
            annotations: std::collections::BTreeMap::new(),
            claim: Claim::for_ever(),
        };
        self.commands.blocking_send(plans.into_iter().map(put).collect()).expect("the engine runs");
    }

    /// Waits for so many statuses of which `wanted` holds.
    pub fn wait(&mut self, count: usize, wanted: impl Fn(&InstanceStatus) -> bool) {
        let mut met = 0;
        while met < count {
            let status = self.statuses.blocking_recv().expect("the engine runs");
            assert_ne!(status.ready, ConditionStatus::False, "{}: {}", status.reason, status.message);
            met += usize::from(wanted(&status));
        }
    }

    /// Polls that found nothing, so far.
    pub fn idle_polls(&self) -> u64 {
        let text = self.metrics.encode(pollinator::observe::metrics::Format::OpenMetrics);
        let line = text.lines().find_map(|line| line.strip_prefix("pollinator_polls_total{outcome=\"unchanged\"} "));
        line.and_then(|count| count.parse().ok()).expect("the metric exists")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.runtime.block_on(self.commands.closed());
    }
}
