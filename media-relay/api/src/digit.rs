//! DTMF digits: what one is, how the relay sends them and what it does with those that it receives.

use std::fmt;

/// A DTMF digit: `0`–`9`, `*`, `#`, `A`–`D`.
///
/// What somebody dials within a call may be a card number, so its debug form does not show it
/// (MED-226).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digit(u8);

impl Digit {
    /// All of them, in the order of their event codes.
    const SYMBOLS: &[u8; 16] = b"0123456789*#ABCD";

    /// The digit of an event code of RFC 4733 §3.2, 0–15; `None` of any other event.
    pub const fn from_event(event: u8) -> Option<Self> {
        match event {
            0..=15 => Some(Self(event)),
            _ => None,
        }
    }

    /// The digit that a character names, letters in either case.
    pub fn from_char(symbol: char) -> Option<Self> {
        let symbol = u8::try_from(symbol).ok()?.to_ascii_uppercase();
        let at = Self::SYMBOLS.iter().position(|own| *own == symbol)?;
        Self::from_event(u8::try_from(at).ok()?)
    }

    /// Its event code, 0–15.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// Its symbol, letters in upper case.
    pub fn symbol(self) -> char {
        let symbol = Self::SYMBOLS.get(usize::from(self.0));
        symbol.map_or('?', |symbol| char::from(*symbol))
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(<masked>)")
    }
}

/// One digit for an endpoint's peer. Several are sent one after the other, in the order of the
/// commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dialled {
    /// The digit.
    pub digit: Digit,
    /// How long it lasts, in milliseconds; the relay makes an event at least 40, a tone at least 100, and
    /// either at most 6,000 (MED-222).
    pub duration_ms: u16,
    /// How the peer is told.
    pub signal: Signal,
}

/// How a digit travels in media.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    /// As an event of RFC 4733.
    Event,
    /// As two tones in the audio: in G.711, or where only G.722 or Opus is agreed in that.
    Tone,
}

/// What becomes of the digits in an endpoint's media.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Intake {
    /// They go on as they are: events under the joined peer's payload type, tones in the audio.
    #[default]
    Pass,
    /// As [`Self::Pass`], and events are reported as well: when one begins
    /// ([`crate::Event::DigitBegun`]), and at its end.
    Watch,
    /// Events are taken out and reported ([`crate::Event::Digit`]).
    Events,
    /// As [`Self::Pass`], and tones in the audio (G.711, G.722, Opus) are reported as events are by [`Self::Watch`].
    Listen,
    /// Tones are looked for in the audio, made silent and reported. Audio of G.722 and Opus is decoded elsewhere, and what
    /// has gone on of a tone before it is found there stays heard.
    Tones,
}

impl Intake {
    /// Whether digits go on to the joined peer as they are.
    pub const fn lets_pass(self) -> bool {
        match self {
            Self::Pass | Self::Watch | Self::Listen => true,
            Self::Events | Self::Tones => false,
        }
    }

    /// Whether the beginning of a digit is reported: only of those that go on.
    pub const fn tells_begin(self) -> bool {
        match self {
            Self::Watch | Self::Listen => true,
            Self::Pass | Self::Events | Self::Tones => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_has_a_symbol_and_an_event_and_shows_neither() {
        for event in 0..16 {
            let digit = Digit::from_event(event).unwrap();
            assert_eq!(digit.event(), event);
            assert_eq!(Digit::from_char(digit.symbol()), Some(digit));
            assert_eq!(format!("{digit:?}"), "Digit(<masked>)");
        }
        assert_eq!(Digit::from_char('d'), Digit::from_event(15));
        assert_eq!(Digit::from_event(16), None);
        assert_eq!(Digit::from_char('E'), None);
        assert_eq!(Digit::from_char('ä'), None);
    }
}
