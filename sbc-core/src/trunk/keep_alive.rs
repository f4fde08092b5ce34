//! Keep-alives of a registration over UDP: whether datagrams of the registrar still reach us
//! (RFC 5626 §4.4.2, SIP-1625).
//!
//! | state   | event              | does                             | next    |
//! |---------|--------------------|----------------------------------|---------|
//! | resting | time has come      | asks                             | waiting |
//! | waiting | no answer yet      | asks again, waits twice as long  | waiting |
//! | waiting | none for 10 s      | tells that the way is lost       | resting |
//! | waiting | answer             | tells if we are seen elsewhere   | resting |

use crate::plane::Cx;
use crate::time::Timestamp;
use crate::transport::stun::StunId;
use std::net::SocketAddr;
use std::time::Duration;

/// Between two questions over UDP, where the registrar does not say (RFC 5626 §4.4.2).
pub(super) const DATAGRAMS: (Duration, Duration) =
    (Duration::from_secs(24), Duration::from_secs(29));
/// As long a question may stay without an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// First pause before a question is repeated.
const REPEAT: Duration = Duration::from_millis(500);

/// The keep-alives of one registration.
#[derive(Debug)]
pub(super) struct KeepAlive {
    between: (Duration, Duration),
    due: Timestamp,
    waiting: Option<Waiting>,
    /// Where we were seen.
    seen: Option<SocketAddr>,
    /// When the last answer came.
    heard: Option<Timestamp>,
}

#[derive(Debug)]
struct Waiting {
    id: StunId,
    until: Timestamp,
    pause: Duration,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// Nothing.
    Nothing,
    /// Ask with this.
    Ask(StunId),
    /// The way is lost: register anew.
    Register,
}

impl KeepAlive {
    pub(super) fn new(cx: &mut Cx<'_>, between: (Duration, Duration)) -> Self {
        Self {
            between,
            due: cx.now.mono + cx.plane.mint.delay(between.0, between.1),
            waiting: None,
            seen: None,
            heard: None,
        }
    }

    /// The registrar wants another pace, or the same again.
    pub(super) fn paced(mut self, between: (Duration, Duration)) -> Self {
        self.between = between;
        self
    }

    /// When the way was last known to be open.
    pub(super) fn heard(&self) -> Option<Timestamp> {
        self.heard
    }

    pub(super) fn due(&self) -> Timestamp {
        self.due
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, cx: &mut Cx<'_>) -> Wanted {
        let now = cx.now.mono;
        if now < self.due {
            return Wanted::Nothing;
        }
        match &mut self.waiting {
            Some(waiting) if waiting.until <= now => {
                self.rest(cx);
                Wanted::Register
            }
            Some(waiting) => {
                waiting.pause *= 2;
                self.due = waiting.until.min(now + waiting.pause);
                Wanted::Ask(waiting.id)
            }
            None => {
                let mut id = StunId::default();
                let (first, second) = (cx.plane.mint.number(), cx.plane.mint.number());
                let random = first.to_be_bytes().into_iter().chain(second.to_be_bytes());
                id.iter_mut()
                    .zip(random)
                    .for_each(|(octet, random)| *octet = random);
                self.waiting = Some(Waiting {
                    id,
                    until: now + PATIENCE,
                    pause: REPEAT,
                });
                self.due = now + REPEAT;
                Wanted::Ask(id)
            }
        }
    }

    /// An answer came; `seen` is where it says that we are. `None` if it is none of ours.
    pub(super) fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        id: StunId,
        seen: Option<SocketAddr>,
    ) -> Option<Wanted> {
        self.waiting.as_ref().filter(|waiting| waiting.id == id)?;
        self.rest(cx);
        self.heard = Some(cx.now.mono);
        let before = self.seen;
        self.seen = seen.or(before);
        // Another binding of a NAT: the registrar calls us where nobody is any more.
        let has_moved = before.is_some() && before != self.seen;
        Some(match has_moved {
            true => Wanted::Register,
            false => Wanted::Nothing,
        })
    }

    fn rest(&mut self, cx: &mut Cx<'_>) {
        self.waiting = None;
        let (least, most) = self.between;
        self.due = cx.now.mono + cx.plane.mint.delay(least, most);
    }
}
