//! An INVITE with Replaces: which leg of which call it takes over, or why not (SIP-806).

use super::{Core, arrived, dropped};
use crate::call::Newcomer;
use crate::dialog::Lookup;
use crate::effect::Effects;
use crate::event::DropCode;
use crate::id::{CallId, LegId, TransactionId};
use crate::policy::identity;
use crate::policy::ingress::Ingress;
use crate::policy::secure;
use crate::session::LegStyle;
use crate::sip::header::Replaces;
use crate::sip::{HeaderName, Message, Method, ResponseBuilder, Status};
use crate::time::Now;
use crate::transport::Flow;

impl Core {
    /// Whether a request uses Replaces in a way that it may not be used: outside an INVITE, or with
    /// Join (RFC 3891 §3).
    pub(super) fn misuses_replaces(message: &Message) -> bool {
        message.has(HeaderName::Replaces)
            && (*message.method() != Method::Invite || message.raw_named("Join").is_some())
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "facts of one arrival, used in one place"
    )]
    pub(super) fn replacing(
        &mut self,
        now: Now,
        id: TransactionId,
        flow: &Flow,
        message: Message,
        replaces: &Replaces,
        ingress: Ingress,
        style: &LegStyle,
        out: &mut Effects,
    ) {
        let (call, leg) = match self.replaced(replaces, &ingress) {
            Ok(found) => found,
            Err(status) => {
                arrived(None, None, flow, &message, out);
                let why = match status {
                    Status::FORBIDDEN => DropCode::ForeignDialog,
                    _ => DropCode::UnknownDialog,
                };
                dropped(why, flow, out);
                return self.reply(now, id, &message, style, status, out);
            }
        };
        arrived(Some(call), Some(leg), flow, &message, out);
        if let Some(least) = style.least_interval(&message) {
            let status = Status::SESSION_INTERVAL_TOO_SMALL;
            let finish = |response: ResponseBuilder| response.header(&least);
            return self.reply_with(now, id, &message, style, status, out, finish);
        }
        let newcomer = Newcomer {
            caller: identity::caller(&message, &ingress.trunk),
            trunk: match secure::is_asked(&message) {
                true => secure::answering(&ingress.trunk),
                false => ingress.trunk,
            },
            flow: flow.clone(),
            transaction: id,
            request: message,
        };
        self.with_call(now, call, out, |call, cx| call.replace(cx, leg, newcomer));
    }

    fn replaced(&self, named: &Replaces, ingress: &Ingress) -> Result<(CallId, LegId), Status> {
        let alias = self.plane.aliases.find(named);
        let is_introduced = alias.is_some_and(|alias| alias.trunk == ingress.trunk.name);
        let replaces = match alias {
            // Nobody else may use a name that was given to one trunk.
            Some(_) if !is_introduced => return Err(Status::CALL_DOES_NOT_EXIST),
            Some(alias) => &alias.stands_for,
            None => named,
        };
        let tag = replaces.to_tag.as_bytes();
        let names = || {
            let call_id = replaces.call_id.as_str().as_bytes();
            crate::dialog::names(call_id, replaces.from_tag.as_bytes())
        };
        let (call, leg) = match self.plane.dialogs.find(tag) {
            Lookup::Live(call, leg) => (call, leg),
            // Only who names it whole hears that it was there (RFC 3891 §3).
            Lookup::Ended(..) if !self.plane.dialogs.may_be_named(tag, names()) => {
                return Err(Status::CALL_DOES_NOT_EXIST);
            }
            Lookup::Ended(..) => return Err(Status::DECLINE),
            Lookup::Moved(_) | Lookup::Unknown => return Err(Status::CALL_DOES_NOT_EXIST),
        };
        let entry = self.calls.get(&call).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        let tenant = ingress.tenant.as_ref();
        entry
            .call
            .may_replace(leg, replaces, &ingress.trunk, tenant, is_introduced)?;
        Ok((call, leg))
    }
}
