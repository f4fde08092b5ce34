//! A trunk's transfers: what becomes of REFER, and of the dialogs that it names (section 8 of our
//! requirements).

use super::finding::Collector;
use super::read::Section;
use super::source::At;
use crate::sip::{Method, Status};

/// What becomes of a peer's wishes to transfer calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferPolicy {
    /// Who carries them out.
    pub refer: Refer,
    /// Status of an accepted REFER: 202, which every sender knows, or 200 (RFC 7647 §5).
    pub accepted: Status,
    /// Whether a dialog that is none of ours is named to the target of a transfer, which may know it.
    pub names_unknown: bool,
    /// Whether a transfer to this peer is told as a diversion by who asked for it.
    pub is_diversion: bool,
    /// Most transfers of one call, 1 to 100, after which its peer may ask for no other: more run in circles
    /// (SIP-809). 5 by default; calls of a contact centre see more (TDR-CC-002).
    pub most: usize,
}

/// Who carries out a peer's REFER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Refer {
    /// We transfer the call ourselves; the other party sees at most a re-INVITE.
    #[default]
    Local,
    /// The other party, which gets a REFER of ours.
    Relay,
    /// Nobody: it is refused, and not offered.
    Refuse,
}

impl Refer {
    /// The methods of a preset together with those that transfers need. NOTIFY is for the peer's
    /// own subscribers among us (TDR-XFR-002).
    pub(super) fn allowed(self, mut methods: Vec<Method>) -> Vec<Method> {
        match self {
            Self::Local | Self::Relay => methods.extend([Method::Notify, Method::Refer]),
            Self::Refuse => methods.retain(|method| *method != Method::Refer),
        }
        let mut seen = Vec::with_capacity(methods.len());
        methods.retain(|method| {
            let is_new = !seen.contains(method);
            seen.push(method.clone());
            is_new
        });
        methods
    }
}

impl Default for TransferPolicy {
    fn default() -> Self {
        Self {
            refer: Refer::default(),
            accepted: Status::ACCEPTED,
            names_unknown: true,
            is_diversion: false,
            most: 5,
        }
    }
}

/// The keys of a trunk about transfers, as they are written.
#[derive(Default)]
pub(super) struct WrittenTransfer {
    pub(super) refer: Option<At<Refer>>,
    pub(super) accepted: Option<At<Status>>,
    pub(super) names_unknown: Option<At<bool>>,
    pub(super) is_diversion: Option<At<bool>>,
    pub(super) most: Option<At<u64>>,
}

pub(super) fn transfer(section: &mut Section<'_>, out: &mut Collector) -> WrittenTransfer {
    WrittenTransfer {
        refer: section.choice(
            "refer",
            &[
                ("local", Refer::Local),
                ("relay", Refer::Relay),
                ("refuse", Refer::Refuse),
            ],
            &[],
            out,
        ),
        accepted: section.choice(
            "refer_status",
            &[("202", Status::ACCEPTED), ("200", Status::OK)],
            &[],
            out,
        ),
        names_unknown: section.boolean("pass_replaces", out),
        is_diversion: section.boolean("transfer_diversion", out),
        most: section.number("max_transfers", 1..=100, out),
    }
}
