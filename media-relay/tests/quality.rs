//! What is known of the quality of a call: ratings, the worst interval, bursts, what peers report.

use crate::common::{A, B, Bench, address, codec, pcma, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::packet::rtcp::{ReportBlock, SenderInfo, Writer};
use media_relay::session::Outcome;

const START_MS: u64 = 1_700_000_010_000;

/// Voice from A for so many packets, of which those are lost that `is_lost` names.
fn talk(bench: &mut Bench, packets: std::ops::Range<u16>, is_lost: impl Fn(u16) -> bool) {
    for sequence in packets {
        bench.run_ms(20);
        if !is_lost(sequence) {
            bench.voice(A, sequence).unwrap();
        }
    }
}

fn quality(bench: &Bench) -> QualityStats {
    bench.stats(A).quality
}

fn rtcp_from_a(bench: &mut Bench, packet: &[u8]) {
    let outcome = bench.send_rtcp(A, address("192.0.2.10:4001"), packet);
    assert_eq!(outcome, Outcome::Report);
}

/// SSRC that we send to A with.
fn our_ssrc(bench: &mut Bench) -> u32 {
    bench.voice(B, 1).unwrap().ssrc
}

/// A receiver report of A about our stream.
fn report(ssrc: u32, fraction_lost: u8, jitter: u32) -> Vec<u8> {
    let block = ReportBlock {
        ssrc,
        fraction_lost,
        cumulative_lost: 7,
        jitter,
        ..ReportBlock::default()
    };
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    writer.report(0x1000, None, Some(&block));
    let length = writer.len();
    buffer[..length].to_vec()
}

#[test]
fn a_clean_call_has_the_best_rating_of_its_codec_and_none_of_conversation_without_a_round_trip() {
    let mut bench = Bench::joined();
    talk(&mut bench, 0..1_000, |_| false);
    let quality = quality(&bench);
    let rating = quality.listening.unwrap();
    assert_eq!((rating.mean.r, rating.least.r), (93.2, 93.2));
    assert!((rating.mean.mos - 4.41).abs() < 0.005);
    assert_eq!(quality.scale, Some(Scale::Narrowband));
    assert_eq!(quality.conversational, None);
    assert_eq!(quality.longest_gap_us, 20_000);
    assert_eq!(quality.bursts.gap_lost + quality.bursts.burst_lost, 0);
}

#[test]
fn the_worst_interval_is_named_with_its_time_and_what_was_wrong() {
    let mut bench = Bench::joined();
    // A tenth is lost for five seconds, from the tenth second on.
    talk(&mut bench, 0..1_500, |n| {
        (500..750).contains(&n) && n % 10 == 5
    });
    let quality = quality(&bench);
    let worst = quality.worst.unwrap();
    assert_eq!((worst.lost, worst.late, worst.length_ms), (25, 0, 5_000));
    assert!(
        worst.unix_ms.abs_diff(START_MS + 10_000) <= 20,
        "{}",
        worst.unix_ms
    );
    // 95 · 10 / (10 + 25.1): packets that are lost one by one are no bursts for the model.
    assert!(
        (worst.score.r - (93.2 - 27.07)).abs() < 0.3,
        "{:?}",
        worst.score
    );
    let best = quality.best.unwrap();
    assert_eq!((best.lost, best.score.r), (0, 93.2));
    assert_eq!(quality.intervals, 6);
    let stats = bench.stats(A);
    assert_eq!(stats.ssrc, Some(0x1000));
    let heard_ms = stats.heard_unix_ms.unwrap();
    assert!(heard_ms.abs_diff(START_MS + 30_000) <= 20, "{heard_ms}");
    let rating = quality.listening.unwrap();
    assert_eq!(rating.least, worst.score);
    let mean = (93.2 * 5.0 + worst.score.r) / 6.0;
    assert!((rating.mean.r - mean).abs() < 0.1, "{rating:?}");
    // Nine packets between losses: one long burst.
    assert_eq!(
        (quality.bursts.bursts, quality.bursts.burst_packets),
        (1, 241)
    );
    assert!((quality.bursts.burst_density_percent() - 2_500.0 / 241.0).abs() < 0.001);
    assert!((quality.loss_15s_percent - 2_500.0 / 750.0).abs() < 0.1);
    assert_eq!(quality.loss_200ms_percent, 0.0, "one packet of ten is none");
}

#[test]
fn losses_in_a_row_are_rated_lower_and_show_within_200_ms() {
    let rated = |is_lost: fn(u16) -> bool| {
        let mut bench = Bench::joined();
        talk(&mut bench, 0..1_000, is_lost);
        quality(&bench)
    };
    let alone = rated(|n| n % 20 == 10);
    let in_rows = rated(|n| (40..45).contains(&(n % 100)));
    assert!(in_rows.listening.unwrap().mean.r < alone.listening.unwrap().mean.r - 1.0);
    assert_eq!(in_rows.loss_200ms_percent, 50.0);
    assert_eq!(in_rows.bursts.bursts, 10);
}

#[test]
fn a_hold_and_an_empty_interval_are_not_rated() {
    let mut bench = Bench::joined();
    talk(&mut bench, 0..500, |_| false);
    let held = NegotiatedStream {
        direction: Direction::Inactive,
        ..terms(peer_a())
    };
    bench.answer(A, held);
    bench.run_ms(60_000);
    bench.answer(A, terms(peer_a()));
    talk(&mut bench, 500..1_000, |_| false);
    let quality = quality(&bench);
    assert_eq!(quality.listening.unwrap().least.r, 93.2);
    assert_eq!(quality.longest_gap_us, 20_000, "the hold is no gap");
    assert!(quality.worst.unwrap().length_ms <= 5_020);
}

#[test]
fn an_outage_is_a_gap_and_a_pause_of_the_peer_is_none() {
    let mut bench = Bench::joined();
    talk(&mut bench, 0..100, |_| false);
    bench.run_ms(1_000);
    // The clock has gone on and the numbers have not: nothing was sent.
    for sequence in 100..150u16 {
        bench.run_ms(20);
        let timestamp = (u32::from(sequence) + 50) * 160;
        let packet = rtp(8, sequence, timestamp, 0x1000, &[0xd5; 160]);
        bench.send(A, peer_a(), &packet).unwrap();
    }
    assert_eq!(quality(&bench).longest_gap_us, 20_000);
    bench.run_ms(700);
    // Now everything was held up: the packet that follows is that of 20 ms later.
    let packet = rtp(8, 150, 200 * 160, 0x1000, &[0xd5; 160]);
    bench.send(A, peer_a(), &packet).unwrap();
    assert_eq!(quality(&bench).longest_gap_us, 700_000);
    assert_eq!(quality(&bench).late_packets, 1);
}

/// A call whose reports of ours to A are answered as much later as is said of each packet's time.
fn converse(packets: u16, answered_us: impl Fn(u16) -> u64) -> QualityStats {
    let mut bench = Bench::joined();
    let ssrc = our_ssrc(&mut bench);
    let mut answer = None;
    for sequence in 0..packets {
        for (to, packet) in bench.run_ms(20) {
            if to == address("192.0.2.10:4001") && packet[1] == 200 {
                let last_sr = u32::from_be_bytes(packet[10..14].try_into().unwrap());
                answer = Some((bench.now.0 + answered_us(sequence), last_sr));
            }
        }
        bench.voice(A, sequence).unwrap();
        bench.voice(B, sequence + 2).unwrap();
        if let Some((_, last_sr)) = answer.take_if(|(at, _)| *at <= bench.now.0) {
            let block = ReportBlock {
                ssrc,
                last_sr,
                ..ReportBlock::default()
            };
            let mut buffer = [0; 100];
            let mut writer = Writer::new(&mut buffer);
            writer.report(0x1000, None, Some(&block));
            let length = writer.len();
            rtcp_from_a(&mut bench, &buffer[..length]);
        }
    }
    quality(&bench)
}

#[test]
fn conversation_is_rated_by_the_round_trips_of_its_interval() {
    // The last minute of ten is slow.
    let slow = converse(30_000, |at| if at < 27_000 { 40_000 } else { 800_000 });
    let ratings = slow.conversational.unwrap();
    // 400 ms of network, 20 of packet, 20 of buffer: 0.024 · 440 + 0.11 · 262.7 = 39.5.
    assert!((ratings.least.r - (93.2 - 39.5)).abs() < 2.5, "{ratings:?}");
}

#[test]
fn conversation_is_rated_once_the_round_trip_is_known() {
    // When a report of ours leaves, it is answered 400 ms later.
    let quality = converse(1_000, |_| 400_000);
    let (mean_us, largest_us) = quality.round_trip_us.unwrap();
    assert!((400_000..440_000).contains(&mean_us) && largest_us >= mean_us);
    // 200 ms of network, 20 of packet, 20 of buffer: 0.024 · 240 + 0.11 · 62.7 = 12.7.
    let conversational = quality.conversational.unwrap();
    assert!(
        (conversational.mean.r - (93.2 - 12.7)).abs() < 2.0,
        "{conversational:?}"
    );
    assert_eq!(quality.listening.unwrap().mean.r, 93.2);
}

#[test]
fn what_the_peer_reports_of_our_stream_is_kept_apart_from_what_we_receive() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    let ssrc = our_ssrc(&mut bench);
    rtcp_from_a(&mut bench, &report(ssrc, 0, 80));
    rtcp_from_a(&mut bench, &report(ssrc, 64, 400));
    rtcp_from_a(&mut bench, &report(ssrc, 0, 160));
    // Somebody else's stream is not ours.
    rtcp_from_a(&mut bench, &report(ssrc ^ 1, 255, 60_000));
    let reported = quality(&bench).reported.unwrap();
    assert_eq!((reported.reports, reported.lost), (3, 7));
    assert_eq!(
        (reported.jitter_us, reported.max_jitter_us),
        (20_000, 50_000)
    );
    assert_eq!(reported.worst_loss_percent, 25.0);
    let listening = reported.listening.unwrap();
    // 95 · 25 / 50.1.
    assert!(
        (listening.least.r - (93.2 - 47.4)).abs() < 0.1,
        "{listening:?}"
    );
    assert_eq!(bench.stats(A).lost_packets, 0);
}

#[test]
fn voip_metrics_about_our_stream_are_kept_and_those_about_others_are_not() {
    let mut bench = Bench::joined();
    bench.voice(A, 1).unwrap();
    let ssrc = our_ssrc(&mut bench);
    let extended = |about: u32, r: u8| {
        let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0x10, 0];
        packet.extend([0x80, 207, 0, 10, 0, 0, 0x10, 0, 7, 0, 0, 8]);
        packet.extend(about.to_be_bytes());
        packet.extend([3, 1, 9, 1, 0, 120, 1, 0, 0, 90, 0, 40, 0xec, 0xc4, 55, 16]);
        packet.extend([r, 127, 40, 38, 0, 0, 0, 40, 0, 80, 0, 200]);
        packet
    };
    rtcp_from_a(&mut bench, &extended(ssrc ^ 1, 50));
    assert_eq!(quality(&bench).extended, None);
    rtcp_from_a(&mut bench, &extended(ssrc, 80));
    rtcp_from_a(&mut bench, &extended(ssrc, 78));
    let metrics = quality(&bench).extended.unwrap();
    assert_eq!(
        (metrics.r, metrics.mos_lq_10, metrics.round_trip_ms),
        (78, 40, 90)
    );
}

#[test]
fn changes_of_codec_and_source_are_counted_and_noise_and_digits_are_none() {
    let mut bench = Bench::joined();
    let mut both = terms(peer_a());
    both.payloads = vec![
        pcma(),
        codec(9, 9, 2, "G722", 8000),
        codec(13, 13, 3, "CN", 8000),
        codec(101, 101, 4, "telephone-event", 8000),
    ];
    bench.answer(A, both.clone());
    bench.answer(
        B,
        NegotiatedStream {
            remote_rtp: peer_b(),
            ..both
        },
    );
    for (sequence, (payload_type, ssrc)) in (1..).zip([
        (8, 1),
        (13, 1),
        (8, 1),
        (101, 1),
        (8, 1),
        (9, 1),
        (8, 1),
        (9, 2),
    ]) {
        bench.run_ms(200);
        let packet = rtp(
            payload_type,
            sequence,
            u32::from(sequence) * 1_600,
            ssrc,
            &[0; 160],
        );
        bench.send(A, peer_a(), &packet).unwrap();
    }
    let stats = bench.stats(A);
    assert_eq!(
        (stats.quality.codec_switches, stats.quality.ssrc_changes),
        (3, 1)
    );
    assert_eq!(stats.codec.as_deref(), Some("G722"));
    assert_eq!(stats.quality.scale, Some(Scale::Wideband));
}

#[test]
fn a_codec_without_constants_is_counted_and_not_rated() {
    let mut bench = Bench::joined();
    let mut unknown = terms(peer_a());
    unknown.payloads = vec![codec(96, 96, 7, "X-LAB", 8000)];
    bench.answer(A, unknown.clone());
    bench.answer(
        B,
        NegotiatedStream {
            remote_rtp: peer_b(),
            ..unknown
        },
    );
    for sequence in 0..600u16 {
        bench.run_ms(20);
        let packet = rtp(96, sequence, u32::from(sequence) * 160, 1, &[0; 20]);
        bench.send(A, peer_a(), &packet).unwrap();
    }
    let quality = quality(&bench);
    assert_eq!(
        (quality.listening, quality.worst, quality.scale),
        (None, None, None)
    );
    assert!(quality.bursts.gap_packets >= 599);
}

#[test]
fn the_mean_of_jitter_is_that_of_every_packet() {
    let mut bench = Bench::joined();
    let (mut jitter, mut sum, mut largest) = (0.0f64, 0.0, 0.0f64);
    let mut before = 0.0;
    for sequence in 0..2_000u16 {
        let late_us = u64::from(sequence) * 7_919 % 11_000;
        bench.now.0 = 20_000_000 + u64::from(sequence) * 20_000 + late_us;
        bench.voice(A, sequence).unwrap();
        let transit = late_us as f64;
        if sequence > 0 {
            jitter += ((transit - before).abs() - jitter) / 16.0;
            sum += jitter;
            largest = largest.max(jitter);
        }
        before = transit;
    }
    let stats = bench.stats(A);
    // A unit of the timestamp is 125 µs; the integer form rounds each step.
    assert!((f64::from(stats.quality.mean_jitter_us) - sum / 1_999.0).abs() < 65.0);
    assert!((f64::from(stats.max_jitter_us) - largest).abs() < 125.0);
}

/// A peer's sender info, for reports that must not disturb anything.
#[test]
fn reports_before_any_media_change_no_rating() {
    let mut bench = Bench::joined();
    let info = SenderInfo {
        ntp: 1 << 32,
        rtp_timestamp: 0,
        packets: 5,
        octets: 800,
    };
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    writer.report(0x1000, Some(info), None);
    let length = writer.len();
    rtcp_from_a(&mut bench, &buffer[..length]);
    bench.run_ms(20_000);
    assert_eq!(quality(&bench), QualityStats::default());
}
