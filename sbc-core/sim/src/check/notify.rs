//! Whoever asks for a transfer and gets 202 is told of its end exactly once, after the 202 and before
//! a BYE of ours (SIP-802). What another party carries out may end after our BYE, because nobody is kept
//! waiting for its words: the subscription outlives the session (RFC 5057). Each NOTIFY waits for the answer to
//! the last one, unless our BYE follows it at once.

use super::{Checker, End, Rules, Seen, Violation};
use crate::wire::Wire;
use sbc_core::id::{ShardId, TransactionId};
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Notifies {
    /// Whether another party carries transfers out.
    are_relayed: bool,
    dialogs: BTreeMap<String, Dialog>,
    /// Call-IDs of NOTIFYs by transaction.
    on_their_way: BTreeMap<(ShardId, TransactionId), String>,
}

/// One dialog with a transferor, by Call-ID.
#[derive(Default)]
struct Dialog {
    /// The transferor's tag: phones that answer the same INVITE have others, and dialogs of their own.
    peer: Option<String>,
    /// REFERs that we have accepted, by sequence number.
    accepted: BTreeSet<u32>,
    /// NOTIFYs, by sequence number: the network repeats what we repeat.
    told: BTreeSet<u32>,
    /// NOTIFYs that said it was the last, by sequence number.
    last: BTreeSet<u32>,
    /// The NOTIFY of a running subscription that has no answer yet.
    unanswered: Option<u32>,
    /// When one left before the last had its answer: allowed if our BYE leaves then too.
    hasty: Option<(Timestamp, u32)>,
    /// Our answer to an INVITE has no ACK yet, for which our BYE waits (RFC 3261 §15).
    is_unconfirmed: bool,
    /// NOTIFYs that were refused or found no way, or whose sender may think so: nothing follows them.
    is_refused: bool,
}

impl Checker for Notifies {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let (wire, is_sent) = match seen {
            Seen::Sent {
                wire: Some(wire),
                transaction,
                ..
            } => {
                let call_id = || wire.call_id().to_owned();
                let news = transaction.filter(|_| wire.method() == Some("NOTIFY"));
                self.on_their_way.extend(news.map(|id| (id, call_id())));
                (wire, true)
            }
            Seen::Heard {
                wire: Some(wire), ..
            } => (wire, false),
            Seen::SendFailed { transaction } => {
                let call_id = self.on_their_way.remove(transaction);
                let dialog = call_id.and_then(|call_id| self.dialogs.get_mut(&call_id));
                if let Some(dialog) = dialog {
                    dialog.is_refused = true;
                }
                return;
            }
            _ => return,
        };
        let text = match is_sent {
            true => self.sent(at, wire),
            false => {
                self.heard(at, wire);
                None
            }
        };
        let rule = "notify";
        out.extend(text.map(|text| Violation { at, rule, text }));
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        for (call_id, dialog) in &self.dialogs {
            if let Some((at, number)) = dialog.hasty {
                out.push(Violation {
                    at,
                    rule: "notify",
                    text: format!("{call_id}: NOTIFY {number} before the answer to the last one"),
                });
            }
            if dialog.accepted.len() > dialog.last.len() && !dialog.is_refused {
                out.push(Violation {
                    at: end.at,
                    rule: "notify",
                    text: format!("{call_id}: a transferor never heard how it ended"),
                });
            }
        }
    }
}

impl Notifies {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            are_relayed: rules.setting.relays_transfers,
            dialogs: BTreeMap::new(),
            on_their_way: BTreeMap::new(),
        }
    }

    fn sent(&mut self, at: Timestamp, wire: &Wire) -> Option<String> {
        let call_id = wire.call_id().to_owned();
        let (number, method) = wire.cseq()?;
        match (wire.status(), method) {
            (Some(status), "REFER") if (200..300).contains(&status) => {
                let dialog = self.dialogs.entry(call_id).or_default();
                dialog.accepted.insert(number);
                dialog.peer = wire.tag("From").map(str::to_owned);
                None
            }
            (Some(status), "INVITE") if (200..300).contains(&status) => {
                self.dialogs.entry(call_id).or_default().is_unconfirmed = true;
                None
            }
            (None, "NOTIFY") => {
                let state = wire.get("Subscription-State").unwrap_or_default();
                let dialog = self.dialogs.get_mut(&call_id);
                let Some(dialog) = dialog.filter(|own| !own.accepted.is_empty()) else {
                    return Some(format!("{call_id}: NOTIFY before any 202"));
                };
                if !dialog.told.insert(number) {
                    return None;
                }
                if dialog.last.len() >= dialog.accepted.len() {
                    return Some(format!("{call_id}: NOTIFY {number} after the last one"));
                }
                if dialog.unanswered.is_some() && !dialog.is_refused {
                    dialog.hasty.get_or_insert((at, number));
                }
                let is_last = state.starts_with("terminated");
                if is_last {
                    dialog.last.insert(number);
                }
                dialog.unanswered = (!is_last).then_some(number);
                None
            }
            (None, "BYE") => {
                let dialog = self.dialogs.get_mut(&call_id)?;
                if dialog.peer.as_deref() != wire.tag("To") {
                    return None;
                }
                dialog.hasty.take_if(|(then, _)| *then == at);
                if self.are_relayed {
                    return None;
                }
                let is_owed = dialog.last.len() < dialog.accepted.len() && !dialog.is_refused;
                is_owed.then(|| format!("{call_id}: BYE before the last NOTIFY"))
            }
            _ => None,
        }
    }

    fn heard(&mut self, at: Timestamp, wire: &Wire) {
        let Some(dialog) = self.dialogs.get_mut(wire.call_id()) else {
            return;
        };
        if wire.method() == Some("ACK") && std::mem::take(&mut dialog.is_unconfirmed) {
            // Our BYE may leave now.
            let hasty = dialog.hasty.iter_mut();
            hasty.for_each(|(then, _)| *then = at);
        }
        if let (Some((number, "NOTIFY")), Some(status @ 200..)) = (wire.cseq(), wire.status()) {
            dialog.is_refused |= status >= 300;
            dialog.unanswered.take_if(|waiting| *waiting == number);
        }
    }
}
