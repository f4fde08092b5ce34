//! Shapes of answers that several operations have, or that are long.

use super::shape::Shape::{self, Any, Flag, Integer, List, Maybe, Number, Object, Text};

pub(super) const CALL: Shape = Object(&[
    ("call", Text),
    ("from_trunk", Text),
    ("to_trunk", Maybe(&Text)),
    ("calling", Text),
    ("called", Text),
    ("state", Text),
    ("start", Text),
    ("seconds", Integer),
]);

pub(super) const RECORD: Shape = Object(&[
    ("call", Text),
    ("start", Text),
    ("disposition", Text),
    ("ingress", Any),
    ("cause", Any),
]);

pub(super) const EXPLANATION: Shape = Object(&[
    ("name", Text),
    ("who", Text),
    ("place", Text),
    ("why", Text),
    ("change", List(&Text)),
    ("attempts", List(&Text)),
]);

pub(super) const DRAINED: Shape = Object(&[
    ("state", Text),
    ("calls", Maybe(&Integer)),
    ("calls_end_seconds", Maybe(&Integer)),
]);

pub(super) const CLOSED: Shape = Object(&[
    ("trunk", Text),
    ("state", Text),
    ("calls", Integer),
    ("is_kept", Flag),
    ("because", Maybe(&Text)),
]);

pub(super) const JUDGED: Shape = Object(&[
    ("valid", Flag),
    ("findings", List(&Any)),
    ("refusal", Maybe(&Text)),
]);

pub(super) const RELOADED: Shape = Object(&[
    ("config_generation", Integer),
    (
        "kept",
        List(&Object(&[("context", Text), ("because", Text)])),
    ),
    ("not_read_anew", List(&Text)),
    (
        "same_as",
        Maybe(&Object(&[("generation", Integer), ("taken", Text)])),
    ),
    ("confirm_within", Maybe(&Integer)),
]);

pub(super) const SHOWN: Shape = Object(&[
    ("level", Text),
    ("brief", Flag),
    (
        "looks",
        List(&Object(&[
            ("level", Text),
            ("trunk", Maybe(&Text)),
            ("number", Maybe(&Text)),
            ("code", Maybe(&Text)),
            ("seconds_left", Integer),
        ])),
    ),
    ("ended", Maybe(&Integer)),
]);

pub(super) const CAPTURED: Shape = Object(&[
    ("state", Text),
    ("trunk", Maybe(&Text)),
    ("number", Maybe(&Text)),
    ("seconds_left", Maybe(&Integer)),
    ("calls", Maybe(&Integer)),
    ("calls_wanted", Maybe(&Integer)),
    ("rtp", Maybe(&Text)),
    ("messages", Maybe(&Integer)),
    ("media_packets", Maybe(&Integer)),
    ("bytes", Maybe(&Integer)),
    ("left_out", Maybe(&Integer)),
]);

pub(super) const LADDER: Shape = Object(&[
    ("call", Text),
    ("is_over", Flag),
    ("left_out", Integer),
    (
        "peers",
        List(&Object(&[
            ("name", Text),
            ("leg", Integer),
            ("address", Text),
            ("protocol", Text),
            ("side", Text),
            ("ours", Text),
        ])),
    ),
    (
        "rows",
        List(&Object(&[
            ("at", Text),
            ("after_us", Integer),
            ("leg", Maybe(&Integer)),
            ("kind", Text),
            ("from_peer", Maybe(&Flag)),
            ("from", Maybe(&Text)),
            ("to", Maybe(&Text)),
            ("title", Maybe(&Text)),
            ("description", Maybe(&Text)),
            ("lines", Maybe(&List(&Text))),
            ("text", Maybe(&Text)),
        ])),
    ),
    (
        "media",
        List(&Object(&[
            ("leg", Integer),
            ("from_peer", Flag),
            ("codec", Maybe(&Text)),
            ("packets", Integer),
            ("loss_percent", Maybe(&Number)),
            ("mos_estimate", Maybe(&Number)),
        ])),
    ),
]);
