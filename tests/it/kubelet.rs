//! The process kubelet ([`crate::rig::kubelet`]) against the real control plane: what it does, it does as a kubelet does.

mod lives;
mod operator;
