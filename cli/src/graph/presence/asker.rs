//! What one tenant's presence takes: all its users read regularly in batches, those that somebody wants to know of
//! in between, and who talks over our trunks shown as busy if the operator wants that.
//!
//! One request at a time, each with an end of its own, so that nothing waits for another tenant. Who is busy is
//! left alone for as long as it says; what fails otherwise is tried again later and later.

use super::shown::{EXPIRES_TEXT, Shown, Wish};
use super::store::{BATCH, Presences};
use crate::daemon::resolver::Resolver;
use crate::graph::Graph;
use crate::graph::fault::{GraphFault, READ_PRESENCE, SET_PRESENCE};
use crate::graph::reach::{Reach, now as wall};
use crate::sink::Sinks;
use crate::sink::news::Kind;
use sbc_core::config::{FileFault, GraphAccess, PresenceAccess, UserId};
use sbc_core::id::TenantName;
use sbc_core::policy::presence::{Presence, Talking};
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep_until;

/// Longest time for one answer: the next one is wanted soon.
const LIMIT: Duration = Duration::from_secs(15);
/// Longest pause after failures in a row.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often it is looked at who talks.
const LOOK: Duration = Duration::from_secs(1);
/// Shortest time between two requests for users that somebody wants to know of.
const SOONEST: Duration = Duration::from_secs(1);
/// For how long nothing is set after Microsoft said that we may not.
const FORBIDDEN: Duration = Duration::from_secs(600);

/// What is known of the asking, for operators.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// When all users were heard of.
    pub heard: Option<Instant>,
    /// Why the last request came to nothing, if it did.
    pub because: Option<String>,
    /// Why nobody is shown as busy, if somebody should be.
    pub not_shown: Option<String>,
    /// How many are shown as busy.
    pub shown: usize,
}

/// Asks for one tenant.
pub(super) struct Asker {
    pub(super) tenant: TenantName,
    pub(super) access: GraphAccess,
    pub(super) presence: PresenceAccess,
    pub(super) store: Presences,
    pub(super) talking: Talking,
    pub(super) sinks: Sinks,
    pub(super) resolver: Resolver,
    pub(super) told: Arc<Mutex<Told>>,
}

/// Where it is.
struct Turn {
    /// Batches of the round that is under way.
    batches: VecDeque<Vec<UserId>>,
    is_round: bool,
    next_round: Instant,
    failures: u32,
    /// Nobody is asked anything before.
    not_before: Instant,
    /// Users that are wanted are not asked for before.
    wanted_from: Instant,
    shown: Shown,
    /// Nobody is set before.
    set_from: Instant,
    talking: BTreeSet<UserId>,
    talked: Option<u64>,
}

impl Asker {
    /// Asks until it is told to stop, and shows nobody any more then.
    pub(super) async fn run(self, first: Instant, mut stop: watch::Receiver<bool>) {
        let elsewhere = self.access.connect_to.clone();
        let reach = match Reach::new(&self.access.roots, self.resolver.clone(), elsewhere) {
            Ok(reach) => reach,
            Err(FileFault::Unreadable(why) | FileFault::Unusable(why)) => {
                self.fails(&format!(
                    "roots {} cannot be used: {why}",
                    self.access.roots
                ));
                // A reload may bring another file.
                let _ = stop.wait_for(|stops| *stops).await;
                return;
            }
        };
        let mut graph = Graph::new(&self.access, &reach);
        let mut turn = Turn {
            batches: VecDeque::new(),
            is_round: false,
            next_round: first,
            failures: 0,
            not_before: first,
            wanted_from: first,
            shown: Shown::default(),
            set_from: first,
            talking: BTreeSet::new(),
            talked: None,
        };
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stops| *stops) => break,
                () = self.step(&mut graph, &mut turn) => {}
            }
        }
        for user in turn.shown.all() {
            if self.clear(&mut graph, user).await.is_err() {
                break;
            }
        }
    }

    /// Does the next thing, or waits until there is one.
    async fn step(&self, graph: &mut Graph<'_>, turn: &mut Turn) {
        let rung = self.store.rung();
        let now = Instant::now();
        if now < turn.not_before {
            return sleep_until(turn.not_before.into()).await;
        }
        if self.presence.sets_busy {
            self.look(turn);
            if now >= turn.set_from
                && let Some(wish) = turn.shown.next(now, &turn.talking)
            {
                return self.carry_out(graph, turn, wish).await;
            }
        }
        if turn.batches.is_empty() && now >= turn.next_round {
            let users = self.store.users(&self.tenant);
            turn.batches = users.chunks(BATCH).map(<[UserId]>::to_vec).collect();
            turn.is_round = true;
            turn.next_round = now + self.presence.every;
            // Who is in the round is not wanted besides.
            self.store.take_wanted(&self.tenant);
        }
        if turn.batches.is_empty() && now >= turn.wanted_from {
            let wanted = self.store.take_wanted(&self.tenant);
            turn.batches = wanted.chunks(BATCH).map(<[UserId]>::to_vec).collect();
            turn.wanted_from = now + SOONEST;
        }
        if let Some(batch) = turn.batches.pop_front() {
            return self.read(graph, turn, batch).await;
        }
        let look = match self.presence.sets_busy {
            true => now + LOOK,
            false => turn.next_round,
        };
        tokio::select! {
            () = sleep_until(turn.next_round.min(look).into()) => {}
            () = rung => sleep_until(turn.wanted_from.into()).await,
        }
    }

    /// Sees who talks.
    fn look(&self, turn: &mut Turn) {
        if let Some((state, who)) = self.talking.changed(turn.talked) {
            turn.talked = Some(state);
            let own = who.into_iter().filter(|(tenant, _)| *tenant == self.tenant);
            turn.talking = own.map(|(_, user)| user).collect();
        }
        self.sinks
            .metrics
            .presence
            .shown(&self.tenant, turn.shown.len());
        self.told().shown = turn.shown.len();
    }

    async fn read(&self, graph: &mut Graph<'_>, turn: &mut Turn, batch: Vec<UserId>) {
        let ids: Vec<String> = batch.iter().map(ToString::to_string).collect();
        let path = "/v1.0/communications/getPresencesByUserId";
        let body = json!({ "ids": ids });
        let answer = graph.post(path, &body, (LIMIT, READ_PRESENCE)).await;
        let answer = answer.and_then(|answer| {
            let host = self.access.cloud.graph();
            read(&answer).ok_or(GraphFault::Unreadable { host })
        });
        self.count("read", &answer);
        match answer {
            Ok(heard) => {
                self.store.polled(&self.tenant, heard);
                if turn.batches.is_empty() {
                    turn.failures = 0;
                    if std::mem::take(&mut turn.is_round) {
                        self.is_heard();
                    }
                }
            }
            Err(GraphFault::Busy { wait, .. }) => {
                turn.not_before = Instant::now() + wait;
                turn.batches.push_front(batch);
            }
            Err(why) => {
                turn.batches.clear();
                turn.is_round = false;
                let pause = self.presence.every * 2_u32.saturating_pow(turn.failures.min(8));
                turn.failures += 1;
                let pause = pause.min(LONGEST_PAUSE.max(self.presence.every));
                turn.next_round = Instant::now() + pause;
                turn.wanted_from = turn.next_round;
                self.fails(&why.to_string());
            }
        }
    }

    async fn carry_out(&self, graph: &mut Graph<'_>, turn: &mut Turn, wish: Wish) {
        let (done, user) = match wish {
            Wish::Set(user) => {
                turn.shown.begins(Instant::now(), user);
                (self.set(graph, user).await, user)
            }
            Wish::Clear(user) => (self.clear(graph, user).await, user),
        };
        let now = Instant::now();
        match (done, wish) {
            (Ok(()), Wish::Set(user)) => {
                turn.shown.set(now, user);
                self.told().not_shown = None;
            }
            (Ok(()), Wish::Clear(user)) => turn.shown.cleared(user),
            (Err(GraphFault::Busy { wait, .. }), _) => {
                turn.not_before = now + wait;
                turn.shown.failed(now, user);
            }
            (Err(GraphFault::Refused(refusal)), _) if refusal.is_about_one() => {
                turn.shown.refused(user);
                self.is_not_shown(&GraphFault::Refused(refusal));
            }
            (Err(why), _) => {
                turn.shown.failed(now, user);
                if let GraphFault::Refused(_) = why {
                    turn.set_from = now + FORBIDDEN;
                }
                self.is_not_shown(&why);
            }
        }
        self.look(turn);
    }

    async fn set(&self, graph: &mut Graph<'_>, user: UserId) -> Result<(), GraphFault> {
        let path = format!("/v1.0/users/{user}/presence/setPresence");
        let body = json!({
            "sessionId": self.access.client_id,
            "availability": "Busy",
            "activity": "InACall",
            "expirationDuration": EXPIRES_TEXT,
        });
        let done = graph.post(&path, &body, (LIMIT, SET_PRESENCE)).await;
        self.count("set", &done);
        done.map(|_| ())
    }

    async fn clear(&self, graph: &mut Graph<'_>, user: UserId) -> Result<(), GraphFault> {
        let path = format!("/v1.0/users/{user}/presence/clearPresence");
        let body = json!({ "sessionId": self.access.client_id });
        let done = graph.post(&path, &body, (LIMIT, SET_PRESENCE)).await;
        self.count("clear", &done);
        done.map(|_| ())
    }

    fn count<T>(&self, kind: &str, done: &Result<T, GraphFault>) {
        let result = match done {
            Ok(_) => "ok",
            Err(why) => why.result(),
        };
        self.sinks
            .metrics
            .presence
            .asked(&self.tenant, kind, result);
    }

    fn is_heard(&self) {
        let all = self.store.of(&self.tenant);
        let standing = |known: &Option<super::store::Known>| {
            let known = known.as_ref();
            known.map(|known| known.presence.standing())
        };
        let at = wall().as_micros() as f64 / 1e6;
        self.sinks
            .metrics
            .presence
            .heard(&self.tenant, at, |wanted| {
                let own = all
                    .iter()
                    .filter_map(|(_, user, known)| Some((user, standing(known)?)));
                let own: BTreeSet<_> = own.filter(|(_, own)| *own == wanted).collect();
                own.len()
            });
        let was = {
            let mut told = self.told();
            told.heard = Some(Instant::now());
            told.because.take()
        };
        if was.is_some() {
            let line = self
                .sinks
                .log
                .info("presence_heard", "presence of users is heard again");
            line.with("tenant", &self.tenant).send();
            self.news("heard", None);
        }
    }

    /// Asking has come to nothing; a reason is told when it is new.
    fn fails(&self, why: &str) {
        let was = self.told().because.replace(why.to_owned());
        if was.as_deref() != Some(why) {
            let text =
                "presence of users is not heard: calls to them are tried once what is known is old";
            let line = self.sinks.log.warn("presence_unheard", text);
            line.with("tenant", &self.tenant).with("why", why).send();
            self.news("unheard", Some(why));
        }
    }

    fn is_not_shown(&self, why: &GraphFault) {
        let why = why.to_string();
        let was = self.told().not_shown.replace(why.clone());
        if was.as_ref() != Some(&why) {
            let text = "users who talk over our trunks are not shown as busy";
            let line = self.sinks.log.warn("presence_unset", text);
            line.with("tenant", &self.tenant).with("why", why).send();
        }
    }

    fn news(&self, state: &str, because: Option<&str>) {
        let told = json!({ "tenant": self.tenant, "state": state, "because": because });
        self.sinks.news.tell(Kind::PresenceState, told);
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer says of each user; members that are not known are passed over.
fn read(answer: &Value) -> Option<Vec<(UserId, Presence)>> {
    let all = answer["value"].as_array()?.iter().take(BATCH);
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let read = all.filter_map(|one| {
        let user = UserId::parse(one["id"].as_str()?)?;
        let presence = Presence::new(&text(one, "availability"), &text(one, "activity"));
        Some((user, presence))
    });
    Some(read.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whatever_else_is_in_it() {
        let id = "db03c14b-06eb-4189-939b-7cbf3a20ba27";
        let answer = json!({ "@odata.context": "x", "value": [
            { "id": id.to_uppercase(), "availability": "Busy", "activity": "InACall", "sequenceNumber": "A1",
              "outOfOfficeSettings": { "isOutOfOffice": false, "message": null } },
            { "id": "nobody", "availability": "Busy" },
            { "id": id, "availability": null },
            7,
        ] });
        let heard = read(&answer).unwrap();
        let user = UserId::parse(id).unwrap();
        let wanted = [
            (user, Presence::new("Busy", "InACall")),
            (user, Presence::new("", "")),
        ];
        assert_eq!(heard, wanted);
        assert_eq!(read(&json!({ "error": "x" })), None);
    }
}
