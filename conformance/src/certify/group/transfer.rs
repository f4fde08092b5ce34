//! XFR: transfers.

use super::referred::{
    BY, TARGET, ends, is_referred, is_told, is_told_last, refers, target_answers, transferred,
    transferred_by_user,
};
use crate::certify::case::{Break, Case, Need, PATIENCE, Play, Played, Step, breaks, case};
use crate::certify::change::direction;
use crate::certify::evidence::{From, Side};
use crate::certify::follows;
use crate::certify::ladder::{Called, Talk};
use crate::certify::mutation::{
    Mutation, Warp, again, as_method, carrier, delay, drop, replace, rewrite, teams, then,
    with_line, without,
};
use crate::certify::setting::{CUSTOMER_NUMBERS, CUSTOMERS, OUTSIDE, USER_2};
use crate::certify::stage::Stage;
use crate::certify::word;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use crate::peer::message::Message;
use serde_json::Value;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    transfer(
        "TC-XFR-001",
        |stage| Box::pin(to_user(stage)),
        &[
            breaks("TDR-XFR-014", drop(teams("REFER").status(202))),
            breaks(
                "TDR-XFR-010",
                rewrite(teams("INVITE"), |text| {
                    transfers(text, |text| as_method(text, "OPTIONS"))
                }),
            ),
            breaks(
                "TDR-XFR-011",
                replace(teams("INVITE"), "8:orgid:Target", "8:orgid:target"),
            ),
            breaks("TDR-XFR-011", without(teams("INVITE"), "Referred-By")),
            breaks(
                "TDR-XFR-012",
                rewrite(teams("INVITE"), |text| {
                    transfers(text, |text| text.replace(OUTSIDE, USER_2))
                }),
            ),
            breaks("TDR-XFR-014", drop(teams("NOTIFY"))),
            breaks(
                "TDR-XFR-014",
                replace(teams("REFER").status(202), "SIP/2.0 202", "SIP/2.0 200"),
            ),
            breaks(
                "TDR-XFR-014",
                replace(teams("NOTIFY"), "terminated", "active"),
            ),
            breaks("TDR-XFR-015", drop(teams("BYE").status(200))).also(&[follows::QUIET]),
            breaks("TDR-XFR-016", Mutation::Configuration(RINGS, SILENT)),
        ],
    ),
    transfer(
        "TC-XFR-002",
        |stage| Box::pin(to_number(stage)),
        &[
            breaks(
                "TDR-XFR-010",
                replace(teams("INVITE"), "sip:+441632960002@", "sip:+441632960003@"),
            )
            .also(&[(
                "TDR-XFR-011",
                "both look at whom the call to the target calls",
            )]),
            breaks(
                "TDR-XFR-010",
                then(carrier("INVITE").status(180), call_to_carrier),
            )
            .also(&[follows::STOPS]),
            breaks("TDR-XFR-020", drop(carrier("INVITE"))),
        ],
    ),
    transfer(
        "TC-XFR-003",
        |stage| Box::pin(after_consultation(stage)),
        &[
            breaks("TDR-XFR-015", drop(teams("BYE").status(200))).also(&[follows::QUIET]),
            breaks(
                "TDR-XFR-019",
                rewrite(teams("INVITE"), |text| {
                    transfers(text, |text| with_line(text, "Target-Dialog: one"))
                }),
            ),
            // Whoever is asked so refuses.
            breaks(
                "TDR-SIP-014",
                rewrite(teams("INVITE"), |text| {
                    transfers(text, |text| with_line(text, "Replaces: one"))
                }),
            )
            .also(&[
                follows::UNKNOWN,
                (
                    "TDR-XFR-010",
                    "a call to the target that names a dialog is not the one that was asked for",
                ),
            ]),
        ],
    ),
    transfer(
        "TC-XFR-004",
        |stage| Box::pin(octet_by_octet(stage)),
        &[
            breaks("TDR-XFR-011", replace(teams("INVITE"), "%3D", "=")),
            breaks("TDR-XFR-013", rewrite(teams("INVITE"), cut)).also(&[(
                "TDR-XFR-011",
                "a header that is cut is not passed on octet by octet",
            )]),
            breaks("TDR-XFR-011", replace(teams("INVITE"), "aHR0c", "AHR0C")),
            breaks(
                "TDR-XFR-010",
                replace(teams("REFER").status(416), "SIP/2.0 416", "SIP/2.0 202"),
            ),
            breaks(
                "TDR-XFR-010",
                Mutation::Told("result=\"refused\"", "result=\"\""),
            )
            .also(&[follows::QUIET]),
            breaks(
                "TDR-XFR-010",
                replace(teams("REFER").status(481), "SIP/2.0 481", "SIP/2.0 202"),
            ),
            breaks(
                "TDR-XFR-010",
                Mutation::Told("reason=\"unknown_dialog\"", "reason=\"\""),
            )
            .also(&[follows::QUIET]),
        ],
    ),
    transfer(
        "TC-XFR-005",
        |stage| Box::pin(from_elsewhere(stage)),
        &[breaks(
            "TDR-XFR-018",
            replace(teams("REFER").status(202), "SIP/2.0 202", "SIP/2.0 481"),
        )],
    )
    .needs(&[Need::Transfers, Need::Elsewhere]),
    transfer(
        "TC-XFR-006",
        |stage| Box::pin(without_refer(stage)),
        &[
            breaks(
                "TDR-XFR-001",
                replace(teams("REFER").status(405), "SIP/2.0 405", "SIP/2.0 500"),
            ),
            breaks(
                "TDR-XFR-001",
                replace(teams("INVITE"), "Allow: ", "Allow: REFER, "),
            ),
            breaks(
                "audio",
                replace(teams("INVITE").status(200).inside(), "inline:", "inline:+"),
            )
            .also(&[follows::QUIET]),
        ],
    )
    .with(|setting| setting.is(word::NO_REFER)),
    transfer(
        "TC-XFR-007",
        |stage| Box::pin(refused(stage)),
        &[
            breaks(
                "TDR-XFR-017",
                replace(teams("NOTIFY"), "SIP/2.0 486", "SIP/2.0 200"),
            ),
            breaks(
                "TDR-XFR-017",
                replace(teams("NOTIFY"), "SIP/2.0 404", "SIP/2.0 500"),
            ),
            breaks("TDR-XFR-017", Mutation::CarrierMedia(Warp::Mute)),
            breaks(
                "TDR-XFR-017",
                then(teams("ACK"), |text| as_method(text, "INVITE")),
            )
            .also(&follows::OFFERED_ANEW_AWAY),
            breaks("TDR-XFR-017", then(teams("INVITE"), once_more)).also(&[(
                "TDR-XFR-011",
                "a call that comes twice is not the one that was asked for",
            )]),
            breaks(
                "TDR-XFR-017",
                then(teams("NOTIFY"), |text| as_method(text, "BYE")),
            ),
        ],
    ),
    transfer(
        "TC-XFR-008",
        |stage| Box::pin(late_bye(stage)),
        &[breaks(
            "TDR-XFR-015",
            then(teams("NOTIFY"), |text| as_method(text, "BYE")),
        )],
    ),
    transfer(
        "TC-XFR-009",
        |stage| Box::pin(ringing_is_heard(stage)),
        &[
            breaks(
                "TDR-XFR-016",
                Mutation::Configuration(
                    "ringback = \"local\"\n",
                    "ringback = \"remote\"\nmusic = \"silence\"\n",
                ),
            ),
            // Nothing but what was heard first is heard, and so no tone of the target.
            breaks("TDR-XFR-016", Mutation::CarrierMedia(Warp::Stuck)).also(&[follows::UNHEARD]),
        ],
    )
    .with(|setting| setting.is(word::RINGBACK)),
    transfer(
        "TC-XFR-010",
        |stage| Box::pin(of_customer(stage)),
        &[
            breaks(
                "TDR-MT-016",
                rewrite(teams("INVITE"), |text| {
                    transfers(text, |text| text.replace("c2.cust", "c1.cust"))
                }),
            )
            .also(&[follows::QUIET, follows::STOPS]),
            breaks(
                "TDR-XFR-012",
                rewrite(teams("INVITE"), |text| {
                    transfers(text, |text| text.replace(OUTSIDE, USER_2))
                }),
            ),
        ],
    )
    .with(|setting| setting.is(word::HOSTING)),
    transfer(
        "TC-XFR-014",
        |stage| Box::pin(by_carrier(stage)),
        &[
            breaks(
                "TDR-XFR-022",
                then(teams("ACK"), |text| as_method(text, "REFER")),
            )
            .also(&[follows::UNKNOWN, follows::UNKNOWN_METHOD]),
            breaks(
                "TDR-XFR-022",
                replace(carrier("REFER").status(202), "SIP/2.0 202", "SIP/2.0 405"),
            ),
        ],
    ),
    transfer(
        "TC-XFR-015",
        |stage| Box::pin(of_call_from_teams(stage)),
        &[
            breaks(
                "TDR-XFR-012",
                rewrite(teams("INVITE"), |text| {
                    text.replace("From: <sip:+441632960001", "From: <sip:+441632960100")
                }),
            ),
            breaks("TDR-XFR-011", without(teams("INVITE"), "Referred-By")),
            breaks("TDR-XFR-014", drop(teams("NOTIFY"))),
            breaks("TDR-XFR-016", Mutation::Configuration(RINGS, SILENT)),
        ],
    ),
    transfer(
        "TC-XFR-016",
        |stage| Box::pin(on_hold_first(stage)),
        &[
            breaks(
                "audio",
                replace(teams("INVITE").first(), "inline:", "inline:+"),
            )
            .also(&[follows::QUIET]),
            breaks(
                "TDR-HLD-003",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=inactive",
                    "a=sendrecv",
                ),
            ),
        ],
    ),
    transfer(
        "TC-XFR-017",
        |stage| Box::pin(twice_over(stage)),
        &[breaks("TDR-XFR-014", drop(teams("NOTIFY")))],
    ),
    transfer(
        "TC-XFR-018",
        |stage| Box::pin(in_time(stage)),
        &[
            breaks(
                "TDR-XFR-014",
                replace(teams("NOTIFY"), "Event: refer", "Event: dialog"),
            ),
            breaks(
                "TDR-XFR-014",
                delay(teams("NOTIFY"), Duration::from_millis(2500)),
            ),
            // Soon enough for the first, and too late after a 180.
            breaks(
                "TDR-XFR-014",
                delay(teams("NOTIFY"), Duration::from_millis(400)),
            ),
            breaks(
                "TDR-XFR-014",
                delay(teams("REFER").status(202), Duration::from_millis(700)),
            ),
            breaks("TDR-XFR-014", replace(teams("NOTIFY"), "CSeq: ", "CSeq: 9")),
            breaks(
                "TDR-XFR-014",
                replace(teams("NOTIFY"), "active;", "pending;"),
            ),
        ],
    )
    .with(|setting| setting.is(word::TEN)),
    transfer(
        "TC-XFR-019",
        |stage| Box::pin(given_up(stage)),
        &[
            breaks("ladder", drop(teams("CANCEL"))).also(&[follows::QUIET]),
            breaks("ladder", drop(teams("BYE"))).also(&[follows::QUIET]),
            breaks(
                "TDR-XFR-014",
                replace(teams("NOTIFY"), "SIP/2.0 487", "SIP/2.0 200"),
            )
            .also(&[follows::QUIET]),
        ],
    ),
    transfer(
        "TC-XFR-020",
        |stage| Box::pin(to_machine(stage)),
        &[
            breaks("TDR-XFR-014", drop(teams("NOTIFY"))),
            breaks(
                "audio",
                rewrite(teams("INVITE"), |text| {
                    transfers(text, |text| text.replace("inline:", "inline:+"))
                }),
            )
            .also(&[follows::QUIET]),
        ],
    ),
    transfer(
        "TC-XFR-021",
        |stage| Box::pin(counted(stage)),
        &[
            breaks(
                "TDR-XFR-020",
                Mutation::Configuration("limits = { calls = 3 }", "limits = { calls = 1 }"),
            ),
            breaks("TDR-XFR-021", Mutation::Told("\"transfers\"", "\"others\"")),
        ],
    )
    .with(|setting| setting.is(word::THREE)),
];

/// The carrier's trunk, and the same where who is transferred hears nothing meanwhile.
const RINGS: &str = "name = \"carrier\"\npreset";
const SILENT: &str = "name = \"carrier\"\nmusic = \"silence\"\npreset";

/// A case for subjects that can transfer.
pub(super) const fn transfer(
    id: &'static str,
    play: for<'s> fn(&'s Stage) -> Play<'s>,
    broken_by: &'static [Break],
) -> Case {
    case(id, play, broken_by).needs(&[Need::Transfers])
}

/// What a ringing tone is at least, in dBm0 (ITU-T E.180 §5 wants -10 with 5 to either side).
const RINGING: f64 = -25.0;

/// Who is transferred hears that the target rings.
async fn rings(stage: &Stage, voice: &Voice) {
    let level = voice.loudest_within(Duration::from_secs(3)).await;
    stage.check("TDR-XFR-016", level > Some(RINGING), || {
        format!("while the target rings {level:.0?} dBm0 are heard, wanted {RINGING}")
    });
}

/// Who is called for a transfer must be told who is transferred.
fn is_called_by(stage: &Stage, new: &Called, party: &str) -> Played {
    let from = new.invite()?.line("From").unwrap_or_default();
    stage.check("TDR-XFR-012", from.contains(party), || {
        format!("From is {from}, who is transferred is {party}")
    });
    Ok(())
}

/// TC-XFR-001.
async fn to_user(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let Talk { caller, called } = &mut talk;
    called.voice.hushes();
    let mut new = is_referred(stage, &mut called.leg, TARGET, BY).await?;
    is_called_by(stage, &new, OUTSIDE)?;
    new.leg.respond(180, "Ringing", None, &[])?;
    is_told(&mut called.leg, 180).await?;
    rings(stage, &caller.voice).await;
    target_answers(stage, &mut called.leg, &mut new, &mut caller.end()).await?;
    called.leg.hang_up().await.rule("TDR-XFR-015")?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// INVITE to the carrier for the number to which a call is transferred, made of an answer to the carrier.
fn call_to_carrier(answer: &str) -> String {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.split("\r\n").skip(1);
    let lines: Vec<&str> = ["INVITE sip:+441632960002@carrier.example SIP/2.0"]
        .into_iter()
        .chain(lines)
        .collect();
    lines.join("\r\n") + "\r\n\r\n"
}

/// The same INVITE to another machine, as a subject sends it that tries elsewhere.
fn once_more(invite: &str) -> String {
    again(invite).replacen("Call-ID: ", "Call-ID: again-", 1)
}

/// TC-XFR-002: Teams is called for the number, and calls it itself.
async fn to_number(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let target = "sip:+441632960002@sip.pstnhub.example:5061;user=phone;transport=tls";
    let Talk { caller, called } = &mut talk;
    let mut new = is_referred(stage, &mut called.leg, target, BY).await?;
    stage.check(
        "TDR-XFR-010",
        new.invite()?.uri_text().contains("+441632960002"),
        || "Teams is not called for the number".to_owned(),
    );
    let asked = stage.tape.requests(Side::Carrier, "INVITE").len();
    stage.check("TDR-XFR-010", asked == 0, || {
        "the carrier is called for the number before Teams calls it".to_owned()
    });
    let onward = stage.teams_dials_as(0, "+441632960002", |_| {}).await?;
    let reached = stage.carrier_is_called().await.rule("TDR-XFR-020")?;
    let mut onward = stage.answered(onward, reached).await?;
    target_answers(stage, &mut called.leg, &mut new, &mut caller.end()).await?;
    called.leg.hang_up().await?;
    // Teams joins the two calls, and those outside hear each other.
    new.voice.joins(&onward.caller.voice);
    let heard = stage.voices_hear_each_other(&caller.voice, &onward.called.voice);
    heard.await.rule("TDR-XFR-020")?;
    ends(&mut talk.caller.leg, &mut new.leg).await?;
    onward.caller_ends().await
}

/// TC-XFR-003.
async fn after_consultation(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let mut consulted = stage.from_teams().await?;
    let mut new = transferred_by_user(stage, &mut talk, TARGET, BY).await?;
    for name in ["Replaces", "Target-Dialog"] {
        let line = new.invite()?.line(name).map(str::to_owned);
        stage.check("TDR-XFR-019", line.is_none(), || {
            format!("{name}: {line:?}")
        });
    }
    consulted.caller_ends().await?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// TC-XFR-004.
async fn octet_by_octet(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let token = "aHR0cHM6Ly9BcGkt".repeat(56);
    let by = format!(
        "<sip:sip.pstnhub.example:5061;x-tt={token}%3D%3D;X-Ti=Ab%2Fc;x-m=8:orgid:MiXed;x-t=1>"
    );
    let target = "sip:sip.pstnhub.example:5061;x-m=8:orgid:MiXed-%41;transport=tls;X-Other=b%20";
    let mut new = transferred_by_user(stage, &mut talk, target, &by).await?;
    ends(&mut talk.caller.leg, &mut new.leg).await?;
    of_four_kib(stage).await?;
    forged(stage).await
}

/// What refers is as long as a header must be able to be.
async fn of_four_kib(stage: &Stage) -> Played {
    let rule = "TDR-XFR-013";
    let token = "aHR0cHM6Ly9BcGkt".repeat(250);
    let place = "b".repeat(96);
    let by = format!("<sip:sip.pstnhub.example:5061;x-tt={token};x-m=8:orgid:MiXed>;x-ti={place}");
    let mut talk = stage.to_teams().await?;
    let Talk { caller, called } = &mut talk;
    let new = transferred(stage, &mut called.leg, &mut caller.end(), (TARGET, &by)).await;
    let mut new = new.rule(rule)?;
    let told = new.invite()?.line("Referred-By").unwrap_or_default();
    stage.check(rule, told.len() == by.len(), || {
        format!(
            "of {} octets in Referred-By {} are passed on",
            by.len(),
            told.len()
        )
    });
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// A faulty subject: lines of the header of a call that are longer than 4,000 octets are cut.
fn cut(invite: &str) -> String {
    let lines = invite.split("\r\n");
    let lines = lines.map(|line| line.get(..4_000).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\r\n")
}

/// Strings that are none of Teams': what cannot be called is refused, what is of somebody else leads to Teams
/// all the same and to nobody else, and who is not in the call transfers nothing. The call goes on.
async fn forged(stage: &Stage) -> Played {
    let rule = "TDR-XFR-010";
    let calls = || stage.tape.requests(Side::Carrier, "INVITE").len();
    let before = calls();
    let mut talk = stage.to_teams().await?;
    let leg = &mut talk.called.leg;
    for target in [
        "<sip:>",
        "<sip:+441632960002@sip.pstnhub.example",
        "<https://evil.example/a>",
        "<sip:sip.pstnhub.example:5061;method=BYE>",
    ] {
        let extra = [("Refer-To", target.to_owned())];
        let answer = leg.ask("REFER", &extra, None).await.rule(rule)?;
        let is_refused = matches!(answer.status(), Some(400..=499 | 600..=699));
        stage.check(rule, is_refused, || {
            format!(
                "Refer-To: {target} got {}, wanted 4xx or 6xx",
                answer.title()
            )
        });
    }
    let labels = ["result=\"refused\""];
    stage.counts(rule, "sbc_transfer_total", &labels).await;
    let extra = [("Refer-To", format!("<{TARGET}>"))];
    let answer = leg.asks_as_another("REFER", &extra).await.rule(rule)?;
    stage.check(rule, answer.status() == Some(481), || {
        format!("one who is not in the call got {}", answer.title())
    });
    let labels = ["reason=\"unknown_dialog\""];
    stage.counts(rule, "sbc_sip_dropped_total", &labels).await;
    let foreign = "sip:+19005550100@evil.example:5061;transport=tcp";
    let mut new = is_referred(stage, leg, foreign, BY).await.rule(rule)?;
    new.leg.respond(404, "Not Found", None, &[])?;
    new.leg.acknowledged_failure().await?;
    is_told_last(stage, leg, 404).await?;
    let labels = ["result=\"failed\""];
    stage.counts(rule, "sbc_transfer_total", &labels).await;
    stage.check(rule, calls() == before, || {
        "the carrier was called for a transfer".to_owned()
    });
    stage.hear_each_other(&talk).await.rule(rule)?;
    talk.caller_ends().await
}

/// TC-XFR-005.
async fn from_elsewhere(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let ip = stage.proxies[3].address().ip();
    talk.called.leg.flow = stage.proxies[0].connection_from(ip, &stage.trunk()).await?;
    let new = transferred_by_user(stage, &mut talk, TARGET, BY).await;
    let mut new = new.rule("TDR-XFR-018")?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// TC-XFR-006.
async fn without_refer(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    for (_, _, invite) in stage.tape.requests(Side::Teams, "INVITE") {
        let allowed = invite.values("Allow").join(", ");
        stage.check("TDR-XFR-001", !allowed.contains("REFER"), || {
            format!("Allow is {allowed}")
        });
    }
    let extra = [("Refer-To", format!("<{TARGET}>"))];
    let answer = talk.called.leg.ask("REFER", &extra, None).await?;
    stage.check("TDR-XFR-001", answer.status() == Some(405), || {
        format!("REFER got {}", answer.title())
    });
    // Teams transfers by itself then, and changes where the audio is.
    let (mut caller, mut called) = talk.ends();
    called.continues_with(stage.voice_of_teams().await?);
    let offer = called.describes(1, "a=sendrecv");
    stage.one_changes(&mut called, &mut caller, offer).await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-XFR-007.
async fn refused(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    // Nobody transfers as soon as he answers.
    talk.lasts(Duration::from_secs(4)).await;
    for (status, phrase) in [(486, "Busy Here"), (404, "Not Found")] {
        let mut new = is_referred(stage, &mut talk.called.leg, TARGET, BY).await?;
        new.leg.respond(status, phrase, None, &[])?;
        new.leg.acknowledged_failure().await.rule("TDR-XFR-017")?;
        let told = is_told_last(stage, &mut talk.called.leg, status).await;
        told.rule("TDR-XFR-017")?;
        stage.hear_each_other(&talk).await.rule("TDR-XFR-017")?;
    }
    let invites = stage.tape.requests(Side::Teams, "INVITE").len();
    stage.check("TDR-XFR-017", invites == 3, || {
        format!("{invites} INVITEs for a call and two transfers")
    });
    let byes = stage.tape.requests(Side::Teams, "BYE").len();
    stage.check("TDR-XFR-017", byes == 0, || {
        "the call that Teams goes on with is ended".to_owned()
    });
    talk.caller_ends().await
}

/// Changes an INVITE of a transfer, and no other.
pub(super) fn transfers(invite: &str, change: fn(&str) -> String) -> String {
    match invite.contains("x-m=") {
        true => change(invite),
        false => invite.to_owned(),
    }
}

/// For so long Teams is left to end the call itself: a little less than the 32 s after which the subject may.
const LEAVES: Duration = Duration::from_secs(31);

/// TC-XFR-008.
async fn late_bye(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let Talk { caller, called } = &mut talk;
    let mut new = is_referred(stage, &mut called.leg, TARGET, BY).await?;
    target_answers(stage, &mut called.leg, &mut new, &mut caller.end()).await?;
    let told = stage.tape.requests(Side::Teams, "NOTIFY");
    let told = told.last().map_or(Duration::ZERO, |(at, ..)| *at);
    let left = (told + LEAVES).saturating_sub(stage.tape.now());
    let early = called.leg.asked("BYE", left).await;
    stage.check("TDR-XFR-015", early.is_err(), || {
        "BYE although Teams ends the call itself".to_owned()
    });
    called.leg.hang_up().await.rule("TDR-XFR-015")?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// What the target of a transfer plays before it answers.
const EARLY: f64 = 811.3;

/// TC-XFR-009: tones of ours while the target rings, its own as soon as there are any.
async fn ringing_is_heard(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    talk.called.voice.hushes();
    let mut new = is_referred(stage, &mut talk.called.leg, TARGET, BY).await?;
    new.leg.respond(180, "Ringing", None, &[])?;
    is_told(&mut talk.called.leg, 180).await?;
    rings(stage, &talk.caller.voice).await;
    let answer = new.answer(Codec::Pcma);
    new.leg
        .respond(183, "Session Progress", Some(answer), &[])?;
    new.voice.plays(EARLY);
    let is_heard = talk.caller.voice.waits_for(EARLY, PATIENCE).await;
    stage.check("TDR-XFR-016", is_heard, || {
        "the target's own early tone is not heard".to_owned()
    });
    let Talk { caller, called } = &mut talk;
    target_answers(stage, &mut called.leg, &mut new, &mut caller.end()).await?;
    called.leg.hang_up().await?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// TC-XFR-010.
async fn of_customer(stage: &Stage) -> Played {
    let number = format!("{}00", CUSTOMER_NUMBERS[1]);
    let caller = stage.carrier_dials_as(&number, |_| {}).await?;
    let called = stage.teams_is_called().await?;
    let mut talk = stage.answered(caller, called).await?;
    let mut new = is_referred(stage, &mut talk.called.leg, TARGET, BY).await?;
    let contact = new.invite()?.line("Contact").unwrap_or_default().to_owned();
    stage.check("TDR-MT-016", contact.contains(CUSTOMERS[1]), || {
        format!("Contact is {contact}, the call is of {}", CUSTOMERS[1])
    });
    is_called_by(stage, &new, OUTSIDE)?;
    let Talk { caller, called } = &mut talk;
    target_answers(stage, &mut called.leg, &mut new, &mut caller.end()).await?;
    called.leg.hang_up().await?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// TC-XFR-014.
async fn by_carrier(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let Talk { caller, called } = &mut talk;
    let target = format!("sip:{USER_2}@{}", stage.carrier_side);
    let by = format!("<sip:{OUTSIDE}@{}>", stage.carrier_side);
    refers(&mut caller.leg, &target, &by)
        .await
        .rule("TDR-XFR-022")?;
    let mut new = stage.teams_is_called().await.rule("TDR-XFR-022")?;
    let reached = target_answers(stage, &mut caller.leg, &mut new, &mut called.end()).await;
    reached.rule("TDR-XFR-022")?;
    caller.leg.hang_up().await?;
    let refers = stage.tape.requests(Side::Teams, "REFER").len();
    stage.check("TDR-XFR-022", refers == 0, || "Teams gets REFER".to_owned());
    ends(&mut talk.called.leg, &mut new.leg).await
}

/// TC-XFR-015.
async fn of_call_from_teams(stage: &Stage) -> Played {
    let mut talk = stage.from_teams().await?;
    let Talk { caller, called } = &mut talk;
    caller.voice.hushes();
    let by = &mut caller.leg;
    let mut new = is_referred(stage, by, TARGET, BY).await?;
    is_called_by(stage, &new, OUTSIDE)?;
    new.leg.respond(180, "Ringing", None, &[])?;
    is_told(by, 180).await?;
    rings(stage, &called.voice).await;
    target_answers(stage, by, &mut new, &mut called.end()).await?;
    by.hang_up().await.rule("TDR-XFR-015")?;
    ends(&mut talk.called.leg, &mut new.leg).await
}

/// TC-XFR-016.
async fn on_hold_first(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let (mut caller, mut called) = talk.ends();
    let held = called.describes(1, "a=inactive");
    let answer = stage.one_changes(&mut called, &mut caller, held).await?;
    stage.check("TDR-HLD-003", direction(&answer) == "a=inactive", || {
        format!("the answer to inactive is {}", direction(&answer))
    });
    let mut new = transferred_by_user(stage, &mut talk, TARGET, BY).await?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// TC-XFR-017.
async fn twice_over(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    talk.called = transferred_by_user(stage, &mut talk, TARGET, BY).await?;
    let mut new = transferred_by_user(stage, &mut talk, TARGET, BY).await?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// Calls in TC-XFR-018 when one of them is transferred: 80 % of what the trunk takes.
const LOAD: usize = word::FULL * 8 / 10;

/// TC-XFR-018.
async fn in_time(stage: &Stage) -> Played {
    let rule = "TDR-XFR-014";
    let mut others = Vec::new();
    while others.len() + 1 < LOAD {
        others.push(stage.to_teams().await?);
    }
    let mut talk = stage.to_teams().await?;
    let began = stage.tape.now();
    let Talk { caller, called } = &mut talk;
    let mut new = is_referred(stage, &mut called.leg, TARGET, BY).await?;
    new.leg.respond(180, "Ringing", None, &[])?;
    is_told(&mut called.leg, 180).await?;
    let early = new.answer(Codec::Pcma);
    new.leg.respond(183, "Session Progress", Some(early), &[])?;
    is_told(&mut called.leg, 183).await?;
    target_answers(stage, &mut called.leg, &mut new, &mut caller.end()).await?;
    called.leg.hang_up().await.rule("TDR-XFR-015")?;
    let notices = stage.tape.requests(Side::Teams, "NOTIFY");
    let accepted = stage.tape.of_subject(Side::Teams);
    let accepted = accepted.iter().find(|(.., m)| m.status() == Some(202));
    let accepted = accepted.map_or(Duration::MAX, |(at, ..)| *at - began);
    let told = |status: u16| {
        let begin = format!("SIP/2.0 {status}");
        let found = notices.iter().find(|(.., m)| m.body().starts_with(&begin));
        found.map_or(Duration::MAX, |(at, ..)| *at)
    };
    let mut times = vec![
        ("202".to_owned(), accepted, 500),
        ("NOTIFY of 100".to_owned(), told(100) - began, 1000),
    ];
    for status in [180, 183] {
        let seen = stage.tape.seen();
        let said = seen.iter().find(|one| {
            let is_it =
                |m: &Message| m.status() == Some(status) && m.call_id() == new.leg.call_id();
            one.from == From::Peer && one.message.as_ref().is_ok_and(is_it)
        });
        let said = said.map_or(Duration::ZERO, |one| one.at);
        let took = told(status).saturating_sub(said);
        times.push((format!("NOTIFY of {status}"), took, 200));
    }
    for (what, took, most) in times {
        stage.check(rule, took.as_millis() <= most, || {
            format!("{what} came after {took:?}, wanted {most} ms")
        });
    }
    let mut before = 1;
    for (_, _, notify) in &notices {
        let line = |name| notify.line(name).unwrap_or_default();
        let (event, kind, state) = (
            line("Event"),
            line("Content-Type"),
            line("Subscription-State"),
        );
        let number = notify.cseq().map_or(0, |(number, _)| number);
        let body = notify.body();
        let wanted = match body.starts_with("SIP/2.0 1") {
            true => "active",
            false => "terminated",
        };
        let is_right = event.starts_with("refer")
            && kind.starts_with("message/sipfrag")
            && body.starts_with("SIP/2.0 ")
            && state.starts_with(wanted)
            && number == before + 1;
        stage.check(rule, is_right, || {
            format!(
                "NOTIFY {number} after {before}: Event {event}, Content-Type {kind}, \
                 Subscription-State {state}"
            )
        });
        before = number;
    }
    ends(&mut talk.caller.leg, &mut new.leg).await?;
    for mut other in others {
        other.caller_ends().await?;
    }
    Ok(())
}

/// TC-XFR-019.
async fn given_up(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let Talk { caller, called } = &mut talk;
    let mut new = is_referred(stage, &mut called.leg, TARGET, BY).await?;
    new.leg.respond(180, "Ringing", None, &[])?;
    is_told(&mut called.leg, 180).await?;
    let (bye, cancelled) = tokio::join!(caller.leg.hang_up(), new.leg.cancelled(PATIENCE));
    bye?;
    cancelled?;
    is_told_last(stage, &mut called.leg, 487).await?;
    Ok(called.leg.hung_up(PATIENCE).await?)
}

/// TC-XFR-020.
async fn to_machine(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let Talk { caller, called } = &mut talk;
    let mut new = is_referred(stage, &mut called.leg, TARGET, BY).await?;
    target_answers(stage, &mut called.leg, &mut new, &mut caller.end()).await?;
    called.leg.hang_up().await?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// TC-XFR-021: three legs at the trunk, and a transfer is told in the record of its call.
async fn counted(stage: &Stage) -> Played {
    to_number(stage).await.rule("TDR-XFR-020")?;
    if !stage.shows_operators("records") {
        return Ok(());
    }
    // One record for the call and who took it over, with what was talked with whom.
    let is_one = |told: &str| {
        let all: Vec<Value> = serde_json::from_str(told).unwrap_or_default();
        let count = |call: &Value, what: &str| call[what].as_array().map_or(0, Vec::len);
        let of_transfer = |call: &&Value| {
            count(call, "transfers") == 1
                && count(call, "conversations") == 2
                && call["transfers"][0]["outcome"] == "completed"
        };
        all.len() == 2 && all.iter().filter(of_transfer).count() == 1
    };
    let told = stage.ask_until("/calls/recent", PATIENCE, is_one).await;
    stage.check("TDR-XFR-021", told.is_ok(), || {
        "there are no two records, of the transferred call and of Teams' own".to_owned()
    });
    Ok(())
}
