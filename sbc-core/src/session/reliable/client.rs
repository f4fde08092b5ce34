//! Reliable provisional responses of a called party: RFC 3262 §4.
//!
//! Each early dialog counts on its own. What comes out of order is not seen until what is missing
//! has come; what was acknowledged is not acknowledged again (SIP-521).

use super::number;
use super::server::rack_value;
use crate::plane::Cx;
use crate::session::LegStyle;
use crate::session::confirmed::PeerOffer;
use crate::session::link::{Errand, Link, Wanted};
use crate::sip::{HeaderName, Message, Method};
use bytes::Bytes;

/// An early dialog of an INVITE of ours.
#[derive(Debug)]
pub(crate) struct Early {
    pub(in crate::session) link: Link,
    /// Number of the last reliable response.
    last: Option<u32>,
    /// Our offer has its answer in a reliable response: later descriptions of the dialog mean
    /// nothing, and either side may offer again (SIP-501).
    pub(in crate::session) is_settled: bool,
    /// An offer of the called party that waits for our answer.
    pub(in crate::session) asked: Option<PeerOffer>,
}

/// What a provisional of an early dialog is to us.
pub(in crate::session) enum Heard {
    /// Repeated, or ahead of one that is missing.
    OutOfOrder,
    /// Not reliable.
    Unreliable,
    /// The next reliable one; it has its PRACK.
    Reliable,
}

impl Early {
    pub(in crate::session) fn new(link: Link) -> Self {
        Self {
            link,
            last: None,
            is_settled: false,
            asked: None,
        }
    }

    /// Takes a provisional and acknowledges it if it wants that.
    pub(in crate::session) fn hear(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        invite: u32,
        response: &Message,
    ) -> Heard {
        let Some(rseq) = number(response) else {
            return Heard::Unreliable;
        };
        if self
            .last
            .is_some_and(|last| last.checked_add(1) != Some(rseq))
        {
            return Heard::OutOfOrder;
        }
        self.last = Some(rseq);
        self.prack(cx, style, rack_value(rseq, invite));
        Heard::Reliable
    }

    fn prack(&mut self, cx: &mut Cx<'_>, style: &LegStyle, rack: Bytes) {
        let prack = Errand {
            method: Method::Prack,
            headers: vec![(HeaderName::RAck, rack)],
            body: None,
        };
        let wanted = Wanted::Request(Box::new(prack));
        self.link.send(cx, style, wanted);
    }
}
