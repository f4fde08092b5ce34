//! How many connections may be open: in total, and from one source (SEC-020).

use std::collections::HashMap;
use std::net::IpAddr;

/// Accepted connections in total.
const MAX_TOTAL: usize = 20_000;
/// Accepted connections from one address (IPv6: one /64). Strangers never get this far; a trunk's
/// peer that opens more is broken.
const MAX_PER_SOURCE: usize = 64;

/// Seats taken by accepted connections.
#[derive(Default)]
pub(super) struct Seats {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

impl Seats {
    /// Takes a seat.
    pub(super) fn take(&mut self, source: IpAddr) -> Result<(), NoSeat> {
        if self.total >= MAX_TOTAL {
            return Err(NoSeat::Total);
        }
        let count = self.by_source.entry(group(source)).or_insert(0);
        if *count >= MAX_PER_SOURCE {
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
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Total => "too_many",
            Self::Source => "too_many_from_source",
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
        let mut seats = Seats::default();
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
