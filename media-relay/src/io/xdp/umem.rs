//! Frames: one stretch of memory for all packets, from receive to send.
//!
//! A [`Frame`] is held by one owner at a time: by who has the value, or by the kernel while its place is
//! in a ring. So whoever has it may write to it.

use super::memory::Mapping;
use std::io;

/// Bytes of a frame. The kernel keeps the first 256 free when it receives, then comes a packet of at most
/// 1,514; what is left is more than any protection adds.
pub(super) const FRAME_BYTES: usize = 2048;

/// A frame that is ours at the moment.
#[derive(Debug)]
pub(super) struct Frame(u32);

/// All frames.
#[derive(Debug)]
pub(super) struct Umem {
    memory: Mapping,
    frames: u32,
}

impl Umem {
    /// Makes so many frames; all of them are returned beside the memory.
    pub(super) fn new(frames: u32) -> io::Result<(Self, Vec<Frame>)> {
        let memory = Mapping::anonymous(frames as usize * FRAME_BYTES)?;
        Ok((Self { memory, frames }, (0..frames).map(Frame).collect()))
    }

    /// Where they begin, and how many bytes they have.
    pub(super) fn extent(&self) -> (u64, u64) {
        let start: *mut u8 = self.memory.array(0, 0);
        (start as usize as u64, self.memory.bytes() as u64)
    }

    /// The frame that the kernel gives back by naming a place in it.
    ///
    /// The kernel owns what is in its rings and names each once; a name that cannot be is nobody's.
    pub(super) fn taken_back(&self, place: u64) -> Option<Frame> {
        let number = u32::try_from(place / FRAME_BYTES as u64).ok()?;
        (number < self.frames).then_some(Frame(number))
    }

    /// The bytes of a frame.
    pub(super) fn bytes<'a>(&'a self, frame: &'a mut Frame) -> &'a mut [u8] {
        let start = self.memory.array(frame.place(), FRAME_BYTES);
        // JUSTIFICATION: packets are changed where the kernel wrote them; to copy them costs more than all
        // that is done to them.
        // SAFETY: the range lies in the memory, which lives as long as `self`. There is one `Frame` of each
        // number and it is borrowed mutably; while the kernel has the frame there is none.
        unsafe { std::slice::from_raw_parts_mut(start, FRAME_BYTES) }
    }
}

impl Frame {
    /// Where it begins, from the start of all frames.
    pub(super) fn place(&self) -> u64 {
        u64::from(self.0) * FRAME_BYTES as u64
    }
}
