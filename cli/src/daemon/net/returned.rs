//! What the network gives back of our datagrams: ICMP errors of a socket that is connected to nobody.

use bytes::Bytes;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{sock_extended_err, sockaddr_in6};
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// As much of a datagram as tells which request it was: its first two lines.
const START: usize = 512;

/// Asks the kernel to keep what comes back. One that will not is no reason not to serve.
pub(super) fn want(socket: &UdpSocket) {
    let _ = match socket.local_addr() {
        Ok(local) if local.is_ipv6() => setsockopt(socket, Ipv6RecvErr, &true),
        _ => setsockopt(socket, Ipv4RecvErr, &true),
    };
}

/// The oldest datagram that has come back for good, and why; nothing if none has.
pub(super) fn next(socket: &UdpSocket) -> Option<(Bytes, io::Error)> {
    loop {
        let mut start = [0; START];
        let (length, why) = {
            let mut parts = [IoSliceMut::new(&mut start)];
            let mut control = cmsg_space!(sock_extended_err, sockaddr_in6);
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let control = Some(control.as_mut_slice());
            let read =
                recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, control, flags).ok()?;
            let why = read.cmsgs().ok()?.find_map(|own| match own {
                ControlMessageOwned::Ipv4RecvErr(error, _)
                | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error.ee_errno),
                _ => None,
            });
            (read.bytes, why)
        };
        let why = why.map(|code| Errno::from_raw(code.cast_signed()));
        // One that was too large for a link goes in parts when it is repeated.
        if let Some(why) = why.filter(|why| *why != Errno::EMSGSIZE) {
            let start = start.get(..length).unwrap_or_default();
            return Some((Bytes::copy_from_slice(start), why.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_that_nobody_takes_comes_back_with_its_start_and_the_reason() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let gone = UdpSocket::bind(address).unwrap().local_addr().unwrap();
            let socket = UdpSocket::bind(address).unwrap();
            want(&socket);
            assert!(next(&socket).is_none());
            let long = [b"INVITE ".as_slice(), &[b'x'; 2000]].concat();
            socket.send_to(&long, gone).unwrap();
            // Loopback has answered before the sending is over.
            let (start, why) = next(&socket).unwrap();
            assert!(start.len() == START && start.starts_with(b"INVITE xxx"));
            assert_eq!(why.kind(), io::ErrorKind::ConnectionRefused);
            assert!(next(&socket).is_none());
        }
    }
}
