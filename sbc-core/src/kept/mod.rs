//! Calls written down for the process after this one (OPS-150).
//!
//! A call that talks and in which nothing is under way is a value of its own: its dialogs, what media are in force, its
//! record so far. Whenever that value changes it leaves as an effect, and whoever carries it out keeps it until there
//! is another one, or nothing more to keep. The next process gives what was kept back as an input, and the call is
//! where it was, under the configuration of now. What is under way is not written down: a call that is found with an
//! older value has lost an exchange, which its peers repeat or give up.
//!
//! The form has a version, and the one before it is read as well: an upgrade by one step loses no call. What is written
//! with any other cannot be read, and its call is lost: nothing is guessed.
//! There are keys in it, so it is zeroised, never printed, and not for any disk.

mod words;

pub(crate) use words::known;

use crate::call::KeptCall;
use crate::id::CallId;
use crate::time::{Now, Timestamp, UnixTime};
use media_api::SessionId;
use media_api::wire::{Reader, VERSION as WIRE_VERSION, Wire, Writer};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Form of what is written. To be raised with any change of a part, here and in all that is named in layouts.
const VERSION: u16 = 3;

/// The form before, which has all but what records have got since: that stands behind the call.
const BEFORE: u16 = 2;

/// In which form this program writes calls down: what a daemon tells the program that is to come after it.
pub const FORM: u16 = VERSION;

/// Forms that this program reads, the older one first.
pub const READS: [u16; 2] = [BEFORE, VERSION];

/// How it begins, whatever the version.
const MAGIC: [u8; 8] = *b"cwcall\r\n";

/// What is to be kept of one call. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    octets: Arc<Zeroizing<Vec<u8>>>,
}

impl Snapshot {
    /// Writes a call down.
    pub(crate) fn of(call: &KeptCall) -> Self {
        let mut out = Writer::default();
        MAGIC.put(&mut out);
        VERSION.put(&mut out);
        WIRE_VERSION.put(&mut out);
        call.put(&mut out);
        call.added().put(&mut out);
        Self {
            octets: Arc::new(Zeroizing::new(out.octets().to_vec())),
        }
    }

    /// What is to be kept.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// Without what is in it.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} octets)", self.octets.len())
    }
}

/// A call of the process before this one, for the shard that its session names.
#[derive(Clone, Debug)]
pub struct Found {
    pub(crate) call: Box<KeptCall>,
    /// Whether the relay still has its media.
    pub(crate) has_media: bool,
    /// Whether it had ended, and only what was kept of it had not.
    pub(crate) is_over: bool,
}

/// Why what was kept is no call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// It was not written by us.
    Foreign,
    /// It was written by another version.
    Version {
        /// Which.
        found: u16,
    },
    /// It is damaged.
    Damaged(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is not a call that was written down"),
            Self::Version { found } => write!(
                f,
                "it was written in form {found}, and this program reads forms {BEFORE} and {VERSION}"
            ),
            Self::Damaged(why) => write!(f, "it is damaged: {why}"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Found {
    /// Reads what was kept of a call.
    ///
    /// # Errors
    /// [`Unreadable`] when it is none that this program can go on with.
    pub fn read(octets: &[u8], has_media: bool) -> Result<Self, Unreadable> {
        let mut from = Reader::new(octets);
        if <[u8; 8]>::take(&mut from) != Ok(MAGIC) {
            return Err(Unreadable::Foreign);
        }
        let damaged = |fault: media_api::wire::WireFault| Unreadable::Damaged(fault.to_string());
        let found = u16::take(&mut from).map_err(damaged)?;
        let wire = u16::take(&mut from).map_err(damaged)?;
        let call = match (found, wire) {
            (VERSION, WIRE_VERSION) => {
                let mut call = KeptCall::take(&mut from).map_err(damaged)?;
                let added = from.rest().map_err(damaged)?;
                call.add(added).map_err(damaged)?;
                call
            }
            (BEFORE, WIRE_VERSION) => from.rest::<KeptCall>().map_err(damaged)?,
            _ => return Err(Unreadable::Version { found }),
        };
        Ok(Self {
            call: Box::new(call),
            has_media,
            is_over: false,
        })
    }

    /// It had ended before, and has its record, or is to have it from somebody else: nobody goes on with it.
    #[must_use]
    pub const fn over(mut self) -> Self {
        self.is_over = true;
        self
    }

    /// The call.
    pub fn call(&self) -> CallId {
        self.call.id()
    }

    /// Its media session, which also names its shard.
    pub fn session(&self) -> SessionId {
        self.call.session()
    }
}

/// The time on the wall at which something is due.
pub(crate) fn wall_of(now: Now, at: Timestamp) -> UnixTime {
    match at >= now.mono {
        true => now.wall + at.since(now.mono),
        false => UnixTime::from_micros(
            now.wall
                .as_micros()
                .saturating_sub(now.mono.as_micros() - at.as_micros()),
        ),
    }
}

/// When something is due that is due at a time on the wall; now, if that is over.
pub(crate) fn hence(now: Now, at: UnixTime) -> Timestamp {
    now.mono + at.since(now.wall)
}
