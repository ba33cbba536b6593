//! What is asked of instances, and how they are: by people, because something came that they waited for, or because others destroyed something.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Engine;
use crate::api::conditions::Remedy;
use crate::api::identity::InstanceRef;
use crate::poll::command::{Granting, Refusal};
use crate::poll::context::EngineContext;
use crate::poll::entry::{InstanceEntry, Kind, Next, Pending, ResourceSchedule};
use crate::poll::status::{self, InstanceStatus};
use crate::state::wish::Wish;

/// How an instance is now, and whether it is suspended.
pub(super) fn current(core: &EngineContext, key: &InstanceRef, kind: &Kind, now: DateTime<Utc>) -> (InstanceStatus, bool) {
    match kind {
        Kind::Running(running) => {
            let (plan, state) = (&running.instance.plan, running.instance.state());
            let observed: Vec<_> = running.schedules.iter().map(ResourceSchedule::observed).collect();
            let mut status = status::report(plan, &state, &observed, now);
            if let Some(connect) = &core.connect {
                status::offer_connect(&mut status, plan, &observed, connect);
            }
            (status, plan.suspended)
        }
        Kind::Refused(refused) => {
            let Refusal { generation, problem, kept } = &refused.refusal;
            (status::refused(key.clone(), *generation, problem).keeping(kept), false)
        }
    }
}

impl Engine {
    /// How instances are now, as far as they are here.
    pub(super) fn look(&self, keys: &[InstanceRef], now: DateTime<Utc>) -> Vec<InstanceStatus> {
        let here = keys.iter().filter_map(|key| Some((key, self.instances.get(key)?)));
        here.map(|(key, entry)| current(&self.core, key, &entry.kind, now).0).collect()
    }

    pub(super) fn ask(&mut self, key: &InstanceRef, wish: &Wish, now: DateTime<Utc>) -> Granting {
        if let Wish::Reset(resource) = wish {
            return self.reset(key, resource, now);
        }
        let Some(InstanceEntry { kind: Kind::Running(running), .. }) = self.instances.get_mut(key) else {
            return Granting::NotRun;
        };
        for index in running.ask(wish, now) {
            self.enqueue(key, index, now);
        }
        self.report(key, now);
        Granting::Granted
    }

    pub(super) fn retry_failed(&mut self, now: DateTime<Utc>) {
        let mut due = Vec::new();
        for (key, entry) in &mut self.instances {
            if let Kind::Running(running) = &mut entry.kind {
                due.extend(running.retry_failed(now).into_iter().map(|index| (key.clone(), index)));
            }
        }
        for (key, index) in due {
            self.enqueue(&key, index, now);
        }
    }

    pub(super) fn wake(&mut self, key: &InstanceRef, remedy: Remedy, now: DateTime<Utc>) {
        let Some(InstanceEntry { kind: Kind::Running(running), .. }) = self.instances.get_mut(key) else { return };
        for index in running.wake(remedy, now) {
            self.enqueue(key, index, now);
        }
    }

    pub(super) fn report_again(&mut self, key: &InstanceRef, now: DateTime<Utc>) {
        if let Some(entry) = self.instances.get_mut(key) {
            entry.reported.forget_status();
            self.report(key, now);
        }
    }

    pub(super) fn restore(&mut self, key: &InstanceRef, now: DateTime<Utc>) {
        let Some(InstanceEntry { kind: Kind::Running(running), .. }) = self.instances.get_mut(key) else { return };
        let index = running.save_again(now);
        self.enqueue(key, index, now);
    }

    /// Forgets the cursor of a resource once the jobs under way have ended: they go by it. Whatever else is known of the list goes with it.
    fn reset(&mut self, key: &InstanceRef, resource: &str, now: DateTime<Utc>) -> Granting {
        let Some(InstanceEntry { kind: Kind::Running(running), .. }) = self.instances.get_mut(key) else {
            return Granting::NotRun;
        };
        let pending = match running.next.take() {
            Some(Next::Replace(mut pending)) => {
                pending.resets.push(resource.to_owned());
                pending
            }
            // It is about to end.
            Some(next) => {
                running.next = Some(next);
                return Granting::NotRun;
            }
            None => Pending {
                plan: Arc::clone(&running.instance.plan),
                // Those that were acted on: none of them is new.
                annotations: running.instance.state().handled.clone(),
                claim: running.instance.claim.clone(),
                resets: vec![resource.to_owned()],
            },
        };
        self.change(key, Next::Replace(pending), now);
        Granting::Granted
    }
}
