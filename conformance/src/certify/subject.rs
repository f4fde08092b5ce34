//! What is certified: our own daemon, or any SBC by its addresses.

use super::case::Need;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// What is certified.
#[derive(Clone, Debug)]
pub enum Subject {
    /// This program as daemon, started and configured anew for each case.
    Ours(PathBuf),
    /// An SBC that somebody else configured.
    Other(Box<Other>),
}

/// An SBC that somebody else configured, and where the peers must be so that it finds them.
#[derive(Clone, Debug)]
pub struct Other {
    /// Name, for the report.
    pub name: String,
    /// Name of the trunk, as its certificate says it.
    pub fqdn: String,
    /// Where it listens for Teams, TLS.
    pub teams_side: SocketAddr,
    /// Where it listens for the carrier, UDP.
    pub carrier_side: SocketAddr,
    /// Where the three proxies listen, in order.
    pub proxies: [SocketAddr; 3],
    /// Where another machine of Teams is, which no name leads to; not every place has one.
    pub elsewhere: Option<IpAddr>,
    /// Where the carrier listens.
    pub carrier: SocketAddr,
    /// Folder with `ca.pem`, `proxy.pem` and `proxy.key`.
    pub certificates: PathBuf,
    /// What it has.
    pub has: Vec<String>,
    /// Command that ends the active node of a pair; empty if there is none.
    pub fail_over: Vec<String>,
    /// Command that ends it and starts it again; empty if there is none.
    pub restart: Vec<String>,
}

/// What our own daemon does not have.
const MISSING: [Need; 1] = [Need::Pair];

impl Subject {
    /// Name, for the report.
    pub fn name(&self) -> &str {
        match self {
            Self::Ours(_) => "Causeway",
            Self::Other(other) => &other.name,
        }
    }

    /// Why a case is not applicable, if it is not.
    pub fn lacks(&self, needs: &[Need]) -> Option<String> {
        let missing = |need: &&Need| match self {
            Self::Ours(_) => MISSING.contains(need),
            Self::Other(other) if **need == Need::Restart => other.restart.is_empty(),
            Self::Other(other) if **need == Need::Elsewhere => other.elsewhere.is_none(),
            Self::Other(other) => !other.has.iter().any(|has| has == need.name()),
        };
        let need = needs.iter().find(missing)?;
        Some(match (self, need) {
            (Self::Other(_), Need::Ours) => {
                "needs a configuration of its own, and this subject is configured by others"
                    .to_owned()
            }
            (Self::Other(_), Need::Elsewhere) => {
                "needs another machine of Teams, and the subject's file names none: write elsewhere = \
                 \"192.0.2.24\", an address of this machine that the subject takes for one of Teams"
                    .to_owned()
            }
            (Self::Other(_), Need::Restart) => {
                "needs a restart, and the subject's file does not say how: write restart = \
                 [\"command\", \"argument\"]"
                    .to_owned()
            }
            _ => format!("{} does not have \"{}\"", self.name(), need.name()),
        })
    }
}

/// Why a subject's file cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what to write.
    pub why: String,
}

impl fmt::Display for SubjectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for SubjectFault {}

/// A file that describes an SBC.
pub const EXAMPLE: &str = r#"# An SBC to be certified: causeway certify run --subject this-file.toml
name = "My SBC 1.0"
fqdn = "sbc1.test.example"             # of its trunk, as its certificate says it
teams_side = "192.0.2.1:5061"          # TLS
carrier_side = "192.0.2.1:5060"        # UDP
# Where the peers listen on this machine. The SBC must find the proxies under the names
# sip.pstnhub.example, sip2.pstnhub.example and sip3.pstnhub.example, in this order.
proxies = ["192.0.2.21:5061", "192.0.2.22:5061", "192.0.2.23:5061"]
# Another address of this machine that the SBC takes for one of Teams, and that no name leads to, if there is one
# elsewhere = "192.0.2.24"
carrier = "192.0.2.10:5060"
# ca.pem (roots of the peers and of the SBC), proxy.pem and proxy.key (the proxies' chain and key)
certificates = "/etc/sbc-lab"
# What it has beyond calls: transfers, bypass, optimization, graph, pair, branch, hosting, elin,
# presence, sign-in
has = ["transfers"]
# Of a pair: the command that ends the active node
# fail_over = ["ssh", "sbc1.test.example", "systemctl", "kill", "--signal=KILL", "sbc"]
# The command that ends it and starts it again, if there is one
# restart = ["ssh", "sbc1.test.example", "systemctl", "restart", "sbc"]
# Calls to +441632960100 to +441632960199 must go to Teams, all others from Teams to the carrier.
"#;

impl Other {
    /// Reads a subject's file.
    ///
    /// # Errors
    /// [`SubjectFault`], naming the key and what to write.
    pub fn read(path: &Path) -> Result<Self, SubjectFault> {
        let fault = |why: String| SubjectFault {
            path: path.to_owned(),
            why,
        };
        let text = std::fs::read_to_string(path).map_err(|why| fault(why.to_string()))?;
        Self::parse(&text).map_err(fault)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table = DeTable::parse(text).map_err(|why| why.to_string())?;
        let table = table.get_ref();
        let value = |key: &str| table.get(key).map(toml::Spanned::get_ref);
        let text = |key: &str| match value(key) {
            Some(DeValue::String(text)) => Ok(text.to_string()),
            _ => Err(format!("{key} is missing; write {key} = \"…\"")),
        };
        let list = |key: &str| match value(key) {
            Some(DeValue::Array(all)) => all
                .iter()
                .filter_map(|one| match one.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        let address = |key: &str, text: &str| {
            text.parse::<SocketAddr>().map_err(|_| {
                format!("{key}: \"{text}\" is no address with port; write \"192.0.2.1:5061\"")
            })
        };
        let (has, known) = (list("has"), Need::OF_OTHERS.map(Need::name));
        // A word that nobody knows would leave cases out in silence.
        if let Some(word) = has.iter().find(|word| !known.contains(&word.as_str())) {
            return Err(format!(
                "has: \"{word}\" is unknown; write some of {}",
                known.join(", ")
            ));
        }
        let proxies: Vec<SocketAddr> = list("proxies")
            .iter()
            .map(|one| address("proxies", one))
            .collect::<Result<_, _>>()?;
        let proxies = <[SocketAddr; 3]>::try_from(proxies)
            .map_err(|got| format!("proxies has {} addresses; write three", got.len()))?;
        Ok(Self {
            name: text("name")?,
            fqdn: text("fqdn")?,
            teams_side: address("teams_side", &text("teams_side")?)?,
            carrier_side: address("carrier_side", &text("carrier_side")?)?,
            proxies,
            elsewhere: match value("elsewhere") {
                None => None,
                Some(_) => {
                    let written = text("elsewhere")?;
                    let why =
                        format!("elsewhere: \"{written}\" is no address; write \"192.0.2.24\"");
                    Some(written.parse().map_err(|_| why)?)
                }
            },
            carrier: address("carrier", &text("carrier")?)?,
            certificates: text("certificates")?.into(),
            has,
            fail_over: list("fail_over"),
            restart: list("restart"),
        })
    }

    /// Where it is towards Teams.
    pub fn ip(&self) -> IpAddr {
        self.teams_side.ip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_read_and_what_is_missing_is_named() {
        let other = Other::parse(EXAMPLE).unwrap();
        assert_eq!(other.proxies[2].to_string(), "192.0.2.23:5061");
        let subject = Subject::Other(Box::new(other));
        assert_eq!(subject.lacks(&[Need::Transfers]), None);
        assert!(subject.lacks(&[Need::Bypass]).unwrap().contains("bypass"));
        let why = subject.lacks(&[Need::Restart]).unwrap();
        assert!(why.contains("write restart ="), "{why}");
        let why = subject.lacks(&[Need::Elsewhere]).unwrap();
        assert!(why.contains("write elsewhere ="), "{why}");
        let able = EXAMPLE.replace("# elsewhere =", "elsewhere =");
        let able = Subject::Other(Box::new(Other::parse(&able).unwrap()));
        assert_eq!(able.lacks(&[Need::Elsewhere]), None);
        let broken = EXAMPLE.replace("# elsewhere = \"192", "elsewhere = \"x192");
        let why = Other::parse(&broken).unwrap_err();
        assert!(
            why.contains("elsewhere: \"x192.0.2.24\" is no address"),
            "{why}"
        );
        let able = EXAMPLE.replace("# restart =", "restart =");
        let able = Subject::Other(Box::new(Other::parse(&able).unwrap()));
        assert_eq!(able.lacks(&[Need::Restart]), None);
        let broken = EXAMPLE.replace("[\"transfers\"]", "[\"transfer\"]");
        let why = Other::parse(&broken).unwrap_err();
        assert!(why.contains("\"transfer\" is unknown"), "{why}");
        let broken = EXAMPLE.replace("carrier = \"192.0.2.10:5060\"", "carrier = \"here\"");
        assert!(
            Other::parse(&broken)
                .unwrap_err()
                .contains("carrier: \"here\"")
        );
    }
}
