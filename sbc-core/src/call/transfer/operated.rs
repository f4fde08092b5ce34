//! A transfer that no party has asked for but an operator: carried out as one that is asked for with REFER, without
//! anybody to be told by NOTIFY. Who is replaced is sent away, as it does not know that it should leave.

use super::super::Call;
use super::MOST_TRIES;
use super::begun::Begun;
use crate::cause::{Because, Decision};
use crate::effect::Effect;
use crate::id::{CommandId, LegId};
use crate::input::{Answered, Stays, TransferOrder};
use crate::plane::Cx;
use crate::policy::circle::Reach;
use crate::policy::transfer::{Plan, Refused, Wish, without_disabled};
use crate::record::TransferOutcome;
use crate::sip::Status;
use crate::sip::header::{MaxBreadth, MaxForwards};
use std::sync::Arc;

impl Call {
    /// Begins it, or says why not. How it ends is answered once it has.
    pub(crate) fn transfer_by_operator(
        &mut self,
        cx: &mut Cx<'_>,
        command: CommandId,
        order: &TransferOrder,
    ) {
        match self.order(cx, command, order) {
            Ok(begun) => {
                self.tellings_begin_anew();
                self.operation = begun.begin(self, cx, None);
                self.settle(cx);
            }
            Err(refused) => {
                let answer = Answered::Transferred {
                    outcome: TransferOutcome::Refused,
                    status: Some(refused.status),
                    because: refused.because,
                };
                cx.out.push(Effect::Reply(command, answer));
            }
        }
    }

    fn order(
        &self,
        cx: &mut Cx<'_>,
        command: CommandId,
        order: &TransferOrder,
    ) -> Result<Begun, Refused> {
        let Some((caller, called)) = self.bridge else {
            return Err(refused("nobody talks to anybody in this call yet"));
        };
        let (transferee, transferor) = match order.stays {
            Stays::Caller => (caller, called),
            Stays::Called => (called, caller),
        };
        let is_there = |leg: LegId| {
            let leg = self.legs.get(&leg);
            leg.is_some_and(|leg| leg.session.is_confirmed())
        };
        if !is_there(transferee) || !is_there(transferor) {
            return Err(refused("the call is not answered, or is ending"));
        }
        if self.operation.is_some() {
            return Err(refused(
                "something else is under way in the call: ask again",
            ));
        }
        if self.is_for_help() || self.is_held() {
            return Err(refused(
                "it is a call for help, which nobody but its parties moves",
            ));
        }
        if self.record.transfers.len() >= MOST_TRIES {
            return Err(refused("it has been transferred too often"));
        }
        let wish = Wish::of_number(&order.number)?;
        let mut plan = self.way_to(cx, (transferor, transferee), &wish, order)?;
        plan.because
            .0
            .insert(0, "an operator asked for it".to_owned());
        Ok(Begun {
            transferor,
            transferee,
            observer: None,
            command: Some(command),
            wish,
            plan,
            reach: Reach {
                hops: MaxForwards::DEFAULT,
                breadth: MaxBreadth::MOST,
                sign: None,
            },
        })
    }

    /// Where the number is: by the trunk that is named; else as if whoever stays had called it, else as if whoever is
    /// replaced had.
    fn way_to(
        &self,
        cx: &mut Cx<'_>,
        (transferor, transferee): (LegId, LegId),
        wish: &Wish,
        order: &TransferOrder,
    ) -> Result<Decision<Plan>, Refused> {
        let tenant = self.tenant.as_ref();
        let calling = self.party(transferee).selected.number.clone();
        let mut found = Err(refused("none of its parties is there"));
        for leg in [transferee, transferor] {
            let Some(by) = self.trunk_of(leg) else {
                continue;
            };
            if wish.calls_for_help(&self.config, &by, tenant, &calling) {
                return Err(refused("it calls for help, which is for callers alone"));
            }
            if found.is_err() {
                found = wish.routed(
                    &self.config,
                    &by,
                    tenant,
                    &calling,
                    cx.now.wall,
                    &mut cx.plane.mint,
                );
            }
        }
        let Some(name) = &order.trunk else {
            return found.and_then(|plan| without_disabled(plan, &cx.plane.closed));
        };
        let trunk = self.config.trunks.get(name).ok_or_else(|| {
            refused(format!(
                "there is no trunk \"{name}\" in the configuration of the call"
            ))
        })?;
        let owner = trunk.tenant.as_ref();
        if owner.is_some() && tenant.is_some() && owner != tenant {
            return Err(refused(format!(
                "trunk \"{name}\" belongs to another customer"
            )));
        }
        if trunk.is_out_of_service {
            return Err(refused(format!("trunk \"{name}\" is out of service")));
        }
        let mut plan = wish.unplanned();
        plan.value.trunks.push(Arc::clone(trunk));
        plan.because = Because::of(format!("trunk \"{name}\" is named"));
        without_disabled(plan, &cx.plane.closed)
    }
}

fn refused(why: impl Into<String>) -> Refused {
    Refused {
        status: Status::DECLINE,
        because: Because::of(why),
    }
}
