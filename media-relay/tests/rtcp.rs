//! RTCP is ended on each leg: what we report, and what we take from reports.

use crate::common::{A, B, Bench, SESSION, address, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::packet::rtcp::{Compound, Packet, ReportBlock, SenderInfo, Writer};
use media_relay::session::{Outcome, SocketId};
use rtc_rtcp::extended_report::{ExtendedReport, VoIPMetricsReportBlock};
use rtc_rtcp::goodbye::Goodbye;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::SourceDescription;

#[test]
fn our_reports_say_what_we_sent_and_what_we_missed() {
    let mut bench = Bench::joined();
    for sequence in (0..100u16).filter(|sequence| sequence % 4 != 3) {
        bench.wait_ms(20);
        bench.voice(A, sequence).unwrap();
        bench.voice(B, sequence).unwrap();
    }
    let ours = bench.voice(B, 100).unwrap();
    let report = bench
        .run_ms(5_000)
        .into_iter()
        .find(|(to, _)| *to == address("192.0.2.10:4001"))
        .expect("a report within the first interval")
        .1;
    // Read by somebody else's code.
    let packets = rtc_rtcp::packet::unmarshal(&mut &report[..]).unwrap();
    let sent = packets[0].as_any().downcast_ref::<SenderReport>().unwrap();
    assert_eq!(
        (sent.ssrc, sent.packet_count, sent.octet_count),
        (ours.ssrc, 76, 76 * 160)
    );
    let block = &sent.reports[0];
    assert_eq!(
        (block.ssrc, block.total_lost, block.last_sequence_number),
        (0x1000, 24, 98)
    );
    assert_eq!(block.fraction_lost, (24 * 256 / 99) as u8);
    let described = packets[1]
        .as_any()
        .downcast_ref::<SourceDescription>()
        .unwrap();
    let name = &described.chunks[0].items[0].text;
    assert_eq!((described.chunks[0].source, name.len()), (ours.ssrc, 24));
    // The timestamp of the report runs on from that of the last packet.
    let age_us = 5_000_000;
    assert!(sent.rtp_time.wrapping_sub(ours.timestamp) <= age_us / 125);
    let seconds = (sent.ntp_time >> 32) - 2_208_988_800;
    assert!((1_700_000_000..1_700_000_030).contains(&seconds));
}

#[test]
fn who_asks_for_voip_metrics_gets_them_and_nobody_else_does() {
    let mut bench = Bench::joined();
    let asking = NegotiatedStream {
        voip_metrics: true,
        ..terms(peer_a())
    };
    bench.answer(A, asking);
    // Two neighbours of a hundred are lost.
    for sequence in (0..100u16).filter(|sequence| !(50..52).contains(sequence)) {
        bench.wait_ms(20);
        bench.voice(A, sequence).unwrap();
        bench.voice(B, sequence).unwrap();
    }
    let mut extended = Vec::new();
    for (to, report) in bench.run_ms(20_000) {
        let packets = rtc_rtcp::packet::unmarshal(&mut &report[..]).unwrap();
        let found = packets.iter().find_map(|packet| {
            let report = packet.as_any().downcast_ref::<ExtendedReport>()?;
            Some((report.sender_ssrc, report.reports.len(), metrics(report)))
        });
        match to.ip() == peer_a().ip() {
            true => extended.push(found.expect("metrics in every report")),
            false => assert!(found.is_none(), "B has not asked"),
        }
    }
    assert!(extended.len() >= 2, "{}", extended.len());
    let (sender, blocks, metrics) = extended.remove(0);
    assert_eq!((blocks, metrics.ssrc), (1, 0x1000));
    assert_ne!(sender, 0x1000, "it is ours");
    assert_eq!((metrics.loss_rate, metrics.discard_rate), (5, 0));
    // Both of a burst of two, and none of the rest.
    assert_eq!((metrics.burst_density, metrics.gap_density), (255, 0));
    assert_eq!(
        (metrics.burst_duration, metrics.gap_duration),
        (40, 98 * 20 / 2)
    );
    assert_eq!(
        (metrics.gmin, metrics.rerl, metrics.ext_rfactor),
        (16, 127, 127)
    );
    // Rated once an interval is over.
    let (_, _, last) = extended.pop().unwrap();
    assert!((40..94).contains(&last.rfactor), "{}", last.rfactor);
    assert!((10..50).contains(&last.mos_lq), "{}", last.mos_lq);
}

fn metrics(report: &ExtendedReport) -> VoIPMetricsReportBlock {
    let block = report.reports[0].as_any();
    block
        .downcast_ref::<VoIPMetricsReportBlock>()
        .unwrap()
        .clone()
}

#[test]
fn a_listener_gets_receiver_reports_and_a_goodbye_at_the_end() {
    let mut bench = Bench::joined();
    for sequence in 0..300 {
        bench.run_ms(20);
        bench.voice(A, sequence).unwrap();
    }
    let reports = bench.run_ms(20_000);
    let to_a: Vec<_> = reports
        .iter()
        .filter(|(to, _)| to.ip() == peer_a().ip())
        .collect();
    assert!(to_a.len() >= 2);
    for (_, report) in &to_a {
        let first = Compound::parse(report).unwrap().packets().next();
        assert!(
            matches!(first, Some(Packet::ReceiverReport { .. })),
            "nothing was sent to A"
        );
    }
    bench.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    let last = bench.made();
    assert_eq!(last.len(), 2);
    for (_, report) in last {
        let packets = rtc_rtcp::packet::unmarshal(&mut &report[..]).unwrap();
        let goodbye = packets
            .last()
            .unwrap()
            .as_any()
            .downcast_ref::<Goodbye>()
            .unwrap();
        assert_eq!(goodbye.sources.len(), 1);
    }
    assert!(matches!(
        bench.events().last(),
        Some(Event::Released { .. })
    ));
}

#[test]
fn the_round_trip_is_measured_with_the_peers_own_delay_taken_off() {
    let mut bench = Bench::joined();
    bench.voice(B, 1).unwrap();
    let (_, report) = bench
        .run_ms(5_000)
        .into_iter()
        .find(|(to, _)| to.ip() == peer_a().ip())
        .unwrap();
    // When it left is in it; take the instant from there.
    let Some(Packet::SenderReport { ssrc, ntp, .. }) =
        Compound::parse(&report).unwrap().packets().next()
    else {
        panic!("we sent, so it is a sender report");
    };
    let wall_us =
        ((ntp >> 32) - 2_208_988_800) * 1_000_000 + (((ntp & 0xffff_ffff) * 1_000_000) >> 32);
    bench.now.0 = wall_us - 1_700_000_000_000_000 + 500_000 + 80_000;
    let block = ReportBlock {
        ssrc,
        last_sr: (ntp >> 16) as u32,
        delay_since_last_sr: 1 << 15,
        ..ReportBlock::default()
    };
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    writer.report(0x1000, None, Some(&block));
    let length = writer.len();
    let outcome = bench.send_rtcp(A, address("192.0.2.10:4001"), &buffer[..length]);
    assert_eq!(outcome, Outcome::Report);
    let round_trip = bench.stats(A).round_trip_us.unwrap();
    assert!(round_trip.abs_diff(80_000) < 50, "{round_trip}");
}

#[test]
fn mux_and_separate_ports_are_bridged_without_mixing() {
    let mut bench = Bench::joined();
    bench.answer(
        A,
        NegotiatedStream {
            rtcp_mux: true,
            remote_rtcp: peer_a(),
            ..terms(peer_a())
        },
    );
    bench.voice(A, 1).unwrap();
    bench.voice(B, 1).unwrap();
    let report = [0x80, 201, 0, 1, 0, 0, 0x10, 0];
    let mut slot = [0; 64];
    slot[..8].copy_from_slice(&report);
    let outcome = bench.session.packet(
        SocketId(0),
        peer_a(),
        &mut slot,
        8,
        bench.now,
        &mut bench.out,
    );
    assert_eq!(outcome, Outcome::Report);
    // Where mux was agreed, the second port is closed to reports, and the other way round.
    let outcome = bench.send_rtcp(A, address("192.0.2.10:4001"), &report);
    assert_eq!(outcome, Outcome::Dropped(DropReason::Source));
    let outcome = bench.session.packet(
        SocketId(2),
        peer_b(),
        &mut slot,
        8,
        bench.now,
        &mut bench.out,
    );
    assert_eq!(outcome, Outcome::Dropped(DropReason::Source));
    let destinations: Vec<_> = bench.run_ms(10_000).into_iter().map(|(to, _)| to).collect();
    assert!(destinations.contains(&peer_a()));
    assert!(destinations.contains(&address("198.51.100.20:6001")));
    assert!(!destinations.contains(&address("192.0.2.10:4001")));
}

#[test]
fn short_foreign_and_broken_reports_are_dropped_and_a_goodbye_ends_nothing() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    let rtcp = address("192.0.2.10:4001");
    for (packet, wanted) in [
        (&[0x80, 201, 0][..], DropReason::Malformed),
        (&[0x80, 201, 0, 9, 0, 0, 0x10, 0], DropReason::Malformed),
        (&[0x80, 201, 0, 1, 0, 0, 0, 1], DropReason::Ssrc),
        (&[0x80, 202, 0, 1, 0, 0, 0x10, 0], DropReason::Malformed),
    ] {
        assert_eq!(bench.send_rtcp(A, rtcp, packet), Outcome::Dropped(wanted));
    }
    let goodbye = [
        0x80, 201, 0, 1, 0, 0, 0x10, 0, 0x81, 203, 0, 1, 0, 0, 0x10, 0,
    ];
    assert_eq!(bench.send_rtcp(A, rtcp, &goodbye), Outcome::Report);
    assert!(bench.voice(A, 2).is_ok());
    // RTP on the RTCP port is nothing.
    let outcome = bench.send_rtcp(A, peer_a(), &rtp(8, 3, 0, 0x1000, b"x"));
    assert_eq!(outcome, Outcome::Dropped(DropReason::Malformed));
}

/// We ask nobody for extended reports of RFC 3611, and they are no fault either (TDR-MED-041).
#[test]
fn extended_reports_are_accepted_whatever_is_in_them() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    let rtcp = address("192.0.2.10:4001");
    let receiver_report = [0x80, 201, 0, 1, 0, 0, 0x10, 0];
    // Receiver reference time (block 4), and the metrics of a call (block 7), cut short.
    let reference = [4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
    let metrics = [7, 0, 0, 8, 0, 0, 0x10, 0, 9, 9, 9, 9];
    for blocks in [
        &[][..],
        &reference,
        &metrics,
        &[reference, metrics].concat(),
    ] {
        let words = u8::try_from(1 + blocks.len() / 4).unwrap();
        let head = [0x80, 207, 0, words, 0, 0, 0x10, 0];
        let packet = [&receiver_report[..], &head, blocks].concat();
        assert_eq!(
            bench.send_rtcp(A, rtcp, &packet),
            Outcome::Report,
            "{blocks:?}"
        );
        // Nothing of it goes on to the other side, and media do.
        let made = bench.made();
        assert!(made.iter().all(|(_, packet)| packet[1] != 207), "{made:?}");
    }
    assert!(bench.voice(A, 2).is_ok());
    // What is no compound packet at all is dropped.
    let lies = [
        0x80, 201, 0, 1, 0, 0, 0x10, 0, 0x80, 207, 0, 9, 0, 0, 0x10, 0,
    ];
    let outcome = bench.send_rtcp(A, rtcp, &lies);
    assert_eq!(outcome, Outcome::Dropped(DropReason::Malformed));
}

#[test]
fn a_report_on_a_new_source_does_not_name_the_last_report_of_the_old_one() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    let info = SenderInfo {
        ntp: 0x1234_5678 << 16,
        rtp_timestamp: 0,
        packets: 1,
        octets: 160,
    };
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    writer.report(0x1000, Some(info), None);
    let length = writer.len();
    let rtcp = address("192.0.2.10:4001");
    assert_eq!(bench.send_rtcp(A, rtcp, &buffer[..length]), Outcome::Report);
    let last_sr = |bench: &mut Bench| {
        let (_, report) = bench
            .run_ms(5_000)
            .into_iter()
            .find(|(to, _)| *to == rtcp)
            .unwrap();
        let packets: Vec<_> = Compound::parse(&report).unwrap().packets().collect();
        let Packet::ReceiverReport { mut blocks, .. } = packets[0] else {
            panic!("nothing was sent to A")
        };
        let block = blocks.next().unwrap();
        (block.ssrc, block.last_sr)
    };
    assert_eq!(last_sr(&mut bench), (0x1000, 0x1234_5678));
    bench
        .send(A, peer_a(), &rtp(8, 900, 0, 0xabcd, b"x"))
        .unwrap();
    assert_eq!(last_sr(&mut bench), (0xabcd, 0));
}

#[test]
fn reports_are_never_further_apart_than_five_seconds() {
    let mut bench = Bench::joined();
    bench.run_ms(5_000);
    for _ in 0..200 {
        let reports = bench.run_ms(5_001);
        for peer in [peer_a(), peer_b()] {
            assert!(reports.iter().any(|(to, _)| to.ip() == peer.ip()));
        }
        assert!(reports.len() <= 6);
    }
}

#[test]
fn a_peer_without_bandwidth_for_reports_gets_none() {
    let mut bench = Bench::joined();
    for mux in [false, true] {
        let nowhere = address("192.0.2.10:0");
        bench.answer(
            A,
            NegotiatedStream {
                rtcp_mux: mux,
                remote_rtcp: nowhere,
                ..terms(peer_a())
            },
        );
        bench.voice(B, 1 + u16::from(mux)).unwrap();
        let reports = bench.run_ms(30_000);
        assert!(reports.iter().all(|(to, _)| to.ip() == peer_b().ip()));
    }
    bench.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    assert!(bench.made().iter().all(|(to, _)| to.ip() == peer_b().ip()));
}

/// How many reports A's peer gets in an hour in which both sides talk, or only B's.
fn reports_in_an_hour(reports: Option<ReportBandwidth>, both_talk: bool) -> usize {
    let mut bench = Bench::joined();
    let terms = NegotiatedStream {
        reports,
        ..terms(peer_a())
    };
    bench.answer(A, terms);
    let mut count = 0;
    for second in 0..3_600 {
        let made = bench.run_ms(1_000);
        count += made
            .iter()
            .filter(|(to, _)| to.ip() == peer_a().ip())
            .count();
        bench.voice(B, second).unwrap();
        if both_talk {
            bench.voice(A, second).unwrap();
        }
    }
    count
}

#[test]
fn intervals_follow_the_bandwidth_that_the_peer_leaves_for_reports() {
    let left = |senders, receivers| Some(ReportBandwidth { senders, receivers });
    // A report has 116 octets with UDP and IP, 92 if nothing is heard.
    for (reports, both_talk, seconds) in [
        // Plenty, or nothing said: a report in 2.5 to 4.95 s.
        (None, true, 3.7),
        (left(600, 2_000), true, 3.7),
        // Both send, and share what there is.
        (left(50, 50), true, 18.6 / 1.218),
        (left(0, 100), true, 18.6 / 1.218),
        // We alone send, and have what senders have.
        (left(50, 50), false, 14.7 / 1.218),
    ] {
        let count = reports_in_an_hour(reports, both_talk);
        let mean = 3_600.0 / count as f64;
        assert!(
            (mean / seconds - 1.0).abs() < 0.1,
            "{reports:?} {both_talk}: every {mean} s, not {seconds}"
        );
    }
}

#[test]
fn who_has_no_share_of_the_bandwidth_sends_no_reports() {
    let only_senders = Some(ReportBandwidth {
        senders: 2_000,
        receivers: 0,
    });
    let mut bench = Bench::joined();
    let terms = NegotiatedStream {
        reports: only_senders,
        ..terms(peer_a())
    };
    bench.answer(A, terms);
    let made = bench.run_ms(30_000);
    let is_to_a = |to: std::net::SocketAddr| to.ip() == peer_a().ip();
    assert!(!made.iter().any(|(to, _)| is_to_a(*to)), "we send nothing");
    for sequence in 0..1_000 {
        bench.voice(B, sequence).unwrap();
        bench.run_ms(20);
    }
    assert!(bench.stats(A).sent_rtcp > 0, "we send");
}

#[test]
fn a_line_that_is_switched_off_says_goodbye_and_may_come_back() {
    let mut bench = Bench::joined();
    bench.voice(B, 1).unwrap();
    bench.command(Command::Answer {
        session: SESSION,
        endpoint: A,
        fork: ForkId(0),
        negotiated: Negotiated {
            streams: vec![None],
        },
        stage: Stage::Final,
    });
    let last = bench.made();
    let [(to, report)] = &last[..] else {
        panic!("{last:?}")
    };
    assert_eq!(to.ip(), peer_a().ip());
    let packets = rtc_rtcp::packet::unmarshal(&mut &report[..]).unwrap();
    assert!(packets.last().unwrap().as_any().is::<Goodbye>());
    let to_a = |made: &[(std::net::SocketAddr, Vec<u8>)]| {
        made.iter()
            .filter(|(to, _)| to.ip() == peer_a().ip())
            .count()
    };
    assert_eq!(to_a(&bench.run_ms(10_000)), 0);
    bench.answer(A, terms(peer_a()));
    bench.voice(B, 2).unwrap();
    assert!(to_a(&bench.run_ms(10_000)) > 0);
}

/// What was told of reports: endpoint and report.
fn told(bench: &mut Bench) -> Vec<(EndpointId, RtcpReport)> {
    let events = bench.events().into_iter();
    let told = events.filter_map(|event| match event {
        Event::Reported {
            session: SESSION,
            endpoint,
            stream: StreamIndex(0),
            report,
        } => Some((endpoint, report)),
        _ => None,
    });
    told.collect()
}

/// MED-262.
#[test]
fn reports_of_both_ways_are_told_where_somebody_wants_them() {
    let mut bench = Bench::joined();
    let rtcp = address("192.0.2.10:4001");
    let sent = bench.voice(A, 7).unwrap();
    let ours = bench.voice(B, 1).unwrap();
    let info = SenderInfo {
        ntp: (3 << 32) | 4,
        rtp_timestamp: 5,
        packets: 6,
        octets: 7,
    };
    let block = ReportBlock {
        ssrc: ours.ssrc,
        fraction_lost: 8,
        cumulative_lost: -9,
        highest_sequence: 10,
        jitter: 11,
        last_sr: 12,
        delay_since_last_sr: 13,
    };
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    writer.report(0x1000, Some(info), Some(&block));
    writer.canonical_name(0x1000, b"somebody@192.0.2.10");
    let length = writer.len();
    let report = &buffer[..length];
    assert_eq!(bench.send_rtcp(A, rtcp, report), Outcome::Report);
    bench.run_ms(10_000);
    assert_eq!(told(&mut bench), [], "nobody has asked");

    bench.out.wants_reports = true;
    assert_eq!(bench.send_rtcp(A, rtcp, report), Outcome::Report);
    let heard = RtcpReport {
        teller: Teller::Peer,
        local: address("203.0.113.1:20001"),
        remote: rtcp,
        ssrc: 0x1000,
        sender: Some(SenderFigures {
            ntp: (3 << 32) | 4,
            rtp_timestamp: 5,
            packets: 6,
            octets: 7,
        }),
        reception: Some(ReceptionFigures {
            ssrc: ours.ssrc,
            fraction_lost: 8,
            lost: -9,
            highest_sequence: 10,
            jitter: 11,
            last_sr: 12,
            delay_since_last_sr: 13,
        }),
        extended: None,
    };
    assert_eq!(told(&mut bench), [(A, heard)]);
    // What is refused says nothing.
    let stranger = bench.send_rtcp(A, address("203.0.113.99:4001"), report);
    assert_eq!(stranger, Outcome::Dropped(DropReason::Source));
    assert_eq!(told(&mut bench), []);

    // A report that we send is told as it goes out.
    bench.voice(A, 8).unwrap();
    let made = bench.run_ms(5_000);
    let mut made = made.iter();
    let (_, written) = made.find(|(to, _)| to.ip() == peer_b().ip()).unwrap();
    let Some(Packet::SenderReport {
        ssrc,
        ntp,
        rtp_timestamp,
        packets,
        octets,
        mut blocks,
    }) = Compound::parse(written).unwrap().packets().next()
    else {
        panic!("we have sent");
    };
    let block = blocks.next().unwrap();
    let all = told(&mut bench);
    let (_, own) = all.iter().find(|(to, _)| *to == B).unwrap();
    assert_eq!(own.teller, Teller::Us);
    assert_eq!(own.remote, address("198.51.100.20:6001"));
    assert_eq!(own.local, address("203.0.113.1:20003"));
    assert_eq!((own.ssrc, own.ssrc), (ssrc, sent.ssrc));
    let sender = SenderFigures {
        ntp,
        rtp_timestamp,
        packets,
        octets,
    };
    assert_eq!(own.sender, Some(sender));
    let reception = own.reception.unwrap();
    assert_eq!(
        (reception.ssrc, reception.highest_sequence, reception.jitter),
        (block.ssrc, block.highest_sequence, block.jitter)
    );
    // The last ones, with the goodbye.
    bench.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    let events = bench.events();
    let is_told = |event: &Event| matches!(event, Event::Reported { .. });
    assert_eq!(events.iter().filter(|event| is_told(event)).count(), 2);
    assert!(matches!(events.last(), Some(Event::Released { .. })));
}

#[test]
fn a_peer_that_reports_without_end_is_told_twice_a_second_at_most() {
    let mut bench = Bench::joined();
    bench.out.wants_reports = true;
    bench.voice(A, 1).unwrap();
    bench.events();
    let rtcp = address("192.0.2.10:4001");
    let report = [0x80, 201, 0, 1, 0, 0, 0x10, 0];
    let mut count = 0;
    for _ in 0..1_000 {
        bench.wait_ms(10);
        assert_eq!(bench.send_rtcp(A, rtcp, &report), Outcome::Report);
        count += told(&mut bench).len();
    }
    assert_eq!(count, 20);
    assert_eq!(bench.stats(A).received_rtcp, 1_000);
}
