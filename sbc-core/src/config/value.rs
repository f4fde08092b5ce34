//! Values written as text: durations, sizes, ranges, addresses, targets, secrets.

use super::{IpNet, NumberRange};
use crate::time::UnixTime;
use crate::transport::Protocol;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Text that does not have the form it should have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed {
    /// What is wrong; follows the text in a sentence.
    pub(super) what: &'static str,
    /// What to write.
    pub(super) instead: &'static str,
}

const fn malformed<T>(what: &'static str, instead: &'static str) -> Result<T, Malformed> {
    Err(Malformed { what, instead })
}

/// `500ms`, `3s`, `10m`, `4h`, `1d`.
pub(super) fn duration(text: &str) -> Result<Duration, Malformed> {
    const INSTEAD: &str = "write a number and ms, s, m, h or d, such as \"3s\"";
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let Ok(number) = number.parse::<u64>() else {
        return malformed("is not a duration", INSTEAD);
    };
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return malformed("is not a duration", INSTEAD),
    };
    match number.checked_mul(unit_ms) {
        Some(ms) if ms <= 366 * 86_400_000 => Ok(Duration::from_millis(ms)),
        _ => malformed("is longer than a year", INSTEAD),
    }
}

/// `512KiB`, `64MiB`, `1GiB`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, Malformed> {
    const INSTEAD: &str = "write a number and KiB, MiB or GiB, such as \"64MiB\"";
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return malformed("is not a size", INSTEAD),
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
    {
        Some(bytes) if bytes <= 1 << 50 => Ok(bytes),
        _ => malformed("is not a size", INSTEAD),
    }
}

/// `49152-53247`.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, Malformed> {
    const INSTEAD: &str = "write the first and the last port, such as \"20000-29999\"";
    let parsed = text.split_once('-').and_then(|(first, last)| {
        Some((
            first.trim().parse::<u16>().ok()?,
            last.trim().parse::<u16>().ok()?,
        ))
    });
    match parsed {
        Some((first, last)) if first <= last && first > 0 => Ok(first..=last),
        _ => malformed("is not a range of ports", INSTEAD),
    }
}

/// One exact unicast address (pitfall: a wildcard would end up in Via, Contact and SDP).
pub(super) fn address(text: &str) -> Result<IpAddr, Malformed> {
    text.parse().or(malformed(
        "is not an IP address",
        "write one address, such as \"203.0.113.5\" or \"2001:db8::5\"",
    ))
}

/// Why an address is not one exact unicast address, if it is not.
pub(super) fn inexact(address: IpAddr) -> Option<&'static str> {
    match address {
        address if address.is_unspecified() => Some("is a wildcard"),
        address if address.is_multicast() => Some("is a multicast address"),
        IpAddr::V4(address) if address.is_broadcast() => Some("is the broadcast address"),
        IpAddr::V6(address) if is_mapped(address) => Some("is an IPv4 address in IPv6 clothing"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

/// `2027-03-26T08:00:00Z`, or with an offset: `2027-03-26T08:00:00+01:00`.
pub(super) fn time(text: &str) -> Result<UnixTime, Malformed> {
    UnixTime::of_offset(text).ok_or(Malformed {
        what: "is no time",
        instead: "write \"2027-03-26T08:00:00Z\", or \"2027-03-26T09:00:00+01:00\"",
    })
}

/// `127.0.0.1:9464`.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Malformed> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => malformed(
            "is not an address with a port",
            "write address and port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"",
        ),
    }
}

/// `192.0.2.0/28` or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, Malformed> {
    const INSTEAD: &str = "write an address and a prefix length, such as \"192.0.2.0/28\"";
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return malformed("is not an address range", INSTEAD);
    };
    let most = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let prefix = match prefix.map(str::parse::<u8>) {
        None => most,
        Some(Ok(prefix)) if prefix <= most => prefix,
        Some(_) => return malformed("has a prefix that is too long", INSTEAD),
    };
    let net = IpNet { address, prefix };
    if net.first() != address {
        return malformed(
            "has bits set behind the prefix",
            "write the first address of the range, or a longer prefix",
        );
    }
    Ok(net)
}

/// `+493023125000-+493023125999`, or one number.
pub(super) fn numbers(text: &str) -> Result<NumberRange, Malformed> {
    const INSTEAD: &str =
        "write E.164 numbers with +, such as \"+493023125000-+493023125999\", both of one length";
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first.trim(), last.trim()),
        None => (text, text),
    };
    let is_number = |number: &str| {
        number.strip_prefix('+').is_some_and(|digits| {
            (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    if !is_number(first) || !is_number(last) {
        return malformed("is not a range of numbers", INSTEAD);
    }
    if first.len() != last.len() {
        return malformed("has ends of different length", INSTEAD);
    }
    if first > last {
        return malformed("ends before it begins", INSTEAD);
    }
    Ok(NumberRange {
        first: first.to_owned(),
        last: last.to_owned(),
    })
}

/// A target as written: `host`, `host:port`, `host;tls`, `host:port;tls`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct WrittenTarget {
    /// Name or literal address, names in lower case.
    pub(super) host: String,
    /// Port, if written.
    pub(super) port: Option<u16>,
    /// Protocol, if written.
    pub(super) protocol: Option<Protocol>,
}

/// Reads a target.
pub(super) fn target(text: &str) -> Result<WrittenTarget, Malformed> {
    const INSTEAD: &str = "write host:port;transport, such as \"sip.example.com:5061;tls\"";
    let (place, protocol) = match text.split_once(';') {
        None => (text, None),
        Some((place, word)) => match word.strip_prefix("transport=").unwrap_or(word) {
            "udp" => (place, Some(Protocol::Udp)),
            "tcp" => (place, Some(Protocol::Tcp)),
            "tls" => (place, Some(Protocol::Tls)),
            _ => return malformed("names an unknown transport", INSTEAD),
        },
    };
    let bad = || malformed("is not a host with an optional port", INSTEAD);
    // A bare IPv6 address has colons of its own.
    let (host, port) = if let Ok(address) = place.parse::<IpAddr>() {
        (address.to_string(), None)
    } else if let Some(rest) = place.strip_prefix('[') {
        let Some((inner, rest)) = rest.split_once(']') else {
            return bad();
        };
        let Ok(address) = inner.parse::<Ipv6Addr>() else {
            return bad();
        };
        match rest {
            "" => (address.to_string(), None),
            rest => match rest.strip_prefix(':').map(port_number) {
                Some(Some(port)) => (address.to_string(), Some(port)),
                _ => return bad(),
            },
        }
    } else {
        match place.split_once(':') {
            None => (place.to_ascii_lowercase(), None),
            Some((host, port)) => match port_number(port) {
                Some(port) => (host.to_ascii_lowercase(), Some(port)),
                None => return bad(),
            },
        }
    };
    if host.parse::<IpAddr>().is_err() && !is_host_name(&host) {
        return bad();
    }
    if let Ok(address) = host.parse::<IpAddr>()
        && inexact(address).is_some()
    {
        return malformed("is not an address to send to", INSTEAD);
    }
    Ok(WrittenTarget {
        host,
        port,
        protocol,
    })
}

fn port_number(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}

/// Whether the text is a host name: labels of letters, digits and inner hyphens, at most 253
/// characters, the last label not a number.
pub(super) fn is_host_name(text: &str) -> bool {
    let mut last_is_number = false;
    for label in text.split('.') {
        let is_label = (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_label {
            return false;
        }
        last_is_number = label.bytes().all(|byte| byte.is_ascii_digit());
    }
    text.len() <= 253 && !last_is_number
}

/// `https://host[:port]/path`: no user, no question, no fragment.
pub(super) fn is_https_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else {
        return false;
    };
    let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_socket = place.parse::<SocketAddr>().is_ok_and(|own| own.port() != 0);
    let (host, port) = place.split_once(':').unwrap_or((place, "443"));
    let is_place = is_socket
        || place.parse::<IpAddr>().is_ok()
        || is_host_name(host) && port.parse::<u16>().is_ok_and(|port| port != 0);
    let plain = |octet: u8| octet.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&octet);
    is_place && path.bytes().all(plain)
}

/// Whether the text may be the beginning of a number.
pub(super) fn is_number_start(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_digit = |octet: u8| octet.is_ascii_digit() || matches!(octet, b'*' | b'#');
    (1..=32).contains(&text.len()) && digits.bytes().all(is_digit)
}

/// Whether the text may name an object of the configuration: it becomes a metric label, a word in
/// logs and part of a file name.
pub(super) fn is_object_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !text.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_place_and_a_path_of_https() {
        for good in [
            "https://acme.example.org/directory",
            "https://acme.example.org:14000/dir",
            "https://127.0.0.1:14000/dir",
            "https://[::1]:14000/dir",
            "https://localhost:14000",
        ] {
            assert!(is_https_url(good), "{good}");
        }
        for bad in [
            "http://acme.example.org/directory",
            "acme.example.org/directory",
            "https://",
            "https:///directory",
            "https://user@acme.example.org/",
            "https://acme.example.org:0/",
            "https://acme.example.org:x/",
            "https://acme.example.org/a b",
            "https://acme.example.org/?a",
            "https://acme.example.org/#a",
        ] {
            assert!(!is_https_url(bad), "{bad}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_end_before_a_year() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in [
            "",
            "3",
            "s",
            "3 s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "400d",
            "3S",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        for wrong in ["64MB", "64", "MiB", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn port_ranges_go_upwards_and_exclude_zero() {
        assert_eq!(ports("20000-29999"), Ok(20_000..=29_999));
        for wrong in ["20000", "2-1", "0-5", "1-70000", "a-b"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_name_their_first_address() {
        assert!(network("192.0.2.0/28").is_ok());
        assert_eq!(network("192.0.2.7").map(|net| net.prefix), Ok(32));
        assert_eq!(network("2001:db8::/32").map(|net| net.prefix), Ok(32));
        for wrong in ["192.0.2.7/28", "192.0.2.0/33", "x/8", "2001:db8::/129"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn number_ranges_have_ends_of_one_length() {
        let range = numbers("+493023125000-+493023125999").unwrap();
        assert!(range.contains("+493023125500") && !range.contains("+4930231255000"));
        assert!(numbers("+493023125").is_ok());
        for wrong in [
            "493023125",
            "+49-+4930",
            "+493023126-+493023125",
            "+49a",
            "+",
        ] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets_take_names_addresses_ports_and_transports() {
        let read = |text: &str| {
            let target = target(text).unwrap();
            (target.host, target.port, target.protocol)
        };
        assert_eq!(
            read("SIP.Example.com"),
            ("sip.example.com".into(), None, None)
        );
        assert_eq!(
            read("sip.example.com:5061;tls"),
            ("sip.example.com".into(), Some(5061), Some(Protocol::Tls))
        );
        assert_eq!(
            read("[2001:db8::1]:5062;transport=tcp"),
            ("2001:db8::1".into(), Some(5062), Some(Protocol::Tcp))
        );
        assert_eq!(read("192.0.2.1"), ("192.0.2.1".into(), None, None));
        assert_eq!(read("2001:db8::1").1, None);
        for wrong in [
            "",
            "a b",
            "host:0",
            "host:99999",
            "host;sctp",
            "0.0.0.0",
            "300.1.1.1",
            "x:+5",
        ] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
