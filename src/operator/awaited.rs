//! How long a new instance waits for Secrets that do not exist yet. Pure.
//!
//! An instance owns the Secrets that are created with it, so it comes first: an owner that does not exist yet cannot be named, and a Secret
//! without an owner would stay behind if its creator died. `kubectl apply` and Helm create both a moment after one another, too. A poll in
//! between would report a missing Secret that is on its way. So the instance is not begun until its Secrets are there, or until ten seconds
//! have passed: then they are really missing.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::plan::PollPlan;

/// From when an instance is first read without one of its Secrets.
const LONGEST: Duration = Duration::from_secs(10);

/// How much longer an instance that lacks a Secret waits for it; `None`: it does not wait. `since`: when it was first found to lack one, if
/// it has been waiting. One with a status has begun before, and one that is suspended needs no Secret.
pub(super) fn remaining(plan: &PollPlan, status: &Value, since: Option<Instant>, now: Instant) -> Option<Duration> {
    let is_new = status["conditions"].is_null() && status["bookkeeping"].is_null();
    let waited = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    LONGEST.checked_sub(waited).filter(|rest| is_new && !plan.suspended && !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::sample;

    #[test]
    fn only_a_new_instance_waits_and_not_for_ever() {
        let mut plan = sample::instance(sample::resource());
        let (now, none) = (Instant::now(), Value::Null);
        let after = |seconds| remaining(&plan, &none, Some(now), now + Duration::from_secs(seconds));
        assert_eq!(remaining(&plan, &none, None, now), Some(LONGEST));
        assert_eq!((after(4), after(10), after(60)), (Some(Duration::from_secs(6)), None, None));
        for begun in [json!({"conditions": []}), json!({"bookkeeping": "{}"})] {
            assert_eq!(remaining(&plan, &begun, None, now), None, "{begun}");
        }
        plan.suspended = true;
        assert_eq!(remaining(&plan, &none, None, now), None);
    }
}
