//! What one poll of a resource leaves to the next in this process. Without it the next poll costs more or reports less, but loses nothing.

use chrono::{DateTime, Utc};

use crate::detect::volatile::VolatileWatch;
use crate::fetch::validators::Validators;

/// What one poll of a resource leaves to the next in this process.
#[derive(Debug, Default)]
pub struct Memory {
    /// Those of the last poll that was clean.
    pub validators: Option<Validators>,
    /// What changes by content showed.
    pub watch: VolatileWatch,
    /// Sweeps in a row that failed, and when the next one may begin.
    pub sweep_failures: Option<(u32, DateTime<Utc>)>,
}

impl Memory {
    /// `None` if there is nothing in it: most resources need none.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self.validators.is_some() || !self.watch.is_empty() || self.sweep_failures.is_some()).then(|| Box::new(self))
    }
}
