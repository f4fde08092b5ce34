//! What Teams is told before a call is one: who we are, and why it is refused (TDR-OPT-011, Annex B of our Teams
//! requirements).

use crate::world;

use sbc_core::id::{CommandId, FlowId};
use sbc_core::input::{Command, Input};
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::Flow;
use world::call::header;
use world::*;

/// Who we are.
const NAME: &str = "Causeway/SBC/0.1.0";

fn says_who(message: &Message) {
    let name = message.raw_named("X-MS-SBC").expect("X-MS-SBC");
    assert_eq!(name, NAME, "{message:?}");
}

/// Microsoft asks for the make in `User-Agent` and `Server`, too; nobody else is told of it by themselves.
#[test]
fn teams_is_told_of_our_make_where_no_user_agent_is_written_and_a_carrier_is_not() {
    let said = |written: &str| {
        let own = CONFIG.replacen("user_agent = \"Causeway\"", written, 1);
        let mut shard = Shard::with(config_of(&own));
        shard.teams_says(&teams_invite("call"));
        let trying = shard.next_response(100).message;
        let invite = shard.next_request(Method::Invite).message;
        let made = |message: &Message, name| {
            let value = message.raw(&name)?;
            Some(String::from_utf8_lossy(&value).into_owned())
        };
        let to_teams = made(&trying, HeaderName::Server);
        shard.sent.clear();
        shard.apply(Input::Config(config_of(&own)));
        shard.pass(std::time::Duration::from_secs(5));
        let options = shard.sent.iter().find(|sent| {
            let head = text(sent);
            head.starts_with("OPTIONS sip:sip.pstnhub.microsoft.com")
        });
        let options = made(&options.expect("OPTIONS").message, HeaderName::UserAgent);
        assert_eq!(to_teams, options);
        (options, made(&invite, HeaderName::UserAgent))
    };
    assert_eq!(said(""), (Some("Causeway/0.1.0".to_owned()), None));
    assert_eq!(said("user_agent = \"\""), (None, None));
    let own = Some("Own/1".to_owned());
    assert_eq!(said("user_agent = \"Own/1\""), (own.clone(), own));
}

fn cause(message: &Message) -> String {
    header(message, HeaderName::Reason)
}

#[test]
fn every_message_to_teams_says_who_we_are() {
    let mut shard = Shard::new();
    let invite = teams_invite("call");
    shard.teams_says(&invite);
    says_who(&shard.next_response(100).message);
    let first = shard.next_request(Method::Invite).message;
    // Nobody else is told.
    assert!(first.raw_named("X-MS-SBC").is_none());
    let merged = invite.replace("branch=z9hG4bKcall", "branch=z9hG4bKother");
    shard.teams_says(&merged);
    let refused = shard.next_response(482).message;
    says_who(&refused);
    assert_eq!(cause(&refused), "Q.850;cause=25");
    let cancel = invite
        .replace("INVITE sip", "CANCEL sip")
        .replace("CSEQ: 1 INVITE", "CSEQ: 1 CANCEL");
    let cancel = cancel.split("Content-Type").next().expect("a head");
    shard.teams_says(&format!("{cancel}Content-Length: 0\n\n"));
    says_who(&shard.next_response(200).message);
    shard.sent.clear();
    let cancel = cancel.replace("call", "unknown");
    shard.teams_says(&format!("{cancel}Content-Length: 0\n\n"));
    says_who(&shard.next_response(481).message);
    // Our own requests that belong to an INVITE.
    let (mut shard, invite) = called_out("out");
    let ringing = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    shard.next_response(180);
    shard.carrier_says(&carrier_cancel("out"));
    let sent: Vec<Message> = shard.sent.drain(..).map(|sent| sent.message).collect();
    let cancel = sent.iter().find(|own| own.is_request());
    says_who(cancel.expect("a CANCEL"));
    let over = response(&invite.message, "487 Request Terminated", "x1", "", "");
    shard.teams_says(&over);
    says_who(&shard.next_request(Method::Ack).message);
}

#[test]
fn whoever_is_refused_without_a_call_hears_why_in_terms_of_q850() {
    let mut shard = Shard::new();
    // A name that is nobody's, without a transaction.
    let unknown = teams_invite("a").replacen("sbc1.contoso.example", "sbc9.contoso.example", 1);
    shard.teams_says(&unknown);
    let refused = shard.next_response(404).message;
    says_who(&refused);
    assert_eq!(cause(&refused), "Q.850;cause=1");
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    shard.teams_says(&teams_invite("b"));
    let refused = shard.next_response(503).message;
    says_who(&refused);
    assert_eq!(cause(&refused), "Q.850;cause=41");
    // A carrier is told as before.
    shard.carrier_says(&carrier_invite("c", CARRIER_SDP));
    assert_eq!(cause(&shard.next_response(503).message), "");
}

#[test]
fn teams_is_told_503_instead_of_every_5xx_that_it_does_not_document() {
    for (said, reason, told) in [
        ("500 Error", "", 503),
        ("501 Not Implemented", "", 503),
        ("502 Bad Gateway", "", 503),
        ("504 Time-out", "", 504),
        ("505 Version", "", 503),
        ("513 Too Large", "", 503),
        ("580 Precondition", "", 503),
        ("555 Push", "", 503),
        ("500 Error", "Reason: Q.850;cause=127\n", 503),
        ("500 Error", "Reason: Q.850;cause=17\n", 486),
        ("500 Error", "Reason: Q.850;cause=27\n", 502),
    ] {
        let (mut shard, mut invite) = called_in(CONFIG, "call");
        loop {
            let remote = invite.hop.remote;
            let refusal = response(&invite.message, said, "x", reason, "");
            shard.receive(
                Flow {
                    remote,
                    ..carrier_flow()
                },
                &refusal,
            );
            shard.next_request(Method::Ack);
            let next = shard.next();
            match next.message.status() {
                Some(status) => {
                    assert_eq!(status.code(), told, "{said} {reason}");
                    break;
                }
                None => invite = next,
            }
        }
    }
}

/// The call of [`teams_invite`] as another data centre sends it, over a connection of its own.
fn again(shard: &mut Shard, flow: u64, branch: &str) {
    let flow = Flow {
        id: FlowId(flow),
        ..teams_flow()
    };
    let invite = teams_invite("call").replace("branch=z9hG4bKcall", &format!("branch={branch}"));
    shard.receive(flow, &invite);
}

#[test]
fn a_call_that_was_refused_may_come_again_and_one_that_lives_may_not() {
    let (mut shard, invite) =
        called_in(&CONFIG.replace(", \"198.51.100.21:5060;udp\"", ""), "call");
    let busy = response(&invite.message, "486 Busy Here", "x", "", "");
    shard.carrier_says(&busy);
    shard.next_request(Method::Ack);
    shard.next_response(486);
    // Its sender has lost our answer: over the same transaction it hears it again, where it asks.
    again(&mut shard, 8, "z9hG4bKcall");
    assert_eq!(shard.next_response(486).hop.flow, Some(FlowId(8)));
    // As another transaction it is tried once more.
    again(&mut shard, 9, "z9hG4bKsecond");
    shard.next_response(100);
    let second = shard.next_request(Method::Invite);
    again(&mut shard, 10, "z9hG4bKthird");
    assert_eq!(shard.next_response(482).hop.flow, Some(FlowId(10)));
    let ok = response(&second.message, "200 OK", "x", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&ok);
    shard.next_request(Method::Ack);
    shard.next_response(200);
    again(&mut shard, 11, "z9hG4bKfourth");
    shard.next_response(482);
}
