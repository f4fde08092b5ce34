//! How a trunk's calls make progress: reliable provisional responses and the offers and answers in
//! them, early media, ringing (SIP-501, SIP-520 to SIP-525, SIP-561 to SIP-564).

use super::Preset;
use super::finding::Collector;
use super::read::Section;
use super::source::At;
use super::value;
use crate::media::{COUNTRIES, Tones};
use std::time::Duration;

/// Proxies give up on an INVITE after three minutes of silence (Timer C); one provisional a minute
/// keeps them patient (SIP-315).
pub const PROVISIONALS: Duration = Duration::from_secs(60);

/// Teams goes to its next SBC when it hears of no progress within ten seconds, unless the trunk there says
/// otherwise (TDR-SIP-032). What leaves now is there before 8 s are over.
const TEAMS_GUARD: Duration = Duration::from_millis(7_500);

/// How the calls of a trunk make progress before they are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgressPolicy {
    /// Reliable provisional responses (RFC 3262), in both roles.
    pub rel100: Rel100,
    /// Whether provisionals with a description are reliable towards callers that can do that, also
    /// where the called side's are not.
    pub reliable_sdp: bool,
    /// Whether a final answer counts that says something else than the reliable one before it.
    pub sdp_relax: bool,
    /// What becomes of media that this peer sends before it answers.
    pub early_media: EarlyMedia,
    /// As which of the two statuses ringing is told to this peer.
    pub ringing: Ringing,
    /// Longest time from the first early media to the answer.
    pub early_media_max: Duration,
    /// Longest time without any provisional but 100, after which the caller is told of progress; `None` is
    /// what the peer's kind can bear.
    pub within: Option<Duration>,
    /// Who plays the ringing tone to a caller on this trunk; `None` is what suits who is called
    /// ([`Self::ringback_of`]).
    pub ringback: Option<Ringback>,
    /// As in which country our tones sound to peers on this trunk.
    pub tones: &'static Tones,
    /// What this peer gets of a call whose caller makes no offer: `pass` unless it or the caller is
    /// Teams, which makes and takes no such calls, or several are called at once.
    pub late_offer: LateOffer,
    /// Whether P-Early-Media is believed of this peer, and told to it (RFC 5009).
    pub p_early_media: bool,
    /// What a caller on this trunk sees of a called side that rings in several places.
    pub early_dialogs: EarlyDialogs,
    /// Whether a 6xx of this peer ends the hunt. If not it counts as the 4xx that says the same.
    pub six_xx_stops: bool,
}

/// Reliable provisional responses of a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rel100 {
    /// Neither offered nor served: who requires them gets 420.
    Never,
    /// Offered, and used where the peer requires them or the other side of the call does.
    Auto,
    /// Required of both: our INVITEs demand them, and callers that cannot get 421.
    Required,
}

/// What becomes of media that a peer sends before it answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EarlyMedia {
    /// They reach the caller, those of the newest early dialog.
    Pass,
    /// They reach the caller, but of the first early dialog alone.
    First,
    /// They reach the caller once the phone rings.
    AfterRinging,
    /// Neither side hears anything before the answer; 183 is told as 180.
    Block,
}

/// What a peer gets of a call whose caller makes no offer (SIP-510).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LateOffer {
    /// An offer of ours.
    Convert,
    /// None either: it is to make one.
    Pass,
}

/// What a caller sees of a called side that rings in several places (SIP-311).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EarlyDialogs {
    /// One early dialog, whatever rings.
    Single,
    /// One for each of the called side's.
    Transparent,
}

/// As which status ringing is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ringing {
    /// As it came.
    Pass,
    /// 183 becomes 180.
    Ringing,
    /// 180 becomes 183.
    Progress,
}

/// Who plays the ringing tone to a caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ringback {
    /// The called side, or the caller's own phone; for who is transferred we, unless it hears music.
    Remote,
    /// We, while it rings and no early media flow; early media that the called side describes are
    /// waited for.
    Auto,
    /// We, while it rings and no early media flow, without waiting for those that are described.
    Local,
}

impl Default for ProgressPolicy {
    fn default() -> Self {
        Self {
            rel100: Rel100::Auto,
            reliable_sdp: false,
            sdp_relax: false,
            early_media: EarlyMedia::Pass,
            ringing: Ringing::Pass,
            early_media_max: Duration::from_secs(60),
            within: None,
            ringback: None,
            tones: Tones::USUAL,
            late_offer: LateOffer::Pass,
            p_early_media: false,
            early_dialogs: EarlyDialogs::Single,
            six_xx_stops: true,
        }
    }
}

impl ProgressPolicy {
    /// How long a caller of this preset is left without any provisional but 100.
    pub fn within_of(&self, preset: Preset) -> Duration {
        self.within.unwrap_or(match preset {
            Preset::Teams => TEAMS_GUARD,
            Preset::Carrier => PROVISIONALS,
        })
    }

    /// Who plays the ringing tone to a caller on this trunk while a trunk of this preset rings, which has
    /// described early media to it or not. Whoever was told 180 alone rings by itself (TDR-SIP-017).
    pub fn ringback_of(&self, called: Preset, is_described: bool) -> Ringback {
        self.ringback.unwrap_or(match called {
            // It describes early media at one place and rings on at another without a packet (TDR-SIP-019).
            Preset::Teams if is_described => Ringback::Auto,
            Preset::Teams | Preset::Carrier => Ringback::Remote,
        })
    }
}

/// The keys of a trunk about progress, as they are written.
#[derive(Default)]
pub(super) struct WrittenProgress {
    pub(super) rel100: Option<At<Rel100>>,
    pub(super) reliable_sdp: Option<At<bool>>,
    pub(super) sdp_relax: Option<At<bool>>,
    pub(super) early_media: Option<At<EarlyMedia>>,
    pub(super) ringing: Option<At<Ringing>>,
    pub(super) early_media_max: Option<At<Duration>>,
    pub(super) within: Option<At<Duration>>,
    pub(super) ringback: Option<At<Ringback>>,
    pub(super) tones: Option<At<&'static Tones>>,
    pub(super) late_offer: Option<At<LateOffer>>,
    pub(super) p_early_media: Option<At<bool>>,
    pub(super) early_dialogs: Option<At<EarlyDialogs>>,
    pub(super) six_xx_stops: Option<At<bool>>,
}

pub(super) fn progress(section: &mut Section<'_>, out: &mut Collector) -> WrittenProgress {
    WrittenProgress {
        rel100: section.choice(
            "rel100",
            &[
                ("never", Rel100::Never),
                ("auto", Rel100::Auto),
                ("required", Rel100::Required),
            ],
            &[],
            out,
        ),
        reliable_sdp: section.boolean("reliable_sdp", out),
        sdp_relax: section.boolean("sdp_relax", out),
        early_media: section.choice(
            "early_media",
            &[
                ("pass", EarlyMedia::Pass),
                ("first", EarlyMedia::First),
                ("after_180", EarlyMedia::AfterRinging),
                ("block", EarlyMedia::Block),
            ],
            &[],
            out,
        ),
        ringing: section.choice(
            "ringing",
            &[
                ("pass", Ringing::Pass),
                ("180", Ringing::Ringing),
                ("183", Ringing::Progress),
            ],
            &[],
            out,
        ),
        early_media_max: section.parsed("early_media_max", value::duration, out),
        within: section.parsed("progress_within", value::duration, out),
        ringback: section.choice(
            "ringback",
            &[
                ("remote", Ringback::Remote),
                ("auto", Ringback::Auto),
                ("local", Ringback::Local),
            ],
            &[],
            out,
        ),
        tones: section.choice("ringback_tone", &countries(), &[], out),
        late_offer: section.choice(
            "late_offer",
            &[("convert", LateOffer::Convert), ("pass", LateOffer::Pass)],
            &[],
            out,
        ),
        p_early_media: section.boolean("p_early_media", out),
        early_dialogs: section.choice(
            "early_dialogs",
            &[
                ("single", EarlyDialogs::Single),
                ("transparent", EarlyDialogs::Transparent),
            ],
            &[],
            out,
        ),
        six_xx_stops: section.boolean("six_xx_stops", out),
    }
}

/// Countries by the names that operators write.
fn countries() -> Vec<(&'static str, &'static Tones)> {
    let named = |own: &'static Tones| (own.country, own);
    COUNTRIES.iter().map(named).collect()
}
