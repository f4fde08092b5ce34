//! Where requests get their credentials, and challenges their answer.

use crate::auth::{Asked, Credentials, Peer, Tries, Unanswered};
use crate::config::Trunk;
use crate::event::Happened;
use crate::plane::Cx;
use crate::sip::{Message, Method, RequestBuilder};
use std::net::SocketAddr;

impl Cx<'_> {
    /// Takes a challenge of an address of the trunk's peer; tells what becomes of it.
    pub(crate) fn challenged(
        &mut self,
        trunk: &Trunk,
        remote: SocketAddr,
        response: &Message,
        tries: &Tries,
    ) -> Result<(), Unanswered> {
        let Some(account) = &trunk.digest else {
            return self.unanswered(trunk, remote, Unanswered::NoAccount);
        };
        let peer = Peer {
            trunk: trunk.name.clone(),
            remote,
        };
        let plane = &mut *self.plane;
        let taken = plane
            .nonces
            .take(&mut plane.mint, &peer, account, response, tries);
        match taken {
            Ok(taken) => {
                let what = Happened::Challenged {
                    trunk: trunk.name.clone(),
                    remote,
                    algorithm: taken.algorithm.name(),
                    is_newly_weak: taken.is_newly_weak,
                };
                self.out.emit(None, None, what);
                Ok(())
            }
            Err(why) => self.unanswered(trunk, remote, why),
        }
    }

    /// Tells that a challenge is not answered.
    pub(crate) fn unanswered(
        &mut self,
        trunk: &Trunk,
        remote: SocketAddr,
        why: Unanswered,
    ) -> Result<(), Unanswered> {
        let what = Happened::Unauthenticated {
            trunk: trunk.name.clone(),
            remote,
            why: why.clone(),
        };
        self.out.emit(None, None, what);
        Err(why)
    }

    /// Adds the credentials that the peer at `remote` is known to want, and says what they are.
    pub(crate) fn sign(
        &mut self,
        trunk: &Trunk,
        remote: SocketAddr,
        method: &Method,
        request: RequestBuilder,
        tries: &mut Tries,
    ) -> (RequestBuilder, Credentials) {
        let Some(account) = &trunk.digest else {
            return (request, Credentials::default());
        };
        let peer = Peer {
            trunk: trunk.name.clone(),
            remote,
        };
        let asked = Asked {
            method,
            uri: request.request_uri(),
            body: request.request_body(),
        };
        let plane = &mut *self.plane;
        let shown = plane
            .nonces
            .present(&mut plane.mint, &peer, account, asked, tries);
        (shown.write(request), shown)
    }

    /// Takes the nonce that a 2xx names for the next request.
    pub(crate) fn authenticated(&mut self, trunk: &Trunk, remote: SocketAddr, response: &Message) {
        if trunk.digest.is_some() {
            let peer = Peer {
                trunk: trunk.name.clone(),
                remote,
            };
            let plane = &mut *self.plane;
            plane.nonces.next(&mut plane.mint, &peer, response);
        }
    }
}
