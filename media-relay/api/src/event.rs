//! What the relay reports.

use crate::{
    CryptoKey, Digit, EndpointId, HandshakeFault, LocalEndpoint, RtcpReport, SessionId,
    SessionStats, StreamIndex, TappedPacket,
};
use std::net::SocketAddr;

/// One report of the relay.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Ports and keys are reserved.
    Allocated {
        /// The session.
        session: SessionId,
        /// In the order of the command.
        endpoints: Vec<LocalEndpoint>,
    },
    /// Nothing was reserved, or what was asked is not known.
    Refused {
        /// The session.
        session: SessionId,
        /// Those of the command, in its order; none where it was no `Allocate`.
        endpoints: Vec<EndpointId>,
        /// Why.
        why: AllocateError,
    },
    /// First valid (and, with SRTP, authenticated) RTP packet of an endpoint.
    FirstMedia {
        /// The session.
        session: SessionId,
        /// Who sent it.
        endpoint: EndpointId,
        /// Which stream.
        stream: StreamIndex,
    },
    /// The peer's media source is fixed; other sources are dropped from now on.
    SourcePinned {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The stream.
        stream: StreamIndex,
        /// Where its media comes from.
        source: SocketAddr,
    },
    /// A committed stream has no keys and will have none: nothing of it is ever heard (MED-133).
    HandshakeFailed {
        /// The session.
        session: SessionId,
        /// With whose peer.
        endpoint: EndpointId,
        /// Which stream.
        stream: StreamIndex,
        /// Why.
        why: HandshakeFault,
    },
    /// No RTP or RTCP for the time of the bridge plan, although the endpoint should send.
    /// Raised again whenever it has lasted for that time once more.
    Silent {
        /// The session.
        session: SessionId,
        /// Who is silent.
        endpoint: EndpointId,
        /// For how long.
        silent_ms: u32,
    },
    /// Media of an endpoint's peer do not get through to us although both sides should be heard, or ours not to
    /// it, and this is the likely reason. Raised once per fault; within three seconds of it, unless only reports of the
    /// peer can tell.
    OneWay {
        /// The session.
        session: SessionId,
        /// Whose media does not get through.
        endpoint: EndpointId,
        /// What is seen.
        kind: OneWayKind,
        /// Where the last packet came from that was dropped for its source, if any was.
        refused: Option<SocketAddr>,
    },
    /// Nothing has come of an endpoint's peer for a while although both sides should be heard, and nothing says yet
    /// whether that is its own choice: it reports, and its next report can still tell. Raised once per silence;
    /// [`Self::OneWay`] follows unless a report or a packet comes in its time.
    Unheard {
        /// The session.
        session: SessionId,
        /// Who is not heard.
        endpoint: EndpointId,
        /// For how long, from the first packet that was missed.
        silent_ms: u32,
    },
    /// What [`Self::OneWay`] said is over: the media get through, or nobody expects them any more because of a
    /// hold or another agreement.
    OneWayOver {
        /// The session.
        session: SessionId,
        /// Whose media did not get through.
        endpoint: EndpointId,
        /// What was seen.
        kind: OneWayKind,
        /// For how long, from the first packet that was missed.
        lasted_ms: u32,
    },
    /// A key of an endpoint has protected nine tenths of the packets that it may, ours or the peer's
    /// (MED-107). Told again whenever half of what was left is used up. Past its end a key of ours protects
    /// nothing more.
    KeyWorn {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The stream.
        stream: StreamIndex,
        /// A new key of the suite in use, for the next description of ours.
        fresh: CryptoKey,
    },
    /// An event or a tone begins that stands for a digit, and goes on to the joined peer. Only where
    /// [`crate::Intake::Watch`] or [`crate::Intake::Listen`] is asked for; its end is told as
    /// [`Self::Digit`], at the latest some 450 ms after its last packet. A tone is known for one after some
    /// 40 ms, and none begins that one packet both begins and ends.
    DigitBegun {
        /// The session.
        session: SessionId,
        /// Whose peer sends it.
        endpoint: EndpointId,
        /// The digit.
        digit: Digit,
    },
    /// A digit that an endpoint's peer has sent, told once, at its end. Only where
    /// [`crate::Command::Take`] asks for it.
    Digit {
        /// The session.
        session: SessionId,
        /// Whose peer has sent it.
        endpoint: EndpointId,
        /// The digit.
        digit: Digit,
        /// How long it lasted, in milliseconds.
        duration_ms: u16,
    },
    /// What was to be played a number of times has been, or cannot be played (any more): neither
    /// G.711 nor linear audio at 8 kHz, G.722 nor Opus is agreed, there is no such recording, or the tone has no
    /// length. Time passes for a sound also while the peer takes no media.
    Played {
        /// The session.
        session: SessionId,
        /// Who heard it.
        endpoint: EndpointId,
        /// Whether it was heard to its end: the peer took media then.
        heard: bool,
    },
    /// A report of RTCP came from an endpoint's peer, or went to it. Only while the relay as a whole is asked for
    /// reports; of a peer that reports more than twice a second some are left out, and whoever has no room for
    /// them drops them.
    Reported {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The stream.
        stream: StreamIndex,
        /// What it says.
        report: RtcpReport,
    },
    /// A packet was accepted or sent. Only after [`crate::Command::Tap`]; whoever has no room for them drops them.
    Tapped {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The packet.
        packet: TappedPacket,
    },
    /// Statistics asked for.
    Stats {
        /// The session.
        session: SessionId,
        /// Figures so far.
        stats: SessionStats,
    },
    /// The session is gone. The last event of a session.
    Released {
        /// The session.
        session: SessionId,
        /// Final figures.
        stats: SessionStats,
    },
    /// The session is gone with the process of the relay, and its figures are. The last event of such a session.
    Lost {
        /// The session.
        session: SessionId,
    },
}

impl Event {
    /// The endpoint this event is about, if it is about one that exists.
    pub fn endpoint_mut(&mut self) -> Option<&mut EndpointId> {
        match self {
            Self::FirstMedia { endpoint, .. }
            | Self::SourcePinned { endpoint, .. }
            | Self::HandshakeFailed { endpoint, .. }
            | Self::Silent { endpoint, .. }
            | Self::OneWay { endpoint, .. }
            | Self::Unheard { endpoint, .. }
            | Self::OneWayOver { endpoint, .. }
            | Self::KeyWorn { endpoint, .. }
            | Self::DigitBegun { endpoint, .. }
            | Self::Digit { endpoint, .. }
            | Self::Played { endpoint, .. }
            | Self::Reported { endpoint, .. }
            | Self::Tapped { endpoint, .. } => Some(endpoint),
            Self::Allocated { .. }
            | Self::Refused { .. }
            | Self::Stats { .. }
            | Self::Released { .. }
            | Self::Lost { .. } => None,
        }
    }

    /// The session this event is about.
    pub fn session(&self) -> SessionId {
        match self {
            Self::Allocated { session, .. }
            | Self::Refused { session, .. }
            | Self::FirstMedia { session, .. }
            | Self::SourcePinned { session, .. }
            | Self::HandshakeFailed { session, .. }
            | Self::Silent { session, .. }
            | Self::OneWay { session, .. }
            | Self::Unheard { session, .. }
            | Self::OneWayOver { session, .. }
            | Self::KeyWorn { session, .. }
            | Self::DigitBegun { session, .. }
            | Self::Digit { session, .. }
            | Self::Played { session, .. }
            | Self::Reported { session, .. }
            | Self::Tapped { session, .. }
            | Self::Stats { session, .. }
            | Self::Released { session, .. }
            | Self::Lost { session } => *session,
        }
    }
}

/// Why nothing could be reserved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AllocateError {
    /// The realm's port range is used up or in quarantine (Q.850 47).
    PortsExhausted,
    /// The realm has no address of the wanted family.
    NoAddress,
    /// The operating system refused the sockets.
    Socket,
    /// The endpoint exists already, or the session is unknown.
    Conflict,
    /// The relay is shutting down or overloaded.
    Unavailable,
}

/// What is seen on a leg whose media does not get through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OneWayKind {
    /// No packets at all.
    NoPackets,
    /// Packets come from another address than allowed.
    WrongSource,
    /// Packets fail authentication: keys differ.
    DecryptFailures,
    /// Packets repeat numbers that were used under their key: a peer has begun anew under a key of before, numbers and
    /// clock as they were, which cannot be told from a recording (RFC 3711 §3.3.2, §9.1).
    KeyReused,
    /// Packets carry payload types that were not agreed.
    WrongPayloadType,
    /// No connectivity check of the peer has come (RFC 8445): it cannot reach the address that we told it.
    NoChecks,
    /// Connectivity checks have come, and none under the name and password that the peer was told.
    RefusedChecks,
    /// The handshake that makes the keys is not complete (RFC 5764).
    NoHandshake,
    /// Packets come, and nothing but digital silence has been in them since the answer.
    Silence,
    /// The peer is heard, and by its reports nothing of what we send has reached it lately.
    NotReceived,
}

impl OneWayKind {
    /// Name in records, and metric label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPackets => "no_packets",
            Self::WrongSource => "wrong_source",
            Self::DecryptFailures => "decrypt_failures",
            Self::KeyReused => "key_reused",
            Self::WrongPayloadType => "wrong_payload_type",
            Self::NoChecks => "no_checks",
            Self::RefusedChecks => "refused_checks",
            Self::NoHandshake => "no_handshake",
            Self::Silence => "silence",
            Self::NotReceived => "not_received",
        }
    }

    /// Which direction is concerned, seen from us: from the peer, or to it.
    pub const fn direction(self) -> &'static str {
        match self {
            Self::NotReceived => "sent",
            Self::NoPackets
            | Self::WrongSource
            | Self::DecryptFailures
            | Self::KeyReused
            | Self::WrongPayloadType
            | Self::NoChecks
            | Self::RefusedChecks
            | Self::NoHandshake
            | Self::Silence => "received",
        }
    }
}
