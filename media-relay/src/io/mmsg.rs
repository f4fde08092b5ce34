//! The portable backend: epoll, `recvmmsg`, `sendmmsg`.

use super::inside::Inside;
use super::{BackendReport, Batch, Received, SLOT_BYTES, Waker};
use crate::session::SocketId;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// Datagrams per system call at most.
const BATCH: usize = 16;
/// How much more is asked of a socket that had more than was asked for.
const GROWTH: usize = 4;
/// Sockets reported per wait.
const EVENTS: usize = 256;
/// Receive buffer asked for, in bytes (MED-013).
const RECEIVE_BUFFER_BYTES: usize = 512 * 1024;
/// Event data of the waker; no socket has this number.
const WAKER: u64 = u64::MAX;
/// Event data of what is no socket of ours has this bit.
const OTHERS: u64 = 1 << 32;
/// Bytes of a `sockaddr_in6`, the longest address we use.
const NAME_BYTES: usize = 28;

/// Sockets, slots and send queue of one worker.
pub(crate) struct Mmsg {
    epoll: OwnedFd,
    waker: Arc<OwnedFd>,
    sockets: Vec<Option<Socket>>,
    vacant: Vec<u32>,
    /// Counts waits.
    turn: u64,
    events: Vec<epoll::Event>,
    buffers: Vec<[u8; SLOT_BYTES]>,
    names: Vec<Name>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    filled: usize,
    queued: Vec<Queued>,
    /// What is sent from one of these sockets to another.
    inside: Inside,
    receive_buffer_bytes: usize,
}

struct Socket {
    descriptor: OwnedFd,
    local: SocketAddr,
    /// How many datagrams were asked for last time, and how many there were.
    asked: usize,
    had: usize,
    /// The turn in which all that were asked for were there.
    full_in: Option<u64>,
}

impl Socket {
    /// How many datagrams to ask for: as many as there were last time, which mostly is one. Asking
    /// for more costs a header each, and the kernel a look for another one. A socket that is ready
    /// again in the turn after it had all that was asked for has a queue.
    fn appetite(&self, turn: u64) -> usize {
        match self.full_in {
            Some(full_in) if full_in + 1 == turn => (self.asked * GROWTH).min(BATCH),
            Some(_) | None => self.had.max(1),
        }
    }
}

impl Socket {
    /// Sends a packet to one of our own sockets, or by the kernel; tells whether it went.
    fn send(&self, to: SocketAddr, packet: &[u8], inside: &mut Inside) -> bool {
        let own = inside.at(to);
        own.is_some_and(|own| inside.put(self.local, own, packet))
            || send_to(&self.descriptor, to, packet)
    }
}

/// A `sockaddr` in the kernel's layout, read and written byte by byte.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Name {
    bytes: [u8; NAME_BYTES],
    length: u32,
}

struct Queued {
    slot: usize,
    range: Range<usize>,
    socket: SocketId,
    to: SocketAddr,
}

// JUSTIFICATION: a worker's sockets are made where it is started and moved to its thread once.
// SAFETY: the raw pointers in `vectors` and `headers` are written anew before each use and point to
// heap memory that `self` owns, so nothing is tied to the thread that made it.
unsafe impl Send for Mmsg {}

impl Mmsg {
    /// An empty set of sockets and the waker that ends its waits.
    pub(crate) fn new() -> io::Result<(Self, Waker)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &*waker, EventData::new_u64(WAKER), EventFlags::IN)?;
        let empty = Name {
            bytes: [0; NAME_BYTES],
            length: 0,
        };
        let batch = Self {
            epoll,
            waker: Arc::clone(&waker),
            sockets: Vec::new(),
            vacant: Vec::new(),
            turn: 0,
            events: Vec::with_capacity(EVENTS),
            buffers: vec![[0; SLOT_BYTES]; BATCH],
            names: vec![empty; BATCH],
            vectors: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
            filled: 0,
            queued: Vec::with_capacity(BATCH),
            inside: Inside::default(),
            receive_buffer_bytes: 0,
        };
        Ok((batch, Waker(waker)))
    }

    /// What the kernel grants.
    pub(crate) fn report(&self) -> BackendReport {
        BackendReport {
            batch: BATCH,
            receive_buffer_bytes: self.receive_buffer_bytes,
            wanted_receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            descriptors: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            addresses: Vec::new(),
        }
    }

    /// Has waits end, too, when something else can be read, which is named by a number.
    pub(super) fn watch(&self, other: impl AsFd, number: u32) -> io::Result<()> {
        let data = EventData::new_u64(OTHERS | u64::from(number));
        Ok(epoll::add(&self.epoll, other, data, EventFlags::IN)?)
    }

    /// As [`Batch::wait`]; appends the numbers of others that can be read as well.
    pub(super) fn wait_for(
        &mut self,
        timeout: Duration,
        ready: &mut Vec<SocketId>,
        others: &mut Vec<u32>,
    ) -> io::Result<()> {
        self.events.clear();
        self.turn += 1;
        let timeout = match self.inside.is_waiting() {
            true => Duration::ZERO,
            false => timeout,
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let waited = epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&timeout),
        );
        self.inside.turn(ready);
        match waited {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            match event.data.u64() {
                WAKER => {
                    let mut count = [0; 8];
                    let _ = rustix::io::read(&*self.waker, &mut count);
                }
                other if other & OTHERS != 0 => others.push(other as u32),
                number => ready.extend(u32::try_from(number).ok().map(SocketId)),
            }
        }
        Ok(())
    }

    /// Whether an address is that of one of these sockets.
    pub(super) fn is_own(&self, address: SocketAddr) -> bool {
        self.inside.at(address).is_some()
    }

    /// Part of a slot filled by the last receive.
    pub(super) fn part(&self, slot: usize, range: Range<usize>) -> Option<&[u8]> {
        self.buffers.get(slot)?.get(range)
    }

    /// Sends part of a slot at once; tells whether the kernel took it.
    pub(super) fn send_part(
        &mut self,
        slot: usize,
        range: Range<usize>,
        socket: SocketId,
        to: SocketAddr,
    ) -> bool {
        let Self {
            sockets,
            buffers,
            inside,
            ..
        } = self;
        let part = buffers.get(slot).and_then(|buffer| buffer.get(range));
        let open = sockets.get(socket.0 as usize).and_then(Option::as_ref);
        open.zip(part)
            .is_some_and(|(open, part)| open.send(to, part, inside))
    }

    fn descriptor(&self, socket: SocketId) -> Option<&OwnedFd> {
        let open = self.sockets.get(socket.0 as usize)?.as_ref()?;
        Some(&open.descriptor)
    }

    /// Sends `queued[at]` to one of our own sockets; tells whether it is for one and went.
    fn hand_over(&mut self, at: usize) -> bool {
        let Some(queued) = self.queued.get(at) else {
            return false;
        };
        let open = self.sockets.get(queued.socket.0 as usize);
        let (Some(to), Some(open), Some(packet)) = (
            self.inside.at(queued.to),
            open.and_then(Option::as_ref),
            packet(&self.buffers, queued),
        ) else {
            return false;
        };
        self.inside.put(open.local, to, packet)
    }

    /// Puts what has come from our own sockets to one into slots; returns how many.
    fn receive_inside(&mut self, socket: SocketId) -> usize {
        self.vectors.clear();
        self.headers.clear();
        for (buffer, name) in self.buffers.iter_mut().zip(&mut self.names) {
            let Some((from, packet)) = self.inside.take(socket) else {
                break;
            };
            // What is longer than any packet that we accept shows as such.
            let length = packet.len().min(crate::packet::rtp::MAX_PACKET_BYTES + 1);
            buffer[..length].copy_from_slice(&packet[..length]);
            *name = Name::from(from);
            let mut vector = libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 0,
            };
            let mut header = header(name, &mut vector);
            (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (ptr::null_mut(), 0);
            header.msg_len = length as u32;
            self.headers.push(header);
        }
        self.headers.len()
    }

    /// Sends `queued[range]`, all on one socket; returns how many the kernel took from the front.
    fn send_run(&mut self, run: Range<usize>) -> usize {
        let Some(queued) = self.queued.get(run) else {
            return 0;
        };
        let Some(socket) = queued
            .first()
            .and_then(|first| self.descriptor(first.socket))
        else {
            return 0;
        };
        if let [only] = queued {
            let Some(packet) = packet(&self.buffers, only) else {
                return 0;
            };
            return usize::from(send_to(socket, only.to, packet));
        }
        let descriptor = socket.as_raw_fd();
        self.vectors.clear();
        self.headers.clear();
        for (queued, name) in queued.iter().zip(&mut self.names) {
            let Some(packet) = packet(&self.buffers, queued) else {
                break;
            };
            *name = Name::from(queued.to);
            self.vectors.push(libc::iovec {
                iov_base: packet.as_ptr().cast_mut().cast(),
                iov_len: packet.len(),
            });
        }
        for (vector, name) in self.vectors.iter_mut().zip(&mut self.names) {
            self.headers.push(header(name, vector));
        }
        // JUSTIFICATION: no safe batched send exists; packets that arrived together leave together.
        // SAFETY: each header points to one name and one vector, each vector into one slot; `names`,
        // `vectors` and `buffers` are owned by `self` and neither move nor change during the call,
        // which only reads them. The count is the number of headers.
        let sent = unsafe {
            libc::sendmmsg(
                descriptor,
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).unwrap_or(0)
    }
}

impl Batch for Mmsg {
    fn open(&mut self, local: SocketAddr, dscp: u8) -> io::Result<SocketId> {
        let family = match local {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = net::socket_with(
            family,
            SocketType::DGRAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        let traffic_class = dscp << 2;
        match local {
            SocketAddr::V4(_) => sockopt::set_ip_tos(&socket, traffic_class)?,
            SocketAddr::V6(_) => {
                sockopt::set_ipv6_v6only(&socket, true)?;
                sockopt::set_ipv6_tclass(&socket, traffic_class.into())?;
            }
        }
        sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
        if self.receive_buffer_bytes == 0 {
            // The kernel grants every socket the same.
            self.receive_buffer_bytes = sockopt::socket_recv_buffer_size(&socket)?;
        }
        net::bind(&socket, &local)?;
        let number = match self.vacant.pop() {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.sockets.len())
                    .map_err(|_| io::Error::other("too many sockets"))?;
                self.sockets.push(None);
                number
            }
        };
        let data = EventData::new_u64(number.into());
        if let Err(refused) = epoll::add(&self.epoll, &socket, data, EventFlags::IN) {
            self.vacant.push(number);
            return Err(refused.into());
        }
        self.sockets[number as usize] = Some(Socket {
            descriptor: socket,
            local,
            asked: 1,
            had: 1,
            full_in: None,
        });
        self.inside.open(local, SocketId(number));
        Ok(SocketId(number))
    }

    fn close(&mut self, socket: SocketId) {
        if let Some(open) = self
            .sockets
            .get_mut(socket.0 as usize)
            .and_then(Option::take)
        {
            self.inside.close(open.local, socket);
            // Closing the only descriptor takes it out of the epoll set.
            drop(open);
            self.vacant.push(socket.0);
        }
    }

    fn wait(&mut self, timeout: Duration, ready: &mut Vec<SocketId>) -> io::Result<()> {
        self.wait_for(timeout, ready, &mut Vec::new())
    }

    fn receive(&mut self, socket: SocketId) -> usize {
        self.filled = self.receive_inside(socket);
        if self.filled > 0 || self.inside.is_ahead(socket) {
            return self.filled;
        }
        let Some(Some(open)) = self.sockets.get_mut(socket.0 as usize) else {
            return 0;
        };
        let mut asked = open.appetite(self.turn);
        if self.inside.goes_by_kernel(socket) {
            // One more than there may be shows that there is no more.
            asked = (asked + 1).min(BATCH);
        }
        open.asked = asked;
        self.vectors.clear();
        self.headers.clear();
        for buffer in self.buffers.iter_mut().take(asked) {
            self.vectors.push(libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                // What does not fit is longer than any packet we accept, and shows as such.
                iov_len: crate::packet::rtp::MAX_PACKET_BYTES + 1,
            });
        }
        for (vector, name) in self.vectors.iter_mut().zip(&mut self.names) {
            name.length = NAME_BYTES as u32;
            self.headers.push(header(name, vector));
        }
        // JUSTIFICATION: no safe batched receive exists; benches/forward shows what it is part of.
        // SAFETY: each header points to one name of NAME_BYTES and one vector, each vector to one
        // slot of SLOT_BYTES with a shorter length; all are owned by `self` and neither move nor are
        // touched otherwise during the call. The count is the number of headers, no time-out is given.
        let received = unsafe {
            libc::recvmmsg(
                open.descriptor.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        // Errors are an empty queue, or ICMP answers to what we sent, which anybody can forge and
        // which therefore change nothing (MED-013).
        self.filled = usize::try_from(received).unwrap_or(0);
        open.had = self.filled;
        open.full_in = (self.filled == asked).then_some(self.turn);
        if self.filled < asked {
            self.inside.caught_up(socket);
        }
        self.filled
    }

    fn slot(&mut self, at: usize) -> Option<Received<'_>> {
        if at >= self.filled {
            return None;
        }
        let header = self.headers.get(at)?;
        let from = self.names.get(at)?.address(header.msg_hdr.msg_namelen);
        let length = header.msg_len as usize;
        Some(Received {
            from,
            slot: self.buffers.get_mut(at)?,
            length,
        })
    }

    fn queue(&mut self, slot: usize, range: Range<usize>, socket: SocketId, to: SocketAddr) {
        self.queued.push(Queued {
            slot,
            range,
            socket,
            to,
        });
    }

    fn flush(&mut self, failed: &mut Vec<usize>) {
        let mut start = 0;
        while let Some(first) = self.queued.get(start) {
            let socket = first.socket;
            if self.hand_over(start) {
                start += 1;
                continue;
            }
            // What there is no room for inside goes as all others do.
            let run = self.queued[start..]
                .iter()
                .take_while(|next| next.socket == socket)
                .enumerate()
                .take_while(|(at, next)| *at == 0 || self.inside.at(next.to).is_none())
                .count();
            let mut at = start;
            let end = start + run;
            while at < end {
                let sent = self.send_run(at..end);
                at += sent;
                if sent == 0 {
                    // The kernel refuses the one in front; the others get their own chance.
                    failed.push(at);
                    at += 1;
                }
            }
            start = end;
        }
        self.queued.clear();
    }

    fn send(&mut self, socket: SocketId, to: SocketAddr, packet: &[u8]) -> bool {
        let Self {
            sockets, inside, ..
        } = self;
        let open = sockets.get(socket.0 as usize).and_then(Option::as_ref);
        open.is_some_and(|open| open.send(to, packet, inside))
    }

    fn wake(&self) {
        Waker(Arc::clone(&self.waker)).wake();
    }
}

fn packet<'a>(buffers: &'a [[u8; SLOT_BYTES]], queued: &Queued) -> Option<&'a [u8]> {
    buffers.get(queued.slot)?.get(queued.range.clone())
}

fn send_to(socket: &OwnedFd, to: SocketAddr, packet: &[u8]) -> bool {
    net::sendto(socket, packet, SendFlags::DONTWAIT, &to).is_ok()
}

fn header(name: &mut Name, vector: &mut libc::iovec) -> libc::mmsghdr {
    // JUSTIFICATION: `msghdr` has private padding on some targets and no constructor.
    // SAFETY: all-zero bytes are a valid `mmsghdr`: null pointers with zero lengths.
    let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_hdr.msg_name = ptr::from_mut(&mut name.bytes).cast();
    header.msg_hdr.msg_namelen = name.length;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}

impl Name {
    /// The address, if `length` bytes of it are one.
    fn address(&self, length: u32) -> Option<SocketAddr> {
        let bytes = &self.bytes;
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        match i32::from(u16::from_ne_bytes([bytes[0], bytes[1]])) {
            libc::AF_INET if length >= 16 => {
                let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
                Some(SocketAddrV4::new(ip, port).into())
            }
            libc::AF_INET6 if length as usize >= NAME_BYTES => {
                let ip: [u8; 16] = bytes[8..24].try_into().ok()?;
                let scope = u32::from_ne_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
                // The flow label is the sender's business and no part of its identity.
                Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope).into())
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        let mut bytes = [0; NAME_BYTES];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let (family, length) = match address {
            SocketAddr::V4(address) => {
                bytes[4..8].copy_from_slice(&address.ip().octets());
                (libc::AF_INET, 16)
            }
            SocketAddr::V6(address) => {
                bytes[8..24].copy_from_slice(&address.ip().octets());
                bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
                (libc::AF_INET6, NAME_BYTES as u32)
            }
        };
        bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        Self { bytes, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_survive_the_kernel_layout() {
        for text in ["192.0.2.7:5004", "[2001:db8::7]:5006", "[fe80::1%3]:9"] {
            let address = loopback(text);
            let name = Name::from(address);
            assert_eq!(name.address(name.length), Some(address));
            assert_eq!(name.address(8), None);
        }
    }

    #[test]
    fn datagrams_that_arrive_together_are_received_and_sent_together() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let (mut batch, _waker) = Mmsg::new().unwrap();
            let peer = match std::net::UdpSocket::bind(local) {
                Ok(peer) => peer,
                // A machine without IPv6.
                Err(_) => continue,
            };
            let socket = batch.open(loopback(local), 46).unwrap();
            let open = batch.descriptor(socket).unwrap();
            let address = SocketAddr::try_from(net::getsockname(open).unwrap()).unwrap();
            for number in 0..5u8 {
                peer.send_to(&[number; 100], address).unwrap();
            }
            // One, to see whether more wait; then the rest at once.
            let mut number = 0;
            for wanted in [1, 4] {
                let mut ready = Vec::new();
                batch.wait(Duration::from_secs(5), &mut ready).unwrap();
                assert_eq!(ready, [socket]);
                assert_eq!(batch.receive(socket), wanted);
                for at in 0..wanted {
                    let received = batch.slot(at).unwrap();
                    assert_eq!(received.from, Some(peer.local_addr().unwrap()));
                    assert_eq!(received.slot[..received.length], [number; 100]);
                    number += 1;
                    batch.queue(at, 10..50, socket, peer.local_addr().unwrap());
                }
                assert!(batch.slot(wanted).is_none());
                let mut failed = Vec::new();
                batch.flush(&mut failed);
                assert!(failed.is_empty());
            }
            for number in 0..5u8 {
                let mut buffer = [0; 200];
                assert_eq!(peer.recv(&mut buffer).unwrap(), 40);
                assert_eq!(buffer[..40], [number; 40]);
            }
        }
    }

    #[test]
    fn a_packet_that_the_kernel_refuses_does_not_hold_up_those_behind_it() {
        let (mut batch, _waker) = Mmsg::new().unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let socket = batch.open(loopback("127.0.0.1:0"), 46).unwrap();
        let to = peer.local_addr().unwrap();
        let broadcast = loopback("255.255.255.255:9");
        for (number, slot) in (0u8..).zip(&mut batch.buffers).take(6) {
            slot[..10].fill(number);
        }
        for (slot, to) in [
            (0, broadcast),
            (1, to),
            (2, to),
            (3, broadcast),
            (4, to),
            (5, broadcast),
        ] {
            batch.queue(slot, 0..10, socket, to);
        }
        let mut failed = Vec::new();
        batch.flush(&mut failed);
        assert_eq!(failed, [0, 3, 5]);
        for number in [1, 2, 4] {
            let mut buffer = [0; 20];
            assert_eq!(peer.recv(&mut buffer).unwrap(), 10);
            assert_eq!(buffer[..10], [number; 10]);
        }
    }

    #[test]
    fn an_unreachable_peer_and_an_oversize_datagram_do_not_disturb_a_socket() {
        let (mut batch, _waker) = Mmsg::new().unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let gone = {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.local_addr().unwrap()
        };
        let socket = batch.open(loopback("127.0.0.1:0"), 46).unwrap();
        let open = batch.descriptor(socket).unwrap();
        assert_eq!(sockopt::ip_tos(open).unwrap(), 46 << 2);
        let address = SocketAddr::try_from(net::getsockname(open).unwrap()).unwrap();
        // The answer is an ICMP message, which anybody can forge.
        for _ in 0..10 {
            assert!(batch.send(socket, gone, b"nobody"));
        }
        for length in [1500, 1501, 3000, 0, 1] {
            peer.send_to(&vec![7; length], address).unwrap();
        }
        let mut lengths = Vec::new();
        let mut ready = Vec::new();
        while lengths.len() < 5 {
            ready.clear();
            batch.wait(Duration::from_secs(5), &mut ready).unwrap();
            assert_eq!(ready, [socket]);
            for at in 0..batch.receive(socket) {
                lengths.push(batch.slot(at).unwrap().length);
            }
        }
        // Cut where a packet is too long in any case.
        assert_eq!(lengths, [1500, 1501, 1501, 0, 1]);
    }

    /// MED-013: 256 KiB at least, where the kernel grants as much. It counts its own part, as much again.
    #[test]
    fn a_socket_has_room_for_a_burst() {
        let (mut batch, _waker) = Mmsg::new().unwrap();
        let socket = batch.open(loopback("127.0.0.1:0"), 46).unwrap();
        let granted = sockopt::socket_recv_buffer_size(batch.descriptor(socket).unwrap()).unwrap();
        let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        let most: usize = most.trim().parse().unwrap();
        assert_eq!(granted, 2 * most.min(RECEIVE_BUFFER_BYTES));
        const { assert!(RECEIVE_BUFFER_BYTES >= 256 * 1024) };
    }

    /// MED-300: whichever of the two the realm is.
    #[test]
    fn both_internet_protocols_carry_the_mark() {
        let (mut batch, _waker) = Mmsg::new().unwrap();
        for dscp in [46, 34] {
            let four = batch.open(loopback("127.0.0.1:0"), dscp).unwrap();
            let open = batch.descriptor(four).unwrap();
            assert_eq!(sockopt::ip_tos(open).unwrap(), dscp << 2);
            let six = batch.open(loopback("[::1]:0"), dscp).unwrap();
            let open = batch.descriptor(six).unwrap();
            let class = sockopt::ipv6_tclass(open).unwrap();
            assert_eq!(class, u32::from(dscp) << 2);
        }
    }

    #[test]
    fn a_queue_is_emptied_in_growing_bites_and_one_packet_at_a_time_stays_one() {
        let (mut batch, _waker) = Mmsg::new().unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = batch.open(loopback("127.0.0.1:0"), 0).unwrap();
        let open = batch.descriptor(socket).unwrap();
        let address = SocketAddr::try_from(net::getsockname(open).unwrap()).unwrap();
        let mut bites = |packets: usize| {
            for _ in 0..packets {
                peer.send_to(b"x", address).unwrap();
            }
            let mut bites = Vec::new();
            while bites.iter().sum::<usize>() < packets {
                let mut ready = Vec::new();
                batch.wait(Duration::from_secs(5), &mut ready).unwrap();
                bites.push(batch.receive(socket));
            }
            // Somebody else's turn.
            batch.wake();
            batch.wait(Duration::from_secs(5), &mut Vec::new()).unwrap();
            (
                bites,
                batch.sockets[socket.0 as usize].as_ref().unwrap().asked,
            )
        };
        assert_eq!(bites(60), (vec![1, 4, 16, 16, 16, 7], 16));
        for asked in [7, 1, 1] {
            assert_eq!(bites(1), (vec![1], asked));
        }
    }

    /// MED-002: by count of packets, as a clock of a busy machine proves nothing.
    #[test]
    fn others_have_their_turn_after_sixteen_packets_of_whoever_sends_without_end() {
        let (mut batch, _waker) = Mmsg::new().unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut open = || {
            let socket = batch.open(loopback("127.0.0.1:0"), 0).unwrap();
            let name = net::getsockname(batch.descriptor(socket).unwrap()).unwrap();
            (socket, SocketAddr::try_from(name).unwrap())
        };
        let flooded = open();
        let others: Vec<_> = (0..20).map(|_| open()).collect();
        let (mut taken, mut turns) = (0, 0);
        for _ in 0..400 {
            peer.send_to(b"x", flooded.1).unwrap();
        }
        while taken < 400 {
            for (_, other) in &others {
                peer.send_to(b"y", other).unwrap();
            }
            let mut ready = Vec::new();
            batch.wait(Duration::from_secs(5), &mut ready).unwrap();
            assert_eq!(ready.len(), 21, "turn {turns}");
            for socket in ready {
                let came = batch.receive(socket);
                match socket == flooded.0 {
                    true => taken += came,
                    false => assert_eq!(came, 1),
                }
                assert!(came <= BATCH);
            }
            turns += 1;
        }
        assert!(turns >= 400 / BATCH, "{turns}");
    }

    /// MED-311.
    #[test]
    fn what_is_for_a_socket_of_ours_is_handed_over_without_the_kernel() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(free) = std::net::UdpSocket::bind(host) else {
                // A machine without IPv6.
                continue;
            };
            let other = std::net::UdpSocket::bind(host).unwrap();
            let [one, two] = [&free, &other].map(|free| free.local_addr().unwrap());
            drop((free, other));
            let (mut batch, _waker) = Mmsg::new().unwrap();
            let [from, to] = [one, two].map(|local| batch.open(local, 0).unwrap());
            let peer = std::net::UdpSocket::bind(host).unwrap();
            let stranger = peer.local_addr().unwrap();
            for (number, slot) in (0u8..).zip(&mut batch.buffers) {
                slot[..100].fill(number);
            }
            // Each way of sending, and between others.
            batch.queue(0, 0..100, from, two);
            batch.queue(1, 0..100, from, stranger);
            batch.queue(2, 10..40, from, two);
            batch.queue(3, 0..100, to, one);
            let mut failed = Vec::new();
            batch.flush(&mut failed);
            assert!(failed.is_empty());
            assert!(batch.send(from, two, &[4; 1600]));
            assert!(batch.send_part(5, 0..7, from, two));
            let mut heard = [0; 200];
            assert_eq!(peer.recv(&mut heard).unwrap(), 100);
            let descriptor = batch.descriptor(to).unwrap();
            let (peek, none) = (net::RecvFlags::DONTWAIT, &mut [0u8; 8]);
            assert!(
                net::recv(descriptor, none, peek).is_err(),
                "the kernel has nothing"
            );
            let mut ready = Vec::new();
            // It does not wait for what is there.
            batch.wait(Duration::from_secs(60), &mut ready).unwrap();
            assert_eq!(ready, [to, from]);
            assert_eq!(batch.receive(to), 4);
            for (at, (octet, length)) in [(0, 100), (2, 30), (4, 1501), (5, 7)]
                .into_iter()
                .enumerate()
            {
                let received = batch.slot(at).unwrap();
                assert_eq!((received.from, received.length), (Some(one), length));
                assert!(received.slot[..length].iter().all(|own| *own == octet));
            }
            assert!(batch.slot(4).is_none());
            assert_eq!(batch.receive(from), 1);
            assert_eq!(batch.slot(0).unwrap().from, Some(two));
            // What others send to the same socket still comes, in the same turn or the next.
            peer.send_to(&[9; 20], two).unwrap();
            assert!(batch.send(from, two, &[8; 20]));
            let mut octets = Vec::new();
            while octets.len() < 2 {
                ready.clear();
                batch.wait(Duration::from_secs(5), &mut ready).unwrap();
                for socket in ready.clone() {
                    assert_eq!(socket, to);
                    for at in 0..batch.receive(to) {
                        octets.push(batch.slot(at).unwrap().slot[0]);
                    }
                }
            }
            octets.sort_unstable();
            assert_eq!(octets, [8, 9]);
        }
    }

    #[test]
    fn what_there_is_no_room_for_inside_goes_through_the_kernel_and_all_comes_in_order() {
        const AT_FIRST: u16 = 1_100;
        const MANY: u16 = 1_300;
        let free = ["127.0.0.1:0"; 2].map(|any| std::net::UdpSocket::bind(any).unwrap());
        let [one, two] = [0, 1].map(|at: usize| free[at].local_addr().unwrap());
        drop(free);
        let (mut batch, _waker) = Mmsg::new().unwrap();
        let [from, to] = [one, two].map(|local| batch.open(local, 0).unwrap());
        let mut sent = 0..MANY;
        for number in sent.by_ref().take(AT_FIRST.into()) {
            assert!(batch.send(from, two, &number.to_be_bytes()));
        }
        let mut next = 0;
        while next < MANY {
            let mut ready = Vec::new();
            batch.wait(Duration::from_secs(5), &mut ready).unwrap();
            assert!(ready.contains(&to));
            for socket in ready {
                for at in 0..batch.receive(socket) {
                    let slot = batch.slot(at).unwrap().slot;
                    assert_eq!(u16::from_be_bytes([slot[0], slot[1]]), next);
                    next += 1;
                }
            }
            // What is sent meanwhile overtakes nothing.
            for number in sent.by_ref().take(2) {
                assert!(batch.send(from, two, &number.to_be_bytes()));
            }
        }
        assert!(!batch.inside.goes_by_kernel(to), "it has caught up");
    }

    #[test]
    fn the_waker_ends_a_wait_and_closed_sockets_are_silent() {
        let (mut batch, waker) = Mmsg::new().unwrap();
        let socket = batch.open(loopback("127.0.0.1:0"), 0).unwrap();
        waker.wake();
        let mut ready = Vec::new();
        batch.wait(Duration::from_secs(60), &mut ready).unwrap();
        assert!(ready.is_empty());
        batch.close(socket);
        assert_eq!(batch.receive(socket), 0);
        assert!(!batch.send(socket, loopback("127.0.0.1:9"), b"x"));
    }
}
