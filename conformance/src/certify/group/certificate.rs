//! CON: the subject's certificate from issue to renewal, and whose certificates it believes.

use super::connection::{GREETING, certificate};
use super::impostor::servers;
use super::options::verdict;
use crate::ca::{self, Authority, CaFault, Identity};
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::mutation::{Mutation, carrier, drop, drop_after, teams, then};
use crate::certify::nodes::Taken;
use crate::certify::setting::FQDN;
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::lab::front::Wrong;
use crate::lab::place::{DOMAIN, REGIONS};
use crate::peer::rules::TeamsRules;
use crate::peer::teams::{Place, Setup, TeamsProxy};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-CON-006",
        |stage| Box::pin(for_servers(stage)),
        &[
            breaks("TDR-TLS-008", drop(teams("OPTIONS"))),
            breaks("TDR-TLS-008", Mutation::Told("for servers only", "good")),
            breaks("TDR-TLS-008", Mutation::Shaken(|one| one.names.clear())),
        ],
    )
    .with(|setting| setting.is(word::FOR_SERVERS)),
    case(
        "TC-CON-007",
        |stage| Box::pin(seven_roots(stage)),
        &[
            // No root of anybody.
            breaks(
                "TDR-TLS-010",
                Mutation::Configuration("/ca.pem", "/sbc.pem"),
            ),
            breaks("TDR-TLS-010", drop(teams("OPTIONS"))),
            breaks("TDR-TLS-010", drop(teams("INVITE"))),
            breaks(
                "TDR-TLS-010",
                Mutation::Told("result=\"cert_usage\"", "result=\"ok\""),
            ),
            // Whoever comes under one of the later roots is nobody.
            breaks(
                "TDR-TLS-010",
                Mutation::Configuration("/ca.pem", "/few.pem"),
            ),
            breaks("TDR-TLS-010", Mutation::Front(Wrong::Anybody)),
            breaks("TDR-TLS-010", Mutation::Gullible),
            // Calls at proxies under the last four roots, and then one beside the impostors.
            breaks("TDR-TLS-010", drop_after(teams("INVITE"), 4)),
            breaks("TDR-TLS-010", drop_after(carrier("INVITE").status(200), 4)),
        ],
    )
    .needs(&[Need::Authority, Need::Anchors])
    .with(|setting| setting.is(word::ANCHORS)),
    case(
        "TC-CON-014",
        |stage| Box::pin(renewed(stage)),
        &[
            breaks(
                "TDR-TLS-013",
                Mutation::Configuration("drain = \"5s\"", "drain = \"1h\""),
            ),
            breaks(
                "TDR-TLS-013",
                Mutation::Configuration(
                    "[[trunk]]\nname = \"teams\"\n",
                    "[[trunk]]\nname = \"teams\"\noptions = { interval = \"170s\" }\n",
                ),
            ),
            // All have OPTIONS with the new one, and none of those that are due.
            breaks("TDR-TLS-013", drop_after(teams("OPTIONS"), 5)),
            breaks("TDR-TLS-013", drop_after(teams("INVITE"), 1)),
            breaks("TDR-TLS-013", drop_after(carrier("INVITE").status(200), 1)),
            breaks("TDR-TLS-013", Mutation::Shaken(|one| one.names.clear())),
            breaks("TDR-TLS-013", drop(teams("OPTIONS").status(200))),
            breaks("TDR-TLS-013", drop(carrier("BYE").status(200))).also(&[follows::QUIET]),
            breaks("TDR-TLS-013", drop_after(carrier("BYE").status(200), 1))
                .also(&[follows::QUIET]),
        ],
    )
    .needs(&[Need::Renewal])
    .with(|setting| setting.is(word::DRAIN)),
    case(
        "TC-CON-015",
        |stage| Box::pin(ends_soon(stage)),
        &[
            breaks("TDR-TLS-018", Mutation::Told("expires in", "has")),
            breaks(
                "TDR-TLS-018",
                Mutation::Told("certificate_expiry", "certificate"),
            ),
            breaks(
                "TDR-TLS-018",
                Mutation::Told("sbc_tls_certificate_not_after", "sbc_tls_certificate_of"),
            ),
        ],
    )
    .needs(&[Need::Tries, Need::Authority]),
    case(
        "TC-CON-033",
        |stage| Box::pin(probed(stage)),
        &[
            breaks(
                "TDR-TLS-014",
                Mutation::Configuration("/ca.pem", "/sbc.pem"),
            )
            .also(&[("TDR-TLS-010", "who trusts no root connects to nobody")]),
            breaks("TDR-TLS-014", Mutation::Told("failed", "ok")),
            breaks(
                "TDR-TLS-014",
                Mutation::Told("teams_test_name", "teams_name"),
            ),
            breaks(
                "TDR-TLS-014",
                Mutation::Told("sbc_teams_test_name_ready", "sbc_teams_test_name"),
            ),
            breaks("TDR-TLS-014", Mutation::Told("\"skipped\"", "\"failed\"")),
            breaks(
                "TDR-TLS-014",
                then(teams("OPTIONS"), |text| text.replace("OPTIONS", "INVITE")),
            )
            .also(&[
                ("G5", "the run asks of each INVITE for its offer, too"),
                (
                    "TDR-SIP-004",
                    "the peer asks of each INVITE for its offer, too",
                ),
                ("TDR-SIP-010", "the peer asks of each INVITE for a number"),
            ]),
            breaks("TDR-TLS-014", Mutation::Told(" info ", " warn ")),
            breaks("TDR-TLS-014", Mutation::Shaken(|one| one.names.clear())),
            breaks("TDR-TLS-010", Mutation::Told("why=root", "why=none")),
            breaks("TDR-TLS-010", Mutation::Told("December 2025", "today")),
            breaks(
                "TDR-TLS-010",
                Mutation::Told("sbc_teams_chain_trouble", "sbc_teams_chain"),
            ),
        ],
    )
    .needs(&[Need::Ours(
        "hosts of Microsoft's tests are probed by a command of Causeway's own",
    )])
    .with(|setting| {
        setting.is(word::ANCHORS);
        setting.has_names = true;
    }),
    case(
        "TC-CON-034",
        |stage| Box::pin(refused_by_teams(stage)),
        &[
            breaks("TDR-TLS-015", drop(teams("INVITE"))),
            breaks(
                "TDR-TLS-015",
                Mutation::Told("certificate_refused", "reload"),
            ),
            breaks(
                "TDR-TLS-015",
                Mutation::Told("result=\"alert\"", "result=\"ok\""),
            ),
            breaks(
                "TDR-TLS-015",
                Mutation::Told(
                    "\"result\":\"answered 200\",\"status\":200",
                    "\"result\":\"answered 200\",\"status\":503",
                ),
            ),
            breaks("TDR-TLS-015", drop(teams("OPTIONS").status(200))),
            breaks("TDR-TLS-015", drop_after(teams("INVITE"), 1)),
            breaks("TDR-TLS-015", drop(carrier("BYE").status(200))).also(&[follows::QUIET]),
            breaks("TDR-TLS-015", drop_after(carrier("BYE").status(200), 1))
                .also(&[follows::QUIET]),
            breaks(
                "TDR-TLS-015",
                Mutation::Shaken(|one| one.names.push(RENEWED.to_owned())),
            ),
        ],
    )
    .needs(&[Need::Renewal, Need::Restoration]),
    case(
        "TC-CON-035",
        |stage| Box::pin(looked_over(stage)),
        &[
            breaks("TDR-TLS-005", Mutation::Told("1024 bits", "many bits")),
            breaks("TDR-TLS-005", Mutation::Told("its own issuer", "well")),
            breaks("TDR-TLS-005", Mutation::Told("no RSA key", "a key")),
            breaks("TDR-TLS-007", Mutation::Told("common name alone", "name")),
            breaks("TDR-TLS-007", Mutation::Told("does not carry", "carries")),
            breaks("TDR-TLS-004", Mutation::Told("is not in the file", "is")),
        ],
    )
    .needs(&[Need::Tries, Need::Authority]),
];

/// A certificate of 1024 bits; no library makes one any more, and none needs its key.
const WEAK: &str = include_str!("weak.pem");
/// When a certificate in use ends.
const NOT_AFTER: &str = "sbc_tls_certificate_not_after_timestamp_seconds";
/// OPTIONS come so often, a little later, and on a busy machine later still.
const OPTIONS: Duration = Duration::from_secs(145);
/// What a busy machine may take to end them.
const LATE: Duration = Duration::from_secs(2);
/// What a renewed certificate says beside the name.
const RENEWED: &str = "renewed.test.example";

fn ladder(why: impl std::fmt::Display) -> Failure {
    Failure::new("ladder", why.to_string())
}

/// TC-CON-006.
async fn for_servers(stage: &Stage) -> Played {
    stage.greeted(GREETING).await.rule("TDR-TLS-008")?;
    for proxy in &stage.proxies[..3] {
        let shown = stage.handshakes(proxy);
        let is_shown = shown.iter().all(|one| one.names == [stage.trunk().fqdn]);
        stage.check("TDR-TLS-008", is_shown, || {
            format!("{} was shown {shown:?}", proxy.host())
        });
    }
    if !stage.shows_operators("whether it warns of its certificate") {
        return Ok(());
    }
    let (is_taken, text) = stage.checks("/sbc.pem", "/sbc.pem").await?;
    let is_warned = is_taken && text.contains("for servers only");
    stage.check("TDR-TLS-008", is_warned, || {
        format!("taken: {is_taken}; {text}")
    });
    // And whoever only looks at what runs is told, too.
    let warnings = stage.logged("for servers only").await;
    let is_warned = warnings.iter().any(|line| line.contains(" warn "));
    stage.check("TDR-TLS-008", is_warned, || {
        format!("the daemon has told its operator {warnings:?}")
    });
    Ok(())
}

/// TC-CON-007: three of the roots have keys on P-384. The proxies show certificates under the first three, the first
/// proxy then under each of the others, and clients come with one under each.
async fn seven_roots(stage: &Stage) -> Played {
    stage.greeted(GREETING).await.rule("TDR-TLS-010")?;
    let name = format!("sip.{DOMAIN}");
    for (number, anchor) in (1..).zip(&stage.kit.anchors) {
        let identity = anchor.issue(&[&name]).map_err(certificate)?;
        let from = stage.addresses.proxies[0];
        let door = stage.knock(from, Some(&identity), None).await?;
        stage.check("TDR-TLS-010", !door.is_closed(), || {
            format!("under anchor {number}: {door:?}")
        });
    }
    let first = &stage.proxies[0];
    for (number, anchor) in (1..).zip(&stage.kit.anchors).skip(REGIONS.len()) {
        let identity = anchor.issue(&[first.host()]).map_err(certificate)?;
        first.goes_away().await;
        let back = first.comes_back_as(&identity, stage.roots.clone());
        back.await.map_err(ladder)?;
        // Who believes it no more fails in the call.
        is_connected(first).await;
        let talk = stage.to_teams().await;
        let talk = talk.map_err(|failure| {
            let why = format!("a proxy under anchor {number}: {}", failure.why);
            Failure::new("TDR-TLS-010", why)
        });
        talk?.caller_ends().await?;
    }
    let unknown = Authority::new("Unknown anchor").map_err(certificate)?;
    let identity = unknown.issue(&[&name]).map_err(certificate)?;
    let from = stage.addresses.proxies[0];
    let door = stage.knock(from, Some(&identity), None).await?;
    stage.check("TDR-TLS-010", door.is_closed(), || {
        format!("under an unknown root: {door:?}")
    });
    stage
        .counts_handshakes("TDR-TLS-010", "in", "cert_unknown_ca")
        .await;
    let kinds = ["cert_unknown_ca", "cert_usage"];
    servers(stage, "TDR-TLS-010", &kinds).await
}

/// TC-CON-014: in the middle of a call.
async fn renewed(stage: &Stage) -> Played {
    let rule = "TDR-TLS-013";
    stage.greeted(GREETING).await?;
    let mut talk = stage.to_teams().await?;
    let is_old = |names: &Vec<String>| !names.iter().any(|name| name == RENEWED);
    let proxies = || stage.proxies.iter();
    if !proxies()
        .flat_map(TeamsProxy::open_connections)
        .all(|names| is_old(&names))
    {
        return Err(ladder(
            "the subject shows its renewed certificate already: put the one before into use",
        ));
    }
    let renewed = stage.kit.authority.issue(&[FQDN, RENEWED]);
    let began = stage.tape.now();
    stage
        .renews("renewed", &renewed.map_err(certificate)?)
        .await?;
    let (before, reloaded) = (stage.tape.now(), Instant::now());
    // Whoever was asked meanwhile on a connection with the new one has heard of us with it (TDR-TLS-015), and is not asked
    // again as soon as the others.
    let is_new = |proxy: &TeamsProxy| proxy.handshakes().iter().any(|one| !is_old(&one.names));
    let tried = stage.proxies[..REGIONS.len()].iter().map(is_new);
    let since: Vec<Duration> = tried
        .map(|tried| if tried { began } else { before })
        .collect();
    // What begins from now on shows the new one.
    let caller = stage.carrier_dials().await?;
    let called = stage.teams_is_called().await.rule(rule)?;
    let mut second = stage.answered(caller, called).await.rule(rule)?;
    let shown = stage.handshakes(&stage.proxies[0]).pop();
    let shown = shown.map(|last| last.names);
    stage.check(
        rule,
        shown.as_ref().is_some_and(|names| !is_old(names)),
        || format!("the last connection shows {shown:?}, wanted the renewed certificate"),
    );
    let deadline = reloaded + word::DRAINS + LATE;
    loop {
        let old = proxies()
            .flat_map(TeamsProxy::open_connections)
            .filter(is_old)
            .count();
        if old == 0 {
            break;
        }
        if Instant::now() > deadline {
            let why = format!(
                "{old} connections with the old certificate are open after {:?}, wanted {:?}",
                reloaded.elapsed(),
                word::DRAINS
            );
            stage.check(rule, false, || why);
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    stage.hear_each_other(&talk).await?;
    stage.proxies[0].ping(&stage.trunk()).await.rule(rule)?;
    second.caller_ends().await.rule(rule)?;
    talk.caller_ends().await.rule(rule)?;
    // Each proxy hears of us again, with the new one, as soon as OPTIONS are due.
    while reloaded.elapsed() < OPTIONS && !are_asked(stage, &since) {
        sleep(Duration::from_millis(50)).await;
    }
    stage.check(rule, are_asked(stage, &since), || {
        format!("not every proxy got OPTIONS within {OPTIONS:?} of the reload")
    });
    Ok(())
}

/// Whether every proxy got OPTIONS after its time of the tape.
fn are_asked(stage: &Stage, since: &[Duration]) -> bool {
    let all = stage.tape.requests(Side::Teams, "OPTIONS");
    let is_asked = |host: &str, since: Duration| {
        let mut own = all.iter().filter(|(_, peer, _)| peer == host);
        own.any(|(at, _, _)| *at > since)
    };
    let mut proxies = stage.proxies.iter().zip(since);
    proxies.all(|(proxy, since)| is_asked(proxy.host(), *since))
}

/// TC-CON-015.
async fn ends_soon(stage: &Stage) -> Played {
    let rule = "TDR-TLS-018";
    if stage.daemon.is_none() {
        return ends_soon_of_others(stage, rule).await;
    }
    for (days, is_soon) in [(29, true), (60, false)] {
        let identity = stage.kit.authority.issue_until(&[FQDN], days);
        stage.lays("soon", &identity.map_err(certificate)?)?;
        let (is_taken, text) = stage.checks("/sbc.", "/soon.").await?;
        let is_told = text.contains("the certificate expires in");
        stage.check(rule, is_taken && is_told == is_soon, || {
            format!("with {days} days left, taken: {is_taken}; {text}")
        });
    }
    // The same of what is in use: nothing of the one that is good for long, a warning of the other.
    for days in [60, 29] {
        let identity = stage.kit.authority.issue_until(&[FQDN], days);
        stage.lays("sbc", &identity.map_err(certificate)?)?;
        stage.tell("/reload").await?;
    }
    let lines = stage.logged("certificate_expiry").await;
    // Part of the last day may be over.
    let is_day = |line: &String| {
        ["days_left=28", "days_left=29"]
            .iter()
            .any(|it| line.contains(it))
    };
    let is_right = lines.len() == 1 && lines.iter().all(is_day);
    stage.check(rule, is_right, || {
        format!("of certificates with 60 and with 29 days the operator is told {lines:?}")
    });
    let labels = ["context=\"teams\"", "kind=\"own\""];
    let ends = stage.figure(NOT_AFTER, &labels).await?.unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let days = (ends - now.unwrap_or_default().as_secs_f64()) / 86_400.0;
    stage.check(rule, (28.0..29.1).contains(&days), || {
        format!("{NOT_AFTER} is {days} days away, and the certificate in use has 29")
    });
    Ok(())
}

/// The same of somebody else's: of what is good for a year nothing is said.
async fn ends_soon_of_others(stage: &Stage, rule: &str) -> Played {
    let fqdn = stage.trunk().fqdn;
    for (days, wanted) in [(29, Taken::WithWarning), (365, Taken::Silently)] {
        let identity = stage.kit.authority.issue_until(&[&fqdn], days);
        stage.lays("soon", &identity.map_err(certificate)?)?;
        let (taken, text) = stage.tries(&["certificate", &stage.laid("soon")]).await?;
        stage.check(rule, taken == wanted, || {
            format!("with {days} days left, taken: {taken:?}; {text}")
        });
    }
    Ok(())
}

/// TC-CON-033: a host under each of seven roots, and one under a root that nobody knows.
async fn probed(stage: &Stage) -> Played {
    let rule = "TDR-TLS-014";
    let names = stage.names.as_ref().ok_or_else(|| ladder("no names"))?;
    let unknown = Authority::new("Unknown anchor").map_err(certificate)?;
    let mut proxies = Vec::new();
    for (number, anchor) in (1_u8..).zip(stage.kit.anchors.iter().chain([&unknown])) {
        let host = format!("probe{number}.{DOMAIN}");
        let at = SocketAddr::new(stage.addresses.machine(40 + number), 5061);
        let place = Place::take_at(at).await.map_err(ladder)?;
        let identity = anchor.issue(&[&format!("sip.{DOMAIN}"), &host]);
        let setup = Setup {
            host: host.clone(),
            identity: identity.map_err(certificate)?,
            roots: stage.kit.authority.roots().map_err(certificate)?,
            rules: TeamsRules {
                trunks: vec![stage.trunk()],
                hidden: Vec::new(),
                proxy: None,
            },
            sbc: stage.teams_side.ip(),
            echoes: BTreeSet::new(),
            wire: None,
        };
        proxies.push(TeamsProxy::start(place, setup).map_err(certificate)?);
        names.set(&host, at.ip());
    }
    let text = probe(stage, &proxies).await?;
    for (number, proxy) in (1..).zip(&proxies) {
        let line = text.lines().find(|line| line.starts_with(proxy.host()));
        let word = line.and_then(|line| line.split_whitespace().nth(1));
        let wanted = if number < proxies.len() {
            "ok"
        } else {
            "failed"
        };
        stage.check(rule, word == Some(wanted), || {
            format!(
                "{} is told as {word:?}, wanted {wanted}: {text}",
                proxy.host()
            )
        });
        // Whoever is believed sees our certificate, and who is not gets nothing.
        let shown = proxy.handshakes();
        let is_shown = match wanted {
            "ok" => shown.len() == 1 && shown[0].names.iter().any(|name| name == FQDN),
            _ => shown.is_empty() && line.is_some_and(|line| line.contains("no root")),
        };
        stage.check(rule, is_shown, || {
            format!("{} was shown {shown:?}, told as {line:?}", proxy.host())
        });
    }
    asked_daily(stage, &proxies).await?;
    let told = roots_are_told(stage).await;
    let calls = stage.tape.requests(Side::Teams, "INVITE").len();
    stage.check(rule, calls == 0, || format!("{calls} calls"));
    told
}

/// The daemon itself asks names that are configured, once: one under a root that is known, one that is not, and one
/// that has no address.
async fn asked_daily(stage: &Stage, proxies: &[TeamsProxy]) -> Played {
    let rule = "TDR-TLS-014";
    let (good, bad) = (proxies[0].host(), proxies[proxies.len() - 1].host());
    let gone = format!("gone.{DOMAIN}");
    let shown = shown_to(stage, &proxies[0]);
    let (names, trunk) = (
        format!("test_names = [\"{good}\", \"{bad}\", \"{gone}\"]"),
        "[[trunk]]\nname = \"teams\"\n",
    );
    stage
        .reconfigures(trunk, &format!("{trunk}{names}\n"))
        .await?;
    let wanted = [(good, "ok"), (bad, "failed"), (&gone, "skipped")];
    let is_there = |told: &str| told.matches("\"test\"").count() == wanted.len();
    let told = stage.ask_until("/teams", GREETING, is_there).await;
    let told = told.unwrap_or_else(|last| last);
    for (host, word) in wanted {
        let rows = told.split("},{").filter(|row| row.contains("\"test\""));
        let mut own = rows.filter(|row| row.contains(host));
        let is_told = own.any(|row| row.contains(&format!("\"{word}\"")));
        stage.check(rule, is_told, || format!("{host}, wanted {word}: {told}"));
    }
    // What cannot be resolved is no warning.
    let warned = stage.logged("warn  teams_test_name").await;
    stage.check(rule, warned.len() == 1 && warned[0].contains(bad), || {
        format!("of test names the operator is warned {warned:?}")
    });
    let ready = "sbc_teams_test_name_ready";
    for (host, value) in [(good, Some(1.0)), (bad, Some(0.0)), (&gone, None)] {
        let label = format!("name=\"{host}\"");
        let figure = stage.figure(ready, &[&label]).await?;
        stage.check(rule, figure == value, || {
            format!("{ready} of {host} is {figure:?}, wanted {value:?}")
        });
    }
    // With another name among them the old ones are not asked again.
    let other = format!("other.{DOMAIN}");
    stage.reconfigures(&gone, &other).await?;
    let is_there = |told: &str| told.contains(&other);
    if let Err(told) = stage.ask_until("/teams", GREETING, is_there).await {
        return Err(Failure::new(rule, format!("{other} is not tried: {told}")));
    }
    let asked = shown_to(stage, &proxies[0]) - shown;
    stage.check(rule, asked == 1, || {
        format!("{good} was asked {asked} times")
    });
    Ok(())
}

/// How often our certificate was shown to a proxy.
fn shown_to(stage: &Stage, proxy: &TeamsProxy) -> usize {
    let is_ours = |name: &String| name == FQDN;
    let all = stage.handshakes(proxy).into_iter();
    all.filter(|one| one.names.iter().any(is_ours)).count()
}

/// What Teams shows is told: here it ends at roots that are none of Microsoft's list.
async fn roots_are_told(stage: &Stage) -> Played {
    let rule = "TDR-TLS-010";
    stage.greeted(GREETING).await.rule(rule)?;
    let lines = stage.logged("teams_chain_trouble").await;
    let is_told = lines.iter().any(|line| line.contains("why=root"));
    stage.check(rule, is_told, || {
        format!("of roots that are not Microsoft's the operator is told {lines:?}")
    });
    let labels = ["dir=\"out\"", "why=\"root\""];
    let troubles = stage
        .figure_above("sbc_teams_chain_trouble", &labels, 0.0)
        .await;
    stage.check(rule, troubles > Some(0.0), || {
        "no figure has a root that is not of the list".to_owned()
    });
    let told = stage.ask("/teams").await?;
    let has_date = told.contains("\"roots\"") && told.contains("December 2025");
    stage.check(rule, has_date, || format!("no date of the roots: {told}"));
    Ok(())
}

/// What the program says of these hosts.
async fn probe(stage: &Stage, proxies: &[TeamsProxy]) -> Result<String, Failure> {
    let program = stage.program.as_ref();
    let (Some(program), Some(folder)) = (program, stage.folder()) else {
        return Err(ladder("the subject is not ours"));
    };
    let mut command = Command::new(program);
    command.args(["teams", "probe", "-f"]);
    command.arg(folder.join("causeway.toml"));
    for proxy in proxies {
        command.args(["--host", proxy.host()]);
    }
    let output = command.output().await.map_err(ladder)?;
    Ok(stage.as_told(String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// TC-CON-034: what renews certificates has put one of an authority that Teams does not know into place.
async fn refused_by_teams(stage: &Stage) -> Played {
    let rule = "TDR-TLS-015";
    stage.greeted(GREETING).await?;
    let mut talk = stage.to_teams().await.rule(rule)?;
    let unknown = Authority::new("Unknown to Teams").map_err(certificate)?;
    let issued = unknown.issue(&[&stage.trunk().fqdn, RENEWED]);
    let issued = issued.map_err(certificate)?;
    if stage.daemon.is_none() {
        // It may say that it does not use it.
        stage.lays("refused", &issued)?;
        stage.renews(&stage.laid("refused"), &issued).await?;
        stage.note("not asked of this subject: whether its operator is told that Teams refuses the certificate");
    } else {
        stage.renews("refused", &issued).await?;
        refusal_is_told(stage, rule).await?;
    }
    for proxy in &stage.proxies[..3] {
        proxy.ping(&stage.trunk()).await.rule(rule)?;
    }
    // New connections show what Teams takes.
    stage.proxies[0].goes_away().await;
    stage.proxies[0].comes_back().await.map_err(ladder)?;
    if !is_connected(&stage.proxies[0]).await {
        let why = format!("nobody has connected again within {GREETING:?}");
        return Err(Failure::new(rule, why));
    }
    let mut second = stage.to_teams().await.rule(rule)?;
    second.caller_ends().await.rule(rule)?;
    for proxy in &stage.proxies[..3] {
        let shown = stage.handshakes(proxy);
        let is_old = |names: &[String]| !names.iter().any(|name| name == RENEWED);
        let is_kept = shown.iter().all(|one| is_old(&one.names));
        stage.check(rule, is_kept, || {
            format!("{} was shown {shown:?}", proxy.host())
        });
    }
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await.rule(rule)
}

/// The operator is told that Teams refuses the new certificate, and the trunk stays active: no proxy counts as lost.
async fn refusal_is_told(stage: &Stage, rule: &str) -> Played {
    let told = stage.logged("certificate_refused").await;
    let is_told = told.iter().any(|line| line.contains(" error "));
    stage.check(rule, is_told, || {
        format!("that Teams refuses the new certificate the operator is told as {told:?}")
    });
    let labels = ["context=\"teams\"", "dir=\"out\"", "result=\"alert\""];
    let refused = stage
        .figure_above("sbc_tls_handshakes_total", &labels, 0.0)
        .await;
    stage.check(rule, refused > Some(0.0), || {
        "no figure counts the handshakes that Teams refused".to_owned()
    });
    for (index, _) in stage.proxies[..3].iter().enumerate() {
        let told = verdict(stage, index, "\"status\":200", PATIENCE).await;
        stage.check(rule, told.contains("\"status\":200"), || told.clone());
    }
    Ok(())
}

/// Whether a proxy that was away is connected again: a call on the connection that breaks would rightly go on at the
/// next one.
pub(super) async fn is_connected(proxy: &TeamsProxy) -> bool {
    let deadline = Instant::now() + GREETING;
    while proxy.open_connections().is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(50)).await;
    }
    !proxy.open_connections().is_empty()
}

/// TC-CON-035.
async fn looked_over(stage: &Stage) -> Played {
    let issue = |made: Result<Identity, CaFault>, name: &str| {
        made.map_err(certificate)
            .and_then(|identity| stage.lays(name, &identity))
    };
    let authority = &stage.kit.authority;
    let fqdn = &*stage.trunk().fqdn;
    issue(ca::self_signed(&[fqdn]), "self")?;
    issue(authority.issue_without_names(fqdn), "cn")?;
    issue(authority.issue(&["sbc9.test.example"]), "nameless")?;
    let usual = &stage.kit.sbc;
    if stage.daemon.is_none() {
        issue(authority.issue_ecdsa(&[fqdn]), "ecdsa")?;
        issue(authority.issue(&[fqdn]).map(Identity::leaf), "alone")?;
        return looked_over_by_others(stage).await;
    }
    issue(Ok(usual.clone().leaf()), "alone")?;
    let weak = Identity {
        chain_pem: WEAK.to_owned(),
        key_pem: usual.key_pem.clone(),
    };
    issue(Ok(weak), "weak")?;
    for (file, word, may_be_taken, rule) in [
        ("weak", "1024 bits", false, "TDR-TLS-005"),
        ("self", "is its own issuer", true, "TDR-TLS-005"),
        ("ecdsa", "has no RSA key", true, "TDR-TLS-005"),
        ("cn", "as common name alone", true, "TDR-TLS-007"),
        ("nameless", "does not carry", false, "TDR-TLS-007"),
        ("alone", "is not in the file", true, "TDR-TLS-004"),
    ] {
        let (is_taken, text) = stage.checks("/sbc.", &format!("/{file}.")).await?;
        let is_right = text.contains(word) && is_taken == may_be_taken;
        stage.check(rule, is_right, || {
            format!("\"{file}\" was taken: {is_taken}; {text}")
        });
    }
    Ok(())
}

/// The same of somebody else's, which complains in words of its own. Nobody has the key of the one with 1,024 bits.
async fn looked_over_by_others(stage: &Stage) -> Played {
    stage.note("not asked of this subject: a certificate with 1,024 bits, whose key nobody has");
    for (name, rule) in [
        ("self", "TDR-TLS-005"),
        ("ecdsa", "TDR-TLS-005"),
        ("cn", "TDR-TLS-007"),
        ("nameless", "TDR-TLS-007"),
        ("alone", "TDR-TLS-004"),
    ] {
        stage
            .complains(rule, &["certificate", &stage.laid(name)])
            .await?;
    }
    // Who complains of everything has looked at nothing.
    let right = stage.kit.authority.issue(&[&stage.trunk().fqdn]);
    stage.lays("right", &right.map_err(certificate)?)?;
    let (taken, text) = stage.tries(&["certificate", &stage.laid("right")]).await?;
    stage.check("TDR-TLS-005", taken == Taken::Silently, || {
        format!("of a certificate that is right it was taken: {taken:?}; {text}")
    });
    Ok(())
}
