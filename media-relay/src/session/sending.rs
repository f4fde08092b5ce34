//! Keys of ours: under which one a packet leaves, and how much of each is used up (MED-107, MED-113).
//!
//! A key that another one has replaced may be agreed on again, and none of its indices may be used twice. So its
//! ciphers stay for a while, and what it has used up stays longer, under a print that tells nothing of the key.

use super::stream::Stream;
use crate::srtp::{MOST_REPORTS, Print, Sender, Wear};
use media_api::{CryptoKey, DropReason, Suite};

/// Keys whose ciphers are kept, if no more are in use at once.
const MOST_SENDERS: usize = 4;
/// Keys besides of which is known what they have used up; the oldest gives way. A peer that makes us change ours every
/// few seconds has no way to an old one.
const MOST_SPENT: usize = 64;

/// What a key has used up whose ciphers are gone.
#[derive(Debug)]
pub(super) struct Spent {
    print: Print,
    origin: Option<u64>,
    rtp_wear: Wear,
    rtcp_wear: Wear,
    rtcp_index: u32,
}

/// One local key.
pub(super) struct SendContext {
    key: CryptoKey,
    sender: Sender,
    /// How much of it RTP and reports have used up.
    rtp_wear: Wear,
    rtcp_wear: Wear,
    /// Extended sequence number of roll-over counter zero, sequence zero under this key (MED-113).
    origin: Option<u64>,
    /// Whether nobody can agree on the key again, because a handshake has made it.
    is_fresh: bool,
}

impl SendContext {
    /// Has the processor fetch its ciphers.
    pub(super) fn fetch(&self) {
        self.sender.fetch();
    }
}

impl std::fmt::Debug for SendContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SendContext({:?})", self.key)
    }
}

/// Under which keys of ours one agreement sends, by their places in [`Stream::senders`].
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct SendsWith {
    pub(super) now: Option<usize>,
    /// The key that takes the place of the other where checks name another pair.
    pub(super) next: Option<usize>,
}

impl SendsWith {
    pub(super) fn only(sender: usize) -> Self {
        Self {
            now: Some(sender),
            next: None,
        }
    }
}

impl Stream {
    pub(super) fn sender(&mut self, key: &CryptoKey) -> usize {
        match self.senders.iter().position(|context| context.key == *key) {
            Some(at) => {
                // It has waited, and begins now.
                if self.senders.get(at).is_some_and(|own| own.origin.is_none()) {
                    self.outgoing.begin_key();
                }
                at
            }
            None => self.add_sender(key, false),
        }
    }

    /// Under which key of ours a revised agreement sends, and which one waits for the peer's checks.
    ///
    /// As long as we go on towards the pair of before a restart, who is there knows only the key of before, and how far
    /// it has counted; whoever is nominated next may be somebody new, who knows neither (TDR-MED-007, RFC 3711 §3.3.1).
    /// A key that is nearly used up waits for nobody.
    pub(super) fn sender_between(
        &mut self,
        before: SendsWith,
        own: &CryptoKey,
        is_kept: bool,
    ) -> SendsWith {
        let is_another = |at: &usize| {
            let used = self.senders.get(*at);
            used.is_some_and(|used| used.key != *own && !used.rtp_wear.is_low())
        };
        match before.now.filter(|_| is_kept).filter(is_another) {
            Some(now) => {
                let known = self.senders.iter().position(|context| context.key == *own);
                let next = known.unwrap_or_else(|| self.push_sender(own, false, Some(now)));
                SendsWith {
                    now: Some(now),
                    next: Some(next),
                }
            }
            None => SendsWith::only(self.sender(own)),
        }
    }

    /// As [`Self::sender`] for a key that a handshake has made: it takes the place of one that is used no more.
    pub(super) fn fresh_sender(&mut self, key: &CryptoKey) -> usize {
        let faces = &self.faces;
        let is_used = |at: usize| faces.iter().any(|face| face.sends_with(at));
        let mut all = self.senders.iter_mut().enumerate();
        let Some((at, own)) = all.find(|(at, own)| own.is_fresh && !is_used(*at)) else {
            return self.add_sender(key, true);
        };
        own.key = key.clone();
        own.sender = Sender::new(key);
        own.rtp_wear = Wear::new(key.lifetime());
        own.rtcp_wear = Wear::new(key.lifetime().min(MOST_REPORTS));
        own.origin = None;
        self.outgoing.begin_key();
        at
    }

    fn add_sender(&mut self, key: &CryptoKey, is_fresh: bool) -> usize {
        self.outgoing.begin_key();
        self.push_sender(key, is_fresh, None)
    }

    /// A key that is not among those that are kept. `used` is in use besides what faces have.
    fn push_sender(&mut self, key: &CryptoKey, is_fresh: bool, used: Option<usize>) -> usize {
        let print = (!self.spent.is_empty()).then(|| Print::of(key));
        let known = self.spent.iter();
        let known = known.enumerate().find(|(_, own)| Some(own.print) == print);
        let known = known.map(|(at, _)| at).map(|at| self.spent.remove(at));
        let context = match known {
            // Its end may have come, and then it protects nothing more.
            Some(known) => SendContext {
                key: key.clone(),
                sender: Sender::resume(key, known.rtcp_index),
                rtp_wear: known.rtp_wear,
                rtcp_wear: known.rtcp_wear,
                origin: known.origin,
                is_fresh,
            },
            None => SendContext {
                key: key.clone(),
                sender: Sender::new(key),
                rtp_wear: Wear::new(key.lifetime()),
                rtcp_wear: Wear::new(key.lifetime().min(MOST_REPORTS)),
                origin: None,
                is_fresh,
            },
        };
        let Some(at) = self.spare_sender(used) else {
            self.senders.reserve_exact(1);
            self.senders.push(context);
            return self.senders.len() - 1;
        };
        let old = std::mem::replace(&mut self.senders[at], context);
        // One that a handshake has made comes never again.
        if !old.is_fresh {
            if self.spent.len() == MOST_SPENT {
                self.spent.remove(0);
            }
            self.spent.push(Spent {
                print: Print::of(&old.key),
                origin: old.origin,
                rtcp_index: old.sender.rtcp_index(),
                rtp_wear: old.rtp_wear,
                rtcp_wear: old.rtcp_wear,
            });
        }
        at
    }

    /// The place of a key that nothing is sent with, if there are enough.
    fn spare_sender(&mut self, used: Option<usize>) -> Option<usize> {
        if self.senders.len() < MOST_SENDERS {
            return None;
        }
        let count = self.senders.len();
        let is_spare =
            |at: &usize| Some(*at) != used && !self.faces.iter().any(|face| face.sends_with(*at));
        // In turns, so that the one of before mostly stays.
        let first = usize::from(self.turn_of_senders);
        let found = (0..count)
            .map(|step| (first + step) % count)
            .find(is_spare)?;
        self.turn_of_senders = u16::try_from((found + 1) % count).unwrap_or(0);
        Some(found)
    }

    /// Protects a packet where it lies, if its peer wants that, and counts it. Returns its length.
    pub(super) fn seal(
        &mut self,
        sender: Option<usize>,
        extended: u64,
        room: &mut [u8],
        plain_bytes: usize,
    ) -> Result<usize, DropReason> {
        self.copy_sent(room.get(..plain_bytes).unwrap_or_default());
        let mut length = plain_bytes;
        if let Some(sender) = sender {
            let context = self.senders.get_mut(sender).ok_or(DropReason::NoPath)?;
            let origin = *context.origin.get_or_insert(extended & !0xffff);
            // A straggler from before this key's first packet has no index under it.
            let index = extended.checked_sub(origin).ok_or(DropReason::Sequence)?;
            if context.rtp_wear.is_over() {
                return Err(DropReason::Send);
            }
            length = context
                .sender
                .protect_rtp(room, plain_bytes, index)
                .map_err(|_| DropReason::Send)?;
            if context.rtp_wear.count() {
                self.worn = Some(context.key.suite());
            }
        }
        self.outgoing.packets += 1;
        self.count_sent(plain_bytes);
        Ok(length)
    }

    /// The suite that what is sent now is protected with; none in clear, and before there are keys.
    pub(super) fn sends_under(&self) -> Option<Suite> {
        let context = self.senders.get(self.faces.last()?.own.now?)?;
        Some(context.key.suite())
    }

    /// Protects a compound RTCP packet if this stream's peer wants that; `None` if it cannot be.
    pub(super) fn protect_report(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let face = self.faces.last()?;
        match face.report_sender() {
            None => face.is_open().then_some(length),
            Some(at) => {
                let context = self.senders.get_mut(at)?;
                if context.rtcp_wear.is_over() {
                    return None;
                }
                let length = context.sender.protect_rtcp(buffer, length).ok()?;
                if context.rtcp_wear.count() {
                    self.worn = Some(context.key.suite());
                }
                Some(length)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;
    use crate::session::{SocketId, StreamSockets};
    use crate::srtp::Receiver;
    use crate::time::Timestamp;
    use media_api::{RealmId, StreamIndex, Suite};
    use std::net::SocketAddr;

    fn stream() -> Stream {
        let address = SocketAddr::from(([192, 0, 2, 1], 4_000));
        let sockets = StreamSockets {
            realm: RealmId(0),
            rtp: SocketId(0),
            rtcp: SocketId(1),
            advertised_rtp: address,
            advertised_rtcp: address,
        };
        Stream::new(StreamIndex(0), sockets, &mut Entropy::from_seed([1; 32]))
    }

    fn key(number: u8) -> CryptoKey {
        CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![number; 30]).unwrap()
    }

    /// A packet with this number, under a key.
    fn sealed(stream: &mut Stream, key: &CryptoKey, extended: u64) -> Vec<u8> {
        let sender = stream.sender(key);
        let mut room = [0; 64];
        room[..2].copy_from_slice(&[0x80, 8]);
        room[2..4].copy_from_slice(&(extended as u16).to_be_bytes());
        let length = stream.seal(Some(sender), extended, &mut room, 32).unwrap();
        room[..length].to_vec()
    }

    #[test]
    fn keys_of_ours_are_few_and_one_that_comes_back_goes_on_where_it_was() {
        let mut stream = stream();
        let mut peer = Receiver::new(&key(1));
        let now = Timestamp(0);
        let first = sealed(&mut stream, &key(1), 65_530);
        assert!(peer.unprotect_rtp(&mut first.clone(), now).is_ok());
        for number in 2..60 {
            sealed(&mut stream, &key(number), 65_600 + u64::from(number));
        }
        assert_eq!(stream.senders.len(), MOST_SENDERS);
        // The numbers have gone round meanwhile: from zero on it would use again what it has used.
        let mut again = sealed(&mut stream, &key(1), 65_536 + 65_530);
        assert_ne!(
            again[12..32],
            first[12..32],
            "another index, another stream of key"
        );
        // Nobody has told it that the numbers have gone round.
        peer.expect_restart();
        assert!(peer.unprotect_rtp(&mut again, now).is_ok());
        for number in 0..=255 {
            sealed(&mut stream, &key(number), 150_000 + u64::from(number));
        }
        assert_eq!(
            (stream.senders.len(), stream.spent.len()),
            (MOST_SENDERS, MOST_SPENT)
        );
    }
}
