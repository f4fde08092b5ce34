//! Packets from one socket of a worker to another one of its own: handed over here, without the kernel (MED-311).
//!
//! They are read as if they had come by their socket: in the turn after the one in which they were sent, in their order,
//! and judged as any other. What there is no room for goes through the kernel, and so does all that follows it to the same
//! socket until it has been received.

use crate::session::SocketId;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// Packets that may wait, and their octets.
const MOST_PACKETS: usize = 1024;
const MOST_BYTES: usize = 256 * 1024;

/// No packet.
const NONE: u32 = u32::MAX;

/// A worker's own addresses, and what is between them.
#[derive(Default)]
pub(super) struct Inside {
    sockets: HashMap<SocketAddr, SocketId>,
    /// Of those; most packets are for none of them.
    hosts: Vec<IpAddr>,
    /// What was sent in this turn, and what is received in it.
    sent: Pile,
    come: Pile,
    /// By socket number: whether the kernel may still have something from one of these for it.
    by_kernel: Vec<bool>,
}

#[derive(Default)]
struct Pile {
    packets: Vec<Packet>,
    octets: Vec<u8>,
    /// By socket number, which of the packets are for it.
    chains: Vec<Chain>,
    /// How many packets are in chains.
    waiting: usize,
}

/// The first and the last of a socket's packets that nobody has taken.
#[derive(Clone, Copy)]
struct Chain {
    first: u32,
    last: u32,
}

struct Packet {
    socket: SocketId,
    from: SocketAddr,
    octets: Range<usize>,
    next: u32,
}

impl Chain {
    const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
    };
}

impl Pile {
    /// Puts a packet behind those for the same socket; false if there is no room.
    fn put(&mut self, from: SocketAddr, to: SocketId, packet: &[u8]) -> bool {
        let (number, start) = (self.packets.len(), self.octets.len());
        if number >= MOST_PACKETS || start + packet.len() > MOST_BYTES {
            return false;
        }
        let at = to.0 as usize;
        if self.chains.len() <= at {
            self.chains.resize(at + 1, Chain::EMPTY);
        }
        let chain = &mut self.chains[at];
        match self.packets.get_mut(chain.last as usize) {
            Some(last) => last.next = number as u32,
            None => chain.first = number as u32,
        }
        chain.last = number as u32;
        self.octets.extend_from_slice(packet);
        self.packets.push(Packet {
            socket: to,
            from,
            octets: start..self.octets.len(),
            next: NONE,
        });
        self.waiting += 1;
        true
    }

    /// The number of the next packet for a socket, or none.
    fn first(&self, socket: SocketId) -> u32 {
        let chain = self.chains.get(socket.0 as usize);
        chain.map_or(NONE, |chain| chain.first)
    }

    /// Takes that one out of its chain.
    fn take(&mut self, socket: SocketId) -> Option<&Packet> {
        let chain = self.chains.get_mut(socket.0 as usize)?;
        let packet = self.packets.get(chain.first as usize)?;
        chain.first = packet.next;
        if chain.first == NONE {
            chain.last = NONE;
        }
        self.waiting -= 1;
        Some(packet)
    }
}

impl Inside {
    /// A socket is open at an address.
    pub(super) fn open(&mut self, local: SocketAddr, socket: SocketId) {
        if local.port() == 0 || local.ip().is_unspecified() {
            return;
        }
        if !self.hosts.contains(&local.ip()) {
            self.hosts.push(local.ip());
        }
        self.sockets.insert(local, socket);
    }

    /// It is closed; what waits for it is nobody's.
    pub(super) fn close(&mut self, local: SocketAddr, socket: SocketId) {
        if self.sockets.get(&local) == Some(&socket) {
            self.sockets.remove(&local);
        }
        for pile in [&mut self.sent, &mut self.come] {
            while pile.take(socket).is_some() {}
        }
        self.caught_up(socket);
    }

    /// Whose address it is, if it is one of these.
    pub(super) fn at(&self, to: SocketAddr) -> Option<SocketId> {
        match self.hosts.contains(&to.ip()) {
            true => self.sockets.get(&to).copied(),
            false => None,
        }
    }

    /// Hands a packet over; false if it has to go through the kernel.
    pub(super) fn put(&mut self, from: SocketAddr, to: SocketId, packet: &[u8]) -> bool {
        if from.ip().is_unspecified() || self.goes_by_kernel(to) {
            return false;
        }
        let is_put = self.sent.put(from, to, packet);
        if !is_put {
            let at = to.0 as usize;
            if self.by_kernel.len() <= at {
                self.by_kernel.resize(at + 1, false);
            }
            // What is handed over later would overtake this one.
            self.by_kernel[at] = true;
        }
        is_put
    }

    /// Whether what is for a socket goes through the kernel, behind what went so before.
    pub(super) fn goes_by_kernel(&self, socket: SocketId) -> bool {
        let known = self.by_kernel.get(socket.0 as usize);
        known.copied().unwrap_or(false)
    }

    /// Whether what the kernel has for a socket was sent behind something that is received in a later turn.
    pub(super) fn is_ahead(&self, socket: SocketId) -> bool {
        self.goes_by_kernel(socket) && self.sent.first(socket) != NONE
    }

    /// The kernel has nothing for a socket any more.
    pub(super) fn caught_up(&mut self, socket: SocketId) {
        if let Some(known) = self.by_kernel.get_mut(socket.0 as usize) {
            *known = false;
        }
    }

    /// Whether something waits to be received.
    pub(super) fn is_waiting(&self) -> bool {
        self.sent.waiting + self.come.waiting > 0
    }

    /// A turn begins: appends the sockets that have something.
    pub(super) fn turn(&mut self, ready: &mut Vec<SocketId>) {
        // What was not taken is before what was sent since.
        if self.come.waiting == 0 {
            self.come.packets.clear();
            self.come.octets.clear();
            std::mem::swap(&mut self.sent, &mut self.come);
        }
        let numbered = (0..).zip(&self.come.packets);
        let firsts = numbered.filter(|(number, one)| self.come.first(one.socket) == *number);
        ready.extend(firsts.map(|(_, one)| one.socket));
    }

    /// Takes the next packet for a socket.
    pub(super) fn take(&mut self, socket: SocketId) -> Option<(SocketAddr, &[u8])> {
        let Packet { from, octets, .. } = self.come.take(socket)?;
        let (from, octets) = (*from, octets.clone());
        Some((from, self.come.octets.get(octets)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [SocketId; 2] = [SocketId(4), SocketId(7)];

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn inside() -> Inside {
        let mut inside = Inside::default();
        for (socket, port) in OWN.into_iter().zip([4000, 4002]) {
            inside.open(address(port), socket);
        }
        inside
    }

    fn taken(inside: &mut Inside, socket: SocketId) -> Vec<u8> {
        std::iter::from_fn(|| inside.take(socket).map(|(_, octets)| octets[0])).collect()
    }

    #[test]
    fn packets_come_in_their_order_in_the_next_turn() {
        let mut inside = inside();
        assert_eq!(inside.at(address(4002)), Some(OWN[1]));
        assert_eq!(inside.at(address(4004)), None);
        assert_eq!(inside.at(([192, 0, 2, 2], 4002).into()), None);
        for number in 0..6 {
            assert!(inside.put(address(4000), OWN[usize::from(number % 2)], &[number; 9]));
        }
        assert_eq!(inside.take(OWN[0]), None, "not in the turn that sends them");
        let mut ready = Vec::new();
        assert!(inside.is_waiting());
        inside.turn(&mut ready);
        assert_eq!(ready, OWN);
        assert_eq!(inside.take(OWN[1]), Some((address(4000), &[1; 9][..])));
        // What is sent meanwhile waits until all of this was taken.
        assert!(inside.put(address(4002), OWN[1], &[9]));
        ready.clear();
        inside.turn(&mut ready);
        assert_eq!(ready, OWN);
        assert_eq!(taken(&mut inside, OWN[1]), [3, 5]);
        assert_eq!(taken(&mut inside, OWN[0]), [0, 2, 4]);
        ready.clear();
        inside.turn(&mut ready);
        assert_eq!(ready, [OWN[1]]);
        assert_eq!(taken(&mut inside, OWN[1]), [9]);
        assert!(!inside.is_waiting());
    }

    #[test]
    fn what_waits_for_a_closed_socket_is_nobodys() {
        let mut inside = inside();
        assert!(inside.put(address(4000), OWN[1], &[1]));
        inside.turn(&mut Vec::new());
        assert!(inside.put(address(4000), OWN[1], &[2]));
        inside.close(address(4002), OWN[1]);
        assert_eq!(inside.at(address(4002)), None);
        // Its number is another's now.
        inside.open(address(4006), OWN[1]);
        let mut ready = Vec::new();
        inside.turn(&mut ready);
        assert!(ready.is_empty() && !inside.is_waiting());
        assert_eq!(inside.take(OWN[1]), None);
    }

    #[test]
    fn what_may_wait_is_bounded() {
        let mut inside = inside();
        let put = |inside: &mut Inside, octets: usize| {
            (0..)
                .take_while(|_| inside.put(address(4000), OWN[1], &vec![0; octets]))
                .count()
        };
        assert_eq!(put(&mut inside, 10), MOST_PACKETS);
        inside.turn(&mut Vec::new());
        inside.caught_up(OWN[1]);
        assert_eq!(put(&mut inside, 1500), MOST_BYTES / 1500);
    }

    #[test]
    fn what_follows_one_that_went_through_the_kernel_does_so_until_it_was_received() {
        let mut inside = inside();
        while inside.put(address(4000), OWN[1], &[1; 1500]) {}
        assert!(inside.is_ahead(OWN[1]), "of what waits here");
        inside.turn(&mut Vec::new());
        assert!(!inside.is_ahead(OWN[1]));
        // There is room again, also for others.
        assert!(!inside.put(address(4000), OWN[1], &[2]));
        assert!(inside.put(address(4002), OWN[0], &[3]));
        inside.caught_up(OWN[1]);
        assert!(inside.put(address(4000), OWN[1], &[4]));
        // A socket with the number of a closed one has nothing to catch up with.
        while inside.put(address(4000), OWN[1], &[5; 1500]) {}
        inside.close(address(4002), OWN[1]);
        assert!(!inside.goes_by_kernel(OWN[1]));
    }

    #[test]
    fn each_socket_is_ready_once_and_has_its_own_packets() {
        let mut inside = Inside::default();
        let sockets: Vec<_> = (0..200).map(SocketId).collect();
        for round in 0..5 {
            for socket in &sockets {
                assert!(inside.put(address(4000), *socket, &[round, socket.0 as u8]));
            }
        }
        let mut ready = Vec::new();
        inside.turn(&mut ready);
        assert_eq!(ready, sockets);
        for socket in sockets.iter().rev() {
            for round in 0..5 {
                let octets = &[round, socket.0 as u8][..];
                assert_eq!(inside.take(*socket), Some((address(4000), octets)));
            }
            assert_eq!(inside.take(*socket), None);
        }
        assert!(!inside.is_waiting());
    }

    #[test]
    fn sockets_of_any_address_are_none_of_these() {
        let mut inside = Inside::default();
        inside.open(([0, 0, 0, 0], 4000).into(), OWN[0]);
        inside.open(address(0), OWN[1]);
        assert_eq!(inside.at(([0, 0, 0, 0], 4000).into()), None);
        assert_eq!(inside.at(address(0)), None);
        assert!(!inside.put(([0, 0, 0, 0], 4000).into(), OWN[1], &[1]));
    }
}
