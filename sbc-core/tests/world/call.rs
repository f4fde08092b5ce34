//! A call that is up, and requests within it.

use super::*;
use sbc_core::sip::{HeaderName, Message, Method};

pub const VIA: &str = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK";

/// A call from the carrier to Teams, answered and acknowledged on both sides.
pub struct Call {
    pub shard: Shard,
    /// Our INVITE to Teams.
    pub invite: Message,
    /// Our 200 to the carrier.
    pub ok: Message,
    pub cseq: u32,
}

impl Call {
    pub fn new() -> Self {
        Self::with(CONFIG)
    }

    /// As [`Self::new`], under another configuration.
    pub fn with(config: &str) -> Self {
        Self::of(Shard::with(config_of(config)))
    }

    /// As [`Self::new`], on this shard.
    pub fn of(shard: Shard) -> Self {
        Self::offered(shard, CARRIER_SDP)
    }

    /// As [`Self::of`], with another offer of the carrier.
    pub fn offered(mut shard: Shard, sdp: &str) -> Self {
        shard.carrier_says(&carrier_invite("call", sdp));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
        shard.teams_says(&answer);
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
        assert!(shard.sent.is_empty());
        Self {
            shard,
            invite,
            ok,
            cseq: 10,
        }
    }

    /// A request of the caller with these lines and this body.
    pub fn says(&mut self, method: &str, lines: &str, body: &str) {
        self.cseq += 1;
        let via = format!("{VIA}{}", self.cseq);
        let bare = in_dialog(&self.ok, method, self.cseq, &via);
        let head = bare.replace("Content-Length: 0\n\n", lines);
        let length = body.replace('\n', "\r\n").len();
        self.shard
            .carrier_says(&format!("{head}Content-Length: {length}\n\n{body}"));
    }

    /// A request of Teams in the dialog of our INVITE.
    pub fn teams_says(&mut self, method: &str, cseq: u32, lines: &str) {
        let request = callee_request(&self.invite, "x1", method, cseq, lines);
        self.shard.teams_says(&request);
    }

    /// The next message, which must refuse the caller with this status.
    pub fn refused(&mut self, code: u16) -> Message {
        self.shard.next_response(code).message
    }

    /// The call lives with the party of another INVITE of ours: a BYE of the caller reaches it, and
    /// nothing else is left.
    pub fn lives_on(mut self, with: &Message) {
        assert!(self.shard.records.is_empty() && self.shard.sent.is_empty());
        self.says("BYE", "", "");
        self.shard.next_response(200);
        let bye = self.shard.next_request(Method::Bye).message;
        assert_eq!(
            header(&bye, HeaderName::CallId),
            header(with, HeaderName::CallId)
        );
        self.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
        assert_eq!(self.shard.records.len(), 1);
        self.shard.settles();
    }

    /// The call lives: a re-INVITE is answered and a BYE ends both sides.
    pub fn lives(mut self) {
        self.says(
            "INVITE",
            "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n",
            CARRIER_SDP,
        );
        self.shard.next_response(100);
        self.shard.next_response(200);
        let ack = in_dialog(&self.ok, "ACK", self.cseq, &format!("{VIA}ack2"));
        self.shard.carrier_says(&ack);
        assert!(self.shard.records.is_empty(), "the call has ended");
        self.says("BYE", "", "");
        self.shard.next_response(200);
        let bye = self.shard.next_request(Method::Bye);
        self.shard
            .teams_says(&response(&bye.message, "200 OK", "", "", ""));
        assert_eq!(self.shard.records.len(), 1);
        self.shard.settles();
    }
}

/// A request of a called party in the dialog that our INVITE and its tag make.
pub fn callee_request(invite: &Message, tag: &str, method: &str, cseq: u32, lines: &str) -> String {
    let value =
        |name: HeaderName| String::from_utf8_lossy(&invite.raw(name).expect("header")).into_owned();
    format!(
        "{method} sip:sbc1.contoso.example:5061;transport=tls SIP/2.0
Via: SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK{method}{cseq}
Max-Forwards: 70
From: {};tag={tag}
To: {}
Call-ID: {}
CSeq: {cseq} {method}
{lines}Content-Length: 0

",
        value(HeaderName::To),
        value(HeaderName::From),
        value(HeaderName::CallId),
    )
}

pub fn header(message: &Message, name: HeaderName) -> String {
    let value = message.raw(&name).unwrap_or_default();
    String::from_utf8_lossy(&value).into_owned()
}

/// The description in a message.
pub fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

/// The codecs of its audio line.
pub fn formats(message: &Message) -> String {
    let body = body(message);
    let line = body.lines().find(|line| line.starts_with("m=audio"));
    let words = line.expect("audio").split(' ').skip(3);
    words.collect::<Vec<_>>().join(" ")
}

/// How many orders have changed anything at the relay: that an answer is expected, or no more, changes nothing.
pub fn changes(call: &Call) -> usize {
    let orders = call.shard.media.iter();
    let changes = orders.filter(|own| {
        use media_api::Command::{Expect, Rollback};
        !matches!(own, Expect { .. } | Rollback { .. })
    });
    changes.count()
}
