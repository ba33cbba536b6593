//! OAuth 2.0 (RFC 6749): tokens asked for, kept across crashes, and never spent twice.
//!
//! [`request`] says how a token request looks, [`answer`] what its answer means, [`stored`] what is kept, [`step`] what is to be
//! done next: all pure. [`credentials`] does it, one request at a time for each chain, and [`store`] is where tokens are kept.
//!
//! Tokens belong to the Secret from which they came: all instances that name it share one chain, whichever replica polls them.
//! Chains that version 0.1.0 kept for each instance are moved there: [`adoption`] decides, [`takeover`] does it.
//!
//! A refresh token that rotates is spent by its use, and the answer is the only copy of the next one. So before it is sent, a marker is
//! stored by compare-and-swap; the answer replaces the marker before the access token is used. A process that finds another one's marker
//! does not send the token again: the provider would take that for theft and revoke all of them (RFC 9700 §4.14.2).

pub mod adoption;
pub mod answer;
mod ask;
pub mod assertion;
mod credential;
pub mod credentials;
pub mod exchange;
pub mod material;
pub mod memory;
#[cfg(test)]
mod model_tests;
pub mod parts;
pub mod problem;
pub mod request;
pub mod step;
pub mod store;
pub mod stored;
pub mod takeover;
mod unsaved;
