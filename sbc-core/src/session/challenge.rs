//! Challenges to requests of ours: sent again with credentials, a bounded number of times.
//!
//! The request is a new one with the next sequence number to the same address. When that is of no
//! use, the refusal is what it would have been anyway, with the reason in words.

use super::link::Wanted;
use super::uac::{Outgoing, Try};
use super::{LegStyle, Link, Phase, Session};
use crate::auth::{Credentials, Tries, Unanswered};
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::policy::ingress::accepts_source;
use crate::sip::{Message, Method, RequestBuilder, Status};
use crate::transport::Hop;
use bytes::Bytes;
use std::net::SocketAddr;

/// What a dialog has shown of our account.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    /// What our INVITEs carried, for their ACKs (RFC 3261 §22.1).
    invites: Vec<(TransactionId, Credentials)>,
    /// What our BYE has been through, where it went, and its Reason.
    bye: Tries,
    bye_to: Option<SocketAddr>,
    bye_reason: Option<Bytes>,
}

impl Proofs {
    /// Takes note of what an INVITE carried.
    pub(crate) fn remember(&mut self, invite: TransactionId, shown: Credentials) {
        if !shown.is_empty() {
            self.invites.push((invite, shown));
        }
    }

    /// What an INVITE carried.
    pub(crate) fn shown(&self, invite: TransactionId) -> Credentials {
        let shown = self.invites.iter().find(|(id, _)| *id == invite);
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

    /// A BYE carries what its way wants to see, if that leads to the peer of the trunk.
    pub(crate) fn sign_bye(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        hop: &Hop,
        reason: Option<&Bytes>,
        request: RequestBuilder,
    ) -> RequestBuilder {
        self.bye_to = Some(hop.remote);
        self.bye_reason = reason.cloned();
        let (trunk, tries) = (&style.trunk, &mut self.bye);
        cx.sign(trunk, hop.remote, &Method::Bye, request, tries).0
    }
}

impl Link {
    /// Sends the BYE again with credentials. `false` if its refusal stands.
    fn answer_challenge(&mut self, cx: &mut Cx<'_>, style: &LegStyle, response: &Message) -> bool {
        let Some(remote) = self.proofs.bye_to else {
            return false;
        };
        // A Contact can name any host; what asks from there for our password is not our peer
        // (SIP-1610).
        let (_, heard) = self.local_party();
        let is_peer = remote == heard.remote || accepts_source(&style.trunk, remote.ip());
        let answer = match is_peer {
            true => cx.challenged(&style.trunk, remote, response, &self.proofs.bye),
            false => cx.unanswered(&style.trunk, remote, Unanswered::ForeignPeer),
        };
        if answer.is_err() {
            return false;
        }
        let reason = self.proofs.bye_reason.clone();
        self.bye = None;
        self.send(cx, style, Wanted::Bye { reason });
        true
    }
}

impl Session {
    /// A 401 or 407 to our BYE; says whether the BYE is on its way again.
    pub(super) fn bye_challenged(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        response: &Message,
    ) -> bool {
        if !response.status().is_some_and(is_challenge) {
            return false;
        }
        let own = match &mut self.phase {
            Phase::Closing(closing) => Some(&mut closing.link),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Confirmed(_) | Phase::Over => None,
        };
        let mut links = own.into_iter().chain(&mut self.strays);
        match links.find(|link| link.bye == Some(id)) {
            Some(link) => link.answer_challenge(cx, &self.style, response),
            None => false,
        }
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

/// Whether a status asks for credentials.
pub(super) fn is_challenge(status: Status) -> bool {
    matches!(status.code(), 401 | 407)
}
