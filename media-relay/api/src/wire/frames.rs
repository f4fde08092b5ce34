//! Cuts a stream of octets into frames: four octets of length, then the value.

use super::WireFault;
use zeroize::Zeroize;

/// Most octets of a frame behind its length: more than the figures of the largest session.
pub const MAX_FRAME: u32 = 1 << 20;

/// Octets of the length.
const LENGTH: usize = 4;

/// A stream that is being read. What it has held is zeroised.
#[derive(Debug, Default)]
pub struct Frames {
    held: Vec<u8>,
    /// Where the first frame that was not given yet begins.
    begin: usize,
    /// Where what was read ends.
    end: usize,
}

impl Frames {
    /// Room for what is read next, never empty; [`Self::filled`] says how much of it has come.
    pub fn room(&mut self) -> &mut [u8] {
        const LEAST: usize = 16 * 1024;
        if self.begin == self.end {
            self.held[..self.end].zeroize();
            (self.begin, self.end) = (0, 0);
        }
        if self.held.len() - self.end < LEAST {
            let left = self.end - self.begin;
            let mut wider = vec![0; (left + LEAST).next_power_of_two().max(4 * LEAST)];
            wider[..left].copy_from_slice(&self.held[self.begin..self.end]);
            self.held.zeroize();
            (self.held, self.begin, self.end) = (wider, 0, left);
        }
        &mut self.held[self.end..]
    }

    /// So many octets of the room were filled.
    pub fn filled(&mut self, octets: usize) {
        self.end = (self.end + octets).min(self.held.len());
    }

    /// The next whole frame, without its length; `None` if more has to be read.
    ///
    /// # Errors
    /// [`WireFault::Long`] when it could never be whole. Nothing can be read behind it.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, WireFault> {
        let held = &self.held[self.begin..self.end];
        let Some((length, rest)) = held.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let octets = u32::from_le_bytes(*length);
        if octets > MAX_FRAME {
            return Err(WireFault::Long { octets });
        }
        let octets = octets as usize;
        if rest.len() < octets {
            return Ok(None);
        }
        let at = self.begin + LENGTH;
        self.begin = at + octets;
        Ok(Some(&self.held[at..at + octets]))
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.held.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Writer;
    use super::*;

    fn feed(frames: &mut Frames, octets: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut left = octets;
        while !left.is_empty() {
            let room = frames.room();
            let taken = room.len().min(left.len());
            room[..taken].copy_from_slice(&left[..taken]);
            frames.filled(taken);
            left = &left[taken..];
            while let Some(frame) = frames.next_frame().unwrap() {
                all.push(frame.to_vec());
            }
        }
        all
    }

    #[test]
    fn frames_are_the_same_however_their_octets_come() {
        let mut out = Writer::default();
        let texts = ["", "a", &"b".repeat(70_000), "c"].map(str::to_owned);
        texts.iter().for_each(|text| out.frame(text));
        let wanted: Vec<Vec<u8>> = texts
            .iter()
            .map(|text| {
                let mut own = Writer::default();
                crate::wire::Wire::put(text, &mut own);
                own.octets().to_vec()
            })
            .collect();
        for step in [1, 3, 5_000, 1 << 20] {
            let mut frames = Frames::default();
            let chunks = out.octets().chunks(step);
            let all: Vec<Vec<u8>> = chunks.flat_map(|chunk| feed(&mut frames, chunk)).collect();
            assert_eq!(all, wanted, "in steps of {step}");
        }
    }

    #[test]
    fn a_length_that_no_frame_has_is_refused_before_anything_is_kept_for_it() {
        let mut frames = Frames::default();
        frames.room()[..4].copy_from_slice(&(MAX_FRAME + 1).to_le_bytes());
        frames.filled(4);
        let wanted = WireFault::Long {
            octets: MAX_FRAME + 1,
        };
        assert_eq!(frames.next_frame(), Err(wanted));
        assert!(frames.held.len() < 1 << 17);
    }
}
