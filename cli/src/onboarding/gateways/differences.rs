//! Where the gateways of a tenant and our configuration differ, and what to do about it.

use super::{Gateway, Mode};
use sbc_core::config::{Config, LocalMedia, Preset, Trunk};
use sbc_core::display::shown;
use sbc_core::id::TenantName;
use sbc_core::media::Ice;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A difference, where it is, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Whether calls suffer by it.
    pub is_error: bool,
    /// The gateway.
    pub gateway: String,
    /// Its parameter.
    pub parameter: &'static str,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = if self.is_error { "error" } else { "warning" };
        // Sites are text of somebody else.
        let cause: String = self.cause.chars().map(shown).collect();
        write!(
            f,
            "{grade}: gateway {}, {}: {cause}\n  help: {}",
            self.gateway, self.parameter, self.fix
        )
    }
}

/// Where a tenant and our configuration differ. The export is of this customer, if one is named: what other
/// customers have in their own tenants is missing in it for a good reason.
pub fn differences(
    config: &Config,
    gateways: &[Gateway],
    of: Option<&TenantName>,
) -> Vec<Difference> {
    let mut out = Vec::new();
    let trunks = || {
        let all = config.trunks.values();
        all.filter(|trunk| trunk.preset == Preset::Teams)
    };
    let owners: BTreeSet<_> = trunks().filter_map(|trunk| trunk.tenant.as_ref()).collect();
    let whose = match of {
        None if owners.len() > 1 => ", or say with --tenant whose export this is",
        _ => "",
    };
    let is_asked = |trunk: &&Arc<Trunk>| match (of, &trunk.tenant) {
        (Some(of), Some(owner)) => of == owner,
        (None, _) | (_, None) => true,
    };
    for trunk in trunks().filter(is_asked) {
        let Some(fqdn) = &trunk.fqdn else { continue };
        match gateways.iter().find(|own| own.fqdn == *fqdn) {
            Some(gateway) => of_trunk(config, trunk, gateway, gateways, &mut out),
            // The customer of a carrier has no object of its own.
            None if trunk.carrier.is_some() => {}
            None => out.push(Difference {
                is_error: true,
                gateway: fqdn.clone(),
                parameter: "Fqdn",
                cause: format!(
                    "the tenant has no such gateway; trunk \"{}\" is called so",
                    trunk.name
                ),
                fix: format!(
                    "New-CsOnlinePSTNGateway -Fqdn {fqdn} -SipSignalingPort {}, or change fqdn{whose}",
                    port(config, trunk)
                ),
            }),
        }
    }
    let ours = |name: &str| trunks().any(|trunk| trunk.fqdn.as_deref() == Some(name));
    let proxies: Vec<&str> = trunks().filter_map(|trunk| trunk.proxy()).collect();
    for gateway in gateways.iter().filter(|own| !ours(&own.fqdn)) {
        let proxy = gateway.proxy.as_deref();
        if let Some(proxy) = proxy.filter(|proxy| proxies.contains(proxy)) {
            out.push(Difference {
                is_error: true,
                gateway: gateway.fqdn.clone(),
                parameter: "ProxySbc",
                cause: format!("its calls come to us as {proxy}, and no trunk is called so"),
                fix: format!(
                    "write a trunk with fqdn = \"{}\" and local_media",
                    gateway.fqdn
                ),
            });
        }
    }
    by_location(gateways, &mut out);
    out
}

fn of_trunk(
    config: &Config,
    trunk: &Trunk,
    gateway: &Gateway,
    all: &[Gateway],
    out: &mut Vec<Difference>,
) {
    let (fqdn, name) = (&gateway.fqdn, &trunk.name);
    let mut differs = |is_error, parameter, cause: String, fix: String| {
        out.push(Difference {
            is_error,
            gateway: fqdn.clone(),
            parameter,
            cause,
            fix,
        });
    };
    let set = |rest: &str| format!("Set-CsOnlinePSTNGateway -Identity {fqdn} {rest}");
    let port = port(config, trunk);
    if let Some(theirs) = gateway.port.filter(|theirs| *theirs != port) {
        let cause = format!("Teams calls port {theirs}, and trunk \"{name}\" listens at {port}");
        let fix = set(&format!("-SipSignalingPort {port}"));
        differs(true, "SipSignalingPort", cause, fix);
    }
    if !gateway.is_enabled {
        let cause = "Teams makes no calls over it".to_owned();
        differs(false, "Enabled", cause, set("-Enabled $true"));
    }
    let bypass = trunk.media.profile.ice == Ice::Bypass;
    match (gateway.bypass, bypass) {
        (true, false) => differs(
            true,
            "MediaBypass",
            format!("Teams wants an ICE agent, and trunk \"{name}\" has none: it refuses with 488"),
            format!(
                "write media_bypass = true in the trunk, or {}",
                set("-MediaBypass $false")
            ),
        ),
        (false, true) => differs(
            false,
            "MediaBypass",
            format!("trunk \"{name}\" offers media bypass, and Teams does not use it"),
            set("-MediaBypass $true"),
        ),
        (true, true) | (false, false) => {}
    }
    match (&trunk.local_media, gateway.mode) {
        (None, Mode::None) => {}
        (None, Mode::Always | Mode::OnlyForLocalUsers) => differs(
            false,
            "BypassMode",
            format!("Teams says who is inside, and trunk \"{name}\" has only one address for all"),
            format!(
                "write local_media in the trunk, or {}",
                set("-BypassMode None")
            ),
        ),
        (Some(_), Mode::None) => differs(
            true,
            "BypassMode",
            format!(
                "Teams does not say who is inside: all users of trunk \"{name}\" count as outside"
            ),
            set("-BypassMode Always"),
        ),
        (Some(_), Mode::Always | Mode::OnlyForLocalUsers) if !gateway.bypass => differs(
            true,
            "BypassMode",
            "it has no effect without MediaBypass".to_owned(),
            set("-MediaBypass $true"),
        ),
        (Some(_), Mode::Always | Mode::OnlyForLocalUsers) => {}
    }
    if let Some(local) = &trunk.local_media {
        of_local_media(trunk, local, gateway, all, &mut differs);
    } else if let Some(proxy) = &gateway.proxy {
        differs(
            true,
            "ProxySbc",
            format!("calls come by way of {proxy}, and trunk \"{name}\" has no local_media.proxy"),
            format!(
                "write local_media = {{ proxy = \"{proxy}\" }} there, or {}",
                set("-ProxySbc $null")
            ),
        );
    }
}

fn of_local_media(
    trunk: &Trunk,
    local: &LocalMedia,
    gateway: &Gateway,
    all: &[Gateway],
    differs: &mut dyn FnMut(bool, &'static str, String, String),
) {
    let (fqdn, name) = (&gateway.fqdn, &trunk.name);
    let set = |rest: &str| format!("Set-CsOnlinePSTNGateway -Identity {fqdn} {rest}");
    match (&local.proxy, &gateway.proxy) {
        (Some(ours), Some(theirs)) if ours == theirs => {
            if !all.iter().any(|own| own.fqdn == *ours) {
                differs(
                    true,
                    "ProxySbc",
                    format!("{ours} is no gateway of the tenant"),
                    format!("New-CsOnlinePSTNGateway -Fqdn {ours}, with -MediaBypass $true"),
                );
            }
        }
        (Some(ours), theirs) => {
            let theirs = theirs.as_deref().unwrap_or("none");
            differs(
                true,
                "ProxySbc",
                format!("it is {theirs}, and trunk \"{name}\" is behind {ours}"),
                set(&format!("-ProxySbc {ours}")),
            );
        }
        (None, Some(theirs)) => differs(
            true,
            "ProxySbc",
            format!("it is {theirs}, and trunk \"{name}\" takes itself for the central SBC"),
            format!("write local_media.proxy = \"{theirs}\" in the trunk"),
        ),
        (None, None) => {}
    }
    match (&local.site, &gateway.site) {
        (Some(ours), Some(theirs)) if ours == theirs => {}
        (Some(ours), theirs) => {
            let is_case = theirs
                .as_deref()
                .is_some_and(|theirs| theirs.eq_ignore_ascii_case(ours));
            let theirs = theirs.as_deref().unwrap_or_default();
            let why = match is_case {
                true => ": case matters, and users there are of another site",
                false => "",
            };
            differs(
                true,
                "GatewaySiteId",
                format!("it is \"{theirs}\", and the site of trunk \"{name}\" is \"{ours}\"{why}"),
                set(&format!("-GatewaySiteId \"{ours}\"")),
            );
        }
        (None, Some(_)) => {}
        (None, None) if gateway.mode == Mode::OnlyForLocalUsers => differs(
            true,
            "GatewaySiteId",
            "without a site nobody is a local user".to_owned(),
            set("-GatewaySiteId \"SITE\""),
        ),
        (None, None) => {}
    }
}

/// Routing by location is decided by the SBC in a site, not by the proxy in front of it. Where the flag is
/// missing calls for such users go to voicemail.
fn by_location(gateways: &[Gateway], out: &mut Vec<Difference>) {
    let is_proxy = |own: &Gateway| {
        let mut all = gateways.iter();
        all.any(|other| other.proxy.as_ref() == Some(&own.fqdn))
    };
    let is_used = gateways.iter().any(|own| own.by_location);
    for own in gateways {
        let set = |rest: &str| format!("Set-CsOnlinePSTNGateway -Identity {} {rest}", own.fqdn);
        let (is_error, parameter, cause, fix) = match (own.by_location, &own.proxy) {
            (true, _) if is_proxy(own) => (
                false,
                "GatewaySiteLbrEnabled",
                "a proxy does not need it: the SBCs behind it do",
                set("-GatewaySiteLbrEnabled $false"),
            ),
            (true, _) if own.site.is_none() => (
                true,
                "GatewaySiteId",
                "it is routed by location and is in no site",
                set("-GatewaySiteId \"SITE\""),
            ),
            (false, Some(_)) if is_used => (
                true,
                "GatewaySiteLbrEnabled",
                "calls are routed by location, and not those of this SBC: for such users they go to voicemail",
                set("-GatewaySiteLbrEnabled $true"),
            ),
            (true, _) | (false, _) => continue,
        };
        out.push(Difference {
            is_error,
            gateway: own.fqdn.clone(),
            parameter,
            cause: cause.to_owned(),
            fix,
        });
    }
}

fn port(config: &Config, trunk: &Trunk) -> u16 {
    super::super::powershell::port(config, trunk)
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use sbc_core::config::{Assumed, Source, load};

    const CONFIG: &str = r#"
[node]
id = "sbc1"
[[realm]]
name = "edge"
addresses = ["192.0.2.10"]
ports = "40000-44999"
[[realm]]
name = "inside"
addresses = ["10.20.0.10"]
ports = "30000-34999"
[[tls]]
name = "teams"
cert = "/etc/causeway/tls/sbc.pem"
key = { file = "/etc/causeway/tls/sbc.key" }
client_ca = "/etc/causeway/tls/roots.pem"
verify_client = "require"
[[listen]]
realm = "edge"
transport = "tls"
port = 5061
tls = "teams"
[[tenant]]
name = "contoso"
numbers = ["+441632960100-+441632960199"]
[[trunk]]
name = "vietnam"
preset = "teams"
tenant = "contoso"
realm = "edge"
tls = "teams"
fqdn = "vnsbc.contoso.example"
media_bypass = true
local_media = { internal = "inside", proxy = "proxysbc.contoso.example", site = "Vietnam" }
"#;

    const PROXY: &str = r#"{ "Fqdn": "proxysbc.contoso.example", "SipSignalingPort": 5061,
        "Enabled": true, "MediaBypass": true, "BypassMode": "Always" }"#;
    const BRANCH: &str = r#"{ "Identity": "VNsbc.contoso.example", "Fqdn": "VNsbc.contoso.example",
        "SipSignalingPort": 5061, "Enabled": true, "MediaBypass": true, "BypassMode": 1,
        "ProxySbc": "proxysbc.contoso.example", "GatewaySiteId": "Vietnam",
        "GatewaySiteLbrEnabled": true }"#;

    fn found(config: &str, proxy: &str, branch: &str) -> Vec<Difference> {
        let names = ["vnsbc.contoso.example", "proxysbc.contoso.example"];
        let facts = Assumed::with_names(names);
        let loaded = load(&[Source::new("test.toml", config)], &facts, None);
        let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        let gateways = read(format!("[{proxy}, {branch}]").as_bytes()).unwrap();
        differences(&loaded.config, &gateways, None)
    }

    #[test]
    fn trunks_of_other_customers_are_no_part_of_an_export() {
        let other = "\n[[tenant]]\nname = \"fabrikam\"\nnumbers = [\"+441632960200\"]\n[[trunk]]\n\
                     name = \"fabrikam\"\npreset = \"teams\"\ntenant = \"fabrikam\"\nrealm = \"edge\"\n\
                     tls = \"teams\"\nfqdn = \"sbc.fabrikam.example\"\n";
        let names = [
            "vnsbc.contoso.example",
            "proxysbc.contoso.example",
            "sbc.fabrikam.example",
        ];
        let facts = Assumed::with_names(names);
        let text = format!("{CONFIG}{other}");
        let loaded = load(&[Source::new("test.toml", &text)], &facts, None);
        let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        let gateways = read(format!("[{PROXY}, {BRANCH}]").as_bytes()).unwrap();
        let of = |name: Option<&str>| {
            let name = name.map(TenantName::new);
            differences(&loaded.config, &gateways, name.as_ref())
        };
        assert_eq!(of(Some("contoso")), []);
        let all = of(None);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].fix.contains("--tenant"), "{}", all[0]);
        assert_eq!(of(Some("fabrikam"))[0].gateway, "sbc.fabrikam.example");
    }

    #[test]
    fn a_tenant_that_says_the_same_is_left_alone() {
        assert_eq!(found(CONFIG, PROXY, BRANCH), []);
    }

    #[test]
    fn each_difference_is_told_with_its_place_and_remedy() {
        let site = "\"GatewaySiteId\": \"Vietnam\"";
        let lbr = "\"GatewaySiteLbrEnabled\": true";
        let with_lbr = PROXY.replace(
            "\"Enabled\": true",
            "\"Enabled\": true, \"GatewaySiteLbrEnabled\": true",
        );
        let table = [
            (
                PROXY,
                BRANCH.replace("5061", "5067"),
                "SipSignalingPort",
                "5067",
                true,
            ),
            (
                PROXY,
                BRANCH.replace("\"Enabled\": true", "\"Enabled\": false"),
                "Enabled",
                "no calls",
                false,
            ),
            (
                PROXY,
                BRANCH.replace("\"BypassMode\": 1", "\"BypassMode\": \"None\""),
                "BypassMode",
                "outside",
                true,
            ),
            (
                PROXY,
                BRANCH.replace("proxysbc", "other"),
                "ProxySbc",
                "it is other.contoso",
                true,
            ),
            (
                PROXY,
                BRANCH.replace("\"ProxySbc\"", "\"X\""),
                "ProxySbc",
                "it is none",
                true,
            ),
            (
                PROXY,
                BRANCH.replace("Vietnam", "vietnam"),
                "GatewaySiteId",
                "case matters",
                true,
            ),
            (
                PROXY,
                BRANCH.replace(site, "\"GatewaySiteId\": null"),
                "GatewaySiteId",
                "is \"\"",
                true,
            ),
            (
                &with_lbr,
                BRANCH.to_owned(),
                "GatewaySiteLbrEnabled",
                "a proxy does not need it",
                false,
            ),
            (
                &with_lbr,
                BRANCH.replace(lbr, "\"x\": 1"),
                "GatewaySiteLbrEnabled",
                "voicemail",
                true,
            ),
        ];
        for (proxy, branch, parameter, words, is_error) in table {
            let all = found(CONFIG, proxy, &branch);
            let own = all
                .iter()
                .find(|own| own.parameter == parameter && own.cause.contains(words));
            let own = own.unwrap_or_else(|| panic!("{parameter} {words}: {all:?}"));
            assert_eq!(own.is_error, is_error, "{own}");
            assert!(own.fix.contains("CsOnlinePSTNGateway"), "{own}");
        }
    }

    #[test]
    fn what_one_side_alone_has_is_told() {
        let bypass = found(
            CONFIG,
            PROXY,
            &BRANCH.replace("\"MediaBypass\": true", "\"MediaBypass\": false"),
        );
        let words: Vec<&str> = bypass.iter().map(|own| own.parameter).collect();
        assert_eq!(words, ["MediaBypass", "BypassMode"]);
        let none = found(CONFIG, PROXY, &PROXY.replace("proxysbc", "third"));
        assert!(
            none.iter()
                .any(|own| own.parameter == "Fqdn" && own.is_error)
        );
        let unknown = found(
            CONFIG,
            PROXY,
            &format!("{BRANCH}, {}", BRANCH.replace("VNsbc", "IDsbc")),
        );
        assert!(
            unknown[0].cause.contains("no trunk is called so"),
            "{unknown:?}"
        );
        let central = CONFIG.replace("proxy = \"proxysbc.contoso.example\", ", "");
        let all = found(&central, PROXY, BRANCH);
        assert!(
            all[0].cause.contains("takes itself for the central SBC"),
            "{all:?}"
        );
        let plain = CONFIG
            .lines()
            .filter(|line| !line.starts_with("local_media") && !line.starts_with("media_bypass"))
            .collect::<Vec<_>>()
            .join("\n");
        let words: Vec<&str> = found(&plain, PROXY, BRANCH)
            .iter()
            .map(|own| own.parameter)
            .collect();
        assert_eq!(words, ["MediaBypass", "BypassMode", "ProxySbc"]);
    }
}
