//! Where a call goes: the customer it belongs to, the route that matches, the plan of attempts.

use crate::cause::{Because, CauseCode, Decision};
use crate::config::{Config, PresenceAction, Preset, Route, RouteTarget, Tenant, Trunk};
use crate::id::{RouteName, TenantName, TrunkName};
use crate::mint::Mint;
use crate::policy::ingress::Ingress;
use crate::policy::presence::{Callee, Standing};
use crate::policy::{Refusal, dialled};
use crate::sip::Status;
use crate::time::UnixTime;
use crate::trouble::Trouble;
use crate::trunk::Closing;
use regex::Regex;
use std::fmt;
use std::sync::Arc;

/// What routing produced: whose call it is and which trunks to try, in this order.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The customer.
    pub tenant: TenantName,
    /// The route that matched.
    pub route: RouteName,
    /// Trunks to try, at least one. All are shared or belong to the customer.
    pub attempts: Vec<Arc<Trunk>>,
}

/// Numbers of a call that routes ask for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Called number, after the transforms of the trunk it came from.
    pub called: &'a str,
    /// Calling number, after the same.
    pub calling: &'a str,
    /// Number that forwarded the call last.
    pub diverting: Option<&'a str>,
    /// Routing number of a called number that was ported.
    pub routing: Option<&'a str>,
    /// What time it is, which schedules ask.
    pub wall: UnixTime,
    /// Tells of the user whose number is called, once a route wants to know.
    pub callee: &'a dyn Fn() -> Option<Callee>,
    /// Tells how an operator keeps new calls away from a trunk.
    pub closing: &'a dyn Fn(&Trunk) -> Option<Closing>,
}

impl<'a> Asked<'a> {
    /// A call that nobody forwarded, to a number that was not ported.
    pub fn plainly(called: &'a str, calling: &'a str, wall: UnixTime) -> Self {
        Self {
            called,
            calling,
            diverting: None,
            routing: None,
            wall,
            callee: &|| None,
            closing: &|_| None,
        }
    }
}

/// As [`plan_for`], of a call that nobody forwarded.
pub fn plan(
    config: &Config,
    ingress: &Ingress,
    (called, calling): (&str, &str),
    wall: UnixTime,
    mint: &mut Mint,
) -> Result<Decision<Plan>, Refusal> {
    let asked = Asked::plainly(called, calling, wall);
    plan_for(config, ingress, asked, mint, false)
}

/// Makes the plan of a call, both numbers after the transforms of the trunk it came from.
///
/// A call from a shared trunk belongs to the owner of the called number. A route is taken when all
/// its conditions hold and at least one of its trunks may carry calls of the customer; trunks of
/// other customers are never tried, whatever a route says. With `explains` the reasons name every route
/// that was passed by.
pub fn plan_for(
    config: &Config,
    ingress: &Ingress,
    asked: Asked<'_>,
    mint: &mut Mint,
    explains: bool,
) -> Result<Decision<Plan>, Refusal> {
    let called = asked.called;
    let owner = owner(config, ingress.tenant.as_ref(), called);
    let (tenant, mut because) = match (&ingress.tenant, owner) {
        (Some(tenant), _) => (
            tenant.clone(),
            Because::of(format!(
                "trunk \"{}\" belongs to tenant \"{tenant}\"",
                ingress.trunk.name
            )),
        ),
        (None, Some(owner)) => (
            owner.clone(),
            Because::of(format!("{called} is a number of tenant \"{owner}\"")),
        ),
        (None, None) => {
            if let Some(because) = dialled::incomplete(config, called) {
                return Err(Refusal {
                    status: Status::ADDRESS_INCOMPLETE,
                    cause: CauseCode::NumberUnknown,
                    because: because.named(Trouble::NumberIncomplete),
                });
            }
            let trunk = &ingress.trunk.name;
            let because = match local_owners(config, called) {
                names if names.is_empty() => {
                    format!("trunk \"{trunk}\" is shared and {called} is a number of no tenant")
                }
                names => format!(
                    "trunk \"{trunk}\" is shared and {called} is a local number of {names}, which only a \
                     trunk of the tenant's own tells"
                ),
            };
            return Err(Refusal {
                status: Status::NOT_FOUND,
                cause: CauseCode::NumberUnknown,
                because: Because::of(because).named(Trouble::NumberOfNoTenant),
            });
        }
    };
    let mut is_closed = false;
    for route in config.routes.iter().filter(|route| !route.when.emergency) {
        if let Some(why) = mismatch(route, ingress, Some(&tenant), owner, asked) {
            if explains {
                because = because.and(format!("route \"{}\" does not match: {why}", route.name));
            }
            continue;
        }
        let mut allowed: Vec<(&RouteTarget, &Arc<Trunk>)> = route
            .to
            .iter()
            .flat_map(|target| {
                let trunks = config.trunks_for(&target.trunk, Some(&tenant));
                trunks.map(move |trunk| (target, trunk))
            })
            .collect();
        if allowed.is_empty() {
            because = because.and(format!(
                "route \"{}\" matches, but has no trunk for tenant \"{tenant}\"",
                route.name
            ));
            continue;
        }
        let schedule = route.schedule.as_ref();
        if let Some(schedule) = schedule.filter(|schedule| !schedule.is_open(asked.wall)) {
            is_closed = true;
            because = because.and(format!(
                "route \"{}\" matches, but schedule \"{}\" is closed ({})",
                route.name,
                schedule.name,
                schedule.told(asked.wall)
            ));
            continue;
        }
        because = passing_by_closed(route, asked.closing, &mut allowed, because)?;
        because = by_presence(route, asked.callee, &mut allowed, because)?;
        let attempts: Vec<Arc<Trunk>> = order(allowed, mint)
            .into_iter()
            .take(usize::from(route.max_attempts.max(1)))
            .collect();
        let names: Vec<&str> = attempts.iter().map(|trunk| trunk.name.as_str()).collect();
        because = because.and(format!(
            "route \"{}\" leads to {}",
            route.name,
            names.join(", then ")
        ));
        return Ok(Decision {
            value: Plan {
                tenant,
                route: route.name.clone(),
                attempts,
            },
            because,
        });
    }
    let trunk = &ingress.trunk.name;
    Err(match is_closed {
        true => Refusal {
            status: Status::TEMPORARILY_UNAVAILABLE,
            cause: CauseCode::NoRoute,
            because: because
                .and(format!(
                    "every route for a call from trunk \"{trunk}\" to {called} is closed now"
                ))
                .named(Trouble::RoutesClosed),
        },
        false => Refusal {
            status: Status::NOT_FOUND,
            cause: CauseCode::NoRoute,
            because: because.and(format!(
                "no route matches a call from trunk \"{trunk}\" to {called}"
            )),
        },
    })
}

/// Leaves out trunks that an operator keeps new calls away from. A route that leads nowhere else refuses: what stands
/// behind it is for other calls.
fn passing_by_closed(
    route: &Route,
    closing: &dyn Fn(&Trunk) -> Option<Closing>,
    allowed: &mut Vec<(&RouteTarget, &Arc<Trunk>)>,
    mut because: Because,
) -> Result<Because, Refusal> {
    let mut last = None;
    allowed.retain(|(_, trunk)| {
        let Some(closing) = closing(trunk) else {
            return true;
        };
        because.0.push(closed(trunk, closing));
        last = Some(closing);
        false
    });
    match last.filter(|_| allowed.is_empty()) {
        None => Ok(because),
        Some(closing) => Err(Refusal {
            status: Status::SERVICE_UNAVAILABLE,
            cause: CauseCode::TrunkClosed,
            because: because
                .and(format!("route \"{}\" has no other trunk", route.name))
                .named(closing),
        }),
    }
}

/// That an operator keeps new calls away from a trunk.
pub fn closed(trunk: &Trunk, closing: Closing) -> String {
    let name = &trunk.name;
    match closing {
        Closing::Disabled => format!("trunk \"{name}\" is disabled"),
        Closing::Draining => format!("trunk \"{name}\" drains"),
    }
}

/// Leaves out trunks, or refuses, as the route says of users who take no calls now (TDG-PRS-006). Whoever is
/// ready, and whoever nothing is known of, is called: the SIP answer tells.
fn by_presence(
    route: &Route,
    callee: &dyn Fn() -> Option<Callee>,
    allowed: &mut Vec<(&RouteTarget, &Arc<Trunk>)>,
    because: Because,
) -> Result<Because, Refusal> {
    let Some(rule) = route.presence else {
        return Ok(because);
    };
    let Some(callee) = callee() else {
        return Ok(because);
    };
    let because = because.and(callee.because);
    let (action, word, status) = match callee.standing {
        Standing::Ready | Standing::Unknown => return Ok(because),
        Standing::Busy => (rule.busy, "busy", Status::BUSY_HERE),
        Standing::Absent => (rule.absent, "absent", Status::TEMPORARILY_UNAVAILABLE),
    };
    let name = &route.name;
    let refused = |because: Because| {
        Err(Refusal {
            status,
            cause: CauseCode::Presence,
            because: because.named(match callee.standing {
                Standing::Busy => Trouble::CalleeBusy,
                Standing::Ready | Standing::Unknown | Standing::Absent => Trouble::CalleeAbsent,
            }),
        })
    };
    match action {
        PresenceAction::Try => {
            Ok(because.and(format!("route \"{name}\" tries who is {word} all the same")))
        }
        PresenceAction::Refuse => {
            refused(because.and(format!("route \"{name}\" refuses calls to who is {word}")))
        }
        PresenceAction::Next => {
            allowed.retain(|(_, trunk)| trunk.preset != Preset::Teams);
            match allowed.is_empty() {
                true => refused(because.and(format!(
                    "route \"{name}\" has no trunk but those of Teams for who is {word}"
                ))),
                false => Ok(because.and(format!(
                    "route \"{name}\" passes Teams by for who is {word}"
                ))),
            }
        }
    }
}

/// The customer whose ranges hold the number. Of a call that came in on a trunk of one customer, that one
/// if it has the number, whoever else has it (TDR-MT-011).
pub fn owner<'c>(
    config: &'c Config,
    caller_of: Option<&TenantName>,
    number: &str,
) -> Option<&'c TenantName> {
    let own = caller_of.and_then(|name| config.tenants.get(name));
    if let Some(own) = own.filter(|tenant| tenant.has(number)) {
        return Some(&own.name);
    }
    config
        .tenants
        .values()
        .find(|tenant| tenant.numbers.iter().any(|range| range.contains(number)))
        .map(|tenant| &tenant.name)
}

/// The customers that have a number as a local one, as a sentence names them.
fn local_owners(config: &Config, number: &str) -> String {
    let has = |tenant: &&Arc<Tenant>| tenant.has(number);
    let tenants = config.tenants.values().filter(has);
    let names: Vec<String> = tenants
        .take(MOST_NAMED)
        .map(|tenant| format!("\"{}\"", tenant.name))
        .collect();
    names.join(", ")
}

/// Most customers that a refusal names.
const MOST_NAMED: usize = 3;

/// Whether the conditions of a route hold for a call.
pub(super) fn matches(
    route: &Route,
    ingress: &Ingress,
    tenant: Option<&TenantName>,
    owner: Option<&TenantName>,
    called: &str,
    calling: &str,
) -> bool {
    // No route for help has a schedule.
    let asked = Asked::plainly(called, calling, UnixTime::default());
    mismatch(route, ingress, tenant, owner, asked).is_none()
}

/// The first condition of a route that does not hold for a call.
fn mismatch<'r>(
    route: &'r Route,
    ingress: &Ingress,
    tenant: Option<&TenantName>,
    owner: Option<&TenantName>,
    asked: Asked<'_>,
) -> Option<Mismatch<'r>> {
    let when = &route.when;
    if let Some(name) = &when.from_trunk
        && !ingress.trunk.is_of(name)
    {
        return Some(Mismatch::Trunk(name));
    }
    if let Some(name) = &when.tenant
        && Some(name) != tenant
    {
        return Some(Mismatch::Tenant(name));
    }
    if let Some(name) = &when.called_in
        && Some(name) != owner
    {
        return Some(Mismatch::Owner(name));
    }
    if let Some(pattern) = &when.called
        && !pattern.is_match(asked.called)
    {
        return Some(Mismatch::Called(pattern));
    }
    if let Some(pattern) = &when.calling
        && !pattern.is_match(asked.calling)
    {
        return Some(Mismatch::Calling(pattern));
    }
    let is_like = |pattern: &Regex, number: Option<&str>| {
        number.is_some_and(|number| pattern.is_match(number))
    };
    if let Some(pattern) = &when.diverting
        && !is_like(pattern, asked.diverting)
    {
        return Some(Mismatch::Diverting(pattern));
    }
    if let Some(pattern) = &when.routing_number
        && !is_like(pattern, asked.routing)
    {
        return Some(Mismatch::Routing(pattern));
    }
    None
}

/// Which condition of a route does not hold.
enum Mismatch<'r> {
    Trunk(&'r TrunkName),
    Tenant(&'r TenantName),
    Owner(&'r TenantName),
    Called(&'r Regex),
    Calling(&'r Regex),
    Diverting(&'r Regex),
    Routing(&'r Regex),
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trunk(name) => write!(f, "it is for calls from trunk \"{name}\""),
            Self::Tenant(name) => write!(f, "it is for calls of tenant \"{name}\""),
            Self::Owner(name) => write!(f, "the called number is none of tenant \"{name}\""),
            Self::Called(pattern) => write!(f, "the called number is not like {pattern}"),
            Self::Calling(pattern) => write!(f, "the calling number is not like {pattern}"),
            Self::Diverting(pattern) => {
                write!(f, "no number like {pattern} has forwarded the call")
            }
            Self::Routing(pattern) => {
                write!(f, "the called number is not ported to one like {pattern}")
            }
        }
    }
}

/// Equal weights keep the written order: the first is the main way, the others are for failures.
/// Different weights share the calls: each place is drawn among those that are left.
fn order(mut left: Vec<(&RouteTarget, &Arc<Trunk>)>, mint: &mut Mint) -> Vec<Arc<Trunk>> {
    let first_weight = left.first().map(|(target, _)| target.weight);
    if left
        .iter()
        .all(|(target, _)| Some(target.weight) == first_weight)
    {
        return left
            .into_iter()
            .map(|(_, trunk)| Arc::clone(trunk))
            .collect();
    }
    let mut drawn = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let total: u64 = left
            .iter()
            .map(|(target, _)| u64::from(target.weight.max(1)))
            .sum();
        let mut ticket = mint.between(1, total);
        let mut index = 0;
        for (at, (target, _)) in left.iter().enumerate() {
            index = at;
            let weight = u64::from(target.weight.max(1));
            if ticket <= weight {
                break;
            }
            ticket -= weight;
        }
        let (_, trunk) = left.remove(index);
        drawn.push(Arc::clone(trunk));
    }
    drawn
}
