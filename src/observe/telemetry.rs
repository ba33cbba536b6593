//! Log lines on standard error.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt;

use super::output;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged unless more is asked for.
pub const DEFAULT_FILTER: &str = "warn,pollinator=info";

/// Libraries that write requests (and with them keys in a query or header) into their debug lines, that log bodies which they cannot
/// read (and with them Secrets), or that report every failed certificate or list, which Pollinator reports itself. What they may say at
/// most does not depend on the filter.
const CAPPED: [(&str, LevelFilter); 9] = [
    ("h2", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("kube_client::client", LevelFilter::OFF),
    ("kube_runtime::watcher", LevelFilter::OFF),
    ("object_store", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("rustls_platform_verifier", LevelFilter::OFF),
];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not in the form of `tracing-subscriber`.
    #[error("log filter: {0}; write levels such as `info` or `warn,pollinator=debug`")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A word that is neither a level nor a target with one: most often a misspelt level, which would silence everything.
    #[error("log filter: `{0}` is not a level; write levels such as `info` or `warn,pollinator=debug`")]
    Word(String),
    /// Logging was set up before.
    #[error("logging is set up already")]
    Again(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends log lines to standard error from now on. An empty filter is [`DEFAULT_FILTER`].
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = parse(filter)?;
    Ok(subscriber(format, filter, output::is_terminal(), || output::Log).try_init()?)
}

/// Whether [`init`] takes it.
pub fn is_filter(filter: &str) -> bool {
    parse(filter).is_ok()
}

fn parse(filter: &str) -> Result<Targets, TelemetryError> {
    let wanted = if filter.trim().is_empty() { DEFAULT_FILTER } else { filter };
    let is_plain = |text: &str| !text.contains(['=', ':']);
    // A filter on spans would be taken for the name of a target that logs nothing.
    let is_unknown = |text: &&str| text.contains('[') || (is_plain(text) && text.parse::<LevelFilter>().is_err());
    let words: Vec<_> = wanted.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if let Some(word) = words.iter().copied().find(is_unknown) {
        return Err(TelemetryError::Word(word.to_owned()));
    }
    let asked: Targets = words.join(",").parse()?;
    let capped = CAPPED.map(|(target, most)| (target.to_owned(), level_of(&asked, target).min(most)));
    let lowered = asked.iter().map(|(target, level)| {
        let most = CAPPED.iter().find(|(library, _)| is_of(target, library)).map_or(LevelFilter::TRACE, |(_, most)| *most);
        (target.to_owned(), level.min(most))
    });
    let default = asked.default_level().unwrap_or(LevelFilter::OFF);
    Ok(Targets::new().with_default(default).with_targets(capped).with_targets(lowered))
}

/// Whether a target is a library's, or one of its modules'.
fn is_of(target: &str, library: &str) -> bool {
    target.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What is shown of a target.
fn level_of(filter: &Targets, target: &str) -> LevelFilter {
    let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
    levels.into_iter().find(|level| filter.would_enable(target, level)).map_or(LevelFilter::OFF, LevelFilter::from_level)
}

fn subscriber<W>(format: LogFormat, filter: Targets, colours: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let filtered = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => Box::new(filtered.with(lines.with_ansi(colours).with_target(false))),
        LogFormat::Json => {
            Box::new(filtered.with(lines.json().flatten_event(true).with_current_span(true).with_span_list(false)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, parse(filter).expect("filter"), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "pollinator::poll", resource = "contacts", "polled");
            tracing::debug!(target: "pollinator::poll", "details");
            tracing::info!(target: "somewhere_else", "chatter");
            tracing::debug!(target: "h2::codec", "frame with a key");
            tracing::trace!(target: "hyper_util::client", "url with a key");
            tracing::warn!(target: "kube_client::client", "a body with a key");
            tracing::error!(target: "kube_client::client::builder", "failed with a key");
            tracing::warn!(target: "kube_runtime::watcher", "watch list error with 403: Api(Status)");
            tracing::error!(target: "rustls_platform_verifier", "failed to verify");
        });
        let bytes = lines.0.lock().expect("lock").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn the_default_says_what_pollinator_does_and_no_more() {
        for filter in ["", "  "] {
            let text = logged(LogFormat::Text, filter);
            assert!(text.contains("polled") && text.contains("contacts"), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn a_json_line_is_one_object() {
        let text = logged(LogFormat::Json, "info");
        let line: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        assert_eq!(
            (&line["message"], &line["resource"], &line["level"]),
            (&"polled".into(), &"contacts".into(), &"INFO".into())
        );
    }

    #[test]
    fn no_filter_makes_libraries_write_requests() {
        for filter in [
            "trace",
            "kube_client=trace,h2=trace,hyper_util=trace,rustls_platform_verifier=trace,pollinator=debug",
            "debug,h2::codec=trace,hyper_util::client=trace,kube_client::client::builder=trace",
        ] {
            let text = logged(LogFormat::Text, filter);
            assert!(text.contains("details"), "{text}");
            assert!(!text.contains("a key") && !text.contains("failed to verify"), "{text}");
        }
    }

    #[test]
    fn a_bad_filter_is_refused_with_an_example() {
        let message = parse("pollinator=loud").expect_err("no level").to_string();
        assert!(message.contains("pollinator=debug"), "{message}");
        for filter in ["inof", "warn, polinator", "pollinator", "[poll]=debug", "warn,pollinator[poll{resource=c}]=debug"] {
            let message = parse(filter).expect_err("neither a level nor a target with one").to_string();
            assert!(message.contains("is not a level") && message.contains("pollinator=debug"), "{message}");
        }
        for filter in ["INFO", "off", "pollinator::poll", "warn, pollinator=debug,", "3"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn a_library_says_no_more_than_was_asked_for() {
        let level = |filter, target| level_of(&parse(filter).expect("a filter"), target);
        assert_eq!(level("warn,pollinator=debug", "h2::codec"), LevelFilter::WARN);
        assert_eq!(level("warn,pollinator=debug", "pollinator::poll"), LevelFilter::DEBUG);
        assert_eq!(level("trace,h2=error", "h2::codec"), LevelFilter::ERROR);
        assert_eq!(level("trace", "h2::codec"), LevelFilter::INFO);
        assert_eq!(level("pollinator=info", "h2"), LevelFilter::OFF);
    }
}
