//! Dialogs: RFC 3261 §12. Identifiers, sequence numbers, route set and remote target of one
//! relation between us and a peer. A dialog does not know SDP, timers or calls.

mod alias;
mod party;
mod route_set;
mod table;
mod takes;

pub(crate) use alias::{Alias, Aliases};
pub use party::Party;
pub use route_set::NextHop;
pub(crate) use table::names;
pub use table::{DialogTable, Lookup};
pub use takes::Takes;

use crate::sip::header::{CSeq, CallId, Contact, From, MaxForwards, RecordRoute, To};
use crate::sip::{Address, Essential, HeaderName, Message, Method, RequestBuilder, Status, Uri};
use media_api::wire_layout;
use std::net::IpAddr;

/// One dialog, early or confirmed. It outlives the messages that made it, and keeps none of them: what it says is its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: CallId,
    /// Our side with our tag, as From of our requests.
    pub local: Party,
    /// The peer's side with its tag (if it gave one), as To of our requests.
    pub remote: Party,
    /// Last sequence number that we used.
    pub local_cseq: u32,
    /// Highest sequence number seen from the peer.
    pub remote_cseq: Option<u32>,
    /// Where requests finally go: the peer's Contact.
    pub remote_target: Uri,
    /// Proxies in between, in the order we visit them.
    pub route_set: Vec<Address>,
    /// What the peer takes.
    pub takes: Takes,
}

/// What a peer did that this dialog does not allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialogFault {
    /// CSeq went backwards or repeats (RFC 3261 §12.2.2); answered with 500.
    StaleCSeq,
    /// The message lacks what a dialog needs, above all a usable Contact.
    Incomplete,
}

/// What is left out by [`Dialog::skip_early_requests`]. Nobody gets so many PRACKs while it rings.
const EARLY_REQUESTS: u32 = 1 << 16;

impl Dialog {
    /// The dialog that a UAC has after a response with a To tag (§12.1.2): route set reversed.
    ///
    /// `local` is the From of our request; the peer's side is the To of the response. `proxy` is the name
    /// under which the request says that it came through us (TDR-LMO-020): nothing goes back there.
    pub fn from_response(
        local: Address,
        cseq: u32,
        response: &Message,
        proxy: Option<&str>,
    ) -> Result<Self, DialogFault> {
        let remote = required::<To>(response)?.0;
        let route_set = routes_back(response, proxy)?;
        Ok(Self {
            call_id: required::<CallId>(response)?.detached(),
            local: Party::of(local),
            remote: Party::of(remote),
            local_cseq: cseq,
            remote_cseq: None,
            remote_target: contact(response)?.detached(),
            route_set,
            takes: Takes::of(response),
        })
    }

    /// As [`Self::from_response`], for an answer that names no way to its sender: what it was called
    /// by is the only one that is known. Good for ending it and for nothing else.
    pub fn nameless(
        local: Address,
        cseq: u32,
        response: &Message,
        proxy: Option<&str>,
    ) -> Result<Self, DialogFault> {
        let remote = required::<To>(response)?.0;
        let route_set = routes_back(response, proxy).unwrap_or_default();
        Ok(Self {
            call_id: required::<CallId>(response)?.detached(),
            local: Party::of(local),
            remote_target: remote.uri().clone().detached(),
            remote: Party::of(remote),
            local_cseq: cseq,
            remote_cseq: None,
            route_set,
            takes: Takes::default(),
        })
    }

    /// The dialog that a UAS has after a request that creates one (§12.1.1): route set in order.
    ///
    /// `local_tag` is the tag of our responses.
    pub fn from_request(local: Address, request: &Message) -> Result<Self, DialogFault> {
        let remote = required::<From>(request)?.0;
        Ok(Self {
            call_id: required::<CallId>(request)?.detached(),
            local: Party::of(local),
            remote: Party::of(remote),
            local_cseq: 0,
            remote_cseq: Some(required::<CSeq>(request)?.number),
            remote_target: contact(request)?.detached(),
            route_set: record_routes(request)?,
            takes: Takes::of(request),
        })
    }

    /// Takes route set and target from the 2xx when the early dialog becomes confirmed; sequence
    /// numbers are kept (§13.2.2.4, SIP-301). A 2xx without usable Contact leaves what was known.
    pub fn confirm(&mut self, response: &Message, proxy: Option<&str>) {
        if let Ok(routes) = routes_back(response, proxy) {
            self.route_set = routes;
        }
        self.refresh_target(response);
    }

    /// Our tag.
    pub fn local_tag(&self) -> &[u8] {
        self.local.tag()
    }

    /// A digest of what it is called beside our tag.
    pub(crate) fn names(&self) -> u64 {
        names(self.call_id.as_str().as_bytes(), self.remote_tag())
    }

    /// The peer's tag; empty if it gave none (RFC 2543).
    pub fn remote_tag(&self) -> &[u8] {
        self.remote.tag()
    }

    /// Checks and notes the sequence number of a request from the peer (§12.2.2). A gap is fine.
    pub fn admit(&mut self, cseq: u32) -> Result<(), DialogFault> {
        if self.remote_cseq.is_some_and(|last| cseq <= last) {
            return Err(DialogFault::StaleCSeq);
        }
        self.remote_cseq = Some(cseq);
        Ok(())
    }

    /// As [`Self::admit`], for the request itself.
    pub fn admit_request(&mut self, request: &Message) -> Result<(), DialogFault> {
        self.admit(required::<CSeq>(request)?.number)
    }

    /// Takes the peer's new Contact from a target refresh request or its 2xx (SIP-303), and what it takes.
    pub fn refresh_target(&mut self, message: &Message) {
        self.takes.note(message);
        if let Ok(target) = contact(message) {
            self.remote_target = target.detached();
        }
    }

    /// Leaves numbers out that PRACK and UPDATE may have had while the dialog was early, where nothing
    /// of that is known any more. Gaps are no error (RFC 3261 §12.2.2), numbers used twice are.
    pub fn skip_early_requests(&mut self) {
        self.local_cseq = self.local_cseq.saturating_add(EARLY_REQUESTS);
    }

    /// The next sequence number of ours.
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Starts a request within the dialog: Request-URI, Route, From, To, Call-ID and CSeq
    /// (§12.2.1.1). ACK carries the number of its INVITE, everything else a new one.
    pub fn request(&self, method: Method, cseq: u32) -> RequestBuilder {
        self.request_with(method, cseq, MaxForwards::DEFAULT)
    }

    /// As [`Self::request`], for one that came from elsewhere and has so many hops left.
    pub fn request_with(&self, method: Method, cseq: u32, hops: MaxForwards) -> RequestBuilder {
        let (request_uri, routes) = route_set::apply(&self.route_set, &self.remote_target);
        RequestBuilder::new(method.clone(), request_uri)
            .headers(&routes)
            .header(&hops)
            .raw_if_valid(HeaderName::From, self.local.text())
            .raw_if_valid(HeaderName::To, self.remote.text())
            .header(&self.call_id)
            .header(&CSeq {
                number: cseq,
                method,
            })
    }

    /// Where the next request is sent to: the topmost route, else the remote target.
    pub fn next_hop(&self) -> NextHop {
        NextHop::of(self.next_uri())
    }

    /// The address of the next hop, if that is written as one.
    pub fn next_address(&self) -> Option<IpAddr> {
        NextHop::address_of(self.next_uri())
    }

    fn next_uri(&self) -> &Uri {
        let first = self.route_set.first();
        first.map_or(&self.remote_target, Address::uri)
    }
}

/// Which part of a call a failed in-dialog request ends (RFC 5057 §5.1, SIP-305).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Only the transaction.
    Transaction,
    /// The usage, and with it the session.
    Usage,
    /// The dialog.
    Dialog,
}

impl Damage {
    /// The damage that this final status does.
    pub fn of(status: Status) -> Self {
        match status.code() {
            405 | 480 | 481 | 489 | 501 => Self::Usage,
            404 | 410 | 416 | 482..=485 | 502 | 604 => Self::Dialog,
            _ => Self::Transaction,
        }
    }
}

fn required<H: Essential + Clone>(message: &Message) -> Result<H, DialogFault> {
    let header = message.essential::<H>().ok().flatten();
    header.cloned().ok_or(DialogFault::Incomplete)
}

/// The peer's Contact, where requests within a dialog go.
pub(crate) fn contact(message: &Message) -> Result<Uri, DialogFault> {
    let contact = message.essential::<Contact>().ok().flatten();
    contact
        .and_then(Contact::uri)
        // Nothing else can be a Request-URI that leads anywhere (RFC 3261 §12.1.1).
        .filter(|uri| matches!(uri, Uri::Sip(_)))
        .cloned()
        .ok_or(DialogFault::Incomplete)
}

/// The way to who answered, without ourselves at its beginning.
fn routes_back(response: &Message, proxy: Option<&str>) -> Result<Vec<Address>, DialogFault> {
    let mut routes = record_routes(response)?;
    let is_ours = |last: &Address| {
        let host = last.uri().host();
        proxy.is_some_and(|own| host.is_some_and(|host| host.is_name(own)))
    };
    if routes.last().is_some_and(is_ours) {
        routes.pop();
    }
    routes.reverse();
    Ok(routes)
}

fn record_routes(message: &Message) -> Result<Vec<Address>, DialogFault> {
    let routes = message
        .list::<RecordRoute>()
        .map_err(|_| DialogFault::Incomplete)?;
    let routes = routes.into_iter().map(|route| route.0.detached());
    Ok(routes.collect())
}

wire_layout! {
    struct Dialog {
        call_id, local, remote, local_cseq, remote_cseq, remote_target, route_set, takes,
    }
}
