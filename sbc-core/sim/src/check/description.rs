//! Offers and answers of the SBC: right profile per side, answers that fit their offers, one
//! description per early and final response (SIP-312), origin lines that count (SIP-504).

use super::spoken::Spoken;
use super::{Checker, Seen, Violation};
use crate::fault::ActorIndex;
use crate::scenario::Setting;
use crate::topology::{self, NORTH_1};
use crate::wire::Wire;
use media_api::Family;
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Descriptions {
    /// Offers in requests heard, by Call-ID and sequence number.
    offers: BTreeMap<(String, u32), String>,
    /// What we answered to each of them.
    answers: BTreeMap<(String, u32), String>,
    /// Last description that we sent in each dialog, and in an INVITE that begins some: each phone that answers it has heard
    /// that one and none of another's.
    last: BTreeMap<String, String>,
    /// What each payload type of ours means, by Call-ID.
    numbers: BTreeMap<String, BTreeMap<String, String>>,
    /// Messages already looked at: what is repeated says nothing new.
    said: BTreeSet<String>,
    /// Whether parties are told where media of the others are.
    lends: bool,
}

impl Checker for Descriptions {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let mut fail = |rule, text| out.push(Violation { at, rule, text });
        match seen {
            Seen::Heard {
                wire: Some(wire), ..
            } if matches!(wire.method(), Some("INVITE" | "UPDATE")) => {
                let number = wire.cseq().map_or(0, |(n, _)| n);
                let key = (wire.call_id().to_owned(), number);
                self.offers.entry(key).or_insert_with(|| wire.body.clone());
            }
            Seen::Sent {
                actor: Some(actor),
                wire: Some(wire),
                ..
            } if wire.has_sdp() => {
                self.sent(*actor, wire, &mut fail);
            }
            _ => {}
        }
    }
}

impl Descriptions {
    pub(super) fn new(setting: Setting) -> Self {
        Self {
            lends: setting.past_us.is_some(),
            ..Self::default()
        }
    }

    fn sent(
        &mut self,
        actor: ActorIndex,
        wire: &Wire,
        fail: &mut impl FnMut(&'static str, String),
    ) {
        let sdp = wire.body.as_str();
        let is_teams = actor < NORTH_1;
        let mut miss = |what: String| fail("description", format!("{}: {what}", wire.first));
        let order: String = sdp
            .lines()
            .filter_map(|line| line.chars().next())
            .filter(|c| "vostm".contains(*c))
            .collect();
        if !order.starts_with("vostm") {
            miss(format!("lines come as {order}"));
        }
        let has_keys = is_teams || self.lends;
        let wanted = if has_keys { "RTP/SAVP" } else { "RTP/AVP" };
        let media: Vec<&str> = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("m="))
            .collect();
        for line in &media {
            let words: Vec<&str> = line.split(' ').collect();
            if words.get(1) != Some(&"0") && words.get(2) != Some(&wanted) {
                miss(format!("{line} towards {}", topology::name(actor)));
            }
        }
        let own = if is_teams {
            topology::TEAMS_REALM
        } else {
            topology::CARRIER_REALM
        };
        let family = match topology::peer(actor).address.is_ipv4() {
            true => Family::V4,
            false => Family::V6,
        };
        let address = topology::realm_address(own, family).to_string();
        let word = if family == Family::V4 { "IP4" } else { "IP6" };
        let of_place = |line: &&str| line.starts_with("c=") || line.starts_with("o=");
        for line in sdp.lines().filter(|line| !self.lends && of_place(line)) {
            let mut words = line.split(' ').rev();
            if words.next() != Some(address.as_str()) || words.next() != Some(word) {
                miss(format!("{line} is not our address on this side"));
            }
        }
        if is_teams
            && sdp
                .lines()
                .any(|line| matches!(line, "a=sendonly" | "a=recvonly"))
        {
            miss("Teams knows sendrecv and inactive only (TDR-HLD-001)".to_owned());
        }
        if wire.status().is_some() {
            self.answered(wire, &media, fail);
        }
        if let Some(spoken) = Spoken::read(sdp) {
            let numbers = self.numbers.entry(wire.call_id().to_owned()).or_default();
            numbers.extend(spoken.payloads);
        }
        self.origin(wire, fail);
    }

    fn answered(
        &mut self,
        wire: &Wire,
        media: &[&str],
        fail: &mut impl FnMut(&'static str, String),
    ) {
        let number = wire.cseq().map_or(0, |(n, _)| n);
        let key = (wire.call_id().to_owned(), number);
        let Some(offer) = self.offers.get(&key).filter(|offer| !offer.is_empty()) else {
            return;
        };
        let offered: Vec<&str> = offer
            .lines()
            .filter_map(|line| line.strip_prefix("m="))
            .collect();
        if offered.len() != media.len() {
            fail(
                "answer",
                format!(
                    "{}: {} m= lines answer {}",
                    wire.first,
                    media.len(),
                    offered.len()
                ),
            );
        }
        let payloads: Vec<&str> = offered
            .iter()
            .flat_map(|line| line.split(' ').skip(3))
            .collect();
        for chosen in media.iter().flat_map(|line| line.split(' ').skip(3)) {
            if !payloads.contains(&chosen) && !self.is_renumbered(wire, offer, chosen) {
                fail(
                    "answer",
                    format!("{}: payload type {chosen} was not offered", wire.first),
                );
            }
        }
        let tag = |line: &str| {
            line.strip_prefix("a=crypto:")
                .and_then(|rest| rest.split(' ').next())
                .map(str::to_owned)
        };
        let tags: Vec<String> = offer.lines().filter_map(tag).collect();
        let chosen: Vec<String> = wire.body.lines().filter_map(tag).collect();
        if chosen.len() != usize::from(!tags.is_empty())
            || chosen.iter().any(|tag| !tags.contains(tag))
        {
            fail(
                "answer",
                format!("{}: crypto {chosen:?} answers {tags:?}", wire.first),
            );
        }
        let (wish, answer) = (direction(offer), direction(&wire.body));
        let is_legal = match wish {
            "sendonly" => matches!(answer, "recvonly" | "inactive"),
            "recvonly" => matches!(answer, "sendonly" | "inactive"),
            "inactive" => answer == "inactive",
            _ => true,
        };
        if !is_legal {
            fail(
                "answer",
                format!("{}: {answer} answers {wish} (SIP-503)", wire.first),
            );
        }
        let first = self.answers.entry(key).or_insert_with(|| wire.body.clone());
        if *first != wire.body {
            fail(
                "answer-changed",
                format!("{}: another answer than before (SIP-312)", wire.first),
            );
        }
    }

    /// Whether an answer has a number of its own for an offered format because the one of the offer is another format's, as we
    /// have said before (SIP-505).
    fn is_renumbered(&self, wire: &Wire, offer: &str, chosen: &str) -> bool {
        let (answered, offered) = (Spoken::read(&wire.body), Spoken::read(offer));
        let (Some(answered), Some(offered)) = (answered, offered) else {
            return false;
        };
        let Some(meaning) = answered.payloads.get(chosen) else {
            return false;
        };
        let known = self.numbers.get(wire.call_id());
        let is_anothers = |number: &String| {
            let before = known.and_then(|known| known.get(number));
            before.is_some_and(|before| before != meaning)
        };
        let mut numbers = offered.payloads.iter().filter(|own| own.1 == meaning);
        numbers.any(|(number, _)| is_anothers(number))
    }

    fn origin(&mut self, wire: &Wire, fail: &mut impl FnMut(&'static str, String)) {
        let said = match wire.status() {
            None => wire.branch().to_owned(),
            // A repeated answer may be older than what an UPDATE has changed since.
            Some(_) => format!("{} {}", wire.branch(), wire.body),
        };
        if !self.said.insert(said) {
            return;
        }
        let (own_tag, peer_tag) = match wire.status() {
            Some(_) => (wire.tag("To"), wire.tag("From")),
            None => (wire.tag("From"), wire.tag("To")),
        };
        let leg = format!("{} {}", wire.call_id(), own_tag.unwrap_or_default());
        let begun = self.last.get(&format!("{leg} ")).cloned();
        let dialog = format!("{leg} {}", peer_tag.unwrap_or_default());
        let last = self.last.insert(dialog, wire.body.clone());
        if let Some(last) = last.or(begun) {
            let (before, after) = (origin(&last), origin(&wire.body));
            let same = last == wire.body;
            let fits = match (before, after) {
                (Some(b), Some(a)) => {
                    a.0 == b.0 && (if same { a.1 == b.1 } else { a.1 == b.1 + 1 })
                }
                _ => false,
            };
            if !fits {
                fail(
                    "origin",
                    format!("{}: o= {before:?} became {after:?} (SIP-504)", wire.first),
                );
            }
        }
    }
}

/// Direction of a description with one media line.
fn direction(sdp: &str) -> &str {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a="))
        .find(|value| matches!(*value, "sendrecv" | "sendonly" | "recvonly" | "inactive"))
        .unwrap_or("sendrecv")
}

/// Session id and version.
fn origin(sdp: &str) -> Option<(u64, u64)> {
    let line = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    let mut words = line.split(' ').skip(1);
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
