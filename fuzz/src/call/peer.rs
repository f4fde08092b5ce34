//! The messages that scripts speak: templates with room for whatever the script adds.

use super::CONFIG;
use bytes::Bytes;
use sbc_core::id::{FlowId, TlsContextName};
use sbc_core::sip::header::CSeq;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::{Flow, Hop, PeerIdentity, Protocol};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Carrier,
    CarrierTcp,
    Contoso,
    Fabrikam,
    WrongCertificate,
    Stranger,
}

impl Actor {
    pub(super) fn of(letter: u8) -> Self {
        match letter {
            b'd' => Self::CarrierTcp,
            b't' => Self::Contoso,
            b'f' => Self::Fabrikam,
            b'w' => Self::WrongCertificate,
            b's' => Self::Stranger,
            _ => Self::Carrier,
        }
    }

    fn is_teams(self) -> bool {
        matches!(
            self,
            Self::Contoso | Self::Fabrikam | Self::WrongCertificate
        )
    }

    pub(super) fn flow(self) -> Flow {
        let (id, protocol, remote): (_, _, SocketAddr) = match self {
            Self::Carrier => (1, Protocol::Udp, ([198, 51, 100, 20], 5060).into()),
            Self::CarrierTcp => (2, Protocol::Tcp, ([198, 51, 100, 21], 40_000).into()),
            Self::Contoso => (3, Protocol::Tls, ([203, 0, 113, 1], 40_001).into()),
            Self::Fabrikam => (4, Protocol::Tls, ([203, 0, 113, 1], 40_002).into()),
            Self::WrongCertificate => (5, Protocol::Tls, ([203, 0, 113, 1], 40_003).into()),
            Self::Stranger => (6, Protocol::Udp, ([203, 0, 113, 250], 5060).into()),
        };
        flow(id, protocol, remote, self)
    }
}

fn flow(id: u64, protocol: Protocol, remote: SocketAddr, actor: Actor) -> Flow {
    let listener = CONFIG
        .listeners
        .values()
        .find(|listener| listener.protocol == protocol)
        .expect("a listener of each kind");
    let name = match actor {
        Actor::WrongCertificate => "sip.example.net",
        _ => "sip.pstnhub.microsoft.com",
    };
    let server = match actor {
        Actor::Fabrikam => "sbc1.fabrikam.example",
        _ => "sbc1.contoso.example",
    };
    Flow {
        id: FlowId(id),
        protocol,
        listener: listener.name.clone(),
        local: listener.bind,
        remote,
        identity: (protocol == Protocol::Tls).then(|| {
            Arc::new(PeerIdentity {
                context: TlsContextName::new("teams"),
                names: vec![name.to_owned()],
                server_name: Some(server.to_owned()),
            })
        }),
        tls: None,
    }
}

/// Whether the configuration admits who is at the other end of a flow.
pub(super) fn is_known(flow: &Flow) -> bool {
    let right_name = flow
        .identity
        .as_ref()
        .is_none_or(|identity| identity.names == ["sip.pstnhub.microsoft.com"]);
    match flow.protocol {
        Protocol::Udp | Protocol::Tcp => matches!(flow.remote.ip(), IpAddr::V4(ip)
            if ip.octets()[..3] == [198, 51, 100] && (16..32).contains(&ip.octets()[3])),
        // A broken message is answered to the address, before anybody's name is asked for.
        Protocol::Tls => right_name || is_peer(flow.remote.ip()),
    }
}

/// Whether this is an address of a configured peer.
pub(super) fn is_peer(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [198, 51, 100, last] => (16..32).contains(&last),
            [203, 0, 113, last] => last != 250,
            _ => false,
        },
        IpAddr::V6(_) => false,
    }
}

/// The flow on which the answer to something sent to `hop` comes back.
pub(super) fn way_back(hop: &Hop) -> Flow {
    let actor = match hop.protocol {
        Protocol::Udp => Actor::Carrier,
        Protocol::Tcp => Actor::CarrierTcp,
        Protocol::Tls => Actor::Contoso,
    };
    let id = hop.flow.unwrap_or(FlowId(7)).0;
    flow(id, hop.protocol, hop.remote, actor)
}

/// `|` is a line end.
pub(super) fn lines(text: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + 64);
    for octet in text {
        match octet {
            b'|' => out.extend_from_slice(b"\r\n"),
            octet => out.push(*octet),
        }
    }
    out.into()
}

/// INVITE number K of an actor: K, which SDP, and more.
pub(super) fn invite(who: u8, rest: &[u8]) -> Bytes {
    let (actor, k) = (Actor::of(who), number(rest));
    let sdp = rest.get(1).copied().unwrap_or(b'1');
    message(&invite_head(actor, who, k, "INVITE"), sdp, rest.get(2..))
}

pub(super) fn cancel(who: u8, rest: &[u8]) -> Bytes {
    let (actor, k) = (Actor::of(who), number(rest));
    message(&invite_head(actor, who, k, "CANCEL"), b'0', rest.get(1..))
}

fn number(rest: &[u8]) -> u8 {
    rest.first().copied().unwrap_or_default() % 8
}

fn invite_head(actor: Actor, who: u8, k: u8, method: &str) -> String {
    let who = char::from(who & 0x7f);
    let who = if who.is_ascii_alphanumeric() {
        who
    } else {
        'c'
    };
    let called = if k.is_multiple_of(2) {
        "+493023125456"
    } else {
        "+494066969456"
    };
    match actor.is_teams() {
        true => {
            let tenant = if actor == Actor::Fabrikam {
                "fabrikam"
            } else {
                "contoso"
            };
            format!(
                "{method} sip:+498999998001@sbc1.{tenant}.example:5061;user=phone;transport=tls SIP/2.0\r\n\
                 FROM: Ada<sip:{called}@sip.pstnhub.microsoft.com:5061;user=phone>;tag=from{who}{k}\r\n\
                 TO: <sip:+498999998001@sbc1.{tenant}.example:5061;user=phone>\r\n\
                 CSEQ: 1 {method}\r\nCALL-ID: call-{who}{k}\r\nMAX-FORWARDS: 70\r\n\
                 VIA: SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK{who}{k}\r\n\
                 RECORD-ROUTE: <sip:203.0.113.1:5061;transport=tls;lr>\r\n\
                 CONTACT: <sip:api.example.com:443;x-i=1;x-c=2>\r\n"
            )
        }
        false => {
            let flow = actor.flow();
            let (via, remote) = (flow.protocol.via_name(), flow.remote);
            format!(
                "{method} sip:{called}@192.0.2.11:5060 SIP/2.0\r\n\
                 Via: SIP/2.0/{via} {remote};branch=z9hG4bK{who}{k};rport\r\nMax-Forwards: 69\r\n\
                 From: \"Ada\" <sip:+498999998001@198.51.100.20>;tag=from{who}{k}\r\n\
                 To: <sip:{called}@192.0.2.11>\r\nCall-ID: call-{who}{k}\r\nCSeq: 10 {method}\r\n\
                 Contact: <sip:gw@{remote}>\r\n"
            )
        }
    }
}

/// An answer to a request of ours: three digits, a digit for the To tag, which SDP, and more.
pub(super) fn answer(request: &Message, rest: &[u8]) -> Bytes {
    let code = rest.get(..3).unwrap_or(b"180");
    let tag = rest.get(3).copied().unwrap_or(b'1');
    let sdp = rest.get(4).copied().unwrap_or(b'0');
    let to = value(request, HeaderName::To);
    let tag = match to.contains(";tag=") || tag == b'-' {
        true => String::new(),
        false => format!(";tag=to{}", tag % 4),
    };
    let head = format!(
        "SIP/2.0 {} X\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:peer@{}>\r\n",
        String::from_utf8_lossy(code),
        value(request, HeaderName::Via),
        value(request, HeaderName::From),
        value(request, HeaderName::CallId),
        value(request, HeaderName::CSeq),
        if value(request, HeaderName::Via).contains("/TLS") {
            "203.0.113.1:5061;transport=tls"
        } else {
            "198.51.100.20:5060"
        },
    );
    message(&head, sdp, rest.get(5..))
}

/// A dialog as its peer sees it.
pub(super) struct Dialog {
    pub(super) flow: Flow,
    target: String,
    local: String,
    remote: String,
    call_id: String,
    cseq: u32,
    branch: String,
}

impl Dialog {
    /// One that we opened by INVITE and the peer's response names.
    pub(super) fn opened(flow: &Flow, message: &Message) -> Option<Self> {
        let status = message.status()?;
        if *message.method() != Method::Invite || status.code() <= 100 || status.code() >= 300 {
            return None;
        }
        Some(Self {
            flow: flow.clone(),
            target: "sip:causeway@192.0.2.10".to_owned(),
            local: value(message, HeaderName::To),
            remote: value(message, HeaderName::From),
            call_id: value(message, HeaderName::CallId),
            cseq: 100,
            branch: "z9hG4bKin".to_owned(),
        })
    }

    /// One that the peer opened and our response names.
    pub(super) fn answered(hop: &Hop, message: &Message) -> Option<Self> {
        let status = message.status()?;
        if *message.method() != Method::Invite || status.code() <= 100 {
            return None;
        }
        let contact = value(message, HeaderName::Contact);
        let target = contact.split(['<', '>']).nth(1);
        let branch = message.top_via().ok()?.branch().cloned()?;
        Some(Self {
            flow: way_back(hop),
            target: target.unwrap_or("sip:causeway@192.0.2.11").to_owned(),
            local: value(message, HeaderName::From),
            remote: value(message, HeaderName::To),
            call_id: value(message, HeaderName::CallId),
            cseq: message.get::<CSeq>().ok()??.number,
            branch: String::from_utf8_lossy(&branch).into_owned(),
        })
    }

    /// A letter for the method, a digit that is added to the sequence number, which SDP, and more.
    pub(super) fn request(&self, rest: &[u8]) -> Bytes {
        let letter = rest.first().copied().unwrap_or(b'b');
        let step = rest.get(1).copied().unwrap_or(b'0').wrapping_sub(b'0');
        let sdp = rest.get(2).copied().unwrap_or(b'0');
        let method = match letter {
            b'a' => "ACK",
            b'i' => "INVITE",
            b'c' => "CANCEL",
            b'u' => "UPDATE",
            b'o' => "OPTIONS",
            b'n' => "INFO",
            b'k' => "PRACK",
            b'r' => "REFER",
            _ => "BYE",
        };
        let Self {
            target,
            local,
            remote,
            call_id,
            flow,
            ..
        } = self;
        let cseq = self.cseq.saturating_add(u32::from(step));
        let (via, address) = (flow.protocol.via_name(), flow.remote);
        // The ACK of a failure has the branch of its INVITE.
        let branch = match step {
            0 => self.branch.clone(),
            step => format!("{}{step}{letter}", self.branch),
        };
        let head = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{via} {address};branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n"
        );
        message(&head, sdp, rest.get(3..))
    }
}

/// Head, further lines of the script, and a body: the script's own, or one of the usual.
fn message(head: &str, sdp: u8, extra: Option<&[u8]>) -> Bytes {
    let extra = extra.unwrap_or_default();
    let at = extra.windows(2).position(|two| two == b"||");
    let (more, own) = match at {
        Some(at) => (&extra[..at], Some(lines(&extra[at + 2..]))),
        None => (extra, None),
    };
    let body = own.unwrap_or_else(|| usual(sdp));
    let mut out = head.as_bytes().to_vec();
    if !more.is_empty() {
        out.extend_from_slice(&lines(more));
        out.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() && names_no_type(more) {
        out.extend_from_slice(b"Content-Type: application/sdp\r\n");
    }
    out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    out.extend_from_slice(&body);
    out.into()
}

/// Whether the script leaves it to us to name the body's type.
fn names_no_type(more: &[u8]) -> bool {
    !more.to_ascii_lowercase().starts_with(b"content-type")
}

fn usual(sdp: u8) -> Bytes {
    let text = match sdp {
        b'1' => CARRIER_SDP.to_owned(),
        b'2' => TEAMS_SDP.to_owned(),
        b'3' => CARRIER_SDP.replace("sendrecv", "sendonly"),
        b'4' => TEAMS_SDP.replace("sendrecv", "inactive"),
        b'5' => CARRIER_SDP.replace("8 0 101", "9 101"),
        b'6' => CARRIER_SDP.replace("198.51.100.30", "0.0.0.0"),
        b'7' => format!("{CARRIER_SDP}m=video 0 RTP/AVP 31\n"),
        _ => String::new(),
    };
    text.replace('\n', "\r\n").into()
}

fn value(message: &Message, name: HeaderName) -> String {
    String::from_utf8_lossy(&message.raw(name).unwrap_or_default()).into_owned()
}

const CARRIER_SDP: &str = "v=0
o=- 1 1 IN IP4 198.51.100.30
s=-
c=IN IP4 198.51.100.30
t=0 0
m=audio 6000 RTP/AVP 8 0 101
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
";

const TEAMS_SDP: &str = "v=0
o=- 7 1 IN IP4 203.0.113.9
s=session
c=IN IP4 203.0.113.9
t=0 0
m=audio 50000 RTP/SAVP 8 0 101
a=rtcp-mux
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw|2^31
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
";
