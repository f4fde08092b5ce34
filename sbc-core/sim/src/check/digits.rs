//! Every key that one party presses is told to the other one once, in order, and in the way of that one's
//! trunk (SIP-1310, SIP-1312, MED-225). Looks at calls of two parties in which keys were pressed. One of
//! which a party tells by INFO and in its media, not half a second apart, was pressed once.

use super::calls::Calls;
use super::{Checker, End, Rules, Seen, Violation};
use crate::topology::NORTH_1;
use crate::wire::Wire;
use media_api::{Command, EndpointId, SessionId, Signal};
use sbc_core::effect::Effect;
use sbc_core::id::{CallId, LegId, ShardId};
use sbc_core::media::Dtmf;
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) struct Digits {
    /// How digits travel on trunks of Teams and of carriers.
    dtmf: [Dtmf; 2],
    media_of: Calls,
    legs: BTreeMap<String, (CallId, LegId)>,
    parties: BTreeMap<(CallId, LegId), Party>,
    /// INFO that was seen: it may be repeated.
    seen: BTreeSet<(String, u32, bool)>,
}

#[derive(Default)]
struct Party {
    is_teams: bool,
    pressed: String,
    told: String,
    /// Keys that it may still tell of in the other way: whether in media, and when.
    half: Vec<(char, bool, Timestamp)>,
}

/// Between INFO and media about one key.
const APART: Duration = Duration::from_millis(500);

impl Party {
    fn presses(&mut self, key: char, is_media: bool, at: Timestamp) {
        let mut half = self.half.iter();
        let is_other = |(other, by_media, since): &(char, bool, Timestamp)| {
            *other == key && *by_media != is_media && at.since(*since) <= APART
        };
        match half.position(is_other) {
            Some(other) => drop(self.half.remove(other)),
            None => {
                self.half.push((key, is_media, at));
                self.pressed.push(key);
            }
        }
    }
}

/// How a party was told of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// By the other one's media, as they are.
    Media,
    Dialled(Signal),
    Info,
}

impl Digits {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            dtmf: rules.setting.dtmf.unwrap_or([Dtmf::Rfc4733; 2]),
            media_of: Calls::default(),
            legs: BTreeMap::new(),
            parties: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    fn of_endpoint(&self, session: SessionId, endpoint: EndpointId) -> Option<(CallId, LegId)> {
        Some((self.media_of.of(session)?, LegId(endpoint.0)))
    }

    fn told(&mut self, leg: Option<(CallId, LegId)>, key: char, way: Way) -> Option<String> {
        let party = self.parties.entry(leg?).or_default();
        party.told.push(key);
        let dtmf = self.dtmf[usize::from(!party.is_teams)];
        let fits = match (way, dtmf) {
            (Way::Media, Dtmf::Info) => false,
            // Events where both have them, tones where both have those.
            (Way::Media, _) => true,
            (Way::Dialled(Signal::Event), dtmf) => dtmf.negotiates_events(),
            (Way::Dialled(Signal::Tone), dtmf) => matches!(dtmf, Dtmf::Inband | Dtmf::Auto),
            (Way::Info, dtmf) => matches!(dtmf, Dtmf::Info | Dtmf::Auto),
        };
        (!fits).then(|| format!("told by {way:?} where digits travel as {dtmf:?}"))
    }

    /// The key that an INFO names, the first time that it is seen.
    fn key_of(&mut self, wire: &Wire, is_sent: bool) -> Option<char> {
        if wire.method() != Some("INFO") {
            return None;
        }
        let (cseq, _) = wire.cseq()?;
        let is_new = self.seen.insert((wire.call_id().to_owned(), cseq, is_sent));
        let key = wire.body.strip_prefix("Signal=")?.chars().next()?;
        is_new.then_some(key)
    }
}

impl Checker for Digits {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let fault = match seen {
            Seen::Heard {
                wire: Some(wire), ..
            } => {
                if let (Some(key), Some(leg)) = (
                    self.key_of(wire, false),
                    self.legs.get(wire.call_id()).copied(),
                ) {
                    self.parties.entry(leg).or_default().presses(key, false, at);
                }
                None
            }
            Seen::Sent {
                wire: Some(wire),
                call: Some(leg),
                actor,
                ..
            } => {
                self.legs.insert(wire.call_id().to_owned(), *leg);
                let party = self.parties.entry(*leg).or_default();
                party.is_teams = actor.is_some_and(|actor| actor < NORTH_1);
                let key = self.key_of(wire, true);
                key.and_then(|key| self.told(Some(*leg), key, Way::Info))
            }
            Seen::Pressed {
                session,
                endpoint,
                digit,
            } => {
                if let Some(leg) = self.of_endpoint(*session, *endpoint) {
                    let party = self.parties.entry(leg).or_default();
                    party.presses(digit.symbol(), true, at);
                }
                None
            }
            Seen::Passed {
                session,
                endpoint,
                digit,
            } => {
                let leg = self.of_endpoint(*session, *endpoint);
                self.told(leg, digit.symbol(), Way::Media)
            }
            _ => None,
        };
        let rule = "digit-way";
        out.extend(fault.map(|text| Violation { at, rule, text }));
    }

    fn effect(&mut self, at: Timestamp, shard: ShardId, effect: &Effect, out: &mut Vec<Violation>) {
        self.media_of.effect(shard, effect);
        if let Effect::Media(Command::Dial {
            session,
            endpoint,
            dialled,
        }) = effect
        {
            let leg = self.of_endpoint(*session, *endpoint);
            let way = Way::Dialled(dialled.signal);
            let fault = self.told(leg, dialled.digit.symbol(), way);
            let rule = "digit-way";
            out.extend(fault.map(|text| Violation { at, rule, text }));
        }
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        for ((call, leg), party) in &self.parties {
            let other = (*call, LegId(1 - leg.0.min(1)));
            let told = self.parties.get(&other).map_or("", |other| &other.told);
            if leg.0 < 2 && told != party.pressed {
                out.push(Violation {
                    at: end.at,
                    rule: "digit-once",
                    text: format!("{:?} was pressed, and {told:?} told", party.pressed),
                });
            }
        }
    }
}
