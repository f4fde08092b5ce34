//! Limits against fraud, and the figures by which a trunk is judged.

use crate::certify::case::{PATIENCE, Played};
use crate::certify::ladder::{Called, Caller, Talk};
use crate::certify::setting::{CUSTOMER_NUMBERS, CUSTOMERS, FQDN, OUTSIDE, Setting, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word::{self, EXPENSIVE_CALLS as MOST, EXPENSIVE_RANGE as RANGE};
use crate::media::tone::Codec;
use crate::peer::leg::Parties;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Calls that are tried.
const TRIED: usize = 50;

/// The first customer may call the range five times a minute.
pub(super) fn with_expensive_range(setting: &mut Setting) {
    setting.is(word::HOSTING);
    setting.is(word::EXPENSIVE);
}

/// A user of a customer calls.
async fn customer_dials(stage: &Stage, customer: usize, called: &str) -> Result<Caller, Failure> {
    let change = |parties: &mut Parties| {
        let user = format!("{}00", CUSTOMER_NUMBERS[customer]);
        parties.uri = parties.uri.replace(FQDN, CUSTOMERS[customer]);
        parties.to = parties.to.replace(FQDN, CUSTOMERS[customer]);
        parties.from = parties.from.replace(USER, &user);
    };
    stage.teams_dials_as(0, called, change).await
}

/// The call reaches the carrier, where it is busy; or it is refused, and how.
async fn reaches(stage: &Stage, mut caller: Caller) -> Result<Option<u16>, Failure> {
    let mut called: Called = tokio::select! {
        called = stage.carrier_is_called() => called?,
        refused = caller.is_refused() => return Ok(refused?.status()),
    };
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await?;
    Ok(None)
}

/// TC-SYS-010.
pub(super) async fn expensive_range(stage: &Stage) -> Played {
    let mut refused = 0;
    for number in 0..TRIED {
        let caller = customer_dials(stage, 0, &format!("{RANGE}{number:02}")).await?;
        match reaches(stage, caller).await? {
            None => {}
            Some(status) => {
                refused += 1;
                stage.check("TDR-SEC-003", status == 403, || {
                    format!("call {number} is refused with {status}, wanted 403")
                });
            }
        }
    }
    stage.check("TDR-SEC-003", refused == TRIED - MOST, || {
        format!(
            "{} of {TRIED} calls got through, the limit is {MOST}",
            TRIED - refused
        )
    });
    for (customer, called) in [(0, OUTSIDE.to_owned()), (1, format!("{RANGE}00"))] {
        let caller = customer_dials(stage, customer, &called).await?;
        let status = reaches(stage, caller).await?;
        stage.check("TDR-SEC-003", status.is_none(), || {
            format!(
                "{} is refused {called} with {status:?}",
                CUSTOMERS[customer]
            )
        });
    }
    if !stage.shows_operators("figures and log of the limit") {
        return Ok(());
    }
    let alarm = "sbc_limit_refusals_total{limit=\"calls_per_minute\",name=\"expensive\",\
                 of=\"limit\",tenant=\"c1\"}";
    let wanted = format!("{alarm} {refused}");
    let has_it = |told: &str| told.lines().any(|line| line == wanted);
    let told = stage.ask_until("/metrics", PATIENCE, has_it).await;
    stage.check("TDR-SEC-003", told.is_ok(), || {
        format!("the metrics do not say {wanted}")
    });
    let log = stage.daemon.as_ref().map(|daemon| daemon.log());
    let log = log.unwrap_or_default();
    let lines = log
        .lines()
        .filter(|line| line.contains("a new call is refused there"));
    let lines = lines.count();
    // Once a minute, however often somebody tries.
    stage.check("TDR-SEC-003", (1..=2).contains(&lines), || {
        format!("the log has {lines} lines of the limit")
    });
    Ok(())
}

/// How a call ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Answered,
    Refused(u16),
    Cancelled,
}

/// Of ten calls, in turn.
const ENDS: [End; 10] = [
    End::Answered,
    End::Refused(486),
    End::Answered,
    End::Refused(480),
    End::Answered,
    End::Refused(603),
    End::Cancelled,
    End::Answered,
    End::Refused(503),
    End::Refused(486),
];
/// How long a call rings, and how long it is talked.
const RINGING: Duration = Duration::from_millis(100);
const TALKED: Duration = Duration::from_millis(400);

/// How long something took of which the subject has its own figure: no less than from within, and no longer than from
/// without, whatever else the machine is busy with.
#[derive(Default)]
struct Bounds {
    within: Option<Duration>,
    without: Duration,
}

impl Bounds {
    fn took(&mut self, within: Duration, without: Duration) {
        self.within = Some(self.within.map_or(within, |least| least.min(within)));
        self.without = self.without.max(without);
    }

    /// Whether a mean is between them, which is told rounded.
    fn hold(&self, seconds: f64) -> bool {
        let least = self.within.unwrap_or_default().as_secs_f64() * 0.95;
        let most = self.without.as_secs_f64() * 1.05;
        (least..=most + 0.05).contains(&seconds)
    }
}

/// A call from Teams that ends so: how long it rang, and how long it was talked.
async fn ends(stage: &Stage, end: End, rang: &mut Bounds, talked: &mut Bounds) -> Played {
    let dialled = Instant::now();
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await?;
    let came = Instant::now();
    sleep(RINGING).await;
    let within = came.elapsed();
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    rang.took(within, dialled.elapsed());
    match end {
        End::Answered => {
            let answer = called.answer(Codec::Pcma);
            let answered = Instant::now();
            called.leg.respond(200, "OK", Some(answer), &[])?;
            let mut talk = Talk { caller, called }.established().await?;
            let talks = Instant::now();
            talk.lasts(TALKED).await;
            let within = talks.elapsed();
            talk.caller_ends().await?;
            talked.took(within, answered.elapsed());
            Ok(())
        }
        End::Refused(status) => {
            called.leg.respond(status, "No", None, &[])?;
            called.leg.acknowledged_failure().await?;
            caller.is_refused().await.map(drop)
        }
        End::Cancelled => {
            caller.leg.cancel().await?;
            called.leg.cancelled(PATIENCE).await?;
            caller.is_refused().await.map(drop)
        }
    }
}

/// TC-SYS-013.
pub(super) async fn follow_the_definition(stage: &Stage) -> Played {
    let calls = stage.size("calls", 20, 100) as usize;
    let (mut rang, mut talked) = (Bounds::default(), Bounds::default());
    for number in 0..calls {
        let end = ENDS[number % ENDS.len()];
        ends(stage, end, &mut rang, &mut talked).await?;
    }
    let of = |told: &str| -> Value {
        let rows: Vec<Value> = serde_json::from_str(told).unwrap_or_default();
        let mut rows = rows.into_iter();
        let row = rows.find(|row| row["trunk"] == "teams" && row["direction"] == "in");
        row.unwrap_or_default()["since_start"].clone()
    };
    let told = stage
        .ask_until("/figures", PATIENCE, |told| of(told)["calls"] == calls)
        .await;
    let told = of(&told.unwrap_or_else(|last| last));
    let count = |is_it: fn(&End) -> bool| {
        let all = (0..calls).map(|number| ENDS[number % ENDS.len()]);
        all.filter(is_it).count() as f64
    };
    let all = calls as f64;
    let answered = count(|end| *end == End::Answered);
    let delivered = count(|end| matches!(end, End::Refused(486 | 480 | 603)));
    let cancelled = count(|end| *end == End::Cancelled);
    let shares = [
        ("ner_percent", 100.0 * (answered + delivered) / all),
        (
            "ner_percent_without_cancelled",
            100.0 * (answered + delivered) / (all - cancelled),
        ),
        ("asr_percent", 100.0 * answered / all),
    ];
    for (key, wanted) in shares {
        let got = told[key].as_f64().unwrap_or(f64::NAN);
        stage.check("TDR-MON-001", (got - wanted).abs() < 0.01, || {
            format!("{key} is {got}, and of its definition {wanted:.2}: {told}")
        });
    }
    for (key, rule, bounds) in [
        ("acd_seconds", "TDR-MON-001", talked),
        ("pdd_seconds", "TDR-MON-003", rang),
    ] {
        let got = told[key].as_f64().unwrap_or(f64::NAN);
        stage.check(rule, bounds.hold(got), || {
            let (within, without) = (bounds.within, bounds.without);
            format!("{key} is {got}, and it was {within:?} to {without:?}: {told}")
        });
    }
    Ok(())
}
