//! Interrupts that an interface defers, so that a wake-up serves several packets.
//!
//! To be woken costs more than what is done for a packet, twice: the kernel's receiver is woken, and it wakes the
//! worker. So an interface looks again by itself a fixed time after it had packets, and is silent until it finds none.
//! The first packet after a pause comes at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How long it is silent, in nanoseconds: so much is added to a packet's delay at most.
const SILENT_NS: u64 = 150_000;
/// How often it looks in vain before it is woken by interrupts again.
const IN_VAIN: u64 = 1;

/// Where an interface says such things.
pub(super) fn folder(interface: &str) -> PathBuf {
    Path::new("/sys/class/net").join(interface)
}

/// An interface that defers its interrupts, until this value goes.
#[derive(Debug)]
pub(super) struct Moderation {
    /// Files of the interface, and what was in them.
    former: Vec<(PathBuf, String)>,
}

impl Moderation {
    /// Has an interface defer its interrupts, unless an administrator has said how.
    ///
    /// # Errors
    /// Why it does not: a driver that cannot, files that are not ours to write, or what an administrator has said,
    /// where that defers nothing.
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        let wanted = [
            (folder.join("gro_flush_timeout"), SILENT_NS),
            (folder.join("napi_defer_hard_irqs"), IN_VAIN),
        ];
        let (mut former, mut own, mut none) = (Vec::new(), 0, 0);
        for (file, value) in &wanted {
            let was = fs::read_to_string(file)?;
            own += usize::from(was.trim() == value.to_string());
            none += usize::from(was.trim() == "0");
            former.push((file.clone(), was));
        }
        match (own, none) {
            // Exactly our own is what a process has left that was killed: it was nothing before.
            (2, _) => {
                for (_, was) in &mut former {
                    "0".clone_into(was);
                }
            }
            (_, 2) => {}
            (_, 0) => return Ok(Self { former: Vec::new() }),
            (..) => {
                let (timeout, defers) = (wanted[0].0.display(), wanted[1].0.display());
                return Err(io::Error::other(format!(
                    "{timeout} and {defers}: one of them is 0, so nothing is deferred; write both or none"
                )));
            }
        }
        let moderation = Self { former };
        for (file, value) in wanted {
            // What was written is taken back if the next cannot be.
            fs::write(file, value.to_string())?;
        }
        Ok(moderation)
    }
}

impl Drop for Moderation {
    fn drop(&mut self) {
        for (file, value) in self.former.drain(..) {
            // The interface may be gone.
            let _ = fs::write(file, value.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as an interface has it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, timeout: &str, defers: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("gro_flush_timeout"), timeout).unwrap();
            fs::write(folder.join("napi_defer_hard_irqs"), defers).unwrap();
            Self(folder)
        }

        fn values(&self) -> [String; 2] {
            let read = |name| fs::read_to_string(self.0.join(name)).unwrap();
            let values = ["gro_flush_timeout", "napi_defer_hard_irqs"].map(read);
            values.map(|value| value.trim().to_owned())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn interrupts_are_deferred_as_long_as_it_lasts() {
        let folder = Folder::new("moderation-lasts", "0\n", "0\n");
        let moderation = Moderation::begin(&folder.0).unwrap();
        assert_eq!(folder.values(), ["150000", "1"]);
        drop(moderation);
        assert_eq!(folder.values(), ["0", "0"]);
    }

    #[test]
    fn what_an_administrator_has_said_stays() {
        let folder = Folder::new("moderation-stays", "20000\n", "2\n");
        drop(Moderation::begin(&folder.0).unwrap());
        assert_eq!(folder.values(), ["20000", "2"]);
    }

    #[test]
    fn what_a_killed_process_has_left_is_taken_back() {
        let folder = Folder::new("moderation-left", "150000\n", "1\n");
        drop(Moderation::begin(&folder.0).unwrap());
        assert_eq!(folder.values(), ["0", "0"]);
        // By one nanosecond an administrator's.
        let folder = Folder::new("moderation-like", "150001\n", "1\n");
        drop(Moderation::begin(&folder.0).unwrap());
        assert_eq!(folder.values(), ["150001", "1"]);
    }

    #[test]
    fn half_of_what_defers_is_none_and_stays() {
        for (name, timeout, defers) in [
            ("moderation-half-a", "20000", "0"),
            ("moderation-half-b", "0", "2"),
        ] {
            let folder = Folder::new(name, timeout, defers);
            assert!(Moderation::begin(&folder.0).is_err());
            assert_eq!(folder.values(), [timeout, defers]);
        }
    }

    #[test]
    fn an_interface_that_cannot_is_told() {
        let folder = Folder::new("moderation-cannot", "0\n", "0\n");
        fs::remove_file(folder.0.join("napi_defer_hard_irqs")).unwrap();
        assert!(Moderation::begin(&folder.0).is_err());
        fs::write(folder.0.join("napi_defer_hard_irqs"), "0").unwrap();
        assert_eq!(folder.values(), ["0", "0"]);
    }
}
