//! How fast a peer may ask for things within a dialog (SEC-030, SEC-104).
//!
//! Each offer costs an exchange on the other leg or a plan for the relay, and nothing but the peer's own
//! CPU limits how many it makes. What comes too fast is refused with 500 and Retry-After, which ends no
//! call (RFC 5057 §5.1): the session stays as it was, and the peer may come back. BYE, ACK, CANCEL and
//! PRACK are always served, since they end or finish what is there.

use crate::sip::Method;
use crate::time::Timestamp;
use std::time::Duration;

/// How fast one peer asks.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// re-INVITE and UPDATE.
    offers: Meter,
    /// NOTIFY.
    news: Meter,
    /// Everything else: INFO, MESSAGE, OPTIONS, REFER, SUBSCRIBE, and what nobody knows.
    words: Meter,
}

impl Pace {
    /// Counts a request of the peer. `Err` says after how long the next one of its kind is served.
    pub(super) fn admit(&mut self, now: Timestamp, method: &Method) -> Result<(), Duration> {
        let (meter, rate) = match method {
            Method::Bye | Method::Ack | Method::Cancel | Method::Prack => return Ok(()),
            Method::Invite | Method::Update => (&mut self.offers, OFFERS),
            Method::Notify => (&mut self.news, NEWS),
            _ => (&mut self.words, WORDS),
        };
        meter.admit(now, rate)
    }
}

/// One request in so long, and so many at once after a rest.
#[derive(Clone, Copy)]
struct Rate {
    every: Duration,
    burst: u32,
}

/// 60 in a minute: a hand at a hold button makes fewer, and a session timer one in 45 s at most.
const OFFERS: Rate = Rate {
    every: Duration::from_secs(1),
    burst: 10,
};

/// 10 in a second: a transfer tells of each provisional of its target.
const NEWS: Rate = Rate {
    every: Duration::from_millis(100),
    burst: 20,
};

/// 50 in a second: digits in INFO, of a machine that dials.
const WORDS: Rate = Rate {
    every: Duration::from_millis(20),
    burst: 50,
};

/// The generic cell rate algorithm (ITU-T I.371): one point in time is all that is remembered.
#[derive(Debug, Default)]
struct Meter {
    /// When all that was admitted would be served at the usual rate.
    served: Timestamp,
}

impl Meter {
    fn admit(&mut self, now: Timestamp, rate: Rate) -> Result<(), Duration> {
        let begun = self.served.max(now);
        let owed = begun.since(now);
        let most = rate.every * (rate.burst - 1);
        if owed > most {
            return Err(owed - most);
        }
        self.served = begun + rate.every;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(ms)
    }

    /// How many of so many requests within a stretch are served.
    fn served(pace: &mut Pace, method: &Method, from_ms: u64, for_ms: u64, count: u64) -> usize {
        (0..count)
            .filter(|n| {
                let now = at(from_ms + n * for_ms / count);
                pace.admit(now, method).is_ok()
            })
            .count()
    }

    #[test]
    fn each_kind_has_its_rate_and_its_burst() {
        for (method, first, minute) in [
            (Method::Invite, 10, 69),
            (Method::Update, 10, 69),
            (Method::Notify, 20, 619),
            (Method::Info, 50, 3_049),
        ] {
            let mut pace = Pace::default();
            assert_eq!(
                served(&mut pace, &method, 1_000, 1, 500),
                first,
                "{method:?}"
            );
            let mut pace = Pace::default();
            assert_eq!(served(&mut pace, &method, 1_000, 60_000, 60_000), minute);
            assert_eq!(served(&mut pace, &Method::Bye, 61_000, 1, 9), 9, "always");
        }
    }

    #[test]
    fn who_is_refused_is_served_again_when_it_was_told_and_not_before() {
        let mut pace = Pace::default();
        served(&mut pace, &Method::Invite, 0, 1, 10);
        let after = pace.admit(at(100), &Method::Update).unwrap_err();
        assert_eq!(after, Duration::from_millis(900));
        assert!(pace.admit(at(999), &Method::Invite).is_err());
        assert!(pace.admit(at(1_000), &Method::Invite).is_ok());
        assert!(pace.admit(at(1_000), &Method::Info).is_ok(), "another kind");
    }
}
