//! Which address a leg tries next, and how an attempt at it begins.

use super::{Diet, Outgoing, Try, may_go_on};
use crate::auth::Tries;
use crate::config::{Preset, TargetAddress, UdpOversize};
use crate::event::{Happened, OversizeAction, TargetFault};
use crate::id::{QueryId, TransactionId};
use crate::locate::{MAX_ADDRESSES, in_order, rivals};
use crate::plane::{Asker, Cx};
use crate::query::{Outcome, Runner};
use crate::record::GivenUp;
use crate::session::{Phase, Rejection, Session, SessionEvent, Timer};
use crate::sip::Method;
use crate::transaction::Owner;
use crate::transport::{FlowFault, Protocol};
use crate::trunk::{Footing, Place};

use std::net::SocketAddr;
use std::sync::Arc;

impl Outgoing {
    /// A server has said 503. What Teams' name says at one address it says for its data centre: the next one is
    /// called at once, and other addresses of this one once every name has been called (TDR-DNS-003).
    pub(super) fn leaves_name(&mut self, preset: Preset) {
        if preset == Preset::Teams && !self.targets.is_empty() {
            self.later.append(&mut self.addresses);
        }
    }
}

impl Session {
    /// Moves to the next target; without one the leg is refused with the best of what happened.
    pub(in crate::session) fn next_target(
        &mut self,
        cx: &mut Cx<'_>,
        failed: Option<(TargetAddress, TargetFault)>,
        up: &mut Vec<SessionEvent>,
    ) {
        if let Some((target, why)) = failed {
            if let Phase::Outgoing(outgoing) = &mut self.phase {
                outgoing.admitted = None;
            }
            self.gave_up(cx, target, why);
        }
        loop {
            let Phase::Outgoing(outgoing) = &mut self.phase else {
                return;
            };
            if !outgoing.may_try_more() && !outgoing.is_again {
                return self.give_up(cx, up);
            }
            let is_emergency = outgoing.outset.is_emergency;
            // What was left for later has its turn.
            let is_late = !outgoing.outset.untried.is_empty();
            if let Some((target, remote)) = outgoing.addresses.pop_front() {
                if outgoing.has_had_its_turn(&self.style.trunk) {
                    outgoing.later.push_back((target, remote));
                    continue;
                }
                let trunk = &self.style.trunk;
                let place = Place::of(trunk, target.protocol, remote);
                // Somebody who calls for help is not kept from anybody, whatever was asked of us (TDR-EMG-006).
                let is_paused = || {
                    let quarantine = &cx.plane.quarantine;
                    quarantine.holds(cx.now.mono, &trunk.name, target.protocol, remote)
                };
                // Before a race, or before its peer asked for something, it was let pass.
                let is_admitted = outgoing.admitted == Some(remote);
                let footing = match is_admitted {
                    true => cx.plane.health.probed(cx.now.mono, &place),
                    false => cx.plane.health.admits(cx.now.mono, &place),
                };
                let footing = match footing {
                    Footing::Bad | Footing::Busy if is_late => Footing::Good,
                    Footing::Good
                        if is_emergency && !is_late && !outgoing.is_again && is_paused() =>
                    {
                        Footing::Bad
                    }
                    Footing::Busy if is_emergency => Footing::Bad,
                    footing => footing,
                };
                match footing {
                    Footing::Good => {
                        outgoing.admitted = Some(remote);
                        if self.races(cx, &target, remote) {
                            return;
                        }
                        if self.try_address(cx, target, remote) {
                            return;
                        }
                    }
                    Footing::Busy => {
                        outgoing.is_again = false;
                        self.pass_by(cx, target, remote, TargetFault::Quarantined);
                    }
                    Footing::Bad => {
                        outgoing.is_again = false;
                        outgoing.doubtful.push_back((target, remote));
                    }
                }
                continue;
            }
            outgoing.attempts_before = outgoing.attempts;
            let Some(target) = outgoing.targets.pop_front() else {
                if !outgoing.later.is_empty() && !outgoing.defers() {
                    outgoing.addresses.append(&mut outgoing.later);
                    continue;
                }
                if !outgoing.defers() && self.try_doubtful(cx) {
                    return;
                }
                return self.give_up(cx, up);
            };
            let fixed = self.style.fixed_addresses(&target);
            if fixed.is_empty() {
                let spec = self.style.locate(&target);
                let query = cx.locate(Asker::Leg(self.owner.0, self.owner.1), spec);
                outgoing.asking = Some((query, target));
                return;
            }
            let fixed = fixed.into_iter().map(|remote| (target.clone(), remote));
            outgoing.addresses.extend(fixed);
        }
    }

    /// Lets the addresses of a server in its two families race, where connections are made: a family that
    /// leads nowhere would cost the caller all the time that a connection may take (SIP-1701).
    fn races(&mut self, cx: &mut Cx<'_>, target: &TargetAddress, remote: SocketAddr) -> bool {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return false;
        };
        let rival = outgoing
            .rivals
            .iter()
            .position(|(first, _)| *first == remote);
        let Some((_, rival)) = rival.map(|at| outgoing.rivals.swap_remove(at)) else {
            return false;
        };
        let is_left = |(own, address): &(TargetAddress, SocketAddr)| {
            *address == rival && own.protocol == target.protocol
        };
        if !target.protocol.is_reliable() || !outgoing.addresses.iter().any(is_left) {
            return false;
        }
        let place = Place::of(&self.style.trunk, target.protocol, rival);
        if cx.plane.health.footing(cx.now.mono, &place) != Footing::Good {
            return false;
        }
        let hop = |remote| self.style.hop(target.protocol, remote, &target.host);
        let (Some(first), Some(second)) = (hop(remote), hop(rival)) else {
            return false;
        };
        outgoing.addresses.push_front((target.clone(), remote));
        let asker = Asker::Leg(self.owner.0, self.owner.1);
        outgoing.racing = Some((cx.race(asker, [first, second]), rival));
        true
    }

    /// Nothing is left but what is down. Where something was tried already, the call may find out
    /// what there is in this; otherwise one call a second is enough to find out (SIP-1711).
    fn try_doubtful(&mut self, cx: &mut Cx<'_>) -> bool {
        loop {
            let Phase::Outgoing(outgoing) = &mut self.phase else {
                return false;
            };
            let Some((target, remote)) = outgoing.doubtful.pop_front() else {
                return false;
            };
            let trunk = &self.style.trunk;
            let may_try = outgoing.attempts > 0 || outgoing.outset.is_emergency || {
                let health = &cx.plane.health;
                health.may_try(cx.now.mono, &trunk.name, trunk.all_down)
            };
            if !may_try {
                self.pass_by(cx, target, remote, TargetFault::Down);
            } else if self.try_address(cx, target, remote) {
                return true;
            }
        }
    }

    /// An address is not tried, for a reason that is known beforehand.
    fn pass_by(
        &mut self,
        cx: &mut Cx<'_>,
        target: TargetAddress,
        remote: SocketAddr,
        why: TargetFault,
    ) {
        if let Phase::Outgoing(outgoing) = &mut self.phase {
            outgoing.rank(Rejection::local(why.clone()));
        }
        self.facts.host.clone_from(&target.host);
        self.facts.protocol = target.protocol;
        self.facts.remote = Some(remote);
        self.facts.tls = None;
        self.gave_up(cx, target, why);
    }

    /// Tells that a target is not tried any more.
    fn gave_up(&mut self, cx: &mut Cx<'_>, target: TargetAddress, why: TargetFault) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        if let Some(left) = left_with(&why) {
            self.facts.ways.push(left);
            if self.style.trunk.history.is_kept() {
                // The next address is another way to the same target (RFC 7044 §10.4).
                let caller = Arc::make_mut(&mut outgoing.outset.caller);
                caller.trail.hunt(&[left]);
            }
        }
        if outgoing.left() > 0 {
            self.facts.given_up.push(GivenUp {
                host: target.host.clone(),
                why: why.clone(),
            });
        }
        let what = Happened::TargetFailed {
            trunk: self.style.trunk.name.clone(),
            host: target.host,
            why,
            left: outgoing.left(),
        };
        cx.out.emit(Some(self.owner.0), Some(self.owner.1), what);
    }

    /// Sends the INVITE to one address. Says whether that was possible.
    fn try_address(&mut self, cx: &mut Cx<'_>, target: TargetAddress, remote: SocketAddr) -> bool {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return false;
        };
        let is_again = std::mem::take(&mut outgoing.is_again);
        if !is_again {
            outgoing.tries = Tries::default();
        }
        let trunk = &self.style.trunk.name;
        let quarantine = &cx.plane.quarantine;
        if !outgoing.outset.is_emergency
            && quarantine.holds(cx.now.mono, trunk, target.protocol, remote)
        {
            self.pass_by(cx, target, remote, TargetFault::Quarantined);
            return false;
        }
        if !outgoing.still_stands(cx, trunk, &target) {
            let fault = TargetFault::Flow(FlowFault::Closed);
            self.pass_by(cx, target, remote, fault);
            return false;
        }
        let is_urgent = outgoing.outset.is_urgent;
        let relief = &cx.plane.relief;
        if !is_again
            && !is_urgent
            && relief.keeps_back(cx.now.mono, trunk, remote, &mut cx.plane.mint)
        {
            self.pass_by(cx, target, remote, TargetFault::Relieved);
            return false;
        }
        let binding = outgoing.binding_of(&target).cloned();
        let hop = match &binding {
            Some(binding) => Some(binding.hop(&self.style)),
            None => self.style.hop(target.protocol, remote, &target.host),
        };
        let Some(mut hop) = hop else {
            let fault = TargetFault::Flow(FlowFault::NoListener);
            outgoing.rank(Rejection::local(fault));
            return false;
        };
        // That of a binding that has been refreshed since.
        let remote = hop.remote;
        let branch = cx.plane.mint.branch();
        let branch = match outgoing.outset.reach.sign {
            Some(sign) => sign.written(&branch),
            None => branch,
        };
        let tag = &self.local_tag;
        let lines = self.style.with_supported(self.timer.request_lines());
        let request = outgoing.request(&mut self.style, &target, &hop, tag, &branch, &lines);
        let (request, mut from, notes) = match request {
            Ok(request) => request,
            Err(fault) => {
                outgoing.rank(Rejection::local(fault));
                return false;
            }
        };
        let (signed, shown) = match &outgoing.outset.credentials {
            Some(shown) if !shown.is_empty() => (shown.write(request), shown.clone()),
            Some(_) | None => cx.sign(
                &self.style.trunk,
                remote,
                &Method::Invite,
                request,
                &mut outgoing.tries,
            ),
        };
        let mut bytes = signed.build();
        let largest = self.style.trunk.habits.largest_datagram();
        if hop.protocol == Protocol::Udp && bytes.len() > largest {
            let octets = bytes.len();
            let action = match self.style.trunk.udp_oversize {
                UdpOversize::Fragment => OversizeAction::Fragment,
                UdpOversize::Slim => {
                    for diet in [Diet::Agent, Diet::History] {
                        outgoing.diet = diet;
                        let style = &mut self.style;
                        let slim = outgoing.request(style, &target, &hop, tag, &branch, &lines);
                        if let Ok((request, same, _)) = slim {
                            bytes = shown.write(request).build();
                            from = same;
                        }
                        if bytes.len() <= largest {
                            break;
                        }
                    }
                    outgoing.diet = Diet::None;
                    OversizeAction::Slim
                }
                // Where datagrams of a registration come from nobody need listen for connections.
                UdpOversize::Tcp if binding.is_some() => OversizeAction::Fragment,
                UdpOversize::Tcp if outgoing.no_stream == Some(remote) => OversizeAction::Fallback,
                UdpOversize::Tcp => {
                    let detour = self.style.hop(Protocol::Tcp, remote, &target.host);
                    let written = detour.and_then(|detour| {
                        let style = &mut self.style;
                        let request =
                            outgoing.request(style, &target, &detour, tag, &branch, &lines);
                        let (request, from, _) = request.ok()?;
                        Some((detour, shown.write(request).build(), from))
                    });
                    match written {
                        Some(written) => {
                            (hop, bytes, from) = written;
                            OversizeAction::Tcp
                        }
                        None => OversizeAction::Fragment,
                    }
                }
            };
            let what = Happened::Oversize {
                trunk: self.style.trunk.name.clone(),
                octets,
                largest,
                action,
            };
            cx.out.emit(Some(self.owner.0), Some(self.owner.1), what);
        }
        if cx.plane.explains {
            let what = Happened::Explained {
                because: notes.because,
            };
            cx.out.emit(Some(self.owner.0), Some(self.owner.1), what);
        }
        if notes.loses_signature && !is_again {
            let trunk = self.style.trunk.name.clone();
            let what = Happened::SignatureLost { trunk };
            cx.out.emit(Some(self.owner.0), Some(self.owner.1), what);
        }
        self.facts.host.clone_from(&target.host);
        self.facts.protocol = hop.protocol;
        self.facts.remote = Some(remote);
        self.facts.tls = None;
        if !is_again {
            self.facts.first_response_ms = None;
            self.facts.first_progress_ms = None;
            self.facts.user_agent = None;
            outgoing.started = cx.now.mono;
            let what = Happened::AttemptStarted {
                trunk: self.style.trunk.name.clone(),
                host: target.host.clone(),
                remote,
                protocol: hop.protocol,
            };
            cx.out.emit(Some(self.owner.0), Some(self.owner.1), what);
        }
        let owner = Owner::Leg(self.owner.0, self.owner.1);
        let id = cx.plane.request(
            cx.now.mono,
            &self.style.trunk,
            &Method::Invite,
            &branch,
            bytes,
            hop.clone(),
            owner,
            cx.out,
        );
        // Another address of the peer gets the same request in a transaction of its own (SIP-1703).
        let cseq = outgoing.cseq;
        outgoing.attempts += u32::from(!is_again);
        outgoing.current = Some(Try {
            id,
            target,
            hop,
            cseq,
            from,
            is_heard: false,
            has_progress: false,
            said: None,
            shown,
        });
        self.timers.set(
            Timer::Response as usize,
            cx.now.mono + self.style.trunk.timers.response_timeout,
        );
        true
    }

    /// The answer to a name query for a target.
    pub(in crate::session) fn target_resolved(
        &mut self,
        cx: &mut Cx<'_>,
        query: QueryId,
        outcome: &Outcome,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        if let Some((_, rival)) = outgoing.racing.take_if(|(id, _)| *id == query) {
            let at = outgoing.addresses.iter().position(|(_, own)| *own == rival);
            let won = at.filter(|_| *outcome == Outcome::Won(Runner::Second));
            if let Some(winner) = won.and_then(|at| outgoing.addresses.remove(at)) {
                outgoing.addresses.push_front(winner);
            }
            return self.next_target(cx, None, up);
        }
        let Some((_, target)) = outgoing.asking.take_if(|(id, _)| *id == query) else {
            return;
        };
        match outcome {
            // It was no race.
            Outcome::Won(_) | Outcome::Verified(_) => {}
            Outcome::Resolved(addresses) => {
                let found = addresses.iter().take(MAX_ADDRESSES);
                let found = found.map(|remote| (target.clone(), *remote));
                outgoing.addresses.extend(found);
                self.next_target(cx, None, up);
            }
            Outcome::Located(services) => {
                let prefer = self.style.trunk.prefer;
                outgoing.rivals = rivals(services, prefer);
                for (protocol, remote) in in_order(services, prefer, &mut cx.plane.mint) {
                    // The domain may have chosen another protocol than is usual; its name stays, for
                    // that is what the certificate must carry (SIP-131).
                    let target = TargetAddress {
                        protocol,
                        ..target.clone()
                    };
                    outgoing.addresses.push_back((target, remote));
                }
                self.next_target(cx, None, up);
            }
            Outcome::ResolveFailed(why) => {
                let fault = TargetFault::Resolve(*why);
                outgoing.rank(Rejection::local(fault.clone()));
                self.next_target(cx, Some((target, fault)), up);
            }
        }
    }

    /// The present target could not be reached or is silent: time-out and transport failure.
    pub(in crate::session) fn target_failed(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        fault: TargetFault,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let Some(current) = outgoing.current.take_if(|current| current.id == id) else {
            return;
        };
        self.timers.clear();
        outgoing.early.clear();
        if matches!(fault, TargetFault::Flow(_)) && current.is_unheard_detour() {
            // Nobody got it, so it is still the same request (SIP-110).
            outgoing.attempts -= 1;
            outgoing.without_detour(current);
            return self.next_target(cx, None, up);
        }
        outgoing.rank(Rejection::local(fault.clone()));
        let place = current.place(&self.style.trunk);
        cx.plane.health.failed(cx.now.mono, place);
        if !may_go_on(&self.style, outgoing.outset.is_emergency, &current) {
            self.facts.ways.extend(left_with(&fault));
            return self.give_up(cx, up);
        }
        self.next_target(cx, Some((current.target, fault)), up);
    }
}

/// The status that says how an address was left, if it was tried at all.
fn left_with(why: &TargetFault) -> Option<u16> {
    match why {
        TargetFault::Status(code) => Some(*code),
        TargetFault::Timeout => Some(408),
        TargetFault::Flow(_) => Some(503),
        TargetFault::Resolve(_)
        | TargetFault::Quarantined
        | TargetFault::Relieved
        | TargetFault::Unwritable
        | TargetFault::NumberForm
        | TargetFault::Down
        | TargetFault::NotRegistered
        | TargetFault::NoBinding => None,
    }
}
