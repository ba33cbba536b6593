//! A model: replicas whose instances share one Secret, processes that crash at any point, answers that get lost, Secrets that are
//! fought over, and an authorization server that revokes everything when a refresh token is used twice. Seeded, and every step is one
//! that the shell makes.

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;

use super::answer::Granted;
use super::material::{Material, Source};
use super::memory::Memory;
use super::step::{Ask, Decision, Outcome, Situation, decide, settle};
use super::stored::StoredTokens;
use crate::api::auth::{Grant, Rotates};
use crate::api::conditions::{Problem, Reason};
use crate::plan::Oauth2Plan;
use crate::plan::sample::oauth2;

/// Replicas, and instances of the Secret at each of them.
const PROCESSES: usize = 3;
const INSTANCES: usize = 3;

/// What happens next to one of the processes.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A process goes on by one step, and decides for one of its instances: decide, mark, send, or store.
    Step(usize, usize),
    /// The API of an instance answers 401 to the newest access token that it may use.
    Refuse(usize, usize),
    /// A process dies and another one takes its place.
    Crash(usize),
    /// The next answer is lost on its way.
    Lose,
    /// Time passes, in seconds.
    Pass(i64),
    /// A user writes another source into the Secret: one of the old ones, or a new consent.
    Rewrite(bool, usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..PROCESSES, 0..INSTANCES).prop_map(|(process, instance)| Event::Step(process, instance)),
        1 => (0..PROCESSES, 0..INSTANCES).prop_map(|(process, instance)| Event::Refuse(process, instance)),
        2 => (0..PROCESSES).prop_map(Event::Crash),
        1 => Just(Event::Lose),
        3 => (1..120i64).prop_map(Event::Pass),
        1 => (any::<bool>(), 0..4usize).prop_map(|(new, which)| Event::Rewrite(new, which)),
    ]
}

/// An authorization server that rotates.
#[derive(Default)]
struct Server {
    serial: usize,
    /// Token, its consent, and by which process it was used.
    tokens: Vec<(String, usize, Vec<String>)>,
    newest_stored: Vec<String>,
}

impl Server {
    fn consent(&mut self) -> String {
        let consent = self.tokens.len();
        self.issue(consent)
    }

    fn issue(&mut self, consent: usize) -> String {
        self.serial += 1;
        let token = format!("r{}", self.serial);
        self.tokens.push((token.clone(), consent, Vec::new()));
        token
    }

    /// Uses a refresh token; the answer, unless it is spent.
    fn take(&mut self, token: &str, process: &str) -> Option<Granted> {
        let found = self.tokens.iter_mut().find(|(known, ..)| known == token)?;
        found.2.push(process.to_owned());
        if found.2.len() > 1 {
            return None;
        }
        let consent = found.1;
        let refresh_token = Some(self.issue(consent));
        Some(Granted {
            access_token: format!("a{}", self.serial),
            refresh_token,
            expires_in: Some(std::time::Duration::from_mins(1)),
            scope: None,
            token_type: None,
        })
    }
}

/// Where a process stands between two of its writes.
enum At {
    Idle,
    /// The marker is stored, the request is not sent.
    Marked(Box<Ask>, u64, usize),
    /// The answer is there, and not stored.
    Answered(Box<StoredTokens>, u64, Option<String>),
}

struct Process {
    name: String,
    memory: Memory,
    at: At,
}

struct World {
    /// Of the instances: they differ in what they ask for.
    plans: [Oauth2Plan; INSTANCES],
    server: Server,
    sources: Vec<String>,
    source: String,
    stored: Option<StoredTokens>,
    version: u64,
    processes: Vec<Process>,
    now: DateTime<Utc>,
    lose: bool,
    born: usize,
}

impl World {
    fn new() -> Self {
        let mut server = Server::default();
        let source = server.consent();
        let mut world = Self {
            plans: [
                Oauth2Plan { grant: Grant::RefreshToken, ..oauth2() },
                Oauth2Plan { grant: Grant::RefreshToken, scopes: vec!["read".into()], ..oauth2() },
                Oauth2Plan { grant: Grant::AuthorizationCode, audience: Some("https://api".into()), ..oauth2() },
            ],
            server,
            sources: vec![source.clone()],
            source,
            stored: None,
            version: 0,
            processes: Vec::new(),
            now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            lose: false,
            born: 0,
        };
        for _ in 0..PROCESSES {
            let process = world.new_process();
            world.processes.push(process);
        }
        world
    }

    fn new_process(&mut self) -> Process {
        self.born += 1;
        Process { name: format!("p{}", self.born), memory: Memory::default(), at: At::Idle }
    }

    /// Compare-and-swap.
    fn save(&mut self, tokens: &StoredTokens, seen: u64) -> bool {
        if seen != self.version {
            return false;
        }
        self.version += 1;
        self.stored = Some(tokens.clone());
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Pass(seconds) => self.now += Duration::seconds(seconds),
            Event::Lose => self.lose = true,
            Event::Crash(index) => self.processes[index] = self.new_process(),
            Event::Rewrite(true, _) => {
                self.source = self.server.consent();
                self.sources.push(self.source.clone());
            }
            Event::Rewrite(false, which) => self.source = self.sources[which % self.sources.len()].clone(),
            Event::Step(process, instance) => self.step(process, instance, false),
            Event::Refuse(process, instance) => self.step(process, instance, true),
        }
    }

    fn step(&mut self, index: usize, instance: usize, refuses: bool) {
        let mut process = std::mem::replace(
            &mut self.processes[index],
            Process { name: String::new(), memory: Memory::default(), at: At::Idle },
        );
        process.at = match process.at {
            At::Idle => self.decide(&process, instance, refuses),
            At::Marked(ask, seen, instance) => self.send(&mut process.memory, &process.name, instance, &ask, seen),
            At::Answered(next, seen, newest) => {
                // Overtaken, what came is let go.
                if self.save(&next, seen) {
                    self.server.newest_stored.extend(newest);
                }
                At::Idle
            }
        };
        self.processes[index] = process;
    }

    fn decide(&mut self, process: &Process, instance: usize, refuses: bool) -> At {
        let material = Material {
            client_id: "id".into(),
            client_secret: Some("secret".into()),
            private_key: None,
            key_id: None,
            source: Ok(Source::RefreshToken(self.source.clone())),
            identity: None,
        };
        let plan = &self.plans[instance];
        let newest =
            self.stored.as_ref().and_then(|stored| stored.access_for(&plan.variant())).map(|access| access.token.clone());
        let decision = decide(&Situation {
            plan,
            material: &material,
            stored: self.stored.as_ref(),
            memory: &process.memory,
            refused: newest.as_deref().filter(|_| refuses),
            now: self.now,
            process: &process.name,
            is_shared: true,
            forced: None,
            rightful: None,
            salt: "salt",
        });
        let Decision::Ask(ask) = decision else { return At::Idle };
        let seen = self.version;
        if !ask.stores_first {
            return At::Marked(ask, seen, instance);
        }
        if self.save(&ask.chain, seen) { At::Marked(ask, seen + 1, instance) } else { At::Idle }
    }

    fn send(&mut self, memory: &mut Memory, name: &str, instance: usize, ask: &Ask, seen: u64) -> At {
        memory.note_sending(ask);
        let token = ask.sends.refresh_token().unwrap();
        let answer = self.server.take(token, name);
        let newest = answer.as_ref().and_then(|granted| granted.refresh_token.clone());
        let lost = std::mem::take(&mut self.lose);
        let outcome = match answer {
            _ if lost => Outcome::Lost(Problem::transient(Reason::TokenEndpointUnreachable, "x")),
            Some(granted) => Outcome::Granted(granted),
            None => Outcome::Failed(super::answer::Failure::InvalidGrant),
        };
        let next = settle(memory, &self.plans[instance], ask, outcome, self.now);
        if next == ask.chain { At::Idle } else { At::Answered(Box::new(next), seen, newest.filter(|_| !lost)) }
    }

    /// No refresh token was used by two processes, and none by one process more often than its one second chance.
    fn check(&self) {
        for (token, _, uses) in &self.server.tokens {
            assert!(uses.iter().all(|by| *by == uses[0]), "{token} was used by two: {uses:?}");
            assert!(uses.len() <= 2, "{token} was used {} times", uses.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_refresh_token_is_used_by_two_processes(events in prop::collection::vec(event(), 1..200)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            world.check();
        }
    }

    /// With a consent that works, all ends well again, whatever happened before.
    #[test]
    fn a_new_consent_heals_whatever_happened(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        world.lose = false;
        world.happen(Event::Rewrite(true, 0));
        // in the end one owner, as it is with ownership
        for _ in 0..6 {
            world.happen(Event::Step(0, 0));
        }
        let stored = world.stored.as_ref().expect("tokens");
        let own = stored.access_for(&world.plans[0].variant());
        prop_assert!(own.is_some_and(|access| access.is_valid(world.now)), "{stored:?}");
        world.check();
    }

    /// What was stored last is what is used next, unless a person supplied something new.
    #[test]
    fn the_newest_stored_token_is_never_forgotten(
        events in prop::collection::vec(event().prop_filter("no rewrites", |event| !matches!(event, Event::Rewrite(..))), 1..200)
    ) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            if let Some(newest) = world.server.newest_stored.last() {
                let stored = world.stored.as_ref().and_then(|stored| stored.refresh_token.as_ref());
                prop_assert_eq!(stored, Some(newest));
            }
        }
    }

    /// However many instances and replicas there are, one renewal serves all that ask for the same.
    #[test]
    fn one_refresh_serves_all_instances_of_all_replicas(order in prop::collection::vec((0..PROCESSES, 0..2usize), 1..80)) {
        let mut world = World::new();
        for (process, instance) in order {
            world.happen(Event::Step(process, instance));
        }
        prop_assert!(world.server.tokens.iter().all(|(_, _, uses)| uses.len() <= 1));
        prop_assert!(world.server.serial <= 2, "{}", world.server.serial);
    }

    #[test]
    fn where_tokens_last_nobody_is_asked_for_consent(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        world.plans[0].refresh.rotates = Some(Rotates::Never);
        // a server that does not rotate takes the same token any number of times
        let material = Material {
            client_id: "id".into(),
            client_secret: Some("secret".into()),
            private_key: None,
            key_id: None,
            source: Ok(Source::RefreshToken("r".into())),
            identity: None,
        };
        let (mut stored, mut memory): (Option<StoredTokens>, _) = (None, Memory::default());
        for event in events {
            match event {
                Event::Pass(seconds) => world.now += Duration::seconds(seconds),
                Event::Crash(_) => memory = Memory::default(),
                _ => {
                    let decision = decide(&Situation {
                        plan: &world.plans[0], material: &material, stored: stored.as_ref(), memory: &memory, refused: None,
                        now: world.now, process: "p", is_shared: true, forced: None, rightful: None, salt: "salt",
                    });
                    match decision {
                        Decision::Ask(ask) => {
                            prop_assert!(!ask.stores_first);
                            memory.note_sending(&ask);
                            let outcome = if matches!(event, Event::Lose) {
                                Outcome::Lost(Problem::transient(Reason::TokenEndpointUnreachable, "x"))
                            } else {
                                Outcome::Granted(Granted {
                                    access_token: "a".into(), refresh_token: None,
                                    expires_in: Some(std::time::Duration::from_mins(1)), scope: None, token_type: None,
                                })
                            };
                            stored = Some(settle(&mut memory, &world.plans[0], &ask, outcome, world.now));
                        }
                        Decision::Use(_) | Decision::Wait(_) | Decision::Await(_) => {}
                        Decision::Stop(problem) => panic!("{problem}"),
                        Decision::Refused => panic!("nothing was refused"),
                    }
                }
            }
        }
    }
}
