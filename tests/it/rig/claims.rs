//! Who claimed which share, and when: every version of every Lease of the shares, as a watch saw it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;
use super::control_plane::Namespace;
use super::log::Log;

/// One version of a share's Lease.
#[derive(Clone, Debug)]
struct Claim {
    at: Instant,
    share: String,
    /// The process; `None`: given back.
    holder: Option<String>,
}

/// All that was claimed since [`Claims::watch`] began.
pub struct Claims {
    log: Log<Claim>,
    over: Arc<AtomicBool>,
}

impl Claims {
    /// Looks on until it is dropped. To be begun before the first replica.
    pub fn watch(ns: &Namespace<'_>) -> Self {
        let claims = Self { log: Log::default(), over: Arc::default() };
        let (log, over) = (claims.log.clone(), Arc::clone(&claims.over));
        let (api, leases) = (ns.api().clone(), ns.group("coordination.k8s.io/v1", "leases"));
        let version = api.get(&leases).ok()["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        thread::spawn(move || {
            let path = format!("{leases}?watch=1&resourceVersion={version}&timeoutSeconds=900");
            let begun = Instant::now();
            api.watch(&path, begun + Duration::from_mins(15), |_, lease| {
                if let Some(claim) = claim(&lease) {
                    log.push(claim);
                }
                over.load(Ordering::SeqCst).then_some(())
            });
        });
        claims
    }

    /// Waits until these replicas, and nobody else, hold all shares, by numbers that differ by one at most.
    pub fn wait_balance(&self, shares: usize, replicas: &[&str]) {
        let balanced = self.try_balance(shares, replicas, PATIENCE);
        assert!(balanced, "no balance in time, but {}", self.holders());
    }

    /// The same for at most so long. Answers whether it came.
    pub fn try_balance(&self, shares: usize, replicas: &[&str], limit: Duration) -> bool {
        let balanced = |claims: &[Claim]| {
            let mut counts: BTreeMap<&str, usize> = replicas.iter().map(|replica| (*replica, 0)).collect();
            for holder in holders(claims).values() {
                *counts.get_mut(replica_of(holder.as_deref()?)?)? += 1;
            }
            let (most, least) = (counts.values().max()?, counts.values().min()?);
            (counts.values().sum::<usize>() == shares && most - least <= 1).then_some(())
        };
        self.log.try_wait(limit, balanced).is_some()
    }

    /// Who holds which share.
    pub fn holders(&self) -> String {
        format!("{:?}", holders(&self.log.all()))
    }

    /// The longest time for which a share was given back and not claimed again, and which that was.
    pub fn longest_vacancy(&self) -> (Duration, String) {
        let mut vacant: BTreeMap<String, Instant> = BTreeMap::new();
        let mut longest = (Duration::ZERO, String::new());
        for claim in self.log.all() {
            if claim.holder.is_none() {
                vacant.entry(claim.share).or_insert(claim.at);
            } else if let Some(since) = vacant.remove(&claim.share) {
                longest = longest.max((claim.at - since, claim.share));
            }
        }
        let now = Instant::now();
        vacant.into_iter().fold(longest, |longest, (share, since)| longest.max((now - since, share)))
    }

    /// How often a share went from one process to another.
    pub fn moves(&self) -> usize {
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        let claims = self.log.all().into_iter().filter_map(|claim| Some((claim.share, claim.holder?)));
        claims.filter(|(share, holder)| last.insert(share.clone(), holder.clone()).is_some_and(|old| old != *holder)).count()
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn claim(lease: &Value) -> Option<Claim> {
    let share = lease["metadata"]["name"].as_str()?.split_once("-range-")?.1.to_owned();
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned);
    Some(Claim { at: Instant::now(), share, holder })
}

fn holders(claims: &[Claim]) -> BTreeMap<&str, &Option<String>> {
    claims.iter().map(|claim| (claim.share.as_str(), &claim.holder)).collect()
}

/// Processes append something unique to the name that they are given.
fn replica_of(process: &str) -> Option<&str> {
    process.rsplit_once('-').map(|(replica, _)| replica)
}
