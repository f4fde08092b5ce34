//! Does a message make sense, and can we serve it? (SIP-005 to SIP-014)
//!
//! [`Message::validate`] asks what needs no configuration. [`Capabilities::check`] adds what depends
//! on what an element can do: 405, 406, 415, 420, 501.

use std::fmt;

use super::body;
use super::header::{
    Accept, Allow, CSeq, CallId, Contact, ContentDisposition, ContentEncoding, ContentType,
    Expires, From, Handling, HeaderName, MaxForwards, OptionTag, RecordRoute, ReferTo, Replaces,
    Require, Route, To, Unsupported, Via,
};
use super::{Message, Method, ParseFault, RequestHead, ResponseBuilder, Rule, Status, Token, Uri};

/// Why a well-formed request is refused, or a response dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// What a request is answered with. A response is dropped instead, and so is an ACK.
    pub status: Status,
    /// What is wrong.
    pub why: Objection,
}

/// What is wrong with a message that could be indexed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Objection {
    /// A header or the Request-URI breaks a rule: 400.
    Malformed(ParseFault),
    /// Not SIP/2.0: 505.
    Version,
    /// The scheme of the Request-URI is not one we serve: 416.
    Scheme,
    /// A method without a name here: 501.
    UnknownMethod,
    /// A method that is known and not allowed: 405.
    MethodNotAllowed,
    /// The peer accepts nothing that we could answer with: 406.
    NotAcceptable,
    /// A body, or a part of it, that must be understood and is not: 415.
    MediaType,
    /// A body in a coding that must be undone and cannot: 415.
    Coding,
    /// Required extensions that are not supported, all of them: 420.
    Extension(Vec<OptionTag>),
}

/// What an element can do, as far as requests can ask for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Methods that are allowed.
    pub methods: Vec<Method>,
    /// Option tags that may be required of us.
    pub extensions: Vec<OptionTag>,
    /// Media types of bodies that are understood in requests of sessions, as `type/subtype`.
    pub media: Vec<ContentType>,
}

impl Default for Capabilities {
    /// What this product can do at most; a trunk may allow less.
    fn default() -> Self {
        let tag = |name: &'static str| Token::parse(name).ok().map(OptionTag::new);
        Self {
            methods: vec![
                Method::Invite,
                Method::Ack,
                Method::Cancel,
                Method::Bye,
                Method::Options,
                Method::Prack,
                Method::Update,
                Method::Info,
                Method::Refer,
                Method::Notify,
            ],
            extensions: [
                OptionTag::REL100,
                OptionTag::TIMER,
                OptionTag::REPLACES,
                OptionTag::NOREFERSUB,
                OptionTag::HISTINFO,
                OptionTag::PRIVACY,
            ]
            .into_iter()
            .filter_map(tag)
            .collect(),
            media: vec![ContentType::sdp(), ContentType::pidf()],
        }
    }
}

impl Rejection {
    fn malformed(fault: ParseFault) -> Self {
        Self {
            status: Status::BAD_REQUEST,
            why: Objection::Malformed(fault),
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(fault) => fault.fmt(f),
            Self::Version => f.write_str("not SIP/2.0"),
            Self::Scheme => f.write_str("the scheme of the Request-URI is not served"),
            Self::UnknownMethod => f.write_str("the method is not known"),
            Self::MethodNotAllowed => f.write_str("the method is not allowed"),
            Self::NotAcceptable => f.write_str("the sender accepts no application/sdp"),
            Self::MediaType => f.write_str("a body that must be understood is not"),
            Self::Coding => f.write_str("the body has a coding that is not understood"),
            Self::Extension(tags) => {
                f.write_str("extensions are required that are not supported:")?;
                tags.iter()
                    .try_for_each(|tag| write!(f, " {}", tag.as_str()))
            }
        }
    }
}

impl Message {
    /// Checks everything that needs no configuration (SIP-005 to SIP-010, SIP-014).
    ///
    /// After this, the headers that every element needs (Via, From, To, Call-ID, CSeq) are there and
    /// can be read, and so can Max-Forwards, Contact, Route, Record-Route, Content-Type, Expires,
    /// Refer-To, Replaces, Require and the Request-URI if they are there.
    pub fn validate(&self) -> Result<(), Rejection> {
        if !self.is_sip_2() {
            return Err(Rejection {
                status: Status::VERSION_NOT_SUPPORTED,
                why: Objection::Version,
            });
        }
        self.check_headers().map_err(Rejection::malformed)?;
        match self.is_request() {
            true => self.check_request_uri(),
            false => Ok(()),
        }
    }

    fn check_headers(&self) -> Result<(), ParseFault> {
        self.at_most_one()?;
        let missing = |name: HeaderName, what| match self.has(name) {
            true => Ok(()),
            false => Err(ParseFault::new(what, Rule::Missing, 0)),
        };
        missing(HeaderName::Via, "Via")?;
        missing(HeaderName::From, "From")?;
        missing(HeaderName::To, "To")?;
        missing(HeaderName::CallId, "Call-ID")?;
        missing(HeaderName::CSeq, "CSeq")?;
        self.count::<Via>()?;
        self.essential::<From>()?;
        self.essential::<To>()?;
        self.essential::<CallId>()?;
        let cseq = self.essential::<CSeq>()?;
        if cseq.is_some_and(|cseq| cseq.method != *self.method()) {
            return Err(ParseFault::new("CSeq", Rule::Mismatch, 0));
        }
        let contacts = self.count::<Contact>()?;
        if self.is_request() && *self.method() == Method::Invite && contacts > 1 {
            return Err(ParseFault::new("Contact", Rule::Repeated, 0));
        }
        self.get::<MaxForwards>()?;
        self.list::<Route>()?;
        self.list::<RecordRoute>()?;
        self.essential::<ContentType>()?;
        self.get::<Expires>()?;
        // One that is too long is refused with its measure by who knows what it is for.
        match self.get::<ReferTo>() {
            Err(fault) if fault.rule == Rule::TooLong => {}
            other => drop(other?),
        }
        self.get::<Replaces>()?;
        self.list::<Require>()?;
        Ok(())
    }

    /// Headers of which there may be one line only (SIP-005). Content-Length was counted when the
    /// message was indexed.
    fn at_most_one(&self) -> Result<(), ParseFault> {
        static SINGLE: [HeaderName; 9] = [
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
            HeaderName::MaxForwards,
            HeaderName::ContentType,
            HeaderName::Expires,
            HeaderName::ReferTo,
            HeaderName::Replaces,
        ];
        let repeated = self.repeated();
        match SINGLE.iter().find(|name| repeated.has(name.id())) {
            None => Ok(()),
            Some(name) => {
                let what = super::header::known_name(name);
                Err(ParseFault::new(what, Rule::Repeated, 0))
            }
        }
    }

    fn check_request_uri(&self) -> Result<(), Rejection> {
        match self.uri() {
            Ok(Uri::Sip(uri)) if !uri.headers().is_empty() => {
                // Escaped headers must not get in this way (RFC 4475 §3.1.2.11).
                Err(Rejection::malformed(ParseFault::new(
                    "Request-URI",
                    Rule::Uri,
                    0,
                )))
            }
            Ok(Uri::Sip(_) | Uri::Tel(_)) => Ok(()),
            // A call for help needs no number (RFC 5031).
            Ok(uri @ Uri::Other(_)) if uri.is_sos() => Ok(()),
            Ok(Uri::Other(_)) => Err(Rejection {
                status: Status::UNSUPPORTED_URI_SCHEME,
                why: Objection::Scheme,
            }),
            Err(fault) => Err(Rejection::malformed(ParseFault {
                what: "Request-URI",
                ..fault
            })),
        }
    }
}

impl Capabilities {
    /// Checks a message completely: [`Message::validate`], and for requests whether they can be
    /// served. ACK and CANCEL are never refused for what they require (SIP-013).
    pub fn check(&self, message: &Message) -> Result<(), Rejection> {
        if !message.is_request() || !message.is_sip_2() {
            return message.validate();
        }
        let method = message.method();
        if !method.is_known() {
            return Err(Rejection {
                status: Status::NOT_IMPLEMENTED,
                why: Objection::UnknownMethod,
            });
        }
        message.validate()?;
        if !self.methods.contains(method) {
            return Err(Rejection {
                status: Status::METHOD_NOT_ALLOWED,
                why: Objection::MethodNotAllowed,
            });
        }
        if matches!(method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let required = message.list::<Require>().map_err(Rejection::malformed)?;
        let unknown: Vec<OptionTag> = required
            .into_iter()
            .map(|Require(tag)| tag)
            .filter(|tag| !self.extensions.iter().any(|own| own.is(tag.as_str())))
            .collect();
        if !unknown.is_empty() {
            return Err(Rejection {
                status: Status::BAD_EXTENSION,
                why: Objection::Extension(unknown),
            });
        }
        if matches!(method, Method::Invite | Method::Update | Method::Prack) {
            self.check_body(message)?;
        }
        if *method == Method::Invite && message.has(HeaderName::Accept) {
            // An Accept that cannot be read says nothing, and nothing means application/sdp.
            let accepted = message.list::<Accept>().unwrap_or_default();
            let covers_sdp = accepted
                .iter()
                .any(|range| range.covers("application", "sdp"));
            if !accepted.is_empty() && !covers_sdp {
                return Err(Rejection {
                    status: Status::NOT_ACCEPTABLE,
                    why: Objection::NotAcceptable,
                });
            }
        }
        Ok(())
    }

    /// Begins the answer to a request that [`Capabilities::check`] refused, with the headers that
    /// this status needs: Allow, Accept, Unsupported (SIP-013). It is addressed by what
    /// [`RequestHead::of`] could read, so that no broken Via is repeated.
    pub fn refuse(
        &self,
        head: &RequestHead,
        rejection: &Rejection,
        to_tag: Option<&Token>,
    ) -> ResponseBuilder {
        let response = ResponseBuilder::to_head(head, rejection.status, to_tag);
        match &rejection.why {
            Objection::UnknownMethod | Objection::MethodNotAllowed => {
                response.list(&self.methods.iter().cloned().map(Allow).collect::<Vec<_>>())
            }
            Objection::MediaType => {
                let mixed = ContentType::mixed();
                let all = self.media.iter().chain([&mixed]);
                response.list(&all.map(accept).collect::<Vec<_>>())
            }
            Objection::Coding => response.raw_if_valid(HeaderName::AcceptEncoding, "identity"),
            Objection::Extension(tags) => {
                response.list(&tags.iter().cloned().map(Unsupported).collect::<Vec<_>>())
            }
            Objection::Malformed(_)
            | Objection::Version
            | Objection::Scheme
            | Objection::NotAcceptable => response,
        }
    }

    fn check_body(&self, message: &Message) -> Result<(), Rejection> {
        if message.body().is_empty() {
            return Ok(());
        }
        let unsupported = |why| {
            Err(Rejection {
                status: Status::UNSUPPORTED_MEDIA_TYPE,
                why,
            })
        };
        let disposition = message
            .get::<ContentDisposition>()
            .map_err(Rejection::malformed)?;
        if disposition.is_some_and(|disposition| disposition.handling() == Handling::Optional) {
            return Ok(());
        }
        let codings = message
            .list::<ContentEncoding>()
            .map_err(Rejection::malformed)?;
        if codings.iter().any(|coding| !coding.0.is("identity")) {
            return unsupported(Objection::Coding);
        }
        let parts = body::parts(message).map_err(Rejection::malformed)?;
        match parts.iter().all(|part| self.understands(part, &parts)) {
            true => Ok(()),
            false => unsupported(Objection::MediaType),
        }
    }

    fn understands(&self, part: &body::Part, all: &[body::Part]) -> bool {
        let is_known = |part: &body::Part| {
            // A description that is none of the session would not be heard (RFC 3261 §20.11).
            part.content_type.as_ref().is_some_and(|own| {
                (!own.is_sdp() || part.is_session_description())
                    && self
                        .media
                        .iter()
                        .any(|media| own.is(media.kind.as_str(), media.subtype.as_str()))
            })
        };
        is_known(part)
            || part.handling() == Handling::Optional
            // Of alternatives, one is enough.
            || part.alternatives.is_some()
                && all
                    .iter()
                    .any(|other| other.alternatives == part.alternatives && is_known(other))
    }
}

fn accept(media: &ContentType) -> Accept {
    Accept {
        kind: media.kind.clone(),
        subtype: media.subtype.clone(),
        params: Default::default(),
    }
}
