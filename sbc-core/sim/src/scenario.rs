//! A scenario as data: who calls whom, what everybody does, and what goes wrong.

use crate::actor::{Ack, Dial, Oddity, Script};
use crate::fault::{ActorIndex, Fault, Trouble};
use crate::topology::{self, NORTH_1, TEAMS_1};
use media_api::Digit;
use sbc_core::media::Dtmf;
use std::time::Duration;

/// Everything that happens from outside. The same scenario always gives the same run.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Seeds whatever is random in the world: latencies, losses, identifiers.
    pub seed: u64,
    /// Time on the wire, one way.
    pub latency: Duration,
    /// Random addition to it.
    pub jitter: Duration,
    /// Calls, each by its index.
    pub calls: Vec<PlannedCall>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What else happens.
    pub extras: Vec<Extra>,
    /// How the carriers' servers stand in DNS.
    pub zone: Zone,
    /// What the operator has configured otherwise than usual.
    pub setting: Setting,
}

/// What the operator has configured otherwise than usual, and how carriers write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setting {
    /// The trunks of a route ring all at once.
    pub rings_at_once: bool,
    /// REFER of Teams is passed on to the other party.
    pub relays_transfers: bool,
    /// An exchange and a phone register with us, and are called before the carriers; somebody else would
    /// like to be them.
    pub registers: bool,
    /// Who waits hears something of ours: a ringing tone, music, an announcement.
    pub plays_sounds: bool,
    /// Calls to Teams guess wrong where its users are: media move once it has answered. Of scenarios that
    /// say so alone, not of random ones.
    pub moves_media: bool,
    /// We are the proxy in front of the SBCs of the north, and this is where users of the first tenant are. Of
    /// scenarios that say so alone.
    pub past_us: Option<User>,
    /// Node, tenants and trunks take few calls, and none too fast.
    pub has_limits: bool,
    /// Carriers, and whoever registers, write headers in their short forms.
    pub is_terse: bool,
    /// How digits travel on the trunks of Teams and on those of carriers, if not as usual.
    pub dtmf: Option<[Dtmf; 2]>,
}

/// Where a user of Teams is, by what Teams says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum User {
    /// In the branch, whose SBC faces it.
    InBranch,
    /// Inside the company and not in the branch.
    Inside,
    /// Outside.
    Outside,
    /// In the branch until Teams offers something else within the call, outside then.
    Leaves,
}

/// How the servers of the carriers stand in DNS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Zone {
    /// One after the other, by SRV priority; NAPTR names the protocol.
    #[default]
    Ranked,
    /// Side by side, by SRV weight.
    Weighted,
    /// As addresses of the domain's own name.
    Plain,
}

/// One call.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedCall {
    /// When it is placed.
    pub at: Duration,
    /// Whose call it is, an index of [`topology::TENANTS`].
    pub tenant: usize,
    /// Who places it.
    pub caller: ActorIndex,
    /// What the caller does.
    pub dial: Dial,
    /// What each callee does that the call may reach.
    pub scripts: Vec<(ActorIndex, Script)>,
    /// What those do that it may be transferred to.
    pub targets: Vec<(ActorIndex, Script)>,
    /// What those do that are reached elsewhere than where they were called ([`crate::actor::Act::Redirect`]).
    pub moved: Vec<(ActorIndex, Script)>,
}

/// Something that belongs to no call.
#[derive(Clone, PartialEq, Debug)]
pub struct Extra {
    /// When.
    pub at: Duration,
    /// What.
    pub what: Happening,
}

/// What may happen beside calls.
#[derive(Clone, PartialEq, Debug)]
pub enum Happening {
    /// An actor sends bytes as they are.
    Bytes(ActorIndex, Vec<u8>),
    /// The operator ends all calls.
    HangUpAll,
    /// The same configuration is loaded again.
    Reload,
    /// No media has arrived for as many times the time that the relay tells it after.
    Silence(u32),
    /// The caller of the only call, or else who is called, presses a key and tells of it in its media.
    Press(bool, Digit),
}

impl Scenario {
    /// A quiet world: 20 ms on the wire, nothing goes wrong.
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            latency: Duration::from_millis(20),
            jitter: Duration::ZERO,
            calls: Vec::new(),
            faults: Vec::new(),
            extras: Vec::new(),
            zone: Zone::default(),
            setting: Setting::default(),
        }
    }

    /// Adds a call.
    #[must_use]
    pub fn call(mut self, plan: impl FnOnce(usize) -> PlannedCall) -> Self {
        let call = plan(self.calls.len());
        self.calls.push(call);
        self
    }

    /// Adds a fault that lasts from the beginning until `until`.
    #[must_use]
    pub fn fault(self, until: Duration, trouble: Trouble) -> Self {
        self.fault_between(Duration::ZERO, until, trouble)
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault_between(mut self, from: Duration, until: Duration, trouble: Trouble) -> Self {
        self.faults.push(Fault {
            from,
            until,
            trouble,
        });
        self
    }

    /// Adds something else.
    #[must_use]
    pub fn extra(mut self, at: Duration, what: Happening) -> Self {
        self.extras.push(Extra { at, what });
        self
    }
}

impl PlannedCall {
    /// A call of tenant contoso from the public network to Teams, answered after two seconds and
    /// hung up by the caller after three more.
    pub fn to_teams(call: usize) -> Self {
        Self::between(call, 0, NORTH_1, TEAMS_1)
    }

    /// The same the other way.
    pub fn from_teams(call: usize) -> Self {
        Self::between(call, 0, TEAMS_1, NORTH_1)
    }

    /// A call of a tenant from one actor, answered by another.
    pub fn between(call: usize, tenant: usize, caller: ActorIndex, callee: ActorIndex) -> Self {
        let is_from_teams = caller < NORTH_1;
        let (inside, outside) = (
            topology::inside_number(tenant, call),
            topology::outside_number(call),
        );
        let (from, to, host) = if is_from_teams {
            (inside, outside, topology::fqdn(tenant))
        } else {
            let protocol = topology::peer(caller).protocol;
            (
                outside,
                inside,
                topology::host_of_address(topology::listener_address(protocol).ip()),
            )
        };
        Self {
            at: Duration::from_millis(1_000 + 10 * call as u64),
            tenant,
            caller,
            dial: Dial {
                call,
                from,
                to,
                host,
                cancel: None,
                ack: Ack::Prompt,
                hang_up: Some(Duration::from_secs(3)),
                changes: Vec::new(),
                reactions: Vec::new(),
                max_forwards: Some(70),
                late_offer: false,
                requires_reliable: false,
                lost_provisionals: 0,
                lost_acks: 0,
                offers_in_prack: false,
                early_offer: None,
                replaces: false,
                habit: None,
                expires: None,
                oddity: None,
            },
            scripts: vec![(callee, Script::answering(call, Duration::from_secs(2)))],
            targets: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// Changes what the caller does.
    #[must_use]
    pub fn dialing(mut self, change: impl FnOnce(&mut Dial)) -> Self {
        change(&mut self.dial);
        self
    }

    /// Changes what the first callee does.
    #[must_use]
    pub fn answering(mut self, change: impl FnOnce(&mut Script)) -> Self {
        change(&mut self.scripts[0].1);
        self
    }

    /// Adds another callee that the call may reach.
    #[must_use]
    pub fn or_at(mut self, callee: ActorIndex, script: Script) -> Self {
        self.scripts.push((callee, script));
        self
    }

    /// Adds a party that the call may be transferred to.
    #[must_use]
    pub fn transferred_to(mut self, target: ActorIndex, script: Script) -> Self {
        self.targets.push((target, script));
        self
    }

    /// Adds a party that is reached where a redirection leads.
    #[must_use]
    pub fn moved_to(mut self, place: ActorIndex, script: Script) -> Self {
        self.moved.push((place, script));
        self
    }

    /// Whether caller or callees break rules that the SBC need not survive politely.
    pub fn has_oddity(&self, wanted: Oddity) -> bool {
        let called = self.scripts.iter().chain(&self.targets);
        let mut called = called.chain(&self.moved);
        self.dial.oddity == Some(wanted) || called.any(|(_, script)| script.oddity == Some(wanted))
    }
}
