//! Who has the processor first: threads that forward, then all others of the process, then those that transcode (FM-10).
//!
//! To the kernel a thread is a process of its own in this. Where the system does not let a thread have more than others
//! (`LimitNICE=` of the unit, a sandbox) it has as much as they, which is no fault.

use rustix::process::{getpriority_process, setpriority_process};

/// How much nicer than others a thread is that forwards.
const FORWARDING: i32 = -5;
/// The same of one that transcodes: that may be late, but must not make others late.
const TRANSCODING: i32 = 5;

/// This thread forwards.
pub(crate) fn forward() {
    change(FORWARDING);
}

/// This thread transcodes.
pub(crate) fn transcode() {
    change(TRANSCODING);
}

fn change(by: i32) {
    if let Ok(own) = getpriority_process(None) {
        let _ = setpriority_process(None, (own + by).clamp(-20, 19));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How nice a thread is before and after.
    fn within_a_thread(what: impl FnOnce() + Send + 'static) -> (i32, i32) {
        let thread = std::thread::spawn(|| {
            let before = getpriority_process(None).unwrap();
            what();
            (before, getpriority_process(None).unwrap())
        });
        thread.join().unwrap()
    }

    #[test]
    fn a_thread_that_forwards_comes_first_where_that_is_allowed_and_one_that_transcodes_last() {
        let (own, may) = within_a_thread(|| {
            let own = getpriority_process(None).unwrap();
            let _ = setpriority_process(None, (own - 5).max(-20));
        });
        assert_eq!(within_a_thread(forward), (own, may));
        assert_eq!(within_a_thread(transcode), (own, (own + 5).min(19)));
        assert_eq!(getpriority_process(None).unwrap(), own, "no other thread");
    }
}
