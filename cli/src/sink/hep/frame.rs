//! One frame of HEP3: `"HEP3"`, its length, then chunks of vendor, type, length and value, all big-endian. Every chunk of
//! ours is of the generic vendor 0.

use sbc_core::time::UnixTime;
use sbc_core::transport::Protocol;
use std::net::{IpAddr, SocketAddr};

/// Most octets of a frame: what a datagram can hold. A longer payload is cut.
pub(super) const MOST: usize = 65_507;
/// Octets of a chunk before its value, and of a frame before its chunks.
const HEAD: usize = 6;

/// What a frame carries (chunk 0x000b).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A SIP message.
    Sip,
    /// A report of RTCP, as JSON.
    Rtcp,
    /// A report about media, as JSON.
    Quality,
    /// A line of the log.
    Log,
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Sip => 1,
            Self::Rtcp => 5,
            Self::Quality => 0x22,
            Self::Log => 100,
        }
    }
}

/// How good media were (chunks 0x0020, 0x0021).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Score {
    /// Mean opinion score, 1 to 5.
    pub(super) mos: f64,
    /// Rating of the E-model, 0 to 130.
    pub(super) r: f64,
}

/// What a frame says.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    /// Who sent what it carries.
    pub(super) source: SocketAddr,
    /// To whom.
    pub(super) target: SocketAddr,
    /// Over what.
    pub(super) protocol: Protocol,
    /// When.
    pub(super) at: UnixTime,
    /// What it carries.
    pub(super) kind: Kind,
    /// Number of this agent.
    pub(super) agent: u32,
    /// Password of the collector.
    pub(super) key: Option<&'a [u8]>,
    /// What frames of one call have in common.
    pub(super) correlation: Option<&'a str>,
    /// Name of this node.
    pub(super) node: &'a str,
    /// How good it was.
    pub(super) score: Option<Score>,
    /// The message or report itself.
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// Adds its octets, [`MOST`] at most.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.reserve(160 + self.payload.len());
        out.extend_from_slice(b"HEP3\0\0");
        let source = self.source.ip().to_canonical();
        let target = self.target.ip().to_canonical();
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                fixed(out, 0x0001, [2]);
                fixed(out, 0x0003, source.octets());
                fixed(out, 0x0004, target.octets());
            }
            (source, target) => {
                fixed(out, 0x0001, [10]);
                fixed(out, 0x0005, six(source));
                fixed(out, 0x0006, six(target));
            }
        }
        let protocol = match self.protocol {
            Protocol::Udp => 17,
            Protocol::Tcp | Protocol::Tls => 6,
        };
        fixed(out, 0x0002, [protocol]);
        fixed(out, 0x0007, self.source.port().to_be_bytes());
        fixed(out, 0x0008, self.target.port().to_be_bytes());
        let micros = self.at.as_micros();
        let seconds = u32::try_from(micros / 1_000_000).unwrap_or(u32::MAX);
        let rest = u32::try_from(micros % 1_000_000).unwrap_or(0);
        fixed(out, 0x0009, seconds.to_be_bytes());
        fixed(out, 0x000a, rest.to_be_bytes());
        fixed(out, 0x000b, [self.kind.number()]);
        fixed(out, 0x000c, self.agent.to_be_bytes());
        if let Some(key) = self.key {
            chunk(out, 0x000e, key);
        }
        if let Some(correlation) = self.correlation {
            chunk(out, 0x0011, correlation.as_bytes());
        }
        chunk(out, 0x0013, self.node.as_bytes());
        if let Some(score) = self.score {
            fixed(out, 0x0020, hundredths(score.mos).to_be_bytes());
            fixed(out, 0x0021, hundredths(score.r).to_be_bytes());
        }
        // Last, so that it can be cut: names and passwords are short.
        let room = MOST.saturating_sub(out.len() - begin + HEAD);
        let payload = &self.payload[..self.payload.len().min(room)];
        chunk(out, 0x000f, payload);
        let length = u16::try_from(out.len() - begin).unwrap_or(u16::MAX);
        out[begin + 4..begin + 6].copy_from_slice(&length.to_be_bytes());
    }
}

fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(HEAD + value.len()).unwrap_or(u16::MAX);
    head(out, kind, length);
    out.extend_from_slice(&value[..usize::from(length) - HEAD]);
}

/// A chunk whose length is known by its kind.
fn fixed<const LENGTH: usize>(out: &mut Vec<u8>, kind: u16, value: [u8; LENGTH]) {
    const { assert!(LENGTH <= 16) };
    head(out, kind, (HEAD + LENGTH) as u16);
    out.extend_from_slice(&value);
}

fn head(out: &mut Vec<u8>, kind: u16, length: u16) {
    let ([kind, of_kind], [octets, of_octets]) = (kind.to_be_bytes(), length.to_be_bytes());
    out.extend_from_slice(&[0, 0, kind, of_kind, octets, of_octets]);
}

fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// As collectors read scores.
fn hundredths(value: f64) -> u16 {
    // Within 0 and 13,000, so nothing is lost but the fraction.
    (value.clamp(0.0, 130.0) * 100.0).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn frame(payload: &[u8]) -> Frame<'_> {
        Frame::of(payload)
    }

    impl<'a> Frame<'a> {
        /// That of the specification's example, around another payload.
        pub(in super::super) fn of(payload: &'a [u8]) -> Self {
            Self {
                source: "212.202.0.1:12010".parse().unwrap(),
                target: "82.116.0.211:5060".parse().unwrap(),
                protocol: Protocol::Udp,
                at: UnixTime::from_micros(1_313_440_459_000_000 + 120_000),
                kind: Kind::Sip,
                agent: 228,
                key: None,
                correlation: None,
                node: "n",
                score: None,
                payload,
            }
        }

        /// By itself.
        fn octets(&self) -> Vec<u8> {
            let mut before = b"before".to_vec();
            self.write(&mut before);
            before.split_off(6)
        }
    }

    /// A reader as small as the format: chunks by type.
    fn read(octets: &[u8]) -> BTreeMap<u16, Vec<u8>> {
        let word = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
        assert_eq!(&octets[..4], b"HEP3");
        assert_eq!(usize::from(word(4)), octets.len());
        let (mut at, mut chunks) = (6, BTreeMap::new());
        while at < octets.len() {
            assert_eq!(word(at), 0, "the generic vendor");
            let end = at + usize::from(word(at + 4));
            assert!(end >= at + 6 && end <= octets.len());
            let is_new = chunks.insert(word(at + 2), octets[at + 6..end].to_vec());
            assert_eq!(is_new, None, "each chunk once");
            at = end;
        }
        chunks
    }

    /// The chunks of the specification's own example, byte for byte, with the name of the node besides.
    #[test]
    fn a_frame_has_the_layout_of_the_specification() {
        let mut wanted = b"HEP3".to_vec();
        for part in [
            "0078",
            "00000001000702",
            "00000003000ad4ca0001",
            "00000004000a527400d3",
            "00000002000711",
            "0000000700082eea",
            "00000008000813c4",
            "00000009000a4e4982cb",
            "0000000a000a0001d4c0",
            "0000000b000701",
            "0000000c000a000000e4",
            "0000001300076e",
            "0000000f0014494e56495445207369703a626f62",
        ] {
            let digits = part.as_bytes().chunks(2);
            wanted.extend(
                digits
                    .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()),
            );
        }
        assert_eq!(frame(b"INVITE sip:bob").octets(), wanted);
    }

    #[test]
    fn addresses_of_the_sixth_version_key_correlation_and_scores_have_their_chunks() {
        let chunks = read(
            &Frame {
                source: "[2001:db8::1]:5061".parse().unwrap(),
                target: "[2001:db8::2]:40000".parse().unwrap(),
                protocol: Protocol::Tls,
                kind: Kind::Quality,
                key: Some(b"open sesame"),
                correlation: Some("0123abc"),
                score: Some(Score { mos: 4.37, r: 92.1 }),
                ..frame(b"{}")
            }
            .octets(),
        );
        let has = |kind: u16| chunks.get(&kind).map(Vec::as_slice);
        assert_eq!(has(0x0001), Some(&[10][..]));
        assert_eq!(has(0x0002), Some(&[6][..]), "TLS is carried by TCP");
        assert_eq!((has(0x0003), has(0x0004)), (None, None));
        let wanted = "2001:db8::2".parse::<std::net::Ipv6Addr>().unwrap();
        assert_eq!(has(0x0006), Some(&wanted.octets()[..]));
        assert_eq!(has(0x000b), Some(&[0x22][..]));
        assert_eq!(has(0x000e), Some(&b"open sesame"[..]));
        assert_eq!(has(0x0011), Some(&b"0123abc"[..]));
        assert_eq!(has(0x0020), Some(&437_u16.to_be_bytes()[..]));
        assert_eq!(has(0x0021), Some(&9_210_u16.to_be_bytes()[..]));
    }

    #[test]
    fn a_mapped_address_is_of_the_fourth_version_and_two_families_are_of_the_sixth() {
        let mapped = Frame {
            source: "[::ffff:192.0.2.1]:5060".parse().unwrap(),
            ..frame(b"")
        };
        assert_eq!(read(&mapped.octets())[&0x0003], [192, 0, 2, 1]);
        let mixed = Frame {
            source: "[2001:db8::1]:5060".parse().unwrap(),
            ..frame(b"")
        };
        let chunks = read(&mixed.octets());
        assert_eq!(chunks[&0x0001], [10]);
        assert_eq!(&chunks[&0x0006][10..], [255, 255, 82, 116, 0, 211]);
    }

    /// Whatever a payload says, and however long it is, it is read back; what is too long is cut, and the frame whole.
    #[test]
    fn what_is_written_is_read_back_whatever_it_is_and_up_to_the_limit() {
        let overhead = frame(b"").octets().len();
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let limit = MOST - overhead;
        let mut lengths = vec![0, 1, limit - 1, limit, limit + 1, 65_535, 200_000];
        lengths.extend((0..300).map(|_| usize::try_from(next() % 70_000).unwrap()));
        for length in lengths {
            let payload: Vec<u8> = (0..length).map(|_| next().to_le_bytes()[3]).collect();
            let octets = frame(&payload).octets();
            assert!(octets.len() <= MOST, "{length}");
            let kept = length.min(limit);
            let chunks = read(&octets);
            assert_eq!(chunks[&0x000f], payload[..kept], "{length}");
            assert_eq!(chunks[&0x000c], 228_u32.to_be_bytes());
        }
    }
}
