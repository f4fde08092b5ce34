//! Commands and events as octets, for a relay in a process of its own.
//!
//! Nothing is left out and nothing has two forms: numbers have a fixed length, little-endian; lists and texts begin
//! with their length; a variant is its number. What is read is bounded by what has come, and what would not be
//! written that way is refused. [`crate::wire_layout`] writes the code for a type from the names of its parts: one that
//! is missing there does not compile.

mod frames;
mod layout;
mod plain;
mod secret;

pub use frames::{Frames, MAX_FRAME};

use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Form of the octets. To be raised when the type of a part changes; that parts come, go or move is noticed by
/// [`LAYOUT`].
pub const VERSION: u16 = 1;

/// Digest of the names of all parts in their order.
pub const LAYOUT: u64 = digest(include_bytes!("layout.rs"), DIGEST_OF_NOTHING);

/// Where [`digest`] begins.
pub const DIGEST_OF_NOTHING: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, which tells sources apart and keeps no secret.
pub const fn digest(octets: &[u8], mut sum: u64) -> u64 {
    let mut at = 0;
    while at < octets.len() {
        sum = (sum ^ octets[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    sum
}

/// What goes over the socket.
pub trait Wire: Sized {
    /// Writes it.
    fn put(&self, out: &mut Writer);

    /// Reads one.
    ///
    /// # Errors
    /// [`WireFault`] when the octets are none.
    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault>;
}

/// Why octets cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WireFault {
    /// They end too early.
    Short,
    /// Something follows that does not belong there.
    Surplus,
    /// A variant that this type does not have.
    Variant {
        /// The type.
        of: &'static str,
        /// Its number.
        number: u8,
    },
    /// A value that this type cannot have.
    Value(&'static str),
    /// A frame that is longer than any can be.
    Long {
        /// Its length in octets.
        octets: u32,
    },
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("a frame ends too early"),
            Self::Surplus => f.write_str("a frame has octets behind its end"),
            Self::Variant { of, number } => write!(f, "there is no {of} of number {number}"),
            Self::Value(of) => write!(f, "a value of {of} is out of its bounds"),
            Self::Long { octets } => write!(
                f,
                "a frame of {octets} octets is longer than {MAX_FRAME}, the most that is taken"
            ),
        }
    }
}

impl std::error::Error for WireFault {}

/// Octets that are being written. They may hold keys: what is given up is zeroised.
#[derive(Default)]
pub struct Writer {
    octets: Zeroizing<Vec<u8>>,
}

impl Writer {
    /// Appends octets as they are.
    pub fn push(&mut self, more: &[u8]) {
        let wanted = self.octets.len() + more.len();
        if wanted > self.octets.capacity() {
            // The vector would leave a copy behind where it was.
            let mut wider = Vec::with_capacity(wanted.next_power_of_two().max(512));
            wider.extend_from_slice(&self.octets);
            self.octets.zeroize();
            self.octets = Zeroizing::new(wider);
        }
        self.octets.extend_from_slice(more);
    }

    /// Appends the length of a list or text.
    pub fn length(&mut self, length: usize) {
        // Whatever is longer makes a frame that nobody takes.
        u32::try_from(length).unwrap_or(u32::MAX).put(self);
    }

    /// Appends a value with its length before it, as [`Frames`] reads it.
    pub fn frame(&mut self, value: &impl Wire) {
        let at = self.octets.len();
        self.push(&[0; 4]);
        value.put(self);
        let length = u32::try_from(self.octets.len() - at - 4).unwrap_or(u32::MAX);
        self.octets[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// What was written.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Forgets what was written, and keeps its room.
    pub fn clear(&mut self) {
        self.octets.as_mut_slice().zeroize();
        self.octets.clear();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({} octets)", self.octets.len())
    }
}

/// Octets that are being read.
#[derive(Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins with the first.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// Reads the value that is all of the octets.
    ///
    /// # Errors
    /// [`WireFault`] when they are none, or more follow.
    pub fn whole<T: Wire>(octets: &'a [u8]) -> Result<T, WireFault> {
        Self(octets).rest()
    }

    /// Reads the value that is all of the octets that are left.
    ///
    /// # Errors
    /// [`WireFault`] when they are none, or more follow.
    pub fn rest<T: Wire>(mut self) -> Result<T, WireFault> {
        let value = T::take(&mut self)?;
        match self.0.is_empty() {
            true => Ok(value),
            false => Err(WireFault::Surplus),
        }
    }

    /// The next octets as they are.
    ///
    /// # Errors
    /// [`WireFault::Short`] when there are not so many.
    pub fn octets(&mut self, length: usize) -> Result<&'a [u8], WireFault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireFault::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The length of a list or text: no more than octets are left, as each element has at least one.
    ///
    /// # Errors
    /// [`WireFault::Short`] when it is more.
    pub fn length(&mut self) -> Result<usize, WireFault> {
        let length = usize::try_from(u32::take(self)?).map_err(|_| WireFault::Short)?;
        match length <= self.0.len() {
            true => Ok(length),
            false => Err(WireFault::Short),
        }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} octets left)", self.0.len())
    }
}

/// Writes and reads types as the names of their parts say, in that order.
///
/// ```
/// # use media_api::wire_layout;
/// #[derive(PartialEq, Debug)]
/// enum Shape {
///     Point,
///     Disc { radius: u16 },
/// }
/// wire_layout! {
///     enum Shape {
///         0: Point,
///         1: Disc { radius },
///     }
/// }
/// # use media_api::wire::{Reader, Wire, Writer};
/// let mut out = Writer::default();
/// Shape::Disc { radius: 7 }.put(&mut out);
/// assert_eq!(out.octets(), [1, 7, 0]);
/// assert_eq!(Reader::whole(out.octets()), Ok(Shape::Disc { radius: 7 }));
/// ```
#[macro_export]
macro_rules! wire_layout {
    () => {};
    (struct $name:ident { $($field:ident),* $(,)? } $($rest:tt)*) => {
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut $crate::wire::Writer) {
                let Self { $($field),* } = self;
                $($crate::wire::Wire::put($field, out);)*
            }

            fn take(
                from: &mut $crate::wire::Reader<'_>,
            ) -> ::core::result::Result<Self, $crate::wire::WireFault> {
                $(let $field = $crate::wire::Wire::take(from)?;)*
                Ok(Self { $($field),* })
            }
        }
        $crate::wire_layout!($($rest)*);
    };
    (struct $name:ident($($item:ident),*); $($rest:tt)*) => {
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut $crate::wire::Writer) {
                let Self($($item),*) = self;
                $($crate::wire::Wire::put($item, out);)*
            }

            fn take(
                from: &mut $crate::wire::Reader<'_>,
            ) -> ::core::result::Result<Self, $crate::wire::WireFault> {
                $(let $item = $crate::wire::Wire::take(from)?;)*
                Ok(Self($($item),*))
            }
        }
        $crate::wire_layout!($($rest)*);
    };
    (enum $name:ident {
        $($number:literal: $variant:ident
            $({ $($field:ident),* $(,)? })? $(( $($item:ident),* ))? ),* $(,)?
    } $($rest:tt)*) => {
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut $crate::wire::Writer) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $($item),* ))? => {
                        out.push(&[$number]);
                        $($($crate::wire::Wire::put($field, out);)*)?
                        $($($crate::wire::Wire::put($item, out);)*)?
                    })*
                }
            }

            fn take(
                from: &mut $crate::wire::Reader<'_>,
            ) -> ::core::result::Result<Self, $crate::wire::WireFault> {
                match <u8 as $crate::wire::Wire>::take(from)? {
                    $($number => {
                        $($(let $field = $crate::wire::Wire::take(from)?;)*)?
                        $($(let $item = $crate::wire::Wire::take(from)?;)*)?
                        Ok(Self::$variant $({ $($field),* })? $(( $($item),* ))?)
                    })*
                    number => Err($crate::wire::WireFault::Variant {
                        of: ::core::stringify!($name),
                        number,
                    }),
                }
            }
        }
        $crate::wire_layout!($($rest)*);
    };
}
