//! Sending the changes of a page, where several events of a feed may be about one object.

use super::Poll;
use crate::api::conditions::Problem;
use crate::deliver::outbox::{Outbox, Sent};
use crate::deliver::rounds::rounds;
use crate::detect::event::Change;
use crate::detect::window::Undelivered;
use crate::state::live::LiveState;

impl Poll<'_> {
    /// Sends the changes of a page. Of a feed each event waits until the one before it about the same object was taken, in this poll or,
    /// if it was not, in the next one.
    pub(super) async fn send(&mut self, changes: Vec<Change>, outbox: &mut Outbox<'_, LiveState>) -> Result<Sent, Problem> {
        if let Some(resource) = self.names_deleted_of {
            return self.send_deletions_of(resource, changes, outbox).await;
        }
        if self.resource.feed.is_none() {
            return self.deliver(changes, outbox).await;
        }
        let mut all = Sent::NONE;
        for mut round in rounds(changes) {
            round.retain(|change| {
                let waits = all.closed || self.held.contains(&change.object);
                if waits {
                    all.undelivered = all.undelivered.and(change.date);
                }
                !waits
            });
            let objects: Vec<_> = round.iter().map(|change| (change.object, change.record)).collect();
            let sent = self.deliver(round, outbox).await?;
            all.add(sent);
            if sent.undelivered != Undelivered::None {
                let state = self.instance.state();
                let known = state.resources.get(&*self.resource.name).map(|own| &own.known);
                let is_taken = |record: u64| known.is_some_and(|known| known.get(record).is_some());
                self.held.extend(objects.iter().filter(|(_, record)| !is_taken(*record)).map(|(object, _)| *object));
            }
        }
        Ok(all)
    }
}
