//! What is to be typed on the other side: PowerShell for the tenant's administrator that fits the
//! configuration (TDR-CMD-001).

use super::customer::{Customer, Kind, Local};
use sbc_core::config::{Config, Trunk};
use std::fmt::Write as _;

/// How media go between users and this SBC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Media {
    /// Over the media processors of Teams.
    #[default]
    Processed,
    /// Past them.
    Bypass,
    /// Past them, and within the customer's sites.
    Lmo,
}

/// The commands for a customer, for each tenant in which some are to be typed.
pub fn script(customer: &Customer, config: &Config, media: Media) -> String {
    let mut text = String::from("Connect-MicrosoftTeams\n");
    let own = config.trunks.get(&customer.trunk());
    let port = own.map_or(5061, |trunk| port(config, trunk));
    match &customer.kind {
        Kind::Hosted { tls, .. } => {
            let base = customer.asking(config);
            let base = base.and_then(|trunk| trunk.fqdn.clone());
            let base = base.unwrap_or_else(|| parent(&customer.fqdn).to_owned());
            text = format!("# In your own tenant, once for all customers\n{text}");
            gateway(&mut text, &base, port, None, media);
            let _ = write!(
                text,
                "\n# In the tenant of the customer: verify and activate the domain {0} first (a licensed user \
                 in it;\n# up to 24 hours). No gateway is made there, and number rules of yours do not \
                 apply there.\nConnect-MicrosoftTeams\n",
                customer.fqdn
            );
            if let Some(tls) = tls {
                let _ = writeln!(
                    text,
                    "# Its calls show the certificate of [[tls]] \"{tls}\", which is renewed with the name {}",
                    customer.fqdn
                );
            }
        }
        Kind::Own { .. } => {
            text = format!(
                "# Verify and activate the domain {} first: a licensed user in it; up to 24 hours\n{text}",
                parent(&customer.fqdn)
            );
            gateway(&mut text, &customer.fqdn, port, customer.calls, media);
        }
    }
    let (fqdn, name) = (&customer.fqdn, &customer.name);
    let _ = writeln!(
        text,
        "Set-CsOnlinePstnUsage -Identity Global -Usage @{{Add=\"{name}\"}}"
    );
    help(&mut text, customer);
    let _ = write!(
        text,
        "\
         New-CsOnlineVoiceRoute -Identity \"{name}\" -NumberPattern \"^\\+\\d+$\" `\n   \
         -OnlinePstnGatewayList \"{fqdn}\" -Priority 2 -OnlinePstnUsages \"{name}\"\n\
         New-CsOnlineVoiceRoutingPolicy \"{name}\" -OnlinePstnUsages \"{name}\"\n\
         # For each user: its address and its number\n\
         Grant-CsOnlineVoiceRoutingPolicy -Identity USER@DOMAIN -PolicyName \"{name}\"\n\
         Set-CsPhoneNumberAssignment -Identity USER@DOMAIN -PhoneNumber \"{}\" `\n   \
         -PhoneNumberType DirectRouting\n\
         # Where callers are to show another number: a resource account's, say\n\
         # New-CsCallingLineIdentity -Identity \"{name}\" -CallingIDSubstitute \"Resource\" -CompanyName \"{name}\" `\n\
         #    -ResourceAccount OBJECTID\n",
        first_number(customer)
    );
    if let (Media::Lmo, Some(local)) = (media, &customer.local) {
        sites(&mut text, fqdn, port, local);
    }
    text
}

/// The way here of calls for help: numbers as they are dialled, which no pattern of E.164 meets (TDR-EMG-001).
fn help(text: &mut String, customer: &Customer) {
    let (fqdn, name) = (&customer.fqdn, &customer.name);
    if customer.emergency.is_empty() {
        text.push_str("# Nobody calls for help over this SBC\n");
        return;
    }
    let _ = write!(
        text,
        "# Calls for help, as they are dialled; before the route of all others\n\
         New-CsOnlineVoiceRoute -Identity \"{name}-emergency\" -NumberPattern \"^\\+?({})$\" `\n   \
         -OnlinePstnGatewayList \"{fqdn}\" -Priority 1 -OnlinePstnUsages \"{name}\"\n",
        customer.emergency.join("|")
    );
}

/// Sites and the way of media within them (TDR-LMO-010). What only the customer knows are examples.
fn sites(text: &mut String, fqdn: &str, port: u16, local: &Local) {
    let site = local.site.as_deref().unwrap_or("Site1");
    if let Some(proxy) = &local.proxy {
        let _ = write!(
            text,
            "# The proxy in front of {fqdn}: Teams has a connection with it alone\n\
             New-CsOnlinePSTNGateway -Fqdn {proxy} -SipSignalingPort {port} -SendSipOptions $true `\n   \
             -MediaBypass $true -Enabled $true\n"
        );
    }
    let _ = write!(
        text,
        "# Sites, with your own addresses; the site is spelled the same everywhere, and case matters\n\
         # The public addresses from which your users reach the internet\n\
         New-CsTenantTrustedIPAddress -IPAddress 192.0.2.1 -MaskBits 32\n\
         New-CsTenantNetworkRegion -NetworkRegionID \"Region1\"\n\
         New-CsTenantNetworkSite -NetworkSiteID \"{site}\" -NetworkRegionID \"Region1\"\n\
         # Every subnet of the site with users in it\n\
         New-CsTenantNetworkSubnet -SubnetID 198.51.100.0 -MaskBits 24 -NetworkSiteID \"{site}\"\n\
         Set-CsOnlinePSTNGateway -Identity \"{fqdn}\" -GatewaySiteID \"{site}\" -MediaBypass $true `\n   \
         -BypassMode \"{}\"",
        local.mode.as_str()
    );
    if let Some(proxy) = &local.proxy {
        let _ = write!(text, " -ProxySBC \"{proxy}\"");
    }
    text.push('\n');
}

fn gateway(text: &mut String, fqdn: &str, port: u16, calls: Option<u32>, media: Media) {
    let bypass = match media {
        Media::Processed => "$false",
        Media::Bypass | Media::Lmo => "$true",
    };
    let calls = calls.map_or_else(String::new, |calls| {
        format!(" -MaxConcurrentSessions {calls}")
    });
    let _ = write!(
        text,
        "New-CsOnlinePSTNGateway -Fqdn {fqdn} -SipSignalingPort {port} -SendSipOptions $true `\n   \
         -ForwardCallHistory $true -ForwardPai $true -FailoverTimeSeconds 20 `\n   \
         -FailoverResponseCodes \"408,503,504\" -MediaBypass {bypass} -PidfloSupported $true{calls} `\n   \
         -Enabled $true\n\
         # What Teams then has of it, and how calls are kept away before work on this SBC\n\
         Get-CsOnlinePSTNGateway -Identity {fqdn}\n\
         # Set-CsOnlinePSTNGateway -Identity {fqdn} -Enabled $false\n"
    );
}

/// The port that Teams is to call.
pub(super) fn port(config: &Config, trunk: &Trunk) -> u16 {
    let listeners = trunk.listeners.iter();
    let mut ports = listeners.filter_map(|name| config.listeners.get(name));
    ports.next().map_or(5061, |listener| listener.bind.port())
}

fn parent(fqdn: &str) -> &str {
    fqdn.split_once('.').map_or(fqdn, |(_, parent)| parent)
}

/// The first number of the first range.
fn first_number(customer: &Customer) -> &str {
    let first = customer.numbers.first().map_or("", String::as_str);
    first.split('-').next().unwrap_or(first)
}
