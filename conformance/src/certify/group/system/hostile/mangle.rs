//! Makes wrong messages of a good one: mostly right, so that they get far.

/// Values that no header should have.
const VALUES: [&str; 22] = [
    "",
    " ",
    ";",
    ",",
    "<",
    "<sip:",
    "\"",
    "\"\\",
    "<sip:@:;?>",
    "<sip:a@[::1>",
    "sip:%00@example.com",
    "sip:%zz@example.com",
    "<sip:a@example.com;maddr=;x=\"",
    "-1",
    "4294967296",
    "99999999999999999999 INVITE",
    "1 INVITE INVITE",
    "SIP/2.0/TLS",
    "SIP/2.0/TLS :;branch",
    "SIP/3.0/TLS 192.0.2.1;branch=z9hG4bK",
    "application/sdp;a=\"",
    "multipart/mixed;boundary=",
];

/// Header fields that the subject reads.
const NAMES: [&str; 14] = [
    "VIA",
    "FROM",
    "TO",
    "CONTACT",
    "CSEQ",
    "MAX-FORWARDS",
    "RECORD-ROUTE",
    "ALLOW",
    "SUPPORTED",
    "SESSION-EXPIRES",
    "MIN-SE",
    "CONTENT-TYPE",
    "HISTORY-INFO",
    "REPLACES",
];

/// Lines that a description should not have.
const LINES: [&str; 10] = [
    "m=audio 99999 RTP/SAVP 8",
    "m=audio 1/4294967296 RTP/SAVP 8",
    "m=",
    "c=IN IP4 256.1.1.1",
    "c=IN IP6 ::g",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
    "a=crypto:99999999999 X inline:|",
    "a=rtpmap:8 PCMA/0/99",
    "a=candidate:1 1 UDP -1 x y typ",
    "a=rtcp:65536",
];

/// A row of numbers that is the same for the same seed (xorshift64*).
pub(super) struct Mangler(u64);

impl Mangler {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn next(&mut self, below: usize) -> usize {
        usize::try_from(self.number() >> 33).unwrap_or(0) % below.max(1)
    }

    fn one_of<'o>(&mut self, all: &[&'o str]) -> &'o str {
        all[self.next(all.len())]
    }

    /// One to three changes of a message, which is a new one otherwise.
    pub(super) fn mangled(&mut self, message: &str) -> Vec<u8> {
        let (head, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
        let is_kept = |line: &&str| {
            !line.to_ascii_uppercase().starts_with("CALL-ID:")
                && !line.to_ascii_uppercase().starts_with("CONTENT-LENGTH:")
        };
        let mut lines: Vec<String> = head
            .split("\r\n")
            .filter(is_kept)
            .map(str::to_owned)
            .collect();
        let (branch, call) = (self.number(), self.number());
        for line in &mut lines {
            if let Some(at) = line.find("branch=") {
                line.truncate(at);
                *line += &format!("branch=z9hG4bK{branch:016x}");
            }
        }
        let mut body: Vec<String> = body.split("\r\n").map(str::to_owned).collect();
        let mut length = None;
        let mut tail = |mangler: &mut Self, lines: &mut Vec<String>| match mangler.next(12) {
            0 => {
                let at = mangler.next(lines.len());
                lines.remove(at.max(1).min(lines.len() - 1));
            }
            1 => {
                let line = lines[mangler.next(lines.len())].clone();
                lines.push(line);
            }
            2..=4 => {
                let (name, value) = (mangler.one_of(&NAMES), mangler.one_of(&VALUES));
                let is_it =
                    |line: &String| line.to_ascii_uppercase().starts_with(&format!("{name}:"));
                match lines.iter().position(is_it) {
                    Some(at) => lines[at] = format!("{name}: {value}"),
                    None => lines.push(format!("{name}: {value}")),
                }
            }
            5 => {
                let words = ["INVITE", "sip:", "SIP/2.0", "sips:a@b", "tel:", "%", "\t"];
                let mut parts: Vec<&str> = lines[0].split(' ').collect();
                let at = mangler.next(parts.len());
                parts[at] = mangler.one_of(&words);
                lines[0] = parts.join(" ");
            }
            6 | 7 => {
                // Somewhere another character.
                let at = mangler.next(lines.len());
                let place = mangler.next(lines[at].len());
                let character =
                    mangler.one_of(&["\0", "\u{7f}", "é", "\"", "<", ">", ";", ",", "@", "%"]);
                if lines[at].is_char_boundary(place) {
                    lines[at].insert_str(place, character);
                }
            }
            8 => {
                let at = mangler.next(lines.len()).max(1).min(lines.len() - 1);
                lines[at] = lines[at].replacen(": ", " \t:\r\n \t", 1);
            }
            9 => {
                let line = format!(
                    "X-{}: {}",
                    "n".repeat(mangler.next(300)),
                    "v".repeat(mangler.next(9_000))
                );
                lines.push(line);
            }
            10 => {
                let at = mangler.next(body.len());
                body[at] = mangler.one_of(&LINES).to_owned();
            }
            _ => {
                length = Some(
                    mangler
                        .one_of(&["-1", "0", "1", "99999999", "x", ""])
                        .to_owned(),
                )
            }
        };
        for _ in 0..=self.next(3) {
            tail(self, &mut lines);
        }
        let body = body.join("\r\n");
        let length = length.unwrap_or_else(|| body.len().to_string());
        format!(
            "{}\r\nCALL-ID: {call:016x}\r\nCONTENT-LENGTH: {length}\r\n\r\n{body}",
            lines.join("\r\n")
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_differ_and_are_cut_from_the_same_cloth_each_time() {
        let good = "INVITE sip:a@example.com SIP/2.0\r\nVIA: SIP/2.0/TLS a;branch=z9hG4bK1\r\n\
                    FROM: <sip:a>;tag=1\r\nTO: <sip:b>\r\nCSEQ: 1 INVITE\r\nCALL-ID: 1\r\n\
                    CONTENT-LENGTH: 5\r\n\r\nv=0\r\n";
        let row = |seed| {
            let mut mangler = Mangler::new(seed);
            let row: Vec<Vec<u8>> = (0..200).map(|_| mangler.mangled(good)).collect();
            row
        };
        let first = row(7);
        assert!(first == row(7), "the same seed gives another row");
        assert!(first != row(9), "another seed gives the same row");
        let kinds: std::collections::BTreeSet<&Vec<u8>> = first.iter().collect();
        assert_eq!(kinds.len(), first.len());
    }
}
