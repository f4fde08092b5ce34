//! Configurations that were in use, so that one of them can be used again (OPS-123).
//!
//! Each is a file of the state directory with the text of its files; secrets are only referred to in them, and what looks
//! like one in a comment is not kept. Numbers go on over restarts. A load of the text that is in use already, as after
//! a certificate was renewed, is a further number of the same entry: twenty entries are twenty different texts.
//!
//! At a start the files on disk count, with three exceptions: they cannot be used; the operator has gone back behind them
//! and has not changed them since; or they were to be confirmed and never were.

use super::reload::{self, ReloadFault};
use crate::config::read_sources;
use crate::sink::log::{Log, wall_clock};
use crate::sink::whole;
use sbc_core::config::{Loaded, Source};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So many are kept.
const MOST: usize = 20;
/// Folder within the state directory.
const FOLDER: &str = "config";
/// The form of the files that this program writes and reads.
const VERSION: u32 = 1;

/// A configuration that was in use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    version: u32,
    /// Its first number.
    pub first: u64,
    /// Its last one: the same text was loaded again up to then.
    pub last: u64,
    /// When it was taken into use first (RFC 3339).
    pub taken: String,
    /// Whereby.
    pub by: By,
    files: Vec<Kept>,
    /// Sum of the files on disk that were there when it was taken in their place.
    instead_of: Option<String>,
    /// The number of the one before, as long as this one is to be confirmed.
    returns_to: Option<u64>,
}

/// The text of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    path: String,
    text: String,
}

/// What took a configuration into use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A start of the daemon.
    Start,
    /// A reload of the files.
    Reload,
    /// An operator who went back to it.
    Rollback,
    /// Time: the one before was not confirmed.
    Unconfirmed,
}

impl By {
    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Rollback => "rollback",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

impl Generation {
    /// Its files.
    pub fn sources(&self) -> Vec<Source> {
        let files = self.files.iter();
        files
            .map(|file| Source::new(file.path.clone(), file.text.clone()))
            .collect()
    }

    /// Whether this number is one of it.
    pub fn has(&self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }

    /// Whether it was in use before, and was gone back to.
    fn is_again(&self) -> bool {
        matches!(self.by, By::Rollback | By::Unconfirmed)
    }

    /// Whether it waits to be confirmed.
    pub fn is_unconfirmed(&self) -> bool {
        self.returns_to.is_some()
    }
}

/// Where the configuration in use comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The files on disk, as they were when it was loaded.
    Files,
    /// The files on disk cannot be used, for this reason: it is the last one that could be.
    Fallback(String),
    /// It was in use before, and was taken again instead of the files on disk.
    Earlier(By),
}

/// What a start begins with.
pub struct Start {
    /// The configuration.
    pub loaded: Loaded,
    /// Its files; none if it was not read from files.
    pub sources: Vec<Source>,
    /// Where it comes from.
    pub origin: Origin,
    /// Sum of the files on disk, if they are not used on purpose.
    pub(super) instead_of: Option<String>,
    /// Those that were in use before.
    pub generations: Generations,
}

/// What is to be written down of a configuration that was taken into use.
pub(super) struct Taken<'s> {
    pub(super) number: u64,
    pub(super) sources: &'s [Source],
    pub(super) by: By,
    pub(super) origin: Origin,
    /// The files on disk, if they are not these.
    pub(super) instead_of: Option<String>,
}

/// A change that is taken back unless somebody says that it is good.
struct Pending {
    back_to: Arc<Generation>,
    until: Instant,
}

/// Configurations that were in use, oldest first; the last one is in use.
pub struct Generations {
    folder: Option<PathBuf>,
    log: Log,
    state: Mutex<State>,
}

struct State {
    kept: Vec<Arc<Generation>>,
    origin: Origin,
    pending: Option<Pending>,
    /// The file of the one in use could not be written.
    is_owed: bool,
    /// What is to be told of the last try, if that was refused.
    refusal: Option<String>,
}

impl Generations {
    /// Reads those of a state directory. What cannot be read is told and left out.
    pub fn open(state: Option<&Path>, log: Log) -> Self {
        let folder = state.map(|state| state.join(FOLDER));
        let mut kept = Vec::new();
        if let Some(folder) = &folder {
            let found = fs::create_dir_all(folder).and_then(|()| files(folder));
            match found {
                Ok(found) => kept.extend(found.iter().filter_map(|path| read(path, &log))),
                Err(why) => lost(&log, folder, &why),
            }
        }
        kept.sort_by_key(|one| one.first);
        Self {
            folder,
            log,
            state: Mutex::new(State {
                kept,
                origin: Origin::Files,
                pending: None,
                is_owed: false,
                refusal: None,
            }),
        }
    }

    /// Decides what a start begins with: the files on disk, or one of before in their place.
    ///
    /// # Errors
    /// [`ReloadFault`] of the files, if nothing of before can be used either.
    pub fn begin(self, main: &Path) -> Result<Start, ReloadFault> {
        let on_disk = read_sources(main).map_err(ReloadFault::Invalid);
        let newest = self.kept().last().cloned();
        let sum = on_disk.as_ref().ok().map(|sources| sum(sources));
        let earlier = newest
            .as_ref()
            .and_then(|newest| self.instead(newest, sum.as_ref()?));
        if let Some((earlier, by)) = earlier {
            let back = usable(&earlier.sources());
            match back {
                Ok(back) if by == By::Unconfirmed && !leads_back(newest.as_deref(), &back) => {
                    let text = "what nobody has confirmed stays, as [api] of the one before is another and four_eyes is said";
                    self.log.warn("config_stays", text).send();
                }
                Ok(loaded) => {
                    let text = "the files on disk are those that were left behind, and have not changed since: an earlier \
                                configuration is in use; \"causeway config diff\" shows the difference, and \"causeway reload --force\" \
                                takes the files";
                    let line = self.log.warn("config_earlier", text);
                    line.with("generation", earlier.last)
                        .with("by", by.as_str())
                        .send();
                    let start = self.starts(loaded, earlier.sources(), Origin::Earlier(by));
                    return Ok(Start {
                        instead_of: sum,
                        ..start
                    });
                }
                Err(why) => {
                    let text = "the configuration that was to be used again cannot be; the files on disk are";
                    self.log
                        .error("config_earlier", text)
                        .with("why", why)
                        .send();
                }
            }
        }
        let fault = match on_disk.and_then(|sources| Ok((usable(&sources)?, sources))) {
            Ok((loaded, sources)) => return Ok(self.starts(loaded, sources, Origin::Files)),
            Err(fault) => fault,
        };
        // Nothing that still waits to be confirmed; an older one where a newer one cannot be used any more.
        let kept = self.kept();
        let mut confirmed = kept.iter().rev().filter(|own| own.returns_to.is_none());
        let found = confirmed.find_map(|own| Some((own, usable(&own.sources()).ok()?)));
        let Some((newest, loaded)) = found else {
            return Err(fault);
        };
        reload::tell_reasons(&self.log, &fault);
        let text = "the files on disk cannot be used: the configuration that was in use last is; mend the files (\"causeway \
                    check\" tells where) and reload";
        let line = self.log.error("config_fallback", text);
        line.with("generation", newest.last)
            .with("taken", &newest.taken)
            .send();
        let why = fault.to_string();
        let first = why.lines().next().unwrap_or_default().to_owned();
        Ok(self.starts(loaded, newest.sources(), Origin::Fallback(first)))
    }

    /// What is used in the place of files of this sum.
    fn instead(&self, newest: &Generation, sum: &str) -> Option<(Arc<Generation>, By)> {
        if let Some(before) = newest.returns_to
            && sum_of(newest) == *sum
        {
            return Some((self.find(before)?, By::Unconfirmed));
        }
        (newest.instead_of.as_deref() == Some(sum)).then(|| (Arc::new(newest.clone()), newest.by))
    }

    /// Begins with a configuration that was loaded elsewhere.
    pub fn starts(self, mut loaded: Loaded, sources: Vec<Source>, origin: Origin) -> Start {
        loaded.config.generation = self.kept().last().map_or(0, |newest| newest.last) + 1;
        Start {
            loaded,
            sources,
            origin,
            instead_of: None,
            generations: self,
        }
    }

    /// All of them, oldest first.
    pub fn kept(&self) -> Vec<Arc<Generation>> {
        self.state().kept.clone()
    }

    /// The one with this number.
    pub fn find(&self, number: u64) -> Option<Arc<Generation>> {
        self.state()
            .kept
            .iter()
            .find(|one| one.has(number))
            .cloned()
    }

    /// The one before that in use. What was gone back to counts where it stood when it was new: the next step back leads
    /// to an older one, and not to what was left behind.
    pub fn before(&self) -> Option<Arc<Generation>> {
        let state = self.state();
        let (newest, older) = state.kept.split_last()?;
        let at = match (newest.is_again(), stood(older, newest)) {
            (true, Some(at)) => at,
            // Where it stood is kept no more.
            (true, None) if older.len() + 1 >= MOST => 0,
            (true, None) | (false, _) => older.len(),
        };
        older.get(..at)?.last().cloned()
    }

    /// The older one that has the same text as the one with this number.
    pub fn same_as(&self, number: u64) -> Option<Arc<Generation>> {
        let state = self.state();
        let at = state.kept.iter().position(|one| one.has(number))?;
        let (older, newer) = state.kept.split_at_checked(at)?;
        older.get(stood(older, newer.first()?)?).cloned()
    }

    /// Says that another one was to be used and could not be, until one can.
    pub(super) fn refuse(&self, told: String) {
        self.state().refusal = Some(told);
    }

    /// What is to be told of the last try to use another one, if that was refused.
    pub fn refusal(&self) -> Option<String> {
        self.state().refusal.clone()
    }

    /// Where the one in use comes from.
    pub fn origin(&self) -> Origin {
        self.state().origin.clone()
    }

    /// How long a change still waits to be confirmed.
    pub fn left(&self) -> Option<Duration> {
        let until = self.state().pending.as_ref()?.until;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Writes down what is in use now. That this fails is told and changes nothing else.
    pub(super) fn take(&self, taken: Taken<'_>) {
        self.state().refusal = None;
        if taken.sources.is_empty() {
            return;
        }
        let files: Vec<Kept> = taken.sources.iter().map(kept).collect();
        let mut state = self.state();
        // What is the same text needs no way back to itself.
        let returns_to = match (taken.by, &state.pending) {
            (By::Start | By::Reload, Some(pending)) if pending.back_to.files != files => {
                Some(pending.back_to.last)
            }
            _ => None,
        };
        let own = sum_over(&files);
        let instead_of = taken.instead_of.filter(|sum| *sum != own);
        let newest = state.kept.pop_if(|newest| newest.files == files);
        let generation = Arc::new(Generation {
            version: VERSION,
            first: newest.as_ref().map_or(taken.number, |own| own.first),
            last: taken.number,
            taken: newest
                .as_ref()
                .map_or_else(|| wall_clock().rfc3339(), |own| own.taken.clone()),
            by: match newest {
                // What was gone back to stays that, whoever has the same text loaded again.
                Some(own) if matches!(taken.by, By::Start | By::Reload) => own.by,
                _ => taken.by,
            },
            files,
            instead_of,
            returns_to,
        });
        state.kept.push(Arc::clone(&generation));
        state.origin = taken.origin;
        let mut gone = Vec::new();
        while state.kept.len() > MOST {
            // The one that may have to be gone back to stays.
            let oldest = state
                .kept
                .iter()
                .position(|one| Some(one.last) != returns_to);
            match oldest {
                Some(oldest) => gone.push(state.kept.remove(oldest)),
                None => break,
            }
        }
        drop(state);
        let _ = self.write(&generation);
        for gone in gone {
            if let Some(folder) = &self.folder {
                // What stays is read at the next start and goes then.
                let _ = fs::remove_file(path(folder, &gone));
            }
        }
    }

    /// Writes the file of one; that this fails is told. From then on it is owed.
    fn write(&self, generation: &Generation) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let written = whole::write(&path(folder, generation), generation);
        self.state().is_owed = written.is_err();
        if let Err(why) = &written {
            lost(&self.log, folder, why);
        }
        written
    }

    /// Writes the file of the one in use once more.
    ///
    /// # Errors
    /// What the operating system says: what is in use now would not be known after a restart.
    pub(super) fn write_again(&self) -> io::Result<()> {
        let newest = self.state().kept.last().cloned();
        newest.map_or(Ok(()), |newest| self.write(&newest))
    }

    /// Whether the file of the one in use could not be written.
    pub(super) fn is_owed(&self) -> bool {
        self.state().is_owed
    }

    /// Whether files of this sum were in use and taken back, and nobody has changed them since.
    pub(super) fn were_taken_back(&self, sum: &str) -> bool {
        let state = self.state();
        let newest = state.kept.last();
        newest.is_some_and(|newest| newest.instead_of.as_deref() == Some(sum))
    }

    /// From now on what is taken has to be confirmed; the time counts from now. What is gone back to is what was in
    /// use when it began.
    pub(super) fn await_word(&self, within: Duration) {
        let mut state = self.state();
        let until = Instant::now() + within;
        match &mut state.pending {
            Some(pending) => pending.until = until,
            None => {
                let back_to = state.kept.last().cloned();
                state.pending = back_to.map(|back_to| Pending { back_to, until });
            }
        }
    }

    /// As before: what waits has until then.
    pub(super) fn await_until(&self, until: Instant) {
        if let Some(pending) = &mut self.state().pending {
            pending.until = until;
        }
    }

    /// What is to be gone back to, if it is time.
    pub(super) fn overdue(&self) -> Option<Arc<Generation>> {
        let state = self.state();
        let pending = state.pending.as_ref()?;
        (Instant::now() >= pending.until).then(|| Arc::clone(&pending.back_to))
    }

    /// When a change is taken back.
    pub(super) fn until(&self) -> Option<Instant> {
        self.state().pending.as_ref().map(|pending| pending.until)
    }

    /// Nothing waits any more; whether something did.
    pub(super) fn settle(&self) -> bool {
        self.state().pending.take().is_some()
    }

    /// What was taken stays; whether it waited for that, or for being written down.
    ///
    /// # Errors
    /// What the operating system says: it stays in use, and a restart would take it back.
    pub fn confirm(&self) -> io::Result<bool> {
        let waited = self.settle();
        if !waited && !self.is_owed() {
            return Ok(false);
        }
        self.stay().map(|()| true)
    }

    /// What is in use is gone back from by no start.
    pub(super) fn stay(&self) -> io::Result<()> {
        let mut state = self.state();
        let Some(newest) = state.kept.pop() else {
            return Ok(());
        };
        let newest = Arc::new(Generation {
            returns_to: None,
            ..(*newest).clone()
        });
        state.kept.push(Arc::clone(&newest));
        drop(state);
        self.write(&newest)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an earlier one can be gone back to without the word of somebody who writes files: not to another `[api]`, from
/// one with `four_eyes` (SEC-151).
fn leads_back(from: Option<&Generation>, to: &Loaded) -> bool {
    let from = from.and_then(|own| crate::config::load(&own.sources(), None).ok());
    from.is_none_or(|from| !from.shell.has_four_eyes || from.shell.has_access_of(&to.shell))
}

/// Where the text of one stood among older ones when it was new there.
fn stood(older: &[Arc<Generation>], one: &Generation) -> Option<usize> {
    let is_same = |own: &Arc<Generation>| own.files == one.files;
    let new = older
        .iter()
        .rposition(|own| is_same(own) && !own.is_again());
    new.or_else(|| older.iter().position(is_same))
}

/// Reads a configuration as far as a start needs it.
fn usable(sources: &[Source]) -> Result<Loaded, ReloadFault> {
    let loaded = crate::config::load(sources, None).map_err(ReloadFault::Invalid)?;
    reload::identities(&loaded)?;
    reload::trust(&loaded)?;
    Ok(loaded)
}

/// A sum over files as they are kept.
pub(super) fn sum(sources: &[Source]) -> String {
    let files: Vec<Kept> = sources.iter().map(kept).collect();
    sum_over(&files)
}

fn sum_of(generation: &Generation) -> String {
    sum_over(&generation.files)
}

fn sum_over(files: &[Kept]) -> String {
    let mut sum = Sha256::new();
    for text in files.iter().flat_map(|file| [&file.path, &file.text]) {
        sum.update((text.len() as u64).to_be_bytes());
        sum.update(text.as_bytes());
    }
    let sum = sum.finalize();
    sum.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn kept(source: &Source) -> Kept {
    Kept {
        path: source.path.clone(),
        text: source.unrevealed(),
    }
}

fn path(folder: &Path, generation: &Generation) -> PathBuf {
    folder.join(format!("{:020}.json", generation.first))
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder)?.collect();
    let mut paths: Vec<PathBuf> = entries?.iter().map(fs::DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    // Those that are too old and could not be removed are left out.
    Ok(paths.split_off(paths.len().saturating_sub(MOST + 1)))
}

fn read(path: &Path, log: &Log) -> Option<Arc<Generation>> {
    match whole::read(path, VERSION, |one: &Generation| one.version) {
        Ok(read) => read.map(Arc::new),
        Err(why) => {
            lost(log, path, &why);
            None
        }
    }
}

fn lost(log: &Log, path: &Path, why: &io::Error) {
    let text = "a configuration that was in use cannot be kept or read: it cannot be gone back to after a restart; the user \
                of the daemon must be able to write here";
    let line = log.warn("config_history", text);
    line.with("file", path.display()).with("why", why).send();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};

    fn log() -> Log {
        Log::start(Level::Error, Form::Text, io::sink()).unwrap().0
    }

    fn take(generations: &Generations, number: u64, text: &str) {
        generations.take(Taken {
            number,
            sources: &[Source::new("a.toml", text)],
            by: By::Reload,
            origin: Origin::Files,
            instead_of: None,
        });
    }

    #[test]
    fn twenty_texts_are_kept_for_the_daemon_alone_and_numbers_of_one_text_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let generations = Generations::open(Some(folder.path()), log());
        for number in 1..=30 {
            take(
                &generations,
                number,
                &format!("# password = \"geheim\" {}", number / 2 * 2),
            );
        }
        let kept = generations.kept();
        assert_eq!(kept.len(), 16);
        assert_eq!((kept[15].first, kept[15].last), (30, 30));
        assert_eq!((kept[14].first, kept[14].last), (28, 29));
        for number in 31..=60 {
            take(&generations, number, &number.to_string());
        }
        let again = Generations::open(Some(folder.path()), log());
        assert_eq!(again.kept(), generations.kept());
        assert_eq!(again.kept().len(), MOST);
        assert_eq!(again.find(41).unwrap().first, 41);
        assert_eq!(again.find(40), None);
        let whole = fs::read_dir(folder.path().join(FOLDER)).unwrap();
        let files: Vec<_> = whole.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), MOST);
        for file in files {
            assert!(!fs::read_to_string(file).unwrap().contains("geheim"));
        }
    }

    #[test]
    fn a_file_that_is_damaged_is_left_out_and_the_others_count() {
        let folder = tempfile::tempdir().unwrap();
        let generations = Generations::open(Some(folder.path()), log());
        take(&generations, 1, "a");
        take(&generations, 2, "b");
        let kept = generations.kept();
        fs::write(path(&folder.path().join(FOLDER), &kept[0]), "{").unwrap();
        let again = Generations::open(Some(folder.path()), log());
        assert_eq!(again.kept(), [Arc::clone(&kept[1])]);
    }

    #[test]
    fn the_one_that_may_have_to_be_gone_back_to_stays() {
        let generations = Generations::open(None, log());
        take(&generations, 1, "a");
        generations.await_word(Duration::from_secs(60));
        for number in 2..=50 {
            take(&generations, number, &number.to_string());
        }
        assert!(generations.find(1).is_some());
        assert!(generations.kept().last().unwrap().is_unconfirmed());
        assert!(generations.confirm().unwrap() && !generations.confirm().unwrap());
        assert!(!generations.kept().last().unwrap().is_unconfirmed());
        take(&generations, 51, "51");
        assert!(generations.find(1).is_none());
    }

    #[test]
    fn what_is_confirmed_and_cannot_be_written_is_owed_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let generations = Generations::open(Some(folder.path()), log());
        take(&generations, 1, "a");
        generations.await_word(Duration::from_secs(60));
        take(&generations, 2, "b");
        let place = folder.path().join(FOLDER);
        let aside = folder.path().join("aside");
        fs::rename(&place, &aside).unwrap();
        generations.confirm().unwrap_err();
        assert!(generations.is_owed() && generations.until().is_none());
        generations.write_again().unwrap_err();
        fs::rename(&aside, &place).unwrap();
        assert!(generations.confirm().unwrap());
        assert!(!generations.is_owed() && !generations.confirm().unwrap());
        let again = Generations::open(Some(folder.path()), log());
        assert!(!again.kept().last().unwrap().is_unconfirmed());
    }

    #[test]
    fn each_step_back_leads_to_an_older_one_and_never_to_what_was_left_behind() {
        let generations = Generations::open(None, log());
        for (number, text) in [(1, "a"), (2, "b"), (3, "bad")] {
            take(&generations, number, text);
        }
        let back = |number: u64, wanted: u64, same: u64| {
            let before = generations.before().unwrap();
            assert_eq!(before.last, wanted);
            generations.take(Taken {
                number,
                sources: &before.sources(),
                by: By::Rollback,
                origin: Origin::Earlier(By::Rollback),
                instead_of: None,
            });
            assert_eq!(generations.same_as(number).unwrap().last, same);
        };
        back(4, 2, 2);
        // The operator has mended the files, which say the same now.
        take(&generations, 5, "b");
        back(6, 1, 1);
        assert_eq!(generations.before(), None, "nothing is older");
        // A change since counts from where it was made.
        take(&generations, 7, "worse");
        assert_eq!(generations.same_as(7), None);
        back(8, 6, 1);
        assert_eq!(generations.before(), None);
    }

    #[test]
    fn what_was_in_use_and_is_asked_for_by_its_number_has_one_before() {
        let generations = Generations::open(None, log());
        take(&generations, 1, "a");
        take(&generations, 2, "b");
        let own = generations.kept()[1].sources();
        generations.take(Taken {
            number: 3,
            sources: &own,
            by: By::Rollback,
            origin: Origin::Earlier(By::Rollback),
            instead_of: None,
        });
        assert_eq!(generations.before().unwrap().last, 1);
        // Where the one that was gone back to stood is kept no more: those that are kept are not older than it.
        let oldest = generations.find(1).unwrap().sources();
        for number in 4..=22 {
            take(&generations, number, &number.to_string());
        }
        generations.take(Taken {
            number: 23,
            sources: &oldest,
            by: By::Rollback,
            origin: Origin::Earlier(By::Rollback),
            instead_of: None,
        });
        assert_eq!(generations.before(), None);
    }

    #[test]
    fn a_refusal_is_told_until_something_is_taken() {
        let generations = Generations::open(None, log());
        take(&generations, 1, "a");
        assert_eq!(generations.refusal(), None);
        generations.refuse("no".to_owned());
        assert_eq!(generations.refusal().as_deref(), Some("no"));
        take(&generations, 2, "a");
        assert_eq!(generations.refusal(), None);
    }

    #[test]
    fn the_same_text_has_no_way_back_to_itself() {
        let generations = Generations::open(None, log());
        take(&generations, 1, "a");
        generations.await_word(Duration::from_secs(60));
        take(&generations, 2, "a");
        assert!(!generations.kept().last().unwrap().is_unconfirmed());
        let sources = [Source::new("a.toml", "a")];
        generations.take(Taken {
            number: 3,
            sources: &sources,
            by: By::Rollback,
            origin: Origin::Files,
            instead_of: Some(sum(&sources)),
        });
        assert!(!generations.were_taken_back(&sum(&sources)));
    }
}
