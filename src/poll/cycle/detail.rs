//! Requests the whole record of each change before it is sent, as `detail` says. [`crate::fetch::detail`] reads the responses, and
//! [`crate::poll::detail_tries`] says for how long one that cannot be read holds its event up.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt as _;
use serde_json::value::RawValue;

use super::{ASKED_AT_ONCE, Poll};
use crate::api::conditions::{Problem, Reaction, Reason, Remedy};
use crate::api::identity::InstanceRef;
use crate::auth::RequestAuth;
use crate::deliver::outbox::{Outbox, Sent};
use crate::deliver::triage::Wanted;
use crate::detect::event::{Change, Kind};
use crate::detect::shape;
use crate::egress::byte_budget::Share;
use crate::fetch::asker::Asker;
use crate::fetch::detail::{self, Detail};
use crate::plan::{DetailPlan, ResourcePlan};
use crate::state::live::LiveState;

/// Changes between two looks at whether the callback takes events.
const ROUND: usize = 64;
/// No request waits longer for memory and its response together: a job that holds pages must not wait for that of others without end.
const LONGEST: Duration = Duration::from_mins(2);

/// What became of the request for one record.
enum Asked {
    /// None was needed.
    Unasked,
    /// There is a response. Its memory counts until the event is sent.
    Answered(Detail, Share),
    /// The record is an older version than its row.
    Older(Box<RawValue>, Share),
    /// There is none that says anything of the record.
    Failed(Problem),
}

/// What leaves a round of requests undone.
#[derive(Default)]
struct Unfinished {
    /// Changes for which the credentials were refused.
    refused: Vec<Change>,
    /// How they were refused.
    refusal: Option<Problem>,
    /// Why no further request is to be sent in this poll.
    stop: Option<Problem>,
}

impl Poll<'_> {
    /// Whether the memory of a page is held until its events are sent. Not while single records are requested, which need some, too.
    pub(super) fn holds_pages(&self) -> bool {
        self.resource.detail.is_none()
    }

    /// Sends changes of distinct objects, each with its whole record where that is to be requested.
    pub(super) async fn deliver(&mut self, changes: Vec<Change>, outbox: &mut Outbox<'_, LiveState>) -> Result<Sent, Problem> {
        match self.resource.detail.as_deref() {
            None => outbox.send_changes(changes).await,
            // Apart, so that polls without such requests hold no room for them.
            Some(plan) => Box::pin(self.deliver_in_detail(plan, changes, outbox)).await,
        }
    }

    async fn deliver_in_detail(
        &mut self,
        plan: &DetailPlan,
        changes: Vec<Change>,
        outbox: &mut Outbox<'_, LiveState>,
    ) -> Result<Sent, Problem> {
        let mut all = Sent::NONE;
        let mut changes = changes;
        changes.sort_by_cached_key(|change| self.details.turn(change.object));
        let mut waiting = VecDeque::from(changes);
        let mut is_renewed = false;
        while !waiting.is_empty() {
            // No record is requested for an event that cannot be sent now.
            let room = if all.closed { 0 } else { outbox.room(ROUND, Utc::now()) };
            all.closed |= room == 0;
            let mut round = Vec::new();
            while (room == 0 || round.len() < room)
                && let Some(change) = waiting.pop_front_if(|change| {
                    !self.details.comes_later(round.last().map(|last: &Change| last.object), change.object)
                })
            {
                match outbox.wanted(&change, Utc::now()) {
                    Wanted::No => {}
                    Wanted::Now if room > 0 && self.is_to_be_asked(&change) => round.push(change),
                    Wanted::Now | Wanted::Later => all.undelivered = all.undelivered.and(change.date),
                }
            }
            if round.is_empty() {
                continue;
            }
            let Unfinished { refused, refusal, stop } = self.deliver_round(plan, round, outbox, &mut all).await?;
            if let Some(problem) = stop.or_else(|| self.details.hopeless().cloned()) {
                return Err(problem);
            }
            if let Some(problem) = refusal {
                if is_renewed {
                    return Err(self.access.refused_again(problem));
                }
                self.access.renew_refused(problem).await?;
                is_renewed = true;
                refused.into_iter().rev().for_each(|change| waiting.push_front(change));
            }
        }
        Ok(all)
    }

    fn is_to_be_asked(&mut self, change: &Change) -> bool {
        let needs_none = change.event.kind == Kind::Deleted || self.details.kept(change.object).is_some();
        needs_none || (!self.details.has_failed(change.object) && self.details.may_ask(change.object))
    }

    /// Requests the records of some changes and sends each change as soon as it has its own: one that waits for its record keeps no memory
    /// of others.
    async fn deliver_round(
        &mut self,
        plan: &DetailPlan,
        changes: Vec<Change>,
        outbox: &mut Outbox<'_, LiveState>,
        all: &mut Sent,
    ) -> Result<Unfinished, Problem> {
        self.access.renew_in_time().await?;
        let identity = self.instance.state().identity().to_owned();
        let (resource, stop) = (self.resource, &self.instance.stop);
        let asking = Asking {
            asker: &self.core.asker,
            instance: &self.instance.plan.instance,
            resource,
            plan,
            auth: &self.access.auth(),
            now: self.polled_at,
        };
        let mut prepared = Vec::with_capacity(changes.len());
        for mut change in changes {
            let kept = self.details.kept(change.object);
            let needs_none = kept.is_some() || change.event.kind == Kind::Deleted;
            if let Some(json) = kept.filter(|_| change.event.kind != Kind::Deleted) {
                change.event.data = json.to_owned();
            }
            prepared.push((change, needs_none));
        }
        let requests = prepared.into_iter().map(|(change, needs_none)| {
            let asking = &asking;
            async move {
                let asked = if needs_none { Asked::Unasked } else { asking.ask(&change).await };
                (change, asked)
            }
        });
        let mut responses = futures::stream::iter(requests).buffer_unordered(ASKED_AT_ONCE).ready_chunks(ASKED_AT_ONCE);
        let now = self.detector.provider_date().unwrap_or(self.polled_at);
        let (mut left, mut unread) = (Unfinished::default(), Vec::new());
        while let Some(responses) = responses.next().await {
            let (mut ready, mut shares) = (Vec::new(), Vec::new());
            for (mut change, asked) in responses {
                let as_listed = match asked {
                    Asked::Unasked => true,
                    Asked::Answered(Detail::Record(json), share) => {
                        self.details.note_read(change.object);
                        self.detector.note_detail(json.get());
                        change.event.data = shaped(&json, resource, &identity);
                        if resource.feed.is_some() {
                            self.details.keep(change.object, &change.event.data);
                        }
                        shares.push(share);
                        true
                    }
                    Asked::Older(json, share) => {
                        change.event.data = shaped(&json, resource, &identity);
                        shares.push(share);
                        self.details.note_older(change.object, age(&change, now))
                    }
                    Asked::Answered(Detail::Missing, _) => {
                        change.event.partial = true;
                        self.details.note_missing(change.object, age(&change, now))
                    }
                    Asked::Failed(problem) if problem.remedy == Some(Remedy::RenewedCredentials) => {
                        left.refused.push(change);
                        left.refusal = Some(problem);
                        continue;
                    }
                    Asked::Failed(problem) if problem.reaction == Reaction::Throttled => {
                        left.stop = Some(problem);
                        false
                    }
                    Asked::Failed(problem) => {
                        self.details.note_failed(change.object, detail::explained(problem));
                        unread.push(change);
                        continue;
                    }
                };
                if as_listed {
                    ready.push(change);
                } else {
                    all.undelivered = all.undelivered.and(change.date);
                }
            }
            all.add(outbox.send_changes(ready).await?);
            // What is not sent yet is found by the next poll: this one ends here, and no cursor passes it.
            all.closed |= stop.is_cancelled();
            if all.closed || left.stop.is_some() || self.details.hopeless().is_some() {
                break;
            }
        }
        drop(responses);
        // Whether others could be read is known now.
        let (given_up, held): (Vec<_>, Vec<_>) =
            unread.into_iter().partition(|change| self.details.gives_up(change.object, age(change, now)));
        for change in held {
            all.undelivered = all.undelivered.and(change.date);
        }
        let as_listed = given_up.into_iter().map(|mut change| {
            change.event.partial = true;
            change
        });
        all.add(outbox.send_changes(as_listed.collect()).await?);
        Ok(left)
    }
}

/// How old the version of a change is, where it has a date.
fn age(change: &Change, now: DateTime<Utc>) -> Option<TimeDelta> {
    change.event.version_date.map(|date| now - date)
}

/// What is delivered of a whole record.
fn shaped(json: &RawValue, resource: &ResourcePlan, identity: &str) -> Box<RawValue> {
    let shaped = shape::shaped(json.get(), &resource.extract.shape, identity);
    // It was read as JSON, and what is left out or masked leaves it JSON.
    RawValue::from_string(shaped.into_owned()).unwrap_or_default()
}

/// Asks for single records of a resource.
struct Asking<'a> {
    asker: &'a Asker,
    instance: &'a InstanceRef,
    resource: &'a ResourcePlan,
    plan: &'a DetailPlan,
    auth: &'a RequestAuth,
    /// The start of the poll.
    now: DateTime<Utc>,
}

impl Asking<'_> {
    /// Asks for the record of a change, and once more if it is older than its row: several servers may answer by turns.
    async fn ask(&self, change: &Change) -> Asked {
        let is_older = |json: &RawValue| detail::is_older(self.resource, json.get(), change.event.version_date);
        match self.ask_once(&change.event.object_id).await {
            Asked::Answered(Detail::Record(json), share) if is_older(&json) => {
                // The other response needs the memory.
                drop((json, share));
                match self.ask_once(&change.event.object_id).await {
                    Asked::Answered(Detail::Record(json), share) if is_older(&json) => Asked::Older(json, share),
                    asked => asked,
                }
            }
            asked => asked,
        }
    }

    /// Asks for the record with this id.
    async fn ask_once(&self, id: &str) -> Asked {
        let asked = tokio::time::timeout(LONGEST, self.request(id)).await.unwrap_or_else(|_| {
            Err(Problem::transient(
                Reason::ProviderTimeout,
                "detail: the provider, or memory for its responses, took too long; retrying; if this persists, contact the provider, or raise \
                 the memory limit",
            ))
        });
        asked.map_or_else(Asked::Failed, |(detail, share)| Asked::Answered(detail, share))
    }

    async fn request(&self, id: &str) -> Result<(Detail, Share), Problem> {
        let Self { asker, instance, resource, plan, auth, now } = *self;
        let mut request = detail::build(plan, id, &resource.macros(now))?;
        auth.apply(&mut request);
        let (response, share) = asker.send(instance, resource, auth, request, || {}).await?;
        let read = || detail::read(resource, plan, id, &response, Utc::now());
        match asker.cpu.work(instance, response.body.len(), read).await {
            Ok(detail) => {
                asker.note_limits(resource, auth, &response);
                Ok((detail, share))
            }
            Err(problem) => Err(asker.explain(resource, auth, &response, problem)),
        }
    }
}
