//! The account with an authority, and the identities whose certificates it issues (TDR-TLS-015).

use super::network::Place;
use super::{Load, titled};
use crate::config::acme::{Challenge, FOLDER, LISTEN, WrittenAcme, WrittenExternal};
use crate::config::facts::FileFault;
use crate::config::finding::Code;
use crate::config::name::is_proper_pattern;
use crate::config::shell::SYSTEM_ROOTS;
use crate::config::source::{At, Span};
use crate::config::value::{is_host_name, is_https_url};
use crate::config::written::{File, WrittenTls};
use crate::config::{AcmeAccount, AcmeProof, ExternalAccount, Listener, Secret};
use crate::sdp::base64_url_decode;
use crate::transport::Protocol;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Names of one certificate: what public authorities put into one.
const MOST_NAMES: usize = 100;

impl Load<'_> {
    /// The account, which identities with `acme = true` need.
    pub(super) fn acme_table(&mut self, file: &File, folder: String) -> Option<AcmeAccount> {
        let user = file.tls.iter().find(|tls| is_issued(tls));
        let written = match (&file.acme, user) {
            (Some(written), Some(_)) => written,
            (Some(written), None) => {
                self.out.add(
                    Code::Contradiction,
                    &written.span,
                    "acme: no [[tls]] has its certificate from this account",
                    Some("write acme = true and names = [\"sbc.example.com\"] in one, or remove the table".to_owned()),
                );
                return None;
            }
            (None, Some(tls)) => {
                self.out.add(
                    Code::MissingKey,
                    tls.acme.as_ref().map_or(&tls.name.span, |at| &at.span),
                    format!("{}: acme = true needs an account with an authority", titled("tls", &tls.name.value)),
                    Some("write [acme] and directory = \"https://acme.example.org/directory\", the URL that your authority names".to_owned()),
                );
                return None;
            }
            (None, None) => return None,
        };
        let roots = match &written.https_roots {
            Some(at) => at.clone(),
            None => At::new(SYSTEM_ROOTS.to_owned(), written.span.clone()),
        };
        if let Err(fault) = self.facts.roots(&roots.value) {
            self.file_fault("acme: https_roots", &roots, fault);
        }
        let contact = written.contact.iter().flat_map(|list| &list.value);
        let contact: Vec<String> = contact.map(|at| self.mail_address(at)).collect();
        let external = written.external.as_ref();
        let external = external.and_then(|external| self.external_account(external));
        let directory = written.directory.as_ref().map(|at| self.directory_url(at));
        let proof = self.acme_proof(file, written)?;
        self.wildcards_by_http(file, &proof);
        Some(AcmeAccount {
            directory: directory?,
            contact,
            https_roots: roots.value,
            external,
            proof,
            folder,
        })
    }

    fn mail_address(&mut self, at: &At<String>) -> String {
        let address = at.value.strip_prefix("mailto:").unwrap_or(&at.value);
        let is_plain = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|octet| octet.is_ascii_graphic() && !b",?\"<>@".contains(&octet))
        };
        let parts = address.split_once('@');
        if !parts.is_some_and(|(user, host)| is_plain(user) && is_host_name(host)) {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!(
                    "acme: contact \"{}\" is no mail address",
                    at.value.escape_debug()
                ),
                Some("write one address in each text, such as \"noc@example.com\"".to_owned()),
            );
        }
        address.to_owned()
    }

    fn directory_url(&mut self, at: &At<String>) -> String {
        if !is_https_url(&at.value) {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!(
                    "acme: directory \"{}\" is no URL that can be asked",
                    at.value.escape_debug()
                ),
                Some(
                    "write https://, a host, a port if it is not 443, and a path, and nothing else"
                        .to_owned(),
                ),
            );
        }
        at.value.clone()
    }

    fn external_account(&mut self, written: &WrittenExternal) -> Option<ExternalAccount> {
        let (key_id, key) = (written.key_id.as_ref()?, written.key.as_ref()?);
        // It is read when an account is made; who has one needs it no more.
        let (password, lacks) = self.lacking(true, |load| {
            load.shared_secret("acme: external_account", "key", key)
        });
        if password.is_none() && !lacks {
            return None;
        }
        if let Ok(found) = self.facts.password(&key.value)
            && base64_url_decode(found.octets.trim_ascii()).is_none()
        {
            self.out.add(
                Code::SecretMissing,
                &key.span,
                format!(
                    "acme: external_account: what is in {} is no key in base64",
                    key.value
                ),
                Some("copy the HMAC key as the authority shows it".to_owned()),
            );
        }
        Some(ExternalAccount {
            key_id: key_id.value.clone(),
            key: Secret::clone(&key.value),
        })
    }

    fn acme_proof(&mut self, file: &File, written: &WrittenAcme) -> Option<AcmeProof> {
        let challenge = written
            .challenge
            .as_ref()
            .map_or(Challenge::Http, |at| at.value);
        let (useless, needs) = match challenge {
            Challenge::Http => (written.hook.as_ref().map(|at| ("hook", &at.span)), "dns-01"),
            Challenge::Dns => (
                written.listen.as_ref().map(|at| ("listen", &at.span)),
                "http-01",
            ),
        };
        if let Some((key, span)) = useless {
            self.out.add(
                Code::Contradiction,
                span,
                format!("acme: \"{key}\" is for another challenge"),
                Some(format!("write challenge = \"{needs}\", or remove the key")),
            );
        }
        match (challenge, &written.hook) {
            (Challenge::Http, _) => {
                if let Some(at) = &written.listen {
                    self.port_of_proof(file, at);
                }
                let listen = written.listen.as_ref().map_or(LISTEN, |at| at.value);
                if self.facts.may_bind(listen.port()) == Some(false) {
                    let span = written.listen.as_ref().map_or(&written.span, |at| &at.span);
                    self.out.add(
                        Code::PrivilegedPort,
                        span,
                        format!(
                            "acme: the daemon may not listen on port {}: no certificate will be issued",
                            listen.port()
                        ),
                        Some(
                            "install the drop-in acme.conf that comes with the service, or write listen = \"[::]:8080\" and \
                             lead port 80 to it, or use challenge = \"dns-01\""
                                .to_owned(),
                        ),
                    );
                }
                Some(AcmeProof::Http { listen })
            }
            (Challenge::Dns, Some(hook)) => {
                if !hook.value.starts_with('/') {
                    self.out.add(
                        Code::BadForm,
                        &hook.span,
                        format!(
                            "acme: hook \"{}\" is no absolute path",
                            hook.value.escape_debug()
                        ),
                        Some(
                            "write where the program is, such as \"/usr/local/bin/acme-dns\""
                                .to_owned(),
                        ),
                    );
                }
                Some(AcmeProof::Dns {
                    hook: hook.value.clone(),
                })
            }
            (Challenge::Dns, None) => {
                self.out.add(
                    Code::MissingKey,
                    &written.challenge.as_ref().map_or(&written.span, |at| &at.span).clone(),
                    "acme: nothing is named that makes the records of dns-01",
                    Some("write hook = \"/usr/local/bin/acme-dns\"; it is called with \"add\" or \"remove\", name and value".to_owned()),
                );
                None
            }
        }
    }

    /// What listens for calls or serves metrics has its port always, the proof needs its own now and then.
    fn port_of_proof(&mut self, file: &File, at: &At<SocketAddr>) {
        let meets = |other: SocketAddr| {
            let is_any = |ip: IpAddr| ip.is_unspecified();
            other.port() == at.value.port()
                && (other.ip() == at.value.ip() || is_any(at.value.ip()) || is_any(other.ip()))
        };
        let is_rival = |own: &Listener| own.protocol != Protocol::Udp && meets(own.bind);
        let mut listeners = self.listeners.valid.values().map(|(own, _)| own);
        let rival = listeners.find(|own| is_rival(own));
        let rival = match (rival, &file.metrics) {
            (Some(rival), _) => Some(format!("listener \"{}\"", rival.name)),
            (None, Some(metrics)) if meets(metrics.value) => Some("[metrics]".to_owned()),
            (None, _) => None,
        };
        if let Some(rival) = rival {
            let cause = format!("acme: {rival} uses port {} already", at.value.port());
            let help =
                Some("listen on another port, and lead port 80 of the names to it".to_owned());
            self.out.add(Code::PortConflict, &at.span, cause, help);
        }
    }

    /// The folder of what is issued.
    pub(super) fn acme_folder(&mut self, file: &File) -> String {
        let written = file.acme.as_ref();
        let at = written.and_then(|written| written.folder.as_ref());
        let folder = at.map_or_else(|| FOLDER.to_owned(), |at| at.value.clone());
        let span = at
            .map(|at| &at.span)
            .or(written.map(|written| &written.span));
        if let Some(span) = span
            && let Err(FileFault::Unreadable(why) | FileFault::Unusable(why)) =
                self.facts.directory(&folder)
        {
            self.out.add(
                Code::FileUnreadable,
                span,
                format!("acme: folder {}: {why}", folder.escape_debug()),
                Some("make the folder above it and give it to the user of the daemon".to_owned()),
            );
        }
        folder
    }

    /// Names of the certificate that is asked for.
    fn issued_names(&mut self, title: &str, written: &WrittenTls) -> Vec<String> {
        let wanted =
            "write names = [\"sbc.example.com\"], the names of the trunks that have this identity";
        let span = written
            .acme
            .as_ref()
            .map_or(&written.name.span, |at| &at.span);
        let Some(list) = &written.names else {
            self.out.add(
                Code::MissingKey,
                span,
                format!("{title}: nobody says which names the certificate is to carry"),
                Some(wanted.to_owned()),
            );
            return Vec::new();
        };
        if list.value.len() > MOST_NAMES {
            self.out.add(
                Code::OutOfRange,
                &list.span,
                format!("{title}: a certificate for more than {MOST_NAMES} names"),
                Some("make several identities, or ask for a wildcard".to_owned()),
            );
        }
        let mut seen = BTreeSet::new();
        for at in &list.value {
            let name = at.value.to_ascii_lowercase();
            if !is_proper_pattern(&name) || !name.contains('.') || name.contains('_') {
                self.out.add(
                    Code::BadFqdn,
                    &at.span,
                    format!("{title}: \"{}\" is no name that an authority knows", at.value.escape_debug()),
                    Some("write whole names, such as \"sbc.example.com\" or \"*.customers.example.com\"".to_owned()),
                );
            }
            if !seen.insert(name) {
                self.out.add(
                    Code::DuplicateName,
                    &at.span,
                    format!("{title}: {} is there twice", at.value.escape_debug()),
                    Some("write each name once".to_owned()),
                );
            }
        }
        seen.into_iter().collect()
    }

    /// A page proves a host, and no wildcard (RFC 8555 §7.1.3).
    fn wildcards_by_http(&mut self, file: &File, proof: &AcmeProof) {
        if matches!(proof, AcmeProof::Dns { .. }) {
            return;
        }
        for tls in file.tls.iter().filter(|tls| is_issued(tls)) {
            let names = tls.names.iter().flat_map(|list| &list.value);
            for at in names.filter(|at| at.value.starts_with("*.")) {
                self.out.add(
                    Code::WildcardName,
                    &at.span,
                    format!("{}: http-01 proves no wildcard", titled("tls", &tls.name.value)),
                    Some("write challenge = \"dns-01\" and hook = \"…\" in [acme], or name every host".to_owned()),
                );
            }
        }
    }

    /// Where the certificate of an identity is that is issued by itself. What else says where it is, is
    /// contradicted.
    pub(super) fn is_issued_here(&mut self, title: &str, written: &WrittenTls) -> bool {
        let is_issued = is_issued(written);
        let mut contradict = |span: &Span, what: &str, help: &str| {
            self.out.add(
                Code::Contradiction,
                span,
                format!("{title}: {what}"),
                Some(help.to_owned()),
            );
        };
        match (is_issued, &written.names) {
            (false, Some(names)) => contradict(
                &names.span,
                "the names of a certificate that is a file stand in the file",
                "write acme = true, or remove names",
            ),
            (true, _) => {
                let cert = written.cert.as_ref().map(|at| ("cert", &at.span));
                let key = written.key.as_ref().map(|at| ("key", &at.span));
                for (word, span) in cert.into_iter().chain(key) {
                    contradict(
                        span,
                        &format!("\"{word}\" names a file, and acme = true asks an authority"),
                        "remove one of the two; what is issued is kept in the folder of [acme]",
                    );
                }
            }
            (false, None) => {}
        }
        is_issued
    }

    /// What is known of a certificate that an authority issues. That it is not there yet is no finding: the
    /// daemon asks for it.
    pub(super) fn issued_here(&mut self, title: &str, written: &WrittenTls, folder: &str) -> Place {
        let names = self.issued_names(title, written);
        let file = AcmeAccount::file_of(folder, &written.name.value);
        if let Err(FileFault::Unusable(why)) = self.facts.certificate(&file) {
            self.out.add(
                Code::BadCertificate,
                &written.name.span,
                format!("{title}: {}: {why}", file.escape_debug()),
                Some("remove the file, and the daemon asks for another certificate".to_owned()),
            );
        }
        Place {
            key: Secret::File(file.clone()),
            cert: file,
            // Without names there is one finding, and not one for each trunk.
            is_readable: !names.is_empty(),
            names: names.clone(),
            issued_for: Some(names),
        }
    }
}

fn is_issued(tls: &WrittenTls) -> bool {
    tls.acme.as_ref().is_some_and(|at| at.value)
}
