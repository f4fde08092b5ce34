//! Reading files into the written form. No meaning is given to anything here; that is the work of
//! `load`.

mod trunk;

use super::elin;
use super::finding::{Code, Collector};
use super::inherit::{self, Carriers};
use super::limit;
use super::msgraph;
use super::read::{Item, Section};
use super::reference::Form;
use super::rules::{plan, rules};
use super::schedule;
use super::sound;
use super::source::{At, Source, Span};
use super::user;
use super::value;
use super::written::*;
use super::{CdrStart, MediaBackend, VerifyClient};
use crate::record::KeptNumbers;
use crate::transport::Protocol;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use trunk::trunk;

/// What becomes of calls at the end of the daemon.
const RESTARTS: [(&str, bool); 2] = [("end", false), ("preserve", true)];

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
                    Some(super::instead::of_syntax(fault.message())),
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

pub(super) const SINGLES: [&str; 13] = [
    "node", "security", "limits", "drain", "media", "cdr", "metrics", "api", "dns", "stir", "acme",
    "notices", "hep",
];
pub(super) const LISTS: [&str; 12] = [
    "realm",
    "sound",
    "tls",
    "listen",
    "tenant",
    "trunk",
    "transform",
    "schedule",
    "route",
    "limit",
    "rate",
    "test",
];
const LATER: [&str; 6] = [
    "emergency",
    "fraud",
    "ha",
    "include",
    "recording",
    "register",
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
                transcoding: section.number("transcoding", 0..=1_000_000, out),
                max_setup: section.parsed("max_setup", value::duration, out),
                max_duration: section.parsed("max_duration", value::duration, out),
                media_timeout: section.parsed("media_timeout", value::duration, out),
                preempt: section.boolean("preempt", out),
                preempt_per_minute: section.number("preempt_per_minute", 1..=10_000, out),
                unusual_calls: section.number("unusual_calls", 0..=1_000_000, out),
                ladders: section.parsed("ladders", value::size, out),
                last_calls: None,
            };
            section.finish(&["memory"], out);
        }
        // After the limits, of which it is one.
        "drain" => {
            file.limits.last_calls = section.parsed("on_sigterm", value::duration, out);
            section.finish(&["timeout"], out);
        }
        "cdr" => {
            file.cdr = Some(WrittenCdr {
                spool: section.required_text("spool", "\"/var/lib/causeway/cdr\"", out),
                rotate: section.parsed("rotate", value::size, out),
                rotate_every: section.parsed("rotate_every", value::duration, out),
                retention: section.parsed("retention", value::duration, out),
                retention_size: section.parsed("retention_size", value::size, out),
                sync_each: section.boolean("sync_each", out),
                interim: section.parsed("interim", value::duration, out),
                mandatory: section.boolean("mandatory", out),
                pairs: section.boolean("pairs", out),
                start: section.choice(
                    "start",
                    &[("invite", CdrStart::Invite), ("answer", CdrStart::Answer)],
                    &[],
                    out,
                ),
                number_key: secret(&mut section, "number_key", out),
                ship: ship(&mut section, out),
            });
            section.finish(&[], out);
        }
        "metrics" => {
            file.metrics = section.parsed("listen", value::socket, out);
            if !section.has("listen") {
                section.missing("listen", "\"127.0.0.1:9464\"", out);
            }
            file.metrics_tls = section.text("tls", out);
            file.metrics_client_ca = section.text("client_ca", out);
            file.metrics_crl = section.text("crl", out);
            file.metrics_crl_issuers = section.text("crl_issuers", out);
            file.max_series = section.number("max_series", 1_000..=1_000_000, out);
            section.finish(&[], out);
        }
        "dns" => {
            section.refuse_empty("servers", "[\"192.0.2.53:53\"]", out);
            file.dns = section.parsed_list("servers", value::socket, out);
            if !section.has("servers") {
                section.missing("servers", "[\"192.0.2.53:53\"]", out);
            }
            section.finish(&["timeout", "search"], out);
        }
        "media" => {
            file.pin_workers = section.boolean("pin_workers", out);
            file.relay = section.text("relay", out);
            file.preserves_calls = section.choice("restart", &RESTARTS, &[], out);
            if !section.has("relay") && !section.has("pin_workers") {
                section.missing("relay", "\"/run/causeway-media/media.sock\"", out);
            }
            section.finish(&[], out);
        }
        "security" => file.confinement = super::security::read(section, out),
        "stir" => file.stir = Some(super::stir::read_table(section, out)),
        "notices" => file.notices = Some(super::notices::read(section, out)),
        "hep" => file.hep = Some(super::hep::read(section, out)),
        "acme" => file.acme = Some(super::acme::read(section, out)),
        _ => {
            file.api = super::api::read(section, out);
        }
    }
}

fn ship(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenShip> {
    let mut table = section.table("ship", out)?;
    let written = WrittenShip {
        span: table.span.clone(),
        url: table.required_text("url", "\"https://records.example.com/cdr\"", out),
        token: secret(&mut table, "token", out),
        password: secret(&mut table, "password", out),
        table: table.parsed("table", super::database::table_name, out),
        plain: table.boolean("plain", out),
        roots: table.text("roots", out),
        batch: table.number("batch", 1..=10_000, out),
    };
    table.finish(&[], out);
    Some(written)
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
                Some(super::instead::of_key(name).to_owned()),
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
    if name == "trunk" {
        // They are large, and there may be thousands: a list that grows would leave as much behind.
        file.trunks.reserve_exact(values.len());
    }
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
        "schedule" => file.schedules.push(schedule::read(name, section, out)),
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
    let signalling_dscp = section.choice("signalling_dscp", &DSCP, &[], out);
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
        signalling_dscp,
        media_backend,
    };
    section.finish(&["nat", "ice", "vip"], out);
    realm
}

/// Code points by their customary names.
const DSCP: [(&str, u8); 8] = [
    ("ef", 46),
    ("va", 44),
    ("cs5", 40),
    ("af41", 34),
    ("cs4", 32),
    ("af31", 26),
    ("cs3", 24),
    ("be", 0),
];

fn tls(name: At<String>, mut section: Section<'_>, out: &mut Collector) -> WrittenTls {
    let acme = section.boolean("acme", out);
    let is_issued = acme.as_ref().is_some_and(|at| at.value);
    let cert = match is_issued {
        true => section.text("cert", out),
        false => section.required_text("cert", "\"/etc/causeway/tls/sbc.pem\"", out),
    };
    let key = secret(&mut section, "key", out);
    if !section.has("key") && !is_issued {
        section.missing("key", "{ file = \"/etc/causeway/tls/sbc.key\" }", out);
    }
    section.refuse_empty("names", "[\"sbc.example.com\"]", out);
    let tls = WrittenTls {
        name,
        cert,
        key,
        acme,
        names: section.texts("names", out),
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
        max_age: section.parsed("max_connection_age", value::duration, out),
        crl: section.text("crl", out),
        crl_issuers: section.text("crl_issuers", out),
    };
    section.finish(&["ocsp", "ciphers"], out);
    tls
}

pub(super) fn secret(
    section: &mut Section<'_>,
    key: &'static str,
    out: &mut Collector,
) -> Option<At<Secret>> {
    section.notes(key, Form::Secret, out);
    let item = section.take(key)?;
    let title = format!("{}: {key}", section.title);
    if let DeValue::String(_) = item.value {
        out.add(
            Code::WrongType,
            &item.span,
            format!("{title}: secrets are never written into the configuration"),
            Some(
                "write { file = \"…\" }, { env = \"…\" } or { credential = \"…\" }; \"causeway secret encrypt NAME\" makes a \
                 credential of it"
                    .to_owned(),
            ),
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

const KEPT_NUMBERS: [(&str, KeptNumbers); 3] = [
    ("full", KeptNumbers::Full),
    ("cut", KeptNumbers::Cut),
    ("hashed", KeptNumbers::Hashed),
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
        emergency: section.texts("emergency", out),
        elins: elin::elins(&mut section, out),
        elin_from_location: section.boolean("elin_from_location", out),
        elin_callback: section.parsed("elin_callback", value::duration, out),
        graph: msgraph::read(&mut section, out),
        users: user::read(&mut section, out),
        limits: limit::limits(&mut section, out),
        record_numbers: section.choice("record_numbers", &KEPT_NUMBERS, &[], out),
    };
    section.finish(&["default_cli", "labels", "schedule"], out);
    tenant
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
        record: super::recorded::records(&mut section, out),
        plan: plan(&mut section, out),
    };
    section.finish(&["headers", "display", "tests"], out);
    transform
}

fn presence_rule(
    section: &mut Section<'_>,
    out: &mut Collector,
) -> Option<At<super::PresenceRule>> {
    use super::PresenceAction::{Next, Refuse, Try};
    let mut table = section.table("presence", out)?;
    let words = [("refuse", Refuse), ("next", Next), ("try", Try)];
    let mut action = |key| table.choice(key, &words, &[], out);
    let (busy, absent) = (action("busy"), action("absent"));
    let action = |at: Option<At<super::PresenceAction>>| at.map(|at| at.value).unwrap_or_default();
    let span = table.span.clone();
    table.finish(&[], out);
    let rule = super::PresenceRule {
        busy: action(busy),
        absent: action(absent),
    };
    Some(At::new(rule, span))
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
        presence: presence_rule(&mut section, out),
        schedule: section.text("schedule", out),
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
    section.finish(&["action", "tests", "hook"], out);
    route
}
