//! How a message that has arrived is told, and what its To names.

use crate::effect::Effects;
use crate::event::{DropCode, Happened};
use crate::id::{CallId, LegId};
use crate::sip::Message;
use crate::transaction::Owner;
use crate::transport::Flow;

pub(super) fn to_tag(message: &Message) -> Option<bytes::Bytes> {
    message.to_tag().cloned()
}

pub(super) fn to_tag_of(message: &Message) -> bytes::Bytes {
    to_tag(message).unwrap_or_default()
}

pub(super) fn dropped(why: DropCode, flow: &Flow, out: &mut Effects) {
    let what = Happened::Dropped {
        why,
        protocol: flow.protocol,
        remote: flow.remote,
        listener: flow.listener.clone(),
    };
    out.emit(None, None, what);
}

/// Shows a message of a transaction that a call has already, before it has any effect: in a
/// ladder what came stands above what it caused. The call may have ended by then, as one has
/// whose refusal is acknowledged. Answers to our probes and registrations are shown as well; all others
/// where it is found out what they are.
pub(super) fn arrived_in_transaction(
    owner: Owner,
    flow: &Flow,
    message: &Message,
    out: &mut Effects,
) {
    match owner {
        Owner::Leg(call, leg) => arrived(Some(call), Some(leg), flow, message, out),
        Owner::Probe(_) | Owner::Registration(_) => arrived(None, None, flow, message, out),
        Owner::Nobody => {}
    }
}

pub(super) fn arrived(
    call: Option<CallId>,
    leg: Option<LegId>,
    flow: &Flow,
    message: &Message,
    out: &mut Effects,
) {
    let what = Happened::Received {
        protocol: flow.protocol,
        local: flow.local,
        remote: flow.remote,
        bytes: message.bytes().clone(),
    };
    out.emit(call, leg, what);
}
