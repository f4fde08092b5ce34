//! GRA: presence that Microsoft tells, and that others make up.

use crate::certify::case::{Case, Need, Played, breaks, case};
use crate::certify::mutation::Mutation;
use crate::certify::setting::{Proof, Setting, TEAMS_NUMBERS};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::microsoft::{Microsoft, Script, Subscribed, Told, Wrong};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the subject may take to subscribe, and to know what it was told.
const SOON: Duration = Duration::from_secs(20);
/// How long an answer to a notice may take.
const AT_ONCE: Duration = Duration::from_secs(3);
/// Who is told of, and who shows that what came before was read.
const USER: usize = 0;
const MARK: usize = 1;

/// Everything that somebody else could send, with the rule that it must not get round.
const FORGED: [(Wrong, &str); 9] = [
    (Wrong::ClientState, "TDG-PRS-003"),
    (Wrong::Subscription, "TDG-PRS-003"),
    (Wrong::NoToken, "TDG-PRS-003"),
    (Wrong::Token, "TDG-PRS-003"),
    (Wrong::Unsigned, "TDG-PRS-003"),
    (Wrong::Expired, "TDG-PRS-003"),
    (
        Wrong::Claim("azp", "66666666-0000-0000-0000-000000000000"),
        "TDG-PRS-003",
    ),
    (Wrong::Signature, "TDG-PRS-004"),
    (Wrong::Content, "TDG-PRS-004"),
];

/// The cases.
pub const CASES: &[Case] = &[case(
    "TC-GRA-006",
    |stage| Box::pin(told_and_made_up(stage)),
    &[
        breaks("TDG-PRS-001", Mutation::Heard("\"Offline\"", "\"Away\"")),
        breaks("TDG-PRS-002", Mutation::Asked("text/plain", "text/html")),
        breaks(
            "TDG-PRS-002",
            Mutation::Asked("Validation: T", "Validation:+T"),
        ),
        breaks(
            "TDG-PRS-003",
            Mutation::Asked("HTTP/1.1 202", "HTTP/1.1 500"),
        ),
        // Who does not look at the secret, the name, or the signatures believes what is made up.
        breaks(
            "TDG-PRS-003",
            Mutation::Heard("\"clientState\":\"Forged00", "\"clientState\":\""),
        ),
        breaks(
            "TDG-PRS-003",
            Mutation::Heard("\"subscriptionId\":\"Forged00", "\"subscriptionId\":\""),
        ),
        breaks("TDG-PRS-003", Mutation::Heard(".Forged00", ".")),
        breaks(
            "TDG-PRS-004",
            Mutation::Heard("\"dataSignature\":\"Forged00", "\"dataSignature\":\""),
        ),
        breaks(
            "TDG-PRS-004",
            Mutation::Heard(
                "\"encryptionCertificateId\":\"",
                "\"encryptionCertificateId\":\"x",
            ),
        ),
    ],
)
.needs(&[Need::Presence])
.with(is_told)];

fn user(at: usize) -> String {
    format!("0b2f3c4d-1111-2222-3333-4444{at:08}")
}

/// It asks so seldom that whatever it knows it was told.
fn is_told(setting: &mut Setting) {
    setting.reports = Some(Proof::Secret);
    setting.presence = Some("{ every = \"1h\" }");
    setting.is_told = true;
    let users = [USER, MARK].map(|at| format!("\"{TEAMS_NUMBERS}{at:02}\" = \"{}\"", user(at)));
    let users = format!("users = {{ {} }}\n", users.join(", "));
    setting.tenant.push_str(&users);
}

/// What the subject says of a user; nothing while it knows nothing.
async fn knows(stage: &Stage, at: usize, rule: &str, presence: &str) -> Played {
    let of = |told: &str| {
        let told: Value = serde_json::from_str(told).unwrap_or_default();
        let all = told["users"].as_array().cloned().unwrap_or_default();
        let own = all.into_iter().find(|one| one["user"] == user(at).as_str());
        own.and_then(|own| Some(own["availability"].as_str()?.to_owned()))
    };
    let told = stage.ask_until("/presence", SOON, |told| {
        of(told).as_deref() == Some(presence)
    });
    told.await.map(|_| ()).map_err(|told| {
        let why = format!("a user who is {presence} is told as {:?}", of(&told));
        Failure::new(rule, why)
    })
}

/// Tells the subject, which takes it at once.
async fn tell(stage: &Stage, microsoft: &Microsoft, own: &Subscribed, told: Told) -> Played {
    let answered = microsoft.tell(own, &told).await;
    let answered = answered.map_err(|why| Failure::new("TDG-PRS-003", why.to_string()))?;
    let is_good =
        told.wrong != Wrong::Nothing || answered.status == 202 && answered.after < AT_ONCE;
    stage.check("TDG-PRS-003", is_good, || {
        format!(
            "a notice got {} after {:?}",
            answered.status, answered.after
        )
    });
    Ok(())
}

fn is(at: usize, presence: (&'static str, &'static str), wrong: Wrong) -> Told {
    Told {
        user: user(at),
        presence: Some(presence),
        wrong,
    }
}

/// TC-GRA-006.
async fn told_and_made_up(stage: &Stage) -> Played {
    let script = Script {
        notices_at: Some(stage.notices_side),
        ..Script::default()
    };
    let microsoft = stage.microsoft(script).await?;
    let own = subscription(&microsoft).await;
    for breach in microsoft.breaches() {
        stage.check(breach.rule, false, || breach.what);
    }
    let Some(own) = own else {
        let why = format!("nothing is subscribed to after {} s", SOON.as_secs());
        return Err(Failure::new("TDG-PRS-002", why));
    };
    // What was asked for after it says nothing of what is told then.
    let deadline = Instant::now() + SOON;
    while !microsoft.was_asked_since(&own) && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    knows(stage, USER, "TDG-PRS-001", "Offline").await?;
    let busy = ("Busy", "InACall");
    tell(stage, &microsoft, &own, is(USER, busy, Wrong::Nothing)).await?;
    knows(stage, USER, "TDG-PRS-004", "Busy").await?;
    for (index, (wrong, rule)) in FORGED.into_iter().enumerate() {
        let forged = is(USER, ("Available", "Available"), wrong);
        tell(stage, &microsoft, &own, forged).await?;
        // What is made up must have been read by now: a good one after it has been.
        let mark = [("Away", "Away"), ("BeRightBack", "BeRightBack")][index % 2];
        tell(stage, &microsoft, &own, is(MARK, mark, Wrong::Nothing)).await?;
        knows(stage, MARK, "TDG-PRS-004", mark.0).await?;
        let is_kept = knows(stage, USER, rule, "Busy").await;
        is_kept.map_err(|_| {
            let why = format!("a notice was believed although it is forged: {wrong:?}");
            Failure::new(rule, why)
        })?;
    }
    for breach in microsoft.breaches() {
        stage.check(breach.rule, false, || breach.what);
    }
    Ok(())
}

async fn subscription(microsoft: &Microsoft) -> Option<Subscribed> {
    let deadline = Instant::now() + SOON;
    loop {
        let own = microsoft.subscriptions().into_iter().next();
        if own.is_some() || Instant::now() > deadline || !microsoft.breaches().is_empty() {
            return own;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
