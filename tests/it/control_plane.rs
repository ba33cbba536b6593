//! What a real kube-apiserver makes of the project's CRDs and of the operator's way to write, and the harness that tests of the
//! operator stand on.

mod harness;
pub mod instances;
pub mod judged;
mod kubectl;
mod proxy;
mod status_writes;
