//! One dialog of a peer, driven step by step by whoever holds it.

use super::agent::{Agent, Received};
use super::fault::{Breach, PeerFault};
use super::flow::Flow;
use super::message::{Draft, Message, uri_text};
use crate::random;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long a peer waits for anything on loopback before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How a peer writes what is its own in a message.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Transport in Via.
    pub transport: &'static str,
    /// Host and port in Via.
    pub sent_by: String,
    /// User-Agent or Server.
    pub product: String,
    /// Allow.
    pub allow: &'static str,
    /// Contact of dialog-forming messages, a name-addr.
    pub contact: String,
    /// Record-Route of dialog-forming messages, a name-addr.
    pub record_route: Option<String>,
    /// Further header fields of an INVITE.
    pub invite: Vec<(&'static str, String)>,
    /// Further header fields of a BYE.
    pub bye: Vec<(&'static str, String)>,
}

/// Whom an INVITE is for and whom it is from.
#[derive(Clone, Debug)]
pub struct Parties {
    /// Request-URI.
    pub uri: String,
    /// From without its tag.
    pub from: String,
    /// To.
    pub to: String,
    /// Further header fields of the INVITE.
    pub extra: Vec<(&'static str, String)>,
    /// What becomes of its text before it is sent.
    pub edit: Option<fn(&str) -> String>,
}

/// One side of a dialog.
pub struct Leg {
    pub(super) agent: Agent,
    pub(super) manner: Arc<Manner>,
    /// Where requests of this leg go. A Teams proxy may choose another connection for each.
    pub flow: Flow,
    pub(super) call_id: String,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: String,
    pub(super) route: Vec<String>,
    pub(super) cseq: u32,
    /// The number of our last request, if it is not that of the INVITE that is under way.
    pub(super) latest: u32,
    /// Number and branch of our INVITE, while requests within its early dialog are sent.
    pub(super) invited_by: Option<(u32, String)>,
    pub(super) branch: String,
    pub(super) invite: Option<Received>,
    pub(super) inbox: mpsc::UnboundedReceiver<Received>,
    pub(super) waiting: VecDeque<Received>,
}

impl Leg {
    /// Calls somebody: sends an INVITE with an offer.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn invite(
        agent: &Agent,
        manner: Arc<Manner>,
        flow: Flow,
        parties: &Parties,
        offer: String,
    ) -> Result<(Self, Vec<u8>), PeerFault> {
        let call_id = random::word::<16>();
        let mut leg = Self {
            inbox: agent.call(&call_id),
            agent: agent.clone(),
            flow,
            call_id,
            local: format!("{};tag={}", parties.from, random::word::<6>()),
            remote: parties.to.clone(),
            target: parties.uri.clone(),
            route: Vec::new(),
            cseq: 0,
            latest: 0,
            invited_by: None,
            branch: String::new(),
            invite: None,
            waiting: VecDeque::new(),
            manner,
        };
        let mut draft = leg.request("INVITE").with("Contact", &leg.manner.contact);
        if let Some(route) = &leg.manner.record_route {
            draft = draft.with("Record-Route", route);
        }
        draft = draft.with("Allow", leg.manner.allow);
        for (name, value) in &leg.manner.invite {
            draft = draft.with(name, value);
        }
        for (name, value) in &parties.extra {
            draft = draft.with(name, value);
        }
        let has_type = |(name, _): &(&str, String)| name.eq_ignore_ascii_case("Content-Type");
        let draft = match (offer.is_empty(), parties.extra.iter().any(has_type)) {
            (true, _) => draft,
            (false, true) => draft.body(offer),
            (false, false) => draft.sdp(offer),
        };
        let mut bytes = leg.agent.write(draft)?;
        if let Some(edit) = parties.edit {
            bytes = edit(&String::from_utf8_lossy(&bytes)).into_bytes();
        }
        leg.agent.send(&leg.flow, bytes.clone());
        Ok((leg, bytes))
    }

    /// Takes a call that came in. Nothing is answered yet.
    pub fn invited(agent: &Agent, manner: Arc<Manner>, invite: Received) -> Self {
        let message = &invite.message;
        let value = |name| message.line(name).unwrap_or_default().to_owned();
        Self {
            inbox: agent.call(message.call_id()),
            agent: agent.clone(),
            flow: invite.flow.clone(),
            call_id: message.call_id().to_owned(),
            local: format!("{};tag={}", value("To"), random::word::<6>()),
            remote: value("From"),
            target: uri_text(&value("Contact")).to_owned(),
            route: message
                .values("Record-Route")
                .into_iter()
                .map(str::to_owned)
                .collect(),
            // So no request within a dialog has the number 1.
            cseq: 1,
            latest: 0,
            invited_by: None,
            branch: String::new(),
            waiting: VecDeque::new(),
            invite: Some(invite),
            manner,
        }
    }

    /// Call-ID of the dialog.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// From now on it records this host as its way (TDR-SIP-040).
    pub fn records(&mut self, host: &str) {
        let route = format!("<sip:{host}:5061;transport=tls;lr>");
        self.manner = Arc::new(Manner {
            record_route: Some(route),
            ..Manner::clone(&self.manner)
        });
    }

    /// What comes for it from now on comes to another machine.
    pub fn continues_at(&mut self, agent: &Agent) {
        self.inbox = agent.call(&self.call_id);
        self.agent = agent.clone();
    }

    /// Description in the INVITE that came in.
    pub fn offer(&self) -> String {
        self.invite
            .as_ref()
            .map(|invite| invite.message.description())
            .unwrap_or_default()
    }

    /// The INVITE that came in.
    pub fn invitation(&self) -> Option<&Received> {
        self.invite.as_ref()
    }

    /// Waits for a final response to our INVITE, and acknowledges one that is no 2xx.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn final_response(&mut self) -> Result<Message, PeerFault> {
        let cseq = self.cseq;
        let first = self
            .wait("an answer to its INVITE", PATIENCE, |m| {
                is_answer(m, cseq, "INVITE")
            })
            .await?;
        let mut answer = first;
        while answer.message.status().is_some_and(|status| status < 200) {
            answer = self
                .wait("a final answer to its INVITE", PATIENCE, |m| {
                    is_answer(m, cseq, "INVITE")
                })
                .await?;
        }
        let message = answer.message;
        if message.status().is_some_and(|status| status >= 300) {
            self.acknowledge_failure(&message)?;
            self.agent.forget(&self.call_id);
        }
        Ok(message)
    }

    /// Sends ACK for a 2xx, along the route that it recorded.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn acknowledge(&mut self, answer: &Message) -> Result<(), PeerFault> {
        self.acknowledge_with(answer, None)
    }

    /// The same with a description, for a 2xx that brought the offer.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn acknowledge_with(
        &mut self,
        answer: &Message,
        description: Option<String>,
    ) -> Result<(), PeerFault> {
        if let Some(to) = answer.line("To") {
            self.remote = to.to_owned();
        }
        if let Some(contact) = answer.line("Contact") {
            self.target = uri_text(contact).to_owned();
        }
        self.routes_of(answer);
        let number = self.cseq;
        let mut draft = self.request_numbered("ACK", number);
        if let Some(description) = description {
            draft = draft.sdp(description);
        }
        let bytes = self.agent.write(draft)?;
        self.agent.send(&self.flow, bytes);
        Ok(())
    }

    /// Offers another description within the call, and acknowledges the answer.
    ///
    /// # Errors
    /// [`PeerFault`], when it is refused.
    pub async fn offer_again(&mut self, offer: String) -> Result<Message, PeerFault> {
        let draft = self.request("INVITE");
        let draft = draft.with("Contact", &self.manner.contact);
        let draft = draft.with("Allow", self.manner.allow).sdp(offer);
        let bytes = self.agent.write(draft)?;
        self.agent.send(&self.flow, bytes);
        let answer = self.final_response().await?;
        if !answer
            .status()
            .is_some_and(|status| (200..300).contains(&status))
        {
            return Err(self.unexpected("200 for its re-INVITE", &answer));
        }
        let draft = self.request_numbered("ACK", self.cseq);
        let bytes = self.agent.write(draft)?;
        self.agent.send(&self.flow, bytes);
        Ok(answer)
    }

    /// Answers the INVITE, with a description if there is one to give.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn respond(
        &mut self,
        status: u16,
        phrase: &str,
        answer: Option<String>,
        extra: &[(&str, String)],
    ) -> Result<(), PeerFault> {
        let Some(invite) = &self.invite else {
            return Ok(());
        };
        let mut draft = reply(&invite.message, status, phrase, Some(&self.local));
        draft = draft.with("Server", &self.manner.product);
        if (101..300).contains(&status) {
            // Each hop stands before those that the request has passed already (RFC 3261 §16.6).
            if let Some(route) = &self.manner.record_route {
                draft = draft.with("Record-Route", route);
            }
            for route in invite.message.lines("Record-Route") {
                draft = draft.with("Record-Route", route);
            }
            draft = draft
                .with("Contact", &self.manner.contact)
                .with("Allow", self.manner.allow);
        }
        for (name, value) in extra {
            draft = draft.with(name, value);
        }
        if let Some(answer) = answer {
            draft = draft.sdp(answer);
        }
        self.agent.answer(invite, draft).map(drop)
    }

    /// Waits for the ACK of our final response.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn acknowledged(&mut self) -> Result<Received, PeerFault> {
        let ack = self
            .wait("ACK", PATIENCE, |m| m.method().as_deref() == Some("ACK"))
            .await?;
        self.check_in_dialog(&ack.message);
        Ok(ack)
    }

    /// Ends the call and waits until the other side agrees.
    ///
    /// # Errors
    /// [`PeerFault`], when it does not.
    pub async fn hang_up(&mut self) -> Result<(), PeerFault> {
        let mut draft = self.request("BYE");
        for (name, value) in &self.manner.bye {
            draft = draft.with(name, value);
        }
        let bytes = self.agent.write(draft)?;
        self.agent.send(&self.flow, bytes);
        let cseq = self.cseq;
        let answer = self
            .wait("an answer to its BYE", PATIENCE, |m| {
                is_answer(m, cseq, "BYE") && m.status().is_some_and(|status| status >= 200)
            })
            .await?;
        self.agent.forget(&self.call_id);
        match answer.message.status() {
            Some(200..=299) => Ok(()),
            _ => Err(self.unexpected("200 for its BYE", &answer.message)),
        }
    }

    /// Waits until the other side ends the call, and agrees.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn hung_up(&mut self, patience: Duration) -> Result<(), PeerFault> {
        let bye = self
            .wait("BYE", patience, |m| m.method().as_deref() == Some("BYE"))
            .await?;
        self.check_in_dialog(&bye.message);
        let draft = reply(&bye.message, 200, "OK", None).with("Server", &self.manner.product);
        self.agent.answer(&bye, draft)?;
        self.agent.forget(&self.call_id);
        Ok(())
    }

    /// Waits for a message; others wait for their turn.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn wait(
        &mut self,
        wanted: &str,
        patience: Duration,
        is_it: impl Fn(&Message) -> bool,
    ) -> Result<Received, PeerFault> {
        if let Some(at) = self.waiting.iter().position(|r| is_it(&r.message))
            && let Some(found) = self.waiting.remove(at)
        {
            return Ok(found);
        }
        let deadline = Instant::now() + patience;
        while let Ok(Some(received)) = timeout_at(deadline, self.inbox.recv()).await {
            if is_it(&received.message) {
                return Ok(received);
            }
            self.waiting.push_back(received);
        }
        Err(PeerFault::Silence {
            peer: self.agent.name().to_owned(),
            wanted: wanted.to_owned(),
            after: patience,
        })
    }

    /// The route set that a response to our INVITE gives (RFC 3261 §12.1.2), as it leaves our own proxy, which takes
    /// itself off (§16.4).
    pub(super) fn routes_of(&mut self, response: &Message) {
        let routes = response.values("Record-Route").into_iter().rev();
        self.route = routes.map(str::to_owned).collect();
        let own = self.manner.record_route.as_deref().map(uri_text);
        if own.is_some() && self.route.first().map(|first| uri_text(first)) == own {
            self.route.remove(0);
        }
    }

    /// What to say about a message that was not wanted.
    pub fn unexpected(&self, wanted: &str, got: &Message) -> PeerFault {
        PeerFault::Unexpected {
            peer: self.agent.name().to_owned(),
            wanted: wanted.to_owned(),
            got: format!("\"{}\"", got.title()),
        }
    }

    /// The other side must address us as we asked it to (RFC 3261 §12.2.1.1, TDR-SIP-040).
    pub(super) fn check_in_dialog(&self, request: &Message) {
        let mut breaches = Vec::new();
        let contact = uri_text(&self.manner.contact);
        let uri = request.uri_text();
        if uri != contact {
            let what = format!("Request-URI is {uri}, our Contact was {contact}");
            breaches.push(Breach::noted("TDR-SIP-040", what));
        }
        let route: Vec<&str> = request.values("Route").into_iter().map(uri_text).collect();
        let wanted: Vec<&str> = self
            .manner
            .record_route
            .iter()
            .map(|r| uri_text(r))
            .collect();
        if route != wanted {
            let what = format!(
                "Route is [{}], we recorded [{}]",
                route.join(", "),
                wanted.join(", ")
            );
            breaches.push(Breach::noted("TDR-SIP-040", what));
        }
        self.agent.find(&self.call_id, &request.title(), breaches);
    }

    /// ACK of a final response that is no 2xx: same branch, same route (RFC 3261 §17.1.1.3).
    pub(super) fn acknowledge_failure(&mut self, answer: &Message) -> Result<(), PeerFault> {
        let draft = Draft::request("ACK", &self.target)
            .with("Via", self.via(&self.branch))
            .with("Max-Forwards", 70)
            .with("From", &self.local)
            .with("To", answer.line("To").unwrap_or(&self.remote))
            .with("Call-ID", &self.call_id)
            .with("CSeq", format!("{} ACK", self.cseq));
        let bytes = self.agent.write(draft)?;
        self.agent.send(&self.flow, bytes);
        Ok(())
    }

    pub(super) fn request(&mut self, method: &str) -> Draft {
        self.cseq = self.cseq.max(self.latest) + 1;
        self.request_numbered(method, self.cseq)
    }

    pub(super) fn request_numbered(&mut self, method: &str, number: u32) -> Draft {
        self.branch = format!("z9hG4bK{}", random::word::<8>());
        let mut draft = Draft::request(method, &self.target)
            .with("From", &self.local)
            .with("To", &self.remote)
            .with("CSeq", format!("{number} {method}"))
            .with("Call-ID", &self.call_id)
            .with("Max-Forwards", 70)
            .with("Via", self.via(&self.branch));
        for route in &self.route {
            draft = draft.with("Route", route);
        }
        draft.with("User-Agent", &self.manner.product)
    }

    pub(super) fn via(&self, branch: &str) -> String {
        let rport = if self.flow.is_reliable() {
            ""
        } else {
            ";rport"
        };
        format!(
            "SIP/2.0/{} {};branch={branch}{rport}",
            self.manner.transport, self.manner.sent_by
        )
    }
}

/// A response with what it must copy from the request; `local` is To with our tag.
pub fn reply(request: &Message, status: u16, phrase: &str, local: Option<&str>) -> Draft {
    let mut draft = Draft::response(status, phrase);
    for via in request.lines("Via") {
        draft = draft.with("Via", via);
    }
    let to = request.line("To").unwrap_or_default();
    draft
        .with("From", request.line("From").unwrap_or_default())
        .with("To", local.unwrap_or(to))
        .with("Call-ID", request.call_id())
        .with("CSeq", request.line("CSeq").unwrap_or_default())
}

pub(super) fn is_answer(message: &Message, cseq: u32, method: &str) -> bool {
    message.status().is_some() && message.cseq() == Some((cseq, method))
}
