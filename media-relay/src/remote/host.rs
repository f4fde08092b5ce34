//! The side of the relay: listens on the socket, and runs a relay for whoever is welcome.

use super::message::{Hello, Report, ToDaemon, ToHost, Verdict};
use super::queue::{MOST, Pushed, Queue};
use crate::control::{EventSink, Relay, RelayConfig};
use crate::entropy::Entropy;
use crate::sound::Recordings;
use media_api::SoundId;
use media_api::wire::{Frames, Reader, Writer};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
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
    /// How long freed ports rest.
    pub quarantine: Duration,
}

/// A listening socket for one daemon at a time.
#[derive(Debug)]
pub struct Host {
    listener: UnixListener,
    path: PathBuf,
    options: HostOptions,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    /// The connection that is served.
    served: Mutex<Option<Served>>,
}

#[derive(Debug)]
struct Served {
    socket: UnixStream,
    /// Process of the daemon.
    pid: i32,
    /// What runs for it, once it has said for which realms.
    relay: Weak<Relay>,
}

/// A [`Host`] as other threads see it.
#[derive(Clone, Debug)]
pub struct HostHandle(Arc<Shared>, PathBuf);

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
            listener,
            path: path.to_owned(),
            options,
            shared: Arc::default(),
        })
    }

    /// What other threads have of it while it serves.
    pub fn handle(&self) -> HostHandle {
        HostHandle(Arc::clone(&self.shared), self.path.clone())
    }

    /// Serves until it is ended. `tell` hears in words who comes and goes.
    pub fn serve(self, tell: impl Fn(&str) + Send + Sync + 'static) {
        let tell = Arc::new(tell);
        let mut last = None;
        loop {
            let accepted = self.listener.accept();
            if self.shared.is_over() {
                break;
            }
            let Ok((socket, _)) = accepted else {
                // Of descriptors that some connection must free first.
                thread::sleep(Duration::from_millis(50));
                continue;
            };
            let pid = match admitted(&socket) {
                Ok(pid) => pid,
                Err(why) => {
                    tell(&why);
                    refuse(socket, Verdict::No(why));
                    continue;
                }
            };
            if let Some(why) = self.shared.occupy(&socket, pid) {
                refuse(socket, Verdict::Busy(why));
                continue;
            }
            let (shared, options, tell) = (
                Arc::clone(&self.shared),
                self.options.clone(),
                Arc::clone(&tell),
            );
            let named = thread::Builder::new().name("media-daemon".into());
            let serving = named.spawn(move || {
                let why = talk(&socket, &options, &shared, &*tell, pid);
                // Whoever hears that it is over can have the place.
                shared.vacate();
                tell(&format!("daemon {pid}: {why}"));
            });
            last = serving.ok();
            if last.is_none() {
                self.shared.vacate();
            }
        }
        self.shared.hang_up();
        // The parties of its calls hear BYE of RTCP.
        let _ = last.map(thread::JoinHandle::join);
        let _ = fs::remove_file(&self.path);
    }
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
        // It waits for somebody to come.
        let _ = UnixStream::connect(&self.1);
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
    fn occupy(&self, socket: &UnixStream, pid: i32) -> Option<String> {
        let mut served = self.lock();
        if let Some(other) = &*served {
            return Some(format!(
                "the relay serves the daemon of process {} already: one relay is for one daemon",
                other.pid
            ));
        }
        match socket.try_clone() {
            Ok(socket) => {
                *served = Some(Served {
                    socket,
                    pid,
                    relay: Weak::new(),
                });
            }
            Err(why) => return Some(format!("the relay has no descriptors left: {why}")),
        }
        None
    }

    /// Notes what runs for the daemon. Who looks at it holds the lock while it does.
    fn runs(&self, relay: Weak<Relay>) {
        if let Some(served) = &mut *self.lock() {
            served.relay = relay;
        }
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

/// The process at the other end, if it may command us: one of our own user, or of root.
fn admitted(socket: &UnixStream) -> Result<i32, String> {
    let peer = rustix::net::sockopt::socket_peercred(socket)
        .map_err(|why| format!("who connects cannot be told: {why}"))?;
    let own = rustix::process::geteuid();
    let pid = peer.pid.as_raw_nonzero().get();
    match peer.uid.is_root() || peer.uid == own {
        true => Ok(pid),
        false => Err(format!(
            "process {pid} of user {} may not command the relay, which serves user {} and root: run both as one user",
            peer.uid.as_raw(),
            own.as_raw()
        )),
    }
}

fn refuse(mut socket: UnixStream, verdict: Verdict) {
    let mut out = Writer::default();
    out.frame(&verdict);
    let _ = socket.set_write_timeout(Some(GREETING));
    let _ = socket.write_all(out.octets());
}

/// Serves one daemon to its end; says in words how it ended.
fn talk(
    socket: &UnixStream,
    options: &HostOptions,
    shared: &Shared,
    tell: &dyn Fn(&str),
    pid: i32,
) -> String {
    let mut frames = Frames::default();
    let hello = match greeting(socket, &mut frames) {
        Ok(hello) => hello,
        Err(why) => {
            if let Ok(socket) = socket.try_clone() {
                refuse(socket, Verdict::No(why.clone()));
            }
            return why;
        }
    };
    let realms = hello.realms.len();
    let queue = Arc::new(Queue::default());
    let relay = match start(socket, &queue, hello, options) {
        Ok(relay) => Arc::new(relay),
        Err(why) => {
            if let Ok(socket) = socket.try_clone() {
                refuse(socket, Verdict::No(why.clone()));
            }
            return why;
        }
    };
    shared.runs(Arc::downgrade(&relay));
    let mut out = Writer::default();
    out.frame(&Verdict::Welcome);
    let mut writer = socket;
    // One that reads nothing would hold the writer, and with it the only place.
    let _ = socket.set_write_timeout(Some(UNHEARD));
    if let Err(why) = writer.write_all(out.octets()) {
        shared.runs(Weak::new());
        return format!("gone before it was greeted: {why}");
    }
    tell(&format!(
        "daemon {pid}: media of {realms} realms are served"
    ));
    let why = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let report = |out: &mut Writer| out.frame(&ToDaemon::Report(reported(&relay)));
            let written = queue.write_to(socket, REPORT, report);
            // The reader has nothing to wait for any more.
            let _ = socket.shutdown(Shutdown::Read);
            written
        });
        let mut why = obey(socket, &relay, &mut frames);
        if shared.is_over() {
            why = "the relay was told to end; its sessions have ended".into();
        }
        let _ = queue.push(&ToDaemon::Farewell(why.clone()), usize::MAX);
        queue.close();
        let _ = writing.join();
        why
    });
    let _ = socket.shutdown(Shutdown::Both);
    // From here on nobody else has it, so it ends with us, before the place is free.
    shared.runs(Weak::new());
    drop(relay);
    why
}

fn greeting(mut socket: &UnixStream, frames: &mut Frames) -> Result<Hello, String> {
    let until = Instant::now() + GREETING;
    let fault = |why: io::Error| format!("no greeting came: {why}");
    loop {
        if let Some(octets) = frames.next_frame().map_err(|why| why.to_string())? {
            return Hello::read(octets);
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

fn start(
    socket: &UnixStream,
    queue: &Arc<Queue>,
    hello: Hello,
    options: &HostOptions,
) -> Result<Relay, String> {
    let ending = socket.try_clone();
    let ending = ending.map_err(|why| format!("the relay has no descriptors left: {why}"))?;
    let _ = socket.set_read_timeout(None);
    let told = Arc::clone(queue);
    let sink: EventSink = Box::new(move |event| {
        // A daemon that hears so little cannot be told what it must know.
        if told.push(&ToDaemon::Event(event), MOST) == Pushed::Full {
            let _ = ending.shutdown(Shutdown::Both);
        }
    });
    let config = RelayConfig {
        realms: hello.realms,
        workers: options.workers,
        quarantine: options.quarantine,
        entropy: Entropy::from_system()
            .map_err(|_| "the operating system has no random numbers".to_owned())?,
    };
    Relay::start(config, sink).map_err(|fault| fault.to_string())
}

fn reported(relay: &Relay) -> Report {
    let silence = relay.longest_silence();
    Report {
        totals: relay.totals(),
        silence_us: u64::try_from(silence.as_micros()).unwrap_or(u64::MAX),
        backend: relay.backend(),
    }
}

/// Does what the daemon says until it says no more; tells in words why.
fn obey(mut socket: &UnixStream, relay: &Relay, frames: &mut Frames) -> String {
    let mut samples: BTreeMap<SoundId, Vec<i16>> = BTreeMap::new();
    let mut total = 0;
    loop {
        loop {
            let frame = match frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(fault) => return format!("what came cannot be read: {fault}"),
            };
            match Reader::whole(frame) {
                Ok(ToHost::Command(command)) => relay.command(command),
                Ok(ToHost::Samples(sound, more)) => {
                    total += more.len();
                    if total > Recordings::MAX_SAMPLES || samples.len() > Recordings::MAX_SOUNDS {
                        return "recordings came that are longer than any can be".into();
                    }
                    samples.entry(sound).or_default().extend(more);
                }
                Ok(ToHost::Recordings) => {
                    total = 0;
                    let all = std::mem::take(&mut samples).into_iter();
                    match Recordings::new(all.map(|(sound, all)| (sound, all.into()))) {
                        Ok(recordings) => relay.set_recordings(recordings),
                        Err(fault) => return fault.to_string(),
                    }
                }
                Err(fault) => return format!("what came cannot be read: {fault}"),
            }
        }
        match socket.read(frames.room()) {
            Ok(0) => return "gone; its sessions have ended".into(),
            Ok(read) => frames.filled(read),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            // As when it was killed before it had read all that it was told.
            Err(why) => return format!("gone ({why}); its sessions have ended"),
        }
    }
}
