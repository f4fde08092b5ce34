//! CON: which proxy is called when some of them are in trouble.

use super::connection::GREETING;
use crate::certify::case::{Case, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::ladder::{Called, Caller};
use crate::certify::mutation::{
    Mutation, carrier, deaf, delay, drop, drop_after, replace, teams, twice,
};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A handshake that does not go on for 3 s is given up (TDR-DNS-002), and the next proxy called within what a busy
/// machine takes for that.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A connection that is out of use ends when nothing can wait for an answer there, 64 times T1 (RFC 3261
/// §17.1.1.2); and a little later.
const RETIRED: Duration = Duration::from_secs(36);

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-CON-016",
        |stage| Box::pin(first_proxy(stage)),
        &[
            breaks("TDR-CON-001", drop(teams("INVITE"))),
            breaks("TDR-DNS-002", Mutation::Configured(second_first)),
        ],
    ),
    case(
        "TC-CON-017",
        |stage| Box::pin(refused_connection(stage)),
        &[
            breaks("TDR-DNS-002", drop(teams("INVITE"))),
            breaks(
                "TDR-DNS-002",
                delay(teams("INVITE"), Duration::from_secs(6)),
            )
            .also(&[follows::STOPS]),
        ],
    ),
    case(
        "TC-CON-018",
        |stage| Box::pin(stalled_handshake(stage)),
        &[
            // Later than may be, also where OPTIONS have found out before that the first proxy stalls; and not so late
            // that nobody waits for it any more.
            breaks(
                "TDR-DNS-002",
                delay(teams("INVITE"), Duration::from_secs(6)),
            )
            .also(&[follows::STOPS]),
            breaks("TDR-DNS-002", drop(teams("INVITE"))),
        ],
    ),
    case(
        "TC-CON-019",
        |stage| Box::pin(asked_to_wait(stage)),
        &[
            breaks("TDR-DNS-003", drop(teams("ACK"))),
            breaks("TDR-DNS-003", drop(teams("INVITE"))),
            // Whoever does not hear that he has to wait keeps the connection.
            breaks(
                "TDR-DNS-003",
                deaf(teams("INVITE").status(503), "Retry-After"),
            ),
            // The next proxy is not called, and neither is the first one again.
            breaks("TDR-DNS-003", drop_after(teams("INVITE"), 1)),
            breaks("TDR-DNS-003", drop_after(teams("INVITE"), 2)),
        ],
    ),
    case(
        "TC-CON-020",
        |stage| Box::pin(final_refusals(stage)),
        &[
            breaks(
                "TDR-DNS-004",
                replace(
                    carrier("INVITE").statuses(400, 699),
                    "SIP/2.0 486",
                    "SIP/2.0 503",
                ),
            ),
            breaks("TDR-DNS-004", twice(teams("INVITE"))).also(&[follows::STOPS]),
        ],
    ),
    case(
        "TC-CON-021",
        |stage| Box::pin(nobody_there(stage)),
        &[
            breaks("TDR-DNS-002", drop(carrier("INVITE").statuses(400, 699))),
            breaks(
                "TDR-DNS-002",
                replace(
                    carrier("INVITE").statuses(502, 503),
                    "SIP/2.0 50",
                    "SIP/2.0 40",
                ),
            ),
            breaks("TDR-DNS-002", Mutation::Told("target_failed", "target")),
        ],
    ),
    case(
        "TC-CON-022",
        |stage| Box::pin(proxy_comes_back(stage)),
        &[
            breaks("TDR-DNS-002", drop(teams("INVITE"))),
            // Whom it has come to like it keeps, whoever is back.
            breaks("TDR-DNS-005", Mutation::Configured(second_first)),
        ],
    ),
];

/// A faulty subject: of the proxies it likes the second best. The targets of a trunk change places.
fn second_first(configuration: &str) -> String {
    let lines = configuration.lines().map(|line| {
        let Some(all) = line.strip_prefix("targets = [{ ") else {
            return line.to_owned();
        };
        let mut all: Vec<&str> = all.trim_end_matches(" }]").split(" }, { ").collect();
        if all.len() > 1 {
            all.swap(0, 1);
        }
        format!("targets = [{{ {} }}]", all.join(" }, { "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A call to Teams that this proxy gets.
async fn call_at(stage: &Stage, proxy: usize) -> Result<(Caller, Called), Failure> {
    let caller = stage.carrier_dials().await?;
    let called = stage.proxy_is_called(proxy).await?;
    Ok((caller, called))
}

async fn ends_busy(mut caller: Caller, mut called: Called) -> Played {
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// TC-CON-016.
async fn first_proxy(stage: &Stage) -> Played {
    for _ in 0..3 {
        let caller = stage.carrier_dials().await?;
        let called = tokio::select! {
            called = stage.proxy_is_called(0) => called,
            called = stage.proxy_is_called(1) => called,
            called = stage.proxy_is_called(2) => called,
        };
        ends_busy(caller, called.rule("TDR-CON-001")?).await?;
    }
    let invites = stage.tape.requests(Side::Teams, "INVITE");
    let first = stage.proxies[0].host();
    let others = invites.iter().filter(|(_, peer, _)| peer != first).count();
    stage.check("TDR-DNS-002", others == 0, || {
        format!("{others} calls went to other proxies than the first, which takes calls")
    });
    Ok(())
}

/// TC-CON-017.
async fn refused_connection(stage: &Stage) -> Played {
    stage.proxies[0].goes_away().await;
    let watch = stage.watch();
    let (caller, called) = call_at(stage, 1).await.rule("TDR-DNS-002")?;
    let took = watch.took();
    stage.check("TDR-DNS-002", took <= Duration::from_secs(3), || {
        format!("after {took:?}")
    });
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await
}

/// TC-CON-018.
async fn stalled_handshake(stage: &Stage) -> Played {
    let stalled = stage.proxies[0].stalls().await;
    stalled.map_err(|why| Failure::new("ladder", why.to_string()))?;
    let watch = stage.watch();
    let caller = stage.carrier_dials().await?;
    let called = stage.proxy_is_called(1).await.rule("TDR-DNS-002")?;
    let took = watch.took();
    stage.check("TDR-DNS-002", took < HANDSHAKE, || {
        format!("the next proxy is called after {took:?}")
    });
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await
}

/// TC-CON-019.
async fn asked_to_wait(stage: &Stage) -> Played {
    let rule = "TDR-DNS-003";
    let proxy = &stage.proxies[0];
    let caller = stage.carrier_dials().await?;
    let mut first = stage.teams_is_called().await.rule(rule)?;
    let invitation = first.leg.invitation();
    let connection = invitation.map(|invite| invite.flow.remote);
    let connection = connection.ok_or_else(|| Failure::new("ladder", "there is no INVITE"))?;
    let after = [("Retry-After", "1".to_owned())];
    first
        .leg
        .respond(503, "Service Unavailable", None, &after)?;
    // Its time begins where it is heard, and the ACK says that it was.
    first.leg.acknowledged_failure().await.rule(rule)?;
    let refused = Instant::now();
    let called = stage.proxy_is_called(1).await.rule(rule)?;
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await?;
    // The second is over: the first proxy is called again, over another connection.
    sleep(Duration::from_millis(1_100).saturating_sub(refused.elapsed())).await;
    let caller = stage.carrier_dials().await?;
    let called = stage.proxy_is_called(0).await.rule(rule)?;
    let another = called.leg.invitation().map(|invite| invite.flow.remote);
    stage.check(rule, another != Some(connection), || {
        "the connection that brought 503 with Retry-After is used for a new call".to_owned()
    });
    ends_busy(caller, called).await?;
    while proxy.is_connected_from(connection) && refused.elapsed() < RETIRED {
        sleep(Duration::from_millis(50)).await;
    }
    stage.check(rule, !proxy.is_connected_from(connection), || {
        format!("the connection that brought 503 with Retry-After is open after {RETIRED:?}")
    });
    Ok(())
}

/// TC-CON-020.
async fn final_refusals(stage: &Stage) -> Played {
    for (before, status) in [603, 486, 404, 403, 480].into_iter().enumerate() {
        let (mut caller, mut called) = call_at(stage, 0).await?;
        called.leg.respond(status, "Refused", None, &[])?;
        called.leg.acknowledged_failure().await?;
        let last = caller.is_refused().await?;
        let got = last.status().unwrap_or_default();
        stage.check("TDR-DNS-004", got == status, || {
            format!("{status} became {got}")
        });
        let calls = before + 1;
        let invites = stage.tape.requests(Side::Teams, "INVITE").len();
        stage.check("TDR-DNS-004", invites == calls, || {
            format!("{invites} INVITEs for {calls} calls, the last of which got {status}")
        });
    }
    Ok(())
}

/// TC-CON-021. The catalogue has 503 for the caller alone; a carrier that gets it leaves us alone for a while, other
/// customers' calls included, so that 502 is as right (SIP-1721).
async fn nobody_there(stage: &Stage) -> Played {
    for proxy in &stage.proxies[..3] {
        proxy.goes_away().await;
    }
    let mut caller = stage.carrier_dials().await?;
    // Whoever dials waits no longer than ten seconds, which is less than it may take.
    let last = caller.is_refused().await.rule("TDR-DNS-002")?;
    let status = last.status().unwrap_or_default();
    stage.check("TDR-DNS-002", matches!(status, 502 | 503), || {
        format!("got {}", last.title())
    });
    if !stage.shows_operators("what it logs of each proxy") {
        return Ok(());
    }
    for proxy in &stage.proxies[..3] {
        let of_it = format!(", {}: ", proxy.host());
        let told = stage.logged(&of_it).await;
        let is_told = told.iter().any(|line| line.contains("target_failed"));
        stage.check("TDR-DNS-002", is_told, || {
            format!(
                "that {} cannot be reached the operator is not told",
                proxy.host()
            )
        });
    }
    Ok(())
}

/// TC-CON-022. The subject may ask the proxy a few times before it believes.
async fn proxy_comes_back(stage: &Stage) -> Played {
    stage.greeted(GREETING).await?;
    stage.proxies[0].goes_away().await;
    let (caller, called) = call_at(stage, 1).await.rule("TDR-DNS-002")?;
    ends_busy(caller, called).await?;
    let back = stage.proxies[0].comes_back().await;
    back.map_err(|why| Failure::new("ladder", why.to_string()))?;
    let deadline = Instant::now() + Duration::from_secs(200);
    let mut is_back = false;
    while !is_back && Instant::now() < deadline {
        let caller = stage.carrier_dials().await?;
        let (proxy, called) = tokio::select! {
            called = stage.proxy_is_called(0) => (0, called?),
            called = stage.proxy_is_called(1) => (1, called?),
        };
        ends_busy(caller, called).await?;
        is_back = proxy == 0;
        if !is_back {
            sleep(Duration::from_secs(3)).await;
        }
    }
    stage.check("TDR-DNS-005", is_back, || {
        "the first proxy is back for 200 s and gets no call".to_owned()
    });
    Ok(())
}
