//! A certificate that was issued comes into use as after a reload: new handshakes show it in both directions, no
//! call is lost, and it has been shown to the proxies of Teams before (OPS-121, TDR-TLS-013, TDR-TLS-015).

use super::fault::Fault;
use super::held;
use super::plan::Lifetime;
use super::store::Store;
use crate::daemon::Daemon;
use crate::daemon::net::tls::TlsContext;
use crate::sink::log::wall_clock;
use sbc_core::config::{Secret, TlsFiles};
use sbc_core::id::TlsContextName;
use std::path::Path;
use std::sync::Arc;

impl Daemon {
    /// Puts what was issued for an identity into use, and its file in the place of the one before.
    ///
    /// # Errors
    /// [`Fault`]; the one before stays in use, and its file. The new one's file is still there if Teams has said nothing.
    pub(super) async fn adopt(
        &self,
        identity: &TlsContextName,
        candidate: &Path,
        names: &[String],
        store: &Store,
    ) -> Result<Lifetime, Fault> {
        // No reload comes between.
        let _turn = self.turn().lock().await;
        let done = self.tried(identity, candidate, names, store).await;
        if !matches!(done, Err(Fault::Unanswered)) {
            self.awaited().note([identity], &[]);
        }
        done
    }

    async fn tried(
        &self,
        identity: &TlsContextName,
        candidate: &Path,
        names: &[String],
        store: &Store,
    ) -> Result<Lifetime, Fault> {
        let running = self.loaded();
        let files = running.shell.tls.get(identity);
        let files = files.filter(|files| files.issued_for.as_deref() == Some(names));
        let path = candidate.display().to_string();
        let files = TlsFiles {
            cert: path.clone(),
            key: Secret::File(path),
            ..files.ok_or(Fault::Gone)?.clone()
        };
        let unusable = |why: String| Fault::Unusable { why };
        let context = TlsContext::load(identity.clone(), &files);
        let context = Arc::new(context.map_err(|why| unusable(why.to_string()))?);
        let lifetime = held(&context, names);
        let lifetime = lifetime.ok_or_else(|| unusable("it lacks a name".to_owned()))?;
        let now = wall_clock();
        if now >= lifetime.until {
            return Err(unusable("it has expired already".to_owned()));
        }
        if now < lifetime.from {
            return Err(unusable(
                "it is not valid yet by the clock of this host".to_owned(),
            ));
        }
        let config = self.net().config();
        let mut tls = (*self.net().identities()).clone();
        tls.put(Arc::clone(&context));
        let (tls, kept) = self.proven(&config, tls, &self.words()).await;
        self.tell_kept(&kept);
        self.awaited().note([identity], &kept);
        if kept.iter().any(|kept| !kept.awaits.is_empty()) {
            return Err(Fault::Unanswered);
        }
        let is_taken = tls
            .get(identity)
            .is_some_and(|own| own.shows_the_same(&context));
        let moved = match is_taken {
            true => store.settle(identity),
            false => store.refuse(identity),
        };
        moved.map_err(|why| Fault::File {
            path: candidate.to_owned(),
            why,
        })?;
        if !is_taken {
            return Err(Fault::RefusedByTeams);
        }
        let tls = Arc::new(tls);
        self.net().use_identities(Arc::clone(&tls));
        self.publish_certificates(&tls);
        Ok(lifetime)
    }
}
