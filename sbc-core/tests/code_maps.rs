//! Statuses and Q.850 causes on their way from one party to the other: every one that there is, both ways
//! (SIP-1200, SIP-1201, §5.2). What holds for all of them is asserted; single values stand in other tests.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, Config, ReasonForm, Source, Trunk, load};
use sbc_core::id::{CommandId, TrunkName};
use sbc_core::input::{Answered, Command, Input};
use sbc_core::policy::response::{
    Failure, mapped_warned, of_cause, q850_of, reasons_for_teardown, status_of, tries_next,
};
use sbc_core::sip::header::{Header, Reason};
use sbc_core::sip::{HeaderName, Message, Method, Status};
use std::sync::Arc;
use world::call::{Call, header};
use world::*;

/// What a user or a number is the reason of: nobody tries another way for these (SIP-1201).
const OF_USERS: [u8; 8] = [1, 16, 17, 18, 19, 21, 22, 28];
/// What the network is the reason of, and another way may be free.
const OF_NETWORKS: [u8; 5] = [34, 38, 41, 42, 47];
/// What is passed as it came (§5.2).
const AS_IS: [u16; 11] = [404, 408, 410, 480, 484, 486, 488, 600, 603, 604, 606];
/// What makes Teams try its next data centre or SBC.
const TRIED_AGAIN: [u16; 3] = [408, 503, 504];

fn statuses() -> impl Iterator<Item = Status> {
    (300..=699).filter_map(Status::new)
}

/// The text of every preset: its trunk, and whether it is Teams.
fn trunks() -> Vec<(bool, Trunk)> {
    let of = |config: Arc<Config>, name: &str| Trunk::clone(&config.trunks[&TrunkName::new(name)]);
    let connected = CONFIG.replace("preset = \"carrier\"", "preset = \"sipconnect\"");
    vec![
        (true, of(config(), "teams-contoso")),
        (false, of(config(), "carrier-a")),
        (false, of(config_of(&connected), "carrier-a")),
    ]
}

#[test]
fn every_status_with_every_cause_becomes_one_that_may_be_told_there() {
    let mut count = 0;
    for (is_teams, trunk) in trunks() {
        for form in [ReasonForm::Q850, ReasonForm::Pass, ReasonForm::None] {
            let mut trunk = trunk.clone();
            trunk.habits.reason = form;
            for status in statuses() {
                for cause in 0..=127 {
                    // 0 is none.
                    let given = (cause > 0).then_some(cause);
                    told(is_teams, &trunk, status, given);
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 3 * 3 * 400 * 128);
}

fn told(is_teams: bool, trunk: &Trunk, status: Status, given: Option<u8>) {
    let reasons: Vec<Reason> = given
        .map(|cause| Reason::q850(cause, None))
        .into_iter()
        .collect();
    for (warning, has_progress) in [(None, true), (Some(304), true), (Some(370), false)] {
        let told = mapped_warned(
            Failure::Status(status),
            &reasons,
            warning,
            has_progress,
            trunk,
        );
        let told = told.value;
        let (from, to) = (status.code(), told.status.code());
        let what = format!(
            "{from} with {given:?}, {warning:?}: {} gets {to}",
            trunk.name
        );
        assert!((400..=699).contains(&to), "{what}: no failure");
        assert!(told.status.is_registered(), "{what}: nobody knows it");
        // Questions to us, and what is about one transaction of ours.
        assert!(![401, 407, 422, 487, 491].contains(&to), "{what}");
        match is_teams {
            true => {
                assert!(
                    ![500, 505, 513, 580, 600, 604, 606].contains(&to),
                    "{what}: unknown there"
                );
                let is_user = given.is_some_and(|cause| OF_USERS.contains(&cause));
                assert!(
                    !(is_user && TRIED_AGAIN.contains(&to)),
                    "{what}: tried again for a user"
                );
                let is_network = given.is_some_and(|cause| OF_NETWORKS.contains(&cause));
                assert!(
                    !is_network || to == 503 || from >= 607,
                    "{what}: not tried again"
                );
            }
            // It would take us out of service (RFC 3261 §16.7 step 6).
            false => {
                assert_ne!(to, 503, "{what}");
                assert!(!AS_IS.contains(&from) || from == to, "{what}: not as it is");
                let is_last_word = from >= 600 && status.is_registered();
                assert!(!is_last_word || from == to, "{what}: another last word");
            }
        }
        assert_eq!(
            to >= 600 && from < 600,
            to == 603 && given == Some(21) && from < 600,
            "{what}"
        );
        let crossed: Vec<_> = told.reasons.iter().map(Reason::to_bytes).collect();
        let usual = match status.code() {
            487 | 401 | 407 if is_teams => told.q850,
            488 | 606 if warning == Some(370) => Some(31),
            _ => q850_of(status),
        };
        let wanted = match trunk.habits.reason {
            ReasonForm::None => None,
            ReasonForm::Pass => given,
            ReasonForm::Q850 => given.or(usual),
        };
        let wanted: Vec<_> = wanted
            .map(|cause| format!("Q.850;cause={cause}"))
            .into_iter()
            .collect();
        assert_eq!(crossed, wanted, "{what}");
        if given.is_some() {
            assert_eq!(told.q850, given, "{what}: the record says something else");
        }
        // Every refusal has a cause there, and nothing but a caller who gives up is without one elsewhere.
        let may_lack = from < 400 || (from == 487 && !is_teams);
        assert!(told.q850.is_some() || may_lack, "{what}: no cause");
    }
    // Who has decided has decided, whichever trunk it is.
    let next = tries_next(status, &reasons, trunk);
    let is_user = given.is_some_and(|cause| OF_USERS.contains(&cause));
    assert!(!(next && status.code() >= 600), "{status}");
    assert!(!(next && is_user && !is_teams), "{status} {given:?}");
}

#[test]
fn every_cause_stands_for_a_status_and_every_status_for_a_cause() {
    let carrier = &trunks()[1].1;
    for cause in 0..=u8::MAX {
        let status = status_of(cause);
        assert!((400..600).contains(&status.code()), "{cause}: {status}");
        assert!(status.is_registered(), "{cause}: {status}");
        // 18 is 408 by RFC 3398, which a trunk may be tried again for.
        if OF_USERS.contains(&cause) && cause != 18 {
            assert!(!tries_next(status, &[], carrier), "{cause}: {status}");
        }
        if OF_NETWORKS.contains(&cause) {
            assert!(tries_next(status, &[], carrier), "{cause}: {status}");
        }
    }
    for status in (100..=699).filter_map(Status::new) {
        let cause = q850_of(status);
        let is_none = status.code() < 400 || status.code() == 487;
        assert_eq!(cause.is_none(), is_none, "{status}");
        assert!(
            cause.is_none_or(|cause| (1..=127).contains(&cause)),
            "{status}"
        );
        // A refusal of a user or a number is none of the network, and the other way round.
        let is_user = AS_IS.contains(&status.code()) && ![408, 488, 606].contains(&status.code());
        let is_network = cause.is_some_and(|cause| OF_NETWORKS.contains(&cause));
        assert!(!(is_user && is_network), "{status}: {cause:?}");
        assert!(
            !is_user || cause.is_some_and(|own| OF_USERS.contains(&own)),
            "{status}: {cause:?}"
        );
    }
}

/// The operator knows its peer better than any table (§5.2).
#[test]
fn a_trunk_is_told_another_status_where_its_operator_says_so() {
    let config = CONFIG.replacen(
        "preset = \"carrier\"",
        "preset = \"carrier\"\nresponses = { \"603\" = \"486\", \"504\" = \"480\" }",
        1,
    );
    let carrier = Arc::clone(&config_of(&config).trunks[&TrunkName::new("carrier-a")]);
    let told = |failure, reasons: &[Reason]| {
        let told = mapped_warned(failure, reasons, None, true, &carrier).value;
        (
            told.status.code(),
            told.reasons
                .iter()
                .map(Reason::to_bytes)
                .collect::<Vec<_>>(),
        )
    };
    // The reason stays that of the called side.
    let declined = told(Failure::Status(Status::DECLINE), &[]);
    assert_eq!(declined, (486, vec!["Q.850;cause=21".into()]));
    assert_eq!(
        told(Failure::NoResponse, &[]).0,
        480,
        "what we say ourselves"
    );
    assert_eq!(told(Failure::Status(Status::BUSY_EVERYWHERE), &[]).0, 600);
    assert_eq!(told(Failure::Cancelled, &[]).0, 487);
    // Why it is another one is said whatever it takes the place of.
    for (failure, wanted) in [
        (Failure::Status(Status::DECLINE), Some("486 instead of 603")),
        (Failure::NoResponse, Some("480 instead of 504")),
        (Failure::NoAnswer, None),
    ] {
        let because = mapped_warned(failure, &[], None, true, &carrier).because;
        let said = because.0.iter().find(|fact| fact.contains("instead of"));
        let is_said = said.map(|fact| wanted.is_some_and(|own| fact.contains(own)));
        assert_eq!(is_said, wanted.map(|_| true), "{because:?}");
    }
    // The same of what we end ourselves while the caller waits.
    let own = sbc_core::policy::response::own;
    let own_instead = sbc_core::policy::response::own_instead;
    for (cause, status, wanted) in [
        (CauseCode::PeerTimeout, 480, Some("480 instead of 504")),
        (CauseCode::PeerUnreachable, 502, None),
        (CauseCode::NoAnswer, 480, None),
        (CauseCode::MediaUnavailable, 503, None),
    ] {
        assert_eq!(own(cause, &carrier).status.code(), status, "{cause}");
        let said = own_instead(cause, &carrier);
        assert_eq!(said.is_some(), wanted.is_some(), "{said:?}");
        let is_said = said.is_none_or(|said| wanted.is_some_and(|own| said.contains(own)));
        assert!(is_said, "{cause}");
    }
    for redirection in ["300", "302", "380"] {
        let text = config.replace("\"603\" =", &format!("\"{redirection}\" ="));
        let sources = [Source::new("test.toml", text)];
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let Err(findings) = load(&sources, &facts, None) else {
            panic!("{redirection} is taken");
        };
        let text = findings.to_text();
        assert!(
            text.contains("is a redirection, and only refusals"),
            "{text}"
        );
    }
    for wrong in [
        "\"200\" = \"486\"",
        "\"603\" = \"302\"",
        "\"603\" = \"401\"",
        "\"x\" = \"486\"",
    ] {
        let text = config.replace("\"603\" = \"486\"", wrong);
        let sources = [Source::new("test.toml", text)];
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let Err(findings) = load(&sources, &facts, None) else {
            panic!("{wrong} is taken");
        };
        assert!(
            findings.to_text().contains("no refusal that may be told"),
            "{wrong}"
        );
    }
}

/// A shard for a number of calls one after the other.
struct Line {
    shard: Shard,
    calls: usize,
}

impl Line {
    fn new() -> Self {
        // One way for each call: what happens on the next is another test's matter.
        let config = CONFIG.replace(", \"198.51.100.21:5060;udp\"", "").replace(
            "    { address = \"sip2.pstnhub.microsoft.com:5061;tls\", connect_to = [\"203.0.113.2:5061\"] },\n",
            "",
        );
        let config = config.replace("preset = ", "redirect = \"fail\"\npreset = ");
        let shard = Shard::with(config_of(&config));
        Self { shard, calls: 0 }
    }

    /// Another call: its INVITE, and ours.
    fn invited(&mut self, from_teams: bool) -> (String, Message) {
        self.calls += 1;
        let id = format!("map{}", self.calls);
        let invite = match from_teams {
            true => teams_invite(&id),
            false => carrier_invite(&id, CARRIER_SDP),
        };
        self.says(from_teams, &invite);
        self.shard.next_response(100);
        let ours = self.shard.next_request(Method::Invite).message;
        (invite, ours)
    }

    fn says(&mut self, is_teams: bool, text: &str) {
        match is_teams {
            true => self.shard.teams_says(text),
            false => self.shard.carrier_says(text),
        }
    }

    /// What a caller is told, and why, whose called side says this.
    fn refused(&mut self, from_teams: bool, status: Status, lines: &str) -> (Status, String) {
        let (_, ours) = self.invited(from_teams);
        let answer = response(&ours, &format!("{status} x"), "b1", lines, "");
        self.says(!from_teams, &answer);
        self.shard.next_request(Method::Ack);
        let told = self.shard.next().message;
        assert!(self.shard.sent.is_empty(), "{status}");
        // Its ACK, and the end of what is remembered of it.
        self.shard.pass(std::time::Duration::from_secs(40));
        self.shard.sent.clear();
        (told.status().expect("a response"), reason_of(&told))
    }
}

fn reason_of(message: &Message) -> String {
    let values = message.raw_all(HeaderName::Reason);
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect();
    values.join(", ")
}

#[test]
fn every_status_crosses_a_whole_shard_both_ways_as_its_map_says() {
    let config = config();
    let trunk = |name: &str| Arc::clone(&config.trunks[&TrunkName::new(name)]);
    for from_teams in [true, false] {
        let to = trunk(if from_teams {
            "teams-contoso"
        } else {
            "carrier-a"
        });
        let mut line = Line::new();
        for status in statuses() {
            let (told, reason) = line.refused(from_teams, status, "");
            let map = mapped_warned(Failure::Status(status), &[], None, false, &to).value;
            assert_eq!(told, map.status, "{status} from {from_teams}");
            let wanted: Vec<_> = map.reasons.iter().map(Reason::to_bytes).collect();
            assert_eq!(reason.as_bytes(), wanted.concat(), "{status}");
        }
        assert_eq!(line.calls, 400);
    }
}

#[test]
fn every_cause_survives_a_refusal_both_ways() {
    for from_teams in [true, false] {
        let mut line = Line::new();
        for cause in 1..=127 {
            for status in [
                Status::TEMPORARILY_UNAVAILABLE,
                Status::SERVER_INTERNAL_ERROR,
            ] {
                let lines = format!("Reason: Q.850;cause={cause};location=LN;text=\"at pbx7\"\n");
                let (_, reason) = line.refused(from_teams, status, &lines);
                assert_eq!(
                    reason,
                    format!("Q.850;cause={cause};location=LN"),
                    "{status}"
                );
            }
        }
    }
}

#[test]
fn every_cause_survives_a_bye_and_a_cancel_both_ways() {
    for cause in 1..=127 {
        let line = format!("Reason: Q.850;cause={cause};location=LN;text=\"at pbx7\"\n");
        let wanted = format!("Q.850;cause={cause};location=LN");
        let mut call = Call::new();
        call.teams_says("BYE", 2, &line);
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        assert_eq!(reason_of(&bye), wanted);

        let mut call = Call::new();
        call.says("BYE", &line, "");
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        assert_eq!(reason_of(&bye), wanted);

        for from_teams in [true, false] {
            let mut own = Line::new();
            let (invite, ours) = own.invited(from_teams);
            own.says(!from_teams, &response(&ours, "180 Ringing", "b1", "", ""));
            own.shard.next_response(180);
            let (head, _) = invite.split_once("Content-").expect("a body");
            let cancel = head.replace("INVITE", "CANCEL");
            own.says(from_teams, &format!("{cancel}{line}Content-Length: 0\n\n"));
            let mut sent = own.shard.sent.drain(..);
            let cancel = sent
                .find(|sent| sent.message.is_request() && *sent.message.method() == Method::Cancel);
            assert_eq!(reason_of(&cancel.expect("a CANCEL").message), wanted);
        }
    }
}

/// RFC 8606 names sixteen places where a cause arose.
#[test]
fn every_place_of_a_cause_survives() {
    let carrier = &trunks()[1].1;
    let named = ["U", "LPN", "LN", "TN", "RLN", "RPN", "INTL", "BI"];
    let numbers = [6, 8, 9, 11, 12, 13, 14, 15];
    let numbered = numbers.map(|number| format!("LOC-{number}"));
    let named = named.map(str::to_owned);
    for place in named.into_iter().chain(numbered) {
        let text = format!("Q.850;cause=17;location={place}");
        let given = Reason::parse(&text.clone().into()).expect("a reason");
        let told = reasons_for_teardown(
            &[given],
            sbc_core::cause::CauseCode::NormalClearing,
            carrier,
        );
        assert_eq!(told[0].to_bytes(), text);
    }
}

#[test]
fn every_cause_of_an_operator_reaches_who_waits_and_who_rings() {
    for from_teams in [true, false] {
        let to = trunks().swap_remove(usize::from(!from_teams)).1;
        for cause in 1..=127 {
            let mut line = Line::new();
            let (_, ours) = line.invited(from_teams);
            line.says(!from_teams, &response(&ours, "180 Ringing", "b1", "", ""));
            line.shard.next_response(180);
            line.shard
                .apply(Input::Command(CommandId(1), Command::Calls));
            let id = match line.shard.replies.pop() {
                Some((_, Answered::Calls(calls))) => calls[0].call,
                other => panic!("{other:?}"),
            };
            let command = Command::HangUp(id, Some(cause));
            line.shard.apply(Input::Command(CommandId(2), command));
            let wanted = format!("Q.850;cause={cause}");
            for sent in line.shard.sent.drain(..) {
                assert_eq!(header(&sent.message, HeaderName::Reason), wanted);
                if let Some(status) = sent.message.status() {
                    assert_eq!(status, of_cause(cause, &to), "{cause}");
                    assert!((400..700).contains(&status.code()) && status.is_registered());
                    let is_again = TRIED_AGAIN.contains(&status.code());
                    assert!(
                        !(from_teams && is_again && OF_USERS.contains(&cause)),
                        "{cause}"
                    );
                } else {
                    assert_eq!(*sent.message.method(), Method::Cancel);
                }
            }
        }
    }
}
