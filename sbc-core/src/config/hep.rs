//! Collectors of messages that speak HEP3, such as Homer: `[hep]` (OPS-070). Without it nothing is sent.

use super::effective::Setting;
use super::finding::Collector as Findings;
use super::read::Section;
use super::source::{At, Span};
use super::value::{self, Malformed, WrittenTarget};
use super::written::Secret;
use crate::id::TrunkName;
use crate::transport::Protocol;
use std::fmt;

/// Where messages go besides, and what of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hep {
    /// One to four; each gets everything.
    pub collectors: Vec<HepCollector>,
    /// Which agent we are among others that send to the same collectors (chunk 0x000c).
    pub agent: u32,
    /// Password that each frame carries (chunk 0x000e); `None` sends none.
    pub key: Option<Secret>,
    /// Whether messages that came or went over TLS are sent, decrypted.
    pub include_tls: bool,
    /// Whether the quality of each leg's media is sent at the end of a call.
    pub quality: bool,
    /// Whether reports of RTCP are sent as they come and go.
    pub rtcp: bool,
    /// Share of calls that are sent, in percent (1–100): of each all messages or none.
    pub sample: u8,
    /// Calls that come from one of these trunks or go to it are sent, and nothing else; empty sends all.
    pub trunks: Vec<TrunkName>,
    /// Lines of the log that are sent as well: those of this level and graver ones.
    pub logs: Option<HepLogs>,
    /// PEM file with the roots that collectors with TLS are verified against.
    pub roots: String,
}

/// How grave a line of the log is that collectors get.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HepLogs {
    /// An operator must act.
    Error,
    /// Someone lost something.
    Warn,
    /// One line per call and per state of a trunk.
    Info,
}

/// One collector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HepCollector {
    /// Name or literal address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
}

impl fmt::Display for HepCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            protocol,
        } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port};{protocol}"),
            false => write!(f, "{host}:{port};{protocol}"),
        }
    }
}

impl Hep {
    /// What holds where nothing is written, and why.
    pub(super) fn usual(&self) -> Vec<Setting> {
        let mut collectors = self.collectors.iter();
        let has_tls = collectors.any(|own| own.protocol == Protocol::Tls);
        let roots = has_tls.then(|| {
            let why = "the collector is believed as servers of the web are";
            ("roots", self.roots.clone(), why)
        });
        let all = [
            (
                "id",
                self.agent.to_string(),
                "one node that sends to its collectors",
            ),
            (
                "include_tls",
                self.include_tls.to_string(),
                "what is encrypted on the wire is nobody else's unless somebody says so",
            ),
            (
                "quality",
                self.quality.to_string(),
                "a collector shows it beside the messages of the call",
            ),
            (
                "rtcp",
                self.rtcp.to_string(),
                "a collector shows them while the call goes on",
            ),
            (
                "sample",
                self.sample.to_string(),
                "a collector that shows half of the calls is asked about the other half",
            ),
        ];
        let setting = |(key, value, because): (&str, String, &str)| Setting {
            key: key.to_owned(),
            value,
            because: because.to_owned(),
        };
        all.into_iter().chain(roots).map(setting).collect()
    }
}

const LOGS: &[(&str, HepLogs)] = &[
    ("error", HepLogs::Error),
    ("warn", HepLogs::Warn),
    ("info", HepLogs::Info),
];

/// As it is written.
pub(super) struct WrittenHep {
    pub(super) span: Span,
    pub(super) collectors: Option<At<Vec<At<HepCollector>>>>,
    pub(super) agent: Option<At<u64>>,
    pub(super) key: Option<At<Secret>>,
    pub(super) include_tls: Option<At<bool>>,
    pub(super) quality: Option<At<bool>>,
    pub(super) rtcp: Option<At<bool>>,
    pub(super) sample: Option<At<u64>>,
    pub(super) trunks: Option<At<Vec<At<String>>>>,
    pub(super) logs: Option<At<HepLogs>>,
    pub(super) roots: Option<At<String>>,
}

/// Reads the table.
pub(super) fn read(mut section: Section<'_>, out: &mut Findings) -> WrittenHep {
    const EXAMPLE: &str = "[\"192.0.2.50:9060;udp\"]";
    section.refuse_empty("collectors", EXAMPLE, out);
    section.refuse_empty("trunks", "[\"telco\"]", out);
    let collectors = section.parsed_list("collectors", collector, out);
    if !section.has("collectors") {
        section.missing("collectors", EXAMPLE, out);
    }
    let written = WrittenHep {
        span: section.span.clone(),
        collectors,
        agent: section.number("id", 1..=u64::from(u32::MAX), out),
        key: super::file::secret(&mut section, "key", out),
        include_tls: section.boolean("include_tls", out),
        quality: section.boolean("quality", out),
        rtcp: section.boolean("rtcp", out),
        sample: section.number("sample", 1..=100, out),
        trunks: section.texts("trunks", out),
        logs: section.choice("logs", LOGS, &["debug", "trace"], out),
        roots: section.text("roots", out),
    };
    section.finish(&[], out);
    written
}

/// Where a collector is. Port and protocol are always written: collectors have no agreed ones.
fn collector(text: &str) -> Result<HepCollector, Malformed> {
    const INSTEAD: &str = "write host:port;transport, such as \"192.0.2.50:9060;udp\" or \"homer.example.net:9061;tls\"";
    match value::target(text) {
        Ok(WrittenTarget {
            host,
            port: Some(port),
            protocol: Some(protocol),
        }) => Ok(HepCollector {
            host,
            port,
            protocol,
        }),
        Ok(_) => Err(Malformed {
            what: "lacks its port or its transport",
            instead: INSTEAD,
        }),
        Err(fault) => Err(Malformed {
            instead: INSTEAD,
            ..fault
        }),
    }
}
