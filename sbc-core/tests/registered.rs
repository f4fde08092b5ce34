//! Peers that register with us, in calls with others: what they may reach, and what is told of them.

use crate::registrar::{
    How, RIGHT, Register, USUAL, call_of_pbx, challenged, contacts, credentials, registers,
    started, status, udp, with_line, with_pbx,
};
use crate::world::call::header;
use crate::world::*;
use sbc_core::auth::Password;
use sbc_core::config::{Assumed, Code, Config, Source, load};
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Method};
use std::sync::Arc;
use std::time::Duration;

/// The exchange of another customer, which may come from the same addresses.
const STRANGER: &str = "[[tenant]]
name = \"fabrikam\"
numbers = [\"+493077700000-+493077700999\"]

[[trunk]]
name = \"pbx2\"
tenant = \"fabrikam\"
realm = \"carrier\"
accept_from = [\"198.51.100.128/25\"]
codecs = [\"PCMA\", \"PCMU\"]
mode = \"registrar\"
authenticate = { username = \"pbx2\", password = { credential = \"pbx2\" }, realm = \"sip.example.com\" }
registrar = { aor = \"sip:pbx2@sip.example.com\" }

";

/// SIP-1400: a customer of an exchange alone has users, too.
#[test]
fn an_operator_is_asked_by_which_numbers_users_of_an_exchange_call_for_help() {
    let asked = |list: &str| {
        let route = "[[route]]\nname = \"to-pbx\"\n";
        let stranger = STRANGER.replace("numbers = ", &format!("{list}numbers = "));
        let text = with_pbx("", "").replace(route, &format!("{stranger}{route}"));
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let loaded = load(&[Source::new("test.toml", &text)], &facts, None);
        let warnings = loaded.map(|own| own.findings.warnings);
        let warnings = warnings.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        let mut asked = warnings.iter().filter(|own| own.code == Code::NoEmergency);
        asked.any(|own| own.cause.contains("fabrikam"))
    };
    assert!(asked(""));
    assert!(!asked("emergency = [\"112\"]\n"));
    assert!(!asked("emergency = []\n"));
}

#[test]
fn the_password_of_one_customer_transfers_no_call_of_another_from_the_same_network() {
    let route = "[[route]]\nname = \"to-pbx\"\n";
    let config = with_pbx("", "").replace(route, &format!("{STRANGER}{route}"));
    let mut shard = started(&config);
    let ok = call_of_pbx(&mut shard);
    let to = header(&ok, HeaderName::To);
    let tag = to.split(";tag=").nth(1).expect("a tag");
    let refer = |id: &str| {
        format!(
            "REFER sip:+493023125456@192.0.2.11:5060 SIP/2.0
Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{id};rport
Max-Forwards: 69
From: <sip:pbx2@sip.example.com>;tag=r1
To: <sip:+493023125456@192.0.2.11>
Call-ID: outside
CSeq: 1 REFER
Refer-To: <sip:+493023125999@192.0.2.11>
Contact: <sip:pbx2@10.0.0.9:5060>
Target-Dialog: up;local-tag=c1;remote-tag={tag}
Content-Length: 0

"
        )
    };
    let challenge = challenged(&mut shard, &udp(), &refer("one"), 401);
    let how = How {
        username: "pbx2",
        ..RIGHT
    };
    let text = refer("two");
    let line = credentials(&text, &challenge, &how);
    shard.receive(udp(), &with_line(&text, &line));
    shard.next_response(481);
    assert!(shard.sent.is_empty());
}

#[test]
fn who_answers_at_a_registered_contact_is_told_as_anybody_is() {
    // Calls of the carrier go to the exchange.
    let config = with_pbx("", "")
        .replace("name = \"pbx\"\n", "name = \"pbx\"\ntrusted = true\n")
        .replace(
            "preset = \"carrier\"\n",
            "preset = \"carrier\"\ntrusted = true\n",
        )
        .replace(
            "match = { called_in = \"tenant:contoso\", from_trunk = \"carrier-a\" }\n\
             to = [{ trunk = \"teams-contoso\" }]",
            "match = { from_trunk = \"carrier-a\" }\nto = [{ trunk = \"pbx\" }]",
        );
    let mut shard = started(&config);
    registers(&mut shard, &udp(), &USUAL);
    shard.carrier_says(&carrier_invite("in", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let lines = "Contact: <sip:line7@10.0.0.7:5060>\n\
                 P-Asserted-Identity: <sip:+498999998777@sip.example.com>\n";
    let answer = response(&invite, "200 OK", "x1", lines, CARRIER_SDP);
    shard.receive(udp(), &answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let told = header(&ok, HeaderName::PAssertedIdentity);
    assert!(told.contains("+498999998777"), "{told:?}");
}

#[test]
fn a_new_contact_may_be_written_before_the_one_that_it_replaces() {
    let mut shard = started(&with_pbx("", ", contacts = 1"));
    registers(&mut shard, &udp(), &USUAL);
    let both = "Contact: <sip:line7@10.0.0.9:5060>\n\
                Contact: <sip:line7@10.0.0.7:5060>;expires=0\n";
    let moved = Register {
        cseq: 5,
        contacts: both,
        ..USUAL
    };
    let ok = registers(&mut shard, &udp(), &moved);
    assert_eq!(
        contacts(&ok),
        [("sip:line7@10.0.0.9:5060".to_owned(), 3_600)]
    );
    let more = Register {
        cseq: 9,
        contacts: "Contact: <sip:line7@10.0.0.11:5060>\n",
        ..USUAL
    };
    assert_eq!(status(&registers(&mut shard, &udp(), &more)), 403);
}

/// What was told of the bindings at last.
fn told(shard: &Shard) -> (usize, String) {
    let mut all = shard.happened.iter().rev();
    let last = all.find_map(|what| match what {
        Happened::Bindings { bound, because, .. } => Some((bound.bindings.len(), because.clone())),
        _ => None,
    });
    last.expect("something was told")
}

#[test]
fn another_password_or_network_in_a_reload_ends_what_was_registered_before() {
    let text = with_pbx("", "");
    let password = "{ credential = \"pbx\" }";
    let network = "accept_from = [\"198.51.100.128/25\"]";
    let changes = [
        (text.clone(), None),
        (
            text.replace("\"PCMA\", \"PCMU\"", "\"PCMU\", \"PCMA\""),
            None,
        ),
        (
            text.replace(
                network,
                "accept_from = [\"198.51.100.128/25\", \"203.0.113.64/26\"]",
            ),
            None,
        ),
        (
            text.replace(network, "accept_from = [\"198.51.100.128/26\"]"),
            Some("the trunk does not accept where it came from any more"),
        ),
        (
            text.replace("username = \"pbx1\"", "username = \"pbx9\""),
            Some("the trunk has another account: its peer has to register anew"),
        ),
    ];
    for (changed, why) in changes {
        let mut shard = started(&text);
        registers(&mut shard, &udp(), &USUAL);
        shard.apply(Input::Config(config_of(&changed)));
        assert_eq!(shard.core.census().bindings, usize::from(why.is_none()));
        if let Some(why) = why {
            assert_eq!(told(&shard), (0, why.to_owned()));
        }
    }
    // The secret is what it is about, not where it lies.
    let other = |password: &[u8]| {
        let mut config = Config::clone(&config_of(&text));
        let name = config.trunks.keys().find(|name| name.as_str() == "pbx");
        let name = name.cloned().expect("a trunk");
        let trunk = Arc::make_mut(config.trunks.get_mut(&name).expect("a trunk"));
        let own = trunk.authenticate.as_mut().expect("an account");
        own.account.password = Password::new(password.to_vec());
        Arc::new(config)
    };
    assert!(text.contains(password));
    for (octets, left) in [(&b"assumed"[..], 1), (b"changed", 0)] {
        let mut shard = started(&text);
        registers(&mut shard, &udp(), &USUAL);
        shard.apply(Input::Config(other(octets)));
        assert_eq!(shard.core.census().bindings, left);
    }
}

#[test]
fn a_password_in_a_contact_is_kept_for_the_peer_and_told_to_nobody() {
    let contact = Register {
        contacts: "Contact: <sip:line7:geheim@10.0.0.7:5060>;expires=120\n",
        ..USUAL
    };
    let mut shard = started(&with_pbx("", ""));
    let ok = registers(&mut shard, &udp(), &contact);
    assert_eq!(contacts(&ok)[0].0, "sip:line7:geheim@10.0.0.7:5060");
    shard.pass(Duration::from_secs(121));
    let gone = (0, "sip:line7@10.0.0.7:5060 ran out".to_owned());
    assert_eq!(told(&shard), gone);
}
