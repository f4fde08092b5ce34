//! The global assertions G1 to G15: asked after every case, over everything that was sent.

mod dialogs;
mod traces;

use super::evidence::{From, Seen, Side};
use super::follows;
use super::mutation::{self, Does, Mutation, Warp, rewrite, teams, then, with, without};
use super::stage::Stage;
use super::verdict::Failure;
use crate::media::sdp;
use crate::peer::message::{Message, uri_of, uri_text};
use dialogs::{Dialogs, is_of_proxy};
use rsip::common::uri::Host;
use std::collections::BTreeSet;
use std::time::Duration;
pub use traces::{OF_TRACES, of_traces};

/// An assertion, and how it is shown that it can fail.
pub struct Global {
    /// `G1`.
    pub id: &'static str,
    /// What it says.
    pub title: &'static str,
    /// A call from the carrier that is changed so must break it.
    pub broken_by: Mutation,
    /// Rules that are broken with it, each with the reason.
    pub also: &'static [(&'static str, &'static str)],
}

/// Time between two reports of the subject that is too long: five seconds, and what a busy machine may delay one; what
/// the run is late itself comes on top.
const REPORTS: Duration = Duration::from_millis(5_500);
/// The one suite.
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
/// Methods that must never reach Teams.
const UNWANTED: [&str; 6] = ["PRACK", "UPDATE", "INFO", "REFER", "SUBSCRIBE", "MESSAGE"];

/// All of them. `TC-INB-002` is played with each change.
pub const GLOBAL: &[Global] = &[
    Global {
        id: "G1",
        title: "one Contact towards Teams, with the SBC's name",
        broken_by: with(teams("INVITE"), "Contact: <sip:sbc.other.example:5061>"),
        also: &[follows::NAMED_AT_PEER, follows::STOPS],
    },
    Global {
        id: "G2",
        title: "no Record-Route towards Teams",
        broken_by: with(teams("INVITE"), "Record-Route: <sip:sbc1.test.example;lr>"),
        also: &[follows::AWAY_AT_PEER],
    },
    Global {
        id: "G3",
        title: "TLS towards Teams, and no sips URI",
        broken_by: Mutation::Message(teams("INVITE"), Does::Replace("To: <sip:", "To: <sips:")),
        also: &[],
    },
    Global {
        id: "G4",
        title: "nothing that Teams does not know",
        broken_by: with(teams("INVITE"), "Require: 100rel"),
        also: &[follows::UNKNOWN_OPTION],
    },
    Global {
        id: "G5",
        title: "every INVITE towards Teams has a description",
        broken_by: rewrite(teams("INVITE"), |text| {
            text.split_once("\r\n\r\n")
                .map_or_else(String::new, |(head, _)| format!("{head}\r\n\r\n"))
        }),
        also: &[follows::BARE_AT_PEER, follows::STOPS],
    },
    Global {
        id: "G6",
        title: "descriptions towards Teams are SRTP and well formed",
        broken_by: mutation::replace(teams("INVITE"), "a=sendrecv", "a=sendonly"),
        also: &[],
    },
    Global {
        id: "G7",
        title: "media stays where it is towards Teams",
        broken_by: then(teams("INVITE"), |text| {
            mutation::again(text).replace("m=audio 2", "m=audio 3")
        }),
        also: &[follows::UNREAD],
    },
    Global {
        id: "G8",
        title: "requests within a call go where Teams said",
        broken_by: without(teams("BYE"), "Route"),
        also: &[follows::AWAY_AT_PEER],
    },
    Global {
        id: "G9",
        title: "Teams is never redirected",
        broken_by: then(teams("BYE"), |text| {
            let head = text.split("\r\n").skip(1);
            let answer: Vec<&str> = ["SIP/2.0 302 Moved Temporarily"]
                .into_iter()
                .chain(head)
                .collect();
            answer.join("\r\n").replace(" BYE", " INVITE")
        }),
        also: &[],
    },
    Global {
        id: "G10",
        title: "audio towards Teams is authentic SRTP",
        broken_by: Mutation::Media(Warp::Plain),
        also: &[follows::UNHEARD],
    },
    Global {
        id: "G11",
        title: "reports towards Teams every five seconds",
        broken_by: Mutation::Media(Warp::NoRtcp),
        also: &[],
    },
    Global {
        id: "G12",
        title: "nothing is left after the call",
        broken_by: Mutation::Told("\"calls\":0", "\"calls\":1"),
        also: &[],
    },
    Global {
        id: "G13",
        title: "version and branch in every message",
        broken_by: mutation::replace(teams("BYE"), "branch=z9hG4bK", "branch="),
        also: &[],
    },
    Global {
        id: "G14",
        title: "a record of every answered call",
        broken_by: Mutation::Told("call_id", "id_of_call"),
        also: &[],
    },
    Global {
        id: "G15",
        title: "Allow lists NOTIFY and REFER",
        broken_by: mutation::replace(teams("INVITE"), "REFER", "PUBLISH"),
        also: &[],
    },
];

/// What is wrong with the messages.
pub fn of_messages(stage: &Stage) -> Vec<Failure> {
    let mut out = Vec::new();
    let names = stage.names();
    let seen = stage.tape.seen();
    let mut dialogs = Dialogs::new(stage.setting.is_local());
    for one in &seen {
        let message = match &one.message {
            Ok(message) => message,
            Err(why) if one.from == From::Subject => {
                out.push(Failure::new("G13", why.clone()));
                continue;
            }
            Err(_) => continue,
        };
        if one.side == Side::Carrier {
            if one.from == From::Subject {
                version(message, &mut |rule, why| {
                    out.push(Failure::new(
                        rule,
                        format!("\"{}\": {why}", message.title()),
                    ));
                });
            }
            continue;
        }
        if one.from == From::Peer {
            dialogs.sent(message);
            continue;
        }
        let mut broken = |rule: &str, why: String| {
            out.push(Failure::new(
                rule,
                format!("\"{}\": {why}", message.title()),
            ));
        };
        contact(message, &names, &mut broken);
        routes(message, stage.setting.has_branch, &mut broken);
        schemes(one, message, &mut broken);
        unknown(message, &mut broken);
        version(message, &mut broken);
        if message
            .status()
            .is_some_and(|status| (300..400).contains(&status))
        {
            broken("G9", "Teams must never be redirected".to_owned());
        }
        let is_invite = message.method().as_deref() == Some("INVITE");
        if is_invite && !message.description().contains("m=audio ") {
            broken("G5", "it has no description".to_owned());
        }
        description(message, &mut broken);
        if !stage.setting.teams.contains("refer") {
            allow(message, &mut broken);
        }
        dialogs.received(message, &mut broken);
    }
    out
}

type Broken<'b> = &'b mut dyn FnMut(&str, String);

fn is_answer_to_invite(message: &Message) -> bool {
    message.cseq().is_some_and(|(_, method)| method == "INVITE")
}

fn is_answer_to_options(message: &Message) -> bool {
    message
        .cseq()
        .is_some_and(|(_, method)| method == "OPTIONS")
}

/// G1: in what sets up a dialog and in OPTIONS; RFC 3261 §20.10 has no Contact in BYE and CANCEL, whatever "every
/// message" in the catalogue says.
fn contact(message: &Message, names: &[String], broken: Broken<'_>) {
    let wants = match (message.method().as_deref(), message.status()) {
        (Some("INVITE" | "OPTIONS"), _) => true,
        (None, Some(101..=299)) => is_answer_to_invite(message) || is_answer_to_options(message),
        _ => false,
    };
    let contacts = message.values("Contact");
    if contacts.len() > 1 || wants && contacts.is_empty() {
        broken("G1", format!("{} Contacts, wanted one", contacts.len()));
    }
    for contact in contacts {
        match uri_of(contact).map(|uri| uri.host().clone()) {
            Ok(Host::Domain(name))
                if names
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(&name.to_string())) => {}
            Ok(host) => broken(
                "G1",
                format!("Contact has the host {host}, wanted {}", names.join(" or ")),
            ),
            Err(fault) => broken("G1", format!("Contact {contact}: {fault}")),
        }
    }
}

/// G2.
fn routes(message: &Message, is_proxy: bool, broken: Broken<'_>) {
    for route in message.values("Record-Route") {
        if is_proxy && is_of_proxy(uri_text(route)) {
            // The one place where it is wanted (TDR-LMO-020).
            continue;
        }
        let is_address = uri_of(route).is_ok_and(|uri| matches!(uri.host(), Host::IpAddr(_)));
        if message.method().is_some() || is_address {
            broken("G2", format!("Record-Route {route}"));
        }
    }
}

/// G3.
fn schemes(seen: &Seen, message: &Message, broken: Broken<'_>) {
    let head = message.text().split("\r\n\r\n").next().unwrap_or_default();
    if head.contains("sips:") {
        broken("G3", "a sips URI".to_owned());
    }
    let via = message.line("Via").unwrap_or_default();
    // In an answer it is what the peer wrote, whatever that was.
    let is_own = message.method().is_some();
    if !seen.is_secured || is_own && !via.starts_with("SIP/2.0/TLS ") {
        broken("G3", format!("not TLS with a certificate: Via {via}"));
    }
}

/// G4.
fn unknown(message: &Message, broken: Broken<'_>) {
    if let Some(method) = message.method().filter(|m| UNWANTED.contains(&m.as_str())) {
        broken("G4", format!("Teams does not know {method}"));
    }
    if message
        .values("Require")
        .iter()
        .any(|tag| tag.eq_ignore_ascii_case("100rel"))
    {
        broken("G4", "it requires 100rel".to_owned());
    }
    if message.line("Replaces").is_some() {
        broken("G4", "it has Replaces".to_owned());
    }
}

/// G6.
fn description(message: &Message, broken: Broken<'_>) {
    let body = message.description();
    let kind = message.line("Content-Type").unwrap_or_default();
    let is_one =
        kind.to_ascii_lowercase().starts_with("application/sdp") || kind.contains("boundary");
    if body.is_empty() || !is_one {
        return;
    }
    let media = match sdp::read(&body) {
        Ok(media) => media,
        Err(why) => return broken("G6", why),
    };
    if body.matches("m=audio ").count() != 1 {
        broken("G6", "not exactly one audio line".to_owned());
    }
    if media.protocol != "RTP/SAVP" {
        broken("G6", format!("{}, wanted RTP/SAVP", media.protocol));
    }
    if !media.keys.iter().any(|key| key.suite == SUITE) {
        broken("G6", format!("no key for {SUITE}"));
    }
    for line in [
        "a=sendonly",
        "a=recvonly",
        "c=IN IP4 0.0.0.0",
        "c=IN IP6 ::",
    ] {
        if body.lines().any(|one| one == line) {
            broken("G6", format!("{line}, which Teams does not understand"));
        }
    }
    let mut known = BTreeSet::new();
    for format in &media.formats {
        if !known.insert(format.payload_type) {
            broken("G6", format!("payload type {} twice", format.payload_type));
        }
        if format.payload_type >= 96 && format.encoding.is_empty() {
            broken(
                "G6",
                format!("payload type {} has no rtpmap", format.payload_type),
            );
        }
    }
}

/// G13.
fn version(message: &Message, broken: Broken<'_>) {
    let start = message.text().lines().next().unwrap_or_default();
    if !(start.starts_with("SIP/2.0 ") || start.ends_with(" SIP/2.0")) {
        broken("G13", "the start line lacks SIP/2.0".to_owned());
    }
    for via in message.lines("Via") {
        if !via.starts_with("SIP/2.0/") {
            broken("G13", format!("Via {via} lacks SIP/2.0"));
        }
    }
    let via = message.line("Via").unwrap_or_default();
    let is_ours = message.method().is_some();
    if is_ours
        && !message
            .branch()
            .is_some_and(|branch| branch.starts_with("z9hG4bK"))
    {
        broken("G13", format!("the branch of Via {via}"));
    }
}

/// G15.
fn allow(message: &Message, broken: Broken<'_>) {
    let wants = match (message.method().as_deref(), message.status()) {
        (Some("INVITE"), _) => true,
        (None, Some(200)) => is_answer_to_invite(message),
        _ => false,
    };
    let allowed = message.values("Allow");
    for method in ["NOTIFY", "REFER"] {
        if wants && !allowed.contains(&method) {
            broken(
                "G15",
                format!("Allow lacks {method}: {}", allowed.join(", ")),
            );
        }
    }
}

/// G10 and G11: what is wrong with what Teams heard.
pub fn of_media(stage: &Stage) -> Vec<Failure> {
    let mut out = Vec::new();
    for ear in stage.ears().iter().filter(|ear| ear.name == "Teams") {
        let heard = ear.heard();
        if heard.plain > 0 {
            out.push(Failure::new(
                "G10",
                format!("{} packets in the clear", heard.plain),
            ));
        }
        if heard.forged > 0 {
            out.push(Failure::new(
                "G10",
                format!("{} packets that are not authentic", heard.forged),
            ));
        }
        if let Some(longest) = stage.longer_than(&heard.without_report, REPORTS) {
            let why = format!(
                "no report for {:.1} s, wanted one every 5 s",
                longest.as_secs_f32()
            );
            out.push(Failure::new("G11", why));
        }
    }
    out
}
