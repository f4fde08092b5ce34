//! How many connections may be open, and how many of them without a proven identity: in total, and
//! from one source (SEC-020).

use std::collections::HashMap;
use std::net::IpAddr;

/// Accepted connections in total.
const MAX_TOTAL: usize = 20_000;
/// Accepted connections from one address (IPv6: one /64). Strangers never get this far; a trunk's
/// peer that opens more is broken.
const MAX_PER_SOURCE: usize = 64;

/// Handshakes that may be unfinished in total: a tenth of all connections.
const MAX_SHAKING: usize = MAX_TOTAL / 10;
/// Unfinished handshakes of one source: a peer that connects and then says nothing takes away its
/// own seats, not those of others.
const MAX_SHAKING_PER_SOURCE: usize = 16;

/// Seats of one kind that are taken.
pub(super) struct Seats {
    most: usize,
    most_per_source: usize,
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
            connections: Seats::new(MAX_TOTAL, MAX_PER_SOURCE),
            handshakes: Seats::new(MAX_SHAKING, MAX_SHAKING_PER_SOURCE),
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
    fn new(most: usize, most_per_source: usize) -> Self {
        Self {
            most,
            most_per_source,
            total: 0,
            by_source: HashMap::new(),
        }
    }

    /// Takes a seat.
    pub(super) fn take(&mut self, source: IpAddr) -> Result<(), NoSeat> {
        if self.total >= self.most {
            return Err(NoSeat::Total);
        }
        let count = self.by_source.entry(group(source)).or_insert(0);
        if *count >= self.most_per_source {
            return Err(NoSeat::Source);
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
fn group(source: IpAddr) -> IpAddr {
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
            seats.take(source).unwrap();
        }
        assert_eq!(seats.take(neighbour), Err(NoSeat::Source));
        assert_eq!(seats.take("192.0.2.1".parse().unwrap()), Ok(()));
        seats.give_back(neighbour);
        assert_eq!(seats.take(source), Ok(()));
    }
}
