//! New work under load: what is refused at the least cost, and what neighbours are told (SIP-1722,
//! RFC 7339).

use super::stateless::answer_without_state;
use super::{Core, dropped};
use crate::config::{Preset, Trunk};
use crate::effect::Effects;
use crate::event::{DropCode, Happened};
use crate::overload::{NewCall, Stage, Verdict};
use crate::policy::ingress::Ingress;
use crate::sip::{Message, Method, RequestHead, Status};
use crate::time::Now;
use crate::transport::{Flow, overload};

impl Core {
    /// Tells of a new stage.
    pub(super) fn tell_stage(&self, news: Option<Stage>, out: &mut Effects) {
        if let Some(stage) = news {
            let what = Happened::Overload {
                shard: self.plane.shard,
                stage,
                lag_ms: u64::try_from(self.overload.lag().as_millis()).unwrap_or(u64::MAX),
                strain: self.overload.strain(),
            };
            out.emit(None, None, what);
        }
    }

    /// Whether a request that has no transaction yet is refused for our own load if it begins a call, at the
    /// least cost: before any state. OPTIONS outside of dialogs is answered as a call would be (SIP-1320).
    pub(super) fn sheds(
        &mut self,
        now: Now,
        flow: &Flow,
        message: &Message,
        ingress: &Ingress,
        out: &mut Effects,
    ) -> bool {
        let begins_call = matches!(message.method(), Method::Invite | Method::Options)
            && message.to_tag().is_none()
            // Teams judges us by these answers long after the load is gone (TDR-OPT-005).
            && !(*message.method() == Method::Options && ingress.trunk.preset == Preset::Teams);
        if !begins_call {
            return false;
        }
        let (overload, mint) = (&mut self.overload, &mut self.plane.mint);
        let new = NewCall {
            config: &self.plane.config,
            ingress,
            protocol: flow.protocol,
            request: message,
        };
        let retry_after = match overload.judge(now.mono, &new, mint) {
            Verdict::Admit => return false,
            Verdict::Refuse(retry_after) => retry_after,
            Verdict::Drop => {
                dropped(DropCode::Overload, flow, out);
                return true;
            }
        };
        dropped(DropCode::Overload, flow, out);
        if let Some(mut head) = RequestHead::of(message) {
            let status = Status::SERVICE_UNAVAILABLE;
            let whose = (&*self.plane.config, &*ingress.trunk);
            answer_without_state(whose, flow, status, &mut head, retry_after, out);
        }
        true
    }

    /// The request with our load in its topmost Via, which every response repeats, if its sender obeys
    /// such a word (RFC 7339 §5.2).
    pub(super) fn told_load(&self, now: Now, message: Message, trunk: &Trunk) -> Message {
        if !trunk.habits.overload_control {
            return message;
        }
        let Some(via) = message.top_via().ok().filter(|via| overload::is_asked(via)) else {
            return message;
        };
        let mut via = via.clone();
        overload::tell(&mut via, &self.overload.feedback(now));
        message.with_top_via(via)
    }
}
