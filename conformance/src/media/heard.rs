//! What a voice hears, and what may be done to it so that somebody notices.

use std::time::Duration;
use tokio::time::Instant;

/// What becomes of packets before they are heard, to see that somebody notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warp {
    /// No RTP.
    Silence,
    /// SRTP arrives in the clear.
    Plain,
    /// Nothing is authentic.
    WrongKey,
    /// No RTCP.
    NoRtcp,
    /// RTCP arrives in the clear.
    PlainReports,
    /// RTP with events, so digits, is lost.
    NoEvents,
    /// Events end without having lasted.
    ShortEvents,
    /// Comfort noise is lost.
    NoNoise,
    /// After a pause the first second is lost.
    Late,
    /// What was heard first is heard for ever.
    Stuck,
    /// Of a hundred packets fifteen in a row are lost, 300 ms.
    Holes,
    /// Once holes are looked for, three packets in a row are lost.
    Hole,
    /// The same, and those after them are numbered as if none were missing.
    Glitch,
    /// Of fifty packets five in a row are lost, and the others have numbers and times as if none were missing.
    Anew,
    /// After three seconds there is only silence.
    Mute,
    /// Two packets come as one.
    Joined,
    /// With each report there is a moment of audio.
    Murmurs,
    /// What was lost counts as heard.
    Everything,
    /// Reports say nothing of what has arrived.
    NoBlocks,
    /// Reports say that packets came evenly.
    Even,
    /// Reports end after the third.
    FewReports,
    /// Reports come to the other port.
    OtherPort,
    /// What the other end sends twice is heard twice.
    Replays,
    /// Answers to checks of ICE are lost.
    NoAnswers,
    /// Answers to checks that are made by hand are late.
    LateAnswers,
    /// Of three of them two are late.
    OftenLateAnswers,
    /// With the first audio a check of ICE arrives.
    Checks,
    /// Checks of ICE that must not be answered are.
    AnswersAll,
    /// Whose place in a call another takes hears no RTP from then on.
    LeftSilent,
    /// Whose place in a call another takes gets no answers to checks from then on.
    LeftUnanswered,
}

/// What came so far.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Heard {
    /// Packets with audio.
    pub audio: u64,
    /// Packets with events.
    pub events: u64,
    /// Packets with comfort noise.
    pub noise: u64,
    /// Packets in the clear on a stream that must be secured.
    pub plain: u64,
    /// Packets and reports that are not authentic.
    pub forged: u64,
    /// Payload types that were heard, in the order of their first packet.
    pub payload_types: Vec<u8>,
    /// Reports.
    pub reports: u64,
    /// Those of them that came to the port for RTP.
    pub reports_beside_audio: u64,
    /// Longest time between two reports, and between the last and now.
    pub longest_without_report: Duration,
    /// When that was over.
    pub reported_again: Option<Instant>,
    /// Longest time between two audio packets.
    pub longest_gap: Duration,
    /// When the second came.
    pub heard_again: Option<Instant>,
    /// How late it was itself at most since gaps are measured, because the machine was busy.
    pub longest_stall: Duration,
    /// Most packets in a row that are missing in one stream, by their numbers or by their times.
    pub longest_hole: u16,
    /// Digits, each once, at the first packet of its event.
    pub digits: String,
    /// How long each was in samples, and how loud in dBm0 below zero, as the end of its event says.
    pub presses: Vec<(u16, u8)>,
    /// Packets with audio that had come before.
    pub repeated: u64,
    /// Lengths of audio packets in octets, each once, in the order of their first.
    pub lengths: Vec<usize>,
    /// What the other end says of the packets that came to it.
    pub told: Option<Told>,
    /// Packets with audio or events that a bad network has lost on their way here.
    pub lost: u64,
    /// Reports that it has lost.
    pub lost_reports: u64,
}

impl Heard {
    /// No report came from then to then.
    pub(super) fn had_no_report(&mut self, since: Instant, until: Instant) {
        if until - since >= self.longest_without_report {
            self.longest_without_report = until - since;
            self.reported_again = Some(until);
        }
    }

    /// No packet with audio came from then to then.
    pub(super) fn had_no_audio(&mut self, since: Instant, until: Instant) {
        if until - since >= self.longest_gap {
            (self.longest_gap, self.heard_again) = (until - since, Some(until));
        }
    }
}

/// What a report says of our packets (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// How many were lost.
    pub lost: u32,
    /// How many of these the network has lost indeed, of what was sent before.
    pub lost_indeed: u32,
    /// Jitter, in samples.
    pub jitter: u32,
    /// Time to the other end and back, without that for which it kept our report; nothing, if it has none.
    pub round_trip: Option<Duration>,
}
