//! What packets of a session are judged with, fetched by the processor before their turn.

use super::MediaSession;
use super::stream::Stream;
use crate::io::fetch;

/// Streams of a session that are fetched before their packets are judged: those of a plain call.
const FETCHED: usize = 2;

/// What [`MediaSession::fetch`] fetches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Depth {
    /// Streams.
    Streams,
    /// What streams refer to: agreements and keys.
    Agreements,
    /// What those refer to: rules, ciphers, windows of what has been heard.
    Ciphers,
}

impl Depth {
    pub(crate) const ALL: [Self; 3] = [Self::Streams, Self::Agreements, Self::Ciphers];
}

impl MediaSession {
    /// Has the processor fetch one depth of what packets are judged with. Each is found by means of the one before it,
    /// so they are asked for in turn.
    pub(crate) fn fetch(&self, depth: Depth) {
        for stream in self.streams.iter().take(FETCHED) {
            stream.fetch(depth);
        }
    }
}

impl Stream {
    /// Has the processor fetch what a packet is judged with.
    fn fetch(&self, depth: Depth) {
        match depth {
            Depth::Streams => fetch::whole(self),
            Depth::Agreements => {
                fetch::first(&self.faces);
                fetch::first(&self.senders);
                self.ring.fetch(depth);
            }
            Depth::Ciphers => {
                if let Some(face) = self.faces.first() {
                    face.rules.fetch();
                }
                if let Some(own) = self.senders.first() {
                    own.fetch();
                }
                self.ring.fetch(depth);
            }
        }
    }
}
