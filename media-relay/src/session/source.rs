//! Source learning and pinning: MED-030 to MED-035. Who may send here, and where we send to.
//!
//! | rank | candidate                               |
//! |------|-----------------------------------------|
//! | 1    | exactly the address in the peer's SDP   |
//! | 2    | its IP address, another port            |
//! | 3    | an IP address known to be the peer's    |
//! | 4    | the IP address of the peer's signalling |
//! | 5    | anybody, where that is allowed          |
//!
//! Anything else is a stranger and never changes a thing.
//!
//! The window of MED-031 opens with each description. Only in it is a stranger a candidate. Who has a rank
//! may also be heard for the first time when it is over, and opens it once more: behind a NAT the first
//! packet may come late, from a peer that is muted or sends nothing in silence, and waiting for it opens
//! nothing to a stranger.
//!
//! With ICE checks decide instead of ranks ([`Checked`]).

use super::ice::Checked;
use crate::time::Timestamp;
use media_api::SourcePolicy;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// How long a better candidate may replace a pinned one.
const WINDOW: Duration = Duration::from_secs(3);
/// Consecutive packets that a plain RTP candidate must show before it is pinned.
const PROOFS: u8 = 3;
/// Silence of the pinned source before its NAT binding may have changed (MED-032).
const REBIND_SILENCE_US: u64 = 2_000_000;
/// Rebinds accepted per minute.
const MAX_REBINDS: u8 = 3;
const MINUTE_US: u64 = 60_000_000;
/// Sequence numbers that may be missing across a rebind.
const REBIND_GAP: u16 = 3000;

/// How close an address is to what was signalled; a smaller one is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Rank {
    Exact = 1,
    SameHost = 2,
    OwnRange = 3,
    Signalling = 4,
    Stranger = 5,
}

impl Rank {
    pub(super) const ALL: [Self; 5] = [
        Self::Exact,
        Self::SameHost,
        Self::OwnRange,
        Self::Signalling,
        Self::Stranger,
    ];
}

/// What is known of a packet when its source is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    /// Its SRTP tag was right, which no address spoofer can arrange.
    pub(super) authentic: bool,
}

/// The verdict on a packet from somebody who is not a stranger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Learned {
    /// From the pinned source.
    Known,
    /// Its source has just been pinned.
    Pinned,
    /// A candidate with too little evidence so far: the packet goes nowhere (MED-038).
    NotYet,
}

/// Source rules of one face of a stream.
#[derive(Debug)]
pub(super) struct SourceGuard {
    signalled: SocketAddr,
    policy: SourcePolicy,
    pinned: Option<Pin>,
    candidate: Option<Candidate>,
    window_until: Timestamp,
    rebinds: u8,
    rebinds_since: Timestamp,
    /// With ICE: what takes the place of ranks.
    checked: Option<Box<Checked>>,
}

#[derive(Debug)]
struct Pin {
    address: SocketAddr,
    rank: Rank,
    heard_at: Timestamp,
    /// Nothing, if only another kind of packets has been heard from it: those say nothing of these.
    last: Option<Evidence>,
}

#[derive(Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    next_sequence: u16,
    proofs: u8,
}

impl SourceGuard {
    pub(super) fn new(signalled: SocketAddr, policy: SourcePolicy, now: Timestamp) -> Self {
        Self {
            signalled,
            policy,
            pinned: None,
            candidate: None,
            window_until: now + WINDOW,
            rebinds: 0,
            rebinds_since: Timestamp(0),
            checked: None,
        }
    }

    /// The peer has described itself again, as before: who has not been heard yet is waited for anew.
    ///
    /// Packets of another kind are most likely at home where those before came from, and behind a NAT nowhere else: the
    /// pin stays what is sent to. Whoever may be heard first may take its place until it is heard with them.
    pub(super) fn described(&mut self, same_kind: bool, now: Timestamp) {
        if !same_kind {
            self.candidate = None;
        }
        match &mut self.pinned {
            Some(pin) if !same_kind => pin.last = None,
            Some(_) => return,
            None => {}
        }
        self.window_until = now + WINDOW;
    }

    /// From now on checks decide.
    pub(super) fn follow(&mut self, checked: Checked) {
        self.checked = Some(Box::new(checked));
    }

    /// What checks say, if they decide.
    pub(super) fn checked(&self) -> Option<&Checked> {
        self.checked.as_deref()
    }

    /// Whether these are the facts the guard was made from.
    pub(super) fn guards(&self, signalled: SocketAddr, policy: &SourcePolicy) -> bool {
        self.names(signalled) && self.policy == *policy
    }

    /// Whether a description with this address names the same place. A blank one says that nothing
    /// is to be sent (MED-066), not that the peer has moved.
    pub(super) fn names(&self, signalled: SocketAddr) -> bool {
        self.signalled == signalled || signalled.ip().is_unspecified()
    }

    /// The pinned source.
    pub(super) fn pinned(&self) -> Option<SocketAddr> {
        self.pinned.as_ref().map(|pin| pin.address)
    }

    /// The pinned source, if nobody else than that is listened to by what checks of ICE say.
    pub(super) fn only_source(&self) -> Option<SocketAddr> {
        let pin = self.pinned.as_ref().filter(|pin| pin.last.is_some());
        pin.map(|pin| pin.address)
            .filter(|_| self.checked.is_none())
    }

    /// The pinned source was heard.
    pub(super) fn heard(&mut self, last: Evidence, at: Timestamp) {
        if let Some(pin) = &mut self.pinned {
            (pin.heard_at, pin.last) = (at, Some(last));
        }
    }

    /// Where RTP goes: to what was signalled until somebody is pinned (MED-034).
    pub(super) fn destination(&self) -> SocketAddr {
        if let Some(checked) = &self.checked {
            return checked.target(self.pinned()).unwrap_or(NOWHERE);
        }
        match &self.pinned {
            Some(pin) if self.learns() => pin.address,
            Some(_) | None => self.signalled,
        }
    }

    /// The rank of an address that may send now; `None` for strangers. Changes nothing.
    pub(super) fn standing(&self, from: SocketAddr, now: Timestamp) -> Option<Rank> {
        if let Some(checked) = &self.checked {
            return checked.admits(from, now).then_some(Rank::Exact);
        }
        let rank = self.rank(from)?;
        match &self.pinned {
            None => (rank < Rank::Stranger || self.is_open(now)).then_some(rank),
            Some(pin) if pin.address == from => Some(Rank::Exact),
            Some(pin) => (self.may_improve(pin, rank, now)
                || self.may_rebind(pin, rank, now)
                || self.may_replace(pin, rank, now))
            .then_some(rank),
        }
    }

    /// Judges a packet that passed every other check, and authentication where there is a key.
    pub(super) fn learn(
        &mut self,
        from: SocketAddr,
        evidence: Evidence,
        now: Timestamp,
    ) -> Learned {
        if let Some(checked) = &self.checked {
            let is_shown = checked.is_proven(from) || checked.served(from, now);
            if !evidence.authentic && !is_shown {
                return Learned::NotYet;
            }
            // Where the peer is sent to is where it is, as soon as it is heard from there; until then the
            // first place counts. A peer that sends from two in turns is no news with every packet.
            let is_settled = self.pinned().is_some_and(|pin| checked.admits(pin, now));
            if is_settled && checked.target(None) != Some(from) {
                return Learned::Known;
            }
            return self.pin_checked(from, evidence, now);
        }
        let Some(rank) = self.rank(from) else {
            return Learned::NotYet;
        };
        if let Some(pin) = &mut self.pinned
            && pin.address == from
        {
            pin.heard_at = now;
            pin.last = Some(evidence);
            return Learned::Known;
        }
        if let Some(pin) = &self.pinned
            && !self.may_improve(pin, rank, now)
            && !self.may_replace(pin, rank, now)
            && !(self.may_rebind(pin, rank, now) && continues(pin.last.as_ref(), &evidence))
        {
            return Learned::NotYet;
        }
        if self.pinned.is_none() && !self.is_open(now) {
            if rank == Rank::Stranger {
                return Learned::NotYet;
            }
            self.window_until = now + WINDOW;
        }
        if !self.proven(from, rank, evidence) {
            return Learned::NotYet;
        }
        if self.pinned.is_some() && !self.is_open(now) {
            if now.since_us(self.rebinds_since) >= MINUTE_US {
                self.rebinds = 0;
                self.rebinds_since = now;
            }
            self.rebinds = self.rebinds.saturating_add(1);
        }
        self.candidate = None;
        self.pinned = Some(Pin {
            address: from,
            rank,
            heard_at: now,
            last: Some(evidence),
        });
        Learned::Pinned
    }

    /// Whether RTCP from `from` may be looked at: RTCP has its own check (MED-035).
    pub(super) fn admits_rtcp(
        &self,
        from: SocketAddr,
        signalled: SocketAddr,
        mux: bool,
        now: Timestamp,
    ) -> bool {
        if let Some(checked) = &self.checked {
            return match mux {
                true => checked.admits(from, now),
                false => from == signalled || checked.admits_rtcp(from),
            };
        }
        if mux {
            return match &self.pinned {
                Some(pin) => pin.address == from,
                None => self.signalled == from,
            };
        }
        if from == signalled {
            return true;
        }
        let pinned = self.pinned.as_ref().filter(|_| self.learns());
        pinned.is_some_and(|pin| pin.address.ip() == from.ip())
    }

    /// Takes an address that is no question any more.
    fn pin_checked(&mut self, from: SocketAddr, last: Evidence, now: Timestamp) -> Learned {
        let is_known = self.pinned() == Some(from);
        self.pinned = Some(Pin {
            address: from,
            rank: Rank::Exact,
            heard_at: now,
            last: Some(last),
        });
        match is_known {
            true => Learned::Known,
            false => Learned::Pinned,
        }
    }

    fn rank(&self, from: SocketAddr) -> Option<Rank> {
        if from == self.signalled {
            return Some(Rank::Exact);
        }
        let (nearby, stranger) = match &self.policy {
            SourcePolicy::Signalled => return None,
            SourcePolicy::Restricted(nearby) => (nearby, None),
            SourcePolicy::Open(nearby) => (nearby, Some(Rank::Stranger)),
        };
        if from.ip() == self.signalled.ip() {
            Some(Rank::SameHost)
        } else if nearby.ranges.contains(from.ip()) {
            Some(Rank::OwnRange)
        } else if nearby.signalling == Some(from.ip()) {
            Some(Rank::Signalling)
        } else {
            stranger
        }
    }

    fn learns(&self) -> bool {
        !matches!(self.policy, SourcePolicy::Signalled)
    }

    fn is_open(&self, now: Timestamp) -> bool {
        now < self.window_until
    }

    fn may_improve(&self, pin: &Pin, rank: Rank, now: Timestamp) -> bool {
        rank < pin.rank && self.is_open(now)
    }

    fn may_rebind(&self, pin: &Pin, rank: Rank, now: Timestamp) -> bool {
        let allowed = self.rebinds < MAX_REBINDS || now.since_us(self.rebinds_since) >= MINUTE_US;
        allowed && rank <= Rank::SameHost && now.since_us(pin.heard_at) >= REBIND_SILENCE_US
    }

    /// Whether somebody may be pinned as if nobody were: who is has only sent another kind of packets.
    fn may_replace(&self, pin: &Pin, rank: Rank, now: Timestamp) -> bool {
        pin.last.is_none() && (rank < Rank::Stranger || self.is_open(now))
    }

    /// Collects evidence for one candidate at a time.
    fn proven(&mut self, from: SocketAddr, rank: Rank, evidence: Evidence) -> bool {
        if rank == Rank::Exact || evidence.authentic {
            return true;
        }
        let own = self.candidate.as_ref();
        let own = own.filter(|own| own.address == from && own.ssrc == evidence.ssrc);
        let ahead = own.map(|own| evidence.sequence.wrapping_sub(own.next_sequence));
        let proofs = match (own, ahead) {
            (Some(candidate), Some(0)) => candidate.proofs.saturating_add(1),
            // Once more the same: fax machines repeat what they say. That shows nothing, for it or against it.
            (Some(_), Some(u16::MAX)) => return false,
            (Some(_) | None, _) => 1,
        };
        self.candidate = Some(Candidate {
            address: from,
            ssrc: evidence.ssrc,
            next_sequence: evidence.sequence.wrapping_add(1),
            proofs,
        });
        proofs >= PROOFS
    }
}

/// Where nothing can be sent to.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// Whether `next` can be the same stream going on from another address.
fn continues(last: Option<&Evidence>, next: &Evidence) -> bool {
    let Some(last) = last else {
        return false;
    };
    let gap = next.sequence.wrapping_sub(last.sequence);
    let forward = (next.timestamp.wrapping_sub(last.timestamp) as i32) >= 0;
    last.ssrc == next.ssrc && (1..=REBIND_GAP).contains(&gap) && forward
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{AddressRanges, Nearby};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn plain(sequence: u16) -> Evidence {
        Evidence {
            ssrc: 1,
            sequence,
            timestamp: u32::from(sequence) * 160,
            authentic: false,
        }
    }

    fn restricted() -> SourceGuard {
        SourceGuard::new(
            address("192.0.2.1:4000"),
            SourcePolicy::Restricted(nearby()),
            T0,
        )
    }

    fn open() -> SourceGuard {
        SourceGuard::new(address("192.0.2.1:4000"), SourcePolicy::Open(nearby()), T0)
    }

    /// When the peer described itself.
    const T0: Timestamp = Timestamp(0);

    fn nearby() -> Nearby {
        let range = ([203, 0, 113, 0].into(), [203, 0, 113, 15].into());
        Nearby {
            ranges: AddressRanges::of([range]),
            signalling: Some([198, 51, 100, 9].into()),
        }
    }

    /// Whether three packets in a row are enough for an address at this time.
    fn is_learnt(guard: &mut SourceGuard, from: &str, now: Timestamp) -> bool {
        let from = address(from);
        (1..=3).all(|sequence| {
            let wanted = match sequence {
                3 => Learned::Pinned,
                _ => Learned::NotYet,
            };
            guard.standing(from, now).is_some() && guard.learn(from, plain(sequence), now) == wanted
        })
    }

    #[test]
    fn the_signalled_address_is_pinned_at_once() {
        let mut guard = restricted();
        let from = address("192.0.2.1:4000");
        assert_eq!(guard.learn(from, plain(1), Timestamp(0)), Learned::Pinned);
        assert_eq!(guard.learn(from, plain(2), Timestamp(0)), Learned::Known);
    }

    #[test]
    fn another_port_needs_three_packets_in_a_row() {
        let mut guard = restricted();
        let from = address("192.0.2.1:9999");
        assert_eq!(guard.learn(from, plain(1), Timestamp(0)), Learned::NotYet);
        assert_eq!(guard.learn(from, plain(3), Timestamp(0)), Learned::NotYet);
        assert_eq!(guard.learn(from, plain(4), Timestamp(0)), Learned::NotYet);
        assert_eq!(guard.destination(), address("192.0.2.1:4000"));
        assert_eq!(guard.learn(from, plain(5), Timestamp(0)), Learned::Pinned);
        assert_eq!(guard.destination(), from);
    }

    #[test]
    fn a_packet_that_comes_again_shows_nothing() {
        let mut guard = restricted();
        let from = address("192.0.2.1:9999");
        for sequence in [0, 0, 0, 1, 1] {
            let learned = guard.learn(from, plain(sequence), T0);
            assert_eq!(learned, Learned::NotYet, "{sequence}");
        }
        assert_eq!(guard.learn(from, plain(2), T0), Learned::Pinned);
    }

    #[test]
    fn strangers_have_no_standing_in_either_mode() {
        let stranger = address("203.0.113.66:4000");
        assert_eq!(restricted().standing(stranger, Timestamp(0)), None);
        let strict = SourceGuard::new(address("192.0.2.1:4000"), SourcePolicy::Signalled, T0);
        assert_eq!(
            strict.standing(address("192.0.2.1:4002"), Timestamp(0)),
            None
        );
    }

    #[test]
    fn a_better_candidate_replaces_a_worse_one_within_the_window_only() {
        for (later_us, wanted) in [(1_000_000, true), (3_500_000, false)] {
            let mut guard = restricted();
            let nat = address("198.51.100.9:7000");
            for sequence in 1..=3 {
                guard.learn(nat, plain(sequence), Timestamp(0));
            }
            assert_eq!(guard.pinned(), Some(nat));
            // The pinned source keeps talking, so silence is not what decides.
            guard.learn(nat, plain(4), Timestamp(later_us));
            let exact = address("192.0.2.1:4000");
            let standing = guard.standing(exact, Timestamp(later_us));
            assert_eq!(standing.is_some(), wanted);
        }
    }

    #[test]
    fn an_address_of_the_peers_own_is_better_than_that_of_its_signalling() {
        let (own, signalling) = ("203.0.113.7:7000", "198.51.100.9:7000");
        for (first, second, moves) in [(own, signalling, false), (signalling, own, true)] {
            let mut guard = restricted();
            assert!(is_learnt(&mut guard, first, T0), "{first}");
            assert_eq!(
                is_learnt(&mut guard, second, Timestamp(1)),
                moves,
                "{second}"
            );
        }
        assert!(!is_learnt(&mut restricted(), "203.0.113.16:7000", T0));
    }

    #[test]
    fn who_has_a_rank_may_be_heard_late_and_opens_the_window_then() {
        let late = Timestamp(60_000_000);
        let mut guard = restricted();
        assert!(is_learnt(&mut guard, "198.51.100.9:7000", late));
        let soon = Timestamp(62_000_000);
        guard.learn(address("198.51.100.9:7000"), plain(4), soon);
        let exact = address("192.0.2.1:4000");
        assert_eq!(guard.learn(exact, plain(1), soon), Learned::Pinned);
    }

    #[test]
    fn a_stranger_is_learnt_only_in_the_window_and_by_nobodys_leave_but_an_open_trunks() {
        let stranger = "203.0.113.66:4000";
        let (within, after) = (Timestamp(2_900_000), Timestamp(3_000_000));
        assert!(is_learnt(&mut open(), stranger, within));
        assert!(!is_learnt(&mut restricted(), stranger, within));
        let mut guard = open();
        assert!(!is_learnt(&mut guard, stranger, after));
        // The same description once more, such as that of the answer after ringing.
        guard.described(true, after);
        assert!(is_learnt(&mut guard, stranger, Timestamp(5_900_000)));
        // One stranger is as good as another, and whoever has a rank is better.
        assert!(!is_learnt(
            &mut guard,
            "203.0.113.67:4000",
            Timestamp(5_950_000)
        ));
        assert!(is_learnt(
            &mut guard,
            "203.0.113.7:4000",
            Timestamp(5_990_000)
        ));
    }

    #[test]
    fn a_rebind_needs_silence_and_the_same_stream() {
        let mut guard = restricted();
        guard.learn(address("192.0.2.1:4000"), plain(1), Timestamp(0));
        let moved = address("192.0.2.1:5555");
        assert_eq!(guard.standing(moved, Timestamp(1_900_000)), None);
        let late = Timestamp(4_000_000);
        assert!(guard.standing(moved, late).is_some());
        let other = Evidence {
            ssrc: 99,
            ..plain(2)
        };
        for _ in 0..5 {
            assert_eq!(guard.learn(moved, other, late), Learned::NotYet);
        }
        assert_eq!(guard.learn(moved, plain(150), late), Learned::NotYet);
        assert_eq!(guard.learn(moved, plain(151), late), Learned::NotYet);
        assert_eq!(guard.learn(moved, plain(152), late), Learned::Pinned);
    }

    #[test]
    fn rebinds_are_limited_to_three_a_minute() {
        let mut guard = restricted();
        guard.learn(address("192.0.2.1:4000"), plain(1), Timestamp(MINUTE_US));
        let mut now = MINUTE_US;
        let mut sequence = 1;
        for attempt in 0..4u16 {
            now += 4_000_000;
            let from = SocketAddr::new([192, 0, 2, 1].into(), 5000 + attempt);
            let admitted = guard.standing(from, Timestamp(now)).is_some();
            assert_eq!(admitted, attempt < 3, "attempt {attempt}");
            for _ in 0..3 {
                sequence += 1;
                guard.learn(from, plain(sequence), Timestamp(now));
            }
        }
    }

    #[test]
    fn rtcp_is_taken_from_the_pinned_host_only() {
        let mut guard = restricted();
        let rtcp = address("192.0.2.1:4001");
        assert!(guard.admits_rtcp(rtcp, rtcp, false, Timestamp(0)));
        assert!(!guard.admits_rtcp(address("203.0.113.66:4001"), rtcp, false, Timestamp(0)));
        assert!(!guard.admits_rtcp(address("192.0.2.1:6000"), rtcp, false, Timestamp(0)));
        guard.learn(address("192.0.2.1:4000"), plain(1), Timestamp(0));
        assert!(guard.admits_rtcp(address("192.0.2.1:6000"), rtcp, false, Timestamp(0)));
        assert!(guard.admits_rtcp(address("192.0.2.1:4000"), rtcp, true, Timestamp(0)));
        assert!(!guard.admits_rtcp(rtcp, rtcp, true, Timestamp(0)));
    }
}
