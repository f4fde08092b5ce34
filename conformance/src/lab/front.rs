//! A door of the subject that is wired wrongly: strangers do not meet the subject, but a front that lets them
//! in, over real connections. So it is seen whether somebody notices.

use crate::ca::Identity;
use crate::peer::flow::connection;
use crate::peer::hello::{is_weak, suites_of};
use crate::peer::leg::reply;
use crate::peer::message::Message;
use crate::peer::tls;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What is wrong with a door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It asks nobody for a certificate, and answers whoever comes from wherever.
    Anybody,
    /// The same, and who places a call reaches the carrier.
    Caller,
    /// It agrees to the version of TLS that is offered, however old.
    OldVersions,
    /// It agrees to any suite that is offered, however weak.
    WeakSuites,
    /// It ends a handshake without saying that the version is the reason.
    VagueAlert,
}

/// A fatal alert that only says that the handshake failed (RFC 5246 §7.2).
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 1, 0, 2, 2, 40];

/// The front; it ends with this value.
pub struct Front {
    /// Where it is.
    pub address: SocketAddr,
    _task: JoinSet<()>,
}

impl Front {
    /// Opens at an address, with the subject's certificate; the carrier is there.
    ///
    /// # Errors
    /// What the operating system says, or why the certificate cannot be used.
    pub async fn open(
        ip: IpAddr,
        identity: &Identity,
        wrong: Wrong,
        carrier: SocketAddr,
    ) -> io::Result<Self> {
        let acceptor = tls::acceptor_of_anybody(identity).map_err(io::Error::other)?;
        let listener = TcpListener::bind((ip, 0)).await?;
        let address = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut guests = JoinSet::new();
            // A listener that fails lets nobody in, which is what must be noticed then.
            while let Ok((stream, remote)) = listener.accept().await {
                let acceptor = acceptor.clone();
                guests.spawn(async move {
                    // Whoever leaves in between has not been let in.
                    let _ = match wrong {
                        Wrong::Anybody => welcomes(stream, remote, acceptor, None).await,
                        Wrong::Caller => welcomes(stream, remote, acceptor, Some(carrier)).await,
                        Wrong::OldVersions => agrees(stream).await,
                        Wrong::WeakSuites => {
                            let offered = suites_of(&stream).await;
                            match offered.iter().all(|suite| is_weak(*suite)) {
                                true => agrees(stream).await,
                                false => welcomes(stream, remote, acceptor, None).await,
                            }
                        }
                        Wrong::VagueAlert => ends(stream).await,
                    };
                });
            }
        });
        Ok(Self {
            address,
            _task: task,
        })
    }
}

/// Answers every request with 200, and passes calls on to who is told.
async fn welcomes(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: TlsAcceptor,
    carrier: Option<SocketAddr>,
) -> io::Result<()> {
    let stream = acceptor.accept(stream).await?;
    let outside = std::net::UdpSocket::bind((remote.ip(), 0))?;
    let (flow, work) = connection(stream, remote, Vec::new(), move |flow, bytes| {
        let request = Message::parse(bytes).ok();
        if let Some(carrier) = carrier.filter(|_| bytes.starts_with(b"INVITE ")) {
            // What does not arrive is noticed as a carrier that is not called.
            let _ = outside.send_to(bytes, carrier);
        }
        let answer = request.and_then(|request| reply(&request, 200, "OK", None).build(true).ok());
        if let Some(answer) = answer {
            flow.send(answer);
        }
    });
    work.await;
    drop(flow);
    Ok(())
}

/// Takes what comes and answers with an alert that explains nothing.
async fn ends(mut stream: TcpStream) -> io::Result<()> {
    // However much comes first.
    let _taken = stream.read(&mut [0; 1_024]).await?;
    stream.write_all(&HANDSHAKE_FAILURE).await
}

/// Takes a first flight and says hello in the same version (RFC 5246 §7.4.1.3), with the first suite.
async fn agrees(mut stream: TcpStream) -> io::Result<()> {
    let mut record = [0; 5];
    stream.read_exact(&mut record).await?;
    let mut flight = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
    stream.read_exact(&mut flight).await?;
    let version = flight.get(4..6).unwrap_or(&[3, 1]).to_vec();
    let mut body = version.clone();
    body.extend([7; 32]);
    // No session, ECDHE-RSA with AES-128, no compression.
    body.extend([0, 0xC0, 0x13, 0]);
    let length = u8::try_from(body.len()).unwrap_or_default();
    let mut hello = vec![22, version[0], version[1], 0, length + 4, 2, 0, 0, length];
    hello.extend(body);
    stream.write_all(&hello).await?;
    // Until the other side has read it.
    stream.read_to_end(&mut Vec::new()).await.map(|_| ())
}
