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
    /// The same from when a second of audio was heard.
    FewAnswers,
    /// Whoever counts what comes in a time always counts something.
    Lingers,
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
    /// Times between two reports, and between the last and now.
    pub without_report: Pauses,
    /// Times between two audio packets.
    pub gaps: Pauses,
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

/// The longest pauses, the longest first, each with when it was over: of one that was noted late, a shorter one shows more.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Pauses(Vec<(Duration, Instant)>);

impl Pauses {
    /// Most that are kept.
    const MOST: usize = 3;

    /// One was from then to then.
    pub fn had(&mut self, since: Instant, until: Instant) {
        let pause = until - since;
        let longer = self.0.partition_point(|(other, _)| *other > pause);
        if longer < Self::MOST {
            self.0.insert(longer, (pause, until));
            self.0.truncate(Self::MOST);
        }
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.0.first().map_or(Duration::ZERO, |(pause, _)| *pause)
    }

    /// All that are kept.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, Instant)> {
        self.0.iter().copied()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_longest_pauses_are_kept_with_their_ends() {
        let zero = Instant::now();
        let (mut pauses, mut end) = (Pauses::default(), zero);
        for ms in [30, 10, 50, 20, 40] {
            let since = end;
            end += Duration::from_millis(ms);
            pauses.had(since, end);
        }
        let kept = pauses
            .iter()
            .map(|(pause, end)| (pause.as_millis(), (end - zero).as_millis()));
        assert_eq!(kept.collect::<Vec<_>>(), [(50, 90), (40, 150), (30, 30)]);
        assert_eq!(pauses.longest(), Duration::from_millis(50));
    }
}
