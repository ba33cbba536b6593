//! Notices to a reconciler, in addition to what the watches see.

use super::shards::Drain;
use crate::api::identity::InstanceRef;

/// News from other parts of the operator.
#[derive(Debug)]
pub enum Notice {
    /// Another process wrote the state of an instance.
    Lost(InstanceRef),
    /// Another writer removed the stored state of an instance, and memory has it.
    Wiped(InstanceRef),
    /// What kept states from being stored is over: what waits for it need not wait longer.
    Recovered,
    /// Instances came to us, or went away.
    OwnershipChanged,
    /// Nothing may be under way any more in a range.
    Drain(Drain),
    /// The engine has ended: nothing is under way anywhere.
    EngineEnded,
}
