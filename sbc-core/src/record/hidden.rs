//! Numbers that nobody is to learn from a record: cut, or each under a name that a key makes (OPS-062).

use super::{Custom, Record};
use crate::auth::Password;
use crate::cause::Because;
use crate::config::{Config, is_prefix};
use crate::report::is_guid;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Digits that are cut from the end of a number.
const CUT: usize = 3;
/// Digits of the shortest run in a text that is taken for a number, whether the record has it or not: ports and
/// times are shorter.
const SHORTEST_IN_TEXT: usize = 7;
/// Digits of the longest number (E.164): a run that has more is none, or several.
const LONGEST: usize = 15;
/// Characters of a GUID.
const GUID: usize = 36;
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
        // What stands behind it is a host.
        let (user, host) = number.split_at(number.find('@').unwrap_or(number.len()));
        let digits: usize = groups(user).iter().map(Vec::len).sum();
        match self {
            _ if digits <= CUT => number.to_owned(),
            Self::Full => number.to_owned(),
            Self::Cut => cut(user) + host,
            Self::Hashed(key) => named(key, user) + host,
        }
    }

    /// What stands in the place of a part of a number, which may be any: nothing where its last digits are to be missing.
    fn instead_of_part(&self, part: &str) -> Option<String> {
        match self {
            Self::Full => Some(part.to_owned()),
            Self::Cut => None,
            Self::Hashed(key) => Some(named(key, part)),
        }
    }

    /// What is told of the beginning of this number that a rate has, unless it is a name: where digits are to be missing,
    /// one that has none of those.
    fn of_prefix(&self, prefix: &str, number: &str) -> bool {
        match self {
            _ if !is_prefix(prefix) => true,
            Self::Full => true,
            Self::Cut => self.instead_of(number).starts_with(prefix),
            Self::Hashed(_) => false,
        }
    }

    /// As [`Self::instead_of`], of a number as a text has it: its name is the same however it is written.
    fn instead_of_written(&self, written: &str) -> String {
        let plain = written.replace("%2B", "+").replace("%2b", "+");
        let is_plain = |c: char| c.is_ascii_digit() || c == '+' || is_between(c);
        match self {
            Self::Hashed(_) if plain.chars().all(is_plain) => {
                let plain = plain.chars().filter(|c| !is_between(*c));
                self.instead_of(&plain.collect::<String>())
            }
            _ => self.instead_of(written),
        }
    }

    /// Takes the numbers out of the operator's own values. One with digits of a number may have any part of it; any other is
    /// the operator's own word, in which only a number of this very call is one.
    fn hide_custom(&self, custom: &mut Custom, known: &[String]) {
        custom.0.retain_mut(|own| {
            if own.has_digits {
                let instead = self.instead_of_part(&own.value);
                own.value = instead.unwrap_or_default();
                return !own.value.is_empty();
            }
            let is_there = known.iter().any(|digits| own.value.contains(digits));
            if is_there || is_written_in(&own.value, known) {
                own.value = self.in_text(&own.value, known);
                // With something between its digits that no text has there.
                if is_written_in(&own.value, known) {
                    let instead = self.instead_of_part(&own.value);
                    own.value = instead.unwrap_or_default();
                }
            }
            !own.value.is_empty()
        });
    }

    /// A text in which others stand in the place of all numbers: of these, whatever their form, and of what looks
    /// like one.
    fn in_text(&self, text: &str, known: &[String]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(first) = text[at..].chars().next() {
            let (before, rest) = text.split_at(at);
            let number = number_at(before, rest, known);
            let length = match number {
                Some(length) => length,
                None if is_guid_at(before, rest) => GUID,
                // The other digits of a run are no beginning of a number.
                None => {
                    let plus = plus_of(rest);
                    first.len_utf8().max(plus + digits_of(&rest[plus..]))
                }
            };
            let run = &rest[..length];
            match number {
                Some(_) => out.push_str(&self.instead_of_written(run)),
                None => out.push_str(run),
            }
            at += length;
        }
        out
    }
}

/// The name that a key makes of a text.
fn named(key: &Password, text: &str) -> String {
    let sum = key.authenticates(text.as_bytes());
    let mut name = String::from("hmac:");
    for octet in sum.iter().take(NAME) {
        name.push_str(&format!("{octet:02x}"));
    }
    name
}

/// Whether one of these numbers stands in a text, if it is a long one, whatever is between its digits.
fn is_written_in(text: &str, known: &[String]) -> bool {
    let digits: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
    let mut long = known.iter().filter(|own| own.len() >= SHORTEST_IN_TEXT);
    long.any(|own| digits.contains(own.as_str()))
}

/// What is written between the digits of a number (RFC 3966), or is put there by hand.
fn is_between(c: char) -> bool {
    is_separator(c) || c == ' '
}

/// Visual separators (RFC 3966 §3).
fn is_separator(c: char) -> bool {
    matches!(c, '-' | '.' | '(' | ')')
}

/// Digits, all ASCII, with which a text begins.
fn digits_of(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Octets of the `+` with which a number begins, escaped or not.
fn plus_of(text: &str) -> usize {
    match text.as_bytes() {
        [b'+', ..] => 1,
        [b'%', b'2', b'B' | b'b', ..] => 3,
        _ => 0,
    }
}

/// Whether a GUID begins here: no digits of it are a number's.
fn is_guid_at(before: &str, rest: &str) -> bool {
    let belongs = |c: char| c.is_alphanumeric();
    rest.get(..GUID).is_some_and(is_guid)
        && !before.ends_with(belongs)
        && !rest[GUID..].starts_with(belongs)
}

/// The length of the number that begins here in a text, if one does.
fn number_at(before: &str, rest: &str, known: &[String]) -> Option<usize> {
    if is_guid_at(before, rest) {
        return None;
    }
    if let Some(length) = user_at(before, rest) {
        return Some(length);
    }
    let plus = plus_of(rest);
    if !before.ends_with(|c: char| c.is_ascii_digit()) {
        let found = known.iter().find_map(|own| begins_with(&rest[plus..], own));
        if let Some(length) = found {
            return Some(plus + length);
        }
    }
    // What belongs to a longer word is none: a part of a host name, of an address.
    let joins = |c: char| matches!(c, '-' | '.' | '_');
    if before.ends_with(|c: char| c.is_alphanumeric() || joins(c)) {
        return None;
    }
    let is_whole = |length: usize| {
        let behind = &rest[length..];
        let behind = behind.strip_prefix(joins).unwrap_or(behind);
        !behind.starts_with(|c: char| c.is_alphanumeric() || c == '+')
    };
    let is_of_run = |c: &char| c.is_ascii_digit() || is_separator(*c);
    let run = rest[plus..].chars().take_while(is_of_run).count();
    let run = rest[plus..plus + run].trim_end_matches(is_separator);
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    if plus > 0 && (SHORTEST_IN_TEXT..=LONGEST).contains(&digits) && is_whole(plus + run.len()) {
        return Some(plus + run.len());
    }
    let digits = digits_of(&rest[plus..]);
    (digits >= SHORTEST_IN_TEXT && is_whole(plus + digits)).then_some(plus + digits)
}

/// The length of the user part, or of the number, of a URI whose scheme stands before it.
fn user_at(before: &str, rest: &str) -> Option<usize> {
    let is_of = |scheme: &str| {
        let from = before.len().checked_sub(scheme.len());
        let end = from.and_then(|from| before.get(from..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    };
    let is_end = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'' | ',');
    let uri = rest.split(is_end).next().unwrap_or_default();
    let user = if is_of("sip:") || is_of("sips:") {
        uri.split_once('@')?.0
    } else if is_of("tel:") {
        uri.trim_end_matches(['.', ')', ':', ';'])
    } else {
        return None;
    };
    (!user.is_empty() && !is_guid(user)).then_some(user.len())
}

/// The length of a number with these digits, if the text begins with it. A long one may be written with something
/// between them; of a short one that could be anything.
fn begins_with(text: &str, digits: &str) -> Option<usize> {
    let is_long = digits.len() >= SHORTEST_IN_TEXT;
    let mut wanted = digits.chars().peekable();
    let mut length = 0;
    for c in text.chars() {
        match wanted.peek() {
            None => return (!c.is_ascii_digit()).then_some(length),
            Some(own) if *own == c => {
                wanted.next();
            }
            Some(_) if is_long && length > 0 && is_between(c) => {}
            Some(_) => return None,
        }
        length += c.len_utf8();
    }
    wanted.peek().is_none().then_some(length)
}

/// Where the digits of a number stand, those apart that are of other parts of it: letters, `;` and `=` end one,
/// what else is between them does not. An escaped digit is one.
fn groups(text: &str) -> Vec<Vec<Range<usize>>> {
    let (mut all, mut group, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(first) = text[at..].chars().next() {
        let is_hex = |hex: &&str| first == '%' && hex.bytes().all(|own| own.is_ascii_hexdigit());
        let escaped = text.get(at + 1..at + 3).filter(is_hex);
        let escaped = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let (c, length) = match escaped {
            Some(octet) => (char::from(octet), 3),
            None => (first, first.len_utf8()),
        };
        if c.is_ascii_digit() {
            group.push(at..at + length);
        } else if c.is_alphabetic() || matches!(c, ';' | '=') {
            all.push(std::mem::take(&mut group));
        }
        at += length;
    }
    all.push(group);
    all
}

/// The number with the last digits of each of its parts made unreadable.
fn cut(number: &str) -> String {
    let (mut out, mut from) = (String::with_capacity(number.len()), 0);
    let groups = groups(number).into_iter();
    for group in groups.filter(|group| group.len() > CUT) {
        let kept = group.len() - CUT;
        for digit in group.into_iter().skip(kept) {
            out.push_str(&number[from..digit.start]);
            out.push('x');
            from = digit.end;
        }
    }
    out.push_str(&number[from..]);
    out
}

/// Whether a transfer's target is a number or a user, and neither a URI nor the name of another call.
fn is_bare(target: &str) -> bool {
    let is_call = target.len() == 32 && target.bytes().all(|octet| octet.is_ascii_hexdigit());
    !is_call && !target.contains([':', '<'])
}

/// The number or user that a transfer's target names.
fn user_of(target: &str) -> Option<&str> {
    if is_bare(target) {
        return Some(target);
    }
    let (scheme, rest) = target.split_once(':')?;
    let end = rest.find(['@', '>']);
    let is_tel = scheme.trim_start_matches('<').eq_ignore_ascii_case("tel");
    // Without @ it is a host.
    let has_user = is_tel || end.is_some_and(|end| rest[end..].starts_with('@'));
    has_user.then(|| &rest[..end.unwrap_or(rest.len())])
}

impl Record {
    /// Makes of it what is to be kept, as its customer wants that now.
    pub(crate) fn kept(mut self: Arc<Self>, config: &Config) -> Arc<Self> {
        // Nobody says how a customer wants it that is gone since, by a reload, and its calls are not.
        let gone = RecordNumbers::Cut;
        if let Some(tenant) = &self.tenant {
            let tenant = config.tenants.get(tenant);
            let numbers = tenant.map_or(&gone, |tenant| &tenant.record_numbers);
            if !numbers.form().is_full() {
                Arc::make_mut(&mut self).hide_numbers(numbers);
            }
        }
        self
    }

    /// The digits of all numbers that it has, the longest first.
    fn known_digits(&self) -> Vec<String> {
        let own = [
            &self.calling_raw,
            &self.called_raw,
            &self.calling,
            &self.called,
        ];
        let told = [
            self.asserted.as_ref(),
            self.diverting.as_ref(),
            self.charged_party.as_ref(),
        ];
        let elin = self.place.as_ref().and_then(|place| place.elin.as_ref());
        let all = own
            .into_iter()
            .chain(told.into_iter().flatten())
            .chain(elin)
            .chain(self.egress.iter().map(|own| &own.called))
            .chain(self.parties.iter().map(|own| &own.number));
        let targets = self.transfers.iter();
        let targets = targets.filter_map(|own| user_of(&own.target));
        let mut found = BTreeSet::new();
        for number in all.map(String::as_str).chain(targets) {
            for group in groups(number).into_iter().filter(|own| own.len() > CUT) {
                // Of an escaped digit the last character is the digit.
                let digits = group.iter().map(|own| &number[own.end - 1..own.end]);
                found.insert(digits.collect::<String>());
            }
        }
        let mut found = Vec::from_iter(found);
        found.sort_by_key(|digits| std::cmp::Reverse(digits.len()));
        found
    }

    /// Takes the numbers out of it, and the caller's name.
    fn hide_numbers(&mut self, numbers: &RecordNumbers) {
        if numbers.form().is_full() || !self.numbers.is_full() {
            return;
        }
        let known = self.known_digits();
        self.numbers = numbers.form();
        self.calling_name = None;
        // It may say anything of anybody, in any form.
        self.user_to_user = None;
        let called = &self.called;
        self.prefix_id
            .take_if(|prefix| !numbers.of_prefix(prefix, called));
        numbers.hide_custom(&mut self.custom, &known);
        for attempt in &mut self.egress {
            numbers.hide_custom(&mut attempt.custom, &known);
        }
        let own = [
            &mut self.calling_raw,
            &mut self.called_raw,
            &mut self.calling,
            &mut self.called,
        ];
        let told = [
            self.asserted.as_mut(),
            self.diverting.as_mut(),
            self.charged_party.as_mut(),
        ];
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
                *fact = numbers.in_text(fact, &known);
            }
        }
        for target in self.transfers.iter_mut().map(|own| &mut own.target) {
            *target = match is_bare(target) {
                true => numbers.instead_of(target),
                false => numbers.in_text(target, &known),
            };
        }
        let said = self.egress.iter_mut().flat_map(|own| {
            [
                own.phrase.as_mut(),
                own.warning.as_mut(),
                own.reason.as_mut(),
            ]
        });
        for text in said.flatten().chain(&mut self.end_reason) {
            *text = numbers.in_text(text, &known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CustomValue;
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
        // Each part of a user part with parameters, and what is escaped in it.
        assert_eq!(
            cut("+15550100123;npdi;rn=+15550109999"),
            "+15550100xxx;npdi;rn=+15550109xxx"
        );
        assert_eq!(cut("+15550100123;ext=1234"), "+15550100xxx;ext=1xxx");
        assert_eq!(cut("%2B15550100123%3Bext=12"), "%2B15550100xxx%3Bext=12");
        assert_eq!(cut("%2B112"), "%2B112");
        assert_eq!(cut("1555010%31%32%33"), "1555010xxx");
        assert_eq!(cut("1234@192.0.2.1:5060"), "1xxx@192.0.2.1:5060");
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
        let text = |text: &str| RecordNumbers::Cut.in_text(text, &[]);
        assert_eq!(
            text("\"+15550100123\" is in +15550100-+15550199"),
            "\"+15550100xxx\" is in +15550100-+15550199"
        );
        assert_eq!(
            text("<sip:+15550100@192.0.2.1:50601>"),
            "<sip:+15550xxx@192.0.2.1:50601>"
        );
        assert_eq!(text("nobody has 15550100."), "nobody has 15550xxx.");
        assert_eq!(text("to +1-555-010-0199"), "to +1-555-010-0xxx");
        assert_eq!(text("(+1(555)010.0199)."), "(+1(555)010.0xxx).");
        assert_eq!(text("to=%2B15550100199&x"), "to=%2B15550100xxx&x");
        assert_eq!(text("<tel:1234>"), "<tel:1xxx>");
        assert_eq!(
            text("SIP:1234;ext=5678@192.0.2.1"),
            "SIP:1xxx;ext=5xxx@192.0.2.1"
        );
        for same in [
            "no answer within 30000 ms",
            "11111111-2222-3333-4444-555555555555",
            "é 2001:db8::1 to sbc15550100.example.com",
            "sip:192.0.2.1:5060 and sip:11111111-2222-3333-4444-555555555555@x",
            "",
        ] {
            assert_eq!(text(same), same);
        }
    }

    #[test]
    fn what_the_record_has_is_hidden_in_texts_however_short_or_written() {
        let known = ["15550100199", "1234"].map(str::to_owned);
        let text = |text: &str| RecordNumbers::Cut.in_text(text, &known);
        assert_eq!(text("from \"a\" to 1234"), "from \"a\" to 1xxx");
        assert_eq!(text("1 555 010 0199 was asked"), "1 555 010 0xxx was asked");
        assert_eq!(text("x+15550100199y"), "x+15550100xxxy");
        for same in [
            "12345 and 51234",
            "1-234",
            "ABCDEF00-1234-1234-1234-555555555555",
        ] {
            assert_eq!(text(same), same);
        }
        let name = hashed().instead_of("+15550100199");
        for written in ["+15550100199", "+1-555-010-0199", "%2B15550100199"] {
            assert_eq!(hashed().in_text(written, &known), name);
            assert_eq!(hashed().in_text(written, &[]), name);
        }
    }

    #[test]
    fn a_target_is_a_number_a_uri_or_another_call() {
        assert_eq!(user_of("1234"), Some("1234"));
        assert_eq!(user_of("<sip:1234@192.0.2.1:5060>"), Some("1234"));
        assert_eq!(user_of("tel:+15550100"), Some("+15550100"));
        assert_eq!(user_of("sip:192.0.2.1:5060"), None);
        assert_eq!(user_of("00000000000000000000000000012345"), None);
    }

    #[test]
    fn a_beginning_is_told_where_it_has_no_digit_that_is_cut() {
        let told = |prefix: &str, number: &str| RecordNumbers::Cut.of_prefix(prefix, number);
        assert!(told("+4930", "+493023125456"));
        assert!(told("+493023125", "+493023125456"));
        assert!(!told("+4930231254", "+493023125456"));
        // Each part of a number is cut, and a number of three digits is not.
        assert!(!told("1234", "1234;ext=12345678"));
        assert!(told("1", "1234;ext=12345678"));
        assert!(told("112", "112"));
        assert!(told("berlin", "+493023125456"));
        assert!(!hashed().of_prefix("+4930", "+493023125456"));
    }

    #[test]
    fn values_of_the_operators_own_have_no_number_of_the_call_however_it_is_written() {
        let known = ["493023125456", "1234"].map(str::to_owned);
        let hide = |numbers: &RecordNumbers, value: &str| {
            let own = CustomValue {
                name: "own".to_owned(),
                value: value.to_owned(),
                has_digits: false,
            };
            let mut custom = Custom(vec![own]);
            numbers.hide_custom(&mut custom, &known);
            custom.get("own").map(str::to_owned)
        };
        let cut = |value: &str| hide(&RecordNumbers::Cut, value);
        let told = |value: &str| Some(value.to_owned());
        assert_eq!(cut("for +49 30 23125456"), told("for +49 30 23125xxx"));
        assert_eq!(cut("+49-(30)-2312.5456"), told("+49-(30)-2312.5xxx"));
        assert_eq!(cut("ext 1234"), told("ext 1xxx"));
        // What no number has between its digits is no reason to show it.
        assert_eq!(cut("49/3023/125456"), None);
        let name = hide(&hashed(), "49/3023/125456").unwrap();
        assert!(name.starts_with("hmac:"), "{name}");
        let name = hide(&hashed(), "for +49 30 23125456").unwrap();
        let wanted = format!("for {}", hashed().instead_of("+493023125456"));
        assert_eq!(name, wanted);
        for same in ["987654321", "30-4711", "51234 at 12:34", "4930 a 23125456"] {
            assert_eq!(cut(same), told(same), "{same}");
        }
    }
}
