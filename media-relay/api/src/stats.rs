//! Figures of a media session. Every packet counts in exactly one outcome (MED-003).
//!
//! A datagram that reaches a stream ends as one RTP packet sent by another stream, as one accepted
//! RTCP packet, or as one drop; a packet that the relay makes for a sound, as one sent by that stream
//! or as one drop. `received_packets` counts RTP that passed the receive checks, so
//! what is then dropped for the sake of the other side (no path, its direction, its payload types)
//! is in both figures.

use crate::{EndpointId, QualityStats, Suite};
use std::borrow::Cow;
use std::net::SocketAddr;

/// Figures of a session.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SessionStats {
    /// One entry per endpoint that ever existed, in order of creation.
    pub endpoints: Vec<EndpointStats>,
}

/// Figures of one endpoint.
#[derive(Clone, PartialEq, Debug)]
pub struct EndpointStats {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// One entry per stream.
    pub streams: Vec<StreamStats>,
}

/// Figures of one stream. "Received" is from the peer to us, "sent" from us to the peer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StreamStats {
    /// RTP packets received that passed every check.
    pub received_packets: u64,
    /// Their bytes, RTP header and payload, without SRTP tag.
    pub received_bytes: u64,
    /// RTP packets sent.
    pub sent_packets: u64,
    /// Their bytes, RTP header and payload, without SRTP tag.
    pub sent_bytes: u64,
    /// RTP packets that the relay made: tones and recordings, what is transcoded or packed anew. Those that the operating system took
    /// are among the packets sent.
    pub generated_packets: u64,
    /// RTCP packets received and accepted.
    pub received_rtcp: u64,
    /// RTCP packets sent.
    pub sent_rtcp: u64,
    /// Packets lost on the way to us: expected by sequence number minus received (RFC 3550 A.3). Datagrams of a fax are
    /// counted by their numbers as well.
    pub lost_packets: i64,
    /// Packets that arrived behind a later one.
    pub reordered_packets: u64,
    /// Datagrams of a fax whose number had come before. They pass, as they may be there for redundancy.
    pub repeated_packets: u64,
    /// Interarrival jitter in microseconds, RFC 3550 A.8.
    pub jitter_us: u32,
    /// Largest jitter seen, in microseconds.
    pub max_jitter_us: u32,
    /// How often the peer's SRTP roll-over counter was found anew where it was not to be expected (MED-114,
    /// MED-115).
    pub resynchronised: u64,
    /// Round-trip time from RTCP in microseconds, if known.
    pub round_trip_us: Option<u32>,
    /// Connectivity checks answered.
    pub answered_checks: u64,
    /// Packets dropped, by reason, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// SSRC that the peer's latest packets have had, if any came.
    pub ssrc: Option<u32>,
    /// When its last packet of RTP came, in milliseconds since 1970.
    pub heard_unix_ms: Option<u64>,
    /// Pinned source of the peer's media.
    pub source: Option<SocketAddr>,
    /// Encoding last forwarded, as in `a=rtpmap`.
    pub codec: Option<Cow<'static, str>>,
    /// SRTP suite under which it is sent, or was last: the one that was agreed, or that a handshake chose.
    pub suite: Option<Suite>,
    /// How good it was.
    pub quality: QualityStats,
}

impl StreamStats {
    /// Packets dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// All packets dropped.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

/// Why a packet was dropped. The list is closed, so that it can be a metric label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(usize)]
pub enum DropReason {
    /// Not RTP or RTCP, or inconsistent lengths (MED-036).
    Malformed,
    /// From an address that may not send here (MED-032).
    Source,
    /// SRTP authentication failed.
    Authentication,
    /// Replayed or too old.
    Replay,
    /// Payload type not agreed.
    PayloadType,
    /// Against the agreed direction (MED-054).
    Direction,
    /// More packets than agreed (MED-056).
    Rate,
    /// The same sequence number again.
    Duplicate,
    /// An SSRC that may not be used here (MED-037).
    Ssrc,
    /// Far outside the expected sequence numbers; two packets in a row are needed to go on there
    /// (RFC 3550 A.1).
    Sequence,
    /// Nobody to send it to: not joined, other side not answered yet.
    NoPath,
    /// The operating system did not take it.
    Send,
    /// Whom it was for hears a sound of ours instead. No fault.
    Muted,
    /// A connectivity check under a name that is not ours (RFC 8445 §7.3).
    CheckName,
    /// A connectivity check whose integrity is wrong: another password, or changed on its way.
    CheckIntegrity,
    /// Before the handshake has made its key (MED-136).
    NoKey,
}

impl DropReason {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Source,
        Self::Authentication,
        Self::Replay,
        Self::PayloadType,
        Self::Direction,
        Self::Rate,
        Self::Duplicate,
        Self::Ssrc,
        Self::Sequence,
        Self::NoPath,
        Self::Send,
        Self::Muted,
        Self::CheckName,
        Self::CheckIntegrity,
        Self::NoKey,
    ];

    /// Metric label value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Source => "source",
            Self::Authentication => "authentication",
            Self::Replay => "replay",
            Self::PayloadType => "payload_type",
            Self::Direction => "direction",
            Self::Rate => "rate",
            Self::Duplicate => "duplicate",
            Self::Ssrc => "ssrc",
            Self::Sequence => "sequence",
            Self::NoPath => "no_path",
            Self::Send => "send",
            Self::Muted => "muted",
            Self::CheckName => "check_name",
            Self::CheckIntegrity => "check_integrity",
            Self::NoKey => "no_key",
        }
    }
}
