//! REFER of Teams, and what is told of it: what cases of transfers have in common.

use crate::certify::case::{PATIENCE, Played, Step};
use crate::certify::change::{End, SETTLED};
use crate::certify::ladder::{Called, Talk};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::media::tone::Codec;
use crate::peer::leg::Leg;
use crate::peer::message::Message;
use tokio::time::Instant;

/// A user as Teams names one.
pub(super) const TARGET: &str =
    "sip:sip.pstnhub.example:5061;transport=tls;x-m=8:orgid:Target0-bbbb-cccc-dddd-eeeeeeeeeeee";
/// Who transfers, as Teams tells it.
pub(super) const BY: &str = "<sip:sip.pstnhub.example:5061;x-m=8:orgid:11111111-2222-3333-4444-555555555555;\
                  x-t=66666666-7777;x-ti=88888888-9999;x-tt=aHR0cHM6Ly9hcGkuZXhhbXBsZQ%3D%3D>";

/// Sends REFER and wants 202.
pub(super) async fn refers(leg: &mut Leg, target: &str, by: &str) -> Result<Message, Failure> {
    let extra = [
        ("Refer-To", format!("<{target}>")),
        ("Referred-By", by.to_owned()),
    ];
    let answer = leg.ask("REFER", &extra, None).await.rule("TDR-XFR-014")?;
    let taken = match answer.status() {
        Some(202) => Ok(answer),
        _ => Err(Failure::new(
            "TDR-XFR-014",
            format!("REFER got {}, wanted 202", answer.title()),
        )),
    };
    taken.rule("TDR-XFR-014")
}

/// Waits to be told of a status, and gives the NOTIFY.
pub(super) async fn is_told(leg: &mut Leg, status: u16) -> Result<Message, Failure> {
    let began = Instant::now();
    loop {
        let left = PATIENCE.saturating_sub(began.elapsed());
        let notify = leg.asked("NOTIFY", left).await.rule("TDR-XFR-014")?;
        leg.answer(&notify, 200, "OK", None)?;
        if notify
            .message
            .body()
            .starts_with(&format!("SIP/2.0 {status}"))
        {
            return Ok(notify.message);
        }
    }
}

/// Waits to be told that it is over, and how.
pub(super) async fn is_told_last(stage: &Stage, leg: &mut Leg, status: u16) -> Played {
    let last = is_told(leg, status).await?;
    let state = last.line("Subscription-State").unwrap_or_default();
    stage.check("TDR-XFR-014", state.starts_with("terminated"), || {
        format!("after {status}, Subscription-State is \"{state}\"")
    });
    Ok(())
}

/// Teams refers, and has the new INVITE, which must be what it wrote.
pub(super) async fn is_referred(
    stage: &Stage,
    leg: &mut Leg,
    target: &str,
    by: &str,
) -> Result<Called, Failure> {
    refers(leg, target, by).await?;
    is_told(leg, 100).await?;
    let new = stage.teams_is_called().await.rule("TDR-XFR-010")?;
    let invite = new.invite()?;
    stage.check("TDR-XFR-011", invite.uri_text() == target, || {
        format!(
            "Request-URI is {}, Refer-To was {target}",
            invite.uri_text()
        )
    });
    let told = invite.line("Referred-By").unwrap_or_default();
    stage.check("TDR-XFR-011", told == by, || {
        format!("Referred-By is {told}, Teams wrote {by}")
    });
    Ok(new)
}

/// The target answers; who transferred is told, and who was transferred hears the target.
pub(super) async fn target_answers(
    stage: &Stage,
    by: &mut Leg,
    new: &mut Called,
    other: &mut End<'_>,
) -> Played {
    let answer = new.answer(Codec::Pcma);
    new.leg.respond(200, "OK", Some(answer), &[])?;
    new.leg.acknowledged().await?;
    is_told_last(stage, by, 200).await?;
    other.may_be_offered(SETTLED).await?;
    stage.voices_hear_each_other(&new.voice, other.voice).await
}

/// The transferred party hangs up, and the target hears it.
pub(super) async fn ends(other: &mut Leg, new: &mut Leg) -> Played {
    let (bye, ended) = tokio::join!(other.hang_up(), new.hung_up(PATIENCE));
    Ok(bye.and(ended)?)
}

/// A whole blind transfer: the target rings and answers, and who has transferred leaves.
pub(super) async fn transferred(
    stage: &Stage,
    by: &mut Leg,
    other: &mut End<'_>,
    (target, told): (&str, &str),
) -> Result<Called, Failure> {
    let mut new = is_referred(stage, by, target, told).await?;
    new.leg.respond(180, "Ringing", None, &[])?;
    is_told(by, 180).await?;
    target_answers(stage, by, &mut new, other).await?;
    by.hang_up().await.rule("TDR-XFR-015")?;
    Ok(new)
}

/// The same of a call to Teams, by the user who was called.
pub(super) async fn transferred_by_user(
    stage: &Stage,
    talk: &mut Talk,
    target: &str,
    by: &str,
) -> Result<Called, Failure> {
    let Talk { caller, called } = talk;
    transferred(stage, &mut called.leg, &mut caller.end(), (target, by)).await
}
