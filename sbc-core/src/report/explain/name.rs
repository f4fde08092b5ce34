//! What a record is told as: the name of its explanation.

use crate::cause::CauseCode;
use crate::event::TargetFault;
use crate::query::ResolveFault;
use crate::record::{Record, TransferOutcome};
use crate::transport::{CertificateFault, FlowFault};
use crate::trouble::Trouble;

/// The name. What the decision itself says counts most, then what the last target did, then its status.
pub(super) fn name(record: &Record) -> Trouble {
    let cause = &record.cause;
    if let Some(told) = cause.because.1 {
        return told;
    }
    let last = record.egress.last();
    let fault = last.and_then(|attempt| attempt.fault.as_ref());
    let status = last.and_then(|attempt| attempt.status).or(cause.status);
    match cause.code {
        CauseCode::NormalClearing => of_end(record),
        CauseCode::CallerCancelled => Trouble::CallerCancelled,
        CauseCode::PeerRejected => match fault {
            Some(TargetFault::Unwritable) => Trouble::NumberUnwritable,
            Some(TargetFault::Status(_)) => Trouble::PeerNoContact,
            _ => refusal(status),
        },
        CauseCode::PeerBusy => match status {
            Some(600) => Trouble::PeerBusyEverywhere,
            _ => Trouble::PeerBusy,
        },
        CauseCode::NoAnswer => match last.and_then(|attempt| attempt.status) {
            None => Trouble::RingTimeout,
            Some(408) => Trouble::PeerGaveUp,
            Some(487) => Trouble::PeerTerminated,
            Some(_) => Trouble::PeerAbsent,
        },
        CauseCode::NumberUnknown => match (fault, status, cause.q850) {
            (Some(TargetFault::NumberForm), _, _) => Trouble::NumberForm,
            _ if last.is_none() && record.called.is_empty() => Trouble::NumberMissing,
            _ if last.is_none() => Trouble::NumberOfNoTenant,
            (_, Some(410), _) | (_, _, Some(22)) => Trouble::PeerNumberGone,
            (_, Some(484), _) | (_, _, Some(28)) => Trouble::PeerNumberIncomplete,
            (_, Some(604), _) => Trouble::PeerNumberNowhere,
            _ => Trouble::PeerUnknownNumber,
        },
        CauseCode::NoRoute if record.emergency => Trouble::EmergencyNoRoute,
        CauseCode::NoRoute => Trouble::NoRoute,
        CauseCode::Presence => Trouble::CalleeAbsent,
        CauseCode::CallerNotAllowed => Trouble::CallerNumber,
        CauseCode::LoopDetected => match status {
            Some(483) => Trouble::PeerHops,
            _ => Trouble::PeerLoop,
        },
        CauseCode::BadRequest => Trouble::BadRequest,
        CauseCode::MediaIncompatible => match status {
            Some(406) => Trouble::PeerNotAcceptable,
            Some(415) => Trouble::PeerRefusesBody,
            _ => Trouble::PeerRefusesMedia,
        },
        CauseCode::MediaUnavailable => Trouble::RelayUnavailable,
        CauseCode::MediaTimeout => match record.media.iter().any(|leg| leg.packets_in == 0) {
            true => Trouble::MediaNeverCame,
            false => Trouble::MediaStopped,
        },
        CauseCode::HandshakeFailed => Trouble::DtlsHandshake,
        CauseCode::PeerUnreachable => fault.map_or(Trouble::NothingTried, of_fault),
        CauseCode::PeerTimeout => match status {
            Some(504) if fault.is_none() => Trouble::PeerGatewayTimeout,
            _ => Trouble::PeerSilent,
        },
        CauseCode::NoAck => Trouble::NoAck,
        CauseCode::InCallFailure => Trouble::InCallUnanswered,
        CauseCode::TransferFailed => Trouble::TransferLeftNobody,
        CauseCode::LimitReached => Trouble::NodeFull,
        CauseCode::Preempted => Trouble::Preempted,
        CauseCode::SpendReached => Trouble::SpendReached,
        CauseCode::TrunkClosed => Trouble::TrunkDisabled,
        CauseCode::Operator => Trouble::EndedByOperator,
        CauseCode::RestartLost => Trouble::RestartLost,
        CauseCode::InternalError => Trouble::InternalError,
    }
}

/// Of a call that ended by hanging up: what was wrong with it all the same. Why nobody was heard says more than
/// what became of a transfer, which is the reason why somebody hung up otherwise.
fn of_end(record: &Record) -> Trouble {
    if let Some(fault) = record.one_way.first() {
        return fault.kind.into();
    }
    match record.transfers.last().map(|transfer| transfer.outcome) {
        Some(TransferOutcome::Refused) => Trouble::TransferRefused,
        Some(TransferOutcome::Failed) => Trouble::TransferTargetFailed,
        Some(
            TransferOutcome::Completed | TransferOutcome::Abandoned | TransferOutcome::Unknown,
        )
        | None => Trouble::NormalEnd,
    }
}

/// A status with which the called side refuses, where the cause does not say more.
fn refusal(status: Option<u16>) -> Trouble {
    match status {
        Some(300..=399) => Trouble::PeerRedirects,
        Some(400) => Trouble::PeerBadRequest,
        Some(401 | 407) => Trouble::PeerWantsLogin,
        Some(402) => Trouble::PeerWantsPayment,
        Some(403) => Trouble::PeerForbids,
        Some(405 | 501) => Trouble::PeerNoMethod,
        Some(413 | 513) => Trouble::PeerTooLarge,
        Some(414) => Trouble::PeerLongUri,
        Some(416) => Trouble::PeerScheme,
        Some(420 | 421) => Trouble::PeerExtension,
        Some(422) => Trouble::PeerInterval,
        Some(428) => Trouble::PeerWantsSignature,
        Some(433) => Trouble::PeerAnonymous,
        Some(436..=438) => Trouble::PeerBadSignature,
        Some(481) => Trouble::PeerNoDialog,
        Some(485) => Trouble::PeerAmbiguous,
        Some(491) => Trouble::PeerPending,
        Some(493) => Trouble::PeerUndecipherable,
        Some(494) => Trouble::PeerSecurity,
        Some(502) => Trouble::PeerGateway,
        Some(503) => Trouble::PeerOverloaded,
        Some(505) => Trouble::PeerVersion,
        Some(580) => Trouble::PeerPrecondition,
        Some(500..=599) => Trouble::PeerFault,
        Some(603) => Trouble::PeerDeclines,
        Some(607) => Trouble::PeerUnwanted,
        Some(608) => Trouble::PeerFiltered,
        _ => Trouble::PeerRefuses,
    }
}

fn of_fault(fault: &TargetFault) -> Trouble {
    match fault {
        TargetFault::Flow(fault) => of_flow(fault),
        TargetFault::Resolve(ResolveFault::NotFound) => Trouble::DnsUnknown,
        TargetFault::Resolve(ResolveFault::Timeout) => Trouble::DnsTimeout,
        TargetFault::Resolve(ResolveFault::ServerFailure) => Trouble::DnsFailure,
        TargetFault::Timeout => Trouble::PeerSilent,
        TargetFault::Status(_) => Trouble::PeerNoContact,
        TargetFault::Quarantined => Trouble::TargetPaused,
        TargetFault::Relieved => Trouble::TargetRelieved,
        TargetFault::Unwritable => Trouble::NumberUnwritable,
        TargetFault::NumberForm => Trouble::NumberForm,
        TargetFault::Down => Trouble::TargetsDown,
        TargetFault::NotRegistered => Trouble::NotRegistered,
        TargetFault::NoBinding => Trouble::NoBinding,
    }
}

fn of_flow(fault: &FlowFault) -> Trouble {
    match fault {
        FlowFault::Connect(_) => Trouble::ConnectionRefused,
        FlowFault::ConnectTimeout => Trouble::ConnectionTimeout,
        FlowFault::Handshake(_) => Trouble::TlsFailed,
        FlowFault::TlsCertificate(refusal) => match refusal.fault {
            CertificateFault::Expired => Trouble::TlsExpired,
            CertificateFault::NotYetValid => Trouble::TlsNotYet,
            CertificateFault::UnknownAuthority => Trouble::TlsAuthority,
            CertificateFault::Purpose => Trouble::TlsPurpose,
            CertificateFault::Revoked => Trouble::TlsRevoked,
            CertificateFault::Other => Trouble::TlsCertificate,
        },
        FlowFault::TlsAlert(_) => Trouble::TlsAlert,
        FlowFault::HandshakeTimeout => Trouble::TlsTimeout,
        FlowFault::TlsName { .. } => Trouble::TlsName,
        FlowFault::Closed => Trouble::ConnectionClosed,
        FlowFault::Broken(_) => Trouble::ConnectionBroken,
        FlowFault::QueueFull => Trouble::ConnectionStuck,
        FlowFault::NotSip => Trouble::NotSip,
        FlowFault::Idle => Trouble::ConnectionIdle,
        FlowFault::NoListener => Trouble::NoListener,
    }
}
