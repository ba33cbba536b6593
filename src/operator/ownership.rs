//! Which instances this replica is responsible for.

/// Answers at once, from memory.
pub trait Ownership: Send + Sync {
    /// Is the instance of that uid ours?
    fn owns(&self, uid: &str) -> bool;
}

/// The only replica.
#[derive(Clone, Copy, Debug)]
pub struct All;

impl Ownership for All {
    fn owns(&self, _uid: &str) -> bool {
        true
    }
}
