//! Nothing of one leg appears on another (I9, SIP-400, SIP-420).

use super::{Checker, Seen, Violation, call_of};
use crate::fault::ActorIndex;
use crate::scenario::Setting;
use crate::topology::{self, NORTH_1};
use crate::wire::{Wire, param};
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Identifiers shorter than this would be found by chance.
const LONG_ENOUGH: usize = 8;

#[derive(Default)]
pub(super) struct Privacy {
    /// Identifiers of each leg (by Call-ID) of each call.
    legs: BTreeMap<usize, BTreeMap<String, BTreeSet<String>>>,
    /// Messages already looked at.
    seen: BTreeSet<Vec<u8>>,
    /// Whether parties are told where media of the others are.
    lends: bool,
}

impl Checker for Privacy {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        match seen {
            // It repeats what its sender wrote.
            Seen::Sent {
                answers_garbage: true,
                ..
            } => {}
            Seen::Heard {
                wire: Some(wire), ..
            } => self.learn(wire),
            Seen::Sent {
                actor: Some(actor),
                wire: Some(wire),
                bytes,
                ..
            } => {
                if !self.seen.insert(bytes.to_vec()) {
                    return;
                }
                let text = String::from_utf8_lossy(bytes);
                let head = text.split("\r\n\r\n").next().unwrap_or_default();
                let text = if self.lends { head } else { &text };
                let mut fail = |what: &str| {
                    let text = format!("{} to {}: {what}", wire.first, topology::name(*actor));
                    out.push(Violation {
                        at,
                        rule: "privacy",
                        text,
                    });
                };
                if let Some(what) = foreign(*actor, text) {
                    fail(&format!("contains {what:?} of another side"));
                }
                let legs = call_of(wire).and_then(|call| self.legs.get(&call));
                let others = legs
                    .into_iter()
                    .flatten()
                    .filter(|(id, _)| *id != wire.call_id());
                for token in others.flat_map(|(_, tokens)| tokens) {
                    if text.contains(token.as_str()) {
                        fail(&format!("contains {token:?} of another leg"));
                    }
                }
                self.learn(wire);
            }
            _ => {}
        }
    }
}

impl Privacy {
    pub(super) fn new(setting: Setting) -> Self {
        Self {
            lends: setting.past_us.is_some(),
            ..Self::default()
        }
    }

    fn learn(&mut self, wire: &Wire) {
        let Some(call) = call_of(wire) else { return };
        let leg = self
            .legs
            .entry(call)
            .or_default()
            .entry(wire.call_id().to_owned())
            .or_default();
        let identifiers = [
            Some(wire.call_id()),
            wire.tag("From"),
            wire.tag("To"),
            Some(wire.branch()),
        ];
        let mut tokens: Vec<String> = identifiers
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect();
        if let Some(contact) = wire.get("Contact") {
            let inner = contact.trim_matches(['<', '>']);
            tokens.extend(
                ["x-i", "x-c"]
                    .into_iter()
                    .filter_map(|name| param(inner, name))
                    .map(str::to_owned),
            );
        }
        for key in wire
            .body
            .lines()
            .filter_map(|line| line.split_once("inline:"))
        {
            tokens.push(key.1.split('|').next().unwrap_or_default().to_owned());
        }
        leg.extend(
            tokens
                .into_iter()
                .filter(|token| token.len() >= LONG_ENOUGH),
        );
    }
}

/// Something of another side in a message to `actor`.
fn foreign(actor: ActorIndex, text: &str) -> Option<String> {
    let teams_side = [
        "192.0.2.",
        "pstnhub",
        "Microsoft",
        "203.0.113.10",
        "api-du-a",
        "sbc.contoso",
        "sbc.fabrikam",
    ];
    let carrier_side = [
        "198.51.100.",
        "203.0.113.20",
        "2001:db8:2",
        "north.example",
        "south.example",
        "softswitch",
        "Trunk-Secret",
    ];
    let words: &[&str] = if actor < NORTH_1 {
        &carrier_side
    } else {
        &teams_side
    };
    if let Some(word) = words.iter().find(|word| text.contains(**word)) {
        return Some((*word).to_owned());
    }
    if text.contains("X-Trunk-Secret") || text.contains("secret.gw") {
        return Some("a private header".to_owned());
    }
    let others = (0..topology::ACTORS).filter(|other| *other != actor);
    others
        .map(|other| topology::peer(other).address.ip().to_string())
        .find(|ip| contains_address(text, ip))
}

fn contains_address(text: &str, ip: &str) -> bool {
    text.match_indices(ip).any(|(at, _)| {
        let after = text.as_bytes().get(at + ip.len());
        !after.is_some_and(u8::is_ascii_digit)
    })
}
