//! What a party says of its media: offers and answers that state its own wish, with an `o=` line
//! whose version counts (RFC 3264 §8).

use super::change::{Codecs, Hold, Wanted};
use super::dialect::Dialect;
use crate::dice::Dice;
use std::fmt::Write;
use std::net::SocketAddr;

/// The media side of one call of a party.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    is_teams: bool,
    /// Whether its media have keys, as those of Teams do.
    has_keys: bool,
    /// Address and session id of the `o=` line.
    origin: SocketAddr,
    /// Master keys with salts in base64, one per suite that is offered.
    keys: [String; 2],
    /// Whether it has an ICE agent, as clients of Teams and SBCs of branches do and media processors do not; how often that
    /// has begun anew.
    agent: Option<u32>,
    version: u64,
    /// Whether it goes by its own order of codecs where it answers.
    pub(crate) likes_last: bool,
    /// The last description without its `o=` line.
    last: String,
    /// What the party wants now.
    pub(crate) wish: Wish,
}

/// What a party wants of its media.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Where it receives.
    pub media: SocketAddr,
    /// Whether it holds, and how it says so.
    pub hold: Option<Hold>,
    /// What it speaks.
    pub codecs: Codecs,
}

impl Voice {
    /// A party that wants to talk.
    pub(crate) fn new(dialect: &Dialect, media: SocketAddr, dice: &mut Dice) -> Self {
        // 40 characters for 30 bytes.
        let keys = [dice.word(40), dice.word(40)];
        let has_agent = dialect.has_agent(keys[0].bytes().next().is_some_and(|c| c % 2 == 0));
        Self {
            is_teams: dialect.is_teams(),
            has_keys: dialect.has_keys(),
            origin: media,
            keys,
            agent: has_agent.then_some(0),
            version: 0,
            likes_last: false,
            last: String::new(),
            wish: Wish {
                media,
                hold: None,
                codecs: Codecs::Both,
            },
        }
    }

    /// Changes the wish; `media` is a port that is free.
    pub(crate) fn want(&mut self, wanted: Wanted, media: SocketAddr) {
        match wanted {
            // Teams has one form only (TDR-HLD-001).
            Wanted::Hold(_) if self.is_teams => self.wish.hold = Some(Hold::Inactive),
            Wanted::Hold(form) => self.wish.hold = Some(form),
            Wanted::Resume => self.wish.hold = None,
            Wanted::Move => {
                self.wish.media = media;
                self.agent = self.agent.map(|begun| begun + 1);
            }
            Wanted::Codecs(codecs) => self.wish.codecs = codecs,
            Wanted::Press(_)
            | Wanted::Nothing
            | Wanted::Transfer(_)
            | Wanted::TransferOut(_)
            | Wanted::Attended(_) => {}
        }
    }

    /// What the party wants.
    pub(crate) fn offer(&mut self) -> String {
        let direction = match self.wish.hold {
            None | Some(Hold::Zero) => "sendrecv",
            Some(Hold::SendOnly) => "sendonly",
            Some(Hold::Inactive | Hold::ZeroInactive) => "inactive",
        };
        let port = self.wish.media.port();
        let mut rest = self.begin();
        if self.has_keys {
            let list = match self.wish.codecs {
                Codecs::Both => "104 9 0 8",
                Codecs::A => "104 8",
                Codecs::U => "104 0",
            };
            let _ = write!(
                rest,
                "m=audio {port} RTP/SAVP {list} 106 13 101\r\na=rtcp:{port}\r\na=rtcp-mux\r\n\
                 a=label:main-audio\r\na={direction}\r\n\
                 a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:{}|2^31\r\n\
                 a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}|2^31\r\n\
                 a=rtpmap:104 SILK/16000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n\
                 a=rtpmap:8 PCMA/8000\r\na=rtpmap:106 CN/16000\r\na=rtpmap:13 CN/8000\r\n\
                 a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n",
                self.keys[0], self.keys[1]
            );
            rest.push_str(&self.agent_lines());
        } else {
            let list = match self.wish.codecs {
                Codecs::Both => "8 0",
                Codecs::A => "8",
                Codecs::U => "0",
            };
            let _ = write!(
                rest,
                "m=audio {port} RTP/AVP {list} 96\r\na=rtpmap:8 PCMA/8000\r\n\
                 a=rtpmap:0 PCMU/8000\r\na=rtpmap:96 telephone-event/8000\r\n\
                 a=fmtp:96 0-15\r\na=ptime:20\r\na={direction}\r\n"
            );
        }
        self.written(rest)
    }

    /// Answers `offer` with one codec, telephone-event under the offer's number, and the party's own
    /// wish as far as the offer allows it. `None` if they have nothing in common.
    pub(crate) fn answer(&mut self, offer: &str) -> Option<String> {
        let line = offer.lines().find(|line| line.starts_with("m=audio "))?;
        let mut words = line.split(' ').skip(2);
        let profile = words.next()?;
        let wanted = if self.has_keys { "RTP/SAVP" } else { "RTP/AVP" };
        if profile != wanted {
            return None;
        }
        let mut common = words.filter(|format| self.wish.codecs.has(format));
        let codec = match self.likes_last {
            true => common.last(),
            false => common.next(),
        }?;
        let name = if codec == "8" { "PCMA" } else { "PCMU" };
        let event = offer.lines().find_map(|line| {
            let (payload, encoding) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            encoding
                .starts_with("telephone-event/8000")
                .then_some(payload)
        });
        let mut rest = self.begin();
        let _ = write!(
            rest,
            "m=audio {} {profile} {codec}{}\r\na=rtpmap:{codec} {name}/8000\r\n",
            self.wish.media.port(),
            event.map(|e| format!(" {e}")).unwrap_or_default()
        );
        if let Some(event) = event {
            let _ = write!(
                rest,
                "a=rtpmap:{event} telephone-event/8000\r\na=fmtp:{event} 0-15\r\n"
            );
        }
        if self.has_keys {
            let tag = offer.lines().find_map(|line| {
                let (tag, suite) = line.strip_prefix("a=crypto:")?.split_once(' ')?;
                suite.starts_with("AES_CM_128_HMAC_SHA1_80 ").then_some(tag)
            })?;
            let key = &self.keys[1];
            let _ = write!(
                rest,
                "a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\n"
            );
            if offer.contains("a=ice-ufrag:") {
                rest.push_str(&self.agent_lines());
            }
        }
        let direction = self.direction_towards(attribute_direction(offer));
        let _ = write!(rest, "a=ptime:20\r\na={direction}\r\n");
        Some(self.written(rest))
    }

    /// A description of its own once more, with another version and nothing else changed.
    pub(crate) fn written_anew(&mut self, said: &str) -> String {
        self.version += 1;
        let version = self.version.to_string();
        let lines = said.split("\r\n").map(|line| match line.starts_with("o=") {
            true => {
                let mut words: Vec<&str> = line.split(' ').collect();
                if let Some(own) = words.get_mut(2) {
                    *own = &version;
                }
                words.join(" ")
            }
            false => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\r\n")
    }

    /// What it says of its agent, if it has one.
    fn agent_lines(&self) -> String {
        let Some(begun) = self.agent else {
            return String::new();
        };
        let (fragment, password) = (&self.keys[0][..6], &self.keys[1][..22]);
        format!(
            "a=ice-ufrag:{fragment}{begun}\r\na=ice-pwd:{password}{begun}\r\n\
             a=candidate:1 1 UDP 2130706431 {} {} typ host\r\n",
            self.wish.media.ip(),
            self.wish.media.port()
        )
    }

    fn direction_towards(&self, offered: &str) -> &'static str {
        let (sends, receives) = match self.wish.hold {
            None | Some(Hold::Zero) => (true, true),
            Some(Hold::SendOnly) => (true, false),
            Some(Hold::Inactive | Hold::ZeroInactive) => (false, false),
        };
        let sends = sends && matches!(offered, "sendrecv" | "recvonly");
        let receives = receives && matches!(offered, "sendrecv" | "sendonly");
        match (sends, receives) {
            (true, true) => "sendrecv",
            (true, false) if !self.is_teams => "sendonly",
            (false, true) if !self.is_teams => "recvonly",
            _ => "inactive",
        }
    }

    fn begin(&self) -> String {
        let (ip, family) = (self.origin.ip(), family(self.origin));
        let at = match self.wish.hold {
            Some(Hold::Zero | Hold::ZeroInactive) if ip.is_ipv4() => "0.0.0.0".to_owned(),
            Some(Hold::Zero | Hold::ZeroInactive) => "::".to_owned(),
            Some(Hold::SendOnly | Hold::Inactive) | None => ip.to_string(),
        };
        let bandwidth = if self.is_teams {
            "b=CT:10000000\r\n"
        } else {
            ""
        };
        format!("s=session\r\nc=IN {family} {at}\r\n{bandwidth}t=0 0\r\n")
    }

    /// The whole description: the same octets as last time, or another version.
    fn written(&mut self, rest: String) -> String {
        if rest != self.last {
            self.version += 1;
            self.last = rest;
        }
        let (ip, family, session) = (self.origin.ip(), family(self.origin), self.origin.port());
        let user = if self.is_teams { "-" } else { "switch" };
        let version = self.version;
        let rest = &self.last;
        format!("v=0\r\no={user} {session} {version} IN {family} {ip}\r\n{rest}")
    }
}

/// The word of SDP for an address family.
fn family(address: SocketAddr) -> &'static str {
    match address {
        SocketAddr::V4(_) => "IP4",
        SocketAddr::V6(_) => "IP6",
    }
}

/// Direction of a description with one audio line.
pub(crate) fn attribute_direction(sdp: &str) -> &str {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a="))
        .find(|a| matches!(*a, "sendrecv" | "sendonly" | "recvonly" | "inactive"))
        .unwrap_or("sendrecv")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice() -> Voice {
        let domain = "gw.example".to_owned();
        let media = "198.51.100.1:30000".parse().unwrap();
        let dialect = Dialect::Carrier {
            domain,
            has_keys: false,
            is_terse: false,
        };
        Voice::new(&dialect, media, &mut Dice::new(1, "x"))
    }

    fn want(voice: &mut Voice, wanted: Wanted) {
        voice.want(wanted, "198.51.100.1:30002".parse().unwrap());
    }

    #[test]
    fn the_version_counts_changes_only() {
        let mut voice = voice();
        let first = voice.offer();
        assert_eq!(first, voice.offer());
        want(&mut voice, Wanted::Hold(Hold::SendOnly));
        let held = voice.offer();
        assert!(held.contains("o=switch 30000 2 ") && held.contains("a=sendonly"));
        want(&mut voice, Wanted::Resume);
        assert_eq!(voice.offer(), first.replace(" 1 IN", " 3 IN"));
    }

    #[test]
    fn what_is_written_anew_has_another_version_and_says_the_same() {
        let mut voice = voice();
        let first = voice.offer();
        let again = voice.written_anew(&first);
        assert_eq!(again, first.replace(" 1 IN", " 2 IN"));
        want(&mut voice, Wanted::Hold(Hold::SendOnly));
        assert!(voice.offer().contains("o=switch 30000 3 "));
    }

    #[test]
    fn who_goes_by_its_own_order_takes_the_last_codec_that_both_have() {
        let mut voice = voice();
        let offer = voice.offer();
        assert!(voice.answer(&offer).unwrap().contains("RTP/AVP 8 96\r\n"));
        voice.likes_last = true;
        assert!(voice.answer(&offer).unwrap().contains("RTP/AVP 0 96\r\n"));
    }

    #[test]
    fn who_holds_says_so_in_its_answers_as_far_as_the_offer_lets_it() {
        let mut voice = voice();
        let offer = voice.offer();
        for (hold, offered, answered) in [
            (Hold::SendOnly, "sendrecv", "sendonly"),
            (Hold::SendOnly, "sendonly", "inactive"),
            (Hold::Inactive, "sendrecv", "inactive"),
            (Hold::Zero, "sendonly", "recvonly"),
        ] {
            want(&mut voice, Wanted::Hold(hold));
            let offer = offer.replace("sendrecv", offered);
            let answer = voice.answer(&offer).unwrap();
            assert_eq!(attribute_direction(&answer), answered, "{hold:?}");
            assert_eq!(answer.contains("c=IN IP4 0.0.0.0"), hold == Hold::Zero);
        }
        want(&mut voice, Wanted::Codecs(Codecs::U));
        assert!(voice.answer(&offer).unwrap().contains("RTP/AVP 0 96"));
        assert_eq!(voice.answer(&offer.replace("AVP 8 0", "AVP 8")), None);
    }
}
