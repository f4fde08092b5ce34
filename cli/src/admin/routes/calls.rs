//! Operations about calls: those in progress, those that have ended, and their records.

use super::super::relations::UNKNOWN_TRUNK;
use super::super::shape::Shape::{Flag, Integer, List, Maybe, Object, Text};
use super::super::shapes::{CALL, EXPLANATION, LADDER, LIVE, RECORD, SUMMARY};
use super::super::who::Right;
use super::super::{calls, export, records, transfer};
use super::{Answer, CURSOR, Method, Operation};
use axum::routing::{get, post};

const UNKNOWN_CALL: (u16, &str) = (404, "there is no such call");
const CALL_NAME: (u16, &str) = (400, "a call is named by up to 32 hexadecimal digits");
const SEVERAL: (u16, &str) = (409, "several calls begin or end so");

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::Get,
        path: "/calls",
        right: Right::Read,
        summary: "Calls in progress",
        query: &[
            (
                "trunk",
                "only those that came from this trunk, or lead to it",
                Text,
            ),
            (
                "number",
                "only those from or to a number with these digits in it, for who may see numbers",
                Text,
            ),
            (
                "state",
                "only those in this state: setup, early, transfer, ending, established, held or unanswered",
                Text,
            ),
            (
                "longer",
                "only those that are at least so many seconds old",
                Integer,
            ),
            ("limit", "so many at most; all without it", Integer),
            CURSOR,
        ],
        body: None,
        answer: Answer::Json(List(&CALL)),
        refusals: &[
            (
                400,
                "no call is ever in such a state, no number like this, or no such cursor",
            ),
            UNKNOWN_TRUNK,
        ],
        handler: || get(calls::list),
    },
    Operation {
        method: Method::Get,
        path: "/calls/recent",
        right: Right::Numbers,
        summary: "Records of calls that have ended, latest first: a hundred on a page",
        query: &[CURSOR],
        body: None,
        answer: Answer::Json(List(&RECORD)),
        refusals: &[],
        handler: || get(calls::recent),
    },
    Operation {
        method: Method::Get,
        path: "/calls/failed",
        right: Right::Numbers,
        summary: "Records of calls that failed and are kept for that, latest first: the last 50 of each trunk, a hundred on a page",
        query: &[CURSOR],
        body: None,
        answer: Answer::Json(List(&RECORD)),
        refusals: &[],
        handler: || get(calls::failed),
    },
    Operation {
        method: Method::Get,
        path: "/calls/{id}",
        right: Right::Read,
        summary: "One call: what it is doing or what became of it, explained",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[
            ("call", Text),
            ("summary", Maybe(&SUMMARY)),
            ("live", Maybe(&LIVE)),
            ("heard", List(&Text)),
            ("record", Maybe(&RECORD)),
            ("explanation", Maybe(&EXPLANATION)),
        ])),
        refusals: &[CALL_NAME, UNKNOWN_CALL, SEVERAL],
        handler: || get(calls::show),
    },
    Operation {
        method: Method::Get,
        path: "/calls/{id}/trace",
        right: Right::Numbers,
        summary: "Its ladder, drawn: as text, as a diagram of Mermaid, or as a page",
        query: &[
            (
                "messages",
                "whether messages are shown in full, which a diagram has no place for",
                Flag,
            ),
            (
                "form",
                "text, mermaid or html; text without it, and for a call of which the record alone is left",
                Text,
            ),
        ],
        body: None,
        answer: Answer::Lines,
        refusals: &[CALL_NAME, UNKNOWN_CALL, SEVERAL],
        handler: || get(calls::trace),
    },
    Operation {
        method: Method::Get,
        path: "/calls/{id}/ladder",
        right: Right::Numbers,
        summary: "Its ladder in parts: the peer of each leg, what was seen in order, and media in each direction",
        query: &[(
            "messages",
            "whether messages are told in full, line by line and without secrets",
            Flag,
        )],
        body: None,
        answer: Answer::Json(LADDER),
        refusals: &[CALL_NAME, UNKNOWN_CALL, SEVERAL],
        handler: || get(calls::rows),
    },
    Operation {
        method: Method::Get,
        path: "/calls/{id}/pcap",
        right: Right::Numbers,
        summary: "Its messages, decrypted and without secrets: a file of pcapng in base64",
        query: &[],
        body: None,
        answer: Answer::Json(Object(&[("call", Text), ("pcapng", Text)])),
        refusals: &[CALL_NAME, UNKNOWN_CALL, SEVERAL],
        handler: || get(calls::pcap),
    },
    Operation {
        method: Method::Post,
        path: "/calls/{id}/hangup",
        right: Right::Calls,
        summary: "Ends it",
        query: &[(
            "cause",
            "cause of Q.850 that its parties are told, 1 to 127; 31",
            Integer,
        )],
        body: None,
        answer: Answer::Json(Object(&[("call", Text), ("ended", Flag)])),
        refusals: &[
            (
                400,
                "a call is named by up to 32 hexadecimal digits; or cause is out of its range",
            ),
            UNKNOWN_CALL,
            SEVERAL,
        ],
        handler: || post(calls::hang_up),
    },
    Operation {
        method: Method::Post,
        path: "/calls/{id}/transfer",
        right: Right::Calls,
        summary: "Calls a number in the place of one of its parties, as if the other one had asked for that with REFER; \
                  answers when it is known what comes of it, or after 25 s",
        query: &[
            ("number", "whom to call", Text),
            (
                "trunk",
                "the trunk that leads there; without it, routes say, as for a call of whoever stays, else of whoever is replaced",
                Text,
            ),
            (
                "stays",
                "caller or called: who stays in the call; caller",
                Text,
            ),
        ],
        body: None,
        answer: Answer::Json(Object(&[
            ("call", Text),
            ("outcome", Text),
            ("status", Maybe(&Integer)),
            ("because", List(&Text)),
        ])),
        refusals: &[
            (
                400,
                "a call is named by up to 32 hexadecimal digits; no number, or stays is another word",
            ),
            UNKNOWN_CALL,
            (
                409,
                "several calls begin or end so, or the call cannot be transferred",
            ),
        ],
        handler: || post(transfer::transfer),
    },
    Operation {
        method: Method::Get,
        path: "/records/export",
        right: Right::Numbers,
        summary: "Records of the spool in the order in which they were written, page by page: each once, for who goes on from \
                  the cursor of the page before, at once or a day later, unless the clock of the node was set back by \
                  more than a day",
        query: &[
            (
                "since",
                "only calls that began then or later: a day, or a time in UTC",
                Text,
            ),
            (
                "until",
                "only calls that began before that time, or on that day or before",
                Text,
            ),
            (
                "trunk",
                "only calls of this trunk, which the configuration need not have any more",
                Text,
            ),
            (
                "direction",
                "with trunk: in for calls that came from it, out for calls that led to it",
                Text,
            ),
            ("tenant", "only calls of this tenant", Text),
            ("cause", "only calls that ended with this cause", Text),
            (
                "pairs",
                "whether lines of pairs of legs are wanted, too",
                Flag,
            ),
            ("interim", "whether interim records are wanted, too", Flag),
            (
                "form",
                "jsonl, lines as they stand in the spool, or csv; jsonl without it",
                Text,
            ),
            (
                "cursor",
                "what the header Causeway-Next of another answer said; from the oldest on without it",
                Text,
            ),
            (
                "limit",
                "records of a page at most: 1000, from 1 to 10000; fewer where they are long",
                Integer,
            ),
        ],
        body: None,
        answer: Answer::Pages,
        refusals: &[
            (400, "no such time, direction, cause, form or cursor"),
            (404, "no records are written"),
            (410, "the file is gone that the cursor stands in"),
            (500, "the spool cannot be read"),
        ],
        handler: || get(export::records),
    },
    Operation {
        method: Method::Get,
        path: "/records",
        right: Right::Numbers,
        summary: "Call records of the spool, newest first",
        query: &[
            (
                "number",
                "only those with these digits in the calling or called number",
                Text,
            ),
            ("trunk", "only those of this trunk, whichever way", Text),
            (
                "call",
                "only the one of this call, or of those that begin or end with these digits",
                Text,
            ),
            ("call_id", "only the one with this Call-ID on any leg", Text),
            (
                "session_id",
                "only those with this Session-ID, or part of one",
                Text,
            ),
            (
                "since",
                "only calls that began at this time or later: 2026-08-01, or 2026-08-01T10:30:00Z",
                Text,
            ),
            (
                "until",
                "only calls that began before this time, or on this day or before",
                Text,
            ),
            ("pairs", "also lines of pairs of legs", Flag),
            (
                "interim",
                "also records of the beginning of calls, and interim ones of long calls",
                Flag,
            ),
            ("limit", "so many at most: 100, and 1000 at most", Integer),
            CURSOR,
        ],
        body: None,
        answer: Answer::Json(Object(&[
            ("records", List(&RECORD)),
            ("is_whole", Flag),
            ("has_more", Flag),
            ("is_read", Flag),
        ])),
        refusals: &[
            (400, "no such time, call or cursor"),
            (404, "no records are written: there is no [cdr]"),
            (410, "the file is gone that the cursor stands in"),
            (500, "the spool cannot be read"),
        ],
        handler: || get(records::search),
    },
];
