//! The payload types of a leg: which number of ours means what, for as long as the call lasts (SIP-505).

use super::{Agreement, MediaImage};
use crate::media::codec::Codec;
use crate::sdp::DraftStream;

impl MediaImage {
    /// The number that an offer of ours uses for `codec`: the one bound before, its static one,
    /// `wanted` if that is free, else the lowest free dynamic one. `None` if all are taken.
    pub(in crate::media) fn number_for(
        &self,
        codec: &Codec,
        wanted: Option<u8>,
        taken: &[(u8, Codec)],
    ) -> Option<u8> {
        let bound = |number: u8| {
            self.numbers
                .iter()
                .chain(taken)
                .any(|(bound, _)| *bound == number)
        };
        // Two entries of one encoding with different parameters (AMR) must not share a number.
        let known = self.numbers.iter().find(|(number, known)| {
            known.joins(codec) && !taken.iter().any(|(bound, _)| bound == number)
        });
        if let Some((number, _)) = known {
            return Some(*number);
        }
        let is_free = |number: &u8| !bound(*number);
        let usual = (codec.is_telephone_event() && codec.clock_hz == 8000).then_some(101);
        codec
            .static_number()
            .into_iter()
            .filter(is_free)
            .chain(
                wanted
                    .into_iter()
                    .filter(|number| (96..=127).contains(number))
                    .filter(is_free),
            )
            .chain(usual.into_iter().filter(is_free))
            .chain((96..=127).filter(is_free))
            .next()
    }

    /// Whether any number of ours means anything yet.
    pub(in crate::media) fn has_numbers(&self) -> bool {
        !self.numbers.is_empty()
    }

    /// The number that an answer of ours has for `codec`: that of the offer (RFC 3264 §6.1), unless we alone gave it to another
    /// format before, which keeps it (§8.3.2, SIP-505). A peer that changes what its own numbers mean is followed.
    pub(in crate::media) fn answering_number(
        &self,
        offered: u8,
        codec: &Codec,
        taken: &[(u8, Codec)],
    ) -> Option<u8> {
        let is_anothers = |(number, known): &(u8, Codec)| *number == offered && !known.joins(codec);
        let has_changed = |agreed: &Agreement| {
            let mut payloads = agreed.theirs.payloads.iter();
            let before = payloads.find(|own| own.number == offered);
            before.is_some_and(|own| !own.codec.as_ref().is_some_and(|own| own.joins(codec)))
        };
        let is_bound = self.numbers.iter().any(is_anothers)
            && !self.committed.as_deref().is_some_and(has_changed);
        match is_bound || taken.iter().any(|(number, _)| *number == offered) {
            true => self.number_for(codec, None, taken),
            false => Some(offered),
        }
    }

    /// Remembers what our numbers mean.
    pub(super) fn bind(&mut self, stream: &DraftStream) {
        for format in &stream.formats {
            let codec = Codec {
                name: format.name.clone(),
                clock_hz: format.clock_hz,
                channels: format.channels,
                fmtp: format.fmtp.clone(),
            };
            // The peer chose the number where we answered: its latest meaning counts.
            self.numbers
                .retain(|(number, _)| *number != format.payload_type);
            self.numbers.reserve_exact(1);
            self.numbers.push((format.payload_type, codec));
        }
    }
}
