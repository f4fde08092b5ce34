//! What becomes of TLS identities that a reload takes out of the configuration (OPS-121).
//!
//! Calls of their time go on with them: a connection that is lost is made again with the certificate that the
//! call began with. An identity that goes on under another name, for the same names and the same authorities,
//! is its own successor: connections that were made before count as those of the new name.

use super::{TlsContext, TlsStore};
use sbc_core::id::TlsContextName;
use sbc_core::transport::{Flow, PeerIdentity};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an identity is kept for calls of its time: as long as sockets are.
const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// Former identities that are kept.
const MOST: usize = 64;

/// An identity that is no longer configured.
#[derive(Clone)]
pub(super) struct Former {
    context: Arc<TlsContext>,
    since: Instant,
    successor: Option<TlsContextName>,
}

impl TlsStore {
    /// This store in the place of another one, whose identities it remembers.
    pub(in crate::daemon::net) fn succeeding(mut self, before: &Self) -> Self {
        let (now, mut former) = (Instant::now(), before.former.clone());
        for (name, context) in &before.contexts {
            if self.contexts.contains_key(name) {
                continue;
            }
            let is_new = |own: &&Arc<TlsContext>| !before.contexts.contains_key(own.name());
            let follows = |own: &&Arc<TlsContext>| own.follows(context);
            let mut successors = self.contexts.values().filter(is_new).filter(follows);
            // Of several nobody can say which it is.
            let successor = match (successors.next(), successors.next()) {
                (Some(only), None) => Some(only.name().clone()),
                _ => None,
            };
            for other in former.values_mut() {
                if other.successor.as_ref() == Some(name) {
                    other.successor.clone_from(&successor);
                }
            }
            let gone = Former {
                context: Arc::clone(context),
                since: now,
                successor,
            };
            former.insert(name.clone(), gone);
        }
        former.retain(|name, own| {
            !self.contexts.contains_key(name) && now.duration_since(own.since) < LONGEST
        });
        while former.len() > MOST {
            let oldest = former.iter().min_by_key(|(_, own)| own.since);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            former.remove(&oldest);
        }
        self.former = former;
        self
    }

    /// The identity with which a connection of this name is made, though it may not be configured any more.
    pub(in crate::daemon::net) fn of_hop(&self, name: &TlsContextName) -> Option<&Arc<TlsContext>> {
        self.get(name).or_else(|| {
            let former = self.former.get(name)?;
            if former.since.elapsed() >= LONGEST {
                return None;
            }
            let successor = former.successor.as_ref().and_then(|name| self.get(name));
            Some(successor.unwrap_or(&former.context))
        })
    }

    /// Names that have successors: the former name, its identity, and what follows it.
    pub(in crate::daemon::net) fn renamed(
        &self,
    ) -> impl Iterator<Item = (&TlsContextName, &Arc<TlsContext>, &Arc<TlsContext>)> {
        self.former.iter().filter_map(|(name, own)| {
            let successor = own.successor.as_ref().and_then(|name| self.get(name))?;
            Some((name, &own.context, successor))
        })
    }

    /// A flow as the present configuration calls its identity.
    pub(in crate::daemon::net) fn present(&self, flow: &Flow) -> Flow {
        let known = flow.identity.as_ref().and_then(|identity| {
            let former = self.former.get(&identity.context)?;
            Some((identity, former.successor.clone()?))
        });
        match known {
            None => flow.clone(),
            Some((identity, context)) => Flow {
                identity: Some(Arc::new(PeerIdentity {
                    context,
                    ..PeerIdentity::clone(identity)
                })),
                ..flow.clone()
            },
        }
    }
}

impl TlsContext {
    /// Whether this one may stand for another: the same names, and peers proven by the same authorities in the
    /// same way.
    fn follows(&self, other: &Self) -> bool {
        self.facts().names == other.facts().names
            && self.trusted().roots().roots == other.trusted().roots().roots
            && self.verify_client() == other.verify_client()
            && self.allow_wildcard() == other.allow_wildcard()
    }
}
