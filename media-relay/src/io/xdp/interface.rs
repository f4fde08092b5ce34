//! One interface that has the program: its ports, and how it is at the moment.

use super::bpf::{self, Mode};
use super::features::{self, Features, Known};
use super::kernel::{Kernel, Link};
use super::lane::Lane;
use super::memory::Mapping;
use super::moderation::Moderation;
use super::program::{self, PORTS, Part};
use crate::packet::frame::Mac;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Bytes of a number in the map of ports.
const ENTRY_BYTES: usize = 8;

// What becomes of frames that the program sends: bits of what is known.
const KNOWN: u8 = 1;
/// Those that it sends back out of the interface arrive.
const SENDS: u8 = 2;
/// It may send them out of another one.
const REDIRECTS: u8 = 4;
/// Those that another one's program sends out of this one arrive.
const TAKES: u8 = 8;
/// They would, had it a queue for each processor.
const LACKS_QUEUES: u8 = 16;

/// Whether packets pass by AF_XDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Works,
    /// It is down; it will be used again.
    Down,
    /// Somebody took the program away, or the interface is gone; it is not used again.
    Detached,
}

/// An interface with the program, for as long as the value exists.
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) mode: Mode,
    /// Whether packets are not even copied between driver and frames; known once sockets are bound.
    pub(super) is_zero_copy: bool,
    /// Of its interrupts; without it there are more wake-ups.
    pub(super) moderation: Option<Moderation>,
    ports: Mapping,
    /// Why it forwards nothing by itself, if its program cannot.
    express: Result<(), String>,
    /// Whether what its program sends arrives, and what others' programs send out of it.
    sends: AtomicU8,
    /// Its queues, and the host's processors up to the last one that is online, where the former are too few; zero where they are not known.
    lacking: [AtomicU32; 2],
    /// Packets that its program has taken to forward; also those that the driver had no room for.
    forwarded: AtomicU64,
    /// Directions of streams that it could forward, were there an entry for them.
    crowded_out: AtomicU64,
    sockets: OwnedFd,
    link: OwnedFd,
    /// The workers' sockets again, to ask what was lost.
    lanes: Vec<OwnedFd>,
    /// Frames that hold no datagram for us, although the program thought so.
    refused: AtomicU64,
    state: AtomicU8,
    mac: AtomicU64,
    mtu: AtomicU32,
}

impl Interface {
    /// Attaches a program that diverts nothing yet.
    pub(super) fn attach(
        index: u32,
        link: &Link,
        addresses: Vec<IpAddr>,
        queues: u32,
        workers: usize,
        express: Result<Part, String>,
    ) -> io::Result<Self> {
        let entries = addresses.len() * PORTS;
        let ports = bpf::array(
            u32::try_from(entries).map_err(io::Error::other)?,
            ENTRY_BYTES as u32,
        )?;
        let most = (queues as usize).saturating_mul(workers);
        let sockets = bpf::sockets(u32::try_from(most).map_err(io::Error::other)?)?;
        let (ports_map, sockets_map) = (ports.as_raw_fd(), sockets.as_raw_fd());
        let plan = program::Plan {
            addresses: &addresses,
            workers,
            ports: ports_map,
            sockets: sockets_map,
            express: None,
            otherwise: program::PASS,
        };
        let loaded = express.and_then(|part| {
            let express = Some(part);
            let code = program::assemble(&program::Plan { express, ..plan });
            bpf::load(&code).map_err(|fault| format!("the kernel refuses the program: {fault}"))
        });
        let (program, express) = match loaded {
            Ok(program) => (program, Ok(())),
            Err(why) => (bpf::load(&program::assemble(&plan))?, Err(why)),
        };
        let (mode, attached) = match bpf::attach(&program, index, Mode::Native) {
            Err(fault) if is_final(&fault) => return Err(fault),
            Err(_) => (Mode::Generic, bpf::attach(&program, index, Mode::Generic)?),
            Ok(attached) => (Mode::Native, attached),
        };
        let interface = Self {
            index,
            name: link.name.clone(),
            addresses,
            mode,
            is_zero_copy: false,
            moderation: None,
            express: match mode {
                Mode::Native => express,
                Mode::Generic => Err("the program runs behind the driver".to_owned()),
            },
            sends: AtomicU8::new(0),
            lacking: Default::default(),
            forwarded: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
            ports: Mapping::of(&ports, entries * ENTRY_BYTES, 0)?,
            sockets,
            link: attached,
            lanes: Vec::new(),
            refused: AtomicU64::new(0),
            state: AtomicU8::new(State::Works as u8),
            mac: AtomicU64::new(0),
            mtu: AtomicU32::new(0),
        };
        interface.note(Some(link));
        interface.note_sending(link, Features::new().ok().as_mut());
        Ok(interface)
    }

    /// Gives a queue's packets for a worker to a socket.
    pub(super) fn give(&mut self, key: u32, socket: &OwnedFd) -> io::Result<()> {
        self.lanes.push(socket.try_clone()?);
        bpf::put(&self.sockets, key, socket.as_raw_fd())
    }

    /// A frame holds no datagram for us.
    pub(super) fn refuse(&self) {
        // Ordering: a figure for people.
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Packets to our ports that came no further: broken ones, and those for which there was no room.
    pub(super) fn dropped(&self) -> u64 {
        let lost: u64 = self.lanes.iter().map(Lane::lost).sum();
        lost + self.refused.load(Ordering::Relaxed)
    }

    /// Says which entry a port of an address has, whose packets are a worker's.
    pub(super) fn set_entry(&self, address: usize, port: u16, entry: u32) {
        let place = (address * PORTS + usize::from(port)) * ENTRY_BYTES + 4;
        // The program counts entries from one. Ordering: as below; whether a packet is of the entry is seen there.
        self.ports
            .number(place as u64)
            .store(entry + 1, Ordering::Relaxed);
    }

    /// Whether it forwards by itself; why not, if it does not.
    pub(super) fn express(&self) -> Result<(), &str> {
        let sends = self.sends.load(Ordering::Relaxed);
        match &self.express {
            Err(why) => Err(why),
            Ok(()) if sends & SENDS != 0 => Ok(()),
            Ok(()) if sends & KNOWN == 0 => {
                Err("it is a veth, and the kernel does not tell what its other end takes")
            }
            Ok(()) => Err("it is a veth whose other end takes no such frames: GRO is off there"),
        }
    }

    /// Whether it may forward out of another interface.
    pub(super) fn redirects(&self) -> bool {
        self.express.is_ok() && self.sends.load(Ordering::Relaxed) & REDIRECTS != 0
    }

    /// Whether what another interface forwards out of this one arrives.
    pub(super) fn takes(&self) -> bool {
        self.state() == State::Works
            && self.mode == Mode::Native
            && self.sends.load(Ordering::Relaxed) & TAKES != 0
    }

    /// Why what another interface forwards out of this one does not arrive, if queues are all that it lacks.
    pub(super) fn lacks_queues(&self) -> Option<String> {
        let sends = self.sends.load(Ordering::Relaxed);
        if self.mode != Mode::Native || sends & LACKS_QUEUES == 0 {
            return None;
        }
        let count = |at: usize| self.lacking[at].load(Ordering::Relaxed);
        let has = match (count(0), count(1)) {
            (0, _) | (_, 0) => "does not show its queues".to_owned(),
            (queues, processors) => format!("has {queues} queues for {processors} processors"),
        };
        Some(format!("the interface to send by, {}, {has}", self.name))
    }

    /// It has forwarded so many packets by itself.
    pub(super) fn count_forwarded(&self, packets: u32) {
        // Ordering: a figure for people.
        self.forwarded.fetch_add(packets.into(), Ordering::Relaxed);
    }

    pub(super) fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// One more stream's direction finds no entry, or one less.
    pub(super) fn count_crowded_out(&self, is_more: bool) {
        // Ordering: a figure for people. Each that is less was more before.
        match is_more {
            true => self.crowded_out.fetch_add(1, Ordering::Relaxed),
            false => self.crowded_out.fetch_sub(1, Ordering::Relaxed),
        };
    }

    pub(super) fn crowded_out(&self) -> u64 {
        self.crowded_out.load(Ordering::Relaxed)
    }

    /// Says whose packets to a port of an address are: a worker's, or the kernel's.
    pub(super) fn set_port(&self, address: usize, port: u16, worker: Option<usize>) {
        let entry = (address * PORTS + usize::from(port)) * ENTRY_BYTES;
        // The program counts workers from one.
        let value = worker.map_or(0, |worker| worker as u32 + 1);
        // Ordering: the program needs the value alone, sooner or later.
        self.ports
            .number(entry as u64)
            .store(value, Ordering::Relaxed);
        self.ports
            .number(entry as u64 + 4)
            .store(0, Ordering::Relaxed);
    }

    /// Looks how it is.
    pub(super) fn look(&self, kernel: &mut Kernel, features: Option<&mut Features>) {
        // A question that was not answered changes nothing.
        if let Ok(link) = kernel.link(self.index) {
            self.note(link.as_ref());
            if let Some(link) = link.filter(|_| self.express.is_ok()) {
                self.note_sending(&link, features);
            }
        }
    }

    /// What the program sends out of one end of a pair arrives only where the other end has a receiver for it.
    pub(super) fn note_sending(&self, link: &Link, features: Option<&mut Features>) {
        let known = features.and_then(|features| features.of(self.index).ok());
        let (queues, processors) = match known {
            Some(Known { takes: true, .. }) if !link.is_pair => {
                (features::queues(&link.name), features::processors())
            }
            Some(_) | None => (None, None),
        };
        // Ordering: as below.
        for (place, count) in self.lacking.iter().zip([queues, processors]) {
            place.store(count.unwrap_or(0), Ordering::Relaxed);
        }
        let sends = sending(known, link.is_pair, queues, processors);
        self.sends.store(sends, Ordering::Relaxed);
    }

    fn note(&self, link: Option<&Link>) {
        let state = match link {
            _ if !bpf::is_attached(&self.link) => State::Detached,
            Some(Link { is_up: true, .. }) => State::Works,
            Some(_) => State::Down,
            None => State::Detached,
        };
        if let Some(link) = link {
            let mut octets = [0; 8];
            octets[2..].copy_from_slice(&link.mac.unwrap_or_default().0);
            self.mac
                .store(u64::from_be_bytes(octets), Ordering::Relaxed);
            self.mtu.store(link.mtu, Ordering::Relaxed);
        }
        // Ordering: each of these is right by itself, and being late is harmless.
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Whether packets pass by AF_XDP now.
    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Works,
            1 => State::Down,
            _ => State::Detached,
        }
    }

    /// The kernel said so before we looked.
    pub(super) fn is_down(&self) {
        if self.state() == State::Works {
            self.state.store(State::Down as u8, Ordering::Relaxed);
        }
    }

    pub(super) fn mac(&self) -> Mac {
        let mut mac = [0; 6];
        mac.copy_from_slice(&self.mac.load(Ordering::Relaxed).to_be_bytes()[2..]);
        Mac(mac)
    }

    pub(super) fn mtu(&self) -> u32 {
        self.mtu.load(Ordering::Relaxed)
    }

    /// Cuts the program off as an administrator can.
    #[cfg(test)]
    pub(super) fn detach(&self) -> io::Result<()> {
        bpf::detach(&self.link)
    }
}

/// What becomes of frames that programs send, of what the kernel tells of an interface.
fn sending(
    known: Option<Known>,
    is_pair: bool,
    queues: Option<u32>,
    processors: Option<u32>,
) -> u8 {
    // Where nothing is told, an interface that is no end of a pair still sends back what it got.
    let back = if is_pair { 0 } else { SENDS };
    let Some(known) = known else {
        return back;
    };
    // The processor that a packet comes to sends it by the queue of its own number. Where there is none, some drivers
    // refuse it, after the program has counted it. A pair has receivers, which processors share.
    let both = queues.zip(processors);
    let has_queues = is_pair || both.is_some_and(|(queues, processors)| queues >= processors);
    let takes = match (known.takes, has_queues) {
        (true, true) => SENDS | TAKES,
        (true, false) => back | LACKS_QUEUES,
        (false, _) => back,
    };
    let redirects = if known.redirects { REDIRECTS } else { 0 };
    KNOWN | redirects | takes
}

/// Whether another way of attaching would fail as well: no right to it, or another program is there.
fn is_final(fault: &io::Error) -> bool {
    let codes = [libc::EPERM, libc::EACCES, libc::EBUSY, libc::EEXIST];
    fault
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_other_interfaces_are_taken_only_with_a_queue_for_each_processor() {
        let known = |takes| {
            Some(Known {
                redirects: true,
                takes,
            })
        };
        let all = KNOWN | REDIRECTS | SENDS;
        for (queues, processors, more) in [
            (Some(8), Some(8), TAKES),
            (Some(9), Some(8), TAKES),
            (Some(7), Some(8), LACKS_QUEUES),
            (None, Some(8), LACKS_QUEUES),
            (Some(8), None, LACKS_QUEUES),
        ] {
            assert_eq!(sending(known(true), false, queues, processors), all | more);
            assert_eq!(sending(known(false), false, queues, processors), all);
            assert_eq!(sending(None, false, queues, processors), SENDS);
        }
        // The ends of a pair need a receiver and nothing else.
        assert_eq!(sending(known(true), true, None, None), all | TAKES);
        assert_eq!(sending(known(false), true, None, None), KNOWN | REDIRECTS);
        assert_eq!(sending(None, true, None, None), 0);
    }
}
