//! How instances are at this moment. A status is written when something changes, so that an idle poll writes nothing: its times are as old
//! as that. The engine of this process knows them for the instances that it runs, and is asked when a person looks.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::glance::time;
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::api::status::{ConnectorInstanceStatus, Waiting};
use crate::poll::command::Command;
use crate::poll::status::InstanceStatus;

/// A page does not wait longer for an engine that is busy, and shows what was reported.
const LONGEST: Duration = Duration::from_secs(2);

/// The engine of this process.
#[derive(Clone, Debug)]
pub struct Current(mpsc::Sender<Vec<Command>>);

impl Current {
    /// The engine that takes these commands.
    pub fn new(commands: mpsc::Sender<Vec<Command>>) -> Self {
        Self(commands)
    }

    /// The statuses of those that it runs, in no order.
    pub async fn of(&self, instances: Vec<InstanceRef>) -> Vec<InstanceStatus> {
        let asked = async {
            let (answer, answered) = oneshot::channel();
            self.0.send(vec![Command::Look { instances, answer }]).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(LONGEST, asked).await.ok().flatten().unwrap_or_default()
    }
}

/// Lays what changes without a report over a status: cursors, times of polls, and what is tried again.
pub fn lay(status: &mut ConnectorInstanceStatus, current: &InstanceStatus) {
    for resource in &mut status.resources {
        let own = current.resources.iter().find(|own| own.name == resource.name);
        resource.next_poll_time = own.and_then(|own| written(own.next_poll_time.0));
        let Some(own) = own else { continue };
        // None in this process: the one that was reported by the process before.
        if let Some(at) = written(own.last_successful_poll_time.0) {
            resource.last_successful_poll_time = Some(at);
        }
        if let (Some(cursor), Some(since)) = (&mut resource.cursor, &own.cursor) {
            cursor.since = Some(since.clone());
        }
    }
    status.waiting = current.waiting.as_ref().map(|waiting| Waiting {
        events: i64::try_from(waiting.events).unwrap_or(i64::MAX),
        oldest: written(waiting.oldest.0),
        next_try: written(waiting.next_try),
    });
}

/// When the status of an instance was last written, as the API server noted it.
pub fn written_at(instance: &ConnectorInstance) -> Option<DateTime<Utc>> {
    let entries = instance.metadata.managed_fields.iter().flatten();
    entries.filter(|own| own.subresource.as_deref() == Some("status")).filter_map(|own| time(own.time.as_ref()?)).max()
}

fn written(at: Option<DateTime<Utc>>) -> Option<Time> {
    serde_json::from_value(json!(at?.to_rfc3339_opts(SecondsFormat::Secs, true))).ok()
}
