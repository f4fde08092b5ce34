//! How a REGISTER is written (RFC 3261 §10.2, RFC 5626 §4.2, RFC 6140 §5.2).

use crate::config::{Gin, Listener, Registration, UriScheme};
use crate::session::LegStyle;
use crate::sip::header::{
    CSeq, CallId, Contact, Expires, From, MaxForwards, OptionTag, ProxyRequire, Require, Supported,
    To,
};
use crate::sip::{Host, Method, PlainValue, QuotedText, RequestBuilder, SipUri, Token, Uri, Value};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// What one REGISTER says.
pub(super) struct Form<'a> {
    pub(super) wanted: &'a Registration,
    /// Name of the node, of which the instance is made.
    pub(super) node: &'a str,
    /// User part of our contact; `None` registers all numbers of the trunk at once.
    pub(super) contact_user: Option<&'a str>,
    pub(super) tag: &'a Token,
    pub(super) call_id: &'a CallId,
    pub(super) cseq: u32,
    /// Life that is asked for in seconds; 0 takes the registration back.
    pub(super) expires_s: u32,
}

/// The request, without credentials.
pub(super) fn register(
    style: &LegStyle,
    listener: &Listener,
    branch: &str,
    form: &Form<'_>,
) -> Option<RequestBuilder> {
    let wanted = form.wanted;
    let domain = Host::parse(Bytes::from(wanted.domain.clone())).ok()?;
    let mut request_uri = SipUri::new(domain.clone());
    let mut aor = SipUri::new(domain);
    request_uri.is_sips = style.trunk.habits.uri_scheme == UriScheme::Sips;
    aor.is_sips = request_uri.is_sips;
    aor.set_user(Some(Bytes::from(wanted.user.clone()))).ok()?;
    let aor = Uri::from(aor);
    let is_bulk = form.contact_user.is_none();
    let contact = contact(style, listener, form)?;
    let tag = |name: &'static str| Token::parse(name).ok().map(OptionTag::new);
    let mut supported = vec![Supported(tag(OptionTag::PATH)?)];
    if wanted.outbound {
        supported.push(Supported(tag(OptionTag::OUTBOUND)?));
    }
    let gin = tag("gin")?;
    if !is_bulk && wanted.gin != Gin::Off {
        supported.push(Supported(gin.clone()));
    }
    let mut request = RequestBuilder::new(Method::Register, &Uri::from(request_uri))
        .header(&style.via(listener, branch)?)
        .header(&MaxForwards::DEFAULT)
        .header(&From::from(aor.clone()).with_tag(form.tag.clone()))
        .header(&To::from(aor))
        .header(form.call_id)
        .header(&CSeq {
            number: form.cseq,
            method: Method::Register,
        })
        .header(&contact)
        .header(&Expires(form.expires_s))
        .list(&supported);
    if is_bulk {
        request = request
            .header(&Require(gin.clone()))
            .header(&ProxyRequire(gin));
    }
    let request = request.raw_if_valid(crate::sip::HeaderName::Allow, style.allow());
    Some(style.sign_request(request))
}

fn contact(style: &LegStyle, listener: &Listener, form: &Form<'_>) -> Option<Contact> {
    let mut own = style.clone();
    own.contact_user = form.contact_user.map(|user| Bytes::from(user.to_owned()));
    let contact = own.contact(listener);
    let mut address = contact.address()?.clone();
    if form.contact_user.is_none() {
        let mut uri = address.uri().as_sip()?.clone();
        uri.params.set("bnc", None).ok()?;
        address.addr.uri = Uri::from(uri);
    }
    if form.wanted.outbound {
        let instance = instance(form.node, style.trunk.name.as_str());
        let instance = QuotedText::new(Bytes::from(format!("<urn:uuid:{instance}>"))).ok()?;
        let name = Token::parse("+sip.instance").ok()?;
        address.params.set(name, Some(Value::Quoted(instance)));
        let one = PlainValue::parse("1").ok()?;
        let name = Token::parse("reg-id").ok()?;
        address.params.set(name, Some(Value::Plain(one)));
    }
    let expires = PlainValue::parse(form.expires_s.to_string()).ok()?;
    let name = Token::parse("expires").ok()?;
    address.params.set(name, Some(Value::Plain(expires)));
    Some(Contact::from(address))
}

/// A UUID of version 8 that is the same after every restart, as RFC 5626 §4.1 wants it.
fn instance(node: &str, trunk: &str) -> String {
    let mut octets: [u8; 32] = Sha256::digest(format!("{node}\n{trunk}")).into();
    octets[6] = octets[6] & 0x0f | 0x80;
    octets[8] = octets[8] & 0x3f | 0x80;
    let hex: String = octets[..16].iter().map(|o| format!("{o:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let parts = [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_uuid_that_a_restart_does_not_change() {
        let one = instance("sbc1", "telco");
        assert_eq!(one, instance("sbc1", "telco"));
        assert_ne!(one, instance("sbc2", "telco"));
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "8");
        assert!(["8", "9", "a", "b"].contains(&&one[19..20]));
    }
}
