//! Where a peer's media are, in its own words: what passes untouched into a description for somebody who
//! is to reach that peer without us (RFC 7584 §3, MED-312).

use super::candidate::Candidate;
use super::stream::Media;
use crate::octets::is_same_word;
use media_api::wire_layout;
use std::fmt;
use std::net::SocketAddr;

/// The place of a peer's stream: address, keys and agent.
#[derive(Clone, PartialEq, Eq)]
pub struct Lent {
    /// Where it wants RTP.
    pub rtp: SocketAddr,
    /// Whether its agent is lite (RFC 8839 §5.3).
    pub is_lite: bool,
    /// Its attribute lines that say more of the place, without `a=`, in its order.
    pub(super) lines: Vec<Box<[u8]>>,
}

/// Without the lines, which have keys in them.
impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent")
            .field("rtp", &self.rtp)
            .field("is_lite", &self.is_lite)
            .finish_non_exhaustive()
    }
}

/// What a stream says of its place.
const OF_STREAM: [&[u8]; 10] = [
    b"rtcp",
    b"rtcp-mux",
    b"rtcp-mux-only",
    b"crypto",
    b"ice-ufrag",
    b"ice-pwd",
    b"ice-options",
    b"candidate",
    b"remote-candidates",
    b"end-of-candidates",
];

/// So many of these pass where candidates are chosen: those of a lite agent, which has no more to say.
const OF_LITE: usize = 6;

/// What may be said of all streams at once, at the level of the session.
const OF_SESSION: [&[u8]; 3] = [b"ice-ufrag", b"ice-pwd", b"ice-options"];

/// Most lines of a place that are passed on; Teams writes about two dozen.
const MOST_LINES: usize = 96;

impl Lent {
    /// The place of a stream at this address, in all its words.
    pub fn of(media: &Media<'_>, rtp: SocketAddr, is_lite: bool) -> Self {
        Self::with(media, rtp, is_lite, &OF_STREAM)
    }

    /// The same for who takes one address only, in IPv4 (TDR-ICE-002): of the candidates those that name this very
    /// place, as what a lite agent has, without whatever is behind it. `None` if there is no such candidate.
    pub fn one_of(media: &Media<'_>, rtp: SocketAddr, is_lite: bool) -> Option<Self> {
        let is_here = |own: &Candidate<'_>| {
            own.transport.eq_ignore_ascii_case(b"udp")
                && own.address.parse() == Ok(rtp.ip())
                && rtp.is_ipv4()
        };
        let rtcp_port = media.rtcp().map(|rtcp| rtcp.port);
        let rtcp_port = rtcp_port.or(rtp.port().checked_add(1));
        let mut candidates = media.candidates().filter(is_here);
        let own = candidates.find(|own| own.component == 1 && own.port == rtp.port())?;
        let beside = media
            .candidates()
            .filter(is_here)
            .find(|own| own.component == 2 && Some(own.port) == rtcp_port && !media.rtcp_mux());
        let line = |own: Candidate<'_>| {
            let (component, priority, port) = (own.component, own.priority, own.port);
            let ip = rtp.ip();
            format!("candidate:1 {component} UDP {priority} {ip} {port} typ host").into_bytes()
        };
        let mut lent = Self::with(media, rtp, is_lite, OF_STREAM.get(..OF_LITE)?);
        lent.lines.extend(
            [Some(own), beside]
                .into_iter()
                .flatten()
                .map(|own| line(own).into()),
        );
        Some(lent)
    }

    fn with(media: &Media<'_>, rtp: SocketAddr, is_lite: bool, names: &[&[u8]]) -> Self {
        let own = media.attributes();
        let inherited = media.session_attributes();
        let is_among = |names: &[&[u8]], name: &[u8]| {
            let mut names = names.iter();
            names.any(|known| is_same_word(name, known))
        };
        let above = inherited
            .iter()
            .filter(|line| is_among(&OF_SESSION, line.name) && is_among(names, line.name))
            .filter(|line| !own.has(line.name));
        let lines = above
            .chain(own.iter().filter(|line| is_among(names, line.name)))
            .take(MOST_LINES);
        let lines = lines.map(|line| match line.value {
            Some(value) => [line.name, b":", value].concat().into_boxed_slice(),
            None => line.name.into(),
        });
        Self {
            rtp,
            is_lite,
            lines: lines.collect(),
        }
    }
}

wire_layout! {
    struct Lent { rtp, is_lite, lines }
}

#[cfg(test)]
mod tests {
    use super::super::{Description, Limits};
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_place_is_told_in_the_words_of_its_owner_and_shows_no_key() {
        let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
            a=ice-ufrag:of-all\r\na=ice-pwd:of-all-and-everybody\r\na=ice-lite\r\n\
            m=audio 4000 RTP/SAVP 8\r\na=rtcp:4001\r\na=ICE-UFRAG:own\r\na=label:1\r\n\
            a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host x-y z\r\na=crypto:2 X inline:c2VjcmV0\r\n";
        let text = Description::parse(Bytes::from_static(body), &Limits::default()).unwrap();
        let media = text.media().next().unwrap();
        let at = "192.0.2.1:4000".parse().unwrap();
        let lent = Lent::of(&media, at, text.ice_lite());
        let lines: Vec<_> = lent
            .lines
            .iter()
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        assert_eq!(
            lines,
            [
                "ice-pwd:of-all-and-everybody",
                "rtcp:4001",
                "ICE-UFRAG:own",
                "candidate:1 1 UDP 1 192.0.2.1 4000 typ host x-y z",
                "crypto:2 X inline:c2VjcmV0",
            ]
        );
        assert!(lent.is_lite);
        assert!(!format!("{lent:?}").contains("c2Vj"));
    }
    #[test]
    fn who_takes_one_address_is_told_the_default_one_alone() {
        let of = |mux: &str, at: &str, candidates: &[&str]| {
            let lines: String = candidates
                .iter()
                .map(|own| format!("a=candidate:{own}\r\n"))
                .collect();
            let body = format!(
                "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN {at}\r\nt=0 0\r\na=ice-options:ice2\r\n\
                 m=audio 4000 RTP/SAVP 8\r\n{mux}a=ice-ufrag:own1\r\n{lines}a=remote-candidates:1 192.0.2.9 9\r\n"
            );
            let text = Description::parse(Bytes::from(body), &Limits::default()).unwrap();
            let media = text.media().next().unwrap();
            let at = format!("{}:4000", at.rsplit(' ').next().unwrap());
            let lent = Lent::one_of(&media, at.parse().ok()?, true)?;
            let words = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
            let lines: Vec<_> = lent.lines.iter().map(|line| words(line)).collect();
            Some(lines.join(" | "))
        };
        let all = [
            "1 1 UDP 2130706431 10.0.0.1 4000 typ host",
            "2 1 UDP 16 192.0.2.1 4000 typ srflx raddr 10.0.0.1 rport 4000",
            "2 2 UDP 15 192.0.2.1 4001 typ srflx raddr 10.0.0.1 rport 4001",
            "3 1 TCP 14 192.0.2.1 4000 typ host",
            "4 1 UDP 13 2001:db8::1 4000 typ host",
        ];
        let rtp = "candidate:1 1 UDP 16 192.0.2.1 4000 typ host";
        let rtcp = "candidate:1 2 UDP 15 192.0.2.1 4001 typ host";
        let ip4 = "IP4 192.0.2.1";
        let muxed = of("a=rtcp-mux\r\n", ip4, &all);
        assert_eq!(muxed, Some(format!("rtcp-mux | ice-ufrag:own1 | {rtp}")));
        let apart = of("", ip4, &all);
        assert_eq!(apart, Some(format!("ice-ufrag:own1 | {rtp} | {rtcp}")));
        assert_eq!(of("", "IP4 192.0.2.7", &all), None);
        assert_eq!(of("", ip4, &[]), None);
    }
}
