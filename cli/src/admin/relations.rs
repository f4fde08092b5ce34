//! Operations on relations to others, for the table of all (`routes.rs`): trunks, peers, registrations, names, TLS.

use super::routes::protection::ALLOWED;
use super::routes::{Answer, Method, Operation};
use super::shape::Shape::{self, Flag, Integer, List, Maybe, Object, Text};
use super::shapes::{BINDING, CLOSED, PEER, REGISTRATION};
use super::who::Right;
use super::{names, peers, tls, trunks};
use axum::routing::{get, post};

const STEP: Shape = Object(&[
    ("target", Text),
    ("address", Maybe(&Text)),
    ("step", Text),
    ("result", Text),
    ("told", Text),
    ("fix", Maybe(&Text)),
    ("took_ms", Maybe(&Integer)),
]);

const REGISTERED: Shape = Object(&[("trunk", Text), ("state", Text)]);

const REGISTERS_NOT: (u16, &str) = (409, "the trunk registers with nobody");
pub(super) const UNKNOWN_TRUNK: (u16, &str) = (404, "the configuration in use has no such trunk");

/// All of them, in the order of the document.
pub(super) const RELATIONS: &[Operation] = &[
    Operation {
        method: Method::Get,
        path: "/trunks",
        right: Right::Read,
        summary: "Trunks: whether each can have calls, how many it has, its peers, registrations and contacts",
        query: &[("trunk", "only this one", Text)],
        body: None,
        answer: Answer::Json(List(&Object(&[
            ("trunk", Text),
            ("tenant", Maybe(&Text)),
            ("fqdn", Maybe(&Text)),
            ("preset", Text),
            ("realm", Text),
            ("inherits", Maybe(&Text)),
            ("state", Text),
            ("calls_in", Integer),
            ("calls_out", Integer),
            ("most_calls", Maybe(&Integer)),
            ("peers", List(&PEER)),
            ("registrations", List(&REGISTRATION)),
            ("bindings", List(&BINDING)),
            ("allowed", List(&ALLOWED)),
        ]))),
        refusals: &[UNKNOWN_TRUNK],
        handler: || get(trunks::list),
    },
    Operation {
        method: Method::Post,
        path: "/trunks/{trunk}/disable",
        right: Right::Calls,
        summary: "Keeps new calls away from a trunk, in both directions and from this moment; calls in progress go on. Kept \
                  over reloads and restarts",
        query: &[],
        body: None,
        answer: Answer::Json(CLOSED),
        refusals: &[UNKNOWN_TRUNK],
        handler: || post(trunks::disable),
    },
    Operation {
        method: Method::Post,
        path: "/trunks/{trunk}/drain",
        right: Right::Calls,
        summary: "Has new calls go elsewhere until a trunk is empty; calls in progress go on, with their transfers. Kept over \
                  reloads and restarts",
        query: &[],
        body: None,
        answer: Answer::Json(CLOSED),
        refusals: &[UNKNOWN_TRUNK],
        handler: || post(trunks::drain),
    },
    Operation {
        method: Method::Post,
        path: "/trunks/{trunk}/enable",
        right: Right::Calls,
        summary: "Lets a trunk have calls again that is disabled or drains",
        query: &[],
        body: None,
        answer: Answer::Json(CLOSED),
        refusals: &[UNKNOWN_TRUNK],
        handler: || post(trunks::enable),
    },
    Operation {
        method: Method::Post,
        path: "/trunks/{trunk}/test",
        right: Right::Calls,
        summary: "Looks step by step whether the peers of a trunk can be reached: names, connections, TLS, OPTIONS",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            ("trunk", Text),
            ("is_good", Flag),
            ("because", Maybe(&Text)),
            ("steps", List(&STEP)),
        ])),
        refusals: &[UNKNOWN_TRUNK],
        handler: || post(trunks::test),
    },
    Operation {
        method: Method::Post,
        path: "/peers/{peer}/reset",
        right: Right::Calls,
        summary: "Forgets what speaks against a peer, named by its host, address, or address and port: failed calls, Retry-After, \
                  unanswered OPTIONS; it is tried at once",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[("peer", Text), ("addresses", Integer)])),
        refusals: &[(404, "no trunk has such a peer")],
        handler: || post(peers::reset),
    },
    Operation {
        method: Method::Get,
        path: "/registrations",
        right: Right::Read,
        summary: "Registrations of ours at registrars, and those of peers with us",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            (
                "ours",
                List(&Object(&[
                    ("trunk", Text),
                    ("address_of_record", Text),
                    ("state", Text),
                    ("server", Maybe(&Text)),
                    ("until", Maybe(&Text)),
                    ("because", Maybe(&Text)),
                ])),
            ),
            (
                "theirs",
                List(&Object(&[
                    ("trunk", Text),
                    ("address_of_record", Text),
                    ("contact", Maybe(&Text)),
                    ("reached_at", Maybe(&Text)),
                    ("until", Maybe(&Text)),
                    ("because", Maybe(&Text)),
                ])),
            ),
        ])),
        refusals: &[],
        handler: || get(peers::list),
    },
    Operation {
        method: Method::Post,
        path: "/registrations/{trunk}/refresh",
        right: Right::Calls,
        summary: "Registers a trunk anew at once, whatever its registrar has said before, also one that was taken back",
        query: &[],
        body: None,
        answer: Answer::Json(REGISTERED),
        refusals: &[UNKNOWN_TRUNK, REGISTERS_NOT],
        handler: || post(peers::refresh),
    },
    Operation {
        method: Method::Post,
        path: "/registrations/{trunk}/unregister",
        right: Right::Calls,
        summary: "Takes the registration of a trunk back, until it is refreshed or the daemon starts anew",
        query: &[],
        body: None,
        answer: Answer::Json(REGISTERED),
        refusals: &[UNKNOWN_TRUNK, REGISTERS_NOT],
        handler: || post(peers::unregister),
    },
    Operation {
        method: Method::Get,
        path: "/dns",
        right: Right::Read,
        summary: "What is remembered of DNS, with the time that each answer is used for",
        query: &[("name", "only what is known of this name", Text)],
        body: None,
        answer: Answer::Json(List(&Object(&[
            ("name", Text),
            ("kind", Text),
            ("state", Text),
            ("seconds_left", Integer),
            ("records", List(&Text)),
        ]))),
        refusals: &[],
        handler: || get(names::show),
    },
    Operation {
        method: Method::Post,
        path: "/dns/flush",
        right: Right::Calls,
        summary: "Forgets what is remembered of a name, or of all: it is asked anew with the next call or OPTIONS",
        query: &[("name", "only this name", Text)],
        body: None,
        answer: Answer::Json(Object(&[("forgotten", Integer)])),
        refusals: &[],
        handler: || post(names::flush),
    },
    Operation {
        method: Method::Get,
        path: "/tls",
        right: Right::Read,
        summary: "TLS identities with their trunks, and connections that are open in one: the first thousand",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            (
                "identities",
                List(&Object(&[
                    ("context", Text),
                    ("names", List(&Text)),
                    ("until", Text),
                    ("days_left", Integer),
                    ("trunks", List(&Text)),
                    ("connections", Integer),
                ])),
            ),
            (
                "connections",
                List(&Object(&[
                    ("context", Text),
                    ("direction", Text),
                    ("local", Text),
                    ("remote", Text),
                ])),
            ),
        ])),
        refusals: &[],
        handler: || get(tls::list),
    },
    Operation {
        method: Method::Post,
        path: "/tls/test",
        right: Right::Configure,
        summary: "Shakes hands with a host over a connection of its own: name, chain and end of its certificate, or why not",
        query: &[
            (
                "host",
                "a name or an address; port 5061 if none is written behind a colon",
                Text,
            ),
            (
                "context",
                "the [[tls]] to show; the first one without it",
                Text,
            ),
        ],
        body: None,
        answer: Answer::Json(Object(&[
            ("host", Text),
            ("port", Integer),
            ("context", Text),
            ("is_good", Flag),
            ("steps", List(&STEP)),
        ])),
        refusals: &[(400, "host is none"), (404, "there is no such [[tls]]")],
        handler: || post(tls::test),
    },
    Operation {
        method: Method::Post,
        path: "/tls/reload",
        right: Right::Configure,
        summary: "Reads certificates and keys from disk now, and takes those into use that are new and as good: same, taken, \
                  kept or unusable",
        query: &[],
        body: None,
        answer: Answer::Json(List(&Object(&[
            ("context", Text),
            ("result", Text),
            ("because", Maybe(&Text)),
        ]))),
        refusals: &[],
        handler: || post(tls::reload),
    },
];
