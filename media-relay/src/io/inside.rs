//! Packets from one socket of a worker to another one of its own: handed over here, without the kernel (MED-311).
//!
//! They are read as if they had come by their socket: in the turn after the one in which they were sent, in their order,
//! and judged as any other. What there is no room for goes through the kernel.

use crate::session::SocketId;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// Packets that may wait, and their octets.
const MOST_PACKETS: usize = 1024;
const MOST_BYTES: usize = 256 * 1024;

/// A worker's own addresses, and what is between them.
#[derive(Default)]
pub(super) struct Inside {
    sockets: HashMap<SocketAddr, SocketId>,
    /// Of those; most packets are for none of them.
    hosts: Vec<IpAddr>,
    /// What was sent in this turn, and what is received in it.
    sent: Pile,
    come: Pile,
}

#[derive(Default)]
struct Pile {
    packets: Vec<Packet>,
    octets: Vec<u8>,
}

struct Packet {
    /// For whom; `None` once it was taken, or if that socket is closed.
    socket: Option<SocketId>,
    from: SocketAddr,
    octets: Range<usize>,
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
        for packet in [&mut self.sent, &mut self.come]
            .into_iter()
            .flat_map(|pile| &mut pile.packets)
            .filter(|packet| packet.socket == Some(socket))
        {
            packet.socket = None;
        }
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
        let Pile { packets, octets } = &mut self.sent;
        let start = octets.len();
        if packets.len() >= MOST_PACKETS
            || start + packet.len() > MOST_BYTES
            || from.ip().is_unspecified()
        {
            return false;
        }
        octets.extend_from_slice(packet);
        packets.push(Packet {
            socket: Some(to),
            from,
            octets: start..octets.len(),
        });
        true
    }

    /// Whether something waits to be received.
    pub(super) fn is_waiting(&self) -> bool {
        !self.sent.packets.is_empty() || self.come.packets.iter().any(|one| one.socket.is_some())
    }

    /// A turn begins: appends the sockets that have something.
    pub(super) fn turn(&mut self, ready: &mut Vec<SocketId>) {
        // What was not taken is before what was sent since.
        if !self.come.packets.iter().any(|one| one.socket.is_some()) {
            self.come.packets.clear();
            self.come.octets.clear();
            std::mem::swap(&mut self.sent, &mut self.come);
        }
        let begun = ready.len();
        for socket in self.come.packets.iter().filter_map(|one| one.socket) {
            // The packets of a stream, of which there are few, lie close together.
            if !ready[begun..]
                .iter()
                .rev()
                .take(64)
                .any(|known| *known == socket)
            {
                ready.push(socket);
            }
        }
    }

    /// Takes the next packet for a socket.
    pub(super) fn take(&mut self, socket: SocketId) -> Option<(SocketAddr, &[u8])> {
        let Pile { packets, octets } = &mut self.come;
        let mut rest = packets.iter_mut();
        let packet = rest.find(|packet| packet.socket == Some(socket))?;
        packet.socket = None;
        Some((packet.from, octets.get(packet.octets.clone())?))
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
        assert_eq!(put(&mut inside, 1500), MOST_BYTES / 1500);
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
