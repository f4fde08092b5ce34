//! The checkers are checked: a fault planted into the effects of the product must be found, by the
//! rule that is there for it. A checker that cannot fail proves nothing.

use crate::common::planted::{editing, finds, following, rules, tampered};
use crate::common::{ms, secs};
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::Happened;
use sbc_core::id::{ShardId, TlsContextName};
use sbc_core::input::Input;
use sbc_core::sip::Message;
use sbc_core::time::{Now, Timestamp};
use sbc_sim::actor::{Ack, Act, Cancel, Change, Hold, Script, Wanted};
use sbc_sim::scenario::{Happening, PlannedCall, Scenario};
use sbc_sim::subject::{Residue, Subject};
use sbc_sim::topology::STRANGER;
use sbc_sim::world::World;
use std::sync::atomic::{AtomicU64, Ordering};

fn held() -> Vec<Change> {
    vec![Change::new(secs(1), Wanted::Hold(Hold::Inactive))]
}

fn call() -> Scenario {
    Scenario::quiet(1).call(PlannedCall::to_teams)
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_default();
    line.get(name.len()..).unwrap_or_default().trim()
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    assert_eq!(
        rules(&call(), tampered(|effect| vec![effect])),
        Vec::<&str>::new()
    );
}

#[test]
fn a_missing_ack_is_found() {
    finds(
        "transaction-no-ack",
        &call(),
        editing(|text| (!text.starts_with("ACK ")).then_some(text)),
    );
}

#[test]
fn a_request_without_final_response_is_found() {
    let tamper = editing(|text| {
        let is_bye_answer = text.starts_with("SIP/2.0 ") && header(&text, "CSeq:").ends_with("BYE");
        (!is_bye_answer).then_some(text)
    });
    finds("transaction-no-final", &call(), tamper);
}

#[test]
fn a_second_final_response_is_found() {
    let second = following(|text| {
        let is_final = text.starts_with("SIP/2.0 200");
        is_final.then(|| text.replacen("200 OK", "486 Busy Here", 1))
    });
    finds("transaction-two-finals", &call(), second);
}

#[test]
fn a_provisional_after_the_final_is_found() {
    let late = following(|text| {
        let is_answer = text.starts_with("SIP/2.0 200") && text.contains("1 INVITE");
        is_answer.then(|| text.replacen("200 OK", "180 Ringing", 1))
    });
    finds("transaction-order", &call(), late);
}

#[test]
fn a_used_branch_is_found() {
    let mut first = None;
    let tamper = editing(move |text| {
        if text.starts_with("SIP/2.0") {
            return Some(text);
        }
        let via = header(&text, "Via:").to_owned();
        if text.starts_with("INVITE ") {
            first.get_or_insert(via);
            return Some(text);
        }
        match &first {
            Some(used) if text.starts_with("BYE ") => Some(text.replace(&via, used)),
            _ => Some(text),
        }
    });
    finds("request-branch", &call(), tamper);
}

#[test]
fn a_sequence_number_that_stands_still_is_found() {
    let tamper = editing(|text| {
        let cseq = header(&text, "CSeq:").to_owned();
        Some(if text.starts_with("BYE ") {
            text.replace(&cseq, "1 BYE")
        } else {
            text
        })
    });
    finds("request-cseq", &call(), tamper);
}

#[test]
fn a_cancel_before_any_provisional_and_a_cancel_that_is_ignored_are_found() {
    let scenario = Scenario::quiet(1).call(|n| {
        PlannedCall::to_teams(n)
            .dialing(|d| d.cancel = Some(Cancel::AfterStatus(180, ms(100))))
            .answering(|s| {
                s.acts = vec![
                    (ms(1), Act::Trying),
                    (
                        ms(20),
                        Act::Progress {
                            status: 180,
                            fork: 0,
                            sdp: false,
                        },
                    ),
                ]
            })
    });
    let early = following(|text| {
        let (head, _) = text.split_once("\r\n\r\n")?;
        let cancel = head
            .replacen("INVITE ", "CANCEL ", 1)
            .replace("1 INVITE", "1 CANCEL");
        text.starts_with("INVITE ").then_some(cancel + "\r\n\r\n")
    });
    finds("cancel", &scenario, early);
    let ignored = editing(|text| {
        Some(if text.starts_with("SIP/2.0 487") {
            text.replacen("487", "480", 1)
        } else {
            text
        })
    });
    finds("transaction-cancel", &scenario, ignored);
}

#[test]
fn a_changed_to_tag_is_found() {
    let mut count = 0;
    let tamper = editing(move |text| {
        count += 1;
        let to = header(&text, "To:").to_owned();
        let is_answer =
            text.starts_with("SIP/2.0 200") && header(&text, "CSeq:").ends_with("INVITE");
        Some(if is_answer {
            text.replace(&to, &format!("{to}x{count}"))
        } else {
            text
        })
    });
    finds("response-to-tag", &call(), tamper);
}

#[test]
fn a_response_that_does_not_copy_its_request_is_found() {
    let tamper = editing(|text| {
        let from = header(&text, "From:").to_owned();
        let is_ringing = text.starts_with("SIP/2.0 180");
        Some(if is_ringing {
            text.replace(&from, "<sip:other@example.com>;tag=1")
        } else {
            text
        })
    });
    finds("response-copies", &call(), tamper);
}

#[test]
fn a_request_beside_the_route_set_is_found() {
    let tamper = editing(|text| {
        let route = header(&text, "Route:").to_owned();
        Some(if text.starts_with("ACK ") {
            text.replace(&format!("Route: {route}\r\n"), "")
        } else {
            text
        })
    });
    finds("dialog", &call(), tamper);
}

#[test]
fn an_address_of_the_other_side_is_found() {
    let tamper = editing(|text| {
        let leak = "\r\nX-Debug: 198.51.100.11\r\nContent-Length";
        Some(if text.starts_with("INVITE ") {
            text.replacen("\r\nContent-Length", leak, 1)
        } else {
            text
        })
    });
    finds("privacy", &call(), tamper);
}

#[test]
fn a_call_id_of_the_other_leg_is_found() {
    let mut others = None;
    let tamper = editing(move |text| {
        let id = header(&text, "Call-ID:").to_owned();
        if text.starts_with("SIP/2.0 100") {
            others.get_or_insert(id);
            return Some(text);
        }
        let leak = format!(
            "\r\nX-Debug: {}\r\nContent-Length",
            others.as_deref().unwrap_or_default()
        );
        Some(if text.starts_with("INVITE ") {
            text.replacen("\r\nContent-Length", &leak, 1)
        } else {
            text
        })
    });
    finds("privacy", &call(), tamper);
}

#[test]
fn a_connection_of_another_tenant_is_found() {
    finds("tenant", &call(), |effect| match effect {
        Effect::Send {
            mut hop,
            bytes,
            transaction,
            call,
        } => {
            if let Some(tls) = &mut hop.tls {
                std::sync::Arc::make_mut(tls).context = TlsContextName::new("fabrikam");
            }
            vec![Effect::Send {
                hop,
                bytes,
                transaction,
                call,
            }]
        }
        other => vec![other],
    });
}

#[test]
fn a_reply_to_a_stranger_is_found() {
    let scenario = Scenario::quiet(1).extra(
        secs(1),
        Happening::Bytes(STRANGER, b"OPTIONS sip:x SIP/2.0\r\n\r\n".to_vec()),
    );
    let mut is_sent = false;
    finds("stranger", &scenario, move |effect| match &effect {
        Effect::Send { hop, bytes, .. } if !is_sent => {
            is_sent = true;
            let mut hop = hop.clone();
            hop.protocol = sbc_core::transport::Protocol::Udp;
            hop.listener = sbc_sim::topology::listener_name(hop.protocol);
            hop.remote = sbc_sim::topology::peer(STRANGER).address;
            hop.flow = None;
            let second = Effect::Send {
                hop,
                bytes: bytes.clone(),
                transaction: None,
                call: None,
            };
            vec![effect, second]
        }
        _ => vec![effect],
    });
}

#[test]
fn a_missing_and_a_second_record_are_found() {
    finds("record", &call(), |effect| match &effect {
        Effect::Emit(event) if matches!(event.what, Happened::Ended(_)) => Vec::new(),
        _ => vec![effect],
    });
    finds("record", &call(), |effect| match &effect {
        Effect::Emit(event) if matches!(event.what, Happened::Ended(_)) => {
            vec![effect.clone(), effect]
        }
        _ => vec![effect],
    });
}

#[test]
fn media_that_is_never_released_is_found() {
    finds("leak", &call(), |effect| match effect {
        Effect::Media(media_api::Command::Release { .. }) => Vec::new(),
        other => vec![other],
    });
}

#[test]
fn media_commands_for_nothing_are_found() {
    finds("media-misuse", &call(), |effect| match &effect {
        Effect::Media(media_api::Command::Release { .. }) => vec![effect.clone(), effect],
        _ => vec![effect],
    });
}

#[test]
fn an_answer_that_leaves_before_its_path_is_found() {
    // What the relay is told waits for the next message, as if it had been said after it.
    let mut late = Vec::new();
    finds("path-after-answer", &call(), move |effect| match &effect {
        Effect::Media(media_api::Command::Update { .. }) => {
            late.push(effect);
            Vec::new()
        }
        Effect::Send { .. } => std::iter::once(effect).chain(late.drain(..)).collect(),
        _ => vec![effect],
    });
}

#[test]
fn a_table_that_stays_full_is_found() {
    let mut subject = tampered(|effect| vec![effect]);
    subject.residue.calls = 1;
    assert!(rules(&call(), subject).contains(&"leak"));
}

#[test]
fn a_party_that_is_left_alone_is_found() {
    // The callee hangs up; the caller is never told.
    let scenario = Scenario::quiet(1).call(|n| {
        PlannedCall::to_teams(n)
            .dialing(|d| d.hang_up = None)
            .answering(|s| s.hang_up = Some(secs(1)))
    });
    let tamper = editing(|text| (!text.starts_with("BYE ")).then_some(text));
    finds("liveness-half-call", &scenario, tamper);
}

#[test]
fn a_party_that_waits_for_ever_is_found() {
    let scenario = Scenario::quiet(1)
        .call(|n| PlannedCall::to_teams(n).answering(|s| *s = Script::refusing(n, 486)));
    let tamper = editing(|text| (!text.starts_with("SIP/2.0 486")).then_some(text));
    finds("liveness-stuck", &scenario, tamper);
}

#[test]
fn what_a_peer_cannot_accept_is_found() {
    let tamper = editing(|text| {
        let contact = header(&text, "Contact:").to_owned();
        let is_answer =
            text.starts_with("SIP/2.0 200") && header(&text, "CSeq:").ends_with("INVITE");
        Some(if is_answer {
            text.replace(&format!("Contact: {contact}\r\n"), "")
        } else {
            text
        })
    });
    finds("peer-complaint", &call(), tamper);
}

#[test]
fn bytes_that_are_no_message_are_found() {
    let tamper = editing(|text| {
        Some(if text.starts_with("BYE ") {
            text.replacen("SIP/2.0", "SIP/2", 1)
        } else {
            text
        })
    });
    finds("syntax", &call(), tamper);
}

#[test]
fn missing_headers_are_found() {
    for (name, rule) in [
        ("Max-Forwards:", "headers"),
        ("Contact:", "headers"),
        ("Allow:", "headers"),
    ] {
        let tamper = editing(move |text| {
            let value = header(&text, name).to_owned();
            let line = format!("{name} {value}\r\n");
            Some(if text.starts_with("INVITE ") {
                text.replace(&line, "")
            } else {
                text
            })
        });
        finds(rule, &call(), tamper);
    }
    let tamper = editing(|text| {
        Some(if text.starts_with("INVITE ") {
            text.replace("Max-Forwards: 69", "Max-Forwards: 70")
        } else {
            text
        })
    });
    finds("headers", &call(), tamper);
}

#[test]
fn an_address_in_contact_towards_teams_is_found() {
    let tamper = editing(|text| Some(text.replace("@sbc.contoso.example", "@203.0.113.10")));
    finds("teams-headers", &call(), tamper);
}

#[test]
fn an_answer_that_changes_is_found() {
    let scenario = Scenario::quiet(1).call(|n| {
        PlannedCall::to_teams(n).answering(|s| {
            s.acts = vec![
                (
                    ms(10),
                    Act::Progress {
                        status: 183,
                        fork: 0,
                        sdp: true,
                    },
                ),
                (secs(1), Act::Answer { fork: 0 }),
            ];
        })
    });
    let tamper = editing(|text| {
        let is_answer =
            text.starts_with("SIP/2.0 200") && header(&text, "CSeq:").ends_with("INVITE");
        Some(if is_answer {
            text.replace("a=ptime:20", "a=ptime:30")
        } else {
            text
        })
    });
    finds("answer-changed", &scenario, tamper);
}

#[test]
fn a_description_for_the_wrong_side_is_found() {
    let tamper = editing(|text| {
        Some(if text.starts_with("INVITE ") {
            text.replace("RTP/SAVP", "RTP/AVPX")
        } else {
            text
        })
    });
    finds("description", &call(), tamper);
}

#[test]
fn a_panic_is_found() {
    struct Panicking;
    impl Subject for Panicking {
        fn shards(&self) -> u8 {
            1
        }
        fn shard_of(&self, _: &Message) -> ShardId {
            ShardId(0)
        }
        fn apply(&mut self, _: ShardId, _: Now, _: Input, _: &mut Effects) -> Result<(), String> {
            Err("index out of bounds".to_owned())
        }
        fn deadline(&self, _: ShardId) -> Option<Timestamp> {
            None
        }
        fn residue(&self) -> Residue {
            Residue::default()
        }
    }
    assert!(rules(&call(), Panicking).contains(&"panic"));
}

#[test]
fn time_that_stands_still_is_found() {
    let mut subject = tampered(|effect| vec![effect]);
    subject.never_sleeps = true;
    assert!(rules(&call(), subject).contains(&"limit-step"));
}

#[test]
fn an_input_without_end_is_found() {
    finds("limit-step", &call(), |effect| match &effect {
        Effect::Media(media_api::Command::Allocate { .. }) => {
            let mut many = vec![Effect::RetireFlow(sbc_core::id::FlowId(u64::MAX)); 500];
            many.push(effect);
            many
        }
        _ => vec![effect],
    });
}

#[test]
fn a_run_that_depends_on_more_than_its_seed_is_found() {
    static OUTSIDE: AtomicU64 = AtomicU64::new(0);
    let hash = || {
        let tamper = editing(|text| {
            let number = OUTSIDE.fetch_add(1, Ordering::Relaxed);
            Some(text.replacen(
                "\r\nContent-Length",
                &format!("\r\nX-Run: {number}\r\nContent-Length"),
                1,
            ))
        });
        World::new(&call(), Box::new(tampered(tamper)), false)
            .run()
            .hash
    };
    assert_ne!(hash(), hash());
}

#[test]
fn endpoints_that_are_not_joined_are_found() {
    finds("audio-path", &call(), |effect| match effect {
        Effect::Media(media_api::Command::Update { .. }) => Vec::new(),
        other => vec![other],
    });
}

#[test]
fn audio_that_leads_elsewhere_is_found() {
    finds("audio-path", &call(), |effect| match effect {
        Effect::Media(media_api::Command::Answer {
            session,
            endpoint,
            fork,
            mut negotiated,
            stage,
        }) => {
            for stream in negotiated.streams.iter_mut().flatten() {
                stream.remote_rtp.set_port(9);
            }
            vec![Effect::Media(media_api::Command::Answer {
                session,
                endpoint,
                fork,
                negotiated,
                stage,
            })]
        }
        other => vec![other],
    });
}

#[test]
fn a_direction_that_was_not_offered_is_found() {
    let scenario = Scenario::quiet(1).call(|n| {
        PlannedCall::to_teams(n).dialing(|dial| {
            dial.changes = held();
        })
    });
    let tamper = editing(|text| {
        let is_answer = text.starts_with("SIP/2.0 200");
        Some(if is_answer {
            text.replace("a=inactive", "a=sendrecv")
        } else {
            text
        })
    });
    finds("answer", &scenario, tamper);
}

fn is_answer(text: &str, code: &str, method: &str) -> bool {
    text.starts_with(&format!("SIP/2.0 {code} ")) && header(text, "CSeq:").ends_with(method)
}

#[test]
fn an_ack_for_an_answer_that_nobody_gave_is_found() {
    let tamper = editing(|text| {
        Some(match text.starts_with("ACK ") {
            true => {
                let to = header(&text, "To:").to_owned();
                text.replace(&to, &format!("{to}x"))
            }
            false => text,
        })
    });
    finds("ack", &call(), tamper);
}

#[test]
fn an_answer_that_changes_when_it_is_repeated_is_found() {
    let scenario = Scenario::quiet(1)
        .call(|n| PlannedCall::to_teams(n).dialing(|dial| dial.ack = Ack::Late(secs(2))));
    let mut answers = 0;
    let tamper = editing(move |text| {
        if !is_answer(&text, "200", "INVITE") {
            return Some(text);
        }
        answers += 1;
        Some(match answers {
            1 => text,
            _ => text.replacen("Content-Length", "Subject: again\r\nContent-Length", 1),
        })
    });
    finds("transaction-final-changed", &scenario, tamper);
}

#[test]
fn a_timeout_told_to_anything_but_an_invite_is_found() {
    let tamper = editing(|text| {
        Some(match is_answer(&text, "200", "BYE") {
            true => text.replacen("200 OK", "408 Request Timeout", 1),
            false => text,
        })
    });
    finds("transaction-rfc4320", &call(), tamper);
}

#[test]
fn an_answer_that_nobody_asked_for_is_found() {
    let tamper = editing(|text| {
        Some(match is_answer(&text, "200", "BYE") {
            true => text.replace("branch=z9hG4bK", "branch=z9hG4bKx"),
            false => text,
        })
    });
    finds("transaction-unasked", &call(), tamper);
}

#[test]
fn an_origin_that_does_not_count_is_found() {
    let scenario =
        Scenario::quiet(1).call(|n| PlannedCall::to_teams(n).dialing(|dial| dial.changes = held()));
    let tamper = editing(|text| {
        if !is_answer(&text, "200", "INVITE") || header(&text, "CSeq:").starts_with("1 ") {
            return Some(text);
        }
        let origin = header(&text, "o=").to_owned();
        let mut words: Vec<&str> = origin.split(' ').collect();
        words[2] = "9";
        Some(text.replace(&origin, &words.join(" ")))
    });
    finds("origin", &scenario, tamper);
}

#[test]
fn an_answer_in_the_name_of_nobody_is_found() {
    let scenario = Scenario::quiet(1).call(|n| {
        let mut call = PlannedCall::to_teams(n);
        call.scripts[0].1 = Script::refusing(n, 486);
        call
    });
    let tamper = editing(|text| {
        let head = "SIP/2.0 200 OK\r\nContact: <sip:203.0.113.20:5060>\r\nAllow: INVITE";
        Some(text.replace("SIP/2.0 486 Busy Here", head))
    });
    finds("answer-without-callee", &scenario, tamper);
}

#[test]
fn a_message_for_a_shard_that_is_not_there_is_found() {
    let mut subject = tampered(|effect| vec![effect]);
    subject.misroutes = true;
    let found = rules(&call(), subject);
    assert!(found.contains(&"affinity"), "{found:?}");
}

#[test]
fn an_answer_after_the_caller_gave_up_is_found() {
    // The callee answers in time, and all that the caller hears of it for 33 seconds is nothing.
    let scenario = Scenario::quiet(1).call(|n| {
        let mut call = PlannedCall::to_teams(n);
        call.scripts[0].1 = Script::answering(n, secs(6));
        call
    });
    let mut answers = 0;
    let tamper = editing(move |text| {
        let is_of_invite = header(&text, "CSeq:").ends_with("INVITE");
        if text.starts_with("SIP/2.0 1") && is_of_invite {
            return None;
        }
        answers += u32::from(text.starts_with("SIP/2.0 200") && is_of_invite);
        let is_early = text.starts_with("SIP/2.0 200") && is_of_invite && answers < 10;
        (!is_early).then_some(text)
    });
    finds("late-answer", &scenario, tamper);
}

/// Changes requests within the call that describe something.
fn editing_reinvites(mut edit: impl FnMut(String) -> String) -> impl FnMut(Effect) -> Vec<Effect> {
    editing(move |text| {
        let is_reinvite = text.starts_with("INVITE ") && header(&text, "To:").contains(";tag=");
        Some(if is_reinvite { edit(text) } else { text })
    })
}

fn long(changes: Vec<Change>) -> Scenario {
    Scenario::quiet(1).call(|n| {
        PlannedCall::to_teams(n).dialing(|dial| {
            dial.changes = changes;
            dial.hang_up = Some(secs(40));
        })
    })
}

#[test]
fn a_hold_that_is_told_wrongly_is_found() {
    let tamper = editing_reinvites(|text| text.replace("a=inactive", "a=sendrecv"));
    finds("told", &long(held()), tamper);
}

#[test]
fn a_relay_that_sends_to_who_holds_is_found() {
    finds("media-direction", &long(held()), |effect| match effect {
        Effect::Media(media_api::Command::Answer {
            session,
            endpoint,
            fork,
            mut negotiated,
            stage,
        }) => {
            for stream in negotiated.streams.iter_mut().flatten() {
                stream.direction = media_api::Direction::SendReceive;
            }
            vec![Effect::Media(media_api::Command::Answer {
                session,
                endpoint,
                fork,
                negotiated,
                stage,
            })]
        }
        other => vec![other],
    });
}

#[test]
fn a_relay_that_keeps_sending_to_the_old_port_is_found() {
    let mut old = std::collections::BTreeMap::new();
    let moved = vec![Change::new(secs(1), Wanted::Move)];
    finds(
        "media-direction",
        &long(moved),
        move |effect| match effect {
            Effect::Media(media_api::Command::Answer {
                session,
                endpoint,
                fork,
                negotiated,
                stage,
            }) => {
                let negotiated = old.entry(endpoint).or_insert(negotiated).clone();
                vec![Effect::Media(media_api::Command::Answer {
                    session,
                    endpoint,
                    fork,
                    negotiated,
                    stage,
                })]
            }
            other => vec![other],
        },
    );
}

#[test]
fn an_answer_without_description_and_a_refusal_with_one_are_found() {
    let tamper = editing(|text| {
        let is_second = header(&text, "CSeq:") == "2 INVITE";
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        Some(match is_second && is_answer(&text, "200", "INVITE") {
            true => {
                let length = format!("Content-Length: {}", header(head, "Content-Length:"));
                head.replace(&length, "Content-Length: 0") + "\r\n\r\n"
            }
            false => text,
        })
    });
    finds("exchange", &long(held()), tamper);
}

#[test]
fn a_second_offer_while_one_is_open_is_found() {
    let second = following(|text| {
        let is_offer = text.starts_with("INVITE ") && header(text, "To:").contains(";tag=");
        is_offer.then(|| {
            text.replacen("branch=z9hG4bK", "branch=z9hG4bKx", 1)
                .replacen("CSeq: 2", "CSeq: 3", 1)
        })
    });
    finds("exchange", &long(held()), second);
}

#[test]
fn a_crossing_offer_that_gets_the_wrong_refusal_is_found() {
    // Both hold: one of them crosses our offer of the other one's hold.
    let scenario = Scenario::quiet(1).call(|n| {
        PlannedCall::to_teams(n)
            .dialing(|dial| {
                dial.changes = held();
                dial.hang_up = Some(secs(40));
            })
            .answering(|script| script.changes = vec![Change::new(ms(1_050), Wanted::Resume)])
    });
    let tamper = editing(|text| {
        Some(text.replacen(
            "SIP/2.0 491 Request Pending",
            "SIP/2.0 488 Not Acceptable Here",
            1,
        ))
    });
    finds("glare", &scenario, tamper);
}

#[test]
fn a_payload_type_with_another_meaning_and_a_lost_line_are_found() {
    let rebound =
        editing_reinvites(|text| text.replace("telephone-event/8000", "telephone-event/9000"));
    finds("payload-type", &long(held()), rebound);
    let lost = editing_reinvites(|text| text.replacen("\r\nm=audio", "\r\nx=audio", 1));
    finds("media-lines", &long(held()), lost);
}

#[test]
fn a_provisional_without_prack_or_with_a_wrong_number_is_found() {
    let reliably = |n| PlannedCall::from_teams(n).answering(|script| script.is_reliable = true);
    let called = Scenario::quiet(3).call(reliably);
    let drop_prack = |text: String| (!text.starts_with("PRACK ")).then_some(text);
    finds("provisional", &called, editing(drop_prack));
    let wrong = |text: String| Some(text.replace("\r\nRAck: ", "\r\nRAck: 9"));
    finds("provisional", &called, editing(wrong));
    let required = |n| {
        PlannedCall::to_teams(n)
            .dialing(|dial| dial.requires_reliable = true)
            .answering(|script| {
                let (status, fork, sdp) = (183, 0, true);
                let progress = Act::Progress { status, fork, sdp };
                script.acts.insert(2, (ms(500), progress));
            })
    };
    let calling = Scenario::quiet(3).call(required);
    let jump = |text: String| match text.starts_with("SIP/2.0 183") {
        true => Some(text.replace("\r\nRSeq: ", "\r\nRSeq: 1")),
        false => Some(text),
    };
    finds("provisional", &calling, editing(jump));
    let bare = |text: String| Some(text.replace("\r\nRequire: 100rel", ""));
    finds("provisional", &calling, editing(bare));
}

/// A call whose caller offers again before the answer, once that was given reliably.
fn updated_early() -> Scenario {
    Scenario::quiet(1).call(|n| {
        PlannedCall::to_teams(n)
            .dialing(|dial| {
                dial.requires_reliable = true;
                dial.early_offer = Some(Wanted::Move);
            })
            .answering(|script| {
                let answer = script.acts.pop();
                let described = Act::Progress {
                    status: 183,
                    fork: 0,
                    sdp: true,
                };
                script.acts.push((ms(400), described));
                script.acts.extend(answer);
            })
    })
}

#[test]
fn an_early_update_that_is_answered_wrongly_is_found() {
    let of_update = |text: &str| header(text, "CSeq:").ends_with("UPDATE");
    let empty = editing(move |text| {
        let head = text.split_once("\r\n\r\n").map(|(head, _)| head.to_owned());
        let length = header(&text, "Content-Length:").to_owned();
        let kind = header(&text, "Content-Type:").to_owned();
        Some(match head.filter(|_| of_update(&text)) {
            Some(head) => {
                let head = head.replace(&format!("Content-Length: {length}"), "Content-Length: 0");
                head.replace(&format!("Content-Type: {kind}\r\n"), "") + "\r\n\r\n"
            }
            None => text,
        })
    });
    finds("exchange", &updated_early(), empty);
    // Nothing is open any more: it need not come again.
    let busy = editing(move |text| {
        Some(match of_update(&text) {
            true => text.replacen("SIP/2.0 200 OK", "SIP/2.0 491 Request Pending", 1),
            false => text,
        })
    });
    finds("glare", &updated_early(), busy);
}

#[test]
fn an_update_of_ours_before_the_first_exchange_is_complete_is_found() {
    let early = following(|text| {
        let is_prack = text.starts_with("PRACK ") && !text.contains("v=0");
        let (head, _) = text.split_once("\r\n\r\n").filter(|_| is_prack)?;
        let branch = header(text, "Via:").rsplit_once("branch=")?.1;
        let cseq = header(text, "CSeq:");
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.11\r\ns=-\r\nc=IN IP4 192.0.2.11\r\nt=0 0\r\n\
                   m=audio 20000 RTP/AVP 8\r\n";
        let head = head
            .replacen("PRACK ", "UPDATE ", 1)
            .replace(branch, "z9hG4bKupdate")
            .replace(cseq, "77 UPDATE")
            .replace(
                "Content-Length: 0",
                &format!("Content-Length: {}", sdp.len()),
            );
        Some(format!(
            "{head}\r\nContent-Type: application/sdp\r\n\r\n{sdp}"
        ))
    });
    let scenario = Scenario::quiet(1)
        .call(|n| PlannedCall::from_teams(n).answering(|script| script.is_reliable = true));
    finds("exchange", &scenario, early);
}
