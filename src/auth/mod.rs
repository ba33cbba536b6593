//! Secret material → request authentication. The only place that sees secret values; none of its types shows one.
//!
//! A plan names Secrets, never values. Here the named values are read and become the headers, the query parameters, the signing keys and
//! the client certificate of a request (`apply`, `certificate`). [`access`] does so for one job and renews what runs out meanwhile.
//!
//! What every part keeps to:
//!
//! - **A value leaves in a request and in nothing else.** `Debug` and messages show names of Secrets and keys, never what is in them; a test
//!   reads all that the processes of all tests wrote.
//! - **What is missing is named before anything is asked**: the field, the Secret and the key, so that one condition says what to do.
//! - **A credential belongs to its Secret, not to the instance that uses it.** Instances that name one Secret share its tokens, and what a
//!   host asks one of them to wait, it asks all ([`oauth2`]).
//! - **A token that was refused is renewed once**, and a request is repeated once with the new one; a second refusal is the provider's word.

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
