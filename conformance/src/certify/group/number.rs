//! NUM: forms of numbers.

use crate::certify::case::{Case, Played, Step, breaks, case};
use crate::certify::follows;
use crate::certify::ladder::Caller;
use crate::certify::mutation::{Mutation, carrier, drop, replace, teams};
use crate::certify::setting::{CUSTOMER_NUMBERS, CUSTOMERS, FQDN, OUTSIDE, USER};
use crate::certify::stage::Stage;
use crate::certify::word;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::peer::leg::Parties;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-NUM-001",
        |stage| Box::pin(local_number(stage)),
        &[
            breaks("TDR-NUM-001", drop(carrier("INVITE"))),
            breaks(
                "TDR-NUM-001",
                Mutation::Configuration("set = '+44$1'", "set = '+1$1'"),
            ),
        ],
    )
    .with(|setting| setting.is(word::LOCAL)),
    case(
        "TC-NUM-002",
        |stage| Box::pin(same_number(stage)),
        &[
            breaks("TDR-MT-011", drop(teams("INVITE"))),
            breaks(
                "TDR-MT-011",
                replace(
                    teams("INVITE").first(),
                    "c2.cust.test.example",
                    "c1.cust.test.example",
                ),
            )
            .also(&[follows::STOPS]),
        ],
    )
    .with(|setting| {
        setting.is(word::HOSTING);
        setting.is(word::OWN_CARRIERS);
        setting.is(word::SAME_NUMBER);
    }),
    case(
        "TC-NUM-003",
        |stage| Box::pin(rules_of_the_customer(stage)),
        &[
            breaks("TDR-MT-013", drop(carrier("INVITE"))),
            breaks(
                "TDR-MT-013",
                Mutation::Configuration("trunk = \"teams-c1\", dir", "trunk = \"teams-c2\", dir"),
            ),
        ],
    )
    .with(|setting| {
        setting.is(word::HOSTING);
        setting.is(word::LOCAL_TO_CUSTOMER);
    }),
    case(
        "TC-NUM-004",
        |stage| Box::pin(with_separators(stage)),
        &[
            breaks("TDR-NUM-002", drop(teams("INVITE"))),
            breaks(
                "TDR-NUM-002",
                replace(
                    teams("INVITE"),
                    "sip:+441632960100@",
                    "sip:+44-1632-960-100@",
                ),
            ),
        ],
    ),
];

/// Teams calls a number in local form; the carrier must be called for the international one.
async fn is_international(stage: &Stage, change: impl FnOnce(&mut Parties), rule: &str) -> Played {
    let mut caller = stage.teams_dials_as(0, "1632960001", change).await?;
    let mut called = stage.carrier_is_called().await.rule(rule)?;
    let uri = called.invite()?.uri_text().to_owned();
    stage.check(rule, uri.starts_with("sip:+441632960001@"), || {
        format!("1632960001 went out as {uri}")
    });
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// TC-NUM-001.
async fn local_number(stage: &Stage) -> Played {
    is_international(stage, |_| {}, "TDR-NUM-001").await
}

/// TC-NUM-002. Each customer has a carrier of its own, and both have this number.
async fn same_number(stage: &Stage) -> Played {
    for (index, name) in CUSTOMERS.iter().enumerate() {
        let voice = stage.voice_of_carrier().await?;
        let offer = sdp::carrier_offer(voice.at, &[Codec::Pcma]);
        let carrier = &stage.carriers[index];
        let parties = carrier.parties(stage.carrier_side, OUTSIDE, "+1001");
        let (leg, invite) = carrier.call_as(stage.carrier_side, OUTSIDE, &parties, offer)?;
        let mut caller = Caller { leg, invite, voice };
        let mut called = stage.teams_is_called().await.rule("TDR-MT-011")?;
        let invite = called.invite()?;
        let (uri, contact) = (
            invite.uri_text(),
            invite.line("Contact").unwrap_or_default(),
        );
        let is_right = uri.starts_with("sip:+1001@") && contact.contains(name);
        stage.check("TDR-MT-011", is_right, || {
            format!("a call over the carrier of {name} goes to {uri} with Contact {contact}")
        });
        called.leg.respond(486, "Busy Here", None, &[])?;
        called.leg.acknowledged_failure().await?;
        caller.is_refused().await?;
    }
    Ok(())
}

/// TC-NUM-003.
async fn rules_of_the_customer(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        let user = format!("{}00", CUSTOMER_NUMBERS[0]);
        parties.uri = parties.uri.replace(FQDN, CUSTOMERS[0]);
        parties.to = parties.to.replace(FQDN, CUSTOMERS[0]);
        parties.from = parties.from.replace(USER, &user);
    };
    is_international(stage, change, "TDR-MT-013").await
}

/// TC-NUM-004.
async fn with_separators(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        parties.edit = Some(|text| {
            let (_, rest) = text.split_once("\r\n").unwrap_or_default();
            format!("INVITE tel:+44-1632-960-100 SIP/2.0\r\n{rest}")
        });
        parties.to = "<tel:+44-1632-960-100>".to_owned();
    };
    let mut caller = stage.carrier_dials_as(USER, change).await?;
    let mut called = stage.teams_is_called().await.rule("TDR-NUM-002")?;
    let invite = called.invite()?;
    let (uri, to) = (invite.uri_text(), invite.line("To").unwrap_or_default());
    for text in [uri, to] {
        let is_right = text.contains(&format!("sip:{USER}@"));
        stage.check("TDR-NUM-002", is_right, || {
            format!("Teams is called as {text}")
        });
    }
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}
