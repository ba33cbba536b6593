//! Secret material → request authentication. The only place that sees secret values; none of its types shows one.
//!
//! A plan names Secrets, never values. When a job begins, [`access`] prepares its authentication: the named values are read and become the
//! headers, the query parameters, the signing keys, the client certificate and the trusted authorities of its requests (`apply`, `certificate`). An access token is
//! asked for where the plan wants one ([`oauth2`]). While the job runs, `access` renews what is about to end, since a long listing takes
//! longer than many a token lives; when a request is refused, it renews the credentials once, and the request is repeated.
//!
//! What every part keeps to:
//!
//! - **A value leaves in a request and in nothing else.** `Debug` and messages show names of Secrets and keys, never what is in them; a
//!   test reads all that the processes of all tests wrote.
//! - **What is missing is named before anything is asked**: the field, the Secret and the key, so that one condition says what to do.
//! - **A credential belongs to its Secret, not to the instance that uses it.** Instances that name one Secret share its tokens, and a wait
//!   that a host demands of one of them holds for all.
//! - **A token that was refused is renewed once.** A second refusal is the provider's word: polling on it would burn quotas and lock
//!   accounts.
//! - **The rest of the program knows no protocol.** A problem says what would end it, renewed credentials or a person's approval, and a job
//!   that waits for that is woken by it, whether OAuth or something else is behind it.

pub mod access;
mod apply;
mod certificate;
pub mod jwt;
pub mod oauth2;
mod secrets;

use apply::identity;
pub use apply::{RequestAuth, extra_headers, prepare, signing_keys};
pub use certificate::tls_identity;
pub use secrets::{Secret, SecretMap, Secrets};
