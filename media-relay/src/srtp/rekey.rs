//! Old and new keys of a peer side by side: MED-114 and, for forks, MED-117.
//!
//! The contexts of one stream live in a [`KeyRing`], so that two early dialogs with the same key
//! share one replay window. Each face of the stream holds [`PeerKeys`]: the key that was agreed
//! last and, for a short time, the one before it.
//!
//! After a restart of ICE the pair of before may serve for long, under the key that was in use when it began
//! ([`Agreed::is_held`]): that key stays until the pair has gone, whatever else is agreed or proven meanwhile.
//!
//! A peer may give a key that it had given before. Its packets are judged by what came under it then, whether it goes
//! on counting (RFC 3711 §3.3.1) or begins at zero, as a key that is new to its description has it (RFC 4568 §7.1.4):
//! both are tried, and neither opens the door to a recording. For this the counters of keys that are gone stay, under a
//! print that tells nothing of the key.

use super::context::Counted;
use super::{HmacSha1, Protocol, Receiver, SrtpFault};
use crate::io::fetch;
use crate::session::Depth;
use crate::time::Timestamp;
use media_api::{CryptoKey, Suite};
use std::num::NonZeroU32;
use std::time::Duration;

/// How long the old key stays valid beside a new one.
const OVERLAP: Duration = Duration::from_secs(5);
/// Packets under the new key that end the overlap early.
const PROOFS: u8 = 3;
/// Keys that are gone and whose counters are remembered; the oldest gives way.
const MAX_GONE: usize = 8;

/// Names a context in its ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyId(NonZeroU32);

/// All receive contexts of one stream.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    entries: Vec<Entry>,
    /// What keys that are gone have counted, the oldest first.
    gone: Vec<(Print, Counted)>,
    made: u32,
    /// What contexts that are gone have counted.
    resyncs: u32,
    /// How much of it, and of what present ones have counted, totals have been told of; of it differences count alone.
    told_resyncs: u32,
    /// The suite of a key that its peer has nearly used up.
    worn: Option<Suite>,
}

#[derive(Debug)]
struct Entry {
    id: KeyId,
    key: CryptoKey,
    receiver: Receiver,
}

/// Tells keys apart without giving them away: a digest of a random secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Print([u8; 20]);

impl Print {
    pub(crate) fn of(key: &CryptoKey) -> Self {
        let name = key.suite().name().as_bytes();
        Self(HmacSha1::new(key.expose_key_and_salt()).tag(name, &[]))
    }
}

impl KeyRing {
    /// Has the processor fetch the key that was agreed last.
    pub(crate) fn fetch(&self, depth: Depth) {
        if let Some(entry) = self.entries.last() {
            match depth {
                Depth::Streams => {}
                Depth::Agreements => fetch::whole(entry),
                Depth::Ciphers => entry.receiver.fetch(),
            }
        }
    }

    /// The context of `key`, made on first sight. A key that is known keeps its state, also where its packets are to
    /// name it otherwise than before (TDR-MED-007).
    pub(crate) fn install(&mut self, key: &CryptoKey) -> KeyId {
        let mut entries = self.entries.iter_mut();
        if let Some(entry) = entries.find(|entry| entry.key.is_same_secret(key)) {
            entry.receiver.identify(key.identifier());
            return entry.id;
        }
        self.made = self.made.wrapping_add(1);
        let id = KeyId(NonZeroU32::new(self.made).unwrap_or(NonZeroU32::MIN));
        let print = (!self.gone.is_empty()).then(|| Print::of(key));
        let mut gone = self.gone.iter();
        let known = gone.position(|(own, _)| Some(*own) == print);
        let known = known.map(|at| self.gone.remove(at));
        // Mostly there is one.
        self.entries.reserve_exact(1);
        self.entries.push(Entry {
            id,
            key: key.clone(),
            receiver: match known {
                Some((_, counted)) => Receiver::resume(key, counted),
                None => Receiver::new(key),
            },
        });
        id
    }

    /// Zeroises and forgets every context that `in_use` does not name, but for what it has counted.
    pub(crate) fn retain(&mut self, in_use: impl Fn(KeyId) -> bool) {
        for gone in self.entries.extract_if(.., |entry| !in_use(entry.id)) {
            let resyncs = u32::try_from(gone.receiver.resyncs());
            self.resyncs = self.resyncs.saturating_add(resyncs.unwrap_or(u32::MAX));
            if let Some(counted) = gone.receiver.into_counted() {
                if self.gone.len() == MAX_GONE {
                    self.gone.remove(0);
                }
                self.gone.push((Print::of(&gone.key), counted));
            }
        }
    }

    /// How often a roll-over counter was found anew (MED-114).
    pub(crate) fn resyncs(&self) -> u64 {
        let present = self.entries.iter().map(|entry| entry.receiver.resyncs());
        u64::from(self.resyncs) + present.sum::<u64>()
    }

    /// The same since this was asked last.
    pub(crate) fn take_resyncs(&mut self) -> u64 {
        let all = self.resyncs() as u32;
        let told = std::mem::replace(&mut self.told_resyncs, all);
        u64::from(all.wrapping_sub(told))
    }

    /// The suite of a key of which a new one has become due (MED-107).
    pub(crate) fn take_worn(&mut self) -> Option<Suite> {
        self.worn.take()
    }

    /// Whether an RTP packet, which is refused as a repetition, was protected under any of the keys.
    pub(crate) fn repeats(&mut self, packet: &[u8]) -> bool {
        let mut entries = self.entries.iter_mut();
        entries.any(|entry| entry.receiver.repeats(packet))
    }

    fn open(
        &mut self,
        id: KeyId,
        protocol: Protocol,
        packet: &mut [u8],
        now: Timestamp,
    ) -> Result<usize, SrtpFault> {
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.id == id)
            .ok_or(SrtpFault::Authentication)?;
        match protocol {
            Protocol::Rtp => {
                let opened = entry.receiver.unprotect_rtp(packet, now);
                if entry.receiver.take_worn() {
                    self.worn = Some(entry.key.suite());
                }
                opened
            }
            Protocol::Rtcp => entry.receiver.unprotect_rtcp(packet),
        }
    }

    /// `id` replaces `before` for the same peer.
    fn follow(&mut self, id: KeyId, before: KeyId) {
        let highest = self
            .entries
            .iter()
            .find(|entry| entry.id == before)
            .map_or_else(Vec::new, |entry| entry.receiver.highest());
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.receiver.follow(highest);
        }
    }

    /// The peer of this context may begin to count anew.
    fn expect_restart(&mut self, id: KeyId) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.receiver.expect_restart();
        }
    }
}

/// What comes with a key that is agreed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Agreed {
    /// The peer is elsewhere.
    pub(crate) is_moved: bool,
    /// It was and is served where it was before a restart.
    pub(crate) is_held: bool,
}

/// The keys under which one peer may send.
#[derive(Debug)]
pub(crate) struct PeerKeys {
    current: KeyId,
    retiring: Option<Retiring>,
    /// Those of the pair which serves although a restart has begun; nothing but [`Self::release`] ends them.
    held: Option<Held>,
    /// Under which a packet came last.
    used: KeyId,
}

#[derive(Debug)]
struct Retiring {
    id: KeyId,
    until: Timestamp,
    proofs: u8,
}

/// What a peer may use that goes on as before a restart.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Under which it had sent.
    used: KeyId,
    /// What was agreed, which it may not have used yet.
    agreed: KeyId,
}

impl Retiring {
    fn new(id: KeyId, now: Timestamp) -> Self {
        Self {
            id,
            until: now + OVERLAP,
            proofs: 0,
        }
    }
}

impl PeerKeys {
    pub(crate) fn new(ring: &mut KeyRing, key: &CryptoKey) -> Self {
        let current = ring.install(key);
        Self {
            current,
            retiring: None,
            held: None,
            used: current,
        }
    }

    /// A new agreement. The same key keeps its state; where it moved, the peer changed its address
    /// without changing the key. Another key starts beside the present one and, where the peer is held, beside the one
    /// that was in use when that began.
    pub(crate) fn agree(
        &mut self,
        ring: &mut KeyRing,
        key: &CryptoKey,
        Agreed { is_moved, is_held }: Agreed,
        now: Timestamp,
    ) {
        let id = ring.install(key);
        if is_held && self.held.is_none() {
            self.held = Some(Held {
                used: self.used,
                agreed: self.current,
            });
        }
        if id == self.current {
            if is_moved {
                ring.expect_restart(id);
            }
            return;
        }
        ring.follow(id, self.used);
        // It may be one that it has had before, and then nobody knows whether it goes on from there.
        ring.expect_restart(id);
        let before = std::mem::replace(&mut self.current, id);
        self.retiring = Some(Retiring::new(before, now));
        self.stays_in_use(before);
    }

    /// Where the key in use has gone, this one is it.
    fn stays_in_use(&mut self, or: KeyId) {
        if !self.uses(self.used) {
            self.used = or;
        }
    }

    pub(crate) fn uses(&self, id: KeyId) -> bool {
        self.current == id
            || self.holds(id)
            || self.retiring.as_ref().is_some_and(|old| old.id == id)
    }

    fn holds(&self, id: KeyId) -> bool {
        self.held
            .is_some_and(|held| held.used == id || held.agreed == id)
    }

    /// Opens `packet` under the current key or, during the overlap, the one before; where the peer is held, also
    /// under the one that it had.
    pub(crate) fn open(
        &mut self,
        ring: &mut KeyRing,
        protocol: Protocol,
        packet: &mut [u8],
        now: Timestamp,
    ) -> Result<usize, SrtpFault> {
        let opened = ring.open(self.current, protocol, packet, now);
        let fault = match opened {
            Ok(length) => {
                self.used = self.current;
                if let Some(old) = &mut self.retiring {
                    old.proofs = old.proofs.saturating_add(1);
                }
                return Ok(length);
            }
            // What was on its way when the keys changed may also look like a repetition under the new one.
            Err(fault @ (SrtpFault::Authentication | SrtpFault::Replay)) => fault,
            Err(fault) => return Err(fault),
        };
        // What has proven itself waits for its end only to be forgotten.
        let retiring = self.retiring.as_ref();
        let retiring = retiring.filter(|old| old.proofs < PROOFS && now < old.until);
        let retiring = retiring.map(|old| old.id);
        let used = self.held.map(|held| held.used);
        let agreed = self.held.map(|held| held.agreed);
        let is_tried = |id: &KeyId| *id == self.current || Some(*id) == retiring;
        let others = [
            retiring,
            used.filter(|id| !is_tried(id)),
            agreed.filter(|id| !is_tried(id) && Some(*id) != used),
        ];
        let mut told = fault;
        for id in others.into_iter().flatten() {
            match ring.open(id, protocol, packet, now) {
                Ok(length) => {
                    self.used = id;
                    return Ok(length);
                }
                Err(SrtpFault::Authentication) => {}
                Err(old) => told = old,
            }
        }
        Err(told)
    }

    /// The pair of before does not serve any more: its key ends as any other that is replaced.
    pub(crate) fn release(&mut self, now: Timestamp) {
        let Some(held) = self.held.take() else {
            return;
        };
        let id = match self.used == held.agreed {
            true => held.agreed,
            false => held.used,
        };
        if id != self.current {
            self.retiring = Some(Retiring::new(id, now));
        }
        self.stays_in_use(self.current);
    }

    /// Ends the overlap if its time is over; tells whether a context may now be forgotten.
    pub(crate) fn expire(&mut self, now: Timestamp) -> bool {
        let over = self.retiring.as_ref().is_some_and(|old| now >= old.until);
        if over {
            self.retiring = None;
            self.stays_in_use(self.current);
        }
        over
    }

    /// When [`Self::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.retiring.as_ref().map(|old| old.until)
    }
}
