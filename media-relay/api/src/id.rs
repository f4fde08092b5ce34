//! Names of the relay's objects. All are chosen by signalling.

/// One media session: the media of one call. Unique for the life of the process.
///
/// The upper 16 bits carry the shard that owns the call, so that events find their way back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SessionId(pub u64);

impl SessionId {
    /// Builds an id from the owning shard and a number unique within it (48 bits used).
    pub const fn new(shard: u16, number: u64) -> Self {
        Self(((shard as u64) << 48) | (number & 0xffff_ffff_ffff))
    }

    /// The shard whose call this session serves.
    pub const fn shard(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// One endpoint of a session: the media side of one leg.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EndpointId(pub u8);

/// Position of a stream within its endpoint; equal to the index of its `m=` line among those that
/// the relay anchors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StreamIndex(pub u8);

/// One early dialog of a forked offer; `ForkId(0)` when there is only one answerer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ForkId(pub u8);

/// A media realm: a set of local addresses and a port range, by its index in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct RealmId(pub u16);
