//! The subscriptions that are ours, by which a notice is recognised: its identifier and its secret (TDG-PRS-003).

use crate::daemon::net::tls::random;
use sbc_core::id::TenantName;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subtle::ConstantTimeEq as _;

/// Octets of a secret.
const SECRET: usize = 32;

/// All of them. At most one for every 650 users of the configuration.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<Vec<One>>>);

struct One {
    tenant: TenantName,
    secret: Secret,
    /// `None` until Microsoft has said how it calls it: notices may be faster than that.
    id: Option<String>,
}

/// What Microsoft says with each notice of a subscription, and nobody else knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one; `None` if the system has no random numbers.
    pub fn random() -> Option<Self> {
        let mut octets = [0; SECRET];
        random(&mut octets).ok()?;
        let digits = octets.iter().map(|octet| format!("{octet:02x}"));
        Some(Self(digits.collect()))
    }

    /// For Microsoft.
    pub fn shown(&self) -> &str {
        &self.0
    }
}

impl Known {
    /// One is about to be made.
    pub fn begin(&self, tenant: &TenantName, secret: &Secret) {
        self.lock().push(One {
            tenant: tenant.clone(),
            secret: secret.clone(),
            id: None,
        });
    }

    /// Microsoft calls it so.
    pub fn is_called(&self, secret: &Secret, id: &str) {
        let mut all = self.lock();
        if let Some(one) = all.iter_mut().find(|one| one.secret == *secret) {
            one.id = Some(id.to_owned());
        }
    }

    /// It is not ours any more.
    pub fn end(&self, secret: &Secret) {
        self.lock().retain(|one| one.secret != *secret);
    }

    /// Whose subscription a notice says it comes by. Every secret is compared, in constant time, whichever it is.
    pub fn tenant(&self, id: &str, secret: &str) -> Option<TenantName> {
        let all = self.lock();
        all.iter().fold(None, |found, one| {
            let is_so_called = one.id.as_deref().is_none_or(|own| own == id);
            let is_secret = bool::from(one.secret.0.as_bytes().ct_eq(secret.as_bytes()));
            match is_so_called && is_secret {
                true => Some(one.tenant.clone()),
                false => found,
            }
        })
    }

    /// How many a tenant has.
    pub fn count(&self, tenant: &TenantName) -> usize {
        let all = self.lock();
        let own = all.iter().filter(|one| one.id.is_some());
        own.filter(|one| one.tenant == *tenant).count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_recognised_by_name_and_secret_together() {
        let known = Known::default();
        let secrets = [(); 2].map(|()| Secret::random().unwrap());
        let tenants = ["contoso", "fabrikam"].map(TenantName::new);
        for (tenant, secret) in tenants.iter().zip(&secrets) {
            known.begin(tenant, secret);
        }
        let [one, other] = secrets.each_ref().map(Secret::shown);
        assert!(one.len() == 64 && one != other);
        // It is not known yet how Microsoft calls it.
        assert_eq!(known.tenant("s1", one).as_ref(), Some(&tenants[0]));
        known.is_called(&secrets[0], "s1");
        assert_eq!(known.tenant("s1", one).as_ref(), Some(&tenants[0]));
        assert_eq!(known.tenant("s2", one), None);
        assert_eq!(known.tenant("s1", other).as_ref(), Some(&tenants[1]));
        known.is_called(&secrets[1], "s2");
        for (id, secret) in [("s1", other), ("s2", ""), ("s1", &one[1..]), ("", one)] {
            assert_eq!(known.tenant(id, secret), None, "{id}");
        }
        assert_eq!((known.count(&tenants[0]), known.count(&tenants[1])), (1, 1));
        known.end(&secrets[0]);
        assert_eq!(known.tenant("s1", one), None);
        assert_eq!(format!("{:?}", secrets[0]), "Secret(…)");
    }
}
