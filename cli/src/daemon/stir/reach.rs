//! Which addresses a stranger may have us connect to (SEC-120): those of the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where credentials may be fetched from.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Whether an address is one of those.
    pub admits: fn(IpAddr) -> bool,
    /// Port to connect to instead of that of the URL, for servers of tests.
    pub port: Option<u16>,
}

impl Reach {
    /// The public internet.
    pub const PUBLIC: Self = Self {
        admits: is_public,
        port: None,
    };
}

/// Whether an address is of the public internet: none of ours, of our networks, of this link, or of a
/// service that a cloud shows to its machines only. What stands for an IPv4 address is judged as that.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        // Shared by carriers (RFC 6598), protocol assignments, benchmarks, and what is reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let segments = address.segments();
    let [first, second, ..] = segments;
    let [.., high, low] = segments;
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (first, second) {
        // NAT64 and 6to4 lead to the IPv4 address in them.
        (0x64, 0xff9b) => segments[2..6] == [0; 4] && embedded(high, low),
        (0x2002, _) => embedded(segments[1], segments[2]),
        // Teredo, ORCHID and documentation.
        (0x2001, 0x0..=0x1ff | 0xdb8) | (0x3fff, _) => false,
        // Global unicast is 2000::/3; everything else has no business here.
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_reached() {
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "2002:808:808::1",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for ours in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(ours.parse().expect("an address")), "{ours}");
        }
    }
}
