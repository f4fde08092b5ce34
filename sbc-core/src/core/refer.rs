//! REFER outside of the dialog that it is about (SIP-800): the call and leg that Target-Dialog names,
//! or why nobody is transferred.

use super::{Core, arrived, dropped};
use crate::dialog::{Lookup, contact};
use crate::effect::Effects;
use crate::event::DropCode;
use crate::id::{CallId, LegId, TransactionId};
use crate::session::LegStyle;
use crate::sip::header::{Replaces, TargetDialog};
use crate::sip::{HeaderName, Message, Status};
use crate::time::Now;
use crate::transport::Flow;

impl Core {
    pub(super) fn referred(
        &mut self,
        now: Now,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        style: &LegStyle,
        out: &mut Effects,
    ) {
        match self.target_of(flow, message, style) {
            Ok((call, leg)) => {
                arrived(Some(call), Some(leg), flow, message, out);
                self.with_call(now, call, out, |call, cx| {
                    call.refer_outside(cx, leg, style, id, flow, message);
                });
            }
            Err((status, why)) => {
                arrived(None, None, flow, message, out);
                dropped(DropCode::UnknownDialog, flow, out);
                let agent = style.name_on(flow);
                self.reply_with(now, id, message, style, status, out, |response| {
                    let warning = agent.map(|agent| format!("399 {agent} \"{why}\""));
                    match warning {
                        Some(warning) => response.raw_if_valid(HeaderName::Warning, warning),
                        None => response,
                    }
                });
            }
        }
    }

    fn target_of(
        &self,
        flow: &Flow,
        message: &Message,
        style: &LegStyle,
    ) -> Result<(CallId, LegId), (Status, &'static str)> {
        let target = message
            .get::<TargetDialog>()
            .map_err(|_| (Status::BAD_REQUEST, "Target-Dialog cannot be read"))?;
        let Some(target) = target else {
            // Nobody may have us place calls out of nothing.
            let why = "REFER outside of a call has to name it in Target-Dialog";
            return Err((Status::DECLINE, why));
        };
        if contact(message).is_err() {
            let why = "REFER without Contact makes no subscription";
            return Err((Status::BAD_REQUEST, why));
        }
        let unknown = (
            Status::CALL_DOES_NOT_EXIST,
            "Target-Dialog names no call of yours",
        );
        let Lookup::Live(call, leg) = self.plane.dialogs.find(target.remote_tag.as_bytes()) else {
            return Err(unknown);
        };
        let named = Replaces {
            call_id: target.call_id,
            to_tag: target.remote_tag,
            from_tag: target.local_tag,
            early_only: false,
            params: Default::default(),
        };
        let is_theirs = self.admits(call, leg, &style.trunk, flow)
            && self
                .calls
                .get(&call)
                .is_some_and(|entry| entry.call.talks_in(leg, &named));
        match is_theirs {
            true => Ok((call, leg)),
            false => Err(unknown),
        }
    }
}
