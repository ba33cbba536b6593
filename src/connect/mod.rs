//! The page at which a person gives consent: `GET /connect/<namespace>/<name>`.
//!
//! The flow (RFC 6749 §4.1 with RFC 7636 and RFC 9700): a person opens the [`page`] of an instance and presses the button → the state, its
//! browser and the verifier are kept with the instance's tokens → the provider asks the person and sends them back → the answer is checked
//! against what is kept, which is removed, so that it is valid once ([`consent`]) → the code is exchanged and the tokens are stored
//! ([`flow`]) → the instance is polled. Any replica can answer any of the requests ([`crate::serve::connect`]).

pub mod address;
pub mod budget;
pub mod candidate;
pub mod consent;
pub mod flow;
pub mod page;

pub use address::ConnectUrl;
pub use candidate::{Candidate, Candidates};
