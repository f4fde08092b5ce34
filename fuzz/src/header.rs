//! One value, read as every typed header: what is read survives being written, alone and as a line
//! of a message. And as the times that others write into reports.

use bytes::Bytes;
use sbc_core::sip::header::*;
use sbc_core::sip::{Limits, Message, Method, ParseFault, RequestBuilder, Uri};
use sbc_core::time::UnixTime;
use std::fmt::Debug;

macro_rules! for_all {
    ($value:expr; $($header:ident),+) => {$( survives::<$header>($value); )+};
}

pub(crate) fn check(data: &[u8]) {
    time_survives(data);
    let value = Bytes::copy_from_slice(data);
    let _ = HeaderName::parse(value.clone());
    for_all!(&value;
        Accept, Allow, Authorization, CSeq, CallId, Contact, ContentDisposition, ContentEncoding,
        ContentType, Diversion, Event, Expires, From, HistoryInfo, Identity, MaxBreadth, MaxForwards, MediaPath, MinSe,
        PAssertedIdentity, PPreferredIdentity, Path, Privacy, ProxyAuthenticate,
        ProxyAuthorization, ProxyRequire, RAck, RSeq, Reason, RecordRoute, ReferTo, ReferredBy,
        RemotePartyId, Replaces, Require, RetryAfter, Route, ServiceRoute, SessionExpires, SessionId, SubscriptionState,
        Supported, TargetDialog, To, Unsupported, UserLocation, UserSite, UserToUser, Via, Warning, WwwAuthenticate);
}

/// What is finer than what we write is all that is lost.
fn time_survives(data: &[u8]) {
    let text = std::str::from_utf8(data).ok();
    let Some(at) = text.and_then(UnixTime::of_rfc3339) else {
        return;
    };
    let again = UnixTime::of_rfc3339(&at.rfc3339()).map(UnixTime::as_micros);
    assert_eq!(again, Some(at.as_micros() / 1_000 * 1_000), "{text:?}");
    assert!(UnixTime::of_day(&at.date()).is_some_and(|day| day <= at));
}

fn survives<H: Header + PartialEq + Debug>(value: &Bytes) {
    let Ok(header) = H::parse(value) else {
        return;
    };
    let written = header.to_bytes();
    let breaks = |octet: &u8| matches!(octet, b'\r' | b'\n' | 0);
    assert!(!written.iter().any(breaks), "{value:?} → {written:?}");
    assert!(written.len() <= 4 * value.len() + 64, "bounded");
    assert_eq!(
        H::parse(&written).as_ref(),
        Ok::<&H, &ParseFault>(&header),
        "{} {value:?} → {written:?}",
        H::NAME
    );
    let uri = Uri::parse("sip:b@example.com").expect("a URI");
    let bytes = RequestBuilder::new(Method::Options, &uri)
        .header(&header)
        .build();
    let roomy = Limits {
        header_line: 1 << 20,
        header_section: 1 << 21,
        ..Limits::default()
    };
    let message = Message::parse(bytes, &roomy).expect("one line was added");
    assert_eq!(message.headers().count(), 2, "one line and Content-Length");
    let read = message.list::<H>();
    match H::SHAPE {
        // An empty word is an empty list.
        Shape::Words if written.is_empty() => assert_eq!(read, Ok(vec![])),
        _ => assert_eq!(read, Ok(vec![header]), "{} {written:?}", H::NAME),
    }
}
