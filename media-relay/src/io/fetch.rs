//! Has the processor fetch what will be read soon: where it lies is known before its turn comes, and what many packets
//! wait for from memory one after the other comes for all of them together.
//!
//! Nothing depends on it but time, and elsewhere than on x86-64 it does nothing.

const LINE_BYTES: usize = 64;

/// A value.
#[inline]
pub(crate) fn whole<T>(value: &T) {
    span(std::ptr::from_ref(value).cast(), size_of::<T>());
}

/// The first of some values.
#[inline]
pub(crate) fn first<T>(values: &[T]) {
    if let Some(value) = values.first() {
        whole(value);
    }
}

/// So many octets, whatever is there.
#[inline]
pub(crate) fn span(start: *const u8, octets: usize) {
    for at in (0..octets).step_by(LINE_BYTES) {
        line(start.wrapping_add(at));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // JUSTIFICATION: std has no other way to ask for it.
    // SAFETY: nothing is read or written; an address that is none of ours has no effect.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn line(_: *const u8) {}
