//! ICE: what the subject's agent answers, to whom, and where clients may be.

use super::bypass::{client_answers, client_talks, is_lite, meet, of_client, with_bypass};
use super::referred::{BY, TARGET, ends, is_referred, is_told_last};
use super::transfer;
use crate::certify::case::{Break, Case, Need, PATIENCE, Play, Played, Step, breaks, case};
use crate::certify::change::SETTLED;
use crate::certify::follows;
use crate::certify::ladder::{TONES, Talk};
use crate::certify::mutation::{Mutation, Warp, replace, rewrite, teams};
use crate::certify::nodes::Taken;
use crate::certify::setting::{OUTSIDE, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::media::between::Between;
use crate::media::check::{Check, Reply};
use crate::media::ice::Lite;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::peer::message::Message;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    bypass(
        "TC-ICE-004",
        |stage| Box::pin(wrong_checks(stage)),
        &[
            breaks("TDR-ICE-003", Mutation::Media(Warp::AnswersAll)).also(&[(
                "TDR-ICE-004",
                "an agent that answers all answers those with odd attributes",
            )]),
            breaks("TDR-ICE-003", Mutation::Media(Warp::NoAnswers)),
            breaks("TDR-ICE-003", Mutation::Told("check_integrity", "short")),
        ],
    ),
    bypass(
        "TC-ICE-005",
        |stage| Box::pin(unknown_attributes(stage)),
        &[
            breaks("TDR-ICE-004", Mutation::Media(Warp::NoAnswers)).also(&[(
                "TDR-ICE-003",
                "an agent that answers nothing answers no right check either",
            )]),
        ],
    ),
    bypass(
        "TC-ICE-006",
        |stage| Box::pin(two_clients(stage)),
        &[
            breaks("TDR-ICE-005", Mutation::Media(Warp::NoAnswers)).also(&[follows::QUIET]),
            breaks("TDR-ICE-005", Mutation::Media(Warp::Silence)).also(&[follows::QUIET]),
            breaks("TDR-ICE-005", Mutation::CarrierMedia(Warp::Silence)).also(&[follows::QUIET]),
            breaks("TDR-ICE-005", Mutation::Media(Warp::Lingers)),
        ],
    ),
    bypass(
        "TC-ICE-008",
        |stage| Box::pin(heard_before_checks(stage)),
        &[
            breaks("TDR-ICE-006", Mutation::CarrierMedia(Warp::Silence)),
            breaks("TDR-ICE-006", Mutation::Media(Warp::Silence)),
        ],
    ),
    bypass(
        "TC-ICE-012",
        |stage| Box::pin(relayed(stage)),
        &[
            breaks("TDR-ICE-010", Mutation::Media(Warp::Silence)),
            breaks("TDR-ICE-010", Mutation::Media(Warp::NoAnswers)),
        ],
    ),
    bypass(
        "TC-ICE-015",
        |stage| Box::pin(without_agent(stage)),
        &[
            breaks(
                "TDR-ICE-001",
                Mutation::Told("media bypass needs", "it needs"),
            ),
            breaks("TDR-ICE-001", Mutation::Told(NO_CHOICE, "it is well")),
            breaks(
                "TDR-ICE-001",
                replace(teams("INVITE").first(), "a=candidate:", "a=x-candidate:"),
            )
            .also(&[follows::CANDIDATE]),
        ],
    )
    .needs(&[Need::Bypass, Need::Tries]),
    bypass(
        "TC-ICE-016",
        |stage| Box::pin(consent(stage)),
        &[
            breaks("TDR-ICE-003", Mutation::Media(Warp::NoAnswers)).also(&[follows::QUIET]),
            breaks("TDR-ICE-003", Mutation::Media(Warp::FewAnswers)),
            breaks("TDR-ICE-011", Mutation::CarrierMedia(Warp::Mute)),
            breaks(
                "TDR-ICE-011",
                Mutation::Configuration(word::SILENCE_ALLOWED, "[limits]\nmax_duration = \"5s\"\n"),
            )
            .also(&[(
                "G14",
                "a call that its limit ends has a record of another kind",
            )]),
        ],
    )
    .with(|setting| {
        with_bypass(setting);
        setting.is(word::SILENCE);
    }),
    bypass(
        "TC-ICE-017",
        |stage| Box::pin(behind_nat(stage)),
        &[
            breaks(
                "TDR-ICE-002",
                Mutation::Configuration("advertise = ", "# advertise = "),
            ),
            breaks("audio", Mutation::Media(Warp::Silence)),
        ],
    )
    .with(|setting| {
        with_bypass(setting);
        setting.is(word::NAT);
    }),
    bypass(
        "TC-ICE-019",
        |stage| Box::pin(transferred(stage)),
        &[
            breaks(
                "TDR-XFR-001",
                rewrite(teams("INVITE"), |text| {
                    transfer::transfers(text, |text| text.replace("a=ice-pwd:", "a=ice-pwd:x"))
                }),
            )
            .also(&[follows::QUIET]),
            breaks(
                "TDR-XFR-001",
                replace(teams("REFER").status(202), "SIP/2.0 202", "SIP/2.0 405"),
            ),
        ],
    )
    .needs(&[Need::Bypass, Need::Transfers]),
    bypass(
        "TC-ICE-020",
        |stage| Box::pin(many_agents(stage)),
        &[
            breaks(
                "TDR-ICE-003",
                rewrite(teams("INVITE"), |text| with_fragment(text, "same")),
            ),
            breaks("TDR-ICE-003", Mutation::Media(Warp::AnswersAll)),
        ],
    )
    .needs(&[Need::Bypass, Need::Elsewhere]),
];

/// Calls that are under way together.
const CALLS: usize = 1_000;
/// Calls that begin together: more datagrams at once than a socket takes are lost.
const AT_ONCE: usize = 20;
/// How long an INVITE may take before its call counts as shed.
const SHED: Duration = Duration::from_secs(3);
/// The range of ports that relays of Teams have.
const RELAYS: std::ops::RangeInclusive<u16> = 50_000..=59_999;

const fn bypass(
    id: &'static str,
    play: for<'s> fn(&'s Stage) -> Play<'s>,
    broken_by: &'static [Break],
) -> Case {
    case(id, play, broken_by)
        .needs(&[Need::Bypass])
        .with(with_bypass)
}

fn ladder(why: impl std::fmt::Display) -> Failure {
    Failure::new("ladder", why.to_string())
}

/// The agent of a description of the subject, and where it is.
fn agent(message: &Message) -> Result<(Lite, SocketAddr), Failure> {
    let lite = Lite::read(&message.body());
    let lite = lite.map_err(|why| Failure::new("TDR-ICE-001", why))?;
    let at = lite.at().map_err(|why| Failure::new("TDR-ICE-002", why))?;
    Ok((lite, at))
}

/// TC-ICE-004: nobody is answered as if he knew the password, and the call does not notice.
async fn wrong_checks(stage: &Stage) -> Played {
    let (mut talk, invite) = client_answers(stage).await?;
    let (lite, at) = agent(&invite)?;
    let asker = stage.asker().await?;
    let sound = || Check::of(&lite, "probe");
    let changed = |change: &dyn Fn(&mut Check)| {
        let mut check = sound();
        change(&mut check);
        check
    };
    let checks = [
        ("another password", changed(&|c| c.password.push('x'))),
        ("no proof", changed(&|c| c.is_proven = false)),
        (
            "another name",
            changed(&|c| c.username = "abcd:probe".to_owned()),
        ),
        (
            "half a name",
            changed(&|c| c.username.clone_from(&lite.fragment)),
        ),
        (
            "the halves of the name the wrong way round",
            changed(&|c| c.username = format!("probe:{}", lite.fragment)),
        ),
    ];
    for (what, check) in &checks {
        let bytes = check.bytes().map_err(ladder)?;
        let said = asker.tries(at, (check, bytes), &sound()).await;
        let said = said.map_err(|why| Failure::new("TDR-ICE-003", why))?;
        stage.check("TDR-ICE-003", said != Some(Reply::Success), || {
            format!("a check with {what} is good for it")
        });
    }
    let check = sound();
    let bytes = check.bytes().map_err(ladder)?;
    let (mut cut, mut damaged, mut longer) = (bytes.clone(), bytes.clone(), bytes);
    cut.truncate(cut.len() - 8);
    damaged[30] ^= 1;
    longer.extend([0; 4]);
    for (what, bytes) in [
        ("cut", cut),
        ("damaged", damaged),
        ("longer than it says", longer),
    ] {
        let said = asker.tries(at, (&check, bytes), &sound()).await;
        let said = said.map_err(|why| Failure::new("TDR-ICE-003", why))?;
        let is_nothing = said.is_none();
        stage.check("TDR-ICE-004", is_nothing, || {
            format!("a check that is {what} got {said:?}")
        });
    }
    for reason in ["check_integrity", "check_name"] {
        let labels = [&*format!("reason=\"{reason}\"")];
        let name = "sbc_rtp_dropped_total";
        stage.counts("TDR-ICE-003", name, &labels).await;
    }
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-ICE-005. Whoever asks for what nobody knows is told so (RFC 8489 §6.3.1).
async fn unknown_attributes(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?.clone();
    let (lite, at) = agent(&invite)?;
    let asker = stage.asker().await?;
    for (more, wanted) in [
        // As clients of Teams have them: version, candidate, and others that nobody documents.
        (vec![(0x8070, vec![0, 0, 0, 3])], Reply::Success),
        (
            vec![
                (0x8054, b"1\0\0\0".to_vec()),
                (0xC057, vec![0, 1, 0, 50]),
                (0x8FFF, vec![9; 64]),
            ],
            Reply::Success,
        ),
        (vec![(0x7FAB, vec![1, 2, 3, 4])], Reply::Refused(420)),
    ] {
        let mut check = Check::of(&lite, "probe");
        check.more = more;
        let said = asker.asks(at, &check).await.map_err(ladder)?;
        stage.check("TDR-ICE-004", said == Some(wanted), || {
            format!("a check with {:02x?} got {said:?}", check.more)
        });
    }
    let answer = of_client(&called.voice, &called.answer(Codec::Pcma))?;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    meet(stage, &called.voice, &invite).await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-ICE-006: both nominate before the answer, and the second one answers.
async fn two_clients(stage: &Stage) -> Played {
    let rule = "TDR-ICE-005";
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?.clone();
    let first = of_client(&called.voice, &called.answer(Codec::Pcma))?;
    called
        .leg
        .respond(183, "Session Progress", Some(first), &[])?;
    let early = caller.leg.hears(183, PATIENCE).await?;
    caller.hears_of(&early.message)?;
    called.leg.fork();
    let other = stage.voice_of_teams_elsewhere().await?;
    let first = std::mem::replace(&mut called.voice, other);
    let answer = of_client(&called.voice, &called.answer(Codec::Pcma))?;
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    let (one, two) = tokio::join!(
        meet(stage, &first, &invite),
        meet(stage, &called.voice, &invite)
    );
    one.and(two).rule(rule)?;
    // Both speak, now and from then on.
    first.plays(TONES.0 + 100.0);
    let is_heard = caller.voice.waits_for(TONES.0 + 100.0, PATIENCE).await;
    stage.check(rule, is_heard, || {
        "who is heard first before the answer is not heard by the caller".to_owned()
    });
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule(rule)?;
    let to_loser = first.hears_within(Duration::from_millis(500)).await;
    stage.check(rule, to_loser == 0, || {
        format!("who has not answered still gets {to_loser} packets in half a second")
    });
    talk.caller_ends().await
}

/// TC-ICE-008: heard before it has checked, and spoken to before anything is nominated.
async fn heard_before_checks(stage: &Stage) -> Played {
    let rule = "TDR-ICE-006";
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?.clone();
    let (lite, at) = agent(&invite)?;
    let answer = of_client(&called.voice, &called.answer(Codec::Pcma))?;
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    let early = caller.leg.hears(183, PATIENCE).await?;
    caller.hears_of(&early.message)?;
    called.voice.plays(TONES.1);
    let is_heard = caller.voice.waits_for(TONES.1, PATIENCE).await;
    stage.check(rule, is_heard, || {
        "early audio from before the first check is not heard".to_owned()
    });
    let lines = called.voice.lines_of_client();
    let fragment = lines
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap_or_default();
    let check = Check::of(&lite, fragment).bytes().map_err(ladder)?;
    called.voice.sends_check(check, at);
    caller.voice.plays(TONES.0);
    let is_heard = called.voice.waits_for(TONES.0, PATIENCE).await;
    stage.check(rule, is_heard, || {
        "who has checked and not nominated hears nothing".to_owned()
    });
    meet(stage, &called.voice, &invite).await?;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule(rule)?;
    talk.caller_ends().await
}

/// A relay of Teams at this address.
async fn relay(ip: IpAddr, inside: IpAddr) -> Result<Between, Failure> {
    let inside = SocketAddr::new(inside, 0);
    let mut last = None;
    for port in RELAYS.step_by(37) {
        match Between::open(inside, SocketAddr::new(ip, port)).await {
            Ok(relay) => return Ok(relay),
            Err(why) => last = Some(why),
        }
    }
    Err(ladder(format!("no port for a relay at {ip}: {last:?}")))
}

/// TC-ICE-012: the client is only to be reached through a relay.
async fn relayed(stage: &Stage) -> Played {
    let rule = "TDR-ICE-010";
    let voice = stage.voice_of_teams().await?;
    let relay = relay(stage.addresses.elsewhere, stage.addresses.proxies[0]).await?;
    let (ip, port) = (relay.far.ip(), relay.far.port());
    let agent_lines = of_client(&voice, "")?;
    let lines: String = agent_lines
        .lines()
        .filter(|line| !line.starts_with("a=candidate:"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let candidate =
        format!("a=candidate:1 1 UDP 16777215 {ip} {port} typ relay raddr 0.0.0.0 rport 9\r\n");
    let offer = sdp::teams_offer(relay.far, &voice.key) + &lines + &candidate;
    let mut caller = stage.teams_offers(0, OUTSIDE, voice, offer, |_| {}).await?;
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    is_lite(stage, &answer);
    let (lite, at) = agent(&answer)?;
    // What the client sends to the relay goes to the subject, and the other way round.
    relay.leads_to(at);
    let media = sdp::read(&answer.body()).map_err(ladder)?;
    let media = sdp::Media {
        rtp: relay.near,
        rtcp: relay.near,
        ..media
    };
    caller.voice.hears_of(&media)?;
    let met = caller.voice.meets(&lite.reached_at(relay.near));
    met.map_err(|why| Failure::new(rule, why))?;
    let is_nominated = caller.voice.nominates(PATIENCE).await;
    stage.check(rule, is_nominated, || {
        "nothing is nominated through the relay".to_owned()
    });
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule(rule)?;
    let [there, back] = relay.carried();
    stage.note(format!(
        "the relay has carried {there} datagrams to the subject, and {back} from it"
    ));
    talk.caller_ends().await
}

/// What the operator hears who wants to do without it.
const NO_CHOICE: &str = "is not supported in this version";

/// TC-ICE-015: Teams would refuse every call with 488. Neither a start nor a reload takes it.
async fn without_agent(stage: &Stage) -> Played {
    let rule = "TDR-ICE-001";
    if stage.daemon.is_none() {
        let (taken, text) = stage.tries(&["ice", "off"]).await?;
        stage.check(rule, taken == Taken::Refused, || {
            format!("bypass without ICE was taken: {taken:?}; {text}")
        });
        let (mut talk, _) = client_answers(stage).await.rule(rule)?;
        return talk.caller_ends().await;
    }
    let own = format!("addresses = [\"{}\"]\n", stage.teams_side.ip());
    let of_bypass = "media_bypass = true\n";
    let without = "media_bypass = true\nice = \"off\"\n";
    for (from, to, word) in [
        (&*own, "addresses = [\"::1\"]\n", "media bypass needs"),
        (of_bypass, without, NO_CHOICE),
    ] {
        let (is_taken, text) = stage.checks(from, to).await?;
        stage.check(rule, !is_taken && text.contains(word), || {
            format!("with {to:?} it was taken: {is_taken}; {text}")
        });
    }
    let told = stage.reconfigures(of_bypass, without).await;
    let why = told.err().map(|failure| stage.as_told(failure.why));
    let is_refused = why.as_ref().is_some_and(|why| why.contains(NO_CHOICE));
    stage.check(rule, is_refused, || {
        format!("a reload without ICE was taken, or refused for something else: {why:?}")
    });
    let (mut talk, _) = client_answers(stage).await.rule(rule)?;
    talk.caller_ends().await
}

/// TC-ICE-016: checks are answered as long as they come, and nobody misses them while audio comes.
async fn consent(stage: &Stage) -> Played {
    let (mut talk, _) = client_talks(stage).await?;
    let (checks, pause) = match stage.kit.soaks {
        true => (120, Duration::from_secs(5)),
        false => (10, Duration::ZERO),
    };
    let quiet = stage.size("seconds without a check", 5, 20 * 60);
    for _ in 0..checks {
        talk.lasts(pause).await;
        let is_answered = talk.caller.voice.is_answered(PATIENCE).await;
        stage.check("TDR-ICE-003", is_answered, || {
            "a check within the call is not answered".to_owned()
        });
        if !is_answered {
            break;
        }
    }
    talk.caller.voice.checks_no_more();
    let quiet = Duration::from_secs(quiet.into());
    let ended = talk.caller.leg.asked("BYE", quiet).await;
    stage.check("TDR-ICE-011", ended.is_err(), || {
        "without checks the call ends, although both are heard".to_owned()
    });
    stage.hear_each_other(&talk).await.rule("TDR-ICE-011")?;
    talk.caller_ends().await
}

/// TC-ICE-017: everybody outside is told the public address, and nothing of the other one.
async fn behind_nat(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?.clone();
    is_lite(stage, &invite);
    let (_, at) = agent(&invite)?;
    let (public, own) = (stage.addresses.outside, stage.teams_side.ip());
    let is_hidden =
        !invite.body().contains(&format!("{own} ")) && !invite.body().contains(&format!("{own}\r"));
    stage.check("TDR-ICE-002", at.ip() == public && is_hidden, || {
        format!("its candidate is {at}, its public address {public}, its own {own}")
    });
    // The NAT leads what comes to the public address to the same port of the own one.
    let nat = Between::open(at, SocketAddr::new(stage.addresses.elsewhere, 0)).await;
    let nat = nat.map_err(|why| Failure::new("TDR-ICE-002", format!("a NAT at {at}: {why}")))?;
    nat.leads_to(SocketAddr::new(own, at.port()));
    let answer = of_client(&called.voice, &called.answer(Codec::Pcma))?;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    meet(stage, &called.voice, &invite).await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-ICE-019.
async fn transferred(stage: &Stage) -> Played {
    let rule = "TDR-XFR-001";
    let (mut talk, _) = client_answers(stage).await?;
    let Talk { caller, called } = &mut talk;
    let referred = is_referred(stage, &mut called.leg, TARGET, BY).await;
    let mut new = referred.rule(rule)?;
    let invite = new.invite()?.clone();
    let answer = of_client(&new.voice, &new.answer(Codec::Pcma))?;
    new.leg.respond(200, "OK", Some(answer), &[])?;
    new.leg.acknowledged().await?;
    meet(stage, &new.voice, &invite).await.rule(rule)?;
    is_told_last(stage, &mut called.leg, 200).await?;
    caller.end().may_be_offered(SETTLED).await?;
    let heard = stage.voices_hear_each_other(&new.voice, &caller.voice);
    heard.await.rule(rule)?;
    called.leg.hang_up().await?;
    ends(&mut caller.leg, &mut new.leg).await
}

/// The same fragment in each description.
fn with_fragment(text: &str, fragment: &str) -> String {
    let lines = text.split("\r\n").map(|line| match line {
        line if line.starts_with("a=ice-ufrag:") => format!("a=ice-ufrag:{fragment}"),
        line => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// TC-ICE-020: no two agents have the same name, and none answers to that of another.
async fn many_agents(stage: &Stage) -> Played {
    let (mut callers, mut called, mut agents) = (Vec::new(), Vec::new(), Vec::new());
    let parties = stage.carriers[0].parties(stage.carrier_side, OUTSIDE, USER);
    // Nobody is going to speak there.
    let nowhere = SocketAddr::new(stage.addresses.carrier, 40_000);
    // A machine that is busy with something else sheds calls, which are placed again.
    let mut placed = 0;
    while called.len() < CALLS && placed < 2 * CALLS {
        for _ in 0..AT_ONCE {
            let offer = sdp::carrier_offer(nowhere, &[Codec::Pcma]);
            let call = stage.carriers[0].call_as(stage.carrier_side, OUTSIDE, &parties, offer);
            callers.push(call?);
        }
        placed += AT_ONCE;
        for _ in 0..AT_ONCE {
            let Ok(invite) = stage.call_to_proxy(0, SHED).await else {
                break;
            };
            let mut leg = stage.proxies[0].take(invite).await?;
            leg.respond(100, "Trying", None, &[])?;
            let message = leg.invitation().map(|invite| invite.message.clone());
            agents.push(agent(&message.ok_or_else(|| ladder("no INVITE"))?)?);
            called.push(leg);
        }
    }
    let all = called.len();
    stage.check("TDR-ICE-003", all >= CALLS, || {
        format!("of {placed} calls {all} came, wanted {CALLS}")
    });
    let names: BTreeSet<&str> = agents.iter().map(|(lite, _)| &*lite.fragment).collect();
    let places: BTreeSet<SocketAddr> = agents.iter().map(|(_, at)| *at).collect();
    stage.check("TDR-ICE-003", names.len() == all, || {
        format!("{} names of {all} agents", names.len())
    });
    stage.check("TDR-ICE-002", places.len() == all, || {
        format!("{} addresses of {all} agents", places.len())
    });
    let asker = stage.asker().await?;
    let next = agents.iter().cycle().skip(1);
    for ((own, at), (other, _)) in agents.iter().zip(next).take(all) {
        let wrong = Check::of(other, "probe");
        let bytes = wrong.bytes().map_err(ladder)?;
        let said = asker
            .tries(*at, (&wrong, bytes), &Check::of(own, "probe"))
            .await;
        let said = said.map_err(|why| Failure::new("TDR-ICE-003", why))?;
        stage.check("TDR-ICE-003", said.is_none(), || {
            format!("the agent at {at} answers to the name of another: {said:?}")
        });
    }
    for mut leg in called {
        leg.respond(486, "Busy Here", None, &[])?;
        leg.acknowledged_failure().await?;
    }
    for (mut leg, _) in callers {
        leg.final_response().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::setting::Setting;

    #[test]
    fn every_case_here_is_one_of_a_trunk_with_bypass() {
        for case in CASES {
            let mut setting = Setting::default();
            (case.setting)(&mut setting);
            assert!(setting.teams.contains("media_bypass = true"), "{}", case.id);
        }
    }
}
