//! Header lines of an explanation: each read by its type, also in bytes that are no message.

use super::{ExplainedHeader, ExplainedValue, Field, Source, printable};
use crate::sip::grammar::{split_commas, trim};
use crate::sip::header::{
    Accept, Allow, Authorization, CSeq, CallId, Contact, ContentDisposition, ContentEncoding,
    ContentType, Diversion, Event, Expires, From, Header, HeaderName, HistoryInfo, MaxForwards,
    MinSe, PAssertedIdentity, PPreferredIdentity, Path, Privacy, ProxyAuthenticate,
    ProxyAuthorization, ProxyRequire, RAck, RSeq, Reason, RecordRoute, ReferTo, ReferredBy,
    Replaces, Require, RetryAfter, Route, ServiceRoute, SessionExpires, Shape, SubscriptionState,
    Supported, TargetDialog, To, Unsupported, Via, Warning, WwwAuthenticate,
};
use crate::sip::{Address, Limits, ParseFault, Rule, Uri};
use bytes::Bytes;

/// Explains one line; its value is `raw`, which begins at `at` in the input.
pub(super) fn explain_header(
    source: &Source,
    raw_name: &[u8],
    name: &HeaderName,
    raw: &Bytes,
    at: usize,
    folded: bool,
) -> ExplainedHeader {
    let value = match folded {
        true => crate::sip::message::unfold(raw),
        false => raw.clone(),
    };
    let value = value.slice_ref(trim(&value));
    let read = read_header(name, &value);
    let understood = read.is_some();
    let (values, fault) = match read {
        None => (Vec::new(), None),
        Some(Ok(values)) => (values, None),
        Some(Err(fault)) => {
            let within = match folded {
                true => crate::sip::message::folded_offset(raw, fault.at),
                false => fault.at,
            };
            (Vec::new(), Some(source.fault(fault, Some(at + within))))
        }
    };
    ExplainedHeader {
        name: printable(raw_name),
        canonical: name.as_str().to_owned(),
        raw: printable(&value),
        folded,
        understood,
        values,
        fault,
    }
}

/// The typed reading of a line; nothing for headers without one.
fn read_header(
    name: &HeaderName,
    value: &Bytes,
) -> Option<Result<Vec<ExplainedValue>, ParseFault>> {
    macro_rules! by_name {
        ($($header:ident => $fields:expr,)+) => {
            match name {
                $(HeaderName::$header => Some(read_values::<$header>(value, $fields)),)+
                HeaderName::ContentLength => Some(read_length(value)),
                _ => None,
            }
        };
    }
    by_name! {
        Accept => |_| vec![],
        Allow => |allow| vec![
            field("known", if allow.0.is_known() { "yes" } else { "no" }),
        ],
        Authorization => |auth| vec![field("scheme", auth.scheme.as_str())],
        CallId => |_| vec![],
        Contact => |contact| contact.address().map(address_fields).unwrap_or_default(),
        ContentDisposition => |_| vec![],
        ContentEncoding => |_| vec![],
        ContentType => |_| vec![],
        CSeq => |cseq| vec![
            field("number", cseq.number),
            field("method", cseq.method.as_str()),
        ],
        Diversion => |diversion| address_fields(diversion),
        Event => |_| vec![],
        Expires => |expires| vec![field("seconds", expires.0)],
        From => |from| address_fields(from),
        HistoryInfo => |entry| address_fields(entry),
        MaxForwards => |hops| vec![field("hops", hops.0)],
        MinSe => |min| vec![field("seconds", min.seconds)],
        PAssertedIdentity => |identity| address_fields(identity),
        Path => |path| address_fields(path),
        PPreferredIdentity => |identity| address_fields(identity),
        Privacy => |_| vec![],
        ProxyAuthenticate => |auth| vec![field("scheme", auth.scheme.as_str())],
        ProxyAuthorization => |auth| vec![field("scheme", auth.scheme.as_str())],
        ProxyRequire => |_| vec![],
        RAck => |rack| vec![
            field("rseq", rack.rseq),
            field("number", rack.cseq.number),
            field("method", rack.cseq.method.as_str()),
        ],
        Reason => |reason| vec![field("protocol", reason.protocol.as_str())],
        RecordRoute => |route| address_fields(route),
        ReferTo => |refer| address_fields(refer),
        ReferredBy => |referrer| address_fields(referrer),
        Replaces => |replaces| vec![
            field("call-id", replaces.call_id.as_str()),
            field("to-tag", replaces.to_tag.as_str()),
            field("from-tag", replaces.from_tag.as_str()),
        ],
        Require => |_| vec![],
        RetryAfter => |after| vec![field("seconds", after.seconds)],
        Route => |route| address_fields(route),
        RSeq => |_| vec![],
        ServiceRoute => |route| address_fields(route),
        SessionExpires => |expires| vec![field("seconds", expires.seconds)],
        SubscriptionState => |_| vec![],
        Supported => |_| vec![],
        TargetDialog => |target| vec![
            field("call-id", target.call_id.as_str()),
            field("local-tag", target.local_tag.as_str()),
            field("remote-tag", target.remote_tag.as_str()),
        ],
        To => |to| address_fields(to),
        Unsupported => |_| vec![],
        Via => via_fields,
        Warning => |warning| vec![field("code", warning.code())],
        WwwAuthenticate => |auth| vec![field("scheme", auth.scheme.as_str())],
    }
}

fn read_values<H: Header>(
    value: &Bytes,
    fields: impl Fn(&H) -> Vec<Field>,
) -> Result<Vec<ExplainedValue>, ParseFault> {
    let read = |text: &Bytes| {
        H::parse(text).map(|header| ExplainedValue {
            canonical: canonical(&header),
            fields: fields(&header),
        })
    };
    match H::SHAPE {
        Shape::Single => read(value).map(|value| vec![value]),
        shape => split_commas(value)
            .filter(|part| shape == Shape::List || !part.is_empty())
            .map(|part| {
                let begin = part.as_ptr() as usize - value.as_ptr() as usize;
                read(&value.slice_ref(part)).map_err(|fault| ParseFault {
                    at: begin + fault.at,
                    ..fault
                })
            })
            .collect(),
    }
}

fn read_length(value: &Bytes) -> Result<Vec<ExplainedValue>, ParseFault> {
    match value.iter().all(u8::is_ascii_digit) && !value.is_empty() {
        true => Ok(vec![ExplainedValue {
            canonical: printable(value),
            fields: vec![],
        }]),
        false => Err(ParseFault::new("Content-Length", Rule::Number, 0)),
    }
}

fn via_fields(via: &Via) -> Vec<Field> {
    let mut fields = vec![
        field("transport", via.transport.as_str()),
        field("host", &via.host),
        field("port", via.sent_by_port()),
    ];
    fields.extend(
        via.branch()
            .map(|branch| field("branch", printable(branch))),
    );
    fields.extend(via.received().map(|received| field("received", received)));
    fields.extend(via.rport().map(|port| field("rport", port)));
    fields
}

fn address_fields(address: &Address) -> Vec<Field> {
    let mut fields = Vec::new();
    fields.extend(
        address
            .display()
            .map(|display| field("display", printable(display.as_bytes()))),
    );
    fields.push(field("uri", address.uri()));
    fields.extend(
        address
            .uri()
            .user()
            .map(|user| field("user", printable(user))),
    );
    fields.extend(address.uri().host().map(|host| field("host", host)));
    fields.extend(address.uri().port().map(|port| field("port", port)));
    if let Uri::Other(_) = address.uri() {
        fields.push(field("scheme", address.uri().scheme()));
    }
    fields.extend(
        address
            .params
            .value("tag")
            .map(|tag| field("tag", printable(tag))),
    );
    fields
}

pub(super) fn field(name: &'static str, value: impl ToString) -> Field {
    Field {
        name,
        value: value.to_string(),
    }
}

pub(super) fn canonical<H: Header>(header: &H) -> String {
    printable(&header.to_bytes())
}

/// What can be recognised as header lines in bytes that are no message.
pub(super) fn lenient_headers(
    source: &Source,
    skipped: usize,
    limits: &Limits,
) -> Vec<ExplainedHeader> {
    let bytes = &source.bytes;
    let line_end = |begin: usize| {
        let rest = bytes.get(begin..).unwrap_or_default();
        memchr::memchr(b'\n', rest).map_or(bytes.len(), |length| begin + length + 1)
    };
    let mut headers = Vec::new();
    let mut at = line_end(skipped);
    while at < bytes.len() && headers.len() < limits.header_lines {
        let begin = at;
        at = line_end(begin);
        let mut folded = false;
        while matches!(bytes.get(at), Some(b' ' | b'\t')) {
            folded = true;
            at = line_end(at);
        }
        let line = bytes.slice(begin..at);
        let text = trim_line(&line);
        if text.is_empty() {
            break;
        }
        let colon = memchr::memchr(b':', text).unwrap_or(text.len());
        let raw_name = trim(text.get(..colon).unwrap_or_default());
        let value = trim_line(text.get(colon + 1..).unwrap_or(&line[line.len()..]));
        let value_at = begin + (value.as_ptr() as usize - line.as_ptr() as usize);
        match HeaderName::parse(Bytes::copy_from_slice(raw_name)) {
            Ok(name) if colon < text.len() => {
                let value = bytes.slice(value_at..value_at + value.len());
                headers.push(explain_header(
                    source, raw_name, &name, &value, value_at, folded,
                ));
            }
            _ => headers.push(ExplainedHeader {
                name: printable(trim(text)),
                canonical: String::new(),
                raw: String::new(),
                folded,
                understood: false,
                values: Vec::new(),
                fault: Some(source.fault(
                    ParseFault::new("header line", Rule::Separator, 0),
                    Some(begin + colon.min(text.len())),
                )),
            }),
        }
    }
    headers
}

/// Without white space and line ends around it.
fn trim_line(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}
