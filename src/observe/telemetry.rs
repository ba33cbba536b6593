//! Log lines on standard error.

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
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
const CAPPED: [&str; 9] = [
    "h2=info",
    "hyper=info",
    "hyper_util=info",
    "kube_client::client=off",
    "kube_runtime::watcher=off",
    "object_store=info",
    "reqwest=info",
    "rustls=info",
    "rustls_platform_verifier=off",
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

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let wanted = if filter.trim().is_empty() { DEFAULT_FILTER } else { filter };
    let is_unknown = |text: &&str| !text.is_empty() && !text.contains(['=', '[', ':']) && text.parse::<LevelFilter>().is_err();
    if let Some(word) = wanted.split(',').map(str::trim).find(is_unknown) {
        return Err(TelemetryError::Word(word.to_owned()));
    }
    let mut filter = EnvFilter::builder().parse(wanted)?;
    for cap in CAPPED {
        filter = filter.add_directive(cap.parse()?);
    }
    Ok(filter)
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colours: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => Box::new(lines.with_ansi(colours).with_target(false).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish()),
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
        for filter in ["trace", "kube_client=trace,h2=trace,hyper_util=trace,rustls_platform_verifier=trace,pollinator=debug"] {
            let text = logged(LogFormat::Text, filter);
            assert!(text.contains("details"), "{text}");
            assert!(!text.contains("a key") && !text.contains("failed to verify"), "{text}");
        }
    }

    #[test]
    fn a_bad_filter_is_refused_with_an_example() {
        let message = parse("pollinator=loud").expect_err("no level").to_string();
        assert!(message.contains("pollinator=debug"), "{message}");
        for filter in ["inof", "warn, polinator", "pollinator"] {
            let message = parse(filter).expect_err("neither a level nor a target with one").to_string();
            assert!(message.contains("is not a level") && message.contains("pollinator=debug"), "{message}");
        }
        for filter in ["INFO", "off", "pollinator::poll", "[poll]=debug", "3"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
    }
}
