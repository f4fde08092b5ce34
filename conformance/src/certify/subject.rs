//! What is certified: our own daemon, or any SBC by its addresses.

use super::case::Need;
use super::kit::ANCHORS;
use super::nodes::{Commands, Undone};
use super::setting::{FQDN, OwnCertificate, Peers, Setting};
use super::verdict::Failure;
use super::word::{Key, Word};
use crate::lab::place::{Addresses, Ports};
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
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
    /// Where another machine of Teams is, which no name leads to; not every place has one. Port 0 is any.
    pub elsewhere: Option<SocketAddr>,
    /// Where a second trunk is towards Teams, if there is one.
    pub second_side: Option<SocketAddr>,
    /// Where a second carrier listens, if there is one.
    pub carrier_2: Option<SocketAddr>,
    /// Where the SBC of a branch listens, if there is one.
    pub branch: Option<SocketAddr>,
    /// The outer side of a NAT in front of it, if there is one.
    pub outside: Option<IpAddr>,
    /// Where somebody is whom it does not know, if there is a place.
    pub stranger: Option<IpAddr>,
    /// Where it asks for names, if it does.
    pub names: Option<SocketAddr>,
    /// Where the carrier listens.
    pub carrier: SocketAddr,
    /// Folder with `ca.pem`, `proxy.pem` and `proxy.key`.
    pub certificates: PathBuf,
    /// What it has.
    pub has: Vec<String>,
    /// What can be done with it while a case is played.
    pub commands: Commands,
    /// Command that configures it as the words behind it say; empty if it stays as it is.
    pub configure: Vec<String>,
    /// What is to be taken back of what a case has done to it; whoever has this value can, whatever becomes of the case.
    pub(super) undone: Arc<Mutex<Undone>>,
}

/// Names of the roots in the folder of certificates beside the usual one, each with its key.
pub(super) fn anchors() -> impl Iterator<Item = String> {
    (1..=ANCHORS).map(|number| format!("anchor{number}"))
}

/// How long a case that was ended may take to be gone.
const LEFT: Duration = Duration::from_secs(5);
/// What the folder has of an authority that the SBC trusts, so that we can issue what is good or wrong in one way.
pub(super) const AUTHORITY: &str = "authority";
/// What the folder has of certificates that no proxy may show.
const IMPOSTORS: [&str; 4] = ["servers.pem", "servers.key", "other.pem", "other.key"];

impl Subject {
    /// Takes back what cases have left of what they did to an SBC of others. Ours ends with its case.
    ///
    /// # Errors
    /// The rule `ladder`, with all that could not be taken back.
    pub(super) async fn is_put_back(&self) -> Result<(), Failure> {
        match self {
            Self::Ours(_) => Ok(()),
            Self::Other(other) => other.is_put_back().await,
        }
    }

    /// Waits until no case that was ended is at it any more.
    pub(super) async fn is_left_alone(&self) {
        let Self::Other(other) = self else { return };
        let deadline = Instant::now() + LEFT;
        while Arc::strong_count(&other.undone) > 1 && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Name, for the report.
    pub fn name(&self) -> &str {
        match self {
            Self::Ours(_) => "Causeway",
            Self::Other(other) => &other.name,
        }
    }

    /// Why a case is not applicable, if it is not.
    pub fn lacks(&self, needs: &[Need]) -> Option<String> {
        let Self::Other(other) = self else {
            return None;
        };
        let need = needs.iter().find(|need| other.has_not(**need))?;
        Some(match (self, need) {
            (Self::Other(_), Need::Ours(why)) => {
                format!("nothing in a subject's file makes it asked: {why}")
            }
            (Self::Other(_), Need::Authority) => {
                "needs an authority that the subject trusts, to issue certificates that are wrong in one way each: \
                 authority.pem and authority.key in the folder of certificates"
                    .to_owned()
            }
            (Self::Other(_), Need::Anchors) => {
                "needs seven roots that the subject trusts beside the usual one, with their keys: anchor1.pem and \
                 anchor1.key to anchor7.pem and anchor7.key in the folder of certificates"
                    .to_owned()
            }
            (Self::Other(_), Need::Maintenance) => {
                "needs a subject that is taken out of service gently, and its file does not say how: write \
                 maintenance = [\"command\", \"argument\"]"
                    .to_owned()
            }
            (Self::Other(_), Need::Customer) => {
                "needs a customer that comes and goes while the subject runs, and its file does not say how: write \
                 customer = [\"command\", \"argument\"], with the usual fqdn"
                    .to_owned()
            }
            (Self::Other(_), Need::Tries) => {
                "needs a subject that can be given what is configured wrongly, and its file does not say how: write \
                 tries = [\"command\", \"argument\"]"
                    .to_owned()
            }
            (Self::Other(_), Need::Logs) => {
                "needs what the subject tells its operators, and its file does not say how to read it: write \
                 logs = [\"command\", \"argument\"]"
                    .to_owned()
            }
            (Self::Other(_), Need::Graph | Need::Presence | Need::SignIn) => {
                "nothing in a subject's file makes it asked: Microsoft's login and Graph would have to be in another place, \
                 which only Causeway can be told"
                    .to_owned()
            }
            (Self::Other(_), Need::Elsewhere) => {
                "needs another machine of Teams, and the subject's file names none: write elsewhere = \
                 \"192.0.2.24\", an address of this machine that the subject takes for one of Teams"
                    .to_owned()
            }
            (Self::Other(_), Need::Stranger) => {
                "needs an address that the subject takes for nobody's, and its file names none: write stranger = \
                 \"192.0.2.99\", another address of this machine"
                    .to_owned()
            }
            (Self::Other(_), Need::Impostors) => {
                "needs certificates that no proxy may show, of an authority that the subject trusts: servers.pem and \
                 servers.key (sip.pstnhub.example, for servers only), other.pem and other.key (other.example) in the folder \
                 of certificates, or authority.pem and authority.key of that authority"
                    .to_owned()
            }
            (Self::Other(_), Need::Renewal) => {
                "needs a certificate that is renewed, and the subject's file does not say how: write renew = \
                 [\"command\", \"argument\"]"
                    .to_owned()
            }
            (Self::Other(_), Need::Restoration) => {
                "puts a certificate into use that Teams refuses, and the subject's file does not say how that is taken back: \
                 write configure = [\"command\", \"argument\"]"
                    .to_owned()
            }
            (Self::Other(_), Need::Loss) => {
                "needs a node that is lost, and the subject's file does not say how: write fail_over = \
                 [\"command\", \"argument\"] of a pair, or restart of one node"
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

/// A file that describes an SBC; what its words mean follows in [`example`].
const EXAMPLE: &str = r#"# An SBC to be certified: causeway certify run --subject this-file.toml
name = "My SBC 1.0"
fqdn = "sbc1.test.example"             # of its trunk, as its certificate says it
teams_side = "192.0.2.1:5061"          # TLS
carrier_side = "192.0.2.1:5060"        # UDP
# Where the peers listen on this machine. The SBC must find the proxies under the names
# sip.pstnhub.example, sip2.pstnhub.example and sip3.pstnhub.example, in this order.
proxies = ["192.0.2.21:5061", "192.0.2.22:5061", "192.0.2.23:5061"]
# Another address of this machine that the SBC takes for one of Teams, and that no name leads to, if there is one
# elsewhere = "192.0.2.24:5061"
carrier = "192.0.2.10:5060"
# Another one that the SBC takes for nobody's, if there is one
# stranger = "192.0.2.99"
# ca.pem (roots of the peers and of the SBC), proxy.pem and proxy.key (the proxies' chain and key); if there are such,
# chains and keys that the SBC trusts and that no proxy may show: servers (sip.pstnhub.example, for servers only) and
# other (other.example). With authority.pem and authority.key, an authority that the SBC trusts, everything that is wrong
# in one way is issued as it is needed; anchor1.pem and anchor1.key to anchor7 are further roots ("anchors" below)
certificates = "/etc/sbc-lab"
# What it has: transfers (REFER from Teams is followed), and the words below as which it is configured. A case is played where these words are those that it wants, no more and no less.
has = ["transfers"]
# With this, words are what it can be configured as: the command is run before each case, with the case's words as
# arguments, and must end when they are in force; without arguments it is configured as usual.
# configure = ["/etc/sbc-lab/configure"]
# If there are two nodes: the command that ends the active one
# fail_over = ["ssh", "sbc1.test.example", "systemctl", "kill", "--signal=KILL", "sbc"]
# The command that ends it and starts it again, if there is one
# restart = ["ssh", "sbc1.test.example", "systemctl", "restart", "sbc"]
# The command that, without a restart, puts NAME.pem and NAME.key of the folder of certificates into use in place of the
# SBC's own, if there is one; NAME stands behind it, and "configure" takes that back. renewed.pem says the SBC's name and
# renewed.test.example; certify-refused.pem is put there by the run, as all that begins with certify-, and no proxy takes
# it: that is asked where there is "configure". It may end with another number than 0 where the SBC does not use the
# certificate: that is noted, and its connections show what it uses. With 126, 127 or 255 it was not started
# renew = ["ssh", "sbc1.test.example", "/etc/sbc/renew"]
# The command that takes it out of service gently when "begin" is behind it, and puts it back with "end": no OPTIONS any
# more, and calls are still taken
# maintenance = ["/etc/sbc-lab/maintenance"]
# The command that, while it runs, adds a customer behind the trunk when "add" is behind it, and removes it with "remove":
# c1.sbc1.test.example with +441632960200 to +441632960299, without OPTIONS of its own; wants the usual fqdn
# customer = ["/etc/sbc-lab/customer"]
# The command that has it try what is configured wrongly, and takes that back. It ends with 0 where that is taken without
# a word, with 1 where it is taken with a warning, and with 2 where it is refused; what it prints stands in the report.
# Behind it stands what to try: "certificate NAME" (NAME.pem and NAME.key of the folder of certificates as the SBC's
# own), "proxy ADDRESS" (instead of the name of the first), "name NAME" (of the trunk), "ice off" (bypass without it)
# tries = ["/etc/sbc-lab/tries"]
# The command that prints what its operators see: alarms, log, ladders, call records; its last 16 MB count, and what is
# new in them. Looked for is, where the proxies answer OPTIONS with 403, that number as a word of its own, with the SBC's
# fqdn or a proxy's name or address in the same line or within 20 new lines; where one proxy answers no OPTIONS, a line with
# its name or address unlike those of the proxies that answer; and of each call its Call-ID
# logs = ["/etc/sbc-lab/logs"]
# Usual: calls to +441632960100 to +441632960199, which are the customer's, must go to Teams, all others from Teams to the
# carrier. No media bypass. The carrier's codecs are PCMA and PCMU, and it gets no OPTIONS.
"#;

/// An example of a file, with what is to be configured for each word: in words, and as keys of Causeway's configuration,
/// which `--configuration` prints in full.
pub fn example() -> String {
    let mut text = EXAMPLE.to_owned();
    let Ok(other) = Other::parse(&text.replace("# elsewhere", "elsewhere")) else {
        return text;
    };
    let _ = writeln!(
        text,
        "\n# The words, each with what is to be configured, what else this file must have, and how Causeway has it; all of\n\
         # that: causeway certify run --subject this-file.toml --configuration WORD,WORD"
    );
    for word in Word::all() {
        let upon: Vec<String> = word
            .upon
            .iter()
            .map(|one| format!("with {}, ", one.name))
            .collect();
        let _ = writeln!(text, "#\n# {}: {}{}", word.name, upon.concat(), word.tells);
        for key in word.wants {
            let _ = writeln!(text, "#   {}", key.line());
        }
        let usual = other.configuration(word.upon);
        let own = other.configuration(&[word.upon, &[*word]].concat());
        for line in shortened(&beyond(&usual, &own)) {
            let _ = writeln!(text, "#     {line}");
        }
    }
    text
}

/// Without the tables of customers of a large node beyond the second.
fn shortened<'t>(lines: &[&'t str]) -> Vec<&'t str> {
    let tables = lines.chunk_by(|_, next| !next.starts_with('['));
    let number = |table: &[&str]| {
        let name = table
            .get(1)?
            .strip_prefix("name = \"")?
            .trim_end_matches('"');
        let name = ["teams-", "to-", "from-"]
            .iter()
            .find_map(|it| name.strip_prefix(it))
            .unwrap_or(name);
        name.strip_prefix('h')?.parse::<usize>().ok()
    };
    let (mut out, mut is_cut) = (Vec::new(), false);
    for table in tables {
        match number(table) {
            Some(3..) if !is_cut => {
                is_cut = true;
                out.push(MORE);
            }
            Some(3..) => {}
            _ => out.extend(table),
        }
    }
    out
}

/// What stands for the tables that are left out.
const MORE: &str = "... and so on to h50; all of it with --configuration";

/// The lines of a configuration that another one lacks, each table with its name.
fn beyond<'t>(usual: &str, own: &'t str) -> Vec<&'t str> {
    let known = tables(usual);
    let mut out = Vec::new();
    for table in tables(own) {
        let name = &table[..table.len().min(2)];
        match known.iter().find(|usual| usual.starts_with(name)) {
            Some(usual) => {
                let more = table.iter().filter(|line| !usual.contains(line));
                let mut more = more.peekable();
                if more.peek().is_some() {
                    out.extend(name);
                    out.extend(more);
                }
            }
            None => out.extend(table),
        }
    }
    out
}

/// The tables of a configuration, each with its lines that say something.
fn tables(text: &str) -> Vec<Vec<&str>> {
    let mut all: Vec<Vec<&str>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match all.last_mut().filter(|_| !line.starts_with('[')) {
            Some(table) => table.push(line),
            None => all.push(vec![line]),
        }
    }
    all
}

/// Where our own daemon has its figures, and its console, when it stands for somebody else's SBC.
const METRICS: u16 = 9_464;
const CONSOLE: u16 = 8_443;
const NOTICES: u16 = 8_444;
/// Where a second carrier is said to be when there is none: nobody has this address (RFC 5737).
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11)), 5_060);

impl Other {
    /// Whether something that a case needs is not there.
    fn has_not(&self, need: Need) -> bool {
        let there = |name: &str| self.certificates.join(name).exists();
        let with_key = |name: &str| there(&format!("{name}.pem")) && there(&format!("{name}.key"));
        let commands = &self.commands;
        match need {
            Need::Loss => commands.fail_over.is_empty() && commands.restart.is_empty(),
            Need::Restart => commands.restart.is_empty(),
            Need::Renewal => commands.renew.is_empty(),
            Need::Restoration => self.configure.is_empty(),
            Need::Maintenance => commands.maintenance.is_empty(),
            Need::Customer => commands.customer.is_empty() || self.fqdn != FQDN,
            Need::Tries => commands.tries.is_empty(),
            Need::Logs => commands.logs.is_empty(),
            Need::Elsewhere => self.elsewhere.is_none(),
            Need::Stranger => self.stranger.is_none(),
            Need::Authority => !with_key(AUTHORITY),
            Need::Anchors => !anchors().all(|name| with_key(&name)),
            Need::Impostors => !with_key(AUTHORITY) && !IMPOSTORS.iter().all(|name| there(name)),
            Need::Bypass | Need::Optimization | Need::Branch | Need::Hosting | Need::Elin => false,
            Need::Transfers => !self.has.iter().any(|has| has == need.name()),
            Need::Ours(_) | Need::Graph | Need::Presence | Need::SignIn => true,
        }
    }

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

    pub(super) fn parse(text: &str) -> Result<Self, String> {
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
        let optional = |key: &str| match value(key) {
            None => Ok(None),
            Some(_) => address(key, &text(key)?).map(Some),
        };
        let ip = |key: &str| match value(key) {
            None => Ok(None),
            Some(_) => {
                let written = text(key)?;
                let why = format!("{key}: \"{written}\" is no address; write \"192.0.2.31\"");
                written.parse().map(Some).map_err(|_| why)
            }
        };
        let has = list("has");
        let of_needs = Need::OF_OTHERS.into_iter().map(Need::name);
        let known: Vec<&str> = of_needs
            .chain(Word::all().iter().map(|word| word.name))
            .collect();
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
                    let alone = written.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0));
                    let why = format!(
                        "elsewhere: \"{written}\" is no address; write \"192.0.2.24:5061\""
                    );
                    Some(alone.or_else(|_| written.parse()).map_err(|_| why)?)
                }
            },
            second_side: optional("second_side")?,
            carrier_2: optional("carrier_2")?,
            branch: optional("branch")?,
            outside: ip("outside")?,
            stranger: ip("stranger")?,
            names: optional("names")?,
            carrier: address("carrier", &text("carrier")?)?,
            certificates: text("certificates")?.into(),
            has,
            commands: Commands {
                fail_over: list("fail_over"),
                restart: list("restart"),
                renew: list("renew"),
                maintenance: list("maintenance"),
                customer: list("customer"),
                tries: list("tries"),
                logs: list("logs"),
            },
            configure: list("configure"),
            undone: Arc::default(),
        })
    }

    /// Why it is not configured as a case wants it, if it is not.
    pub fn is_not_so(&self, setting: &Setting) -> Option<String> {
        if let Some(beyond) = setting.beyond() {
            return Some(format!(
                "needs a configuration that no word of \"has\" stands for: {beyond}"
            ));
        }
        let has = |word: &Word| self.has.iter().any(|has| has == word.name);
        if let Some(word) = setting.words.iter().find(|word| !has(word)) {
            return Some(format!(
                "needs \"{}\", which the subject's file does not say that it has: {}",
                word.name, word.tells
            ));
        }
        let mut wanted = setting.words.iter().flat_map(|word| word.wants);
        if let Some(key) = wanted.find(|key| !self.says(**key)) {
            let line = key.line();
            return Some(format!(
                "needs more than the subject's file says: write {line}, or where that is"
            ));
        }
        if !self.configure.is_empty() {
            return None;
        }
        let is_besides = |word: &&Word| has(word) && !setting.words.contains(word);
        Word::all().iter().find(is_besides).map(|word| {
            format!(
                "needs a subject without \"{}\", as which this one is configured: use a file for each way, or write \
                 configure = [\"command\"]",
                word.name
            )
        })
    }

    fn says(&self, key: Key) -> bool {
        match key {
            Key::Fqdn => self.fqdn == FQDN,
            Key::Carrier2 => self.carrier_2.is_some(),
            Key::Branch => self.branch.is_some(),
            Key::SecondSide => self.second_side.is_some(),
            Key::SidesV6 => {
                self.teams_side.is_ipv6() && self.proxies.iter().all(SocketAddr::is_ipv6)
            }
            Key::Outside => self.outside.is_some(),
            Key::Elsewhere => self.elsewhere.is_some_and(|at| at.port() != 0),
            Key::Names => self.names.is_some(),
        }
    }

    /// Where everybody is.
    pub(super) fn addresses(&self) -> Addresses {
        let elsewhere = self.elsewhere.map(|at| at.ip());
        let outside = self.outside.unwrap_or(self.teams_side.ip());
        Addresses {
            teams_side: self.ip(),
            carrier_side: self.carrier_side.ip(),
            carrier: self.carrier.ip(),
            proxies: self.proxies.map(|proxy| proxy.ip()),
            // Cases that need another machine of Teams are left out where there is none.
            elsewhere: elsewhere.unwrap_or_else(|| self.proxies[0].ip()),
            carrier_2: self.carrier_2.unwrap_or(self.carrier).ip(),
            stranger: self.stranger.unwrap_or(self.carrier.ip()),
            outside,
        }
    }

    /// How our own daemon is configured to be this SBC as these words say; its files are in the folder with the
    /// certificates, which then has sbc.pem and sbc.key, too.
    pub fn configuration(&self, words: &[Word]) -> String {
        let at = |port| SocketAddr::new(self.ip(), port);
        let next = at(self.teams_side.port().wrapping_add(1));
        let ports = Ports {
            tls: self.teams_side,
            udp: self.carrier_side,
            metrics: at(METRICS),
            console: at(CONSOLE),
            notices: at(NOTICES),
            second_tls: self.second_side.unwrap_or(next),
            exposed: None,
        };
        let setting = Setting::of_words(words);
        let peers = Peers {
            names: self.names.filter(|_| setting.has_names),
            carriers: [self.carrier, self.carrier_2.unwrap_or(NOBODY)],
            proxies: self.proxies,
            branch: match setting.has_branch {
                true => self.branch.or(Some(NOBODY)),
                false => None,
            },
            microsoft: None,
            elsewhere: self.elsewhere.unwrap_or(self.proxies[0]),
        };
        let text = setting.write(&self.certificates, &self.addresses(), &ports, &peers);
        let text = match setting.certificate {
            OwnCertificate::Servers => text.replace("/sbc.", "/for-servers."),
            OwnCertificate::Customers => text.replace("/sbc.", "/wildcard."),
            OwnCertificate::Both | OwnCertificate::Below => text,
        };
        let text = match setting.has_anchors {
            true => text.replace("/ca.pem", "/roots.pem"),
            false => text,
        };
        text.replace(&format!("\"{FQDN}\""), &format!("\"{}\"", self.fqdn))
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
            why.contains("elsewhere: \"x192.0.2.24:5061\" is no address"),
            "{why}"
        );
        let able = EXAMPLE.replace("# restart =", "restart =");
        let able = Subject::Other(Box::new(Other::parse(&able).unwrap()));
        assert_eq!(able.lacks(&[Need::Restart]), None);
        let why = able.lacks(&[Need::Renewal]).unwrap();
        assert!(why.contains("write renew ="), "{why}");
        let able = EXAMPLE.replace("# renew =", "renew =");
        let able = Subject::Other(Box::new(Other::parse(&able).unwrap()));
        assert_eq!(able.lacks(&[Need::Renewal]), None);
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

    #[test]
    fn what_can_be_asked_with_one_more_line_is_named_with_that_line() {
        let text = EXAMPLE.replace("[\"transfers\"]", "[\"transfers\"]\n");
        for (need, line) in [
            (Need::Maintenance, "maintenance"),
            (Need::Customer, "customer"),
            (Need::Tries, "tries"),
            (Need::Logs, "logs"),
            (Need::Renewal, "renew"),
            (Need::Restoration, "configure"),
            (Need::Restart, "restart"),
        ] {
            let plain = Subject::Other(Box::new(Other::parse(&text).unwrap()));
            let why = plain.lacks(&[need]).unwrap();
            assert!(why.contains(&format!("write {line} =")), "{why}");
            let able = text.replace(&format!("# {line} ="), &format!("{line} ="));
            let able = Subject::Other(Box::new(Other::parse(&able).unwrap()));
            assert_eq!(able.lacks(&[need]), None, "{line}");
        }
        let folder = tempfile::tempdir().unwrap();
        let at = format!("certificates = \"{}\"", folder.path().display());
        let text = text.replace("certificates = \"/etc/sbc-lab\"", &at);
        let subject = Subject::Other(Box::new(Other::parse(&text).unwrap()));
        let names = [AUTHORITY.to_owned()].into_iter().chain(anchors());
        for need in [Need::Authority, Need::Anchors, Need::Impostors] {
            let why = subject.lacks(&[need]).unwrap();
            assert!(why.contains(".key"), "{why}");
        }
        for name in names {
            for end in ["pem", "key"] {
                std::fs::write(folder.path().join(format!("{name}.{end}")), "").unwrap();
            }
        }
        let needs = [Need::Authority, Need::Anchors, Need::Impostors];
        assert_eq!(subject.lacks(&needs), None);
        let why = subject.lacks(&[Need::Ours("it is so")]).unwrap();
        assert!(why.contains("nothing in a subject's file") && why.contains("it is so"));
    }

    fn with(lines: &str) -> Other {
        let text = EXAMPLE.replace("has = [\"transfers\"]\n", lines);
        Other::parse(&text).unwrap()
    }

    fn why(other: &Other, id: &str) -> Option<String> {
        let case = crate::certify::group::find(id).unwrap();
        other.is_not_so(&Setting::of(case))
    }

    #[test]
    fn a_case_is_asked_where_the_words_are_those_that_it_wants() {
        let plain = with("has = [\"transfers\"]\n");
        assert_eq!(why(&plain, "TC-INB-001"), None);
        let told = why(&plain, "TC-ICE-001").unwrap();
        assert!(
            told.contains("needs \"bypass\"") && told.contains("ICE-lite"),
            "{told}"
        );
        let bypass = with("has = [\"bypass\"]\n");
        assert_eq!(why(&bypass, "TC-ICE-001"), None);
        let told = why(&bypass, "TC-INB-001").unwrap();
        assert!(told.contains("without \"bypass\""), "{told}");
        // Whoever can be configured is asked both, if it says where everybody is.
        let able = with("has = [\"bypass\", \"nat\"]\nconfigure = [\"true\"]\n");
        assert_eq!(why(&able, "TC-ICE-001"), None);
        assert_eq!(why(&able, "TC-INB-001"), None);
        let told = why(&able, "TC-ICE-017").unwrap();
        assert!(told.contains("write outside ="), "{told}");
        let placed =
            with("has = [\"bypass\", \"nat\"]\nconfigure = [\"true\"]\noutside = \"192.0.2.31\"\n");
        assert_eq!(why(&placed, "TC-ICE-017"), None);
        // Over IPv6 is who has addresses of it.
        let told = why(&with("has = [\"v6\"]\n"), "TC-CON-030").unwrap();
        assert!(told.contains("write teams_side = \"["), "{told}");
        let text = EXAMPLE
            .replace("[\"transfers\"]", "[\"v6\"]")
            .replace("teams_side = \"192.0.2.1", "teams_side = \"[2001:db8::1]")
            .replace("\"192.0.2.2", "\"[2001:db8::2]");
        let text = ["1", "2", "3"].iter().fold(text, |text, one| {
            text.replace(
                &format!("[2001:db8::2]{one}"),
                &format!("[2001:db8::2{one}]"),
            )
        });
        assert_eq!(why(&Other::parse(&text).unwrap(), "TC-CON-030"), None);
        for (words, id) in [
            ("\"gcc-high\"", "TC-CON-029"),
            ("\"drain\"", "TC-CON-014"),
            ("\"hosting\", \"expensive\"", "TC-SYS-010"),
        ] {
            let lines = format!("has = [{words}]\nnames = \"192.0.2.99:53\"\n");
            assert_eq!(why(&with(&lines), id), None, "{id}");
        }
        // What has no word is told by its keys.
        let told = why(&plain, "TC-CON-033").unwrap();
        assert!(told.contains("a DNS server"), "{told}");
    }

    #[test]
    fn the_example_tells_of_each_word_what_is_to_be_configured() {
        let text = example();
        for word in Word::all() {
            let (_, own) = text.split_once(&format!("# {}: ", word.name)).unwrap();
            let own = own.split("\n#\n").next().unwrap();
            assert!(own.contains(word.tells), "{own}");
            // Each has lines of Causeway's configuration, except where a DNS server or a NAT needs a place.
            let has_lines = own.lines().any(|line| line.starts_with("#     "));
            assert!(has_lines || !word.wants.is_empty(), "{own}");
        }
        assert!(text.contains("#     media_bypass = true\n"), "{text}");
        // Of customers who are all alike two are shown.
        assert!(text.contains("h2.sbc1.test.example") && text.contains(MORE));
        assert!(!text.contains("fqdn = \"h3."), "{text}");
        // It is a file still.
        assert_eq!(Other::parse(&text).unwrap().name, "My SBC 1.0");
    }
}
