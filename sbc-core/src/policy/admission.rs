//! Call admission: calls at the same time, new calls per second, minute and hour, calls that are not answered yet and
//! media bandwidth; per tenant, trunk and direction, route, and number (SIP-1730).
//!
//! A call takes a place of everything that it counts on, or of nothing. A call for help takes its
//! places whatever the limits say, so that they show what is in use; what is reserved is left to it
//! and to calls of priority.
//!
//! All shards of a node count in one table, behind a lock that is taken when a call begins, is answered
//! or leaves a trunk, and for no message in between. Each one's share is kept apart, so that each can
//! compare its own with the calls that it has.

mod claims;
mod window;

use crate::cause::{Because, CauseCode};
use crate::config::{CallLimits, LimitRefusal};
use crate::id::{RouteName, ShardId, TenantName, TrunkName};
use crate::policy::Refusal;
use crate::sip::Status;
use crate::time::Timestamp;
use crate::trouble::Trouble;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use window::{Span, Window};

pub use claims::{
    MOST_ANNOUNCED, Subject, claim_to_hear, claim_to_transcode, claims_inbound, claims_of_call,
    claims_of_way, claims_outbound, kbits, told,
};

/// What calls are counted on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Counted {
    /// The node.
    Node,
    /// A trunk, in both directions.
    Trunk(TrunkName),
    /// Calls from the peer of a trunk.
    Inbound(TrunkName),
    /// Calls to the peer of a trunk.
    Outbound(TrunkName),
    /// A customer.
    Tenant(TenantName),
    /// A route.
    Route(RouteName),
    /// Callers from the peer of a trunk that hear why they are refused, and count on nothing else.
    Announced(TrunkName),
    /// Calls that are transcoded (MED-242).
    Transcoding,
    /// A limit of the operator's choice, and the number that it counts by itself.
    Numbers(String, Option<String>),
}

impl Counted {
    /// What it is, in one word: a label of metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Trunk(_) | Self::Inbound(_) | Self::Outbound(_) | Self::Announced(_) => "trunk",
            Self::Tenant(_) => "tenant",
            Self::Route(_) => "route",
            Self::Transcoding => "transcoding",
            Self::Numbers(..) => "limit",
        }
    }

    /// Which calls of it: a label of metrics.
    pub const fn direction(&self) -> &'static str {
        match self {
            Self::Inbound(_) | Self::Announced(_) => "in",
            Self::Outbound(_) => "out",
            Self::Node
            | Self::Trunk(_)
            | Self::Tenant(_)
            | Self::Route(_)
            | Self::Transcoding
            | Self::Numbers(..) => "both",
        }
    }

    /// Its configured name.
    pub fn name(&self) -> &str {
        match self {
            Self::Node | Self::Transcoding => "",
            Self::Trunk(name)
            | Self::Inbound(name)
            | Self::Outbound(name)
            | Self::Announced(name) => name.as_str(),
            Self::Tenant(name) => name.as_str(),
            Self::Route(name) => name.as_str(),
            Self::Numbers(name, _) => name,
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => write!(f, "the node"),
            Self::Trunk(name) => write!(f, "trunk \"{name}\""),
            Self::Inbound(name) => write!(f, "trunk \"{name}\" inbound"),
            Self::Outbound(name) => write!(f, "trunk \"{name}\" outbound"),
            Self::Tenant(name) => write!(f, "tenant \"{name}\""),
            Self::Route(name) => write!(f, "route \"{name}\""),
            Self::Announced(name) => {
                write!(
                    f,
                    "what callers of trunk \"{name}\" hear before they are refused"
                )
            }
            Self::Transcoding => write!(f, "transcoding ([limits] transcoding)"),
            Self::Numbers(name, None) => write!(f, "limit \"{name}\""),
            Self::Numbers(name, Some(number)) => write!(f, "limit \"{name}\" for {number}"),
        }
    }
}

/// Which limit is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Full {
    counted: Counted,
    what: Measure,
    refusal: LimitRefusal,
    is_news: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Measure {
    /// Calls at the same time, and how many of them are kept free.
    Calls(u32, u32),
    /// New calls per second.
    Rate(u32),
    /// New calls within a minute or an hour.
    Within(u32, Span),
    /// Calls that are not answered yet.
    Setups(u32),
    /// kbit/s.
    Bandwidth(u32),
}

impl Full {
    /// Of what it is a limit.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// The limit in one word, as it is written in the configuration: a label of metrics.
    pub const fn key(&self) -> &'static str {
        match self.what {
            Measure::Calls(..) => "calls",
            Measure::Rate(_) => "cps",
            Measure::Within(_, Span::Minute) => "calls_per_minute",
            Measure::Within(_, Span::Hour) => "calls_per_hour",
            Measure::Setups(_) => "setup",
            Measure::Bandwidth(_) => "bandwidth",
        }
    }

    /// Whether nobody was told of the limit within the last minute: who calls a thousand times must not
    /// fill the log.
    pub const fn is_news(&self) -> bool {
        self.is_news
    }

    /// As what it is told.
    fn trouble(&self) -> Trouble {
        match (self.what, &self.counted) {
            (Measure::Rate(_) | Measure::Within(..), _) => Trouble::RateReached,
            (Measure::Setups(_), _) => Trouble::SetupsReached,
            (Measure::Bandwidth(_), _) => Trouble::BandwidthReached,
            (Measure::Calls(..), Counted::Node) => Trouble::NodeFull,
            (
                Measure::Calls(..),
                Counted::Trunk(_)
                | Counted::Inbound(_)
                | Counted::Outbound(_)
                | Counted::Announced(_),
            ) => Trouble::TrunkFull,
            (Measure::Calls(..), Counted::Tenant(_)) => Trouble::TenantFull,
            (Measure::Calls(..), Counted::Route(_)) => Trouble::RouteFull,
            (Measure::Calls(..), Counted::Transcoding) => Trouble::TranscodingFull,
            (Measure::Calls(..), Counted::Numbers(..)) => Trouble::NumbersFull,
        }
    }

    /// What the caller is told.
    pub fn refused(&self) -> Refusal {
        Refusal {
            status: status_of(self.refusal),
            cause: CauseCode::LimitReached,
            because: Because::of(self.to_string()).named(self.trouble()),
        }
    }
}

/// The status that says so.
pub(in crate::policy) fn status_of(refusal: LimitRefusal) -> Status {
    match refusal {
        LimitRefusal::Unavailable => Status::SERVICE_UNAVAILABLE,
        LimitRefusal::Busy => Status::BUSY_HERE,
        LimitRefusal::Later => Status::TEMPORARILY_UNAVAILABLE,
        LimitRefusal::Forbidden => Status::FORBIDDEN,
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = &self.counted;
        match self.what {
            Measure::Calls(limit, 0) => write!(f, "{counted} has its {limit} calls"),
            Measure::Calls(limit, kept) => {
                write!(
                    f,
                    "{counted} has its {limit} calls, {kept} of them kept free"
                )
            }
            Measure::Rate(limit) => {
                write!(f, "{counted} has had its {limit} new calls per second")
            }
            Measure::Within(limit, span) => {
                let span = span.as_str();
                write!(f, "{counted} has had its {limit} new calls within {span}")
            }
            Measure::Setups(limit) => write!(f, "{counted} has its {limit} calls in set-up"),
            Measure::Bandwidth(limit) => write!(f, "{counted} has its {limit} kbit/s in use"),
        }
    }
}

/// A place that a call takes; given back once.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a place that is dropped is never given back"]
pub struct Place {
    counted: Counted,
    kbits: u32,
    is_setup: bool,
}

impl Place {
    /// kbit/s that it counts for.
    pub fn kbits(&self) -> u32 {
        self.kbits
    }

    /// What it is a place of.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }
}

/// How much a call may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Standing {
    /// As any.
    #[default]
    Usual,
    /// It may take what is reserved.
    Priority,
    /// It passes every limit.
    Help,
}

/// Calls in progress and arrival rates, as one shard sees them.
#[derive(Default, Debug)]
pub struct Admission {
    shard: usize,
    table: Arc<Mutex<Table>>,
}

/// What all shards count.
#[derive(Default, Debug)]
struct Table {
    usage: BTreeMap<Counted, Usage>,
    /// Entries from which on those without use are forgotten.
    sweep_at: usize,
}

#[derive(Default, Debug)]
struct Usage {
    /// Of each shard that has ever counted here.
    shares: Vec<Tally>,
    /// When the next call would be due if they came evenly (GCRA).
    due: Timestamp,
    /// New calls within the last minute, and the last hour; only where they are limited.
    recent: Option<Box<[Window; 2]>>,
    /// When somebody was last told that a limit is reached.
    told: Option<Timestamp>,
}

/// What calls take.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Tally {
    calls: u32,
    setups: u32,
    kbits: u32,
}

/// Who was told of a limit is not told again for so long.
const QUIET: Duration = Duration::from_secs(60);

/// Fewest entries that are worth a look at all of them.
const LEAST_SWEEP: usize = 256;

/// Entries without a call that are remembered after a look at all of them.
const MOST_REMEMBERED: usize = 100_000;

impl Admission {
    /// The same table, as another shard sees it.
    #[must_use]
    pub fn of(&self, shard: ShardId) -> Self {
        Self {
            shard: usize::from(shard.0),
            table: Arc::clone(&self.table),
        }
    }

    /// Takes a place of everything that a call counts on, or says which limit is reached; then nothing
    /// has changed. `kbits` is what its media needs.
    pub fn take(
        &mut self,
        now: Timestamp,
        claims: Vec<(Counted, CallLimits)>,
        kbits: u32,
        standing: Standing,
    ) -> Result<Vec<Place>, Full> {
        let mut table = self.table();
        for (counted, limits) in &claims {
            let usage = table.usage.get(counted);
            let reached = usage.map_or_else(
                || Usage::default().reached(now, limits, kbits, standing),
                |usage| usage.reached(now, limits, kbits, standing),
            );
            if let Some(what) = reached.filter(|_| standing != Standing::Help) {
                table.sweep(now);
                let is_news = table.usage.entry(counted.clone()).or_default().is_news(now);
                return Err(Full {
                    counted: counted.clone(),
                    what,
                    refusal: limits.refusal,
                    is_news,
                });
            }
        }
        table.sweep(now);
        let places = claims.into_iter().map(|(counted, limits)| {
            let usage = table.usage.entry(counted.clone()).or_default();
            let share = usage.share(self.shard);
            share.calls += 1;
            share.setups += 1;
            share.kbits = share.kbits.saturating_add(kbits);
            if let Some(spacing) = spacing(&limits) {
                usage.due = usage.due.max(now) + spacing;
            }
            usage.count(now, &limits);
            Place {
                counted,
                kbits,
                is_setup: true,
            }
        });
        Ok(places.collect())
    }

    /// Where there is no room for one more call that passes every limit. Limits on routes and numbers
    /// are for what callers want, and stand for no lines.
    pub fn lacking(&self, claims: &[(Counted, CallLimits)], kbits: u32) -> Vec<Counted> {
        let table = self.table();
        let is_short = |(counted, limits): &&(Counted, CallLimits)| {
            let taken = table.usage.get(counted).map(Usage::sum).unwrap_or_default();
            let is_full = limits.calls.is_some_and(|limit| taken.calls >= limit);
            let is_wide = |limit| taken.kbits > 0 && taken.kbits.saturating_add(kbits) > limit;
            !matches!(counted, Counted::Route(_) | Counted::Numbers(..))
                && (is_full || limits.bandwidth_kbits.is_some_and(is_wide))
        };
        let short = claims.iter().filter(is_short);
        short.map(|(counted, _)| counted.clone()).collect()
    }

    /// The call that took the place is answered.
    pub fn answered(&mut self, place: &mut Place) {
        if std::mem::take(&mut place.is_setup)
            && let Some(usage) = self.table().usage.get_mut(&place.counted)
        {
            let share = usage.share(self.shard);
            share.setups = share.setups.saturating_sub(1);
        }
    }

    /// The media of the call that took the place needs so much, as is known now.
    pub fn rated(&mut self, place: &mut Place, kbits: u32) {
        if place.kbits != kbits
            && let Some(usage) = self.table().usage.get_mut(&place.counted)
        {
            let share = usage.share(self.shard);
            share.kbits = share
                .kbits
                .saturating_sub(place.kbits)
                .saturating_add(kbits);
            place.kbits = kbits;
        }
    }

    /// Gives a place back.
    pub fn give_back(&mut self, place: Place) {
        if let Some(usage) = self.table().usage.get_mut(&place.counted) {
            let share = usage.share(self.shard);
            share.calls = share.calls.saturating_sub(1);
            share.setups = share.setups.saturating_sub(u32::from(place.is_setup));
            share.kbits = share.kbits.saturating_sub(place.kbits);
        }
    }

    /// Compares the share of this shard with the places that its calls have, and makes them agree; says
    /// by how many they did not.
    pub fn recount<'p>(&mut self, places: impl Iterator<Item = &'p Place>) -> usize {
        let mut counted: BTreeMap<&Counted, Tally> = BTreeMap::new();
        for place in places {
            let tally = counted.entry(&place.counted).or_default();
            tally.calls += 1;
            tally.setups += u32::from(place.is_setup);
            tally.kbits = tally.kbits.saturating_add(place.kbits);
        }
        let mut wrong = 0;
        for (name, usage) in &mut self.table().usage {
            let tally = counted.get(name).copied().unwrap_or_default();
            let share = usage.share(self.shard);
            wrong += share.calls.abs_diff(tally.calls) as usize;
            *share = tally;
        }
        wrong
    }

    /// Places that calls of this shard take, over all that is counted on.
    pub fn taken(&self) -> usize {
        let table = self.table();
        let shares = table.usage.values();
        let shares = shares.filter_map(|usage| usage.shares.get(self.shard));
        shares.map(|share| share.calls as usize).sum()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // It is consistent between any two statements above.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Callers choose numbers, so what has no use must not stay for ever.
    fn sweep(&mut self, now: Timestamp) {
        if self.usage.len() < self.sweep_at.max(LEAST_SWEEP) {
            return;
        }
        self.usage
            .retain(|_, usage| usage.sum().calls > 0 || usage.due > now || usage.remembers(now));
        self.forget_least(now);
        self.sweep_at = 2 * self.usage.len();
    }

    /// Who calls a hundred thousand numbers within an hour is not remembered by all of them: those that are
    /// furthest from their limit are forgotten first.
    fn forget_least(&mut self, now: Timestamp) {
        let idle = self.usage.values().filter(|usage| usage.sum().calls == 0);
        let mut recent: Vec<u32> = idle.map(|usage| usage.recent_calls(now)).collect();
        let Some(surplus) = recent.len().checked_sub(MOST_REMEMBERED + 1) else {
            return;
        };
        let (_, most, _) = recent.select_nth_unstable(surplus);
        let most = *most;
        self.usage
            .retain(|_, usage| usage.sum().calls > 0 || usage.recent_calls(now) > most);
    }
}

impl Usage {
    fn share(&mut self, shard: usize) -> &mut Tally {
        if self.shares.len() <= shard {
            self.shares.resize(shard + 1, Tally::default());
        }
        &mut self.shares[shard]
    }

    fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        for share in &self.shares {
            sum.calls = sum.calls.saturating_add(share.calls);
            sum.setups = sum.setups.saturating_add(share.setups);
            sum.kbits = sum.kbits.saturating_add(share.kbits);
        }
        sum
    }

    /// A new call, where those of a minute or an hour are limited.
    fn count(&mut self, now: Timestamp, limits: &CallLimits) {
        let is_limited = spans(limits).iter().any(|(_, limit)| limit.is_some());
        if !is_limited && !self.has_recent(now) {
            // They may have been until a reload.
            self.recent = None;
            return;
        }
        // A call from before a reload brings the limits of then: it must not wipe out what counts now.
        let recent = self.recent.get_or_insert_default();
        for (window, (span, limit)) in recent.iter_mut().zip(spans(limits)) {
            // What nobody asks for would be remembered for an hour, of every number that anybody calls.
            if limit.is_some() {
                window.count(now, span);
            }
        }
    }

    /// Whether calls that are over still count.
    fn remembers(&self, now: Timestamp) -> bool {
        self.told.is_some_and(|told| now < told + QUIET) || self.has_recent(now)
    }

    /// Whether there were calls within a minute or an hour that are limited.
    fn has_recent(&self, now: Timestamp) -> bool {
        self.recent_calls(now) > 0
    }

    /// The most calls within a minute or an hour, of what is limited.
    fn recent_calls(&self, now: Timestamp) -> u32 {
        let windows = self.recent.iter().flat_map(|recent| recent.iter());
        let calls = windows.zip([Span::Minute, Span::Hour]);
        let calls = calls.map(|(window, span)| window.calls(now, span));
        calls.max().unwrap_or_default()
    }

    fn is_news(&mut self, now: Timestamp) -> bool {
        let is_news = self.told.is_none_or(|told| now >= told + QUIET);
        if is_news {
            self.told = Some(now);
        }
        is_news
    }

    /// The first limit that one more call would break.
    fn reached(
        &self,
        now: Timestamp,
        limits: &CallLimits,
        kbits: u32,
        standing: Standing,
    ) -> Option<Measure> {
        let taken = self.sum();
        let kept = match standing {
            Standing::Usual => limits.reserve.unwrap_or(0),
            Standing::Priority | Standing::Help => 0,
        };
        if let Some(limit) = limits.calls
            && taken.calls >= limit.saturating_sub(kept)
        {
            return Some(Measure::Calls(limit, kept));
        }
        if let Some(limit) = limits.setups.filter(|limit| taken.setups >= *limit) {
            return Some(Measure::Setups(limit));
        }
        if let Some(limit) = limits.bandwidth_kbits
            && taken.kbits.saturating_add(kbits) > limit
        {
            return Some(Measure::Bandwidth(limit));
        }
        if let Some(recent) = &self.recent {
            for (window, (span, limit)) in recent.iter().zip(spans(limits)) {
                if let Some(limit) = limit.filter(|limit| window.calls(now, span) >= *limit) {
                    return Some(Measure::Within(limit, span));
                }
            }
        }
        let (limit, spacing) = (limits.calls_per_second?, spacing(limits)?);
        let burst = spacing * limits.burst.unwrap_or(limit).max(1);
        let due = self.due.max(now);
        (due.since(now) + spacing > burst).then_some(Measure::Rate(limit))
    }
}

/// What of new calls is limited within which time.
fn spans(limits: &CallLimits) -> [(Span, Option<u32>); 2] {
    [
        (Span::Minute, limits.calls_per_minute),
        (Span::Hour, limits.calls_per_hour),
    ]
}

/// Time between two calls that come evenly.
fn spacing(limits: &CallLimits) -> Option<Duration> {
    let rate = limits.calls_per_second?;
    Some(Duration::from_secs(1) / rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk() -> Counted {
        Counted::Trunk(TrunkName::new("a"))
    }

    fn of(limits: CallLimits) -> Vec<(Counted, CallLimits)> {
        vec![(trunk(), limits)]
    }

    fn take(admission: &mut Admission, now: Timestamp, limits: CallLimits) -> Result<Place, Full> {
        let places = admission.take(now, of(limits), 0, Standing::Usual);
        places.map(|mut places| places.remove(0))
    }

    #[test]
    fn a_full_trunk_takes_a_call_again_when_one_has_ended() {
        let limits = CallLimits {
            calls: Some(2),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        let now = Timestamp::from_micros(0);
        let first = take(&mut admission, now, limits).expect("room");
        let _second = take(&mut admission, now, limits).expect("room");
        let full = take(&mut admission, now, limits).expect_err("full");
        assert_eq!(full.to_string(), "trunk \"a\" has its 2 calls");
        admission.give_back(first);
        assert!(take(&mut admission, now, limits).is_ok());
    }

    #[test]
    fn a_second_brings_as_many_calls_as_the_rate_says_and_no_more() {
        let limits = CallLimits {
            calls_per_second: Some(10),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        let mut admitted = 0;
        for tenth in 0..100 {
            let now = Timestamp::from_micros(tenth * 10_000);
            admitted += usize::from(take(&mut admission, now, limits).is_ok());
        }
        // One second's worth at once, and one second's worth in that second.
        assert!((10..=20).contains(&admitted), "{admitted}");
        let later = Timestamp::from_micros(5_000_000);
        let mut burst = |limits| {
            let calls = (0..50).filter(|_| take(&mut admission, later, limits).is_ok());
            calls.count()
        };
        assert_eq!(burst(limits), 10);
        let mut admission = Admission::default();
        let small = CallLimits {
            burst: Some(3),
            ..limits
        };
        let calls = (0..50).filter(|_| take(&mut admission, later, small).is_ok());
        assert_eq!(calls.count(), 3);
    }

    #[test]
    fn numbers_whose_calls_are_limited_within_a_minute_are_forgotten_after_it() {
        let limits = CallLimits {
            calls_per_minute: Some(3),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        for second in 0..4 * 3_600 {
            let now = Timestamp::from_micros(second * 1_000_000);
            let number = Counted::Numbers("each".to_owned(), Some(second.to_string()));
            let claims = vec![(number, limits)];
            let places = admission.take(now, claims, 0, Standing::Usual);
            for place in places.expect("a number called once") {
                admission.give_back(place);
            }
        }
        let known = admission.table().usage.len();
        assert!(known <= 2 * LEAST_SWEEP, "{known}");
    }

    #[test]
    fn of_very_many_numbers_those_that_are_called_most_are_remembered() {
        let limits = CallLimits {
            calls_per_hour: Some(3),
            ..CallLimits::default()
        };
        let now = Timestamp::from_micros(1_000_000);
        let mut admission = Admission::default();
        let mut call = |number: usize| {
            let number = Counted::Numbers("each".to_owned(), Some(number.to_string()));
            let taken = admission.take(now, vec![(number, limits)], 0, Standing::Usual);
            let taken =
                taken.map(|places| places.into_iter().for_each(|at| admission.give_back(at)));
            (taken.is_ok(), admission.table().usage.len())
        };
        for _ in 0..3 {
            assert!(call(0).0);
        }
        let known = (1..3 * MOST_REMEMBERED).map(|number| call(number).1);
        assert!(known.max().unwrap() <= 2 * MOST_REMEMBERED);
        assert!(!call(0).0, "its calls of this hour are remembered");
    }

    #[test]
    fn calls_of_a_minute_and_an_hour_are_limited_and_told_once_a_minute() {
        let limits = CallLimits {
            calls_per_minute: Some(3),
            calls_per_hour: Some(5),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        let mut ask = |seconds: u64| {
            let now = Timestamp::from_micros(seconds * 1_000_000);
            let taken = take(&mut admission, now, limits);
            taken
                .map(|place| admission.give_back(place))
                .map_err(|full| (full.key(), full.is_news(), full.to_string()))
        };
        for _ in 0..3 {
            assert_eq!(ask(10), Ok(()));
        }
        let why = "trunk \"a\" has had its 3 new calls within a minute".to_owned();
        assert_eq!(ask(11), Err(("calls_per_minute", true, why.clone())));
        assert_eq!(ask(12), Err(("calls_per_minute", false, why)));
        assert_eq!((ask(76), ask(76)), (Ok(()), Ok(())));
        let why = "trunk \"a\" has had its 5 new calls within an hour".to_owned();
        assert_eq!(ask(1_800), Err(("calls_per_hour", true, why)));
        assert_eq!(ask(3_600 + 400), Ok(()));
        // A call that was set up under other limits takes nothing away from those of now.
        let now = Timestamp::from_micros(4_001_000_000);
        let place = take(&mut admission, now, CallLimits::default()).expect("no limit");
        admission.give_back(place);
        let once = CallLimits {
            calls_per_hour: Some(1),
            ..CallLimits::default()
        };
        assert!(take(&mut admission, now, once).is_err());
        // Where nothing of the kind is limited any more, nothing is kept.
        let now = Timestamp::from_micros(8_100_000_000);
        let place = take(&mut admission, now, CallLimits::default()).expect("no limit");
        assert!(admission.table().usage[&trunk()].recent.is_none());
        admission.give_back(place);
    }

    #[test]
    fn all_shards_count_together_and_each_knows_its_own() {
        let limits = CallLimits {
            calls: Some(3),
            ..CallLimits::default()
        };
        let now = Timestamp::from_micros(0);
        let mut first = Admission::default();
        let mut second = first.of(ShardId(1));
        let mine = take(&mut first, now, limits).expect("room");
        let others = [(); 2].map(|()| take(&mut second, now, limits).expect("room"));
        assert!(take(&mut first, now, limits).is_err() && take(&mut second, now, limits).is_err());
        assert_eq!((first.taken(), second.taken()), (1, 2));
        // What one shard has lost says nothing of the other.
        assert_eq!(second.recount(others.iter().take(1)), 1);
        assert_eq!((first.taken(), second.taken()), (1, 1));
        first.give_back(mine);
        assert_eq!(first.recount([].iter()), 0);
        assert_eq!((first.taken(), second.taken()), (0, 1));
        let [kept, _lost] = others;
        second.give_back(kept);
        assert_eq!(second.taken(), 0);
    }

    #[test]
    fn a_place_needs_what_its_media_needs() {
        let limits = CallLimits {
            bandwidth_kbits: Some(100),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        let now = Timestamp::from_micros(0);
        let ask = |admission: &mut Admission| admission.take(now, of(limits), 80, Standing::Usual);
        let mut first = ask(&mut admission).expect("room");
        assert!(ask(&mut admission).is_err());
        admission.rated(&mut first[0], 20);
        let second = ask(&mut admission).expect("room");
        for place in first.into_iter().chain(second) {
            admission.give_back(place);
        }
        assert_eq!(admission.table().usage[&trunk()].sum(), Tally::default());
    }

    #[test]
    fn a_refused_call_takes_nothing() {
        let open = CallLimits {
            calls_per_second: Some(1),
            ..CallLimits::default()
        };
        let closed = CallLimits {
            calls: Some(0),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        let now = Timestamp::from_micros(0);
        let tenant = Counted::Tenant(TenantName::new("t"));
        let claims = vec![(tenant.clone(), open), (trunk(), closed)];
        let full = admission.take(now, claims, 0, Standing::Usual);
        assert!(full.is_err());
        assert_eq!(admission.taken(), 0);
        // Not even of the second's calls.
        let again = admission.take(now, vec![(tenant, open)], 0, Standing::Usual);
        assert!(again.is_ok());
    }

    #[test]
    fn what_is_reserved_is_for_help_and_priority_and_help_passes_everything() {
        let limits = CallLimits {
            calls: Some(3),
            reserve: Some(1),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        let now = Timestamp::from_micros(0);
        let mut ask = |standing| admission.take(now, of(limits), 0, standing).is_ok();
        let standings = [Standing::Usual; 3].map(&mut ask);
        assert_eq!(standings, [true, true, false]);
        assert!(ask(Standing::Priority) && !ask(Standing::Priority));
        assert!(ask(Standing::Help) && ask(Standing::Help));
        assert_eq!(admission.taken(), 5);
    }

    #[test]
    fn set_ups_and_bandwidth_are_counted_for_themselves() {
        let limits = CallLimits {
            setups: Some(1),
            bandwidth_kbits: Some(200),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        let now = Timestamp::from_micros(0);
        let ask = |admission: &mut Admission| admission.take(now, of(limits), 80, Standing::Usual);
        let mut first = ask(&mut admission).expect("room");
        let full = ask(&mut admission).expect_err("in set-up");
        assert!(full.to_string().ends_with("1 calls in set-up"), "{full}");
        admission.answered(&mut first[0]);
        admission.answered(&mut first[0]);
        let second = ask(&mut admission).expect("room");
        for place in second {
            admission.give_back(place);
        }
        let mut third = ask(&mut admission).expect("room");
        admission.answered(&mut third[0]);
        let full = ask(&mut admission).expect_err("no bandwidth");
        assert!(full.to_string().ends_with("200 kbit/s in use"), "{full}");
        let places = first.into_iter().chain(third);
        places.for_each(|place| admission.give_back(place));
        assert_eq!(admission.taken(), 0);
    }

    #[test]
    fn a_million_random_calls_leave_no_place_taken_and_never_break_a_limit() {
        let limits = CallLimits {
            calls: Some(40),
            setups: Some(15),
            bandwidth_kbits: Some(3_000),
            reserve: Some(2),
            ..CallLimits::default()
        };
        let mut admission = Admission::default();
        let (mut random, mut now) = (88_172_645_463_325_252_u64, Timestamp::ZERO);
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        // What a book-keeper has who looks at the calls and not at the counters.
        let mut running: Vec<(usize, bool, Vec<Place>)> = Vec::new();
        let (mut admitted, mut refused) = (0_u32, 0_u32);
        for _ in 0..1_000_000 {
            now = now + Duration::from_millis(next(50));
            match next(10) {
                0..=4 => {
                    let trunk = next(3) as usize;
                    let (name, number) = (format!("t{trunk}"), format!("+49{}", next(500)));
                    let claims = vec![
                        (Counted::Trunk(TrunkName::new(&name)), limits),
                        (
                            Counted::Numbers(String::new(), Some(number)),
                            CallLimits::default(),
                        ),
                    ];
                    let of_trunk = || running.iter().filter(|(own, ..)| *own == trunk);
                    let setups = of_trunk().filter(|(_, is_answered, _)| !is_answered);
                    let (calls, setups) = (of_trunk().count(), setups.count());
                    let has_room = calls < 38 && setups < 15 && calls * 80 + 80 <= 3_000;
                    match admission.take(now, claims, 80, Standing::Usual) {
                        Ok(places) => {
                            assert!(has_room, "{calls} calls, {setups} of them in set-up");
                            running.push((trunk, false, places));
                            admitted += 1;
                        }
                        Err(full) => {
                            assert!(!has_room, "{full} with {calls} calls and {setups} set-ups");
                            refused += 1;
                        }
                    }
                }
                5..=6 if !running.is_empty() => {
                    let at = next(running.len() as u64) as usize;
                    let (_, is_answered, places) = &mut running[at];
                    *is_answered = true;
                    places
                        .iter_mut()
                        .for_each(|place| admission.answered(place));
                }
                _ if !running.is_empty() => {
                    let at = next(running.len() as u64) as usize;
                    let (.., places) = running.swap_remove(at);
                    places
                        .into_iter()
                        .for_each(|place| admission.give_back(place));
                }
                _ => {}
            }
        }
        assert!(
            admitted > 100_000 && refused > 1_000,
            "{admitted}, {refused}"
        );
        let owned = running.iter().flat_map(|(.., places)| places);
        assert_eq!(admission.recount(owned), 0, "no counter has drifted");
        for (.., places) in running {
            places
                .into_iter()
                .for_each(|place| admission.give_back(place));
        }
        assert_eq!(admission.taken(), 0);
        let usage = &admission.table().usage;
        assert!(usage.values().all(|usage| usage.sum() == Tally::default()));
        // Numbers that nobody calls any more are forgotten.
        assert!(usage.len() <= 3 + LEAST_SWEEP, "{}", usage.len());
    }
}
