//! Logs why the API server cannot be used: a line when a cause begins, one a minute while it lasts, and one when it is over, whatever
//! number of watches and calls meet it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::unusable::Unusable;

/// A cause that lasts is repeated this often.
const REMIND: Duration = Duration::from_mins(1);

/// What meets a cause, and notices when it is over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Any request about Leases.
    Leases,
    /// The list of the Leases, for what is its own.
    LeaseList,
    /// Calls about one Lease, for what is their own.
    LeaseCalls,
    /// The list and watch of a kind, in a namespace or in all.
    Watch(&'static str, Option<Arc<str>>),
}

/// Why something fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nothing that is asked for succeeds.
    Unusable(Unusable),
    /// The definition of a kind is missing.
    Undefined(&'static str),
    /// What was asked for is refused; in one stable sentence.
    Refused(String),
}

impl Cause {
    fn text(&self, server: &str) -> String {
        match self {
            Self::Unusable(unusable) => format!("the API server {server} {unusable}"),
            Self::Undefined(kind) => format!(
                "the API server does not know {kind}: the CRDs are not installed; apply the output of `pollinator crds`; waiting for them"
            ),
            Self::Refused(text) => text.clone(),
        }
    }
}

/// The causes of this process.
#[derive(Debug)]
pub struct OutageLog {
    server: String,
    causes: Mutex<Causes>,
}

impl OutageLog {
    /// Nothing fails yet. `server`: its address.
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), causes: Mutex::default() }
    }

    /// Notes what a source met, or that it met nothing.
    pub fn note(&self, source: &Source, cause: Option<Cause>) {
        let line = self.causes.lock().note(source, cause, Instant::now());
        match line {
            None => {}
            Some(Line::Fails(cause @ Cause::Undefined(_))) => tracing::error!("{}", cause.text(&self.server)),
            Some(Line::Fails(cause)) => tracing::warn!("{}", cause.text(&self.server)),
            Some(Line::Works) => tracing::info!("the API server answers all requests again"),
        }
    }
}

/// What is to be logged.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Fails(Cause),
    Works,
}

#[derive(Debug, Default)]
struct Causes {
    /// What each source met last.
    met: BTreeMap<Source, Cause>,
    /// When each cause was last logged. What comes and goes is logged no more often than what lasts.
    said: BTreeMap<Cause, Instant>,
    /// A cause was logged, and its end was not.
    open: bool,
}

impl Causes {
    fn note(&mut self, source: &Source, cause: Option<Cause>, now: Instant) -> Option<Line> {
        let Some(cause) = cause else {
            self.met.remove(source)?;
            return (self.met.is_empty() && std::mem::take(&mut self.open)).then_some(Line::Works);
        };
        self.met.insert(source.clone(), cause.clone());
        self.said.retain(|_, at| now.saturating_duration_since(*at) < REMIND);
        if self.said.contains_key(&cause) {
            return None;
        }
        self.said.insert(cause.clone(), now);
        self.open = true;
        Some(Line::Fails(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(namespace: &str) -> Source {
        Source::Watch("connectors", Some(namespace.into()))
    }

    #[test]
    fn a_cause_is_said_when_it_begins_each_minute_and_when_it_is_over() {
        let mut causes = Causes::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let cause = || Cause::Unusable(Unusable::Unauthorized);
        assert_eq!(causes.note(&Source::Leases, None, at(0)), None, "all is well");
        assert_eq!(causes.note(&Source::Leases, Some(cause()), at(0)), Some(Line::Fails(cause())));
        for second in 1..60 {
            assert_eq!(causes.note(&watch("a"), Some(cause()), at(second)), None, "another one meets it");
        }
        assert_eq!(causes.note(&watch("a"), Some(cause()), at(60)), Some(Line::Fails(cause())), "a reminder");
        assert_eq!(causes.note(&Source::Leases, None, at(61)), None, "a watch still fails");
        assert_eq!(causes.note(&watch("a"), None, at(62)), Some(Line::Works));
        assert_eq!(causes.note(&watch("a"), None, at(63)), None);
    }

    #[test]
    fn what_comes_and_goes_fills_no_log() {
        let mut causes = Causes::default();
        let start = Instant::now();
        let mut lines = 0;
        for half in 0..240 {
            let cause = (half % 2 == 0).then_some(Cause::Unusable(Unusable::Troubled(503)));
            lines += usize::from(causes.note(&Source::Leases, cause, start + Duration::from_millis(500 * half)).is_some());
        }
        assert_eq!(lines, 4, "in two minutes");
    }

    #[test]
    fn each_cause_has_its_own_line() {
        let mut causes = Causes::default();
        let (now, other) = (Instant::now(), Cause::Refused("no".to_owned()));
        assert!(causes.note(&watch("a"), Some(Cause::Undefined("Connector")), now).is_some());
        assert_eq!(causes.note(&watch("b"), Some(other.clone()), now), Some(Line::Fails(other)));
        let text = Cause::Unusable(Unusable::Unauthorized).text("https://a/");
        assert!(text.starts_with("the API server https://a/ refuses the credentials: "), "{text}");
    }
}
