//! How a derived trunk takes the keys of its carrier trunk, before any of them has a meaning
//! (TDR-MT-013).

use super::finding::{Code, Collector};
use super::hosting::{OF_CARRIER, OWN};
use super::read::Section;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Trunks by name, each with its file.
pub(super) type Carriers<'t> = BTreeMap<&'t str, (usize, &'t DeTable<'t>)>;

/// All trunks that have a name; of two with one name the first.
pub(super) fn named<'t>(trees: &'t [Spanned<DeTable<'t>>]) -> Carriers<'t> {
    let mut all = Carriers::new();
    for (file, tree) in trees.iter().enumerate() {
        let Some(DeValue::Array(trunks)) = tree.get_ref().get("trunk").map(Spanned::get_ref) else {
            continue;
        };
        for trunk in trunks {
            if let DeValue::Table(table) = trunk.get_ref()
                && let Some(name) = text(table, "name")
            {
                all.entry(name).or_insert((file, table));
            }
        }
    }
    all
}

/// Adds to a trunk what it inherits. What a derived trunk may not say itself is a finding; a carrier trunk
/// that does not exist is one of the loader.
pub(super) fn from_carrier<'t>(
    section: &mut Section<'t>,
    table: &'t DeTable<'t>,
    carriers: &Carriers<'t>,
    out: &mut Collector,
) {
    let Some(inherits) = text(table, "inherits") else {
        return;
    };
    let name = text(table, "name").unwrap_or_default();
    for key in OF_CARRIER {
        if let Some(place) = section.place_of(key) {
            out.add(
                Code::Contradiction,
                place,
                format!(
                    "trunk \"{}\": \"{key}\" is that of \"{}\", from which it is derived",
                    name.escape_debug(),
                    inherits.escape_debug()
                ),
                Some("remove the key; where Teams is, the carrier trunk says".to_owned()),
            );
        }
    }
    let Some((file, carrier)) = carriers.get(inherits) else {
        return;
    };
    section.inherit(*file, carrier, &OWN);
    out.derives(name, inherits);
    if let (Some(further), Some(place)) = (text(carrier, "inherits"), section.place_of("inherits"))
    {
        out.add(
            Code::Contradiction,
            place,
            format!(
                "trunk \"{}\": \"{}\" is derived from another trunk itself",
                name.escape_debug(),
                inherits.escape_debug()
            ),
            Some("name the carrier trunk".to_owned()),
        );
        // What it would have had is not missing as well.
        if let Some((file, further)) = carriers.get(further) {
            section.inherit(*file, further, &OWN);
        }
    }
}

/// The text of a key, if it is text.
pub(super) fn text<'t>(table: &'t DeTable<'t>, key: &str) -> Option<&'t str> {
    match table.get(key)?.get_ref() {
        DeValue::String(text) => Some(text),
        _ => None,
    }
}
