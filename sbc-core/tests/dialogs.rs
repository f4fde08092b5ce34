//! Dialogs: route sets, targets, sequence numbers and next hops (RFC 3261 §12).

use bytes::Bytes;
use sbc_core::dialog::{Damage, Dialog, DialogFault, NextHop};
use sbc_core::sip::header::{From, To};
use sbc_core::sip::{HeaderName, Limits, Message, Method, Uri};
use sbc_core::transport::Protocol;

fn message(start: &str, extra: &str) -> Message {
    let text = format!(
        "{start}\nVia: SIP/2.0/UDP 192.0.2.11;branch=z9hG4bK1\n{extra}\
         From: <sip:a@example.com>;tag=a\nTo: <sip:b@example.com>;tag=b\nCall-ID: c1\n\
         CSeq: 5 INVITE\nContent-Length: 0\n\n"
    );
    Message::parse(Bytes::from(text.replace('\n', "\r\n")), &Limits::default()).unwrap()
}

const ROUTES: &str = "Record-Route: <sip:p3.example.com;lr>, <sip:p2.example.com;lr>\n\
                      Record-Route: <sip:p1.example.com;lr>\n";
const CONTACT: &str = "Contact: \"B\" <sip:b@198.51.100.20:5070;transport=tcp>;expires=60\n";
const OK: &str = "SIP/2.0 200 OK";
const INVITE: &str = "INVITE sip:b@example.com SIP/2.0";

fn caller(extra: &str) -> Result<Dialog, DialogFault> {
    let response = message(OK, extra);
    let local = response.get::<From>().unwrap().unwrap().0;
    Dialog::from_response(local, 5, &response, None)
}

fn callee(extra: &str) -> Result<Dialog, DialogFault> {
    let request = message(INVITE, extra);
    let local = request.get::<To>().unwrap().unwrap().0;
    Dialog::from_request(local, &request)
}

fn uri(text: &str) -> Uri {
    Uri::parse(text.to_owned()).unwrap()
}

/// Start line and Route values of the next BYE.
fn bye(dialog: &Dialog) -> (String, Vec<String>) {
    let bytes = dialog.request(Method::Bye, 6).build();
    let message = Message::parse(bytes, &Limits::default()).unwrap();
    let text = |value: Bytes| String::from_utf8_lossy(&value).into_owned();
    let routes = message.raw_all(HeaderName::Route).map(text).collect();
    (text(message.request_uri()), routes)
}

#[test]
fn a_caller_visits_the_proxies_in_reverse_and_a_called_party_in_order() {
    let (target, routes) = bye(&caller(&format!("{ROUTES}{CONTACT}")).unwrap());
    assert_eq!(target, "sip:b@198.51.100.20:5070;transport=tcp");
    let proxies = ["p1", "p2", "p3"].map(|p| format!("<sip:{p}.example.com;lr>"));
    assert_eq!(routes, proxies);

    let dialog = callee(&format!("{ROUTES}{CONTACT}")).unwrap();
    let (_, mut routes) = bye(&dialog);
    routes.reverse();
    assert_eq!(routes, proxies);
    assert_eq!(dialog.remote_cseq, Some(5));
    assert_eq!(
        (dialog.local_tag(), dialog.remote_tag()),
        (&b"b"[..], &b"a"[..])
    );
}

#[test]
fn a_strict_router_becomes_the_request_uri_and_the_target_the_last_route() {
    let strict = "Record-Route: <sip:p2.example.com;lr>\nRecord-Route: <sip:p1.example.com>\n";
    let dialog = caller(&format!("{strict}{CONTACT}")).unwrap();
    let (request_uri, routes) = bye(&dialog);
    assert_eq!(request_uri, "sip:p1.example.com");
    assert_eq!(
        routes,
        [
            "<sip:p2.example.com;lr>",
            "<sip:b@198.51.100.20:5070;transport=tcp>"
        ]
    );
    assert_eq!(dialog.next_hop().host, "p1.example.com");
}

#[test]
fn a_confirming_answer_brings_its_own_routes_and_keeps_the_sequence_numbers() {
    let mut dialog = caller(&format!("{ROUTES}{CONTACT}")).unwrap();
    dialog.admit(9).unwrap();
    assert_eq!(dialog.next_cseq(), 6);
    dialog.confirm(&message(OK, "Contact: <sip:new@203.0.113.1>\n"), None);
    assert_eq!(bye(&dialog), ("sip:new@203.0.113.1".to_owned(), vec![]));
    assert_eq!((dialog.local_cseq, dialog.remote_cseq), (6, Some(9)));
}

#[test]
fn a_target_refresh_moves_the_target_only_and_needs_a_usable_contact() {
    let mut dialog = callee(&format!("{ROUTES}{CONTACT}")).unwrap();
    dialog.refresh_target(&message(
        INVITE,
        "Contact: <sip:b@203.0.113.9>\nRecord-Route: <sip:x;lr>\n",
    ));
    assert_eq!(dialog.remote_target, uri("sip:b@203.0.113.9"));
    assert_eq!(dialog.route_set.len(), 3);
    for unusable in ["", "Contact: *\n"] {
        dialog.refresh_target(&message(INVITE, unusable));
        assert_eq!(dialog.remote_target, uri("sip:b@203.0.113.9"));
    }
}

#[test]
fn without_contact_there_is_no_dialog() {
    assert_eq!(caller(ROUTES), Err(DialogFault::Incomplete));
    assert_eq!(callee("Contact: *\n"), Err(DialogFault::Incomplete));
}

#[test]
fn sequence_numbers_of_the_peer_may_leave_gaps_but_never_repeat() {
    let mut dialog = callee(CONTACT).unwrap();
    assert_eq!(dialog.admit(5), Err(DialogFault::StaleCSeq));
    assert_eq!(dialog.admit(900), Ok(()));
    assert_eq!(dialog.admit(900), Err(DialogFault::StaleCSeq));
    assert_eq!(dialog.admit(899), Err(DialogFault::StaleCSeq));
    assert_eq!(dialog.admit(901), Ok(()));
    let mut ours = caller(CONTACT).unwrap();
    assert_eq!(ours.admit(1), Ok(()), "the peer starts where it likes");
}

#[test]
fn the_next_hop_is_read_from_every_form_of_uri() {
    let read = |text: &str| {
        let hop = NextHop::of(&uri(text));
        (
            hop.host.clone(),
            hop.port,
            hop.protocol,
            hop.literal(Protocol::Udp),
        )
    };
    let at = |text: &str| Some(text.parse().unwrap());
    let host = |text: &str| text.to_owned();
    assert_eq!(
        read("sip:b@192.0.2.1:5080;transport=TCP"),
        (
            host("192.0.2.1"),
            Some(5080),
            Some(Protocol::Tcp),
            at("192.0.2.1:5080")
        )
    );
    assert_eq!(
        read("sip:b@[2001:db8::1]"),
        (host("2001:db8::1"), None, None, at("[2001:db8::1]:5060"))
    );
    assert_eq!(
        read("sip:b@example.com;maddr=[2001:db8::2];transport=tls"),
        (
            host("2001:db8::2"),
            None,
            Some(Protocol::Tls),
            at("[2001:db8::2]:5060")
        )
    );
    assert_eq!(
        read("sip:b@example.com;maddr=192.0.2.9"),
        (host("192.0.2.9"), None, None, at("192.0.2.9:5060"))
    );
    assert_eq!(
        read("sip:b@gw.example.com;transport=sctp"),
        (host("gw.example.com"), None, None, None)
    );
    assert_eq!(read("tel:+493023125456"), (String::new(), None, None, None));
}

#[test]
fn a_failed_request_ends_what_rfc_5057_says() {
    let of = |code: u16| Damage::of(message(&format!("SIP/2.0 {code} X"), "").status().unwrap());
    let usage = [405, 480, 481, 489, 501];
    let dialog = [404, 410, 416, 482, 483, 484, 485, 502, 604];
    // All others end their transaction and nothing else, whatever nobody knows included.
    for code in 400..700 {
        let damage = match code {
            code if usage.contains(&code) => Damage::Usage,
            code if dialog.contains(&code) => Damage::Dialog,
            _ => Damage::Transaction,
        };
        assert_eq!(of(code), damage, "{code}");
    }
}
