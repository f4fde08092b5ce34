//! Where media may go past us each of two parties is told where the other one's media are, or both are told
//! places of ours: never one of each. Which of the two it is, follows from what Teams says of its user, and
//! the relay has paths in one of them alone (TDR-LMO-010, TDR-LMO-020, MED-312).

use super::calls::Calls;
use super::spoken::{Spoken, is_of_exchange};
use super::{Checker, Seen, Violation};
use crate::scenario::User;
use crate::topology::is_ours;
use crate::wire::Wire;
use media_api::{Command, EndpointId, Stage};
use sbc_core::effect::Effect;
use sbc_core::id::{CallId, LegId, ShardId};
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Without any message of an exchange for so long, nothing is on its way any more.
const QUIET: Duration = Duration::from_secs(5);

pub(super) struct PastUs {
    user: User,
    media_of: Calls,
    owners: BTreeMap<String, (CallId, LegId)>,
    legs: BTreeMap<String, Leg>,
    /// Endpoints for which the relay was told of a stream.
    relayed: BTreeMap<CallId, BTreeSet<EndpointId>>,
    judged: BTreeSet<CallId>,
}

#[derive(Default)]
struct Leg {
    last: Timestamp,
    /// Offers that wait for their answer.
    our_offer: Option<Spoken>,
    their_offer: Option<Spoken>,
    /// What both have said in the last exchange.
    agreed: Option<(Spoken, Spoken)>,
}

impl Leg {
    /// Where we say that media are, and where the peer does.
    fn places(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (ours, theirs) = self.agreed.as_ref()?;
        Some((ours.audio?, theirs.audio?))
    }
}

impl PastUs {
    pub(super) fn new(user: User) -> Self {
        Self {
            user,
            media_of: Calls::default(),
            owners: BTreeMap::new(),
            legs: BTreeMap::new(),
            relayed: BTreeMap::new(),
            judged: BTreeSet::new(),
        }
    }

    fn leg(&mut self, at: Timestamp, wire: &Wire) -> &mut Leg {
        let leg = self.legs.entry(wire.call_id().to_owned()).or_default();
        if wire.method() != Some("BYE") {
            leg.last = at;
        }
        leg
    }

    fn heard(&mut self, at: Timestamp, wire: &Wire) {
        let said = Spoken::read(&wire.body);
        let leg = self.leg(at, wire);
        match wire.status() {
            None if wire.method() == Some("INVITE") => leg.their_offer = said,
            Some(200..=299) => {
                if let (Some(ours), Some(theirs)) = (leg.our_offer.take(), said) {
                    leg.agreed = Some((ours, theirs));
                }
            }
            Some(300..) => leg.our_offer = None,
            None | Some(_) => {}
        }
    }

    fn sent(&mut self, at: Timestamp, wire: &Wire) {
        let said = Spoken::read(&wire.body);
        let leg = self.leg(at, wire);
        match wire.status() {
            None if wire.method() == Some("INVITE") => leg.our_offer = said,
            Some(200..=299) => {
                if let (Some(theirs), Some(ours)) = (leg.their_offer.take(), said) {
                    leg.agreed = Some((ours, theirs));
                }
            }
            Some(300..) => leg.their_offer = None,
            None | Some(_) => {}
        }
    }

    /// A call ends that has been quiet for a while.
    fn judge(&mut self, at: Timestamp, call: CallId) -> Option<String> {
        let of_call = |(id, leg): (&String, &Leg)| {
            let (owner, _) = self.owners.get(id)?;
            (*owner == call)
                .then(|| Some((leg.last, leg.places()?)))
                .flatten()
        };
        let legs: Vec<_> = self.legs.iter().filter_map(of_call).collect();
        let is_new = self.judged.insert(call);
        let [
            (last, (ours, theirs)),
            (other_last, (other_ours, other_theirs)),
        ] = legs[..]
        else {
            return None;
        };
        if !is_new || at.since(last.max(other_last)) < QUIET {
            return None;
        }
        let is_direct = ours == other_theirs && other_ours == theirs;
        let is_anchored = is_ours(ours.ip()) && is_ours(other_ours.ip());
        let streams = self.relayed.get(&call).map_or(0, BTreeSet::len);
        let is_meant = match self.user {
            User::InBranch => is_direct,
            User::Inside | User::Outside => is_anchored,
            User::Leaves => is_direct || is_anchored,
        };
        if !is_meant || is_direct == is_anchored {
            let user = self.user;
            return Some(format!(
                "{user:?}: told are {ours} and {other_ours}, media are at {other_theirs} and {theirs}"
            ));
        }
        let is_relayed = if is_direct {
            streams == 0
        } else {
            streams == 2
        };
        (!is_relayed).then(|| format!("{streams} streams at the relay, direct: {is_direct}"))
    }
}

impl Checker for PastUs {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let wire = match seen {
            Seen::Heard {
                wire: Some(wire), ..
            } if is_of_exchange(wire) => {
                self.heard(at, wire);
                wire
            }
            Seen::Sent {
                wire: Some(wire),
                call: Some(owner),
                ..
            } if is_of_exchange(wire) => {
                self.owners.insert(wire.call_id().to_owned(), *owner);
                self.sent(at, wire);
                wire
            }
            _ => return,
        };
        let owner = self.owners.get(wire.call_id()).map(|(call, _)| *call);
        if let (Some("BYE"), Some(call)) = (wire.method(), owner) {
            let rule = "past-us";
            let text = self.judge(at, call);
            out.extend(text.map(|text| Violation { at, rule, text }));
        }
    }

    fn effect(&mut self, _: Timestamp, shard: ShardId, effect: &Effect, _: &mut Vec<Violation>) {
        self.media_of.effect(shard, effect);
        let (session, endpoint, has_stream) = match effect {
            Effect::Media(Command::Answer {
                session,
                endpoint,
                negotiated,
                stage: Stage::Final,
                ..
            }) => {
                let has_stream = negotiated.streams.iter().any(Option::is_some);
                (session, endpoint, has_stream)
            }
            Effect::Media(Command::Release {
                session,
                endpoint: Some(endpoint),
                ..
            }) => (session, endpoint, false),
            _ => return,
        };
        if let Some(call) = self.media_of.of(*session) {
            let relayed = self.relayed.entry(call).or_default();
            match has_stream {
                true => relayed.insert(*endpoint),
                false => relayed.remove(endpoint),
            };
        }
    }
}
