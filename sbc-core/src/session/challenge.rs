//! Challenges to requests of ours: sent again with credentials, a bounded number of times.
//!
//! The request is a new one with the next sequence number to the same address. When that is of no
//! use, the refusal is what it would have been anyway, with the reason in words.

use super::link::Wanted;
use super::timer::SessionTimer;
use super::uac::{Outgoing, Try};
use super::{LegStyle, Link, Phase, Session, link_where};
use crate::auth::{Credentials, Tries, Unanswered, is_proof};
use crate::config::Trunk;
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::policy::ingress::accepts_source;
use crate::sip::{HeaderName, Message, Method, RequestBuilder};
use crate::transport::Hop;
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// Most requests of one dialog that are remembered, answered or not.
const MOST: usize = 8;

/// Longest session interval in seconds that is remembered for the calls to come, where the trunk itself wants no longer one:
/// behind it are many, and what one of them wants must not leave the sessions of all others without a timer.
const LONGEST_S: u32 = 7_200;

/// For how long it is.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// What a dialog has shown of our account; most dialogs never show anything.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Option<Box<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    /// What our INVITEs carried, for their ACKs (RFC 3261 §22.1); the one that made the dialog
    /// first.
    invites: Vec<(TransactionId, Credentials)>,
    /// Requests that could be challenged.
    sent: Vec<Sent>,
}

/// A request that is sent again if it is challenged.
#[derive(Debug)]
struct Sent {
    id: TransactionId,
    proof: Proof,
    wanted: Wanted,
}

/// Where a request went and what it carried; nothing for a trunk without account.
#[derive(Debug)]
pub(crate) struct Proof {
    remote: SocketAddr,
    tries: Tries,
    shown: Credentials,
}

impl Proof {
    /// The same request in another form, with the same credentials.
    pub(super) fn rewritten(&self, request: RequestBuilder) -> RequestBuilder {
        self.shown.write(request)
    }
}

impl Proofs {
    /// Takes note of what an INVITE carried.
    pub(crate) fn remember(&mut self, invite: TransactionId, shown: Credentials) {
        if shown.is_empty() {
            return;
        }
        let invites = &mut self.0.get_or_insert_default().invites;
        if invites.len() == MOST {
            invites.remove(1);
        }
        invites.push((invite, shown));
    }

    /// What an INVITE carried.
    pub(crate) fn shown(&self, invite: TransactionId) -> Credentials {
        let mut invites = self.0.iter().flat_map(|own| &own.invites);
        let shown = invites.find(|(id, _)| *id == invite);
        shown.map(|(_, shown)| shown.clone()).unwrap_or_default()
    }

    /// The ACK repeats the credentials of its INVITE.
    pub(crate) fn sign_ack(
        &self,
        invite: TransactionId,
        request: RequestBuilder,
    ) -> RequestBuilder {
        self.shown(invite).write(request)
    }

    /// Gives a request the credentials that are wanted where it goes to; `tries` is what it has been
    /// through.
    pub(crate) fn sign(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        hop: &Hop,
        method: &Method,
        request: RequestBuilder,
        mut tries: Tries,
    ) -> (RequestBuilder, Option<Proof>) {
        if style.trunk.digest.is_none() {
            return (request, None);
        }
        let remote = hop.remote;
        let (request, shown) = cx.sign(&style.trunk, remote, method, request, &mut tries);
        let proof = Proof {
            remote,
            tries,
            shown,
        };
        (request, Some(proof))
    }

    /// Remembers a request, should it be challenged.
    pub(crate) fn sent(&mut self, id: TransactionId, proof: Option<Proof>, wanted: Wanted) {
        let invite = match &wanted {
            Wanted::Request(errand) if errand.method == Method::Invite => Some(errand),
            Wanted::Request(_) | Wanted::Ack { .. } | Wanted::Bye(_) => None,
        };
        let Some(proof) = proof else {
            // What another party shows goes with the ACK as well.
            if let Some(invite) = invite {
                self.remember(id, Credentials::among(&invite.headers));
            }
            return;
        };
        if invite.is_some() {
            self.remember(id, proof.shown.clone());
        }
        let all = &mut self.0.get_or_insert_default().sent;
        if all.len() == MOST {
            all.remove(0);
        }
        all.push(Sent { id, proof, wanted });
    }

    fn take(&mut self, id: TransactionId) -> Option<Sent> {
        let all = &mut self.0.as_mut()?.sent;
        let at = all.iter().position(|sent| sent.id == id)?;
        Some(all.swap_remove(at))
    }
}

impl Link {
    /// Whether an address is the trunk's peer, and not just what a Contact named.
    pub(super) fn is_peer(&self, cx: &Cx<'_>, style: &LegStyle, remote: SocketAddr) -> bool {
        let (trunk, source) = (&style.trunk, remote.ip());
        remote == self.heard_at()
            || accepts_source(trunk, source)
            || cx.plane.standings.has_source(&trunk.name, source)
    }

    /// Takes what another party shows out of a request that does not go to the trunk's peer.
    pub(super) fn keeps_proofs(
        &self,
        cx: &Cx<'_>,
        style: &LegStyle,
        remote: SocketAddr,
        lines: &mut Vec<(HeaderName, Bytes)>,
    ) {
        let is_proof = |(name, _): &(HeaderName, Bytes)| is_proof(name);
        if lines.iter().any(is_proof) && !self.is_peer(cx, style, remote) {
            lines.retain(|line| !is_proof(line));
        }
    }

    /// Sends a request again with credentials. `false` if its refusal stands.
    fn answer_challenge(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        id: TransactionId,
        response: &Message,
    ) -> bool {
        let Some(Sent { proof, wanted, .. }) = self.proofs.take(id) else {
            return false;
        };
        // A Contact can name any host; what asks from there for our password is not our peer
        // (SIP-1610).
        let remote = proof.remote;
        let is_peer = self.is_peer(cx, style, remote);
        let answer = match is_peer {
            true => cx.challenged(&style.trunk, remote, response, &proof.tries),
            false => cx.unanswered(&style.trunk, remote, Unanswered::ForeignPeer),
        };
        if answer.is_err() {
            return false;
        }
        match wanted {
            Wanted::Bye(_) => self.bye = None,
            Wanted::Request(_) | Wanted::Ack { .. } => {
                self.close(id);
            }
        }
        self.send_again(cx, style, wanted, proof.tries);
        true
    }
}

impl Session {
    /// A final response to a request of ours within a dialog; says whether it was a challenge, and
    /// the request is on its way again.
    pub(super) fn request_challenged(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        response: &Message,
    ) -> bool {
        let Some(status) = response.status().filter(|status| status.is_final()) else {
            return false;
        };
        // Once the session ends, only its BYE is worth another try.
        let is_ending = !matches!(self.phase, Phase::Confirmed(_) | Phase::Outgoing(_));
        let is_of = |link: &Link| link.bye == Some(id) || link.open(id).is_some();
        let is_ending = is_ending || self.strays.iter().any(is_of);
        let Some(link) = link_where(&mut self.phase, &mut self.strays, is_of) else {
            return false;
        };
        let is_wanted = !is_ending || link.bye == Some(id);
        if status.is_challenge() && is_wanted {
            return link.answer_challenge(cx, &self.style, id, response);
        }
        if let Some(sent) = link.proofs.take(id)
            && status.is_success()
        {
            cx.authenticated(&self.style.trunk, sent.proof.remote, response);
        }
        false
    }
}

impl Outgoing {
    /// Prepares the same target to be tried again with credentials.
    pub(super) fn answer_challenge(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        challenged: &Try,
        response: &Message,
    ) -> Result<(), Unanswered> {
        let remote = challenged.remote();
        cx.challenged(&style.trunk, remote, response, &self.tries)?;
        self.again(challenged);
        Ok(())
    }
}

/// Takes a 422 to an INVITE: whether to ask again, with a longer interval (SIP-706). What a caller shows is shown again with it:
/// the interval of the leg is ours, and no proof says anything of it (RFC 7616 §3.4.3). A peer that takes a proof only once
/// asks the caller anew, and then finds the interval that it wants.
pub(super) fn lengthens(
    cx: &mut Cx<'_>,
    trunk: &Trunk,
    timer: &mut SessionTimer,
    response: &Message,
) -> bool {
    let is_longer = timer.lengthens(response);
    let ours = trunk.session_timer.map_or(0, |own| own.expires_s);
    let (least_s, now) = (timer.least_s(), cx.now.mono);
    if is_longer && !trunk.habits.relay_auth.is_empty() && least_s <= ours.max(LONGEST_S) {
        let known = cx.plane.intervals.entry(trunk.name.clone());
        let (known_s, until) = known.or_insert((0, now));
        *known_s = match *until > now {
            true => least_s.max(*known_s),
            false => least_s,
        };
        *until = now + REMEMBERED;
    }
    is_longer
}
