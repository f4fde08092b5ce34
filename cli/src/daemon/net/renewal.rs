//! Connections that are taken out of use: nothing new goes over them, and they end a while later, when
//! nothing can wait on them any more.
//!
//! Teams judges an SBC by the certificate of each connection, so those that were made with an old one
//! must end after a renewal (TDR-TLS-013). And a connection that brought 503 with Retry-After must not
//! be used for the next call (TDR-DNS-003). An identity may say how old they get. That of a peer whose certificate was revoked ends at once.

use super::pool::{Held, Line};
use super::tls::{Refusal, TlsStore};
use super::{Net, Shared, State};
use sbc_core::config::{Config, Preset};
use sbc_core::id::FlowId;
use sbc_core::policy::ingress::accepts_source;
use sbc_core::transport::FlowFault;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Of very many the last ones end together.
const LONGEST_TURN: Duration = Duration::from_secs(60);

impl Net {
    /// Takes connections out of use that are older than their identity lets them be (OPS-121, SEC-079): whoever is at the
    /// other end proves anew who it is.
    pub fn retire_aged(&self) {
        let shared = &self.shared;
        let tls = Arc::clone(&shared.state.load().tls);
        let is_old = |held: &Held| {
            let context = held.context.as_ref().and_then(|name| tls.of_hop(name));
            let most = context.and_then(|context| context.max_age());
            most.is_some_and(|most| held.since.elapsed() >= most)
        };
        let retired = shared.pool.retire_aged(is_old);
        let after = shared.patience.answered;
        shared.end_in_turn(retired.into_iter().map(|line| (line, after)).collect());
    }

    /// Takes a connection out of use. It ends once no request of ours can wait for its response there.
    pub fn retire_flow(&self, flow: FlowId) {
        let is_it = |held: &Held| held.line.flow == flow;
        let shared = &self.shared;
        let retired = shared.pool.retire(is_it);
        let after = shared.patience.answered;
        shared.end_in_turn(retired.into_iter().map(|line| (line, after)).collect());
    }
}

impl Shared {
    /// Judges a new connection as a reload would that came in the middle of its handshake: it was not there yet
    /// when that looked at the connections.
    pub(super) fn look_again(&self, at_handshake: &State, flow: FlowId) {
        let now = self.state.load_full();
        if !Arc::ptr_eq(&at_handshake.tls, &now.tls) {
            let is_it = |held: &Held| held.line.flow == flow;
            self.retire_renewed(&at_handshake.tls, &now.config, &now.tls, is_it);
            self.end_revoked(&now.tls, is_it);
        }
    }

    /// Takes connections out of use whose certificate of ours is another one by now: those with Teams, and of an
    /// identity with `drain` all.
    pub(super) fn retire_renewed(
        &self,
        before: &TlsStore,
        config: &Config,
        tls: &TlsStore,
        among: impl Fn(&Held) -> bool,
    ) {
        let mut retired = Vec::new();
        let same_name = tls.renewed(before).map(|context| (context.name(), context));
        // An identity may have got another name with its other certificate.
        let other_name = tls.renamed().filter(|(name, former, successor)| {
            before.get(name).is_some() && !successor.shows_the_same(former)
        });
        let other_name = other_name.map(|(name, _, successor)| (name, successor));
        for (name, context) in same_name.chain(other_name) {
            let is_of_teams = |remote: SocketAddr| {
                config.trunks.values().any(|trunk| {
                    trunk.preset == Preset::Teams
                        && trunk.tls.as_ref() == Some(context.name())
                        && accepts_source(trunk, remote.ip().to_canonical())
                })
            };
            let is_meant = |held: &Held| {
                held.context.as_ref() == Some(name)
                    && (context.drain().is_some() || is_of_teams(held.remote))
                    && among(held)
            };
            let wanted = context.drain().unwrap_or(self.patience.renewed);
            let those = self.pool.retire(is_meant);
            retired.extend(those.into_iter().map(|line| (line, wanted)));
        }
        if !retired.is_empty() {
            let log = &self.log;
            let line = log.info("certificate_renewed", "connections with the old one end");
            line.with("connections", retired.len()).send();
            self.end_in_turn(retired);
        }
    }

    /// Ends connections whose peer has shown a certificate that is revoked by now: it must not stay because it
    /// was here before.
    pub(super) fn end_revoked(&self, tls: &TlsStore, among: impl Fn(&Held) -> bool) {
        let is_revoked = |held: &Held| {
            let context = held.context.as_ref().and_then(|name| tls.of_hop(name));
            let both = context.zip(held.line.shown());
            both.is_some_and(|(context, shown)| context.has_revoked(shown)) && among(held)
        };
        let revoked = self.pool.retire(is_revoked);
        if revoked.is_empty() {
            return;
        }
        let log = &self.log;
        let line = log.warn("certificate_revoked", "connections of revoked peers end");
        line.with("connections", revoked.len()).send();
        for line in revoked {
            line.close(FlowFault::TlsCertificate(Refusal::Revoked.of_peer()));
        }
    }

    /// Those on which no request waits, ours or the peer's, end after this time, one after the other. The others end
    /// when the last is answered, or can be no more: a call of the peer rings there as long as a call may ring.
    fn end_in_turn(&self, retired: Vec<(Arc<Line>, Duration)>) {
        let now = Instant::now();
        let mut turn = Duration::ZERO;
        for (line, after) in retired {
            let from = now + after + turn;
            let latest = from + self.patience.renewed;
            turn = (turn + self.patience.apart).min(LONGEST_TURN);
            self.runtime.spawn(async move {
                sleep_until(from).await;
                // Whichever comes first ends it.
                let _ = timeout_at(latest, line.unanswered.are_answered()).await;
                line.close(FlowFault::Closed);
            });
        }
    }
}
