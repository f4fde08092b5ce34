//! OPTIONS of peers outside of dialogs: whether we are there, and for new calls; and MESSAGE, which is for nobody there.

use super::Core;
use crate::config::Preset;
use crate::effect::Effects;
use crate::event::Happened;
use crate::id::TransactionId;
use crate::session::LegStyle;
use crate::sip::header::Contact;
use crate::sip::{HeaderName, Message, Method, ResponseBuilder, Status, Token};
use crate::time::Now;
use crate::transport::Flow;

impl Core {
    /// 200 to OPTIONS outside a dialog; 503 while the node drains, or an operator keeps new calls away from the trunk, or while calls would leave no record although they must, so
    /// that peers look elsewhere (OPS-130, OPS-060). They ask again by themselves, so there is no Retry-After. Teams gets 200 even then: it
    /// looks elsewhere because we ask it no more (TDR-OPT-005, TDR-OPT-010).
    pub(super) fn answer_options(
        &mut self,
        now: Now,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        style: &LegStyle,
        out: &mut Effects,
    ) {
        let is_closed = self.plane.closed.of(&style.trunk).is_some();
        let sends_away = (self.is_draining || self.is_unrecorded || is_closed)
            && style.trunk.preset != Preset::Teams;
        let status = match sends_away {
            true => Status::SERVICE_UNAVAILABLE,
            false => Status::OK,
        };
        let tag = Token::from_minted(self.plane.mint.tag());
        let mut response = ResponseBuilder::to(message, status, Some(&tag))
            .raw_if_valid(HeaderName::Allow, style.allow())
            .raw_if_valid(HeaderName::Accept, "application/sdp, multipart/mixed")
            .raw_if_valid(HeaderName::Supported, style.supported());
        let pause = style.trunk.habits.drain_pause_s.filter(|_| sends_away);
        if let Some(seconds) = pause {
            response = response.raw_if_valid(HeaderName::RetryAfter, seconds.to_string());
        }
        if let Some(listener) = style.listener_of(flow) {
            response = response.header(&style.contact(listener));
        }
        let bytes = style.sign_response(response).build();
        self.plane
            .transactions
            .respond(now.mono, id, status, bytes, out);
        if style.trunk.preset == Preset::Teams {
            out.emit(None, None, asked_by_teams(style, flow, message, status));
        }
    }

    /// 405 to MESSAGE outside a dialog: where it is allowed it is taken within calls alone, and 481 would be about a
    /// dialog that nobody has named (SIP-013).
    pub(super) fn refuse_page(
        &mut self,
        now: Now,
        id: TransactionId,
        message: &Message,
        style: &LegStyle,
        out: &mut Effects,
    ) {
        let methods = style.trunk.allow.iter();
        let others = methods.filter(|method| **method != Method::Message);
        let allow = others.map(Method::as_str).collect::<Vec<_>>().join(", ");
        let status = Status::METHOD_NOT_ALLOWED;
        self.reply_with(now, id, message, style, status, out, |response| {
            response.raw_if_valid(HeaderName::Allow, allow)
        });
    }
}

/// Whether a data centre of Teams wants no more of us: 503 with Retry-After to an INVITE. What comes next
/// must not go over the same connection (TDR-DNS-003).
pub(super) fn asks_for_pause(message: &Message) -> bool {
    message.status() == Some(Status::SERVICE_UNAVAILABLE)
        && message.has(HeaderName::RetryAfter)
        && *message.method() == Method::Invite
}

/// That a proxy of Teams has sent OPTIONS: it calls itself what stands in Contact.
fn asked_by_teams(style: &LegStyle, flow: &Flow, message: &Message, status: Status) -> Happened {
    let contact = message.get::<Contact>().ok().flatten();
    let contact = contact.as_ref().and_then(|contact| contact.uri()?.host());
    Happened::Options {
        trunk: style.trunk.name.clone(),
        by_peer: true,
        host: contact.map_or_else(|| flow.remote.ip().to_string(), ToString::to_string),
        remote: Some(flow.remote),
        status: Some(status),
        took: None,
        because: format!("answered {status}"),
    }
}
