//! Who claimed which share, and when: every version of every Lease of the shares, as a watch saw it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use serde_json::Value;

use super::PATIENCE;
use super::control_plane::Namespace;
use super::history::History;

/// One version of a share's Lease.
struct Claim {
    /// When it was written, by the clock of the writer, which all processes of a machine have in common.
    at: DateTime<Utc>,
    share: String,
    /// The process; `None`: given back.
    holder: Option<String>,
}

/// All that was claimed since [`Claims::watch`] began.
pub struct Claims(History);

impl Claims {
    /// Looks on until it is dropped. To be begun before the first replica.
    pub fn watch(ns: &Namespace<'_>) -> Self {
        Self(History::watch(ns.api(), &ns.group("coordination.k8s.io/v1", "leases")))
    }

    /// Waits until these replicas, and nobody else, hold all shares, by numbers that differ by one at most.
    pub fn wait_balance(&self, shares: usize, replicas: &[&str]) {
        let balanced = self.try_balance(shares, replicas, PATIENCE);
        assert!(balanced, "no balance in time, but {}", self.holders());
    }

    /// The same for at most so long. Answers whether it came.
    pub fn try_balance(&self, shares: usize, replicas: &[&str], limit: Duration) -> bool {
        let (mut read, mut holders) = (0, BTreeMap::new());
        let balanced = |versions: &[Value]| {
            holders.extend(versions[read..].iter().filter_map(claim).map(|claim| (claim.share, claim.holder)));
            read = versions.len();
            let mut counts: BTreeMap<&str, usize> = replicas.iter().map(|replica| (*replica, 0)).collect();
            for holder in holders.values() {
                *counts.get_mut(replica_of(holder.as_deref()?)?)? += 1;
            }
            let (most, least) = (counts.values().max()?, counts.values().min()?);
            (counts.values().sum::<usize>() == shares && most - least <= 1).then_some(())
        };
        self.0.log.try_wait(limit, balanced).is_some()
    }

    /// Who holds which share.
    pub fn holders(&self) -> String {
        format!("{:?}", holders(&self.0.log.all()))
    }

    /// The longest time since a moment for which a share was given back and not claimed again, and which that was. The moment is
    /// to come after the group's first Leases were made: one that nobody saw being made is waited for, for a whole lease.
    pub fn longest_vacancy(&self, begun: DateTime<Utc>) -> (Duration, String) {
        let mut vacant: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
        let mut longest = (Duration::ZERO, String::new());
        for claim in self.0.log.all().iter().filter_map(claim) {
            if claim.holder.is_none() {
                vacant.entry(claim.share).or_insert(claim.at);
            } else if let Some(since) = vacant.remove(&claim.share) {
                longest = longest.max(((claim.at - since.max(begun)).to_std().unwrap_or_default(), claim.share));
            }
        }
        let now = Utc::now();
        vacant.into_iter().fold(longest, |longest, (share, since)| {
            longest.max(((now - since.max(begun)).to_std().unwrap_or_default(), share))
        })
    }

    /// How often a share went from one process to another.
    pub fn moves(&self) -> usize {
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        let all = self.0.log.all();
        let claims = all.iter().filter_map(claim).filter_map(|claim| Some((claim.share, claim.holder?)));
        claims.filter(|(share, holder)| last.insert(share.clone(), holder.clone()).is_some_and(|old| old != *holder)).count()
    }
}

fn claim(lease: &Value) -> Option<Claim> {
    let share = lease["metadata"]["name"].as_str()?.split_once("-range-")?.1.to_owned();
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned);
    let at = DateTime::parse_from_rfc3339(lease["spec"]["renewTime"].as_str()?).ok()?.to_utc();
    Some(Claim { at, share, holder })
}

fn holders(versions: &[Value]) -> BTreeMap<String, Option<String>> {
    versions.iter().filter_map(claim).map(|claim| (claim.share, claim.holder)).collect()
}

/// Processes append something unique to the name that they are given.
fn replica_of(process: &str) -> Option<&str> {
    process.rsplit_once('-').map(|(replica, _)| replica)
}
