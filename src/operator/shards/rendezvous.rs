//! Members and ranges → who should hold what. Every member computes the same from the same view, so no member has to decide.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::range::Range;

/// How much a member is drawn to a range: rendezvous hashing, so that a member that comes or goes moves only its own share.
pub fn weight(member: &str, range: Range) -> u64 {
    xxh3_64_with_seed(member.as_bytes(), (u64::from(range.of()) << 16) | u64::from(range.index()))
}

/// Position of a member in the order in which members are drawn to a range; 0 is drawn most.
pub fn rank(member: &str, range: Range, members: &[&str]) -> usize {
    let own = (weight(member, range), member);
    members.iter().filter(|other| (weight(other, range), **other) > own).count()
}

/// Who should hold each range. Every member gets `floor(S / M)` ranges and `S mod M` of them one more. A member that holds a range loses it
/// only if it has too many; of too many, those go that it is drawn to least.
///
/// `holders` says for each range which of the `members` holds it, if one does. Empty without members.
pub fn assign<'a>(members: &[&'a str], holders: &[Option<&'a str>]) -> Vec<&'a str> {
    let mut members = members.to_vec();
    members.sort_unstable();
    members.dedup();
    if members.is_empty() {
        return Vec::new();
    }
    let of = u16::try_from(holders.len()).unwrap_or(u16::MAX);
    let ranges: Vec<Range> = Range::all(of).collect();
    let mut shares: Vec<Share<'_>> = members
        .iter()
        .map(|name| {
            let mut held: Vec<Range> =
                ranges.iter().copied().filter(|r| holders[usize::from(r.index())] == Some(*name)).collect();
            held.sort_by_key(|range| std::cmp::Reverse(weight(name, *range)));
            Share { name, held, cap: 0 }
        })
        .collect();
    // The members that hold most keep the odd ones: that moves least.
    shares.sort_by_key(|share| (std::cmp::Reverse(share.held.len()), share.name));
    let (base, odd) = (ranges.len() / shares.len(), ranges.len() % shares.len());
    for (position, share) in shares.iter_mut().enumerate() {
        share.cap = base + usize::from(position < odd);
        share.held.truncate(share.cap);
    }
    let mut assigned = vec![None; ranges.len()];
    for share in &shares {
        for range in &share.held {
            assigned[usize::from(range.index())] = Some(share.name);
        }
    }
    ranges
        .iter()
        .map(|range| {
            assigned[usize::from(range.index())].unwrap_or_else(|| {
                let open = shares.iter_mut().filter(|share| share.held.len() < share.cap);
                // The caps add up to the number of ranges, so one member is open.
                open.max_by_key(|share| (weight(share.name, *range), share.name)).map_or(members[0], |share| {
                    share.held.push(*range);
                    share.name
                })
            })
        })
        .collect()
}

struct Share<'a> {
    name: &'a str,
    held: Vec<Range>,
    cap: usize,
}

/// The one range that `me` should hand over now, if any. Of all members only the one with the most surplus hands over, and only
/// while every range is held: one hand-over at a time in the whole group.
pub fn hand_over<'a>(me: &'a str, members: &[&'a str], holders: &[Option<&'a str>]) -> Option<Range> {
    if holders.iter().any(Option::is_none) {
        return None;
    }
    let targets = assign(members, holders);
    let of = u16::try_from(holders.len()).ok()?;
    let surplus = |member: &str| {
        let moved = Range::all(of).filter(|range| {
            let index = usize::from(range.index());
            holders[index] == Some(member) && targets.get(index).is_some_and(|target| *target != member)
        });
        moved.collect::<Vec<_>>()
    };
    let first = members.iter().min_by_key(|member| (std::cmp::Reverse(surplus(member).len()), **member))?;
    if *first != me {
        return None;
    }
    surplus(me).into_iter().min_by_key(|range| weight(me, *range))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn counts<'a>(targets: &[&'a str]) -> BTreeMap<&'a str, usize> {
        let mut counts = BTreeMap::new();
        for target in targets {
            *counts.entry(*target).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn a_lone_member_gets_all_and_one_range_has_one_owner() {
        assert_eq!(assign(&["a"], &[None; 16]), vec!["a"; 16]);
        assert_eq!(assign(&["a", "b"], &[Some("b")]), ["b"]);
        assert!(assign(&[], &[None; 4]).is_empty());
    }

    #[test]
    fn a_newcomer_gets_its_share_and_nobody_else_moves() {
        let before: Vec<_> = assign(&NAMES[..4], &[None; 16]).into_iter().map(Some).collect();
        let after = assign(&NAMES[..5], &before);
        assert_eq!(counts(&after)["e"], 3);
        let moved = before.iter().zip(&after).filter(|(old, new)| **old != Some(**new));
        assert!(moved.clone().all(|(_, new)| *new == "e"));
        assert_eq!(moved.count(), 3);
    }

    fn view() -> impl Strategy<Value = (usize, Vec<Option<&'static str>>)> {
        (1..=NAMES.len()).prop_flat_map(|members| {
            (Just(members), prop::collection::vec(prop::option::of(prop::sample::select(&NAMES[..])), 1..40))
        })
    }

    proptest! {
        #[test]
        fn shares_differ_by_one_at_most((members, holders) in view()) {
            let members = &NAMES[..members];
            let targets = assign(members, &holders);
            let counts = counts(&targets);
            let of = |name: &str| counts.get(name).copied().unwrap_or(0);
            let (low, high) = (members.iter().map(|m| of(m)).min(), members.iter().map(|m| of(m)).max());
            prop_assert!(high.unwrap() - low.unwrap() <= 1, "{counts:?}");
            prop_assert!(targets.iter().all(|target| members.contains(target)));
        }

        #[test]
        fn is_stable_once_reached_and_blind_to_the_order_of_members((members, holders) in view()) {
            let members = &NAMES[..members];
            let targets = assign(members, &holders);
            let reached: Vec<_> = targets.iter().copied().map(Some).collect();
            prop_assert_eq!(&assign(members, &reached), &targets);
            let backwards: Vec<_> = members.iter().rev().copied().collect();
            prop_assert_eq!(&assign(&backwards, &holders), &targets);
            prop_assert!(members.iter().all(|me| hand_over(me, members, &reached).is_none()));
        }

        #[test]
        fn hand_overs_come_one_at_a_time_and_lead_to_balance((members, holders) in view()) {
            let members = &NAMES[..members];
            let mut held: Vec<_> = assign(members, &holders).into_iter().collect();
            // Anything that live members may hold, however skewed.
            for (index, holder) in holders.iter().enumerate() {
                if let Some(holder) = holder && members.contains(holder) {
                    held[index] = holder;
                }
            }
            for _ in 0..=held.len() {
                let view: Vec<_> = held.iter().copied().map(Some).collect();
                let offers: Vec<_> = members.iter().filter_map(|me| hand_over(me, members, &view)).collect();
                let Some(range) = offers.first() else {
                    let counts = counts(&held);
                    let of = |name: &&str| counts.get(*name).copied().unwrap_or(0);
                    let (low, high) = (members.iter().map(of).min(), members.iter().map(of).max());
                    prop_assert!(high.unwrap() - low.unwrap() <= 1, "{counts:?}");
                    return Ok(());
                };
                prop_assert_eq!(offers.len(), 1);
                let mut freed = view.clone();
                freed[usize::from(range.index())] = None;
                prop_assert!(members.iter().all(|me| hand_over(me, members, &freed).is_none()));
                held[usize::from(range.index())] = assign(members, &freed)[usize::from(range.index())];
            }
            prop_assert!(false, "more hand-overs than ranges");
        }
    }
}
