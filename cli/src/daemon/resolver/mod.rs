//! Names to servers and addresses: walks of the core over DNS, with a memory, a limit of time, and
//! the last known answer while DNS fails (REL-002, SIP-1705).
//!
//! What to ask and what to remember is decided by [`sbc_core::locate`]; here is who asks. One
//! question is under way once, however many calls wait for it, and it is finished for the memory
//! even if nobody waits any more.

mod upstream;

use crate::sink::metrics::Metrics;
use arc_swap::ArcSwap;
use sbc_core::locate::{
    Answer, Cache, Families, Found, Kind, LocateSpec, Question, Record, State as Known, Step, Walk,
};
use sbc_core::query::{Outcome, ResolveFault, ResolveSpec};
use sbc_core::time::Timestamp;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use upstream::Upstream;

/// Longest wait for one answer of DNS.
const LIMIT: Duration = Duration::from_secs(3);
/// Longest wait for one where the last known answer can be used instead (RFC 8767 §5): a call is being set up.
const HURRY: Duration = Duration::from_secs(1);
/// Longest wait for all answers that one target needs.
const WHOLE: Duration = Duration::from_secs(5);
/// Questions under way at a time about names that the operator has written.
const MAX_RUNNING: usize = 64;
/// Questions under way at a time about names that peers have brought, which may lead nowhere on purpose.
const MAX_RUNNING_FOREIGN: usize = 32;
/// Most of those that are under way or wait for that; more fail at once.
const MAX_FOREIGN: usize = 256;

/// Who has named what is looked up: neither waits for the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Namer {
    Operator,
    Peer,
}

/// Answers look-ups. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
    namer: Namer,
}

struct Shared {
    upstream: ArcSwap<Upstream>,
    started: Instant,
    state: Mutex<State>,
    turns: Semaphore,
    foreign_turns: Semaphore,
    metrics: Arc<Metrics>,
    /// Which look names up, whoever asks: one question serves a call and the interface.
    threads: Option<Handle>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    /// Who waits for a question that is under way.
    running: HashMap<(Namer, Question), Vec<oneshot::Sender<Answer>>>,
    /// How many of them peers have brought.
    foreign: usize,
}

/// One answer that is remembered.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// To what.
    pub question: Question,
    /// What it is good for.
    pub state: Known,
    /// For how long.
    pub left: Duration,
    /// What it says.
    pub records: Vec<String>,
}

/// An answer in words.
fn told(answer: &Answer) -> Vec<String> {
    let record = |record: &Record| match record {
        Record::Address(address) => address.to_string(),
        Record::Srv {
            priority,
            weight,
            port,
            target,
        } => format!("{priority} {weight} {port} {target}"),
        Record::Naptr {
            order,
            preference,
            service,
            replacement,
            ..
        } => format!("{order} {preference} {service} {replacement}"),
    };
    match answer {
        Answer::Records(records) => records.iter().map(record).collect(),
        Answer::Absent => vec!["there is none".to_owned()],
        Answer::Failed(fault) => vec![fault.to_string()],
    }
}

impl Resolver {
    /// A resolver that asks as this host does: `/etc/hosts`, and the servers of `/etc/resolv.conf`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self::with(Upstream::system(), metrics, None)
    }

    /// A resolver that asks these servers and nobody else.
    pub fn asking(servers: &[SocketAddr], metrics: Arc<Metrics>) -> Self {
        Self::with(Upstream::servers(servers), metrics, None)
    }

    /// A resolver that asks the configured servers, or as this host does if none are; by the threads on which it is made,
    /// if they are of a runtime.
    pub fn configured(servers: &[SocketAddr], metrics: Arc<Metrics>) -> Self {
        Self::with(Upstream::of(servers), metrics, Handle::try_current().ok())
    }

    /// Asks these servers from now on, or as this host does if there are none (OPS-121). What is under way is asked again;
    /// what was said before is only used where they do not answer.
    pub fn ask_from_now_on(&self, servers: &[SocketAddr]) {
        let mut state = self.lock();
        self.shared.upstream.store(Arc::new(Upstream::of(servers)));
        state.cache.outdate(self.now());
    }

    fn with(upstream: Upstream, metrics: Arc<Metrics>, threads: Option<Handle>) -> Self {
        Self {
            shared: Arc::new(Shared {
                upstream: ArcSwap::from_pointee(upstream),
                started: Instant::now(),
                state: Mutex::default(),
                turns: Semaphore::new(MAX_RUNNING),
                foreign_turns: Semaphore::new(MAX_RUNNING_FOREIGN),
                metrics,
                threads,
            }),
            namer: Namer::Operator,
        }
    }

    /// The same for names that a peer has brought: there may be any number of them, so they have turns of their
    /// own, and fail at once where too many wait.
    pub fn foreign(&self) -> Self {
        Self {
            namer: Namer::Peer,
            ..self.clone()
        }
    }

    /// How many questions are under way or wait for their turn.
    pub fn waiting(&self) -> usize {
        self.lock().running.len()
    }

    /// What is remembered, of one name or of all.
    pub fn remembered(&self, name: Option<&str>) -> Vec<Remembered> {
        let now = self.now();
        let state = self.lock();
        let all = state.cache.all(now);
        let all = all.filter(|(question, ..)| name.is_none_or(|name| question.name == name));
        all.map(|(question, answer, state, left)| Remembered {
            question: question.clone(),
            state,
            left,
            records: told(answer),
        })
        .collect()
    }

    /// Addresses that a name is known to have.
    pub fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        let now = self.now();
        let state = self.lock();
        let all = state.cache.all(now);
        let answers = all.filter(|(question, ..)| question.name == name);
        let answers = answers.filter_map(|(_, answer, ..)| match answer {
            Answer::Records(records) => Some(records),
            Answer::Absent | Answer::Failed(_) => None,
        });
        let records = answers.flatten();
        records
            .filter_map(|record| match record {
                Record::Address(address) => Some(*address),
                Record::Naptr { .. } | Record::Srv { .. } => None,
            })
            .collect()
    }

    /// Forgets what is known of one name or of all; says how many answers that were.
    pub fn forget(&self, name: Option<&str>) -> usize {
        let is_meant = |question: &Question| name.is_none_or(|name| question.name == name);
        self.lock().cache.forget(is_meant)
    }

    /// Finds the servers of a target.
    pub async fn locate(&self, spec: &LocateSpec) -> Outcome {
        let own = match spec.is_foreign {
            true => self.foreign(),
            false => self.clone(),
        };
        timeout(WHOLE, own.walk(Walk::new(spec.clone())))
            .await
            .unwrap_or(Outcome::ResolveFailed(ResolveFault::Timeout))
    }

    /// Finds the addresses of a host.
    pub async fn resolve(&self, spec: &ResolveSpec) -> Outcome {
        timeout(WHOLE, self.addresses(spec))
            .await
            .unwrap_or(Outcome::ResolveFailed(ResolveFault::Timeout))
    }

    async fn addresses(&self, spec: &ResolveSpec) -> Outcome {
        let name = spec.host.trim_end_matches('.').to_ascii_lowercase();
        // IPv6 first, as RFC 6724 has it; addresses that no listener reaches are passed over.
        let Families { v4, v6 } = spec.families;
        let kinds = [v6.then_some(Kind::Aaaa), v4.then_some(Kind::A)];
        let kinds = kinds.into_iter().flatten();
        let questions: Vec<Question> = kinds
            .map(|kind| Question {
                name: name.clone(),
                kind,
            })
            .collect();
        let mut answers = self.ask_all(questions.clone()).await;
        let (mut addresses, mut why) = (Vec::new(), ResolveFault::NotFound);
        for question in questions {
            match answers.remove(&question) {
                Some(Answer::Records(records)) => {
                    addresses.extend(records.into_iter().filter_map(|record| match record {
                        Record::Address(ip) => Some(SocketAddr::new(ip, spec.port)),
                        Record::Naptr { .. } | Record::Srv { .. } => None,
                    }));
                }
                Some(Answer::Failed(fault)) => why = fault,
                Some(Answer::Absent) | None => {}
            }
        }
        match addresses.is_empty() {
            true => Outcome::ResolveFailed(why),
            false => Outcome::Resolved(addresses),
        }
    }

    async fn walk(&self, mut walk: Walk) -> Outcome {
        loop {
            match walk.step() {
                Step::Done(outcome) => return outcome,
                Step::Ask(questions) => {
                    for (question, answer) in self.ask_all(questions).await {
                        walk.answer(question, answer);
                    }
                }
            }
        }
    }

    /// Answers questions at the same time. What is known needs no other task.
    async fn ask_all(&self, questions: Vec<Question>) -> HashMap<Question, Answer> {
        let mut answers = HashMap::new();
        let mut open = JoinSet::new();
        for question in questions {
            match self.ask(&question) {
                Asked::Known(answer) => {
                    answers.insert(question, answer);
                }
                Asked::Waiting(told) => {
                    open.spawn(async move {
                        let failed = Answer::Failed(ResolveFault::ServerFailure);
                        (question, told.await.unwrap_or(failed))
                    });
                }
            }
        }
        answers.extend(open.join_all().await);
        answers
    }

    fn ask(&self, question: &Question) -> Asked {
        let mut state = self.lock();
        match state.cache.find(self.now(), question) {
            Found::Fresh(answer, is_worn) => {
                if is_worn && self.has_room(&state, question) {
                    self.begin(&mut state, question);
                }
                Asked::Known(answer)
            }
            Found::Stale(answer) => {
                self.count_stale(matches!(answer, Answer::Records(_)));
                Asked::Known(answer)
            }
            Found::Nothing if !self.has_room(&state, question) => {
                Asked::Known(Answer::Failed(ResolveFault::ServerFailure))
            }
            Found::Nothing => {
                let (tell, told) = oneshot::channel();
                self.begin(&mut state, question).push(tell);
                Asked::Waiting(told)
            }
        }
    }

    /// Sees to it that a question is under way.
    fn begin<'a>(
        &self,
        state: &'a mut State,
        question: &Question,
    ) -> &'a mut Vec<oneshot::Sender<Answer>> {
        let key = (self.namer, question.clone());
        if !state.running.contains_key(&key) {
            let (resolver, question) = (self.clone(), question.clone());
            let threads = self.shared.threads.clone();
            let threads = threads.unwrap_or_else(Handle::current);
            threads.spawn(async move { resolver.look_up(question).await });
            state.foreign += usize::from(self.namer == Namer::Peer);
        }
        state.running.entry(key).or_default()
    }

    /// Whether a question may be under way.
    fn has_room(&self, state: &State, question: &Question) -> bool {
        let is_running = || state.running.contains_key(&(self.namer, question.clone()));
        self.namer == Namer::Operator || state.foreign < MAX_FOREIGN || is_running()
    }

    async fn look_up(&self, question: Question) {
        let (answer, lifetime, mut state) = loop {
            let asked = self.shared.upstream.load_full();
            let (answer, lifetime) = self.found(&question).await;
            let state = self.lock();
            // What others have said is nothing that those who are asked now say.
            if Arc::ptr_eq(&asked, &self.shared.upstream.load()) {
                break (answer, lifetime, state);
            }
        };
        let now = self.now();
        let (used, is_stale) = state.cache.note(now, question.clone(), answer, lifetime);
        let waiting = state.running.remove(&(self.namer, question));
        let waiting = waiting.unwrap_or_default();
        state.foreign -= usize::from(self.namer == Namer::Peer);
        drop(state);
        self.count_stale(is_stale && !waiting.is_empty());
        for tell in waiting {
            // Whoever asked may have given up.
            let _ = tell.send(used.clone());
        }
    }

    /// The answer of DNS. Who can make do with the last known one does not wait for a turn either.
    async fn found(&self, question: &Question) -> (Answer, Duration) {
        let mut asked = pin!(self.asked_in_turn(question));
        match timeout(HURRY, asked.as_mut()).await {
            Ok(found) => found,
            Err(_) => {
                self.make_do(question);
                asked.await
            }
        }
    }

    /// The answer of DNS, when it is this question's turn.
    async fn asked_in_turn(&self, question: &Question) -> (Answer, Duration) {
        let turns = match self.namer {
            Namer::Operator => &self.shared.turns,
            Namer::Peer => &self.shared.foreign_turns,
        };
        let Ok(_turn) = turns.acquire().await else {
            return (Answer::Failed(ResolveFault::ServerFailure), Duration::ZERO);
        };
        let begun = Instant::now();
        let late = (Answer::Failed(ResolveFault::Timeout), Duration::ZERO);
        let upstream = self.shared.upstream.load_full();
        let found = timeout(LIMIT, upstream.ask(question)).await;
        let found = found.unwrap_or(late);
        self.count(question.kind, begun.elapsed(), &found.0);
        found
    }

    /// Whoever waits gets the last known answer, if there is one, and so does whoever asks for a while; the
    /// question stays under way.
    fn make_do(&self, question: &Question) {
        let mut state = self.lock();
        let now = self.now();
        if !state.cache.has_last_resort(now, question) {
            return;
        }
        let late = Answer::Failed(ResolveFault::Timeout);
        let (used, is_stale) = state
            .cache
            .note(now, question.clone(), late, Duration::ZERO);
        let key = (self.namer, question.clone());
        let waiting = state.running.get_mut(&key).map(std::mem::take);
        drop(state);
        for tell in waiting.into_iter().flatten() {
            self.count_stale(is_stale);
            // Whoever asked may have given up.
            let _ = tell.send(used.clone());
        }
    }

    fn count_stale(&self, is_stale: bool) {
        if is_stale {
            self.shared.metrics.dns_stale.inc();
        }
    }

    fn count(&self, kind: Kind, took: Duration, answer: &Answer) {
        let result = match answer {
            Answer::Records(_) => "ok",
            Answer::Absent | Answer::Failed(ResolveFault::NotFound) => "not_found",
            Answer::Failed(ResolveFault::Timeout) => "timeout",
            Answer::Failed(ResolveFault::ServerFailure) => "server_failure",
        };
        let metrics = &self.shared.metrics;
        let labels = [kind.as_str(), result];
        metrics.dns.with_label_values(&labels).inc();
        metrics.dns_seconds.observe(took.as_secs_f64());
    }

    fn now(&self) -> Timestamp {
        let us = self.shared.started.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        let state = &self.shared.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Asked {
    Known(Answer),
    Waiting(oneshot::Receiver<Answer>),
}
