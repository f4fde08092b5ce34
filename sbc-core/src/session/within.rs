//! Requests within a dialog, early or confirmed, that change no media: OPTIONS, UPDATE without an
//! offer, what is refused, and everything that the called party sends before it answers.

use super::confirmed::PeerOffer;
use super::confirmed::from_tag;
use super::timer::Lines;
use super::{Phase, Session, SessionEvent};
use crate::dialog::Dialog;
use crate::event::{DropCode, Happened};
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::sip::{HeaderName, Message, Method, Rejection, RequestHead, Status};
use crate::transport::Flow;
use bytes::Bytes;
use std::time::Duration;

impl Session {
    /// Serves a request that needs nothing of the dialog, or refuses it with 400 to 501 (SIP-013).
    pub(super) fn serve(&self, cx: &mut Cx<'_>, id: TransactionId, flow: &Flow, message: &Message) {
        match (message.method(), self.style.capabilities().check(message)) {
            // We subscribe to nothing (RFC 6665 §4.1.3).
            (Method::Notify, _) => {
                let status = Status::CALL_DOES_NOT_EXIST;
                self.reply(cx, id, message, status, |response| response);
            }
            // Nobody can subscribe to anything but a transfer that is under way.
            (Method::Subscribe, _) => {
                self.reply(cx, id, message, Status::BAD_EVENT, |response| {
                    response.raw_if_valid(HeaderName::AllowEvents, "refer")
                });
            }
            // There is no call yet that could be transferred, nor anybody who would be told anything.
            (Method::Refer | Method::Info | Method::Message, Ok(())) => {
                self.reply_retry_after(cx, id, message);
            }
            (_, Err(rejection)) => self.reject(cx, id, message, &rejection),
            // None of ours waits for it (RFC 3262 §3).
            (Method::Prack, Ok(())) => {
                let status = Status::CALL_DOES_NOT_EXIST;
                self.reply(cx, id, message, status, |response| response);
            }
            (Method::Options, Ok(())) => self.answer_options(cx, id, flow, message),
            (Method::Update, Ok(())) => self.answer_update(cx, id, flow, message, Lines::new()),
            (_, Ok(())) => {
                let allow = self.style.allow();
                self.reply(cx, id, message, Status::METHOD_NOT_ALLOWED, |response| {
                    response.raw_if_valid(HeaderName::Allow, allow)
                });
            }
        }
    }

    /// A request in a dialog that is not the call's: one we are ending, or one we never had.
    pub(super) fn stray_request(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
    ) {
        let is_bye = *message.method() == Method::Bye;
        let is_known = self.strays.iter().any(|stray| stray.is_with(message));
        let status = match is_bye && (is_known || matches!(self.phase, Phase::Over)) {
            true => Status::OK,
            false => {
                // Who knows one tag and not the other was never in the call.
                if !is_known && !matches!(self.phase, Phase::Over) {
                    let what = Happened::Dropped {
                        why: DropCode::UnknownDialog,
                        protocol: flow.protocol,
                        remote: flow.remote,
                        listener: flow.listener.clone(),
                    };
                    cx.out.emit(None, None, what);
                }
                Status::CALL_DOES_NOT_EXIST
            }
        };
        self.reply(cx, id, message, status, |response| response);
    }

    /// Refuses a request with what its objection has to tell the peer.
    pub(super) fn reject(
        &self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        rejection: &Rejection,
    ) {
        let Some(head) = RequestHead::of(message) else {
            return;
        };
        let can = self.style.capabilities();
        let response = can.refuse(&head, rejection, Some(&self.local_tag));
        let bytes = self.style.sign_response(response).build();
        cx.plane
            .transactions
            .respond(cx.now.mono, id, rejection.status, bytes, cx.out);
    }

    /// A request of the called party on the early dialog of our INVITE. To say 481 would tell it
    /// that the dialog is gone, and end the call before it began (RFC 5057 §5.1).
    pub(super) fn callee_request(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let known = from_tag(message).and_then(|tag| outgoing.early.get_mut(&tag));
        let Some(early) = known.filter(|early| is_of(&early.link.dialog, message)) else {
            return self.stray_request(cx, id, flow, message);
        };
        if early.link.dialog.admit_request(message).is_err() {
            return self.reply(cx, id, message, Status::SERVER_INTERNAL_ERROR, |r| r);
        }
        match message.method() {
            // Only the caller may end an early dialog with BYE (RFC 3261 §15).
            Method::Bye => {
                let status = Status::CALL_DOES_NOT_EXIST;
                self.reply(cx, id, message, status, |response| response);
            }
            // Ours is still open (RFC 3261 §14.2).
            Method::Invite => self.reply(cx, id, message, Status::REQUEST_PENDING, |r| r),
            Method::Update if !self.style.trunk.allow.contains(&Method::Update) => {
                self.serve(cx, id, flow, message);
            }
            // Our offer is unanswered until its 2xx (RFC 3311 §5.2).
            Method::Update if super::description(message).is_some() && early.settled.is_none() => {
                self.reply(cx, id, message, Status::REQUEST_PENDING, |r| r);
            }
            Method::Update if let Some(offer) = super::description(message) => {
                if early.asked.is_some() {
                    return self.reply_retry_after(cx, id, message);
                }
                if let Err(rejection) = self.style.capabilities().check(message) {
                    return self.reject(cx, id, message, &rejection);
                }
                early.link.dialog.refresh_target(message);
                early.asked = Some(PeerOffer::new(id, flow, message));
                up.push(SessionEvent::EarlyOffer {
                    early: Bytes::copy_from_slice(early.link.dialog.remote_tag()),
                    description: offer,
                });
            }
            Method::Update => {
                early.link.dialog.refresh_target(message);
                self.serve(cx, id, flow, message);
            }
            _ => self.serve(cx, id, flow, message),
        }
    }

    /// 200 to OPTIONS within a dialog (TDR-OPT-012).
    fn answer_options(&self, cx: &mut Cx<'_>, id: TransactionId, flow: &Flow, message: &Message) {
        self.reply(cx, id, message, Status::OK, |response| {
            let response = response
                .raw_if_valid(HeaderName::Allow, self.style.allow())
                .raw_if_valid(HeaderName::Accept, "application/sdp, multipart/mixed")
                .raw_if_valid(HeaderName::Supported, self.style.supported());
            match self.style.listener_of(flow) {
                Some(listener) => response.header(&self.style.contact(listener)),
                None => response,
            }
        });
    }

    /// 200 to UPDATE without an offer: it concerns this leg alone (SIP-531).
    pub(super) fn answer_update(
        &self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        lines: Lines,
    ) {
        self.reply(cx, id, message, Status::OK, |mut response| {
            for (name, value) in lines {
                response = response.raw_if_valid(name, value);
            }
            let response = response.raw_if_valid(HeaderName::Allow, self.style.allow());
            match self.style.listener_of(flow) {
                Some(listener) => response.header(&self.style.contact(listener)),
                None => response,
            }
        });
    }

    /// 500 with a random Retry-After of 0–10 s (RFC 3261 §14.2).
    pub(super) fn reply_retry_after(&self, cx: &mut Cx<'_>, id: TransactionId, message: &Message) {
        let seconds = cx.plane.mint.between(0, 10);
        self.reply_after(cx, id, message, Duration::from_secs(seconds));
    }

    /// 500 with a Retry-After, in whole seconds.
    pub(super) fn reply_after(
        &self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        after: Duration,
    ) {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.reply(cx, id, message, Status::SERVER_INTERNAL_ERROR, |response| {
            response.raw_if_valid(HeaderName::RetryAfter, seconds.to_string())
        });
    }
}

/// Whether a request belongs to a dialog: Call-ID and peer's tag agree. Our own tag has led here
/// already.
pub(super) fn is_of(dialog: &Dialog, message: &Message) -> bool {
    from_tag(message).is_some_and(|tag| tag == dialog.remote_tag())
        && message
            .raw(HeaderName::CallId)
            .is_some_and(|call_id| call_id == *dialog.call_id.as_bytes())
}
