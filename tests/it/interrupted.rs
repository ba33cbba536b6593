//! Listings that are interrupted on the way: a page that fails is asked for again, and a list is read to its end.

use std::collections::HashMap;
use std::time::Duration;

use crate::rig::http::{Answer, Ask};
use crate::rig::provider::{Listing, Provider};
use crate::rig::scene::{Scene, ids};

/// Where a request wants its page to begin.
fn offset(ask: &Ask) -> Option<usize> {
    let (_, value) = ask.query().into_iter().find(|(name, _)| name == "offset")?;
    value.parse().ok()
}

/// Twenty pages that are there before anything is asked, and are all sent.
fn twenty_pages(listing: Listing) -> Scene {
    let provider = Provider::start().page_size(10).listing(listing);
    provider.create_all(ids("r", 200));
    let order = if listing == Listing::Descending { "order: Descending" } else { "" };
    Scene::with(provider, |instance| instance.and_resource(order).earliest())
}

/// The requests until the list was begun for the second time.
fn first_listing(provider: &Provider) -> Vec<Ask> {
    provider.wait_polled(1);
    let asks = provider.asks();
    let pages = asks.iter().skip(1).take_while(|ask| offset(ask).is_some()).count();
    asks.into_iter().take(1 + pages).collect()
}

fn every_page_fails_some_times(listing: Listing) {
    let scene = twenty_pages(listing);
    let mut failures = HashMap::new();
    scene.provider.misbehave(move |ask| {
        let offset = offset(ask)?;
        let failed = failures.entry(offset).or_insert(0);
        let answer = match (offset / 10 + *failed) % 4 {
            0 => Answer::status(503),
            1 => Answer::hang_up(),
            2 => Answer::status(500),
            _ => Answer::status(502),
        };
        *failed += 1;
        (*failed <= 2).then_some(answer)
    });
    let pollinator = scene.start();
    scene.assert_perfect(&pollinator);
    let asks = first_listing(&scene.provider);
    let mut pages: Vec<_> = asks.iter().filter_map(offset).collect();
    assert_eq!(pages.len(), 3 * 19, "each page but the first was asked for three times: {pages:?}");
    pages.dedup();
    assert_eq!(pages, (1..20).map(|page| page * 10).collect::<Vec<_>>());
}

#[test]
fn a_list_is_read_to_its_end_though_every_page_fails_twice() {
    every_page_fails_some_times(Listing::Ascending);
}

#[test]
fn a_descending_list_is_read_to_its_end_though_every_page_fails_twice() {
    every_page_fails_some_times(Listing::Descending);
}

#[test]
fn a_short_wait_in_the_middle_is_waited_for() {
    let scene = twenty_pages(Listing::Ascending);
    let mut once = true;
    scene.provider.misbehave(move |ask| {
        let refused = offset(ask) == Some(50) && std::mem::take(&mut once);
        refused.then(|| Answer::status(429).header("Retry-After", "2"))
    });
    let pollinator = scene.start();
    scene.assert_perfect(&pollinator);
    let asks = first_listing(&scene.provider);
    let refused: Vec<_> = asks.iter().filter(|ask| offset(ask) == Some(50)).collect();
    assert_eq!((asks.len(), refused.len()), (21, 2), "one page was asked for twice");
    assert!(refused[1].at - refused[0].at >= Duration::from_secs(2));
}

#[test]
fn a_quota_that_is_spent_in_the_middle_is_waited_for_before_anything_is_refused() {
    for (header, value) in [("RateLimit", r#""burst";r=0;t=2, "day";r=900;t=40000"#), ("X-Rate-Limit-Remaining", "0")] {
        let scene = twenty_pages(Listing::Ascending);
        let mut once = true;
        scene.provider.misbehave(move |ask| {
            let last_of_quota = offset(ask) == Some(50) && std::mem::take(&mut once);
            let next = ask.target.replace("offset=50", "offset=60");
            let page = format!(r#"{{"records":[],"next":"{next}"}}"#);
            last_of_quota.then(|| Answer::json(page).header(header, value).header("X-Rate-Limit-Reset", "2"))
        });
        let _pollinator = scene.start();
        let asks = first_listing(&scene.provider);
        let at = |wanted| asks.iter().find(|ask| offset(ask) == Some(wanted)).expect("asked for").at;
        assert_eq!(asks.len(), 20, "each page once");
        assert!(at(60) - at(50) >= Duration::from_secs(2), "{header}");
    }
}

#[test]
fn a_page_that_stays_broken_fails_the_poll_with_its_reason_and_loses_nothing() {
    let scene = twenty_pages(Listing::Ascending);
    scene.provider.misbehave(|ask| (offset(ask) == Some(50)).then(|| Answer::status(503)));
    let pollinator = scene.site.start();
    pollinator.wait_reason("it", "ProviderError");
    let asks = first_listing(&scene.provider);
    let tries = asks.iter().filter(|ask| offset(ask) == Some(50)).count();
    assert_eq!((tries, asks.len()), (8, 5 + 8));
    scene.provider.misbehave(|_| None);
    scene.assert_perfect(&pollinator);
}

#[test]
fn a_page_that_is_not_found_fails_the_poll_at_once_and_loses_nothing() {
    let scene = twenty_pages(Listing::Ascending);
    scene.provider.misbehave(|ask| (offset(ask) == Some(50)).then(|| Answer::status(404)));
    let pollinator = scene.site.start();
    pollinator.wait_reason("it", "NotFound");
    let asks = first_listing(&scene.provider);
    let tries = asks.iter().filter(|ask| offset(ask) == Some(50)).count();
    assert_eq!((tries, asks.len()), (1, 6), "it is not asked for again before the next poll");
    scene.provider.misbehave(|_| None);
    scene.assert_perfect(&pollinator);
}

#[test]
fn a_long_wait_in_the_middle_puts_the_poll_off() {
    let scene = twenty_pages(Listing::Ascending);
    scene.provider.misbehave(|ask| (offset(ask) == Some(50)).then(|| Answer::status(429).header("Retry-After", "3600")));
    let pollinator = scene.site.start();
    pollinator.wait_reason("it", "RateLimited");
    assert_eq!(scene.provider.asked(), 6, "nothing more is asked");
}
