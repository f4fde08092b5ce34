//! Operations about who is let in, what may be spent and what one alone may not do: bans, addresses of trunks, money,
//! tokens, approvals.

use super::super::shape::Shape;
use super::super::shape::Shape::{Flag, Integer, List, Maybe, Object, Text};
use super::super::who::Right;
use super::super::{approvals, security, spending, tokens};
use super::{Answer, Method, Operation};
use axum::routing::{delete, get, post};

const PLACE: (&str, &str, Shape) = (
    "address",
    "an address, or a range such as 192.0.2.0/28: /8 at most, of IPv6 /16",
    Text,
);
const SECONDS: (&str, &str, Shape) = ("seconds", "for how long: 86400, from 1 to 2592000", Integer);
const REASON: (&str, &str, Shape) = ("reason", "what for: 200 octets on one line", Text);
const TRUNK: (&str, &str, Shape) = ("trunk", "whose addresses they are", Text);
const FORCE: (&str, &str, Shape) = ("force", "also where the answer would be 409", Flag);

const NO_ADDRESS: (u16, &str) = (
    400,
    "no address, one that is too much, or a value out of its range",
);
const FULL: (u16, &str) = (507, "there are 1024 already");

const BEGUN: Shape = Object(&[
    ("address", Text),
    ("trunk", Maybe(&Text)),
    ("since", Text),
    ("until", Text),
    ("seconds_left", Integer),
    ("by", Text),
    ("reason", Text),
    ("kept", Flag),
    ("warning", Maybe(&Text)),
]);

const ENDED: Shape = Object(&[("address", Text), ("ended", Flag), ("kept", Flag)]);

pub(in crate::admin) const ALLOWED: Shape = Object(&[
    ("trunk", Text),
    ("address", Text),
    ("since", Maybe(&Text)),
    ("until", Maybe(&Text)),
    ("seconds_left", Maybe(&Integer)),
    ("by", Maybe(&Text)),
    ("reason", Text),
]);

const NO_APPROVAL: (u16, &str) = (404, "there is no such approval");

const APPROVAL: Shape = Object(&[
    ("id", Text),
    ("what", Text),
    ("because", Text),
    ("asked_by", Text),
    ("asked", Text),
    ("until", Text),
    ("seconds_left", Integer),
    ("state", Text),
    ("by", Maybe(&Text)),
]);

/// All of them, in the order of the document.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::Get,
        path: "/security",
        right: Right::Read,
        summary: "Who is kept out and let in: bans, addresses of trunks, strangers that were refused of late, and sources \
                  that have shown too many wrong passwords",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            (
                "bans",
                List(&Object(&[
                    ("address", Text),
                    ("since", Text),
                    ("until", Text),
                    ("seconds_left", Integer),
                    ("by", Text),
                    ("reason", Text),
                    ("dropped", Integer),
                    ("trunks", List(&Text)),
                ])),
            ),
            ("allowed", List(&ALLOWED)),
            (
                "strangers",
                List(&Object(&[
                    ("source", Text),
                    ("listener", Text),
                    ("protocol", Text),
                    ("times", Integer),
                    ("first_seconds_ago", Integer),
                    ("last_seconds_ago", Integer),
                ])),
            ),
            (
                "silenced",
                List(&Object(&[("source", Text), ("seconds_left", Integer)])),
            ),
        ])),
        refusals: &[],
        handler: || get(security::show),
    },
    Operation {
        method: Method::Post,
        path: "/security/bans",
        right: Right::Protect,
        summary: "Hears nothing of these addresses for a while, at any listener; connections of theirs end",
        query: &[PLACE, SECONDS, REASON, FORCE],
        body: None,
        answer: Answer::Json(BEGUN),
        refusals: &[
            NO_ADDRESS,
            (409, "addresses of the peer of a trunk are among them"),
            FULL,
        ],
        handler: || post(security::ban),
    },
    Operation {
        method: Method::Delete,
        path: "/security/bans",
        right: Right::Protect,
        summary: "Ends a ban",
        query: &[PLACE],
        body: None,
        answer: Answer::Json(ENDED),
        refusals: &[NO_ADDRESS, (404, "they are not banned")],
        handler: || delete(security::unban),
    },
    Operation {
        method: Method::Post,
        path: "/security/allowed",
        right: Right::Protect,
        summary: "Takes these addresses for a trunk's for a while, as if they stood in its accept_from",
        query: &[TRUNK, PLACE, SECONDS, REASON, FORCE],
        body: None,
        answer: Answer::Json(BEGUN),
        refusals: &[
            (
                400,
                "no address, one that is too much or is the trunk's already, a derived trunk, or a value out of its range",
            ),
            (404, "there is no such trunk"),
            (409, "they are another trunk's as well, or banned"),
            FULL,
        ],
        handler: || post(security::allow),
    },
    Operation {
        method: Method::Delete,
        path: "/security/allowed",
        right: Right::Protect,
        summary: "Lets these addresses in no more, but for calls that go on",
        query: &[TRUNK, PLACE],
        body: None,
        answer: Answer::Json(ENDED),
        refusals: &[NO_ADDRESS, (404, "they are not let in by an operator")],
        handler: || delete(security::disallow),
    },
    Operation {
        method: Method::Get,
        path: "/fraud",
        right: Right::Read,
        summary: "What calls have cost in the last hour and day where money is limited: those whose limits are reached first, \
                  then those with most; 100 at most. Numbers only for who may see them",
        query: &[],
        body: None,
        answer: Answer::Json(List(&Object(&[
            ("of", Text),
            ("name", Text),
            ("direction", Text),
            ("number", Maybe(&Text)),
            ("hour", Text),
            ("per_hour", Maybe(&Text)),
            ("day", Text),
            ("per_day", Maybe(&Text)),
            ("reached", List(&Text)),
            ("action", Text),
        ]))),
        refusals: &[],
        handler: || get(spending::list),
    },
    Operation {
        method: Method::Post,
        path: "/fraud/reset",
        right: Right::Protect,
        summary: "Forgets what was spent there, so that its limit begins anew; calls that go on cost from now on",
        query: &[
            ("of", "tenant, trunk, route, limit or node", Text),
            ("name", "its name; none of the node", Text),
            (
                "number",
                "of a limit that counts each number: that one alone",
                Text,
            ),
        ],
        body: None,
        answer: Answer::Json(Object(&[
            ("of", Text),
            ("name", Text),
            ("accounts", Integer),
        ])),
        refusals: &[
            (400, "of is none of these, or number is not of a limit"),
            (404, "the configuration in use has nothing of that name"),
        ],
        handler: || post(spending::reset),
    },
    Operation {
        method: Method::Get,
        path: "/tokens",
        right: Right::Audit,
        summary: "Who has a token for the interface, with which role, until when, and whether it is good",
        query: &[],
        body: None,
        answer: Answer::Json(List(&Object(&[
            ("name", Text),
            ("role", Text),
            ("numbers", Flag),
            ("expires", Maybe(&Text)),
            ("state", Text),
        ]))),
        refusals: &[],
        handler: || get(tokens::list),
    },
    Operation {
        method: Method::Post,
        path: "/tokens/{user}/revoke",
        right: Right::Users,
        summary: "Takes the token of a user away from now on; a new one of theirs, which a reload brings, is good",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[("name", Text), ("revoked", Flag), ("kept", Flag)])),
        refusals: &[(404, "there is no such user")],
        handler: || post(tokens::revoke),
    },
    Operation {
        method: Method::Get,
        path: "/approvals",
        right: Right::Numbers,
        summary: "What waits for another person ([api] four_eyes), and what became of others of late; latest first",
        query: &[],
        body: None,
        answer: Answer::Json(List(&APPROVAL)),
        refusals: &[],
        handler: || get(approvals::list),
    },
    Operation {
        method: Method::Post,
        path: "/approvals/{approval}/agree",
        right: Right::Calls,
        summary: "Agrees that somebody else does what they have asked for: by asking again within 15 minutes, once. For whoever \
                  may do the same, and has not asked",
        query: &[],
        body: None,
        answer: Answer::Json(APPROVAL),
        refusals: &[
            NO_APPROVAL,
            (
                409,
                "it has expired, was refused or used, or somebody has agreed already",
            ),
        ],
        handler: || post(approvals::agree),
    },
    Operation {
        method: Method::Post,
        path: "/approvals/{approval}/refuse",
        right: Right::Calls,
        summary: "Says no to it; whoever has asked may take it back so, too",
        query: &[],
        body: None,
        answer: Answer::Json(APPROVAL),
        refusals: &[NO_APPROVAL, (409, "it waits no more")],
        handler: || post(approvals::refuse),
    },
];
