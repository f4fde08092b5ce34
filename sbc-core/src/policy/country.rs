//! The country of a number in full form, by its country code (ITU-T E.164), for records (OPS-060).
//!
//! Countries are those of ISO 3166-1, and XK for Kosovo, which has none there. A code that is nobody's country, such as
//! that of satellites, stands for itself (`+881`); so does one that several countries share where the number does not
//! tell whose it is (`+1` for numbers without a charge, `+262` for those of services on Réunion and Mayotte).
//!
//! Territories whose numbers are ranges within those of a country that no plan keeps apart count as that country: Åland
//! (+358 18) as FI, Svalbard and Jan Mayen (+47 79) as NO, the Cocos Islands and Christmas Island (+61 8 9162, 9164) as
//! AU, Western Sahara (+212 5288, 5289) as MA.

mod codes;

use super::number::is_e164;
use codes::{AREAS, CODES, PARTS};

/// The code of the North American Numbering Plan.
const NANP: u16 = 1;

/// The country of a number; nothing unless it is `+` and digits that begin with a code that is assigned.
pub fn of(number: &str) -> Option<&'static str> {
    if !is_e164(number) {
        return None;
    }
    // None begins with 0.
    let digits = number.get(1..).filter(|own| !own.starts_with('0'))?;
    // No code is the beginning of another one.
    let (code, country) = (1..=3).find_map(|length| {
        let code = digits.get(..length)?.parse().ok()?;
        let at = CODES.binary_search_by_key(&code, |(own, _)| *own).ok()?;
        CODES.get(at).copied()
    })?;
    let part = match code {
        NANP => area(digits),
        _ => part(code, digits),
    };
    Some(part.unwrap_or(country))
}

/// The same text among those that [`of`] tells.
pub(crate) fn named(country: &str) -> Option<&'static str> {
    let codes = CODES.iter().map(|(_, own)| *own);
    let parts = PARTS.iter().flat_map(|(_, own)| own.iter());
    let parts = parts.map(|(_, own)| *own);
    let areas = AREAS.iter().map(|(own, _)| *own);
    codes.chain(parts).chain(areas).find(|own| *own == country)
}

fn area(digits: &str) -> Option<&'static str> {
    let area: u16 = digits.get(1..4)?.parse().ok()?;
    let mut countries = AREAS.iter();
    let is_there = |(_, own): &&(&str, &[u16])| own.binary_search(&area).is_ok();
    countries.find(is_there).map(|(country, _)| *country)
}

fn part(code: u16, digits: &str) -> Option<&'static str> {
    let (_, parts) = PARTS.iter().find(|(own, _)| *own == code)?;
    let mut parts = parts.iter();
    let part = parts.find(|(start, _)| digits.starts_with(start));
    part.map(|(_, country)| *country)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// First digits that the ITU has assigned to nobody, or keeps; of three of them the third is any where it is left out.
    const SPARE: &[&str] = &[
        "0", "210", "214", "215", "217", "219", "259", "28", "292", "293", "294", "295", "296",
        "384", "388", "422", "424", "425", "426", "427", "428", "429", "671", "684", "693", "694",
        "695", "696", "697", "698", "699", "801", "802", "803", "804", "805", "806", "807", "809",
        "83", "851", "854", "857", "858", "859", "871", "872", "873", "874", "875", "876", "877",
        "879", "884", "885", "887", "889", "89", "969", "978", "990", "991", "997", "999",
    ];

    /// Of ISO 3166-1, those without numbers that are told from another's.
    const WITHOUT: &[&str] = &[
        "AX", "BL", "BV", "CC", "CX", "EH", "GS", "HM", "MF", "PN", "SJ", "TF", "UM",
    ];

    /// ISO 3166-1, and XK.
    const ISO: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
        BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES \
        ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN \
        IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG \
        MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL \
        PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG \
        TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

    #[test]
    fn every_code_is_assigned_once_and_told_and_all_others_are_not() {
        for three in 0..1_000_u16 {
            let three = format!("{three:03}");
            let begins = |code: &str| three.starts_with(code);
            let codes: Vec<_> = CODES
                .iter()
                .filter(|(code, _)| begins(&code.to_string()))
                .collect();
            let spare = SPARE.iter().filter(|code| begins(code)).count();
            assert_eq!(codes.len() + spare, 1, "{three}: {codes:?}");
            assert_eq!(of(&format!("+{three}")).is_some(), spare == 0, "{three}");
        }
        assert!(CODES.is_sorted());
        for (code, country) in CODES {
            let told = of(&format!("+{code}")).unwrap();
            assert_eq!(told, *country);
            assert_eq!(named(country), Some(told));
        }
    }

    #[test]
    fn every_country_of_iso_is_told_unless_its_numbers_are_anothers() {
        let iso: BTreeSet<&str> = ISO.split_whitespace().collect();
        assert_eq!(iso.len(), 250);
        let codes = CODES.iter().map(|(code, _)| format!("+{code}"));
        let parts = PARTS.iter().flat_map(|(_, own)| own.iter());
        let parts = parts.map(|(start, _)| format!("+{start}"));
        let areas = AREAS.iter().flat_map(|(_, own)| own.iter());
        let areas = areas.map(|area| format!("+1{area}5550100"));
        let told: BTreeSet<&str> = codes
            .chain(parts)
            .chain(areas)
            .filter_map(|own| of(&own))
            .collect();
        let shared = |own: &&&str| own.starts_with('+');
        let countries: BTreeSet<&str> = told.iter().filter(|own| !shared(own)).copied().collect();
        let mut wanted = iso;
        wanted.retain(|own| !WITHOUT.contains(own));
        assert_eq!(countries, wanted);
        let shared: Vec<&str> = told.iter().filter(shared).copied().collect();
        let wanted = "+1 +262 +599 +672 +7 +800 +808 +870 +878 +881 +882 +883 +888 +979";
        assert_eq!(shared.join(" "), wanted);
    }

    #[test]
    fn shared_codes_are_told_as_far_as_the_number_says() {
        for (number, country) in [
            ("+12025550100", Some("US")),
            ("+14165550100", Some("CA")),
            ("+18765550100", Some("JM")),
            ("+17875550100", Some("PR")),
            ("+18005550100", Some("+1")),
            ("+19005550100", Some("+1")),
            ("+1", Some("+1")),
            ("+15550100", Some("+1")),
            ("+74955550100", Some("RU")),
            ("+77275550100", Some("KZ")),
            ("+76", Some("KZ")),
            ("+78405550100", Some("+7")),
            ("+78005550100", Some("+7")),
            ("+78125550100", Some("RU")),
            ("+72", Some("+7")),
            ("+390669812345", Some("VA")),
            ("+390645550100", Some("IT")),
            ("+441534960000", Some("JE")),
            ("+441632960000", Some("GB")),
            ("+262269000000", Some("YT")),
            ("+262692000000", Some("RE")),
            ("+262800000000", Some("+262")),
            ("+3581812345", Some("FI")),
            ("+4779020000", Some("NO")),
            ("+61891620000", Some("AU")),
            ("+61891640000", Some("AU")),
            ("+212528800000", Some("MA")),
            ("+212528900000", Some("MA")),
            ("+5999000000", Some("CW")),
            ("+5997000000", Some("BQ")),
            ("+8812000000", Some("+881")),
            ("+2100000", None),
            ("4930123", None),
            ("+", None),
            ("", None),
            ("+49abc", None),
            ("anonymous", None),
        ] {
            assert_eq!(of(number), country, "{number}");
        }
        // An area is one country's.
        let mut areas: Vec<u16> = AREAS
            .iter()
            .flat_map(|(_, own)| own.iter().copied())
            .collect();
        let all = areas.len();
        areas.sort_unstable();
        areas.dedup();
        assert_eq!(areas.len(), all);
        assert!(AREAS.iter().all(|(_, own)| own.is_sorted()));
    }
}
