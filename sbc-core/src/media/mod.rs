//! Media decisions: from descriptions to facts, from the facts of one leg to those of the other.
//!
//! - [`read`](read()) turns a peer's description into [`Facts`] under the [`Profile`] of its trunk.
//! - [`MediaImage`] keeps, per leg, what is agreed and what is pending, and writes our descriptions
//!   with a stable `o=` line.
//! - [`interwork`] joins two legs: it carries an offer over to the other leg and the answer back,
//!   and tells the relay what was agreed, or refuses with a reason.
//!
//! Everything here is a pure function of facts, profiles and images; nothing knows about sessions,
//! calls or sockets.

pub mod codec;
mod dtls;
mod ice;
mod image;
mod incompatible;
pub mod interwork;
mod keys;
mod own;
mod profile;
pub mod rate;
mod read;
mod tones;

pub use codec::{CODECS, Codec, Formats};
pub use dtls::{OwnDtls, PeerDtls};
pub use ice::{OwnIce, PeerIce, is_reached};
pub(crate) use image::KeptImage;
pub use image::{Agreement, MediaImage};
pub use incompatible::{Incompatible, Unusable, Warning};
pub use own::OwnPlaces;
pub use profile::{
    Dtmf, FaxMode, HoldForm, Ice, Lends, OneWay, Profile, RtcpLine, RtpProfile, SourceMode, Srtp,
    Transcode,
};
pub use read::{
    AudioFacts, Facts, FaxFacts, LineFacts, OfferedKey, Payload, Secured, is_sendable, read,
    report_bandwidth, usable_keys,
};
pub use tones::{COUNTRIES, Signal, Tones, silence};
