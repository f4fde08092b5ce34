//! Where a peer's media are, in its own words: what passes untouched into a description for somebody who
//! is to reach that peer without us (RFC 7584 §3, MED-312).

use super::stream::Media;
use crate::octets::is_same_word;
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

/// What may be said of all streams at once, at the level of the session.
const OF_SESSION: [&[u8]; 3] = [b"ice-ufrag", b"ice-pwd", b"ice-options"];

/// Most lines of a place that are passed on; Teams writes about two dozen.
const MOST_LINES: usize = 96;

impl Lent {
    /// The place of a stream at this address.
    pub fn of(media: &Media<'_>, rtp: SocketAddr, is_lite: bool) -> Self {
        let own = media.attributes();
        let inherited = media.session_attributes();
        let is_among = |names: &[&[u8]], name: &[u8]| {
            let mut names = names.iter();
            names.any(|known| is_same_word(name, known))
        };
        let above = inherited
            .iter()
            .filter(|line| is_among(&OF_SESSION, line.name) && !own.has(line.name));
        let lines = above
            .chain(own.iter().filter(|line| is_among(&OF_STREAM, line.name)))
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
}
