//! Body → page → record views → changes, on one core.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use criterion::{BatchSize, Criterion, Throughput};
use pollinator::detect::classify::Mode;
use pollinator::detect::detector::{Detector, Moment, View};
use pollinator::detect::event::Change;
use pollinator::detect::known::KnownSet;
use pollinator::detect::window::UNBOUNDED;
use pollinator::fetch::split;
use pollinator::plan::ResourcePlan;
use pollinator::plan::field_path::FieldPath;

use crate::rig::{self, Manifest};

/// Name of the section.
pub const NAME: &str = "detect";
const RECORDS: usize = 1_000;

/// Prints records a second; target: 500,000.
pub fn run() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .sample_size(40)
        .configure_from_args();
    let mut group = criterion.benchmark_group(NAME);
    group.throughput(Throughput::Elements(RECORDS as u64));
    let body = rig::page(RECORDS).into_bytes();
    for (case, dated, is_known) in [("all new", true, false), ("all known", true, true), ("content", false, true)] {
        let manifest = Manifest {
            provider: "http://127.0.0.1",
            path: "/appointments",
            callback: "http://127.0.0.1/events",
            format: "CloudEvents",
            batched: false,
            start_from: "Now",
            dated,
        };
        let plan = manifest.plan("bench");
        let plan = &*plan.resources[0];
        let mut known = KnownSet::default();
        if is_known {
            remember(&body, plan, &mut known);
        }
        assert_eq!(changes(body.clone(), plan, &mut known), if is_known { 0 } else { RECORDS });
        group.bench_function(case, |bencher| {
            let run = |body| black_box(changes(body, plan, &mut known));
            bencher.iter_batched(|| body.clone(), run, BatchSize::LargeInput);
        });
    }
    group.finish();
    criterion.final_summary();
}

fn cursor() -> DateTime<Utc> {
    "2026-11-24T09:00:00Z".parse().expect("it is a time")
}

fn changes(body: Vec<u8>, plan: &ResourcePlan, known: &mut KnownSet) -> usize {
    let mut changes = detect(body, plan, known);
    changes.drain(..).len()
}

fn detect(body: Vec<u8>, plan: &ResourcePlan, known: &mut KnownSet) -> Vec<Change> {
    let path = plan.extract.records_path.as_ref().map(FieldPath::segments);
    let page = split(Bytes::from(body), path, plan.extract.records_as).expect("the page is one");
    let view = View { mode: Mode::Usual, cursor: Some(cursor()), window: UNBOUNDED, rehash: false };
    let now = cursor() + chrono::Duration::days(1);
    let mut detector = Detector::new(plan, "bench", view, now);
    detector.begin_listing(Some(cursor()), false);
    detector.page(page.records(), known, Moment::new(Some(now), now)).expect("they are few").changes
}

fn remember(body: &[u8], plan: &ResourcePlan, known: &mut KnownSet) {
    for change in detect(body.to_vec(), plan, known) {
        known.remember(change.object, change.known);
    }
}
