//! Calls over a Teams trunk with media bypass: what both sides are told of ICE, and the relay.

use crate::world;

use media_api::{Command, IceCredentials, IceTerms, Stage};
use sbc_core::config::{Assumed, Code, Source, load};
use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const TLS_VIA: &str = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK";

fn config() -> String {
    CONFIG.replace(
        "fqdn = \"sbc1.contoso.example\"\n",
        "fqdn = \"sbc1.contoso.example\"\nmedia_bypass = true\n",
    )
}

/// A description of a client that makes checks, or of a media processor without candidates.
fn teams_sdp(fragment: Option<&str>) -> String {
    let Some(fragment) = fragment else {
        return TEAMS_SDP.to_owned();
    };
    let ice = format!(
        "a=rtcp-mux\na=ice-ufrag:{fragment}\na=ice-pwd:yT0lqQrFg8jBqJ0pW3c{fragment}\n\
         a=candidate:1 1 UDP 2130706431 198.51.100.77 50010 typ host\n"
    );
    TEAMS_SDP.replace("a=rtcp-mux\n", &ice)
}

fn value(message: &Message, name: &str) -> String {
    let body = body(message);
    let prefix = format!("a={name}:");
    let mut lines = body.lines().filter_map(|line| line.strip_prefix(&prefix));
    let only = lines.next().unwrap_or_else(|| panic!("{name} in\n{body}"));
    assert_eq!(lines.next(), None, "one {name} in\n{body}");
    only.to_owned()
}

/// What a description of ours says of our agent: fragment and password, with one candidate that is
/// where the media is.
fn agent(message: &Message) -> (String, String) {
    let body = body(message);
    let line = body.lines().find(|line| line.starts_with("m=audio "));
    let port = line.expect("audio").split(' ').nth(1).expect("a port");
    assert_eq!(
        value(message, "candidate"),
        format!("1 1 UDP 2130706431 192.0.2.10 {port} typ host")
    );
    let lite = body.find("a=ice-lite\r\n").expect("a lite agent");
    assert!(
        lite < body.find("m=audio").expect("audio"),
        "of the session"
    );
    (value(message, "ice-ufrag"), value(message, "ice-pwd"))
}

fn has_ice(message: &Message) -> bool {
    let body = body(message);
    body.contains("ice-") || body.contains("candidate")
}

fn said(credentials: &IceCredentials) -> (String, String) {
    let (fragment, password) = (credentials.fragment(), credentials.expose_password());
    (fragment.to_owned(), password.to_owned())
}

/// What the relay was told last of an exchange with Teams.
fn told(shard: &Shard) -> (Stage, Option<IceTerms>) {
    let of_teams = shard.media.iter().rev().find_map(|command| {
        let Command::Answer {
            negotiated, stage, ..
        } = command
        else {
            return None;
        };
        let stream = negotiated.streams.first()?.as_ref()?;
        let is_teams = stream.protection != media_api::Protection::None;
        is_teams.then(|| (*stage, stream.ice.as_deref().cloned()))
    });
    of_teams.expect("an answer")
}

/// Whose checks the relay answers from the beginning.
fn served(shard: &Shard) -> Vec<(String, String)> {
    let asked = shard.asked().into_iter();
    let specs = asked.flat_map(|command| match command {
        Command::Allocate { endpoints, .. } => endpoints,
        _ => Vec::new(),
    });
    specs
        .filter_map(|spec| spec.streams.first()?.ice.as_ref().map(said))
        .collect()
}

/// A call of Teams over the bypass trunk that the carrier has been asked for.
fn called_by_teams(fragment: Option<&str>) -> (Shard, Message) {
    let mut shard = Shard::with(config_of(&config()));
    let head = teams_invite("bypass");
    let head = head.split("Content-Type").next().expect("its head");
    shard.teams_says(&with_body(head, &teams_sdp(fragment)));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

/// A call of the carrier that has reached Teams, and our INVITE.
fn calling_teams() -> (Shard, Message) {
    let mut shard = Shard::with(config_of(&config()));
    shard.carrier_says(&carrier_invite("bypass", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

#[test]
fn a_call_of_teams_gets_one_agent_that_is_the_same_early_and_in_the_answer() {
    let (mut shard, invite) = called_by_teams(Some("FyL2"));
    assert!(!has_ice(&invite), "nothing of it is the carrier's business");
    let early = response(
        &invite,
        "183 Session Progress",
        "b1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    );
    shard.carrier_says(&early);
    let progress = shard.next_response(183).message;
    let ours = agent(&progress);
    assert_eq!(served(&shard), std::slice::from_ref(&ours));
    let (stage, terms) = told(&shard);
    let terms = terms.expect("checks");
    assert_eq!((stage, said(&terms.local)), (Stage::Preview, ours.clone()));
    assert_eq!(terms.remote_fragment, "FyL2");
    assert_eq!(terms.candidates.len(), 1);
    let answer = response(&invite, "200 OK", "b1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(ok.body(), progress.body());
    let (stage, terms) = told(&shard);
    assert_eq!(stage, Stage::Final);
    assert_eq!(said(&terms.expect("checks").local), ours);
    // Media shows whether the call lives, nothing else does (TDR-ICE-014).
    assert_eq!(ok.raw(HeaderName::SessionExpires), None);
}

#[test]
fn a_call_to_teams_offers_one_agent_and_takes_whatever_answers() {
    for fragment in [Some("h6vY"), None] {
        let (mut shard, invite) = calling_teams();
        let ours = agent(&invite);
        assert_eq!(served(&shard), std::slice::from_ref(&ours));
        assert_eq!(invite.raw(HeaderName::SessionExpires), None);
        assert!(!header(&invite, HeaderName::Supported).contains("timer"));
        let sdp = teams_sdp(fragment);
        shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, &sdp));
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        assert!(!has_ice(&ok), "nothing of it is the carrier's business");
        let (_, terms) = told(&shard);
        match fragment {
            None => assert_eq!(terms, None),
            Some(fragment) => {
                let terms = terms.expect("checks");
                assert_eq!(terms.remote_fragment, fragment);
                assert_eq!(said(&terms.local), ours);
            }
        }
    }
}

#[test]
fn forks_are_told_to_the_relay_each_with_its_own_fragment_and_ours_for_all() {
    let (mut shard, invite) = calling_teams();
    let ours = agent(&invite);
    for (tag, fragment) in [("x1", "one1"), ("x2", "two2")] {
        let sdp = teams_sdp(Some(fragment));
        let start = "183 Session Progress";
        shard.teams_says(&response(&invite, start, tag, TEAMS_CONTACT, &sdp));
        let (stage, terms) = told(&shard);
        let terms = terms.expect("checks");
        assert_eq!(stage, Stage::Preview);
        assert_eq!(terms.remote_fragment, fragment);
        assert_eq!(said(&terms.local), ours);
        shard.pass(Duration::from_secs(2));
    }
    let sdp = teams_sdp(Some("one1"));
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, &sdp));
    let (stage, terms) = told(&shard);
    assert_eq!(stage, Stage::Final);
    assert_eq!(terms.expect("checks").remote_fragment, "one1");
}

/// A call of Teams that the carrier has answered: the shard, our 200, and what it says of our agent.
fn talking() -> (Shard, Message, (String, String)) {
    let (mut shard, invite) = called_by_teams(Some("FyL2"));
    let answer = response(&invite, "200 OK", "b1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    assert!(shard.sent.is_empty());
    let ours = agent(&ok);
    (shard, ok, ours)
}

/// A re-INVITE of Teams with this description; our answer.
fn offers(shard: &mut Shard, ok: &Message, cseq: u32, sdp: &str) -> Message {
    let via = format!("{TLS_VIA}{cseq}");
    let bare = in_dialog(ok, "INVITE", cseq, &via);
    let contact = "Contact: <sip:api.example.com:443;x-i=1;x-c=2>\n";
    let head = bare.replace("Content-Length: 0\n\n", contact);
    shard.teams_says(&with_body(&head, sdp));
    let answer = loop {
        let sent = shard.next();
        match sent.message.status().map(|status| status.code()) {
            Some(100) => {}
            Some(200) => break sent.message,
            other => panic!("{other:?}: {}", text(&sent)),
        }
    };
    let ack = in_dialog(ok, "ACK", cseq, &format!("{TLS_VIA}ack{cseq}"));
    shard.teams_says(&ack);
    answer
}

#[test]
fn naming_the_chosen_pair_and_a_hold_are_no_restart() {
    let (mut shard, ok, ours) = talking();
    let chosen = teams_sdp(Some("FyL2")).replace(
        "a=rtcp-mux\n",
        "a=rtcp-mux\na=remote-candidates:1 192.0.2.10 40002\n",
    );
    let held = chosen.replace("a=sendrecv", "a=inactive");
    for (cseq, sdp) in (2..).zip([&chosen, &held, &chosen]) {
        let answer = offers(&mut shard, &ok, cseq, sdp);
        assert_eq!(agent(&answer), ours);
        let (_, terms) = told(&shard);
        assert_eq!(said(&terms.expect("checks").local), ours);
        // The carrier hears of the hold, and answers.
        while let Some(sent) = shard.sent.pop_front() {
            let is_offer = sent.message.is_request() && *sent.message.method() == Method::Invite;
            if is_offer {
                let answer = response(&sent.message, "200 OK", "", CARRIER_CONTACT, CARRIER_SDP);
                shard.carrier_says(&answer);
            }
        }
        shard.pass(Duration::from_secs(5));
    }
}

#[test]
fn a_restart_of_teams_gets_other_credentials_of_ours_and_so_does_the_next_one() {
    let (mut shard, ok, ours) = talking();
    let mut known = vec![ours];
    for (cseq, fragment) in (2..).zip(["mixr", "back"]) {
        let answer = offers(&mut shard, &ok, cseq, &teams_sdp(Some(fragment)));
        let now = agent(&answer);
        assert!(
            known
                .iter()
                .all(|(own, password)| *own != now.0 && *password != now.1),
            "both are new"
        );
        let (stage, terms) = told(&shard);
        let terms = terms.expect("checks");
        assert_eq!(stage, Stage::Final);
        assert_eq!(terms.remote_fragment, fragment);
        assert_eq!(said(&terms.local), now);
        known.push(now);
    }
    // A media processor without checks gets none of it (TDR-ICE-012).
    let answer = offers(&mut shard, &ok, 4, &teams_sdp(None));
    assert!(!has_ice(&answer));
    assert_eq!(told(&shard).1, None);
}

#[test]
fn who_begins_anew_with_another_key_gets_another_key_of_ours() {
    let (mut shard, ok, _) = talking();
    let first = value(
        &offers(&mut shard, &ok, 2, &teams_sdp(Some("mixr"))),
        "crypto",
    );
    // The key that Teams had before the restart: nobody new (TDR-MED-008).
    let by_another = |fragment| teams_sdp(Some(fragment)).replace("inline:MTIz", "inline:OTIz");
    let second = value(&offers(&mut shard, &ok, 3, &by_another("back")), "crypto");
    assert_ne!(second, first);
    // Described once more, and moved with its key: it is who it was.
    for (cseq, fragment) in [(4, "back"), (5, "more")] {
        let again = value(
            &offers(&mut shard, &ok, cseq, &by_another(fragment)),
            "crypto",
        );
        assert_eq!(again, second);
    }
}

#[test]
fn offers_of_ours_within_the_call_have_the_same_agent() {
    let (mut shard, invite) = calling_teams();
    let ours = agent(&invite);
    let sdp = teams_sdp(Some("h6vY"));
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, &sdp));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK";
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{via}ack")));
    let held = CARRIER_SDP.replace("a=sendrecv", "a=sendonly");
    let bare = in_dialog(&ok, "INVITE", 11, &format!("{via}hold"));
    let head = bare.replace("Content-Length: 0\n\n", CARRIER_CONTACT);
    shard.carrier_says(&with_body(&head, &held));
    let mut offer = None;
    while let Some(sent) = shard.sent.pop_front() {
        if sent.message.is_request() && *sent.message.method() == Method::Invite {
            offer = Some(sent.message);
        }
    }
    let offer = offer.expect("Teams is told of the hold");
    assert!(body(&offer).contains("a=inactive"));
    assert_eq!(agent(&offer), ours);
}

#[test]
fn the_target_of_a_transfer_is_offered_an_agent_of_its_own() {
    let mut call = Call::with(&config());
    let first = agent(&call.invite);
    let refer = "REFER-TO: <sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0a>\n\
                 REFERRED-BY: <sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:0b>\n\
                 CONTACT: <sip:api.example.com:443;x-i=1>\n";
    call.teams_says("REFER", 1, refer);
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .teams_says(&response(&notify, "200 OK", "", "", ""));
    let invite = call.shard.next_request(Method::Invite).message;
    let second = agent(&invite);
    assert!(second.0 != first.0 && second.1 != first.1);
    let sdp = teams_sdp(Some("trgt"));
    let answer = response(&invite, "200 OK", "z1", TEAMS_CONTACT, &sdp);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    let (stage, terms) = told(&call.shard);
    let terms = terms.expect("checks");
    assert_eq!(stage, Stage::Final);
    assert_eq!(
        (said(&terms.local), terms.remote_fragment.as_str()),
        (second, "trgt")
    );
}

/// Codes of what is found in this configuration, which is accepted.
fn found(text: &str) -> Vec<Code> {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let loaded = load(&[Source::new("test.toml", text)], &facts, None).expect("no errors");
    let warnings = loaded.findings.warnings.into_iter();
    warnings.map(|finding| finding.code).collect()
}

#[test]
fn a_private_address_is_warned_of_unless_a_public_one_is_told_instead() {
    let public = config();
    assert!(!found(&public).contains(&Code::PrivateCandidate));
    let private = public.replace("\"192.0.2.10\"", "\"10.1.2.3\"");
    assert!(found(&private).contains(&Code::PrivateCandidate));
    let address = "addresses = [\"10.1.2.3\"]\n";
    let told = format!("{address}advertise = {{ v4 = \"192.0.2.10\" }}\n");
    let behind = private.replace(address, &told);
    assert!(!found(&behind).contains(&Code::PrivateCandidate));
}

/// A call of the carrier that a client of Teams with this fragment has answered: our INVITE, and our 200.
fn up_with(shard: &mut Shard, call_id: &str, tag: &str, fragment: &str) -> (Message, Message) {
    shard.carrier_says(&carrier_invite(call_id, CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let sdp = teams_sdp(Some(fragment));
    shard.teams_says(&response(&invite, "200 OK", tag, TEAMS_CONTACT, &sdp));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack{call_id}")));
    (invite, ok)
}

/// Carries every letter to where it goes.
fn post(shards: &mut [Shard]) {
    for _ in 0..20 {
        for from in 0..shards.len() {
            while let Some((to, letter)) = shards[from].letters.pop_front() {
                shards[usize::from(to.0)].apply(Input::Letter(letter));
            }
        }
    }
}

/// The carrier joins its two calls with clients of Teams (REFER with Replaces). The client that goes over to
/// the first call gets another address of ours, so its agent begins anew with ours (RFC 8839 §4.4.1.1.1).
fn handed_over(shards: &mut [Shard], answer: Option<&str>) {
    let last = shards.len() - 1;
    let (_, first) = up_with(&mut shards[0], "first", "y1", "One1");
    let (invite, second) = up_with(&mut shards[last], "second", "z1", "Two2");
    let before = agent(&invite);
    let ours = header(&second, HeaderName::To);
    let ours = ours.split(";tag=").nth(1).expect("a tag");
    let line = format!(
        "Refer-To: <sip:+88216123456@192.0.2.11?Replaces=second%3Bto-tag%3D{ours}%3Bfrom-tag%3Dc1>\n"
    );
    let refer = in_dialog(&first, "REFER", 11, &format!("{VIA}refer"));
    let refer = refer.replace(
        "Content-Length: 0\n\n",
        &format!("{line}Content-Length: 0\n\n"),
    );
    shards[0].carrier_says(&refer);
    shards[0].next_response(202);
    let notify = shards[0].next_request(Method::Notify).message;
    shards[0].carrier_says(&response(&notify, "200 OK", "", "", ""));
    post(shards);
    let bye = shards[last].next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "second");
    shards[last].carrier_says(&response(&bye, "200 OK", "", "", ""));

    let again = shards[0].next_request(Method::Invite).message;
    let id = header(&again, HeaderName::CallId);
    assert_eq!(
        id,
        header(&invite, HeaderName::CallId),
        "the client's dialog"
    );
    let after = agent(&again);
    assert!(
        before.0 != after.0 && before.1 != after.1,
        "a restart has both anew"
    );
    assert!(
        served(&shards[0]).contains(&after),
        "the relay knows before the client"
    );
    let sdp = teams_sdp(answer);
    shards[0].teams_says(&response(&again, "200 OK", "", TEAMS_CONTACT, &sdp));
    shards[0].next_request(Method::Ack);
    let (stage, terms) = told(&shards[0]);
    assert_eq!(stage, Stage::Final);
    let agreed = terms.map(|terms| (said(&terms.local), terms.remote_fragment));
    assert_eq!(agreed, answer.map(|fragment| (after, fragment.to_owned())));
    let notify = shards[0].next_request(Method::Notify).message;
    assert_eq!(notify.body(), "SIP/2.0 200 OK\r\n");
}

#[test]
fn a_client_that_is_handed_over_begins_anew_with_our_agent_there() {
    for answer in [Some("New3"), None] {
        handed_over(&mut [Shard::with(config_of(&config()))], answer);
    }
}

#[test]
fn a_client_that_is_handed_over_to_another_shard_begins_anew_there() {
    for answer in [Some("New3"), None] {
        let shard = |n| Shard::one_of(config_of(&config()), ShardId(n), 2);
        handed_over(&mut [shard(0), shard(1)], answer);
    }
}
