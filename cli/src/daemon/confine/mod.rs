//! What the daemon takes from itself once it knows its configuration (SEC-141), so that whoever takes it over gets little:
//! files that it has no business with (`files`), and calls of the kernel that it never needs (`calls`).
//!
//! Both hold for the thread that asks for them and for those that it starts afterwards, so they are asked for while there is
//! no other, and are not taken back before the process ends. The unit's sandbox is the first line, and this the second: it is
//! there as well in a container, under another manager, and where somebody has relaxed the unit.
//!
//! A configuration that comes later may name what was not foreseen. The system's configuration, and the folder of every file
//! that was named at the start, stay readable, so that renewals and new files beside old ones need nothing. All else is a
//! finding that says to restart.

mod calls;
mod files;

use crate::daemon::Options;
use crate::sink::log::Log;
use sbc_core::config::{AcmeProof, Confinement, Loaded, MediaBackend};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

/// Of this process; it is decided once.
static IN_FORCE: OnceLock<InForce> = OnceLock::new();

/// So many links are followed from a name to its file.
const MOST_LINKS: usize = 16;

/// Where the system's own configuration is, and what it leads to: the resolver's files, users, and authorities of the web.
const SYSTEM: [&str; 5] = [
    "/etc",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    // What the C library loads when it is needed.
    "/usr/lib",
    "/lib",
];
/// What the kernel says of itself and of this process, and its random numbers.
const KERNEL: [&str; 4] = ["/proc", "/sys", "/dev/urandom", "/dev/random"];
/// Files of the system that another one writes, often behind a link.
const LINKED: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// What a process needs, and what of the rest is taken from it.
#[derive(Debug)]
pub struct Plan {
    wish: Confinement,
    /// Folders and files that are read.
    read: BTreeSet<PathBuf>,
    /// Folders in which files are made, changed and removed.
    written: BTreeSet<PathBuf>,
    /// Folders that are removed themselves.
    removed: Option<PathBuf>,
    /// Whether programs are run, which read what they need.
    runs_programs: bool,
    /// Whether programs are loaded into the kernel, to pass media by it.
    loads_into_kernel: bool,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// As it is meant.
    Whole,
    /// As far as this kernel can.
    Partly,
    /// Told to the kernel's log, and let through.
    Logged,
    /// Nothing is taken.
    Open,
}

impl Held {
    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "confined",
            Self::Partly => "partly",
            Self::Logged => "logged",
            Self::Open => "open",
        }
    }
}

/// What holds for this process.
#[derive(Debug)]
pub struct InForce {
    /// Files.
    pub files: Held,
    /// Calls of the kernel.
    pub calls: Held,
    /// Why one of them is not as it was meant.
    pub because: Vec<String>,
    /// As the kernel knows them: no links are left in them.
    read: Vec<PathBuf>,
    written: Vec<PathBuf>,
    runs_programs: bool,
    loads_into_kernel: bool,
}

/// What holds for this process, if that was decided.
pub fn in_force() -> Option<&'static InForce> {
    IN_FORCE.get()
}

thread_local! {
    /// What is read on this thread, while somebody wants to know.
    static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

/// What was needed while a configuration was loaded.
#[derive(Default)]
pub struct Noted {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

/// Does something on this thread, and says which files and folders it asked for.
pub fn noting<T>(work: impl FnOnce() -> T) -> (T, Noted) {
    NOTED.set(Some(Noted::default()));
    let done = work();
    (done, NOTED.take().unwrap_or_default())
}

/// Notes a file that is read, if somebody wants to know.
pub fn note_file(path: &Path) {
    NOTED.with_borrow_mut(|noted| {
        if let Some(noted) = noted {
            noted.files.insert(path.to_owned());
        }
    });
}

/// Notes a folder that is written to, if somebody wants to know.
pub fn note_folder(path: &Path) {
    NOTED.with_borrow_mut(|noted| {
        if let Some(noted) = noted {
            noted.folders.insert(path.to_owned());
        }
    });
}

/// Where files to play may lie: everywhere but among those of the system.
fn places_of_sounds() -> Vec<PathBuf> {
    let all = std::fs::read_dir("/").into_iter().flatten().flatten();
    all.map(|one| one.path())
        .filter(|path| {
            !["/etc", "/proc", "/sys", "/dev", "/boot"]
                .iter()
                .any(|own| path == Path::new(own))
        })
        .collect()
}

impl Plan {
    /// What a daemon needs that was started with these options, has this configuration, and has read and asked for this
    /// while it was loaded. The folder of a holder is removed at the end.
    pub fn of(options: &Options, loaded: &Loaded, noted: Noted, holder: Option<&Path>) -> Self {
        let mut plan = Self::with(loaded.shell.confinement);
        plan.reads_file(&options.config);
        let beside = options.config.parent().unwrap_or(Path::new(""));
        plan.read.insert(beside.join("conf.d"));
        for file in &noted.files {
            plan.reads_file(file);
        }
        plan.written.extend(noted.folders);
        plan.written.extend(options.state.clone());
        let socket = Path::new(&loaded.shell.api);
        plan.written.extend(socket.parent().map(Path::to_owned));
        if let Some(folder) = holder {
            plan.written.insert(folder.to_owned());
            plan.removed = Some(folder.to_owned());
        }
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        plan.read.extend(credentials.map(PathBuf::from));
        plan.runs_programs = runs_programs(loaded);
        plan.loads_into_kernel = loads_into_kernel(loaded);
        plan
    }

    /// What a media relay needs that is a process of its own: where its socket is, if it has one, and nothing that belongs
    /// to a daemon. Without a socket a SIP proxy names files to play, which lie where its operator likes. Programs are loaded
    /// into the kernel where media may pass by it.
    pub fn of_relay(wish: Confinement, socket: Option<&Path>, loads_into_kernel: bool) -> Self {
        let mut plan = Self::with(wish);
        // It looks no name up, and keys of its user are none of its business.
        plan.read.retain(|path| !path.starts_with("/etc"));
        let here = |folder: &Path| match folder.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => folder.to_owned(),
        };
        plan.written.extend(socket.and_then(Path::parent).map(here));
        plan.loads_into_kernel = loads_into_kernel;
        if socket.is_none() {
            plan.read.extend(places_of_sounds());
        }
        plan
    }

    /// What every process needs.
    fn with(wish: Confinement) -> Self {
        let mut plan = Self {
            wish,
            read: SYSTEM
                .into_iter()
                .chain(KERNEL)
                .map(PathBuf::from)
                .collect(),
            written: BTreeSet::new(),
            removed: None,
            runs_programs: false,
            loads_into_kernel: false,
        };
        for file in LINKED {
            plan.reads_file(Path::new(file));
        }
        // For whoever wants to know where in it something went wrong.
        plan.read.extend(std::env::current_exe());
        // A program that counts what it passes writes that down at its end (.ci/train).
        if option_env!("CAUSEWAY_COUNTED").is_some() {
            let counts = std::env::var_os("LLVM_PROFILE_FILE").map(PathBuf::from);
            plan.written
                .extend(counts.and_then(|file| file.parent().map(Path::to_owned)));
        }
        plan
    }

    /// A file is read, and so is whatever takes its place: its folder, and those of what it links to.
    fn reads_file(&mut self, path: &Path) {
        let mut at = path.to_owned();
        for _ in 0..MOST_LINKS {
            let folder = match at.parent() {
                Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
                Some(folder) => folder.to_owned(),
                None => return,
            };
            match is_everything(&folder) {
                true => self.read.insert(at.clone()),
                false => self.read.insert(folder.clone()),
            };
            match std::fs::read_link(&at) {
                Ok(to) => at = folder.join(to),
                Err(_) => return,
            }
        }
    }

    /// As [`Self::hold`], and has it logged.
    pub fn apply(self, log: &Log) {
        let wish = self.wish;
        if wish == Confinement::On {
            // Rules are for what is there; the daemon would make it in a moment.
            for folder in &self.written {
                let _ = std::fs::create_dir_all(folder);
            }
        }
        let in_force = self.hold();
        let text = match in_force.because.is_empty() {
            true => "the daemon has taken from itself what it does not need",
            false => {
                "the daemon is not confined as it was meant; a newer kernel, or another container runtime, can do it"
            }
        };
        let line = match (wish, in_force.because.is_empty()) {
            (Confinement::Off, _) => log.info("confinement", "switched off by [security]"),
            (_, true) => log.info("confinement", text),
            (_, false) => log.warn("confinement", text),
        };
        line.with("files", in_force.files.as_str())
            .with("calls", in_force.calls.as_str())
            .with("because", in_force.because.join("; "))
            .send();
    }

    /// Takes all else from this thread, and from those that it starts: once for a process. Says what came of it.
    pub fn hold(self) -> &'static InForce {
        let mut in_force = InForce {
            files: Held::Open,
            calls: Held::Open,
            because: Vec::new(),
            read: Vec::new(),
            written: Vec::new(),
            runs_programs: self.runs_programs,
            loads_into_kernel: self.loads_into_kernel,
        };
        if self.wish == Confinement::On {
            match files::confine(&self) {
                Ok(held) => {
                    in_force.files = held;
                    in_force.read = self.read.iter().flat_map(|at| at.canonicalize()).collect();
                    let written = self.written.iter();
                    in_force.written = written.flat_map(|at| at.canonicalize()).collect();
                    if held == Held::Partly {
                        let why = "this kernel knows only some of what is asked of it about files";
                        in_force.because.push(why.to_owned());
                    }
                }
                Err(why) => in_force.because.push(format!("files: {why}")),
            }
        }
        if self.wish != Confinement::Off {
            match calls::refuse(&self) {
                Ok(held) => in_force.calls = held,
                Err(why) => in_force.because.push(format!("calls of the kernel: {why}")),
            }
        }
        IN_FORCE.get_or_init(|| in_force)
    }
}

impl InForce {
    /// Why this file cannot be read by this process, if that is of its own making.
    pub fn hides(&self, path: &Path) -> Option<String> {
        let all = self.read.iter().chain(&self.written);
        (self.is_confined() && !self.runs_programs && !lies_in(path, all))
            .then(|| Outside.to_string())
    }

    /// Why nothing can be written to this folder by this process, if that is of its own making.
    pub fn protects(&self, folder: &Path) -> Option<String> {
        (self.is_confined() && !lies_in(folder, self.written.iter())).then(|| Outside.to_string())
    }

    fn is_confined(&self) -> bool {
        matches!(self.files, Held::Whole | Held::Partly)
    }

    /// What this configuration needs that was taken from the process, in words that a restart follows.
    pub fn lacks(&self, loaded: &Loaded) -> Option<&'static str> {
        let is_refused = self.calls == Held::Whole;
        if runs_programs(loaded) && !self.runs_programs && (is_refused || self.is_confined()) {
            return Some("a hook in [acme], after a start at which no program was to be run,");
        }
        if loads_into_kernel(loaded) && !self.loads_into_kernel && is_refused {
            return Some("media past the kernel, after a start without any,");
        }
        None
    }
}

/// What findings say of a place that was not foreseen.
struct Outside;

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the daemon confined itself at its start to the folders that it was told of then, and this is in none of them: \
             restart it, or put it into one of those",
        )
    }
}

/// Whether a path, or the nearest folder above it that is there, lies within one of these.
fn lies_in<'p>(path: &Path, all: impl Iterator<Item = &'p PathBuf>) -> bool {
    let there = path
        .ancestors()
        .find_map(|at| match at.as_os_str().is_empty() {
            true => Path::new(".").canonicalize().ok(),
            false => at.canonicalize().ok(),
        });
    let mut all = all;
    there.is_some_and(|there| all.any(|own| there.starts_with(own)))
}

/// Whether a folder holds everything there is.
fn is_everything(folder: &Path) -> bool {
    let mut parts = folder.components();
    parts.next() == Some(Component::RootDir) && parts.next().is_none()
}

fn runs_programs(loaded: &Loaded) -> bool {
    let account = loaded.shell.acme.as_ref();
    account.is_some_and(|account| matches!(account.proof, AcmeProof::Dns { .. }))
}

/// The relay of the daemon does; one in a process of its own has its own rights.
fn loads_into_kernel(loaded: &Loaded) -> bool {
    let mut realms = loaded.config.realms.values();
    let is_wanted = realms.any(|realm| realm.media_backend != MediaBackend::Socket);
    is_wanted && loaded.shell.relay.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_read_with_whatever_takes_its_place_and_what_it_links_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("live/sbc")).unwrap();
        fs::create_dir_all(at("archive/sbc")).unwrap();
        fs::write(at("archive/sbc/cert1.pem"), "x").unwrap();
        symlink("../../archive/sbc/cert1.pem", at("live/sbc/cert.pem")).unwrap();
        let mut plan = Plan::with(Confinement::On);
        plan.reads_file(&at("live/sbc/cert.pem"));
        plan.reads_file(Path::new("/cert.pem"));
        plan.reads_file(Path::new("cert.pem"));
        let read: Vec<_> = plan.read.iter().flat_map(|at| at.canonicalize()).collect();
        let root = folder.path().canonicalize().unwrap();
        for wanted in ["live/sbc", "archive/sbc"] {
            assert!(read.contains(&root.join(wanted)), "{wanted}: {read:?}");
        }
        assert!(read.contains(&Path::new(".").canonicalize().unwrap()));
        assert!(plan.read.contains(Path::new("/cert.pem")));
        assert!(
            !read.contains(&PathBuf::from("/")) && !read.contains(&root),
            "{read:?}"
        );
    }

    #[test]
    fn a_link_to_itself_ends() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("loop");
        symlink(&own, &own).unwrap();
        Plan::with(Confinement::On).reads_file(&own);
    }

    #[test]
    fn what_is_asked_for_is_noted_only_while_somebody_wants_to_know() {
        note_file(Path::new("/a"));
        let ((), noted) = noting(|| {
            note_file(Path::new("/b"));
            note_folder(Path::new("/c"));
        });
        note_file(Path::new("/d"));
        let paths = |all: BTreeSet<PathBuf>| all.into_iter().collect::<Vec<_>>();
        assert_eq!(paths(noted.files), [Path::new("/b")]);
        assert_eq!(paths(noted.folders), [Path::new("/c")]);
    }

    #[test]
    fn what_is_not_there_yet_lies_where_its_folder_does() {
        let folder = tempfile::tempdir().unwrap();
        let all = [folder.path().canonicalize().unwrap()];
        let lies = |path: &Path| lies_in(path, all.iter());
        assert!(lies(&folder.path().join("new/cdr")) && lies(folder.path()));
        let beside = format!("{}-beside", folder.path().display());
        assert!(!lies(Path::new(&beside)) && !lies(Path::new("/etc/passwd")));
    }
}
