//! The subject's nodes: one more of ours, the pair of others, and what all of them say and keep.

use super::assertion;
use super::setting::{FQDN, Peers, SECOND};
use super::stage::Stage;
use super::verdict::{Failure, Unasked};
use crate::lab::daemon::Daemon;
use crate::lab::fault::LabFault;
use crate::lab::place::{self, Ports};
use crate::lock::lock;
use std::io;
use std::sync::Arc;
use tokio::process::Command;

/// Runs a command of the subject's file.
async fn does(key: &str, command: &[String]) -> Result<(), Failure> {
    let fault = |why: String| Failure::new("ladder", format!("{key}: {why}"));
    let [program, arguments @ ..] = command else {
        return Err(fault("no command".to_owned()));
    };
    let ended = Command::new(program).args(arguments).status().await;
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(fault(format!("{program} ended with {status}"))),
        Err(why) => Err(fault(format!("{program}: {why}"))),
    }
}

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

    /// Takes the active node of a pair away, as the subject's file says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn fails_over(&self) -> Result<(), Failure> {
        if self.fail_over.is_empty() {
            return Err(Failure::new(
                "ladder",
                "the subject's file says \"pair\" and not how its active node is ended: write \
                 fail_over = [\"command\", \"argument\"]",
            ));
        }
        does("fail_over", &self.fail_over).await
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
