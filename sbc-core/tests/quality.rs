//! Figures of media in the record and for operators, and one-way audio while the call goes on.

use crate::world;

use media_api::{
    Command as MediaCommand, EndpointId, EndpointStats, Event as MediaEvent, OneWayKind,
    QualityStats, Rating, ReportedStats, RtcpReport, Score, SessionId, SessionStats, StreamIndex,
    StreamStats, Teller,
};
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::Happened;
use sbc_core::id::{CommandId, LegId};
use sbc_core::input::{Answered, Command, Input};
use sbc_core::record::{DigitWay, LiveMedia, Verdict};
use sbc_core::report::{explain, quality};
use sbc_core::sip::Method;
use std::time::Duration;
use world::call::*;
use world::*;

const CALLER: EndpointId = EndpointId(0);
const TEAMS_LEG: EndpointId = EndpointId(1);

fn session(call: &Call) -> SessionId {
    let mut asked = call.shard.asked().into_iter();
    let session = asked.find_map(|command| match command {
        MediaCommand::Allocate { session, .. } => Some(session),
        _ => None,
    });
    session.expect("ports were asked for")
}

/// A minute of good audio from both, with a slow network on the side of Teams.
fn stats() -> SessionStats {
    let good = Score { r: 93.2, mos: 4.41 };
    let stream = |round_trip_us| StreamStats {
        received_packets: 3_000,
        codec: Some("PCMA".into()),
        quality: QualityStats {
            mean_jitter_us: 2_500,
            listening: Some(Rating {
                mean: good,
                least: Score { r: 70.0, mos: 3.6 },
            }),
            round_trip_us,
            reported: Some(ReportedStats {
                reports: 12,
                lost: 4,
                ..ReportedStats::default()
            }),
            ..QualityStats::default()
        },
        ..StreamStats::default()
    };
    let endpoint = |endpoint, round_trip_us| EndpointStats {
        endpoint,
        streams: vec![stream(round_trip_us)],
    };
    SessionStats {
        endpoints: vec![
            endpoint(CALLER, None),
            endpoint(TEAMS_LEG, Some((150_000, 180_000))),
        ],
    }
}

/// Asks for the figures of the call; the relay answers.
fn figures(call: &mut Call, id: CommandId) -> LiveMedia {
    let asked = Command::Calls;
    call.shard.apply(Input::Command(CommandId(1), asked));
    let Some((_, Answered::Calls(calls))) = call.shard.replies.pop() else {
        panic!("calls are listed");
    };
    let command = Command::Media(calls[0].call);
    call.shard.stats = None;
    call.shard.apply(Input::Command(id, command));
    assert!(call.shard.replies.is_empty(), "the relay is asked first");
    let session = session(call);
    let asked = MediaCommand::Stats { session };
    assert_eq!(call.shard.media.last(), Some(&asked));
    let stats = stats();
    let told = MediaEvent::Stats { session, stats };
    call.shard.apply(Input::Media(told));
    match call.shard.replies.pop() {
        Some((to, Answered::Media(live))) if to == id => *live,
        other => panic!("{other:?}"),
    }
}

fn one_way(call: &mut Call) {
    let session = session(call);
    call.shard.apply(Input::Media(MediaEvent::OneWay {
        session,
        endpoint: TEAMS_LEG,
        kind: OneWayKind::DecryptFailures,
        refused: None,
    }));
}

#[test]
fn an_operator_sees_the_figures_of_a_call_in_progress() {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(20));
    let live = figures(&mut call, CommandId(7));
    assert_eq!(live.media.len(), 2);
    assert_eq!(live.one_way, []);
    one_way(&mut call);
    let live = figures(&mut call, CommandId(8));
    assert_eq!(
        (live.one_way[0].leg, live.one_way[0].lasted_ms),
        (LegId(1), None)
    );
    let lines = quality(&live.media, &live.one_way).join("\n");
    for told in [
        "leg 0 received, PCMA: 3000 packets, 0.00 % lost, jitter 2.5 ms",
        "listening MOS estimate 4.41 (least 3.60)",
        "leg 1 sent: 0 packets; the peer reports 4 lost",
        "leg 1 misses what Teams wants of the network: one_way_delay_ms 75.00, wanted below 50",
        "leg 1 was not heard",
    ] {
        assert!(lines.contains(told), "{told}:\n{lines}");
    }
    // Nobody can ask about a call that is not here.
    let unknown = Command::Media(sbc_core::id::CallId(1));
    call.shard.apply(Input::Command(CommandId(9), unknown));
    assert_eq!(
        call.shard.replies.pop(),
        Some((CommandId(9), Answered::NoSuchCall))
    );
}

/// OPS-060: what a leg's connection and its media are protected with, and in which way its digits go.
#[test]
fn a_record_says_what_was_agreed_on_for_each_leg() {
    let mut call = Call::new();
    let live = figures(&mut call, CommandId(7));
    let [carrier, teams] = &live.media[..] else {
        panic!("{live:?}");
    };
    assert_eq!((carrier.srtp, carrier.srtp_suite), (false, None));
    let suite = Some("AES_CM_128_HMAC_SHA1_80");
    assert_eq!((teams.srtp, teams.srtp_suite), (true, suite));
    for media in [carrier, teams] {
        assert_eq!(media.ptime_ms, Some(20));
        assert_eq!(media.dtmf, Some(DigitWay::Rfc4733));
    }
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = call.shard.records.remove(0);
    assert_eq!(record.ingress.tls, None, "the carrier calls over UDP");
    let tls = record.egress[0].tls.expect("Teams is called over TLS");
    assert_eq!(
        (tls.version(), &*tls.name()),
        ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    );
}

/// OPS-070, MED-262: for collectors, and for nobody else.
#[test]
fn a_report_of_rtcp_is_told_with_its_call_and_leg_and_changes_nothing() {
    let mut call = Call::new();
    let session = session(&call);
    let told = MediaEvent::Reported {
        session,
        endpoint: TEAMS_LEG,
        stream: StreamIndex(0),
        report: RtcpReport {
            teller: Teller::Peer,
            local: "203.0.113.1:20001".parse().unwrap(),
            remote: "192.0.2.10:4001".parse().unwrap(),
            ssrc: 1,
            sender: None,
            reception: None,
            extended: None,
        },
    };
    let mut out = Effects::default();
    let input = Input::Media(told.clone());
    call.shard.core.apply(call.shard.now, input, &mut out);
    let all: Vec<Effect> = out.drain().collect();
    let [Effect::Emit(event)] = &all[..] else {
        panic!("{all:?}");
    };
    assert!(event.call.is_some());
    assert_eq!(
        (event.leg, &event.what),
        (Some(LegId(1)), &Happened::Media(told))
    );
    assert_eq!(
        sbc_core::report::note(&event.what),
        None,
        "ladders and logs have none"
    );
}

#[test]
fn one_way_audio_is_told_at_once_and_is_in_the_record_with_what_to_change() {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(3));
    one_way(&mut call);
    let is_told = |happened: &Happened| {
        matches!(happened, Happened::Media(event @ MediaEvent::OneWay { .. })
            if sbc_core::report::note(&Happened::Media(event.clone()))
                .is_some_and(|note| note.contains("to change: have the peer's side look at the a=crypto line")))
    };
    assert!(call.shard.happened.iter().any(is_told));
    let session = session(&call);
    call.shard.apply(Input::Media(MediaEvent::OneWayOver {
        session,
        endpoint: TEAMS_LEG,
        kind: OneWayKind::DecryptFailures,
        lasted_ms: 4_321,
    }));
    // One that comes and goes for hours does not make a record that long.
    for _ in 0..100 {
        one_way(&mut call);
    }
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = call.shard.records.remove(0);
    assert_eq!(record.one_way.len(), 16);
    let first = &record.one_way[0];
    assert_eq!((first.leg, first.lasted_ms), (LegId(1), Some(4_321)));
    assert!(first.at_ms >= 3_000);
    let told = explain(&record);
    assert!(told.quality[0].contains("for 4.3 s: its packets cannot be decrypted"));
    let changes = told.change.iter().filter(|line| line.contains("a=crypto"));
    assert_eq!(changes.count(), 1);
}

#[test]
fn the_record_judges_the_network_of_teams_and_of_nobody_else() {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(3));
    let live = figures(&mut call, CommandId(3));
    let [carrier, teams] = &live.media[..] else {
        panic!("{live:?}");
    };
    assert_eq!(carrier.targets, None);
    let targets = teams.targets.as_ref().expect("Teams' leg is judged");
    assert_eq!(targets.verdict, Verdict::Missed);
    let missed: Vec<_> = targets.missed().map(|target| target.name).collect();
    assert_eq!(missed, ["one_way_delay_ms", "round_trip_ms"]);
}
