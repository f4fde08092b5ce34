//! URIs: what is read survives being written, and nothing in one can end a request line.

use bytes::Bytes;
use sbc_core::policy::number;
use sbc_core::sip::{Host, Limits, Message, Method, RequestBuilder, SipUri, Uri};

pub(crate) fn check(data: &[u8]) {
    let text = Bytes::copy_from_slice(data);
    if let Ok(uri) = Uri::parse(text) {
        survives(&uri);
        let _ = number::called(&uri);
    }
    // Any text can be a user part, escaped.
    let mut uri = SipUri::new(Host::parse("example.com").expect("a host"));
    match uri.set_user_text(data) {
        Ok(()) => {
            survives(&Uri::Sip(uri.clone()));
            assert_eq!(unescaped(uri.user().expect("it was set")), data);
        }
        Err(_) => assert!(data.is_empty(), "only an empty user is refused"),
    }
}

fn survives(uri: &Uri) {
    let written = uri.to_bytes();
    let breaks = |octet: &u8| matches!(octet, b'\r' | b'\n' | b' ' | b'<' | b'>' | 0);
    assert!(!written.iter().any(breaks), "{written:?}");
    if written.len() > sbc_core::sip::MAX_URI {
        return;
    }
    assert_eq!(Uri::parse(written.clone()).as_ref(), Ok(uri), "{written:?}");
    assert!(uri.is_equivalent(uri), "{written:?}");
    let request = RequestBuilder::new(Method::Options, uri).build();
    let request = Message::parse(request, &Limits::default()).expect("a request line");
    let target = request.uri().expect("our URI");
    assert_eq!(target.user(), uri.user());
    assert_eq!(target.host(), uri.host());
    assert_eq!(target.port(), uri.port());
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return plain,
            [b'%', high, low, rest @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two digits");
                plain.push(u8::from_str_radix(digits, 16).expect("an escape"));
                rest
            }
            [octet, rest @ ..] => {
                plain.push(*octet);
                rest
            }
        };
    }
}
