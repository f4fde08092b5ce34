//! What of a call is transcoded: its place among those that may be, and what its record says (MED-242).
//!
//! Who calls is asked for the place before anything rings, and so is who is called by a transfer. What the
//! parties choose themselves is known with their answers only: nobody is refused for it any more, but it
//! counts, and a place that is not needed goes back.

use super::{Call, LegId};
use crate::media::{MediaImage, interwork};
use crate::plane::Cx;
use crate::record::TranscodedRecord;

/// Entries of a record.
const MAX_ENTRIES: usize = 16;

impl Call {
    /// Whether a new party could hear this leg only transcoded, and there is no place for that yet.
    pub(super) fn would_transcode(&self, leg: LegId, image: &MediaImage) -> bool {
        let other = self.legs.get(&leg);
        !self.counts_as_transcoded()
            && other.is_some_and(|other| interwork::invites_transcoding(image, &other.image))
    }

    /// Follows what the parties have agreed on.
    pub(super) fn follow_transcoding(&mut self, cx: &mut Cx<'_>) {
        let Some((a, b)) = self.talking().filter(|_| self.is_live()) else {
            return;
        };
        let (Some(x), Some(y)) = (self.legs.get(&a), self.legs.get(&b)) else {
            return;
        };
        let images = (&x.image, &y.image);
        let pair = interwork::transcoded(images.0, images.1);
        let is_transcoded = pair.is_some();
        if let Some((from, to)) = pair {
            let at_ms = self.elapsed_ms(cx.now);
            let entry = |leg, heard_by, from: &str, to: &str| TranscodedRecord {
                leg,
                heard_by,
                from: from.to_owned(),
                to: to.to_owned(),
                at_ms,
            };
            let there = entry(a, b, &from.name, &to.name);
            let back = entry(b, a, &to.name, &from.name);
            let heard = [
                interwork::listens(images.1).then_some(there),
                interwork::listens(images.0).then_some(back),
            ];
            for entry in heard.into_iter().flatten() {
                self.note_transcoded(entry);
            }
        }
        let is_open = self.legs.values().any(|leg| leg.image.is_negotiating());
        if self.bridge != Some((a, b)) || self.operation.is_some() || is_open {
            return;
        }
        match (is_transcoded, self.counts_as_transcoded()) {
            (true, false) => {
                if let Some(trunk) = self.trunk_of(b) {
                    self.take_place_to_transcode(cx, b, &trunk);
                }
            }
            (false, true) => self.leave_places_to_transcode(cx),
            (true, true) | (false, false) => {}
        }
    }

    fn note_transcoded(&mut self, entry: TranscodedRecord) {
        let entries = &mut self.record.transcoded;
        let mut known = entries.iter().rev();
        let before = known.find(|own| (own.leg, own.heard_by) == (entry.leg, entry.heard_by));
        let is_new = before.is_none_or(|own| (&own.from, &own.to) != (&entry.from, &entry.to));
        if is_new && entries.len() < MAX_ENTRIES {
            entries.push(entry);
        }
    }
}
