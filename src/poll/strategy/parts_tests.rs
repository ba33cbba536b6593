//! Lists with a cap, played against a provider of arbitrary dates, orders, filters and deaths of the process.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::{Just, Strategy as Generator, any, prop, prop_assert, prop_oneof, proptest};

use super::*;
use crate::fetch::result_cap::ResultCap;
use crate::plan::template::{MacroContext, Place, Template};
use crate::plan::{StartFrom, sample};

/// A provider that shows no more than its cap of what lies between two bounds.
#[derive(Clone, Debug)]
struct Provider {
    /// Milliseconds of each row; its place is its id.
    rows: Vec<i64>,
    order: Order,
    /// Whether its filter takes in a row at the lower and at the upper bound.
    includes: (bool, bool),
    page_size: usize,
    cap: u32,
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn at(millis: i64) -> DateTime<Utc> {
    now() - TimeDelta::days(3) + TimeDelta::milliseconds(millis)
}

impl Provider {
    fn plan(&self) -> ResourcePlan {
        let mut plan = ResourcePlan { order: self.order, result_cap: Some(self.cap), ..sample::resource() };
        plan.start_from = StartFrom::Earliest;
        let query = [("from", "${since}"), ("to", "${until}")];
        plan.request.query = query.map(|(name, text)| (name.to_owned(), Template::parse(text).unwrap())).to_vec();
        plan
    }

    /// Ids of the rows that a request matches, as the list has them.
    fn matches(&self, plan: &ResourcePlan, since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Vec<usize> {
        let rest = plan.macros(now());
        let context = MacroContext { since, until: until.unwrap_or(rest.until), ..rest };
        let [from, to] = [0, 1].map(|index: usize| plan.request.query[index].1.render(&context, Place::Header));
        let [from, to] = [from, to].map(|text| DateTime::parse_from_rfc3339(&text).unwrap().to_utc());
        let (low, high) = self.includes;
        let is_in = |date: DateTime<Utc>| (date > from || (low && date == from)) && (date < to || (high && date == to));
        let mut ids: Vec<_> = (0..self.rows.len()).filter(|id| is_in(at(self.rows[*id]))).collect();
        match self.order {
            Order::Ascending => ids.sort_by_key(|id| (self.rows[*id], *id)),
            Order::Descending => ids.sort_by_key(|id| (-self.rows[*id], *id)),
            Order::Unordered => ids.sort_by_key(|id| id.wrapping_mul(2_654_435_761) % 1_009),
        }
        ids
    }

    /// One poll, which dies when it has begun `dies_after` listings. Answers the cursor, whether some rows cannot be read, and whether the poll ended.
    fn poll(
        &self,
        plan: &ResourcePlan,
        (started, cursor): (bool, Option<DateTime<Utc>>),
        read: &mut BTreeSet<usize>,
        dies_after: Option<u32>,
    ) -> (Option<DateTime<Utc>>, bool, bool) {
        let mode = if started { Mode::Usual } else { Mode::FirstRead };
        let mut machine = PollMachine::new(plan, mode, cursor).read_at(now());
        let mut greatest = None;
        for listing in 0..1_000 {
            if dies_after.is_some_and(|most| listing >= most) {
                return (machine.cursor(), machine.unread_parts() > 0, false);
            }
            let ids = self.matches(plan, machine.since(), machine.until());
            let mut counted = ResultCap::of(plan);
            let mut pages = ids.chunks(self.page_size).peekable();
            let mut next = None;
            // What is read from its end is gathered first, and dropped where it is cut off.
            let is_reversed = machine.strategy() == Strategy::OldestFirst;
            while let Some(page) = pages.next() {
                counted.note(page.len(), pages.peek().is_some());
                if !is_reversed {
                    let dates = || page.iter().map(|id| at(self.rows[*id]));
                    let tried = page.iter().filter(|id| read.insert(**id)).count();
                    greatest = greatest.max(dates().max());
                    let lower = machine.since();
                    let facts = PageFacts {
                        tried,
                        undelivered: Undelivered::None,
                        has_next: pages.peek().is_some(),
                        provider_date: Some(now()),
                        seen: Seen {
                            greatest,
                            reached_lower: dates().any(|date| lower.is_some_and(|lower| date < lower)),
                            ..Seen::default()
                        },
                        has_news: dates().any(|date| lower.is_none_or(|lower| date >= lower)),
                        remembered: false,
                        least: dates().min(),
                        greatest: dates().max(),
                        ids: page.iter().fold(7, |hash: u64, id| hash.rotate_left(1) ^ (*id as u64)),
                        rows: page.len(),
                    };
                    next = Some(machine.next(Input::Page(facts)));
                    if next != Some(Next::Page) {
                        break;
                    }
                }
                if counted.is_reached() {
                    break;
                }
            }
            if is_reversed && !counted.is_reached() {
                let tried = ids.iter().filter(|id| read.insert(**id)).count();
                let newest = ids.iter().map(|id| at(self.rows[*id])).max();
                greatest = greatest.max(newest);
                let seen = Seen { greatest, ..Seen::default() };
                let facts = PageFacts { tried, has_next: false, seen, least: newest, greatest: newest, ..EMPTY };
                next = Some(machine.next(Input::Page(facts)));
            }
            if next.is_none_or(|next| next == Next::Page) {
                next = Some(machine.next(if counted.is_reached() { Input::CutOff } else { Input::End }));
            }
            match next {
                Some(Next::Done(PollEnd::Complete { settled })) => {
                    let ending = machine.ending();
                    let cursor = if settled { window::next_cursor(cursor, greatest, ending.undelivered) } else { cursor };
                    return (machine.cursor().max(cursor), machine.unread_parts() > 0, settled);
                }
                Some(Next::Listing | Next::Part) => {}
                other => panic!("{other:?}"),
            }
        }
        panic!("no end: {self:?}");
    }

    /// Rows that a request for the shortest part around a date may match.
    fn around(&self, millis: i64) -> usize {
        self.rows.iter().filter(|row| (**row - millis).abs() <= 4_000).count()
    }
}

const EMPTY: PageFacts = PageFacts {
    tried: 0,
    undelivered: Undelivered::None,
    has_next: true,
    provider_date: None,
    seen: Seen {
        records: 0,
        listed: 0,
        outdated: 0,
        bad_dates: 0,
        far_ahead: 0,
        repeated_ids: 0,
        shown_again: 0,
        unread_marks: 0,
        status_words: 0,
        tombstones: 0,
        excluded: 0,
        lost_dates: 0,
        older: 0,
        unknown: 0,
        seen_before: 0,
        known: 0,
        witness: None,
        whole_days: false,
        ahead: 0,
        greatest: None,
        newest_change: None,
        disorder: false,
        reached_lower: false,
    },
    has_news: true,
    remembered: false,
    least: None,
    greatest: None,
    ids: 1,
    rows: 1,
};

fn providers() -> impl Generator<Value = Provider> {
    // Some lie far apart, some within seconds, and some at one instant.
    let rows = prop_oneof![
        (0i64..250_000_000).prop_map(|at| vec![at]),
        ((0i64..250_000_000), 1usize..40).prop_map(|(at, count)| vec![at; count]),
        ((0i64..250_000_000), prop::collection::vec(0i64..9_000, 1..40))
            .prop_map(|(at, behind)| behind.into_iter().map(|by| at + by).collect()),
    ];
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending), Just(Order::Unordered)];
    // Some providers stamp whole seconds.
    let rows = (rows, any::<bool>()).prop_map(|(rows, whole): (Vec<i64>, bool)| {
        rows.into_iter().map(|at| if whole { at / 1_000 * 1_000 } else { at }).collect::<Vec<_>>()
    });
    (prop::collection::vec(rows, 0..12), order, any::<(bool, bool)>(), 3usize..12, 15u32..40)
        .prop_map(|(rows, order, includes, page_size, cap)| Provider { rows: rows.concat(), order, includes, page_size, cap })
}

proptest! {
    /// Whatever is listed: no row behind the cursor was not read; a poll that is ready has read every row or says that it could not, and
    /// says so only where more rows lie within some seconds than the provider lists. Deaths on the way change none of that.
    #[test]
    fn no_row_of_a_list_with_a_cap_is_lost_silently(
        provider in providers(),
        deaths in prop::collection::vec(1u32..30, 0..4),
    ) {
        let plan = provider.plan();
        let (mut read, mut cursor) = (BTreeSet::new(), None);
        let is_behind = |cursor: Option<DateTime<Utc>>, read: &BTreeSet<usize>| {
            (0..provider.rows.len()).find(|id| !read.contains(id) && cursor.is_some_and(|cursor| at(provider.rows[*id]) < cursor))
        };
        for dies_after in deaths {
            cursor = provider.poll(&plan, (false, cursor), &mut read, Some(dies_after)).0;
            prop_assert!(is_behind(cursor, &read).is_none(), "behind {:?}", cursor);
        }
        let mut unread = false;
        for started in [false, true] {
            let ended;
            (cursor, unread, ended) = provider.poll(&plan, (started, cursor), &mut read, None);
            prop_assert!(is_behind(cursor, &read).is_none(), "behind {:?}", cursor);
            prop_assert!(ended, "a list that holds still is read to its end");
            prop_assert!(unread || read.len() == provider.rows.len(), "lost silently, with the cursor at {:?}", cursor);
        }
        let may_pass = |millis: &i64| provider.around(*millis) + provider.page_size > provider.cap as usize;
        prop_assert!(!unread || provider.rows.iter().any(may_pass), "every second can be read");
    }
}

#[test]
fn a_crowd_at_the_end_of_a_part_is_not_approached_in_single_steps() {
    for n in 0..5 {
        // One half lies at a whole second, the other one ten seconds before it.
        let rows = [vec![80_000_000; 9 + n], vec![79_990_000; 9], vec![0; 3]].concat();
        let provider = Provider { rows, order: Order::Descending, includes: (true, true), page_size: 5, cap: 17 };
        let plan = provider.plan();
        let mut read = BTreeSet::new();
        let (_, unread, ended) = provider.poll(&plan, (true, None), &mut read, None);
        assert!(ended && !unread && read.len() == provider.rows.len());
    }
}

#[test]
fn what_lies_behind_a_crowded_second_is_read_and_the_cursor_stays_before_it() {
    for (order, includes) in [
        (Order::Ascending, (true, true)),
        (Order::Descending, (true, false)),
        (Order::Unordered, (false, true)),
        (Order::Unordered, (false, false)),
    ] {
        let mut rows = vec![100_000_000; 250];
        rows.extend((0..300).map(|n| n * 1_000_000 + 500_000));
        let provider = Provider { rows, order, includes, page_size: 10, cap: 100 };
        let plan = provider.plan();
        let mut read = BTreeSet::new();
        let (cursor, unread, _) = provider.poll(&plan, (true, None), &mut read, None);
        assert!(unread && cursor <= Some(at(100_000_000)), "{order:?}: {cursor:?}");
        assert!(cursor > Some(at(98_500_000)), "{order:?}: all before it is behind the cursor, which is at {cursor:?}");
        let scattered = (250..550).filter(|id| read.contains(id)).count();
        assert_eq!(scattered, 300, "{order:?}");
        assert!(read.len() >= 400, "{order:?}: of the second what the provider shows is read, too");
    }
}
