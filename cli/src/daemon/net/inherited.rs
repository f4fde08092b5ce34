//! Sockets of listeners that the service manager has opened (sd_listen_fds(3)): `causeway.socket`.
//!
//! A socket is that of the listener of its name, or else, as one unit may have several sockets under one name, that of the
//! listener of its address and protocol. It must be bound where the configuration says. Its options are those that we would
//! give it, as far as they can be given to a bound one. The originals are kept for as long as the process lives: a listener that
//! a reload takes away and another one brings back finds its socket, which the manager has not closed either.

use super::options;
use crate::sink::log::Log;
use listenfd::ListenFd;
use sbc_core::config::{Config, Listener};
use sbc_core::transport::Protocol;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::OnceLock;

/// Of this process.
static INHERITED: OnceLock<Vec<Inherited>> = OnceLock::new();

/// One socket.
struct Inherited {
    name: String,
    socket: Socket,
}

enum Socket {
    Stream(TcpListener),
    Datagram(UdpSocket),
    /// Neither, or none at all.
    Other,
}

impl Socket {
    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Stream(own) => own.local_addr().ok(),
            Self::Datagram(own) => own.local_addr().ok(),
            Self::Other => None,
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Stream(_) => "stream",
            Self::Datagram(_) => "datagram",
            Self::Other => return f.write_str("no socket of TCP or UDP"),
        };
        match self.address() {
            Some(address) => write!(f, "{kind} socket at {address}"),
            None => write!(f, "{kind} socket"),
        }
    }
}

/// Takes the sockets that were handed to this process. Once, and before any other thread: the environment is changed.
pub(in crate::daemon) fn adopt() {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut fds = ListenFd::from_env();
    let all = (0..fds.len()).map(|index| Inherited {
        name: names.next().unwrap_or_default().to_owned(),
        socket: match fds.take_tcp_listener(index) {
            Ok(Some(own)) => Socket::Stream(own),
            _ => match fds.take_udp_socket(index) {
                Ok(Some(own)) => Socket::Datagram(own),
                _ => Socket::Other,
            },
        },
    });
    let _ = INHERITED.set(all.collect());
}

/// Tells of sockets that are no listener's: nobody would answer at them, and whoever connects waits.
pub(in crate::daemon) fn tell_unused(config: &Config, log: &Log) {
    for own in all() {
        let mut listeners = config.listeners.values();
        if !listeners.any(|listener| own.is_named(listener) || own.is_at(listener)) {
            let text = "the service manager has opened a socket that no [[listen]] has the name or the address of; correct \
                        FileDescriptorName= or the address in its .socket unit, or disable that unit";
            log.warn("socket", text)
                .with("name", &own.name)
                .with("socket", &own.socket)
                .send();
        }
    }
}

/// Whether a socket was handed to us for a listener.
pub(super) fn is_for(listener: &Listener) -> bool {
    of(listener).is_some()
}

fn all() -> &'static [Inherited] {
    INHERITED.get().map_or(&[], Vec::as_slice)
}

impl Inherited {
    fn is_named(&self, listener: &Listener) -> bool {
        self.name == listener.name.as_str()
    }

    fn is_at(&self, listener: &Listener) -> bool {
        let is_kind = match &self.socket {
            Socket::Stream(_) => listener.protocol != Protocol::Udp,
            Socket::Datagram(_) => listener.protocol == Protocol::Udp,
            Socket::Other => false,
        };
        is_kind && self.socket.address() == Some(listener.bind)
    }
}

/// The socket that was handed to us for a listener.
///
/// # Errors
/// If it is bound elsewhere than the configuration says.
fn of(listener: &Listener) -> Option<io::Result<&'static Socket>> {
    let named = all().iter().find(|own| own.is_named(listener));
    let own = named.or_else(|| all().iter().find(|own| own.is_at(listener)))?;
    Some(match own.is_at(listener) {
        true => Ok(&own.socket),
        false => Err(wrong(&own.socket)),
    })
}

fn wrong(socket: &Socket) -> io::Error {
    let text = format!(
        "the service manager has opened a {socket} for it; write the same in [[listen]] and in the .socket unit, or disable \
         that unit"
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// A stream socket that listens for this listener, if one was handed to us.
pub(super) fn stream(listener: &Listener) -> Option<io::Result<TcpListener>> {
    let own = of(listener)?;
    Some(own.and_then(|socket| match socket {
        Socket::Stream(own) => {
            options::adopted(own, listener.bind, listener.dscp)?;
            own.try_clone()
        }
        other => Err(wrong(other)),
    }))
}

/// A datagram socket of this listener, if one was handed to us.
pub(super) fn datagram(listener: &Listener) -> Option<io::Result<UdpSocket>> {
    let own = of(listener)?;
    Some(own.and_then(|socket| match socket {
        Socket::Datagram(own) => {
            options::adopted(own, listener.bind, listener.dscp)?;
            own.try_clone()
        }
        other => Err(wrong(other)),
    }))
}
