//! Statuses as lines on standard output.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::conditions::{ConditionStatus, ConditionType, Reason};
use crate::api::identity::InstanceRef;
use crate::observe::output;
use crate::poll::status::{Condition, InstanceStatus};

/// How statuses are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What a poll, or the events that it found, did not get done.
const FAILURES: [ConditionType; 2] = [ConditionType::Polled, ConditionType::Detailed];

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

    /// Prints a changed status. A line for people does not say when the next try is, so a try that failed prints none.
    pub fn take(&mut self, status: Arc<InstanceStatus>) {
        if self.output == Output::Text
            && self.last.get(&status.instance).is_some_and(|before| differ_in_next_try(before, &status))
        {
            self.last.insert(status.instance.clone(), status);
            return;
        }
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
        if self.output == Output::Text {
            let before = self.last.get(&status.instance).map(|before| troubles(before)).unwrap_or_default();
            for trouble in troubles(&status).iter().filter(|trouble| !before.contains(trouble)) {
                output::line(format_args!("  {trouble}"));
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
                    resource.conditions.iter().filter(|c| FAILURES.contains(&c.kind) && c.status == ConditionStatus::False)
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

/// Whether nothing else differs than when the next try is.
fn differ_in_next_try(before: &InstanceStatus, after: &InstanceStatus) -> bool {
    let next_try = after.waiting.as_ref().and_then(|waiting| waiting.next_try);
    let mut same = before.clone();
    same.waiting.iter_mut().for_each(|waiting| waiting.next_try = next_try);
    same == *after && before != after
}

/// What does not hold, whether or not the instance is ready: a sentence each.
fn troubles(status: &InstanceStatus) -> Vec<String> {
    let is_false = |condition: &&Condition| condition.status == ConditionStatus::False;
    let own = status.conditions.iter().filter(is_false).map(|condition| condition.message.clone());
    let of_resources = status.resources.iter().flat_map(|resource| {
        let conditions = resource.conditions.iter().filter(is_false);
        conditions.map(|condition| format!("resource {}: {}", resource.name, condition.message))
    });
    let mut troubles: Vec<String> = Vec::new();
    for trouble in own.chain(of_resources) {
        // Of one cause there may be several conditions, some of which name the resource.
        if !troubles.iter().any(|told| told.contains(&trouble) || trouble.contains(told.as_str())) {
            troubles.push(trouble);
        }
    }
    troubles
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
    // No reason is longer than its column.
    let widest = Reason::ALL.iter().map(|reason| reason.as_str().len()).max().unwrap_or_default();
    format!("{name:<32} {ready:<8} {reason:<widest$} {delivered:>9} {parked:>7}  {last_change}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::status;

    #[test]
    fn whatever_does_not_hold_is_said_once_though_the_instance_is_ready() {
        let problem = crate::api::conditions::Problem::human(Reason::NotFound, "resource orders: 404");
        let mut refused = status::refused(InstanceRef::new("crm", "keap"), None, &problem);
        assert_eq!(troubles(&refused), ["resource orders: 404"]);
        let condition =
            |kind, status, message: &str| Condition { kind, status, reason: Reason::MissingId, message: message.to_owned() };
        refused.conditions = vec![
            condition(ConditionType::Ready, ConditionStatus::True, "all resources are polled"),
            condition(ConditionType::CallbackReachable, ConditionStatus::False, "the port is closed"),
        ];
        refused.resources = vec![status::ResourceStatus {
            name: "orders".to_owned(),
            cursor: None,
            delivered: 0,
            last_successful_poll_time: crate::state::waiting::InPassing(None),
            next_poll_time: crate::state::waiting::InPassing(None),
            records_path: None,
            pagination: None,
            reset_reason: None,
            conditions: vec![
                condition(ConditionType::Polled, ConditionStatus::True, "the last poll succeeded"),
                condition(ConditionType::RecordsIdentified, ConditionStatus::False, "no id"),
            ],
        }];
        assert_eq!(troubles(&refused), ["the port is closed", "resource orders: no id"]);
    }
}
