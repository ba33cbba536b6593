//! Secret material → request authentication. The only place that sees secret values; none of its types shows one.

pub mod access;
mod apply;
mod certificate;
pub mod jwt;
pub mod oauth2;
mod secrets;

use apply::identity;
pub use apply::{RequestAuth, extra_headers, prepare, signing_keys};
pub use certificate::client_identity;
pub use secrets::{Secret, SecretMap, Secrets};
