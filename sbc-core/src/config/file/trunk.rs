//! Reading a `[[trunk]]`.

use super::pairs;
use crate::config::finding::{Code, Collector};
use crate::config::read::Section;
use crate::config::reference::Form;
use crate::config::source::At;
use crate::config::written::*;
use crate::config::{
    AllDown, AssertedForm, DisplayForm, HistoryForm, IdentitySource, NumberForm, OnError, OnRemove,
    Party, Redirect, RefreshBy, Screening, SessionIdForm, UdpOversize, UserPhone, account, cloud,
    crossing, habits, limit, local_media, progress, registrar, sound, stir, transfer, value,
};
use crate::locate::FamilyOrder;
use crate::media::{Dtmf, FaxMode, HoldForm, Ice, RtpProfile, SourceMode, Srtp};
use toml::de::DeValue;

pub(super) fn trunk(
    name: At<String>,
    mut section: Section<'_>,
    out: &mut Collector,
) -> WrittenTrunk {
    section.refuse_empty("targets", "[\"sip.example.com:5060;udp\"]", out);
    section.refuse_empty("accept_from", "[\"192.0.2.0/28\"]", out);
    section.refuse_empty("accept_names", "[\"sip.example.com\"]", out);
    section.refuse_empty("codecs", "[\"PCMA\", \"PCMU\"]", out);
    section.refuse_empty("transcode", "false", out);
    section.refuse_empty("srtp_suites", "[\"AES_CM_128_HMAC_SHA1_80\"]", out);
    let presets = [
        ("carrier", WrittenPreset::Carrier),
        ("sipconnect", WrittenPreset::SipConnect),
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
        headers.notes("set", Form::Pairs, out);
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
        preset: section.likely_choice("preset", &presets, out),
        cloud: section.choice("cloud", &cloud::WORDS, &["21vianet"], out),
        mode: section.choice("mode", &modes, &["gin"], out),
        // What a carrier trunk lacks is told of that one.
        realm: match section.has("inherits") {
            true => section.text("realm", out),
            false => section.required_text("realm", "\"…\"", out),
        },
        tls: section.text("tls", out),
        fqdn: section.text("fqdn", out),
        targets: targets(&mut section, "targets", out),
        test_names: targets(&mut section, "test_names", out),
        accept_from: section.parsed_list("accept_from", value::network, out),
        accept_names: section.texts("accept_names", out),
        trusted: section.boolean("trusted", out),
        codecs: section.texts("codecs", out),
        codec_order: section.choice(
            "codec_order",
            &[("remote", CodecOrder::Remote), ("local", CodecOrder::Local)],
            &[],
            out,
        ),
        answer_codecs: section.choice(
            "answer_codecs",
            &[("one", AnswerCodecs::One), ("all", AnswerCodecs::All)],
            &[],
            out,
        ),
        single_codec: section.boolean("single_codec", out),
        transcode: section.texts_or_boolean("transcode", out),
        srtp: section.choice(
            "srtp",
            &[
                ("off", Srtp::Off),
                ("optional", Srtp::Optional),
                ("required", Srtp::Required),
                ("dtls", Srtp::Dtls),
            ],
            &["preferred"],
            out,
        ),
        allow_sha1: section.boolean("allow_sha1", out),
        best_effort_srtp: section.boolean("best_effort_srtp", out),
        srtp_suites: section.texts("srtp_suites", out),
        rtcp_mux: section.boolean("rtcp_mux", out),
        rtp_profile: section.choice(
            "rtp_profile",
            &[("avp", RtpProfile::Avp), ("avpf", RtpProfile::Avpf)],
            &[],
            out,
        ),
        ice: section.choice("ice", &[("off", Ice::Off), ("lite", Ice::Lite)], &[], out),
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
        nat: section.choice(
            "nat",
            &[
                ("off", SourceMode::Off),
                ("auto", SourceMode::Auto),
                ("restricted", SourceMode::Restricted),
                ("open", SourceMode::Open),
            ],
            &[],
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
        on_remove: section.choice(
            "on_remove",
            &[
                ("keep", OnRemove::Keep),
                ("drain", OnRemove::Drain),
                ("kill", OnRemove::Kill),
            ],
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
        crossing: crossing::read(&mut section, out),
        habits: habits::read(&mut section, out),
        stir: stir::read(&mut section, out),
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
        &["diversion", "schedule", "ice", "bypass", "outbound_proxy"],
        out,
    );
    trunk
}

fn targets(
    section: &mut Section<'_>,
    key: &'static str,
    out: &mut Collector,
) -> Option<At<Vec<At<PinnedTarget>>>> {
    let list = section.list(key, out)?;
    let title = format!("{}: {key}", section.title);
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
                let Some(text) = item.text(&section.title, key, out) else {
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
        anonymous_from: table.boolean("anonymous_from", out),
        screen_from: table.boolean("screen_from", out),
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
    section.notes("options", Form::TableOrFalse, out);
    let item = section.take("options")?;
    if let DeValue::Boolean(false) = item.value {
        return Some(WrittenOptions::Off(item.span));
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
    section.notes("session_timer", Form::TableOrFalse, out);
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
