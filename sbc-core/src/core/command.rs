//! What an operator asks of a shard.

use super::{Core, drain};
use crate::cause::Because;
use crate::effect::{Effect, Effects};
use crate::event::Happened;
use crate::id::{CallId, CommandId};
use crate::input::{Answered, Command};
use crate::sip::header::Reason;
use crate::time::Now;
use crate::trouble::Trouble;

impl Core {
    pub(super) fn command(&mut self, now: Now, id: CommandId, command: Command, out: &mut Effects) {
        let answer = match command {
            Command::Calls => {
                let calls = self.in_order().into_iter();
                let summaries = calls.filter_map(|id| Some(self.calls.get(&id)?.call.summary()));
                Answered::Calls(summaries.collect())
            }
            Command::Phases => {
                let phases = self.phases.iter().map(|(id, phase)| (*id, *phase));
                Answered::Phases(phases.collect())
            }
            Command::HangUp(call, cause) if self.calls.contains_key(&call) => {
                self.with_call(now, call, out, |call, cx| {
                    let because = match cause {
                        None => Because::of("ended by an operator"),
                        Some(cause) => {
                            Because::of(format!("ended by an operator with cause {cause}"))
                        }
                    };
                    let told: Vec<Reason> = cause
                        .map(|cause| Reason::q850(cause, None))
                        .into_iter()
                        .collect();
                    call.hang_up(cx, because.named(Trouble::EndedByOperator), &told);
                });
                Answered::Done(1)
            }
            Command::Media(call) if self.calls.contains_key(&call) => {
                return self.with_call(now, call, out, |call, cx| call.ask_for_figures(cx, id));
            }
            Command::Transfer(call, order) if self.calls.contains_key(&call) => {
                return self.with_call(now, call, out, |call, cx| {
                    call.transfer_by_operator(cx, id, &order);
                });
            }
            Command::Media(_) | Command::HangUp(..) | Command::Transfer(..) => Answered::NoSuchCall,
            Command::Silenced => Answered::Silenced(self.plane.guard.silenced(now.mono)),
            Command::Drain(is_draining) => self.drain(now, is_draining, None, out),
            Command::Close(trunk, closing) => {
                let is_news = self.plane.closed.all().get(&trunk).copied() != closing;
                self.plane.closed.set(now.mono, &trunk, closing);
                if is_news {
                    let what = Happened::TrunkClosing { trunk, closing };
                    out.emit(None, None, what);
                }
                Answered::Done(0)
            }
            Command::ResetPeer(peer) => {
                let mut count = 0;
                self.keep_up(now, out, |upkeep, cx| {
                    count = upkeep.probes.reset(cx, &peer)
                });
                Answered::Done(count)
            }
            Command::Register(trunk, is_wanted) => {
                let mut is_known = false;
                self.keep_up(now, out, |upkeep, cx| {
                    let all = &mut upkeep.registrations;
                    is_known = match is_wanted {
                        true => all.refresh(cx, &trunk),
                        false => all.take_off(cx, &trunk),
                    };
                });
                Answered::Done(usize::from(is_known))
            }
            Command::Fade => self.drain(now, true, Some(now.mono + drain::FADING), out),
            Command::HangUpAll => {
                let calls = self.in_order();
                self.hang_up(now, &calls, "the node is stopping", out)
            }
            Command::HangUpOrdinary => {
                let mut calls = self.in_order();
                calls.retain(|call| {
                    let call = self.calls.get(call).map(|entry| &entry.call);
                    call.is_some_and(|call| call.is_live() && !call.is_for_help())
                });
                self.hang_up(now, &calls, "the time that the drain gave it is over", out)
            }
            Command::HangUpUnkept => {
                let mut calls = self.in_order();
                let unkept = |own: &CallId| self.calls.get(own).filter(|own| own.kept.is_none());
                calls.retain(|call| unkept(call).is_some_and(|own| !own.call.is_recorded()));
                let left = calls.len();
                calls.retain(|call| unkept(call).is_some_and(|own| own.call.is_live()));
                self.hang_up(now, &calls, "the node is stopping", out);
                Answered::Done(left)
            }
            Command::CountLeaving => Answered::Done(self.upkeep.registrations.leaving()),
            Command::CountLive => {
                let live = self.calls.values().filter(|entry| entry.call.is_live());
                Answered::Done(live.count())
            }
            Command::CountAll => Answered::Done(self.calls.len()),
            Command::CloseAll => {
                let calls = self.in_order();
                for call in &calls {
                    self.drop_call(now, *call, out);
                }
                self.forget_dialogs(now, out);
                Answered::Done(calls.len())
            }
        };
        out.push(Effect::Reply(id, answer));
    }

    fn hang_up(&mut self, now: Now, calls: &[CallId], why: &str, out: &mut Effects) -> Answered {
        for call in calls {
            let because = Because::of(why).named(Trouble::NodeStopped);
            self.with_call(now, *call, out, |call, cx| call.hang_up(cx, because, &[]));
        }
        Answered::Done(calls.len())
    }

    /// All calls, the oldest first.
    pub(super) fn in_order(&self) -> Vec<CallId> {
        let mut calls: Vec<CallId> = self.calls.keys().copied().collect();
        calls.sort_unstable();
        calls
    }
}
