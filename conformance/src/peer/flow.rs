//! Ways to the other side: a UDP socket with an address, or a connection.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Largest message that is taken from a stream.
const MOST: usize = 128 * 1024;

/// What a message came on and what the answer goes out on.
#[derive(Clone, Debug)]
pub struct Flow {
    way: Way,
    /// Address of the other side.
    pub remote: SocketAddr,
    /// DNS names of the certificate that the other side proved to own; none without TLS.
    pub names: Arc<[String]>,
}

#[derive(Clone, Debug)]
enum Way {
    Datagrams(Arc<UdpSocket>),
    Stream(mpsc::UnboundedSender<Vec<u8>>),
}

impl Flow {
    /// Datagrams to one address. The socket is asked at once, not when a reactor has found it
    /// ready, so that the first message is not lost.
    pub fn datagrams(socket: Arc<UdpSocket>, remote: SocketAddr) -> Self {
        Self {
            way: Way::Datagrams(socket),
            remote,
            names: Arc::default(),
        }
    }

    /// Sends one message. One that cannot be sent is lost, as in a network; whoever waits for the
    /// answer says so.
    pub fn send(&self, bytes: Vec<u8>) {
        match &self.way {
            Way::Datagrams(socket) => {
                let _ = socket.send_to(&bytes, self.remote);
            }
            Way::Stream(queue) => {
                let _ = queue.send(bytes);
            }
        }
    }

    /// Whether the transport repeats what is lost, so that we need not.
    pub fn is_reliable(&self) -> bool {
        matches!(self.way, Way::Stream(_))
    }

    /// Whether the connection still stands.
    pub fn is_open(&self) -> bool {
        match &self.way {
            Way::Datagrams(_) => true,
            Way::Stream(queue) => !queue.is_closed(),
        }
    }
}

/// Makes a flow of a connection. The future carries bytes both ways until the connection ends,
/// and gives every message to `receive`.
pub fn connection<S, R>(
    stream: S,
    remote: SocketAddr,
    names: Vec<String>,
    mut receive: R,
) -> (Flow, impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: FnMut(&Flow, &[u8]),
{
    let (queue, mut wanted) = mpsc::unbounded_channel::<Vec<u8>>();
    let flow = Flow {
        way: Way::Stream(queue.clone()),
        remote,
        names: names.into(),
    };
    // The future must not keep its own queue open through the flow that it hands out.
    let weak = queue.downgrade();
    let names = Arc::clone(&flow.names);
    let work = async move {
        drop(queue);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut framer = Framer::default();
        let mut buffer = [0; 16 * 1024];
        loop {
            tokio::select! {
                read = reader.read(&mut buffer) => {
                    let Ok(length @ 1..) = read else { return };
                    framer.push(&buffer[..length]);
                    while let Some(message) = framer.take() {
                        let Some(queue) = weak.upgrade() else { return };
                        let way = Way::Stream(queue);
                        let flow = Flow { way, remote, names: Arc::clone(&names) };
                        receive(&flow, &message);
                    }
                    if framer.pending.len() > MOST {
                        return;
                    }
                }
                bytes = wanted.recv() => {
                    let Some(bytes) = bytes else { return };
                    if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    (flow, work)
}

/// Cuts a stream into messages by Content-Length.
#[derive(Default, Debug)]
pub struct Framer {
    pending: Vec<u8>,
}

impl Framer {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next complete message.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        // Empty lines between messages keep connections alive and mean nothing (RFC 3261 §7.5).
        let blank = self
            .pending
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        self.pending.drain(..blank);
        let head = self.pending.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.pending[..head]);
        let body = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| {
                let name = name.trim();
                name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l")
            })
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .unwrap_or(0);
        let end = head.checked_add(body)?;
        (self.pending.len() >= end).then(|| self.pending.drain(..end).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_wherever_the_stream_was_torn() {
        let one = b"OPTIONS sip:a SIP/2.0\r\nCONTENT-LENGTH: 3\r\n\r\nabc";
        let two = b"SIP/2.0 200 OK\r\nl: 0\r\n\r\n";
        let whole: Vec<u8> = [b"\r\n\r\n".as_slice(), one, b"\r\n", two].concat();
        for torn in 1..whole.len() {
            let mut framer = Framer::default();
            let mut got = Vec::new();
            for part in [&whole[..torn], &whole[torn..]] {
                framer.push(part);
                got.extend(std::iter::from_fn(|| framer.take()));
            }
            assert_eq!(got, [one.to_vec(), two.to_vec()], "torn at {torn}");
        }
    }

    #[tokio::test]
    async fn a_connection_carries_messages_and_ends_with_its_last_flow() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let (seen, mut got) = mpsc::unbounded_channel();
        let remote = SocketAddr::from(([127, 0, 0, 1], 5061));
        let (flow, work) = connection(ours, remote, Vec::new(), move |flow, bytes| {
            seen.send((flow.remote, bytes.to_vec())).unwrap();
        });
        let task = tokio::spawn(work);
        theirs.write_all(b"SIP/2.0 200 OK\r\n\r\n").await.unwrap();
        assert_eq!(got.recv().await.unwrap().1, b"SIP/2.0 200 OK\r\n\r\n");
        flow.send(b"hello".to_vec());
        let mut buffer = [0; 5];
        theirs.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"hello");
        drop(flow);
        task.await.unwrap();
    }
}
