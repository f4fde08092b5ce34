//! The subject's nodes: one more of ours, the pair of others, and what all of them say and keep.

use super::assertion;
use super::setting::{FQDN, Peers, SECOND};
use super::stage::Stage;
use super::subject::Other;
use super::verdict::{Failure, Unasked};
use super::word::Word;
use crate::ca::Identity;
use crate::lab::daemon::Daemon;
use crate::lab::fault::LabFault;
use crate::lab::place::{self, Ports};
use crate::lock::lock;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Runs a command of the subject's file, with these words behind it. What it says is nobody's report.
async fn ends_well(command: &[String], words: &[&str]) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        return Err("no command".to_owned());
    };
    let mut child = Command::new(program);
    child.args(arguments).args(words).stdin(Stdio::null());
    child.stdout(Stdio::null()).stderr(Stdio::null());
    match child.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}")),
        Err(why) => Err(format!("{program}: {why}")),
    }
}

async fn does(key: &str, command: &[String]) -> Result<(), Failure> {
    let ended = ends_well(command, &[]).await;
    ended.map_err(|why| Failure::new("ladder", format!("{key}: {why}")))
}

impl Other {
    /// Has it configured as these words say, where the file tells how.
    ///
    /// # Errors
    /// [`LabFault::System`].
    pub(super) async fn is_configured_as(&self, words: &[Word]) -> Result<(), LabFault> {
        if self.configure.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = words.iter().map(|word| word.name).collect();
        let ended = timeout(CONFIGURED, ends_well(&self.configure, &names)).await;
        let late = |_| format!("not done after {} s", CONFIGURED.as_secs());
        let why = match ended.map_err(late) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) | Err(why) => why,
        };
        Err(LabFault::System {
            what: "configure the subject as its file says",
            why: io::Error::other(why),
        })
    }
}

/// Longest time until a subject is configured.
const CONFIGURED: Duration = Duration::from_secs(120);

impl Stage {
    /// Starts one more node of ours, with the second name and place.
    ///
    /// # Errors
    /// [`LabFault`].
    pub async fn starts_second_node(&self) -> Result<Arc<Daemon>, LabFault> {
        let system = |why: io::Error| LabFault::System {
            what: "start a second node",
            why,
        };
        let (Some(program), Some(first)) = (&self.program, self.folder()) else {
            return Err(system(io::Error::other("the subject is not ours")));
        };
        self.has_name(SECOND);
        let folder = first.join("second");
        std::fs::create_dir_all(&folder).map_err(system)?;
        for name in ["ca.pem", "sbc.pem", "sbc.key"] {
            std::fs::copy(first.join(name), folder.join(name)).map_err(system)?;
        }
        let at = |index: usize| self.proxies[index].address();
        let peers = Peers {
            names: None,
            branch: None,
            microsoft: None,
            carriers: [self.carriers[0].address(), self.carriers[1].address()],
            proxies: [at(0), at(1), at(2)],
            elsewhere: at(3),
        };
        let mut ports = Ports::choose(&self.addresses, None)?;
        ports.tls = self.second_side;
        let text = self
            .setting
            .write(&folder, &self.addresses, &ports, &peers)
            .replace(FQDN, SECOND)
            .replace("id = \"certified\"", "id = \"second\"")
            .replace("20000-24999", "30000-31999")
            .replace("25000-29999", "32000-32499");
        place::write(&folder, "causeway.toml", &text)?;
        let daemon = Daemon::start(program, &folder, ports.metrics, false).await?;
        let daemon = Arc::new(daemon);
        lock(&self.more_nodes).push(Arc::clone(&daemon));
        Ok(daemon)
    }

    /// What every node of ours says together.
    ///
    /// # Errors
    /// [`LabFault::Unanswered`].
    pub async fn ask_all(&self, path: &str) -> Result<Vec<String>, LabFault> {
        let mut told = vec![self.ask(path).await?];
        let more = lock(&self.more_nodes).clone();
        for daemon in more {
            told.push(self.as_told(daemon.ask(path).await?));
        }
        Ok(told)
    }

    /// The records that our daemon has written into files.
    pub(super) fn spooled(&self) -> String {
        let Some(spool) = self.folder().map(|folder| folder.join("cdr")) else {
            return String::new();
        };
        let files = std::fs::read_dir(spool).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.collect()
    }

    /// Whether another node stands ready to take over.
    pub fn is_pair(&self) -> bool {
        !self.fail_over.is_empty()
    }

    /// Takes the active node of a pair away, as the subject's file says. One that is alone crashes and is started again.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn loses_a_node(&self) -> Result<(), Failure> {
        match &self.daemon {
            Some(daemon) => Ok(daemon.crash().await?),
            None if self.is_pair() => does("fail_over", &self.fail_over).await,
            None => does("restart", &self.restart).await,
        }
    }

    /// Ends the subject and starts it again: ours as a service manager does, another as its file says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn restarts(&self) -> Result<(), Failure> {
        match &self.daemon {
            Some(daemon) => Ok(daemon.restart().await?),
            None => does("restart", &self.restart).await,
        }
    }

    /// Puts a renewed certificate of the subject into use: of ours this one, of another what its file says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn renews(&self, renewed: &Identity) -> Result<(), Failure> {
        let Some(folder) = self.folder() else {
            return does("renew", &self.renew).await;
        };
        place::write(folder, "sbc.pem", &renewed.chain_pem)?;
        place::write(folder, "sbc.key", &renewed.key_pem)?;
        self.tell("/reload").await?;
        Ok(())
    }

    /// The rules that cannot be asked about: those on what is left afterwards, of somebody else's SBC or
    /// after a case that ended early.
    pub fn unasked(&self, ended_by: Option<&Failure>) -> Vec<Unasked> {
        let why = match (&self.daemon, ended_by) {
            (None, _) => {
                "what this subject keeps afterwards cannot be read from outside".to_owned()
            }
            (Some(_), Some(failure)) => format!("the case ended early ({})", failure.rule),
            (Some(_), None) => return Vec::new(),
        };
        let rules = assertion::OF_TRACES.into_iter();
        let unasked = |rule| Unasked {
            rule,
            why: why.clone(),
        };
        rules.map(unasked).collect()
    }
}
