//! Keys of ours: under which one a packet leaves, and how much of each is used up (MED-107, MED-113).

use super::stream::Stream;
use crate::srtp::{MOST_REPORTS, Sender, Wear};
use media_api::{CryptoKey, DropReason};

/// One local key: kept as long as the stream, so that none of its indices is ever used twice.
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
                let next = known.unwrap_or_else(|| self.push_sender(own, false));
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
        self.push_sender(key, is_fresh)
    }

    fn push_sender(&mut self, key: &CryptoKey, is_fresh: bool) -> usize {
        self.senders.reserve_exact(1);
        self.senders.push(SendContext {
            key: key.clone(),
            sender: Sender::new(key),
            rtp_wear: Wear::new(key.lifetime()),
            rtcp_wear: Wear::new(key.lifetime().min(MOST_REPORTS)),
            origin: None,
            is_fresh,
        });
        self.senders.len() - 1
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
