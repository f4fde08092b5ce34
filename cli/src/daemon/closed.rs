//! Trunks that an operator keeps new calls away from, kept in a file: whoever has disabled one for a reason does not want
//! a restart to forget it.

use crate::daemon::Daemon;
use crate::daemon::stop::ANSWER;
use crate::sink::log::Log;
use crate::sink::whole;
use sbc_core::id::TrunkName;
use sbc_core::input::Command;
use sbc_core::trunk::{Closed, Closing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the file.
const FILE: &str = "closed-trunks.json";
/// The form of the file that this program writes and reads.
const VERSION: u32 = 1;

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u32,
    trunks: BTreeMap<String, Closing>,
}

/// Trunks that are closed, and where that is kept.
pub struct ClosedTrunks {
    closed: Closed,
    file: Option<PathBuf>,
    /// Changes and their files come one after the other.
    turn: tokio::sync::Mutex<()>,
}

/// Whether a change outlives a restart, or why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It does.
    Kept,
    /// It does not, for this reason.
    Not(String),
}

impl ClosedTrunks {
    /// Those of this start; none is kept without a directory.
    pub fn new(closed: Closed, file: Option<PathBuf>) -> Self {
        Self {
            closed,
            file,
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Those that are closed.
    pub fn all(&self) -> BTreeMap<TrunkName, Closing> {
        self.closed.all()
    }

    /// As the shards see them.
    pub fn closed(&self) -> &Closed {
        &self.closed
    }

    async fn keep(&self) -> Kept {
        let Some(file) = self.file.clone() else {
            return Kept::Not("the daemon has no directory for state: run it with --state".into());
        };
        let whole = Whole {
            version: VERSION,
            trunks: {
                let all = self.all().into_iter();
                all.map(|(name, closing)| (name.to_string(), closing))
                    .collect()
            },
        };
        let place = file.display().to_string();
        let written = tokio::task::spawn_blocking(move || whole::write(&file, &whole)).await;
        match written.unwrap_or_else(|fault| Err(io::Error::other(fault))) {
            Ok(()) => Kept::Kept,
            Err(why) => Kept::Not(format!("{place}: {why}")),
        }
    }
}

/// Takes over what was closed before a restart; gives the file for what is closed from now on. One that cannot be
/// believed is told, as calls go where they should not then.
///
/// # Errors
/// If the directory cannot be made.
pub(super) fn restore(directory: &Path, closed: &Closed, log: &Log) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let file = directory.join(FILE);
    match whole::read(&file, VERSION, |whole: &Whole| whole.version) {
        Ok(None) => {}
        Ok(Some(whole)) => {
            for (trunk, closing) in &whole.trunks {
                log.warn("trunk_closed", "closed as before the restart")
                    .with("trunk", trunk)
                    .with("how", closing.as_str())
                    .send();
            }
            let all = whole.trunks.into_iter();
            closed.restore(all.map(|(name, own)| (TrunkName::new(&name), own)).collect());
        }
        Err(why) => log
            .error(
                "trunks_read",
                "which trunks were disabled or drained before the restart is not known: all have calls; the file is \
                 written anew with the next change",
            )
            .with("file", file.display())
            .with("why", why)
            .send(),
    }
    Ok(file)
}

impl Daemon {
    /// Keeps new calls away from a trunk, or lets it have them again. `None` if the shards have too much to do: then
    /// nothing has changed.
    pub async fn close_trunk(
        self: &Arc<Self>,
        trunk: TrunkName,
        closing: Option<Closing>,
    ) -> Option<Kept> {
        let _turn = self.closed_trunks().turn.lock().await;
        let first = self.inboxes().all().first()?;
        let command = Command::Close(trunk.clone(), closing);
        self.replies().ask(first, command, ANSWER).await?;
        let kept = self.closed_trunks().keep().await;
        if let (Kept::Not(why), Some(_)) = (&kept, &self.closed_trunks().file) {
            let what = "whether a trunk is disabled or drains is not kept for after a restart";
            let line = self.sinks().log.error("trunks_write", what);
            line.with("trunk", trunk).with("why", why).send();
        }
        Some(kept)
    }
}
