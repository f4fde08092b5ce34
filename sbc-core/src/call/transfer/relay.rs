//! REFER passed on: the other party carries the transfer out itself (SIP-810).
//!
//! ```text
//! X ──REFER──► us ──REFER──► Y        answered as Y answers
//! X ◄──NOTIFY── us ◄──NOTIFY── Y      two subscriptions, each of its own leg
//! ```
//!
//! The target is written as Y would call it through us, and a dialog of another call of X by a name
//! that only Y's trunk may use. Whom Y then calls is routed as any call of its trunk.

use super::TOO_OFTEN;
use crate::call::Call;
use crate::call::crossing::{Destined, PATIENCE};
use crate::cause::Because;
use crate::config::{Preset, TransformScope};
use crate::event::Happened;
use crate::id::{LegId, ShardId, TransactionId};
use crate::letter::{Content, Letter, Naming};
use crate::mint::shard_of;
use crate::plane::Cx;
use crate::policy::transfer::{Refused, Wish};
use crate::policy::{number, relayed_auth};
use crate::record::{TransferKind, TransferOutcome, TransferRecord};
use crate::session::{Conveyed, SessionEvent};
use crate::sip::header::{MaxForwards, Replaces};
use crate::sip::{Message, Method, Status};
use crate::time::Timestamp;
use bytes::Bytes;
use std::collections::VecDeque;

/// A REFER of one party that waits for the name of a dialog.
#[derive(Debug)]
pub(in crate::call) struct Nameless {
    from: LegId,
    id: TransactionId,
    wish: Wish,
    naming: Naming,
    homes: VecDeque<ShardId>,
    /// When it came here.
    came: Timestamp,
}

/// A REFER that the other party has accepted.
#[derive(Debug)]
pub(in crate::call) struct Relayed {
    from: LegId,
    to: LegId,
    /// Position of its record.
    record: usize,
}

impl Call {
    /// A REFER of a leg that the other one is to get.
    pub(in crate::call) fn relay_refer(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        id: TransactionId,
        request: &Message,
    ) {
        let (wish, to) = match self.may_relay(leg, request) {
            Ok(may) => may,
            Err(refused) => return self.not_relayed(cx, leg, id, refused),
        };
        if self.carries_out_itself(leg, to, id) {
            return;
        }
        let Some(replaces) = wish.replaces.clone() else {
            return self.send_refer(cx, leg, id, cx.now.mono, &wish, None);
        };
        let trunk_of = |leg: LegId| {
            let leg = self.legs.get(&leg);
            leg.map(|leg| leg.session.style().trunk.name.clone())
        };
        let (Some(trunk), Some(user)) = (trunk_of(leg), trunk_of(to)) else {
            return;
        };
        let homes = homes(cx, &replaces);
        let naming = Naming {
            from: cx.plane.shard,
            call: self.id,
            refer: id,
            replaces,
            trunk,
            tenant: self.tenant.clone(),
            user,
        };
        self.nameless.push(Nameless {
            from: leg,
            id,
            wish,
            naming,
            homes,
            came: cx.now.mono,
        });
        self.wait_for_crossings();
        self.ask_for_name(cx, id);
    }

    /// A party that takes no REFER transfers nobody: then we do it. Says whether that is so.
    fn carries_out_itself(&mut self, leg: LegId, to: LegId, id: TransactionId) -> bool {
        let other = self.legs.get(&to);
        if other.is_none_or(|other| other.session.takes(&Method::Refer)) {
            return false;
        }
        let asked = self.leg(leg).and_then(|own| own.session.take_kept(id));
        let Some(asked) = asked else {
            return false;
        };
        let event = SessionEvent::Refer(Box::new(asked));
        self.events.push_back((leg, event));
        true
    }

    /// Asks the next shard that may have the dialog. Where none has, it may be one that only the
    /// target knows, and those are its own identifiers.
    fn ask_for_name(&mut self, cx: &mut Cx<'_>, id: TransactionId) {
        let Some(at) = self.nameless.iter().position(|own| own.id == id) else {
            return;
        };
        if let Some(own) = self.nameless.get_mut(at)
            && let Some(home) = own.homes.pop_front()
        {
            let letter = Letter::new(Content::Name(own.naming.clone()));
            return cx.plane.letters.push_back((home, letter));
        }
        let Some(own) = self.nameless.remove(at) else {
            return;
        };
        let by = self.legs.get(&own.from);
        let may = by.is_some_and(|by| by.session.style().trunk.transfers.names_unknown);
        match may {
            true => {
                let replaces = own.wish.replaces.clone();
                self.send_refer(cx, own.from, id, own.came, &own.wish, replaces.as_ref());
            }
            false => {
                let because = Because::of("the dialog that should be replaced is not known");
                let refused = Refused {
                    status: Status::DECLINE,
                    because,
                };
                self.not_relayed(cx, own.from, id, refused);
            }
        }
    }

    /// A shard has named the dialog, or does not have it.
    pub(crate) fn named(&mut self, cx: &mut Cx<'_>, id: TransactionId, name: Option<&Replaces>) {
        let Some(name) = name else {
            self.ask_for_name(cx, id);
            return self.settle(cx);
        };
        let at = self.nameless.iter().position(|own| own.id == id);
        if let Some(own) = at.and_then(|at| self.nameless.remove(at)) {
            self.send_refer(cx, own.from, id, own.came, &own.wish, Some(name));
        }
        self.settle(cx);
    }

    /// When the first REFER has waited too long for the name of a dialog.
    pub(in crate::call) fn nameless_due(&self) -> Option<Timestamp> {
        self.nameless.iter().map(|own| own.came + PATIENCE).min()
    }

    /// Nobody waits any more for names that are late.
    pub(in crate::call) fn forget_nameless(
        &mut self,
        now: Timestamp,
    ) -> Vec<(LegId, TransactionId)> {
        let late = self.nameless.extract(|own| own.came + PATIENCE <= now);
        late.into_iter().map(|own| (own.from, own.id)).collect()
    }

    fn may_relay(&self, leg: LegId, request: &Message) -> Result<(Wish, LegId), Refused> {
        let declined = |why: &str| Refused {
            status: Status::DECLINE,
            because: Because::of(why),
        };
        let to = self
            .other(leg)
            .ok_or(declined("whoever asks has no part in the call any more"))?;
        let by = self.legs.get(&leg);
        if by.is_some_and(|by| self.has_moved_enough(by)) {
            return Err(declined(TOO_OFTEN));
        }
        let preset = by.map_or(Preset::Carrier, |by| by.session.style().trunk.preset);
        Ok((Wish::of(request, preset)?, to))
    }

    fn not_relayed(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        id: TransactionId,
        Refused { status, because }: Refused,
    ) {
        self.answer(cx, leg, id, status);
        let Some(by) = self.legs.get(&leg) else {
            return;
        };
        let what = Happened::Transfer {
            trunk: by.session.style().trunk.name.clone(),
            kind: TransferKind::Relayed,
            outcome: TransferOutcome::Refused,
            status: Some(status),
            because,
        };
        cx.out.emit(Some(self.id), Some(leg), what);
    }

    fn send_refer(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        id: TransactionId,
        came: Timestamp,
        wish: &Wish,
        replaces: Option<&Replaces>,
    ) {
        let (Some(x), Some(to)) = (self.legs.get(&leg), self.other(leg)) else {
            return self.answer(cx, leg, id, Status::DECLINE);
        };
        let Some(y) = self.legs.get(&to) else {
            return self.answer(cx, leg, id, Status::DECLINE);
        };
        let (by, user) = (&x.session.style().trunk, &y.session.style().trunk);
        let refer = x.session.kept(id);
        let declines = refer.is_some_and(Wish::declines_notify);
        let Some(hops) = refer.and_then(MaxForwards::onward) else {
            return self.answer(cx, leg, id, Status::TOO_MANY_HOPS);
        };
        let inside = TransformScope::In(by.name.clone());
        let outside = TransformScope::Out(user.name.clone());
        let dialled = wish.number();
        let called = number::transform_called(&self.config, &inside, &dialled).value;
        let called = number::transform_called(&self.config, &outside, &called).value;
        let lines = y.session.own_uri(&called).map(|uri| {
            let mut lines = wish.relayed(by, user, &uri, replaces);
            if declines {
                lines.extend(Wish::unobserved());
            }
            lines
                .extend(refer.map_or_else(Vec::new, |refer| relayed_auth::proofs(refer, by, user)));
            lines
        });
        match lines {
            Some(lines) => {
                let what = Destined {
                    what: Conveyed::Refer(lines, wish.parts(by, user)),
                    hops,
                    target: Some(called),
                };
                self.convey(cx, to, Some((leg, id)), came, what);
            }
            None => self.answer(cx, leg, id, Status::DECLINE),
        }
    }

    /// The other party has accepted a REFER.
    pub(in crate::call) fn relayed(
        &mut self,
        cx: &mut Cx<'_>,
        from: LegId,
        to: LegId,
        target: String,
    ) {
        let Some(by) = self.legs.get(&from) else {
            return;
        };
        let trunk = by.session.style().trunk.name.clone();
        let because = format!("leg {} was asked to call {target}", to.0);
        let at_ms = self.elapsed_ms(cx.now);
        self.record.transfers.push(TransferRecord {
            at_ms,
            kind: TransferKind::Relayed,
            by: from,
            trunk,
            party: to,
            target,
            teams_call: None,
            leg: None,
            outcome: TransferOutcome::Unknown,
            status: None,
            because: Because::of(because),
        });
        self.relayed.retain(|own| own.to != to);
        self.relayed.push(Relayed {
            from,
            to,
            record: self.record.transfers.len() - 1,
        });
    }

    /// The party that carries a transfer out tells how it fares: who asked for it hears it.
    pub(in crate::call) fn notified(
        &mut self,
        cx: &mut Cx<'_>,
        to: LegId,
        status: Option<Status>,
        ended: Option<&Bytes>,
    ) {
        let Some(at) = self.relayed.iter().position(|own| own.to == to) else {
            return;
        };
        let Some((from, record)) = self.relayed.get(at).map(|own| (own.from, own.record)) else {
            return;
        };
        let outcome = match status {
            Some(status) if status.is_success() => Some(TransferOutcome::Completed),
            Some(status) if status.is_final() => Some(TransferOutcome::Failed),
            Some(_) | None => None,
        };
        if let (Some(outcome), Some(record)) = (outcome, self.record.transfers.get_mut(record)) {
            record.outcome = outcome;
            record.status = status.map(Status::code);
        }
        // What it says is a word, or it is not repeated.
        let reason = ended.map(|reason| match reason.as_ref() {
            b"timeout" => "timeout",
            b"rejected" => "rejected",
            b"giveup" => "giveup",
            b"deactivated" => "deactivated",
            b"probation" => "probation",
            _ => "noresource",
        });
        if let Some(x) = self.leg(from) {
            x.session.refer_relayed(cx, status, reason);
        }
        if ended.is_none() {
            return;
        }
        self.relayed.remove(at);
        if let Some(record) = self.record.transfers.get(record) {
            let what = Happened::Transfer {
                trunk: record.trunk.clone(),
                kind: record.kind,
                outcome: record.outcome,
                status,
                because: record.because.clone(),
            };
            cx.out.emit(Some(self.id), Some(from), what);
        }
    }

    /// Lets the shard's other calls be named.
    pub(crate) fn may_name(&self, leg: LegId, naming: &Naming, replaces: &Replaces) -> bool {
        self.legs.get(&leg).is_some_and(|own| {
            own.session.standing(replaces).is_some()
                && own.session.style().trunk.name == naming.trunk
                && self.tenant == naming.tenant
        })
    }
}

/// Shards that may have a dialog: either tag may be ours.
pub(super) fn homes(cx: &Cx<'_>, replaces: &Replaces) -> VecDeque<ShardId> {
    let mut homes: Vec<ShardId> = [&replaces.to_tag, &replaces.from_tag]
        .into_iter()
        .filter_map(|tag| match cx.plane.shards {
            1 => Some(cx.plane.shard),
            _ => shard_of(tag.as_bytes()),
        })
        .filter(|home| home.0 < cx.plane.shards)
        .collect();
    homes.dedup();
    homes.into()
}
