//! Structured log lines on standard error: JSON or text, never blocking, bounded, rate limited.
//!
//! A line has a level, a stable code and fields. It is formatted by the thread that reports it and
//! written by a thread of its own, so a blocked terminal, pipe or journal stalls nobody (OPS-083).
//! What does not fit into the queue is counted, and so are lines of one code beyond the rate limit:
//! nothing an attacker sends can produce an unlimited number of lines (OPS-081).

pub(crate) mod codes;
mod journal;
mod kept;
pub mod look;
mod text;

use super::ending::end;
use arc_swap::ArcSwapOption;
pub use codes::{CODES, beginnings};
use journal::{Journal, SOCKET};
use kept::Kept;
use look::{Facts, Looks};
use sbc_core::time::UnixTime;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use text::Text;

/// How grave a line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Level {
    /// An operator must act.
    Error,
    /// Someone lost something.
    Warn,
    /// One line per call and per state of a trunk.
    Info,
    /// Decisions.
    Debug,
    /// Messages and state changes.
    Trace,
}

impl Level {
    /// Every level, the gravest first.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// Priority of syslog(3), which the journal reads from the start of a line.
    const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 6,
            Self::Debug | Self::Trace => 7,
        }
    }
}

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One JSON object per line.
    Json,
    /// For a person: time, level, code, `key=value`.
    Text,
    /// As text without the time, with the journal's priority mark.
    Journal,
    /// As an entry of the journal, which has fields of its own beside the text.
    Native,
}

/// Lines that may wait for the writer.
const QUEUE: usize = 4096;
/// After its last line the writer does not wait for the next at once: to wake it costs whoever reports
/// more than all the rest, and at a thousand calls a second would be most of what a line costs.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of lines that are written at once, about.
const WRITTEN_AT_ONCE: usize = 64 * 1024;
/// Lines of one code and trunk per second before the rest is only counted.
const RATE: u32 = 20;
/// The same for what is only for debugging, which somebody has asked for.
const DEBUG_RATE: u32 = 500;
/// Lines of one code per second, whatever their trunks, before no further one is even made.
const MADE: u32 = 10;
/// Codes and trunks that are told apart at a time; what comes beyond them shares the limit of its code.
const APART: usize = 4_096;
/// How long the end waits for whoever reads the log.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// What was left out is told so long after, if no line of its own tells it before.
const SECOND: Duration = Duration::from_secs(1);

/// Handle to the log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    queue: SyncSender<Order>,
}

struct Shared {
    /// What is written in any case.
    level: AtomicU8,
    /// What somebody wants to see besides.
    looks: Looks,
    is_brief: AtomicBool,
    form: Form,
    dropped: AtomicU64,
    /// Lines that were given and are not written yet.
    waiting: AtomicU64,
    limits: Mutex<Limits>,
    /// The last grave lines.
    kept: Kept,
    /// Who else gets lines.
    aside: ArcSwapOption<Aside>,
}

/// Who gets lines besides whoever reads the log, among those that are written.
pub struct Aside {
    /// Lines of this level and of all graver ones.
    pub level: Level,
    /// Takes the call that a line is about, if it is about one, and the line as JSON. Must not wait.
    pub take: Box<dyn Fn(Option<String>, String) + Send + Sync>,
}

/// What is counted of lines that are limited.
#[derive(Default)]
struct Limits {
    /// Lines that were made, by their code.
    made: BTreeMap<&'static str, Bucket>,
    /// Lines that were sent, by code and trunk.
    sent: BTreeMap<(&'static str, Option<String>), Bucket>,
}

struct Bucket {
    since: Instant,
    lines: u32,
    suppressed: u64,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            lines: 0,
            suppressed: 0,
        }
    }

    /// Counts a line; whether it is within the limit of this second.
    fn takes(&mut self, now: Instant, limit: u32) -> bool {
        if now.duration_since(self.since) >= SECOND {
            (self.since, self.lines) = (now, 0);
        }
        let is_within = self.lines < limit;
        match is_within {
            true => self.lines += 1,
            false => self.suppressed += 1,
        }
        is_within
    }
}

enum Order {
    Line(String),
    /// Something was left out that has to be told later.
    Wake,
    Stop,
}

/// Lines that wait for the thread that writes them, which is not there yet.
pub struct Waiting {
    queue: SyncSender<Order>,
    orders: mpsc::Receiver<Order>,
    shared: Arc<Shared>,
    to: Box<dyn Write + Send>,
}

impl Waiting {
    /// Starts the thread; it lives until [`LogWriter::finish`].
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn begin(self) -> std::io::Result<LogWriter> {
        let Self {
            queue,
            orders,
            shared,
            to,
        } = self;
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&orders, to, &shared))?;
        Ok(LogWriter { queue, thread })
    }
}

/// Ends the writer thread after everything queued was written.
pub struct LogWriter {
    queue: SyncSender<Order>,
    thread: JoinHandle<()>,
}

impl Log {
    /// A log that writes to `to`; the writer thread lives until [`LogWriter::finish`].
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        level: Level,
        form: Form,
        to: impl Write + Send + 'static,
    ) -> std::io::Result<(Self, LogWriter)> {
        let (log, waiting) = Self::waiting(level, form, to);
        Ok((log, waiting.begin()?))
    }

    /// The same without the thread: lines wait until it is started, as many as there is room for.
    pub fn waiting(level: Level, form: Form, to: impl Write + Send + 'static) -> (Self, Waiting) {
        let (queue, orders) = mpsc::sync_channel(QUEUE);
        let shared = Arc::new(Shared {
            level: AtomicU8::new(level as u8),
            looks: Looks::default(),
            is_brief: AtomicBool::new(false),
            form,
            dropped: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            limits: Mutex::default(),
            kept: Kept::default(),
            aside: ArcSwapOption::empty(),
        });
        let log = Self {
            shared: Arc::clone(&shared),
            queue: queue.clone(),
        };
        let waiting = Waiting {
            queue,
            orders,
            shared,
            to: Box::new(to),
        };
        (log, waiting)
    }

    /// A log to standard error in the form that suits whoever reads it: the journal, a terminal,
    /// or a collector. Where standard error is the journal's, it is told by its own protocol if it listens.
    pub fn to_stderr(level: Level, form: Option<Form>) -> (Self, Waiting) {
        let is_journal = std::env::var_os("JOURNAL_STREAM").is_some();
        let form = form.unwrap_or_else(|| {
            use std::io::IsTerminal as _;
            if is_journal {
                Form::Journal
            } else if std::io::stderr().is_terminal() {
                Form::Text
            } else {
                Form::Json
            }
        });
        let native = (is_journal && form == Form::Journal)
            .then(|| Journal::open(SOCKET.into(), std::io::stderr()));
        match native {
            Some(Ok(journal)) => Self::waiting(level, Form::Native, journal),
            Some(Err(_)) | None => Self::waiting(level, form, std::io::stderr()),
        }
    }

    /// Whether lines of this level are written, at least some of them.
    pub fn has(&self, level: Level) -> bool {
        (self.has_all(level) || self.shared.looks.want(level))
            && (level <= Level::Info || !self.is_brief())
    }

    /// Whether what is only for debugging is left out for now.
    pub fn is_brief(&self) -> bool {
        // Ordering: a line more or less.
        self.shared.is_brief.load(Ordering::Relaxed)
    }

    /// Whether all lines of this level are written, whatever somebody looks for.
    fn has_all(&self, level: Level) -> bool {
        level <= self.level()
    }

    /// The level that was given at the start.
    pub fn level(&self) -> Level {
        // Ordering: it is set once.
        let own = self.shared.level.load(Ordering::Relaxed);
        Level::ALL[usize::from(own).min(Level::ALL.len() - 1)]
    }

    /// What is looked for besides.
    pub fn looks(&self) -> &Looks {
        &self.shared.looks
    }

    /// Leaves out what is only for debugging, while there are more important things to do
    /// (SIP-1722); or writes it again.
    pub fn be_brief(&self, is_brief: bool) {
        // Ordering: a line more or less.
        self.shared.is_brief.store(is_brief, Ordering::Relaxed);
    }

    /// Lines lost because the writer did not keep up.
    pub fn dropped(&self) -> u64 {
        // Ordering: a counter that stands for itself.
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Lines that wait to be written.
    pub fn waiting_lines(&self) -> u64 {
        // Ordering: a figure for people.
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// The last warnings and errors, oldest first, whoever reads the log itself.
    pub fn kept(&self) -> Vec<Arc<str>> {
        self.shared.kept.lines()
    }

    /// Lets somebody have lines besides, or nobody any more.
    pub fn set_aside(&self, aside: Option<Aside>) {
        self.shared.aside.store(aside.map(Arc::new));
    }

    /// Begins a line. `code` is stable; `message` is for a person.
    #[must_use = "a line is written by send"]
    pub fn line(&self, level: Level, code: &'static str, message: impl Display) -> Line<'_> {
        if !self.has(level) {
            return Line { open: None };
        }
        let looks = &self.shared.looks;
        let is_looked_for = !self.has_all(level);
        if is_looked_for && !looks.may_want(level, code) {
            return Line { open: None };
        }
        if !self.is_made(level, code) {
            return Line { open: None };
        }
        let mut text = Text::new(self.shared.form);
        text.begin(level, code, &message);
        let aside = self.shared.aside.load();
        let aside = aside.as_ref().filter(|own| level <= own.level).map(|_| {
            let mut text = Text::new(Form::Json);
            text.begin(level, code, &message);
            Twin { text, call: None }
        });
        let open = Open {
            log: self,
            text,
            level,
            code,
            trunk: None,
            aside,
            is_looked_for,
            // What is written anyway may say which call is meant.
            facts: looks.want(Level::Error).then(Facts::default),
        };
        Line { open: Some(open) }
    }

    /// An error line.
    #[must_use = "a line is written by send"]
    pub fn error(&self, code: &'static str, message: impl Display) -> Line<'_> {
        self.line(Level::Error, code, message)
    }

    /// A warning.
    #[must_use = "a line is written by send"]
    pub fn warn(&self, code: &'static str, message: impl Display) -> Line<'_> {
        self.line(Level::Warn, code, message)
    }

    /// An information.
    #[must_use = "a line is written by send"]
    pub fn info(&self, code: &'static str, message: impl Display) -> Line<'_> {
        self.line(Level::Info, code, message)
    }

    /// A detail for debugging.
    #[must_use = "a line is written by send"]
    pub fn debug(&self, code: &'static str, message: impl Display) -> Line<'_> {
        self.line(Level::Debug, code, message)
    }

    /// Whether another line of this code is made now, whatever trunk it will be about.
    /// Call summaries are exempt: there are as many of them as there are admitted calls.
    fn is_made(&self, level: Level, code: &'static str) -> bool {
        let Some(rate) = rate(level) else {
            return true;
        };
        let now = Instant::now();
        let mut limits = self.limits();
        let bucket = limits.made.entry(code).or_insert_with(|| Bucket::new(now));
        let is_made = bucket.takes(now, rate * MADE);
        let is_first = bucket.suppressed == 1;
        drop(limits);
        self.left_out(!is_made && is_first);
        is_made
    }

    /// Whether a line of this code and trunk may be written now; then how many were left out before.
    fn allow(&self, level: Level, code: &'static str, trunk: Option<String>) -> Option<u64> {
        let Some(rate) = rate(level) else {
            return Some(0);
        };
        let now = Instant::now();
        let mut limits = self.limits();
        let mut key = (code, trunk);
        if limits.sent.len() >= APART && !limits.sent.contains_key(&key) {
            key.1 = None;
        }
        let bucket = limits.sent.entry(key).or_insert_with(|| Bucket::new(now));
        if bucket.takes(now, rate) {
            return Some(std::mem::take(&mut bucket.suppressed));
        }
        let is_first = bucket.suppressed == 1;
        drop(limits);
        self.left_out(is_first);
        None
    }

    /// The writer tells of what is left out when no further line does.
    fn left_out(&self, is_first: bool) {
        if is_first {
            // Where the queue is full, the writer is awake.
            let _ = self.queue.try_send(Order::Wake);
        }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.shared.limits()
    }
}

impl Shared {
    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line for each limit that has left something out and is silent since, or for all of them; says whether
    /// some are left that will have to be told.
    fn tell_left_out(&self, all: bool, lines: &mut String) -> bool {
        let now = Instant::now();
        let is_old = |bucket: &Bucket| now.duration_since(bucket.since) >= SECOND;
        let mut told = Vec::new();
        let mut limits = self.limits();
        let Limits { made, sent } = &mut *limits;
        let made = made.iter_mut().map(|(code, bucket)| (*code, None, bucket));
        let each = sent
            .iter_mut()
            .map(|((code, trunk), bucket)| (*code, trunk.clone(), bucket));
        for (code, trunk, bucket) in made.chain(each) {
            if bucket.suppressed > 0 && (all || is_old(bucket)) {
                told.push((code, trunk, std::mem::take(&mut bucket.suppressed)));
            }
        }
        let is_of_use = |bucket: &Bucket| bucket.suppressed > 0 || !is_old(bucket);
        limits.made.retain(|_, bucket| is_of_use(bucket));
        limits.sent.retain(|_, bucket| is_of_use(bucket));
        let is_left = limits
            .made
            .values()
            .chain(limits.sent.values())
            .any(|own| own.suppressed > 0);
        drop(limits);
        for (code, trunk, suppressed) in told {
            let mut text = Text::new(self.form);
            text.begin(
                Level::Warn,
                "log_limited",
                &"more lines of a kind came than are written",
            );
            text.field("of", &code);
            if let Some(trunk) = trunk {
                text.field("trunk", &trunk);
            }
            text.field("suppressed", &suppressed);
            lines.push_str(&text.end());
        }
        is_left
    }
}

/// Lines of a code and trunk in a second; `None` is without limit.
const fn rate(level: Level) -> Option<u32> {
    match level {
        Level::Error | Level::Warn => Some(RATE),
        Level::Info => None,
        Level::Debug | Level::Trace => Some(DEBUG_RATE),
    }
}

/// A line being made.
pub struct Line<'a> {
    open: Option<Open<'a>>,
}

struct Open<'a> {
    log: &'a Log,
    text: Text,
    level: Level,
    code: &'static str,
    /// The trunk it is about, if it is limited.
    trunk: Option<String>,
    /// The same for whoever gets it besides.
    aside: Option<Twin>,
    /// It is written only if somebody looks for it.
    is_looked_for: bool,
    /// What it says of itself, as long as somebody looks for anything.
    facts: Option<Facts>,
}

struct Twin {
    text: Text,
    call: Option<String>,
}

impl Line<'_> {
    /// Adds a field. Text from the network is escaped and cut.
    #[must_use = "a line is written by send"]
    pub fn with(mut self, key: &'static str, value: impl Display) -> Self {
        if let Some(open) = &mut self.open {
            open.text.field(key, &value);
            if let Some(copy) = &mut open.aside {
                copy.text.field(key, &value);
                if key == "call" {
                    copy.call = Some(value.to_string());
                }
            }
            if key == "trunk" && rate(open.level).is_some() {
                open.trunk = Some(value.to_string());
            }
            if let Some(facts) = &mut open.facts {
                facts.note(key, &value);
            }
        }
        self
    }

    /// Hands the line to the writer, or counts it as lost.
    pub fn send(self) {
        let Some(mut open) = self.open else {
            return;
        };
        let facts = open.facts.take();
        let is_found = facts.is_some_and(|own| {
            let looks = &open.log.shared.looks;
            looks.take(open.level, open.code, &own)
        });
        if open.is_looked_for && !is_found {
            return;
        }
        let Some(suppressed) = open.log.allow(open.level, open.code, open.trunk) else {
            return;
        };
        if suppressed > 0 {
            open.text.field("suppressed", &suppressed);
        }
        if let (Some(copy), Some(aside)) = (open.aside, &*open.log.shared.aside.load()) {
            let mut text = copy.text.end();
            text.truncate(text.trim_end().len());
            (aside.take)(copy.call, text);
        }
        let text = open.text.end();
        if open.level <= Level::Warn {
            let (at, told) = match open.log.shared.form {
                Form::Json | Form::Text => (None, text.as_str()),
                Form::Journal => (Some(wall_clock()), text.as_str()),
                Form::Native => (Some(wall_clock()), journal::message(&text)),
            };
            open.log.shared.kept.keep(at, told);
        }
        let shared = &open.log.shared;
        // Before it can be written. Ordering: counters that stand for themselves.
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        match open.log.queue.try_send(Order::Line(text)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                shared.waiting.fetch_sub(1, Ordering::Relaxed);
                shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl LogWriter {
    /// Writes what is queued and ends the thread; gives up after two seconds if the reader of the
    /// log has stopped reading.
    pub fn finish(self) {
        end(&self.queue, Order::Stop, self.thread, LAST_WRITES);
    }
}

fn write_lines(orders: &mpsc::Receiver<Order>, mut to: impl Write, shared: &Shared) {
    let mut lines = String::new();
    let (mut is_stopping, mut is_left) = (false, false);
    while !is_stopping {
        let first = match is_left {
            true => orders.recv_timeout(SECOND),
            false => orders.recv().map_err(RecvTimeoutError::from),
        };
        let first = match first {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let mut taken = 0;
        for order in first.into_iter().chain(orders.try_iter()) {
            match order {
                Order::Line(line) => {
                    taken += 1;
                    lines.push_str(&line);
                }
                Order::Wake => is_left = true,
                Order::Stop => is_stopping = true,
            }
            if is_stopping || lines.len() >= WRITTEN_AT_ONCE {
                break;
            }
        }
        let more_wait = lines.len() >= WRITTEN_AT_ONCE;
        if is_left || is_stopping {
            is_left = shared.tell_left_out(is_stopping, &mut lines);
        }
        // Nobody could be told that the log cannot be written.
        let _ = to.write_all(lines.as_bytes());
        lines.clear();
        // Ordering: a figure for people.
        shared.waiting.fetch_sub(taken, Ordering::Relaxed);
        if !is_stopping && !more_wait {
            thread::sleep(PAUSE);
        }
    }
    let _ = to.flush();
}

/// Present wall-clock time.
pub(crate) fn wall_clock() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::display::is_steering;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(form: Form, work: impl FnOnce(&Log)) -> String {
        let written = Written::default();
        let (log, writer) = Log::start(Level::Info, form, written.clone()).unwrap();
        work(&log);
        writer.finish();
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_from_a_peer_cannot_forge_a_line_or_steer_the_terminal() {
        let evil = "x\r\nerror fake: \u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2028}";
        for form in [Form::Json, Form::Text, Form::Journal] {
            let text = logged(form, |log| log.warn("test", evil).with("peer", evil).send());
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.trim_end().contains(is_steering), "{text:?}");
        }
    }

    #[test]
    fn what_is_escaped_in_json_is_read_back_as_it_was() {
        let evil = "\\ \u{9b}2J \u{7f} \u{202e} ä 漢";
        let text = logged(Form::Json, |log| {
            log.info("test", "").with("peer", evil).send();
        });
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["peer"], evil);
    }

    #[test]
    fn a_field_is_quoted_where_it_is_no_word_and_a_message_keeps_its_quotes() {
        let text = logged(Form::Journal, |log| {
            log.info("test", "of \"a\"=b")
                .with("word", "a\\b")
                .with("words", "a \"b\"")
                .with("sum", "1=1")
                .with("none", "")
                .with("line", "a\nb")
                .send();
        });
        let fields = r#"word=a\b words="a 'b'" sum="1=1" none="" line="a\nb""#;
        assert_eq!(text, format!("<6>test: of \"a\"=b {fields}\n"));
    }

    #[test]
    fn a_value_made_of_parts_is_cut_as_a_whole() {
        let (first, second) = ("ä".repeat(200), "x".repeat(111));
        let text = logged(Form::Json, |log| {
            let value = format_args!("{first}{second}{}{}", "éé", "later");
            log.info("test", "").with("v", value).send();
        });
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        // 511 bytes; the next character has two and would be one too many.
        assert_eq!(value["v"], format!("{first}{second}…"));
    }

    #[test]
    fn json_lines_parse_and_carry_their_fields() {
        let text = logged(Form::Json, |log| {
            log.info("call", "ended")
                .with("cause", "no \"route\"")
                .send();
        });
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["code"], "call");
        assert_eq!(value["cause"], "no \"route\"");
        assert_eq!(value["level"], "info");
    }

    #[test]
    fn a_flood_of_one_code_is_limited_and_counted() {
        let text = logged(Form::Text, |log| {
            for _ in 0..1000 {
                log.warn("flood", "again").send();
            }
        });
        assert!(text.lines().count() <= 2 * RATE as usize + 2);
        // Each is written or counted.
        let told = text
            .lines()
            .filter(|line| line.contains("flood: again"))
            .count();
        let counted = text
            .lines()
            .filter_map(|line| line.split("suppressed=").nth(1));
        let counted: usize = counted.map(|number| number.parse::<usize>().unwrap()).sum();
        assert_eq!(told + counted, 1000, "{text}");
    }

    #[test]
    fn a_flood_about_one_trunk_hides_no_other_and_its_end_is_told() {
        let written = Written::default();
        let (log, writer) = Log::start(Level::Debug, Form::Text, written.clone()).unwrap();
        for _ in 0..100 {
            log.warn("target_failed", "no answer")
                .with("trunk", "one")
                .send();
        }
        log.warn("target_failed", "no answer")
            .with("trunk", "two")
            .send();
        let text = || String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        // Nothing is sent any more.
        while !text().contains("log_limited: ") {
            assert!(Instant::now() < deadline, "{}", text());
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(text().matches("trunk=two").count(), 1, "{}", text());
        let end = text()
            .lines()
            .find(|line| line.contains("log_limited"))
            .unwrap()
            .to_owned();
        assert!(
            end.contains(" of=target_failed trunk=one suppressed="),
            "{end}"
        );
        for _ in 0..100 {
            log.debug("detail", "what somebody asked for").send();
        }
        writer.finish();
        assert_eq!(text().matches("detail: ").count(), 100);
    }

    #[test]
    fn long_values_are_cut() {
        let text = logged(Form::Text, |log| {
            log.info("long", "").with("v", "ä".repeat(5000)).send();
        });
        assert!(text.len() < 700);
    }

    #[test]
    fn a_writer_that_blocks_stalls_nobody() {
        struct Stuck(mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = mpsc::channel();
        let (log, writer) = Log::start(Level::Info, Form::Text, Stuck(stuck)).unwrap();
        for _ in 0..2 * QUEUE {
            log.info("n", "line").send();
        }
        // What the queue does not hold is lost, but for what the writer has in its hands.
        assert!(log.dropped() >= QUEUE as u64 / 2);
        assert_eq!(log.waiting_lines() + log.dropped(), 2 * QUEUE as u64);
        drop(release);
        writer.finish();
        assert_eq!(log.waiting_lines(), 0);
    }
}
