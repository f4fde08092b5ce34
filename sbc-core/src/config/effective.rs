//! What a configuration comes to: every setting that was written, every one that a trunk inherits or has
//! from its preset, and why (TDR-MT-013).

use super::hosting::OWN;
use super::inherit::{self, Carriers};
use super::load::Loaded;
use super::shell::{MICROSOFT_ROOTS, MICROSOFT_ROOTS_OF};
use super::source::{Lines, Source, Span};
use super::{HistoryForm, Preset, Product, Trunk, UserPhone};
use crate::id::{TenantName, TlsContextName, TrunkName};
use crate::media::{RtcpLine, Srtp, Transcode};
use crate::sip::Method;
use serde::Serialize;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One object of a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Effective {
    /// Its kind, as the table is called.
    pub kind: String,
    /// Its name; tables that exist once have none.
    pub name: Option<String>,
    /// What holds for it.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Setting {
    /// Key, with those of the tables it is in.
    pub key: String,
    /// Value.
    pub value: String,
    /// Where it comes from, or why it holds.
    pub because: String,
}

/// Every object of a configuration that was accepted, in the order of the files.
pub fn effective(sources: &[Source], loaded: &Loaded) -> Vec<Effective> {
    let trees: Vec<Spanned<DeTable<'_>>> = sources
        .iter()
        .map(|source| DeTable::parse_recoverable(&source.text).0)
        .collect();
    let reader = Reader {
        sources,
        lines: Lines::new(sources),
        carriers: inherit::named(&trees),
    };
    let mut all = Vec::new();
    for (file, tree) in trees.iter().enumerate() {
        for (kind, value) in tree.get_ref() {
            match value.get_ref() {
                DeValue::Array(tables) => {
                    let tables = tables.iter().filter_map(|table| match table.get_ref() {
                        DeValue::Table(table) => Some(table),
                        _ => None,
                    });
                    all.extend(
                        tables.map(|table| reader.object(kind.get_ref(), file, table, loaded)),
                    );
                }
                DeValue::Table(table) => {
                    all.push(reader.object(kind.get_ref(), file, table, loaded));
                }
                _ => {}
            }
        }
    }
    all
}

struct Reader<'t> {
    sources: &'t [Source],
    lines: Lines<'t>,
    carriers: Carriers<'t>,
}

impl Reader<'_> {
    fn object(&self, kind: &str, file: usize, table: &DeTable<'_>, loaded: &Loaded) -> Effective {
        let name = inherit::text(table, "name");
        let mut settings = Vec::new();
        self.written("", file, table, "", &mut settings);
        settings.retain(|setting| setting.key != "name");
        let trunk = name.filter(|_| kind == "trunk");
        if let Some(trunk) = trunk.and_then(|name| loaded.config.trunks.get(&TrunkName::new(name)))
        {
            if let Some(inherits) = inherit::text(table, "inherits")
                && let Some((file, carrier)) = self.carriers.get(inherits)
            {
                let mut inherited = Vec::new();
                let from = format!("inherited from trunk \"{inherits}\", ");
                self.written("", *file, carrier, &from, &mut inherited);
                inherited.retain(|own| !OWN.contains(&own.key.as_str()) && !hides(&settings, own));
                settings.extend(inherited);
                settings.push(Setting {
                    key: "transform".to_owned(),
                    value: own_transforms(loaded, trunk),
                    because: format!(
                        "number rules are not inherited: those of \"{inherits}\" do not apply"
                    ),
                });
            }
            let is_sipconnect = inherit::text(table, "preset") == Some("sipconnect");
            let own = of_sipconnect().into_iter().filter(|_| is_sipconnect);
            let own: Vec<Setting> = own.filter(|own| !hides(&settings, own)).collect();
            settings.extend(own);
            let usual = of_preset(trunk).into_iter();
            let usual: Vec<Setting> = usual.filter(|own| !hides(&settings, own)).collect();
            settings.extend(usual);
            if let (Preset::Teams, Product::Usual, Some(product)) = (
                trunk.preset,
                &loaded.config.node.product,
                loaded.config.node.product(trunk),
            ) {
                settings.push(Setting {
                    key: "node.user_agent".to_owned(),
                    value: product.to_owned(),
                    because: "preset teams: Microsoft asks for the make of an SBC in User-Agent and Server, too; \
                              user_agent = \"\" in [node] keeps it from everybody"
                        .to_owned(),
                });
            }
        }
        let access = name.filter(|_| kind == "tenant");
        let access = access.and_then(|name| loaded.shell.graph.get(&TenantName::new(name)));
        if let Some(access) = access {
            settings.push(Setting {
                key: "graph.cloud".to_owned(),
                value: access.cloud.as_str().to_owned(),
                because: "that of the tenant's trunks".to_owned(),
            });
        }
        let identity = name.filter(|_| kind == "tls").map(TlsContextName::new);
        let files = identity
            .as_ref()
            .and_then(|name| loaded.shell.tls.get(name));
        if files.is_some_and(|files| files.client_ca.as_deref() == Some(MICROSOFT_ROOTS)) {
            settings.push(Setting {
                key: "client_ca.roots".to_owned(),
                value: format!("those of {MICROSOFT_ROOTS_OF}"),
                because: "client_ca = \"microsoft\": part of the program, as Microsoft announced them for Direct \
                          Routing; another list is a file of yours"
                    .to_owned(),
            });
        }
        if let Some(files) = files
            && files.issued_for.is_some()
        {
            settings.push(Setting {
                key: "cert".to_owned(),
                value: files.cert.clone(),
                because:
                    "acme = true: the authority of [acme] issues it, the key is in the same file"
                        .to_owned(),
            });
        }
        if let (Some(account), "acme") = (&loaded.shell.acme, kind) {
            settings.extend(
                account
                    .usual()
                    .into_iter()
                    .filter(|own| !hides(&settings, own))
                    .collect::<Vec<_>>(),
            );
        }
        if let (Some(hep), "hep") = (&loaded.shell.hep, kind) {
            let usual = hep.usual().into_iter();
            let usual: Vec<Setting> = usual.filter(|own| !hides(&settings, own)).collect();
            settings.extend(usual);
        }
        Effective {
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            settings,
        }
    }

    /// Every value of a table and of those in it.
    fn written(
        &self,
        within: &str,
        file: usize,
        table: &DeTable<'_>,
        from: &str,
        out: &mut Vec<Setting>,
    ) {
        for (key, value) in table {
            let key = match within {
                "" => key.get_ref().to_string(),
                within => format!("{within}.{}", key.get_ref()),
            };
            if let DeValue::Table(table) = value.get_ref() {
                self.written(&key, file, table, from, out);
                continue;
            }
            let span = Span::new(file, value.span());
            let place = self.lines.place(&span);
            let place = place.map(|place| format!("{}:{}", place.file, place.line));
            let text = self.sources.get(file);
            let text = text.and_then(|source| source.text.get(value.span()));
            let words: Vec<&str> = text.unwrap_or_default().split_whitespace().collect();
            out.push(Setting {
                key,
                value: words.join(" "),
                because: format!("{from}{}", place.unwrap_or_default()),
            });
        }
    }
}

/// Whether a setting is decided by those that are there already: by the same key, or by what stands in
/// place of its table, as `options = false`.
fn hides(settings: &[Setting], other: &Setting) -> bool {
    settings.iter().any(|own| {
        let rest = other.key.strip_prefix(own.key.as_str());
        let below = own.key.strip_prefix(other.key.as_str());
        let is_below = |rest: Option<&str>| rest.is_some_and(|rest| rest.starts_with('.'));
        own.key == other.key || is_below(rest) || is_below(below)
    })
}

fn own_transforms(loaded: &Loaded, trunk: &Trunk) -> String {
    use super::TransformScope::{In, Out};
    let transforms = loaded.config.transforms.iter();
    let own = transforms.filter(|transform| match &transform.scope {
        In(name) | Out(name) => *name == trunk.name,
    });
    let names: Vec<&str> = own.map(|transform| transform.name.as_str()).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// What the preset decides about a trunk where nothing is written, each with its reason.
/// What makes a trunk of SIPconnect of a carrier's.
fn of_sipconnect() -> Vec<Setting> {
    let all = [
        ("trusted", "true", "each side asserts who calls"),
        ("identity.user_phone", "always", "URIs of numbers say so"),
        (
            "identity.number_format",
            "digits",
            "E.164 with +, and what is dialled as it is",
        ),
        (
            "identity.diversion",
            "history-info",
            "who forwarded a call is told",
        ),
        (
            "identity.anonymous_from",
            "true",
            "who hides is asserted and anonymous in From",
        ),
    ];
    all.map(|(key, value, why)| Setting {
        key: key.to_owned(),
        value: value.to_owned(),
        because: format!("preset sipconnect: {why}"),
    })
    .into()
}

fn of_preset(trunk: &Trunk) -> Vec<Setting> {
    let is_teams = trunk.preset == Preset::Teams;
    let preset = match trunk.preset {
        Preset::Teams => "preset teams",
        Preset::Carrier => "preset carrier",
    };
    let profile = &trunk.media.profile;
    let mut all = Vec::new();
    let mut add = |key: &str, value: String, teams: &str, carrier: &str| {
        let why = if is_teams { teams } else { carrier };
        all.push(Setting {
            key: key.to_owned(),
            value,
            because: format!("{preset}: {why}"),
        });
    };
    if let Some(cloud) = trunk.cloud {
        add(
            "cloud",
            cloud.as_str().to_owned(),
            "where most tenants are",
            "none",
        );
    }
    if let Some(own) = &trunk.local_media {
        let (role, external) = (own.role().to_owned(), trunk.realm.as_str().to_owned());
        let why = "we are the SBC that fqdn names unless proxy is written";
        add("local_media.role", role, why, "none");
        if own.proxy.is_some() {
            let (past, why) = match &own.downstream {
                Some(name) => (name.as_str(), "downstream names the trunk"),
                None => ("none", "no downstream is written"),
            };
            add("local_media.past_us", past.to_owned(), why, "none");
        }
        let why = "users outside reach the trunk's realm";
        add("local_media.external", external, why, "none");
    }
    let targets = trunk.targets.iter();
    add(
        "targets",
        listed(targets.map(|at| format!("{}:{};{}", at.host, at.port, at.protocol))),
        "the names of the service in the order in which they must be tried",
        "nothing is called: its peer registers with us",
    );
    if is_teams && trunk.carrier.is_none() {
        let names = trunk.test_names.iter();
        add(
            "test_names",
            listed(names.map(|at| format!("{}:{};{}", at.host, at.port, at.protocol))),
            "where Microsoft shows certificates of coming authorities, asked once a day; those of the cloud where \
             targets are",
            "none",
        );
    }
    let ranges = trunk.accept_from.iter();
    add(
        "accept_from",
        listed(ranges.map(|net| format!("{}/{}", net.address, net.prefix))),
        "requests of a running call may come from any address of the cloud",
        "the addresses of its targets",
    );
    add(
        "accept_names",
        listed(trunk.accept_names.iter().cloned()),
        "a certificate of Teams carries one of the names of the service",
        "the names of its targets",
    );
    add(
        "trusted",
        trunk.trusted.to_string(),
        "Teams has proved who it is, and what it says of callers counts",
        "nobody is trusted before the operator says so",
    );
    for (key, method) in [("info", Method::Info), ("message", Method::Message)] {
        let crosses = trunk.allow.contains(&method);
        add(
            key,
            if crosses { "relay" } else { "refuse" }.to_owned(),
            "Teams takes neither INFO nor MESSAGE",
            "what is meant for one party is told to no other before the operator says so",
        );
    }
    add(
        "srtp",
        word(&profile.srtp),
        "Teams speaks SRTP only",
        "keys in SDP would travel readable without TLS",
    );
    if profile.srtp == Srtp::Dtls {
        add(
            "allow_sha1",
            profile.takes_sha1.to_string(),
            "Teams has no DTLS-SRTP",
            "a certificate can be made to fit a fingerprint of SHA-1",
        );
    }
    if profile.srtp.is_by_description() {
        add(
            "srtp_suites",
            listed(profile.suites.iter().map(|suite| suite.name().to_owned())),
            "the one that Microsoft documents",
            "the one that everybody has",
        );
        add(
            "best_effort_srtp",
            profile.keys_on_plain.to_string(),
            "Teams offers SRTP as such",
            "keys on a line of plain RTP mean nothing in any standard",
        );
    }
    add(
        "nat",
        word(&profile.source),
        "its media may come from another address than it describes, which keys prove",
        "its description is believed, unless it names an address that cannot be reached",
    );
    let codecs = profile.codecs.iter();
    add(
        "codecs",
        listed(codecs.map(|codec| codec.name.to_string())),
        "what Teams offers and needs no transcoding",
        "what carriers usually have",
    );
    add(
        "codec_order",
        if profile.own_order { "local" } else { "remote" }.to_owned(),
        "who calls says what it likes best",
        "who calls says what it likes best",
    );
    add(
        "answer_codecs",
        if profile.answers_all { "all" } else { "one" }.to_owned(),
        "with one codec nobody changes it in the middle of a call",
        "with one codec nobody changes it in the middle of a call",
    );
    add(
        "single_codec",
        profile.one_codec.to_string(),
        "Teams answers with one codec",
        "most peers may answer with several and keep to the first",
    );
    add(
        "transcode",
        match &profile.transcode {
            Transcode::Never => "false".to_owned(),
            Transcode::OnDemand => "true".to_owned(),
            Transcode::Offered(list) => listed(list.iter().map(|codec| codec.name.to_string())),
        },
        "only where the two sides have no codec in common",
        "only where the two sides have no codec in common",
    );
    add(
        "dtmf",
        word(&profile.dtmf),
        "Teams knows digits as events only",
        "what carriers usually have",
    );
    add(
        "hold",
        word(&profile.hold),
        "Teams knows hold as inactive only",
        "the direction that describes what flows",
    );
    add(
        "fax",
        word(&profile.fax),
        "Teams refuses T.38",
        "T.38 where the other side has it, too",
    );
    // What no key changes.
    if let Some(exponent) = profile.lifetime_exponent {
        let why = "in our key lines, as Microsoft's examples have it; no key changes it";
        add("fixed.srtp_lifetime", format!("2^{exponent}"), why, why);
    }
    add(
        "fixed.comfort_noise",
        profile.offers_noise.to_string(),
        "Teams may send it, and it is offered; no key changes it",
        "offered where the other side has it; no key changes it",
    );
    add(
        "rtcp_mux",
        profile.rtcp_mux.to_string(),
        "Teams may have RTCP on the port of RTP",
        "RTCP has a port of its own, unless the peer asks for one",
    );
    add(
        "rtp_profile",
        word(&profile.rtp),
        "Teams offers RTP/SAVP itself",
        "what carriers have; an answer has the profile of its offer",
    );
    add(
        "ice",
        word(&profile.ice),
        "media_bypass says whether it is spoken",
        "media go where descriptions say, as carriers have it",
    );
    add(
        "fixed.rtcp_line",
        match profile.rtcp_line {
            RtcpLine::Always => "always",
            RtcpLine::WhenNeeded => "when needed",
        }
        .to_owned(),
        "Teams wants a=rtcp in every description; no key changes it",
        "a=rtcp only where RTCP is elsewhere than beside RTP; no key changes it",
    );
    add(
        "fixed.own_ptime",
        profile.own_ptime.to_string(),
        "the packet time is ours and not that of the other side; no key changes it",
        "the packet time is that of the other side; no key changes it",
    );
    let timers = &trunk.timers;
    add(
        "timers.response_timeout",
        spelled(timers.response_timeout),
        "a silent data centre must leave time for the next one",
        "a silent server must leave time for the next one",
    );
    for (key, time) in [
        ("timers.connect", timers.connect),
        ("timers.handshake", timers.handshake),
    ] {
        if let Some(time) = time {
            let why = "a data centre that is not there leaves time for the next one";
            add(key, spelled(time), why, why);
        }
    }
    let codes = trunk.reroute_on.iter();
    add(
        "reroute_on",
        listed(codes.map(u16::to_string)),
        "any other answer of Teams is final: a repeated 603 shows as several missed calls",
        "trouble of the trunk leads on, a busy or absent user never does",
    );
    if let Some(options) = &trunk.options {
        add(
            "options.interval",
            spelled(options.interval),
            "never more often than once in 60 s, never less often than once in 180 s",
            "often enough to know before the next call",
        );
        add(
            "options.ok",
            match &options.ok {
                Some(codes) => listed(codes.iter().map(u16::to_string)),
                None => "any but 408 and 503".to_owned(),
            },
            "only 200 proves that Teams knows this trunk",
            "a peer that answers at all is there",
        );
    }
    if let Some(timer) = &trunk.session_timer {
        add(
            "session_timer.expires",
            spelled(Duration::from_secs(timer.expires_s.into())),
            "Teams asks for an hour",
            "half an hour is what RFC 4028 recommends",
        );
        add(
            "session_timer.min_se",
            spelled(Duration::from_secs(timer.min_se_s.into())),
            "what Teams announces itself",
            "the least that RFC 4028 allows",
        );
        add(
            "session_timer.refresher",
            word(&timer.refresher),
            "Teams refreshes by itself where it may",
            "whoever the peer names",
        );
    }
    let progress = &trunk.progress;
    add(
        "rel100",
        word(&progress.rel100),
        "Teams knows no reliable provisional responses",
        "where the peer supports them",
    );
    add(
        "late_offer",
        word(&progress.late_offer),
        "Teams takes no INVITE without a description",
        "as the other side calls",
    );
    add(
        "progress_within",
        spelled(progress.within_of(trunk.preset)),
        "within ten seconds of silence Teams goes to its next SBC",
        "proxies give a call up after three minutes of silence",
    );
    add(
        "max_transfers",
        trunk.transfers.most.to_string(),
        "a reception, a queue and an agent are one call there",
        "a call that is moved more often goes round in circles",
    );
    add(
        "lost_connection",
        word(&trunk.habits.lost_connection),
        "Teams tries again from another data centre",
        "a peer may connect again and go on",
    );
    add(
        "isup",
        word(&trunk.habits.isup),
        "Teams speaks no ISUP",
        "nobody is known to speak it",
    );
    add(
        "relay_auth",
        listed(trunk.habits.relay_auth.iter().cloned()),
        "Teams asks nobody for credentials",
        "a challenge is for whoever has the account: us",
    );
    add(
        "connection_reuse",
        trunk.habits.connection_reuse.to_string(),
        "Via offers alias as in Microsoft's examples; requests of ours use its connections only where the operator \
         wants that",
        "connections that a peer has opened are used for its requests alone before the operator says so",
    );
    add(
        "verstat",
        word(&trunk.stir.verstat),
        "what Teams makes of it is not documented",
        "as a parameter of the number, which most understand",
    );
    add(
        "identity.user_phone",
        match trunk.uri.user_phone {
            UserPhone::Always => "always",
            UserPhone::Never => "never",
            UserPhone::Pass => "pass",
        }
        .to_owned(),
        "without it Teams guesses what a number is",
        "most carriers want none",
    );
    add(
        "identity.number_format",
        word(&trunk.identity.number_form),
        "Teams looks users up by numbers with + only",
        "carriers have forms of their own; transforms make them",
    );
    add(
        "identity.egress",
        match trunk.send_asserted {
            true => "pai+from",
            false => "from",
        }
        .to_owned(),
        "what Teams makes of asserted identities from outside is not documented",
        "an identity is asserted to who is trusted with it",
    );
    add(
        "identity.diversion",
        match trunk.history {
            HistoryForm::None => "none",
            HistoryForm::Pass => "pass",
            HistoryForm::HistoryInfo => "history-info",
            HistoryForm::Diversion => "diversion",
            HistoryForm::Both => "both",
        }
        .to_owned(),
        "in the header in which we are told",
        "who forwarded a call is told to nobody before the operator says so",
    );
    add(
        "fill_pauses",
        trunk.sounds.fills_pauses.to_string(),
        "Teams may take a long gap for a failure of media",
        "a pause is what the other side made of it",
    );
    let why =
        "Teams may send none of what it describes while it rings, and callers would hear nothing";
    add(
        "ringback",
        "auto where Teams describes early media, else remote".to_owned(),
        why,
        why,
    );
    let headers = trunk.set_headers.iter();
    add(
        "headers.set",
        listed(headers.map(|(name, value)| format!("{name}: {value}"))),
        "Teams wants to know the make of an SBC",
        "none",
    );
    all
}

fn listed(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    format!("[{}]", values.join(", "))
}

/// The word of a setting whose name is that of its variant.
fn word(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_ascii_lowercase()
}

fn spelled(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}
