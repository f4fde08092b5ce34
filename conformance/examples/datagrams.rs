//! The floor of `conformance/figures/calls.py`: hands SIP datagrams on and reads nothing of them, so what
//! it costs is what the kernel takes for the datagrams of a call.
//!
//! `datagrams OWN LEFT RIGHT`: what comes to `OWN` from `RIGHT` goes to `LEFT`, all else to `RIGHT`. An
//! INVITE is answered with 100 as well, because whoever keeps transactions sends that datagram too.

#![allow(clippy::disallowed_methods, reason = "it reads its command line")]

use std::io;
use std::net::{SocketAddr, UdpSocket};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = || -> io::Result<SocketAddr> {
        let text = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
        text.parse().map_err(io::Error::other)
    };
    let (own, left, right) = (address()?, address()?, address()?);
    let socket = UdpSocket::bind(own)?;
    let (mut datagram, mut trying) = ([0; 65_536], Vec::new());
    loop {
        let (length, from) = socket.recv_from(&mut datagram)?;
        let datagram = &datagram[..length];
        if from == right {
            socket.send_to(datagram, left)?;
            continue;
        }
        if datagram.starts_with(b"INVITE ")
            && let Some(end) = datagram.iter().position(|&octet| octet == b'\r')
        {
            trying.clear();
            trying.extend_from_slice(b"SIP/2.0 100 Trying");
            trying.extend_from_slice(&datagram[end..]);
            socket.send_to(&trying, left)?;
        }
        socket.send_to(datagram, right)?;
    }
}
