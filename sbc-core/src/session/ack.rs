//! ACKs for 2xx, kept so that a repeated 2xx gets its ACK again (RFC 3261 §13.2.2.4, SIP-212).
//!
//! They outlive the call: a peer whose 200 is repeated after a quick BYE still waits for its ACK.

use crate::deadline::DeadlineQueue;
use crate::effect::{Effect, Effects};
use crate::id::{CallId, LegId, TransactionId};
use crate::session::style::LegStyle;
use crate::time::Timestamp;
use crate::transport::Hop;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// ACKs by INVITE transaction and To tag of the 2xx.
#[derive(Default)]
pub(crate) struct AckStore {
    sent: BTreeMap<Key, Ack>,
    expiries: DeadlineQueue<(TransactionId, u64)>,
    tags: BTreeMap<(TransactionId, u64), Bytes>,
    next: u64,
}

type Key = (TransactionId, Bytes);

struct Ack {
    style: LegStyle,
    hop: Hop,
    bytes: Bytes,
    owner: (CallId, LegId),
}

impl AckStore {
    /// Sends an ACK and keeps it for `keep` (64·T1 of the trunk).
    #[allow(
        clippy::too_many_arguments,
        reason = "one call site; the values have no common type"
    )]
    pub(crate) fn send(
        &mut self,
        now: Timestamp,
        keep: Duration,
        invite: TransactionId,
        remote_tag: Bytes,
        hop: Hop,
        bytes: Bytes,
        owner: (CallId, LegId),
        style: &LegStyle,
        out: &mut Effects,
    ) {
        let ack = Ack {
            style: style.clone(),
            hop,
            bytes,
            owner,
        };
        ack.transmit(out);
        self.next += 1;
        self.expiries.push(now + keep, (invite, self.next));
        self.tags.insert((invite, self.next), remote_tag.clone());
        self.sent.insert((invite, remote_tag), ack);
    }

    /// Repeats the ACK of a 2xx, if it was already sent; says whether it was.
    pub(crate) fn repeat(
        &self,
        invite: TransactionId,
        remote_tag: &Bytes,
        out: &mut Effects,
    ) -> bool {
        let ack = self.sent.get(&(invite, remote_tag.clone()));
        if let Some(ack) = ack {
            ack.transmit(out);
        }
        ack.is_some()
    }

    /// How and where an ACK for another 2xx of this INVITE was sent, and for which leg.
    pub(crate) fn sibling(
        &self,
        invite: TransactionId,
    ) -> Option<(LegStyle, Hop, (CallId, LegId))> {
        let begin = (invite, Bytes::new());
        let ((of, _), ack) = self.sent.range(begin..).next()?;
        (*of == invite).then(|| (ack.style.clone(), ack.hop.clone(), ack.owner))
    }

    /// Forgets what nobody can ask for any more.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        while let Some(key) = self.expiries.pop_due(now) {
            if let Some(tag) = self.tags.remove(&key) {
                self.sent.remove(&(key.0, tag));
            }
        }
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.expiries.next()
    }

    /// Kept ACKs.
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }
}

impl Ack {
    fn transmit(&self, out: &mut Effects) {
        out.push(Effect::Send {
            hop: self.hop.clone(),
            bytes: self.bytes.clone(),
            transaction: None,
            call: Some(self.owner),
        });
    }
}
