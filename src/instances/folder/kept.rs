//! What is known of instances whose files cannot be used. Pure.

use std::collections::BTreeMap;

use super::known::Known;
use crate::api::identity::InstanceRef;
use crate::local::definitions::Definitions;

/// Instances whose files cannot be used are as they were: they are defined, and their manifests were not read.
pub(super) fn keep(
    definitions: &Definitions,
    read: &mut BTreeMap<InstanceRef, Known>,
    before: &mut BTreeMap<InstanceRef, Known>,
) {
    for of in definitions.planned.keys().chain(definitions.refused.keys()) {
        if !read.contains_key(of)
            && let Some(own) = before.remove(of)
        {
            read.insert(of.clone(), own);
        }
    }
}
