//! Deliveries as Open Connectors lists and repeats them: what the callback has, what is tried again, and what is parked.
//!
//! What waits is read where it is stored, so every replica shows it; what was delivered is in the memory of the process that did it.

use std::collections::HashSet;

use axum::Json;
use axum::extract::RawQuery;
use serde_json::{Value, json};

use super::Caller;
use super::change::place;
use super::failure::Failure;
use super::history::{object, time};
use super::instances::At;
use super::paging::page;
use super::settings::callback_url;
use crate::api::instance::ConnectorInstance;
use crate::api::visible::beginning;
use crate::instances::number_of;
use crate::instances::waiting::WaitingEvent;
use crate::observe::journal::{Delivery, Entry, What};
use crate::observe::metrics::EventOutcome;
use crate::state::wish::{Parked, Wish};

/// How a delivery stands, in the words of Open Connectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// The callback has it.
    Delivered,
    /// It is tried again.
    Retry,
    /// It is parked, until someone asks for it.
    Queued,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Queued => "queued",
        }
    }
}

/// The word of Open Connectors for what became of a try.
pub fn outcome(outcome: EventOutcome) -> &'static str {
    match outcome {
        EventOutcome::Accepted => Status::Delivered,
        EventOutcome::Failed | EventOutcome::SetAside => Status::Retry,
        EventOutcome::Parked => Status::Queued,
    }
    .as_str()
}

/// Channels of subscriptions, and statuses of deliveries, in the words of Open Connectors. Those that nothing here has are lists of nothing.
const CHANNELS: [&str; 4] = ["webhook", "email", "sms", "push"];
const STATUSES: [&str; 5] = ["created", "delivered", "notified", "retry", "queued"];

/// Which deliveries are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Which {
    channel: Option<String>,
    status: Option<String>,
    url: Option<String>,
}

impl Which {
    /// Reads `where`, for example `channel='webhook' and status='queued'`.
    ///
    /// # Errors
    /// [`Failure::Unusable`].
    fn read(query: Option<&str>) -> Result<Self, Failure> {
        let mut which = Self::default();
        let condition = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).find(|(name, _)| name == "where");
        let Some((_, condition)) = condition else { return Ok(which) };
        let unknown = |what: &str, value: &str, known: &[&str]| {
            let value = beginning(value, 40);
            Failure::unusable(format!("where: there is no {what} {value:?}; write one of {}", known.join(", ")))
        };
        for part in parts(&condition) {
            let unread = || {
                let part = beginning(part.trim(), 40);
                let text = "is no condition such as status='queued'; put the value between single quotes, and the word and between conditions";
                Failure::unusable(format!("where: {part:?} {text}"))
            };
            let (field, value) = part.split_once('=').ok_or_else(unread)?;
            let value = value.trim().strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).ok_or_else(unread)?;
            match field.trim() {
                "channel" if CHANNELS.contains(&value) => which.channel = Some(value.to_owned()),
                "channel" => return Err(unknown("channel", value, &CHANNELS)),
                "status" if STATUSES.contains(&value) => which.status = Some(value.to_owned()),
                "status" => return Err(unknown("status", value, &STATUSES)),
                "config.url" => which.url = Some(value.to_owned()),
                other => return Err(unknown("field", other, &["channel", "status", "config.url"])),
            }
        }
        Ok(which)
    }

    fn has(&self, status: Status) -> bool {
        self.is_webhook() && self.status.as_deref().is_none_or(|asked| asked == status.as_str())
    }

    /// All that is delivered here.
    fn is_webhook(&self) -> bool {
        self.channel.as_deref().is_none_or(|channel| channel == "webhook")
    }

    fn includes(&self, instance: &ConnectorInstance) -> bool {
        let own = &instance.spec.callback;
        self.url.as_deref().is_none_or(|asked| own.url == asked || callback_url(own) == asked)
    }
}

/// The conditions between the words `and`. A URL in quotes may have spaces, too.
fn parts(condition: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, character) in condition.char_indices() {
        if character == '\'' {
            is_quoted = !is_quoted;
        }
        let rest = &condition[at..];
        let is_and = rest.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(" and "));
        if !is_quoted && is_and && at >= start {
            parts.push(&condition[start..at]);
            start = at + 5;
        }
    }
    parts.push(&condition[start..]);
    parts
}

/// `GET /notifications/subscriptions/deliveries`: of all instances, or of the one of the token.
pub async fn list(caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let which = Which::read(query.as_deref())?;
    let mut all = Vec::new();
    for instance in caller.meant().await?.iter().filter(|instance| which.includes(instance)) {
        all.extend(caller.deliveries(instance, &which).await?);
    }
    Ok(Json(Value::Array(page(query.as_deref(), all)?)))
}

/// `PUT /notifications/subscriptions/deliveries`: sends the parked ones again, and lists them.
pub async fn redeliver(caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let which = Which::read(query.as_deref())?;
    if which.status.as_deref().is_some_and(|status| status != Status::Queued.as_str()) {
        return Err(Failure::unusable("only deliveries with status='queued' wait to be sent again; name that status"));
    }
    let mut all = Vec::new();
    let meant = if which.is_webhook() { caller.meant().await? } else { Vec::new() };
    for instance in meant.iter().filter(|instance| which.includes(instance)) {
        let mut parked = caller.realm.instances.waiting(&place(instance)).await?;
        parked.retain(WaitingEvent::is_parked);
        let mut resources: Vec<_> = parked.iter().map(|event| event.resource.to_string()).collect();
        resources.sort();
        resources.dedup();
        for resource in resources {
            caller.ask(instance, Wish::Redeliver(Parked { resource, event: None })).await?;
        }
        all.extend(parked.iter().filter_map(|event| waiting(instance, event)));
    }
    Ok(Json(Value::Array(all)))
}

/// `GET /instances/{id}/deliveries`: not of Open Connectors, where deliveries belong to accounts.
pub async fn of_one(caller: Caller, At(id): At<u64>, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let which = Which::read(query.as_deref())?;
    let instance = caller.find(id).await?;
    Ok(Json(Value::Array(page(query.as_deref(), caller.deliveries(&instance, &which).await?)?)))
}

/// `PUT /instances/{id}/deliveries/{event}`: sends a parked event again.
pub async fn redeliver_one(caller: Caller, At((id, event)): At<(u64, String)>) -> Result<Json<Value>, Failure> {
    caller.one(id, &event, Wish::Redeliver).await
}

/// `DELETE /instances/{id}/deliveries/{event}`: drops a parked event, which is then never sent.
pub async fn discard_one(caller: Caller, At((id, event)): At<(u64, String)>) -> Result<Json<Value>, Failure> {
    caller.one(id, &event, Wish::Discard).await
}

impl Caller {
    /// All instances, or the one of the token.
    async fn meant(&self) -> Result<Vec<ConnectorInstance>, Failure> {
        if self.element.is_some() { Ok(vec![self.own().await?]) } else { self.all().await }
    }

    async fn deliveries(&self, instance: &ConnectorInstance, which: &Which) -> Result<Vec<Value>, Failure> {
        let place = place(instance);
        let mut all = Vec::new();
        let entries = self.realm.journal.last(&place).unwrap_or_default();
        if which.has(Status::Queued) || which.has(Status::Retry) {
            let events = self.realm.instances.waiting(&place).await?;
            let asked = events.iter().filter(|event| which.has(status(event)));
            all.extend(asked.filter_map(|event| waiting(instance, event)));
            let is_stored = |tried: &Delivery| events.iter().any(|event| event.event == tried.event);
            if which.has(Status::Retry) {
                let failed = failed(instance, &entries).into_iter().filter(|(_, tried)| !is_stored(tried));
                all.extend(failed.filter_map(|(entry, tried)| shown(instance, entry, tried, Status::Retry)));
            }
        }
        if which.has(Status::Delivered) {
            all.extend(entries.iter().filter_map(|entry| delivered(instance, entry)));
        }
        Ok(all)
    }

    async fn one(&self, id: u64, event: &str, wish: fn(Parked) -> Wish) -> Result<Json<Value>, Failure> {
        let instance = self.find(id).await?;
        let events = self.realm.instances.waiting(&place(&instance)).await?;
        let found = events.iter().find(|waiting| waiting.event.as_str() == event).ok_or_else(|| {
            Failure::Unknown("no event of this id waits; GET the deliveries of the instance lists them".to_owned())
        })?;
        if !found.is_parked() {
            return Err(Failure::Conflict("this event is not parked: it is tried again by itself".to_owned()));
        }
        let parked = Parked { resource: found.resource.to_string(), event: Some(event.to_owned()) };
        self.ask(&instance, wish(parked)).await?;
        Ok(Json(waiting(&instance, found).unwrap_or_default()))
    }

    async fn ask(&self, instance: &ConnectorInstance, wish: Wish) -> Result<(), Failure> {
        let what = match &wish {
            Wish::PollNow => "asked for a poll",
            Wish::Redeliver(_) => "asked to send parked events again",
            Wish::Discard(_) => "asked to drop a parked event",
            Wish::Reset(_) => "asked to reset a resource",
            Wish::ApproveDeletes(_) => "asked to send deletions that wait for approval",
        };
        self.realm.instances.ask(&place(instance), wish).await?;
        self.log(instance, what);
        Ok(())
    }
}

fn status(event: &WaitingEvent) -> Status {
    if event.is_parked() { Status::Queued } else { Status::Retry }
}

fn waiting(instance: &ConnectorInstance, event: &WaitingEvent) -> Option<Value> {
    let mut notification = object(&event.resource, &event.object, event.kind);
    notification["attempts"] = event.attempts.into();
    notification["refusals"] = event.refusals.into();
    if let Some(next) = event.next_try {
        notification["nextTry"] = time(next).into();
    }
    let found = time(event.found);
    delivery(instance, event.event.as_str(), status(event), [&found, &found], &notification)
}

fn delivered(instance: &ConnectorInstance, entry: &Entry) -> Option<Value> {
    match &entry.what {
        What::Delivery(tried) if tried.outcome == EventOutcome::Accepted => shown(instance, entry, tried, Status::Delivered),
        What::Delivery(_) | What::Polls { .. } => None,
    }
}

/// Tries that failed and that nothing followed, while events of the instance wait: the provider has these, and no queue does.
fn failed<'a>(instance: &ConnectorInstance, entries: &'a [Entry]) -> Vec<(&'a Entry, &'a Delivery)> {
    if instance.status.as_ref().is_none_or(|status| status.waiting.is_none()) {
        return Vec::new();
    }
    let mut met = HashSet::new();
    let tries = entries.iter().filter_map(|entry| match &entry.what {
        What::Delivery(tried) => Some((entry, &**tried)),
        What::Polls { .. } => None,
    });
    // The latest come first; a later version of an object takes the place of an earlier one.
    let last = tries.filter(|(entry, tried)| met.insert((&tried.sink, &entry.resource, &tried.object)));
    last.filter(|(_, tried)| tried.outcome == EventOutcome::Failed).collect()
}

fn shown(instance: &ConnectorInstance, entry: &Entry, tried: &Delivery, status: Status) -> Option<Value> {
    let mut notification = object(&entry.resource, &tried.object, tried.kind);
    notification["attempts"] = tried.attempt.into();
    let at = time(entry.at);
    delivery(instance, tried.event.as_str(), status, [&at, &at], &notification)
}

fn delivery(
    instance: &ConnectorInstance,
    event: &str,
    status: Status,
    [created, updated]: [&str; 2],
    notification: &Value,
) -> Option<Value> {
    let id = number_of(instance)?;
    let topics: Vec<_> = instance.spec.resources.iter().map(|resource| &resource.name).collect();
    Some(json!({
        "notificationId": event,
        "subscriptionId": id,
        "status": status.as_str(),
        "createdDate": created,
        "updatedDate": updated,
        "notification": notification,
        "subscription": {
            "id": id, "channel": "webhook", "topics": topics, "config": {"url": instance.spec.callback.url},
            "active": !instance.spec.suspend,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::event::{EventId, Kind, VersionToken};
    use crate::observe::journal::Answer;

    fn read(condition: &str) -> Result<Which, Failure> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("where", condition).finish();
        Which::read(Some(&query))
    }

    #[test]
    fn conditions_are_read_as_the_page_of_open_connectors_writes_them() {
        assert_eq!(Which::read(None).unwrap(), Which::default());
        let queued = Which { channel: Some("webhook".into()), status: Some("queued".into()), url: None };
        for condition in ["channel='webhook' and status='queued'", "status='queued' AND channel = 'webhook'"] {
            assert_eq!(read(condition).unwrap(), queued, "{condition}");
        }
        let both = read("status='queued' and config.url='https://a.example/ and b'").unwrap();
        assert_eq!(both.url.as_deref(), Some("https://a.example/ and b"));
        assert!(both.has(Status::Queued) && !both.has(Status::Retry) && queued.has(Status::Queued));
        for condition in ["status='created'", "status='notified'", "channel='sms'", "channel='email' and status='queued'"] {
            let which = read(condition).unwrap();
            assert!([Status::Delivered, Status::Retry, Status::Queued].iter().all(|one| !which.has(*one)), "{condition}");
        }
        for (condition, says) in [
            ("", "\"\" is no condition"),
            ("status=queued", "\"status=queued\" is no condition"),
            ("status='gone'", "no status \"gone\"; write one of created, delivered"),
            ("channel='post'", "no channel \"post\""),
            ("status='queued' or channel='webhook'", "no status"),
            ("x='y'", "no field \"x\"; write one of channel, status, config.url"),
            ("é and ", "is no condition"),
        ] {
            let Err(Failure::Unusable(lines)) = read(condition) else { panic!("{condition}") };
            assert!(lines[0].contains(says), "{condition}: {lines:?}");
        }
    }

    #[test]
    fn tries_that_failed_are_listed_while_their_events_wait_and_no_queue_has_them() {
        let tried = |object: &str, version: u64, outcome: EventOutcome| {
            let token = VersionToken { updated_text: None, content: version.into() };
            let delivery = Delivery {
                sink: "callback".into(),
                kind: Kind::Updated,
                object: object.into(),
                event: EventId::new("u", "contacts", object, Kind::Updated, &token),
                attempt: 2,
                answer: Answer::Status(503),
                outcome,
                took_ms: 7,
            };
            let at = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            Entry { at, resource: "contacts".into(), what: What::Delivery(Box::new(delivery)) }
        };
        let entries = [
            tried("1", 2, EventOutcome::Failed),
            tried("2", 1, EventOutcome::Accepted),
            tried("3", 1, EventOutcome::Parked),
            tried("1", 1, EventOutcome::Failed),
            tried("2", 1, EventOutcome::Failed),
            tried("4", 1, EventOutcome::Failed),
        ];
        let spec = json!({"baseUrl": "https://a.example", "callback": {"url": "https://a.example/in"}});
        let mut instance = ConnectorInstance::new("keap", serde_json::from_value(spec).unwrap());
        assert!(failed(&instance, &entries).is_empty(), "nothing waits");
        instance.status = serde_json::from_value(json!({"waiting": {"events": 2}})).unwrap();
        let listed: Vec<_> = failed(&instance, &entries).into_iter().map(|(_, tried)| &*tried.object).collect();
        assert_eq!(listed, ["1", "4"]);
        instance.metadata.uid = Some("u-1".to_owned());
        instance.metadata.labels = Some([(crate::api::identity::NUMBER_LABEL.to_owned(), "42".to_owned())].into());
        let found = failed(&instance, &entries);
        let one = shown(&instance, found[0].0, found[0].1, Status::Retry).unwrap();
        assert_eq!((&one["status"], &one["notification"]["attempts"]), (&json!("retry"), &json!(2)));
    }
}
