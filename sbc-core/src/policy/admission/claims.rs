//! What a call counts on: the limits of the node, its customer, its trunks, its route and its numbers.

use super::{Counted, spans};
use crate::config::{CallLimits, Config, Each, Trunk};
use crate::id::{RouteName, TenantName};
use crate::media::rate;
use crate::policy::number::ANONYMOUS;

/// What a call is, for the limits that it counts on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The customer.
    pub tenant: Option<&'a TenantName>,
    /// Trunk that it comes from.
    pub trunk: &'a Trunk,
    /// Route that takes it.
    pub route: Option<&'a RouteName>,
    /// Called number, after the transforms of the trunk.
    pub called: &'a str,
    /// Calling number, after the same.
    pub calling: &'a str,
}

/// Everything that a call counts on as a whole.
pub fn claims_of_call(config: &Config, call: &Subject<'_>) -> Vec<(Counted, CallLimits)> {
    let mut claims = Vec::with_capacity(4);
    let of_node = config.limits.new_calls;
    if !of_node.is_unlimited() {
        claims.push((Counted::Node, of_node));
    }
    if let Some(name) = call.tenant {
        let limits = config.tenants.get(name).map(|tenant| tenant.limits);
        claims.push((Counted::Tenant(name.clone()), limits.unwrap_or_default()));
    }
    claims.extend(claims_of_way(config, call));
    claims
}

/// What a call counts on because of where it goes: its route and its numbers.
pub fn claims_of_way(config: &Config, call: &Subject<'_>) -> Vec<(Counted, CallLimits)> {
    let mut claims = Vec::new();
    let route = call.route.and_then(|name| {
        let mut routes = config.routes.iter();
        routes.find(|route| route.name == *name)
    });
    if let Some(route) = route.filter(|route| !route.limits.is_unlimited()) {
        claims.push((Counted::Route(route.name.clone()), route.limits));
    }
    for limit in &config.number_limits {
        let is_like = |starts: &[String], number: &str| {
            starts.is_empty()
                || starts
                    .iter()
                    .any(|start| number.starts_with(start.as_str()))
        };
        let is_about = limit
            .tenant
            .as_ref()
            .is_none_or(|name| Some(name) == call.tenant)
            && limit
                .trunk
                .as_ref()
                .is_none_or(|name| call.trunk.is_of(name))
            && is_like(&limit.called, call.called)
            && is_like(&limit.calling, call.calling);
        // Callers who show no number are not one caller: where the limit is not about them, none of them
        // takes the place of another.
        let is_nobodys = limit.each == Each::Calling
            && limit.calling.is_empty()
            && (call.calling.is_empty() || call.calling == ANONYMOUS);
        if is_about && !is_nobodys {
            let number = match limit.each {
                Each::All => None,
                Each::Called => Some(call.called.to_owned()),
                Each::Calling => Some(call.calling.to_owned()),
            };
            claims.push((Counted::Numbers(limit.name.clone(), number), limit.limits));
        }
    }
    claims
}

/// What the leg of a call counts on at the trunk that it came from.
pub fn claims_inbound(trunk: &Trunk) -> Vec<(Counted, CallLimits)> {
    let limits = &trunk.limits;
    let name = || trunk.name.clone();
    claims_of_leg(trunk, Counted::Inbound(name()), limits.inbound)
}

/// What the leg of a call counts on at the trunk that it goes to.
pub fn claims_outbound(trunk: &Trunk) -> Vec<(Counted, CallLimits)> {
    let limits = &trunk.limits;
    let name = || trunk.name.clone();
    claims_of_leg(trunk, Counted::Outbound(name()), limits.outbound)
}

fn claims_of_leg(
    trunk: &Trunk,
    direction: Counted,
    of_direction: CallLimits,
) -> Vec<(Counted, CallLimits)> {
    let both = (Counted::Trunk(trunk.name.clone()), trunk.limits.both);
    let one = (!of_direction.is_unlimited()).then_some((direction, of_direction));
    [both].into_iter().chain(one).collect()
}

/// What the leg of a call counts on whose audio has to be transcoded, where that is limited (MED-242).
pub fn claim_to_transcode(config: &Config) -> Option<(Counted, CallLimits)> {
    let limits = CallLimits {
        calls: Some(config.limits.transcoding?),
        ..CallLimits::default()
    };
    Some((Counted::Transcoding, limits))
}

/// What a caller counts on that waits for nothing but to hear why it is refused: without a bound, callers of
/// numbers that nobody has would take the ports of calls.
pub fn claim_to_hear(trunk: &Trunk) -> (Counted, CallLimits) {
    let limits = CallLimits {
        calls: Some(MOST_ANNOUNCED),
        ..CallLimits::default()
    };
    (Counted::Announced(trunk.name.clone()), limits)
}

/// Callers of a trunk that hear at the same time why they are refused, and have no place of a call.
pub const MOST_ANNOUNCED: u32 = 32;

/// kbit/s that a leg of this trunk counts for, where any of what it counts on counts them.
pub fn kbits(trunk: &Trunk, claims: &[(Counted, CallLimits)]) -> u32 {
    let mut all = claims.iter();
    match all.any(|(_, limits)| limits.bandwidth_kbits.is_some()) {
        true => rate::kbits(&trunk.media.profile),
        false => 0,
    }
}

/// Which limits a call counts on, for whoever asks.
pub fn told(config: &Config, call: &Subject<'_>) -> Vec<String> {
    let claims = claims_of_call(config, call);
    let claims = claims.into_iter().chain(claims_inbound(call.trunk));
    let told = claims.map(|(counted, limits)| {
        let mut parts = Vec::new();
        if let Some(calls) = limits.calls {
            parts.push(match limits.reserve.unwrap_or(0) {
                0 => format!("{calls} calls"),
                kept => format!("{calls} calls, {kept} of them for help"),
            });
        }
        if let Some(rate) = limits.calls_per_second {
            parts.push(format!("{rate} new calls per second"));
        }
        for (span, limit) in spans(&limits) {
            if let Some(limit) = limit {
                parts.push(format!("{limit} new calls within {}", span.as_str()));
            }
        }
        if let Some(setups) = limits.setups {
            parts.push(format!("{setups} calls in set-up"));
        }
        if let Some(kbits) = limits.bandwidth_kbits {
            parts.push(format!("{kbits} kbit/s"));
        }
        if let Some(money) = limits.spend.per_hour {
            parts.push(format!("calls for {money} per hour"));
        }
        if let Some(money) = limits.spend.per_day {
            parts.push(format!("calls for {money} per day"));
        }
        match parts.is_empty() {
            true => format!("{counted} has no limits"),
            false => format!("{counted} may have {}", parts.join(" and ")),
        }
    });
    told.collect()
}
