//! The lite agent of one stream (RFC 8445 §2.5): it answers checks and remembers who made them.
//!
//! It knows our credentials, the newest and, around a restart, those of before (RFC 8445 §9); and under
//! each the peers that have proven to know them, by their user name fragments. Forks of one offer share
//! our credentials and differ in their fragments, so each of them is one peer here, also before its
//! answer is known (TDR-ICE-005).

use super::checked::LATE;
use super::strangers::Strangers;
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
/// Answers per second to each peer that has proven to know our password, on each port, and as many to all
/// that have not tried (MED-159). Names are seen by everybody on the way, so a name alone must not use them
/// up; and a fork that checks much must not keep the others from checking.
const CHECKS_PER_SECOND: u32 = 50;
/// Answers per second on one stream to all peers together.
const CHECKS_OF_ALL_PER_SECOND: u32 = 500;
/// How long a pair lives without a check, beside one that is checked (MED-156).
const LIFE_US: u64 = 30_000_000;
/// Nominations within this time are of one round, as an agent makes them that nominates aggressively:
/// the best of them counts (MED-155). One that comes later takes the place of those before it.
const ROUND_US: u64 = 5_000_000;

/// What answers checks on one stream. Nothing is answered before it has credentials.
#[derive(Debug, Default)]
pub(in crate::session) struct Agent {
    /// The newest last.
    generations: Vec<Generation>,
    /// Checks answered.
    pub(in crate::session) answered: u64,
    all: Pace,
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
    /// When it has served, once a later one does.
    until: Option<Timestamp>,
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
    /// Of its checks for RTP, and of those for RTCP.
    paces: [Pace; 2],
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
    pub(in crate::session) checked_at: Timestamp,
    pub(in crate::session) nomination: Nomination,
}

/// Whether the peer has chosen a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) enum Nomination {
    /// Never.
    None,
    /// At this time, for the last time.
    Made(Timestamp),
    /// It has, and has chosen another one since.
    Withdrawn,
}

impl Pair {
    pub(in crate::session) fn is_nominated(&self) -> bool {
        matches!(self.nomination, Nomination::Made(_))
    }
}

/// What became of a check that is answered.
#[derive(Debug)]
pub(in crate::session) struct Judged<'a> {
    /// Whether whoever sent it knows our password and asks for what we can do: a sign of life (MED-280).
    pub(in crate::session) is_proven: bool,
    pub(in crate::session) answer: Answer,
    /// Whether it has nominated a pair that was not nominated before.
    pub(in crate::session) is_nominated: bool,
    /// Whose check has taught us something, a new address or a nomination: its fragment.
    pub(in crate::session) news_of: Option<&'a [u8]>,
}

impl Agent {
    /// Answers checks under these credentials from now on, beside those of before.
    pub(in crate::session) fn serve(&mut self, credentials: &IceCredentials) {
        let mut known = self.generations.iter_mut();
        if let Some(known) = known.find(|known| known.credentials == *credentials) {
            // They may have been about to go.
            known.until = None;
            return;
        }
        if self.generations.len() == MAX_GENERATIONS {
            // The first ones may be in use still, unless a later one does; the second ones never were.
            let at = usize::from(self.generations[0].until.is_none());
            self.generations.remove(at);
        }
        self.generations.push(Generation {
            credentials: credentials.clone(),
            key: HmacSha1::new(credentials.expose_password().as_bytes()),
            peers: Vec::new(),
            until: None,
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

    /// Whether somebody there has shown to know our password.
    pub(in crate::session) fn has_seen(&self, address: SocketAddr) -> bool {
        let mut peers = self.generations.iter().flat_map(|own| &own.peers);
        peers.any(|peer| peer.pairs.iter().any(|pair| pair.address == address))
    }

    /// A pair is nominated under these credentials: what was before is not served any more once `LATE` has passed. The
    /// peer asks for consent under the old ones until it has our answer to its nomination.
    pub(in crate::session) fn settled(&mut self, local: &IceCredentials, now: Timestamp) {
        let mut generations = self.generations.iter();
        if let Some(at) = generations.position(|own| own.credentials == *local) {
            for before in &mut self.generations[..at] {
                before.until.get_or_insert(now + LATE);
            }
        }
    }

    /// Judges one STUN message (RFC 8445 §7.3, MED-152 to MED-155). Only who knows our fragment is
    /// answered at all, so that the port tells a stranger nothing. `is_heard` says where media come from,
    /// `strangers` how often who has no password is answered at all.
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
        is_heard: impl Fn(SocketAddr) -> bool,
        strangers: &mut Strangers,
    ) -> Result<Judged<'a>, DropReason> {
        let message = Message::parse(datagram)
            .filter(|message| message.header.message_type == stun::BINDING_REQUEST)
            .ok_or(DropReason::Malformed)?;
        let (ours, theirs) = message
            .username
            .and_then(halves)
            .ok_or(DropReason::CheckName)?;
        self.generations
            .retain(|own| own.until.is_none_or(|until| now < until));
        let mut generations = self.generations.iter();
        let at = generations
            .position(|own| own.credentials.fragment().as_bytes() == ours)
            .ok_or(DropReason::CheckName)?;
        let own = &mut self.generations[at];
        let is_admitted = match message.has_integrity() {
            true if !message.proves(&own.key) => return Err(DropReason::CheckIntegrity),
            true => {
                let pace = &mut own.peer(theirs).paces[component as usize];
                pace.admits(CHECKS_PER_SECOND, now)
                    && self.all.admits(CHECKS_OF_ALL_PER_SECOND, now)
            }
            false => {
                self.unproven.admits(CHECKS_PER_SECOND, now) && strangers.admits(from.ip(), now)
            }
        };
        if !is_admitted {
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
                is_proven: false,
                is_nominated: false,
                news_of: None,
            });
        }
        let pair = Pair {
            component,
            address: from,
            priority: message.priority.unwrap_or(0),
            checked_at: now,
            nomination: match message.use_candidate {
                true => Nomination::Made(now),
                false => Nomination::None,
            },
        };
        let peer = own.peer(theirs);
        let is_chosen = pair.is_nominated();
        let is_news = peer.remember(pair);
        let has_aged = peer.age(component, now, is_heard);
        Ok(Judged {
            answer: Answer::success(transaction, from, &own.key),
            is_proven: true,
            is_nominated: is_news && is_chosen,
            news_of: (is_news || has_aged).then_some(theirs),
        })
    }
}

impl Pace {
    fn admits(&mut self, most: u32, now: Timestamp) -> bool {
        if now.since_us(self.second) >= 1_000_000 {
            self.second = now;
            self.in_second = 0;
        }
        self.in_second += 1;
        self.in_second <= most
    }
}

impl Generation {
    /// Who has proven itself under this fragment.
    fn peer(&mut self, fragment: &[u8]) -> &mut Peer {
        let known = self.peers.iter().position(|own| *own.fragment == *fragment);
        let at = known.unwrap_or_else(|| {
            if self.peers.len() == MAX_PEERS {
                self.peers.remove(0);
            }
            self.peers.push(Peer {
                fragment: fragment.into(),
                paces: Default::default(),
                pairs: Vec::new(),
            });
            self.peers.len() - 1
        });
        &mut self.peers[at]
    }
}

impl Peer {
    /// Notes a check that has proven itself; says whether it is news.
    fn remember(&mut self, seen: Pair) -> bool {
        let mut pairs = self.pairs.iter();
        let is_same = |own: &Pair| (own.component, own.address) == (seen.component, seen.address);
        let Some(at) = pairs.position(is_same) else {
            if self.pairs.len() == MAX_PAIRS {
                let idle = self.pairs.iter().position(|own| !own.is_nominated());
                self.pairs.remove(idle.unwrap_or(0));
            }
            self.withdraw_before(&seen);
            self.pairs.push(seen);
            return true;
        };
        let own = &mut self.pairs[at];
        own.checked_at = seen.checked_at;
        if !seen.is_nominated() {
            // A check for its consent, or a repeated one.
            return false;
        }
        if own.is_nominated() {
            own.nomination = seen.nomination;
            return false;
        }
        self.pairs.remove(at);
        self.withdraw_before(&seen);
        self.pairs.push(seen);
        true
    }

    /// Those that were chosen in a round before this one are not chosen any more.
    fn withdraw_before(&mut self, seen: &Pair) {
        let Nomination::Made(now) = seen.nomination else {
            return;
        };
        for own in &mut self.pairs {
            if let Nomination::Made(at) = own.nomination
                && own.component == seen.component
                && now.since_us(at) > ROUND_US
            {
                own.nomination = Nomination::Withdrawn;
            }
        }
    }

    /// Forgets pairs that nobody has checked for long, now that another one is, and says whether there were
    /// any. A peer that checks nothing any more keeps them all: media tell whether it lives (TDR-ICE-011,
    /// MED-158). So does the one that media come from.
    fn age(
        &mut self,
        component: IceComponent,
        now: Timestamp,
        is_heard: impl Fn(SocketAddr) -> bool,
    ) -> bool {
        let before = self.pairs.len();
        self.pairs.retain(|own| {
            own.component != component
                || now.since_us(own.checked_at) < LIFE_US
                || is_heard(own.address)
        });
        self.pairs.len() < before
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
