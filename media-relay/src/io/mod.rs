//! Sockets in batches, and who is at the other end of one: the only place of the relay that talks to the kernel.
//!
//! Each stream has two sockets of its own, so that a packet's destination port alone names its
//! stream. A batch therefore is what has queued up on one socket; what saves system calls at fifty
//! packets per second and stream is that one wait covers all sockets.
//!
//! [`Mmsg`] works everywhere. [`Xdp`] has the same sockets, and packets go past them where the interface
//! and the process's rights allow.

#[allow(unsafe_code)] // JUSTIFICATION: std cannot ask the processor for a line of memory.
pub(crate) mod fetch;
mod inside;
#[allow(unsafe_code)] // JUSTIFICATION: std and rustix have no recvmmsg and sendmmsg.
mod mmsg;
#[allow(unsafe_code)] // JUSTIFICATION: rustix cannot tell of processes of other namespaces.
pub(crate) mod peer;
#[allow(unsafe_code)] // JUSTIFICATION: rings, frames and ports are memory shared with the kernel.
mod xdp;

pub(crate) use mmsg::Mmsg;
pub(crate) use xdp::Xdp;
pub(crate) use xdp::start::{Started, Watch, start};

use crate::session::{Express, Passed, SocketId};
use media_api::RealmId;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of one receive slot: the largest accepted packet, one byte more to notice longer ones, and
/// room for what protection adds.
pub(crate) const SLOT_BYTES: usize = 2048;

/// A datagram in its slot.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    /// Where it came from; `None` if the kernel named a family that we do not know.
    pub(crate) from: Option<SocketAddr>,
    /// The whole slot.
    pub(crate) slot: &'a mut [u8],
    /// Bytes received, at the start of the slot.
    pub(crate) length: usize,
}

/// How packets of a realm are to be received and sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// By batched sockets; needs no privilege.
    #[default]
    Sockets,
    /// Past the kernel's network stack where that is possible, by sockets where it is not.
    Xdp,
}

/// What runs, for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendReport {
    /// Datagrams per system call of a socket at most.
    pub batch: usize,
    /// Receive buffer that the kernel grants a socket, in bytes, as reported by `SO_RCVBUF`. Less
    /// than asked for means that `net.core.rmem_max` limits it.
    pub receive_buffer_bytes: usize,
    /// Receive buffer that was asked for, in bytes.
    pub wanted_receive_buffer_bytes: usize,
    /// Descriptors that the process of the relay may have; without a bound if that is not there.
    pub descriptors: Option<u64>,
    /// How each address of each realm is served.
    pub addresses: Vec<AddressReport>,
}

/// How an address of a realm is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressReport {
    /// The realm.
    pub realm: RealmId,
    /// Its address.
    pub address: IpAddr,
    /// The interface that has it, where somebody looked.
    pub interface: Option<String>,
    /// What runs now.
    pub runs: Runs,
    /// Packets to our ports that came no further than the interface, over all of its addresses: broken
    /// ones, and those for which there was no room. Of sockets the kernel counts them.
    pub dropped: u64,
    /// Packets that the interface has taken to forward by itself, over all of its addresses; also those that its driver
    /// had no room for then.
    pub forwarded: u64,
    /// Whether the interface forwards by itself now, at least what leaves by it again.
    pub forwards: bool,
    /// Why it forwards none by itself, or none out of another interface, where packets go past the kernel's network stack.
    pub not_by_itself: Option<String>,
    /// Directions of streams that come to the relay now because all entries of the table of those that interfaces forward
    /// by themselves are taken, over all of the interface's addresses.
    pub crowded_out: u64,
    /// Why not something faster.
    pub because: Option<String>,
}

impl AddressReport {
    /// One that nothing but sockets was asked for.
    pub(crate) fn of_sockets(realm: RealmId, address: IpAddr) -> Self {
        Self {
            realm,
            address,
            interface: None,
            runs: Runs::Sockets,
            dropped: 0,
            forwarded: 0,
            forwards: false,
            not_by_itself: None,
            crowded_out: 0,
            because: Some("AF_XDP is not asked for".to_owned()),
        }
    }
}

/// What runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runs {
    /// Batched sockets.
    Sockets,
    /// AF_XDP, with sockets for what cannot go that way.
    Xdp {
        /// In the driver; otherwise behind it, which is slower.
        is_native: bool,
        /// Packets are not copied between driver and relay.
        is_zero_copy: bool,
        /// The interface defers its interrupts, so that one wake-up serves several packets.
        is_moderated: bool,
    },
}

/// Batched datagram I/O for one worker. Not shared between threads.
pub(crate) trait Batch {
    /// Opens and binds a non-blocking UDP socket with the given DSCP.
    fn open(&mut self, local: SocketAddr, dscp: u8) -> io::Result<SocketId>;

    /// Closes a socket. Packets still queued for sending on it are lost.
    fn close(&mut self, socket: SocketId);

    /// Waits until a socket is readable, the waker was used or the time is over, and appends the
    /// readable sockets.
    fn wait(&mut self, timeout: Duration, ready: &mut Vec<SocketId>) -> io::Result<()>;

    /// Fills slots from one socket; returns how many. Zero if there was nothing.
    fn receive(&mut self, socket: SocketId) -> usize;

    /// The datagram in a slot filled by the last [`Self::receive`].
    fn slot(&mut self, at: usize) -> Option<Received<'_>>;

    /// Notes part of a slot for sending. The slot must stay as it is until [`Self::flush`].
    fn queue(&mut self, slot: usize, range: Range<usize>, socket: SocketId, to: SocketAddr);

    /// Sends what was queued; appends the positions, in order of queueing, of packets that the
    /// kernel did not take.
    fn flush(&mut self, failed: &mut Vec<usize>);

    /// Sends one packet that is not in a slot; tells whether the kernel took it.
    fn send(&mut self, socket: SocketId, to: SocketAddr, packet: &[u8]) -> bool;

    /// Makes the next [`Self::wait`] return at once.
    fn wake(&self);

    /// Timestamps count from this moment.
    fn keep_time(&mut self, _start: Instant) {}

    /// Whether an interface may forward packets by itself.
    fn has_express(&self) -> bool {
        false
    }

    /// Has the interface forward the packets of a socket by itself for as long as each is the one that is expected, and
    /// for a second or two at most after a packet of that socket was seen here: now, if `is_seen`, or when it was begun so
    /// last. False if it does not.
    fn begin_express(&mut self, _socket: SocketId, _express: &Express, _is_seen: bool) -> bool {
        false
    }

    /// Ends that, if it has been begun, and says what has passed. Whatever the interface takes up after this has returned
    /// comes to the socket.
    fn end_express(&mut self, _socket: SocketId) -> Option<Passed> {
        None
    }

    /// The packets of a socket are not to be forwarded so at the moment: it is none that lacks room for that.
    fn want_no_express(&mut self, _socket: SocketId) {}

    /// Whether it has not begun because as many have as there is room for.
    fn is_crowded_out(&self, _socket: SocketId) -> bool {
        false
    }

    /// A socket is nobody's until it is used again: nothing but the socket itself is kept for it.
    fn rest(&mut self, _socket: SocketId) {}

    /// Packets that have passed so far, and their octets of header and payload, where it goes on.
    fn passing(&self, _socket: SocketId) -> (u64, u64) {
        (0, 0)
    }
}

/// Ends a [`Batch::wait`] from another thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(crate) fn wake(&self) {
        // The counter can only be full if the worker is already due to wake up.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}
