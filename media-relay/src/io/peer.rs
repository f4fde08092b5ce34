//! Who is at the other end of a Unix socket.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// A process that connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    /// Its number, if it is in our namespace of processes or in one below it.
    pub(crate) pid: Option<u32>,
    /// Its user.
    pub(crate) uid: u32,
}

/// The process that connected, as it was then.
pub(crate) fn peer(socket: &UnixStream) -> io::Result<Peer> {
    let mut found = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // JUSTIFICATION: rustix has no number for processes of other namespaces, and takes their zero for a fault.
    // SAFETY: `found` is as long as `length` says and lives through the call, which writes no more than that
    // and the length; every pattern of octets is a `ucred`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(Peer {
            pid: u32::try_from(found.pid).ok().filter(|pid| *pid != 0),
            uid: found.uid,
        }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own = rustix::process::geteuid().as_raw();
        let found = Peer {
            pid: Some(std::process::id()),
            uid: own,
        };
        assert_eq!(peer(&one).unwrap(), found);
    }
}
