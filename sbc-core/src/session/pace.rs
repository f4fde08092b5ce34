//! How fast a peer may ask for things within a dialog, and in all dialogs of a leg (SEC-030, SEC-104).
//!
//! Each offer costs an exchange on the other leg or a plan for the relay, and nothing but the peer's own
//! CPU limits how many it makes. What comes too fast is refused with 500 and Retry-After, which ends no
//! call (RFC 5057 §5.1): the session stays as it was, and the peer may come back. BYE, ACK, CANCEL and
//! PRACK are always served, since they end or finish what is there.
//!
//! Each of the early dialogs that one INVITE may have is a phone of its own, which answers for nobody
//! else. All of them together may ask four times as fast as one.

use super::confirmed::from_tag;
use super::{Phase, Session};
use crate::meter::{Meter, Rate};
use crate::sip::{Message, Method};
use crate::time::Timestamp;
use bytes::Bytes;
use std::time::Duration;

/// How fast the peer of a leg asks.
#[derive(Debug, Default)]
pub(super) struct Paces {
    /// In all dialogs together.
    leg: Pace,
    /// In each dialog that it has with us.
    dialogs: Vec<(Tags, Pace)>,
    /// Where it names no dialog that there is, or one for which there is no room.
    elsewhere: Pace,
}

/// Dialogs that are counted one by one: as many as one INVITE may have.
const MOST_DIALOGS: usize = 64;

/// How many times as fast as in one dialog a peer may ask in all of them.
const TOGETHER: u32 = 4;

/// Our tag and the peer's.
#[derive(PartialEq, Eq, Debug)]
struct Tags {
    ours: Bytes,
    theirs: Bytes,
}

impl Tags {
    /// Copies them: a slice would keep the whole message.
    fn of(request: &Message) -> Self {
        let copied = |tag: Option<&[u8]>| Bytes::copy_from_slice(tag.unwrap_or_default());
        Self {
            ours: copied(request.to_tag().map(Bytes::as_ref)),
            theirs: copied(from_tag(request).as_deref()),
        }
    }
}

impl Session {
    /// Counts a request of the peer. `Err` says after how long the next one of its kind is served.
    pub(super) fn paced(&mut self, now: Timestamp, request: &Message) -> Result<(), Duration> {
        let method = request.method();
        if kind(method).is_none() {
            return Ok(());
        }
        let is_known = match &self.phase {
            // Our tag alone may have been seen by anybody, who could write any other one beside it.
            Phase::Incoming(incoming) => from_tag(request) == from_tag(&incoming.request),
            Phase::Outgoing(outgoing) => {
                from_tag(request).is_some_and(|tag| outgoing.early.contains_key(&tag))
            }
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed) => confirmed.is_with(request),
            Phase::Over => false,
        };
        let tags = is_known.then(|| Tags::of(request));
        self.paces.admit(now, method, tags)
    }
}

impl Paces {
    fn admit(
        &mut self,
        now: Timestamp,
        method: &Method,
        tags: Option<Tags>,
    ) -> Result<(), Duration> {
        let of_leg = self.leg.clone();
        self.leg.admit(now, method, TOGETHER)?;
        let admitted = self.dialog(now, tags).admit(now, method, 1);
        if admitted.is_err() {
            // Who is refused takes nothing from the others.
            self.leg = of_leg;
        }
        admitted
    }

    fn dialog(&mut self, now: Timestamp, tags: Option<Tags>) -> &mut Pace {
        let Some(tags) = tags else {
            return &mut self.elsewhere;
        };
        if let Some(at) = self.dialogs.iter().position(|(own, _)| *own == tags) {
            return match self.dialogs.get_mut(at) {
                Some((_, pace)) => pace,
                None => &mut self.elsewhere,
            };
        }
        if self.dialogs.len() >= MOST_DIALOGS {
            // Who has rested is as good as new.
            self.dialogs.retain(|(_, pace)| !pace.has_rested(now));
        }
        if self.dialogs.len() < MOST_DIALOGS {
            self.dialogs.push((tags, Pace::default()));
            if let Some((_, pace)) = self.dialogs.last_mut() {
                return pace;
            }
        }
        &mut self.elsewhere
    }
}

/// How fast one peer asks.
#[derive(Clone, Debug, Default)]
struct Pace {
    /// re-INVITE and UPDATE.
    offers: Meter,
    /// NOTIFY.
    news: Meter,
    /// Everything else: INFO, MESSAGE, OPTIONS, REFER, SUBSCRIBE, and what nobody knows.
    words: Meter,
}

impl Pace {
    /// Counts a request, at so many times the usual rate.
    fn admit(&mut self, now: Timestamp, method: &Method, times: u32) -> Result<(), Duration> {
        let (meter, rate) = match kind(method) {
            None => return Ok(()),
            Some(Kind::Offer) => (&mut self.offers, OFFERS),
            Some(Kind::News) => (&mut self.news, NEWS),
            Some(Kind::Word) => (&mut self.words, WORDS),
        };
        meter.admit(now, rate.times(times))
    }

    /// Whether a new one would admit the same.
    fn has_rested(&self, now: Timestamp) -> bool {
        let meters = [&self.offers, &self.news, &self.words];
        meters.iter().all(|meter| meter.has_rested(now))
    }
}

/// What is counted together.
enum Kind {
    Offer,
    News,
    Word,
}

/// `None` for what is always served.
fn kind(method: &Method) -> Option<Kind> {
    match method {
        Method::Bye | Method::Ack | Method::Cancel | Method::Prack => None,
        Method::Invite | Method::Update => Some(Kind::Offer),
        Method::Notify => Some(Kind::News),
        _ => Some(Kind::Word),
    }
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
                pace.admit(now, method, 1).is_ok()
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
        let after = pace.admit(at(100), &Method::Update, 1).unwrap_err();
        assert_eq!(after, Duration::from_millis(900));
        assert!(pace.admit(at(999), &Method::Invite, 1).is_err());
        assert!(pace.admit(at(1_000), &Method::Invite, 1).is_ok());
        let other = pace.admit(at(1_000), &Method::Info, 1);
        assert!(other.is_ok(), "another kind");
    }

    fn of(dialog: u64) -> Option<Tags> {
        Some(Tags {
            ours: Bytes::from_static(b"ours"),
            theirs: Bytes::from(dialog.to_string()),
        })
    }

    #[test]
    fn each_dialog_has_its_own_pace_and_all_of_them_one_together() {
        let mut paces = Paces::default();
        let mut served = |dialog| {
            let asked = (0..50).map(|_| paces.admit(at(0), &Method::Update, dialog_of(dialog)));
            asked.filter(Result::is_ok).count()
        };
        // Four dialogs' worth; who is refused in his own takes nothing from the others.
        let all: Vec<usize> = (0..6).map(|dialog| served(Some(dialog))).collect();
        assert_eq!(all, [10, 10, 10, 10, 0, 0]);
        assert_eq!(served(None), 0);
        assert!(paces.admit(at(250), &Method::Update, of(9)).is_ok());
        assert!(paces.admit(at(250), &Method::Update, of(9)).is_err());
    }

    fn dialog_of(dialog: Option<u64>) -> Option<Tags> {
        dialog.and_then(of)
    }

    #[test]
    fn dialogs_that_rest_make_room_and_memory_is_bounded() {
        let mut paces = Paces::default();
        for dialog in 0..1_000 {
            let now = at(dialog * 20);
            let _ = paces.admit(now, &Method::Info, of(dialog));
        }
        assert!(paces.dialogs.len() <= MOST_DIALOGS);
        for dialog in 0..1_000 {
            let _ = paces.admit(at(30_000), &Method::Info, of(dialog));
        }
        assert_eq!(paces.dialogs.len(), MOST_DIALOGS);
    }
}
