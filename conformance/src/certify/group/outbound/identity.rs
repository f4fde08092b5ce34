//! Who calls from Teams, for whom, and what the carrier is told of it.

use super::is_status;
use crate::certify::case::{Played, Step};
use crate::certify::evidence::Side;
use crate::certify::setting::{CUSTOMERS, FQDN, OUTSIDE};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word::TRUSTS;
use crate::peer::leg::Parties;
use crate::peer::message::Message;

/// A carrier that wants the older header, and one that is not trusted.
const OLDER: &str = "trusted = true\nidentity = { egress = \"rpid+from\" }\n";
const UNTRUSTED: &str = "trusted = false\nidentity = { egress = \"pai+from\" }\n";
/// A trusted carrier that hears of forwarding, and one that is shown who forwards besides.
const FORWARDED: &str = "identity = { diversion = \"both\" }\n";
const FORWARDER: &str =
    "identity = { diversion = \"both\", egress = \"pai+from\", asserted = \"diverting\" }\n";

/// A call whose caller is asserted and hidden; the INVITE that the carrier gets.
async fn hidden(stage: &Stage) -> Result<Message, Failure> {
    let change = |parties: &mut Parties| {
        parties.from = "<sip:anonymous@anonymous.invalid>".to_owned();
        let asserted = "<tel:+441632960100>,<sip:+441632960100@sip.pstnhub.example>";
        parties
            .extra
            .push(("P-Asserted-Identity", asserted.to_owned()));
        parties.extra.push(("Privacy", "id".to_owned()));
    };
    let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let mut called = stage.carrier_is_called().await?;
    let invite = called.invite()?.clone();
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await?;
    Ok(invite)
}

/// TC-OUT-011.
pub(super) async fn asserted_and_hidden(stage: &Stage) -> Played {
    who_is_trusted(stage).await?;
    if !stage.reconfigures(TRUSTS, OLDER).await? {
        return Ok(());
    }
    let invite = hidden(stage).await?;
    let told = invite.line("Remote-Party-ID").unwrap_or_default();
    let is_right = told.contains("+441632960100") && told.contains("privacy=full");
    stage.check("TDR-CID-002", is_right, || {
        format!("Remote-Party-ID is \"{told}\"")
    });
    stage.reconfigures(OLDER, UNTRUSTED).await?;
    let invite = hidden(stage).await?;
    let is_kept = !invite
        .text()
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .contains("441632960100");
    stage.check("TDR-CID-002", is_kept, || {
        "the hidden number shows to a carrier that is not trusted".to_owned()
    });
    Ok(())
}

/// Who is trusted is told who calls, however Teams writes it.
async fn who_is_trusted(stage: &Stage) -> Played {
    for together in [true, false] {
        let change = |parties: &mut Parties| {
            parties.from = "<sip:anonymous@anonymous.invalid>".to_owned();
            let uris = [
                "<tel:+441632960100>",
                "<sip:+441632960100@sip.pstnhub.example>",
            ];
            let name = "P-Asserted-Identity";
            match together {
                true => parties.extra.push((name, uris.join(","))),
                false => parties.extra.extend(uris.map(|uri| (name, uri.to_owned()))),
            }
            parties.extra.push(("Privacy", "id".to_owned()));
        };
        let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
        let mut called = stage.carrier_is_called().await?;
        let invite = called.invite()?;
        let asserted = invite.values("P-Asserted-Identity").join(", ");
        stage.check("TDR-CID-002", asserted.contains("+441632960100"), || {
            format!("P-Asserted-Identity is \"{asserted}\"")
        });
        let privacy = invite.line("Privacy").unwrap_or_default();
        stage.check("TDR-CID-003", privacy.contains("id"), || {
            format!("Privacy is \"{privacy}\"")
        });
        let from = invite.line("From").unwrap_or_default();
        stage.check("TDR-CID-003", !from.contains("+441632960100"), || {
            format!("From is {from}")
        });
        called.leg.respond(486, "Busy Here", None, &[])?;
        called.leg.acknowledged_failure().await?;
        caller.is_refused().await?;
    }
    Ok(())
}

/// TC-OUT-013.
pub(super) async fn customers_by_name(stage: &Stage) -> Played {
    let numbers = ["+441632960200", "+441632960300"];
    let mut calls = Vec::new();
    for (index, (fqdn, number)) in CUSTOMERS.iter().zip(numbers).enumerate() {
        let change = |parties: &mut Parties| {
            parties.uri = parties.uri.replace(FQDN, fqdn);
            parties.to = parties.to.replace(FQDN, fqdn);
            parties.from = parties.from.replace("+441632960100", number);
        };
        let caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
        // Each has a carrier of its own.
        let called = stage.carrier_is_called_at(index).await;
        let called = called.rule("TDR-MT-012")?;
        let mut talk = stage.answered(caller, called).await?;
        calls.push(talk.caller.leg.call_id().to_owned());
        talk.caller_ends().await?;
    }
    // The number of one is no number of the other.
    let foreign = |parties: &mut Parties| {
        parties.uri = parties.uri.replace(FQDN, CUSTOMERS[0]);
        parties.to = parties.to.replace(FQDN, CUSTOMERS[0]);
        parties.from = parties.from.replace("+441632960100", numbers[1]);
    };
    let mut caller = stage.teams_dials_as(0, OUTSIDE, foreign).await?;
    let last = caller.is_refused().await.rule("TDR-MT-015")?;
    stage.check("TDR-MT-015", last.status() == Some(403), || {
        format!("another customer's number got {}", last.title())
    });
    // An answer that is repeated is that of the same call.
    for (fqdn, call) in CUSTOMERS.iter().zip(&calls) {
        let answers = stage.tape.of_subject(Side::Teams).into_iter();
        let own = answers
            .map(|(_, _, message)| message)
            .filter(|message| is_status(message, 200) && message.call_id() == call);
        for answer in own {
            let contact = answer.line("Contact").unwrap_or_default();
            stage.check("TDR-MT-012", contact.contains(fqdn), || {
                format!("{fqdn} was called, Contact is {contact}")
            });
        }
    }
    let unknown =
        |parties: &mut Parties| parties.uri = parties.uri.replace(FQDN, "c9.other.example");
    let mut caller = stage.teams_dials_as(0, OUTSIDE, unknown).await?;
    let last = caller.is_refused().await.rule("TDR-MT-012")?;
    stage.check(
        "TDR-MT-012",
        matches!(last.status(), Some(403 | 404)),
        || format!("a name of nobody got {}", last.title()),
    );
    let labels = ["reason=\"unknown_host\""];
    stage
        .counts("TDR-MT-012", "sbc_sip_dropped_total", &labels)
        .await;
    Ok(())
}

/// TC-OUT-014.
pub(super) async fn foreign_number(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        parties.from = parties.from.replace("+441632960100", "+441632960999");
    };
    let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let last = caller.leg.final_response().await?;
    stage.check("TDR-MT-015", last.status() == Some(403), || {
        format!("got {}", last.title())
    });
    let labels = ["caller_not_allowed"];
    stage
        .counts("TDR-MT-015", "sbc_calls_ended_total", &labels)
        .await;
    // Who forwards a call shows the number of its caller.
    let forwards = |parties: &mut Parties| {
        change(parties);
        let history =
            "<sip:+441632960100@sip.pstnhub.example;user=phone?Reason=SIP%3Bcause%3D302>;index=1";
        parties.extra.push(("History-Info", history.to_owned()));
    };
    let mut caller = stage.teams_dials_as(0, OUTSIDE, forwards).await?;
    let mut called = stage.carrier_is_called().await.rule("TDR-SIP-036")?;
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await?;
    let calls = stage.tape.requests(Side::Carrier, "INVITE").len();
    stage.check("TDR-MT-015", calls == 1, || {
        format!("the carrier was called {calls} times, and of two calls one was allowed")
    });
    Ok(())
}

/// A forwarded call with this history; the INVITE that the carrier gets, and the refusal.
async fn with_history(stage: &Stage, history: &'static str) -> Result<Message, Failure> {
    let change = |parties: &mut Parties| parties.extra.push(("History-Info", history.to_owned()));
    let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let mut called = stage.carrier_is_called().await?;
    let invite = called.invite()?.clone();
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await?;
    Ok(invite)
}

/// Without the second entry of History-Info and those below it, whether each has a line of its own or not.
pub(super) fn without_second(invite: &str) -> String {
    let of_first = |entry: &&str| index_of(entry) == "1";
    let lines = invite.split("\r\n").filter_map(|line| {
        let Some(entries) = line.strip_prefix("History-Info: ") else {
            return Some(line.to_owned());
        };
        let kept: Vec<&str> = entries.split(',').filter(of_first).collect();
        (!kept.is_empty()).then(|| format!("History-Info: {}", kept.join(",")))
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// Where an entry of History-Info stands (RFC 7044 §10.3).
fn index_of(entry: &str) -> &str {
    let (_, rest) = entry.split_once(";index=").unwrap_or_default();
    rest.split(';').next().unwrap_or_default()
}

/// TC-OUT-016: both entries in their order, each with its reason, with whom the call is for behind them or not (RFC
/// 7044), and in Diversion who sent the call on and why
/// (RFC 7544 §7.3).
pub(super) async fn forwarded(stage: &Stage) -> Played {
    let rule = "TDR-FWD-001";
    for (history, second) in [
        (
            "<sip:+441632960107@sip.pstnhub.example>;index=1,<sip:+441632960001@sip.pstnhub.example;cause=302>;index=1.1",
            "302",
        ),
        (
            "<sip:+441632960107@sip.pstnhub.example:5061;user=phone?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20Temporarily%22>;index=1,<sip:+441632960001@sip.pstnhub.example:5061;user=phone?Reason=SIP%3Bcause%3D486>;index=1.1",
            "486",
        ),
        // Unescaped, as the documentation has it.
        (
            "<sip:+441632960107@sip.pstnhub.example;user=phone?Reason=SIP;cause=302;text=\"Move Temporarily\">;index=1,<sip:+441632960001@sip.pstnhub.example;user=phone?Reason=SIP;cause=496>;index=1.1",
            "496",
        ),
    ] {
        let invite = with_history(stage, history).await?;
        let told = invite.values("History-Info");
        let has = |at: usize, index: &str, words: &[&str]| {
            told.get(at).is_some_and(|entry| {
                index_of(entry) == index && words.iter().all(|word| entry.contains(word))
            })
        };
        let first = match history.contains("?Reason") {
            true => &["+441632960107", "cause%3D302"][..],
            false => &["+441632960107"],
        };
        let is_whole = has(0, "1", first) && has(1, "1.1", &["+441632960001", second]);
        stage.check(rule, is_whole, || {
            format!("of \"{history}\" History-Info is \"{}\"", told.join(", "))
        });
        let diversion = invite.values("Diversion");
        let of_it = diversion.iter().find(|one| one.contains("+441632960107"));
        let is_told = of_it.is_some_and(|one| one.contains("reason=unconditional"));
        stage.check("TDR-FWD-003", is_told, || {
            format!("of \"{history}\" Diversion is \"{}\"", diversion.join(", "))
        });
    }
    who_forwards_is_asserted(stage).await
}

/// A faulty subject: whoever forwards is said to call.
pub(super) fn called_by_who_forwards(invite: &str) -> String {
    let lines = invite
        .split("\r\n")
        .map(|line| match line.starts_with("From:") {
            true => line.replace("+441632960100", "+441632960107"),
            false => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// A carrier that wants a number of its own customer gets that of who forwards, and From is who calls.
async fn who_forwards_is_asserted(stage: &Stage) -> Played {
    let rule = "TDR-FWD-004";
    if !stage.reconfigures(FORWARDED, FORWARDER).await? {
        stage.note(format!(
            "{rule} not asked: whose number carriers get is a choice of this subject's"
        ));
        return Ok(());
    }
    let history = "<sip:+441632960107@sip.pstnhub.example;cause=302>;index=1,\
                   <sip:+441632960001@sip.pstnhub.example;cause=302>;index=1.1";
    let invite = with_history(stage, history).await?;
    let asserted = invite.values("P-Asserted-Identity").join(", ");
    stage.check(rule, asserted.contains("+441632960107"), || {
        format!("P-Asserted-Identity is \"{asserted}\", who forwards is +441632960107")
    });
    let from = invite.line("From").unwrap_or_default();
    stage.check(rule, from.contains("+441632960100"), || {
        format!("From is {from}, who calls is +441632960100")
    });
    Ok(())
}

/// TC-OUT-017.
pub(super) async fn hidden_history(stage: &Stage) -> Played {
    let history = "<sip:+441632960107@sip.pstnhub.example?Privacy=history>;index=1,\
                   <sip:+441632960001@sip.pstnhub.example;cause=302>;index=1.1";
    let invite = with_history(stage, history).await?;
    let text = invite.text();
    stage.check("TDR-FWD-002", !text.contains("441632960107"), || {
        "who forwarded shows although the history is private".to_owned()
    });
    Ok(())
}
