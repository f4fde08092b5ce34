//! Who picks up a call that rings: what a set-up and a transfer have in common of it (RFC 3891 §3).
//!
//! The newcomer needs a port first; meanwhile the phones go on ringing. Whoever answers before it has one
//! has the call, and the newcomer is told that it came too late. If the called side refuses meanwhile,
//! that waits: somebody wants the call.

use super::replace::{self, Arrival, Newcomer};
use super::{Call, endpoint};
use crate::id::LegId;
use crate::media::Facts;
use crate::plane::Cx;
use crate::record::TransferOutcome;
use crate::session::Rejection;
use crate::sip::{Message, Status};
use media_api::LocalEndpoint;

/// Somebody who picks a call up and waits for a port.
#[derive(Debug)]
pub(super) struct Pickup {
    pub(super) newcomer: LegId,
    /// Nothing if its INVITE has no description.
    pub(super) offer: Option<Facts>,
    /// Its INVITE, which says where its user is.
    said: Message,
    /// Line in the record.
    record: usize,
    /// What the called side says meanwhile.
    pub(super) waits: Option<Rejection>,
}

impl Pickup {
    /// Takes in who picks up the call of a leg that rings, to talk to `partner`. One that cannot have it is
    /// refused.
    pub(super) fn begin(
        call: &mut Call,
        cx: &mut Cx<'_>,
        replaced: LegId,
        partner: LegId,
        by: Newcomer,
    ) -> Option<Self> {
        let arrival = Arrival::of(call, cx, replaced, partner, by);
        let mut pickup = Self {
            newcomer: arrival.leg,
            offer: None,
            said: arrival.said,
            record: arrival.record,
            waits: None,
        };
        let taken = call.take_places_instead(cx, arrival.leg, &arrival.trunk, replaced);
        let status = match (arrival.offer, taken) {
            (Ok(offer), Ok(())) => {
                pickup.offer = offer;
                call.media.allocate(cx, vec![arrival.spec]);
                return Some(pickup);
            }
            (Err(status), _) => status,
            (_, Err(_)) => Status::SERVICE_UNAVAILABLE,
        };
        pickup.fails(call, cx, status);
        None
    }

    /// Whether these ports are those that it waits for.
    pub(super) fn waits_for(&self, endpoints: &[LocalEndpoint]) -> bool {
        let own = endpoint(self.newcomer);
        endpoints.iter().any(|local| local.endpoint == own)
    }

    /// The newcomer is refused; the phones go on ringing.
    pub(super) fn fails(&self, call: &mut Call, cx: &mut Cx<'_>, status: Status) {
        replace::refuse(call, cx, self.newcomer, status);
        self.note(call, cx, TransferOutcome::Failed, status);
        call.leave_places(cx, self.newcomer);
    }

    /// The newcomer has the call.
    pub(super) fn succeeds(&self, call: &mut Call, cx: &mut Cx<'_>) {
        call.comes_from(cx, self.newcomer, &self.said);
        self.note(call, cx, TransferOutcome::Completed, Status::OK);
    }

    fn note(&self, call: &mut Call, cx: &mut Cx<'_>, outcome: TransferOutcome, status: Status) {
        let line = (self.record, self.newcomer);
        replace::note(call, cx, line, outcome, status);
    }
}
