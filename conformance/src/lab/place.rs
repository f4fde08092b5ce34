//! Where a lab lives: addresses, ports, the folder, and the configuration of the daemon.

use super::Expose;
use super::fault::LabFault;
use crate::ca::Authority;
use crate::microsoft::clock;
use crate::random;
use std::fmt::Write;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Domain of the simulated proxies; stands for pstnhub.microsoft.com.
pub const DOMAIN: &str = "pstnhub.example";
/// The three regions, in the order in which an SBC must try them.
pub const REGIONS: [&str; 3] = ["sip", "sip2", "sip3"];

/// One customer of the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// Name.
    pub name: &'static str,
    /// Name of the SBC in this tenant.
    pub fqdn: &'static str,
    /// What its numbers begin with; two digits follow.
    pub numbers: &'static str,
    /// Whether clients of its users may have their media with the SBC directly.
    pub bypass: bool,
}

/// Both customers.
pub const TENANTS: [Tenant; 2] = [
    Tenant {
        name: "contoso",
        fqdn: "sbc.contoso.example",
        numbers: "+142555501",
        bypass: false,
    },
    Tenant {
        name: "fabrikam",
        fqdn: "sbc.fabrikam.example",
        numbers: "+120655501",
        bypass: true,
    },
];

impl Tenant {
    /// One of its numbers.
    pub fn number(&self, last: u8) -> String {
        format!("{}{last:02}", self.numbers)
    }

    /// The number of its user who sends back what he hears.
    pub fn echo(&self) -> String {
        self.number(0)
    }
}

/// Addresses of one lab.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// The daemon towards Teams.
    pub teams_side: IpAddr,
    /// The daemon towards carriers.
    pub carrier_side: IpAddr,
    /// The carrier.
    pub carrier: IpAddr,
    /// The proxies, in order.
    pub proxies: [IpAddr; 3],
    /// A machine of the proxies' data centre that no name leads to.
    pub elsewhere: IpAddr,
    /// Another carrier.
    pub carrier_2: IpAddr,
    /// A stranger.
    pub stranger: IpAddr,
    /// The outer side of a NAT in front of the daemon.
    pub outside: IpAddr,
}

impl Addresses {
    /// A block of loopback that nobody else is likely to use. Systems on which only 127.0.0.1 is an
    /// address of the host get that for everything; ports tell the parties apart then.
    pub fn choose() -> Self {
        let [b, c] = random::bytes::<2>();
        // 127.0 and 127.255 are where other programs look first.
        let block = move |last| IpAddr::from(Ipv4Addr::new(127, b.clamp(2, 253), c, last));
        match UdpSocket::bind((block(1), 0)) {
            Ok(_) => Self::with(block),
            Err(_) => Self::with(|_| IpAddr::from(Ipv4Addr::LOCALHOST)),
        }
    }

    fn with(address: impl Fn(u8) -> IpAddr) -> Self {
        Self {
            teams_side: address(1),
            carrier_side: address(2),
            carrier: address(10),
            proxies: [21, 22, 23].map(&address),
            elsewhere: address(24),
            carrier_2: address(11),
            stranger: address(99),
            outside: address(31),
        }
    }

    /// The same, with everybody of Teams and the daemon's side towards it at the address of IPv6 that every
    /// host has.
    #[must_use]
    pub fn with_v6(self) -> Self {
        let here = IpAddr::from(std::net::Ipv6Addr::LOCALHOST);
        Self {
            teams_side: here,
            proxies: [here; 3],
            elsewhere: here,
            ..self
        }
    }

    /// Another machine of the proxies' data centre.
    pub fn machine(&self, number: u8) -> IpAddr {
        match self.elsewhere {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                IpAddr::from([a, b, c, number])
            }
            v6 @ IpAddr::V6(_) => v6,
        }
    }

    /// What of the carrier's side must not show to Teams.
    pub fn hidden_from_teams(&self) -> Vec<IpAddr> {
        let all = [self.carrier, self.carrier_side];
        all.into_iter()
            .filter(|address| *address != self.teams_side)
            .collect()
    }

    /// What of the side of Teams must not show to the carrier.
    pub fn hidden_from_carrier(&self) -> Vec<IpAddr> {
        let all = self.proxies.into_iter().chain([self.teams_side]);
        all.filter(|address| *address != self.carrier_side)
            .collect()
    }
}

/// Sockets of the daemon. They were free a moment ago; whoever is refused tries others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ports {
    /// TLS towards Teams.
    pub tls: SocketAddr,
    /// UDP towards the carrier.
    pub udp: SocketAddr,
    /// Metrics and probes.
    pub metrics: SocketAddr,
    /// The console and the API.
    pub console: SocketAddr,
    /// Where Microsoft tells of changes.
    pub notices: SocketAddr,
    /// TLS towards Teams for one more trunk, or one more node.
    pub second_tls: SocketAddr,
    /// UDP towards whoever joins in.
    pub exposed: Option<SocketAddr>,
}

impl Ports {
    /// Looks for free ports.
    ///
    /// # Errors
    /// [`LabFault::Expose`] and [`LabFault::System`].
    pub fn choose(addresses: &Addresses, expose: Option<&Expose>) -> Result<Self, LabFault> {
        let system = |why| LabFault::System {
            what: "find a free port",
            why,
        };
        // All are held until the last is found: a port that is free again may be found twice.
        let tcp = || TcpListener::bind((addresses.teams_side, 0u16)).map_err(system);
        let held = [tcp()?, tcp()?, tcp()?, tcp()?, tcp()?];
        let [tls, second_tls, metrics, console, notices] =
            held.each_ref().map(TcpListener::local_addr);
        let udp = |ip, port| UdpSocket::bind((ip, port)).and_then(|socket| socket.local_addr());
        let exposed = expose.map(|expose| {
            udp(expose.address, expose.port).map_err(|why| LabFault::Expose {
                at: SocketAddr::new(expose.address, expose.port).to_string(),
                why,
            })
        });
        Ok(Self {
            tls: tls.map_err(system)?,
            second_tls: second_tls.map_err(system)?,
            udp: udp(addresses.carrier_side, 0).map_err(system)?,
            metrics: metrics.map_err(system)?,
            console: console.map_err(system)?,
            notices: notices.map_err(system)?,
            exposed: exposed.transpose()?,
        })
    }
}

/// Where the peers listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peers {
    /// The carrier.
    pub carrier: SocketAddr,
    /// The proxies, in order.
    pub proxies: [SocketAddr; 3],
}

/// Writes certificates and keys of both tenants, and the root, into the folder.
///
/// # Errors
/// [`LabFault`].
pub fn write_certificates(folder: &Path, authority: &Authority) -> Result<(), LabFault> {
    write(folder, "ca.pem", authority.root_pem())?;
    for tenant in TENANTS {
        let identity = authority.issue(&[tenant.fqdn])?;
        write(folder, &format!("{}.pem", tenant.name), &identity.chain_pem)?;
        write(folder, &format!("{}.key", tenant.name), &identity.key_pem)?;
    }
    Ok(())
}

/// Writes the configuration of the daemon.
///
/// # Errors
/// [`LabFault::File`].
pub fn write_configuration(
    folder: &Path,
    ports: &Ports,
    peers: &Peers,
) -> Result<PathBuf, LabFault> {
    write(
        folder,
        "causeway.toml",
        &configuration(folder, ports, peers),
    )
}

/// A new file that only this user can read.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, LabFault> {
    let path = folder.join(name);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(path),
        Err(why) => Err(LabFault::File { path, why }),
    }
}

/// A path as it stands between the quotes of a TOML string.
pub(crate) fn quoted(path: &Path) -> String {
    let mut out = String::new();
    for c in path.display().to_string().chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn configuration(folder: &Path, ports: &Ports, peers: &Peers) -> String {
    // No lab lasts a month.
    let expires = clock::date(clock::now_ms() + 30 * 86_400_000);
    let at = quoted(folder);
    let (tls, udp) = (ports.tls, ports.udp);
    let (metrics, console) = (ports.metrics, ports.console);
    let mut text = format!(
        r#"# Written by `causeway lab`. Change it and try: causeway reload --socket {at}/api.sock

[node]
id = "lab"

# --- Both sides of the SBC, each with its own address ---------------------------------------

[[realm]]
name = "teams"
addresses = ["{}"]
ports = "20000-24999"

[[realm]]
name = "carrier"
addresses = ["{}"]
ports = "25000-29999"

[[listen]]
name = "teams"
realm = "teams"
transport = "tls"
port = {}
tls = "contoso"                 # when a client names no host; otherwise its host decides

[[listen]]
name = "carrier"
realm = "carrier"
transport = "udp"
port = {}

# --- Two customers, each with its own certificate --------------------------------------------
"#,
        tls.ip(),
        udp.ip(),
        tls.port(),
        udp.port()
    );
    let targets: Vec<String> = REGIONS
        .iter()
        .zip(peers.proxies)
        .map(|(region, at)| {
            format!(
                "    {{ address = \"{region}.{DOMAIN}:5061;tls\", connect_to = [\"{at}\"] }},\n"
            )
        })
        .collect();
    let accepted: Vec<String> = peers
        .proxies
        .iter()
        .map(|proxy| format!("\"{}/32\"", proxy.ip()))
        .collect();
    for tenant in TENANTS {
        let Tenant {
            name,
            fqdn,
            numbers,
            bypass,
        } = tenant;
        let _ = write!(
            text,
            r#"
[[tenant]]
name = "{name}"
numbers = ["{numbers}00-{numbers}49"]

[[tls]]
name = "{name}"
cert = "{at}/{name}.pem"
key = {{ file = "{at}/{name}.key" }}
client_ca = "{at}/ca.pem"
verify_client = "require"

[[trunk]]
name = "teams-{name}"
preset = "teams"
tenant = "{name}"
realm = "teams"
tls = "{name}"
fqdn = "{fqdn}"
media_bypass = {bypass}
# For the real service leave the next three out: the preset knows Microsoft's names and addresses.
targets = [
{}]
accept_from = [{}]
accept_names = ["sip.{DOMAIN}"]

[[route]]
name = "to-{name}"
match = {{ called_in = "tenant:{name}" }}
to = [{{ trunk = "teams-{name}" }}]

[[route]]
name = "from-{name}"
match = {{ from_trunk = "teams-{name}" }}
to = [{{ trunk = "carrier" }}]
"#,
            targets.concat(),
            accepted.join(", ")
        );
    }
    let _ = write!(
        text,
        r#"
# --- The carrier, shared by both -------------------------------------------------------------

[[trunk]]
name = "carrier"
preset = "carrier"
tenant = "*"
realm = "carrier"
targets = ["{};udp"]
accept_from = ["{}/32"]
codecs = ["PCMA", "PCMU"]
"#,
        peers.carrier,
        peers.carrier.ip()
    );
    if let Some(exposed) = ports.exposed {
        let _ = write!(
            text,
            r#"
# --- Whoever joins in --------------------------------------------------------------------------

[[realm]]
name = "exposed"
addresses = ["{ip}"]
ports = "30000-30999"

[[listen]]
name = "exposed"
realm = "exposed"
transport = "udp"
port = {port}

[[trunk]]
name = "exposed"
preset = "carrier"
tenant = "*"
realm = "exposed"
targets = ["{next};udp"]
accept_from = ["{range}"]
codecs = ["PCMA", "PCMU"]
options = false
"#,
            ip = exposed.ip(),
            port = exposed.port(),
            next = SocketAddr::new(exposed.ip(), exposed.port().saturating_add(1)),
            range = admitted(exposed.ip())
        );
    }
    let _ = write!(
        text,
        r#"
# --- The node --------------------------------------------------------------------------------

[cdr]
spool = "{at}/cdr"

[metrics]
listen = "{metrics}"

[api]
unix = "{at}/api.sock"
listen = "{console}"
tls = "contoso"

[[api.user]]
name = "lab"
role = "admin"
token = {{ file = "{at}/token.hash" }}
expires = "{expires}"
"#
    );
    text
}

/// Who may call an exposed address: its neighbours.
pub fn admitted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => "127.0.0.0/8".to_owned(),
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) if v6.is_loopback() => "::1/128".to_owned(),
        IpAddr::V6(v6) => {
            let net = v6.to_bits() & !u128::from(u64::MAX);
            format!("{}/64", std::net::Ipv6Addr::from_bits(net))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_one_side_may_show_on_the_other_unless_they_are_the_same() {
        let many = Addresses::with(|last| IpAddr::from([127, 9, 9, last]));
        assert_eq!(many.hidden_from_teams().len(), 2);
        assert_eq!(many.hidden_from_carrier().len(), 4);
        let one = Addresses::with(|_| IpAddr::from([127, 0, 0, 1]));
        assert!(one.hidden_from_teams().is_empty() && one.hidden_from_carrier().is_empty());
    }

    #[test]
    fn a_path_is_written_so_that_toml_reads_it_back() {
        assert_eq!(
            quoted(Path::new("/tmp/a \"b\"\\\n")),
            "/tmp/a \\\"b\\\"\\\\\\u000A"
        );
    }

    #[test]
    fn only_neighbours_of_an_exposed_address_may_call() {
        assert_eq!(admitted(IpAddr::from([127, 0, 0, 1])), "127.0.0.0/8");
        assert_eq!(admitted(IpAddr::from([192, 0, 2, 7])), "192.0.2.0/24");
        assert_eq!(admitted("2001:db8::7".parse().unwrap()), "2001:db8::/64");
    }

    #[test]
    fn an_address_of_another_machine_cannot_be_exposed() {
        let addresses = Addresses::choose();
        let expose = Expose {
            address: IpAddr::from([192, 0, 2, 7]),
            port: 0,
        };
        let fault = Ports::choose(&addresses, Some(&expose)).unwrap_err();
        assert!(fault.to_string().contains("192.0.2.7:0"), "{fault}");
        let ports = Ports::choose(&addresses, None).unwrap();
        assert_ne!(ports.tls.port(), 0);
    }
}
