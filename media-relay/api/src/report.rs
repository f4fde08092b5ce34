//! What one compound of RTCP says, for whoever collects reports (MED-262).
//!
//! Figures alone: names of people, hosts and programs, and what applications say to each other, stay where they came.

use crate::VoipMetrics;
use std::net::SocketAddr;

/// A report that came from a peer or went to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtcpReport {
    /// Who says it.
    pub teller: Teller,
    /// Our address, as it is advertised.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// SSRC of who says it.
    pub ssrc: u32,
    /// What it has sent; `None` if it has sent nothing lately.
    pub sender: Option<SenderFigures>,
    /// What it has received of the other one; `None` if that was nothing.
    pub reception: Option<ReceptionFigures>,
    /// How it was heard, by an extended report.
    pub extended: Option<VoipMetrics>,
}

/// Who says something in a report.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Teller {
    /// The peer, to us.
    Peer,
    /// We, to the peer.
    Us,
}

/// What somebody has sent (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SenderFigures {
    /// NTP time of the report.
    pub ntp: u64,
    /// The same instant on the RTP clock.
    pub rtp_timestamp: u32,
    /// RTP packets so far.
    pub packets: u32,
    /// Octets of their payloads.
    pub octets: u32,
}

/// What somebody has received (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceptionFigures {
    /// SSRC of what was received.
    pub ssrc: u32,
    /// Share lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost so far; negative where more came than were sent.
    pub lost: i32,
    /// Highest sequence number, cycles in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 if there was none.
    pub last_sr: u32,
    /// Delay since that report in 1/65536 s.
    pub delay_since_last_sr: u32,
}
