//! The real sender and the receiver over loopback sockets.

use std::sync::Arc;

use super::*;
use crate::auth::{RequestAuth, Secret, SecretMap};
use crate::deliver::sample::event;
use crate::deliver::sink::http::format::Envelope;
use crate::deliver::sink::http::interpret::HttpCause;
use crate::deliver::sink::http::request::{Post, PreparedCallback};
use crate::deliver::sink::{Cause, Delivery, Pace};
use crate::detect::event::{Event, Kind};
use crate::egress::{Egress, EgressPolicy, Limits, Overflow, Redirects};
use crate::observe::metrics::Metrics;
use crate::plan::{Batch, EventFormat, PollPlan, SecretKey, sample};

/// A sender whose callback is the receiver.
struct Sender {
    egress: Egress,
    callback: PreparedCallback,
    plan: PollPlan,
}

impl Sender {
    fn new(receiver: &RunningReceiver, format: EventFormat, keys: &[(&str, &str)]) -> Self {
        let mut plan = sample::instance(sample::resource());
        let mut callback = (*plan.callback).clone();
        callback.url = receiver.url().parse().unwrap();
        callback.format = format;
        callback.signature = (!keys.is_empty()).then(|| SecretKey { name: "hook".into(), key: "signing-key".into() });
        plan.callback = Arc::new(callback);
        let mut secrets = SecretMap::default();
        secrets.insert("crm", "hook", keys.iter().copied().collect::<Secret>());
        let callback = PreparedCallback::prepare(Arc::clone(&plan.callback), "crm", &secrets).unwrap();
        Self { egress: egress(), callback, plan }
    }

    async fn post(&self, events: &[Event]) -> Delivery {
        let envelope = Envelope::of(&self.plan, "uid", None);
        let post = Post { egress: &self.egress, metrics: &Metrics::new(), envelope: &envelope };
        self.callback.post(&post, &RequestAuth::default(), events).await.delivery
    }
}

fn retry(pace: Pace, cause: HttpCause) -> Delivery {
    Delivery::Retry { pace, retry_after: None, cause: Cause::Http(cause) }
}

fn egress() -> Egress {
    Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).unwrap()
}

fn key(text: &str) -> Key {
    Key::parse(text.as_bytes()).unwrap()
}

async fn start(options: ReceiverOptions) -> RunningReceiver {
    Receiver::start(options).await.unwrap()
}

/// Sends a body by hand.
async fn send(receiver: &RunningReceiver, method: Method, body: impl Into<Bytes>) -> StatusCode {
    let request = crate::egress::Request {
        method,
        url: receiver.url().parse().unwrap(),
        headers: HeaderMap::new(),
        body: Some(body.into()),
        credentials: Vec::new(),
        redirects: Redirects::Never,
        limits: Limits {
            body: 1024,
            overflow: Overflow::Refuse,
            first_byte: Duration::from_secs(30),
            total: Duration::from_secs(30),
        },
    };
    egress().send(request).await.unwrap().status
}

#[tokio::test]
async fn a_signed_event_is_taken_and_stays_byte_for_byte() {
    let mut receiver = start(ReceiverOptions { keys: vec![key("whsec_AQID")], ..Default::default() }).await;
    let record = r#"{"id": 9007199254740993, "price":1.10}"#;
    for format in [EventFormat::CloudEvents, EventFormat::OpenConnectors] {
        let sender = Sender::new(&receiver, format, &[("signing-key", "whsec_AQID")]);
        assert_eq!(sender.post(&[event("42", Kind::Updated, record)]).await, Delivery::Accepted, "{format:?}");
        let taken = receiver.events.try_recv().unwrap();
        assert_eq!((taken.kind, &*taken.object_id), (Kind::Updated, "42"));
        assert_eq!(taken.data.map(|data| data.get().to_owned()).as_deref(), Some(record));
    }
}

#[tokio::test]
async fn a_wrong_secret_and_a_missing_one_are_answered_401() {
    let mut receiver = start(ReceiverOptions { keys: vec![key("right")], ..Default::default() }).await;
    for keys in [&[("signing-key", "wrong")][..], &[]] {
        let sender = Sender::new(&receiver, EventFormat::CloudEvents, keys);
        let delivery = sender.post(&[event("1", Kind::Created, "{}")]).await;
        assert_eq!(delivery, retry(Pace::Slow, HttpCause::Unauthorized), "{keys:?}");
    }
    assert!(receiver.events.try_recv().is_err());
}

#[tokio::test]
async fn both_keys_are_sent_while_a_secret_rotates() {
    let old_and_new = [("signing-key", "new"), ("signing-key-previous", "old")];
    for known in ["old", "new"] {
        let receiver = start(ReceiverOptions { keys: vec![key(known)], ..Default::default() }).await;
        let sender = Sender::new(&receiver, EventFormat::CloudEvents, &old_and_new);
        assert_eq!(sender.post(&[event("1", Kind::Created, "{}")]).await, Delivery::Accepted, "{known}");
    }
}

#[tokio::test]
async fn a_batch_is_taken_whole_and_in_order() {
    let mut receiver = start(ReceiverOptions { keys: vec![key("right")], ..Default::default() }).await;
    let record = format!(r#"{{"id":1,"note":"{}"}}"#, "x".repeat(250 * 1024));
    let events: Vec<_> = (0..10).map(|object| event(&object.to_string(), Kind::Created, &record)).collect();
    let batch = EventFormat::CloudEventsBatch(Batch { max_events: 10, max_bytes: MAX_BODY });
    for format in [EventFormat::OpenConnectors, batch] {
        let sender = Sender::new(&receiver, format, &[("signing-key", "right")]);
        assert_eq!(sender.post(&events).await, Delivery::Accepted, "{format:?}");
        for object in 0..10 {
            assert_eq!(receiver.events.try_recv().unwrap().object_id, object.to_string());
        }
    }
}

#[tokio::test]
async fn the_answer_can_be_fixed() {
    for (status, delivery) in [
        (202, Delivery::Accepted),
        (410, Delivery::Gone),
        (422, Delivery::Refused { cause: Cause::Http(HttpCause::Status(422)) }),
        (302, retry(Pace::Usual, HttpCause::Status(302))),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let mut receiver = start(ReceiverOptions { status, ..Default::default() }).await;
        let sender = Sender::new(&receiver, EventFormat::CloudEvents, &[]);
        assert_eq!(sender.post(&[event("1", Kind::Created, "{}")]).await, delivery, "{status}");
        assert_eq!(receiver.events.try_recv().is_ok(), status.is_success(), "{status}");
    }
}

#[tokio::test]
async fn the_same_seed_fails_the_same_requests() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut receiver = start(ReceiverOptions { fail_rate: 0.5, seed: 7, ..Default::default() }).await;
        let sender = Sender::new(&receiver, EventFormat::CloudEvents, &[]);
        let mut accepted = Vec::new();
        for object in 0..20 {
            let delivery = sender.post(&[event(&object.to_string(), Kind::Created, "{}")]).await;
            assert_eq!(receiver.events.try_recv().is_ok(), delivery == Delivery::Accepted);
            accepted.push(delivery == Delivery::Accepted);
        }
        runs.push(accepted);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&true) && runs[0].contains(&false), "{:?}", runs[0]);
}

#[tokio::test]
async fn failing_never_and_always_are_exact() {
    for (fail_rate, accepted) in [(0.0, true), (1.0, false)] {
        let receiver = start(ReceiverOptions { fail_rate, ..Default::default() }).await;
        let sender = Sender::new(&receiver, EventFormat::CloudEvents, &[]);
        for _ in 0..20 {
            assert_eq!(sender.post(&[event("1", Kind::Created, "{}")]).await == Delivery::Accepted, accepted);
        }
    }
}

#[tokio::test]
async fn what_is_no_event_is_refused() {
    let receiver = start(ReceiverOptions::default()).await;
    assert_eq!(send(&receiver, Method::POST, "no json").await, StatusCode::BAD_REQUEST);
    assert_eq!(send(&receiver, Method::POST, r#"{"specversion":"1.0"}"#).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(send(&receiver, Method::PUT, "{}").await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(send(&receiver, Method::POST, vec![b'x'; MAX_BODY]).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(&receiver, Method::POST, vec![b'x'; MAX_BODY + 1]).await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let receiver = start(ReceiverOptions::default()).await;
    let second = Receiver::start(ReceiverOptions { port: receiver.addr.port(), ..Default::default() }).await;
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn shutting_down_frees_the_port_and_hands_over_what_nobody_looked_at() {
    let receiver = start(ReceiverOptions::default()).await;
    let sender = Sender::new(&receiver, EventFormat::CloudEvents, &[]);
    assert_eq!(sender.post(&[event("1", Kind::Created, "{}")]).await, Delivery::Accepted);
    let port = receiver.addr.port();
    drop(sender);
    assert_eq!(receiver.shutdown().await.len(), 1);
    assert!(Receiver::start(ReceiverOptions { port, ..Default::default() }).await.is_ok());
}

#[tokio::test]
async fn where_the_standard_signature_is_required_the_old_one_alone_is_refused() {
    use crate::deliver::sink::http::format::Payload;
    use crate::deliver::sink::http::signature::{WEBHOOK_SIGNATURE, sign};

    const BODY: &[u8] = br#"{"message":{"eventId":"id1","events":[{"objectType":"a","objectId":"1","eventType":"CREATED","date":"d"}],"raw":{"a":[{}]}}}"#;
    let payload = Payload { id: "id1".into(), content_type: "application/json", body: Bytes::from_static(BODY) };
    let mut both = sign(&payload, EventFormat::OpenConnectors, &[b"k".to_vec()], Utc::now());
    both.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let mut old = both.clone();
    old.remove(WEBHOOK_SIGNATURE);
    for (requires_standard, headers, expected) in [
        (false, &both, Ok(())),
        (false, &old, Ok(())),
        (true, &both, Ok(())),
        (true, &old, Err((StatusCode::UNAUTHORIZED, NOT_STANDARD.to_owned()))),
    ] {
        let options = ReceiverOptions { keys: vec![key("k")], requires_standard, ..Default::default() };
        let (accepted, _events) = mpsc::channel(1);
        let desk = Desk { options, accepted, luck: Mutex::new(StdRng::seed_from_u64(0)) };
        assert_eq!(desk.take(headers, &Bytes::from_static(BODY)).await, expected, "{requires_standard}");
    }
}
