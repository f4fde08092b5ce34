//! Counters equal the truth of what the network did (MED-061, section 21 of the requirements).

use crate::common::{A, Bench, peer_a, rtp};
use media_api::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn loss_duplicates_and_reordering_are_counted_exactly(
        start in any::<u16>(),
        fates in prop::collection::vec((0u8..100, 1usize..8), 50..800),
    ) {
        // The first and last packets arrive, so that their neighbours' loss can be known.
        let last = fates.len() - 1;
        let mut arrivals = Vec::new();
        let (mut lost, mut duplicates) = (0i64, 0u64);
        for (at, (fate, distance)) in fates.into_iter().enumerate() {
            let slot = at * 10;
            match fate {
                0..5 if at > 0 && at < last => lost += 1,
                5..7 => {
                    duplicates += 1;
                    arrivals.extend([(slot, at), (slot + 1, at)]);
                }
                7..15 if at > 0 && at + 8 < last => arrivals.push((slot + distance * 10 + 1, at)),
                _ => arrivals.push((slot, at)),
            }
        }
        arrivals.sort();
        let mut reordered = 0;
        let mut highest = None;
        for (_, at) in &arrivals {
            // A duplicate equals the highest or was overtaken; only first arrivals count.
            if highest.is_some_and(|highest| *at < highest) {
                reordered += 1;
            }
            highest = highest.max(Some(*at));
        }
        let overtaken_duplicates = {
            let mut seen = std::collections::BTreeSet::new();
            let mut highest = None;
            arrivals.iter().filter(|(_, at)| {
                let again = !seen.insert(*at);
                let behind = highest.is_some_and(|highest| *at < highest);
                highest = highest.max(Some(*at));
                again && behind
            }).count()
        };
        let mut bench = Bench::joined();
        let mut forwarded = 0;
        for (_, at) in &arrivals {
            bench.now.0 += 19_000;
            let sequence = start.wrapping_add(*at as u16);
            let packet = rtp(8, sequence, *at as u32 * 160, 9, &[0xd5; 160]);
            match bench.send(A, peer_a(), &packet) {
                Ok(_) => forwarded += 1,
                Err(reason) => prop_assert_eq!(reason, DropReason::Duplicate),
            }
        }
        let stats = bench.stats(A);
        prop_assert_eq!(stats.lost_packets, lost);
        prop_assert_eq!(stats.dropped(DropReason::Duplicate), duplicates);
        prop_assert_eq!(stats.reordered_packets, (reordered - overtaken_duplicates) as u64);
        prop_assert_eq!(stats.received_packets, forwarded);
        prop_assert_eq!(forwarded + duplicates, arrivals.len() as u64);
    }

    #[test]
    fn no_datagram_makes_a_session_panic(
        packets in prop::collection::vec(
            (0u32..4, any::<bool>(), prop::collection::vec(any::<u8>(), 0..120)), 1..40),
    ) {
        let mut bench = Bench::joined();
        for (socket, is_rtp, mut bytes) in packets {
            if let (true, Some(first)) = (is_rtp, bytes.first_mut()) {
                *first = 0x80 | *first & 0x3f;
            }
            let from = if socket < 2 { peer_a() } else { crate::common::peer_b() };
            let length = bytes.len();
            bytes.resize(length + 14, 0);
            bench.session.packet(
                media_relay::session::SocketId(socket), from, &mut bytes, length, bench.now,
                &mut bench.out,
            );
            bench.run_ms(500);
        }
    }
}
