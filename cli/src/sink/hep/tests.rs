use super::*;
use crate::sink::fixture;
use crate::sink::log::Form;
use sbc_core::id::ListenerName;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};

const LOCAL: &str = "192.0.2.10:5060";

/// An exporter with these collectors, as a reload would make it.
struct Stage {
    hep: Hep,
    log: Log,
    metrics: Arc<Metrics>,
    runtime: tokio::runtime::Runtime,
}

fn wanted(collectors: &[String]) -> Wanted {
    let collector = |text: &String| {
        let (place, protocol) = text.rsplit_once(';').unwrap();
        let (host, port) = place.rsplit_once(':').unwrap();
        HepCollector {
            host: host.to_owned(),
            port: port.parse().unwrap(),
            protocol: match protocol {
                "udp" => Protocol::Udp,
                "tcp" => Protocol::Tcp,
                _ => Protocol::Tls,
            },
        }
    };
    Wanted {
        collectors: collectors.iter().map(collector).collect(),
        agent: 2_001,
        key: None,
        include_tls: false,
        quality: true,
        rtcp: true,
        sample: 100,
        trunks: Vec::new(),
        logs: None,
        roots: "/none".to_owned(),
    }
}

fn stage(wanted: Wanted) -> Stage {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let log = Log::start(Level::Info, Form::Text, std::io::sink())
        .unwrap()
        .0;
    let hep = Hep::new(Arc::clone(&metrics), log.clone());
    let settings = Settings {
        wanted,
        node: "sbc1".to_owned(),
        key: Some(b"open sesame".to_vec()),
        own: LOCAL.parse().unwrap(),
    };
    let logs = settings.wanted.logs;
    let places: Places = Arc::new(|_| Some(LOCAL.parse().unwrap()));
    let resolver = Resolver::new(Arc::clone(&metrics));
    let entered = runtime.enter();
    let (feed, running) = hep.start(settings, &resolver, places).unwrap();
    drop(entered);
    *hep.running() = Some(running);
    hep.shared.feed.store(Some(Arc::new(feed)));
    log.set_aside(logs.map(|logs| hep.aside(logs)));
    Stage {
        hep,
        log,
        metrics,
        runtime,
    }
}

impl Stage {
    fn lost(&self) -> u64 {
        self.metrics.queue_dropped.with_label_values(&["hep"]).get()
    }

    fn sends(&self, protocol: Protocol, call: Option<u128>, text: &str) {
        let hop = Hop {
            listener: ListenerName::new("l"),
            protocol,
            remote: "198.51.100.7:5060".parse().unwrap(),
            tls: None,
            flow: None,
        };
        let bytes = Bytes::from(text.to_owned());
        self.hep.sent(call.map(CallId), &hop, &bytes);
    }

    fn hears(&self, call: Option<u128>, text: &str) {
        self.hep.event(&Event {
            at: UnixTime::from_micros(1_768_471_200_000_001),
            call: call.map(CallId),
            leg: None,
            what: Happened::Received {
                protocol: Protocol::Udp,
                local: LOCAL.parse().unwrap(),
                remote: "198.51.100.7:5060".parse().unwrap(),
                bytes: Bytes::from(text.to_owned()),
            },
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.hep.finish();
        let _ = &self.runtime;
    }
}

fn udp() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let at = format!("{};udp", socket.local_addr().unwrap());
    (socket, at)
}

fn next(socket: &UdpSocket) -> Vec<u8> {
    let mut room = vec![0; 70_000];
    let length = socket.recv(&mut room).unwrap();
    room.truncate(length);
    room
}

/// The value of a chunk.
fn chunk(frame: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut at = 6;
    while at < frame.len() {
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let (own, end) = (word(at + 2), at + usize::from(word(at + 4)));
        if own == kind {
            return Some(frame[at + 6..end].to_vec());
        }
        at = end;
    }
    None
}

fn payload(frame: &[u8]) -> String {
    String::from_utf8(chunk(frame, 0x0f).unwrap()).unwrap()
}

const SECRET: &str =
    "INVITE sip:a@example.com SIP/2.0\r\nContent-Length: 25\r\n\r\na=crypto:1 X inline:QUJD\r\n";

/// OPS-070, SEC-005.
#[test]
fn both_ways_of_a_call_have_its_name_our_real_address_and_no_secret() {
    let (socket, at) = udp();
    let stage = stage(wanted(&[at]));
    stage.hears(Some(0xabc), SECRET);
    let came = next(&socket);
    stage.sends(Protocol::Udp, Some(0xabc), SECRET);
    let went = next(&socket);
    for (frame, source, target) in [
        (&came, [198, 51, 100, 7], [192, 0, 2, 10]),
        (&went, [192, 0, 2, 10], [198, 51, 100, 7]),
    ] {
        assert_eq!(chunk(frame, 3).unwrap(), source);
        assert_eq!(chunk(frame, 4).unwrap(), target);
        let name = CallId(0xabc).to_string();
        assert_eq!(chunk(frame, 0x11).unwrap(), name.as_bytes());
        assert_eq!(chunk(frame, 0x0e).unwrap(), b"open sesame");
        assert_eq!(chunk(frame, 0x0c).unwrap(), 2_001_u32.to_be_bytes());
        assert_eq!(chunk(frame, 0x13).unwrap(), b"sbc1");
        let text = payload(frame);
        assert!(
            text.contains("inline:<secret>") && !text.contains("QUJD"),
            "{text}"
        );
    }
    assert_eq!(chunk(&came, 9).unwrap(), 1_768_471_200_u32.to_be_bytes());
    assert_eq!(chunk(&came, 10).unwrap(), 1_u32.to_be_bytes());
    assert_eq!(stage.lost(), 0);
}

#[test]
fn what_is_encrypted_is_not_shown_unless_somebody_says_so() {
    let (socket, at) = udp();
    let stage_without = stage(wanted(std::slice::from_ref(&at)));
    stage_without.sends(Protocol::Tls, Some(1), "over TLS");
    stage_without.sends(Protocol::Tcp, None, "over TCP");
    let frame = next(&socket);
    assert_eq!(payload(&frame), "over TCP");
    assert_eq!(
        (chunk(&frame, 2), chunk(&frame, 0x11)),
        (Some(vec![6]), None)
    );
    let with = stage(Wanted {
        include_tls: true,
        ..wanted(&[at])
    });
    with.sends(Protocol::Tls, Some(1), "over TLS");
    assert_eq!(payload(&next(&socket)), "over TLS");
}

#[test]
fn the_quality_of_each_leg_is_told_at_the_end() {
    let (socket, at) = udp();
    let stage = stage(wanted(&[at]));
    let mut record = fixture::record(7);
    let mut media = fixture::media(1);
    media.remote = "198.51.100.7:4000".parse().ok();
    media.local = LOCAL.parse().ok();
    record.media.push(media);
    stage.hep.event(&Event {
        at: UnixTime::from_micros(1_000_000),
        call: Some(record.call),
        leg: None,
        what: Happened::Ended(Arc::new(record.clone())),
    });
    let frame = next(&socket);
    assert_eq!(chunk(&frame, 0x0b).unwrap(), [0x22]);
    assert_eq!(chunk(&frame, 7).unwrap(), 4_000_u16.to_be_bytes());
    assert_eq!(
        chunk(&frame, 0x11).unwrap(),
        record.call.to_string().as_bytes()
    );
    let told: serde_json::Value = serde_json::from_str(&payload(&frame)).unwrap();
    assert_eq!(told["CORRELATION_ID"], record.call.to_string());
    assert_eq!(told["RTP_SIP_CALL_ID"], record.egress[0].call_id);
    assert_eq!(told["TOTAL_PK"], 90);
    assert_eq!(told["EXPECTED_PK"], 100);
}

fn report(teller: Teller) -> RtcpReport {
    RtcpReport {
        teller,
        local: "192.0.2.10:20001".parse().unwrap(),
        remote: "198.51.100.7:4001".parse().unwrap(),
        ssrc: 0xfeed_beef,
        sender: None,
        reception: None,
        extended: None,
    }
}

fn reported(call: Option<u128>, report: RtcpReport) -> Event {
    Event {
        at: UnixTime::from_micros(1_768_471_200_000_001),
        call: call.map(CallId),
        leg: None,
        what: Happened::Media(media_api::Event::Reported {
            session: media_api::SessionId(1),
            endpoint: media_api::EndpointId(0),
            stream: media_api::StreamIndex(0),
            report,
        }),
    }
}

/// OPS-070, MED-262.
#[test]
fn reports_of_rtcp_go_with_the_messages_of_their_call() {
    let (socket, at) = udp();
    let stage = stage(wanted(&[at]));
    assert!(stage.hep.wants_reports() && stage.hep.takes_report());
    let whole = RtcpReport {
        sender: Some(media_api::SenderFigures {
            ntp: (3_900_000_000 << 32) | 7,
            rtp_timestamp: 1,
            packets: 2,
            octets: 3,
        }),
        reception: Some(media_api::ReceptionFigures {
            ssrc: 4,
            fraction_lost: 5,
            lost: -6,
            highest_sequence: 7,
            jitter: 8,
            last_sr: 9,
            delay_since_last_sr: 10,
        }),
        extended: Some(media_api::VoipMetrics {
            loss_rate: 11,
            end_system_ms: 12,
            ..media_api::VoipMetrics::default()
        }),
        ..report(Teller::Peer)
    };
    stage.hep.event(&reported(Some(0xabc), whole));
    let frame = next(&socket);
    assert_eq!(chunk(&frame, 0x0b).unwrap(), [5]);
    assert_eq!(chunk(&frame, 2).unwrap(), [17]);
    assert_eq!(chunk(&frame, 3).unwrap(), [198, 51, 100, 7]);
    assert_eq!(chunk(&frame, 4).unwrap(), [192, 0, 2, 10]);
    assert_eq!(chunk(&frame, 7).unwrap(), 4_001_u16.to_be_bytes());
    assert_eq!(chunk(&frame, 8).unwrap(), 20_001_u16.to_be_bytes());
    let name = CallId(0xabc).to_string();
    assert_eq!(chunk(&frame, 0x11).unwrap(), name.as_bytes());
    assert_eq!(chunk(&frame, 9).unwrap(), 1_768_471_200_u32.to_be_bytes());
    let told: serde_json::Value = serde_json::from_str(&payload(&frame)).unwrap();
    let wanted = serde_json::json!({
        "ssrc": 0xfeed_beef_u32,
        "type": 200,
        "report_count": 1,
        "report_blocks": [{
            "source_ssrc": 4, "fraction_lost": 5, "packets_lost": -6, "highest_seq_no": 7,
            "ia_jitter": 8, "lsr": 9, "dlsr": 10,
        }],
        "sender_information": {
            "ntp_timestamp_sec": 3_900_000_000_u32, "ntp_timestamp_usec": 7, "rtp_timestamp": 1,
            "packets": 2, "octets": 3,
        },
        "report_blocks_xr": {
            "type": 7, "id": 0xfeed_beef_u32, "fraction_lost": 11, "fraction_discard": 0,
            "burst_density": 0, "gap_density": 0, "burst_duration": 0, "gap_duration": 0,
            "round_trip_delay": 0, "end_system_delay": 12,
        },
    });
    assert_eq!(told, wanted);

    // One of ours, with nothing to tell.
    stage.hep.event(&reported(Some(0xabc), report(Teller::Us)));
    let frame = next(&socket);
    assert_eq!(chunk(&frame, 3).unwrap(), [192, 0, 2, 10]);
    assert_eq!(chunk(&frame, 8).unwrap(), 4_001_u16.to_be_bytes());
    let told: serde_json::Value = serde_json::from_str(&payload(&frame)).unwrap();
    let wanted = serde_json::json!({
        "ssrc": 0xfeed_beef_u32, "type": 201, "report_count": 0, "report_blocks": [],
    });
    assert_eq!(told, wanted);
    assert_eq!(stage.lost(), 0);
}

#[test]
fn reports_that_nobody_wants_are_not_made_and_those_without_room_are_counted() {
    let (socket, at) = udp();
    let without = stage(Wanted {
        rtcp: false,
        ..wanted(std::slice::from_ref(&at))
    });
    assert!(!without.hep.wants_reports() && !without.hep.takes_report());
    without.hep.event(&reported(Some(1), report(Teller::Us)));
    without.sends(Protocol::Udp, None, "a message");
    assert_eq!(payload(&next(&socket)), "a message");
    assert_eq!(without.lost(), 0);
    let with = stage(wanted(&[at]));
    with.hep.pause(true);
    assert!(with.hep.wants_reports() && !with.hep.takes_report());
    assert_eq!(with.lost(), 1);
}

/// OPS-071.
#[test]
fn a_share_of_calls_is_told_of_with_everything_or_nothing() {
    let (socket, at) = udp();
    let stage = stage(Wanted {
        sample: 10,
        ..wanted(&[at])
    });
    for call in 0..200 {
        stage.hears(Some(call), &format!("heard {call}"));
        stage.sends(Protocol::Udp, Some(call), &format!("sent {call}"));
    }
    stage.sends(Protocol::Udp, None, "of no call");
    let mut all = Vec::new();
    while all.last().is_none_or(|last| last != "of no call") {
        all.push(payload(&next(&socket)));
    }
    let calls = (0..10).chain(100..110);
    let mut meant: Vec<_> = calls
        .flat_map(|call| [format!("heard {call}"), format!("sent {call}")])
        .collect();
    meant.push("of no call".to_owned());
    assert_eq!(all, meant);
    assert_eq!(stage.lost(), 0, "what is not wanted is not lost");
}

/// OPS-071.
#[test]
fn calls_of_some_trunks_alone_are_told_of_from_their_first_message_on() {
    let (socket, at) = udp();
    let stage = stage(Wanted {
        trunks: vec![TrunkName::new("telco")],
        ..wanted(&[at])
    });
    let goes_to = |call: u128, trunk: &str| {
        stage.hep.event(&Event {
            at: UnixTime::default(),
            call: Some(CallId(call)),
            leg: None,
            what: Happened::AttemptStarted {
                trunk: TrunkName::new(trunk),
                host: "198.51.100.7".to_owned(),
                remote: "198.51.100.7:5060".parse().unwrap(),
                protocol: Protocol::Udp,
            },
        });
    };
    stage.hears(Some(1), "one");
    stage.hears(Some(2), "two");
    stage.hears(None, "of no call");
    goes_to(1, "other");
    goes_to(2, "other");
    stage.hears(Some(1), "one again");
    goes_to(1, "telco");
    goes_to(1, "other");
    stage.hears(Some(2), "two again");
    stage.hears(Some(1), "one at last");
    let told: Vec<_> = (0..3).map(|_| payload(&next(&socket))).collect();
    assert_eq!(told, ["one", "one again", "one at last"]);
    // What waits is bounded; a flood of others forgets who has waited longest.
    for call in 3..2_000 {
        stage.hears(Some(call), "another");
    }
    goes_to(3, "telco");
    goes_to(1_999, "telco");
    stage.hears(Some(3), "three");
    let told: Vec<_> = (0..2).map(|_| payload(&next(&socket))).collect();
    assert_eq!(told, ["another", "three"]);
    assert_eq!(stage.lost(), 0);
}

/// OPS-071: protocol 100.
#[test]
fn lines_of_the_log_go_to_collectors_that_want_them() {
    let (socket, at) = udp();
    let stage = stage(Wanted {
        logs: Some(HepLogs::Warn),
        ..wanted(&[at])
    });
    stage.log.info("quiet", "not grave enough").send();
    let line = stage.log.warn("loud", "it is \"so\"");
    line.with("call", CallId(0xabc))
        .with("trunk", "telco")
        .send();
    let frame = next(&socket);
    assert_eq!(chunk(&frame, 0x0b).unwrap(), [100]);
    assert_eq!(chunk(&frame, 3).unwrap(), [192, 0, 2, 10]);
    let name = CallId(0xabc).to_string();
    assert_eq!(chunk(&frame, 0x11).unwrap(), name.as_bytes());
    let told: serde_json::Value = serde_json::from_str(&payload(&frame)).unwrap();
    assert_eq!(
        (&told["level"], &told["code"]),
        (&"warn".into(), &"loud".into())
    );
    assert_eq!(told["message"], "it is \"so\"");
    assert_eq!(told["trunk"], "telco");
    stage.log.warn("loud", "of no call").send();
    assert_eq!(chunk(&next(&socket), 0x11), None);
}

/// OPS-001, FM-25: a collector that does not read, and one that is not there, beside one that is.
#[test]
fn a_collector_that_is_not_there_or_does_not_read_holds_up_nobody() {
    let (socket, good) = udp();
    let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = format!("{};tcp", stuck.local_addr().unwrap());
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let absent = format!("{};tcp", gone.local_addr().unwrap());
    drop(gone);
    let stage = stage(wanted(&[deaf, absent, good]));
    let text = "x".repeat(60_000);
    let deadline = Instant::now() + Duration::from_secs(60);
    // Until the queues of both are full.
    while stage.lost() < 100 {
        let began = Instant::now();
        stage.sends(Protocol::Udp, None, &text);
        assert!(began.elapsed() < Duration::from_secs(5), "nobody waits");
        assert!(Instant::now() < deadline);
    }
    assert_eq!(payload(&next(&socket)), text);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !stage
        .hep
        .troubles()
        .iter()
        .any(|told| told.contains("refused"))
    {
        assert!(Instant::now() < deadline, "{:?}", stage.hep.troubles());
        thread::sleep(PAUSE);
    }
    let up = stage.metrics.text();
    let is_down = |line: &str| line.starts_with("sbc_hep_up{") && line.ends_with(" 0");
    assert!(up.lines().any(is_down), "{up}");
}

#[test]
fn a_port_that_nobody_has_is_told_and_stays_told_until_somebody_has_it() {
    let (socket, at) = udp();
    let place = socket.local_addr().unwrap();
    drop(socket);
    let stage = stage(wanted(&[at]));
    let deadline = Instant::now() + Duration::from_secs(20);
    while stage.hep.troubles().is_empty() {
        stage.sends(Protocol::Udp, None, "nobody");
        assert!(Instant::now() < deadline);
        thread::sleep(PAUSE);
    }
    // The next way there is made after a quarter of a second, and is no better.
    let until = Instant::now() + Duration::from_millis(400);
    while Instant::now() < until {
        assert!(!stage.hep.troubles().is_empty());
        thread::sleep(PAUSE);
    }
    let back = UdpSocket::bind(place).unwrap();
    while !stage.hep.troubles().is_empty() {
        stage.sends(Protocol::Udp, None, "somebody");
        assert!(Instant::now() < deadline);
        thread::sleep(PAUSE);
    }
    drop(back);
}

#[test]
fn a_collector_that_comes_back_gets_what_has_waited() {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = door.local_addr().unwrap();
    let stage = stage(wanted(&[format!("{at};tcp")]));
    // It closes the first connection, saying what nobody has asked for.
    let (mut first, _) = door.accept().unwrap();
    std::io::Write::write_all(&mut first, b"garbage").unwrap();
    drop(first);
    let (mut second, _) = door.accept().unwrap();
    stage.sends(Protocol::Udp, None, "one");
    stage.sends(Protocol::Udp, None, "two");
    second
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    for wanted in ["one", "two"] {
        let mut head = [0; 6];
        second.read_exact(&mut head).unwrap();
        assert_eq!(&head[..4], b"HEP3");
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let mut frame = head.to_vec();
        frame.resize(length, 0);
        second.read_exact(&mut frame[6..]).unwrap();
        assert_eq!(payload(&frame), wanted);
    }
    assert_eq!(stage.lost(), 0);
}

/// REL-011: the first that goes.
#[test]
fn nothing_is_taken_while_the_node_is_loaded_and_that_is_counted() {
    let (socket, at) = udp();
    let stage = stage(wanted(&[at]));
    stage.hep.pause(true);
    stage.sends(Protocol::Udp, None, "lost");
    assert_eq!(stage.lost(), 1);
    stage.hep.pause(false);
    stage.sends(Protocol::Udp, None, "kept");
    assert_eq!(payload(&next(&socket)), "kept");
}
