//! The engine on a cluster: definitions come from objects, state is kept in them, and replicas share the instances.
//!
//! [`run`] starts everything and ends it in order. A change travels one way: [`watch`] reports metadata → [`reconcile`] queues the object, one
//! at a time for each → [`publish`] reads it, checks who owns it, makes the plan, reads credentials and state, and sends the engine a
//! command. What the engine reports travels the other way: [`store`] and [`writer`] put state and conditions into the status, one write at a
//! time for each instance → [`events`] report transitions. [`connector_writer`] does the same for connectors, of which no engine knows.
//!
//! Between the two is the [`session`] of an instance. It has one phase: no one runs the instance, the engine has it, or the engine has it
//! for the last time. Reconciler, engine and writer meet there and nowhere else, and each waits for the phase that it needs. So an instance
//! has its state read only after the engine has let go of it, when all that it accepted is stored or refused.
//!
//! State is [`stored`] in the status and, where it is large, in objects next to it ([`overflow`]): those first, then the status that names
//! their generations. A crash between the two costs repeats, never a loss.
//!
//! What holds whatever the API server and other replicas do:
//!
//! - **Nothing is written over a state that someone else wrote.** Each write is a compare-and-swap on the object as it was just read, and a
//!   digest of the state shows whether it is the one that this process read or wrote last. If not, the instance is stopped and read again.
//! - **Only the owner acts.** [`shards`] decides which replica owns which instances. A guard of ownership is checked before each write, so
//!   that a process that slept finds out first; a shard is handed over once all that was accepted is stored ([`drains`]).
//! - **No instance waits for another one.** [`reconcile`] never asks a provider, writes take turns by namespace, and Leases and statuses
//!   have threads of their own: a provider that hangs holds up its own resource only.
//! - **An outage costs time.** While the API server is away, resources with nothing to store are polled as usual. The others keep their
//!   progress in memory and store it before they poll again.
//! - **No one is asked to clean up.** Everything the operator writes has an owner reference and goes with its instance; there is no
//!   finalizer. Tokens of OAuth 2.0 belong to the user's Secret and are kept in a Secret next to it ([`tokens`]).
//!
//! A person with the permissions can read and replace the state of an instance, too ([`transfer`]).
//!
//! Each step has its own error, and the variants of [`state_error`] are the next steps; the sentence that people read is made there, last.

mod awaited;
pub mod blobs;
pub mod check;
pub mod cluster;
pub mod collect;
mod config_map_set;
pub mod connector_status;
pub mod connector_writer;
pub mod connectors;
pub mod denial;
pub mod drains;
mod entry;
mod event_queue;
pub mod events;
pub mod known_place;
mod list_states;
mod lists;
pub mod notice;
pub mod objects;
pub mod outage_log;
pub mod overflow;
mod packed_failing;
pub mod permissions;
pub mod probe;
pub mod publish;
mod queue_phase;
pub mod reconcile;
mod repairs;
pub mod required_label;
mod retries;
pub mod reviews;
pub mod run;
pub mod salvage;
pub mod secrets;
pub mod session;
pub mod shards;
pub mod state_error;
pub mod status;
pub mod store;
pub mod stored;
pub mod tokens;
pub mod transfer;
pub mod unusable;
pub mod watch;
pub mod writer;
