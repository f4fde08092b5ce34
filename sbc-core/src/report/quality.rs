//! The quality of a call's media in plain words, while it goes on and afterwards.

use super::one_way::{Advice, advice, whom};
use crate::record::{MediaRecord, OneWayRecord, RatingRecord, ReceivedRecord, SentRecord};

/// Lines about every leg and direction, and about each time that one was not heard.
pub fn quality(media: &[MediaRecord], one_way: &[OneWayRecord]) -> Vec<String> {
    let legs = media
        .iter()
        .filter(|media| media.packets_in > 0 || media.packets_out > 0);
    let mut lines: Vec<String> = legs.flat_map(of_leg).collect();
    lines.extend(one_way.iter().map(fault));
    lines
}

/// What to change because of one-way audio, without repetition.
pub(super) fn changes(one_way: &[OneWayRecord]) -> Vec<String> {
    let mut changes = Vec::new();
    for fault in one_way {
        let fix = advice(fault.kind).fix;
        let line = format!("for the audio of leg {}: {fix}", fault.leg.0);
        if !changes.contains(&line) {
            changes.push(line);
        }
    }
    changes
}

fn of_leg(media: &MediaRecord) -> Vec<String> {
    let leg = media.leg.0;
    let codec = media.codec.as_deref().unwrap_or("no codec");
    let mut lines = vec![
        format!("leg {leg} received, {codec}: {}", received(media)),
        format!(
            "leg {leg} sent: {}",
            sent(media.packets_out, media.sent.as_ref())
        ),
    ];
    if let Some(targets) = &media.targets {
        let missed: Vec<String> = targets
            .missed()
            .map(|target| {
                let value = target.value.unwrap_or_default();
                format!("{} {value:.2}, wanted below {}", target.name, target.limit)
            })
            .collect();
        if !missed.is_empty() {
            lines.push(format!(
                "leg {leg} misses what Teams wants of the network: {}",
                missed.join("; ")
            ));
        }
    }
    lines
}

fn received(media: &MediaRecord) -> String {
    let ReceivedRecord {
        loss_percent,
        mean_jitter_ms,
        longest_gap_ms,
        listening,
        conversational,
        worst,
        ..
    } = &media.received;
    let mut text = format!(
        "{} packets, {loss_percent:.2} % lost, jitter {mean_jitter_ms:.1} ms (at most {:.1}), longest gap \
         {longest_gap_ms:.0} ms",
        media.packets_in, media.max_jitter_ms
    );
    if let Some(round_trip_ms) = media.rtt_ms {
        text.push_str(&format!(", round trip {round_trip_ms:.0} ms"));
    }
    if let Some(rating) = listening {
        text.push_str(&format!(", listening {}", opinion(rating)));
    }
    if let Some(rating) = conversational {
        text.push_str(&format!(", conversation {}", opinion(rating)));
    }
    if let (Some(worst), Some(scale)) = (worst, media.received.scale) {
        text.push_str(&format!(
            " ({scale}); worst {:.0} s from {}: {}, {:.2} % lost, jitter {:.1} ms",
            f64::from(worst.length_ms) / 1_000.0,
            worst.at.rfc3339(),
            worst.what,
            worst.loss_percent,
            worst.max_jitter_ms
        ));
    }
    text
}

fn sent(packets: u64, reported: Option<&SentRecord>) -> String {
    let Some(reported) = reported else {
        return format!("{packets} packets; the peer has not reported on them");
    };
    let opinion = reported.listening.as_ref().map(opinion);
    format!(
        "{packets} packets; the peer reports {} lost, at most {:.1} % at a time, jitter {:.1} ms{}",
        reported.lost,
        reported.worst_loss_percent,
        reported.jitter_ms,
        opinion.map_or_else(String::new, |opinion| format!(", listening {opinion}"))
    )
}

fn opinion(rating: &RatingRecord) -> String {
    format!(
        "MOS estimate {:.2} (least {:.2})",
        rating.mos_estimate, rating.least_mos_estimate
    )
}

fn fault(fault: &OneWayRecord) -> String {
    let Advice { seen, cause, .. } = advice(fault.kind);
    let lasted = match fault.lasted_ms {
        Some(lasted_ms) => format!("for {:.1} s", f64::from(lasted_ms) / 1_000.0),
        None => "from then on".to_owned(),
    };
    format!(
        "leg {} {}, noticed after {:.1} s, {lasted}: {seen}; likely {cause}",
        fault.leg.0,
        whom(fault.kind, true),
        fault.at_ms as f64 / 1_000.0
    )
}
