//! How good the media of each leg were, as JSON with the names that Homer's agents use.

use super::frame::Score;
use sbc_core::record::{MediaRecord, Record};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// What is told of one leg.
pub(super) struct Report {
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) score: Option<Score>,
    pub(super) text: Value,
}

/// One for each leg whose peer was heard, about what came from it.
pub(super) fn reports(record: &Record) -> Vec<Report> {
    let of_leg = |media: &MediaRecord| {
        let (local, remote) = (media.local?, media.remote?);
        let listening = media.received.listening.as_ref();
        Some(Report {
            remote,
            local,
            score: listening.map(|own| Score {
                mos: own.mos_estimate,
                r: own.r,
            }),
            text: text(record, media, remote, local),
        })
    };
    record.media.iter().filter_map(of_leg).collect()
}

fn text(record: &Record, media: &MediaRecord, remote: SocketAddr, local: SocketAddr) -> Value {
    let received = &media.received;
    let lost = u64::try_from(media.lost).unwrap_or(0);
    let call_id = match media.leg.0 {
        0 => Some(record.ingress.call_id.to_string()),
        leg => {
            let mut attempts = record.egress.iter();
            let own = attempts.find(|attempt| attempt.leg.0 == leg);
            own.map(|attempt| attempt.call_id.to_string())
        }
    };
    json!({
        "CORRELATION_ID": record.call,
        "RTP_SIP_CALL_ID": call_id,
        "TYPE": "HANGUP",
        "LEG": media.leg.0,
        "SRC_IP": remote.ip(),
        "SRC_PORT": remote.port(),
        "DST_IP": local.ip(),
        "DST_PORT": local.port(),
        "CODEC_NAME": media.codec,
        "TOTAL_PK": media.packets_in,
        "EXPECTED_PK": media.packets_in + lost,
        "PACKET_LOSS": media.lost,
        "OUT_ORDER": received.reordered,
        "SSRC_CHG": received.ssrc_changes,
        "JITTER": media.jitter_ms,
        "MAX_JITTER": media.max_jitter_ms,
        "MEAN_JITTER": received.mean_jitter_ms,
        "RTT": media.rtt_ms,
        "MOS": received.listening.as_ref().map(|own| own.mos_estimate),
        "R_FACTOR": received.listening.as_ref().map(|own| own.r),
        "MIN_MOS": received.listening.as_ref().map(|own| own.least_mos_estimate),
        "SENT": media.sent,
    })
}
