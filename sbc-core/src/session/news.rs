//! Who is there, as requests within a confirmed dialog say it (SIP-1005): what one of ours said is news
//! until it is accepted, and what one of the peer says is believed once it is.

use super::Session;
use crate::sip::{HeaderName, Message, Method};
use bytes::Bytes;

/// A request of ours and what it says.
type Saying = (Method, Vec<(HeaderName, Bytes)>);

/// What is under way and what is left to be looked at.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What a request of ours says that has no final response yet: one at a time.
    saying: Option<Box<Saying>>,
    unsaid: Option<Box<Unsaid>>,
    /// The peer's last request with such lines that was accepted.
    heard: Option<Box<Message>>,
}

/// What a request of ours said that was not accepted.
#[derive(Debug)]
pub(crate) struct Unsaid {
    pub(crate) lines: Vec<(HeaderName, Bytes)>,
    /// It may be said again as soon as there is room for a request; else with the next one.
    pub(crate) again: bool,
}

impl News {
    /// A request says this.
    pub(super) fn says(&mut self, method: Method, lines: &[(HeaderName, Bytes)]) {
        if !lines.is_empty() {
            self.saying = Some(Box::new((method, lines.to_vec())));
        }
    }

    /// Whether a request under way says something.
    pub(super) fn is_saying(&self, method: &Method) -> bool {
        self.saying
            .as_ref()
            .is_some_and(|saying| saying.0 == *method)
    }

    /// A request was accepted.
    pub(super) fn accepted(&mut self, method: &Method) {
        self.saying.take_if(|saying| saying.0 == *method);
    }

    /// A request was refused, or could not be sent.
    pub(super) fn refused(&mut self, method: &Method, again: bool) {
        let saying = self.saying.take_if(|saying| saying.0 == *method);
        if let Some((_, lines)) = saying.map(|saying| *saying)
            && !lines.is_empty()
        {
            self.unsaid = Some(Box::new(Unsaid { lines, again }));
        }
    }

    /// A request of the peer was accepted, whose From is another one than before if `is_renamed`.
    pub(super) fn hears(&mut self, request: &Message, is_renamed: bool) {
        if is_renamed || request.has(HeaderName::PAssertedIdentity) {
            self.heard = Some(Box::new(request.clone()));
        }
    }
}

impl Session {
    /// What was not accepted of what we said.
    pub(crate) fn take_unsaid(&mut self) -> Option<Unsaid> {
        self.news.unsaid.take().map(|unsaid| *unsaid)
    }

    /// The peer's request that said who is there and was accepted.
    pub(crate) fn take_heard(&mut self) -> Option<Message> {
        self.news.heard.take().map(|request| *request)
    }

    /// Whether a request that says who is there has no final response yet.
    pub(crate) fn is_telling(&self) -> bool {
        self.news.saying.is_some()
    }

    /// What is under way is not true any more: it is not said again.
    pub(crate) fn forget_telling(&mut self) {
        self.news.unsaid = None;
        if let Some((_, lines)) = self.news.saying.as_deref_mut() {
            lines.clear();
        }
    }
}
