//! The chart and the kustomization: what can be set, what comes of it, and that both install the same.

use std::fs;

mod values;

/// The chart's folder.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/pollinator");

fn chart_file(name: &str) -> String {
    fs::read_to_string(format!("{CHART}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}
