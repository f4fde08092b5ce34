//! Neighbours that say how much of what is new they can take (RFC 7339): of the rest they get
//! nothing, before anything else is tried there (SIP-1723).
//!
//! Kept per address of a trunk, and by each shard for itself.

use crate::id::TrunkName;
use crate::mint::Mint;
use crate::sip::Message;
use crate::time::Timestamp;
use crate::transport::overload::{self, Feedback};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Who wants less, and until when.
#[derive(Default, Debug)]
pub(crate) struct Relief {
    wanted: BTreeMap<(TrunkName, SocketAddr), Wanted>,
}

/// For how long a word is remembered that holds no longer, so that an older one is known by its number: no
/// call rings so long. A neighbour that has started anew counts from the beginning and is heard then.
const ORDERED: Duration = Duration::from_secs(300);

/// Most words that are kept without asking whether they are of use: peers that register may come from ever
/// other addresses.
const MOST: usize = 1_024;

#[derive(Debug)]
struct Wanted {
    loss: u8,
    until: Timestamp,
    sequence: (u64, u32),
}

impl Relief {
    /// Takes note of a response of a neighbour whose word on this counts.
    pub(crate) fn note(
        &mut self,
        now: Timestamp,
        trunk: &TrunkName,
        remote: SocketAddr,
        response: &Message,
    ) {
        let Some(said) = response.top_via().ok().and_then(overload::read) else {
            return;
        };
        let Feedback {
            loss,
            validity,
            sequence,
        } = said;
        if self.wanted.len() >= MOST {
            self.wanted.retain(|_, known| now < known.until + ORDERED);
        }
        let place = (trunk.clone(), remote);
        let known = self.wanted.get(&place);
        let known = known.filter(|known| now < known.until + ORDERED);
        // Responses overtake each other, and a long ringing keeps what was true at its beginning.
        if known.is_some_and(|known| known.sequence >= sequence) {
            return;
        }
        let until = now + validity;
        self.wanted.insert(
            place,
            Wanted {
                loss,
                until,
                sequence,
            },
        );
    }

    /// Whether a new request is one of those that the neighbour should not get.
    pub(crate) fn keeps_back(
        &self,
        now: Timestamp,
        trunk: &TrunkName,
        remote: SocketAddr,
        mint: &mut Mint,
    ) -> bool {
        if self.wanted.is_empty() {
            return false;
        }
        let wanted = self.wanted.get(&(trunk.clone(), remote));
        let wanted = wanted.filter(|wanted| wanted.until > now && wanted.loss > 0);
        wanted.is_some_and(|wanted| mint.between(1, 100) <= u64::from(wanted.loss))
    }

    /// Forgets the trunks that are not wanted any more.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(&TrunkName) -> bool) {
        self.wanted.retain(|(trunk, _), _| is_kept(trunk));
    }
}
