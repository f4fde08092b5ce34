//! One collector: a bounded queue, and a task that connects, writes and comes back by itself.

use super::super::log::Log;
use super::super::metrics::{CollectorMetrics, HepMetrics};
use super::batch::{AT_ONCE, Batch};
use crate::daemon::resolver::Resolver;
use crate::https;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use rustls::pki_types::ServerName;
use sbc_core::config::HepCollector;
use sbc_core::locate::Families;
use sbc_core::query::{Outcome, ResolveSpec};
use sbc_core::transport::Protocol;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// Frames that may wait for one collector.
const QUEUE: usize = 8_192;
/// Their octets in all.
const QUEUE_BYTES: usize = 16 << 20;
/// Datagrams of which one would have been sent back, if nobody took them.
const RETURNED: usize = 4;
/// Longest time for a connection, a handshake and one write.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after the first failure; doubles up to the last one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// What the collectors of a configuration have in common.
#[derive(Clone)]
pub(super) struct Reach {
    pub(super) runtime: Handle,
    pub(super) resolver: Resolver,
    /// Whom collectors with TLS are believed by, or why nobody can be.
    pub(super) tls: Result<TlsConnector, String>,
    pub(super) metrics: HepMetrics,
    pub(super) log: Log,
}

/// The queue of one collector.
pub(super) struct Post {
    frames: mpsc::Sender<Batch>,
    waiting: Arc<Waiting>,
    task: JoinHandle<()>,
}

/// What waits for a collector, and why.
#[derive(Default)]
pub(super) struct Waiting {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    trouble: Mutex<Option<String>>,
}

impl Waiting {
    /// Why the collector is not there, if it is not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, frames: &Batch) {
        // Ordering: only the sums matter.
        self.frames.fetch_sub(frames.len(), Ordering::Relaxed);
        let octets = frames.octets().len();
        self.bytes.fetch_sub(octets, Ordering::Relaxed);
    }
}

impl Post {
    /// Starts the task of a collector.
    pub(super) fn start(collector: HepCollector, reach: &Reach) -> Self {
        let (frames, queue) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Waiting::default());
        let sender = Sender {
            metrics: reach.metrics.of(&collector.to_string()),
            name: collector.to_string(),
            collector,
            reach: reach.clone(),
            waiting: Arc::clone(&waiting),
            unsent: None,
            is_down: false,
        };
        let task = reach.runtime.spawn(sender.run(queue));
        Self {
            frames,
            waiting,
            task,
        }
    }

    /// Queues frames, all at once: each time wakes the task. `false` if there is no room for them.
    pub(super) fn offer(&self, frames: &Batch) -> bool {
        let (count, octets) = (frames.len(), frames.octets().len());
        // Ordering: only the sums matter.
        let bytes = self.waiting.bytes.fetch_add(octets, Ordering::Relaxed);
        let before = self.waiting.frames.fetch_add(count, Ordering::Relaxed);
        let has_room = bytes + octets <= QUEUE_BYTES && before + count <= QUEUE;
        let is_taken = has_room && self.frames.try_send(frames.clone()).is_ok();
        if !is_taken {
            self.waiting.taken(frames);
        }
        is_taken
    }

    /// Frames that wait.
    pub(super) fn depth(&self) -> usize {
        self.waiting.frames.load(Ordering::Relaxed)
    }

    /// What is known of it.
    pub(super) fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    /// Lets the task write what waits, and end.
    pub(super) fn close(self) -> JoinHandle<()> {
        self.task
    }
}

/// Why a collector is not served any more.
enum End {
    /// Nothing more will come.
    Over,
    /// The way there is lost.
    Lost(String),
}

/// A way to a collector.
enum Way {
    Datagrams(UdpSocket),
    Stream(Box<dyn Both>),
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

struct Sender {
    name: String,
    collector: HepCollector,
    reach: Reach,
    metrics: CollectorMetrics,
    waiting: Arc<Waiting>,
    /// Taken from the queue, and not known to have gone.
    unsent: Option<Batch>,
    is_down: bool,
}

impl Sender {
    async fn run(mut self, mut queue: mpsc::Receiver<Batch>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.connect().await {
                Err(why) => why,
                Ok(way) => {
                    // Whether somebody takes datagrams is known once they are not sent back.
                    if !self.is_down || matches!(way, Way::Stream(_)) {
                        self.is_up();
                    }
                    let before = self.metrics.sent.get();
                    let end = match way {
                        Way::Datagrams(socket) => self.datagrams(&socket, &mut queue).await,
                        Way::Stream(stream) => self.stream(stream, &mut queue).await,
                    };
                    if self.metrics.sent.get() > before + 1 {
                        pause = FIRST_PAUSE;
                    }
                    match end {
                        End::Over => return,
                        End::Lost(why) => why,
                    }
                }
            };
            self.is_lost(&why);
            sleep(pause).await;
            pause = (2 * pause).min(LAST_PAUSE);
        }
    }

    fn is_up(&mut self) {
        self.metrics.up.set(1);
        self.waiting.lock().take();
        if std::mem::take(&mut self.is_down) {
            let log = &self.reach.log;
            let line = log.info("hep_up", "the collector can be written to again");
            line.with("collector", &self.name).send();
        }
    }

    fn is_lost(&mut self, why: &str) {
        self.metrics.up.set(0);
        let told = format!(
            "the collector {} of [hep] cannot be written to: {why}; it is tried again, and what finds no room \
             meanwhile is lost there; calls go on",
            self.name
        );
        *self.waiting.lock() = Some(told);
        if !std::mem::replace(&mut self.is_down, true) {
            let log = &self.reach.log;
            let line = log.warn("hep_down", "a collector cannot be written to");
            let line = line.with("collector", &self.name).with("why", why);
            line.with("advice", "see that it listens there, and what lies between")
                .send();
        }
    }

    async fn connect(&self) -> Result<Way, String> {
        let addresses = self.addresses().await?;
        match self.collector.protocol {
            Protocol::Udp => {
                let to = addresses.first().ok_or("its name has no address")?;
                let any: IpAddr = match to {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = UdpSocket::bind((any, 0)).await;
                let socket = socket.map_err(|why| why.to_string())?;
                socket.connect(to).await.map_err(|why| why.to_string())?;
                Ok(Way::Datagrams(socket))
            }
            Protocol::Tcp => Ok(Way::Stream(Box::new(dial(addresses).await?))),
            Protocol::Tls => {
                let connector = self.reach.tls.clone()?;
                let name = ServerName::try_from(self.collector.host.clone());
                let name = name.map_err(|_| "its name cannot be verified".to_owned())?;
                let stream = dial(addresses).await?;
                let shaken = timeout(PATIENCE, connector.connect(name, stream)).await;
                let shaken = shaken.map_err(|_| "no TLS handshake within 5 s".to_owned())?;
                let stream = shaken.map_err(|why| format!("TLS: {why}"))?;
                Ok(Way::Stream(Box::new(stream)))
            }
        }
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let HepCollector {
            host,
            port,
            protocol,
        } = &self.collector;
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, *port)]);
        }
        let spec = ResolveSpec {
            host: host.clone(),
            port: *port,
            protocol: *protocol,
            families: Families::BOTH,
        };
        match self.reach.resolver.resolve(&spec).await {
            Outcome::Resolved(addresses) if !addresses.is_empty() => Ok(addresses),
            _ => Err("its name has no address".to_owned()),
        }
    }

    /// Takes frames out of the queue.
    fn takes(&mut self, frames: Batch) {
        self.waiting.taken(&frames);
        self.unsent = Some(frames);
    }

    async fn datagrams(&mut self, to: &UdpSocket, queue: &mut mpsc::Receiver<Batch>) -> End {
        let mut sent = 0;
        // So many go one by one: of several at once the kernel does not tell that one was sent back.
        let mut singly = if self.is_down { RETURNED } else { 0 };
        loop {
            let Some(unsent) = &mut self.unsent else {
                match queue.recv().await {
                    Some(frames) => self.takes(frames),
                    None => return End::Over,
                }
                continue;
            };
            let most = if singly > 0 { 1 } else { AT_ONCE };
            let frames: Vec<&[u8]> = unsent.frames().take(most).collect();
            let done = to
                .async_io(Interest::WRITABLE, || send_together(to, &frames))
                .await;
            let (gone, end) = match done {
                Ok(gone) => (gone, None),
                Err(why) => {
                    self.reach.metrics.lost(1);
                    (1, Some(End::Lost(why.to_string())))
                }
            };
            singly = match gone < frames.len() {
                true => RETURNED,
                false => singly.saturating_sub(1),
            };
            unsent.went(gone);
            if unsent.len() == 0 {
                self.unsent = None;
            }
            if let Some(end) = end {
                return end;
            }
            self.metrics
                .sent
                .inc_by(u64::try_from(gone).unwrap_or(u64::MAX));
            sent += gone;
            if sent >= RETURNED && self.is_down {
                self.is_up();
            }
        }
    }

    async fn stream(&mut self, to: Box<dyn Both>, queue: &mut mpsc::Receiver<Batch>) -> End {
        let (mut reader, mut writer) = tokio::io::split(to);
        // Collectors say nothing; whatever one says is not kept.
        let mut said = [0; 512];
        loop {
            let Some(unsent) = &self.unsent else {
                tokio::select! {
                    taken = queue.recv() => match taken {
                        Some(frames) => self.takes(frames),
                        None => {
                            let _ = timeout(PATIENCE, writer.shutdown()).await;
                            return End::Over;
                        }
                    },
                    read = reader.read(&mut said) => match read {
                        Ok(0) => return End::Lost("it has closed the connection".to_owned()),
                        Ok(_) => {}
                        Err(why) => return End::Lost(why.to_string()),
                    },
                }
                continue;
            };
            let written = timeout(PATIENCE, async {
                writer.write_all(unsent.octets()).await?;
                writer.flush().await
            });
            match written.await {
                Err(_) => return End::Lost("it does not read: no write within 5 s".to_owned()),
                Ok(Err(why)) => return End::Lost(why.to_string()),
                Ok(Ok(())) => {}
            }
            let sent = u64::try_from(unsent.len()).unwrap_or(u64::MAX);
            self.metrics.sent.inc_by(sent);
            self.unsent = None;
        }
    }
}

/// Sends datagrams with one call of the kernel; says how many of them it took.
fn send_together(to: &UdpSocket, frames: &[&[u8]]) -> io::Result<usize> {
    let octets: Vec<[IoSlice<'_>; 1]> = frames.iter().map(|own| [IoSlice::new(own)]).collect();
    let mut nothing: Vec<SendAncillaryBuffer<'_, '_, '_>> = Vec::new();
    nothing.resize_with(frames.len(), Default::default);
    let mut messages: Vec<MMsgHdr<'_>> = octets
        .iter()
        .zip(&mut nothing)
        .map(|(octets, control)| MMsgHdr::new(octets, control))
        .collect();
    Ok(sendmmsg(to, &mut messages, SendFlags::empty())?)
}

async fn dial(addresses: Vec<SocketAddr>) -> Result<TcpStream, String> {
    let stream = timeout(PATIENCE, https::connect(addresses)).await;
    stream.map_err(|_| "no connection within 5 s".to_owned())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_that_come_together_go_together_each_in_a_datagram_of_its_own() {
        let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let here = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        here.connect(there.local_addr().unwrap()).await.unwrap();
        let frames = [&b"a"[..], b"bc", b"", b"def"];
        let sent = here
            .async_io(Interest::WRITABLE, || send_together(&here, &frames))
            .await;
        assert_eq!(sent.unwrap(), frames.len());
        let mut octets = [0; 16];
        for frame in frames {
            let length = there.recv(&mut octets).await.unwrap();
            assert_eq!(&octets[..length], frame);
        }
    }
}
