//! Shapes of answers that several operations have, or that are long.

use super::shape::Shape::{self, Flag, Integer, List, Maybe, Number, Object, Text};

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

pub(super) const RECORD: Shape = Shape::Record;

/// What one call in progress is doing.
pub(super) const SUMMARY: Shape = Object(&[
    ("call", Text),
    ("tenant", Maybe(&Text)),
    ("from_trunk", Text),
    ("to_trunk", Maybe(&Text)),
    ("calling", Text),
    ("called", Text),
    ("state", Text),
    ("start", Text),
    ("answered", Maybe(&Text)),
]);

/// Its media so far.
pub(super) const LIVE: Shape = Shape::Part(&["media", "one_way"]);

/// A target of a trunk.
pub(super) const PEER: Shape = Object(&[
    ("trunk", Text),
    ("peer", Text),
    ("state", Text),
    (
        "addresses",
        List(&Object(&[("address", Text), ("state", Text)])),
    ),
]);

/// A registration of ours.
pub(super) const REGISTRATION: Shape = Object(&[
    ("trunk", Text),
    ("address_of_record", Text),
    ("state", Text),
    ("server", Maybe(&Text)),
    ("until", Maybe(&Text)),
    ("identities", Maybe(&List(&Text))),
    ("because", Maybe(&Text)),
]);

/// A contact that a peer has registered with us.
pub(super) const BINDING: Shape = Object(&[
    ("trunk", Text),
    ("address_of_record", Text),
    ("contact", Maybe(&Text)),
    ("reached_at", Maybe(&Text)),
    ("protocol", Maybe(&Text)),
    ("all_numbers", Maybe(&Flag)),
    ("preference", Maybe(&Number)),
    ("until", Maybe(&Text)),
    ("because", Maybe(&Text)),
]);

/// How an address is served with media.
pub(super) const SERVED: Shape = Object(&[
    ("realm", Text),
    ("address", Text),
    ("interface", Maybe(&Text)),
    ("backend", Text),
    ("zero_copy", Flag),
    ("moderated", Flag),
    ("dropped", Integer),
    ("forwards", Text),
    ("forwarded", Integer),
    ("not_by_itself", Maybe(&Text)),
    ("crowded_out", Integer),
    ("because", Maybe(&Text)),
]);

/// A proxy of Teams in one direction, or what is known of its authorities.
pub(super) const PROXY: Shape = Object(&[
    ("trunk", Maybe(&Text)),
    ("fqdn", Maybe(&Text)),
    ("direction", Text),
    ("way", Maybe(&Text)),
    ("proxy", Maybe(&Text)),
    ("address", Maybe(&Text)),
    ("result", Maybe(&Text)),
    ("status", Maybe(&Integer)),
    ("age_seconds", Maybe(&Integer)),
    ("demoted_in_seconds", Maybe(&Integer)),
    ("verdict", Text),
]);

/// What the configuration says of one object.
pub(super) const EFFECTIVE: Shape = Object(&[
    ("kind", Text),
    ("name", Maybe(&Text)),
    (
        "settings",
        List(&Object(&[
            ("key", Text),
            ("value", Text),
            ("because", Text),
        ])),
    ),
]);

/// Something that is wrong with a configuration, or deserves a look.
pub(super) const FINDING: Shape = Object(&[
    ("code", Text),
    ("severity", Text),
    (
        "place",
        Maybe(&Object(&[
            ("file", Text),
            ("line", Integer),
            ("column", Integer),
            ("length", Integer),
        ])),
    ),
    ("cause", Text),
    ("help", Maybe(&Text)),
]);

/// An entry of the audit log.
pub(super) const ENTRY: Shape = Object(&[
    ("number", Integer),
    ("at", Text),
    ("monotonic_us", Maybe(&Integer)),
    ("who", Text),
    ("source", Text),
    ("what", Text),
    ("object", Maybe(&Text)),
    ("change", Maybe(&Text)),
    ("status", Integer),
    ("reason", Maybe(&Text)),
    ("generation", Maybe(&Integer)),
    ("previous", Text),
    ("hash", Text),
]);

/// What becomes of a call that is described.
pub(super) const PLAYED: Shape = Object(&[
    ("source", Text),
    ("protocol", Text),
    ("received", Text),
    ("trunk", Maybe(&Text)),
    ("tenant", Maybe(&Text)),
    ("rules", List(&Text)),
    (
        "tries",
        List(&Object(&[
            ("trunk", Text),
            ("host", Text),
            ("remote", Text),
            ("protocol", Text),
            ("rules", List(&Text)),
            ("invite", Text),
        ])),
    ),
    (
        "refusal",
        Maybe(&Object(&[
            ("status", Maybe(&Integer)),
            ("cause", Maybe(&Text)),
            ("because", List(&Text)),
        ])),
    ),
    ("dropped", Maybe(&Text)),
    ("refused", Flag),
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
    ("findings", List(&FINDING)),
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
