//! ICE is spoken where a trunk has media bypass and nowhere else, the relay answers for every name and
//! password that a peer is told and knows whose checks and which addresses count, and a leg's agent begins
//! anew exactly when the peer's has.

use super::{Checker, Seen, Violation};
use crate::topology::{BYPASS_TENANT, TENANTS};
use crate::wire::Wire;
use media_api::{Command, IceCandidate, IceCredentials};
use sbc_core::effect::Effect;
use sbc_core::id::ShardId;
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Fragment and password.
type Credentials = (String, String);

#[derive(Default)]
pub(super) struct Agents {
    /// What the relay answers for.
    served: BTreeSet<Credentials>,
    /// Fragments and addresses of the peers' agents.
    known: BTreeSet<(String, SocketAddr)>,
    /// The agents of offers heard, by Call-ID and sequence number; `None` where an offer has none.
    offered: BTreeMap<(String, u32), Option<Credentials>>,
    /// Both agents of the last exchange of each leg: the peer's and ours.
    agreed: BTreeMap<String, (Credentials, Credentials)>,
    /// What we said last on each leg.
    ours: BTreeMap<String, Credentials>,
}

impl Checker for Agents {
    fn effect(&mut self, at: Timestamp, _: ShardId, effect: &Effect, out: &mut Vec<Violation>) {
        let mut serve = |own: &IceCredentials| {
            let password = own.expose_password().to_owned();
            self.served.insert((own.fragment().to_owned(), password));
        };
        match effect {
            Effect::Media(Command::Allocate { endpoints, .. }) => {
                let streams = endpoints.iter().flat_map(|spec| &spec.streams);
                streams
                    .filter_map(|stream| stream.ice.as_ref())
                    .for_each(serve);
            }
            Effect::Media(Command::Answer { negotiated, .. }) => {
                let streams = negotiated.streams.iter().flatten();
                for terms in streams.filter_map(|stream| stream.ice.as_ref()) {
                    serve(&terms.local);
                    let of_peer = |one: &IceCandidate| {
                        let named = (terms.remote_fragment.clone(), one.address);
                        self.known.contains(&named)
                    };
                    if terms.candidates.is_empty() || !terms.candidates.iter().all(of_peer) {
                        let text = format!("nobody has said {:?}", terms);
                        let rule = "ice-told";
                        out.push(Violation { at, rule, text });
                    }
                }
            }
            _ => {}
        }
    }

    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let mut fail = |rule, text| out.push(Violation { at, rule, text });
        if let Seen::Heard {
            wire: Some(wire), ..
        } = seen
        {
            self.known.extend(place(&wire.body));
        }
        match seen {
            Seen::Heard {
                wire: Some(wire), ..
            } if wire.method() == Some("INVITE") && wire.has_sdp() => {
                self.offered.insert(key(wire), agent(&wire.body));
            }
            // An answer of the peer's: whatever it says of its agent is known from now on.
            Seen::Heard {
                wire: Some(wire), ..
            } if wire
                .status()
                .is_some_and(|status| (200..300).contains(&status)) =>
            {
                let leg = wire.call_id().to_owned();
                if let (Some(theirs), Some(ours)) = (agent(&wire.body), self.ours.get(&leg)) {
                    self.agreed.insert(leg, (theirs, ours.clone()));
                }
            }
            Seen::Sent {
                wire: Some(wire),
                context,
                ..
            } if wire.has_sdp() => {
                let Some(own) = agent(&wire.body) else {
                    if wire.body.contains("a=candidate") || wire.body.contains("a=ice-") {
                        fail("ice-half", format!("{}: no whole agent", wire.first));
                    }
                    return;
                };
                let tenant = context.map(|context| context.as_str());
                if tenant != Some(TENANTS[BYPASS_TENANT]) {
                    fail("ice-uninvited", format!("{} on {tenant:?}", wire.first));
                }
                if !self.served.contains(&own) {
                    let what = "the relay does not answer for the agent";
                    fail("ice-unserved", format!("{}: {what}", wire.first));
                }
                self.ours.insert(wire.call_id().to_owned(), own.clone());
                self.answered(wire, own, &mut fail);
            }
            _ => {}
        }
    }
}

impl Agents {
    /// Our answer to an offer that has been heard.
    fn answered(
        &mut self,
        wire: &Wire,
        own: Credentials,
        fail: &mut impl FnMut(&'static str, String),
    ) {
        if !wire
            .status()
            .is_some_and(|status| (101..300).contains(&status))
        {
            return;
        }
        let Some(offered) = self.offered.get(&key(wire)) else {
            return;
        };
        let Some(theirs) = offered else {
            let what = "an agent in answer to none";
            return fail("ice-unasked", format!("{}: {what}", wire.first));
        };
        if let Some((their_last, our_last)) = self.agreed.get(wire.call_id()) {
            let differs = |a: &Credentials, b: &Credentials| a.0 != b.0 && a.1 != b.1;
            if differs(theirs, their_last) != differs(&own, our_last) {
                let what = "one agent has begun anew and the other has not";
                fail("ice-restart", format!("{}: {what}", wire.first));
            }
        }
        let agreed = (theirs.clone(), own);
        self.agreed.insert(wire.call_id().to_owned(), agreed);
    }
}

fn key(wire: &Wire) -> (String, u32) {
    let number = wire.cseq().map_or(0, |(number, _)| number);
    (wire.call_id().to_owned(), number)
}

/// The fragment and the address of an agent.
fn place(sdp: &str) -> Option<(String, SocketAddr)> {
    let (fragment, _) = agent(sdp)?;
    let mut lines = sdp.lines();
    let candidate = lines.find_map(|line| line.strip_prefix("a=candidate:"))?;
    let mut words = candidate.split(' ').skip(4);
    let ip: IpAddr = words.next()?.parse().ok()?;
    Some((fragment, SocketAddr::new(ip, words.next()?.parse().ok()?)))
}

fn agent(sdp: &str) -> Option<Credentials> {
    let value = |name: &str| {
        let mut lines = sdp.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    value("a=candidate:")?;
    Some((value("a=ice-ufrag:")?, value("a=ice-pwd:")?))
}
