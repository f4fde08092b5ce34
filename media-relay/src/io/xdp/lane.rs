//! AF_XDP sockets: one for each worker and queue of an interface, all on the same frames.

use super::ring::{Incoming, Outgoing, Packet};
use super::umem::{FRAME_BYTES, Frame, Umem};
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, SocketAddrXdpWithSharedUmem, XDP_PGOFF_RX_RING,
    XDP_PGOFF_TX_RING, XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpOptionsFlags,
    XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Packets that a worker may have under way to the kernel.
pub(super) const SENDING: u32 = 1024;

/// A worker's socket at a queue.
pub(super) struct Lane {
    /// Position of the interface.
    pub(super) interface: usize,
    pub(super) socket: OwnedFd,
    pub(super) incoming: Incoming<Packet>,
    outgoing: Outgoing<Packet>,
    /// Packets were put since the kernel was called.
    pub(super) is_waiting: bool,
}

/// The ends of a queue that all workers have in common: free frames in, sent frames out.
#[derive(Debug)]
pub(super) struct Queue {
    fill: Outgoing<u64>,
    completion: Incoming<u64>,
    socket: OwnedFd,
}

/// What an interface's sockets are made with.
pub(super) struct Maker<'a> {
    pub(super) umem: &'a Umem,
    /// The first socket that was bound, which has the frames.
    pub(super) owner: Option<OwnedFd>,
    /// Frames that a queue can hold.
    pub(super) depth: u32,
}

/// How the socket of a queue comes to its frames.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// The first at its queue.
    First,
    /// Another worker's at the same queue.
    Beside(&'a Queue),
}

impl Maker<'_> {
    /// Makes the socket of a worker at a queue, and, if it is the first there, the queue's common ends.
    pub(super) fn make(
        &mut self,
        (interface, index): (usize, u32),
        queue: u32,
        kind: Kind<'_>,
        copies: bool,
    ) -> io::Result<(Lane, Option<Queue>)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(AddressFamily::XDP, SocketType::RAW, flags, None)?;
        if self.owner.is_none() {
            let (addr, len) = self.umem.extent();
            let frames = XdpUmemReg {
                addr,
                len,
                chunk_size: FRAME_BYTES as u32,
                headroom: 0,
                flags: XdpUmemRegFlags::empty(),
                tx_metadata_len: 0,
            };
            sockopt::set_xdp_umem_reg(&socket, frames)?;
        }
        if let Kind::First = kind {
            sockopt::set_xdp_umem_fill_ring_size(&socket, self.depth)?;
            sockopt::set_xdp_umem_completion_ring_size(&socket, self.depth)?;
        }
        sockopt::set_xdp_rx_ring_size(&socket, self.depth)?;
        sockopt::set_xdp_tx_ring_size(&socket, SENDING)?;
        let offsets = sockopt::xdp_mmap_offsets(&socket)?;
        let common = match kind {
            Kind::First => Some((
                Outgoing::new(&socket, XDP_UMEM_PGOFF_FILL_RING, offsets.fr, self.depth)?,
                Incoming::new(
                    &socket,
                    XDP_UMEM_PGOFF_COMPLETION_RING,
                    offsets.cr,
                    self.depth,
                )?,
            )),
            Kind::Beside(_) => None,
        };
        let incoming = Incoming::new(&socket, XDP_PGOFF_RX_RING, offsets.rx, self.depth)?;
        let outgoing = Outgoing::new(&socket, XDP_PGOFF_TX_RING, offsets.tx, SENDING)?;
        // Who shares a queue, too, says so by naming a socket at it.
        let owner = match kind {
            Kind::First => self.owner.as_ref(),
            Kind::Beside(queue) => Some(&queue.socket),
        };
        match owner {
            Some(owner) => {
                // How is said by the first socket.
                let flags = SocketAddrXdpFlags::XDP_SHARED_UMEM;
                let address = SocketAddrXdpWithSharedUmem {
                    addr: SocketAddrXdp::new(flags, index, queue),
                    shared_umem_fd: owner.as_fd(),
                };
                net::bind(&socket, &address)?;
            }
            None => {
                let mut flags = SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP;
                flags.set(SocketAddrXdpFlags::XDP_COPY, copies);
                net::bind(&socket, &SocketAddrXdp::new(flags, index, queue))?;
                self.owner = Some(socket.try_clone()?);
            }
        }
        let queue = match common {
            Some((fill, completion)) => Some(Queue {
                fill,
                completion,
                socket: socket.try_clone()?,
            }),
            None => None,
        };
        let lane = Lane {
            interface,
            socket,
            incoming,
            outgoing,
            is_waiting: false,
        };
        Ok((lane, queue))
    }
}

impl Lane {
    /// Whether the driver and our frames meet without a copy.
    pub(super) fn is_zero_copy(&self) -> bool {
        sockopt::xdp_options(&self.socket)
            .is_ok_and(|options| options.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY))
    }

    /// Packets that the kernel could not give us.
    pub(super) fn lost(socket: &OwnedFd) -> u64 {
        sockopt::xdp_statistics(socket).map_or(0, |lost| {
            lost.rx_dropped
                + lost.rx_ring_full.unwrap_or(0)
                + lost.rx_fill_ring_empty_descs.unwrap_or(0)
        })
    }

    /// Puts a packet in a frame, if there is room.
    pub(super) fn put(&mut self, place: u64, length: usize) -> bool {
        let packet = Packet {
            place,
            length: length as u32,
            options: 0,
        };
        let is_put = self.outgoing.put(packet);
        self.is_waiting |= is_put;
        is_put
    }

    /// Has the kernel send what was put.
    ///
    /// # Errors
    /// If the interface is down or gone. What was put stays where it is.
    pub(super) fn kick(&mut self) -> io::Result<()> {
        self.outgoing.publish();
        let mut waiting = self.outgoing.waiting();
        while waiting > 0 && self.outgoing.needs_wakeup() {
            match net::send(&self.socket, &[], SendFlags::DONTWAIT) {
                Ok(_) => {}
                Err(why) if matches!(why.raw_os_error(), libc::ENETDOWN | libc::ENXIO) => {
                    return Err(why.into());
                }
                // It took some, or cannot take more before others have gone.
                Err(_) => {}
            }
            let before = std::mem::replace(&mut waiting, self.outgoing.waiting());
            if waiting == before {
                return Ok(());
            }
        }
        self.is_waiting = false;
        Ok(())
    }
}

impl Queue {
    /// Takes frames that were sent, and gives as many as it can hold to be received into.
    pub(super) fn exchange(&mut self, umem: &Umem, spare: &mut Vec<Frame>) {
        while let Some(place) = self.completion.take() {
            spare.extend(umem.taken_back(place));
        }
        self.completion.release();
        let given = (self.fill.room() as usize).min(spare.len());
        if given == 0 {
            return;
        }
        for frame in spare.drain(spare.len() - given..) {
            self.fill.put(frame.place());
        }
        self.fill.publish();
        if self.fill.needs_wakeup() {
            // The kernel looks at the ring when the socket is asked for what there is.
            let _ = net::recv(&self.socket, &mut [0u8; 0], net::RecvFlags::DONTWAIT);
        }
    }
}
