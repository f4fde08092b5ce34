//! Microsoft's reports on the stage: its login and Graph, and the subject's command that reads them.

use super::case::{PATIENCE, Played};
use super::setting::Proof;
use super::stage::Stage;
use super::verdict::Failure;
use crate::lab::fault::LabFault;
use crate::lock::lock;
use crate::microsoft::{Microsoft, Script};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Longest time for the command.
const LIMIT: Duration = Duration::from_secs(60);

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> Failure {
    let what = what.to_owned();
    move |why| Failure::new("ladder", format!("{what}: {why}"))
}

/// A socket for Microsoft, at which the subject may knock before the case has started it.
pub(super) async fn takes_microsoft() -> Result<(TcpListener, SocketAddr), LabFault> {
    let system = |why| LabFault::System {
        what: "open a socket for a peer",
        why,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(system)?;
    let at = listener.local_addr().map_err(system)?;
    Ok((listener, at))
}

impl Stage {
    /// Microsoft with a script of the case's own; it knows the subject as the setting says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn microsoft(&self, mut script: Script) -> Result<Microsoft, Failure> {
        (script.asked, script.answered) = self.reports;
        if self.setting.reports == Some(Proof::Certificate) {
            let parts = self.kit.sbc.parts();
            let (chain, _) = parts.map_err(|why| Failure::new("ladder", why.to_string()))?;
            script.certificate = chain.first().map(|own| own.to_vec());
        }
        let place = lock(&self.microsoft_at).take();
        let started = match place {
            Some(place) => Microsoft::start_at(place, &self.kit.authority, script),
            None => Microsoft::start(&self.kit.authority, script).await,
        };
        started.map_err(failed("Microsoft cannot be started"))
    }

    /// What the subject tells of the customer's calls of some days, beside what Microsoft reports. Everything that
    /// it asked Microsoft wrongly is noted.
    ///
    /// # Errors
    /// The given rule, if the command fails.
    pub async fn records(
        &self,
        microsoft: &Microsoft,
        (first, last): (&str, &str),
        rule: &str,
    ) -> Result<Value, Failure> {
        let (Some(program), Some(folder)) = (&self.program, self.folder()) else {
            return Err(Failure::new("ladder", "the subject is not ours"));
        };
        let child = Command::new(program)
            .args(["teams", "records", "--json", "--from", first, "--to", last])
            .arg("--config")
            .arg(folder.join("causeway.toml"))
            .arg("--roots")
            .arg(folder.join("ca.pem"))
            .args(microsoft.arguments())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(LIMIT, child).await;
        for breach in microsoft.breaches() {
            self.check(breach.rule, false, || breach.what);
        }
        let output = output
            .map_err(|_| Failure::new(rule, format!("no end after {} s", LIMIT.as_secs())))?
            .map_err(failed("the command cannot be started"))?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let told: Value = serde_json::from_str(&self.as_told(told)).unwrap_or_default();
        match told["tenants"].get(0) {
            Some(tenant) if output.status.success() => Ok(tenant.clone()),
            _ => {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(Failure::new(rule, format!("{}: {errors}", output.status)))
            }
        }
    }

    /// Waits until the subject has written so many records.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn recorded(&self, calls: usize) -> Played {
        let spool = self.folder().map(|folder| folder.join("cdr/current.jsonl"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = spool
                .as_ref()
                .and_then(|path| std::fs::read_to_string(path).ok());
            let lines = text.map_or(0, |text| text.lines().count());
            if lines >= calls {
                return Ok(());
            }
            if Instant::now() > deadline {
                let why = format!("{lines} records of {calls} calls are written");
                return Err(Failure::new("ladder", why));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
