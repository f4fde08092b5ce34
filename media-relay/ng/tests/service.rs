//! What the server does beside descriptions: repetition, waiting, ending, figures, hostile messages.

mod support;

use media_api::{
    AddressRanges, AllocateError, Command, EndpointId, Event, HandshakeFault, Nearby, OneWayKind,
    QualityStats, RatedInterval, Rating, Score, SessionId, SourcePolicy, StreamIndex, StreamStats,
};
use media_ng::{Ending, Input, Note, Noted, Now, Origin, Server, Settings};
use serde_json::json;
use std::net::IpAddr;
use support::{Site, request};

const SDP: &str = "v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 8\r\n";

fn answered() -> Site {
    let mut site = Site::new();
    assert_eq!(site.offer(SDP, json!({}))["result"], "ok");
    assert_eq!(site.answer(SDP, json!({}))["result"], "ok");
    site.told.clear();
    site
}

#[test]
fn who_repeats_itself_is_answered_once_more_and_nothing_happens_twice() {
    let mut site = Site::new();
    let offer = format!("c7 {}", request("offer", None, SDP, json!({})));
    let first = site.send(offer.as_bytes());
    let told = site.told.len();
    assert_eq!(site.send(offer.as_bytes()), first);
    assert_eq!((site.told.len(), first.len()), (told, 1));
    assert_eq!(site.send(b"c8 d7:command4:pinge"), [b"c8 d6:result4:ponge"]);
}

#[test]
fn requests_wait_for_ports_in_their_order() {
    let mut site = Site::new();
    site.is_slow = true;
    for (cookie, branch) in [("1", "z1"), ("2", "z2")] {
        let offer = request("offer", None, SDP, json!({"via-branch": branch}));
        assert!(site.send(format!("{cookie} {offer}").as_bytes()).is_empty());
    }
    let delete = r#"3 {"command":"delete","call-id":"1@example.net","from-tag":"a"}"#;
    assert!(site.send(delete.as_bytes()).is_empty());
    site.catch_up();
    let answers = site.answers();
    let starts = answers.iter().map(|octets| octets[0]);
    assert_eq!(starts.collect::<Vec<_>>(), b"123");
    assert_eq!(site.server.calls(), 0);
}

#[test]
fn an_answer_that_no_datagram_can_carry_is_replaced_by_an_error() {
    let mut site = Site::new();
    let now = Now {
        monotonic_ms: 0,
        unix_ms: 0,
    };
    let settings = Settings {
        calls: 200,
        ..support::settings()
    };
    site.server = Server::new(settings, now);
    for number in 0..200 {
        let call = format!("{number}-{}", "x".repeat(500));
        assert_eq!(site.offer(SDP, json!({ "call-id": call }))["result"], "ok");
    }
    let list = json!({"command": "list", "limit": 1_000});
    assert_eq!(
        site.ask(list.clone())["calls"].as_array().unwrap().len(),
        200
    );
    let from = Origin::Datagram("192.0.2.9:22000".parse().unwrap());
    let octets = format!("c {list}");
    let octets = octets.as_bytes();
    site.input(Input::Message { from, octets });
    let [answer] = &site.answers()[..] else {
        panic!("one answer")
    };
    let answer = String::from_utf8_lossy(answer);
    assert!(answer.contains("too long for a datagram"), "{answer}");
}

#[test]
fn without_ports_every_waiting_request_is_refused_with_the_reason() {
    let mut site = Site::new();
    site.refuses = Some(AllocateError::PortsExhausted);
    let refused = site.offer(SDP, json!({}));
    assert!(
        refused["error-reason"]
            .as_str()
            .unwrap()
            .contains("--ports")
    );
    assert_eq!(site.server.calls(), 0);
    site.refuses = None;
    for number in 0..10 {
        let more = json!({"call-id": number.to_string()});
        assert_eq!(site.offer(SDP, more)["result"], "ok");
    }
    let full = site.offer(SDP, json!({"call-id": "one too many"}));
    assert!(
        full["error-reason"]
            .as_str()
            .unwrap()
            .contains("as many calls as allowed")
    );
}

#[test]
fn a_branch_that_fails_does_not_end_the_others() {
    let mut site = Site::new();
    for branch in ["z1", "z2"] {
        site.offer(SDP, json!({"via-branch": branch}));
    }
    let delete = |branch: &str| json!({"command": "delete", "call-id": "1@example.net", "from-tag": "a", "via-branch": branch});
    assert_eq!(site.ask(delete("z1"))["result"], "ok");
    assert_eq!(site.server.calls(), 1);
    assert_eq!(site.ask(delete("z2"))["result"], "ok");
    assert_eq!(site.server.calls(), 0);
}

#[test]
fn who_rang_with_early_media_and_failed_does_not_end_who_answers() {
    let delete = |branch: Option<&str>| {
        let mut delete = json!({"command": "delete", "call-id": "1@example.net", "from-tag": "a"});
        if let Some(branch) = branch {
            delete["via-branch"] = branch.into();
        }
        delete
    };
    let forked = || {
        let mut site = Site::new();
        for branch in ["z1", "z2"] {
            site.offer(SDP, json!({"via-branch": branch}));
        }
        let early = site.answer(SDP, json!({"via-branch": "z1", "to-tag": "b1"}));
        assert_eq!(early["result"], "ok");
        site
    };
    let mut site = forked();
    site.ask(delete(Some("z1")));
    assert_eq!(site.server.calls(), 1);
    let answer = site.answer(SDP, json!({"via-branch": "z2", "to-tag": "b2"}));
    assert_eq!(answer["result"], "ok");
    // An offer within the call is no further branch.
    let again = json!({"via-branch": "z3", "to-tag": "b2"});
    assert_eq!(site.offer(SDP, again)["result"], "ok");
    site.ask(delete(Some("z2")));
    assert_eq!(site.server.calls(), 0);

    // Who has answered talks on when another one fails, and a hang-up ends the call whatever has not failed.
    let mut site = forked();
    site.ask(delete(Some("z2")));
    assert_eq!(site.server.calls(), 1);
    site.ask(delete(None));
    assert_eq!(site.server.calls(), 0);

    // What is left has as long to answer as any call.
    let mut site = forked();
    site.ask(delete(Some("z1")));
    site.now = 3_600_001;
    site.input(Input::Tick);
    assert_eq!(site.server.calls(), 0);
}

#[test]
fn figures_are_told_by_query_and_at_the_end() {
    let mut site = answered();
    site.received = [10, 20];
    let which = json!({"call-id": "1@example.net"});
    let ask = |command: &str| {
        let mut request = which.clone();
        request["command"] = command.into();
        request
    };
    for command in ["query", "delete"] {
        let figures = site.ask(ask(command));
        assert_eq!(figures["result"], "ok");
        assert_eq!(figures["created"], 1_700_000_000);
        assert_eq!(
            figures["totals"],
            json!({"RTP": {"packets": 30, "bytes": 5_160, "errors": 0},
                   "RTCP": {"packets": 4, "bytes": 0, "errors": 0}})
        );
        let a = &figures["tags"]["a"];
        assert_eq!(a["in dialogue with"], "b");
        assert_eq!(a["medias"][0]["type"], "audio");
        assert_eq!(a["medias"][0]["streams"][0]["stats"]["packets"], 10);
        assert_eq!(
            figures["tags"]["b"]["medias"][0]["streams"][0]["local port"],
            20_100
        );
    }
    assert_eq!(site.ask(ask("query"))["error-reason"], "unknown call-id");
    let again = site.ask(ask("delete"));
    assert_eq!(again["result"], "ok");
    assert!(again["warning"].as_str().unwrap().contains("not found"));
    let all = site.ask(json!({"command": "statistics"}));
    let total = &all["statistics"]["totalstatistics"];
    assert_eq!(
        (
            total["managedsessions"].clone(),
            total["relayedpackets"].clone()
        ),
        (1.into(), 30.into())
    );
    assert_eq!(all["statistics"]["controlstatistics"]["querycount"], 2);
    assert_eq!(site.ask(json!({"command": "list"}))["calls"], json!([]));
}

/// A stream under this SSRC, with a rating unless it is none.
fn rated(ssrc: u32, mos: Option<f32>) -> StreamStats {
    let score = |mos: f32| Score { r: 90.0, mos };
    let interval = |mos: f32, round_trip_us| RatedInterval {
        unix_ms: 1_700_000_010_600,
        length_ms: 5_000,
        expected: 250,
        lost: 25,
        max_jitter_us: 12_400,
        round_trip_us,
        score: score(mos),
        ..RatedInterval::default()
    };
    let mut quality = QualityStats::default();
    if let Some(mos) = mos {
        quality = QualityStats {
            mean_jitter_us: 3_600,
            listening: Some(Rating {
                mean: score(mos),
                least: score(mos - 1.0),
            }),
            worst: Some(interval(mos - 1.0, Some(40_000))),
            best: Some(interval(mos + 0.2, None)),
            intervals: 12,
            round_trip_us: Some((30_000, 40_000)),
            ..QualityStats::default()
        };
    }
    StreamStats {
        ssrc: Some(ssrc),
        heard_unix_ms: Some(1_700_000_060_900),
        lost_packets: 10,
        max_jitter_us: 12_400,
        quality,
        ..StreamStats::default()
    }
}

#[test]
fn how_good_each_party_was_is_told_under_its_ssrc() {
    let mut site = Site::new();
    let labelled = |label: &str| json!({ "label": label });
    assert_eq!(site.offer(SDP, labelled("A"))["result"], "ok");
    assert_eq!(site.answer(SDP, labelled("B"))["result"], "ok");
    site.received = [90, 20];
    site.heard = [rated(u32::MAX, Some(4.12)), rated(7, None)];
    for command in ["query", "delete"] {
        let figures = site.ask(json!({"command": command, "call-id": "1@example.net"}));
        assert_eq!(
            figures["SSRC"],
            json!({
                "4294967295": {
                    "bytes": 15_480, "packets": 90, "cumulative loss": 10,
                    "average MOS": {"MOS": 41, "round-trip time": 30_000, "round-trip time leg": 30_000,
                                    "jitter": 4, "packet loss": 10, "samples": 12},
                    "lowest MOS": {"MOS": 31, "round-trip time": 40_000, "round-trip time leg": 40_000,
                                   "jitter": 12, "packet loss": 10, "reported at": 1_700_000_015},
                    "highest MOS": {"MOS": 43, "jitter": 12, "packet loss": 10, "reported at": 1_700_000_015},
                },
                "7": {"bytes": 3_440, "packets": 20, "cumulative loss": 10},
            })
        );
        for (tag, label, ssrc) in [("a", "A", u32::MAX), ("b", "B", 7)] {
            let party = &figures["tags"][tag];
            assert_eq!(party["label"], label);
            let stream = &party["medias"][0]["streams"][0];
            assert_eq!(stream["SSRC"], ssrc);
            assert_eq!(stream["last packet"], 1_700_000_060);
        }
    }
    // Two parties of one number: a key is not there twice.
    let mut site = answered();
    site.heard = [rated(7, None), rated(7, Some(4.0))];
    let figures = site.ask(json!({"command": "query", "call-id": "1@example.net"}));
    assert_eq!(figures["SSRC"].as_object().unwrap().len(), 1);
    // Nothing has come.
    let mut site = answered();
    let figures = site.ask(json!({"command": "query", "call-id": "1@example.net"}));
    assert_eq!(figures["SSRC"], json!({}));
}

#[test]
fn faults_of_media_are_noted_and_each_call_has_a_line_at_its_end() {
    let mut site = answered();
    let (session, endpoint) = (SessionId(0), EndpointId(1));
    let source = "203.0.113.9:4000".parse().unwrap();
    let wrong = |kind| Event::OneWay {
        session,
        endpoint,
        kind,
        refused: Some(source),
    };
    site.input(Input::Event(wrong(OneWayKind::WrongSource)));
    site.input(Input::Event(Event::OneWayOver {
        session,
        endpoint,
        kind: OneWayKind::WrongSource,
        lasted_ms: 4_000,
    }));
    site.input(Input::Event(wrong(OneWayKind::NoPackets)));
    site.input(Input::Event(Event::Unheard {
        session,
        endpoint,
        silent_ms: 2_500,
    }));
    site.input(Input::Event(Event::HandshakeFailed {
        session,
        endpoint,
        stream: StreamIndex(0),
        why: HandshakeFault::Timeout,
    }));
    let notes = std::mem::take(&mut site.notes);
    let tags = [Some("a".to_owned()), Some("b".to_owned())];
    let texts: Vec<_> = notes.iter().map(|note| note.what.to_string()).collect();
    for (note, text) in notes.iter().zip(&texts) {
        assert_eq!(
            (note.call.as_str(), &note.tags),
            ("1@example.net", &tags),
            "{text}"
        );
        assert_eq!(note.what.party(), Some(1));
    }
    assert!(texts[0].ends_with("they come from 203.0.113.9:4000"));
    assert!(texts[1].contains("over after 4000 ms"));
    assert!(!texts[2].contains("203.0.113.9"), "no packet is there");
    assert_eq!(notes.len(), 5);
    // A call that breaks all the time does not fill the log.
    for _ in 0..1_000 {
        site.input(Input::Event(wrong(OneWayKind::NoPackets)));
    }
    assert_eq!(site.notes.len(), 13);
    site.notes.clear();
    site.now = 61_000;
    site.received = [500, 0];
    site.heard[0] = rated(7, Some(4.2));
    site.ask(json!({"command": "delete", "call-id": "1@example.net"}));
    let [note] = &site.notes[..] else {
        panic!("{:?}", site.notes)
    };
    let Noted::Ended(ended) = &note.what else {
        panic!("{note:?}")
    };
    assert_eq!((ended.why, ended.lasted_ms), (Ending::Deleted, 61_000));
    assert_eq!(ended.faults, 1_003);
    let [one, other] = ended.parties;
    assert_eq!((one.packets, one.lost, one.jitter_us), (500, 10, 12_400));
    assert_eq!(one.mos, Some((4.2, 4.2 - 1.0)));
    assert_eq!((other.packets, other.mos), (0, None));
    // What nobody answers has a line, too.
    let mut site = Site::new();
    site.offer(SDP, json!({}));
    site.now = 3_600_001;
    site.input(Input::Tick);
    assert!(
        matches!(&site.notes[..], [Note { what: Noted::Ended(ended), .. }] if ended.why == Ending::Unanswered)
    );
}

#[test]
fn media_may_come_from_the_ranges_that_the_operator_gives_besides() {
    let range = || ["203.0.113.0", "203.0.113.255"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let ranges = AddressRanges::of([range().into()]);
    let mut site = Site::new();
    let now = Now {
        monotonic_ms: 0,
        unix_ms: 0,
    };
    let settings = Settings {
        media_from: ranges.clone(),
        ..support::settings()
    };
    site.server = Server::new(settings, now);
    site.offer(SDP, json!({}));
    site.answer(SDP, json!({"received-from": ["IP4", "192.0.2.77"]}));
    let [a, b] = site.agreed().map(|agreed| agreed.source);
    let nearby = |signalling: &str| {
        SourcePolicy::Restricted(Nearby {
            ranges: ranges.clone(),
            signalling: signalling.parse().ok(),
        })
    };
    assert_eq!((a, b), (nearby("192.0.2.9"), nearby("192.0.2.77")));
    // Who asks for a source as described is asked for nothing else.
    site.offer(SDP, json!({"flags": ["asymmetric"]}));
    site.answer(SDP, json!({}));
    assert_eq!(site.agreed()[0].source, SourcePolicy::Signalled);
}

#[test]
fn a_call_ends_when_both_parties_are_silent_and_not_when_one_has_spoken_since() {
    let silent = |site: &mut Site, endpoint| {
        site.input(Input::Event(Event::Silent {
            session: SessionId(0),
            endpoint: EndpointId(endpoint),
            silent_ms: 60_000,
        }));
    };
    let mut site = answered();
    site.received = [5, 5];
    silent(&mut site, 0);
    site.received = [6, 5];
    silent(&mut site, 1);
    assert_eq!(site.server.calls(), 1, "the first has spoken");
    silent(&mut site, 0);
    assert_eq!(site.server.calls(), 0);
    assert!(matches!(site.told.last(), Some(Command::Release { .. })));

    // Both at once, with figures that come late.
    let mut site = answered();
    site.is_slow = true;
    silent(&mut site, 0);
    silent(&mut site, 1);
    site.catch_up();
    assert_eq!(site.server.calls(), 0);
}

#[test]
fn a_held_call_whose_proxy_is_gone_ends_when_it_brings_nothing_for_an_hour() {
    let mut site = answered();
    let hour = |site: &mut Site, packets| {
        site.received = [packets, 0];
        site.now += 3_600_000;
        site.input(Input::Tick);
        site.server.calls()
    };
    assert_eq!(hour(&mut site, 5), 1, "the first look");
    assert_eq!(hour(&mut site, 6), 1, "it has brought something since");
    site.input(Input::Tick);
    assert_eq!(site.server.calls(), 1, "an hour has not passed");
    assert_eq!(hour(&mut site, 6), 0);
}

#[test]
fn a_call_that_nobody_answers_ends() {
    let mut site = Site::new();
    site.offer(SDP, json!({}));
    site.now = 3_600_000;
    site.input(Input::Tick);
    assert_eq!(site.server.calls(), 1);
    site.now += 1;
    site.input(Input::Tick);
    assert_eq!(site.server.calls(), 0);
    let mut site = answered();
    site.now = 10_000_000;
    site.input(Input::Tick);
    assert_eq!(site.server.calls(), 1);
}

#[test]
fn hostile_messages_get_no_answer_or_a_reason_and_leave_nothing() {
    let mut site = Site::new();
    for octets in [
        &b""[..],
        b"x",
        b"c ",
        b"c d",
        b"c i1e",
        b"\xff\xfe d7:command4:pinge",
        b"c {\"a\":1e400}",
    ] {
        assert!(site.send(octets).is_empty(), "{octets:?}");
    }
    for (request, why) in [
        (json!({"command": "offer"}), "\"call-id\""),
        (json!({"command": 7}), "\"command\""),
        (
            json!({"command": "answer", "call-id": "?", "from-tag": "a", "to-tag": "b", "sdp": SDP}),
            "unknown call-id",
        ),
        (
            request("offer", None, "nonsense", json!({})),
            "cannot be read",
        ),
        (request("offer", None, "v=0\r\n", json!({})), "no m= line"),
        (
            request("offer", None, SDP, json!({"call-id": "x".repeat(513)})),
            "\"call-id\"",
        ),
    ] {
        let answer = site.ask(request);
        assert!(
            answer["error-reason"].as_str().unwrap().contains(why),
            "{answer}"
        );
    }
    assert_eq!(site.server.calls(), 0);
    assert!(site.told.is_empty());
}

#[test]
fn what_was_asked_refused_and_ended_is_counted_by_kind() {
    use media_ng::{Asked, ONE_WAY, Refusal};
    let mut site = answered();
    let counters = site.server.counters();
    assert_eq!(
        (counters.calls, counters.streams, counters.begun),
        (1, 2, 1)
    );
    let refused = |site: &Site| {
        let counters = site.server.counters();
        let all = Refusal::ALL.iter().zip(counters.refused);
        let some = all.filter(|(_, count)| *count > 0);
        some.map(|(why, count)| (why.as_str(), count))
            .collect::<Vec<_>>()
    };
    assert_eq!(refused(&site), []);
    assert!(site.send(b"x d7:command").is_empty());
    site.ask(json!({"command": "start recording"}));
    site.ask(json!({"command": "query", "call-id": "nobody"}));
    site.offer("x", json!({}));
    site.ask(json!({"command": "stop media", "call-id": "1@example.net", "from-tag": "x"}));
    site.refuses = Some(AllocateError::PortsExhausted);
    site.offer(SDP, json!({"call-id": "2"}));
    site.offer(SDP, json!({"call-id": "3", "supports": ["load limit"]}));
    site.refuses = Some(AllocateError::Socket);
    site.offer(SDP, json!({"call-id": "4"}));
    assert_eq!(
        refused(&site),
        [
            ("unreadable", 1),
            ("request", 1),
            ("unknown_call", 1),
            ("description", 1),
            ("party", 1),
            ("ports", 2),
            ("relay", 1)
        ]
    );
    site.input(Input::Event(Event::OneWay {
        session: SessionId::new(0, 0),
        endpoint: EndpointId(1),
        kind: OneWayKind::WrongSource,
        refused: None,
    }));
    site.ask(json!({"command": "delete", "call-id": "1@example.net", "from-tag": "a"}));
    let counters = site.server.counters();
    let heard = ONE_WAY
        .iter()
        .zip(counters.one_way)
        .find(|(_, count)| *count > 0);
    assert_eq!(heard, Some((&OneWayKind::WrongSource, 1)));
    assert_eq!(counters.ended[Ending::Deleted as usize], 1);
    assert_eq!(counters.asked[Asked::Offer as usize], 5);
    assert_eq!((counters.calls, counters.streams), (0, 0));
    assert_eq!(counters.turned_away, 3);
}

/// Calls that have begun are over or there; first offers, of which there were so many, have come to a call or been
/// turned away.
fn assert_nobody_is_lost(site: &Site, first_offers: u64) {
    let own = site.server.counters();
    let ended: u64 = own.ended.iter().sum();
    assert_eq!(own.begun - ended, own.calls, "{own:?}");
    let refused = own.ended[Ending::Refused as usize];
    assert_eq!(
        own.begun - refused + own.turned_away,
        first_offers,
        "{own:?}"
    );
    assert!(own.calls > 0 || own.streams == 0, "{own:?}");
}

#[test]
fn every_first_offer_is_a_call_or_turned_away_and_every_call_is_there_or_over() {
    let mut site = Site::new();
    let delete = |call: &str| json!({"command": "delete", "call-id": call, "from-tag": "a"});
    // Without ports.
    site.refuses = Some(AllocateError::PortsExhausted);
    site.offer(SDP, json!({"call-id": "1"}));
    assert_nobody_is_lost(&site, 1);
    site.refuses = None;
    // With a description, or a wish, that nothing comes of: the one before there are ports, the other behind.
    site.offer("v=0\r\n", json!({"call-id": "2"}));
    assert_nobody_is_lost(&site, 2);
    let wish = json!({"call-id": "3", "flags": ["codec-transcode-G729"]});
    assert_eq!(site.offer(SDP, wish)["result"], "error");
    assert_nobody_is_lost(&site, 3);
    assert_eq!(site.server.counters().ended[Ending::Refused as usize], 1);
    // More than are allowed.
    for number in 10..21 {
        site.offer(SDP, json!({"call-id": number.to_string()}));
    }
    assert_nobody_is_lost(&site, 14);
    let own = site.server.counters();
    assert_eq!((own.calls, own.streams, own.turned_away), (10, 20, 4));
    for number in 10..19 {
        site.ask(delete(&number.to_string()));
        assert_nobody_is_lost(&site, 14);
    }
    // One that waits for its ports has not begun; a second branch is no second call.
    site.is_slow = true;
    for (cookie, branch) in [("x", "z1"), ("y", "z2")] {
        let more = json!({"call-id": "30", "via-branch": branch});
        let offer = request("offer", None, SDP, more);
        assert!(site.send(format!("{cookie} {offer}").as_bytes()).is_empty());
    }
    assert_nobody_is_lost(&site, 14);
    site.catch_up();
    assert_nobody_is_lost(&site, 15);
    // What nobody answers is over.
    site.now = 3_600_001;
    site.input(Input::Tick);
    assert_nobody_is_lost(&site, 15);
    let own = site.server.counters();
    assert_eq!((own.calls, own.streams), (0, 0));
    // An offer within a call is no first one.
    let mut site = answered();
    site.offer(SDP, json!({"to-tag": "b"}));
    site.offer("x", json!({"to-tag": "b"}));
    assert_nobody_is_lost(&site, 1);
    // What is transcoded is gone with its call.
    let transcoded = |site: &mut Site| {
        let all = site.ask(json!({"command": "statistics"}));
        all["statistics"]["currentstatistics"]["transcodedmedia"].clone()
    };
    let wish = json!({"to-tag": "b", "flags": ["codec-mask-PCMA", "codec-transcode-PCMU"]});
    assert_eq!(site.offer(SDP, wish)["result"], "ok");
    let other = SDP.replace(" 8\r\n", " 0\r\n");
    for _ in 0..2 {
        assert_eq!(site.answer(&other, json!({}))["result"], "ok");
        assert_eq!(transcoded(&mut site), 1);
    }
    site.ask(delete("1@example.net"));
    assert_eq!(transcoded(&mut site), 0);
    assert_nobody_is_lost(&site, 1);
}
