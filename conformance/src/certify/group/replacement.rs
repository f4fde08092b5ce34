//! XFR: dialogs that replace others.

use super::referred::ends;
use super::transfer::transfer;
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks};
use crate::certify::change::SETTLED;
use crate::certify::evidence::Side;
use crate::certify::ladder::{Caller, TONES};
use crate::certify::mutation::{Mutation, as_method, delay, drop, replace, teams, then};
use crate::certify::setting::{CUSTOMER_NUMBERS, CUSTOMERS, FQDN, OUTSIDE};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::peer::leg::{Leg, Parties};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    transfer(
        "TC-XFR-011",
        |stage| Box::pin(replaced(stage)),
        &[
            breaks("TDR-XFR-030", drop(teams("BYE"))),
            breaks("TDR-XFR-030", drop(teams("INVITE").status(200))),
            // Who takes over does not know yet where to speak to, and nobody else is heard any more.
            breaks(
                "TDR-XFR-030",
                delay(teams("INVITE").status(200), Duration::from_millis(600)),
            ),
        ],
    ),
    transfer(
        "TC-XFR-012",
        |stage| Box::pin(not_replaced(stage)),
        &[
            breaks("TDR-XFR-030", drop(teams("INVITE").statuses(400, 699))),
            breaks(
                "TDR-XFR-030",
                replace(teams("INVITE").status(481), "SIP/2.0 481", "SIP/2.0 404"),
            ),
            breaks(
                "TDR-XFR-030",
                replace(teams("INVITE").status(486), "SIP/2.0 486", "SIP/2.0 481"),
            ),
        ],
    ),
    transfer(
        "TC-XFR-013",
        |stage| Box::pin(replaced_by_others(stage)),
        &[
            breaks("TDR-XFR-031", drop(teams("INVITE").statuses(400, 699))),
            breaks(
                "TDR-XFR-031",
                replace(teams("INVITE").statuses(400, 499), "SIP/2.0 4", "SIP/2.0 5"),
            ),
            breaks(
                "TDR-XFR-031",
                Mutation::Told("foreign_dialog", "unknown_dialog"),
            ),
            breaks(
                "TDR-XFR-031",
                then(teams("ACK"), |text| as_method(text, "BYE")),
            ),
        ],
    )
    .needs(&[Need::Transfers])
    .with(|setting| setting.is(word::HOSTING)),
];

/// Replaces for the dialog of a leg of Teams.
fn replaces(leg: &Leg, other_tag: &str, more: &str) -> String {
    let (call, tag) = (leg.call_id(), leg.tag());
    format!("{call};to-tag={other_tag};from-tag={tag}{more}")
}

/// Teams calls with Replaces.
async fn dials_instead(
    stage: &Stage,
    value: String,
    trunk: Option<&str>,
) -> Result<Caller, Failure> {
    let change = |parties: &mut Parties| {
        if let Some(trunk) = trunk {
            parties.uri = parties.uri.replace(FQDN, trunk);
            parties.to = parties.to.replace(FQDN, trunk);
        }
        parties.extra.push(("Require", "replaces".to_owned()));
        parties.extra.push(("Replaces", value));
    };
    stage.teams_dials_as(0, OUTSIDE, change).await
}

/// TC-XFR-011.
async fn replaced(stage: &Stage) -> Played {
    let rule = "TDR-XFR-030";
    let mut talk = stage.to_teams().await?;
    talk.caller.voice.measures_gaps();
    let old = &talk.called.leg;
    let value = replaces(old, old.other_tag(), "");
    let mut new = dials_instead(stage, value, None).await?;
    // It speaks as soon as it knows where to.
    new.voice.plays(TONES.0);
    new.is_answered().await.rule(rule)?;
    let heard = talk.caller.voice.waits_for(TONES.0, PATIENCE).await;
    stage.check(rule, heard, || "who takes over is not heard".to_owned());
    stage.is_uninterrupted(rule, &talk.caller.voice);
    talk.called.leg.hung_up(PATIENCE).await.rule(rule)?;
    let mut caller = talk.caller.end();
    caller.may_be_offered(SETTLED).await?;
    let heard = stage.voices_hear_each_other(&new.voice, caller.voice).await;
    heard.rule(rule)?;
    ends(&mut talk.caller.leg, &mut new.leg).await
}

/// TC-XFR-012.
async fn not_replaced(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let old = &talk.called.leg;
    let tag = old.other_tag();
    let (unknown, early) = (
        replaces(old, "unknown", ""),
        replaces(old, tag, ";early-only"),
    );
    for (value, wanted) in [(unknown, 481), (early, 486)] {
        let mut new = dials_instead(stage, value, None).await?;
        let answer = new.is_refused().await.rule("TDR-XFR-030")?;
        stage.check("TDR-XFR-030", answer.status() == Some(wanted), || {
            format!("got {}, wanted {wanted}", answer.title())
        });
    }
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-XFR-013.
async fn replaced_by_others(stage: &Stage) -> Played {
    let rule = "TDR-XFR-031";
    let number = format!("{}00", CUSTOMER_NUMBERS[0]);
    let caller = stage.carrier_dials_as(&number, |_| {}).await?;
    let called = stage.teams_is_called().await?;
    let mut talk = stage.answered(caller, called).await?;
    let old = &talk.called.leg;
    let value = replaces(old, old.other_tag(), "");
    let mut new = dials_instead(stage, value, Some(CUSTOMERS[1])).await?;
    let answer = new.is_refused().await.rule(rule)?;
    stage.check(rule, matches!(answer.status(), Some(403 | 481)), || {
        format!("got {}", answer.title())
    });
    let labels = ["reason=\"foreign_dialog\""];
    stage.counts(rule, "sbc_sip_dropped_total", &labels).await;
    stage.hear_each_other(&talk).await.rule(rule)?;
    let byes = stage.tape.requests(Side::Teams, "BYE").len();
    stage.check(rule, byes == 0, || {
        "the call of the other customer is ended".to_owned()
    });
    talk.caller_ends().await
}
