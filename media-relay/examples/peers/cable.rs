//! The peers' end of the cable: frames put on it and taken from it past the kernel.

use crate::bpf::{self, Mode};
use crate::interface::Interface;
use crate::kernel::Kernel;
use crate::lane::{Kind, Lane, Maker, Queue, SENDING};
use crate::packet::frame::{self, Headers, Mac};
use crate::peer::Peer;
use crate::program::Instruction;
use crate::umem::{Frame, Umem};
use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Frames that the queue can hold to receive into.
const DEPTH: u32 = 8192;
/// Where an RTP packet begins in a frame.
const PACKET_AT: usize = 128;
/// Octets of a packet with its tag.
const ROOM: usize = 256;
/// Nobody has this one.
const NOBODY: Mac = Mac([2, 0, 0, 0xff, 0xff, 0xff]);
/// How long the cable may be full.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often the relay's Ethernet address is asked for, 50 ms apart.
const ATTEMPTS: usize = 100;

/// One end of a cable.
pub(crate) struct Cable {
    pub(crate) epoch: Instant,
    /// Whether what is sent is for nobody.
    pub(crate) is_stray: bool,
    umem: Umem,
    lane: Lane,
    queue: Queue,
    spare: Vec<Frame>,
    interface: Interface,
    relay: Mac,
    /// Local and remote addresses of the peers, and whose port which is.
    ends: Vec<(SocketAddr, SocketAddr)>,
    by_local: HashMap<IpAddr, Vec<u32>>,
}

impl Cable {
    /// Takes the peers' ports from the interface that has an address.
    pub(crate) fn new(address: IpAddr, peers: &[Peer]) -> Result<Self, Box<dyn Error>> {
        let mut kernel = Kernel::new()?;
        let index = kernel.interface_of(address)?.ok_or("no such address")?;
        let link = kernel.link(index)?.ok_or("no such interface")?;
        let mut addresses: Vec<IpAddr> = peers.iter().map(|peer| peer.local.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let mut interface = Interface::attach(index, &link, addresses, 1, 1, Err(String::new()))?;
        let mut by_local: HashMap<IpAddr, Vec<u32>> = HashMap::new();
        for (number, peer) in (0..).zip(peers) {
            let ports = by_local
                .entry(peer.local.ip())
                .or_insert_with(|| vec![u32::MAX; 1 << 16]);
            ports[usize::from(peer.local.port())] = number;
            let mut known = interface.addresses.iter();
            let at = known.position(|known| *known == peer.local.ip());
            let at = at.ok_or("its address")?;
            // Reports as well: who has no port for them gets messages from the kernel instead.
            for port in [peer.local.port(), peer.local.port() + 1] {
                interface.set_port(at, port, Some(0));
            }
        }
        let (umem, mut spare) = Umem::new(DEPTH + 2 * SENDING)?;
        let mut maker = Maker {
            umem: &umem,
            owner: None,
            depth: DEPTH,
        };
        let (lane, queue) = maker.make((0, index), 0, Kind::First, false)?;
        let mut queue = queue.ok_or("the first socket of a queue")?;
        queue.exchange(&umem, &mut spare);
        interface.give(0, &lane.socket)?;
        let relay = peers.first().ok_or("no peers")?.to.ip();
        let relay = neighbour(&mut kernel, index, relay)?;
        Ok(Self {
            epoch: Instant::now(),
            is_stray: false,
            umem,
            lane,
            queue,
            spare,
            interface,
            relay,
            ends: peers.iter().map(|peer| (peer.local, peer.to)).collect(),
            by_local,
        })
    }

    /// Puts a peer's packet, which `write` writes and says the length of; tells whether there was a frame.
    pub(crate) fn send(
        &mut self,
        peer: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<bool, Box<dyn Error>> {
        if self.spare.is_empty() {
            self.queue.exchange(&self.umem, &mut self.spare);
        }
        let Some(mut frame) = self.spare.pop() else {
            return Ok(false);
        };
        let (from, to) = self.ends[peer];
        let headers = Headers {
            our_mac: self.interface.mac(),
            next_mac: match self.is_stray {
                true => NOBODY,
                false => self.relay,
            },
            from,
            to,
            dscp: 46,
        };
        let bytes = self.umem.bytes(&mut frame);
        let length = write(&mut bytes[PACKET_AT..PACKET_AT + ROOM]);
        let whole = frame::wrap(bytes, PACKET_AT..PACKET_AT + length, &headers);
        let whole = whole.ok_or("a frame")?;
        let place = frame.place() + whole.start as u64;
        let end = Instant::now() + PATIENCE;
        while !self.lane.put(place, whole.len()) {
            if Instant::now() > end {
                // The other end does not take any more, and neither does what is between: it is lost.
                self.spare.push(frame);
                return Ok(true);
            }
            self.lane.kick()?;
            self.queue.exchange(&self.umem, &mut self.spare);
        }
        Ok(true)
    }

    /// Has the kernel send what was put.
    pub(crate) fn kick(&mut self) -> Result<(), Box<dyn Error>> {
        if self.lane.is_waiting {
            self.lane.kick()?;
        }
        Ok(())
    }

    /// Takes packets that have come: whose they are, and what they are.
    pub(crate) fn receive(&mut self, most: u64, mut judge: impl FnMut(Option<usize>, &mut [u8])) {
        let mut taken = 0;
        while taken < most
            && let Some(packet) = self.lane.incoming.take()
        {
            taken += 1;
            let Some(mut frame) = self.umem.taken_back(packet.place) else {
                continue;
            };
            let start = (packet.place - frame.place()) as usize;
            let bytes = &mut self.umem.bytes(&mut frame)[start..start + packet.length as usize];
            if let Ok(read) = frame::parse(bytes) {
                let ports = self.by_local.get(&read.to.ip());
                let peer = ports.map(|ports| ports[usize::from(read.to.port())]);
                judge(peer.map(|peer| peer as usize), &mut bytes[read.payload]);
            }
            self.spare.push(frame);
        }
        self.lane.incoming.release();
        if self.spare.len() > SENDING as usize {
            self.queue.exchange(&self.umem, &mut self.spare);
        }
    }
}

fn neighbour(kernel: &mut Kernel, index: u32, address: IpAddr) -> Result<Mac, Box<dyn Error>> {
    for _ in 0..ATTEMPTS {
        if let Some(mac) = kernel.neighbour(index, address)? {
            return Ok(mac);
        }
        sleep(Duration::from_millis(50));
    }
    Err(format!("{address} does not answer").into())
}

/// Has an interface throw away what it receives, until the descriptor is closed.
pub(crate) fn drop_all(address: IpAddr) -> Result<OwnedFd, Box<dyn Error>> {
    let mut kernel = Kernel::new()?;
    let index = kernel.interface_of(address)?.ok_or("no such address")?;
    let program = bpf::load(&Instruction::DROP)?;
    Ok(bpf::attach(&program, index, Mode::Native)?)
}
