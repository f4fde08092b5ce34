//! Every operation of the interface, in one table: who may, what it is for, what it answers. The router, the
//! document of the interface and the check of rights are made from it, so that they cannot differ.

mod calls;
pub(super) mod protection;

use super::relations::{RELATIONS, UNKNOWN_TRUNK};
use super::shape::Shape::{self, Flag, Integer, List, Maybe, Number, Object, Text};
use super::shapes::{
    BINDING, CAPTURED, DRAINED, EFFECTIVE, ENTRY, FINDING, JUDGED, PEER, PLAYED, PROXY,
    REGISTRATION, RELOADED, SERVED, SHOWN,
};
use super::who::{Right, guard};
use super::{
    Access, alarms, bundle, capture, certs, config, events, generations, log, node, openapi,
    presence, teams, who,
};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};

/// Where the operations are.
pub(crate) const ROOT: &str = "/api/v1";

/// One operation.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) right: Right,
    pub(super) summary: &'static str,
    /// What may follow a question mark: name, meaning, shape.
    pub(super) query: &'static [(&'static str, &'static str, Shape)],
    pub(super) body: Option<Shape>,
    pub(super) answer: Answer,
    /// Statuses other than 200 that it gives for reasons of its own.
    pub(super) refusals: &'static [(u16, &'static str)],
    pub(super) handler: fn() -> MethodRouter<Access>,
}

impl Operation {
    /// Whether it is written down who has it done.
    pub(super) fn is_written_down(&self) -> bool {
        matches!(self.method, Method::Post | Method::Delete) || self.is_noted()
    }

    /// Whether the daemon does something for it, other than to gather what it knows.
    pub(super) fn is_of_the_daemon(&self) -> bool {
        let gathers = ["/bundle", "/capture/fetch"].contains(&self.path);
        matches!(self.method, Method::Post | Method::Delete) && !gathers
    }

    /// Whether it does something that whoever gets no answer must be able to ask for again without having it done twice.
    pub(super) fn is_done_once(&self) -> bool {
        self.method == Method::Post && self.is_of_the_daemon()
    }

    /// Whether it is written down who looks: what parties have said to each other leaves the node.
    pub(super) fn is_noted(&self) -> bool {
        self.path.ends_with("/pcap")
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Get,
    Post,
    Delete,
    /// POST for what has a body and changes nothing.
    Ask,
}

impl Method {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Delete => "DELETE",
            Self::Post | Self::Ask => "POST",
        }
    }
}

/// What comes back with 200.
pub(super) enum Answer {
    Json(Shape),
    Lines,
    /// Server-sent events.
    Events,
    /// Records, as lines of JSON or as CSV, with headers that say from where to go on.
    Pages,
}

/// Of lists that are given page by page.
pub(super) const CURSOR: (&str, &str, Shape) = (
    "cursor",
    "what the header Causeway-Next of another answer said: what is behind that page; from the beginning without it",
    Text,
);

const LAST_CALLS: (&str, &str, Shape) = (
    "timeout",
    "seconds, 1 to 86400: calls that are left then are ended, but those for help; without it, calls go on",
    Integer,
);

const TIMEOUT: (u16, &str) = (400, "timeout is out of its range");

const NOT_KEPT: (u16, &str) = (404, "no such configuration is kept");
const NOT_MEANT: (u16, &str) = (
    412,
    "If-Match names another generation than the one in use, or other files than those on disk",
);
const WAITING: (u16, &str) = (507, "too many requests wait for another person already");
const REFUSED: (u16, &str) = (422, "the configuration has errors; nothing has changed");

/// All of them, in the order of the document.
pub(super) fn all() -> impl Iterator<Item = &'static Operation> {
    let all = OPERATIONS.iter().chain(RELATIONS);
    all.chain(calls::OPERATIONS).chain(protection::OPERATIONS)
}

/// Those that are not about calls, relations to others or protection from them.
const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::Get,
        path: "/status",
        right: Right::Read,
        summary: "The node: state, readiness and why not, calls, peers, registrations, listeners",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            ("node", Text),
            ("version", Text),
            ("kept_form", Integer),
            ("state", Text),
            ("calls_end_seconds", Maybe(&Integer)),
            ("restarts", Flag),
            ("ready", Flag),
            ("not_ready", List(&Text)),
            ("degraded", List(&Text)),
            ("uptime_seconds", Integer),
            ("overload", Text),
            ("calls", Integer),
            ("connections", Integer),
            ("shards", Integer),
            ("config_generation", Integer),
            ("config_origin", Text),
            ("config_because", Maybe(&Text)),
            ("config_confirm_seconds", Maybe(&Integer)),
            (
                "confinement",
                Object(&[("files", Text), ("calls", Text), ("because", List(&Text))]),
            ),
            ("out_of_service", List(&Text)),
            ("tenants", Integer),
            ("trunks", List(&Text)),
            (
                "listeners",
                List(&Object(&[
                    ("name", Text),
                    ("protocol", Text),
                    ("address", Maybe(&Text)),
                ])),
            ),
            ("peers", List(&PEER)),
            ("registrations", List(&REGISTRATION)),
            ("bindings", List(&BINDING)),
        ])),
        refusals: &[],
        handler: || get(node::status),
    },
    Operation {
        method: Method::Get,
        path: "/alarms",
        right: Right::Read,
        summary: "What is wrong with the node now, in words",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[("alarms", List(&Text))])),
        refusals: &[],
        handler: || get(alarms::list),
    },
    Operation {
        method: Method::Get,
        path: "/me",
        right: Right::Read,
        summary: "Who asks, and what they may do",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            ("name", Text),
            ("called", Maybe(&Text)),
            ("role", Maybe(&Text)),
            ("rights", List(&Text)),
        ])),
        refusals: &[],
        handler: || get(who::me),
    },
    Operation {
        method: Method::Get,
        path: "/media",
        right: Right::Read,
        summary: "What serves the media of each address, and why nothing faster",
        query: &[],
        body: None,
        answer: Answer::Json(List(&SERVED)),
        refusals: &[],
        handler: || get(node::media),
    },
    Operation {
        method: Method::Get,
        path: "/certs",
        right: Right::Read,
        summary: "Certificates of ours: how long each is good, and how the next one of an authority stands",
        query: &[],
        body: None,
        answer: Answer::Json(List(&Object(&[
            ("context", Text),
            ("issued_by", Text),
            ("file", Text),
            ("names", List(&Text)),
            ("state", Text),
            ("until", Maybe(&Text)),
            ("days_left", Maybe(&Integer)),
            ("next_order", Maybe(&Text)),
            ("last_order", Maybe(&Text)),
            ("failures", Maybe(&Integer)),
            ("because", Maybe(&Text)),
            ("waits_for", Maybe(&Text)),
        ]))),
        refusals: &[],
        handler: || get(certs::list),
    },
    Operation {
        method: Method::Post,
        path: "/certs/{context}/renew",
        right: Right::Configure,
        summary: "Asks the authority for a new certificate now; what comes of it is an event",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[("context", Text), ("ordered", Flag)])),
        refusals: &[
            (
                404,
                "no authority issues the certificate of such an identity",
            ),
            (409, "the authority wants to be left alone for a while"),
        ],
        handler: || post(certs::renew),
    },
    Operation {
        method: Method::Get,
        path: "/teams",
        right: Right::Read,
        summary: "Every proxy of Teams in both directions, with a verdict in words",
        query: &[],
        body: None,
        answer: Answer::Json(List(&PROXY)),
        refusals: &[],
        handler: || get(teams::teams),
    },
    Operation {
        method: Method::Get,
        path: "/presence",
        right: Right::Numbers,
        summary: "Presence of the users of each tenant as Microsoft says, how old it is, and how asking for it goes",
        query: &[("tenant", "only that of this tenant", Text)],
        body: None,
        answer: Answer::Json(Object(&[
            (
                "tenants",
                List(&Object(&[
                    ("tenant", Text),
                    ("state", Text),
                    ("because", Maybe(&Text)),
                    ("not_shown", Maybe(&Text)),
                    ("heard_seconds", Maybe(&Integer)),
                    ("users", Integer),
                    ("known", Integer),
                    ("shown", Integer),
                ])),
            ),
            (
                "users",
                List(&Object(&[
                    ("tenant", Text),
                    ("number", Text),
                    ("user", Text),
                    ("availability", Maybe(&Text)),
                    ("activity", Maybe(&Text)),
                    ("age_seconds", Maybe(&Integer)),
                    ("heard_by", Maybe(&Text)),
                    ("counts_as", Text),
                    ("talks", Integer),
                ])),
            ),
        ])),
        refusals: &[],
        handler: || get(presence::presence),
    },
    Operation {
        method: Method::Get,
        path: "/figures",
        right: Right::Read,
        summary: "NER, answer ratio, duration and post-dial delay of every trunk that had calls",
        query: &[],
        body: None,
        answer: Answer::Json(List(&Object(&[
            ("trunk", Text),
            ("direction", Text),
            ("is_teams", Flag),
            (
                "hour",
                Object(&[("calls", Integer), ("ner_percent", Maybe(&Number))]),
            ),
            ("since_start", Object(&[("calls", Integer)])),
        ]))),
        refusals: &[],
        handler: || get(teams::figures),
    },
    Operation {
        method: Method::Get,
        path: "/config",
        right: Right::Numbers,
        summary: "The configuration on disk, every default with its reason, and whether it is in use; without secrets",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            ("generation", Integer),
            ("is_in_use", Flag),
            ("objects", List(&EFFECTIVE)),
        ])),
        refusals: &[(
            422,
            "the files on disk have errors, so that they cannot be shown in effect",
        )],
        handler: || get(config::show),
    },
    Operation {
        method: Method::Ask,
        path: "/config/validate",
        right: Right::Configure,
        summary: "Reads the files as a reload would, and changes nothing",
        query: &[],
        body: None,
        answer: Answer::Json(JUDGED),
        refusals: &[],
        handler: || post(config::validate),
    },
    Operation {
        method: Method::Ask,
        path: "/config/candidate",
        right: Right::Configure,
        summary: "Judges a text as if it were all of the configuration, and keeps nothing of it",
        query: &[],
        body: Some(Object(&[("text", Text)])),
        answer: Answer::Json(JUDGED),
        refusals: &[],
        handler: || post(config::candidate),
    },
    Operation {
        method: Method::Get,
        path: "/config/history",
        right: Right::Read,
        summary: "Configurations that were in use, latest first: the last twenty different ones",
        query: &[],
        body: None,
        answer: Answer::Json(List(&Object(&[
            ("generation", Integer),
            ("until", Integer),
            ("taken", Text),
            ("by", Text),
            ("files", List(&Text)),
            ("is_in_use", Flag),
            ("is_unconfirmed", Flag),
            ("same_as", Maybe(&Integer)),
        ]))),
        refusals: &[],
        handler: || get(generations::history),
    },
    Operation {
        method: Method::Get,
        path: "/config/diff",
        right: Right::Numbers,
        summary: "What differs between the configuration in use and the files on disk, or between two that are kept: a \
                  unified diff",
        query: &[
            (
                "from",
                "a generation that is kept, instead of the one in use",
                Integer,
            ),
            (
                "to",
                "a generation that is kept; without it the files, or with from the one in use",
                Integer,
            ),
        ],
        body: None,
        answer: Answer::Lines,
        refusals: &[NOT_KEPT, (422, "the files on disk cannot be read")],
        handler: || get(generations::diff),
    },
    Operation {
        method: Method::Post,
        path: "/config/rollback",
        right: Right::Configure,
        summary: "Takes the configuration into use again that was before the one in use, each time an older one; the files on \
                  disk stay as they are. Not to another [api] from one with four_eyes",
        query: &[],
        body: None,
        answer: Answer::Json(RELOADED),
        refusals: &[NOT_KEPT, NOT_MEANT, REFUSED],
        handler: || post(generations::before),
    },
    Operation {
        method: Method::Post,
        path: "/config/history/{generation}/rollback",
        right: Right::Configure,
        summary: "Takes this configuration into use again; the files on disk stay as they are. Not to another [api] from one with \
                  four_eyes",
        query: &[],
        body: None,
        answer: Answer::Json(RELOADED),
        refusals: &[NOT_KEPT, NOT_MEANT, REFUSED],
        handler: || post(generations::again),
    },
    Operation {
        method: Method::Post,
        path: "/config/confirm",
        right: Right::Configure,
        summary: "Keeps what was taken into use for a time",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            ("config_generation", Integer),
            ("confirmed", Flag),
        ])),
        refusals: &[
            (409, "nothing waits to be confirmed"),
            (
                500,
                "it stays in use, but cannot be written down: a restart would take it back",
            ),
        ],
        handler: || post(generations::confirm),
    },
    Operation {
        method: Method::Post,
        path: "/reload",
        right: Right::Configure,
        summary: "Takes the files into use, as SIGHUP does; refused as a whole or not at all. An identity whose new \
                  certificate Teams refuses is kept with its old one, and named",
        query: &[
            (
                "confirm_within",
                "seconds, 1 to 86400: unless it is confirmed by then, the configuration before is taken into use again",
                Integer,
            ),
            (
                "force",
                "whether files are taken as well that were in use, were taken back, and have not changed since",
                Flag,
            ),
            (
                "spare_calls",
                "whether it is refused where it would end calls at once: those of a trunk that is gone and had on_remove = \"kill\"",
                Flag,
            ),
        ],
        body: None,
        answer: Answer::Json(RELOADED),
        refusals: &[
            (400, "confirm_within is out of its range"),
            (
                409,
                "the files were in use and were taken back, and have not changed since",
            ),
            NOT_MEANT,
            REFUSED,
            (428, "it would end calls, and spare_calls is said"),
        ],
        handler: || post(generations::reload),
    },
    Operation {
        method: Method::Post,
        path: "/reload/dry-run",
        right: Right::Configure,
        summary: "Does all of a reload that can fail, certificates shown to Teams and sockets opened, and changes nothing",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            ("config_generation", Integer),
            ("changes", List(&Text)),
            ("warnings", List(&FINDING)),
            (
                "kept",
                List(&Object(&[("context", Text), ("because", Text)])),
            ),
        ])),
        refusals: &[REFUSED],
        handler: || post(generations::dry_run),
    },
    Operation {
        method: Method::Ask,
        path: "/route/test",
        right: Right::Numbers,
        summary: "What would become of a call: every rule that fires, the request that leaves, or the refusal",
        query: &[],
        body: Some(Object(&[
            ("trunk", Maybe(&Text)),
            ("from", Text),
            ("to", Text),
            ("time", Maybe(&Text)),
            ("headers", Maybe(&List(&Text))),
        ])),
        answer: Answer::Json(PLAYED),
        refusals: &[(
            422,
            "the call cannot be played, such as from a trunk that is not there",
        )],
        handler: || post(config::route),
    },
    Operation {
        method: Method::Post,
        path: "/drain",
        right: Right::Calls,
        summary: "Takes no new calls; peers are told so by OPTIONS first",
        query: &[LAST_CALLS],
        body: None,
        answer: Answer::Json(DRAINED),
        refusals: &[TIMEOUT],
        handler: || post(node::fade),
    },
    Operation {
        method: Method::Post,
        path: "/drain/now",
        right: Right::Calls,
        summary: "Takes no new calls from this moment",
        query: &[LAST_CALLS],
        body: None,
        answer: Answer::Json(DRAINED),
        refusals: &[TIMEOUT],
        handler: || post(node::drain),
    },
    Operation {
        method: Method::Post,
        path: "/undrain",
        right: Right::Calls,
        summary: "Takes new calls again",
        query: &[],
        body: None,
        answer: Answer::Json(DRAINED),
        refusals: &[(409, "the daemon is stopping")],
        handler: || post(node::undrain),
    },
    Operation {
        method: Method::Post,
        path: "/restart",
        right: Right::Configure,
        summary: "Drains, then ends so that the service manager starts the daemon anew; /undrain takes it back",
        query: &[
            LAST_CALLS,
            (
                "now",
                "true: Teams may not call until it has noticed, either",
                Flag,
            ),
        ],
        body: None,
        answer: Answer::Json(DRAINED),
        refusals: &[
            TIMEOUT,
            (
                409,
                "the daemon is stopping, or no service manager would start it again",
            ),
        ],
        handler: || post(node::restart),
    },
    Operation {
        method: Method::Get,
        path: "/log",
        right: Right::Read,
        summary: "What the log shows: its level, and what it shows besides for a while",
        query: &[],
        body: None,
        answer: Answer::Json(SHOWN),
        refusals: &[],
        handler: || get(log::show),
    },
    Operation {
        method: Method::Get,
        path: "/log/recent",
        right: Right::Numbers,
        summary: "The last thousand warnings and errors of the log, oldest first",
        query: &[],
        body: None,
        answer: Answer::Lines,
        refusals: &[],
        handler: || get(log::recent),
    },
    Operation {
        method: Method::Post,
        path: "/log",
        right: Right::Calls,
        summary: "Has the log show more for a while: debug for decisions, trace for each message",
        query: &[
            ("level", "debug or trace", Text),
            (
                "trunk",
                "only lines about this trunk, and about calls that touch it",
                Text,
            ),
            (
                "number",
                "only lines about calls from or to numbers that begin so",
                Text,
            ),
            ("code", "only lines whose code begins so", Text),
            ("seconds", "for how long: 600, from 1 to 86400", Integer),
        ],
        body: None,
        answer: Answer::Json(SHOWN),
        refusals: &[
            (
                400,
                "no such level, a code of no line, or a value out of its range",
            ),
            UNKNOWN_TRUNK,
            (409, "sixteen are shown already"),
        ],
        handler: || post(log::look),
    },
    Operation {
        method: Method::Post,
        path: "/log/reset",
        right: Right::Calls,
        summary: "Has the log show what the daemon was started to show, and nothing besides",
        query: &[],
        body: None,
        answer: Answer::Json(SHOWN),
        refusals: &[],
        handler: || post(log::reset),
    },
    Operation {
        method: Method::Get,
        path: "/capture",
        right: Right::Numbers,
        summary: "The capture that goes on or was the last: none, running or over; what it is of, and how much it has",
        query: &[],
        body: None,
        answer: Answer::Json(CAPTURED),
        refusals: &[],
        handler: || get(capture::show),
    },
    Operation {
        method: Method::Post,
        path: "/capture",
        right: Right::Calls,
        summary: "Takes the messages of calls that begin from now on; what an earlier capture has is forgotten",
        query: &[
            (
                "trunk",
                "only calls that come from this trunk or go to it",
                Text,
            ),
            (
                "number",
                "only calls from or to numbers that begin so",
                Text,
            ),
            (
                "calls",
                "the first ones: 10, from 1 to 1000, with media to 50",
                Integer,
            ),
            ("seconds", "for how long: 600, from 1 to 86400", Integer),
            (
                "rtp",
                "what of media: none, headers, or full, which is for the role admin and the socket of the host",
                Text,
            ),
        ],
        body: None,
        answer: Answer::Json(CAPTURED),
        refusals: &[
            (400, "a value out of its range"),
            UNKNOWN_TRUNK,
            (409, "a capture goes on already"),
            WAITING,
        ],
        handler: || post(capture::start),
    },
    Operation {
        method: Method::Post,
        path: "/capture/stop",
        right: Right::Calls,
        summary: "Takes no more messages; those that were taken stay until another capture begins",
        query: &[],
        body: None,
        answer: Answer::Json(CAPTURED),
        refusals: &[],
        handler: || post(capture::stop),
    },
    Operation {
        method: Method::Post,
        path: "/capture/fetch",
        right: Right::Calls,
        summary: "What was taken so far, decrypted and without secrets: a file of pcapng in base64",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[("pcapng", Text)])),
        refusals: &[
            (404, "nothing was captured since the start of the daemon"),
            WAITING,
        ],
        handler: || post(capture::fetch),
    },
    Operation {
        method: Method::Post,
        path: "/bundle",
        right: Right::Calls,
        summary: "What somebody needs who is to help: status, configuration in effect, metrics, grave lines of the log, calls \
                  and the ladders of those that failed; numbers are in it, secrets are not",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            ("files", List(&Object(&[("name", Text), ("text", Text)]))),
            ("left_out", List(&Text)),
            ("hidden", Integer),
        ])),
        refusals: &[],
        handler: || post(bundle::gather),
    },
    Operation {
        method: Method::Get,
        path: "/events",
        right: Right::Numbers,
        summary: "What happens from now on; causeway reference has every kind with its fields",
        query: &[],
        body: None,
        answer: Answer::Events,
        refusals: &[],
        handler: || get(events::stream),
    },
    Operation {
        method: Method::Get,
        path: "/audit",
        right: Right::Audit,
        summary: "Who changed what: the last entries, or with a cursor those before, and whether the chain of them is whole",
        query: &[
            ("limit", "so many at most: 100, and 1000 at most", Integer),
            CURSOR,
        ],
        body: None,
        answer: Answer::Json(Object(&[
            ("entries", List(&ENTRY)),
            ("fault", Maybe(&Text)),
        ])),
        refusals: &[(404, "nothing is audited without a directory for state")],
        handler: || get(config::audit),
    },
];

/// The operations, each behind its right.
pub(super) fn operations(access: &Access) -> Router<Access> {
    let mut router = Router::new();
    for operation in all() {
        let handler = (operation.handler)();
        let wanted = (operation, access.clone());
        let guarded = handler.layer(from_fn_with_state(wanted, guard));
        router = router.route(operation.path, guarded);
    }
    let document = get(async || Json(openapi::document()));
    router.route("/openapi.json", document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_operation_is_there_twice_and_what_changes_something_is_no_reading() {
        let mut seen = BTreeSet::new();
        for one in all() {
            assert!(seen.insert((one.path, one.method as u8)), "{}", one.path);
            assert!(one.path.starts_with('/') && !one.summary.is_empty());
            // What changes something, or does nearly all of it, needs more than to read.
            let judges = ["/config/validate", "/config/candidate"].contains(&one.path);
            let changes = matches!(one.method, Method::Post | Method::Delete) || judges;
            assert_eq!(one.right.changes(), changes, "{}", one.path);
        }
    }
}
