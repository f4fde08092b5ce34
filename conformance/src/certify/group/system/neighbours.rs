//! Customers, nodes and services beside each other.

use crate::certify::case::{PATIENCE, Played, Step};
use crate::certify::evidence::Side;
use crate::certify::ladder::{Caller, Talk};
use crate::certify::setting::{CUSTOMER_NUMBERS, CUSTOMERS, DERIVED, FQDN, OUTSIDE, SECOND, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::media::ice::Lite;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use crate::peer::leg::Parties;
use crate::peer::message::{Message, uri_of};
use std::time::Duration;

/// A call to this number of Teams must show the name.
async fn shows(stage: &Stage, number: &str, name: &str, rule: &str) -> Played {
    let mut caller = stage.carrier_dials_as(number, |_| {}).await?;
    let mut called = stage.teams_is_called().await.rule(rule)?;
    let invite = called.invite()?;
    for header in ["Contact", "From"] {
        let value = invite.line(header).unwrap_or_default();
        let host = uri_of(value).map(|uri| uri.host().to_string());
        stage.check(rule, host.as_deref() == Ok(name), || {
            format!("a call to {number} has {header} {value}, wanted {name}")
        });
    }
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(drop)
}

/// TC-SYS-001.
pub(super) async fn own_contacts(stage: &Stage) -> Played {
    for (name, numbers) in CUSTOMERS.iter().zip(CUSTOMER_NUMBERS) {
        shows(stage, &format!("{numbers}00"), name, "TDR-MT-010").await?;
    }
    shows(stage, USER, FQDN, "TDR-MT-010").await
}

/// The customer that comes and goes: its own name behind the trunk that is there.
fn customer() -> String {
    let numbers = CUSTOMER_NUMBERS[0];
    format!(
        "[[tenant]]\nname = \"c1\"\nnumbers = [\"{numbers}00-{numbers}99\"]\n\
         [[trunk]]\nname = \"teams-c1\"\ninherits = \"teams\"\ntenant = \"c1\"\nfqdn = \"{DERIVED}\"\n\
         [[route]]\nname = \"to-c1\"\nmatch = {{ called_in = \"tenant:c1\" }}\n\
         to = [{{ trunk = \"teams\" }}]\n"
    )
}

/// Adds the customer, or removes it.
async fn customer_is(stage: &Stage, is_there: bool) -> Played {
    let fault = |why: std::io::Error| Failure::new("ladder", why.to_string());
    let Some(folder) = stage.folder() else {
        let word = if is_there { "add" } else { "remove" };
        return stage.customer(word).await;
    };
    let folder = folder.join("conf.d");
    std::fs::create_dir_all(&folder).map_err(fault)?;
    let file = folder.join("c1.toml");
    match is_there {
        true => std::fs::write(&file, customer()),
        false => std::fs::remove_file(&file),
    }
    .map_err(fault)?;
    stage.tell("/reload").await.rule("TDR-MT-013").map(drop)
}

/// TC-SYS-002. Every tenth time the customer is called while it is there.
pub(super) async fn come_and_go(stage: &Stage) -> Played {
    let rounds = stage.size("times that a customer comes and goes", 20, 100);
    stage.has_name(DERIVED);
    let mut to_teams = stage.to_teams().await?;
    let mut from_teams = stage.from_teams().await?;
    for round in 0..rounds {
        customer_is(stage, true).await?;
        if round % 10 == 0 {
            let number = format!("{}00", CUSTOMER_NUMBERS[0]);
            shows(stage, &number, DERIVED, "TDR-MT-013").await?;
        }
        customer_is(stage, false).await?;
    }
    stage.hear_each_other(&to_teams).await?;
    stage.hear_each_other(&from_teams).await?;
    for talk in [&to_teams, &from_teams] {
        for voice in [&talk.caller.voice, &talk.called.voice] {
            let heard = voice.heard();
            let gap = stage.longer_than(&heard.gaps, GAP);
            stage.check("audio", gap.is_none(), || {
                format!(
                    "{} heard nothing for {:?} while customers came",
                    voice.name,
                    gap.unwrap_or_default()
                )
            });
        }
    }
    to_teams.caller_ends().await?;
    from_teams.called_ends().await
}

/// Silence that nobody takes for a pause of the network.
const GAP: Duration = Duration::from_secs(1);

/// TC-SYS-003. The first node drains, and Teams calls the same customer by the name on the second.
pub(super) async fn two_sbcs(stage: &Stage) -> Played {
    stage.starts_second_node().await.rule("TDR-MT-014")?;
    let mut talk = stage.from_teams().await?;
    let (caller, called) = by_second(stage).await?;
    let mut other = stage.answered(caller, called).await?;
    stage.tell("/drain/now").await?;
    let mut refused = stage.teams_dials().await?;
    let last = refused.is_refused().await?;
    stage.check("TDR-MT-014", last.status() == Some(503), || {
        format!(
            "a node that drains says {}, so that Teams looks no further",
            last.title()
        )
    });
    let (caller, called) = by_second(stage).await?;
    let mut third = stage.answered(caller, called).await?;
    third.caller_ends().await?;
    other.caller_ends().await?;
    talk.caller_ends().await
}

/// Teams calls by the second name, and the carrier has the call.
async fn by_second(stage: &Stage) -> Result<(Caller, crate::certify::ladder::Called), Failure> {
    let voice = stage.voice_of_teams().await?;
    let offer = sdp::teams_offer(voice.at, &voice.key);
    let (proxy, trunk) = (&stage.proxies[0], stage.second_trunk());
    let parties = proxy.parties(&trunk, USER, OUTSIDE);
    let (leg, invite) = proxy.call_as(&trunk, &parties, offer).await?;
    let called = stage.carrier_is_called().await.rule("TDR-MT-014")?;
    Ok((Caller { leg, invite, voice }, called))
}

/// The agent of a client in the branch meets that of the subject.
async fn meets(voice: &Voice, message: &Message) -> Played {
    let failure = |why: String| Failure::new("TDR-SBA-002", why);
    let lite = Lite::read(&message.body()).map_err(failure)?;
    voice.meets(&lite).map_err(failure)?;
    match voice.nominates(PATIENCE).await {
        true => Ok(()),
        false => Err(failure(
            "checks of a client in the branch are not answered".to_owned(),
        )),
    }
}

/// TC-SYS-011. Nothing of Teams can be reached, and the appliance stands for it.
pub(super) async fn branch(stage: &Stage) -> Played {
    let failure = |why: String| Failure::new("ladder", why);
    for proxy in &stage.proxies[..3] {
        proxy.goes_away().await;
    }
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.proxy_is_called(3).await.rule("TDR-SBA-002")?;
    let invite = called.invite()?.clone();
    let contact = invite.line("Contact").unwrap_or_default().to_owned();
    stage.check("TDR-SBA-002", contact.contains(SECOND), || {
        format!("the appliance is called with Contact {contact}")
    });
    let answer = called.answer(Codec::Pcma) + &called.voice.is_client().map_err(failure)?;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    meets(&called.voice, &invite).await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await?;

    let voice = stage.voice_of_teams_elsewhere().await?;
    let lines = voice.is_client().map_err(failure)?;
    let offer = sdp::teams_offer(voice.at, &voice.key) + &lines;
    let (appliance, trunk) = (&stage.proxies[3], stage.second_trunk());
    let parties = appliance.parties(&trunk, USER, OUTSIDE);
    let (leg, invite) = appliance.call_as(&trunk, &parties, offer).await?;
    let mut caller = Caller { leg, invite, voice };
    let mut called = stage.carrier_is_called().await.rule("TDR-SBA-002")?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    meets(&caller.voice, &answer).await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-SYS-012. The service always tells the history and a session time, forwards with 181, and knows
/// no bypass.
pub(super) async fn communication_services(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        let history = "<sip:+441632960107@sip.pstnhub.example>;index=1,\
                       <sip:+441632960001@sip.pstnhub.example;cause=302>;index=1.1";
        parties.extra.push(("History-Info", history.to_owned()));
        parties.uri = parties.uri.replace(";user=phone", ";user=phone;cause=302");
    };
    let caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let called = stage.carrier_is_called().await.rule("TDR-ACS-001")?;
    let mut talk = stage.answered(caller, called).await?;
    let told = stage.tape.of_subject(Side::Teams);
    let has_timer = told.iter().any(|(_, _, message)| {
        message.status() == Some(200) && message.line("Session-Expires").is_some()
    });
    stage.check("TDR-ACS-001", has_timer, || {
        "the session time that the service asks for is not answered".to_owned()
    });
    talk.called_ends().await?;

    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let offer = called.invite()?.body();
    let is_bypass = offer.contains("a=ice-") || offer.contains("a=candidate");
    stage.check("TDR-ACS-001", !is_bypass, || {
        "its offer speaks of bypass, which the service does not have".to_owned()
    });
    called
        .leg
        .respond(181, "Call Is Being Forwarded", None, &[])?;
    caller.leg.hears(181, PATIENCE).await.rule("TDR-ACS-001")?;
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await.rule("TDR-ACS-001")?;
    let answer = called.answer(Codec::Pcma);
    let timer = [
        ("Require", "timer".to_owned()),
        ("Session-Expires", "3600;refresher=uas".to_owned()),
    ];
    called.leg.respond(200, "OK", Some(answer), &timer)?;
    let mut talk = Talk { caller, called }.established().await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}
