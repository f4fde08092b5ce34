//! An explanation as plain text for a terminal.

use super::{Explanation, MediaExplanation, Severity, Verdict};
use std::fmt;

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Plain text for a terminal. Control characters of the body are shown escaped.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::Valid => writeln!(f, "valid")?,
            Verdict::Tolerated => writeln!(f, "readable, with faults that are tolerated")?,
            Verdict::Invalid => writeln!(f, "invalid")?,
        }
        if let Some(fault) = &self.fault {
            writeln!(f, "  line {}: {} ({})", fault.line, fault.what, fault.rule)?;
        }
        if let Some(origin) = &self.origin {
            writeln!(f, "origin   {}", Escaped(origin))?;
        }
        for media in &self.media {
            media.fmt(f)?;
        }
        for finding in &self.findings {
            write!(f, "{}", finding.severity)?;
            if let Some(index) = finding.media {
                write!(f, " in m= line {}", index + 1)?;
            }
            writeln!(
                f,
                ": {} ({}, {})",
                Escaped(&finding.text),
                finding.rule,
                finding.code
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for MediaExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "media {}  {} {} {}",
            self.index + 1,
            Escaped(&self.kind),
            Escaped(&self.transport),
            self.direction
        )?;
        let address = self.address.as_deref().unwrap_or("(no address)");
        write!(f, "  to       {} port {}", Escaped(address), self.port)?;
        if let Some(rtcp) = &self.rtcp {
            write!(f, ", RTCP {}", Escaped(rtcp))?;
        }
        writeln!(f, "{}", if self.rtcp_mux { ", rtcp-mux" } else { "" })?;
        for format in &self.formats {
            write!(f, "  format   {}", Escaped(&format.format))?;
            if let Some(codec) = &format.codec {
                write!(f, " {}", Escaped(codec))?;
            }
            if let Some(fmtp) = &format.fmtp {
                write!(f, "  {}", Escaped(fmtp))?;
            }
            writeln!(f)?;
        }
        if let Some(time) = self.ptime_ms {
            writeln!(f, "  ptime    {time} ms")?;
        }
        for crypto in &self.crypto {
            match (crypto.tag, crypto.suite, crypto.fault) {
                (Some(tag), Some(suite), _) => writeln!(f, "  crypto   {tag} {suite} <secret>")?,
                (_, _, fault) => {
                    writeln!(f, "  crypto   unusable: {}", fault.unwrap_or_default())?;
                }
            }
        }
        if let Some(ice) = &self.ice {
            let lite = if ice.lite { ", lite" } else { "" };
            writeln!(f, "  ice      {}{lite}", Escaped(&ice.ufrag))?;
            for candidate in &ice.candidates {
                writeln!(f, "           {}", Escaped(candidate))?;
            }
        }
        for print in &self.fingerprints {
            writeln!(f, "  dtls     {}", Escaped(print))?;
        }
        Ok(())
    }
}

/// Text from the network on a terminal.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if crate::display::is_steering(letter) {
                write!(f, "{}", letter.escape_default())?;
            } else {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}
