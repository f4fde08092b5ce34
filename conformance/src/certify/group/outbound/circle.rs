//! A call that comes back to Teams over the public network, again and again.

use crate::certify::case::{Played, Step};
use crate::certify::ladder::{Called, Caller};
use crate::certify::setting::{OUTSIDE, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::peer::leg::Parties;
use crate::peer::message::Message;

/// Laps after which a circle must be noticed: what Max-Forwards alone would end after 70.
const MOST: usize = 20;
/// Header that says how many hops are left, until the message goes out.
const LEFT: &str = "X-Hops-Left";

/// The INVITE says how many hops are left.
fn with_hops(text: &str) -> String {
    let left = format!("{LEFT}: ").to_ascii_lowercase();
    let of = |line: &&str| line.to_ascii_lowercase().starts_with(&left);
    let hops = text
        .split("\r\n")
        .find(of)
        .and_then(|line| line.split(": ").nth(1));
    let hops = hops.unwrap_or("70").to_owned();
    let lines = text.split("\r\n").filter(|line| !of(line)).map(|line| {
        match line.to_ascii_lowercase().starts_with("max-forwards:") {
            true => format!("Max-Forwards: {hops}"),
            false => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// One hop less than the message had.
fn onward(parties: &mut Parties, from: &Message) {
    let hops = from
        .line("Max-Forwards")
        .and_then(|text| text.trim().parse::<u8>().ok());
    let left = hops.unwrap_or(70).saturating_sub(1);
    parties.extra.push((LEFT, left.to_string()));
    parties.edit = Some(with_hops);
}

/// TC-OUT-019. The number outside is forwarded to the user, and the user to the number.
pub(super) async fn comes_back(stage: &Stage) -> Played {
    let mut callers: Vec<Caller> = vec![stage.teams_dials().await?];
    let mut called: Vec<Called> = Vec::new();
    while callers.len() < MOST {
        let is_outside = callers.len() % 2 == 1;
        let last = callers.last_mut();
        let last = last.ok_or_else(|| Failure::new("ladder", "nobody called"))?;
        let (reached, refused) = match is_outside {
            true => tokio::select! {
                reached = stage.carrier_is_called() => (Some(reached?), None),
                refused = last.is_refused() => (None, Some(refused?)),
            },
            false => tokio::select! {
                reached = stage.teams_is_called() => (Some(reached?), None),
                refused = last.is_refused() => (None, Some(refused?)),
            },
        };
        if let Some(refused) = refused {
            let laps = callers.len();
            stage.note(format!(
                "the circle was noticed when the call came for the {laps}th time"
            ));
            let status = refused.status().unwrap_or_default();
            stage.check("TDR-SIP-044", matches!(status, 482 | 483), || {
                format!("the circle got {}, wanted 482 or 483", refused.title())
            });
            callers.pop();
            return unwinds(callers, called).await;
        }
        let Some(reached) = reached else { break };
        let invite = reached.invite()?.clone();
        called.push(reached);
        // Whoever forwards shows who called.
        let next = match is_outside {
            true => {
                stage
                    .carrier_dials_as(USER, |parties| {
                        parties.from = parties.from.replace(OUTSIDE, USER);
                        onward(parties, &invite);
                    })
                    .await?
            }
            false => {
                stage
                    .teams_dials_as(0, OUTSIDE, |parties| onward(parties, &invite))
                    .await?
            }
        };
        callers.push(next);
    }
    Err(Failure::new(
        "TDR-SIP-044",
        format!("the same call came back {MOST} times and went on"),
    ))
}

/// Everybody is told, from the end to the beginning.
async fn unwinds(mut callers: Vec<Caller>, mut called: Vec<Called>) -> Played {
    while let (Some(mut reached), Some(mut caller)) = (called.pop(), callers.pop()) {
        reached
            .leg
            .respond(480, "Temporarily Unavailable", None, &[])?;
        reached.leg.acknowledged_failure().await?;
        caller.is_refused().await.rule("ladder")?;
    }
    Ok(())
}
