//! A party whose media are kept from the other one: what passes all the same, and how the other one hears it.

use crate::common::{A, B, Bench, SESSION, codec, peer_a, peer_b, read, rtp, terms};
use media_api::*;

fn block(bench: &mut Bench, endpoint: EndpointId, is_blocked: bool) {
    bench.command(Command::Block {
        session: SESSION,
        endpoint,
        is_blocked,
    });
}

fn bench() -> Bench {
    let mut bench = Bench::joined();
    for (endpoint, peer) in [(A, peer_a()), (B, peer_b())] {
        let mut agreed = terms(peer);
        agreed
            .payloads
            .push(codec(101, 101, 2, "telephone-event", 8_000));
        bench.answer(endpoint, agreed);
    }
    bench
}

#[test]
fn who_is_blocked_is_not_heard_and_leaves_no_gap() {
    let mut bench = bench();
    let first = bench.voice(A, 1).unwrap();
    block(&mut bench, A, true);
    for sequence in 2..10 {
        bench.wait_ms(20);
        assert_eq!(bench.voice(A, sequence), Err(DropReason::Muted));
        // The other way nothing has changed.
        assert!(bench.voice(B, sequence).is_ok());
    }
    assert_eq!(bench.stats(A).dropped(DropReason::Muted), 8);
    assert_eq!(bench.stats(A).received_packets, 9, "it is heard by us");
    block(&mut bench, A, false);
    bench.wait_ms(20);
    let next = bench.voice(A, 10).unwrap();
    assert_eq!(next.sequence, first.sequence.wrapping_add(1));
    assert_eq!(next.timestamp, first.timestamp.wrapping_add(9 * 160));
}

#[test]
fn keys_of_who_is_blocked_pass_and_silence_stands_between_them() {
    let mut bench = bench();
    bench.voice(A, 1).unwrap();
    block(&mut bench, A, true);
    bench.play(
        B,
        Some(Playing {
            sound: crate::common::tone(&[([0, 0], 1_000)]),
            times: None,
            beside: Beside::First { quiet_ms: 100 },
        }),
    );
    let to_b = |made: Vec<(std::net::SocketAddr, Vec<u8>)>| {
        let to_b = made.into_iter().filter(|(to, _)| *to == peer_b());
        let rtp = to_b.map(|(_, packet)| read(&packet));
        rtp.filter(|rtp| rtp.payload_type == 8).collect::<Vec<_>>()
    };
    let silent = to_b(bench.run_ms(500));
    assert!(silent.len() >= 15, "{} packets", silent.len());
    assert!(
        silent
            .iter()
            .all(|rtp| rtp.payload.iter().all(|o| *o == 0xd5))
    );
    for sequence in 2..5 {
        let key = rtp(101, sequence, 320, 0x1000, &[5, 10, 0, 160]);
        let (to, packet) = bench.send(A, peer_a(), &key).unwrap();
        assert_eq!((to, read(&packet).payload_type), (peer_b(), 101));
        assert!(to_b(bench.run_ms(20)).is_empty(), "the key comes first");
    }
    assert!(!to_b(bench.run_ms(300)).is_empty());
}
