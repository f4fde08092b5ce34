//! Figures of the relay: in the record, asked for while the call goes on, and one-way audio.

use super::{Call, Leg};
use crate::config::Preset;
use crate::effect::Effect;
use crate::id::{CommandId, LegId};
use crate::input::Answered;
use crate::plane::Cx;
use crate::record::{
    ExtendedRecord, LiveMedia, MediaRecord, OneWayRecord, ReceivedRecord, SentRecord, TargetsRecord,
};
use crate::time::Now;
use media_api::{
    Content, DropReason, EndpointId, EndpointStats, NegotiatedStream, OneWayKind, Protection,
    SessionStats, StreamStats,
};

/// Faults that a record tells one by one; a connection that comes and goes has many.
const MAX_FAULTS: usize = 16;
/// Operators that may wait for the figures of one call.
const MAX_ASKING: usize = 8;

impl Call {
    /// An operator wants the present figures: the relay is asked, and answers some milliseconds later.
    pub(crate) fn ask_for_figures(&mut self, cx: &mut Cx<'_>, id: CommandId) {
        if !self.media.is_active() || self.asking.len() >= MAX_ASKING {
            let none = self.live_media(&SessionStats::default());
            return cx.out.push(Effect::Reply(id, none));
        }
        self.asking.push(id);
        self.media.ask_for_stats(cx);
    }

    /// The relay has answered.
    pub(super) fn tell_figures(&mut self, cx: &mut Cx<'_>, stats: &SessionStats) {
        for id in std::mem::take(&mut self.asking) {
            cx.out.push(Effect::Reply(id, self.live_media(stats)));
        }
        self.is_heard(cx, stats);
    }

    fn live_media(&self, stats: &SessionStats) -> Answered {
        Answered::Media(Box::new(LiveMedia {
            media: self.media_records(stats),
            one_way: self.record.one_way.clone(),
        }))
    }

    /// Media records of all streams.
    pub(super) fn media_records(&self, stats: &SessionStats) -> Vec<MediaRecord> {
        let endpoints = stats.endpoints.iter();
        endpoints
            .flat_map(|endpoint| self.endpoint_records(endpoint))
            .collect()
    }

    fn endpoint_records<'a>(
        &'a self,
        endpoint: &'a EndpointStats,
    ) -> impl Iterator<Item = MediaRecord> + 'a {
        let id = LegId(self.media.leg_of(endpoint.endpoint).0);
        let leg = self.legs.get(&id);
        let agreed = leg.and_then(|leg| leg.image.latest());
        let mut streams = agreed
            .iter()
            .flat_map(|agreed| &agreed.negotiated().streams);
        let agreed = streams.find_map(Option::as_ref);
        let is_srtp = agreed.is_some_and(|own| !matches!(own.protection, Protection::None));
        let srtp_suite = agreed.and_then(|own| match &own.protection {
            Protection::Sdes { local, .. } => Some(local.suite().name()),
            Protection::None | Protection::Dtls(_) => None,
        });
        // Which one a handshake chose is known to the relay alone.
        let is_dtls = agreed.is_some_and(|own| matches!(own.protection, Protection::Dtls(_)));
        let is_rtp = |own: &&NegotiatedStream| own.content == Content::Rtp;
        let ptime_ms = agreed.filter(is_rtp).map(|own| own.ptime_ms);
        let dtmf = leg.and_then(Leg::digit_way);
        let local = leg.and_then(|leg| leg.image.local()).map(|own| own.rtp);
        let is_teams = leg.is_some_and(|leg| leg.session.style().trunk.preset == Preset::Teams);
        endpoint.streams.iter().map(move |stream| MediaRecord {
            targets: is_teams.then(|| TargetsRecord::of(stream)).flatten(),
            local,
            ptime_ms,
            srtp_suite: match is_dtls {
                true => stream.suite.map(media_api::Suite::name),
                false => srtp_suite,
            },
            dtmf,
            ..media_record(id, is_srtp, stream)
        })
    }

    /// A leg is not heard.
    pub(super) fn one_way_begins(&mut self, now: Now, endpoint: EndpointId, kind: OneWayKind) {
        let at_ms = self.elapsed_ms(now);
        if self.record.one_way.len() < MAX_FAULTS {
            self.record.one_way.push(OneWayRecord {
                leg: LegId(endpoint.0),
                kind,
                at_ms,
                lasted_ms: None,
            });
        }
    }

    /// A leg is heard again, or need not be.
    pub(super) fn one_way_ends(&mut self, endpoint: EndpointId, lasted_ms: u32) {
        let mut faults = self.record.one_way.iter_mut();
        let open =
            |fault: &&mut OneWayRecord| fault.leg == LegId(endpoint.0) && fault.lasted_ms.is_none();
        if let Some(fault) = faults.find(open) {
            fault.lasted_ms = Some(lasted_ms);
        }
    }
}

fn media_record(leg: LegId, srtp: bool, stream: &StreamStats) -> MediaRecord {
    let milliseconds = |us: u32| f64::from(us) / 1_000.0;
    MediaRecord {
        leg,
        codec: stream.codec.as_deref().map(str::to_owned),
        ptime_ms: None,
        srtp,
        srtp_suite: None,
        dtmf: None,
        remote: stream.source,
        local: None,
        packets_in: stream.received_packets,
        packets_out: stream.sent_packets,
        bytes_in: stream.received_bytes,
        bytes_out: stream.sent_bytes,
        lost: stream.lost_packets,
        jitter_ms: milliseconds(stream.jitter_us),
        max_jitter_ms: milliseconds(stream.max_jitter_us),
        rtt_ms: stream.round_trip_us.map(milliseconds),
        dropped: DropReason::ALL
            .into_iter()
            .filter(|reason| stream.dropped(*reason) > 0)
            .map(|reason| (reason.label(), stream.dropped(reason)))
            .collect(),
        received: ReceivedRecord::of(stream),
        sent: stream.quality.reported.as_ref().map(SentRecord::of),
        extended: stream.quality.extended.as_ref().map(ExtendedRecord::of),
        targets: None,
    }
}
