//! GRA: presence of users, read, gone by and set.

use crate::certify::case::{Case, Need, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::mutation::{Mutation, carrier, drop, drop_after, replace, teams};
use crate::certify::setting::{Proof, Setting, TEAMS_NUMBERS, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::microsoft::{BATCH, Microsoft, Script, Shown};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Presence is read, written and gone by under this rule.
const RULE: &str = "TDG-PRS-006";
/// Users of a tenant who do not fit into one question.
const MANY: usize = BATCH + 1;
/// The last of them, who is asked for alone, and with him one whom nobody knows.
const LAST: &str = "\"0b2f3c4d-1111-2222-3333-444400000650\"";
const WITH_ANOTHER: &str =
    "\"0b2f3c4d-1111-2222-3333-444400000650\",\"0b2f3c4d-1111-2222-3333-444499999999\"";
/// How long the first round of questions may take.
const ROUND: Duration = Duration::from_secs(20);
/// How long it may take until Microsoft hears of a call.
const SOON: Duration = Duration::from_secs(10);
/// Longer than a user is shown as busy without being renewed less than once.
const RENEWED: Duration = Duration::from_secs(150);

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-GRA-005",
        |stage| Box::pin(many_users(stage)),
        &[
            breaks(RULE, Mutation::Heard("\"value\"", "\"values\"")),
            breaks(RULE, Mutation::Asked("\"ids\":[", "\"ids\":[\"x\",\"x\",")),
            breaks(RULE, Mutation::Heard("\"Available\"", "\"Levitating\"")),
            breaks(RULE, Mutation::Asked(LAST, WITH_ANOTHER)),
        ],
    )
    .needs(&[Need::Presence])
    .with(|setting| {
        let all: Vec<_> = (0..MANY)
            .map(|at| (format!("+44163297{at:05}"), user(at)))
            .collect();
        asks(setting, "{ every = \"10s\" }", &all);
    }),
    case(
        "TC-GRA-007",
        |stage| Box::pin(calls_by_presence(stage)),
        &[
            breaks(RULE, drop(teams("INVITE"))),
            breaks(RULE, drop_after(teams("INVITE"), 1)),
            breaks(RULE, drop_after(teams("INVITE"), 2)),
            breaks(RULE, Mutation::Heard("\"Busy\"", "\"Available\"")),
            breaks(RULE, Mutation::Heard("\"Away\"", "\"Available\"")),
            // Who takes a word that is not known for busy refuses a call that can be had.
            breaks(RULE, Mutation::Heard("\"Levitating\"", "\"Busy\"")),
            breaks(
                RULE,
                replace(carrier("INVITE").status(486), "SIP/2.0 486", "SIP/2.0 480"),
            ),
            breaks(
                RULE,
                Mutation::Configuration("busy = \"refuse\"", "busy = \"try\""),
            ),
        ],
    )
    .needs(&[Need::Presence])
    .with(|setting| {
        let all: Vec<_> = (0..USERS.len()).map(|at| (number(at), user(at))).collect();
        asks(setting, "{ every = \"10s\" }", &all);
        setting.routes.push_str(BY_PRESENCE);
    }),
    case(
        "TC-GRA-010",
        |stage| Box::pin(shown_while_talking(stage)),
        &[
            breaks(RULE, Mutation::Asked("/setPresence", "/setPreference")),
            breaks(RULE, Mutation::Asked("\"Busy\"", "\"Away\"")),
            breaks(RULE, Mutation::Asked("PT5M", "PT1M")),
            breaks(RULE, Mutation::Asked("sessionId", "session")),
            breaks(RULE, Mutation::Asked("/clearPresence", "/clear")),
        ],
    )
    .needs(&[Need::Presence])
    .with(|setting| {
        let presence = "{ every = \"30s\", set_busy = true }";
        asks(setting, presence, &[(USER.to_owned(), user(0))]);
    }),
];

/// What users are; whose numbers follow each other.
const USERS: [&str; 4] = [
    "Available/Available",
    "Busy/Busy",
    "Away/Away",
    "Levitating/Levitating",
];
const READY: usize = 0;
const BUSY: usize = 1;
const AWAY: usize = 2;
const ODD: usize = 3;

const BY_PRESENCE: &str = "
[[route]]
name = \"by-presence\"
match = { called_in = \"tenant:customer\" }
to = [{ trunk = \"teams\" }]
presence = { busy = \"refuse\", absent = \"refuse\" }
";

fn user(at: usize) -> String {
    format!("0b2f3c4d-1111-2222-3333-4444{at:08}")
}

fn number(at: usize) -> String {
    format!("{TEAMS_NUMBERS}{at:02}")
}

/// The subject asks for the presence of these, and may do with it what the table says.
fn asks(setting: &mut Setting, presence: &'static str, users: &[(String, String)]) {
    setting.reports = Some(Proof::Secret);
    setting.presence = Some(presence);
    let users: Vec<String> = users
        .iter()
        .map(|(number, user)| format!("\"{number}\" = \"{user}\""))
        .collect();
    let users = format!("users = {{ {} }}\n", users.join(", "));
    setting.tenant.push_str(&users);
}

/// Microsoft, which has users with these states, and nobody was asked yet.
async fn with_users(
    stage: &Stage,
    users: impl Iterator<Item = (usize, &'static str)>,
) -> Result<Microsoft, Failure> {
    let users = users.map(|(at, presence)| (user(at), presence.to_owned()));
    let script = Script {
        presences: users.collect(),
        ..Script::default()
    };
    stage.microsoft(script).await
}

/// Waits until all users were heard of, and so many of them count so.
async fn heard(stage: &Stage, standing: &str, users: usize) -> Played {
    let count = |told: &str| {
        let told: Value = serde_json::from_str(told).unwrap_or_default();
        let all = told["users"].as_array().cloned().unwrap_or_default();
        let is_so = |one: &&Value| one["counts_as"] == standing;
        let is_heard = told["tenants"][0]["state"] == "heard";
        (is_heard, all.iter().filter(is_so).count())
    };
    let told = stage.ask_until("/presence", ROUND, |told| count(told) == (true, users));
    told.await.map(|_| ()).map_err(|told| {
        let (is_heard, found) = count(&told);
        let why =
            format!("{found} users and not {users} are {standing}; all were heard of: {is_heard}");
        Failure::new(RULE, why)
    })
}

fn nothing_was_wrong(stage: &Stage, microsoft: &Microsoft) {
    for breach in microsoft.breaches() {
        stage.check(breach.rule, false, || breach.what);
    }
}

/// TC-GRA-005.
async fn many_users(stage: &Stage) -> Played {
    let microsoft = with_users(stage, (0..MANY).map(|at| (at, "Available/Available"))).await?;
    let done = heard(stage, "ready", MANY).await;
    nothing_was_wrong(stage, &microsoft);
    done?;
    let mut asked = BTreeSet::new();
    let mut sizes = Vec::new();
    for request in microsoft.heard() {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        if let Some(ids) = body["ids"].as_array() {
            sizes.push(ids.len());
            asked.extend(ids.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        if asked.len() == MANY {
            break;
        }
    }
    stage.check(RULE, sizes == [BATCH, 1], || {
        format!("{MANY} users were asked for in questions of {sizes:?}")
    });
    Ok(())
}

/// The carrier calls somebody whom the subject does not call.
async fn is_refused(stage: &Stage, at: usize, status: u16) -> Played {
    let before = stage.tape.requests(Side::Teams, "INVITE").len();
    let mut caller = stage.carrier_dials_as(&number(at), |_| {}).await?;
    let answer = caller.is_refused().await.rule(RULE)?;
    stage.check(RULE, answer.status() == Some(status), || {
        format!("a user who is {} got {}", USERS[at], answer.title())
    });
    let after = stage.tape.requests(Side::Teams, "INVITE").len();
    stage.check(RULE, before == after, || {
        format!("Teams was called for a user who is {}", USERS[at])
    });
    Ok(())
}

/// TC-GRA-007.
async fn calls_by_presence(stage: &Stage) -> Played {
    let microsoft = with_users(stage, USERS.into_iter().enumerate()).await?;
    heard(stage, "ready", 1).await?;
    is_refused(stage, BUSY, 486).await?;
    is_refused(stage, AWAY, 480).await?;
    // A word that nobody knows says nothing: the call tells.
    let caller = stage.carrier_dials_as(&number(ODD), |_| {}).await?;
    let called = stage.teams_is_called().await.rule(RULE)?;
    stage.answered(caller, called).await?.caller_ends().await?;
    // Who is ready is called, and what Teams answers then is the truth.
    let mut caller = stage.carrier_dials_as(&number(READY), |_| {}).await?;
    let mut called = stage.teams_is_called().await.rule(RULE)?;
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    let answer = caller.is_refused().await?;
    stage.check(RULE, answer.status() == Some(486), || {
        format!("Teams said 486, and the caller heard {}", answer.title())
    });
    // Who talks over this trunk is busy, whatever Microsoft knows of it.
    let caller = stage.carrier_dials_as(&number(READY), |_| {}).await?;
    let called = stage.teams_is_called().await.rule(RULE)?;
    let mut talk = stage.answered(caller, called).await?;
    is_refused(stage, READY, 486).await?;
    talk.caller_ends().await?;
    let caller = stage.carrier_dials_as(&number(READY), |_| {}).await?;
    let called = stage.teams_is_called().await.rule(RULE)?;
    stage.answered(caller, called).await?.caller_ends().await?;
    nothing_was_wrong(stage, &microsoft);
    Ok(())
}

/// Waits for what Microsoft is told of users: so many changes.
async fn shown(microsoft: &Microsoft, changes: usize, patience: Duration) -> Vec<Shown> {
    let deadline = Instant::now() + patience;
    loop {
        let shown = microsoft.shown();
        if shown.len() >= changes || Instant::now() > deadline {
            return shown;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// TC-GRA-010: the user talks for longer than it takes until the state must be renewed.
async fn shown_while_talking(stage: &Stage) -> Played {
    let microsoft = with_users(stage, [(0, "Available/Available")].into_iter()).await?;
    heard(stage, "ready", 1).await?;
    let mut talk = stage.from_teams().await?;
    let is_busy =
        |one: &Shown| one.user == user(0) && one.presence.as_deref() == Some("Busy/InACall");
    let mut done = shown(&microsoft, 1, SOON).await;
    if done.iter().any(is_busy) && microsoft.breaches().is_empty() {
        done = shown(&microsoft, 2, RENEWED).await;
    }
    let is_right = done.len() == 2 && done.iter().all(is_busy);
    stage.check(RULE, is_right, || {
        format!("while the user talked Microsoft was told {done:?}")
    });
    talk.caller_ends().await?;
    let done = shown(&microsoft, done.len() + 1, SOON).await;
    let is_cleared = done.last().is_some_and(|last| last.presence.is_none());
    stage.check(RULE, is_cleared, || {
        format!("after the call Microsoft was told {done:?}")
    });
    nothing_was_wrong(stage, &microsoft);
    Ok(())
}
