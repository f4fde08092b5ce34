//! Where media goes and may come from when checks decide (RFC 8445 §12, TDR-ICE-006, MED-155 to MED-157).
//!
//! | state                  | we send to                          | may send to us                       |
//! |------------------------|-------------------------------------|--------------------------------------|
//! | no check yet           | who has sent media, else nobody     | the peer's candidates                |
//! | checked                | the best address checked, or nobody | the same, and every address checked  |
//! | nominated              | the nominated one, but see below    | every address checked, and for a     |
//! |                        |                                     | second who could before a restart    |
//! | restarted, nothing new | where we sent before                | as well as who could before          |
//!
//! A key of ours that came with a restart waits for the nomination too ([`super::super::sending`]).
//!
//! It replaces latching: an address counts because whoever is there knows the password that only
//! signalling has told. To send before a pair is nominated is more than RFC 8445 §12.1.1 allows a lite agent, and
//! happens where that is agreed ([`IceTerms::is_sent_early`]): a caller that nominates late hears nothing meanwhile.
//!
//! A check can be recorded and sent again from elsewhere. So an address that the peer has not announced
//! takes nothing away from a nominated one that its media come from: the key of those nobody else has.
//!
//! A later nomination takes the place of earlier ones, and pairs that are not checked any more are forgotten
//! beside one that is ([`super::agent`]).

use super::agent::{Nomination, Pair};
use crate::time::Timestamp;
use media_api::{IceComponent, IceTerms};
use std::net::SocketAddr;
use std::time::Duration;

/// How long media and checks are on their way from the pair of before a restart, once another one is nominated: it may
/// have led through a relay far away, and its peer goes over when it has our answer to its check.
pub(super) const LATE: Duration = Duration::from_secs(1);

/// What checks say about the addresses of one face.
#[derive(Debug, Default)]
pub(in crate::session) struct Checked {
    /// Addresses of RTP that have been checked.
    checked: Vec<SocketAddr>,
    /// Where the peer says it may send from, and its default address.
    announced: Vec<SocketAddr>,
    best: Option<SocketAddr>,
    /// The best one of those nominated.
    nominated: Option<SocketAddr>,
    /// All that ever were.
    all_nominated: Vec<SocketAddr>,
    /// Where we sent before a restart.
    before: Option<SocketAddr>,
    /// From where media may still be on their way, and until when.
    left: Option<(SocketAddr, Timestamp)>,
    /// Whether something is sent before a pair is nominated.
    is_sent_early: bool,
    /// The address of RTCP on a port of its own.
    rtcp: Option<SocketAddr>,
    rtcp_checked: Vec<SocketAddr>,
}

impl Checked {
    /// What is known of a peer with these terms, whose default address is `signalled`. `before` is where
    /// we have sent to until now, if this is a restart.
    pub(in crate::session) fn new(
        terms: &IceTerms,
        signalled: SocketAddr,
        pairs: &[Pair],
        before: Option<SocketAddr>,
        now: Timestamp,
    ) -> Self {
        let of = |component| move |pair: &&Pair| pair.component == component;
        let candidates = terms.candidates.iter();
        let rtp = candidates.filter(|one| one.component == IceComponent::Rtp);
        let addresses = |component| {
            let pairs = pairs.iter().filter(of(component));
            pairs.map(|pair| pair.address).collect::<Vec<_>>()
        };
        let nominated = choose(terms, pairs, IceComponent::Rtp, true);
        let all_nominated = pairs
            .iter()
            .filter(of(IceComponent::Rtp))
            .filter(|pair| pair.nomination != Nomination::None)
            .map(|pair| pair.address)
            .collect();
        Self {
            checked: addresses(IceComponent::Rtp),
            announced: rtp.map(|one| one.address).chain([signalled]).collect(),
            best: choose(terms, pairs, IceComponent::Rtp, false),
            nominated,
            all_nominated,
            before: before.filter(|_| nominated.is_none()),
            left: before
                .filter(|_| nominated.is_some())
                .map(|at| (at, now + LATE)),
            is_sent_early: terms.is_sent_early,
            rtcp: choose(terms, pairs, IceComponent::Rtcp, true).or_else(|| {
                let best = || choose(terms, pairs, IceComponent::Rtcp, false);
                terms.is_sent_early.then(best).flatten()
            }),
            rtcp_checked: addresses(IceComponent::Rtcp),
        }
    }

    /// The same with what an earlier look at the same checks has left on its way.
    pub(in crate::session) fn after(self, earlier: Option<&Self>) -> Self {
        let left = self.left.or(earlier.and_then(|earlier| earlier.left));
        Self { left, ..self }
    }

    /// Where we sent before a restart that nothing has come of yet.
    pub(in crate::session) fn before(&self) -> Option<SocketAddr> {
        self.before
    }

    /// Whether we go on towards where we sent before.
    pub(in crate::session) fn holds_before(&self) -> bool {
        self.before.is_some()
    }

    /// Whether the peer says that it may send from there.
    pub(in crate::session) fn announces(&self, at: SocketAddr) -> bool {
        self.announced.contains(&at)
    }

    /// Whether nobody has checked.
    pub(in crate::session) fn is_blank(&self) -> bool {
        self.checked.is_empty()
    }

    pub(in crate::session) fn is_nominated(&self) -> bool {
        self.nominated.is_some()
    }

    /// Where RTP goes. `heard` is where authentic media has come from.
    pub(in crate::session) fn target(&self, heard: Option<SocketAddr>) -> Option<SocketAddr> {
        let early = self.best.filter(|_| self.is_sent_early);
        let Some(to) = self.nominated.or(self.before).or(early) else {
            return heard.filter(|_| self.is_sent_early);
        };
        let is_announced = self.announced.contains(&to);
        let stays = heard.filter(|from| !is_announced && self.all_nominated.contains(from));
        Some(stays.unwrap_or(to))
    }

    /// Where RTCP goes that has a port of its own.
    pub(in crate::session) fn rtcp(&self) -> Option<SocketAddr> {
        self.rtcp
    }

    /// Whether RTP from an address may be looked at.
    pub(in crate::session) fn admits(&self, from: SocketAddr, now: Timestamp) -> bool {
        self.is_proven(from)
            || self.served(from, now)
            || (self.nominated.is_none() && self.announced.contains(&from))
    }

    /// Whether an address is that of the pair of before a restart, which serves or has served until a moment ago.
    pub(in crate::session) fn served(&self, from: SocketAddr, now: Timestamp) -> bool {
        let left = self.left.filter(|(_, until)| now < *until);
        self.before == Some(from) || left.is_some_and(|(at, _)| at == from)
    }

    /// Whether somebody there has shown to know our password.
    pub(in crate::session) fn is_proven(&self, from: SocketAddr) -> bool {
        self.checked.contains(&from)
    }

    /// Whether RTCP from an address may be looked at that has a port of its own.
    pub(in crate::session) fn admits_rtcp(&self, from: SocketAddr) -> bool {
        self.rtcp_checked.contains(&from)
    }
}

/// The best pair, the latest of equals: as good as the peer's candidate there says, else as its check does.
fn choose(
    terms: &IceTerms,
    pairs: &[Pair],
    component: IceComponent,
    only_nominated: bool,
) -> Option<SocketAddr> {
    let worth = |pair: &&Pair| {
        let mut candidates = terms.candidates.iter();
        let known =
            candidates.find(|own| own.component == component && own.address == pair.address);
        known.map_or(pair.priority, |own| own.priority)
    };
    let pairs = pairs.iter().filter(|pair| pair.component == component);
    pairs
        .filter(|pair| pair.is_nominated() || !only_nominated)
        .max_by_key(worth)
        .map(|pair| pair.address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{IceCandidate, IceCredentials};

    #[test]
    fn a_check_that_somebody_sends_again_takes_no_media_away() {
        let at = |host: u8| SocketAddr::from(([198, 51, 100, host], 50_000));
        let (relay, client, replayer) = (at(1), at(2), at(66));
        let credentials = IceCredentials::new("ours".to_owned(), "a".repeat(22));
        let terms = IceTerms {
            local: credentials.expect("long enough"),
            remote_fragment: "theirs".to_owned(),
            candidates: vec![IceCandidate {
                component: IceComponent::Rtp,
                address: relay,
                priority: 10,
            }],
            is_sent_early: true,
        };
        let pair = |address| Pair {
            component: IceComponent::Rtp,
            address,
            priority: 1_000,
            checked_at: Timestamp(0),
            nomination: Nomination::Made(Timestamp(0)),
        };
        let checked = |pairs: &[Pair]| Checked::new(&terms, relay, pairs, None, Timestamp(0));
        let replayed = checked(&[pair(relay), pair(replayer)]);
        assert_eq!(replayed.target(Some(relay)), Some(relay));
        // Nothing has been heard yet, or it comes from there: the peer is where its best check was.
        assert_eq!(replayed.target(None), Some(replayer));
        assert_eq!(replayed.target(Some(replayer)), Some(replayer));
        let unannounced = checked(&[pair(client), pair(replayer)]);
        assert_eq!(unannounced.target(Some(client)), Some(client));
        // What has only been checked, or not at all, holds nothing.
        assert_eq!(replayed.target(Some(at(9))), Some(replayer));
        // An announced address is the peer's word.
        let better = Pair {
            priority: 5,
            ..pair(client)
        };
        assert_eq!(
            checked(&[pair(relay), better]).target(Some(client)),
            Some(relay)
        );
    }
}
