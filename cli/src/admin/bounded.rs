//! Connections of a listener that anybody may reach: few at a time and none for long, so that whoever reaches it
//! cannot take the descriptors that calls need.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections at the same time; further ones are closed at once.
const MOST: usize = 64;
/// How long one may last. Who asks regularly connects again.
const LIFE: Duration = Duration::from_secs(60);
/// How long somebody may take nothing of an answer.
const STALL: Duration = Duration::from_secs(10);

/// A listener with bounds.
pub(crate) struct Bounded {
    tcp: TcpListener,
    seats: Arc<Semaphore>,
    life: Duration,
}

impl Bounded {
    /// The same socket with bounds.
    pub(crate) fn new(tcp: TcpListener) -> Self {
        Self {
            tcp,
            seats: Arc::new(Semaphore::new(MOST)),
            life: LIFE,
        }
    }

    /// So many connections, each so long.
    pub(crate) fn within(tcp: TcpListener, most: usize, life: Duration) -> Self {
        Self {
            tcp,
            seats: Arc::new(Semaphore::new(most)),
            life,
        }
    }
}

impl Listener for Bounded {
    type Io = Mortal;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Mortal, SocketAddr) {
        loop {
            let (stream, remote) = Listener::accept(&mut self.tcp).await;
            if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
                let mortal = Mortal {
                    stream,
                    end: Box::pin(sleep(self.life)),
                    stall: None,
                    _seat: seat,
                };
                return (mortal, remote);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A connection that fails when its time is over, whatever it is doing.
pub(crate) struct Mortal {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    /// Runs while nothing can be written.
    stall: Option<Pin<Box<Sleep>>>,
    _seat: OwnedSemaphorePermit,
}

impl Mortal {
    fn poll_io<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let done = poll(Pin::new(&mut self.stream), cx);
        if done.is_pending() {
            ready!(self.end.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        done
    }
}

impl AsyncRead for Mortal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_io(cx, |stream, cx| stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = self.poll_io(cx, |stream, cx| stream.poll_write(cx, octets));
        if done.is_ready() {
            self.stall = None;
            return done;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn served(life: Duration) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let mut bounded = Bounded::new(tcp);
        bounded.life = life;
        let router = axum::Router::new().route("/", axum::routing::get(|| async { "here" }));
        tokio::spawn(async move { axum::serve(bounded, router).await });
        address
    }

    /// What comes until the other side closes, whether by an end or a reset; it must.
    async fn rest(stream: &mut TcpStream) -> Vec<u8> {
        let mut octets = Vec::new();
        let reading = stream.read_to_end(&mut octets);
        let is_closed = tokio::time::timeout(Duration::from_secs(20), reading).await;
        assert!(is_closed.is_ok(), "still open");
        octets
    }

    /// Begins a request and never ends it.
    async fn slow(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HT").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn who_never_ends_a_request_is_closed() {
        let mut stream = slow(served(Duration::from_millis(50)).await).await;
        assert!(!rest(&mut stream).await.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn only_so_many_are_open_and_one_that_goes_makes_room() {
        let address = served(Duration::from_secs(600)).await;
        let mut open = Vec::new();
        for _ in 0..MOST {
            open.push(slow(address).await);
        }
        let mut surplus = TcpStream::connect(address).await.unwrap();
        assert_eq!(rest(&mut surplus).await, b"");
        open.clear();
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            assert!(std::time::Instant::now() < deadline, "no room");
            let mut next = TcpStream::connect(address).await.unwrap();
            // It may be closed before it has said anything.
            let _ = next.write_all(request).await;
            answer = rest(&mut next).await;
        }
    }
}
