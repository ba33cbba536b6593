//! Statuses as lines on standard output.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::conditions::{ConditionStatus, ConditionType};
use crate::api::identity::InstanceRef;
use crate::observe::output;
use crate::poll::status::InstanceStatus;

/// How statuses are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Prints a line whenever an instance's status changes.
#[derive(Debug)]
pub struct Reporter {
    output: Output,
    header_printed: bool,
    last: BTreeMap<InstanceRef, Arc<InstanceStatus>>,
}

impl Reporter {
    /// A reporter that has printed nothing.
    pub fn new(output: Output) -> Self {
        Self { output, header_printed: false, last: BTreeMap::new() }
    }

    /// Prints a changed status.
    pub fn take(&mut self, status: Arc<InstanceStatus>) {
        let line = match self.output {
            Output::Json => serde_json::to_string(&*status).unwrap_or_default(),
            Output::Text => {
                if !self.header_printed {
                    self.header_printed = true;
                    output::line(row("NAME", "READY", "REASON", "DELIVERED", "PARKED", "LAST-CHANGE"));
                }
                text_line(&status)
            }
        };
        output::line(&line);
        if self.output == Output::Text && status.ready == ConditionStatus::False {
            let before = self.last.get(&status.instance);
            if before.is_none_or(|before| before.message != status.message) {
                output::line(format_args!("  {}", status.message));
            }
        }
        if let (Output::Text, Some(connect)) = (self.output, &status.connect) {
            let before = self.last.get(&status.instance);
            if before.is_none_or(|before| before.connect.as_ref() != Some(connect)) {
                output::line(format_args!("  give consent at {}", connect.url));
            }
        }
        self.last.insert(status.instance.clone(), status);
    }

    /// Prints to standard error which instance failed and why; answers whether one did.
    pub fn print_failures(&self) -> bool {
        let mut failed = false;
        for (instance, status) in &self.last {
            if status.ready == ConditionStatus::False {
                failed = true;
                output::error(format_args!("{instance}: {}: {}", status.reason, status.message));
            }
            for resource in &status.resources {
                for condition in
                    resource.conditions.iter().filter(|c| c.kind == ConditionType::Polled && c.status == ConditionStatus::False)
                {
                    failed = true;
                    output::error(format_args!(
                        "{instance}: resource {}: {}: {}",
                        resource.name, condition.reason, condition.message
                    ));
                }
            }
            for condition in status.conditions.iter().filter(|c| c.kind == ConditionType::EventsWaiting) {
                failed = true;
                output::error(format_args!("{instance}: {}: {}", condition.reason, condition.message));
            }
        }
        failed
    }
}

fn text_line(status: &InstanceStatus) -> String {
    let instance = &status.instance;
    let name = if &*instance.namespace == "default" { instance.name.to_string() } else { instance.to_string() };
    let last_change = status.last_change_time.as_deref().unwrap_or("-");
    row(
        &name,
        status.ready.as_str(),
        status.reason.as_str(),
        &status.delivered.to_string(),
        &status.parked.to_string(),
        last_change,
    )
}

fn row(name: &str, ready: &str, reason: &str, delivered: &str, parked: &str, last_change: &str) -> String {
    format!("{name:<32} {ready:<8} {reason:<20} {delivered:>9} {parked:>7}  {last_change}")
}
