//! What was changed here while the files were being read: the reading may have come too early for it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::known::Known;
use crate::api::identity::{InstanceRef, SecretRef};
use crate::local::definitions::Definitions;

/// The instances that were changed since the last reading of the files began.
#[derive(Default)]
pub(super) struct Made(BTreeMap<InstanceRef, Change>);

enum Change {
    /// Its file was written, and what it says is known.
    Written,
    /// Its file was removed, with these Secrets.
    Deleted { secrets: Vec<String> },
}

impl Made {
    /// The files are about to be read: they have all that was changed before.
    pub fn begin_reading(&mut self) {
        self.0.clear();
    }

    pub fn written(&mut self, of: &InstanceRef) {
        self.0.insert(of.clone(), Change::Written);
    }

    pub fn deleted(&mut self, of: &InstanceRef, secrets: Vec<String>) {
        self.0.insert(of.clone(), Change::Deleted { secrets });
    }

    /// Puts what was changed meanwhile over what was read; `before` is what was known until now. What is gone is not to be begun.
    pub fn put_over(
        &self,
        read: &mut BTreeMap<InstanceRef, Known>,
        secrets: &mut BTreeSet<SecretRef>,
        before: &mut BTreeMap<InstanceRef, Known>,
        definitions: &mut Definitions,
    ) {
        for (of, change) in &self.0 {
            match change {
                Change::Written => {
                    let was_read = read.contains_key(of);
                    if let Some(mut own) = before.remove(of) {
                        own.is_read |= was_read;
                        read.insert(of.clone(), own);
                    }
                }
                Change::Deleted { secrets: gone } => {
                    read.remove(of);
                    definitions.planned.remove(of);
                    definitions.refused.remove(of);
                    secrets.retain(|place| place.namespace != of.namespace || !gone.iter().any(|name| **name == *place.name));
                }
            }
        }
    }
}
