use super::*;
use proptest::prelude::{Just, Strategy as Generator, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::Strategy;
use crate::plan::{StartFrom, sample};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn plan(order: Order) -> ResourcePlan {
    ResourcePlan { order, ..sample::resource() }
}

fn page(seen: Seen) -> PageFacts {
    PageFacts {
        tried: 0,
        undelivered: Undelivered::None,
        has_next: true,
        provider_date: Some(at(0)),
        seen,
        has_news: false,
        remembered: false,
        least: None,
        greatest: seen.greatest,
        ids: 1,
        rows: 1,
    }
}

#[test]
fn a_filtered_baseline_begins_a_little_before_the_providers_clock() {
    let plan = plan(Order::Unordered);
    let mut poll = PollMachine::new(&plan, Mode::Baseline, None);
    assert_eq!((poll.strategy(), poll.since()), (Strategy::Clock, None));
    assert_eq!(poll.next(Input::Page(page(Seen::default()))), Next::Listing);
    let from = Some(at(0) - window::ZONES);
    assert_eq!((poll.strategy(), poll.since()), (Strategy::Baseline { from }, from));
    assert_eq!(poll.next(Input::Page(page(Seen::default()))), Next::Page);
    assert_eq!(poll.next(Input::End), Next::Done(PollEnd::Complete { settled: true }));
    assert_eq!(poll.ending().baseline_from, from);
}

#[test]
fn a_baseline_by_content_of_several_pages_is_read_until_nothing_is_new_and_later_polls_once() {
    let plan = ResourcePlan { change_by: ChangeBy::Content, ..plan(Order::Unordered) };
    let (quiet, news) = (page(Seen::default()), PageFacts { remembered: true, ..page(Seen::default()) });
    let done = Next::Done(PollEnd::Complete { settled: true });
    let mut poll = PollMachine::new(&plan, Mode::Baseline, None);
    for (facts, next) in [(news, Next::Listing), (news, Next::Listing), (quiet, done)] {
        poll.next(Input::Page(facts));
        poll.next(Input::Page(quiet));
        assert_eq!(poll.next(Input::End), next);
    }
    let mut poll = PollMachine::new(&plan, Mode::Baseline, None);
    poll.next(Input::Page(news));
    assert_eq!(poll.next(Input::End), done, "one response holds still");
    let mut poll = PollMachine::new(&plan, Mode::Usual, None);
    poll.next(Input::Page(news));
    poll.next(Input::Page(news));
    assert_eq!(poll.next(Input::End), done);
}

#[test]
fn a_date_that_is_ahead_of_our_clock_leaves_nothing_out_of_the_baseline() {
    let plan = plan(Order::Unordered);
    for (ours, from) in [(-86_400, -86_400), (86_400, 0)] {
        let mut poll = PollMachine::new(&plan, Mode::Baseline, None).read_at(at(ours));
        assert_eq!(poll.next(Input::Page(page(Seen::default()))), Next::Listing);
        assert_eq!(poll.strategy(), Strategy::Baseline { from: Some(at(from) - window::ZONES) }, "{ours}");
    }
}

#[test]
fn without_a_clock_or_with_unreadable_dates_all_of_the_list_is_the_baseline() {
    let plan = plan(Order::Unordered);
    for facts in [PageFacts { provider_date: None, ..page(Seen::default()) }, page(Seen { bad_dates: 1, ..Seen::default() })] {
        let mut poll = PollMachine::new(&plan, Mode::Baseline, None);
        assert_eq!(poll.next(Input::Page(facts)), Next::Page);
        assert_eq!(poll.strategy(), Strategy::Baseline { from: None });
    }
}

#[test]
fn a_list_of_several_pages_is_read_until_a_pass_brings_nothing() {
    let plan = plan(Order::Unordered);
    let mut poll = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
    assert_eq!(poll.strategy(), Strategy::UntilQuiet);
    for _ in 0..2 {
        poll.next(Input::Page(PageFacts { tried: 1, ..page(Seen::default()) }));
        poll.next(Input::Page(page(Seen::default())));
        assert_eq!(poll.next(Input::End), Next::Listing);
        assert_eq!(poll.since(), Some(at(-60)), "from the old bound");
    }
    poll.next(Input::Page(page(Seen::default())));
    poll.next(Input::Page(page(Seen::default())));
    assert_eq!(poll.next(Input::End), Next::Done(PollEnd::Complete { settled: true }));
}

/// Rows that move may have hidden one from the only pass, so the cursor stays; a second pass, or a single page, hides nothing.
#[test]
fn a_pass_over_several_pages_alone_confirms_nothing() {
    let plan = plan(Order::Unordered);
    let done = Next::Done(PollEnd::Complete { settled: true });
    let quiet = || Input::Page(page(Seen::default()));
    let brought = |tried, remembered| Input::Page(PageFacts { tried, remembered, ..page(Seen::default()) });
    for (first, passes, is_confirmed) in [(quiet(), 1, false), (brought(1, false), 2, true), (brought(0, true), 2, true)] {
        let mut poll = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
        poll.next(first);
        poll.next(quiet());
        for _ in 1..passes {
            assert_eq!(poll.next(Input::End), Next::Listing);
            poll.next(quiet());
            poll.next(quiet());
        }
        assert_eq!((poll.next(Input::End), poll.is_confirmed()), (done, is_confirmed));
    }
    let mut poll = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
    poll.next(quiet());
    assert_eq!((poll.next(Input::End), poll.is_confirmed()), (done, true));
}

#[test]
fn a_list_that_never_holds_still_is_given_up_unsettled() {
    let plan = plan(Order::Unordered);
    let mut poll = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
    for pass in 1..=MAX_LISTINGS {
        poll.next(Input::Page(PageFacts { tried: 1, ..page(Seen::default()) }));
        poll.next(Input::Page(PageFacts { tried: 1, ..page(Seen::default()) }));
        let next = poll.next(Input::End);
        let last = Next::Done(PollEnd::Complete { settled: false });
        assert_eq!(next, if pass == MAX_LISTINGS { last } else { Next::Listing });
    }
}

#[test]
fn newest_first_stops_at_what_is_old_but_does_not_believe_a_first_page_of_old_rows() {
    let plan = plan(Order::Descending);
    let begin = || PollMachine::new(&plan, Mode::Usual, Some(at(0)));
    let old = page(Seen { reached_lower: true, ..Seen::default() });
    let news = PageFacts { has_news: true, ..old };
    let done = Next::Done(PollEnd::Complete { settled: true });
    let mut poll = begin();
    assert_eq!(poll.next(Input::Page(news)), Next::Page, "pinned rows may have been among them");
    assert_eq!(poll.next(Input::Page(old)), done);
    let mut poll = begin();
    assert_eq!(poll.next(Input::Page(old)), Next::Page, "pinned rows may be first");
    assert_eq!(poll.next(Input::Page(old)), done);
    let mut poll = begin();
    poll.next(Input::Page(old));
    let disorder = PageFacts { has_news: true, ..page(Seen { disorder: true, reached_lower: true, ..Seen::default() }) };
    assert_eq!(poll.next(Input::Page(disorder)), Next::Page);
    assert_eq!(poll.next(Input::Page(PageFacts { has_news: false, ..disorder })), Next::Page, "then all of it is read");
}

#[test]
fn ascending_pages_are_left_behind_one_by_one() {
    let plan = plan(Order::Ascending);
    let mut poll = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
    assert_eq!(poll.since(), Some(at(-60)));
    let seen = |greatest| Seen { greatest: Some(at(greatest)), ..Seen::default() };
    // the margin behind the cursor is left behind in the same way, and the cursor stays
    assert_eq!(poll.next(Input::Page(page(seen(-20)))), Next::Listing);
    assert_eq!((poll.cursor(), poll.since()), (Some(at(0)), Some(at(-20))));
    assert_eq!(poll.next(Input::Page(page(seen(30)))), Next::Listing);
    assert_eq!((poll.cursor(), poll.since()), (Some(at(30)), Some(at(30))));
    // inside one date it is paged on
    let tie = PageFacts { least: Some(at(29)), ..page(seen(30)) };
    let left = PageFacts { ids: 2, ..tie };
    for first in [tie, left, left] {
        assert_eq!(
            (poll.cursor(), poll.since()),
            (Some(at(30)), Some(at(30))),
            "a row that left a page may have hidden another"
        );
        assert_eq!(poll.next(Input::Page(first)), Next::Page);
        assert_eq!(poll.next(Input::Page(page(seen(31)))), Next::Listing);
    }
    assert_eq!((poll.cursor(), poll.since()), (Some(at(31)), Some(at(31))));
    let last = PageFacts { has_next: false, least: Some(at(31)), ..page(seen(40)) };
    assert_eq!(poll.next(Input::Page(last)), Next::Page);
    assert_eq!(poll.next(Input::End), Next::Done(PollEnd::Complete { settled: true }));
}

#[test]
fn no_page_is_left_behind_whose_changes_were_not_delivered() {
    let plan = plan(Order::Ascending);
    let mut poll = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
    let seen = Seen { greatest: Some(at(30)), ..Seen::default() };
    let failed = PageFacts { undelivered: Undelivered::Since(at(20)), ..page(seen) };
    assert_eq!(poll.next(Input::Page(failed)), Next::Page);
    assert_eq!(poll.next(Input::Page(page(Seen { greatest: Some(at(50)), ..seen }))), Next::Page);
    assert_eq!(poll.cursor(), Some(at(0)));
}

#[test]
fn a_broken_order_or_an_ignored_filter_ends_the_advance() {
    let plan = plan(Order::Ascending);
    let begin = || {
        let mut poll = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
        poll.next(Input::Page(page(Seen { greatest: Some(at(30)), ..Seen::default() })));
        poll
    };
    let mut poll = begin();
    let disorder = Seen { greatest: Some(at(30)), disorder: true, ..Seen::default() };
    assert_eq!(poll.next(Input::Page(page(disorder))), Next::Listing);
    assert_eq!((poll.strategy(), poll.cursor(), poll.since()), (Strategy::UntilQuiet, Some(at(0)), Some(at(-60))));
    let mut poll = begin();
    let again = PageFacts { least: Some(at(-500)), ..page(Seen { greatest: Some(at(30)), ..Seen::default() }) };
    assert_eq!(poll.next(Input::Page(again)), Next::Page);
    assert_eq!(poll.strategy(), Strategy::UntilQuiet);
}

#[test]
fn the_first_read_of_a_descending_list_sends_the_oldest_first() {
    let plan = ResourcePlan { start_from: StartFrom::Earliest, ..plan(Order::Descending) };
    let poll = PollMachine::new(&plan, Mode::FirstRead, None);
    assert_eq!((poll.strategy(), poll.since()), (Strategy::OldestFirst, None));
}

fn facts() -> impl Generator<Value = Input> {
    let page = (0usize..3, any::<bool>(), any::<bool>(), -100i64..1_000, any::<[bool; 3]>(), -600i64..100, 0u64..3).prop_map(
        |(tried, failed, has_next, greatest, [disorder, reached_lower, has_news], least, ids)| {
            let seen = Seen { greatest: Some(at(greatest)), disorder, reached_lower, ..Seen::default() };
            let undelivered = if failed { Undelivered::Since(at(greatest)) } else { Undelivered::None };
            let provider_date = Some(at(2_000));
            let (least, greatest) = (Some(at(least)), seen.greatest);
            Input::Page(PageFacts {
                tried,
                undelivered,
                has_next,
                provider_date,
                seen,
                has_news,
                remembered: failed,
                least,
                greatest,
                ids,
                rows: 3,
            })
        },
    );
    prop_oneof![5 => page, 1 => Just(Input::End)]
}

proptest! {
    /// Whatever the pages show: a poll ends, its cursor stays between its start and the greatest date that was delivered, and goes back
    /// only to its start, where the order was broken.
    #[test]
    fn arbitrary_pages_end_and_move_no_cursor_past_what_was_taken(
        inputs in prop::collection::vec(facts(), 200),
        order in prop_oneof![Just(Order::Ascending), Just(Order::Descending), Just(Order::Unordered)],
        mode in prop_oneof![Just(Mode::Baseline), Just(Mode::FirstRead), Just(Mode::Usual)],
        cursor in prop::option::of(0i64..10),
    ) {
        let plan = plan(order);
        let start = cursor.map(at);
        let mut poll = PollMachine::new(&plan, mode, start);
        let (mut listings, mut greatest) = (0, None);
        for input in inputs.into_iter().chain(std::iter::repeat_n(Input::End, 20)) {
            let before = poll.cursor();
            if let Input::Page(facts) = input {
                greatest = greatest.max(facts.seen.greatest);
            }
            let next = poll.next(input);
            let moved = poll.cursor() != before;
            prop_assert!(poll.cursor() == start || poll.cursor() <= greatest);
            prop_assert!(poll.cursor() >= before || (poll.cursor() == start && poll.strategy() == Strategy::UntilQuiet));
            if moved {
                prop_assert!(poll.is_clean(), "a listing begins after each move");
                prop_assert!(matches!(next, Next::Listing | Next::Done(PollEnd::OutOfPages)));
            }
            if let Next::Listing = next {
                listings += 1;
                prop_assert_eq!(poll.listing_pages(), 0);
            }
            if let Next::Done(_) = next {
                return Ok(());
            }
        }
        prop_assert!(false, "no end after {} listings", listings);
    }
}

#[test]
fn a_sweep_reads_the_whole_list_once_and_moves_no_cursor() {
    let plan = plan(Order::Descending);
    let mut poll = PollMachine::sweep(&plan, Some(at(0)));
    assert_eq!((poll.strategy(), poll.since()), (Strategy::Sweep, None));
    let old = Seen { reached_lower: true, greatest: Some(at(90)), ..Seen::default() };
    for _ in 0..3 {
        assert_eq!(poll.next(Input::Page(PageFacts { tried: 1, ..page(old) })), Next::Page, "old records end nothing");
    }
    assert_eq!((poll.next(Input::End), poll.cursor()), (Next::Done(PollEnd::Complete { settled: true }), Some(at(0))));
    let mut whole = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
    assert_eq!(whole.strategy(), Strategy::NewestFirst);
    whole.to_the_end();
    assert_eq!(whole.strategy(), Strategy::UntilQuiet);
}

#[test]
fn a_provider_that_does_not_list_everything_is_asked_for_less_once() {
    let plan = plan(Order::Unordered);
    let mut poll = PollMachine::new(&plan, Mode::Baseline, None);
    assert_eq!((poll.strategy(), poll.since()), (Strategy::Clock, None));
    assert!(poll.ask_for_less(at(1_000_000)));
    let from = Some(at(1_000_000) - window::ZONES);
    assert_eq!((poll.strategy(), poll.since()), (Strategy::Baseline { from }, from));
    assert!(!poll.ask_for_less(at(1_000_000)), "then it has failed");
    assert!(!PollMachine::new(&plan, Mode::Usual, Some(at(0))).ask_for_less(at(1_000_000)));
    let mut shown = PollMachine::new(&plan, Mode::Baseline, None);
    shown.next(Input::Page(PageFacts { provider_date: None, ..page(Seen::default()) }));
    assert!(!shown.ask_for_less(at(1_000_000)), "without a clock the whole list is the baseline");
}

#[test]
fn an_order_that_was_broken_is_not_made_use_of() {
    for order in [Order::Ascending, Order::Descending] {
        let plan = plan(order);
        let mut poll = PollMachine::new(&plan, Mode::Usual, Some(at(0)));
        assert_ne!(poll.strategy(), Strategy::UntilQuiet);
        poll.distrust_order();
        assert_eq!(poll.strategy(), Strategy::UntilQuiet);
    }
    let plan = plan(Order::Descending);
    let mut first = PollMachine::new(&plan, Mode::FirstRead, None);
    first.distrust_order();
    assert_eq!(first.strategy(), Strategy::OldestFirst, "which reads to the end, too");
}
