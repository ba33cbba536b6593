//! The one HTTP server of the program. Each address gets a [`Server`] with its [`Limits`] and an axum router: [`health`] and
//! [`metrics`] have one address, the [`connect`] page, the [`console`] and the API of [`elements`] each another, so that no one who may
//! see the one can reach the other.

pub mod connect;
pub mod console;
pub mod elements;
pub mod health;
pub mod metrics;
mod places;
#[cfg(test)]
mod sample;
mod server;

pub use server::{Limits, Peer, Server};
