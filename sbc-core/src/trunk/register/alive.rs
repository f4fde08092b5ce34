//! Keeping the way of a registrar to us open, and finding out that it is lost (RFC 5626 §4.4).

use super::super::keep_alive::{self, Wanted};
use super::Registering;
use crate::deadline::DeadlineQueue;
use crate::effect::{Effect, KeepAlive};
use crate::id::FlowId;
use crate::plane::Cx;
use crate::sip::header::{OptionTag, Require};
use crate::sip::{HeaderName, Message};
use crate::transport::stun;
use std::time::Duration;

/// Between two pings of a connection, where the registrar does not say (RFC 5626 §4.4.1).
const PINGS: (Duration, Duration) = (Duration::from_secs(95), Duration::from_secs(120));

impl Registering {
    /// Sees to the keep-alives; says what was to be done.
    pub(super) fn keep_alive(&mut self, cx: &mut Cx<'_>) -> Wanted {
        let (Some(held), false) = (&self.held, self.is_leaving) else {
            self.keep_alive = None;
            return Wanted::Nothing;
        };
        let wanted = self.keep_alive.as_mut().map(|own| own.tick(cx));
        let wanted = wanted.unwrap_or(Wanted::Nothing);
        match wanted {
            Wanted::Nothing => {}
            Wanted::Ask(id) => {
                let (target, remote) = (&held.target, held.remote);
                if let Some(hop) = self.style.hop(target.protocol, remote, &target.host) {
                    let bytes = stun::request(id);
                    let ask = KeepAlive::Datagram { hop, bytes };
                    cx.out.push(Effect::KeepAlive(ask));
                }
            }
            Wanted::Register => {
                self.last_fault = (Some(408), format!("{} answers no STUN", held.target.host));
                self.way_lost(cx);
            }
        }
        wanted
    }

    /// Sees to it that what comes next is in the queue, and nothing else: a registration lives far longer
    /// than the pause between two keep-alives.
    pub(super) fn see_to_way(&self, wanted: Wanted, queue: &mut DeadlineQueue<u32>, id: u32) {
        if let Some(own) = &self.keep_alive {
            queue.push(own.due(), id);
        }
        if wanted == Wanted::Register {
            queue.push(self.due, id);
        }
    }

    /// What the registrar wants or knows of keep-alives (RFC 5626 §6).
    pub(super) fn agree_on_keep_alives(
        &mut self,
        cx: &mut Cx<'_>,
        flow: FlowId,
        message: &Message,
    ) {
        let Some(held) = &self.held else {
            return;
        };
        let timer = message.raw(HeaderName::FlowTimer);
        let timer = timer.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
        let timer = timer.map(|seconds: u64| Duration::from_secs(seconds.clamp(10, 3_600)));
        let paced = timer.map(|most| (most * 8 / 10, most));
        let is_outbound = message
            .list::<Require>()
            .is_ok_and(|all| all.iter().any(|Require(tag)| tag.is(OptionTag::OUTBOUND)));
        let is_known = paced.is_some() || is_outbound;
        if held.target.protocol.is_reliable() {
            self.keep_alive = None;
            if is_known {
                cx.out.push(Effect::KeepAlive(KeepAlive::Pings {
                    flow,
                    between: paced.unwrap_or(PINGS),
                    is_answered: true,
                }));
            }
            return;
        }
        let between = paced.unwrap_or(keep_alive::DATAGRAMS);
        self.keep_alive = match (
            self.wanted.keep_alive.unwrap_or(is_known),
            self.keep_alive.take(),
        ) {
            (false, _) => None,
            (true, None) => Some(keep_alive::KeepAlive::new(cx, between)),
            (true, Some(own)) => Some(own.paced(between)),
        };
    }
}
