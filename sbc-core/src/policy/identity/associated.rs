//! What a registrar lets us say who calls: P-Associated-URI (RFC 3455 §4.1, SIP-1623).
//!
//! An identity that the registrar did not name would be struck out or refused by its network. The
//! first one that it named is the one that the network itself would put there. What From shows is not
//! touched: whether it is screened is the provider's affair.

use super::Outgoing;
use crate::cause::Because;
use crate::sip::header::PAssertedIdentity;
use crate::sip::{NameAddr, Uri};
use bytes::Bytes;

/// Holds the identities of an INVITE against those that the registrar has for us. Without any,
/// nothing is known.
pub fn hold(out: &mut Outgoing, associated: &[String], because: &mut Because) {
    let known: Vec<Uri> = associated
        .iter()
        .filter_map(|text| Uri::parse(text.clone()).ok())
        .collect();
    // A pattern is nobody's identity.
    let is_pattern = |uri: &&Uri| user_of(uri).is_some_and(|user| user.contains(&b'!'));
    let Some(usual) = known.iter().find(|uri| !is_pattern(uri)) else {
        return;
    };
    let mut replaced = None;
    let mut held = |address: &mut NameAddr| {
        if known.iter().any(|own| covers(own, &address.uri)) {
            return;
        }
        replaced = Some(address.uri.clone());
        // A name belongs to the identity that it stood with.
        *address = NameAddr::new(usual.clone());
    };
    out.asserted
        .iter_mut()
        .for_each(|one| held(&mut one.0.addr));
    out.preferred
        .iter_mut()
        .for_each(|one| held(&mut one.0.addr));
    out.remote_party
        .iter_mut()
        .for_each(|one| held(&mut one.0.addr));
    let mut seen: Vec<PAssertedIdentity> = Vec::with_capacity(out.asserted.len());
    out.asserted.retain(|one| {
        let is_new = !seen.contains(one);
        seen.push(one.clone());
        is_new
    });
    if let Some(replaced) = replaced {
        let text = |uri: &Uri| String::from_utf8_lossy(&uri.to_bytes()).into_owned();
        because.0.push(format!(
            "the registrar has no {} for us, {} is asserted instead",
            text(&replaced),
            text(usual)
        ));
    }
}

/// Whether an identity of the registrar is, or with the pattern of an extended wildcard covers, the
/// one that we would assert. Numbers are compared without regard to the host and the scheme: a
/// network writes the same number in both forms.
fn covers(own: &Uri, asserted: &Uri) -> bool {
    let (Some(own), Some(asserted)) = (user_of(own), user_of(asserted)) else {
        return own.is_equivalent(asserted);
    };
    // `+4930123!.*!` stands for all numbers that begin so.
    match own.iter().position(|octet| *octet == b'!') {
        Some(end) => asserted.starts_with(own.get(..end).unwrap_or_default()),
        None => own == asserted,
    }
}

fn user_of(uri: &Uri) -> Option<Bytes> {
    match uri {
        Uri::Tel(tel) => Some(tel.number().clone()),
        Uri::Sip(_) | Uri::Other(_) => uri.user().cloned(),
    }
}
