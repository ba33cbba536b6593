//! Who owns which instances.

pub mod clock;
pub mod election;
pub mod members;
pub mod name;
pub mod range;
pub mod record;
pub mod rendezvous;
pub mod session;
pub mod timing;
