//! The side of the daemon: the relay behind the socket, as if it were here.

use super::message::{Hello, Kept, Report, SAMPLES, ToDaemon, ToHost, Verdict};
use super::queue::{MOST, Pushed, Queue};
use super::waiting::MOST_OF_ONE;
use crate::control::realm::Realm;
use crate::control::totals::RelayTotals;
use crate::control::{EventSink, endpoints_of, session_of};
use crate::io::BackendReport;
use crate::sound::Recordings;
use media_api::wire::{Frames, Reader, Writer};
use media_api::{AllocateError, Command, EndpointId, Event, SessionId};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Octets that may wait before nothing new is begun.
const BUSY: usize = 1 << 20;
/// Octets of what is to be kept that may wait: that of more calls than a node has, all at once.
const MOST_KEPT: usize = 256 << 20;
/// How long it may take to hear what was kept of all calls of a daemon before us.
const INHERITING: Duration = Duration::from_secs(30);
/// A relay that says nothing for so long is stuck: it reports twice a second.
const STUCK: Duration = Duration::from_secs(5);
/// For its first report, which it makes at once.
const FIRST: Duration = Duration::from_secs(1);
/// Between two attempts to meet the relay: at first, and at most, as each pause is twice the one before.
const AGAIN: Duration = Duration::from_millis(50);
const AGAIN_AT_MOST: Duration = Duration::from_secs(1);

/// What becomes of the connection, for the log. Called on a thread of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Met {
    /// The relay serves.
    Begun,
    /// It does not any more.
    Ended {
        /// Why.
        why: String,
        /// Sessions that were lost with it.
        sessions: usize,
    },
    /// It still does not, for another reason than before.
    Waiting {
        /// Why.
        why: String,
    },
}

/// Why there is no relay at the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteFault {
    /// Path of the socket.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for RemoteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, why } = self;
        write!(f, "the media relay at {}: {why}", path.display())
    }
}

impl std::error::Error for RemoteFault {}

/// A relay in another process. When it ends, sessions are told so, and the next one is met.
pub struct Remote {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    /// Whether sessions are to outlive us.
    keeps: bool,
    sink: EventSink,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    /// What each relay is told to serve.
    realms: Vec<Realm>,
    /// Realms that a relay is asked about.
    question: Question,
    /// Why there is none.
    why: String,
    sessions: HashMap<SessionId, Tracked>,
    report: Option<(Report, Instant)>,
    /// What relays have counted that have ended.
    past: RelayTotals,
    /// Relays that have ended.
    lost: u64,
    recordings: Recordings,
    /// How often recordings were set.
    edition: u64,
    /// Whether reports of RTCP are wanted.
    wants_reports: bool,
    is_stopping: bool,
    /// Sessions wait for the next daemon although we end in order.
    leaves_behind: bool,
    before: Before,
}

/// A question to the relay whether it could serve realms. Its number keeps an answer that comes after nobody waits for it
/// any more from being taken for that to the next one.
#[derive(Default)]
struct Question {
    number: u32,
    /// Why not, in words, once that is told.
    verdict: Option<Option<String>>,
}

impl Question {
    /// The next one, which nobody has answered; returns its number.
    fn next(&mut self) -> u32 {
        *self = Self {
            number: self.number.wrapping_add(1),
            verdict: None,
        };
        self.number
    }

    /// The relay has answered the question with this number.
    fn answered(&mut self, number: u32, verdict: Option<String>) {
        if number == self.number {
            self.verdict = Some(verdict);
        }
    }
}

/// What a daemon before us has left.
#[derive(Default)]
enum Before {
    /// It is still to be heard.
    #[default]
    Unheard,
    /// The sink is to hear what has happened since as soon as somebody has taken the calls up.
    Heard {
        kept: Vec<Kept>,
        missed: Vec<Event>,
        /// Nothing more is to come.
        is_whole: bool,
    },
    /// They are taken up.
    Taken,
}

struct Link {
    queue: Arc<Queue>,
    socket: UnixStream,
}

/// What a session would have to be told if the relay ended now.
#[derive(Debug, Default)]
struct Tracked {
    /// Endpoints of each `Allocate` that was not answered.
    asked: VecDeque<Vec<EndpointId>>,
    is_reserved: bool,
}

impl Remote {
    /// Meets the relay at `path`, for as long as `patience` tries to.
    ///
    /// # Errors
    /// [`RemoteFault`] if there was none in that time, or it refuses.
    pub fn start(
        path: PathBuf,
        realms: Vec<Realm>,
        patience: Duration,
        sink: EventSink,
        tell: impl Fn(Met) + Send + 'static,
    ) -> Result<Self, RemoteFault> {
        Self::begin((path, realms), false, patience, sink, tell)
    }

    /// As [`Self::start`], and goes on with the sessions of a daemon that has vanished. Ours are to wait for the next
    /// one if we do. Until [`Self::take_up`] the sink hears nothing of the relay.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn resume(
        path: PathBuf,
        realms: Vec<Realm>,
        patience: Duration,
        sink: EventSink,
        tell: impl Fn(Met) + Send + 'static,
    ) -> Result<Self, RemoteFault> {
        Self::begin((path, realms), true, patience, sink, tell)
    }

    fn begin(
        (path, realms): (PathBuf, Vec<Realm>),
        keeps: bool,
        patience: Duration,
        sink: EventSink,
        tell: impl Fn(Met) + Send + 'static,
    ) -> Result<Self, RemoteFault> {
        let shared = Arc::new(Shared {
            path,
            keeps,
            sink,
            state: Mutex::new(State {
                realms,
                before: match keeps {
                    true => Before::Unheard,
                    false => Before::Taken,
                },
                ..State::default()
            }),
            changed: Condvar::new(),
        });
        let until = Instant::now() + patience;
        let fault = |why| RemoteFault {
            path: shared.path.clone(),
            why,
        };
        let mut pause = AGAIN;
        let first = loop {
            match shared.meet(keeps) {
                Ok(met) => break met,
                Err(Unmet::Refused(why)) => return Err(fault(why)),
                Err(Unmet::Absent(why)) if Instant::now() >= until => return Err(fault(why)),
                Err(Unmet::Absent(_)) => {
                    thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
                    pause = (pause * 2).min(AGAIN_AT_MOST);
                }
            }
        };
        let own = Arc::clone(&shared);
        let named = thread::Builder::new().name("media-link".into());
        let thread = named
            .spawn(move || own.keep(first, &tell))
            .map_err(|why| fault(why.to_string()))?;
        let remote = Self {
            shared: Arc::clone(&shared),
            thread: Some(thread),
        };
        // Whoever asks after the start hears what runs.
        let state = shared.lock();
        let waited = shared.changed.wait_timeout_while(state, FIRST, |state| {
            state.report.is_none() && state.why.is_empty()
        });
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let waited = shared
            .changed
            .wait_timeout_while(state, INHERITING, |state| state.waits_for_kept());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.waits_for_kept() {
            drop(state);
            // What came later would be nobody's for ever. For whoever starts next it is still there.
            drop(remote);
            return Err(fault(format!(
                "it has not told within {} s which calls of the process before this one it has; start again",
                INHERITING.as_secs()
            )));
        }
        drop(state);
        Ok(remote)
    }

    /// What a daemon before us has left, once. Those sessions are ours now: each is to be gone on with, or released.
    /// Whoever gets them says so with [`Self::taken_up`] before anything is heard of them.
    pub fn take_up(&self) -> Vec<Kept> {
        match &mut self.shared.lock().before {
            Before::Heard { kept, .. } => std::mem::take(kept),
            Before::Unheard | Before::Taken => Vec::new(),
        }
    }

    /// The sink hears from now on, and first what has happened meanwhile.
    pub fn taken_up(&self) {
        let mut state = self.shared.lock();
        let before = std::mem::replace(&mut state.before, Before::Taken);
        if let Before::Heard { missed, .. } = before {
            // With the lock held, so that nothing overtakes.
            missed.into_iter().for_each(&self.shared.sink);
        }
    }

    /// Keeps what the next daemon needs to go on with a session; nothing if it could not. Nor is what is too much, or
    /// comes when too much waits: no call ends for that, and what was kept before is not true any more.
    pub fn keep(&self, session: SessionId, octets: &[u8]) {
        let state = self.shared.lock();
        let Some(link) = state.link.as_ref().filter(|_| self.shared.keeps) else {
            return;
        };
        let keep = |octets: &[u8], most| {
            let kept = ToHost::Keep(session, Zeroizing::new(octets.to_vec()));
            link.queue.push_aside(&kept, most)
        };
        let is_fit = octets.len() <= MOST_OF_ONE;
        if !is_fit || keep(octets, MOST_KEPT) == Pushed::Full {
            // If the queue is over, nothing is heard of this either.
            let _ = keep(&[], usize::MAX);
        }
    }

    /// When we end, sessions wait for the next daemon, as if this process was killed.
    pub fn leave_behind(&self) {
        self.shared.lock().leaves_behind = true;
    }

    /// As [`crate::Relay::command`]. What the relay has no room for now is refused.
    pub fn command(&self, command: Command) {
        let session = session_of(&command);
        let is_new = matches!(command, Command::Allocate { .. });
        let is_answered = is_new
            || matches!(
                command,
                Command::Stats { .. } | Command::Release { endpoint: None, .. }
            );
        let endpoints = endpoints_of(&command);
        let is_taken = {
            let mut state = self.shared.lock();
            let most = if is_new { BUSY } else { MOST };
            let pushed = match &state.link {
                Some(link) => link.queue.push(&ToHost::Command(command), most),
                None => Pushed::Full,
            };
            match (pushed, &state.link) {
                (Pushed::Taken, _) if is_new => {
                    let tracked = state.sessions.entry(session).or_default();
                    tracked.asked.push_back(endpoints.clone());
                }
                // It has missed something that it must know.
                (Pushed::Full, Some(link)) if !is_new => {
                    let _ = link.socket.shutdown(Shutdown::Both);
                }
                _ => {}
            }
            pushed == Pushed::Taken
        };
        if is_answered && !is_taken {
            (self.shared.sink)(Event::Refused {
                session,
                endpoints,
                why: AllocateError::Unavailable,
            });
        }
    }

    /// As [`crate::Relay::set_recordings`]; the next relay hears of them as well.
    pub fn set_recordings(&self, recordings: Recordings) {
        // Long work, for which nobody who gives commands waits.
        let written = written(&recordings);
        let mut state = self.shared.lock();
        state.recordings = recordings;
        state.edition += 1;
        if let Some(link) = &state.link {
            link.queue.push_large(written);
        }
    }

    /// As [`crate::Relay::set_reports`]; the next relay hears of it as well.
    pub fn set_reports(&self, wanted: bool) {
        let mut state = self.shared.lock();
        if state.wants_reports == wanted {
            return;
        }
        state.wants_reports = wanted;
        if let Some(link) = &state.link
            && link.queue.push(&ToHost::Reports(wanted), MOST) == Pushed::Full
        {
            // As with a command that it has missed.
            let _ = link.socket.shutdown(Shutdown::Both);
        }
    }

    /// As [`crate::Relay::try_realms`]. May wait for as long as a relay may say nothing; asked one at a time. Where there is
    /// none the next begins with them: it may be for want of these that there is none.
    ///
    /// # Errors
    /// Why not, in words; also where a relay does not tell.
    pub fn try_realms(&self, wanted: &[Realm]) -> Result<(), String> {
        let mut state = self.shared.lock();
        let number = state.question.next();
        let Some(link) = &state.link else {
            return Ok(());
        };
        let pushed = link.queue.push(&ToHost::Try(number, wanted.to_vec()), BUSY);
        if pushed == Pushed::Taken {
            let waited = self
                .shared
                .changed
                .wait_timeout_while(state, STUCK, |state| {
                    state.question.verdict.is_none() && state.link.is_some()
                });
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        match state.question.verdict.take() {
            Some(None) => Ok(()),
            Some(Some(why)) => Err(why),
            None => Err(format!(
                "the media relay at {} does not answer",
                self.shared.path.display()
            )),
        }
    }

    /// As [`crate::Relay::set_realms`]; the next relay begins with them.
    pub fn set_realms(&self, wanted: Vec<Realm>) {
        let mut state = self.shared.lock();
        state.realms.clone_from(&wanted);
        if let Some(link) = &state.link
            && link.queue.push(&ToHost::Realms(wanted), MOST) == Pushed::Full
        {
            // As with a command that it has missed.
            let _ = link.socket.shutdown(Shutdown::Both);
        }
    }

    /// The relay's totals by its last report, with what the relays before it have counted.
    pub fn totals(&self) -> RelayTotals {
        let state = self.shared.lock();
        let report = state.report.as_ref();
        let mut totals =
            report.map_or_else(RelayTotals::default, |(report, _)| report.totals.clone());
        totals.follow(&state.past);
        totals
    }

    /// How many relays have ended that calls had media on, or might have.
    pub fn lost(&self) -> u64 {
        self.shared.lock().lost
    }

    /// What runs, by its last report.
    pub fn backend(&self) -> Option<BackendReport> {
        let state = self.shared.lock();
        state
            .report
            .as_ref()
            .map(|(report, _)| report.backend.clone())
    }

    /// Why no new calls can have media, in words; `None` if they can.
    pub fn trouble(&self) -> Option<String> {
        let state = self.shared.lock();
        match (&state.link, &state.report) {
            (None, _) => Some(format!(
                "the media relay at {} is not there: {}",
                self.shared.path.display(),
                state.why
            )),
            (Some(_), Some((report, at))) => {
                let silence = Duration::from_micros(report.silence_us) + at.elapsed();
                (silence > STUCK).then(|| {
                    format!(
                        "a media worker of the relay at {} made no progress for {} ms",
                        self.shared.path.display(),
                        silence.as_millis()
                    )
                })
            }
            (Some(_), None) => None,
        }
    }

    /// Ends the connection, and so every session.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.is_stopping = true;
            if let Some(link) = &state.link {
                // What nobody has taken up yet is not ours to end.
                let is_ours = matches!(state.before, Before::Taken) && !state.leaves_behind;
                if self.shared.keeps && is_ours {
                    let _ = link.queue.push(&ToHost::Leave, usize::MAX);
                }
                // What was said last is still heard.
                link.queue.close();
            }
        }
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

enum Unmet {
    /// Nobody is there, or has room yet: that of a daemon before us is kept until its sessions have ended.
    Absent(String),
    /// Somebody is, and says no.
    Refused(String),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects and greets.
    fn meet(&self, adopts: bool) -> Result<(UnixStream, Frames), Unmet> {
        let absent = |why: io::Error| Unmet::Absent(format!("{why}; is causeway-media running?"));
        let mut socket = UnixStream::connect(&self.path).map_err(absent)?;
        socket.set_read_timeout(Some(STUCK)).map_err(absent)?;
        socket.set_write_timeout(Some(STUCK)).map_err(absent)?;
        let hello = Hello {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            realms: self.lock().realms.clone(),
            adopts,
            keeps: self.keeps,
        };
        let mut out = Writer::default();
        hello.write(&mut out);
        // One that says no at once reads nothing.
        let written = socket.write_all(out.octets());
        let mut frames = Frames::default();
        loop {
            let frame = frames.next_frame();
            let frame = frame.map_err(|fault| Unmet::Refused(fault.to_string()))?;
            if let Some(octets) = frame {
                return match Reader::whole(octets) {
                    Ok(Verdict::Welcome) => Ok((socket, frames)),
                    Ok(Verdict::Busy(why)) => Err(Unmet::Absent(why)),
                    Ok(Verdict::No(why)) => Err(Unmet::Refused(why)),
                    Err(fault) => Err(Unmet::Refused(format!(
                        "what answers is no media relay: {fault}"
                    ))),
                };
            }
            match socket.read(frames.room()) {
                Ok(0) => return Err(Unmet::Absent("it hung up without a word".into())),
                Ok(read) => frames.filled(read),
                Err(why) => return Err(absent(written.err().unwrap_or(why))),
            }
        }
    }

    /// Serves connection after connection until the end.
    fn keep(&self, first: (UnixStream, Frames), tell: &dyn Fn(Met)) {
        let mut next = Some(first);
        while let Some((socket, frames)) = next.take() {
            let (mut told, mut pause) = (String::new(), AGAIN);
            let why = self.serve(socket, frames, tell);
            let sessions = self.lose(&why);
            if self.lock().is_stopping {
                return;
            }
            tell(Met::Ended { why, sessions });
            next = loop {
                // Our calls that had media there have ended.
                let why = match self.meet(false) {
                    Ok(met) => break Some(met),
                    Err(Unmet::Absent(why) | Unmet::Refused(why)) => why,
                };
                self.lock().why.clone_from(&why);
                if told != why {
                    told.clone_from(&why);
                    tell(Met::Waiting { why });
                }
                let waited = self
                    .changed
                    .wait_timeout_while(self.lock(), pause, |state| !state.is_stopping);
                pause = (pause * 2).min(AGAIN_AT_MOST);
                let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                if state.is_stopping {
                    return;
                }
            };
        }
    }

    /// Serves one connection to its end; says why it ended.
    fn serve(&self, socket: UnixStream, mut frames: Frames, tell: &dyn Fn(Met)) -> String {
        let queue = Arc::new(Queue::default());
        let (kept, reader) = match (socket.try_clone(), socket.try_clone()) {
            (Ok(kept), Ok(reader)) => (kept, reader),
            (Err(why), _) | (_, Err(why)) => return why.to_string(),
        };
        let _ = socket.set_write_timeout(None);
        let (recordings, edition) = {
            let state = self.lock();
            (state.recordings.clone(), state.edition)
        };
        let known = written(&recordings);
        {
            let mut state = self.lock();
            // They may have changed meanwhile.
            queue.push_large(match state.edition == edition {
                true => known,
                false => written(&state.recordings),
            });
            if state.wants_reports {
                let _ = queue.push(&ToHost::Reports(true), MOST);
            }
            // They may have become others since the greeting.
            let _ = queue.push(&ToHost::Realms(state.realms.clone()), MOST);
            if state.is_stopping {
                queue.close();
            }
            state.link = Some(Link {
                queue: Arc::clone(&queue),
                socket: kept,
            });
        }
        // Whoever hears it can give commands.
        tell(Met::Begun);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = queue.write_to(&socket, STUCK, |_| ());
                // The host ends what it does for us, and its last words are still read.
                let _ = socket.shutdown(Shutdown::Write);
            });
            let why = self.listen(&reader, &mut frames);
            queue.close();
            let _ = reader.shutdown(Shutdown::Both);
            why
        })
    }

    fn listen(&self, mut socket: &UnixStream, frames: &mut Frames) -> String {
        loop {
            loop {
                let frame = match frames.next_frame() {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(fault) => return format!("what it says cannot be read: {fault}"),
                };
                match Reader::whole(frame) {
                    Ok(ToDaemon::Event(event)) => {
                        let heard = self.lock().hear(event);
                        heard.into_iter().for_each(&self.sink);
                    }
                    Ok(ToDaemon::Kept(kept)) => self.lock().inherit(kept),
                    Ok(ToDaemon::AllKept) => {
                        self.lock().has_inherited();
                        self.changed.notify_all();
                    }
                    Ok(ToDaemon::Report(report)) => {
                        self.lock().report = Some((*report, Instant::now()));
                        self.changed.notify_all();
                    }
                    Ok(ToDaemon::Judged(number, why)) => {
                        self.lock().question.answered(number, why);
                        self.changed.notify_all();
                    }
                    Ok(ToDaemon::Farewell(why)) => return why,
                    Err(fault) => return format!("what it says cannot be read: {fault}"),
                }
            }
            match socket.read(frames.room()) {
                Ok(0) => return "its process has ended".into(),
                Ok(read) => frames.filled(read),
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    return format!("it has said nothing for {} s", STUCK.as_secs());
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return why.to_string(),
            }
        }
    }

    /// Tells every session that there is no relay any more; returns how many there were.
    fn lose(&self, why: &str) -> usize {
        let sessions = {
            let mut state = self.lock();
            state.link = None;
            if let Some((report, _)) = state.report.take() {
                let mut past = report.totals;
                past.follow(&state.past);
                past.sessions = 0;
                state.past = past;
            }
            state.lost += 1;
            why.clone_into(&mut state.why);
            std::mem::take(&mut state.sessions)
        };
        self.changed.notify_all();
        let count = sessions.len();
        for (session, tracked) in sessions {
            if tracked.is_reserved {
                let heard = self.lock().hear(Event::Lost { session });
                heard.into_iter().for_each(&self.sink);
                continue;
            }
            for endpoints in tracked.asked {
                (self.sink)(Event::Refused {
                    session,
                    endpoints,
                    why: AllocateError::Unavailable,
                });
            }
        }
        count
    }
}

impl State {
    /// Whether it is still to be heard what a daemon before us has left.
    fn waits_for_kept(&self) -> bool {
        let is_awaited = match self.before {
            Before::Unheard => true,
            Before::Heard { is_whole, .. } => !is_whole,
            Before::Taken => false,
        };
        is_awaited && self.why.is_empty()
    }

    /// A session of a daemon before us.
    fn inherit(&mut self, kept: Kept) {
        if kept.is_live {
            let tracked = self.sessions.entry(kept.session).or_default();
            tracked.is_reserved = true;
        }
        match &mut self.before {
            Before::Heard { kept: all, .. } => all.push(kept),
            Before::Unheard => {
                self.before = Before::Heard {
                    kept: vec![kept],
                    missed: Vec::new(),
                    is_whole: false,
                };
            }
            // Only who adopts is told of any, and that was before.
            Before::Taken => {}
        }
    }

    fn has_inherited(&mut self) {
        match &mut self.before {
            Before::Heard { is_whole, .. } => *is_whole = true,
            Before::Unheard => {
                self.before = Before::Heard {
                    kept: Vec::new(),
                    missed: Vec::new(),
                    is_whole: true,
                };
            }
            Before::Taken => {}
        }
    }

    /// Takes note of an event; gives it back if the sink may hear it now.
    fn hear(&mut self, event: Event) -> Option<Event> {
        self.track(&event);
        match &mut self.before {
            Before::Heard { missed, .. } => {
                missed.push(event);
                None
            }
            Before::Unheard | Before::Taken => Some(event),
        }
    }

    /// Remembers what a session has heard.
    fn track(&mut self, event: &Event) {
        let session = event.session();
        match event {
            Event::Allocated { .. } => {
                if let Some(tracked) = self.sessions.get_mut(&session) {
                    tracked.asked.pop_front();
                    tracked.is_reserved = true;
                }
            }
            Event::Refused { endpoints, .. } if !endpoints.is_empty() => {
                if let Some(tracked) = self.sessions.get_mut(&session) {
                    tracked.asked.pop_front();
                    if tracked.asked.is_empty() && !tracked.is_reserved {
                        self.sessions.remove(&session);
                    }
                }
            }
            Event::Released { .. } | Event::Lost { .. } => {
                self.sessions.remove(&session);
            }
            Event::Refused { .. }
            | Event::FirstMedia { .. }
            | Event::SourcePinned { .. }
            | Event::Silent { .. }
            | Event::OneWay { .. }
            | Event::OneWayOver { .. }
            | Event::Unheard { .. }
            | Event::KeyWorn { .. }
            | Event::HandshakeFailed { .. }
            | Event::DigitBegun { .. }
            | Event::Digit { .. }
            | Event::Played { .. }
            | Event::Reported { .. }
            | Event::Tapped { .. }
            | Event::Stats { .. } => {}
        }
    }
}

/// All recordings in parts: they are large, and few.
fn written(recordings: &Recordings) -> Writer {
    let mut out = Writer::default();
    for (sound, samples) in recordings.iter() {
        for part in samples.chunks(SAMPLES) {
            out.frame(&ToHost::Samples(sound, part.to_vec()));
        }
    }
    out.frame(&ToHost::Recordings);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_too_late_is_none_to_the_next_question() {
        let mut question = Question::default();
        let first = question.next();
        let second = question.next();
        question.answered(first, None);
        assert_eq!(question.verdict, None);
        question.answered(second, Some("no".into()));
        assert_eq!(question.verdict, Some(Some("no".into())));
        // What was said of one is not said of the next.
        question.next();
        assert_eq!(question.verdict, None);
    }
}
