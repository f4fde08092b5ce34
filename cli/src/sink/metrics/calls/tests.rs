//! Tests of the metrics of calls.

use super::*;
use crate::sink::metrics::Metrics;
use sbc_core::overload::Strain;
use sbc_core::transport::Protocol;

#[test]
fn an_address_that_is_gone_leaves_no_series_that_says_down() {
    let metrics = Metrics::new().unwrap();
    let tell = |address: &str, state| {
        metrics.calls.apply(&Event {
            at: UnixTime::default(),
            call: None,
            leg: None,
            what: Happened::TargetHealth {
                target: TargetId {
                    trunk: TrunkName::new("carrier"),
                    host: "sip.example.net".to_owned(),
                    protocol: Protocol::Udp,
                    remote: address.parse().ok(),
                },
                state,
                because: String::new(),
            },
        });
    };
    tell("192.0.2.1:5060", TargetState::Down);
    tell("192.0.2.2:5060", TargetState::Up);
    assert_eq!(metrics.calls.peers().len(), 2);
    let text = |value: &str| {
        format!("sbc_peer_up{{peer=\"sip.example.net\",trunk=\"carrier\"}} {value}\n")
    };
    let count = |state: &str, count: u8| {
        format!(
            "sbc_peer_addresses{{peer=\"sip.example.net\",state=\"{state}\",trunk=\"carrier\"}} {count}\n"
        )
    };
    let shown = metrics.text();
    // The name takes calls as long as one of its addresses does, and no label is an address.
    for line in [
        text("1"),
        count("up", 1),
        count("down", 1),
        count("busy", 0),
    ] {
        assert!(shown.contains(&line), "{line}{shown}");
    }
    assert!(!shown.contains("192.0.2."), "{shown}");
    tell("192.0.2.1:5060", TargetState::Gone);
    assert!(metrics.text().contains(&count("down", 0)));
    assert_eq!(metrics.calls.peers().len(), 1);
    for (state, name, up) in [
        (TargetState::Busy, "busy", "0.5"),
        (TargetState::Refuses, "refuses", "0.5"),
        (TargetState::Down, "down", "0"),
    ] {
        tell("192.0.2.2:5060", state);
        let shown = metrics.text();
        assert!(
            shown.contains(&text(up)) && shown.contains(&count(name, 1)),
            "{shown}"
        );
    }
    tell("192.0.2.2:5060", TargetState::Gone);
    let shown = metrics.text();
    for gone in ["sbc_peer_up{", "sbc_peer_addresses{"] {
        assert!(!shown.contains(gone), "{shown}");
    }
}

#[test]
fn calls_are_counted_at_both_trunks_as_they_are_set_up_answered_and_transferred() {
    let metrics = Metrics::new().unwrap();
    let tell = |at: u64, leg: u8, what| {
        metrics.calls.apply(&Event {
            at: UnixTime::from_micros(at),
            call: Some(CallId(7)),
            leg: Some(LegId(leg)),
            what,
        });
    };
    let tries = |at, leg, trunk: &str| {
        let what = Happened::AttemptStarted {
            trunk: TrunkName::new(trunk),
            host: "sip.example.net".to_owned(),
            remote: "192.0.2.1:5060".parse().unwrap(),
            protocol: Protocol::Udp,
        };
        tell(at, leg, what);
    };
    let has = |series: [&str; 3], count: i64| {
        let [dir, state, trunk] = series;
        let line = format!(
            "sbc_calls_active{{dir=\"{dir}\",state=\"{state}\",tenant=\"\",trunk=\"{trunk}\"}} {count}"
        );
        let text = metrics.text();
        assert!(text.contains(&line), "{line}: {text}");
    };
    let answered = |dir: &str, trunk: &str| {
        let labels = [trunk, "", dir];
        metrics.calls.answered.with_label_values(&labels).get()
    };
    let admitted = Happened::Admitted {
        tenant: None,
        trunk: TrunkName::new("teams"),
        calling: String::new(),
        called: String::new(),
    };
    tell(1, 0, admitted);
    tries(1, 1, "full");
    // The next one, and its second target.
    tries(2, 2, "carrier");
    tries(3, 2, "carrier");
    has(["out", "setup", "full"], 0);
    has(["out", "setup", "carrier"], 1);
    let is_in = |phase| {
        metrics
            .calls
            .in_phases(&HashMap::from([(CallId(7), phase)]))
    };
    is_in(CallPhase::Early);
    for (state, count) in [("early", 1), ("setup", 0)] {
        has(["out", state, "carrier"], count);
        has(["in", state, "teams"], count);
    }
    // It is answered before anybody scrapes again.
    tell(4, 2, Happened::Answered { setup_ms: 1 });
    has(["out", "setup", "carrier"], 0);
    has(["out", "early", "carrier"], 0);
    has(["in", "early", "teams"], 0);
    has(["out", "connected", "carrier"], 1);
    has(["in", "connected", "teams"], 1);
    is_in(CallPhase::Held);
    for (state, count) in [("held", 1), ("connected", 0)] {
        has(["out", state, "carrier"], count);
        has(["in", state, "teams"], count);
    }
    metrics.calls.in_phases(&HashMap::new());
    for (state, count) in [("held", 0), ("connected", 1)] {
        has(["out", state, "carrier"], count);
        has(["in", state, "teams"], count);
    }
    assert_eq!(
        (answered("in", "teams"), answered("out", "carrier")),
        (1, 1)
    );
    // The caller is transferred to somebody else.
    tries(5, 3, "branch");
    let mut record = crate::sink::fixture::record(7);
    let pair = |a, b| sbc_core::record::ConversationRecord {
        a: LegId(a),
        b: LegId(b),
        from_ms: 0,
        duration_ms: 0,
        transfer_of: None,
        transfer_type: None,
        billed_to: TrunkName::new("teams"),
    };
    record.conversations = vec![pair(0, 2), pair(3, 2)];
    tell(
        6,
        0,
        Happened::Recorded(std::sync::Arc::new(record.clone())),
    );
    has(["out", "connected", "carrier"], 1);
    has(["out", "connected", "branch"], 1);
    assert_eq!(
        (answered("out", "branch"), answered("out", "carrier")),
        (1, 1)
    );
    // It ends on hold.
    is_in(CallPhase::Held);
    has(["out", "held", "branch"], 1);
    tell(7, 0, Happened::Ended(std::sync::Arc::new(record)));
    for state in ["connected", "held"] {
        for trunk in ["carrier", "branch"] {
            has(["out", state, trunk], 0);
        }
        has(["in", state, "teams"], 0);
    }
}

#[test]
fn a_key_that_nobody_is_told_of_is_counted_by_its_party() {
    let metrics = Metrics::new().unwrap();
    metrics.calls.apply(&Event {
        at: UnixTime::default(),
        call: Some(CallId(7)),
        leg: Some(LegId(0)),
        what: Happened::KeyLost {
            trunk: TrunkName::new("carrier"),
            most: 8,
        },
    });
    let text = metrics.text();
    let line = "sbc_keys_lost_total{trunk=\"carrier\"} 1";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_call_whose_checks_fail_counts_once_however_often_they_do() {
    let metrics = Metrics::new().unwrap();
    let tell = |call: u128, what| {
        metrics.calls.apply(&Event {
            at: UnixTime::default(),
            call: Some(CallId(call)),
            leg: None,
            what,
        });
    };
    let one_way = |kind| {
        Happened::Media(media_api::Event::OneWay {
            session: media_api::SessionId(1),
            endpoint: media_api::EndpointId(0),
            kind,
            refused: None,
        })
    };
    for call in [1, 2, 3] {
        tell(
            call,
            Happened::Admitted {
                tenant: None,
                trunk: TrunkName::new("teams"),
                calling: String::new(),
                called: String::new(),
            },
        );
    }
    tell(1, one_way(OneWayKind::NoChecks));
    tell(1, one_way(OneWayKind::RefusedChecks));
    tell(2, one_way(OneWayKind::RefusedChecks));
    tell(3, one_way(OneWayKind::NoPackets));
    let text = metrics.text();
    for line in [
        "sbc_ice_failed_calls_total{trunk=\"teams\"} 2",
        "sbc_rtp_one_way_total{kind=\"refused_checks\",trunk=\"teams\"} 2",
    ] {
        assert!(text.lines().any(|own| own == line), "{text}");
    }
}

#[test]
fn round_trip_times_are_observed_where_somebody_told_them() {
    let metrics = Metrics::new().unwrap();
    let mut media = crate::sink::fixture::media(0);
    media.rtt_ms = Some(40.0);
    let trunk = TrunkName::new("teams");
    metrics.calls.leg(&trunk, "in", &media);
    media.rtt_ms = None;
    metrics.calls.leg(&trunk, "in", &media);
    let text = metrics.text();
    for line in [
        "sbc_rtp_rtt_seconds_count{dir=\"in\",trunk=\"teams\"} 1",
        "sbc_rtp_rtt_seconds_sum{dir=\"in\",trunk=\"teams\"} 0.04",
        "sbc_rtp_loss_ratio_count{dir=\"in\",trunk=\"teams\"} 2",
    ] {
        assert!(text.lines().any(|own| own == line), "{text}");
    }
}

#[test]
fn the_most_loaded_shard_is_what_an_operator_sees() {
    let metrics = Metrics::new().unwrap();
    assert_eq!(metrics.calls.overload(), Stage::Calm);
    for (shard, stage) in [(0, Stage::Heavy), (1, Stage::Busy)] {
        metrics.calls.apply(&Event {
            at: UnixTime::default(),
            call: None,
            leg: None,
            what: Happened::Overload {
                shard: ShardId(shard),
                stage,
                lag_ms: 60,
                strain: Strain::default(),
            },
        });
    }
    assert_eq!(metrics.calls.overload(), Stage::Heavy);
    assert!(metrics.text().contains("sbc_overload_stage{shard=\"0\"} 2"));
}

#[test]
fn one_way_audio_counts_for_the_trunk_of_the_leg_that_it_is_about() {
    let metrics = Metrics::new().unwrap();
    let tell = |leg: Option<u8>, what| {
        metrics.calls.apply(&Event {
            at: UnixTime::default(),
            call: Some(CallId(1)),
            leg: leg.map(LegId),
            what,
        });
    };
    let one_way = |endpoint, kind| {
        Happened::Media(media_api::Event::OneWay {
            session: media_api::SessionId::new(0, 1),
            endpoint: media_api::EndpointId(endpoint),
            kind,
            refused: None,
        })
    };
    tell(
        None,
        Happened::Admitted {
            tenant: None,
            trunk: TrunkName::new("carrier"),
            calling: "+441632960001".to_owned(),
            called: "+441632960002".to_owned(),
        },
    );
    tell(
        Some(1),
        Happened::AttemptStarted {
            trunk: TrunkName::new("teams"),
            host: "sip.example.com".to_owned(),
            remote: "192.0.2.1:5061".parse().unwrap(),
            protocol: Protocol::Tls,
        },
    );
    tell(Some(1), one_way(1, media_api::OneWayKind::DecryptFailures));
    tell(Some(0), one_way(0, media_api::OneWayKind::NoPackets));
    tell(Some(0), one_way(0, media_api::OneWayKind::NoPackets));
    let text = metrics.text();
    for line in [
        "sbc_rtp_one_way_total{kind=\"decrypt_failures\",trunk=\"teams\"} 1",
        "sbc_rtp_one_way_total{kind=\"no_packets\",trunk=\"carrier\"} 2",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
}

#[test]
fn targets_count_by_the_route_that_led_there_and_by_how_long_each_took_to_answer() {
    let metrics = Metrics::new().unwrap();
    let tell = |leg: u8, what| {
        metrics.calls.apply(&Event {
            at: UnixTime::default(),
            call: Some(CallId(7)),
            leg: Some(LegId(leg)),
            what,
        });
    };
    let admitted = Happened::Admitted {
        tenant: None,
        trunk: TrunkName::new("teams"),
        calling: String::new(),
        called: String::new(),
    };
    tell(0, admitted);
    let routed = |route: Option<&str>| Happened::Routed {
        trunks: Vec::new(),
        route: route.map(RouteName::new),
        because: Default::default(),
    };
    tell(0, routed(Some("abroad")));
    for leg in 1..9 {
        let what = Happened::AttemptStarted {
            trunk: TrunkName::new("carrier"),
            host: "sip.example.net".to_owned(),
            remote: "192.0.2.1:5060".parse().unwrap(),
            protocol: Protocol::Udp,
        };
        tell(leg, what);
        // A redirection is on the way of the same route.
        tell(leg, routed(None));
    }
    let mut record = crate::sink::fixture::record(7);
    record.egress = vec![crate::sink::fixture::attempt(1, "carrier", Some(200))];
    record.ingress.trunk = TrunkName::new("teams");
    record.egress[0].first_response_ms = Some(150);
    record.egress[0].first_progress_ms = Some(300);
    // It was called after another one had been given up.
    (record.egress[0].started_ms, record.egress[0].ended_ms) = (4_000, Some(5_500));
    let mut refused = crate::sink::fixture::attempt(2, "other", Some(486));
    refused.ended_ms = Some(3_000);
    record.egress.push(refused);
    tell(0, Happened::Ended(std::sync::Arc::new(record)));
    let text = metrics.text();
    for line in [
        "sbc_route_selected_total{attempt=\"1\",route=\"abroad\",trunk=\"carrier\"} 1",
        "sbc_route_selected_total{attempt=\"5\",route=\"abroad\",trunk=\"carrier\"} 1",
        "sbc_route_selected_total{attempt=\"6\",route=\"abroad\",trunk=\"carrier\"} 3",
        "sbc_call_setup_seconds_bucket{phase=\"trying\",trunk=\"carrier\",le=\"0.1\"} 0",
        "sbc_call_setup_seconds_bucket{phase=\"trying\",trunk=\"carrier\",le=\"0.2\"} 1",
        "sbc_call_setup_seconds_bucket{phase=\"ringing\",trunk=\"carrier\",le=\"0.2\"} 0",
        "sbc_call_setup_seconds_bucket{phase=\"ringing\",trunk=\"carrier\",le=\"0.5\"} 1",
        "sbc_call_setup_seconds_bucket{phase=\"answer\",trunk=\"carrier\",le=\"1\"} 0",
        "sbc_call_setup_seconds_bucket{phase=\"answer\",trunk=\"carrier\",le=\"2\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    // Who refuses has not answered, and who called has no set-up of ours.
    for trunk in ["other", "teams"] {
        let line = format!("sbc_call_setup_seconds_count{{phase=\"answer\",trunk=\"{trunk}\"}}");
        assert!(!text.contains(&line), "{line}\n{text}");
    }
}
