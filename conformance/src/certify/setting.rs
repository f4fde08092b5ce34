//! How the subject is configured for a case.

use crate::lab::place::{Addresses, DOMAIN, Ports, REGIONS, quoted};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Name of the trunk.
pub const FQDN: &str = "sbc1.test.example";
/// Names of the SBC at its customers.
pub const CUSTOMERS: [&str; 2] = ["c1.cust.test.example", "c2.cust.test.example"];
/// Name of the SBC at a customer behind its trunk: one label below that of the trunk.
pub const DERIVED: &str = "c1.sbc1.test.example";
/// Name of a second trunk, or of a second SBC.
pub const SECOND: &str = "sbc2.test.example";
/// What numbers of the customers' users begin with; two digits follow.
pub const CUSTOMER_NUMBERS: [&str; 2] = ["+4416329602", "+4416329603"];
/// What numbers of Teams users begin with; two digits follow.
pub const TEAMS_NUMBERS: &str = "+4416329601";
/// A number in the public network.
pub const OUTSIDE: &str = "+441632960001";
/// The Teams user who is called.
pub const USER: &str = "+441632960100";
/// Another.
pub const USER_2: &str = "+441632960101";

/// What a case may change. Texts are TOML.
#[derive(Clone, Default, Debug)]
pub struct Setting {
    /// Further keys of the customer.
    pub tenant: String,
    /// Further keys of the trunk towards Teams.
    pub teams: String,
    /// Further keys of the customers' trunks.
    pub customers: String,
    /// Further keys of the first carrier's trunk.
    pub carrier: String,
    /// Further tables.
    pub more: String,
    /// Routes that are asked before the usual ones.
    pub routes: String,
    /// Whether a second carrier is called after the first.
    pub has_second_carrier: bool,
    /// Whether there are two customers behind the trunk, each with its own name.
    pub has_customers: bool,
    /// Whether there is a second trunk of the same customer, with a name and a port of its own.
    pub has_second_trunk: bool,
    /// Whether a survivable appliance of the branch stands where no name of Teams leads.
    pub has_appliance: bool,
    /// Further keys of the tenants behind the trunk.
    pub customer_tenants: String,
    /// Whether each carrier is that of one customer, in order, instead of everybody's.
    pub has_own_carriers: bool,
    /// Whether OPTIONS of the subject to the carrier are sent.
    pub pings_carrier: bool,
}

/// Where everybody is.
#[derive(Clone, Debug)]
pub struct Peers {
    /// The carriers.
    pub carriers: [SocketAddr; 2],
    /// The proxies, in order.
    pub proxies: [SocketAddr; 3],
    /// The machine of Teams that no name leads to.
    pub elsewhere: SocketAddr,
}

impl Setting {
    /// The daemon's configuration.
    pub fn write(
        &self,
        folder: &Path,
        addresses: &Addresses,
        ports: &Ports,
        peers: &Peers,
    ) -> String {
        let at = quoted(folder);
        let mut text = format!(
            r#"[node]
id = "certified"

[cdr]
spool = "{at}/cdr"

[metrics]
listen = "{metrics}"

[api]
unix = "{at}/api.sock"

[[realm]]
name = "teams"
addresses = ["{teams}"]
ports = "20000-24999"

[[realm]]
name = "carrier"
addresses = ["{carrier}"]
ports = "25000-29999"

[[tls]]
name = "teams"
cert = "{at}/sbc.pem"
key = {{ file = "{at}/sbc.key" }}
client_ca = "{at}/ca.pem"
verify_client = "require"

[[listen]]
name = "teams"
realm = "teams"
transport = "tls"
port = {tls}
tls = "teams"

[[listen]]
name = "carrier"
realm = "carrier"
transport = "udp"
port = {udp}

[[tenant]]
name = "customer"
numbers = ["{TEAMS_NUMBERS}00-{TEAMS_NUMBERS}99"]
{tenant}
"#,
            tenant = self.tenant,
            metrics = ports.metrics,
            teams = ports.tls.ip(),
            carrier = ports.udp.ip(),
            tls = ports.tls.port(),
            udp = ports.udp.port(),
        );
        self.write_teams(&mut text, addresses, peers);
        if self.has_second_trunk || self.has_appliance {
            // An identity of its own: a trunk has all listeners of its realm that show its identity.
            let _ = write!(
                text,
                r#"
[[tls]]
name = "second"
cert = "{at}/sbc.pem"
key = {{ file = "{at}/sbc.key" }}
client_ca = "{at}/ca.pem"
verify_client = "require"
"#
            );
        }
        if self.has_second_trunk {
            Self::write_second(&mut text, addresses, ports, peers);
        }
        if self.has_appliance {
            Self::write_appliance(&mut text, addresses, ports, peers);
        }
        if self.has_customers {
            self.write_customers(&mut text, addresses, peers);
        }
        self.write_carriers(&mut text, peers);
        text.push_str(&self.more);
        text
    }

    fn write_teams(&self, text: &mut String, addresses: &Addresses, peers: &Peers) {
        trunk(
            text,
            ("teams", "customer", FQDN, "teams"),
            addresses,
            peers,
            &self.teams,
        );
    }

    /// One more trunk of the same customer: another name and another port.
    fn write_second(text: &mut String, addresses: &Addresses, ports: &Ports, peers: &Peers) {
        let port = ports.second_tls.port();
        let _ = write!(
            text,
            r#"
[[listen]]
name = "second"
realm = "teams"
transport = "tls"
port = {port}
tls = "second"

[[route]]
name = "from-second"
match = {{ from_trunk = "second" }}
to = [{{ trunk = "carrier" }}]
"#
        );
        let parties = ("second", "customer", SECOND, "second");
        trunk(text, parties, addresses, peers, "");
    }

    /// An appliance of the branch at the address that no name of Teams leads to.
    fn write_appliance(text: &mut String, addresses: &Addresses, ports: &Ports, peers: &Peers) {
        let (port, elsewhere) = (ports.second_tls.port(), peers.elsewhere);
        let ip = addresses.elsewhere;
        let _ = write!(
            text,
            r#"
[[listen]]
name = "branch"
realm = "teams"
transport = "tls"
port = {port}
tls = "second"

[[trunk]]
name = "appliance"
preset = "sba"
tenant = "customer"
realm = "teams"
tls = "second"
fqdn = "{SECOND}"
targets = [{{ address = "{}.{DOMAIN}:5061;tls", connect_to = ["{elsewhere}"] }}]
accept_from = ["{ip}/32"]
media_bypass = true

[[route]]
name = "from-appliance"
match = {{ from_trunk = "appliance" }}
to = [{{ trunk = "carrier" }}]
"#,
            REGIONS[2]
        );
    }

    /// Customers behind the carrier's trunk: their names, but no OPTIONS of their own.
    fn write_customers(&self, text: &mut String, addresses: &Addresses, peers: &Peers) {
        for (index, (fqdn, numbers)) in CUSTOMERS.iter().zip(CUSTOMER_NUMBERS).enumerate() {
            let carrier = match (self.has_own_carriers, index) {
                (true, 1) => "carrier-2",
                _ => "carrier",
            };
            let more = &self.customer_tenants;
            let name = fqdn.split('.').next().unwrap_or_default();
            let _ = write!(
                text,
                r#"
[[tenant]]
name = "{name}"
numbers = ["{numbers}00-{numbers}99"]
{more}

[[route]]
name = "to-{name}"
match = {{ called_in = "tenant:{name}" }}
to = [{{ trunk = "teams-{name}" }}]

[[route]]
name = "from-{name}"
match = {{ from_trunk = "teams-{name}" }}
to = [{{ trunk = "{carrier}" }}]
"#
            );
            let more = "options = false\n".to_owned() + &self.customers;
            trunk(
                text,
                (&format!("teams-{name}"), name, fqdn, "teams"),
                addresses,
                peers,
                &more,
            );
        }
    }

    fn write_carriers(&self, text: &mut String, peers: &Peers) {
        let to = match self.has_second_carrier {
            true => "{ trunk = \"carrier\" }, { trunk = \"carrier-2\" }",
            false => "{ trunk = \"carrier\" }",
        };
        let then = match self.has_appliance {
            true => ", { trunk = \"appliance\" }",
            false => "",
        };
        let _ = write!(
            text,
            r#"
{}
[[route]]
name = "to-teams"
match = {{ called_in = "tenant:customer" }}
to = [{{ trunk = "teams" }}{then}]
"#,
            self.routes
        );
        if !self.has_own_carriers {
            let _ = write!(
                text,
                r#"
[[route]]
name = "from-teams"
match = {{ from_trunk = "teams" }}
to = [{to}]
"#
            );
        }
        for (index, at) in peers.carriers.iter().enumerate() {
            let (name, more) = match index {
                0 => ("carrier", self.carrier.as_str()),
                _ => ("carrier-2", ""),
            };
            let tenant = match (self.has_own_carriers, index) {
                (true, 0) => "c1",
                (true, _) => "c2",
                (false, _) => "*",
            };
            let _ = write!(
                text,
                r#"
[[trunk]]
name = "{name}"
preset = "carrier"
tenant = "{tenant}"
realm = "carrier"
targets = ["{at};udp"]
accept_from = ["{}/32"]
options = {}
{more}
"#,
                at.ip(),
                self.pings_carrier
            );
            if !more.contains("codecs") {
                text.push_str("codecs = [\"PCMA\", \"PCMU\"]\n");
            }
        }
    }
}

/// A trunk towards Teams: its name, its tenant, the name of the SBC, and its TLS identity.
fn trunk(
    text: &mut String,
    (name, tenant, fqdn, tls): (&str, &str, &str, &str),
    addresses: &Addresses,
    peers: &Peers,
    more: &str,
) {
    let targets: Vec<String> = REGIONS
        .iter()
        .zip(peers.proxies)
        .map(|(region, at)| {
            format!("{{ address = \"{region}.{DOMAIN}:5061;tls\", connect_to = [\"{at}\"] }}")
        })
        .collect();
    let _ = write!(
        text,
        r#"
[[trunk]]
name = "{name}"
preset = "teams"
tenant = "{tenant}"
realm = "teams"
tls = "{tls}"
fqdn = "{fqdn}"
targets = [{}]
accept_from = [{}]
accept_names = ["sip.{DOMAIN}"]
{more}
"#,
        targets.join(", "),
        accepted(addresses),
    );
}

/// The addresses from which Teams may come: the proxies, and one that no name leads to.
fn accepted(addresses: &Addresses) -> String {
    let all = addresses.proxies.iter().chain([&addresses.elsewhere]);
    let all: Vec<String> = all.map(|ip| format!("\"{ip}/32\"")).collect();
    all.join(", ")
}

impl Setting {
    /// Whether any subject can be expected to be configured so.
    pub fn is_usual(&self) -> bool {
        let texts = [
            &self.tenant,
            &self.teams,
            &self.customers,
            &self.customer_tenants,
            &self.carrier,
            &self.more,
            &self.routes,
        ];
        texts.iter().all(|text| text.is_empty())
            && !self.has_second_carrier
            && !self.has_customers
            && !self.has_second_trunk
            && !self.has_appliance
            && !self.has_own_carriers
            && !self.pings_carrier
    }
}
