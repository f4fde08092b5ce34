//! Past the kernel's network stack: AF_XDP for our ports, everything else untouched to the kernel.
//!
//! ```text
//! interface ─► program ─┬─ our port ─► lane (ring) ─► frame ─► slot ─► session ─► headers ─► lane
//!                       └─ all else ─► kernel ─► sockets, as if nothing were here
//! ```
//!
//! Every port still has its socket: it keeps others off the port, gets what the program leaves to the
//! kernel, and sends what has no [`paths`] yet. So a program that is detached, or an interface that goes
//! down and up again, costs no call. A packet stays in the frame that it was received in until it is
//! sent; whose frame it is is told by the value that names it [`umem`]. What carries a VLAN tag is left to
//! the kernel, and an interface that is a VLAN is served behind the driver, where tags are gone. Workers have the frames and the
//! queues' common ends behind one lock, which is tried once in a turn and never waited for.

mod bpf;
mod express;
mod features;
mod interface;
mod kernel;
mod lane;
mod memory;
mod moderation;
mod paths;
mod program;
mod ring;
pub(super) mod start;
mod umem;

#[cfg(test)]
mod tests;

use super::{Batch, Mmsg, Received, Waker};
use crate::packet::frame::{self, ETHERNET_BYTES, Headers, MOST_HEADER_BYTES};
use crate::session::{Express, Passed, SocketId};
use express::{Entries, Entry};
use interface::State;
use lane::Lane;
use paths::Paths;
use program::PORTS;
use start::{Depot, Shared};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, TryLockError};
use std::time::{Duration, Instant};
use umem::Frame;

use start::Parts;

/// Packets taken from a queue in one turn, so that orders and deadlines get theirs.
const TAKEN_AT_ONCE: usize = 64;
/// Frames that a worker keeps for packets of its own.
const STASH: usize = 256;
/// Packets after which the kernel is called within a turn.
const SENT_AT_ONCE: usize = 32;
/// Where packets of our own begin in a frame.
const OWN_PAYLOAD: usize = 256 + MOST_HEADER_BYTES;
/// How soon to try again where the kernel did not take all.
const SOON: Duration = Duration::from_millis(1);
/// No socket, or no packet.
const NONE: u32 = u32::MAX;

/// Sockets, lanes and frames of one worker.
pub(crate) struct Xdp {
    sockets: Mmsg,
    outlet: Outlet,
    /// By socket number; `None` if its packets are not diverted.
    bound: Vec<Option<Bound>>,
    /// Socket numbers by port, for each of `Shared::diverted`'s addresses of each interface.
    by_port: Vec<Vec<Box<[u32]>>>,
    /// Taken from the lanes in this turn, linked by socket.
    arrived: Vec<Option<Arrived>>,
    filled: Vec<Slot>,
    /// Datagrams of the last receive that came by the socket.
    from_socket: usize,
    queued: Vec<Queued>,
    readable: Vec<u32>,
    /// What interfaces may be told to forward.
    entries: Option<Entries>,
    /// Sockets whose express begins when what was put before has been sent.
    beginning: Vec<u32>,
    /// Which interfaces have forwarded by themselves lately, and taken what others forward.
    forwards: Vec<[bool; 2]>,
}

/// What sends: lanes, paths, and frames to send with.
struct Outlet {
    worker: usize,
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    /// The lane to send by, for each interface: workers spread over its queues.
    exits: Vec<usize>,
    paths: Paths,
    /// Frames for packets of our own, and frames to give back.
    stash: Vec<Frame>,
    used: Vec<Frame>,
    /// Packets put since the kernel was called.
    put: usize,
    /// Frames have moved since the depot was visited.
    has_moved: bool,
    now: Instant,
}

/// A socket whose packets are diverted.
struct Bound {
    local: SocketAddr,
    dscp: u8,
    interface: usize,
    at: usize,
    /// The first and the last of its packets in `arrived`.
    first: u32,
    last: u32,
    /// Its own in the interface's express, once it has had one.
    entry: Option<Entry>,
    /// It found none when it last wanted one.
    is_crowded_out: bool,
}

struct Arrived {
    socket: u32,
    slot: Slot,
    next: u32,
}

/// A datagram in a frame.
struct Slot {
    /// `None` once it is on its way.
    frame: Option<Frame>,
    from: SocketAddr,
    payload: Range<usize>,
}

struct Queued {
    slot: usize,
    range: Range<usize>,
    socket: SocketId,
    to: SocketAddr,
}

impl Xdp {
    /// The parts of a worker, and the waker that ends its waits.
    pub(crate) fn new(parts: Parts) -> io::Result<(Self, Waker)> {
        let Parts {
            worker,
            shared,
            lanes,
            paths,
            entries,
        } = parts;
        let (sockets, waker) = Mmsg::new()?;
        for (number, lane) in (0..).zip(&lanes) {
            sockets.watch(&lane.socket, number)?;
        }
        let by_port = shared.interfaces.iter().map(|interface| {
            let ports = |_| vec![NONE; PORTS].into_boxed_slice();
            interface.addresses.iter().map(ports).collect()
        });
        let by_port = by_port.collect();
        let exits = (0..shared.interfaces.len()).map(|interface| {
            let of_it = |lane: &usize| lanes[*lane].interface == interface;
            let own: Vec<usize> = (0..lanes.len()).filter(of_it).collect();
            own.get(worker % own.len().max(1))
                .copied()
                .unwrap_or(usize::MAX)
        });
        let exits = exits.collect();
        let forwards = vec![[false; 2]; shared.interfaces.len()];
        let outlet = Outlet {
            worker,
            exits,
            shared,
            lanes,
            paths,
            stash: Vec::with_capacity(STASH),
            used: Vec::new(),
            put: 0,
            has_moved: true,
            now: Instant::now(),
        };
        let batch = Self {
            sockets,
            outlet,
            bound: Vec::new(),
            by_port,
            arrived: Vec::new(),
            filled: Vec::new(),
            from_socket: 0,
            queued: Vec::new(),
            readable: Vec::new(),
            entries,
            beginning: Vec::new(),
            forwards,
        };
        Ok((batch, waker))
    }

    /// Takes the frames of what was received and not sent.
    fn put_away(&mut self) {
        let frames = self.filled.drain(..).filter_map(|slot| slot.frame);
        self.outlet.used.extend(frames);
        self.from_socket = 0;
    }

    /// Takes packets from a lane and sorts them by socket.
    fn take_from(&mut self, lane: usize, ready: &mut Vec<SocketId>) {
        let shared = Arc::clone(&self.outlet.shared);
        let Some(lane) = self.outlet.lanes.get_mut(lane) else {
            return;
        };
        let at = lane.interface;
        let interface = &shared.interfaces[at];
        for _ in 0..TAKEN_AT_ONCE {
            let Some(packet) = lane.incoming.take() else {
                break;
            };
            self.outlet.has_moved = true;
            let Some(mut frame) = shared.umem.taken_back(packet.place) else {
                continue;
            };
            let start = (packet.place - frame.place()) as usize;
            let bytes = shared.umem.bytes(&mut frame);
            let read = bytes
                .get(start..start + packet.length as usize)
                .ok_or(frame::FrameFault::Length)
                .and_then(frame::parse);
            // One for another host is no more ours than it would be the kernel's.
            let socket = read
                .as_ref()
                .ok()
                .filter(|read| read.mac == interface.mac());
            let socket = socket.and_then(|read| {
                let mut known = interface.addresses.iter();
                let address = known.position(|known| *known == read.to.ip())?;
                let socket = self.by_port[at][address][usize::from(read.to.port())];
                (socket != NONE).then_some(socket)
            });
            let (Some(socket), Ok(read)) = (socket, read) else {
                // A port may have been closed meanwhile; all else is broken or for somebody else.
                interface.refuse();
                self.outlet.used.push(frame);
                continue;
            };
            let Some(Some(bound)) = self.bound.get_mut(socket as usize) else {
                self.outlet.used.push(frame);
                continue;
            };
            let number = self.arrived.len() as u32;
            match bound.last {
                NONE => {
                    bound.first = number;
                    ready.push(SocketId(socket));
                }
                last => {
                    if let Some(Some(last)) = self.arrived.get_mut(last as usize) {
                        last.next = number;
                    }
                }
            }
            bound.last = number;
            self.arrived.push(Some(Arrived {
                socket,
                slot: Slot {
                    frame: Some(frame),
                    from: read.from,
                    payload: start + read.payload.start..start + read.payload.end,
                },
                next: NONE,
            }));
        }
        lane.incoming.release();
    }

    /// Forgets what arrived and nobody asked for.
    fn forget_arrived(&mut self) {
        for arrived in self.arrived.drain(..).flatten() {
            if let Some(Some(bound)) = self.bound.get_mut(arrived.socket as usize) {
                (bound.first, bound.last) = (NONE, NONE);
            }
            self.outlet.used.extend(arrived.slot.frame);
        }
    }
}

impl Bound {
    /// Notes whether there is no entry for it, and tells its interface what has changed.
    fn crowd_out(&mut self, shared: &Shared, is_crowded_out: bool) {
        if std::mem::replace(&mut self.is_crowded_out, is_crowded_out) != is_crowded_out {
            shared.interfaces[self.interface].count_crowded_out(is_crowded_out);
        }
    }

    /// Ends what it has of the express, for others to have; it is not crowded out any more.
    fn give_back(&mut self, shared: &Shared, entries: Option<&mut Entries>) {
        if let (Some(mut entry), Some(table), Some(entries)) =
            (self.entry.take(), &shared.express, entries)
        {
            if let Some(passed) = table.end(&mut entry) {
                shared.interfaces[self.interface].count_forwarded(passed.packets);
            }
            entries.give_back(entry);
        }
        self.crowd_out(shared, false);
    }
}

impl Outlet {
    /// Sends a payload in a frame by AF_XDP; gives the frame back, its payload unharmed, if it has to go
    /// by the socket.
    fn send(
        &mut self,
        mut frame: Frame,
        payload: Range<usize>,
        bound: &Bound,
        to: SocketAddr,
    ) -> Result<(), Frame> {
        let path = match self.paths.find((bound.local.ip(), to.ip()), self.now) {
            Some(path) if to.port() != 0 => path,
            _ => return Err(frame),
        };
        let interface = &self.shared.interfaces[path.interface];
        let lane = self.lanes.get_mut(self.exits[path.interface]);
        let (Some(lane), State::Works) = (lane, interface.state()) else {
            return Err(frame);
        };
        let headers = Headers {
            our_mac: interface.mac(),
            next_mac: path.mac,
            from: bound.local,
            to,
            dscp: bound.dscp,
        };
        let bytes = self.shared.umem.bytes(&mut frame);
        let Some(whole) = frame::wrap(bytes, payload, &headers) else {
            return Err(frame);
        };
        if whole.len() > path.mtu as usize + ETHERNET_BYTES
            || !lane.put(frame.place() + whole.start as u64, whole.len())
        {
            return Err(frame);
        }
        self.has_moved = true;
        self.put += 1;
        if self.put >= SENT_AT_ONCE {
            self.kick();
        }
        Ok(())
    }

    /// Sends a copy of a packet by AF_XDP; tells whether it went that way.
    fn send_copy(&mut self, packet: &[u8], bound: &Bound, to: SocketAddr) -> bool {
        if self.stash.is_empty() {
            self.visit_depot();
        }
        let Some(mut frame) = self.stash.pop() else {
            return false;
        };
        let payload = OWN_PAYLOAD..OWN_PAYLOAD + packet.len();
        let bytes = self.shared.umem.bytes(&mut frame);
        let is_written = match bytes.get_mut(payload.clone()) {
            Some(place) => {
                place.copy_from_slice(packet);
                true
            }
            None => false,
        };
        let unsent = match is_written {
            true => self.send(frame, payload, bound, to).err(),
            false => Some(frame),
        };
        let is_sent = unsent.is_none();
        self.stash.extend(unsent);
        is_sent
    }

    /// Has the kernel send what was put. It does so without the program, too: what was put before the
    /// program was taken away is not lost.
    fn kick(&mut self) {
        self.put = 0;
        for lane in &mut self.lanes {
            let interface = &self.shared.interfaces[lane.interface];
            if lane.is_waiting && interface.state() != State::Down && lane.kick().is_err() {
                interface.is_down();
                // Of an interface that is gone nothing is asked again.
                lane.is_waiting = interface.state() == State::Down;
            }
        }
    }

    /// Whether the kernel has not taken all that it could.
    fn is_behind(&self) -> bool {
        let is_up = |lane: &Lane| self.shared.interfaces[lane.interface].state() != State::Down;
        self.lanes.iter().any(|lane| lane.is_waiting && is_up(lane))
    }

    /// Gives back used frames, has queues filled, takes what the stash lacks. Another worker may be at
    /// it, which does the same for all.
    fn visit_depot(&mut self) {
        if !self.has_moved && self.used.is_empty() {
            return;
        }
        let mut depot = match self.shared.depot.try_lock() {
            Ok(depot) => depot,
            // Frames and rings are whole between any two statements.
            Err(TryLockError::Poisoned(depot)) => depot.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let Depot { spare, queues } = &mut *depot;
        spare.append(&mut self.used);
        let lacking = STASH.saturating_sub(self.stash.len()).min(spare.len());
        self.stash.extend(spare.drain(spare.len() - lacking..));
        for queue in queues {
            queue.exchange(&self.shared.umem, spare);
        }
        // Until all that was sent has come back there is reason to look again.
        self.has_moved = false;
    }
}

impl Batch for Xdp {
    fn open(&mut self, local: SocketAddr, dscp: u8) -> io::Result<SocketId> {
        let socket = self.sockets.open(local, dscp)?;
        let number = socket.0 as usize;
        if self.bound.len() <= number {
            self.bound.resize_with(number + 1, || None);
        }
        let shared = &self.outlet.shared;
        self.bound[number] = shared.diverted_at(local).map(|diverted| {
            let (interface, at) = (diverted.interface, diverted.at);
            self.by_port[interface][at][usize::from(local.port())] = socket.0;
            let worker = Some(self.outlet.worker);
            shared.interfaces[interface].set_port(at, local.port(), worker);
            Bound {
                local,
                dscp,
                interface,
                at,
                first: NONE,
                last: NONE,
                entry: None,
                is_crowded_out: false,
            }
        });
        Ok(socket)
    }

    fn close(&mut self, socket: SocketId) {
        let bound = self.bound.get_mut(socket.0 as usize).and_then(Option::take);
        if let Some(mut bound) = bound {
            bound.give_back(&self.outlet.shared, self.entries.as_mut());
            let port = bound.local.port();
            self.outlet.shared.interfaces[bound.interface].set_port(bound.at, port, None);
            self.by_port[bound.interface][bound.at][usize::from(port)] = NONE;
            // What has arrived for it is forgotten with the turn.
        }
        self.sockets.close(socket);
    }

    fn wait(&mut self, timeout: Duration, ready: &mut Vec<SocketId>) -> io::Result<()> {
        self.put_away();
        self.forget_arrived();
        self.outlet.kick();
        if self.outlet.is_behind() {
            // What waits may be of the same streams. Those whose packets still come here begin again and again.
            self.beginning.sort_unstable();
            self.beginning.dedup();
        } else {
            self.tell_express();
        }
        self.outlet.visit_depot();
        self.readable.clear();
        let timeout = match self.outlet.is_behind() {
            true => timeout.min(SOON),
            false => timeout,
        };
        let waited = self.sockets.wait_for(timeout, ready, &mut self.readable);
        self.outlet.now = Instant::now();
        self.follow_ways();
        let readable = std::mem::take(&mut self.readable);
        for lane in &readable {
            self.take_from(*lane as usize, ready);
        }
        self.readable = readable;
        waited
    }

    fn receive(&mut self, socket: SocketId) -> usize {
        self.put_away();
        let bound = self.bound.get_mut(socket.0 as usize);
        if let Some(Some(bound)) = bound
            && bound.first != NONE
        {
            let mut next = std::mem::replace(&mut bound.first, NONE);
            bound.last = NONE;
            while let Some(arrived) = self.arrived.get_mut(next as usize).and_then(Option::take) {
                next = arrived.next;
                self.filled.push(arrived.slot);
            }
            return self.filled.len();
        }
        self.from_socket = self.sockets.receive(socket);
        self.from_socket
    }

    fn slot(&mut self, at: usize) -> Option<Received<'_>> {
        if self.from_socket > 0 {
            return self.sockets.slot(at);
        }
        let Slot {
            frame,
            from,
            payload,
        } = self.filled.get_mut(at)?;
        let bytes = self.outlet.shared.umem.bytes(frame.as_mut()?);
        Some(Received {
            from: Some(*from),
            length: payload.len(),
            slot: bytes.get_mut(payload.start..)?,
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
        let mut queued = std::mem::take(&mut self.queued);
        for (position, one) in queued.drain(..).enumerate() {
            let is_sent = match self.from_socket {
                0 => self.send_slot(&one),
                _ => self.send_received(&one),
            };
            failed.extend((!is_sent).then_some(position));
        }
        self.queued = queued;
    }

    fn send(&mut self, socket: SocketId, to: SocketAddr, packet: &[u8]) -> bool {
        let bound = self.bound.get(socket.0 as usize).and_then(Option::as_ref);
        bound.is_some_and(|bound| self.outlet.send_copy(packet, bound, to))
            || self.sockets.send(socket, to, packet)
    }

    fn wake(&self) {
        self.sockets.wake();
    }

    fn keep_time(&mut self, start: Instant) {
        if let Some(entries) = &mut self.entries {
            entries.keep_time(start);
        }
    }

    fn has_express(&self) -> bool {
        self.entries.is_some()
    }

    fn begin_express(&mut self, socket: SocketId, express: &Express, is_seen: bool) -> bool {
        let Some(headers) = self.headers(socket, express) else {
            self.want_no_express(socket);
            return false;
        };
        let (Some(table), Some(entries)) = (&self.outlet.shared.express, &mut self.entries) else {
            return false;
        };
        let Some(Some(bound)) = self.bound.get_mut(socket.0 as usize) else {
            return false;
        };
        // One that is idle takes none: it may pass only behind a packet that was seen.
        if bound.entry.is_none() && is_seen {
            bound.entry = entries.take();
            bound.crowd_out(&self.outlet.shared, bound.entry.is_none());
            if let Some(entry) = &bound.entry {
                let interface = &self.outlet.shared.interfaces[bound.interface];
                interface.set_entry(bound.at, bound.local.port(), entry.number());
            }
        }
        let Some(entry) = &mut bound.entry else {
            return false;
        };
        let is_begun = table.begin(entry, express, &headers, entries.base_ns(), is_seen);
        if is_begun {
            self.beginning.push(socket.0);
        }
        is_begun
    }

    fn end_express(&mut self, socket: SocketId) -> Option<Passed> {
        let bound = self.bound.get_mut(socket.0 as usize)?.as_mut()?;
        let shared = &self.outlet.shared;
        let passed = shared.express.as_ref()?.end(bound.entry.as_mut()?)?;
        shared.interfaces[bound.interface].count_forwarded(passed.packets);
        Some(passed)
    }

    fn want_no_express(&mut self, socket: SocketId) {
        if let Some(Some(bound)) = self.bound.get_mut(socket.0 as usize) {
            bound.crowd_out(&self.outlet.shared, false);
        }
    }

    fn is_crowded_out(&self, socket: SocketId) -> bool {
        let bound = self.bound.get(socket.0 as usize).and_then(Option::as_ref);
        bound.is_some_and(|bound| bound.is_crowded_out)
    }

    fn rest(&mut self, socket: SocketId) {
        let shared = &self.outlet.shared;
        if let Some(Some(bound)) = self.bound.get_mut(socket.0 as usize) {
            bound.give_back(shared, self.entries.as_mut());
            // The entry that the port had is another's from now on.
            let (interface, worker) = (&shared.interfaces[bound.interface], self.outlet.worker);
            interface.set_port(bound.at, bound.local.port(), Some(worker));
        }
    }

    fn passing(&self, socket: SocketId) -> (u64, u64) {
        let bound = self.bound.get(socket.0 as usize).and_then(Option::as_ref);
        let entry = bound.and_then(|bound| bound.entry.as_ref());
        let table = self.outlet.shared.express.as_ref();
        let both = table.zip(entry);
        both.map_or((0, 0), |(table, entry)| table.passing(entry))
    }
}

impl Xdp {
    /// What headers the interface would have to write; `None` if it cannot, or the way is not known.
    fn headers(&self, socket: SocketId, express: &Express) -> Option<express::Headers> {
        let of = |socket: SocketId| self.bound.get(socket.0 as usize)?.as_ref();
        let (own, target) = (of(socket)?, of(express.socket)?);
        let outlet = &self.outlet;
        let interface = outlet.shared.interfaces.get(own.interface)?;
        let ends = (target.local.ip(), express.to.ip());
        let path = outlet.paths.known(ends, outlet.now)?;
        let exit = outlet.shared.interfaces.get(path.interface)?;
        let is_elsewhere = path.interface != own.interface;
        let may_pass = own.local.is_ipv4() == target.local.is_ipv4()
            && express.to.port() != 0
            // What one of ours sends to another, of whichever worker, never comes by an interface.
            && !self.sockets.is_own(express.from)
            && outlet.shared.diverted_at(express.from).is_none()
            && interface.state() == State::Works
            && interface.express().is_ok()
            && (!is_elsewhere || (interface.redirects() && exit.takes()));
        may_pass.then_some(())?;
        Some(express::Headers {
            from: express.from,
            local: own.local,
            send_from: target.local,
            send_to: express.to,
            our_mac: interface.mac(),
            send_mac: exit.mac(),
            path,
            out: is_elsewhere.then_some(exit.index),
            dscp: target.dscp,
        })
    }

    /// Learns what ways there are. Where one is not what it was, nothing is forwarded along the old one any more.
    fn follow_ways(&mut self) {
        let shared = &self.outlet.shared;
        let mut has_changed = self.outlet.paths.learn(self.outlet.now);
        let Some(table) = &shared.express else {
            return;
        };
        for (interface, forwards) in shared.interfaces.iter().zip(&mut self.forwards) {
            let now = [interface.express().is_ok(), interface.takes()];
            let did = std::mem::replace(forwards, now);
            has_changed |= did.into_iter().zip(now).any(|(did, does)| did && !does);
        }
        if has_changed {
            let bound = self.bound.iter().flatten();
            let entries = bound.filter_map(|bound| bound.entry.as_ref());
            entries.for_each(|entry| table.stop(entry));
        }
    }

    /// What was put before is on its way: what follows it may overtake nothing.
    fn tell_express(&mut self) {
        let Some(table) = &self.outlet.shared.express else {
            return;
        };
        for socket in self.beginning.drain(..) {
            if let Some(Some(bound)) = self.bound.get_mut(socket as usize)
                && let Some(entry) = &mut bound.entry
            {
                table.tell(entry);
            }
        }
    }

    /// Sends what arrived by AF_XDP, in the frame that it arrived in if it can.
    fn send_slot(&mut self, one: &Queued) -> bool {
        let Some(slot) = self.filled.get_mut(one.slot) else {
            return false;
        };
        let Some(frame) = slot.frame.take() else {
            return false;
        };
        let start = slot.payload.start;
        let payload = start + one.range.start..start + one.range.end;
        let bound = self
            .bound
            .get(one.socket.0 as usize)
            .and_then(Option::as_ref);
        let unsent = match bound {
            Some(bound) => self
                .outlet
                .send(frame, payload.clone(), bound, one.to)
                .err(),
            None => Some(frame),
        };
        let Some(mut frame) = unsent else {
            return true;
        };
        let bytes = self.outlet.shared.umem.bytes(&mut frame);
        let packet = bytes.get(payload).unwrap_or_default();
        let is_sent = self.sockets.send(one.socket, one.to, packet);
        slot.frame = Some(frame);
        is_sent
    }

    /// Sends what arrived by a socket.
    fn send_received(&mut self, one: &Queued) -> bool {
        let Queued {
            slot,
            range,
            socket,
            to,
        } = one;
        let packet = self.sockets.part(*slot, range.clone());
        let bound = self.bound.get(socket.0 as usize).and_then(Option::as_ref);
        let outlet = &mut self.outlet;
        bound
            .zip(packet)
            .is_some_and(|(bound, packet)| outlet.send_copy(packet, bound, *to))
            || self.sockets.send_part(*slot, range.clone(), *socket, *to)
    }
}
