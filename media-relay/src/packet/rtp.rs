//! RTP packets: RFC 3550 §5.1, with the validity gate of appendix A.1 (MED-036).

use super::{u16_at, u32_at};
use std::ops::Range;

/// Bytes of the fixed header, all that we ever send in front of a payload.
pub const HEADER_BYTES: usize = 12;

/// Largest RTP or RTCP packet that is accepted, in bytes (MED-036).
pub const MAX_PACKET_BYTES: usize = 1500;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RtpFault {
    /// Shorter than the header it announces.
    Short,
    /// Longer than [`MAX_PACKET_BYTES`].
    Long,
    /// The version is not 2.
    Version,
    /// A padding count of zero, or of more than what follows the header.
    Padding,
}

/// The header of one RTP packet; the payload stays where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpHeader {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Offset of the first byte behind CSRC list and header extension.
    pub payload_start: usize,
    /// Whether the last byte of the packet counts padding.
    padded: bool,
}

impl RtpHeader {
    /// Reads the header, CSRC count and extension length. Works on SRTP too: none of what is read
    /// here is encrypted (RFC 3711 §3.1).
    ///
    /// # Errors
    /// [`RtpFault`] names the first check of MED-036 that failed.
    pub fn parse(packet: &[u8]) -> Result<Self, RtpFault> {
        if packet.len() > MAX_PACKET_BYTES {
            return Err(RtpFault::Long);
        }
        let (Some(&first), Some(&second)) = (packet.first(), packet.get(1)) else {
            return Err(RtpFault::Short);
        };
        if first >> 6 != 2 {
            return Err(RtpFault::Version);
        }
        let (Some(sequence), Some(timestamp), Some(ssrc)) =
            (u16_at(packet, 2), u32_at(packet, 4), u32_at(packet, 8))
        else {
            return Err(RtpFault::Short);
        };
        let mut payload_start = HEADER_BYTES + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let words = u16_at(packet, payload_start + 2).ok_or(RtpFault::Short)?;
            payload_start += 4 + 4 * usize::from(words);
        }
        if payload_start > packet.len() {
            return Err(RtpFault::Short);
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence,
            timestamp,
            ssrc,
            payload_start,
            padded: first & 0x20 != 0,
        })
    }

    /// Where the payload lies, without padding. `packet` is the packet that was parsed, decrypted
    /// and without its SRTP trailer: the padding count is encrypted.
    ///
    /// # Errors
    /// [`RtpFault::Padding`] if the count is zero or larger than what there is.
    pub fn payload(&self, packet: &[u8]) -> Result<Range<usize>, RtpFault> {
        let end = packet.len();
        if end < self.payload_start {
            return Err(RtpFault::Short);
        }
        if !self.padded {
            return Ok(self.payload_start..end);
        }
        let count = packet.last().copied().map_or(0, usize::from);
        if count == 0 || count > end - self.payload_start {
            return Err(RtpFault::Padding);
        }
        Ok(self.payload_start..end - count)
    }
}

/// Writes a header without CSRC list, extension or padding (MED-051).
pub fn write_header(
    to: &mut [u8; HEADER_BYTES],
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
) {
    to[0] = 0x80;
    to[1] = (u8::from(marker) << 7) | (payload_type & 0x7f);
    to[2..4].copy_from_slice(&sequence.to_be_bytes());
    to[4..8].copy_from_slice(&timestamp.to_be_bytes());
    to[8..12].copy_from_slice(&ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn extension_contributing_sources_and_padding_are_not_payload() {
        let packet = bytes(
            "b280ffffffffffff112233440000000100000002bede000110ff0000ffffffffffffffffffffffffffffffffffffffff00000004",
        );
        let header = RtpHeader::parse(&packet).unwrap();
        assert!(header.marker);
        assert_eq!(
            (header.payload_type, header.sequence, header.timestamp),
            (0, 65535, u32::MAX)
        );
        assert_eq!(header.payload(&packet).unwrap().len(), 20);
    }

    #[test]
    fn an_empty_extension_and_no_payload_are_valid() {
        let packet = bytes("900000010000000111223344bede0000");
        let header = RtpHeader::parse(&packet).unwrap();
        assert!(header.payload(&packet).unwrap().is_empty());
    }

    #[test]
    fn inconsistent_lengths_are_refused() {
        for (hex, wanted) in [
            ("8008000100", RtpFault::Short),
            (
                "4008000100000001112233447878787878787878787878787878787878787878",
                RtpFault::Version,
            ),
            (
                "8f08000100000001112233447878787878787878787878787878787878787878",
                RtpFault::Short,
            ),
            ("900800010000000111223344bedeffff", RtpFault::Short),
            ("a0080001000000011122334400ff", RtpFault::Padding),
            ("a00800010000000111223344787800", RtpFault::Padding),
        ] {
            let packet = bytes(hex);
            let verdict = RtpHeader::parse(&packet).and_then(|header| header.payload(&packet));
            assert_eq!(verdict, Err(wanted), "{hex}");
        }
        assert_eq!(
            RtpHeader::parse(&[0x80; MAX_PACKET_BYTES + 1]),
            Err(RtpFault::Long)
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut header = [0; HEADER_BYTES];
        write_header(&mut header, true, 101, 7, 160, 0xdead_beef);
        let read = RtpHeader::parse(&header).unwrap();
        assert!(read.marker);
        assert_eq!(
            (read.payload_type, read.sequence, read.timestamp, read.ssrc),
            (101, 7, 160, 0xdead_beef)
        );
    }
}
