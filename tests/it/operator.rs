//! The operator on a real control plane.
//!
//! - [`attacked`]: attackers of another namespace take nothing from honest instances.
//! - [`behind`]: an API server that is behind, whose lists end early, whose writes queue, and that has room for nothing more.
//! - [`beside`]: what people and other tools see of its writes, and write themselves.
//! - [`everyday`]: what it delivers, what it writes for it, and what a restart repeats.
//! - [`console`]: the console: what is shown and done is what the token of the person allows.
//! - [`connectors`]: what the status of a Connector says, and what it costs.
//! - [`declared`]: instances, connectors and Secrets come, change and go.
//! - [`deletes`]: deletions that wait outlive the operator.
//! - [`credentials`]: OAuth 2.0: tokens in their Secret, and replicas that never use one twice.
//! - [`edits`]: specs, Secrets and whole namespaces change while records do.
//! - [`kept`]: state that does not fit into the status, and state that somebody else touched.
//! - [`faults`]: the API server misbehaves, is away, or answers too late.
//! - [`permissions`]: with any rule less something breaks, and the operator says so.
//! - [`refused`]: what is wrong in a manifest is said at apply, or at once afterwards.
//! - [`replicas`]: several share the work, and take it over from one another.
//! - [`stores`]: known sets in a store outside the cluster: a folder, or a bucket whose server dies; moved there and back.
//! - [`tenants`]: cursors of many lists, which the status has no room for.
//! - [`truncated`]: answers of the API server that end too early show no Secret.
//! - [`crds`]: the CRDs are missing, older, or newer than the operator.

mod attacked;
mod behind;
mod beside;
mod connectors;
mod console;
mod crds;
mod credentials;
mod declared;
mod deletes;
mod edits;
mod elements;
mod everyday;
mod faults;
mod kept;
mod permissions;
mod refused;
mod replicas;
mod stores;
mod tenants;
mod truncated;
