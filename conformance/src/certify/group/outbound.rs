//! OUT: calls from Teams to the carrier.

mod circle;

use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::ladder::{TONES, Talk};
use crate::certify::mutation::{
    Mutation, Warp, carrier, drop, replace, teams, then, with, without,
};
use crate::certify::setting::{CUSTOMERS, FQDN, OUTSIDE};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::media::voice::{Ear, Voice};
use crate::peer::leg::Parties;
use crate::peer::message::Message;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-OUT-001",
        |stage| Box::pin(answered(stage)),
        &[
            breaks("TDR-SIP-032", drop(teams("INVITE").status(100))),
            breaks("ladder", drop(teams("BYE"))),
            breaks("audio", Mutation::Media(Warp::Silence)),
            breaks("G14", Mutation::Told("call_id", "id_of_call")),
            breaks(
                "G1",
                replace(
                    teams("INVITE").status(200),
                    "@sbc1.test.example:",
                    "@sbc2.test.example:",
                ),
            ),
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
            breaks("TDR-SIP-040", replace(teams("BYE"), ":443;", ":5061;")),
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
            ),
        ],
    ),
    case(
        "TC-OUT-004",
        |stage| Box::pin(slow_carrier(stage)),
        &[breaks(
            "TDR-SIP-032",
            drop(teams("INVITE").statuses(180, 183)),
        )],
    ),
    case(
        "TC-OUT-005",
        |stage| Box::pin(dead_carrier(stage)),
        &[breaks(
            "TDR-ERR-010",
            drop(teams("INVITE").statuses(400, 699)),
        )],
    )
    .with(|setting| setting.has_second_carrier = true),
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
                replace(teams("INVITE").status(503), "503", "500"),
            ),
        ],
    ),
    case(
        "TC-OUT-007",
        |stage| Box::pin(refusals(stage)),
        &[breaks(
            "TDR-ERR-011",
            replace(teams("INVITE").status(486), "486", "503"),
        )],
    ),
    case(
        "TC-OUT-008",
        |stage| Box::pin(redirected(stage)),
        &[
            breaks("TDR-SIP-035", drop(carrier("INVITE"))),
            breaks(
                "G9",
                then(teams("INVITE").status(100), |text| {
                    text.replacen("100 Trying", "302 Moved Temporarily", 1)
                }),
            ),
        ],
    )
    .with(|setting| {
        setting.carrier.push_str("redirect = \"follow\"\n");
        setting.routes.push_str(ONWARD);
    }),
    case(
        "TC-OUT-009",
        |stage| Box::pin(given_up(stage)),
        &[
            breaks("ladder", drop(carrier("CANCEL"))),
            breaks("ladder", drop(teams("CANCEL").status(200))),
            breaks(
                "TDR-SIP-022",
                replace(teams("INVITE").status(487), "487", "486"),
            ),
        ],
    ),
    case(
        "TC-OUT-010",
        |stage| Box::pin(forms_of_numbers(stage)),
        &[breaks(
            "TDR-SIP-031",
            replace(carrier("INVITE"), "sip:1001@", "sip:+1001@"),
        )],
    ),
    case(
        "TC-OUT-011",
        |stage| Box::pin(asserted_and_hidden(stage)),
        &[
            breaks(
                "TDR-CID-002",
                without(carrier("INVITE"), "P-Asserted-Identity"),
            ),
            breaks("TDR-CID-003", without(carrier("INVITE"), "Privacy")),
        ],
    )
    .with(|setting| {
        setting
            .carrier
            .push_str("trusted = true\nidentity = { egress = \"pai+from\" }\n")
    }),
    case(
        "TC-OUT-012",
        |stage| Box::pin(the_same_call_again(stage)),
        &[breaks(
            "TDR-ERR-012",
            then(carrier("INVITE"), |text| {
                text.replacen("branch=z9hG4bK", "branch=z9hG4bKagain", 1)
                    .replacen("Call-ID: ", "Call-ID: again", 1)
            }),
        )],
    ),
    case(
        "TC-OUT-013",
        |stage| Box::pin(customers_by_name(stage)),
        &[
            breaks("TDR-MT-012", Mutation::Told("unknown_host", "unknown")),
            breaks(
                "TDR-MT-012",
                replace(teams("INVITE").statuses(101, 299), "c2.cust", "c1.cust"),
            ),
        ],
    )
    .needs(&[Need::Ours])
    .with(|setting| setting.has_customers = true),
    case(
        "TC-OUT-014",
        |stage| Box::pin(foreign_number(stage)),
        &[breaks(
            "TDR-MT-015",
            replace(teams("INVITE").status(403), "403", "200"),
        )],
    )
    .with(|setting| {
        setting
            .teams
            .push_str("identity = { screening = \"reject\" }\n")
    }),
    case(
        "TC-OUT-015",
        |stage| Box::pin(carrier_forks(stage)),
        &[breaks(
            "TDR-SIP-034",
            replace(teams("INVITE").status(200), "m=audio 2", "m=audio 3"),
        )],
    ),
    case(
        "TC-OUT-016",
        |stage| Box::pin(forwarded(stage)),
        &[breaks(
            "TDR-FWD-001",
            without(carrier("INVITE"), "Diversion"),
        )],
    )
    .with(|setting| {
        setting
            .carrier
            .push_str("trusted = true\nidentity = { diversion = \"both\" }\n");
    }),
    case(
        "TC-OUT-017",
        |stage| Box::pin(hidden_history(stage)),
        &[breaks(
            "TDR-FWD-002",
            with(
                carrier("INVITE"),
                "Diversion: <sip:+441632960107@sbc.example>;reason=unknown",
            ),
        )],
    )
    .with(|setting| {
        setting
            .carrier
            .push_str("identity = { diversion = \"both\" }\n")
    }),
    case(
        "TC-OUT-018",
        |stage| Box::pin(no_hops_left(stage)),
        &[breaks(
            "TDR-SIP-044",
            replace(teams("INVITE").status(483), "483", "404"),
        )],
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
            ),
            breaks("TDR-TMR-002", drop(teams("INVITE").status(200).inside())),
            breaks(
                "TDR-TMR-002",
                replace(teams("INVITE").status(200).inside(), "o=", "o=other"),
            ),
        ],
    ),
];

/// Who redirects may reach what he could call himself: a number of the customer, who is outside.
const ONWARD: &str = r#"
[[route]]
name = "onward"
match = { from_trunk = "carrier", called = '^\+441632960198$' }
to = [{ trunk = "carrier" }]
"#;

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
    talk.called_ends().await?;
    for (_, _, message) in stage.tape.of_subject(Side::Teams) {
        if is_status(&message, 200) {
            let contact = message.line("Contact").unwrap_or_default();
            stage.check("TDR-SIP-030", contact.contains(&stage.trunk().fqdn), || {
                format!("Contact is {contact}")
            });
        }
    }
    let mut again = stage.from_teams().await?;
    again.caller_ends().await
}

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

/// TC-OUT-004.
async fn slow_carrier(stage: &Stage) -> Played {
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await?;
    let is_progress = |m: &Message| matches!(m.status(), Some(180..=183));
    let guard = Duration::from_secs(9);
    let progress = caller.leg.wait("18x within 9 s", guard, is_progress).await;
    progress.rule("TDR-SIP-032")?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let mut talk = Talk { caller, called }.established().await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-OUT-005.
async fn dead_carrier(stage: &Stage) -> Played {
    let began = tokio::time::Instant::now();
    let mut caller = stage.teams_dials().await?;
    let last = caller.is_refused().await.rule("TDR-ERR-010")?;
    let took = began.elapsed();
    stage.check("TDR-ERR-010", took < Duration::from_secs(11), || {
        format!("after {took:?}")
    });
    let status = last.status().unwrap_or_default();
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
    let (cancelled, asked) = tokio::join!(caller.leg.cancel(), called.leg.cancelled(PATIENCE));
    cancelled?;
    asked?;
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
        let mut called = stage.carrier_is_called().await.rule("TDR-SIP-031")?;
        let uri = called.invite()?.uri_text().to_owned();
        let wanted = format!("sip:{}", number.split(';').next().unwrap_or(number));
        stage.check("TDR-SIP-031", uri.starts_with(&wanted), || {
            format!("{number} went out as {uri}")
        });
        called.leg.respond(486, "Busy Here", None, &[])?;
        called.leg.acknowledged_failure().await?;
        caller.is_refused().await?;
    }
    Ok(())
}

/// TC-OUT-011.
async fn asserted_and_hidden(stage: &Stage) -> Played {
    for together in [true, false] {
        let change = |parties: &mut Parties| {
            parties.from = "<sip:anonymous@anonymous.invalid>".to_owned();
            let uris = [
                "<tel:+441632960100>",
                "<sip:+441632960100@sip.pstnhub.example>",
            ];
            let name = "P-Asserted-Identity";
            match together {
                true => parties.extra.push((name, uris.join(","))),
                false => parties.extra.extend(uris.map(|uri| (name, uri.to_owned()))),
            }
            parties.extra.push(("Privacy", "id".to_owned()));
        };
        let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
        let mut called = stage.carrier_is_called().await?;
        let invite = called.invite()?;
        let asserted = invite.values("P-Asserted-Identity").join(", ");
        stage.check("TDR-CID-002", asserted.contains("+441632960100"), || {
            format!("P-Asserted-Identity is \"{asserted}\"")
        });
        let privacy = invite.line("Privacy").unwrap_or_default();
        stage.check("TDR-CID-003", privacy.contains("id"), || {
            format!("Privacy is \"{privacy}\"")
        });
        let from = invite.line("From").unwrap_or_default();
        stage.check("TDR-CID-003", !from.contains("+441632960100"), || {
            format!("From is {from}")
        });
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
    let elsewhere = &stage.proxies[3];
    let flow = elsewhere.connection(&stage.trunk()).await?;
    let text = String::from_utf8_lossy(&caller.invite).into_owned();
    let again = text.replacen("z9hG4bK", "z9hG4bKelsewhere", 1);
    elsewhere.agent().send(&flow, again.into_bytes());
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await?;
    let invites = stage.tape.requests(Side::Carrier, "INVITE");
    let calls: std::collections::BTreeSet<&str> = invites
        .iter()
        .map(|(_, _, message)| message.call_id())
        .collect();
    stage.check("TDR-ERR-012", calls.len() == 1, || {
        format!("the carrier was called {} times", calls.len())
    });
    Ok(())
}

/// TC-OUT-013.
async fn customers_by_name(stage: &Stage) -> Played {
    for (fqdn, number) in CUSTOMERS.iter().zip(["+441632960200", "+441632960300"]) {
        let change = |parties: &mut Parties| {
            parties.uri = parties.uri.replace(FQDN, fqdn);
            parties.to = parties.to.replace(FQDN, fqdn);
            parties.from = parties.from.replace("+441632960100", number);
        };
        let caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
        let called = stage.carrier_is_called().await.rule("TDR-MT-012")?;
        let mut talk = stage.answered(caller, called).await?;
        talk.caller_ends().await?;
    }
    let answers = stage.tape.of_subject(Side::Teams).into_iter();
    let contacts: Vec<String> = answers
        .filter(|(_, _, message)| is_status(message, 200))
        .map(|(_, _, message)| message.line("Contact").unwrap_or_default().to_owned())
        .collect();
    for (fqdn, contact) in CUSTOMERS.iter().zip(&contacts) {
        stage.check("TDR-MT-012", contact.contains(fqdn), || {
            format!("{fqdn} was called, Contact is {contact}")
        });
    }
    let unknown =
        |parties: &mut Parties| parties.uri = parties.uri.replace(FQDN, "c9.other.example");
    let mut caller = stage.teams_dials_as(0, OUTSIDE, unknown).await?;
    let last = caller.is_refused().await.rule("TDR-MT-012")?;
    stage.check(
        "TDR-MT-012",
        matches!(last.status(), Some(403 | 404)),
        || format!("a name of nobody got {}", last.title()),
    );
    let labels = ["reason=\"unknown_host\""];
    stage
        .counts("TDR-MT-012", "sbc_sip_dropped_total", &labels)
        .await;
    Ok(())
}

/// TC-OUT-014.
async fn foreign_number(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        parties.from = parties.from.replace("+441632960100", "+441632960999");
    };
    let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let last = caller.leg.final_response().await?;
    stage.check("TDR-MT-015", last.status() == Some(403), || {
        format!("got {}", last.title())
    });
    let calls = stage.tape.requests(Side::Carrier, "INVITE").len();
    stage.check("TDR-MT-015", calls == 0, || {
        "the carrier was called all the same".to_owned()
    });
    Ok(())
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
    called.leg.fork();
    called.voice = stage.voice_of_carrier().await?;
    let answer = called.answer(Codec::Pcma);
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let last = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    let after = sdp::read(&last.body()).map_err(|why| Failure::new("TDR-SIP-034", why))?;
    stage.check(
        "TDR-SIP-034",
        before.rtp == after.rtp && before.keys == after.keys,
        || "Teams is told another description for another fork".to_owned(),
    );
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule("TDR-SIP-034")?;
    talk.called_ends().await
}

/// A forwarded call with this history; the INVITE that the carrier gets, and the refusal.
async fn with_history(stage: &Stage, history: &'static str) -> Result<Message, Failure> {
    let change = |parties: &mut Parties| parties.extra.push(("History-Info", history.to_owned()));
    let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let mut called = stage.carrier_is_called().await?;
    let invite = called.invite()?.clone();
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await?;
    Ok(invite)
}

/// TC-OUT-016.
async fn forwarded(stage: &Stage) -> Played {
    for history in [
        "<sip:+441632960107@sip.pstnhub.example>;index=1,<sip:+441632960001@sip.pstnhub.example;cause=302>;index=1.1",
        "<sip:+441632960107@sip.pstnhub.example?Reason=SIP%3Bcause%3D302>;index=1,<sip:+441632960001@sip.pstnhub.example>;index=1.1",
    ] {
        let invite = with_history(stage, history).await?;
        let told = [invite.values("Diversion"), invite.values("History-Info")]
            .concat()
            .join(", ");
        stage.check("TDR-FWD-001", told.contains("+441632960107"), || {
            format!("who forwarded is not told: \"{told}\"")
        });
        let diversion = invite.line("Diversion").unwrap_or_default();
        stage.check("TDR-FWD-001", diversion.contains("+441632960107"), || {
            format!("Diversion is \"{diversion}\"")
        });
    }
    Ok(())
}

/// TC-OUT-017.
async fn hidden_history(stage: &Stage) -> Played {
    let history = "<sip:+441632960107@sip.pstnhub.example?Privacy=history>;index=1,\
                   <sip:+441632960001@sip.pstnhub.example;cause=302>;index=1.1";
    let invite = with_history(stage, history).await?;
    let text = invite.text();
    stage.check("TDR-FWD-002", !text.contains("441632960107"), || {
        "who forwarded shows although the history is private".to_owned()
    });
    Ok(())
}

/// TC-OUT-018.
async fn no_hops_left(stage: &Stage) -> Played {
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

/// Packets that may still be under way when they are counted.
const UNDER_WAY: u64 = 12;

/// TC-OUT-020: refreshes every second instead of every half hour, five of them. Nobody hears them, and the
/// description that Teams gets is the same to the octet, `o=` too.
async fn refreshed(stage: &Stage) -> Played {
    let caller = stage.teams_dials().await?;
    let called = stage.carrier_is_called().await?;
    let mut talk = stage.answered(caller, called).await?;
    let offer = sdp::teams_offer(talk.caller.voice.at, &talk.caller.voice.key);
    let mut before = None;
    let voices = [&talk.caller.voice, &talk.called.voice].map(Voice::ear);
    let heard = |voices: &[Ear; 2]| voices.each_ref().map(|ear| ear.heard().audio);
    let (began, earlier) = (tokio::time::Instant::now(), heard(&voices));
    for _ in 0..5 {
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
        talk.lasts(Duration::from_secs(1)).await;
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
    let sent = u64::try_from(began.elapsed().as_millis() / 20).unwrap_or_default();
    for (earlier, now) in earlier.into_iter().zip(heard(&voices)) {
        let came = now - earlier;
        stage.check("TDR-TMR-002", came + UNDER_WAY >= sent, || {
            format!("{came} of {sent} packets came while the session was refreshed")
        });
    }
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}
