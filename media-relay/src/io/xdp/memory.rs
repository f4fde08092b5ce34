//! Memory that is shared with the kernel.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A mapping that is readable and writable until it is dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// JUSTIFICATION: mappings are made where workers are started, and used on their threads.
// SAFETY: a mapping belongs to the process, not to a thread; it hands out atomics and raw pointers, and who
// uses the latter answers for it.
unsafe impl Send for Mapping {}
// JUSTIFICATION: all workers have the frames and the ports in common.
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Fresh memory of our own.
    pub(super) fn anonymous(bytes: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        Self::new(bytes, flags, -1, 0)
    }

    /// What a descriptor shows at an offset.
    pub(super) fn of(descriptor: &OwnedFd, bytes: usize, offset: u64) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        Self::new(bytes, flags, descriptor.as_raw_fd(), offset)
    }

    fn new(bytes: usize, flags: i32, descriptor: i32, offset: libc::off_t) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // JUSTIFICATION: rings, frames and ports are mappings by their nature; no safe wrapper exists.
        // SAFETY: the kernel chooses the place, so nothing that exists is replaced.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, descriptor, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, bytes })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where an array of so many `T` is.
    ///
    /// # Panics
    /// If it does not lie in the mapping, or not at a place for its kind.
    pub(super) fn array<T>(&self, offset: u64, entries: usize) -> *mut T {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = offset.saturating_add(entries.saturating_mul(size_of::<T>()));
        assert!(end <= self.bytes && offset.is_multiple_of(align_of::<T>()));
        self.start.as_ptr().wrapping_add(offset).cast()
    }

    /// A number that the kernel, or another thread, also reads or writes.
    ///
    /// # Panics
    /// As above.
    pub(super) fn number(&self, offset: u64) -> &AtomicU32 {
        let place: *mut u32 = self.array(offset, 1);
        // JUSTIFICATION: what the kernel changes beside us has to be an atomic.
        // SAFETY: it lies in the mapping at a multiple of four, and lives as long as `self`; nobody uses
        // it in another way.
        unsafe { AtomicU32::from_ptr(place) }
    }

    /// The same of a wider one.
    ///
    /// # Panics
    /// As above.
    pub(super) fn wide_number(&self, offset: u64) -> &AtomicU64 {
        let place: *mut u64 = self.array(offset, 1);
        // JUSTIFICATION: what the kernel changes beside us has to be an atomic.
        // SAFETY: it lies in the mapping at a multiple of eight, and lives as long as `self`; nobody uses
        // it in another way.
        unsafe { AtomicU64::from_ptr(place) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // JUSTIFICATION: the counterpart of the call that made it.
        // SAFETY: nothing borrowed from it is alive, and whoever took a pointer holds the mapping beside it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
