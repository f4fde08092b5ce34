//! A new certificate of ours is shown to the proxies of Teams before it is put into use (TDR-TLS-015).
//!
//! An authority that Teams does not take shows only when a proxy ends the handshake. By then the old
//! certificate would be gone, and the trunk with it. So a handshake with the new one is made at each place
//! that the old one has brought a connection to. Where it is refused, the old one is taken there still, and
//! nobody takes the new one, the old one stays in use, and the operator is told. All else that the operator
//! has changed of the identity, as whom it believes, counts nevertheless. Nothing is sent on these connections: OPTIONS have their own rhythm.

use super::connect::{dial, shake};
use super::tls::{TlsContext, TlsStore};
use super::{Net, Shared};
use sbc_core::config::{Config, Preset, Trunk};
use sbc_core::id::TlsContextName;
use sbc_core::policy::ingress::accepts_source;
use sbc_core::transport::{FlowFault, FlowKey, Hop};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// With TLS 1.3 a refusal comes when the handshake looks complete: so long it is waited for.
const SECOND_THOUGHTS: Duration = Duration::from_millis(500);

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Opinion {
    Taken,
    Refused,
    /// It cannot be reached, or something else is wrong.
    Unknown,
}

impl Net {
    /// Tries the certificates that are new and belong to Teams. Those that are refused are exchanged for the ones
    /// in use.
    pub async fn proven(&self, config: &Arc<Config>, mut tls: TlsStore) -> (TlsStore, Vec<Kept>) {
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
            if of_teams(config, &context).next().is_none() {
                continue;
            }
            if self.is_refused(config, &context, &old).await {
                kept.push(Kept {
                    context: context.name().clone(),
                    because: REFUSED,
                });
                tls.put(Arc::new(context.showing(&old)));
            }
        }
        (tls, kept)
    }

    async fn is_refused(
        &self,
        config: &Arc<Config>,
        context: &Arc<TlsContext>,
        old: &Arc<TlsContext>,
    ) -> bool {
        let mut trials = JoinSet::new();
        let mut keys = self.shared.pool.keys_of(old.name());
        keys.retain(|key| {
            of_teams(config, context).any(|trunk| accepts_source(trunk, key.remote.ip()))
        });
        for key in keys {
            let (shared, config) = (Arc::clone(&self.shared), Arc::clone(config));
            let (context, old) = (Arc::clone(context), Arc::clone(old));
            trials.spawn(async move {
                let remote = key.remote;
                let opinion = match tried(&shared, &config, &context, key.clone()).await {
                    // Who ends every handshake does not mean the certificate.
                    Opinion::Refused => match tried(&shared, &config, &old, key).await {
                        Opinion::Taken => Opinion::Refused,
                        Opinion::Refused | Opinion::Unknown => Opinion::Unknown,
                    },
                    other => other,
                };
                (remote, opinion)
            });
        }
        let opinions = trials.join_all().await;
        let is = |wanted| move |(_, opinion): &&(_, Opinion)| *opinion == wanted;
        let refused = opinions.iter().find(is(Opinion::Refused));
        let is_taken = opinions
            .iter()
            .any(|(_, opinion)| *opinion == Opinion::Taken);
        let Some((remote, _)) = refused.filter(|_| !is_taken) else {
            return false;
        };
        let line = self.shared.log.error("certificate_refused", REFUSED);
        line.with("context", context.name())
            .with("subject", &context.facts().subject)
            .with("remote", remote)
            .send();
        true
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

async fn tried(shared: &Shared, config: &Config, context: &TlsContext, key: FlowKey) -> Opinion {
    let hop = Hop {
        listener: key.listener,
        protocol: key.protocol,
        remote: key.remote,
        tls: key.tls,
        flow: None,
    };
    let Some(tls) = &hop.tls else {
        return Opinion::Unknown;
    };
    let Ok((stream, _, limit)) = dial(shared, config, &hop).await else {
        return Opinion::Unknown;
    };
    match shake(shared, &hop, tls, context, (stream, limit)).await {
        Ok((mut stream, _)) => {
            let more = timeout(SECOND_THOUGHTS, stream.read_u8()).await;
            match more {
                Ok(Err(_)) => Opinion::Refused,
                Ok(Ok(_)) | Err(_) => Opinion::Taken,
            }
        }
        // The alert may be overtaken by the end of the connection.
        Err(FlowFault::TlsAlert(_) | FlowFault::Handshake(_)) => Opinion::Refused,
        Err(_) => Opinion::Unknown,
    }
}
