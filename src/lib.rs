//! Pollinator visits REST APIs that cannot call you, notices which records were created, updated or deleted, and carries each
//! change, signed and at least once, to a callback URL.
//!
//! The flow:
//!
//! 1. A user declares a `ConnectorInstance` ([`api`]), optionally on top of a `Connector` ([`catalog`]).
//! 2. [`plan`] turns the two into a `PollPlan`, or into a reason that a person can act on.
//! 3. When a resource is due, [`poll`] runs one cycle: [`fetch`] asks the provider page by page through the one HTTP client in
//!    [`egress`], with the credentials that [`auth`] prepared.
//! 4. [`detect`] compares the records with the resource's state and yields changes.
//! 5. [`deliver`] sends every change to every sink, of which the callback is one, and says of each: accepted, deferred, parked, or
//!    still to be delivered.
//! 6. Only then [`state`] commits the cursor. A crash before that repeats events with the same ids and loses none.
//!
//! [`import`] turns configurations of SAP Open Connectors into such declarations.
//!
//! Where a provider wants a person's consent, [`connect`] is the page at which it is given.
//!
//! [`local`] runs this from a folder of manifests, [`operator`] from a cluster; [`receive`] and [`demo`] are the other two ends of the
//! wire, for trying it out. [`exchanges`] records what an API answers, and checks an entry of the catalog against it.

pub mod api;
pub mod catalog;
pub mod plan;

pub mod import;

pub mod auth;
pub mod connect;
pub mod cpu;
pub mod deliver;
pub mod detect;
pub mod egress;
pub mod fetch;
pub mod poll;
pub mod state;

pub mod moment;

pub mod local;
pub mod observe;
pub mod operator;

pub mod instances;
pub mod serve;

pub mod exchanges;

pub mod demo;
pub mod receive;

pub mod cli;

/// One for the program, its tests and its benches. The C library's would serve, but for static programs: musl's has one lock for
/// all threads, which makes a poll cost three times as much (docs/operate/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
