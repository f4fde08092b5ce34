//! INVITE client transaction: RFC 3261 §17.1.1 as amended by RFC 6026 §7.2.
//!
//! | state               | event   | does                          | next       |
//! |---------------------|---------|-------------------------------|------------|
//! | Calling             | Timer A | resend, double the interval   | Calling    |
//! | Calling, Proceeding | Timer B | report timeout                | Terminated |
//! | Calling, Proceeding | 1xx     | stop A and B, pass up         | Proceeding |
//! | Calling, Proceeding | 2xx     | pass up, start M              | Accepted   |
//! | Calling, Proceeding | 3xx–6xx | send ACK, pass up, start D    | Completed  |
//! | Accepted            | 2xx     | pass up                       | Accepted   |
//! | Completed           | 3xx–6xx | repeat the ACK                | Completed  |
//! | Accepted, Completed | M or D  |                               | Terminated |
//!
//! A CANCEL that is wanted in Calling waits for the first provisional (SIP-218), and the INVITE is repeated until
//! then. Timer B runs in Proceeding only after a CANCEL, when the INVITE must end within 64·T1.

use super::{Sender, TimerSet, Verdict};
use crate::deadline::Timers;
use crate::sip::header::{CSeq, MaxForwards, Route, To};
use crate::sip::{Class, HeaderName, Message, Method, RequestBuilder};
use crate::time::Timestamp;
use bytes::Bytes;
use std::time::Duration;

/// One INVITE of ours.
#[derive(Debug)]
pub(super) struct InviteClient {
    pub(super) state: State,
    pub(super) timers: Timers<TIMERS>,
    /// Also that of its CANCEL.
    pub(super) set: TimerSet,
    is_reliable: bool,
    interval: Duration,
    /// Nothing once there is a final response: neither it nor a CANCEL is sent any more.
    request: Bytes,
    ack: Option<Bytes>,
    cancel: Cancel,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Calling,
    Proceeding,
    Accepted,
    Completed,
    Terminated,
}

/// Whether the INVITE is to be cancelled.
#[derive(Debug)]
enum Cancel {
    No,
    /// Wanted before any provisional came.
    Held(Option<Bytes>),
    Sent,
}

const TIMERS: usize = 4;
const A: usize = 0;
const B: usize = 1;
const D: usize = 2;
const M: usize = 3;

impl InviteClient {
    pub(super) fn start(
        now: Timestamp,
        set: TimerSet,
        is_reliable: bool,
        request: Bytes,
        to: &mut Sender<'_>,
    ) -> Self {
        let mut timers = Timers::default();
        if !is_reliable {
            timers.set(A, now + set.t1);
        }
        timers.set(B, now + set.patience());
        to.send(&request);
        Self {
            state: State::Calling,
            timers,
            set,
            is_reliable,
            interval: set.t1,
            request,
            ack: None,
            cancel: Cancel::No,
        }
    }

    /// A response with our branch. The second value is the CANCEL that became due.
    pub(super) fn response(
        &mut self,
        now: Timestamp,
        response: &Message,
        to: &mut Sender<'_>,
    ) -> (Verdict, Option<Bytes>) {
        let Some(class) = response.status().map(|status| status.class()) else {
            return (Verdict::Quiet, None);
        };
        match (self.state, class) {
            (State::Calling, Class::Provisional) => {
                self.timers.stop(A);
                self.timers.stop(B);
                self.state = State::Proceeding;
                let cancel = match std::mem::replace(&mut self.cancel, Cancel::No) {
                    Cancel::Held(reason) => Some(self.send_cancel(now, reason.as_deref())),
                    other => {
                        self.cancel = other;
                        None
                    }
                };
                (Verdict::Tell, cancel.flatten())
            }
            (State::Proceeding, Class::Provisional) => (Verdict::Tell, None),
            (State::Calling | State::Proceeding, Class::Success) => {
                self.timers.clear();
                self.timers.set(M, now + self.set.patience());
                self.request = Bytes::new();
                self.state = State::Accepted;
                (Verdict::Tell, None)
            }
            // A repeated or forked 2xx: its ACK belongs to the session (RFC 6026 §7.2).
            (State::Accepted, Class::Success) => (Verdict::Tell, None),
            (State::Calling | State::Proceeding, Class::Failure) => {
                self.timers.clear();
                self.ack = self.build_ack(response);
                self.request = Bytes::new();
                if let Some(ack) = &self.ack {
                    to.send(ack);
                }
                let linger = self.set.absorb_failures(self.is_reliable);
                self.state = match linger.is_zero() {
                    true => State::Terminated,
                    false => State::Completed,
                };
                self.timers.set(D, now + linger);
                (Verdict::Tell, None)
            }
            // A repeated failure: repeat the ACK, tell nobody.
            (State::Completed, Class::Failure) => {
                if let Some(ack) = &self.ack {
                    to.send(ack);
                }
                (Verdict::Quiet, None)
            }
            // Late or reordered: legal on the wire, meaningless here.
            (State::Accepted, Class::Provisional | Class::Failure)
            | (State::Completed, Class::Provisional | Class::Success)
            | (State::Terminated, _) => (Verdict::Quiet, None),
        }
    }

    /// Wants the INVITE cancelled. Returns the CANCEL to send, if it may be sent already.
    pub(super) fn cancel(&mut self, now: Timestamp, reason: Option<&[u8]>) -> Option<Bytes> {
        match (self.state, &self.cancel) {
            (State::Calling, Cancel::No) => {
                // Timer A goes on: if the INVITE has arrived, its repetition is what gets a lost
                // provisional said again, without which the called side would ring and ring.
                self.cancel = Cancel::Held(reason.map(Bytes::copy_from_slice));
                None
            }
            (State::Proceeding, Cancel::No) => self.send_cancel(now, reason),
            (State::Calling | State::Proceeding, Cancel::Held(_) | Cancel::Sent)
            | (State::Accepted | State::Completed | State::Terminated, _) => None,
        }
    }

    fn send_cancel(&mut self, now: Timestamp, reason: Option<&[u8]>) -> Option<Bytes> {
        self.cancel = Cancel::Sent;
        self.timers.set(B, now + self.set.patience());
        self.build_cancel(reason)
    }

    pub(super) fn expired(&mut self, now: Timestamp, timer: usize, to: &mut Sender<'_>) -> Verdict {
        match (self.state, timer) {
            (State::Calling, A) => {
                to.send(&self.request);
                self.interval *= 2;
                self.timers.set(A, now + self.interval);
                Verdict::Quiet
            }
            (State::Calling | State::Proceeding, B) => {
                self.end();
                Verdict::Tell
            }
            (State::Accepted, M) | (State::Completed, D) => {
                self.end();
                Verdict::Quiet
            }
            (State::Calling | State::Proceeding | State::Accepted, _)
            | (State::Completed | State::Terminated, _) => Verdict::Quiet,
        }
    }

    /// The transport gave up. Only a transaction that still waits has somebody to tell.
    pub(super) fn transport_failed(&mut self) -> Verdict {
        match self.state {
            State::Calling => {
                self.end();
                Verdict::Tell
            }
            // The request arrived: a response may still come on another connection (SIP-126).
            State::Proceeding | State::Accepted | State::Completed | State::Terminated => {
                Verdict::Quiet
            }
        }
    }

    fn end(&mut self) {
        self.timers.clear();
        self.state = State::Terminated;
    }

    /// ACK for a failure (§17.1.1.3): the INVITE's Request-URI, branch, From, Call-ID and Route,
    /// the response's To.
    fn build_ack(&self, response: &Message) -> Option<Bytes> {
        let to = response.essential::<To>().ok()??;
        Some(self.follow_up(Method::Ack, to)?.build())
    }

    /// CANCEL (§9.1): as the INVITE, To without a new tag.
    fn build_cancel(&self, reason: Option<&[u8]>) -> Option<Bytes> {
        let invite = self.invite()?;
        let to = invite.essential::<To>().ok()??;
        let cancel = self.follow_up(Method::Cancel, to)?;
        let cancel = match reason {
            Some(reason) => cancel.raw_if_valid(HeaderName::Reason, reason),
            None => cancel,
        };
        Some(cancel.build())
    }

    fn follow_up(&self, method: Method, to: &To) -> Option<RequestBuilder> {
        let invite = self.invite()?;
        let cseq = invite.essential::<CSeq>().ok()??;
        let routes = invite.list::<Route>().ok()?;
        let via = invite.top_via().ok()?;
        let request = RequestBuilder::new(method.clone(), invite.uri().ok()?)
            .header(via)
            .headers(&routes)
            .header(&MaxForwards::DEFAULT)
            .copy(&invite, HeaderName::From)
            .header(to)
            .copy(&invite, HeaderName::CallId)
            .header(&CSeq {
                number: cseq.number,
                method,
            })
            // Both carry the INVITE's credentials as they stand: they cannot be challenged
            // (RFC 3261 §22.1).
            .copy(&invite, HeaderName::Authorization)
            .copy(&invite, HeaderName::ProxyAuthorization);
        // Teams is told in every request who we are (TDR-OPT-011).
        Some(match HeaderName::parse("X-MS-SBC") {
            Ok(own) if invite.has(&own) => request
                .copy(&invite, HeaderName::UserAgent)
                .copy(&invite, own),
            Ok(_) | Err(_) => request,
        })
    }

    /// Our own INVITE, read back only when an ACK or CANCEL has to be derived from it.
    fn invite(&self) -> Option<Message> {
        Message::parse(self.request.clone(), &crate::sip::Limits::default()).ok()
    }
}
