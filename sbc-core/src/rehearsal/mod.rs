//! What would become of a call: a described one is played by the core that serves calls, against a
//! configuration, and everything it does is looked at instead of done.
//!
//! ```text
//! CallIn ─► caller (flow, INVITE) ─► Core ─► effects ─► stage (relay, names, dead targets)
//!                                              │   ◄──────┘ inputs
//!                                              └─► Played ─► expect: wishes that are not met
//! ```
//!
//! No route is chosen and no header written here: whatever is told is what the core did. Targets
//! never answer, so that every one of them shows. The number of steps is bounded, and so is time.

mod caller;
mod expect;
mod stage;

pub use caller::Undescribed;

use crate::cause::{Because, CauseCode};
use crate::config::{CallIn, Config, Finding, Findings, Loaded};
use crate::core::Core;
use crate::effect::{Effect, Effects};
use crate::event::{DropCode, Happened};
use crate::id::{ShardId, TenantName, TrunkName};
use crate::input::Input;
use crate::mint::Mint;
use crate::policy::presence::Presence;
use crate::record::Record;
use crate::sip::{Limits, Message, Method};
use crate::time::{Now, Timestamp, UnixTime};
use crate::transport::{FlowFault, Protocol};
use stage::{Scene, Stage};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// What became of a described call.
#[derive(Clone, Debug)]
pub struct Played {
    /// The INVITE that was made of the description.
    pub invite: Message,
    /// Where it came from.
    pub source: SocketAddr,
    /// How it came.
    pub protocol: Protocol,
    /// Trunk that it was found to belong to.
    pub trunk: Option<TrunkName>,
    /// Customer, if it has one.
    pub tenant: Option<TenantName>,
    /// Rules that were followed up to the choice of trunks, in their order.
    pub rules: Vec<String>,
    /// INVITEs that went out, each to another target.
    pub tries: Vec<Tried>,
    /// How the call was refused, where none went out.
    pub refusal: Option<Refused>,
    /// Why the request was dropped, or refused without becoming a call.
    pub dropped: Option<DropCode>,
}

/// One INVITE that went out.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Trunk.
    pub trunk: TrunkName,
    /// Target as configured.
    pub host: String,
    /// Address; invented where the target is a name.
    pub remote: SocketAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Rules that made the INVITE what it is.
    pub rules: Vec<String>,
    /// The INVITE.
    pub message: Message,
}

/// A refusal of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Status, and nothing where the caller is not answered at all.
    pub status: Option<u16>,
    /// Name of the cause; none for a request that never became a call.
    pub cause: Option<CauseCode>,
    /// Why.
    pub because: Because,
}

/// Plays the tests of a configuration; those that fail are findings that refuse it.
///
/// # Errors
/// One finding for each wish that is not met, with all that was found before.
pub fn gate(loaded: Loaded) -> Result<Loaded, Findings> {
    let mut trunks = loaded.config.trunks.values();
    // What calls become without a trunk that lacks its secret is told by nobody's test, and keeps no other from service.
    if loaded.cases.is_empty() || trunks.any(|trunk| trunk.is_out_of_service) {
        return Ok(loaded);
    }
    let scene = Scene::new(Arc::new(loaded.config.clone()));
    let mut failed: Vec<Finding> = Vec::new();
    for case in &loaded.cases {
        failed.extend(expect::unmet(case, play_in(&scene, &case.call).as_ref()));
    }
    if failed.is_empty() {
        return Ok(loaded);
    }
    let omitted = failed.len().saturating_sub(Findings::MOST);
    failed.truncate(Findings::MOST);
    Err(Findings {
        errors: failed,
        omitted: loaded.findings.omitted + omitted,
        ..loaded.findings
    })
}

/// Plays one call.
///
/// # Errors
/// [`Undescribed`], if no call can be made of the description.
pub fn play(config: &Arc<Config>, call: &CallIn) -> Result<Played, Undescribed> {
    play_in(&Scene::new(Arc::clone(config)), call)
}

fn play_in(scene: &Arc<Scene>, call: &CallIn) -> Result<Played, Undescribed> {
    let mut stage = Stage::new(Arc::clone(scene));
    let wall = call.time.unwrap_or(BEGINNING.wall);
    let (flow, invite) = caller::invite(&mut stage, call)?;
    let core = Core::new(
        ShardId(0),
        match call.time {
            Some(_) => Arc::clone(scene.config()),
            None => always_open(scene.config()),
        },
        Mint::new(ShardId(0), SEED),
    );
    let core = match &call.presence {
        Some(text) => core.assuming(Presence::of_words(text)),
        None => core,
    };
    let mut rehearsal = Rehearsal {
        core: core.explaining(),
        wall,
        inputs: scene.registrations(),
        told: Vec::new(),
        attempt: None,
        record: None,
        answer: None,
        played: Played {
            invite: invite.clone(),
            source: flow.remote,
            protocol: flow.protocol,
            trunk: None,
            tenant: None,
            rules: Vec::new(),
            tries: Vec::new(),
            refusal: None,
            dropped: None,
        },
    };
    rehearsal.inputs.push_back(Input::Received {
        flow,
        message: invite,
    });
    rehearsal.run(&mut stage);
    Ok(rehearsal.ended())
}

/// The same configuration without the hours of its routes: a test that says nothing of the time must not fail at night.
fn always_open(config: &Arc<Config>) -> Arc<Config> {
    if config.routes.iter().all(|route| route.schedule.is_none()) {
        return Arc::clone(config);
    }
    let mut open = Config::clone(config);
    for route in &mut open.routes {
        Arc::make_mut(route).schedule = None;
    }
    Arc::new(open)
}

/// A core, and what it has been seen doing.
struct Rehearsal {
    core: Core,
    /// When it begins.
    wall: UnixTime,
    inputs: VecDeque<Input>,
    /// Rules that belong to the next INVITE.
    told: Vec<String>,
    /// The target that the next INVITE is for.
    attempt: Option<(TrunkName, String, SocketAddr, Protocol)>,
    record: Option<Arc<Record>>,
    answer: Option<u16>,
    played: Played,
}

impl Rehearsal {
    fn run(&mut self, stage: &mut Stage) {
        let mut now = Now {
            wall: self.wall,
            ..BEGINNING
        };
        let mut out = Effects::default();
        for _ in 0..MOST_STEPS {
            let input = match self.inputs.pop_front() {
                Some(input) => input,
                // Nothing is left but to wait.
                None => match self.core.deadline() {
                    Some(at) if self.record.is_none() && self.played.trunk.is_some() => {
                        now.mono = now.mono.max(at);
                        Input::Tick
                    }
                    Some(_) | None => return,
                },
            };
            self.core.apply(now, input, &mut out);
            for effect in out.drain() {
                self.see(effect, stage);
            }
        }
    }

    fn see(&mut self, effect: Effect, stage: &mut Stage) {
        match effect {
            Effect::Send {
                bytes, transaction, ..
            } => {
                let Ok(message) = Message::parse(bytes, &Limits::default()) else {
                    return;
                };
                if let Some(status) = message.status() {
                    if status.is_final() {
                        self.answer = Some(status.code());
                    }
                    return;
                }
                if *message.method() != Method::Invite {
                    return;
                }
                self.went_out(message);
                // The next target shows as soon as this one cannot be reached.
                self.inputs
                    .extend(transaction.map(|transaction| Input::SendFailed {
                        transaction,
                        why: FlowFault::Connect("a rehearsal reaches nobody".to_owned()),
                    }));
            }
            Effect::Query(id, query) => {
                self.inputs
                    .push_back(Input::Outcome(id, stage.found(&query)));
            }
            Effect::Media(command) => {
                self.inputs.extend(stage.relay(&command).map(Input::Media));
            }
            Effect::Emit(event) => self.hear(event.what),
            // A rehearsal has one shard, which writes to nobody.
            Effect::RetireFlow(_)
            | Effect::Withdraw { .. }
            | Effect::KeepAlive(_)
            | Effect::Alias { .. }
            | Effect::Letter(..)
            | Effect::Keep(..)
            | Effect::Reply(..) => {}
        }
    }

    fn hear(&mut self, what: Happened) {
        match what {
            Happened::Admitted { tenant, trunk, .. } => {
                self.played.trunk = Some(trunk);
                self.played.tenant = tenant;
            }
            Happened::Routed { because, .. } => self.played.rules = because.0,
            Happened::Explained { because } => self.told.extend(because.0),
            Happened::AttemptStarted {
                trunk,
                host,
                remote,
                protocol,
            } => {
                // A second way to the same address, for what is too large, is no other target.
                let is_again = self
                    .played
                    .tries
                    .last()
                    .is_some_and(|last| last.remote == remote && last.protocol != protocol);
                self.attempt = (!is_again).then_some((trunk, host, remote, protocol));
            }
            Happened::Dropped { why, .. } => self.played.dropped = Some(why),
            Happened::Ended(record) => self.record = Some(record),
            _ => {}
        }
    }

    fn went_out(&mut self, message: Message) {
        let rules = std::mem::take(&mut self.told);
        let Some((trunk, host, remote, protocol)) = self.attempt.take() else {
            return;
        };
        self.played.tries.push(Tried {
            trunk,
            host,
            remote,
            protocol,
            rules,
            message,
        });
    }

    fn ended(mut self) -> Played {
        if self.played.tries.is_empty() {
            let because = match &self.record {
                Some(record) => {
                    self.played.rules.extend(record.route.0.iter().cloned());
                    record.cause.because.clone()
                }
                None => Because::default(),
            };
            self.played.refusal = Some(Refused {
                status: self.answer,
                cause: self.record.as_ref().map(|record| record.cause.code),
                because,
            });
        }
        self.played
    }
}

/// Nobody's secrets depend on it, and everybody's calls come out alike.
const SEED: crate::mint::Seed = [0x5a; 32];

/// When every rehearsal begins.
const BEGINNING: Now = Now {
    mono: Timestamp::from_micros(1_000_000),
    wall: UnixTime::from_micros(1_750_000_000_000_000),
};

/// Inputs that one call may take: six attempts of six targets, with room for what is between.
const MOST_STEPS: usize = 512;
