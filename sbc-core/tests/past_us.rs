//! Media that go past us: between Teams and an SBC behind us, for whom we are the proxy (TDR-LMO-010,
//! TDR-LMO-020, MED-312).

use crate::world;

use media_api::Command;
use sbc_core::config::{Assumed, Code, Config, Loaded, Source, effective, load};
use sbc_core::id::{FlowId, TlsContextName};
use sbc_core::policy::local_media::{Faced, Side};
use sbc_core::record::Record;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::{Flow, PeerIdentity};
use std::sync::Arc;
use std::time::Duration;
use world::call::*;
use world::*;

const PROXY: &str = "proxysbc.contoso.example";
const BRANCH: &str = "sbc1.contoso.example";
const TLS_VIA: &str = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK";
const BRANCH_VIA: &str = "SIP/2.0/TLS 10.20.0.99:5061;branch=z9hG4bK";
const INSIDE_US: &str = "10.20.0.10";
const OUTSIDE_US: &str = "192.0.2.10";
/// Where media of the SBC behind us are, and of a client.
const BRANCH_MEDIA: &str = "10.20.0.98";
const CLIENT: &str = "198.51.100.77";
const OTHER_CLIENT: &str = "198.51.100.78";

const LOCAL: &str =
    "{ internal = \"inside\", proxy = \"proxysbc.contoso.example\", downstream = \"branch\" }";

/// The usual world with an SBC of a branch in the place of the carrier.
fn text_with(local_media: &str) -> String {
    let (before, rest) = CONFIG
        .split_once("[[trunk]]\nname = \"carrier-a\"")
        .expect("its trunk");
    let routes = rest.split_once("[[route]]").expect("routes").1;
    let text = format!(
        "{before}[[realm]]\nname = \"inside\"\naddresses = [\"10.20.0.10\"]\nports = \"30000-34999\"\n\
         [[listen]]\nname = \"inside\"\nrealm = \"inside\"\ntransport = \"tls\"\nport = 5061\ntls = \"teams\"\n\
         [[trunk]]\nname = \"branch\"\npreset = \"carrier\"\ntenant = \"*\"\nrealm = \"inside\"\n\
         tls = \"teams\"\nsrtp = \"required\"\ntargets = [{{ address = \"branch.contoso.example:5061;tls\", \
         connect_to = [\"10.20.0.99:5061\"] }}]\naccept_from = [\"10.20.0.99/32\"]\n[[route]]{routes}"
    );
    text.replace("carrier-a", "branch").replace(
        "fqdn = \"sbc1.contoso.example\"\n",
        &format!("fqdn = \"{BRANCH}\"\nmedia_bypass = true\nlocal_media = {local_media}\n"),
    )
}

fn try_load(text: &str) -> Result<(Vec<Source>, Loaded), sbc_core::config::Findings> {
    let sources = vec![Source::new("test.toml", text)];
    let facts = Assumed::with_names([BRANCH, PROXY]);
    let loaded = load(&sources, &facts, None)?;
    Ok((sources, loaded))
}

fn config() -> Arc<Config> {
    match try_load(&text_with(LOCAL)) {
        Ok((_, loaded)) => Arc::new(loaded.config),
        Err(findings) => panic!("{}", findings.to_text()),
    }
}

fn branch_flow() -> Flow {
    Flow {
        id: FlowId(9),
        listener: sbc_core::id::ListenerName::new("inside"),
        local: "10.20.0.10:5061".parse().expect("address"),
        remote: "10.20.0.99:40001".parse().expect("address"),
        identity: Some(Arc::new(PeerIdentity {
            context: TlsContextName::new("teams"),
            names: vec!["branch.contoso.example".to_owned()],
            server_name: Some(PROXY.to_owned()),
        })),
        ..teams_flow()
    }
}

/// A description of an agent at this address, under this key.
fn described(at: &str, key: &str, lite: &str) -> String {
    format!(
        "v=0\no=- 7 1 IN IP4 {at}\ns=-\nc=IN IP4 {at}\nt=0 0\n{lite}m=audio 50010 RTP/SAVP 8 0 97\n\
         a=rtcp:50010\na=rtcp-mux\na=ice-ufrag:{key}\na=ice-pwd:{key}-and-twenty-two-more-chars\n\
         a=candidate:1 1 UDP 2130706431 {at} 50010 typ host\n\
         a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{key}MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3|2^31\n\
         a=rtpmap:97 telephone-event/8000\na=fmtp:97 0-15\na=sendrecv\n"
    )
}

fn of_client() -> String {
    described(CLIENT, "cLnt", "")
}

fn of_branch() -> String {
    described(BRANCH_MEDIA, "bRch", "a=ice-lite\n")
}

/// Whose place a message tells: every line of it is that of one description.
fn is_place_of(message: &Message, at: &str, key: &str) {
    let body = body(message);
    for line in [
        format!("c=IN IP4 {at}"),
        "m=audio 50010 RTP/SAVP 8 0 97".to_owned(),
        format!("a=ice-ufrag:{key}"),
        format!("a=ice-pwd:{key}-and-twenty-two-more-chars"),
        format!("a=candidate:1 1 UDP 2130706431 {at} 50010 typ host"),
        format!(
            "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{key}MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3|2^31"
        ),
        "a=rtpmap:97 telephone-event/8000".to_owned(),
    ] {
        assert!(body.lines().any(|own| own == line), "{line}\n{body}");
    }
    let count = |begin: &str| body.lines().filter(|own| own.starts_with(begin)).count();
    assert_eq!(
        (count("c="), count("a=candidate"), count("a=crypto")),
        (1, 1, 1),
        "nothing of ours\n{body}"
    );
    assert_eq!(body.contains("a=ice-lite"), key == "bRch", "{body}");
}

/// Whose place a message tells, whatever codecs are left.
fn is_told_of(message: &Message, at: &str, key: &str) {
    let body = body(message);
    for line in [
        format!("c=IN IP4 {at}"),
        format!("a=ice-ufrag:{key}"),
        format!("a=candidate:1 1 UDP 2130706431 {at} 50010 typ host"),
    ] {
        assert!(body.lines().any(|own| own == line), "{line}\n{body}");
    }
}

/// That a message tells our own address.
fn is_ours(message: &Message, at: &str) {
    let body = body(message);
    assert!(body.contains(&format!("c=IN IP4 {at}")), "{body}");
    let is_free = |key: &str| !body.contains(&format!("inline:{key}"));
    assert!(is_free("cLnt") && is_free("bRch"), "{body}");
}

fn lines(location: &str, path: &str) -> String {
    format!("X-MS-UserLocation: {location}\nX-MS-MediaPath: {path}\n")
}

fn at_branch() -> String {
    lines("internal", BRANCH)
}

fn at_proxy(location: &str) -> String {
    lines(location, &format!("{PROXY}, {BRANCH}"))
}

/// What the relay was told that lets media flow.
fn relayed(shard: &Shard) -> usize {
    let flows = |command: &&Command| match command {
        Command::Answer { negotiated, .. } => negotiated.streams.iter().any(Option::is_some),
        _ => false,
    };
    shard.media.iter().filter(flows).count()
}

/// A call of Teams, and our INVITE to the branch.
fn called(lines: &str) -> (Shard, Message) {
    let mut shard = Shard::with(config());
    let head = teams_invite("past");
    let head = head.split("Content-Type").next().expect("its head");
    shard.teams_says(&with_body(&format!("{head}{lines}"), &of_client()));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

const BRANCH_CONTACT: &str = "Contact: <sip:gw@10.20.0.99:5061;transport=tls>\n";

/// An answered call of Teams: our 200 to it, and our INVITE to the branch.
fn talking() -> (Shard, Message, Message) {
    let (mut shard, invite) = called(&at_branch());
    let ok = response(&invite, "200 OK", "b1", BRANCH_CONTACT, &of_branch());
    shard.receive(branch_flow(), &ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    assert!(shard.sent.is_empty());
    (shard, ok, invite)
}

/// A call of the branch, and our INVITE to Teams.
fn calling() -> (Shard, Message) {
    let mut shard = Shard::with(config());
    let invite = carrier_invite("past", "");
    let head = invite.split("Content-Length").next().expect("its head");
    let head = head
        .replace(
            "SIP/2.0/UDP 198.51.100.20:5060",
            "SIP/2.0/TLS 10.20.0.99:5061",
        )
        .replace(
            "<sip:gw@198.51.100.20:5060>",
            "<sip:gw@10.20.0.99:5061;transport=tls>",
        );
    shard.receive(branch_flow(), &with_body(&head, &of_branch()));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

/// Teams rings and answers with these lines; our 200 to the branch.
fn answered_by_teams(shard: &mut Shard, invite: &Message, lines: &str) -> Message {
    shard.teams_says(&response(invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    let ringing = shard.next_response(180).message;
    assert_eq!(body(&ringing), "", "nothing of ours is played");
    shard.pass(Duration::from_secs(3));
    assert!(shard.sent.is_empty());
    let contact = format!("{TEAMS_CONTACT}{lines}");
    shard.teams_says(&response(invite, "200 OK", "x1", &contact, &of_client()));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.receive(
        branch_flow(),
        &in_dialog(&ok, "ACK", 10, &format!("{BRANCH_VIA}ack")),
    );
    ok
}

/// The record after a BYE of the A side by this flow, and of nothing else.
fn record(mut shard: Shard, ok: &Message, flow: Flow, via: &str) -> Record {
    shard.receive(flow, &in_dialog(ok, "BYE", 90, &format!("{via}bye")));
    let is_bye = |sent: &&Sent| *sent.message.method() == Method::Bye && sent.message.is_request();
    let bye = shard.sent.iter().find(is_bye).expect("the other is told");
    let done = response(&bye.message.clone(), "200 OK", "", "", "");
    match bye.hop.remote {
        at if at.to_string().starts_with("10.") => shard.receive(branch_flow(), &done),
        _ => shard.teams_says(&done),
    }
    shard.pass(Duration::from_secs(40));
    let record = shard.records.pop().expect("a record");
    shard.settles();
    record
}

/// An offer of Teams within its call, with these lines.
fn teams_offers(shard: &mut Shard, ok: &Message, cseq: u32, lines: &str, sdp: &str) {
    let bare = in_dialog(ok, "INVITE", cseq, &format!("{TLS_VIA}{cseq}"));
    let contact = format!("Contact: <sip:api.example.com:443;x-i=1;x-c=2>\n{lines}");
    let head = bare.replace("Content-Length: 0\n\n", &contact);
    shard.teams_says(&with_body(&head, sdp));
}

#[test]
fn a_user_in_the_branch_and_its_sbc_are_told_of_each_other() {
    let (mut shard, invite) = called(&at_branch());
    is_place_of(&invite, CLIENT, "cLnt");
    assert!(header(&invite, HeaderName::To).contains("+498999998001@"));
    let progress = response(
        &invite,
        "183 Session Progress",
        "b1",
        BRANCH_CONTACT,
        &of_branch(),
    );
    shard.receive(branch_flow(), &progress);
    let early = shard.next_response(183).message;
    is_place_of(&early, BRANCH_MEDIA, "bRch");
    let ok = response(&invite, "200 OK", "b1", BRANCH_CONTACT, &of_branch());
    shard.receive(branch_flow(), &ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(
        body(&early),
        body(&ok),
        "what is told early stays (TDR-ICE-007)"
    );
    assert_eq!(relayed(&shard), 0, "no media for us");
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    // Nothing is missed of what does not come here.
    shard.pass(Duration::from_secs(600));
    assert!(shard.records.is_empty());
    let record = record(shard, &ok, teams_flow(), TLS_VIA);
    let [choice] = &record.local_media[..] else {
        panic!("one decision: {:?}", record.local_media)
    };
    assert_eq!(choice.choice.faced, Faced::Downstream);
    assert_eq!(choice.realm, None);
    assert_eq!(
        choice.choice.rule,
        "the user is inside, sbc1.contoso.example faces it and media go past us"
    );
}

/// The SBC behind us has more places than one; Teams takes no more, and no way around (TDR-ICE-002, TDR-LMO-011).
#[test]
fn teams_is_told_of_one_place_of_the_branch_and_of_nothing_behind_it() {
    let several = of_branch().replace(
        "a=crypto",
        "a=candidate:1 2 UDP 2130706430 10.20.0.98 50011 typ host\n\
         a=candidate:2 1 UDP 16 203.0.113.98 50010 typ srflx raddr 10.20.0.98 rport 50010\n\
         a=candidate:3 1 UDP 15 2001:db8::98 50010 typ host\na=ice-options:ice2\na=crypto",
    );
    let (mut shard, invite) = called(&at_branch());
    let ok = response(&invite, "200 OK", "b1", BRANCH_CONTACT, &several);
    shard.receive(branch_flow(), &ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    is_place_of(&ok, BRANCH_MEDIA, "bRch");
    let told = body(&ok);
    assert!(
        !told.contains("raddr") && !told.contains("ice-options"),
        "{told}"
    );
}

#[test]
fn media_come_here_where_no_candidate_of_the_branch_is_at_its_address() {
    let elsewhere = of_branch().replace("10.20.0.98 50010 typ", "203.0.113.98 50010 typ");
    let (mut shard, invite) = called(&at_branch());
    let ok = response(&invite, "200 OK", "b1", BRANCH_CONTACT, &elsewhere);
    shard.receive(branch_flow(), &ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    is_ours(&ok, INSIDE_US);
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    shard.pass(Duration::from_secs(1));
    is_ours(&shard.next_request(Method::Invite).message, INSIDE_US);
}

/// Two phones of the branch: one has early media, the other one answers.
#[test]
fn who_answers_in_the_branch_is_told_once_the_call_is_set_up_though_another_was_heard_early() {
    let (mut shard, invite) = called(&at_branch());
    let progress = response(
        &invite,
        "183 Session Progress",
        "b1",
        BRANCH_CONTACT,
        &of_branch(),
    );
    shard.receive(branch_flow(), &progress);
    is_place_of(&shard.next_response(183).message, BRANCH_MEDIA, "bRch");
    let other = described("10.20.0.43", "oThr", "");
    let ok = response(&invite, "200 OK", "b2", BRANCH_CONTACT, &other);
    shard.receive(branch_flow(), &ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    is_place_of(&ok, BRANCH_MEDIA, "bRch");
    // What was told early stays until the call is set up (SIP-312).
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    let told = shard.next_request(Method::Invite).message;
    let body = body(&told);
    for line in ["c=IN IP4 10.20.0.43", "a=ice-ufrag:oThr"] {
        assert!(body.lines().any(|own| own == line), "{line}\n{body}");
    }
    assert!(!body.contains("inline:bRch"), "{body}");
}

#[test]
fn where_the_proxy_faces_the_user_media_come_here() {
    for (location, at) in [("internal", INSIDE_US), ("external", OUTSIDE_US)] {
        let (mut shard, invite) = called(&at_proxy(location));
        is_ours(&invite, INSIDE_US);
        let ok = response(&invite, "200 OK", "b1", BRANCH_CONTACT, &of_branch());
        shard.receive(branch_flow(), &ok);
        shard.next_request(Method::Ack);
        is_ours(&shard.next_response(200).message, at);
        assert_eq!(relayed(&shard), 2);
    }
}

#[test]
fn a_call_of_the_branch_is_offered_in_its_own_words_and_left_alone_if_that_was_right() {
    let (mut shard, invite) = calling();
    is_place_of(&invite, BRANCH_MEDIA, "bRch");
    let route = header(&invite, HeaderName::RecordRoute);
    assert_eq!(route, format!("<sip:{PROXY}:5061;transport=tls;lr>"));
    assert!(header(&invite, HeaderName::From).contains(&format!("@{BRANCH}")));
    assert!(header(&invite, HeaderName::Contact).contains(BRANCH));
    let ok = answered_by_teams(&mut shard, &invite, &at_branch());
    is_place_of(&ok, CLIENT, "cLnt");
    shard.pass(Duration::from_secs(5));
    assert!(shard.sent.is_empty(), "no re-INVITE");
    assert_eq!(relayed(&shard), 0);
    let record = record(shard, &ok, branch_flow(), BRANCH_VIA);
    let [guess, fact] = &record.local_media[..] else {
        panic!("two decisions: {:?}", record.local_media)
    };
    assert!(
        guess
            .choice
            .rule
            .ends_with("the guess is inside, at sbc1.contoso.example")
    );
    assert_eq!((fact.choice.faced, fact.moved), (Faced::Downstream, None));
}

#[test]
fn a_wrong_guess_brings_media_here_with_one_offer_to_teams() {
    let wrong = [
        (at_proxy("external"), OUTSIDE_US),
        // Inside, and elsewhere.
        (at_proxy("internal"), INSIDE_US),
        // Local media is off for this user.
        (String::new(), OUTSIDE_US),
    ];
    for (lines, at) in wrong {
        let (mut shard, invite) = calling();
        let ok = answered_by_teams(&mut shard, &invite, &lines);
        is_ours(&ok, INSIDE_US);
        shard.pass(Duration::from_millis(500));
        let offer = shard.next_request(Method::Invite).message;
        is_ours(&offer, at);
        assert_eq!(offer.raw(HeaderName::RecordRoute), None);
        shard.teams_says(&response(&offer, "200 OK", "", TEAMS_CONTACT, &of_client()));
        shard.next_request(Method::Ack);
        assert!(shard.sent.is_empty(), "the branch knows already: {lines}");
        assert_eq!(relayed(&shard), 2, "{lines}");
        let record = record(shard, &ok, branch_flow(), BRANCH_VIA);
        let fact = record.local_media.last().expect("a decision");
        assert_eq!(fact.choice.faced, Faced::Us);
        assert!(fact.moved.expect("why").contains("re-INVITE"));
    }
}

#[test]
fn media_come_here_when_teams_says_so_within_the_call_and_the_branch_is_told() {
    let (mut shard, ok, _) = talking();
    let music = described("203.0.113.40", "mPrc", "");
    teams_offers(&mut shard, &ok, 2, &at_proxy("external"), &music);
    shard.next_response(100);
    let answer = shard.next_response(200).message;
    is_ours(&answer, OUTSIDE_US);
    shard.teams_says(&in_dialog(&ok, "ACK", 2, &format!("{TLS_VIA}ack2")));
    let offer = shard.next_request(Method::Invite);
    assert_eq!(offer.hop.remote.to_string(), "10.20.0.99:5061");
    is_ours(&offer.message, INSIDE_US);
    let agreed = response(&offer.message, "200 OK", "", BRANCH_CONTACT, &of_branch());
    shard.receive(branch_flow(), &agreed);
    shard.next_request(Method::Ack);
    assert!(relayed(&shard) >= 2);
    // It stays there while nothing else is said.
    teams_offers(&mut shard, &ok, 3, "", &of_client());
    shard.next_response(100);
    is_ours(&shard.next_response(200).message, OUTSIDE_US);
    shard.teams_says(&in_dialog(&ok, "ACK", 3, &format!("{TLS_VIA}ack3")));
    assert!(shard.sent.is_empty());
    let record = record(shard, &ok, teams_flow(), TLS_VIA);
    let last = record.local_media.last().expect("a decision");
    assert_eq!(
        (last.choice.side, last.choice.faced),
        (Side::External, Faced::Us)
    );
    assert!(last.moved.is_some());
}

#[test]
fn media_go_past_us_once_teams_says_so_within_the_call() {
    let (mut shard, invite) = called(&at_proxy("external"));
    let ok = response(&invite, "200 OK", "b1", BRANCH_CONTACT, &of_branch());
    shard.receive(branch_flow(), &ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    teams_offers(&mut shard, &ok, 2, &at_branch(), &of_client());
    shard.next_response(100);
    let asked = shard.next_request(Method::Invite).message;
    is_place_of(&asked, CLIENT, "cLnt");
    let agreed = response(&asked, "200 OK", "", BRANCH_CONTACT, &of_branch());
    shard.receive(branch_flow(), &agreed);
    shard.next_request(Method::Ack);
    is_place_of(&shard.next_response(200).message, BRANCH_MEDIA, "bRch");
}

#[test]
fn what_one_party_changes_is_asked_of_the_other_and_repetitions_are_not() {
    let (mut shard, ok, _) = talking();
    teams_offers(&mut shard, &ok, 2, "", &of_client());
    shard.next_response(100);
    is_place_of(&shard.next_response(200).message, BRANCH_MEDIA, "bRch");
    shard.teams_says(&in_dialog(&ok, "ACK", 2, &format!("{TLS_VIA}ack2")));
    assert!(shard.sent.is_empty(), "the branch knows it");
    let held = of_client().replace("a=sendrecv", "a=inactive");
    teams_offers(&mut shard, &ok, 3, "", &held);
    shard.next_response(100);
    let asked = shard.next_request(Method::Invite).message;
    assert!(body(&asked).contains("a=inactive"), "{}", body(&asked));
    is_place_of(&asked, CLIENT, "cLnt");
    let agreed = of_branch().replace("a=sendrecv", "a=inactive");
    let agreed = response(&asked, "200 OK", "", BRANCH_CONTACT, &agreed);
    shard.receive(branch_flow(), &agreed);
    shard.next_request(Method::Ack);
    let answer = shard.next_response(200).message;
    is_place_of(&answer, BRANCH_MEDIA, "bRch");
    assert!(body(&answer).contains("a=inactive"));
    shard.teams_says(&in_dialog(&ok, "ACK", 3, &format!("{TLS_VIA}ack3")));
    assert!(shard.sent.is_empty());
    assert_eq!(relayed(&shard), 0);
}

#[test]
fn a_party_that_refuses_to_go_past_us_stays_as_it_is() {
    let (mut shard, invite) = called(&at_proxy("external"));
    let ok = response(&invite, "200 OK", "b1", BRANCH_CONTACT, &of_branch());
    shard.receive(branch_flow(), &ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    teams_offers(&mut shard, &ok, 2, &at_branch(), &of_client());
    shard.next_response(100);
    let asked = shard.next_request(Method::Invite).message;
    shard.receive(
        branch_flow(),
        &response(&asked, "488 Not Acceptable Here", "", "", ""),
    );
    shard.next_request(Method::Ack);
    shard.next_response(488);
    shard.pass(Duration::from_secs(2));
    let offers = shard
        .sent
        .iter()
        .filter(|sent| *sent.message.method() == Method::Invite);
    let told = offers.filter(|sent| sent.message.is_request()).count();
    assert_eq!(told, 0, "both know what is in force");
}

#[test]
fn a_caller_that_names_no_place_is_offered_for_at_ours() {
    let mut shard = Shard::with(config());
    let invite = carrier_invite("past", "");
    let head = invite
        .replace(
            "SIP/2.0/UDP 198.51.100.20:5060",
            "SIP/2.0/TLS 10.20.0.99:5061",
        )
        .replace(
            "<sip:gw@198.51.100.20:5060>",
            "<sip:gw@10.20.0.99:5061;transport=tls>",
        );
    shard.receive(branch_flow(), &head);
    shard.next_response(100);
    is_ours(&shard.next_request(Method::Invite).message, INSIDE_US);
}

#[test]
fn what_cannot_go_past_us_is_found_where_it_is_written() {
    let other = |key: &str, value: &str| {
        text_with(LOCAL).replace("srtp = \"required\"", &format!("{key} = \"{value}\""))
    };
    let with = |local: &str| text_with(&format!("{{ internal = \"inside\", {local} }}"));
    let digits = "srtp = \"required\"\ndtmf = \"info\"";
    for (code, text, words) in [
        (
            Code::Contradiction,
            other("srtp", "off"),
            "no SRTP of a suite",
        ),
        (
            Code::Contradiction,
            text_with(LOCAL).replace("srtp = \"required\"", digits),
            "digits would have to be converted",
        ),
        (
            Code::Contradiction,
            with("downstream = \"branch\""),
            "downstream is for a proxy",
        ),
        (
            Code::Contradiction,
            with(&format!(
                "proxy = \"{PROXY}\", downstream = \"teams-contoso\""
            )),
            "leads to Teams as well",
        ),
        (
            Code::UnknownName,
            with(&format!("proxy = \"{PROXY}\", downstream = \"brunch\"")),
            "brunch",
        ),
    ] {
        let findings = try_load(&text).expect_err("it is refused");
        let line = text
            .lines()
            .position(|line| line.starts_with("local_media"));
        let found = findings.errors.iter().any(|own| {
            let place = own.place.as_ref().map(|place| place.line);
            own.code == code && own.cause.contains(words) && place == line.map(|at| at + 1)
        });
        assert!(found, "{words}\n{}", findings.to_text());
    }
}

#[test]
fn what_goes_past_us_is_shown_and_no_longer_warned_of() {
    let proxy = format!("{{ internal = \"inside\", proxy = \"{PROXY}\" }}");
    for (local, shown, warnings) in [(LOCAL, "branch", 0), (&*proxy, "none", 1)] {
        let (sources, loaded) = try_load(&text_with(local)).expect("it is accepted");
        let found = loaded.findings.warnings.iter();
        let found = found.filter(|own| own.code == Code::BranchMediaThroughUs);
        assert_eq!(found.count(), warnings, "{local}");
        let all = effective(&sources, &loaded);
        let mut all = all.iter();
        let trunk = all.find(|own| own.name.as_deref() == Some("teams-contoso"));
        let mut settings = trunk.expect("the trunk").settings.iter();
        let own = settings.find(|own| own.key == "local_media.past_us");
        assert_eq!(own.expect("the line").value, shown);
    }
}

#[test]
fn media_come_here_when_another_party_takes_a_place_in_the_call() {
    let (mut shard, invite) = calling();
    answered_by_teams(&mut shard, &invite, &at_branch());
    let target = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0";
    let lines = format!("REFER-TO: <{target}>\nCONTACT: <sip:api.example.com:443;x-i=1>\n");
    shard.teams_says(&callee_request(&invite, "x1", "REFER", 1, &lines));
    shard.next_response(202);
    let notify = shard.next_request(Method::Notify).message;
    shard.teams_says(&response(&notify, "200 OK", "", "", ""));
    let asked = shard.next_request(Method::Invite).message;
    let body = body(&asked);
    assert!(!body.contains(BRANCH_MEDIA), "{body}");
    shard.teams_says(&response(
        &asked,
        "200 OK",
        "z1",
        TEAMS_CONTACT,
        &of_client(),
    ));
    shard.next_request(Method::Ack);
    let told = shard.sent.iter().find(|sent| {
        sent.hop.remote.to_string().starts_with("10.") && *sent.message.method() == Method::Invite
    });
    is_ours(&told.expect("the branch is told").message, INSIDE_US);
}

#[test]
fn a_target_in_the_branch_and_the_sbc_there_are_told_of_each_other() {
    let (mut shard, invite) = calling();
    answered_by_teams(&mut shard, &invite, &at_branch());
    let target = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0";
    let lines = format!("REFER-TO: <{target}>\nCONTACT: <sip:api.example.com:443;x-i=1>\n");
    shard.teams_says(&callee_request(&invite, "x1", "REFER", 1, &lines));
    shard.next_response(202);
    let notify = shard.next_request(Method::Notify).message;
    shard.teams_says(&response(&notify, "200 OK", "", "", ""));
    let asked = shard.next_request(Method::Invite).message;
    is_ours(&asked, INSIDE_US);
    let contact = format!("{TEAMS_CONTACT}{}", at_branch());
    let elsewhere = of_client().replace(CLIENT, OTHER_CLIENT);
    shard.teams_says(&response(&asked, "200 OK", "z1", &contact, &elsewhere));
    shard.next_request(Method::Ack);
    let notify = shard.next_request(Method::Notify).message;
    shard.teams_says(&response(&notify, "200 OK", "", "", ""));
    let mut told = Vec::new();
    for _ in 0..4 {
        let is_offer =
            |sent: &Sent| sent.message.is_request() && *sent.message.method() == Method::Invite;
        let Some(at) = shard.sent.iter().position(is_offer) else {
            break;
        };
        let offer = shard.sent.remove(at).expect("there").message;
        let is_branch = header(&offer, HeaderName::CallId) != header(&asked, HeaderName::CallId);
        match is_branch {
            true => {
                is_told_of(&offer, OTHER_CLIENT, "cLnt");
                let ok = response(&offer, "200 OK", "", BRANCH_CONTACT, &of_branch());
                shard.receive(branch_flow(), &ok);
            }
            false => {
                is_told_of(&offer, BRANCH_MEDIA, "bRch");
                shard.teams_says(&response(&offer, "200 OK", "", TEAMS_CONTACT, &elsewhere));
            }
        }
        let is_ack = |sent: &Sent| *sent.message.method() == Method::Ack;
        let ack = shard.sent.iter().position(is_ack).expect("an ACK");
        shard.sent.remove(ack);
        told.push(is_branch);
        shard.pass(Duration::from_secs(1));
    }
    told.sort_unstable();
    assert_eq!(told, [false, true], "each once");
}
