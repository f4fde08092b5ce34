//! Realms, TLS identities and listeners.

use super::account::unread;
use super::{Load, titled};
use crate::config::facts::Validity;
use crate::config::finding::Code;
use crate::config::shell::{RevokedFiles, TlsFiles};
use crate::config::source::{At, Span};
use crate::config::value;
use crate::config::written::{File, TlsVersion, WrittenListener, WrittenRealm, WrittenTls};
use crate::config::{
    Belief, Config, IpNet, Listener, MediaBackend, Realm, Secret, TargetAddress, TlsContext,
    VerifyClient,
};
use crate::id::{ListenerName, RealmName, TlsContextName};
use crate::media::OwnPlaces;
use crate::transport::Protocol;
use media_api::RealmId;
use media_api::wire::{DIGEST_OF_NOTHING, digest};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Nothing at an address is for media.
#[expect(clippy::reversed_empty_ranges, reason = "it is meant to be empty")]
const NO_PORTS: RangeInclusive<u16> = 1..=0;

/// Where the certificate of an identity is, and what is known of it.
pub(super) struct Place {
    pub(super) cert: String,
    pub(super) key: Secret,
    pub(super) names: Vec<String>,
    pub(super) is_readable: bool,
    pub(super) issued_for: Option<Vec<String>>,
}

impl Load<'_> {
    /// Our addresses where this trunk's media may not be sent, with the ports that are for media. Where
    /// its peer is said to be at one of them, that one is the peer's as much as ours.
    pub(super) fn own_places(&self, peers: &[IpNet], targets: &[At<TargetAddress>]) -> OwnPlaces {
        let hosts = targets.iter().filter_map(|at| at.value.host.parse().ok());
        let single = peers.iter().filter(|net| net.is_single());
        let shared: Vec<IpAddr> = single.map(|net| net.address).chain(hosts).collect();
        let realms = self.realms.valid.values().map(|(realm, _)| realm);
        let places = realms.flat_map(|realm| {
            let v4 = [realm.v4, realm.advertise_v4].map(|ip| ip.map(IpAddr::V4));
            let v6 = [realm.v6, realm.advertise_v6].map(|ip| ip.map(IpAddr::V6));
            let addresses = v4.into_iter().chain(v6).flatten();
            addresses.map(|ip| (ip, realm.ports.clone()))
        });
        // Loopback addresses have a rule of their own: only realms there send to them.
        let interfaces = self.interfaces.iter().filter(|ip| !ip.is_loopback());
        let interfaces = interfaces.map(|ip| (*ip, NO_PORTS));
        let places = places.chain(interfaces);
        OwnPlaces::new(places.filter(|(ip, _)| !shared.contains(ip)))
    }

    /// The addresses at which metrics, the API and its console are served, and notices are taken.
    pub(super) fn interfaces(&self, file: &File) -> Vec<IpAddr> {
        let notices = file.notices.as_ref();
        let notices = notices.and_then(|own| own.listen.as_ref());
        let served = [file.metrics.as_ref(), file.api.listen.as_ref(), notices];
        let places = served.into_iter().flatten().flat_map(|at| {
            let ip = at.value.ip();
            if !ip.is_unspecified() {
                return vec![ip];
            }
            // "[::]" serves both families.
            let mut all = self.facts.addresses();
            all.retain(|own| ip.is_ipv6() || own.is_ipv4());
            all
        });
        places.collect()
    }

    pub(super) fn build_realms(&mut self, file: &File, previous: Option<&Config>) {
        let mut taken: BTreeSet<u16> = previous
            .iter()
            .flat_map(|config| config.realms.values())
            .map(|realm| realm.id.0)
            .collect();
        let ephemeral = self.facts.ephemeral_ports();
        for written in &file.realms {
            let is_new = self.realms.declare(&written.name, &mut self.out);
            let name = RealmName::new(&written.name.value);
            let known = previous.and_then(|config| config.realms.get(&name));
            let id = known.map(|realm| realm.id).unwrap_or_else(|| {
                let free = number_of(&name, &taken);
                taken.insert(free);
                RealmId(free)
            });
            let realm = self.realm(written, name.clone(), id, &ephemeral);
            if let (Some(realm), true) = (realm, is_new) {
                self.realms
                    .valid
                    .insert(name, (Arc::new(realm), written.name.span.clone()));
            }
        }
    }

    fn realm(
        &mut self,
        written: &WrittenRealm,
        name: RealmName,
        id: RealmId,
        ephemeral: &[RangeInclusive<u16>],
    ) -> Option<Realm> {
        let title = titled("realm", name.as_str());
        let (mut v4, mut v6) = (None::<Ipv4Addr>, None::<Ipv6Addr>);
        let addresses = written.addresses.as_ref();
        for address in addresses
            .map(|list| list.value.as_slice())
            .unwrap_or_default()
        {
            if let Some(why) = value::inexact(address.value) {
                self.inexact(&title, address, why);
                continue;
            }
            let is_second = match address.value {
                IpAddr::V4(address) => v4.replace(address).is_some(),
                IpAddr::V6(address) => v6.replace(address).is_some(),
            };
            if is_second {
                self.out.add(
                    Code::RealmAddress,
                    &address.span,
                    format!("{title}: a second address of the same family"),
                    Some("make another realm for it".to_owned()),
                );
            }
            if self.facts.has_address(address.value) == Some(false) {
                self.out.add(
                    Code::AddressAbsent,
                    &address.span,
                    format!("{title}: {} is not an address of this host", address.value),
                    Some(
                        "the daemon does not start here until the address is there; behind NAT \
                         write the local address here and the public one under advertise"
                            .to_owned(),
                    ),
                );
            }
        }
        let advertise_v4 = self.advertised(&title, &written.advertise_v4, v4.is_some(), "v4");
        let advertise_v6 = self.advertised(&title, &written.advertise_v6, v6.is_some(), "v6");
        let advertise_host = self.common_name(&title, written);
        let ports = self.media_ports(&title, written, ephemeral);
        if v4.is_none() && v6.is_none() {
            return None;
        }
        Some(Realm {
            name,
            id,
            v4,
            v6,
            advertise_v4: advertise_v4.and_then(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }),
            advertise_v6: advertise_v6.and_then(|address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            }),
            advertise_host,
            ports: ports?,
            dscp: written.dscp.as_ref().map_or(46, |at| at.value),
            signalling_dscp: written.signalling_dscp.as_ref().map_or(24, |at| at.value),
            media_backend: self.media_backend(&title, written, v4, v6),
        })
    }

    fn inexact(&mut self, title: &str, address: &At<IpAddr>, why: &str) {
        self.out.add(
            Code::InexactAddress,
            &address.span,
            format!("{title}: {} {why}", address.value),
            Some(
                "write one exact address: it is what peers read in Via, Contact and SDP".to_owned(),
            ),
        );
    }

    fn advertised(
        &mut self,
        title: &str,
        written: &Option<At<IpAddr>>,
        has_family: bool,
        family: &str,
    ) -> Option<IpAddr> {
        let at = written.as_ref()?;
        if let Some(why) = value::inexact(at.value) {
            self.inexact(title, at, why);
            return None;
        }
        let is_right = matches!(
            (at.value, family),
            (IpAddr::V4(_), "v4") | (IpAddr::V6(_), "v6")
        );
        if !is_right || !has_family {
            self.out.add(
                Code::RealmAddress,
                &at.span,
                match is_right {
                    true => format!("{title} advertises {family}, but has no such address"),
                    false => format!("{title}: {} is no {family} address", at.value),
                },
                Some("advertise what peers see instead of a local address".to_owned()),
            );
            return None;
        }
        Some(at.value)
    }

    /// The name that stands for the realm's addresses in signalling.
    fn common_name(&mut self, title: &str, written: &WrittenRealm) -> Option<String> {
        let at = written.advertise_host.as_ref()?;
        let name = at.value.to_ascii_lowercase();
        if value::is_host_name(&name) && name.contains('.') && !name.contains('_') {
            return Some(name);
        }
        self.out.add(
            Code::BadFqdn,
            &at.span,
            format!(
                "{title}: advertise: host \"{}\" is no fully qualified name",
                at.value.escape_debug()
            ),
            Some("write a name, such as \"sbc.example.com\"; addresses are v4 and v6".to_owned()),
        );
        None
    }

    fn media_backend(
        &mut self,
        title: &str,
        written: &WrittenRealm,
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
    ) -> MediaBackend {
        let Some(at) = &written.media_backend else {
            return MediaBackend::default();
        };
        let is_loopback =
            v4.is_some_and(|v4| v4.is_loopback()) || v6.is_some_and(|v6| v6.is_loopback());
        if is_loopback && at.value != MediaBackend::Socket {
            self.out.add(
                Code::XdpOnLoopback,
                &at.span,
                format!(
                    "{title}: packets of a loopback address never leave the host, and go by sockets"
                ),
                Some("remove the key".to_owned()),
            );
        }
        at.value
    }

    fn media_ports(
        &mut self,
        title: &str,
        written: &WrittenRealm,
        ephemeral: &[RangeInclusive<u16>],
    ) -> Option<RangeInclusive<u16>> {
        let at = written.ports.as_ref()?;
        let (first, last) = (*at.value.start(), *at.value.end());
        // RTP is on the even port, RTCP on the odd one above it.
        let first_even = u32::from(first) + u32::from(first % 2);
        if first < 1024 || first_even + 1 > u32::from(last) {
            self.out.add(
                Code::PortRange,
                &at.span,
                match first < 1024 {
                    true => format!("{title}: ports below 1024 are not for media"),
                    false => format!("{title}: no even port with its odd neighbour in the range"),
                },
                Some(
                    "write a range such as \"20000-29999\"; a call takes two ports here".to_owned(),
                ),
            );
            return None;
        }
        let mut theirs = ephemeral.iter();
        if let Some(theirs) = theirs.find(|own| *own.start() <= last && first <= *own.end()) {
            self.out.add(
                Code::EphemeralOverlap,
                &at.span,
                format!(
                    "{title}: ports overlap {}-{}, which this host gives to outgoing connections",
                    theirs.start(),
                    theirs.end()
                ),
                Some(format!(
                    "set net.ipv4.ip_local_reserved_ports = {first}-{last}, or choose other ports"
                )),
            );
        }
        Some(at.value.clone())
    }

    pub(super) fn build_tls(&mut self, file: &File, previous: Option<&Config>, acme_folder: &str) {
        for written in &file.tls {
            let is_new = self.tls.declare(&written.name, &mut self.out);
            let name = TlsContextName::new(&written.name.value);
            // A reload keeps what works.
            let may_lack = previous.is_none_or(|before| {
                let before = before.tls.get(&name);
                before.is_some_and(|before| before.lacks_key)
            });
            let (context, lacks_key) = self.lacking(may_lack, |load| {
                load.tls_context(written, name.clone(), acme_folder)
            });
            if let (Some((mut facts, files)), true) = (context, is_new) {
                facts.lacks_key = lacks_key;
                if let Some(files) = files {
                    self.files.insert(name.clone(), files);
                }
                self.tls
                    .valid
                    .insert(name, (Arc::new(facts), written.name.span.clone()));
            }
        }
    }

    /// The files are absent when the certificate cannot be read: nobody knows its names then, and
    /// there is one finding instead of one per trunk.
    fn tls_context(
        &mut self,
        written: &WrittenTls,
        name: TlsContextName,
        acme_folder: &str,
    ) -> Option<(TlsContext, Option<TlsFiles>)> {
        let title = titled("tls", name.as_str());
        let verify_client = match (&written.verify_client, &written.client_ca) {
            (Some(at), _) => at.value,
            (None, Some(_)) => VerifyClient::Require,
            (None, None) => VerifyClient::Off,
        };
        match &written.client_ca {
            Some(path) => {
                if let Err(fault) = self.facts.roots(&path.value) {
                    self.file_fault(&format!("{title}: client_ca"), path, fault);
                }
            }
            None if verify_client == VerifyClient::Require => {
                let span = written
                    .verify_client
                    .as_ref()
                    .map_or(&written.name.span, |at| &at.span);
                self.out.add(
                    Code::Contradiction,
                    span,
                    format!("{title}: clients must show certificates, but no roots are given"),
                    Some("write client_ca = \"/etc/causeway/tls/roots.pem\"".to_owned()),
                );
            }
            None => {}
        }
        let revoked = self.revoked_peers(&title, written);
        let allow_wildcard = written.allow_wildcard.as_ref().is_some_and(|at| at.value);
        let place = match self.is_issued_here(&title, written) {
            true => self.issued_here(&title, written, acme_folder),
            false => {
                let (cert, key) = (written.cert.as_ref()?, written.key.as_ref()?);
                let names = self.certificate(&title, cert);
                self.private_key(&title, cert, key);
                Place {
                    cert: cert.value.clone(),
                    key: key.value.clone(),
                    is_readable: names.is_some(),
                    names: names.unwrap_or_default(),
                    issued_for: None,
                }
            }
        };
        let drains = Duration::from_secs(1)..=Duration::from_secs(86_400);
        let drain = written.drain.as_ref().map(|at| {
            let title = format!("{title}: drain");
            self.bounded(&title, &written.drain, drains, at.value)
        });
        let ages = Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);
        let max_age = written.max_age.as_ref().map(|at| {
            let title = format!("{title}: max_connection_age");
            self.bounded(&title, &written.max_age, ages, at.value)
        });
        let context = TlsContext {
            name,
            names: place.names,
            verify_client,
            allow_wildcard,
            believes: written.client_ca.as_ref().map(|at| Belief {
                roots: at.value.clone(),
                revoked: revoked.clone(),
            }),
            lacks_key: false,
        };
        let files = TlsFiles {
            cert: place.cert,
            key: place.key,
            client_ca: written.client_ca.as_ref().map(|at| at.value.clone()),
            verify_client,
            min: written.min.as_ref().map_or(TlsVersion::V1_2, |at| at.value),
            allow_wildcard,
            drain,
            max_age,
            revoked,
            issued_for: place.issued_for,
        };
        Some((context, place.is_readable.then_some(files)))
    }

    /// Lists of peers' certificates that were revoked. What they do not name is good (TDR-TLS-017).
    fn revoked_peers(&mut self, title: &str, written: &WrittenTls) -> Option<RevokedFiles> {
        let (lists, issuers) = (&written.crl, &written.crl_issuers);
        self.revoked_files(title, lists, issuers, &written.client_ca)
    }

    /// Lists of certificates of clients that were revoked, where clients are asked for one.
    pub(super) fn revoked_clients(
        &mut self,
        title: &str,
        (lists, issuers): (&Option<At<String>>, &Option<At<String>>),
        client_ca: &Option<At<String>>,
    ) -> Option<RevokedFiles> {
        if let (Some(lists), None) = (lists, client_ca) {
            self.out.add(
                Code::Contradiction,
                &lists.span,
                format!("{title}: crl without client_ca: nobody is asked for a certificate"),
                Some("write client_ca, or remove crl".to_owned()),
            );
            return None;
        }
        self.revoked_files(title, lists, issuers, client_ca)
    }

    fn revoked_files(
        &mut self,
        title: &str,
        lists: &Option<At<String>>,
        issuers: &Option<At<String>>,
        client_ca: &Option<At<String>>,
    ) -> Option<RevokedFiles> {
        self.issuers_without_lists(title, lists.as_ref(), issuers.as_ref());
        let issuers = issuers.as_ref().or(client_ca.as_ref());
        match (lists, issuers) {
            (Some(lists), Some(issuers)) => {
                self.revocations(&format!("{title}: crl"), lists, &issuers.value);
                Some(RevokedFiles {
                    lists: lists.value.clone(),
                    issuers: issuers.value.clone(),
                })
            }
            (Some(lists), None) => {
                self.out.add(
                    Code::Contradiction,
                    &lists.span,
                    format!("{title}: nobody is named who signs lists of revoked certificates"),
                    Some(
                        "write client_ca, or crl_issuers = \"/etc/causeway/tls/issuers.pem\""
                            .to_owned(),
                    ),
                );
                None
            }
            (None, _) => None,
        }
    }

    /// Whoever names who signs lists believes that lists are looked at.
    pub(super) fn issuers_without_lists(
        &mut self,
        title: &str,
        lists: Option<&At<String>>,
        issuers: Option<&At<String>>,
    ) {
        if let (None, Some(issuers)) = (lists, issuers) {
            self.out.add(
                Code::Contradiction,
                &issuers.span,
                format!(
                    "{title}: crl_issuers without crl: no certificate is looked up in any list"
                ),
                Some(
                    "write crl = \"/etc/causeway/tls/revoked.pem\", or remove crl_issuers"
                        .to_owned(),
                ),
            );
        }
    }

    fn certificate(&mut self, title: &str, path: &At<String>) -> Option<Vec<String>> {
        let certificate = match self.facts.certificate(&path.value) {
            Ok(certificate) => certificate,
            Err(fault) => {
                self.file_fault(&format!("{title}: cert"), path, fault);
                return None;
            }
        };
        self.check_validity(
            title,
            path,
            certificate.validity,
            (
                "its trunks do not work",
                "renew it; Microsoft warns the customer from 30 days on",
            ),
        );
        if !certificate.has_chain {
            self.out.add(
                Code::ChainIncomplete,
                &path.span,
                format!("{title}: the issuer of the certificate is not in the file"),
                Some(
                    "append the intermediates of the authority, peers need the chain; nothing to do \
                     if a root has signed the certificate itself"
                        .to_owned(),
                ),
            );
        }
        Some(certificate.names)
    }

    /// Findings about a certificate that is or will be too old; what follows from that, and what to do in time.
    pub(super) fn check_validity(
        &mut self,
        title: &str,
        path: &At<String>,
        validity: Validity,
        (follows, in_time): (&str, &str),
    ) {
        match validity {
            Validity::Valid { days_left } if days_left <= 30 => self.out.add(
                Code::CertificateEndsSoon,
                &path.span,
                format!("{title}: the certificate expires in {days_left} days"),
                Some(in_time.to_owned()),
            ),
            Validity::Valid { .. } => {}
            Validity::Expired => self.out.add(
                Code::CertificateExpired,
                &path.span,
                format!("{title}: the certificate has expired; {follows}"),
                Some("renew it; every peer refuses this one".to_owned()),
            ),
            Validity::NotYet => self.out.add(
                Code::CertificateExpired,
                &path.span,
                format!("{title}: the certificate is not valid yet"),
                Some("check the clock of this host".to_owned()),
            ),
        }
    }

    pub(super) fn private_key(
        &mut self,
        title: &str,
        cert: &At<String>,
        key: &At<crate::config::Secret>,
    ) {
        use crate::config::Secret;
        use crate::config::facts::FileFault;
        self.note_credential(title, &key.value);
        match self.facts.key(&key.value, &cert.value) {
            Err(FileFault::Unreadable(why)) => {
                let cause = format!("{title}: key in {}: {why}", key.value);
                match (&key.value, self.may_lack) {
                    (Secret::File(_), false) => self.out.add(
                        Code::FileUnreadable,
                        &key.span,
                        cause,
                        Some(unread("key", &why)),
                    ),
                    _ => self.absent(key, cause, ("key", &why)),
                }
            }
            Err(FileFault::Unusable(why)) => self.out.add(
                Code::BadCertificate,
                &key.span,
                format!("{title}: key in {}: {why}", key.value),
                Some(
                    "write a private key in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted".to_owned(),
                ),
            ),
            Ok(facts) => {
                if !facts.matches {
                    self.out.add(
                        Code::KeyMismatch,
                        &key.span,
                        format!(
                            "{title}: the key does not belong to {}",
                            cert.value.escape_debug()
                        ),
                        Some(
                        "use the key that the certificate was requested with; in the file of the \
                         certificate our own must be the first"
                            .to_owned(),
                    ),
                    );
                }
                if let Some((cause, help)) = facts.exposure.finding("key") {
                    let cause = format!("{title}: {cause}");
                    let help = Some(help);
                    self.out.add(Code::SecretExposed, &key.span, cause, help);
                }
            }
        }
    }

    pub(super) fn build_listeners(&mut self, file: &File) {
        for written in &file.listeners {
            if let Some(name) = &written.name {
                self.listeners.declare(name, &mut self.out);
            }
            let known = self.listeners.valid.len();
            self.listener(written);
            self.lacks_listener |= self.listeners.valid.len() == known;
        }
        for written in &file.listeners {
            self.stream_beside(written);
        }
    }

    /// Whoever listens for datagrams listens for connections on the same port (RFC 3261 §18.2.1), unless
    /// the operator says otherwise or has something else there.
    fn stream_beside(&mut self, written: &WrittenListener) {
        let is_datagram = written
            .protocol
            .as_ref()
            .is_some_and(|at| at.value == Protocol::Udp);
        if let (Some(at), false) = (&written.tcp, is_datagram) {
            self.out.add(
                Code::Contradiction,
                &at.span,
                "listen: \"tcp\" is about the listener beside one for udp",
                Some("remove the key".to_owned()),
            );
        }
        let is_wanted = written.tcp.as_ref().is_none_or(|at| at.value);
        if !is_datagram || !is_wanted {
            return;
        }
        let places: Vec<(Listener, Span)> = self
            .listeners
            .valid
            .values()
            .filter(|(own, span)| own.protocol == Protocol::Udp && *span == place_of(written))
            .map(|(own, span)| {
                let name = match &written.name {
                    Some(_) => format!("{}/tcp", own.name),
                    None => own.name.as_str().replacen("/udp/", "/tcp/", 1),
                };
                let listener = Listener {
                    name: ListenerName::new(&name),
                    protocol: Protocol::Tcp,
                    ..Listener::clone(own)
                };
                (listener, span.clone())
            })
            .collect();
        for (listener, span) in places {
            let is_taken = self.listeners.valid.values().any(|(other, _)| {
                other.protocol != Protocol::Udp && other.bind == listener.bind
                    || other.name == listener.name
            });
            if !is_taken {
                let entry = (Arc::new(listener), span);
                self.listeners.valid.insert(entry.0.name.clone(), entry);
            }
        }
    }

    fn listener(&mut self, written: &WrittenListener) {
        let title = match &written.name {
            Some(name) => format!("listen \"{}\"", name.value),
            None => "listen".to_owned(),
        };
        let realm = written
            .realm
            .as_ref()
            .and_then(|name| self.realms.find(name, &title, &mut self.out))
            .map(|(realm, _)| Arc::clone(realm));
        let tls = written.tls.as_ref().and_then(|name| {
            let found = self.tls.find(name, &title, &mut self.out);
            found.map(|(context, _)| context.name.clone())
        });
        // Its identity is broken, or is not there.
        self.lacks_listener |= written.tls.is_some() && tls.is_none();
        let Some(protocol) = &written.protocol else {
            return;
        };
        match (protocol.value, &written.tls) {
            (Protocol::Tls, None) => {
                self.out.add(
                    Code::ListenerTls,
                    &protocol.span,
                    format!("{title}: transport \"tls\" needs a TLS identity"),
                    Some("write tls = \"…\" with the name of a [[tls]]".to_owned()),
                );
                return;
            }
            (Protocol::Udp | Protocol::Tcp, Some(tls)) => {
                self.out.add(
                    Code::ListenerTls,
                    &tls.span,
                    format!(
                        "{title}: transport \"{}\" has no use for a TLS identity",
                        protocol.value
                    ),
                    Some("write transport = \"tls\", or remove the key".to_owned()),
                );
                return;
            }
            (Protocol::Tls, Some(_)) | (Protocol::Udp | Protocol::Tcp, None) => {}
        }
        let Some(realm) = realm else {
            return;
        };
        let port = written
            .port
            .as_ref()
            .map_or(protocol.value.default_port(), |at| at.value);
        let both = realm.v4.is_some() && realm.v6.is_some();
        let addresses = [realm.v4.map(IpAddr::V4), realm.v6.map(IpAddr::V6)];
        for address in addresses.into_iter().flatten() {
            let family = if address.is_ipv4() { "v4" } else { "v6" };
            let name = match (&written.name, both && address.is_ipv6()) {
                (Some(name), false) => name.value.clone(),
                (Some(name), true) => format!("{}/{family}", name.value),
                (None, _) => format!("{}/{}/{family}:{port}", realm.name, protocol.value),
            };
            let listener = Listener {
                name: ListenerName::new(&name),
                realm: realm.name.clone(),
                protocol: protocol.value,
                bind: SocketAddr::new(address, port),
                advertised: SocketAddr::new(realm.advertised(address), port),
                host: realm.advertise_host.clone(),
                tls: tls.clone(),
                dscp: realm.signalling_dscp,
            };
            self.place_listener(listener, written);
        }
    }

    /// A stream socket and a datagram socket may share a port; two of a kind may not.
    fn place_listener(&mut self, listener: Listener, written: &WrittenListener) {
        let span = place_of(written);
        let is_datagram = |protocol: Protocol| protocol == Protocol::Udp;
        let rival = self.listeners.valid.values().find(|(other, _)| {
            other.bind == listener.bind
                && is_datagram(other.protocol) == is_datagram(listener.protocol)
        });
        if let Some((rival, _)) = rival {
            self.out.add(
                Code::PortConflict,
                &span,
                format!("listener \"{}\" uses {} already", rival.name, listener.bind),
                Some("give each its own port".to_owned()),
            );
            return;
        }
        self.listeners
            .valid
            .insert(listener.name.clone(), (Arc::new(listener), span));
    }
}

/// Where a listener was written, for whoever has its port as well.
fn place_of(written: &WrittenListener) -> Span {
    let port = written.port.as_ref().map(|at| &at.span);
    let protocol = written.protocol.as_ref().map(|at| &at.span);
    port.or(protocol).unwrap_or(&written.span).clone()
}

/// The number of a realm towards the relay. It follows from the name, so that a relay that outlives the daemon knows the
/// same realm by it whatever realms have come and gone meanwhile; where another has it, from the next one on.
fn number_of(name: &RealmName, taken: &BTreeSet<u16>) -> u16 {
    let sum = digest(name.as_str().as_bytes(), DIGEST_OF_NOTHING);
    let [first, second, ..] = sum.to_le_bytes();
    let first = u16::from_le_bytes([first, second]);
    let mut all = (first..=u16::MAX).chain(0..first);
    all.find(|id| !taken.contains(id)).unwrap_or(first)
}
