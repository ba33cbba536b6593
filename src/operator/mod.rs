//! The engine on a cluster. The flow: [`watch`] sees a change → [`reconcile`] queues it → [`publish`] reads the object, makes
//! the plan and the engine runs it → [`store`] and [`writer`] put state and conditions into the status → [`events`] tell of
//! transitions.
//!
//! Who owns which instances is decided in [`shards`]. A state is [`stored`] in the status and, where it is large, [`outside`] of it.

pub mod blobs;
pub mod cluster;
pub mod connectors;
pub mod drains;
pub mod events;
pub mod notice;
pub mod objects;
pub mod outside;
pub mod pace;
pub mod permissions;
mod phase;
pub mod probe;
pub mod publish;
pub mod reconcile;
pub mod secrets;
pub mod session;
pub mod shards;
pub mod status;
pub mod store;
pub mod stored;
pub mod tokens;
pub mod watch;
pub mod writer;
