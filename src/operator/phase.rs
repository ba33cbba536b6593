//! Where an instance stands on its way from the watch to the engine. Pure.

/// Where an instance stands on its way to the engine. `forced`: what it refers to changed, so even the same plan is put anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is to be done. Left when a watch or a notice concerns it.
    #[default]
    Settled,
    /// It is in the queue. Left when there is room to read it.
    Queued { forced: bool },
    /// It is being read and published. Left when that has ended.
    Reading,
    /// The same, and it changed meanwhile: it is queued again at the end.
    Outdated { forced: bool },
}

impl Phase {
    /// Something concerns the instance. Answers whether it goes into the queue now.
    pub(super) fn demand(&mut self, forced: bool) -> bool {
        let before = *self;
        *self = match before {
            Self::Settled => Self::Queued { forced },
            Self::Queued { forced: already } => Self::Queued { forced: already | forced },
            Self::Reading => Self::Outdated { forced },
            Self::Outdated { forced: already } => Self::Outdated { forced: already | forced },
        };
        before == Self::Settled
    }

    /// It leaves the queue to be read. Answers whether that is forced.
    pub(super) fn begin(&mut self) -> bool {
        let forced = matches!(self, Self::Queued { forced: true } | Self::Outdated { forced: true });
        *self = Self::Reading;
        forced
    }

    /// It was read. Answers whether, and how, it is to be read again.
    pub(super) fn end(&mut self) -> Option<bool> {
        match std::mem::take(self) {
            Self::Outdated { forced } => Some(forced),
            Self::Settled | Self::Queued { .. } | Self::Reading => None,
        }
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
            let (mut phase, mut queued, mut reading) = (Phase::default(), 0, false);
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
                        queued += usize::from(phase.demand(forced));
                    }
                    Step::Begin if queued > 0 => {
                        proptest::prop_assert!(!reading);
                        (queued, reading) = (queued - 1, true);
                        proptest::prop_assert_eq!(Some(phase.begin()), waits.take());
                    }
                    Step::End if reading => {
                        reading = false;
                        if let Some(forced) = phase.end() {
                            queued += usize::from(phase.demand(forced));
                        }
                    }
                    Step::Begin | Step::End => {}
                }
                proptest::prop_assert!(queued <= 1);
                proptest::prop_assert_eq!(waits.is_some(), queued == 1 || matches!(phase, Phase::Outdated { .. }));
            }
        }
    }
}
