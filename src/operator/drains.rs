//! Ranges that are about to be another replica's, each with those of its instances that the engine still has to be sent the removal of.

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

    /// The engine was sent the removal of an instance.
    pub fn remove(&mut self, instance: &InstanceRef) {
        for (_, instances) in &mut self.0 {
            instances.remove(instance);
        }
    }

    /// The engine has ended: no removal can be sent any more.
    pub fn remove_all(&mut self) {
        for (_, instances) in &mut self.0 {
            instances.clear();
        }
    }

    /// Takes out the drains of which no instance is left.
    pub fn take_empty(&mut self) -> Vec<Drain> {
        let (empty, waiting) = std::mem::take(&mut self.0).into_iter().partition(|(_, instances)| instances.is_empty());
        self.0 = waiting;
        empty.into_iter().map(|(drain, _)| drain).collect()
    }
}

/// Ends a drain once the engine has let go: then all that it accepted is stored.
pub async fn end(drain: Drain, sessions: &Sessions) {
    let range = drain.range();
    sessions.all_released(|uid| is_in(uid, range)).await;
    drain.ended();
}

/// Whether the instance of that uid belongs to the range.
pub fn is_in(uid: &str, range: Range) -> bool {
    Range::of_uid(uid, range.of()) == range
}
