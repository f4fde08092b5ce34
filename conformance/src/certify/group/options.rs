//! OPT: OPTIONS both ways, and what they show.

use crate::certify::case::{Case, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::mutation::{drop, replace, teams, without};
use crate::certify::setting::FQDN;
use crate::certify::stage::Stage;
use std::time::Duration;

/// The subject may spread its first OPTIONS over some seconds.
const GREETING: Duration = Duration::from_secs(15);

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-OPT-001",
        |stage| Box::pin(activation(stage)),
        &[
            breaks("TDR-OPT-001", drop(teams("OPTIONS"))),
            breaks(
                "TDR-OPT-002",
                replace(teams("OPTIONS"), "<sip:sbc1.", "<sip:someone@sbc1."),
            ),
            breaks("TDR-OPT-005", drop(teams("OPTIONS").status(200))),
        ],
    ),
    case(
        "TC-OPT-006",
        |stage| Box::pin(answered(stage)),
        &[
            breaks(
                "TDR-OPT-005",
                replace(teams("OPTIONS").status(200), "NOTIFY", "PUBLISH"),
            ),
            breaks(
                "TDR-OPT-005",
                without(teams("OPTIONS").status(200), "Contact"),
            ),
        ],
    ),
];

/// TC-OPT-001.
async fn activation(stage: &Stage) -> Played {
    stage.greeted(GREETING).await.rule("TDR-OPT-001")?;
    for (_, peer, options) in stage.tape.requests(Side::Teams, "OPTIONS") {
        let contact = options.line("Contact").unwrap_or_default().to_owned();
        let port = stage.teams_side.port();
        let is_right = contact.starts_with(&format!("<sip:{FQDN}:{port};transport=tls"));
        stage.check("TDR-OPT-002", is_right, || {
            format!("Contact at {peer} is {contact}")
        });
    }
    for proxy in &stage.proxies[..3] {
        proxy.ping(&stage.trunk()).await.rule("TDR-OPT-005")?;
    }
    Ok(())
}

/// TC-OPT-006.
async fn answered(stage: &Stage) -> Played {
    let elsewhere = &stage.proxies[3];
    elsewhere.ping(&stage.trunk()).await.rule("TDR-OPT-005")?;
    let answers = stage.tape.of_subject(Side::Teams).into_iter();
    let answer = answers
        .map(|(_, _, message)| message)
        .find(|message| message.status() == Some(200));
    let Some(answer) = answer else {
        return Ok(());
    };
    let allowed = answer.values("Allow");
    for method in ["REFER", "NOTIFY"] {
        stage.check("TDR-OPT-005", allowed.contains(&method), || {
            format!("Allow lacks {method}: {}", allowed.join(", "))
        });
    }
    let contact = answer.line("Contact").unwrap_or_default();
    stage.check("TDR-OPT-005", contact.contains(FQDN), || {
        format!("Contact is \"{contact}\"")
    });
    Ok(())
}
