//! The daemon as a child process.

use super::fault::LabFault;
use super::http::{self, Answer};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long it may take to get ready.
const START: Duration = Duration::from_secs(20);
/// How long it may wait for calls to end, and how long it may take to end after a second request.
const STOP: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Lines of the log that a fault shows.
const TAIL: usize = 12;

/// A running daemon. It ends with this value, and with this process: however that ends, even by a
/// signal that nobody can catch, the system closes the pipe whose other end the daemon watches.
pub struct Daemon {
    child: Child,
    _alive: Option<ChildStdin>,
    pid: u32,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts the daemon and waits until it takes calls. If this process ends without a word, the
    /// daemon ends too, and removes the folder unless it is to be kept.
    ///
    /// # Errors
    /// [`LabFault::Ended`] or [`LabFault::NotReady`], with the end of its log.
    pub async fn start(
        program: &Path,
        folder: &Path,
        metrics: SocketAddr,
        keep: bool,
    ) -> Result<Self, LabFault> {
        let log = folder.join("causeway.log");
        let file = File::create(&log).map_err(|why| LabFault::File {
            path: log.clone(),
            why,
        })?;
        let mut command = Command::new(program);
        command
            .arg("run")
            .arg("--config")
            .arg(folder.join("causeway.toml"))
            .args(["--log-form", "text"])
            .arg("--end-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(file)
            // Ctrl-C is for the lab, which ends the daemon in order.
            .process_group(0)
            .kill_on_drop(true);
        if !keep {
            command.arg("--remove-folder").arg(folder);
        }
        let system = |why| LabFault::System {
            what: "start the daemon",
            why,
        };
        let mut child = command.spawn().map_err(system)?;
        let pid = child.id().unwrap_or_default();
        let mut daemon = Self {
            _alive: child.stdin.take(),
            child,
            pid,
            socket: folder.join("api.sock"),
            log,
        };
        daemon.ready(metrics).await?;
        Ok(daemon)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its operators' socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks as an operator's command does.
    ///
    /// # Errors
    /// [`LabFault::Unanswered`].
    pub async fn ask(&self, path: &str) -> Result<String, LabFault> {
        self.request("GET", path).await
    }

    /// Tells it what to do, as an operator's command does.
    ///
    /// # Errors
    /// [`LabFault::Unanswered`].
    pub async fn tell(&self, path: &str) -> Result<String, LabFault> {
        self.request("POST", path).await
    }

    async fn request(&self, method: &str, path: &str) -> Result<String, LabFault> {
        let asked = async {
            let stream = UnixStream::connect(&self.socket).await?;
            http::ask(stream, method, &format!("/api/v1{path}")).await
        };
        let fault = |why: String| LabFault::Unanswered {
            path: path.to_owned(),
            why,
        };
        match timeout(START, asked).await {
            Ok(Ok(Answer {
                status: 200..=299,
                body,
            })) => Ok(body),
            Ok(Ok(Answer { status, body })) => Err(fault(format!("{status} {body}"))),
            Ok(Err(why)) => Err(fault(why.to_string())),
            Err(_) => Err(fault("it took too long".to_owned())),
        }
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.iter().skip(lines.len().saturating_sub(TAIL));
        tail.map(|line| format!("  {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Its whole log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as a service manager does. Says its exit status.
    pub async fn stop(mut self) -> String {
        for patience in STOP {
            self.terminate();
            if let Ok(status) = timeout(patience, self.child.wait()).await {
                return status.map_or_else(|why| why.to_string(), |status| status.to_string());
            }
        }
        // Nothing is left to ask for; what it was doing is in its log.
        let _ = self.child.kill().await;
        let waited: Duration = STOP.iter().sum();
        format!("killed after {} s", waited.as_secs())
    }

    fn terminate(&self) {
        let id = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let (Some(id), Some(_)) = (id, self.child.id()) {
            // It may have ended this very moment, which is what is wanted.
            let _ = kill_process(id, Signal::TERM);
        }
    }

    async fn ready(&mut self, metrics: SocketAddr) -> Result<(), LabFault> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(LabFault::Ended {
                    status: status.to_string(),
                    log: self.log_tail(),
                });
            }
            let asked = async { http::get(TcpStream::connect(metrics).await?, "/startupz").await };
            if let Ok(Ok(Answer { status: 200, .. })) = timeout(START, asked).await {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(LabFault::NotReady {
                    after: START,
                    log: self.log_tail(),
                });
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}
