//! What the server has done since its start: told to proxies that ask for `statistics`, and to whoever scrapes.

use crate::call::Call;
use crate::note::Ending;
use crate::reply::Sums;
use crate::server::Now;
use media_api::{OneWayKind, SessionStats};

/// Counters of a server, and what it has at the moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests that could be read, in the order of [`Asked::ALL`].
    pub asked: [u64; Asked::ALL.len()],
    /// Requests that were not served, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Calls that have had ports. Those that are over are in `ended`, all others in `calls`.
    pub begun: u64,
    /// First offers that came to no call: before there were ports, or of those that ended as [`Ending::Refused`].
    pub turned_away: u64,
    /// Calls that are over, in the order of [`Ending::ALL`].
    pub ended: [u64; Ending::ALL.len()],
    /// Times that media did not get through, in the order of [`ONE_WAY`].
    pub one_way: [u64; ONE_WAY.len()],
    /// Calls that have ports and are not over.
    pub calls: u64,
    /// Their streams, one for each party and `m=` line.
    pub streams: u64,
}

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// `ping`.
    Ping,
    /// `offer`.
    Offer,
    /// `answer`.
    Answer,
    /// `delete`.
    Delete,
    /// `query`.
    Query,
    /// `list`.
    List,
    /// `statistics`.
    Statistics,
    /// What is asked of media that flow: `play media`, `block DTMF` and the like.
    Order,
}

impl Asked {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ping,
        Self::Offer,
        Self::Answer,
        Self::Delete,
        Self::Query,
        Self::List,
        Self::Statistics,
        Self::Order,
    ];

    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Delete => "delete",
            Self::Query => "query",
            Self::List => "list",
            Self::Statistics => "statistics",
            Self::Order => "order",
        }
    }
}

/// Why a request was not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is no message of the protocol, and nothing was answered.
    Unreadable,
    /// It lacks something, is of no command that is known, or wants what is not done.
    Request,
    /// There is no such call.
    UnknownCall,
    /// Its description cannot be relayed, or does not fit to what was said before.
    Description,
    /// The party that it names is none of the call, or cannot hear what it is to hear.
    Party,
    /// The recording cannot be played.
    Recording,
    /// No port was free.
    Ports,
    /// As many calls, or requests of one call, as are allowed.
    Limit,
    /// The relay has taken nothing for another reason.
    Relay,
    /// The answer was too long for a datagram.
    TooLong,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Unreadable,
        Self::Request,
        Self::UnknownCall,
        Self::Description,
        Self::Party,
        Self::Recording,
        Self::Ports,
        Self::Limit,
        Self::Relay,
        Self::TooLong,
    ];

    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Request => "request",
            Self::UnknownCall => "unknown_call",
            Self::Description => "description",
            Self::Party => "party",
            Self::Recording => "recording",
            Self::Ports => "ports",
            Self::Limit => "limit",
            Self::Relay => "relay",
            Self::TooLong => "too_long",
        }
    }
}

/// Every kind of one-way audio.
pub const ONE_WAY: [OneWayKind; 10] = [
    OneWayKind::NoPackets,
    OneWayKind::WrongSource,
    OneWayKind::DecryptFailures,
    OneWayKind::KeyReused,
    OneWayKind::WrongPayloadType,
    OneWayKind::NoChecks,
    OneWayKind::RefusedChecks,
    OneWayKind::NoHandshake,
    OneWayKind::Silence,
    OneWayKind::NotReceived,
];

/// What is counted as it happens.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Figures {
    counters: Counters,
    /// Streams that are transcoded, of calls that are not over.
    pub(crate) transcoded: usize,
    /// Calls that are over, whose figures came.
    pub(crate) closed: u64,
    pub(crate) lasted_ms: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
}

impl Figures {
    pub(crate) fn ask(&mut self, what: Asked) {
        self.counters.asked[what as usize] += 1;
    }

    pub(crate) fn refuse(&mut self, why: Refusal) {
        self.counters.refused[why as usize] += 1;
    }

    /// A call has its ports. What there is at the moment is counted as it comes and goes: whoever asks for it must not make
    /// all calls wait while they are gone through.
    pub(crate) fn begin(&mut self, call: &Call) {
        self.counters.begun += 1;
        self.counters.calls += 1;
        self.counters.streams += streams(call);
        self.transcoded += call.transcoded;
    }

    pub(crate) fn turn_away(&mut self) {
        self.counters.turned_away += 1;
    }

    /// A call that has begun is over.
    pub(crate) fn end(&mut self, why: Ending, call: &Call) {
        let own = &mut self.counters;
        own.ended[why as usize] += 1;
        own.calls = own.calls.saturating_sub(1);
        own.streams = own.streams.saturating_sub(streams(call));
        self.transcode(call.transcoded, 0);
    }

    /// A call that transcoded so many streams has come to transcode others.
    pub(crate) fn transcode(&mut self, before: usize, after: usize) {
        self.transcoded = self.transcoded.saturating_sub(before) + after;
    }

    pub(crate) fn hear_one_way(&mut self, kind: OneWayKind) {
        if let Some(at) = ONE_WAY.iter().position(|own| *own == kind) {
            self.counters.one_way[at] += 1;
        }
    }

    /// Adds what a call that is over has had.
    pub(crate) fn close(&mut self, call: &Call, stats: &SessionStats, now: Now) {
        self.closed += 1;
        self.lasted_ms += now.monotonic_ms.saturating_sub(call.created.monotonic_ms);
        for stream in stats.endpoints.iter().flat_map(|own| &own.streams) {
            let sums = Sums::rtp(stream);
            self.packets += sums.packets;
            self.bytes += sums.bytes;
            self.errors += sums.errors;
        }
    }

    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) const fn asked(&self, what: Asked) -> u64 {
        self.counters.asked[what as usize]
    }

    pub(crate) const fn ended(&self, why: Ending) -> u64 {
        self.counters.ended[why as usize]
    }

    /// Requests that were answered with an error.
    pub(crate) fn faults(&self) -> u64 {
        let all: u64 = self.counters.refused.iter().sum();
        all - self.unreadable()
    }

    pub(crate) const fn unreadable(&self) -> u64 {
        self.counters.refused[Refusal::Unreadable as usize]
    }
}

/// Its streams, one for each party and line.
const fn streams(call: &Call) -> u64 {
    2 * call.streams() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_its_entries_in_their_order_and_each_kind_of_one_way_audio() {
        assert!(
            Asked::ALL
                .iter()
                .enumerate()
                .all(|(at, own)| *own as usize == at)
        );
        assert!(
            Refusal::ALL
                .iter()
                .enumerate()
                .all(|(at, own)| *own as usize == at)
        );
        assert!(
            Ending::ALL
                .iter()
                .enumerate()
                .all(|(at, own)| *own as usize == at)
        );
        // Without a wildcard: a kind that is added is added above as well.
        for kind in ONE_WAY {
            match kind {
                OneWayKind::NoPackets
                | OneWayKind::WrongSource
                | OneWayKind::DecryptFailures
                | OneWayKind::KeyReused
                | OneWayKind::WrongPayloadType
                | OneWayKind::NoChecks
                | OneWayKind::RefusedChecks
                | OneWayKind::NoHandshake
                | OneWayKind::Silence
                | OneWayKind::NotReceived => {}
            }
        }
        let mut figures = Figures::default();
        for kind in ONE_WAY {
            figures.hear_one_way(kind);
        }
        assert_eq!(figures.counters().one_way, [1; ONE_WAY.len()]);
    }
}
