//! The status of an instance on its way from the engine to the writer. Pure.

use crate::poll::status::InstanceStatus;

/// The latest status that is not written yet, and whether a task is about to write it. Only the latest is kept: an older one says nothing
/// that it does not.
#[derive(Debug, Default)]
pub(super) enum Reports {
    /// No status has come yet, so there is no condition `Ready` that a first write of the state could carry. Left for good with the first.
    #[default]
    Awaited,
    /// No task is about to write. A status that waits here is written with the next state, or is left over from a task that gave up.
    Resting(Option<Box<InstanceStatus>>),
    /// A task is about to write what waits. Entered when a status comes. Left when the task rests.
    Flushing(Option<Box<InstanceStatus>>),
}

impl Reports {
    /// A status came. Answers whether a task is to be started that writes it.
    pub(super) fn come(&mut self, status: Box<InstanceStatus>) -> bool {
        let starts = !matches!(self, Self::Flushing(_));
        *self = Self::Flushing(Some(status));
        starts
    }

    /// The status that waits is about to be written.
    pub(super) fn take(&mut self) -> Option<Box<InstanceStatus>> {
        self.pending_mut()?.take()
    }

    /// It could not be written. It waits again, unless a newer one does.
    pub(super) fn put_back(&mut self, status: Option<Box<InstanceStatus>>) {
        if let Some(pending @ None) = self.pending_mut() {
            *pending = status;
        }
    }

    /// The task has written what it could. Answers whether it goes on: while `may_write`, with a status that came meanwhile.
    pub(super) fn flushed(&mut self, may_write: bool) -> bool {
        if let Self::Flushing(pending) = self {
            if may_write && pending.is_some() {
                return true;
            }
            *self = Self::Resting(pending.take());
        }
        false
    }

    /// Whether one waits.
    pub(super) fn has_pending(&self) -> bool {
        matches!(self, Self::Resting(Some(_)) | Self::Flushing(Some(_)))
    }

    /// Whether any has come, written or not.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited)
    }

    fn pending_mut(&mut self) -> Option<&mut Option<Box<InstanceStatus>>> {
        match self {
            Self::Awaited => None,
            Self::Resting(pending) | Self::Flushing(pending) => Some(pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::conditions::{Problem, Reason};
    use crate::api::identity::InstanceRef;
    use crate::poll::status;

    fn numbered(number: i64) -> Box<InstanceStatus> {
        let problem = Problem::human(Reason::InvalidSpec, "x");
        Box::new(status::refused(InstanceRef::new("crm", "keap"), Some(number), &problem))
    }

    proptest! {
        /// Writers take and put back as they like, the task among them: at most one task is at work, the latest status is never lost, no
        /// older one ever follows a newer one, and while writing is possible none is left waiting without a task.
        #[test]
        fn the_latest_status_is_written_and_no_older_one_after_it(
            steps in prop::collection::vec((0..5_u8, any::<bool>()), 0..80),
        ) {
            let mut reports = Reports::default();
            let (mut came, mut written, mut flushing, mut taken) = (0_i64, 0_i64, false, None::<Box<InstanceStatus>>);
            for (step, works) in steps {
                match step {
                    0 | 1 => {
                        came += 1;
                        let starts = reports.come(numbered(came));
                        prop_assert_eq!(starts, !flushing, "one task at a time");
                        flushing = true;
                    }
                    // Writes of one instance come one after the other.
                    2 if taken.is_none() => taken = reports.take(),
                    3 => match taken.take() {
                        Some(status) if works => {
                            let number = status.generation.unwrap_or_default();
                            prop_assert!(number > written, "{} after {}", number, written);
                            written = number;
                        }
                        status => reports.put_back(status),
                    },
                    4 if flushing && taken.is_none() => {
                        let waited = reports.has_pending();
                        flushing = reports.flushed(works);
                        prop_assert_eq!(flushing, works && waited);
                    }
                    _ => {}
                }
                let latest = written == came || reports.has_pending() || taken.is_some();
                prop_assert!(latest, "status {} is lost", came);
                prop_assert_eq!(reports.is_awaited(), came == 0);
            }
        }
    }
}
