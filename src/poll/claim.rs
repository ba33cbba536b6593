//! The right to act for an instance, which may end at any moment.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio_util::sync::CancellationToken;

/// One right, from its beginning to its end. Clones are the same.
#[derive(Clone)]
pub struct Claim {
    ended: CancellationToken,
    holds: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Claim {
    /// For a process that shares with no other one.
    pub fn for_ever() -> Self {
        Self { ended: CancellationToken::new(), holds: None }
    }

    /// Ends when the token is cancelled, or when `holds` says so. `holds` is asked before every step of the work: a process that
    /// was asleep for longer than its right lasts does not go on, whichever of its timers and sockets it hears of first.
    pub fn new(ended: CancellationToken, holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { ended, holds: Some(Arc::new(holds)) }
    }

    /// Whether it holds at this very moment.
    pub fn holds(&self) -> bool {
        !self.ended.is_cancelled() && self.holds.as_ref().is_none_or(|holds| holds())
    }

    /// Waits for its end; checks again whenever it is polled.
    pub async fn ended(&self) {
        let mut cancelled = pin!(self.ended.cancelled());
        std::future::poll_fn(|context| if self.holds() { cancelled.as_mut().poll(context) } else { Poll::Ready(()) }).await;
    }

    /// A token that is cancelled with it.
    pub fn child_token(&self) -> CancellationToken {
        self.ended.child_token()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("holds", &self.holds()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn ends_with_its_token() {
        let token = CancellationToken::new();
        let claim = Claim::new(token.clone(), || true);
        assert!(claim.holds() && claim.ended().now_or_never().is_none());
        token.cancel();
        assert!(!claim.holds() && claim.child_token().is_cancelled());
        claim.ended().await;
    }

    /// The work is woken by its own socket, not by the end of the claim.
    #[tokio::test]
    async fn is_over_for_work_that_wakes_before_the_token_is_cancelled() {
        let slept = Arc::new(AtomicBool::new(false));
        let claim = Claim::new(CancellationToken::new(), {
            let slept = Arc::clone(&slept);
            move || !slept.load(Ordering::SeqCst)
        });
        let (wake, mut woken) = tokio::sync::mpsc::unbounded_channel::<()>();
        let mut work = pin!(async {
            tokio::select! {
                biased;
                () = claim.ended() => "broken off",
                _ = woken.recv() => "went on",
            }
        });
        assert!(work.as_mut().now_or_never().is_none());
        slept.store(true, Ordering::SeqCst);
        wake.send(()).unwrap();
        assert_eq!(work.await, "broken off");
    }
}
