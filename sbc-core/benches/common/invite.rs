//! An INVITE as Teams writes it, and everything in it.
// Every benchmark uses its own part of this, which is a part of each.
#![allow(dead_code, unreachable_pub)]

use bytes::Bytes;
use sbc_core::sip::header::{
    Allow, CSeq, CallId, Contact, ContentType, From, MaxForwards, MinSe, RecordRoute,
    SessionExpires, Supported, To, Via,
};
use sbc_core::sip::{HeaderName, Message, Method, RequestBuilder, Uri};

/// An INVITE of 1,540 octets in the style of Teams: upper-case names, opaque Contact parameters,
/// SDP with SRTP and ICE.
pub fn invite() -> Bytes {
    let head = "INVITE sip:+493023125456@sbc1.contoso.example:5061;user=phone;transport=tls SIP/2.0\r\n\
        FROM: Alex Example<sip:+493023125321@sip.pstnhub.example.com:5061;user=phone>;tag=0c1e7a5d33f94b20\r\n\
        TO: <sip:+493023125456@sbc1.contoso.example:5061;user=phone>\r\n\
        CSEQ: 1 INVITE\r\n\
        CALL-ID: 9b0f5c2e7d5b5c0e8a1b2c3d4e5f6071\r\n\
        MAX-FORWARDS: 70\r\n\
        VIA: SIP/2.0/TLS 192.0.2.76:5061;branch=z9hG4bK58735f38\r\n\
        RECORD-ROUTE: <sip:sip-du-a-eu.pstnhub.example.com:5061;transport=tls;lr>\r\n\
        CONTACT: <sip:api-du-a-uswe2.pstnhub.example.com:443;x-i=11111111-2222-3333-4444-555555555555;x-c=9b0f5c2e7d5b5c0e8a1b2c3d4e5f6071/d/8/0f1e2d3c>\r\n";
    let tail = "MIN-SE: 300\r\n\
        SUPPORTED: timer\r\n\
        USER-AGENT: Example.PSTNHub.SIPProxy v.2024.2.12.3 i.EUNO.7\r\n\
        CONTENT-TYPE: application/sdp\r\n\
        ALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY\r\n\
        SESSION-EXPIRES: 3600\r\n\r\n";
    let mut sdp = String::from(
        "v=0\r\no=- 31847 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 192.0.2.10\r\nb=CT:10000000\r\n\
         t=0 0\r\nm=audio 52124 RTP/SAVP 104 9 103 111 18 0 8 97 101 13 118\r\n\
         c=IN IP4 192.0.2.10\r\na=rtcp:52125\r\na=ice-ufrag:aBcD\r\n\
         a=ice-pwd:0123456789abcdefghijklmn\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|2^31\r\n",
    );
    let length_line = "CONTENT-LENGTH: 000\r\n".len();
    let missing = TARGET - head.len() - tail.len() - length_line;
    while sdp.len() + 22 <= missing {
        sdp.push_str("a=rtpmap:8 PCMA/8000\r\n");
    }
    let padding = missing - sdp.len();
    if padding >= 2 {
        sdp.push_str(&"x".repeat(padding - 2));
        sdp.push_str("\r\n");
    } else {
        sdp.push_str(&" ".repeat(padding));
    }
    Bytes::from(format!(
        "{head}CONTENT-LENGTH: {}\r\n{tail}{sdp}",
        sdp.len()
    ))
}

/// Its octets.
pub const TARGET: usize = 1540;

/// Everything the INVITE says, typed.
pub struct Parts {
    /// The Request-URI.
    pub uri: Uri,
    via: Vec<Via>,
    record_route: Vec<RecordRoute>,
    hops: MaxForwards,
    from: From,
    to: To,
    call_id: CallId,
    cseq: CSeq,
    contact: Contact,
    allow: Vec<Allow>,
    supported: Vec<Supported>,
    min_se: MinSe,
    expires: SessionExpires,
    agent: Bytes,
    kind: ContentType,
    body: Bytes,
}

impl Parts {
    /// Reads them all.
    pub fn of(message: &Message) -> Self {
        Self {
            uri: message.uri().unwrap().clone(),
            via: message.list().unwrap(),
            record_route: message.list().unwrap(),
            hops: message.get().unwrap().unwrap(),
            from: message.get().unwrap().unwrap(),
            to: message.get().unwrap().unwrap(),
            call_id: message.get().unwrap().unwrap(),
            cseq: message.get().unwrap().unwrap(),
            contact: message.get().unwrap().unwrap(),
            allow: message.list().unwrap(),
            supported: message.list().unwrap(),
            min_se: message.get().unwrap().unwrap(),
            expires: message.get().unwrap().unwrap(),
            agent: message.raw(HeaderName::UserAgent).unwrap(),
            kind: message.get().unwrap().unwrap(),
            body: message.body(),
        }
    }

    /// Writes them all.
    pub fn serialise(&self) -> Bytes {
        RequestBuilder::new(Method::Invite, &self.uri)
            .headers(&self.via)
            .headers(&self.record_route)
            .header(&self.hops)
            .header(&self.from)
            .header(&self.to)
            .header(&self.call_id)
            .header(&self.cseq)
            .header(&self.contact)
            .list(&self.allow)
            .list(&self.supported)
            .header(&self.min_se)
            .header(&self.expires)
            .raw(HeaderName::UserAgent, &self.agent)
            .unwrap()
            .body(&self.kind, self.body.clone())
            .build()
    }
}
