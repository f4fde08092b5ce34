//! Rings between an AF_XDP socket and the kernel: one side puts, the other takes.
//!
//! Positions count up for ever and wrap; the lower bits say where in the ring. What is put or taken
//! becomes known to the kernel in one step with `publish` and `release`.

use super::memory::Mapping;
use rustix::net::xdp::XdpRingOffset;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// What a ring holds: a descriptor of a packet, or the place of a frame.
pub(super) trait Entry: Copy {}

/// A packet in a frame, in the kernel's layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(super) struct Packet {
    /// Where it begins, from the start of all frames.
    pub(super) place: u64,
    pub(super) length: u32,
    pub(super) options: u32,
}

impl Entry for Packet {}
impl Entry for u64 {}

/// One ring, seen from its end.
#[derive(Debug)]
struct Ring<T> {
    mapping: Mapping,
    offsets: XdpRingOffset,
    entries: *mut T,
    mask: u32,
    /// Where we are, and where the other side was when we last looked.
    ours: u32,
    theirs: u32,
}

// JUSTIFICATION: rings are made where workers are started, and moved to their threads once.
// SAFETY: the pointer leads into the mapping beside it, which may be used from any thread; one thread at a
// time has the ring, as all that moves it takes it by `&mut`.
unsafe impl<T: Entry> Send for Ring<T> {}

impl<T: Entry> Ring<T> {
    fn new(
        socket: &OwnedFd,
        page_offset: u64,
        offsets: XdpRingOffset,
        entries: u32,
    ) -> io::Result<Self> {
        let room = entries as usize * size_of::<T>();
        let mapping = Mapping::of(socket, offsets.desc as usize + room, page_offset)?;
        Ok(Self {
            entries: mapping.array(offsets.desc, entries as usize),
            mapping,
            offsets,
            mask: entries - 1,
            ours: 0,
            theirs: 0,
        })
    }

    fn producer(&self) -> &AtomicU32 {
        self.mapping.number(self.offsets.producer)
    }

    fn consumer(&self) -> &AtomicU32 {
        self.mapping.number(self.offsets.consumer)
    }

    fn entry(&self) -> *mut T {
        self.entries.wrapping_add((self.ours & self.mask) as usize)
    }
}

/// A ring from which we take.
#[derive(Debug)]
pub(super) struct Incoming<T>(Ring<T>);

impl<T: Entry> Incoming<T> {
    pub(super) fn new(
        socket: &OwnedFd,
        page_offset: u64,
        offsets: XdpRingOffset,
        entries: u32,
    ) -> io::Result<Self> {
        Ring::new(socket, page_offset, offsets, entries).map(Self)
    }

    /// The next entry, if there is one.
    pub(super) fn take(&mut self) -> Option<T> {
        let ring = &mut self.0;
        if ring.ours == ring.theirs {
            // Ordering: what the kernel wrote before it moved on is seen with it.
            ring.theirs = ring.producer().load(Ordering::Acquire);
            if ring.ours == ring.theirs {
                return None;
            }
        }
        // JUSTIFICATION: the ring is memory that the kernel wrote.
        // SAFETY: the masked position lies in the ring, whose entries are plain numbers, and the kernel does
        // not touch one that it has given until it is released.
        let entry = unsafe { ring.entry().read_volatile() };
        ring.ours = ring.ours.wrapping_add(1);
        Some(entry)
    }

    /// Gives the places of what was taken back to the kernel.
    pub(super) fn release(&mut self) {
        // Ordering: our reads are over before the kernel may write there again.
        self.0.consumer().store(self.0.ours, Ordering::Release);
    }
}

/// A ring into which we put.
#[derive(Debug)]
pub(super) struct Outgoing<T>(Ring<T>);

impl<T: Entry> Outgoing<T> {
    pub(super) fn new(
        socket: &OwnedFd,
        page_offset: u64,
        offsets: XdpRingOffset,
        entries: u32,
    ) -> io::Result<Self> {
        Ring::new(socket, page_offset, offsets, entries).map(Self)
    }

    /// How many entries there is room for.
    pub(super) fn room(&mut self) -> u32 {
        let ring = &mut self.0;
        // Ordering: what the kernel read is read before we write over it.
        ring.theirs = ring.consumer().load(Ordering::Acquire);
        (ring.mask + 1).saturating_sub(ring.ours.wrapping_sub(ring.theirs))
    }

    /// Puts an entry; tells whether there was room.
    pub(super) fn put(&mut self, entry: T) -> bool {
        if self.0.ours.wrapping_sub(self.0.theirs) > self.0.mask && self.room() == 0 {
            return false;
        }
        let ring = &mut self.0;
        // JUSTIFICATION: the ring is memory that the kernel reads.
        // SAFETY: the masked position lies in the ring, and there is room, so the kernel does not read it
        // before we publish.
        unsafe { ring.entry().write_volatile(entry) };
        ring.ours = ring.ours.wrapping_add(1);
        true
    }

    /// Tells the kernel of what was put.
    pub(super) fn publish(&mut self) {
        // Ordering: entries are written before the kernel sees that they are there.
        self.0.producer().store(self.0.ours, Ordering::Release);
    }

    /// How much waits for the kernel.
    pub(super) fn waiting(&self) -> u32 {
        let taken = self.0.consumer().load(Ordering::Acquire);
        self.0.ours.wrapping_sub(taken)
    }

    /// Whether the kernel sleeps until it is called.
    pub(super) fn needs_wakeup(&self) -> bool {
        // Ordering: the kernel looks for entries after it has said that it sleeps; we say that there are
        // some before we look whether it does.
        fence(Ordering::SeqCst);
        let flags = self.0.offsets.flags.map(|at| self.0.mapping.number(at));
        flags.is_none_or(|flags| flags.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0)
    }
}
