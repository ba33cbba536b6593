//! Which instances this replica is responsible for, and for how long it may believe so.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Answers at once, from memory.
pub trait Ownership: Send + Sync {
    /// The claim to the instance of that uid; `None`: it is somebody else's.
    fn claim(&self, uid: &str) -> Option<Claim>;
}

/// The right to act for an instance.
#[derive(Clone)]
pub struct Claim {
    lost: CancellationToken,
    holds: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Claim {
    /// A claim that `lost` ends, and of which `holds` tells at any moment whether it does.
    pub fn new(lost: CancellationToken, holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { lost, holds: Arc::new(holds) }
    }

    /// Cancelled when it is lost.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Does it hold at this very moment? To be asked right before a write.
    pub fn holds(&self) -> bool {
        !self.lost.is_cancelled() && (self.holds)()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("lost", &self.lost.is_cancelled()).finish_non_exhaustive()
    }
}

/// The only replica.
#[derive(Clone, Copy, Debug)]
pub struct Sole;

impl Ownership for Sole {
    fn claim(&self, _uid: &str) -> Option<Claim> {
        Some(Claim::new(CancellationToken::new(), || true))
    }
}
