//! Messages that nobody should send, and strangers in numbers.

mod mangle;

use crate::certify::case::{PATIENCE, Played, Step};
use crate::certify::knock::{Door, Raw};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::peer::teams::connect_from;
use crate::random;
use mangle::Mangler;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What the subject may keep of thousands of wrong messages, in octets.
const GROWTH: u64 = 64 << 20;
/// How long a subject may need for an answer, where a message may have swallowed the next one.
const ANSWER: Duration = Duration::from_millis(150);
/// Wrong messages begin with this; each run has the same.
const SEED: u64 = 0x5EED_5EED_0BAD_CA11;

/// Memory of our daemon, in octets; `None` where nobody tells.
pub(in crate::certify::group) fn resident(stage: &Stage) -> Option<u64> {
    let pid = stage.daemon.as_ref()?.pid();
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(stage.looked_at(kib << 10))
}

/// The subject has not kept more than it may since it had so much.
pub(in crate::certify::group) fn is_small(stage: &Stage, rule: &str, before: Option<u64>) {
    match (before, resident(stage)) {
        (Some(before), Some(after)) => {
            let more = after.saturating_sub(before);
            stage.note(format!("memory grew by {} KiB", more >> 10));
            stage.check(rule, more < GROWTH, || {
                format!("memory grew by {} MiB", more >> 20)
            });
        }
        _ => stage.note("memory not asked: it cannot be read of this subject"),
    }
}

/// A call works as if nothing had been.
async fn still_serves(stage: &Stage, rule: &str) -> Played {
    let call = async { stage.from_teams().await?.caller_ends().await };
    call.await.rule(rule)
}

/// An ordinary INVITE of Teams, as it went out.
async fn ordinary(stage: &Stage) -> Result<String, Failure> {
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await.rule("TDR-SEC-005")?;
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await?;
    Ok(String::from_utf8_lossy(&caller.invite).into_owned())
}

/// The carrier is busy, whoever calls.
async fn is_busy(stage: &Stage) {
    loop {
        if let Ok(invite) = stage.call_to_carrier(0, PATIENCE).await {
            let mut leg = stage.carriers[0].take(invite);
            // What cannot be answered shows as a call that is left.
            let _ = leg.respond(486, "Busy Here", None, &[]);
        }
    }
}

/// No call is left of what came.
async fn is_calm(stage: &Stage) -> Played {
    if !stage.shows_operators("how many calls it counts") {
        return Ok(());
    }
    let is_it = |told: &str| told.contains("\"calls\":0");
    let calm = stage.ask_until("/status", Duration::from_secs(40), is_it);
    let left = |told| Failure::new("TDR-SEC-005", format!("calls are left: {told}"));
    calm.await.map(drop).map_err(left)
}

/// TC-SYS-004.
pub(super) async fn wrong_invites(stage: &Stage) -> Played {
    let count = stage.size("wrong INVITEs", 400, 10_000);
    stage.note(format!("they follow from the seed {SEED:#x}"));
    let base = ordinary(stage).await?;
    let before = resident(stage);
    // Some of their calls come late, over a bad network above all.
    let wrong = async {
        sends_wrong(stage, &base, count).await?;
        is_calm(stage).await
    };
    tokio::select! {
        played = wrong => played?,
        () = is_busy(stage) => {}
    }
    if stage.shows_operators("counters of panics and broken invariants") {
        let metrics = stage.ask("/metrics").await?;
        for name in [
            "sbc_panics_total",
            "sbc_broken_invariants_total",
            "sbc_orphans_reaped_total",
        ] {
            let is_bad = |line: &&str| line.starts_with(name) && !line.ends_with(" 0");
            let found = metrics.lines().find(is_bad);
            stage.check("TDR-SEC-005", found.is_none(), || {
                found.unwrap_or_default().to_owned()
            });
        }
    }
    is_small(stage, "TDR-SEC-005", before);
    still_serves(stage, "TDR-SEC-005").await
}

async fn sends_wrong(stage: &Stage, base: &str, count: u32) -> Played {
    let from = stage.addresses.proxies[1];
    let mut mangler = Mangler::new(SEED);
    let mut raw: Option<Raw> = None;
    let (mut closed, mut answers) = (0, std::collections::BTreeMap::<u16, u32>::new());
    for _ in 0..count {
        let wrong = mangler.mangled(&base.replace("Call-ID", "CALL-ID"));
        let mut way = match raw.take() {
            Some(way) => way,
            None => stage.raw(from).await.rule("TDR-SEC-005")?,
        };
        way.send(wrong);
        // Whoever answers this has read all that was before it.
        match way.options(ANSWER).await {
            Door::Answered(_) => {
                for status in way.statuses() {
                    *answers.entry(status).or_default() += 1;
                }
                raw = Some(way);
            }
            Door::Closed(_) => closed += 1,
        }
    }
    let told: Vec<String> = answers
        .iter()
        .map(|(status, count)| format!("{status} {count} times"))
        .collect();
    stage.note(format!(
        "answers: {}; {closed} connections did not go on",
        told.join(", ")
    ));
    for (status, count) in answers {
        stage.check(
            "TDR-SEC-005",
            status < 200 || (400..500).contains(&status) || status >= 501,
            || format!("{count} wrong INVITEs got {status}"),
        );
    }
    Ok(())
}

/// An INVITE that is good but for its size.
fn oversized(base: &str, lines: usize, length: usize, body: usize) -> Vec<u8> {
    let (head, _) = base.split_once("\r\n\r\n").unwrap_or((base, ""));
    let branch = format!("branch=z9hG4bK{}", random::word::<8>());
    let kept: Vec<&str> = head
        .split("\r\n")
        .filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !["content-length", "call-id"].contains(&name.to_ascii_lowercase().as_str())
        })
        .collect();
    let more = format!("X-Thing: {}\r\n", "a".repeat(length)).repeat(lines);
    let mut kept: Vec<String> = kept.into_iter().map(str::to_owned).collect();
    for line in &mut kept {
        if let Some(at) = line.find("branch=") {
            line.truncate(at);
            line.push_str(&branch);
        }
    }
    format!(
        "{}\r\nCall-ID: {}\r\n{more}Content-Length: {body}\r\n\r\n{}",
        kept.join("\r\n"),
        random::word::<8>(),
        "a".repeat(body)
    )
    .into_bytes()
}

/// TC-SYS-005.
pub(super) async fn beyond_bounds(stage: &Stage) -> Played {
    let base = ordinary(stage).await?;
    let before = resident(stage);
    for (what, lines, length, body) in [
        ("a header line of 9 KiB", 1, 9 << 10, 0),
        ("200 header lines more", 200, 1, 0),
        ("a message of 1 MiB", 1, 1, 1 << 20),
        ("a header section of 1 MiB", 1024, 1 << 10, 0),
    ] {
        let mut raw = stage.raw(stage.addresses.proxies[1]).await?;
        raw.send(oversized(&base, lines, length, body));
        let door = tokio::select! {
            door = raw.answer(PATIENCE) => door,
            () = is_busy(stage) => continue,
        };
        let is_refused = match &door {
            Door::Answered(status) => (400..600).contains(status),
            Door::Closed(why) => why != Raw::SILENT,
        };
        let is_taken = door == Door::Answered(486);
        stage.check("TDR-SEC-005", is_refused && !is_taken, || {
            format!("{what}: {door:?}, wanted a refusal or the end of the connection")
        });
    }
    is_small(stage, "TDR-SEC-005", before);
    still_serves(stage, "TDR-SEC-005").await
}

/// TC-SYS-006. Some shake hands, some begin to, and some only connect.
pub(super) async fn flood_of_handshakes(stage: &Stage) -> Played {
    let rate = stage.size("connections a second", 200, 5_000);
    let seconds = stage.size("seconds", 4, 60);
    let began = Instant::now();
    let flood = async {
        let mut tried = 0_u32;
        let mut under_way = JoinSet::new();
        let (from, to) = (stage.addresses.stranger, stage.teams_side);
        while began.elapsed() < Duration::from_secs(seconds.into()) {
            for _ in 0..rate / 20 {
                tried += 1;
                let says = tried.is_multiple_of(2);
                under_way.spawn(async move {
                    use tokio::io::AsyncWriteExt;
                    if let Ok(mut stream) = connect_from(from, to).await {
                        if says {
                            // The first octets of a handshake that never goes on.
                            let _ = stream.write_all(&[22, 3, 1, 0, 200, 1, 0, 0, 196]).await;
                        }
                        sleep(Duration::from_millis(50)).await;
                    }
                });
            }
            sleep(Duration::from_millis(50)).await;
            while under_way.try_join_next().is_some() {}
        }
        tried
    };
    let calls = async {
        let mut slowest = Duration::ZERO;
        let mut number = 0;
        while began.elapsed() < Duration::from_secs(seconds.into()) {
            let dialled = stage.watch();
            let caller = stage.teams_dials().await?;
            let called = stage.carrier_is_called().await.rule("TDR-SEC-002")?;
            slowest = slowest.max(dialled.took());
            let mut talk = stage.answered(caller, called).await.rule("TDR-SEC-002")?;
            talk.caller_ends().await.rule("TDR-SEC-002")?;
            number += 1;
        }
        Ok::<_, Failure>((number, slowest))
    };
    let (tried, played) = tokio::join!(flood, calls);
    let (number, slowest) = played?;
    stage.note(format!(
        "{tried} connections of a stranger in {seconds} s; meanwhile {number} calls, which reached the \
         carrier after {slowest:?} at most"
    ));
    stage.check("TDR-SEC-002", slowest < Duration::from_secs(2), || {
        format!("a call reaches the carrier after {slowest:?}")
    });
    let identity = stage.identity.clone();
    let door = stage
        .knock(stage.addresses.stranger, Some(&identity), None)
        .await?;
    stage.check("TDR-SEC-002", door.is_closed(), || {
        format!("a stranger is let in: {door:?}")
    });
    Ok(())
}
