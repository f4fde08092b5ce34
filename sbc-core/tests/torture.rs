//! The 49 messages of RFC 4475, and one for each case of RFC 5118, get the reaction that their
//! manifests name, and the answer that goes out is itself a message.

#![allow(clippy::disallowed_methods, reason = "tests read files")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use sbc_core::sdp::Description;
use sbc_core::sip::header::{Header, Via};
use sbc_core::sip::{
    Capabilities, HeaderName, Limits, Message, Reaction, Rejected, RequestHead, ResponseBuilder,
    Token,
};
use serde_json::Value;

/// What this element does with a message, as far as syntax decides it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Passed on to whoever serves requests or matches responses.
    Accepted,
    /// Answered with this status.
    Answered(u16),
    /// No packet is sent.
    Dropped,
}

const TORTURE: &str = "rfc4475";
const IPV6: &str = "rfc5118";

fn read_of(corpus: &str, file: &str) -> Bytes {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpora");
    Bytes::from(fs::read(folder.join(corpus).join(file)).unwrap())
}

fn read(file: &str) -> Bytes {
    read_of(TORTURE, file)
}

fn entries(corpus: &str) -> Vec<Value> {
    let manifest: Value = serde_json::from_slice(&read_of(corpus, "manifest.json")).unwrap();
    manifest["messages"].as_array().unwrap().clone()
}

/// Parses and checks as the product does, and builds the answer if there is one.
fn react(bytes: Bytes) -> (Outcome, Option<Bytes>) {
    let tag = Token::parse("ours").unwrap();
    let can = Capabilities::default();
    match Message::parse(bytes, &Limits::default()) {
        Err(Rejected {
            reaction: Reaction::Answer { status, head },
            ..
        }) => {
            let answer = ResponseBuilder::to_head(&head, status, Some(&tag)).build();
            (Outcome::Answered(status.code()), Some(answer))
        }
        Err(Rejected {
            reaction: Reaction::Drop,
            ..
        }) => (Outcome::Dropped, None),
        Ok(message) => match can.check(&message) {
            Ok(()) => (Outcome::Accepted, None),
            Err(_) if message.is_response() => (Outcome::Dropped, None),
            Err(rejection) => match RequestHead::of(&message) {
                None => (Outcome::Dropped, None),
                Some(head) => {
                    let answer = can.refuse(&head, &rejection, Some(&tag)).build();
                    (Outcome::Answered(rejection.status.code()), Some(answer))
                }
            },
        },
    }
}

#[test]
fn every_torture_message_gets_the_reaction_that_the_rfc_names() {
    get_the_right_reactions(TORTURE);
}

#[test]
fn every_ipv6_message_gets_the_reaction_that_the_rfc_names() {
    get_the_right_reactions(IPV6);
}

fn get_the_right_reactions(corpus: &str) {
    let mut wrong = Vec::new();
    for entry in entries(corpus) {
        let file = entry["file"].as_str().unwrap();
        let expected = &entry["expected"];
        let (outcome, answer) = react(read_of(corpus, file));
        if !is_right(expected, &outcome) {
            wrong.push(format!("{file}: {outcome:?}, expected {expected}"));
        }
        // An answer must repeat the CSeq, even one that is itself what is wrong.
        if let (Some(answer), true) = (answer, file != "scalar02.sip") {
            let parsed = Message::parse(answer.clone(), &Limits::default());
            assert!(
                parsed.is_ok(),
                "{file}: answer {answer:?} does not parse: {parsed:?}"
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_right(expected: &Value, outcome: &Outcome) -> bool {
    let is_response = expected["drop_silently"] == true;
    let any_of: BTreeSet<u64> = expected["final_any_of"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect();
    let never: BTreeSet<u64> = expected["final_not"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect();
    let preferred = expected["preferred"].as_u64();
    match (expected["parser"].as_str().unwrap(), outcome) {
        // A stray response that can be read is dropped later, because no transaction wants it.
        ("accept", Outcome::Accepted) if is_response => true,
        ("reject", Outcome::Dropped) => is_response,
        // What syntax and capabilities can decide must be decided as the RFC prefers; the decision
        // about Max-Forwards 0 belongs to whoever would forward.
        ("accept", Outcome::Accepted) => {
            preferred.is_none() || matches!(preferred, Some(483)) || any_of.contains(&200)
        }
        ("either", Outcome::Accepted) => {
            expected["or_tolerate_and_process"] == true
                || expected["final_not"].as_array().is_some_and(Vec::is_empty)
        }
        (_, Outcome::Answered(status)) => {
            let status = u64::from(*status);
            !is_response
                && !never.contains(&status)
                && (any_of.is_empty() || any_of.contains(&status))
                && preferred.is_none_or(|preferred| preferred == status)
        }
        _ => false,
    }
}

#[test]
fn no_message_is_missing_and_none_was_altered_on_the_way_here() {
    for (corpus, count) in [(TORTURE, 49), (IPV6, 11)] {
        let entries = entries(corpus);
        assert_eq!(entries.len(), count);
        for entry in entries {
            let file = entry["file"].as_str().unwrap();
            assert_eq!(
                read_of(corpus, file).len() as u64,
                entry["facts"]["bytes"].as_u64().unwrap(),
                "{file}"
            );
        }
    }
}

#[test]
fn ipv6_addresses_are_read_as_the_rfc_explains() {
    let message = |file| Message::parse(read_of(IPV6, file), &Limits::default()).unwrap();
    let place = |file| {
        let message = message(file);
        let uri = message.uri().unwrap();
        (uri.host().unwrap().to_string(), uri.port())
    };
    assert_eq!(place("ipv6-good.sip"), ("[2001:db8::10]".to_owned(), None));
    let ambiguous = ("[2001:db8::10:5070]".to_owned(), None);
    assert_eq!(place("port-ambiguous.sip"), ambiguous);
    let unambiguous = ("[2001:db8::10]".to_owned(), Some(5070));
    assert_eq!(place("port-unambiguous.sip"), unambiguous);
    for file in ["via-received-with-delim.sip", "via-received-no-delim.sip"] {
        let received = message(file).list::<Via>().unwrap()[1].received();
        assert_eq!(received, "2001:db8::9:255".parse().ok(), "{file}");
    }
    let sdp = message("mult-ip-in-sdp.sip").body();
    let sdp = Description::parse(sdp, &sbc_core::sdp::Limits::default()).unwrap();
    let addresses: Vec<_> = sdp
        .media()
        .map(|media| media.connection().unwrap().address.to_string())
        .collect();
    assert_eq!(addresses, ["2001:db8::20", "192.0.2.7"]);
}

#[test]
fn short_tortuous_invite_is_read_as_the_rfc_explains() {
    use sbc_core::sip::header::{CSeq, Contact, From, MaxForwards, Route, To, Transport};

    let message = Message::parse(read("wsinv.sip"), &Limits::default()).unwrap();
    message.validate().unwrap();
    assert_eq!(message.get::<MaxForwards>().unwrap().unwrap().0, 68);
    let cseq = message.get::<CSeq>().unwrap().unwrap();
    assert_eq!(cseq.number, 9);
    assert_eq!(
        message.get::<To>().unwrap().unwrap().tag().unwrap(),
        "1918181833n"
    );
    let from = message.get::<From>().unwrap().unwrap();
    assert_eq!(from.display().unwrap().as_bytes(), "J Rosenberg \\\"");
    assert_eq!(from.tag().unwrap(), "98asjd8");
    let vias = message.list::<Via>().unwrap();
    let branches: Vec<_> = vias
        .iter()
        .map(|via| via.branch().unwrap().clone())
        .collect();
    assert_eq!(branches, ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]);
    assert_eq!(vias[1].transport, Transport::Tcp);
    assert_eq!(
        message.raw_named("newfangledheader").unwrap(),
        "newfangled value continued newfangled value"
    );
    assert_eq!(
        message.raw_named("UnknownHeaderWithUnusualValue").unwrap(),
        ";;,,;;,;"
    );
    assert_eq!(message.raw(HeaderName::Subject).unwrap(), "");
    assert!(message.list::<Route>().unwrap()[0].is_loose());
    let contact = message.get::<Contact>().unwrap().unwrap();
    assert_eq!(contact.q_milli(), 330);
    let address = contact.address().unwrap();
    assert_eq!(address.display().unwrap().as_bytes(), "Quoted string \"\"");
    assert_eq!(address.params.value("newparam").unwrap(), "newvalue");
    assert!(address.params.has("secondparam"));
    assert_eq!(message.body().len(), 150);
}

#[test]
fn percent_is_an_escape_only_where_the_grammar_says_so() {
    use sbc_core::sip::Method;
    use sbc_core::sip::header::{Contact, To};

    let message = Message::parse(read("esc02.sip"), &Limits::default()).unwrap();
    assert_ne!(*message.method(), Method::Register);
    assert_eq!(message.list::<Contact>().unwrap().len(), 2);
    let to = message.get::<To>().unwrap().unwrap();
    assert_eq!(to.display().unwrap().as_bytes(), "%Z%45");
}

#[test]
fn an_escaped_nul_does_not_cut_a_user_part() {
    use sbc_core::sip::header::{Contact, To};

    let message = Message::parse(read("escnull.sip"), &Limits::default()).unwrap();
    message.validate().unwrap();
    let to = message.get::<To>().unwrap().unwrap();
    assert_eq!(to.uri().user().unwrap(), "null-%00-null");
    let contacts = message.list::<Contact>().unwrap();
    assert_eq!(contacts.len(), 2);
    assert!(
        !contacts[0]
            .uri()
            .unwrap()
            .is_equivalent(contacts[1].uri().unwrap())
    );
}

#[test]
fn wide_range_of_characters_comes_through() {
    use sbc_core::sip::header::{CallId, From, To};

    let message = Message::parse(read("intmeth.sip"), &Limits::default()).unwrap();
    message.validate().unwrap();
    let uri = message.uri().unwrap();
    let sip = uri.as_sip().unwrap();
    assert_eq!(
        sip.user().unwrap(),
        "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    );
    assert_eq!(
        sip.password().unwrap(),
        "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    );
    let call_id = message.get::<CallId>().unwrap().unwrap();
    assert_eq!(
        call_id.as_str(),
        "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    );
    let to = message.get::<To>().unwrap().unwrap();
    assert_eq!(to.display().unwrap().as_bytes(), "BEL: NUL: DEL:");
    let from = message.get::<From>().unwrap().unwrap();
    assert_eq!(from.tag().unwrap(), "_token~1'+`*%!-.");
    assert_eq!(
        from.params.value("fromparam''~+*_!.-%").unwrap(),
        "работающий"
    );
}

#[test]
fn five_transports_are_five_via_values() {
    let message = Message::parse(read("transports.sip"), &Limits::default()).unwrap();
    let vias = message.list::<Via>().unwrap();
    let names: Vec<_> = vias
        .iter()
        .map(|via| via.transport.as_str().to_owned())
        .collect();
    assert_eq!(names, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

#[test]
fn answer_to_a_broken_via_repeats_only_its_sound_part() {
    let (outcome, answer) = react(read("badinv01.sip"));
    assert_eq!(outcome, Outcome::Answered(400));
    let answer = Message::parse(answer.unwrap(), &Limits::default()).unwrap();
    assert_eq!(answer.raw(Via::NAME).unwrap(), "SIP/2.0/UDP 192.0.2.15");
    assert_eq!(
        answer.raw(HeaderName::CallId).unwrap(),
        "badinv01.0ha0isndaksdjasdf3234nas"
    );
}

#[test]
fn bad_extension_is_answered_with_every_unknown_tag() {
    use sbc_core::sip::header::Unsupported;

    let (_, answer) = react(read("bext01.sip"));
    let answer = Message::parse(answer.unwrap(), &Limits::default()).unwrap();
    let tags: Vec<_> = answer
        .list::<Unsupported>()
        .unwrap()
        .into_iter()
        .map(|tag| tag.0.as_str().to_owned())
        .collect();
    assert_eq!(tags, ["nothingSupportsThis", "nothingSupportsThisEither"]);
}

#[test]
fn multipart_with_nul_octets_is_taken_apart_by_length() {
    let message = Message::parse(read("mpart01.sip"), &Limits::default()).unwrap();
    let parts = sbc_core::sip::body::parts(&message).unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].content, "Hello");
    assert!(parts[1].content.contains(&0));
}

#[test]
fn surplus_of_a_datagram_is_ignored() {
    let message = Message::parse(read("dblreq.sip"), &Limits::default()).unwrap();
    assert!(message.body().is_empty());
    assert!(!message.bytes().windows(6).any(|window| window == b"INVITE"));
}
