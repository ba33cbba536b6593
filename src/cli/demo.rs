//! `pollinator demo`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::preview::Trials;
use super::serve::{self, ConsoleArgs};
use super::stop_on_signals;
use crate::api::visible::one_line;
use crate::demo::session::{Arrival, Outcome, Session};
use crate::egress::{Egress, EgressPolicy};
use crate::local::report::Output;
use crate::observe::output;
use crate::receive::read::Received;
use crate::serve::console::Content;
use crate::serve::console::seal::Seal;
use crate::serve::console::sign_in::SignIn;

/// Time between two polls. Manifests allow 5 s and more; a demo should be faster.
const INTERVAL: Duration = Duration::from_millis(500);
/// The changes are spread over this time,
const SPREAD: Duration = Duration::from_secs(9);
/// but few of them do not dawdle.
const SLOWEST: Duration = Duration::from_millis(200);
/// How long requests to the console may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a sample provider, the engine and a receiver in one process, over loopback sockets, and compares what was delivered
/// with what happened. Ends with 0 only when nothing is missing, repeated, misnamed or out of order.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Changes that the provider makes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// How events and the summary are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Seed of the changes: the same one makes the same changes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// Runs the demo. 1 when something is wrong with what was delivered, 2 when it cannot start, 130 when interrupted.
pub async fn run(args: DemoArgs) -> ExitCode {
    match demonstrate(&args).await {
        Ok(code) => code,
        Err(message) => {
            output::error(format_args!("pollinator: {message}"));
            ExitCode::from(2)
        }
    }
}

async fn demonstrate(args: &DemoArgs) -> Result<ExitCode, String> {
    let interrupt = CancellationToken::new();
    stop_on_signals(interrupt.clone())?;
    let mut session = Session::start(args.seed, INTERVAL).await?;
    let console = show(&session, &args.console, &interrupt).await?;
    let (provider, callback) = (session.provider_url(), session.callback_url());
    let pace = INTERVAL.as_millis();
    output::error(format_args!("sample provider at {provider}, polled every {pace} ms (manifests allow 5s and more)"));
    output::error(format_args!("signed CloudEvents go to the receiver at {callback}"));
    // Draws nothing unless standard error is a terminal.
    let bar = ProgressBar::new(args.events.into()).with_style(style());
    let pace = (SPREAD / args.events).min(SLOWEST);
    let outcome = session
        .run(args.events, pace, &interrupt, |arrival| {
            bar.suspend(|| output::line(event_line(arrival, args.output)));
            bar.inc(1);
        })
        .await;
    bar.finish_and_clear();
    if let Some(outcome) = &outcome {
        output::line(match args.output {
            Output::Text => summary_text(outcome),
            Output::Json => summary_json(outcome),
        });
    }
    if let Some(console) = console {
        if !interrupt.is_cancelled() {
            output::error("the console stays open until you press Ctrl+C");
            session.stay(&interrupt).await;
        }
        serve::finish([Some(console)], GRACE).await;
    }
    session.end().await;
    let Some(outcome) = outcome else {
        output::error("interrupted: what was delivered is not checked");
        return Ok(ExitCode::from(130));
    };
    Ok(output::finish(if outcome.report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

/// Serves the console, if requested, until it is interrupted.
async fn show(session: &Session, args: &ConsoleArgs, interrupt: &CancellationToken) -> Result<Option<JoinHandle<()>>, String> {
    let Some(address) = args.console else { return Ok(None) };
    let policy = EgressPolicy { allow_loopback: true, ..EgressPolicy::default() };
    let egress = Egress::new(policy).map_err(|error| format!("the HTTP client cannot be created: {error}"))?;
    let content = Content {
        sign_in: SignIn::Url { sessions: Mutex::default(), instances: session.instances(), new_in: None },
        seal: Seal::random(),
        next_step: "Start the demo again.".to_owned(),
        replica: None,
        journal: session.journal(),
        current: session.current(),
        preview: Arc::new(Trials::new(egress)),
        sample: None,
    };
    serve::console("--console", content, args.console_url.clone(), address, interrupt.clone())
        .await
        .map(|(serving, _)| Some(serving))
}

fn style() -> ProgressStyle {
    // Versions that take each other's place before a poll leave the bar short of its end.
    ProgressStyle::with_template("{elapsed} {wide_bar} {pos} events of {len} changes")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn event_line(arrival: &Arrival, output: Output) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line<'a> {
        latency_ms: u128,
        event: &'a Received,
    }
    let Arrival { event, latency } = arrival;
    match output {
        Output::Text => {
            let latency = format!("{} ms", latency.as_millis());
            format!(
                "{:<7} {} {:<5} {latency:>8} after the change",
                event.kind.as_str(),
                event.resource,
                one_line(&event.object_id)
            )
        }
        // Numbers, strings and a record that was read as JSON can always be written.
        Output::Json => serde_json::to_string(&Line { latency_ms: latency.as_millis(), event }).unwrap_or_default(),
    }
}

/// The one that as many are below as above, and the longest.
fn median_and_longest(latencies: &[Duration]) -> (u128, u128) {
    let at = |index: usize| latencies.get(index).map_or(0, Duration::as_millis);
    (at(latencies.len() / 2), at(latencies.len().saturating_sub(1)))
}

fn summary_text(outcome: &Outcome) -> String {
    let report = &outcome.report;
    let (median, longest) = median_and_longest(&outcome.latencies);
    let rows = [
        (report.changes, "changes at the provider"),
        (report.delivered, "events delivered"),
        (report.coalesced, "coalesced: replaced by a later version before the next poll"),
        (report.missing.len(), "missing"),
        (report.duplicates.len(), "duplicates"),
        (report.reordered.len(), "out of order"),
        (report.wrong_kind.len(), "of the wrong kind"),
        (report.conflicting_ids.len(), "ids used twice"),
        (report.unexpected.len(), "that never happened"),
    ];
    let rows = rows.map(|(count, what)| format!("{count:>6} {what}\n")).concat();
    let verdict = if report.is_clean() {
        "Everything arrived once, in order and signed."
    } else {
        "This is a bug: please report it with the log."
    };
    format!("\n{rows}From change to arrival: {median} ms in the median, {longest} ms at most.\n{verdict}")
}

fn summary_json(outcome: &Outcome) -> String {
    let report = &outcome.report;
    let (median, longest) = median_and_longest(&outcome.latencies);
    serde_json::json!({
        "summary": {
            "changes": report.changes,
            "delivered": report.delivered,
            "coalesced": report.coalesced,
            "missing": report.missing.len(),
            "duplicates": report.duplicates.len(),
            "reordered": report.reordered.len(),
            "wrongKind": report.wrong_kind.len(),
            "conflictingIds": report.conflicting_ids.len(),
            "unexpected": report.unexpected.len(),
            "medianLatencyMs": u64::try_from(median).unwrap_or(u64::MAX),
            "longestLatencyMs": u64::try_from(longest).unwrap_or(u64::MAX),
            "clean": report.is_clean(),
        }
    })
    .to_string()
}
