//! Where the peer of a dialog is heard, which is where it is reached if a NAT stands before it (SIP-107, SIP-126).

use super::{Link, Way};
use crate::config::{Preset, Symmetric};
use crate::locate::MAX_ADDRESSES;
use crate::session::hop_back;
use crate::session::style::LegStyle;
use crate::transport::{Flow, Hop, Protocol, nat};
use std::collections::VecDeque;
use std::net::SocketAddr;

impl Link {
    /// The peer has sent a request in the dialog: where it comes from is where a peer behind a NAT is
    /// reached, which may change while a call lasts (SIP-107).
    pub(crate) fn heard_from(&mut self, style: &LegStyle, flow: &Flow) {
        if self.fallback.protocol != flow.protocol {
            return;
        }
        match flow.protocol {
            Protocol::Udp if self.is_symmetric(style) => {
                self.fallback.remote = flow.remote;
                self.fallback.listener = flow.listener.clone();
            }
            // It has connected anew, maybe: nobody listens where the connection before came from (SIP-127).
            Protocol::Tcp | Protocol::Tls if self.is_reached_where_heard(style) => {
                let own = hop_back(style, flow);
                let tls = self.fallback.tls.clone().or(own.tls);
                let before = std::mem::replace(&mut self.fallback, Hop { tls, ..own });
                if before.flow.is_none() {
                    self.home = Some(Box::new(before));
                }
            }
            Protocol::Udp | Protocol::Tcp | Protocol::Tls => return,
        }
        // What waits for an answer of DNS goes where that leads, and what goes there already goes on so.
        if let Way::Known(_, hop) = &self.way
            && *hop != self.fallback
        {
            self.way = Way::Unknown;
        }
    }

    /// Whether a NAT stands before the peer, which forgets it if nothing passes: it is reached by datagrams
    /// where it is heard, and that is not where it says it is (SIP-107).
    pub(crate) fn is_behind_nat(&self, style: &LegStyle) -> bool {
        let said = || self.dialog.next_hop().literal(Protocol::Udp);
        self.fallback.protocol == Protocol::Udp
            && self.is_symmetric(style)
            && said() != Some(self.fallback.remote)
    }

    /// Whether the peer is reached where it is heard, whatever it says of itself.
    pub(super) fn is_symmetric(&self, style: &LegStyle) -> bool {
        match style.trunk.habits.symmetric_signalling {
            Symmetric::Always => true,
            Symmetric::Never => false,
            Symmetric::Auto => {
                let heard = self.fallback.remote.ip();
                let said = self.dialog.next_address();
                said.is_some_and(|said| nat::hides(said, heard))
            }
        }
    }

    /// As [`Self::is_symmetric`], or because what it says leads nowhere.
    pub(super) fn is_reached_where_heard(&self, style: &LegStyle) -> bool {
        self.is_symmetric(style) || self.names_no_proxy(style)
    }

    /// Whether the dialog has no route although its peer is Teams: its Contact names a port where no SIP is
    /// spoken (TDR-SIP-040).
    fn names_no_proxy(&self, style: &LegStyle) -> bool {
        style.trunk.preset == Preset::Teams && self.dialog.route_set.is_empty()
    }

    /// Other ways to a peer that is reached where it is heard, for when its connection is gone: where we have
    /// dialled it, else where the trunk says that it listens at the address where it is heard. The port that its
    /// connection came from is no place to dial.
    #[allow(clippy::box_collection, reason = "as it is kept")]
    pub(super) fn ways_but_heard(&self, style: &LegStyle) -> Option<Box<VecDeque<Hop>>> {
        if self.fallback.protocol == Protocol::Udp {
            return None;
        }
        if let Some(home) = &self.home {
            return Some(Box::new(VecDeque::from([Hop::clone(home)])));
        }
        let mut listening = self.listening(style);
        // Another host of the trunk answers that it has no such dialog, which would end the call (SIP-545).
        listening.retain(|hop| hop.remote.ip() == self.fallback.remote.ip());
        listening.truncate(MAX_ADDRESSES);
        (!listening.is_empty()).then(|| Box::new(listening.into()))
    }

    /// Where the trunk says that the peer listens, without asking DNS; the address where it is heard comes first.
    /// Nothing where it is heard there.
    fn listening(&self, style: &LegStyle) -> Vec<Hop> {
        let protocol = self.fallback.protocol;
        let targets = style.trunk.targets.iter();
        let targets = targets.filter(|target| target.protocol == protocol);
        let heard = self.fallback.remote;
        let is_dialled = self.fallback.flow.is_none();
        if is_dialled && targets.clone().any(|target| target.port == heard.port()) {
            return Vec::new();
        }
        let mut hops: Vec<Hop> = Vec::new();
        for target in targets {
            for remote in style.fixed_addresses(target) {
                let is_new = remote != heard && hops.iter().all(|own| own.remote != remote);
                if is_new && style.has_family(&remote) {
                    hops.extend(style.hop(protocol, remote, &target.host));
                }
            }
        }
        hops.sort_by_key(|hop| hop.remote.ip() != heard.ip());
        hops
    }

    /// Where the peer can be reached once its connections are gone.
    pub(in crate::session) fn lasting(&self, style: &LegStyle) -> Hop {
        let fallback = Hop {
            flow: None,
            ..self.fallback.clone()
        };
        let is_stream = fallback.protocol != Protocol::Udp;
        if !is_stream || !self.is_reached_where_heard(style) {
            return fallback;
        }
        if let Some(home) = &self.home {
            return Hop::clone(home);
        }
        let listening = self.listening(style).into_iter();
        let is_there = |hop: &Hop| hop.remote.ip() == fallback.remote.ip();
        match listening.take(1).find(is_there) {
            Some(hop) => hop,
            None => fallback,
        }
    }

    /// Where it was dialled before it came by a connection of its own.
    pub(in crate::session) fn home(&self) -> Option<&Hop> {
        self.home.as_deref()
    }

    /// As [`Self::home`], of a dialog that is taken over.
    pub(in crate::session) fn at_home(self, home: Option<Hop>) -> Self {
        let home = home.map(Box::new);
        Self { home, ..self }
    }

    /// The peer is where it was last heard, whatever its name leads to.
    pub(crate) fn stays_where_heard(&mut self) {
        self.others = None;
        self.way = Way::Known(self.dialog.next_hop(), self.fallback.clone());
    }

    /// Where the peer was last heard.
    pub(in crate::session) fn heard_at(&self) -> SocketAddr {
        self.fallback.remote
    }

    /// Our address on this dialog, and where the peer was last heard.
    pub(crate) fn local_party(&self) -> (Option<crate::sip::Address>, Hop) {
        (self.dialog.local.address(), self.fallback.clone())
    }
}
