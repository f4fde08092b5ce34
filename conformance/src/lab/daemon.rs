//! The daemon as a child process.

use super::fault::LabFault;
use super::http::{self, Answer};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Mutex;
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
    running: Mutex<Running>,
    pid: AtomicU32,
    manner: Manner,
    socket: PathBuf,
    log: PathBuf,
}

/// Its process, and the pipe that it watches.
struct Running {
    child: Child,
    _alive: Option<ChildStdin>,
}

/// How it is started, each time.
struct Manner {
    program: PathBuf,
    folder: PathBuf,
    metrics: SocketAddr,
    keep: bool,
    state: Option<PathBuf>,
}

impl Manner {
    fn spawn(&self, log: &Path) -> Result<Running, LabFault> {
        let file = File::options().append(true).create(true).open(log);
        let file = file.map_err(|why| LabFault::File {
            path: log.to_owned(),
            why,
        })?;
        let mut command = Command::new(&self.program);
        command
            .arg("run")
            .arg("--config")
            .arg(self.folder.join("causeway.toml"))
            .args(["--log-form", "text"])
            .arg("--end-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(file)
            // Ctrl-C is for the lab, which ends the daemon in order.
            .process_group(0)
            .kill_on_drop(true);
        if !self.keep {
            command.arg("--remove-folder").arg(&self.folder);
        }
        if let Some(state) = &self.state {
            command.arg("--state").arg(state);
        }
        let mut child = command.spawn().map_err(|why| LabFault::System {
            what: "start the daemon",
            why,
        })?;
        Ok(Running {
            _alive: child.stdin.take(),
            child,
        })
    }
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
        Self::start_keeping(program, folder, metrics, keep, None).await
    }

    /// The same, where it keeps in a folder what outlives a restart.
    ///
    /// # Errors
    /// [`LabFault::Ended`] or [`LabFault::NotReady`], with the end of its log.
    pub async fn start_keeping(
        program: &Path,
        folder: &Path,
        metrics: SocketAddr,
        keep: bool,
        state: Option<&Path>,
    ) -> Result<Self, LabFault> {
        let log = folder.join("causeway.log");
        // What is told before a restart stays.
        let _ = std::fs::remove_file(&log);
        let manner = Manner {
            program: program.to_owned(),
            folder: folder.to_owned(),
            metrics,
            keep,
            state: state.map(Path::to_owned),
        };
        let running = manner.spawn(&log)?;
        let daemon = Self {
            pid: running.child.id().unwrap_or_default().into(),
            running: running.into(),
            manner,
            socket: folder.join("api.sock"),
            log,
        };
        daemon.ready(metrics).await?;
        Ok(daemon)
    }

    /// Ends it as a service manager does and starts it again, with the same files.
    ///
    /// # Errors
    /// [`LabFault::Ended`] or [`LabFault::NotReady`], with the end of its log.
    pub async fn restart(&self) -> Result<(), LabFault> {
        self.ends().await;
        self.starts_again().await
    }

    async fn starts_again(&self) -> Result<(), LabFault> {
        let running = self.manner.spawn(&self.log)?;
        // Ordering: the number stands for itself.
        let pid = running.child.id().unwrap_or_default();
        self.pid.store(pid, Ordering::Relaxed);
        *self.running.lock().await = running;
        self.ready(self.manner.metrics).await
    }

    /// Ends it as a failure of its machine does, without a word, and starts it again as a service manager does.
    ///
    /// # Errors
    /// [`LabFault::Ended`] or [`LabFault::NotReady`], with the end of its log.
    pub async fn crash(&self) -> Result<(), LabFault> {
        let _ = self.running.lock().await.child.kill().await;
        self.starts_again().await
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        // Ordering: the number stands for itself.
        self.pid.load(Ordering::Relaxed)
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
    pub async fn stop(self) -> String {
        self.ends().await
    }

    async fn ends(&self) -> String {
        let mut running = self.running.lock().await;
        for patience in STOP {
            self.terminate(&running.child);
            if let Ok(status) = timeout(patience, running.child.wait()).await {
                return status.map_or_else(|why| why.to_string(), |status| status.to_string());
            }
        }
        // Nothing is left to ask for; what it was doing is in its log.
        let _ = running.child.kill().await;
        let waited: Duration = STOP.iter().sum();
        format!("killed after {} s", waited.as_secs())
    }

    fn terminate(&self, child: &Child) {
        let id = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if let (Some(id), Some(_)) = (id, child.id()) {
            // It may have ended this very moment, which is what is wanted.
            let _ = kill_process(id, Signal::TERM);
        }
    }

    async fn ready(&self, metrics: SocketAddr) -> Result<(), LabFault> {
        let deadline = Instant::now() + START;
        loop {
            let ended = self.running.lock().await.child.try_wait();
            if let Ok(Some(status)) = ended {
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
