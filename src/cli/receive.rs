//! `pollinator receive`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::{parse_duration, stop_on_signals};
use crate::local::report::Output;
use crate::observe::output;
use crate::receive::line;
use crate::receive::read::Received;
use crate::receive::server::{Receiver, ReceiverOptions};
use crate::receive::verify::Key;

/// Receives, verifies and prints events: the other end, for trying things out. Listens on 127.0.0.1 alone.
#[derive(Debug, Args)]
pub struct ReceiveArgs {
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 0, env = "POLLINATOR_PORT")]
    port: u16,
    /// File with the signing secret, whsec_ followed by Base64 or raw; one newline at its end is dropped. Repeat it to accept
    /// several secrets, as while one rotates. Without it signatures are not checked.
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// Which signature a request must have: any that fits, or the one of Standard Webhooks, which covers the time, so that copies of
    /// old requests are refused. Only with --secret-file.
    #[arg(long, value_enum, default_value_t = Require::Any, requires_if("standard", "secret_file"))]
    require: Require,
    /// Answer good requests with this status; one outside 200 to 299 accepts nothing.
    #[arg(long, default_value = "204", value_parser = parse_status)]
    status: StatusCode,
    /// Wait before each answer, for example 500ms or 20s.
    #[arg(long, default_value = "0s", value_parser = parse_delay)]
    delay: Duration,
    /// Answer this fraction of requests, 0 to 1, with 503.
    #[arg(long, default_value_t = 0.0, value_parser = parse_rate)]
    fail_rate: f64,
    /// Seed of --fail-rate: the same one fails the same requests in a row.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How events are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What a signature has to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Require {
    /// Any signature that fits.
    Any,
    /// The signature of Standard Webhooks.
    Standard,
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse().ok().filter(|status| (200..=599).contains(status));
    status.and_then(|status| StatusCode::from_u16(status).ok()).ok_or_else(|| "must be a status from 200 to 599".to_owned())
}

fn parse_delay(text: &str) -> Result<Duration, String> {
    match text.strip_suffix("ms").map(str::parse) {
        Some(Ok(milliseconds)) => Ok(Duration::from_millis(milliseconds)),
        _ => parse_duration(text).map_err(|_| "must be a duration such as 500ms, 20s or 1m".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

/// Receives until SIGTERM or SIGINT. 2 when it cannot start, 1 when events cannot be printed.
pub async fn run(args: ReceiveArgs) -> ExitCode {
    match receive(args).await {
        Ok(()) => output::finish(ExitCode::SUCCESS),
        Err(message) => {
            output::error(format_args!("pollinator: {message}"));
            ExitCode::from(2)
        }
    }
}

async fn receive(args: ReceiveArgs) -> Result<(), String> {
    let keys = args.secret_file.iter().map(read_key).collect::<Result<_, _>>()?;
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())?;
    let options = ReceiverOptions {
        port: args.port,
        keys,
        requires_standard: args.require == Require::Standard,
        status: args.status,
        delay: args.delay,
        fail_rate: args.fail_rate,
        seed: args.seed,
    };
    let mut receiver = Receiver::start(options).await.map_err(|error| format!("--port {}: {error}", args.port))?;
    output::error(format_args!("listening on http://{}", receiver.addr));
    // A closed pipe does not stop receiving, since the events are still wanted; a full disk loses them.
    while output::failure().is_none() {
        tokio::select! {
            () = shutdown.cancelled() => break,
            event = receiver.events.recv() => match event {
                Some(event) => print(&event, args.output),
                None => break,
            },
        }
    }
    for event in receiver.shutdown().await {
        print(&event, args.output);
    }
    Ok(())
}

fn read_key(path: &PathBuf) -> Result<Key, String> {
    let value = std::fs::read(path).map_err(|error| format!("--secret-file {}: {error}", path.display()))?;
    Key::parse(&value).map_err(|error| format!("--secret-file {} {error}", path.display()))
}

fn print(event: &Received, output: Output) {
    let line = match output {
        Output::Text => line::text(event),
        Output::Json => line::json(event),
    };
    output::line(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_checked() {
        assert_eq!(parse_status("503"), Ok(StatusCode::SERVICE_UNAVAILABLE));
        for text in ["100", "199", "600", "0", "-1", "ok", ""] {
            assert!(parse_status(text).is_err(), "{text}");
        }
        assert_eq!(parse_delay("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_delay("1m5s"), Ok(Duration::from_secs(65)));
        for text in ["ms", "5", "-1s", "1.5s", ""] {
            assert!(parse_delay(text).is_err(), "{text}");
        }
        for (text, rate) in [("0", Ok(0.0)), ("0.25", Ok(0.25)), ("1", Ok(1.0))] {
            assert_eq!(parse_rate(text), rate);
        }
        for text in ["-0.1", "1.1", "NaN", "inf", "half"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
