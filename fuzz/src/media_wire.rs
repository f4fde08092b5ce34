//! The socket between daemon and relay: whatever comes is refused in words, or is exactly what would have been
//! written for what it means; and how it is cut on its way changes nothing.
//!
//! The first octet says in steps of how many the rest comes, the rest is a stream of frames.

use media_api::wire::{Frames, Reader, Wire, Writer};
use media_api::{Command, Event};

pub(crate) fn check(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else {
        return;
    };
    let step = usize::from(*step).max(1);
    let whole = cut(stream, stream.len().max(1));
    assert_eq!(cut(stream, step), whole, "in steps of {step}");
    for frame in whole.0 {
        is_canonical::<Command>(&frame);
        is_canonical::<Event>(&frame);
    }
}

/// The frames of a stream that comes in such steps, and whether it can be read to its end.
fn cut(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Frames::default();
    let mut all = Vec::new();
    for mut left in stream.chunks(step) {
        while !left.is_empty() {
            let room = frames.room();
            let taken = room.len().min(left.len());
            room[..taken].copy_from_slice(&left[..taken]);
            frames.filled(taken);
            left = &left[taken..];
            loop {
                match frames.next_frame() {
                    Ok(Some(frame)) => all.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(fault) => {
                        assert!(fault.to_string().contains("longer than"));
                        return (all, false);
                    }
                }
            }
        }
    }
    (all, true)
}

fn is_canonical<T: Wire + std::fmt::Debug>(octets: &[u8]) {
    match Reader::whole::<T>(octets) {
        Ok(value) => {
            let mut out = Writer::default();
            value.put(&mut out);
            assert_eq!(out.octets(), octets, "{value:?}");
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}
