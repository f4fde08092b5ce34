//! A file of pcapng: messages as packets that might have carried them, each with a comment that names its call.
//!
//! What went over TLS stands in plain segments of TCP. Addresses, ports and times are the real ones; numbers of segments
//! count from 1 for each pair of ends, so that readers put a long message together again.

use sbc_core::time::UnixTime;
use sbc_core::transport::Protocol;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Packets that begin with the header of IP.
const LINKTYPE_RAW: u16 = 101;
/// Most octets of a packet that a reader takes.
const SNAP: u32 = 262_144;
/// Most octets of a segment of TCP, and of a datagram, behind their headers.
const LARGEST: usize = 65_000;

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) at: UnixTime,
    pub(crate) source: SocketAddr,
    pub(crate) target: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) payload: &'a [u8],
    /// Octets of a datagram behind those of the payload that are not there.
    pub(crate) missing: usize,
    pub(crate) comment: &'a str,
}

/// Writes a file.
pub(crate) struct File {
    octets: Vec<u8>,
    /// Octets that went from one end to another.
    streams: HashMap<(SocketAddr, SocketAddr), u32>,
    packets: u16,
}

impl File {
    /// A file without packets; `program` is who writes it.
    pub(crate) fn new(program: &str) -> Self {
        let mut octets = Vec::new();
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4d_u32.to_le_bytes());
        section.extend([1, 0, 0, 0]);
        section.extend(u64::MAX.to_le_bytes());
        option(&mut section, 4, program.as_bytes());
        option(&mut section, 0, &[]);
        block(&mut octets, 0x0a0d_0d0a, &section);
        let mut interface = Vec::new();
        interface.extend(LINKTYPE_RAW.to_le_bytes());
        interface.extend([0, 0]);
        interface.extend(SNAP.to_le_bytes());
        option(&mut interface, 2, b"sip");
        // Times are in microseconds.
        option(&mut interface, 9, &[6]);
        option(&mut interface, 0, &[]);
        block(&mut octets, 1, &interface);
        Self {
            octets,
            streams: HashMap::new(),
            packets: 0,
        }
    }

    /// Adds a message; what is too long for a datagram is cut.
    pub(crate) fn add(&mut self, packet: &Packet<'_>) {
        match packet.protocol {
            Protocol::Udp => {
                let payload = &packet.payload[..packet.payload.len().min(LARGEST)];
                let mut head = ports(packet);
                head.extend(length(8 + payload.len() + packet.missing).to_be_bytes());
                head.extend([0, 0]);
                self.carry(packet, 17, (head, 6), payload);
            }
            Protocol::Tcp | Protocol::Tls => {
                for part in packet.payload.chunks(LARGEST) {
                    let way = (packet.source, packet.target);
                    let back = (packet.target, packet.source);
                    let heard = self.streams.get(&back).copied().unwrap_or(1);
                    let next = self.streams.entry(way).or_insert(1);
                    let mut head = ports(packet);
                    head.extend(next.to_be_bytes());
                    head.extend(heard.to_be_bytes());
                    // Five words, PSH and ACK, an open window.
                    head.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
                    *next = next.wrapping_add(u32::from(length(part.len())));
                    self.carry(packet, 6, (head, 16), part);
                }
            }
        }
    }

    /// The whole file.
    pub(crate) fn end(self) -> Vec<u8> {
        self.octets
    }

    /// Puts IP around a header, which has its sum at a place, and a payload.
    fn carry(&mut self, packet: &Packet<'_>, kind: u8, head: (Vec<u8>, usize), payload: &[u8]) {
        let (mut inner, sum_at) = head;
        inner.extend(payload);
        let (source, target) = (packet.source.ip(), packet.target.ip());
        let (source, target) = (source.to_canonical(), target.to_canonical());
        let size = length(inner.len() + packet.missing);
        let mut ip = Vec::with_capacity(40 + inner.len());
        let mut pseudo = Vec::with_capacity(40);
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                self.packets = self.packets.wrapping_add(1);
                ip.extend([0x45, 0]);
                ip.extend((20 + size).to_be_bytes());
                ip.extend(self.packets.to_be_bytes());
                ip.extend([0x40, 0, 64, kind, 0, 0]);
                ip.extend(source.octets());
                ip.extend(target.octets());
                let sum = checksum(&[&ip]);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                pseudo.extend(source.octets());
                pseudo.extend(target.octets());
            }
            (source, target) => {
                ip.extend([0x60, 0, 0, 0]);
                ip.extend(size.to_be_bytes());
                ip.extend([kind, 64]);
                for address in [source, target] {
                    let six = match address {
                        IpAddr::V4(address) => address.to_ipv6_mapped(),
                        IpAddr::V6(address) => address,
                    };
                    ip.extend(six.octets());
                    pseudo.extend(six.octets());
                }
            }
        }
        pseudo.extend([0, kind]);
        pseudo.extend(size.to_be_bytes());
        let sum = match checksum(&[&pseudo, &inner]) {
            // In UDP nothing stands for no sum (RFC 768), and of a part there is none.
            _ if packet.missing > 0 => 0,
            0 => 0xffff,
            sum => sum,
        };
        inner[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        ip.extend(&inner);
        self.packet(packet, &ip);
    }

    fn packet(&mut self, packet: &Packet<'_>, octets: &[u8]) {
        let micros = packet.at.as_micros().to_be_bytes();
        let [a, b, c, d, e, f, g, h] = micros;
        let size = u32::try_from(octets.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        let whole = u32::try_from(octets.len() + packet.missing)
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        let mut body = Vec::with_capacity(octets.len() + 80);
        body.extend(0_u32.to_le_bytes());
        body.extend([d, c, b, a, h, g, f, e]);
        body.extend(size);
        body.extend(whole);
        padded(&mut body, octets);
        option(&mut body, 1, packet.comment.as_bytes());
        option(&mut body, 0, &[]);
        block(&mut self.octets, 6, &body);
    }
}

fn ports(packet: &Packet<'_>) -> Vec<u8> {
    let mut head = packet.source.port().to_be_bytes().to_vec();
    head.extend(packet.target.port().to_be_bytes());
    head
}

fn length(octets: usize) -> u16 {
    u16::try_from(octets).unwrap_or(u16::MAX)
}

/// A block has its length at both ends.
fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let size = u32::try_from(12 + body.len()).unwrap_or(u32::MAX);
    out.extend(kind.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(body);
    out.extend(size.to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend(length(value.len()).to_le_bytes());
    padded(out, value);
}

/// Everything stands at a multiple of four.
fn padded(out: &mut Vec<u8>, value: &[u8]) {
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The sum of RFC 1071. All parts but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for two in parts.iter().flat_map(|part| part.chunks(2)) {
        let low = two.get(1).copied().unwrap_or(0);
        sum += u64::from(u16::from_be_bytes([two[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MED-364: a reader sees how long a packet was of which only the header is there.
    #[test]
    fn of_a_part_of_a_packet_the_lengths_are_those_of_the_whole() {
        let mut file = File::new("x");
        let begin = file.octets.len();
        file.add(&Packet {
            missing: 160,
            ..packet(Protocol::Udp, &[0x80; 12])
        });
        let octets = &file.octets[begin..];
        let word = |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap());
        assert_eq!((word(20), word(24)), (40, 200), "kept, and of the wire");
        let ip = &octets[28..68];
        assert_eq!(ip[2..4], 200_u16.to_be_bytes());
        assert_eq!(ip[24..26], 180_u16.to_be_bytes());
        assert_eq!(ip[26..28], [0, 0], "no sum can be right");
    }

    fn packet<'a>(protocol: Protocol, payload: &'a [u8]) -> Packet<'a> {
        Packet {
            at: UnixTime::from_micros(1_768_471_200_000_123),
            source: "192.0.2.1:5060".parse().unwrap(),
            target: "192.0.2.2:5061".parse().unwrap(),
            protocol,
            payload,
            missing: 0,
            comment: "call 0abc",
        }
    }

    /// Bodies of blocks by their kind, in order.
    fn blocks(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut all) = (0, Vec::new());
        while at < file.len() {
            let size = usize::try_from(word(at + 4)).unwrap();
            assert_eq!(size % 4, 0);
            assert_eq!(word(at + size - 4), word(at + 4));
            all.push((word(at), file[at + 8..at + size - 4].to_vec()));
            at += size;
        }
        all
    }

    fn carried(block: &[u8]) -> &[u8] {
        let size = u32::from_le_bytes(block[12..16].try_into().unwrap());
        &block[20..20 + usize::try_from(size).unwrap()]
    }

    #[test]
    fn a_datagram_is_whole_with_its_sums_time_and_comment() {
        let mut file = File::new("causeway");
        file.add(&packet(Protocol::Udp, b"odd"));
        let all = blocks(&file.end());
        let kinds: Vec<u32> = all.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 6]);
        let block = &all[2].1;
        let at = 1_768_471_200_000_123_u64;
        assert_eq!(block[4..8], u32::try_from(at >> 32).unwrap().to_le_bytes());
        assert_eq!(block[8..12], (at as u32).to_le_bytes());
        assert!(block.windows(9).any(|part| part == b"call 0abc"));
        let ip = carried(block);
        assert_eq!((ip.len(), checksum(&[&ip[..20]])), (31, 0));
        assert_eq!(&ip[28..], b"odd");
        let pseudo = [&ip[12..20], &[0, 17, 0, 11]].concat();
        assert_eq!(checksum(&[&pseudo, &ip[20..]]), 0);
    }

    #[test]
    fn segments_of_both_directions_count_on_and_a_long_message_has_several() {
        let long = vec![b'x'; LARGEST + 5];
        let mut file = File::new("causeway");
        file.add(&packet(Protocol::Tls, &long));
        let back = Packet {
            source: "192.0.2.2:5061".parse().unwrap(),
            target: "192.0.2.1:5060".parse().unwrap(),
            ..packet(Protocol::Tls, b"back")
        };
        file.add(&back);
        file.add(&packet(Protocol::Tls, b"more"));
        let all = blocks(&file.end());
        let numbers: Vec<(u32, u32)> = all[2..]
            .iter()
            .map(|(_, block)| {
                let word =
                    |at: usize| u32::from_be_bytes(carried(block)[at..at + 4].try_into().unwrap());
                (word(24), word(28))
            })
            .collect();
        let [first, second] = [1, 1 + u32::try_from(LARGEST).unwrap()];
        assert_eq!(
            numbers,
            [(first, 1), (second, 1), (1, second + 5), (second + 5, 5)]
        );
    }

    #[test]
    fn addresses_of_the_sixth_version_have_its_header() {
        let mut file = File::new("causeway");
        file.add(&Packet {
            source: "[2001:db8::1]:5060".parse().unwrap(),
            target: "[2001:db8::2]:5060".parse().unwrap(),
            ..packet(Protocol::Udp, b"")
        });
        let all = blocks(&file.end());
        let ip = carried(&all[2].1);
        assert_eq!((ip[0], ip.len(), ip[6]), (0x60, 48, 17));
        let pseudo = [&ip[8..40], &[0, 17, 0, 8]].concat();
        assert_eq!(checksum(&[&pseudo, &ip[40..]]), 0);
    }
}
