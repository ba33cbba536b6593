//! `pollinator plan FILE`.

use std::process::ExitCode;

use chrono::Utc;
use clap::Args;

use super::ManifestArgs;
use crate::local::definitions::Definitions;
use crate::observe::output;
use crate::plan::start_from::IN_THE_FUTURE;

/// Prints the resolved plan of each instance, without network.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    manifests: ManifestArgs,
}

/// Prints plans; 1 when an instance cannot be planned, 2 when a manifest cannot be read.
pub fn run(args: &PlanArgs) -> ExitCode {
    let definitions = match Definitions::read(&args.manifests.sources()) {
        Ok(definitions) => definitions,
        Err(errors) => {
            output::error(errors);
            return ExitCode::from(2);
        }
    };
    definitions.others.iter().for_each(output::error);
    for (index, planned) in definitions.planned.values().enumerate() {
        if index > 0 {
            output::line("---");
        }
        output::text(crate::plan::print::print(&planned.plan));
        if planned.plan.resources.iter().any(|resource| resource.starts_later(Utc::now())) {
            output::error(format_args!("{}: {IN_THE_FUTURE}", planned.plan.instance));
        }
    }
    for (instance, problems) in &definitions.refused {
        for problem in problems {
            output::error(format_args!("{instance}: {problem}"));
        }
    }
    output::finish(if definitions.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
