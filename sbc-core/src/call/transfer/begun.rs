//! A transfer that is allowed: its record is opened, and its target asked for.

use super::super::{Call, Operation, Timer};
use super::early::Early;
use super::{Step, Transfer};
use crate::call::setup::redirect::Redirects;
use crate::cause::Decision;
use crate::id::{CommandId, LegId};
use crate::plane::Cx;
use crate::policy::circle::Reach;
use crate::policy::secure;
use crate::policy::transfer::{Plan, Wish};
use crate::record::{TransferKind, TransferOutcome, TransferRecord};
use crate::sip::Status;
use crate::sip::header::MaxForwards;
use std::collections::VecDeque;

/// A transfer that may begin.
pub(super) struct Begun {
    pub(super) transferor: LegId,
    pub(super) transferee: LegId,
    pub(super) observer: Option<LegId>,
    pub(super) command: Option<CommandId>,
    pub(super) wish: Wish,
    pub(super) plan: Decision<Plan>,
    /// How far the request that asks may go.
    pub(super) reach: Reach,
}

impl Begun {
    /// Writes it down, and asks for the target. What Teams calls the call goes along where it has said so.
    pub(super) fn begin(
        self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        teams_call: Option<String>,
    ) -> Option<Operation> {
        let Self {
            transferor,
            transferee,
            wish,
            plan,
            reach,
            ..
        } = self;
        let at_ms = call.elapsed_ms(cx.now);
        let trunk = call.trunk_of(transferor)?.name.clone();
        call.record.transfers.push(TransferRecord {
            at_ms,
            kind: TransferKind::Blind,
            by: transferor,
            trunk,
            party: transferee,
            target: plan.value.called.number.clone(),
            teams_call,
            leg: None,
            outcome: TransferOutcome::Abandoned,
            status: None,
            because: plan.because,
        });
        if plan.value.is_emergency {
            call.becomes_help(cx, call.side(transferee));
            call.tells_of_help(cx, transferor, &plan.value.called);
        }
        let limit = cx.now.mono + call.longest_setup();
        call.timers.set(Timer::Transfer as usize, limit);
        let mut transfer = Transfer {
            transferor,
            observer: self.observer,
            command: self.command,
            transferee,
            attempts: VecDeque::new(),
            current: None,
            redirects: Redirects::new(
                call.tenant.clone(),
                call.party(transferee).selected.number.clone(),
                &plan.value.called,
                secure::is_sips(wish.target.uri()),
            ),
            wish,
            plan: plan.value,
            reach: Reach {
                hops: MaxForwards(reach.hops.0.saturating_sub(1)),
                ..reach
            },
            record: call.record.transfers.len() - 1,
            step: Step::Waiting,
            failure: Status::TEMPORARILY_UNAVAILABLE,
            homes: VecDeque::new(),
            tries: 0,
            replays: false,
            has_rung: false,
            early: Early::of(transferee),
            pickup: None,
        };
        transfer.attempts = transfer.planned(call);
        Box::new(transfer).fetch(call, cx)
    }
}
