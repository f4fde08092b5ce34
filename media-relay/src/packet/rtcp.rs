//! RTCP compound packets: RFC 3550 §6, read and written (MED-060, MED-061, MED-063).

use super::extended::{self, EXTENDED_REPORT, ExtendedBlocks};
use super::{u16_at, u32_at};
use media_api::VoipMetrics;

/// Packet type of a sender report.
pub const SENDER_REPORT: u8 = 200;
/// Packet type of a receiver report.
pub const RECEIVER_REPORT: u8 = 201;
/// Packet type of a source description.
pub const SOURCE_DESCRIPTION: u8 = 202;
/// Packet type of a goodbye.
pub const GOODBYE: u8 = 203;

/// Bytes of one report block.
const BLOCK_BYTES: usize = 24;
/// Bytes of a sender report before its blocks, header and SSRC included.
const SENDER_INFO_END: usize = 28;
/// SDES item type of the canonical name.
const CNAME: u8 = 1;

/// Why bytes are not an RTCP compound packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RtcpFault {
    /// A length word points behind the end, or a packet is shorter than its count needs.
    Length,
    /// The version is not 2.
    Version,
    /// The first packet is neither a sender nor a receiver report (RFC 3550 §6.1).
    First,
    /// Padding elsewhere than in the last packet, or with an impossible count.
    Padding,
    /// A source description without its end marker.
    Description,
}

/// One compound packet whose structure has been checked from end to end.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

/// One packet of a compound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// SR.
    SenderReport {
        /// Who sends the report.
        ssrc: u32,
        /// NTP time of the report: seconds since 1900 in the upper half.
        ntp: u64,
        /// The same instant in units of the RTP clock.
        rtp_timestamp: u32,
        /// RTP packets sent so far.
        packets: u32,
        /// Payload octets sent so far.
        octets: u32,
        /// What the sender received from others.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// Who sends the report.
        ssrc: u32,
        /// What it received from others.
        blocks: Blocks<'a>,
    },
    /// SDES; only the first chunk's canonical name is of interest to a two-party relay.
    SourceDescription {
        /// Canonical name of the first chunk.
        cname: Option<&'a [u8]>,
    },
    /// BYE; the first source of the list.
    Goodbye {
        /// Who leaves, if the list is not empty.
        ssrc: Option<u32>,
    },
    /// XR.
    Extended {
        /// Who sends the report.
        ssrc: u32,
        /// Its blocks that are read.
        blocks: ExtendedBlocks<'a>,
    },
    /// Anything else (APP, feedback), skipped by its length.
    Other {
        /// Packet type.
        kind: u8,
    },
}

/// One report block: reception quality of one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; 24 bits, signed.
    pub cumulative_lost: i32,
    /// Highest sequence number received, cycles in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last SR received; 0 if none.
    pub last_sr: u32,
    /// Delay since that SR in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// The report blocks of an SR or RR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_at_checked(BLOCK_BYTES)?;
        self.0 = rest;
        let loss = u32_at(block, 4)?;
        Some(ReportBlock {
            ssrc: u32_at(block, 0)?,
            fraction_lost: (loss >> 24) as u8,
            // Shifting the 24 bits to the top and back extends their sign.
            cumulative_lost: ((loss << 8) as i32) >> 8,
            highest_sequence: u32_at(block, 8)?,
            jitter: u32_at(block, 12)?,
            last_sr: u32_at(block, 16)?,
            delay_since_last_sr: u32_at(block, 20)?,
        })
    }
}

impl<'a> Compound<'a> {
    /// Checks the whole compound: versions, lengths, padding, order (RFC 3550 A.2).
    ///
    /// # Errors
    /// [`RtcpFault`] of the first packet that is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtcpFault> {
        let mut at = 0;
        let mut first = true;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (Some(&head), Some(&kind), Some(words)) =
                (rest.first(), rest.get(1), u16_at(rest, 2))
            else {
                return Err(RtcpFault::Length);
            };
            if head >> 6 != 2 {
                return Err(RtcpFault::Version);
            }
            if first && !matches!(kind, SENDER_REPORT | RECEIVER_REPORT) {
                return Err(RtcpFault::First);
            }
            let length = 4 + 4 * usize::from(words);
            let packet = rest.get(..length).ok_or(RtcpFault::Length)?;
            at += length;
            if head & 0x20 != 0 && at != bytes.len() {
                return Err(RtcpFault::Padding);
            }
            parse_packet(unpadded(packet)?)?;
            first = false;
        }
        if first {
            return Err(RtcpFault::Length);
        }
        Ok(Self { bytes })
    }

    /// The packets in their order.
    pub fn packets(&self) -> Packets<'a> {
        Packets(self.bytes)
    }
}

/// Walks a checked compound.
#[derive(Clone, Debug)]
pub struct Packets<'a>(&'a [u8]);

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let length = 4 + 4 * usize::from(u16_at(self.0, 2)?);
        let (packet, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        parse_packet(unpadded(packet).ok()?).ok()
    }
}

/// The packet without its padding, RFC 3550 §6.4.1.
fn unpadded(packet: &[u8]) -> Result<&[u8], RtcpFault> {
    if packet.first().is_none_or(|head| head & 0x20 == 0) {
        return Ok(packet);
    }
    let count = packet.last().copied().map_or(0, usize::from);
    if count == 0 || count % 4 != 0 {
        return Err(RtcpFault::Padding);
    }
    match packet.len().checked_sub(count) {
        Some(end) if end >= 4 => Ok(&packet[..end]),
        Some(_) | None => Err(RtcpFault::Padding),
    }
}

fn parse_packet(packet: &[u8]) -> Result<Packet<'_>, RtcpFault> {
    let (Some(&head), Some(&kind)) = (packet.first(), packet.get(1)) else {
        return Err(RtcpFault::Length);
    };
    let count = usize::from(head & 0x1f);
    let word = |at| u32_at(packet, at).ok_or(RtcpFault::Length);
    let blocks = |from: usize| {
        packet
            .get(from..from + count * BLOCK_BYTES)
            .map(Blocks)
            .ok_or(RtcpFault::Length)
    };
    Ok(match kind {
        SENDER_REPORT => Packet::SenderReport {
            ssrc: word(4)?,
            ntp: (u64::from(word(8)?) << 32) | u64::from(word(12)?),
            rtp_timestamp: word(16)?,
            packets: word(20)?,
            octets: word(24)?,
            blocks: blocks(SENDER_INFO_END)?,
        },
        RECEIVER_REPORT => Packet::ReceiverReport {
            ssrc: word(4)?,
            blocks: blocks(8)?,
        },
        SOURCE_DESCRIPTION => Packet::SourceDescription {
            cname: parse_chunks(packet, count)?,
        },
        GOODBYE => {
            if packet.len() < 4 + 4 * count {
                return Err(RtcpFault::Length);
            }
            Packet::Goodbye {
                ssrc: if count > 0 { Some(word(4)?) } else { None },
            }
        }
        // One without a source is none; that is no reason to refuse what stands beside it.
        EXTENDED_REPORT if packet.len() >= 8 => Packet::Extended {
            ssrc: word(4)?,
            blocks: ExtendedBlocks::of(packet),
        },
        kind => Packet::Other { kind },
    })
}

/// Walks all chunks so that a missing end marker is noticed; returns the first canonical name.
fn parse_chunks(packet: &[u8], count: usize) -> Result<Option<&[u8]>, RtcpFault> {
    let mut at = 4;
    let mut name = None;
    for chunk in 0..count {
        at += 4;
        loop {
            match packet.get(at).ok_or(RtcpFault::Description)? {
                0 => {
                    // The chunk ends with at least one null, padded to a word.
                    at = (at / 4 + 1) * 4;
                    break;
                }
                &item => {
                    let length = packet
                        .get(at + 1)
                        .copied()
                        .map(usize::from)
                        .ok_or(RtcpFault::Description)?;
                    let text = packet
                        .get(at + 2..at + 2 + length)
                        .ok_or(RtcpFault::Description)?;
                    if chunk == 0 && item == CNAME && name.is_none() {
                        name = Some(text);
                    }
                    at += 2 + length;
                }
            }
        }
        if at > packet.len() {
            return Err(RtcpFault::Description);
        }
    }
    Ok(name)
}

/// What a sender report says about the sender itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderInfo {
    /// NTP time of the report.
    pub ntp: u64,
    /// The same instant on the RTP clock.
    pub rtp_timestamp: u32,
    /// RTP packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

/// Builds one compound packet in a caller's buffer. What does not fit is left out as a whole.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    /// Starts an empty compound in `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends an SR where there is something to say about ourselves, else an RR.
    pub fn report(&mut self, ssrc: u32, sender: Option<SenderInfo>, block: Option<&ReportBlock>) {
        let kind = if sender.is_some() {
            SENDER_REPORT
        } else {
            RECEIVER_REPORT
        };
        let mut body = [0; SENDER_INFO_END - 4 + BLOCK_BYTES];
        let mut end = 4;
        body[..4].copy_from_slice(&ssrc.to_be_bytes());
        if let Some(sender) = sender {
            body[4..12].copy_from_slice(&sender.ntp.to_be_bytes());
            body[12..16].copy_from_slice(&sender.rtp_timestamp.to_be_bytes());
            body[16..20].copy_from_slice(&sender.packets.to_be_bytes());
            body[20..24].copy_from_slice(&sender.octets.to_be_bytes());
            end = 24;
        }
        if let Some(block) = block {
            let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
            let words = [
                block.ssrc,
                (u32::from(block.fraction_lost) << 24) | (lost as u32 & 0xff_ffff),
                block.highest_sequence,
                block.jitter,
                block.last_sr,
                block.delay_since_last_sr,
            ];
            for word in words {
                body[end..end + 4].copy_from_slice(&word.to_be_bytes());
                end += 4;
            }
        }
        self.push(u8::from(block.is_some()), kind, &body[..end]);
    }

    /// Appends an SDES with one CNAME of at most 255 bytes.
    pub fn canonical_name(&mut self, ssrc: u32, name: &[u8]) {
        let mut body = [0; 4 + 2 + 255 + 4];
        let name = &name[..name.len().min(255)];
        body[..4].copy_from_slice(&ssrc.to_be_bytes());
        body[4] = CNAME;
        body[5] = name.len() as u8;
        body[6..6 + name.len()].copy_from_slice(name);
        // One null at least ends the chunk, more fill the word.
        let end = ((6 + name.len()) / 4 + 1) * 4;
        self.push(1, SOURCE_DESCRIPTION, &body[..end]);
    }

    /// Appends an extended report with VoIP metrics of another source (RFC 3611 §4.7).
    pub fn voip_metrics(&mut self, ssrc: u32, about: u32, metrics: &VoipMetrics) {
        let body = extended::write(ssrc, about, metrics);
        self.push(0, EXTENDED_REPORT, &body);
    }

    /// Appends a BYE of one source.
    pub fn goodbye(&mut self, ssrc: u32) {
        self.push(1, GOODBYE, &ssrc.to_be_bytes());
    }

    fn push(&mut self, count: u8, kind: u8, body: &[u8]) {
        let end = self.length + 4 + body.len();
        let Some(packet) = self.buffer.get_mut(self.length..end) else {
            return;
        };
        packet[0] = 0x80 | count;
        packet[1] = kind;
        packet[2..4].copy_from_slice(&((body.len() / 4) as u16).to_be_bytes());
        packet[4..].copy_from_slice(body);
        self.length = end;
    }
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
    fn a_sender_report_with_description_and_goodbye_is_read() {
        let compound = bytes(
            "80c8000611223344e5f000008000000000027100000003e80002710081ca000311223344010361406200000081cb000111223344",
        );
        let packets: Vec<_> = Compound::parse(&compound).unwrap().packets().collect();
        assert!(matches!(
            packets[0],
            Packet::SenderReport {
                ssrc: 0x1122_3344,
                ntp: 0xe5f0_0000_8000_0000,
                rtp_timestamp: 160_000,
                packets: 1000,
                octets: 160_000,
                ..
            }
        ));
        assert_eq!(
            packets[1],
            Packet::SourceDescription {
                cname: Some(b"a@b")
            }
        );
        assert_eq!(
            packets[2],
            Packet::Goodbye {
                ssrc: Some(0x1122_3344)
            }
        );
    }

    #[test]
    fn negative_cumulative_loss_keeps_its_sign() {
        let compound = bytes("81c90007112233440000000100fffffe00000001000000000000000000000000");
        let Some(Packet::ReceiverReport { mut blocks, .. }) =
            Compound::parse(&compound).unwrap().packets().next()
        else {
            panic!("not a receiver report");
        };
        assert_eq!(blocks.next().unwrap().cumulative_lost, -2);
        assert!(blocks.next().is_none());
    }

    #[test]
    fn inconsistent_compounds_are_refused() {
        for hex in [
            "80c800ff11223344e5f000008000000000027100000003e800027100",
            "9fc90007112233445566778840000005000111700000000ce5f0800000010000",
            "81ca000211223344010a6162",
            "80c800",
            "",
            "80cf000a1122334407000008000000010500050a012c0bb800320014e0c31e105d7f2a2b0000003c00780078",
            // A receiver report, then a description that never ends.
            "80c900011122334481ca000211223344010a6162",
            // Padding in a packet that is not the last one.
            "a0c90002112233440000000480c9000111223344",
        ] {
            assert!(Compound::parse(&bytes(hex)).is_err(), "{hex}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let block = ReportBlock {
            ssrc: 5,
            fraction_lost: 64,
            cumulative_lost: -3,
            highest_sequence: 70_000,
            jitter: 12,
            last_sr: 0xe5f0_8000,
            delay_since_last_sr: 65_536,
        };
        let info = SenderInfo {
            ntp: 1 << 32,
            rtp_timestamp: 2,
            packets: 3,
            octets: 4,
        };
        let mut buffer = [0; 256];
        let mut writer = Writer::new(&mut buffer);
        writer.report(9, Some(info), Some(&block));
        writer.canonical_name(9, b"abcdefghijklmnop");
        writer.goodbye(9);
        let length = writer.len();
        let packets: Vec<_> = Compound::parse(&buffer[..length])
            .unwrap()
            .packets()
            .collect();
        let Packet::SenderReport {
            ssrc: 9,
            packets: 3,
            octets: 4,
            mut blocks,
            ..
        } = packets[0]
        else {
            panic!("not a sender report");
        };
        assert_eq!(blocks.next(), Some(block));
        assert_eq!(
            packets[1],
            Packet::SourceDescription {
                cname: Some(b"abcdefghijklmnop")
            }
        );
        assert_eq!(packets[2], Packet::Goodbye { ssrc: Some(9) });
    }
}
