//! Requests of the peer that wait for the other party's answer, and those that we carry to a peer.
//!
//! The leg that received a request owns it until it is answered, so that none stays without an
//! answer when the call ends first. One at a time is on its way to a peer, in the order in which
//! they came: digits must not overtake each other.

use super::link::{Errand, Wanted};
use super::{Asked, Phase, Session, SessionEvent};
use crate::config::Isup;
use crate::dialog::Damage;
use crate::id::TransactionId;
use crate::mint::MAGIC_COOKIE;
use crate::plane::Cx;
use crate::policy::crossing::{INFO_BODIES, MESSAGE_BODIES, Pressed, body_of};
use crate::policy::header::is_passable;
use crate::policy::isup;
use crate::sip::header::{ContentType, MaxForwards};
use crate::sip::{HeaderName, Message, Method, Status, body};
use crate::transport::Flow;
use bytes::Bytes;
use std::collections::VecDeque;

/// Most requests of one peer that wait at a time.
const MOST: usize = 8;

/// Requests of the peer that have no answer yet, oldest first.
#[derive(Debug, Default)]
#[allow(
    clippy::box_collection,
    reason = "a word, where there is nearly always nothing"
)]
pub(super) struct Waiting(Option<Box<VecDeque<Asked>>>);

/// What is carried to a peer.
#[derive(Debug)]
pub(crate) enum Conveyed {
    /// Words of the other party, as they are, and what it shows to the peer.
    Words(Message, Vec<(HeaderName, Bytes)>),
    /// A REFER with these lines, and parts of its body with their headers.
    Refer(Vec<(HeaderName, Bytes)>, Vec<Bytes>),
    /// INFO with a key that the other party has pressed.
    Digit(Pressed),
}

impl Session {
    /// Keeps a request of the peer until it is answered. Says whether there is room.
    pub(super) fn keep_crossing(
        &mut self,
        id: TransactionId,
        flow: &Flow,
        request: &Message,
    ) -> bool {
        let waiting = self.crossing.0.as_ref().map_or(0, |own| own.len());
        let has_room = waiting < MOST;
        if has_room {
            let waiting = self.crossing.0.get_or_insert_default();
            waiting.push_back(Asked::new(id, flow, request));
        }
        has_room
    }

    /// INFO or MESSAGE of the peer, which the other party may get: nothing goes on that requires of its receiver what
    /// nobody here knows (RFC 3261 §8.2.2.3).
    pub(super) fn peer_words(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        if let Err(rejection) = self.style.capabilities().check(message) {
            return self.reject(cx, id, message, &rejection);
        }
        match self.keep_crossing(id, flow, message) {
            true => up.push(SessionEvent::Crossing { id }),
            false => self.reply_retry_after(cx, id, message),
        }
    }

    /// A request of the peer that is kept.
    pub(crate) fn kept(&self, id: TransactionId) -> Option<&Message> {
        let mut waiting = self.crossing.0.iter().flat_map(|own| own.iter());
        Some(&waiting.find(|asked| asked.id() == id)?.request)
    }

    /// Takes out a request of the peer that was kept: whoever takes it answers it.
    pub(crate) fn take_kept(&mut self, id: TransactionId) -> Option<Asked> {
        let waiting = self.crossing.0.as_mut()?;
        let at = waiting.iter().position(|asked| asked.id() == id)?;
        waiting.remove(at)
    }

    /// Answers a request of the peer that was kept.
    pub(crate) fn answer_crossing(&mut self, cx: &mut Cx<'_>, id: TransactionId, status: Status) {
        self.answer_crossing_with(cx, id, status, &[]);
    }

    /// As [`Self::answer_crossing`], with these lines: challenges of the other party, or when to ask again.
    pub(crate) fn answer_crossing_with(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        status: Status,
        lines: &[(HeaderName, Bytes)],
    ) {
        let Some(asked) = self.take_kept(id) else {
            return;
        };
        let request = &asked.request;
        if !lines.is_empty() {
            return self.reply(cx, id, request, status, |response| {
                response.lines_if_valid(lines)
            });
        }
        if *request.method() == Method::Refer {
            return match status.is_success() {
                true => self.accept_relayed(cx, &asked),
                false => self.refuse_refer(cx, &asked, status),
            };
        }
        let bodies = match request.method() {
            Method::Message => MESSAGE_BODIES.join(", "),
            _ => {
                // What is refused itself stays behind because of the other party.
                let kind = request.get::<ContentType>().ok().flatten();
                let is_isup = kind.is_some_and(|kind| isup::is_isup(&kind));
                let speaks = self.style.trunk.habits.isup == Isup::Pass && !is_isup;
                let more = isup::TYPES.iter().filter(|_| speaks);
                let all: Vec<&str> = INFO_BODIES.iter().chain(more).copied().collect();
                all.join(", ")
            }
        };
        self.reply(cx, id, request, status, |response| match status {
            Status::UNSUPPORTED_MEDIA_TYPE => response.raw_if_valid(HeaderName::Accept, bodies),
            // Empty: there is no package that we know (RFC 6086 §5.2.3).
            Status::BAD_INFO_PACKAGE => response.raw_if_valid(HeaderName::RecvInfo, ""),
            _ => response,
        });
    }

    /// The session ends: what waits is answered, whatever becomes of it.
    pub(crate) fn end_crossings(&mut self, cx: &mut Cx<'_>) {
        while let Some(asked) = self.crossing.0.as_ref().and_then(|own| own.front()) {
            let id = asked.id();
            self.answer_crossing(cx, id, Status::REQUEST_TERMINATED);
        }
    }

    /// Carries a request of the other party to the peer. Says whether it is on its way.
    pub(crate) fn bring(&mut self, cx: &mut Cx<'_>, what: &Conveyed, hops: MaxForwards) -> bool {
        let errand = match what {
            Conveyed::Words(request, shown) => {
                let kind = request.get::<ContentType>().ok().flatten();
                Errand {
                    method: request.method().clone(),
                    hops,
                    headers: body::said_of(request)
                        .into_iter()
                        .filter(|(_, value)| is_passable(value))
                        .chain(shown.iter().cloned())
                        .collect(),
                    body: kind.map(|kind| (kind, request.body())),
                }
            }
            Conveyed::Digit(pressed) => Errand {
                method: Method::Info,
                hops,
                headers: Vec::new(),
                body: Some(body_of(*pressed)),
            },
            Conveyed::Refer(lines, parts) => {
                let body = (!parts.is_empty()).then(|| {
                    let boundary = cx.plane.mint.branch();
                    body::mixed(parts, boundary.trim_start_matches(MAGIC_COOKIE))
                });
                return self.refer(cx, lines.clone(), body.flatten(), hops);
            }
        };
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return false;
        };
        let wanted = Wanted::Request(Box::new(errand));
        confirmed.link.send(cx, &self.style, wanted);
        true
    }
}

/// What the sender of a request is told when the other party has answered it so. What would end its
/// own dialog is not said of another one (RFC 5057 §5.1).
pub(super) fn told(method: &Method, status: Option<Status>) -> Status {
    match status {
        Some(status) if status.is_success() => Status::OK,
        Some(status)
            if status != Status::REQUEST_TIMEOUT && Damage::of(status) == Damage::Transaction =>
        {
            status
        }
        // It cannot or will not transfer anything, and asking again changes nothing.
        Some(_) if *method == Method::Refer => Status::DECLINE,
        Some(_) | None => Status::SERVER_INTERNAL_ERROR,
    }
}
