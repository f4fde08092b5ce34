//! Ethernet frames with one UDP datagram: read as they arrived, and headers written before a payload.
//!
//! What the kernel would have looked at before it gave a datagram to a socket is looked at here:
//! lengths, checksums, sources that cannot be one. Tags, options, extension headers and fragments are
//! refused; such frames are left to the kernel before they get here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// The longest headers that are written: Ethernet, IPv6, UDP.
pub const MOST_HEADER_BYTES: usize = ETHERNET_BYTES + IPV6_BYTES + UDP_BYTES;
/// Addresses and type of an Ethernet frame.
pub const ETHERNET_BYTES: usize = 14;

const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const UDP_BYTES: usize = 8;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const UDP: u8 = 17;
/// What Linux gives its own datagrams.
const HOPS: u8 = 64;
/// IPv4 flag: never to be cut into fragments.
const DONT_FRAGMENT: u16 = 0x4000;
/// IPv4: more fragments follow, or this is not the first.
const FRAGMENT: u16 = 0x3fff;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mac(pub [u8; 6]);

/// A datagram in a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// The Ethernet address that it was sent to.
    pub mac: Mac,
    /// Who says to have sent it.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// Where its payload is in the frame.
    pub payload: Range<usize>,
}

/// Why a frame holds no datagram for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameFault {
    /// It is not UDP in plain IPv4 or IPv6: options, extension headers and fragments included.
    Kind,
    /// A length is wrong.
    Length,
    /// A checksum is wrong.
    Checksum,
    /// Nobody can have this address.
    Source,
}

/// What the headers of a datagram say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers {
    /// Our Ethernet address.
    pub our_mac: Mac,
    /// That of the next hop.
    pub next_mac: Mac,
    /// Our address and port.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// DSCP, 0–63; ECN is left at zero (MED-300).
    pub dscp: u8,
}

/// Reads a frame.
///
/// # Errors
/// [`FrameFault`]; the kernel would not have given such a datagram to a socket either.
pub fn parse(frame: &[u8]) -> Result<Datagram, FrameFault> {
    let (ethernet, packet) = split::<ETHERNET_BYTES>(frame)?;
    let (from, to, sum, datagram) = match [ethernet[12], ethernet[13]] {
        IPV4 => parse_v4(packet)?,
        IPV6 => parse_v6(packet)?,
        _ => return Err(FrameFault::Kind),
    };
    let (udp, _) = split::<UDP_BYTES>(datagram)?;
    let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
    if length < UDP_BYTES {
        return Err(FrameFault::Length);
    }
    let datagram = datagram.get(..length).ok_or(FrameFault::Length)?;
    check_sum(udp, datagram, sum + length as u64, to.is_ipv4())?;
    if !is_source(from) || from == to {
        return Err(FrameFault::Source);
    }
    let start = match to {
        IpAddr::V4(_) => ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES,
        IpAddr::V6(_) => ETHERNET_BYTES + IPV6_BYTES + UDP_BYTES,
    };
    let mut mac = [0; 6];
    mac.copy_from_slice(&ethernet[..6]);
    Ok(Datagram {
        mac: Mac(mac),
        from: SocketAddr::new(from, u16::from_be_bytes([udp[0], udp[1]])),
        to: SocketAddr::new(to, u16::from_be_bytes([udp[2], udp[3]])),
        payload: start..start + length - UDP_BYTES,
    })
}

/// Writes headers before a payload in the same buffer; returns where the frame is. `None`, and nothing
/// written, if there is no room before the payload, it is too long for a datagram, or the addresses are
/// of different families.
pub fn wrap(buffer: &mut [u8], payload: Range<usize>, headers: &Headers) -> Option<Range<usize>> {
    let ip_bytes = match (headers.from, headers.to) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => IPV4_BYTES,
        (SocketAddr::V6(_), SocketAddr::V6(_)) => IPV6_BYTES,
        _ => return None,
    };
    let start = payload
        .start
        .checked_sub(ETHERNET_BYTES + ip_bytes + UDP_BYTES)?;
    let frame = buffer.get_mut(start..payload.end)?;
    let udp_bytes = u16::try_from(frame.len() - ETHERNET_BYTES - ip_bytes).ok()?;
    let total = udp_bytes.checked_add(IPV4_BYTES as u16)?;
    let (ethernet, packet) = frame.split_at_mut(ETHERNET_BYTES);
    ethernet[..6].copy_from_slice(&headers.next_mac.0);
    ethernet[6..12].copy_from_slice(&headers.our_mac.0);
    let (ip, datagram) = packet.split_at_mut(ip_bytes);
    let pseudo = match (headers.from.ip(), headers.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            ethernet[12..].copy_from_slice(&IPV4);
            write_v4(ip, from, to, total, headers.dscp)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            ethernet[12..].copy_from_slice(&IPV6);
            write_v6(ip, from, to, udp_bytes, headers.dscp)
        }
        _ => return None,
    };
    datagram[..2].copy_from_slice(&headers.from.port().to_be_bytes());
    datagram[2..4].copy_from_slice(&headers.to.port().to_be_bytes());
    datagram[4..6].copy_from_slice(&udp_bytes.to_be_bytes());
    datagram[6..8].fill(0);
    let sum = match !fold(pseudo + u64::from(udp_bytes) + sum(datagram)) {
        // Zero says that there is none (RFC 768).
        0 => u16::MAX,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    Some(start..payload.end)
}

/// Addresses, the sum of what the UDP checksum covers of the header, and the datagram.
type Packet<'a> = (IpAddr, IpAddr, u64, &'a [u8]);

fn parse_v4(packet: &[u8]) -> Result<Packet<'_>, FrameFault> {
    let (ip, _) = split::<IPV4_BYTES>(packet)?;
    let fragment = u16::from_be_bytes([ip[6], ip[7]]) & FRAGMENT;
    if ip[0] != 0x45 || ip[9] != UDP || fragment != 0 {
        return Err(FrameFault::Kind);
    }
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    // What is behind it fills the frame up.
    let datagram = packet.get(IPV4_BYTES..length).ok_or(FrameFault::Length)?;
    if fold(sum(ip)) != u16::MAX {
        return Err(FrameFault::Checksum);
    }
    let from = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
    let to = Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]);
    let pseudo = sum(&ip[12..]) + u64::from(UDP);
    Ok((from.into(), to.into(), pseudo, datagram))
}

fn parse_v6(packet: &[u8]) -> Result<Packet<'_>, FrameFault> {
    let (ip, rest) = split::<IPV6_BYTES>(packet)?;
    if ip[0] >> 4 != 6 || ip[6] != UDP {
        return Err(FrameFault::Kind);
    }
    let length = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    let datagram = rest.get(..length).ok_or(FrameFault::Length)?;
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&ip[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let pseudo = sum(&ip[8..]) + u64::from(UDP);
    Ok((address(8), address(24), pseudo, datagram))
}

fn write_v4(ip: &mut [u8], from: Ipv4Addr, to: Ipv4Addr, total: u16, dscp: u8) -> u64 {
    ip[0] = 0x45;
    ip[1] = dscp << 2;
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    // What cannot be cut needs no number (RFC 6864).
    ip[4..6].fill(0);
    ip[6..8].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
    ip[8] = HOPS;
    ip[9] = UDP;
    ip[10..12].fill(0);
    ip[12..16].copy_from_slice(&from.octets());
    ip[16..20].copy_from_slice(&to.octets());
    let header = !fold(sum(ip));
    ip[10..12].copy_from_slice(&header.to_be_bytes());
    sum(&ip[12..]) + u64::from(UDP)
}

fn write_v6(ip: &mut [u8], from: Ipv6Addr, to: Ipv6Addr, udp_bytes: u16, dscp: u8) -> u64 {
    // Version, traffic class, no flow label.
    ip[0] = 0x60 | dscp >> 2;
    ip[1] = dscp << 6;
    ip[2..4].fill(0);
    ip[4..6].copy_from_slice(&udp_bytes.to_be_bytes());
    ip[6] = UDP;
    ip[7] = HOPS;
    ip[8..24].copy_from_slice(&from.octets());
    ip[24..40].copy_from_slice(&to.octets());
    sum(&ip[8..]) + u64::from(UDP)
}

/// The sum over a datagram must come to all ones. A peer on this very machine leaves that to hardware
/// which is not there: its frames carry the sum of the addresses and the length alone.
fn check_sum(
    udp: &[u8; UDP_BYTES],
    datagram: &[u8],
    pseudo: u64,
    may_lack: bool,
) -> Result<(), FrameFault> {
    let written = u16::from_be_bytes([udp[6], udp[7]]);
    let is_right = match written {
        0 => may_lack,
        _ => fold(pseudo + sum(datagram)) == u16::MAX || fold(pseudo) == written,
    };
    is_right.then_some(()).ok_or(FrameFault::Checksum)
}

/// Whether a host can have the address: what Linux calls a martian has no answer.
fn is_source(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.octets()[0] != 0 && !v4.is_loopback() && !v4.is_multicast() && !v4.is_broadcast()
        }
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_loopback() && !v6.is_multicast(),
    }
}

/// The 16-bit words of some octets, added (RFC 1071).
fn sum(octets: &[u8]) -> u64 {
    let (fours, rest) = octets.as_chunks::<4>();
    let mut sum: u64 = fours
        .iter()
        .map(|four| u64::from(u32::from_be_bytes(*four)))
        .sum();
    for (at, octet) in rest.iter().enumerate() {
        sum += u64::from(*octet) << (24 - 8 * at);
    }
    sum
}

/// A sum in sixteen bits, what is above them added below.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The first octets and the others.
fn split<const N: usize>(octets: &[u8]) -> Result<(&[u8; N], &[u8]), FrameFault> {
    octets.split_first_chunk().ok_or(FrameFault::Length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A datagram "voice!" from 192.0.2.7:4000 to 192.0.2.1:20000, its sums computed elsewhere.
    const V4: &str = "020000000001 020000000002 0800 \
        4500 0022 0000 4000 40 11 b6c2 c0000207 c0000201 0fa0 4e20 000e d914 766f69636521";

    fn octets(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap());
        pairs
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    }

    fn headers(from: &str, to: &str) -> Headers {
        Headers {
            our_mac: Mac([2, 0, 0, 0, 0, 2]),
            next_mac: Mac([2, 0, 0, 0, 0, 1]),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            dscp: 0,
        }
    }

    fn wrapped(headers: &Headers, payload: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0xee; 100];
        buffer.extend_from_slice(payload);
        let end = buffer.len();
        let at = wrap(&mut buffer, 100..end, headers).unwrap();
        assert!(buffer[..at.start].iter().all(|octet| *octet == 0xee));
        buffer[at].to_vec()
    }

    #[test]
    fn a_frame_is_written_as_others_write_it() {
        let frame = wrapped(&headers("192.0.2.7:4000", "192.0.2.1:20000"), b"voice!");
        assert_eq!(frame, octets(V4));
    }

    #[test]
    fn what_is_written_is_read_again_and_dscp_leaves_ecn_alone() {
        for (from, to, at) in [
            ("192.0.2.7:4000", "198.51.100.1:20000", 15),
            ("[2001:db8::7]:4000", "[2001:db8::1]:20000", 14),
        ] {
            let mut headers = headers(from, to);
            headers.dscp = 46;
            let frame = wrapped(&headers, b"odd");
            let read = parse(&frame).unwrap();
            assert_eq!((read.from, read.to), (headers.from, headers.to));
            assert_eq!(read.mac, headers.next_mac);
            assert_eq!(&frame[read.payload], b"odd");
            let class = match at {
                15 => frame[15],
                _ => frame[14] << 4 | frame[15] >> 4,
            };
            assert_eq!(class, 46 << 2);
        }
    }

    #[test]
    fn what_the_kernel_would_not_deliver_is_refused() {
        let good = wrapped(&headers("192.0.2.7:4000", "192.0.2.1:20000"), b"voice!");
        let changed = |at: usize, to: u8| {
            let mut frame = good.clone();
            frame[at] = to;
            parse(&frame).unwrap_err()
        };
        assert_eq!(changed(12, 0x81), FrameFault::Kind);
        assert_eq!(changed(14, 0x46), FrameFault::Kind, "options");
        assert_eq!(changed(20, 0x20), FrameFault::Kind, "more fragments");
        assert_eq!(changed(21, 1), FrameFault::Kind, "not the first fragment");
        assert_eq!(changed(23, 6), FrameFault::Kind, "TCP");
        assert_eq!(changed(17, 200), FrameFault::Length);
        assert_eq!(changed(39, 7), FrameFault::Length);
        assert_eq!(changed(39, 200), FrameFault::Length);
        assert_eq!(changed(22, 1), FrameFault::Checksum, "of the header");
        assert_eq!(changed(45, b'?'), FrameFault::Checksum, "of the datagram");
        for from in [
            "127.0.0.1:4000",
            "224.0.0.1:4000",
            "0.0.0.1:4000",
            "192.0.2.1:5",
        ] {
            let frame = wrapped(&headers(from, "192.0.2.1:20000"), b"voice!");
            assert_eq!(parse(&frame), Err(FrameFault::Source), "{from}");
        }
        for from in [
            "[::1]:4000",
            "[ff02::1]:4000",
            "[::]:4000",
            "[2001:db8::1]:4",
        ] {
            let frame = wrapped(&headers(from, "[2001:db8::1]:20000"), b"voice!");
            assert_eq!(parse(&frame), Err(FrameFault::Source), "{from}");
        }
    }

    #[test]
    fn a_checksum_may_lack_in_ipv4_and_may_be_left_to_hardware() {
        let mut v4 = wrapped(&headers("192.0.2.7:4000", "192.0.2.1:20000"), b"voice!");
        v4[40..42].fill(0);
        assert!(parse(&v4).is_ok());
        let partial = fold(sum(&v4[26..34]) + u64::from(UDP) + 14);
        v4[40..42].copy_from_slice(&partial.to_be_bytes());
        assert!(parse(&v4).is_ok());
        let mut v6 = wrapped(&headers("[2001:db8::7]:1", "[2001:db8::1]:2"), b"voice!");
        v6[60..62].fill(0);
        assert_eq!(parse(&v6), Err(FrameFault::Checksum));
    }

    #[test]
    fn padding_is_no_payload() {
        let mut frame = wrapped(&headers("192.0.2.7:4000", "192.0.2.1:20000"), b"x");
        frame.resize(60, 0);
        assert_eq!(parse(&frame).unwrap().payload, 42..43);
    }

    #[test]
    fn headers_need_room_and_one_family() {
        let v4 = headers("192.0.2.7:4000", "192.0.2.1:20000");
        let mut buffer = [0xee; 100];
        assert_eq!(wrap(&mut buffer, 42..90, &v4), Some(0..90));
        let mut buffer = [0xee; 100];
        assert_eq!(wrap(&mut buffer, 41..90, &v4), None);
        assert_eq!(wrap(&mut buffer, 50..101, &v4), None);
        let mixed = headers("192.0.2.7:4000", "[2001:db8::1]:2");
        assert_eq!(wrap(&mut buffer, 80..90, &mixed), None);
        let mut long = vec![0; 70_000];
        assert_eq!(wrap(&mut long, 100..65_630, &v4), None);
        assert_eq!(buffer, [0xee; 100]);
    }

    proptest! {
        #[test]
        fn every_payload_survives_and_no_damaged_one_is_taken(
            payload in prop::collection::vec(any::<u8>(), 0..1600),
            ports in any::<(u16, u16)>(),
            is_v6 in any::<bool>(),
            damage in any::<(prop::sample::Index, u8)>(),
        ) {
            let (from, to): (IpAddr, IpAddr) = match is_v6 {
                false => ([192, 0, 2, 7].into(), [192, 0, 2, 1].into()),
                true => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
            };
            let mut headers = headers("192.0.2.7:1", "192.0.2.1:1");
            (headers.from, headers.to) = ((from, ports.0).into(), (to, ports.1).into());
            let mut frame = wrapped(&headers, &payload);
            let read = parse(&frame).unwrap();
            prop_assert_eq!((read.from, read.to), (headers.from, headers.to));
            prop_assert_eq!(&frame[read.payload.clone()], &payload[..]);
            // One changed octet of the payload is always noticed, unless the sum looks as if it had been
            // left to hardware.
            let (start, udp_bytes) = (read.payload.start, payload.len() as u64 + 8);
            let addresses = match is_v6 {
                false => &frame[26..34],
                true => &frame[22..54],
            };
            let partial = fold(sum(addresses) + u64::from(UDP) + udp_bytes).to_be_bytes();
            if !payload.is_empty() && damage.1 != 0 && frame[start - 2..start] != partial {
                let at = start + damage.0.index(payload.len());
                frame[at] ^= damage.1;
                prop_assert_eq!(parse(&frame), Err(FrameFault::Checksum));
            }
        }

        #[test]
        fn nothing_makes_the_reader_panic(frame in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(read) = parse(&frame) {
                prop_assert!(frame.get(read.payload).is_some());
            }
        }
    }
}
