//! Ranges that are about to be somebody else's: which of their instances the engine was not yet told to let go of.

use std::collections::HashSet;

use super::session::Sessions;
use super::shards::Drain;
use super::shards::range::Range;
use crate::api::identity::InstanceRef;

/// What is being drained.
#[derive(Debug, Default)]
pub struct Drains(Vec<(Drain, HashSet<InstanceRef>)>);

impl Drains {
    /// Begins a drain of these instances.
    pub fn begin(&mut self, drain: Drain, instances: HashSet<InstanceRef>) {
        self.0.push((drain, instances));
    }

    /// The engine was told to let go of an instance.
    pub fn told(&mut self, instance: &InstanceRef) {
        for (_, instances) in &mut self.0 {
            instances.remove(instance);
        }
    }

    /// The engine has ended: there is nobody any more to be told.
    pub fn all_told(&mut self) {
        for (_, instances) in &mut self.0 {
            instances.clear();
        }
    }

    /// Takes out the drains whose instances were all told.
    pub fn take_told(&mut self) -> Vec<Drain> {
        let (told, waiting) = std::mem::take(&mut self.0).into_iter().partition(|(_, instances)| instances.is_empty());
        self.0 = waiting;
        told.into_iter().map(|(drain, _)| drain).collect()
    }
}

/// Ends a drain once the engine has let go: then all that it accepted is stored.
pub async fn end(drain: Drain, sessions: &Sessions) {
    let range = drain.range();
    sessions.all_released(|uid| is_in(uid, range)).await;
    drain.ended();
}

/// Does the instance of that uid belong to the range?
pub fn is_in(uid: &str, range: Range) -> bool {
    Range::of_uid(uid, range.of()) == range
}
