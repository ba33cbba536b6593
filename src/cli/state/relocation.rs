//! `pollinator state move`: known sets from `ConfigMaps` to a store, back, or between two stores.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use kube::{Client, Config};

use super::super::cluster::{ClusterArgs, open_store};
use super::{parse_name, parse_namespace};
use crate::api::identity::InstanceRef;
use crate::observe::output;
use crate::operator::cluster::Cluster;
use crate::operator::shards::lease::{self, Trouble};
use crate::operator::shards::presence;
use crate::operator::transfer;
use crate::state::external_store::ExternalStore;
use crate::state::store_url::{StoreUrl, StoreUrlError};

/// What the options call `ConfigMaps`.
const CONFIG_MAPS: &str = "configmaps";

/// Moves what instances remember. Stop the operator first: nothing is moved while one runs. Afterwards start it with --state-store if
/// that is where they went, and without it otherwise.
#[derive(Debug, Args)]
pub struct MoveArgs {
    /// Where they are: configmaps, or the address of a store as for `pollinator operator --state-store`.
    #[arg(long, value_name = "configmaps|URL", default_value = CONFIG_MAPS)]
    from: StateMedium,
    /// Where they go.
    #[arg(long, value_name = "configmaps|URL")]
    to: StateMedium,
    /// Names of instances. Default: all in the namespace.
    #[arg(value_name = "NAME", value_parser = parse_name)]
    names: Vec<String>,
    /// Namespace of the instances. Default: all namespaces.
    #[arg(short, long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    namespace: Option<String>,
    /// Look for a running operator in this namespace only, which needs fewer permissions. Default: in all.
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    lease_namespace: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Where known sets can be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StateMedium {
    ConfigMaps,
    Store(StoreUrl),
}

impl FromStr for StateMedium {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == CONFIG_MAPS {
            return Ok(Self::ConfigMaps);
        }
        text.parse().map(Self::Store).map_err(|error| match error {
            StoreUrlError::Form => format!("must be {CONFIG_MAPS}, or {}", error.to_string().trim_start_matches("must be ")),
            StoreUrlError::TooMuch => error.to_string(),
        })
    }
}

impl StateMedium {
    fn open(&self, config: &Config) -> Result<Option<ExternalStore>, String> {
        match self {
            Self::ConfigMaps => Ok(None),
            Self::Store(url) => open_store(url, config).map(Some),
        }
    }
}

/// 0 when all went well, 1 when that of an instance did not.
pub(super) async fn run(args: MoveArgs) -> Result<ExitCode, String> {
    if args.from == args.to {
        return Err("--from and --to are the same place; name two".to_owned());
    }
    let config = args.cluster.config().await?;
    let (from, to) = (args.from.open(&config)?, args.to.open(&config)?);
    let own_namespace = config.default_namespace.clone();
    let leases = lease::client(config.clone()).map_err(|error| format!("the cluster cannot be reached: {error}"))?;
    check_stopped(&leases, args.lease_namespace.as_deref()).await?;
    let client = Client::try_from(config).map_err(|error| format!("the cluster cannot be reached: {error}"))?;
    let cluster = Cluster::new(client);
    let instances = if args.names.is_empty() {
        transfer::instances(&cluster, args.namespace.as_deref()).await.map_err(|error| error.to_string())?
    } else {
        let namespace = args.namespace.unwrap_or(own_namespace);
        args.names.iter().map(|name| InstanceRef::new(&*namespace, &**name)).collect()
    };
    let (mut moved, mut code) = (0, ExitCode::SUCCESS);
    for instance in &instances {
        match transfer::relocate(&cluster, from.as_ref(), to.as_ref(), instance).await {
            Ok(0) => {}
            Ok(records) => {
                moved += 1;
                output::error(format_args!("{instance}: moved: {records} known record(s)"));
            }
            Err(error) => {
                output::error(format_args!("{instance}: {error}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    output::error(format_args!("{moved} of {} instance(s) had something to move", instances.len()));
    Ok(code)
}

/// Refuses to go on while an operator runs, or may run.
async fn check_stopped(client: &Client, namespace: Option<&str>) -> Result<(), String> {
    match presence::is_running(client, namespace).await {
        Ok(false) => Ok(()),
        Ok(true) => Err("an operator is running; scale it to 0 replicas (with Helm: helm upgrade --reuse-values --set replicaCount=0), and move again".to_owned()),
        Err(Trouble::Forbidden(_)) => Err(
            "whether an operator runs cannot be seen; allow list on leases in coordination.k8s.io, or name --lease-namespace"
                .to_owned(),
        ),
        Err(trouble) => Err(trouble.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_cluster_or_a_store() {
        assert_eq!("configmaps".parse(), Ok(StateMedium::ConfigMaps));
        assert!(matches!("s3://b/p".parse(), Ok(StateMedium::Store(_))));
        let refused = "b/p".parse::<StateMedium>().unwrap_err();
        assert!(refused.starts_with("must be configmaps, or s3://BUCKET/PREFIX"), "{refused}");
    }
}
