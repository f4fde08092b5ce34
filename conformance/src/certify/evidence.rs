//! What was seen: every message between the peers and the subject, in order, and the audio.

use super::mutation::{Meant, Mutation};
use crate::impair::Network;
use crate::lock::lock;
use crate::peer::agent::{Way, Wire};
use crate::peer::flow::Flow;
use crate::peer::message::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// On which side of the subject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// A proxy of Teams.
    Teams,
    /// A carrier.
    Carrier,
}

/// Who sent a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// The subject, to a peer.
    Subject,
    /// A peer, to the subject.
    Peer,
}

/// A message that was sent.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Time since the stage was set.
    pub at: Duration,
    /// The peer that sent or received it.
    pub peer: String,
    /// On which side that is.
    pub side: Side,
    /// Who sent it.
    pub from: From,
    /// Whether it came on TLS with a certificate.
    pub is_secured: bool,
    /// The message; `Err` with the text of one that cannot be read.
    pub message: Result<Message, String>,
    /// Whether it is a copy of one before, and the network had lost something of its call meanwhile.
    pub is_repeated: bool,
}

/// Everything that was sent so far, with the change that is made to what the subject sends. Clones
/// are the same tape.
#[derive(Clone)]
pub struct Tape(Arc<Inner>);

struct Inner {
    began: Instant,
    mutation: Option<Mutation>,
    /// What is known of messages that were meant by it.
    meant: Meant,
    network: Option<Network>,
    /// Calls of which the network has lost messages, and when it last did.
    lost: Mutex<BTreeMap<String, Duration>>,
    seen: Mutex<Vec<Seen>>,
    /// Branches of requests of the peers within dialogs.
    inside: Mutex<BTreeSet<String>>,
}

impl Tape {
    /// An empty tape.
    pub fn new(mutation: Option<Mutation>, network: Option<Network>) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            mutation,
            meant: Meant::default(),
            network,
            lost: Mutex::default(),
            seen: Mutex::default(),
            inside: Mutex::default(),
        }))
    }

    /// When a message was sent, by the time that it has.
    pub fn at(&self, time: Duration) -> Instant {
        self.0.began + time
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Everything, in order.
    pub fn seen(&self) -> Vec<Seen> {
        let mut all = lock(&self.0.seen).clone();
        all.sort_by_key(|one| one.at);
        all
    }

    /// What the subject sent to a side and could be read. What it had to send again is not told again.
    pub fn of_subject(&self, side: Side) -> Vec<(Duration, String, Message)> {
        let all = self.seen().into_iter();
        all.filter(|one| one.side == side && one.from == From::Subject && !one.is_repeated)
            .filter_map(|one| Some((one.at, one.peer, one.message.ok()?)))
            .collect()
    }

    /// Requests of the subject with this method, towards a side.
    pub fn requests(&self, side: Side, method: &str) -> Vec<(Duration, String, Message)> {
        let mut all = self.of_subject(side);
        all.retain(|(_, _, message)| message.method().as_deref() == Some(method));
        all
    }

    /// How long each request of a peer with this method, outside of dialogs, waited for an answer with this status.
    pub fn waits(&self, side: Side, method: &str, status: u16) -> Vec<Duration> {
        let seen = self.seen();
        let messages = || {
            let own = seen.iter().filter(|one| one.side == side);
            own.filter_map(|one| Some((one, one.message.as_ref().ok()?)))
        };
        let asked = messages().filter(|(one, message)| {
            one.from == From::Peer
                && message.method().as_deref() == Some(method)
                && message.tag("To").is_none()
        });
        let answered = |asked: &Message| {
            let mut answers = messages().filter(|(one, message)| {
                one.from == From::Subject
                    && message.status() == Some(status)
                    && message.branch() == asked.branch()
            });
            answers.next().map(|(one, _)| one.at)
        };
        asked
            .filter_map(|(one, message)| Some(answered(message)?.saturating_sub(one.at)))
            .collect()
    }

    /// What a side gets instead of what the subject sent, and when.
    pub(super) fn changed(&self, side: Side, bytes: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        let Some(mutation) = &self.0.mutation else {
            return vec![(Duration::ZERO, bytes.to_vec())];
        };
        let was_inside = |branch: &str| lock(&self.0.inside).contains(branch);
        mutation.apply(side, bytes, was_inside, &self.0.meant)
    }

    fn note(&self, at: Duration, peer: &str, flow: &Flow, from: From, bytes: &[u8]) {
        let message = Message::parse(bytes).map_err(|fault| fault.to_string());
        let is_lost = |message: &Message| {
            let when = lock(&self.0.lost).get(message.call_id()).copied();
            when.is_some_and(|when| at.saturating_sub(when) < REPEATS)
        };
        let mut seen = lock(&self.0.seen);
        let is_repeated = message.as_ref().is_ok_and(|message| {
            let is_same = |one: &Seen| {
                let before = one.message.as_ref();
                one.peer == peer && before.is_ok_and(|before| before.text() == message.text())
            };
            is_lost(message) && seen.iter().any(is_same)
        });
        seen.push(Seen {
            at,
            peer: peer.to_owned(),
            side: side_of(peer),
            from,
            is_secured: !flow.names.is_empty(),
            message,
            is_repeated,
        });
    }
}

/// For so long after a loss messages are repeated (RFC 3261 §17.1.1.2, 64 times T1).
const REPEATS: Duration = Duration::from_secs(32);

/// Carriers are called so.
fn side_of(peer: &str) -> Side {
    match peer.starts_with("carrier") {
        true => Side::Carrier,
        false => Side::Teams,
    }
}

impl Wire for Tape {
    fn instead(&self, peer: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        self.0.mutation.as_ref()?.deafens(side_of(peer), bytes)
    }

    fn sent(&self, peer: &str, flow: &Flow, bytes: &[u8]) {
        self.note(self.now(), peer, flow, From::Peer, bytes);
        if let Ok(message) = Message::parse(bytes)
            && message.method().is_some()
            && message.tag("To").is_some()
        {
            lock(&self.0.inside).extend(message.branch().map(str::to_owned));
        }
    }

    fn received(&self, peer: &str, flow: &Flow, bytes: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        let changed = self.changed(side_of(peer), bytes);
        for (delay, bytes) in &changed {
            self.note(self.now() + *delay, peer, flow, From::Subject, bytes);
        }
        changed
    }

    fn network(&self) -> Option<Network> {
        self.0.network
    }

    fn lost(&self, _: &str, _: Way, bytes: &[u8]) {
        if let Ok(message) = Message::parse(bytes) {
            lock(&self.0.lost).insert(message.call_id().to_owned(), self.now());
        }
    }
}
