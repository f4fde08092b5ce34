//! Fuzz targets for everything that a stranger, or an operator's file, can reach.
//!
//! Each target is a function of some bytes that panics when something that must hold does not:
//! a property of the product, never only "it did not crash". Three callers share them:
//!
//! - `cargo test -p causeway-fuzz` replays every corpus, the committed findings included, and tries inputs made of them;
//! - `fuzz/libfuzzer` is a package of its own with one libFuzzer binary per target, outside the
//!   workspace because it needs a C++ compiler and coverage instrumentation;
//! - `.ci/fuzz N` builds those and runs each for N seconds.
//!
//! A finding goes into `fuzz/corpus/TARGET` before the fault is mended.
#![forbid(unsafe_code)]

mod call;
mod codec;
mod config;
mod frame;
mod framer;
mod header;
mod import;
mod location;
mod media_wire;
mod message;
mod ng;
mod notice;
mod packet;
mod passport;
mod reader;
mod registrar;
mod sdp;
mod session;
mod srtp;
mod stun;
mod transaction;
mod uri;

/// One fuzz target.
pub struct Target {
    /// Name of its binary and of its folder below `fuzz/corpus`.
    pub name: &'static str,
    /// Checks one input; panics if something that must hold does not.
    pub run: fn(&[u8]),
}

/// The target of this name.
///
/// # Panics
/// If there is none: the list of binaries and [`TARGETS`] differ.
pub fn target(name: &str) -> &'static Target {
    TARGETS
        .iter()
        .find(|target| target.name == name)
        .unwrap_or_else(|| panic!("no fuzz target is called {name}"))
}

/// Every target.
pub static TARGETS: &[Target] = &[
    Target {
        name: "message",
        run: message::check,
    },
    Target {
        name: "framer",
        run: framer::check,
    },
    Target {
        name: "header",
        run: header::check,
    },
    Target {
        name: "uri",
        run: uri::check,
    },
    Target {
        name: "sdp",
        run: sdp::check,
    },
    Target {
        name: "transaction",
        run: transaction::check,
    },
    Target {
        name: "call",
        run: call::check,
    },
    Target {
        name: "frame",
        run: frame::check,
    },
    Target {
        name: "packet",
        run: packet::check,
    },
    Target {
        name: "passport",
        run: passport::check,
    },
    Target {
        name: "location",
        run: location::check,
    },
    Target {
        name: "media_wire",
        run: media_wire::check,
    },
    Target {
        name: "ng",
        run: ng::check,
    },
    Target {
        name: "srtp",
        run: srtp::check,
    },
    Target {
        name: "stun",
        run: stun::check,
    },
    Target {
        name: "session",
        run: session::check,
    },
    Target {
        name: "codec",
        run: codec::check,
    },
    Target {
        name: "registrar",
        run: registrar::check,
    },
    Target {
        name: "config",
        run: config::check,
    },
    Target {
        name: "import",
        run: import::check,
    },
    Target {
        name: "notice",
        run: notice::check,
    },
];
