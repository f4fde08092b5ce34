//! Whether the name of a trunk leads to this SBC and nowhere else: Teams allows one address for each name
//! (TDR-CON-007).

use super::Outcome;
use crate::daemon::resolver::Resolver;
use sbc_core::config::{Config, Trunk};
use sbc_core::locate::Families;
use sbc_core::query::{Outcome as Found, ResolveFault, ResolveSpec};
use sbc_core::transport::Protocol;
use std::net::{IpAddr, SocketAddr};

/// Looks a trunk's name up and compares it with the addresses that peers know us by.
pub async fn check(resolver: &Resolver, config: &Config, trunk: &Trunk) -> Outcome {
    let Some(fqdn) = &trunk.fqdn else {
        return Outcome::Skipped("the trunk has no name".to_owned());
    };
    let spec = ResolveSpec {
        host: fqdn.clone(),
        port: 0,
        protocol: Protocol::Tls,
        families: Families::BOTH,
    };
    let found = match resolver.resolve(&spec).await {
        Found::Resolved(addresses) => Ok(addresses.iter().map(SocketAddr::ip).collect()),
        Found::ResolveFailed(why) => Err(why),
        Found::Located(_) | Found::Won(_) | Found::Verified(_) => Ok(Vec::new()),
    };
    judged(fqdn, found, &ours(config, trunk))
}

/// Where peers of a trunk find us: what its realm advertises, else its own addresses.
pub fn ours(config: &Config, trunk: &Trunk) -> Vec<IpAddr> {
    let Some(realm) = config.realms.get(&trunk.realm) else {
        return Vec::new();
    };
    let v4 = realm.advertise_v4.or(realm.v4).map(IpAddr::V4);
    let v6 = realm.advertise_v6.or(realm.v6).map(IpAddr::V6);
    v4.into_iter().chain(v6).collect()
}

fn judged(fqdn: &str, found: Result<Vec<IpAddr>, ResolveFault>, ours: &[IpAddr]) -> Outcome {
    let wanted = || listed(ours);
    let all = match found {
        Ok(all) => all,
        Err(ResolveFault::NotFound) => Vec::new(),
        Err(ResolveFault::Timeout | ResolveFault::ServerFailure) => {
            return Outcome::failed(
                format!("DNS gave no answer about {fqdn}"),
                "look at /etc/resolv.conf of this host, then try again",
            );
        }
    };
    // Teams asks for the other family only where a trunk is made for it.
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = all.into_iter().partition(IpAddr::is_ipv4);
    let mut used = if v4.is_empty() { v6 } else { v4 };
    used.sort();
    used.dedup();
    match used.as_slice() {
        [] => Outcome::failed(
            format!("{fqdn} has no address"),
            format!("add an A record for {fqdn} to {}", wanted()),
        ),
        [only] if ours.contains(only) => Outcome::Good(format!("{fqdn} leads to {only}")),
        [only] => Outcome::failed(
            format!("{fqdn} leads to {only}, which is not this SBC"),
            format!(
                "let its A record be {}, or write what peers see into advertise of the realm",
                wanted()
            ),
        ),
        several => Outcome::failed(
            format!(
                "{fqdn} has {} addresses ({}), and Teams allows one",
                several.len(),
                listed(several)
            ),
            format!(
                "leave {} alone; a second SBC needs a name of its own",
                wanted()
            ),
        ),
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    let words: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    words.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_lead_to_one_address_and_that_is_ours() {
        let ours: Vec<IpAddr> = vec!["203.0.113.5".parse().unwrap()];
        let say = |found: &[&str]| {
            let found = found.iter().map(|text| text.parse().unwrap()).collect();
            judged("sbc1.contoso.example", Ok(found), &ours)
        };
        assert_eq!(say(&["203.0.113.5"]).word(), "ok");
        // The same address twice is one, and another family is not what Teams asks for.
        assert_eq!(
            say(&["203.0.113.5", "203.0.113.5", "2001:db8::1"]).word(),
            "ok"
        );
        for (found, words) in [
            (
                &[][..],
                "add an A record for sbc1.contoso.example to 203.0.113.5",
            ),
            (&["203.0.113.6"], "is not this SBC"),
            (&["203.0.113.5", "203.0.113.6"], "has 2 addresses"),
        ] {
            let told = say(found);
            assert!(
                told.is_failure() && told.to_string().contains(words),
                "{told}"
            );
        }
        let silent = judged("sbc1.contoso.example", Err(ResolveFault::Timeout), &ours);
        assert!(silent.to_string().contains("/etc/resolv.conf"), "{silent}");
    }
}
