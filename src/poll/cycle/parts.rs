//! Lists of which the provider shows no more than a number of records.

use super::Poll;
use crate::api::conditions::{Problem, Reason};
use crate::poll::strategy::{Input, Strategy};

impl Poll<'_> {
    /// The listing under way reached `resultCap`.
    ///
    /// # Errors
    /// It was to show all of the list.
    pub(super) fn cut_off(&self) -> Result<Input, Problem> {
        if self.machine.strategy() == Strategy::Sweep {
            return Err(Problem::human(
                Reason::ResultCapReached,
                "resources[].resultCap: the list has more records than the provider lists at once, so it cannot be read whole; remove \
                 fullSweep or deletes.snapshot, or filter the list in query",
            ));
        }
        Ok(Input::CutOff)
    }
}
