//! The engine on a cluster.
//!
//! A change travels one way: [`watch`] reports metadata → [`reconcile`] queues the object, one at a time for each → [`publish`] reads it,
//! checks who owns it, makes the plan, reads credentials and state, and sends the engine a command. What the engine reports travels the
//! other way: [`store`] and [`writer`] put state and conditions into the status, one write at a time for each instance → [`events`] report
//! transitions.
//!
//! [`reconcile`] never asks a provider, and nothing here waits for one: a provider that hangs holds up its own resource only.
//!
//! State is [`stored`] in the status and, where it is large, in objects next to it ([`overflow`]): those first, then the status that names
//! their generations. A crash between the two costs repeats, never a loss. Each write goes over what was last read: a digest of the state
//! says whether somebody else wrote it since, and then it is read again and never overwritten.
//!
//! Which replica owns which instances is decided in [`shards`]; a guard of ownership is asked before each write, and a shard is handed over
//! once all that was accepted is stored ([`drains`]). Tokens of OAuth 2.0 belong to the user's Secret and are kept in a Secret next to it
//! ([`tokens`]), by compare-and-swap.
//!
//! No finalizer is needed: everything the operator writes has an owner reference and goes with its instance.

pub mod blobs;
pub mod check;
pub mod cluster;
pub mod connectors;
pub mod drains;
mod event_queue;
pub mod events;
pub mod notice;
pub mod objects;
pub mod overflow;
pub mod pace;
pub mod permissions;
pub mod probe;
pub mod publish;
mod queue_phase;
pub mod reconcile;
pub mod run;
pub mod secrets;
pub mod session;
pub mod shards;
pub mod state_error;
pub mod status;
pub mod store;
pub mod stored;
pub mod tokens;
pub mod watch;
mod write_turns;
pub mod writer;
