//! EMG: calls for help.

use super::bypass::with_bypass;
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::change::SETTLED;
use crate::certify::follows;
use crate::certify::ladder::Caller;
use crate::certify::mutation::{
    Mutation, carrier, drop, replace, replace_after, rewrite, teams, then, with, without,
};
use crate::certify::setting::{OUTSIDE, Setting, USER, USER_2};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::media::sdp;
use crate::peer::leg::Parties;
use crate::peer::message::Message;
use std::collections::BTreeSet;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-EMG-001",
        |stage| Box::pin(located(stage)),
        &[
            breaks(
                "TDR-EMG-002",
                replace(carrier("INVITE"), "<ca:LOC>", "<ca:loc>"),
            ),
            breaks("TDR-EMG-002", without(carrier("INVITE"), "Geolocation")),
            breaks(
                "TDR-EMG-002",
                replace(carrier("INVITE"), "Content-ID: ", "Content-Id: "),
            ),
            breaks("TDR-EMG-002", rewrite(carrier("INVITE"), with_odd_line)).also(&[(
                "RFC3264",
                "a line of Teams' media is none of an offer to the carrier",
            )]),
            breaks(
                "TDR-EMG-001",
                Mutation::Told("sbc_emergency_calls_total", "sbc_other_total"),
            ),
        ],
    )
    .with(with_location),
    case(
        "TC-EMG-002",
        |stage| Box::pin(in_other_forms(stage)),
        &[
            breaks(
                "TDR-EMG-002",
                replace(carrier("INVITE"), "<ca:LOC>", "<ca:loc>"),
            ),
            breaks("TDR-EMG-002", Mutation::Told("why=\"not_xml\"", "why=\"\"")),
        ],
    )
    .with(with_location),
    case(
        "TC-EMG-003",
        |stage| Box::pin(while_full(stage)),
        &[breaks(
            "TDR-EMG-006",
            Mutation::Configuration("\"112\", ", "\"000\", "),
        )],
    )
    .with(|setting| {
        setting.is(word::EMERGENCY);
        setting.is(word::ONE_AT_CARRIER);
    }),
    case(
        "TC-EMG-004",
        |stage| Box::pin(numbers_for_help(stage)),
        &[
            breaks("TDR-EMG-001", Mutation::Configuration("\"933\"", "\"934\"")),
            // Nobody is screened, so that it is not seen whether calls for help are.
            breaks(
                "TDR-EMG-006",
                Mutation::Configuration("calls_per_minute = 1", "calls_per_minute = 90"),
            ),
        ],
    )
    .with(|setting| {
        setting.is(word::EMERGENCY_APART);
        setting.is(word::SCREENED);
    }),
    case(
        "TC-EMG-005",
        |stage| Box::pin(shown_as_place(stage)),
        &[breaks(
            "TDR-EMG-005",
            rewrite(carrier("INVITE"), |text| {
                let last = |at: usize| format!("+44163296019{at}@");
                (0..3).fold(text.to_owned(), |text, at| {
                    text.replace(&last(at), "+441632960100@")
                })
            }),
        )],
    )
    .needs(&[Need::Elin])
    .with(with_places),
    case(
        "TC-EMG-006",
        |stage| Box::pin(called_back(stage)),
        &[breaks(
            "TDR-EMG-005",
            replace(
                teams("INVITE"),
                "sip:+441632960100@sip",
                "sip:+441632960190@sip",
            ),
        )],
    )
    .needs(&[Need::Elin])
    .with(with_places),
    case(
        "TC-EMG-007",
        |stage| Box::pin(no_number_left(stage)),
        &[
            breaks(
                "TDR-EMG-005",
                replace(
                    teams("INVITE"),
                    "sip:+441632960103@sip",
                    "sip:+441632960100@sip",
                ),
            ),
            breaks(
                "TDR-EMG-005",
                replace(
                    teams("INVITE"),
                    "sip:+441632960101@sip",
                    "sip:+441632960103@sip",
                ),
            ),
            breaks(
                "TDR-EMG-005",
                Mutation::Told("sbc_emergency_elins_reused_total", "sbc_other_total"),
            ),
            breaks("TDR-EMG-005", drop(carrier("INVITE"))),
            breaks(
                "TDR-EMG-005",
                with(
                    carrier("INVITE"),
                    "P-Asserted-Identity: <sip:+441632960100@sbc.example>",
                ),
            ),
            breaks("TDR-EMG-005", drop(teams("INVITE"))),
            breaks(
                "TDR-EMG-005",
                replace(carrier("INVITE"), "+441632960191", "+441632960190"),
            ),
            // Three callers have a number each, and the fourth one that is not the oldest.
            breaks(
                "TDR-EMG-005",
                replace_after(carrier("INVITE"), 3, "+441632960190", "+441632960192"),
            ),
        ],
    )
    .needs(&[Need::Elin])
    .with(with_places),
    case(
        "TC-EMG-008",
        |stage| Box::pin(first_trunk_fails(stage)),
        &[
            breaks("TDR-EMG-006", drop(carrier("INVITE"))),
            breaks(
                "TDR-EMG-006",
                Mutation::Configuration(
                    "{ trunk = \"carrier\" }, { trunk = \"carrier-2\" }",
                    "{ trunk = \"carrier\" }",
                ),
            ),
            breaks(
                "TDR-EMG-006",
                then(teams("INVITE").status(100), |text| {
                    text.replacen("SIP/2.0 100 Trying", "SIP/2.0 403 Forbidden", 1)
                }),
            )
            .also(&[follows::STOPS]),
        ],
    )
    .with(|setting| setting.is(word::EMERGENCY_TWICE)),
    case(
        "TC-EMG-009",
        |stage| Box::pin(without_location(stage)),
        &[
            breaks(
                "TDR-EMG-002",
                with(carrier("INVITE"), "Geolocation: <cid:1@contoso.example>"),
            ),
            breaks(
                "TDR-EMG-002",
                Mutation::Configuration("location = false", "location = true"),
            ),
        ],
    )
    .with(|setting| {
        setting.is(word::EMERGENCY);
        setting.is(word::NO_LOCATION);
    }),
    case(
        "TC-EMG-010",
        |stage| Box::pin(without_candidates(stage)),
        &[
            breaks("TDR-EMG-006", drop(carrier("INVITE"))),
            breaks("TDR-EMG-006", drop(teams("INVITE").status(200))),
        ],
    )
    .needs(&[Need::Bypass])
    .with(|setting| {
        setting.is(word::EMERGENCY);
        with_bypass(setting);
    }),
    case(
        "TC-EMG-011",
        |stage| Box::pin(other_marks(stage)),
        &[breaks(
            "TDR-EMG-003",
            Mutation::Configuration("emergency = true }", "called = '^000$' }"),
        )],
    )
    .with(|setting| setting.is(word::EMERGENCY_APART)),
    case(
        "TC-EMG-012",
        |stage| Box::pin(methods(stage)),
        &[
            breaks("TDR-EMG-004", drop(carrier("INVITE"))),
            breaks(
                "TDR-EMG-004",
                replace(carrier("INVITE"), "<gp:method>CLS", "<gp:method>LIS"),
            ),
            breaks("TDR-EMG-004", Mutation::Told("GUESS", "LIS")),
        ],
    )
    .with(with_location),
];

/// The carrier takes locations.
fn with_location(setting: &mut Setting) {
    setting.is(word::EMERGENCY);
    setting.is(word::LOCATION);
}

/// Locations name numbers to be called back under.
fn with_places(setting: &mut Setting) {
    setting.is(word::EMERGENCY);
    setting.is(word::ELIN);
}

/// A location as Teams tells it: a number of the place, and how it was found.
fn location(elin: &str, method: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
         <presence entity=\"sip:ada@contoso.example\" xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:gp=\"urn:ietf:params:xml:ns:pidf:geopriv10\" \
         xmlns:ca=\"urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr\">\r\n\
         <tuple id=\"0\"><status><gp:geopriv><gp:location-info><ca:civicAddress>\
         <ca:country>GB</ca:country><ca:LOC>floor 2</ca:LOC><ca:NAM>Contoso</ca:NAM>\
         <ca:ELIN>{elin}</ca:ELIN></ca:civicAddress></gp:location-info><gp:usage-rules/>\
         <gp:method>{method}</gp:method></gp:geopriv></status></tuple>\r\n</presence>\r\n"
    )
}

/// A location as part of a body.
fn part(location: &str) -> String {
    format!(
        "Content-Type: application/pidf+xml\r\nContent-ID: <1@contoso.example>\r\n\
         Content-Transfer-Encoding: binary\r\n\r\n{location}"
    )
}

/// A faulty subject: it passes on what Teams says of its own media.
fn with_odd_line(text: &str) -> String {
    text.replacen("s=-\r\n", "s=-\r\na=label:main-audio\r\n", 1)
}

/// How a call for help is written.
struct Help<'h> {
    from: &'h str,
    number: &'h str,
    location: Option<&'h str>,
    boundary: &'h str,
    is_reversed: bool,
    extra: &'h [(&'static str, &'h str)],
}

impl Default for Help<'_> {
    fn default() -> Self {
        Self {
            from: USER,
            number: "112",
            location: None,
            boundary: "b1",
            is_reversed: false,
            extra: &[],
        }
    }
}

/// Teams calls for help.
async fn calls(stage: &Stage, help: &Help<'_>) -> Result<Caller, Failure> {
    let voice = stage.voice_of_teams().await?;
    let offer = sdp::teams_offer(voice.at, &voice.key);
    let body = help.location.map(|location| {
        let description = format!("Content-Type: application/sdp\r\n\r\n{offer}");
        let place = part(location);
        let limit = format!("--{}", help.boundary);
        let (first, second) = match help.is_reversed {
            true => (place, description),
            false => (description, place),
        };
        format!("{limit}\r\n{first}\r\n{limit}\r\n{second}\r\n{limit}--\r\n")
    });
    let change = |parties: &mut Parties| {
        parties.from = parties.from.replace(USER, help.from);
        let extra = help
            .extra
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        parties.extra.extend(extra);
        if help.location.is_some() {
            let kind = format!("multipart/mixed;boundary=\"{}\"", help.boundary);
            parties.extra.push(("Content-Type", kind));
            let place = "<cid:1@contoso.example>;inserted-by=endpoint".to_owned();
            parties.extra.push(("Geolocation", place));
        }
    };
    stage
        .teams_offers(0, help.number, voice, body.unwrap_or(offer), change)
        .await
}

/// A call for help that reaches a carrier, and is ended there; the INVITE.
async fn reaches(
    stage: &Stage,
    help: &Help<'_>,
    index: usize,
    rule: &str,
) -> Result<Message, Failure> {
    let caller = calls(stage, help).await?;
    let called = stage.carrier_is_called_at(index).await.rule(rule)?;
    let invite = called.invite()?.clone();
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await?;
    Ok(invite)
}

/// A location reached the carrier as it was written, and its header with it.
fn is_passed_on(stage: &Stage, invite: &Message, location: &str) {
    let passed = invite.body().contains(part(location).trim_end());
    stage.check("TDR-EMG-002", passed, || {
        "the carrier does not get the location as Teams wrote it".to_owned()
    });
    let place = invite.line("Geolocation").unwrap_or_default();
    let is_named = place.contains("cid:1@contoso.example");
    stage.check("TDR-EMG-002", is_named, || {
        format!("Geolocation is \"{place}\"")
    });
    // Of the description nothing of Teams is left: not its attributes, not its keys.
    let description = invite.description();
    let left = ["a=label:", "a=crypto:", "a=mid:"];
    let left = left.iter().find(|left| description.contains(**left));
    let is_own = description.contains("m=audio ") && left.is_none();
    stage.check("TDR-EMG-002", is_own, || {
        format!("the description that the carrier gets has {left:?}: {description}")
    });
}

/// TC-EMG-001.
async fn located(stage: &Stage) -> Played {
    let location = location("+441632960190", "LIS");
    let help = Help {
        location: Some(&location),
        ..Help::default()
    };
    let invite = reaches(stage, &help, 0, "TDR-EMG-002").await?;
    is_passed_on(stage, &invite, &location);
    // It was one for help, and so comes before others.
    stage
        .counts("TDR-EMG-001", "sbc_emergency_calls_total", &[])
        .await;
    Ok(())
}

/// TC-EMG-002.
async fn in_other_forms(stage: &Stage) -> Played {
    let location = location("", "LIS");
    for boundary in ["b1", "----=_Part (7):'x'"] {
        let help = Help {
            location: Some(&location),
            is_reversed: true,
            boundary,
            ..Help::default()
        };
        let invite = reaches(stage, &help, 0, "TDR-EMG-002").await?;
        is_passed_on(stage, &invite, &location);
    }
    // What is no location at all must not keep anybody from help.
    for odd in [
        "this is no XML",
        "<presence><tuple>",
        "<?xml version=\"1.0\"?><a/>",
    ] {
        let help = Help {
            location: Some(odd),
            ..Help::default()
        };
        reaches(stage, &help, 0, "TDR-EMG-002").await?;
    }
    let name = "sbc_emergency_locations_unreadable_total";
    for why in ["not_xml"] {
        let labels = [&*format!("why=\"{why}\"")];
        stage.counts("TDR-EMG-002", name, &labels).await;
    }
    Ok(())
}

/// TC-EMG-003.
async fn while_full(stage: &Stage) -> Played {
    let mut other = stage.from_teams().await?;
    let caller = calls(stage, &Help::default()).await?;
    let called = stage.carrier_is_called().await.rule("TDR-EMG-006")?;
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await?;
    // The other call may have been ended to make room, or there was room.
    match other.caller.leg.hung_up(SETTLED).await {
        Ok(()) => Ok(other.called.leg.hung_up(PATIENCE).await?),
        Err(_) => other.caller_ends().await,
    }
}

/// The number that an INVITE is for must be the one that was dialled.
fn is_as_dialled(stage: &Stage, invite: &Message, number: &str, rule: &str) {
    let uri = invite.uri_text();
    stage.check(rule, uri.starts_with(&format!("sip:{number}@")), || {
        format!("{number} went out as {uri}")
    });
}

/// TC-EMG-004: while ordinary calls are screened.
async fn numbers_for_help(stage: &Stage) -> Played {
    stage.from_teams().await?.caller_ends().await?;
    let mut second = stage.teams_dials().await?;
    let refused = second.is_refused();
    let refused = tokio::time::timeout(SETTLED, refused).await;
    stage.check("TDR-EMG-006", matches!(refused, Ok(Ok(_))), || {
        "ordinary calls are not screened, so that nothing is shown of others".to_owned()
    });
    for number in ["112", "911", "999", "933"] {
        let help = Help {
            number,
            ..Help::default()
        };
        let invite = reaches(stage, &help, 1, "TDR-EMG-001").await?;
        is_as_dialled(stage, &invite, number, "TDR-EMG-001");
    }
    Ok(())
}

/// A call for help of a user in a place with these numbers: whom the carrier takes for the caller.
async fn shown(stage: &Stage, from: &str, numbers: &str) -> Result<String, Failure> {
    let location = location(numbers, "LIS");
    let help = Help {
        from,
        location: Some(&location),
        ..Help::default()
    };
    let invite = reaches(stage, &help, 0, "TDR-EMG-005").await?;
    let user = |name: &str| {
        let uri = invite.line(name).and_then(|line| line.split_once("sip:"));
        uri.and_then(|(_, rest)| Some(rest.split_once('@')?.0.to_owned()))
    };
    let shown = user("From").unwrap_or_default();
    let asserted = user("P-Asserted-Identity").unwrap_or_else(|| shown.clone());
    stage.check("TDR-EMG-005", asserted == shown, || {
        format!("From is {shown}, P-Asserted-Identity {asserted}")
    });
    Ok(shown)
}

/// Numbers of a place, the first with hyphens.
const PLACE: &str = "+44-1632-960190;+441632960191;+441632960192";
const OF_PLACE: [&str; 3] = ["+441632960190", "+441632960191", "+441632960192"];

/// TC-EMG-005: the number leads back to who was lent it.
async fn shown_as_place(stage: &Stage) -> Played {
    let from = shown(stage, USER, PLACE).await?;
    stage.check("TDR-EMG-005", OF_PLACE.contains(&&*from), || {
        format!("From is {from}, the place has {PLACE}")
    });
    calls_back(stage, &from, USER).await
}

/// The carrier calls back; who is called at Teams must be this user.
async fn calls_back(stage: &Stage, number: &str, user: &str) -> Played {
    let mut caller = stage.carrier_dials_as(number, |_| {}).await?;
    let mut called = stage.teams_is_called().await.rule("TDR-EMG-005")?;
    let uri = called.invite()?.uri_text().to_owned();
    stage.check(
        "TDR-EMG-005",
        uri.starts_with(&format!("sip:{user}@")),
        || format!("a call back to {number} goes to {uri}, wanted {user}"),
    );
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// TC-EMG-006.
async fn called_back(stage: &Stage) -> Played {
    shown(stage, USER, "+441632960190").await?;
    calls_back(stage, "+441632960190", USER).await
}

/// TC-EMG-007: four callers and three numbers, of which the last caller gets that of the first.
async fn no_number_left(stage: &Stage) -> Played {
    let rule = "TDR-EMG-005";
    let users = [USER, USER_2, "+441632960102", "+441632960103"];
    let mut lent = Vec::new();
    for user in users {
        lent.push(shown(stage, user, PLACE).await?);
    }
    let different: BTreeSet<&str> = lent[..3].iter().map(String::as_str).collect();
    stage.check(rule, different == BTreeSet::from(OF_PLACE), || {
        format!("three callers are shown as {different:?}, the place has {PLACE}")
    });
    stage.check(rule, lent[3] == lent[0], || {
        format!(
            "the fourth is shown as {}, the oldest is {}",
            lent[3], lent[0]
        )
    });
    let name = "sbc_emergency_elins_reused_total";
    stage.counts(rule, name, &[]).await;
    for (number, user) in [(&lent[0], users[3]), (&lent[1], users[1])] {
        calls_back(stage, number, user).await?;
    }
    Ok(())
}

/// TC-EMG-008.
async fn first_trunk_fails(stage: &Stage) -> Played {
    let mut caller = calls(stage, &Help::default()).await?;
    let mut first = stage.carrier_is_called_at(0).await.rule("TDR-EMG-006")?;
    first.leg.respond(403, "Forbidden", None, &[])?;
    first.leg.acknowledged_failure().await?;
    let called = stage.carrier_is_called_at(1).await.rule("TDR-EMG-006")?;
    let early = caller.leg.unasked();
    let is_told = early.iter().any(|message| message.status() >= Some(300));
    stage.check("TDR-EMG-006", !is_told, || {
        "Teams is told of a failure before all trunks are tried".to_owned()
    });
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await
}

/// TC-EMG-009.
async fn without_location(stage: &Stage) -> Played {
    let location = location("", "LIS");
    let help = Help {
        location: Some(&location),
        ..Help::default()
    };
    let invite = reaches(stage, &help, 0, "TDR-EMG-002").await?;
    let kind = invite.line("Content-Type").unwrap_or_default();
    let is_plain = kind.starts_with("application/sdp") && !invite.text().contains("<gp:");
    stage.check("TDR-EMG-002", is_plain, || format!("the body is {kind}"));
    let place = invite.line("Geolocation");
    stage.check("TDR-EMG-002", place.is_none(), || {
        format!("Geolocation: {place:?}")
    });
    Ok(())
}

/// TC-EMG-010: calls for help may come by a media processor, which has no candidates.
async fn without_candidates(stage: &Stage) -> Played {
    let caller = calls(stage, &Help::default()).await?;
    let called = stage.carrier_is_called().await.rule("TDR-EMG-006")?;
    let mut talk = stage.answered(caller, called).await.rule("TDR-EMG-006")?;
    talk.caller_ends().await
}

/// TC-EMG-011.
async fn other_marks(stage: &Stage) -> Played {
    let location = location("", "LIS");
    let marked = Help {
        number: OUTSIDE,
        extra: &[("Priority", "emergency")],
        ..Help::default()
    };
    let located = Help {
        number: OUTSIDE,
        location: Some(&location),
        ..Help::default()
    };
    for help in [marked, located] {
        reaches(stage, &help, 1, "TDR-EMG-003").await?;
    }
    Ok(())
}

/// TC-EMG-012.
async fn methods(stage: &Stage) -> Played {
    for method in ["LIS", "ASSIST", "CLS", "MANUAL", "", "Guess"] {
        let location = location("", method);
        let help = Help {
            location: Some(&location),
            ..Help::default()
        };
        let invite = reaches(stage, &help, 0, "TDR-EMG-004").await?;
        let passed = invite
            .body()
            .contains(&format!("<gp:method>{method}</gp:method>"));
        stage.check("TDR-EMG-004", passed, || {
            format!("the method \"{method}\" became another")
        });
    }
    if !stage.shows_operators("records") {
        return Ok(());
    }
    let told = |told: &str| {
        // A record may write it in capitals.
        let told = told.to_ascii_uppercase();
        ["LIS", "ASSIST", "CLS", "MANUAL", "GUESS"]
            .iter()
            .all(|method| told.contains(&format!("\"METHOD\":\"{method}\"")))
    };
    let told = stage.ask_until("/calls/recent", PATIENCE, told).await;
    stage.check("TDR-EMG-004", told.is_ok(), || {
        "the records do not tell how the location was found".to_owned()
    });
    Ok(())
}
