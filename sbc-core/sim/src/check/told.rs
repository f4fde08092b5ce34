//! When a call has been quiet for a while, each party knows what the other one wants, in the form of
//! its own trunk (SIP-551, SIP-552), and the relay does what the descriptions of each leg say.

use super::calls::Calls;
use super::spoken::{Spoken, is_of_exchange};
use super::{Checker, End, Rules, Seen, Violation};
use crate::fault::ActorIndex;
use crate::scenario::Setting;
use crate::topology::{NORTH_1, NORTH_2, SOUTH};
use crate::wire::Wire;
use media_api::{Command, EndpointId, NegotiatedStream, Stage};
use sbc_core::effect::Effect;
use sbc_core::id::{CallId, LegId, ShardId};
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Without any message of an exchange for so long, nothing is on its way any more: longer than
/// pauses after a glare, and than a Retry-After that the parties give.
const QUIET: Duration = Duration::from_secs(10);

/// After so many 491 in a row we need not try again (SIP-542).
const MOST_REFUSALS: u32 = 6;

pub(super) struct Told {
    rules: Rules,
    media_of: Calls,
    calls: BTreeMap<CallId, Call>,
    /// Which leg of which call a Call-ID belongs to.
    owners: BTreeMap<String, (CallId, LegId)>,
    legs: BTreeMap<String, Leg>,
}

#[derive(Default)]
struct Call {
    last: Timestamp,
    is_judged: bool,
    relay: BTreeMap<EndpointId, NegotiatedStream>,
    /// Who hears something of ours.
    entertained: BTreeSet<EndpointId>,
}

#[derive(Default)]
struct Leg {
    actor: ActorIndex,
    /// The peer's tag, once somebody has answered.
    peer: Option<String>,
    is_up: bool,
    is_over: bool,
    /// What we said and what the peer said in the last exchange that was completed.
    ours: Option<Spoken>,
    theirs: Option<Spoken>,
    /// Whether the peer sends and wants to receive, of its own will.
    wish: Option<(bool, bool)>,
    /// Our offers without final response, by branch.
    offers: BTreeMap<String, Option<Spoken>>,
    /// The peer's requests without final response, by sequence number.
    asked: BTreeMap<u32, Option<Spoken>>,
    /// What we said in a reliable provisional, and what phones said in theirs, by tag.
    described: Option<Spoken>,
    early: BTreeMap<String, Spoken>,
    /// What was exchanged with phones before the answer, after that: what we said and what they said, and whether it
    /// was theirs to begin.
    renewed: BTreeMap<String, (Spoken, Spoken, bool)>,
    /// Offers of ours before the answer, by branch.
    updates: BTreeMap<String, Spoken>,
    /// The peer's last request that had an exchange within its INVITE, which is what counts then.
    settled: Option<u32>,
    /// Our 2xx without ACK; with the offer in it, if it offers.
    unacknowledged: Option<(u32, Option<Spoken>)>,
    /// How often the peer has refused to be told, and whether for good.
    refusals: u32,
    is_deaf: bool,
    /// The last exchange has not been compared with the relay yet.
    is_new: bool,
}

impl Leg {
    fn is_open(&self) -> bool {
        !self.offers.is_empty() || !self.asked.is_empty() || self.unacknowledged.is_some()
    }

    /// Whether the peer's INVITE without final response has an offer.
    fn has_offered(&self) -> bool {
        self.asked.values().any(Option::is_some)
    }

    fn agree(&mut self, ours: Option<Spoken>, theirs: Option<Spoken>) {
        if ours.is_some() && theirs.is_some() {
            (self.ours, self.theirs) = (ours, theirs);
            self.is_new = true;
        }
    }
}

impl Told {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            media_of: Calls::default(),
            calls: BTreeMap::new(),
            owners: BTreeMap::new(),
            legs: BTreeMap::new(),
        }
    }
}

impl Checker for Told {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        match seen {
            Seen::Heard {
                actor,
                wire: Some(wire),
                is_garbage: false,
                ..
            } => {
                self.judge(at, out);
                if !is_told(wire) {
                    return;
                }
                match wire.status() {
                    None => self.request_heard(at, *actor, wire),
                    Some(status) => self.response_heard(at, *actor, wire, status),
                }
            }
            Seen::Sent {
                wire: Some(wire),
                call: Some(owner),
                ..
            } if is_told(wire) => {
                self.owners.insert(wire.call_id().to_owned(), *owner);
                match wire.status() {
                    None => self.request_sent(at, wire),
                    Some(status) => self.response_sent(at, wire, status),
                }
            }
            _ => {}
        }
    }

    fn effect(&mut self, _: Timestamp, shard: ShardId, effect: &Effect, _: &mut Vec<Violation>) {
        self.media_of.effect(shard, effect);
        if let Effect::Media(Command::Answer {
            session,
            endpoint,
            negotiated,
            stage: Stage::Final,
            ..
        }) = effect
        {
            let stream = negotiated.streams.iter().flatten().next();
            if let (Some(call), Some(stream)) = (self.media_of.of(*session), stream) {
                let call = self.calls.entry(call).or_default();
                call.relay.insert(*endpoint, stream.clone());
            }
        }
        if let Effect::Media(Command::Play {
            session,
            endpoint,
            playing,
        }) = effect
            && let Some(call) = self.media_of.of(*session)
        {
            let heard = &mut self.calls.entry(call).or_default().entertained;
            match playing {
                Some(_) => heard.insert(*endpoint),
                None => heard.remove(endpoint),
            };
        }
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        self.judge(end.at, out);
    }
}

impl Told {
    /// The leg of a message within it. `peer` is the header in which the peer stands.
    fn leg(&mut self, at: Timestamp, wire: &Wire, peer: &str) -> Option<&mut Leg> {
        let leg = self.legs.get_mut(wire.call_id())?;
        if leg.peer.is_some() && leg.peer.as_deref() != wire.tag(peer) {
            return None;
        }
        if let Some((call, _)) = self.owners.get(wire.call_id()) {
            let call = self.calls.entry(*call).or_default();
            (call.last, call.is_judged) = (at, false);
        }
        Some(leg)
    }

    fn request_heard(&mut self, at: Timestamp, actor: ActorIndex, wire: &Wire) {
        let method = wire.method().unwrap_or_default();
        let number = wire.cseq().map_or(0, |(number, _)| number);
        let spoken = Spoken::read(&wire.body);
        if method == "INVITE" && wire.tag("To").is_none() {
            let leg = self.legs.entry(wire.call_id().to_owned()).or_default();
            if leg.peer.is_none() {
                leg.actor = actor;
                leg.peer = wire.tag("From").map(str::to_owned);
                leg.asked.insert(number, spoken);
            }
            return;
        }
        if !matches!(method, "INVITE" | "UPDATE" | "PRACK" | "ACK" | "BYE") {
            return;
        }
        let Some(leg) = self.leg(at, wire, "From") else {
            return;
        };
        match method {
            // It may come again, or bring the answer to what we offered early.
            "PRACK" if leg.settled >= Some(number) || spoken.is_none() || !leg.has_offered() => {}
            "ACK" => {
                let Some((_, offered)) = leg.unacknowledged.take_if(|(open, _)| *open == number)
                else {
                    return;
                };
                leg.is_up = true;
                if offered.is_some() {
                    leg.agree(offered, spoken);
                }
            }
            "BYE" => leg.is_over = true,
            _ => {
                leg.asked.insert(number, spoken);
            }
        }
    }

    fn response_sent(&mut self, at: Timestamp, wire: &Wire, status: u16) {
        let Some((number, method)) = wire.cseq() else {
            return;
        };
        if !matches!(method, "INVITE" | "UPDATE" | "PRACK") {
            return;
        }
        let is_invite = method == "INVITE";
        let Some(leg) = self.leg(at, wire, "From") else {
            return;
        };
        if status < 200 {
            if wire.get("RSeq").is_some() && wire.has_sdp() {
                leg.described = Spoken::read(&wire.body);
            }
            return;
        }
        let Some(theirs) = leg.asked.remove(&number).filter(|_| status < 300) else {
            return;
        };
        if !is_invite && leg.peer.is_none() {
            let said = Spoken::read(&wire.body).zip(theirs);
            let tag = wire.tag("From").unwrap_or_default().to_owned();
            let renewed = said.map(|(ours, theirs)| (tag, (ours, theirs, true)));
            return leg.renewed.extend(renewed);
        }
        if !is_invite {
            let ours = Spoken::read(&wire.body);
            if let (Some(theirs), Some(_)) = (&theirs, &ours) {
                leg.settled = Some(number);
                leg.wish = Some((theirs.sends, theirs.receives));
            }
            return leg.agree(ours, theirs);
        }
        let described = leg.described.take();
        let is_late = theirs.is_none() && described.is_none();
        let ours = Spoken::read(&wire.body).or(described);
        // Of exchanges within the INVITE the last one counts.
        let is_last = leg.settled.is_none_or(|settled| settled < number);
        if let Some(theirs) = theirs.as_ref().filter(|_| is_last) {
            leg.wish = Some((theirs.sends, theirs.receives));
            leg.agree(ours.clone(), Some(theirs.clone()));
        }
        leg.unacknowledged = Some((number, ours.filter(|_| is_late)));
    }

    fn request_sent(&mut self, at: Timestamp, wire: &Wire) {
        match wire.method() {
            Some("INVITE") => {
                let leg = self.legs.entry(wire.call_id().to_owned()).or_default();
                let spoken = Spoken::read(&wire.body);
                leg.offers.insert(wire.branch().to_owned(), spoken);
                self.leg(at, wire, "To");
            }
            Some("UPDATE") => {
                if let Some(leg) = self.leg(at, wire, "To")
                    && leg.peer.is_none()
                    && let Some(spoken) = Spoken::read(&wire.body)
                {
                    leg.updates.insert(wire.branch().to_owned(), spoken);
                }
            }
            Some("BYE") => {
                if let Some(leg) = self.leg(at, wire, "To") {
                    leg.is_over = true;
                }
            }
            _ => {}
        }
    }

    fn response_heard(&mut self, at: Timestamp, actor: ActorIndex, wire: &Wire, status: u16) {
        let after = wire.get("Retry-After").is_some();
        let is_invite = wire.cseq().is_some_and(|(_, method)| method == "INVITE");
        let Some(leg) = self.leg(at, wire, "To") else {
            return;
        };
        let tag = wire.tag("To").unwrap_or_default();
        if !is_invite {
            let ours = leg
                .updates
                .remove(wire.branch())
                .filter(|_| (200..300).contains(&status));
            let said = ours.zip(Spoken::read(&wire.body));
            let renewed = said.map(|(ours, theirs)| (tag.to_owned(), (ours, theirs, false)));
            return leg.renewed.extend(renewed);
        }
        if status < 200 {
            let said = Spoken::read(&wire.body).filter(|_| wire.get("RSeq").is_some());
            if let Some(said) = said {
                leg.early.entry(tag.to_owned()).or_insert(said);
            }
            return;
        }
        let Some(ours) = leg.offers.remove(wire.branch()) else {
            return;
        };
        if status < 300 {
            (leg.refusals, leg.is_deaf, leg.is_up) = (0, false, true);
            leg.actor = actor;
            leg.peer = wire.tag("To").map(str::to_owned);
            let said = leg.early.remove(tag).or(Spoken::read(&wire.body));
            leg.early.clear();
            let renewed = leg.renewed.remove(tag);
            leg.renewed.clear();
            leg.agree(ours, said);
            if let Some((ours, theirs, is_wish)) = renewed {
                leg.wish = is_wish
                    .then_some((theirs.sends, theirs.receives))
                    .or(leg.wish);
                leg.agree(Some(ours), Some(theirs));
            }
            return;
        }
        leg.refusals += 1;
        let asks_again = status == 491 || (status == 500 && after);
        leg.is_deaf |= !asks_again || leg.refusals >= MOST_REFUSALS;
    }

    fn judge(&mut self, at: Timestamp, out: &mut Vec<Violation>) {
        for (call_id, leg) in &mut self.legs {
            if !leg.is_up || leg.is_over || leg.is_open() || !std::mem::take(&mut leg.is_new) {
                continue;
            }
            let owner = self.owners.get(call_id);
            let told =
                owner.and_then(|(call, leg)| self.calls.get(call)?.relay.get(&EndpointId(leg.0)));
            let (Some(told), Some(ours), Some(theirs)) = (told, &leg.ours, &leg.theirs) else {
                continue;
            };
            out.extend(differs(told, ours, theirs).map(|text| Violation {
                at,
                rule: "media-direction",
                text: format!("{call_id}: {text}"),
            }));
        }
        let quiet: Vec<CallId> = self
            .calls
            .iter_mut()
            .filter(|(_, call)| !call.is_judged && call.last + QUIET <= at)
            .map(|(id, call)| {
                call.is_judged = true;
                *id
            })
            .collect();
        for call in quiet {
            self.judge_call(at, call, out);
        }
    }

    /// Both legs of a quiet call.
    fn judge_call(&self, at: Timestamp, call: CallId, out: &mut Vec<Violation>) {
        let is_own = |call_id: &&String| self.owners.get(*call_id).is_some_and(|(c, _)| *c == call);
        let legs: Vec<(&String, &Leg)> = self
            .legs
            .iter()
            .filter(|(call_id, leg)| is_own(call_id) && leg.is_up && !leg.is_over)
            .collect();
        let [(a_id, a), (b_id, b)] = legs[..] else {
            return;
        };
        let is_excused = |leg: &Leg| leg.is_open() || self.rules.unreliable.contains(&leg.actor);
        if is_excused(a) || is_excused(b) {
            return;
        }
        // Whoever is transferred hears that the target rings, and so it is not told of a hold (SIP-804).
        let rings = self
            .legs
            .iter()
            .any(|(call_id, leg)| is_own(&call_id) && !leg.is_up && !leg.is_over && leg.is_open());
        let hears = |call_id: &String| {
            let owner = self.owners.get(call_id);
            let call = owner.and_then(|(call, leg)| Some((self.calls.get(call)?, leg)));
            call.is_some_and(|(call, leg)| call.entertained.contains(&EndpointId(leg.0)))
        };
        for (id, leg, other) in [(a_id, a, b), (b_id, b, a)] {
            if rings && hears(id) {
                continue;
            }
            if let Some(text) = unknown_to(leg, other, self.rules.setting).filter(|_| !leg.is_deaf)
            {
                out.push(Violation {
                    at,
                    rule: "told",
                    text: format!("{id}: {text}"),
                });
            }
        }
    }
}

/// Whether a message may say something that the other party has to be told.
fn is_told(wire: &Wire) -> bool {
    let is_prack = wire.cseq().is_some_and(|(_, method)| method == "PRACK");
    is_prack || is_of_exchange(wire)
}

/// What the party of a leg does not know of the other one.
fn unknown_to(leg: &Leg, other: &Leg, setting: Setting) -> Option<String> {
    let (sends, receives) = leg.wish.unwrap_or((true, true));
    let (their_sends, their_receives) = other.wish.unwrap_or((true, true));
    // Teams knows no one-way streams (TDR-HLD-001).
    let is_one_way = their_sends != their_receives;
    let form = match (leg.actor, (their_sends, their_receives)) {
        (..NORTH_1, _) if is_one_way => (false, false),
        (..NORTH_1, form) => form,
        // The one hears music of ours, the other is not told that it should hear nothing else.
        (NORTH_1 | NORTH_2, (false, false)) if setting.plays_sounds => (true, false),
        (SOUTH.., _) if setting.plays_sounds => (true, true),
        (_, form) => form,
    };
    let told = leg.ours.as_ref()?;
    let misses = receives && told.sends != form.0;
    let is_kept = sends && form.1 && !told.receives;
    let is_fooled = sends && receives && !form.1 && told.receives;
    (misses || is_kept || is_fooled).then(|| {
        format!(
            "told (sends, receives) {:?}, should be {form:?}; the party itself wants {:?}",
            (told.sends, told.receives),
            (sends, receives)
        )
    })
}

/// What the relay was told that the descriptions do not say.
fn differs(told: &NegotiatedStream, ours: &Spoken, theirs: &Spoken) -> Option<String> {
    let is_sent_to = told.direction.sends() && !told.remote_rtp.ip().is_unspecified();
    let said = (ours.sends && theirs.receives, ours.receives && theirs.sends);
    let done = (is_sent_to, told.direction.receives());
    if said != done {
        return Some(format!(
            "the relay was told (send, receive) {done:?}, the descriptions say {said:?}"
        ));
    }
    let at = theirs.audio.filter(|_| said.0);
    at.filter(|at| *at != told.remote_rtp)
        .map(|at| format!("the relay sends to {} and not to {at}", told.remote_rtp))
}
