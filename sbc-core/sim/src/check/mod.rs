//! Rules that must hold in every run, whatever the scenario does. One file per family; each checker
//! sees every message, every effect and the end, and knows nothing of the product's state.

mod audio;
mod calls;
mod description;
mod dialog;
mod digits;
mod exchange;
mod group;
mod ice;
mod leak;
mod limits;
mod liveness;
mod notify;
mod order;
mod past_us;
mod privacy;
mod provisional;
mod record;
mod registration;
mod relay;
mod sound;
mod spoken;
mod syntax;
mod tenant;
mod told;
mod transaction;

use crate::actor::PartyView;
use crate::fault::{ActorIndex, Trouble};
use crate::scenario::{Scenario, Setting};
use crate::subject::Residue;
use crate::topology;
use crate::wire::{Wire, uri_of, user_of};
use media_api::{Digit, EndpointId, SessionId};
use sbc_core::effect::Effect;
use sbc_core::id::{CallId, FlowId, LegId, ShardId, TlsContextName, TransactionId};
use sbc_core::record::Record;
use sbc_core::time::Timestamp;
use sbc_core::transport::{Flow, Hop};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A broken rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When it was noticed.
    pub at: Timestamp,
    /// Name of the rule.
    pub rule: &'static str,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.as_micros() as f64 / 1e6;
        write!(f, "{seconds:.6} {}: {}", self.rule, self.text)
    }
}

/// Something that crossed the border of the SBC.
pub enum Seen<'a> {
    /// Arrived at the SBC.
    Heard {
        /// From whom.
        actor: ActorIndex,
        /// On what.
        flow: &'a Flow,
        /// The message, if it is one.
        wire: Option<&'a Wire>,
        /// Its bytes.
        bytes: &'a [u8],
        /// Whether it is no message, or one whose essential headers cannot be read.
        is_garbage: bool,
    },
    /// The SBC sent it.
    Sent {
        /// Which shard did.
        shard: ShardId,
        /// To whom, if anybody is there.
        actor: Option<ActorIndex>,
        /// The hop it gave.
        hop: &'a Hop,
        /// TLS context of the connection it goes on.
        context: Option<&'a TlsContextName>,
        /// The message, if it is one.
        wire: Option<&'a Wire>,
        /// Its bytes.
        bytes: &'a [u8],
        /// Shard and transaction that are told when it cannot be sent.
        transaction: Option<(ShardId, TransactionId)>,
        /// Call and leg as the SBC sees them.
        call: Option<(CallId, LegId)>,
        /// Whether it answers something that was no message: such an answer can only repeat what
        /// was there (RFC 4475 §3.3.1).
        answers_garbage: bool,
    },
    /// A connection was lost, and the SBC told.
    FlowLost {
        /// Which.
        flow: FlowId,
    },
    /// A party has pressed a key and told of it in its media.
    Pressed {
        /// The relay's name of its call.
        session: SessionId,
        /// The party.
        endpoint: EndpointId,
        /// The key.
        digit: Digit,
    },
    /// The relay has let a digit pass as it is.
    Passed {
        /// The relay's name of the call.
        session: SessionId,
        /// To whom.
        endpoint: EndpointId,
        /// The key.
        digit: Digit,
    },
    /// The SBC was told that it could not send.
    SendFailed {
        /// Shard and transaction that sent in vain.
        transaction: (ShardId, TransactionId),
    },
}

/// What is known when everything is over.
pub struct End<'a> {
    /// When it was.
    pub at: Timestamp,
    /// What was played.
    pub scenario: &'a Scenario,
    /// What every party saw.
    pub views: &'a [PartyView],
    /// The same, taken when all faults were long over and before everybody hung up.
    pub inspected: &'a [PartyView],
    /// The least that was left in the tables at any moment of the last minute.
    pub residue: Residue,
    /// Media sessions that were not released.
    pub open_media: usize,
    /// What peers found wrong.
    pub complaints: Vec<String>,
    /// Call records.
    pub records: &'a [Record],
}

/// What checkers know of the scenario beforehand.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Tenant of each call.
    pub tenants: BTreeMap<usize, usize>,
    /// Actors whose connections break or whose datagrams are held back for long.
    pub unreliable: BTreeSet<ActorIndex>,
    /// What is configured otherwise than usual.
    pub setting: Setting,
}

impl Rules {
    /// What a scenario says.
    pub fn of(scenario: &Scenario) -> Self {
        let tenants = scenario
            .calls
            .iter()
            .map(|call| (call.dial.call, call.tenant));
        let breaks = |trouble: &Trouble| match trouble {
            Trouble::Reset { actor } | Trouble::Refuse { actor } | Trouble::Partition { actor } => {
                Some(*actor)
            }
            _ => None,
        };
        Self {
            tenants: tenants.collect(),
            unreliable: scenario
                .faults
                .iter()
                .filter_map(|f| breaks(&f.trouble))
                .collect(),
            setting: scenario.setting,
        }
    }
}

/// One family of rules.
pub trait Checker {
    /// Looks at something that crossed the border.
    fn see(&mut self, _at: Timestamp, _seen: &Seen<'_>, _out: &mut Vec<Violation>) {}

    /// A new input begins: the effects that follow are its own.
    fn input(&mut self) {}

    /// Looks at an effect of any kind.
    fn effect(
        &mut self,
        _at: Timestamp,
        _shard: ShardId,
        _effect: &Effect,
        _out: &mut Vec<Violation>,
    ) {
    }

    /// Judges the whole.
    fn finish(&mut self, _end: &End<'_>, _out: &mut Vec<Violation>) {}
}

/// All of them.
pub(crate) struct Checkers {
    list: Vec<Box<dyn Checker>>,
    violations: Vec<Violation>,
}

/// More effects than this from one input are no sensible answer to anything here.
const MOST_EFFECTS: usize = 400;

impl Checkers {
    pub(crate) fn new(rules: Rules) -> Self {
        // Those that know a leg's endpoint by the number of the leg say nothing where media move.
        let by_leg: Vec<Box<dyn Checker>> = match (rules.setting.moves_media, rules.setting.past_us)
        {
            (true, _) => vec![Box::new(ice::Agents::default())],
            // What these would say of media is not so where they go past us.
            (false, Some(user)) => vec![Box::new(past_us::PastUs::new(user))],
            (false, None) => vec![
                Box::new(ice::Agents::default()),
                Box::new(audio::Audio::default()),
                Box::new(digits::Digits::new(&rules)),
                Box::new(told::Told::new(rules.clone())),
            ],
        };
        let mut list: Vec<Box<dyn Checker>> = vec![
            Box::new(transaction::Transactions::default()),
            Box::new(dialog::Dialogs::default()),
            Box::new(syntax::Syntax::default()),
            Box::new(description::Descriptions::new(rules.setting)),
            Box::new(exchange::Exchanges::default()),
            Box::new(provisional::Provisionals::default()),
            Box::new(privacy::Privacy::new(rules.setting)),
            Box::new(tenant::Tenants::new(rules.clone())),
            Box::new(record::Records::default()),
            Box::new(order::Order::default()),
            Box::new(notify::Notifies::new(&rules)),
            Box::new(group::Groups::new(rules.clone())),
            Box::new(relay::Relays::default()),
            Box::new(sound::Sounds::default()),
            Box::new(registration::Registrations::default()),
            Box::new(leak::Leaks),
            Box::new(limits::Limits::new(&rules)),
            Box::new(liveness::Liveness::new(rules)),
        ];
        list.extend(by_leg);
        Self {
            list,
            violations: Vec::new(),
        }
    }

    pub(crate) fn see(&mut self, at: Timestamp, seen: &Seen<'_>) {
        for checker in &mut self.list {
            checker.see(at, seen, &mut self.violations);
        }
    }

    pub(crate) fn effect(&mut self, at: Timestamp, shard: ShardId, effect: &Effect) {
        for checker in &mut self.list {
            checker.effect(at, shard, effect, &mut self.violations);
        }
    }

    /// Invariant I2: one input has a bounded consequence. Said before its effects are shown.
    pub(crate) fn produced(&mut self, at: Timestamp, effects: usize) {
        self.list.iter_mut().for_each(|checker| checker.input());
        if effects > MOST_EFFECTS {
            let text = format!("{effects} effects of one input");
            self.violations.push(Violation {
                at,
                rule: "limit-step",
                text,
            });
        }
    }

    pub(crate) fn finish(&mut self, end: &End<'_>) {
        for checker in &mut self.list {
            checker.finish(end, &mut self.violations);
        }
    }

    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }
}

/// The call of the scenario that a message belongs to, by the numbers in it.
pub(crate) fn call_of(wire: &Wire) -> Option<usize> {
    let of = |name: &str| {
        wire.get(name)
            .and_then(|v| topology::call_of_number(user_of(uri_of(v))))
    };
    of("From").or_else(|| of("To"))
}
