//! The other end of the wire: a callback that takes events in, checks their signatures and reports what came.
//!
//! [`verify`] says whether a request is genuine, [`read`] what it carries, [`mod@line`] shows it, [`server`] listens. It is there for
//! trying things out and for tests, and stricter than most receivers: it refuses what a strict one would refuse.

pub mod line;
pub mod read;
pub mod server;
pub mod verify;
