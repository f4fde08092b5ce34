//! When a call is over: for us as soon as nobody is left who could be heard, and as a whole when everything that was
//! to arrive has arrived or was tried for long enough (SIP-126).

use super::{Call, Operation, record};
use crate::plane::{Cx, Plane};
use crate::record::Record;
use crate::time::Now;
use std::sync::Arc;

impl Call {
    /// Whether nothing is left to do; the record is then final.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended() && self.legs.values().all(|leg| leg.session.is_over())
    }

    /// Whether it is over for us, and what is left is for the sake of peers that cannot be reached.
    pub(crate) fn has_parted(&self) -> bool {
        self.has_ended() && self.legs.values().all(|leg| leg.session.has_parted())
    }

    fn has_ended(&self) -> bool {
        !self.is_live() && self.media.is_gone()
    }

    /// Whether it is set up or talks: not if it has ended and only a peer's last answer is awaited.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.operation, Some(Operation::Teardown(_)))
    }

    /// The record of a call that is over, unless it was written when it parted. What it took of limits is given
    /// back.
    pub(crate) fn into_record(mut self, now: Now, plane: &mut Plane) -> Option<Arc<Record>> {
        if self.is_recorded {
            return None;
        }
        self.close(now, plane);
        Some(self.record.now())
    }

    /// The record of a call that has parted, once. What it took of limits is given back.
    pub(crate) fn parts(&mut self, now: Now, plane: &mut Plane) -> Option<Arc<Record>> {
        if self.is_recorded || !self.has_parted() {
            return None;
        }
        self.close(now, plane);
        self.is_recorded = true;
        Some(self.record.now())
    }

    /// Tells its record so far to somebody who keeps a journal from now on.
    pub(crate) fn tell_known(&mut self, cx: &mut Cx<'_>) {
        record::tell_known(self, cx);
    }

    /// Whether its record is written.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    fn close(&mut self, now: Now, plane: &mut Plane) {
        self.bills.close(now.mono, plane);
        self.places.leave(plane);
        self.talk_ends(now, plane);
        if let Some(lap) = self.lap.take() {
            plane.circles.leave(now.mono, lap);
        }
        let place = self.record.place.as_ref();
        let elin = place.and_then(|place| place.elin.as_ref());
        if let (Some(elin), Some(tenant)) = (elin, &self.tenant) {
            let (elins, user) = (&plane.elins, &self.record.calling);
            elins.give_back(now.mono, tenant, elin, user);
        }
        if self.record.end.is_none() {
            record::ended(self, now);
        }
        record::close(self);
    }
}
