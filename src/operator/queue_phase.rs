//! Where an instance is on its way from the watch to the engine. Pure.

/// Where an instance is on its way to the engine. `published` is what the engine last received of it, which is unknown while it is being
/// read and published; `forced`: what it refers to changed, so even the same plan is put again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueuePhase<P> {
    /// Nothing is to be done. Left when a watch or a notice concerns it.
    Settled { published: P },
    /// It is in the queue. Left when there is room to read it.
    Queued { published: P, forced: bool },
    /// It is being read and published. Left when that has ended.
    Reading,
    /// The same, and it changed meanwhile: it is queued again at the end.
    Outdated { forced: bool },
}

impl<P: Default> Default for QueuePhase<P> {
    fn default() -> Self {
        Self::Settled { published: P::default() }
    }
}

impl<P: Default> QueuePhase<P> {
    /// Something concerns the instance. Answers whether it goes into the queue now.
    pub(super) fn enqueue(&mut self, forced: bool) -> bool {
        let (next, joins) = match std::mem::replace(self, Self::Reading) {
            Self::Settled { published } => (Self::Queued { published, forced }, true),
            Self::Queued { published, forced: already } => (Self::Queued { published, forced: already | forced }, false),
            Self::Reading => (Self::Outdated { forced }, false),
            Self::Outdated { forced: already } => (Self::Outdated { forced: already | forced }, false),
        };
        *self = next;
        joins
    }

    /// It leaves the queue to be read. Answers what the engine knows of it, and whether the reading is forced; `None` if it was not in the
    /// queue.
    pub(super) fn begin(&mut self) -> Option<(P, bool)> {
        match std::mem::replace(self, Self::Reading) {
            Self::Queued { published, forced } => Some((published, forced)),
            other => {
                *self = other;
                None
            }
        }
    }

    /// It was read, and this is what the engine knows now. Answers whether, and how, it is to be read again.
    pub(super) fn end(&mut self, published: P) -> Option<bool> {
        match std::mem::replace(self, Self::Settled { published }) {
            Self::Outdated { forced } => Some(forced),
            Self::Settled { .. } | Self::Queued { .. } | Self::Reading => None,
        }
    }

    /// What the engine knows of it, if that is all there is: nothing waits, and nothing is under way.
    pub(super) fn settled(&self) -> Option<&P> {
        if let Self::Settled { published } = self { Some(published) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to one instance.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Demand { forced: bool },
        Begin,
        End,
    }

    proptest::proptest! {
        /// Each demand is followed by a read that begins after it, which is forced when the demand was; and it waits in the queue once.
        #[test]
        fn every_demand_is_followed_by_a_read(steps in proptest::collection::vec(0..4_u8, 0..60)) {
            let (mut phase, mut queued, mut reading) = (QueuePhase::default(), 0, false);
            // What the engine received, a number that rises.
            let mut told = 0_u32;
            // Whether a demand waits for its read, and whether it is forced.
            let mut waits = None;
            for step in steps {
                let step = match step {
                    0 => Step::Demand { forced: false },
                    1 => Step::Demand { forced: true },
                    2 => Step::Begin,
                    _ => Step::End,
                };
                match step {
                    Step::Demand { forced } => {
                        waits = Some(waits.unwrap_or(false) | forced);
                        queued += usize::from(phase.enqueue(forced));
                    }
                    Step::Begin if queued > 0 => {
                        proptest::prop_assert!(!reading);
                        (queued, reading) = (queued - 1, true);
                        let (published, forced) = phase.begin().expect("it is in the queue");
                        proptest::prop_assert_eq!((published, Some(forced)), (told, waits.take()));
                    }
                    Step::End if reading => {
                        reading = false;
                        told += 1;
                        if let Some(forced) = phase.end(told) {
                            queued += usize::from(phase.enqueue(forced));
                        }
                    }
                    Step::Begin | Step::End => {}
                }
                proptest::prop_assert!(queued <= 1);
                proptest::prop_assert_eq!(phase.settled(), (queued == 0 && !reading).then_some(&told));
                proptest::prop_assert_eq!(waits.is_some(), queued == 1 || matches!(phase, QueuePhase::Outdated { .. }));
            }
        }
    }
}
