//! ICE candidates (RFC 8839 §5.1).

use super::text;
use nom::bytes::complete::{tag_no_case, take_while1};
use nom::character::complete::{digit1, space1};
use nom::combinator::{map_opt, verify};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

/// One `a=candidate` line. Extensions such as `generation` are accepted and not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate<'a> {
    /// Groups candidates of the same kind, base and server; 1–32 characters.
    pub foundation: &'a [u8],
    /// 1 RTP, 2 RTCP.
    pub component: u16,
    /// `UDP` or `TCP`, as written.
    pub transport: &'a [u8],
    /// Larger is preferred.
    pub priority: u32,
    /// An IP address, a host name or an mDNS name.
    pub address: &'a str,
    /// Port.
    pub port: u16,
    /// Where it comes from.
    pub kind: CandidateKind,
}

/// Type of a candidate (RFC 8839 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CandidateKind {
    /// Local interface.
    Host,
    /// Seen by a STUN server.
    ServerReflexive,
    /// Seen by the peer.
    PeerReflexive,
    /// A TURN relay.
    Relayed,
    /// A type we do not know; the candidate is ignored.
    Other,
}

impl CandidateKind {
    fn parse(text: &[u8]) -> Self {
        match text {
            b"host" => Self::Host,
            b"srflx" => Self::ServerReflexive,
            b"prflx" => Self::PeerReflexive,
            b"relay" => Self::Relayed,
            _ => Self::Other,
        }
    }

    /// Name on the wire, `?` for an unknown one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
            Self::Other => "?",
        }
    }
}

impl<'a> Candidate<'a> {
    /// Reads the value of an `a=candidate` line.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        grammar(value)
            .ok()
            .map(|(_extensions, candidate)| candidate)
    }
}

fn word(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while1(|byte: u8| byte.is_ascii_graphic()).parse(input)
}

fn field<T: TryFrom<u128>>(input: &[u8]) -> IResult<&[u8], T> {
    terminated(map_opt(digit1, text::number), space1).parse(input)
}

fn grammar(input: &[u8]) -> IResult<&[u8], Candidate<'_>> {
    let (input, foundation) =
        terminated(verify(word, |text: &[u8]| text.len() <= 32), space1).parse(input)?;
    let (input, component) = field(input)?;
    let (input, transport) = terminated(word, space1).parse(input)?;
    let (input, priority) = field(input)?;
    let (input, address) = terminated(map_opt(word, text::utf8), space1).parse(input)?;
    let (input, port) = field(input)?;
    let (input, kind) = preceded((tag_no_case("typ"), space1), word).parse(input)?;
    Ok((
        input,
        Candidate {
            foundation,
            component,
            transport,
            priority,
            address,
            port,
            kind: CandidateKind::parse(kind),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reflexive_candidate_with_extensions_is_read() {
        let line = b"2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998 gen 0";
        let seen = Candidate::parse(line).expect("candidate");
        assert_eq!(seen.kind, CandidateKind::ServerReflexive);
        assert_eq!((seen.component, seen.priority), (1, 1_694_498_815));
        assert_eq!((seen.address, seen.port), ("192.0.2.3", 45664));
    }

    #[test]
    fn malformed_candidates_are_left_out() {
        for line in [
            &b""[..],
            b"1 1 UDP 1 192.0.2.3 70000 typ host",
            b"1 1 UDP 99999999999 192.0.2.3 1 typ host",
            b"1 x UDP 1 192.0.2.3 1 typ host",
            b"1 1 UDP 1 192.0.2.3 1 host",
            b"123456789012345678901234567890123 1 UDP 1 192.0.2.3 1 typ host",
        ] {
            assert!(Candidate::parse(line).is_none(), "{line:?}");
        }
    }
}
