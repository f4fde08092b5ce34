//! From facts to paths: who a stream's packets go to, and under which payload types.
//!
//! Compiled when something was agreed or the bridge plan changed, executed for every packet. The
//! packet path looks at nothing else of a negotiation.

use super::change::{self, Change};
use super::repack::Packing;
use super::stream::{Face, Stream};
use crate::codec::Coding;
use crate::g711::Law;
use crate::io::fetch;
use media_api::{DropReason, FormatId, FormatKind, PayloadBinding};

/// Where the packets of a stream go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Path {
    /// To the peer of another stream.
    Forward {
        /// Its index in the session.
        to: usize,
    },
    /// Nowhere, and why.
    Blocked(DropReason),
}

/// What is done with packets of one payload type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub(super) format: FormatId,
    pub(super) clock_hz: u32,
    pub(super) is_event: bool,
    /// Whether it is comfort noise of RFC 3389.
    pub(super) is_noise: bool,
    /// Its law, if it is G.711.
    pub(super) law: Option<Law>,
    /// Payload type toward the joined peer; `None` if that one did not agree to the format.
    pub(super) send_as: Option<u8>,
    /// What becomes of it where the joined peer has another format instead.
    pub(super) change: Change,
    /// How it can be cut, if it can.
    pub(super) packing: Option<Packing>,
}

/// Rules of one face by received payload type.
#[derive(Debug)]
pub(super) struct Rules {
    /// Index into `list` plus one; zero where nothing was agreed.
    at: [u8; 128],
    list: Vec<Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            at: [0; 128],
            list: Vec::new(),
        }
    }
}

impl Rules {
    /// Has the processor fetch them.
    pub(super) fn fetch(&self) {
        fetch::first(&self.list);
    }

    /// Whether any of them is transcoded to this.
    pub(super) fn recode_to(&self, coding: Coding) -> bool {
        let is_it =
            |rule: &Rule| matches!(rule.change, Change::Recode(recipe) if recipe.to == coding);
        self.list.iter().any(is_it)
    }

    /// Whether packets of this format become the other law of G.711.
    pub(super) fn changes_law(&self, format: FormatId) -> bool {
        let is_it = |rule: &Rule| rule.format == format && matches!(rule.change, Change::Law(_));
        self.list.iter().any(is_it)
    }

    /// Whether any of them is comfort noise that the joined peer has not.
    fn makes_noise(&self) -> bool {
        let is_it = |rule: &Rule| rule.is_noise && rule.send_as.is_none();
        self.list
            .iter()
            .any(|rule| is_it(rule) && rule.change != Change::None)
    }

    /// Received types are the numbers of our description, sent ones those of the peer's (MED-052).
    fn new<'a>(
        received: impl Iterator<Item = &'a PayloadBinding>,
        sent: &[PayloadBinding],
        needed: Option<(Coding, u8)>,
    ) -> Self {
        let mut rules = Self::default();
        for binding in received {
            let Some(at) = rules.at.get_mut(usize::from(binding.receive)) else {
                continue;
            };
            let Ok(next) = u8::try_from(rules.list.len() + 1) else {
                break;
            };
            *at = next;
            let same = sent.iter().find(|other| other.id == binding.id);
            let (send_as, change) = change::of(binding, same, sent, needed);
            rules.list.push(Rule {
                format: binding.id,
                clock_hz: binding.format.clock_hz,
                is_event: binding.format.kind == FormatKind::Event,
                is_noise: binding.format.name.eq_ignore_ascii_case("CN"),
                law: Law::of(&binding.format.name, binding.format.clock_hz),
                send_as,
                change,
                packing: Packing::of(&binding.format),
            });
        }
        rules
    }

    /// The rule for a received payload type; `None` if it was not agreed.
    pub(super) fn of(&self, payload_type: u8) -> Option<Rule> {
        let at = usize::from(*self.at.get(usize::from(payload_type))?);
        self.list.get(at.checked_sub(1)?).copied()
    }
}

/// Compiles the paths of all streams. `partner` names the stream joined with each.
pub(super) fn compile(streams: &mut [Stream], partner: impl Fn(usize) -> Option<usize>) {
    for at in 0..streams.len() {
        let to = partner(at).filter(|to| *to != at && *to < streams.len());
        let path = match to {
            None => Path::Blocked(DropReason::NoPath),
            Some(to) => match streams[to].active() {
                None => Path::Blocked(DropReason::NoPath),
                // One side is ahead of the other with a switch to fax, or back.
                Some(_) if streams[to].is_fax() != streams[at].is_fax() => {
                    Path::Blocked(DropReason::NoPath)
                }
                Some(_) if streams[to].sends() => Path::Forward { to },
                Some(face) if face.is_shut() => Path::Blocked(DropReason::NoKey),
                // Nobody has been checked yet.
                Some(face) if face.terms.direction.sends() && face.guard.checked().is_some() => {
                    Path::Blocked(DropReason::NoPath)
                }
                Some(_) => Path::Blocked(DropReason::Direction),
            },
        };
        if let (Path::Forward { to }, true) = (path, path != streams[at].path) {
            streams[to].outgoing.interrupt(at);
            if let Some(pack) = &mut streams[at].repack {
                pack.interrupt();
            }
        }
        // Taken out and put back, because the bindings of the partner are borrowed meanwhile.
        let mut faces = std::mem::take(&mut streams[at].faces);
        let target = to.and_then(|to| streams[to].active());
        let sent = target.map_or(&[][..], |face: &Face| &face.terms.payloads);
        let packet_ms = target.map_or(20, |face| face.terms.ptime_ms);
        for face in &mut faces {
            let needed = change::needed(&face.terms.payloads, sent, packet_ms);
            let received = face.terms.payloads.iter();
            face.rules = Rules::new(received.chain(face.retired.bindings()), sent, needed);
        }
        let makes_noise = faces.iter().any(|face| face.rules.makes_noise());
        streams[at].faces = faces;
        if let Some(to) = to {
            streams[to].expect_comfort(makes_noise);
        }
        // A peer sends what the other side wants to receive, or what it wants itself.
        let wishes = [Some(at), to].into_iter().flatten();
        let shortest = wishes
            .filter_map(|stream| Some(streams[stream].active()?.terms.ptime_ms))
            .min();
        if let Some(packet_time_ms) = shortest {
            streams[at].rate.set_packet_time(packet_time_ms);
            streams[at].reception.set_packet_time(packet_time_ms);
        }
        streams[at].path = path;
    }
}
