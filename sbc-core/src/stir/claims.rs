//! Whether what is signed is about this very call: who calls, who is called, and by way of whom
//! (RFC 8224 §6.2, RFC 8946 §5).

use super::number::Tn;
use super::passport::{Kind, Party, Passport};
use crate::sip::header::{From, PAssertedIdentity, To};
use crate::sip::{Message, Uri};

/// The numbers that a request shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Numbers {
    /// Who calls: P-Asserted-Identity where it counts, else From.
    pub calling: Vec<Tn>,
    /// To.
    pub to: Option<Tn>,
    /// Whoever is called in the end: the Request-URI.
    pub called: Option<Tn>,
}

impl Numbers {
    /// Reads those of a request. P-Asserted-Identity counts only of a peer that is trusted to assert.
    pub fn of(message: &Message, is_trusted: bool, called: Option<Tn>) -> Self {
        let asserted = match is_trusted {
            true => message.list::<PAssertedIdentity>().unwrap_or_default(),
            false => Vec::new(),
        };
        let from = message.essential::<From>().ok().flatten();
        let from = from.map(|from| from.0.uri());
        let to = message.essential::<To>().ok().flatten();
        Self {
            calling: calling(asserted.iter().map(|value| value.uri()), from),
            to: to.and_then(|to| Tn::of(to.0.uri())),
            called,
        }
    }
}

/// The numbers of a caller: those that are asserted, if anything is, else that of From.
pub(super) fn calling<'a>(
    asserted: impl Iterator<Item = &'a Uri>,
    from: Option<&'a Uri>,
) -> Vec<Tn> {
    let mut asserted = asserted.peekable();
    match asserted.peek() {
        Some(_) => asserted.filter_map(Tn::of).collect(),
        None => from.and_then(Tn::of).into_iter().collect(),
    }
}

/// What the signatures of a request say together: one of the caller, and those of everybody who
/// forwarded the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    caller: Passport,
    diversions: Vec<Passport>,
}

/// How a call relates to what is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Related {
    /// It is that call; these diversions (by their position) led to who is called.
    Same(Vec<usize>),
    /// Somebody else calls.
    OtherCaller,
    /// Somebody else is called.
    OtherCalled,
}

impl Chain {
    /// A chain.
    pub fn new(caller: Passport, diversions: Vec<Passport>) -> Self {
        Self { caller, diversions }
    }

    /// The caller's.
    pub fn caller(&self) -> &Passport {
        &self.caller
    }

    /// The diversion at a position.
    pub fn diversion(&self, at: usize) -> Option<&Passport> {
        self.diversions.get(at)
    }

    /// Whether a request with these numbers is the call that was signed.
    ///
    /// To must be somebody whom the caller called, or whom a diversion led to. Whoever is called in the
    /// end must be, too: otherwise a signed request could be repeated towards somebody else (SIP-1106).
    pub fn relates(&self, numbers: &Numbers) -> Related {
        let Party::Number(orig) = &self.caller.orig else {
            return Related::OtherCaller;
        };
        if !numbers.calling.contains(orig) {
            return Related::OtherCaller;
        }
        let names = |passport: &Passport, number: &Tn| {
            let mut dest = passport.dest.iter();
            dest.any(|own| matches!(own, Party::Number(own) if own == number))
        };
        // What is no number is none that was signed, wherever it leads.
        let Some(wanted) = &numbers.called else {
            return Related::OtherCalled;
        };
        let mut is_to_known = numbers.to.as_ref().is_none_or(|to| names(&self.caller, to));
        let (mut current, mut used) = (&self.caller, Vec::new());
        while !names(current, wanted) {
            let mut diversions = self.diversions.iter().enumerate();
            let next = diversions.find(|(at, own)| {
                let led_on = own
                    .div
                    .as_ref()
                    .is_some_and(|before| names(current, before));
                own.kind == Kind::Div
                    && led_on
                    && own.orig == self.caller.orig
                    && !used.contains(at)
            });
            let Some((at, diversion)) = next else {
                return Related::OtherCalled;
            };
            used.push(at);
            current = diversion;
            is_to_known |= numbers.to.as_ref().is_some_and(|to| names(current, to));
        }
        match is_to_known {
            true => Related::Same(used),
            false => Related::OtherCalled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tn(text: &str) -> Tn {
        Tn::parse(text).expect("a number")
    }

    fn passport(kind: Kind, orig: &str, dest: &[&str], div: Option<&str>) -> Passport {
        Passport {
            kind,
            x5u: None,
            iat: 0,
            orig: Party::Number(tn(orig)),
            dest: dest.iter().map(|own| Party::Number(tn(own))).collect(),
            div: div.map(tn),
            attest: None,
            origid: None,
            signature: [0; 64],
        }
    }

    fn call(calling: &str, to: Option<&str>, called: Option<&str>) -> Numbers {
        Numbers {
            calling: vec![tn(calling)],
            to: to.map(tn),
            called: called.map(tn),
        }
    }

    #[test]
    fn a_call_is_the_one_that_was_signed_or_is_not() {
        let chain = Chain::new(passport(Kind::Shaken, "1", &["2", "3"], None), vec![]);
        let same = Related::Same(vec![]);
        assert_eq!(chain.relates(&call("1", Some("2"), Some("2"))), same);
        assert_eq!(chain.relates(&call("1", Some("2"), Some("3"))), same);
        assert_eq!(chain.relates(&call("1", None, Some("2"))), same);
        assert_eq!(
            chain.relates(&call("9", Some("2"), Some("2"))),
            Related::OtherCaller
        );
        // To is what anybody may write; where the call goes must be signed as well.
        assert_eq!(
            chain.relates(&call("1", Some("2"), Some("9"))),
            Related::OtherCalled
        );
        assert_eq!(
            chain.relates(&call("1", Some("9"), Some("2"))),
            Related::OtherCalled
        );
        assert_eq!(
            chain.relates(&call("1", Some("2"), None)),
            Related::OtherCalled
        );
        assert_eq!(chain.relates(&call("1", None, None)), Related::OtherCalled);
        let hidden = Numbers::default();
        assert_eq!(chain.relates(&hidden), Related::OtherCaller);
    }

    #[test]
    fn diversions_lead_from_who_was_called_to_who_is() {
        let div = |orig, before, after| passport(Kind::Div, orig, &[after], Some(before));
        let caller = passport(Kind::Shaken, "1", &["2"], None);
        let chain = |divs| Chain::new(caller.clone(), divs);
        // In any order, and with one that has nothing to do with it.
        let two = chain(vec![
            div("1", "3", "4"),
            div("1", "7", "8"),
            div("1", "2", "3"),
        ]);
        assert_eq!(
            two.relates(&call("1", Some("2"), Some("4"))),
            Related::Same(vec![2, 0])
        );
        assert_eq!(
            two.relates(&call("1", Some("4"), Some("4"))),
            Related::Same(vec![2, 0])
        );
        assert_eq!(
            two.relates(&call("1", Some("2"), Some("8"))),
            Related::OtherCalled
        );
        let of_another = chain(vec![div("5", "2", "4")]);
        assert_eq!(
            of_another.relates(&call("1", Some("2"), Some("4"))),
            Related::OtherCalled
        );
        let circle = chain(vec![div("1", "2", "3"), div("1", "3", "2")]);
        assert_eq!(
            circle.relates(&call("1", Some("2"), Some("4"))),
            Related::OtherCalled
        );
        let no_div = chain(vec![passport(Kind::Shaken, "1", &["4"], Some("2"))]);
        assert_eq!(
            no_div.relates(&call("1", Some("2"), Some("4"))),
            Related::OtherCalled
        );
    }
}
