//! The socket between daemon and relay: whatever comes is refused in words, or is exactly what would have been
//! written for what it means; and how it is cut on its way changes nothing.
//!
//! The first octet says in steps of how many the rest comes, the rest is a stream of frames.

use media_api::wire::{Frames, Reader, Wire, Writer};
use media_api::{Command, Event};
use media_relay::Said;

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
        for said in SAID {
            match said.again(&frame) {
                Ok(again) => assert_eq!(again, frame, "{said:?}"),
                Err(why) => assert!(!why.is_empty()),
            }
        }
    }
}

/// What is private to the two sides.
const SAID: [Said; 5] = [
    Said::Greeting,
    Said::Realms,
    Said::Verdict,
    Said::ToHost,
    Said::ToDaemon,
];

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// A part that comes or moves makes nonsense of a seed, and nobody would notice.
    #[test]
    fn seeds_still_mean_something() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/media_wire");
        for name in [
            "allocate",
            "answer",
            "events",
            "judged",
            "play",
            "realms",
            "recordings",
            "report",
            "verdicts",
        ] {
            let data = fs::read(folder.join(name)).unwrap();
            let (frames, is_whole) = cut(&data[1..], data.len());
            assert!(is_whole && !frames.is_empty(), "{name}");
            for frame in frames {
                let is_known = Reader::whole::<Command>(&frame).is_ok()
                    || Reader::whole::<Event>(&frame).is_ok()
                    || SAID.iter().any(|said| said.again(&frame).is_ok());
                assert!(is_known, "{name}: {frame:02x?}");
            }
        }
    }
}
