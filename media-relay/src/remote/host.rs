//! The side of the relay: listens on the socket, and runs a relay for whoever is welcome.

use super::form::digest_of;
use super::message::{Form, Hello, Report, ToDaemon, ToHost, Verdict};
use super::queue::{MOST, Queue};
use super::waiting::{Estate, Keepsakes, Outlet, WaitingRoom};
use crate::control::realm::Realm;
use crate::control::totals::RelayTotals;
use crate::control::{EventSink, Relay, RelayConfig};
use crate::entropy::Entropy;
use crate::io::peer::peer;
use crate::sound::Recordings;
use media_api::SoundId;
use media_api::wire::{Frames, Reader, Writer};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How long a greeting may take.
const GREETING: Duration = Duration::from_secs(5);
/// How long a daemon may read nothing of what it is told, before its sessions are given up.
const UNHEARD: Duration = Duration::from_secs(10);
/// How often it is said how the relay does.
const REPORT: Duration = Duration::from_millis(500);

/// What a host is told.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Media threads of a relay.
    pub workers: usize,
    /// See [`RelayConfig::is_pinned`].
    pub is_pinned: bool,
    /// How long freed ports rest.
    pub quarantine: Duration,
    /// How long sessions wait for the next daemon once theirs has vanished, where it wanted that.
    pub patience: Duration,
}

impl HostOptions {
    /// Usual patience: a daemon that is started anew is back within seconds, and so is one whose package is
    /// upgraded.
    pub const PATIENCE: Duration = Duration::from_secs(60);
}

/// A listening socket for one daemon at a time.
#[derive(Debug)]
pub struct Host {
    path: PathBuf,
    /// Device and number of what we made there.
    made: (u64, u64),
    options: HostOptions,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    listener: UnixListener,
    is_over: AtomicBool,
    /// The connection that is served.
    served: Mutex<Option<Served>>,
    /// Where sessions wait for the next one.
    waiting: WaitingRoom,
}

#[derive(Debug)]
struct Served {
    socket: UnixStream,
    /// Process of the daemon, in words.
    process: String,
    /// What runs for it, once it has said for which realms, and their digest.
    relay: Weak<Relay>,
    realms: Option<u64>,
}

/// A [`Host`] as other threads see it.
#[derive(Clone, Debug)]
pub struct HostHandle(Arc<Shared>);

impl Host {
    /// Listens at `path`. What is left there of a host that has ended is taken away.
    ///
    /// # Errors
    /// What the operating system says; `AddrInUse` if another process listens there.
    pub fn open(path: &Path, options: HostOptions) -> io::Result<Self> {
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another relay listens there",
                ));
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        // Whoever connects commands the relay and hears keys. The kernel asks for the right to write.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            path: path.to_owned(),
            made: identity(path)?,
            options,
            shared: Arc::new(Shared {
                listener,
                is_over: AtomicBool::new(false),
                served: Mutex::default(),
                waiting: WaitingRoom::default(),
            }),
        })
    }

    /// What other threads have of it while it serves.
    pub fn handle(&self) -> HostHandle {
        HostHandle(Arc::clone(&self.shared))
    }

    /// Serves until it is ended. `tell` hears in words who comes and goes.
    pub fn serve(self, tell: impl Fn(&str) + Send + Sync + 'static) {
        let tell = Arc::new(tell);
        let mut last = None;
        loop {
            let accepted = self.shared.listener.accept();
            if self.shared.is_over() {
                break;
            }
            let Ok((socket, _)) = accepted else {
                // Of descriptors that some connection must free first.
                thread::sleep(Duration::from_millis(50));
                continue;
            };
            let process = match admitted(&socket) {
                Ok(process) => process,
                Err(why) => {
                    tell(&why);
                    refuse(socket, Verdict::No(why), None);
                    continue;
                }
            };
            if let Some(why) = self.shared.occupy(&socket, &process) {
                refuse(socket, Verdict::Busy(why), self.shared.realms());
                continue;
            }
            let (shared, options, tell) = (
                Arc::clone(&self.shared),
                self.options.clone(),
                Arc::clone(&tell),
            );
            let named = thread::Builder::new().name("media-daemon".into());
            let serving = named.spawn(move || {
                let place = Place(&shared);
                let (why, left) = talk(&socket, &options, &shared, &*tell, &process);
                // Before somebody else has the place, who may want it.
                let number = left.map(|estate| shared.waiting.enter(estate));
                // Whoever hears that it is over can have the place.
                drop(place);
                tell(&format!("daemon, {process}: {why}"));
                if let Some(number) = number
                    && shared.waiting.expire(number, options.patience)
                {
                    tell("nobody has come for the sessions that waited; they have ended");
                }
            });
            last = serving.ok();
            if last.is_none() {
                self.shared.vacate();
            }
        }
        self.shared.hang_up();
        self.shared.waiting.close();
        // The parties of its calls hear BYE of RTCP.
        let _ = last.map(thread::JoinHandle::join);
        // There may be another's by now.
        if identity(&self.path).is_ok_and(|found| found == self.made) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What is at a path, whatever its name.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl HostHandle {
    /// See [`Relay::longest_silence`]; zero while there is no daemon.
    pub fn longest_silence(&self) -> Duration {
        let served = self.0.lock();
        let relay = served.as_ref().and_then(|served| served.relay.upgrade());
        relay.map_or(Duration::ZERO, |relay| relay.longest_silence())
    }

    /// Ends the host, and the relay that it runs.
    pub fn end(&self) {
        self.0.is_over.store(true, Ordering::SeqCst);
        // It waits for somebody to come, whatever has become of the path.
        let _ = rustix::net::shutdown(&self.0.listener, rustix::net::Shutdown::Both);
    }
}

/// The only place, which is free again however what is done in it ends.
struct Place<'a>(&'a Shared);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.vacate();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Takes the only place; says in words why not.
    fn occupy(&self, socket: &UnixStream, process: &str) -> Option<String> {
        let mut served = self.lock();
        if let Some(other) = &*served {
            return Some(format!(
                "the relay serves a daemon already, {}: one relay is for one daemon",
                other.process
            ));
        }
        match socket.try_clone() {
            Ok(socket) => {
                *served = Some(Served {
                    socket,
                    process: process.to_owned(),
                    relay: Weak::new(),
                    realms: None,
                });
            }
            Err(why) => return Some(format!("the relay has no descriptors left: {why}")),
        }
        None
    }

    /// Notes what runs for the daemon. Who looks at it holds the lock while it does.
    fn runs(&self, relay: Weak<Relay>, realms: &[Realm]) {
        if let Some(served) = &mut *self.lock() {
            served.relay = relay;
            served.realms = Some(digest_of(realms));
        }
    }

    /// Digest of the realms of which there may be sessions: those of the daemon, or of one that has vanished.
    fn realms(&self) -> Option<u64> {
        let served = self.lock().as_ref().and_then(|served| served.realms);
        served.or_else(|| self.waiting.realms())
    }

    fn vacate(&self) {
        *self.lock() = None;
    }

    fn hang_up(&self) {
        if let Some(served) = &*self.lock() {
            let _ = served.socket.shutdown(Shutdown::Read);
        }
    }
}

/// The process at the other end in words, if it may command us: one of our own user, or of root.
fn admitted(socket: &UnixStream) -> Result<String, String> {
    let peer = peer(socket).map_err(|why| format!("who connects cannot be told: {why}"))?;
    let own = rustix::process::geteuid().as_raw();
    let process = match peer.pid {
        Some(pid) => format!("process {pid}"),
        None => "a process of another container".to_owned(),
    };
    match peer.uid == 0 || peer.uid == own {
        true => Ok(process),
        false => Err(format!(
            "{process} of user {} may not command the relay, which serves user {own} and root: run both as one user",
            peer.uid
        )),
    }
}

/// Says why not, then our form, and which realms there may be sessions of: whoever only asks needs these two, and nobody
/// else reads them.
fn refuse(mut socket: UnixStream, verdict: Verdict, realms: Option<u64>) {
    let mut out = Writer::default();
    out.frame(&verdict);
    out.frame(&Form::OWN);
    out.frame(&realms);
    let _ = socket.set_write_timeout(Some(GREETING));
    let _ = socket.write_all(out.octets());
}

/// Serves one daemon to its end; says in words how it ended, and gives back what is to wait for the next one.
fn talk(
    socket: &UnixStream,
    options: &HostOptions,
    shared: &Shared,
    tell: &dyn Fn(&str),
    process: &str,
) -> (String, Option<Estate>) {
    let mut frames = Frames::default();
    let begun = greeting(socket, &mut frames).and_then(|hello| {
        let keeps = hello.keeps;
        Ok((begin(socket, shared, hello, options)?, keeps))
    });
    let (mut estate, keeps) = match begun {
        Ok(begun) => begun,
        Err(why) => {
            if let Ok(socket) = socket.try_clone() {
                refuse(socket, Verdict::No(why.clone()), shared.realms());
            }
            return (why, None);
        }
    };
    let realms = estate.realms.len();
    shared.runs(Arc::downgrade(&estate.relay), &estate.realms);
    let ended = converse(socket, shared, &mut estate, &mut frames, || {
        tell(&format!(
            "daemon, {process}: media of {realms} realms are served"
        ));
    });
    let _ = socket.shutdown(Shutdown::Both);
    // From here on nobody else has it, so it ends with us, before the place is free.
    shared.runs(Weak::new(), &estate.realms);
    match ended {
        Ended::Vanished(why) if keeps && !shared.is_over() => match estate.is_left() {
            0 => (format!("{why}; its sessions have ended"), None),
            left => {
                let patience = options.patience.as_secs();
                let why = format!("{why}; {left} sessions wait {patience} s for the next one");
                (why, Some(estate))
            }
        },
        Ended::Vanished(why) | Ended::Over(why) => {
            (format!("{why}; its sessions have ended"), None)
        }
    }
}

/// How a conversation ended, in words.
enum Ended {
    /// Without a word of the daemon.
    Vanished(String),
    /// Its sessions are to end with it.
    Over(String),
}

/// What a daemon before it has left if it can go on with that, else a relay of its own.
fn begin(
    socket: &UnixStream,
    shared: &Shared,
    hello: Hello,
    options: &HostOptions,
) -> Result<Estate, String> {
    let _ = socket.set_read_timeout(None);
    if let Some(estate) = shared.waiting.take(hello.adopts, &hello.realms) {
        return Ok(estate);
    }
    let outlet = Arc::new(Outlet::default());
    let told = Arc::clone(&outlet);
    let sink: EventSink = Box::new(move |event| told.tell(event));
    let realms = hello.realms.clone();
    let config = RelayConfig {
        realms: hello.realms,
        workers: options.workers,
        is_pinned: options.is_pinned,
        quarantine: options.quarantine,
        entropy: Entropy::from_system()
            .map_err(|_| "the operating system has no random numbers".to_owned())?,
    };
    let relay = Relay::start(config, sink).map_err(|fault| fault.to_string())?;
    Ok(Estate {
        relay: Arc::new(relay),
        outlet,
        realms,
        kept: Keepsakes::default(),
    })
}

/// Greets the daemon and does what it says until it says no more.
fn converse(
    socket: &UnixStream,
    shared: &Shared,
    estate: &mut Estate,
    frames: &mut Frames,
    begun: impl Fn(),
) -> Ended {
    let mut out = Writer::default();
    out.frame(&Verdict::Welcome);
    let mut writer = socket;
    // One that reads nothing would hold the writer, and with it the only place.
    let _ = socket.set_write_timeout(Some(UNHEARD));
    let ending = match (writer.write_all(out.octets()), socket.try_clone()) {
        (Ok(()), Ok(ending)) => ending,
        (Err(why), _) => return Ended::Vanished(format!("gone before it was greeted: {why}")),
        (_, Err(why)) => {
            return Ended::Vanished(format!("the relay has no descriptors left: {why}"));
        }
    };
    begun();
    let queue = Arc::new(Queue::default());
    estate.outlet.link(&queue, ending, &estate.kept);
    let (relay, outlet) = (Arc::clone(&estate.relay), Arc::clone(&estate.outlet));
    let (kept, realms) = (&mut estate.kept, &mut estate.realms);
    let serve = |wanted: Vec<Realm>| {
        relay.set_realms(wanted.clone());
        shared.runs(Arc::downgrade(&relay), &wanted);
        *realms = wanted;
    };
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let report = |out: &mut Writer| {
                let report = reported(&relay, outlet.unsaid());
                out.frame(&ToDaemon::Report(Box::new(report)));
            };
            let written = queue.write_to(socket, REPORT, report);
            // The reader has nothing to wait for any more.
            let _ = socket.shutdown(Shutdown::Read);
            written
        });
        let mut ended = obey(socket, (&relay, &outlet, &queue), kept, serve, frames);
        if shared.is_over() {
            ended = Ended::Over("the relay was told to end".into());
        }
        let (Ended::Vanished(why) | Ended::Over(why)) = &ended;
        let _ = queue.push(&ToDaemon::Farewell(why.clone()), usize::MAX);
        queue.close();
        match writing.join() {
            Ok(Err(fault)) if fault.kind() == io::ErrorKind::WouldBlock => {
                Ended::Over(format!("it has read nothing for {} s", UNHEARD.as_secs()))
            }
            _ => ended,
        }
    })
}

fn greeting(mut socket: &UnixStream, frames: &mut Frames) -> Result<Hello, String> {
    let until = Instant::now() + GREETING;
    let fault = |why: io::Error| format!("no greeting came: {why}");
    loop {
        if let Some(octets) = frames.next_frame().map_err(|why| why.to_string())? {
            return match Form::is_asked(octets) {
                true => Err("it has asked for the form of the socket".into()),
                false => Hello::read(octets),
            };
        }
        // However slowly it comes.
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("no greeting came within {} s", GREETING.as_secs()));
        }
        socket.set_read_timeout(Some(left)).map_err(fault)?;
        match socket.read(frames.room()).map_err(fault)? {
            0 => return Err("gone without a greeting".into()),
            read => frames.filled(read),
        }
    }
}

fn reported(relay: &Relay, reports_lost: u64) -> Report {
    let silence = relay.longest_silence();
    Report {
        totals: RelayTotals {
            reports_lost,
            ..relay.totals()
        },
        silence_us: u64::try_from(silence.as_micros()).unwrap_or(u64::MAX),
        backend: relay.backend(),
    }
}

/// Does what the daemon says until it says no more; tells in words why.
fn obey(
    mut socket: &UnixStream,
    (relay, outlet, queue): (&Relay, &Outlet, &Queue),
    kept: &mut Keepsakes,
    mut serve: impl FnMut(Vec<Realm>),
    frames: &mut Frames,
) -> Ended {
    let mut samples: BTreeMap<SoundId, Vec<i16>> = BTreeMap::new();
    let mut total = 0;
    loop {
        loop {
            let frame = match frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(fault) => return Ended::Over(format!("what came cannot be read: {fault}")),
            };
            match Reader::whole(frame) {
                Ok(ToHost::Command(command)) => {
                    outlet.asks(&command);
                    relay.command(command);
                }
                Ok(ToHost::Samples(sound, more)) => {
                    total += more.len();
                    if total > Recordings::MAX_SAMPLES || samples.len() > Recordings::MAX_SOUNDS {
                        let why = "recordings came that are longer than any can be";
                        return Ended::Over(why.into());
                    }
                    samples.entry(sound).or_default().extend(more);
                }
                Ok(ToHost::Reports(wanted)) => relay.set_reports(wanted),
                Ok(ToHost::Recordings) => {
                    total = 0;
                    let all = std::mem::take(&mut samples).into_iter();
                    match Recordings::new(all.map(|(sound, all)| (sound, all.into()))) {
                        Ok(recordings) => relay.set_recordings(recordings),
                        Err(fault) => return Ended::Over(fault.to_string()),
                    }
                }
                Ok(ToHost::Keep(session, octets)) => kept.keep(session, octets),
                Ok(ToHost::Try(number, realms)) => {
                    let judged = relay.try_realms(&realms).err();
                    let judged = judged.map(|fault| fault.to_string());
                    // One that has no room for this hears nothing, and takes it for a no.
                    let _ = queue.push(&ToDaemon::Judged(number, judged), MOST);
                }
                Ok(ToHost::Realms(realms)) => serve(realms),
                Ok(ToHost::Leave) => return Ended::Over("gone".into()),
                Err(fault) => return Ended::Over(format!("what came cannot be read: {fault}")),
            }
        }
        match socket.read(frames.room()) {
            Ok(0) => return Ended::Vanished("gone".into()),
            Ok(read) => frames.filled(read),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            // As when it was killed before it had read all that it was told.
            Err(why) => return Ended::Vanished(format!("gone ({why})")),
        }
    }
}
