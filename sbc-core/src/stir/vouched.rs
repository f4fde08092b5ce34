//! What goes on to the called side: the signatures, if they still say who calls whom there, and what
//! came of their verification.

use super::claims::{Chain, Numbers, Related};
use super::number::Tn;
use super::verify::Signatures;
use super::verstat::Verstat;
use crate::sip::header::PAssertedIdentity;
use crate::sip::{NameAddr, Uri};
use bytes::Bytes;

/// What a call brings for its called side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vouched {
    lines: Vec<Bytes>,
    chain: Option<Chain>,
    /// The numbers of the INVITE that came.
    arrived: Numbers,
    /// What is told beside the caller's number, where somebody has looked into it.
    pub verstat: Option<Verstat>,
}

impl Vouched {
    /// What an INVITE brings; `None` if that is nothing.
    pub fn of(signatures: &Signatures, arrived: Numbers, verstat: Option<Verstat>) -> Option<Self> {
        let is_nothing = signatures.lines().is_empty() && verstat.is_none();
        (!is_nothing).then(|| Self {
            lines: signatures.lines().to_vec(),
            chain: signatures.chain(),
            arrived,
            verstat,
        })
    }

    /// Whether a number is one of those that the caller came with.
    pub fn is_caller(&self, number: &Tn) -> bool {
        self.arrived.calling.contains(number)
    }

    /// Whether there are signatures to be passed on.
    pub fn is_signed(&self) -> bool {
        !self.lines.is_empty()
    }

    /// The signatures for an INVITE that says this of its parties; `None` if they would say something
    /// else than it does. A good signature that comes with another number is worse than none.
    ///
    /// Equal is what is canonically equal (RFC 8224 §8.3). What did not fit on its way in goes on as it
    /// came, too: who looks into it has to see that it is wrong. An anonymous caller has no number that
    /// could be signed, and the signature would give it away (SIP-1010).
    pub fn lines_for(
        &self,
        asserted: &[PAssertedIdentity],
        from: &NameAddr,
        to: &Uri,
    ) -> Option<&[Bytes]> {
        let asserted = asserted.iter().map(|value| value.uri());
        let to = Tn::of(to);
        let leaving = Numbers {
            calling: super::claims::calling(asserted, Some(&from.uri)),
            called: to.clone(),
            to,
        };
        let is_same = leaving.to.is_some()
            && leaving.to == self.arrived.to
            && !leaving.calling.is_empty()
            && leaving.calling == self.arrived.calling;
        let fits = |chain: &Chain| matches!(chain.relates(&leaving), Related::Same(_));
        let passes = is_same || self.chain.as_ref().is_some_and(fits);
        passes.then_some(&self.lines)
    }
}
