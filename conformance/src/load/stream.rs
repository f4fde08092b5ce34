//! One connection of the load generator: TCP, or TLS over it, without ever waiting.

use super::text::frame;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Octets read at once.
const ROOM: usize = 64 * 1024;

/// How a client shakes hands.
#[derive(Clone)]
pub(super) struct ClientSide {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// A connection.
pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    /// What came and is no whole message yet.
    input: Vec<u8>,
    /// What the socket had no room for, without TLS.
    output: Vec<u8>,
    /// Whether the engine waits for room to write.
    pub(super) wants_room: bool,
    /// Whether it is in the list of those that have something to send.
    pub(super) is_dirty: bool,
}

impl Stream {
    /// Begins to connect, from an address of ours.
    pub(super) fn connect(
        from: SocketAddr,
        to: SocketAddr,
        tls: Option<&ClientSide>,
    ) -> io::Result<Self> {
        let family = match to {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        bind(&socket, &from)?;
        match connect(&socket, &to) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(why) => return Err(why.into()),
        }
        let tls = tls
            .map(|side| ClientConnection::new(Arc::clone(&side.config), side.name.clone()))
            .transpose()
            .map_err(io::Error::other)?;
        let tls = tls.map(|tls| Box::new(Connection::from(tls)));
        Self::of(TcpStream::from(socket), tls)
    }

    /// A connection that was accepted.
    pub(super) fn accepted(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let tls = tls
            .map(|config| ServerConnection::new(Arc::clone(config)))
            .transpose()
            .map_err(io::Error::other)?;
        Self::of(socket, tls.map(|tls| Box::new(Connection::from(tls))))
    }

    fn of(socket: TcpStream, mut tls: Option<Box<Connection>>) -> io::Result<Self> {
        set_tcp_nodelay(&socket, true)?;
        if let Some(tls) = &mut tls {
            // What waits for the handshake; a call's worth is little.
            tls.set_buffer_limit(None);
        }
        Ok(Self {
            socket,
            tls,
            input: Vec::new(),
            output: Vec::new(),
            wants_room: false,
            is_dirty: false,
        })
    }

    /// What is waited for.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes a message; [`Stream::flush`] sends it.
    pub(super) fn queue(&mut self, message: &[u8]) {
        match &mut self.tls {
            // The buffer has no limit, so it takes everything.
            Some(tls) => drop(tls.writer().write_all(message)),
            None => self.output.extend_from_slice(message),
        }
    }

    /// Sends as much as there is room for. Whether something is left.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let sent = match &mut self.tls {
            Some(tls) => loop {
                if !tls.wants_write() {
                    break Ok(0);
                }
                if let Err(why) = tls.write_tls(&mut self.socket) {
                    break Err(why);
                }
            },
            None if self.output.is_empty() => Ok(0),
            None => self.socket.write(&self.output),
        };
        match sent {
            Ok(count) => drop(self.output.drain(..count)),
            // Also while the connection is being made.
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
            Err(why) => return Err(why),
        }
        Ok(!self.output.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write()))
    }

    /// Says farewell, as far as TLS has a word for it.
    pub(super) fn farewell(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The last words are lost if there is no room for them.
            let _ = tls.write_tls(&mut self.socket);
        }
    }

    /// Reads what is there. `false` once the other side has closed.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            None => read_some(&mut self.socket, &mut self.input),
            Some(tls) => {
                let is_open = match tls.read_tls(&mut self.socket) {
                    Ok(count) => count > 0,
                    Err(why) if why.kind() == ErrorKind::WouldBlock => true,
                    Err(why) => return Err(why),
                };
                tls.process_new_packets().map_err(io::Error::other)?;
                let is_willing = match read_some(&mut tls.reader(), &mut self.input) {
                    // Without a farewell; the same to us.
                    Err(why) if why.kind() == ErrorKind::UnexpectedEof => false,
                    read => read?,
                };
                Ok(is_open && is_willing)
            }
        }
    }

    /// Takes the input away, so that messages in it can be answered on this very connection.
    pub(super) fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Gives it back, without what was read.
    pub(super) fn return_input(&mut self, mut input: Vec<u8>, used: usize) {
        input.drain(..used.min(input.len()));
        self.input = input;
    }
}

/// One round of reading; `false` at the end.
fn read_some(from: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
    let before = into.len();
    into.resize(before + ROOM, 0);
    let read = from.read(into.get_mut(before..).unwrap_or_default());
    into.truncate(before + *read.as_ref().unwrap_or(&0));
    match read {
        Ok(count) => Ok(count > 0),
        Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
            Ok(true)
        }
        Err(why) => Err(why),
    }
}

/// Whole messages at the beginning of `input`, one after the other; `used` counts their octets.
pub(super) fn next_message<'a>(input: &'a [u8], used: &mut usize) -> Option<&'a [u8]> {
    let rest = input.get(*used..)?;
    let length = frame(rest)?;
    *used += length;
    let message = rest.get(..length)?;
    let blank = message
        .iter()
        .take_while(|octet| matches!(octet, b'\r' | b'\n'))
        .count();
    message.get(blank..)
}
