//! Copies of packets for whoever captures them (MED-364).

use crate::common::{A, B, Bench, SESSION, address, peer_a, peer_b, read, rtp, terms};
use media_api::*;
use media_relay::packet::rtcp::{ReportBlock, Writer};
use media_relay::session::Outcome;
use media_relay::srtp::{MAX_TRAILER_BYTES, Sender};

fn tap(bench: &mut Bench, tap: Option<Tap>) {
    let session = SESSION;
    bench.command(Command::Tap { session, tap });
}

fn copies(bench: &mut Bench) -> Vec<(EndpointId, TappedPacket)> {
    let events = bench.events().into_iter();
    let copies = events.filter_map(|event| match event {
        Event::Tapped {
            session: SESSION,
            endpoint,
            packet,
        } => Some((endpoint, packet)),
        _ => None,
    });
    copies.collect()
}

#[test]
fn packets_are_copied_without_encryption_on_both_legs_while_somebody_wants_them() {
    let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
    let mut bench = Bench::joined();
    bench.answer(
        A,
        NegotiatedStream {
            protection: Protection::Sdes {
                local: key(1),
                remote: key(2),
            },
            ..terms(peer_a())
        },
    );
    let sender = Sender::new(&key(2));
    let spoken = |sequence: u16| rtp(8, sequence, u32::from(sequence) * 160, 9, &[0xd5; 160]);
    let secured = |sequence: u16| {
        let mut packet = spoken(sequence);
        let length = packet.len();
        packet.resize(length + MAX_TRAILER_BYTES, 0);
        let length = sender.protect_rtp(&mut packet, length, sequence.into());
        packet.truncate(length.unwrap());
        packet
    };
    bench.send(A, peer_a(), &secured(1)).unwrap();
    assert_eq!(copies(&mut bench), [], "nobody wants them");

    tap(&mut bench, Some(Tap::Whole));
    let (to, sent) = bench.send(A, peer_a(), &secured(2)).unwrap();
    let [(from, came), (of, went)] = &copies(&mut bench)[..] else {
        panic!("one in, one out");
    };
    assert_eq!((*from, came.teller), (A, Teller::Peer));
    assert_eq!(came.octets, spoken(2));
    assert_eq!(usize::from(came.length), spoken(2).len());
    assert_eq!(came.remote, peer_a());
    assert_eq!(came.local, address("203.0.113.1:20000"));
    assert_eq!((*of, went.teller, went.remote), (B, Teller::Us, to));
    assert_eq!(went.octets, sent);
    // Toward A, as it was before it was protected.
    let (_, sent) = bench
        .send(B, peer_b(), &rtp(8, 7, 0, 0x1001, b"something"))
        .unwrap();
    assert_ne!(read(&sent).payload, b"something");
    let all = copies(&mut bench);
    assert_eq!(read(&all[1].1.octets).payload, b"something");
    // Reports of ours.
    bench.run_ms(5_000);
    let all = copies(&mut bench);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|(_, own)| own.octets[1] == 200));
    // What is refused is not copied.
    let forged = bench.send(A, peer_a(), &spoken(3));
    assert_eq!(forged, Err(DropReason::Authentication));
    assert_eq!(copies(&mut bench), []);

    tap(&mut bench, None);
    bench.send(A, peer_a(), &secured(4)).unwrap();
    assert_eq!(copies(&mut bench), []);
}

#[test]
fn of_headers_nothing_that_somebody_says_is_copied() {
    let mut bench = Bench::joined();
    tap(&mut bench, Some(Tap::Headers));
    bench.voice(A, 1).unwrap();
    let all = copies(&mut bench);
    assert_eq!(all.len(), 2);
    for (_, own) in &all {
        assert_eq!((own.octets.len(), own.length), (12, 172));
    }
    let mut buffer = [0; 200];
    let mut writer = Writer::new(&mut buffer);
    writer.report(0x1000, None, Some(&ReportBlock::default()));
    writer.canonical_name(0x1000, b"somebody@192.0.2.10");
    let length = writer.len();
    let outcome = bench.send_rtcp(A, address("192.0.2.10:4001"), &buffer[..length]);
    assert_eq!(outcome, Outcome::Report);
    let [(_, own)] = &copies(&mut bench)[..] else {
        panic!("a report");
    };
    assert_eq!(own.octets, buffer[..8]);
    assert_eq!(usize::from(own.length), length);
    assert_eq!(own.local, address("203.0.113.1:20001"));
    assert!(!format!("{own:?}").contains("octets"), "{own:?}");
    // The last one, to who has heard something, comes before the end.
    bench.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    let events = bench.events();
    let is_copy = |event: &&Event| matches!(event, Event::Tapped { .. });
    assert_eq!(events.iter().filter(is_copy).count(), 1);
    assert!(matches!(events.last(), Some(Event::Released { .. })));
}
