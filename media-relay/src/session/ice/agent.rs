//! The lite agent of one stream (RFC 8445 §2.5): it answers checks and remembers who made them.
//!
//! It knows our credentials, the newest and, around a restart, those of before (RFC 8445 §9); and under
//! each the peers that have proven to know them, by their user name fragments. Forks of one offer share
//! our credentials and differ in their fragments, so each of them is one peer here, also before its
//! answer is known (TDR-ICE-005).

use crate::packet::stun::{self, Answer, ErrorCode, Message, Role};
use crate::srtp::HmacSha1;
use crate::time::Timestamp;
use media_api::{DropReason, IceComponent, IceCredentials, IceTerms};
use std::net::SocketAddr;

/// Credentials that are served at once: the newest, those whose pair is in use, and one in between.
const MAX_GENERATIONS: usize = 3;
/// Peers under one set of credentials: as many forks as Teams may make.
const MAX_PEERS: usize = 32;
/// Addresses that are remembered of one peer.
const MAX_PAIRS: usize = 16;
/// Answers per second on one stream to who has proven to know our password, and as many to who has not
/// tried (MED-159). Names are seen by everybody on the way, so a name alone must not use them up.
const CHECKS_PER_SECOND: u32 = 50;

/// What answers checks on one stream. Nothing is answered before it has credentials.
#[derive(Debug, Default)]
pub(in crate::session) struct Agent {
    /// The newest last.
    generations: Vec<Generation>,
    /// Checks answered.
    pub(in crate::session) answered: u64,
    proven: Pace,
    unproven: Pace,
}

/// How much is answered within a second.
#[derive(Debug, Default)]
struct Pace {
    second: Timestamp,
    in_second: u32,
}

struct Generation {
    credentials: IceCredentials,
    key: HmacSha1,
    peers: Vec<Peer>,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Generation");
        shown.field("credentials", &self.credentials);
        shown.field("peers", &self.peers).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Peer {
    fragment: Box<[u8]>,
    /// In the order of their first checks, nominated ones behind in the order of nomination.
    pairs: Vec<Pair>,
}

/// A pair of our only candidate and an address that a check came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) struct Pair {
    pub(in crate::session) component: IceComponent,
    pub(in crate::session) address: SocketAddr,
    /// As the check says.
    pub(in crate::session) priority: u32,
    pub(in crate::session) is_nominated: bool,
}

/// What became of a check that is answered.
#[derive(Debug)]
pub(in crate::session) struct Judged<'a> {
    pub(in crate::session) answer: Answer,
    /// Whose check has taught us something, a new address or a nomination: its fragment.
    pub(in crate::session) news_of: Option<&'a [u8]>,
}

impl Agent {
    /// Answers checks under these credentials from now on, beside those of before.
    pub(in crate::session) fn serve(&mut self, credentials: &IceCredentials) {
        let mut known = self.generations.iter();
        if known.any(|known| known.credentials == *credentials) {
            return;
        }
        if self.generations.len() == MAX_GENERATIONS {
            // The first ones may be in use still, the second ones never were.
            self.generations.remove(1);
        }
        self.generations.push(Generation {
            credentials: credentials.clone(),
            key: HmacSha1::new(credentials.expose_password().as_bytes()),
            peers: Vec::new(),
        });
    }

    /// Answers nothing any more.
    pub(in crate::session) fn stop(&mut self) {
        self.generations.clear();
    }

    /// Where the peer of this agreement has checked from.
    pub(in crate::session) fn pairs(&self, terms: &IceTerms) -> &[Pair] {
        let mut generations = self.generations.iter();
        let own = generations.find(|own| own.credentials == terms.local);
        let fragment = terms.remote_fragment.as_bytes();
        own.and_then(|own| own.peers.iter().find(|peer| *peer.fragment == *fragment))
            .map_or(&[], |peer| &peer.pairs)
    }

    /// A pair is nominated under these credentials: what was before is not served any more.
    pub(in crate::session) fn settled(&mut self, local: &IceCredentials) {
        let mut generations = self.generations.iter();
        if let Some(at) = generations.position(|own| own.credentials == *local) {
            self.generations.drain(..at);
        }
    }

    /// Judges one STUN message (RFC 8445 §7.3, MED-152 to MED-155). Only who knows our fragment is
    /// answered at all, so that the port tells a stranger nothing.
    ///
    /// # Errors
    /// [`DropReason::Malformed`] if it is no sound Binding request, [`DropReason::CheckName`] and
    /// [`DropReason::CheckIntegrity`] if it is not for us, [`DropReason::Rate`].
    pub(in crate::session) fn judge<'a>(
        &mut self,
        datagram: &'a [u8],
        from: SocketAddr,
        component: IceComponent,
        now: Timestamp,
    ) -> Result<Judged<'a>, DropReason> {
        let message = Message::parse(datagram)
            .filter(|message| message.header.message_type == stun::BINDING_REQUEST)
            .ok_or(DropReason::Malformed)?;
        let (ours, theirs) = message
            .username
            .and_then(halves)
            .ok_or(DropReason::CheckName)?;
        let mut generations = self.generations.iter();
        let at = generations
            .position(|own| own.credentials.fragment().as_bytes() == ours)
            .ok_or(DropReason::CheckName)?;
        let own = &mut self.generations[at];
        let pace = match message.has_integrity() {
            true if !message.proves(&own.key) => return Err(DropReason::CheckIntegrity),
            true => &mut self.proven,
            false => &mut self.unproven,
        };
        if !pace.admits(now) {
            return Err(DropReason::Rate);
        }
        let transaction = message.header.transaction;
        let refuse = |code, key| Answer::refusal(transaction, code, &message.unknown, key);
        let refused = if !message.has_integrity() {
            Some(refuse(ErrorCode::BadRequest, None))
        } else if !message.unknown.types().is_empty() {
            Some(refuse(ErrorCode::UnknownAttribute, Some(&own.key)))
        } else if message.role == Some(Role::Controlled) {
            // A lite agent never controls, so the other one must (RFC 8445 §6.1.1).
            Some(refuse(ErrorCode::RoleConflict, Some(&own.key)))
        } else {
            None
        };
        self.answered += 1;
        if let Some(answer) = refused {
            return Ok(Judged {
                answer,
                news_of: None,
            });
        }
        let pair = Pair {
            component,
            address: from,
            priority: message.priority.unwrap_or(0),
            is_nominated: message.use_candidate,
        };
        Ok(Judged {
            answer: Answer::success(transaction, from, &own.key),
            news_of: own.remember(theirs, pair).then_some(theirs),
        })
    }
}

impl Pace {
    fn admits(&mut self, now: Timestamp) -> bool {
        if now.since_us(self.second) >= 1_000_000 {
            self.second = now;
            self.in_second = 0;
        }
        self.in_second += 1;
        self.in_second <= CHECKS_PER_SECOND
    }
}

impl Generation {
    /// Notes a check that has proven itself; says whether it is news.
    fn remember(&mut self, fragment: &[u8], seen: Pair) -> bool {
        let known = self.peers.iter().position(|own| *own.fragment == *fragment);
        let at = known.unwrap_or_else(|| {
            if self.peers.len() == MAX_PEERS {
                self.peers.remove(0);
            }
            self.peers.push(Peer {
                fragment: fragment.into(),
                pairs: Vec::new(),
            });
            self.peers.len() - 1
        });
        self.peers[at].remember(seen)
    }
}

impl Peer {
    fn remember(&mut self, seen: Pair) -> bool {
        let mut pairs = self.pairs.iter();
        let is_same = |own: &Pair| (own.component, own.address) == (seen.component, seen.address);
        let Some(at) = pairs.position(is_same) else {
            if self.pairs.len() == MAX_PAIRS {
                let idle = self.pairs.iter().position(|own| !own.is_nominated);
                self.pairs.remove(idle.unwrap_or(0));
            }
            self.pairs.push(seen);
            return true;
        };
        let own = &mut self.pairs[at];
        if own.is_nominated || !seen.is_nominated {
            // A check for its consent, or a repeated one.
            return false;
        }
        self.pairs.remove(at);
        self.pairs.push(seen);
        true
    }
}

/// Our half of a user name and the peer's.
fn halves(username: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = username.iter().position(|byte| *byte == b':')?;
    let theirs = username.get(colon + 1..)?;
    // RFC 8839 §5.4: a fragment has 4 to 256 characters.
    (4..=256)
        .contains(&theirs.len())
        .then_some((username.get(..colon)?, theirs))
}
