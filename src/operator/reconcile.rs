//! Turns what the watches saw into work on single objects: one at a time for each, a bounded number at once.

mod repair;

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::cluster::{CallError, Kind};
use super::connector_status::News;
use super::drains::{self, Drains, is_in};
use super::entry::{Entry, Presence};
use super::lists::Lists;
use super::notice::Notice;
use super::publish::{Outcome, Publication};
use super::repairs::Repairs;
use super::retries::Retries;
use super::tokens::TokenSights;
use super::watch::{Change, Seen, WatchEvent};
use crate::api::conditions::Remedy;
use crate::api::identity::{ConnectorRef, InstanceRef, SecretRef};
use crate::observe::span;
use crate::poll::command::Command;

/// Objects that are read at once.
const MAX_WORK: usize = 64;
/// What could not be read is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// What ended in a panic is tried again after this.
const RETRY_AFTER_DEFECT: Duration = Duration::from_mins(1);

/// Keeps the engine in step with the cluster.
pub struct Reconciler {
    publication: Arc<Publication>,
    instances: HashMap<InstanceRef, Entry>,
    /// Which instances refer to a Secret.
    users: HashMap<SecretRef, HashSet<InstanceRef>>,
    queue: VecDeque<Task>,
    work: JoinSet<Done>,
    retries: Retries<Task>,
    repairs: Repairs,
    lists: Lists,
    ready: channel::Sender<bool>,
    drains: Drains,
    tokens: TokenSights,
    /// To the writer of the statuses of connectors.
    connector_news: mpsc::UnboundedSender<News>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Task {
    Instance(InstanceRef),
    Connector(ConnectorRef),
    Secret(SecretRef),
}

enum Done {
    Instance(InstanceRef, Box<Outcome>),
    Connector(ConnectorRef, Result<bool, CallError>),
    Secret(SecretRef, Result<bool, CallError>),
    /// A command is sent, or a drain has ended.
    Other,
}

impl Reconciler {
    /// `ready` becomes true once everything was listed, in each of `namespaces`; none: in all by one list.
    pub fn new(
        publication: Publication,
        namespaces: usize,
        ready: channel::Sender<bool>,
        connector_news: mpsc::UnboundedSender<News>,
    ) -> Self {
        Self {
            publication: Arc::new(publication),
            instances: HashMap::new(),
            users: HashMap::new(),
            queue: VecDeque::new(),
            work: JoinSet::new(),
            retries: Retries::default(),
            repairs: Repairs::default(),
            lists: Lists::new(namespaces),
            ready,
            drains: Drains::default(),
            tokens: TokenSights::default(),
            connector_news,
        }
    }

    /// Runs until both channels are closed.
    pub async fn run(mut self, mut events: mpsc::Receiver<WatchEvent>, mut notices: mpsc::UnboundedReceiver<Notice>) {
        loop {
            self.start();
            let retry = self.retries.next();
            let repair = self.repairs.next();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_watch_event(event),
                    None => return,
                },
                Some(notice) = notices.recv() => self.on_notice(notice),
                Some(done) = self.work.join_next(), if !self.work.is_empty() => match done {
                    Ok(done) => self.on_work_finished(done),
                    Err(error) => tracing::error!("reading an object ended unexpectedly: {error}; please report this"),
                },
                () = tokio::time::sleep_until(repair.unwrap_or_else(Instant::now)), if repair.is_some() => self.repair(),
                () = tokio::time::sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {
                    if let Some(task) = self.retries.take_due(Instant::now()) {
                        self.enqueue(task, false);
                    }
                }
            }
        }
    }

    fn on_watch_event(&mut self, event: WatchEvent) {
        if let WatchEvent::Connector(change) = &event {
            self.tell(News::Connector(change.clone()));
        }
        match event {
            WatchEvent::Instance(Change::Seen(seen)) => {
                self.note_version(&seen.object, &seen.version);
                let entry = self.instances.entry(seen.object.clone()).or_default();
                if entry.see(seen.uid, seen.fingerprint) {
                    self.tell(News::Instances(Arc::clone(&seen.object.namespace)));
                    self.enqueue_if_ours(seen.object);
                }
            }
            WatchEvent::Instance(Change::Gone(key)) => {
                if let Some(entry) = self.instances.get_mut(&key) {
                    entry.vanish();
                    self.tell(News::Instances(Arc::clone(&key.namespace)));
                    self.enqueue(Task::Instance(key), false);
                }
            }
            WatchEvent::Instance(Change::Listed(listing)) => {
                let gone: Vec<_> = self.instances.keys().filter(|key| listing.lacks(&key.namespace, key)).cloned().collect();
                for key in &gone {
                    self.tell(News::Instances(Arc::clone(&key.namespace)));
                }
                self.enqueue_all(gone, Task::Instance, false);
                self.lists.note(Kind::ConnectorInstance, listing.namespace);
                self.report_listed();
            }
            WatchEvent::Connector(Change::Seen(Seen { object: key, uid, generation, .. })) => {
                if !self.publication.connectors.is_current(&key, &uid, generation) {
                    self.enqueue(Task::Connector(key), false);
                }
            }
            WatchEvent::Connector(Change::Gone(key)) => self.enqueue(Task::Connector(key), false),
            WatchEvent::Connector(Change::Listed(listing)) => {
                let read: HashSet<_> = self.publication.connectors.declared().into_iter().collect();
                let gone: Vec<_> = read.iter().filter(|key| listing.lacks(&key.namespace, key)).cloned().collect();
                self.enqueue_all(gone, Task::Connector, false);
                let free = self.lists.note_connectors(listing, &read);
                self.let_in(free);
                self.report_listed();
            }
            WatchEvent::Secret(Change::Seen(seen)) => {
                if let Some(secret) = self.tokens.changed(&seen, self.lists.has(Kind::Secret, Some(&seen.object.namespace))) {
                    self.wake_users(&secret);
                }
                if self.publication.secrets.is_stale(&seen.object, Some(&seen.version)) {
                    self.enqueue(Task::Secret(seen.object), false);
                }
            }
            WatchEvent::Secret(Change::Gone(key)) => {
                self.tokens.forget(&key);
                self.restore_events_of(&key);
                if self.publication.secrets.is_stale(&key, None) {
                    self.enqueue(Task::Secret(key), false);
                }
            }
            WatchEvent::Secret(Change::Listed(listing)) => {
                let held = self.publication.secrets.existing().into_iter();
                let gone: Vec<_> = held.filter(|key| listing.lacks(&key.namespace, key)).collect();
                self.enqueue_all(gone, Task::Secret, false);
                self.restore_missing_events(&listing);
                self.lists.note(Kind::Secret, listing.namespace);
                self.report_listed();
            }
        }
    }

    fn tell(&self, news: News) {
        // The writer ends before this only when the process does.
        let _ = self.connector_news.send(news);
    }

    fn report_listed(&self) {
        if self.lists.are_complete() && !*self.ready.borrow() {
            self.ready.send_replace(true);
            tracing::info!(instances = self.instances.len(), "everything is listed: ready");
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Lost(key) => self.enqueue(Task::Instance(key), false),
            Notice::Wiped(key) => self.send(Command::Restore(key)),
            Notice::Recovered => self.send(Command::RetryFailed),
            Notice::OwnershipChanged => {
                let moved: Vec<_> = self.instances.keys().filter(|key| self.is_out_of_step(key)).cloned().collect();
                self.enqueue_all(moved, Task::Instance, false);
            }
            Notice::EngineEnded => self.end_drains(),
            Notice::Drain(drain) => {
                let range = drain.range();
                let concerned = self.instances.iter().filter(|(_, entry)| entry.is_at_work() && is_in(entry.uid(), range));
                let keys: HashSet<_> = concerned.map(|(key, _)| key.clone()).collect();
                self.enqueue_all(keys.clone(), Task::Instance, false);
                self.drains.begin(drain, keys);
                self.end_drains();
            }
        }
    }

    /// Another process may have stored an approval. All instances that name the Secret share it.
    fn wake_users(&mut self, secret: &SecretRef) {
        for instance in self.users.get(secret).cloned().unwrap_or_default() {
            self.send(Command::Wake(instance, Remedy::Approval));
        }
    }

    fn send(&mut self, command: Command) {
        let publication = Arc::clone(&self.publication);
        self.work.spawn(async move { publication.send(command).map(|()| Done::Other).await });
    }

    /// An instance that another process owns and that was never ours costs nothing.
    fn enqueue_if_ours(&mut self, key: InstanceRef) {
        let Some(entry) = self.instances.get(&key) else { return };
        if entry.is_at_work() || self.publication.guard_of(entry.uid()).is_some() {
            self.enqueue(Task::Instance(key), false);
        }
    }

    /// Whether it is ours and not at work, or at work under no claim or an old one.
    fn is_out_of_step(&self, key: &InstanceRef) -> bool {
        let Some(entry) = self.instances.get(key) else { return false };
        let ours = self.publication.guard_of(entry.uid()).is_some();
        let session = self.publication.sessions.get(key);
        ours != entry.is_at_work() || session.is_some_and(|session| session.is_running() && !session.is_owned())
    }

    fn end_drains(&mut self) {
        if self.publication.sessions.are_closed() {
            self.drains.remove_all();
        }
        for drain in self.drains.take_empty() {
            let sessions = Arc::clone(&self.publication.sessions);
            self.work.spawn(async move {
                drains::end(drain, &sessions).await;
                Done::Other
            });
        }
    }

    /// Those that waited for connectors are in the queue again; what asked for them is noted in their phase.
    fn let_in(&mut self, instances: Vec<InstanceRef>) {
        self.queue.extend(instances.into_iter().map(Task::Instance));
    }

    fn enqueue_all<R>(&mut self, keys: impl IntoIterator<Item = R>, task: fn(R) -> Task, forced: bool) {
        for key in keys {
            self.enqueue(task(key), forced);
        }
    }

    fn enqueue(&mut self, task: Task, forced: bool) {
        if let Task::Instance(key) = &task {
            if !self.instances.entry(key.clone()).or_default().phase.enqueue(forced) {
                return;
            }
        } else if self.queue.contains(&task) {
            return;
        }
        // Instances wait for connectors, and for new values of the Secrets that they refer to.
        match task {
            Task::Instance(_) => self.queue.push_back(task),
            Task::Connector(_) | Task::Secret(_) => self.queue.push_front(task),
        }
    }

    fn start(&mut self) {
        // nothing would run it
        if self.publication.sessions.are_closed() {
            return;
        }
        while self.work.len() < MAX_WORK {
            let Some(task) = self.queue.pop_front() else { return };
            let publication = Arc::clone(&self.publication);
            match task {
                Task::Instance(key) if !self.lists.knows_connectors(&key.namespace) => self.lists.hold_back(key),
                Task::Instance(key) => {
                    let Some(entry) = self.instances.get_mut(&key) else { continue };
                    let Some((published, forced)) = entry.phase.begin() else { continue };
                    let uid = entry.uid().to_owned();
                    let span = span::reconcile(&key);
                    let work = async move {
                        let publishing = AssertUnwindSafe(publication.publish(&key, &uid, published, forced));
                        let outcome = publishing.catch_unwind().await.unwrap_or_else(|_| {
                            // What the engine knows is not known: the next time it is taken away first.
                            Outcome { retry: Some(RETRY_AFTER_DEFECT), ..Outcome::default() }
                        });
                        Done::Instance(key, Box::new(outcome))
                    };
                    self.work.spawn(work.instrument(span));
                }
                Task::Connector(key) => drop(self.work.spawn(async move {
                    let read = publication.connectors.read(&key).await;
                    Done::Connector(key, read)
                })),
                Task::Secret(key) => drop(self.work.spawn(async move {
                    let read = publication.secrets.read(&key).await;
                    Done::Secret(key, read)
                })),
            }
        }
    }

    fn on_work_finished(&mut self, done: Done) {
        match done {
            Done::Other => {}
            Done::Instance(key, outcome) => {
                let gone = outcome.gone;
                self.on_instance_finished(key.clone(), *outcome);
                if gone {
                    self.drains.remove(&key);
                    self.end_drains();
                }
            }
            Done::Connector(key, Ok(changed)) => {
                self.retries.set(&Task::Connector(key.clone()), None);
                let free = self.lists.note_read(&key);
                self.let_in(free);
                let users = self.instances.iter().filter(|(instance, entry)| {
                    changed && instance.namespace == key.namespace && entry.references.connector.as_deref() == Some(&*key.name)
                });
                let users: Vec<_> = users.map(|(instance, _)| instance.clone()).collect();
                self.enqueue_all(users, Task::Instance, false);
            }
            Done::Connector(key, Err(error)) => {
                tracing::warn!(namespace = &*key.namespace, connector = &*key.name, "cannot be read: {error}");
                self.retries.set(&Task::Connector(key), Some(Instant::now() + RETRY));
            }
            Done::Secret(key, Ok(changed)) => {
                self.retries.set(&Task::Secret(key.clone()), None);
                let users = self.users.get(&key).filter(|_| changed).cloned().unwrap_or_default();
                self.enqueue_all(users, Task::Instance, true);
            }
            Done::Secret(key, Err(error)) => {
                tracing::warn!(namespace = &*key.namespace, secret = &*key.name, "cannot be read: {error}");
                self.retries.set(&Task::Secret(key), Some(Instant::now() + RETRY));
            }
        }
    }

    fn on_instance_finished(&mut self, key: InstanceRef, outcome: Outcome) {
        let Some(entry) = self.instances.get_mut(&key) else { return };
        let again = entry.phase.end(outcome.published);
        let new = outcome.references.unwrap_or_else(|| entry.references.clone());
        let old = std::mem::replace(&mut entry.references, new).secrets;
        let secrets = &entry.references.secrets;
        let unseen = !matches!(entry.presence, Presence::Seen { .. });
        let secret = |name: &String| SecretRef::new(Arc::clone(&key.namespace), &**name);
        for name in secrets {
            self.users.entry(secret(name)).or_default().insert(key.clone());
        }
        // One that was let go of while this instance was being read.
        let missed = secrets.iter().any(|name| !self.publication.secrets.is_held(&secret(name)));
        for name in old.iter().filter(|name| !secrets.contains(name)) {
            let secret = secret(name);
            if let Some(users) = self.users.get_mut(&secret) {
                users.remove(&key);
                if users.is_empty() {
                    self.users.remove(&secret);
                    self.publication.secrets.let_go(&secret);
                }
            }
        }
        let retry = outcome.retry.filter(|_| again.is_none());
        self.retries.set(&Task::Instance(key.clone()), retry.map(|after| Instant::now() + after));
        if let Some(forced) = again {
            self.enqueue(Task::Instance(key), forced || missed);
        } else if missed && retry.is_none() {
            self.enqueue(Task::Instance(key), true);
        } else if retry.is_none() && outcome.gone && unseen {
            self.instances.remove(&key);
        }
    }
}
