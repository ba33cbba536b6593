//! Statuses as they change, for everyone who looks.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::poll::status::InstanceStatus;

/// Statuses that a subscriber may be behind before it learns that it lost some.
const BEHIND: usize = 256;

/// The broadcast of what the engine reports. A clone is of the same one.
///
/// It never waits: a subscriber that is slow loses the oldest statuses and learns of it. So what may lose none is no subscriber. The
/// operator's writer owes every instance its last status, and the lines that `local` prints are each one event of a log; both read before
/// the broadcast, on the engine's own channel, which is unbounded and has one reader.
#[derive(Clone, Debug)]
pub struct StatusChanges(broadcast::Sender<Arc<InstanceStatus>>);

impl Default for StatusChanges {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl StatusChanges {
    /// Sends a status to all subscribers. Costs nothing while there is none.
    pub fn publish(&self, status: &InstanceStatus) {
        if self.0.receiver_count() > 0 {
            // The last one may leave in between.
            let _ = self.0.send(Arc::new(status.clone()));
        }
    }

    /// All statuses from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<InstanceStatus>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::RecvError;

    use super::*;
    use crate::api::conditions::{Problem, Reason};
    use crate::api::identity::InstanceRef;
    use crate::poll::status::refused;

    fn status(name: &str) -> InstanceStatus {
        refused(InstanceRef::new("crm", name), None, &Problem::human(Reason::InvalidSpec, "spec"))
    }

    #[tokio::test]
    async fn a_slow_subscriber_holds_up_nobody_and_knows_that_it_lost_some() {
        let changes = StatusChanges::default();
        changes.publish(&status("before"));
        let (mut slow, mut quick) = (changes.subscribe(), changes.subscribe());
        for number in 0..=BEHIND {
            changes.publish(&status(&number.to_string()));
            assert_eq!(quick.recv().await.unwrap().instance.name, number.to_string().into());
        }
        assert_eq!(slow.recv().await, Err(RecvError::Lagged(1)));
        assert_eq!(&*slow.recv().await.unwrap().instance.name, "1");
    }
}
