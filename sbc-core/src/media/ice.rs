//! ICE in descriptions: what a peer says of its agent, and what we say of ours (RFC 8839).
//!
//! Ours is lite (RFC 8445 §2.5): one address, which is that of the media itself, so nothing is gathered
//! and nothing is checked. What the credentials of a leg are is drawn from a secret of its own, so that
//! the same description is written as often as it is needed (TDR-ICE-007), and a restart of the peer
//! has other ones (TDR-ICE-009).

use super::profile::{Ice, Profile};
use super::read::{DISCARD, is_sendable, is_served};
use crate::sdp::{self, Candidate, DraftCandidate, DraftIce, Media};
use media_api::{
    Family, IceCandidate, IceComponent, IceCredentials, IceTerms, LocalStream, is_ice_char,
    wire_layout,
};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// What a peer says of its agent.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerIce {
    /// Its user name fragment.
    pub fragment: String,
    /// Its password. Only compared: we make no checks.
    password: String,
    /// Whether its agent is lite too. Then nobody checks, and media goes where the description says
    /// (TDR-ICE-010).
    pub is_lite: bool,
    /// Where it says it is, as far as something can be sent there.
    pub candidates: Vec<IceCandidate>,
}

/// Without the password.
impl fmt::Debug for PeerIce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerIce")
            .field("fragment", &self.fragment)
            .field("is_lite", &self.is_lite)
            .field("candidates", &self.candidates)
            .finish_non_exhaustive()
    }
}

/// Characters of a peer's fragment and password (RFC 8839 §5.4).
const FRAGMENT: RangeInclusive<usize> = 4..=256;
const PASSWORD: RangeInclusive<usize> = 22..=256;
/// Candidates of one line that are read; Teams sends about a dozen.
const MAX_CANDIDATES: usize = 64;

impl PeerIce {
    /// What a line says, where the trunk speaks ICE. `None` also of a line with credentials and no
    /// candidates: a media processor, which checks nothing (TDR-ICE-012).
    pub(super) fn read(media: &Media<'_>, is_lite: bool, profile: &Profile) -> Option<Self> {
        if profile.ice == Ice::Off {
            return None;
        }
        Self::of(media, is_lite, |address| {
            is_reached(address.ip(), profile.family, profile.local) && is_served(address, profile)
        })
    }

    /// What a line says; its candidates are those whose address serves.
    pub fn of(
        media: &Media<'_>,
        is_lite: bool,
        serves: impl Fn(SocketAddr) -> bool,
    ) -> Option<Self> {
        let text = |value: Option<&[u8]>, length: RangeInclusive<usize>| {
            let value = value?;
            let is_sound = length.contains(&value.len()) && value.iter().all(|c| is_ice_char(*c));
            is_sound.then(|| String::from_utf8_lossy(value).into_owned())
        };
        media.candidates().next()?;
        Some(Self {
            fragment: text(media.ice_ufrag(), FRAGMENT)?,
            password: text(media.ice_pwd(), PASSWORD)?,
            is_lite,
            candidates: media
                .candidates()
                .take(MAX_CANDIDATES)
                .filter_map(|candidate| usable(&candidate, &serves))
                .collect(),
        })
    }

    /// Whether checks find this peer, wherever its description says that it is: it makes them, and can be sent
    /// to at some place of its candidates.
    pub fn is_found_by_checks(&self) -> bool {
        !self.is_lite && !self.candidates.is_empty()
    }

    /// Whether media go, as the description has it, where none of the agent's candidates is. A blank address and port 9
    /// are there for want of a better place, and so is a name, which was read as a blank address.
    pub(super) fn is_mismatched(&self, rtp: SocketAddr) -> bool {
        let is_named =
            |own: &IceCandidate| own.component == IceComponent::Rtp && own.address == rtp;
        let is_a_place = !rtp.ip().is_unspecified() && rtp.port() != DISCARD;
        is_a_place && !self.candidates.iter().any(is_named)
    }

    /// Whether an agent with these credentials is another one, or has begun anew (RFC 8839 §4.4.1.1.1):
    /// fragment and password differ, on whatever level they stand.
    fn is_restart_of(&self, before: &Self) -> bool {
        self.fragment != before.fragment && self.password != before.password
    }
}

/// Whether media of this family could be sent to an address from ours.
pub fn is_reached(ip: IpAddr, family: Family, local: Option<IpAddr>) -> bool {
    let is_family = match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    is_family && !ip.is_unspecified() && is_sendable(ip, local)
}

/// A candidate that media could be sent to. A host name is none: whoever is behind it shows itself.
fn usable(candidate: &Candidate<'_>, serves: &impl Fn(SocketAddr) -> bool) -> Option<IceCandidate> {
    let component = match candidate.component {
        1 => IceComponent::Rtp,
        2 => IceComponent::Rtcp,
        _ => return None,
    };
    let ip: IpAddr = candidate.address.parse().ok()?;
    let address = SocketAddr::new(ip, candidate.port);
    let is_usable = candidate.transport.eq_ignore_ascii_case(b"udp") && serves(address);
    is_usable.then_some(IceCandidate {
        component,
        address,
        priority: candidate.priority,
    })
}

/// Our agent on one leg.
#[derive(Clone)]
pub struct OwnIce {
    secret: [u8; 16],
    /// Credentials that were ever made.
    made: u32,
    in_force: IceCredentials,
    /// Those of the exchange that is outstanding, where it is a restart.
    pending: Option<IceCredentials>,
    /// The peer that was agreed with last.
    peer: Option<PeerIce>,
}

/// Without the secret.
impl fmt::Debug for OwnIce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnIce")
            .field("in_force", &self.in_force)
            .field("pending", &self.pending)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl OwnIce {
    /// An agent whose credentials come from these random bytes.
    pub fn new(secret: [u8; 16]) -> Option<Self> {
        Some(Self {
            secret,
            made: 1,
            in_force: credentials(&secret, 0)?,
            pending: None,
            peer: None,
        })
    }

    /// What our descriptions say now.
    pub fn credentials(&self) -> &IceCredentials {
        self.pending.as_ref().unwrap_or(&self.in_force)
    }

    /// The agent at other ports: other credentials, and a peer that knows nothing of them.
    pub(super) fn moved(&mut self) {
        self.restart();
        self.settle(None);
        self.peer = None;
    }

    /// Never makes again what an agent at other ports has made.
    pub(super) fn count_on(&mut self, other: &Self) {
        self.made = other.made;
    }

    /// The peer offers. A restart of its agent is one of ours.
    pub fn offered(&mut self, peer: Option<&PeerIce>) {
        self.pending = None;
        if let (Some(peer), Some(before)) = (peer, &self.peer)
            && peer.is_restart_of(before)
        {
            self.restart();
        }
    }

    /// What is outstanding comes to nothing.
    pub fn roll_back(&mut self) {
        self.pending = None;
    }

    /// What is outstanding is agreed.
    pub fn settle(&mut self, peer: Option<&PeerIce>) {
        if let Some(pending) = self.pending.take() {
            self.in_force = pending;
        }
        if let Some(peer) = peer {
            self.peer = Some(peer.clone());
        }
    }

    /// What the relay is told of an exchange with this peer; nothing where nobody makes checks. `is_sent_early` says
    /// whether media go to it before it has nominated a pair.
    pub fn terms(&self, peer: &PeerIce, is_sent_early: bool) -> Option<Box<IceTerms>> {
        (!peer.is_lite).then(|| {
            Box::new(IceTerms {
                local: self.credentials().clone(),
                remote_fragment: peer.fragment.clone(),
                candidates: peer.candidates.clone(),
                is_sent_early,
            })
        })
    }

    /// Our lines: one address, the advertised one, and RTCP's only where it has a port of its own
    /// (TDR-ICE-002).
    pub fn draft(&self, local: &LocalStream, is_muxed: bool) -> Box<DraftIce> {
        let own = self.credentials();
        let rtp = DraftCandidate {
            component: 1,
            priority: priority(1),
            address: local.rtp,
        };
        let rtcp = DraftCandidate {
            component: 2,
            priority: priority(2),
            address: local.rtcp,
        };
        Box::new(DraftIce {
            fragment: own.fragment().to_owned(),
            password: own.expose_password().to_owned(),
            candidates: match is_muxed {
                true => vec![rtp],
                false => vec![rtp, rtcp],
            },
        })
    }

    fn restart(&mut self) {
        self.pending = credentials(&self.secret, self.made);
        self.made = self.made.saturating_add(1);
    }
}

/// RFC 8445 §5.1.2.1 for a host candidate of the only address.
const fn priority(component: u32) -> u32 {
    (126 << 24) | (65_535 << 8) | (256 - component)
}

/// The credentials of this number: 48 random bits of fragment, 144 of password (RFC 8839 §5.4 asks for 24
/// and 128). Base64 has exactly the characters that ICE allows.
fn credentials(secret: &[u8; 16], number: u32) -> Option<IceCredentials> {
    let sum: [u8; 32] = Sha256::new()
        .chain_update(secret)
        .chain_update(number.to_be_bytes())
        .finalize()
        .into();
    let (fragment, password) = (sum.get(..6)?, sum.get(6..24)?);
    IceCredentials::new(sdp::base64_encode(fragment), sdp::base64_encode(password))
}

wire_layout! {
    struct PeerIce { fragment, password, is_lite, candidates }
    struct OwnIce { secret, made, in_force, pending, peer }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(fragment: &str, password: &str) -> PeerIce {
        PeerIce {
            fragment: fragment.to_owned(),
            password: password.to_owned(),
            is_lite: false,
            candidates: Vec::new(),
        }
    }

    #[test]
    fn priorities_are_those_of_rfc_8445() {
        assert_eq!((priority(1), priority(2)), (2_130_706_431, 2_130_706_430));
    }

    #[test]
    fn only_a_peer_that_changes_both_has_restarted() {
        let mut own = OwnIce::new([7; 16]).unwrap();
        let first = own.credentials().clone();
        assert_eq!(first.fragment().len(), 8);
        assert_eq!(first.expose_password().len(), 24);
        own.offered(Some(&peer("aaaa", "p1")));
        assert_eq!(*own.credentials(), first);
        own.settle(Some(&peer("aaaa", "p1")));
        for (fragment, password) in [("aaaa", "p1"), ("aaaa", "p2"), ("bbbb", "p1")] {
            own.offered(Some(&peer(fragment, password)));
            assert_eq!(*own.credentials(), first, "{fragment} {password}");
            own.roll_back();
        }
        own.offered(None);
        own.settle(None);
        assert_eq!(*own.credentials(), first);
        own.offered(Some(&peer("bbbb", "p2")));
        let second = own.credentials().clone();
        assert_ne!(second.fragment(), first.fragment());
        assert_ne!(second.expose_password(), first.expose_password());
        own.roll_back();
        assert_eq!(*own.credentials(), first);
        // What a refused offer would have been told is never told to anybody else.
        own.offered(Some(&peer("cccc", "p3")));
        assert_ne!(*own.credentials(), second);
    }

    #[test]
    fn a_place_that_is_no_candidate_is_a_mismatch_unless_it_is_none() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let named = |component, address: &str| IceCandidate {
            component,
            address: at(address),
            priority: 1,
        };
        let peer = PeerIce {
            candidates: vec![
                named(IceComponent::Rtp, "198.51.100.77:50010"),
                named(IceComponent::Rtcp, "198.51.100.77:50011"),
            ],
            ..peer("aaaa", "p1")
        };
        for (place, is_mismatched) in [
            ("198.51.100.77:50010", false),
            ("198.51.100.77:50011", true),
            ("192.0.2.30:50010", true),
            ("192.0.2.30:9", false),
            ("0.0.0.0:50010", false),
            ("[::]:50010", false),
        ] {
            assert_eq!(peer.is_mismatched(at(place)), is_mismatched, "{place}");
        }
    }

    #[test]
    fn two_legs_have_nothing_in_common() {
        let (one, other) = (OwnIce::new([1; 16]).unwrap(), OwnIce::new([2; 16]).unwrap());
        assert_ne!(one.credentials().fragment(), other.credentials().fragment());
        let shown = format!("{one:?}");
        assert!(!shown.contains(one.credentials().expose_password()));
    }
}
