//! One pod: starts its containers, listens to what becomes of them, writes its status, and ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::container::{Run, waiting};
use super::environment::Place;
use super::house::{House, Resident};
use super::probe::{Check, Kind};
use super::sandbox::Process;
use super::sources::Sources;
use super::status::{PodFacts, RestartPolicy, State};
use super::{hook, launching, volumes};

/// How soon a start that failed for want of something is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often volumes are brought up to date.
const REFRESH: TimeDelta = TimeDelta::seconds(5);
/// A pod's grace where nothing is said.
const GRACE: i64 = 30;

/// What a pod is told.
pub enum News {
    /// Its object changed.
    Changed(Box<Pod>),
    /// Its object is gone.
    Gone,
    /// A run of a container ended.
    Ended { container: usize, run: u32, code: i32 },
    /// A probe has an opinion.
    Probed { container: usize, run: u32, kind: Kind, success: bool, grace: Option<i64> },
}

/// The life of a pod.
pub struct Worker {
    house: Arc<House>,
    pod: Pod,
    spec: PodSpec,
    place: Place,
    /// Init containers first.
    runs: Vec<Run>,
    inits: usize,
    news: mpsc::UnboundedReceiver<News>,
    sender: mpsc::UnboundedSender<News>,
    sources: Sources,
    has_volumes: bool,
    refresh_at: DateTime<Utc>,
    started: DateTime<Utc>,
    /// When what is left is killed, once it was told to end.
    deadline: Option<DateTime<Utc>>,
    written: Value,
}

impl Worker {
    pub fn new(
        house: Arc<House>,
        pod: Pod,
        place: Place,
        sender: mpsc::UnboundedSender<News>,
        news: mpsc::UnboundedReceiver<News>,
    ) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let inits: Vec<Container> = spec.init_containers.clone().unwrap_or_default();
        let runs = inits.iter().chain(&spec.containers).cloned().map(Run::new).collect();
        let (inits, written) = (inits.len(), json!(pod.status));
        Self {
            house,
            pod,
            spec,
            place,
            runs,
            inits,
            news,
            sender,
            sources: Sources::default(),
            has_volumes: false,
            refresh_at: DateTime::UNIX_EPOCH,
            started: Utc::now(),
            deadline: None,
            written,
        }
    }

    /// Until the pod is gone.
    pub async fn run(mut self) {
        loop {
            let now = Utc::now();
            self.notice_deletion(now);
            if self.deadline.is_none() && !self.facts().has_ended() {
                self.start_containers(now).await;
            }
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                self.running().for_each(|process| process.signal("KILL"));
            }
            let is_written = self.publish().await;
            if is_written && self.deadline.is_some() && !self.runs.iter().any(Run::is_running) && self.delete().await {
                break;
            }
            let wake = if is_written { self.next_wake(now) } else { AGAIN };
            match tokio::time::timeout(wake, self.news.recv()).await {
                Ok(Some(News::Gone) | None) => break,
                Ok(Some(news)) => self.take(news),
                Err(_) => {}
            }
        }
        // whoever took the object away did not wait
        self.running().for_each(|process| process.signal("KILL"));
        self.runs.iter_mut().for_each(Run::stop_probes);
        self.house.residents().iter_mut().filter(|one| one.pod == self.name()).for_each(|one| one.process = None);
    }

    fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    fn running(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.runs.iter().filter_map(|run| run.process.as_ref())
    }

    fn policy(&self) -> RestartPolicy {
        RestartPolicy::of(self.spec.restart_policy.as_deref())
    }

    fn take(&mut self, news: News) {
        let now = Utc::now();
        match news {
            News::Changed(pod) => self.pod = *pod,
            News::Gone => {}
            News::Ended { container, run: number, code } => {
                let policy = match self.policy() {
                    // one that succeeded is not started again
                    RestartPolicy::Always if container < self.inits => RestartPolicy::OnFailure,
                    policy => policy,
                };
                let again = self.deadline.is_none() && policy.restarts(code);
                let run = &mut self.runs[container];
                if run.number == number {
                    let made = run.process.as_ref().is_some_and(|process| process.is_made());
                    run.ended(if made { code } else { 128 }, again, now);
                    let (pod, name) = (self.name().to_owned(), self.runs[container].spec.name.clone());
                    let mut residents = self.house.residents();
                    residents
                        .iter_mut()
                        .filter(|one| one.pod == pod && one.container == name)
                        .for_each(|one| one.process = None);
                }
            }
            News::Probed { container, run, kind, success, grace } => {
                if self.runs[container].number == run && self.runs[container].is_running() {
                    self.judge(container, kind, success, grace);
                }
            }
        }
    }

    fn judge(&mut self, container: usize, kind: Kind, success: bool, grace: Option<i64>) {
        let run = &mut self.runs[container];
        match (kind, success) {
            (Kind::Readiness, _) => run.ready = success,
            (Kind::Startup, true) => {
                if !std::mem::replace(&mut run.started, true) {
                    run.ready = run.spec.readiness_probe.is_none();
                    self.probe(container);
                }
            }
            (Kind::Liveness, true) => {}
            (Kind::Startup | Kind::Liveness, false) => {
                if self.deadline.is_none() && !std::mem::replace(&mut run.ending, true) {
                    let grace = grace.or(self.spec.termination_grace_period_seconds).unwrap_or(GRACE);
                    self.end(container, grace, true);
                }
            }
        }
    }

    /// Told to end: hooks and SIGTERM now, SIGKILL when the grace is over.
    fn notice_deletion(&mut self, now: DateTime<Utc>) {
        if self.pod.metadata.deletion_timestamp.is_none() {
            return;
        }
        let grace = self.pod.metadata.deletion_grace_period_seconds.unwrap_or(GRACE).max(0);
        let deadline = now + TimeDelta::seconds(grace);
        if let Some(before) = self.deadline {
            // it may be told again to be faster
            self.deadline = Some(before.min(deadline));
            return;
        }
        self.deadline = Some(deadline);
        for container in 0..self.runs.len() {
            // a probe that restarts has nothing to do any more
            self.runs[container].ending = true;
            self.end(container, grace, false);
        }
    }

    /// Runs the hook of a container, signals it, and kills it if it must be `killed` here.
    fn end(&mut self, container: usize, grace: i64, killed: bool) {
        let run = &self.runs[container];
        let Some(process) = run.process.clone() else { return };
        let hook = run.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.clone());
        let (spec, ip, house) = (run.spec.clone(), self.place.ip, Arc::clone(&self.house));
        tokio::spawn(async move {
            let grace = Duration::from_secs(grace.try_into().unwrap_or(0));
            let deadline = tokio::time::Instant::now() + grace;
            if let Some(hook) = hook {
                let _ = tokio::time::timeout_at(deadline, hook::run(&house.prober, &hook, &spec, ip, &process)).await;
            }
            process.signal("TERM");
            if killed {
                tokio::time::sleep_until(deadline).await;
                process.signal("KILL");
            }
        });
    }

    async fn start_containers(&mut self, now: DateTime<Utc>) {
        let due = self.due(now);
        let is_stale = now >= self.refresh_at || !self.has_volumes;
        if is_stale && let Err(why) = self.refresh_volumes(now).await {
            for container in due {
                self.runs[container].state = waiting("ContainerCreating", &why);
            }
            return;
        }
        for container in due {
            self.start(container).await;
        }
    }

    /// Containers whose turn it is.
    fn due(&self, now: DateTime<Utc>) -> Vec<usize> {
        let is_due = |run: &Run| run.waits() && run.start_at <= now;
        match (0..self.inits).find(|init| !self.runs[*init].succeeded()) {
            Some(init) => Some(init).into_iter().filter(|init| is_due(&self.runs[*init])).collect(),
            None => (self.inits..self.runs.len()).filter(|container| is_due(&self.runs[*container])).collect(),
        }
    }

    async fn refresh_volumes(&mut self, now: DateTime<Utc>) -> Result<(), String> {
        let client = self.house.client.clone();
        self.refresh_at = now + REFRESH;
        self.sources.read(&client, &self.pod, now).await.map_err(|error| error.to_string())?;
        for volume in self.spec.volumes.iter().flatten() {
            let files = volumes::files(&self.pod, volume, &self.sources, &self.place)
                .map_err(|why| format!("MountVolume.SetUp failed for volume \"{}\" : {why}", volume.name))?;
            volumes::write(&launching::volume(&self.folder(), &volume.name), &files).map_err(|error| error.to_string())?;
        }
        self.has_volumes = true;
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        self.house.folder.join(self.name())
    }

    async fn start(&mut self, container: usize) {
        let spec = self.runs[container].spec.clone();
        let wants = spec.image.clone().unwrap_or_default();
        let Some(image) = self.house.images.iter().find(|image| image.is(&wants)).cloned() else {
            self.runs[container].state = waiting("ErrImagePull", &format!("the test knows no image {wants}"));
            return;
        };
        let number = self.runs[container].number + 1;
        let folder = self.folder();
        let pod =
            launching::OfPod { pod: &self.pod, spec: &self.spec, place: &self.place, sources: &self.sources, folder: &folder };
        let launch = match pod.launch(&spec, &image, number) {
            Ok(launch) => launch,
            Err(why) => {
                self.runs[container].state = waiting("CreateContainerConfigError", &why);
                return;
            }
        };
        let (sender, log) = (self.sender.clone(), launch.log.clone());
        let ended = move |code| drop(sender.send(News::Ended { container, run: number, code }));
        let process = tokio::task::spawn_blocking(move || Process::start(&launch, ended)).await;
        let process = match process.map_err(std::io::Error::other).flatten() {
            Ok(process) => Arc::new(process),
            Err(error) => {
                self.runs[container].state = waiting("CreateContainerError", &error.to_string());
                return;
            }
        };
        let resident = Resident {
            pod: self.name().to_owned(),
            container: spec.name.clone(),
            run: number,
            log: log.clone(),
            process: Some(Arc::clone(&process)),
        };
        self.house.residents().push(resident);
        let run = &mut self.runs[container];
        (run.number, run.process, run.state) = (number, Some(process), State::Running { since: Utc::now() });
        run.logs.push(log);
        run.started = spec.startup_probe.is_none();
        run.ready = run.started && spec.readiness_probe.is_none();
        self.probe(container);
    }

    /// Starts the probes whose turn it is.
    fn probe(&mut self, container: usize) {
        let run = &self.runs[container];
        let Some(process) = run.process.clone() else { return };
        let spec = &run.spec;
        let kinds = if run.started {
            vec![(Kind::Liveness, &spec.liveness_probe), (Kind::Readiness, &spec.readiness_probe)]
        } else {
            vec![(Kind::Startup, &spec.startup_probe)]
        };
        let mut tasks = Vec::new();
        for (kind, probe) in kinds {
            let Some(probe) = probe.clone() else { continue };
            let check = Check::of(&probe, spec, self.place.ip);
            let (sender, run, grace) = (self.sender.clone(), run.number, probe.termination_grace_period_seconds);
            let tell = move |success| sender.send(News::Probed { container, run, kind, success, grace }).is_ok();
            let (prober, process) = (self.house.prober.clone(), Arc::clone(&process));
            tasks.push(tokio::spawn(async move { prober.run(&probe, check, &process, tell).await }));
        }
        self.runs[container].probes.extend(tasks);
    }

    fn facts(&self) -> PodFacts {
        let (inits, others) = self.runs.split_at(self.inits);
        PodFacts {
            ip: self.place.ip,
            started: self.started,
            generation: self.pod.metadata.generation.unwrap_or(0),
            restart_policy: self.policy(),
            has_sandbox: self.has_volumes,
            init: inits.iter().map(Run::facts).collect(),
            containers: others.iter().map(Run::facts).collect(),
            is_over: self.deadline.is_some() && !self.runs.iter().any(Run::is_running),
        }
    }

    /// Writes the status if it says something new. False: it could not be written.
    async fn publish(&mut self) -> bool {
        let status = self.facts().status(&self.written, Utc::now());
        if status == self.written {
            return true;
        }
        let patch = json!({"metadata": {"uid": self.pod.metadata.uid}, "status": status});
        let pods = self.pods();
        match pods.patch_status(self.name(), &PatchParams::default(), &Patch::Strategic(&patch)).await {
            Ok(_) => self.written = status,
            // gone, or another of the same name: the watch tells
            Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => self.written = status,
            Err(error) => {
                eprintln!("the status of pod {} is refused, and is tried again: {error}", self.name());
                return false;
            }
        }
        true
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.house.client.clone(), self.pod.metadata.namespace.as_deref().unwrap_or_default())
    }

    /// Takes the object away, as only a kubelet may. True: it is gone.
    async fn delete(&self) -> bool {
        let uid = self.pod.metadata.uid.clone();
        let params = DeleteParams::default().grace_period(0).preconditions(Preconditions { uid, resource_version: None });
        match self.pods().delete(self.name(), &params).await {
            // a finalizer may hold it, which is not the kubelet's concern
            Ok(_) => true,
            Err(kube::Error::Api(refusal)) => matches!(refusal.code, 404 | 409),
            Err(_) => false,
        }
    }

    fn next_wake(&self, now: DateTime<Utc>) -> Duration {
        let mut at = vec![now + TimeDelta::seconds(60)];
        at.extend(self.deadline);
        if self.deadline.is_none() && !self.facts().has_ended() {
            at.push(if self.has_volumes { self.refresh_at } else { now + TimeDelta::seconds(1) });
            let waiting = self.runs.iter().filter(|run| run.waits());
            // what is missing may have come
            at.extend(waiting.map(|run| run.start_at.max(now + TimeDelta::seconds(1))));
        }
        let next = at.into_iter().min().unwrap_or(now) - now;
        next.to_std().unwrap_or_default().max(Duration::from_millis(20))
    }
}
