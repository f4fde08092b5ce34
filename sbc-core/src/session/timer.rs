//! The session timer of one leg (RFC 4028): what our messages say of it, what a completed exchange
//! agreed, and when to refresh or to give up.
//!
//! Who is UAC and who is UAS is a matter of each transaction, not of the call (SIP-707): inside, the
//! timer only knows whether we or the peer refresh.

use crate::config::{RefreshBy, SessionTimer as Policy};
use crate::sip::header::{Header, MinSe, OptionTag, Refresher, SessionExpires, Supported};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;
use media_api::wire_layout;
use std::time::Duration;

/// Shortest interval there is (RFC 4028 §4).
const SHORTEST: u32 = 90;

/// How often a peer may ask for a longer interval before it is taken for a refusal (SIP-706).
const MOST_ROUNDS: u8 = 3;

/// Who refreshes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Us,
    Peer,
}

/// What is agreed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Agreed {
    interval_s: u32,
    by: Side,
    /// Whether the session ends without refresh. A peer without session timers waits for none, and
    /// our refreshes only show whether it is still there (SIP-702).
    expires: bool,
}

/// The session timer of one leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionTimer {
    policy: Option<Policy>,
    /// The largest Min-SE that the peer has named.
    min_se_s: u32,
    rounds: u8,
    agreed: Option<Agreed>,
    is_due: bool,
}

/// When what happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deadlines {
    /// From the exchange to our refresh.
    pub(super) refresh: Option<Duration>,
    /// From the exchange to our BYE.
    pub(super) give_up: Option<Duration>,
}

/// Lines for a message.
pub(super) type Lines = Vec<(HeaderName, Bytes)>;

impl SessionTimer {
    pub(super) fn new(policy: Option<Policy>) -> Self {
        Self {
            policy,
            min_se_s: 0,
            rounds: 0,
            agreed: None,
            is_due: false,
        }
    }

    /// What an INVITE or UPDATE of ours says: never a Require, and in the first INVITE no refresher
    /// unless the trunk insists (SIP-701).
    pub(super) fn request_lines(&self) -> Lines {
        let Some(policy) = self.policy else {
            return Lines::new();
        };
        let refresher = match (self.agreed, policy.refresher) {
            (Some(Agreed { by: Side::Us, .. }), _) => Some(Refresher::Uac),
            (Some(Agreed { by: Side::Peer, .. }), _) => Some(Refresher::Uas),
            (None, RefreshBy::Us) => Some(Refresher::Uac),
            (None, RefreshBy::Peer) => Some(Refresher::Uas),
            (None, RefreshBy::Auto) => None,
        };
        let wanted = self
            .agreed
            .map_or(policy.expires_s, |agreed| agreed.interval_s)
            .max(self.min_se_s);
        let mut lines = vec![
            (HeaderName::Supported, Bytes::from_static(b"timer")),
            line(&SessionExpires::new(wanted, refresher)),
        ];
        let least = self.min_se_s.max(policy.min_se_s);
        if least > SHORTEST {
            lines.push(line(&MinSe::new(least)));
        }
        lines
    }

    /// Takes the 2xx to an INVITE or UPDATE of ours (SIP-702).
    pub(super) fn answered(&mut self, response: &Message) {
        self.rounds = 0;
        self.is_due = false;
        let Some(policy) = self.policy else { return };
        self.agreed = match response.get::<SessionExpires>() {
            Ok(Some(expires)) => Some(Agreed {
                interval_s: expires.seconds.max(SHORTEST),
                // A 2xx must name the refresher; what is left out is the usual.
                by: match expires.refresher() {
                    Some(Refresher::Uas) => Side::Peer,
                    Some(Refresher::Uac) | None => Side::Us,
                },
                expires: true,
            }),
            _ => Self::alone(policy, self.min_se_s),
        };
    }

    /// We refresh although the peer knows no session timers, unless it is the peer that should.
    fn alone(policy: Policy, min_se_s: u32) -> Option<Agreed> {
        (policy.refresher != RefreshBy::Peer).then_some(Agreed {
            interval_s: policy.expires_s.max(min_se_s),
            by: Side::Us,
            expires: false,
        })
    }

    /// Why a request must be refused with 422: the Min-SE that it has to keep (SIP-704).
    pub(super) fn refuses(policy: Option<Policy>, request: &Message) -> Option<MinSe> {
        let policy = policy?;
        let expires = request.get::<SessionExpires>().ok().flatten()?;
        let is_too_short = expires.seconds < policy.min_se_s && supports_timer(request);
        is_too_short.then(|| MinSe::new(policy.min_se_s))
    }

    /// Takes an INVITE or UPDATE of the peer that gets a 2xx, and what that 2xx says (SIP-703).
    pub(super) fn answers(&mut self, request: &Message) -> Lines {
        self.is_due = false;
        let Some(policy) = self.policy else {
            return Lines::new();
        };
        let offered = request.get::<SessionExpires>().ok().flatten();
        let least = request.get::<MinSe>().ok().flatten();
        let least = least.map_or(SHORTEST, |least| least.seconds.max(SHORTEST));
        self.min_se_s = self.min_se_s.max(least);
        let can = supports_timer(request);
        let wanted = match &offered {
            // Never raised, except what is less than there is.
            Some(offered) => policy
                .expires_s
                .max(least)
                .min(offered.seconds)
                .max(SHORTEST),
            None => policy.expires_s.max(least),
        };
        let named = offered.as_ref().and_then(SessionExpires::refresher);
        let refresher = match (can, named, policy.refresher) {
            (false, _, _) => Refresher::Uas,
            (true, Some(named), _) => named,
            (true, None, RefreshBy::Peer) => Refresher::Uac,
            (true, None, RefreshBy::Us | RefreshBy::Auto) => Refresher::Uas,
        };
        if !can && policy.refresher == RefreshBy::Peer {
            // It cannot, and we are not to.
            self.agreed = None;
            return Lines::new();
        }
        self.agreed = Some(Agreed {
            interval_s: wanted,
            by: match refresher {
                Refresher::Uac => Side::Peer,
                Refresher::Uas => Side::Us,
            },
            expires: can,
        });
        let mut lines = vec![line(&SessionExpires::new(wanted, Some(refresher)))];
        if can {
            lines.push((HeaderName::Require, Bytes::from_static(b"timer")));
        }
        lines
    }

    /// Takes a 422: whether to ask again, with a longer interval (SIP-706).
    pub(super) fn lengthens(&mut self, response: &Message) -> bool {
        let least = response.get::<MinSe>().ok().flatten();
        let (Some(least), Some(_)) = (least, self.policy) else {
            return false;
        };
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > MOST_ROUNDS || least.seconds <= self.min_se_s {
            return false;
        }
        self.lasts_at_least(least.seconds);
        true
    }

    /// The peer is known to want no shorter interval.
    pub(super) fn lasts_at_least(&mut self, least_s: u32) {
        let Some(policy) = &mut self.policy else {
            return;
        };
        self.min_se_s = self.min_se_s.max(least_s);
        policy.expires_s = policy.expires_s.max(least_s);
        if let Some(agreed) = &mut self.agreed {
            agreed.interval_s = agreed.interval_s.max(least_s);
        }
    }

    /// The largest Min-SE that the peer has named, 0 for none.
    pub(super) fn least_s(&self) -> u32 {
        self.min_se_s
    }

    /// What is to be done when, counted from the last exchange (SIP-705).
    pub(super) fn deadlines(&self) -> Deadlines {
        let Some(agreed) = self.agreed else {
            return Deadlines {
                refresh: None,
                give_up: None,
            };
        };
        let interval = Duration::from_secs(u64::from(agreed.interval_s));
        let margin = Duration::from_secs(32).min(interval / 3);
        match agreed.by {
            Side::Us => Deadlines {
                refresh: Some(interval / 2),
                give_up: agreed.expires.then_some(interval),
            },
            Side::Peer => Deadlines {
                refresh: None,
                give_up: Some(interval - margin),
            },
        }
    }

    /// The agreed interval in seconds.
    pub(super) fn interval_s(&self) -> Option<u32> {
        Some(self.agreed?.interval_s)
    }

    /// Whether our refresh waits to be sent.
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    /// Says that our refresh waits to be sent, or that it is.
    pub(super) fn set_due(&mut self, is_due: bool) {
        self.is_due = is_due;
    }

    /// Whether we refresh.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.agreed, Some(Agreed { by: Side::Us, .. }))
    }
}

fn supports_timer(message: &Message) -> bool {
    let tags = message.list::<Supported>().unwrap_or_default();
    tags.iter().any(|Supported(tag)| tag.is(OptionTag::TIMER))
}

fn line<H: Header>(header: &H) -> (HeaderName, Bytes) {
    (H::NAME, header.to_bytes())
}

wire_layout! {
    enum Side {
        0: Us,
        1: Peer,
    }

    struct Agreed { interval_s, by, expires }
    struct SessionTimer { policy, min_se_s, rounds, agreed, is_due }
}
