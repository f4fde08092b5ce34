//! How the subject is configured for a case.

use crate::lab::place::{Addresses, DOMAIN, Ports, REGIONS, quoted};
use crate::microsoft::{APPLICATION, DIRECTORY};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Name of the trunk.
pub const FQDN: &str = "sbc1.test.example";
/// Name of the SBC as the proxy in front of one in a branch, which then has the trunk's name.
pub const PROXY: &str = "proxy.test.example";
/// Name of the SBC in a branch, inside the company.
pub const BRANCH: &str = "branch.test.example";
/// Names of the SBC at its customers.
pub const CUSTOMERS: [&str; 2] = ["c1.cust.test.example", "c2.cust.test.example"];
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
    /// Whether an SBC of a branch stands in the place of the carriers.
    pub has_branch: bool,
    /// Whether OPTIONS of the subject to the carrier are sent.
    pub pings_carrier: bool,
    /// How the subject proves to Microsoft that it may read the customer's reports, if it may.
    pub reports: Option<Proof>,
}

/// How an application proves itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// By a secret.
    Secret,
    /// By the key of a certificate: the subject's own.
    Certificate,
}

/// Where everybody is.
#[derive(Clone, Debug)]
pub struct Peers {
    /// The carriers.
    pub carriers: [SocketAddr; 2],
    /// The proxies, in order.
    pub proxies: [SocketAddr; 3],
    /// The SBC of a branch, if there is one.
    pub branch: Option<SocketAddr>,
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
{reports}
"#,
            reports = self.access(&at),
            tenant = self.tenant,
            metrics = ports.metrics,
            teams = ports.tls.ip(),
            carrier = ports.udp.ip(),
            tls = ports.tls.port(),
            udp = ports.udp.port(),
        );
        self.write_teams(&mut text, addresses, peers);
        if self.has_customers {
            self.write_customers(&mut text, addresses, peers);
        }
        self.write_carriers(&mut text, peers);
        if let Some(at) = peers.branch {
            write_branch(&mut text, at, ports.udp.port());
        }
        text.push_str(&self.more);
        text
    }

    /// How the customer's reports are read; files are in this folder.
    fn access(&self, at: &str) -> String {
        let proof = match self.reports {
            None => return String::new(),
            Some(Proof::Secret) => format!("secret = {{ file = \"{at}/graph.secret\" }}"),
            Some(Proof::Certificate) => {
                format!("certificate = \"{at}/sbc.pem\", key = {{ file = \"{at}/sbc.key\" }}")
            }
        };
        format!("graph = {{ tenant_id = \"{DIRECTORY}\", client_id = \"{APPLICATION}\", {proof} }}")
    }

    fn write_teams(&self, text: &mut String, addresses: &Addresses, peers: &Peers) {
        trunk(
            text,
            ("teams", "customer", FQDN),
            addresses,
            peers,
            &self.teams,
        );
    }

    /// Customers behind the carrier's trunk: their names, but no OPTIONS of their own.
    fn write_customers(&self, text: &mut String, addresses: &Addresses, peers: &Peers) {
        for (fqdn, numbers) in CUSTOMERS.iter().zip(CUSTOMER_NUMBERS) {
            let name = fqdn.split('.').next().unwrap_or_default();
            let _ = write!(
                text,
                r#"
[[tenant]]
name = "{name}"
numbers = ["{numbers}00-{numbers}99"]

[[route]]
name = "to-{name}"
match = {{ called_in = "tenant:{name}" }}
to = [{{ trunk = "teams-{name}" }}]

[[route]]
name = "from-{name}"
match = {{ from_trunk = "teams-{name}" }}
to = [{{ trunk = "carrier" }}]
"#
            );
            let more = "options = false\n".to_owned() + &self.customers;
            trunk(
                text,
                (&format!("teams-{name}"), name, fqdn),
                addresses,
                peers,
                &more,
            );
        }
    }

    fn write_carriers(&self, text: &mut String, peers: &Peers) {
        let to = match (self.has_branch, self.has_second_carrier) {
            (true, _) => "{ trunk = \"branch\" }",
            (false, true) => "{ trunk = \"carrier\" }, { trunk = \"carrier-2\" }",
            (false, false) => "{ trunk = \"carrier\" }",
        };
        let _ = write!(
            text,
            r#"
{}
[[route]]
name = "to-teams"
match = {{ called_in = "tenant:customer" }}
to = [{{ trunk = "teams" }}]

[[route]]
name = "from-teams"
match = {{ from_trunk = "teams" }}
to = [{to}]
"#,
            self.routes
        );
        for (index, at) in peers.carriers.iter().enumerate() {
            let (name, more) = match index {
                0 => ("carrier", self.carrier.as_str()),
                _ => ("carrier-2", ""),
            };
            let _ = write!(
                text,
                r#"
[[trunk]]
name = "{name}"
preset = "carrier"
tenant = "*"
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

/// A trunk to the SBC of a branch, on the side of the carriers: TLS at the number that UDP has there.
fn write_branch(text: &mut String, at: SocketAddr, port: u16) {
    let _ = write!(
        text,
        r#"
[[listen]]
name = "branch"
realm = "carrier"
transport = "tls"
port = {port}
tls = "teams"

[[trunk]]
name = "branch"
preset = "carrier"
tenant = "*"
realm = "carrier"
tls = "teams"
srtp = "required"
targets = [{{ address = "{BRANCH}:5061;tls", connect_to = ["{at}"] }}]
accept_from = ["{}/32"]
options = false
codecs = ["PCMA", "PCMU"]
"#,
        at.ip()
    );
}

/// A trunk towards Teams: its name, its tenant, and the name of the SBC.
fn trunk(
    text: &mut String,
    (name, tenant, fqdn): (&str, &str, &str),
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
tls = "teams"
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
    /// Whether media are kept inside: then an address of the other side may be told to Teams.
    pub fn is_local(&self) -> bool {
        self.teams.contains("local_media")
    }

    /// Whether any subject can be expected to be configured so.
    pub fn is_usual(&self) -> bool {
        let texts = [
            &self.tenant,
            &self.teams,
            &self.customers,
            &self.carrier,
            &self.more,
            &self.routes,
        ];
        texts.iter().all(|text| text.is_empty())
            && !self.has_second_carrier
            && !self.has_customers
            && !self.has_branch
            && !self.pings_carrier
            && self.reports.is_none()
    }
}
