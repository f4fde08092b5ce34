//! INB: calls from the carrier to Teams.

use super::system::hostile::{is_small, resident};
use crate::certify::case::{Case, PATIENCE, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::ladder::{Called, TONES, Talk};
use crate::certify::mutation::{
    Mutation, Warp, carrier, drop, drop_after, replace, rewrite, teams, twice, with, without,
    without_body,
};
use crate::certify::setting::{OUTSIDE, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::peer::leg::Parties;
use crate::peer::message::Message;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-INB-001",
        |stage| Box::pin(ended_by_teams(stage)),
        &[
            breaks("TDR-SIP-010", replace(teams("INVITE"), ";user=phone", "")),
            breaks(
                "TDR-SIP-013",
                replace(
                    teams("INVITE"),
                    "@sbc1.test.example:",
                    "@sbc2.test.example:",
                ),
            )
            .also(&[follows::NAMED, follows::PORT, follows::STOPS]),
            breaks("TDR-SIP-016", drop(carrier("INVITE").status(180))),
            breaks("G11", Mutation::Media(Warp::NoRtcp)),
            breaks("TDR-SIP-021", drop(teams("ACK"))),
            breaks("audio", Mutation::Media(Warp::Silence)),
            breaks("audio", Mutation::CarrierMedia(Warp::Silence)),
            // By this name Microsoft's support would find the call.
            breaks("G14", Mutation::Told("end_reason", "reason_of_end")),
            breaks(
                "G14",
                Mutation::Told("\"tenant\":\"customer\"", "\"tenant\":null"),
            ),
        ],
    ),
    case(
        "TC-INB-002",
        |stage| Box::pin(ended_by_the_caller(stage)),
        &[
            breaks("TDR-SIP-040", replace(teams("BYE"), ":443;", ":5061;")).also(&[follows::AWAY]),
            breaks("TDR-SIP-040", without(teams("BYE"), "Route")).also(&[follows::AWAY]),
            breaks("TDR-SIP-021", drop(teams("ACK"))),
            breaks("TDR-SIP-040", drop(teams("BYE"))).also(&[follows::QUIET]),
            // Another trunk's name, which is known all the same.
            breaks(
                "G1",
                replace(teams("INVITE"), "sbc1.test.example:", "sbc2.test.example:"),
            )
            .also(&[follows::PORT, follows::STOPS]),
            // A customer's, which the subject does not have here.
            breaks(
                "G1",
                replace(
                    teams("INVITE"),
                    "sbc1.test.example:",
                    "c1.cust.test.example:",
                ),
            )
            .also(&[follows::STOPS]),
            breaks("G10", Mutation::Media(Warp::PlainReports)).also(&[follows::REPORTS]),
            breaks(
                "G12",
                Mutation::Told(
                    "sbc_media_ports_used{realm=\"teams\"} 0",
                    "sbc_media_ports_used{realm=\"teams\"} 1",
                ),
            ),
            breaks(
                "G13",
                replace(
                    carrier("INVITE").statuses(180, 200),
                    "Via: SIP/2.0/",
                    "Via: SIP/2/",
                ),
            ),
        ],
    ),
    case(
        "TC-INB-003",
        |stage| Box::pin(given_up(stage)),
        &[
            breaks("TDR-SIP-016", drop(carrier("CANCEL").status(200))),
            breaks("TDR-SIP-016", drop(carrier("INVITE").status(487))),
            breaks("TDR-SIP-016", drop(teams("CANCEL"))),
            breaks("TDR-SIP-016", drop(teams("ACK"))),
            breaks("TDR-SIP-016", Mutation::Configuration(CARRIER, TONE)),
            breaks(
                "TDR-SIP-016",
                replace(carrier("INVITE").status(487), "SIP/2.0 487", "SIP/2.0 486"),
            ),
        ],
    ),
    case(
        "TC-INB-007",
        |stage| Box::pin(answered_at_once(stage)),
        &[
            breaks("TDR-SIP-016", drop(carrier("INVITE").status(200))),
            breaks("TDR-SIP-021", drop(teams("ACK"))),
            breaks("TDR-SIP-018", Mutation::CarrierMedia(Warp::Holes)),
            breaks("TDR-SIP-018", Mutation::Media(Warp::Silence)),
        ],
    ),
    case(
        "TC-INB-020",
        |stage| Box::pin(repeated_answer(stage)),
        &[
            breaks("TDR-SIP-021", drop(teams("ACK"))),
            breaks("TDR-SIP-021", twice(teams("ACK"))),
            breaks("TDR-SIP-021", Mutation::Media(Warp::Replays)),
            breaks("TDR-SIP-021", Mutation::CarrierMedia(Warp::Replays)),
        ],
    ),
    case(
        "TC-INB-004",
        |stage| Box::pin(several_forks(stage)),
        &[
            breaks("TDR-SIP-016", drop(teams("ACK"))),
            breaks("TDR-SIP-016", twice(carrier("INVITE").status(200))),
            breaks("TDR-SIP-016", rewrite(teams("ACK"), for_another)).also(&[follows::AWAY]),
            breaks("ladder", drop(carrier("INVITE").status(180))),
            breaks("audio", Mutation::Media(Warp::Silence)),
            breaks("audio", Mutation::CarrierMedia(Warp::Silence)),
        ],
    ),
    case(
        "TC-INB-010",
        |stage| Box::pin(extension(stage)),
        &[
            breaks("TDR-SIP-011", replace(teams("INVITE"), ";ext=1001", "")),
            breaks(
                "TDR-SIP-011",
                replace(
                    teams("INVITE"),
                    "To: <sip:+441632960100;ext=1001",
                    "To: <sip:+441632960100",
                ),
            ),
        ],
    ),
    case(
        "TC-INB-011",
        |stage| Box::pin(national_number(stage)),
        &[
            breaks("TDR-SIP-010", replace(teams("INVITE"), "+44", "0")).also(&[follows::STOPS]),
            breaks(
                "TDR-SIP-012",
                replace(teams("INVITE"), "<sip:+441632960001", "<sip:01632960001"),
            ),
        ],
    )
    .with(|setting| setting.is(word::NATIONAL)),
    case(
        "TC-INB-012",
        |stage| Box::pin(hidden_caller(stage)),
        &[
            breaks("TDR-SIP-015", without(teams("INVITE"), "Privacy")),
            breaks(
                "TDR-SIP-015",
                replace(teams("INVITE"), "anonymous.invalid", "sbc1.test.example"),
            ),
            breaks(
                "TDR-SIP-015",
                with(
                    teams("INVITE"),
                    "P-Asserted-Identity: <sip:+441632960001@sbc1.test.example>",
                ),
            ),
            // It comes only where it is asked for.
            breaks(
                "TDR-SIP-015",
                without(teams("INVITE"), "P-Asserted-Identity"),
            ),
        ],
    ),
    case(
        "TC-INB-013",
        |stage| Box::pin(name_of_the_caller(stage)),
        &[breaks(
            "TDR-CID-004",
            replace(teams("INVITE"), "\"Bob Smith\"", ""),
        )],
    ),
    case(
        "TC-INB-014",
        |stage| Box::pin(no_offer(stage)),
        &[
            breaks("TDR-SIP-004", rewrite(teams("INVITE"), without_body)).also(&[follows::BARE]),
            breaks(
                "TDR-SIP-004",
                rewrite(carrier("INVITE").status(200), without_body),
            ),
            breaks("audio", Mutation::Media(Warp::Silence)),
        ],
    ),
    case(
        "TC-INB-015",
        |stage| Box::pin(reliable_ringing(stage)),
        &[
            breaks("TDR-SIP-002", with(teams("INVITE"), "Supported: 100rel")),
            breaks("G4", with(teams("INVITE"), "Require: 100rel")).also(&[follows::UNKNOWN_OPTION]),
            breaks(
                "TDR-SIP-002",
                without(carrier("INVITE").status(180), "RSeq"),
            ),
            breaks(
                "TDR-SIP-002",
                replace(carrier("PRACK").status(200), "200 OK", "481 No"),
            ),
        ],
    ),
    case(
        "TC-INB-018",
        |stage| Box::pin(rings_outside_too(stage)),
        &[
            breaks("TDR-ICE-010", drop(carrier("INVITE"))),
            breaks("TDR-ICE-010", Mutation::Media(Warp::Silence)),
            breaks("TDR-ICE-010", twice(carrier("INVITE"))),
            breaks("TDR-ICE-010", drop(carrier("CANCEL"))),
            breaks(
                "TDR-ICE-010",
                replace(teams("INVITE").status(487), "SIP/2.0 487", "SIP/2.0 486"),
            ),
        ],
    ),
    case(
        "TC-INB-019",
        |stage| Box::pin(answered_elsewhere(stage)),
        &[
            breaks("TDR-SIP-022", drop(teams("CANCEL"))),
            breaks("TDR-SIP-022", without(teams("CANCEL"), "Reason")),
            breaks(
                "TDR-SIP-022",
                replace(teams("CANCEL"), "completed elsewhere", "ended"),
            ),
        ],
    )
    .with(|setting| setting.is(word::BOTH)),
    case(
        "TC-INB-021",
        |stage| Box::pin(service_hears_digits(stage)),
        &[breaks("TDR-MED-024", Mutation::Media(Warp::NoEvents))],
    ),
    case(
        "TC-INB-022",
        |stage| Box::pin(many_forks(stage)),
        &[
            breaks("TDR-SIP-016", drop(carrier("INVITE").status(200))),
            breaks("TDR-SIP-016", drop(teams("ACK"))),
            // Only of the call that forks: the one before is as it must be.
            breaks("TDR-SIP-016", drop_after(carrier("INVITE").status(200), 1)),
            breaks("TDR-SIP-016", drop_after(teams("ACK"), 1)),
            breaks("TDR-SIP-016", Mutation::Grows),
        ],
    ),
    case(
        "TC-INB-024",
        |stage| Box::pin(one_contact(stage)),
        &[breaks(
            "TDR-MT-002",
            with(teams("INVITE"), "Contact: <sip:sbc1.test.example>"),
        )
        .also(&[follows::NAMED, follows::STOPS])],
    ),
    case(
        "TC-INB-025",
        |stage| Box::pin(early_packets(stage)),
        &[
            breaks("TDR-MED-009", Mutation::CarrierMedia(Warp::Silence)).also(&[follows::UNHEARD]),
            breaks("audio", Mutation::Media(Warp::Silence)),
        ],
    ),
];

/// The trunk of the carrier, and the same where the caller hears a tone of ours.
pub(super) const CARRIER: &str = "preset = \"carrier\"\n";
pub(super) const TONE: &str = "preset = \"carrier\"\nringback = \"local\"\n";
/// The trunk of Teams.
pub(super) const TEAMS: &str = "preset = \"teams\"\n";
/// How long it is listened whether there is audio.
const WHILE: Duration = Duration::from_millis(500);
/// How long it is listened whether audio has holes.
pub(super) const HOLES: Duration = Duration::from_millis(2_500);

/// The ACK of another dialog.
pub(super) fn for_another(ack: &str) -> String {
    let lines = ack.split("\r\n").map(|line| match line.starts_with("To:") {
        true => line.replace(";tag=", ";tag=x"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// TC-INB-001.
async fn ended_by_teams(stage: &Stage) -> Played {
    let caller = stage.carrier_dials().await?;
    let called = stage.teams_is_called().await?;
    let invite = called.invite()?;
    let uri = invite.uri_text().to_owned();
    let is_right =
        uri.starts_with(&format!("sip:{USER}@sip.pstnhub.example")) && uri.contains(";user=phone");
    stage.check("TDR-SIP-010", is_right, || format!("Request-URI is {uri}"));
    let contact = invite.line("Contact").unwrap_or_default().to_owned();
    stage.check("TDR-SIP-013", contact.contains(&stage.trunk().fqdn), || {
        format!("Contact is {contact}")
    });
    let talk = stage.answered(caller, called).await;
    let mut talk = talk.or_else(|failure| match &*failure.rule {
        "ladder" => Err(failure).rule("TDR-SIP-016"),
        _ => Err(failure),
    })?;
    talk.lasts(Duration::from_secs(20)).await;
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await
}

/// TC-INB-002. [`Stage::judge`] compares the BYE with what Teams said.
async fn ended_by_the_caller(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    // Long enough for reports to be due.
    talk.lasts(Duration::from_secs(8)).await;
    talk.caller_ends().await.rule("TDR-SIP-040")
}

/// TC-INB-003.
async fn given_up(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    called.leg.respond(180, "Ringing", None, &[])?;
    let is_told = |m: &Message| matches!(m.status(), Some(180 | 183));
    caller.leg.wait("180", PATIENCE, is_told).await?;
    // Time for audio, of which there is none.
    tokio::time::sleep(WHILE).await;
    caller.leg.cancel().await.rule("TDR-SIP-016")?;
    called.leg.cancelled(PATIENCE).await.rule("TDR-SIP-016")?;
    let last = caller.is_refused().await.rule("TDR-SIP-016")?;
    stage.check("TDR-SIP-016", last.status() == Some(487), || {
        format!("the caller got {}, wanted 487", last.title())
    });
    for voice in [&caller.voice, &called.voice] {
        let heard = voice.heard().audio;
        stage.check("TDR-SIP-016", heard == 0, || {
            format!(
                "{} hears {heard} packets of a call without media",
                voice.name
            )
        });
    }
    Ok(())
}

/// TC-INB-007.
async fn answered_at_once(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await.rule("TDR-SIP-016")?;
    called.leg.acknowledged().await.rule("TDR-SIP-021")?;
    // Both speak at once, and nothing of it is missing.
    caller.voice.plays(TONES.0);
    called.voice.plays(TONES.1);
    for voice in [&caller.voice, &called.voice] {
        voice.measures_gaps();
    }
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule("TDR-SIP-018")?;
    talk.lasts(HOLES).await;
    for voice in [&talk.caller.voice, &talk.called.voice] {
        stage.is_uninterrupted("TDR-SIP-018", voice);
    }
    talk.called_ends().await
}

/// TC-INB-020.
async fn repeated_answer(stage: &Stage) -> Played {
    let caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    let mut caller = caller;
    called.leg.respond(200, "OK", Some(answer.clone()), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await.rule("TDR-SIP-021")?;
    for _ in 0..3 {
        called.leg.respond(200, "OK", Some(answer.clone()), &[])?;
        called.leg.acknowledged().await.rule("TDR-SIP-021")?;
    }
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await?;
    let acks = stage.tape.requests(Side::Teams, "ACK").len();
    stage.check("TDR-SIP-021", acks == 4, || {
        format!("{acks} ACKs for an answer that was repeated thrice")
    });
    for voice in [&talk.caller.voice, &talk.called.voice] {
        let repeated = voice.heard().repeated;
        stage.check("TDR-SIP-021", repeated == 0, || {
            format!("{} hears {repeated} packets twice", voice.name)
        });
    }
    Ok(())
}

/// TC-INB-004.
async fn several_forks(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    for _ in 0..3 {
        called.leg.respond(180, "Ringing", None, &[])?;
        called.leg.fork();
    }
    caller.leg.hears(180, PATIENCE).await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    this_fork_is_acknowledged(stage, &mut called, "TDR-SIP-016").await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await?;
    let answers = stage.tape.of_subject(Side::Carrier);
    let answers = answers
        .iter()
        .filter(|(_, _, m)| m.status() == Some(200) && m.cseq().is_some_and(|c| c.1 == "INVITE"));
    let count = answers.count();
    stage.check("TDR-SIP-016", count == 1, || {
        format!("{count} answers to the caller")
    });
    Ok(())
}

/// Waits for the ACK of the fork that has answered, and for no other.
pub(super) async fn this_fork_is_acknowledged(
    stage: &Stage,
    called: &mut Called,
    rule: &str,
) -> Played {
    let ack = called.leg.acknowledged().await.rule(rule)?;
    let tag = ack.message.tag("To").unwrap_or_default().to_owned();
    stage.check(rule, tag == called.leg.tag(), || {
        format!("ACK is for the fork {tag}, {} answered", called.leg.tag())
    });
    Ok(())
}

/// TC-INB-010.
async fn extension(stage: &Stage) -> Played {
    let number = format!("{USER};ext=1001");
    let mut caller = stage.carrier_dials_as(&number, |_| {}).await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?;
    let wanted = format!("sip:{number}@");
    for text in [invite.uri_text(), invite.line("To").unwrap_or_default()] {
        stage.check("TDR-SIP-011", text.contains(&wanted), || {
            format!("{text} lacks the extension in {wanted}")
        });
    }
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// TC-INB-011.
async fn national_number(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        parties.from = parties.from.replace(OUTSIDE, "01632960001");
    };
    let mut caller = stage.carrier_dials_as("01632960100", change).await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?;
    let uri = invite.uri_text();
    stage.check(
        "TDR-SIP-010",
        uri.starts_with(&format!("sip:{USER}@")),
        || format!("Request-URI is {uri}"),
    );
    let from = invite.line("From").unwrap_or_default();
    stage.check(
        "TDR-SIP-012",
        from.contains(&format!("<sip:{OUTSIDE}@")),
        || format!("From is {from}"),
    );
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// TC-INB-012: without the number, unless it is wanted in P-Asserted-Identity.
async fn hidden_caller(stage: &Stage) -> Played {
    let asserted = hidden(stage).await?;
    stage.check("TDR-SIP-015", asserted.is_none(), || {
        "the number shows in P-Asserted-Identity, which was not asked for".to_owned()
    });
    if !stage.reconfigures(TEAMS, ASSERTS).await? {
        return Ok(());
    }
    stage.reconfigures(CARRIER, TRUSTED).await?;
    let asserted = hidden(stage).await?;
    let is_told = asserted.as_ref().is_some_and(|it| it.contains(OUTSIDE));
    stage.check("TDR-SIP-015", is_told, || {
        format!("P-Asserted-Identity is asked for, and is {asserted:?}")
    });
    Ok(())
}

/// The trunk of Teams where it is told who calls.
const ASSERTS: &str = "preset = \"teams\"\nidentity = { egress = \"pai+from\" }\n";

/// The trunk of the carrier where what it asserts is believed.
const TRUSTED: &str = "preset = \"carrier\"\ntrusted = true\n";

/// A caller who hides his number, and is hidden; what Teams reads in P-Asserted-Identity.
async fn hidden(stage: &Stage) -> Result<Option<String>, Failure> {
    let change = |parties: &mut Parties| {
        parties.from = "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned();
        parties.extra.push(("Privacy", "id".to_owned()));
        let asserted = format!("<sip:{OUTSIDE}@carrier.example>");
        parties.extra.push(("P-Asserted-Identity", asserted));
    };
    let mut caller = stage.carrier_dials_as(USER, change).await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?;
    let from = invite.line("From").unwrap_or_default();
    stage.check(
        "TDR-SIP-015",
        from.contains("anonymous@anonymous.invalid"),
        || format!("From is {from}"),
    );
    let privacy = invite.line("Privacy").unwrap_or_default();
    stage.check("TDR-SIP-015", privacy.contains("id"), || {
        format!("Privacy is \"{privacy}\"")
    });
    let asserted = invite.line("P-Asserted-Identity").map(str::to_owned);
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await?;
    Ok(asserted)
}

/// TC-INB-013.
async fn name_of_the_caller(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        parties.from = parties.from.replace("Alice", "Bob Smith");
    };
    let mut caller = stage.carrier_dials_as(USER, change).await?;
    let mut called = stage.teams_is_called().await?;
    let from = called.invite()?.line("From").unwrap_or_default();
    stage.check("TDR-CID-004", from.starts_with("\"Bob Smith\""), || {
        format!("From is {from}")
    });
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// TC-INB-014.
async fn no_offer(stage: &Stage) -> Played {
    let voice = stage.voice_of_carrier().await?;
    let mut caller = stage.carrier_offers(USER, voice, String::new(), |_| {})?;
    // Without an offer Teams refuses it.
    let mut called = stage.teams_is_called().await.rule("TDR-SIP-004")?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.leg.final_response().await?;
    let offer = caller.hears_of(&answer).rule("TDR-SIP-004")?;
    let own = sdp::answer(&offer, Codec::Pcma, caller.voice.at, None);
    caller.leg.acknowledge_with(&answer, Some(own))?;
    called.leg.acknowledged().await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await
}

/// TC-INB-015. That nothing of it reaches Teams is G4.
async fn reliable_ringing(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| parties.extra.push(("Require", "100rel".to_owned()));
    let mut caller = stage.carrier_dials_as(USER, change).await?;
    let mut called = stage.teams_is_called().await?;
    let offered = called.invite()?.values("Supported").join(", ");
    stage.check("TDR-SIP-002", !offered.contains("100rel"), || {
        format!("Supported: {offered}")
    });
    called.leg.respond(180, "Ringing", None, &[])?;
    let ringing = caller.leg.hears(180, PATIENCE).await?.message;
    let number = ringing.line("RSeq").map(str::to_owned);
    let number = number.ok_or_else(|| Failure::new("TDR-SIP-002", "180 is not reliable"))?;
    caller.leg.early(&ringing);
    let rack = [("RAck", format!("{number} 1 INVITE"))];
    let answer = caller.leg.ask("PRACK", &rack, None).await?;
    stage.check("TDR-SIP-002", answer.status() == Some(200), || {
        format!("PRACK got {}", answer.title())
    });
    caller.leg.back_to_invite();
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let mut talk = Talk { caller, called }.established().await?;
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await
}

/// TC-INB-021.
async fn service_hears_digits(stage: &Stage) -> Played {
    let voice = stage.voice_of_carrier().await?;
    let offer = sdp::carrier_offer(voice.at, &[Codec::Pcma]);
    let offer = offer.replacen(
        " 8\r\n",
        " 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
        1,
    );
    let mut caller = stage.carrier_offers(USER, voice, offer, |_| {})?;
    let mut called = stage.teams_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    for digit in "159".chars() {
        talk.caller.voice.dials(digit);
        talk.lasts(Duration::from_millis(300)).await;
    }
    let digits = talk.called.voice.waits_for_digits("159", PATIENCE).await;
    stage.check("TDR-MED-024", digits == "159", || {
        format!("Teams heard \"{digits}\"")
    });
    talk.called_ends().await
}

/// TC-INB-022.
async fn many_forks(stage: &Stage) -> Played {
    // What the first call takes is not counted.
    let mut talk = stage.to_teams().await.rule("TDR-SIP-016")?;
    talk.called_ends().await?;
    let before = resident(stage);
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    for _ in 0..32 {
        called.leg.respond(180, "Ringing", None, &[])?;
        called.leg.fork();
    }
    caller.leg.hears(180, PATIENCE).await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await.rule("TDR-SIP-016")?;
    called.leg.acknowledged().await.rule("TDR-SIP-016")?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    is_small(stage, "TDR-SIP-016", before);
    talk.called_ends().await
}

/// Trunks whose calls are made in other ways: of which preset, and the further keys.
const OTHERWISE: [(&str, &str); 9] = [
    (TEAMS, "session_timer = false"),
    (TEAMS, "identity = { contact_user = \"none\" }"),
    (TEAMS, "progress_within = \"5s\""),
    (TEAMS, "identity = { egress = \"pai+from\" }"),
    (
        TEAMS,
        "headers = { set = { X-Contact = \"<sip:other.example>\" } }",
    ),
    (CARRIER, "ringback = \"local\""),
    (CARRIER, "early_media = \"block\""),
    (CARRIER, "rel100 = \"never\""),
    (CARRIER, "headers = { pass = [\"X-Contact\"] }"),
];

/// TC-INB-024. The peers refuse a second Contact by this rule.
async fn one_contact(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    talk.caller_ends().await?;
    for (preset, key) in OTHERWISE {
        let changed = format!("{preset}{key}\n");
        let is_ours = stage.reconfigures(preset, &changed).await;
        if !is_ours.map_err(|failure| Failure::new("ladder", format!("{key}: {}", failure.why)))? {
            return Ok(());
        }
        let caller = stage.carrier_dials_as(USER, |parties| {
            parties
                .extra
                .push(("X-Contact", "<sip:other.example>".to_owned()));
        });
        let mut caller = caller.await?;
        let mut called = stage.teams_is_called().await?;
        called.leg.respond(180, "Ringing", None, &[])?;
        let is_told = |m: &Message| matches!(m.status(), Some(180 | 183));
        caller.leg.wait("180", PATIENCE, is_told).await?;
        let answer = called.answer(Codec::Pcma);
        called.leg.respond(200, "OK", Some(answer), &[])?;
        let mut talk = Talk { caller, called }.established().await?;
        stage.hear_each_other(&talk).await?;
        talk.caller_ends().await?;
        stage.reconfigures(&changed, preset).await?;
    }
    // What would be a second Contact is no header that may be set.
    let second = format!("{TEAMS}headers = {{ set = {{ Contact = \"<sip:other.example>\" }} }}\n");
    let (is_taken, told) = stage.checks(TEAMS, &second).await?;
    stage.check("TDR-MT-002", !is_taken, || {
        format!("a second Contact may be configured: {told}")
    });
    Ok(())
}

/// TC-INB-025: before 183, and before an answer without one.
async fn early_packets(stage: &Stage) -> Played {
    for is_told_early in [true, false] {
        let mut caller = stage.carrier_dials().await?;
        let mut called = stage.teams_is_called().await?;
        let answer = called.answer(Codec::Pcma);
        called.voice.plays(TONES.1);
        tokio::time::sleep(Duration::from_millis(300)).await;
        if is_told_early {
            let early = Some(answer.clone());
            called.leg.respond(183, "Session Progress", early, &[])?;
            let early = caller.leg.hears(183, PATIENCE).await?;
            caller.hears_of(&early.message)?;
            let is_heard = caller.voice.waits_for(TONES.1, PATIENCE).await;
            stage.check("TDR-MED-009", is_heard, || {
                "what Teams says after 183 is not heard, since it spoke before".to_owned()
            });
        }
        called.leg.respond(200, "OK", Some(answer), &[])?;
        caller.is_answered().await?;
        called.leg.acknowledged().await?;
        let mut talk = Talk { caller, called };
        stage.hear_each_other(&talk).await?;
        talk.called_ends().await?;
    }
    Ok(())
}

/// TC-INB-018: who answers outside talks with the caller through Teams, and once Teams itself answers, who is
/// called outside rings no more.
async fn rings_outside_too(stage: &Stage) -> Played {
    let rule = "TDR-ICE-010";
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    let fork = stage.teams_dials_as(0, MOBILE, |_| {}).await?;
    let mobile = stage.carrier_is_called().await.rule(rule)?;
    let mut outside = stage.answered(fork, mobile).await.rule(rule)?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let mut inside = Talk { caller, called }.established().await?;
    stage.hear_each_other(&inside).await.rule(rule)?;
    stage.hear_each_other(&outside).await.rule(rule)?;
    // Teams joins the two.
    inside.called.voice.joins(&outside.caller.voice);
    let (one, other) = (&inside.caller.voice, &outside.called.voice);
    stage.voices_hear_each_other(one, other).await.rule(rule)?;
    outside.called_ends().await?;
    inside.called_ends().await?;

    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    let mut fork = stage.teams_dials_as(0, MOBILE, |_| {}).await?;
    let mut mobile = stage.carrier_is_called().await.rule(rule)?;
    mobile.leg.respond(180, "Ringing", None, &[])?;
    fork.leg.hears(180, PATIENCE).await.rule(rule)?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let mut talk = Talk { caller, called }.established().await.rule(rule)?;
    let (cancelled, asked) = tokio::join!(fork.leg.cancel(), mobile.leg.cancelled(PATIENCE));
    cancelled.rule(rule)?;
    asked.rule(rule)?;
    let last = fork.is_refused().await.rule(rule)?;
    stage.check(rule, last.status() == Some(487), || {
        format!("who rings no more gets {}", last.title())
    });
    stage.hear_each_other(&talk).await.rule(rule)?;
    talk.called_ends().await?;
    // Of two calls, each in two dialogs, nothing has come back.
    for side in [Side::Teams, Side::Carrier] {
        let calls = stage.tape.requests(side, "INVITE").len();
        stage.check(rule, calls == 2, || {
            format!("{calls} INVITEs at {side:?}, wanted two")
        });
    }
    Ok(())
}

/// A number outside that a user of Teams has, too.
const MOBILE: &str = "+441632960002";

/// TC-INB-019.
async fn answered_elsewhere(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let (teams, phone) = tokio::join!(stage.teams_is_called(), stage.carrier_is_called_at(1));
    let (mut teams, mut phone) = (teams?, phone?);
    teams.leg.respond(180, "Ringing", None, &[])?;
    phone.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    let answer = phone.answer(Codec::Pcma);
    phone.leg.respond(200, "OK", Some(answer), &[])?;
    let cancel = teams.leg.cancelled(PATIENCE).await.rule("TDR-SIP-022")?;
    let told = cancel.line("Reason").unwrap_or_default();
    // Beside it there may be a reason of another protocol.
    let is_it =
        |one: &&str| one.replace(' ', "") == "SIP;cause=200;text=\"Callcompletedelsewhere\"";
    let is_told = cancel.values("Reason").iter().any(is_it);
    stage.check("TDR-SIP-022", is_told, || {
        format!("Reason of CANCEL is \"{told}\"")
    });
    let called = phone;
    let mut talk = Talk { caller, called }.established().await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}
