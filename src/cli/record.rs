//! `pollinator record FILE`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;

use super::try_out::spends;
use super::{EgressArgs, ManifestArgs};
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::identity::{InstanceId, InstanceRef};
use crate::api::instance::ConnectorInstance;
use crate::api::resource::Resource;
use crate::auth::oauth2::credentials::Credentials;
use crate::auth::oauth2::parts::{Beginnings, Parts};
use crate::auth::oauth2::store::{MemoryTokens, TokenStore};
use crate::catalog;
use crate::egress::Egress;
use crate::egress::hosts::HostBudget;
use crate::exchanges::pseudonyms::Pseudonyms;
use crate::exchanges::record::{self, Taken, end};
use crate::exchanges::{ENDING, FOLDER};
use crate::local::definitions::Definitions;
use crate::observe::{Metrics, output};
use crate::plan::{PollPlan, ResourcePlan, resolve};
use crate::state::directory::Directory;

/// Records exchanges with a live API as evidence for an entry of the catalog, without secrets and personal data.
///
/// Each resource is read as the entry says, with the account of the manifest: the first pages, then what changed since. The files are
/// DIR/KEY/exchanges/RESOURCE.jsonl. Names of members, dates and counts stay in them; ids and tokens are replaced by pseudonyms, and all other
/// values by neutral ones of the same type. Read them before you share them: a member that is named for a person keeps its name.
#[derive(Debug, Args)]
pub struct RecordArgs {
    #[command(flatten)]
    manifests: ManifestArgs,
    /// Folder of the catalog to write to.
    #[arg(long, value_name = "DIR", default_value = "catalog")]
    out: PathBuf,
    /// Lower bound of the first listing, as an RFC 3339 time. Default: no bound, as the first poll.
    #[arg(long)]
    since: Option<DateTime<Utc>>,
    /// How many pages of each listing are recorded at most.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pages: u32,
    /// Also send POST requests, which create records on some servers.
    #[arg(long)]
    yes: bool,
    /// State folder of `pollinator local`, which must not run: OAuth 2.0 tokens are taken from there, and kept there when they are
    /// renewed. Default: none, and a refresh token or code that this could spend is not used.
    #[arg(long, env = "POLLINATOR_STATE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    egress: EgressArgs,
}

/// Records all resources; 1 when one was not recorded, 2 when none could be.
pub async fn run(args: RecordArgs) -> ExitCode {
    match Box::pin(all(&args)).await {
        Ok(false) => output::finish(ExitCode::SUCCESS),
        Ok(true) => output::finish(ExitCode::FAILURE),
        Err(why) => {
            output::error(why);
            ExitCode::from(2)
        }
    }
}

/// Answers whether something was not recorded.
async fn all(args: &RecordArgs) -> Result<bool, String> {
    let definitions = Definitions::read(&args.manifests.sources()).map_err(|errors| errors.to_string())?;
    let egress = Egress::new(args.egress.policy());
    let egress = egress.map_err(|error| format!("pollinator: the HTTP client cannot be created: {error}"))?;
    let folder = args.state.as_deref().map(Directory::open).transpose().map_err(|error| format!("pollinator: {error}"))?;
    let store: Arc<dyn TokenStore> = match folder {
        Some(folder) => Arc::new(folder),
        None => Arc::new(MemoryTokens::default()),
    };
    let credentials = Credentials::new(Parts {
        egress: egress.clone(),
        hosts: HostBudget::default(),
        secrets: Arc::new(definitions.secrets.clone()),
        store,
        beginnings: Beginnings::default(),
        metrics: Metrics::new(),
    });
    let mut failed = false;
    let mut plans = Vec::new();
    for (of, declared) in &definitions.declared {
        match account(of, &declared.instance, &definitions) {
            Ok(account) => plans.push(account),
            Err(problems) => {
                failed = true;
                for problem in problems {
                    output::line(format_args!("{of}: {problem}"));
                }
            }
        }
    }
    for account in &plans {
        credentials.join(&account.plan.instance, account.plan.resources.iter().map(|resource| &*resource.auth));
    }
    for account in &plans {
        let recorder = Recorder { args, egress: &egress, credentials: &credentials, account };
        failed |= recorder.record().await;
    }
    credentials.finish().await;
    Ok(failed)
}

/// An instance as its entry says it, without settings of its own but those of the account.
struct Account<'a> {
    key: &'a str,
    spec: &'a ConnectorSpec,
    plan: PollPlan,
    /// What the manifest sets for resources is left out.
    has_own_settings: bool,
}

fn account<'a>(
    of: &InstanceRef,
    instance: &'a ConnectorInstance,
    definitions: &'a Definitions,
) -> Result<Account<'a>, Vec<String>> {
    let only_entries = || {
        vec!["spec.connector: exchanges are recorded of an entry of the catalog; write a Connector and name it here".to_owned()]
    };
    let key = instance.spec.connector.as_deref().ok_or_else(only_entries)?;
    let connectors = &definitions.connectors;
    let found = catalog::look_up(&of.namespace, key, &connectors.declared, &connectors.mounted);
    let (_, spec) = found.ok_or_else(|| vec![format!("spec.connector: there is no entry {key}")])?;
    let mut own = instance.clone();
    let has = |name: &str| spec.resources.iter().any(|of| of.resource.name == name);
    let strangers: Vec<_> = own.spec.resources.iter().filter(|resource| !has(&resource.name)).collect();
    if !strangers.is_empty() {
        let told = |resource: &&Resource| {
            format!("spec.resources: the entry {key} has no resource {}; add it to the entry", resource.name)
        };
        return Err(strangers.iter().map(told).collect());
    }
    let bare = |resource: &Resource| Resource { name: resource.name.clone(), ..Resource::default() };
    own.spec.resources = instance.spec.resources.iter().map(bare).collect();
    let plan = resolve(&own, Some(spec)).map_err(|problems| problems.iter().map(Problem::to_string).collect::<Vec<_>>())?;
    Ok(Account { key, spec, plan, has_own_settings: own.spec.resources != instance.spec.resources })
}

/// Records the resources of one instance.
struct Recorder<'a> {
    args: &'a RecordArgs,
    egress: &'a Egress,
    credentials: &'a Credentials,
    account: &'a Account<'a>,
}

impl Recorder<'_> {
    /// Answers whether something was not recorded.
    async fn record(&self) -> bool {
        let Account { key, spec, plan, has_own_settings } = self.account;
        if *has_own_settings {
            output::line(format_args!(
                "{}: resources are recorded as the entry {key} says; what the manifest sets for them is left out",
                plan.instance
            ));
        }
        let mut failed = false;
        let mut taken = Vec::new();
        for resource in &plan.resources {
            match self.take(resource).await {
                Ok(one) => taken.push((resource, one)),
                Err(why) => {
                    failed = true;
                    output::line(format_args!("{}, resource {}\n  not recorded: {why}", plan.instance, resource.name));
                }
            }
        }
        // An object is the same in every list that has it.
        let ids: Vec<_> = taken.iter().flat_map(|(_, one)| one.ids().cloned()).collect();
        let mut pseudonyms = Pseudonyms::of(&ids);
        for (resource, one) in &taken {
            output::line(format_args!("{}, resource {}", plan.instance, resource.name));
            for listing in one.seen() {
                output::line(format_args!("  seen:         {}", end(&listing.seen, listing.ended)));
            }
            let recorded = record::masked(one, key, spec, &mut pseudonyms).await;
            match recorded
                .and_then(|recording| self.write(&resource.name, &recording.write().map_err(|error| error.to_string())?))
            {
                Ok(path) => output::line(format_args!("  written:      {}", path.display())),
                Err(why) => {
                    failed = true;
                    output::line(format_args!("  not recorded: {why}"));
                }
            }
        }
        failed
    }

    async fn take(&self, resource: &ResourcePlan) -> Result<Taken, String> {
        let args = self.args;
        if resource.request.method == http::Method::POST && !args.yes {
            return Err("the request is a POST, which creates records on some servers; say --yes to send it".to_owned());
        }
        if args.state.is_none() && spends(&resource.auth) {
            let why = "a token request may spend the refresh token or code in the Secret, and nothing is kept; say --state DIR to keep what comes \
                       where `pollinator local` finds it";
            return Err(why.to_owned());
        }
        let instance = &self.account.plan.instance;
        // A folder knows an instance by its name alone.
        let user = InstanceId::new(instance.clone(), "");
        let auth = self.credentials.authorize_once(resource, &user).await;
        let auth = auth.map_err(|problem| problem.to_string())?;
        let taken = record::take(self.egress, instance, resource, &auth, (args.since, args.pages)).await;
        taken.map_err(|problem| problem.to_string())
    }

    fn write(&self, resource: &str, text: &str) -> Result<PathBuf, String> {
        let folder = self.args.out.join(self.account.key).join(FOLDER);
        let path = folder.join(format!("{resource}.{ENDING}"));
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text));
        written.map(|()| path.clone()).map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}
