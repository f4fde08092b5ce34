//! How many connections may be open, and how many of them without a proven identity: in total, and
//! from one source (SEC-020).

use std::collections::HashMap;
use std::net::IpAddr;

/// Accepted connections in total.
const MAX_TOTAL: usize = 20_000;
/// Accepted connections from one address (IPv6: one /64) that serves a few trunks at most. Strangers never
/// get this far; a trunk's peer that opens more is broken.
const MAX_PER_SOURCE: usize = 64;
/// Of one that serves more trunks, for each of them: proxies of Teams have the same addresses for all customers,
/// and a connection is for one name, so that there is one at least for each (TDR-MT-012).
const CONNECTIONS_PER_TRUNK: usize = 8;

/// Handshakes that may be unfinished in total: a tenth of all connections.
const MAX_SHAKING: usize = MAX_TOTAL / 10;
/// Unfinished handshakes of one source: a peer that connects and then says nothing takes away its
/// own seats, not those of others.
const MAX_SHAKING_PER_SOURCE: usize = 16;
/// Of one that serves more trunks, for each of them: after a restart of ours all come at once.
const SHAKING_PER_TRUNK: usize = 2;

/// Seats of one kind that are taken.
pub(super) struct Seats {
    most: usize,
    most_per_source: usize,
    most_per_trunk: usize,
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// What a seat is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// An accepted connection, as long as it lives.
    Connections,
    /// A handshake, until it is done.
    Handshakes,
}

/// All rooms.
pub(super) struct Rooms {
    connections: Seats,
    handshakes: Seats,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            connections: Seats::new(MAX_TOTAL, MAX_PER_SOURCE, CONNECTIONS_PER_TRUNK),
            handshakes: Seats::new(MAX_SHAKING, MAX_SHAKING_PER_SOURCE, SHAKING_PER_TRUNK),
        }
    }
}

impl Rooms {
    /// The seats of a room.
    pub(super) fn seats(&mut self, room: Room) -> &mut Seats {
        match room {
            Room::Connections => &mut self.connections,
            Room::Handshakes => &mut self.handshakes,
        }
    }
}

impl Seats {
    fn new(most: usize, most_per_source: usize, most_per_trunk: usize) -> Self {
        Self {
            most,
            most_per_source,
            most_per_trunk,
            total: 0,
            by_source: HashMap::new(),
        }
    }

    /// Takes a seat. How many trunks the source serves is asked only where it matters; however many they
    /// are, half of all seats is for others.
    pub(super) fn take(
        &mut self,
        source: IpAddr,
        trunks: impl FnOnce() -> usize,
    ) -> Result<(), NoSeat> {
        if self.total >= self.most {
            return Err(NoSeat::Total);
        }
        let count = self.by_source.entry(group(source)).or_insert(0);
        if *count >= self.most_per_source {
            let of_trunks = trunks().saturating_mul(self.most_per_trunk);
            if *count >= of_trunks.min(self.most / 2) {
                return Err(NoSeat::Source);
            }
        }
        *count += 1;
        self.total += 1;
        Ok(())
    }

    /// Gives a seat back.
    pub(super) fn give_back(&mut self, source: IpAddr) {
        self.total = self.total.saturating_sub(1);
        let source = group(source);
        if let Some(count) = self.by_source.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

/// Why there is no seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoSeat {
    /// Too many connections in all.
    Total,
    /// Too many from this source.
    Source,
}

impl NoSeat {
    /// Metric label value.
    pub(super) const fn label(self, room: Room) -> &'static str {
        match (self, room) {
            (Self::Total, Room::Connections) => "too_many",
            (Self::Source, Room::Connections) => "too_many_from_source",
            (Self::Total, Room::Handshakes) => "too_many_handshakes",
            (Self::Source, Room::Handshakes) => "too_many_handshakes_from_source",
        }
    }
}

/// Hosts of one IPv6 /64 count as one source.
pub(super) fn group(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_its_share_and_no_more() {
        let mut rooms = Rooms::default();
        let seats = rooms.seats(Room::Connections);
        let source = "2001:db8::1".parse().unwrap();
        let neighbour = "2001:db8::2".parse().unwrap();
        for _ in 0..MAX_PER_SOURCE {
            seats.take(source, || 1).unwrap();
        }
        assert_eq!(seats.take(neighbour, || 1), Err(NoSeat::Source));
        assert_eq!(seats.take("192.0.2.1".parse().unwrap(), || 1), Ok(()));
        seats.give_back(neighbour);
        assert_eq!(seats.take(source, || 1), Ok(()));
    }

    #[test]
    fn a_source_that_serves_many_trunks_gets_a_share_for_each_and_never_more_than_half() {
        for (room, most) in [
            (Room::Connections, MAX_TOTAL),
            (Room::Handshakes, MAX_SHAKING),
        ] {
            let mut rooms = Rooms::default();
            let seats = rooms.seats(room);
            let source = "192.0.2.1".parse().unwrap();
            let mut taken = |trunks: usize| {
                let mut count = 0;
                while seats.take(source, || trunks).is_ok() {
                    count += 1;
                }
                (0..count).for_each(|_| seats.give_back(source));
                count
            };
            let (alone, each) = match room {
                Room::Connections => (64, 8),
                Room::Handshakes => (16, 2),
            };
            assert_eq!((taken(0), taken(1), taken(8)), (alone, alone, alone));
            assert_eq!(taken(100), 100 * each);
            assert_eq!(taken(100_000), most / 2);
        }
    }
}
