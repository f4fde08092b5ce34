//! SYS: customers, limits, attacks, load.

mod figures;
pub(super) mod hostile;
mod neighbours;
mod operation;
mod soak;

use crate::certify::case::{Case, Need, breaks, case};
use crate::certify::follows;
use crate::certify::mutation::{
    Mutation, Warp, carrier, delay, drop, drop_after, replace, teams, without,
};
use crate::certify::word;
use crate::lab::front::Wrong;
use std::time::Duration;

/// The case asks the same of each call as the run.
const OWN_NAME: follows::Follows = (
    "TDR-MT-010",
    "the case asks of each call for its customer's name, too",
);

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-SYS-001",
        |stage| Box::pin(neighbours::own_contacts(stage)),
        &[
            breaks(
                "TDR-MT-010",
                replace(
                    teams("INVITE").first(),
                    "c1.cust.test.example",
                    "c2.cust.test.example",
                ),
            )
            .also(&[follows::NAMED, follows::STOPS]),
            breaks("TDR-MT-010", drop(teams("INVITE"))),
            // Another customer's name wherever it may be, as if the call were that one's.
            breaks(
                "G1",
                replace(
                    teams("INVITE").first(),
                    "c1.cust.test.example",
                    "c2.cust.test.example",
                ),
            )
            .also(&[OWN_NAME, follows::STOPS]),
            breaks(
                "G1",
                replace(
                    teams("INVITE").first(),
                    "Contact: <sip:+441632960001@sbc1.test.example",
                    "Contact: <sip:+441632960001@c2.cust.test.example",
                ),
            )
            .also(&[OWN_NAME]),
        ],
    )
    .needs(&[Need::Hosting])
    .with(|setting| setting.is(word::HOSTING)),
    case(
        "TC-SYS-002",
        |stage| Box::pin(neighbours::come_and_go(stage)),
        &[
            breaks(
                "TDR-MT-013",
                replace(
                    teams("INVITE").first(),
                    "c1.sbc1.test.example",
                    "sbc1.test.example",
                ),
            )
            .also(&[follows::NAMED, follows::STOPS]),
            breaks("audio", Mutation::CarrierMedia(Warp::Silence)),
        ],
    )
    .needs(&[Need::Customer]),
    case(
        "TC-SYS-003",
        |stage| Box::pin(neighbours::two_sbcs(stage)),
        &[breaks(
            "TDR-MT-014",
            replace(teams("INVITE").status(503), "SIP/2.0 503", "SIP/2.0 404"),
        )],
    )
    .needs(&[Need::Ours(
        "a second SBC of the same customer is started beside the first, which then drains",
    )]),
    case(
        "TC-SYS-004",
        |stage| Box::pin(hostile::wrong_invites(stage)),
        &[
            breaks("TDR-SEC-005", Mutation::Told("\"calls\":0", "\"calls\":9")),
            breaks("TDR-SEC-005", drop(carrier("INVITE"))),
            breaks(
                "TDR-SEC-005",
                Mutation::Told(
                    "sbc_panics_total{component=\"shard\"} 0",
                    "sbc_panics_total{component=\"shard\"} 1",
                ),
            ),
            breaks("TDR-SEC-005", Mutation::Grows),
            breaks(
                "TDR-SEC-005",
                replace(teams("INVITE").status(400), "SIP/2.0 400", "SIP/2.0 500"),
            ),
            // Wrong INVITEs are refused; only the call after them is answered.
            breaks("TDR-SEC-005", drop(teams("INVITE").status(200))),
        ],
    ),
    case(
        "TC-SYS-005",
        |stage| Box::pin(hostile::beyond_bounds(stage)),
        &[breaks("TDR-SEC-005", Mutation::Front(Wrong::Anybody))],
    ),
    case(
        "TC-SYS-006",
        |stage| Box::pin(hostile::flood_of_handshakes(stage)),
        &[
            breaks("TDR-SEC-002", drop(carrier("INVITE"))),
            breaks("TDR-SEC-002", drop(teams("INVITE").status(200))),
            breaks("TDR-SEC-002", drop(carrier("BYE"))).also(&[follows::QUIET]),
            breaks("TDR-SEC-002", Mutation::Front(Wrong::Anybody)),
            breaks(
                "TDR-SEC-002",
                delay(carrier("INVITE"), Duration::from_secs(3)),
            ),
        ],
    )
    .needs(&[Need::Stranger]),
    case(
        "TC-SYS-007",
        |stage| Box::pin(soak::many_calls(stage)),
        &[
            breaks("soak", delay(teams("INVITE"), Duration::from_secs(3))),
            breaks("soak", Mutation::CarrierMedia(Warp::Silence)),
            breaks("G10", Mutation::Media(Warp::WrongKey)).also(&[
                follows::QUIET,
                ("soak", "of calls with another key none is heard"),
            ]),
        ],
    ),
    case(
        "TC-SYS-008",
        |stage| Box::pin(operation::other_node(stage)),
        &[
            breaks("audio", Mutation::CarrierMedia(Warp::Silence)),
            breaks("TDR-CON-007", drop_after(teams("INVITE"), 1)),
            breaks("TDR-CON-007", drop_after(carrier("INVITE"), 1)),
            breaks("TDR-CON-007", drop(teams("BYE"))).also(&[follows::QUIET]),
            breaks("TDR-CON-007", drop(carrier("BYE"))).also(&[follows::QUIET]),
            breaks("TDR-CON-007", drop(teams("OPTIONS").status(200))),
        ],
    )
    .needs(&[Need::Loss]),
    case(
        "TC-SYS-009",
        |stage| Box::pin(operation::secrets(stage)),
        &[breaks(
            "TDR-SEC-004",
            Mutation::Told("<secret>", operation::TOKEN),
        )],
    )
    .needs(&[Need::Logs])
    .with(operation::with_secrets),
    case(
        "TC-SYS-010",
        |stage| Box::pin(figures::expensive_range(stage)),
        &[
            breaks(
                "TDR-SEC-003",
                Mutation::Configuration("calls_per_minute = 5", "calls_per_minute = 500"),
            ),
            breaks(
                "TDR-SEC-003",
                Mutation::Told("sbc_limit_refusals_total", "sbc_other_total"),
            ),
            breaks(
                "TDR-SEC-003",
                replace(teams("INVITE").status(403), "SIP/2.0 403", "SIP/2.0 486"),
            ),
            // It holds for everybody.
            breaks(
                "TDR-SEC-003",
                Mutation::Configuration("{ tenant = \"c1\", called = [", "{ called = ["),
            ),
        ],
    )
    .needs(&[Need::Hosting])
    .with(figures::with_expensive_range),
    case(
        "TC-SYS-011",
        |stage| Box::pin(neighbours::branch(stage)),
        &[
            breaks("TDR-SBA-002", drop(carrier("INVITE"))),
            breaks(
                "TDR-SBA-002",
                Mutation::Configuration(", { trunk = \"appliance\" }", ""),
            ),
            breaks("TDR-SBA-002", Mutation::Media(Warp::NoAnswers)),
        ],
    )
    .needs(&[Need::Branch, Need::Bypass])
    .with(|setting| setting.is(word::APPLIANCE)),
    case(
        "TC-SYS-012",
        |stage| Box::pin(neighbours::communication_services(stage)),
        &[
            breaks("TDR-ACS-001", drop(carrier("INVITE"))),
            breaks("TDR-ACS-001", drop(carrier("INVITE").status(181))),
            breaks(
                "TDR-ACS-001",
                without(teams("INVITE").status(200), "Session-Expires"),
            ),
            breaks(
                "TDR-ACS-001",
                replace(teams("INVITE").first(), "m=audio", "a=ice-lite\r\nm=audio"),
            ),
        ],
    ),
    case(
        "TC-SYS-013",
        |stage| Box::pin(figures::follow_the_definition(stage)),
        &[
            breaks(
                "TDR-MON-001",
                Mutation::Told("\"ner_percent\":", "\"ner_percent\":101,\"x\":"),
            ),
            breaks(
                "TDR-MON-003",
                Mutation::Told("\"pdd_seconds\":", "\"pdd_seconds\":99,\"x\":"),
            ),
        ],
    )
    .needs(&[Need::Ours(
        "figures of a trunk are read from Causeway's own interface",
    )]),
];
