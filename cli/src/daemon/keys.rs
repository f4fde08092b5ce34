//! Which private keys of identities were loaded when: an entry of the audit log whenever one is another than before
//! (SEC-154).

use super::net::tls::TlsStore;
use crate::sink::audit::Deed;
use sbc_core::id::TlsContextName;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The certificate of each identity, by its SHA-256, as it was written down last.
#[derive(Default)]
pub(super) struct Noted(Mutex<BTreeMap<TlsContextName, String>>);

impl Noted {
    /// What is to be written down now; nothing if all keys are those of before.
    pub(super) fn changed(&self, tls: &TlsStore) -> Option<Deed> {
        let now: BTreeMap<TlsContextName, String> = tls
            .iter()
            .map(|context| (context.name().clone(), context.fingerprint()))
            .collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = now
            .iter()
            .filter(|(name, mark)| known.get(*name) != Some(mark));
        let loaded = loaded.map(|(name, mark)| format!("+tls {name}: certificate sha256:{mark}"));
        let gone = known.keys().filter(|name| !now.contains_key(*name));
        let gone = gone.map(|name| format!("-tls {name}"));
        let lines: Vec<String> = loaded.chain(gone).collect();
        *known = now;
        if lines.is_empty() {
            return None;
        }
        let deed = Deed::by_itself("loaded keys").about("keys");
        Some(deed.changing(lines.join("\n")))
    }
}
