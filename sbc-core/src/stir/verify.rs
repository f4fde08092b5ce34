//! The steps of a verification that need nothing but the request and the time (RFC 8224 §6.2,
//! SIP-1106).

use super::address::CredentialUrl;
use super::claims::{Chain, Numbers, Related};
use super::passport::{Kind, Passport, PassportFault};
use super::verdict::{CredentialFault, Fault, Verdict};
use super::{LONGEST_IDENTITY, MOST_IDENTITIES};
use crate::id::TrunkName;
use crate::sip::header::{Header, Identity};
use crate::sip::{HeaderName, Message};
use crate::time::UnixTime;
use bytes::Bytes;
use std::time::Duration;

/// A signature to be checked, with the credential that its signer names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Where the credential is.
    pub url: CredentialUrl,
    /// What is signed.
    pub input: Bytes,
    /// The signature: `r` and `s` of ES256.
    pub signature: [u8; 64],
}

/// What is asked about the signatures of one call: whether all of them are good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifySpec {
    /// Trunk that the call came from.
    pub trunk: TrunkName,
    /// The signatures, that of the caller first; never none.
    pub checks: Vec<Check>,
}

/// The Identity headers of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signatures {
    lines: Vec<Bytes>,
    read: Vec<(Identity, Result<Passport, PassportFault>)>,
    has_unreadable: bool,
    is_too_much: bool,
}

impl Signatures {
    /// Reads those of a request; a bounded number of bounded length.
    pub fn of(message: &Message) -> Self {
        let mut all = Self::default();
        for line in message.raw_all(HeaderName::Identity) {
            if all.lines.len() == MOST_IDENTITIES || line.len() > LONGEST_IDENTITY {
                all.is_too_much = true;
                break;
            }
            match Identity::parse(&line) {
                Ok(identity) => {
                    let passport = Passport::of(&identity);
                    all.read.push((identity, passport));
                }
                Err(_) => all.has_unreadable = true,
            }
            all.lines.push(line);
        }
        all
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.is_too_much
    }

    /// Their values, in order, as they came.
    pub fn lines(&self) -> &[Bytes] {
        match self.is_too_much {
            true => &[],
            false => &self.lines,
        }
    }

    /// Those that can be read, of a caller and of who forwarded the call.
    pub fn chain(&self) -> Option<Chain> {
        let of = |kinds: &'static [Kind]| {
            let all = self
                .read
                .iter()
                .filter_map(|(_, passport)| passport.as_ref().ok());
            all.filter(move |passport| kinds.contains(&passport.kind))
        };
        let caller = of(&[Kind::Shaken])
            .next()
            .or_else(|| of(&[Kind::Plain]).next())?;
        let diversions = of(&[Kind::Div]).cloned().collect();
        Some(Chain::new(caller.clone(), diversions))
    }

    fn identity_of(&self, passport: &Passport) -> Option<&Identity> {
        let mut all = self.read.iter();
        let found = all.find(|(_, own)| own.as_ref().is_ok_and(|own| own == passport));
        found.map(|(identity, _)| identity)
    }

    /// The type that a header says it has, which decides whether it is for us.
    fn is_shaken(identity: &Identity, passport: &Result<Passport, PassportFault>) -> bool {
        let says = identity.ppt().is_some_and(|ppt| &ppt[..] == b"shaken");
        says || passport.as_ref().is_ok_and(|own| own.kind == Kind::Shaken)
    }
}

/// What can be said of a call before any credential is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judged {
    /// Everything.
    Done(Verdict),
    /// The signatures decide: if all are good, this is the verdict.
    Ask(Vec<Check>, Verdict),
}

/// Judges a call by its signatures. The first `shaken` counts; other types are not for us, and a call
/// that has only those is an unsigned one.
pub fn judge(
    signatures: &Signatures,
    message: &Message,
    numbers: &Numbers,
    now: UnixTime,
    window: Duration,
) -> Judged {
    let done = |fault| Judged::Done(Verdict::failed(fault));
    if signatures.is_too_much {
        return done(Fault::TooMuch);
    }
    let mut shaken = signatures.read.iter();
    let shaken = shaken.find(|(identity, passport)| Signatures::is_shaken(identity, passport));
    let (identity, passport) = match shaken {
        Some((identity, Ok(passport))) => (identity, passport),
        Some((_, Err(fault))) => return done(Fault::Passport(*fault)),
        None if signatures.has_unreadable => return done(Fault::Unreadable),
        None => return done(Fault::Missing),
    };
    let verdict = |fault| Verdict {
        fault,
        attest: passport.attest,
        origid: passport.origid.clone(),
    };
    let failed = |fault| Judged::Done(verdict(Some(fault)));
    let date = message
        .raw(HeaderName::Date)
        .map(|date| UnixTime::of_rfc1123(&date));
    let is_date_fresh = match date {
        None => true,
        Some(None) => false,
        Some(Some(date)) => is_fresh(date.as_micros() / 1_000_000, now, window),
    };
    if !is_date_fresh || !is_fresh(passport.iat, now, window) {
        return failed(Fault::Stale);
    }
    if numbers.calling.is_empty() {
        return failed(Fault::Anonymous);
    }
    let Some(chain) = signatures.chain() else {
        return failed(Fault::Unreadable);
    };
    let diversions = match chain.relates(numbers) {
        Related::Same(diversions) => diversions,
        Related::OtherCaller => return failed(Fault::OtherCaller),
        Related::OtherCalled => return failed(Fault::OtherCalled),
    };
    let mut checks = Vec::new();
    let diversions = diversions.iter().filter_map(|at| chain.diversion(*at));
    let diversions = diversions.map(|own| (signatures.identity_of(own), own));
    for (identity, passport) in std::iter::once((Some(identity), passport)).chain(diversions) {
        let Some(identity) = identity.filter(|_| is_fresh(passport.iat, now, window)) else {
            return failed(Fault::Stale);
        };
        let info = identity
            .info()
            .and_then(|info| std::str::from_utf8(info).ok());
        let Some(url) = passport.x5u.as_deref().or(info) else {
            return failed(Fault::NoCredential);
        };
        let Some(url) = CredentialUrl::parse(url) else {
            return failed(Fault::Credential(CredentialFault::Address));
        };
        checks.push(Check {
            url,
            input: identity.signing_input(),
            signature: passport.signature,
        });
    }
    Judged::Ask(checks, verdict(None))
}

/// Whether a time lies within the window before or after now, its ends included.
fn is_fresh(seconds: u64, now: UnixTime, window: Duration) -> bool {
    (now.as_micros() / 1_000_000).abs_diff(seconds) <= window.as_secs()
}
