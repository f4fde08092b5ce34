//! What the called legs of a call cost, each from its answer to its end, and on whose account (SIP-406).
//!
//! A bill is opened before the leg is called, so that a call that nobody may pay for is never made. Calls
//! for help have none.

use super::Call;
use super::places::OtherWay;
use crate::config::{Price, Trunk};
use crate::event::Happened;
use crate::id::LegId;
use crate::plane::{Cx, Plane};
use crate::policy::admission::{self, Counted, Standing, Subject};
use crate::policy::spend::{self, Payer, Spent};
use crate::time::Timestamp;

/// The bills of one call. Most have none.
#[derive(Debug, Default)]
pub(super) struct Bills {
    /// On whose account it is that the call came in.
    payers: Vec<Payer>,
    open: Vec<(LegId, Bill)>,
}

/// What one leg costs.
#[derive(Clone, Debug)]
pub(crate) struct Bill {
    price: Price,
    payers: Vec<Payer>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody has answered yet.
    Unanswered,
    /// Somebody has, in another call: only minutes are paid for.
    Moved,
    /// It costs.
    Running,
}

impl Bills {
    pub(super) fn of(payers: Vec<Payer>) -> Self {
        Self {
            payers,
            open: Vec::new(),
        }
    }

    /// Those that cost now.
    pub(super) fn running(&self) -> impl Iterator<Item = (&[Payer], Price)> {
        let bills = self.open.iter().map(|(_, bill)| bill);
        let bills = bills.filter(|bill| bill.state == State::Running);
        bills.map(|bill| (&bill.payers[..], bill.price))
    }

    /// The call is over.
    pub(super) fn close(&mut self, now: Timestamp, plane: &mut Plane) {
        for (_, bill) in self.open.drain(..) {
            bill.close(now, plane);
        }
    }
}

impl Bill {
    fn close(&self, now: Timestamp, plane: &mut Plane) {
        if self.state == State::Running {
            plane.spending.end(now, &self.payers, self.price);
        }
    }
}

impl Call {
    /// Opens the bill of a leg that is about to be called, if it costs anything; or says which limit on
    /// money is reached.
    pub(super) fn open_bill(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        trunk: &Trunk,
        called: &str,
        way: Option<&OtherWay>,
    ) -> Result<(), Spent> {
        let rates = &self.config.rates;
        if rates.is_empty() || self.standing() == Standing::Help {
            return Ok(());
        }
        let Some(price) = rates.of(called).filter(|price| !price.is_free()) else {
            return Ok(());
        };
        let mut payers = match way {
            Some(way) => self.payers_of(way),
            None => self.bills.payers.clone(),
        };
        payers.extend(spend::payers(admission::claims_outbound(trunk)));
        if payers.is_empty() {
            return Ok(());
        }
        let checked = cx.plane.spending.check(cx.now.mono, &payers);
        self.tell_spent(cx, &payers);
        checked?;
        let bill = Bill {
            price,
            payers,
            state: State::Unanswered,
        };
        self.bills.open.push((leg, bill));
        Ok(())
    }

    /// On whose account a way is that a party of the call has chosen: its customer's as before, and
    /// else that party's.
    fn payers_of(&self, way: &OtherWay) -> Vec<Payer> {
        let subject = Subject {
            tenant: self.tenant.as_ref(),
            trunk: &way.by,
            route: Some(&way.route),
            called: &way.called,
            calling: &way.calling,
        };
        let of_way = admission::claims_of_way(&self.config, &subject);
        let of_party = admission::claims_inbound(&way.by);
        let own = self.bills.payers.iter();
        let kept = own.filter(|(counted, _)| matches!(counted, Counted::Tenant(_)));
        let others = spend::payers(of_way.into_iter().chain(of_party));
        kept.cloned().chain(others).collect()
    }

    /// Whoever has answered begins to cost, and whoever has left costs no more.
    pub(super) fn run_bills(&mut self, cx: &mut Cx<'_>) {
        let mut begun = Vec::new();
        let now = cx.now.mono;
        let (legs, spending) = (&self.legs, &mut cx.plane.spending);
        self.bills.open.retain_mut(|(leg, bill)| {
            let talks = legs.get(leg).is_some_and(|leg| leg.session.is_confirmed());
            match bill.state {
                State::Unanswered | State::Moved if talks => {
                    let is_new = bill.state == State::Unanswered;
                    spending.begin(now, &bill.payers, bill.price, is_new);
                    bill.state = State::Running;
                    begun.extend(bill.payers.iter().cloned());
                }
                State::Running if !talks => {
                    spending.end(now, &bill.payers, bill.price);
                    return false;
                }
                State::Unanswered | State::Moved | State::Running => {}
            }
            true
        });
        if !begun.is_empty() {
            self.tell_spent(cx, &begun);
        }
    }

    /// A leg has its end, or goes on in another call.
    pub(super) fn close_bill(&mut self, cx: &mut Cx<'_>, leg: LegId) -> Option<Bill> {
        let at = self.bills.open.iter().position(|(own, _)| *own == leg)?;
        let (_, bill) = self.bills.open.remove(at);
        bill.close(cx.now.mono, cx.plane);
        Some(Bill {
            state: State::Moved,
            ..bill
        })
    }

    /// The legs that cost now.
    pub(super) fn billed(&self) -> Vec<LegId> {
        let open = self.bills.open.iter();
        let running = open.filter(|(_, bill)| bill.state == State::Running);
        running.map(|(leg, _)| *leg).collect()
    }

    /// A leg that was called by the process before this one goes on costing.
    pub(super) fn bill_again(&mut self, leg: LegId) {
        let (Some(trunk), Some((a, _))) = (self.trunk_of(leg), self.bridge) else {
            return;
        };
        let record = &self.record;
        let attempt = record.egress.iter().find(|attempt| attempt.leg == leg);
        let called = attempt.map_or(&record.called, |attempt| &attempt.called);
        let rates = &self.config.rates;
        let price = rates.of(called).filter(|price| !price.is_free());
        let (Some(price), Some(first)) = (price, self.trunk_of(a)) else {
            return;
        };
        let of_call = self.claims_from(&first);
        let claims = of_call
            .into_iter()
            .chain(admission::claims_inbound(&first))
            .chain(admission::claims_outbound(&trunk));
        let payers = spend::payers(claims);
        if !payers.is_empty() {
            let bill = Bill {
                price,
                payers,
                // What a new call costs was paid.
                state: State::Moved,
            };
            self.bills.open.push((leg, bill));
        }
    }

    /// A leg comes from another call with its bill.
    pub(super) fn take_bill(&mut self, leg: LegId, bill: Option<&Bill>) {
        let bill = bill.map(|bill| (leg, bill.clone()));
        self.bills.open.extend(bill);
    }

    /// What its legs cost now.
    pub(crate) fn running_bills(&self) -> impl Iterator<Item = (&[Payer], Price)> {
        self.bills.running()
    }

    fn tell_spent(&self, cx: &mut Cx<'_>, payers: &[Payer]) {
        for spent in cx.plane.spending.news(cx.now.mono, Some(payers)) {
            let what = Happened::SpendReached(Box::new(spent));
            cx.out.emit(Some(self.id), None, what);
        }
    }
}
