//! What is done with a chain that is kept elsewhere and belongs to a Secret: kept with an instance by version 0.1.0, or with a Secret
//! that is gone. Pure.
//!
//! Three writes move a chain, and after each of them a crash, another replica, or a replica of version 0.1.0 does no harm:
//!
//! 1. The old place says where the chain goes, in a form that version 0.1.0 refuses: from then on no one uses the tokens there.
//! 2. The Secret's chain takes the tokens over, or what is known of them where it has newer ones.
//! 3. The old place is emptied. It stays, so that an older version refuses it rather than begin with a token that was spent.

use chrono::{DateTime, Utc};

use super::step::IN_FLIGHT;
use super::stored::{FORMAT, StoredTokens};

/// The next write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// None: the chain has moved.
    Done,
    /// None yet: the process that keeps the old place waits for an answer.
    Wait,
    /// None: both chains are valid, and nothing shows whether they are of one account.
    OtherConsent,
    /// To the old place.
    Old(Box<StoredTokens>),
    /// To the place of the Secret.
    Chain(Box<StoredTokens>),
}

/// Everything that decides.
pub struct Moving<'a> {
    /// The chain of the Secret.
    pub chain: Option<&'a StoredTokens>,
    /// The chain that is kept elsewhere.
    pub old: &'a StoredTokens,
    /// The name of the Secret.
    pub secret: &'a str,
    /// The refresh token or code in it.
    pub source: Option<&'a str>,
    /// Whether another process may use the old chain at this moment.
    pub is_shared: bool,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Decides.
pub fn next(m: &Moving<'_>) -> Adoption {
    let old = m.old;
    let is_moved = old.moved_to.as_deref() == Some(m.secret);
    if old.moved_to.is_some() && !old.has_tokens() {
        return Adoption::Done;
    }
    let continues = m.chain.is_some_and(|chain| chain.continues(old));
    if !continues && are_of_two_consents(m) {
        return Adoption::OtherConsent;
    }
    if !is_moved {
        let is_waiting = old.in_flight.as_ref().is_some_and(|marker| m.now < marker.at.min(m.now) + IN_FLIGHT);
        if m.is_shared && is_waiting {
            return Adoption::Wait;
        }
        let moved_to = Some(m.secret.to_owned());
        return Adoption::Old(Box::new(StoredTokens { format: FORMAT, moved_to, consents: Vec::new(), ..old.clone() }));
    }
    if !continues {
        return Adoption::Chain(Box::new(merged(m)));
    }
    // What began the chain stays known: the tokens of a Secret that comes back are not used twice.
    let known = StoredTokens::new(old.salt.clone()).inheriting(old);
    let (source, spent) = (old.source.clone(), old.spent.clone());
    Adoption::Old(Box::new(StoredTokens { source, spent, moved_to: old.moved_to.clone(), ..known }))
}

/// A Secret that holds a refresh token or code is one account's, whatever its chains went through. One that holds the client alone may
/// have served several, each instance with the consent of another person.
fn are_of_two_consents(m: &Moving<'_>) -> bool {
    m.source.is_none() && m.old.is_alive(m.now) && m.chain.is_some_and(|chain| chain.is_alive(m.now))
}

/// The chain that goes on, the other one remembered: the one that began with what the Secret holds, else the newer one.
fn merged(m: &Moving<'_>) -> StoredTokens {
    let moved = StoredTokens { moved_to: None, consents: Vec::new(), ..m.old.clone() };
    let Some(chain) = m.chain else { return moved };
    let is_current = |one: &StoredTokens| m.source.is_none_or(|source| one.knows(source));
    let rank = |one: &StoredTokens| (is_current(one), one.is_alive(m.now), last_use(one));
    if rank(&moved) > rank(chain) {
        StoredTokens { consents: chain.consents.clone(), ..moved.inheriting(chain) }
    } else {
        chain.clone().inheriting(&moved)
    }
}

fn last_use(one: &StoredTokens) -> Option<DateTime<Utc>> {
    one.answered_at.max(one.in_flight.as_ref().map(|marker| marker.at))
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use proptest::prelude::*;

    use super::super::answer::Granted;
    use super::super::stored::{Fingerprint, InFlight};
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    /// A chain of version 0.1.0 that began with `source`, and its newest refresh token.
    fn chain(salt: &str, source: Option<&str>, newest: &str, seconds: i64) -> StoredTokens {
        let granted = Granted {
            access_token: format!("access of {newest}"),
            refresh_token: Some(newest.to_owned()),
            expires_in: Some(std::time::Duration::from_hours(1)),
            scope: None,
            token_type: None,
        };
        let begun = StoredTokens::new(salt).succeeded_by(source.map(|source| Fingerprint::of(salt, &[source.as_bytes()])));
        StoredTokens { format: 1, ..begun.granted(&granted, None, None, at(seconds)) }
    }

    fn moving<'a>(chain: Option<&'a StoredTokens>, old: &'a StoredTokens, source: Option<&'a str>) -> Moving<'a> {
        Moving { chain, old, secret: "oauth", source, is_shared: true, now: at(100) }
    }

    /// Makes all writes; the chain of the Secret and the old place at the end.
    fn moved(chain: Option<StoredTokens>, old: StoredTokens, source: Option<&str>) -> (Option<StoredTokens>, StoredTokens) {
        let (mut chain, mut old) = (chain, old);
        for _ in 0..4 {
            match next(&moving(chain.as_ref(), &old, source)) {
                Adoption::Done => return (chain, old),
                Adoption::Old(next) => old = *next,
                Adoption::Chain(next) => chain = Some(*next),
                other => panic!("{other:?}"),
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn a_chain_moves_with_all_that_is_known_and_its_old_place_is_refused_by_version_0_1() {
        let old = chain("a", Some("r0"), "r5", 50);
        let (moved, left) = moved(None, old.clone(), Some("r0"));
        let moved = moved.unwrap();
        assert_eq!(
            (moved.refresh_token, moved.access, moved.salt),
            (old.refresh_token.clone(), old.access.clone(), old.salt.clone())
        );
        assert!(!left.has_tokens() && left.format > 1 && left.knows("r0"), "{left:?}");
        assert_eq!(left.moved_to.as_deref(), Some("oauth"));
        assert_eq!(next(&moving(None, &left, Some("r0"))), Adoption::Done, "what a person removed does not come back");
    }

    #[test]
    fn of_two_chains_of_one_refresh_token_the_newer_goes_on_and_both_beginnings_are_known() {
        let (first, second) = (chain("a", Some("r0"), "r5", 50), chain("b", Some("r0"), "r9", 60));
        for (one, other) in [(&first, &second), (&second, &first)] {
            let (merged, _) = moved(None, one.clone(), Some("r0"));
            let (merged, left) = moved(merged, other.clone(), Some("r0"));
            let merged = merged.unwrap();
            assert_eq!(merged.refresh_token.as_deref(), Some("r9"));
            assert!(merged.continues(one) && merged.continues(other) && merged.knows("r0"));
            assert!(!left.has_tokens());
        }
    }

    /// What version 0.1.0 left of two instances that spent one token: the chain that still holds goes on.
    #[test]
    fn a_refused_chain_displaces_none_that_holds() {
        let good = chain("a", Some("r0"), "r5", 50);
        let mut refused = StoredTokens::new("b").succeeded_by(Some(Fingerprint::of("b", &[b"r0"])));
        refused.note_refused(Fingerprint::of("b", &[b"attempt"]));
        refused.answered_at = Some(at(90));
        for (one, other) in [(&good, &refused), (&refused, &good)] {
            let (merged, _) = moved(None, one.clone(), Some("r0"));
            let (merged, _) = moved(merged, other.clone(), Some("r0"));
            assert_eq!(merged.unwrap().refresh_token.as_deref(), Some("r5"));
        }
    }

    #[test]
    fn consents_of_two_people_are_not_mixed() {
        let (one, other) = (chain("a", None, "alice", 50), chain("b", None, "bob", 60));
        let (merged, _) = moved(None, one, None);
        assert_eq!(next(&moving(merged.as_ref(), &other, None)), Adoption::OtherConsent);
        // one that the provider refused is no consent any more
        let mut gone = merged.clone().unwrap();
        gone.note_refused(Fingerprint::of("a", &[b"attempt"]));
        let (merged, _) = moved(Some(gone), other, None);
        assert_eq!(merged.unwrap().refresh_token.as_deref(), Some("bob"));
    }

    #[test]
    fn an_answer_that_another_replica_waits_for_is_waited_for() {
        let mut old = chain("a", Some("r0"), "r5", 50);
        let token = old.fingerprint("r5");
        old.in_flight = Some(InFlight { token, at: at(90), owner: "p".into() });
        let m = moving(None, &old, Some("r0"));
        assert_eq!(next(&m), Adoption::Wait);
        let alone = Moving { is_shared: false, ..m };
        assert!(matches!(next(&alone), Adoption::Old(_)), "it is dead");
        let (merged, _) =
            moved(None, StoredTokens { in_flight: old.in_flight.clone().map(|m| InFlight { at: at(0), ..m }), ..old }, None);
        assert!(merged.unwrap().in_flight.is_some(), "that it may be spent stays known");
    }

    /// The places of two instances and of the Secret, moved by two processes that may stop after any write and begin again.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// A process makes the next write for an old place, from what it read before or now.
        Move(usize, bool),
        /// The chain goes on by a refresh.
        Refresh,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..2usize, any::<bool>()).prop_map(|(index, stale)| Event::Move(index, stale)),
            1 => Just(Event::Refresh),
        ]
    }

    proptest! {
        #[test]
        fn no_order_of_writes_brings_an_older_token_back(events in prop::collection::vec(event(), 1..60)) {
            let mut old = [chain("a", Some("r0"), "r5", 50), chain("b", Some("r0"), "r9", 60)];
            let (mut shared, mut version, mut serial, mut newest) = (None::<StoredTokens>, 0, 9, None::<String>);
            let mut read: (Option<StoredTokens>, u64) = (None, 0);
            for event in events {
                match event {
                    Event::Move(index, stale) => {
                        // compare-and-swap refuses what was read before another write
                        if !stale {
                            read = (shared.clone(), version);
                        }
                        match next(&moving(read.0.as_ref(), &old[index], Some("r0"))) {
                            Adoption::Old(next) => old[index] = *next,
                            Adoption::Chain(next) if read.1 == version => {
                                shared = Some(*next);
                                version += 1;
                            }
                            _ => {}
                        }
                    }
                    Event::Refresh => if let Some(chain) = &shared {
                        serial += 1;
                        let token = format!("r{serial}");
                        let granted = Granted { access_token: "x".into(), refresh_token: Some(token.clone()), expires_in: None, scope: None, token_type: None };
                        shared = Some(chain.granted(&granted, chain.refresh_token.as_deref(), None, at(serial) + Duration::minutes(5)));
                        version += 1;
                        newest = Some(token);
                    }
                }
                if let (Some(newest), Some(chain)) = (&newest, &shared) {
                    prop_assert_eq!(chain.refresh_token.as_ref(), Some(newest));
                }
                // no place that version 0.1.0 reads has a token of the shared chain
                for place in old.iter().filter(|place| place.format == 1) {
                    prop_assert!(shared.as_ref().is_none_or(|chain| !chain.continues(place)));
                }
            }
        }
    }
}
