//! Routing rules and number transforms.

use crate::config::recorded::RecordRule;
use crate::config::{CallLimits, Schedule};
use crate::id::{RouteName, TenantName, TransformName, TrunkName};
use regex::Regex;
use std::ops::RangeInclusive;
use std::sync::Arc;

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
    /// Whether its trunks are called all at once instead of one after the other.
    pub at_once: bool,
    /// Whether trunks of other customers may carry the calls: only for calls for help.
    pub any_tenant: bool,
    /// What becomes of calls to users who are busy or absent; without it presence says nothing.
    pub presence: Option<PresenceRule>,
    /// When it takes calls; without it always.
    pub schedule: Option<Arc<Schedule>>,
    /// Limits on the calls that it takes.
    pub limits: CallLimits,
}

/// What a route makes of the presence of the called user (TDG-PRS-006).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PresenceRule {
    /// When the user is busy, or talks over our trunks; tried by default.
    pub busy: PresenceAction,
    /// When the user is not there; tried by default.
    pub absent: PresenceAction,
}

/// What becomes of a call to a user whose presence speaks against it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PresenceAction {
    /// It goes to Teams all the same.
    #[default]
    Try,
    /// Trunks of the route that do not lead to Teams are tried, in their order; without any it is refused.
    Next,
    /// It is refused: 486 for who is busy, 480 for who is not there.
    Refuse,
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
    /// Only those whose location was found in one of these ways, in capitals; `NONE` is one that does not
    /// say, or no location (TDR-EMG-004). Without any, all.
    pub location_methods: Vec<String>,
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
            && self.location_methods == other.location_methods
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
    /// Rules for numbers that forwarded the call; without any, those for the calling number.
    pub redirecting: Vec<NumberRule>,
    /// What it adds to records: of calls that arrive to that of the call, of those that leave to that of the attempt.
    pub record: Vec<RecordRule>,
}

/// When a transform applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransformScope {
    /// To calls that arrive on the trunk, before routing.
    In(TrunkName),
    /// To calls that leave on the trunk, after routing.
    Out(TrunkName),
}

/// One rule on a number.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberRule {
    /// Which numbers it changes.
    pub when: NumberMatch,
    /// What they become; with an expression `$1` stands for a group, with a beginning it takes the
    /// place of that.
    pub set: String,
    /// Whether it translates a service number, such as one of freephone: History-Info tells of both
    /// numbers with cause 380 (RFC 8119), and no diversion. Written `service = true` at a rule for
    /// called numbers.
    pub is_service: bool,
}

/// Which numbers a rule changes.
#[derive(Clone, Debug)]
pub enum NumberMatch {
    /// Those that an expression matches.
    Pattern(Regex),
    /// Those that begin so and have so many characters.
    Start {
        /// The beginning; empty where the length alone decides.
        start: String,
        /// Fewest and most characters of the whole number.
        length: RangeInclusive<usize>,
        /// Whether only digits may follow.
        digits_only: bool,
    },
    /// This one.
    Number(String),
}

impl NumberRule {
    /// What becomes of a number, if the rule is about it.
    pub fn apply(&self, number: &str) -> Option<String> {
        match &self.when {
            NumberMatch::Pattern(pattern) => pattern
                .is_match(number)
                .then(|| pattern.replace(number, self.set.as_str()).into_owned()),
            NumberMatch::Start {
                start,
                length,
                digits_only,
            } => {
                let rest = number.strip_prefix(start.as_str())?;
                is_whole(number, rest, length, *digits_only).then(|| format!("{}{rest}", self.set))
            }
            NumberMatch::Number(own) => (own == number).then(|| self.set.clone()),
        }
    }
}

impl NumberMatch {
    /// Whether it is about a number.
    pub fn holds(&self, number: &str) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.is_match(number),
            Self::Start {
                start,
                length,
                digits_only,
            } => number
                .strip_prefix(start.as_str())
                .is_some_and(|rest| is_whole(number, rest, length, *digits_only)),
            Self::Number(own) => own == number,
        }
    }
}

/// Whether a number that begins as is wanted is one in whole.
fn is_whole(number: &str, rest: &str, length: &RangeInclusive<usize>, digits_only: bool) -> bool {
    let is_digits = || rest.bytes().all(|octet| octet.is_ascii_digit());
    length.contains(&number.chars().count()) && (!digits_only || is_digits())
}

impl PartialEq for NumberMatch {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pattern(own), Self::Pattern(other)) => own.as_str() == other.as_str(),
            (
                Self::Start {
                    start,
                    length,
                    digits_only,
                },
                Self::Start {
                    start: other,
                    length: others,
                    digits_only: only,
                },
            ) => (start, length, digits_only) == (other, others, only),
            (Self::Number(own), Self::Number(other)) => own == other,
            (Self::Pattern(_) | Self::Start { .. } | Self::Number(_), _) => false,
        }
    }
}
