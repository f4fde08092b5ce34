//! The certificates of the realms: made when first asked for, and anew after thirty days (MED-133).

use super::{Identity, NoIdentity};
use crate::time::Timestamp;
use media_api::{AllocateError, EndpointSpec, LocalEndpoint, RealmId};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a certificate is given to new calls. Those that have it keep it.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One for each realm that has calls with DTLS-SRTP. In memory only: a restart makes new ones.
#[derive(Debug, Default)]
pub(crate) struct Identities(Mutex<Vec<Current>>);

#[derive(Debug)]
struct Current {
    realm: RealmId,
    until: Timestamp,
    identity: Identity,
}

impl Identities {
    /// Those of the endpoints that need one, in their order.
    ///
    /// # Errors
    /// [`AllocateError::Unavailable`] without random numbers for one.
    pub(crate) fn of(
        &self,
        specs: &[EndpointSpec],
        now: Timestamp,
    ) -> Result<Vec<Option<Identity>>, AllocateError> {
        let of = |spec: &EndpointSpec| {
            let mut streams = spec.streams.iter();
            let is_wanted = streams.any(|stream| stream.protection.has_certificate());
            is_wanted.then(|| self.current(spec.realm, now)).transpose()
        };
        let found: Result<_, NoIdentity> = specs.iter().map(of).collect();
        found.map_err(|NoIdentity| AllocateError::Unavailable)
    }

    fn current(&self, realm: RealmId, now: Timestamp) -> Result<Identity, NoIdentity> {
        // A list is whole between any two statements.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|own| own.until > now);
        if let Some(own) = all.iter().find(|own| own.realm == realm) {
            return Ok(own.identity.clone());
        }
        let identity = Identity::generate()?;
        all.push(Current {
            realm,
            until: now + LIFE,
            identity: identity.clone(),
        });
        Ok(identity)
    }
}

/// Puts the fingerprints of these into what the streams' descriptions say.
pub(crate) fn show(
    local: &mut [LocalEndpoint],
    specs: &[EndpointSpec],
    identities: &[Option<Identity>],
) {
    for ((local, spec), identity) in local.iter_mut().zip(specs).zip(identities) {
        for (stream, wanted) in local.streams.iter_mut().zip(&spec.streams) {
            let identity = identity.as_ref();
            let own = identity.filter(|_| wanted.protection.has_certificate());
            stream.fingerprint = own.map(|own| own.fingerprint().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{EndpointId, Family, ProtectionWanted, StreamKind, StreamSpec, Suite};

    fn spec(realm: u16, protection: ProtectionWanted) -> EndpointSpec {
        EndpointSpec {
            endpoint: EndpointId(0),
            realm: RealmId(realm),
            family: Family::V4,
            streams: vec![StreamSpec {
                kind: StreamKind::Audio,
                protection,
                ice: None,
            }],
            takes_last: false,
        }
    }

    #[test]
    fn a_realm_keeps_its_certificate_for_thirty_days_and_shares_it_with_none() {
        let identities = Identities::default();
        let of = |realm, days: u64| {
            let specs = [spec(realm, ProtectionWanted::Dtls)];
            let now = Timestamp(0) + Duration::from_secs(days * 24 * 60 * 60);
            let found = identities.of(&specs, now).unwrap().remove(0).unwrap();
            found.fingerprint().clone()
        };
        let first = of(0, 0);
        assert_eq!(of(0, 29), first);
        assert_ne!(of(1, 29), first);
        assert_ne!(of(0, 30), first);
        let either = [spec(
            0,
            ProtectionWanted::Either(vec![Suite::AeadAes128Gcm]),
        )];
        assert!(identities.of(&either, Timestamp(0)).unwrap()[0].is_some());
        let plain = [spec(0, ProtectionWanted::None)];
        assert!(identities.of(&plain, Timestamp(0)).unwrap()[0].is_none());
    }
}
