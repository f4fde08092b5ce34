//! Via: which way a request came and its response must go (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::octets::{address_text, is_same_word};
use crate::sip::grammar::{self, Step, lws, octets_as_str, push_number, separator, stop, whole};
use crate::sip::param::PlainValue;
use crate::sip::{Host, Params, ParseFault, Rule, Token, Value};

/// A transport protocol as a Via or a `transport` parameter names it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// SCTP.
    Sctp,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// Anything else, as written.
    Other(Token),
}

/// One Via value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Via {
    /// `SIP` and `2.0` normally; carried so that an answer repeats what the request had.
    protocol: Option<(Token, Token)>,
    /// The transport of that hop.
    pub transport: Transport,
    /// Host of `sent-by`.
    pub host: Host,
    /// Port of `sent-by`, if written.
    pub port: Option<u16>,
    /// Parameters in order.
    pub params: Params,
}

impl Transport {
    /// Reads the name in any mixture of upper and lower case.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        Token::parse(text).map(Self::from_token)
    }

    /// The name as Via writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Sctp => "SCTP",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Other(token) => token.as_str(),
        }
    }

    /// Port when none is written: 5061 for TLS, 443 and 80 for WebSocket, else 5060.
    pub fn default_port(&self) -> u16 {
        match self {
            Self::Tls => 5061,
            Self::Wss => 443,
            Self::Ws => 80,
            Self::Udp | Self::Tcp | Self::Sctp | Self::Other(_) => 5060,
        }
    }

    /// Whether the transport itself delivers reliably, so that SIP does not retransmit.
    pub fn is_reliable(&self) -> bool {
        !matches!(self, Self::Udp)
    }

    fn from_token(token: Token) -> Self {
        Self::known(token.as_bytes()).unwrap_or(Self::Other(token))
    }

    fn known(name: &[u8]) -> Option<Self> {
        [
            Self::Udp,
            Self::Tcp,
            Self::Tls,
            Self::Sctp,
            Self::Ws,
            Self::Wss,
        ]
        .into_iter()
        .find(|known| is_same_word(known.as_str().as_bytes(), name))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Via {
    /// A Via of ours with its branch.
    pub fn new(transport: Transport, host: Host, port: Option<u16>, branch: Token) -> Self {
        // For `rport`, too.
        let mut params = Params::with_room(2);
        params.set(token("branch"), Some(branch.into()));
        Self {
            protocol: None,
            transport,
            host,
            port,
            params,
        }
    }

    /// The branch.
    pub fn branch(&self) -> Option<&Bytes> {
        self.params.value("branch")
    }

    /// The branch, if it identifies a transaction by itself: it begins with the magic cookie and
    /// goes on (RFC 3261 §17.2.3). Without it, RFC 2543 matching applies.
    pub fn transaction_branch(&self) -> Option<&Bytes> {
        self.branch()
            .filter(|branch| branch.len() > COOKIE.len() && branch.starts_with(COOKIE))
    }

    /// Whether the sender asks for `rport` (RFC 3581), with or without it being filled.
    pub fn has_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The filled `rport`, 1–65535.
    pub fn rport(&self) -> Option<u16> {
        let text = self.params.value("rport")?;
        octets_as_str(text).parse().ok().filter(|port| *port != 0)
    }

    /// The address in `received`; IPv6 with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        Host::parse(self.params.value("received")?.clone())
            .ok()?
            .ip()
    }

    /// Adds `rport` without a value: an answer shall come back to where this was sent from.
    pub fn ask_rport(&mut self) {
        self.params.set(token("rport"), None);
    }

    /// Fills `rport`.
    pub fn set_rport(&mut self, port: u16) {
        let mut text = Vec::with_capacity(5);
        push_number(&mut text, u64::from(port));
        let port = PlainValue::recognised(text.into());
        self.params.set(token("rport"), Some(Value::Plain(port)));
    }

    /// Sets `received`. IPv6 is written without brackets, as RFC 3261's grammar has it.
    pub fn set_received(&mut self, address: IpAddr) {
        let address = PlainValue::recognised(address_text(address).into());
        self.params
            .set(token("received"), Some(Value::Plain(address)));
    }

    /// Port of `sent-by`, or the default of the transport.
    pub fn sent_by_port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.transport.default_port())
    }

    fn parser<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Self> {
        let (rest, mut via) = Self::hop(source, input)?;
        let (rest, params) = Params::parser(source, rest)?;
        via.params = params;
        Ok((rest, via))
    }

    /// Everything before the parameters.
    fn hop<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Self> {
        let (rest, protocol) = Self::protocol(source, input)?;
        let (at_gap, transport) = grammar::token_octets(rest)?;
        let (rest, ()) = lws(at_gap)?;
        if rest.len() == at_gap.len() {
            return stop(rest, Rule::Separator);
        }
        let (rest, (host, port)) = sent_by(source, rest)?;
        let via = Self {
            protocol,
            transport: Transport::known(transport).unwrap_or_else(|| {
                Transport::Other(Token::recognised(source.slice_ref(transport)))
            }),
            host,
            port,
            params: Params::new(),
        };
        Ok((rest, via))
    }

    /// Name and version of the protocol, where they are not the usual ones.
    /// A Via without parameters.
    pub(crate) fn bare(text: &Bytes) -> Option<Self> {
        let (rest, via) = Self::hop(text, text).ok()?;
        rest.is_empty().then_some(via)
    }

    fn protocol<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Option<(Token, Token)>> {
        // As nearly every Via begins.
        if let Some(rest) = input.strip_prefix(b"SIP/2.0/") {
            let (rest, ()) = lws(rest)?;
            return Ok((rest, None));
        }
        let (rest, protocol) = grammar::token(source, input)?;
        let (rest, ()) = separator(b'/').parse(rest)?;
        let (rest, version) = grammar::token(source, rest)?;
        let (rest, ()) = separator(b'/').parse(rest)?;
        let is_usual = protocol.is("SIP") && version.as_str() == "2.0";
        Ok((rest, (!is_usual).then_some((protocol, version))))
    }

    /// What can be read of a Via whose parameters are broken: enough to send an answer (RFC 4475
    /// §3.1.2.1). Parameters are kept up to the first broken one.
    pub(in crate::sip) fn salvage(text: &Bytes) -> Option<Self> {
        let (rest, mut via) = Self::hop(text, grammar::trim(text)).ok()?;
        let mut left = rest;
        while let Ok((after, ())) = separator(b';').parse(left) {
            let Ok((after, (name, value))) = crate::sip::param::param(text, after) else {
                break;
            };
            if !via.params.has(name.as_str()) {
                via.params.set(name, value);
            }
            left = after;
        }
        Some(via)
    }
}

/// `host [ COLON port ]`, white space around the colon allowed.
fn sent_by<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, (Host, Option<u16>)> {
    let (rest, host, port) = match Host::parse_with_port(source, input) {
        Ok(parsed) => parsed,
        Err(rule) => return stop(input, rule),
    };
    if port.is_none()
        && let Ok((after, ())) = separator(b':').parse(rest)
    {
        let (after, port) = grammar::number(u64::from(u16::MAX)).parse(after)?;
        return match u16::try_from(port) {
            Ok(port) if port != 0 => Ok((after, (host, Some(port)))),
            _ => stop(rest, Rule::Port),
        };
    }
    Ok((rest, (host, port)))
}

impl Header for Via {
    const NAME: HeaderName = HeaderName::Via;
    const SHAPE: Shape = Shape::List;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Via", text, |input| Self::parser(text, input))
    }

    fn emit(&self, out: &mut Vec<u8>) {
        match &self.protocol {
            None => out.extend_from_slice(b"SIP/2.0"),
            Some((protocol, version)) => {
                out.extend_from_slice(protocol.as_bytes());
                out.push(b'/');
                out.extend_from_slice(version.as_bytes());
            }
        }
        out.push(b'/');
        out.extend_from_slice(self.transport.as_str().as_bytes());
        out.push(b' ');
        self.host.emit(out);
        if let Some(port) = self.port {
            out.push(b':');
            push_number(out, u64::from(port));
        }
        self.params.emit(out);
    }
}

/// A parameter name of this file.
fn token(name: &'static str) -> Token {
    Token::recognised(Bytes::from_static(name.as_bytes()))
}

/// What every branch of RFC 3261 begins with.
const COOKIE: &[u8] = b"z9hG4bK";
