//! What the reconciler keeps of one instance: what the watch says of it, and how far it is on its way to the engine. Pure.

use super::publish::{Published, References};
use super::queue_phase::QueuePhase;

/// An instance that was seen, or that is still at work.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) presence: Presence,
    pub(super) phase: QueuePhase<Published>,
    pub(super) references: References,
}

/// What the watch says of an instance.
#[derive(Default)]
pub(super) enum Presence {
    /// Nothing yet: another part of the operator named it first.
    #[default]
    Unseen,
    /// It is there, and looked like this.
    Seen { uid: String, fingerprint: u64 },
    /// It is gone. Its uid still says whose it was.
    Gone { uid: String },
}

impl Entry {
    /// The engine has it, or is about to get it.
    pub(super) fn is_at_work(&self) -> bool {
        !matches!(self.phase.settled(), Some(Published::Nothing))
    }

    /// The uid under which it was last seen, or an empty one.
    pub(super) fn uid(&self) -> &str {
        match &self.presence {
            Presence::Unseen => "",
            Presence::Seen { uid, .. } | Presence::Gone { uid } => uid,
        }
    }

    /// Answers whether it is new, or looks other than before.
    pub(super) fn see(&mut self, uid: String, fingerprint: u64) -> bool {
        let is_same = matches!(self.presence, Presence::Seen { fingerprint: before, .. } if before == fingerprint);
        if !is_same {
            self.presence = Presence::Seen { uid, fingerprint };
        }
        !is_same
    }

    pub(super) fn vanish(&mut self) {
        self.presence = match std::mem::take(&mut self.presence) {
            Presence::Unseen => Presence::Unseen,
            Presence::Seen { uid, .. } | Presence::Gone { uid } => Presence::Gone { uid },
        };
    }
}
