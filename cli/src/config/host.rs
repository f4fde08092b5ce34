//! Facts of this host: files, certificates, keys, addresses, ports.

use super::exposure::{exposure, trusted};
use super::revoked::read_revocations;
use super::roots;
use crate::daemon::confine;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sbc_core::config::{
    Certificate, Exposure, Facts, FileFault, Key, MICROSOFT_ROOTS, Password, Secret, Validity,
};
use sbc_core::time::UnixTime;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;

/// The machine that the process runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host;

/// Reads a secret from where it is said to be.
pub fn read_secret(secret: &Secret) -> Result<Vec<u8>, FileFault> {
    match secret {
        Secret::File(path) => read(Path::new(path)),
        Secret::Env(name) => std::env::var_os(name)
            .map(|value| value.into_encoded_bytes())
            .ok_or_else(|| FileFault::Unreadable(FileFault::UNSET.to_owned())),
        Secret::Credential(name) => read(&credential_path(name)?),
    }
}

/// Reads a private key in PEM.
pub fn read_key(secret: &Secret) -> Result<PrivateKeyDer<'static>, FileFault> {
    let pem = read_secret(secret)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|fault| {
        FileFault::Unusable(match fault {
            PemError::NoItemsFound => {
                "there is no private key in it, or it is encrypted".to_owned()
            }
            fault => format!("the private key cannot be read: {fault}"),
        })
    })
}

/// Reads the root certificates of a PEM file, or those that [`MICROSOFT_ROOTS`] stands for. All of
/// them must be usable: a root that is silently left out shows months later as a peer that is refused.
pub fn read_roots(path: &str) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), FileFault> {
    let certificates = match path {
        MICROSOFT_ROOTS => roots::microsoft()
            .map_err(|fault| FileFault::Unusable(format!("the built-in roots: {fault}")))?,
        path => read_certificates(path)?,
    };
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|fault| {
            FileFault::Unusable(format!(
                "certificate {} in it cannot serve as a root: {fault}",
                index + 1
            ))
        })?;
    }
    Ok((roots, certificates))
}

/// Reads every certificate of a PEM file, at least one.
pub fn read_certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let pem = read(Path::new(path))?;
    let certificates: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(list) if list.is_empty() => Err(FileFault::Unusable(
            "there is no certificate in it".to_owned(),
        )),
        Ok(list) => Ok(list),
        Err(fault) => Err(FileFault::Unusable(format!(
            "a certificate cannot be read: {fault}"
        ))),
    }
}

impl Facts for Host {
    fn certificate(&self, path: &str) -> Result<Certificate, FileFault> {
        let chain = read_certificates(path)?;
        let broken = || FileFault::Unusable("the certificate is broken".to_owned());
        let leaf = chain.first().ok_or_else(broken)?;
        let (_, certificate) = parse_x509_certificate(leaf).map_err(|_| broken())?;
        if certificate.is_ca() && chain.len() > 1 {
            return Err(FileFault::Unusable(
                "the first certificate in it is that of an authority; our own must come first"
                    .to_owned(),
            ));
        }
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension
                .value
                .general_names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                    _ => None,
                })
                .collect(),
            Ok(None) => Vec::new(),
            Err(_) => return Err(broken()),
        };
        let has_client_auth = match certificate.extended_key_usage() {
            Ok(Some(usage)) => usage.value.any || usage.value.client_auth,
            Ok(None) => true,
            Err(_) => return Err(broken()),
        };
        let rsa_bits = match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => u32::try_from(key.key_size()).ok(),
            Ok(_) | Err(_) => None,
        };
        let is_self_signed = certificate.issuer() == certificate.subject();
        let common_name = certificate.subject().iter_common_name().next();
        let common_name = common_name.and_then(|name| name.as_str().ok());
        Ok(Certificate {
            names,
            common_name: common_name.map(str::to_owned),
            validity: validity(
                certificate.validity().not_before.timestamp(),
                certificate.validity().not_after.timestamp(),
                now(),
            ),
            rsa_bits,
            authorities: authorities(&chain),
            is_self_signed,
            has_client_auth,
            has_chain: is_self_signed
                || chain.iter().skip(1).any(|other| {
                    parse_x509_certificate(other)
                        .is_ok_and(|(_, other)| other.subject() == certificate.issuer())
                }),
        })
    }

    fn key(&self, key: &Secret, certificate: &str) -> Result<Key, FileFault> {
        let der = read_key(key)?;
        let signer = any_supported_type(&der).map_err(|_| {
            FileFault::Unusable("the private key is of a kind that TLS cannot use".to_owned())
        })?;
        let exposure = exposure_of(key);
        Ok(Key {
            matches: read_certificates(certificate).map_or(true, |chain| {
                CertifiedKey::new(chain, signer).keys_match().is_ok()
            }),
            exposure,
        })
    }

    fn password(&self, secret: &Secret) -> Result<Password, FileFault> {
        let exposure = exposure_of(secret);
        Ok(Password {
            octets: read_secret(secret)?.into(),
            exposure,
        })
    }

    fn roots(&self, path: &str) -> Result<usize, FileFault> {
        read_roots(path).map(|(roots, _)| roots.len())
    }

    fn revocations(&self, path: &str, issuers: &str) -> Result<Validity, FileFault> {
        let revoked = read_revocations(path, issuers)?;
        let (from, until) = revoked.holds();
        Ok(validity(from, until, now()))
    }

    fn recording(&self, folder: &str, file: &str) -> Result<Arc<[i16]>, FileFault> {
        super::wav::read(folder, file)
    }

    fn until(&self, end: UnixTime) -> Validity {
        let end = i64::try_from(end.as_micros() / 1_000_000).unwrap_or(i64::MAX);
        validity(0, end, now())
    }

    fn directory(&self, path: &str) -> Result<(), FileFault> {
        let path = Path::new(path);
        confine::note_folder(path);
        if let Some(why) = confine::in_force().and_then(|own| own.protects(path)) {
            return Err(FileFault::Unreadable(why));
        }
        let fault = match fs::metadata(path) {
            Ok(facts) if facts.is_dir() => return Ok(()),
            Ok(_) => "it is no directory".to_owned(),
            // The daemon makes the last part itself.
            Err(_) if path.parent().is_some_and(Path::is_dir) => return Ok(()),
            Err(fault) => reason(path, &fault),
        };
        Err(FileFault::Unreadable(fault))
    }

    /// Asked of the kernel by binding: no list of interfaces says more, and no privilege is needed.
    fn has_address(&self, address: IpAddr) -> Option<bool> {
        match UdpSocket::bind((address, 0)) {
            Ok(_) => Some(true),
            Err(fault) if fault.kind() == io::ErrorKind::AddrNotAvailable => Some(false),
            Err(_) => None,
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        // Not by /proc/net, which ProcSubset=pid hides.
        let v4 = fs::read_to_string("/proc/self/net/fib_trie").unwrap_or_default();
        let v6 = fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
        let all: BTreeSet<IpAddr> = local_v4(&v4).chain(local_v6(&v6)).collect();
        all.into_iter().collect()
    }

    fn ephemeral_ports(&self) -> Vec<RangeInclusive<u16>> {
        let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}"));
        let range = read("ip_local_port_range").unwrap_or_default();
        let reserved = read("ip_local_reserved_ports").unwrap_or_default();
        unreserved(&range, &reserved)
    }

    fn may_bind(&self, port: u16) -> Option<bool> {
        if is_free_to_all(port) {
            return Some(true);
        }
        let status = fs::read_to_string("/proc/self/status").ok()?;
        may_bind_low(&status)
    }
}

/// Common names of who issued the certificates of a chain.
fn authorities(chain: &[CertificateDer<'_>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for der in chain {
        if let Ok((_, certificate)) = parse_x509_certificate(der) {
            let issuer = certificate.issuer().iter_common_name();
            names.extend(issuer.filter_map(|name| name.as_str().ok().map(str::to_owned)));
            names.dedup();
        }
    }
    names
}

/// Whether every user may listen on this port.
pub(super) fn is_free_to_all(port: u16) -> bool {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.ok().and_then(|text| text.trim().parse().ok());
    port >= first.unwrap_or(1024)
}

/// Whether a process with this status may listen on ports below 1024.
fn may_bind_low(status: &str) -> Option<bool> {
    const NET_BIND_SERVICE: u64 = 1 << 10;
    let has = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let has = u64::from_str_radix(has.trim(), 16).ok()?;
    Some(has & NET_BIND_SERVICE != 0)
}

/// What is left of a range, which is two numbers, without a list of ports and ranges, as the kernel writes both.
fn unreserved(range: &str, reserved: &str) -> Vec<RangeInclusive<u16>> {
    let mut ports = range.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(first)), Some(Ok(last))) = (ports.next(), ports.next()) else {
        return Vec::new();
    };
    let mut left = vec![first..=last];
    for taken in reserved.trim().split(',') {
        let (from, to) = taken.split_once('-').unwrap_or((taken, taken));
        let (Ok(from), Ok(to)) = (from.parse::<u16>(), to.parse::<u16>()) else {
            continue;
        };
        let parts = left.into_iter().flat_map(|own| {
            let before = *own.start()..=from.saturating_sub(1).min(*own.end());
            let behind = to.saturating_add(1).max(*own.start())..=*own.end();
            // Where there is no port before the first one, or behind the last one, nothing is left there.
            let before = (from > 0).then_some(before);
            let behind = (to < u16::MAX).then_some(behind);
            [before, behind]
        });
        left = parts.flatten().filter(|own| !own.is_empty()).collect();
    }
    left
}

/// The addresses of the host in the kernel's routing trie: each is a line, and what it is the next one.
fn local_v4(trie: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let lines = trie.lines().map(str::trim);
    let pairs = lines.clone().zip(lines.skip(1));
    let local = pairs.filter(|(_, what)| *what == "/32 host LOCAL");
    local.filter_map(|(address, _)| address.strip_prefix("|-- ")?.parse().ok())
}

/// The first word of each line of the kernel's list is an address in 32 hexadecimal digits.
fn local_v6(list: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let words = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let numbers = words.filter_map(|word| u128::from_str_radix(word, 16).ok());
    numbers.map(|number| IpAddr::V6(number.into()))
}

/// `$CREDENTIALS_DIRECTORY/name`, or `secrets_name` when the unit loads a whole directory. Outside
/// the service, where an operator runs `check`, the directory that the unit loads from.
fn credential_path(name: &str) -> Result<PathBuf, FileFault> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(FileFault::Unreadable("this cannot be its name".to_owned()));
    }
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        return Ok(Path::new("/etc/causeway/secrets").join(name));
    };
    let folder = PathBuf::from(folder);
    let alone = folder.join(name);
    match alone.exists() {
        true => Ok(alone),
        false => Ok(folder.join(format!("secrets_{name}"))),
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileFault> {
    read_up_to(path, 1)
}

/// Reads a file of at most so many MiB.
pub(super) fn read_up_to(path: &Path, most: u64) -> Result<Vec<u8>, FileFault> {
    let too_large = || FileFault::Unusable(format!("it is larger than {most} MiB"));
    confine::note_file(path);
    let unreadable = |fault: io::Error| FileFault::Unreadable(reason(path, &fault));
    let facts = fs::metadata(path).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(FileFault::Unreadable("it is no file".to_owned()));
    }
    match facts.len() > most << 20 {
        true => Err(too_large()),
        false => fs::read(path).map_err(unreadable),
    }
}

/// Why this cannot be read.
pub(super) fn reason(path: &Path, fault: &io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::NotFound => FileFault::ABSENT.to_owned(),
        io::ErrorKind::PermissionDenied => {
            let own = confine::in_force().and_then(|own| own.hides(path));
            own.unwrap_or_else(|| FileFault::DENIED.to_owned())
        }
        _ => fault.to_string(),
    }
}

fn exposure_of(secret: &Secret) -> Exposure {
    match secret {
        Secret::File(path) => exposure(Path::new(path), &trusted()),
        // Environment and credentials are readable for the service's user only.
        Secret::Env(_) | Secret::Credential(_) => Exposure::None,
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

fn validity(not_before: i64, not_after: i64, now: i64) -> Validity {
    if now < not_before {
        Validity::NotYet
    } else if now > not_after {
        Validity::Expired
    } else {
        let days = (not_after - now) / 86_400;
        Validity::Valid {
            days_left: u32::try_from(days).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_not_given_to_outgoing_connections() {
        let left = |reserved: &str| unreserved("32768\t60999\n", reserved);
        assert_eq!(left("\n"), [32_768..=60_999]);
        assert_eq!(left("8080\n"), [32_768..=60_999]);
        assert_eq!(
            left("40000-49999,60999\n"),
            [32_768..=39_999, 50_000..=60_998]
        );
        assert_eq!(left("0-65535\n"), []);
        assert_eq!(left("32768-40000,40001,40003-65535\n"), [40_002..=40_002]);
        assert_eq!(unreserved("", ""), []);
    }

    #[test]
    fn low_ports_need_their_capability() {
        let status = "Name:\tx\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\n";
        assert_eq!(may_bind_low(status), Some(true));
        assert_eq!(
            may_bind_low(&status.replace("CapEff:\t0000000000000400", "CapEff:\t0000000000000000")),
            Some(false)
        );
        assert_eq!(may_bind_low("Name:\tx\n"), None);
        assert_eq!(Host.may_bind(8080), Some(true));
    }

    #[test]
    fn the_kernel_tells_the_addresses_of_this_host() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     +-- 192.0.2.0/24 2 0 2\n        |-- 192.0.2.0\n           \
                    /24 link UNICAST\n        |-- 192.0.2.2\n           /32 host LOCAL\n        |-- 192.0.2.255\n           \
                    /32 link BROADCAST\n";
        let v4: Vec<_> = local_v4(trie).collect();
        assert_eq!(v4, ["192.0.2.2".parse::<IpAddr>().unwrap()]);
        let list = "20010db8000000000000000000000002 04 40 00 82     eth0\ngarbage\n";
        let v6: Vec<_> = local_v6(list).collect();
        assert_eq!(v6, ["2001:db8::2".parse::<IpAddr>().unwrap()]);
        for file in ["fib_trie", "if_inet6"] {
            let both = ["/proc/net", "/proc/self/net"];
            let both = both.map(|folder| fs::read_to_string(format!("{folder}/{file}")).ok());
            assert_eq!(both[0], both[1], "{file}");
        }
        let here = Host.addresses();
        assert!(here.contains(&"127.0.0.1".parse().unwrap()), "{here:?}");
    }
}
