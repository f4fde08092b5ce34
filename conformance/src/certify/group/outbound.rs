//! OUT: calls from Teams to the carrier.

mod circle;
mod identity;

use crate::certify::case::{Case, PATIENCE, Played, Step, breaks, case};
use crate::certify::change::SETTLED;
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::ladder::{TONES, Talk};
use crate::certify::mutation::{
    Mutation, Warp, again, carrier, delay, drop, often_delay, replace, rewrite, teams, then, with,
    without,
};
use crate::certify::setting::OUTSIDE;
use crate::certify::stage::Stage;
use crate::certify::times::Times;
use crate::certify::verdict::Failure;
use crate::certify::whole::Whole;
use crate::certify::word;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::peer::leg::Parties;
use crate::peer::message::Message;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-OUT-001",
        |stage| Box::pin(answered(stage)),
        &[
            breaks("TDR-SIP-032", drop(teams("INVITE").status(100))),
            breaks("TDR-SIP-032", delay(teams("INVITE").status(100), SLOW)),
            breaks(
                "TDR-SIP-032",
                often_delay(teams("INVITE").status(100), SLOW),
            ),
            breaks(
                "TDR-SIP-030",
                replace(
                    teams("INVITE").status(200),
                    "@sbc1.test.example:",
                    "@sbc2.test.example:",
                ),
            )
            .also(&[
                follows::NAMED,
                follows::QUIET,
                follows::PORT,
                follows::STOPS,
            ]),
            breaks("G11", Mutation::Media(Warp::NoRtcp)),
            breaks("ladder", drop(carrier("BYE"))).also(&[follows::QUIET]),
            breaks("ladder", drop(teams("BYE"))).also(&[follows::QUIET]),
            breaks("audio", Mutation::Media(Warp::Silence)),
            breaks("G14", Mutation::Told("call_id", "id_of_call")),
            breaks(
                "G1",
                replace(
                    teams("INVITE").status(200),
                    "@sbc1.test.example:",
                    "@sbc2.test.example:",
                ),
            )
            .also(&[
                follows::QUIET,
                follows::CONTACT,
                follows::PORT,
                follows::STOPS,
            ]),
            breaks(
                "G2",
                with(
                    teams("INVITE").status(200),
                    "Record-Route: <sip:sbc1.test.example;lr>",
                ),
            ),
        ],
    ),
    case(
        "TC-OUT-002",
        |stage| Box::pin(habits(stage)),
        &[
            breaks("TDR-SIP-040", drop(carrier("BYE").status(200))).also(&[follows::QUIET]),
            breaks("TDR-SIP-040", replace(teams("BYE"), ":443;", ":5061;")).also(&[follows::AWAY]),
            breaks("TDR-SIP-030", drop(teams("INVITE").status(200))),
        ],
    ),
    case(
        "TC-OUT-003",
        |stage| Box::pin(early_audio(stage)),
        &[
            breaks("TDR-SIP-033", drop(teams("INVITE").status(183))),
            breaks(
                "TDR-SIP-034",
                replace(teams("INVITE").status(200), "m=audio 2", "m=audio 3"),
            )
            .also(&[follows::UNREAD, follows::MOVED, follows::UNHEARD]),
            breaks("TDR-SIP-033", Mutation::Media(Warp::Silence)).also(&[follows::UNHEARD]),
        ],
    ),
    case(
        "TC-OUT-004",
        |stage| Box::pin(slow_carrier(stage)),
        &[
            breaks("TDR-SIP-032", drop(teams("INVITE").statuses(180, 183))),
            breaks(
                "TDR-SIP-032",
                delay(teams("INVITE").statuses(180, 183), Duration::from_secs(2)),
            ),
            breaks("TDR-SIP-032", then(carrier("INVITE"), as_another_call)),
        ],
    ),
    case(
        "TC-OUT-005",
        |stage| Box::pin(dead_carrier(stage)),
        &[
            breaks("TDR-ERR-010", drop(teams("INVITE").statuses(400, 699))),
            breaks(
                "TDR-ERR-010",
                delay(teams("INVITE").statuses(400, 699), Duration::from_secs(9)),
            ),
            breaks(
                "TDR-ERR-011",
                replace(
                    teams("INVITE").statuses(400, 699),
                    "SIP/2.0 408",
                    "SIP/2.0 480",
                ),
            ),
            breaks("TDR-ERR-010", drop(carrier("INVITE"))),
        ],
    )
    .with(|setting| setting.is(word::SECOND_CARRIER)),
    case(
        "TC-OUT-006",
        |stage| Box::pin(congestion(stage)),
        &[
            breaks(
                "TDR-ERR-010",
                without(teams("INVITE").statuses(400, 699), "Reason"),
            ),
            breaks(
                "TDR-ERR-010",
                replace(teams("INVITE").status(503), "SIP/2.0 503", "SIP/2.0 500"),
            ),
        ],
    ),
    case(
        "TC-OUT-007",
        |stage| Box::pin(refusals(stage)),
        &[
            breaks(
                "TDR-ERR-011",
                replace(teams("INVITE").status(486), "SIP/2.0 486", "SIP/2.0 503"),
            ),
            breaks(
                "TDR-ERR-011",
                replace(teams("INVITE").status(603), "SIP/2.0 603", "SIP/2.0 503"),
            ),
        ],
    ),
    case(
        "TC-OUT-008",
        |stage| Box::pin(redirected(stage)),
        &[
            breaks("TDR-SIP-035", drop(carrier("INVITE"))),
            breaks(
                "TDR-SIP-035",
                replace(carrier("INVITE"), "+441632960198", "+441632960197"),
            ),
            breaks(
                "G9",
                then(teams("INVITE").status(100), |text| {
                    text.replacen("100 Trying", "302 Moved Temporarily", 1)
                }),
            ),
        ],
    )
    .with(|setting| setting.is(word::REDIRECTED)),
    case(
        "TC-OUT-009",
        |stage| Box::pin(given_up(stage)),
        &[
            breaks("ladder", drop(carrier("CANCEL"))),
            breaks("TDR-SIP-022", without(carrier("CANCEL"), "Reason")),
            breaks("ladder", drop(teams("CANCEL").status(200))),
            breaks(
                "TDR-SIP-022",
                replace(teams("INVITE").status(487), "SIP/2.0 487", "SIP/2.0 486"),
            ),
        ],
    ),
    case(
        "TC-OUT-010",
        |stage| Box::pin(forms_of_numbers(stage)),
        &[
            breaks("TDR-SIP-031", drop(carrier("INVITE"))),
            breaks(
                "TDR-SIP-031",
                replace(carrier("INVITE"), "sip:1001@", "sip:+1001@"),
            ),
            breaks("TDR-SIP-031", Mutation::Configuration(word::HELP, NO_HELP)),
        ],
    )
    .with(|setting| setting.is(word::HELP_APART)),
    case(
        "TC-OUT-011",
        |stage| Box::pin(identity::asserted_and_hidden(stage)),
        &[
            breaks(
                "TDR-CID-002",
                without(carrier("INVITE"), "P-Asserted-Identity"),
            ),
            breaks("TDR-CID-003", without(carrier("INVITE"), "Privacy")),
            breaks(
                "TDR-CID-003",
                replace(
                    carrier("INVITE"),
                    "<sip:anonymous@anonymous.invalid",
                    "<sip:+441632960100@sbc.example",
                ),
            )
            .also(&[("TDR-CID-002", "who is not hidden is told in each header")]),
            breaks(
                "TDR-CID-002",
                with(
                    carrier("INVITE"),
                    "P-Asserted-Identity: <tel:+441632960100>",
                ),
            ),
            breaks("TDR-CID-002", without(carrier("INVITE"), "Remote-Party-ID")),
        ],
    )
    .with(|setting| setting.is(word::TRUSTED)),
    case(
        "TC-OUT-012",
        |stage| Box::pin(the_same_call_again(stage)),
        &[
            breaks("TDR-ERR-012", then(carrier("INVITE"), as_another_call)),
            breaks(
                "TDR-ERR-012",
                replace(teams("INVITE").status(482), "SIP/2.0 482", "SIP/2.0 500"),
            ),
        ],
    ),
    case(
        "TC-OUT-013",
        |stage| Box::pin(identity::customers_by_name(stage)),
        &[
            breaks("TDR-MT-012", Mutation::Told("unknown_host", "unknown")),
            breaks(
                "TDR-MT-012",
                replace(teams("INVITE").statuses(101, 299), "c2.cust", "c1.cust"),
            )
            .also(&[follows::NAMED]),
            breaks(
                "G1",
                replace(teams("INVITE").statuses(101, 299), "@c2.cust", "@c1.cust"),
            )
            .also(&[(
                "TDR-MT-012",
                "the case asks of each call whose name it has, too",
            )]),
            breaks(
                "TDR-MT-012",
                replace(teams("INVITE").status(404), "SIP/2.0 404", "SIP/2.0 486"),
            ),
            breaks(
                "TDR-MT-015",
                replace(teams("INVITE").status(403), "SIP/2.0 403", "SIP/2.0 486"),
            ),
            breaks("TDR-MT-012", drop(carrier("INVITE"))),
            breaks("TDR-MT-015", drop(teams("INVITE").status(403))),
            breaks("TDR-MT-012", drop(teams("INVITE").status(404))),
        ],
    )
    .with(|setting| {
        setting.is(word::HOSTING);
        setting.is(word::OWN_CARRIERS);
        setting.is(word::CUSTOMERS_NUMBERS);
    }),
    case(
        "TC-OUT-014",
        |stage| Box::pin(identity::foreign_number(stage)),
        &[
            breaks(
                "TDR-MT-015",
                replace(teams("INVITE").status(403), "SIP/2.0 403", "SIP/2.0 486"),
            ),
            breaks("TDR-SIP-036", drop(carrier("INVITE"))),
            breaks("TDR-MT-015", then(carrier("INVITE"), as_another_call)),
            breaks("TDR-MT-015", Mutation::Told("caller_not_allowed", "failed")),
        ],
    )
    .with(|setting| setting.is(word::OWN_NUMBERS)),
    case(
        "TC-OUT-015",
        |stage| Box::pin(carrier_forks(stage)),
        &[
            breaks(
                "TDR-SIP-034",
                replace(teams("INVITE").status(200), "m=audio 2", "m=audio 3"),
            )
            .also(&[follows::UNREAD, follows::MOVED]),
            breaks("TDR-SIP-034", Mutation::Media(Warp::Stuck)),
            // What it would be told of the second fork, and is told otherwise again by the answer.
            breaks(
                "TDR-SIP-034",
                then(teams("INVITE").status(183), |text| {
                    text.replace("m=audio 2", "m=audio 3")
                }),
            )
            .also(&[follows::UNREAD, follows::MOVED]),
            breaks(
                "TDR-SIP-034",
                then(teams("INVITE").status(183), |text| {
                    text.replace("inline:", "inline:AAAA")
                }),
            )
            .also(&[follows::UNREAD]),
            breaks(
                "TDR-SIP-034",
                then(teams("INVITE").status(183), of_another_fork),
            ),
        ],
    ),
    case(
        "TC-OUT-016",
        |stage| Box::pin(identity::forwarded(stage)),
        &[
            breaks("TDR-FWD-003", without(carrier("INVITE"), "Diversion")),
            breaks(
                "TDR-FWD-004",
                without(carrier("INVITE"), "P-Asserted-Identity"),
            ),
            breaks(
                "TDR-FWD-004",
                rewrite(carrier("INVITE"), identity::called_by_who_forwards),
            ),
            breaks("TDR-FWD-001", without(carrier("INVITE"), "History-Info")),
            breaks(
                "TDR-FWD-001",
                replace(carrier("INVITE"), "cause%3D302", "cause%3D404"),
            ),
            breaks(
                "TDR-FWD-001",
                replace(carrier("INVITE"), "index=1.1", "index=1.2"),
            ),
            breaks(
                "TDR-FWD-003",
                replace(carrier("INVITE"), "reason=unconditional", "reason=unknown"),
            ),
            breaks(
                "TDR-FWD-001",
                rewrite(carrier("INVITE"), identity::without_second),
            ),
        ],
    )
    .with(|setting| setting.is(word::DIVERSION_TRUSTED)),
    case(
        "TC-OUT-017",
        |stage| Box::pin(identity::hidden_history(stage)),
        &[breaks(
            "TDR-FWD-002",
            with(
                carrier("INVITE"),
                "Diversion: <sip:+441632960107@sbc.example>;reason=unknown",
            ),
        )],
    )
    .with(|setting| setting.is(word::DIVERSION)),
    case(
        "TC-OUT-018",
        |stage| Box::pin(no_hops_left(stage)),
        &[
            breaks("TDR-SIP-044", drop(teams("INVITE").status(483))),
            breaks(
                "TDR-SIP-044",
                replace(teams("INVITE").status(483), "SIP/2.0 483", "SIP/2.0 404"),
            ),
            breaks(
                "TDR-SIP-044",
                replace(carrier("INVITE"), "Max-Forwards: 0", "Max-Forwards: 70"),
            ),
        ],
    ),
    case(
        "TC-OUT-019",
        |stage| Box::pin(circle::comes_back(stage)),
        &[breaks(
            "TDR-SIP-044",
            replace(
                teams("INVITE").status(482),
                "482 Loop Detected",
                "486 Busy Here",
            ),
        )],
    ),
    case(
        "TC-OUT-020",
        |stage| Box::pin(refreshed(stage)),
        &[
            breaks(
                "TDR-TMR-002",
                replace(
                    teams("INVITE").status(200).inside(),
                    "m=audio 2",
                    "m=audio 3",
                ),
            )
            .also(&[follows::UNREAD, follows::MOVED]),
            breaks("TDR-TMR-002", drop(teams("INVITE").status(200).inside())),
            breaks(
                "TDR-TMR-002",
                replace(teams("INVITE").status(200).inside(), "o=", "o=other"),
            ),
            breaks("TDR-TMR-002", Mutation::Media(Warp::Holes)),
            breaks("TDR-TMR-002", Mutation::CarrierMedia(Warp::Holes)),
            breaks("TDR-TMR-002", Mutation::Media(Warp::Hole)),
            breaks("TDR-TMR-002", Mutation::Media(Warp::Glitch)),
            breaks("TDR-TMR-002", Mutation::Media(Warp::Anew)),
            breaks("TDR-TMR-002", Mutation::CarrierMedia(Warp::Anew)),
        ],
    ),
];

const NO_HELP: &str = "";

fn is_status(message: &Message, status: u16) -> bool {
    message.status() == Some(status) && message.cseq().is_some_and(|(_, of)| of == "INVITE")
}

/// TC-OUT-001.
async fn answered(stage: &Stage) -> Played {
    let mut caller = stage.teams_dials().await?;
    caller
        .leg
        .hears(100, Duration::from_secs(1))
        .await
        .rule("TDR-SIP-032")?;
    let called = stage.carrier_is_called().await?;
    let mut talk = stage.answered(caller, called).await?;
    for (_, _, message) in stage.tape.of_subject(Side::Teams) {
        if is_status(&message, 200) {
            let contact = message.line("Contact").unwrap_or_default();
            stage.check("TDR-SIP-030", contact.contains(&stage.trunk().fqdn), || {
                format!("Contact is {contact}")
            });
        }
    }
    // Long enough for reports to be due.
    talk.lasts(Duration::from_secs(8)).await;
    talk.called_ends().await?;
    let mut again = stage.from_teams().await?;
    again.caller_ends().await?;
    loop {
        let mut times = Times::new(SOON, CALLS);
        for time in stage.tape.waits(Side::Teams, "INVITE", 100) {
            times.took(time);
        }
        if times.are_decided() {
            times.are_kept(stage, "TDR-SIP-032", "100 comes");
            return Ok(());
        }
        stage.from_teams().await?.caller_ends().await?;
    }
}

/// Longest time until 100, what is too late for that, and calls of which most must have it so soon.
const SOON: Duration = Duration::from_millis(100);
const SLOW: Duration = Duration::from_millis(300);
const CALLS: usize = 5;

/// TC-OUT-002. Our INVITE has the habits; what the subject sends back shows what it understood.
async fn habits(stage: &Stage) -> Played {
    let caller = stage.teams_dials().await?;
    let called = stage.carrier_is_called().await?;
    let mut talk = stage.answered(caller, called).await.rule("TDR-SIP-030")?;
    talk.called_ends().await.rule("TDR-SIP-040")
}

/// TC-OUT-003.
async fn early_audio(stage: &Stage) -> Played {
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    called.voice.plays(TONES.1);
    let early = caller.leg.hears(183, PATIENCE).await.rule("TDR-SIP-033")?;
    let before = caller.hears_of(&early.message).rule("TDR-SIP-033")?;
    let is_heard = caller.voice.waits_for(TONES.1, PATIENCE).await;
    stage.check("TDR-SIP-033", is_heard, || {
        "Teams does not hear the early tone".to_owned()
    });
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    let after = sdp::read(&answer.body()).map_err(|why| Failure::new("TDR-SIP-034", why))?;
    stage.check("TDR-SIP-034", before == after, || {
        "200 has another description than 183".to_owned()
    });
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await
}

/// The same call once more, as if somebody had called again.
fn as_another_call(text: &str) -> String {
    again(text).replacen("Call-ID: ", "Call-ID: again", 1)
}

/// The INVITE of a call comes once more, over another connection.
async fn comes_again(stage: &Stage, invite: &[u8]) -> Played {
    let elsewhere = &stage.proxies[3];
    let flow = elsewhere.connection(&stage.trunk()).await?;
    let text = String::from_utf8_lossy(invite).into_owned();
    let again = text.replacen("z9hG4bK", "z9hG4bKelsewhere", 1);
    elsewhere.agent().send(&flow, again.into_bytes());
    Ok(())
}

/// The carrier was called once, whatever Teams has repeated.
fn is_called_once(stage: &Stage, rule: &str) {
    let invites = stage.tape.requests(Side::Carrier, "INVITE");
    let calls: BTreeSet<&str> = invites
        .iter()
        .map(|(_, _, message)| message.call_id())
        .collect();
    stage.check(rule, calls.len() == 1, || {
        format!("the carrier was called {} times", calls.len())
    });
}

/// TC-OUT-004: the carrier says nothing but 100 for 15 s, and meanwhile Teams tries once more.
async fn slow_carrier(stage: &Stage) -> Played {
    let rule = "TDR-SIP-032";
    let (began, watch) = (Instant::now(), stage.watch());
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await?;
    let is_progress = |m: &Message| matches!(m.status(), Some(180..=183));
    let progress = caller
        .leg
        .wait("18x within 8 s", GUARD + PATIENCE, is_progress);
    progress.await.rule(rule)?;
    let took = watch.took();
    stage.check(rule, took < GUARD, || format!("18x after {took:?}"));
    comes_again(stage, &caller.invite).await?;
    tokio::time::sleep(SILENT.saturating_sub(began.elapsed())).await;
    called.leg.respond(180, "Ringing", None, &[])?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let mut talk = Talk { caller, called }.established().await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await?;
    is_called_once(stage, rule);
    Ok(())
}

/// Longest time without progress, and how long the carrier says nothing.
const GUARD: Duration = Duration::from_secs(8);
const SILENT: Duration = Duration::from_secs(15);

/// TC-OUT-005.
async fn dead_carrier(stage: &Stage) -> Played {
    let mut caller = stage.teams_dials().await?;
    // Teams waits for ten seconds, and so does whoever plays it.
    let last = caller.is_refused().await.rule("TDR-ERR-010")?;
    let status = last.status().unwrap_or_default();
    // With each of these Teams tries its next trunk; 408 is what annex B has for a carrier without a word.
    stage.check("TDR-ERR-011", matches!(status, 408 | 503 | 504), || {
        format!("got {}", last.title())
    });
    let peers = ["carrier", "carrier-2"];
    let invites = stage.tape.requests(Side::Carrier, "INVITE");
    for peer in peers {
        let is_asked = invites.iter().any(|(_, asked, _)| asked == peer);
        stage.check("TDR-ERR-010", is_asked, || format!("{peer} was not asked"));
    }
    Ok(())
}

/// A call that the carrier refuses; what Teams gets.
async fn refused(stage: &Stage, status: u16, reason: &str) -> Result<Message, Failure> {
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await?;
    let reason = [("Reason", reason.to_owned())];
    called.leg.respond(status, "Refused", None, &reason)?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await
}

/// TC-OUT-006.
async fn congestion(stage: &Stage) -> Played {
    let answer = refused(stage, 503, "Q.850;cause=34;text=\"No circuit\"").await?;
    let told = answer.line("Reason").unwrap_or_default();
    stage.check("TDR-ERR-010", answer.status() == Some(503), || {
        format!("got {}", answer.title())
    });
    stage.check("TDR-ERR-010", told.contains("cause=34"), || {
        format!("Reason is \"{told}\"")
    });
    Ok(())
}

/// TC-OUT-007.
async fn refusals(stage: &Stage) -> Played {
    for (status, cause) in [(486, 17), (480, 18), (484, 28), (404, 1), (603, 21)] {
        let answer = refused(stage, status, &format!("Q.850;cause={cause}")).await?;
        let got = answer.status().unwrap_or_default();
        stage.check("TDR-ERR-011", got == status, || {
            format!("{status} became {got}")
        });
    }
    Ok(())
}

/// TC-OUT-008.
async fn redirected(stage: &Stage) -> Played {
    let mut caller = stage.teams_dials().await?;
    let invite = stage
        .call_to_carrier(0, PATIENCE)
        .await
        .rule("TDR-SIP-035")?;
    let mut first = stage.carriers[0].take(invite);
    let to = format!("<sip:+441632960198@{}>", stage.carriers[0].address());
    // The Contact of the leg comes first only in 2xx.
    first.respond(302, "Moved Temporarily", None, &[("Contact", to)])?;
    first.acknowledged_failure().await?;
    let mut called = stage.carrier_is_called().await.rule("TDR-SIP-035")?;
    let uri = called.invite()?.uri_text().to_owned();
    stage.check("TDR-SIP-035", uri.contains("+441632960198"), || {
        format!("followed to {uri}")
    });
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// TC-OUT-009.
async fn given_up(stage: &Stage) -> Played {
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await?;
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    let reason = format!("Q.850;cause=16;text=\"{};540487\"", crate::random::guid());
    let reason = [("Reason", reason)];
    let (cancelled, asked) = tokio::join!(
        caller.leg.cancel_with(&reason),
        called.leg.cancelled(PATIENCE)
    );
    cancelled?;
    let told = asked?.line("Reason").unwrap_or_default().to_owned();
    // Its text is Microsoft's business (TDR-ERR-001).
    let is_told = told.contains("Q.850") && told.contains("cause=16") && !told.contains("540487");
    stage.check("TDR-SIP-022", is_told, || {
        format!("Reason of CANCEL is \"{told}\"")
    });
    let last = caller.is_refused().await?;
    stage.check("TDR-SIP-022", last.status() == Some(487), || {
        format!("got {}", last.title())
    });
    Ok(())
}

/// TC-OUT-010.
async fn forms_of_numbers(stage: &Stage) -> Played {
    for number in ["+441632960001", "1001", "112", "+441632960001;ext=1"] {
        let mut caller = stage.teams_dials_as(0, number, |_| {}).await?;
        // Calls for help go their own way.
        let index = usize::from(number == "112");
        let called = stage.carrier_is_called_at(index).await;
        let mut called = called.rule("TDR-SIP-031")?;
        let uri = called.invite()?.uri_text().to_owned();
        let wanted = format!("sip:{}", number.split(';').next().unwrap_or(number));
        let rest = uri.strip_prefix(&wanted);
        let is_whole = rest.is_some_and(|rest| rest.starts_with(['@', ';']));
        stage.check("TDR-SIP-031", is_whole, || {
            format!("{number} went out as {uri}")
        });
        if index == 1 {
            // What nobody answers goes to every carrier.
            stage.answered(caller, called).await?.caller_ends().await?;
            continue;
        }
        called.leg.respond(486, "Busy Here", None, &[])?;
        called.leg.acknowledged_failure().await?;
        caller.is_refused().await?;
    }
    Ok(())
}

/// TC-OUT-012.
async fn the_same_call_again(stage: &Stage) -> Played {
    let caller = stage.teams_dials().await?;
    let called = stage.carrier_is_called().await?;
    comes_again(stage, &caller.invite).await?;
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await?;
    is_called_once(stage, "TDR-ERR-012");
    // The first is still alive, so the second is the same (RFC 3261 §8.2.2.2).
    let answers = stage.tape.of_subject(Side::Teams);
    let mut merged = answers
        .iter()
        .filter(|(_, peer, message)| *peer == stage.proxies[3].host() && is_status(message, 482));
    stage.check("TDR-ERR-012", merged.next().is_some(), || {
        "the repeated call is not refused with 482".to_owned()
    });
    Ok(())
}

/// The same answer of somebody else who was called.
fn of_another_fork(answer: &str) -> String {
    let lines = answer
        .split("\r\n")
        .map(|line| match line.starts_with("To:") {
            true => format!("{line}other"),
            false => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// TC-OUT-015.
async fn carrier_forks(stage: &Stage) -> Played {
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called
        .leg
        .respond(183, "Session Progress", Some(answer), &[])?;
    let early = caller.leg.hears(183, PATIENCE).await?;
    let before = caller.hears_of(&early.message)?;
    called.voice.plays(TONES.0);
    let is_heard = caller.voice.waits_for(TONES.0, PATIENCE).await;
    stage.check("ladder", is_heard, || {
        "the first fork is not heard".to_owned()
    });
    called.leg.fork();
    called.voice = stage.voice_of_carrier().await?;
    let answer = called.answer(Codec::Pcma);
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    // Time to tell Teams of the second fork, which it need not do.
    tokio::time::sleep(SETTLED).await;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    let told = stage.tape.of_subject(Side::Teams).into_iter();
    let told = told.filter(|(_, _, message)| {
        let is_of_invite = message.cseq().is_some_and(|(_, of)| of == "INVITE");
        is_of_invite && matches!(message.status(), Some(101..=299))
    });
    let mut tags = BTreeSet::new();
    for (_, _, message) in told {
        tags.extend(message.tag("To").map(str::to_owned));
        if message.body().is_empty() {
            continue;
        }
        let media = sdp::read(&message.body()).map_err(|why| Failure::new("TDR-SIP-034", why))?;
        stage.check(
            "TDR-SIP-034",
            before.rtp == media.rtp && before.keys == media.keys,
            || {
                format!(
                    "\"{}\" tells Teams another description for another fork",
                    message.title()
                )
            },
        );
    }
    stage.check("TDR-SIP-034", tags.len() == 1, || {
        format!("Teams is told of {} forks: {tags:?}", tags.len())
    });
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule("TDR-SIP-034")?;
    talk.called_ends().await
}

/// TC-OUT-018: a call with one hop left may go on with none, and no further.
async fn no_hops_left(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        parties.edit = Some(|text| text.replacen("MAX-FORWARDS: 70", "MAX-FORWARDS: 1", 1));
    };
    let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    tokio::select! {
        called = stage.carrier_is_called() => {
            let mut called = called?;
            let left = called.invite()?.line("Max-Forwards").unwrap_or_default().to_owned();
            stage.check("TDR-SIP-044", left == "0", || {
                format!("of one hop {left} are left")
            });
            called.leg.respond(486, "Busy Here", None, &[])?;
            called.leg.acknowledged_failure().await?;
            caller.is_refused().await?;
        }
        last = caller.is_refused() => {
            let last = last?;
            stage.check("TDR-SIP-044", last.status() == Some(483), || {
                format!("got {}", last.title())
            });
        }
    }
    let change = |parties: &mut Parties| {
        parties.edit = Some(|text| text.replacen("MAX-FORWARDS: 70", "MAX-FORWARDS: 0", 1));
    };
    let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let last = caller.is_refused().await.rule("TDR-SIP-044")?;
    stage.check("TDR-SIP-044", last.status() == Some(483), || {
        format!("got {}", last.title())
    });
    Ok(())
}

/// Packets of 20 ms that may be missing, in all and in a row: two are 40 ms, and three more than the 50 that are heard.
const MISSING: u64 = 2;

/// TC-OUT-020: in the short form five refreshes, one a second instead of one each half hour, of which there are
/// two in 65 minutes. Nobody hears them, and the description that Teams gets is the same to the octet, `o=` too.
async fn refreshed(stage: &Stage) -> Played {
    let caller = stage.teams_dials().await?;
    let called = stage.carrier_is_called().await?;
    let mut talk = stage.answered(caller, called).await?;
    let offer = sdp::teams_offer(talk.caller.voice.at, &talk.caller.voice.key);
    let mut before = None;
    let whole = Whole::begins(&talk).await;
    let minutes = stage.size("minutes of a call that is refreshed", 0, 65);
    let (refreshes, every) = match minutes {
        0 => (5, Duration::from_secs(1)),
        _ => (2, Duration::from_secs(1_800)),
    };
    for _ in 0..refreshes {
        let extra = [
            ("Supported", "timer".to_owned()),
            ("Session-Expires", "3600;refresher=uac".to_owned()),
        ];
        let answer = talk
            .caller
            .leg
            .ask("INVITE", &extra, Some(offer.clone()))
            .await;
        let answer = answer.rule("TDR-TMR-002")?;
        stage.check("TDR-TMR-002", answer.status() == Some(200), || {
            format!("got {}", answer.title())
        });
        let body = answer.body();
        let same = before.get_or_insert(body.clone());
        stage.check("TDR-TMR-002", *same == body, || {
            "the description changed".to_owned()
        });
        talk.lasts(every).await;
    }
    let first = stage.tape.of_subject(Side::Teams).into_iter();
    let first = first
        .map(|(_, _, message)| message)
        .find(|m| is_status(m, 200));
    let first = first.map(|message| message.body());
    stage.check("TDR-TMR-002", first == before, || {
        "the description differs from that of the answer".to_owned()
    });
    // Packets, not gaps: what a busy machine delays is not lost.
    whole.is_heard(stage, "TDR-TMR-002", MISSING).await;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}
