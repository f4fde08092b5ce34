//! Change notices of Microsoft Graph: what one says, and how what is sealed in it is opened
//! (TDG-PRS-002 to TDG-PRS-005).
//!
//! Whoever knows the address can send anything there, so nothing here takes more memory than the octets it was
//! given, and nothing is believed: whoever reads a batch compares `client_state`, checks the tokens, and only
//! then opens what is sealed.
#![forbid(unsafe_code)]

mod few;
mod presence;
mod seal;

pub use presence::Presence;
pub use seal::{Key, Sealed, Unsealed};

use few::{Few, Short};
use serde::Deserialize;

/// Notices of one request that are read; Graph sends far fewer.
pub const MOST_NOTICES: usize = 1_000;
/// Tokens of one request: one for each application and directory.
pub const MOST_TOKENS: usize = 64;
/// Longest name or secret, octets. Graph takes 128 for `clientState`.
const NAME: usize = 512;
/// Longest token, octets.
const TOKEN: usize = 16 * 1024;
/// Longest proof of an address that is given back, octets as they come.
pub const LONGEST_PROOF: usize = 2_048;

/// What came in one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Its notices, in order.
    pub notices: Vec<Notice>,
    /// What Microsoft proves with that it sent them: signed tokens, of notices with data alone.
    pub tokens: Vec<String>,
}

/// One notice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The subscription by which it comes.
    pub subscription: String,
    /// The secret of that subscription, if the sender knows it.
    pub client_state: String,
    /// The directory that it is about, in lower case; empty if it does not say.
    pub tenant: String,
    /// What it says.
    pub what: What,
}

/// What a notice says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Something has changed, and how it is now is sealed in it.
    Sealed(Sealed),
    /// Something of this identifier has changed; how it is now must be asked for.
    Changed(String),
    /// Something happens to the subscription.
    Event(Event),
}

/// What happens to a subscription (TDG-PRS-005).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It ends soon unless it is renewed.
    ReauthorizationRequired,
    /// It is gone.
    Removed,
    /// Notices were lost.
    Missed,
    /// Something that is not known here.
    Unknown,
}

/// Why a body is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not what is documented.
    #[error("this is no collection of notices")]
    Form,
    /// It has no notice.
    #[error("there is no notice in it")]
    Empty,
}

#[derive(Deserialize)]
struct WrittenBatch {
    value: Few<WrittenNotice, MOST_NOTICES>,
    #[serde(rename = "validationTokens")]
    tokens: Option<Few<Short<TOKEN>, MOST_TOKENS>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenNotice {
    subscription_id: Option<Short<NAME>>,
    client_state: Option<Short<NAME>>,
    tenant_id: Option<Short<NAME>>,
    lifecycle_event: Option<Short<NAME>>,
    resource_data: Option<WrittenResource>,
    encrypted_content: Option<Sealed>,
}

#[derive(Deserialize)]
struct WrittenResource {
    id: Option<Short<NAME>>,
}

impl Batch {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(body: &[u8]) -> Result<Self, Unreadable> {
        let written: WrittenBatch = serde_json::from_slice(body).map_err(|_| Unreadable::Form)?;
        let notices: Vec<Notice> = written.value.0.into_iter().map(Notice::from).collect();
        if notices.is_empty() {
            return Err(Unreadable::Empty);
        }
        let tokens = written.tokens.map_or_else(Vec::new, |tokens| tokens.0);
        let tokens = tokens.into_iter().map(|token| token.0).collect();
        Ok(Self { notices, tokens })
    }
}

impl From<WrittenNotice> for Notice {
    fn from(written: WrittenNotice) -> Self {
        let text = |text: Option<Short<NAME>>| text.map_or_else(String::new, |text| text.0);
        let event = text(written.lifecycle_event);
        let what = match (event.is_empty(), written.encrypted_content) {
            (false, _) => What::Event(Event::of(&event)),
            (true, Some(sealed)) => What::Sealed(sealed),
            (true, None) => What::Changed(text(written.resource_data.and_then(|of| of.id))),
        };
        Self {
            subscription: text(written.subscription_id),
            client_state: text(written.client_state),
            tenant: text(written.tenant_id).to_ascii_lowercase(),
            what,
        }
    }
}

impl Event {
    fn of(text: &str) -> Self {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        match () {
            () if is("reauthorizationRequired") => Self::ReauthorizationRequired,
            () if is("subscriptionRemoved") => Self::Removed,
            () if is("missed") => Self::Missed,
            () => Self::Unknown,
        }
    }
}

/// Whether a request asks whether the address is ours (TDG-PRS-002), and what is given back then: the token of its
/// query, decoded. `Some(None)` is a question that gets no answer: it is too long, or a browser might take the
/// answer for markup.
pub fn proof(query: Option<&str>) -> Option<Option<String>> {
    let written = query?.split('&').find_map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        (name == "validationToken").then_some(value)
    })?;
    if written.is_empty() || written.len() > LONGEST_PROOF {
        return Some(None);
    }
    let is_plain =
        |text: &String| !text.contains(|own: char| own.is_control() || "<>".contains(own));
    Some(decoded(written).filter(is_plain))
}

/// A value of a query as it was before it was escaped (RFC 3986 §2.1); `+` is a space, as forms write it.
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digit = |octet: Option<u8>| char::from(octet?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "db03c14b-06eb-4189-939b-7cbf3a20ba27";

    /// TDG-PRS-003, as it is documented.
    #[test]
    fn a_notice_is_read_with_what_it_says_and_without_what_nobody_asked_for() {
        let body = format!(
            r##"{{"value":[{{"subscriptionId":"s1","clientState":"secret","changeType":"updated",
            "resource":"communications/presences('{GUID}')","tenantId":"ABC",
            "subscriptionExpirationDateTime":"2026-08-01T11:00:00Z","somethingNew":[{{"a":1}}],
            "resourceData":{{"@odata.type":"#Microsoft.Graph.presence","id":"{GUID}"}}}},
            {{"subscriptionId":"s2","lifecycleEvent":"missed","clientState":null}}]}}"##
        );
        let batch = Batch::read(body.as_bytes()).unwrap();
        assert_eq!(batch.tokens, Vec::<String>::new());
        let wanted = Notice {
            subscription: "s1".to_owned(),
            client_state: "secret".to_owned(),
            tenant: "abc".to_owned(),
            what: What::Changed(GUID.to_owned()),
        };
        assert_eq!(batch.notices[0], wanted);
        assert_eq!(batch.notices[1].what, What::Event(Event::Missed));
        assert_eq!(batch.notices[1].client_state, "");

        let sealed = r#"{"value":[{"subscriptionId":"s1","encryptedContent":{"data":"AA==","dataSignature":"AQ==",
            "dataKey":"Ag==","encryptionCertificateId":"c","encryptionCertificateThumbprint":"x"}}],
            "validationTokens":["a.b.c"]}"#;
        let batch = Batch::read(sealed.as_bytes()).unwrap();
        assert_eq!(batch.tokens, ["a.b.c"]);
        assert!(
            matches!(&batch.notices[0].what, What::Sealed(sealed) if sealed.certificate() == "c")
        );
    }

    #[test]
    fn what_is_no_collection_of_notices_and_what_is_too_much_is_not_read() {
        for (body, why) in [
            ("", Unreadable::Form),
            ("[]", Unreadable::Form),
            ("{}", Unreadable::Form),
            (r#"{"value":[]}"#, Unreadable::Empty),
            (r#"{"value":{}}"#, Unreadable::Form),
            (r#"{"value":[7]}"#, Unreadable::Form),
            (r#"{"value":[{"subscriptionId":7}]}"#, Unreadable::Form),
        ] {
            assert_eq!(Batch::read(body.as_bytes()), Err(why), "{body}");
        }
        let many = |count: usize| format!("{{\"value\":[{}{{}}]}}", "{},".repeat(count - 1));
        assert!(Batch::read(many(MOST_NOTICES).as_bytes()).is_ok());
        let surplus = Batch::read(many(MOST_NOTICES + 1).as_bytes());
        assert_eq!(surplus, Err(Unreadable::Form));
        let long = format!(
            r#"{{"value":[{{"clientState":"{}"}}]}}"#,
            "x".repeat(NAME + 1)
        );
        assert_eq!(Batch::read(long.as_bytes()), Err(Unreadable::Form));
        let deep = format!("{{\"value\":[{{\"x\":{}", "[".repeat(100_000));
        assert_eq!(Batch::read(deep.as_bytes()), Err(Unreadable::Form));
    }

    /// TDG-PRS-002.
    #[test]
    fn the_proof_of_an_address_is_given_back_decoded_and_never_as_markup() {
        let proof = |query: &str| proof(Some(query));
        assert_eq!(
            proof("validationToken=Validation%3A+Testing%20client%C3%A9"),
            Some(Some("Validation: Testing client\u{e9}".to_owned()))
        );
        assert_eq!(proof("a=1&validationToken=x"), Some(Some("x".to_owned())));
        for nothing in ["", "a=1", "validationtoken2=x", "xvalidationToken=x"] {
            assert_eq!(proof(nothing), None, "{nothing}");
        }
        assert_eq!(super::proof(None), None);
        let long = format!("validationToken={}", "x".repeat(LONGEST_PROOF + 1));
        for unanswered in [
            "validationToken",
            "validationToken=",
            "validationToken=%3Cscript%3E",
            "validationToken=a%0D%0Ab",
            "validationToken=%",
            "validationToken=%2",
            "validationToken=%+1",
            "validationToken=%FF",
            &long,
        ] {
            assert_eq!(proof(unanswered), Some(None), "{unanswered}");
        }
    }
}
