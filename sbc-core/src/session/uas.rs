//! The set-up of a leg that called us: provisionals and the final answer to its INVITE.

use super::confirmed::{Confirmed, RepeatedOk};
use super::offering::Offering;
use super::{Link, Phase, Refusal, Session, SessionEvent, Timer, reasons_of};
use crate::config::Preset;
use crate::dialog::Dialog;
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::session::LegStyle;
use crate::sip::header::{ContentType, Replaces, To};
use crate::sip::{HeaderName, Message, Method, ResponseBuilder, Status, Token};
use crate::time::Timestamp;
use crate::transport::{Flow, Hop, TlsHop};
use bytes::Bytes;
use std::time::Duration;

/// Proxies give up on an INVITE after three minutes of silence (Timer C); one provisional a minute
/// keeps them patient (SIP-315).
const REFRESH: Duration = Duration::from_secs(60);

/// Teams goes to its next SBC when it hears of no progress within ten seconds (TDR-SIP-032).
const TEAMS_GUARD: Duration = Duration::from_secs(8);

/// Several phones may ring at once; the caller is not told of each (SIP-315).
const SAME_AGAIN: Duration = Duration::from_secs(1);

/// How long a caller is left without any provisional but 100.
pub(super) fn first_progress(style: &LegStyle) -> Duration {
    match style.trunk.preset {
        Preset::Teams => TEAMS_GUARD,
        Preset::Carrier => REFRESH,
    }
}

/// An INVITE of the peer that has no final answer yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(super) id: TransactionId,
    pub(super) flow: Flow,
    pub(super) request: Message,
    last: Option<(Status, Option<Bytes>)>,
    /// When it was sent.
    told: Timestamp,
    /// Headers of the called side's responses that policy lets through.
    passed: Vec<(HeaderName, Bytes)>,
    /// The caller's last UPDATE: where it wants to be found from now on (SIP-303).
    moved: Option<Message>,
}

impl Incoming {
    pub(super) fn new(id: TransactionId, flow: Flow, request: Message) -> Self {
        Self {
            id,
            flow,
            request,
            last: None,
            told: Timestamp::ZERO,
            passed: Vec::new(),
            moved: None,
        }
    }

    /// Whether Replaces names this dialog by its Call-ID and the caller's tag.
    pub(super) fn is_named(&self, replaces: &Replaces) -> bool {
        let call_id = self.request.raw(HeaderName::CallId);
        call_id.is_some_and(|call_id| call_id == *replaces.call_id.as_bytes())
            && super::confirmed::from_tag(&self.request)
                .is_some_and(|tag| super::standing::names(&replaces.from_tag, &tag))
    }

    fn begin(&self, style: &LegStyle, tag: &Token, status: Status) -> ResponseBuilder {
        let mut response = ResponseBuilder::to(&self.request, status, Some(tag));
        if status.code() < 300 {
            // Responses that create a dialog mirror Record-Route (RFC 3261 §12.1.1).
            response = response.copy(&self.request, HeaderName::RecordRoute);
            if let Some(listener) = style.listener_of(&self.flow) {
                response = response.header(&style.contact(listener));
            }
            response = response.raw_if_valid(HeaderName::Allow, style.allow());
            for (name, value) in &self.passed {
                response = response.raw_if_valid(name, value);
            }
        }
        style.sign_response(response)
    }

    fn respond(&self, cx: &mut Cx<'_>, status: Status, bytes: Bytes) {
        cx.plane
            .transactions
            .respond(cx.now.mono, self.id, status, bytes, cx.out);
    }

    fn progress(
        &self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        tag: &Token,
        status: Status,
        description: Option<&Bytes>,
    ) {
        let mut response = self.begin(style, tag, status);
        if let Some(description) = description {
            response = response.body(&ContentType::sdp(), description.clone());
        }
        self.respond(cx, status, response.build());
    }

    pub(super) fn refuse(&self, cx: &mut Cx<'_>, style: &LegStyle, tag: &Token, refusal: &Refusal) {
        let mut response = self.begin(style, tag, refusal.status);
        if let Some(reason) = &refusal.reason {
            response = response.raw_if_valid(HeaderName::Reason, reason);
        }
        if let Some(warning) = &refusal.warning {
            response = response.raw_if_valid(HeaderName::Warning, warning);
        }
        if let Some(seconds) = refusal.retry_after_s {
            response = response.raw_if_valid(HeaderName::RetryAfter, seconds.to_string());
        }
        if let Some(min_se) = &refusal.min_se {
            response = response.raw_if_valid(HeaderName::MinSe, min_se);
        }
        response = response.headers(&refusal.contacts);
        for (name, value) in &refusal.passed {
            response = response.raw_if_valid(name, value);
        }
        self.respond(cx, refusal.status, response.build());
    }
}

impl Session {
    /// What the called side's responses say that our next ones are to say too.
    pub(crate) fn carry(&mut self, lines: Vec<(HeaderName, Bytes)>) {
        if let Phase::Incoming(incoming) = &mut self.phase {
            incoming.passed = lines;
        }
    }

    /// Tells the caller of progress; ignored after a final answer.
    pub(crate) fn progress(&mut self, cx: &mut Cx<'_>, status: Status, description: Option<Bytes>) {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        let again = incoming.last.as_ref().is_some_and(|(last, had)| {
            *last == status && (description.is_none() || *had == description)
        });
        if again && cx.now.mono.since(incoming.told) < SAME_AGAIN {
            return;
        }
        incoming.progress(
            cx,
            &self.style,
            &self.local_tag,
            status,
            description.as_ref(),
        );
        incoming.last = Some((status, description));
        incoming.told = cx.now.mono;
        self.timers
            .set(Timer::Refresh as usize, cx.now.mono + REFRESH);
    }

    /// Answers the caller with 200 and this description. Says whether that was possible: a caller
    /// whose INVITE lacks a usable Contact cannot have a dialog.
    pub(crate) fn answer(&mut self, cx: &mut Cx<'_>, description: Bytes) -> bool {
        let Phase::Incoming(incoming) = &self.phase else {
            return false;
        };
        let Ok(Some(to)) = incoming.request.essential::<To>() else {
            return false;
        };
        let local = to.clone().with_tag(self.local_tag.clone()).0;
        let Ok(mut dialog) = Dialog::from_request(local, &incoming.request) else {
            return false;
        };
        if let Some(moved) = &incoming.moved {
            dialog.refresh_target(moved);
        }
        let cseq = dialog.remote_cseq.unwrap_or_default();
        let mut response = incoming.begin(&self.style, &self.local_tag, Status::OK);
        let lines = self.timer.answers(&incoming.request);
        for (name, value) in self.style.with_supported(lines) {
            response = response.raw_if_valid(name, value);
        }
        let bytes = response.body(&ContentType::sdp(), description).build();
        incoming.respond(cx, Status::OK, bytes.clone());
        let fallback = hop_back(&self.style, &incoming.flow);
        let link = Link::new(dialog, self.owner, fallback);
        let ok = RepeatedOk {
            invite: incoming.id,
            cseq,
            bytes,
            offers: super::description(&incoming.request).is_none(),
        };
        self.timers.clear();
        self.phase = Phase::Confirmed(Box::new(Confirmed::new(link, Offering::of_guest())));
        self.await_ack(cx, ok);
        self.restart_session_timer(cx);
        true
    }

    /// Refuses the caller; the session is over then.
    pub(crate) fn refuse(&mut self, cx: &mut Cx<'_>, refusal: &Refusal) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        incoming.refuse(cx, &self.style, &self.local_tag, refusal);
        self.finish(cx);
    }

    /// The caller's CANCEL found its INVITE unanswered.
    pub(crate) fn cancelled(
        &mut self,
        cx: &mut Cx<'_>,
        cancel: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        if let Phase::Confirmed(confirmed) = &mut self.phase {
            // A change that waits for the other leg is not wanted any more.
            if confirmed.cancel_offer(cx, &self.style) {
                let reasons = reasons_of(cancel);
                up.push(SessionEvent::Cancelled { reasons });
            }
            return;
        }
        let Phase::Incoming(_) = &self.phase else {
            return;
        };
        let refusal = Refusal {
            status: Status::REQUEST_TERMINATED,
            ..Refusal::default()
        };
        self.refuse(cx, &refusal);
        up.push(SessionEvent::Cancelled {
            reasons: reasons_of(cancel),
        });
    }

    /// A request on the early dialog of an INVITE that we have not answered.
    pub(super) fn early_request(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        let same_caller =
            super::confirmed::from_tag(message) == super::confirmed::from_tag(&incoming.request);
        match message.method() {
            // A caller may end an early dialog with BYE instead of CANCEL (RFC 3261 §15).
            Method::Bye if same_caller => {
                self.reply(cx, id, message, Status::OK, |response| response);
                self.cancelled(cx, message, up);
            }
            _ if !same_caller => {
                let status = Status::CALL_DOES_NOT_EXIST;
                self.reply(cx, id, message, status, |response| response);
            }
            Method::Invite => self.reply_retry_after(cx, id, message),
            // Its own offer is unanswered until our 2xx (RFC 3311 §5.2).
            Method::Update if super::description(message).is_some() => {
                self.reply_retry_after(cx, id, message);
            }
            Method::Update => {
                incoming.moved = Some(message.clone());
                self.serve(cx, id, flow, message);
            }
            _ => self.serve(cx, id, flow, message),
        }
    }

    /// Repeats the last provisional so that proxies keep waiting.
    pub(super) fn refresh_progress(&mut self, cx: &mut Cx<'_>) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        let (status, description) = match &incoming.last {
            Some((status, description)) => (*status, description.clone()),
            None => (Status::SESSION_PROGRESS, None),
        };
        self.progress(cx, status, description);
    }
}

/// The hop back to where a flow came from.
pub(crate) fn hop_back(style: &LegStyle, flow: &Flow) -> Hop {
    let tls = match (&flow.identity, style.trunk.tls.clone()) {
        (_, Some(context)) if flow.protocol == crate::transport::Protocol::Tls => Some(TlsHop {
            context,
            server_name: style
                .trunk
                .targets
                .first()
                .map(|target| target.host.clone())
                .unwrap_or_else(|| flow.remote.ip().to_string()),
            accept_names: style.trunk.accept_names.clone(),
        }),
        _ => None,
    };
    Hop {
        listener: flow.listener.clone(),
        protocol: flow.protocol,
        remote: flow.remote,
        tls,
        flow: Some(flow.id),
    }
}
