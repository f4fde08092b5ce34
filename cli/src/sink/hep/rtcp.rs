//! A report of RTCP as JSON, with the names that Homer's agents use.

use media_api::{ReceptionFigures, RtcpReport, SenderFigures, VoipMetrics};
use serde_json::{Value, json};

/// Packet types of RFC 3550 §12.1 and RFC 3611 §2.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
/// Block type of VoIP metrics (RFC 3611 §4.7).
const VOIP_METRICS: u8 = 7;

pub(super) fn text(report: &RtcpReport) -> Value {
    let blocks: Vec<Value> = report.reception.iter().map(block).collect();
    let mut told = json!({
        "ssrc": report.ssrc,
        "type": match report.sender {
            Some(_) => SENDER_REPORT,
            None => RECEIVER_REPORT,
        },
        "report_count": blocks.len(),
        "report_blocks": blocks,
    });
    if let Some(own) = &report.sender {
        told["sender_information"] = sender(own);
    }
    if let Some(own) = &report.extended {
        told["report_blocks_xr"] = extended(report.ssrc, own);
    }
    told
}

fn sender(own: &SenderFigures) -> Value {
    json!({
        "ntp_timestamp_sec": own.ntp >> 32,
        // A fraction of 2^32, whatever its name says: all agents send it so.
        "ntp_timestamp_usec": own.ntp & u64::from(u32::MAX),
        "rtp_timestamp": own.rtp_timestamp,
        "packets": own.packets,
        "octets": own.octets,
    })
}

fn block(own: &ReceptionFigures) -> Value {
    json!({
        "source_ssrc": own.ssrc,
        "fraction_lost": own.fraction_lost,
        "packets_lost": own.lost,
        "highest_seq_no": own.highest_sequence,
        "ia_jitter": own.jitter,
        "lsr": own.last_sr,
        "dlsr": own.delay_since_last_sr,
    })
}

fn extended(ssrc: u32, own: &VoipMetrics) -> Value {
    json!({
        "type": VOIP_METRICS,
        "id": ssrc,
        "fraction_lost": own.loss_rate,
        "fraction_discard": own.discard_rate,
        "burst_density": own.burst_density,
        "gap_density": own.gap_density,
        "burst_duration": own.burst_ms,
        "gap_duration": own.gap_ms,
        "round_trip_delay": own.round_trip_ms,
        "end_system_delay": own.end_system_ms,
    })
}
