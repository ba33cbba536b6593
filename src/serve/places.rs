//! Who may hold a connection: a limit in total and of each peer; the peer that holds most gives way.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The places of a listener.
#[derive(Debug)]
pub struct Places {
    all: usize,
    of_one: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// By the order in which they came.
    connections: BTreeMap<u64, Holder>,
    next: u64,
}

#[derive(Debug)]
struct Holder {
    peer: IpAddr,
    /// A request is under way.
    is_busy: Arc<AtomicBool>,
    give_way: CancellationToken,
}

/// A place that a connection holds until this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    number: u64,
    /// To be true while a request is under way: then this connection does not give way.
    pub is_busy: Arc<AtomicBool>,
    /// Cancelled when another connection has got this place.
    pub give_way: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held.lock().connections.remove(&self.number);
    }
}

impl Places {
    /// At most `all`, and `of_one` for one address.
    pub fn new(all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { all, of_one, held: Mutex::default() })
    }

    /// A place for a connection of this peer; `None`: all are taken by requests under way, which end when their answer begins.
    ///
    /// A peer that is at its limit loses its oldest connection without a request, which is one that idles or does not finish a head. If all
    /// places are taken, the peer that has most loses one in the same way. So holding connections keeps no one else out, and a request
    /// under way is never cut.
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let mut held = self.held.lock();
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for holder in held.connections.values() {
            *counts.entry(holder.peer).or_default() += 1;
        }
        if counts.get(&peer).is_some_and(|count| *count >= self.of_one) {
            held.make_way(|of| of == peer)?;
        } else if held.connections.len() >= self.all {
            let mut most: Vec<_> = counts.into_iter().filter(|(of, count)| *of == peer || *count > 1).collect();
            most.sort_by_key(|(of, count)| (std::cmp::Reverse(*count), *of));
            most.into_iter().find_map(|(crowd, _)| held.make_way(|of| of == crowd))?;
        }
        let (number, is_busy, give_way) = (held.next, Arc::new(AtomicBool::new(false)), CancellationToken::new());
        held.next += 1;
        held.connections.insert(number, Holder { peer, is_busy: Arc::clone(&is_busy), give_way: give_way.clone() });
        Some(Place { places: Arc::clone(self), number, is_busy, give_way })
    }
}

impl Held {
    /// Ends the oldest connection of these peers that has no request under way.
    fn make_way(&mut self, of: impl Fn(IpAddr) -> bool) -> Option<()> {
        let idle = |holder: &Holder| of(holder.peer) && !holder.is_busy.load(Ordering::Relaxed);
        let number = self.connections.iter().find(|(_, holder)| idle(holder)).map(|(number, _)| *number)?;
        self.connections.remove(&number).map(|holder| holder.give_way.cancel())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    fn take(places: &Arc<Places>, of: u8, count: usize) -> Vec<Place> {
        (0..count).map(|_| places.take(peer(of)).expect("a place")).collect()
    }

    fn kept(places: &[Place]) -> usize {
        places.iter().filter(|place| !place.give_way.is_cancelled()).count()
    }

    #[test]
    fn a_peer_that_has_its_share_loses_its_oldest() {
        let places = Places::new(10, 3);
        let (crowd, other) = (take(&places, 1, 5), take(&places, 2, 2));
        assert_eq!((kept(&crowd), kept(&other)), (3, 2));
        assert!(crowd[0].give_way.is_cancelled() && crowd[1].give_way.is_cancelled());
        drop(crowd);
        assert_eq!(kept(&take(&places, 1, 3)), 3, "places come back");
    }

    #[test]
    fn who_has_most_gives_way_to_a_newcomer() {
        let places = Places::new(10, 6);
        let (crowd, few) = (take(&places, 1, 6), take(&places, 2, 4));
        let newcomer = places.take(peer(3)).expect("a place");
        assert_eq!((kept(&crowd), kept(&few), newcomer.give_way.is_cancelled()), (5, 4, false));
        let more = take(&places, 4, 2);
        assert_eq!((kept(&crowd) + kept(&few), kept(&more)), (7, 2));
        assert!(kept(&crowd).abs_diff(kept(&few)) <= 1, "{} {}", kept(&crowd), kept(&few));
    }

    #[test]
    fn a_request_under_way_is_never_cut() {
        let places = Places::new(4, 2);
        let crowd = take(&places, 1, 2);
        for place in &crowd {
            place.is_busy.store(true, Ordering::Relaxed);
        }
        assert!(places.take(peer(1)).is_none());
        let _other = take(&places, 2, 2);
        assert!(places.take(peer(3)).is_some(), "of the other, who idles");
        assert_eq!(kept(&crowd), 2);
    }

    #[test]
    fn one_connection_each_is_nobody_s_crowd() {
        let places = Places::new(3, 2);
        let held: Vec<_> = (1..=3).flat_map(|of| take(&places, of, 1)).collect();
        assert!(places.take(peer(9)).is_none());
        assert!(places.take(peer(1)).is_some(), "for one of one's own");
        assert_eq!(kept(&held), 2);
    }

    #[test]
    fn an_address_in_two_spellings_is_one_peer() {
        let places = Places::new(10, 1);
        let first = places.take(peer(1)).expect("a place");
        let again = places.take(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into());
        assert!(again.is_some() && first.give_way.is_cancelled());
    }
}
