//! How the subject is configured for a case.

use super::case::Case;
use super::word::Word;
use crate::lab::place::{Addresses, DOMAIN, Ports, REGIONS, quoted};
use crate::microsoft::{APPLICATION, DIRECTORY, GRAPH, LOGIN};
use std::collections::BTreeSet;
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
/// Name of the SBC at a customer behind its trunk: one label below that of the trunk.
pub const DERIVED: &str = "c1.sbc1.test.example";
/// Name of a second trunk, or of a second SBC.
pub const SECOND: &str = "sbc2.test.example";
/// What numbers of the customers' users begin with; two digits follow.
pub const CUSTOMER_NUMBERS: [&str; 2] = ["+4416329602", "+4416329603"];
/// What numbers of Teams users begin with; two digits follow.
pub const TEAMS_NUMBERS: &str = "+4416329601";
/// A role of the application, for operators who look.
pub const ROLE: &str = "Causeway.Viewer";
/// Where the issuer of operators is before a case says it.
pub const NOWHERE: &str = "https://127.0.0.1:1/";
/// A number in the public network.
pub const OUTSIDE: &str = "+441632960001";
/// The Teams user who is called.
pub const USER: &str = "+441632960100";
/// Another.
pub const USER_2: &str = "+441632960101";

/// What a case may change. Texts are TOML.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Setting {
    /// What of it has a name, so that others can configure it, too.
    pub words: Vec<Word>,
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
    /// How many further customers are behind the trunk, each with a trunk that is derived from it.
    pub hosted: usize,
    /// Whether an SBC of a branch stands in the place of the carriers.
    pub has_branch: bool,
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
    /// How the subject proves to Microsoft that it may read the customer's reports, if it may.
    pub reports: Option<Proof>,
    /// How the subject is to ask for presence, and whom to show: the table `presence` of that access.
    pub presence: Option<&'static str>,
    /// Whether Microsoft tells it of presence.
    pub is_told: bool,
    /// Whether operators sign in, at an issuer whose place is [`NOWHERE`] until the case says it.
    pub signs_in: bool,
    /// Further keys of the certificate.
    pub tls: String,
    /// What the certificate is for.
    pub certificate: OwnCertificate,
    /// Whether seven other roots are trusted beside the usual one, and the proxies' certificates lead to some
    /// of them.
    pub has_anchors: bool,
    /// Whether the proxies are found by asking DNS, at the usual port.
    pub has_names: bool,
    /// The national cloud of the trunk and the name of its one proxy, which is asked for.
    pub cloud: Option<(&'static str, &'static str)>,
    /// Whether it keeps what outlives a restart.
    pub has_state: bool,
    /// Whether Teams is reached over IPv6.
    pub is_v6: bool,
    /// Whether clients of Teams reach it at an address that is not its own.
    pub is_behind_nat: bool,
}

/// How an application proves itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// By a secret.
    Secret,
    /// By the key of a certificate: the subject's own.
    Certificate,
}

/// What the subject's certificate is for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum OwnCertificate {
    /// Servers and clients.
    #[default]
    Both,
    /// Servers alone.
    Servers,
    /// Servers and clients, and every name one label below that of the trunk.
    Below,
    /// Servers and clients, and every name one label below that of all customers.
    Customers,
}

/// Where everybody is.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Who is asked for names, if anybody is.
    pub names: Option<SocketAddr>,
    /// The carriers.
    pub carriers: [SocketAddr; 2],
    /// The proxies, in order.
    pub proxies: [SocketAddr; 3],
    /// The SBC of a branch, if there is one.
    pub branch: Option<SocketAddr>,
    /// Microsoft's login and Graph, where the subject asks them by itself.
    pub microsoft: Option<SocketAddr>,
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
{listen}
[[realm]]
name = "teams"
addresses = ["{teams}"]
ports = "20000-24999"
{advertise}

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
{further_tls}

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
            reports = self.access(&at, peers.microsoft),
            listen = match self.signs_in {
                true => format!("listen = \"{}\"\ntls = \"console\"\n", ports.console),
                false => String::new(),
            },
            advertise = match self.is_behind_nat {
                true => format!("advertise = {{ v4 = \"{}\" }}", addresses.outside),
                false => String::new(),
            },
            further_tls = self.tls,
            tenant = self.tenant,
            metrics = ports.metrics,
            teams = ports.tls.ip(),
            carrier = ports.udp.ip(),
            tls = ports.tls.port(),
            udp = ports.udp.port(),
        );
        if let Some(names) = peers.names {
            let _ = writeln!(text, "\n[dns]\nservers = [\"{names}\"]");
        }
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
        self.write_hosted(&mut text);
        self.write_carriers(&mut text, peers);
        if let Some(at) = peers.branch {
            write_branch(&mut text, at, ports.udp.port());
        }
        if self.is_told {
            let at = ports.notices;
            let _ = write!(
                text,
                "\n[notices]\nlisten = \"{at}\"\ntls = \"teams\"\nurl = \"https://{FQDN}/notices\"\n"
            );
        }
        if self.signs_in {
            write_sign_in(&mut text, &at);
        }
        text.push_str(&self.more);
        text
    }

    /// How the customer's reports are read; files are in this folder.
    fn access(&self, at: &str, microsoft: Option<SocketAddr>) -> String {
        let proof = match self.reports {
            None => return String::new(),
            Some(Proof::Secret) => format!("secret = {{ file = \"{at}/graph.secret\" }}"),
            Some(Proof::Certificate) => {
                format!("certificate = \"{at}/sbc.pem\", key = {{ file = \"{at}/sbc.key\" }}")
            }
        };
        let presence = match (self.presence, microsoft) {
            (Some(presence), Some(place)) => format!(
                ", roots = \"{at}/ca.pem\", connect_to = {{ \"{LOGIN}\" = \"{place}\", \"{GRAPH}\" = \"{place}\" }}, \
                 presence = {presence}"
            ),
            _ => String::new(),
        };
        format!(
            "graph = {{ tenant_id = \"{DIRECTORY}\", client_id = \"{APPLICATION}\", {proof}{presence} }}"
        )
    }

    fn write_teams(&self, text: &mut String, addresses: &Addresses, peers: &Peers) {
        let names = ("teams", "customer", FQDN, "teams");
        let mut more = self.teams.clone();
        if self.is_v6 {
            more.push_str("family = \"v6\"\n");
        }
        match self.cloud {
            None => trunk(text, names, addresses, peers, &more),
            // Its name is known; of its addresses one is here.
            Some((cloud, _)) => {
                let proxy = addresses.proxies[0];
                let _ = writeln!(more, "cloud = \"{cloud}\"\naccept_from = [\"{proxy}/32\"]");
                write_trunk(text, names, &more);
            }
        }
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

    /// An appliance of the branch at the address that no name of Teams leads to. It is called by the one name
    /// that the certificate there says.
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
            REGIONS[0]
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

    /// Customers who have all but their names from the trunk.
    fn write_hosted(&self, text: &mut String) {
        for number in 1..=self.hosted {
            let _ = write!(
                text,
                r#"
[[tenant]]
name = "h{number}"
numbers = ["+44163297{number:02}00-+44163297{number:02}99"]

[[trunk]]
name = "teams-h{number}"
inherits = "teams"
tenant = "h{number}"
fqdn = "h{number}.{FQDN}"

[[route]]
name = "to-h{number}"
match = {{ called_in = "tenant:h{number}" }}
to = [{{ trunk = "teams-h{number}" }}]

[[route]]
name = "from-h{number}"
match = {{ from_trunk = "teams-h{number}" }}
to = [{{ trunk = "carrier" }}]
"#
            );
        }
    }

    fn write_carriers(&self, text: &mut String, peers: &Peers) {
        let to = match (self.has_branch, self.has_second_carrier) {
            (true, _) => "{ trunk = \"branch\" }",
            (false, true) => "{ trunk = \"carrier\" }, { trunk = \"carrier-2\" }",
            (false, false) => "{ trunk = \"carrier\" }",
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

/// A trunk towards Teams: its name, its tenant, the name of the SBC, and its TLS identity.
fn trunk(
    text: &mut String,
    (name, tenant, fqdn, tls): (&str, &str, &str, &str),
    addresses: &Addresses,
    peers: &Peers,
    more: &str,
) {
    let target = |(region, at): (&&str, SocketAddr)| match peers.names {
        None => format!("{{ address = \"{region}.{DOMAIN}:5061;tls\", connect_to = [\"{at}\"] }}"),
        Some(_) => format!("\"{region}.{DOMAIN}:5061;tls\""),
    };
    let targets: Vec<String> = REGIONS.iter().zip(peers.proxies).map(target).collect();
    let more = format!(
        "targets = [{}]\naccept_from = [{}]\naccept_names = [\"sip.{DOMAIN}\"]\n{more}",
        targets.join(", "),
        accepted(addresses),
    );
    write_trunk(text, (name, tenant, fqdn, tls), &more);
}

fn write_trunk(text: &mut String, (name, tenant, fqdn, tls): (&str, &str, &str, &str), more: &str) {
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
{more}
"#
    );
}

/// The addresses from which Teams may come: the proxies, and one that no name leads to.
fn accepted(addresses: &Addresses) -> String {
    let all: BTreeSet<_> = addresses
        .proxies
        .iter()
        .chain([&addresses.elsewhere])
        .collect();
    let all = all.into_iter().map(|ip| {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        format!("\"{ip}/{bits}\"")
    });
    all.collect::<Vec<_>>().join(", ")
}

impl Setting {
    /// Whether media are kept inside: then an address of the other side may be told to Teams.
    pub fn is_local(&self) -> bool {
        self.teams.contains("local_media")
    }

    /// That of a case.
    pub fn of(case: &Case) -> Self {
        let mut setting = Self::default();
        (case.setting)(&mut setting);
        setting
    }

    /// The usual one and what these words stand for.
    pub fn of_words(words: &[Word]) -> Self {
        let mut setting = Self::default();
        words.iter().for_each(|word| setting.is(*word));
        setting
    }

    /// It is configured as this word says, too.
    pub fn is(&mut self, word: Word) {
        word.set(self);
        self.words.push(word);
    }

    /// What of it is neither usual nor has a word, if anything: nobody else can be expected to be configured so.
    pub fn beyond(&self) -> Option<String> {
        let usual = Self {
            // What is kept over a restart is no matter of configuration.
            has_state: self.has_state,
            ..Self::of_words(&self.words)
        };
        (*self != usual).then(|| self.differences(&usual).join("; "))
    }

    fn differences(&self, usual: &Self) -> Vec<String> {
        let texts = |of: &Self| {
            [
                ("of the customer", &of.tenant),
                ("of the trunk towards Teams", &of.teams),
                ("of the customers' trunks", &of.customers),
                ("of the tenants behind the trunk", &of.customer_tenants),
                ("of the carrier's trunk", &of.carrier),
                ("further tables", &of.more),
                ("further routes", &of.routes),
                ("of the certificate", &of.tls),
            ]
            .map(|(what, text)| (what, text.clone()))
        };
        let mut found = Vec::new();
        for ((what, text), (_, known)) in texts(self).into_iter().zip(texts(usual)) {
            if let Some(more) = text.strip_prefix(&known).filter(|more| !more.is_empty()) {
                let lines: Vec<&str> = more.split_whitespace().collect();
                found.push(format!("{what}: {}", lines.join(" ")));
            }
        }
        let kinds = [
            (self.certificate != usual.certificate, "another certificate"),
            (
                self.has_anchors,
                "seven further roots, and proxies that show certificates of theirs",
            ),
            (self.has_names && !usual.has_names, "a DNS server"),
            (self.is_v6 && !usual.is_v6, "IPv6 towards Teams"),
            (self.cloud != usual.cloud, "a national cloud"),
            (self.hosted > 0, "many customers behind the trunk"),
            (self.reports.is_some(), "access to Microsoft Graph"),
            (self.signs_in, "operators who sign in"),
        ];
        let kinds = kinds.into_iter().filter(|(is_it, _)| *is_it);
        found.extend(kinds.map(|(_, what)| what.to_owned()));
        if found.is_empty() {
            found.push("further keys".to_owned());
        }
        found
    }
}

impl Setting {
    /// Names of trunks towards Teams besides the first.
    pub(super) fn more_names(&self) -> Vec<String> {
        let customers = CUSTOMERS.into_iter().filter(|_| self.has_customers);
        let has_second = self.has_second_trunk || self.has_appliance;
        let second = [SECOND].into_iter().filter(|_| has_second);
        let hosted = (1..=self.hosted).map(|number| format!("h{number}.{FQDN}"));
        let names = customers.chain(second).map(str::to_owned);
        names.chain(hosted).collect()
    }
}

fn write_sign_in(text: &mut String, at: &str) {
    let _ = write!(
        text,
        r#"
[[tls]]
name = "console"
cert = "{at}/sbc.pem"
key = {{ file = "{at}/sbc.key" }}

[api.oidc]
issuer = "{NOWHERE}{DIRECTORY}/v2.0"
tenants = ["{DIRECTORY}"]
client_id = "{APPLICATION}"
secret = {{ file = "{at}/graph.secret" }}
url = "https://{FQDN}:8443"
roots = "{at}/ca.pem"

[[api.oidc.role]]
value = "{ROLE}"
role = "viewer"
"#
    );
}
