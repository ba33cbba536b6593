//! Whether any operator runs in a cluster, for one who is none and must not meet one.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;

use super::lease::{Leases, Trouble};
use super::record::{Claim, Stored};
use crate::moment::{self, Moment};

/// How long a list may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What the Leases show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// One is renewed.
    Running,
    /// All that are held may still be renewed.
    Unclear,
    /// None is held, or none was renewed for as long as it would last.
    Ended,
}

/// Whether an operator holds a Lease, in a namespace or in any. It takes as long as a Lease lasts where an operator ended without giving
/// its Leases back: the times in a Lease are of another clock, so only a change of it shows that its holder lives.
///
/// # Errors
/// See [`Trouble`].
pub async fn is_running(client: &Client, namespace: Option<&str>) -> Result<bool, Trouble> {
    let first = Leases::of_all_groups(client.clone(), namespace, WITHIN).await?;
    let since = moment::now();
    let mut now = first.clone();
    loop {
        match seen(&first, &now, since, moment::now()) {
            Seen::Running => return Ok(true),
            Seen::Ended => return Ok(false),
            Seen::Unclear => tokio::time::sleep(LOOK_AGAIN).await,
        }
        now = Leases::of_all_groups(client.clone(), namespace, WITHIN).await?;
    }
}

fn seen(first: &BTreeMap<String, Stored>, now: &BTreeMap<String, Stored>, since: Moment, at: Moment) -> Seen {
    let held = now.iter().filter(|(_, lease)| lease.record.claim() != Claim::Released);
    let mut longest = Duration::ZERO;
    for (name, lease) in held {
        if first.get(name) != Some(lease) {
            return Seen::Running;
        }
        longest = longest.max(Duration::from_secs(u64::try_from(lease.record.seconds).unwrap_or_default()));
    }
    if at.since(since) < longest { Seen::Unclear } else { Seen::Ended }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::shards::record::{RELEASED_SECONDS, Record};

    fn lease(version: &str, holder: Option<&str>, seconds: i32) -> BTreeMap<String, Stored> {
        let record = Record { holder: holder.map(str::to_owned), seconds, ..Record::default() };
        BTreeMap::from([("ops/a".to_owned(), Stored { version: version.to_owned(), uid: "u".to_owned(), record, scope: None })])
    }

    #[test]
    fn a_lease_that_is_renewed_is_a_running_operator_and_one_that_runs_out_is_none() {
        let after = |seconds| Moment::at(Duration::from_secs(seconds));
        let held = lease("1", Some("me"), 15);
        let see = |now: &_, at| seen(&held, now, Moment::ORIGIN, after(at));
        assert_eq!(see(&held, 14), Seen::Unclear);
        assert_eq!(see(&held, 15), Seen::Ended);
        assert_eq!(see(&lease("2", Some("me"), 15), 3), Seen::Running);
        assert_eq!(see(&lease("2", None, RELEASED_SECONDS), 0), Seen::Ended, "it was given back");
        assert_eq!(seen(&BTreeMap::new(), &held, Moment::ORIGIN, after(0)), Seen::Running, "one starts");
        assert_eq!(see(&lease("1", None, 15), 20), Seen::Running, "its holder's name was removed");
        assert_eq!(see(&BTreeMap::new(), 0), Seen::Ended);
    }
}
