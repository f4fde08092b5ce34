//! Reading files into the written form. No meaning is given to anything here; that is the work of
//! `load`.

use super::account;
use super::cloud;
use super::elin;
use super::finding::{Code, Collector};
use super::inherit::{self, Carriers};
use super::limit;
use super::local_media;
use super::msgraph;
use super::progress;
use super::read::{Item, Section};
use super::registrar;
use super::rules::{plan, rules};
use super::sound;
use super::source::{At, Source, Span};
use super::transfer;
use super::value;
use super::written::*;
use super::{
    AllDown, AssertedForm, DisplayForm, HistoryForm, IdentitySource, MediaBackend, NumberForm,
    OnError, Party, Redirect, RefreshBy, Screening, SessionIdForm, UdpOversize, UserPhone,
    VerifyClient,
};
use crate::locate::FamilyOrder;
use crate::media::{Dtmf, FaxMode, HoldForm, SourceMode, Srtp};
use crate::transport::Protocol;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads all files.
pub(super) fn read(sources: &[Source], out: &mut Collector) -> File {
    let trees: Vec<Spanned<DeTable<'_>>> = sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            let (tree, faults) = DeTable::parse_recoverable(&source.text);
            for fault in faults {
                let range = fault.span().unwrap_or(0..0);
                out.add(
                    Code::Syntax,
                    &Span::new(index, range),
                    fault.message(),
                    None,
                );
            }
            tree
        })
        .collect();
    let mut file = File::default();
    read_singles(&trees, &mut file, out);
    let carriers = inherit::named(&trees);
    for (index, tree) in trees.iter().enumerate() {
        for (key, value) in tree.get_ref() {
            read_lists(index, key, value, &carriers, &mut file, out);
        }
    }
    file
}

const SINGLES: [&str; 7] = ["node", "limits", "cdr", "metrics", "api", "dns", "stir"];
const LISTS: [&str; 11] = [
    "realm",
    "sound",
    "tls",
    "listen",
    "tenant",
    "trunk",
    "transform",
    "route",
    "limit",
    "rate",
    "test",
];
const LATER: [&str; 9] = [
    "emergency",
    "fraud",
    "ha",
    "hep",
    "include",
    "recording",
    "register",
    "schedule",
    "security",
];

/// Tables that exist once; their keys may be spread over files.
fn read_singles<'t>(trees: &'t [Spanned<DeTable<'t>>], file: &mut File, out: &mut Collector) {
    for name in SINGLES {
        let mut merged: Option<Section<'t>> = None;
        for (index, tree) in trees.iter().enumerate() {
            let Some((key, value)) = tree.get_ref().get_key_value(name) else {
                continue;
            };
            let DeValue::Table(table) = value.get_ref() else {
                out.add(
                    Code::WrongType,
                    &Span::new(index, key.span()),
                    format!("\"{name}\" must be a table"),
                    Some(format!("write [{name}]")),
                );
                continue;
            };
            match &mut merged {
                Some(section) => section.add(index, table, out),
                None => {
                    merged = Some(Section::new(
                        name,
                        index,
                        Span::new(index, key.span()),
                        table,
                    ));
                }
            }
        }
        if let Some(section) = merged {
            read_single(name, section, file, out);
        }
    }
}

fn read_single(name: &str, mut section: Section<'_>, file: &mut File, out: &mut Collector) {
    match name {
        "node" => {
            file.node = Some(WrittenNode {
                id: section.required_text("id", "\"sbc1\"", out),
                user_agent: section.text("user_agent", out),
                sounds: section.text("sounds", out),
            });
            section.finish(&["region", "labels"], out);
        }
        "limits" => {
            file.limits = WrittenNodeLimits {
                calls: section.number("calls", 1..=1_000_000, out),
                cps: section.number("cps", 1..=100_000, out),
                setup: section.number("setup", 1..=1_000_000, out),
                max_setup: section.parsed("max_setup", value::duration, out),
                max_duration: section.parsed("max_duration", value::duration, out),
                media_timeout: section.parsed("media_timeout", value::duration, out),
                preempt: section.boolean("preempt", out),
                preempt_per_minute: section.number("preempt_per_minute", 1..=10_000, out),
                unusual_calls: section.number("unusual_calls", 0..=1_000_000, out),
            };
            section.finish(&["memory"], out);
        }
        "cdr" => {
            file.cdr = Some(WrittenCdr {
                spool: section.required_text("spool", "\"/var/lib/causeway/cdr\"", out),
                rotate: section.parsed("rotate", value::size, out),
                pairs: section.boolean("pairs", out),
            });
            section.finish(&["ship", "fsync", "cdr_mandatory", "retention"], out);
        }
        "metrics" => {
            file.metrics = section.parsed("listen", value::socket, out);
            if !section.has("listen") {
                section.missing("listen", "\"127.0.0.1:9464\"", out);
            }
            section.finish(&["tls", "max_series"], out);
        }
        "dns" => {
            section.refuse_empty("servers", "[\"192.0.2.53:53\"]", out);
            file.dns = section.parsed_list("servers", value::socket, out);
            if !section.has("servers") {
                section.missing("servers", "[\"192.0.2.53:53\"]", out);
            }
            section.finish(&["timeout", "search"], out);
        }
        "stir" => file.stir = Some(super::stir::read_table(section, out)),
        _ => {
            file.api = section.required_text("unix", "\"/run/causeway/api.sock\"", out);
            section.finish(&["listen", "tls", "users"], out);
        }
    }
}

/// Arrays of tables; those of all files follow each other.
fn read_lists<'t>(
    index: usize,
    key: &Spanned<std::borrow::Cow<'t, str>>,
    value: &'t Spanned<DeValue<'t>>,
    carriers: &Carriers<'t>,
    file: &mut File,
    out: &mut Collector,
) {
    let name: &str = key.get_ref();
    let span = Span::new(index, key.span());
    if SINGLES.contains(&name) {
        return;
    }
    if !LISTS.contains(&name) {
        match LATER.contains(&name) {
            true => out.add(
                Code::NotSupported,
                &span,
                format!("\"{name}\" is not supported in this version"),
                Some("remove it; nothing would act on it".to_owned()),
            ),
            false => out.add(
                Code::UnknownKey,
                &span,
                format!("unknown key \"{name}\""),
                super::finding::did_you_mean(name, SINGLES.into_iter().chain(LISTS)).or_else(
                    || {
                        Some(format!(
                            "known at the top: {}, {}",
                            SINGLES.join(", "),
                            LISTS.join(", ")
                        ))
                    },
                ),
            ),
        }
        return;
    }
    let DeValue::Array(values) = value.get_ref() else {
        out.add(
            Code::WrongType,
            &span,
            format!("\"{name}\" must be a list of tables"),
            Some(format!("write [[{name}]]")),
        );
        return;
    };
    for value in values {
        let DeValue::Table(table) = value.get_ref() else {
            out.add(
                Code::WrongType,
                &Span::new(index, value.span()),
                format!("\"{name}\" must be a list of tables"),
                Some(format!("write [[{name}]]")),
            );
            continue;
        };
        let mut section = Section::new(name, index, Span::new(index, value.span()), table);
        if name == "trunk" {
            inherit::from_carrier(&mut section, table, carriers, out);
        }
        read_element(name, section, file, out);
    }
}

fn read_element(kind: &str, mut section: Section<'_>, file: &mut File, out: &mut Collector) {
    let span = section.span.clone();
    if kind == "listen" {
        file.listeners.push(listener(section, out));
        return;
    }
    if kind == "rate" {
        file.rates.extend(super::money::rate(section, out));
        return;
    }
    if kind == "test" {
        file.cases.extend(super::case::read(section, out));
        return;
    }
    let Some(name) = section.required_text("name", "\"…\"", out) else {
        // Without its name nothing can refer to it; its other keys are still worth checking.
        let name = At::new(String::new(), span);
        read_named(kind, name, section, file, out);
        return;
    };
    if !value::is_object_name(&name.value) {
        out.add(
            Code::BadForm,
            &name.span,
            format!("{kind}: \"{}\" cannot be a name", name.value.escape_debug()),
            Some("use 1 to 64 letters, digits, \"-\", \"_\" and \".\"".to_owned()),
        );
    }
    section.title = format!("{kind} \"{}\"", name.value.escape_debug());
    read_named(kind, name, section, file, out);
}

fn read_named(
    kind: &str,
    name: At<String>,
    section: Section<'_>,
    file: &mut File,
    out: &mut Collector,
) {
    match kind {
        "realm" => file.realms.push(realm(name, section, out)),
        "sound" => file.sounds.push(sound::sound(name, section, out)),
        "tls" => file.tls.push(tls(name, section, out)),
        "tenant" => file.tenants.push(tenant(name, section, out)),
        "trunk" => file.trunks.push(trunk(name, section, out)),
        "limit" => file
            .number_limits
            .push(limit::of_numbers(name, section, out)),
        "transform" => file.transforms.push(transform(name, section, out)),
        _ => file.routes.push(route(name, section, out)),
    }
}

fn realm(name: At<String>, mut section: Section<'_>, out: &mut Collector) -> WrittenRealm {
    section.refuse_empty("addresses", "[\"203.0.113.5\"]", out);
    let addresses = section.parsed_list("addresses", value::address, out);
    if !section.has("addresses") {
        section.missing("addresses", "[\"203.0.113.5\"]", out);
    }
    let mut advertise_v4 = None;
    let mut advertise_v6 = None;
    let mut advertise_host = None;
    if let Some(mut advertise) = section.table("advertise", out) {
        advertise_v4 = advertise.parsed("v4", value::address, out);
        advertise_v6 = advertise.parsed("v6", value::address, out);
        advertise_host = advertise.text("host", out);
        advertise.finish(&[], out);
    }
    let ports = section.parsed("ports", value::ports, out);
    if !section.has("ports") {
        section.missing("ports", "\"20000-29999\"", out);
    }
    let dscp = section.choice("dscp", &DSCP, &[], out);
    let backends = [
        ("socket", MediaBackend::Socket),
        ("auto", MediaBackend::Auto),
        ("xdp", MediaBackend::Xdp),
    ];
    let media_backend = section.choice("media_backend", &backends, &[], out);
    let realm = WrittenRealm {
        name,
        addresses,
        advertise_v4,
        advertise_v6,
        advertise_host,
        ports,
        dscp,
        media_backend,
    };
    section.finish(&["nat", "ice", "vip"], out);
    realm
}

/// Code points by their customary names.
const DSCP: [(&str, u8); 6] = [
    ("ef", 46),
    ("cs5", 40),
    ("cs4", 32),
    ("cs3", 24),
    ("af41", 34),
    ("be", 0),
];

fn tls(name: At<String>, mut section: Section<'_>, out: &mut Collector) -> WrittenTls {
    let cert = section.required_text("cert", "\"/etc/causeway/tls/sbc.pem\"", out);
    let key = secret(&mut section, "key", out);
    if !section.has("key") {
        section.missing("key", "{ file = \"/etc/causeway/tls/sbc.key\" }", out);
    }
    let tls = WrittenTls {
        name,
        cert,
        key,
        client_ca: section.text("client_ca", out),
        verify_client: section.choice(
            "verify_client",
            &[
                ("require", VerifyClient::Require),
                ("off", VerifyClient::Off),
            ],
            &["optional"],
            out,
        ),
        min: section.choice(
            "min",
            &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)],
            &[],
            out,
        ),
        allow_wildcard: section.boolean("allow_wildcard_san", out),
        drain: section.parsed("drain", value::duration, out),
        crl: section.text("crl", out),
        crl_issuers: section.text("crl_issuers", out),
    };
    section.finish(&["acme", "ocsp", "ciphers"], out);
    tls
}

pub(super) fn secret(
    section: &mut Section<'_>,
    key: &'static str,
    out: &mut Collector,
) -> Option<At<Secret>> {
    let item = section.take(key)?;
    let title = format!("{}: {key}", section.title);
    if let DeValue::String(_) = item.value {
        out.add(
            Code::WrongType,
            &item.span,
            format!("{title}: secrets are never written into the configuration"),
            Some("write { file = \"…\" }, { env = \"…\" } or { credential = \"…\" }".to_owned()),
        );
        return None;
    }
    let mut table = item.section(title, out)?;
    let file = table.text("file", out).map(|at| Secret::File(at.value));
    let env = table.text("env", out).map(|at| Secret::Env(at.value));
    let credential = table
        .text("credential", out)
        .map(|at| Secret::Credential(at.value));
    let given: Vec<Secret> = [file, env, credential].into_iter().flatten().collect();
    let title = table.title.clone();
    table.finish(&[], out);
    match <[Secret; 1]>::try_from(given) {
        Ok([one]) => Some(At::new(one, item.span)),
        Err(given) => {
            out.add(
                Code::Contradiction,
                &item.span,
                match given.is_empty() {
                    true => format!("{title}: nothing says where the secret is"),
                    false => format!("{title}: the secret is said to be in several places"),
                },
                Some("write one of file, env or credential".to_owned()),
            );
            None
        }
    }
}

fn listener(mut section: Section<'_>, out: &mut Collector) -> WrittenListener {
    let listener = WrittenListener {
        name: section.text("name", out),
        span: section.span.clone(),
        realm: section.required_text("realm", "\"…\"", out),
        protocol: section.choice("transport", &PROTOCOLS, &["ws", "wss", "sctp"], out),
        port: section
            .number("port", 1..=65_535, out)
            .map(|port| At::new(port.value as u16, port.span)),
        tls: section.text("tls", out),
        tcp: section.boolean("tcp", out),
    };
    if let Some(name) = &listener.name
        && !value::is_object_name(&name.value)
    {
        out.add(
            Code::BadForm,
            &name.span,
            format!("listen: \"{}\" cannot be a name", name.value.escape_debug()),
            Some("use 1 to 64 letters, digits, \"-\", \"_\" and \".\"".to_owned()),
        );
    }
    if !section.has("transport") {
        section.missing("transport", "\"udp\"", out);
    }
    section.finish(&["proxy_protocol", "address", "max_connections"], out);
    listener
}

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("udp", Protocol::Udp),
    ("tcp", Protocol::Tcp),
    ("tls", Protocol::Tls),
];

fn tenant(name: At<String>, mut section: Section<'_>, out: &mut Collector) -> WrittenTenant {
    let tenant = WrittenTenant {
        name,
        numbers: section
            .parsed_list("numbers", value::numbers, out)
            .map(|list| list.value)
            .unwrap_or_default(),
        local_numbers: section
            .parsed_list("local_numbers", value::numbers, out)
            .map(|list| list.value)
            .unwrap_or_default(),
        emergency: section
            .texts("emergency", out)
            .map(|list| list.value)
            .unwrap_or_default(),
        elins: elin::elins(&mut section, out),
        elin_from_location: section.boolean("elin_from_location", out),
        elin_callback: section.parsed("elin_callback", value::duration, out),
        graph: msgraph::read(&mut section, out),
        limits: limit::limits(&mut section, out),
    };
    section.finish(&["default_cli", "labels", "schedule"], out);
    tenant
}

fn trunk(name: At<String>, mut section: Section<'_>, out: &mut Collector) -> WrittenTrunk {
    section.refuse_empty("targets", "[\"sip.example.com:5060;udp\"]", out);
    section.refuse_empty("accept_from", "[\"192.0.2.0/28\"]", out);
    section.refuse_empty("accept_names", "[\"sip.example.com\"]", out);
    section.refuse_empty("codecs", "[\"PCMA\", \"PCMU\"]", out);
    section.refuse_empty("srtp_suites", "[\"AES_CM_128_HMAC_SHA1_80\"]", out);
    let presets = [
        ("carrier", WrittenPreset::Carrier),
        ("teams", WrittenPreset::Teams),
        ("sba", WrittenPreset::Appliance),
    ];
    let modes = [
        ("static", Mode::Static),
        ("register", Mode::Register),
        ("registrar", Mode::Registrar),
        ("core", Mode::Core),
    ];
    let timers = section.table("timers", out);
    let [
        t1,
        t2,
        t4,
        response_timeout,
        ring_timeout,
        connect,
        handshake,
    ] = timers.map_or([const { None }; 7], |mut t| {
        let keys = [
            "t1",
            "t2",
            "t4",
            "response_timeout",
            "ring_timeout",
            "connect",
            "handshake",
        ];
        let read = keys.map(|key| t.parsed(key, value::duration, out));
        t.finish(&["stream_response_timeout"], out);
        read
    });
    let mut pass_headers = Vec::new();
    let mut strip_headers = Vec::new();
    let mut set_headers = Vec::new();
    if let Some(mut headers) = section.table("headers", out) {
        let texts = |list: Option<At<Vec<At<String>>>>| list.map(|l| l.value).unwrap_or_default();
        pass_headers = texts(headers.texts("pass", out));
        strip_headers = texts(headers.texts("strip", out));
        if let Some(item) = headers.take("set") {
            set_headers = pairs(&item, &headers.title, "set", out);
        }
        headers.finish(&[], out);
    }
    let trunk = WrittenTrunk {
        name,
        span: section.span.clone(),
        tenant: section.text("tenant", out),
        inherits: section.text("inherits", out),
        preset: section.choice("preset", &presets, &[], out),
        cloud: section.choice("cloud", &cloud::WORDS, &["21vianet"], out),
        mode: section.choice("mode", &modes, &["gin"], out),
        // What a carrier trunk lacks is told of that one.
        realm: match section.has("inherits") {
            true => section.text("realm", out),
            false => section.required_text("realm", "\"…\"", out),
        },
        tls: section.text("tls", out),
        fqdn: section.text("fqdn", out),
        targets: targets(&mut section, out),
        accept_from: section.parsed_list("accept_from", value::network, out),
        accept_names: section.texts("accept_names", out),
        trusted: section.boolean("trusted", out),
        codecs: section.texts("codecs", out),
        srtp: section.choice(
            "srtp",
            &[("off", Srtp::Off), ("required", Srtp::Required)],
            &["optional", "preferred", "dtls"],
            out,
        ),
        srtp_suites: section.texts("srtp_suites", out),
        dtmf: section.choice(
            "dtmf",
            &[
                ("rfc4733", Dtmf::Rfc4733),
                ("info", Dtmf::Info),
                ("inband", Dtmf::Inband),
                ("auto", Dtmf::Auto),
            ],
            &[],
            out,
        ),
        hold: section.choice(
            "hold",
            &[
                ("sendonly", HoldForm::SendOnly),
                ("inactive", HoldForm::Inactive),
                ("zero", HoldForm::Zero),
                ("hidden", HoldForm::Hidden),
            ],
            &[],
            out,
        ),
        fax: section.choice(
            "fax",
            &[("t38", FaxMode::T38), ("g711", FaxMode::G711)],
            &["gateway"],
            out,
        ),
        media_source: section.choice(
            "media_source",
            &[
                ("signalled", SourceMode::Signalled),
                ("restricted", SourceMode::Restricted),
            ],
            &["open"],
            out,
        ),
        ptime: section.number("ptime", 10..=60, out),
        low_media_ports: section.boolean("low_media_ports", out),
        media_bypass: section.boolean("media_bypass", out),
        local_media: local_media::read(&mut section, out),
        family: section.choice(
            "family",
            &[("v4", media_api::Family::V4), ("v6", media_api::Family::V6)],
            &[],
            out,
        ),
        t1,
        t2,
        t4,
        response_timeout,
        ring_timeout,
        connect,
        handshake,
        identity: identity(&mut section, out),
        options: options(&mut section, out),
        session_timer: session_timer(&mut section, out),
        dialog_ping: section.parsed("dialog_ping", value::duration, out),
        progress: progress::progress(&mut section, out),
        sounds: sound::of_trunk(&mut section, out),
        limits: limit::of_trunk(&mut section, out),
        pass_headers,
        strip_headers,
        set_headers,
        reroute_on: section
            .numbers("reroute_on", 1..=699, out)
            .map(|list| list.value),
        prefer: section.choice(
            "prefer",
            &[
                ("v6", FamilyOrder::V6),
                ("v4", FamilyOrder::V4),
                ("dns", FamilyOrder::Dns),
            ],
            &[],
            out,
        ),
        all_down: section.choice(
            "all_down",
            &[("try", AllDown::Try), ("fail", AllDown::Fail)],
            &[],
            out,
        ),
        digest: account::digest(&mut section, out),
        register: account::register(&mut section, out),
        authenticate: registrar::authenticate(&mut section, out),
        registrar: registrar::registrar(&mut section, out),
        udp_oversize: section.choice(
            "udp_oversize",
            &[
                ("tcp", UdpOversize::Tcp),
                ("fragment", UdpOversize::Fragment),
                ("slim", UdpOversize::Slim),
            ],
            &[],
            out,
        ),
        crossing: super::crossing::read(&mut section, out),
        habits: super::habits::read(&mut section, out),
        stir: super::stir::read(&mut section, out),
        session_id: section.choice(
            "session_id",
            &[
                ("none", SessionIdForm::None),
                ("pass", SessionIdForm::Pass),
                ("always", SessionIdForm::Always),
            ],
            &[],
            out,
        ),
        uui_max: section.number("uui_max", 1..=2048, out),
        send_location: section.boolean("location", out),
        least_hops: section.number("max_forwards_min", 0..=70, out),
        redirect_to: section.texts("redirect_to", out),
        redirect: section.choice(
            "redirect",
            &[
                ("follow", Redirect::Follow),
                ("pass", Redirect::Pass),
                ("fail", Redirect::Fail),
            ],
            &[],
            out,
        ),
        transfers: transfer::transfer(&mut section, out),
    };
    section.finish(
        &[
            "diversion",
            "schedule",
            "ice",
            "bypass",
            "nat",
            "on_remove",
            "outbound_proxy",
        ],
        out,
    );
    trunk
}

fn targets(section: &mut Section<'_>, out: &mut Collector) -> Option<At<Vec<At<PinnedTarget>>>> {
    let list = section.list("targets", out)?;
    let title = format!("{}: targets", section.title);
    let mut targets = Vec::new();
    for item in list.value {
        let (written, connect_to) = match item.value {
            DeValue::Table(_) => {
                let Some(mut table) = item.section(title.clone(), out) else {
                    continue;
                };
                let written = table.parsed("address", value::target, out);
                if !table.has("address") {
                    table.missing("address", "\"sip.example.com:5061;tls\"", out);
                }
                let connect_to = table.parsed_list("connect_to", value::socket, out);
                table.finish(&["weight", "priority"], out);
                (written, connect_to)
            }
            _ => {
                let Some(text) = item.text(&section.title, "targets", out) else {
                    continue;
                };
                match value::target(&text.value) {
                    Ok(target) => (Some(At::new(target, text.span)), None),
                    Err(malformed) => {
                        out.add(
                            Code::BadForm,
                            &text.span,
                            format!("{title} \"{}\" {}", text.value, malformed.what),
                            Some(malformed.instead.to_owned()),
                        );
                        continue;
                    }
                }
            }
        };
        if let Some(written) = written {
            let connect_to = connect_to
                .map(|list| list.value.into_iter().map(|at| at.value).collect())
                .unwrap_or_default();
            let pinned = PinnedTarget {
                target: written.value,
                connect_to,
            };
            targets.push(At::new(pinned, item.span));
        }
    }
    Some(At::new(targets, list.span))
}

fn identity(section: &mut Section<'_>, out: &mut Collector) -> WrittenIdentity {
    let Some(mut table) = section.table("identity", out) else {
        return WrittenIdentity::default();
    };
    let identity = WrittenIdentity {
        egress: table.choice(
            "egress",
            &[
                ("pai+from", Some(AssertedForm::Pai)),
                ("ppi+from", Some(AssertedForm::Ppi)),
                ("rpid+from", Some(AssertedForm::Rpid)),
                ("from", None),
            ],
            &[],
            out,
        ),
        history: table.choice(
            "diversion",
            &[
                ("none", HistoryForm::None),
                ("pass", HistoryForm::Pass),
                ("history-info", HistoryForm::HistoryInfo),
                ("diversion", HistoryForm::Diversion),
                ("both", HistoryForm::Both),
            ],
            &[],
            out,
        ),
        user_phone: table.choice(
            "user_phone",
            &[
                ("always", UserPhone::Always),
                ("never", UserPhone::Never),
                ("pass", UserPhone::Pass),
            ],
            &[],
            out,
        ),
        transport_param: table.boolean("transport_param", out),
        from_change: table.boolean("from_change", out),
        hides_in_need: table.choice(
            "emergency_privacy",
            &[("override", false), ("keep", true)],
            &[],
            out,
        ),
        sources: table.choices("source", &SOURCES, out),
        from: table.choice("from", &PARTIES, &[], out),
        asserted: table.choice("asserted", &PARTIES, &[], out),
        pilot: table.text("number", out),
        screening: table.choice(
            "screening",
            &[
                ("pass", Screening::Pass),
                ("replace", Screening::Replace),
                ("reject", Screening::Reject),
            ],
            &[],
            out,
        ),
        display: table.choice(
            "display",
            &[
                ("pass", DisplayForm::Pass),
                ("ascii", DisplayForm::Ascii),
                ("strip", DisplayForm::Strip),
            ],
            &[],
            out,
        ),
        from_host: table.text("from_host", out),
        contact_user: table.text("contact_user", out),
        params: table.texts("number_params", out),
        number_form: table.choice(
            "number_format",
            &[
                ("e164", NumberForm::E164),
                ("digits", NumberForm::Digits),
                ("any", NumberForm::Any),
            ],
            &[],
            out,
        ),
        on_error: table.choice(
            "on_error",
            &[("fail", OnError::Fail), ("drop", OnError::Drop)],
            &[],
            out,
        ),
    };
    table.finish(&[], out);
    identity
}

const SOURCES: [(&str, IdentitySource); 4] = [
    ("pai-tel", IdentitySource::PaiTel),
    ("pai-sip", IdentitySource::PaiSip),
    ("rpid", IdentitySource::Rpid),
    ("from", IdentitySource::From),
];

const PARTIES: [(&str, Party); 3] = [
    ("caller", Party::Caller),
    ("diverting", Party::Diverting),
    ("pilot", Party::Pilot),
];

fn options(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenOptions> {
    let item = section.take("options")?;
    if let DeValue::Boolean(false) = item.value {
        return Some(WrittenOptions::Off);
    }
    let mut table = item.section(format!("{}: options", section.title), out)?;
    let options = WrittenOptions::Probe {
        interval: table.parsed("interval", value::duration, out),
        ok: table.numbers("ok", 200..=699, out).map(|list| list.value),
    };
    table.finish(&["down_interval", "answer"], out);
    Some(options)
}

fn session_timer(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenSessionTimer> {
    let item = section.take("session_timer")?;
    if let DeValue::Boolean(false) = item.value {
        return Some(WrittenSessionTimer::Off);
    }
    let mut table = item.section(format!("{}: session_timer", section.title), out)?;
    let words = [
        ("self", RefreshBy::Us),
        ("peer", RefreshBy::Peer),
        ("auto", RefreshBy::Auto),
    ];
    let timer = WrittenSessionTimer::Of {
        expires: table.parsed("expires", value::duration, out),
        min_se: table.parsed("min_se", value::duration, out),
        refresher: table.choice("refresher", &words, &[], out),
    };
    table.finish(&[], out);
    Some(timer)
}

/// A table of free keys with texts.
pub(super) fn pairs(
    item: &Item<'_>,
    title: &str,
    key: &str,
    out: &mut Collector,
) -> Vec<(At<String>, At<String>)> {
    let DeValue::Table(table) = item.value else {
        item.wrong_type(title, key, "a table { Name = \"value\" }", out);
        return Vec::new();
    };
    let file = item.span.file;
    table
        .iter()
        .filter_map(|(key, value)| {
            let name = At::new(key.get_ref().to_string(), Span::new(file, key.span()));
            let item = Item::new(value.get_ref(), Span::new(file, value.span()));
            let value = item.text(title, &name.value, out)?;
            Some((name, value))
        })
        .collect()
}

fn transform(name: At<String>, mut section: Section<'_>, out: &mut Collector) -> WrittenTransform {
    let mut trunk = None;
    let mut is_inbound = None;
    match section.table("when", out) {
        Some(mut when) => {
            trunk = when.required_text("trunk", "\"…\"", out);
            is_inbound = when.choice("dir", &[("in", true), ("out", false)], &[], out);
            if !when.has("dir") {
                when.missing("dir", "\"in\"", out);
            }
            when.finish(&["tenant", "header"], out);
        }
        None if !section.has("when") => {
            section.missing("when", "{ trunk = \"…\", dir = \"in\" }", out);
        }
        None => {}
    }
    let transform = WrittenTransform {
        name,
        trunk,
        is_inbound,
        calling: rules(&mut section, "calling", out),
        called: rules(&mut section, "called", out),
        redirecting: rules(&mut section, "redirecting", out),
        plan: plan(&mut section, out),
    };
    section.finish(&["headers", "display", "tests"], out);
    transform
}

fn route(name: At<String>, mut section: Section<'_>, out: &mut Collector) -> WrittenRoute {
    section.refuse_empty("to", "[{ trunk = \"…\" }]", out);
    let mut route = WrittenRoute {
        name,
        span: section.span.clone(),
        from_trunk: None,
        tenant: None,
        called_in: None,
        called: None,
        calling: None,
        diverting: None,
        routing_number: None,
        to: None,
        max: None,
        emergency: None,
        location_methods: None,
        at_once: section.choice("ring", &[("in_order", false), ("at_once", true)], &[], out),
        any_tenant: section.boolean("any_tenant", out),
        limits: limit::limits(&mut section, out),
    };
    if let Some(mut when) = section.table("match", out) {
        route.from_trunk = when.text("from_trunk", out);
        route.tenant = when.text("tenant", out);
        route.called_in = when.text("called_in", out);
        route.called = when.text("called", out);
        route.calling = when.text("calling", out);
        route.diverting = when.text("diverting", out);
        route.routing_number = when.text("routing_number", out);
        route.emergency = when.boolean("emergency", out);
        route.location_methods = when.texts("location_method", out);
        when.finish(&["header", "time", "from_realm"], out);
    }
    if let Some(list) = section.list("to", out) {
        let title = format!("{}: to", section.title);
        let to = list
            .value
            .iter()
            .filter_map(|item| {
                let mut target = item.section(title.clone(), out)?;
                let trunk = target.required_text("trunk", "\"…\"", out);
                let weight = target.number("weight", 1..=100, out);
                target.finish(&["priority", "transform"], out);
                Some(WrittenHop {
                    trunk: trunk?,
                    weight,
                })
            })
            .collect();
        route.to = Some(At::new(to, list.span));
    } else if !section.has("to") {
        section.missing("to", "[{ trunk = \"…\" }]", out);
    }
    if let Some(mut hunt) = section.table("hunt", out) {
        route.max = hunt.number("max", 1..=6, out);
        // The one word there is says what always happens.
        let _ = hunt.choice("on", &[("trunk.reroute_on", ())], &[], out);
        hunt.finish(&["parallel", "ring"], out);
    }
    section.finish(&["schedule", "action", "tests", "hook"], out);
    route
}
