//! Peers that register (SIP-1600, SIP-1610): who gets 200 has proven to know the password of the name that it
//! registers, calls reach who is registered and nobody else, and who is honest gets in.

use super::{Checker, End, Seen, Violation};
use crate::digest::{Who, proves};
use crate::fault::ActorIndex;
use crate::topology;
use crate::wire::{Wire, param, uri_of, user_of};
use sbc_core::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Registrations {
    /// REGISTERs that came, by branch: from whom, and what.
    asked: BTreeMap<String, (ActorIndex, Wire)>,
    /// Until when each is registered.
    until: BTreeMap<ActorIndex, Timestamp>,
    /// How often each got in.
    accepted: BTreeMap<ActorIndex, usize>,
}

impl Registrations {
    fn sent(
        &mut self,
        at: Timestamp,
        wire: &Wire,
        actor: Option<ActorIndex>,
    ) -> Option<(&'static str, String)> {
        let (_, method) = wire.cseq()?;
        match (wire.status(), method) {
            (Some(200..=299), "REGISTER") => self.accepted(at, wire),
            (None, "INVITE") if wire.tag("To").is_none() => {
                let actor = actor.filter(|actor| topology::registers(*actor))?;
                let is_there = self.until.get(&actor).is_some_and(|until| at <= *until);
                (!is_there).then(|| {
                    let text = format!("{} is called and is not registered", topology::name(actor));
                    ("registration-nobody", text)
                })
            }
            _ => None,
        }
    }

    fn accepted(&mut self, at: Timestamp, wire: &Wire) -> Option<(&'static str, String)> {
        let (actor, request) = self.asked.get(wire.branch())?;
        let name = user_of(uri_of(request.get("To")?));
        let password = topology::password(name);
        if !password.is_some_and(|password| proves(request, Who { name, password })) {
            let text = format!("{} is taken for {name}", topology::name(*actor));
            return Some(("registration-unproven", text));
        }
        // What was granted stands beside each contact (RFC 3261 §10.3).
        let granted = wire.values("Contact").into_iter().find_map(|contact| {
            let is_own = contact.contains(&topology::peer(*actor).address.to_string());
            is_own.then(|| param(&contact, "expires")?.parse::<u64>().ok())?
        });
        let life = Duration::from_secs(granted.unwrap_or(0));
        self.until.insert(*actor, at + life);
        *self.accepted.entry(*actor).or_default() += 1;
        None
    }
}

impl Checker for Registrations {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        match seen {
            Seen::Sent {
                wire: Some(wire),
                actor,
                ..
            } => {
                let wrong = self.sent(at, wire, *actor);
                out.extend(wrong.map(|(rule, text)| Violation { at, rule, text }));
            }
            Seen::Heard {
                wire: Some(wire),
                actor,
                is_garbage: false,
                ..
            } if wire.method() == Some("REGISTER") && wire.get("To").is_some() => {
                let asked = (*actor, (*wire).clone());
                self.asked.insert(wire.branch().to_owned(), asked);
            }
            _ => {}
        }
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        let scenario = end.scenario;
        if !scenario.setting.registers || !scenario.faults.is_empty() {
            return;
        }
        for actor in topology::MEMBERS {
            if !self.accepted.contains_key(&actor) {
                out.push(Violation {
                    at: end.at,
                    rule: "registration-refused",
                    text: format!("{} never got in", topology::name(actor)),
                });
            }
        }
    }
}
