//! Who owns which instances.

pub mod clock;
pub mod election;
pub mod range;
pub mod record;
pub mod rendezvous;
pub mod timing;
