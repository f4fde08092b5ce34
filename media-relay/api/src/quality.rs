//! How good a stream was: what was counted, and what a listener would have said of it.
//!
//! Ratings are those of the E-model (ITU-T G.107, simplified), which plans networks: they are estimates,
//! and those of codecs on different [`Scale`]s are not to be compared (MED-260, MED-261).

/// Quality of one stream. "Received" is from the peer to us, "reported" what the peer says of what we
/// sent.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct QualityStats {
    /// Mean of the jitter after each packet, in microseconds.
    pub mean_jitter_us: u32,
    /// Longest time between two packets that should have followed each other, in microseconds. Pauses
    /// that the peer made by itself are none.
    pub longest_gap_us: u64,
    /// Packets that came more than [`LATE_US`] later than the one before them: most receivers will not
    /// have waited.
    pub late_packets: u64,
    /// Changes of the SSRC.
    pub ssrc_changes: u32,
    /// Changes of the audio codec.
    pub codec_switches: u32,
    /// How losses were distributed.
    pub bursts: BurstStats,
    /// Scale of the codec that was received last; `None` if nothing is known of it.
    pub scale: Option<Scale>,
    /// Listening quality: delay left aside.
    pub listening: Option<Rating>,
    /// Conversational quality, of the time in which the round trip was known.
    pub conversational: Option<Rating>,
    /// The interval with the lowest listening quality, and among equals the one with the most jitter.
    pub worst: Option<RatedInterval>,
    /// The one with the highest, and among equals the one with the least jitter.
    pub best: Option<RatedInterval>,
    /// Intervals that were rated.
    pub intervals: u32,
    /// Largest share of packets lost within 15 s, in percent.
    pub loss_15s_percent: f32,
    /// Largest share of packets lost within 200 ms, in percent; a single lost packet is none.
    pub loss_200ms_percent: f32,
    /// Mean and largest round trip in microseconds.
    pub round_trip_us: Option<(u32, u32)>,
    /// What the peer's reports say.
    pub reported: Option<ReportedStats>,
    /// The peer's latest extended report.
    pub extended: Option<VoipMetrics>,
}

/// How much later than expected a packet may come to be heard, in microseconds: a usual jitter buffer.
pub const LATE_US: u32 = 100_000;

/// Losses in bursts and in the gaps between them (RFC 3611 §4.7.2 with Gmin 16): a burst begins and ends with
/// a loss, and fewer than 16 packets in a row arrive within it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct BurstStats {
    /// Bursts.
    pub bursts: u32,
    /// Packets lost within them.
    pub burst_lost: u32,
    /// Packets within them, lost or not.
    pub burst_packets: u32,
    /// Packets lost between them.
    pub gap_lost: u32,
    /// Packets between them, lost or not.
    pub gap_packets: u64,
}

impl BurstStats {
    /// Share of packets lost within bursts, in percent.
    pub fn burst_density_percent(&self) -> f32 {
        percent(self.burst_lost.into(), self.burst_packets.into())
    }

    /// Share of packets lost between bursts, in percent.
    pub fn gap_density_percent(&self) -> f32 {
        percent(self.gap_lost.into(), self.gap_packets)
    }
}

/// A share in percent; 0 of nothing.
pub fn percent(part: u64, whole: u64) -> f32 {
    match whole {
        0 => 0.0,
        whole => (part as f64 * 100.0 / whole as f64) as f32,
    }
}

/// What a rating is relative to: a good call of telephone bandwidth, or of a wider one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scale {
    /// G.107: R up to 93.2.
    Narrowband,
    /// G.107.1: R up to 129.
    Wideband,
    /// G.107.2: R up to 148.
    Fullband,
}

impl Scale {
    /// Name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Narrowband => "narrowband",
            Self::Wideband => "wideband",
            Self::Fullband => "fullband",
        }
    }
}

/// A transmission rating factor and the mean opinion score that belongs to it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Score {
    /// R, on the codec's scale.
    pub r: f32,
    /// MOS, 1 to 4.5.
    pub mos: f32,
}

/// Ratings of all intervals of a call.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Rating {
    /// Mean over all intervals.
    pub mean: Score,
    /// The lowest.
    pub least: Score,
}

/// One interval of some 5 s.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct RatedInterval {
    /// When it began, in milliseconds since 1970.
    pub unix_ms: u64,
    /// How long it was.
    pub length_ms: u32,
    /// Packets expected in it.
    pub expected: u64,
    /// Packets lost in it.
    pub lost: u64,
    /// Packets in it that came too late for most receivers.
    pub late: u64,
    /// Largest jitter in it, in microseconds.
    pub max_jitter_us: u32,
    /// Longest gap in it, in microseconds.
    pub longest_gap_us: u64,
    /// Mean of the round trips that came in it, or in the newest one before that had some, in microseconds.
    pub round_trip_us: Option<u32>,
    /// Listening quality.
    pub score: Score,
}

/// What a peer reports of what it receives from us (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ReportedStats {
    /// Reports about what we send.
    pub reports: u32,
    /// Packets lost, by the latest one.
    pub lost: i32,
    /// Largest loss between two reports, in percent.
    pub worst_loss_percent: f32,
    /// Jitter in microseconds, latest and largest.
    pub jitter_us: u32,
    /// Largest jitter in microseconds.
    pub max_jitter_us: u32,
    /// Listening quality, one interval per report.
    pub listening: Option<Rating>,
}

/// VoIP metrics of an extended report as they came (RFC 3611 §4.7, MED-065). 127 means unknown in the ratings, the
/// levels and the echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VoipMetrics {
    /// Share of packets lost, in 1/256.
    pub loss_rate: u8,
    /// Share of packets discarded by the jitter buffer, in 1/256.
    pub discard_rate: u8,
    /// Share lost or discarded within bursts, in 1/256.
    pub burst_density: u8,
    /// Share lost or discarded between bursts, in 1/256.
    pub gap_density: u8,
    /// Mean length of bursts in milliseconds.
    pub burst_ms: u16,
    /// Mean length of the gaps between them in milliseconds.
    pub gap_ms: u16,
    /// Round trip in milliseconds; 0 if unknown.
    pub round_trip_ms: u16,
    /// Delay of the end system in milliseconds; 0 if unknown.
    pub end_system_ms: u16,
    /// Signal level in dBm0.
    pub signal_level: i8,
    /// Noise level in dBm0.
    pub noise_level: i8,
    /// Residual echo return loss in dB.
    pub echo_return_loss: u8,
    /// Gmin that bursts were told by.
    pub gmin: u8,
    /// R.
    pub r: u8,
    /// R of another network behind the peer.
    pub external_r: u8,
    /// Listening MOS in tenths.
    pub mos_lq_10: u8,
    /// Conversational MOS in tenths.
    pub mos_cq_10: u8,
    /// Nominal delay of the jitter buffer in milliseconds.
    pub buffer_ms: u16,
    /// Its present greatest delay in milliseconds.
    pub buffer_max_ms: u16,
    /// The greatest that it can have, in milliseconds.
    pub buffer_limit_ms: u16,
}
