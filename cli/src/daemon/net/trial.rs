//! A new certificate of ours is shown to the proxies of Teams before it is put into use (TDR-TLS-015).
//!
//! An authority that Teams does not take shows only when a proxy ends the handshake, and a name that it does not
//! know only in its answer. By then the old certificate would be gone, and the trunk with it. So at each proxy of a
//! trunk, and at each place that the old one has brought a connection to, a connection is made with the new one and
//! OPTIONS are sent over it, once, besides those that are due. Where the new one gets less far than the old one does
//! at that moment, and nowhere as far as 200, the old one stays in use, and the operator is told. All else that the
//! operator has changed of the identity, as whom it believes, counts nevertheless. Derived trunks send no OPTIONS
//! (TDR-OPT-008): theirs are handshakes alone.

use super::Net;
use super::tls::{TlsContext, TlsStore};
use crate::daemon::resolver::Resolver;
use crate::onboarding::Outcome;
use crate::onboarding::steps::proxies;
use crate::onboarding::teams::{Proxy, Speaker, Standing};
use crate::sink::metrics::Direction;
use sbc_core::config::{Config, Preset, Trunk};
use sbc_core::id::TlsContextName;
use sbc_core::policy::ingress::accepts_source;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Places at which one trunk is tried: three proxies, and some that calls have led to.
const MOST: usize = 8;

const REFUSED: &str = "Teams refuses our new certificate; the one before stays in use until a reload with one that \
                       Teams takes, from a public authority of Microsoft's programme and with its whole chain";

/// An identity whose certificate on disk is not the one in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The identity.
    pub context: TlsContextName,
    /// Why, and what to do.
    pub because: &'static str,
}

/// What a proxy thinks of a certificate.
enum Opinion {
    Taken,
    /// It takes the one before and not this one, for this reason.
    Refused(String),
    /// It cannot be reached, or is no better with the one before.
    Unknown,
}

impl Net {
    /// Tries the certificates that are new and belong to Teams. Those that are refused are exchanged for the ones
    /// in use.
    pub async fn proven(
        &self,
        config: &Arc<Config>,
        mut tls: TlsStore,
        resolver: &Resolver,
    ) -> (TlsStore, Vec<Kept>) {
        let mut kept = Vec::new();
        let before = self.identities();
        let same_name = tls.renewed(&before).cloned();
        let same_name = same_name.filter_map(|new| Some((before.get(new.name())?.clone(), new)));
        // An identity may get another name together with its other certificate.
        let store = TlsStore::clone(&tls).succeeding(&before);
        let other_name = store.renamed().filter(|(name, former, new)| {
            before.get(name).is_some() && !new.shows_the_same(former)
        });
        let other_name = other_name.map(|(_, former, new)| (former.clone(), new.clone()));
        let new: Vec<(Arc<TlsContext>, Arc<TlsContext>)> = same_name.chain(other_name).collect();
        for (old, context) in new {
            let mut is_refused = false;
            for trunk in of_teams(config, &context) {
                is_refused |= self
                    .is_refused((config, trunk), &context, &old, resolver)
                    .await;
            }
            if is_refused {
                kept.push(Kept {
                    context: context.name().clone(),
                    because: REFUSED,
                });
                tls.put(Arc::new(context.showing(&old)));
            }
        }
        (tls, kept)
    }

    /// Whether Teams refuses a certificate on a trunk.
    async fn is_refused(
        &self,
        (config, trunk): (&Arc<Config>, &Arc<Trunk>),
        context: &Arc<TlsContext>,
        old: &Arc<TlsContext>,
        resolver: &Resolver,
    ) -> bool {
        let mut trials = JoinSet::new();
        for proxy in self.places(trunk, old, resolver).await {
            let (config, trunk) = (Arc::clone(config), Arc::clone(trunk));
            let (context, old) = (Arc::clone(context), Arc::clone(old));
            trials.spawn(async move {
                let (standing, found) = tried((&config, &trunk), &context, &proxy).await;
                let opinion = match (standing, found) {
                    (Standing::Known, _) => Opinion::Taken,
                    (Standing::Unknown, _) => Opinion::Unknown,
                    // Who treats everybody so does not mean the certificate.
                    (Standing::Refused | Standing::Shaken, found) => {
                        let (before, _) = tried((&config, &trunk), &old, &proxy).await;
                        match (before > standing, found) {
                            (true, Outcome::Failed { cause, .. }) => Opinion::Refused(cause),
                            (true, other) => Opinion::Refused(other.to_string()),
                            (false, _) => Opinion::Unknown,
                        }
                    }
                };
                (proxy.address, standing, opinion)
            });
        }
        let mut refused = None;
        let mut is_taken = false;
        for (remote, standing, opinion) in trials.join_all().await {
            if standing == Standing::Refused {
                let net = &self.shared.metrics.net;
                net.handshake(context.name(), Direction::Out, "alert");
            }
            match opinion {
                Opinion::Taken => is_taken = true,
                Opinion::Refused(why) => refused = Some((remote, why)),
                Opinion::Unknown => {}
            }
        }
        let Some((remote, why)) = refused.filter(|_| !is_taken) else {
            return false;
        };
        let line = self.shared.log.error("certificate_refused", REFUSED);
        line.with("context", context.name())
            .with("trunk", &trunk.name)
            .with("subject", &context.facts().subject)
            .with("remote", remote)
            .with("why", why)
            .send();
        true
    }

    /// Where a trunk's certificate is tried: its proxies, and where the one before has brought a connection to. Nobody
    /// is asked who is not at an address of Teams.
    async fn places(&self, trunk: &Trunk, old: &TlsContext, resolver: &Resolver) -> Vec<Proxy> {
        let named = proxies(resolver, trunk).await.into_iter().flatten();
        let keys = self.shared.pool.keys_of(old.name()).into_iter();
        let met = keys.filter_map(|key| {
            Some(Proxy {
                host: key.tls?.server_name.clone(),
                port: key.remote.port(),
                address: key.remote,
            })
        });
        let mut places: Vec<Proxy> = Vec::new();
        for place in named.chain(met) {
            let is_new = places.iter().all(|other| other.address != place.address);
            if is_new && accepts_source(trunk, place.address.ip()) && places.len() < MOST {
                places.push(place);
            }
        }
        places
    }
}

/// Trunks of Teams that show this identity.
fn of_teams<'a>(
    config: &'a Config,
    context: &'a TlsContext,
) -> impl Iterator<Item = &'a Arc<Trunk>> {
    let trunks = config.trunks.values();
    trunks
        .filter(|trunk| trunk.preset == Preset::Teams && trunk.tls.as_ref() == Some(context.name()))
}

/// How far a certificate gets at a proxy.
async fn tried(
    (config, trunk): (&Config, &Trunk),
    context: &TlsContext,
    proxy: &Proxy,
) -> (Standing, Outcome) {
    let speaker = Speaker {
        config,
        trunk,
        tls: context,
    };
    match *trunk.watched_as() == trunk.name && trunk.options.is_some() {
        true => speaker.stands_with(proxy).await,
        false => match speaker.shakes_hands(proxy).await {
            // Nobody can know more.
            (Standing::Shaken, found) => (Standing::Known, found),
            other => other,
        },
    }
}
