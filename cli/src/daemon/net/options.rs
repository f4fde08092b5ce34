//! Options of signalling sockets.

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::net::TcpStream;

/// Connections that may wait to be accepted (SEC-021).
const BACKLOG: i32 = 4096;
/// Half-open peers are noticed within this time when data is in flight (SIP-128).
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// A UDP socket bound to exactly this address, whose packets bear this code point.
pub(super) fn udp(bind: SocketAddr, dscp: u8) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // As much as the kernel grants: a burst of messages must survive a busy moment.
    let _ = socket.set_recv_buffer_size(4 * 1024 * 1024);
    let _ = socket.set_send_buffer_size(1024 * 1024);
    mark(&socket, bind, dscp);
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    Ok(socket.into())
}

/// A listening TCP socket bound to exactly this address, whose packets bear this code point.
pub(super) fn tcp(bind: SocketAddr, dscp: u8) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, Some(Protocol::TCP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a previous process in TIME_WAIT must not keep us from starting.
    socket.set_reuse_address(true)?;
    mark(&socket, bind, dscp);
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Gives a bound socket of somebody else, as far as it can be given, what [`udp`] and [`tcp`] give theirs.
pub(super) fn adopted(socket: &impl AsFd, bind: SocketAddr, dscp: u8) -> io::Result<()> {
    mark(socket, bind, dscp);
    let socket = SockRef::from(socket);
    if socket.r#type()? == Type::DGRAM {
        let _ = socket.set_recv_buffer_size(4 * 1024 * 1024);
        let _ = socket.set_send_buffer_size(1024 * 1024);
    } else {
        // It listens already; this is how many may wait.
        socket.listen(BACKLOG)?;
    }
    socket.set_nonblocking(true)
}

/// Lets what a socket of this family sends bear a DSCP code point (MED-300). A call does not fail for want of a mark.
pub(super) fn mark(socket: &impl AsFd, family: SocketAddr, dscp: u8) {
    let socket = SockRef::from(socket);
    let class = u32::from(dscp) << 2;
    let _ = match family {
        SocketAddr::V4(_) => socket.set_tos_v4(class),
        SocketAddr::V6(_) => socket.set_tclass_v6(class),
    };
}

/// Options of every connection that tells us what to do (SIP-128). A refused option is no reason to refuse the
/// peer.
pub(crate) fn connection(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
}

/// Makes closing this connection a reset: no state is kept for a stranger.
pub(super) fn reset_on_close(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_notices_within_20_s_that_its_peer_is_gone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let stream = stream.await.unwrap();
        connection(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(60)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(10)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    }

    #[test]
    fn sockets_of_both_families_bear_the_mark() {
        for dscp in [24, 40] {
            let (four, six) = ("127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap());
            let class = u32::from(dscp) << 2;
            let of_four = |socket: SockRef<'_>| assert_eq!(socket.tos_v4().unwrap(), class);
            of_four(SockRef::from(&udp(four, dscp).unwrap()));
            of_four(SockRef::from(&tcp(four, dscp).unwrap()));
            let of_six = |socket: SockRef<'_>| assert_eq!(socket.tclass_v6().unwrap(), class);
            of_six(SockRef::from(&udp(six, dscp).unwrap()));
            of_six(SockRef::from(&tcp(six, dscp).unwrap()));
        }
    }
}
