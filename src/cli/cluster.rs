//! Which cluster a command talks to: options as `kubectl` has them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::api::names;
use crate::operator::collect::cluster_id;
use crate::state::external_store::ExternalStore;
use crate::state::store_url::StoreUrl;

/// Deadline of a connection to the API server, unless the kubeconfig says otherwise.
const CONNECT: Duration = Duration::from_secs(10);

/// Which cluster, and as whom.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArgs {
    /// The kubeconfig file. Default: those of the variable KUBECONFIG, else ~/.kube/config, else the service account of the pod.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. Default: its current context.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl ClusterArgs {
    /// The configuration of the client.
    ///
    /// # Errors
    /// A sentence that names the option at fault.
    pub async fn config(&self) -> Result<Config, String> {
        let mut config = match self.file()? {
            Some(kubeconfig) => self.of_file(kubeconfig).await?,
            None => Config::infer().await.map_err(|error| {
                format!("no cluster is configured: {error}; set --kubeconfig or KUBECONFIG, or run it in a pod with a service account")
            })?,
        };
        config.connect_timeout = config.connect_timeout.or(Some(CONNECT));
        // A repeated write would hide its conflict, and a watch repeats by itself.
        config.default_retry = false;
        Ok(config)
    }

    /// The same options for kubectl.
    pub fn pass_on(&self, kubectl: &mut Command) {
        if let Some(path) = &self.kubeconfig {
            kubectl.arg("--kubeconfig").arg(path);
        }
        if let Some(context) = &self.context {
            kubectl.args(["--context", context]);
        }
    }

    /// What is to be read of a kubeconfig. `None`: nothing was asked for, so a pod's account will do.
    fn file(&self) -> Result<Option<Kubeconfig>, String> {
        match (&self.kubeconfig, &self.context) {
            (Some(path), _) => {
                let read = Kubeconfig::read_from(path).map_err(|error| format!("--kubeconfig {}: {error}", path.display()));
                read.map(Some)
            }
            (None, Some(context)) => {
                let read = Kubeconfig::read();
                read.map(Some).map_err(|error| format!("--context {context}: there is no kubeconfig: {error}"))
            }
            (None, None) => Ok(None),
        }
    }

    async fn of_file(&self, kubeconfig: Kubeconfig) -> Result<Config, String> {
        if let Some(context) = &self.context
            && !kubeconfig.contexts.iter().any(|known| known.name == *context)
        {
            let known: Vec<_> = kubeconfig.contexts.iter().map(|known| known.name.as_str()).collect();
            return Err(format!("--context {context}: the kubeconfig has no such context, only: {}", known.join(", ")));
        }
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        config.map_err(|error| match &self.kubeconfig {
            Some(path) => format!("--kubeconfig {}: {error}", path.display()),
            None => format!("the kubeconfig cannot be used: {error}"),
        })
    }
}

/// The store that an option names, as this cluster uses it.
pub(super) fn open_store(url: &StoreUrl, config: &Config) -> Result<ExternalStore, String> {
    ExternalStore::open(url, &cluster_id(config)).map_err(|error| format!("{url}: {error}"))
}

/// A value of an option that names a namespace.
pub(super) fn parse_namespace(text: &str) -> Result<String, String> {
    let name = text.trim();
    names::is_label(name).then(|| name.to_owned()).ok_or_else(|| "must be the name of a namespace, such as crm".to_owned())
}

/// Each namespace once, by name: one that is named twice would be watched twice.
pub(super) fn each_once(namespaces: &[String]) -> Vec<String> {
    namespaces.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_names_and_each_is_taken_once() {
        assert_eq!(parse_namespace(" crm "), Ok("crm".to_owned()));
        for none in ["", "a/b", "..", "CRM", "a,b"] {
            assert!(parse_namespace(none).is_err(), "{none}");
        }
        let named = ["shop", "crm", "shop"].map(str::to_owned);
        assert_eq!(each_once(&named), ["crm", "shop"]);
    }

    const FILE: &str = "\
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: one, cluster: {server: \"https://one.example:6443\"}}
- {name: two, cluster: {server: \"https://two.example:6443\"}}
contexts:
- {name: one, context: {cluster: one, user: me, namespace: first}}
- {name: two, context: {cluster: two, user: me, namespace: second}}
- {name: torn, context: {cluster: three, user: me}}
users:
- {name: me, user: {token: abc}}
";

    fn args(folder: &tempfile::TempDir, text: &str, context: Option<&str>) -> ClusterArgs {
        let path = folder.path().join("config");
        std::fs::write(&path, text).unwrap();
        ClusterArgs { kubeconfig: Some(path), context: context.map(str::to_owned) }
    }

    #[tokio::test]
    async fn the_context_decides_which_cluster() {
        let folder = tempfile::tempdir().unwrap();
        for (context, server, namespace) in [
            (None, "https://one.example:6443/", "first"),
            (Some("one"), "https://one.example:6443/", "first"),
            (Some("two"), "https://two.example:6443/", "second"),
        ] {
            let config = args(&folder, FILE, context).config().await.unwrap();
            assert_eq!((config.cluster_url.to_string().as_str(), config.default_namespace.as_str()), (server, namespace));
            assert!(!config.default_retry && config.connect_timeout.is_some());
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_by_its_option() {
        let folder = tempfile::tempdir().unwrap();
        let missing = args(&folder, FILE, Some("tow")).config().await.unwrap_err();
        assert_eq!(missing, "--context tow: the kubeconfig has no such context, only: one, two, torn");
        let torn = args(&folder, FILE, Some("torn")).config().await.unwrap_err();
        assert!(torn.starts_with("--kubeconfig ") && torn.contains("three"), "{torn}");
        let garbled = args(&folder, "a: [", None).config().await.unwrap_err();
        assert!(garbled.starts_with("--kubeconfig "), "{garbled}");
        let nowhere = ClusterArgs { kubeconfig: Some(folder.path().join("absent")), context: None };
        let absent = nowhere.config().await.unwrap_err();
        assert!(absent.starts_with("--kubeconfig ") && absent.contains("absent"), "{absent}");
    }
}
