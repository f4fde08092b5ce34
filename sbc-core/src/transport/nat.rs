//! Who is behind a NAT, as far as addresses show: he gives an address that is his alone, and is heard from
//! one that everybody can reach (SIP-107).

use std::net::IpAddr;

/// Whether what a peer calls itself cannot be reached from where it is heard: the first is an address of
/// a private network (RFC 1918, RFC 6598, RFC 4193, link-local), the second is none.
pub fn hides(own: IpAddr, heard: IpAddr) -> bool {
    is_inside(own) && !is_inside(heard)
}

/// Whether an address means something within one network only.
pub fn is_inside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            v4.is_private() || v4.is_link_local() || v4.is_loopback() || is_shared
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_address_is_hidden_from_outside_alone() {
        let hides = |own: &str, heard: &str| hides(own.parse().unwrap(), heard.parse().unwrap());
        let inside = [
            "10.0.0.5",
            "172.31.0.1",
            "192.168.1.1",
            "100.127.0.1",
            "169.254.0.1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.5",
        ];
        for own in inside {
            assert!(hides(own, "198.51.100.20"), "{own}");
            assert!(
                !hides(own, "10.1.1.1"),
                "{own}: one network, or two that we stand in"
            );
        }
        for own in ["198.51.100.30", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!hides(own, "198.51.100.20"), "{own}");
        }
    }
}
