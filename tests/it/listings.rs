//! Awkward data at an honest provider: rows that appear late, ties, pages that shift while they are read, odd clocks.

use std::time::Duration;

use chrono::TimeDelta;

use crate::rig::manifest::Instance;
use crate::rig::provider::{Change, Listing, Provider};
use crate::rig::scene::{Scene, ids};
use crate::rig::traffic::Dice;

/// Updates, deletes and creates between the pages of a walk, until so many were made.
fn churn(provider: &Provider, mut living: Vec<String>, mut left: u32) {
    let mut dice = Dice::new(11);
    provider.after_page(move |_| {
        let mut changes = Vec::new();
        for _ in 0..left.min(4) {
            left -= 1;
            let at = usize::try_from(dice.below(living.len() as u64)).unwrap();
            changes.push(match dice.below(4) {
                0 => Change::Delete(living.swap_remove(at)),
                1 => {
                    let id = format!("born-{left}");
                    living.push(id.clone());
                    Change::Create(id)
                }
                _ => Change::Update(living[at].clone()),
            });
        }
        changes
    });
}

fn nothing_is_lost_while_pages_shift(listing: Listing, order: &str) {
    let scene = Scene::with(Provider::start().page_size(20).listing(listing), |instance| instance.and_resource(order));
    let pollinator = scene.start();
    scene.provider.create_all(ids("r", 200));
    churn(&scene.provider, ids("r", 200).collect(), 60);
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn nothing_is_lost_while_ascending_pages_shift() {
    nothing_is_lost_while_pages_shift(Listing::Ascending, "order: Ascending");
}

#[test]
fn nothing_is_lost_while_descending_pages_shift() {
    nothing_is_lost_while_pages_shift(Listing::Descending, "order: Descending");
}

#[test]
fn nothing_is_lost_while_unordered_pages_shift() {
    nothing_is_lost_while_pages_shift(Listing::ById, "");
}

#[test]
fn a_list_that_breaks_its_declared_order_loses_nothing() {
    let scene =
        Scene::with(Provider::start().page_size(20).listing(Listing::Descending), |i| i.and_resource("order: Ascending"));
    let pollinator = scene.start();
    for (n, id) in (0..).zip(ids("r", 100)) {
        scene.provider.create_dated(&id, TimeDelta::milliseconds(n));
    }
    pollinator.wait_reason("it", "UnorderedResource");
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn ten_thousand_records_with_one_date_arrive_once() {
    let scene = Scene::with(Provider::start().page_size(500), |instance| instance);
    let pollinator = scene.start();
    scene.provider.create_all(ids("tie", 10_000));
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn rows_that_appear_late_are_found_within_the_lookback() {
    let scene = Scene::with(Provider::start(), |instance| instance.and_resource("lookback: 5m"));
    let pollinator = scene.start();
    scene.provider.create_hidden("late");
    // a poll later, so that the cursor goes well past the hidden one
    scene.provider.wait_polled(1);
    scene.provider.create("prompt");
    scene.wait_posts(1, &pollinator);
    scene.provider.wait_polled(2);
    scene.provider.show("late");
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn what_was_there_before_stays_silent_within_the_lookback() {
    let provider = Provider::start();
    provider.baseline_dated(ids("recent", 20), TimeDelta::seconds(-60));
    let scene = Scene::with(provider, |instance| instance.and_resource("lookback: 5m"));
    let pollinator = scene.start();
    scene.provider.wait_polled(1);
    scene.provider.create("new");
    scene.provider.update("recent-00003");
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn what_changes_while_the_baseline_is_read_is_sent() {
    let provider = Provider::start().page_size(5).slow(Duration::from_millis(1500));
    provider.baseline(ids("old", 20));
    // at the third of four pages: seconds after the first answer, by the provider's own clock
    provider.after_page(|offset| match offset {
        10 => vec![Change::Create("new".to_owned()), Change::Update("old-00001".to_owned())],
        _ => Vec::new(),
    });
    // without a created date the whole list must be read before anything can be told from it
    let scene = Scene::with(provider, |instance| {
        let dateless = |line: &&str| !line.trim_start().starts_with("createdDate");
        let resource: Vec<_> = instance.resource.lines().filter(dateless).map(str::to_owned).collect();
        instance.resource(&resource.join("\n"))
    });
    let pollinator = scene.start();
    scene.provider.after_page(|_| Vec::new());
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn a_record_from_the_future_does_not_hide_the_present() {
    let scene = Scene::with(Provider::start(), |instance| instance);
    let pollinator = scene.start();
    scene.provider.create_dated("far", TimeDelta::days(365 * 70));
    scene.provider.create_dated("near", TimeDelta::hours(1));
    scene.provider.wait_polled(2);
    scene.provider.create("present");
    scene.provider.update("near");
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn the_clock_that_counts_is_the_providers() {
    for skew in [TimeDelta::minutes(-5), TimeDelta::minutes(5)] {
        let provider = Provider::start().skew(skew);
        provider.baseline(ids("old", 10));
        let scene = Scene::with(provider, |instance| instance);
        let pollinator = scene.start();
        scene.provider.create("first");
        scene.provider.wait_polled(2);
        scene.provider.create("second");
        scene.provider.update("old-00003");
        scene.assert_stays_perfect(&pollinator);
    }
}

#[test]
fn the_first_read_from_earliest_sends_all_as_created() {
    let provider = Provider::start().page_size(50);
    provider.create_all(ids("r", 500));
    let scene = Scene::with(provider, Instance::earliest);
    let pollinator = scene.start();
    scene.provider.update("r-00007");
    scene.provider.delete("r-00008");
    scene.assert_stays_perfect(&pollinator);
}

#[test]
fn changes_are_found_by_content_where_there_are_no_dates() {
    let provider = Provider::start().page_size(30);
    provider.baseline(ids("old", 100));
    let scene = Scene::with(provider, |instance| {
        instance.resource(
            "url: /records\nrecordsPath: records\nidField: id\npagination: {nextLink: {field: next}}\ndeletes: {flag: {field: deleted}}",
        )
    });
    let pollinator = scene.start();
    for id in ids("old", 40) {
        scene.provider.update(&id);
    }
    scene.provider.create_all(ids("new", 40));
    scene.provider.delete("old-00077");
    scene.assert_stays_perfect(&pollinator);
}
