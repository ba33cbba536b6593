//! Awkward data at an honest provider: rows that appear late, ties, pages that shift while they are read, odd clocks.

use chrono::TimeDelta;

use crate::rig::manifest::Instance;
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::{self, Change, Listing, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::traffic::Dice;
use crate::rig::{self, PATIENCE};

/// One provider, one instance of the same name, one process.
struct Scene {
    provider: Provider,
    receiver: Receiver,
    _site: Site,
    pollinator: Pollinator,
}

impl Scene {
    fn start(provider: Provider, adjust: impl FnOnce(Instance) -> Instance) -> Self {
        let receiver = Receiver::start();
        let instance = adjust(Instance::new("walked", &provider.url(), &receiver.url("walked")).basic_auth());
        let site = Site::new(&[instance.yaml()]);
        let pollinator = site.start();
        pollinator.wait_ready("walked");
        Self { provider, receiver, _site: site, pollinator }
    }

    /// Waits until all is delivered, then for two more polls, and judges.
    fn assert_perfect(&self) {
        rig::settle(&self.receiver, "walked", &self.provider.truth(), provider::version);
        self.provider.wait_polled(2);
        let verdict = rig::settle(&self.receiver, "walked", &self.provider.truth(), provider::version);
        rig::assert_perfect(&verdict, &self.pollinator, "walked");
    }
}

fn ids(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("{prefix}-{n:05}"))
}

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
    let scene = Scene::start(Provider::start().page_size(20).listing(listing), |instance| instance.and_resource(order));
    churn(&scene.provider, ids("r", 200).collect(), 60);
    scene.provider.create_all(ids("r", 200));
    scene.assert_perfect();
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
        Scene::start(Provider::start().page_size(20).listing(Listing::Descending), |i| i.and_resource("order: Ascending"));
    for (n, id) in (0..).zip(ids("r", 100)) {
        scene.provider.create_dated(&id, TimeDelta::milliseconds(n));
    }
    scene.pollinator.wait_reason("walked", "UnorderedResource");
    scene.assert_perfect();
}

#[test]
fn ten_thousand_records_with_one_date_arrive_once() {
    let scene = Scene::start(Provider::start().page_size(500), |instance| instance);
    scene.provider.create_all(ids("tie", 10_000));
    scene.assert_perfect();
}

#[test]
fn rows_that_appear_late_are_found_within_the_lookback() {
    let scene = Scene::start(Provider::start(), |instance| instance.and_resource("lookback: 5m"));
    scene.provider.create_hidden("late");
    scene.provider.create_dated("prompt", TimeDelta::milliseconds(1));
    let arrived = scene.receiver.try_wait("walked", PATIENCE, |posts| (!posts.is_empty()).then_some(()));
    assert!(arrived.is_some(), "{}", scene.pollinator.report("walked"));
    scene.provider.wait_polled(1);
    scene.provider.show("late");
    scene.assert_perfect();
}

#[test]
fn a_record_from_the_future_does_not_hide_the_present() {
    let scene = Scene::start(Provider::start(), |instance| instance);
    scene.provider.create_dated("far", TimeDelta::days(365 * 70));
    scene.provider.create_dated("near", TimeDelta::hours(1));
    scene.provider.wait_polled(2);
    scene.provider.create("present");
    scene.provider.update("near");
    scene.assert_perfect();
}

#[test]
fn the_clock_that_counts_is_the_providers() {
    for skew in [TimeDelta::minutes(-5), TimeDelta::minutes(5)] {
        let provider = Provider::start().skew(skew);
        provider.baseline(ids("old", 10));
        let scene = Scene::start(provider, |instance| instance);
        scene.provider.create("first");
        scene.provider.wait_polled(2);
        scene.provider.create("second");
        scene.provider.update("old-00003");
        scene.assert_perfect();
    }
}

#[test]
fn the_first_read_from_earliest_sends_all_as_created() {
    let provider = Provider::start().page_size(50);
    provider.create_all(ids("r", 500));
    let scene = Scene::start(provider, Instance::earliest);
    scene.provider.update("r-00007");
    scene.provider.delete("r-00008");
    scene.assert_perfect();
}

#[test]
fn changes_are_found_by_content_where_there_are_no_dates() {
    let provider = Provider::start().page_size(30);
    provider.baseline(ids("old", 100));
    let scene = Scene::start(provider, |instance| {
        instance.resource(
            "url: /records\nrecordsPath: records\nidField: id\npagination: {nextLink: {field: next}}\ndeletes: {flag: {field: deleted}}",
        )
    });
    for id in ids("old", 40) {
        scene.provider.update(&id);
    }
    scene.provider.create_all(ids("new", 40));
    scene.provider.delete("old-00077");
    scene.assert_perfect();
}
