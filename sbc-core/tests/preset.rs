//! What the preset for Teams decides is shown, all of it (TDR-MT-013).

use crate::config::{BASE, Machine, valid};
use sbc_core::config::{
    Habits, IdentityPolicy, OptionsProbe, ProgressPolicy, SessionTimer, SipTimers, SoundPolicy,
    Source, StirPolicy, TransferPolicy, Trunk, UriForm, effective, load,
};
use sbc_core::id::TrunkName;
use sbc_core::media::Profile;
use std::fmt::Debug;

/// Compares a trunk of Teams with one of a carrier, field by field: where they differ, the key is among what is shown.
/// Every field is named, so that a new one has to be put into one of the two lists.
macro_rules! compared {
    ($missing:ident, $shown:expr, $teams:expr, $carrier:expr, $of:ident { $($field:ident: $key:literal,)* } whatever { $($left:ident,)* }) => {{
        let $of { $($field: _,)* $($left: _,)* } = &$teams;
        $($missing.extend(unshown($shown, $key, &$teams.$field, &$carrier.$field));)*
    }};
}

fn unshown(
    shown: &[String],
    key: &str,
    teams: &impl Debug,
    carrier: &impl Debug,
) -> Option<String> {
    let (teams, carrier) = (format!("{teams:?}"), format!("{carrier:?}"));
    let is_told = teams == carrier || shown.iter().any(|own| own == key);
    (!is_told).then(|| format!("{key}: {teams} with the preset, {carrier} without"))
}

#[test]
fn every_default_of_the_preset_for_teams_is_shown() {
    // Nothing is written of the carrier either but where it is.
    let text = BASE.replace("codecs = [\"PCMA\", \"PCMU\"]\n", "");
    let loaded = valid(&text);
    let all = effective(&[Source::new("test.toml", text)], &loaded);
    let of_teams = all
        .into_iter()
        .filter(|one| one.name.as_deref() == Some("teams-contoso"));
    let shown: Vec<String> = of_teams
        .flat_map(|one| one.settings)
        .map(|setting| setting.key)
        .collect();
    let shown = &shown[..];
    let trunk = |name: &str| &loaded.config.trunks[&TrunkName::new(name)];
    let (teams, carrier) = (trunk("teams-contoso"), trunk("carrier"));
    let mut missing = Vec::new();
    // What a table below looks into, and what somebody has to write, is no default.
    compared!(missing, shown, **teams, **carrier, Trunk {
        cloud: "cloud",
        targets: "targets",
        test_names: "test_names",
        prefer: "prefer",
        all_down: "all_down",
        on_remove: "on_remove",
        accept_from: "accept_from",
        accept_names: "accept_names",
        trusted: "trusted",
        local_media: "local_media.role",
        limits: "limits",
        udp_oversize: "udp_oversize",
        reroute_on: "reroute_on",
        dialog_ping: "dialog_ping",
        allow: "info",
        send_asserted: "identity.egress",
        history: "identity.diversion",
        send_location: "location",
        session_id: "session_id",
        uui_max: "uui_max",
        least_hops: "least_hops",
        redirect: "redirect",
        redirect_to: "redirect_to",
        overlap: "overlap",
        relays_offers: "relay_offers",
        pass_headers: "headers.pass",
        strip_headers: "headers.strip",
        set_headers: "headers.set",
    } whatever {
        name, tenant, preset, carrier, realm, listeners, tls, fqdn, uri, media, timers, options, session_timer, progress,
        sounds, digest, register, authenticate, registrar, identity, habits, stir, transfers, is_out_of_service, derived,
    });
    compared!(missing, shown, teams.progress, carrier.progress, ProgressPolicy {
        rel100: "rel100",
        reliable_sdp: "reliable_sdp",
        sdp_relax: "sdp_relax",
        early_media: "early_media",
        ringing: "ringing",
        early_media_max: "early_media_max",
        within: "progress_within",
        ringback: "ringback",
        tones: "tones",
        late_offer: "late_offer",
        p_early_media: "p_early_media",
        early_dialogs: "early_dialogs",
        six_xx_stops: "six_xx_stops",
    } whatever {});
    compared!(missing, shown, teams.habits, carrier.habits, Habits {
        overload_control: "overload_control",
        symmetric_signalling: "symmetric_signalling",
        mtu: "mtu",
        merged: "merged",
        lost_connection: "lost_connection",
        reason: "reason",
        tells_cause: "cause_header",
        hides_uui: "uui_record",
        drain_pause_s: "drain_pause",
        alerts: "alert_info",
        responses: "responses",
        uri_scheme: "uri_scheme",
        connection_reuse: "connection_reuse",
        crlf_pong: "crlf_pong",
        tie_break: "tie_break",
        emergency_hold: "emergency_hold",
        isup: "isup",
        relay_auth: "relay_auth",
    } whatever {});
    compared!(missing, shown, teams.transfers, carrier.transfers, TransferPolicy {
        refer: "refer",
        accepted: "refer_status",
        names_unknown: "refer_unknown",
        is_diversion: "transfer_diversion",
        most: "max_transfers",
    } whatever {});
    compared!(missing, shown, teams.stir, carrier.stir, StirPolicy {
        mode: "stir",
        failure: "stir_failure",
        verstat: "verstat",
    } whatever {});
    compared!(missing, shown, teams.sounds, carrier.sounds, SoundPolicy {
        music: "music",
        fills_pauses: "fill_pauses",
        announce: "announce",
    } whatever {});
    compared!(missing, shown, teams.identity, carrier.identity, IdentityPolicy {
        sources: "identity.sources",
        from: "identity.from",
        asserted: "identity.asserted",
        form: "identity.form",
        pilot: "identity.pilot",
        screening: "identity.screening",
        screens_from: "identity.screen_from",
        display: "identity.display",
        from_host: "identity.from_host",
        contact_user: "identity.contact_user",
        params: "identity.params",
        number_form: "identity.number_format",
        on_error: "identity.on_error",
        hides_in_need: "identity.emergency_privacy",
        anonymous_from: "identity.anonymous_from",
        from_change: "identity.from_change",
    } whatever {});
    compared!(missing, shown, teams.uri, carrier.uri, UriForm {
        user_phone: "identity.user_phone",
        transport_param: "transport_param",
    } whatever {});
    compared!(missing, shown, teams.timers, carrier.timers, SipTimers {
        t1: "timers.t1",
        t2: "timers.t2",
        t4: "timers.t4",
        response_timeout: "timers.response_timeout",
        ring_timeout: "timers.ring_timeout",
        connect: "timers.connect",
        handshake: "timers.handshake",
    } whatever {});
    let profiles = (&*teams.media.profile, &*carrier.media.profile);
    compared!(missing, shown, *profiles.0, *profiles.1, Profile {
        low_ports: "low_ports",
        srtp: "srtp",
        keys_on_plain: "best_effort_srtp",
        takes_sha1: "allow_sha1",
        suites: "srtp_suites",
        lifetime_exponent: "fixed.srtp_lifetime",
        codecs: "codecs",
        own_order: "codec_order",
        answers_all: "answer_codecs",
        one_codec: "single_codec",
        transcode: "transcode",
        offers_noise: "fixed.comfort_noise",
        dtmf: "dtmf",
        rtcp_mux: "rtcp_mux",
        rtp: "rtp_profile",
        rtcp_line: "fixed.rtcp_line",
        hold: "hold",
        plays_music: "plays_music",
        one_way: "hold",
        ptime_ms: "ptime",
        own_ptime: "fixed.own_ptime",
        source: "nat",
        fax: "fax",
        maps_static: "static_rtpmap",
        ice: "ice",
        lends: "media_past_us",
    } whatever { realm, family, local, own, ranges, });
    let timers = (teams.session_timer.unwrap(), carrier.session_timer.unwrap());
    compared!(missing, shown, timers.0, timers.1, SessionTimer {
        expires_s: "session_timer.expires",
        min_se_s: "session_timer.min_se",
        refresher: "session_timer.refresher",
    } whatever {});
    let (ours, theirs) = (teams.options.clone().unwrap(), carrier.options.clone());
    if let Some(theirs) = theirs {
        compared!(missing, shown, ours, theirs, OptionsProbe {
            interval: "options.interval",
            ok: "options.ok",
        } whatever {});
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Microsoft documents neither Target-Dialog nor its option (TDR-XFR-019).
#[test]
fn teams_is_told_of_no_extension_that_it_does_not_know() {
    let loaded = valid(BASE);
    let told = |name: &str| {
        let trunk = &loaded.config.trunks[&TrunkName::new(name)];
        trunk.able().supported.clone()
    };
    assert_eq!(told("teams-contoso"), "timer, norefersub, replaces");
    assert_eq!(
        told("carrier"),
        "timer, 100rel, norefersub, tdialog, replaces"
    );
}

#[test]
fn a_wildcard_for_customers_is_asked_for_beside_the_name_above_them() {
    let text = BASE.replace("sbc1.contoso.example", "wild.example");
    let sources = [Source::new("test.toml", text)];
    let Err(findings) = load(&sources, &Machine, None) else {
        panic!("*.wild.example covers no wild.example");
    };
    let told = findings.to_text();
    assert!(
        told.contains("request one with both wild.example and *.wild.example"),
        "{told}"
    );
}
