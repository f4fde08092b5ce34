//! Calls in figures: a fold over events.

mod minute;
mod phase;

pub use minute::SoFar;

use super::open::{Exemplars, SETUP};
use super::{Maker, SETUP_SECONDS, label};
use media_api::OneWayKind;
use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};
use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::config::Config;
use sbc_core::event::{Event, Happened, TargetFault};
use sbc_core::id::{CallId, LegId, RouteName, ShardId, TenantName, TrunkName};
use sbc_core::overload::Stage;
use sbc_core::record::{CallPhase, Disposition, MediaRecord, Record};
use sbc_core::time::UnixTime;
use sbc_core::trunk::{Closing, TargetId, TargetState};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Calls that are up, by identifiers of ours.
type OpenCalls = HashMap<CallId, Open, foldhash::fast::RandomState>;

/// Counters and gauges of calls, and what must be remembered of each call to keep the gauges right.
pub struct CallMetrics {
    active: IntGaugeVec,
    limits: IntGaugeVec,
    /// Trunks, customers and directions that have one.
    limited_names: Mutex<BTreeSet<(String, String, &'static str)>>,
    attempts: IntCounterVec,
    answered: IntCounterVec,
    ended: IntCounterVec,
    duration: HistogramVec,
    setup: HistogramVec,
    /// Calls beside its buckets.
    pub(super) exemplars: Exemplars,
    selected: IntCounterVec,
    reroutes: IntCounterVec,
    transfers: IntCounterVec,
    media_refused: IntCounterVec,
    unusable_keys: IntCounterVec,
    oversize: IntCounterVec,
    lost_keys: IntCounterVec,
    spent: IntCounterVec,
    limited: IntCounterVec,
    peer_up: GaugeVec,
    peer_addresses: IntGaugeVec,
    peer_changes: IntCounterVec,
    trunk_closed: IntGaugeVec,
    bugs: IntCounterVec,
    orphans: IntCounterVec,
    media_loss: HistogramVec,
    media_jitter: HistogramVec,
    media_round_trip: HistogramVec,
    mos: HistogramVec,
    targets_missed: IntCounterVec,
    verifications: IntCounterVec,
    one_way: IntCounterVec,
    ice_failed: IntCounterVec,
    calls: Mutex<OpenCalls>,
    /// Those of them that were in a phase at the last scrape.
    in_phases: Mutex<HashSet<CallId>>,
    peers: Mutex<BTreeMap<TargetId, TargetState>>,
    overload: IntGaugeVec,
    stages: Mutex<BTreeMap<ShardId, Stage>>,
}

/// How an address that is watched may be. Label values.
const WATCHED: [TargetState; 4] = [
    TargetState::Up,
    TargetState::Busy,
    TargetState::Refuses,
    TargetState::Down,
];

/// How many targets a call has tried. Label values.
const ATTEMPTS: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

/// What is known of one address that is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerHealth {
    /// The trunk it belongs to.
    pub trunk: TrunkName,
    /// Its host as configured.
    pub host: String,
    /// Its address; nothing while the name has none.
    pub address: Option<SocketAddr>,
    /// What is held of it.
    pub state: TargetState,
}

struct Open {
    tenant: Option<TenantName>,
    trunk: TrunkName,
    /// The legs that are called or that have answered.
    called: Vec<Called>,
    /// Route that it took, and how many targets it has tried.
    route: Option<RouteName>,
    tried: usize,
    is_answered: bool,
    /// As it was when somebody scraped last.
    phase: Option<CallPhase>,
    has_failed_checks: bool,
}

/// A leg that was called.
struct Called {
    leg: LegId,
    trunk: TrunkName,
    /// When its last attempt began.
    at: UnixTime,
    is_answered: bool,
}

impl Open {
    /// The trunk of a leg; of one that is not known, that which the call came from.
    fn trunk_of(&self, leg: LegId) -> &TrunkName {
        let called = self.called.iter().find(|called| called.leg == leg);
        called.map_or(&self.trunk, |called| &called.trunk)
    }
}

impl CallMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            active: maker.gauges(
                "sbc_calls_active",
                "Calls in progress by the trunk they came from (in), and legs of theirs by the trunk they were \
                 called over (out): setup, early once the caller was told of ringing or has early media, connected, and \
                 held while one party has the other on hold; early and held are as of this scrape.",
                &["trunk", "tenant", "dir", "state"],
            )?,
            limits: maker.gauges(
                "sbc_calls_limit",
                "As many calls as limits of a trunk or a customer allow at the same time: from the trunk (in), to it \
                 (out), and together (both). Of a customer trunk is empty, of a trunk tenant.",
                &["trunk", "tenant", "dir"],
            )?,
            limited_names: Mutex::default(),
            attempts: maker.counters(
                "sbc_call_attempts_total",
                "INVITEs that were admitted (in) or sent to a target (out).",
                &["trunk", "tenant", "dir"],
            )?,
            answered: maker.counters(
                "sbc_calls_answered_total",
                "Calls that were answered (in), and legs that answered (out), also those of transfers.",
                &["trunk", "tenant", "dir"],
            )?,
            ended: maker.counters(
                "sbc_calls_ended_total",
                "Calls that ended, by cause and by who ended them.",
                &["trunk", "dir", "cause", "side"],
            )?,
            duration: maker.histograms(
                "sbc_call_duration_seconds",
                "From answer to end of answered calls.",
                &["tenant", "dir"],
                &[
                    1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
                ],
            )?,
            exemplars: Exemplars::default(),
            setup: maker.histograms(
                SETUP,
                "From our INVITE to the first response of a target (trying) and to its first ringing or progress (ringing), by \
                 the trunk that it is called over; to the answer (answer) from where the trunk was tried, so that targets of \
                 it that did not answer before are in it.",
                &["trunk", "phase"],
                &SETUP_SECONDS,
            )?,
            selected: maker.counters(
                "sbc_route_selected_total",
                "Targets that calls were sent to, by the route that led there (empty for calls for help) and by how \
                 many the call had tried with it: from 1 to 6, which stands for all further ones.",
                &["route", "trunk", "attempt"],
            )?,
            oversize: maker.counters(
                "sbc_sip_udp_oversize_total",
                "Requests that are too large for a datagram to peers of UDP, by what was done.",
                &["trunk", "action"],
            )?,
            lost_keys: maker.counters(
                "sbc_keys_lost_total",
                "Keys in INFO that were told to nobody, because too many waited for their events.",
                &["trunk"],
            )?,
            spent: maker.counters(
                "sbc_spend_reached_total",
                "Limits on money that were reached, by what they are of.",
                &["of", "name", "period", "action"],
            )?,
            limited: maker.counters(
                "sbc_limit_refusals_total",
                "Calls that a limit refused or sent another way, by what the limit is of and which it is; \
                 an alarm on it shows fraud and limits that are too low.",
                &["of", "name", "limit", "tenant"],
            )?,
            reroutes: maker.counters(
                "sbc_reroutes_total",
                "Targets that were given up while others were left.",
                &["trunk", "reason"],
            )?,
            transfers: maker.counters(
                "sbc_transfer_total",
                "Transfers, by the trunk that asked for them and by how they ended.",
                &["trunk", "type", "result"],
            )?,
            media_refused: maker.counters(
                "sbc_media_refused_total",
                "Offers and attempts whose media could not be served, by trunk and reason.",
                &["trunk", "reason"],
            )?,
            unusable_keys: maker.counters(
                "sbc_srtp_keys_unusable_total",
                "Lines of descriptions with a key that cannot be used: syntax, suite, key, lifetime, mki, tag, unprotected, parameter.",
                &["trunk", "why"],
            )?,
            peer_up: maker.float_gauges(
                "sbc_peer_up",
                "1 if an address of the target answers and takes calls, 0.5 if the best one answers that it is busy or does not know us, 0 if none answers.",
                &["trunk", "peer"],
            )?,
            peer_addresses: maker.gauges(
                "sbc_peer_addresses",
                "Addresses of the target that are watched, by how they are: up, busy or refuses (it answers, and takes no calls or does not know us), down.",
                &["trunk", "peer", "state"],
            )?,
            peer_changes: maker.counters(
                "sbc_peer_state_changes_total",
                "Changes of the health of a target's addresses.",
                &["trunk", "peer", "to"],
            )?,
            trunk_closed: maker.gauges(
                "sbc_trunk_closed",
                "1 while an operator keeps new calls away from the trunk: disabled or draining.",
                &["trunk", "how"],
            )?,
            overload: maker.gauges(
                "sbc_overload_stage",
                "0 calm, 1 busy, 2 some new calls are refused, 3 all are.",
                &["shard"],
            )?,
            orphans: maker.counters(
                "sbc_orphans_reaped_total",
                "Entries of tables that belonged to no call any more; anything but 0 is a defect.",
                &["table"],
            )?,
            bugs: maker.counters(
                "sbc_broken_invariants_total",
                "Contradictions in our own state; must be 0.",
                &["invariant"],
            )?,
            media_loss: maker.histograms(
                "sbc_rtp_loss_ratio",
                "Loss on the way to us: one observation per leg for each minute, and one of the whole at the end of a call.",
                &["trunk", "dir"],
                &[0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3],
            )?,
            media_jitter: maker.histograms(
                "sbc_rtp_jitter_seconds",
                "Interarrival jitter: one observation per leg each minute, and its mean at the end of a call.",
                &["trunk", "dir"],
                &[0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2],
            )?,
            media_round_trip: maker.histograms(
                "sbc_rtp_rtt_seconds",
                "Round trip by RTCP: one observation per leg each minute, and its mean at the end of a call.",
                &["trunk", "dir"],
                &[0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
            )?,
            mos: maker.histograms(
                "sbc_mos_estimate",
                "Opinion score of what a leg's peer sent, by the E-model: one observation per leg at the end of a call. Codecs of \
                 different bandwidths are not to be compared.",
                &["trunk", "dir", "codec", "kind"],
                &[1.0, 2.0, 2.5, 3.0, 3.3, 3.6, 3.8, 4.0, 4.2, 4.4],
            )?,
            targets_missed: maker.counters(
                "sbc_teams_quality_missed_total",
                "Legs with Teams whose media missed what Microsoft wants of the network, by target.",
                &["trunk", "target"],
            )?,
            ice_failed: maker.counters(
                "sbc_ice_failed_calls_total",
                "Calls in which media did not get through because checks of ICE did not come or were refused, \
                 each once, by the trunk that the call came from.",
                &["trunk"],
            )?,
            verifications: maker.counters(
                "sbc_stir_verifications_total",
                "Callers whose signatures were looked into, by what was found.",
                &["result"],
            )?,
            one_way: maker.counters(
                "sbc_rtp_one_way_total",
                "Times that the media of a call's leg did not get through, by what was seen.",
                &["trunk", "kind"],
            )?,
            calls: Mutex::new(OpenCalls::default()),
            in_phases: Mutex::default(),
            peers: Mutex::new(BTreeMap::new()),
            stages: Mutex::new(BTreeMap::new()),
        })
    }

    /// Counts an event.
    pub fn apply(&self, event: &Event) {
        match (&event.what, event.call) {
            (Happened::Admitted { tenant, trunk, .. }, Some(call)) => {
                self.admitted(call, tenant.as_ref(), trunk);
            }
            (Happened::Restored(record), Some(call)) => self.restored(call, record),
            (Happened::AttemptStarted { trunk, .. }, Some(call)) => {
                let tenant = self.with_mut(call, |open| {
                    if let Some(leg) = event.leg {
                        self.called(open, leg, trunk, event.at);
                    }
                    self.select(open, trunk);
                    open.tenant.clone()
                });
                let tenant = tenant.flatten();
                self.attempts
                    .with_label_values(&[trunk.as_str(), label(tenant.as_ref()), "out"])
                    .inc();
            }
            (
                Happened::TargetFailed {
                    trunk, why, left, ..
                },
                _,
            ) if *left > 0 => {
                self.reroutes
                    .with_label_values(&[trunk.as_str(), fault_label(why)])
                    .inc();
            }
            (
                Happened::Routed {
                    route: Some(route), ..
                },
                Some(call),
            ) => {
                self.with_mut(call, |open| open.route = Some(route.clone()));
            }
            (Happened::KeyLost { trunk, .. }, _) => {
                self.lost_keys.with_label_values(&[trunk.as_str()]).inc();
            }
            (Happened::Oversize { trunk, action, .. }, _) => {
                self.oversize
                    .with_label_values(&[trunk.as_str(), action.as_str()])
                    .inc();
            }
            (
                Happened::Transfer {
                    trunk,
                    kind,
                    outcome,
                    ..
                },
                _,
            ) => {
                self.transfers
                    .with_label_values(&[trunk.as_str(), kind.as_str(), outcome.as_str()])
                    .inc();
            }
            (Happened::MediaRefused { trunk, why }, _) => {
                let labels = [trunk.as_str(), why.as_str()];
                self.media_refused.with_label_values(&labels).inc();
            }
            (Happened::KeyUnusable { trunk, why }, _) => {
                let labels = [trunk.as_str(), why.as_str()];
                self.unusable_keys.with_label_values(&labels).inc();
            }
            (Happened::Verified { fault, .. }, _) => {
                let result = fault.map_or("passed", |fault| fault.label());
                self.verifications.with_label_values(&[result]).inc();
            }
            (Happened::LimitReached { tenant, full }, _) => {
                let (of, name) = (full.counted().kind(), full.counted().name());
                let labels = [of, name, full.key(), label(tenant.as_ref())];
                self.limited.with_label_values(&labels).inc();
            }
            (Happened::SpendReached(spent), _) => {
                let (of, name) = (spent.counted.kind(), spent.counted.name());
                let labels = [of, name, spent.period.as_str(), spent.action.as_str()];
                self.spent.with_label_values(&labels).inc();
            }
            (Happened::Answered { .. }, Some(call)) => {
                self.answered_call(call);
                if let Some(leg) = event.leg {
                    self.talk(call, &[leg]);
                }
            }
            (Happened::Recorded(record), Some(call)) => {
                // A transfer has changed who talks.
                if let Some(last) = record.conversations.last() {
                    self.talk(call, &[last.a, last.b]);
                }
            }
            (Happened::Media(media_api::Event::OneWay { endpoint, kind, .. }), Some(call)) => {
                if matches!(kind, OneWayKind::NoChecks | OneWayKind::RefusedChecks) {
                    self.checks_failed(call);
                }
                let trunk = self.with(call, |open| open.trunk_of(LegId(endpoint.0)).clone());
                if let Some(trunk) = trunk {
                    self.one_way
                        .with_label_values(&[trunk.as_str(), kind.as_str()])
                        .inc();
                }
            }
            (Happened::Ended(record), _) => self.ended_call(record, event.at),
            (Happened::TargetHealth { target, state, .. }, _) => self.health(target, *state),
            (Happened::TrunkClosing { trunk, closing }, _) => self.trunk_closed(trunk, *closing),
            (Happened::Overload { shard, stage, .. }, _) => {
                let number = shard.0.to_string();
                let gauge = self.overload.with_label_values(&[number.as_str()]);
                gauge.set(*stage as i64);
                self.lock_stages().insert(*shard, *stage);
            }
            (
                Happened::Orphans {
                    dialogs,
                    sessions,
                    queries,
                    places,
                },
                _,
            ) => {
                let found = [
                    ("dialogs", dialogs),
                    ("media_sessions", sessions),
                    ("queries", queries),
                    ("places", places),
                ];
                for (table, found) in found {
                    let found = u64::try_from(*found).unwrap_or(u64::MAX);
                    self.orphans.with_label_values(&[table]).inc_by(found);
                }
            }
            (Happened::Bug { invariant }, _) => {
                self.bugs.with_label_values(&[*invariant]).inc();
            }
            _ => {}
        }
    }

    /// Notes how an operator keeps new calls away from a trunk.
    pub fn trunk_closed(&self, trunk: &TrunkName, closing: Option<Closing>) {
        for how in [Closing::Disabled, Closing::Draining] {
            let labels = [trunk.as_str(), how.as_str()];
            match closing == Some(how) {
                true => self.trunk_closed.with_label_values(&labels).set(1),
                // It may never have been there.
                false => drop(self.trunk_closed.remove_label_values(&labels)),
            }
        }
    }

    /// Names of targets are those of the configuration, and few; addresses come and go with DNS, and label nothing.
    fn health(&self, target: &TargetId, state: TargetState) {
        let labels = [target.trunk.as_str(), target.host.as_str()];
        let mut peers = self.lock_peers();
        match state {
            TargetState::Gone => drop(peers.remove(target)),
            known => drop(peers.insert(target.clone(), known)),
        }
        let is_same = |(own, _): &(&TargetId, &TargetState)| {
            (&own.trunk, &own.host) == (&target.trunk, &target.host)
        };
        let states: Vec<TargetState> = peers
            .iter()
            .filter(is_same)
            .map(|(_, state)| *state)
            .collect();
        for one in WATCHED {
            let count = states.iter().filter(|own| **own == one).count();
            let labels = [labels[0], labels[1], one.as_str()];
            match states.is_empty() {
                // It may never have been there.
                true => drop(self.peer_addresses.remove_label_values(&labels)),
                false => {
                    let count = i64::try_from(count).unwrap_or(i64::MAX);
                    self.peer_addresses.with_label_values(&labels).set(count);
                }
            }
        }
        let up = |state: &TargetState| match state {
            TargetState::Up => 1.0,
            // It answers, and may get calls.
            TargetState::Busy | TargetState::Refuses => 0.5,
            TargetState::Down | TargetState::Gone => 0.0,
        };
        match states.iter().map(up).reduce(f64::max) {
            Some(best) => self.peer_up.with_label_values(&labels).set(best),
            None => drop(self.peer_up.remove_label_values(&labels)),
        }
        if state != TargetState::Gone {
            let labels = [labels[0], labels[1], state.as_str()];
            self.peer_changes.with_label_values(&labels).inc();
        }
    }

    /// Watched addresses of which something is known, by trunk and host.
    pub fn peers(&self) -> Vec<PeerHealth> {
        let peers = self.lock_peers();
        let health = |(target, state): (&TargetId, &TargetState)| PeerHealth {
            trunk: target.trunk.clone(),
            host: target.host.clone(),
            address: target.remote,
            state: *state,
        };
        peers.iter().map(health).collect()
    }

    /// How loaded the most loaded shard is.
    pub fn overload(&self) -> Stage {
        let stages = self.lock_stages();
        stages.values().max().copied().unwrap_or_default()
    }

    /// Calls in progress.
    pub fn in_progress(&self) -> usize {
        self.lock().len()
    }

    /// Which calls are in progress.
    pub fn all_in_progress(&self) -> BTreeSet<CallId> {
        self.lock().keys().copied().collect()
    }

    fn admitted(&self, call: CallId, tenant: Option<&TenantName>, trunk: &TrunkName) {
        let labels = [trunk.as_str(), label(tenant), "in"];
        self.attempts.with_label_values(&labels).inc();
        let open = Open {
            tenant: tenant.cloned(),
            trunk: trunk.clone(),
            called: Vec::new(),
            route: None,
            tried: 0,
            is_answered: false,
            phase: None,
            has_failed_checks: false,
        };
        self.gauge(&open).inc();
        self.lock().insert(call, open);
    }

    /// A call of the process before this one goes on, which has counted what it began with.
    fn restored(&self, call: CallId, record: &Record) {
        let talking = match record.conversations.last() {
            Some(last) => [Some(last.a), Some(last.b)],
            None => [record.answered_by, None],
        };
        let mut open = Open {
            tenant: record.tenant.clone(),
            trunk: record.ingress.trunk.clone(),
            called: Vec::new(),
            route: record.route_name.clone(),
            tried: record.egress.len(),
            is_answered: true,
            phase: None,
            has_failed_checks: false,
        };
        self.gauge(&open).inc();
        let called = record.egress.iter();
        for attempt in called.filter(|own| talking.contains(&Some(own.leg))) {
            let called = Called {
                leg: attempt.leg,
                trunk: attempt.trunk.clone(),
                at: record.start,
                is_answered: true,
            };
            self.out_gauge(&open, &called).inc();
            open.called.push(called);
        }
        self.lock().insert(call, open);
    }

    fn answered_call(&self, call: CallId) {
        let mut calls = self.lock();
        let Some(open) = calls.get_mut(&call).filter(|open| !open.is_answered) else {
            return;
        };
        self.gauge(open).dec();
        open.is_answered = true;
        self.gauge(open).inc();
        self.answered
            .with_label_values(&[open.trunk.as_str(), label(open.tenant.as_ref()), "in"])
            .inc();
    }

    /// A leg is called. Those that were called before it and have not answered are given up, unless all are
    /// called at once.
    fn called(&self, open: &mut Open, leg: LegId, trunk: &TrunkName, at: UnixTime) {
        self.keep(open, |called| {
            called.leg != leg && (called.is_answered || called.at == at)
        });
        let called = Called {
            leg,
            trunk: trunk.clone(),
            at,
            is_answered: false,
        };
        self.out_gauge(open, &called).inc();
        open.called.push(called);
    }

    /// A call goes to one more target.
    fn select(&self, open: &mut Open, trunk: &TrunkName) {
        let number = open.tried.min(ATTEMPTS.len() - 1);
        open.tried += 1;
        let route = open.route.as_ref().map_or("", RouteName::as_str);
        self.selected
            .with_label_values(&[route, trunk.as_str(), ATTEMPTS[number]])
            .inc();
    }

    /// These legs talk, and no others do.
    fn talk(&self, call: CallId, legs: &[LegId]) {
        let mut calls = self.lock();
        let Some(open) = calls.get_mut(&call) else {
            return;
        };
        self.keep(open, |called| legs.contains(&called.leg));
        let mut talking = std::mem::take(&mut open.called);
        for called in talking.iter_mut().filter(|called| !called.is_answered) {
            self.out_gauge(open, called).dec();
            called.is_answered = true;
            self.out_gauge(open, called).inc();
            self.answered
                .with_label_values(&[called.trunk.as_str(), label(open.tenant.as_ref()), "out"])
                .inc();
        }
        open.called = talking;
    }

    /// Takes the legs out that are not to be kept.
    fn keep(&self, open: &mut Open, is_kept: impl Fn(&Called) -> bool) {
        let all = std::mem::take(&mut open.called);
        let (kept, gone) = all.into_iter().partition::<Vec<_>, _>(is_kept);
        for called in &gone {
            self.out_gauge(open, called).dec();
        }
        open.called = kept;
    }

    /// Tells how many calls the configuration allows.
    pub fn set_limits(&self, config: &Config) {
        let mut limited = BTreeSet::new();
        for (name, trunk) in &config.trunks {
            let limits = &trunk.limits;
            for (dir, own) in [
                ("both", &limits.both),
                ("in", &limits.inbound),
                ("out", &limits.outbound),
            ] {
                if let Some(calls) = own.calls {
                    limited.insert((name.to_string(), String::new(), dir));
                    let gauge = self.limits.with_label_values(&[name.as_str(), "", dir]);
                    gauge.set(i64::from(calls));
                }
            }
        }
        for (name, tenant) in &config.tenants {
            if let Some(calls) = tenant.limits.calls {
                limited.insert((String::new(), name.to_string(), "both"));
                let gauge = self.limits.with_label_values(&["", name.as_str(), "both"]);
                gauge.set(i64::from(calls));
            }
        }
        let mut before = self
            .limited_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (trunk, tenant, dir) in before.difference(&limited) {
            let _ = self
                .limits
                .remove_label_values(&[trunk.as_str(), tenant, dir]);
        }
        *before = limited;
    }

    /// Checks of ICE do not get through; each call counts once.
    fn checks_failed(&self, call: CallId) {
        let mut calls = self.lock();
        let Some(open) = calls.get_mut(&call).filter(|open| !open.has_failed_checks) else {
            return;
        };
        open.has_failed_checks = true;
        self.ice_failed
            .with_label_values(&[open.trunk.as_str()])
            .inc();
    }

    fn ended_call(&self, record: &Record, at: UnixTime) {
        if let Some(mut open) = self.lock().remove(&record.call) {
            self.gauge(&open).dec();
            self.keep(&mut open, |_| false);
        }
        let trunk = record.ingress.trunk.as_str();
        let tenant = label(record.tenant.as_ref());
        let side = match record.cause.by {
            EndedBy::A => "a",
            EndedBy::B => "b",
            EndedBy::Us => "local",
        };
        self.ended
            .with_label_values(&[trunk, "in", record.cause.code.as_str(), side])
            .inc();
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let set_up = |trunk: &TrunkName, phase: &'static str, ms: Option<u64>| {
            let Some(took) = ms.map(seconds) else {
                return;
            };
            self.setup
                .with_label_values(&[trunk.as_str(), phase])
                .observe(took);
            self.exemplars.note(trunk, phase, took, (record.call, at));
        };
        for attempt in &record.egress {
            let is_answered = attempt.status == Some(200);
            let answer = attempt.ended_ms.filter(|_| is_answered);
            let answer = answer.map(|ended| ended.saturating_sub(attempt.started_ms));
            set_up(&attempt.trunk, "trying", attempt.first_response_ms);
            set_up(&attempt.trunk, "ringing", attempt.first_progress_ms);
            set_up(&attempt.trunk, "answer", answer);
        }
        if record.disposition == Disposition::Answered {
            self.duration
                .with_label_values(&[tenant, "in"])
                .observe(seconds(record.duration_ms));
        }
        self.media(record);
    }

    /// A call that a daemon before this one had, and a crash has ended.
    pub fn lost(&self, trunk: &str) {
        let cause = CauseCode::RestartLost.as_str();
        self.ended
            .with_label_values(&[trunk, "in", cause, "local"])
            .inc();
    }

    fn media(&self, record: &Record) {
        for media in &record.media {
            let (trunk, dir) = if media.leg == LegId(0) {
                (Some(&record.ingress.trunk), "in")
            } else {
                let attempt = record.egress.iter().find(|a| a.leg == media.leg);
                (attempt.map(|a| &a.trunk), "out")
            };
            let Some(trunk) = trunk.filter(|_| media.packets_in > 0) else {
                continue;
            };
            self.leg(trunk, dir, media);
        }
    }

    fn leg(&self, trunk: &TrunkName, dir: &str, media: &MediaRecord) {
        let lost = media.lost.max(0) as f64;
        self.media_loss
            .with_label_values(&[trunk.as_str(), dir])
            .observe(lost / (lost + media.packets_in as f64));
        self.media_jitter
            .with_label_values(&[trunk.as_str(), dir])
            .observe(media.received.mean_jitter_ms / 1000.0);
        if let Some(ms) = media.rtt_ms {
            self.media_round_trip
                .with_label_values(&[trunk.as_str(), dir])
                .observe(ms / 1000.0);
        }
        // Only codecs that are known to the model are rated, so that the label stays small.
        let codec = media.codec.as_deref().unwrap_or_default().to_uppercase();
        let ratings = [
            ("lq", &media.received.listening),
            ("cq", &media.received.conversational),
        ];
        for (kind, rating) in ratings {
            if let Some(rating) = rating {
                self.mos
                    .with_label_values(&[trunk.as_str(), dir, &codec, kind])
                    .observe(rating.mos_estimate);
            }
        }
        for target in media.targets.iter().flat_map(|targets| targets.missed()) {
            self.targets_missed
                .with_label_values(&[trunk.as_str(), target.name])
                .inc();
        }
    }

    fn out_gauge(&self, open: &Open, called: &Called) -> prometheus::IntGauge {
        let state = phase::word(called.is_answered, open.phase);
        let tenant = label(open.tenant.as_ref());
        self.active
            .with_label_values(&[called.trunk.as_str(), tenant, "out", state])
    }

    fn gauge(&self, open: &Open) -> prometheus::IntGauge {
        let state = phase::word(open.is_answered, open.phase);
        self.active.with_label_values(&[
            open.trunk.as_str(),
            label(open.tenant.as_ref()),
            "in",
            state,
        ])
    }

    fn with<T>(&self, call: CallId, read: impl FnOnce(&Open) -> T) -> Option<T> {
        self.lock().get(&call).map(read)
    }

    fn with_mut<T>(&self, call: CallId, change: impl FnOnce(&mut Open) -> T) -> Option<T> {
        self.lock().get_mut(&call).map(change)
    }

    fn lock_stages(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardId, Stage>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_peers(&self) -> std::sync::MutexGuard<'_, BTreeMap<TargetId, TargetState>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OpenCalls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fault_label(fault: &TargetFault) -> &'static str {
    match fault {
        TargetFault::Flow(_) => "transport",
        TargetFault::Resolve(_) => "dns",
        TargetFault::Timeout => "timeout",
        TargetFault::Status(_) => "status",
        TargetFault::NotRegistered => "not_registered",
        TargetFault::NoBinding => "no_binding",
        TargetFault::Quarantined => "quarantined",
        TargetFault::Unwritable => "unwritable",
        TargetFault::NumberForm => "number_form",
        TargetFault::Relieved => "relieved",
        TargetFault::Down => "down",
    }
}

#[cfg(test)]
mod tests;
