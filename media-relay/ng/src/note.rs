//! What an operator may want to read of a call: faults of its media when they are seen, and one line at its end.

use crate::call::Call;
use crate::server::Now;
use media_api::{DropReason, EndpointId, Event, HandshakeFault, OneWayKind, SessionStats};
use std::fmt;
use std::net::SocketAddr;

/// Faults of one call that are told; how many there were is told at its end.
const FAULTS: u32 = 16;
/// How often it is told that nothing comes, which is none.
const UNHEARD: u32 = 4;

/// Something that is told of a call.
#[derive(Clone, PartialEq, Debug)]
pub struct Note {
    /// Its Call-ID.
    pub call: String,
    /// Tag of the party that made the first offer, and of the other.
    pub tags: [Option<String>; 2],
    /// What it is.
    pub what: Noted,
}

/// What is told. Parties are 0, which made the first offer, and 1.
#[derive(Clone, PartialEq, Debug)]
pub enum Noted {
    /// See [`Event::OneWay`].
    OneWay {
        /// Whose media do not get through.
        party: u8,
        /// What is seen.
        kind: OneWayKind,
        /// Where packets come from that are dropped for it.
        refused: Option<SocketAddr>,
    },
    /// See [`Event::OneWayOver`].
    OneWayOver {
        /// Whose media did not get through.
        party: u8,
        /// What was seen.
        kind: OneWayKind,
        /// For how long.
        lasted_ms: u32,
    },
    /// See [`Event::Unheard`].
    Unheard {
        /// Who is not heard.
        party: u8,
        /// For how long.
        silent_ms: u32,
    },
    /// See [`Event::HandshakeFailed`].
    HandshakeFailed {
        /// With whom.
        party: u8,
        /// Why.
        why: HandshakeFault,
    },
    /// The call is over.
    Ended(Ended),
}

/// What has become of a call.
#[derive(Clone, PartialEq, Debug)]
pub struct Ended {
    /// Why it is over.
    pub why: Ending,
    /// How long it was known, in milliseconds.
    pub lasted_ms: u64,
    /// Faults of its media.
    pub faults: u32,
    /// What came of each party.
    pub parties: [Heard; 2],
}

/// What came of a party, all streams together.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Heard {
    /// Packets of RTP.
    pub packets: u64,
    /// Those that were lost on their way.
    pub lost: u64,
    /// Those that came and were dropped.
    pub dropped: u64,
    /// Those of them that had come before.
    pub repeated: u64,
    /// Packets that came behind a later one.
    pub reordered: u64,
    /// Largest jitter in microseconds.
    pub jitter_us: u32,
    /// Mean and least MOS of listening, if any was rated.
    pub mos: Option<(f32, f32)>,
    /// Mean round trip in microseconds, if it is known.
    pub round_trip_us: Option<u32>,
}

/// Why a call is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The proxy has said so.
    Deleted,
    /// Both parties have fallen silent, or brought nothing while nobody looked.
    Silent,
    /// Nobody has answered.
    Unanswered,
    /// Its first description could not go on.
    Refused,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Deleted, Self::Silent, Self::Unanswered, Self::Refused];

    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Silent => "silent",
            Self::Unanswered => "unanswered",
            Self::Refused => "refused",
        }
    }
}

impl Noted {
    /// What an event says that is worth a line.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let party = |endpoint: &EndpointId| endpoint.0.min(1);
        Some(match event {
            Event::OneWay {
                endpoint,
                kind,
                refused,
                ..
            } => Self::OneWay {
                party: party(endpoint),
                kind: *kind,
                refused: refused.filter(|_| *kind == OneWayKind::WrongSource),
            },
            Event::OneWayOver {
                endpoint,
                kind,
                lasted_ms,
                ..
            } => Self::OneWayOver {
                party: party(endpoint),
                kind: *kind,
                lasted_ms: *lasted_ms,
            },
            Event::Unheard {
                endpoint,
                silent_ms,
                ..
            } => Self::Unheard {
                party: party(endpoint),
                silent_ms: *silent_ms,
            },
            Event::HandshakeFailed { endpoint, why, .. } => Self::HandshakeFailed {
                party: party(endpoint),
                why: *why,
            },
            _ => return None,
        })
    }

    /// Whether somebody has lost something.
    pub const fn is_fault(&self) -> bool {
        matches!(self, Self::OneWay { .. } | Self::HandshakeFailed { .. })
    }

    /// The party that it is about, if it is about one.
    pub const fn party(&self) -> Option<u8> {
        match self {
            Self::OneWay { party, .. }
            | Self::OneWayOver { party, .. }
            | Self::Unheard { party, .. }
            | Self::HandshakeFailed { party, .. } => Some(*party),
            Self::Ended(_) => None,
        }
    }
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneWay {
                kind,
                refused: Some(from),
                ..
            } => write!(f, "one-way audio: {}; they come from {from}", advice(*kind)),
            Self::OneWay { kind, .. } => write!(f, "one-way audio: {}", advice(*kind)),
            Self::OneWayOver { lasted_ms, .. } => {
                write!(f, "one-way audio is over after {lasted_ms} ms")
            }
            Self::Unheard { silent_ms, .. } => write!(
                f,
                "nothing has come for {silent_ms} ms: the party's next report, which may still come, says whether it is muted"
            ),
            Self::HandshakeFailed { why, .. } => {
                write!(f, "the DTLS handshake has failed: {why}")
            }
            Self::Ended(_) => f.write_str("call ended"),
        }
    }
}

/// What is seen of a kind, and where to look.
const fn advice(kind: OneWayKind) -> &'static str {
    match kind {
        OneWayKind::NoPackets => {
            "no packet of the party arrives; look at the firewall before the media ports and at the address that is advertised"
        }
        OneWayKind::WrongSource => {
            "packets come from an address that the party has not announced, and are dropped; if it is the party's, give \
             --media-from its range"
        }
        OneWayKind::DecryptFailures => {
            "packets of the party cannot be decrypted; look at the a=crypto line of its last description"
        }
        OneWayKind::KeyReused => {
            "packets of the party repeat numbers under a key of before, and are dropped as repetitions"
        }
        OneWayKind::WrongPayloadType => {
            "packets of the party have a payload type that was not agreed; look at the formats of its last description"
        }
        OneWayKind::NoChecks => {
            "no connectivity check of the party arrives; look at the firewall before the media ports and at the address that \
             is advertised"
        }
        OneWayKind::RefusedChecks => {
            "connectivity checks of the party have another name or password than it was told; look at what changes its \
             descriptions"
        }
        OneWayKind::NoHandshake => {
            "the party's DTLS handshake is not complete; look at the a=fingerprint and a=setup lines of its last description"
        }
        OneWayKind::Silence => {
            "nothing but digital silence has come of the party since the answer; look at its microphone and at what is before it"
        }
        OneWayKind::NotReceived => {
            "the party reports that nothing of what is sent to it arrives; look at the firewall on the way to it"
        }
    }
}

/// Faults of one call so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    seen: u32,
    unheard: u32,
}

impl Faults {
    /// Counts what is to be told; whether it may be.
    pub(crate) fn admit(&mut self, what: &Noted) -> bool {
        self.seen += u32::from(what.is_fault());
        if let Noted::Unheard { .. } = what {
            self.unheard += 1;
            return self.unheard <= UNHEARD;
        }
        // The end of each is told as well.
        self.seen <= FAULTS
    }

    pub(crate) const fn seen(self) -> u32 {
        self.seen
    }
}

impl Ended {
    pub(crate) fn of(
        why: Ending,
        call: &Call,
        faults: Faults,
        stats: &SessionStats,
        now: Now,
    ) -> Self {
        let lasted_ms = now.monotonic_ms.saturating_sub(call.created.monotonic_ms);
        let mut parties = [Heard::default(); 2];
        for (party, own) in (0..).zip(&mut parties) {
            let streams = stats.endpoints.iter();
            let streams = streams.filter(|endpoint| endpoint.endpoint.0 == party);
            for stream in streams.flat_map(|endpoint| &endpoint.streams) {
                own.packets += stream.received_packets;
                own.lost += u64::try_from(stream.lost_packets).unwrap_or(0);
                own.dropped += stream.dropped_total();
                own.repeated += stream.dropped(DropReason::Duplicate);
                own.reordered += stream.reordered_packets;
                own.jitter_us = own.jitter_us.max(stream.max_jitter_us);
                let rating = stream.quality.listening;
                own.mos = own
                    .mos
                    .or(rating.map(|rating| (rating.mean.mos, rating.least.mos)));
                let round_trip = stream.quality.round_trip_us;
                own.round_trip_us = own.round_trip_us.or(round_trip.map(|(mean, _)| mean));
            }
        }
        Self {
            why,
            lasted_ms,
            faults: faults.seen(),
            parties,
        }
    }
}
