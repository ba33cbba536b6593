//! `pollinator console`, and `kubectl pollinator console`: from this machine to the console of a release in a cluster.
//!
//! The tunnel is that of `kubectl port-forward`, which a plugin of kubectl can rely on: it speaks every protocol of every version of the API
//! server, and adds nothing to this program.

mod entrance;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1;
use kube::api::ListParams;
use kube::core::ApiResource;
use kube::{Api, Client};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::entrance::{Entrance, Pod, entrance};
use super::cluster::{ClusterArgs, parse_namespace};
use super::stop_on_signals;
use crate::api::visible::one_line;
use crate::observe::output;
use crate::operator::cluster::{CallError, Denial};

/// Deadline of the list of pods.
const DEADLINE: Duration = Duration::from_secs(15);

/// How much later than kubectl this program may notice that both are to end.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Which release.
#[derive(Debug, Args)]
pub struct ConsoleArgs {
    /// Namespace of the release. Default: that of the kubeconfig.
    #[arg(short, long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    namespace: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Forwards until it is stopped; 1 when there is no console to lead to, or the connection ends.
pub async fn run(args: ConsoleArgs) -> ExitCode {
    match lead(args).await {
        Ok(()) => output::finish(ExitCode::SUCCESS),
        Err(error) => {
            output::error(format_args!("pollinator: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn lead(args: ConsoleArgs) -> Result<(), String> {
    let config = args.cluster.config().await?;
    let namespace = args.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| format!("the client of the cluster cannot be created: {error}"))?;
    let pods = Api::<Pod>::namespaced_with(client, &namespace, &ApiResource::erase::<v1::Pod>(&()));
    let listed = tokio::time::timeout(DEADLINE, pods.list(&ListParams::default())).await;
    let listed = listed.map_err(|_| "the API server does not answer; check the kubeconfig and try again".to_owned())?;
    let pods = listed.map_err(|error| match CallError::from(error) {
        CallError::Forbidden(Denial { words, .. }) => {
            format!("the API server says: {}; ask an administrator of the cluster for this permission", one_line(&words))
        }
        error => format!("the API server: {error}; check the kubeconfig and try again"),
    })?;
    match entrance(&pods.items).map_err(|missing| missing.sentence(&namespace))? {
        Entrance::Host(url) => {
            output::line(format_args!("open the console: {url}"));
            Ok(())
        }
        Entrance::Pod { name, port, own_port } => {
            let mut command = Command::new("kubectl");
            args.cluster.pass_on(&mut command);
            command.args(["port-forward", "--address", "127.0.0.1", "--namespace", &namespace]);
            command.arg(format!("pod/{name}")).arg(format!("{own_port}:{port}"));
            forward(command, own_port).await
        }
    }
}

/// Runs `kubectl port-forward` until this program is stopped.
async fn forward(mut command: Command, port: u16) -> Result<(), String> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = started.map_err(|error| format!("kubectl cannot be run: {error}; install it, or put it on the PATH"))?;
    let stop = CancellationToken::new();
    let mut child = Running(child);
    stop_on_signals(stop.clone())?;
    let (begun, ready) = oneshot::channel();
    let lines = child.0.stdout.take().map(BufReader::new);
    // It ends with the output of kubectl, which ends with kubectl.
    let reading = tokio::task::spawn_blocking(move || {
        let mut begun = Some(begun);
        for line in lines.into_iter().flat_map(|lines| lines.lines().map_while(Result::ok)) {
            if line.starts_with("Forwarding from ")
                && let Some(begun) = begun.take()
            {
                // Who waited for it may have been stopped.
                let _ = begun.send(());
            }
        }
    });
    tokio::select! {
        ready = ready => match ready {
            Ok(()) => output::line(format_args!("open the console: http://127.0.0.1:{port}\nPress Ctrl+C to end.")),
            Err(_) => return Err("kubectl port-forward has ended, and said why; fix that and try again".to_owned()),
        },
        () = stop.cancelled() => return Ok(()),
    }
    tokio::select! {
        _ = reading => {}
        () = stop.cancelled() => return Ok(()),
    }
    // Ctrl+C ends both, in any order.
    match tokio::time::timeout(AT_ONCE, stop.cancelled()).await {
        Ok(()) => Ok(()),
        Err(_) => Err("the connection to the pod has ended; run the command again".to_owned()),
    }
}

/// A process that ends with the program.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
