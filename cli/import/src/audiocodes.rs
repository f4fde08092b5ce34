//! The INI file of an AudioCodes Mediant as a configuration.
//!
//! | table                            | becomes                                              |
//! |----------------------------------|------------------------------------------------------|
//! | InterfaceTable, NATTranslation   | addresses of realms, and what they advertise         |
//! | SIPInterface with CpMediaRealm   | realms and listeners                                 |
//! | TLSContexts                      | TLS identities; certificates and keys are not in it  |
//! | ProxySet, ProxyIp                | targets                                              |
//! | IPGroup with IpProfile           | trunks, tenants by their SRD (`peers`)               |
//! | Classification                   | source ranges                                        |
//! | IP2IPRouting                     | routes (`calls`)                                     |
//! | IPInbound-, IPOutboundManipulation | transforms (`calls`)                               |
//!
//! What these tables say beyond that, and every other table, is noted.

mod calls;
mod peers;
mod sides;

use super::{
    Draft, Imported, Refused,
    draft::word,
    ini::{self, Row, Table},
};
use std::collections::BTreeMap;

/// Tables as they are taken one after the other.
struct Tables(BTreeMap<String, Vec<Table>>);

impl Tables {
    /// Rows of a table, in the order of the file.
    fn take(&mut self, name: &str) -> Vec<Row> {
        let tables = self.0.remove(&name.to_ascii_lowercase());
        let rows = tables.into_iter().flatten().flat_map(|table| table.rows);
        rows.collect()
    }
}

/// What an IP group, or anything else, has become: by name and by index, as both are used to refer to it.
#[derive(Default)]
struct Known(BTreeMap<String, usize>);

impl Known {
    fn insert(&mut self, name: &str, index: &str, place: usize) {
        // A name counts before an index that is spelled the same.
        self.0.entry(index.to_owned()).or_insert(place);
        if !name.is_empty() {
            self.0.insert(name.to_ascii_lowercase(), place);
        }
    }

    fn get(&self, name: &str) -> Option<usize> {
        self.0.get(&name.to_ascii_lowercase()).copied()
    }
}

/// Reads a file; `file` is what comments call it.
///
/// # Errors
/// If the file is too large, or has none of the tables.
pub fn import(file: &str, octets: &[u8]) -> Result<Imported, Refused> {
    let mut draft = Draft::new(file);
    let mut tables = Tables(BTreeMap::new());
    for table in ini::read(octets, &mut draft)? {
        let all = tables.0.entry(table.name.to_ascii_lowercase()).or_default();
        all.push(table);
    }
    let mut sides = sides::read(&mut tables, &mut draft);
    let peers = peers::read(&mut tables, &mut sides, &mut draft)?;
    if sides.is_empty() && peers.is_empty() {
        return Err(Refused::Nothing("an SIP interface or an IP group"));
    }
    draft.added(
        "[node]",
        "Name of this machine, as it appears in call records.",
    );
    draft.change("id", "\"sbc1\"", "its name");
    sides.write(&peers, &mut draft);
    peers.write(&sides, &mut draft);
    calls::write(&mut tables, &peers, &mut draft);
    others(tables, &mut draft);
    Ok(draft.finish())
}

/// Notes what of a row was not taken.
fn rest(kind: &str, row: &Row, draft: &mut Draft) {
    if let Some(left) = row.rest() {
        draft.note(
            row.line,
            format!("{kind} {}: {left}", word(&row.index)),
            "these columns have no equivalent that holds in general",
            "set what you need of them by hand at the object that names this line",
        );
    }
}

/// Notes tables of which nothing was taken.
fn others(tables: Tables, draft: &mut Draft) {
    for table in tables.0.into_values().flatten() {
        if table.rows.is_empty() {
            continue;
        }
        let name = table.name.as_str();
        let help = match name.to_ascii_lowercase().as_str() {
            "messagemanipulations" | "gwmessagemanipulations" => {
                "the Teams preset writes headers as Teams wants them; others are headers = { set = … } of a trunk"
            }
            "conditiontable" => {
                "conditions of routes are called, calling and called_in of its match"
            }
            "audiocoders" | "allowedaudiocoders" | "codersgroup0" => {
                "write codecs = [\"PCMA\", \"PCMU\"] at the trunks"
            }
            "account" => {
                "write register and digest at the trunk; its password into a file of its own"
            }
            "dialplan" | "dialplanrule" => {
                "numbers of customers are numbers of [[tenant]]: \"causeway import numbers\" reads them from CSV"
            }
            "accesslist" => {
                "write accept_from at the trunks; strangers are dropped without an answer"
            }
            "srd" | "sbcroutingpolicy" => {
                "nothing: each SRD that an IP group names is a [[tenant]]"
            }
            "ipgroupset" => "name the trunks in the route's to, with weights to share calls",
            "sbcadmissioncontrol" | "sbcadmissionprofile" => {
                "write limits = { calls = … } at trunks and tenants"
            }
            "webusers" | "snmpusers" => "nothing: who may log in to the host may run the commands",
            _ => "nothing, unless calls depend on it",
        };
        let rows = table.rows.len();
        draft.note(
            table.line,
            format!("table {}, rows: {rows}", word(name)),
            "the table has no equivalent, or one that cannot be told from it alone",
            help,
        );
    }
}
