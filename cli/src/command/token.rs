//! `causeway token`: a token for somebody who uses the interface over the network, and what to write for it.

use super::exit;
use super::form::{Form, Output};
use crate::daemon::net::tls::random;
use crate::sink::log::wall_clock;
use clap::Args;
use sbc_core::config::ApiRole;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::time::Duration;

/// Arguments of `causeway token`.
#[derive(Args, Clone, Debug)]
pub struct Made {
    /// Who it is for; the audit log tells this name
    #[arg(value_parser = name)]
    pub name: String,
    /// What they may do
    #[arg(long, value_parser = role)]
    pub role: ApiRole,
    /// Days until it ends
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=365))]
    pub days: u16,
    // Written out, not taken over: what takes over arguments is never found to be there beside subcommands.
    /// Form of what is printed
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub output: Option<Form>,
    /// Print JSON: the same as --output json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    match !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("use 1 to 64 letters, digits, \"-\", \"_\" and \".\"".to_owned()),
    }
}

fn role(text: &str) -> Result<ApiRole, String> {
    let found = ApiRole::ALL.iter().find(|(word, _)| *word == text);
    found.map(|(_, role)| *role).ok_or_else(|| {
        let all: Vec<&str> = ApiRole::ALL.iter().map(|(word, _)| *word).collect();
        format!("one of {}", all.join(", "))
    })
}

/// Makes a token. It is printed once, and kept nowhere.
///
/// # Errors
/// If the output cannot be written.
pub fn run(arguments: &Made, out: &mut dyn Write) -> io::Result<u8> {
    let mut octets = [0; 32];
    if random(&mut octets).is_err() {
        eprintln!("causeway: the system has no random numbers");
        return Ok(1);
    }
    let token = format!("cw_{}", hex(&octets));
    let hash = format!("sha256:{}", hex(&Sha256::digest(&token)));
    let Made { name, role, .. } = arguments;
    let role = role.as_str();
    let file = format!("/etc/causeway/private/api-{name}");
    let days = Duration::from_secs(u64::from(arguments.days) * 86_400);
    let expires = (wall_clock() + days).date();
    let lines = format!(
        "[[api.user]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken = {{ file = \"{file}\" }}\nexpires = \"{expires}\"\n"
    );
    let output = Output {
        output: arguments.output,
        json: arguments.json,
    };
    if !output.is_table() {
        let told = json!({ "token": token, "hash": hash, "file": file, "configuration": lines });
        output.print(&told, out)?;
        return Ok(exit::OK);
    }
    writeln!(
        out,
        "The token, for {name} alone. It is shown this once and kept nowhere:\n\n  {token}\n\n\
         Its hash, into a file that the group of the daemon can read and no other; as root:\n\n  \
         install -m 640 -g causeway /dev/null {file}\n  echo {hash} > {file}\n\n\
         Then add this to the configuration, and type causeway reload:\n\n{lines}"
    )?;
    Ok(exit::OK)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::TokenHash;

    #[test]
    fn what_is_printed_is_what_the_configuration_takes_and_no_two_are_alike() {
        let made = || {
            let arguments = Made {
                name: "noc".to_owned(),
                role: ApiRole::Operator,
                days: 30,
                output: None,
                json: true,
            };
            let mut out = Vec::new();
            assert_eq!(run(&arguments, &mut out).unwrap(), exit::OK);
            let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let (token, hash) = (
                told["token"].as_str().unwrap(),
                told["hash"].as_str().unwrap(),
            );
            let known = TokenHash::parse(hash).unwrap();
            assert_eq!(known.octets()[..], Sha256::digest(token)[..]);
            let lines = told["configuration"].as_str().unwrap();
            assert!(lines.contains("role = \"operator\"") && !lines.contains(token));
            token.to_owned()
        };
        assert_ne!(made(), made());
        assert!(name("a b").is_err() && name("../x").is_err() && role("root").is_err());
    }
}
