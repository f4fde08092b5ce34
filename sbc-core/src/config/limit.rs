//! Limits on calls: what they are, and how they are written at tenants, trunks, routes, and for
//! numbers of the operator's choice (`[[limit]]`).

use super::finding::{Code, Collector};
use super::money::{self, Money};
use super::read::Section;
use super::source::At;
use crate::id::{TenantName, TrunkName};

/// Limits on the calls of one tenant, trunk, route or number. What is `None` is unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CallLimits {
    /// Calls at the same time.
    pub calls: Option<u32>,
    /// New calls per second.
    pub calls_per_second: Option<u32>,
    /// New calls that may come at once; `None` is as many as a second brings.
    pub burst: Option<u32>,
    /// New calls within any minute.
    pub calls_per_minute: Option<u32>,
    /// New calls within any hour.
    pub calls_per_hour: Option<u32>,
    /// Calls that are not answered yet.
    pub setups: Option<u32>,
    /// Media in one direction with headers, kbit/s, as the costliest codec of the trunk needs it.
    pub bandwidth_kbits: Option<u32>,
    /// Calls of the limit that only calls for help and calls of priority may take.
    pub reserve: Option<u32>,
    /// What a call beyond it is told.
    pub refusal: LimitRefusal,
    /// What its calls may cost.
    pub spend: SpendLimits,
}

/// Limits on what calls cost by the prices of `[[rate]]` (SIP-406).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SpendLimits {
    /// In any hour: `spend_per_hour`.
    pub per_hour: Option<Money>,
    /// In any day: `spend_per_day`.
    pub per_day: Option<Money>,
    /// What happens when it is reached: `spend_action`.
    pub action: SpendAction,
    /// What a call beyond it is told: `refuse`, and without it 403, because the money is spent
    /// whichever way the call is tried again.
    pub refusal: LimitRefusal,
}

impl SpendLimits {
    /// Whether there is any.
    pub fn is_unlimited(&self) -> bool {
        self.per_hour.is_none() && self.per_day.is_none()
    }
}

/// What happens when money is spent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SpendAction {
    /// `alert`: somebody is told, and calls go on.
    Alert,
    /// `block`: no new call that costs anything. Those that are there go on.
    #[default]
    Block,
}

impl SpendAction {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Block => "block",
        }
    }
}

impl CallLimits {
    /// Whether there is any.
    pub fn is_unlimited(&self) -> bool {
        let limits = [
            self.calls,
            self.calls_per_second,
            self.calls_per_minute,
            self.calls_per_hour,
            self.setups,
            self.bandwidth_kbits,
        ];
        limits.iter().all(Option::is_none) && self.spend.is_unlimited()
    }
}

/// What a call that goes beyond a limit is told (SIP-1730).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LimitRefusal {
    /// 503 with Q.850 cause 34: no circuit, try elsewhere.
    #[default]
    Unavailable,
    /// 486: as if the called party were busy.
    Busy,
    /// 480: later perhaps.
    Later,
    /// 403: not for you.
    Forbidden,
}

/// Limits of a trunk: on all its calls, and on those of each direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct TrunkLimits {
    /// On calls of both directions together.
    pub both: CallLimits,
    /// On calls that come from the peer.
    pub inbound: CallLimits,
    /// On calls that go to the peer.
    pub outbound: CallLimits,
}

/// A limit on calls of the operator's choice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberLimit {
    /// Configured name.
    pub name: String,
    /// Only calls of this customer.
    pub tenant: Option<TenantName>,
    /// Only calls from this trunk.
    pub trunk: Option<TrunkName>,
    /// Beginnings of called numbers; none is every number.
    pub called: Vec<String>,
    /// Beginnings of calling numbers; none is every number.
    pub calling: Vec<String>,
    /// Whose calls are counted together.
    pub each: Each,
    /// The limits.
    pub limits: CallLimits,
}

/// Whose calls a limit counts together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Each {
    /// All that it is about.
    #[default]
    All,
    /// Those to one called number.
    Called,
    /// Those of one calling number. Callers who show none do not count, unless the limit names them
    /// (`calling = ["anonymous"]`): then they count together.
    Calling,
}

/// What was written as `limits = { … }`.
#[derive(Default)]
pub(super) struct WrittenLimits {
    pub(super) calls: Option<At<u64>>,
    pub(super) cps: Option<At<u64>>,
    pub(super) burst: Option<At<u64>>,
    pub(super) calls_per_minute: Option<At<u64>>,
    pub(super) calls_per_hour: Option<At<u64>>,
    pub(super) setup: Option<At<u64>>,
    pub(super) bandwidth: Option<At<u64>>,
    pub(super) reserve: Option<At<u64>>,
    pub(super) refuse: Option<At<LimitRefusal>>,
    pub(super) spend_per_hour: Option<At<Money>>,
    pub(super) spend_per_day: Option<At<Money>>,
    pub(super) spend_action: Option<At<SpendAction>>,
}

/// What was written as `limits` of a trunk.
#[derive(Default)]
pub(super) struct WrittenTrunkLimits {
    pub(super) both: WrittenLimits,
    pub(super) inbound: WrittenLimits,
    pub(super) outbound: WrittenLimits,
}

/// What was written as `[[limit]]`.
pub(super) struct WrittenNumberLimit {
    pub(super) name: At<String>,
    pub(super) tenant: Option<At<String>>,
    pub(super) trunk: Option<At<String>>,
    pub(super) called: Vec<At<String>>,
    pub(super) calling: Vec<At<String>>,
    pub(super) each: Option<At<Each>>,
    pub(super) limits: WrittenLimits,
}

/// Reads `limits` of a tenant or a route.
pub(super) fn limits(section: &mut Section<'_>, out: &mut Collector) -> WrittenLimits {
    let Some(mut table) = section.table("limits", out) else {
        return WrittenLimits::default();
    };
    let limits = keys(&mut table, out);
    table.finish(&[], out);
    limits
}

/// Reads `limits` of a trunk.
pub(super) fn of_trunk(section: &mut Section<'_>, out: &mut Collector) -> WrittenTrunkLimits {
    let Some(mut table) = section.table("limits", out) else {
        return WrittenTrunkLimits::default();
    };
    let mut direction = |key| match table.table(key, out) {
        Some(mut one) => {
            let limits = keys(&mut one, out);
            one.finish(&[], out);
            limits
        }
        None => WrittenLimits::default(),
    };
    let (inbound, outbound) = (direction("in"), direction("out"));
    let both = keys(&mut table, out);
    table.finish(&[], out);
    WrittenTrunkLimits {
        both,
        inbound,
        outbound,
    }
}

/// Reads a `[[limit]]`.
pub(super) fn of_numbers(
    name: At<String>,
    mut section: Section<'_>,
    out: &mut Collector,
) -> WrittenNumberLimit {
    let words = [
        ("all", Each::All),
        ("called", Each::Called),
        ("calling", Each::Calling),
    ];
    let mut limit = WrittenNumberLimit {
        name,
        tenant: None,
        trunk: None,
        called: Vec::new(),
        calling: Vec::new(),
        each: section.choice("each", &words, &[], out),
        limits: keys(&mut section, out),
    };
    if let Some(mut when) = section.table("match", out) {
        let mut beginnings = |key| when.texts(key, out).map_or(Vec::new(), |list| list.value);
        (limit.called, limit.calling) = (beginnings("called"), beginnings("calling"));
        limit.tenant = when.text("tenant", out);
        limit.trunk = when.text("from_trunk", out);
        when.finish(&["time"], out);
    }
    if limit.limits.is_empty() {
        out.add(
            Code::MissingKey,
            &section.span,
            format!("{}: it limits nothing", section.title),
            Some("write calls, cps, calls_per_minute, setup or spend_per_day".to_owned()),
        );
    }
    section.finish(&["time"], out);
    limit
}

fn keys(table: &mut Section<'_>, out: &mut Collector) -> WrittenLimits {
    let words = [
        ("503", LimitRefusal::Unavailable),
        ("486", LimitRefusal::Busy),
        ("480", LimitRefusal::Later),
        ("403", LimitRefusal::Forbidden),
    ];
    let actions = [SpendAction::Alert, SpendAction::Block];
    let actions = actions.map(|action| (action.as_str(), action));
    WrittenLimits {
        calls: table.number("calls", 1..=1_000_000, out),
        cps: table.number("cps", 1..=100_000, out),
        burst: table.number("burst", 1..=100_000, out),
        calls_per_minute: table.number("calls_per_minute", 1..=1_000_000, out),
        calls_per_hour: table.number("calls_per_hour", 1..=10_000_000, out),
        setup: table.number("setup", 1..=1_000_000, out),
        bandwidth: table.number("bandwidth", 10..=100_000_000, out),
        reserve: table.number("reserve", 0..=1_000_000, out),
        refuse: table.choice("refuse", &words, &[], out),
        spend_per_hour: money::amount(table, "spend_per_hour", out),
        spend_per_day: money::amount(table, "spend_per_day", out),
        spend_action: table.choice("spend_action", &actions, &[], out),
    }
}

impl WrittenLimits {
    fn is_empty(&self) -> bool {
        let limits = [
            &self.calls,
            &self.cps,
            &self.calls_per_minute,
            &self.calls_per_hour,
            &self.setup,
            &self.bandwidth,
        ];
        limits.iter().all(|limit| limit.is_none()) && self.spending().is_none()
    }

    /// A limit on money, if there is one.
    pub(super) fn spending(&self) -> Option<&At<Money>> {
        self.spend_per_hour.as_ref().or(self.spend_per_day.as_ref())
    }

    /// The limits, once every contradiction within them has been told.
    pub(super) fn checked(&self, title: &str, out: &mut Collector) -> CallLimits {
        if let (Some(reserve), Some(calls)) = (&self.reserve, &self.calls)
            && reserve.value >= calls.value
        {
            out.add(
                Code::Contradiction,
                &reserve.span,
                format!("{title}: limits: reserve leaves no call to anybody else"),
                Some(format!("write less than calls = {}", calls.value)),
            );
        }
        let useless = [
            (&self.reserve, "reserve", &self.calls, "calls"),
            (&self.burst, "burst", &self.cps, "cps"),
        ];
        for (part, name, whole, needed) in useless {
            if let (Some(part), None) = (part, whole) {
                out.add(
                    Code::Contradiction,
                    &part.span,
                    format!("{title}: limits: {name} is a part of {needed}, which is not limited"),
                    Some(format!("write {needed} too, or remove {name}")),
                );
            }
        }
        if let (Some(action), None) = (&self.spend_action, self.spending()) {
            out.add(
                Code::Contradiction,
                &action.span,
                format!("{title}: limits: spend_action without a limit on money"),
                Some("write spend_per_hour or spend_per_day too, or remove it".to_owned()),
            );
        }
        let money = |at: &Option<At<Money>>| at.as_ref().map(|at| at.value);
        let refusal = self.refuse.as_ref().map(|at| at.value);
        let number = |at: &Option<At<u64>>| at.as_ref().map(|at| at.value as u32);
        CallLimits {
            calls: number(&self.calls),
            calls_per_second: number(&self.cps),
            burst: number(&self.burst),
            calls_per_minute: number(&self.calls_per_minute),
            calls_per_hour: number(&self.calls_per_hour),
            setups: number(&self.setup),
            bandwidth_kbits: number(&self.bandwidth),
            reserve: number(&self.reserve),
            refusal: refusal.unwrap_or_default(),
            spend: SpendLimits {
                per_hour: money(&self.spend_per_hour),
                per_day: money(&self.spend_per_day),
                action: self
                    .spend_action
                    .as_ref()
                    .map(|at| at.value)
                    .unwrap_or_default(),
                refusal: refusal.unwrap_or(LimitRefusal::Forbidden),
            },
        }
    }
}
