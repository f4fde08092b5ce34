//! Requests that wait for their final response on one connection, ours and the peer's.
//!
//! When the connection dies, whoever waits of ours learns it at once (SIP-126); and one that is out of use need not
//! outlive the last of all of them (TDR-TLS-013).

use super::pool::Outgoing;
use sbc_core::id::{ShardId, TransactionId};
use sbc_core::sip::{Message, Method};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A request's transaction can wait this long for its response: Timer B and F (RFC 3261 §17).
const REQUEST_LIFE: Duration = Duration::from_secs(32);
/// A peer's INVITE may ring this long (Timer C, RFC 3261 §16.6, and a minute).
const RINGING: Duration = Duration::from_secs(240);
/// Requests remembered per connection, of each side.
const MAX_REMEMBERED: usize = 4096;

/// One of them.
struct Request {
    since: Instant,
    owner: (ShardId, TransactionId),
    /// What its responses are known by: method and branch (RFC 3261 §17.1.3).
    method: Box<[u8]>,
    branch: Box<[u8]>,
}

/// A request of the peer, by method and branch.
struct Foreign {
    /// It has no answer any more after this.
    until: Instant,
    method: Box<[u8]>,
    branch: Box<[u8]>,
}

/// All of one connection, the oldest first.
#[derive(Default)]
pub(super) struct Unanswered {
    requests: Mutex<VecDeque<Request>>,
    of_peer: Mutex<VecDeque<Foreign>>,
    fewer: Notify,
}

impl Unanswered {
    /// Something was written; only requests that somebody waits for are remembered. A final response of ours ends
    /// the wait of the peer.
    pub(super) fn note(&self, outgoing: &Outgoing, now: Instant) {
        if let Some((method, branch)) = answered(&outgoing.bytes) {
            let mut of_peer = self.of_peer();
            let before = of_peer.len();
            of_peer.retain(|one| *one.branch != *branch || *one.method != *method);
            let is_fewer = of_peer.len() < before;
            drop(of_peer);
            if is_fewer {
                self.fewer.notify_waiters();
            }
        }
        let Some(owner) = outgoing.owner else {
            return;
        };
        if outgoing.bytes.starts_with(b"SIP/2.0 ") {
            return;
        }
        let (method, branch) = named(&outgoing.bytes);
        let mut requests = self.lock();
        forget_old(&mut requests, now);
        if requests.len() >= MAX_REMEMBERED {
            requests.pop_front();
        }
        requests.push_back(Request {
            since: now,
            owner,
            method: method.into(),
            branch: branch.into(),
        });
    }

    /// A message has come: a request of the peer, or a final response, which ends the wait of its request.
    pub(super) fn heard(&self, message: &Message, now: Instant) {
        if message.status().is_none() && *message.method() != Method::Ack {
            self.asked(message, now);
        }
        if message.status().is_none_or(|status| status.code() < 200) {
            return;
        }
        let Some(branch) = message.top_via().ok().and_then(|via| via.branch()) else {
            return;
        };
        let mut requests = self.lock();
        let is_it = |own: &Request| {
            *own.branch == **branch && *own.method == *message.method().as_str().as_bytes()
        };
        if let Some(at) = requests.iter().position(is_it) {
            requests.remove(at);
            drop(requests);
            self.fewer.notify_waiters();
        }
    }

    fn asked(&self, request: &Message, now: Instant) {
        let Some(branch) = request.top_via().ok().and_then(|via| via.branch()) else {
            return;
        };
        let method = request.method();
        let life = match method {
            Method::Invite => RINGING,
            _ => REQUEST_LIFE,
        };
        let (method, branch) = (method.as_str().as_bytes(), &branch[..]);
        let mut of_peer = self.of_peer();
        if of_peer.len() >= MAX_REMEMBERED {
            of_peer.pop_front();
        }
        of_peer.push_back(Foreign {
            until: now + life,
            method: method.into(),
            branch: branch.into(),
        });
    }

    /// Whoever still waits, when nothing can come any more.
    pub(super) fn take(&self) -> impl Iterator<Item = (ShardId, TransactionId)> {
        let requests = std::mem::take(&mut *self.lock());
        requests.into_iter().map(|request| request.owner)
    }

    /// Comes back when nobody waits any more.
    pub(super) async fn are_answered(&self) {
        loop {
            let fewer = self.fewer.notified();
            let Some(end) = self.end(Instant::now()) else {
                return;
            };
            let _ = timeout_at(end, fewer).await;
        }
    }

    /// When the youngest is forgotten, if there is any.
    fn end(&self, now: Instant) -> Option<Instant> {
        let mut requests = self.lock();
        forget_old(&mut requests, now);
        let ours = requests.back().map(|last| last.since + REQUEST_LIFE);
        let mut of_peer = self.of_peer();
        of_peer.retain(|one| one.until >= now);
        let theirs = of_peer.iter().map(|one| one.until).max();
        Some(ours.max(theirs)? + Duration::from_millis(1))
    }

    fn of_peer(&self) -> MutexGuard<'_, VecDeque<Foreign>> {
        self.of_peer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Request>> {
        // The list is whole between any two statements.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_old(requests: &mut VecDeque<Request>, now: Instant) {
    let is_old = |own: &Request| now.duration_since(own.since) > REQUEST_LIFE;
    while requests.front().is_some_and(is_old) {
        requests.pop_front();
    }
}

/// Method and branch of a request that a response of ours answers for good: its topmost Via is the peer's.
fn answered(response: &[u8]) -> Option<(&[u8], &[u8])> {
    const CSEQ: &[u8] = b"\r\nCSeq: ";
    if *response.strip_prefix(b"SIP/2.0 ")?.first()? < b'2' {
        return None;
    }
    let at = memchr::memmem::find(response, CSEQ)? + CSEQ.len();
    let line = response.get(at..)?.split(|octet| *octet == b'\r').next()?;
    Some((
        line.split(|octet| *octet == b' ').nth(1)?,
        named(response).1,
    ))
}

/// Method and branch of a request as we write it: its Via is the first of its headers.
fn named(request: &[u8]) -> (&[u8], &[u8]) {
    const BRANCH: &[u8] = b";branch=";
    let method = request.split(|octet| *octet == b' ').next();
    let at = memchr::memmem::find(request, BRANCH).map(|at| at + BRANCH.len());
    let branch = at.and_then(|at| request.get(at..)).and_then(|rest| {
        rest.split(|octet| matches!(octet, b';' | b',' | b' ' | b'\r'))
            .next()
    });
    (method.unwrap_or_default(), branch.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sbc_core::sip::Limits;

    fn request(method: &str, branch: &str) -> Outgoing {
        let text = format!(
            "{method} sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TLS sbc.contoso.example:5061;branch={branch};rport\r\n"
        );
        let owner = (ShardId(0), TransactionId(1));
        Outgoing::new(Bytes::from(text), Some(owner))
    }

    fn response(status: u16, method: &str, branch: &str) -> Message {
        let text = format!(
            "SIP/2.0 {status} Any\r\nVia: SIP/2.0/TLS sbc.contoso.example:5061;branch={branch}\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: c\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text), &Limits::default()).unwrap()
    }

    #[test]
    fn a_request_waits_for_its_own_final_response_and_no_longer_than_its_transaction() {
        let all = Unanswered::default();
        let now = Instant::now();
        let is_over = || all.end(now).is_none();
        assert!(is_over());
        all.note(&request("INVITE", "z9hG4bK1"), now);
        all.note(&request("CANCEL", "z9hG4bK1"), now);
        all.heard(&response(180, "INVITE", "z9hG4bK1"), now);
        all.heard(&response(200, "CANCEL", "z9hG4bK1"), now);
        all.heard(&response(200, "INVITE", "z9hG4bK2"), now);
        assert!(!is_over(), "the INVITE waits");
        all.heard(&response(487, "INVITE", "z9hG4bK1"), now);
        assert!(is_over());

        all.note(&request("BYE", "z9hG4bK3"), now);
        let end = all.end(now).unwrap();
        assert!(end > now + REQUEST_LIFE);
        assert_eq!(all.end(end), None);
        assert_eq!(all.take().count(), 0);
    }

    #[test]
    fn a_request_of_the_peer_waits_for_our_final_response() {
        let all = Unanswered::default();
        let now = Instant::now();
        let theirs = |method: &str, branch: &str| {
            let text = format!(
                "{method} sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TLS proxy.example:5061;branch={branch}\r\n\
                 From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: c\r\n\
                 CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            Message::parse(Bytes::from(text), &Limits::default()).unwrap()
        };
        let ours = |status: u16, method: &str, branch: &str| {
            let text = format!(
                "SIP/2.0 {status} Any\r\nVia: SIP/2.0/TLS proxy.example:5061;branch={branch};received=192.0.2.1\r\n\
                 CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
            );
            Outgoing::new(Bytes::from(text), None)
        };
        all.heard(&theirs("ACK", "z9hG4bK0"), now);
        assert_eq!(all.end(now), None);
        for _ in 0..2 {
            all.heard(&theirs("INVITE", "z9hG4bK1"), now);
        }
        assert!(all.end(now) > Some(now + RINGING));
        for (status, method, branch, is_over) in [
            (180, "INVITE", "z9hG4bK1", false),
            (200, "CANCEL", "z9hG4bK1", false),
            (200, "INVITE", "z9hG4bK2", false),
            (200, "INVITE", "z9hG4bK1", true),
        ] {
            all.note(&ours(status, method, branch), now);
            assert_eq!(
                all.end(now).is_none(),
                is_over,
                "{status} {method} {branch}"
            );
        }
    }

    #[test]
    fn those_that_are_remembered_are_bounded() {
        let all = Unanswered::default();
        let now = Instant::now();
        for number in 0..MAX_REMEMBERED + 10 {
            all.note(&request("OPTIONS", &number.to_string()), now);
        }
        assert_eq!(all.take().count(), MAX_REMEMBERED);
    }
}
