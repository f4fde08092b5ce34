//! Routing rules and number transforms.

use crate::id::{RouteName, TenantName, TransformName, TrunkName};
use regex::Regex;

/// One routing rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Configured name.
    pub name: RouteName,
    /// When it applies.
    pub when: RouteMatch,
    /// Where calls go: tried in order, those of equal rank by weight.
    pub to: Vec<RouteTarget>,
    /// At most so many attempts.
    pub max_attempts: u8,
    /// Whether trunks of other customers may carry the calls: only for calls for help.
    pub any_tenant: bool,
}

/// Conditions of a route; all that are given must hold.
#[derive(Clone, Debug, Default)]
pub struct RouteMatch {
    /// Call arrived on this trunk.
    pub from_trunk: Option<TrunkName>,
    /// Call belongs to this tenant.
    pub tenant: Option<TenantName>,
    /// Called number belongs to this tenant's ranges.
    pub called_in: Option<TenantName>,
    /// Called number (after transforms) matches.
    pub called: Option<Regex>,
    /// Calling number (after transforms) matches.
    pub calling: Option<Regex>,
    /// Number that forwarded the call last matches.
    pub diverting: Option<Regex>,
    /// Routing number of a ported called number matches (RFC 4694).
    pub routing_number: Option<Regex>,
    /// Only calls for help, and those before all other routes.
    pub emergency: bool,
}

impl PartialEq for RouteMatch {
    fn eq(&self, other: &Self) -> bool {
        let text = |r: &Option<Regex>| r.as_ref().map(|r| r.as_str().to_owned());
        self.from_trunk == other.from_trunk
            && self.tenant == other.tenant
            && self.called_in == other.called_in
            && text(&self.called) == text(&other.called)
            && text(&self.calling) == text(&other.calling)
            && text(&self.diverting) == text(&other.diverting)
            && text(&self.routing_number) == text(&other.routing_number)
            && self.emergency == other.emergency
    }
}

/// One destination of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteTarget {
    /// Trunk to send the call to.
    pub trunk: TrunkName,
    /// Share of calls among targets of the route, 1–100; equal weights keep the written order.
    pub weight: u8,
}

/// One named change of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Configured name.
    pub name: TransformName,
    /// When it applies.
    pub scope: TransformScope,
    /// Rules for the calling number; the first that matches wins.
    pub calling: Vec<NumberRule>,
    /// Rules for the called number; the first that matches wins.
    pub called: Vec<NumberRule>,
}

/// When a transform applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransformScope {
    /// To calls that arrive on the trunk, before routing.
    In(TrunkName),
    /// To calls that leave on the trunk, after routing.
    Out(TrunkName),
}

/// One match-and-replace rule on a number.
#[derive(Clone, Debug)]
pub struct NumberRule {
    /// Must match the number.
    pub pattern: Regex,
    /// Replacement, with `$1` for groups.
    pub set: String,
}

impl PartialEq for NumberRule {
    fn eq(&self, other: &Self) -> bool {
        self.pattern.as_str() == other.pattern.as_str() && self.set == other.set
    }
}
