//! Calls that were answered: how they end, what was not heard, and transfers that come to nothing.

use super::{Row, over, row};
use crate::{emergency_hold, reloaded, replaces, transfer, world};
use media_api::{
    Command as MediaCommand, EndpointId, EndpointStats, Event as MediaEvent, OneWayKind, SessionId,
    SessionStats, StreamStats,
};
use sbc_core::id::CommandId;
use sbc_core::input::{Answered, Command, Input};
use sbc_core::record::Record;
use sbc_core::sip::{Message, Method};
use sbc_core::trouble::Trouble;
use std::time::Duration;
use world::call::Call;
use world::*;

const CALLER: EndpointId = EndpointId(0);
const TEAMS_LEG: EndpointId = EndpointId(1);
const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";

fn session(shard: &Shard) -> SessionId {
    match shard.asked().first() {
        Some(MediaCommand::Allocate { session, .. }) => *session,
        other => panic!("{other:?}"),
    }
}

/// The caller hangs up.
fn hung_up(mut call: Call) -> Record {
    call.says("BYE", "", "");
    over(call.shard)
}

/// The audio of Teams has this fault, and nobody mends it.
fn unheard(kind: OneWayKind) -> Record {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(10));
    let session = session(&call.shard);
    call.shard.apply(Input::Media(MediaEvent::OneWay {
        session,
        endpoint: TEAMS_LEG,
        kind,
        refused: None,
    }));
    call.shard.pass(Duration::from_secs(10));
    hung_up(call)
}

/// The relay has had so many packets of the caller and of Teams, when it says that Teams is silent.
fn silent(from_teams: u64) -> Record {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(300));
    let endpoint = |endpoint, received_packets| EndpointStats {
        endpoint,
        streams: vec![StreamStats {
            received_packets,
            ..StreamStats::default()
        }],
    };
    let stats = SessionStats {
        endpoints: vec![endpoint(CALLER, 15_000), endpoint(TEAMS_LEG, from_teams)],
    };
    call.shard.stats = Some(stats.clone());
    let session = session(&call.shard);
    call.shard.apply(Input::Media(MediaEvent::Silent {
        session,
        endpoint: TEAMS_LEG,
        silent_ms: 300_000,
    }));
    call.shard
        .apply(Input::Media(MediaEvent::Released { session, stats }));
    over(call.shard)
}

/// The carrier wants to transfer the call to a number that no call of its could reach.
fn transfer_refused() -> Record {
    let mut call = Call::new();
    let lines = format!("Refer-To: <sip:+88216123456@198.51.100.20>\n{CONTACT}");
    call.says("REFER", &lines, "");
    call.refused(603);
    hung_up(call)
}

/// Whom the carrier transfers the call to is busy.
fn target_busy() -> Record {
    let (mut call, invite) = transfer::referred_by_carrier();
    let busy = response(&invite, "486 Busy Here", "z1", "", "");
    call.shard.teams_says(&busy);
    hung_up(call)
}

/// Teams transfers the call, hangs up, and the target is not there.
fn left_nobody() -> Record {
    let (mut call, invite) = transfer::referred_by_teams();
    call.teams_says("BYE", 2, "");
    let absent = response(&invite, "480 Not here", "z1", "", "");
    call.shard.teams_says(&absent);
    over(call.shard)
}

/// Somebody is to take the place of Teams, which hangs up before there are ports for the other.
fn replaced_left() -> Record {
    let mut call = Call::new();
    call.shard.hold_media = true;
    let lines = replaces::replaces(&call, "");
    let invite = replaces::newcomer(&lines, TEAMS_SDP);
    call.shard.teams_says(&invite);
    call.teams_says("BYE", 1, "");
    call.shard.refuses_ports();
    over(call.shard)
}

/// Our answer is never acknowledged.
fn without_ack() -> Record {
    let (mut shard, invite) = called_out("call");
    let answer = response(&invite.message, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    over(shard)
}

/// The caller confirms no provisional, though it wants them reliable.
fn without_prack() -> Record {
    let mut shard = Shard::new();
    let invite = carrier_invite("call", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", "Require: 100rel\nMax-Forwards"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let ringing = response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    over(shard)
}

/// The caller holds the line, and Teams says this to our re-INVITE for it; or nothing.
fn told_of_hold(start: Option<&str>) -> Record {
    let mut call = Call::new();
    let held = CARRIER_SDP.replace("a=sendrecv", "a=sendonly");
    let lines = format!("{CONTACT}Content-Type: application/sdp\n");
    call.says("INVITE", &lines, &held);
    let ack = in_dialog(
        &call.ok,
        "ACK",
        call.cseq,
        &format!("{}hold", world::call::VIA),
    );
    call.shard.carrier_says(&ack);
    let told = to_teams(&call.shard);
    if let Some(start) = start {
        call.shard.teams_says(&response(&told, start, "", "", ""));
    }
    over(call.shard)
}

fn to_teams(shard: &Shard) -> Message {
    let is_it = |sent: &&Sent| {
        let is_invite = *sent.message.method() == Method::Invite;
        sent.message.is_request() && is_invite && sent.hop.remote.to_string() == TEAMS
    };
    let told = shard.sent.iter().find(is_it);
    told.expect("a re-INVITE").message.clone()
}

/// The caller says that it refreshes its session, and does not.
fn unrefreshed() -> Record {
    let mut shard = Shard::new();
    let invite = carrier_invite("call", CARRIER_SDP);
    let lines = "Supported: timer\nSession-Expires: 600;refresher=uac\nMax-Forwards";
    shard.carrier_says(&invite.replace("Max-Forwards", lines));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = format!("{}ack", world::call::VIA);
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &via));
    shard.pass(Duration::from_secs(700));
    over(shard)
}

fn too_long() -> Record {
    let config = format!(
        "{}\n[limits]\nmax_duration = \"10m\"\n",
        CONFIG.replace(
            "preset = \"teams\"\n",
            "preset = \"teams\"\nsession_timer = false\n"
        )
    );
    let mut call = Call::with(&config);
    call.shard.pass(Duration::from_secs(601));
    over(call.shard)
}

fn held_too_long() -> Record {
    let keys = "emergency_hold = \"hold\"\nsession_timer = false";
    let mut help = emergency_hold::Help::with(keys);
    assert_eq!(help.caller_hangs_up(2), 200);
    help.shard.pass(Duration::from_secs(31 * 60));
    over(help.shard)
}

fn commanded(command: impl FnOnce(&mut Shard) -> Command) -> Record {
    let mut call = Call::new();
    let command = command(&mut call.shard);
    call.shard.apply(Input::Command(CommandId(2), command));
    over(call.shard)
}

fn by_operator() -> Record {
    commanded(|shard| {
        shard.apply(Input::Command(CommandId(1), Command::Calls));
        match shard.replies.pop() {
            Some((_, Answered::Calls(calls))) => Command::HangUp(calls[0].call, None),
            other => panic!("{other:?}"),
        }
    })
}

fn trunk_removed() -> Record {
    let mut call = Call::with(&reloaded::removable("kill"));
    let without = CONFIG.replace("carrier-a", "carrier-b");
    call.shard.apply(Input::Config(config_of(&without)));
    over(call.shard)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = ends();
    rows.extend(audio());
    rows.extend(transfers());
    rows
}

fn ends() -> Vec<Row> {
    vec![
        row(
            Trouble::NormalEnd,
            || {
                let mut call = Call::new();
                call.shard.pass(Duration::from_secs(5));
                hung_up(call)
            },
            &["lasted 5.0 s", "ended normally"],
            &[],
        ),
        row(
            Trouble::MediaNeverCame,
            || silent(0),
            &[
                "no media came from leg 1 (trunk \"teams-contoso\")",
                "300000 ms",
            ],
            &["firewall", "advertise of the [[realm]]"],
        ),
        row(
            Trouble::MediaStopped,
            || silent(90),
            &["the media from leg 1 (trunk \"teams-contoso\") stopped"],
            &["media_timeout in [limits]"],
        ),
        row(
            Trouble::NoAck,
            without_ack,
            &["trunk \"carrier-a\"", "no ACK", "leg 0"],
            &["fqdn of trunk \"carrier-a\"", "advertise"],
        ),
        row(
            Trouble::NoPrack,
            without_prack,
            &["no PRACK", "leg 0"],
            &["rel100 = \"never\" in trunk \"carrier-a\""],
        ),
        row(
            Trouble::InCallRefused,
            || told_of_hold(Some("481 Call Does Not Exist")),
            &[
                "does not know the call any more",
                "INVITE on leg 1 got 481",
                "trunk \"teams-contoso\"",
            ],
            &["forgotten the call"],
        ),
        row(
            Trouble::InCallUnanswered,
            || told_of_hold(None),
            &[
                "unanswered",
                "INVITE on leg 1 got no answer",
                "trunk \"teams-contoso\"",
            ],
            &["Contact"],
        ),
        row(
            Trouble::SessionExpired,
            unrefreshed,
            &["not refreshed", "leg 0", "trunk \"carrier-a\""],
            &["refresher", "[trunk.session_timer]"],
        ),
        row(
            Trouble::CallTooLong,
            too_long,
            &["lasted 600.0 s", "longest time that a call may last"],
            &["max_duration in [limits]"],
        ),
        row(
            Trouble::LineHeldTooLong,
            held_too_long,
            &["hold the line no longer"],
            &["nothing"],
        ),
        row(
            Trouble::EndedByOperator,
            by_operator,
            &["on command", "ended by an operator"],
            &[],
        ),
        row(
            Trouble::TrunkRemoved,
            trunk_removed,
            &["on command", "trunk \"carrier-a\" was removed"],
            &["on_sigterm in [drain]"],
        ),
        row(
            Trouble::NodeStopped,
            || commanded(|_| Command::HangUpAll),
            &["on command", "the node is stopping"],
            &["on_sigterm in [drain]"],
        ),
    ]
}

fn audio() -> Vec<Row> {
    vec![
        row(
            Trouble::AudioNoPackets,
            || unheard(OneWayKind::NoPackets),
            &["leg 1 (trunk \"teams-contoso\") was not heard", "no packet"],
            &["media ports of the realm"],
        ),
        row(
            Trouble::AudioWrongSource,
            || unheard(OneWayKind::WrongSource),
            &["leg 1 (trunk \"teams-contoso\") was not heard", "address"],
            &["nat = \"restricted\""],
        ),
        row(
            Trouble::AudioWrongKey,
            || unheard(OneWayKind::DecryptFailures),
            &[
                "leg 1 (trunk \"teams-contoso\") was not heard",
                "cannot be decrypted",
            ],
            &["a=crypto"],
        ),
        row(
            Trouble::AudioKeyReused,
            || unheard(OneWayKind::KeyReused),
            &[
                "leg 1 (trunk \"teams-contoso\") was not heard",
                "same SRTP key",
            ],
            &["new key"],
        ),
        row(
            Trouble::AudioWrongCodec,
            || unheard(OneWayKind::WrongPayloadType),
            &[
                "leg 1 (trunk \"teams-contoso\") was not heard",
                "payload type",
            ],
            &["codecs of the trunk"],
        ),
        row(
            Trouble::AudioNoChecks,
            || unheard(OneWayKind::NoChecks),
            &["leg 1 (trunk \"teams-contoso\") was not heard"],
            &["for the audio of leg 1"],
        ),
        row(
            Trouble::AudioRefusedChecks,
            || unheard(OneWayKind::RefusedChecks),
            &["leg 1 (trunk \"teams-contoso\") was not heard"],
            &["for the audio of leg 1"],
        ),
        row(
            Trouble::AudioNoHandshake,
            || unheard(OneWayKind::NoHandshake),
            &["leg 1 (trunk \"teams-contoso\") was not heard"],
            &["for the audio of leg 1"],
        ),
        row(
            Trouble::AudioSilence,
            || unheard(OneWayKind::Silence),
            &["leg 1 (trunk \"teams-contoso\") was not heard"],
            &["for the audio of leg 1"],
        ),
        row(
            Trouble::AudioNotReceived,
            || unheard(OneWayKind::NotReceived),
            &["leg 1 (trunk \"teams-contoso\") heard nothing"],
            &["for the audio of leg 1"],
        ),
    ]
}

fn transfers() -> Vec<Row> {
    vec![
        row(
            Trouble::TransferRefused,
            transfer_refused,
            &[
                "transfer by trunk \"carrier-a\"",
                "+88216123456",
                "was refused with 603",
            ],
            &[
                "refer and max_transfers of trunk \"carrier-a\"",
                "[[route]]",
            ],
        ),
        row(
            Trouble::TransferTargetFailed,
            target_busy,
            &[
                "transfer by trunk \"carrier-a\"",
                "+493023125999",
                "failed with 486",
            ],
            &["ladder", "target"],
        ),
        row(
            Trouble::TransferLeftNobody,
            left_nobody,
            &["nobody was left to talk to", "480"],
            &["stay until it has answered"],
        ),
        row(
            Trouble::ReplacedLeft,
            replaced_left,
            &["nobody was left to talk to", "to be replaced has left"],
            &["stay until it has answered"],
        ),
    ]
}
