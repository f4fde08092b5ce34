//! Certificates of clients that were revoked: `crl` of `[api]` and `[metrics]` (SEC-078).
//!
//! The file is looked at whenever somebody shows a certificate, and read anew when it has changed: who revokes a
//! certificate copies a file, and needs nobody who reloads. A list that cannot be read any more, or whose time is over,
//! still counts as it was, and is an alarm.

use crate::config::{Revoked, read_revocations};
use crate::daemon::net::tls::{Anchors, is_named, provider, verifies_signatures};
use crate::daemon::renewed::{Mark, mark};
use crate::sink::log::{Log, wall_clock};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error};
use sbc_core::config::{FileFault, RevokedFiles};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lists that are looked at, by the table that names them: for whoever asks what is wrong.
#[derive(Clone, Default, Debug)]
pub(crate) struct AllLists(Arc<Mutex<BTreeMap<&'static str, Known>>>);

/// What is known of the lists of a table.
#[derive(Debug)]
enum Known {
    Read(Arc<Lists>),
    /// Why they, or the authorities, cannot be read at all.
    Unread(String),
}

impl AllLists {
    /// Those of a table from now on.
    pub(super) fn set(&self, table: &'static str, lists: Option<&Arc<Lists>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lists {
            Some(lists) => drop(all.insert(table, Known::Read(Arc::clone(lists)))),
            None => drop(all.remove(table)),
        }
    }

    /// Nobody is believed whom a table would let in, and why.
    pub(super) fn cannot(&self, table: &'static str, why: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(table, Known::Unread(why.to_owned()));
    }

    /// What is wrong with them.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let troubles = all.iter().filter_map(|(table, known)| match known {
            Known::Read(lists) => Some(format!("[{table}] crl: {}", lists.trouble()?)),
            Known::Unread(why) => Some(format!(
                "[{table}] client_ca and crl: {why}; no certificate of a client is believed until they can be read"
            )),
        });
        troubles.collect()
    }
}

/// The lists of one table.
pub(super) struct Lists {
    files: RevokedFiles,
    log: Log,
    read: Mutex<Read>,
}

struct Read {
    marks: [Option<Mark>; 2],
    revoked: Arc<Revoked>,
    /// Why what was read is not what the files say.
    unread: Option<String>,
}

impl Lists {
    /// Reads them.
    pub(super) fn of(files: &RevokedFiles, log: Log) -> Result<Arc<Self>, String> {
        let marks = marks(files);
        let revoked = read(files)?;
        Ok(Arc::new(Self {
            files: files.clone(),
            log,
            read: Mutex::new(Read {
                marks,
                revoked: Arc::new(revoked),
                unread: None,
            }),
        }))
    }

    /// What they say now.
    fn now(&self) -> MutexGuard<'_, Read> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = marks(&self.files);
        // A fault may be over in a moment, and the files look the same.
        if known.marks == marks && known.unread.is_none() {
            return known;
        }
        match read(&self.files) {
            Ok(revoked) => {
                // What changes while it is read is read once more.
                known.marks = marks;
                (known.revoked, known.unread) = (Arc::new(revoked), None);
                let text = "a list of revoked certificates of clients was changed and counts";
                let line = self.log.info("crl_read", text);
                line.with("file", &self.files.lists).send();
            }
            Err(why) if known.unread.as_ref() == Some(&why) => {}
            Err(why) => {
                let text = "a list of revoked certificates of clients cannot be read; the one before counts";
                let line = self.log.error("crl_unreadable", text);
                line.with("file", &self.files.lists)
                    .with("why", &why)
                    .send();
                known.unread = Some(why);
            }
        }
        known
    }

    /// What an operator should do something about.
    fn trouble(&self) -> Option<String> {
        let now = i64::try_from(wall_clock().as_micros() / 1_000_000).unwrap_or(i64::MAX);
        let (known, file) = (self.now(), &self.files.lists);
        if let Some(why) = &known.unread {
            return Some(format!(
                "{file} cannot be used ({why}): what was revoked since is not known; what it said before counts"
            ));
        }
        let until = known.revoked.until().filter(|until| *until < now)?;
        let days = (now - until).div_euclid(86_400);
        Some(format!(
            "{file} should have been replaced {days} days ago: what was revoked since is not known; fetch it again"
        ))
    }
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lists").field(&self.files).finish()
    }
}

fn marks(files: &RevokedFiles) -> [Option<Mark>; 2] {
    [mark(&files.lists), mark(&files.issuers)]
}

fn read(files: &RevokedFiles) -> Result<Revoked, String> {
    read_revocations(&files.lists, &files.issuers).map_err(|fault| match fault {
        FileFault::Unreadable(why) | FileFault::Unusable(why) => why,
    })
}

/// Believes whom the authorities have issued a certificate, unless a list names it, one that leads to it, or the authority.
#[derive(Debug)]
pub(super) struct Unrevoked {
    pub(super) authorities: Arc<dyn ClientCertVerifier>,
    pub(super) anchors: Anchors,
    pub(super) lists: Arc<Lists>,
}

impl ClientCertVerifier for Unrevoked {
    fn offer_client_auth(&self) -> bool {
        self.authorities.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.authorities.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .authorities
            .verify_client_cert(end_entity, intermediates, now)?;
        let revoked = Arc::clone(&self.lists.now().revoked);
        match is_named(&revoked, &self.anchors, end_entity, intermediates) {
            true => Err(Error::InvalidCertificate(CertificateError::Revoked)),
            false => Ok(verified),
        }
    }

    verifies_signatures!(self => provider().signature_verification_algorithms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
        IsCa, KeyIdMethod, KeyPair, SerialNumber, date_time_ymd,
    };
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_fault_that_is_over_is_noticed_though_the_files_look_as_they_did_with_it() {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&*issuer).unwrap().pem().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let files = RevokedFiles {
            lists: at("crl.pem"),
            issuers: at("ca.pem"),
        };
        fs::write(Path::new(&files.issuers), issuer.pem()).unwrap();
        let later = SystemTime::now() + Duration::from_secs(5);
        let write = |octets: &[u8], time: SystemTime| {
            fs::write(Path::new(&files.lists), octets).unwrap();
            let file = fs::File::options().write(true).open(&files.lists).unwrap();
            file.set_modified(time).unwrap();
        };
        write(list.as_bytes(), SystemTime::now());
        let (log, _writer) = Log::start(Level::Error, Form::Text, std::io::sink()).unwrap();
        let lists = Lists::of(&files, log).unwrap();
        let all = AllLists::default();
        all.set("api", Some(&lists));
        assert!(all.troubles().is_empty());
        write(&vec![b'x'; list.len()], later);
        assert_eq!(all.troubles().len(), 1);
        write(list.as_bytes(), later);
        assert!(all.troubles().is_empty(), "{:?}", all.troubles());
    }
}
