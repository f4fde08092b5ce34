//! Streams: the frames are the same however the octets were cut, and memory stays within limits.

use crate::message::TIGHT;
use sbc_core::sip::{Limits, Message, Reaction};
use sbc_core::transport::framer::{Frame, Framer, is_keep_alive};

pub(crate) fn check(data: &[u8]) {
    let _ = is_keep_alive(data);
    for limits in [Limits::default(), TIGHT] {
        let whole = frames(data, &limits, std::iter::once(data.len()));
        let octets = frames(data, &limits, std::iter::repeat(1));
        assert_eq!(octets, whole, "octet by octet");
        let odd = frames(data, &limits, cuts(data));
        assert_eq!(odd, whole, "in pieces");
        are_the_stream(&whole, data, &limits);
    }
}

/// Lengths of pieces that depend on the input alone.
fn cuts(data: &[u8]) -> impl Iterator<Item = usize> {
    let mut state = data.iter().fold(0x811c_9dc5_u32, |hash, octet| {
        (hash ^ u32::from(*octet)).wrapping_mul(0x0100_0193)
    });
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) as usize % 67
    })
}

fn frames(stream: &[u8], limits: &Limits, pieces: impl Iterator<Item = usize>) -> Vec<Frame> {
    let mut framer = Framer::new(*limits);
    let mut frames = Vec::new();
    let mut rest = stream;
    for piece in pieces {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(piece.min(rest.len()));
        rest = later;
        framer.push(now);
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
        let most = limits.header_section + limits.body + 4;
        assert!(framer.buffered_bytes() <= most, "bounded buffer");
    }
    frames
}

/// Messages are pieces of the stream in their order; nothing follows a fault.
fn are_the_stream(frames: &[Frame], stream: &[u8], limits: &Limits) {
    let mut rest = stream;
    for (index, frame) in frames.iter().enumerate() {
        match frame {
            Frame::Ping | Frame::Pong => {
                rest = rest.strip_prefix(b"\r\n").expect("a line end");
            }
            Frame::Message(bytes) => {
                rest = rest.strip_prefix(&bytes[..]).expect("as it came");
                match Message::parse(bytes.clone(), limits) {
                    Ok(message) => assert_eq!(message.bytes(), bytes, "nothing is left over"),
                    Err(rejected) => assert_ne!(rejected.fault.what, "body", "all is there"),
                }
            }
            Frame::Fault(rejected) => {
                assert_eq!(index + 1, frames.len(), "the last thing said");
                if let Reaction::Answer { head, .. } = &rejected.reaction {
                    assert!(head.via.is_some(), "an answer knows where it goes");
                }
                return;
            }
        }
    }
    let most = limits.header_section + limits.body + 4;
    assert!(rest.len() <= most, "what waits is one message");
}
