//! Numbers that nobody is to learn from a record: cut, or each under a name that a key makes (OPS-062).

use super::Record;
use crate::auth::Password;
use crate::cause::Because;
use crate::config::Config;
use serde::Serialize;

/// Digits that are cut from the end of a number.
const CUT: usize = 3;
/// Digits of the shortest run in a text that is taken for a number: ports and times are shorter.
const SHORTEST_IN_TEXT: usize = 7;
/// Octets of a keyed name.
const NAME: usize = 16;

/// How a customer's records show numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum RecordNumbers {
    /// As they are.
    #[default]
    Full,
    /// Without their last three digits.
    Cut,
    /// As a name that only whoever has this key can make of a number, the same each time (HMAC-SHA-256).
    Hashed(Password),
}

/// What became of the numbers in a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptNumbers {
    /// They are as they were.
    #[default]
    Full,
    /// The last three digits of each are missing.
    Cut,
    /// Each is a name.
    Hashed,
}

impl KeptNumbers {
    /// Whether they are as they were.
    pub fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

impl RecordNumbers {
    /// What records say of it.
    pub fn form(&self) -> KeptNumbers {
        match self {
            Self::Full => KeptNumbers::Full,
            Self::Cut => KeptNumbers::Cut,
            Self::Hashed(_) => KeptNumbers::Hashed,
        }
    }

    /// What stands in the place of a number. One of three digits or less is nobody's: it calls for help, or for a
    /// service.
    pub fn instead_of(&self, number: &str) -> String {
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        match self {
            _ if digits <= CUT => number.to_owned(),
            Self::Full => number.to_owned(),
            Self::Cut => cut(number, digits - CUT),
            Self::Hashed(key) => {
                let sum = key.authenticates(number.as_bytes());
                let mut name = String::from("hmac:");
                for octet in sum.iter().take(NAME) {
                    name.push_str(&format!("{octet:02x}"));
                }
                name
            }
        }
    }

    /// A text in which others stand in the place of all numbers.
    fn in_text(&self, text: &str) -> String {
        // What belongs to a longer word is none: a part of a GUID, of a host name, of an address.
        let joins = |c: char| matches!(c, '-' | '.' | '_');
        let comes_before = |c: char| c.is_alphanumeric() || joins(c);
        let goes_on = |text: &str| {
            let text = text.strip_prefix(joins).unwrap_or(text);
            text.starts_with(|c: char| c.is_alphanumeric() || c == '+')
        };
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        let mut before = None;
        while let Some(first) = rest.chars().next() {
            let plus = usize::from(first == '+');
            let digits = rest[plus..].bytes().take_while(u8::is_ascii_digit);
            let length = plus + digits.count();
            let (run, behind) = rest.split_at(length.max(first.len_utf8()));
            let is_whole = !before.is_some_and(comes_before) && !goes_on(behind);
            if length >= SHORTEST_IN_TEXT + plus && is_whole {
                out.push_str(&self.instead_of(run));
            } else {
                out.push_str(run);
            }
            before = run.chars().next_back();
            rest = behind;
        }
        out
    }
}

/// The number with what stands behind its first digits made unreadable.
fn cut(number: &str, kept: usize) -> String {
    let mut digits = 0;
    let shown = number.chars().map(|c| {
        digits += usize::from(c.is_ascii_digit());
        match c.is_ascii_digit() && digits > kept {
            true => 'x',
            false => c,
        }
    });
    shown.collect()
}

impl Record {
    /// Makes of it what is to be kept, as its customer wants that now.
    pub(crate) fn kept(mut self, config: &Config) -> Self {
        let tenant = self.tenant.as_ref();
        if let Some(tenant) = tenant.and_then(|tenant| config.tenants.get(tenant)) {
            self.hide_numbers(&tenant.record_numbers);
        }
        self
    }

    /// Takes the numbers out of it, and the caller's name.
    fn hide_numbers(&mut self, numbers: &RecordNumbers) {
        if numbers.form().is_full() || !self.numbers.is_full() {
            return;
        }
        self.numbers = numbers.form();
        self.calling_name = None;
        let own = [
            &mut self.calling_raw,
            &mut self.called_raw,
            &mut self.calling,
            &mut self.called,
        ];
        let told = [self.asserted.as_mut(), self.diverting.as_mut()];
        let elin = self.place.as_mut().and_then(|place| place.elin.as_mut());
        let called = self.egress.iter_mut().map(|own| &mut own.called);
        let came = self.parties.iter_mut().map(|own| &mut own.number);
        let all = own
            .into_iter()
            .chain(told.into_iter().flatten())
            .chain(elin)
            .chain(called)
            .chain(came);
        for number in all {
            *number = numbers.instead_of(number);
        }
        let why = [&mut self.cause.because, &mut self.route];
        let transferred = self.transfers.iter_mut().map(|own| &mut own.because);
        for Because(facts, _) in why.into_iter().chain(transferred) {
            for fact in facts {
                *fact = numbers.in_text(fact);
            }
        }
        let targets = self.transfers.iter_mut().map(|own| &mut own.target);
        let said = self.egress.iter_mut().flat_map(|own| {
            [
                own.phrase.as_mut(),
                own.warning.as_mut(),
                own.reason.as_mut(),
            ]
        });
        for text in targets.chain(said.flatten()) {
            *text = numbers.in_text(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed() -> RecordNumbers {
        RecordNumbers::Hashed(Password::new(b"key".to_vec()))
    }

    #[test]
    fn a_number_loses_its_last_digits_or_has_a_name_that_only_the_key_makes() {
        let cut = |number: &str| RecordNumbers::Cut.instead_of(number);
        assert_eq!(cut("+15550100123"), "+15550100xxx");
        assert_eq!(cut("tel: 0555-0101"), "tel: 0555-0xxx");
        assert_eq!(cut("1234"), "1xxx");
        assert_eq!(cut("112"), "112");
        assert_eq!(cut("alice"), "alice");
        assert_eq!(RecordNumbers::Full.instead_of("+15550100"), "+15550100");
        // By `printf %s +15550100 | openssl dgst -sha256 -hmac key`.
        let name = hashed().instead_of("+15550100");
        assert_eq!(name, "hmac:d3ae59259ab0d4f49896d0bcb4befbe4");
        assert_eq!(name, hashed().instead_of("+15550100"));
        let other = RecordNumbers::Hashed(Password::new(b"yek".to_vec()));
        assert_ne!(name, other.instead_of("+15550100"));
    }

    #[test]
    fn numbers_in_texts_are_hidden_and_addresses_ports_and_guids_are_not() {
        let text = |text: &str| RecordNumbers::Cut.in_text(text);
        assert_eq!(
            text("\"+15550100123\" is in +15550100-+15550199"),
            "\"+15550100xxx\" is in +15550100-+15550199"
        );
        assert_eq!(
            text("<sip:+15550100@192.0.2.1:50601>"),
            "<sip:+15550xxx@192.0.2.1:50601>"
        );
        assert_eq!(text("nobody has 15550100."), "nobody has 15550xxx.");
        for same in [
            "no answer within 30000 ms",
            "11111111-2222-3333-4444-555555555555",
            "é 2001:db8::1 to sbc15550100.example.com",
            "",
        ] {
            assert_eq!(text(same), same);
        }
    }
}
