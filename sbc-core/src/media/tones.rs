//! Tones of countries: what a caller hears who is not heard yet (ITU-T E.180 supplement 2, MED-241).
//!
//! Modulated tones are given by the two frequencies that come closest.

use media_api::{Tone, TonePhase};

/// The tones of one country.
#[derive(Debug)]
pub struct Tones {
    /// Its name in the configuration: ISO 3166 in small letters, `uk` for the United Kingdom, `eu`
    /// for what ETSI recommends.
    pub country: &'static str,
    ringback: Cadence,
    busy: Cadence,
    congestion: Cadence,
}

/// What a tone says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    /// It rings at the called side.
    Ringback,
    /// The called party talks to somebody else.
    Busy,
    /// There is no way to the called party at present.
    Congestion,
}

/// Two frequencies in Hz that sound together, the second one 0 if there is none, and how long tone and
/// silence last in turn, in milliseconds.
#[derive(Debug)]
struct Cadence {
    hz: [u16; 2],
    ms: &'static [u16],
}

const fn cadence(hz: [u16; 2], ms: &'static [u16]) -> Cadence {
    Cadence { hz, ms }
}

/// A country whose three tones have one frequency.
const fn plain(
    country: &'static str,
    hz: u16,
    ringback: &'static [u16],
    busy: &'static [u16],
    congestion: &'static [u16],
) -> Tones {
    Tones {
        country,
        ringback: cadence([hz, 0], ringback),
        busy: cadence([hz, 0], busy),
        congestion: cadence([hz, 0], congestion),
    }
}

const TWICE: &[u16] = &[400, 200, 400, 2_000];

impl Tones {
    /// What is usual in most of Europe.
    pub const USUAL: &'static Self = &COUNTRIES[0];

    /// The tones of a country.
    pub fn of(country: &str) -> Option<&'static Self> {
        COUNTRIES.iter().find(|own| own.country == country)
    }

    /// One of the tones.
    pub fn tone(&self, signal: Signal) -> Tone {
        let cadence = match signal {
            Signal::Ringback => &self.ringback,
            Signal::Busy => &self.busy,
            Signal::Congestion => &self.congestion,
        };
        let phases = cadence.ms.iter().enumerate().map(|(at, ms)| TonePhase {
            hz: if at % 2 == 0 { cadence.hz } else { [0, 0] },
            ms: *ms,
        });
        Tone {
            phases: phases.collect(),
        }
    }
}

/// Equal if they are of one country.
impl PartialEq for Tones {
    fn eq(&self, other: &Self) -> bool {
        self.country == other.country
    }
}

impl Eq for Tones {}

/// Silence that is sent, so that whoever expects packets gets some.
pub fn silence() -> Tone {
    let phase = TonePhase {
        hz: [0, 0],
        ms: 1_000,
    };
    Tone {
        phases: vec![phase],
    }
}

/// All countries that are known, the usual tones first.
pub static COUNTRIES: [Tones; 27] = [
    plain("eu", 425, &[1_000, 4_000], &[500, 500], &[200, 200]),
    plain("at", 420, &[1_000, 5_000], &[400, 400], &[200, 200]),
    Tones {
        country: "au",
        ringback: cadence([400, 450], TWICE),
        busy: cadence([425, 0], &[375, 375]),
        congestion: cadence([425, 0], &[375, 375]),
    },
    plain("be", 425, &[1_000, 3_000], &[500, 500], &[167, 167]),
    plain(
        "br",
        425,
        &[1_000, 4_000],
        &[250, 250],
        &[250, 250, 750, 250],
    ),
    Tones {
        country: "ca",
        ringback: cadence([440, 480], &[2_000, 4_000]),
        busy: cadence([480, 620], &[500, 500]),
        congestion: cadence([480, 620], &[250, 250]),
    },
    plain("ch", 425, &[1_000, 4_000], &[500, 500], &[200, 200]),
    plain("cn", 450, &[1_000, 4_000], &[350, 350], &[700, 700]),
    plain("cz", 425, &[1_000, 4_000], &[330, 330], &[165, 165]),
    plain("de", 425, &[1_000, 4_000], &[480, 480], &[240, 240]),
    plain("dk", 425, &[1_000, 4_000], &[500, 500], &[200, 200]),
    plain(
        "es",
        425,
        &[1_500, 3_000],
        &[200, 200],
        &[200, 200, 200, 200, 200, 600],
    ),
    plain("fi", 425, &[1_000, 4_000], &[300, 300], &[200, 200]),
    plain("fr", 440, &[1_500, 3_500], &[500, 500], &[250, 250]),
    Tones {
        country: "ie",
        ringback: cadence([400, 450], TWICE),
        busy: cadence([425, 0], &[500, 500]),
        congestion: cadence([425, 0], &[500, 500]),
    },
    Tones {
        country: "in",
        ringback: cadence([375, 425], TWICE),
        busy: cadence([400, 0], &[750, 750]),
        congestion: cadence([400, 0], &[250, 250]),
    },
    plain("it", 425, &[1_000, 4_000], &[500, 500], &[200, 200]),
    Tones {
        country: "jp",
        ringback: cadence([384, 416], &[1_000, 2_000]),
        busy: cadence([400, 0], &[500, 500]),
        congestion: cadence([400, 0], &[500, 500]),
    },
    plain("mx", 425, &[1_000, 4_000], &[250, 250], &[250, 250]),
    plain("nl", 425, &[1_000, 4_000], &[500, 500], &[250, 250]),
    plain("no", 425, &[1_000, 4_000], &[500, 500], &[200, 200]),
    Tones {
        country: "nz",
        ringback: cadence([400, 450], TWICE),
        busy: cadence([400, 0], &[500, 500]),
        congestion: cadence([400, 0], &[250, 250]),
    },
    plain("pl", 425, &[1_000, 4_000], &[500, 500], &[500, 500]),
    plain("pt", 425, &[1_000, 5_000], &[500, 500], &[200, 200]),
    plain("se", 425, &[1_000, 5_000], &[250, 250], &[250, 750]),
    Tones {
        country: "uk",
        ringback: cadence([400, 450], TWICE),
        busy: cadence([400, 0], &[375, 375]),
        congestion: cadence([400, 0], &[400, 350, 225, 525]),
    },
    Tones {
        country: "us",
        ringback: cadence([440, 480], &[2_000, 4_000]),
        busy: cadence([480, 620], &[500, 500]),
        congestion: cadence([480, 620], &[250, 250]),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tone_is_on_and_off_in_turn() {
        for own in &COUNTRIES {
            for signal in [Signal::Ringback, Signal::Busy, Signal::Congestion] {
                let phases = own.tone(signal).phases;
                assert!(phases.len() >= 2 && phases.len() % 2 == 0, "{own:?}");
                for pair in phases.chunks(2) {
                    assert!(pair[0].hz[0] >= 300 && pair[1].hz == [0, 0], "{own:?}");
                    assert!(pair.iter().all(|phase| phase.ms >= 100), "{own:?}");
                }
            }
        }
    }

    #[test]
    fn countries_sound_as_e_180_says() {
        let of = |country: &str| {
            let tone = Tones::of(country).expect(country).tone(Signal::Ringback);
            let phases = tone.phases.into_iter();
            phases.map(|own| (own.hz, own.ms)).collect::<Vec<_>>()
        };
        assert_eq!(of("us"), [([440, 480], 2_000), ([0, 0], 4_000)]);
        assert_eq!(of("de"), [([425, 0], 1_000), ([0, 0], 4_000)]);
        assert_eq!(
            of("uk"),
            [
                ([400, 450], 400),
                ([0, 0], 200),
                ([400, 450], 400),
                ([0, 0], 2_000)
            ]
        );
        assert!(Tones::of("zz").is_none());
        assert_eq!(Tones::USUAL.country, "eu");
    }
}
