//! What travels in one request, and what becomes of a request that is refused. Pure.

use super::sink::BatchLimit;
use super::triage::Ready;

/// Which changes travel in one request, by their index and in their order. What failed before travels alone, and first. `size`: how much
/// of the limit's bytes a change takes.
pub fn batches(ready: &[Ready], limit: BatchLimit, size: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    if limit.events <= 1 {
        return ready.iter().map(|ready| vec![ready.index]).collect();
    }
    let (alone, together): (Vec<Ready>, Vec<Ready>) = ready.iter().partition(|ready| ready.failed_before);
    let mut requests: Vec<_> = alone.into_iter().map(|ready| vec![ready.index]).collect();
    let mut room = 0;
    // What failed before is never joined, though there is room.
    let mut batch: Option<Vec<usize>> = None;
    for Ready { index, .. } in together {
        let bytes = size(index);
        match &mut batch {
            Some(batch) if room >= bytes && batch.len() < limit.events => {
                room -= bytes;
                batch.push(index);
            }
            _ => {
                room = limit.bytes.saturating_sub(bytes);
                requests.extend(batch.replace(vec![index]));
            }
        }
    }
    requests.extend(batch);
    requests
}

/// The parts of a request that are still to be sent, in order. One that is refused is split in halves, down to a single event, so that
/// nothing but what the sink refuses by itself counts as refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The next one is the last.
    waiting: Vec<Vec<usize>>,
}

impl Parts {
    /// A request that was not sent yet.
    pub fn of(batch: Vec<usize>) -> Self {
        Self { waiting: vec![batch] }
    }

    /// The next part to send.
    pub fn take_next(&mut self) -> Option<Vec<usize>> {
        self.waiting.pop()
    }

    /// A part of several events was refused: its halves come next.
    pub fn split(&mut self, mut part: Vec<usize>) {
        let rest = part.split_off(part.len().div_ceil(2));
        self.waiting.extend([rest, part]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What was refused alone, what was accepted, and how many requests it took.
    fn deliver(batch: Vec<usize>, is_bad: impl Fn(usize) -> bool) -> (Vec<usize>, Vec<usize>, usize) {
        let (mut refused, mut accepted, mut requests) = (Vec::new(), Vec::new(), 0);
        let mut parts = Parts::of(batch);
        while let Some(part) = parts.take_next() {
            requests += 1;
            assert!(!part.is_empty());
            match (part.iter().any(|change| is_bad(*change)), part.len()) {
                (false, _) => accepted.extend(part),
                (true, 1) => refused.extend(part),
                (true, _) => parts.split(part),
            }
        }
        (refused, accepted, requests)
    }

    #[test]
    fn one_bad_event_of_a_hundred_is_found_in_few_requests() {
        for bad in [0, 41, 99] {
            let (refused, accepted, requests) = deliver((0..100).collect(), |change| change == bad);
            assert_eq!((refused, accepted.len()), (vec![bad], 99));
            // 100 = 50 + 50, one half is split again, and so on down to one of two
            assert!(requests <= 15, "{requests}");
        }
    }

    proptest! {
        #[test]
        fn each_change_is_in_one_request_within_the_limits(
            changes in proptest::collection::vec((1_usize..400, proptest::bool::weighted(0.1)), 0..130),
            events in 1_usize..130,
            bytes in 1_usize..2_000,
        ) {
            let ready: Vec<_> =
                changes.iter().enumerate().map(|(index, (_, failed))| Ready { index, failed_before: *failed }).collect();
            let size = |change: usize| changes[change].0;
            let limit = BatchLimit { events, bytes };
            let requests = batches(&ready, limit, size);
            let mut all = requests.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..changes.len()).collect::<Vec<_>>());
            for request in &requests {
                prop_assert!(!request.is_empty() && request.len() <= events && request.is_sorted());
                prop_assert!(request.len() == 1 || request.iter().map(|change| size(*change)).sum::<usize>() <= bytes);
                prop_assert!(request.len() == 1 || request.iter().all(|change| !changes[*change].1), "a failed one travels alone");
            }
            // what never failed keeps its order, and a request is not ended while the next change has room
            let together: Vec<_> =
                requests.iter().filter(|request| events > 1 && !changes[request[0]].1).collect();
            prop_assert!(together.iter().copied().flatten().is_sorted());
            for pair in together.windows(2) {
                let sum: usize = pair[0].iter().chain(&pair[1][..1]).map(|change| size(*change)).sum();
                prop_assert!(pair[0].len() == events || sum > bytes);
            }
        }

        #[test]
        fn of_a_refused_request_nothing_but_the_bad_events_is_refused(
            bad in proptest::collection::vec(proptest::bool::weighted(0.1), 1..129),
        ) {
            let (refused, accepted, requests) = deliver((0..bad.len()).collect(), |change| bad[change]);
            let expected = |is_bad| (0..bad.len()).filter(|change| bad[*change] == is_bad).collect::<Vec<_>>();
            prop_assert_eq!(&refused, &expected(true));
            prop_assert_eq!(accepted, expected(false), "in order");
            let halvings = bad.len().next_power_of_two().ilog2() as usize;
            prop_assert!(requests <= 1 + 2 * refused.len() * halvings);
        }
    }
}
