//! A REFER of ours, passed on from the other party, and the subscription that it implies: how the
//! peer fares with it is told upwards (SIP-810).
//!
//! The subscription is the leg's own. It is renewed for as long as the dialog lives, outlives our BYE
//! by 64·T1, and has its end told exactly once, whatever becomes of the peer.

use super::link::{Errand, Link, Wanted, patience};
use super::{Phase, Session, SessionEvent, Timer};
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::sip::header::{ContentType, Event, MaxForwards, SubscriptionState};
use crate::sip::{HeaderName, Message, Method, Status, body};
use crate::transport::Flow;
use bytes::Bytes;
use std::time::Duration;

/// Life of a subscription whose NOTIFY names none, and of one that we renew.
const USUAL_S: u64 = 60;

/// Longest life that we believe in.
const LONGEST_S: u64 = 3_600;

/// A REFER of ours that is not told to have ended yet.
#[derive(Debug, Default)]
pub(super) struct Referring {
    /// Its number, once it is accepted.
    cseq: Option<u32>,
    /// What the peer calls the subscription.
    id: Option<Bytes>,
    /// We have asked for a longer life.
    is_renewed: bool,
    /// What the peer has told last before it accepted the REFER (RFC 6665 §4.1.2.4).
    early: Option<SessionEvent>,
    /// It has told the end so.
    has_ended_early: bool,
}

/// What a NOTIFY says.
struct News {
    status: Option<Status>,
    is_last: bool,
    reason: Option<Bytes>,
    expires: Duration,
    id: Option<Bytes>,
}

impl Session {
    /// Sends a REFER with these lines and this body. Says whether it is on its way.
    pub(super) fn refer(
        &mut self,
        cx: &mut Cx<'_>,
        lines: Vec<(HeaderName, Bytes)>,
        body: Option<(ContentType, Bytes)>,
        hops: MaxForwards,
    ) -> bool {
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return false;
        };
        if self.referring.is_some() {
            return false;
        }
        let errand = Errand {
            method: Method::Refer,
            hops,
            headers: lines,
            body,
        };
        let wanted = Wanted::Request(Box::new(errand));
        confirmed.link.send(cx, &self.style, wanted);
        self.referring = Some(Box::default());
        true
    }

    /// Our REFER has its final response, or none. What is known of how the peer fares with one that it
    /// has accepted comes back: that is told after the answer.
    pub(super) fn refer_answered(
        &mut self,
        cx: &mut Cx<'_>,
        cseq: u32,
        status: Option<Status>,
        response: Option<&Message>,
    ) -> Option<SessionEvent> {
        let declines = response.is_some_and(|response| {
            let value = response.raw(HeaderName::ReferSub);
            value.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"false"))
        });
        if !status.is_some_and(Status::is_success) {
            self.referring_is_over(cx);
            return None;
        }
        let referring = self.referring.as_mut()?;
        referring.cseq = Some(cseq);
        let early = referring.early.take();
        if referring.has_ended_early || declines {
            self.referring_is_over(cx);
            // Who wants to tell nothing has nothing to be waited for.
            let nothing = SessionEvent::Notified {
                status: None,
                ended: Some(Bytes::from_static(b"noresource")),
            };
            return early.or(Some(nothing));
        }
        self.watch(cx, Duration::from_secs(USUAL_S));
        early
    }

    /// NOTIFY of the peer: where it stands with what we asked of it.
    pub(super) fn peer_notify(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Some(news) = self.news(message) else {
            return self.serve(cx, id, flow, message);
        };
        if let Some(link) = self.referring_link() {
            link.dialog.refresh_target(message);
        }
        self.reply(cx, id, message, Status::OK, |response| {
            match self.style.listener_of(flow) {
                Some(listener) => response.header(&self.style.contact(listener)),
                None => response,
            }
        });
        let told = SessionEvent::Notified {
            status: news.status,
            ended: news.is_last.then(|| news.reason.unwrap_or_default()),
        };
        match &mut self.referring {
            // Quicker than its answer: nobody has been told yet that it does anything.
            Some(referring) if referring.cseq.is_none() => {
                if !referring.has_ended_early {
                    referring.has_ended_early = news.is_last;
                    referring.early = Some(told);
                }
                return;
            }
            Some(referring) if !news.is_last => {
                referring.id.clone_from(&news.id);
                referring.is_renewed = false;
                self.watch(cx, news.expires);
            }
            _ => self.referring_is_over(cx),
        }
        up.push(told);
    }

    /// The subscription would end: it is renewed, or it has ended.
    pub(super) fn referring_is_due(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Some(referring) = &mut self.referring else {
            return;
        };
        if let Phase::Confirmed(confirmed) = &mut self.phase
            && !referring.is_renewed
        {
            referring.is_renewed = true;
            let limit = cx.now.mono + patience(&self.style);
            if !confirmed.link.dialog.takes.takes(&Method::Subscribe) {
                // It tells as long as it likes.
                return self.timers.set(Timer::Referring as usize, limit);
            }
            let event = match &referring.id {
                Some(id) => format!("refer;id={}", String::from_utf8_lossy(id)),
                None => "refer".to_owned(),
            };
            let errand = Errand {
                method: Method::Subscribe,
                hops: MaxForwards::DEFAULT,
                headers: vec![
                    (HeaderName::Event, Bytes::from(event)),
                    (HeaderName::Expires, Bytes::from(USUAL_S.to_string())),
                ],
                body: None,
            };
            let wanted = Wanted::Request(Box::new(errand));
            confirmed.link.send(cx, &self.style, wanted);
            return self.timers.set(Timer::Referring as usize, limit);
        }
        self.referring_is_over(cx);
        up.push(SessionEvent::Notified {
            status: None,
            ended: Some(Bytes::from_static(b"timeout")),
        });
    }

    /// Our side of the dialog ends: what the peer has to tell it may tell for another 64·T1. A REFER
    /// that it has not accepted yet is forgotten.
    pub(super) fn referring_outlives(&mut self, cx: &mut Cx<'_>) -> bool {
        self.referring.take_if(|referring| referring.cseq.is_none());
        if self.referring.is_some() {
            let limit = cx.now.mono + patience(&self.style);
            self.timers.set(Timer::Referring as usize, limit);
        }
        self.referring.is_some()
    }

    fn referring_is_over(&mut self, cx: &mut Cx<'_>) {
        self.timers.stop(Timer::Referring as usize);
        if self.referring.take().is_some() && matches!(self.phase, Phase::Over) {
            let after = self.referral.after.as_deref();
            self.end_dialog(cx, after.map(|link| link.dialog.names()));
        }
        self.tidy_referral(cx);
    }

    /// Looks again before the subscription ends.
    fn watch(&mut self, cx: &Cx<'_>, expires: Duration) {
        let at = match self.phase {
            Phase::Confirmed(_) => cx.now.mono + expires.mul_f32(0.75),
            _ => cx.now.mono + patience(&self.style),
        };
        self.timers.set(Timer::Referring as usize, at);
    }

    pub(super) fn referring_link(&mut self) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed) => Some(&mut confirmed.link),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Over => {
                self.referral.after.as_deref_mut()
            }
        }
    }

    /// What a NOTIFY says, if it belongs to our REFER.
    fn news(&self, message: &Message) -> Option<News> {
        let referring = self.referring.as_ref()?;
        let event = message.get::<Event>().ok().flatten()?;
        let id = event.id().cloned();
        let is_it = match (&id, referring.cseq) {
            (Some(id), Some(cseq)) => *id == cseq.to_string(),
            // The first one need not say (RFC 3515 §2.4.6), and may be quicker than the 202.
            (None, _) | (Some(_), None) => true,
        };
        if !event.package.is("refer") || !is_it {
            return None;
        }
        let state = message.get::<SubscriptionState>().ok().flatten()?;
        let value = state.params.value("expires");
        let seconds = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        let seconds: u64 = seconds.unwrap_or(USUAL_S);
        Some(News {
            status: body::sipfrag_status(&message.body()).ok(),
            is_last: state.state.is("terminated"),
            reason: state.params.value("reason").cloned(),
            expires: Duration::from_secs(seconds.clamp(4, LONGEST_S)),
            id,
        })
    }
}
