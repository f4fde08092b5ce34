//! Limits on calls (SIP-1730): never exceeded, and no reason to refuse a call that there is room for.
//!
//! What is in progress is read off the wire, twice. At the least: calls that were passed on and whose parties
//! have not been told to stop; of these there are never more than a limit says. At the most: calls that were let
//! in and have no record yet; a call is refused only where there are as many of these as a limit allows, so that
//! a place that is never given back shows as soon as it is missed.

use super::{Checker, Rules, Seen, Violation, call_of};
use crate::fault::ActorIndex;
use crate::topology;
use crate::wire::Wire;
use sbc_core::config::{CallLimits, Config};
use sbc_core::effect::Effect;
use sbc_core::event::Happened;
use sbc_core::id::{CallId, ShardId, TenantName, TransactionId, TrunkName};
use sbc_core::policy::admission::Counted;
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An INVITE without any answer is given up after this, at the earliest.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// A call is remembered by limits on a minute for so long at most.
const LONG_MINUTE: Duration = Duration::from_secs(65);

pub(super) struct Limits {
    /// What the operator has written; nothing where there are no limits.
    config: Option<Config>,
    tenants: BTreeMap<usize, usize>,
    calls: BTreeMap<usize, Call>,
    /// The call of the scenario that one of the SBC's is.
    numbers: BTreeMap<CallId, usize>,
    /// Those that were let in.
    admitted: BTreeMap<CallId, Admitted>,
    /// Whose INVITE a transaction is: call, and Call-ID.
    on_their_way: BTreeMap<(ShardId, TransactionId), (usize, String)>,
}

/// A call of the scenario, as the wire shows it.
struct Call {
    asked: Timestamp,
    call_id: String,
    tenant: Option<TenantName>,
    trunk: TrunkName,
    is_passed_on: bool,
    is_answered: bool,
    is_over: bool,
    /// Whom it rings, by Call-ID.
    legs: BTreeMap<String, Leg>,
}

struct Leg {
    trunk: TrunkName,
    /// Of the last INVITE: one that comes again is no other try.
    branch: String,
    sent: Timestamp,
    is_heard: bool,
    is_answered: bool,
    is_over: bool,
}

/// A call that the SBC let in.
struct Admitted {
    at: Timestamp,
    tenant: Option<TenantName>,
    is_ended: bool,
}

impl Call {
    /// Whether it has a place beyond doubt.
    fn counts(&self) -> bool {
        self.is_passed_on && !self.is_over
    }

    /// Whether nobody has answered it, beyond doubt.
    fn is_setup(&self) -> bool {
        !self.is_answered && !self.legs.values().any(|leg| leg.is_answered)
    }
}

impl Leg {
    /// Whether it has a place beyond doubt.
    fn counts(&self, at: Timestamp) -> bool {
        !self.is_over && (self.is_heard || at.since(self.sent) < PATIENCE)
    }
}

impl Limits {
    pub(super) fn new(rules: &Rules) -> Self {
        let config = rules.setting.has_limits;
        Self {
            config: config.then(|| topology::config(1, rules.setting)),
            tenants: rules.tenants.clone(),
            calls: BTreeMap::new(),
            numbers: BTreeMap::new(),
            admitted: BTreeMap::new(),
            on_their_way: BTreeMap::new(),
        }
    }

    fn tenant(&self, number: usize) -> Option<TenantName> {
        let index = self.tenants.get(&number)?;
        Some(TenantName::new(topology::TENANTS[*index]))
    }

    fn trunk(&self, number: usize, actor: ActorIndex) -> Option<TrunkName> {
        topology::trunk_of(actor, *self.tenants.get(&number)?)
    }

    fn heard(&mut self, at: Timestamp, actor: ActorIndex, wire: &Wire) -> Option<()> {
        let number = call_of(wire)?;
        let (_, method) = wire.cseq()?;
        let call_id = wire.call_id();
        if wire.method() == Some("INVITE") && wire.tag("To").is_none() {
            let (tenant, trunk) = (self.tenant(number), self.trunk(number, actor)?);
            self.calls.entry(number).or_insert_with(|| Call {
                asked: at,
                call_id: call_id.to_owned(),
                tenant,
                trunk,
                is_passed_on: false,
                is_answered: false,
                is_over: false,
                legs: BTreeMap::new(),
            });
            return None;
        }
        let call = self.calls.get_mut(&number)?;
        match (wire.status(), method) {
            (None, "BYE" | "CANCEL") if call.call_id == call_id => call.is_over = true,
            (None, "BYE") => call.legs.get_mut(call_id)?.is_over = true,
            // The peer does not know the dialog, or has not said anything: no BYE need follow.
            (Some(481 | 408), _) if call.call_id == call_id => call.is_over = true,
            (Some(status), "INVITE") => {
                let leg = call.legs.get_mut(call_id)?;
                leg.is_heard = true;
                leg.is_answered |= (200..300).contains(&status);
                let has_failed = status >= 300 && !leg.is_answered;
                leg.is_over |= has_failed || matches!(status, 481 | 408);
            }
            (Some(481 | 408), _) => call.legs.get_mut(call_id)?.is_over = true,
            _ => {}
        }
        None
    }

    fn sent(
        &mut self,
        at: Timestamp,
        actor: Option<ActorIndex>,
        wire: &Wire,
        transaction: Option<(ShardId, TransactionId)>,
    ) -> Option<Vec<String>> {
        let number = call_of(wire)?;
        let (_, method) = wire.cseq()?;
        let call_id = wire.call_id().to_owned();
        if wire.method() == Some("INVITE") && wire.tag("To").is_none() {
            let trunk = self.trunk(number, actor?)?;
            let at_once = self.config.as_ref()?.routes.iter().any(|own| own.at_once);
            let call = self.calls.get_mut(&number)?;
            call.is_passed_on = true;
            self.on_their_way
                .extend(transaction.map(|id| (id, (number, call_id.clone()))));
            // One after the other: whoever was tried before is not any more.
            let others = call.legs.iter_mut().filter(|(other, leg)| {
                !at_once && **other != call_id && leg.trunk != trunk && !leg.is_answered
            });
            others.for_each(|(_, leg)| leg.is_over = true);
            let leg = Leg {
                trunk,
                branch: wire.branch().to_owned(),
                sent: at,
                is_heard: false,
                is_answered: false,
                is_over: false,
            };
            let known = call.legs.get(&call_id);
            let is_new = known.is_none_or(|known| known.branch != leg.branch && !known.is_answered);
            if is_new {
                call.legs.insert(call_id, leg);
            }
            return is_new.then(|| self.exceeded(at));
        }
        let call = self.calls.get_mut(&number)?;
        let is_callers = call.call_id == call_id;
        match (wire.status(), method) {
            (Some(200..300), "INVITE") if is_callers => call.is_answered = true,
            (Some(300..), "INVITE") if is_callers && !call.is_answered => call.is_over = true,
            (None, "BYE") if is_callers => call.is_over = true,
            (None, "BYE" | "CANCEL") => call.legs.get_mut(&call_id)?.is_over = true,
            _ => {}
        }
        if call.is_over && !call.is_answered {
            call.legs.values_mut().for_each(|leg| leg.is_over = true);
        }
        None
    }

    /// What there is more of than there may be.
    fn exceeded(&self, at: Timestamp) -> Vec<String> {
        let Some(config) = &self.config else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut most = |what: String, count: usize, limit: Option<u32>| {
            if let Some(limit) = limit.filter(|limit| count > *limit as usize) {
                found.push(format!("{what}: {count} of {limit}"));
            }
        };
        let counting = || self.calls.values().filter(|call| call.counts());
        most(
            "the node".to_owned(),
            counting().count(),
            Some(config.limits.calls),
        );
        for (name, tenant) in &config.tenants {
            let of = || counting().filter(|call| call.tenant.as_ref() == Some(name));
            let setups = of().filter(|call| call.is_setup()).count();
            most(format!("tenant {name}"), of().count(), tenant.limits.calls);
            most(
                format!("tenant {name}, set-ups"),
                setups,
                tenant.limits.setups,
            );
        }
        for (name, trunk) in &config.trunks {
            let (mut calls, mut setups) = ([0, 0], [0, 0]);
            for call in counting() {
                let legs = call.legs.values();
                let legs = legs.filter(|leg| leg.trunk == *name && leg.counts(at));
                let here = [usize::from(call.trunk == *name), legs.count()];
                for (direction, count) in here.into_iter().enumerate() {
                    calls[direction] += count;
                    setups[direction] += count * usize::from(call.is_setup());
                }
            }
            let limits = &trunk.limits;
            let sum = |of: [usize; 2]| of[0] + of[1];
            for (way, calls, setups, limits) in [
                ("in", calls[0], setups[0], limits.inbound),
                ("out", calls[1], setups[1], limits.outbound),
                ("both ways", sum(calls), sum(setups), limits.both),
            ] {
                most(format!("trunk {name} {way}"), calls, limits.calls);
                most(
                    format!("trunk {name} {way}, set-ups"),
                    setups,
                    limits.setups,
                );
            }
        }
        for (what, limits, times) in self.arrivals(config) {
            found.extend(too_fast(&what, &limits, &times));
        }
        found
    }

    /// When calls came that were passed on, by what is limited in how fast they may come.
    fn arrivals(&self, config: &Config) -> Vec<(String, CallLimits, Vec<Timestamp>)> {
        let times = |of: &dyn Fn(&Call) -> bool| {
            let passed = self.calls.values();
            let passed = passed.filter(|call| call.is_passed_on && of(call));
            let mut times: Vec<Timestamp> = passed.map(|call| call.asked).collect();
            times.sort();
            times
        };
        let node = (
            "the node".to_owned(),
            config.limits.new_calls,
            times(&|_| true),
        );
        let tenants = config.tenants.iter().map(|(name, tenant)| {
            let own = times(&|call| call.tenant.as_ref() == Some(name));
            (format!("tenant {name}"), tenant.limits, own)
        });
        let trunks = config.trunks.iter().map(|(name, trunk)| {
            let own = times(&|call| call.trunk == *name);
            (format!("trunk {name} in"), trunk.limits.inbound, own)
        });
        std::iter::once(node).chain(tenants).chain(trunks).collect()
    }

    /// Why a call was refused without need, if it was.
    fn refused(
        &self,
        at: Timestamp,
        refused: CallId,
        counted: &Counted,
        key: &str,
    ) -> Option<String> {
        let config = self.config.as_ref()?;
        let limits = match counted {
            Counted::Node => config.limits.new_calls,
            Counted::Tenant(name) => config.tenants.get(name)?.limits,
            Counted::Trunk(name) => config.trunks.get(name)?.limits.both,
            Counted::Inbound(name) => config.trunks.get(name)?.limits.inbound,
            Counted::Outbound(name) => config.trunks.get(name)?.limits.outbound,
            _ => return None,
        };
        let others = || {
            let others = self.admitted.iter().filter(|(id, _)| **id != refused);
            let others = others.map(|(_, own)| own);
            others.filter(|own| match counted {
                Counted::Tenant(name) => own.tenant.as_ref() == Some(name),
                _ => true,
            })
        };
        let within = |time: Duration| others().filter(|own| at.since(own.at) <= time).count();
        let (count, limit) = match key {
            "calls" => (others().filter(|own| !own.is_ended).count(), limits.calls),
            "setup" => (others().filter(|own| !own.is_ended).count(), limits.setups),
            "calls_per_minute" => (within(LONG_MINUTE), limits.calls_per_minute),
            "cps" => {
                let burst = limits.burst.or(limits.calls_per_second);
                let rate = limits.calls_per_second.unwrap_or(1).max(1);
                let time = Duration::from_secs(1) * burst.unwrap_or(1) / rate;
                (within(time), limits.calls_per_second.map(|_| 1))
            }
            _ => return Some(format!("{counted}: nobody has limited {key}")),
        };
        let is_needless = limit.is_none_or(|limit| count < limit as usize);
        is_needless.then(|| format!("{counted}: refused by {key} beside {count} others"))
    }

    fn flow_lost(&mut self) {
        // What was not answered has failed by that, or may have.
        for call in self.calls.values_mut().filter(|call| !call.is_answered) {
            call.is_over |= call.is_passed_on;
            call.legs.values_mut().for_each(|leg| leg.is_over = true);
        }
    }
}

/// What came faster than it may, by times in order.
fn too_fast(what: &str, limits: &CallLimits, times: &[Timestamp]) -> Option<String> {
    let minute = Duration::from_secs(60);
    for (from, first) in times.iter().enumerate() {
        for (to, last) in times.iter().enumerate().skip(from) {
            let (count, time) = (to - from + 1, last.since(*first));
            let limit = limits.calls_per_minute.filter(|_| time < minute);
            if limit.is_some_and(|limit| count > limit as usize) {
                return Some(format!("{what}: {count} calls within {time:?}"));
            }
            if let Some(rate) = limits.calls_per_second {
                let burst = limits.burst.unwrap_or(rate) as usize;
                let spacing = Duration::from_secs(1) / rate.max(1);
                let beyond = count.saturating_sub(burst) as u32;
                if spacing * beyond > time {
                    return Some(format!("{what}: {count} calls within {time:?}"));
                }
            }
        }
    }
    None
}

impl Checker for Limits {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        if self.config.is_none() {
            return;
        }
        let found = match seen {
            Seen::Heard {
                actor,
                wire: Some(wire),
                is_garbage: false,
                ..
            } => {
                self.heard(at, *actor, wire);
                None
            }
            Seen::Sent {
                actor,
                wire: Some(wire),
                transaction,
                call,
                ..
            } => {
                let number = call.and_then(|(id, _)| Some((id, call_of(wire)?)));
                self.numbers.extend(number);
                self.sent(at, *actor, wire, *transaction)
            }
            Seen::FlowLost { .. } => {
                self.flow_lost();
                None
            }
            Seen::SendFailed { transaction } => {
                let failed = self.on_their_way.get(transaction);
                if let Some((number, call_id)) = failed
                    && let Some(call) = self.calls.get_mut(number)
                    && let Some(leg) = call.legs.get_mut(call_id)
                {
                    leg.is_over |= !leg.is_answered;
                }
                None
            }
            _ => None,
        };
        let rule = "limit-exceeded";
        let found: BTreeSet<String> = found.into_iter().flatten().collect();
        out.extend(found.into_iter().map(|text| Violation { at, rule, text }));
    }

    fn effect(&mut self, at: Timestamp, _: ShardId, effect: &Effect, out: &mut Vec<Violation>) {
        let Effect::Emit(event) = effect else {
            return;
        };
        let Some(id) = event.call.filter(|_| self.config.is_some()) else {
            return;
        };
        match &event.what {
            Happened::Admitted { tenant, .. } => {
                let admitted = Admitted {
                    at,
                    tenant: tenant.clone(),
                    is_ended: false,
                };
                self.admitted.insert(id, admitted);
            }
            Happened::Ended(_) => {
                if let Some(admitted) = self.admitted.get_mut(&id) {
                    admitted.is_ended = true;
                }
                let number = self.numbers.get(&id);
                if let Some(call) = number.and_then(|number| self.calls.get_mut(number)) {
                    call.is_over = true;
                    call.legs.values_mut().for_each(|leg| leg.is_over = true);
                }
            }
            Happened::LimitReached { full, .. } => {
                let text = self.refused(at, id, full.counted(), full.key());
                let rule = "limit-needless";
                out.extend(text.map(|text| Violation { at, rule, text }));
            }
            _ => {}
        }
    }
}
