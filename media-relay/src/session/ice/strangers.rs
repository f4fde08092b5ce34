//! How many checks without a password are answered to each address, over all calls of a worker (MED-159): an
//! answer must not be made to go where somebody else wants it.
//!
//! Checks that prove themselves are not counted here. Many callers may share one address, and whoever pretends to
//! have it must not silence them.

use crate::time::Timestamp;
use std::net::IpAddr;

/// Answers to one address within a second.
const MOST: u32 = 500;
/// Addresses that are counted at once; of two that meet in a place the later one counts.
const PLACES: usize = 256;

/// Counts of one worker.
#[derive(Debug, Default)]
pub(in crate::session) struct Strangers {
    places: Vec<Option<Place>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    address: IpAddr,
    second: Timestamp,
    answers: u32,
}

impl Strangers {
    /// Whether one more may be answered.
    pub(in crate::session) fn admits(&mut self, address: IpAddr, now: Timestamp) -> bool {
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        let place = &mut self.places[place_of(address)];
        let place = match place {
            Some(own) if own.address == address && now.since_us(own.second) < 1_000_000 => own,
            other => other.insert(Place {
                address,
                second: now,
                answers: 0,
            }),
        };
        place.answers += 1;
        place.answers <= MOST
    }
}

fn place_of(address: IpAddr) -> usize {
    let fold = |octets: &[u8]| {
        let folded = octets.iter().fold(0_usize, |sum, octet| {
            sum.wrapping_mul(31).wrapping_add(usize::from(*octet))
        });
        folded % PLACES
    };
    match address {
        IpAddr::V4(address) => fold(&address.octets()),
        IpAddr::V6(address) => fold(&address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_answered_so_often_a_second_and_no_other_pays_for_it() {
        let mut strangers = Strangers::default();
        let [one, other, six] =
            ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let at = Timestamp(5_000_000);
        let answered = (0..2 * MOST).filter(|_| strangers.admits(one, at));
        assert_eq!(answered.count(), MOST as usize);
        assert!(strangers.admits(other, at) && strangers.admits(six, at));
        assert!(!strangers.admits(one, Timestamp(5_999_999)));
        assert!(strangers.admits(one, Timestamp(6_000_000)));
    }
}
