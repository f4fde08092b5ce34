//! What a stranger's largest and oddest inputs cost: memory in proportion to their size, and time
//! that does not grow with its square.

#[path = "../benches/common/largest.rs"]
mod largest;

use crate::world::cpu_time;
use bytes::Bytes;
use largest::DATAGRAM;
use sbc_core::config::{Assumed, Source, load};
use sbc_core::demux::shard_of_message;
use sbc_core::sdp::{Description, explain as sdp_explain, redact};
use sbc_core::sip::explain::explain;
use sbc_core::sip::{
    Capabilities, Limits, MAX_BODY_PARTS, Message, Reaction, ResponseBuilder, body,
};
use sbc_core::transport::framer::{Frame, Framer};
use std::time::Duration;

/// Most octets held at once while something runs, and octets asked for altogether.
fn cost(work: impl FnOnce()) -> (usize, usize) {
    let seen = allocation_counter::measure(work);
    (seen.bytes_max as usize, seen.bytes_total as usize)
}

fn fastest(mut work: impl FnMut()) -> Duration {
    let run = |_| {
        let began = cpu_time();
        work();
        cpu_time() - began
    };
    (0..5).map(run).min().expect("five runs")
}

const HEAD: &str = "INVITE sip:b@192.0.2.11 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.20;branch=z9hG4bK1\r\n\
    From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
    Max-Forwards: 70\r\n";

/// Every kind of message that was thought of, at this size, from somebody whom nobody knows.
fn messages(size: usize) -> Vec<(&'static str, Bytes)> {
    largest::messages(size, HEAD)
}

/// Everything that is asked of a datagram before anybody knows who sent it, and of one that passed.
fn receive(bytes: &Bytes) {
    let limits = Limits::default();
    match Message::parse(bytes.clone(), &limits) {
        Ok(message) => {
            let _ = (Capabilities::default().check(&message), message.uri());
            let _ = shard_of_message(&message, 4);
            if let Ok(parts) = body::parts(&message) {
                assert!(parts.len() <= MAX_BODY_PARTS);
            }
            if let Ok(Some(sdp)) = body::session_description(&message) {
                let _ = Description::parse(sdp, &sbc_core::sdp::Limits::default());
            }
        }
        Err(rejected) => {
            if let Reaction::Answer { status, head } = rejected.reaction {
                let answer = ResponseBuilder::to_head(&head, status, None).build();
                assert!(answer.len() <= 2 * bytes.len() + 200, "bounded answer");
            }
        }
    }
}

#[test]
fn the_largest_datagrams_cost_memory_in_proportion_to_their_size() {
    for (what, bytes) in messages(DATAGRAM) {
        let (most, asked) = cost(|| receive(&bytes));
        assert!(most <= 8 * DATAGRAM, "{what}: {most} octets at once");
        assert!(asked <= 32 * DATAGRAM, "{what}: {asked} octets in all");
    }
}

#[test]
fn time_for_a_datagram_does_not_grow_with_the_square_of_its_size() {
    for ((what, small), (_, large)) in messages(DATAGRAM / 16).into_iter().zip(messages(DATAGRAM)) {
        // Sixteen times the size may take some thirty times as long, not two hundred and fifty.
        let (small, large) = (fastest(|| receive(&small)), fastest(|| receive(&large)));
        let most = 60 * small + Duration::from_millis(2);
        assert!(
            large <= most,
            "{what}: {small:?}, and {large:?} for 16 times as much"
        );
    }
}

#[test]
fn explanations_of_the_largest_datagrams_are_bounded() {
    for (what, bytes) in messages(DATAGRAM) {
        let mut length = 0;
        let (most, _) =
            cost(|| length = explain(bytes.clone(), &Limits::default()).to_string().len());
        assert!(length <= 64 * DATAGRAM, "{what}: {length} letters");
        assert!(most <= 256 * DATAGRAM, "{what}: {most} octets at once");
        let shown = sdp_explain::explain(&bytes).to_string();
        assert!(shown.len() <= 64 * DATAGRAM, "{what}");
        assert!(redact(&bytes).len() <= 16 * DATAGRAM, "{what}");
    }
}

/// One kind of stream, a megabyte of it.
fn streams() -> Vec<(&'static str, Vec<u8>)> {
    const MEGABYTE: usize = 1 << 20;
    let of = |head: &str, unit: &str| {
        let mut stream = head.as_bytes().to_vec();
        while stream.len() < MEGABYTE {
            stream.extend_from_slice(unit.as_bytes());
        }
        stream
    };
    let start = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n";
    let large = format!(
        "{start}Content-Length: 262144\r\n\r\n{}",
        "x".repeat(262_144)
    );
    vec![
        ("pings", of("", "\r\n\r\n")),
        ("small messages", of("", &format!("{start}l: 0\r\n\r\n"))),
        ("the largest bodies", of("", &large)),
        ("a header section without end", of(start, "X: y\r\n")),
        ("a header line without end", of(&format!("{start}X: "), "y")),
        ("a start line without end", of("", "A")),
        (
            "a body that never comes",
            of(&format!("{start}l: 262144\r\n\r\n"), "\0"),
        ),
        (
            "a body larger than allowed",
            of(&format!("{start}l: 262145\r\n\r\n"), "x"),
        ),
        ("zeros", of("", "\0")),
    ]
}

#[test]
fn a_megabyte_of_stream_is_held_within_the_limits_of_one_message() {
    let limits = Limits::default();
    for (what, stream) in streams() {
        let (most, _) = cost(|| {
            let mut framer = Framer::new(limits);
            for segment in stream.chunks(1400) {
                framer.push(segment);
                while let Some(frame) = framer.next_frame() {
                    if let Frame::Message(message) = frame {
                        receive(&message);
                    }
                }
                let allowed = limits.header_section + limits.body + 2 * 1400;
                assert!(framer.buffered_bytes() <= allowed, "{what}");
            }
        });
        // A vector that grows may have twice what it needs, once more while it moves.
        let allowed = 5 * (limits.header_section + limits.body);
        assert!(most <= allowed, "{what}: {most} octets at once");
    }
}

#[test]
fn a_large_configuration_full_of_mistakes_is_refused_in_bounded_memory() {
    let text = "[[trunk]]\nname = \"x\"\nnonsense = [[[[[1]]]]]\n".repeat(4_000);
    let facts = Assumed::with_names([]);
    let (most, _) = cost(|| {
        let sources = [Source::new("c.toml", text.clone())];
        let findings = load(&sources, &facts, None).expect_err("full of mistakes");
        assert!(findings.errors.len() <= 100 && findings.omitted > 3_000);
        assert!(findings.to_text().len() < 100_000);
    });
    assert!(most <= 600 * text.len(), "{most} octets for {}", text.len());
}
