//! What a leg does besides calling, answering and ending: forks, CANCEL, requests within the dialog.

use super::agent::Received;
use super::fault::PeerFault;
use super::leg::{Leg, PATIENCE, is_answer, reply};
use super::message::{Draft, Message, param, uri_text};
use crate::random;
use std::sync::Arc;
use std::time::Duration;

impl Leg {
    /// Waits for a provisional response with this status.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn hears(&mut self, status: u16, patience: Duration) -> Result<Received, PeerFault> {
        let cseq = self.cseq;
        let wanted = format!("{status} to its INVITE");
        let is_it = |m: &Message| is_answer(m, cseq, "INVITE") && m.status() == Some(status);
        self.wait(&wanted, patience, is_it).await
    }

    /// An early dialog is there: requests of ours go within it (RFC 3261 §12.1.2).
    pub fn early(&mut self, response: &Message) {
        self.invited_by = Some((self.cseq, self.branch.clone()));
        if let Some(to) = response.line("To") {
            self.remote = to.to_owned();
        }
        if let Some(contact) = response.line("Contact") {
            self.target = uri_text(contact).to_owned();
        }
        self.routes_of(response);
    }

    /// After requests within an early dialog: answers to the INVITE are waited for again.
    pub fn back_to_invite(&mut self) {
        if let Some((cseq, branch)) = &self.invited_by {
            self.latest = self.cseq;
            (self.cseq, self.branch) = (*cseq, branch.clone());
        }
    }

    /// What came and nobody waited for, so far.
    pub fn unasked(&mut self) -> Vec<Message> {
        while let Ok(received) = self.inbox.try_recv() {
            self.waiting.push_back(received);
        }
        self.waiting.iter().map(|r| r.message.clone()).collect()
    }

    /// From now on this end answers as another fork: with another tag. Gives the old fork, for
    /// [`Leg::is_fork`].
    pub fn fork(&mut self) -> String {
        let invite = self.invite.as_ref();
        let to = invite.and_then(|invite| invite.message.line("To"));
        let local = format!("{};tag={}", to.unwrap_or_default(), random::word::<6>());
        std::mem::replace(&mut self.local, local)
    }

    /// From now on this end answers as a fork that it was before.
    pub fn is_fork(&mut self, fork: String) {
        self.local = fork;
    }

    /// From now on requests of ours name a dialog that does not exist. Gives what was right, for
    /// [`Leg::knows_tag`].
    pub fn mistakes_tag(&mut self) -> String {
        let (head, _) = self
            .remote
            .rsplit_once(";tag=")
            .unwrap_or((&self.remote, ""));
        let wrong = format!("{head};tag={}", random::word::<6>());
        std::mem::replace(&mut self.remote, wrong)
    }

    /// From now on requests of ours name their dialog again.
    pub fn knows_tag(&mut self, right: String) {
        self.remote = right;
    }

    /// Our tag in the dialog.
    pub fn tag(&self) -> &str {
        param(&self.local, "tag").unwrap_or_default()
    }

    /// The other side's tag in the dialog.
    pub fn other_tag(&self) -> &str {
        param(&self.remote, "tag").unwrap_or_default()
    }

    /// Asks to end the INVITE that is under way; its final response is still to come.
    ///
    /// # Errors
    /// [`PeerFault`], when the CANCEL is not answered with 200.
    pub async fn cancel(&mut self) -> Result<(), PeerFault> {
        self.cancel_with(&[]).await
    }

    /// The same with further header fields.
    ///
    /// # Errors
    /// [`PeerFault`], when the CANCEL is not answered with 200.
    pub async fn cancel_with(&mut self, extra: &[(&str, String)]) -> Result<(), PeerFault> {
        let number = self.cseq;
        let mut draft = Draft::request("CANCEL", &self.target)
            .with("Via", self.via(&self.branch))
            .with("Max-Forwards", 70)
            .with("From", &self.local)
            .with("To", &self.remote)
            .with("Call-ID", &self.call_id)
            .with("CSeq", format!("{number} CANCEL"));
        for (name, value) in extra {
            draft = draft.with(name, value);
        }
        let bytes = self.agent.write(draft)?;
        self.agent.send(&self.flow, bytes);
        let answer = self
            .wait("an answer to its CANCEL", PATIENCE, |m| {
                is_answer(m, number, "CANCEL")
            })
            .await?;
        match answer.message.status() {
            Some(200) => Ok(()),
            _ => Err(self.unexpected("200 for its CANCEL", &answer.message)),
        }
    }

    /// Asks as one who is not in the call: under another tag of its own.
    ///
    /// # Errors
    /// [`PeerFault`].
    pub async fn asks_as_another(
        &mut self,
        method: &str,
        extra: &[(&str, String)],
    ) -> Result<Message, PeerFault> {
        let own = self.local.clone();
        self.local = match own.split_once(";tag=") {
            Some((name, _)) => format!("{name};tag=somebody"),
            None => own.clone(),
        };
        let answer = self.ask(method, extra, None).await;
        self.local = own;
        answer
    }

    /// Sends a request within the dialog and waits for its final response; that of an INVITE is
    /// acknowledged.
    ///
    /// # Errors
    /// [`PeerFault`].
    pub async fn ask(
        &mut self,
        method: &str,
        extra: &[(&str, String)],
        description: Option<String>,
    ) -> Result<Message, PeerFault> {
        let mut draft = self.request(method);
        if matches!(method, "INVITE" | "REFER") {
            draft = draft
                .with("Contact", &self.manner.contact)
                .with("Allow", self.manner.allow);
        }
        for (name, value) in extra {
            draft = draft.with(name, value);
        }
        let is_typed = extra.iter().any(|(name, _)| *name == "Content-Type");
        if let Some(description) = description {
            draft = match is_typed {
                true => draft.body(description),
                false => draft.sdp(description),
            };
        }
        let bytes = self.agent.write(draft)?;
        self.agent.send(&self.flow, bytes);
        let cseq = self.cseq;
        let wanted = format!("an answer to its {method}");
        let mut answer = self
            .wait(&wanted, PATIENCE, |m| is_answer(m, cseq, method))
            .await?;
        while answer.message.status().is_some_and(|status| status < 200) {
            answer = self
                .wait(&wanted, PATIENCE, |m| is_answer(m, cseq, method))
                .await?;
        }
        let message = answer.message;
        match (method, message.status()) {
            ("INVITE", Some(200..=299)) => {
                if let Some(contact) = message.line("Contact") {
                    self.target = uri_text(contact).to_owned();
                }
                let ack = self.request_numbered("ACK", cseq);
                let bytes = self.agent.write(ack)?;
                self.agent.send(&self.flow, bytes);
            }
            ("INVITE", _) => self.acknowledge_failure(&message)?,
            _ => {}
        }
        Ok(message)
    }

    /// Whether a bad network is between this end and the other.
    pub fn is_impaired(&self) -> bool {
        self.agent.is_impaired()
    }

    /// Waits for a request of the other side.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn asked(&mut self, method: &str, patience: Duration) -> Result<Received, PeerFault> {
        let is_it = |m: &Message| m.method().as_deref() == Some(method);
        let request = self.wait(method, patience, is_it).await?;
        if !matches!(method, "CANCEL" | "INVITE") {
            self.check_in_dialog(&request.message);
        }
        Ok(request)
    }

    /// Answers a request within the dialog.
    ///
    /// # Errors
    /// [`PeerFault::Draft`].
    pub fn answer(
        &self,
        request: &Received,
        status: u16,
        phrase: &str,
        description: Option<String>,
    ) -> Result<(), PeerFault> {
        let mut draft =
            reply(&request.message, status, phrase, None).with("Server", &self.manner.product);
        if request.message.method().as_deref() == Some("INVITE") && status < 300 {
            draft = draft
                .with("Contact", &self.manner.contact)
                .with("Allow", self.manner.allow);
        }
        if let Some(description) = description {
            draft = draft.sdp(description);
        }
        self.agent.answer(request, draft).map(drop)
    }

    /// From now on this end is to be reached elsewhere: its Contact is another.
    pub fn moves_to(&mut self, contact: String) {
        Arc::make_mut(&mut self.manner).contact = contact;
    }

    /// Waits for the INVITE that comes after one that was refused, and takes it as a new dialog.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn invited_again(&mut self) -> Result<(), PeerFault> {
        let invite = self.asked("INVITE", PATIENCE).await?;
        self.invite = Some(invite);
        self.fork();
        Ok(())
    }

    /// Accepts an INVITE within the dialog, and waits for the ACK.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn accept(
        &mut self,
        request: &Received,
        description: String,
    ) -> Result<(), PeerFault> {
        self.answer(request, 200, "OK", Some(description))?;
        self.asked("ACK", PATIENCE).await.map(drop)
    }

    /// Waits for CANCEL of the INVITE that came in, agrees, and refuses the INVITE with 487.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn cancelled(&mut self, patience: Duration) -> Result<Message, PeerFault> {
        let cancel = self.asked("CANCEL", patience).await?;
        self.answer(&cancel, 200, "OK", None)?;
        self.respond(487, "Request Terminated", None, &[])?;
        self.acknowledged_failure().await?;
        Ok(cancel.message)
    }

    /// Waits for the ACK of a final response that is no 2xx.
    ///
    /// # Errors
    /// [`PeerFault::Silence`].
    pub async fn acknowledged_failure(&mut self) -> Result<(), PeerFault> {
        let is_ack = |m: &Message| m.method().as_deref() == Some("ACK");
        self.wait("ACK", PATIENCE, is_ack).await.map(drop)
    }
}
